//! One request, answered whatever happens: the work runs in a thread of its own, and a
//! fault in it, or a deadline that passes, ends in a plan of nothing instead of none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The planner recurses little; a request nests as deep as its sender likes.
const STACK: usize = 16 << 20;

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A fault of ours; its place was told when it happened.
    Fault,
    /// The deadline passed.
    Late,
}

/// Runs `work`, at most until a moment. One that does not come back is left behind; the
/// process ends without it.
///
/// # Errors
/// When it panics, or is not done in time.
pub fn within<T: Send + 'static>(until: Instant, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
    let (answer, answers) = channel();
    let run = move || {
        // nobody sees what a fault left half done
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            rehearse();
            work()
        }));
        let _ = answer.send(outcome.map_err(drop));
    };
    if std::thread::Builder::new().stack_size(STACK).spawn(run).is_err() {
        return Err(Lost::Fault);
    }
    match answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(())) | Err(RecvTimeoutError::Disconnected) => Err(Lost::Fault),
        Err(RecvTimeoutError::Timeout) => Err(Lost::Late),
    }
}

/// Builds for tests can be told to fail as no real request does: ONEAIO_FAULT is `panic`,
/// `plan` for one that breaks a rule, or the seconds to wait.
pub(super) fn rehearse() {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(fault) = std::env::var("ONEAIO_FAULT") else { return };
    if let Ok(seconds) = fault.parse::<f64>() {
        std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 60.0)));
    } else if fault == "plan" {
        crate::decide::rehearsal::spoil_plans();
    } else if fault == "panic" {
        let nothing: Vec<u8> = Vec::new();
        let _ = nothing[std::hint::black_box(0)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_faults_and_delays_are_told_apart() {
        let soon = || Instant::now() + Duration::from_secs(20);
        assert_eq!(within(soon(), || 7), Ok(7));
        assert_eq!(within::<u8>(soon(), || panic!("on purpose")), Err(Lost::Fault));
        let late = Instant::now() + Duration::from_millis(50);
        assert_eq!(within(late, || std::thread::sleep(Duration::from_secs(20))), Err(Lost::Late));
    }
}

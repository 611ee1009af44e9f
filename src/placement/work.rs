//! A bound on the work of one plan, in steps instead of seconds: the core has no clock,
//! and equal input must give equal plans. A step is about ten nanoseconds.

use std::cell::Cell;

/// Steps that one attempt may spend on placing what did not fit at once.
const SECOND_THOUGHTS: u64 = 15_000_000;

/// Steps after which no further attempt begins, about three seconds.
const LAST_ATTEMPT: u64 = 300_000_000;

/// Counts steps.
#[derive(Debug)]
pub struct Work {
    done: Cell<u64>,
    limit: Cell<u64>,
}

impl Default for Work {
    fn default() -> Self {
        Self { done: Cell::new(0), limit: Cell::new(u64::MAX) }
    }
}

impl Work {
    /// Counts what was done.
    pub fn spend(&self, steps: usize) {
        self.done.set(self.done.get().saturating_add(steps as u64));
    }

    /// An attempt has gone through all VMs once; what it does from here on is bounded.
    pub fn allow_second_thoughts(&self) {
        self.limit.set(self.done.get().saturating_add(SECOND_THOUGHTS));
    }

    /// Whether this attempt has had its second thoughts.
    pub fn spent(&self) -> bool {
        self.done.get() >= self.limit.get()
    }

    /// Whether no further attempt should begin.
    pub fn exhausted(&self) -> bool {
        self.done.get() >= LAST_ATTEMPT
    }
}

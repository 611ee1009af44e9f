//! Which planted fault acts, and which ones a test comes by. Goes into the copy of oneaio.
#![allow(missing_docs, clippy::all)]

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

struct Switch {
    acts: u32,
    trace: Option<std::fs::File>,
    met: Vec<AtomicBool>,
}

/// Whether fault `number` acts.
pub fn on(number: u32) -> bool {
    static SWITCH: OnceLock<Switch> = OnceLock::new();
    let switch = SWITCH.get_or_init(|| {
        let acts = std::env::var("PLANTED").ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
        let trace = std::env::var_os("PLANTED_TRACE")
            .and_then(|path| std::fs::OpenOptions::new().create(true).append(true).open(path).ok());
        let faults = if trace.is_some() { 100_000 } else { 0 };
        Switch { acts, trace, met: (0..faults).map(|_| AtomicBool::new(false)).collect() }
    });
    if let (Some(mut trace), Some(met)) = (switch.trace.as_ref(), switch.met.get(number as usize)) {
        if !met.load(Ordering::Relaxed) && !met.swap(true, Ordering::Relaxed) {
            let _ = trace.write_all(format!("{number}\n").as_bytes());
        }
    }
    number == switch.acts
}

//! What a measurement costs: CPU of this process or of those it started, and peaks of memory.
#![allow(dead_code)] // not every bench measures all of it

use std::time::Duration;

/// CPU seconds of this process so far.
pub fn cpu() -> f64 {
    used(libc::RUSAGE_SELF)
}

/// CPU seconds of the processes it started that have ended.
pub fn children() -> f64 {
    used(libc::RUSAGE_CHILDREN)
}

#[allow(unsafe_code)]
fn used(whose: libc::c_int) -> f64 {
    // SAFETY: rusage is plain numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live variable of the type getrusage writes.
    unsafe { libc::getrusage(whose, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The peak of memory of a process in MB, by its file `/proc/PID/status`, looked at until it
/// ends. What the kernel tells of ended children counts the memory of this process too, from
/// before they became theirs.
pub fn peak(status: &str) -> f64 {
    let mut peak: f64 = 0.0;
    while let Ok(text) = std::fs::read_to_string(status) {
        let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) else { break };
        let kib = line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0);
        peak = peak.max(kib / 1e3);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

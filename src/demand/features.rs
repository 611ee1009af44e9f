//! A window in a few numbers that keep the level of load: what k-means measures distances
//! in. Standardised shapes alone forget how much a VM uses.

use super::window::{CPU, Window};

/// How many.
pub const COUNT: usize = 8;

/// Their names; they go into messages and the tables of classes.
pub const NAMES: [&str; COUNT] =
    ["cpu mean %", "cpu p95 %", "cpu deviation %", "cpu last hour %", "memory %", "ln disk", "ln net", "ln cores"];

/// Steps of the last hour.
const HOUR: usize = 12;

/// The numbers of a window, all finite.
#[must_use]
pub fn of(window: &Window) -> [f64; COUNT] {
    let cpu: Vec<f64> = window.column(CPU).collect();
    let level = mean(cpu.iter().copied());
    let spread = mean(cpu.iter().map(|x| (x - level).powi(2))).sqrt();
    let size = window.size();
    let memory = if size.memory > 0.0 { 100.0 * mean(window.column(4)) / size.memory } else { 0.0 };
    [
        level,
        percentile(&cpu, 0.95),
        spread,
        mean(cpu[cpu.len().saturating_sub(HOUR)..].iter().copied()),
        memory,
        mean(window.column(5)).ln_1p(),
        mean(window.column(6)).ln_1p(),
        size.cores.max(0.01).ln(),
    ]
}

/// The arithmetic mean; 0 of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0_f64), |(sum, count), value| (sum + value, count + 1.0));
    sum / count.max(1.0)
}

/// The value that a share `p` does not exceed, interpolated between neighbours; 0 of nothing.
#[must_use]
pub fn percentile(values: &[f64], p: f64) -> f64 {
    let mut values = values.to_vec();
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = p.clamp(0.0, 1.0) * last as f64;
    let (low, share) = (place.floor() as usize, place.fract());
    let (_, value, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let value = *value;
    match above.iter().copied().min_by(f64::total_cmp) {
        Some(next) if share > 0.0 => value + (next - value) * share,
        _ => value,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::window::Row;

    fn near(found: &[f64], expected: &[f64]) {
        let off = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
        assert!(found.len() == expected.len() && off < 1e-9, "{found:?} {expected:?}");
    }

    fn window(rows: &[Row]) -> Window {
        Window::from_rows(&rows.iter().copied().map(Some).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn statistics_are_what_hands_compute() {
        // twelve steps of an hour at 10 % after four at 50 %; a quarter of the memory
        let row = |cpu: f64| [4.0, 12_800.0, cpu, 4096.0, 1024.0, 3.0, 8.0];
        let found = of(&window(&[[row(50.0); 4].as_slice(), &[row(10.0); 12]].concat()));
        let (mean, deviation) = (20.0, 300.0_f64.sqrt());
        near(&found, &[mean, 50.0, deviation, 10.0, 25.0, 4.0_f64.ln(), 9.0_f64.ln(), 4.0_f64.ln()]);
        // less than an hour is all there is; without memory there is no share; cores are at least a hundredth
        let found = of(&window(&[[0.0, 0.0, 10.0, 0.0, 512.0, 0.0, 0.0], [0.0, 0.0, 30.0, 0.0, 512.0, 0.0, 0.0]]));
        near(&found, &[20.0, 29.0, 10.0, 20.0, 0.0, 0.0, 0.0, 0.01_f64.ln()]);
    }

    #[test]
    fn a_percentile_lies_between_neighbours() {
        let values = [30.0, 10.0, 20.0, 50.0, 40.0];
        for (p, expected) in
            [(0.0, 10.0), (0.25, 20.0), (0.3, 22.0), (0.95, 48.0), (1.0, 50.0), (-1.0, 10.0), (7.0, 50.0)]
        {
            near(&[percentile(&values, p)], &[expected]);
        }
        assert_eq!((percentile(&[], 0.5), percentile(&[7.0], 0.95)), (0.0, 7.0));
        assert_eq!((mean([1.0, 2.0, 6.0].into_iter()), mean(std::iter::empty())), (3.0, 0.0));
    }
}

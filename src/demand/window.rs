//! A window: what one VM did over 112 steps of five minutes, on a regular grid, as the
//! matrix that classifiers read. The one place that knows features, units, gaps.
//!
//! | column | feature | unit |
//! |---:|---|---|
//! | 0 | cores | number of virtual cores |
//! | 1 | CPU capacity | MHz (3200 x cores where nobody tells, as the ancestor) |
//! | 2 | CPU used | percent of the provisioned capacity, 0 to about 114 |
//! | 3 | memory capacity | KiB |
//! | 4 | memory used | KiB |
//! | 5 | disk | KiB/s; read + written where a store keeps only the sum |
//! | 6 | network | KiB/s; received + sent where a store keeps only the sum |
//!
//! Rows go oldest first. A step without a sample is a gap; a sample with a NaN, an
//! infinity or a negative number is one too. Gaps are filled by a straight line between
//! their neighbours (at the ends by the nearest), and stay marked. A window with more than
//! a third of gaps is refused: no classifier ever sees a hole.

use crate::model::sample::VmSample;
use thiserror::Error;

/// Features of one row.
pub const FEATURES: usize = 7;

/// Rows of a window, as the ancestor's.
pub const LENGTH: usize = 112;

/// Seconds between rows.
pub const STEP: i64 = 300;

/// The ancestor takes every core for one of 3.2 GHz.
pub const MHZ_PER_CORE: f64 = 3200.0;

/// Names of the columns; they go into the model file, so that a model of other features
/// is refused.
pub const NAMES: [&str; FEATURES] =
    ["cores", "cpu_capacity_mhz", "cpu_percent", "mem_capacity_kb", "mem_kb", "disk_kbps", "net_kbps"];

/// Column of the CPU used, percent of the provisioned capacity.
pub const CPU: usize = 2;

/// One step: the features of the table above.
pub type Row = [f64; FEATURES];

/// Why there is no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// Too many holes.
    #[error("{gaps} of {length} steps have no usable sample; at most a third may lack")]
    Gaps {
        /// Steps without a usable sample.
        gaps: usize,
        /// Steps of the window.
        length: usize,
    },
    /// The VM has no size, so that percent of its capacity mean nothing.
    #[error("the VM's cores are not known")]
    NoSize,
    /// A window needs at least two rows.
    #[error("a window has at least 2 rows, not {0}")]
    TooShort(usize),
}

/// The size of a VM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Virtual cores (CPU of the template), may be a fraction.
    pub cores: f64,
    /// KiB.
    pub memory: f64,
}

/// A window without holes: every number finite and not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    rows: Vec<Row>,
    gap: Vec<bool>,
}

impl Window {
    /// Of rows on a regular grid, oldest first; `None` is a gap.
    ///
    /// # Errors
    /// With too many gaps, or fewer than two rows.
    pub fn from_rows(rows: &[Option<Row>]) -> Result<Self, WindowError> {
        let length = rows.len();
        if length < 2 {
            return Err(WindowError::TooShort(length));
        }
        let usable = |row: &Row| row.iter().all(|value| value.is_finite() && *value >= 0.0);
        let rows: Vec<Option<Row>> = rows.iter().map(|row| row.filter(usable)).collect();
        let gap: Vec<bool> = rows.iter().map(Option::is_none).collect();
        let gaps = gap.iter().filter(|gap| **gap).count();
        if gaps * 3 > length {
            return Err(WindowError::Gaps { gaps, length });
        }
        Ok(Self { rows: filled(&rows), gap })
    }

    /// Of the samples of one VM (by time), over the `length` steps that end at `end`.
    /// Several samples in a step are averaged.
    ///
    /// # Errors
    /// With too many gaps, or without cores.
    pub fn of_samples(samples: &[VmSample], size: Size, end: i64, length: usize) -> Result<Self, WindowError> {
        if size.cores.is_nan() || size.cores <= 0.0 {
            return Err(WindowError::NoSize);
        }
        let begin = end - STEP * i64::try_from(length).unwrap_or(i64::MAX / STEP);
        let mut sums: Vec<(Row, f64)> = vec![([0.0; FEATURES], 0.0); length];
        let from = samples.partition_point(|sample| sample.at <= begin);
        for sample in samples[from..].iter().take_while(|sample| sample.at <= end) {
            let slot = usize::try_from((sample.at - begin - 1) / STEP).unwrap_or(0);
            let row = row(sample, size);
            if let Some((sum, count)) = sums.get_mut(slot).filter(|_| row.iter().all(|v| v.is_finite() && *v >= 0.0)) {
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                *count += 1.0;
            }
        }
        let rows: Vec<Option<Row>> =
            sums.into_iter().map(|(sum, count)| (count > 0.0).then(|| sum.map(|value| value / count))).collect();
        Self::from_rows(&rows)
    }

    /// The rows, oldest first; gaps are filled.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Which rows were gaps, same order.
    #[must_use]
    pub fn gaps(&self) -> &[bool] {
        &self.gap
    }

    /// One column, oldest first.
    pub fn column(&self, feature: usize) -> impl Iterator<Item = f64> + '_ {
        self.rows.iter().map(move |row| row[feature])
    }

    /// The size that the window's first row tells.
    #[must_use]
    pub fn size(&self) -> Size {
        let first = self.rows.first().copied().unwrap_or_default();
        Size { cores: first[0], memory: first[3] }
    }
}

/// A sample as a row.
fn row(sample: &VmSample, size: Size) -> Row {
    let usage = &sample.usage;
    [
        size.cores,
        size.cores * MHZ_PER_CORE,
        usage.cpu / size.cores,
        size.memory,
        usage.memory,
        usage.disk_io.unwrap_or(0.0) / 1024.0,
        usage.net_io.unwrap_or(0.0) / 1024.0,
    ]
}

/// Gaps become straight lines between their neighbours.
fn filled(rows: &[Option<Row>]) -> Vec<Row> {
    let known: Vec<usize> = (0..rows.len()).filter(|&index| rows[index].is_some()).collect();
    let at = |index: usize| rows[index].unwrap_or_default();
    let between = |index: usize| {
        let next = known.partition_point(|&k| k < index);
        match (next.checked_sub(1).map(|i| known[i]), known.get(next).copied()) {
            (Some(a), Some(b)) => {
                let share = (index - a) as f64 / (b - a) as f64;
                let (left, right) = (at(a), at(b));
                std::array::from_fn(|j| left[j] + (right[j] - left[j]) * share)
            }
            (Some(one), None) | (None, Some(one)) => at(one),
            (None, None) => Row::default(),
        }
    };
    rows.iter().enumerate().map(|(index, row)| row.unwrap_or_else(|| between(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::demand::Usage;
    use crate::model::ids::VmId;

    fn sample(at: i64, cpu: f64) -> VmSample {
        let usage = Usage { cpu, memory: 2048.0, disk_io: Some(1024.0), net_io: None };
        VmSample { vm: VmId(1), at, usage }
    }

    const SIZE: Size = Size { cores: 2.0, memory: 4096.0 };

    #[test]
    fn samples_go_to_their_step_and_percent_are_of_the_capacity() {
        let samples: Vec<VmSample> = (1..=6).map(|i| sample(i * 150, f64::from(i as i32) * 10.0)).collect();
        let window = Window::of_samples(&samples, SIZE, 900, 3).unwrap();
        assert_eq!(window.column(CPU).collect::<Vec<_>>(), [7.5, 17.5, 27.5]);
        assert_eq!(window.rows()[0], [2.0, 6400.0, 7.5, 4096.0, 2048.0, 1.0, 0.0]);
    }

    #[test]
    fn gaps_are_straight_lines_and_stay_marked() {
        let row = |cpu: f64| Some([1.0, 3200.0, cpu, 1.0, 1.0, 0.0, 0.0]);
        let window = Window::from_rows(&[row(0.0), row(f64::NAN), row(8.0), row(-1.0), row(4.0), row(4.0)]).unwrap();
        assert_eq!(window.column(CPU).collect::<Vec<_>>(), [0.0, 4.0, 8.0, 6.0, 4.0, 4.0]);
        assert_eq!(window.gaps(), [false, true, false, true, false, false]);
        let ends = Window::from_rows(&[None, row(3.0), row(5.0), row(5.0), row(7.0), None]).unwrap();
        assert_eq!(ends.column(CPU).collect::<Vec<_>>(), [3.0, 3.0, 5.0, 5.0, 7.0, 7.0]);
    }

    #[test]
    fn what_is_no_window_is_refused_with_a_reason() {
        let samples = [sample(300, 1.0)];
        let gaps = Window::of_samples(&samples, SIZE, 900, 3);
        assert_eq!(gaps, Err(WindowError::Gaps { gaps: 2, length: 3 }));
        assert_eq!(Window::of_samples(&[], SIZE, 900, 3), Err(WindowError::Gaps { gaps: 3, length: 3 }));
        let no_size = Size { cores: 0.0, memory: 1.0 };
        assert_eq!(Window::of_samples(&samples, no_size, 900, 3), Err(WindowError::NoSize));
        assert_eq!(Window::from_rows(&[]), Err(WindowError::TooShort(0)));
    }

    #[test]
    fn a_step_begins_a_second_after_the_one_before_has_ended() {
        let of = |samples: &[VmSample]| {
            let window = Window::of_samples(samples, SIZE, 1200, 4).unwrap();
            window.column(CPU).collect::<Vec<_>>()
        };
        let steps = |first: i64| {
            [sample(first, 2.0), sample(300, 4.0), sample(301, 20.0), sample(900, 40.0), sample(1200, 60.0)]
        };
        // at 0 it is of the step before the first, and after 1200 it is too late
        let mut late = steps(0).to_vec();
        late.push(sample(1201, 1000.0));
        assert_eq!(of(&late), [2.0, 10.0, 20.0, 30.0]);
        assert_eq!(of(&steps(1)), [1.5, 10.0, 20.0, 30.0]);
        // what is no amount leaves the step to the others in it
        let odd = [
            sample(200, f64::NAN),
            sample(250, -1.0),
            sample(300, 4.0),
            sample(600, 20.0),
            sample(900, 40.0),
            sample(1200, 60.0),
        ];
        assert_eq!(of(&odd), [2.0, 10.0, 20.0, 30.0]);
        let window = Window::of_samples(&odd, SIZE, 1200, 4).unwrap();
        assert_eq!((window.size(), window.rows().len()), (SIZE, 4));
        // without a number of cores there is no share of them
        for cores in [f64::NAN, -1.0] {
            let size = Size { cores, ..SIZE };
            assert_eq!(Window::of_samples(&odd, size, 1200, 4), Err(WindowError::NoSize));
        }
    }

    #[test]
    fn a_third_may_lack_and_two_rows_are_a_window() {
        let row = Some([0.0; FEATURES]);
        assert!(Window::from_rows(&[row, row, None]).is_ok() && Window::from_rows(&[row, row]).is_ok());
        assert_eq!(Window::from_rows(&[row, None]), Err(WindowError::Gaps { gaps: 1, length: 2 }));
        assert_eq!(Window::from_rows(&[row]), Err(WindowError::TooShort(1)));
        assert_eq!(Window::from_rows(&[row]).unwrap_err().to_string(), "a window has at least 2 rows, not 1");
        let many = WindowError::Gaps { gaps: 5, length: 9 }.to_string();
        assert_eq!(many, "5 of 9 steps have no usable sample; at most a third may lack");
    }
}

//! The last 112 steps of five minutes, for windows: what a classifier reads.

use super::bytes::{Reader, Writer};
use crate::demand::window::{LENGTH, STEP};
use crate::model::resource::PerResource;
use std::collections::VecDeque;

/// Values are kept as logarithms in 16 bits, to 0.03 %.
const FINE: f64 = 2000.0;

/// One step: its number since 1970, how many samples, and their mean of CPU (percent of a
/// core), memory (KiB), disk and network (bytes/s).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Whole steps since 1970.
    pub number: i64,
    count: u8,
    /// Mean by resource.
    pub values: PerResource<f64>,
}

/// Steps with samples, oldest first; never more than a window's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recent(VecDeque<Step>);

impl Recent {
    /// Takes in a sample; what is older than a window is passed over.
    pub fn add(&mut self, at: i64, values: PerResource<f64>) {
        let number = at.div_euclid(STEP);
        if self.0.back().is_none_or(|step| step.number < number) {
            self.0.push_back(Step { number, count: 0, values: PerResource::default() });
            while self.0.front().is_some_and(|step| step.number + LENGTH as i64 <= number) {
                self.0.pop_front();
            }
        }
        if let Some(step) = self.0.iter_mut().rev().find(|step| step.number == number) {
            step.count = step.count.saturating_add(1);
            let share = 1.0 / f64::from(step.count);
            step.values.iter_mut().for_each(|(resource, mean)| *mean += (values[resource] - *mean) * share);
        }
    }

    /// The steps there are, oldest first.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.0.iter()
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.u8(self.0.len() as u8);
        to.i64(self.0.back().map_or(0, |step| step.number));
        let newest = self.0.back().map_or(0, |step| step.number);
        for step in &self.0 {
            to.u8(u8::try_from(newest - step.number).unwrap_or(u8::MAX));
            to.u8(step.count);
            step.values.iter().for_each(|(_, value)| to.u16((value.ln_1p() * FINE).round() as u16));
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let length = from.u8()?;
        let newest = from.i64()?;
        let mut steps = VecDeque::new();
        for _ in 0..length {
            let number = newest - i64::from(from.u8()?);
            let count = from.u8()?;
            let mut values = PerResource::<f64>::default();
            for (_, value) in values.iter_mut() {
                *value = (f64::from(from.u16()?) / FINE).exp_m1();
            }
            steps.push_back(Step { number, count, values });
        }
        Some(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(recent: &Recent) -> Vec<(i64, u8, f64)> {
        recent
            .steps()
            .map(|step| (step.number, step.count, step.values[crate::model::resource::Resource::Cpu]))
            .collect()
    }

    #[test]
    fn a_late_sample_counts_in_its_own_step_and_one_without_a_step_nowhere() {
        let mut recent = Recent::default();
        let add = |recent: &mut Recent, at: i64, value: f64| recent.add(at, PerResource::from_fn(|_| value));
        add(&mut recent, 10 * STEP, 10.0);
        add(&mut recent, 12 * STEP, 30.0);
        add(&mut recent, 10 * STEP + 1, 20.0);
        assert_eq!(cpu(&recent), [(10, 2, 15.0), (12, 1, 30.0)]);
        // there was no step 11, and it is too late for one
        add(&mut recent, 11 * STEP, 99.0);
        assert_eq!(cpu(&recent), [(10, 2, 15.0), (12, 1, 30.0)]);
        // what is older than a window goes
        add(&mut recent, (9 + LENGTH as i64) * STEP, 40.0);
        assert_eq!(cpu(&recent)[0].0, 10);
        add(&mut recent, (10 + LENGTH as i64) * STEP, 50.0);
        assert_eq!(cpu(&recent)[0].0, 12);
    }

    #[test]
    fn what_is_kept_is_what_was_there_to_three_places() {
        let mut recent = Recent::default();
        for step in [3, 4, 9] {
            let value = |of: crate::model::resource::Resource| (step * 100 + of as i64) as f64;
            recent.add(step * STEP, PerResource::from_fn(value));
            recent.add(step * STEP + STEP - 1, PerResource::from_fn(value));
        }
        let mut bytes = Writer::default();
        recent.write(&mut bytes);
        assert_eq!(bytes.0[..9], [3, 9, 0, 0, 0, 0, 0, 0, 0], "three steps up to the ninth");
        assert_eq!((bytes.0[9], bytes.0[10], bytes.0[19], bytes.0[29]), (6, 2, 5, 0), "so many before it, and samples");
        let read = Recent::read(&mut Reader(&bytes.0)).unwrap();
        assert_eq!(read.0.len(), 3);
        for (read, kept) in read.steps().zip(recent.steps()) {
            assert_eq!((read.number, read.count), (kept.number, kept.count));
            for (resource, value) in kept.values.iter() {
                assert!((read.values[resource] / value - 1.0).abs() < 3e-4, "{read:?} {kept:?}");
            }
        }
        assert_eq!(Recent::read(&mut Reader(&bytes.0[..bytes.0.len() - 1])), None);
        let mut nothing = Writer::default();
        Recent::default().write(&mut nothing);
        assert_eq!((nothing.0.clone(), Recent::read(&mut Reader(&nothing.0))), (vec![0; 9], Some(Recent::default())));
    }
}

//! Random classes: the baseline that any other classifier must beat. Seeded by the
//! window's content, so that equal windows get equal answers.

use super::{Classifier, FitError, Kind, Parts, PartsError, Training};
use crate::demand::window::Window;
use crate::model::chance::{share, stirred};

/// For the registry.
pub const KIND: Kind = Kind {
    name: "random",
    aliases: &["RandomClassifier"],
    about: "random classes, a baseline",
    settings: &[],
    fit: |training| Ok(Box::new(Random::fit(training)?)),
    load: |parts| Ok(Box::new(Random::load(parts)?)),
};

/// Classes when nobody says how many, as the ancestor.
const CLASSES: usize = 3;

/// More classes than this make no sense.
const MOST: usize = 1000;

/// So many classes by chance.
#[derive(Clone, Debug)]
pub struct Random {
    classes: usize,
    seed: u64,
}

impl Random {
    fn fit(training: &Training<'_>) -> Result<Self, FitError> {
        let classes = training.classes.unwrap_or(CLASSES);
        if !(1..=MOST).contains(&classes) {
            return Err(FitError::Setting(format!("classes must be from 1 to {MOST}, not {classes}")));
        }
        // 52 bits: it is kept as a number of a model file
        Ok(Self { classes, seed: training.seed & ((1 << 52) - 1) })
    }

    fn load(parts: &Parts) -> Result<Self, PartsError> {
        let (classes, seed) = (parts.number("classes")?, parts.number("seed")?);
        if !(1.0..=MOST as f64).contains(&classes) || seed < 0.0 {
            return Err(PartsError::Form("classes".to_owned()));
        }
        Ok(Self { classes: classes as usize, seed: seed as u64 })
    }
}

impl Classifier for Random {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn distances(&self, window: &Window) -> Vec<f64> {
        let numbers = window.rows().iter().flatten().map(|value| value.to_bits());
        let mut state = numbers.fold(self.seed, |state, bits| stirred(state ^ bits));
        let mut next = || {
            state = stirred(state);
            share(state)
        };
        (0..self.classes).map(|_| next()).collect()
    }

    fn parts(&self) -> Parts {
        Parts::default().with_number("classes", self.classes as f64).with_number("seed", self.seed as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fit, kind};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn equal_windows_get_equal_classes_and_loading_changes_nothing() {
        let rows: Vec<_> = (0..112).map(|i| Some([1.0, 3200.0, f64::from(i), 1.0, 1.0, 0.0, 0.0])).collect();
        let window = Window::from_rows(&rows).unwrap();
        let settings = BTreeMap::new();
        let training = Training {
            windows: &[],
            seed: 7,
            classes: Some(4),
            settings: &settings,
            progress: &|_| {},
            checkpoint: None,
        };
        let fitted = fit("randomclassifier", &training).unwrap();
        assert_eq!(fitted.distances(&window).len(), 4);
        assert!(fitted.distances(&window).iter().all(|d| (0.0..1.0).contains(d)));
        let loaded = (kind("random").unwrap().load)(&fitted.parts()).unwrap();
        assert_eq!(loaded.distances(&window), fitted.distances(&window));
        let none = Training { classes: Some(0), ..training };
        assert!(fit("random", &none).is_err());
    }

    #[test]
    fn there_are_three_classes_and_a_thousand_at_most() {
        let settings = BTreeMap::new();
        let fitted = |classes: Option<usize>, seed: u64| {
            let (windows, progress) = (&[][..], &|_: &str| {});
            Random::fit(&Training { windows, seed, classes, settings: &settings, progress, checkpoint: None })
        };
        let kept = |classes: Option<usize>| fitted(classes, 7).map(|fitted| fitted.classes).map_err(|e| e.to_string());
        assert_eq!((kept(None), kept(Some(1)), kept(Some(1000))), (Ok(3), Ok(1), Ok(1000)));
        assert_eq!(kept(Some(1001)), Err("classes must be from 1 to 1000, not 1001".to_owned()));
        // a number of a model file holds 52 bits
        assert_eq!(fitted(None, u64::MAX).unwrap().seed, (1 << 52) - 1);
        assert_eq!(fitted(None, (1 << 52) + 5).unwrap().seed, 5);
        let loaded = |classes: f64, seed: f64| {
            Random::load(&Parts::default().with_number("classes", classes).with_number("seed", seed)).is_ok()
        };
        assert!(loaded(1.0, 0.0) && loaded(1000.0, 5.0));
        assert!(!loaded(0.0, 0.0) && !loaded(1001.0, 0.0) && !loaded(3.0, -1.0));
    }

    #[test]
    fn windows_that_differ_get_other_numbers_and_so_do_other_seeds() {
        let window = |cpu: f64| Window::from_rows(&[Some([1.0, 3200.0, cpu, 1.0, 1.0, 0.0, 0.0]); 2]).unwrap();
        let of = |seed: u64, cpu: f64| Random { classes: 2, seed }.distances(&window(cpu));
        assert!(of(1, 5.0) != of(1, 6.0) && of(1, 5.0) != of(2, 5.0) && of(1, 5.0)[0] != of(1, 5.0)[1]);
    }
}

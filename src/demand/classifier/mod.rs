//! Classifiers: from a window of one VM to how far it is from each class of VMs.
//!
//! A classifier is fitted on many windows and then a pure function of one. Three things
//! are asked of a fitted one: `distances` to its classes, `coordinates` (what the
//! calibration regresses later use on; the distances unless it knows something better) and
//! `vector`, the ancestor's class space: the distances scaled to 0..1.
//!
//! **A new classifier is one new file with a [`Kind`] and one line in [`REGISTRY`].** Its
//! weights go into the model file as [`Parts`]: named arrays of f64 or f32 and named
//! numbers. The model file is one safetensors file: arrays of the classifier are called
//! `classifier.NAME`, and the metadata holds one JSON text under `oneaio`. One key and
//! sorted names keep the bytes the same for the same content. See [`super::model`].
//!
//! Windows come without holes, NaN or negative numbers (see [`super::window`]); constant
//! columns and all-constant windows do come, and must give finite numbers.

pub mod clusters;
pub mod idec;
pub mod kmeans;
pub mod mc2pca;
pub mod parts;
pub mod random;

pub use parts::{Array, Parts, PartsError};

use super::window::Window;
use crate::model::history::Vectors;
use std::collections::BTreeMap;
use thiserror::Error;

/// A fitted classifier. Equal windows give equal answers.
pub trait Classifier: Send + Sync {
    /// As in the registry.
    fn name(&self) -> &'static str;

    /// One per class, not negative, smaller is nearer; finite for every window.
    fn distances(&self, window: &Window) -> Vec<f64>;

    /// What the window is by this classifier, in numbers that a linear fit can use. Always
    /// of the same length.
    fn coordinates(&self, window: &Window) -> Vec<f64> {
        self.distances(window)
    }

    /// The ancestor's vector: scaled so that the smallest is 0 and the largest 1.
    fn vector(&self, window: &Window) -> Vec<f64> {
        scaled(&self.distances(window))
    }

    /// The vectors of all kinds that these weights serve, by name, its own first.
    fn vectors(&self, window: &Window) -> Vectors {
        vec![(self.name().to_owned(), self.vector(window))]
    }

    /// The nearest class and how sure that is.
    fn classify(&self, window: &Window) -> Classification {
        Classification::of(self.distances(window))
    }

    /// What must be kept to load it again.
    fn parts(&self) -> Parts;
}

/// What a classifier says about a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// One per class.
    pub distances: Vec<f64>,
    /// The nearest class; the first of equals.
    pub class: usize,
    /// 1 - nearest / second nearest distance: 0 is a tie, 1 is on the class itself.
    pub confidence: f64,
}

impl Classification {
    /// From distances; without any it is class 0 and no confidence.
    #[must_use]
    pub fn of(distances: Vec<f64>) -> Self {
        let class = (0..distances.len()).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap_or(0);
        let second = (0..distances.len()).filter(|&k| k != class).map(|k| distances[k]).min_by(f64::total_cmp);
        let confidence = match (distances.get(class), second) {
            (Some(first), Some(second)) if second > 0.0 && second.is_finite() => 1.0 - first / second,
            (Some(_), None) => 1.0,
            _ => 0.0,
        };
        Self { distances, class, confidence }
    }
}

/// Min-max scaling to 0..1; zeros where all are equal, or one is no number, as the ancestor.
#[must_use]
pub fn scaled(values: &[f64]) -> Vec<f64> {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = most - least;
    if values.iter().any(|value| !value.is_finite()) || range <= 0.0 || !range.is_finite() {
        return vec![0.0; values.len()];
    }
    values.iter().map(|value| (value - least) / range).collect()
}

/// What a classifier is fitted on.
pub struct Training<'a> {
    /// In a fixed order; the order may matter (MC2PCA starts from it).
    pub windows: &'a [Window],
    /// For everything random.
    pub seed: u64,
    /// How many classes; `None`: the classifier chooses.
    pub classes: Option<usize>,
    /// The classifier's own settings (`ncp`, `epochs`, ...), by name.
    pub settings: &'a BTreeMap<String, f64>,
    /// Is told now and then what is being done, in a few words.
    pub progress: &'a dyn Fn(&str),
    /// Where long training keeps its state and goes on from; `None` starts and ends in one go.
    pub checkpoint: Option<Checkpoint<'a>>,
}

/// How trainings that take long can be stopped and gone on with. Each has a mark, a number
/// made of its windows and settings. Who trains in a moment ignores it.
#[derive(Clone, Copy)]
pub struct Checkpoint<'a> {
    /// What `keep` was last given of the training with this mark.
    pub resume: &'a dyn Fn(u64) -> Option<Parts>,
    /// Is offered the state of a training after each step; it need not take each.
    pub keep: &'a dyn Fn(u64, &dyn Fn() -> Parts),
}

impl Training<'_> {
    /// A setting, or its default.
    #[must_use]
    pub fn setting(&self, name: &str, default: f64) -> f64 {
        self.settings.get(name).copied().unwrap_or(default)
    }
}

/// Why a classifier cannot be fitted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FitError {
    /// Not enough windows, or not enough different ones.
    #[error("{found} different windows are too few for {needed} classes: collect for longer, or ask for fewer classes")]
    TooFew {
        /// Classes that were wanted.
        needed: usize,
        /// Windows that differ.
        found: usize,
    },
    /// A setting that is out of range or unknown.
    #[error("{0}")]
    Setting(String),
    /// The name is no classifier's.
    #[error("{0:?} is no classifier; there are {1}")]
    Unknown(String, String),
    /// The data do not allow it.
    #[error("{0}")]
    Degenerate(String),
}

/// A kind of classifier: how to fit it, how to load it.
pub struct Kind {
    /// In settings and model files.
    pub name: &'static str,
    /// Other names for it; the ancestor's.
    pub aliases: &'static [&'static str],
    /// In a few words, for help texts.
    pub about: &'static str,
    /// Settings that it understands.
    pub settings: &'static [&'static str],
    /// Fits one.
    pub fit: fn(&Training<'_>) -> Result<Box<dyn Classifier>, FitError>,
    /// Loads one from what `parts` gave.
    pub load: fn(&Parts) -> Result<Box<dyn Classifier>, PartsError>,
}

/// All classifiers; the first is the default.
pub const REGISTRY: &[Kind] = &[kmeans::KIND, mc2pca::KIND, random::KIND, idec::KIND, idec::SOFT];

/// A kind by its name or alias, in any case.
///
/// # Errors
/// When there is none; the error lists them.
pub fn kind(name: &str) -> Result<&'static Kind, FitError> {
    let known = |kind: &&Kind| {
        kind.name.eq_ignore_ascii_case(name) || kind.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    };
    REGISTRY.iter().find(known).ok_or_else(|| {
        let names: Vec<&str> = REGISTRY.iter().map(|kind| kind.name).collect();
        FitError::Unknown(name.to_owned(), names.join(", "))
    })
}

#[cfg(test)]
#[test]
fn names_in_settings_are_those_of_the_registry() {
    use crate::model::policy::{CLASSIFIERS, classifier};
    assert_eq!(CLASSIFIERS.map(|(ours, _)| ours).as_slice(), REGISTRY.iter().map(|kind| kind.name).collect::<Vec<_>>());
    for (ours, seeds) in CLASSIFIERS {
        assert_eq!((kind(seeds).map(|kind| kind.name), classifier(&seeds.to_lowercase())), (Ok(ours), Some(ours)));
    }
    assert_eq!(classifier("DLI"), None);
}

/// Fits the named classifier.
///
/// # Errors
/// When it is unknown, a setting is, or the data do not allow it.
pub fn fit(name: &str, training: &Training<'_>) -> Result<Box<dyn Classifier>, FitError> {
    let kind = kind(name)?;
    if let Some(odd) = training.settings.keys().find(|key| !kind.settings.contains(&key.as_str())) {
        let known = if kind.settings.is_empty() { "none".to_owned() } else { kind.settings.join(", ") };
        return Err(FitError::Setting(format!("{odd:?} is no setting of {}; it has {known}", kind.name)));
    }
    (kind.fit)(training)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_nearest_and_as_sure_as_it_is_nearer_than_the_next() {
        let of = |distances: &[f64]| {
            let found = Classification::of(distances.to_vec());
            assert_eq!(found.distances, distances);
            (found.class, found.confidence)
        };
        assert_eq!(of(&[4.0, 1.0, 2.0]), (1, 0.5));
        assert_eq!(of(&[3.0, 3.0]), (0, 0.0));
        assert_eq!(of(&[0.0, 3.0]), (0, 1.0));
        assert_eq!(of(&[0.0, 0.0]), (0, 0.0), "on both of them");
        assert_eq!(of(&[7.0]), (0, 1.0), "there is no other");
        assert_eq!(of(&[1.0, f64::INFINITY]), (0, 0.0));
        assert_eq!(of(&[]), (0, 0.0));
    }

    #[test]
    fn scaled_values_go_from_none_to_all() {
        assert_eq!(scaled(&[3.0, 5.0, 4.0]), [0.0, 1.0, 0.5]);
        for flat in [vec![], vec![2.0, 2.0], vec![1.0, f64::NAN], vec![1.0, f64::INFINITY], vec![-f64::MAX, f64::MAX]] {
            assert_eq!(scaled(&flat), vec![0.0; flat.len()], "{flat:?}");
        }
    }

    #[test]
    fn what_nobody_knows_is_refused_with_what_there_is() {
        let fitted = |name: &str, settings: &[&str]| {
            let settings = settings.iter().map(|name| ((*name).to_owned(), 1.0)).collect();
            let training = Training {
                windows: &[],
                seed: 1,
                classes: Some(2),
                settings: &settings,
                progress: &|_| {},
                checkpoint: None,
            };
            fit(name, &training).map(|fitted| fitted.name()).map_err(|error| error.to_string())
        };
        assert_eq!(fitted("RANDOM", &[]), Ok("random"));
        let all = "kmeans, mc2pca, random, idec, idec-soft";
        assert_eq!(fitted("seed", &[]), Err(format!("\"seed\" is no classifier; there are {all}")));
        assert_eq!(fitted("random", &["ncp"]), Err("\"ncp\" is no setting of random; it has none".to_owned()));
        assert_eq!(fitted("mc2pca", &["starts"]), Err("\"starts\" is no setting of mc2pca; it has ncp".to_owned()));
        let few = "0 different windows are too few for 2 classes: collect for longer, or ask for fewer classes";
        assert_eq!(fitted("kmeans", &["starts"]), Err(few.to_owned()));
    }
}

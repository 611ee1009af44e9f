//! What was set over REST: acts from the next request on, and survives a restart only
//! where a file is named for it.

use crate::machine::files::{Sync, text, write_whole};
use crate::machine::locks::lock;
use crate::model::chance::mixed;
use crate::model::ids::VmId;
use crate::model::policy::{Policy, Resources, Scheduler, classifier};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// AI-Orchestrator's names of classifiers.
pub const CLASSIFIERS: [&str; 4] = ["RandomClassifier", "DLIR", "DLClassifier", "ClassicalClassifier"];
/// AI-Orchestrator's names of schedulers; the last one is spelt as its code spells it.
pub const SCHEDULERS: [&str; 3] = ["RandomScheduler", "InterferenceAwareScheduler", "InteferenceAwareScheduler"];
/// Classes of the RandomClassifier, as in AI-Orchestrator.
const CLASSES: u64 = 3;
/// The largest s_green.
pub const LARGEST_SCALAR: f64 = 1000.0;

/// What was set; `None` is as configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// One of `CLASSIFIERS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier: Option<String>,
    /// One of `SCHEDULERS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// s_green.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_cost_scalar: Option<f64>,
}

impl Chosen {
    /// The configured policy with what was set over it.
    #[must_use]
    pub fn over(&self, policy: &Policy) -> Policy {
        let mut policy = policy.clone();
        if let Some(scalar) = self.energy_cost_scalar {
            policy.s_green = scalar;
        }
        // AI-Orchestrator balances what its classifier tells, whichever that is
        if let Some(name) = &self.classifier {
            policy.resources = Resources::Classes;
            policy.classifier = classifier(name).filter(|_| name != CLASSIFIERS[0]);
        }
        if let Some(name) = &self.scheduler {
            let random = name == SCHEDULERS[0];
            policy.scheduler = if random { Scheduler::Random } else { Scheduler::Interference };
        }
        policy
    }

    /// What the RandomClassifier tells of a VM, always the same; `None` when it is not chosen.
    #[must_use]
    pub fn random_vector(&self, vm: VmId) -> Option<Vec<f64>> {
        let chosen = self.classifier.as_deref() == Some(CLASSIFIERS[0]);
        chosen.then(|| (0..CLASSES).map(|class| uniform(vm, class)).collect())
    }

    /// What a file of ours says; nothing for a file that is not there.
    ///
    /// # Errors
    /// When it cannot be read or holds something else; says what to do.
    pub fn load(path: &Path) -> Result<Self, String> {
        let content = match text(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let wrong = |problem: String| format!("{}: {problem}; mend the file or remove it", path.display());
        let chosen: Self = serde_json::from_str(&content).map_err(|error| wrong(error.to_string()))?;
        let known =
            |name: &Option<String>, names: &[&str]| name.as_ref().is_none_or(|name| names.contains(&name.as_str()));
        if !known(&chosen.classifier, &CLASSIFIERS) || !known(&chosen.scheduler, &SCHEDULERS) {
            return Err(wrong("it names an unknown classifier or scheduler".to_owned()));
        }
        if chosen.energy_cost_scalar.is_some_and(|scalar| !(0.0..=LARGEST_SCALAR).contains(&scalar)) {
            return Err(wrong(format!("energy_cost_scalar is not between 0 and {LARGEST_SCALAR}")));
        }
        Ok(chosen)
    }
}

/// From 0 to 1, by chance.
fn uniform(vm: VmId, class: u64) -> f64 {
    (mixed(&[u64::from(vm.0.unsigned_abs()), class]) >> 11) as f64 / (1_u64 << 53) as f64
}

/// What is set now.
#[derive(Debug)]
pub struct Choice {
    now: Mutex<Arc<Chosen>>,
    /// One change at a time, so that file and memory agree.
    changing: Mutex<()>,
    file: Option<PathBuf>,
}

impl Choice {
    /// Begins with what was kept.
    pub fn new(chosen: Chosen, file: Option<PathBuf>) -> Self {
        Self { now: Mutex::new(Arc::new(chosen)), changing: Mutex::new(()), file }
    }

    /// What is set now.
    pub fn now(&self) -> Arc<Chosen> {
        lock(&self.now).clone()
    }

    /// Changes what is set, for all requests that begin later.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing is changed.
    pub fn change(&self, change: impl FnOnce(&mut Chosen)) -> std::io::Result<()> {
        let _changing = lock(&self.changing);
        let mut next = (*self.now()).clone();
        change(&mut next);
        if let Some(file) = &self.file {
            write_whole(file, &serde_json::to_vec_pretty(&next)?, 0o640, Sync::Yes)?;
        }
        *lock(&self.now) = Arc::new(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_set_acts_and_is_kept_where_asked() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("state.json");
        let choice = Choice::new(Chosen::load(&file).expect("none yet"), Some(file.clone()));
        choice.change(|chosen| chosen.energy_cost_scalar = Some(3.0)).expect("kept");
        choice.change(|chosen| chosen.classifier = Some("DLIR".to_owned())).expect("kept");
        assert!((choice.now().over(&Policy::default()).s_green - 3.0).abs() < 1e-12);
        assert_eq!(Chosen::load(&file).expect("reads"), *choice.now());

        let nowhere = Choice::new(Chosen::default(), Some(folder.path().join("no/folder")));
        assert!(nowhere.change(|chosen| chosen.energy_cost_scalar = Some(3.0)).is_err());
        assert_eq!(*nowhere.now(), Chosen::default());
    }

    #[test]
    fn a_classifier_makes_classes_what_is_balanced() {
        let chosen = |name: &str| Chosen { classifier: Some(name.to_owned()), ..Chosen::default() };
        assert_eq!(Chosen::default().over(&Policy::default()).resources, Resources::Metrics);
        for (name, ours) in [("DLIR", Some("idec")), ("DLClassifier", Some("idec-soft")), ("RandomClassifier", None)] {
            let policy = chosen(name).over(&Policy::default());
            assert_eq!((policy.resources, policy.classifier), (Resources::Classes, ours));
        }
        assert_eq!(chosen("DLIR").random_vector(VmId(1)), None);
        let vectors: Vec<_> = (0..1000).filter_map(|vm| chosen("RandomClassifier").random_vector(VmId(vm))).collect();
        let mean = vectors.iter().flatten().sum::<f64>() / 3000.0;
        assert!((mean - 0.5).abs() < 0.05 && vectors[1] != vectors[2], "{mean}");
        assert!(vectors.iter().flatten().all(|x| (0.0..1.0).contains(x)));
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("state.json");
        for text in ["", "[]", "{\"classifier\":\"x\"}", "{\"energy_cost_scalar\":-1}", "{\"other\":1}"] {
            fs::write(&file, text).expect("file");
            let problem = Chosen::load(&file).expect_err(text);
            assert!(problem.contains("state.json") && problem.contains("mend"), "{problem}");
        }
    }

    #[test]
    fn what_a_file_may_hold_ends_where_it_ends() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("state.json");
        let load = |text: &str| {
            fs::write(&file, text).expect("file");
            Chosen::load(&file)
        };
        for name in CLASSIFIERS {
            assert!(load(&format!("{{\"classifier\":\"{name}\"}}")).is_ok(), "{name}");
        }
        for name in SCHEDULERS {
            assert!(load(&format!("{{\"scheduler\":\"{name}\"}}")).is_ok(), "{name}");
        }
        let unknown = |text: &str| load(text).is_err_and(|told| told.contains("unknown classifier or scheduler"));
        assert!(unknown("{\"classifier\":\"DLIR\",\"scheduler\":\"x\"}"));
        assert!(unknown("{\"classifier\":\"x\",\"scheduler\":\"RandomScheduler\"}"));
        for (scalar, good) in [("0", true), ("1000", true), ("1000.5", false), ("-0.5", false)] {
            let found = load(&format!("{{\"energy_cost_scalar\":{scalar}}}"));
            assert_eq!(found.is_ok(), good, "{scalar}");
            let told = format!("energy_cost_scalar is not between 0 and {LARGEST_SCALAR}");
            assert!(good || found.is_err_and(|error| error.contains(&told)), "{scalar}");
        }
        assert!(Chosen::load(folder.path()).is_err_and(|told| told.contains("cannot be read")));
        assert_eq!(Chosen::load(&folder.path().join("none")), Ok(Chosen::default()));
    }

    #[test]
    fn a_scheduler_is_the_random_one_or_ours_and_nothing_else_changes() {
        let policy = Policy { scheduler: Scheduler::Random, s_green: 3.0, ..Policy::default() };
        assert_eq!(Chosen::default().over(&policy), policy);
        let of = |name: &str| Chosen { scheduler: Some(name.to_owned()), ..Chosen::default() }.over(&policy);
        assert_eq!(of(SCHEDULERS[0]), policy);
        for name in &SCHEDULERS[1..] {
            assert_eq!(of(name), Policy { scheduler: Scheduler::Interference, ..policy.clone() });
        }
    }

    #[test]
    fn chance_is_the_same_for_a_vm_and_another_for_each_class() {
        let chosen = Chosen { classifier: Some(CLASSIFIERS[0].to_owned()), ..Chosen::default() };
        let vector = chosen.random_vector(VmId(5)).unwrap();
        assert_eq!((vector.len(), Some(vector.clone())), (CLASSES as usize, chosen.random_vector(VmId(5))));
        assert!(vector[0] != vector[1] && vector[1] != vector[2]);
        assert_eq!(Chosen::default().random_vector(VmId(5)), None);
    }
}

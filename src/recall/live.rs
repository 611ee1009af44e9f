//! The store of a long-running service: opened again when it was lost, in the background,
//! so that decisions meet a store that answers, or none.

use crate::config::Store;
use crate::decide::Decided;
use crate::history::StoreError;
use crate::machine::locks::lock;
use crate::model::history::Recall;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::recall::history::History;
use crate::server::{Memory, StoreHealth};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Between two looks at a store that answers.
const LOOK: Duration = Duration::from_secs(10);

/// After a look at a lost store, until the next; twice as long each time, up to [`LOOK`].
const SOON: Duration = Duration::from_millis(500);

/// A store that may come and go.
pub struct Remembered {
    store: Option<Store>,
    deadline: f64,
    model: PathBuf,
    live: Mutex<Option<History>>,
    stand: Mutex<Stand>,
}

#[derive(Default)]
struct Stand {
    answered: Option<Instant>,
    failures: u64,
    failure: Option<String>,
}

impl Remembered {
    /// Begins to keep a store open; `None` for none. The first opening is waited for.
    /// `model` is where the model of demands lies, if there is one.
    pub fn start(store: Option<Store>, deadline: f64, model: PathBuf) -> Arc<Self> {
        let has_store = store.is_some();
        let all = Self { store, deadline, model, live: Mutex::default(), stand: Mutex::default() };
        let remembered = Arc::new(all);
        if has_store {
            remembered.look();
            let kept = Arc::downgrade(&remembered);
            std::thread::spawn(move || {
                let mut lost = SOON;
                while let Some(remembered) = kept.upgrade() {
                    let is_lost = lock(&remembered.stand).failure.is_some();
                    drop(remembered);
                    std::thread::sleep(if is_lost { lost } else { LOOK });
                    lost = if is_lost { (lost * 2).min(LOOK) } else { SOON };
                    match kept.upgrade() {
                        Some(remembered) => remembered.look(),
                        None => return,
                    }
                }
            });
        }
        remembered
    }

    /// Asks whether the store answers, and opens it where it is not open.
    fn look(&self) {
        let mut live = lock(&self.live);
        let history = match (live.take(), &self.store) {
            (Some(history), _) => history,
            (None, Some(store)) => {
                // opening may take its time; decisions go on without
                drop(live);
                let history = History::start(store.clone(), self.deadline);
                let answered = history.answers();
                live = lock(&self.live);
                if self.note(answered).is_some() {
                    *live = Some(history);
                }
                return;
            }
            (None, None) => return,
        };
        *live = self.ask(history, History::answers).0;
    }

    /// Asks a store that is open; it comes back unless it failed.
    fn ask<T>(
        &self,
        mut history: History,
        question: impl FnOnce(&History) -> Result<T, StoreError>,
    ) -> (Option<History>, Option<T>) {
        history.renew();
        let answer = self.note(question(&history));
        (answer.is_some().then_some(history), answer)
    }

    fn note<T>(&self, answer: Result<T, StoreError>) -> Option<T> {
        let mut stand = lock(&self.stand);
        match answer {
            Ok(answer) => {
                if stand.failure.take().is_some() {
                    log::info!("history is used again");
                }
                stand.answered = Some(Instant::now());
                Some(answer)
            }
            Err(error) => {
                stand.failures += 1;
                // said once until it is back
                if stand.failure.is_none() {
                    log::warn!("history is not used, VMs count as what they ask for: {error}");
                }
                stand.failure = Some(error.to_string());
                None
            }
        }
    }
}

impl Memory for Remembered {
    fn recall(&self, snapshot: &Snapshot, policy: &Policy, now: i64) -> Recall {
        let mut live = lock(&self.live);
        let Some(history) = live.take() else { return Recall::default() };
        let history = history.with_classes(policy);
        let (history, recall) = self.ask(history, |history| history.try_recall(snapshot, Some(now)));
        *live = history;
        recall.unwrap_or_default()
    }

    fn remember(&self, decided: &Decided, now: i64) {
        if decided.planned.plan.actions.is_empty() && decided.notes.is_none() {
            return;
        }
        let mut live = lock(&self.live);
        let Some(history) = live.take() else { return };
        *live = self.ask(history, |history| history.try_remember(decided, now * 1000)).0;
    }

    fn health(&self) -> StoreHealth {
        let stand = lock(&self.stand);
        StoreHealth {
            configured: self.store.is_some(),
            age: stand.answered.map(|at| at.elapsed()),
            failures: stand.failures,
            failure: stand.failure.clone(),
        }
    }

    fn model_age(&self) -> Option<Duration> {
        let made = std::fs::metadata(&self.model).and_then(|file| file.modified()).ok()?;
        // a file from the future is new
        Some(made.elapsed().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide;
    use crate::history::sqlite::SqliteStore;
    use crate::history::{Placing, Training};
    use crate::model::history::Notes;
    use crate::model::ids::VmId;
    use crate::placement::testing::{ask, cloud};
    use std::path::Path;
    use std::time::SystemTime;

    /// Nobody looks in the background.
    fn remembered(store: Option<Store>, model: &Path) -> Remembered {
        Remembered { store, deadline: 20.0, model: model.to_owned(), live: Mutex::default(), stand: Mutex::default() }
    }

    fn of_file(path: &Path) -> Remembered {
        remembered(Some(Store::Sqlite(path.to_owned())), Path::new("/no/model"))
    }

    fn decided() -> Decided {
        let mut snapshot = cloud(&[8]);
        ask(&mut snapshot, 1, &[0]);
        decide::place_snapshot(snapshot, &Recall::default(), &Policy::default())
    }

    fn is_open(remembered: &Remembered) -> bool {
        lock(&remembered.live).is_some()
    }

    #[test]
    fn without_a_store_nothing_is_known_and_nothing_fails() {
        let none = Remembered::start(None, 1.0, PathBuf::new());
        none.look();
        assert!(!is_open(&none));
        assert_eq!(none.recall(&Snapshot::default(), &Policy::default(), 5).now, 0);
        none.remember(&decided(), 5);
        let health = none.health();
        assert!(!health.configured && health.age.is_none() && health.failures == 0 && health.failure.is_none());
    }

    #[test]
    fn the_first_opening_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = Store::Sqlite(folder.path().join("history.db"));
        let remembered = Remembered::start(Some(file), 20.0, PathBuf::new());
        assert!(is_open(&remembered));
        let health = remembered.health();
        assert!(health.configured && health.age.is_some() && health.failures == 0);
    }

    #[test]
    fn a_store_that_is_lost_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("later/history.db");
        let remembered = of_file(&file);
        remembered.look();
        remembered.look();
        let health = remembered.health();
        assert!(!is_open(&remembered) && health.age.is_none() && health.failures == 2);
        assert!(health.failure.unwrap().starts_with("it cannot be reached"));
        std::fs::create_dir(folder.path().join("later")).unwrap();
        remembered.look();
        let health = remembered.health();
        assert!(is_open(&remembered) && health.age.is_some() && health.failures == 2 && health.failure.is_none());
        // an open one is asked again, and given up where it does not answer
        remembered.look();
        assert!(is_open(&remembered));
        rusqlite::Connection::open(&file).unwrap().execute_batch("DROP TABLE placements").unwrap();
        remembered.look();
        let health = remembered.health();
        assert!(!is_open(&remembered) && health.failures == 3 && health.failure.is_some() && health.age.is_some());
        assert_eq!(remembered.recall(&Snapshot::default(), &Policy::default(), 5).now, 0);
    }

    #[test]
    fn requests_are_told_what_is_known_and_what_is_planned_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.db");
        let remembered = of_file(&file);
        remembered.look();
        let mut store = SqliteStore::open(&file, Duration::from_secs(5)).unwrap();
        let decided = decided();
        remembered.remember(&decided, 50);
        let kept = store.placements(0).unwrap();
        assert_eq!(kept.iter().map(|one| (one.vm, one.at)).collect::<Vec<_>>(), [(VmId(0), 50_000)]);
        let recall = remembered.recall(&decided.snapshot, &Policy::default(), 60);
        assert_eq!((recall.now, recall.placements), (60, kept.clone()));
        assert!(is_open(&remembered) && remembered.health().failures == 0);
        // a plan of nothing is not asked to be kept, unless there is something to note
        let nothing = || decide::place_snapshot(cloud(&[8]), &Recall::default(), &Policy::default());
        remembered.remember(&nothing(), 90_000);
        assert_eq!(store.placements(0), Ok(kept), "nothing is forgotten either");
        let notes = Notes { answered: 7, ..Notes::default() };
        remembered.remember(&Decided { notes: Some(notes.clone()), ..nothing() }, 90_000);
        assert_eq!((store.placements(0), store.notes(), store.known()), (Ok(vec![]), Ok(notes), Ok(vec![])));
        assert!(is_open(&remembered));
    }

    #[test]
    fn a_model_is_as_old_as_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model");
        assert_eq!(remembered(None, &file).model_age(), None);
        let made = std::fs::File::create(&file).unwrap();
        let hour = Duration::from_secs(3600);
        made.set_modified(SystemTime::now() - hour).unwrap();
        assert!(remembered(None, &file).model_age().unwrap() >= hour);
        made.set_modified(SystemTime::now() + hour).unwrap();
        assert_eq!(remembered(None, &file).model_age(), Some(Duration::ZERO), "of the future");
    }
}

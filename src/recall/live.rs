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
        if decided.planned.plan.actions.is_empty() && decided.troubles.is_none() {
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

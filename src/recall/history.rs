//! The store that a run is configured to use, and what `place` wants from it.

use super::intake::{CLOCKS, Intake};
use crate::config::{Settings, Store};
use crate::decide::{self, Decided, FORGOTTEN, Optimized};
use crate::demand::model::Model;
use crate::demand::observed;
use crate::history::sqlite::SqliteStore;
use crate::history::timescale::{self, TimescaleStore};
use crate::history::worker::{Open, Worker};
use crate::history::{Described, HistoryStore, Kind, Placing, Sent, StoreError};
use crate::machine::files::own_as_folder;
use crate::machine::installation::{Installation, folder_exists};
use crate::machine::locks::lock;
use crate::model::history::{Attempts, Estimate, Group, Notes, Placement, Recall, Vectors};
use crate::model::ids::VmId;
use crate::model::policy::{Policy, Resources};
use crate::model::sample::{Counters, VmIdentity};
use crate::model::snapshot::Snapshot;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a placement of ours is remembered, in seconds. By then monitoring shows it.
const REMEMBERED: i64 = 900;

/// Carbon intensity of a zone holds for this many seconds; series are by the hour.
pub const CARBON_AGE: i64 = 3 * 3600;

/// The configured store, or the default file where its folder exists; `None` for none.
pub fn chosen(settings: &Settings) -> Option<Store> {
    match &settings.history {
        Some(Store::None) => None,
        Some(store) => Some(store.clone()),
        None => {
            let file = Installation::here().history();
            folder_exists(&file).then_some(Store::Sqlite(file))
        }
    }
}

/// Opens a store for reading and writing, and makes its tables where they are missing.
pub fn open(store: &Store, patience: Duration) -> Result<Box<dyn HistoryStore>, StoreError> {
    Ok(match store {
        Store::None => return Err(StoreError::Other("`history.store` is none".to_owned())),
        Store::Sqlite(path) => {
            let store = Box::new(SqliteStore::open(path, patience)?);
            for beside in ["", "-wal", "-shm"] {
                let mut name = path.as_os_str().to_owned();
                name.push(beside);
                own_as_folder(Path::new(&name));
            }
            store
        }
        Store::Postgres(address) => Box::new(TimescaleStore::open(address, patience)?),
    })
}

/// Makes the tables of a store where they are missing, also beside those of other programs in
/// one database, and in the form that suits the engine. What there is then, in words.
pub fn init(store: &Store, patience: Duration) -> Result<String, StoreError> {
    match store {
        Store::Postgres(address) => TimescaleStore::init(address, patience),
        Store::Sqlite(path) => open(store, patience).map(|_| path.display().to_string()),
        Store::None => Err(StoreError::Other("`history.store` is none".to_owned())),
    }
}

/// Opens a store of ours as it is, without making or changing tables.
pub fn open_as_it_is(store: &Store, patience: Duration) -> Result<Box<dyn HistoryStore>, StoreError> {
    match store {
        Store::Postgres(address) => Ok(Box::new(TimescaleStore::connect_to_ours(address, patience)?)),
        Store::Sqlite(_) | Store::None => open(store, patience),
    }
}

/// Opens a store of ours that is there, to read it.
pub fn open_to_read(store: &Store, patience: Duration) -> Result<Box<dyn HistoryStore>, StoreError> {
    match store {
        Store::Sqlite(path) => Ok(Box::new(SqliteStore::open_read_only(path, patience)?)),
        Store::Postgres(_) | Store::None => open_as_it_is(store, patience),
    }
}

/// Opens a store, or a database that is only read, to tell what it is.
pub fn open_to_describe(store: &Store, patience: Duration) -> Result<Box<dyn Described>, StoreError> {
    match store {
        Store::Postgres(address) => timescale::described(address, patience),
        Store::Sqlite(_) | Store::None => Ok(open(store, patience)?),
    }
}

/// History on the placement path: asked once, within a deadline, and done without when it
/// does not answer.
pub struct History {
    worker: Worker,
    /// Whether class vectors are wanted, and of which classifier: `None` inside for those of the
    /// model that is there.
    classes: Option<Option<&'static str>>,
    /// Of whose classes it was said that there are none.
    lacking: Arc<Mutex<Option<&'static str>>>,
    model: Arc<Option<Model>>,
}

impl History {
    /// Starts opening the store of a run, while the request is still being read.
    pub fn start(store: Store, deadline: f64) -> Self {
        let deadline = Duration::from_secs_f64(deadline);
        let opening: Open = Box::new(move || match &store {
            Store::Postgres(address) => timescale::reader(address, deadline),
            // what may only be read is still worth reading
            Store::Sqlite(path) => match open(&store, deadline) {
                Err(StoreError::ReadOnly) => Ok(Box::new(SqliteStore::open_read_only(path, deadline)?)),
                outcome => Ok(outcome?),
            },
            Store::None => Ok(open(&store, deadline)?),
        });
        Self { worker: Worker::start(opening, deadline), classes: None, lacking: Arc::default(), model: Arc::default() }
    }

    /// Starts opening a file that may come from elsewhere, and is only read.
    pub fn foreign(path: PathBuf, deadline: f64) -> Self {
        let deadline = Duration::from_secs_f64(deadline);
        let opening: Open = Box::new(move || {
            SqliteStore::open_foreign(&path, deadline).map(|store| Box::new(store) as Box<dyn Placing>)
        });
        Self { worker: Worker::start(opening, deadline), classes: None, lacking: Arc::default(), model: Arc::default() }
    }

    /// Makes estimates of what requests tell by a model.
    pub fn with_model(self, model: Option<Model>) -> Self {
        Self { model: Arc::new(model), ..self }
    }

    /// Asks for class vectors too, where a policy balances them.
    pub fn with_classes(self, policy: &Policy) -> Self {
        let wanted = policy.resources == Resources::Classes;
        Self { classes: wanted.then_some(policy.classifier), ..self }
    }

    /// What is known about the VMs of a request; nothing, said once, when the store is lost.
    pub fn recall(&self, snapshot: &Snapshot, now: Option<i64>) -> Recall {
        self.try_recall(snapshot, now).unwrap_or_else(|error| {
            log::warn!("history is not used, VMs count as what they ask for, none pauses: {error}");
            Recall::default()
        })
    }

    /// Begins to keep what a request tells of its VMs; the store works while we plan.
    pub fn absorb(&self, snapshot: &Snapshot, now: i64) -> Keeping<'_> {
        let told = snapshot.vms.iter().filter_map(|vm| vm.monitoring.as_ref());
        let counters: Vec<Counters> = told.map(|sample| sample.counters).collect();
        let model = Arc::clone(&self.model);
        let begun = self.worker.begin(move |store| {
            store.begin_reading()?;
            let known = store.collecting().map(|store| {
                let mut known = store.counters(Kind::Vm)?;
                known.extend(store.counters(Kind::Told)?);
                Ok::<_, StoreError>(known)
            });
            store.end_reading()?;
            let Some((known, store)) = known.transpose()?.zip(store.collecting()) else { return Ok(0) };
            let mut intake = Intake::new(store, model.as_ref().as_ref(), known, Kind::Told, now);
            counters.iter().for_each(|counters| intake.take(counters));
            intake.flush();
            intake.failure.map_or(Ok(intake.fresh), Err)
        });
        Keeping { history: self, begun }
    }

    /// As [`Self::recall`], or why there is nothing. Half a dozen round trips, however large
    /// the request is. Our own placements matter for a request of `now`, not for an old one.
    pub fn try_recall(&self, snapshot: &Snapshot, now: Option<i64>) -> Result<Recall, StoreError> {
        let vms = decide::concerned(snapshot);
        let keys = observed::keys_of(snapshot);
        // those of whom the request says more than their size
        let told: HashSet<VmId> =
            snapshot.vms.iter().filter(|vm| vm.identity != VmIdentity::default()).map(|vm| vm.id).collect();
        let (at, classes, lacking) = (snapshot.taken_at, self.classes, Arc::clone(&self.lacking));
        let placed: Vec<VmId> = snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id).collect();
        let questions = move |store: &mut dyn Placing| {
            let estimates: HashMap<VmId, Estimate> = store.estimates(&vms)?.into_iter().collect();
            let relatives: HashMap<String, Group> = store.relatives(&keys)?.into_iter().collect();
            let untrusted = |vm: &VmId| estimates.get(vm).is_none_or(|estimate| estimate.trust < 1.0);
            let strangers: Vec<VmId> = vms.iter().copied().filter(|vm| !told.contains(vm) && untrusted(vm)).collect();
            // without relatives it does not matter who they are
            let asked = if relatives.is_empty() { &[][..] } else { &strangers };
            let identities = store.identities(Some(asked))?.into_iter().collect();
            let vectors = match classes {
                Some(of) => chosen_vectors(store.vectors(&vms)?, of, &lacking),
                None => HashMap::new(),
            };
            let carbon = store.carbon(at, CARBON_AGE)?.into_iter().collect();
            let mut recall = Recall { estimates, relatives, identities, vectors, carbon, ..Recall::default() };
            if let Some(now) = now {
                let recent = |placement: &Placement| placement.at <= (now + CLOCKS) * 1000;
                let since = (now - REMEMBERED) * 1000;
                recall.placements = store.placements(since)?.into_iter().filter(recent).collect();
                recall.attempts = store.attempts(&placed)?.into_iter().collect();
                recall.notes = store.notes()?;
                recall.now = now;
            }
            Ok(recall)
        };
        self.worker.ask(move |store| {
            store.begin_reading()?;
            let answers = questions(store);
            let ended = store.end_reading();
            answers.and_then(|recall| ended.map(|()| recall))
        })
    }

    /// Whether the store answers.
    pub fn answers(&self) -> Result<(), StoreError> {
        self.worker.ask(|store| store.placements(i64::MAX).map(drop))
    }

    /// Gives the next questions the whole deadline again.
    pub fn renew(&mut self) {
        self.worker.renew();
    }

    /// Keeps the placements of a plan that was answered at `moment` (milliseconds since 1970), for the next
    /// request.
    pub fn remember(&self, decided: &Decided, moment: i64) {
        match self.try_remember(decided, moment) {
            Ok(()) => {}
            Err(error @ (StoreError::ReadOnly | StoreError::NotWritable(_) | StoreError::Full)) => log::warn!(
                "placements are not remembered, two quick requests may pile onto one host, and VMs that do not start \
                 do not pause: {error}"
            ),
            Err(error) => log::debug!("placements are not remembered: {error}"),
        }
    }

    /// Keeps which migrations were planned at `moment` (milliseconds since 1970), to see whether they happen, and
    /// what is still under way by answers before.
    pub fn remember_migrations(&self, optimized: &Optimized, moment: i64) {
        let attempts = optimized.attempts.clone();
        let kept = self.keep(Vec::new(), attempts, optimized.notes(moment), moment);
        if let Err(error) = kept {
            log::debug!("planned migrations are not remembered: {error}");
        }
    }

    /// As [`Self::remember`], or why not.
    pub fn try_remember(&self, decided: &Decided, moment: i64) -> Result<(), StoreError> {
        let now = moment.div_euclid(1000);
        let placements = decided.placements(moment);
        self.keep(placements, decided.attempts(now), decided.notes.clone(), moment)
    }

    /// What earlier requests left to know.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub fn notes(&self) -> Result<Notes, StoreError> {
        self.worker.ask(|store| store.notes())
    }

    fn keep(
        &self,
        placements: Vec<Placement>,
        attempts: Vec<(VmId, Attempts)>,
        notes: Option<Notes>,
        moment: i64,
    ) -> Result<(), StoreError> {
        let now = moment.div_euclid(1000);
        self.worker.ask(move |store| {
            store.remember(&Sent {
                placements: &placements,
                attempts: &attempts,
                notes: notes.as_ref(),
                // those of a front-end whose clock differs stay
                placements_since: (now - REMEMBERED - CLOCKS) * 1000,
                placements_until: (now + CLOCKS) * 1000,
                attempts_since: now - FORGOTTEN - CLOCKS,
                until: now + CLOCKS,
            })
        })
    }
}

/// The vectors of one classifier. Of VMs that have none of its vectors, those of the model that
/// is there count, which is said once.
fn chosen_vectors(
    all: Vec<(VmId, Vectors)>,
    of: Option<&'static str>,
    lacking: &Mutex<Option<&'static str>>,
) -> HashMap<VmId, Vec<f64>> {
    let mut chosen = HashMap::with_capacity(all.len());
    let mut lacks = None;
    for (vm, vectors) in all {
        let own = vectors.first().map(|(name, _)| name.clone());
        let named = of.and_then(|of| vectors.iter().position(|(name, _)| name == of));
        if named.is_none() && of.is_some() {
            lacks = own.or(lacks);
        }
        chosen.extend(vectors.into_iter().nth(named.unwrap_or(0)).map(|(_, vector)| (vm, vector)));
    }
    let mut lacking = lock(lacking);
    if let (Some(is), Some(of), true) = (&lacks, of, *lacking != of) {
        let is = if is.is_empty() { "an older one" } else { is };
        log::warn!(
            "the model is {is}, not {of}: its classes are balanced; `oneaio train --classifier {of}` makes the other"
        );
    }
    *lacking = lacks.and(of);
    chosen
}

/// Samples on their way into the store.
pub struct Keeping<'a> {
    history: &'a History,
    begun: Result<Receiver<Result<usize, StoreError>>, StoreError>,
}

impl Keeping<'_> {
    /// Waits for the rest, as long as the deadline allows. Nothing is lost for good: what is
    /// not kept comes again.
    pub fn finish(self) {
        match self.begun.and_then(|answers| self.history.worker.wait(&answers)) {
            Ok(fresh) => log::debug!("kept new samples: {fresh}"),
            Err(error) => log::debug!("the samples of this request are not kept: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;

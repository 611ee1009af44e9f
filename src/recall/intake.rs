//! Counters of VMs on their way into the store: to rates, in chunks, by `learn::absorb`.
//! The collector and cluster optimization share it.

use crate::demand::model::Model;
use crate::history::rates::RateMeter;
use crate::history::{Batch, Collecting, Kind, StoreError};
use crate::learn;
use crate::model::ids::VmId;
use crate::model::sample::{Counters, VmSample};
use std::collections::HashMap;

/// Samples that go into the store in one transaction; bounds memory.
pub const CHUNK: usize = 20_000;

/// A sample from further in the future has a wrong clock.
pub const AHEAD: i64 = 300;

/// Seconds that the clocks of front-ends which share a store may differ by.
pub const CLOCKS: i64 = 900;

/// Takes counters; after a failure it takes no more.
pub struct Intake<'s> {
    store: &'s mut dyn Collecting,
    model: Option<&'s Model>,
    meter: RateMeter,
    samples: Vec<VmSample>,
    newest: HashMap<i32, Counters>,
    kind: Kind,
    /// The newest moment that was told, by the clocks of the hosts.
    pub newest_at: Option<i64>,
    /// Samples that were not known before.
    pub fresh: usize,
    /// What went wrong.
    pub failure: Option<StoreError>,
}

impl<'s> Intake<'s> {
    /// Goes on from the counters that the store knows; the newest are kept as of that kind.
    pub fn new(
        store: &'s mut dyn Collecting,
        model: Option<&'s Model>,
        known: Vec<Counters>,
        kind: Kind,
        now: i64,
    ) -> Self {
        let mut meter = RateMeter::load(known);
        meter.set_horizon(now + AHEAD);
        let (samples, newest) = (Vec::new(), HashMap::new());
        Self { store, model, meter, samples, newest, kind, newest_at: None, fresh: 0, failure: None }
    }

    /// Takes one record.
    pub fn take(&mut self, counters: &Counters) {
        if self.failure.is_some() {
            return;
        }
        if let Some(usage) = self.meter.sample(counters) {
            self.samples.push(VmSample { vm: VmId(counters.id), at: counters.at, usage });
            self.newest.insert(counters.id, *counters);
            self.newest_at = self.newest_at.max(Some(counters.at));
        }
        if self.samples.len() >= CHUNK {
            self.flush();
        }
    }

    /// Puts what was taken into the store.
    pub fn flush(&mut self) {
        let mut counters: Vec<(Kind, Counters)> = self.newest.drain().map(|(_, newest)| (self.kind, newest)).collect();
        counters.sort_by_key(|(_, counters)| counters.id);
        let batch = Batch { samples: &self.samples, counters: &counters, ..Batch::default() };
        match learn::absorb_with(self.store, &batch, self.model) {
            Ok(absorbed) => self.fresh += absorbed.new_samples,
            Err(error) => self.failure = Some(error),
        }
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Training;
    use crate::history::sqlite::SqliteStore;
    use std::path::Path;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn counters(id: i32, at: i64) -> Counters {
        Counters { id, at, cpu: Some(5.0), memory: Some(6.0), disk: Some(at as f64), net: None }
    }

    fn store() -> SqliteStore {
        SqliteStore::open(Path::new(":memory:"), PATIENCE).unwrap()
    }

    #[test]
    fn a_chunk_goes_into_the_store_when_it_is_full_and_the_rest_at_the_end() {
        let mut store = store();
        let mut intake = Intake::new(&mut store, None, Vec::new(), Kind::Vm, i64::MAX - AHEAD);
        let chunk = CHUNK as i64;
        (1..chunk).for_each(|at| intake.take(&counters(7, at)));
        assert_eq!((intake.fresh, intake.samples.len()), (0, CHUNK - 1));
        intake.take(&counters(7, chunk));
        assert_eq!((intake.fresh, intake.samples.len(), intake.newest.len()), (CHUNK, 0, 0));
        intake.take(&counters(7, chunk + 1));
        intake.flush();
        assert_eq!((intake.fresh, intake.newest_at, intake.failure.clone()), (CHUNK + 1, Some(chunk + 1), None));
        assert_eq!(store.counters(Kind::Vm), Ok(vec![counters(7, chunk + 1)]));
        let last = store.samples(VmId(7)).unwrap().pop().unwrap();
        assert_eq!((last.at, last.usage.disk_io), (chunk + 1, Some(1.0)), "the rate goes on over the chunk");
    }

    #[test]
    fn the_newest_moment_is_that_of_all_vms_and_no_clock_far_ahead() {
        let mut store = store();
        let mut intake = Intake::new(&mut store, None, vec![counters(7, 40)], Kind::Told, 100);
        assert_eq!(intake.newest_at, None);
        intake.take(&counters(7, 40));
        assert_eq!(intake.newest_at, None, "it is known already");
        for (vm, at) in [(7, 60), (8, 50), (9, 100 + AHEAD), (10, 101 + AHEAD)] {
            intake.take(&counters(vm, at));
        }
        intake.flush();
        assert_eq!((intake.newest_at, intake.fresh), (Some(100 + AHEAD), 3));
        let kept: Vec<i32> = store.counters(Kind::Told).unwrap().iter().map(|one| one.id).collect();
        assert_eq!((kept, store.samples(VmId(7)).unwrap()[0].usage.disk_io), (vec![7, 8, 9], Some(1.0)));
    }

    #[test]
    fn after_a_failure_nothing_more_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.db");
        drop(SqliteStore::open(&file, PATIENCE).unwrap());
        let mut store = SqliteStore::open_read_only(&file, PATIENCE).unwrap();
        let mut intake = Intake::new(&mut store, None, Vec::new(), Kind::Vm, 1000);
        intake.take(&counters(7, 5));
        intake.flush();
        assert_eq!((intake.failure.clone(), intake.fresh), (Some(StoreError::ReadOnly), 0));
        intake.take(&counters(8, 6));
        assert_eq!((intake.samples.len(), intake.newest_at), (0, Some(5)));
    }
}

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

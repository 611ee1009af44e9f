//! What VMs use and who they are, from oned into the store. Made for a timer: each run asks
//! for what is new since the last run that was complete, so that one that was cut off, wherever
//! in the answer, loses nothing. On several front-ends with one store, or when a run takes longer
//! than the timer's pause, one collects and the others stand down.

use super::history;
use super::intake::{AHEAD, CHUNK, Intake};
use crate::config::Store;
use crate::demand::model::Model;
use crate::history::rates::RateMeter;
use crate::history::{Batch, Claim, Collecting, Kind, Progress, StoreError};
use crate::learn;
use crate::machine::clock::now;
use crate::model::ids::{HostId, VmId};
use crate::model::moment;
use crate::model::sample::{Counters, HostSample, VmIdentity};
use crate::oned::{Oned, Window};
use anyhow::{Result, anyhow};
use std::collections::HashMap;
use std::time::Duration;

/// The first run looks back this many seconds; what oned keeps of a large cloud is gigabytes.
const FIRST_LOOK: i64 = 900;

/// Where nothing says how far an earlier run came: oned keeps 12 hours by default.
const LONGEST_LOOK: i64 = 12 * 3600;

/// A long look back has a long answer: a second more for each ten seconds of it.
const CATCHING_UP: i64 = 10;

/// What is noted as complete.
const SOURCE: &str = "oned";

/// Samples come late; asking for some again costs little.
const OVERLAP: i64 = 120;

/// In seconds. The first run of a day drops what is older than the store is to keep.
const DAY: i64 = 86_400;

/// STATE of a VM that is gone.
const DONE: i32 = 6;

/// Collects what is new, and drops what is older than `keep` days.
///
/// # Errors
/// When oned or the store fails; what came before is kept.
pub fn once(oned: &Oned, chosen: &Store, model: Option<&Model>, keep: u32) -> Result<()> {
    let told = |error: StoreError| anyhow!("the store {chosen:?} cannot be used: {error}");
    let mut store = history::open(chosen, Duration::from_secs(30)).map_err(told)?;
    if let Claim::Held { by, since } = store.claim_collection(&holder()).map_err(told)? {
        log::warn!("nothing is collected by this run: {by} collects since {}", moment::utc(since));
        return Ok(());
    }
    let outcome = collect(oned, store.as_mut(), model, keep);
    if let Err(error) = store.release_collection() {
        log::debug!("the collection is not given back: {error}");
    }
    outcome
}

/// Front-end and process, which no other process has at that time.
fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}, process {}", std::process::id())
}

/// From when on to ask, by the store's clock.
fn beginning(progress: Progress, is_new: bool) -> i64 {
    match progress.complete {
        Some(until) if until <= progress.now => until,
        None if is_new => progress.now - (FIRST_LOOK - OVERLAP),
        // of a clock that was wrong, or of a store from before this was noted
        Some(_) | None => progress.now - (LONGEST_LOOK - OVERLAP),
    }
}

fn collect(oned: &Oned, store: &mut dyn Collecting, model: Option<&Model>, keep: u32) -> Result<()> {
    let told = |error: StoreError| anyhow!("the store cannot be used: {error}");
    let known = store.counters(Kind::Vm).map_err(told)?;
    let now = now();
    let newest = known.iter().map(|counters| counters.at).filter(|at| *at <= now).max();
    let progress = store.progress(SOURCE).map_err(told)?;
    let since = beginning(progress, known.is_empty());
    if progress.complete != Some(since) {
        // a first run that is cut off is taken up where it began
        store.completed(SOURCE, since).map_err(told)?;
    }
    let look_back = progress.now - since + OVERLAP;
    let mut intake = Intake::new(store, model, known, Kind::Vm, now);
    let window = Window::Seconds(u32::try_from(look_back).unwrap_or(u32::MAX));
    let patience = Duration::from_secs(u64::try_from(look_back / CATCHING_UP).unwrap_or(0));
    let oned = &oned.with_more_time(patience);
    let skipped = oned.vm_monitoring(window, &mut |counters| intake.take(&counters));
    intake.flush();
    // what came before a failure is kept, and asked for again: it counts once
    let (fresh, failure, newest_at) = (intake.fresh, intake.failure, intake.newest_at);
    if let Some(error) = failure {
        return Err(told(error));
    }
    let skipped = skipped?;
    let hosts = hosts(oned, store, window, now).map_err(told)??;
    store.completed(SOURCE, progress.now).map_err(told)?;
    let identities = identities(oned, store).map_err(told)??;
    learn::relate(store).map_err(told)?;
    log::info!(
        "collected: new samples {fresh}, samples of hosts {hosts}, VMs known {identities}, unreadable records {skipped}"
    );
    // by the hosts' clocks as well as by ours: one that has jumped ahead costs no history
    let today = newest_at.map(|at| at.min(now));
    if let (Some(before), Some(today)) = (newest, today)
        && before.div_euclid(DAY) < today.div_euclid(DAY)
    {
        let gone = store.prune(today - i64::from(keep) * DAY).map_err(told)?;
        log::info!("dropped {gone} samples that are older than {keep} days");
    }
    Ok(())
}

/// Samples of hosts; how many. The inner error is oned's, the outer the store's.
fn hosts(oned: &Oned, store: &mut dyn Collecting, window: Window, now: i64) -> Result<Result<usize>, StoreError> {
    let mut meter = RateMeter::load(store.counters(Kind::Host)?);
    meter.set_horizon(now + AHEAD);
    let (mut samples, mut newest) = (Vec::new(), HashMap::new());
    let asked = oned.host_monitoring(window, &mut |counters| {
        if let Some(usage) = meter.sample(&counters) {
            samples.push(HostSample { host: HostId(counters.id), at: counters.at, usage });
            newest.insert(counters.id, counters);
        }
    });
    let mut counters: Vec<(Kind, Counters)> = newest.into_values().map(|newest| (Kind::Host, newest)).collect();
    counters.sort_by_key(|(_, counters)| counters.id);
    learn::absorb(store, &Batch { hosts: &samples, counters: &counters, ..Batch::default() })?;
    Ok(asked.map(|_| samples.len()).map_err(Into::into))
}

/// Who the VMs are; how many. The inner error is oned's, the outer the store's.
fn identities(oned: &Oned, store: &mut dyn Collecting) -> Result<Result<usize>, StoreError> {
    let mut found: Vec<(VmId, VmIdentity)> = Vec::new();
    let asked = oned.vm_identities(&mut |vm, identity, state| {
        if state != DONE {
            found.push((vm, identity));
        }
    });
    if let Err(error) = asked {
        return Ok(Err(error.into()));
    }
    for chunk in found.chunks(CHUNK) {
        learn::absorb(store, &Batch { identities: chunk, ..Batch::default() })?;
    }
    Ok(Ok(found.len()))
}

#[cfg(test)]
mod tests;

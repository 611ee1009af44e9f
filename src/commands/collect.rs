//! `oneaio collect`: what VMs use and who they are, from oned into the store. Made for a
//! timer: each run asks for what is new since the newest sample that the store knows. On
//! several front-ends with one store, or when a run takes longer than the timer's pause, one
//! collects and the others stand down; what a run that was cut off has kept stays.

use crate::commands::ConfigArgs;
use crate::commands::Exit;
use crate::config::Store;
use crate::demand::model::Model;
use crate::history::rates::RateMeter;
use crate::history::{Batch, Collecting, Kind, StoreError};
use crate::learn;
use crate::model::ids::{HostId, VmId};
use crate::model::sample::{Counters, HostSample, VmIdentity};
use crate::oned::{Credentials, Endpoint, Limits, Oned, Window};
use crate::recall::history;
use crate::recall::intake::AHEAD;
use crate::recall::intake::CHUNK;
use crate::recall::intake::Intake;
use crate::recall::modelfile;
use anyhow::{Result, anyhow};
use clap::Args;
use std::collections::HashMap;
use std::time::Duration;

/// The first run looks back so many seconds; what oned keeps of a large cloud is gigabytes.
const FIRST_LOOK: i64 = 900;

/// oned keeps 12 hours by default: after a longer pause there is nothing more to ask for.
const LONGEST_LOOK: i64 = 12 * 3600;

/// Samples come late; asking for some again costs little.
const OVERLAP: i64 = 120;

/// In seconds. The first run of a day drops what is older than the store is to keep.
const DAY: i64 = 86_400;

/// STATE of a VM that is gone.
const DONE: i32 = 6;

/// How to collect.
#[derive(Clone, Debug, Args)]
pub struct CollectArgs {
    /// Keep running, and collect every so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub watch: Option<u64>,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Collects once, or for ever.
#[must_use]
pub fn run(args: &CollectArgs) -> Exit {
    let (settings, chosen) = match history::configured(&args.config) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let oned = match oned(Limits::default()) {
        Ok(oned) => oned,
        Err(error) => {
            log::error!("{error:#}");
            return Exit::Usage;
        }
    };
    loop {
        // read each time: training may have written a new one
        let model = modelfile::or_without(&settings);
        let outcome = once(&oned, &chosen, model.as_ref(), settings.history_keep);
        if let Err(error) = &outcome {
            log::error!("nothing more was collected: {error:#}");
        }
        match args.watch {
            Some(seconds) => std::thread::sleep(Duration::from_secs(seconds.max(1))),
            None => return if outcome.is_ok() { Exit::Done } else { Exit::Unusable },
        }
    }
}

/// The oned of ONED_ADDR with the credentials of ONE_AUTH.
pub(super) fn oned(limits: Limits) -> Result<Oned> {
    let variable = |name: &str| std::env::var(name).ok();
    let endpoint = Endpoint::find(&variable)?;
    let credentials = Credentials::find(None, &variable)?;
    Ok(Oned::new(endpoint, credentials, limits, None)?)
}

fn once(oned: &Oned, chosen: &Store, model: Option<&Model>, keep: u32) -> Result<()> {
    let told = |error: StoreError| anyhow!("the store {chosen:?} cannot be used: {error}");
    let mut store = history::open(chosen, Duration::from_secs(30)).map_err(told)?;
    if !store.claim_collection().map_err(told)? {
        log::info!("another collector is at work on this store: nothing to do");
        return Ok(());
    }
    let known = store.counters(Kind::Vm).map_err(told)?;
    let now = history::now();
    let newest = known.iter().map(|counters| counters.at).filter(|at| *at <= now).max();
    let look_back = newest.map_or(FIRST_LOOK, |at| (now - at + OVERLAP).min(LONGEST_LOOK));
    let mut intake = Intake::new(store.as_mut(), model, known, now);
    let window = Window::Seconds(u32::try_from(look_back).unwrap_or(u32::MAX));
    let skipped = oned.vm_monitoring(window, &mut |counters| intake.take(&counters));
    intake.flush();
    // what came before a failure is kept: the next run goes on from there
    let (fresh, failure) = (intake.fresh, intake.failure);
    if let Some(error) = failure {
        return Err(told(error));
    }
    let skipped = skipped?;
    let hosts = hosts(oned, store.as_mut(), window, now).map_err(told)??;
    let identities = identities(oned, store.as_mut()).map_err(told)??;
    learn::relate(store.as_mut()).map_err(told)?;
    log::info!(
        "collected: new samples {fresh}, samples of hosts {hosts}, VMs known {identities}, unreadable records {skipped}"
    );
    if newest.is_some_and(|at| at.div_euclid(DAY) != now.div_euclid(DAY)) {
        let gone = store.prune(now - i64::from(keep) * DAY).map_err(told)?;
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

//! The past from a Prometheus into the store, day by day and host by host. What is done is noted
//! after each page, so that an import that was cut off goes on there.

use crate::commands::logger;
use crate::demand::model::Model;
use crate::history::{Batch, HistoryStore, StoreError};
use crate::learn;
use crate::model::ids::VmId;
use crate::model::moment;
use crate::model::sample::VmIdentity;
use crate::prometheus::{self, Client, PAGE, STEP};
use anyhow::{Result, anyhow, bail};
use std::collections::HashSet;

/// What an import has come to.
#[derive(Default)]
struct Account {
    samples: usize,
    fresh: usize,
    incomplete: usize,
    vms: HashSet<VmId>,
    first: Option<i64>,
}

/// Imports all that is there of the time before the store has samples of its own.
pub fn all(client: &Client, since: i64, store: &mut dyn HistoryStore, model: Option<&Model>) -> Result<()> {
    let told = |error: StoreError| anyhow!("the store cannot be used: {error}");
    let source = |what: &str| format!("prometheus {} {what}", client.name());
    let end = end(store, &source("end")).map_err(told)?;
    let begin = (end - since).div_euclid(STEP) * STEP;
    let hosts = prometheus::hosts(client, begin, end)?;
    if hosts.is_empty() {
        bail!(
            "Prometheus at {} has no opennebula_libvirt_cpu_seconds_total with the label one_host_id between {} and {}: \
             it does not scrape OpenNebula's libvirt exporters, or keeps less",
            client.name(),
            moment::utc(begin),
            moment::utc(end)
        );
    }
    let tell = logger::progress();
    let days = (end - begin + PAGE - 1) / PAGE;
    let mut account = Account::default();
    for day in 0..days {
        let (from, to) = (begin + day * PAGE, (begin + (day + 1) * PAGE).min(end));
        for (index, host) in hosts.iter().enumerate() {
            let (done, all, samples) = (index + 1, hosts.len(), account.samples);
            tell(&format!("Prometheus: day {} of {days}, host {done} of {all}, {samples} samples", day + 1));
            let source = source(&format!("host {host}"));
            // what an earlier import has done; one that looked back less far begins anew
            let done = store.progress(&source).map_err(told)?.complete;
            let begun = store.progress(&format!("{source} from")).map_err(told)?.complete;
            if begun.is_some_and(|begun| begun <= from) && done.is_some_and(|done| done >= to) {
                continue;
            }
            page(client, *host, (from, to), store, model, &mut account)
                .map_err(|error| error.context(format!("new samples so far: {}", account.fresh)))?;
            if begun.is_none_or(|begun| begun > from) {
                store.completed(&format!("{source} from"), from).map_err(told)?;
            }
            store.completed(&source, to).map_err(told)?;
        }
        sizes(client, (from, to), store)?;
    }
    tell("");
    let first = account.first.map_or("none".to_owned(), moment::utc);
    log::info!(
        "Prometheus at {}: hosts {}, VMs {}, samples {}, new samples {}, the oldest of {first}",
        client.name(),
        hosts.len(),
        account.vms.len(),
        account.samples,
        account.fresh
    );
    if account.incomplete > 0 {
        log::warn!(
            "steps left out that lack CPU or memory: {}; is every metric of the libvirt exporter kept?",
            account.incomplete
        );
    }
    if account.first.is_some_and(|first| first > begin + PAGE) {
        log::info!("it keeps no more than that; --storage.tsdb.retention.time of Prometheus says how long (15d)");
    }
    Ok(())
}

/// Up to when there is nothing yet: the first sample of the store when the first import began.
fn end(store: &mut dyn HistoryStore, source: &str) -> Result<i64, StoreError> {
    let progress = store.progress(source)?;
    if let Some(end) = progress.complete {
        return Ok(end);
    }
    let first = store.status()?.span.map_or(progress.now, |(first, _)| first.min(progress.now));
    let end = first.div_euclid(STEP) * STEP;
    store.completed(source, end)?;
    Ok(end)
}

fn page(
    client: &Client,
    host: i32,
    (from, to): (i64, i64),
    store: &mut dyn HistoryStore,
    model: Option<&Model>,
    account: &mut Account,
) -> Result<()> {
    let page = prometheus::page(client, host, from, to)?;
    account.incomplete += page.incomplete;
    account.samples += page.samples.len();
    account.vms.extend(page.samples.iter().map(|sample| sample.vm));
    account.first = page.samples.iter().map(|sample| sample.at).chain(account.first).min();
    let batch = Batch { samples: &page.samples, ..Batch::default() };
    let absorbed = learn::absorb_with(store, &batch, model);
    account.fresh += absorbed.map_err(|error| anyhow!("the store cannot be written: {error}"))?.new_samples;
    Ok(())
}

/// Sizes of VMs that are not known: of those that oned knows no more.
fn sizes(client: &Client, (from, to): (i64, i64), store: &mut dyn HistoryStore) -> Result<()> {
    let told = |error: StoreError| anyhow!("the store cannot be used: {error}");
    let sizes = prometheus::sizes(client, from, to)?;
    let vms: Vec<VmId> = sizes.iter().map(|(vm, _)| *vm).collect();
    let known: HashSet<VmId> = store.identities(Some(&vms)).map_err(told)?.into_iter().map(|(vm, _)| vm).collect();
    let fresh: Vec<(VmId, VmIdentity)> = sizes.into_iter().filter(|(vm, _)| !known.contains(vm)).collect();
    learn::absorb(store, &Batch { identities: &fresh, ..Batch::default() }).map_err(told)?;
    Ok(())
}

//! Power and pressure of hosts from a Prometheus into the store, day by day (UTC) and host by host,
//! up to now: nothing else brings them. A day that has ended is asked for once.

use crate::history::{HistoryStore, StoreError};
use crate::prometheus::Client;
use crate::prometheus::hosts::{self, DAY};
use anyhow::{Result, anyhow};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

/// Hosts of which something was measured.
#[derive(Default)]
struct Account {
    watts: BTreeSet<i32>,
    pressure: BTreeSet<i32>,
    steal: BTreeSet<i32>,
    steps: usize,
}

/// Imports what is there; nothing, where nobody measures.
pub fn all(client: &Client, since: i64, store: &mut dyn HistoryStore) -> Result<()> {
    let told = |error: StoreError| anyhow!("the store cannot be used: {error}");
    let source = |host: i32| format!("prometheus {} measures of host {host}", client.name());
    let now = store.progress(&source(0)).map_err(told)?.now;
    let begin = (now - since).div_euclid(DAY) * DAY;
    let kept = hosts::kept(client, begin, now)?;
    if kept.is_empty() {
        log::info!("Prometheus at {} keeps neither power nor pressure of hosts", client.name());
        return Ok(());
    }
    let hosts = crate::prometheus::hosts(client, begin, now)?;
    let bar = std::io::stderr().is_terminal();
    let days = (now - begin + DAY - 1) / DAY;
    let mut account = Account::default();
    for day in 0..days {
        let from = begin + day * DAY;
        for (index, host) in hosts.iter().enumerate() {
            if bar {
                let (done, all) = (index + 1, hosts.len());
                // a lost progress bar is no loss
                let _ = write!(
                    std::io::stderr(),
                    "\rmeasured of hosts: day {} of {days}, host {done} of {all}, {} steps",
                    day + 1,
                    account.steps
                );
            }
            let source = source(*host);
            let done = store.progress(&source).map_err(told)?.complete;
            let begun = store.progress(&format!("{source} from")).map_err(told)?.complete;
            if begun.is_some_and(|begun| begun <= from) && done.is_some_and(|done| done >= from + DAY) {
                continue;
            }
            let page = hosts::page(client, &kept, *host, from, now)?;
            store.keep_measures(&page.steps, &page.companies).map_err(told)?;
            account.add(*host, &page);
            if from + DAY > now {
                // the rest of today comes later
                continue;
            }
            if begun.is_none_or(|begun| begun > from) {
                store.completed(&format!("{source} from"), from).map_err(told)?;
            }
            store.completed(&source, from + DAY).map_err(told)?;
        }
    }
    if bar {
        let _ = writeln!(std::io::stderr());
    }
    log::info!(
        "measured of hosts: {} with power, {} with pressure, {} whose VMs' steal is counted; new steps {}",
        account.watts.len(),
        account.pressure.len(),
        account.steal.len(),
        account.steps
    );
    Ok(())
}

impl Account {
    fn add(&mut self, host: i32, page: &hosts::Measured) {
        self.steps += page.steps.len();
        let of = |found: bool, hosts: &mut BTreeSet<i32>| {
            if found {
                hosts.insert(host);
            }
        };
        of(page.steps.iter().any(|step| step.watts.is_some()), &mut self.watts);
        of(page.steps.iter().any(|step| step.pressure.or(step.waiting).is_some()), &mut self.pressure);
        of(page.companies.iter().any(|one| one.steal.is_some()), &mut self.steal);
    }
}

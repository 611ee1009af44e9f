//! Why a VM has to wait, in one sentence. Users see the first 150 characters and then stop, so the deciding fact
//! comes first, and three states have three sentences: larger than any host, full now, and a rule. Only hosts
//! that the rules allow count as near misses.

use crate::model::brief::{Brief, Waits};
use crate::model::ids::listed;
use crate::model::report::Lack;
use crate::model::snapshot::Host;
use crate::model::units::{Cpu, Memory};
use crate::placement::ledger::Ledger;
use crate::placement::ledger::unit::Unit;
use crate::placement::rules::reason::{Reason, Told as Room};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Units whose sentences are remembered, to spare those like them the same look at all hosts.
const KEPT: usize = 64;

/// The sentences of one plan.
#[derive(Default)]
pub struct Refusals<'u> {
    told: Vec<(&'u Unit, (Waits, Option<Lack>))>,
}

impl<'u> Refusals<'u> {
    /// The sentence for every VM of a unit that found no host, and what most of its hosts lack.
    /// O(candidate hosts x rules).
    pub fn explain(&mut self, unit: &'u Unit, ledger: &mut Ledger<'_>) -> (Waits, Option<Lack>) {
        if let Some((_, known)) = self.told.iter().find(|(other, _)| other.needs_the_same(unit, ledger)) {
            return known.clone();
        }
        let said = explain(unit, ledger);
        if self.told.len() < KEPT {
            self.told.push((unit, said.clone()));
        }
        said
    }
}

/// A candidate host and all that is against it.
struct Miss {
    host: usize,
    reasons: Vec<Reason>,
    /// Even empty it could not hold the unit.
    too_small: bool,
}

impl Miss {
    /// The rule that excludes the host, if one does.
    fn excluded(&self) -> Option<&Reason> {
        self.reasons.iter().find(|reason| reason.excludes())
    }

    /// What lacks most there.
    fn worst(&self) -> Option<&Reason> {
        self.reasons.iter().max_by(|a, b| {
            (a.miss(), !a.is_shortage()).partial_cmp(&(b.miss(), !b.is_shortage())).unwrap_or(std::cmp::Ordering::Equal)
        })
    }
}

fn explain(unit: &Unit, ledger: &mut Ledger<'_>) -> (Waits, Option<Lack>) {
    let mut misses: Vec<Miss> = Vec::with_capacity(unit.hosts.len());
    for &host in unit.hosts.iter() {
        let host = host as usize;
        let reasons = unit.objections(ledger, host);
        if reasons.is_empty() {
            // only possible when the search for a plan was given up early
            let text = "was left out to place more VMs; it will be tried again";
            return (Waits::new(text, Brief::LeftOut), None);
        }
        let there = &ledger.context().snapshot.hosts[host];
        let never = |reason: &Reason| matches!(reason, Reason::Numa(want) if want.never);
        let too_small = unit.cpu > there.cpu || unit.memory > there.memory || reasons.iter().any(never);
        misses.push(Miss { host, reasons, too_small });
    }
    (sentence(unit, ledger, &misses), most_frequent(&misses))
}

fn sentence(unit: &Unit, ledger: &Ledger<'_>, misses: &[Miss]) -> Waits {
    let set = set_name(unit);
    let told = Told { unit, ledger, count: misses.len() };
    if misses.is_empty() {
        let text = match unit.members.len() {
            1 => "cannot be placed: oned offers no host for it that is usable now".to_owned(),
            _ => format!("{set}cannot be placed: no host is a candidate for all of them"),
        };
        return Waits::new(text, Brief::NoHost);
    }
    let allowed: Vec<&Miss> = misses.iter().filter(|miss| miss.excluded().is_none()).collect();
    let (said, brief) = match allowed[..] {
        [] => told.excluded_everywhere(misses),
        _ if allowed.iter().all(|miss| miss.too_small) => told.too_large(&allowed, misses),
        [only] if misses.len() > 1 => told.only_one(only, misses),
        _ => told.full_now(&allowed),
    };
    Waits::new(format!("{set}{said}"), brief)
}

/// What sentences are made from.
struct Told<'s, 'a> {
    unit: &'s Unit,
    ledger: &'s Ledger<'a>,
    /// Candidate hosts.
    count: usize,
}

impl Told<'_, '_> {
    /// No host is allowed by the rules.
    fn excluded_everywhere(&self, misses: &[Miss]) -> (String, Brief) {
        let by_rule = tally(misses.iter().filter_map(|miss| Some(miss.excluded()?.rule())));
        let Some((first, most)) = by_rule.first() else { return (String::new(), Brief::NoHost) };
        let brief = Brief::Rule(first);
        let of_most = |miss: &&Miss| miss.excluded().is_some_and(|reason| reason.rule() == *first);
        let example = misses.iter().find(of_most);
        let Some((example, reason)) = example.and_then(|miss| Some((miss, miss.excluded()?))) else {
            return (String::new(), brief);
        };
        let label = self.label(example.host);
        if self.count == 1 {
            return (format!("cannot go to its only candidate, {label}: {} ({first})", reason.text()), brief);
        }
        if let Reason::Pci(want) = reason
            && *most == self.count
        {
            return (format!("needs {}; none of {} candidate hosts has one ({first})", want.need, self.count), brief);
        }
        if let Reason::Join { with, hosts } = reason
            && *most == self.count
            && !hosts.is_empty()
        {
            let on: Vec<String> = hosts.iter().take(3).map(|host| format!("host {host}")).collect();
            let (with, on, count) = (listed(with), on.join(" or "), self.count);
            return (
                format!("must join {with} on {on}, which is none of its {count} candidate hosts ({first})"),
                brief,
            );
        }
        let same = misses.iter().all(|miss| miss.excluded().is_some_and(|other| other.text() == reason.text()));
        if same {
            return (
                format!("is allowed on none of {} candidate hosts: {} ({first})", self.count, reason.text()),
                brief,
            );
        }
        let text = format!(
            "is allowed on none of {} candidate hosts ({}); on {label}: {}",
            self.count,
            counts(&by_rule),
            reason.text()
        );
        (text, brief)
    }

    /// No allowed host could hold it if it were empty.
    fn too_large(&self, allowed: &[&Miss], misses: &[Miss]) -> (String, Brief) {
        let hosts = || allowed.iter().map(|miss| (miss.host, self.host(miss.host)));
        let scope = self.scope(allowed.len(), misses);
        let only = allowed.len() == 1;
        let by_cpu = hosts().max_by_key(|(index, host)| (host.cpu, Reverse(*index)));
        let by_memory = hosts().max_by_key(|(index, host)| (host.memory, Reverse(*index)));
        if let Some((index, host)) = by_cpu.filter(|(_, host)| self.unit.cpu > host.cpu) {
            let largest = self.largest(only, &scope, index);
            let text = format!("needs {}; {largest} has {}", self.unit.cpu.text(), host.cpu.cores());
            return (text, Brief::TooLarge(Lack::Cpu));
        }
        if let Some((index, host)) = by_memory.filter(|(_, host)| self.unit.memory > host.memory) {
            let largest = self.largest(only, &scope, index);
            let (need, whole) = self.unit.memory.texts(host.memory);
            return (format!("needs {need} of memory; {largest} has {whole}"), Brief::TooLarge(Lack::Memory));
        }
        let numa = |miss: &&&Miss| miss.reasons.iter().any(|r| matches!(r, Reason::Numa(want) if want.never));
        let found = allowed.iter().find(numa).and_then(|miss| {
            let want = miss.reasons.iter().find_map(|reason| match reason {
                Reason::Numa(want) if want.never => Some(want),
                _ => None,
            })?;
            Some((miss, want))
        });
        match found {
            Some((miss, want)) => {
                let none = if only { String::new() } else { format!("none of {scope} has that: ") };
                let text = format!("needs {}; {none}{} {}", want.need, self.label(miss.host), want.has);
                (text, Brief::TooLarge(Lack::Numa))
            }
            None => {
                let unit = self.unit;
                let text = format!("needs {} with {}; none of {scope} has both", unit.cpu.text(), unit.memory.text());
                (text, Brief::TooLarge(Lack::State))
            }
        }
    }

    /// Rules leave one host, and it is full.
    fn only_one(&self, only: &Miss, misses: &[Miss]) -> (String, Brief) {
        let label = self.label(only.host);
        let Some(reason) = only.worst() else { return (String::new(), Brief::NoHost) };
        let id = self.host(only.host).id;
        let joined = misses.iter().filter_map(Miss::excluded).find_map(|reason| match reason {
            Reason::Join { with, hosts } if hosts[..] == [id] => Some(with),
            _ => None,
        });
        let why = match joined {
            Some(with) => format!("only {label} holds its affined {}", listed(with)),
            None => {
                let by_rule = tally(misses.iter().filter_map(|miss| Some(miss.excluded()?.rule())));
                let names: Vec<&str> = by_rule.iter().take(3).map(|(rule, _)| *rule).collect();
                format!("only {label} is allowed ({})", names.join(", "))
            }
        };
        let text = match reason {
            // what is asked for goes first: the holders of devices are a long list
            Reason::Pci(want) | Reason::Numa(want) => {
                format!("needs {}; {why}: {}", want.need, self.it(reason, only.host))
            }
            _ => format!("{why}: {}", self.it_has(reason, only.host)),
        };
        (text, Brief::Full(reason.lack()))
    }

    /// Allowed hosts have no room as things stand.
    fn full_now(&self, allowed: &[&Miss]) -> (String, Brief) {
        let large = allowed.iter().filter(|miss| !miss.too_small);
        // the one whose worst lack is least; of equal ones the first
        let near = large.min_by(|a, b| {
            let miss = |one: &Miss| one.worst().map_or(f64::INFINITY, Reason::miss);
            miss(a).total_cmp(&miss(b)).then(a.reasons.len().cmp(&b.reasons.len()))
        });
        let Some((near, reason)) = near.and_then(|miss| Some((miss, miss.worst()?))) else {
            return (String::new(), Brief::NoHost);
        };
        (self.nearest(allowed, near, reason), Brief::Full(reason.lack()))
    }

    /// The nearest of the allowed hosts that are large enough, and what lacks most there.
    fn nearest(&self, allowed: &[&Miss], near: &Miss, reason: &Reason) -> String {
        let count = self.count;
        let label = self.label(near.host);
        let lacks = tally(allowed.iter().filter(|miss| !miss.too_small).filter_map(|miss| Some(miss.worst()?.rule())));
        let shared = match reason {
            Reason::SystemDatastore { best: (id, _), told: Room::Shared, .. } => Some(format!("datastore {id}")),
            Reason::ImageDatastore { id, .. } => Some(format!("image datastore {id}")),
            _ => None,
        };
        if let Some(shared) = shared.filter(|_| lacks.len() == 1) {
            return format!("needs {}; {shared}, the best for it, has {} free", reason.need(), reason.free());
        }
        let of_host = matches!(reason, Reason::Pci(_) | Reason::Numa(_) | Reason::SystemDatastore { .. });
        if of_host && count == 1 {
            return format!(
                "needs {}; its only candidate, {label}, {}{}",
                reason.need(),
                reason.has(),
                self.after_devices(reason, near.host)
            );
        }
        if count == 1 {
            let need = reason.need();
            let need = if need.is_empty() { need } else { format!("needs {need}; ") };
            return format!("{need}cannot go to its only candidate, {label}: {}", self.it(reason, near.host));
        }
        let of = if allowed.len() == count {
            format!("{count} candidate hosts")
        } else {
            format!("{} allowed of {count} candidate hosts", allowed.len())
        };
        let after = self.after(near.host);
        match reason {
            Reason::Cpu { need, free } if lacks.len() == 1 => {
                format!(
                    "needs {}; the best of {of} ({label}) has {} free{after}",
                    need.text(),
                    (*free).max(Cpu(0)).cores()
                )
            }
            Reason::Memory { need, free } if lacks.len() == 1 => {
                let (need, free) = need.texts((*free).max(Memory(0)));
                format!("needs {need} of memory; the best of {of} ({label}) has {free} free{after}")
            }
            _ if of_host && lacks.len() == 1 => {
                let after = self.after_devices(reason, near.host);
                format!("needs {}; {label} {}{after} (nearest of {of})", reason.need(), reason.has())
            }
            _ => {
                let need = reason.need();
                let need = if need.is_empty() { "finds no room".to_owned() } else { format!("needs {need}") };
                let on = if lacks.len() == 1 { format!("the nearest of {of}") } else { "nearest".to_owned() };
                let lacking =
                    if lacks.len() == 1 { String::new() } else { format!("; of {of} lacking {}", counts(&lacks)) };
                format!("{need}; {on} is {label}: {}{lacking}", self.it(reason, near.host))
            }
        }
    }

    /// `it has 1 core free after this batch, 2 cores are needed`.
    fn it_has(&self, reason: &Reason, host: usize) -> String {
        let need = reason.need();
        let needed = if need.is_empty() || !reason.is_shortage() { String::new() } else { format!(", {need} needed") };
        format!("{}{needed}", self.it(reason, host))
    }

    /// What a host has, `after this batch` where that has taken some.
    fn it(&self, reason: &Reason, host: usize) -> String {
        match reason {
            Reason::Pci(want) | Reason::Numa(want) => format!("it {}{}", want.has, self.after(host)),
            Reason::SystemDatastore { .. } | Reason::ImageDatastore { .. } => format!("it {}", reason.has()),
            Reason::Cpu { .. } | Reason::Memory { .. } => format!("{}{}", reason.text(), self.after(host)),
            _ => reason.text(),
        }
    }

    /// The same of what belongs to one host alone.
    fn after_devices(&self, reason: &Reason, host: usize) -> &'static str {
        if matches!(reason, Reason::Pci(_) | Reason::Numa(_)) { self.after(host) } else { "" }
    }

    fn after(&self, host: usize) -> &'static str {
        if self.ledger.guests(host).is_empty() { "" } else { " after this batch" }
    }

    fn largest(&self, only: bool, scope: &str, host: usize) -> String {
        match only {
            true if self.count == 1 => format!("its only candidate, {},", self.label(host)),
            true => format!("the only host that its rules allow, {},", self.label(host)),
            false => format!("the largest of {scope} ({})", self.label(host)),
        }
    }

    /// `12 candidate hosts`, or those of them that the rules allow.
    fn scope(&self, allowed: usize, misses: &[Miss]) -> String {
        match misses.len() {
            all if all == allowed => format!("{all} candidate hosts"),
            all => format!("the {allowed} of {all} candidate hosts that its rules allow"),
        }
    }

    fn host(&self, host: usize) -> &Host {
        &self.ledger.context().snapshot.hosts[host]
    }

    /// `host 4, node-04`.
    fn label(&self, host: usize) -> String {
        let host = self.host(host);
        let name: String = host.name.chars().take(24).collect();
        if name.is_empty() { format!("host {}", host.id) } else { format!("host {}, {name}", host.id) }
    }
}

fn set_name(unit: &Unit) -> String {
    match unit.members.len() {
        1 => String::new(),
        count => format!("with its affined set ({count} VMs) "),
    }
}

/// `CPU on 3, memory on 2`.
fn counts(by_rule: &[(&'static str, usize)]) -> String {
    by_rule.iter().take(3).map(|(rule, hosts)| format!("{rule} on {hosts}")).collect::<Vec<_>>().join(", ")
}

/// How often each rule comes, most frequent first.
fn tally(rules: impl Iterator<Item = &'static str>) -> Vec<(&'static str, usize)> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    rules.for_each(|rule| *counts.entry(rule).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(rule, count)| (Reverse(*count), *rule));
    counts
}

/// What most hosts lack: the rule that excludes them, else what lacks most there.
fn most_frequent(misses: &[Miss]) -> Option<Lack> {
    let mut counts: BTreeMap<Lack, usize> = BTreeMap::new();
    for reason in misses.iter().filter_map(|miss| miss.excluded().or_else(|| miss.worst())) {
        *counts.entry(reason.lack()).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(lack, count)| (*count, Reverse(*lack))).map(|(lack, _)| lack)
}

#[cfg(test)]
mod tests;

//! Why a VM has to wait, in one sentence: what lacks, with numbers, and the nearest
//! miss. Users see the first 150 characters, so the essence comes first.

use crate::model::report::Lack;
use crate::model::snapshot::Host;
use crate::placement::ledger::Ledger;
use crate::placement::ledger::unit::Unit;
use crate::placement::rules::reason::Reason;
use std::collections::BTreeMap;

/// The sentence for every VM of a unit that found no host, and what most of its hosts lack.
/// O(candidate hosts).
pub fn explain(unit: &Unit, ledger: &mut Ledger<'_>) -> (String, Option<Lack>) {
    let mut reasons: Vec<(usize, Reason)> = Vec::with_capacity(unit.hosts.len());
    for &host in unit.hosts.iter() {
        let host = host as usize;
        match unit.seats(ledger, host) {
            Err(reason) => reasons.push((host, reason)),
            // only possible when the search for a plan was given up early
            Ok(_) => return ("was left out to place more VMs; it will be tried again".to_owned(), None),
        }
    }
    let lacks = tally(&reasons);
    (sentence(unit, ledger, &reasons, &lacks), lacks.first().map(|(lack, _)| *lack))
}

fn sentence(unit: &Unit, ledger: &Ledger<'_>, reasons: &[(usize, Reason)], lacks: &[(Lack, usize)]) -> String {
    let hosts = &ledger.context().snapshot.hosts;
    let set = set_name(unit);
    let Some((nearest, reason)) = nearest(reasons) else {
        return match unit.members.len() {
            1 => "cannot be placed: oned offers no host for it that is usable now".to_owned(),
            _ => format!("{set}cannot be placed: no host is a candidate for all of them"),
        };
    };
    let near = label(&hosts[*nearest]);
    let count = reasons.len();
    match (reason, count) {
        (_, 1) => format!("{set}{}cannot go to its only candidate, {near}: {}", need(reason), reason.text()),
        (Reason::Cpu { free, .. }, _) if lacks.len() == 1 => {
            format!("{set}{}the best of {count} candidate hosts ({near}) has {} free", need(reason), free.cores())
        }
        (Reason::Memory { need: asked, free }, _) if lacks.len() == 1 => {
            let free = asked.texts(*free).1;
            format!("{set}{}the best of {count} candidate hosts ({near}) has {free} free", need(reason))
        }
        _ => format!(
            "{set}{}finds no place on {count} candidate hosts ({}); nearest is {near}: {}",
            need(reason),
            lacks
                .iter()
                .take(3)
                .map(|(lack, hosts)| format!("{} on {hosts}", lack.text()))
                .collect::<Vec<_>>()
                .join(", "),
            reason.text()
        ),
    }
}

fn set_name(unit: &Unit) -> String {
    match unit.members.len() {
        1 => String::new(),
        count => format!("with its affined set ({count} VMs) "),
    }
}

/// The host that lacks least; where no room would help, the first.
fn nearest(reasons: &[(usize, Reason)]) -> Option<&(usize, Reason)> {
    let shortage = reasons.iter().filter(|(_, reason)| reason.is_shortage());
    shortage.min_by(|(_, a), (_, b)| a.miss().total_cmp(&b.miss())).or(reasons.first())
}

/// `needs 8 cores; `, where that is what lacks.
fn need(reason: &Reason) -> String {
    match reason {
        Reason::Cpu { need, .. } => format!("needs {}; ", need.text()),
        Reason::Memory { need, free } => format!("needs {} of memory; ", need.texts(*free).0),
        _ => String::new(),
    }
}

/// What hosts lack, and how many of them, most frequent first.
fn tally(reasons: &[(usize, Reason)]) -> Vec<(Lack, usize)> {
    let mut counts: BTreeMap<Lack, usize> = BTreeMap::new();
    for (_, reason) in reasons {
        *counts.entry(reason.lack()).or_default() += 1;
    }
    let mut counts: Vec<(Lack, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(lack, count)| (std::cmp::Reverse(*count), *lack));
    counts
}

/// `host 4, node-04`.
fn label(host: &Host) -> String {
    let name: String = host.name.chars().take(24).collect();
    if name.is_empty() { format!("host {}", host.id) } else { format!("host {}, {name}", host.id) }
}

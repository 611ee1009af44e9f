//! A decision taken apart, after the fact: with everything else of a plan standing, what
//! speaks for and against each candidate host of one VM, what tipped the choice, and the
//! smallest change that would place a VM that waits. Decides nothing.

mod remedy;

use crate::model::brief::Waits;
use crate::model::explanation::{Explanation, Outcome, Score, Verdict};
use crate::model::ids::{HostId, VmId};
use crate::model::policy::Policy;
use crate::model::report::{Planned, Refusal};
use crate::model::sketch::Sketch;
use crate::model::snapshot::Snapshot;
use crate::placement::deploy::draft::{PlanningInput, Prepared};
use crate::placement::deploy::units::units;
use crate::placement::ledger::Ledger;
use crate::placement::ledger::unit::Unit;
use crate::placement::rules::standing::Seat;
use crate::placement::score::green;
use crate::placement::score::load::{Effect, OVERFULL, SAME, compare};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Takes a decision apart; `None` for a VM that the request does not want placed.
/// O(candidate hosts), and for a VM that waits some plans' worth of booking more.
#[must_use]
pub fn explain(input: &PlanningInput<'_>, policy: &Policy, planned: &Planned, vm: VmId) -> Option<Explanation> {
    let snapshot = input.snapshot;
    let refusal = planned.report.refusals.iter().find(|refusal| refusal.vm == vm);
    let action = planned.plan.actions.iter().find(|action| action.vm == vm);
    let later = planned.report.later.iter().find(|(later, _)| *later == vm);
    let outcome = match (action, refusal, later) {
        (Some(action), ..) => Outcome::Placed { host: action.host, datastore: action.datastore },
        (None, Some(refusal), _) => Outcome::Waits(refusal.text.clone()),
        (None, None, Some((_, text))) => Outcome::Later(text.clone()),
        (None, None, None) => return None,
    };
    let nothing = Explanation {
        vm,
        with: Vec::new(),
        outcome,
        resources: Vec::new(),
        hosts: Vec::new(),
        tipped: String::new(),
        remedy: None,
    };
    let Some(request) = request_of(snapshot, vm) else { return Some(nothing) };
    let explained = standing(input, policy, planned, request, |unit, ledger| {
        let hosts = verdicts(unit, ledger);
        let with = unit.members.iter().filter(|&&m| m != request).map(|&m| snapshot.vms[snapshot.candidates[m].vm].id);
        let tipped = match &nothing.outcome {
            Outcome::Placed { host, .. } => {
                // without any data of energy the term is the same factor for all hosts, and no reason
                let with_energy = green::matters(snapshot, policy);
                tipped(&hosts, *host, &names(ledger), with_energy)
            }
            Outcome::Waits(_) | Outcome::Later(_) => String::new(),
        };
        Explanation { with: with.collect(), resources: names(ledger), hosts, tipped, ..nothing.clone() }
    });
    let mut explained = explained.unwrap_or(nothing);
    if let Outcome::Waits(_) = explained.outcome {
        explained.remedy = remedy::smallest(input, policy, planned, request);
    }
    Some(explained)
}

fn request_of(snapshot: &Snapshot, vm: VmId) -> Option<usize> {
    snapshot.candidates.iter().position(|candidates| snapshot.vms[candidates.vm].id == vm)
}

/// Calls `look` with the unit of a request, and a ledger on which all of the plan but that
/// unit is booked; `None` where the request is refused whatever the host.
fn standing<T>(
    input: &PlanningInput<'_>,
    policy: &Policy,
    planned: &Planned,
    request: usize,
    look: impl FnOnce(&Unit, &mut Ledger<'_>) -> T,
) -> Option<T> {
    let staying = staying(input.snapshot, planned, request);
    Prepared::new(input, policy).with(input, policy, &staying, |context| {
        let (units, _) = units(context, input.retries);
        let unit = units.iter().find(|unit| unit.members.contains(&request))?;
        let mut ledger = Ledger::new(context, false);
        for (other, seat) in seats(input.snapshot, planned) {
            if !unit.members.contains(&other) {
                ledger.book(other, seat);
            }
        }
        Some(look(unit, &mut ledger))
    })
}

/// Other VMs with RESCHED that the plan leaves where they are, with the reason: rules see them there.
fn staying(snapshot: &Snapshot, planned: &Planned, request: usize) -> HashMap<usize, Waits> {
    let refusals = planned.report.refusals.iter();
    let found = refusals.filter_map(|refusal| Some((request_of(snapshot, refusal.vm)?, refusal)));
    let stays = |&(other, _): &(usize, &Refusal)| {
        let vm = &snapshot.vms[snapshot.candidates[other].vm];
        other != request && vm.resched && vm.host.is_some()
    };
    found.filter(stays).map(|(other, refusal)| (other, Waits::new(refusal.text.clone(), refusal.brief))).collect()
}

/// The plan as seats, in its order.
fn seats<'a>(snapshot: &'a Snapshot, planned: &'a Planned) -> impl Iterator<Item = (usize, Seat)> + 'a {
    let requests: HashMap<VmId, usize> =
        snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect();
    planned.plan.actions.iter().filter_map(move |action| {
        let vnet = |id| snapshot.vnets.iter().position(|vnet| vnet.id == id);
        let seat = Seat {
            host: snapshot.host_index(action.host)?,
            datastore: snapshot.datastore_index(action.datastore)?,
            nics: action.nics.iter().filter_map(|(nic, id)| Some((*nic, vnet(*id)?))).collect(),
            order: None,
        };
        Some((*requests.get(&action.vm)?, seat))
    })
}

/// Every candidate host of a unit.
fn verdicts(unit: &Unit, ledger: &mut Ledger<'_>) -> Vec<Verdict> {
    let context = ledger.context();
    let ranked = context.ranks.of_request(unit.members[0]).is_some();
    let mut found = Vec::with_capacity(unit.hosts.len());
    for &host in unit.hosts.iter() {
        let host = host as usize;
        let verdict = match unit.seats(ledger, host) {
            Err(reason) => {
                // the same rule with what is left once the plan's VMs have theirs
                let all = unit.objections(ledger, host);
                let told = all.into_iter().find(|other| other.rule() == reason.rule()).unwrap_or(reason);
                Err(format!("{}: {}", told.rule(), told.text()))
            }
            Ok(_) => {
                let share = context.space.scaled(&unit.amount, host);
                let mut terms = ledger.load().terms(host, &share);
                if context.space.risk > 0.0 {
                    terms.push(ledger.load().uncertainty(host, &share));
                }
                let after = ledger.load().score_with(host, &share);
                Ok(Score {
                    rank: ranked.then(|| ledger.rank(unit.members[0], host)),
                    green: after - terms.iter().sum::<f64>(),
                    terms,
                    before: ledger.load().score(host),
                    after,
                    beyond: ledger.load().excess_with(host, &share),
                    rises_with: rises_with(unit, ledger, host),
                })
            }
        };
        let there = &context.snapshot.hosts[host];
        found.push(Verdict { host: there.id, name: there.name.clone(), verdict, failed: String::new() });
    }
    found
}

/// How much alike VMs must go up and down to be named: twice what chance does with so few projections.
const ALIKE: f64 = 0.5;

/// At most this many are named.
const NAMED: usize = 3;

/// The VMs on a host, there already or by the plan, that go up and down most like those of a unit.
fn rises_with(unit: &Unit, ledger: &Ledger<'_>, host: usize) -> Vec<VmId> {
    let context = ledger.context();
    let demands = context.demands;
    let sketch = |request: usize| demands.vms[request].sketch;
    let ours = unit.members.iter().fold(Sketch::default(), |sum, &member| sum + sketch(member));
    let there = context.snapshot.hosts[host].vms.iter();
    let there = there.filter_map(|vm| Some((*vm, *demands.sketches.get(vm)?)));
    let guests = ledger.guests(host).iter().map(|&guest| (context.vm(guest).id, sketch(guest)));
    let members = || unit.members.iter().map(|&member| context.vm(member).id);
    let others = there.chain(guests).filter(|(vm, _)| !members().any(|member| member == *vm));
    let mut alike: Vec<(f64, VmId)> = others.map(|(vm, sketch)| (ours.likeness(&sketch), vm)).collect();
    alike.retain(|(likeness, _)| *likeness > ALIKE);
    alike.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
    alike.dedup_by_key(|(_, vm)| *vm);
    alike.into_iter().take(NAMED).map(|(_, vm)| vm).collect()
}

/// What D is made of, by name.
fn names(ledger: &Ledger<'_>) -> Vec<String> {
    let space = ledger.context().space;
    let mut names = space.names();
    if space.risk > 0.0 {
        names.push("uncertainty".to_owned());
    }
    names
}

/// What made the chosen host better than the next best one.
fn tipped(hosts: &[Verdict], chosen: HostId, resources: &[String], with_energy: bool) -> String {
    let scored = || hosts.iter().filter_map(|host| Some((host, host.verdict.as_ref().ok()?)));
    let Some((_, ours)) = scored().find(|(host, _)| host.host == chosen) else { return String::new() };
    let mut others: Vec<_> = scored().filter(|(host, _)| host.host != chosen).collect();
    others.sort_by(|(a, x), (b, y)| order(x, y).then(a.host.cmp(&b.host)));
    let Some((next, theirs)) = others.first() else {
        return match hosts.len() {
            1 => "it is the only candidate host".to_owned(),
            count => format!("it is the only one of {count} candidate hosts that no rule excludes"),
        };
    };
    let label = format!("host {}, {}", next.host, next.name);
    if theirs.beyond.1 > ours.beyond.1 + SAME && theirs.beyond.1 > theirs.beyond.0 + SAME {
        let percent = 100.0 * theirs.beyond.1;
        return format!(
            "the next best ({label}) would be {percent:.0} % beyond its capacity by what is expected there"
        );
    }
    match (ours.rank, theirs.rank) {
        (Some(a), Some(b)) if a > b => return format!("SCHED_RANK is {a} there and {b} on the next best ({label})"),
        _ => {}
    }
    if order(ours, theirs) == Ordering::Greater {
        return format!(
            "taken alone it would go to {label} (D {:.3} instead of {:.3}); the plan as a whole is better this way",
            theirs.after, ours.after
        );
    }
    if order(ours, theirs) == Ordering::Equal {
        return format!("{label} is as good (D {:.3}); of equal hosts one is taken", theirs.after);
    }
    // placing on the emptier host also relieves it: what changes counts, not what is
    let relieved = (ours.after - ours.before) - (theirs.after - theirs.before);
    let parts = ours.terms.iter().zip(&theirs.terms).zip(resources).map(|((a, b), name)| (name.as_str(), a - b));
    let energy = with_energy.then_some(("energy", ours.green - theirs.green));
    let best = parts.chain(energy).min_by(|(_, a), (_, b)| a.total_cmp(b));
    match best {
        Some((name, difference)) if difference < 0.0 => format!(
            "{name}: {:.3} less than on the next best ({label}); D {:.3} against {:.3}",
            -difference, ours.after, theirs.after
        ),
        // less than half of the last digit is told as what it is
        _ if relieved > -0.0005 => format!("{label} is as good to the third digit (D {:.3})", theirs.after),
        _ => format!("it relieves the host by {:.3} more than the next best ({label})", -relieved),
    }
}

/// `Less` is the better host, as the planner compares two.
fn order(a: &Score, b: &Score) -> Ordering {
    let effect = |score: &Score| Effect {
        before: score.before + OVERFULL * score.beyond.0,
        after: score.after + OVERFULL * score.beyond.1,
    };
    let rank = b.rank.unwrap_or(0.0).total_cmp(&a.rank.unwrap_or(0.0));
    rank.then(compare(effect(a), effect(b)))
}

#[cfg(test)]
mod tests;

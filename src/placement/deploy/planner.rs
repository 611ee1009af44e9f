//! The way from input to plan. Total: there is always a plan, if an empty one, and a
//! report that says why.
//!
//! Units (VMs and affined sets) are placed one after another; who does not fit may
//! make others move. When some still wait, other orders are tried and the plan with
//! most VMs is kept, then the one with more of the asked capacity, then the one with
//! the smaller largest D_green. What is placed is then moved about until the hosts are as
//! even as they get.
//!
//! All of this is one path, the same for every deadline, which only says how far along it
//! a plan may go. The best plan on the path so far is taken, so more time is never worse.
//! Its first pass is always finished, so that there is a plan.

use super::attempt::{self, Attempt};
use super::draft::{Draft, PlanningInput, Prepared, better, compare};
use super::report;
use super::retry::Retries;
use super::shares::Shares;
use super::units::units;
use crate::model::brief::{Brief, Waits};
use crate::model::policy::{Objective, Policy, Scheduler};
use crate::model::report::Planned;
use crate::model::snapshot::{Snapshot, Vm, VmState};
use crate::placement::rules::context::Context;
use crate::placement::rules::groups::{Groups, torn_sets};
use crate::placement::score::green;
use crate::placement::work::Work;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Decides. O(VMs x candidate hosts) when all VMs find room.
#[must_use]
pub fn plan(input: &PlanningInput<'_>, policy: &Policy) -> Planned {
    let mut notices = input.snapshot.notices.clone();
    notices.extend(green::notices(input.snapshot));
    let prepared = Prepared::new(input, policy);
    notices.extend(prepared.notices.iter().cloned());
    let draft = |prepared: &Prepared<'_>, staying: &HashMap<usize, Waits>| {
        prepared.with(input, policy, staying, |context| best_draft(context, input.retries))
    };
    let mut chosen = consistent(input.snapshot, &prepared.work, true, |staying| draft(&prepared, staying));
    // wishes keep nobody waiting; who would wait if he were alone waits without them too
    if chosen.hopeful && has_wishes(input.snapshot) && !prepared.work.told() {
        let prepared = Prepared { wishes: false, ..Prepared::new(input, policy) };
        let without = consistent(input.snapshot, &prepared.work, false, |staying| draft(&prepared, staying));
        let count = |draft: &Draft| (draft.quality.placed, draft.quality.late);
        if count(&without) > count(&chosen) {
            chosen = without;
        }
    }
    notices.extend(torn_sets(input.snapshot));
    report::planned(input, &prepared.space, policy, &chosen, notices)
}

/// Drafts after which VMs with RESCHED are known to stay that were thought to move; then none of them does.
const REVISIONS: usize = 6;

/// The best draft that holds although some VMs with RESCHED find no host: then they stay where they are, those
/// who wait for them may join them there, and their affined VMs may not go elsewhere. Where it is `needed`, each
/// pass is finished until there is one.
fn consistent(
    snapshot: &Snapshot,
    work: &Work<'_>,
    needed: bool,
    draft: impl Fn(&HashMap<usize, Waits>) -> Draft,
) -> Draft {
    let mut staying: HashMap<usize, Waits> = HashMap::new();
    let mut best: Option<Draft> = None;
    let mut revision = 0;
    loop {
        work.need(needed && best.is_none());
        let next = draft(&staying);
        let mut stuck = stranded(snapshot, &next);
        stuck.retain(|request, _| !staying.contains_key(request));
        if stuck.is_empty() || !depend_on_each_other(snapshot) {
            return match best {
                Some(best) => better(best, next),
                None => next,
            };
        }
        staying.extend(stuck);
        if holds(snapshot, &next, &staying) {
            let others_wait = waiting(snapshot, &next).any(|request| !vm(snapshot, request).resched);
            let next = match best {
                Some(best) => better(best, next),
                None => next,
            };
            if !others_wait || work.told() {
                return next;
            }
            best = Some(next);
        }
        revision += 1;
        if revision == REVISIONS {
            let reason = || Waits::new("stays where it is in this plan, for the sake of its group", Brief::Stays);
            for request in (0..snapshot.candidates.len()).filter(|&request| vm(snapshot, request).resched) {
                staying.entry(request).or_insert_with(reason);
            }
        }
    }
}

fn best_draft(context: &Context<'_>, retries: &Retries) -> Draft {
    let (units, refused) = units(context, retries);
    let ways = attempt::ways(context.policy);
    let joint = context.policy.scheduler == Scheduler::Interference && context.policy.objective == Objective::Joint;
    let improve = |attempt: &mut Attempt<'_>| {
        if joint {
            attempt.improve(&units);
        }
    };
    let hopeless = attempt::hopeless(context, &units);
    let mut best = Attempt::new(context, &units, &hopeless, ways[0]);
    let shares = Shares::new(context, &units, context.work.pass());
    best.seek_room(&units, &shares);
    improve(&mut best);
    let mut is_improved = true;
    for way in &ways[1..] {
        if best.waiting.is_empty() || context.work.exhausted() {
            break;
        }
        if shares.left(&best.waiting) < context.work.pass() {
            break;
        }
        let again = || Attempt::new(context, &units, &hopeless, *way);
        let Some(mut next) = shares.charge(&best.waiting, context.work, again) else { break };
        next.seek_room(&units, &shares);
        if compare(next.quality, best.quality) == Ordering::Greater {
            best = next;
            is_improved = false;
        }
    }
    if !is_improved {
        improve(&mut best);
    }
    // what moved may have left room for those that wait
    while joint && !best.waiting.is_empty() && !context.work.exhausted() && best.seek_room(&units, &shares) {
        let waiting = best.waiting.clone();
        if shares.charge(&waiting, context.work, || improve(&mut best)).is_none() {
            break;
        }
    }
    if joint && !best.waiting.is_empty() && !context.work.exhausted() {
        let placed = best.quality.placed + best.quality.late;
        let more = Attempt::exhaustive(context, &units, &hopeless, placed);
        if let Some(more) = more.filter(|more| compare(more.quality, best.quality) == Ordering::Greater) {
            best = more;
            improve(&mut best);
        }
    }
    if best.prefer(&units) {
        improve(&mut best);
    }
    best.finish(&units, &hopeless, &refused)
}

/// RESCHED requests that found no host, with the reason.
fn stranded(snapshot: &Snapshot, draft: &Draft) -> HashMap<usize, Waits> {
    let reason = |request: usize| draft.refusals.iter().find(|refusal| refusal.vm == vm(snapshot, request).id);
    let bound = |request: usize| {
        let vm = vm(snapshot, request);
        vm.resched && matches!(vm.state, VmState::Active | VmState::Parked) && vm.host.is_some()
    };
    let stranded = waiting(snapshot, draft).filter(|&request| bound(request));
    stranded
        .filter_map(|request| {
            let reason = reason(request)?;
            Some((request, Waits::new(reason.text.clone(), reason.brief)))
        })
        .collect()
}

/// Whether what a draft places keeps the rules of its groups when those in `staying` stay.
fn holds(snapshot: &Snapshot, draft: &Draft, staying: &HashMap<usize, Waits>) -> bool {
    let groups = Groups::new(snapshot, staying);
    draft
        .seats
        .iter()
        .zip(&groups.rules)
        .all(|(seat, rules)| seat.as_ref().is_none_or(|seat| rules.allow(&snapshot.hosts[seat.host]).is_ok()))
        && groups.domains.hold(|request| draft.seats[request].as_ref().map(|seat| seat.host))
}

/// Whether anything is wished that a plan may do without.
fn has_wishes(snapshot: &Snapshot) -> bool {
    let likes = |vm: &Vm| !vm.likings.is_empty();
    (!snapshot.groups.is_empty() || snapshot.vms.iter().any(likes))
        && Groups::new(snapshot, &HashMap::new()).domains.has_wishes()
}

/// Whether any rule makes VMs depend on where others are.
fn depend_on_each_other(snapshot: &Snapshot) -> bool {
    !snapshot.groups.is_empty() || snapshot.vms.iter().any(|vm| !vm.current_vms_rules.is_empty())
}

/// Requests that a draft gives no host.
fn waiting<'s>(snapshot: &'s Snapshot, draft: &'s Draft) -> impl Iterator<Item = usize> + 's {
    (0..snapshot.candidates.len()).filter(|&request| draft.seats[request].is_none())
}

fn vm(snapshot: &Snapshot, request: usize) -> &Vm {
    &snapshot.vms[snapshot.candidates[request].vm]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::{Attempts, Recall};
    use crate::model::ids::VmId;
    use crate::placement::testing::{ask, cloud, demands};

    #[test]
    fn two_that_failed_to_start_do_not_take_the_place_of_one_that_did_not() {
        let mut asked = cloud(&[2]);
        for cores in [2, 1, 1] {
            ask(&mut asked, cores, &[0]);
        }
        let placed = |failed: u32| {
            let attempts = Attempts { failed, at: 1000, sequence: -1, error: String::new() };
            let attempts = [1, 2].map(|vm| (VmId(vm), attempts.clone())).into();
            let recall = Recall { attempts, now: 1000, ..Recall::default() };
            let retries = Retries::new(&asked, &recall, &Policy::default());
            assert_eq!(retries.is_late(1), failed > 0);
            let all = demands(&asked);
            let input = PlanningInput { retries: &retries, ..PlanningInput::new(&asked, &all) };
            let mut vms: Vec<i32> = plan(&input, &Policy::default()).plan.actions.iter().map(|one| one.vm.0).collect();
            vms.sort_unstable();
            vms
        };
        assert_eq!(placed(0), [1, 2], "two are more than one");
        assert_eq!(placed(9), [0]);
    }

    use crate::model::ids::{DatastoreId, HostId};
    use crate::model::report::Refusal;
    use crate::model::wish::{Liked, Liking, Spread};
    use crate::placement::deploy::draft::Quality;
    use crate::placement::rules::standing::Seat;
    use crate::placement::testing::{bind, run};

    fn draft(seats: &[Option<usize>], refused: &[i32]) -> Draft {
        let refusal =
            |vm: &i32| Refusal { vm: VmId(*vm), text: format!("why {vm}"), lack: None, brief: Brief::Own, set: false };
        Draft {
            seats: seats.iter().map(|host| host.map(Seat::on)).collect(),
            order: Vec::new(),
            why: Vec::new(),
            refusals: refused.iter().map(refusal).collect(),
            quality: Quality { placed: 0, late: 0, size: 0.0, objective: 0.0 },
            hopeful: false,
        }
    }

    #[test]
    fn those_are_stranded_that_are_to_move_and_find_no_host() {
        let mut asked = cloud(&[8, 8]);
        ask(&mut asked, 1, &[0]);
        for _ in 0..5 {
            let vm = run(&mut asked, 1, 1, &[0]);
            asked.vms[vm].resched = true;
        }
        asked.vms[2].state = VmState::Parked;
        asked.vms[3].resched = false;
        asked.vms[4].host = None;
        asked.vms[5].state = VmState::Other;
        let found = |seats: &[Option<usize>], refused: &[i32]| {
            let mut found: Vec<_> =
                stranded(&asked, &draft(seats, refused)).into_iter().map(|(vm, why)| (vm, why.text)).collect();
            found.sort();
            found
        };
        let all = [0, 1, 2, 3, 4, 5];
        assert_eq!(found(&[None; 6], &all), [(1, "why 1".to_owned()), (2, "why 2".to_owned())]);
        assert_eq!(found(&[None, Some(0), None, None, None, None], &all), [(2, "why 2".to_owned())]);
        assert_eq!(found(&[None; 6], &[0, 2]), [(2, "why 2".to_owned())]);
        assert_eq!(asked.vms[1].datastore, Some(DatastoreId(0)));
    }

    #[test]
    fn a_draft_holds_that_keeps_the_rules_of_groups_where_others_stay() {
        let mut asked = cloud(&[8, 8]);
        let stays = run(&mut asked, 1, 0, &[1]);
        asked.vms[stays].resched = true;
        let comes = ask(&mut asked, 1, &[0, 1]);
        bind(&mut asked, &[stays, comes]);
        let staying = [(stays, Waits::new("stays", Brief::Own))].into();
        let held = |host: usize| holds(&asked, &draft(&[None, Some(host)], &[]), &staying);
        assert_eq!((held(0), held(1), holds(&asked, &draft(&[None, None], &[]), &staying)), (true, false, true));
        // spread likewise
        asked.groups[0].roles[0].policy = crate::model::snapshot::RolePolicy::None;
        asked.groups[0].wishes.spread = Some(Spread { by: "HOST".to_owned(), skew: 1, soft: false });
        let held = |host: usize| holds(&asked, &draft(&[None, Some(host)], &[]), &staying);
        assert_eq!((held(0), held(1)), (false, true));
    }

    #[test]
    fn what_may_be_done_without_and_what_ties_vms_together_is_known() {
        let mut plain = cloud(&[8]);
        ask(&mut plain, 1, &[0]);
        let mut grouped = plain.clone();
        bind(&mut grouped, &[0]);
        let mut liked = plain.clone();
        liked.vms[0].likings = vec![Liking { hosts: Liked::Host(HostId(0)), weight: 1.0 }];
        let mut soft = grouped.clone();
        soft.groups[0].wishes.spread = Some(Spread { by: "HOST".to_owned(), skew: 1, soft: true });
        let mut current = plain.clone();
        current.vms[0].current_vms_rules.push("CURRENT_VMS = 9".to_owned());
        for (asked, wishes, depend) in [
            (plain, false, false),
            (grouped, false, true),
            (liked, true, false),
            (soft, true, true),
            (current, false, true),
        ] {
            assert_eq!((has_wishes(&asked), depend_on_each_other(&asked)), (wishes, depend));
        }
    }

    #[test]
    fn what_is_odd_is_told_in_the_report_and_wishes_keep_nobody_waiting() {
        let mut asked = cloud(&[2, 2]);
        for cores in [2, 1, 1] {
            ask(&mut asked, cores, &[0, 1]);
        }
        asked.hosts[0].attributes.push(crate::model::snapshot::Section::Template, "ENERGY_RENEWABLE", "odd");
        // two that would rather be apart take the place of the large one
        bind(&mut asked, &[1, 2]);
        asked.groups[0].roles[0].policy = crate::model::snapshot::RolePolicy::None;
        asked.groups[0].wishes.spread = Some(Spread { by: "HOST".to_owned(), skew: 1, soft: true });
        let all = demands(&asked);
        let planned = plan(&PlanningInput::new(&asked, &all), &Policy::default());
        assert_eq!((planned.plan.actions.len(), planned.report.refusals.len()), (3, 0));
        assert_eq!(planned.report.notices.len(), 1, "{:?}", planned.report.notices);
        assert!(planned.report.notices[0].text.starts_with("ENERGY_RENEWABLE is \"odd\""));
    }
}

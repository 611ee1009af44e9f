//! Each rule by the ages around which it changes. Ages are milliseconds before the request.

use super::*;
use crate::model::history::{Attempts, Notes};
use crate::model::ids::{DatastoreId, GroupId};
use crate::model::plan::Operation;
use crate::model::snapshot::{Candidates, Host, LastRun, Role, RolePolicy, VmGroup};
use crate::model::units::{Cpu, Memory};
use crate::model::wish::Wishes;
use std::sync::Arc;

const NOW: i64 = 1_800_000_000_000;

/// Hosts 0 to 9, and these VMs to be placed.
fn waiting(vms: &[i32]) -> Snapshot {
    let hosts = (0..10).map(|id| Host::plain(HostId(id), Cpu(800), Memory(1 << 24))).collect();
    let none: Arc<[u32]> = Arc::new([]);
    let candidate = |vm| Candidates { vm, hosts: none.clone(), datastores: none.clone(), nics: Vec::new() };
    Snapshot {
        hosts,
        vms: vms.iter().map(|id| Vm::plain(VmId(*id), Cpu(100), Memory(1024))).collect(),
        candidates: (0..vms.len()).map(candidate).collect(),
        ..Snapshot::default()
    }
}

/// What is remembered: VM, host and age of each placement.
fn recall(placed: &[(i32, i32, i64)]) -> Recall {
    let placement = |&(vm, host, age): &(i32, i32, i64)| Placement { vm: VmId(vm), host: HostId(host), at: NOW - age };
    Recall { placements: placed.iter().map(placement).collect(), now: NOW / 1000, moment: NOW, ..Recall::default() }
}

/// One start at a time for each host, and three in all.
const EXECUTOR: Executor = Executor { per_host: 1, per_cluster: 3 };

fn found(vms: &[i32], placed: &[(i32, i32, i64)]) -> UnderWay {
    under_way(&waiting(vms), &recall(placed), &EXECUTOR)
}

fn on_the_way(vms: &[i32], placed: &[(i32, i32, i64)]) -> Vec<(i32, i32)> {
    found(vms, placed).vms.iter().map(|(vm, host)| (vm.0, host.0)).collect()
}

#[test]
fn without_a_memory_nothing_is_under_way() {
    let recall = Recall { moment: 0, ..recall(&[(1, 2, 0)]) };
    let found = under_way(&waiting(&[1]), &recall, &EXECUTOR);
    assert_eq!(found, UnderWay::nothing(Pace::NoMemory));
}

#[test]
fn an_answer_that_is_not_shown_counts_right_after_and_is_dropped_later() {
    assert_eq!(on_the_way(&[1], &[(1, 2, 0)]), [(1, 2)]);
    assert_eq!(on_the_way(&[1], &[(1, 2, RIGHT_AFTER)]), [(1, 2)]);
    assert_eq!(on_the_way(&[1], &[(1, 2, RIGHT_AFTER + 1)]), []);
    // ahead of the clock: of one that was wrong
    assert_eq!(on_the_way(&[1], &[(1, 2, -1)]), []);
    // the newest came right after; an older one may have waited as well, but not for ever
    for (age, counts) in [(QUEUE, true), (QUEUE + 1, false)] {
        let both = on_the_way(&[1, 3], &[(1, 2, age), (3, 4, 100)]);
        assert_eq!(both.contains(&(1, 2)), counts, "{age}");
        assert!(both.contains(&(3, 4)), "{age}");
    }
}

#[test]
fn a_newer_answer_that_is_shown_tells_that_an_older_one_was_dropped() {
    // VM 9 does not wait any more: its answer is shown
    assert_eq!(on_the_way(&[1], &[(1, 2, 200), (9, 3, 100)]), []);
    // the other way round the unshown one is newer
    assert_eq!(on_the_way(&[1], &[(9, 3, 200), (1, 2, 100)]), [(1, 2)]);
    // of one answer both are shown, and it began all at once: VM 1 was refused
    assert_eq!(on_the_way(&[1], &[(1, 2, 100), (9, 3, 100)]), []);
}

#[test]
fn who_waits_for_a_turn_in_a_long_plan_is_under_way_while_it_lasts() {
    // one host, one start at a time: three ticks
    let plan = |age| [(1, 2, age), (8, 2, age), (9, 2, age)];
    let lasts = 2 * TICK * 3 + 2 * TICK;
    assert_eq!(on_the_way(&[1], &plan(lasts)), [(1, 2)]);
    assert_eq!(on_the_way(&[1], &plan(lasts + 1)), []);
    // different hosts, three at a time in all: four take two ticks
    let wide = |age| [(1, 2, age), (7, 3, age), (8, 4, age), (9, 5, age)];
    let lasts = 2 * TICK * 2 + 2 * TICK;
    assert_eq!(on_the_way(&[1], &wide(lasts)), [(1, 2)]);
    assert_eq!(on_the_way(&[1], &wide(lasts + 1)), []);
    // a newer answer was applied since: this one is over
    let mut newer = plan(30_000).to_vec();
    newer.extend([(5, 3, 5000), (6, 4, 5000)]);
    let mut asked = waiting(&[1]);
    let on_the_way_in = |asked: &Snapshot| under_way(asked, &recall(&newer), &EXECUTOR).vms;
    assert_eq!(on_the_way_in(&asked), [(VmId(1), HostId(2))], "somebody has terminated its VMs");
    asked.hosts[3].vms = vec![VmId(5)];
    assert_eq!(on_the_way_in(&asked), []);
    assert_eq!(on_the_way(&[1, 5, 6], &newer), [(1, 2)], "it was dropped");
    // three begin at once
    assert_eq!(on_the_way(&[1], &wide(100)[..3]), []);
    assert!(found(&[1], &plan(100)).unshown.is_empty(), "it is shown");
}

#[test]
fn the_latest_answer_is_dropped_where_nobody_of_it_has_left_the_queue() {
    let dropped = |vms: &[i32], placed: &[(i32, i32, i64)]| found(vms, placed).dropped;
    let at = |age: i64| Some((NOW - age) / 1000);
    assert_eq!(dropped(&[1, 2], &[(1, 2, 5000), (2, 3, 5000)]), at(5000));
    assert_eq!(dropped(&[1], &[(1, 2, 5000), (2, 3, 5000)]), None, "VM 2 has left");
    assert_eq!(dropped(&[1], &[(2, 3, 9000), (1, 2, 5000)]), at(5000), "an earlier answer was applied");
    assert_eq!(dropped(&[1], &[(1, 2, 9000), (2, 3, 5000)]), None, "a later one was applied");
    assert_eq!(dropped(&[1], &[(1, 2, RIGHT_AFTER)]), None, "the request may have waited");
    assert_eq!(dropped(&[1], &[]), None);
    // who was tried since did not start: the answer was applied
    let mut asked = waiting(&[1]);
    asked.vms[0].last_run = Some(LastRun { sequence: 3, began: NOW / 1000 - 2, ended: NOW / 1000 - 1 });
    let mut remembered = recall(&[(1, 2, 5000)]);
    remembered.attempts = [(VmId(1), Attempts { sequence: 2, at: NOW / 1000 - 5, ..Attempts::default() })].into();
    assert_eq!(under_way(&asked, &remembered, &EXECUTOR).dropped, None);
}

#[test]
fn the_rest_of_a_long_plan_is_unfinished_when_its_time_is_over() {
    // one host, one start at a time: three ticks
    let plan = |age| [(1, 2, age), (2, 2, age), (9, 2, age)];
    let lasts = 2 * TICK * 3 + 2 * TICK;
    assert_eq!(found(&[1, 2], &plan(lasts)).unfinished, None);
    let over = lasts + 1;
    assert_eq!(found(&[1, 2], &plan(over)).unfinished, Some(((NOW - over).div_euclid(1000), 2)));
    assert_eq!(found(&[], &plan(over)).unfinished, None, "all have left");
    assert_eq!(found(&[1], &[(1, 2, over), (9, 3, over)]).unfinished, None, "it began all at once");
    let mut newer = plan(over).to_vec();
    newer.push((8, 3, 5000));
    assert_eq!(found(&[1, 2], &newer).unfinished, None, "a newer answer was applied since");
}

#[test]
fn who_is_to_be_moved_waits_and_who_runs_does_not() {
    let mut snapshot = waiting(&[1, 2]);
    let placed = recall(&[(1, 3, 100), (2, 3, 100)]);
    for vm in &mut snapshot.vms {
        vm.state = VmState::Active;
    }
    snapshot.vms[0].resched = true;
    // VM 2 runs, so the answer is shown, and on one host it takes two ticks
    let found = under_way(&snapshot, &placed, &EXECUTOR);
    assert_eq!(found.vms, [(VmId(1), HostId(3))]);
    assert_eq!(found.unshown, []);
}

#[test]
fn a_host_that_is_gone_has_nobody_on_the_way() {
    assert_eq!(on_the_way(&[1, 3], &[(1, 77, 100), (3, 4, 100)]), [(3, 4)]);
}

#[test]
fn what_was_tried_since_is_not_under_way() {
    let known = Attempts { failed: 0, at: 1000, sequence: 4, error: "Cannot start".to_owned() };
    let run = |sequence, began| Some(LastRun { sequence, began, ended: 0 });
    for (last_run, error, tried) in [
        (None, "", false),
        (run(4, 2000), "", false),
        (run(5, 2000), "", true),
        (run(5, 1000), "", true),
        // it began before our answer: an earlier attempt
        (run(5, 999), "", false),
        // nobody tells when
        (run(5, 0), "", true),
        // the error that was known, and more of it than was noted
        (None, "Cannot start", false),
        (None, "Cannot start: no such disk", false),
        (None, "No such host", true),
        (run(4, 2000), "No such host", true),
    ] {
        let mut snapshot = waiting(&[1]);
        (snapshot.vms[0].last_run, snapshot.vms[0].error) = (last_run, error.to_owned());
        let mut recall = recall(&[(1, 2, 100)]);
        recall.attempts.insert(VmId(1), known.clone());
        let found = under_way(&snapshot, &recall, &EXECUTOR);
        assert_eq!(found.vms.is_empty(), tried, "{last_run:?} {error}");
    }
    // control characters are not noted
    let mut snapshot = waiting(&[1]);
    snapshot.vms[0].error = "Cannot\u{7} start".to_owned();
    let mut recall = recall(&[(1, 2, 100)]);
    recall.attempts.insert(VmId(1), known);
    assert_eq!(under_way(&snapshot, &recall, &EXECUTOR).vms.len(), 1);
}

#[test]
fn of_who_was_to_be_migrated_only_a_record_tells() {
    for (began, tried) in [(NOW / 1000 - 11, false), (NOW / 1000 - 10, true), (NOW / 1000, true)] {
        let mut snapshot = waiting(&[1, 3]);
        let vm = &mut snapshot.vms[0];
        (vm.state, vm.resched, vm.host) = (VmState::Active, true, Some(HostId(5)));
        vm.last_run = Some(LastRun { sequence: 0, began, ended: 0 });
        vm.error = "of long ago".to_owned();
        let mut recall = recall(&[(1, 2, 10_000), (3, 4, 100)]);
        // of its deployment, whose record began in that very second
        recall.attempts.insert(VmId(1), Attempts { failed: 0, at: 1000, sequence: -1, error: String::new() });
        let found = under_way(&snapshot, &recall, &EXECUTOR);
        assert_eq!(!found.vms.contains(&(VmId(1), HostId(2))), tried, "{began}");
    }
}

#[test]
fn who_waits_of_a_long_plan_whose_time_is_over_may_still_be_started() {
    let doubtful =
        |placed: &[(i32, i32, i64)]| -> Vec<i32> { found(&[1, 7], placed).doubtful.iter().map(|vm| vm.0).collect() };
    let lasts = 2 * TICK * 3 + 2 * TICK;
    let plan = |age| [(1, 2, age), (8, 2, age), (9, 2, age)];
    assert_eq!(doubtful(&plan(lasts)), [0; 0], "it goes on");
    assert_eq!(doubtful(&plan(lasts + 1)), [1]);
    assert_eq!(doubtful(&[(1, 77, lasts + 1), (8, 77, lasts + 1), (9, 77, lasts + 1)]), [1], "its host may be back");
    assert_eq!(doubtful(&[(1, 77, 100)]), [1], "right after");
    assert_eq!(found(&[1], &[(1, 77, 100)]).unshown, [(VmId(1), HostId(77), 0)], "for as long as requests queue");
    assert_eq!(doubtful(&[(1, 2, RIGHT_AFTER + 1)]), [1], "it was dropped: by a plan that may hold it as well");
    // also when a newer one seems to have been applied: somebody is of both
    let (old, new) = (plan(lasts + 1), [(7, 3, 100), (6, 3, 100)]);
    assert_eq!(doubtful(&[&old[..], &new[..]].concat()), [1]);
    // a plan that begins all at once leaves nobody
    assert_eq!(doubtful(&[(1, 2, lasts + 1), (9, 3, lasts + 1)]), [0; 0]);
}

#[test]
fn the_first_error_is_news() {
    let mut snapshot = waiting(&[1]);
    snapshot.vms[0].error = "Cannot start".to_owned();
    let mut recall = recall(&[(1, 2, 100)]);
    recall.attempts.insert(VmId(1), Attempts { failed: 0, at: 1000, sequence: -1, error: String::new() });
    assert_eq!(under_way(&snapshot, &recall, &EXECUTOR).vms, []);
}

#[test]
fn the_pace_is_that_of_the_plans_that_are_shown() {
    // nothing shown
    assert_eq!(found(&[1], &[]).pace, Pace::Unknown);
    assert_eq!(found(&[1], &[(1, 2, 400)]).pace, Pace::Unknown);
    // shown, and nothing was dropped after it
    assert_eq!(found(&[1], &[(9, 2, 90_000)]).pace, Pace::Quick);
    // an answer of `later` ms after it was dropped: the plan was still going on then
    let pace = |later: i64| found(&[1], &[(9, 2, 200_000), (1, 2, 200_000 - later)]).pace;
    assert_eq!(pace(TICK), Pace::Quick);
    assert_eq!(pace(TICK + 1), Pace::Slow);
    assert_eq!(pace(HANGS), Pace::Slow, "nothing else was quick");
    // a plan of two ticks may take two
    let long = |later: i64| found(&[1], &[(9, 2, 200_000), (8, 2, 200_000), (1, 2, 200_000 - later)]).pace;
    assert_eq!(long(2 * TICK), Pace::Quick);
    assert_eq!(long(2 * TICK + 1), Pace::Slow);
    // the last of those that were dropped tells
    let two = [(9, 2, 200_000), (1, 2, 200_000 - TICK - 1), (3, 2, 199_000)];
    assert_eq!(found(&[1, 3], &two).pace, Pace::Slow);
    // it may be that none was dropped: this request came right after the last answer
    assert_eq!(found(&[1], &[(9, 2, 50_000), (1, 2, 100)]).pace, Pace::Quick);
}

#[test]
fn something_hangs_when_others_were_quick() {
    // two shown answers a tick apart, and one that is kept out long after
    let pace =
        |apart: i64, later: i64| found(&[1], &[(8, 3, 200_000 + apart), (9, 2, 200_000), (1, 2, 200_000 - later)]).pace;
    assert_eq!(pace(TICK, HANGS), Pace::Hangs);
    assert_eq!(pace(TICK, HANGS - 1), Pace::Slow);
    assert_eq!(pace(TICK + 1, HANGS), Pace::Slow);
    // a plan of two ticks was followed soon: that is not quick
    let long = [(7, 3, 210_000), (8, 3, 210_000), (9, 2, 200_000), (1, 2, 200_000 - HANGS)];
    assert_eq!(found(&[1], &long).pace, Pace::Slow);
}

#[test]
fn what_the_next_request_may_not_know_is_remembered_in_order() {
    let placed = [(1, 2, 5000), (3, 4, 2000), (5, 6, 100)];
    let found = found(&[1, 3, 5], &placed);
    assert_eq!(found.vms, [(VmId(1), HostId(2)), (VmId(3), HostId(4)), (VmId(5), HostId(6))]);
    let again: Vec<Placement> = anew(&found.unshown, NOW).collect();
    let at = |vm: i32| again.iter().find(|placement| placement.vm == VmId(vm)).unwrap().at;
    assert_eq!((at(1), at(3), at(5)), (NOW - 3, NOW - 2, NOW - 1));
    assert_eq!(again[0].host, HostId(2));
    assert_eq!(anew(&[], NOW).count(), 0);
}

#[test]
fn what_is_under_way_is_settled_and_nobody_plans_it_again() {
    let mut snapshot = waiting(&[1, 2, 3, 4]);
    snapshot.hosts[5].vms = vec![VmId(3)];
    (snapshot.vms[1].state, snapshot.vms[1].resched, snapshot.vms[1].host) = (VmState::Active, true, Some(HostId(7)));
    snapshot.vms[3].state = VmState::Active;
    let to = |vm, host| (VmId(vm), HostId(host));
    // VM 6 is not of this request, host 77 not any more
    let vms = vec![to(1, 5), to(2, 6), to(3, 5), to(4, 77), to(6, 5)];
    let told = settle(&mut snapshot, &UnderWay { vms, ..UnderWay::nothing(Pace::Quick) });
    let host = |index: usize| {
        let host = &snapshot.hosts[index];
        (host.vms.clone(), host.running_vms, host.cpu_allocated, host.memory_allocated)
    };
    // VM 3 is there already and counts once
    assert_eq!(host(5), (vec![VmId(1), VmId(3)], 1, Cpu(100), Memory(1024)));
    assert_eq!(host(6), (vec![VmId(2)], 1, Cpu(100), Memory(1024)));
    let vm = |index: usize| (snapshot.vms[index].state, snapshot.vms[index].host);
    assert_eq!(vm(0), (VmState::Active, Some(HostId(5))));
    assert_eq!(vm(1), (VmState::Active, Some(HostId(7))), "it still runs where it is");
    assert!(snapshot.candidates.is_empty(), "{:?}", snapshot.candidates);
    let told: Vec<(i32, bool)> = told.iter().map(|(vm, text)| (vm.0, text.contains("by an answer"))).collect();
    assert_eq!(told, [(1, true), (2, true), (3, true)]);
}

#[test]
fn who_runs_by_now_is_told_and_who_waits_stays() {
    let mut snapshot = waiting(&[1, 2, 3]);
    snapshot.vms[0].state = VmState::Active;
    (snapshot.vms[1].state, snapshot.vms[1].resched) = (VmState::Active, true);
    let told = settle(&mut snapshot, &UnderWay::nothing(Pace::Quick));
    let left: Vec<usize> = snapshot.candidates.iter().map(|candidates| candidates.vm).collect();
    assert_eq!(left, [1, 2]);
    assert_eq!(told.len(), 1);
    assert!(told[0].0 == VmId(1) && told[0].1.contains("is on its host already"), "{told:?}");
}

#[test]
fn a_placement_is_arriving_until_the_request_shows_it_there() {
    let mut snapshot = waiting(&[]);
    snapshot.hosts[2].vms = vec![VmId(4)];
    let look = |snapshot: &Snapshot, placed: &[(i32, i32, i64)]| {
        let found = arriving(snapshot, &recall(placed), &EXECUTOR);
        found.iter().map(|(vm, _)| vm.0).collect::<Vec<_>>()
    };
    let lasts = 2 * TICK + 2 * TICK;
    // VM 4 is there, VM 5 is not
    assert_eq!(look(&snapshot, &[(4, 2, 1000), (5, 2, 1000)]), [5]);
    assert_eq!(look(&snapshot, &[(5, 3, lasts)]), [5]);
    assert_eq!(look(&snapshot, &[(5, 3, lasts + 1)]), [0; 0]);
    // two on one host take two ticks
    assert_eq!(look(&snapshot, &[(5, 3, 6 * TICK), (6, 3, 6 * TICK)]), [5, 6]);
    assert_eq!(look(&snapshot, &[(5, 3, 6 * TICK + 1), (6, 3, 6 * TICK + 1)]), [0; 0]);
    // right after an answer older ones count longer
    assert_eq!(look(&snapshot, &[(5, 3, QUEUE), (6, 2, RIGHT_AFTER)]), [5, 6]);
    assert_eq!(look(&snapshot, &[(5, 3, QUEUE + 1), (6, 2, 100)]), [6]);
    assert_eq!(look(&snapshot, &[(5, 3, QUEUE), (6, 2, RIGHT_AFTER + 1)]), [6]);
    // of a wrong clock, and on a host that is gone
    assert_eq!(look(&snapshot, &[(5, 3, -1)]), [0; 0]);
    assert_eq!(look(&snapshot, &[(5, 77, 100)]), [0; 0]);
}

#[test]
fn what_is_under_way_is_told_by_vm_whatever_the_order_of_answers() {
    // the first answer brings the VM of the highest id
    let placed = [(5, 2, 5000), (1, 4, 2000), (3, 6, 100)];
    assert_eq!(on_the_way(&[1, 3, 5], &placed), [(1, 4), (3, 6), (5, 2)]);
    let arrived = arriving(&waiting(&[]), &recall(&placed), &EXECUTOR);
    assert_eq!(arrived.iter().map(|(vm, _)| vm.0).collect::<Vec<_>>(), [1, 3, 5]);
}

#[test]
fn a_placement_of_this_very_moment_counts() {
    let found = arriving(&waiting(&[]), &recall(&[(5, 3, 0)]), &EXECUTOR);
    assert_eq!(found.len(), 1);
    assert_eq!(on_the_way(&[1], &[(1, 2, 0)]), [(1, 2)]);
}

/// A group of these VMs.
fn group(vms: &[i32]) -> VmGroup {
    let role = Role {
        name: "all".to_owned(),
        policy: RolePolicy::None,
        vms: vms.iter().map(|vm| VmId(*vm)).collect(),
        hosts_affined: Vec::new(),
        hosts_anti_affined: Vec::new(),
        wishes: Wishes::default(),
    };
    VmGroup {
        id: GroupId(1),
        name: "one".to_owned(),
        roles: vec![role],
        affined: Vec::new(),
        anti_affined: Vec::new(),
        wishes: Wishes::default(),
        by_administrator: false,
    }
}

/// A migration of a VM of two cores and 1 GiB from host 1 to host 2, under way for so long yet.
fn migrates(vm: i32, left: i64) -> Moving {
    let (cpu, memory) = (Cpu(200), Memory(1 << 20));
    Moving { vm: VmId(vm), from: HostId(1), to: HostId(2), cpu, memory, until: NOW + left }
}

#[test]
fn a_migration_is_under_way_until_its_time_is_over_or_its_vm_is_there() {
    let mut asked = waiting(&[]);
    asked.hosts[1].vms = vec![VmId(5), VmId(6), VmId(7)];
    asked.hosts[2].vms = vec![VmId(7), VmId(8)];
    let notes = Notes {
        moving: vec![migrates(5, 0), migrates(6, -1), migrates(7, 100), migrates(8, 100), migrates(9, 100)],
        ..Notes::default()
    };
    let recall = Recall { notes, ..recall(&[]) };
    assert_eq!(moving(&asked, &recall), [migrates(5, 0)], "6 is late, 7 arrives, 8 is there, 9 is gone");
    // a request about another cluster shows none of these hosts
    asked.hosts.retain(|host| host.id.0 > 2);
    assert_eq!(moving(&asked, &recall).iter().map(|one| one.vm.0).collect::<Vec<_>>(), [5, 7, 8, 9]);
}

#[test]
fn migrations_are_under_way_for_as_long_as_oned_takes_to_begin_them() {
    let mut asked = waiting(&[1, 2, 3, 4, 5]);
    for vm in &mut asked.vms {
        (vm.state, vm.host) = (VmState::Active, Some(HostId(9)));
    }
    asked.vms[4].host = None;
    let action = |(vm, host): &(i32, i32)| Action {
        vm: VmId(*vm),
        operation: Operation::Migrate,
        host: HostId(*host),
        datastore: DatastoreId(0),
        nics: Vec::new(),
    };
    // moves, who is on its way, and after how many rounds all have begun
    type Case<'a> = (&'a [(i32, i32)], &'a [i32], i64);
    let cases: [Case<'_>; 5] = [
        (&[], &[], 0),
        (&[(1, 2), (2, 3), (3, 4)], &[1, 2, 3], 1),
        (&[(1, 2), (2, 3), (3, 4), (4, 5)], &[1, 2, 3, 4], 2),
        (&[(1, 2), (2, 2), (3, 2)], &[1, 2, 3], 3),
        // within its host, of nobody knows where, of nobody knows whom
        (&[(1, 9), (5, 1), (77, 1)], &[], 0),
    ];
    for (moves, right, rounds) in cases {
        let plan = Plan { actions: moves.iter().map(action).collect() };
        let found = sent(&plan, &asked, &EXECUTOR);
        assert_eq!(found.iter().map(|one| one.vm.0).collect::<Vec<_>>(), right);
        for one in found {
            let vm = asked.vm(one.vm).unwrap();
            assert_eq!((one.from, one.cpu, one.memory), (HostId(9), vm.cpu, vm.memory));
            assert_eq!(one.until, 2 * TICK * rounds + 2 * TICK);
        }
    }
}

#[test]
fn what_migrates_has_room_on_both_hosts_and_its_group_waits() {
    let mut asked = waiting(&[3, 4]);
    asked.hosts[1].vms = vec![VmId(5)];
    asked.groups = vec![group(&[3, 5])];
    let before = asked.hosts[2].clone();
    let told = make_room(&mut asked, &[migrates(5, 100)]);
    assert_eq!(told, [(VmId(3), "comes next: VM 5 of its group is being migrated".to_owned())]);
    assert_eq!(asked.candidates.iter().map(|one| asked.vms[one.vm].id.0).collect::<Vec<_>>(), [4]);
    let there = &asked.hosts[2];
    assert_eq!((&there.vms[..], there.running_vms), (&[VmId(5)][..], before.running_vms + 1));
    assert_eq!(there.cpu_allocated.0 - before.cpu_allocated.0, 200);
    assert_eq!(there.memory_allocated.0 - before.memory_allocated.0, 1 << 20);
    assert_eq!(asked.hosts[1].vms, [VmId(5)], "it is still there too");
    let again = asked.hosts.clone();
    assert_eq!(make_room(&mut asked, &[migrates(5, 100), Moving { to: HostId(77), ..migrates(6, 100) }]), []);
    assert_eq!(asked.hosts, again, "it has its room already, and nobody knows host 77");
}

#[test]
fn an_error_is_dated_by_its_quarter_of_an_hour_whatever_the_time_zone() {
    // 2027-01-15T08:00:00Z
    let now = NOW / 1000;
    for (error, at) in [
        ("Fri Jan 15 07:59:50 2027 : Error", Some(now - 10)),
        ("Fri Jan 15 12:44:50 2027: Error of another zone", Some(now - 10)),
        ("Fri Jan  5 08:00:02 2027 : of a clock that is read later", Some(now + 2)),
        ("Fri Jan 15 08:00:03 2027 : Error", Some(now - 897)),
        ("Fri Jan 15 07:45:03 2027", Some(now - 897)),
        ("Fri Jan 15 07:45:02 2027", Some(now + 2)),
        ("Fri Jan 15 7:45 2027", None),
        ("Fri Jan 15 07:45:1 2027", None),
        ("no time at all", None),
        ("a b c", None),
        ("", None),
    ] {
        assert_eq!(dated(error, now), at, "{error}");
    }
}

#[test]
fn a_refusal_of_before_our_answer_is_of_an_earlier_one() {
    for (error, counts) in [
        ("Fri Jan 15 07:59:30 2027 : Error", true),
        ("Fri Jan 15 07:59:50 2027 : Error", false),
        ("Error without a time", false),
    ] {
        let mut asked = waiting(&[1, 2]);
        asked.vms[0].error = error.to_owned();
        // VM 2 was answered just now, so requests may have waited
        let mut remembered = recall(&[(1, 3, 20_000), (2, 4, 100)]);
        remembered.attempts = [(VmId(1), Attempts { at: NOW / 1000 - 20, ..Attempts::default() })].into();
        let under_way = under_way(&asked, &remembered, &EXECUTOR);
        assert_eq!(under_way.vms.contains(&(VmId(1), HostId(3))), counts, "{error}");
    }
}

#[test]
fn a_request_may_have_waited_for_an_optimization_too() {
    for (ago, waits) in [(0, true), (RIGHT_AFTER, true), (RIGHT_AFTER + 1, false), (-1, false)] {
        let notes = Notes { answered: NOW - ago, ..Notes::default() };
        let recall = Recall { notes, ..recall(&[(1, 2, 20_000), (3, 4, 100_000)]) };
        let found = under_way(&waiting(&[1]), &recall, &EXECUTOR).vms;
        assert_eq!(found == [(VmId(1), HostId(2))], waits, "{ago}");
        let coming = arriving(&waiting(&[]), &recall, &EXECUTOR);
        // a minute is the time of a plan anyway
        assert_eq!(coming.contains(&(VmId(3), HostId(4))), waits, "{ago}");
    }
}

#[test]
fn rounds_are_those_of_the_busiest_host_or_of_all_together() {
    let of = |by_host: &[usize], per_host: usize, per_cluster: usize| {
        rounds(by_host.iter().copied(), &Executor { per_host, per_cluster })
    };
    assert_eq!([of(&[], 1, 3), of(&[1, 1, 1], 1, 3), of(&[1, 1, 1, 1], 1, 3), of(&[3], 1, 3)], [0, 1, 2, 3]);
    assert_eq!([of(&[3, 1], 2, 30), of(&[4, 5], 4, 3), of(&[2, 1], 0, 30), of(&[2, 1], 9, 0)], [2, 3, 2, 3]);
}

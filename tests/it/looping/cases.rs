//! Requests that only the loop brings: what is answered when a sample, a start or a plan is under way.

use oneaio::decide::{self, Decided};
use oneaio::model::explanation::Outcome;
use oneaio::model::history::{Attempts, Placement, Recall};
use oneaio::model::ids::{HostId, VmId};
use oneaio::model::plan::Plan;
use oneaio::model::policy::Policy;
use oneaio::model::snapshot::{Candidates, Snapshot, Vm, VmState};
use oneaio::simulation::oned::executor::{Applied, Stand};
use oneaio::simulation::oned::scenario::Settings;
use std::collections::BTreeMap;
use std::path::Path;

fn request(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/looping/requests").join(name)).unwrap()
}

fn decided(name: &str) -> Decided {
    decide::place(request(name), &Policy::default()).unwrap()
}

fn host_of(plan: &Plan, vm: i32) -> Option<i32> {
    plan.actions.iter().find(|action| action.vm == VmId(vm)).map(|action| action.host.0)
}

#[test]
fn vms_that_came_after_the_sample_count() {
    // seven VMs are on host 34, and no sample shows them
    assert_ne!(host_of(&decided("one-by-one.xml").planned.plan, 59), Some(34));
}

/// The same request as it would be when VMs come one by one, the samples staying as they are.
fn one_by_one(mut remember: impl FnMut(&mut Recall, VmId, HostId, i64)) -> Vec<usize> {
    let mut snapshot = decide::read(request("one-by-one.xml")).unwrap();
    for host in &mut snapshot.hosts {
        host.vms.clear();
        (host.cpu_allocated.0, host.memory_allocated.0, host.running_vms) = (0, 0, 0);
    }
    let mut recall = Recall::default();
    for turn in 0..8_i64 {
        let mut now = snapshot.clone();
        let id = VmId(1000 + turn as i32);
        now.vms[0].id = id;
        let answer = decide::place_snapshot(now, &recall, &Policy::default());
        let [action] = answer.planned.plan.actions.as_slice() else { panic!("one VM, one action") };
        let index = snapshot.host_index(action.host).unwrap();
        let vm = answer.snapshot.vm(id).unwrap().clone();
        let host = &mut snapshot.hosts[index];
        host.vms.push(id);
        host.running_vms += 1;
        host.cpu_allocated += vm.cpu;
        host.memory_allocated += vm.memory;
        remember(&mut recall, id, action.host, turn);
    }
    snapshot.hosts.iter().map(|host| host.vms.len()).collect()
}

#[test]
fn vms_that_come_one_by_one_are_spread_with_and_without_memory() {
    let fair = |spread: &[usize]| spread == [2, 2, 2, 2];
    let spread = one_by_one(|_, _, _, _| ());
    assert!(fair(&spread), "without memory {spread:?}");
    let spread = one_by_one(|recall, vm, host, turn| {
        let now = 1_795_444_200 + 20 * turn;
        recall.placements.push(Placement { vm, host, at: now * 1000 });
        (recall.now, recall.moment) = (now + 19, (now + 19) * 1000);
    });
    assert!(fair(&spread), "with a memory {spread:?}");
}

#[test]
fn a_vm_that_runs_by_now_is_neither_an_error_nor_waits() {
    let decided = decided("race.xml.gz");
    let later: Vec<VmId> = decided.planned.report.later.iter().map(|(vm, _)| *vm).collect();
    let [runs] = later.as_slice() else { panic!("one VM was started meanwhile: {later:?}") };
    let vm = decided.snapshot.vm(*runs).unwrap();
    assert_eq!((vm.state, vm.resched), (VmState::Active, false));
    assert!(decided.planned.report.refusals.iter().all(|refusal| refusal.vm != *runs));
    assert_eq!(host_of(&decided.planned.plan, runs.0), None);
}

#[test]
fn a_start_that_failed_is_tried_elsewhere() {
    let mut hosts = Vec::new();
    for turn in 0..4 {
        let decided = decided(&format!("failed-{turn}.xml"));
        let [action] = decided.planned.plan.actions.as_slice() else { panic!("one VM, one action") };
        hosts.push(action.host.0);
    }
    // once it failed on host 1 there is host 2, which is equal and free
    assert_eq!(hosts[1..], [2, 2, 2], "{hosts:?}");
    // how long ago that was is told by the request: decided again months later, it is the same
    for turn in 1..4 {
        let snapshot = decide::read(request(&format!("failed-{turn}.xml"))).unwrap();
        let now = snapshot.taken_at + 100 * 86_400;
        let recall = Recall { now, moment: now * 1000, ..Recall::default() };
        let decided = decide::place_snapshot(snapshot, &recall, &Policy::default());
        assert_eq!(host_of(&decided.planned.plan, 2200), Some(2), "turn {turn}");
    }
}

#[test]
fn hosts_that_fail_starts_are_told_of_by_explain_and_the_report() {
    let ended = 1_795_441_268;
    // five minutes after the failure of the request
    let mut snapshot = decide::read(request("failed-1.xml")).unwrap();
    snapshot.taken_at = ended + 300;
    let decided = |snapshot| decide::place_snapshot(snapshot, &Recall::default(), &Policy::default());
    let failing = |decided: &Decided| {
        let failing = decided.planned.report.failing.iter();
        failing.map(|one| (one.host.0, one.vms, one.since, one.until)).collect::<Vec<_>>()
    };
    let explained = |decided: &Decided, vm: i32| {
        let explained = decided.explain(VmId(vm), &Policy::default()).unwrap();
        explained.hosts.into_iter().map(|host| (host.host.0, host.failed)).collect::<BTreeMap<_, _>>()
    };
    let one = decided(snapshot.clone());
    assert_eq!(failing(&one), [(1, 1, ended, None)], "one VM says nothing about others");
    let told = explained(&one, 2200);
    assert!(told[&1].contains("it failed to start here") && told[&2].is_empty(), "{told:?}");

    // another VM failed there too, and a third one comes
    for (id, failed) in [(2201, true), (2202, false)] {
        let mut vm = snapshot.vms[0].clone();
        vm.id = VmId(id);
        if !failed {
            vm.stays.clear();
        }
        snapshot.vms.push(vm);
        let vm = snapshot.vms.len() - 1;
        snapshot.candidates.push(Candidates { vm, ..snapshot.candidates[0].clone() });
    }
    let all = decided(snapshot);
    assert_eq!(failing(&all), [(1, 2, ended, Some(ended + 1800))]);
    assert_eq!(host_of(&all.planned.plan, 2202), Some(2), "nobody goes there while there are others");
    let told = explained(&all, 2202);
    assert!(told[&1].starts_with("2 VMs failed to start here since 2026-"), "{told:?}");
    let notices: Vec<&str> = all.planned.report.notices.iter().map(|notice| notice.text.as_str()).collect();
    assert!(notices.iter().any(|text| text.contains("others go first until 2026-")), "{notices:?}");
}

#[test]
fn who_comes_next_is_explained_as_such() {
    let mut two = decide::read(request("one-by-one.xml")).unwrap();
    for host in &mut two.hosts {
        (host.cpu_allocated.0, host.memory_allocated.0) = (0, 0);
    }
    let id = VmId(two.vms.iter().map(|vm| vm.id.0).max().unwrap() + 1);
    two.vms.push(Vm { id, ..two.vms[two.candidates[0].vm].clone() });
    let vm = two.vms.len() - 1;
    two.candidates.push(Candidates { vm, ..two.candidates[0].clone() });
    // one host for both, and a memory: each host comes once
    two.candidates.iter_mut().for_each(|candidates| candidates.hosts = [0].into());
    let now = two.taken_at + 10;
    let recall = Recall { now, moment: now * 1000, ..Recall::default() };
    let decided = decide::place_snapshot(two, &recall, &Policy::default());
    let report = &decided.planned.report;
    let [(later, _)] = report.later.as_slice() else { panic!("{:?} {:?}", report.later, report.refusals) };
    let explained = decided.explain(*later, &Policy::default()).expect("it is of this request");
    let Outcome::Later(text) = explained.outcome else { panic!("{explained:?}") };
    assert!(text.contains("comes next") && explained.remedy.is_none(), "{text}");
    assert_eq!(explained.hosts.len(), 1);
}

/// VMs of a request that wait.
fn waiting(snapshot: &Snapshot) -> Vec<VmId> {
    snapshot.candidates.iter().map(|candidates| snapshot.vms[candidates.vm].id).collect()
}

#[test]
fn what_is_under_way_is_not_answered_twice_and_what_was_dropped_is() {
    let gz =
        std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/k1_place_100h_300vm/request.xml.gz"));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut gz.unwrap(), &mut bytes).unwrap();
    let snapshot = decide::read(bytes).unwrap();
    let now = snapshot.taken_at + 10;
    let all = waiting(&snapshot);
    let host = snapshot.hosts[0].id;
    let placed = |vm: VmId, before: i64| Placement { vm, host, at: now * 1000 - before };
    let recall = |placements: Vec<Placement>| {
        let attempts =
            placements.iter().map(|one| (one.vm, Attempts { failed: 0, at: now, sequence: -1, error: String::new() }));
        Recall { attempts: attempts.collect(), placements, now, moment: now * 1000, ..Recall::default() }
    };
    let answered = |placements| {
        let decided = decide::place_snapshot(snapshot.clone(), &recall(placements), &Policy::default());
        let later: Vec<VmId> = decided.planned.report.later.iter().map(|(vm, _)| *vm).collect();
        let again = |vm: VmId| decided.planned.plan.actions.iter().any(|action| action.vm == vm);
        (again(all[0]), later.contains(&all[0]))
    };
    // right after our answer: this request may be older than that
    assert_eq!(answered(vec![placed(all[0], 40)]), (false, true));
    // later, while another VM of the same answer is gone: that plan began all at once, so this one was refused
    let (again, _) = answered(vec![placed(all[0], 4000), placed(VmId(1), 4000)]);
    assert!(again || all.len() > 30, "it is planned again, now or next");
    // a newer answer is shown and this one is not: oned dropped it
    let dropped = vec![placed(all[0], 9000), placed(VmId(1), 3000)];
    let under_way = decide::underway::under_way(&snapshot, &recall(dropped), &Policy::default().executor);
    assert_eq!(under_way.vms, []);
    let stale = decide::underway::under_way(&snapshot, &recall(vec![placed(all[0], 40)]), &Policy::default().executor);
    assert_eq!(stale.vms, [(all[0], host)]);
}

/// The most that hosts hold while a plan of migrations is carried out with durations drawn from `seed`; a VM
/// that moves is on both hosts. `None` while no host holds more than it has.
fn overfull_on_the_way(snapshot: &Snapshot, plan: &Plan, seed: u64) -> Option<HostId> {
    let settings = Settings::default();
    let mut applied = Applied::new(plan.clone());
    let mut held: BTreeMap<HostId, (i64, i64)> =
        snapshot.hosts.iter().map(|host| (host.id, (host.cpu_allocated.0, host.memory_allocated.0))).collect();
    let mut running: Vec<(i64, usize, VmId, HostId)> = Vec::new();
    for tick in 0..400 {
        let now = tick * settings.timer;
        running.sort_unstable_by_key(|(ends, ..)| *ends);
        while running.first().is_some_and(|(ends, ..)| *ends <= now) {
            let (_, number, vm, from) = running.remove(0);
            let vm = snapshot.vm(vm).unwrap();
            let at = held.get_mut(&from).unwrap();
            (at.0, at.1) = (at.0 - vm.cpu.0, at.1 - vm.memory.0);
            applied.end(number, Stand::Done);
        }
        while let Some((number, action)) = applied.next(&settings, now) {
            let vm = snapshot.vm(action.vm).unwrap();
            let at = held.get_mut(&action.host).unwrap();
            (at.0, at.1) = (at.0 + vm.cpu.0, at.1 + vm.memory.0);
            let host = &snapshot.hosts[snapshot.host_index(action.host).unwrap()];
            if at.0 > host.cpu.0 || at.1 > host.memory.0 {
                return Some(host.id);
            }
            let takes = 1000 + (oneaio::simulation::oned::dice::uniform(&[seed, number as u64]) * 100_000.0) as i64;
            running.push((now + takes, number, action.vm, vm.host.unwrap()));
        }
    }
    assert!(applied.is_over(), "the plan does not end");
    None
}

#[test]
fn no_host_is_overfull_on_the_way_however_long_migrations_take() {
    let snapshot = decide::read(request("crammed-host.xml")).unwrap();
    let optimized = decide::optimize(snapshot, None, &Recall::default(), &Policy::default()).unwrap();
    assert!(!optimized.migrated.plan.actions.is_empty());
    for seed in 0..200 {
        assert_eq!(overfull_on_the_way(&optimized.snapshot, &optimized.migrated.plan, seed), None, "seed {seed}");
    }
}

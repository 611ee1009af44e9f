//! What hosts are taken to use where nobody knows their VMs, and who counts as a newcomer.

use super::*;
use crate::model::demand::Class;
use crate::model::history::{Placement, Usual};
use crate::model::sketch::Sketch;
use crate::model::snapshot::{Candidates, HostMonitoring, Stay};
use crate::model::units::{Cpu, Memory};
use std::sync::Arc;

/// A host that holds VMs of one core and 1000 KiB each, with a sample of what is used.
pub fn host(id: i32, vms: std::ops::Range<i32>, cpu: i64, memory: i64) -> Host {
    let vms: Vec<VmId> = vms.map(VmId).collect();
    let count = vms.len() as i64;
    Host {
        cpu_allocated: Cpu(100 * count),
        memory_allocated: Memory(1000 * count),
        monitoring: Some(HostMonitoring { timestamp: 1000, cpu_used: Cpu(cpu), memory_used: Memory(memory) }),
        vms,
        ..Host::plain(HostId(id), Cpu(1600), Memory(1 << 20))
    }
}

pub fn snapshot(hosts: Vec<Host>) -> Snapshot {
    Snapshot { hosts, taken_at: 1000, ..Snapshot::default() }
}

fn typical(hosts: Vec<Host>) -> Typical {
    let snapshot = snapshot(hosts);
    Typical::new(&snapshot, &requested::demands(&snapshot, 600).hosts)
}

#[test]
fn typical_is_the_host_at_three_quarters_beyond_what_an_empty_one_uses() {
    let found = typical(vec![
        host(1, 0..0, 10, 100),
        host(2, 0..0, 20, 50),
        host(3, 1..2, 10 + 60, 50 + 550),
        host(4, 2..3, 10 + 90, 50 + 650),
        host(5, 3..4, 10 + 70, 50 + 850),
        host(6, 4..5, 10 + 80, 50 + 750),
    ]);
    assert_eq!((found.idle.cpu, found.idle.memory), (10.0, 50.0));
    // of four shares the fourth; empty hosts tell no share
    assert_eq!((found.cpu, found.memory), (0.9, 0.85));
    // of five the fourth
    let five = [60, 90, 70, 80, 65].into_iter().zip(1..).map(|(cpu, id)| host(id, id..id + 1, cpu, 0)).collect();
    assert_eq!(typical(five).cpu, 0.8);
}

#[test]
fn typical_is_from_half_to_all_and_only_samples_tell() {
    let only = |cpu: i64| typical(vec![host(1, 1..2, cpu, 10 * cpu)]);
    assert_eq!((only(20).cpu, only(20).memory), (0.5, 0.5));
    assert_eq!((only(70).cpu, only(70).memory), (0.7, 0.7));
    assert_eq!((only(300).cpu, only(300).memory), (1.0, 1.0));
    let unmeasured = Host { monitoring: None, ..host(1, 1..2, 0, 0) };
    assert_eq!((typical(vec![unmeasured.clone()]).cpu, typical(vec![]).cpu), (0.5, 0.5));
    // what is allocated is no measure, and a host without a sample is not idle
    let empty = Host { monitoring: None, ..host(2, 0..0, 0, 0) };
    let found = typical(vec![unmeasured, empty, host(3, 2..3, 70, 700)]);
    assert_eq!((found.cpu, found.idle.cpu), (0.7, 0.0));
}

#[test]
fn the_latest_eight_vms_per_host_are_young() {
    assert_eq!(typical(vec![host(1, 1..21, 0, 0)]).young, VmId(13));
    assert_eq!(typical(vec![host(1, 1..21, 0, 0), host(2, 21..31, 0, 0)]).young, VmId(15));
    assert_eq!(typical(vec![host(1, 5..9, 0, 0)]).young, VmId(5));
    assert_eq!(typical(vec![]).young, VmId(0));
}

#[test]
fn a_sample_that_shows_too_little_misses_young_vms_as_far_as_there_are_some() {
    let typical =
        Typical { cpu: 0.8, memory: 0.6, idle: Usage { cpu: 10.0, memory: 100.0, ..Usage::default() }, young: VmId(5) };
    let filled = |host: Host| {
        let stated = requested::demands(&snapshot(vec![host.clone()]), 600).hosts[0];
        let usage = typical.with_young(&host, stated).usage;
        (usage.cpu, usage.memory)
    };
    // four VMs, all young: as is typical, 10 + 0.8 x 400 and 100 + 0.6 x 4000
    assert_eq!(filled(host(1, 5..9, 50, 200)), (330.0, 2500.0));
    // one of four is young: a quarter of what is typical on top of what is shown
    assert_eq!(filled(host(1, 2..6, 50, 200)), (50.0 + 80.0, 200.0 + 600.0));
    // two of four; no more than is typical
    assert_eq!(filled(host(1, 3..7, 250, 2000)), (330.0, 2500.0));
    // none is young, or the sample shows more: what is shown
    assert_eq!(filled(host(1, 1..5, 50, 200)), (50.0, 200.0));
    assert_eq!(filled(host(1, 5..9, 350, 2600)), (350.0, 2600.0));
    assert_eq!(filled(host(1, 0..0, 50, 200)), (50.0, 200.0));
}

#[test]
fn with_a_memory_nobody_guesses_who_is_young() {
    let snapshot = snapshot(vec![host(1, 5..9, 50, 200)]);
    let used = |recall: &Recall| demands(&snapshot, recall, 600).hosts[0].usage.cpu;
    // half of what is allocated is typical where the only sample shows less
    assert_eq!(used(&Recall::default()), 200.0);
    assert_eq!(used(&Recall { now: 1000, ..Recall::default() }), 50.0);
    // without a sample what is allocated counts
    assert_eq!(demands(&snapshot, &Recall::default(), 0).hosts[0].usage.cpu, 400.0);
}

pub fn known(cpu: f64, deviation: f64) -> Estimate {
    let level = Usage { cpu, memory: 100.0, ..Usage::default() };
    Estimate {
        level,
        peak: level,
        usual: Usual::default(),
        cpu_deviation: deviation,
        sketch: Sketch::default(),
        trust: 1.0,
        class: Some(Class { number: 1, confidence: 1.0 }),
        samples: 1000,
        last_at: 1000,
    }
}

#[test]
fn only_what_is_unusual_for_its_vms_is_something_else_on_a_host() {
    let recall = Recall { now: 1000, estimates: [(VmId(5), known(100.0, 10.0))].into(), ..Recall::default() };
    let used = |cpu: i64| {
        let at = demands(&snapshot(vec![host(1, 5..6, cpu, 0)]), &recall, 600).hosts[0];
        (at.usage.cpu, at.basis)
    };
    // 2.33 deviations above the level are 123.3
    assert_eq!(used(123), (100.0, Basis::Monitoring));
    assert_eq!(used(124), (124.0, Basis::Monitoring));
    assert_eq!(used(100), (100.0, Basis::History));
    assert_eq!(used(99), (100.0, Basis::History));
    // a VM that nobody knows is there as well: what is shown counts, however usual
    let at = demands(&snapshot(vec![host(1, 5..7, 110, 0)]), &recall, 600).hosts[0];
    assert_eq!(at.usage.cpu, 110.0);
}

/// Who is new on hosts 1 (VMs 5 and 6, a sample of second 1000) and 2, with VM 9 to be placed.
fn newcomers(vms: Vec<Vm>, placements: &[(i32, i32, i64)]) -> Vec<(i32, i32)> {
    let mut hosts = vec![host(1, 5..7, 0, 0), host(2, 0..0, 0, 0)];
    hosts[1].monitoring = None;
    let mut snapshot = snapshot(hosts);
    snapshot.vms = vms;
    snapshot.vms.push(Vm::plain(VmId(9), Cpu(100), Memory(1000)));
    let none: Arc<[u32]> = Arc::new([]);
    snapshot.candidates =
        vec![Candidates { vm: snapshot.vms.len() - 1, hosts: none.clone(), datastores: none, nics: Vec::new() }];
    let placed = |&(vm, host, at): &(i32, i32, i64)| Placement { vm: VmId(vm), host: HostId(host), at };
    let recall = Recall { placements: placements.iter().map(placed).collect(), ..Recall::default() };
    let known = Known { snapshot: &snapshot, recall: &recall, relatives: Relatives::new(&recall.relatives) };
    let found = known.newcomers();
    found.iter().flat_map(|(host, vms)| vms.iter().map(|vm| (vm.0, host.0))).collect()
}

#[test]
fn newcomers_are_told_by_placements_and_by_history() {
    // milliseconds beside the second of the sample
    assert_eq!(newcomers(vec![], &[(5, 1, 999_999)]), []);
    assert_eq!(newcomers(vec![], &[(5, 1, 1_000_000)]), [(5, 1)]);
    assert_eq!(newcomers(vec![], &[(7, 1, 1)]), [(7, 1)], "the list does not show it yet");
    assert_eq!(newcomers(vec![], &[(7, 2, 1)]), [(7, 2)], "there is no sample");
    assert_eq!(newcomers(vec![], &[(9, 1, 2_000_000), (7, 77, 1)]), [], "placed again, and a host that is gone");
    let stayed = |host: i32, began: i64, change: fn(&mut Vm)| {
        let mut vm = Vm::plain(VmId(5), Cpu(100), Memory(1000));
        (vm.state, vm.host) = (VmState::Active, Some(HostId(1)));
        vm.stays = vec![Stay { host: HostId(2), began: 1, ended: 2 }, Stay { host: HostId(host), began, ended: 0 }];
        change(&mut vm);
        newcomers(vec![vm], &[])
    };
    assert_eq!(stayed(1, 1000, |_| ()), [(5, 1)]);
    assert_eq!(stayed(1, 999, |_| ()), []);
    assert_eq!(stayed(2, 1000, |_| ()), [], "its last stay was elsewhere");
    assert_eq!(stayed(1, 1000, |vm| vm.state = VmState::Parked), []);
    assert_eq!(stayed(1, 1000, |vm| vm.id = VmId(7)), [], "the host does not list it");
    assert_eq!(stayed(1, 1000, |vm| vm.stays.clear()), []);
    // nobody tells when it came, and on host 2 there is no sample to be older than
    let unknown = |began: i64| {
        let mut vm = Vm::plain(VmId(5), Cpu(100), Memory(1000));
        (vm.state, vm.host) = (VmState::Active, Some(HostId(2)));
        vm.stays = vec![Stay { host: HostId(2), began, ended: 0 }];
        let mut hosts = vec![host(2, 5..6, 0, 0)];
        hosts[0].monitoring = None;
        let snapshot = Snapshot { vms: vec![vm], ..snapshot(hosts) };
        let recall = Recall::default();
        let known = Known { snapshot: &snapshot, recall: &recall, relatives: Relatives::new(&recall.relatives) };
        known.newcomers().len()
    };
    assert_eq!((unknown(0), unknown(1)), (0, 1));
}

#[test]
fn a_vm_without_a_vector_is_the_mean_of_those_that_have_one() {
    let mut snapshot = snapshot(vec![host(1, 5..7, 0, 0), host(2, 0..0, 0, 0)]);
    snapshot.vms = vec![Vm::plain(VmId(9), Cpu(100), Memory(1000))];
    let none: Arc<[u32]> = Arc::new([]);
    snapshot.candidates = vec![Candidates { vm: 0, hosts: none.clone(), datastores: none, nics: Vec::new() }];
    let vectors = [(VmId(5), vec![1.0, 0.0]), (VmId(8), vec![0.5, 0.5]), (VmId(7), vec![9.0])];
    let placements = vec![
        Placement { vm: VmId(8), host: HostId(2), at: 5 },
        Placement { vm: VmId(5), host: HostId(1), at: 2_000_000 },
    ];
    let recall = Recall { vectors: vectors.into(), placements, ..Recall::default() };
    let space = demands(&snapshot, &recall, 600).classes.unwrap();
    assert_eq!(space.vms, [vec![0.75, 0.25]]);
    // VM 5 is a newcomer that the list shows: it counts once
    assert_eq!(space.hosts, [vec![1.75, 0.25], vec![0.5, 0.5]]);
    let nothing = Recall { vectors: [(VmId(5), vec![])].into(), ..Recall::default() };
    assert_eq!(demands(&snapshot, &nothing, 600).classes, None);
}

#[test]
fn what_nobody_tells_stays_unknown_in_a_sum() {
    let of = |disk_io, net_io| Usage { cpu: 1.0, memory: 2.0, disk_io, net_io };
    let mut sum = of(None, Some(3.0));
    add(&mut sum, &of(None, None));
    assert_eq!(sum, Usage { cpu: 2.0, memory: 4.0, disk_io: None, net_io: Some(3.0) });
    add(&mut sum, &of(Some(5.0), Some(4.0)));
    assert_eq!((sum.disk_io, sum.net_io), (Some(5.0), Some(7.0)));
}

#[test]
fn sketches_are_those_of_known_vms_that_run() {
    let sketch = Sketch::common(3.0);
    let few = Estimate { samples: 0, ..known(1.0, 1.0) };
    let estimates = [(VmId(5), Estimate { sketch, ..known(1.0, 5.0) }), (VmId(6), few), (VmId(9), known(1.0, 1.0))];
    let recall = Recall { estimates: estimates.into(), ..Recall::default() };
    let found = demands(&snapshot(vec![host(1, 5..8, 0, 0)]), &recall, 600).sketches;
    assert_eq!(found, [(VmId(5), sketch)].into());
}

#[test]
fn who_is_to_be_placed_is_told_by_the_request_where_nobody_has_kept_it() {
    // five VMs of owner 3 use half of their core
    let identity = VmIdentity { owner: Some(3), cpu: 100, memory: 1000, ..VmIdentity::default() };
    let members = vec![
        (
            identity,
            Estimate {
                usual: Usual { level: known(50.0, 1.0).level, peak: known(50.0, 1.0).level },
                ..known(50.0, 1.0)
            }
        );
        5
    ];
    let relatives = relatives::groups(&members).into_iter().collect();
    let mut vm = Vm::plain(VmId(9), Cpu(200), Memory(2000));
    vm.identity.owner = Some(3);
    let none: Arc<[u32]> = Arc::new([]);
    let candidates = vec![Candidates { vm: 0, hosts: none.clone(), datastores: none, nics: Vec::new() }];
    let snapshot = Snapshot { vms: vec![vm], candidates, ..snapshot(vec![host(1, 0..0, 0, 0)]) };
    let recall = Recall { relatives, ..Recall::default() };
    let found = demands(&snapshot, &recall, 600).vms[0];
    assert!((found.level.cpu - 100.0).abs() < 1e-6, "half of two cores: {found:?}");
    assert!(keys_of(&snapshot).iter().any(|key| recall.relatives.contains_key(key)), "{:?}", keys_of(&snapshot));
}

#[test]
fn who_came_after_the_sample_counts_on_top_by_what_is_known_of_it() {
    let used = |change: &dyn Fn(&mut Snapshot, &mut Recall)| {
        let mut snapshot = snapshot(vec![host(1, 5..7, 50, 200)]);
        let placements = vec![Placement { vm: VmId(8), host: HostId(1), at: 2_000_000 }];
        let mut recall = Recall { now: 1000, placements, ..Recall::default() };
        change(&mut snapshot, &mut recall);
        let at = demands(&snapshot, &recall, 600).hosts[0];
        (at.usage.cpu, at.usage.memory, at.spread.deviation())
    };
    let identity = |recall: &mut Recall| {
        let kept = VmIdentity { cpu: 300, memory: 5000, ..VmIdentity::default() };
        recall.identities.insert(VmId(8), kept);
    };
    // of two VMs with 200 % in all: half of it; by what was kept; by what the request tells; by its history
    assert_eq!(used(&|_, _| ()), (150.0, 1200.0, 0.0));
    assert_eq!(used(&|_, recall| identity(recall)), (350.0, 5200.0, 0.0));
    let told = |snapshot: &mut Snapshot, recall: &mut Recall| {
        identity(recall);
        snapshot.vms = vec![Vm::plain(VmId(8), Cpu(700), Memory(7000))];
    };
    assert_eq!(used(&told), (750.0, 7200.0, 0.0));
    let estimated = |_: &mut Snapshot, recall: &mut Recall| {
        recall.estimates.insert(VmId(8), known(40.0, 3.0));
    };
    assert_eq!(used(&estimated), (90.0, 300.0, 3.0));
    // what is allocated counts who is listed, and nobody else
    let unmeasured = |vm: i32| {
        used(&|snapshot, recall| {
            snapshot.hosts[0].monitoring = None;
            recall.placements[0].vm = VmId(vm);
        })
    };
    assert_eq!((unmeasured(8).0, unmeasured(5).0), (300.0, 200.0));
    // a host without VMs has no share to give
    assert_eq!(used(&|snapshot, _| snapshot.hosts = vec![host(1, 0..0, 50, 200)]).0, 50.0);
}

#[test]
fn a_sample_shows_nothing_of_who_came_after_it() {
    let disk = |estimate: Estimate| Estimate { level: Usage { disk_io: Some(7.0), ..estimate.level }, ..estimate };
    let estimates = [(VmId(5), known(100.0, 4.0)), (VmId(6), disk(known(30.0, 3.0)))];
    let placements = vec![Placement { vm: VmId(5), host: HostId(1), at: 2_000_000 }];
    let recall = Recall { now: 1000, placements, estimates: estimates.into(), ..Recall::default() };
    let at = |cpu: i64, memory: i64| demands(&snapshot(vec![host(1, 5..7, cpu, memory)]), &recall, 600).hosts[0];
    let usual = at(30, 20);
    assert_eq!((usual.usage.cpu, usual.usage.memory, usual.usage.disk_io), (130.0, 200.0, Some(7.0)));
    assert_eq!((usual.spread.deviation(), usual.basis), (5.0, Basis::History));
    // what the sample shows of memory beyond the known is somebody's
    assert_eq!(at(30, 250).usage.memory, 350.0);
    // without a sample the estimates of all are better than what is allocated, and each counts once
    let mut unmeasured = snapshot(vec![host(1, 5..7, 0, 0)]);
    unmeasured.hosts[0].monitoring = None;
    let found = demands(&unmeasured, &recall, 600).hosts[0];
    assert_eq!((found.usage.cpu, found.basis, found.spread.deviation()), (130.0, Basis::History, 5.0));
}

#[test]
fn each_group_of_a_request_is_asked_for_once() {
    let mut vms = [(9, 100), (8, 200), (7, 100)].map(|(id, cpu)| Vm::plain(VmId(id), Cpu(cpu), Memory(1000)));
    vms[0].identity.template = Some(4);
    let snapshot = Snapshot { vms: vms.to_vec(), ..snapshot(vec![]) };
    assert_eq!(keys_of(&snapshot), ["everyone", "size:100/1000", "size:200/1000", "template:4"]);
}

//! What hosts and VMs are taken to use, in numbers: history, samples and what is allocated,
//! which of them counts when, and how deviations add up.

use crate::support::cluster::{NOW, cluster, resident};
use crate::support::request::{Host, Request, Vm, host, request, running, vm};
use oneaio::decide;
use oneaio::demand::{monitored, observed};
use oneaio::model::demand::{Basis, HostUse, Source, Usage};
use oneaio::model::history::{Estimate, Placement, Recall};
use oneaio::model::ids::{HostId, VmId};
use oneaio::model::policy::Policy;
use oneaio::model::snapshot::Snapshot;

const AGE: i64 = 600;

/// Well known by its history.
fn known(cpu: f64, memory: f64, deviation: f64) -> Estimate {
    let level = Usage { cpu, memory, disk_io: Some(10.0), net_io: None };
    let peak = Usage { cpu: 2.0 * cpu, memory: memory + 7.0, ..level };
    Estimate {
        level,
        peak,
        usual: Default::default(),
        cpu_deviation: deviation,
        sketch: Default::default(),
        trust: 1.0,
        class: None,
        samples: 1000,
        last_at: NOW,
    }
}

fn recall(estimates: &[(i32, Estimate)], placements: &[(i32, i32, i64)]) -> Recall {
    let place = |&(vm, host, at): &(i32, i32, i64)| Placement { vm: VmId(vm), host: HostId(host), at: at * 1000 };
    Recall {
        estimates: estimates.iter().map(|(vm, estimate)| (VmId(*vm), *estimate)).collect(),
        placements: placements.iter().map(place).collect(),
        ..Recall::default()
    }
}

fn read(request: &Request) -> Snapshot {
    decide::read(request.xml().into_bytes()).unwrap()
}

/// What a host is taken to use when one VM is to be placed.
fn host_use(host: Host, vms: &[Vm], recall: &Recall) -> HostUse {
    let all: Vec<Vm> = [vm(5, &[1])].into_iter().chain(vms.iter().cloned()).collect();
    observed::demands(&read(&request(&[host], &all)), recall, AGE).hosts[0]
}

#[test]
fn a_host_uses_what_its_vms_use_or_what_its_sample_shows_where_that_is_more() {
    let with = |cpu: i64, memory: i64| {
        let here = host(1).cpu(800, 800).vms(&[91, 92]).sample(NOW, cpu, memory);
        host_use(here, &[], &recall(&[(91, known(100.0, 1000.0, 3.0)), (92, known(150.0, 3000.0, 4.0))], &[]))
    };
    // levels of CPU and disk, peaks of memory
    let less = with(200, 3000);
    assert_eq!((less.usage.cpu, less.usage.memory, less.usage.disk_io), (250.0, 4014.0, Some(20.0)));
    assert_eq!(less.basis, Basis::History);
    // overhead beyond the sum of the VMs counts, each resource by itself
    let more_cpu = with(320, 3000);
    assert_eq!((more_cpu.usage.cpu, more_cpu.usage.memory), (320.0, 4014.0));
    assert_eq!(more_cpu.basis, Basis::Monitoring);
    let more_memory = with(200, 9000);
    assert_eq!((more_memory.usage.cpu, more_memory.usage.memory), (250.0, 9000.0));
    // deviations of VMs add up as squares
    assert_eq!([less, more_cpu, more_memory].map(|host| host.spread.deviation()), [5.0; 3]);
}

#[test]
fn where_a_vm_is_unknown_what_is_allocated_counts_unless_the_known_use_more() {
    let all = recall(&[(91, known(100.0, 1000.0, 3.0))], &[]);
    let here = |allocated: i64| host(1).cpu(800, allocated).memory(1 << 24, 50_000).vms(&[91, 92]);
    let stated = host_use(here(400), &[], &all);
    assert_eq!((stated.usage.cpu, stated.usage.memory, stated.basis), (400.0, 50_000.0, Basis::Allocation));
    assert_eq!(host_use(here(60), &[], &all).usage.cpu, 100.0);
    // nobody is known: nothing but what is stated
    let nobody = host_use(here(400), &[], &recall(&[], &[]));
    assert_eq!((nobody.usage.cpu, nobody.spread.deviation(), nobody.basis), (400.0, 0.0, Basis::Allocation));
    // everybody is known, and no sample says otherwise: what is allocated says nothing
    let everybody = recall(&[(91, known(100.0, 1000.0, 3.0)), (92, known(50.0, 1.0, 0.0))], &[]);
    let known = host_use(here(400), &[], &everybody);
    assert_eq!((known.usage.cpu, known.basis), (150.0, Basis::History));
}

#[test]
fn a_vm_of_too_little_history_counts_as_one_that_is_unknown() {
    let few = Estimate { samples: 1, ..known(100.0, 1000.0, 3.0) };
    let here = host(1).cpu(800, 400).vms(&[91]);
    let stated = host_use(here, &[], &recall(&[(91, few)], &[]));
    assert_eq!((stated.usage.cpu, stated.basis), (400.0, Basis::Allocation));
}

#[test]
fn a_placement_counts_until_a_sample_has_seen_it() {
    // VM 70 went to host 1 a moment ago; it asks for two cores
    let with = |sample: i64, listed: &[i32], estimates: &[(i32, Estimate)]| {
        let here = host(1).vms(listed).sample(sample, 100, 0);
        host_use(here, &[running(70, 1).cpu("2")], &recall(estimates, &[(70, 1, NOW)]))
    };
    for (what, sample, listed, expected) in [
        ("neither listed nor sampled", NOW - 10, &[][..], 300.0),
        ("listed, but the sample is older than the placement", NOW - 10, &[70][..], 300.0),
        ("listed, and the sample is of the same moment", NOW, &[70][..], 300.0),
        ("listed, and the sample is newer", NOW + 10, &[70][..], 100.0),
        ("sampled since, but not listed: it is gone, or on its way", NOW + 10, &[][..], 300.0),
    ] {
        assert_eq!(with(sample, listed, &[]).usage.cpu, expected, "{what}");
    }
    // one that is known comes with what it uses, and with its deviation, and never twice
    let estimates = [(70, known(50.0, 0.0, 6.0))];
    let arriving = with(NOW - 10, &[], &estimates);
    assert_eq!((arriving.usage.cpu, arriving.spread.deviation()), (150.0, 6.0));
    // listed, but its sample is from before it came: it counts on top
    let there = with(NOW - 10, &[70], &estimates);
    assert_eq!((there.usage.cpu, there.spread.deviation()), (150.0, 6.0));
}

#[test]
fn a_placement_of_a_vm_that_is_placed_again_does_not_count() {
    // VM 5 is to be placed now: its earlier placement came to nothing
    let placed = recall(&[], &[(5, 1, NOW)]);
    assert_eq!(host_use(host(1).sample(NOW - 10, 100, 0), &[], &placed).usage.cpu, 100.0);
}

#[test]
fn of_a_vm_to_be_migrated_history_counts_then_its_fresh_sample_then_what_it_asks_for() {
    let two = cluster(2, &[resident(1, 1, "1", 70.0), resident(2, 2, "2", 30.0)]);
    let demand = |age: i64, recall: &Recall| {
        let mut request = two.request();
        // the sample of VM 1 is so much older than the newest of the request
        request.vms[0].more = request.vms[0].more.replace(&NOW.to_string(), &(NOW - age).to_string());
        let snapshot = read(&request);
        let demands = monitored::demands(&snapshot, recall, AGE, 0.0);
        let index = snapshot.candidates.iter().position(|c| snapshot.vms[c.vm].id == VmId(1)).unwrap();
        (demands.vms[index].level.cpu, demands.vms[index].source)
    };
    let nothing = recall(&[], &[]);
    assert_eq!(demand(0, &nothing), (70.0, Source::Monitoring));
    assert_eq!(demand(AGE, &nothing), (70.0, Source::Monitoring), "just fresh enough");
    assert_eq!(demand(AGE + 1, &nothing), (100.0, Source::Request), "stale: one core is what it asks for");
    assert_eq!(demand(0, &recall(&[(1, known(20.0, 1.0, 0.0))], &[])), (20.0, Source::History));
}

#[test]
fn a_host_of_a_cluster_uses_what_was_measured_beyond_its_vms() {
    let two = cluster(2, &[resident(1, 1, "1", 70.0), resident(2, 2, "2", 30.0)]);
    let with = |sample: i64, cpu: i64| {
        let mut request = two.request();
        request.hosts[0] = request.hosts[0].clone().sample(sample, cpu, 0);
        let snapshot = read(&request);
        monitored::demands(&snapshot, &Recall::default(), AGE, 0.0).hosts[0]
    };
    assert_eq!((with(NOW, 70).usage.cpu, with(NOW, 10).usage.cpu), (70.0, 70.0));
    let overhead = with(NOW, 150);
    assert_eq!((overhead.usage.cpu, overhead.basis), (150.0, Basis::Monitoring));
    assert_eq!(with(NOW - AGE - 1, 150).usage.cpu, 70.0, "a stale sample says nothing");
    // deviations of residents add up as squares
    let residents = cluster(1, &[resident(1, 1, "1", 70.0), resident(2, 1, "2", 30.0)]);
    let known = recall(&[(1, known(10.0, 1.0, 3.0)), (2, known(10.0, 1.0, 4.0))], &[]);
    let demands = monitored::demands(&read(&residents.request()), &known, AGE, 0.0);
    assert_eq!(demands.hosts[0].spread.deviation(), 5.0);
}

/// The largest D before anything is placed: CPU alone, no green, VMs with these deviations on
/// two hosts of 8 cores.
fn distance(risk: f64, first: &[f64], second: &[f64]) -> f64 {
    let policy =
        Policy { risk, s_green: 0.0, weight_memory: 0.0, weight_disk_io: 0.0, weight_net_io: 0.0, ..Policy::default() };
    let (mut estimates, mut hosts) = (vec![(5, known(0.0, 0.0, 0.0))], Vec::new());
    for (index, deviations) in [first, second].into_iter().enumerate() {
        let ids: Vec<i32> = (0..deviations.len()).map(|vm| (10 * (index + 1) + vm) as i32).collect();
        // together half of the host, whatever their number
        let each = 400.0 / deviations.len() as f64;
        estimates.extend(ids.iter().zip(deviations).map(|(vm, deviation)| (*vm, known(each, 0.0, *deviation))));
        hosts.push(host(index as i32 + 1).vms(&ids));
    }
    let snapshot = read(&request(&hosts, &[vm(5, &[1, 2])]));
    let decided = decide::place_snapshot(snapshot, &recall(&estimates, &[]), &policy);
    decided.planned.report.objective.0
}

#[test]
fn deviations_add_up_as_squares_and_count_by_risk() {
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    // 80 and 60 percent of a core on 800: 0.1 and 0.075, so each is 0.0125 from their mean
    close(distance(0.5, &[80.0], &[60.0]), 0.5 * 0.0125);
    close(distance(2.0, &[80.0], &[60.0]), 2.0 * 0.0125);
    close(distance(0.0, &[80.0], &[60.0]), 0.0);
    // 36 and 48 are 60 together
    close(distance(0.5, &[60.0], &[36.0, 48.0]), 0.0);
    close(distance(0.5, &[80.0], &[36.0, 48.0]), 0.5 * 0.0125);
}

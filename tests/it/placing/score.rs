//! AI-Orchestrator's score and the green adjustment, seen through whole decisions.

use crate::support::request::{host, request, vm};
use oneaio::model::policy::Policy;

#[test]
fn equal_hosts_share_the_batch() {
    let vms: Vec<_> = (0..8).map(|id| vm(id, &[1, 2, 3, 4])).collect();
    let decision = request(&[host(1), host(2), host(3), host(4)], &vms).decide();
    for id in 1..=4 {
        assert_eq!((0..8).filter(|&vm| decision.host(vm) == Some(id)).count(), 2, "host {id}");
    }
}

#[test]
fn the_emptiest_by_monitoring_is_relieved_first() {
    // the same is allocated on both; host 2 really uses little
    let busy = host(1).cpu(800, 400).sample(1000, 700, 8 * 1024 * 1024);
    let idle = host(2).cpu(800, 400).sample(1000, 50, 1024 * 1024);
    let decision = request(&[busy, idle], &[vm(1, &[1, 2])]).decide();
    assert_eq!(decision.host(1), Some(2));
}

#[test]
fn an_old_sample_does_not_count() {
    let stale = host(1).cpu(800, 700).sample(1000, 0, 0);
    let fresh = host(2).cpu(800, 400).sample(2000, 400, 0);
    let two = request(&[stale, fresh], &[vm(1, &[1, 2])]);
    assert_eq!(two.decide().host(1), Some(2));
    let patient = Policy { monitoring_max_age: 1000, ..Policy::default() };
    assert_eq!(two.decide_with(&patient).host(1), Some(1));
}

#[test]
fn told_to_believe_no_sample_allocation_decides() {
    let idle = host(1).cpu(800, 700).sample(2000, 0, 0);
    let busy = host(2).cpu(800, 100).sample(2000, 600, 0);
    let two = request(&[idle, busy], &[vm(1, &[1, 2])]);
    assert_eq!(two.decide().host(1), Some(1));
    let none = Policy { monitoring_max_age: 0, ..Policy::default() };
    assert_eq!(two.decide_with(&none).host(1), Some(2));
}

#[test]
fn the_report_has_the_numbers_of_the_ai_orchestrator() {
    // U = 0 on both, so mean = 0 and D = |1/8| + |1/16|, doubled without renewable energy;
    // afterwards the mean is half of that
    let decision = request(&[host(1), host(2)], &[vm(1, &[1])]).decide();
    let report = &decision.0.planned.report;
    let found = &report.decisions[0];
    let d = 0.125 + 0.0625;
    assert!(found.score_before.abs() < 1e-12);
    assert!((found.score_after - d).abs() < 1e-12, "{}", found.score_after);
    assert!((report.objective.1 - d).abs() < 1e-12, "{}", report.objective.1);
    let plain = Policy { s_green: 0.0, ..Policy::default() };
    let halved = request(&[host(1), host(2)], &[vm(1, &[1])]).decide_with(&plain);
    assert!((halved.0.planned.report.objective.1 - d / 2.0).abs() < 1e-12);
}

#[test]
fn a_green_host_is_preferred_among_equals_and_s_green_says_how_much() {
    let hosts = [host(1).template("ENERGY_RENEWABLE", "NO"), host(2).template("ENERGY_RENEWABLE", "yes"), host(3)];
    let one = request(&hosts, &[vm(1, &[1, 2, 3])]);
    assert_eq!(one.decide().host(1), Some(2));
    assert_eq!(one.decide_with(&Policy { s_green: 0.0, ..Policy::default() }).host(1), Some(1));
}

#[test]
fn the_cluster_tells_when_the_host_does_not() {
    let hosts = [
        host(1).cluster_template("ENERGY_RENEWABLE", "40%"),
        host(2).template("ENERGY_RENEWABLE", "0.3").cluster_template("ENERGY_RENEWABLE", "YES"),
    ];
    assert_eq!(request(&hosts, &[vm(1, &[1, 2])]).decide().host(1), Some(1));
}

#[test]
fn an_unreadable_share_is_unknown_and_told() {
    let hosts = [host(1).template("ENERGY_RENEWABLE", "mostly"), host(2).template("ENERGY_RENEWABLE", "1%")];
    let decision = request(&hosts, &[vm(1, &[1, 2])]).decide();
    assert_eq!(decision.host(1), Some(2));
    assert!(decision.notices().contains("host 1: ENERGY_RENEWABLE is \"mostly\""), "{}", decision.notices());
}

#[test]
fn weights_say_which_resource_matters() {
    let lean = host(1).memory(16 * 1024 * 1024, 12 * 1024 * 1024);
    let busy = host(2).cpu(800, 600);
    let one = request(&[lean, busy], &[vm(1, &[1, 2])]);
    let only = |cpu, memory| Policy { weight_cpu: cpu, weight_memory: memory, ..Policy::default() };
    assert_eq!(one.decide_with(&only(1.0, 0.0)).host(1), Some(1));
    assert_eq!(one.decide_with(&only(0.0, 1.0)).host(1), Some(2));
}

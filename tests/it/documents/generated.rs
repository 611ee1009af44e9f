//! Made-up requests of the benchmark's generator: everything fits, so everything must be
//! placed, whatever the order of the document.

use crate::generator::{Shape, write_request};
use oneaio::decide;
use oneaio::model::policy::Policy;

fn document(shape: &Shape) -> Vec<u8> {
    let mut xml = Vec::new();
    write_request(&mut xml, shape).unwrap();
    xml
}

#[test]
fn every_vm_of_a_roomy_cloud_is_placed_with_all_features_mixed() {
    for seed in 0..6 {
        let shape = Shape { hosts: 60, vms: 250, seed, groups: true, pinned: true };
        let decided = decide::place(document(&shape), &Policy::default()).unwrap();
        assert!(decided.dropped.is_empty(), "seed {seed}: {:?}", decided.dropped);
        assert_eq!(decided.planned.report.refusals, [], "seed {seed}");
        assert_eq!(decided.planned.plan.actions.len(), 250, "seed {seed}");
    }
}

#[test]
fn the_same_bytes_give_the_same_plan() {
    let shape = Shape { hosts: 100, vms: 300, seed: 3, groups: true, pinned: true };
    let plan = || decide::place(document(&shape), &Policy::default()).unwrap().planned.plan;
    assert_eq!(plan(), plan());
}

#[test]
fn placing_lowers_the_largest_distance_of_an_uneven_cloud() {
    let shape = Shape { hosts: 50, vms: 200, seed: 1, groups: false, pinned: false };
    let (before, after) = decide::place(document(&shape), &Policy::default()).unwrap().planned.report.objective;
    assert!(after < before, "{before} -> {after}");
}

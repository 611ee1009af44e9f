//! Every way through a few units, and no more than are allowed.

use super::*;
use crate::model::policy::Policy;
use crate::model::snapshot::Snapshot;
use crate::placement::testing::{ask, booked, cloud, hosts, placing};

/// Who waits when more than so many are looked for, and where all are.
fn found(asked: &Snapshot, least: usize) -> (Option<Vec<usize>>, Vec<Option<usize>>) {
    placing(asked, &Policy::default(), |context, units| {
        let mut ledger = booked(context, units, &[]);
        let sequence: Vec<usize> = (0..units.len()).collect();
        let waiting = more_than(least, units, &sequence, &mut ledger);
        (waiting, hosts(units, &ledger))
    })
}

#[test]
fn as_many_are_placed_as_can_be() {
    // the first of each pair stands in the way of two others wherever it goes
    let mut asked = cloud(&[4, 4]);
    for cores in [3, 3, 2, 2, 2, 2] {
        ask(&mut asked, cores, &[0, 1]);
    }
    let (waiting, at) = found(&asked, 3);
    assert_eq!(waiting, Some(vec![0, 1]));
    assert_eq!(at.iter().flatten().count(), 4);
    assert_eq!(found(&asked, 4), (None, vec![None; 6]), "no way has more, and nothing is booked");
}

#[test]
fn all_are_placed_where_that_is_possible() {
    let mut asked = cloud(&[5, 5, 4]);
    for (cores, allowed) in [(3, &[0, 1, 2][..]), (3, &[0, 1]), (2, &[0, 2]), (2, &[1, 2]), (4, &[2])] {
        ask(&mut asked, cores, allowed);
    }
    assert_eq!(found(&asked, 4), (Some(vec![]), vec![Some(0), Some(1), Some(0), Some(1), Some(2)]));
}

#[test]
fn eight_units_are_few_and_nine_are_not() {
    for (count, expected) in [(8, Some(vec![])), (9, None)] {
        let mut asked = cloud(&[9]);
        for _ in 0..count {
            ask(&mut asked, 1, &[0]);
        }
        assert_eq!(found(&asked, 0).0, expected, "{count}");
    }
}

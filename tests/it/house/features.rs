//! A rule and a cost that only this file knows, added from outside: one type and one line each.
//! Placements and optimizations keep the rule and count the cost without knowing either.

use crate::support::cluster::{cluster, resident};
use crate::support::request::{host, request, vm};
use oneaio::decide;
use oneaio::demand::{monitored, observed};
use oneaio::model::history::Recall;
use oneaio::model::policy::Policy;
use oneaio::model::snapshot::Snapshot;
use oneaio::placement::migrate::{self, MigrationInput};
use oneaio::placement::rules::context::Context;
use oneaio::placement::rules::reason::Reason;
use oneaio::placement::rules::standing::Seat;
use oneaio::placement::rules::{Case, MakeRule, RULES, Rule};
use oneaio::placement::score::cost::{COSTS, Cost, MakeCost};
use oneaio::placement::{PlanningInput, plan};
use std::sync::Arc;

/// VMs of odd ids do not go to hosts of odd ids.
struct Even;

impl<'a> Rule<'a> for Even {
    fn name(&self) -> &'static str {
        "even"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        match (case.vm.id.0 % 2, case.there.id.0 % 2) {
            (1, 1) => Err(Reason::Elsewhere("both are odd".to_owned())),
            _ => Ok(()),
        }
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(Self)
    }
}

fn even<'a>(_context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Even)
}

/// Each full CPU on the first host costs as much as ten hosts of distance.
#[derive(Debug)]
struct Dear;

impl Cost for Dear {
    fn adjusted(&self, host: usize, distance: f64, cpu: f64) -> f64 {
        distance + if host == 0 { 10.0 * cpu } else { 0.0 }
    }
}

fn dear(_snapshot: &Snapshot, _policy: &Policy) -> Option<Arc<dyn Cost>> {
    Some(Arc::new(Dear))
}

#[test]
fn a_rule_and_a_cost_from_outside_hold_in_placements() {
    let hosts = [host(1), host(2), host(4)];
    let vms: Vec<_> = (1..=6).map(|id| vm(id, &[1, 2, 4])).collect();
    let snapshot = decide::read(request(&hosts, &vms).xml().into_bytes()).unwrap();
    let policy = Policy::default();
    let demands = observed::demands(&snapshot, &Recall::default(), policy.monitoring_max_age);
    let on_first = |rules: &[MakeRule], costs: &[MakeCost]| -> Vec<i32> {
        let input = PlanningInput { rules, costs, ..PlanningInput::new(&snapshot, &demands) };
        let planned = plan(&input, &policy);
        assert_eq!(planned.plan.actions.len(), 6);
        let first = planned.plan.actions.iter().filter(|action| action.host.0 == 1);
        first.map(|action| action.vm.0).collect()
    };
    assert!(on_first(RULES, COSTS).iter().any(|vm| vm % 2 == 1), "without the rule VMs go anywhere");
    let with_rule = on_first(&[RULES, &[even]].concat(), COSTS);
    assert!(!with_rule.is_empty() && with_rule.iter().all(|vm| vm % 2 == 0), "{with_rule:?}");
    assert!(on_first(RULES, &[COSTS, &[dear]].concat()).is_empty(), "the first host is too dear");
}

#[test]
fn a_rule_and_a_cost_from_outside_hold_in_optimizations() {
    // four VMs of one core on the second of two hosts
    let uneven = cluster(2, &[1, 2, 3, 4].map(|id| resident(id, 2, "1", 100.0)));
    let snapshot = decide::read(uneven.request().xml().into_bytes()).unwrap();
    let policy = Policy::default();
    let demands = monitored::demands(&snapshot, &Recall::default(), policy.monitoring_max_age, 0.0);
    let moved = |rules: &[MakeRule], costs: &[MakeCost]| -> Vec<i32> {
        let plain = MigrationInput::new(&snapshot, &snapshot.clusters[0], &demands);
        let migrated = migrate::plan(&MigrationInput { rules, costs, ..plain }, &policy);
        migrated.plan.actions.iter().map(|action| action.vm.0).collect()
    };
    assert!(moved(RULES, COSTS).iter().any(|vm| vm % 2 == 1), "without the rule any VM moves");
    let mut with_rule = moved(&[RULES, &[even]].concat(), COSTS);
    with_rule.sort_unstable();
    assert_eq!(with_rule, [2, 4]);
    assert!(moved(RULES, &[COSTS, &[dear]].concat()).is_empty(), "the first host is too dear");
}

use super::*;
use crate::model::cluster::Cluster;
use crate::model::snapshot::Section;

fn with_rule(asked: &mut Snapshot, vm: usize, rule: &str) {
    asked.vms[vm].current_vms_rules.push(rule.to_owned());
}

#[test]
fn who_is_placed_finds_and_avoids_whom_it_names() {
    let asked = |rule: &str| {
        let mut asked = cloud(&[80, 80]);
        (0..2).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        run(&mut asked, 1, 1, &[0]);
        asked.vms[2].resched = true;
        asked.hosts[0].attributes.push(Section::Template, "RACK", "a");
        with_rule(&mut asked, 0, rule);
        asked
    };
    let judged = |rule: &str, plan: &[Action]| told(&asked(rule), plan);
    let broken = |rule: &str| vec![format!("VM 0, CURRENT_VMS: {rule} is false")];
    let apart = "CURRENT_VMS != 2";
    assert_eq!(judged(apart, &[deploy(0, 0)]), NOTHING);
    assert_eq!(judged(apart, &[deploy(0, 1)]), broken(apart));
    assert_eq!(judged(apart, &[deploy(0, 1), migrate(2, 0)]), NOTHING, "it leaves");
    assert_eq!(judged(apart, &[deploy(0, 0), migrate(2, 0)]), broken(apart), "it comes");
    let with = "CURRENT_VMS = 1";
    assert_eq!(judged(with, &[deploy(0, 0), deploy(1, 0)]), NOTHING);
    assert_eq!(judged(with, &[deploy(0, 0), deploy(1, 1)]), broken(with));
    assert_eq!(judged(with, &[deploy(0, 0)]), broken(with));
    // a VM is no neighbour of itself
    assert_eq!(judged("CURRENT_VMS = 0", &[deploy(0, 0)]), broken("CURRENT_VMS = 0"));
    assert_eq!(judged("CURRENT_VMS != 0", &[deploy(0, 0)]), NOTHING);
    // a rule may speak of the host as well
    let either = "CURRENT_VMS = 1 | RACK = \"a\"";
    assert_eq!(judged(either, &[deploy(0, 0)]), NOTHING);
    assert_eq!(judged(either, &[deploy(0, 1)]), broken(either));
    let unreadable = judged("CURRENT_VMS ! 2", &[deploy(0, 0)]);
    let error = crate::model::expression::parse_requirement("CURRENT_VMS ! 2").err().unwrap();
    assert_eq!(unreadable, [format!("VM 0, CURRENT_VMS: {error}")]);
    // each of several rules counts
    let mut two = asked(apart);
    with_rule(&mut two, 0, with);
    assert_eq!(told(&two, &[deploy(0, 0)]), broken(with));
}

fn migrations_told(snapshot: &Snapshot, moves: &[(i32, i32)]) -> Vec<String> {
    let plan = Plan { actions: moves.iter().map(|(vm, host)| migrate(*vm, *host)).collect() };
    lines(&migration_breaches(snapshot, &Cluster::default(), &plan, &Policy::default()))
}

#[test]
fn a_migration_breaks_the_rule_of_nobody_who_had_it_kept() {
    let everywhere = [0, 1, 2];
    // VM 0 is on host 0, VM 1 on host 1, VM 2 with VM 0
    let asked = |rule: &str| {
        let mut asked = cloud(&[80, 80, 80]);
        [0, 1, 0].into_iter().for_each(|on| {
            run(&mut asked, 1, on, &everywhere);
        });
        with_rule(&mut asked, 0, rule);
        asked
    };
    let judged = |rule: &str, moves: &[(i32, i32)]| migrations_told(&asked(rule), moves);
    let guilty = |vm: i32| vec![format!("VM {vm}, CURRENT_VMS: a CURRENT_VMS rule of VM 0 is false in the end")];
    let apart = "CURRENT_VMS != 1";
    assert_eq!(judged(apart, &[(0, 2)]), NOTHING);
    assert_eq!(judged(apart, &[(0, 1)]), guilty(0));
    assert_eq!(judged(apart, &[(2, 1), (1, 0)]), guilty(2), "the first that came or went there");
    assert_eq!(judged(apart, &[(1, 0)]), guilty(1));
    assert_eq!(judged(apart, &[(1, 2)]), NOTHING);
    assert_eq!(judged(apart, &[(0, 1), (1, 2)]), NOTHING, "the end counts");
    let with = "CURRENT_VMS = 2";
    assert_eq!(judged(with, &[(2, 1)]), guilty(2));
    assert_eq!(judged(with, &[(1, 2), (2, 1)]), guilty(2), "who has nothing to do with it is not to blame");
    assert_eq!(judged(with, &[(2, 1), (0, 1)]), NOTHING);
    // what was broken before is broken by nobody, unless the VM itself moves
    let broken = "CURRENT_VMS != 2";
    assert_eq!(judged(broken, &[(1, 0)]), NOTHING);
    assert_eq!(judged(broken, &[(0, 1), (2, 1)]), guilty(0));
    assert_eq!(judged("CURRENT_VMS ! 2", &[(0, 1)]), guilty(0), "nobody can read it");
    assert_eq!(judged("CURRENT_VMS = 0", &[(0, 1)]), guilty(0), "a VM is no neighbour of itself");
    let mut host = asked("RACK = \"a\" & CURRENT_VMS != 1");
    host.hosts[2].attributes.push(Section::Template, "RACK", "a");
    assert_eq!((migrations_told(&host, &[(0, 2)]), migrations_told(&host, &[(0, 1)])), (vec![], guilty(0)));
}

#[test]
fn a_neighbour_counts_where_it_runs_or_is_powered_off_though_its_host_does_not_list_it() {
    let asked = |state: VmState| {
        let mut asked = cloud(&[80, 80]);
        [0, 1].into_iter().for_each(|on| {
            run(&mut asked, 1, on, &[0, 1]);
        });
        with_rule(&mut asked, 0, "CURRENT_VMS != 1");
        asked.vms[1].state = state;
        asked.hosts[1].vms.clear();
        migrations_told(&asked, &[(0, 1)]).len()
    };
    assert_eq!([VmState::Active, VmState::Parked, VmState::Other].map(asked), [1, 1, 0]);
}

//! What tipped a choice, by the scores of the hosts.

use super::*;

fn score(before: f64, after: f64, terms: &[f64]) -> Score {
    let green = after - terms.iter().sum::<f64>();
    let (rank, terms, beyond, rises_with) = (None, terms.to_vec(), (0.0, 0.0), Vec::new());
    Score { rank, terms, green, before, after, beyond, rises_with }
}

fn verdict(host: i32, verdict: Result<Score, String>) -> Verdict {
    Verdict { host: HostId(host), name: format!("h{host}"), verdict, failed: String::new() }
}

/// What is said when host 1 is chosen among hosts 1, 2, ... with these scores.
fn said(scores: &[Score], with_energy: bool) -> String {
    let hosts: Vec<Verdict> = (1..).zip(scores).map(|(host, score)| verdict(host, Ok(score.clone()))).collect();
    tipped(&hosts, HostId(1), &["cpu".to_owned(), "memory".to_owned()], with_energy)
}

#[test]
fn what_makes_the_difference_is_told() {
    let ours = || score(0.5, 0.25, &[0.125, 0.125]);
    let ranked = |rank: f64, of: Score| Score { rank: Some(rank), ..of };
    let beyond = |before: f64, after: f64, of: Score| Score { beyond: (before, after), ..of };
    let worse = || score(0.5, 0.5, &[0.375, 0.125]);
    for (scores, with_energy, text) in [
        (vec![ours()], true, "it is the only candidate host"),
        (
            vec![ours(), beyond(0.0, 0.25, worse())],
            true,
            "the next best (host 2, h2) would be 25 % beyond its capacity by what is expected there",
        ),
        // it is beyond already, and we do not make it worse; or both are
        (
            vec![ours(), beyond(0.25, 0.25, worse())],
            true,
            "cpu: 0.250 less than on the next best (host 2, h2); D 0.250 against 0.500",
        ),
        (
            vec![beyond(0.0, 0.25, ours()), beyond(0.0, 0.25, worse())],
            true,
            "cpu: 0.250 less than on the next best (host 2, h2); D 0.250 against 0.500",
        ),
        (
            vec![ranked(2.0, worse()), ranked(1.5, ours())],
            true,
            "SCHED_RANK is 2 there and 1.5 on the next best (host 2, h2)",
        ),
        (
            vec![ranked(1.5, ours()), ranked(1.5, worse())],
            true,
            "cpu: 0.250 less than on the next best (host 2, h2); D 0.250 against 0.500",
        ),
        (
            vec![worse(), ours()],
            true,
            "taken alone it would go to host 2, h2 (D 0.250 instead of 0.500); the plan as a whole is better this way",
        ),
        (vec![ours(), ours()], true, "host 2, h2 is as good (D 0.250); of equal hosts one is taken"),
        // the next best of several, by number where they are equal
        (
            vec![ours(), score(0.5, 0.75, &[0.125, 0.625]), worse(), worse()],
            true,
            "cpu: 0.250 less than on the next best (host 3, h3); D 0.250 against 0.500",
        ),
        (
            vec![ours(), score(0.5, 0.5, &[0.125, 0.125])],
            true,
            "energy: 0.250 less than on the next best (host 2, h2); D 0.250 against 0.500",
        ),
        // where energy says nothing, what changes counts; and the larger of two differences
        (
            vec![ours(), score(0.5, 0.5, &[0.125, 0.125])],
            false,
            "it relieves the host by 0.250 more than the next best (host 2, h2)",
        ),
        (
            vec![ours(), score(0.5, 0.75, &[0.25, 0.5])],
            true,
            "memory: 0.375 less than on the next best (host 2, h2); D 0.250 against 0.750",
        ),
        (
            vec![score(0.75, 0.5, &[0.25, 0.25]), score(0.5, 0.5, &[0.25, 0.25])],
            true,
            "it relieves the host by 0.250 more than the next best (host 2, h2)",
        ),
        (
            vec![score(0.5004, 0.5, &[0.25, 0.25]), score(0.5, 0.5, &[0.25, 0.25])],
            true,
            "host 2, h2 is as good to the third digit (D 0.500)",
        ),
    ] {
        assert_eq!(said(&scores, with_energy), text, "{scores:?}");
    }
}

#[test]
fn hosts_that_a_rule_excludes_are_none_to_compare_with() {
    let free = || score(0.5, 0.25, &[0.125, 0.125]);
    let hosts = [verdict(1, Ok(free())), verdict(2, Err("CPU".to_owned())), verdict(3, Err("CPU".to_owned()))];
    let told = tipped(&hosts, HostId(1), &[], true);
    assert_eq!(told, "it is the only one of 3 candidate hosts that no rule excludes");
    assert_eq!(tipped(&hosts, HostId(2), &[], true), "", "a host that is excluded is not compared");
}

#[test]
fn a_host_is_better_by_rank_then_by_room_then_by_distance() {
    let plain = score(0.5, 0.25, &[]);
    let ranked = |rank: f64| Score { rank: Some(rank), ..plain.clone() };
    let beyond = |before: f64, after: f64| Score { beyond: (before, after), ..plain.clone() };
    for (a, b, expected) in [
        (ranked(1.0), ranked(0.0), Ordering::Less),
        (ranked(0.0), plain.clone(), Ordering::Equal),
        (ranked(-1.0), plain.clone(), Ordering::Greater),
        (beyond(0.0, 0.1), plain.clone(), Ordering::Greater),
        // one that is overfull without it as well takes no harm more
        (beyond(0.1, 0.1), beyond(0.1, 0.2), Ordering::Less),
        (beyond(0.2, 0.1), beyond(0.1, 0.1), Ordering::Less),
        (score(0.5, 0.3, &[]), plain.clone(), Ordering::Greater),
        (score(0.5, 0.2, &[]), plain.clone(), Ordering::Less),
    ] {
        assert_eq!(order(&a, &b), expected, "{a:?} {b:?}");
    }
}

#[test]
fn those_are_named_that_go_up_and_down_alike() {
    use crate::model::policy::Policy;
    use crate::placement::testing::{ask, booked, cloud, demands};
    let mut asked = cloud(&[8, 8]);
    (0..8).for_each(|_| {
        ask(&mut asked, 1, &[0, 1]);
    });
    asked.hosts[0].vms = [70, 71].map(VmId).into();
    // a direction for what moves together, beside what all do
    let along = |of: &[f64]| Sketch::from_fn(|index| [&[9.0], of].concat().get(index).copied().unwrap_or(0.0));
    let mut all = demands(&asked);
    for (vm, sketch) in [
        along(&[2.0]),
        along(&[1.0]),
        along(&[1.0, 1.0, 1.0, 1.0]),
        along(&[1.001, 1.0, 1.0, 1.0]),
        along(&[-1.0]),
        along(&[5.0, 1.0]),
        along(&[1.0, 1.0]),
        along(&[1.0]),
    ]
    .into_iter()
    .enumerate()
    {
        all.vms[vm].sketch = sketch;
    }
    all.sketches.insert(VmId(70), along(&[1.0, 0.1]));
    let (input, policy) = (PlanningInput::new(&asked, &all), Policy::default());
    Prepared::new(&input, &policy).with(&input, &policy, &HashMap::new(), |context| {
        let (units, _) = units(context, input.retries);
        let named = |at: &[(usize, usize)], host: usize| {
            let ledger = booked(context, &units, at);
            rises_with(&units[0], &ledger, host).into_iter().map(|vm| vm.0).collect::<Vec<_>>()
        };
        assert_eq!(named(&[(0, 0)], 0), [70], "not itself");
        assert_eq!(named(&[(1, 0), (2, 0), (4, 0)], 0), [1, 70]);
        // half alike is by chance, a little more is not
        assert_eq!(named(&[(2, 1), (3, 1), (4, 1)], 1), [3]);
        // at most three, the most alike first, by number where they are equal
        assert_eq!(named(&[(6, 1), (7, 1), (1, 1), (5, 1), (3, 1)], 1), [1, 7, 5]);
    });
}

#[test]
fn those_that_are_to_move_and_wait_stay_where_they_are_for_the_others() {
    use crate::model::brief::Brief;
    use crate::model::report::Report;
    use crate::placement::testing::{ask, cloud, run};
    let mut asked = cloud(&[8, 8]);
    let pending = ask(&mut asked, 1, &[0]);
    let movers = [(); 3].map(|()| run(&mut asked, 1, 1, &[0]));
    movers.iter().for_each(|&vm| asked.vms[vm].resched = true);
    asked.vms[movers[2]].host = None;
    let refusal = |vm: usize| Refusal {
        vm: asked.vms[vm].id,
        text: format!("why {vm}"),
        lack: None,
        brief: Brief::Own,
        set: false,
    };
    let refusals = [pending, movers[0], movers[1], movers[2]].map(refusal).into();
    let planned = Planned { report: Report { refusals, ..Report::default() }, ..Planned::default() };
    let told = |request: usize| {
        let mut found: Vec<_> =
            staying(&asked, &planned, request).into_iter().map(|(vm, why)| (vm, why.text)).collect();
        found.sort();
        found
    };
    let both: Vec<_> = movers[..2].iter().map(|vm| (*vm, format!("why {vm}"))).collect();
    assert_eq!((told(pending), told(movers[0])), (both.clone(), both[1..].to_vec()));
}

use crate::model::report::Lack;
use crate::placement::plan;
use crate::placement::testing::{ask, bind, cloud, demands};

/// CPU alone counts.
fn by_cpu(risk: f64) -> Policy {
    Policy { risk, weight_memory: 0.0, s_green: 0.0, ..Policy::default() }
}

#[test]
fn what_became_of_a_vm_is_told_with_every_host_that_it_was_offered() {
    let mut asked = cloud(&[8, 4, 8]);
    asked.hosts.iter_mut().for_each(|host| host.name = format!("n{}", host.id));
    let set = [(); 2].map(|()| ask(&mut asked, 2, &[0, 1]));
    bind(&mut asked, &set);
    let alone = ask(&mut asked, 2, &[2]);
    let waits = ask(&mut asked, 9, &[0, 2]);
    let (all, policy) = (demands(&asked), by_cpu(0.0));
    let input = PlanningInput::new(&asked, &all);
    let mut planned = plan(&input, &policy);
    planned.report.later.push((VmId(50), "comes next".to_owned()));
    let told = |vm: usize| explain(&input, &policy, &planned, VmId(vm as i32));
    assert!(told(9).is_none());
    let later = told(50).unwrap();
    assert_eq!((later.outcome, later.hosts.len(), later.remedy), (Outcome::Later("comes next".to_owned()), 0, None));
    // the set
    let first = told(set[0]).unwrap();
    let placed = planned.plan.actions.iter().find(|action| action.vm.0 == 0).unwrap();
    assert_eq!(first.outcome, Outcome::Placed { host: placed.host, datastore: placed.datastore });
    assert_eq!((first.vm, first.with, first.resources), (VmId(0), vec![VmId(1)], vec!["cpu".to_owned()]));
    let hosts: Vec<(i32, &str, bool)> =
        first.hosts.iter().map(|one| (one.host.0, one.name.as_str(), one.verdict.is_ok())).collect();
    assert_eq!(hosts, [(0, "n0", true), (1, "n1", true)]);
    assert!(!first.tipped.is_empty() && first.remedy.is_none() && first.hosts[0].failed.is_empty());
    let only = told(alone).unwrap();
    assert_eq!(only.tipped, "it is the only candidate host");
    // who waits
    let refusal = planned.report.refusals.iter().find(|refusal| refusal.vm.0 == waits as i32).unwrap();
    assert_eq!(refusal.lack, Some(Lack::Cpu));
    let waiting = told(waits).unwrap();
    assert_eq!((waiting.outcome, waiting.tipped.as_str()), (Outcome::Waits(refusal.text.clone()), ""));
    let verdicts: Vec<&str> =
        waiting.hosts.iter().filter_map(|one| one.verdict.as_ref().err()).map(|text| &**text).collect();
    assert_eq!(verdicts.len(), 2);
    assert!(verdicts.iter().all(|text| text.starts_with("CPU: it has ")), "{verdicts:?}");
    assert!(waiting.remedy.is_some());
}

#[test]
fn the_score_of_a_host_is_told_in_its_parts() {
    use crate::model::snapshot::Section;
    let mut asked = cloud(&[8, 8]);
    ask(&mut asked, 2, &[0, 1]);
    let mut all = demands(&asked);
    all.vms[0].cpu_deviation = 80.0;
    all.hosts[1].usage.cpu = 400.0;
    let score = |asked: &Snapshot, risk: f64, host: usize| {
        let (input, policy) = (PlanningInput::new(asked, &all), by_cpu(risk));
        let planned = plan(&input, &policy);
        let mut explained = explain(&input, &policy, &planned, VmId(0)).unwrap();
        assert_eq!(explained.resources.len(), if risk > 0.0 { 2 } else { 1 });
        explained.hosts.swap_remove(host).verdict.unwrap()
    };
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    // six of sixteen cores will be in use: 0.375 is the mean
    let idle = score(&asked, 0.0, 0);
    near(idle.before, 0.375);
    near(idle.after, 0.125);
    near(idle.terms[0], 0.125);
    near(idle.green, 0.0);
    assert_eq!((idle.rank, idle.terms.len()), (None, 1));
    let busy = score(&asked, 0.0, 1);
    near(busy.before, 0.125);
    near(busy.after, 0.375);
    // 0.1 of a host deviates there, where a part of it is the mean of both
    let uncertain = score(&asked, 1.0, 0);
    assert_eq!(uncertain.terms.len(), 2);
    near(uncertain.terms[0], 0.125);
    near(uncertain.terms[1], 0.1 - (0.01_f64 / 2.0).sqrt());
    near(uncertain.green, 0.0);
    near(uncertain.after, uncertain.terms.iter().sum());
    // a rank is told where there is one
    asked.vms[0].rank = "SPEED".to_owned();
    asked.hosts[1].attributes.push(Section::Template, "SPEED", "7");
    assert_eq!([0, 1].map(|host| score(&asked, 0.0, host).rank), [Some(0.0), Some(7.0)]);
}

#[test]
fn a_rule_is_told_with_what_is_left_beside_the_others_of_the_plan() {
    let mut asked = cloud(&[8, 8]);
    let set = [(); 2].map(|()| ask(&mut asked, 3, &[0, 1]));
    bind(&mut asked, &set);
    ask(&mut asked, 5, &[1]);
    let (all, policy) = (demands(&asked), by_cpu(0.0));
    let input = PlanningInput::new(&asked, &all);
    let planned = plan(&input, &policy);
    assert_eq!(planned.plan.actions.len(), 3);
    let verdicts = |vm: i32| {
        let explained = explain(&input, &policy, &planned, VmId(vm)).unwrap();
        explained.hosts.into_iter().map(|one| one.verdict.err().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(0), ["", "CPU: it has 3 cores free"]);
    assert_eq!(verdicts(2), [""]);
}

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

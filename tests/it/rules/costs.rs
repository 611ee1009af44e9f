//! What a plan costs, in steps, whatever tenants write: about what the same request costs
//! without them, and nobody else waits for it. Steps are counted by the looks that the planner
//! takes at a stop that never comes, so that no clock is needed.

use crate::support::cluster::{cluster, resident};
use crate::support::request::{Request, Vm, host, request, vm, vnet};
use oneaio::decide::{self, Decided, Stop};
use oneaio::model::history::Recall;
use oneaio::model::ids::VmId;
use oneaio::model::policy::Policy;
use std::cell::Cell;
use std::fmt::Write;

const HOSTS: i32 = 80;
const VMS: i32 = 250;

/// 80 hosts with room for 250 innocent VMs, and others beside them.
fn beside(more: impl IntoIterator<Item = Vm>, networks: i32) -> Request {
    let hosts: Vec<_> = (1..=HOSTS).map(|id| host(id).cpu(800, 100 * i64::from(id % 4))).collect();
    let all: Vec<i32> = (1..=HOSTS).collect();
    let innocent = (1..=VMS).map(|id| vm(id, &all).memory(512 + 64 * i64::from(id % 9)));
    let vms: Vec<Vm> = innocent.chain(more).collect();
    (0..networks).fold(request(&hosts, &vms), |request, id| request.vnet(vnet(id, &[0], &[1000], 0)))
}

/// The plan, and how often the planner looked whether to stop.
fn planned(request: &Request) -> (Decided, u64) {
    let snapshot = decide::read(request.xml().into_bytes()).unwrap();
    let looks = Cell::new(0);
    let never = || {
        looks.set(looks.get() + 1);
        false
    };
    let decided = decide::place_until(snapshot, &Recall::default(), &Policy::default(), Stop::when(&never));
    assert!(decided.dropped.is_empty(), "{:?}", decided.dropped);
    (decided, looks.get())
}

fn everywhere() -> Vec<i32> {
    (1..=HOSTS).collect()
}

/// A VM that stays pending: it wants to be beside one that nowhere is.
fn never(id: i32) -> Vm {
    vm(id, &everywhere()).user("SCHED_REQUIREMENTS", "CURRENT_VMS = 2000000000")
}

fn with_nics(id: i32, nics: i32, networks: i32) -> Vm {
    let all: Vec<i32> = (0..networks).collect();
    (0..nics).fold(vm(id, &everywhere()), |vm, nic| vm.auto_nic(nic, &all))
}

/// A rank of so many terms, another for each VM.
fn rank(id: i32, terms: usize) -> String {
    (0..terms).fold(format!("{id}"), |mut text, term| {
        let name = ["FREE_CPU", "RUNNING_VMS", "MAX_MEM", "X"][term % 4];
        write!(text, "+{name}*{}", term % 10).unwrap();
        text
    })
}

fn not_beside(id: i32, others: i32) -> Vm {
    let terms: Vec<String> = (1..=others).map(|other| format!("CURRENT_VMS != {}", 1000 + other)).collect();
    vm(id, &everywhere()).user("SCHED_REQUIREMENTS", &terms.join(" & "))
}

#[test]
fn no_tenant_makes_a_plan_cost_more_than_half_as_much_again() {
    let many = |count: i32, of: &dyn Fn(i32) -> Vm| (0..count).map(|n| of(5000 + n)).collect::<Vec<Vm>>();
    let cases: Vec<(&str, Vec<Vm>, i32)> = vec![
        ("one NIC more than networks", many(1, &|id| with_nics(id, 31, 30)), 30),
        ("the same, more of it", many(1, &|id| with_nics(id, 161, 160)), 160),
        ("the same, by many", many(20, &|id| with_nics(id, 31, 30)), 30),
        ("as many NICs as networks", many(1, &|id| with_nics(id, 60, 60)), 60),
        ("ranks of thousands of terms", many(10, &|id| never(id).user("SCHED_RANK", &rank(id, 3990))), 0),
        ("ranks as long as they may be", many(30, &|id| never(id).user("SCHED_RANK", &rank(id, 70))), 0),
        (
            "the same, of VMs that are placed",
            many(12, &|id| vm(id, &everywhere()).user("SCHED_RANK", &rank(id, 70))),
            0,
        ),
        ("who stays pending", many(60, &never), 0),
        ("rules of thousands of terms", many(10, &|id| not_beside(id, 1500)), 0),
        ("rules as long as they may be", many(3, &|id| not_beside(id, 180)), 0),
        ("larger than any host", many(60, &|id| vm(id, &everywhere()).cpu("99")), 0),
    ];
    for (what, attackers, networks) in cases {
        let (_, alone) = planned(&beside([], networks));
        assert!(alone > 10, "{what}: {alone} looks are too few to compare");
        let (decided, looks) = planned(&beside(attackers, networks));
        assert!(looks * 2 <= alone * 3 + 2, "{what}: {alone} looks become {looks}");
        let waits = |id: i32| decided.planned.plan.actions.iter().all(|action| action.vm != VmId(id));
        let waiting: Vec<i32> = (1..=VMS).filter(|id| waits(*id)).collect();
        assert_eq!(waiting, [] as [i32; 0], "{what}: innocent VMs wait");
    }
}

/// A VM of somebody else than the innocent ones.
fn of_another(vm: Vm) -> Vm {
    Vm { more: format!("<UID>66</UID>{}", vm.more), ..vm }
}

/// VMs that nearly fit make the planner think twice, and again; for one owner it does that only so long.
#[test]
fn vms_of_one_owner_that_nearly_fit_take_no_more_than_his_share() {
    let many = |count: i32, of: &dyn Fn(i32) -> Vm| (0..count).map(|n| of_another(of(5000 + n))).collect::<Vec<Vm>>();
    let apart = |id: i32| vm(id, &everywhere()).memory(64).group(7, "web");
    let any_of = |id: i32| {
        let terms: Vec<String> = (0..140).map(|n| format!("CURRENT_VMS = {}", 5000 + n)).collect();
        vm(id, &everywhere()).user("SCHED_REQUIREMENTS", &terms.join(" | "))
    };
    let in_a_ring =
        |id: i32| vm(id, &everywhere()).user("SCHED_REQUIREMENTS", &format!("CURRENT_VMS = {}", 5000 + (id + 1) % 40));
    let ranked = |id: i32| {
        (0..20).fold(vm(id, &everywhere()), |vm, nic| {
            let text = rank(100 * id + nic, 70);
            let nic = format!(
                "<NIC><NETWORK_MODE>auto</NETWORK_MODE><NIC_ID>{nic}</NIC_ID><SCHED_RANK>{text}</SCHED_RANK></NIC>"
            );
            vm.template(&nic)
        })
    };
    let cases: Vec<(&str, Vec<Vm>)> = vec![
        ("more that must be apart than hosts", many(HOSTS + 20, &apart)),
        ("each asks for any of the others", many(40, &any_of)),
        ("each asks for the next", many(40, &in_a_ring)),
        (
            "ranks of NICs",
            many(10, &ranked)
                .into_iter()
                .map(|vm| Vm { nics: (0..20).map(|nic| (nic, (0..20).collect())).collect(), ..vm })
                .collect(),
        ),
        ("large ones", many(60, &|id| vm(id, &everywhere()).cpu("8").memory(8000))),
    ];
    for (what, attackers) in cases {
        let ids: Vec<String> = attackers.iter().map(|vm| vm.id.to_string()).collect();
        let web = crate::support::request::group(7, &[("web", "ANTI_AFFINED", &ids.join(","), "")], "");
        let more = attackers.len();
        let (_, alone) = planned(&beside([], 20));
        let (decided, looks) = planned(&beside(attackers, 20).group(web));
        let vms = VMS as usize;
        // those VMs in the proportion of all, and half as much again
        let most = alone * ((vms + more) as u64) * 3 / (2 * vms as u64) + 20;
        assert!(looks <= most, "{what}: {alone} looks become {looks}, more than {most}");
        let waits = |id: i32| decided.planned.plan.actions.iter().all(|action| action.vm != VmId(id));
        assert_eq!((1..=VMS).filter(|id| waits(*id)).count(), 0, "{what}: innocent VMs wait");
    }
}

#[test]
fn what_one_owner_writes_is_read_only_so_far_and_he_is_told() {
    let ranked = (0..30).map(|n| of_another(vm(5000 + n, &everywhere()).user("SCHED_RANK", &rank(n, 70))));
    let ruled = (0..20).map(|n| of_another(not_beside(6000 + n, 150)));
    let (decided, _) = planned(&beside(ranked.chain(ruled), 0));
    let notices: Vec<String> = decided.planned.report.notices.iter().map(|notice| notice.text.clone()).collect();
    assert!(
        notices.iter().any(|text| text.contains("ranks that differ have more than 16000 characters")),
        "{notices:?}"
    );
    let waiting: Vec<i32> = decided.planned.report.refusals.iter().map(|refusal| refusal.vm.0).collect();
    assert!(!waiting.is_empty() && waiting.iter().all(|vm| *vm > 6003), "{waiting:?}");
    let told = &decided.planned.report.refusals[0].text;
    assert!(told.contains("more than 16000 characters; it comes when those are placed"), "{told}");
    // where all VMs have one owner, nobody is to be protected
    let ruled = (0..20).map(|n| not_beside(6000 + n, 150));
    let (decided, _) = planned(&beside(ruled, 0));
    assert_eq!(decided.planned.report.refusals.len(), 0);
}

#[test]
fn what_is_refused_for_its_length_or_number_is_told() {
    let request = beside(
        [with_nics(5000, 31, 30), vm(5001, &everywhere()).user("SCHED_RANK", &rank(1, 3990)), not_beside(5002, 1500)],
        30,
    );
    let (decided, _) = planned(&request);
    let refusal = |id: i32| {
        let refusals = &decided.planned.report.refusals;
        refusals.iter().find(|refusal| refusal.vm == VmId(id)).map_or("", |refusal| refusal.text.as_str())
    };
    assert!(refusal(5000).contains("31"), "{}", refusal(5000));
    assert!(refusal(5002).contains("at most 4000"), "{}", refusal(5002));
    let notices: Vec<String> =
        decided.planned.report.notices.iter().map(|n| format!("{}: {}", n.subject, n.text)).collect();
    assert!(
        notices.iter().any(|text| text.contains("VM 5001") && text.contains("more than 1000; it is ignored")),
        "{notices:?}"
    );
    assert!(decided.planned.plan.actions.iter().any(|action| action.vm == VmId(5001)));
}

/// A stop at any look gives what was found so far, whole and lawful; a later one never less.
#[test]
fn an_optimization_that_has_to_end_answers_what_it_has() {
    // all VMs on a third of the hosts, so that many migrations pay
    let residents: Vec<_> = (0..160).map(|id| resident(id, 1 + id % 8, "0.5", 40.0 + f64::from(id % 7))).collect();
    let uneven = cluster(24, &residents);
    let mut counts = Vec::new();
    for most in [0, 1, 4, u64::MAX] {
        let snapshot = decide::read(uneven.request().xml().into_bytes()).unwrap();
        let looks = Cell::new(0);
        let stop = || {
            looks.set(looks.get() + 1);
            looks.get() > most
        };
        let policy = Policy::default();
        let optimized = decide::optimize_until(snapshot, None, &Recall::default(), &policy, Stop::when(&stop)).unwrap();
        assert!(optimized.dropped.is_empty());
        counts.push((optimized.migrated.plan.actions.len(), looks.get()));
    }
    assert!(counts[0].1 <= 3 && counts[0].0 < counts[3].0, "{counts:?}");
    assert!(counts.windows(2).all(|pair| pair[0].0 <= pair[1].0) && counts[3].0 > 40, "{counts:?}");
}

#[test]
fn a_deadline_yields_the_best_plan_so_far() {
    let attackers = (0..8).map(|n| with_nics(5000 + n, 20, 30)).chain((0..8).map(|n| not_beside(6000 + n, 150)));
    let request = beside(attackers, 30);
    let mut last = 0;
    for most in [0, 1, 2, 4, 8, 16, 64, u64::MAX] {
        let snapshot = decide::read(request.xml().into_bytes()).unwrap();
        let looks = Cell::new(0);
        let stop = || {
            looks.set(looks.get() + 1);
            looks.get() > most
        };
        let policy = Policy::default();
        let decided = decide::place_until(snapshot, &Recall::default(), &policy, Stop::when(&stop));
        let plan = &decided.planned.plan;
        assert!(oneaio::placement::check::breaches(&decided.snapshot, plan, &policy).is_empty());
        assert!(plan.actions.len() >= last, "{} after {last} with {most} looks", plan.actions.len());
        // from the moment of the stop on it looks no more than it needs to come to an end
        assert!(most == u64::MAX || looks.get() <= most + 3, "{} looks after a stop at {most}", looks.get());
        last = plan.actions.len();
    }
    assert!(last >= VMS as usize, "{last}");
}

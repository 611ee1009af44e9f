//! A deadline yields the best plan so far. The planner has no clock: it looks now and then whether
//! to stop, and these tests say so at one look or another, in each of the areas where it may be at that
//! moment. `cargo test --release --test it -- deadlines --nocapture` also tells how long the
//! longest time between two looks was; no test depends on it.

use crate::support::cluster::{cluster, resident};
use crate::support::request::{Host, Request, Vm, group, host, request, vm, vnet};
use oneaio::decide::{self, Decided, Optimized, Stop};
use oneaio::model::history::Recall;
use oneaio::model::policy::Policy;
use oneaio::placement::check;
use std::cell::Cell;
use std::time::{Duration, Instant};

const HOSTS: i32 = 60;
const INNOCENT: i32 = 60;
const GIB: i64 = 1 << 20;

/// Between two looks the planner does at most so many of the smallest things that an area consists of:
/// tries of a NIC with a network, of a VM with a member of its group, of a virtual node with a core, of a term.
const BETWEEN_LOOKS: u64 = 200_000;

fn everywhere() -> Vec<i32> {
    (1..=HOSTS).collect()
}

/// Hosts with room, devices and nodes for all, and VMs that ask for nothing special.
fn beside(more: impl IntoIterator<Item = Vm>) -> Request {
    let devices: String = (0..8)
        .map(|slot| {
            format!(
                "<PCI><SHORT_ADDRESS>8{slot}:00.0</SHORT_ADDRESS><VENDOR>10de</VENDOR><DEVICE>000{}</DEVICE>\
                 <CLASS>0302</CLASS><VMID>-1</VMID></PCI>",
                slot % 3
            )
        })
        .collect();
    let node = |id: i32| {
        let cores: String = (0..16)
            .map(|core| format!("<CORE><ID>{core}</ID><CPUS>{0}:-1,{1}:-1</CPUS></CORE>", id * 32 + core, 900 + core))
            .collect();
        format!(
            "<NODE><NODE_ID>{id}</NODE_ID>{cores}<MEMORY><DISTANCE>{id} {}</DISTANCE><TOTAL>{}</TOTAL><USAGE>0</USAGE>\
             </MEMORY></NODE>",
            1 - id,
            64 * GIB
        )
    };
    let share = format!("<PCI_DEVICES>{devices}</PCI_DEVICES><NUMA_NODES>{}{}</NUMA_NODES>", node(0), node(1));
    let one = |id: i32| -> Host {
        let policy = if id % 2 == 0 { "PINNED" } else { "NONE" };
        host(id).cpu(6400, 100 * i64::from(id % 4)).memory(256 * GIB, 0).share(&share).template("PIN_POLICY", policy)
    };
    let hosts: Vec<Host> = (1..=HOSTS).map(one).collect();
    let innocent = (1..=INNOCENT).map(|id| vm(id, &everywhere()).memory(512 + 64 * i64::from(id % 9)));
    let vms: Vec<Vm> = innocent.chain(more).collect();
    (0..30).fold(request(&hosts, &vms), |request, id| request.vnet(vnet(id, &[0], &[1000], 0)))
}

/// What was planned, how often the planner looked, and the longest time between two looks.
struct Looked<T> {
    of: T,
    looks: u64,
    gap: Duration,
}

/// Plans until the planner has looked so many times whether to stop, and, once it was told, so many times
/// whether to stop at once.
fn looking<T>(most: u64, at_once_after: u64, plan: impl FnOnce(Stop<'_>) -> T) -> Looked<T> {
    let (looks, again, gap, last) = (Cell::new(0), Cell::new(0), Cell::new(Duration::ZERO), Cell::new(Instant::now()));
    let look = || {
        gap.set(gap.get().max(last.get().elapsed()));
        last.set(Instant::now());
    };
    let stop = || {
        look();
        looks.set(looks.get() + 1);
        looks.get() > most
    };
    let at_once = || {
        look();
        again.set(again.get() + 1);
        again.get() > at_once_after
    };
    let of = plan(Stop::when(&stop).or_at_once(&at_once));
    assert!(looks.get() <= most.saturating_add(1), "{} looks, although it was told at {most}", looks.get());
    assert!(again.get() <= at_once_after.saturating_add(1), "{} looks after it was told to stop at once", again.get());
    Looked { of, looks: looks.get(), gap: gap.get() }
}

fn placed(request: &Request, most: u64, at_once_after: u64) -> Looked<Decided> {
    let snapshot = decide::read(request.xml().into_bytes()).unwrap();
    // what does not fit is looked at as long as it may
    let policy = Policy { deadline: 0.1, ..Policy::default() };
    let looked = looking(most, at_once_after, |stop| decide::place_until(snapshot, &Recall::default(), &policy, stop));
    let Decided { dropped, planned, snapshot, .. } = &looked.of;
    assert!(dropped.is_empty(), "{dropped:?}");
    let found = check::breaches(snapshot, &planned.plan, &policy);
    assert!(found.is_empty(), "{found:?}");
    // whole: each VM is in the plan or told why it waits
    assert_eq!(planned.plan.actions.len() + planned.report.refusals.len(), snapshot.candidates.len());
    looked
}

fn count(looked: &Looked<Decided>) -> usize {
    looked.of.planned.plan.actions.len()
}

fn many(number: i32, of: impl Fn(i32) -> Vm) -> Vec<Vm> {
    (0..number).map(|n| of(5000 + n)).collect()
}

fn with_nics(id: i32, rank: impl Fn(i32) -> String) -> Vm {
    let all: Vec<i32> = (0..30).collect();
    let vm = (0..28).fold(vm(id, &everywhere()), |vm, nic| {
        let rank = rank(nic);
        vm.template(&format!(
            "<NIC><NETWORK_MODE>auto</NETWORK_MODE><NIC_ID>{nic}</NIC_ID><SCHED_RANK>{rank}</SCHED_RANK></NIC>"
        ))
    });
    Vm { nics: (0..28).map(|nic| (nic, all.clone())).collect(), ..vm }
}

fn long_rank(id: i32) -> String {
    (0..70).fold(format!("{id}"), |text, term| {
        format!("{text}+{}*{}", ["FREE_CPU", "RUNNING_VMS", "MAX_MEM"][term % 3], term % 10)
    })
}

fn pinned(id: i32, policy: &str) -> Vm {
    let node = format!("<NUMA_NODE><TOTAL_CPUS>6</TOTAL_CPUS><MEMORY>{GIB}</MEMORY></NUMA_NODE>");
    vm(id, &everywhere())
        .cpu("12")
        .memory(2048)
        .template(&format!("<TOPOLOGY><PIN_POLICY>{policy}</PIN_POLICY><CORES>12</CORES></TOPOLOGY>{node}{node}"))
}

/// Areas, requests that keep the planner there, and how many of the smallest things its first pass has to do.
fn areas() -> Vec<(&'static str, Request, u64)> {
    let hosts = HOSTS as u64;
    let apart: Vec<Vm> = many(HOSTS + 20, |id| vm(id, &everywhere()).memory(64).group(7, "web"));
    let sets: Vec<Vm> = many(200, |id| vm(id, &everywhere()).cpu("2").group(100 + (id - 5000) / 8, "set"));
    let ids = |from: i32, to: i32| (from..to).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let web = group(7, &[("web", "ANTI_AFFINED", &ids(5000, 5000 + HOSTS + 20), "")], "");
    let affined = (0..25).fold(beside(sets), |request, set| {
        let members = ids(5000 + 8 * set, 5008 + 8 * set);
        request.group(group(100 + set, &[("set", "AFFINED", &members, "")], ""))
    });
    let mentions = |id: i32| {
        let terms: Vec<String> = (0..140).map(|n| format!("CURRENT_VMS != {}", 5000 + n)).collect();
        vm(id, &everywhere()).user("SCHED_REQUIREMENTS", &terms[..].join(" & "))
    };
    let cards = |id: i32| {
        (0..6).fold(vm(id, &everywhere()), |vm, n| {
            vm.template(&format!("<PCI><VENDOR>10de</VENDOR><DEVICE>000{}</DEVICE></PCI>", n % 3))
        })
    };
    vec![
        ("nothing special", beside(many(400, |id| vm(id, &everywhere()))), 400 * hosts),
        ("NICs", beside(many(60, |id| with_nics(id, |_| String::new()))), 60 * 28 * 30),
        ("ranks of NICs", beside(many(10, |id| with_nics(id, |nic| long_rank(100 * id + nic)))), 10 * 28 * 30 * 70),
        ("ranks", beside(many(60, |id| vm(id, &everywhere()).user("SCHED_RANK", &long_rank(id)))), 60 * hosts * 70),
        ("groups of VMs apart", beside(apart).group(web), 80 * hosts),
        ("affined sets", affined, 200 * hosts),
        ("NUMA nodes with cores", beside(many(90, |id| pinned(id, "CORE"))), 90 * 2 * 32),
        ("NUMA nodes with threads", beside(many(90, |id| pinned(id, "THREAD"))), 90 * 2 * 32),
        ("devices", beside(many(90, cards)), 90 * 6 * 8),
        ("CURRENT_VMS", beside(many(60, mentions)), 60 * 140),
    ]
}

/// Where it is told to stop makes no difference to whether there is a plan: one with each VM that the first pass
/// has a place for.
#[test]
fn a_stop_anywhere_yields_a_plan_with_what_the_first_pass_placed() {
    for (area, request, work) in areas() {
        let all = placed(&request, u64::MAX, 0);
        println!("{area}: {} looks, at most {:?} between two", all.looks, all.gap);
        assert!(all.looks * BETWEEN_LOOKS >= work, "{area}: {} looks for {work} things to do", all.looks);
        let first = placed(&request, 0, u64::MAX);
        assert!(count(&first) >= INNOCENT as usize, "{area}: {} placed", count(&first));
        let mut last = count(&first);
        for part in 1..=4 {
            let stopped = placed(&request, all.looks * part / 4, u64::MAX);
            assert!(count(&stopped) >= last, "{area}: {} after {last} at part {part}", count(&stopped));
            last = count(&stopped);
        }
        assert_eq!(last, count(&all), "{area}");
    }
}

/// Who is told to stop at once gives up the first pass as well, with what it has; what it has grows.
#[test]
fn a_stop_at_once_yields_the_part_of_the_first_pass_that_is_done() {
    for (area, request, _) in areas() {
        let mut last = 0;
        for most in [0, 1, 2, 4, 8, u64::MAX] {
            let stopped = placed(&request, 0, most);
            assert!(count(&stopped) >= last, "{area}: {} after {last}", count(&stopped));
            last = count(&stopped);
            let told = |of: &Decided| {
                of.planned.report.refusals.iter().all(|one| one.text.contains("planning was stopped before"))
            };
            assert!(most > 0 || told(&stopped.of), "{area}: {:?}", stopped.of.planned.report.refusals);
        }
        assert!(last >= INNOCENT as usize, "{area}: {last}");
    }
}

/// VMs with RESCHED that find no host make a draft worthless whose others rely on their leaving: until there is
/// one that holds, each is finished.
#[test]
fn a_stop_before_any_draft_holds_yields_one_that_does() {
    let hosts: Vec<Host> = (1..=40).map(|id| host(id).cpu(800, 0)).collect();
    let all: Vec<i32> = (1..=40).collect();
    // one that has to leave host 1 and may go nowhere; those of its affined set would go after it
    let stuck = vm(900, &[2]).resched(1, 100).cpu("9").group(3, "set");
    let others = (901..905).map(|id| vm(id, &all).group(3, "set"));
    let crowd = (1..=300).map(|id| vm(id, &all).cpu("0.5").memory(128));
    let vms: Vec<Vm> = crowd.chain([stuck]).chain(others).collect();
    let request = request(&hosts, &vms).group(group(3, &[("set", "AFFINED", "900,901,902,903,904", "")], ""));
    for most in [0, 1, 3, u64::MAX] {
        let stopped = placed(&request, most, u64::MAX);
        assert!(count(&stopped) >= 300, "{} at {most}", count(&stopped));
    }
}

fn optimized(request: &Request, most: u64) -> Looked<Optimized> {
    let snapshot = decide::read(request.xml().into_bytes()).unwrap();
    let policy = Policy::default();
    let looked = looking(most, u64::MAX, |stop| {
        decide::optimize_until(snapshot, None, &Recall::default(), &policy, stop).unwrap()
    });
    let Optimized { snapshot, migrated, dropped, cluster, .. } = &looked.of;
    assert!(dropped.is_empty(), "{dropped:?}");
    let found = check::migration_breaches(snapshot, cluster, &migrated.plan, &cluster.drs.over(&policy));
    assert!(found.is_empty(), "{found:?}");
    looked
}

#[test]
fn an_optimization_that_is_stopped_anywhere_has_found_something() {
    let some = |count: i32| (0..count).map(|id| resident(id, 1 + id % 8, "0.5", 40.0 + f64::from(id % 7)));
    let uneven: Vec<_> = some(240).collect();
    let ruled: Vec<_> = uneven
        .iter()
        .map(|one| {
            one.clone().change(|vm| {
                let id = vm.id;
                let terms: Vec<String> = (0..100).map(|n| format!("CURRENT_VMS != {}", 5000 + n)).collect();
                if id % 3 == 0 { vm.user("SCHED_REQUIREMENTS", &terms.join(" & ")) } else { vm }
            })
        })
        .collect();
    let grouped: Vec<_> = uneven.iter().map(|one| one.clone().change(|vm| vm.group(7, "web"))).collect();
    let ids = (0..240).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    for (area, cluster) in [
        ("balance", cluster(30, &uneven)),
        // what packs does little else
        ("pack", cluster(40, &some(360).collect::<Vec<_>>()).drs("POLICY", "pack")),
        ("rules of CURRENT_VMS", cluster(30, &ruled)),
        ("groups", cluster(30, &grouped).group(group(7, &[("web", "NONE", &ids, "")], ""))),
    ] {
        let request = cluster.request();
        let all = optimized(&request, u64::MAX);
        println!("{area}: {} looks, at most {:?} between two", all.looks, all.gap);
        let migrations = |looked: &Looked<Optimized>| looked.of.migrated.plan.actions.len();
        assert!(all.looks > 4, "{area}: {} looks are too few", all.looks);
        for part in 0..4 {
            let stopped = optimized(&request, all.looks * part / 4);
            assert!(migrations(&stopped) > 0, "{area}: nothing at part {part}");
        }
    }
}

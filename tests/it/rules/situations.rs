//! Situations that people who run schedulers have reported: what is right, and what the VM that waits is told.
//! One line each, so that a kind of fault is a few lines.

use crate::support::request::{Decision, Host, Request, Vm, datastore, group, host, request, running, vm, vnet};
use oneaio::decide;
use oneaio::model::policy::Policy;

/// A situation and what is right.
struct Situation {
    what: &'static str,
    request: Request,
    /// VM and its host; `None` where it waits.
    right: &'static [(i32, Option<i32>)],
    /// Part of what a waiting VM is told.
    told: &'static [(i32, &'static str)],
    /// Part of the warnings.
    warned: &'static [&'static str],
}

fn all(situations: Vec<Situation>) {
    for Situation { what, request, right, told, warned } in situations {
        let decision = request.decide();
        for (vm, host) in right {
            assert_eq!(decision.host(*vm), *host, "{what}: VM {vm}; {}", decision.refusal(*vm));
        }
        for (vm, part) in told {
            let text = decision.refusal(*vm);
            assert!(text.contains(part), "{what}: VM {vm} is told {text:?}, without {part:?}");
            let fact = text.find(part).unwrap() + part.len();
            assert!(fact <= 120, "{what}: the fact ends at {fact}: {text}");
        }
        let notices = decision.notices();
        for part in warned {
            let count = notices.matches(part).count();
            assert_eq!(count, 1, "{what}: {part:?} in {notices}");
        }
    }
}

/// Powered off on a host, and flagged RESCHED.
fn powered_off(id: i32, from: i32) -> Vm {
    Vm { state: 8, ..vm(id, &[1, 2, 3]).resched(from, 0) }
}

fn with(vm: Vm, lcm: i32) -> Vm {
    Vm { more: format!("<LCM_STATE>{lcm}</LCM_STATE>"), ..vm }
}

fn lock(vm: Vm, level: i32) -> Vm {
    Vm { more: format!("<LOCK><LOCKED>{level}</LOCKED><OWNER>0</OWNER></LOCK>"), ..vm }
}

#[test]
fn resched_moves_what_runs_is_powered_off_or_lost_and_nothing_else() {
    let hosts = || [host(1).vms(&[1]).cpu(800, 100), host(2)];
    let one = |vm: Vm| request(&hosts(), &[vm]);
    let moving = || vm(1, &[2]).resched(1, 0);
    let pair = |first: Vm, second: Vm| {
        request(&[host(1).vms(&[1, 2]).cpu(800, 200), host(2)], &[first.group(7, "r"), second.group(7, "r")])
            .group(group(7, &[("r", "AFFINED", "1,2", "")], ""))
    };
    let plain = |what, request, right, told| Situation { what, request, right, told, warned: &[] };
    all(vec![
        plain("powered off", one(Vm { state: 8, ..moving() }), &[(1, Some(2))], &[]),
        plain("lost sight of", one(with(moving(), 16)), &[(1, Some(2))], &[]),
        plain("running", one(with(moving(), 3)), &[(1, Some(2))], &[]),
        plain("suspended", one(Vm { state: 5, ..moving() }), &[(1, None)], &[(1, "suspended")]),
        plain("while a backup is made", one(with(moving(), 69)), &[(1, None)], &[(1, "between two states")]),
        plain("locked", one(lock(moving(), 3)), &[(1, None)], &[(1, "is locked (onevm lock)")]),
        plain("locked for use only, and pending", one(lock(vm(1, &[2]), 1)), &[(1, None)], &[(1, "is locked")]),
        plain("unlocked again", one(lock(vm(1, &[2]), 0)), &[(1, Some(2))], &[]),
        plain("without HISTORY", one(Vm { history: None, ..moving() }), &[(1, None)], &[(1, "HISTORY tells no host")]),
        plain(
            "a powered off pair stays a pair",
            pair(powered_off(1, 1), powered_off(2, 1)),
            &[(1, Some(2)), (2, Some(2))],
            &[],
        ),
        // nobody is told a flag that another VM has
        plain(
            "the flag of another",
            pair(Vm { history: None, ..powered_off(1, 1) }, vm(2, &[2])),
            &[(1, None), (2, None)],
            &[(1, "is flagged RESCHED, but its HISTORY"), (2, "waits for VM 1 of its affined set")],
        ),
    ]);
}

#[test]
fn a_limit_of_a_datastore_replaces_what_is_free() {
    let disk = |kind: i32, limit: &str, target: &str| {
        let template = if limit.is_empty() { String::new() } else { format!("<LIMIT_MB>{limit}</LIMIT_MB>") };
        let one = vm(1, &[1]).disk(5_000, target, 5);
        let one = if target == "SYSTEM" { one.datastores(&[5]) } else { one };
        request(&[host(1)], &[one]).datastore(datastore(5, kind, &[0], 2_000, &template))
    };
    let case = |what, request, right, warned| Situation { what, request, right, told: &[], warned };
    // 2,000 MB are free and 1,000 used
    all(vec![
        case("above what is free", disk(1, "6001", "SYSTEM"), &[(1, Some(1))], &[]),
        case("just too low", disk(1, "6000", "SYSTEM"), &[(1, None)], &[]),
        case("below what is used", disk(1, "500", "SYSTEM"), &[(1, None)], &[]),
        case("of an image datastore, above", disk(0, "9000", "SELF"), &[(1, Some(1))], &[]),
        case("of an image datastore, below", disk(0, "3000", "SELF"), &[(1, None)], &[]),
        case("zero: none is free", disk(1, "0", "SYSTEM"), &[(1, None)], &[]),
        case("none", disk(1, "", "SYSTEM"), &[(1, None)], &[]),
        case("unreadable", disk(1, "lots", "SYSTEM"), &[(1, None)], &["LIMIT_MB is \"lots\", not a number"]),
    ]);
}

#[test]
fn a_closed_host_takes_nothing() {
    let closed = |cpu: i64, memory: i64| {
        let share = "<TOTAL_CPU>800</TOTAL_CPU><TOTAL_MEM>16777216</TOTAL_MEM>";
        let there = host(1).cpu(cpu, 0).memory(memory, 0).share(share);
        request(&[there, host(2).cpu(800, 800)], &[vm(1, &[1, 2]), vm(2, &[1]).cpu("0").memory(0)])
    };
    let case = |what, request, told| Situation { what, request, right: &[(1, None), (2, None)], told, warned: &[] };
    let full: &[_] = &[(1, "only host 2, node2 is allowed (host)"), (2, "it is closed: RESERVED_CPU")];
    all(vec![
        case("CPU below zero", closed(-200, 16 << 20), full),
        case("CPU of zero", closed(0, 16 << 20), full),
        case("memory of zero", closed(800, 0), &[(1, "only host 2"), (2, "it is closed: RESERVED_MEM")]),
        case("all reserved", closed(0, 0), full),
    ]);
}

fn gpus(devices: &[(&str, i32)]) -> String {
    let device = |(address, holder): &(&str, i32)| {
        let (slot, function) = address.rsplit_once(':').unwrap();
        let short = format!("{slot}.{function}");
        format!(
            "<PCI><ADDRESS>0000:{address}</ADDRESS><SHORT_ADDRESS>{short}</SHORT_ADDRESS><VENDOR>10de</VENDOR>\
             <DEVICE>20b5</DEVICE><CLASS>0302</CLASS><VMID>{holder}</VMID></PCI>"
        )
    };
    format!("<PCI_DEVICES>{}</PCI_DEVICES>", devices.iter().map(device).collect::<String>())
}

/// One more device for [`gpus`].
const TWO: &str = "<PCI><VENDOR>10de</VENDOR><DEVICE>20b5</DEVICE></PCI>";

#[test]
fn a_device_that_a_vm_holds_is_not_given_out_and_who_holds_it_is_told() {
    let asks = |id: i32| vm(id, &[1]).template("<PCI><VENDOR>10de</VENDOR><DEVICE>20b5</DEVICE></PCI>");
    let holds = |id: i32, address: &str| {
        let held = format!("<PCI><VENDOR>10de</VENDOR><DEVICE>20b5</DEVICE><ADDRESS>0000:{address}</ADDRESS></PCI>");
        running(id, 1).template(&held)
    };
    let with =
        |devices: &[(&str, i32)], here: &[i32], vms: &[Vm]| request(&[host(1).share(&gpus(devices)).vms(here)], vms);
    let parked = Vm { state: 8, ..holds(9, "81:00:0") };
    all(vec![
        Situation {
            what: "the list is older than the VM's record",
            request: with(&[("81:00:0", -1)], &[9], &[holds(9, "81:00:0"), asks(1)]),
            right: &[(1, None)],
            told: &[(1, "needs PCI device 10de:20b5:*; its only candidate, host 1, node1, has none free: VM 9")],
            warned: &["host 1: its list calls PCI devices free that VMs there hold"],
        },
        Situation {
            what: "the other device is given out",
            request: with(&[("81:00:0", -1), ("82:00:0", -1)], &[9], &[holds(9, "81:00:0"), asks(1)]),
            right: &[(1, Some(1))],
            told: &[],
            warned: &["81:00.0 (VM 9)"],
        },
        Situation {
            what: "a powered off VM keeps its device",
            request: with(&[("81:00:0", -1)], &[9], &[parked, asks(1)]),
            right: &[(1, None)],
            told: &[],
            warned: &["81:00.0 (VM 9)"],
        },
        Situation {
            what: "a VM of another host holds nothing here",
            request: with(&[("81:00:0", -1)], &[], &[Vm { history: Some((2, 0, 0)), ..holds(9, "81:00:0") }, asks(1)]),
            right: &[(1, Some(1))],
            told: &[],
            warned: &[],
        },
        Situation {
            what: "held by a VM that is gone, another one excluded",
            request: with(&[("81:00:0", 777), ("82:00:0", -2)], &[], &[asks(1)]),
            right: &[(1, None)],
            told: &[(1, "VM 777, not on the host's list, holds 1")],
            warned: &[],
        },
        Situation {
            what: "two are asked for, one is there",
            request: with(&[("81:00:0", 777)], &[], &[asks(1).template(TWO)]),
            right: &[(1, None)],
            told: &[(
                1,
                "cannot go to its only candidate, host 1, node1: it has only 1 in all: VM 777, not on the host's list, holds 1",
            )],
            warned: &[],
        },
        Situation {
            what: "two are asked for, one of two is free",
            request: with(&[("81:00:0", 777), ("82:00:0", -1)], &[], &[asks(1).template(TWO)]),
            right: &[(1, None)],
            told: &[(1, "needs 2 PCI devices 10de:20b5:*; its only candidate, host 1, node1, has 1 of 2 free: VM 777")],
            warned: &[],
        },
        Situation {
            what: "only one host has as many",
            request: request(
                &[host(1).share(&gpus(&[("81:00:0", 777), ("82:00:0", -2)])), host(2).share(&gpus(&[("81:00:0", -1)]))],
                &[Vm { hosts: Some(vec![1, 2]), ..asks(1).template(TWO) }],
            ),
            right: &[(1, None)],
            told: &[(
                1,
                "needs 2 PCI devices 10de:20b5:*; only host 1, node1 is allowed (PCI): it has none free: VM 777",
            )],
            warned: &[],
        },
        Situation {
            what: "held by the batch itself",
            request: with(&[("81:00:0", -1)], &[], &[asks(1), asks(2)]),
            right: &[(1, Some(1)), (2, None)],
            told: &[(2, "has none free: VM 1 holds 1 after this batch")],
            warned: &[],
        },
    ]);
}

#[test]
fn a_torn_set_grows_where_most_of_it_is() {
    let member = |id: i32, on: i32| running(id, on).group(7, "r");
    let new = |id: i32| vm(id, &[1, 2, 3]).group(7, "r");
    let torn = |room: i64, news: &[i32]| {
        let hosts = [host(1).vms(&[11]).cpu(800, 100), host(2).vms(&[12, 13]).cpu(800, 800 - room), host(3)];
        let running = [member(11, 1), member(12, 2), member(13, 2)];
        let vms: Vec<Vm> = running.into_iter().chain(news.iter().map(|&id| new(id))).collect();
        request(&hosts, &vms).group(group(7, &[("r", "AFFINED", "", "")], ""))
    };
    let warned: &[_] =
        &["VM group 7: its affined set is torn apart already (VM 11 on host 1, VMs 12 and 13 on host 2)"];
    let even = |news: &[i32]| {
        let hosts = [host(1).vms(&[11]).cpu(800, 500), host(2).vms(&[12]).cpu(800, 100)];
        let vms: Vec<Vm> = [member(11, 1), member(12, 2)].into_iter().chain(news.iter().map(|&id| new(id))).collect();
        request(&hosts, &vms).group(group(7, &[("r", "AFFINED", "", "")], ""))
    };
    let case = |what, request, right, warned| Situation { what, request, right, told: &[], warned };
    all(vec![
        case(
            "to the fuller host with most of it",
            torn(300, &[1, 2, 3]),
            &[(1, Some(2)), (2, Some(2)), (3, Some(2))],
            warned,
        ),
        case("to the other part once that is full", torn(100, &[1, 2]), &[(1, Some(2)), (2, Some(1))], warned),
        Situation {
            what: "who is told of, of those that run",
            request: request(
                &[host(1).vms(&[11]), host(2).vms(&[12, 13]), host(3)],
                &[member(11, 1), member(12, 2), member(13, 2), Vm { hosts: Some(vec![2]), ..new(1).cpu("9") }],
            )
            .group(group(7, &[("r", "AFFINED", "", "")], "")),
            right: &[(1, None)],
            told: &[(1, "needs 9 cores")],
            warned,
        },
        case("nobody new, nothing to say", torn(300, &[]), &[], &[]),
        case("of two equal parts all go to one", even(&[1, 2, 3]), &[(1, Some(2)), (2, Some(2)), (3, Some(2))], &[]),
    ]);
}

#[test]
fn a_vm_with_resched_that_cannot_leave_keeps_its_set_where_it_is() {
    // 1 must join 8 on host 1 by one rule and 9, which is to leave host 3 and cannot, by another
    let stuck = |own: &[i32]| {
        let vms = [running(8, 1).group(5, "a"), vm(9, own).resched(3, 0).group(5, "b"), vm(1, &[1]).group(5, "c")];
        let hosts = [host(1).vms(&[8]), host(2).cpu(800, 800), host(3).vms(&[9])];
        request(&hosts, &vms).group(group(
            5,
            &[("a", "NONE", "8", ""), ("b", "NONE", "9", ""), ("c", "NONE", "1", "")],
            "<AFFINED>a,c</AFFINED><AFFINED>b,c</AFFINED>",
        ))
    };
    let case = |what, request, right| Situation { what, request, right, told: &[], warned: &[] };
    all(vec![
        case("nowhere to go", stuck(&[]), &[(9, None), (1, Some(1))]),
        case("its only host is full", stuck(&[2]), &[(9, None), (1, Some(1))]),
        case("it can go", stuck(&[1]), &[(9, Some(1)), (1, Some(1))]),
    ]);
}

#[test]
fn a_tiny_request_places_as_many_as_any_plan_could() {
    // 3 wants to be with 2, which fits both hosts; only on host 1 is room for both, once 1 and 4 are elsewhere
    let wish = |id: i32, other: i32| vm(id, &[1, 2]).user("SCHED_REQUIREMENTS", &format!("CURRENT_VMS = {other}"));
    let vms = [
        vm(1, &[1, 2]).cpu("3").memory(512).user("SCHED_REQUIREMENTS", "(CURRENT_VMS = 3) | (NAME = \"node1\")"),
        vm(4, &[1, 2]).cpu("0.5").memory(1024),
        vm(2, &[1, 2]).cpu("3").memory(2048),
        wish(3, 2).memory(512),
    ];
    let hosts = [host(1).cpu(800, 100).memory(8 << 20, 0), host(2).cpu(400, 0).memory(2 << 20, 0)];
    let decision = request(&hosts, &vms).decide();
    assert_eq!(decision.placed(), 4);
    // two large and two small on two hosts, whoever is looked at first
    let sizes = ["5", "5", "3", "3"];
    let vms: Vec<Vm> = (1..).zip(sizes).map(|(id, cores)| vm(id, &[1, 2]).cpu(cores)).collect();
    assert_eq!(request(&[host(1), host(2)], &vms).decide().placed(), 4);
    // only 1 and 3 together fill host 2
    let vms = [vm(1, &[1, 2]).cpu("6"), vm(2, &[1]).cpu("8"), vm(3, &[1, 2]).cpu("2")];
    assert_eq!(request(&[host(1), host(2)], &vms).decide().placed(), 3);
}

#[test]
fn the_order_of_two_copies_does_not_matter() {
    let copies = [
        ("of a running VM", running(9, 1).group(7, "r"), running(9, 2).group(7, "r")),
        ("of a pending VM", vm(9, &[1, 2]).cpu("2").group(7, "r"), vm(9, &[1, 2]).cpu("3").group(7, "r")),
        ("one runs, one waits", running(9, 1).group(7, "r"), vm(9, &[1, 2]).group(7, "r")),
        ("one with a remark", running(9, 1).group(7, "r"), running(9, 1).template("<VMGROUP/><VMGROUP/>")),
    ];
    for (what, a, b) in copies {
        let plan = |first: &Vm, second: &Vm| {
            let vms = [first.clone(), vm(1, &[1, 2]).group(7, "r"), second.clone()];
            let decision =
                request(&[host(1), host(2)], &vms).group(group(7, &[("r", "ANTI_AFFINED", "1,9", "")], "")).decide();
            (decision.host(1), decision.refusal(1), decision.notices(), decision.refusal(9))
        };
        let (there, back) = (plan(&a, &b), plan(&b, &a));
        assert_eq!(there, back, "{what}");
        assert!((there.2 + &there.3).contains("more than once"), "{what}");
    }
}

fn nodes(cores: &[usize]) -> Host {
    let node = |(id, cores): (usize, &usize)| {
        let cores: String = (0..*cores)
            .map(|core| format!("<CORE><ID>{core}</ID><CPUS>{}:-1</CPUS></CORE>", id * 100 + core))
            .collect();
        format!(
            "<NODE><NODE_ID>{id}</NODE_ID>{cores}<HUGEPAGE><SIZE>2048</SIZE><PAGES>512</PAGES><USAGE>0</USAGE></HUGEPAGE>\
             <MEMORY><TOTAL>8388608</TOTAL><USAGE>0</USAGE></MEMORY></NODE>"
        )
    };
    let share: String = cores.iter().enumerate().map(node).collect();
    host(1).cpu(10_000, 0).share(&format!("<NUMA_NODES>{share}</NUMA_NODES>")).template("PIN_POLICY", "PINNED")
}

fn pinned(id: i32, topology: &str, cpus: u32, mebibytes: i64) -> Vm {
    let memory = mebibytes * 1024;
    let node = format!("<NUMA_NODE><TOTAL_CPUS>{cpus}</TOTAL_CPUS><MEMORY>{memory}</MEMORY></NUMA_NODE>");
    vm(id, &[1]).template(&format!("<TOPOLOGY>{topology}</TOPOLOGY>{node}"))
}

#[test]
fn what_no_numa_node_could_hold_is_told_apart_from_what_is_taken() {
    let thread = "<PIN_POLICY>THREAD</PIN_POLICY>";
    let core = "<PIN_POLICY>CORE</PIN_POLICY>";
    let pages = |size: &str| format!("<PIN_POLICY>THREAD</PIN_POLICY><HUGEPAGE_SIZE>{size}</HUGEPAGE_SIZE>");
    let case = |what, vms: &[Vm], told| Situation {
        what,
        request: request(&[nodes(&[4, 2])], vms),
        right: &[],
        told,
        warned: &[],
    };
    all(vec![
        case(
            "wider than any node",
            &[pinned(1, thread, 6, 1024)],
            &[(1, "needs 6 threads in one NUMA node; host 1, node1 has at most 4 in a node (node 0)")],
        ),
        case(
            "dedicated cores, wider than any node",
            &[pinned(1, core, 5, 1024)],
            &[(1, "needs 5 dedicated cores in one NUMA node; host 1, node1 has at most 4 in a node")],
        ),
        case(
            "full by the batch",
            &[pinned(1, thread, 4, 1024), pinned(2, thread, 4, 1024)],
            &[(
                2,
                "needs 4 threads in one NUMA node; its only candidate, host 1, node1, has at most 2 free in a node (node 1)",
            )],
        ),
        case(
            "more memory than any node",
            &[pinned(1, thread, 1, 10_240)],
            &[(1, "needs 10 GiB in one NUMA node; host 1, node1 has at most 8 GiB in a node")],
        ),
        case(
            "more memory than any node, whatever is taken",
            &[pinned(1, thread, 4, 1024), pinned(3, thread, 2, 1024), pinned(2, thread, 4, 10_240)],
            &[(2, "needs 10 GiB in one NUMA node; host 1, node1 has at most 8 GiB in a node")],
        ),
        case("pages of no such size", &[pinned(1, &pages("1024"), 1, 2048)], &[(1, "needs 2 hugepages of 1 GiB")]),
        case(
            "too few pages",
            &[pinned(1, &pages("2"), 1, 2048)],
            &[(
                1,
                "needs 1024 hugepages of 2 MiB in one NUMA node; its only candidate, host 1, node1, has at most 512 free",
            )],
        ),
        case(
            "a node that is not there",
            &[pinned(
                1,
                "<HUGEPAGE_SIZE>2</HUGEPAGE_SIZE><NODE_AFFINITY>7</NODE_AFFINITY><PIN_POLICY>SHARED</PIN_POLICY>",
                1,
                64,
            )],
            &[(1, "needs NUMA node 7; host 1, node1 has no such node")],
        ),
    ]);
}

#[test]
fn three_states_have_three_sentences() {
    let hosts = || [host(1).cpu(800, 200), host(2).cpu(800, 700), host(3).cpu(400, 0)];
    let ids = [1, 2, 3];
    let of = |vms: &[Vm]| request(&hosts(), vms);
    let affined = |one: Vm| {
        let vms = [running(8, 2).group(7, "r"), running(9, 2).group(7, "r"), one.group(7, "r")];
        request(&[host(1), host(2).cpu(800, 700).vms(&[8, 9]), host(3)], &vms).group(group(
            7,
            &[("r", "AFFINED", "", "")],
            "",
        ))
    };
    let apart = |one: Vm| {
        let vms = [running(8, 1).group(7, "r"), running(9, 3).group(7, "r"), one.group(7, "r")];
        request(&[host(1).vms(&[8]), host(2).cpu(800, 750), host(3).vms(&[9])], &vms).group(group(
            7,
            &[("r", "ANTI_AFFINED", "", "")],
            "",
        ))
    };
    let bound = |one: Vm| {
        let role = "<HOST_AFFINED>2</HOST_AFFINED>";
        request(&hosts(), &[one.group(7, "r")]).group(group(7, &[("r", "NONE", "1", role)], ""))
    };
    let case = |what, request, told| Situation { what, request, right: &[(1, None)], told, warned: &[] };
    all(vec![
        case(
            "larger than any host",
            of(&[vm(1, &ids).memory(900 * 1024)]),
            &[(1, "needs 900 GiB of memory; the largest of 3 candidate hosts (host 1, node1) has 16 GiB")],
        ),
        case(
            "more cores than any host",
            of(&[vm(1, &ids).cpu("64")]),
            &[(1, "needs 64 cores; the largest of 3 candidate hosts (host 1, node1) has 8")],
        ),
        case(
            "full now; the host that is too small is no near miss",
            of(&[vm(1, &ids).cpu("7")]),
            &[(1, "needs 7 cores; the best of 3 candidate hosts (host 1, node1) has 6 free")],
        ),
        case(
            "a rule leaves one host",
            affined(vm(1, &ids).cpu("2")),
            &[(1, "only host 2, node2 holds its affined VMs 8 and 9: it has 1 core free, 2 cores needed")],
        ),
        case(
            "overfull: none is free, not less",
            request(&[host(1).cpu(800, 1600), host(2).cpu(800, 1700)], &[vm(1, &[1, 2])]),
            &[(1, "needs 1 core; the best of 2 candidate hosts (host 1, node1) has 0 free")],
        ),
        case(
            "overfull in memory, and the only one that is allowed",
            request(&[host(1).memory(1 << 20, 4 << 20), host(2).cluster(7)], &[vm(1, &[1, 2])]),
            &[(1, "only host 1, node1 is allowed (datastore): it has 0 KiB of memory free, 1 GiB of memory needed")],
        ),
        case(
            "bound to a host: no other is told",
            bound(vm(1, &ids).cpu("3")),
            &[(1, "only host 2, node2 is allowed (host affinity): it has 1 core free, 3 cores needed")],
        ),
        case(
            "anti-affinity leaves one host",
            apart(vm(1, &ids)),
            &[(1, "only host 2, node2 is allowed (anti-affinity): it has 0.5 cores free, 1 core needed")],
        ),
        case(
            "larger than the host that a rule leaves",
            bound(vm(1, &ids).cpu("9")),
            &[(1, "needs 9 cores; the only host that its rules allow, host 2, node2, has 8")],
        ),
        case(
            "no host is allowed",
            request(
                &[host(1).vms(&[8])],
                &[running(8, 1), vm(1, &[1]).user("SCHED_REQUIREMENTS", "NAME = \"node*\" & CURRENT_VMS != 8")],
            ),
            &[(1, "cannot go to its only candidate, host 1, node1: CURRENT_VMS != 8 is false there (CURRENT_VMS)")],
        ),
    ]);
}

#[test]
fn storage_is_told_by_what_counts() {
    let local = |id| datastore(id, 1, &[0], 0, "<SHARED>NO</SHARED>");
    let disk = |id: i32| vm(1, &[1, 2]).datastores(&[id]).disk(50 * 1024, "SYSTEM", 1);
    let free = "<DATASTORES><FREE_DISK>30000</FREE_DISK></DATASTORES>";
    let listed = "<DATASTORES><FREE_DISK>900000</FREE_DISK><DS><ID>100</ID><FREE_MB>20480</FREE_MB></DS></DATASTORES>";
    let moving = |own: i32| Vm { datastores: vec![0], ..vm(1, &[1, 2]).resched(3, own) };
    let case = |what, request, told| Situation { what, request, right: &[(1, None)], told, warned: &[] };
    let hosts = |share: &str| [host(1).share(share), host(2).share(share)];
    all(vec![
        case(
            "no sample of a local datastore",
            request(&hosts(free), &[disk(100)]).datastore(local(100)),
            &[(1, "host 1, node1 reports nothing for datastore 100, so its FREE_DISK counts: 29.3 GB")],
        ),
        case(
            "a sample of a local datastore",
            request(&hosts(listed), &[disk(100)]).datastore(local(100)),
            &[(1, "host 1, node1 has 20 GB free on datastore 100")],
        ),
        case(
            "a shared datastore is no host's",
            request(&hosts(free), &[disk(100)]).datastore(datastore(100, 1, &[0], 20_480, "")),
            &[(1, "needs 50 GB of disk; datastore 100, the best for it, has 20 GB free")],
        ),
        case(
            "the only datastore is in the request twice, and differs",
            request(&hosts(free), &[disk(100)]).datastore(datastore(100, 1, &[0], 900_000, "")).datastore(datastore(
                100,
                1,
                &[0],
                800_000,
                "",
            )),
            &[(1, "is allowed on none of 2 candidate hosts: oned offers it no system datastore that is usable now")],
        ),
        case(
            "HISTORY and offer name different datastores",
            request(&hosts(free), &[moving(100)]).datastore(local(100)),
            &[(1, "its disks are on datastore 100 by its HISTORY, oned offers 0")],
        ),
        case(
            "a datastore of HISTORY that is gone",
            request(&hosts(free), &[moving(999)]),
            &[(1, "its disks are on datastore 999 by its HISTORY")],
        ),
    ]);
}

#[test]
fn odd_ranks_are_told_once_for_each_cause() {
    let ranked = |id: i32, rank: &str| vm(id, &[1, 2]).user("SCHED_RANK", rank);
    let by_zero = |vms: &[Vm]| request(&[host(1).vms(&[9]), host(2)], vms);
    let plain = |what, request, warned| Situation { what, request, right: &[], told: &[], warned };
    all(vec![
        plain(
            "one VM",
            by_zero(&[ranked(1, "1 / RUNNING_VMS")]),
            &["VM 1: SCHED_RANK divides by zero on 1 of 2 hosts"],
        ),
        plain(
            "many VMs, one cause",
            by_zero(&[ranked(1, "1 / 0"), ranked(2, "1 / 0"), ranked(3, "1 / 0")]),
            &["VMs 1, 2 and 3 ask for \"1 / 0\": SCHED_RANK divides by zero on every host"],
        ),
        plain(
            "unreadable, of many",
            by_zero(&[ranked(1, "FREE_CPU +"), ranked(2, "FREE_CPU +")]),
            &["VMs 1 and 2 ask for \"FREE_CPU +\": SCHED_RANK cannot be read"],
        ),
        plain("no division", by_zero(&[ranked(1, "FREE_CPU")]), &[]),
        plain(
            "another rank each, one cause",
            by_zero(&[ranked(1, "1 / RUNNING_VMS"), ranked(2, "2 / RUNNING_VMS"), ranked(3, "3 / 0")]),
            &["VMs 1, 2 and 3 have odd ranks; that of VM 1, \"1 / RUNNING_VMS\": SCHED_RANK divides by zero on 1 of 2"],
        ),
        plain(
            "unreadable in many ways",
            by_zero(&[ranked(1, "FREE_CPU +"), ranked(2, ")"), ranked(3, "FREE_CPU")]),
            &["VMs 1 and 2 have odd ranks; that of VM 1, \"FREE_CPU +\": SCHED_RANK cannot be read"],
        ),
        plain(
            "too long, of many",
            by_zero(&[1, 2, 3, 4].map(|id| ranked(id, &"1+".repeat(600)))),
            &["VMs 1, 2 and 2 more: SCHED_RANK has 1200 characters, more than 1000; it is ignored"],
        ),
    ]);
    // what is a number nowhere has tipped nothing
    let why = |rank: &str| by_zero(&[ranked(1, rank)]).decide().0.planned.report.decisions[0].why.clone();
    assert!(!why("1 / 0").contains("SCHED_RANK"), "{}", why("1 / 0"));
    assert!(!why("7 * 2").contains("SCHED_RANK"), "{}", why("7 * 2"));
    assert!(why("1 / RUNNING_VMS").contains("SCHED_RANK"), "{}", why("1 / RUNNING_VMS"));
}

#[test]
fn the_nodes_that_one_vm_asks_for_are_no_matter_of_another() {
    let large = || vm(1, &[1]).cpu("20").template(&topology("", &[10, 10]));
    let unpinned = || Host { template: String::new(), ..nodes(&[8, 8]) }.cpu(1600, 0);
    let hosts = || [unpinned(), host(2).cpu(1600, 0)];
    let beside = |one: Vm| request(&hosts(), &[large(), one, vm(3, &[2])]);
    let case = |what, one: Vm, right: Option<i32>, told| Situation {
        what,
        request: beside(one),
        right: match right {
            Some(_) => &[(1, None), (2, Some(2)), (3, Some(2))],
            None => &[(1, None), (2, None), (3, Some(2))],
        },
        told,
        warned: &[],
    };
    let cpu: &[_] = &[(1, "needs 20 cores; its only candidate, host 1, node1, has 16")];
    let odd: &[_] = &[(2, "needs NUMA nodes (it has NUMA_NODE, though no PIN_POLICY); host 2, node2 reports none")];
    // what oned makes of a VM without pinning: a topology, and no nodes
    let shape = "<CORES>2</CORES><SOCKETS>2</SOCKETS><THREADS>1</THREADS>";
    all(vec![
        case("plain", vm(2, &[2]), Some(2), cpu),
        case("a topology for show", vm(2, &[2]).template(&format!("<TOPOLOGY>{shape}</TOPOLOGY>")), Some(2), cpu),
        case(
            "the same, with its policy",
            vm(2, &[2]).template(&format!("<TOPOLOGY>{shape}<PIN_POLICY>NONE</PIN_POLICY></TOPOLOGY>")),
            Some(2),
            cpu,
        ),
        // oned itself refuses to deploy it there: HostShareNUMA looks for the nodes whatever the policy is
        case("nodes without a policy", vm(2, &[2]).template(&topology(shape, &[1, 1])), None, odd),
        case(
            "hugepages without pinning, where there are none",
            vm(2, &[2]).template(&topology("<HUGEPAGE_SIZE>2</HUGEPAGE_SIZE>", &[1])),
            None,
            &[(2, "needs NUMA nodes; host 2, node2 reports none")],
        ),
    ]);
    // where there are nodes, they are used
    let there = request(&[unpinned()], &[vm(2, &[1]).template(&topology(shape, &[1, 1]))]);
    assert_eq!(there.decide().host(2), Some(1));
}

/// TOPOLOGY, and a NUMA_NODE of 512 MiB for each number of CPUs.
fn topology(inside: &str, cpus: &[u32]) -> String {
    let node = |cpus: &u32| format!("<NUMA_NODE><TOTAL_CPUS>{cpus}</TOTAL_CPUS><MEMORY>524288</MEMORY></NUMA_NODE>");
    format!("<TOPOLOGY><THREADS>1</THREADS>{inside}</TOPOLOGY>{}", cpus.iter().map(node).collect::<String>())
}

#[test]
fn a_node_that_is_too_wide_is_told_how_many_would_do() {
    let case = |what, cores: &[usize], cpus, told| Situation {
        what,
        request: request(&[nodes(cores)], &[pinned(1, "<PIN_POLICY>THREAD</PIN_POLICY>", cpus, 1024)]),
        right: &[(1, None)],
        told,
        warned: &[],
    };
    all(vec![
        case("two", &[4, 4], 8, &[(1, "has at most 4 in a node; SOCKETS = 2 would do")]),
        case("three", &[4, 4, 4], 12, &[(1, "has at most 4 in a node; SOCKETS = 3 would do")]),
        case("nodes that differ", &[4, 2], 6, &[(1, "has at most 4 in a node (node 0)")]),
    ]);
}

#[test]
fn as_many_nics_as_there_are_networks() {
    let wide = |nics: i32, nets: i32| {
        let nets: Vec<i32> = (1..=nets).collect();
        let one = (0..nics).fold(vm(1, &[1, 2]), |one, nic| one.auto_nic(nic, &nets));
        let made = request(&[host(1), host(2)], &[one, vm(2, &[1, 2])]);
        nets.iter().fold(made, |made, &net| made.vnet(vnet(net, &[0], &[10], 0)))
    };
    let case = |what, request, right, told| Situation { what, request, right, told, warned: &[] };
    all(vec![
        case("as many", wide(30, 30), &[(1, Some(1)), (2, Some(2))], &[]),
        case(
            "one more",
            wide(31, 30),
            &[(1, None), (2, Some(1))],
            &[(
                1,
                "needs 31 different networks; the nearest of 2 candidate hosts is host 1, node1: its cluster has 30",
            )],
        ),
        case("far more", wide(64, 3), &[(1, None), (2, Some(1))], &[(1, "needs 64 different networks")]),
        // enough networks, but two NICs may use only the same one
        case(
            "the same for two",
            request(&[host(1)], &[vm(1, &[1]).auto_nic(0, &[1]).auto_nic(1, &[1]).auto_nic(2, &[1, 2, 3])])
                .vnet(vnet(1, &[0], &[10], 0))
                .vnet(vnet(2, &[0], &[10], 0))
                .vnet(vnet(3, &[0], &[10], 0)),
            &[(1, None)],
            &[(1, "needs 3 different networks; cannot go to its only candidate, host 1, node1: too few of its 3")],
        ),
    ]);
}

/// What `explain` says of each host is what the VM that waits is told: what is left after the batch.
#[test]
fn the_hosts_of_an_explanation_stand_as_the_batch_leaves_them() {
    let explained = |made: &Request, vm: i32| {
        let policy = Policy::default();
        let decided = decide::place(made.xml().into_bytes(), &policy).unwrap();
        let found = decided.explain(oneaio::model::ids::VmId(vm), &policy).unwrap();
        found.hosts.into_iter().map(|host| host.verdict.err().unwrap_or_default()).collect::<Vec<_>>().join("; ")
    };
    let thread = "<PIN_POLICY>THREAD</PIN_POLICY>";
    let full = request(&[nodes(&[4])], &[pinned(1, thread, 3, 1024), pinned(2, thread, 3, 1024)]);
    assert!(explained(&full, 2).contains("NUMA: it has at most 1 free in a node (node 0)"), "{}", explained(&full, 2));
    let asks = |id: i32| vm(id, &[1]).template("<PCI><VENDOR>10de</VENDOR><DEVICE>20b5</DEVICE></PCI>");
    let devices = gpus(&[("81:00:0", -1)]);
    let full = request(&[host(1).share(&devices)], &[asks(1), asks(2)]);
    assert!(explained(&full, 2).contains("VM 1 holds 1"), "{}", explained(&full, 2));
    // one that is flagged RESCHED and cannot leave is met where it is
    let stuck = [vm(9, &[2]).resched(3, 0).group(5, "a"), vm(1, &[1]).group(5, "a")];
    let stuck = request(&[host(1), host(2).cpu(800, 800), host(3).vms(&[9])], &stuck);
    let stuck = stuck.group(group(5, &[("a", "AFFINED", "1,9", "")], ""));
    assert!(explained(&stuck, 1).contains("affinity: it must join VM 9 on host 3"), "{}", explained(&stuck, 1));
}

/// Equal requests in another order of VMs, hosts and rules give equal plans and equal words.
#[test]
fn reasons_do_not_depend_on_the_order_of_the_document() {
    let vms: Vec<Vm> =
        (1..=6).map(|id| vm(id, &[1, 2]).cpu("3").group(7, if id % 2 == 0 { "a" } else { "b" })).collect();
    let made = |vms: Vec<Vm>, hosts: [Host; 2]| -> Decision {
        let rules = "<ANTI_AFFINED>a,b</ANTI_AFFINED>";
        request(&hosts, &vms).group(group(7, &[("a", "NONE", "2,4,6", ""), ("b", "NONE", "1,3,5", "")], rules)).decide()
    };
    let one = made(vms.clone(), [host(1), host(2)]);
    let other = made(vms.into_iter().rev().collect(), [host(2), host(1)]);
    for id in 1..=6 {
        assert_eq!((one.host(id), one.refusal(id)), (other.host(id), other.refusal(id)));
    }
}

/// With the decision taken apart, what tipped it is a resource; energy only where hosts differ in it.
#[test]
fn energy_tips_nothing_where_nobody_tells_of_it() {
    let tipped = |hosts: &[Host]| {
        let xml = request(hosts, &[vm(1, &[1, 2, 3]).cpu("2")]).xml();
        let policy = Policy { s_green: 1.0, ..Policy::default() };
        let decided = decide::place(xml.into_bytes(), &policy).unwrap();
        decided.explain(oneaio::model::ids::VmId(1), &policy).unwrap().tipped
    };
    let busy = |id: i32, cpu: i64| host(id).cpu(800, cpu).vms(&[id + 80]).sample(1_795_444_863, cpu, 1 << 20);
    let plain = tipped(&[busy(1, 600), busy(2, 100)]);
    assert!(plain.starts_with("cpu: "), "{plain}");
    let green = |host: Host, share: &str| host.template("ENERGY_RENEWABLE", share);
    let told = tipped(&[green(busy(1, 100), "NO"), green(busy(2, 100), "YES"), green(busy(3, 100), "NO")]);
    assert!(told.starts_with("energy: "), "{told}");
    let alike = tipped(&[green(busy(1, 600), "NO"), green(busy(2, 100), "NO")]);
    assert!(alike.starts_with("cpu: "), "{alike}");
}

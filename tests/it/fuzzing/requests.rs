//! Tight requests by random choices: little room, and every kind of rule at once. Groups,
//! NUMA nodes, PCI devices, networks, CURRENT_VMS, RESCHED and resumed VMs, shared and local
//! datastores; to be placed, or to be optimized.

use super::draw::Draw;
use crate::support::cluster::{Cluster, Resident, cluster, resident};
use crate::support::request::{Host, Request, Vm, datastore, group, host, request, running, vm, vnet};
use oneaio::decide;
use oneaio::model::history::Recall;
use oneaio::model::plan::Plan;
use oneaio::model::policy::Policy;
use oneaio::placement::check;

/// A request to place VMs.
pub fn placement(draw: &mut Draw<'_>) -> Request {
    let hosts: Vec<Host> = (1..=draw.within(1, 6) as i32).map(|id| tight_host(id, draw)).collect();
    let ids: Vec<i32> = hosts.iter().map(|host| host.id).collect();
    let networks = draw.below(4) as i32;
    let mut vms: Vec<Vm> = Vec::new();
    let mut here: Vec<Vec<i32>> = vec![Vec::new(); hosts.len()];
    for id in 1..=draw.within(1, 12) as i32 {
        let mut one = asked(vm(id, &draw.some(&ids)), draw);
        match draw.below(10) {
            0 => {
                let from = draw.below(hosts.len());
                here[from].push(id);
                one = steady(one.resched(ids[from], 0));
            }
            1 => {
                // stopped or undeployed, its disks lie where it ran
                let action = *draw.pick(&[5, 6, 9]);
                one = Vm { history: Some((*draw.pick(&ids), 0, action)), ..one };
            }
            2 => {
                let from = draw.below(hosts.len());
                here[from].push(id);
                one = steady(running(id, ids[from]));
            }
            _ => {}
        }
        for nic in 0..draw.below(4) as i32 {
            if networks > 0 && !one.resched && one.hosts.is_some() && draw.rarely(2) {
                let serving: Vec<i32> = (0..networks).collect();
                one = one.auto_nic(nic, &draw.some(&serving));
            }
        }
        vms.push(one);
    }
    let groups = grouped(&mut vms, &ids, draw);
    for one in &mut vms {
        if draw.rarely(6) {
            let other = draw.within(1, 14);
            let text = match draw.below(4) {
                0 => format!("CURRENT_VMS = {other}"),
                1 => format!("CURRENT_VMS != {other}"),
                2 => format!("!(CURRENT_VMS = {other}) & !(CURRENT_VMS = {})", draw.within(1, 14)),
                _ => format!("CURRENT_VMS = {other} | CURRENT_VMS = {}", draw.within(1, 14)),
            };
            *one = one.clone().user("SCHED_REQUIREMENTS", &text);
        }
        if draw.rarely(6) {
            let rank = draw.word(&["FREE_CPU", "-RUNNING_VMS", "FREE_MEMORY / RUNNING_VMS", "1 / 0", "X", "("]);
            *one = one.clone().user("SCHED_RANK", rank);
        }
    }
    let hosts: Vec<Host> = hosts.into_iter().zip(&here).map(|(host, vms)| host.vms(vms)).collect();
    let mut made = request(&hosts, &vms);
    made.datastores = vec![datastore(0, 1, &[0, 1], *draw.pick(&[1_000_000, 3_000, 500]), "")];
    made = made.datastore(datastore(1, 1, &[0, 1], draw.within(0, 9_000), "<SHARED>NO</SHARED>"));
    for id in 0..networks {
        made = made.vnet(vnet(id, &draw.some(&[0, 1]), &[draw.within(0, 4)], draw.within(0, 2)));
    }
    groups.into_iter().fold(made, Request::group)
}

/// Running, as oned says it of VMs that it would move.
fn steady(mut one: Vm) -> Vm {
    one.more.push_str("<LCM_STATE>3</LCM_STATE>");
    one
}

/// Size, disks, devices and NUMA nodes of a VM.
fn asked(mut one: Vm, draw: &mut Draw<'_>) -> Vm {
    one = one.cpu(draw.word(&["0.5", "1", "1", "2", "3", "4", "8"])).memory(*draw.pick(&[256, 1024, 1024, 4096, 9000]));
    if draw.rarely(3) {
        one = one.datastores(&draw.some(&[0, 1]));
    }
    if draw.rarely(3) {
        one = one.disk(draw.within(0, 2_000), draw.word(&["SYSTEM", "SELF"]), 0);
    }
    if draw.rarely(5) {
        one = one.template("<PCI><VENDOR>10de</VENDOR></PCI>");
    }
    if draw.rarely(5) {
        let policy = draw.word(&["CORE", "THREAD", "SHARED"]);
        let nodes: String = (0..draw.within(1, 2))
            .map(|_| {
                let kib = draw.within(1, 4) * 262_144;
                format!("<NUMA_NODE><TOTAL_CPUS>{}</TOTAL_CPUS><MEMORY>{kib}</MEMORY></NUMA_NODE>", draw.within(1, 3))
            })
            .collect();
        one = one.template(&format!("<TOPOLOGY><PIN_POLICY>{policy}</PIN_POLICY></TOPOLOGY>{nodes}"));
    }
    one
}

fn tight_host(id: i32, draw: &mut Draw<'_>) -> Host {
    let mut one = host(id)
        .cluster(draw.below(2) as i32)
        .cpu(800, draw.within(0, 7) * 100)
        .memory(16 << 20, draw.within(0, 14) << 20);
    if draw.rarely(2) {
        let devices: String = (0..draw.within(1, 3))
            .map(|device| {
                let holder = if draw.rarely(3) { 99 } else { -1 };
                format!(
                    "<PCI><ADDRESS>0000:0{device}:00:0</ADDRESS><SHORT_ADDRESS>0{device}:00.0</SHORT_ADDRESS>\
                     <VENDOR>10de</VENDOR><VMID>{holder}</VMID></PCI>"
                )
            })
            .collect();
        one = one.share(&format!("<PCI_DEVICES>{devices}</PCI_DEVICES>"));
    }
    if draw.rarely(2) {
        let nodes: String = (0..draw.within(1, 2))
            .map(|node| {
                let cores: String = (0..draw.within(1, 4))
                    .map(|core| {
                        let cpu = node * 16 + core * 2;
                        let holder = if draw.rarely(4) { 99 } else { -1 };
                        format!("<CORE><ID>{core}</ID><CPUS>{cpu}:{holder},{}:-1</CPUS></CORE>", cpu + 1)
                    })
                    .collect();
                format!(
                    "<NODE><NODE_ID>{node}</NODE_ID>{cores}<MEMORY><TOTAL>{}</TOTAL><USAGE>{}</USAGE></MEMORY></NODE>",
                    8 << 20,
                    draw.within(0, 7) << 20
                )
            })
            .collect();
        one = one.share(&format!("<NUMA_NODES>{nodes}</NUMA_NODES>")).template("PIN_POLICY", "PINNED");
    }
    if draw.rarely(3) {
        one = one.sample(1_795_444_863, draw.within(0, 900), draw.within(0, 16) << 20);
    }
    one
}

/// Puts some VMs into the roles of up to two groups.
fn grouped(vms: &mut [Vm], hosts: &[i32], draw: &mut Draw<'_>) -> Vec<String> {
    let mut groups = Vec::new();
    for id in 1..=draw.below(3) as i32 {
        let mut members: [Vec<String>; 2] = [Vec::new(), Vec::new()];
        for one in vms.iter_mut().filter(|one| !one.template.contains("VMGROUP")) {
            if draw.rarely(2) {
                let role = draw.below(2);
                members[role].push(one.id.to_string());
                *one = one.clone().group(id, ["a", "b"][role]);
            }
        }
        let policies = ["AFFINED", "ANTI_AFFINED", "NONE"];
        let more = match draw.below(4) {
            0 => format!("<HOST_AFFINED>{}</HOST_AFFINED>", draw.pick(hosts)),
            1 => format!("<HOST_ANTI_AFFINED>{}</HOST_ANTI_AFFINED>", draw.pick(hosts)),
            _ => String::new(),
        };
        let rules = draw.word(&["", "", "<AFFINED>a,b</AFFINED>", "<ANTI_AFFINED>a,b</ANTI_AFFINED>"]);
        let roles = [
            ("a", *draw.pick(&policies), members[0].join(","), more.as_str()),
            ("b", *draw.pick(&policies), members[1].join(","), ""),
        ];
        let roles: Vec<(&str, &str, &str, &str)> =
            roles.iter().map(|(name, policy, vms, more)| (*name, *policy, vms.as_str(), *more)).collect();
        groups.push(group(id, &roles, rules));
    }
    groups
}

/// Optimizes; the plan is lawful, and the judge has dropped nothing of it.
pub fn lawful(cluster: &Cluster) -> Plan {
    let snapshot = decide::read(cluster.request().xml().into_bytes()).expect("a readable request");
    let policy = Policy::default();
    let optimized = decide::optimize(snapshot, None, &Recall::default(), &policy).expect("a cluster");
    let of = &optimized.snapshot.clusters[0];
    let found = check::migration_breaches(&optimized.snapshot, of, &optimized.migrated.plan, &of.drs.over(&policy));
    assert!(found.is_empty(), "the plan breaks a rule: {found:?}");
    assert!(optimized.dropped.is_empty(), "{:?}", optimized.dropped);
    optimized.migrated.plan
}

/// A cluster to be optimized.
pub fn optimization(draw: &mut Draw<'_>) -> Cluster {
    let hosts = draw.within(2, 6) as i32;
    let mut residents: Vec<Resident> = Vec::new();
    for id in 1..=draw.within(2, 16) as i32 {
        let on = draw.within(1, i64::from(hosts)) as i32;
        let cores = draw.word(&["0.5", "1", "2", "4"]);
        let mut one = resident(id, on, cores, draw.within(0, 400) as f64).memory(*draw.pick(&[256, 1024, 4096]));
        match draw.below(8) {
            0 => one = one.change(|vm| vm.user("ONEDRS_BLOCKED", "YES")),
            1 => one.vm.hosts = Some(Vec::new()),
            2 => one.vm.resched = true,
            _ => {}
        }
        residents.push(one.change(steady));
    }
    let mut made = cluster(hosts, &residents);
    for host in &mut made.hosts {
        host.cpu.0 = *draw.pick(&[400, 800, 800, 1600]);
        host.state = if draw.rarely(10) { 4 } else { 2 };
    }
    if draw.rarely(2) {
        let mut vms: Vec<Vm> = made.residents.iter().map(|one| one.vm.clone()).collect();
        let ids: Vec<i32> = (1..=hosts).collect();
        made.groups = grouped(&mut vms, &ids, draw);
        made.residents.iter_mut().zip(vms).for_each(|(one, vm)| one.vm = vm);
    }
    if draw.rarely(2) {
        made = made.drs("POLICY", draw.word(&["balance", "pack"]));
    }
    if draw.rarely(2) {
        made = made.drs("MIGRATION_THRESHOLD", draw.word(&["-1", "0", "1", "3"]));
    }
    if draw.rarely(2) {
        made = made.drs("MINIMUM_GAIN", draw.word(&["0", "0.01", "0.1"]));
    }
    made
}

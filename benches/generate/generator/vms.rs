//! Writes `VM_POOL`: pending VMs, and running members of VM groups with their monitoring.

use std::io::{self, Write};

use super::cloud::{Cloud, Host};
use super::demand::{Choice, Nic, Special, Vm, Wish};
use super::hosts::host_name;
use super::pools::address;
use super::random::Random;
use super::shape::{IMAGE_DS, NOW, SHARED_DS};
use super::xml::{Xml, data, plain};

pub fn write<W: Write>(xml: &mut Xml<W>, cloud: &Cloud) -> io::Result<()> {
    let mut random = Random::new(!cloud.seed);
    cloud.vms.iter().try_for_each(|vm| xml.inside("VM", |x| write_vm(x, cloud, vm, &mut random)))
}

fn write_vm<W: Write>(x: &mut Xml<W>, cloud: &Cloud, vm: &Vm, random: &mut Random) -> io::Result<()> {
    let name = format!("s-vm{:04}", vm.id);
    let host = vm.running_on.map(|index| &cloud.hosts[index]);
    let (state, lcm, previous) = if host.is_some() { (3, 3, 3) } else { (1, 0, 1) };
    x.owned(vm.id, &name, 0)?;
    plain!(x; LAST_POLL: host.map_or(0, |_| NOW), STATE: state, LCM_STATE: lcm,
        PREV_STATE: previous, PREV_LCM_STATE: lcm, RESCHED: 0,
        STIME: NOW - 9 + u64::from(random.below(5)), ETIME: 0)?;
    x.plain("DEPLOY_ID", host.map(|host| format!("{}:{name}:dummy", host_name(host))).unwrap_or_default())?;
    x.inside("MONITORING", |x| if host.is_some() { write_monitoring(x, vm, random) } else { Ok(()) })?;
    x.inside("SCHED_ACTIONS", |_| Ok(()))?;
    x.inside("TEMPLATE", |x| write_template(x, cloud, vm, random))?;
    x.inside("USER_TEMPLATE", |x| write_user_template(x, cloud, vm, random))?;
    match host {
        Some(host) => x.inside("HISTORY_RECORDS", |x| write_history(x, cloud, vm, host))?,
        None => x.empty("HISTORY_RECORDS")?,
    }
    x.inside("BACKUPS", |x| {
        x.empty("BACKUP_CONFIG")?;
        x.inside("BACKUP_IDS", |_| Ok(()))
    })
}

/// Attributes in alphabetical order, as oned keeps them.
fn write_template<W: Write>(x: &mut Xml<W>, cloud: &Cloud, vm: &Vm, random: &mut Random) -> io::Result<()> {
    let served = cloud.cluster_list(" | ", |id| format!("\"CLUSTERS/ID\" @> {id}"));
    let clusters = cloud.cluster_list(" | ", |id| format!("CLUSTER_ID = {id}"));
    let pinned = if vm.wish == Wish::Pinned { "" } else { "!" };
    data!(x; AUTOMATIC_DS_REQUIREMENTS: format_args!("({served})"),
        AUTOMATIC_NIC_REQUIREMENTS: format_args!("({served})"),
        AUTOMATIC_REQUIREMENTS: format_args!("({clusters}) & {pinned}(PIN_POLICY = PINNED)"),
        CPU: f64::from(vm.size.cpu) / 100.0)?;
    write_disks(x, cloud, random)?;
    data!(x; MEMORY: vm.size.memory_mb)?;
    write_nic(x, cloud, vm)?;
    write_numa_nodes(x, vm)?;
    x.inside("OS", |x| x.data("UUID", random.uuid()))?;
    write_device_request(x, vm)?;
    if !matches!(vm.nic, Nic::None) {
        write_security_rules(x)?;
    }
    data!(x; SUBMIT_ON_HOLD: "YES")?;
    if vm.running_on.is_some() {
        data!(x; TM_MAD_SYSTEM: "shared")?;
    }
    write_topology(x, vm)?;
    data!(x; VCPU: vm.size.cpu.div_ceil(100))?;
    if let Some((group, role)) = vm.role {
        x.inside("VMGROUP", |x| data!(x; ROLE: role, VMGROUP_ID: group))?;
    }
    x.data("VMID", vm.id)
}

/// The image disk; a few VMs also have a swap disk or a persistent data disk.
fn write_disks<W: Write>(x: &mut Xml<W>, cloud: &Cloud, random: &mut Random) -> io::Result<()> {
    write_image_disk(x, cloud, 0, false)?;
    match random.below(100) {
        0..3 => x.inside("DISK", |x| data!(x; DEV_PREFIX: "sd", DISK_ID: 1, SIZE: 1024, TARGET: "sdb", TYPE: "swap")),
        3 => write_image_disk(x, cloud, 1, true),
        _ => Ok(()),
    }
}

fn write_image_disk<W: Write>(x: &mut Xml<W>, cloud: &Cloud, disk: u32, persistent: bool) -> io::Result<()> {
    let (image, image_id, size) = if persistent { ("s-db", 3, 40_960) } else { ("s-os", 2, 10_240) };
    let (clone, save) = if persistent { ("NO", "YES") } else { ("YES", "NO") };
    x.inside("DISK", |x| {
        data!(x; ALLOW_ORPHANS: "FORMAT", CLONE: clone, CLONE_TARGET: "SYSTEM",
            CLUSTER_ID: cloud.cluster_list(",", u32::to_string), DATASTORE: "s-img",
            DATASTORE_ID: IMAGE_DS, DEV_PREFIX: "sd", DISK_ID: disk, DISK_SNAPSHOT_TOTAL_SIZE: 0,
            DISK_TYPE: "FILE", DRIVER: "raw", FORMAT: "raw", IMAGE: image, IMAGE_ID: image_id,
            IMAGE_STATE: 2, LN_TARGET: "NONE", ORIGINAL_SIZE: size)?;
        if persistent {
            data!(x; PERSISTENT: "YES")?;
        }
        data!(x; PERSISTENT_SNAPSHOTS: "YES", READONLY: "NO", SAVE: save, SIZE: size,
            SOURCE: "dummy_path", TARGET: ["sda", "sdb"][disk as usize], TM_MAD: "shared",
            TYPE: "FILE")
    })
}

fn write_nic<W: Write>(x: &mut Xml<W>, cloud: &Cloud, vm: &Vm) -> io::Result<()> {
    match vm.nic {
        Nic::None => Ok(()),
        Nic::Fixed(lease) => x.inside("NIC", |x| {
            let (ip, mac) = address(20, lease);
            data!(x; AR_ID: 0, BRIDGE: "br0", BRIDGE_TYPE: "linux",
                CLUSTER_ID: cloud.cluster_list(",", u32::to_string), IP: ip, MAC: mac,
                NAME: "NIC0", NETWORK: "s-net", NETWORK_ID: 4, NIC_ID: 0, SECURITY_GROUPS: 0,
                TARGET: format_args!("one-{}-0", vm.id), VN_MAD: "dummy")
        }),
        Nic::Auto(choice) => x.inside("NIC", |x| {
            data!(x; NAME: "NIC0", NETWORK_MODE: "auto", NIC_ID: 0)?;
            match choice {
                Choice::Any => Ok(()),
                Choice::Gold => x.data("SCHED_REQUIREMENTS", "TIER=\"gold\""),
                Choice::LeastUsed => x.data("SCHED_RANK", "-USED_LEASES"),
            }
        }),
    }
}

fn write_security_rules<W: Write>(x: &mut Xml<W>) -> io::Result<()> {
    ["OUTBOUND", "INBOUND"].iter().try_for_each(|direction| {
        x.inside("SECURITY_GROUP_RULE", |x| {
            data!(x; PROTOCOL: "ALL", RULE_TYPE: direction, SECURITY_GROUP_ID: 0,
                SECURITY_GROUP_NAME: "default")
        })
    })
}

/// The VM's virtual NUMA nodes: memory in KB and threads of each.
fn write_numa_nodes<W: Write>(x: &mut Xml<W>, vm: &Vm) -> io::Result<()> {
    let (nodes, memory, cpus) = match vm.special {
        Special::Cores => (1, 4_194_304, 4),
        Special::ThreadsAndGpu => (2, 2_097_152, 2),
        Special::HugePagesAndGpu => (1, 2_097_152, 2),
        Special::None | Special::Gpu | Special::Address => (0, 0, 0),
    };
    (0..nodes).try_for_each(|_| x.inside("NUMA_NODE", |x| data!(x; MEMORY: memory, TOTAL_CPUS: cpus)))
}

fn write_topology<W: Write>(x: &mut Xml<W>, vm: &Vm) -> io::Result<()> {
    let (policy, sockets) = match vm.special {
        Special::Cores => ("CORE", 1),
        Special::ThreadsAndGpu => ("THREAD", 2),
        Special::HugePagesAndGpu => ("SHARED", 1),
        Special::None | Special::Gpu | Special::Address => return Ok(()),
    };
    x.inside("TOPOLOGY", |x| {
        if policy == "SHARED" {
            data!(x; HUGEPAGE_SIZE: 2, PIN_POLICY: policy, SOCKETS: sockets)?;
        } else {
            data!(x; CORES: 2, PIN_POLICY: policy, SOCKETS: sockets, THREADS: 3 - sockets)?;
        }
        Ok(())
    })
}

fn write_device_request<W: Write>(x: &mut Xml<W>, vm: &Vm) -> io::Result<()> {
    match vm.special {
        Special::None | Special::Cores => Ok(()),
        Special::Address => x.inside("PCI", |x| data!(x; PCI_ID: 0, SHORT_ADDRESS: "81:00.1", VM_BUS: "0x01")),
        Special::Gpu | Special::ThreadsAndGpu | Special::HugePagesAndGpu => {
            x.inside("PCI", |x| data!(x; CLASS: "0302", DEVICE: "20b5", PCI_ID: 0, VENDOR: "10de", VM_BUS: "0x01"))
        }
    }
}

/// What the user asked for; most have nothing here.
fn write_user_template<W: Write>(x: &mut Xml<W>, cloud: &Cloud, vm: &Vm, random: &mut Random) -> io::Result<()> {
    if random.chance(1) {
        data!(x; DEADLINE: "2026-12-01T00:00:00", FLAVOURS: "batch")?;
    } else if random.chance(20) {
        data!(x; FLAVOURS: random.pick(&["nginx", "nginx,web", "postgres", "batch"]))?;
    }
    if vm.wish == Wish::SharedDisk {
        data!(x; SCHED_DS_RANK: "-FREE_MB",
            SCHED_DS_REQUIREMENTS: format_args!("ID=\"{SHARED_DS}\""))?;
    }
    if vm.running_on.is_none() && random.chance(1) {
        data!(x; SCHED_MESSAGE: "Mon Nov 23 14:25:24 2026: Cannot dispatch VM: \
            No system datastores found to run VMs")?;
    }
    if random.chance(14) {
        data!(x; SCHED_RANK: random.pick(&["FREE_CPU", "FREE_CPU", "-RUNNING_VMS"]))?;
    }
    match vm.wish {
        Wish::LowCarbon => x.data("SCHED_REQUIREMENTS", "CARBON_INTENSITY < 400"),
        Wish::Rack => x.data("SCHED_REQUIREMENTS", "RACK=\"a\""),
        Wish::FirstCluster => x.data("SCHED_REQUIREMENTS", format_args!("CLUSTER_ID=\"{}\"", cloud.clusters[0])),
        Wish::Anywhere | Wish::SharedDisk | Wish::Pinned => Ok(()),
    }
}

/// The last sample with its forecasts: CPU in percent of a core, memory in KB.
fn write_monitoring<W: Write>(x: &mut Xml<W>, vm: &Vm, random: &mut Random) -> io::Result<()> {
    let share = f64::from(20 + random.below(60)) / 100.0;
    write_rate(x, "CPU", f64::from(vm.size.cpu) * share, 2)?;
    for (counter, scale) in [("DISKRDBYTES", 4096), ("DISKRDIOPS", 1), ("DISKWRBYTES", 4096), ("DISKWRIOPS", 1)] {
        write_counter(x, counter, scale, random)?;
    }
    data!(x; ID: vm.id)?;
    write_rate(x, "MEMORY", f64::from(vm.size.memory_mb) * 1024.0 * share, 0)?;
    write_counter(x, "NETRX", 4096, random)?;
    write_counter(x, "NETTX", 4096, random)?;
    x.data("TIMESTAMP", NOW)
}

/// A counter since the VM's start, and its rate per second over the last 30 s.
fn write_counter<W: Write>(x: &mut Xml<W>, tag: &str, scale: u32, random: &mut Random) -> io::Result<()> {
    let count = scale * (1500 + random.below(5000));
    x.data(tag, count)?;
    write_rate(x, &format!("{tag}_BW"), f64::from(count) / 30.0, 2)
}

/// A value and what it is expected to be soon and later.
fn write_rate<W: Write>(x: &mut Xml<W>, tag: &str, value: f64, digits: usize) -> io::Result<()> {
    for (suffix, factor) in [("", 1.0), ("_FORECAST", 1.1), ("_FORECAST_FAR", 1.21)] {
        x.data(&format!("{tag}{suffix}"), format_args!("{:.digits$}", value * factor))?;
    }
    Ok(())
}

/// The one history record of a VM that was deployed a minute ago.
fn write_history<W: Write>(x: &mut Xml<W>, cloud: &Cloud, vm: &Vm, host: &Host) -> io::Result<()> {
    let start = NOW - 60;
    x.inside("HISTORY", |x| {
        plain!(x; OID: vm.id, SEQ: 0, HOSTNAME: host_name(host), HID: host.id,
            CID: cloud.clusters[host.cluster as usize], STIME: start, ETIME: 0)?;
        data!(x; VM_MAD: "dummy", TM_MAD: "shared")?;
        plain!(x; DS_ID: SHARED_DS, PLAN_ID: -1, ACTION_ID: 0, PSTIME: start, PETIME: start,
            RSTIME: start, RETIME: 0, ESTIME: 0, EETIME: 0, ACTION: 0, UID: -1, GID: -1,
            REQUEST_ID: -1)
    })
}

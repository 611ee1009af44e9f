//! Writes `HOST_POOL`: capacity and use, devices, template, monitoring with forecasts.

use std::io::{self, Write};

use super::cloud::{Cloud, Host, KB_PER_CORE, Kind};
use super::random::Random;
use super::shape::{LOCAL_DS, NOW};
use super::xml::{Xml, data, plain, six_digits};

/// Special hosts: two NUMA nodes with four cores of two threads and 32 GB each.
const NODES: u32 = 2;
const NODE_CORES: u32 = 4;
const NODE_KB: u32 = 33_554_432;
/// Huge page sizes in KB; each node has this many pages of each.
const PAGE_SIZES: [u32; 2] = [2048, 1_048_576];
const PAGES: u32 = 1024;

pub fn write<W: Write>(xml: &mut Xml<W>, cloud: &Cloud) -> io::Result<()> {
    let mut random = Random::new(cloud.seed);
    cloud.hosts.iter().try_for_each(|host| xml.inside("HOST", |x| write_host(x, cloud, host, &mut random)))
}

fn write_host<W: Write>(x: &mut Xml<W>, cloud: &Cloud, host: &Host, random: &mut Random) -> io::Result<()> {
    plain!(x; ID: host.id, NAME: host_name(host), STATE: 2, PREV_STATE: 2)?;
    data!(x; IM_MAD: "dummy", VM_MAD: "dummy")?;
    let cluster = cloud.clusters[host.cluster as usize];
    plain!(x; CLUSTER_ID: cluster, CLUSTER: format_args!("s-cl{}", host.cluster))?;
    x.inside("HOST_SHARE", |x| write_share(x, host))?;
    x.ids("VMS", host.running.iter().map(|(id, _)| *id))?;
    x.inside("TEMPLATE", |x| write_template(x, host))?;
    x.inside("MONITORING", |x| write_monitoring(x, host, random))?;
    x.inside("CLUSTER_TEMPLATE", |x| {
        data!(x; CARBON_INTENSITY: 100 * (1 + host.cluster % 6))?;
        if host.cluster == 0 {
            data!(x; ENERGY_RENEWABLE: "YES")?;
        }
        data!(x; RESERVED_CPU: "", RESERVED_MEM: "")
    })
}

pub fn host_name(host: &Host) -> String {
    format!("s-h{:04}", host.id)
}

fn memory_kb(host: &Host) -> u64 {
    u64::from(host.cores) * u64::from(KB_PER_CORE)
}

fn write_share<W: Write>(x: &mut Xml<W>, host: &Host) -> io::Result<()> {
    let (cpu, memory) = (100 * host.cores, memory_kb(host));
    plain!(x; MEM_USAGE: 1024 * u64::from(host.memory_usage_mb()), CPU_USAGE: host.cpu_usage(),
        TOTAL_MEM: memory, TOTAL_CPU: cpu, MAX_MEM: memory, MAX_CPU: cpu,
        RUNNING_VMS: host.running.len(), VMS_THREAD: 1)?;
    x.inside("DATASTORES", |x| {
        data!(x; DISK_USAGE: 0)?;
        x.inside("DS", |x| {
            data!(x; FREE_MB: host.local_mb - host.local_used_mb, ID: LOCAL_DS,
                TOTAL_MB: host.local_mb, USED_MB: host.local_used_mb)
        })?;
        data!(x; FREE_DISK: 195_080, MAX_DISK: 204_800, USED_DISK: 9720)
    })?;
    let special = host.kind != Kind::Plain;
    x.inside("PCI_DEVICES", |x| if special { write_devices(x) } else { Ok(()) })?;
    x.inside("NUMA_NODES", |x| if special { write_nodes(x) } else { Ok(()) })
}

/// A GPU with four functions, and a USB controller.
fn write_devices<W: Write>(x: &mut Xml<W>) -> io::Result<()> {
    let gpu = Model {
        bus: "81",
        slot: "00",
        class: ["0302", "3D controller"],
        device: ["20b5", "GA100 [A100 PCIe 80GB]"],
        vendor: ["10de", "NVIDIA Corporation"],
    };
    let usb = Model {
        bus: "00",
        slot: "06",
        class: ["0c03", "USB controller"],
        device: ["0aa7", "OHCI USB"],
        vendor: ["1b21", "ASMedia Technology Inc."],
    };
    (0..4).try_for_each(|function| gpu.write(x, function, function % NODES))?;
    usb.write(x, 0, 1)
}

/// A kind of PCI device; class, device and vendor with their names.
struct Model {
    bus: &'static str,
    slot: &'static str,
    class: [&'static str; 2],
    device: [&'static str; 2],
    vendor: [&'static str; 2],
}

impl Model {
    fn write<W: Write>(&self, x: &mut Xml<W>, function: u32, node: u32) -> io::Result<()> {
        let Self { bus, slot, class, device, vendor } = self;
        x.inside("PCI", |x| {
            data!(x; ADDRESS: format_args!("0000:{bus}:{slot}:{function}"), BUS: bus,
                CLASS: class[0], CLASS_NAME: class[1], DEVICE: device[0], DEVICE_NAME: device[1],
                DOMAIN: "0000", FUNCTION: function, NUMA_NODE: node,
                SHORT_ADDRESS: format_args!("{bus}:{slot}.{function}"), SLOT: slot,
                TYPE: format_args!("{}:{}:{}", vendor[0], device[0], class[0]),
                VENDOR: vendor[0], VENDOR_NAME: vendor[1], VMID: -1)
        })
    }
}

/// Free NUMA nodes.
fn write_nodes<W: Write>(x: &mut Xml<W>) -> io::Result<()> {
    (0..NODES).try_for_each(|node| {
        x.inside("NODE", |x| {
            for core in node * NODE_CORES..(node + 1) * NODE_CORES {
                let threads = format!("{core}:-1,{}:-1", core + NODES * NODE_CORES);
                x.inside("CORE", |x| data!(x; CPUS: threads, DEDICATED: "NO", FREE: 2, ID: core))?;
            }
            for size in PAGE_SIZES {
                x.inside("HUGEPAGE", |x| data!(x; PAGES: PAGES, SIZE: size, USAGE: 0))?;
            }
            x.inside("MEMORY", |x| data!(x; DISTANCE: ["0 1", "1 0"][node as usize], TOTAL: NODE_KB, USAGE: 0))?;
            x.data("NODE_ID", node)
        })
    })
}

/// The `LAB_` attributes stand for an operator's own, which every real template has.
fn write_template<W: Write>(x: &mut Xml<W>, host: &Host) -> io::Result<()> {
    let special = host.kind != Kind::Plain;
    data!(x; ARCH: "x86_64", CARBON_INTENSITY: host.carbon, CPUSPEED: 3200,
        ENERGY_RENEWABLE: host.renewable, HOSTNAME: host_name(host), HYPERVISOR: "dummy",
        IM_MAD: "dummy", LAB_BASECPU: host.base_cpu, LAB_BASEMEM_MB: host.base_memory_mb,
        LAB_CPU: host.cores,
        LAB_DS: format_args!("{LOCAL_DS}:{}:{}", host.local_used_mb, host.local_mb),
        LAB_MEM_MB: memory_kb(host) / 1024)?;
    if special {
        data!(x; LAB_NUMA: "YES", LAB_PCI: "YES")?;
    }
    data!(x; MODELNAME: "Lab CPU")?;
    if special {
        data!(x; PCI_FILTER: "10de:*,1b21:*")?;
    }
    if host.kind == Kind::Pinned {
        data!(x; PIN_POLICY: "PINNED")?;
    }
    data!(x; RACK: host.rack)?;
    if host.cluster == 0 {
        data!(x; REGION: "north")?;
    }
    data!(x; RESERVED_CPU: "", RESERVED_MEM: "", TOTALCPU: 100 * host.cores,
        TOTALMEMORY: memory_kb(host), VERSION: "7.4.0", VM_MAD: "dummy")
}

fn write_monitoring<W: Write>(x: &mut Xml<W>, host: &Host, random: &mut Random) -> io::Result<()> {
    plain!(x; TIMESTAMP: NOW, ID: host.id)?;
    // VMs use about half of the CPU and most of the memory they were given.
    let used_cpu = host.base_cpu + host.cpu_usage() * (35 + random.below(40)) / 100;
    let used_mb = host.base_memory_mb + host.memory_usage_mb() / 100 * (60 + random.below(30));
    let (cpu, memory) = (u64::from(used_cpu), 1024 * u64::from(used_mb));
    x.inside("CAPACITY", |x| {
        write_forecast(x, "FREE_CPU", 100 * u64::from(host.cores) - cpu, [1.05, 1.1])?;
        write_forecast(x, "FREE_MEMORY", memory_kb(host) - memory, [1.05, 1.1])?;
        write_forecast(x, "USED_CPU", cpu, [1.05, 1.1])?;
        write_forecast(x, "USED_MEMORY", memory, [1.05, 1.1])
    })?;
    x.inside("SYSTEM", |x| {
        data!(x; NETRX: 693_167_000_000 + random.next() % 1_000_000_000)?;
        write_forecast(x, "NETRX_BW", 1500, [1.1, 1.21])?;
        data!(x; NETTX: 795_444_000_000 + random.next() % 1_000_000_000)?;
        write_forecast(x, "NETTX_BW", 1000, [1.1, 1.21])
    })?;
    let nodes = if host.kind == Kind::Plain { 0 } else { NODES };
    (0..nodes).try_for_each(|node| x.inside("NUMA_NODE", |x| write_node_monitoring(x, node)))
}

/// A sample, and what it is expected to be soon and later: `growth` times as much.
#[allow(clippy::cast_precision_loss)] // six digits are written
fn write_forecast<W: Write>(x: &mut Xml<W>, tag: &str, value: u64, growth: [f64; 2]) -> io::Result<()> {
    let [soon, far] = growth.map(|factor| six_digits(value as f64 * factor));
    x.data(tag, value)?;
    x.data(&format!("{tag}_FORECAST"), soon)?;
    x.data(&format!("{tag}_FORECAST_FAR"), far)
}

fn write_node_monitoring<W: Write>(x: &mut Xml<W>, node: u32) -> io::Result<()> {
    for size in PAGE_SIZES {
        x.inside("HUGEPAGE", |x| data!(x; FREE: PAGES, SIZE: size))?;
    }
    x.inside("MEMORY", |x| data!(x; FREE: NODE_KB - 262_144, USED: 262_144))?;
    x.data("NODE_ID", node)
}

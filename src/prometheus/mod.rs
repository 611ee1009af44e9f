//! The past of VMs from a Prometheus that scrapes OpenNebula's own exporters: what each used,
//! step by step. It asks one thing at a time and little of it (a host and a day), waits when it
//! is told to, and holds one such page.
//!
//! It must not decide what is kept, nor know a store: whoever asks takes samples page by page.

mod answer;
mod client;
pub mod hosts;

pub use client::{Client, Fault};

use crate::model::demand::Usage;
use crate::model::ids::VmId;
use crate::model::sample::{VmIdentity, VmSample};
use answer::{Point, Whose};
use std::collections::BTreeMap;

/// Seconds between samples: the steps that windows and the last hour are made of.
pub const STEP: i64 = 300;

/// A page covers this many seconds: 288 points of each VM of a host, 2 MB for 200 VMs.
pub const PAGE: i64 = 86_400;

/// A page that is too much for the server is halved until it covers so little.
const SHORTEST_PAGE: i64 = 3600;

/// VMs of OpenNebula; others on the host have names of their own.
const OURS: &str = "domain=~\"one-[0-9]+\"";

/// CPU of libvirt's VMs counts whole seconds: over ten minutes that is 0.2 % of a core.
const WINDOW: &str = "10m";

/// What is asked of each page. Counters are summed over devices, but of several copies of one
/// (front-ends that scrape the same host) the largest counts once.
const QUESTIONS: [(&str, Quantity); 4] = [
    ("100 * max by (one_vm_id) (rate(opennebula_libvirt_cpu_seconds_total{SELECTED}[WINDOW]))", Quantity::Cpu),
    ("max by (one_vm_id) (avg_over_time(opennebula_libvirt_memory_rss_bytes{SELECTED}[5m])) / 1024", Quantity::Memory),
    (
        "sum by (one_vm_id) (max by (one_vm_id, disk) (rate(opennebula_libvirt_block_rd_bytes{SELECTED}[WINDOW]))) + \
         sum by (one_vm_id) (max by (one_vm_id, disk) (rate(opennebula_libvirt_block_wr_bytes{SELECTED}[WINDOW])))",
        Quantity::Disk,
    ),
    (
        "sum by (one_vm_id) (max by (one_vm_id, vnic) (rate(opennebula_libvirt_net_rx_total_bytes{SELECTED}[WINDOW]))) + \
         sum by (one_vm_id) (max by (one_vm_id, vnic) (rate(opennebula_libvirt_net_tx_total_bytes{SELECTED}[WINDOW])))",
        Quantity::Net,
    ),
];

/// One of the four that a sample is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Cpu,
    Memory,
    Disk,
    Net,
}

/// A step of a VM, as far as it is told.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    cpu: Option<f64>,
    memory: Option<f64>,
    disk: Option<f64>,
    net: Option<f64>,
}

/// What a page held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// By VM and time.
    pub samples: Vec<VmSample>,
    /// Steps that lack CPU or memory, and so are no samples.
    pub incomplete: usize,
}

/// Hosts of which something is known in a span of time, ascending.
///
/// # Errors
/// When the server cannot be asked.
pub fn hosts(client: &Client, from: i64, to: i64) -> Result<Vec<i32>, Fault> {
    let matched = format!("opennebula_libvirt_cpu_seconds_total{{{OURS}}}");
    let (from, to) = (from.to_string(), to.to_string());
    let values = client.values("label/one_host_id/values", &[("match[]", &matched), ("start", &from), ("end", &to)])?;
    let mut hosts: Vec<i32> = values.iter().filter_map(|value| value.parse().ok()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    Ok(hosts)
}

/// The samples of a host's VMs from a moment on and before another, both whole steps. A VM that
/// moved meanwhile may be told by both hosts for some minutes: for the same step both say the
/// same of it, and a store keeps one.
///
/// # Errors
/// When the server cannot be asked.
pub fn page(client: &Client, host: i32, from: i64, to: i64) -> Result<Page, Fault> {
    let mut steps: BTreeMap<(i32, i64), Step> = BTreeMap::new();
    let selected = format!("one_host_id=\"{host}\",{OURS}");
    for (question, quantity) in QUESTIONS {
        let query = question.replace("SELECTED", &selected).replace("WINDOW", WINDOW);
        let mut take = |vm: i32, point: Point| {
            let step = steps.entry((vm, point.at)).or_default();
            let place = match quantity {
                Quantity::Cpu => &mut step.cpu,
                Quantity::Memory => &mut step.memory,
                Quantity::Disk => &mut step.disk,
                Quantity::Net => &mut step.net,
            };
            *place = Some(point.value);
        };
        match client.range(&query, Whose::Vms, (from, to - STEP, STEP), &mut take) {
            Err(Fault::TooMuch(_)) if to - from > SHORTEST_PAGE => {
                let middle = from + (to - from) / (2 * STEP) * STEP;
                let (mut first, second) = (page(client, host, from, middle)?, page(client, host, middle, to)?);
                first.samples.extend(second.samples);
                first.samples.sort_by_key(|sample| (sample.vm, sample.at));
                first.incomplete += second.incomplete;
                return Ok(first);
            }
            outcome => outcome?,
        }
    }
    let mut page = Page::default();
    for ((vm, at), step) in steps {
        match step.cpu.zip(step.memory) {
            Some((cpu, memory)) => {
                let usage = Usage { cpu, memory, disk_io: step.disk, net_io: step.net };
                page.samples.push(VmSample { vm: VmId(vm), at, usage });
            }
            None => page.incomplete += 1,
        }
    }
    Ok(page)
}

/// What sizes the VMs of a span of time had at its end: for those that oned knows no more.
/// Memory is libvirt's: that of OpenNebula's exporter is 1024 times too small in 6.10.
///
/// # Errors
/// When the server cannot be asked.
pub fn sizes(client: &Client, from: i64, to: i64) -> Result<Vec<(VmId, VmIdentity)>, Fault> {
    let mut found: BTreeMap<i32, VmIdentity> = BTreeMap::new();
    let span = to - from;
    let cpu = format!("100 * max by (one_vm_id) (last_over_time(opennebula_vm_cpu_ratio[{span}s]))");
    client.instant(&cpu, to, &mut |vm, point| found.entry(vm).or_default().cpu = whole(point.value))?;
    let memory = format!(
        "max by (one_vm_id) (last_over_time(opennebula_libvirt_memory_maximum_bytes{{{OURS}}}[{span}s])) / 1024"
    );
    client.instant(&memory, to, &mut |vm, point| found.entry(vm).or_default().memory = whole(point.value))?;
    let sized = found.into_iter().filter(|(_, size)| size.cpu > 0 && size.memory > 0);
    Ok(sized.map(|(vm, size)| (VmId(vm), size)).collect())
}

fn whole(amount: f64) -> i64 {
    // what does not fit is held at the largest number
    amount.round() as i64
}

//! What a Prometheus knows of hosts: their power (Scaphandre, Kepler), their use and how much
//! waits there for a CPU (node_exporter, libvirt's vcpu.wait). Only what is kept is asked for.
//!
//! | what | first that is kept of |
//! |---|---|
//! | power | `scaph_host_power_microwatts`; `kepler_node_platform_joules_total`; `kepler_node_cpu_joules_total` (package and memory); `kepler_node_package_joules_total` and `kepler_node_dram_joules_total` |
//! | use | `node_cpu_seconds_total` |
//! | CPUs | `opennebula_host_cpu_total_ratio`, percent of a core |
//! | pressure | `node_pressure_cpu_waiting_seconds_total` |
//! | waiting tasks | `node_schedstat_waiting_seconds_total` |
//! | steal | `opennebula_libvirt_vcpu_wait_seconds_total`; all zero where the kernel does not count it, which is no measure |
//!
//! OpenNebula labels its own targets with the host's id. Power meters are targets of the
//! operator's own: those without that label are known by the name of the host.

use super::answer::{Point, Whose};
use super::{Client, Fault, OURS, SHORTEST_PAGE};
use crate::model::ids::{HostId, VmId};
use crate::model::measure::{Company, HostMeasure, STEP};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Seconds of a page: a day (UTC), of which the same rows come each time.
pub const DAY: i64 = 86_400;

const PRESSURE: &str = "node_pressure_cpu_waiting_seconds_total";
const WAITING: &str = "node_schedstat_waiting_seconds_total";
const STEAL: &str = "opennebula_libvirt_vcpu_wait_seconds_total";
const BUSY: &str = "node_cpu_seconds_total";
const CPUS: &str = "opennebula_host_cpu_total_ratio";

/// Meters by preference: a metric that must be there, and watts by it. Of several copies of one
/// counter the largest counts once.
const METERS: [(&str, &str); 4] = [
    ("scaph_host_power_microwatts", "max(avg_over_time(scaph_host_power_microwatts{SELECTED}[15m])) / 1000000"),
    (
        "kepler_node_platform_joules_total",
        "sum(max by (source, mode) (rate(kepler_node_platform_joules_total{SELECTED}[15m])))",
    ),
    (
        "kepler_node_cpu_joules_total",
        "sum(max by (zone, path) (rate(kepler_node_cpu_joules_total{SELECTED,zone=~\"package.*|dram.*\"}[15m])))",
    ),
    (
        "kepler_node_package_joules_total",
        "sum(max by (source, mode, package) (rate({__name__=~\"kepler_node_(package|dram)_joules_total\",SELECTED}[15m])))",
    ),
];

/// Labels that may name the host of a meter.
const NAMES: [&str; 8] =
    ["exported_instance", "node_name", "nodename", "node", "hostname", "host", "exported_node", "instance"];

/// What is kept there, of which hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    metrics: HashSet<String>,
    /// By host: which meter, and the selector of its series.
    meters: BTreeMap<i32, (usize, String)>,
}

impl Kept {
    /// Whether there is anything to ask for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meters.is_empty() && ![PRESSURE, WAITING, STEAL].iter().any(|metric| self.metrics.contains(*metric))
    }

    /// Hosts with a meter.
    #[must_use]
    pub fn meters(&self) -> usize {
        self.meters.len()
    }
}

/// What is kept in a span of time. It is read from the names of series, not from samples.
///
/// # Errors
/// When the server cannot be asked.
pub fn kept(client: &Client, from: i64, to: i64) -> Result<Kept, Fault> {
    let all = METERS.iter().map(|(metric, _)| *metric).chain([PRESSURE, WAITING, STEAL, BUSY, CPUS]);
    let selector = format!("{{__name__=~\"{}\"}}", all.clone().collect::<Vec<_>>().join("|"));
    let (start, end) = (from.to_string(), to.to_string());
    let params = [("match[]", selector.as_str()), ("start", start.as_str()), ("end", end.as_str())];
    let named: HashSet<String> = client.values("label/__name__/values", &params)?.into_iter().collect();
    let metrics: HashSet<String> = all.filter(|metric| named.contains(*metric)).map(str::to_owned).collect();
    let mut kept = Kept { metrics, meters: BTreeMap::new() };
    if !METERS.iter().any(|(metric, _)| kept.metrics.contains(*metric)) {
        return Ok(kept);
    }
    let mut hosts: HashMap<String, BTreeSet<i32>> = HashMap::new();
    for labels in client.labels("opennebula_libvirt_daemon_up", from, to)? {
        let id = labels.get("one_host_id").and_then(|id| id.parse::<i32>().ok());
        if let Some((id, instance)) = id.zip(labels.get("instance")) {
            hosts.entry(short(instance)).or_default().insert(id);
        }
    }
    for (index, (metric, _)) in METERS.iter().enumerate() {
        if !kept.metrics.contains(*metric) {
            continue;
        }
        for labels in client.labels(metric, from, to)? {
            if let Some((host, selector)) = whose(&labels, &hosts) {
                kept.meters.entry(host).or_insert((index, selector));
            }
        }
    }
    Ok(kept)
}

/// The host of a meter and what selects its series: by the host's id, else by a label that holds
/// the name of exactly one host.
fn whose(labels: &BTreeMap<String, String>, hosts: &HashMap<String, BTreeSet<i32>>) -> Option<(i32, String)> {
    if let Some(id) = labels.get("one_host_id").and_then(|id| id.parse().ok()) {
        return Some((id, format!("one_host_id=\"{id}\"")));
    }
    NAMES.iter().find_map(|name| {
        let value = labels.get(*name)?;
        match hosts.get(&short(value)).map(|ids| ids.iter().collect::<Vec<_>>()).as_deref() {
            Some([id]) => Some((**id, format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))),
            _ => None,
        }
    })
}

/// `kvm3` of `kvm3.example.org:9100`; an address stays whole.
fn short(instance: &str) -> String {
    let host = instance.rsplit_once(':').map_or(instance, |(host, _)| host).trim_matches(['[', ']']);
    let numeric = host.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':')) && host.contains(['.', ':']);
    let name = if numeric { host } else { host.split('.').next().unwrap_or(host) };
    name.to_ascii_lowercase()
}

/// A page of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// By time.
    pub steps: Vec<HostMeasure>,
    /// By VM.
    pub companies: Vec<Company>,
}

/// One series of a host, by time.
type Series = BTreeMap<i64, f64>;

/// What was measured of a host on a day (UTC) that begins at `day`, up to `to`.
///
/// # Errors
/// When the server cannot be asked.
pub fn page(client: &Client, kept: &Kept, host: i32, day: i64, to: i64) -> Result<Measured, Fault> {
    let span = (day + STEP, to.min(day + DAY));
    if span.0 > span.1 {
        return Ok(Measured::default());
    }
    let of_host = format!("one_host_id=\"{host}\"");
    let metered = |metric: &str, query: &str| -> Result<Series, Fault> {
        if kept.metrics.contains(metric) {
            one(client, &query.replace("SELECTED", &of_host), span)
        } else {
            Ok(Series::new())
        }
    };
    let pressure = metered(PRESSURE, &format!("max(rate({PRESSURE}{{SELECTED}}[15m]))"))?;
    let waiting = metered(WAITING, &format!("sum(max by (cpu) (rate({WAITING}{{SELECTED}}[15m])))"))?;
    let watts = match kept.meters.get(&host) {
        Some((meter, selector)) => one(client, &METERS[*meter].1.replace("SELECTED", selector), span)?,
        None => Series::new(),
    };
    let mut page = Measured::default();
    if !(pressure.is_empty() && waiting.is_empty() && watts.is_empty()) {
        let idle = format!("1 - avg(max by (cpu) (rate({BUSY}{{SELECTED,mode=\"idle\"}}[15m])))");
        let (busy, cpus) = (metered(BUSY, &idle)?, metered(CPUS, &format!("max({CPUS}{{SELECTED}})"))?);
        let moments: BTreeSet<i64> = pressure.keys().chain(waiting.keys()).chain(watts.keys()).copied().collect();
        let of = |series: &Series, at: i64| series.get(&at).copied();
        page.steps = moments
            .into_iter()
            .map(|at| HostMeasure {
                host: HostId(host),
                at,
                cpu: of(&cpus, at),
                busy: of(&busy, at).filter(|busy| *busy <= 1.0),
                watts: of(&watts, at),
                pressure: of(&pressure, at).map(|share| share.min(1.0)),
                waiting: of(&waiting, at),
            })
            .collect();
    }
    let steals = kept.metrics.contains(STEAL);
    if steals || !pressure.is_empty() {
        page.companies = companies(client, host, (day, span), &pressure, steals)?;
    }
    Ok(page)
}

/// Who was on a host in the steps of a day, and what there was to wait for.
fn companies(
    client: &Client,
    host: i32,
    (day, span): (i64, (i64, i64)),
    pressure: &Series,
    steals: bool,
) -> Result<Vec<Company>, Fault> {
    let selected = format!("one_host_id=\"{host}\",{OURS}");
    let mut there: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    let present = format!("max by (one_vm_id) (opennebula_libvirt_cpu_seconds_total{{{selected}}})");
    each(client, &present, Whose::Vms, span, &mut |vm, point| {
        there.entry(vm).or_default().insert(point.at);
    })?;
    let mut steal: BTreeMap<i32, Series> = BTreeMap::new();
    if steals {
        let query = format!("100 * sum by (one_vm_id) (max by (one_vm_id, vcpu) (rate({STEAL}{{{selected}}}[15m])))");
        each(client, &query, Whose::Vms, span, &mut |vm, point| {
            steal.entry(vm).or_default().insert(point.at, point.value);
        })?;
    }
    // a kernel that does not count says 0 of everyone
    let counted = steal.values().flat_map(BTreeMap::values).any(|waited| *waited > 0.0);
    let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let company = |(vm, moments): (i32, BTreeSet<i64>)| Company {
        vm: VmId(vm),
        host: HostId(host),
        day,
        steps: u32::try_from(moments.len()).unwrap_or(u32::MAX),
        pressure: mean(moments.iter().filter_map(|at| pressure.get(at).copied()).collect()),
        steal: steal.get(&vm).filter(|_| counted).and_then(|series| mean(series.values().copied().collect())),
    };
    Ok(there.into_iter().map(company).collect())
}

/// The single series of a query.
fn one(client: &Client, query: &str, span: (i64, i64)) -> Result<Series, Fault> {
    let mut series = Series::new();
    each(client, query, Whose::Host, span, &mut |_, point| {
        series.insert(point.at, point.value);
    })?;
    Ok(series)
}

/// All points of a query from the first to the last step; what is too much is asked for in halves.
fn each(
    client: &Client,
    query: &str,
    whose: Whose,
    (first, last): (i64, i64),
    take: &mut dyn FnMut(i32, Point),
) -> Result<(), Fault> {
    match client.range(query, whose, (first, last, STEP), take) {
        Err(Fault::TooMuch(_)) if last - first > SHORTEST_PAGE => {
            let middle = first + (last - first) / (2 * STEP) * STEP;
            each(client, query, whose, (first, middle), take)?;
            each(client, query, whose, (middle + STEP, last), take)
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_belongs_to_the_host_that_it_names() {
        let hosts: HashMap<String, BTreeSet<i32>> = [("kvm3", vec![3]), ("10.0.0.7", vec![7]), ("twin", vec![1, 2])]
            .map(|(name, ids)| (name.to_owned(), ids.into_iter().collect()))
            .into();
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        for (pairs, found) in [
            (&[("one_host_id", "9"), ("instance", "kvm3:8080")][..], Some((9, "one_host_id=\"9\""))),
            (&[("instance", "KVM3.example.org:8080")], Some((3, "instance=\"KVM3.example.org:8080\""))),
            (&[("instance", "kepler:9102"), ("node_name", "kvm3")], Some((3, "node_name=\"kvm3\""))),
            (&[("instance", "10.0.0.7:8080")], Some((7, "instance=\"10.0.0.7:8080\""))),
            (&[("instance", "twin:8080")], None),
            (&[("instance", "10.0.0.8:8080")], None),
        ] {
            let found = found.map(|(host, selector): (i32, &str)| (host, selector.to_owned()));
            assert_eq!(whose(&labels(pairs), &hosts), found, "{pairs:?}");
        }
    }
}

//! Which resources are balanced, and what a demand takes of each host.
//!
//! By default CPU, memory, disk and network traffic (`resources: metrics`); with
//! `resources: classes` the distances to the classes of a model, as the seed has it. Either
//! way a demand becomes one fraction per resource, and nothing behind this file knows
//! which. To add a resource, add a line to `METRICS`. No rule is looked at here.

use crate::model::demand::{Demands, HostUse, Usage};
use crate::model::policy::{Policy, Resources};
use crate::model::report::ResourceReport;
use crate::model::snapshot::{Host, Notice, Snapshot, Subject};

/// So many resources are balanced at most.
pub const MOST: usize = 16;

/// One number per resource; those beyond `Space::count` are 0.
pub type Vector = [f64; MOST];

/// The resource whose uncertainty is known.
pub const CPU: usize = 0;

/// Where that uncertainty stands, as a standard deviation; only where `Space::risk` is not 0.
pub const DEVIATION: usize = MOST - 1;

/// What a demand takes of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Fractions of the host's capacity.
    pub part: Vector,
    /// Squared deviation of the CPU fraction.
    pub variance: f64,
}

impl Share {
    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (sum, more) in self.part.iter_mut().zip(&other.part) {
            *sum += more;
        }
        self.variance += other.variance;
        self
    }
}

/// A resource of `resources: metrics`.
struct Metric {
    name: &'static str,
    weight: fn(&Policy) -> f64,
    /// What is used of it, where anybody can tell.
    used: fn(&Usage) -> Option<f64>,
    /// What a host has of it, where its document tells.
    capacity: fn(&Host) -> Option<i64>,
}

const METRICS: [Metric; 4] = [
    Metric {
        name: "cpu",
        weight: |policy| policy.weight_cpu,
        used: |usage| Some(usage.cpu),
        capacity: |host| Some(host.cpu.0),
    },
    Metric {
        name: "memory",
        weight: |policy| policy.weight_memory,
        used: |usage| Some(usage.memory),
        capacity: |host| Some(host.memory.0),
    },
    Metric { name: "disk_io", weight: |policy| policy.weight_disk_io, used: |usage| usage.disk_io, capacity: |_| None },
    Metric { name: "net_io", weight: |policy| policy.weight_net_io, used: |usage| usage.net_io, capacity: |_| None },
];

/// Resources, capacities and amounts as plain arrays.
#[derive(Clone, Debug)]
pub struct Space {
    /// How many resources there are.
    pub count: usize,
    /// Weight of each in the distance D.
    pub weights: Vector,
    /// Weight of the deviation of CPU, in weights of CPU.
    pub risk: f64,
    /// For the report: names, weights, and what is left out.
    pub resources: Vec<ResourceReport>,
    /// What is odd about them.
    pub notices: Vec<Notice>,
    /// By host: 1 / capacity, 0 for a host without.
    scale: Vec<Vector>,
    /// By request: amounts, and the variance of CPU.
    amounts: Vec<Share>,
    /// By host: what is used before the plan, as fractions.
    used: Vec<Share>,
    /// By request: the host that its VM runs on now.
    from: Vec<Option<usize>>,
}

impl Space {
    /// The space that the policy asks for, as far as demands can tell.
    #[must_use]
    pub fn new(snapshot: &Snapshot, demands: &Demands, policy: &Policy) -> Self {
        let classes = policy.resources == Resources::Classes;
        let mut space = match Self::of_classes(demands).filter(|_| classes) {
            Some(space) => space,
            None => Self::of_metrics(snapshot, demands, policy),
        };
        if classes && demands.classes.is_none() {
            let text = "resources is classes, but no model tells the classes of VMs; metrics count instead".to_owned();
            space.notices.push(Notice { subject: Subject::Request, text });
        }
        let vms = snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]);
        let from = vms.map(|vm| vm.host.filter(|_| vm.resched).and_then(|host| snapshot.host_index(host)));
        space.from = from.collect();
        space
    }

    fn empty(demands: &Demands, risk: f64) -> Self {
        Self {
            count: 0,
            weights: [0.0; MOST],
            risk,
            resources: Vec::new(),
            notices: Vec::new(),
            scale: vec![[0.0; MOST]; demands.hosts.len()],
            amounts: vec![Share::default(); demands.vms.len()],
            used: vec![Share::default(); demands.hosts.len()],
            from: Vec::new(),
        }
    }

    /// The seed's space: distances to classes, every class alike.
    fn of_classes(demands: &Demands) -> Option<Self> {
        let classes = demands.classes.as_ref()?;
        let count = classes.vms.iter().chain(&classes.hosts).map(Vec::len).max().filter(|count| *count > 0)?;
        let mut space = Self::empty(demands, 0.0);
        space.count = count.min(MOST);
        for j in 0..space.count {
            space.weights[j] = 1.0;
            space.resources.push(ResourceReport { name: format!("class {j}"), weight: 1.0, measured: true });
        }
        if count > MOST {
            let text = format!("the model has {count} classes; the first {MOST} are balanced");
            space.notices.push(Notice { subject: Subject::Request, text });
        }
        let fill = |to: &mut Vector, from: &[f64]| {
            for (value, given) in to[..space.count].iter_mut().zip(from) {
                *value = finite(*given);
            }
        };
        space.scale.fill([1.0; MOST]);
        space.amounts.iter_mut().zip(&classes.vms).for_each(|(to, from)| fill(&mut to.part, from));
        space.used.iter_mut().zip(&classes.hosts).for_each(|(to, from)| fill(&mut to.part, from));
        Some(space)
    }

    fn of_metrics(snapshot: &Snapshot, demands: &Demands, policy: &Policy) -> Self {
        let mut space = Self::empty(demands, finite(policy.risk));
        for (number, metric) in METRICS.iter().enumerate() {
            let weight = finite((metric.weight)(policy));
            let values = Values::new(metric, demands);
            let measured = values.is_some();
            space.resources.push(ResourceReport { name: metric.name.to_owned(), weight, measured });
            let Some(values) = values.filter(|_| weight > 0.0 || number == CPU) else { continue };
            space.add_metric(metric, weight, &values, snapshot);
        }
        space.variances(demands);
        space
    }

    fn add_metric(&mut self, metric: &Metric, weight: f64, values: &Values, snapshot: &Snapshot) {
        let j = self.count;
        self.count += 1;
        self.weights[j] = weight;
        for (host, at) in snapshot.hosts.iter().enumerate() {
            let capacity = (metric.capacity)(at).map_or(values.most, |stated| stated as f64);
            self.scale[host][j] = if capacity > 0.0 { 1.0 / capacity } else { 0.0 };
            self.used[host].part[j] = values.hosts[host] * self.scale[host][j];
        }
        for (amount, value) in self.amounts.iter_mut().zip(&values.vms) {
            amount.part[j] = *value;
        }
    }

    fn variances(&mut self, demands: &Demands) {
        for (amount, demand) in self.amounts.iter_mut().zip(&demands.vms) {
            amount.variance = finite(demand.cpu_deviation).powi(2);
        }
        for ((used, scale), HostUse { cpu_variance, .. }) in self.used.iter_mut().zip(&self.scale).zip(&demands.hosts) {
            used.variance = finite(*cpu_variance).max(0.0) * scale[CPU] * scale[CPU];
        }
    }

    /// How many hosts there are.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.used.len()
    }

    /// What a host uses before the plan.
    #[must_use]
    pub fn used(&self, host: usize) -> &Share {
        &self.used[host]
    }

    /// What a request takes of a host.
    #[must_use]
    pub fn share(&self, request: usize, host: usize) -> Share {
        self.scaled(&self.amounts[request], host)
    }

    /// What requests take together, in the units of the resources.
    #[must_use]
    pub fn amount(&self, requests: &[usize]) -> Share {
        requests.iter().fold(Share::default(), |sum, &request| sum.plus(&self.amounts[request]))
    }

    /// What an amount is of a host.
    #[must_use]
    pub fn scaled(&self, amount: &Share, host: usize) -> Share {
        let scale = &self.scale[host];
        let mut share = Share { part: [0.0; MOST], variance: amount.variance * scale[CPU] * scale[CPU] };
        let count = self.count.min(MOST);
        for (j, part) in share.part[..count].iter_mut().enumerate() {
            *part = amount.part[j] * scale[j];
        }
        share
    }

    /// The least and the most that one unit of each resource is of a host.
    #[must_use]
    pub fn scales(&self) -> (Vector, Vector) {
        let fold = |start: f64, pick: fn(f64, f64) -> f64| {
            std::array::from_fn(|j| self.scale.iter().map(|scale| scale[j]).fold(start, pick))
        };
        if self.scale.is_empty() {
            return ([0.0; MOST], [0.0; MOST]);
        }
        (fold(f64::INFINITY, f64::min), fold(0.0, f64::max))
    }

    /// Whether the mean utilisation is the same whatever goes where: hosts are alike, and
    /// no uncertainty is added.
    #[must_use]
    pub fn mean_is_fixed(&self) -> bool {
        let certain = self.risk == 0.0 || self.amounts.iter().all(|amount| amount.variance == 0.0);
        certain && self.scale.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// What a host gets rid of when the request is granted: its VM runs there, and moves.
    #[must_use]
    pub fn relief(&self, request: usize) -> Option<(usize, Share)> {
        let host = self.from.get(request).copied().flatten()?;
        let (mut share, used) = (self.share(request, host), &self.used[host]);
        for (part, used) in share.part.iter_mut().zip(&used.part) {
            *part = part.min(used.max(0.0));
        }
        share.variance = share.variance.min(used.variance);
        Some((host, share))
    }

    /// What requests would add to every host if each host took as much of them as it has
    /// capacity: the mean that a plan for all of them may aim at.
    #[must_use]
    pub fn fair_share(&self, requests: impl Iterator<Item = usize>) -> Vector {
        let mut sum = [0.0; MOST];
        let mut variance = 0.0;
        for request in requests {
            variance += self.amounts[request].variance;
            for (sum, amount) in sum.iter_mut().zip(&self.amounts[request].part) {
                *sum += amount;
            }
        }
        for (j, sum) in sum.iter_mut().enumerate() {
            let capacity: f64 = self.scale.iter().filter(|scale| scale[j] > 0.0).map(|scale| 1.0 / scale[j]).sum();
            *sum = if capacity > 0.0 { *sum / capacity } else { 0.0 };
        }
        if self.risk > 0.0 {
            let hosts = self.scale.len().max(1) as f64;
            let squares: f64 = self.scale.iter().map(|scale| scale[CPU] * scale[CPU]).sum();
            sum[DEVIATION] = (variance * squares).sqrt() / hosts;
        }
        sum
    }
}

/// What is known of one metric, gaps filled.
struct Values {
    vms: Vec<f64>,
    hosts: Vec<f64>,
    /// The most that any host, or else any VM, is seen to use: stands for a capacity.
    most: f64,
}

impl Values {
    /// `None` when nobody measures the metric. Who is not measured counts as the mean of
    /// those who are.
    fn new(metric: &Metric, demands: &Demands) -> Option<Self> {
        let vms: Vec<Option<f64>> = demands.vms.iter().map(|demand| (metric.used)(&demand.planned())).collect();
        let hosts: Vec<Option<f64>> = demands.hosts.iter().map(|at| (metric.used)(&at.usage)).collect();
        let known = |values: &[Option<f64>]| values.iter().flatten().map(|value| finite(*value)).collect::<Vec<f64>>();
        let (known_vms, known_hosts) = (known(&vms), known(&hosts));
        if known_vms.is_empty() && known_hosts.is_empty() {
            return None;
        }
        let mean = |known: &[f64]| known.iter().sum::<f64>() / known.len().max(1) as f64;
        let filled = |values: &[Option<f64>], known: &[f64]| {
            let mean = mean(known);
            values.iter().map(|value| value.map_or(mean, finite)).collect::<Vec<f64>>()
        };
        let most = known_hosts.iter().chain(&known_vms).copied().fold(0.0, f64::max);
        Some(Self { vms: filled(&vms, &known_vms), hosts: filled(&hosts, &known_hosts), most })
    }
}

/// What is no number counts as nothing.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::demand::{Basis, ClassSpace, Demand, Source};

    fn demands(disk_of_vm: Option<f64>, disk_of_hosts: [Option<f64>; 2]) -> Demands {
        let usage = |cpu, disk_io| Usage { cpu, memory: 1024.0, disk_io, net_io: None };
        let level = usage(100.0, disk_of_vm);
        let vm = Demand {
            level,
            peak: level,
            cpu_deviation: 40.0,
            sketch: Default::default(),
            source: Source::History,
            class: None,
        };
        let host = |disk| HostUse {
            usage: usage(200.0, disk),
            cpu_variance: 400.0,
            spread: Default::default(),
            basis: Basis::History,
        };
        Demands { vms: vec![vm], hosts: disk_of_hosts.map(host).to_vec(), classes: None }
    }

    fn snapshot(cpu: &[i64]) -> Snapshot {
        let host = |cpu: &i64| {
            let mut host = crate::placement::testing::host(1);
            host.cpu.0 = *cpu;
            host.memory.0 = 4096;
            host
        };
        Snapshot { hosts: cpu.iter().map(host).collect(), ..Snapshot::default() }
    }

    #[test]
    fn shares_are_fractions_of_each_host() {
        let space = Space::new(&snapshot(&[400, 0]), &demands(None, [None, None]), &Policy::default());
        let share = space.share(0, 0);
        assert_eq!(space.count, 2);
        assert_eq!(share.part[..3], [0.25, 0.25, 0.0]);
        assert!((share.variance - 0.01).abs() < 1e-12);
        assert_eq!(space.share(0, 1).part[..2], [0.0, 0.25], "a host without CPU");
        assert_eq!(space.used(0).part[..2], [0.5, 0.25]);
    }

    #[test]
    fn what_nobody_measures_is_left_out_and_what_some_do_is_scaled_by_the_busiest() {
        let space = Space::new(&snapshot(&[400, 400]), &demands(Some(10.0), [Some(40.0), None]), &Policy::default());
        let measured: Vec<bool> = space.resources.iter().map(|resource| resource.measured).collect();
        assert_eq!(measured, [true, true, true, false]);
        assert_eq!(space.count, 3);
        assert!((space.share(0, 0).part[2] - 0.25).abs() < 1e-12);
        assert!((space.used(1).part[2] - 1.0).abs() < 1e-12, "an unknown host is like the others");
    }

    #[test]
    fn classes_are_fractions_as_they_are_and_metrics_stand_in_for_them() {
        let policy = Policy { resources: Resources::Classes, ..Policy::default() };
        let mut demands = demands(None, [None, None]);
        let without = Space::new(&snapshot(&[400, 400]), &demands, &policy);
        assert_eq!((without.count, without.notices.len()), (2, 1));
        let classes = ClassSpace { vms: vec![vec![0.1, f64::NAN, 1.0]], hosts: vec![vec![1.0; 3], vec![]] };
        demands.classes = Some(classes);
        let space = Space::new(&snapshot(&[400, 400]), &demands, &policy);
        assert_eq!((space.count, space.risk), (3, 0.0));
        assert_eq!(space.share(0, 1).part[..4], [0.1, 0.0, 1.0, 0.0]);
    }
}

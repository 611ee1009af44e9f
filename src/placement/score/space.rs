//! What is evened out over the hosts, and what a demand takes of each host.
//!
//! By default CPU, memory, disk and network traffic as they are used (`resources: metrics`);
//! with `resources: classes` the distances to the classes of a model, as the ancestor has it;
//! a cluster may also weigh CPU and memory as they are allocated. Either way a demand becomes
//! one fraction for each dimension, and nothing behind this file knows which. To add a
//! dimension, add it to [`Dimension`] and to `placement` or `optimization` below. No rule is
//! looked at here.

use crate::model::demand::{Demand, Demands, HostUse, Usage};
use crate::model::policy::{Policy, Resources, Weights};
use crate::model::report::ResourceReport;
use crate::model::resource::Resource;
use crate::model::sketch::{Sketch, Spread};
use crate::model::snapshot::{Host, Notice, Snapshot, Subject, Vm, VmState};

/// At most this many dimensions are evened out: as many classes as a model may have.
const MOST: usize = 16;

/// One fraction for each dimension; those beyond [`Space::count`] are 0.
pub type Parts = [f64; MOST];

/// Something that is evened out over the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A resource as it is used.
    Used(Resource),
    /// A resource as it is allocated.
    Allocated(Resource),
    /// The distance to a class of the model.
    Class(usize),
}

impl Dimension {
    /// For reports.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Used(resource) => name(resource).to_owned(),
            Self::Allocated(resource) => format!("{} allocated", name(resource)),
            Self::Class(number) => format!("class {number}"),
        }
    }

    /// What a VM that is expected to use `usage` brings.
    fn of_vm(self, usage: &Usage, vm: Option<&Vm>) -> Option<f64> {
        match self {
            Self::Used(resource) => usage.of(resource),
            Self::Allocated(resource) => vm.and_then(|vm| amount(resource, vm.cpu.0, vm.memory.0)),
            Self::Class(_) => None,
        }
    }

    /// What a host that uses `usage` has of it before the plan.
    fn of_host(self, usage: &Usage, host: &Host) -> Option<f64> {
        match self {
            Self::Used(resource) => usage.of(resource),
            Self::Allocated(resource) => amount(resource, host.cpu_allocated.0, host.memory_allocated.0),
            Self::Class(_) => None,
        }
    }

    /// What a host can give, where its document tells.
    fn capacity(self, host: &Host) -> Option<f64> {
        match self {
            Self::Used(resource) | Self::Allocated(resource) => amount(resource, host.cpu.0, host.memory.0),
            Self::Class(_) => None,
        }
    }
}

fn name(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "cpu",
        Resource::Memory => "memory",
        Resource::DiskIo => "disk_io",
        Resource::NetIo => "net_io",
    }
}

/// CPU or memory; nobody counts how much disk or network traffic is allocated.
fn amount(resource: Resource, cpu: i64, memory: i64) -> Option<f64> {
    match resource {
        Resource::Cpu => Some(cpu as f64),
        Resource::Memory => Some(memory as f64),
        Resource::DiskIo | Resource::NetIo => None,
    }
}

/// What a demand takes of one host, as fractions of the host's capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// By dimension.
    pub part: Parts,
    /// CPU as it is used, whatever is evened out: energy depends on it.
    pub cpu: f64,
    /// Memory as it is used, whatever is evened out: hosts are filled up to a limit of it.
    pub memory: f64,
    /// How far CPU may be from what is expected, whatever is evened out.
    pub spread: Spread,
    /// What is allocated, whatever is evened out: a host may have more of it than it can give.
    pub allocated: Allocated,
}

/// CPU and memory as they are allocated, as fractions of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allocated {
    /// CPU.
    pub cpu: f64,
    /// Memory.
    pub memory: f64,
}

impl Share {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.add(other, 1.0)
    }

    /// This without the other.
    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        self.add(other, -1.0)
    }

    fn add(mut self, other: &Self, sign: f64) -> Self {
        for (sum, more) in self.part.iter_mut().zip(&other.part) {
            *sum += sign * more;
        }
        self.cpu += sign * other.cpu;
        self.memory += sign * other.memory;
        self.spread += other.spread.times(sign);
        self.allocated.cpu += sign * other.allocated.cpu;
        self.allocated.memory += sign * other.allocated.memory;
        self
    }

    fn scaled(&self, scale: &Scale, count: usize) -> Self {
        let mut share = Self {
            part: [0.0; MOST],
            cpu: self.cpu * scale.cpu,
            memory: self.memory * scale.memory,
            spread: self.spread.times(scale.cpu),
            allocated: Allocated {
                cpu: self.allocated.cpu * scale.allocated.cpu,
                memory: self.allocated.memory * scale.allocated.memory,
            },
        };
        for ((part, amount), scale) in share.part.iter_mut().zip(&self.part).zip(&scale.part).take(count) {
            *part = amount * scale;
        }
        share
    }
}

/// What one unit of each amount is of a host: 1 / capacity, 0 for a host without.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale {
    /// By dimension.
    pub part: Parts,
    /// CPU.
    pub cpu: f64,
    /// Memory.
    pub memory: f64,
    /// The same of what a closed host would have: what is allocated there is too much, and less of it is
    /// better.
    pub allocated: Allocated,
}

/// Dimensions, capacities and amounts as plain arrays.
#[derive(Clone, Debug)]
pub struct Space {
    /// How many dimensions there are.
    pub count: usize,
    /// Weight of each in the distance D.
    pub weights: Parts,
    /// Weight of the deviation of CPU in the distance D: `risk` x the weight of CPU.
    pub risk: f64,
    /// For the report: names, weights, and what is left out.
    pub resources: Vec<ResourceReport>,
    /// What is odd about them.
    pub notices: Vec<Notice>,
    /// Deviations of CPU that have to fit into a host beside what is expected.
    pub deviations: f64,
    /// By host: whether all that is allocated there is too much.
    pub closed: Vec<bool>,
    /// Whether anything is known of who peaks with whom.
    pub sketched: bool,
    dimensions: Vec<Dimension>,
    /// By host.
    scale: Vec<Scale>,
    /// By request: amounts, and the variance of CPU.
    amounts: Vec<Share>,
    /// By host: what is used before the plan.
    used: Vec<Share>,
    /// By request: the host that its VM runs on now and that a placement takes it from.
    from: Vec<Option<usize>>,
}

impl Space {
    /// The space that placements are scored in, as far as demands can tell.
    #[must_use]
    pub fn new(snapshot: &Snapshot, demands: &Demands, policy: &Policy) -> Self {
        let classes = policy.resources == Resources::Classes;
        let mut space = Self::empty(snapshot, demands, policy);
        if !(classes && space.add_classes(demands)) {
            let weights = placement(policy);
            space.add_metrics(snapshot, demands, &weights);
            space.risk = finite(policy.risk) * finite(weights.cpu_usage);
        }
        if classes && demands.classes.is_none() {
            let text = "resources is classes, but no model tells the classes of VMs; metrics count instead".to_owned();
            space.notices.push(Notice { subject: Subject::Request, text });
        }
        let vms = snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]);
        let from = vms.map(|vm| vm.host.filter(|_| vm.resched).and_then(|host| snapshot.host_index(host)));
        space.from = from.collect();
        space
    }

    /// The space that a cluster is optimized in, by the weights that it asks for.
    #[must_use]
    pub fn of_cluster(snapshot: &Snapshot, demands: &Demands, policy: &Policy) -> Self {
        let weights = policy.optimize.weights.unwrap_or_else(|| placement(policy));
        let mut space = Self::empty(snapshot, demands, policy);
        space.add_metrics(snapshot, demands, &weights);
        space.risk = finite(policy.risk) * finite(weights.cpu_usage);
        space.from = vec![None; snapshot.candidates.len()];
        space
    }

    fn empty(snapshot: &Snapshot, demands: &Demands, policy: &Policy) -> Self {
        let inverse = |capacity: i64| if capacity > 0 { 1.0 / capacity as f64 } else { 0.0 };
        let scale = |host: &Host| {
            let (cpu, memory) = (inverse(host.cpu.0), inverse(host.memory.0));
            let of_all = |own: f64, total: i64| if host.closed { inverse(total) } else { own };
            let allocated = Allocated { cpu: of_all(cpu, host.total.0.0), memory: of_all(memory, host.total.1.0) };
            Scale { part: [0.0; MOST], cpu, memory, allocated }
        };
        let mut space = Self {
            count: 0,
            weights: [0.0; MOST],
            risk: 0.0,
            resources: Vec::new(),
            notices: Vec::new(),
            deviations: policy.deviations(),
            closed: snapshot.hosts.iter().map(|host| host.closed).collect(),
            sketched: demands.hosts.iter().any(|at| at.spread.together != Sketch::default())
                || demands.vms.iter().any(|demand| demand.sketch != Sketch::default()),
            dimensions: Vec::new(),
            scale: snapshot.hosts.iter().map(scale).collect(),
            amounts: Vec::with_capacity(demands.vms.len()),
            used: Vec::with_capacity(demands.hosts.len()),
            from: Vec::new(),
        };
        for (request, demand) in demands.vms.iter().enumerate() {
            let vm = snapshot.candidates.get(request).map(|candidates| &snapshot.vms[candidates.vm]);
            let allocated = vm.map(|vm| Allocated { cpu: vm.cpu.0 as f64, memory: vm.memory.0 as f64 });
            space.amounts.push(Share {
                part: [0.0; MOST],
                cpu: finite(demand.planned().cpu),
                memory: finite(demand.planned().memory),
                spread: demand.spread().finite(),
                allocated: allocated.unwrap_or_default(),
            });
        }
        for ((host, scale), HostUse { usage, spread, .. }) in
            snapshot.hosts.iter().zip(&space.scale).zip(&demands.hosts)
        {
            let amount = Share {
                part: [0.0; MOST],
                cpu: finite(usage.cpu),
                memory: finite(usage.memory),
                spread: spread.finite(),
                allocated: Allocated { cpu: host.cpu_allocated.0 as f64, memory: host.memory_allocated.0 as f64 },
            };
            space.used.push(amount.scaled(scale, 0));
        }
        space
    }

    /// The ancestor's space: distances to classes, every class alike, and no uncertainty.
    fn add_classes(&mut self, demands: &Demands) -> bool {
        let Some(classes) = demands.classes.as_ref() else { return false };
        let count = classes.vms.iter().chain(&classes.hosts).map(Vec::len).max().unwrap_or(0);
        if count == 0 {
            return false;
        }
        for number in 0..count.min(MOST) {
            self.add_dimension(Dimension::Class(number), 1.0);
        }
        if count > MOST {
            let text = format!("the model has {count} classes; the first {MOST} are balanced");
            self.notices.push(Notice { subject: Subject::Request, text });
        }
        let fill = |to: &mut Parts, from: &[f64]| {
            for (value, given) in to.iter_mut().zip(from) {
                *value = finite(*given);
            }
        };
        self.scale.iter_mut().for_each(|scale| scale.part = [1.0; MOST]);
        self.amounts.iter_mut().zip(&classes.vms).for_each(|(to, from)| fill(&mut to.part, from));
        self.used.iter_mut().zip(&classes.hosts).for_each(|(to, from)| fill(&mut to.part, from));
        true
    }

    fn add_metrics(&mut self, snapshot: &Snapshot, demands: &Demands, weights: &Weights) {
        for (dimension, weight) in weighed(weights) {
            let weight = finite(weight);
            let values = Values::new(dimension, snapshot, demands);
            let allocated = matches!(dimension, Dimension::Allocated(_));
            if !allocated || weight > 0.0 {
                let measured = values.is_some();
                self.resources.push(ResourceReport { name: dimension.name(), weight, measured });
            }
            let Some(values) = values.filter(|_| weight > 0.0) else { continue };
            let j = self.add_dimension(dimension, weight);
            for (host, at) in snapshot.hosts.iter().enumerate() {
                let capacity = dimension.capacity(at).unwrap_or(values.half_full);
                let scale = if capacity > 0.0 { 1.0 / capacity } else { 0.0 };
                self.scale[host].part[j] = scale;
                self.used[host].part[j] = values.hosts[host] * scale;
            }
            for (amount, value) in self.amounts.iter_mut().zip(&values.vms) {
                amount.part[j] = *value;
            }
        }
    }

    fn add_dimension(&mut self, dimension: Dimension, weight: f64) -> usize {
        let j = self.count;
        self.count += 1;
        self.weights[j] = weight;
        if let Dimension::Class(_) = dimension {
            self.resources.push(ResourceReport { name: dimension.name(), weight, measured: true });
        }
        self.dimensions.push(dimension);
        j
    }

    /// The names of the dimensions, in their order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.dimensions.iter().map(|dimension| dimension.name()).collect()
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

    /// What a request takes, in the units of the dimensions.
    #[must_use]
    pub fn amount_of(&self, request: usize) -> &Share {
        &self.amounts[request]
    }

    /// What requests take together, in the units of the dimensions.
    #[must_use]
    pub fn amount(&self, requests: &[usize]) -> Share {
        requests.iter().fold(Share::default(), |sum, &request| sum.plus(&self.amounts[request]))
    }

    /// What one unit of each amount is of a host.
    #[must_use]
    pub fn scale(&self, host: usize) -> &Scale {
        &self.scale[host]
    }

    /// What an amount is of a host.
    #[must_use]
    pub fn scaled(&self, amount: &Share, host: usize) -> Share {
        amount.scaled(&self.scale[host], self.count)
    }

    /// The least and the most that one unit of each dimension is of a host.
    #[must_use]
    pub fn scales(&self) -> (Parts, Parts) {
        let fold = |start: f64, pick: fn(f64, f64) -> f64| {
            std::array::from_fn(|j| self.scale.iter().map(|scale| scale.part[j]).fold(start, pick))
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
        let certain = self.risk == 0.0 || self.amounts.iter().all(|amount| amount.spread.deviation() == 0.0);
        certain && self.scale.windows(2).all(|pair| pair[0].part == pair[1].part)
    }

    /// What a host gets rid of when the request is granted: its VM runs there, and moves.
    #[must_use]
    pub fn relief(&self, request: usize) -> Option<(usize, Share)> {
        let host = self.from.get(request).copied().flatten()?;
        let (mut share, used) = (self.share(request, host), &self.used[host]);
        for (part, used) in share.part.iter_mut().zip(&used.part) {
            *part = part.min(used.max(0.0));
        }
        share.cpu = share.cpu.min(used.cpu.max(0.0));
        share.memory = share.memory.min(used.memory.max(0.0));
        Some((host, share))
    }

    /// What requests would add to every host if each host took as much of them as it has
    /// capacity: the mean that a plan for all of them may aim at. The second number is its
    /// deviation of CPU.
    #[must_use]
    pub fn fair_share(&self, requests: impl Iterator<Item = usize>) -> (Parts, f64) {
        let mut sum = [0.0; MOST];
        let mut spread = Spread::default();
        for request in requests {
            spread += self.amounts[request].spread;
            for (sum, amount) in sum.iter_mut().zip(&self.amounts[request].part) {
                *sum += amount;
            }
        }
        for (j, sum) in sum.iter_mut().enumerate() {
            let scales = self.scale.iter().map(|scale| scale.part[j]).filter(|scale| *scale > 0.0);
            let capacity: f64 = scales.map(|scale| 1.0 / scale).sum();
            *sum = if capacity > 0.0 { *sum / capacity } else { 0.0 };
        }
        (sum, if self.risk > 0.0 { self.fair_deviation(&spread) } else { 0.0 })
    }

    /// The mean deviation of CPU if each host took as much of what is spread as it has capacity: what
    /// moves together is divided, what goes its own way evens out.
    fn fair_deviation(&self, spread: &Spread) -> f64 {
        let scales = || self.scale.iter().map(|scale| scale.cpu).filter(|scale| *scale > 0.0);
        let capacity: f64 = scales().map(|scale| 1.0 / scale).sum();
        if capacity <= 0.0 {
            return 0.0;
        }
        let together = spread.together.squared() / (capacity * capacity);
        let deviation = |scale: f64| (together + spread.alone * scale / capacity).sqrt();
        scales().map(deviation).sum::<f64>() / self.scale.len().max(1) as f64
    }
}

/// The weights of a placement: what is used counts, what is allocated does not.
fn placement(policy: &Policy) -> Weights {
    Weights {
        cpu_usage: policy.weight_cpu,
        memory_usage: policy.weight_memory,
        disk: policy.weight_disk_io,
        net: policy.weight_net_io,
        ..Weights::default()
    }
}

fn weighed(weights: &Weights) -> [(Dimension, f64); 6] {
    [
        (Dimension::Used(Resource::Cpu), weights.cpu_usage),
        (Dimension::Allocated(Resource::Cpu), weights.cpu),
        (Dimension::Used(Resource::Memory), weights.memory_usage),
        (Dimension::Allocated(Resource::Memory), weights.memory),
        (Dimension::Used(Resource::DiskIo), weights.disk),
        (Dimension::Used(Resource::NetIo), weights.net),
    ]
}

/// What is known of one dimension, gaps filled.
struct Values {
    vms: Vec<f64>,
    hosts: Vec<f64>,
    /// Stands for a capacity where none is known: with it the mean host is half full when all
    /// VMs run. No migration and no choice of hosts changes that.
    half_full: f64,
}

impl Values {
    /// `None` when nobody measures the dimension. What is not measured counts as the mean of
    /// what is.
    fn new(dimension: Dimension, snapshot: &Snapshot, demands: &Demands) -> Option<Self> {
        let vm = |request: usize| snapshot.candidates.get(request).map(|candidates| &snapshot.vms[candidates.vm]);
        let of_vm = |(request, demand): (usize, &Demand)| dimension.of_vm(&demand.planned(), vm(request));
        let vms: Vec<Option<f64>> = demands.vms.iter().enumerate().map(of_vm).collect();
        let of_host = |(at, host): (&HostUse, &Host)| dimension.of_host(&at.usage, host);
        let hosts: Vec<Option<f64>> = demands.hosts.iter().zip(&snapshot.hosts).map(of_host).collect();
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
        let (vms, hosts) = (filled(&vms, &known_vms), filled(&hosts, &known_hosts));
        let comes = |request: usize| vm(request).is_none_or(|vm| vm.state == VmState::Pending);
        let coming: f64 = (0..vms.len()).filter(|&request| comes(request)).map(|request| vms[request]).sum();
        let half_full = 2.0 * (hosts.iter().sum::<f64>() + coming) / hosts.len().max(1) as f64;
        Some(Self { vms, hosts, half_full })
    }
}

/// What is not a number counts as nothing.
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
            spread: Spread::of(20.0, Default::default()),
            basis: Basis::History,
        };
        Demands { vms: vec![vm], hosts: disk_of_hosts.map(host).to_vec(), ..Demands::default() }
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
        assert!((share.spread.deviation() - 0.1).abs() < 1e-12);
        assert_eq!(space.share(0, 1).part[..2], [0.0, 0.25], "a host without CPU");
        assert_eq!(space.used(0).part[..2], [0.5, 0.25]);
    }

    #[test]
    fn what_nobody_measures_is_left_out_and_what_some_do_makes_the_mean_host_half_full() {
        let space = Space::new(&snapshot(&[400, 400]), &demands(Some(10.0), [Some(40.0), None]), &Policy::default());
        let measured: Vec<bool> = space.resources.iter().map(|resource| resource.measured).collect();
        assert_eq!(measured, [true, true, true, false]);
        assert_eq!(space.count, 3);
        // 40 on each host and 10 that come: 45 of 90 on the mean host
        assert!((space.share(0, 0).part[2] - 10.0 / 90.0).abs() < 1e-12);
        assert!((space.used(1).part[2] - 40.0 / 90.0).abs() < 1e-12, "an unknown host is like the others");
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

    #[test]
    fn of_more_classes_than_can_be_balanced_the_first_are() {
        let policy = Policy { resources: Resources::Classes, ..Policy::default() };
        let of = |count: usize| {
            let classes = ClassSpace { vms: vec![vec![0.5; count]], hosts: vec![vec![1.0; count]; 2] };
            let demands = Demands { classes: Some(classes), ..demands(None, [None, None]) };
            let space = Space::new(&snapshot(&[400, 400]), &demands, &policy);
            (space.count, space.notices.iter().map(|notice| notice.text.clone()).collect::<Vec<_>>())
        };
        assert_eq!(of(MOST), (MOST, vec![]));
        let (count, notices) = of(MOST + 1);
        assert_eq!(count, MOST);
        assert!(
            notices.len() == 1 && notices[0].starts_with(&format!("the model has {} classes", MOST + 1)),
            "{notices:?}"
        );
    }

    #[test]
    fn a_host_gets_rid_of_no_more_than_it_uses() {
        let mut asked = crate::placement::testing::cloud(&[4, 4]);
        let vm = crate::placement::testing::run(&mut asked, 2, 0, &[1]);
        asked.vms[vm].resched = true;
        let relief = |cpu: f64, memory: f64| {
            let mut demands = crate::placement::testing::demands(&asked);
            (demands.hosts[0].usage.cpu, demands.hosts[0].usage.memory) = (cpu, memory);
            let space = Space::new(&asked, &demands, &Policy::default());
            let (host, share) = space.relief(0).unwrap();
            (
                host,
                share.cpu,
                share.memory * (1_i64 << 40) as f64,
                share.part[0],
                share.spread == space.share(0, 0).spread,
            )
        };
        // two of four cores, and 1024 KiB
        assert_eq!(relief(300.0, 5000.0), (0, 0.5, 1024.0, 0.5, true));
        assert_eq!(relief(100.0, 512.0), (0, 0.25, 512.0, 0.25, true));
        assert_eq!(relief(-1.0, 0.0), (0, 0.0, 0.0, 0.0, true));
        // one that is not to be moved leaves nothing behind
        asked.vms[vm].resched = false;
        let space = Space::new(&asked, &crate::placement::testing::demands(&asked), &Policy::default());
        assert!(space.relief(0).is_none());
    }

    use crate::placement::testing::{ask, cloud};

    #[test]
    fn all_that_comes_is_shared_out_by_capacity() {
        let mut asked = cloud(&[8, 4]);
        asked.hosts[1].memory.0 = 0;
        (0..2).for_each(|_| {
            ask(&mut asked, 3, &[0, 1]);
        });
        let mut all = crate::placement::testing::demands(&asked);
        all.vms.iter_mut().for_each(|demand| demand.cpu_deviation = 60.0);
        let share = |risk: f64, requests: &[usize]| {
            let space = Space::new(&asked, &all, &Policy { risk, ..Policy::default() });
            space.fair_share(requests.iter().copied())
        };
        let (parts, deviation) = share(0.0, &[0, 1]);
        // six of twelve cores, and all memory on host 0
        assert!((parts[0] - 0.5).abs() < 1e-12 && (parts[1] - 2048.0 / (1_i64 << 40) as f64).abs() < 1e-18);
        assert_eq!((deviation, parts[2]), (0.0, 0.0));
        // of 7200 each host has its part: 4800 of 800, 2400 of 400
        let each = |variance: f64, cores: f64| variance.sqrt() / cores;
        let (_, deviation) = share(1.0, &[0, 1]);
        let expected = (each(4800.0, 800.0) + each(2400.0, 400.0)) / 2.0;
        assert!((deviation - expected).abs() < 1e-12, "{deviation} {expected}");
        assert_eq!(share(1.0, &[]), ([0.0; MOST], 0.0));
        // what moves together is divided and does not even out
        all.vms.iter_mut().for_each(|demand| (demand.cpu_deviation, demand.sketch) = (60.0, Sketch::common(60.0)));
        let space = Space::new(&asked, &all, &Policy::default());
        let (_, deviation) = space.fair_share([0, 1].into_iter());
        assert!((deviation - 120.0 / 1200.0).abs() < 1e-12, "{deviation}");
    }

    #[test]
    fn the_mean_is_fixed_where_hosts_are_alike_and_nothing_is_uncertain() {
        let fixed = |cores: &[i64], risk: f64, deviation: f64| {
            let mut asked = cloud(cores);
            ask(&mut asked, 1, &[0]);
            let mut all = crate::placement::testing::demands(&asked);
            all.vms[0].cpu_deviation = deviation;
            Space::new(&asked, &all, &Policy { risk, ..Policy::default() }).mean_is_fixed()
        };
        for (cores, risk, deviation, expected) in [
            (&[8, 8][..], 0.0, 9.0, true),
            (&[8, 8], 0.5, 0.0, true),
            (&[8, 8], 0.5, 9.0, false),
            (&[8, 8, 4], 0.0, 0.0, false),
            (&[8], 0.0, 0.0, true),
        ] {
            assert_eq!(fixed(cores, risk, deviation), expected, "{cores:?} {risk} {deviation}");
        }
    }

    #[test]
    fn shares_add_up_and_are_taken_away_in_every_part() {
        let spread = |alone: f64| Spread { alone, ..Spread::default() };
        let share = |by: f64| Share {
            part: [by; MOST],
            cpu: 2.0 * by,
            memory: 3.0 * by,
            spread: spread(4.0 * by),
            allocated: Allocated { cpu: 5.0 * by, memory: 6.0 * by },
        };
        assert_eq!(share(1.0).plus(&share(2.0)), share(3.0));
        assert_eq!(share(3.0).minus(&share(2.0)), share(1.0));
        let scale =
            Scale { part: [0.5; MOST], cpu: 0.25, memory: 0.125, allocated: Allocated { cpu: 2.0, memory: 4.0 } };
        let found = share(1.0).scaled(&scale, 2);
        assert_eq!(found.part[..3], [0.5, 0.5, 0.0]);
        assert_eq!((found.cpu, found.memory, found.spread.alone), (0.5, 0.375, 0.25));
        assert_eq!(found.allocated, Allocated { cpu: 10.0, memory: 24.0 });
        let all = [Some(2.0), None, Some(f64::NAN)].map(|value| finite(value.unwrap_or(f64::INFINITY)));
        assert_eq!(all, [2.0, 0.0, 0.0]);
    }

    #[test]
    fn dimensions_have_names_weights_and_the_least_and_most_of_a_host() {
        let mut asked = cloud(&[8, 4]);
        asked.hosts.iter_mut().for_each(|host| host.memory.0 = 1000);
        ask(&mut asked, 1, &[0]);
        let all = crate::placement::testing::demands(&asked);
        let weights = Weights { cpu: 2.0, memory_usage: 3.0, memory: -1.0, disk: 1.0, ..Weights::default() };
        let mut policy = Policy { risk: 0.5, ..Policy::default() };
        policy.optimize.weights = Some(weights);
        let space = Space::of_cluster(&asked, &all, &policy);
        assert_eq!(space.names(), ["cpu allocated", "memory"]);
        assert_eq!((space.count, space.weights[..3].to_vec(), space.risk), (2, vec![2.0, 3.0, 0.0], 0.0));
        let told: Vec<_> = space.resources.iter().map(|one| (one.name.as_str(), one.weight, one.measured)).collect();
        assert_eq!(
            told,
            [
                ("cpu", 0.0, true),
                ("cpu allocated", 2.0, true),
                ("memory", 3.0, true),
                ("disk_io", 1.0, false),
                ("net_io", 0.0, false)
            ]
        );
        let (least, most) = space.scales();
        assert_eq!((least[0], most[0], least[1], most[1]), (1.0 / 800.0, 1.0 / 400.0, 0.001, 0.001));
        assert!(!space.sketched && space.relief(0).is_none());
        let mut sketched = all.clone();
        sketched.vms[0].sketch = Sketch::common(1.0);
        assert!(Space::new(&asked, &sketched, &policy).sketched);
        sketched = all;
        sketched.hosts[1].spread.together = Sketch::common(1.0);
        assert!(Space::new(&asked, &sketched, &policy).sketched);
    }

    #[test]
    fn of_a_closed_host_what_is_allocated_counts_by_what_it_would_have() {
        let mut asked = cloud(&[8]);
        asked.hosts[0].cpu_allocated.0 = 400;
        asked.hosts[0].total = (crate::model::units::Cpu(1600), crate::model::units::Memory(0));
        let allocated = |asked: &Snapshot| {
            let space = Space::new(asked, &crate::placement::testing::demands(asked), &Policy::default());
            (space.used(0).allocated.cpu, space.closed[0], space.scale(0).allocated.memory > 0.0)
        };
        assert_eq!(allocated(&asked), (0.5, false, true));
        asked.hosts[0].closed = true;
        assert_eq!(allocated(&asked), (0.25, true, false));
    }

    #[test]
    fn what_runs_already_does_not_come_and_what_nobody_tells_is_like_the_mean() {
        let mut asked = cloud(&[8, 8]);
        (0..3).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        asked.vms[1].state = VmState::Active;
        let mut all = crate::placement::testing::demands(&asked);
        (all.vms[0].level.disk_io, all.vms[1].level.disk_io) = (Some(10.0), Some(30.0));
        (all.hosts[0].usage.disk_io, all.hosts[1].usage.disk_io) = (Some(40.0), None);
        let values = Values::new(Dimension::Used(Resource::DiskIo), &asked, &all).expect("some measure it");
        assert_eq!((values.vms, values.hosts), (vec![10.0, 30.0, 20.0], vec![40.0, 40.0]));
        // 80 on hosts, 10 and 20 that come: twice that on two hosts
        assert_eq!(values.half_full, 110.0);
        for demand in &mut all.vms {
            demand.level.disk_io = None;
        }
        let values = Values::new(Dimension::Used(Resource::DiskIo), &asked, &all).expect("a host measures it");
        assert_eq!((values.vms, values.half_full), (vec![0.0; 3], 80.0));
        assert!(Values::new(Dimension::Used(Resource::NetIo), &asked, &all).is_none());
        assert!(Values::new(Dimension::Class(1), &asked, &all).is_none());
    }

    #[test]
    fn what_deviates_is_shared_out_by_capacity_and_hosts_without_take_none() {
        let deviation = |cores: &[i64], together: f64, alone: f64| {
            let mut asked = cloud(cores);
            ask(&mut asked, 1, &[0]);
            let mut all = crate::placement::testing::demands(&asked);
            all.vms[0].cpu_deviation = alone.hypot(together);
            all.vms[0].sketch = Sketch::common(together);
            let space = Space::new(&asked, &all, &Policy { risk: 1.0, ..Policy::default() });
            space.fair_share(std::iter::once(0)).1
        };
        let near =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
        near(deviation(&[8], 0.0, 80.0), 0.1);
        // a half of the variance on each of two, and the mean of three
        near(deviation(&[8, 8], 0.0, 80.0), 3200.0_f64.sqrt() / 800.0);
        near(deviation(&[8, 8, 0], 0.0, 80.0), 2.0 * 3200.0_f64.sqrt() / 800.0 / 3.0);
        near(deviation(&[8, 8, 0], 80.0, 0.0), 2.0 * 0.05 / 3.0);
        near(deviation(&[8, 8], 80.0, 60.0), (0.05_f64.powi(2) + 1800.0 / 640_000.0).sqrt());
        near(deviation(&[0, 0], 80.0, 60.0), 0.0);
    }

    #[test]
    fn what_leaves_is_known_of_those_that_run_on_a_host_of_the_request() {
        use crate::model::ids::HostId;
        let mut asked = cloud(&[8, 8]);
        (0..3).for_each(|_| {
            crate::placement::testing::run(&mut asked, 1, 1, &[0]);
        });
        asked.vms[0].resched = true;
        (asked.vms[1].resched, asked.vms[1].host) = (true, Some(HostId(9)));
        let all = crate::placement::testing::demands(&asked);
        let space = Space::new(&asked, &all, &Policy::default());
        let from = |request: usize| space.relief(request).map(|(host, _)| host);
        assert_eq!([from(0), from(1), from(2), from(3)], [Some(1), None, None, None]);
    }

    #[test]
    fn dimensions_are_told_by_name() {
        let names = [
            Dimension::Used(Resource::DiskIo),
            Dimension::Used(Resource::NetIo),
            Dimension::Allocated(Resource::Memory),
            Dimension::Class(3),
        ]
        .map(Dimension::name);
        assert_eq!(names, ["disk_io", "net_io", "memory allocated", "class 3"]);
    }
}

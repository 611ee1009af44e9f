//! What the operator wants: checked values, every one with a default.
//! `config` makes one of these from files; the planner only reads it.

/// The operator's choices.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// s_green of AI-Orchestrator: how much a host without renewable energy is worse.
    pub s_green: f64,
    /// What `s_green` scales.
    pub green_cost: GreenCost,
    /// Weight of CPU in the distance D.
    pub weight_cpu: f64,
    /// Weight of memory in the distance D.
    pub weight_memory: f64,
    /// Weight of disk traffic in the distance D.
    pub weight_disk_io: f64,
    /// Weight of network traffic in the distance D.
    pub weight_net_io: f64,
    /// Weight of uncertainty in the distance D, in weights of CPU.
    pub risk: f64,
    /// Share of the time that a host may be over its capacity by what is expected.
    pub overload: f64,
    /// How much more than the mean of all hosts those with the cheapest energy may carry, and how much less
    /// those with the dearest, as a share of that mean.
    pub energy_budget: f64,
    /// What is balanced.
    pub resources: Resources,
    /// Whose classes, one of [`CLASSIFIERS`]; `None`: those of the model that is there.
    pub classifier: Option<&'static str>,
    /// What makes the choice among allowed hosts.
    pub scheduler: Scheduler,
    /// How the choice is made by interference.
    pub objective: Objective,
    /// For choices by chance.
    pub seed: u64,
    /// Seconds of CPU that a plan may take.
    pub deadline: f64,
    /// At most this many VMs of one request go to one host; `None` is no limit.
    pub max_per_host: Option<u32>,
    /// Whose VMs are to find a place on the other hosts if it fails.
    pub spare: Spare,
    /// SCHED_RANK and SCHED_DS_RANK go before our score.
    pub sched_rank: bool,
    /// How a system datastore is chosen among those that fit.
    pub datastores: Spread,
    /// How a network is chosen among those that fit.
    pub networks: Spread,
    /// The NICs of one VM go to different networks.
    pub different_vnets: bool,
    /// Adds this factor x memory (MB) to a VM's need on its system datastore.
    pub memory_system_ds_scale: f64,
    /// A host sample older than this, in seconds before the newest one of the
    /// request, does not count; with 0 none does.
    pub monitoring_max_age: i64,
    /// How VMs are tried again that do not start.
    pub retry: Retry,
    /// How much oned's executor does at once.
    pub executor: Executor,
    /// How clusters are optimized.
    pub optimize: Optimize,
    /// What is taken for granted where hosts are emptied in waves.
    pub drain: DrainTimes,
}

/// Times of maintenance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrainTimes {
    /// MiB a second that a migration copies, where HISTORY does not tell.
    pub rate: f64,
    /// Seconds that the hosts of a wave are away.
    pub away: u32,
}

impl Default for DrainTimes {
    fn default() -> Self {
        // 1 Gbit/s less what protocols take; a boot with its checks
        Self { rate: 100.0, away: 600 }
    }
}

/// What may fail with all its VMs finding a place elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Spare {
    /// Nobody looks.
    #[default]
    None,
    /// Any one host.
    Host,
    /// All hosts with one value of this attribute.
    Domain(String),
}

/// What oned's executor does at once; the names are oned's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executor {
    /// MAX_ACTIONS_PER_HOST.
    pub per_host: usize,
    /// MAX_ACTIONS_PER_CLUSTER; for placements in the whole zone.
    pub per_cluster: usize,
}

impl Default for Executor {
    fn default() -> Self {
        Self { per_host: 1, per_cluster: 30 }
    }
}

/// How VMs are tried again that were placed and did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// With so many failures a VM goes after others and has to pause; 0 never.
    pub after: u32,
    /// Seconds of the first pause; each further one is twice as long.
    pub pause: u32,
    /// Seconds of the longest pause.
    pub longest: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { after: 3, pause: 120, longest: 1800 }
    }
}

/// How clusters are optimized, unless their ONE_DRS says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimize {
    /// What is wanted.
    pub policy: DrsPolicy,
    /// At most this many migrations in one plan; `None` is no limit.
    pub migrations: Option<u32>,
    /// At most this many to another host.
    pub host_migrations: Option<u32>,
    /// At most this many to another datastore.
    pub datastore_migrations: Option<u32>,
    /// From this share of its room on, VMs are moved off a system datastore.
    pub datastore_limit: f64,
    /// Weights of the resources in D; `None`: those of placement.
    pub weights: Option<Weights>,
    /// Share of forecasts in what VMs will use, 0 to 1; the rest is what they use.
    pub predictive: f64,
    /// A migration must be worth this much D: as two hosts that come so much nearer to the mean.
    pub minimum_gain: f64,
    /// Pinned VMs and VMs with PCI devices may be moved.
    pub move_pinned: bool,
    /// `pack` fills hosts up to this share of their CPU and memory, as expected, deviations included.
    pub pack_limit: f64,
}

impl Default for Optimize {
    fn default() -> Self {
        Self {
            policy: DrsPolicy::Balance,
            migrations: None,
            host_migrations: None,
            datastore_migrations: Some(0),
            datastore_limit: 0.9,
            weights: None,
            predictive: 0.0,
            minimum_gain: 0.02,
            move_pinned: false,
            pack_limit: 0.8,
        }
    }
}

/// ONE_DRS/POLICY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrsPolicy {
    /// Even out the hosts.
    Balance,
    /// Empty as many hosts as possible.
    Pack,
}

/// Weights of the resources in the distance D of an optimization.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights {
    /// CPU_USAGE_WEIGHT: CPU as used.
    pub cpu_usage: f64,
    /// CPU_WEIGHT: CPU as allocated.
    pub cpu: f64,
    /// MEMORY_USAGE_WEIGHT, a key of ours: memory as used.
    pub memory_usage: f64,
    /// MEMORY_WEIGHT: memory as allocated.
    pub memory: f64,
    /// DISK_WEIGHT: bytes read and written.
    pub disk: f64,
    /// NET_WEIGHT: bytes received and sent.
    pub net: f64,
}

/// What makes the choice among the hosts that a VM may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// The objective.
    Interference,
    /// Chance: a baseline to compare with.
    Random,
}

/// How hosts are chosen by interference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The largest D_green over all hosts is minimised, for the whole batch together.
    Joint,
    /// VMs one after another, each to the host with the smallest D_green with it: the
    /// choice that AI-Orchestrator describes.
    AiOrchestrator,
    /// The same without the absolute value: the choice that AI-Orchestrator's program makes.
    AiOrchestratorSigned,
}

impl Policy {
    /// Deviations of the normal distribution that are exceeded in a share `overload` of the time: 2.33 for
    /// 0.01; 0 from one half on.
    #[must_use]
    pub fn deviations(&self) -> f64 {
        let share = if self.overload.is_finite() { self.overload.max(1e-9) } else { 0.5 };
        let exceeded = |deviations: f64| 0.5 * libm::erfc(deviations / std::f64::consts::SQRT_2);
        let (mut low, mut high) = (0.0, 6.0);
        // 40 halvings of 6 leave an error of 1e-11
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if exceeded(middle) > share { low = middle } else { high = middle }
        }
        if share >= 0.5 { 0.0 } else { low }
    }
}

/// What energy adds to the distance D of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreenCost {
    /// Multiplicative, by the share of renewable energy.
    AiOrchestrator,
    /// By what a host is evened to: hosts where energy is cheap carry more.
    Energy,
}

impl GreenCost {
    /// All there are, as they are written.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("ai-orchestrator", Self::AiOrchestrator), ("energy", Self::Energy), ("seed", Self::AiOrchestrator)];
}

/// What the planner balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resources {
    /// CPU, memory, disk and network traffic, in their units.
    Metrics,
    /// The distances to the classes of a model, as AI-Orchestrator.
    Classes,
}

/// Classifiers by their names here and in AI-Orchestrator, in the order of the registry.
pub const CLASSIFIERS: [(&str, &str); 5] = [
    ("kmeans", "kmeans"),
    ("mc2pca", "ClassicalClassifier"),
    ("random", "RandomClassifier"),
    ("idec", "DLIR"),
    ("idec-soft", "DLClassifier"),
];

/// A classifier by either name, in any case; its name here.
#[must_use]
pub fn classifier(text: &str) -> Option<&'static str> {
    let named = |(ours, theirs): &&(&str, &str)| ours.eq_ignore_ascii_case(text) || theirs.eq_ignore_ascii_case(text);
    CLASSIFIERS.iter().find(named).map(|(ours, _)| *ours)
}

/// The stock choices of datastore and network policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The one with most free first (striping, the stock default).
    Striping,
    /// The one with least free that still fits first (packing).
    Packing,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            s_green: 1.0,
            green_cost: GreenCost::AiOrchestrator,
            weight_cpu: 1.0,
            weight_memory: 1.0,
            weight_disk_io: 0.1,
            weight_net_io: 0.1,
            risk: 0.5,
            overload: 0.01,
            energy_budget: 0.7,
            resources: Resources::Metrics,
            classifier: None,
            scheduler: Scheduler::Interference,
            objective: Objective::Joint,
            seed: 0,
            deadline: 1.0,
            max_per_host: None,
            spare: Spare::None,
            sched_rank: true,
            datastores: Spread::Striping,
            networks: Spread::Striping,
            different_vnets: true,
            memory_system_ds_scale: 0.0,
            monitoring_max_age: 600,
            retry: Retry::default(),
            executor: Executor::default(),
            optimize: Optimize::default(),
            drain: DrainTimes::default(),
        }
    }
}

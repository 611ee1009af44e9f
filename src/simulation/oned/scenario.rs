//! What is simulated: the front-end's settings, the hosts, who comes when, what goes wrong.

use super::dice::{Span, normal, uniform};
use crate::model::ids::{GroupId, VmId};
use crate::model::snapshot::RolePolicy;
use std::sync::Arc;

/// Milliseconds since the beginning of a run.
pub type Millis = i64;

/// A second.
pub const SECOND: Millis = 1000;

/// oned's settings of the loop, under its own names where it has some; times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// SCHED_MAX_WND_TIME.
    pub window_time: Millis,
    /// SCHED_MAX_WND_LENGTH, VMs.
    pub window_length: usize,
    /// How often it looks whether a window is over.
    pub window_tick: Millis,
    /// SCHED_RETRY_TIME.
    pub retry: Millis,
    /// MANAGER_TIMER: when the executor goes on.
    pub timer: Millis,
    /// MAX_ACTIONS_PER_HOST.
    pub actions_per_host: usize,
    /// MAX_ACTIONS_PER_CLUSTER.
    pub actions_per_cluster: usize,
    /// ACTION_TIMEOUT.
    pub action_timeout: Millis,
    /// DRS_INTERVAL; `None` never optimizes.
    pub drs_interval: Option<Millis>,
    /// Between matching VMs to hosts and writing the request.
    pub matching: Millis,
    /// How long the driver takes for an answer, beyond what it waits for earlier ones.
    pub answer: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_time: 10 * SECOND,
            window_length: 7,
            window_tick: 5 * SECOND,
            retry: 60 * SECOND,
            timer: 15 * SECOND,
            actions_per_host: 1,
            actions_per_cluster: 30,
            action_timeout: 300 * SECOND,
            drs_interval: None,
            matching: 20,
            answer: Span::Between(0.04, 0.08),
        }
    }
}

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSpec {
    /// HOST/ID.
    pub id: i32,
    /// CLUSTER_ID.
    pub cluster: i32,
    /// Percent of a core.
    pub cpu: i64,
    /// KiB.
    pub memory: i64,
    /// The share of deployments that fail here, 0 to 1.
    pub fails: f64,
    /// So many times as long as elsewhere take deployments here.
    pub slowness: f64,
    /// What it uses by itself: percent of a core, KiB.
    pub overhead: (f64, f64),
    /// Attributes of its template.
    pub attributes: Vec<(String, String)>,
}

impl HostSpec {
    /// A host without faults in cluster 0.
    #[must_use]
    pub fn plain(id: i32, cores: i64, gib: i64) -> Self {
        Self {
            id,
            cluster: 0,
            cpu: cores * 100,
            memory: gib << 20,
            fails: 0.0,
            slowness: 1.0,
            overhead: (10.0, 524_288.0),
            attributes: Vec::new(),
        }
    }
}

/// How deployments go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Starts {
    /// How long one takes.
    pub takes: Span,
    /// The share that never ends, 0 to 1.
    pub never: f64,
    /// Seconds until a hook recreates a VM that failed or hangs.
    pub recreated_after: f64,
}

impl Default for Starts {
    fn default() -> Self {
        Self { takes: Span::Between(1.0, 3.0), never: 0.0, recreated_after: 30.0 }
    }
}

/// What a VM uses over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// Mean share of its CPU.
    pub level: f64,
    /// How far it swings over a day, as a share of the level.
    pub swing: f64,
    /// Hour of its peak.
    pub peak_hour: f64,
    /// Spread around that, as a share: equally likely within plus and minus this.
    pub noise: f64,
    /// How long a value of the noise holds, in seconds.
    pub holds: i64,
    /// Share of its memory.
    pub memory: f64,
    /// Shares of its CPU by steps of five minutes, over and over, in place of all above.
    pub played: Option<Arc<[f64]>>,
}

impl Use {
    /// Always the same.
    #[must_use]
    pub fn steady(level: f64) -> Self {
        Self { level, swing: 0.0, peak_hour: 0.0, noise: 0.0, holds: 600, memory: 0.6, played: None }
    }

    /// The share of its CPU that a VM uses at a moment (seconds since 1970).
    #[must_use]
    pub fn cpu(&self, seed: u64, vm: VmId, at: i64) -> f64 {
        if let Some(played) = self.played.as_deref().filter(|played| !played.is_empty()) {
            return played[at.div_euclid(300).rem_euclid(played.len() as i64) as usize];
        }
        let hour = at.rem_euclid(86_400) as f64 / 3600.0;
        let wave = 1.0 + self.swing * (std::f64::consts::TAU * (hour - self.peak_hour) / 24.0).cos();
        let period = at.div_euclid(self.holds.max(1)) as u64;
        let noise = if self.noise > 0.0 {
            1.0 + self.noise * (2.0 * uniform(&[seed, 0xca1, vm.0 as u64, period]) - 1.0)
        } else {
            1.0
        };
        (self.level * wave * noise).clamp(0.0, 1.0)
    }
}

/// A VM that comes.
#[derive(Clone, Debug, PartialEq)]
pub struct VmSpec {
    /// VM/ID; they grow with time.
    pub id: VmId,
    /// Percent of a core.
    pub cpu: i64,
    /// KiB.
    pub memory: i64,
    /// MB of the disk that is copied.
    pub disk: i64,
    /// Its group: id, name of its role, and what the role wants.
    pub group: Option<(GroupId, RolePolicy)>,
    /// What it uses.
    pub uses: Use,
    /// TEMPLATE_ID, which makes relatives.
    pub template: i32,
    /// How long it runs; `None` for ever.
    pub lives: Option<Millis>,
}

/// Something that happens from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// A user creates a VM.
    Create(Box<VmSpec>),
    /// A VM that runs on this host already when the run begins.
    Born(Box<VmSpec>, i32),
    /// A user terminates a VM.
    Terminate(VmId),
    /// A user or an operator flags a VM.
    Resched(VmId),
    /// A VM gets another size (percent of a core, KiB), if its host has room for that.
    Resize(VmId, i64, i64),
    /// A host dies with all that runs on it; the hook resubmits its VMs after so many milliseconds.
    HostDies(i32, Millis),
    /// A host is back.
    HostReturns(i32),
    /// An operator disables a host.
    HostDisabled(i32),
    /// Samples of a host stop, or go on.
    Samples(i32, bool),
    /// The store is lost, or back.
    Store(bool),
    /// Another front-end leads: it has a store of its own.
    FrontEnd(usize),
    /// oned restarts: plans and windows are gone.
    Restart,
    /// The clock of the front-end is off by this many seconds from now on.
    Clock(i64),
}

/// How hosts and VMs are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Monitoring {
    /// Between two samples of a host.
    pub host: Millis,
    /// Between two samples of a VM.
    pub vm: Millis,
    /// The share of samples that are lost.
    pub lost: f64,
    /// The share of samples that say zero.
    pub zero: f64,
    /// Spread of what is measured around what is used, as a share (one standard deviation).
    pub noise: f64,
    /// Whether a collector feeds the store with the samples of VMs.
    pub collected: bool,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { host: 120 * SECOND, vm: 300 * SECOND, lost: 0.0, zero: 0.0, noise: 0.0, collected: true }
    }
}

impl Monitoring {
    /// What a sample says of an amount; `None` when it is lost.
    #[must_use]
    pub fn seen(&self, parts: &[u64], amount: f64) -> Option<f64> {
        let own = |what: u64| [parts, &[what]].concat();
        if self.lost > 0.0 && uniform(&own(1)) < self.lost {
            return None;
        }
        if self.zero > 0.0 && uniform(&own(2)) < self.zero {
            return Some(0.0);
        }
        let noise = if self.noise > 0.0 { 1.0 + self.noise * normal(&own(3)) } else { 1.0 };
        Some((amount * noise).max(0.0))
    }
}

/// A run from beginning to end.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Of everything random.
    pub seed: u64,
    /// The moment of its beginning, seconds since 1970.
    pub begins: i64,
    /// When it ends.
    pub ends: Millis,
    /// It ends before, as soon as nobody waits any more and nobody will come.
    pub ends_when_all_run: bool,
    /// oned.
    pub settings: Settings,
    /// The hosts, by id.
    pub hosts: Vec<HostSpec>,
    /// Deployments.
    pub starts: Starts,
    /// MB of memory that a migration copies in a second.
    pub migration_rate: f64,
    /// The share of migrations that oned or the hypervisor refuses.
    pub migrations_fail: f64,
    /// Samples.
    pub monitoring: Monitoring,
    /// ONE_DRS of every cluster, as its elements.
    pub one_drs: String,
    /// What happens, by time.
    pub happenings: Vec<(Millis, Happening)>,
}

impl Scenario {
    /// Nobody comes, nothing happens, for so long.
    #[must_use]
    pub fn quiet(seed: u64, hosts: Vec<HostSpec>, ends: Millis) -> Self {
        Self {
            seed,
            begins: 1_795_000_000,
            ends,
            ends_when_all_run: false,
            settings: Settings::default(),
            hosts,
            starts: Starts::default(),
            migration_rate: 1000.0,
            migrations_fail: 0.0,
            monitoring: Monitoring::default(),
            one_drs: "<AUTOMATION>full</AUTOMATION><POLICY>balance</POLICY>".to_owned(),
            happenings: Vec::new(),
        }
    }

    /// Puts what happens into order.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.happenings.sort_by_key(|(at, _)| *at);
        self
    }
}

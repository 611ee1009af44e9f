//! What VMs will use and hosts do use: the numbers that scores are made of.
//!
//! Capacity checks never look at these: room on a host is a matter of what is
//! allocated, interference a matter of what is used.

use super::ids::VmId;
use super::resource::Resource;
use super::sketch::{Sketch, Spread};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// An amount of every resource. `None` where nobody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Percent of one core.
    pub cpu: f64,
    /// KiB.
    pub memory: f64,
    /// Bytes read and written per second.
    pub disk_io: Option<f64>,
    /// Bytes received and sent per second.
    pub net_io: Option<f64>,
}

impl Usage {
    /// The amount of a resource; `None` where nobody can tell.
    #[must_use]
    pub fn of(&self, resource: Resource) -> Option<f64> {
        match resource {
            Resource::Cpu => Some(self.cpu),
            Resource::Memory => Some(self.memory),
            Resource::DiskIo => self.disk_io,
            Resource::NetIo => self.net_io,
        }
    }

    /// What a function says of each resource; CPU and memory that it cannot tell are 0.
    pub fn from_fn(mut of: impl FnMut(Resource) -> Option<f64>) -> Self {
        Self {
            cpu: of(Resource::Cpu).unwrap_or(0.0),
            memory: of(Resource::Memory).unwrap_or(0.0),
            disk_io: of(Resource::DiskIo),
            net_io: of(Resource::NetIo),
        }
    }
}

/// A class of VMs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Counted from 0.
    pub number: u16,
    /// 0 to 1.
    pub confidence: f64,
}

/// Where a demand comes from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Its own history.
    History,
    /// Its latest sample, in the request itself.
    Monitoring,
    /// VMs of the same flavour (USER_TEMPLATE/FLAVOURS).
    Flavour,
    /// VMs of the same template (TEMPLATE/TEMPLATE_ID).
    Template,
    /// VMs of the same image.
    Image,
    /// VMs of the same owner and size.
    Owner,
    /// VMs of the same size.
    Size,
    /// All VMs with history.
    Everyone,
    /// The capacity that the VM asks for.
    Request,
}

impl Source {
    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Monitoring => "monitoring",
            Self::Flavour => "flavour",
            Self::Template => "template",
            Self::Image => "image",
            Self::Owner => "owner",
            Self::Size => "size",
            Self::Everyone => "everyone",
            Self::Request => "request",
        }
    }
}

/// The expected use of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Demand {
    /// Mean over the time ahead.
    pub level: Usage,
    /// 95th percentile over the time ahead.
    pub peak: Usage,
    /// Standard deviation of the CPU level, percent of a core: how far the mean over the
    /// time ahead may be from `level`. 0 where nobody can tell.
    pub cpu_deviation: f64,
    /// The part of that deviation which moves with other VMs'.
    pub sketch: Sketch,
    /// What the estimate rests on.
    pub source: Source,
    /// The class of its last window, where a model could tell.
    pub class: Option<Class>,
}

impl Demand {
    /// How far the VM may be from its level, ready to be summed up over a host.
    #[must_use]
    pub fn spread(&self) -> Spread {
        Spread::of(self.cpu_deviation, self.sketch)
    }

    /// What plans reckon with: the level of CPU, which hosts even out, and the peak of
    /// memory, which they cannot.
    #[must_use]
    pub fn planned(&self) -> Usage {
        Usage { cpu: self.level.cpu, memory: self.peak.memory, disk_io: self.level.disk_io, net_io: self.level.net_io }
    }
}

/// Where the utilisation of a host comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The estimates of its VMs.
    History,
    /// The host's latest sample.
    Monitoring,
    /// What is allocated on it, for want of a fresh sample.
    Allocation,
}

/// What one host uses before anything is placed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HostUse {
    /// Same units as a VM's usage.
    pub usage: Usage,
    /// How far its VMs together may be from their levels, reckoning with who peaks with whom.
    pub spread: Spread,
    /// What it rests on.
    pub basis: Basis,
}

/// Everything that the planner needs to know about use.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// One per entry of `Snapshot::candidates`, same order.
    pub vms: Vec<Demand>,
    /// One per entry of `Snapshot::hosts`, same order.
    pub hosts: Vec<HostUse>,
    /// When VMs that run go up and down, as far as their history tells; for explanations.
    pub sketches: HashMap<VmId, Sketch>,
    /// AI-Orchestrator's own space, where it was asked for and a model could tell.
    pub classes: Option<ClassSpace>,
}

/// Demands and loads as vectors of class distances (`resources: classes`), all of one
/// length: what AI-Orchestrator balances instead of metrics. Already fractions: no capacity
/// divides them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassSpace {
    /// One per entry of `Snapshot::candidates`, same order; each scaled to [0, 1].
    pub vms: Vec<Vec<f64>>,
    /// One per entry of `Snapshot::hosts`, same order: the sum over its VMs.
    pub hosts: Vec<Vec<f64>>,
}

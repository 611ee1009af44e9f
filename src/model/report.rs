//! What the planner has to say: every choice, every refusal, and how the hosts
//! stand before and after. Shells print it; nothing decides by it.

use super::brief::Brief;
use super::demand::{Basis, Class, Source};
use super::ids::{DatastoreId, HostId, VmId};
use super::moment::utc;
use super::plan::Plan;
use super::snapshot::Notice;
use super::units::{Cpu, Memory};
use serde::Serialize;
use std::borrow::Cow;
use std::cmp::Reverse;

/// The planner's whole answer.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// What to do.
    pub plan: Plan,
    /// Why, and what not.
    pub report: Report,
}

/// The reasons behind a plan.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One per action, in the plan's order.
    pub decisions: Vec<Decision>,
    /// One per schedulable VM without an action, by VM id.
    pub refusals: Vec<Refusal>,
    /// VMs that need no answer now, with the reason, by VM id: they run already, are on their way, or
    /// come next. They neither wait in vain nor are they refused.
    pub later: Vec<(VmId, String)>,
    /// How many of the refused are held back because they failed to start.
    pub held: usize,
    /// One per host, by host id.
    pub hosts: Vec<HostReport>,
    /// What was odd in the request or the policy's inputs.
    pub notices: Vec<Notice>,
    /// Largest D_green over the hosts, before and after.
    pub objective: (f64, f64),
    /// No plan that places the same VMs gets the objective below this.
    pub bound: f64,
    /// What green changed, where it could change anything.
    pub green: Option<GreenEffect>,
    /// What D is made of.
    pub resources: Vec<ResourceReport>,
    /// Room for a failure after the plan, where the policy asks for some.
    pub spare: Option<SpareRoom>,
    /// Hosts on which VMs failed to start lately, by id.
    pub failing: Vec<FailingHost>,
}

/// A host on which VMs failed to start lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailingHost {
    /// The host.
    pub host: HostId,
    /// How many VMs.
    pub vms: usize,
    /// When the first of them did, in seconds since 1970.
    pub since: i64,
    /// When it counts fully again at the latest, unless more fail; `None` where it is passed over for no
    /// other VM than these.
    pub until: Option<i64>,
}

/// Hosts on which starts fail are counted by name up to this many: when it is all, something else is wrong.
const FAILING: usize = 50;

impl FailingHost {
    /// Those with the most failures, as many as are counted by name.
    pub fn worst(failing: &[Self]) -> impl Iterator<Item = &Self> {
        let mut worst: Vec<&Self> = failing.iter().collect();
        worst.sort_by_key(|one| (Reverse(one.vms), one.host));
        worst.into_iter().take(FAILING)
    }

    /// In one sentence, without the host.
    #[must_use]
    pub fn text(&self) -> String {
        let (vms, since) = (self.vms, utc(self.since));
        match (self.until, vms) {
            (Some(until), _) => {
                let until = utc(until);
                format!("{vms} VMs failed to start here since {since}; others go first until {until}")
            }
            (None, 1) => format!("one VM failed to start here at {since}; that one goes elsewhere first"),
            (None, _) => {
                format!("{vms} VMs failed to start here since {since}, and elsewhere too; they go elsewhere first")
            }
        }
    }
}

/// Whether the VMs of whatever fails would find a place elsewhere (N+1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpareRoom {
    /// What fails: HOST, or the attribute that all hosts of a domain have in common.
    pub by: String,
    /// How many failures were looked at, each for itself.
    pub failures: usize,
    /// Those after which VMs would have no place; that of most VMs first.
    pub lacking: Vec<Shortfall>,
}

impl SpareRoom {
    /// In one sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let what = if self.by == "HOST" { "hosts".to_owned() } else { format!("values of {}", self.by) };
        match self.lacking.first() {
            None => format!("any one of {} {what} may fail: all VMs would find a place", self.failures),
            Some(worst) => format!(
                "of {} {what} {} may not fail: {}",
                self.failures,
                self.lacking.len(),
                worst.text().trim_start_matches("N+1: ")
            ),
        }
    }
}

/// VMs that would have no place after a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shortfall {
    /// The hosts that fail.
    pub hosts: Vec<HostId>,
    /// `RACK r1`; empty for a single host.
    pub domain: String,
    /// How many VMs are on them.
    pub of: usize,
    /// How many of these would have no place.
    pub vms: usize,
    /// What they ask for, percent of a core.
    pub cpu: Cpu,
    /// What they ask for, KiB.
    pub memory: Memory,
}

impl Shortfall {
    /// In one sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let whose = match (&self.domain, self.hosts.first()) {
            (domain, Some(host)) if domain.is_empty() => format!("host {host}"),
            (domain, _) => domain.clone(),
        };
        format!(
            "N+1: {} of {} VMs of {whose} would have no place: they need {} and {}",
            self.vms,
            self.of,
            self.cpu.text(),
            self.memory.text()
        )
    }
}

/// A plan against the one that the same planner makes with s_green = 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GreenEffect {
    /// What the VMs of the plan add to the hosts' consumption.
    pub chosen: Footprint,
    /// The same without a thought of green.
    pub ignoring: Footprint,
    /// Largest distance D of a host without what energy makes of it, with the plan and with the other.
    pub distance: (f64, f64),
    /// VMs that go elsewhere because of it.
    pub moved: usize,
    /// What these numbers rest on.
    pub assumption: String,
}

impl GreenEffect {
    /// In one sentence.
    #[must_use]
    pub fn text(&self) -> String {
        let amount = |of: &Footprint| format!("{:.2} kWh and {:.0} gCO2 a day", of.kwh_per_day, of.grams_per_day);
        format!(
            "what is placed draws {}; with s_green 0 it would be {} (largest D {:.3} instead of {:.3}, VMs that go \
             elsewhere: {}), {}",
            amount(&self.chosen),
            amount(&self.ignoring),
            self.distance.0,
            self.distance.1,
            self.moved,
            self.assumption
        )
    }
}

/// Energy and carbon of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Footprint {
    /// kWh.
    pub kwh_per_day: f64,
    /// Grams of CO2.
    pub grams_per_day: f64,
}

impl Report {
    /// The outcome in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let (before, after) = self.objective;
        let (placed, all) = (self.decisions.len(), self.decisions.len() + self.refusals.len());
        let gap = (after - self.bound).max(0.0);
        let bound = if placed > 0 { format!(" (lower bound {:.3}, gap {gap:.3})", self.bound) } else { String::new() };
        let held =
            if self.held > 0 { format!(" ({} held back after failed starts)", self.held) } else { String::new() };
        let later = match self.later.len() {
            0 => String::new(),
            count => format!(", {count} more are on their way or come next"),
        };
        format!("placed {placed} of {all} VMs{held}{later}; largest interference D {before:.3} -> {after:.3}{bound}")
    }

    /// The renewable share of the hosts that VMs go to; `None` when none goes anywhere.
    #[must_use]
    pub fn green_share(&self) -> Option<f64> {
        let (mut vms, mut green) = (0.0, 0.0);
        for host in &self.hosts {
            vms += host.arrivals as f64;
            green += host.arrivals as f64 * host.green.unwrap_or(0.0);
        }
        (vms > 0.0).then(|| green / vms)
    }

    /// What D is made of, in one line, with what is left out.
    #[must_use]
    pub fn resources_text(&self) -> String {
        let list = |measured: bool| {
            let some = self.resources.iter().filter(|resource| resource.measured == measured && resource.weight > 0.0);
            let name = |resource: &ResourceReport| match resource.weight {
                1.0 => resource.name.clone(),
                weight => format!("{} x {weight}", resource.name),
            };
            some.map(name).collect::<Vec<_>>().join(", ")
        };
        let left_out = list(false);
        let rest = if left_out.is_empty() { String::new() } else { format!("; nobody measures {left_out}") };
        format!("{}{rest}", list(true))
    }
}

/// A resource of the distance D.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceReport {
    /// As in `weights.NAME`.
    pub name: String,
    /// Its weight.
    pub weight: f64,
    /// Somebody tells how much is used; without that it is left out.
    pub measured: bool,
}

/// Why a VM goes where it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The VM.
    pub vm: VmId,
    /// Its host.
    pub host: HostId,
    /// Its system datastore.
    pub datastore: DatastoreId,
    /// D_green of the host just before this VM was placed.
    pub score_before: f64,
    /// D_green of the host with this VM.
    pub score_after: f64,
    /// Where the demand behind the score comes from.
    pub demand: Source,
    /// The class of its last window, where a model could tell.
    pub class: Option<Class>,
    /// How far its CPU level may be off, percent of a core.
    pub cpu_deviation: f64,
    /// In a few words.
    pub why: String,
}

/// Why a VM has to wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The VM.
    pub vm: VmId,
    /// One sentence: what lacks, with numbers, and the nearest miss.
    pub text: String,
    /// What most candidate hosts lack, where it is hosts that keep it waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lack: Option<Lack>,
    /// Which kind of reason it is.
    #[serde(skip)]
    pub brief: Brief,
    /// It is the whole affined set that waits.
    #[serde(skip)]
    pub set: bool,
}

impl Refusal {
    /// What tenants are told where hosts are nothing to them.
    #[must_use]
    pub fn in_brief(&self) -> Cow<'_, str> {
        self.brief.of(&self.text, self.set)
    }
}

/// What a host lacks for a VM. In the order in which equal ones are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// CPU of hosts.
    Cpu,
    /// Memory of hosts.
    Memory,
    /// System or image datastores.
    Storage,
    /// Virtual networks.
    Network,
    /// PCI devices.
    Pci,
    /// NUMA nodes.
    Numa,
    /// Groups and CURRENT_VMS.
    Affinity,
    /// The policy's limit per host.
    #[serde(rename = "max_per_host")]
    Quota,
    /// State or pinning of the host.
    State,
}

impl Lack {
    /// In one word, for machines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Network => "network",
            Self::Pci => "pci",
            Self::Numa => "numa",
            Self::Affinity => "affinity",
            Self::Quota => "max_per_host",
            Self::State => "state",
        }
    }
}

/// How a host stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostReport {
    /// The host.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// Share of its CPU that is allocated, before and after.
    pub cpu_allocated: (f64, f64),
    /// Share of its memory that is allocated, before and after.
    pub memory_allocated: (f64, f64),
    /// D_green, before and after.
    pub score: (f64, f64),
    /// Share of renewable energy, 0 to 1, where known.
    pub green: Option<f64>,
    /// What its utilisation rests on.
    pub basis: Basis,
    /// VMs that the plan brings.
    pub arrivals: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_has_one_name_for_machines() {
        use Lack::{Affinity, Cpu, Memory, Network, Numa, Pci, Quota, State, Storage};
        for lack in [Cpu, Memory, Storage, Network, Pci, Numa, Affinity, Quota, State] {
            assert_eq!(serde_json::to_value(lack).ok(), Some(lack.name().into()));
        }
    }
}

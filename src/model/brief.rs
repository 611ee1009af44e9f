//! What a tenant is told where messages are brief: which kind of reason keeps his VM waiting, and what he can
//! do. Names, ids, numbers, and room of hosts, datastores, and VMs of others are not in it.
//!
//! Sentences are fixed texts, so that nothing of a request can get into them; only what speaks of the VM's own
//! template goes out as it is.

use super::report::Lack;
use super::rule;
use std::borrow::Cow;

/// The kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brief {
    /// The whole text speaks of nothing but the VM itself.
    Own,
    /// No host that its rules allow could hold it, were it empty.
    TooLarge(Lack),
    /// Hosts that its rules allow have no room for it now; what lacks most.
    Full(Lack),
    /// A rule, by its name, excludes it everywhere.
    Rule(&'static str),
    /// oned offers no host for it.
    NoHost,
    /// Taking it would have kept several others out.
    LeftOut,
    /// Planning was stopped before its turn.
    Stopped,
    /// It failed to start so often that it has to pause.
    Paused,
    /// Another VM of its affined set cannot be placed.
    Set,
    /// It is flagged RESCHED, and stays for the sake of its group.
    Stays,
    /// A fault of ours.
    Fault,
}

impl Brief {
    /// The sentence, which may follow `with its affined set`; `None` where the whole text is told.
    #[must_use]
    pub fn sentence(self) -> Option<&'static str> {
        Some(match self {
            Self::Own => return None,
            Self::TooLarge(lack) => too_large(lack),
            Self::Full(lack) => full(lack),
            Self::Rule(name) => by_rule(name),
            Self::NoHost => "is offered no host now: allow more hosts in SCHED_REQUIREMENTS, or wait",
            Self::LeftOut => "was left out to place more VMs; it will be tried again",
            Self::Stopped => "waits: planning was stopped before its turn; it comes with the next request",
            Self::Paused => "did not start several times; others go first, then it is tried again: see its log",
            Self::Set => "waits for another VM of its affined set, which cannot be placed: see there",
            Self::Stays => "stays where it is in this plan, for the sake of its group",
            Self::Fault => "was not placed by a fault of the scheduler: tell the operator",
        })
    }

    /// What is told instead of `text`.
    #[must_use]
    pub fn of<'t>(self, text: &'t str, set: bool) -> Cow<'t, str> {
        match self.sentence() {
            None => Cow::Borrowed(text),
            Some(sentence) if set => Cow::Owned(format!("with its affined set {sentence}")),
            Some(sentence) => Cow::Borrowed(sentence),
        }
    }
}

fn too_large(lack: Lack) -> &'static str {
    match lack {
        Lack::Cpu => "needs more CPU than any host that it may use has: make it smaller, or allow more hosts",
        Lack::Memory => "needs more memory than any host that it may use has: make it smaller, or allow more hosts",
        Lack::Numa => "needs more in one NUMA node than any host that it may use has: use more, smaller virtual nodes",
        _ => "needs more CPU and memory together than any host that it may use has: make it smaller",
    }
}

fn full(lack: Lack) -> &'static str {
    match lack {
        Lack::Cpu => {
            "needs more CPU than hosts that it may use have free now: wait, make it smaller, or allow more hosts"
        }
        Lack::Memory => {
            "needs more memory than hosts that it may use have free now: wait, make it smaller, or allow more hosts"
        }
        Lack::Storage => {
            "needs more disk than datastores that it may use have free now: wait, use smaller disks, or allow others"
        }
        Lack::Network => "finds no free address in the networks that it may use: wait, or use other networks",
        Lack::Pci => "finds no free PCI device of the kind that it needs: wait, or use another kind",
        Lack::Numa => "needs more in NUMA nodes than hosts that it may use have free now: wait, or use smaller nodes",
        Lack::Quota => "finds all hosts that it may use taken by this batch: it is tried again",
        Lack::Affinity | Lack::State => "finds no room on the hosts that it may use now: wait, or allow more hosts",
    }
}

fn by_rule(name: &str) -> &'static str {
    match name {
        rule::PIN_POLICY => "finds no host for its PIN_POLICY among those that it may use: change it, or allow more",
        rule::HOST_AFFINITY => "may go to no host by host rules of its role: relax them, or SCHED_REQUIREMENTS",
        rule::AFFINITY => "must join its affined VMs, and may not go where they are: relax its group or requirements",
        rule::ANTI_AFFINITY => {
            "finds a VM that it must be apart from on every host: relax its group, or allow more hosts"
        }
        rule::DOMAIN => {
            "is kept from every host by spread or togetherness of its group: relax that, or allow more hosts"
        }
        rule::CURRENT_VMS => {
            "is kept from every host by requirements with CURRENT_VMS: relax them, or allow more hosts"
        }
        rule::DATASTORE => "finds no system datastore that serves its hosts: mend SCHED_DS_REQUIREMENTS",
        rule::NETWORK => "finds no network that serves its hosts: mend the NICs, or allow more hosts",
        rule::PCI => "needs a PCI device that no host that it may use has: use another kind, or allow more hosts",
        rule::NUMA => "needs NUMA nodes that no host that it may use has: change its topology, or allow more hosts",
        _ => "may go to no host now: allow more hosts in SCHED_REQUIREMENTS, or wait",
    }
}

/// Why a VM waits or stays: whole, and in brief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// One sentence: what lacks, with numbers, and the nearest miss.
    pub text: String,
    /// Its kind.
    pub brief: Brief,
}

impl Waits {
    /// A reason of this kind.
    #[must_use]
    pub fn new(text: impl Into<String>, brief: Brief) -> Self {
        Self { text: text.into(), brief }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opennebula::message::MAX_TEXT;

    const LACKS: [Lack; 9] = [
        Lack::Cpu,
        Lack::Memory,
        Lack::Storage,
        Lack::Network,
        Lack::Pci,
        Lack::Numa,
        Lack::Affinity,
        Lack::Quota,
        Lack::State,
    ];

    #[test]
    fn users_see_each_sentence_whole_and_it_holds_no_number() {
        let rules = [
            rule::HOST,
            rule::PIN_POLICY,
            rule::HOST_AFFINITY,
            rule::AFFINITY,
            rule::ANTI_AFFINITY,
            rule::DOMAIN,
            rule::CURRENT_VMS,
            rule::DATASTORE,
            rule::NETWORK,
            rule::PCI,
            rule::NUMA,
            rule::MAX_PER_HOST,
        ];
        let others =
            [Brief::NoHost, Brief::LeftOut, Brief::Stopped, Brief::Paused, Brief::Set, Brief::Stays, Brief::Fault];
        let lacking = LACKS.into_iter().flat_map(|lack| [Brief::TooLarge(lack), Brief::Full(lack)]);
        for brief in lacking.chain(rules.map(Brief::Rule)).chain(others) {
            let told = brief.of("host 4, node-04 has 6.5 cores free", true);
            assert!(told.chars().count() <= MAX_TEXT, "{} characters: {told}", told.chars().count());
            assert!(!told.contains(|c: char| c.is_ascii_digit()), "{told}");
        }
        assert_eq!(Brief::Own.of("is locked", true), "is locked");
    }
}

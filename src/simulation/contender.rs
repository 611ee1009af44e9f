//! The policies that are put side by side. A new one is one entry in [`ALL`].

use crate::model::policy::{Objective, Policy, Resources, Scheduler};

/// A policy with what it may know.
pub struct Contender {
    /// As it is chosen and shown.
    pub name: &'static str,
    /// In a few words.
    pub about: &'static str,
    /// What it decides by.
    pub knows: Knows,
    /// What makes it differ from the configured policy.
    pub adjust: fn(&mut Policy),
    /// Whether it also migrates, at every moment, what already runs.
    pub migrates: bool,
}

/// What a contender decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// What VMs ask for.
    Request,
    /// What they used before.
    History,
    /// AI-Orchestrator's vectors of their latest windows.
    Classes,
    /// What they will use.
    Future,
}

/// All contenders, in the order of the table.
pub const ALL: &[Contender] = &[
    Contender {
        name: "random",
        about: "any host with room",
        knows: Knows::Request,
        adjust: |policy| policy.scheduler = Scheduler::Random,
        migrates: false,
    },
    Contender {
        name: "requested",
        about: "evens out the cores that VMs ask for",
        knows: Knows::Request,
        adjust: |_| {},
        migrates: false,
    },
    Contender {
        name: "ai-orchestrator",
        about: "its class vectors in its greedy form, VMs one after another",
        knows: Knows::Classes,
        adjust: |policy| {
            policy.resources = Resources::Classes;
            policy.objective = Objective::AiOrchestrator;
        },
        migrates: false,
    },
    Contender {
        name: "greedy",
        about: "ours by history, VMs one after another",
        knows: Knows::History,
        adjust: |policy| policy.deadline = 0.0,
        migrates: false,
    },
    Contender {
        name: "joint",
        about: "ours by history, all VMs together",
        knows: Knows::History,
        adjust: |_| {},
        migrates: false,
    },
    Contender {
        name: "optimize",
        about: "the same, and what runs is migrated as `oneaio optimize` would",
        knows: Knows::History,
        adjust: |_| {},
        migrates: true,
    },
    Contender {
        name: "perfect",
        about: "ours with perfect knowledge of what follows",
        knows: Knows::Future,
        adjust: |_| {},
        migrates: false,
    },
];

/// The contender of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Contender> {
    // as it was called before
    let name = if name == "seed" { "ai-orchestrator" } else { name };
    ALL.iter().find(|contender| contender.name == name)
}

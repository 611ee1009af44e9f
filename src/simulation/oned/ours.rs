//! Our own driver in the loop: the one path that `place` and `optimize` take, with a store in memory that
//! keeps what a real one keeps.

use super::scheduler::{Answer, Level, Line, Scheduler};
use crate::decide;
use crate::demand::mix;
use crate::demand::observed;
use crate::demand::relatives;
use crate::learn::Memory;
use crate::model::history::{Attempts, Estimate, Group, Notes, Placement, Recall};
use crate::model::ids::{ClusterId, VmId};
use crate::model::policy::Policy;
use crate::model::report::Refusal;
use crate::model::sample::{VmIdentity, VmSample};
use crate::model::snapshot::Snapshot;
use crate::placement::Stop;
use crate::placement::check;
use std::collections::HashMap;

/// How long a placement is remembered, and how far ahead a clock may be; as the real store does.
const REMEMBERED: i64 = 900;
const AHEAD: i64 = 300;

/// Seconds after which an estimate is made anew, and what groups of relatives use.
const ESTIMATED: i64 = 900;
const RELATED: i64 = 3600;

/// What is kept of one VM.
struct Kept {
    memory: Memory,
    estimate: Estimate,
    estimated_at: i64,
    identity: VmIdentity,
}

/// What a store holds.
#[derive(Default)]
struct Store {
    placements: Vec<Placement>,
    attempts: HashMap<VmId, Attempts>,
    notes: Notes,
    vms: HashMap<VmId, Kept>,
    relatives: HashMap<String, Group>,
    related_at: i64,
}

impl Store {
    fn recall(&self, snapshot: &Snapshot, moment: i64) -> Recall {
        let now = moment.div_euclid(1000);
        let vms = decide::concerned(snapshot);
        let known = vms.iter().filter_map(|vm| self.vms.get(vm).map(|kept| (*vm, kept)));
        let recent =
            |placement: &&Placement| ((now - REMEMBERED) * 1000..=(now + AHEAD) * 1000).contains(&placement.at);
        let placed = snapshot.candidates.iter().map(|c| snapshot.vms[c.vm].id);
        let keys = observed::keys_of(snapshot).into_iter();
        Recall {
            estimates: known.clone().map(|(vm, kept)| (vm, kept.estimate)).collect(),
            identities: known.map(|(vm, kept)| (vm, kept.identity.clone())).collect(),
            relatives: keys.filter_map(|key| self.relatives.get(&key).map(|group| (key.clone(), *group))).collect(),
            placements: self.placements.iter().filter(recent).copied().collect(),
            attempts: placed.filter_map(|vm| self.attempts.get(&vm).map(|known| (vm, known.clone()))).collect(),
            notes: self.notes.clone(),
            now,
            moment,
            ..Recall::default()
        }
    }

    fn remember(&mut self, placements: Vec<Placement>, attempts: Vec<(VmId, Attempts)>, moment: i64) {
        let now = moment.div_euclid(1000);
        self.placements.retain(|old| {
            ((now - REMEMBERED) * 1000..=(now + AHEAD) * 1000).contains(&old.at)
                && !placements.iter().any(|new| new.vm == old.vm)
        });
        self.placements.extend(placements);
        self.attempts.extend(attempts);
    }

    fn learn(&mut self, samples: &[(VmSample, VmIdentity)]) {
        let Some(at) = samples.iter().map(|(sample, _)| sample.at).max() else { return };
        for (sample, identity) in samples {
            let kept = self.vms.entry(sample.vm).or_insert_with(|| {
                let memory = Memory::new();
                Kept {
                    estimate: mix::unfitted(&memory.traits()),
                    memory,
                    estimated_at: i64::MIN,
                    identity: identity.clone(),
                }
            });
            kept.memory.add(sample);
            // the first samples change much, later ones little
            let young = kept.estimate.samples < 2 * relatives::ENOUGH;
            if young || at.saturating_sub(kept.estimated_at) >= ESTIMATED {
                kept.estimate = mix::unfitted(&kept.memory.traits());
                kept.estimated_at = at;
            }
        }
        if at.saturating_sub(self.related_at) >= RELATED {
            self.related_at = at;
            let mut members: Vec<(&VmId, &Kept)> = self.vms.iter().collect();
            members.sort_by_key(|(vm, _)| **vm);
            let members: Vec<_> = members.into_iter().map(|(_, kept)| (kept.identity.clone(), kept.estimate)).collect();
            self.relatives = relatives::groups(&members).into_iter().collect();
        }
    }
}

/// Our driver.
pub struct Ours {
    policy: Policy,
    /// By front-end; `None` where there is no store at all.
    stores: Option<Vec<Store>>,
    leader: usize,
    there: bool,
    /// Decided, and not yet remembered.
    decided: Option<decide::Decided>,
    /// The same of an optimization.
    optimized: Option<decide::Optimized>,
}

impl Ours {
    /// With a fresh store.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, stores: Some(vec![Store::default()]), leader: 0, there: true, decided: None, optimized: None }
    }

    /// Without any store.
    #[must_use]
    pub fn forgetful(policy: Policy) -> Self {
        Self { stores: None, ..Self::new(policy) }
    }

    fn memory(&mut self) -> Option<&mut Store> {
        let (leader, stores) = (self.leader, self.stores.as_mut().filter(|_| self.there)?);
        while stores.len() <= leader {
            stores.push(Store::default());
        }
        stores.get_mut(leader)
    }
}

fn error(refusal: &Refusal) -> Line {
    Line { level: Level::Error, vm: refusal.vm, text: refusal.text.clone() }
}

impl Scheduler for Ours {
    fn place(&mut self, request: Vec<u8>, now: i64) -> Answer {
        let snapshot = match decide::read(request) {
            Ok(snapshot) => snapshot,
            Err(error) => return Answer { wrong: vec![error.to_string()], ..Answer::default() },
        };
        let recall = self.memory().map(|store| store.recall(&snapshot, now)).unwrap_or_default();
        let decided = decide::place_until(snapshot, &recall, &self.policy, Stop::default());
        let judged = check::breaches(&decided.snapshot, &decided.planned.plan, &self.policy);
        let wrong = judged.iter().chain(&decided.dropped).map(|breach| format!("VM {}: {breach}", breach.vm));
        let answer = Answer {
            wrong: wrong.collect(),
            lines: decided.planned.report.refusals.iter().map(error).collect(),
            plan: decided.planned.plan.clone(),
            ..Answer::default()
        };
        self.decided = Some(decided);
        answer
    }

    fn answered(&mut self, now: i64) {
        if let Some(decided) = self.decided.take()
            && let Some(store) = self.memory()
        {
            store.remember(decided.placements(now), decided.attempts(now.div_euclid(1000)), now);
            if let Some(notes) = decided.notes {
                store.notes = notes;
            }
        }
        if let Some(optimized) = self.optimized.take()
            && let Some(store) = self.memory()
        {
            store.remember(Vec::new(), optimized.attempts.clone(), now);
            if let Some(notes) = optimized.notes(now) {
                store.notes = notes;
            }
        }
    }

    fn optimize(&mut self, cluster: ClusterId, request: Vec<u8>, now: i64) -> Answer {
        let snapshot = match decide::read(request) {
            Ok(snapshot) => snapshot,
            Err(error) => return Answer { wrong: vec![error.to_string()], ..Answer::default() },
        };
        let recall = self.memory().map(|store| store.recall(&snapshot, now)).unwrap_or_default();
        match decide::optimize(snapshot, Some(cluster), &recall, &self.policy) {
            Ok(optimized) => {
                let wrong = optimized.dropped.iter().map(|breach| format!("VM {}: {breach}", breach.vm));
                let answer =
                    Answer { wrong: wrong.collect(), plan: optimized.migrated.plan.clone(), ..Answer::default() };
                self.optimized = Some(optimized);
                answer
            }
            Err(error) => Answer { wrong: vec![error.to_string()], ..Answer::default() },
        }
    }

    fn sampled(&mut self, samples: &[(VmSample, VmIdentity)]) {
        if let Some(store) = self.memory() {
            store.learn(samples);
        }
    }

    fn store(&mut self, there: bool) {
        self.there = there;
    }

    fn front_end(&mut self, number: usize) {
        self.leader = number;
    }
}

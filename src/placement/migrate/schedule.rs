//! The order of migrations. oned checks no capacity for them, and starts one per host and up
//! to 30 at a time, side by side; so they are put into rounds, in which no target comes twice. A
//! VM that leaves holds its room, and its group's rules hold where it was, to the end of the plan: oned or the
//! hypervisor may refuse it, and then goes on with the plan. What needs that room comes with the next one.
//! Only where the operator goes from round to round, a VM is known to be gone after its own.
//!
//! Where all that is left waits for each other (a cycle), one goes to a third host that still
//! is an improvement, or is dropped.

use super::scene::Scene;
use super::state::State;
use crate::model::units::{Cpu, Memory};
use crate::placement::rules::context::Purpose;
use crate::placement::score::objective;
use std::collections::{BTreeMap, BTreeSet};

/// MAX_ACTIONS_PER_CLUSTER of oned.conf, at its default.
const ACTIONS_AT_ONCE: usize = 30;

/// Migrations in order, and what they lead to.
pub struct Schedule<'a> {
    /// Requests and where they go; each at most once.
    pub steps: Vec<(usize, usize)>,
    /// The state after them.
    pub state: State<'a>,
    /// Requests whose migrations had to be left out.
    pub dropped: Vec<usize>,
    /// All is where it was wanted.
    pub as_wanted: bool,
}

/// Members of a unit that go to one host.
struct Pending {
    unit: usize,
    movers: Vec<usize>,
    to: usize,
}

/// Orders the migrations from where all VMs are to where `target` (by request) wants them.
pub fn schedule<'a>(scene: &'a Scene<'a>, target: &[Option<usize>]) -> Schedule<'a> {
    let mut planning = Planning {
        scene,
        state: State::new(scene),
        held: vec![Held::default(); scene.context.snapshot.hosts.len()],
        carried: Vec::new(),
        steps: Vec::new(),
        dropped: Vec::new(),
    };
    let mut pending = pending(scene, target);
    while !pending.is_empty() || !planning.carried.is_empty() {
        if !planning.round(&mut pending) {
            planning.break_up(&mut pending);
        }
    }
    let as_wanted = planning.dropped.is_empty() && planning.state.all_at() == target;
    Schedule { steps: planning.steps, state: planning.state, dropped: planning.dropped, as_wanted }
}

fn pending(scene: &Scene<'_>, target: &[Option<usize>]) -> Vec<Pending> {
    let mut found = Vec::new();
    for (unit, one) in scene.units.iter().enumerate() {
        let goes = |&member: &usize| target[member] != scene.context.home(member);
        let movers: Vec<usize> = one.members.iter().copied().filter(goes).collect();
        if let Some(to) = movers.first().and_then(|&first| target[first]) {
            found.push(Pending { unit, movers, to });
        }
    }
    found
}

/// Room on a host that those may still hold that leave it.
#[derive(Clone, Default)]
struct Held {
    cpu: Cpu,
    memory: Memory,
    requests: Vec<usize>,
}

struct Planning<'a> {
    scene: &'a Scene<'a>,
    state: State<'a>,
    /// By host: what migrations may still hold there.
    held: Vec<Held>,
    /// Members of sets that have yet to follow to a host.
    carried: Vec<(usize, usize)>,
    steps: Vec<(usize, usize)>,
    dropped: Vec<usize>,
}

impl Planning<'_> {
    /// One round; false when nothing could be done.
    fn round(&mut self, pending: &mut Vec<Pending>) -> bool {
        self.release();
        let mut round: Vec<(usize, usize)> = Vec::new();
        let mut busy: BTreeSet<usize> = BTreeSet::new();
        let mut later = Vec::new();
        for (request, to) in std::mem::take(&mut self.carried) {
            // its place was taken with its set; only now it leaves
            if busy.insert(to) && round.len() < ACTIONS_AT_ONCE {
                round.push((request, to));
            } else {
                later.push((request, to));
            }
        }
        self.carried = later;
        for index in self.order(pending) {
            let one = &pending[index];
            if round.len() >= ACTIONS_AT_ONCE || busy.contains(&one.to) || !self.has_room(one) {
                continue;
            }
            let movers = one.movers.clone();
            let to = one.to;
            if !self.fits(&movers, to) {
                continue;
            }
            for (position, &request) in movers.iter().enumerate() {
                self.hold(request);
                self.state.put(request, Some(to));
                if position == 0 {
                    round.push((request, to));
                } else {
                    self.carried.push((request, to));
                }
            }
            busy.insert(to);
            pending[index].movers.clear();
        }
        pending.retain(|one| !one.movers.is_empty());
        let some = !round.is_empty();
        self.steps.append(&mut round);
        some
    }

    /// Those that others wait for first, then those whose target has most to come.
    fn order(&self, pending: &[Pending]) -> Vec<usize> {
        let mut queue: BTreeMap<usize, usize> = BTreeMap::new();
        pending.iter().for_each(|one| *queue.entry(one.to).or_default() += one.movers.len());
        let frees = |one: &Pending| {
            let sources = one.movers.iter().filter_map(|&mover| self.state.at(mover));
            sources.filter_map(|source| queue.get(&source)).max().copied().unwrap_or(0)
        };
        let mut order: Vec<usize> = (0..pending.len()).collect();
        order.sort_by_key(|&index| {
            let one = &pending[index];
            (std::cmp::Reverse((frees(one), queue[&one.to])), index)
        });
        order
    }

    fn hold(&mut self, request: usize) {
        let vm = self.scene.vm(request);
        if let Some(source) = self.scene.context.home(request) {
            let held = &mut self.held[source];
            held.cpu += vm.cpu;
            held.memory += vm.memory;
            held.requests.push(request);
        }
    }

    /// Forgets what is known to be gone.
    fn release(&mut self) {
        if self.scene.context.purpose == Purpose::Drain {
            // the operator goes from round to round
            self.held.fill(Held::default());
        }
    }

    /// Room on the target even while all sources still hold what may not have left them.
    fn has_room(&self, one: &Pending) -> bool {
        let held = &self.held[one.to];
        let movers = || one.movers.iter().map(|&mover| self.scene.vm(mover));
        let cpu = movers().map(|vm| vm.cpu).sum::<Cpu>() + held.cpu;
        let memory = movers().map(|vm| vm.memory).sum::<Memory>() + held.memory;
        self.state.has_room(one.to, cpu, memory)
    }

    /// Whether requests may go to a host one after another, as things stand, and if those that left it in this
    /// plan are there still.
    fn fits(&mut self, movers: &[usize], to: usize) -> bool {
        if !self.all_fit(movers, to) {
            return false;
        }
        let left = self.held[to].requests.iter();
        let left: Vec<(usize, Option<usize>)> = left.map(|&request| (request, self.state.at(request))).collect();
        left.iter().for_each(|(request, _)| self.state.put(*request, Some(to)));
        let fits = left.is_empty() || self.all_fit(movers, to);
        left.into_iter().rev().for_each(|(request, at)| self.state.put(request, at));
        fits
    }

    fn all_fit(&mut self, movers: &[usize], to: usize) -> bool {
        let before: Vec<Option<usize>> = movers.iter().map(|&mover| self.state.at(mover)).collect();
        let fits = movers.iter().all(|&mover| {
            let fits = self.state.fits_one(mover, to).is_ok();
            if fits {
                self.state.put(mover, Some(to));
            }
            fits
        });
        for (&mover, home) in movers.iter().zip(before).rev() {
            self.state.put(mover, home);
        }
        fits
    }

    /// All that is left waits for each other: the best detour to a third host, or one less.
    fn break_up(&mut self, pending: &mut Vec<Pending>) {
        let mut best: Option<(f64, usize, usize)> = None;
        let work = self.scene.context.work;
        for (index, one) in pending.iter().enumerate() {
            // each has all hosts and all that left to look at
            work.spend(self.scene.unit(one.unit).hosts.len() * (2 + self.held.len() / 4));
            if work.exhausted() {
                break;
            }
            let Some(from) = self.state.home(one.unit).filter(|_| one.movers.len() == 1) else { continue };
            for &to in self.scene.unit(one.unit).hosts.iter() {
                let to = to as usize;
                let there = Pending { unit: one.unit, movers: one.movers.clone(), to };
                if to == from || to == one.to || !self.state.has_room_for(to, one.unit) || !self.has_room(&there) {
                    continue;
                }
                let before = [from, to].map(|host| self.state.load().badness(host));
                let after = [self.state.badness_without(one.unit, from), self.state.badness_with(one.unit, to)];
                let gain = objective::relief(&before, &after);
                let pays = objective::pays(&before, &after, self.scene.unit(one.unit).price)
                    && best.is_none_or(|(known, _, _)| gain > known);
                // as things stand, so that the next round gets on
                if pays && self.fits(&one.movers, to) {
                    best = Some((gain, index, to));
                }
            }
        }
        match best {
            Some((_, index, to)) => pending[index].to = to,
            None => {
                if let Some(one) = pending.pop() {
                    self.dropped.extend(one.movers);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

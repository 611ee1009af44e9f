//! Where units are as migrations are booked. Every change is one migration that oned could
//! carry out as things stand: the target has room while the source still holds its own. Rules
//! and scores are the ledger's.

use super::scene::Scene;
use crate::model::snapshot::VmState;
use crate::model::units::{Cpu, Memory};
use crate::placement::ledger::Ledger;
use crate::placement::rules::reason::Reason;
use crate::placement::rules::standing::Seat;
use crate::placement::score::load::Load;
use crate::placement::score::objective::Standing;
use std::collections::HashSet;

/// The cluster after some migrations.
#[derive(Clone)]
pub struct State<'a> {
    scene: &'a Scene<'a>,
    ledger: Ledger<'a>,
    /// By host: how many VMs.
    counts: Vec<usize>,
    /// By host: units that are there whole, sorted.
    units: Vec<Vec<usize>>,
    /// VMs that may be moved and are not where they were.
    moved: usize,
    /// By host: what those of them hold that were there.
    held: Vec<(Cpu, Memory)>,
}

impl<'a> State<'a> {
    /// Nothing has moved yet.
    pub fn new(scene: &'a Scene<'a>) -> Self {
        let snapshot = scene.context.snapshot;
        let mut there: Vec<HashSet<_>> = snapshot.hosts.iter().map(|h| h.vms.iter().copied().collect()).collect();
        for vm in &snapshot.vms {
            let bound = matches!(vm.state, VmState::Active | VmState::Parked);
            if let Some(index) = vm.host.filter(|_| bound).and_then(|host| snapshot.host_index(host)) {
                there[index].insert(vm.id);
            }
        }
        let mut state = Self {
            scene,
            ledger: Ledger::new(scene.context, false),
            counts: there.iter().map(HashSet::len).collect(),
            units: vec![Vec::new(); snapshot.hosts.len()],
            moved: 0,
            held: vec![(Cpu::default(), Memory::default()); snapshot.hosts.len()],
        };
        for unit in 0..scene.units.len() {
            if let Some(host) = state.home(unit) {
                state.units[host].push(unit);
            }
        }
        state
    }

    /// What it is a state of.
    pub fn scene(&self) -> &'a Scene<'a> {
        self.scene
    }

    /// The load as it stands.
    pub fn load(&self) -> &Load {
        self.ledger.load()
    }

    /// How bad a host would be if a unit came to it.
    pub fn badness_with(&self, unit: usize, host: usize) -> f64 {
        let scene = self.scene();
        self.load().badness_changed(scene.context.space, host, None, Some(&scene.unit(unit).amount))
    }

    /// How bad a host would be if a unit left it.
    pub fn badness_without(&self, unit: usize, host: usize) -> f64 {
        let scene = self.scene();
        self.load().badness_changed(scene.context.space, host, Some(&scene.unit(unit).amount), None)
    }

    /// How even and how overfull hosts are.
    pub fn standing(&self) -> Standing {
        Standing::new(&self.load().all_badness())
    }

    /// What is allocated beyond what hosts have, in hosts.
    pub fn excess(&self) -> f64 {
        (0..self.counts.len()).map(|host| self.load().excess(host)).sum()
    }

    /// Scores count against the mean as it is now.
    pub fn aim(&mut self) {
        self.ledger.aim();
    }

    /// Where a request is.
    pub fn at(&self, request: usize) -> Option<usize> {
        self.ledger.host_of(request)
    }

    /// Where every request is that may be moved; `None` for all others.
    pub fn all_at(&self) -> Vec<Option<usize>> {
        let movable = |request: usize| self.scene.unit_of[request].is_some();
        (0..self.scene.unit_of.len()).map(|request| self.at(request).filter(|_| movable(request))).collect()
    }

    /// Units on a host, by index.
    pub fn units(&self, host: usize) -> &[usize] {
        &self.units[host]
    }

    /// VMs on a host.
    pub fn count(&self, host: usize) -> usize {
        self.counts[host]
    }

    /// Where a unit is; `None` when it is torn apart or on a host that nobody knows.
    pub fn home(&self, unit: usize) -> Option<usize> {
        let members = &self.scene.unit(unit).members;
        let first = self.at(members[0])?;
        members.iter().all(|&member| self.at(member) == Some(first)).then_some(first)
    }

    /// Whether one of a unit's VMs is not where it was.
    pub fn has_moved(&self, unit: usize) -> bool {
        let mut members = self.scene.unit(unit).members.iter();
        members.any(|&member| self.at(member) != self.scene.context.home(member))
    }

    /// VMs that are not where they were.
    pub fn moved(&self) -> usize {
        self.moved
    }

    /// Room for so much CPU and memory.
    pub fn has_room(&self, host: usize, cpu: Cpu, memory: Memory) -> bool {
        self.ledger.has_room(host, cpu, memory, 1)
    }

    /// Room for a unit.
    pub fn has_room_for(&self, host: usize, unit: usize) -> bool {
        let unit = self.scene.unit(unit);
        self.has_room(host, unit.cpu, unit.memory)
    }

    /// Room for a unit on a host where all that leaves the host in this plan still holds its own, but for what
    /// has only come in it: with `less`, one of that goes again.
    pub fn has_room_beside(&self, unit: usize, host: usize, less: Option<usize>) -> bool {
        let (mut cpu, mut memory) = self.held[host];
        let (comes, goes) = (self.scene.guest(unit, host), less.map(|less| self.scene.guest(less, host)));
        (cpu, memory) = (cpu + comes.0, memory + comes.1);
        if let Some(goes) = goes {
            (cpu, memory) = (cpu - goes.0, memory - goes.1);
        }
        self.has_room(host, cpu, memory)
    }

    /// CPU and memory left on a host.
    pub fn free(&self, host: usize) -> (Cpu, Memory) {
        self.ledger.free(host)
    }

    /// Migrations more (or fewer) than now if the unit went to the host.
    pub fn more_moved(&self, unit: usize, host: usize) -> isize {
        let away = |member: usize, at: Option<usize>| isize::from(at != self.scene.context.home(member));
        let members = &self.scene.unit(unit).members;
        members.iter().map(|&member| away(member, Some(host)) - away(member, self.at(member))).sum()
    }

    /// Whether so many migrations more are within the limit.
    pub fn within_limit(&self, more: isize) -> bool {
        more <= 0 || self.moved().saturating_add_signed(more) <= self.scene.limit()
    }

    /// Carries migrations out one after another, or none where a rule is against it.
    pub fn go_all(&mut self, moves: &[(usize, usize)]) -> Result<(), Reason> {
        let members = moves.iter().flat_map(|(unit, _)| &self.scene.unit(*unit).members);
        let before: Vec<(usize, Option<usize>)> = members.map(|&member| (member, self.at(member))).collect();
        let outcome = moves.iter().try_for_each(|&(unit, host)| self.go(unit, host));
        if outcome.is_err() {
            for (member, at) in before.into_iter().rev() {
                self.put(member, at);
            }
        }
        outcome
    }

    /// Whether migrations could be carried out one after another; nothing has changed then.
    pub fn possible(&mut self, moves: &[(usize, usize)]) -> Result<(), Reason> {
        let members = moves.iter().flat_map(|(unit, _)| &self.scene.unit(*unit).members);
        let before: Vec<(usize, Option<usize>)> = members.map(|&member| (member, self.at(member))).collect();
        let outcome = self.go_all(moves);
        for (member, at) in before.into_iter().rev() {
            self.put(member, at);
        }
        outcome
    }

    fn go(&mut self, unit: usize, host: usize) -> Result<(), Reason> {
        let scene = self.scene;
        for &member in &scene.unit(unit).members {
            if self.at(member) != Some(host) {
                self.fits_one(member, host)?;
                self.put(member, Some(host));
            }
        }
        Ok(())
    }

    /// Whether a VM may go to a host now, or the first rule against it.
    pub fn fits_one(&self, request: usize, host: usize) -> Result<(), Reason> {
        self.ledger.seat(request, host)?;
        self.ledger.release(request)
    }

    /// How much better a host is for a unit than others, by what is wished and not demanded.
    pub fn wish(&self, unit: usize, host: usize) -> f64 {
        self.ledger.wish(&self.scene.unit(unit).members, host)
    }

    /// The rule that is broken where a VM is now.
    pub fn broken(&self, request: usize) -> Option<Reason> {
        self.ledger.broken(request)
    }

    /// Puts a VM somewhere without asking; `None` is a host that nobody knows.
    pub fn put(&mut self, request: usize, to: Option<usize>) {
        let before = self.at(request);
        if before == to {
            return;
        }
        let scene = self.scene;
        let unit = scene.unit_of[request];
        let whole_before = unit.and_then(|unit| self.home(unit));
        if let Some(left) = self.ledger.unbook(request) {
            self.counts[left.host] = self.counts[left.host].saturating_sub(1);
        }
        if let Some(host) = to {
            let datastore = scene.vm(request).datastore.and_then(|id| scene.context.snapshot.datastore_index(id));
            self.ledger.book(request, Seat { datastore: datastore.unwrap_or_default(), ..Seat::on(host) });
            self.counts[host] += 1;
        }
        let Some(unit) = unit else { return };
        let home = scene.context.home(request);
        self.moved = self.moved + usize::from(to != home) - usize::from(before != home);
        if let Some(home) = home {
            let (vm, (cpu, memory)) = (scene.vm(request), self.held[home]);
            if before == Some(home) {
                self.held[home] = (cpu + vm.cpu, memory + vm.memory);
            } else if to == Some(home) {
                self.held[home] = (cpu - vm.cpu, memory - vm.memory);
            }
        }
        let whole_after = self.home(unit);
        if let Some(host) = whole_before {
            self.units[host].retain(|other| *other != unit);
        }
        if let Some(host) = whole_after
            && let Err(position) = self.units[host].binary_search(&unit)
        {
            self.units[host].insert(position, unit);
        }
    }
}

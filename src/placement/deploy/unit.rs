//! What is placed in one go: a VM, or an affined set whose VMs share one host.

use super::ledger::{Context, Ledger, Seat};
use crate::model::snapshot::{Vm, VmState};
use crate::model::units::{Cpu, Memory};
use crate::placement::rules::reason::Reason;
use std::collections::HashSet;
use std::sync::Arc;

/// One or more requests for one host.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Requests, sorted.
    pub members: Vec<usize>,
    /// Hosts (indices) that all members may go to.
    pub hosts: Arc<[u32]>,
    /// What they ask for together.
    pub cpu: Cpu,
    /// What they ask for together.
    pub memory: Memory,
    /// The larger of their shares of the mean host's CPU and memory.
    pub size: f64,
    /// The same of what they will use.
    pub demand: f64,
    /// One of them has failed to start too often: others go first.
    pub late: bool,
}

/// Requests with their seats, in the order in which they must be booked.
pub type Seats = Vec<(usize, Seat)>;

/// Books seats that [`Unit::seats`] gave.
pub fn book(ledger: &mut Ledger<'_>, seats: Seats) {
    for (request, seat) in seats {
        ledger.book(request, seat);
    }
}

/// All units, by first member; and requests that cannot be placed, with the reason.
pub fn units(context: &Context<'_>) -> (Vec<Unit>, Vec<(usize, String)>) {
    let groups = context.groups;
    let in_set: HashSet<usize> = groups.sets.iter().flatten().copied().collect();
    let singles = (0..context.snapshot.candidates.len()).filter(|r| !in_set.contains(r)).map(|r| vec![r]);
    let mut all: Vec<Vec<usize>> = singles.chain(groups.sets.iter().cloned()).collect();
    all.sort();
    let (mut units, mut refused) = (Vec::new(), Vec::new());
    let mean = mean_capacity(context);
    for members in all {
        let refusal =
            |&member: &usize| groups.rules[member].refused.clone().or_else(|| wrong_state(context.vm(member)));
        if let Some(&held) = members.iter().find(|&&member| context.retries.held(member).is_some()) {
            refused.extend(members.into_iter().map(|member| (member, waits_for(context, member, held))));
            continue;
        }
        match members.iter().find_map(refusal) {
            Some(reason) => refused.extend(members.into_iter().map(|member| (member, reason.clone()))),
            None => units.push(unit(context, members, mean)),
        }
    }
    (units, refused)
}

/// Why a VM waits of whose affined set (or by itself) one is held back.
fn waits_for(context: &Context<'_>, member: usize, held: usize) -> String {
    let why = context.retries.held(held).unwrap_or_default();
    if member == held {
        return why.to_owned();
    }
    format!("waits for VM {} of its affined set, which {why}", context.vm(held).id)
}

/// oned would deploy a held or a running VM without a question.
fn wrong_state(vm: &Vm) -> Option<String> {
    match (vm.resched, vm.state) {
        (false, VmState::Pending) => None,
        (true, VmState::Active) if vm.host.is_some() && vm.datastore.is_some() => None,
        (true, _) => Some("is flagged RESCHED, but does not run on a known host and datastore".to_owned()),
        (false, _) => Some("is neither pending nor flagged RESCHED".to_owned()),
    }
}

/// CPU and memory of the mean host.
fn mean_capacity(context: &Context<'_>) -> (f64, f64) {
    let hosts = &context.snapshot.hosts;
    let count = hosts.len().max(1) as f64;
    let cpu = hosts.iter().map(|h| h.cpu.0.max(0) as f64).sum::<f64>() / count;
    let memory = hosts.iter().map(|h| h.memory.0.max(0) as f64).sum::<f64>() / count;
    (cpu.max(1.0), memory.max(1.0))
}

fn unit(context: &Context<'_>, members: Vec<usize>, mean: (f64, f64)) -> Unit {
    let mut hosts = context.candidates(members[0]).hosts.clone();
    for &member in &members[1..] {
        let others = &context.candidates(member).hosts;
        hosts = hosts.iter().copied().filter(|host| others.binary_search(host).is_ok()).collect();
    }
    let cpu: Cpu = members.iter().map(|&member| context.vm(member).cpu).sum();
    let memory: Memory = members.iter().map(|&member| context.vm(member).memory).sum();
    let size = (cpu.0 as f64 / mean.0).max(memory.0 as f64 / mean.1);
    let planned = || members.iter().map(|&member| context.demands.vms[member].planned());
    let used_cpu: f64 = planned().map(|usage| usage.cpu).sum();
    let used_memory: f64 = planned().map(|usage| usage.memory).sum();
    let demand = (used_cpu / mean.0).max(used_memory / mean.1);
    let late = members.iter().any(|&member| context.retries.is_late(member));
    Unit { members, hosts, cpu, memory, size, demand, late }
}

impl Unit {
    /// Whether the unit may go to the host; `ledger` is as before afterwards.
    ///
    /// Members are seated in an order that works: one may ask for another by
    /// CURRENT_VMS. O(members^2) at worst.
    pub fn seats(&self, ledger: &mut Ledger<'_>, host: usize) -> Result<Seats, Reason> {
        ledger.room(host, self.cpu, self.memory, self.members.len())?;
        if let [single] = self.members[..] {
            return Ok(vec![(single, ledger.seat(single, host)?)]);
        }
        let mut seats: Seats = Vec::with_capacity(self.members.len());
        let mut open = self.members.clone();
        let mut failed = None;
        while !open.is_empty() {
            let before = open.len();
            open.retain(|&member| match ledger.seat(member, host) {
                Ok(seat) => {
                    ledger.book(member, seat.clone());
                    seats.push((member, seat));
                    false
                }
                Err(reason) => {
                    failed = Some(reason);
                    true
                }
            });
            if open.len() == before {
                break;
            }
        }
        for (member, _) in seats.iter().rev() {
            ledger.unbook(*member);
        }
        match failed.filter(|_| !open.is_empty()) {
            Some(reason) => Err(reason),
            None => Ok(seats),
        }
    }

    /// Whether both are single VMs that ask for the same in every respect: where one
    /// finds no place the other finds none, and neither can make room for the other.
    pub fn needs_the_same(&self, other: &Self, context: &Context<'_>) -> bool {
        let ([a], [b]) = (&self.members[..], &other.members[..]) else { return false };
        if self.cpu != other.cpu || self.memory != other.memory || self.hosts != other.hosts {
            return false;
        }
        let (x, y) = (context.vm(*a), context.vm(*b));
        let (m, n) = (context.candidates(*a), context.candidates(*b));
        let free_of_others =
            |request: usize| context.groups.rules[request].is_free() && !context.current_vms.concerns(request);
        x.system_disk == y.system_disk
            && x.image_disks == y.image_disks
            && x.pci == y.pci
            && x.topology == y.topology
            && !(x.resched || y.resched || x.resume || y.resume)
            && m.datastores == n.datastores
            && m.nics == n.nics
            && free_of_others(*a)
            && free_of_others(*b)
    }

    /// This and another unit as one.
    pub fn joined(&self, other: &Self) -> Self {
        let mut members: Vec<usize> = self.members.iter().chain(&other.members).copied().collect();
        members.sort_unstable();
        let hosts = self.hosts.iter().copied().filter(|host| other.hosts.binary_search(host).is_ok()).collect();
        let (cpu, memory) = (self.cpu + other.cpu, self.memory + other.memory);
        let (size, demand) = (self.size + other.size, self.demand + other.demand);
        Self { members, hosts, cpu, memory, size, demand, late: self.late || other.late }
    }

    /// The host that the unit is booked on.
    pub fn host(&self, ledger: &Ledger<'_>) -> Option<usize> {
        ledger.seat_of(self.members[0]).map(|seat| seat.host)
    }
}

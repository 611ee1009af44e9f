//! Where VMs are as decisions are booked, and what that leaves of CPU and memory: what all
//! rules may look at. Nothing is decided here.

use crate::model::ids::NicId;
use crate::model::snapshot::{Snapshot, Vm};
use crate::model::units::{Cpu, Memory};

/// What a VM gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Host index.
    pub host: usize,
    /// System datastore index.
    pub datastore: usize,
    /// A network index per NIC in auto mode.
    pub nics: Vec<(NicId, usize)>,
    /// The guests of the host in the deployment order that gives all of them their
    /// devices; `None` when the VM needs none and may simply come last.
    pub order: Option<Vec<usize>>,
}

impl Seat {
    /// A seat on a host of which nothing else is known yet.
    #[must_use]
    pub fn on(host: usize) -> Self {
        Self { host, datastore: 0, nics: Vec::new(), order: None }
    }
}

/// Seats, guests and what is left.
#[derive(Clone)]
pub struct Standing {
    cpu_free: Vec<Cpu>,
    memory_free: Vec<Memory>,
    /// By host: requests that the plan has brought there, in deployment order.
    guests: Vec<Vec<usize>>,
    /// By request.
    seats: Vec<Option<Seat>>,
}

impl Standing {
    /// Before the plan: running VMs that it may move are where `home` (by request) says.
    #[must_use]
    pub fn new(snapshot: &Snapshot, home: &[Option<Seat>]) -> Self {
        let hosts = &snapshot.hosts;
        Self {
            cpu_free: hosts.iter().map(|h| h.cpu - h.cpu_allocated).collect(),
            memory_free: hosts.iter().map(|h| h.memory - h.memory_allocated).collect(),
            guests: vec![Vec::new(); hosts.len()],
            seats: home.to_vec(),
        }
    }

    /// What a request has.
    #[must_use]
    pub fn seat(&self, request: usize) -> Option<&Seat> {
        self.seats[request].as_ref()
    }

    /// Where a request is.
    #[must_use]
    pub fn host(&self, request: usize) -> Option<usize> {
        self.seat(request).map(|seat| seat.host)
    }

    /// Requests that the plan has brought to a host, in deployment order.
    #[must_use]
    pub fn guests(&self, host: usize) -> &[usize] {
        &self.guests[host]
    }

    /// CPU and memory left on a host.
    #[must_use]
    pub fn free(&self, host: usize) -> (Cpu, Memory) {
        (self.cpu_free[host], self.memory_free[host])
    }

    /// A request takes a seat; `is_guest` when it was not there before the plan.
    pub fn arrive(&mut self, request: usize, vm: &Vm, seat: Seat, is_guest: bool) {
        self.cpu_free[seat.host] -= vm.cpu;
        self.memory_free[seat.host] -= vm.memory;
        if is_guest {
            match &seat.order {
                Some(order) => self.guests[seat.host].clone_from(order),
                None => self.guests[seat.host].push(request),
            }
        }
        self.seats[request] = Some(seat);
    }

    /// A request gives its seat back.
    pub fn leave(&mut self, request: usize, vm: &Vm) -> Option<Seat> {
        let seat = self.seats[request].take()?;
        self.cpu_free[seat.host] += vm.cpu;
        self.memory_free[seat.host] += vm.memory;
        self.guests[seat.host].retain(|&guest| guest != request);
        Some(seat)
    }

    /// Puts the guests of a host back into an order that was valid before.
    pub fn restore_order(&mut self, host: usize, guests: Vec<usize>) {
        self.guests[host] = guests;
    }
}

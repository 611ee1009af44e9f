//! What is left as decisions are booked: the one place where hard rules meet.
//!
//! `seat` asks whether a VM may go to a host and what it would get there; `book`
//! takes it; `unbook` gives it back. Requests and hosts are named by their index in
//! the snapshot.

use super::retry::Retries;
use crate::model::demand::Demands;
use crate::model::ids::NicId;
use crate::model::policy::Policy;
use crate::model::snapshot::{Candidates, Snapshot, Vm};
use crate::model::units::{Cpu, Memory};
use crate::placement::rules::groups::Groups;
use crate::placement::rules::groups::Occupant;
use crate::placement::rules::networks::Networks;
use crate::placement::rules::numa;
use crate::placement::rules::occupancy::CurrentVms;
use crate::placement::rules::pci;
use crate::placement::rules::reason::Reason;
use crate::placement::rules::storage::Storage;
use crate::placement::score::load::Effect;
use crate::placement::score::load::Load;
use crate::placement::score::rank::Brought;
use crate::placement::score::rank::RankCache;
use crate::placement::score::rank::Ranks;
use crate::placement::score::space::DEVIATION;
use crate::placement::score::space::Share;
use crate::placement::score::space::Space;
use crate::placement::work::Work;
use std::cmp::Reverse;

/// Steps that a look at one host costs, devices aside.
const SEAT_STEPS: usize = 30;

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

/// What does not change while a plan is made.
pub struct Context<'a> {
    /// The request.
    pub snapshot: &'a Snapshot,
    /// What VMs will use.
    pub demands: &'a Demands,
    /// The same, as fractions of hosts.
    pub space: &'a Space,
    /// What the operator wants.
    pub policy: &'a Policy,
    /// VM group rules.
    pub groups: &'a Groups,
    /// CURRENT_VMS rules.
    pub current_vms: &'a CurrentVms<'a>,
    /// SCHED_RANK and the like.
    pub ranks: &'a Ranks,
    /// Who has failed to start.
    pub retries: &'a Retries,
    /// What was spent so far.
    pub work: &'a Work<'a>,
}

impl<'a> Context<'a> {
    /// The candidates of a request.
    pub fn candidates(&self, request: usize) -> &'a Candidates {
        &self.snapshot.candidates[request]
    }

    /// The VM of a request.
    pub fn vm(&self, request: usize) -> &'a Vm {
        &self.snapshot.vms[self.snapshot.candidates[request].vm]
    }

    /// What requests together take of a host.
    pub fn share(&self, requests: &[usize], host: usize) -> Share {
        let shares = requests.iter().map(|&request| self.space.share(request, host));
        shares.reduce(|sum, share| sum.plus(&share)).unwrap_or_default()
    }
}

/// The state of a plan in the making.
#[derive(Clone)]
pub struct Ledger<'a> {
    context: &'a Context<'a>,
    cpu_free: Vec<Cpu>,
    memory_free: Vec<Memory>,
    /// By host: requests booked there, in deployment order.
    guests: Vec<Vec<usize>>,
    occupants: Vec<Vec<Occupant>>,
    brought: Vec<Brought>,
    storage: Storage<'a>,
    networks: Networks<'a>,
    load: Load,
    follow_the_mean: bool,
    /// By request.
    seats: Vec<Option<Seat>>,
    rank_cache: RankCache,
}

impl<'a> Ledger<'a> {
    /// Nothing is booked yet. Scores are against the mean that will be when all VMs are
    /// placed, or against the mean of the moment.
    pub fn new(context: &'a Context<'a>, follow_the_mean: bool) -> Self {
        let snapshot = context.snapshot;
        let hosts = &snapshot.hosts;
        let mut load = Load::new(context.space, snapshot, context.policy);
        let mut mean = load.mean();
        let more = context.space.fair_share(0..snapshot.candidates.len());
        // deviations add in quadrature
        let deviation = mean[DEVIATION].hypot(more[DEVIATION]);
        mean.iter_mut().zip(more).for_each(|(mean, more)| *mean += more);
        if context.space.risk > 0.0 {
            mean[DEVIATION] = deviation;
        }
        if !follow_the_mean {
            load.aim(mean);
        }
        Self {
            context,
            cpu_free: hosts.iter().map(|h| h.cpu - h.cpu_allocated).collect(),
            memory_free: hosts.iter().map(|h| h.memory - h.memory_allocated).collect(),
            guests: vec![Vec::new(); hosts.len()],
            occupants: context.groups.occupants.clone(),
            brought: vec![Brought::default(); hosts.len()],
            storage: Storage::new(snapshot, context.policy),
            networks: Networks::new(snapshot, context.policy),
            load,
            follow_the_mean,
            seats: vec![None; snapshot.candidates.len()],
            rank_cache: RankCache::default(),
        }
    }

    /// What the plan is made from.
    pub fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// The load as it stands.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Where a request is booked.
    pub fn seat_of(&self, request: usize) -> Option<&Seat> {
        self.seats[request].as_ref()
    }

    /// Requests booked on a host, in deployment order.
    pub fn guests(&self, host: usize) -> &[usize] {
        &self.guests[host]
    }

    /// Room for so much CPU and memory, and for `count` more VMs by the policy.
    pub fn has_room(&self, host: usize, cpu: Cpu, memory: Memory, count: usize) -> bool {
        self.room(host, cpu, memory, count).is_ok()
    }

    /// As `has_room`, with the reason. Where more is allocated than there is, nothing
    /// fits, not even a VM that asks for nothing.
    pub fn room(&self, host: usize, cpu: Cpu, memory: Memory, count: usize) -> Result<(), Reason> {
        if cpu > self.cpu_free[host] {
            return Err(Reason::Cpu { need: cpu, free: self.cpu_free[host] });
        }
        if memory > self.memory_free[host] {
            return Err(Reason::Memory { need: memory, free: self.memory_free[host] });
        }
        match self.context.policy.max_per_host {
            Some(max) if self.guests[host].len() + count > max as usize => Err(Reason::Quota(max)),
            _ => Ok(()),
        }
    }

    /// What the request would get on the host, or the first rule against it.
    pub fn seat(&self, request: usize, host: usize) -> Result<Seat, Reason> {
        let context = self.context;
        context.work.spend(SEAT_STEPS);
        let (vm, rules) = (context.vm(request), &context.groups.rules[request]);
        let there = &context.snapshot.hosts[host];
        if !there.enabled {
            return Err(Reason::Disabled);
        }
        if there.pinned != vm.pinned() {
            return Err(Reason::PinPolicy { pinned: vm.pinned() });
        }
        if vm.resched && vm.host == Some(there.id) {
            return Err(Reason::Elsewhere("it is to leave this very host".to_owned()));
        }
        rules.allow(there)?;
        self.room(host, vm.cpu, vm.memory, 1)?;
        rules.meet(vm.id, &self.occupants[host])?;
        let guests = &self.guests[host];
        context.current_vms.test(host, guests, Some(request))?;
        let candidates = context.candidates(request);
        let datastore = self.storage.choose(candidates, host, context.ranks)?;
        let nics = self.networks.choose(candidates, there.cluster, context.ranks)?;
        let order = if vm.pci.is_empty() && !numa::concerns(vm) { None } else { Some(self.arrange(host, request)?) };
        Ok(Seat { host, datastore, nics, order })
    }

    /// Takes a seat that `seat` has just given.
    pub fn book(&mut self, request: usize, seat: Seat) {
        match &seat.order {
            Some(order) => self.guests[seat.host].clone_from(order),
            None => self.guests[seat.host].push(request),
        }
        self.account(request, &seat, false);
        self.seats[request] = Some(seat);
    }

    /// Gives a seat back.
    pub fn unbook(&mut self, request: usize) -> Option<Seat> {
        let seat = self.seats[request].take()?;
        self.guests[seat.host].retain(|&guest| guest != request);
        self.account(request, &seat, true);
        Some(seat)
    }

    /// Puts the guests of a host back into an order that was valid before.
    pub fn restore_order(&mut self, host: usize, guests: Vec<usize>) {
        self.guests[host] = guests;
    }

    /// Whether the guests of a host still meet all rules after one of them left.
    pub fn consistent(&self, host: usize) -> bool {
        let guests = &self.guests[host];
        let with_devices = |guest: &usize| {
            let vm = self.context.vm(*guest);
            !vm.pci.is_empty() || numa::concerns(vm)
        };
        self.context.current_vms.test(host, guests, None).is_ok()
            && (!guests.iter().any(with_devices) || self.devices(host, guests).is_ok())
    }

    /// The user's rank of a host for a request; 0 when there is none.
    pub fn rank(&mut self, request: usize, host: usize) -> f64 {
        let Some(rank) = self.context.ranks.of_request(request) else { return 0.0 };
        let (snapshot, ranks, brought) = (self.context.snapshot, self.context.ranks, self.brought[host]);
        let hosts = snapshot.hosts.len();
        self.rank_cache.get(rank, host, hosts, || ranks.of_host(rank, &snapshot.hosts[host], brought))
    }

    /// What requests would do to the D_green of a host.
    pub fn effect(&self, requests: &[usize], host: usize) -> Effect {
        let share = self.context.share(requests, host);
        Effect { before: self.load.score(host), after: self.load.score_with(host, &share) }
    }

    /// CPU and memory left on a host.
    pub fn free(&self, host: usize) -> (Cpu, Memory) {
        (self.cpu_free[host], self.memory_free[host])
    }

    fn account(&mut self, request: usize, seat: &Seat, give_back: bool) {
        let vm = self.context.vm(request);
        let host = seat.host;
        let tags = &self.context.groups.rules[request].tags;
        let brought = &mut self.brought[host];
        if give_back {
            self.cpu_free[host] += vm.cpu;
            self.memory_free[host] += vm.memory;
            brought.vms -= 1;
            brought.cpu -= vm.cpu;
            brought.memory -= vm.memory;
            self.load.unbook(self.context.space, request, host);
            if self.follow_the_mean {
                self.load.aim(self.load.mean());
            }
            for tag in tags {
                let entry = Occupant { vm: vm.id, tag: *tag };
                if let Some(last) = self.occupants[host].iter().rposition(|o| *o == entry) {
                    self.occupants[host].remove(last);
                }
            }
        } else {
            self.cpu_free[host] -= vm.cpu;
            self.memory_free[host] -= vm.memory;
            brought.vms += 1;
            brought.cpu += vm.cpu;
            brought.memory += vm.memory;
            if self.follow_the_mean {
                self.load.book_and_follow(self.context.space, request, host);
            } else {
                self.load.book(self.context.space, request, host);
            }
            self.occupants[host].extend(tags.iter().map(|tag| Occupant { vm: vm.id, tag: *tag }));
        }
        self.storage.book(vm, host, seat.datastore, give_back);
        self.networks.book(vm, &seat.nics, give_back);
        self.rank_cache.host_changed(host);
    }

    /// A deployment order of the guests of a host and one more in which oned, which
    /// hands out devices first come first served, has some for all of them.
    fn arrange(&self, host: usize, request: usize) -> Result<Vec<usize>, Reason> {
        let mut last = self.guests[host].clone();
        last.push(request);
        let there = &self.context.snapshot.hosts[host];
        let vms = || last.iter().map(|&guest| self.context.vm(guest));
        pci::enough(there, vms()).map_err(Reason::Pci)?;
        numa::enough(there, vms()).map_err(Reason::Numa)?;
        let refused = match self.devices(host, &last) {
            Ok(()) => return Ok(last),
            Err(reason) => reason,
        };
        let mut first = self.guests[host].clone();
        first.insert(0, request);
        let mut hardest_first = last;
        hardest_first.sort_by_key(|&guest| {
            let vm = self.context.vm(guest);
            (!pci::wants_certain_device(vm), Reverse(numa::demand(vm)), guest)
        });
        [hardest_first, first].into_iter().find(|order| self.devices(host, order).is_ok()).ok_or(refused)
    }

    fn devices(&self, host: usize, guests: &[usize]) -> Result<(), Reason> {
        let there = &self.context.snapshot.hosts[host];
        let cores: usize = there.numa.iter().map(|node| node.cores.len() + 4).sum();
        self.context.work.spend(1 + guests.len() * (there.pci.len() + cores));
        let vms = || guests.iter().map(|&guest| self.context.vm(guest));
        pci::serve(there, vms()).map_err(Reason::Pci)?;
        numa::serve(there, vms()).map_err(Reason::Numa)
    }
}

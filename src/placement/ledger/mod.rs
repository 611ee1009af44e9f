//! What is left as decisions are booked, moved and taken back: the one place where all hard
//! rules meet, for placements and for migrations.
//!
//! `seat` asks whether a VM may go to a host and what it would get there; `book` takes it;
//! `unbook` gives it back; a migration is both. Requests and hosts are named by their index
//! in the snapshot.

pub mod journal;
pub mod unit;

use super::rules::context::Context;
use super::rules::reason::Reason;
use super::rules::standing::{Seat, Standing};
use super::rules::{Case, Rule, capacity};
use super::score::cost::Costs;
use super::score::load::{Effect, Load};
use super::score::rank::{Brought, RankCache};
use crate::model::units::{Cpu, Memory};

/// Steps that a look at one host costs, devices aside: about 0.3 us.
const SEAT_STEPS: usize = 30;

/// The state of a plan in the making.
pub struct Ledger<'a> {
    context: &'a Context<'a>,
    standing: Standing,
    rules: Vec<Box<dyn Rule<'a> + 'a>>,
    brought: Vec<Brought>,
    load: Load,
    follow_the_mean: bool,
    rank_cache: RankCache,
    /// Whether any rule has wishes.
    wishes: bool,
}

impl Clone for Ledger<'_> {
    fn clone(&self) -> Self {
        Self {
            context: self.context,
            standing: self.standing.clone(),
            rules: self.rules.iter().map(|rule| rule.boxed()).collect(),
            brought: self.brought.clone(),
            load: self.load.clone(),
            follow_the_mean: self.follow_the_mean,
            rank_cache: self.rank_cache.clone(),
            wishes: self.wishes,
        }
    }
}

impl<'a> Ledger<'a> {
    /// Nothing is booked yet. Scores are against the mean that will be when all VMs are
    /// placed, or against the mean of the moment.
    pub fn new(context: &'a Context<'a>, follow_the_mean: bool) -> Self {
        let snapshot = context.snapshot;
        let mut load = Load::with_costs(context.space, Costs::from(context.costs, snapshot, context.policy));
        if !follow_the_mean && !context.migrates() {
            let mut mean = load.mean();
            let (more, deviation) = context.space.fair_share(0..snapshot.candidates.len());
            mean.part.iter_mut().zip(more).for_each(|(mean, more)| *mean += more);
            // deviations add in quadrature
            mean.deviation = mean.deviation.hypot(deviation);
            load.aim(mean);
        }
        let rules: Vec<Box<dyn Rule<'a> + 'a>> = context.rules.iter().map(|make| make(context)).collect();
        Self {
            context,
            standing: Standing::new(snapshot, &context.home),
            wishes: rules.iter().any(|rule| rule.wishes()),
            rules,
            brought: vec![Brought::default(); snapshot.hosts.len()],
            load,
            follow_the_mean,
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

    /// Where a request is booked, or is before it is moved.
    pub fn seat_of(&self, request: usize) -> Option<&Seat> {
        self.standing.seat(request)
    }

    /// The host of that seat.
    pub fn host_of(&self, request: usize) -> Option<usize> {
        self.standing.host(request)
    }

    /// Requests that the plan has brought to a host, in deployment order.
    pub fn guests(&self, host: usize) -> &[usize] {
        self.standing.guests(host)
    }

    /// CPU and memory left on a host.
    pub fn free(&self, host: usize) -> (Cpu, Memory) {
        self.standing.free(host)
    }

    /// Room for so much CPU and memory, and for `count` more VMs by the policy.
    pub fn has_room(&self, host: usize, cpu: Cpu, memory: Memory, count: usize) -> bool {
        self.room(host, cpu, memory, count).is_ok()
    }

    /// As `has_room`, with the reason.
    pub fn room(&self, host: usize, cpu: Cpu, memory: Memory, count: usize) -> Result<(), Reason> {
        capacity::room(&self.standing, self.context.quota(), host, (cpu, memory, count))
    }

    /// What the request would get on the host, or the first rule against it.
    pub fn seat(&self, request: usize, host: usize) -> Result<Seat, Reason> {
        self.context.work.spend(SEAT_STEPS);
        let case = self.case(request, host);
        let mut seat = Seat::on(host);
        for rule in &self.rules {
            rule.ask(&case, &mut seat)?;
        }
        Ok(seat)
    }

    /// Every rule against a request on a host as things stand, in their order, each with its first reason.
    pub fn objections(&self, request: usize, host: usize) -> Vec<Reason> {
        self.context.work.spend(SEAT_STEPS);
        let case = self.case(request, host);
        self.rules.iter().filter_map(|rule| rule.why(&case).err()).collect()
    }

    /// Whether those that stay allow a request to leave where it is.
    pub fn release(&self, request: usize) -> Result<(), Reason> {
        let Some(host) = self.host_of(request) else { return Ok(()) };
        let case = self.case(request, host);
        self.rules.iter().try_for_each(|rule| rule.release(&case))
    }

    /// The rule that is broken where a request is now.
    pub fn broken(&self, request: usize) -> Option<Reason> {
        let case = self.case(request, self.host_of(request)?);
        self.rules.iter().find_map(|rule| rule.kept(&case).err())
    }

    /// Whether the guests of a host still meet all rules after one of them left.
    pub fn consistent(&self, host: usize) -> bool {
        self.rules.iter().all(|rule| rule.holds(host, &self.standing))
    }

    /// Whether two requests ask the same of every rule, and neither speaks of the other.
    pub fn alike(&self, a: usize, b: usize) -> bool {
        self.rules.iter().all(|rule| rule.alike(a, b))
    }

    /// Takes a seat that `seat` has just given, or that `unbook` gave back.
    pub fn book(&mut self, request: usize, seat: Seat) {
        let vm = self.context.vm(request);
        let host = seat.host;
        let is_guest = self.context.home(request) != Some(host);
        let case = Case { request, vm, host, there: &self.context.snapshot.hosts[host], standing: &self.standing };
        self.rules.iter_mut().for_each(|rule| rule.arrive(&case, &seat));
        self.standing.arrive(request, vm, seat, is_guest);
        let brought = &mut self.brought[host];
        brought.vms += 1;
        brought.cpu += vm.cpu;
        brought.memory += vm.memory;
        if self.follow_the_mean {
            self.load.book_and_follow(self.context.space, request, host);
        } else {
            self.load.book(self.context.space, request, host);
        }
        self.rank_cache.host_changed(host);
    }

    /// Gives a seat back.
    pub fn unbook(&mut self, request: usize) -> Option<Seat> {
        let vm = self.context.vm(request);
        let seat = self.standing.leave(request, vm)?;
        let host = seat.host;
        let case = Case { request, vm, host, there: &self.context.snapshot.hosts[host], standing: &self.standing };
        self.rules.iter_mut().for_each(|rule| rule.leave(&case, &seat));
        let brought = &mut self.brought[host];
        brought.vms -= 1;
        brought.cpu -= vm.cpu;
        brought.memory -= vm.memory;
        self.load.unbook(self.context.space, request, host);
        if self.follow_the_mean {
            self.load.aim(self.load.mean());
        }
        self.rank_cache.host_changed(host);
        Some(seat)
    }

    /// Puts the guests of a host back into an order that was valid before.
    pub fn restore_order(&mut self, host: usize, guests: Vec<usize>) {
        self.standing.restore_order(host, guests);
    }

    /// Scores count against the mean of the moment from now on.
    pub fn aim(&mut self) {
        self.load.aim(self.load.mean());
    }

    /// The user's rank of a host for a request; 0 when there is none.
    pub fn rank(&mut self, request: usize, host: usize) -> f64 {
        let Some(rank) = self.context.ranks.of_request(request) else { return 0.0 };
        let (snapshot, ranks, brought) = (self.context.snapshot, self.context.ranks, self.brought[host]);
        let hosts = snapshot.hosts.len();
        self.rank_cache.get(rank, host, hosts, || {
            self.context.work.spend(ranks.cost(rank));
            ranks.of_host(rank, host, brought)
        })
    }

    /// How much better a host is for requests than others, by what is wished and not demanded.
    pub fn wish(&self, requests: &[usize], host: usize) -> f64 {
        if !self.wishes {
            return 0.0;
        }
        let of = |&request: &usize| {
            let case = self.case(request, host);
            self.rules.iter().map(|rule| rule.wish(&case)).sum::<f64>()
        };
        requests.iter().map(of).sum()
    }

    /// What requests would do to a host: its badness before and after.
    pub fn effect(&self, unit: &unit::Unit, host: usize) -> Effect {
        let after = self.load.badness_changed(self.context.space, host, None, Some(&unit.amount));
        Effect { before: self.load.badness(host), after }
    }

    fn case(&self, request: usize, host: usize) -> Case<'_> {
        let there = &self.context.snapshot.hosts[host];
        Case { request, vm: self.context.vm(request), host, there, standing: &self.standing }
    }
}

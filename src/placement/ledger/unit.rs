//! What is placed or moved in one go: a VM, or an affined set whose VMs share one host.

use super::Ledger;
use crate::model::snapshot::{Host, Snapshot};
use crate::model::units::{Cpu, Memory};
use crate::placement::rules::context::Context;
use crate::placement::rules::reason::Reason;
use crate::placement::rules::standing::Seat;
use crate::placement::score::space::Share;
use std::cmp::Ordering;
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
    /// What they take together, in the units of the space.
    pub amount: Share,
    /// The larger of their shares of the mean host's CPU and memory.
    pub size: f64,
    /// The same of what they will use.
    pub demand: f64,
    /// One of them has failed to start too often: others go first.
    pub late: bool,
    /// What moving it must take off the worst distance of the hosts concerned;
    /// 0 for what does not run yet.
    pub price: f64,
    /// What moving it costs, the mean migration being 1; 0 for what does not run yet.
    pub cost: f64,
}

/// Requests with their seats, in the order in which they must be booked.
pub type Seats = Vec<(usize, Seat)>;

/// Books seats that [`Unit::seats`] gave.
pub fn book(ledger: &mut Ledger<'_>, seats: Seats) {
    for (request, seat) in seats {
        ledger.book(request, seat);
    }
}

impl Unit {
    /// Requests as one; on hosts that all of them may go to, as far as oned's lists say.
    pub fn new(context: &Context<'_>, members: Vec<usize>, mean: MeanHost) -> Self {
        let mut hosts = context.candidates(members[0]).hosts.clone();
        for &member in &members[1..] {
            let others = &context.candidates(member).hosts;
            hosts = hosts.iter().copied().filter(|host| others.binary_search(host).is_ok()).collect();
        }
        let cpu: Cpu = members.iter().map(|&member| context.vm(member).cpu).sum();
        let memory: Memory = members.iter().map(|&member| context.vm(member).memory).sum();
        let size = mean.share(cpu.0 as f64, memory.0 as f64);
        let planned = || members.iter().map(|&member| context.demands.vms[member].planned());
        let used_cpu: f64 = planned().map(|usage| usage.cpu).sum();
        let used_memory: f64 = planned().map(|usage| usage.memory).sum();
        let amount = context.space.amount(&members);
        let demand = mean.share(used_cpu, used_memory);
        Self { members, hosts, cpu, memory, size, demand, amount, late: false, price: 0.0, cost: 0.0 }
    }

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

    /// Every rule against the unit on a host; empty where it may go there.
    pub fn objections(&self, ledger: &mut Ledger<'_>, host: usize) -> Vec<Reason> {
        if let [single] = self.members[..] {
            return ledger.objections(single, host);
        }
        let mut found: Vec<Reason> =
            ledger.room(host, self.cpu, self.memory, self.members.len()).err().into_iter().collect();
        for &member in &self.members {
            for reason in ledger.objections(member, host) {
                // room is asked for together, and its VMs may ask for each other
                let together = matches!(
                    reason,
                    Reason::Cpu { .. } | Reason::Memory { .. } | Reason::Quota(_) | Reason::CurrentVms(_)
                );
                if !together && !found.iter().any(|known| known.rule() == reason.rule()) {
                    found.push(reason);
                }
            }
        }
        if found.is_empty() {
            found.extend(self.seats(ledger, host).err());
        }
        found
    }

    /// Whether both are single VMs that ask for the same in every respect: where one
    /// finds no place the other finds none, and neither can make room for the other.
    pub fn needs_the_same(&self, other: &Self, ledger: &Ledger<'_>) -> bool {
        let ([a], [b]) = (&self.members[..], &other.members[..]) else { return false };
        // the cheap differences first
        self.cpu == other.cpu && self.memory == other.memory && self.hosts == other.hosts && ledger.alike(*a, *b)
    }

    /// `Less` where this has more memory, or as much and more CPU.
    pub fn larger_first(&self, other: &Self) -> Ordering {
        other.memory.cmp(&self.memory).then(other.cpu.cmp(&self.cpu))
    }

    /// This and another unit as one.
    pub fn joined(&self, other: &Self) -> Self {
        let mut members: Vec<usize> = self.members.iter().chain(&other.members).copied().collect();
        members.sort_unstable();
        let hosts = self.hosts.iter().copied().filter(|host| other.hosts.binary_search(host).is_ok()).collect();
        let (cpu, memory) = (self.cpu + other.cpu, self.memory + other.memory);
        let amount = self.amount.plus(&other.amount);
        let (size, demand) = (self.size + other.size, self.demand + other.demand);
        let late = self.late || other.late;
        let (price, cost) = (self.price + other.price, self.cost + other.cost);
        Self { members, hosts, cpu, memory, amount, size, demand, late, price, cost }
    }

    /// The host that the unit is booked on.
    pub fn host(&self, ledger: &Ledger<'_>) -> Option<usize> {
        ledger.host_of(self.members[0])
    }
}

/// The capacity of the mean host: what sizes of VMs are told in.
#[derive(Clone, Copy, Debug)]
pub struct MeanHost {
    cpu: f64,
    memory: f64,
}

impl MeanHost {
    /// That of a request.
    pub fn of(snapshot: &Snapshot) -> Self {
        let count = snapshot.hosts.len().max(1) as f64;
        let mean = |of: fn(&Host) -> i64| snapshot.hosts.iter().map(|h| of(h).max(0) as f64).sum::<f64>() / count;
        Self { cpu: mean(|host| host.cpu.0).max(1.0), memory: mean(|host| host.memory.0).max(1.0) }
    }

    /// The larger of the shares of CPU and memory.
    fn share(self, cpu: f64, memory: f64) -> f64 {
        (cpu / self.cpu).max(memory / self.memory)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::policy::Policy;
    use crate::placement::testing::{ask, cloud, placing};

    #[test]
    fn two_units_as_one_ask_for_the_sum_on_the_hosts_of_both() {
        let mut asked = cloud(&[8, 8, 8]);
        ask(&mut asked, 2, &[0, 1]);
        ask(&mut asked, 3, &[1, 2]);
        placing(&asked, &Policy::default(), |_, units| {
            let (a, b) = (units[1].clone(), units[0].clone());
            let mut priced = [a, b];
            (priced[0].price, priced[0].cost, priced[0].late) = (1.0, 10.0, false);
            (priced[1].price, priced[1].cost, priced[1].late) = (2.0, 20.0, true);
            let one = priced[0].joined(&priced[1]);
            assert_eq!((one.members.as_slice(), &one.hosts[..]), (&[0, 1][..], &[1][..]));
            assert_eq!((one.cpu.0, one.memory.0), (500, 2048));
            assert_eq!((one.price, one.cost, one.late), (3.0, 30.0, true));
            assert!((one.size - units[0].size - units[1].size).abs() < 1e-12 && one.size > 0.0);
            assert!((one.demand - units[0].demand - units[1].demand).abs() < 1e-12 && one.demand > 0.0);
            assert!((one.amount.cpu - 500.0).abs() < 1e-9, "{}", one.amount.cpu);
        });
    }

    use super::*;
    use crate::model::snapshot::VmState;
    use crate::placement::ledger::journal::Journal;
    use crate::placement::testing::{bind, booked, hosts};

    #[test]
    fn sizes_are_told_in_mean_hosts_by_the_scarcer_of_cpu_and_memory() {
        let mut asked = cloud(&[8, 4]);
        (asked.hosts[0].memory, asked.hosts[1].memory) = (Memory(3000), Memory(1000));
        let mean = MeanHost::of(&asked);
        assert_eq!((mean.cpu, mean.memory), (600.0, 2000.0));
        assert_eq!([mean.share(300.0, 500.0), mean.share(300.0, 1500.0)], [0.5, 0.75]);
        (asked.hosts[1].cpu, asked.hosts[1].memory) = (Cpu(-400), Memory(-1000));
        let mean = MeanHost::of(&asked);
        assert_eq!((mean.cpu, mean.memory), (400.0, 1500.0));
        let nothing = MeanHost::of(&Snapshot::default());
        assert_eq!((nothing.cpu, nothing.memory), (1.0, 1.0));
    }

    #[test]
    fn what_has_more_memory_is_larger_then_what_has_more_cpu() {
        let mut asked = cloud(&[8]);
        for (cores, memory) in [(2, 1024), (4, 1024), (1, 2048)] {
            let request = ask(&mut asked, cores, &[0]);
            asked.vms[request].memory = Memory(memory);
        }
        placing(&asked, &Policy::default(), |_, units| {
            let mut order = vec![0, 1, 2];
            order.sort_by(|&a, &b| units[a].larger_first(&units[b]));
            assert_eq!(order, [2, 1, 0]);
            assert_eq!(units[0].larger_first(&units[0]), Ordering::Equal);
        });
    }

    #[test]
    fn units_need_the_same_that_are_single_and_ask_for_the_same() {
        let mut asked = cloud(&[8, 8]);
        let plain = ask(&mut asked, 2, &[0, 1]);
        let alike = ask(&mut asked, 2, &[0, 1]);
        let cores = ask(&mut asked, 3, &[0, 1]);
        let memory = ask(&mut asked, 2, &[0, 1]);
        asked.vms[memory].memory = Memory(2048);
        let elsewhere = ask(&mut asked, 2, &[0]);
        let disks = ask(&mut asked, 2, &[0, 1]);
        asked.vms[disks].system_disk = crate::model::units::Disk(9);
        let set = [(); 2].map(|()| ask(&mut asked, 1, &[0, 1]));
        bind(&mut asked, &set);
        placing(&asked, &Policy::default(), |context, units| {
            let ledger = Ledger::new(context, false);
            let same = |other: usize| units[plain].needs_the_same(&units[other], &ledger);
            assert_eq!(
                [alike, cores, memory, elsewhere, disks, set[0]].map(same),
                [true, false, false, false, false, false]
            );
        });
    }

    #[test]
    fn a_set_is_seated_whole_or_not_at_all_and_leaves_no_trace() {
        let mut asked = cloud(&[4, 4]);
        let set = [(); 2].map(|()| ask(&mut asked, 2, &[0, 1]));
        bind(&mut asked, &set);
        // the first one asks for the second, and comes after it
        asked.vms[set[0]].current_vms_rules.push(format!("CURRENT_VMS = {}", set[1]));
        let other = ask(&mut asked, 1, &[1]);
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[(1, 1)]);
            let seats = units[0].seats(&mut ledger, 0).expect("it fits");
            assert_eq!(
                seats.iter().map(|(request, seat)| (*request, seat.host)).collect::<Vec<_>>(),
                [(set[1], 0), (set[0], 0)]
            );
            assert_eq!(hosts(units, &ledger), [None, Some(1)]);
            let refused = units[0].seats(&mut ledger, 1).expect_err("three cores are left");
            assert_eq!(refused, Reason::Cpu { need: Cpu(400), free: Cpu(300) });
            assert_eq!(units[0].objections(&mut ledger, 1), [refused]);
            assert_eq!(ledger.host_of(other), Some(1));
        });
        // who asks for somebody who never comes is the reason
        asked.vms[set[0]].current_vms_rules = vec!["CURRENT_VMS = 77".to_owned()];
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = Ledger::new(context, false);
            let refused = units[0].seats(&mut ledger, 0).expect_err("it waits for another one");
            assert_eq!(refused.rule(), "CURRENT_VMS");
            assert_eq!(units[0].objections(&mut ledger, 0), [refused]);
            assert_eq!((hosts(units, &ledger), ledger.guests(0).len()), (vec![None, None], 0));
        });
    }

    #[test]
    fn each_rule_against_a_set_is_told_once() {
        let mut asked = cloud(&[2, 8]);
        let set = [(); 2].map(|()| ask(&mut asked, 2, &[0, 1]));
        bind(&mut asked, &set);
        asked.hosts[0].enabled = false;
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = Ledger::new(context, false);
            let rules: Vec<&str> = units[0].objections(&mut ledger, 0).iter().map(Reason::rule).collect();
            assert_eq!(rules, ["CPU", "host"]);
            assert_eq!(units[0].objections(&mut ledger, 1), []);
        });
    }

    #[test]
    fn what_is_taken_back_is_as_it_was() {
        let mut asked = cloud(&[8, 8]);
        for _ in 0..3 {
            let request = ask(&mut asked, 1, &[0, 1]);
            assert_eq!(asked.vms[request].state, VmState::Pending);
        }
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[(0, 0), (1, 0)]);
            let (mut journal, free) = (Journal::default(), ledger.free(0));
            journal.take(&units[0], &mut ledger);
            let mark = journal.mark();
            assert_eq!((mark, ledger.guests(0)), (1, &[1][..]));
            let seats = units[2].seats(&mut ledger, 0).expect("it fits");
            journal.book(seats, &mut ledger);
            let seats = units[0].seats(&mut ledger, 1).expect("it fits");
            journal.book(seats, &mut ledger);
            assert_eq!(hosts(units, &ledger), [Some(1), Some(0), Some(0)]);
            journal.undo(mark, &mut ledger);
            assert_eq!(hosts(units, &ledger), [None, Some(0), None]);
            journal.undo(0, &mut ledger);
            assert_eq!(
                (hosts(units, &ledger), ledger.guests(0), ledger.free(0)),
                (vec![Some(0), Some(0), None], &[0, 1][..], free)
            );
            journal.take(&units[1], &mut ledger);
            journal.keep();
            journal.undo(0, &mut ledger);
            assert_eq!((journal.mark(), ledger.guests(0)), (0, &[0][..]));
        });
    }
}

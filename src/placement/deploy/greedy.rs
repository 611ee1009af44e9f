//! VMs one after another, each to the allowed host where it interferes least.
//! O(units x candidate hosts), with the costly rules tested only on hosts that would
//! be an improvement.

use crate::model::chance;
use crate::placement::ledger::Ledger;
use crate::placement::ledger::unit::{Seats, Unit};
use crate::placement::rules::groups::Company;
use crate::placement::score::load::Effect;
use crate::placement::score::load::compare;
use std::cmp::Ordering;

/// Which units are taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Large and constrained ones: the others find room around them.
    Hardest,
    /// Those with the fewest hosts, then large ones.
    FewestHosts,
    /// Affined sets of many VMs.
    LargestSets,
    /// Small ones: the most VMs when not all fit.
    Smallest,
    /// By VM id.
    Given,
}

/// Which of the allowed hosts is best, after wishes and the user's rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// Least interference.
    Spread,
    /// Least left over: keeps room in one piece for what is hard to place.
    Pack,
    /// Nearest to the mean of all hosts: the ancestor's rule.
    Nearest,
    /// The same, where being below the mean is better than being near it: the ancestor's
    /// program.
    Lowest,
    /// Any.
    Chance,
}

impl Preference {
    /// Whether a host is compared with the mean before its VM, instead of that after all.
    pub fn follows_the_mean(self) -> bool {
        matches!(self, Self::Nearest | Self::Lowest)
    }
}

/// Unit indices in the order in which they are to be taken; ties by index.
pub fn sequence(units: &[Unit], order: Order, special: impl Fn(&Unit) -> bool) -> Vec<usize> {
    let mut sequence: Vec<usize> = (0..units.len()).collect();
    let hosts = |i: usize| units[i].hosts.len();
    let tightness = |i: usize| units[i].size / hosts(i).max(1) as f64;
    sequence.sort_by(|&a, &b| {
        let specials_first = special(&units[b]).cmp(&special(&units[a]));
        let by_order = match order {
            Order::Hardest => tightness(b).total_cmp(&tightness(a)),
            Order::FewestHosts => hosts(a).cmp(&hosts(b)).then(units[b].size.total_cmp(&units[a].size)),
            Order::LargestSets => {
                units[b].members.len().cmp(&units[a].members.len()).then(tightness(b).total_cmp(&tightness(a)))
            }
            Order::Given => return a.cmp(&b),
            Order::Smallest => units[a].size.total_cmp(&units[b].size).then(hosts(a).cmp(&hosts(b))),
        };
        let by_kind = matches!(order, Order::Hardest | Order::FewestHosts);
        let specials_first = if by_kind { specials_first } else { Ordering::Equal };
        // of equal ones, those that will use most: small ones even out what is left
        let by_demand = units[b].demand.total_cmp(&units[a].demand);
        specials_first.then(by_order).then(by_demand).then(a.cmp(&b))
    });
    sequence
}

/// The best host for a unit, with its seats there.
pub fn best(unit: &Unit, ledger: &mut Ledger<'_>, preference: Preference) -> Option<Seats> {
    let mut best: Option<(Merit, Seats)> = None;
    for &host in unit.hosts.iter() {
        let host = host as usize;
        ledger.context().work.spend(2);
        if !ledger.has_room(host, unit.cpu, unit.memory, unit.members.len()) {
            continue;
        }
        let merit = merit(unit, ledger, host, preference);
        if best.as_ref().is_some_and(|(known, _)| merit.compare(known) != Ordering::Less) {
            continue;
        }
        if let Ok(seats) = unit.seats(ledger, host) {
            best = Some((merit, seats));
        }
    }
    best.map(|(_, seats)| seats)
}

/// What makes a host better for a unit.
struct Merit {
    /// VMs of its affined sets that are there, where these are torn apart already.
    company: Company,
    /// What its VMs wish, and are not granted at any price.
    wish: f64,
    rank: f64,
    value: Value,
}

enum Value {
    /// The effect, and how brown the host is.
    Interference(Effect, f64),
    /// Any other value that should be small.
    Small(f64),
}

fn merit(unit: &Unit, ledger: &mut Ledger<'_>, host: usize, preference: Preference) -> Merit {
    let rank = ledger.rank(unit.members[0], host);
    let value = match preference {
        Preference::Spread => Value::Interference(ledger.effect(unit, host), ledger.load().brownness(host)),
        Preference::Pack => Value::Small(left_over(unit, ledger, host)),
        Preference::Nearest => {
            let share = ledger.context().space.scaled(&unit.amount, host);
            Value::Small(ledger.load().score_with(host, &share))
        }
        Preference::Lowest => {
            let share = ledger.context().space.scaled(&unit.amount, host);
            Value::Small(ledger.load().signed_score_with(host, &share))
        }
        Preference::Chance => Value::Small(chance(unit, ledger, host)),
    };
    Merit { company: company(unit, ledger, host), wish: ledger.wish(&unit.members, host), rank, value }
}

/// How many VMs of the unit's torn affined sets are on a host.
pub fn company(unit: &Unit, ledger: &Ledger<'_>, host: usize) -> Company {
    let context = ledger.context();
    let id = context.snapshot.hosts[host].id;
    let comes = |request: usize| !unit.members.contains(&request) && ledger.host_of(request) == Some(host);
    let each = unit.members.iter().map(|&member| context.groups.rules[member].company(id, comes));
    each.fold(Company::default(), |sum, one| Company { all: sum.all + one.all, runs: sum.runs + one.runs })
}

/// A number of chance that stays the same for a VM and a host, whoever else is there.
fn chance(unit: &Unit, ledger: &Ledger<'_>, host: usize) -> f64 {
    let context = ledger.context();
    let (vm, host) = (context.vm(unit.members[0]).id, context.snapshot.hosts[host].id);
    let parts = [context.policy.seed, u64::from(vm.0.cast_unsigned()), u64::from(host.0.cast_unsigned())];
    chance::mixed(&parts) as f64
}

/// Share of the host that stays free, by the scarcer of CPU and memory.
fn left_over(unit: &Unit, ledger: &Ledger<'_>, host: usize) -> f64 {
    let capacity = &ledger.context().snapshot.hosts[host];
    let (cpu, memory) = ledger.free(host);
    let share = |free: i64, all: i64| free as f64 / all.max(1) as f64;
    let cpu = share((cpu - unit.cpu).0, capacity.cpu.0);
    let memory = share((memory - unit.memory).0, capacity.memory.0);
    cpu.min(memory)
}

impl Merit {
    /// `Less` is better.
    fn compare(&self, other: &Self) -> Ordering {
        let by_value = match (&self.value, &other.value) {
            (Value::Interference(a, brown_a), Value::Interference(b, brown_b)) => {
                compare(*a, *b).then(brown_a.total_cmp(brown_b))
            }
            (Value::Small(a), Value::Small(b)) => a.total_cmp(b),
            (Value::Interference(..), Value::Small(_)) => Ordering::Less,
            (Value::Small(_), Value::Interference(..)) => Ordering::Greater,
        };
        let by_wish = other.company.cmp(&self.company).then(other.wish.total_cmp(&self.wish));
        by_wish.then(other.rank.total_cmp(&self.rank)).then(by_value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::Policy;
    use crate::model::units::{Cpu, Memory};
    use crate::placement::testing::{ask, cloud, placing};

    #[test]
    fn what_stays_free_is_told_by_the_scarcer_of_cpu_and_memory() {
        let mut asked = cloud(&[8]);
        asked.hosts[0].memory = Memory(1000);
        let request = ask(&mut asked, 2, &[0]);
        for (allocated, memory_allocated, memory, expected) in
            [(0, 0, 100, 0.75), (400, 0, 100, 0.25), (0, 600, 300, 0.1), (0, 600, 400, 0.0), (600, 0, 100, 0.0)]
        {
            asked.vms[request].memory = Memory(memory);
            (asked.hosts[0].cpu_allocated, asked.hosts[0].memory_allocated) =
                (Cpu(allocated), Memory(memory_allocated));
            let found = placing(&asked, &Policy::default(), |context, units| {
                left_over(&units[0], &Ledger::new(context, false), 0)
            });
            assert!((found - expected).abs() < 1e-12, "{allocated} {memory_allocated} {memory}: {found}");
        }
    }

    use crate::placement::testing::{bind, booked};

    #[test]
    fn units_are_taken_in_the_order_that_is_asked_for() {
        let mut asked = cloud(&[8, 8, 8]);
        // cores and hosts of each, and a set of two
        for (cores, hosts) in
            [(2, &[0, 1, 2][..]), (2, &[0]), (4, &[0, 1]), (1, &[1]), (1, &[0, 1, 2]), (1, &[0, 1, 2])]
        {
            ask(&mut asked, cores, hosts);
        }
        bind(&mut asked, &[4, 5]);
        placing(&asked, &Policy::default(), |_, units| {
            let order = |order: Order, special: usize| sequence(units, order, |unit| unit.members == [special]);
            // sizes by hosts: 2/3, 2, 2, 1, 2/3
            for (by, special, expected) in [
                (Order::Hardest, 9, [2, 1, 3, 0, 4]),
                (Order::Hardest, 0, [0, 2, 1, 3, 4]),
                (Order::FewestHosts, 9, [1, 3, 2, 0, 4]),
                (Order::FewestHosts, 2, [2, 1, 3, 0, 4]),
                (Order::LargestSets, 2, [4, 2, 1, 3, 0]),
                (Order::Smallest, 2, [3, 1, 0, 4, 2]),
                (Order::Given, 2, [0, 1, 2, 3, 4]),
            ] {
                assert_eq!(order(by, special), expected, "{by:?} {special}");
            }
        });
        let follows =
            [Preference::Spread, Preference::Pack, Preference::Nearest, Preference::Lowest, Preference::Chance];
        assert_eq!(follows.map(Preference::follows_the_mean), [false, false, true, true, false]);
    }

    #[test]
    fn of_equal_ones_that_comes_first_that_will_use_most() {
        let mut asked = cloud(&[8]);
        (0..3).for_each(|_| {
            ask(&mut asked, 2, &[0]);
        });
        placing(&asked, &Policy::default(), |_, units| {
            let mut units = units.to_vec();
            units[1].demand *= 2.0;
            assert_eq!(sequence(&units, Order::Hardest, |_| false), [1, 0, 2]);
            assert_eq!(sequence(&units, Order::Smallest, |_| false), [1, 0, 2]);
        });
    }

    #[test]
    fn the_best_host_is_that_of_the_preference_and_a_look_at_each_costs_steps() {
        let mut asked = cloud(&[8, 8, 8, 1]);
        for (host, cores) in [(0, 4), (1, 6), (2, 1)] {
            asked.hosts[host].cpu_allocated = Cpu(100 * cores);
        }
        let request = ask(&mut asked, 2, &[0, 1, 2, 3]);
        asked.vms[request].identity.owner = Some(1);
        let policy = Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() };
        placing(&asked, &policy, |context, units| {
            for (preference, expected) in [
                (Preference::Spread, 2),
                (Preference::Pack, 1),
                // the mean is 11 of 32 quarters of a host and more: nearest with the VM is host 2, lowest as well
                (Preference::Lowest, 2),
            ] {
                let mut ledger = booked(context, units, &[]);
                let before = context.work.done();
                let seats = best(&units[request], &mut ledger, preference).expect("it fits");
                assert_eq!(seats[0].1.host, expected, "{preference:?}");
                assert!(context.work.done() >= before + 8, "two steps for each host");
            }
            let mut ledger = booked(context, units, &[]);
            let unit = Unit { cpu: Cpu(900), ..units[request].clone() };
            let before = context.work.done();
            assert!(best(&unit, &mut ledger, Preference::Spread).is_none());
            assert_eq!(context.work.done() - before, 8);
        });
    }
}

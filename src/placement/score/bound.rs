//! How good a plan could be at best: a lower bound on the largest D_green of any plan that
//! places the same VMs. Hard rules are let go but for the lists of hosts, and VMs may be
//! cut into pieces, so no plan may reach the bound; none is below it.
//!
//! The larger of these:
//! - what a host uses already and nobody takes away, above the mean that will be;
//! - hosts that no VM can go to, and, with k VMs, the k+1st of all others: k VMs change
//!   at most k hosts;
//! - a large VM on the host where it matters least, and the pigeonhole: of q n + 1 VMs on
//!   n hosts some host gets q + 1;
//! - what busy hosts are above the mean others must be below it: water-filling.

use super::space::{Parts, Share, Space};
use crate::placement::score::load::Load;
use crate::placement::search::Piece;

/// At most this many of the largest VMs are looked at one by one.
const LARGE: usize = 16;

/// The pigeonhole is tried with at most this many VMs per host.
const HOLES: usize = 8;

/// Halvings of the interval in which the water level lies.
const HALVINGS: usize = 40;

/// A bound for placing `pieces` on hosts loaded with `before`. O(hosts + pieces).
#[must_use]
pub fn lower_bound(space: &Space, before: &Load, pieces: &[Piece<'_>]) -> f64 {
    if pieces.is_empty() {
        return before.objective();
    }
    let bound = Bound { space, before, pieces, range: range(space, before, pieces) };
    [bound.busy(), bound.untouched(), bound.large(), bound.pigeonhole(), bound.water()].into_iter().fold(0.0, f64::max)
}

/// Where the mean utilisation may lie when all pieces are placed.
#[derive(Clone, Copy)]
pub struct Range {
    low: Parts,
    high: Parts,
}

struct Bound<'b> {
    space: &'b Space,
    before: &'b Load,
    pieces: &'b [Piece<'b>],
    range: Range,
}

fn range(space: &Space, before: &Load, pieces: &[Piece<'_>]) -> Range {
    let hosts = before.hosts().max(1) as f64;
    let (least, most) = space.scales();
    let total = pieces.iter().fold(Share::default(), |sum, piece| sum.plus(piece.amount));
    let used = before.mean().part;
    let mut range = Range { low: used, high: used };
    for (j, part) in total.part.iter().enumerate() {
        range.low[j] += part * least[j] / hosts;
        range.high[j] += part * most[j] / hosts;
    }
    range
}

impl Bound<'_> {
    /// How far the host is off at least when it uses just this (`exactly`) or more.
    fn score(&self, host: usize, more: &Share, exactly: bool) -> f64 {
        self.before.least_score(host, more, &self.range.low, &self.range.high, exactly)
    }

    fn busy(&self) -> f64 {
        (0..self.before.hosts()).map(|host| self.score(host, &Share::default(), false)).fold(0.0, f64::max)
    }

    fn untouched(&self) -> f64 {
        let hosts = self.before.hosts();
        let mut reached = vec![false; hosts];
        let mut lists: Vec<&[u32]> = self.pieces.iter().map(|piece| piece.hosts).collect();
        lists.dedup_by(|a, b| std::ptr::eq(*a, *b));
        for list in lists {
            list.iter().for_each(|&host| reached[host as usize] = true);
        }
        let mut scores: Vec<f64> = Vec::with_capacity(hosts);
        let mut never = 0.0_f64;
        for (host, reached) in reached.into_iter().enumerate() {
            let score = self.score(host, &Share::default(), true);
            if reached {
                scores.push(score);
            } else {
                never = never.max(score);
            }
        }
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        scores.get(self.pieces.len()).copied().unwrap_or(0.0).max(never)
    }

    fn large(&self) -> f64 {
        let sizes = self.by_size();
        let least = |piece: &&Piece<'_>| {
            let hosts = piece.hosts.iter().map(|&host| host as usize);
            hosts
                .map(|host| self.score(host, &self.space.scaled(piece.amount, host), false))
                .fold(f64::INFINITY, f64::min)
        };
        sizes.iter().take(LARGE).map(least).filter(|bound| bound.is_finite()).fold(0.0, f64::max)
    }

    fn pigeonhole(&self) -> f64 {
        let sizes = self.by_size();
        let hosts = self.before.hosts();
        let mut bound = 0.0_f64;
        if hosts == 0 {
            return bound;
        }
        for q in 1..=HOLES {
            let Some(largest) = sizes.get(..=q * hosts) else { break };
            let start = Share { part: [f64::INFINITY; _], cpu: f64::INFINITY, ..Share::default() };
            let least = largest.iter().fold(start, |a, b| Share {
                part: std::array::from_fn(|j| a.part[j].min(b.amount.part[j])),
                cpu: a.cpu.min(b.amount.cpu),
                ..a
            });
            let times = (q + 1) as f64;
            let sum = Share { part: least.part.map(|part| part * times), cpu: least.cpu * times, ..least };
            let scores = (0..hosts).map(|host| self.score(host, &self.space.scaled(&sum, host), false));
            bound = bound.max(scores.fold(f64::INFINITY, f64::min));
        }
        bound
    }

    /// Pieces by what they take of a mean host, the largest first.
    fn by_size(&self) -> Vec<&Piece<'_>> {
        let (_, most) = self.space.scales();
        let size =
            |piece: &Piece<'_>| (0..self.space.count).map(|j| piece.amount.part[j] * most[j]).fold(0.0, f64::max);
        let mut sizes: Vec<(f64, &Piece<'_>)> = self.pieces.iter().map(|piece| (size(piece), piece)).collect();
        sizes.sort_by(|a, b| b.0.total_cmp(&a.0));
        sizes.into_iter().map(|(_, piece)| piece).collect()
    }

    /// The smallest level at which hosts below the mean make up for those above it.
    fn water(&self) -> f64 {
        let hosts = 0..self.before.hosts();
        let used: Vec<Parts> = hosts.clone().map(|host| self.before.used(host).part).collect();
        let target: Vec<f64> = hosts.clone().map(|host| self.before.target(host)).collect();
        let slope: Vec<f64> = hosts.map(|host| self.before.brownness_idle(host).max(1.0)).collect();
        let (mut level, mut both) = (0.0_f64, 0.0);
        for j in 0..self.space.count {
            let (weight, high) = (self.space.weights[j], self.range.high[j]);
            let above: f64 = used.iter().zip(&target).map(|(used, target)| (used[j] - target * high).max(0.0)).sum();
            if weight <= 0.0 || above <= 0.0 {
                continue;
            }
            both += 2.0 * weight * above;
            let below = |level: f64| {
                let room = used
                    .iter()
                    .zip(slope.iter().zip(&target))
                    .map(|(used, (slope, target))| (target * high - used[j]).max(0.0).min(level / (slope * weight)));
                room.sum::<f64>()
            };
            // the interval keeps its lower end: rounding never lifts the bound
            let (mut low, mut top) = (0.0, slope.iter().copied().fold(1.0, f64::max) * weight * high.abs().max(1.0));
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(low, top);
                if below(middle) < above {
                    low = middle;
                } else {
                    top = middle;
                }
            }
            level = level.max(if below(top) < above { 0.0 } else { low });
        }
        let width: f64 = slope.iter().map(|slope| 1.0 / slope).sum();
        level.max(if width > 0.0 { both / width } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use crate::model::policy::Policy;
    use crate::placement::testing::{ask, cloud, demands};
    use crate::placement::{PlanningInput, plan};

    /// The bound, and what the plan comes to, for VMs of so many cores on hosts of 8.
    fn planned(hosts: usize, vms: &[i64]) -> (f64, f64) {
        let mut asked = cloud(&vec![8; hosts]);
        let all: Vec<u32> = (0..hosts as u32).collect();
        for cores in vms {
            ask(&mut asked, *cores, &all);
        }
        let policy = Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() };
        let report = plan(&PlanningInput::new(&asked, &demands(&asked)), &policy).report;
        assert!(report.refusals.is_empty(), "{:?}", report.refusals);
        (report.bound, report.objective.1)
    }

    #[test]
    fn of_more_vms_than_hosts_some_host_gets_two() {
        // 8 of 8 cores on one host where 6 are the mean
        let (bound, objective) = planned(2, &[4, 4, 4]);
        assert!((bound - 0.25).abs() < 1e-9 && (objective - 0.25).abs() < 1e-9, "{bound} {objective}");
        // five on two hosts: three are on one
        let (bound, objective) = planned(2, &[2, 2, 2, 2, 2]);
        assert!((bound - 0.125).abs() < 1e-9 && (objective - 0.125).abs() < 1e-9, "{bound} {objective}");
        // the smallest of the largest counts: two of three cores on one host where five are the mean
        let (bound, objective) = planned(2, &[4, 3, 3]);
        assert!((bound - 0.125).abs() < 1e-9 && (objective - 0.125).abs() < 1e-9, "{bound} {objective}");
        let (bound, objective) = planned(2, &[4, 4]);
        assert!(bound.abs() < 1e-9 && objective.abs() < 1e-9, "{bound} {objective}");
    }

    use super::*;
    use crate::model::demand::Demands;
    use crate::model::snapshot::Snapshot;
    use crate::placement::score::cost::{COSTS, Cost, Costs, MakeCost};
    use std::sync::Arc;

    /// Looks at the bound for VMs of so many cores that may go to these hosts, on hosts of so many cores that use some.
    fn look<T>(hosts: &[(i64, f64)], vms: &[(i64, &[u32])], look: impl FnOnce(&Bound<'_>) -> T) -> T {
        let mut asked = cloud(&hosts.iter().map(|(cores, _)| *cores).collect::<Vec<_>>());
        vms.iter().for_each(|(cores, hosts)| {
            ask(&mut asked, *cores, hosts);
        });
        let mut all = demands(&asked);
        all.hosts.iter_mut().zip(hosts).for_each(|(at, (_, cores))| at.usage.cpu = 100.0 * cores);
        with(&asked, &all, look)
    }

    fn with<T>(asked: &Snapshot, all: &Demands, look: impl FnOnce(&Bound<'_>) -> T) -> T {
        let policy = Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() };
        costing(asked, all, &policy, COSTS, look)
    }

    fn costing<T>(
        asked: &Snapshot,
        all: &Demands,
        policy: &Policy,
        costs: &[MakeCost],
        look: impl FnOnce(&Bound<'_>) -> T,
    ) -> T {
        let space = Space::new(asked, all, policy);
        let before = Load::with_costs(&space, Costs::from(costs, asked, policy));
        let piece = |request: usize| Piece::free(space.amount_of(request), &asked.candidates[request].hosts);
        let pieces: Vec<Piece<'_>> = (0..asked.candidates.len()).map(piece).collect();
        let range = range(&space, &before, &pieces);
        look(&Bound { space: &space, before: &before, pieces: &pieces, range })
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    }

    #[test]
    fn the_mean_lies_between_all_on_the_largest_hosts_and_all_on_the_smallest() {
        look(&[(8, 4.0), (4, 1.0)], &[(2, &[0, 1]), (1, &[0])], |bound| {
            // 0.375 now; 3 cores are 0.375 of the large host, 0.75 of the small one
            near(bound.range.low[0], 0.375 + 0.375 / 2.0);
            near(bound.range.high[0], 0.375 + 0.75 / 2.0);
        });
    }

    #[test]
    fn each_part_of_the_bound_tells_what_no_plan_can_avoid() {
        let both: &[u32] = &[0, 1];
        // hosts of 8 cores; busy, untouched, large, pigeonhole and water
        for (hosts, vms, expected) in [
            (&[(8, 6.0), (8, 0.0)][..], &[(2, both)][..], [0.25, 0.25, 0.0, 0.0, 0.25]),
            (&[(8, 6.0), (8, 0.0)], &[(2, &[1])], [0.25, 0.25, 0.0, 0.0, 0.25]),
            (&[(8, 6.0), (8, 0.0)], &[(2, &[0])], [0.25, 0.5, 0.5, 0.0, 0.25]),
            (&[(8, 0.0), (8, 0.0)], &[(6, &[0, 1])], [0.0, 0.375, 0.375, 0.0, 0.0]),
            (&[(8, 1.0), (8, 2.0)], &[(6, &[0]), (1, both)], [0.0, 0.0, 0.25, 0.0, 0.0]),
            (&[(8, 0.0), (8, 0.0)], &[(4, both), (4, both), (3, both)], [0.0, 0.0, 0.0, 0.0625, 0.0]),
            (&[(8, 4.0), (8, 0.0), (8, 0.0)], &[(1, &[1, 2]), (1, &[1, 2])], [0.25, 0.25, 0.0, 0.0, 1.0 / 6.0]),
            (&[(8, 8.0), (8, 8.0), (8, 0.0)], &[(1, &[2])], [7.0 / 24.0, 7.0 / 24.0, 0.0, 0.0, 14.0 / 24.0]),
        ] {
            let found = look(hosts, vms, |bound| {
                [bound.busy(), bound.untouched(), bound.large(), bound.pigeonhole(), bound.water()]
            });
            let same = found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-9);
            assert!(same, "{hosts:?} {vms:?}: {found:?}");
            let whole = look(hosts, vms, |bound| lower_bound(bound.space, bound.before, bound.pieces));
            near(whole, expected.into_iter().fold(0.0, f64::max));
        }
        // nobody comes: hosts are as they are
        near(look(&[(8, 6.0), (8, 0.0)], &[], |bound| lower_bound(bound.space, bound.before, bound.pieces)), 0.375);
    }

    #[test]
    fn pieces_are_looked_at_the_largest_first() {
        look(&[(8, 0.0)], &[(1, &[0]), (3, &[0]), (2, &[0])], |bound| {
            let sizes: Vec<f64> = bound.by_size().iter().map(|piece| piece.amount.cpu).collect();
            assert_eq!(sizes, [300.0, 200.0, 100.0]);
        });
    }

    /// Hosts of so many cores that use some, and VMs, as above, with a policy and costs of one's choice.
    fn parts(hosts: &[(i64, f64)], vms: &[(i64, &[u32])], weight_cpu: f64, costs: &[MakeCost]) -> [f64; 5] {
        let mut asked = cloud(&hosts.iter().map(|(cores, _)| *cores).collect::<Vec<_>>());
        vms.iter().for_each(|(cores, hosts)| {
            ask(&mut asked, *cores, hosts);
        });
        let mut all = demands(&asked);
        all.hosts.iter_mut().zip(hosts).for_each(|(at, (_, cores))| at.usage.cpu = 100.0 * cores);
        let policy = Policy { risk: 0.0, weight_cpu, weight_memory: 0.0, s_green: 0.0, ..Policy::default() };
        costing(&asked, &all, &policy, costs, |bound| {
            [bound.busy(), bound.untouched(), bound.large(), bound.pigeonhole(), bound.water()]
        })
    }

    /// A distance counts twice, and CPU in use four times.
    #[derive(Debug)]
    struct Costly(f64, f64);

    impl Cost for Costly {
        fn adjusted(&self, _host: usize, distance: f64, cpu: f64) -> f64 {
            self.0 * distance + self.1 * cpu
        }
    }

    #[test]
    fn all_parts_grow_with_the_weight_and_with_what_a_distance_costs() {
        let both: &[u32] = &[0, 1];
        type Case<'a> = (&'a [(i64, f64)], &'a [(i64, &'a [u32])]);
        let cases: [Case<'_>; 6] = [
            (&[(8, 6.0), (8, 0.0)], &[(2, &[0])]),
            (&[(8, 0.0), (8, 0.0)], &[(4, both), (4, both), (3, both)]),
            (&[(8, 4.0), (8, 0.0), (8, 0.0)], &[(1, &[1, 2]), (1, &[1, 2])]),
            (&[(8, 8.0), (8, 8.0), (8, 0.0)], &[(1, &[2])]),
            // far more than there is
            (&[(8, 24.0), (8, 24.0), (8, 0.0)], &[(1, &[2])]),
            (&[(8, 6.0), (8, 2.0)], &[(6, &[0]), (1, both)]),
        ];
        for (hosts, vms) in cases {
            let near = |found: [f64; 5], times: f64| {
                let once = parts(hosts, vms, 1.0, &[]);
                for (found, once) in found.iter().zip(once) {
                    assert!((found - times * once).abs() < 1e-8, "{hosts:?} {vms:?} {times}: {found}, {once} once");
                }
            };
            near(parts(hosts, vms, 2.0, &[]), 2.0);
            near(parts(hosts, vms, 0.25, &[]), 0.25);
            near(parts(hosts, vms, 1.0, &[|_, _| Some(Arc::new(Costly(2.0, 0.0)))]), 2.0);
            near(parts(hosts, vms, 4.0, &[|_, _| Some(Arc::new(Costly(2.0, 0.0)))]), 8.0);
        }
        let full = parts(&[(8, 24.0), (8, 24.0), (8, 0.0)], &[(1, &[2])], 1.0, &[]);
        // the mean is 49 of 24 cores; what two hosts are above it the third would have to be below
        near(full[4], 2.0 * (3.0 - 49.0 / 24.0));
    }

    #[test]
    fn cpu_that_costs_counts_with_the_least_that_a_host_gets() {
        let cpu: &[MakeCost] = &[|_, _| Some(Arc::new(Costly(1.0, 4.0)))];
        let both: &[u32] = &[0, 1];
        // three on two hosts: one gets two of at least 3 cores, 6 of 8 at four each, 0.0625 above the mean
        let found = parts(&[(8, 0.0), (8, 0.0)], &[(4, both), (4, both), (3, both)], 1.0, cpu);
        near(found[3], 0.0625 + 4.0 * 0.75);
        // the largest, alone on a host
        near(found[2], 4.0 * 0.5);
    }

    #[test]
    fn what_is_offered_no_host_and_a_cloud_without_hosts_say_nothing() {
        let nowhere: &[u32] = &[];
        let found = parts(&[(8, 0.0), (8, 0.0)], &[(6, nowhere), (1, nowhere)], 1.0, &[]);
        assert_eq!(found[2], 0.0);
        look(&[], &[(2, nowhere)], |bound| {
            assert_eq!((bound.range.low[0], bound.range.high[0]), (0.0, 0.0));
            assert_eq!(lower_bound(bound.space, bound.before, bound.pieces), 0.0);
        });
    }

    #[test]
    fn the_size_of_a_piece_is_its_largest_share_of_a_host() {
        let mut asked = cloud(&[8, 16]);
        asked.hosts.iter_mut().for_each(|host| host.memory.0 = 1 << 20);
        for (cores, memory) in [(1, 1 << 19), (6, 100), (2, 1 << 18)] {
            let request = ask(&mut asked, cores, &[0, 1]);
            asked.vms[request].memory.0 = memory;
        }
        let policy = Policy { risk: 0.0, s_green: 0.0, ..Policy::default() };
        costing(&asked, &demands(&asked), &policy, COSTS, |bound| {
            let sizes: Vec<f64> = bound.by_size().iter().map(|piece| piece.amount.cpu).collect();
            assert_eq!(sizes, [600.0, 100.0, 200.0]);
        });
    }
}

//! Networks for NICs in auto mode: leases, clusters, and one network per NIC.

use super::context::Context;
use super::reason::Reason;
use super::standing::Seat;
use super::{Case, Rule};
use crate::model::ids::ClusterId;
use crate::model::policy::Spread;
use crate::model::snapshot::{NicCandidates, Vm};
use std::cmp::{Ordering, Reverse};

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Networks { context, leases: context.snapshot.vnets.iter().map(|n| n.free_leases).collect() })
}

/// Leases left, as decisions are booked.
#[derive(Clone)]
struct Networks<'a> {
    context: &'a Context<'a>,
    /// By network index.
    leases: Vec<i64>,
}

impl<'a> Rule<'a> for Networks<'a> {
    fn name(&self) -> &'static str {
        "networks"
    }

    /// A network for each auto NIC in a cluster, or why not: all NICs or none, by a maximum
    /// matching of NICs to networks where they must differ, best network first;
    /// O(NICs^2 x networks). A running VM keeps its own.
    fn ask(&self, case: &Case<'_>, seat: &mut Seat) -> Result<(), Reason> {
        let (vm, nics) = (case.vm, &self.context.candidates(case.request).nics);
        if vm.resched || self.context.migrates() {
            return Ok(());
        }
        let options = |nic| self.options(vm, nic, case.there.cluster);
        let options: Vec<Vec<usize>> = nics.iter().map(options).collect::<Result<_, _>>()?;
        let chosen =
            if self.context.policy.different_vnets { distinct(&options) } else { self.repeatable(vm, &options) };
        let chosen = chosen.ok_or(Reason::SameNetwork(options.len()))?;
        seat.nics = nics.iter().map(|nic| nic.nic).zip(chosen).collect();
        Ok(())
    }

    fn arrive(&mut self, case: &Case<'_>, seat: &Seat) {
        self.book(case.vm, seat, -1);
    }

    fn leave(&mut self, case: &Case<'_>, seat: &Seat) {
        self.book(case.vm, seat, 1);
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        self.context.candidates(a).nics == self.context.candidates(b).nics
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Networks<'_> {
    /// Takes or returns one lease per NIC. A resumed VM has its own.
    fn book(&mut self, vm: &Vm, seat: &Seat, sign: i64) {
        if !vm.resume {
            seat.nics.iter().for_each(|(_, vnet)| self.leases[*vnet] += sign);
        }
    }

    /// Networks of one NIC that serve the cluster and have a lease, best first.
    fn options(&self, vm: &Vm, nic: &NicCandidates, cluster: ClusterId) -> Result<Vec<usize>, Reason> {
        let serving = nic.vnets.iter().map(|&vnet| vnet as usize);
        let serving: Vec<usize> = serving
            .filter(|&vnet| self.context.snapshot.vnets[vnet].clusters.binary_search(&cluster).is_ok())
            .collect();
        let mut free: Vec<usize> = serving.iter().copied().filter(|&vnet| vm.resume || self.leases[vnet] > 0).collect();
        if free.is_empty() {
            return Err(match serving.first() {
                Some(&vnet) => Reason::Leases { nic: nic.nic, vnet: self.context.snapshot.vnets[vnet].id },
                None => Reason::NoNetwork(nic.nic),
            });
        }
        let rank = vm.auto_nics.iter().find(|auto| auto.id == nic.nic).map_or("", |auto| auto.rank.as_str());
        free.sort_by(|&a, &b| self.compare(rank, a, b));
        Ok(free)
    }

    fn compare(&self, rank: &str, a: usize, b: usize) -> Ordering {
        let value = |vnet: usize| self.context.ranks.of_vnet(rank, &self.context.snapshot.vnets[vnet]);
        let by_free = match self.context.policy.networks {
            Spread::Striping => Reverse(self.leases[a]).cmp(&Reverse(self.leases[b])),
            Spread::Packing => self.leases[a].cmp(&self.leases[b]),
        };
        value(b).total_cmp(&value(a)).then(by_free).then(a.cmp(&b))
    }

    /// NICs may share a network, as long as it has a lease for each.
    fn repeatable(&self, vm: &Vm, options: &[Vec<usize>]) -> Option<Vec<usize>> {
        let slots: Vec<Vec<usize>> = if vm.resume {
            return Some(options.iter().map(|nets| nets[0]).collect());
        } else {
            // one slot per lease that this VM could use: network x NIC number
            let count = options.len();
            let usable = |vnet: usize| usize::try_from(self.leases[vnet]).unwrap_or(0).min(count);
            options
                .iter()
                .map(|nets| nets.iter().flat_map(|&vnet| (0..usable(vnet)).map(move |k| vnet * count + k)).collect())
                .collect()
        };
        let chosen = distinct(&slots)?;
        Some(chosen.into_iter().map(|slot| slot / options.len()).collect())
    }
}

/// One option per row, all different, earlier options preferred; `None` if impossible.
fn distinct(options: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut holder: Vec<(usize, usize)> = Vec::new();
    for row in 0..options.len() {
        if !augment(options, row, &mut holder, &mut Vec::new()) {
            return None;
        }
    }
    let of = |row: usize| holder.iter().find(|(_, r)| *r == row).map(|(option, _)| *option);
    (0..options.len()).map(of).collect()
}

/// One step of Kuhn's algorithm; depth is at most the number of NICs.
fn augment(options: &[Vec<usize>], row: usize, holder: &mut Vec<(usize, usize)>, tried: &mut Vec<usize>) -> bool {
    for &option in &options[row] {
        if !holder.iter().any(|(held, _)| *held == option) {
            holder.push((option, row));
            return true;
        }
    }
    for &option in &options[row] {
        if tried.contains(&option) {
            continue;
        }
        tried.push(option);
        let Some(at) = holder.iter().position(|(held, _)| *held == option) else { continue };
        if augment(options, holder[at].1, holder, tried) {
            // the old holder has a new entry; hand this option over
            let old = holder[at].1;
            holder.retain(|entry| *entry != (option, old));
            holder.push((option, row));
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::distinct;

    #[test]
    fn every_nic_gets_a_network_of_its_own_when_there_is_a_way() {
        for (options, expected) in [
            (vec![vec![0, 1], vec![0]], Some(vec![1, 0])),
            (vec![vec![0, 1, 2], vec![0, 1], vec![0]], Some(vec![2, 1, 0])),
            (vec![vec![2, 1], vec![2, 1]], Some(vec![2, 1])),
            (vec![vec![0], vec![0]], None),
            (vec![vec![0, 1], vec![0, 1], vec![1, 0]], None),
            (vec![], Some(vec![])),
        ] {
            assert_eq!(distinct(&options), expected, "{options:?}");
        }
    }
}

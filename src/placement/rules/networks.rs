//! Networks for NICs in auto mode: leases, clusters, and one network per NIC.

use super::context::Context;
use super::reason::Reason;
use super::standing::Seat;
use super::{Case, Rule};
use crate::model::ids::ClusterId;
use crate::model::policy::Spread;
use crate::model::snapshot::{NicCandidates, Vm};
use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Networks {
        context,
        leases: context.snapshot.vnets.iter().map(|n| n.free_leases).collect(),
        state: 0,
        states: Rc::default(),
        known: Rc::default(),
    })
}

/// A network (index) for each NIC, or why not.
type Chosen = Result<Vec<usize>, Reason>;

/// What was chosen, and in which state of the leases.
type Known = (u64, Chosen);

/// Leases left, as decisions are booked.
#[derive(Clone)]
struct Networks<'a> {
    context: &'a Context<'a>,
    /// By network index.
    leases: Vec<i64>,
    /// Which state these leases are; equal numbers are equal leases, in all copies.
    state: u64,
    states: Rc<Cell<u64>>,
    /// By request and cluster: what came of the latest state that was looked at. All hosts of a
    /// cluster get the same answer.
    known: Rc<RefCell<HashMap<(usize, ClusterId), Known>>>,
}

impl<'a> Rule<'a> for Networks<'a> {
    fn name(&self) -> &'static str {
        "networks"
    }

    /// A network for each auto NIC in a cluster, or why not: all NICs or none. A running VM
    /// keeps its own.
    fn ask(&self, case: &Case<'_>, seat: &mut Seat) -> Result<(), Reason> {
        let (vm, nics) = (case.vm, &self.context.candidates(case.request).nics);
        if vm.resched || nics.is_empty() || self.context.migrates() {
            return Ok(());
        }
        let key = (case.request, case.there.cluster);
        let known = self.known.borrow().get(&key).filter(|(state, _)| *state == self.state).map(|(_, c)| c.clone());
        let chosen = known.unwrap_or_else(|| {
            let chosen = self.choose(case.request, nics, case.there.cluster);
            self.known.borrow_mut().insert(key, (self.state, chosen.clone()));
            chosen
        });
        seat.nics = nics.iter().map(|nic| nic.nic).zip(chosen?).collect();
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
        if !vm.resume && !seat.nics.is_empty() {
            seat.nics.iter().for_each(|(_, vnet)| self.leases[*vnet] += sign);
            self.states.set(self.states.get() + 1);
            self.state = self.states.get();
        }
    }

    /// By a maximum matching of NICs to networks, best network first; where they must differ
    /// each network serves one, else as many as it has leases. O(NICs^2 x networks) at most.
    fn choose(&self, request: usize, nics: &[NicCandidates], cluster: ClusterId) -> Chosen {
        let vm = self.context.vm(request);
        // most NICs may go to the same networks
        let mut orders: HashMap<(*const u32, Option<usize>), Rc<[usize]>> = HashMap::new();
        let mut options: Vec<Rc<[usize]>> = Vec::with_capacity(nics.len());
        for nic in nics {
            let rank = self.context.ranks.of_nic(request, nic.nic);
            let key = (nic.vnets.as_ptr(), rank);
            let order = match orders.get(&key) {
                Some(order) => order.clone(),
                None => {
                    let order: Rc<[usize]> = self.options(vm, nic, rank, cluster)?.into();
                    orders.insert(key, order.clone());
                    order
                }
            };
            options.push(order);
        }
        let differ = self.context.policy.different_vnets;
        let places = |vnet: usize| match (differ, vm.resume) {
            (true, _) => 1,
            (false, true) => usize::MAX,
            (false, false) => usize::try_from(self.leases[vnet]).unwrap_or(0),
        };
        // more NICs than all their networks serve: no way needs to be looked for
        let all: BTreeSet<usize> = orders.values().flat_map(|order| order.iter().copied()).collect();
        let room = all.iter().fold(0_usize, |sum, vnet| sum.saturating_add(places(*vnet)));
        let refused = Reason::SameNetwork { nics: nics.len(), networks: all.len(), differ };
        if room < nics.len() {
            return Err(refused);
        }
        let matched = matching(&options, self.leases.len(), places, &mut |steps| self.context.work.spend(steps));
        matched.ok_or(refused)
    }

    /// Networks of one NIC that serve the cluster and have a lease, best first.
    fn options(&self, vm: &Vm, nic: &NicCandidates, rank: Option<usize>, cluster: ClusterId) -> Chosen {
        let vnets = &self.context.snapshot.vnets;
        self.context.work.spend(4 * nic.vnets.len());
        let serving = nic.vnets.iter().map(|&vnet| vnet as usize);
        let serving: Vec<usize> =
            serving.filter(|&vnet| vnets[vnet].clusters.binary_search(&cluster).is_ok()).collect();
        let free = serving.iter().copied().filter(|&vnet| vm.resume || self.leases[vnet] > 0);
        let values = rank.map(|rank| self.context.ranks.of_vnets(rank, vnets));
        let value = |vnet: usize| values.as_ref().map_or(0.0, |values| values[vnet]);
        let mut free: Vec<(f64, usize)> = free.map(|vnet| (value(vnet), vnet)).collect();
        if free.is_empty() {
            return Err(match serving.first() {
                Some(&vnet) => Reason::Leases { nic: nic.nic, vnet: vnets[vnet].id },
                None => Reason::NoNetwork(nic.nic),
            });
        }
        free.sort_by(|a, b| self.compare(*a, *b));
        Ok(free.into_iter().map(|(_, vnet)| vnet).collect())
    }

    /// By rank, then by leases.
    fn compare(&self, (rank_a, a): (f64, usize), (rank_b, b): (f64, usize)) -> Ordering {
        let by_free = match self.context.policy.networks {
            Spread::Striping => Reverse(self.leases[a]).cmp(&Reverse(self.leases[b])),
            Spread::Packing => self.leases[a].cmp(&self.leases[b]),
        };
        rank_b.total_cmp(&rank_a).then(by_free).then(a.cmp(&b))
    }
}

/// An option for each row, each option for at most as many rows as it has places, earlier
/// options preferred; `None` if impossible. Options are below `count`.
fn matching(
    options: &[Rc<[usize]>],
    count: usize,
    places: impl Fn(usize) -> usize,
    spend: &mut dyn FnMut(usize),
) -> Option<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut chosen: Vec<Option<usize>> = vec![None; options.len()];
    for row in 0..options.len() {
        let mut tried = vec![false; count];
        let mut steps = count / 8;
        let found = augment(options, &places, row, &mut rows, &mut chosen, &mut tried, &mut steps);
        spend(steps);
        if !found {
            return None;
        }
    }
    chosen.into_iter().collect()
}

/// One step of Kuhn's algorithm; depth is at most the number of rows.
fn augment(
    options: &[Rc<[usize]>],
    places: &impl Fn(usize) -> usize,
    row: usize,
    rows: &mut [Vec<usize>],
    chosen: &mut [Option<usize>],
    tried: &mut [bool],
    steps: &mut usize,
) -> bool {
    *steps += options[row].len() / 4 + 1;
    if let Some(&free) = options[row].iter().find(|&&option| rows[option].len() < places(option)) {
        rows[free].push(row);
        chosen[row] = Some(free);
        return true;
    }
    for &option in options[row].iter() {
        if std::mem::replace(&mut tried[option], true) {
            continue;
        }
        for at in 0..rows[option].len() {
            let holder = rows[option][at];
            *steps += 1;
            if augment(options, places, holder, rows, chosen, tried, steps) {
                // the old holder has another option now; this one is handed over
                rows[option].retain(|other| *other != holder);
                rows[option].push(row);
                chosen[row] = Some(option);
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct(options: &[Vec<usize>], places: usize) -> (Option<Vec<usize>>, usize) {
        let options: Vec<Rc<[usize]>> = options.iter().map(|row| row.as_slice().into()).collect();
        let mut steps = 0;
        let count = options.iter().flat_map(|row| row.iter()).max().map_or(0, |most| most + 1);
        (matching(&options, count, |_| places, &mut |more| steps += more), steps)
    }

    #[test]
    fn every_nic_gets_a_network_of_its_own_when_there_is_a_way() {
        for (options, places, expected) in [
            (vec![vec![0, 1], vec![0]], 1, Some(vec![1, 0])),
            (vec![vec![0, 1, 2], vec![0, 1], vec![0]], 1, Some(vec![2, 1, 0])),
            (vec![vec![2, 1], vec![2, 1]], 1, Some(vec![2, 1])),
            (vec![vec![0], vec![0]], 1, None),
            (vec![vec![0, 1], vec![0, 1], vec![1, 0]], 1, None),
            (vec![vec![0], vec![0]], 2, Some(vec![0, 0])),
            (vec![vec![0, 1], vec![0, 1], vec![0], vec![0]], 2, Some(vec![1, 1, 0, 0])),
            (vec![vec![0, 1], vec![0], vec![0], vec![0]], 2, None),
            (vec![], 1, Some(vec![])),
        ] {
            assert_eq!(distinct(&options, places).0, expected, "{options:?}");
        }
    }

    #[test]
    fn many_nics_cost_what_they_have_to() {
        // the last row has to push all others on
        let mut chain: Vec<Vec<usize>> = (0..200).map(|row| vec![row, row + 1]).collect();
        chain.push(vec![0]);
        let (found, steps) = distinct(&chain, 1);
        assert_eq!(found.map(|found| found[200]), Some(0));
        assert!(steps < 201 * 201, "{steps}");
        // one more than there are
        let full = vec![(0..200).collect::<Vec<usize>>(); 201];
        let (found, steps) = distinct(&full, 1);
        assert!(found.is_none() && steps < 3 * 201 * 201, "{steps}");
    }

    use crate::model::ids::{NicId, VnetId};
    use crate::model::policy::Policy;
    use crate::model::snapshot::{AutoNic, Section, Snapshot};
    use crate::placement::ledger::Ledger;
    use crate::placement::testing::{ask, booked, cloud, placing, vnet};

    /// One VM whose NICs may go to these networks, which have so many leases.
    fn asked(leases: &[i64], nics: &[&[u32]]) -> Snapshot {
        let mut asked = cloud(&[8]);
        asked.vnets = (0..).zip(leases).map(|(id, free)| vnet(id, *free)).collect();
        let request = ask(&mut asked, 1, &[0]);
        add(&mut asked, request, nics);
        asked
    }

    fn add(asked: &mut Snapshot, request: usize, nics: &[&[u32]]) {
        for (id, vnets) in (0..).zip(nics) {
            let id = NicId(id);
            asked.vms[request].auto_nics.push(AutoNic { id, rank: String::new(), assigned: false });
            asked.candidates[request].nics.push(NicCandidates { nic: id, vnets: (*vnets).into() });
        }
    }

    fn seat(ledger: &Ledger<'_>, request: usize) -> Result<Vec<usize>, Reason> {
        ledger.seat(request, 0).map(|seat| seat.nics.into_iter().map(|(_, vnet)| vnet).collect())
    }

    fn gets(asked: &Snapshot, policy: &Policy) -> Result<Vec<usize>, Reason> {
        placing(asked, policy, |context, _| seat(&Ledger::new(context, false), 0))
    }

    #[test]
    fn a_nic_gets_the_best_network_that_serves_it() {
        let policy = |networks| Policy { networks, ..Policy::default() };
        let both = |asked: &Snapshot| [Spread::Striping, Spread::Packing].map(|one| gets(asked, &policy(one)));
        let mut one = asked(&[5, 9, 2, 9], &[&[0, 1, 2, 3]]);
        assert_eq!(both(&one), [Ok(vec![1]), Ok(vec![2])]);
        one.vms[0].auto_nics[0].rank = "FAST".to_owned();
        one.vnets[0].attributes.push(Section::Template, "FAST", "3");
        assert_eq!(both(&one), [Ok(vec![0]), Ok(vec![0])]);
        one.vnets[0].clusters.clear();
        assert_eq!(both(&one), [Ok(vec![1]), Ok(vec![2])]);
        one.vnets.iter_mut().for_each(|vnet| vnet.free_leases = 0);
        let leases = Reason::Leases { nic: NicId(0), vnet: VnetId(1) };
        assert_eq!(gets(&one, &Policy::default()), Err(leases));
        one.vms[0].resume = true;
        assert_eq!(gets(&one, &Policy::default()), Ok(vec![1]), "it has its leases");
        one.vnets.iter_mut().for_each(|vnet| vnet.clusters.clear());
        assert_eq!(gets(&one, &Policy::default()), Err(Reason::NoNetwork(NicId(0))));
    }

    #[test]
    fn nics_have_different_networks_or_as_many_leases_as_there_are() {
        let policy = |different_vnets| Policy { different_vnets, ..Policy::default() };
        let same = |nics, networks, differ| Err(Reason::SameNetwork { nics, networks, differ });
        for (leases, nics, differing, sharing) in [
            (&[5, 3][..], &[&[0, 1][..], &[0, 1]][..], Ok(vec![0, 1]), Ok(vec![0, 0])),
            (&[5, 3], &[&[0, 1], &[0]], Ok(vec![1, 0]), Ok(vec![0, 0])),
            (&[5], &[&[0], &[0]], same(2, 1, true), Ok(vec![0, 0])),
            (&[1], &[&[0], &[0]], same(2, 1, true), same(2, 1, false)),
            (&[5, 5, 5], &[&[0, 2], &[0], &[0]], same(3, 2, true), Ok(vec![0, 0, 0])),
            (&[5, 5, 5], &[&[0, 1, 2], &[0], &[0]], same(3, 3, true), Ok(vec![0, 0, 0])),
        ] {
            let asked = asked(leases, nics);
            assert_eq!(gets(&asked, &policy(true)), differing, "{leases:?} {nics:?}");
            assert_eq!(gets(&asked, &policy(false)), sharing, "{leases:?} {nics:?}");
        }
        let mut resumes = asked(&[0], &[&[0], &[0]]);
        resumes.vms[0].resume = true;
        assert_eq!(gets(&resumes, &policy(false)), Ok(vec![0, 0]));
        assert_eq!(gets(&resumes, &policy(true)), same(2, 1, true));
    }

    #[test]
    fn leases_are_taken_and_given_back_and_what_was_known_is_forgotten() {
        let mut asked = asked(&[2], &[&[0]]);
        for _ in 0..2 {
            let request = ask(&mut asked, 1, &[0]);
            add(&mut asked, request, &[&[0]]);
        }
        let unlike = ask(&mut asked, 1, &[0]);
        asked.vms[2].resume = true;
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[(0, 0)]);
            assert_eq!(seat(&ledger, 1), Ok(vec![0]));
            let given = ledger.seat(1, 0).unwrap();
            ledger.book(1, given);
            let third = ledger.seat(2, 0).unwrap();
            ledger.book(2, third);
            ledger.unbook(0);
            assert_eq!(seat(&ledger, 0), Ok(vec![0]));
            let again = ledger.seat(0, 0).unwrap();
            ledger.book(0, again);
            ledger.unbook(1);
            assert_eq!(seat(&ledger, 1), Ok(vec![0]));
            ledger.unbook(2);
            let again = ledger.seat(1, 0).unwrap();
            ledger.book(1, again);
            // both leases are gone; who resumes has its own
            assert_eq!(seat(&ledger, 2), Ok(vec![0]));
            let moved = ledger.unbook(0).unwrap();
            ledger.book(0, moved);
            ledger.unbook(1);
            assert_eq!(seat(&ledger, 1), Ok(vec![0]));
            assert!(ledger.alike(0, 1) && !ledger.alike(0, unlike));
        });
    }
}

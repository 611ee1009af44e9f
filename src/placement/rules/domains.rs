//! Failure domains and likings: the VMs of a role or a group are spread over the values of a host
//! attribute (RACK, ZONE, POWER_FEED) or kept within one, as a rule or as far as possible; and hosts
//! that a VM or a role likes, or rather not. Wishes of the soft kind forbid nothing.
//!
//! The domains of a set are the values at hosts that its VMs may go to. A host without a value takes
//! no VM of a set that must be spread or kept together. Members that run count where they are.

use super::context::{Context, Purpose};
use super::reason::Reason;
use super::standing::{Seat, Standing};
use super::{Case, Rule};
use crate::model::brief::Waits;
use crate::model::ids::VmId;
use crate::model::snapshot::{Host, Notice, Snapshot, Subject, VmGroup, VmState};
use crate::model::wish::{Liked, Liking, Wishes};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a set wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// At most this many VMs more in one domain than in another.
    Spread(usize),
    /// All in one domain.
    Together,
}

/// VMs that are spread over the values of an attribute, or kept within one.
#[derive(Clone, Debug)]
struct Set {
    kind: Kind,
    soft: bool,
    /// The attribute.
    by: String,
    /// `role "web" of VM group g7`.
    whom: String,
    /// By host.
    domain: Vec<Option<usize>>,
    /// By domain: its value.
    names: Vec<String>,
    /// By domain: a VM of the set may go there.
    eligible: Vec<bool>,
    /// By domain: VMs of the set there before the plan, without those that a placement is to move.
    fixed: Vec<usize>,
    /// The same with them.
    all: Vec<usize>,
    /// By domain: it could hold all VMs of the set that come, by what it has left in sum.
    roomy: Vec<bool>,
}

/// The sets and likings of a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    sets: Vec<Set>,
    /// By request: the sets that it belongs to; empty where there are no sets.
    sets_of: Vec<Vec<usize>>,
    /// By request: which of `weights`; empty where nothing is liked.
    likings: Vec<Option<usize>>,
    /// By host: how much it is liked, below 0 where it is rather not taken. Many VMs like the same.
    weights: Vec<Vec<f64>>,
    /// What is odd about them.
    pub notices: Vec<Notice>,
}

impl Domains {
    /// Reads the wishes of all groups; `members` by (group, role), requests in `staying` stay where they are.
    pub fn new(
        snapshot: &Snapshot,
        staying: &HashMap<usize, Waits>,
        members: &HashMap<(usize, usize), BTreeSet<VmId>>,
    ) -> Self {
        let mut domains = Self::default();
        let requests: HashMap<VmId, usize> =
            snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect();
        let reader = Reader { snapshot, staying, requests };
        let mut likings = Likings { snapshot, hosts: HashMap::new(), of: BTreeMap::new() };
        for (index, group) in snapshot.groups.iter().enumerate() {
            let mut whole: BTreeSet<VmId> = BTreeSet::new();
            for (number, role) in group.roles.iter().enumerate() {
                let vms = &members[&(index, number)];
                whole.extend(vms);
                let whom = format!("role {:?} of VM group {}", role.name, group.name);
                domains.read(&reader, group, &role.wishes, &whom, vms);
                likings.of_all(&reader, vms, &role.wishes.likings);
            }
            domains.read(&reader, group, &group.wishes, &format!("VM group {}", group.name), &whole);
            likings.of_all(&reader, &whole, &group.wishes.likings);
        }
        for (request, candidates) in snapshot.candidates.iter().enumerate() {
            likings.add(request, &snapshot.vms[candidates.vm].likings);
        }
        (domains.likings, domains.weights) = likings.weighed(snapshot.candidates.len());
        domains
    }

    fn read(&mut self, reader: &Reader<'_>, group: &VmGroup, wishes: &Wishes, whom: &str, vms: &BTreeSet<VmId>) {
        let spread = wishes.spread.iter().map(|s| (Kind::Spread(s.skew as usize), s.soft, &s.by));
        let together = wishes.together.iter().map(|t| (Kind::Together, t.soft, &t.by));
        for (kind, soft, by) in spread.chain(together) {
            let requests: Vec<usize> = vms.iter().filter_map(|vm| reader.requests.get(vm)).copied().collect();
            if requests.is_empty() {
                continue;
            }
            let set = reader.set(kind, soft, by, whom, vms, &requests);
            let mut tell = |text: String| self.notices.push(Notice { subject: Subject::Group(group.id), text });
            let without = reader.usable(&requests).into_iter().filter(|&host| set.domain[host].is_none());
            let without: Vec<String> = without.map(|host| reader.snapshot.hosts[host].id.to_string()).collect();
            let count = set.eligible.iter().filter(|eligible| **eligible).count();
            let wish = match kind {
                Kind::Spread(_) => "spread over",
                Kind::Together => "kept together by",
            };
            if count == 0 {
                tell(format!("{whom} is to be {wish} {by}, which no host of its VMs tells; it counts for nothing"));
                continue;
            }
            if !without.is_empty() {
                let some = without.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
                let more = if without.len() > 5 { ", ..." } else { "" };
                let what = if soft { "are taken last" } else { "take none of its VMs" };
                tell(format!("{whom} is to be {wish} {by}, which hosts {some}{more} do not tell; they {what}"));
            }
            self.sets_of.resize(reader.snapshot.candidates.len(), Vec::new());
            requests.iter().for_each(|&request| self.sets_of[request].push(self.sets.len()));
            self.sets.push(set);
        }
    }

    /// How much a host is liked for a request.
    fn liking(&self, request: usize, host: usize) -> f64 {
        self.likings.get(request).copied().flatten().map_or(0.0, |which| self.weights[which][host])
    }

    /// Whether a finished placement keeps the rules among them; `host` tells where a request goes.
    pub fn hold(&self, host: impl Fn(usize) -> Option<usize>) -> bool {
        self.sets.iter().enumerate().filter(|(_, set)| !set.soft).all(|(index, set)| {
            let mut counts = set.fixed.clone();
            let comers: Vec<usize> = (0..self.sets_of.len())
                .filter(|&request| self.sets_of[request].contains(&index))
                .filter_map(|request| set.domain[host(request)?])
                .collect();
            comers.iter().for_each(|&domain| counts[domain] += 1);
            match set.kind {
                Kind::Spread(skew) => {
                    let most = set.least(&counts).saturating_add(skew);
                    comers.iter().all(|&domain| counts[domain] <= most)
                }
                Kind::Together => {
                    let there = set.most(&set.fixed).or(comers.first().copied());
                    comers.iter().all(|&domain| Some(domain) == there)
                }
            }
        })
    }

    /// Whether anything is wished that a plan may do without.
    pub fn has_wishes(&self) -> bool {
        !self.likings.is_empty() || self.sets.iter().any(|set| set.soft)
    }

    /// Forgets what a plan may do without.
    pub fn without_wishes(&mut self) {
        self.likings.clear();
        let soft: Vec<bool> = self.sets.iter().map(|set| set.soft).collect();
        self.sets_of.iter_mut().for_each(|sets| sets.retain(|&set| !soft[set]));
    }

    /// Whether a request may have to wait for others before it may go anywhere.
    pub fn waits_for_others(&self, request: usize) -> bool {
        self.sets_of(request).iter().any(|&set| !self.sets[set].soft)
    }

    /// Whether hosts are better or worse for a request by what is wished.
    pub fn is_wished(&self, request: usize) -> bool {
        self.likings.get(request).copied().flatten().is_some()
            || self.sets_of(request).iter().any(|&set| self.sets[set].soft)
    }

    fn sets_of(&self, request: usize) -> &[usize] {
        self.sets_of.get(request).map_or(&[], Vec::as_slice)
    }
}

/// What is liked, as it is read.
struct Likings<'a> {
    snapshot: &'a Snapshot,
    /// Each wish once, with the hosts that it speaks of.
    hosts: HashMap<&'a Liked, Vec<usize>>,
    /// By request: what it likes and how much, a weight by its bits.
    of: BTreeMap<usize, Vec<(&'a Liked, u64)>>,
}

impl<'a> Likings<'a> {
    fn of_all(&mut self, reader: &Reader<'_>, vms: &BTreeSet<VmId>, likings: &'a [Liking]) {
        vms.iter().filter_map(|vm| reader.requests.get(vm)).for_each(|&request| self.add(request, likings));
    }

    fn add(&mut self, request: usize, likings: &'a [Liking]) {
        let snapshot = self.snapshot;
        for liking in likings {
            let meant = || {
                let hosts = snapshot.hosts.iter().enumerate();
                hosts.filter(|(_, host)| liking.hosts.is(host)).map(|(index, _)| index).collect()
            };
            if !self.hosts.entry(&liking.hosts).or_insert_with(meant).is_empty() {
                self.of.entry(request).or_default().push((&liking.hosts, liking.weight.to_bits()));
            }
        }
    }

    /// By request which of the weights, and the weights by host; both empty where nothing is liked.
    fn weighed(self, requests: usize) -> (Vec<Option<usize>>, Vec<Vec<f64>>) {
        let mut which = vec![None; if self.of.is_empty() { 0 } else { requests }];
        let (mut weights, mut known) = (Vec::new(), HashMap::new());
        for (request, likings) in self.of {
            let index = *known.entry(likings).or_insert_with_key(|likings| {
                let mut weight = vec![0.0; self.snapshot.hosts.len()];
                for (liked, bits) in likings {
                    self.hosts[liked].iter().for_each(|&host| weight[host] += f64::from_bits(*bits));
                }
                weights.push(weight);
                weights.len() - 1
            });
            which[request] = Some(index);
        }
        (which, weights)
    }
}

struct Reader<'a> {
    snapshot: &'a Snapshot,
    staying: &'a HashMap<usize, Waits>,
    requests: HashMap<VmId, usize>,
}

impl Reader<'_> {
    /// Hosts that some of these requests may go to, sorted.
    fn usable(&self, requests: &[usize]) -> Vec<usize> {
        let mut hosts: Vec<usize> = requests
            .iter()
            .flat_map(|&request| self.snapshot.candidates[request].hosts.iter())
            .map(|&host| host as usize)
            .filter(|&host| self.snapshot.hosts[host].enabled && !self.snapshot.hosts[host].closed)
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    fn set(&self, kind: Kind, soft: bool, by: &str, whom: &str, vms: &BTreeSet<VmId>, requests: &[usize]) -> Set {
        let hosts = &self.snapshot.hosts;
        let mut names: Vec<String> = hosts.iter().filter_map(|host| host.domain(by)).collect();
        names.sort();
        names.dedup();
        let domain_of = |host: &Host| host.domain(by).and_then(|name| names.binary_search(&name).ok());
        let domain: Vec<Option<usize>> = hosts.iter().map(domain_of).collect();
        let (mut fixed, mut all) = (vec![0; names.len()], vec![0; names.len()]);
        let (mut cpu, mut memory) = (0, 0);
        for vm in vms {
            let request = self.requests.get(vm).filter(|request| !self.staying.contains_key(request));
            let place = self.place(*vm).and_then(|host| domain[host]);
            let waits = request.is_some() && self.snapshot.vm(*vm).is_some_and(|vm| vm.resched || vm.host.is_none());
            if let Some(vm) = self.snapshot.vm(*vm).filter(|_| waits || place.is_none() && request.is_some()) {
                (cpu, memory) = (cpu + vm.cpu.0, memory + vm.memory.0);
            }
            if let Some(place) = place {
                all[place] += 1;
                fixed[place] += usize::from(request.is_none());
            }
        }
        let mut eligible = vec![false; names.len()];
        let mut free = vec![(0_i64, 0_i64); names.len()];
        for index in self.usable(requests) {
            let (Some(domain), host) = (domain[index], &hosts[index]) else { continue };
            eligible[domain] = true;
            free[domain].0 += (host.cpu - host.cpu_allocated).0.max(0);
            free[domain].1 += (host.memory - host.memory_allocated).0.max(0);
        }
        let roomy: Vec<bool> = free.iter().map(|free| free.0 >= cpu && free.1 >= memory).collect();
        let any = roomy.iter().zip(&eligible).any(|(roomy, eligible)| *roomy && *eligible);
        let roomy = if any { roomy } else { vec![true; names.len()] };
        let (by, whom) = (by.to_owned(), whom.to_owned());
        Set { kind, soft, by, whom, domain, names, eligible, fixed, all, roomy }
    }

    /// The host of a VM before the plan: its own word where it runs, else the host's list.
    fn place(&self, vm: VmId) -> Option<usize> {
        let own = |state: VmState| {
            let vm = self.snapshot.vm(vm).filter(|vm| vm.state == state)?;
            self.snapshot.host_index(vm.host?)
        };
        own(VmState::Active)
            .or_else(|| self.snapshot.hosts.iter().position(|host| host.vms.binary_search(&vm).is_ok()))
            .or_else(|| own(VmState::Parked))
    }
}

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    let domains = &context.groups.domains;
    let began = domains.sets.iter().map(|set| match context.purpose {
        Purpose::Place => set.fixed.clone(),
        Purpose::Optimize | Purpose::Drain => set.all.clone(),
    });
    let began: Vec<Vec<usize>> = began.collect();
    Box::new(Spreading { domains, counts: began.clone(), began })
}

#[derive(Clone)]
struct Spreading<'a> {
    domains: &'a Domains,
    /// By set and domain: VMs there before the plan.
    began: Vec<Vec<usize>>,
    /// By set and domain: VMs there now.
    counts: Vec<Vec<usize>>,
}

impl Spreading<'_> {
    /// VMs of a set by domain, without the one that is asked about; and the domain that it leaves.
    fn others(&self, set: usize, case: &Case<'_>) -> (Vec<usize>, Option<usize>) {
        let mut counts = self.counts[set].clone();
        let own = case.standing.host(case.request).and_then(|host| self.domains.sets[set].domain[host]);
        if let Some(own) = own {
            counts[own] = counts[own].saturating_sub(1);
        }
        (counts, own)
    }

    fn ask_set(&self, index: usize, case: &Case<'_>) -> Result<(), Reason> {
        let set = &self.domains.sets[index];
        let Some(to) = set.domain[case.host] else {
            return Err(Reason::Domain(format!("it tells no {}, and {} needs one", set.by, set.whom)));
        };
        let (mut counts, own) = self.others(index, case);
        match set.kind {
            // where it is already it changes nothing
            _ if own == Some(to) => Ok(()),
            Kind::Spread(skew) => {
                let before = set.least(&self.counts[index]);
                counts[to] += 1;
                let least = set.least(&counts);
                let grown =
                    |domain: usize| domain == to || least < before && counts[domain] > self.began[index][domain];
                match (0..counts.len()).find(|&domain| grown(domain) && counts[domain] > least.saturating_add(skew)) {
                    Some(domain) => Err(Reason::Domain(set.uneven(&counts, domain, skew))),
                    None => Ok(()),
                }
            }
            Kind::Together => match set.most(&counts) {
                Some(there) if there != to => Err(Reason::Domain(set.elsewhere(&counts, there, to))),
                None if !set.roomy[to] => {
                    let (by, name) = (&set.by, &set.names[to]);
                    Err(Reason::Domain(format!("{by} {name} has no room for all VMs of {} together", set.whom)))
                }
                _ => Ok(()),
            },
        }
    }

    /// How much a soft set likes the host, 0 at best.
    fn wish_of(&self, index: usize, case: &Case<'_>) -> f64 {
        let set = &self.domains.sets[index];
        let (mut counts, _) = self.others(index, case);
        match (set.kind, set.domain[case.host]) {
            (Kind::Spread(skew), to) => {
                let here = match to {
                    Some(to) => {
                        counts[to] += 1;
                        counts[to]
                    }
                    None => counts.iter().max().copied().unwrap_or(0) + 1,
                };
                -(here.saturating_sub(set.least(&counts).saturating_add(skew)) as f64)
            }
            (Kind::Together, to) => {
                let all: usize = counts.iter().sum();
                let here = to.map_or(0, |to| counts[to]);
                if all == 0 { 0.0 } else { -((all - here) as f64) / all as f64 }
            }
        }
    }
}

impl<'a> Rule<'a> for Spreading<'a> {
    fn name(&self) -> &'static str {
        "failure domains"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        let hard = self.domains.sets_of(case.request).iter().filter(|&&set| !self.domains.sets[set].soft);
        hard.copied().try_for_each(|set| self.ask_set(set, case))
    }

    fn arrive(&mut self, case: &Case<'_>, _seat: &Seat) {
        for &set in self.domains.sets_of(case.request) {
            if let Some(domain) = self.domains.sets[set].domain[case.host] {
                self.counts[set][domain] += 1;
            }
        }
    }

    fn leave(&mut self, case: &Case<'_>, _seat: &Seat) {
        for &set in self.domains.sets_of(case.request) {
            if let Some(domain) = self.domains.sets[set].domain[case.host] {
                self.counts[set][domain] = self.counts[set][domain].saturating_sub(1);
            }
        }
    }

    fn holds(&self, _host: usize, _standing: &Standing) -> bool {
        let sets = self.domains.sets.iter().zip(self.counts.iter().zip(&self.began));
        sets.filter(|(set, _)| !set.soft).all(|(set, (counts, began))| match set.kind {
            Kind::Spread(skew) => {
                let least = set.least(counts);
                counts.iter().zip(began).all(|(now, began)| now <= began || *now <= least.saturating_add(skew))
            }
            Kind::Together => true,
        })
    }

    fn kept(&self, case: &Case<'_>) -> Result<(), Reason> {
        for &index in self.domains.sets_of(case.request) {
            let set = &self.domains.sets[index];
            let Some(here) = set.domain[case.host].filter(|_| !set.soft) else { continue };
            let counts = &self.counts[index];
            match set.kind {
                Kind::Spread(skew) if counts[here] > set.least(counts).saturating_add(skew) => {
                    return Err(Reason::Domain(set.uneven(counts, here, skew)));
                }
                Kind::Spread(_) => {}
                Kind::Together => {
                    if let Some(there) = set.most(counts).filter(|there| *there != here) {
                        return Err(Reason::Domain(set.elsewhere(counts, there, here)));
                    }
                }
            }
        }
        Ok(())
    }

    fn wish(&self, case: &Case<'_>) -> f64 {
        let soft = self.domains.sets_of(case.request).iter().filter(|&&set| self.domains.sets[set].soft);
        soft.map(|&set| self.wish_of(set, case)).sum::<f64>() + self.domains.liking(case.request, case.host)
    }

    fn wishes(&self) -> bool {
        self.domains.has_wishes()
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        let likings = |request: usize| self.domains.likings.get(request);
        [a, b].into_iter().all(|request| self.domains.sets_of(request).is_empty()) && likings(a) == likings(b)
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Set {
    /// The fewest VMs in a domain that takes some.
    fn least(&self, counts: &[usize]) -> usize {
        counts.iter().zip(&self.eligible).filter(|(_, eligible)| **eligible).map(|(count, _)| *count).min().unwrap_or(0)
    }

    /// The domain with most VMs, the first of equals; `None` where there are none.
    fn most(&self, counts: &[usize]) -> Option<usize> {
        let some = (0..counts.len()).filter(|&domain| counts[domain] > 0);
        some.reduce(|most, domain| if counts[domain] > counts[most] { domain } else { most })
    }

    fn uneven(&self, counts: &[usize], domain: usize, skew: usize) -> String {
        let least = self.least(counts);
        let fewest = (0..counts.len()).find(|&other| self.eligible[other] && counts[other] == least).unwrap_or(domain);
        let (by, names) = (&self.by, &self.names);
        format!(
            "{by} {} would have {} VMs of {}, and {by} {} has {least}: ONEAIO_SPREAD allows {skew} more",
            names[domain], counts[domain], self.whom, names[fewest]
        )
    }

    fn elsewhere(&self, counts: &[usize], there: usize, here: usize) -> String {
        let (by, names) = (&self.by, &self.names);
        format!(
            "it is in {by} {}, and {} of {} are in {by} {}: ONEAIO_TOGETHER",
            names[here], counts[there], self.whom, names[there]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::HostId;
    use crate::model::units::Memory;
    use crate::model::wish::{Spread, Together};
    use crate::placement::rules::groups::Groups;
    use crate::placement::testing::{ask, bind, cloud, run};

    /// VMs of one core that may go to all of so many hosts, all of one role that wishes this.
    fn wished(hosts: usize, vms: usize, wishes: Wishes) -> Snapshot {
        let mut asked = cloud(&vec![8; hosts]);
        let all: Vec<u32> = (0..hosts as u32).collect();
        let requests: Vec<usize> = (0..vms).map(|_| ask(&mut asked, 1, &all)).collect();
        bind(&mut asked, &requests);
        asked.groups[0].roles[0].policy = crate::model::snapshot::RolePolicy::None;
        asked.groups[0].roles[0].wishes = wishes;
        asked
    }

    fn spread(skew: u32, soft: bool) -> Wishes {
        Wishes { spread: Some(Spread { by: "HOST".to_owned(), skew, soft }), ..Wishes::default() }
    }

    fn together(soft: bool) -> Wishes {
        Wishes { together: Some(Together { by: "HOST".to_owned(), soft }), ..Wishes::default() }
    }

    fn domains(asked: &Snapshot) -> Domains {
        Groups::new(asked, &HashMap::new()).domains
    }

    #[test]
    fn a_finished_placement_keeps_its_spread_up_to_the_skew() {
        let holds = |skew: u32, soft: bool, at: &[Option<usize>]| {
            domains(&wished(3, at.len(), spread(skew, soft))).hold(|request| at[request])
        };
        let (a, b) = (Some(0), Some(1));
        for (skew, at, kept) in [
            (1, vec![a], true),
            (1, vec![a, b], true),
            (1, vec![a, a], false),
            (2, vec![a, a], true),
            (2, vec![a, a, a], false),
            (1, vec![a, b, Some(2), a], true),
            (1, vec![None, a], true),
            (1, vec![None, None], true),
        ] {
            assert_eq!(holds(skew, false, &at), kept, "{skew} {at:?}");
            assert!(holds(skew, true, &at), "as far as possible forbids nothing");
        }
    }

    #[test]
    fn a_finished_placement_keeps_together_and_where_others_run() {
        let mut asked = wished(3, 2, together(false));
        let holds =
            |asked: &Snapshot, at: [Option<usize>; 2]| domains(asked).hold(|request| at.get(request).copied()?);
        assert!(holds(&asked, [Some(0), Some(0)]) && holds(&asked, [Some(0), None]));
        assert!(!holds(&asked, [Some(0), Some(1)]));
        // a third member runs on host 2 and is not of this request
        run(&mut asked, 1, 2, &[]);
        asked.candidates.pop();
        asked.groups[0].roles[0].vms.push(VmId(2));
        asked.vms[2].group = asked.vms[0].group.clone();
        assert!(holds(&asked, [Some(2), Some(2)]));
        assert!(!holds(&asked, [Some(0), Some(0)]));
    }

    #[test]
    fn wishes_are_forgotten_and_rules_are_not() {
        for (wishes, soft) in
            [(spread(1, true), true), (spread(1, false), false), (together(true), true), (together(false), false)]
        {
            let mut found = domains(&wished(2, 2, wishes));
            assert_eq!((found.has_wishes(), found.waits_for_others(0)), (soft, !soft));
            assert_eq!(found.sets_of(1).len(), 1);
            found.without_wishes();
            assert_eq!(found.sets_of(1).len(), usize::from(!soft));
        }
        let mut asked = wished(2, 1, Wishes::default());
        asked.vms[0].likings = vec![Liking { hosts: Liked::Host(HostId(1)), weight: 2.0 }];
        let mut found = domains(&asked);
        assert_eq!((found.has_wishes(), found.liking(0, 0), found.liking(0, 1)), (true, 0.0, 2.0));
        found.without_wishes();
        assert_eq!((found.has_wishes(), found.liking(0, 1)), (false, 0.0));
    }

    #[test]
    fn a_domain_is_roomy_where_cpu_and_memory_are_for_all() {
        let mut asked = wished(3, 2, together(false));
        let roomy = |asked: &Snapshot| domains(asked).sets[0].roomy.clone();
        assert_eq!(roomy(&asked), [true; 3]);
        // two VMs of one core and 1024 KiB
        asked.hosts[0].memory = Memory(2047);
        asked.hosts[1].memory = Memory(2048);
        asked.hosts[2].cpu_allocated = asked.hosts[2].cpu - crate::model::units::Cpu(199);
        assert_eq!(roomy(&asked), [false, true, false]);
        asked.hosts[1].memory_allocated = Memory(1);
        assert_eq!(roomy(&asked), [true; 3], "where none is, none is left out");
        // a closed host gives no room, however much it has
        asked.hosts[1].memory_allocated = Memory(0);
        asked.hosts[1].closed = true;
        assert_eq!(domains(&asked).sets[0].eligible, [true, false, true]);
    }

    /// What is wished of hosts for the first request, when others are booked.
    fn wishes_of(asked: &Snapshot, at: &[(usize, usize)]) -> Vec<f64> {
        use crate::placement::testing::{booked, placing};
        placing(asked, &crate::model::policy::Policy::default(), |context, units| {
            let ledger = booked(context, units, at);
            (0..asked.hosts.len()).map(|host| ledger.wish(&[0], host)).collect()
        })
    }

    #[test]
    fn a_host_is_the_less_liked_the_more_it_has_beyond_what_is_allowed() {
        for (skew, at, expected) in [
            (1, &[][..], [0.0, 0.0, 0.0]),
            (1, &[(1, 0)], [-1.0, 0.0, 0.0]),
            (1, &[(1, 0), (2, 0), (3, 1)], [-2.0, -1.0, 0.0]),
            (2, &[(1, 0), (2, 0), (3, 1)], [-1.0, 0.0, 0.0]),
            (9, &[(1, 0), (2, 0), (3, 1)], [0.0, 0.0, 0.0]),
        ] {
            assert_eq!(wishes_of(&wished(3, 4, spread(skew, true)), at), expected, "{skew} {at:?}");
        }
        for (at, expected) in [
            (&[][..], [0.0, 0.0, 0.0]),
            (&[(1, 0)], [0.0, -1.0, -1.0]),
            (&[(1, 0), (2, 0), (3, 1)], [-1.0 / 3.0, -2.0 / 3.0, -1.0]),
            // it is asked about itself as if it were not there
            (&[(0, 1), (1, 0)], [0.0, -1.0, -1.0]),
        ] {
            assert_eq!(wishes_of(&wished(3, 4, together(true)), at), expected, "{at:?}");
        }
        // a host that tells no value is like the fullest
        let mut silent = wished(3, 4, Wishes::default());
        let spread = Spread { by: "RACK".to_owned(), skew: 1, soft: true };
        silent.groups[0].roles[0].wishes.spread = Some(spread);
        for (host, rack) in [(0, "a"), (1, "b")] {
            silent.hosts[host].attributes.push(crate::model::snapshot::Section::Template, "RACK", rack);
        }
        assert_eq!(wishes_of(&silent, &[(1, 0), (2, 0)]), [-2.0, 0.0, -2.0]);
    }

    #[test]
    fn what_several_like_adds_up_and_ids_and_attributes_name_hosts() {
        let mut asked = wished(3, 2, Wishes::default());
        let liking = |hosts: Liked, weight: f64| Liking { hosts, weight };
        assert_eq!(wishes_of(&asked, &[]), [0.0; 3]);
        let by_attribute = Liked::With("HOST".to_owned(), "2".to_owned());
        asked.vms[0].likings = vec![liking(Liked::Host(HostId(1)), 2.0), liking(by_attribute, -1.0)];
        asked.groups[0].wishes.likings = vec![liking(Liked::Host(HostId(1)), 0.5)];
        asked.groups[0].roles[0].wishes.likings = vec![liking(Liked::Host(HostId(0)), 0.25)];
        assert_eq!(wishes_of(&asked, &[]), [0.25, 2.5, -1.0]);
        let found = domains(&asked);
        assert!(found.has_wishes() && found.is_wished(0) && found.is_wished(1));
        // a host that is nowhere is liked by nobody
        asked.groups[0].wishes = Wishes::default();
        asked.groups[0].roles[0].wishes.likings = vec![liking(Liked::Host(HostId(9)), 1.0)];
        let mut found = domains(&asked);
        assert!(found.is_wished(0) && !found.is_wished(1));
        found.without_wishes();
        assert!(!found.has_wishes() && !found.is_wished(0));
    }

    #[test]
    fn a_member_counts_where_it_runs_or_is_listed_or_says_it_is_parked() {
        for (state, host, listed, expected) in [
            (VmState::Active, Some(1), None, [0, 1, 0]),
            (VmState::Active, Some(1), Some(2), [0, 1, 0]),
            (VmState::Active, Some(9), Some(2), [0, 0, 1]),
            (VmState::Parked, Some(1), None, [0, 1, 0]),
            (VmState::Parked, Some(1), Some(2), [0, 0, 1]),
            (VmState::Other, Some(1), None, [0, 0, 0]),
            (VmState::Other, Some(1), Some(2), [0, 0, 1]),
            (VmState::Pending, None, None, [0, 0, 0]),
        ] {
            let mut asked = wished(3, 2, spread(1, false));
            // the second one is no request
            asked.candidates.pop();
            (asked.vms[1].state, asked.vms[1].host) = (state, host.map(HostId));
            if let Some(listed) = listed {
                asked.hosts[listed].vms.push(VmId(1));
            }
            let found = domains(&asked);
            assert_eq!(found.sets[0].fixed, expected, "{state:?} {host:?} {listed:?}");
            assert_eq!(found.sets[0].all, expected, "{state:?} {host:?} {listed:?}");
        }
    }

    #[test]
    fn a_domain_is_roomy_that_holds_all_that_come_and_nobody_else() {
        let roomy = |asked: &Snapshot| domains(asked).sets[0].roomy.clone();
        // two come, of one core and 1024 KiB each; the third is no request and nowhere
        let mut asked = wished(3, 3, together(false));
        asked.candidates.pop();
        asked.vms[2].state = VmState::Other;
        for (host, (cores, memory)) in [(2, 2048), (1, 9999), (8, 2047)].into_iter().enumerate() {
            (asked.hosts[host].cpu.0, asked.hosts[host].memory.0) = (cores * 100, memory);
        }
        assert_eq!(roomy(&asked), [true, false, false]);
        asked.hosts[0].cpu_allocated.0 = 1;
        assert_eq!(roomy(&asked), [true; 3], "none is, so none is left out");
        // one that runs there and is not to be moved needs no room
        let mut one = wished(2, 2, together(false));
        (one.vms[1].state, one.vms[1].host) = (VmState::Active, Some(HostId(0)));
        (one.hosts[0].cpu.0, one.hosts[1].cpu.0) = (100, 99);
        assert_eq!(roomy(&one), [true, false]);
        one.vms[1].resched = true;
        assert_eq!(roomy(&one), [true, true], "two cores are on none of them");
    }

    #[test]
    fn what_is_odd_about_a_wish_is_told_once() {
        let told = |soft: bool, racks: usize| {
            let mut asked = wished(8, 1, Wishes::default());
            let by = || "RACK".to_owned();
            asked.groups[0].roles[0].wishes.spread = Some(Spread { by: by(), skew: 1, soft });
            asked.groups[0].wishes.together = Some(Together { by: by(), soft });
            for host in &mut asked.hosts[..racks] {
                host.attributes.push(crate::model::snapshot::Section::Template, "RACK", "a");
            }
            asked.hosts[7].enabled = false;
            domains(&asked).notices.into_iter().map(|one| one.text).collect::<Vec<_>>()
        };
        let both = |what: &str| {
            let role = "role \"together\" of VM group set 0";
            [
                format!("{role} is to be spread over RACK, which {what}"),
                format!("VM group set 0 is to be kept together by RACK, which {what}"),
            ]
        };
        assert_eq!(told(false, 0), both("no host of its VMs tells; it counts for nothing"));
        assert_eq!(told(false, 1), both("hosts 1, 2, 3, 4, 5, ... do not tell; they take none of its VMs"));
        assert_eq!(told(false, 2), both("hosts 2, 3, 4, 5, 6 do not tell; they take none of its VMs"));
        assert_eq!(told(true, 5), both("hosts 5, 6 do not tell; they are taken last"));
        assert_eq!(told(false, 7), [""; 0]);
    }

    /// What keeps the first request from each host, when others are booked.
    fn refused(asked: &Snapshot, at: &[(usize, usize)]) -> Vec<String> {
        use crate::placement::testing::{booked, placing};
        placing(asked, &crate::model::policy::Policy::default(), |context, units| {
            let ledger = booked(context, units, at);
            let why = |host| ledger.seat(0, host).err().map(|reason| reason.text()).unwrap_or_default();
            (0..asked.hosts.len()).map(why).collect()
        })
    }

    #[test]
    fn a_domain_with_too_many_or_the_wrong_one_is_told_with_numbers() {
        let whom = "role \"together\" of VM group set 0";
        let uneven = |host: usize, vms: usize, skew: usize| {
            format!("HOST {host} would have {vms} VMs of {whom}, and HOST 2 has 0: ONEAIO_SPREAD allows {skew} more")
        };
        let none = String::new;
        for (skew, at, expected) in [
            (1, &[(1, 0), (2, 1)][..], [uneven(0, 2, 1), uneven(1, 2, 1)]),
            (2, &[(1, 0), (2, 1)], [none(), none()]),
            (2, &[(1, 0), (2, 1), (3, 0)], [uneven(0, 3, 2), none()]),
            // where it is already it changes nothing
            (2, &[(0, 0), (1, 0), (2, 1)], [none(), none()]),
        ] {
            let found = refused(&wished(3, 4, spread(skew, false)), at);
            assert_eq!((&found[..2], found[2].as_str()), (&expected[..], ""), "{skew} {at:?}");
        }
        let elsewhere = |host: usize| format!("it is in HOST {host}, and 2 of {whom} are in HOST 1: ONEAIO_TOGETHER");
        let found = refused(&wished(3, 4, together(false)), &[(1, 1), (2, 1)]);
        assert_eq!(found, [elsewhere(0), none(), elsewhere(2)]);
        let mut small = wished(3, 2, together(false));
        small.hosts[1].cpu.0 = 199;
        let full = format!("HOST 1 has no room for all VMs of {whom} together");
        assert_eq!(refused(&small, &[]), [none(), full, none()]);
        let mut silent = wished(2, 2, spread(1, false));
        silent.groups[0].roles[0].wishes.spread = Some(Spread { by: "RACK".to_owned(), skew: 1, soft: false });
        silent.hosts[1].attributes.push(crate::model::snapshot::Section::Template, "RACK", "a");
        let tells_none = format!("it tells no RACK, and {whom} needs one");
        assert_eq!(refused(&silent, &[]), [tells_none, none()]);
    }

    #[test]
    fn what_is_booked_counts_and_what_is_given_back_does_not() {
        use crate::placement::testing::{booked, placing};
        for (wishes, broken) in [(spread(1, false), true), (together(false), false), (spread(1, true), false)] {
            let asked = wished(3, 3, wishes.clone());
            placing(&asked, &crate::model::policy::Policy::default(), |context, units| {
                let mut ledger = booked(context, units, &[(0, 0)]);
                ledger.book(1, Seat::on(0));
                assert_eq!((ledger.broken(0).is_some(), ledger.consistent(0)), (broken, !broken), "{wishes:?}");
                ledger.unbook(1);
                assert_eq!((ledger.broken(0), ledger.consistent(0)), (None, true), "{wishes:?}");
                assert!(!ledger.alike(0, 1));
            });
        }
        let asked = wished(3, 3, together(false));
        placing(&asked, &crate::model::policy::Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[(0, 0), (1, 0)]);
            ledger.book(2, Seat::on(1));
            let broken = [0, 1, 2].map(|request| ledger.broken(request).is_some());
            assert_eq!(broken, [false, false, true]);
        });
    }

    #[test]
    fn a_host_with_more_allocated_than_it_has_takes_no_room_of_its_domain() {
        let mut asked = wished(3, 2, Wishes::default());
        asked.groups[0].roles[0].wishes.together = Some(Together { by: "RACK".to_owned(), soft: false });
        for (host, rack) in asked.hosts.iter_mut().zip(["a", "a", "b"]) {
            host.attributes.push(crate::model::snapshot::Section::Template, "RACK", rack);
        }
        for by_memory in [false, true] {
            let mut full = asked.clone();
            if by_memory {
                full.hosts[1].memory_allocated.0 = 1 << 42;
            } else {
                full.hosts[1].cpu_allocated.0 = 5_000;
            }
            let roomy = domains(&full).sets[0].roomy.clone();
            assert_eq!(roomy, [true, true], "{by_memory}");
            if by_memory {
                full.hosts[0].memory.0 = 2_047;
            } else {
                full.hosts[0].cpu.0 = 199;
            }
            assert_eq!(domains(&full).sets[0].roomy, [false, true], "{by_memory}");
        }
    }
}

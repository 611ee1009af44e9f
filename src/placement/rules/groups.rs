//! VM groups: who must share a host with whom, who must not, and which hosts a role
//! allows. Rules of all groups become three things per VM: hosts it is bound to,
//! hosts it shuns, and tags that must not meet; and sets that are placed together.

use super::context::Context;
use super::domains::Domains;
use super::reason::Reason;
use super::standing::Seat;
use super::{Case, Rule};
use crate::model::brief::{Brief, Waits};
use crate::model::ids::{HostId, VmId, listed};
use crate::model::snapshot::{Host, Notice, RolePolicy, Snapshot, Subject, VmGroup, VmState};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Marks a VM for one anti-affinity rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    rule: u32,
    role: u32,
    /// Members of one role repel each other; else only members of different roles.
    within: bool,
}

impl Tag {
    /// Whether VMs with these tags must not meet.
    #[must_use]
    pub fn repels(self, other: Self) -> bool {
        self.rule == other.rule && (self.within || self.role != other.role)
    }
}

/// A VM on a host that a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// The VM.
    pub vm: VmId,
    /// One of its tags.
    pub tag: Tag,
}

/// An affined set whose running members are on several hosts.
#[derive(Debug, PartialEq, Eq)]
struct Torn {
    /// How many of them run on each host.
    running: BTreeMap<HostId, usize>,
    /// Requests that join them.
    joining: Vec<usize>,
}

/// VMs of torn affined sets on a host: more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Company {
    /// All of them.
    pub all: usize,
    /// Those that run there.
    pub runs: usize,
}

/// Hosts that members of an affined set leave to the others, and who runs on which.
type Joined = (BTreeSet<HostId>, Vec<(VmId, HostId)>);

/// What group rules mean for one request.
#[derive(Clone, Debug, Default)]
pub struct GroupRules {
    /// Anti-affinity.
    pub tags: Vec<Tag>,
    /// Cannot be placed at all, with the reason.
    pub refused: Option<Waits>,
    /// Hosts of its members that run, for affinity; with whom.
    joins: Option<Joined>,
    /// Affined sets of it that are torn apart already: it goes where most of them are.
    torn: Vec<Arc<Torn>>,
    /// HOST_AFFINED lists.
    only: Vec<Vec<HostId>>,
    /// HOST_ANTI_AFFINED lists.
    never: Vec<Vec<HostId>>,
}

impl GroupRules {
    /// Whether no rule speaks of it.
    pub fn is_free(&self) -> bool {
        self.tags.is_empty() && self.joins.is_none() && self.only.is_empty() && self.never.is_empty()
    }

    /// How many VMs of its torn sets are on a host, and how many of them run there; `comes` tells which requests
    /// the plan has brought there.
    pub fn company(&self, host: HostId, comes: impl Fn(usize) -> bool) -> Company {
        let run = |torn: &Arc<Torn>| torn.running.get(&host).copied().unwrap_or(0);
        let come = |torn: &Arc<Torn>| torn.joining.iter().filter(|&&request| comes(request)).count();
        let runs = self.torn.iter().map(run).sum();
        Company { all: runs + self.torn.iter().map(come).sum::<usize>(), runs }
    }

    /// The rules that need nothing but the host.
    pub fn allow(&self, host: &Host) -> Result<(), Reason> {
        if let Some((hosts, with)) = &self.joins
            && !hosts.contains(&host.id)
        {
            // those of a torn set that run elsewhere are not met there
            let there = |host: &HostId| hosts.is_empty() || hosts.contains(host);
            let with = with.iter().filter(|(_, host)| there(host)).map(|(vm, _)| *vm);
            return Err(Reason::Join { with: with.collect(), hosts: hosts.iter().copied().collect() });
        }
        if self.only.iter().any(|list| !list.contains(&host.id)) {
            return Err(Reason::Role("HOST_AFFINED"));
        }
        if self.never.iter().any(|list| list.contains(&host.id)) {
            return Err(Reason::Role("HOST_ANTI_AFFINED"));
        }
        Ok(())
    }

    /// The rules about who is there.
    pub fn meet(&self, vm: VmId, occupants: &[Occupant]) -> Result<(), Reason> {
        let clash = occupants.iter().find(|o| o.vm != vm && self.tags.iter().any(|tag| tag.repels(o.tag)));
        clash.map_or(Ok(()), |occupant| Err(Reason::Apart(occupant.vm)))
    }
}

/// The rules of all groups of a snapshot.
pub struct Groups {
    /// By request.
    pub rules: Vec<GroupRules>,
    /// Requests that go to one host together or not at all, each sorted.
    pub sets: Vec<Vec<usize>>,
    /// Sets that must all join others on the same host. What does not run yet meets there anyway, whoever finds
    /// room first; what runs elsewhere goes together or not at all, or the set would be torn.
    pub bound: Vec<Vec<usize>>,
    /// By host: tagged VMs that are there before the plan.
    pub occupants: Vec<Vec<Occupant>>,
    /// Sets that are spread or kept together by an attribute of hosts, and hosts that are liked.
    pub domains: Domains,
    /// Sets that new members join, and that are torn apart already.
    notices: Vec<Notice>,
}

/// What to say of affined sets that new members join and that are torn apart already.
pub fn torn_sets(snapshot: &Snapshot) -> Vec<Notice> {
    if snapshot.groups.is_empty() { Vec::new() } else { Groups::new(snapshot, &HashMap::new()).notices() }
}

impl Groups {
    /// What is odd about them.
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.iter().chain(&self.domains.notices).cloned().collect()
    }

    /// Reads the rules. VMs in `staying` (requests with RESCHED that found no host,
    /// with the reason) count as running where they are.
    pub fn new(snapshot: &Snapshot, staying: &HashMap<usize, Waits>) -> Self {
        Builder::new(snapshot, staying).build()
    }
}

/// The rules of one plan that need nothing but the host.
pub fn hosts<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Hosts { groups: context.groups })
}

struct Hosts<'a> {
    groups: &'a Groups,
}

impl<'a> Rule<'a> for Hosts<'a> {
    fn name(&self) -> &'static str {
        "group hosts"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        self.kept(case)
    }

    fn kept(&self, case: &Case<'_>) -> Result<(), Reason> {
        self.groups.rules[case.request].allow(case.there)
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        [a, b].into_iter().all(|request| self.groups.rules[request].is_free())
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(Self { groups: self.groups })
    }
}

/// The rules of one plan about who must not share a host.
pub fn neighbours<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Neighbours { groups: context.groups, occupants: context.groups.occupants.clone() })
}

#[derive(Clone)]
struct Neighbours<'a> {
    groups: &'a Groups,
    /// By host: tagged VMs that are there.
    occupants: Vec<Vec<Occupant>>,
}

impl<'a> Rule<'a> for Neighbours<'a> {
    fn name(&self) -> &'static str {
        "group neighbours"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        self.kept(case)
    }

    fn kept(&self, case: &Case<'_>) -> Result<(), Reason> {
        self.groups.rules[case.request].meet(case.vm.id, &self.occupants[case.host])
    }

    fn arrive(&mut self, case: &Case<'_>, _seat: &Seat) {
        let tags = self.groups.rules[case.request].tags.iter();
        self.occupants[case.host].extend(tags.map(|tag| Occupant { vm: case.vm.id, tag: *tag }));
    }

    fn leave(&mut self, case: &Case<'_>, _seat: &Seat) {
        let occupants = &mut self.occupants[case.host];
        for tag in &self.groups.rules[case.request].tags {
            let entry = Occupant { vm: case.vm.id, tag: *tag };
            if let Some(last) = occupants.iter().rposition(|occupant| *occupant == entry) {
                occupants.remove(last);
            }
        }
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(self.clone())
    }
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    staying: &'a HashMap<usize, Waits>,
    request_of: HashMap<VmId, usize>,
    set_aside: HashSet<VmId>,
    rules: Vec<GroupRules>,
    occupants: Vec<Vec<Occupant>>,
    /// Hosts (indices) that each VM occupies before the plan.
    located: HashMap<VmId, Vec<usize>>,
    /// Union-find over requests.
    leader: Vec<usize>,
    next_rule: u32,
    notices: Vec<Notice>,
}

impl<'a> Builder<'a> {
    fn new(snapshot: &'a Snapshot, staying: &'a HashMap<usize, Waits>) -> Self {
        let requests = snapshot.candidates.len();
        let ids = snapshot.candidates.iter().enumerate();
        Self {
            snapshot,
            staying,
            request_of: ids.map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect(),
            set_aside: snapshot.set_aside.iter().map(|(vm, _)| *vm).collect(),
            rules: vec![GroupRules::default(); requests],
            occupants: vec![Vec::new(); snapshot.hosts.len()],
            located: located(snapshot),
            leader: (0..requests).collect(),
            next_rule: 0,
            notices: Vec::new(),
        }
    }

    fn build(mut self) -> Groups {
        let members = members(self.snapshot);
        for (index, group) in self.snapshot.groups.iter().enumerate() {
            let roles: Vec<&BTreeSet<VmId>> = (0..group.roles.len()).map(|role| &members[&(index, role)]).collect();
            self.hosts_of_roles(group, &roles);
            self.affinity(group, &roles);
            self.anti_affinity(group, &roles);
        }
        self.unknown_groups();
        for (request, reason) in self.staying {
            self.rules[*request].refused = Some(reason.clone());
        }
        let domains = Domains::new(self.snapshot, self.staying, &members);
        let (bound, sets) = self.sets().into_iter().partition(|set| self.bound_to_one_host(set));
        self.notices.sort();
        self.notices.dedup();
        Groups { rules: self.rules, sets, bound, occupants: self.occupants, domains, notices: self.notices }
    }

    fn hosts_of_roles(&mut self, group: &VmGroup, roles: &[&BTreeSet<VmId>]) {
        for (role, vms) in group.roles.iter().zip(roles) {
            for request in vms.iter().filter_map(|vm| self.request_of.get(vm)) {
                if !role.hosts_affined.is_empty() {
                    self.rules[*request].only.push(role.hosts_affined.clone());
                }
                if !role.hosts_anti_affined.is_empty() {
                    self.rules[*request].never.push(role.hosts_anti_affined.clone());
                }
            }
        }
    }

    fn affinity(&mut self, group: &VmGroup, roles: &[&BTreeSet<VmId>]) {
        for (role, vms) in group.roles.iter().zip(roles) {
            if role.policy == RolePolicy::Affined {
                self.together(group, vms);
            }
        }
        for rule in chained(&group.affined) {
            let vms: BTreeSet<VmId> = rule.iter().flat_map(|&role| roles[role].iter().copied()).collect();
            self.together(group, &vms);
        }
    }

    /// Members of a rule join those that run, or else each other.
    fn together(&mut self, group: &VmGroup, vms: &BTreeSet<VmId>) {
        let schedulable: Vec<usize> = vms.iter().filter_map(|vm| self.mover(*vm)).collect();
        let running: Vec<(HostId, VmId)> = vms
            .iter()
            .filter(|vm| self.mover(**vm).is_none())
            .filter_map(|vm| Some((self.runs_on(*vm)?, *vm)))
            .collect();
        if !running.is_empty() {
            let mut on: BTreeMap<HostId, Vec<VmId>> = BTreeMap::new();
            running.iter().for_each(|(host, vm)| on.entry(*host).or_default().push(*vm));
            let hosts: BTreeSet<HostId> = on.keys().copied().collect();
            for &request in &schedulable {
                let joins = &mut self.rules[request].joins;
                let common = joins.as_ref().map_or(hosts.clone(), |(known, _)| known & &hosts);
                let mut all = joins.take().map_or(Vec::new(), |(_, known)| known);
                all.extend(running.iter().map(|(host, vm)| (*vm, *host)));
                all.sort_unstable();
                all.dedup();
                self.rules[request].joins = Some((common, all));
            }
            if on.len() > 1 && !schedulable.is_empty() {
                self.torn(group, &on, schedulable);
            }
            return;
        }
        for pair in schedulable.windows(2) {
            let (a, b) = (self.find(pair[0]), self.find(pair[1]));
            self.leader[a.max(b)] = a.min(b);
        }
        let missing = vms.iter().find(|vm| self.set_aside.contains(vm));
        if let Some(missing) = missing {
            let text = format!("cannot be placed: VM {missing} of its affined set (group {}) cannot", group.name);
            for request in schedulable {
                self.rules[request].refused.get_or_insert_with(|| Waits::new(text.clone(), Brief::Set));
            }
        }
    }

    /// A set whose running members are on several hosts is told, and grows where most of it is.
    fn torn(&mut self, group: &VmGroup, on: &BTreeMap<HostId, Vec<VmId>>, joining: Vec<usize>) {
        let parts: Vec<String> = on.iter().map(|(host, vms)| format!("{} on host {host}", listed(vms))).collect();
        let text = format!("its affined set is torn apart already ({}): new VMs go where most are", parts.join(", "));
        self.notices.push(Notice { subject: Subject::Group(group.id), text });
        let running = on.iter().map(|(host, vms)| (*host, vms.len())).collect();
        let torn = Arc::new(Torn { running, joining: joining.clone() });
        joining.into_iter().for_each(|request| self.rules[request].torn.push(torn.clone()));
    }

    fn anti_affinity(&mut self, group: &VmGroup, roles: &[&BTreeSet<VmId>]) {
        for (role, vms) in group.roles.iter().zip(roles) {
            if role.policy == RolePolicy::AntiAffined {
                let tag = Tag { rule: self.new_rule(), role: 0, within: true };
                vms.iter().for_each(|vm| self.mark(*vm, tag));
            }
        }
        for rule in &group.anti_affined {
            let number = self.new_rule();
            for (&role, name) in rule.iter().zip(0..) {
                let tag = Tag { rule: number, role: name, within: false };
                roles[role].iter().for_each(|vm| self.mark(*vm, tag));
            }
        }
    }

    fn new_rule(&mut self) -> u32 {
        self.next_rule += 1;
        self.next_rule
    }

    fn mark(&mut self, vm: VmId, tag: Tag) {
        if let Some(&request) = self.request_of.get(&vm) {
            self.rules[request].tags.push(tag);
        }
        for &host in self.located.get(&vm).into_iter().flatten() {
            self.occupants[host].push(Occupant { vm, tag });
        }
    }

    /// The request of a VM that the plan may put elsewhere.
    fn mover(&self, vm: VmId) -> Option<usize> {
        self.request_of.get(&vm).copied().filter(|request| !self.staying.contains_key(request))
    }

    fn runs_on(&self, vm: VmId) -> Option<HostId> {
        self.snapshot.vm(vm).filter(|vm| vm.state == VmState::Active).and_then(|vm| vm.host)
    }

    /// oned sends the group of every VM; without it the VM's rules are unknown.
    fn unknown_groups(&mut self) {
        for (rules, candidates) in self.rules.iter_mut().zip(&self.snapshot.candidates) {
            let Some((id, role)) = &self.snapshot.vms[candidates.vm].group else { continue };
            let group = self.snapshot.groups.iter().find(|group| group.id == *id);
            let refused = match group {
                None => Some(format!("cannot be placed: the request does not tell the rules of its VM group {id}")),
                Some(group) if !group.roles.iter().any(|r| r.name == *role) => {
                    Some(format!("cannot be placed: VM group {} has no role {role:?}", group.name))
                }
                Some(_) => None,
            };
            // both name nothing but the VM's own group
            rules.refused = rules.refused.take().or(refused.map(|text| Waits::new(text, Brief::Own)));
        }
    }

    fn find(&self, mut request: usize) -> usize {
        while self.leader[request] != request {
            request = self.leader[request];
        }
        request
    }

    fn sets(&self) -> Vec<Vec<usize>> {
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for request in 0..self.leader.len() {
            sets.entry(self.find(request)).or_default().push(request);
        }
        sets.into_values().filter(|set| set.len() > 1).collect()
    }

    /// Whether all members must join others on the same host.
    fn bound_to_one_host(&self, set: &[usize]) -> bool {
        let only = |request: &usize| match &self.rules[*request].joins {
            Some((hosts, _)) if hosts.len() == 1 => hosts.first().copied(),
            _ => None,
        };
        only(&set[0]).is_some() && set.iter().all(|request| only(request) == only(&set[0]))
    }
}

/// Members of every role, by (group, role) index: those it lists, and those that
/// name it in their template.
pub fn members(snapshot: &Snapshot) -> HashMap<(usize, usize), BTreeSet<VmId>> {
    let mut members: HashMap<(usize, usize), BTreeSet<VmId>> = HashMap::new();
    for (index, group) in snapshot.groups.iter().enumerate() {
        for (role, listed) in group.roles.iter().enumerate() {
            members.insert((index, role), listed.vms.iter().copied().collect());
        }
    }
    for vm in &snapshot.vms {
        let Some((id, role)) = &vm.group else { continue };
        let Ok(index) = snapshot.groups.binary_search_by_key(id, |g| g.id) else { continue };
        if let Some(role) = snapshot.groups[index].roles.iter().position(|r| r.name == *role)
            && let Some(vms) = members.get_mut(&(index, role))
        {
            vms.insert(vm.id);
        }
    }
    members
}

/// Affined rules that share a role are one rule.
fn chained(rules: &[Vec<usize>]) -> Vec<BTreeSet<usize>> {
    let mut merged: Vec<BTreeSet<usize>> = Vec::new();
    for rule in rules {
        let mut rule: BTreeSet<usize> = rule.iter().copied().collect();
        merged.retain(|known| {
            let shares = !known.is_disjoint(&rule);
            if shares {
                rule.extend(known);
            }
            !shares
        });
        merged.push(rule);
    }
    merged
}

/// Where VMs are before the plan: where a host lists them, and where an active or
/// parked VM says it is.
fn located(snapshot: &Snapshot) -> HashMap<VmId, Vec<usize>> {
    let mut located: HashMap<VmId, Vec<usize>> = HashMap::new();
    for (index, host) in snapshot.hosts.iter().enumerate() {
        for vm in &host.vms {
            located.entry(*vm).or_default().push(index);
        }
    }
    for vm in &snapshot.vms {
        let bound = matches!(vm.state, VmState::Active | VmState::Parked);
        if let Some(index) = vm.host.filter(|_| bound).and_then(|host| snapshot.host_index(host)) {
            let hosts = located.entry(vm.id).or_default();
            if !hosts.contains(&index) {
                hosts.push(index);
            }
        }
    }
    located
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::testing::{ask, bind, cloud, run};

    fn groups(asked: &Snapshot) -> Groups {
        Groups::new(asked, &HashMap::new())
    }

    /// Three VMs that run on these hosts, and two that come, requests 0 and 1.
    fn asked(on: [usize; 3]) -> Snapshot {
        let mut asked = cloud(&[8, 8, 8]);
        on.into_iter().for_each(|host| {
            run(&mut asked, 1, host, &[0, 1, 2]);
        });
        (0..2).for_each(|_| {
            ask(&mut asked, 1, &[0, 1, 2]);
        });
        asked.candidates.drain(..3);
        asked
    }

    fn join(with: &[i32], hosts: &[i32]) -> Result<(), Reason> {
        let with = with.iter().map(|vm| VmId(*vm)).collect();
        Err(Reason::Join { with, hosts: hosts.iter().map(|host| HostId(*host)).collect() })
    }

    #[test]
    fn who_comes_joins_those_of_its_set_that_run_and_goes_where_most_are() {
        let mut torn = asked([0, 0, 1]);
        bind(&mut torn, &[0, 1, 2, 3]);
        let found = groups(&torn);
        let allowed = |found: &Groups, asked: &Snapshot, host: usize| found.rules[0].allow(&asked.hosts[host]);
        assert_eq!([0, 1].map(|host| allowed(&found, &torn, host)), [Ok(()), Ok(())]);
        assert_eq!(allowed(&found, &torn, 2), join(&[0, 1, 2], &[0, 1]));
        let company = |host: i32, comes: bool| {
            let company = found.rules[0].company(HostId(host), |_| comes);
            (company.all, company.runs)
        };
        assert_eq!([0, 1, 2].map(|host| company(host, false)), [(2, 2), (1, 1), (0, 0)]);
        assert_eq!([0, 1, 2].map(|host| company(host, true)), [(3, 2), (2, 1), (1, 0)]);
        let told: Vec<String> = found.notices().into_iter().map(|one| one.text).collect();
        let parts = "VMs 0 and 1 on host 0, VM 2 on host 1";
        assert_eq!(told, [format!("its affined set is torn apart already ({parts}): new VMs go where most are")]);
        assert_eq!(torn_sets(&torn).len(), 1);
        assert!(!found.rules[0].is_free() && found.rules[1].is_free());
        // whole ones are not torn
        let mut whole = asked([0, 0, 0]);
        bind(&mut whole, &[0, 1, 2, 3]);
        let found = groups(&whole);
        assert_eq!((allowed(&found, &whole, 0), allowed(&found, &whole, 1)), (Ok(()), join(&[0, 1, 2], &[0])));
        assert_eq!(found.rules[0].company(HostId(0), |_| true), Company::default());
        assert!(found.notices().is_empty());
        // those that run alone are torn, but nobody joins them
        let mut alone = asked([0, 0, 1]);
        bind(&mut alone, &[0, 1, 2]);
        assert!(groups(&alone).notices().is_empty());
    }

    #[test]
    fn who_is_to_join_two_sets_goes_where_both_are() {
        for (on, expected) in [([0, 0, 1], Ok(())), ([0, 1, 1], join(&[0, 1], &[]))] {
            let mut asked = asked(on);
            bind(&mut asked, &[0, 3]);
            bind(&mut asked, &[1, 3]);
            assert_eq!(groups(&asked).rules[0].allow(&asked.hosts[0]), expected);
        }
    }

    #[test]
    fn what_comes_is_one_set_and_bound_where_all_of_it_join_one_host() {
        let mut asked = asked([0, 0, 1]);
        bind(&mut asked, &[3, 4]);
        let sets = |asked: &Snapshot| {
            let found = groups(asked);
            (found.sets, found.bound)
        };
        assert_eq!(sets(&asked), (vec![vec![0, 1]], vec![]));
        // the first one joins VM 0 on host 0, and then both do
        let mut joined = asked.clone();
        bind(&mut joined, &[0, 3]);
        assert_eq!(sets(&joined), (vec![vec![0, 1]], vec![]));
        bind(&mut joined, &[1, 4]);
        assert_eq!(sets(&joined), (vec![], vec![vec![0, 1]]));
        // both join, but not on one host
        let mut apart = asked.clone();
        bind(&mut apart, &[0, 2, 3]);
        bind(&mut apart, &[0, 2, 4]);
        assert_eq!(sets(&apart), (vec![vec![0, 1]], vec![]));
        // one cannot be judged
        asked.groups[0].roles[0].vms.push(VmId(9));
        asked.set_aside = vec![(VmId(9), "odd".to_owned())];
        let refused: Vec<_> = groups(&asked).rules.into_iter().filter_map(|rules| rules.refused).collect();
        let why = Waits::new("cannot be placed: VM 9 of its affined set (group set 0) cannot", Brief::Set);
        assert_eq!(refused, [why.clone(), why]);
    }

    #[test]
    fn those_that_must_be_apart_do_not_meet() {
        // role 0: VM 0 on host 0 and request 0; role 1: VM 2 on host 1 and request 1
        let mut apart = asked([0, 0, 1]);
        bind(&mut apart, &[0, 3]);
        bind(&mut apart, &[2, 4]);
        let second = apart.groups.pop().unwrap().roles.remove(0);
        apart.groups[0].roles[0].policy = RolePolicy::None;
        apart.groups[0].roles.push(crate::model::snapshot::Role {
            name: "other".to_owned(),
            policy: RolePolicy::None,
            ..second
        });
        for (vm, role) in [(2, "other"), (4, "other")] {
            apart.vms[vm].group = Some((apart.groups[0].id, role.to_owned()));
        }
        let meets = |asked: &Snapshot, request: usize, host: usize| {
            let found = groups(asked);
            let vm = asked.vms[asked.candidates[request].vm].id;
            found.rules[request].meet(vm, &found.occupants[host]).err().map(|reason| match reason {
                Reason::Apart(vm) => vm.0,
                other => panic!("{other:?}"),
            })
        };
        let all =
            |asked: &Snapshot| [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(request, host)| meets(asked, request, host));
        assert_eq!(all(&apart), [None; 4]);
        apart.groups[0].anti_affined = vec![vec![0, 1]];
        assert_eq!(all(&apart), [None, Some(2), Some(0), None]);
        apart.groups[0].anti_affined.clear();
        apart.groups[0].roles[0].policy = RolePolicy::AntiAffined;
        assert_eq!(all(&apart), [Some(0), None, None, None]);
        let rules = groups(&apart).rules;
        assert_eq!((rules[0].is_free(), rules[1].is_free()), (false, true));
        // nobody meets himself
        let tag = Tag { rule: 1, role: 0, within: true };
        let myself = GroupRules { tags: vec![tag], ..GroupRules::default() };
        assert_eq!(myself.meet(VmId(7), &[Occupant { vm: VmId(7), tag }]), Ok(()));
        assert!(!tag.repels(Tag { rule: 2, ..tag }) && !Tag { within: false, ..tag }.repels(tag));
    }

    #[test]
    fn roles_name_hosts_that_they_want_or_shun() {
        let mut asked = asked([0, 0, 1]);
        bind(&mut asked, &[3]);
        let allowed = |asked: &Snapshot| [0, 1].map(|host| groups(asked).rules[0].allow(&asked.hosts[host]));
        asked.groups[0].roles[0].hosts_affined = vec![HostId(1), HostId(2)];
        assert_eq!(allowed(&asked), [Err(Reason::Role("HOST_AFFINED")), Ok(())]);
        assert!(!groups(&asked).rules[0].is_free());
        asked.groups[0].roles[0].hosts_affined.clear();
        asked.groups[0].roles[0].hosts_anti_affined = vec![HostId(1), HostId(2)];
        assert_eq!(allowed(&asked), [Ok(()), Err(Reason::Role("HOST_ANTI_AFFINED"))]);
        assert!(!groups(&asked).rules[0].is_free());
    }

    #[test]
    fn a_group_that_nobody_tells_of_refuses_its_vms() {
        let mut asked = asked([0, 0, 1]);
        bind(&mut asked, &[3]);
        let refused = |asked: &Snapshot| groups(asked).rules[0].refused.clone().map(|why| (why.text, why.brief));
        assert_eq!(refused(&asked), None);
        asked.vms[3].group = Some((asked.groups[0].id, "none".to_owned()));
        let text = "cannot be placed: VM group set 0 has no role \"none\"".to_owned();
        assert_eq!(refused(&asked), Some((text, Brief::Own)));
        asked.vms[3].group = Some((crate::model::ids::GroupId(7), "together".to_owned()));
        let text = "cannot be placed: the request does not tell the rules of its VM group 7".to_owned();
        assert_eq!(refused(&asked), Some((text, Brief::Own)));
        // who stays has that reason
        let staying = [(0, Waits::new("stays", Brief::Stays))].into();
        let found = Groups::new(&asked, &staying);
        assert_eq!(found.rules[0].refused, Some(Waits::new("stays", Brief::Stays)));
    }

    #[test]
    fn a_vm_is_where_its_host_lists_it_and_where_it_says_it_is() {
        let mut asked = asked([0, 0, 1]);
        let at = |asked: &Snapshot| located(asked).get(&VmId(0)).cloned();
        assert_eq!(at(&asked), Some(vec![0]));
        asked.vms[0].host = Some(HostId(2));
        for (state, expected) in
            [(VmState::Active, vec![0, 2]), (VmState::Parked, vec![0, 2]), (VmState::Other, vec![0])]
        {
            asked.vms[0].state = state;
            assert_eq!(at(&asked), Some(expected), "{state:?}");
        }
        asked.hosts[0].vms.clear();
        assert_eq!(at(&asked), None);
    }

    #[test]
    fn rules_that_share_a_role_are_one() {
        let sets = |rules: &[&[usize]]| {
            let rules: Vec<Vec<usize>> = rules.iter().map(|rule| rule.to_vec()).collect();
            chained(&rules).into_iter().map(|rule| rule.into_iter().collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(sets(&[&[0, 1], &[2, 3]]), [[0, 1], [2, 3]]);
        assert_eq!(sets(&[&[0, 1], &[2, 3], &[4, 1], &[3, 0]]), [[0, 1, 2, 3, 4]]);
    }
}

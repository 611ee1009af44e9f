//! Hosts on which starts fail: the next attempt goes elsewhere, as long as there is an elsewhere.
//!
//! The evidence is in the request itself: a pending VM whose stay on a host was short has failed there (oned
//! makes it pending again only when somebody recreates it). That VM does not go there again; when several
//! VMs failed on a host lately, nobody does. A VM that fails everywhere is at fault itself, and says little about
//! hosts. What finds no other host is planned with all of them again.
//!
//! A VM that runs elsewhere by now is in no request any more: what it told before is remembered for as long as it
//! counts, unless it runs on that very host.

use crate::model::history::{Recall, Trouble, TroubleKind};
use crate::model::ids::{HostId, VmId};
use crate::model::policy::Policy;
use crate::model::report::FailingHost;
use crate::model::snapshot::{Notice, Snapshot, Stay, Subject, Vm, VmState};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Seconds after which a failure on a host says nothing any more about other VMs.
const LATELY: i64 = 1800;

/// Seconds after which a VM is tried again where it failed.
const OWN: i64 = 86_400;

/// With so many VMs that failed there a host is left out for all; a VM that failed on several hosts counts
/// its part on each.
const SEVERAL: f64 = 1.5;

/// Who was kept from which hosts.
#[derive(Clone, Debug, Default)]
pub struct Shunned {
    /// By VM: the hosts that oned offers.
    offered: BTreeMap<VmId, Arc<[u32]>>,
    /// Hosts on which starts failed lately, by id.
    pub failing: Vec<FailingHost>,
    /// By VM: the hosts where it failed itself.
    pub own: BTreeMap<VmId, BTreeSet<HostId>>,
}

/// The hosts on which a pending VM failed to start, and when it did the last time.
fn failed(vm: &Vm, now: i64, longest: i64, within: i64) -> BTreeMap<HostId, i64> {
    let recent = |stay: &&Stay| now == 0 || now.saturating_sub(stay.ended) <= within;
    let short = |stay: &&Stay| stay.ended > 0 && stay.ended.saturating_sub(stay.began) <= longest;
    let waits = vm.state == VmState::Pending && !vm.resume;
    let mut last = BTreeMap::new();
    for stay in vm.stays.iter().filter(|_| waits).filter(short).filter(recent) {
        let ended = last.entry(stay.host).or_insert(stay.ended);
        *ended = stay.ended.max(*ended);
    }
    last
}

/// By VM, where it failed to start and when the last time, as far as that counts for others too.
pub type Evidence = BTreeMap<VmId, BTreeMap<HostId, i64>>;

/// What waiting VMs tell, and what is remembered of others. O(stays + what is remembered).
pub fn evidence<'a>(
    waiting: impl Iterator<Item = &'a Vm>,
    remembered: &[Trouble],
    now: i64,
    policy: &Policy,
) -> Evidence {
    let mut evidence = Evidence::new();
    let mut telling = BTreeSet::new();
    for vm in waiting {
        telling.insert(vm.id);
        let lately = failed(vm, now, i64::from(policy.retry.longest), LATELY);
        if !lately.is_empty() {
            evidence.insert(vm.id, lately);
        }
    }
    for one in remembered.iter().filter(|one| one.kind == TroubleKind::Failed) {
        if let (Some(vm), Some(host)) = (one.vm, one.host)
            && !telling.contains(&vm)
            && (0..=LATELY).contains(&now.saturating_sub(one.at))
        {
            evidence.entry(vm).or_default().insert(host, one.at);
        }
    }
    evidence
}

/// The hosts on which VMs failed to start lately, by id.
pub fn failing(evidence: &Evidence) -> Vec<FailingHost> {
    let mut by_host: BTreeMap<HostId, (f64, Vec<i64>)> = BTreeMap::new();
    for hosts in evidence.values() {
        for (host, ended) in hosts {
            let (weight, moments) = by_host.entry(*host).or_default();
            *weight += 1.0 / hosts.len() as f64;
            moments.push(*ended);
        }
    }
    let told = |(host, (weight, mut moments)): (HostId, (f64, Vec<i64>))| {
        moments.sort_unstable();
        // when all failures but one are forgotten, one VM is left, and that is not several
        let last_but_one = moments.len().checked_sub(2).and_then(|place| moments.get(place));
        let until = last_but_one.filter(|_| weight >= SEVERAL).map(|ended| ended.saturating_add(LATELY));
        FailingHost { host, vms: moments.len(), since: moments.first().copied().unwrap_or(0), until }
    };
    by_host.into_iter().map(told).collect()
}

/// What of a request and of what is remembered counts.
fn all_evidence(snapshot: &Snapshot, recall: &Recall, policy: &Policy) -> Evidence {
    let now = moment(snapshot).unwrap_or(recall.now);
    let waiting = snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]);
    let mut evidence = evidence(waiting, &recall.notes.troubles, now, policy);
    for (vm, hosts) in &mut evidence {
        hosts.retain(|host, _| snapshot.lists(*host, *vm) != Some(true));
    }
    evidence.retain(|_, hosts| !hosts.is_empty());
    evidence
}

/// Failures that the next request has to know.
pub fn remembered(snapshot: &Snapshot, recall: &Recall, policy: &Policy) -> Vec<Trouble> {
    let all = all_evidence(snapshot, recall, policy).into_iter();
    let one = |vm: VmId, (host, at): (HostId, i64)| Trouble {
        host: Some(host),
        vm: Some(vm),
        ..Trouble::new(TroubleKind::Failed, at)
    };
    all.flat_map(|(vm, hosts)| hosts.into_iter().map(move |host| one(vm, host))).collect()
}

/// Takes hosts on which starts failed off the lists of those that have others.
#[must_use]
pub fn shun(snapshot: &mut Snapshot, recall: &Recall, policy: &Policy) -> Shunned {
    let now = moment(snapshot).unwrap_or(recall.now);
    let mut own: BTreeMap<VmId, BTreeSet<HostId>> = BTreeMap::new();
    for vm in snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]) {
        let all = failed(vm, now, i64::from(policy.retry.longest), OWN);
        if !all.is_empty() {
            own.insert(vm.id, all.into_keys().collect());
        }
    }
    let failing = failing(&all_evidence(snapshot, recall, policy));
    if own.is_empty() && failing.is_empty() {
        return Shunned::default();
    }
    let bad: BTreeSet<HostId> = failing.iter().filter(|one| one.until.is_some()).map(|one| one.host).collect();
    let mut offered = BTreeMap::new();
    for candidates in &mut snapshot.candidates {
        let vm = snapshot.vms[candidates.vm].id;
        let mine = own.get(&vm);
        let good = |index: &u32| {
            let host = snapshot.hosts[*index as usize].id;
            !bad.contains(&host) && !mine.is_some_and(|mine| mine.contains(&host))
        };
        let left: Vec<u32> = candidates.hosts.iter().copied().filter(good).collect();
        if !left.is_empty() && left.len() < candidates.hosts.len() {
            offered.insert(vm, std::mem::replace(&mut candidates.hosts, left.into()));
        }
    }
    // what the last request knew has been said
    let known = self::failing(&evidence(std::iter::empty(), &recall.notes.troubles, now, policy));
    let said = |host: HostId| known.iter().any(|one| one.host == host && one.until.is_some());
    for one in failing.iter().filter(|one| one.until.is_some() && !said(one.host)) {
        snapshot.notices.push(Notice { subject: Subject::Host(one.host), text: one.text() });
    }
    snapshot.notices.sort();
    Shunned { offered, failing, own }
}

/// When the request was made, by its latest sample or stay: how old a failure in it is, is a matter of the
/// document alone, whenever it is decided. `None` where it tells no time.
fn moment(snapshot: &Snapshot) -> Option<i64> {
    let stays = snapshot.vms.iter().flat_map(|vm| &vm.stays).map(|stay| stay.ended);
    stays.chain([snapshot.taken_at]).max().filter(|at| *at > 0)
}

impl Shunned {
    /// Gives those of `vms` back what oned offers. Whether there were any.
    pub fn give_back(&mut self, snapshot: &mut Snapshot, vms: &HashSet<VmId>) -> bool {
        let mut some = false;
        for candidates in &mut snapshot.candidates {
            let vm = snapshot.vms[candidates.vm].id;
            if vms.contains(&vm)
                && let Some(hosts) = self.offered.remove(&vm)
            {
                candidates.hosts = hosts;
                some = true;
            }
        }
        some
    }

    /// Gives everybody back what oned offers: the request is again what it was.
    pub fn give_all_back(&mut self, snapshot: &mut Snapshot) {
        let all: HashSet<VmId> = self.offered.keys().copied().collect();
        self.give_back(snapshot, &all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::{Cpu, Memory};

    /// A pending VM that was on these hosts for some seconds, until then.
    fn vm(id: i32, stays: &[(i32, i64, i64)]) -> Vm {
        let stay = |(host, seconds, ended): &(i32, i64, i64)| Stay {
            host: HostId(*host),
            began: ended - seconds,
            ended: *ended,
        };
        Vm { stays: stays.iter().map(stay).collect(), ..Vm::plain(VmId(id), Cpu(100), Memory(1)) }
    }

    #[test]
    fn hosts_that_fail_are_told_with_how_many_since_when_and_until_when() {
        const NOW: i64 = 100_000;
        let policy = Policy::default();
        let longest = i64::from(policy.retry.longest);
        let told = |vms: &[Vm]| {
            let found = failing(&evidence(vms.iter(), &[], NOW, &policy)).into_iter();
            found.map(|one| (one.host.0, one.vms, one.since, one.until)).collect::<Vec<_>>()
        };
        let until = |ended: i64| Some(ended + LATELY);
        for (what, vms, right) in [
            ("nobody failed", vec![vm(1, &[])], vec![]),
            ("one VM says nothing about others", vec![vm(1, &[(3, 10, 99_000)])], vec![(3, 1, 99_000, None)]),
            (
                "two do, until one is left",
                vec![vm(1, &[(3, 10, 99_900)]), vm(2, &[(3, 10, 99_000)])],
                vec![(3, 2, 99_000, until(99_000))],
            ),
            (
                "of three the last but one",
                vec![vm(1, &[(3, 10, 99_900)]), vm(2, &[(3, 10, 99_000)]), vm(3, &[(3, 10, 99_500)])],
                vec![(3, 3, 99_000, until(99_500))],
            ),
            (
                "a VM that failed twice on a host is one VM",
                vec![vm(1, &[(3, 10, 99_000), (3, 10, 99_400)])],
                vec![(3, 1, 99_400, None)],
            ),
            (
                "VMs that fail everywhere say little about hosts",
                vec![vm(1, &[(3, 10, 99_000), (4, 10, 99_100)]), vm(2, &[(3, 10, 99_200), (4, 10, 99_300)])],
                vec![(3, 2, 99_000, None), (4, 2, 99_100, None)],
            ),
            ("long ago", vec![vm(1, &[(3, 10, 90_000)]), vm(2, &[(3, 10, NOW - LATELY - 1)])], vec![]),
            (
                "who stayed has run",
                vec![vm(1, &[(3, longest + 1, 99_000)]), vm(2, &[(3, longest + 1, 99_000)])],
                vec![],
            ),
            ("who has not left has not failed", vec![vm(1, &[(3, -5, 0)]), vm(2, &[(3, -5, 0)])], vec![]),
        ] {
            assert_eq!(told(&vms), right, "{what}");
        }
        // who does not wait for a first start has not failed
        let mut stopped = [vm(1, &[(3, 10, 99_000)]), vm(2, &[(3, 10, 99_000)])];
        stopped[0].resume = true;
        stopped[1].state = VmState::Active;
        assert_eq!(told(&stopped), []);
    }

    #[test]
    fn what_others_told_before_counts_as_what_waiting_vms_tell() {
        const NOW: i64 = 100_000;
        let remembered = |vm: i32, host: i32, at: i64| Trouble {
            host: Some(HostId(host)),
            vm: Some(VmId(vm)),
            ..Trouble::new(TroubleKind::Failed, at)
        };
        let known = [
            remembered(1, 4, 99_000),
            remembered(2, 3, 99_500),
            remembered(7, 3, NOW - LATELY - 1),
            remembered(8, 3, NOW + 1),
            Trouble { kind: TroubleKind::Unsampled, ..remembered(9, 3, 99_000) },
        ];
        let waits = [vm(1, &[(3, 10, 99_900)])];
        let found = failing(&evidence(waits.iter(), &known, NOW, &Policy::default()));
        let found: Vec<_> = found.iter().map(|one| (one.host.0, one.vms, one.since, one.until)).collect();
        // VM 1 tells by itself where it failed
        assert_eq!(found, [(3, 2, 99_500, Some(99_500 + LATELY))]);
    }

    #[test]
    fn it_is_told_in_a_sentence() {
        let told = |vms, until| FailingHost { host: HostId(3), vms, since: 0, until }.text();
        assert_eq!(
            told(3, Some(1800)),
            "3 VMs failed to start here since 1970-01-01T00:00:00Z; others go first until 1970-01-01T00:30:00Z"
        );
        assert!(told(1, None).starts_with("one VM failed to start here at 1970"));
        assert!(told(2, None).starts_with("2 VMs failed to start here since 1970"));
    }

    #[test]
    fn of_many_hosts_that_fail_the_worst_are_counted_by_name() {
        let one = |id: i32| FailingHost { host: HostId(id), vms: id as usize / 2 + 1, since: 0, until: None };
        let failing: Vec<FailingHost> = (0..80).map(one).collect();
        let told: Vec<i32> = FailingHost::worst(&failing).map(|one| one.host.0).collect();
        assert_eq!((told.len(), told[0], told[1], told[49]), (50, 78, 79, 31));
        assert!(FailingHost::worst(&[]).next().is_none());
    }

    #[test]
    fn who_has_other_hosts_is_kept_from_those_where_starts_fail() {
        use crate::model::snapshot::Candidates;
        let host = |id| crate::model::snapshot::Host::plain(HostId(id), Cpu(800), Memory(1));
        let offers =
            |vm: usize, hosts: &[u32]| Candidates { vm, hosts: hosts.into(), datastores: [].into(), nics: Vec::new() };
        // hosts 3, 4 and 5: both fail on 3, VM 1 on 4 as well, long ago; VM 3 knows only 3, VM 4 is new
        let mut asked = Snapshot {
            hosts: [3, 4, 5].map(host).into(),
            vms: vec![vm(1, &[(3, 10, 99_000), (4, 10, 50_000)]), vm(2, &[(3, 10, 99_900)]), vm(3, &[]), vm(4, &[])],
            candidates: vec![offers(0, &[0, 1, 2]), offers(1, &[0, 1]), offers(2, &[0]), offers(3, &[0, 1, 2])],
            ..Snapshot::default()
        };
        let hosts = |asked: &Snapshot| -> Vec<Vec<u32>> {
            asked.candidates.iter().map(|candidates| candidates.hosts.to_vec()).collect()
        };
        let before = hosts(&asked);
        let mut shunned = shun(&mut asked, &Recall { now: 7, ..Recall::default() }, &Policy::default());
        assert_eq!(hosts(&asked), [vec![2], vec![1], vec![0], vec![1, 2]]);
        let own = |vm: i32| shunned.own.get(&VmId(vm)).map(|hosts| hosts.iter().map(|host| host.0).collect::<Vec<_>>());
        assert_eq!([own(1), own(2), own(3)], [Some(vec![3, 4]), Some(vec![3]), None]);
        assert_eq!(shunned.failing.len(), 1);
        let notices: Vec<_> = asked.notices.iter().map(|one| one.subject).collect();
        assert_eq!(notices, [Subject::Host(HostId(3))]);
        // what is given back is given back once
        assert!(!shunned.give_back(&mut asked, &[VmId(3), VmId(9)].into()));
        assert!(shunned.give_back(&mut asked, &[VmId(2), VmId(3)].into()));
        assert_eq!(hosts(&asked), [vec![2], vec![0, 1], vec![0], vec![1, 2]]);
        assert!(!shunned.give_back(&mut asked, &[VmId(2)].into()));
        shunned.give_all_back(&mut asked);
        assert_eq!(hosts(&asked), before);
    }

    #[test]
    fn one_vm_that_failed_keeps_no_other_away() {
        use crate::model::snapshot::{Candidates, Host};
        let offers = |vm: usize| Candidates { vm, hosts: [0, 1].into(), datastores: [].into(), nics: Vec::new() };
        let mut asked = Snapshot {
            hosts: [3, 4].map(|id| Host::plain(HostId(id), Cpu(800), Memory(1))).into(),
            vms: vec![vm(1, &[(3, 10, 99_900)]), vm(2, &[])],
            candidates: vec![offers(0), offers(1)],
            ..Snapshot::default()
        };
        let shunned = shun(&mut asked, &Recall { now: 7, ..Recall::default() }, &Policy::default());
        let hosts: Vec<Vec<u32>> = asked.candidates.iter().map(|candidates| candidates.hosts.to_vec()).collect();
        assert_eq!((hosts, shunned.failing.len()), (vec![vec![1], vec![0, 1]], 1));
    }

    #[test]
    fn a_failure_is_as_old_as_the_request_says() {
        let asked = |taken_at: i64, ended: i64| Snapshot {
            taken_at,
            vms: vec![vm(1, &[(3, 10, ended)])],
            ..Snapshot::default()
        };
        assert_eq!(moment(&asked(500, 900)), Some(900));
        assert_eq!(moment(&asked(900, 500)), Some(900));
        assert_eq!(moment(&asked(0, 0)), None);
        let longest = i64::from(Policy::default().retry.longest);
        for (seconds, ended, now, within, expected) in [
            (longest, 1_000, 2_000, 1_000, true),
            (longest + 1, 1_000, 2_000, 1_000, false),
            (10, 1_000, 2_001, 1_000, false),
            (10, 1_000, 0, 10, true),
            (10, 0, 0, 10, false),
        ] {
            let found = failed(&vm(1, &[(3, seconds, ended)]), now, longest, within);
            assert_eq!(found.get(&HostId(3)).copied(), expected.then_some(ended), "{seconds} {ended} {now} {within}");
        }
        // the last time counts, in whatever order they are told
        for stays in [[(3, 10, 500), (3, 10, 900)], [(3, 10, 900), (3, 10, 500)]] {
            assert_eq!(failed(&vm(1, &stays), 1_000, longest, 1_000), [(HostId(3), 900)].into());
        }
    }

    #[test]
    fn a_request_that_tells_no_time_goes_by_the_clock() {
        use crate::model::history::Notes;
        use crate::model::snapshot::{Candidates, Host};
        let failed = |vm: i32| Trouble {
            host: Some(HostId(3)),
            vm: Some(VmId(vm)),
            ..Trouble::new(TroubleKind::Failed, 99_000)
        };
        let offered = |now: i64| {
            let offer = Candidates { vm: 0, hosts: [0, 1].into(), datastores: [].into(), nics: Vec::new() };
            let mut asked = Snapshot {
                hosts: [3, 4].map(|id| Host::plain(HostId(id), Cpu(800), Memory(1))).into(),
                vms: vec![vm(1, &[])],
                candidates: vec![offer],
                ..Snapshot::default()
            };
            let notes = Notes { troubles: vec![failed(7), failed(8)], ..Notes::default() };
            let shunned = shun(&mut asked, &Recall { now, notes, ..Recall::default() }, &Policy::default());
            (asked.candidates[0].hosts.to_vec(), shunned.failing.len())
        };
        assert_eq!(offered(99_000 + LATELY), (vec![1], 1));
        assert_eq!(offered(99_001 + LATELY), (vec![0, 1], 0));
    }
}

//! From what was read to a [`Snapshot`]: each id once, sorted, references resolved.
//!
//! What cannot be judged is set aside here: objects without an id, ids that stand
//! twice with different content, objects with broken values. A schedulable VM that
//! is set aside is still told why it waits.

use super::odd::Odd;
use crate::model::cluster::Cluster;
use crate::model::ids::{ClusterId, DatastoreId, GroupId, HostId, NicId, VmId, VnetId};
use crate::model::snapshot::{
    Candidates, Datastore, Host, NicCandidates, Notice, Snapshot, Subject, Vm, VmGroup, VmState, Vnet, of_all,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a document holds, before ids are resolved.
#[derive(Default)]
pub struct Raw {
    pub vms: Vec<Parsed<Vm>>,
    pub hosts: Vec<Parsed<Host>>,
    pub datastores: Vec<Parsed<Datastore>>,
    pub vnets: Vec<Parsed<Vnet>>,
    pub groups: Vec<Parsed<VmGroup>>,
    pub clusters: Vec<Parsed<Cluster>>,
    pub candidates: Vec<RawCandidates>,
    /// Objects without a usable ID, by kind.
    pub nameless: BTreeMap<&'static str, usize>,
}

/// One object as read.
pub struct Parsed<T> {
    pub id: i32,
    pub item: T,
    pub odd: Odd,
}

/// REQUIREMENTS/VM as read: ids, not yet known to exist.
#[derive(Default)]
pub struct RawCandidates {
    pub vm: Option<i32>,
    pub hosts: Arc<[i32]>,
    pub datastores: Arc<[i32]>,
    pub nics: Vec<(i32, Arc<[i32]>)>,
    pub bad_nic: bool,
}

/// Makes the snapshot.
pub fn snapshot(raw: Raw) -> Snapshot {
    let mut notices = nameless(&raw);
    let vms = unique(raw.vms, |id| Subject::Vm(VmId(id)), &mut notices);
    let hosts = unique(raw.hosts, |id| Subject::Host(HostId(id)), &mut notices);
    let datastores = unique(raw.datastores, |id| Subject::Datastore(DatastoreId(id)), &mut notices);
    let vnets = unique(raw.vnets, |id| Subject::Vnet(VnetId(id)), &mut notices);
    let groups = unique(raw.groups, |id| Subject::Group(GroupId(id)), &mut notices);
    let clusters = unique(raw.clusters, |id| Subject::Cluster(ClusterId(id)), &mut notices);
    let notice_of = |subject: Subject, reason: &str| Notice { subject, text: format!("{reason}; it is left out") };
    notices.extend(hosts.broken.iter().map(|b| notice_of(Subject::Host(HostId(b.id)), &b.reason)));
    notices.extend(datastores.broken.iter().map(|b| notice_of(Subject::Datastore(DatastoreId(b.id)), &b.reason)));
    notices.extend(vnets.broken.iter().map(|b| notice_of(Subject::Vnet(VnetId(b.id)), &b.reason)));
    notices.extend(groups.broken.iter().map(|b| notice_of(Subject::Group(GroupId(b.id)), &b.reason)));
    notices.extend(clusters.broken.iter().map(|b| notice_of(Subject::Cluster(ClusterId(b.id)), &b.reason)));
    let of_hosts = hosts.kept.iter().filter_map(|h| h.monitoring.map(|m| m.timestamp));
    let of_vms = vms.kept.iter().filter_map(|v| v.monitoring.as_ref().map(|m| m.timestamp));
    let taken_at = of_hosts.chain(of_vms).max().unwrap_or(0);
    let mut snapshot = Snapshot {
        vms: vms.kept,
        hosts: hosts.kept,
        datastores: datastores.kept,
        vnets: vnets.kept,
        groups: groups.kept,
        clusters: clusters.kept,
        taken_at,
        ..Snapshot::default()
    };
    let broken = neighbours(vms.broken, &mut snapshot.vms);
    notices.extend(held_devices(&mut snapshot));
    resolve(raw.candidates, &broken, &mut snapshot, &mut notices);
    let untold = |id: &i32| !snapshot.set_aside.iter().any(|(vm, _)| vm.0 == *id);
    notices.extend(broken.iter().filter(|(id, _)| untold(id)).map(|(id, reason)| {
        let text = format!("{reason}; it counts where it is, and is not placed");
        Notice { subject: Subject::Vm(VmId(*id)), text }
    }));
    snapshot.notices = of_all(notices);
    snapshot
}

fn nameless(raw: &Raw) -> Vec<Notice> {
    let named = raw.nameless.iter().map(|(kind, count)| Notice {
        subject: Subject::Request,
        text: format!("{kind} without a usable ID: {count}; left out"),
    });
    named.collect()
}

/// Objects by id, each once.
struct Unique<T> {
    kept: Vec<T>,
    broken: Vec<Broken<T>>,
}

/// An object that cannot be judged, in all its copies.
struct Broken<T> {
    id: i32,
    reason: String,
    copies: Vec<T>,
}

/// Each id once, sorted by id; and what cannot be judged, with the reason.
fn unique<T: PartialEq>(
    parsed: Vec<Parsed<T>>,
    subject: impl Fn(i32) -> Subject,
    notices: &mut Vec<Notice>,
) -> Unique<T> {
    let mut by_id: BTreeMap<i32, Vec<(T, Odd)>> = BTreeMap::new();
    for object in parsed {
        by_id.entry(object.id).or_default().push((object.item, object.odd));
    }
    let mut unique = Unique { kept: Vec::with_capacity(by_id.len()), broken: Vec::new() };
    for (id, copies) in by_id {
        let differ = copies.windows(2).any(|pair| pair[0].0 != pair[1].0);
        let mut items = Vec::with_capacity(copies.len());
        let (mut fatal, mut remarks) = (Vec::new(), Vec::new());
        for (item, odd) in copies {
            items.push(item);
            fatal.extend(odd.fatal);
            remarks.extend(odd.remarks);
        }
        // whatever their order, and once for all copies
        remarks.sort();
        remarks.dedup();
        notices.extend(remarks.into_iter().map(|text| Notice { subject: subject(id), text }));
        let twice = differ.then(|| "stands in the request more than once, with different content".to_owned());
        let reason = twice.or(fatal.into_iter().min());
        match reason {
            Some(reason) => unique.broken.push(Broken { id, reason, copies: items }),
            None => unique.kept.extend(items.pop()),
        }
    }
    unique
}

/// A device that a host's list calls free, and that a VM on it holds by its own record, is not given out: the
/// list is older than the record (a capture after the VM came, a failed clean-up). One notice for each host.
fn held_devices(snapshot: &mut Snapshot) -> Vec<Notice> {
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let bound = |vm: &&Vm| matches!(vm.state, VmState::Active | VmState::Parked) && !vm.pci_held.is_empty();
    for vm in snapshot.vms.iter().filter(bound) {
        let index = vm.host.and_then(|host| snapshot.hosts.binary_search_by_key(&host, |h| h.id).ok());
        let Some(index) = index else { continue };
        for device in snapshot.hosts[index].pci.iter_mut().filter(|device| device.free) {
            if vm.pci_held.binary_search(&device.address).is_ok() {
                (device.free, device.holder) = (false, Some(vm.id));
                found.entry(index).or_default().push(format!("{} (VM {})", device.short_address, vm.id));
            }
        }
    }
    let told = |(index, devices): (usize, Vec<String>)| Notice {
        subject: Subject::Host(snapshot.hosts[index].id),
        text: format!(
            "its list calls PCI devices free that VMs there hold by their own record: {}; they are not given out",
            devices.join(", ")
        ),
    };
    found.into_iter().map(told).collect()
}

/// VMs that cannot be placed still count where they are, for the groups of others; of
/// copies that differ, one that runs. Who they are, with the reason.
fn neighbours(broken: Vec<Broken<Vm>>, vms: &mut Vec<Vm>) -> BTreeMap<i32, String> {
    let mut reasons = BTreeMap::new();
    for one in broken {
        reasons.insert(one.id, one.reason);
        let mut copies = one.copies;
        // of those that run the same one, whatever their order in the document
        copies.sort_by_cached_key(|vm| (vm.state != VmState::Active, format!("{vm:?}")));
        vms.extend(copies.into_iter().next());
    }
    vms.sort_by_key(|vm| vm.id);
    reasons
}

/// REQUIREMENTS/VM: who may be placed where, by index.
fn resolve(
    raw: Vec<RawCandidates>,
    broken: &BTreeMap<i32, String>,
    snapshot: &mut Snapshot,
    notices: &mut Vec<Notice>,
) {
    let mut hosts = Lookup::new("hosts", snapshot.hosts.iter().map(|h| h.id.0));
    let mut datastores = Lookup::new("datastores", snapshot.datastores.iter().map(|d| d.id.0));
    let mut vnets = Lookup::new("virtual networks", snapshot.vnets.iter().map(|n| n.id.0));
    let (merged, nameless) = merge(raw);
    if nameless > 0 {
        let text = format!("REQUIREMENTS/VM without a usable ID: {nameless}; left out");
        notices.push(Notice { subject: Subject::Request, text });
    }
    for (id, raw) in merged {
        let problem = match snapshot.vms.binary_search_by_key(&VmId(id), |v| v.id) {
            Ok(_) if broken.contains_key(&id) => format!("cannot be placed: {}", broken[&id]),
            Ok(_) if raw.bad_nic => "cannot be placed: REQUIREMENTS lists a NIC without an ID".to_owned(),
            Ok(vm) => match unmatched_nic(&snapshot.vms[vm], &raw) {
                Some(nic) => format!("cannot be placed: NIC {nic} is in auto mode, but oned offers no network for it"),
                None => {
                    let nics = raw.nics.iter();
                    let nics = nics.map(|(nic, list)| NicCandidates { nic: NicId(*nic), vnets: vnets.indices(list) });
                    snapshot.candidates.push(Candidates {
                        vm,
                        hosts: hosts.indices(&raw.hosts),
                        datastores: datastores.indices(&raw.datastores),
                        nics: nics.collect(),
                    });
                    continue;
                }
            },
            Err(_) => "cannot be placed: it is in REQUIREMENTS but not in VM_POOL, so its size is unknown".to_owned(),
        };
        snapshot.set_aside.push((VmId(id), problem));
    }
    for lookup in [hosts, datastores, vnets] {
        notices.extend(lookup.notice());
    }
}

/// One entry per VM: an id that stands twice may only go where both allow.
fn merge(raw: Vec<RawCandidates>) -> (BTreeMap<i32, RawCandidates>, usize) {
    let mut merged: BTreeMap<i32, RawCandidates> = BTreeMap::new();
    let mut nameless = 0;
    for mut next in raw {
        let Some(id) = next.vm else {
            nameless += 1;
            continue;
        };
        next.nics = merge_nics(next.nics);
        match merged.get_mut(&id) {
            None => {
                merged.insert(id, next);
            }
            Some(known) => {
                known.hosts = common(&known.hosts, &next.hosts);
                known.datastores = common(&known.datastores, &next.datastores);
                known.nics = merge_nics(known.nics.drain(..).chain(next.nics).collect());
                known.bad_nic |= next.bad_nic;
            }
        }
    }
    (merged, nameless)
}

fn merge_nics(nics: Vec<(i32, Arc<[i32]>)>) -> Vec<(i32, Arc<[i32]>)> {
    let mut merged: BTreeMap<i32, Arc<[i32]>> = BTreeMap::new();
    for (id, list) in nics {
        let list = merged.get(&id).map_or(list.clone(), |known| common(known, &list));
        merged.insert(id, list);
    }
    merged.into_iter().collect()
}

fn common(a: &Arc<[i32]>, b: &Arc<[i32]>) -> Arc<[i32]> {
    if a == b { a.clone() } else { a.iter().copied().filter(|id| b.binary_search(id).is_ok()).collect() }
}

/// A NIC that waits for a network which oned did not offer. It would be deployed
/// without one, and nobody would tell.
fn unmatched_nic(vm: &Vm, raw: &RawCandidates) -> Option<NicId> {
    let open = vm.auto_nics.iter().filter(|nic| !nic.assigned && !vm.resume && !vm.resched);
    open.map(|nic| nic.id).find(|id| !raw.nics.iter().any(|(nic, _)| *nic == id.0))
}

/// Ids to indices of a pool, each distinct list resolved once.
struct Lookup {
    kind: &'static str,
    index: HashMap<i32, u32>,
    known: HashMap<*const i32, Arc<[u32]>>,
    /// Keeps the lists alive whose addresses are the keys of `known`.
    lists: Vec<Arc<[i32]>>,
    unknown: Vec<i32>,
}

impl Lookup {
    fn new(kind: &'static str, ids: impl Iterator<Item = i32>) -> Self {
        let index = ids.zip(0..).collect();
        Self { kind, index, known: HashMap::new(), lists: Vec::new(), unknown: Vec::new() }
    }

    fn indices(&mut self, ids: &Arc<[i32]>) -> Arc<[u32]> {
        if let Some(list) = self.known.get(&ids.as_ptr()).filter(|_| !ids.is_empty()) {
            return list.clone();
        }
        let mut found = Vec::with_capacity(ids.len());
        for id in ids.iter() {
            match self.index.get(id) {
                Some(index) => found.push(*index),
                None => self.unknown.push(*id),
            }
        }
        let found: Arc<[u32]> = found.into();
        self.known.insert(ids.as_ptr(), found.clone());
        self.lists.push(ids.clone());
        found
    }

    fn notice(mut self) -> Option<Notice> {
        self.unknown.sort_unstable();
        self.unknown.dedup();
        if self.unknown.is_empty() {
            return None;
        }
        let some: Vec<String> = self.unknown.iter().take(5).map(ToString::to_string).collect();
        let more = if self.unknown.len() > 5 { ", ..." } else { "" };
        let text = format!(
            "REQUIREMENTS names {} that are not usable in the request: {}{more}; they are passed over",
            self.kind,
            some.join(", "),
        );
        Some(Notice { subject: Subject::Request, text })
    }
}

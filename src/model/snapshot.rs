//! A cloud at one moment: what a request says, in our words and units.
//!
//! Every list is sorted by id and holds each id once, whatever the order of
//! the document, so that equal content gives equal decisions.

use super::cluster::Cluster;
use super::demand::Usage;
use super::ids::{ClusterId, DatastoreId, GroupId, HostId, NicId, VmId, VnetId, listed};
use super::sample::{Counters, VmIdentity};
use super::topology::{NumaNode, PciDevice, PciRequest, Topology};
use super::units::{Cpu, Disk, Memory};
use super::wish::{Liking, Wishes};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// All that a decision may rest on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// VM_POOL: those to be placed, and members of their groups.
    pub vms: Vec<Vm>,
    /// HOST_POOL.
    pub hosts: Vec<Host>,
    /// DATASTORE_POOL, system and image datastores alike.
    pub datastores: Vec<Datastore>,
    /// VNET_POOL.
    pub vnets: Vec<Vnet>,
    /// VM_GROUP_POOL.
    pub groups: Vec<VmGroup>,
    /// REQUIREMENTS/VM: the VMs that may be placed, and where.
    pub candidates: Vec<Candidates>,
    /// CLUSTER_POOL: the clusters to be optimized; empty for a placement.
    pub clusters: Vec<Cluster>,
    /// Schedulable VMs that cannot be judged, with the reason.
    pub set_aside: Vec<(VmId, String)>,
    /// What was odd in the document, in the order of kinds and ids.
    pub notices: Vec<Notice>,
    /// Newest monitoring timestamp of the document, seconds since 1970; 0 if none.
    pub taken_at: i64,
    /// Carbon intensity by zone at that moment, gCO2/kWh: no part of the document, it comes
    /// from the store. Empty without one.
    pub carbon: BTreeMap<String, f64>,
}

impl Snapshot {
    /// Whether VMs to be placed have different owners.
    #[must_use]
    pub fn has_several_owners(&self) -> bool {
        let mut owners = self.candidates.iter().map(|candidates| self.vms[candidates.vm].identity.owner);
        let first = owners.next();
        owners.any(|owner| Some(owner) != first)
    }

    /// Index of a host in `hosts`.
    #[must_use]
    pub fn host_index(&self, id: HostId) -> Option<usize> {
        self.hosts.binary_search_by_key(&id, |h| h.id).ok()
    }

    /// Whether a host lists a VM; `None` for a host that the request does not show.
    #[must_use]
    pub fn lists(&self, host: HostId, vm: VmId) -> Option<bool> {
        self.host_index(host).map(|index| self.hosts[index].vms.binary_search(&vm).is_ok())
    }

    /// Index of a datastore in `datastores`.
    #[must_use]
    pub fn datastore_index(&self, id: DatastoreId) -> Option<usize> {
        self.datastores.binary_search_by_key(&id, |d| d.id).ok()
    }

    /// A VM of the pool.
    #[must_use]
    pub fn vm(&self, id: VmId) -> Option<&Vm> {
        self.vms.binary_search_by_key(&id, |v| v.id).ok().map(|i| &self.vms[i])
    }

    /// The group of a VM, with what it and the VM's role wish.
    #[must_use]
    pub fn wishes(&self, vm: &Vm) -> Option<(&VmGroup, Vec<&Wishes>)> {
        let (id, role) = vm.group.as_ref()?;
        let group = self.groups.binary_search_by_key(id, |group| group.id).ok().map(|index| &self.groups[index])?;
        let role = group.roles.iter().find(|known| known.name == *role).map(|role| &role.wishes);
        Some((group, std::iter::once(&group.wishes).chain(role).collect()))
    }

    /// Whether a sample was at most `max_age` seconds old when the newest of the document
    /// was taken: the request itself is the clock, so that equal bytes give equal answers.
    /// With a `max_age` of 0 none is fresh.
    #[must_use]
    pub fn is_fresh(&self, timestamp: i64, max_age: i64) -> bool {
        max_age > 0 && self.taken_at.saturating_sub(timestamp) <= max_age
    }
}

/// Something odd about one object: never an error, always reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// What it is about.
    pub subject: Subject,
    /// What is odd and what we did about it.
    pub text: String,
}

/// The object that a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The document as a whole.
    Request,
    /// A VM; its own log tells of it too.
    Vm(VmId),
    /// A VM, in words that speak of hosts or of other VMs too.
    VmAndHosts(VmId),
    /// A host.
    Host(HostId),
    /// A datastore.
    Datastore(DatastoreId),
    /// A virtual network.
    Vnet(VnetId),
    /// A VM group.
    Group(GroupId),
    /// A cluster.
    Cluster(ClusterId),
}

/// Notices that say the same of several VMs become one about all of them: one cause, one line.
#[must_use]
pub fn of_all(notices: Vec<Notice>) -> Vec<Notice> {
    let mut vms: BTreeMap<String, Vec<VmId>> = BTreeMap::new();
    let mut others = Vec::with_capacity(notices.len());
    for notice in notices {
        match notice.subject {
            Subject::Vm(vm) => vms.entry(notice.text).or_default().push(vm),
            _ => others.push(notice),
        }
    }
    others.extend(vms.into_iter().map(|(text, mut vms)| {
        vms.sort_unstable();
        vms.dedup();
        match vms[..] {
            [vm] => Notice { subject: Subject::Vm(vm), text },
            _ => Notice { subject: Subject::Request, text: format!("{}: {text}", listed(&vms)) },
        }
    }));
    others.sort();
    others
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => write!(f, "the request"),
            Self::Vm(id) | Self::VmAndHosts(id) => write!(f, "VM {id}"),
            Self::Host(id) => write!(f, "host {id}"),
            Self::Datastore(id) => write!(f, "datastore {id}"),
            Self::Vnet(id) => write!(f, "virtual network {id}"),
            Self::Group(id) => write!(f, "VM group {id}"),
            Self::Cluster(id) => write!(f, "cluster {id}"),
        }
    }
}

/// VM/STATE, as far as a scheduler tells states apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmState {
    /// 1: waits for a host.
    Pending,
    /// 3: on a host.
    Active,
    /// 5 or 8, suspended or powered off: not running, still bound to its host.
    Parked,
    /// Any other.
    Other,
}

/// One VM of VM_POOL.
#[derive(Clone, Debug, PartialEq)]
pub struct Vm {
    /// ID.
    pub id: VmId,
    /// NAME.
    pub name: String,
    /// STATE.
    pub state: VmState,
    /// Active, but in an LCM_STATE in which oned does not migrate: between two states, or failed.
    pub transient: bool,
    /// Active, in LCM_STATE UNKNOWN: oned lost sight of the guest, which may still run. A migration
    /// would not stop it first, and it could run twice: only RESCHED moves it.
    pub unknown: bool,
    /// LOCK/LOCKED is above 0 (`onevm lock`): oned refuses to deploy and to migrate it, also to itself.
    pub locked: bool,
    /// Parked, and suspended (STATE 5) rather than powered off (8): oned does not offer it to be placed.
    pub suspended: bool,
    /// RESCHED=1: runs, and is to be moved.
    pub resched: bool,
    /// The last action was stop or undeploy: its disks already lie on a datastore.
    pub resume: bool,
    /// Host of the last HISTORY record.
    pub host: Option<HostId>,
    /// System datastore of the last HISTORY record.
    pub datastore: Option<DatastoreId>,
    /// TEMPLATE/CPU x 100.
    pub cpu: Cpu,
    /// TEMPLATE/MEMORY x 1024.
    pub memory: Memory,
    /// What its disks need on the system datastore.
    pub system_disk: Disk,
    /// What its disks need on image datastores (target SELF), by datastore.
    pub image_disks: Vec<(DatastoreId, Disk)>,
    /// NICs in auto mode, by NIC_ID.
    pub auto_nics: Vec<AutoNic>,
    /// TEMPLATE/PCI.
    pub pci: Vec<PciRequest>,
    /// TEMPLATE/PCI/ADDRESS: the devices that it was given where it runs, sorted.
    pub pci_held: Vec<String>,
    /// TEMPLATE/TOPOLOGY, where given.
    pub topology: Option<Topology>,
    /// Group and role of TEMPLATE/VMGROUP.
    pub group: Option<(GroupId, String)>,
    /// Requirement texts that speak of CURRENT_VMS (the others oned has settled).
    pub current_vms_rules: Vec<String>,
    /// USER_TEMPLATE/SCHED_RANK (or RANK), empty when absent.
    pub rank: String,
    /// USER_TEMPLATE/SCHED_DS_RANK, empty when absent.
    pub datastore_rank: String,
    /// Who it is, for finding relatives; name and size stand above.
    pub identity: VmIdentity,
    /// The last HISTORY record, where it has one.
    pub last_run: Option<LastRun>,
    /// Its stays on hosts by time, the last one too; the latest sixteen.
    pub stays: Vec<Stay>,
    /// USER_TEMPLATE/ERROR: what oned said when something failed, with the moment.
    pub error: String,
    /// USER_TEMPLATE/SCHED_MESSAGE: what a scheduler said last of it.
    pub sched_message: String,
    /// USER_TEMPLATE/ONEDRS_BLOCKED=YES: no optimization may move it.
    pub blocked: bool,
    /// USER_TEMPLATE/ONEAIO_PREFER and ONEAIO_AVOID: hosts that are better or worse for it.
    pub likings: Vec<Liking>,
    /// USER_TEMPLATE/ONEAIO_PRIORITY, 0 to 100: orders among the VMs of its owner.
    pub priority: u32,
    /// MONITORING, where the request tells it (optimize requests do).
    pub monitoring: Option<Box<VmMonitoring>>,
}

/// The last HISTORY record of a VM: its latest stay on a host. oned makes one for each
/// deployment that it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// SEQ; grows with each record.
    pub sequence: i64,
    /// STIME, seconds since 1970; 0 where it is not told.
    pub began: i64,
    /// ETIME, seconds since 1970; 0 while it goes on.
    pub ended: i64,
}

/// One HISTORY record: a stay on a host. Moments in seconds since 1970; 0 where there is none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// HID.
    pub host: HostId,
    /// STIME.
    pub began: i64,
    /// ETIME.
    pub ended: i64,
}

/// The latest sample of a VM, as oned keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VmMonitoring {
    /// Seconds since 1970.
    pub timestamp: i64,
    /// Counters of disk and network since the VM started.
    pub counters: Counters,
    /// CPU and memory now, bytes per second where oned tells them.
    pub current: Option<Usage>,
    /// What it will use soon, by oned's forecasts; disk and network where known.
    pub forecast: Option<Usage>,
}

impl Vm {
    /// Whether it asks for CPUs pinned to a host's.
    #[must_use]
    pub fn pinned(&self) -> bool {
        use super::topology::PinPolicy;
        self.topology.as_ref().is_some_and(|t| t.pin_policy != PinPolicy::None)
    }
}

/// A NIC of NETWORK_MODE auto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoNic {
    /// NIC_ID.
    pub id: NicId,
    /// Its SCHED_RANK, empty when absent.
    pub rank: String,
    /// It has a network already, from an earlier deployment.
    pub assigned: bool,
}

/// One host of HOST_POOL.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// ID.
    pub id: HostId,
    /// NAME.
    pub name: String,
    /// STATE is one in which oned deploys: monitored, or being monitored.
    pub enabled: bool,
    /// Its capacity is reserved whole, or more than whole (MAX_CPU or MAX_MEM is 0 or below, TOTAL_* is
    /// not): nothing may come, and what is there counts as too much.
    pub closed: bool,
    /// TOTAL_CPU and TOTAL_MEM: what there is with what is reserved; the MAX values where it is not told.
    pub total: (Cpu, Memory),
    /// CLUSTER_ID.
    pub cluster: ClusterId,
    /// MAX_CPU, net of reservations.
    pub cpu: Cpu,
    /// CPU_USAGE: allocated to VMs.
    pub cpu_allocated: Cpu,
    /// MAX_MEM, net of reservations.
    pub memory: Memory,
    /// MEM_USAGE: allocated to VMs.
    pub memory_allocated: Memory,
    /// RUNNING_VMS.
    pub running_vms: i64,
    /// VMS/ID, sorted.
    pub vms: Vec<VmId>,
    /// DATASTORES/FREE_DISK: room of local datastores that the host does not list.
    pub free_disk: Disk,
    /// DATASTORES/DS: room of local datastores on this host.
    pub local_datastores: Vec<(DatastoreId, Disk)>,
    /// By address.
    pub pci: Vec<PciDevice>,
    /// By node id.
    pub numa: Vec<NumaNode>,
    /// TEMPLATE/PIN_POLICY is PINNED.
    pub pinned: bool,
    /// MONITORING, when the host has some.
    pub monitoring: Option<HostMonitoring>,
    /// All single values that requirements and ranks may ask for.
    pub attributes: Attributes,
}

/// The latest sample of a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostMonitoring {
    /// Seconds since 1970.
    pub timestamp: i64,
    /// CAPACITY/USED_CPU.
    pub cpu_used: Cpu,
    /// CAPACITY/USED_MEMORY.
    pub memory_used: Memory,
}

/// Where an attribute of a host, datastore or network stands in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Directly below the object.
    Object,
    /// In HOST_SHARE or its DATASTORES.
    Share,
    /// In MONITORING.
    Monitoring,
    /// In TEMPLATE.
    Template,
    /// In CLUSTER_TEMPLATE.
    ClusterTemplate,
}

/// Names and values in document order, which is the order oned searches. Copies share them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Arc<Vec<Attribute>>);

/// Section, name and value.
type Attribute = (Section, Box<str>, Box<str>);

impl Attributes {
    /// Appends a value; names may repeat.
    pub fn push(&mut self, section: Section, name: &str, value: &str) {
        Arc::make_mut(&mut self.0).push((section, name.into(), value.into()));
    }

    /// All values of that name, in document order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(_, n, _)| **n == *name).map(|(_, _, v)| &**v)
    }

    /// The first value of that name in one section; upper and lower case are one.
    #[must_use]
    pub fn first_in(&self, section: Section, name: &str) -> Option<&str> {
        self.0.iter().find(|(s, n, _)| *s == section && n.eq_ignore_ascii_case(name)).map(|(_, _, v)| &**v)
    }
}

/// One datastore of DATASTORE_POOL.
#[derive(Clone, Debug, PartialEq)]
pub struct Datastore {
    /// ID.
    pub id: DatastoreId,
    /// NAME.
    pub name: String,
    /// TYPE is 1.
    pub system: bool,
    /// SHARED: one pool of space for all hosts; else each host has its own.
    pub shared: bool,
    /// FREE_MB; where LIMIT_MB is set, LIMIT_MB - USED_MB in its place, at least 0, also where that is
    /// more: so operators overcommit storage (7.4, `Datastore::get_avail_mb` and rank's `DatastoreXML`).
    pub free: Disk,
    /// LIMIT_MB or TOTAL_MB; 0 where neither is known.
    pub total: Disk,
    /// TM_MAD, the driver.
    pub driver: String,
    /// Disks of running VMs may come and go: DS_MIGRATE and DS_LIVE_MIGRATE are YES.
    pub moves_live: bool,
    /// The clusters that it serves, sorted.
    pub clusters: Vec<ClusterId>,
    /// For SCHED_DS_RANK.
    pub attributes: Attributes,
}

/// One virtual network of VNET_POOL.
#[derive(Clone, Debug, PartialEq)]
pub struct Vnet {
    /// ID.
    pub id: VnetId,
    /// NAME.
    pub name: String,
    /// Addresses of all ranges less USED_LEASES; negative when overdrawn.
    pub free_leases: i64,
    /// The clusters that it serves, sorted.
    pub clusters: Vec<ClusterId>,
    /// For the SCHED_RANK of a NIC.
    pub attributes: Attributes,
}

/// POLICY of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolePolicy {
    /// No rule among its members.
    None,
    /// All members on one host.
    Affined,
    /// Each member on a host of its own.
    AntiAffined,
}

/// One VM group of VM_GROUP_POOL.
#[derive(Clone, Debug, PartialEq)]
pub struct VmGroup {
    /// ID.
    pub id: GroupId,
    /// NAME.
    pub name: String,
    /// By name.
    pub roles: Vec<Role>,
    /// Each rule names roles (indices into `roles`) whose members share one host.
    pub affined: Vec<Vec<usize>>,
    /// Each rule names roles whose members never share a host across roles.
    pub anti_affined: Vec<Vec<usize>>,
    /// Wishes of all its VMs together.
    pub wishes: Wishes,
    /// UID or GID is 0: oneadmin's, or of his group.
    pub by_administrator: bool,
}

/// ROLES/ROLE.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// NAME.
    pub name: String,
    /// POLICY.
    pub policy: RolePolicy,
    /// Members, sorted.
    pub vms: Vec<VmId>,
    /// HOST_AFFINED: only these hosts, when not empty.
    pub hosts_affined: Vec<HostId>,
    /// HOST_ANTI_AFFINED: never these hosts.
    pub hosts_anti_affined: Vec<HostId>,
    /// Wishes of its members.
    pub wishes: Wishes,
}

/// REQUIREMENTS/VM: what oned has matched for one schedulable VM.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// Index into `Snapshot::vms`.
    pub vm: usize,
    /// Indices into `Snapshot::hosts`, sorted. Equal lists are one list.
    pub hosts: Arc<[u32]>,
    /// Indices into `Snapshot::datastores`, sorted.
    pub datastores: Arc<[u32]>,
    /// Per NIC in auto mode, by NIC_ID.
    pub nics: Vec<NicCandidates>,
}

/// REQUIREMENTS/VM/NIC.
#[derive(Clone, Debug, PartialEq)]
pub struct NicCandidates {
    /// ID.
    pub nic: NicId,
    /// Indices into `Snapshot::vnets`, sorted.
    pub vnets: Arc<[u32]>,
}

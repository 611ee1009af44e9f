//! VM_POOL/VM: what one VM asks for and where it is.

use super::number;
use super::odd::{Odd, shortened};
use super::vector::Vector;
use super::xml::{Walker, XmlError};
use super::{sample, topology, wishes};
use crate::model::ids::{DatastoreId, GroupId, HostId, NicId, VmId};
use crate::model::sample::VmIdentity;
use crate::model::snapshot::{AutoNic, LastRun, Stay, Vm, VmState};
use crate::model::topology::{PinPolicy, Topology, VirtualNode};
use crate::model::units::{Cpu, Disk, Memory};
use crate::model::wish::Wishes;

/// HISTORY/ACTION of an undeploy, undeploy-hard and stop.
const STOP_ACTIONS: [i64; 3] = [5, 6, 9];

/// LCM_STATE RUNNING and UNKNOWN: in these two alone oned migrates an active VM (7.4,
/// `VirtualMachineAPI::migrate`); not while a backup is made (BACKUP, BACKUP_POWEROFF).
const RUNNING: i64 = 3;
const UNKNOWN: i64 = 16;

/// More NICs, PCI devices or NUMA nodes than this no VM has; searching for their places
/// would take too long.
const MAX_DEVICES: usize = 256;

/// Longer ranks are not used, in bytes: fifty terms and more, where people write three. Each is
/// worked out for each host.
const MAX_RANK: usize = 1_000;

/// A VM whose requirements speak of CURRENT_VMS at greater length waits: they are asked anew
/// for each host and each change of a plan. Room for 200 VMs by id.
const MAX_REQUIREMENTS: usize = 4_000;

/// Reads one VM; its id is checked by the caller.
pub fn read(walker: &mut Walker<'_>) -> Result<(Option<i32>, Vm, Odd), XmlError> {
    let mut odd = Odd::default();
    let mut raw = RawVm::default();
    let mut id = None;
    walker.children(|w, tag| match tag {
        "ID" => {
            id = id.or(number::id(&w.text()?));
            Ok(())
        }
        "NAME" => raw.name.fill(w),
        "STATE" => raw.state.fill(w),
        "LCM_STATE" => raw.lcm_state.fill(w),
        "RESCHED" => raw.resched.fill(w),
        "UID" => raw.owner.fill(w),
        "LOCK" => w.children(|w, tag| match tag {
            "LOCKED" => raw.lock.fill(w),
            _ => w.skip(),
        }),
        "MONITORING" if raw.monitoring.is_none() => {
            raw.monitoring = Some(Vector::read(w)?);
            Ok(())
        }
        "TEMPLATE" => raw.template(w, &mut odd),
        "USER_TEMPLATE" => raw.user_template(w),
        "HISTORY_RECORDS" => raw.history(w),
        _ => w.skip(),
    })?;
    let vm = raw.check(id, &mut odd);
    Ok((id, vm, odd))
}

/// Stays on hosts that are kept, the latest ones.
const STAYS: usize = 16;

/// The first of possibly repeated values, as oned takes it.
#[derive(Default)]
pub struct First(Option<String>);

impl First {
    /// Takes the element's text unless there is one.
    pub fn fill(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        let text = walker.text()?;
        self.0.get_or_insert_with(|| text.into_owned());
        Ok(())
    }

    /// The text, empty when absent.
    pub fn text(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
}

/// The latest HISTORY record.
#[derive(Clone, Copy)]
struct Record {
    run: LastRun,
    host: Option<i32>,
    datastore: Option<i32>,
    action: i64,
}

#[derive(Default)]
struct RawVm {
    name: First,
    state: First,
    lcm_state: First,
    resched: First,
    lock: First,
    owner: First,
    source: First,
    flavours: First,
    cpu: First,
    memory: First,
    automatic_requirements: First,
    requirements: First,
    rank: First,
    old_rank: First,
    datastore_rank: First,
    disks: Vec<Vector>,
    nics: Vec<Vector>,
    pci: Vec<Vector>,
    numa_nodes: Vec<Vector>,
    topology: Option<Vector>,
    group: Option<Vector>,
    blocked: First,
    prefer: First,
    avoid: First,
    priority: First,
    monitoring: Option<Vector>,
    error: First,
    sched_message: First,
    last: Option<Record>,
    /// With their SEQ.
    stays: Vec<(i64, Stay)>,
}

impl RawVm {
    fn wishes(&self, odd: &mut Odd) -> Wishes {
        let text = |name: &str| match name {
            "ONEAIO_PREFER" => self.prefer.text(),
            "ONEAIO_AVOID" => self.avoid.text(),
            "ONEAIO_PRIORITY" => self.priority.text(),
            _ => "",
        };
        wishes::read("the VM", text, odd)
    }

    fn template(&mut self, walker: &mut Walker<'_>, odd: &mut Odd) -> Result<(), XmlError> {
        walker.children(|w, tag| {
            match tag {
                "CPU" => self.cpu.fill(w)?,
                "MEMORY" => self.memory.fill(w)?,
                "TEMPLATE_ID" => self.source.fill(w)?,
                "AUTOMATIC_REQUIREMENTS" => self.automatic_requirements.fill(w)?,
                "DISK" => self.disks.push(Vector::read(w)?),
                "NIC" => self.nics.push(Vector::read(w)?),
                "PCI" => {
                    let pci = Vector::read(w)?;
                    if number::integer(pci.get("NIC_ID")).is_some() {
                        self.nics.push(pci.clone());
                    }
                    self.pci.push(pci);
                }
                "NUMA_NODE" => self.numa_nodes.push(Vector::read(w)?),
                "TOPOLOGY" if self.topology.is_none() => self.topology = Some(Vector::read(w)?),
                "VMGROUP" if self.group.is_none() => self.group = Some(Vector::read(w)?),
                "VMGROUP" => {
                    odd.remarks.push("TEMPLATE has more than one VMGROUP; the first counts".to_owned());
                    w.skip()?;
                }
                _ => w.skip()?,
            }
            Ok(())
        })
    }

    fn user_template(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        walker.children(|w, tag| match tag {
            "SCHED_REQUIREMENTS" => self.requirements.fill(w),
            "SCHED_RANK" => self.rank.fill(w),
            "RANK" => self.old_rank.fill(w),
            "SCHED_DS_RANK" => self.datastore_rank.fill(w),
            name if name.eq_ignore_ascii_case("ONEDRS_BLOCKED") => self.blocked.fill(w),
            name if name.eq_ignore_ascii_case("ONEAIO_PREFER") => self.prefer.fill(w),
            name if name.eq_ignore_ascii_case("ONEAIO_AVOID") => self.avoid.fill(w),
            name if name.eq_ignore_ascii_case("ONEAIO_PRIORITY") => self.priority.fill(w),
            "ERROR" => self.error.fill(w),
            "SCHED_MESSAGE" => self.sched_message.fill(w),
            tag if tag.eq_ignore_ascii_case("FLAVOURS") => self.flavours.fill(w),
            _ => w.skip(),
        })
    }

    fn history(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        walker.children(|w, _| {
            let record = Vector::read(w)?;
            let sequence = number::integer(record.get("SEQ")).unwrap_or(0);
            let moment = |name: &str| number::integer(record.get(name)).unwrap_or(0);
            let (began, ended) = (moment("STIME"), moment("ETIME"));
            if let Some(host) = number::id(record.get("HID")).map(HostId) {
                self.stays.push((sequence, Stay { host, began, ended }));
            }
            if self.last.is_none_or(|latest| sequence > latest.run.sequence) {
                self.last = Some(Record {
                    run: LastRun { sequence, began, ended },
                    host: number::id(record.get("HID")),
                    datastore: number::id(record.get("DS_ID")),
                    action: number::integer(record.get("ACTION")).unwrap_or(-1),
                });
            }
            Ok(())
        })
    }

    fn latest_stays(&self) -> Vec<Stay> {
        let mut stays = self.stays.clone();
        stays.sort_by_key(|(sequence, _)| *sequence);
        stays.into_iter().rev().take(STAYS).rev().map(|(_, stay)| stay).collect()
    }

    /// Running, or out of reach for a while; documents without the element are taken at their word.
    fn is_steady(&self) -> bool {
        self.lcm_state.text().is_empty() || matches!(number::integer(self.lcm_state.text()), Some(RUNNING | UNKNOWN))
    }

    fn check(self, id: Option<i32>, odd: &mut Odd) -> Vm {
        let state = match number::integer(self.state.text()) {
            Some(1) => VmState::Pending,
            Some(3) => VmState::Active,
            Some(5 | 8) => VmState::Parked,
            _ => VmState::Other,
        };
        let action = self.last.map_or(-1, |last| last.action);
        for (name, list) in [("NUMA_NODE", &self.numa_nodes), ("PCI", &self.pci), ("NIC", &self.nics)] {
            if list.len() > MAX_DEVICES {
                odd.set_aside(format!("TEMPLATE has {} {name} elements, more than {MAX_DEVICES}", list.len()));
            }
        }
        let (system_disk, image_disks) = disks(&self.disks, odd);
        let rank = if self.rank.0.is_some() { &self.rank } else { &self.old_rank };
        for nic in &self.nics {
            bounded_rank("SCHED_RANK of a NIC", nic.get("SCHED_RANK"), odd);
        }
        let wishes = self.wishes(odd);
        Vm {
            id: VmId(id.unwrap_or(-1)),
            name: self.name.text().to_owned(),
            state,
            transient: state == VmState::Active && !self.is_steady(),
            unknown: state == VmState::Active && number::integer(self.lcm_state.text()) == Some(UNKNOWN),
            locked: number::integer(self.lock.text()).is_some_and(|level| level > 0),
            suspended: number::integer(self.state.text()) == Some(5),
            resched: number::integer(self.resched.text()) == Some(1),
            resume: STOP_ACTIONS.contains(&action) && state != VmState::Active,
            host: self.last.and_then(|last| last.host).map(HostId),
            datastore: self.last.and_then(|last| last.datastore).map(DatastoreId),
            cpu: cpu(self.cpu.text(), odd),
            memory: Memory(odd.amount("TEMPLATE/MEMORY", self.memory.text()).saturating_mul(1024)),
            system_disk,
            image_disks,
            auto_nics: auto_nics(&self.nics),
            pci: self.pci.iter().map(topology::pci_request).collect(),
            pci_held: held_devices(&self.pci),
            topology: topology(self.topology.as_ref(), &self.numa_nodes, odd),
            group: group(self.group.as_ref(), odd),
            current_vms_rules: [&self.automatic_requirements, &self.requirements]
                .into_iter()
                .filter(|text| text.text().contains("CURRENT_VMS"))
                .filter_map(|text| bounded_requirement(text.text(), odd))
                .collect(),
            rank: bounded_rank("SCHED_RANK", rank.text(), odd),
            datastore_rank: bounded_rank("SCHED_DS_RANK", self.datastore_rank.text(), odd),
            identity: VmIdentity {
                flavours: self.flavours.text().to_owned(),
                template: number::id(self.source.text()),
                image: self.disks.iter().find_map(|disk| number::id(disk.get("IMAGE_ID"))),
                owner: number::id(self.owner.text()),
                ..VmIdentity::default()
            },
            last_run: self.last.map(|last| last.run),
            stays: self.latest_stays(),
            error: self.error.text().to_owned(),
            sched_message: self.sched_message.text().to_owned(),
            blocked: number::yes(self.blocked.text()),
            likings: wishes.likings,
            priority: wishes.priority,
            monitoring: self.monitoring.as_ref().and_then(|values| sample::read(id, values)).map(Box::new),
        }
    }
}

/// A rank, or none where it is too long.
fn bounded_rank(name: &str, text: &str, odd: &mut Odd) -> String {
    if text.len() <= MAX_RANK {
        return text.to_owned();
    }
    odd.remarks.push(format!("{name} has {} characters, more than {MAX_RANK}; it is ignored", text.chars().count()));
    String::new()
}

/// Requirements, or a reason to wait where they are too long.
fn bounded_requirement(text: &str, odd: &mut Odd) -> Option<String> {
    if text.len() <= MAX_REQUIREMENTS {
        return Some(text.to_owned());
    }
    odd.set_aside(format!(
        "its requirements have {} characters and speak of CURRENT_VMS; at most {MAX_REQUIREMENTS} are read",
        text.chars().count()
    ));
    None
}

/// CPU in cores to percent, in single precision and cut off, as oned reckons.
fn cpu(text: &str, odd: &mut Odd) -> Cpu {
    match number::real(text) {
        Some(cores) if cores >= 0.0 => Cpu((cores as f32 * 100.0) as i64),
        None if text.is_empty() => Cpu(0),
        _ => {
            let what = if number::real(text).is_some() { "below zero" } else { "not a number" };
            odd.set_aside(format!("TEMPLATE/CPU is {:?}, {what}", shortened(text)));
            Cpu(0)
        }
    }
}

/// What the disks need on the system datastore and on image datastores.
fn disks(disks: &[Vector], odd: &mut Odd) -> (Disk, Vec<(DatastoreId, Disk)>) {
    let mut system = Disk(0);
    let mut images: Vec<(DatastoreId, Disk)> = Vec::new();
    for disk in disks {
        if disk.get("SIZE").is_empty() {
            continue;
        }
        let snapshots = odd.amount("DISK/DISK_SNAPSHOT_TOTAL_SIZE", disk.get("DISK_SNAPSHOT_TOTAL_SIZE"));
        let size = Disk(odd.amount("DISK/SIZE", disk.get("SIZE"))) + Disk(snapshots);
        let kind = disk.get("TYPE");
        if kind.eq_ignore_ascii_case("swap") || kind.eq_ignore_ascii_case("fs") {
            system += size;
            continue;
        }
        let Some(datastore) = number::id(disk.get("DATASTORE_ID")) else { continue };
        let target = match disk.get("CLONE") {
            "" => continue,
            clone if number::yes(clone) => disk.get("CLONE_TARGET"),
            _ => disk.get("LN_TARGET"),
        };
        if target.eq_ignore_ascii_case("SYSTEM") {
            system += size;
        } else if target.eq_ignore_ascii_case("SELF") && size > Disk(0) {
            let datastore = DatastoreId(datastore);
            match images.iter_mut().find(|(id, _)| *id == datastore) {
                Some((_, sum)) => *sum += size,
                None => images.push((datastore, size)),
            }
        }
    }
    images.sort_unstable();
    (system, images)
}

fn auto_nics(nics: &[Vector]) -> Vec<AutoNic> {
    let mut found: Vec<AutoNic> = nics
        .iter()
        .filter(|nic| nic.get("NETWORK_MODE").eq_ignore_ascii_case("auto"))
        .filter_map(|nic| {
            Some(AutoNic {
                id: NicId(number::id(nic.get("NIC_ID"))?),
                rank: Some(nic.get("SCHED_RANK")).filter(|rank| rank.len() <= MAX_RANK).unwrap_or_default().to_owned(),
                assigned: number::id(nic.get("NETWORK_ID")).is_some(),
            })
        })
        .collect();
    found.sort_by_key(|nic| nic.id);
    found
}

/// The addresses that oned has written into the VM when it gave it its devices.
fn held_devices(pci: &[Vector]) -> Vec<String> {
    let mut held: Vec<String> =
        pci.iter().map(|pci| pci.get("ADDRESS").to_owned()).filter(|address| !address.is_empty()).collect();
    held.sort_unstable();
    held.dedup();
    held
}

fn topology(topology: Option<&Vector>, nodes: &[Vector], odd: &mut Odd) -> Option<Topology> {
    let topology = topology.filter(|t| !t.is_empty())?;
    let pin_policy = match topology.get("PIN_POLICY").to_ascii_uppercase().as_str() {
        "CORE" => PinPolicy::Core,
        "THREAD" => PinPolicy::Thread,
        "SHARED" => PinPolicy::Shared,
        _ => PinPolicy::None,
    };
    let count = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    let hugepage_mb = odd.amount("TOPOLOGY/HUGEPAGE_SIZE", topology.get("HUGEPAGE_SIZE"));
    Some(Topology {
        pin_policy,
        threads: count(odd.amount("TOPOLOGY/THREADS", topology.get("THREADS"))),
        hugepage: Memory(hugepage_mb.saturating_mul(1024)),
        node_affinity: number::id(topology.get("NODE_AFFINITY")),
        nodes: nodes
            .iter()
            .map(|node| VirtualNode {
                cpus: count(odd.amount("NUMA_NODE/TOTAL_CPUS", node.get("TOTAL_CPUS"))),
                memory: Memory(odd.amount("NUMA_NODE/MEMORY", node.get("MEMORY"))),
            })
            .collect(),
    })
}

fn group(group: Option<&Vector>, odd: &mut Odd) -> Option<(GroupId, String)> {
    let group = group?;
    match number::id(group.get("VMGROUP_ID")) {
        Some(id) => Some((GroupId(id), group.get("ROLE").to_owned())),
        None => {
            odd.set_aside(format!("VMGROUP_ID is {:?}, not an id", shortened(group.get("VMGROUP_ID"))));
            None
        }
    }
}

#[cfg(test)]
mod tests;

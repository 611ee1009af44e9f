//! HOST_POOL/HOST: capacity, allocation, devices, monitoring and attributes.

use super::number;
use super::odd::Odd;
use super::topology::{self, RawNode};
use super::vector::Vector;
use super::xml::{Walker, XmlError};
use crate::model::ids::{ClusterId, DatastoreId, HostId, VmId};
use crate::model::snapshot::{Attributes, Host, HostMonitoring, Section};
use crate::model::units::{Cpu, Disk, Memory};

/// Reads one host; its id is checked by the caller.
pub fn read(walker: &mut Walker<'_>) -> Result<(Option<i32>, Host, Odd), XmlError> {
    let mut reading = Reading::default();
    walker.children(|w, tag| match tag {
        "HOST_SHARE" => reading.share(w),
        "VMS" => reading.vms(w),
        "TEMPLATE" => reading.section(w, Section::Template),
        "CLUSTER_TEMPLATE" => reading.section(w, Section::ClusterTemplate),
        "MONITORING" => reading.monitoring(w),
        name => reading.value(w, Section::Object, name),
    })?;
    Ok(reading.check())
}

#[derive(Default)]
struct Reading {
    attributes: Attributes,
    vms: Vec<VmId>,
    local_datastores: Vec<(DatastoreId, Disk)>,
    pci: Vec<crate::model::topology::PciDevice>,
    numa: Vec<RawNode>,
    timestamp: Option<i64>,
}

impl Reading {
    fn value(&mut self, walker: &mut Walker<'_>, section: Section, name: &str) -> Result<(), XmlError> {
        let text = walker.text()?;
        self.attributes.push(section, name, &text);
        Ok(())
    }

    fn section(&mut self, walker: &mut Walker<'_>, section: Section) -> Result<(), XmlError> {
        walker.children(|w, name| self.value(w, section, name))
    }

    fn vms(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        walker.children(|w, _| {
            self.vms.extend(number::id(&w.text()?).map(VmId));
            Ok(())
        })
    }

    fn share(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        walker.children(|w, tag| match tag {
            "DATASTORES" => self.datastores(w),
            "PCI_DEVICES" => w.children(|w, _| {
                self.pci.push(topology::pci_device(w)?);
                Ok(())
            }),
            "NUMA_NODES" => w.children(|w, _| {
                self.numa.push(topology::numa_node(w)?);
                Ok(())
            }),
            name => self.value(w, Section::Share, name),
        })
    }

    fn datastores(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        walker.children(|w, tag| {
            if tag != "DS" {
                return self.value(w, Section::Share, tag);
            }
            let ds = Vector::read(w)?;
            // a listed datastore whose room cannot be read has none
            if let Some(id) = number::id(ds.get("ID")) {
                self.local_datastores.push((DatastoreId(id), Disk(number::integer(ds.get("FREE_MB")).unwrap_or(0))));
            }
            Ok(())
        })
    }

    fn monitoring(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        walker.children(|w, tag| match tag {
            "TIMESTAMP" => {
                self.timestamp = number::integer(&w.text()?);
                Ok(())
            }
            "CAPACITY" | "SYSTEM" => self.section(w, Section::Monitoring),
            _ => w.skip(),
        })
    }

    fn check(mut self) -> (Option<i32>, Host, Odd) {
        let mut odd = Odd::default();
        let attributes = self.attributes;
        let first = |section, name| attributes.first_in(section, name).unwrap_or("");
        let share = |name| first(Section::Share, name);
        let id = number::id(first(Section::Object, "ID"));
        let state = first(Section::Object, "STATE");
        let vms_thread = number::integer(share("VMS_THREAD")).filter(|n| *n > 0).unwrap_or(1);
        self.vms.sort_unstable();
        self.vms.dedup();
        self.local_datastores.sort_by_key(|(id, _)| *id);
        self.local_datastores.dedup_by_key(|(id, _)| *id);
        self.pci.sort_by(|a, b| a.address.cmp(&b.address));
        let used = |name| number::integer(first(Section::Monitoring, name)).filter(|n| *n >= 0);
        // nor can less than nothing be free: what such a probe says is used counts as little
        let overdrawn = ["FREE_CPU", "FREE_MEMORY"]
            .iter()
            .any(|name| number::real(first(Section::Monitoring, name)).is_some_and(|free| free < 0.0));
        let monitoring = match (self.timestamp, used("USED_CPU"), used("USED_MEMORY")) {
            // a host on which VMs run uses some memory: none at all means that the probe failed
            (Some(timestamp), Some(cpu), Some(memory))
                if timestamp > 0 && !overdrawn && (cpu > 0 || memory > 0 || self.vms.is_empty()) =>
            {
                Some(HostMonitoring { timestamp, cpu_used: Cpu(cpu), memory_used: Memory(memory) })
            }
            _ => None,
        };
        let cpu = odd.capacity("HOST_SHARE/MAX_CPU", share("MAX_CPU"));
        let memory = odd.capacity("HOST_SHARE/MAX_MEM", share("MAX_MEM"));
        // a host that was never monitored has no capacity either, and is not closed
        let total = |name| number::integer(share(name));
        let all = (total("TOTAL_CPU"), total("TOTAL_MEM"));
        let reserved = |max: i64, all: Option<i64>| max < 0 || max == 0 && all.is_some_and(|all| all > 0);
        let host = Host {
            closed: reserved(cpu, all.0) || reserved(memory, all.1),
            total: (Cpu(all.0.unwrap_or(cpu).max(cpu)), Memory(all.1.unwrap_or(memory).max(memory))),
            id: HostId(id.unwrap_or(-1)),
            name: first(Section::Object, "NAME").to_owned(),
            enabled: state.is_empty() || matches!(number::integer(state), Some(1 | 2)),
            cluster: ClusterId(number::id(first(Section::Object, "CLUSTER_ID")).unwrap_or(-1)),
            cpu: Cpu(cpu),
            cpu_allocated: Cpu(odd.usage("HOST_SHARE/CPU_USAGE", share("CPU_USAGE"))),
            memory: Memory(memory),
            memory_allocated: Memory(odd.usage("HOST_SHARE/MEM_USAGE", share("MEM_USAGE"))),
            running_vms: odd.usage("HOST_SHARE/RUNNING_VMS", share("RUNNING_VMS")),
            vms: self.vms,
            free_disk: Disk(number::integer(share("FREE_DISK")).unwrap_or(0)),
            local_datastores: self.local_datastores,
            pci: self.pci,
            numa: topology::numa_nodes(self.numa, u32::try_from(vms_thread).unwrap_or(u32::MAX)),
            pinned: first(Section::Template, "PIN_POLICY").eq_ignore_ascii_case("PINNED"),
            monitoring,
            attributes: Attributes::default(),
        };
        (id, Host { attributes, ..host }, odd)
    }
}

//! Makes up PLACE requests (`SCHEDULER_DRIVER_ACTION` documents) of any size.
//!
//! They have the elements, the order and the notation of what a real oned 7.4 sends, and the
//! mix of a busy cloud: two or more clusters, hosts of three sizes of which some are already
//! half full, VMs with an image disk and, mostly, a network card. The free capacity is at
//! least twice the demand, so a good scheduler places every VM. The same shape always gives
//! the same bytes. Nothing is held in memory but a few words per host and VM.

mod cloud;
mod demand;
mod hosts;
mod pools;
mod random;
mod shape;
mod vms;
mod xml;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, BufWriter, Write};

use cloud::Cloud;
use demand::{Nic, Vm, Wish};
pub use shape::Shape;
use shape::{LOCAL_DS, SHARED_DS};
use xml::Xml;

/// Writes the request, as XML in one line, while it is made up.
pub fn write_request(out: &mut impl Write, shape: &Shape) -> io::Result<()> {
    let cloud = Cloud::new(shape).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
    let mut xml = Xml::new(BufWriter::with_capacity(1 << 16, out));
    xml.inside("SCHEDULER_DRIVER_ACTION", |x| {
        x.inside("VM_POOL", |x| vms::write(x, &cloud))?;
        x.inside("HOST_POOL", |x| hosts::write(x, &cloud))?;
        x.inside("DATASTORE_POOL", |x| pools::write_datastores(x, &cloud))?;
        x.inside("VNET_POOL", |x| pools::write_networks(x, &cloud))?;
        pools::write_groups(x, &cloud)?;
        x.inside("CLUSTER_POOL", |_| Ok(()))?;
        x.inside("REQUIREMENTS", |x| write_requirements(x, &cloud))
    })?;
    xml.flush()
}

/// What oned has matched for each pending VM: hosts, system datastores, networks of auto NICs.
fn write_requirements<W: Write>(xml: &mut Xml<W>, cloud: &Cloud) -> io::Result<()> {
    let mut host_lists = HashMap::new();
    for vm in cloud.vms.iter().filter(|vm| vm.running_on.is_none()) {
        let hosts = match host_lists.entry(vm.wish) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(host_list(cloud, vm.wish)?),
        };
        xml.inside("VM", |x| {
            x.plain("ID", vm.id)?;
            x.raw(hosts)?;
            x.ids("DATASTORES", system_datastores(vm))?;
            write_matched_networks(x, cloud, vm)
        })?;
    }
    Ok(())
}

/// `<HOSTS>` of all VMs with this wish; the same text serves thousands of them.
fn host_list(cloud: &Cloud, wish: Wish) -> io::Result<Vec<u8>> {
    let matching = cloud.hosts.iter().filter(|host| host.suits(wish));
    let mut xml = Xml::new(Vec::new());
    xml.ids("HOSTS", matching.map(|host| host.id))?;
    Ok(xml.into_inner())
}

fn system_datastores(vm: &Vm) -> Vec<u32> {
    if vm.wish == Wish::SharedDisk { vec![SHARED_DS] } else { vec![SHARED_DS, LOCAL_DS] }
}

fn write_matched_networks<W: Write>(xml: &mut Xml<W>, cloud: &Cloud, vm: &Vm) -> io::Result<()> {
    let Nic::Auto(choice) = vm.nic else {
        return Ok(());
    };
    let matching = cloud.networks.iter().filter(|network| network.suits(choice));
    xml.inside("NIC", |x| {
        x.plain("ID", 0)?;
        x.ids("VNETS", matching.map(|network| network.id))
    })
}

//! The request that oned writes, as far as a scheduler reads it: the same elements in the same places as in
//! recorded ones.

use super::cloud::{Cloud, HostState, IMAGE_DATASTORE, Phase, SYSTEM_DATASTORE, VmState};
use crate::model::ids::{ClusterId, GroupId, HostId, VmId};
use crate::model::snapshot::RolePolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Name of the role of a group; each has one.
const ROLE: &str = "member";

/// MB of the system datastore: it never gets full.
const ROOM: i64 = 1 << 40;

/// A placement request of VMs that were matched a moment ago, as things stand now.
#[must_use]
pub fn placement(cloud: &Cloud, matched: &[VmId], at: i64) -> String {
    let mut vms: BTreeSet<VmId> = matched.iter().copied().collect();
    let mut hosts: BTreeSet<HostId> = BTreeSet::new();
    let mut offers = Vec::with_capacity(matched.len());
    for id in matched {
        vms.extend(cloud.mates(*id));
        let Some(vm) = cloud.vms.get(id) else { continue };
        let here = vm.host().filter(|_| vm.phase != Phase::Pending);
        let offered = cloud.hosts.iter().filter(|(id, host)| host.is_offered() && Some(**id) != here);
        let offered: Vec<HostId> = offered.map(|(id, _)| *id).collect();
        hosts.extend(&offered);
        offers.push((*id, offered));
    }
    document(cloud, &vms, &hosts, &offers, None, at, "")
}

/// An optimize request of a cluster.
#[must_use]
pub fn optimization(cloud: &Cloud, cluster: ClusterId, one_drs: &str, at: i64) -> String {
    let within = |host: &HostState| host.spec.cluster == cluster.0;
    let hosts: BTreeSet<HostId> =
        cloud.hosts.iter().filter(|(_, host)| within(host) && host.is_offered()).map(|(id, _)| *id).collect();
    let there = cloud.hosts.values().filter(|host| within(host));
    let vms: BTreeSet<VmId> = there.flat_map(|host| host.vms.iter().copied()).collect();
    let all: Vec<HostId> = hosts.iter().copied().collect();
    let offers: Vec<(VmId, Vec<HostId>)> = vms.iter().map(|vm| (*vm, all.clone())).collect();
    document(cloud, &vms, &hosts, &offers, Some(cluster), at, one_drs)
}

fn document(
    cloud: &Cloud,
    vms: &BTreeSet<VmId>,
    hosts: &BTreeSet<HostId>,
    offers: &[(VmId, Vec<HostId>)],
    cluster: Option<ClusterId>,
    at: i64,
    one_drs: &str,
) -> String {
    let listed: usize = offers.iter().map(|(_, offered)| 128 + 14 * offered.len()).sum();
    let mut to = String::with_capacity(vms.len() * 1600 + hosts.len() * 1600 + listed + 4096);
    to.push_str("<SCHEDULER_DRIVER_ACTION><VM_POOL>");
    let mut groups: BTreeMap<GroupId, (RolePolicy, BTreeSet<VmId>)> = BTreeMap::new();
    for state in vms.iter().filter_map(|id| cloud.vms.get(id)) {
        vm(&mut to, state, cluster.is_some());
        if let Some((group, policy)) = state.spec.group {
            let mates = cloud.mates(state.spec.id);
            let members = groups.entry(group).or_insert_with(|| (policy, BTreeSet::new()));
            members.1.extend(mates.into_iter().chain([state.spec.id]));
        }
    }
    to.push_str("</VM_POOL><HOST_POOL>");
    hosts.iter().filter_map(|id| cloud.hosts.get(id)).for_each(|state| host(&mut to, state));
    to.push_str("</HOST_POOL><DATASTORE_POOL>");
    datastores(&mut to, cloud);
    to.push_str("</DATASTORE_POOL><VNET_POOL/><VM_GROUP_POOL>");
    for (id, (policy, members)) in &groups {
        vm_group(&mut to, *id, *policy, members);
    }
    to.push_str("</VM_GROUP_POOL><CLUSTER_POOL>");
    if let Some(id) = cluster {
        let all = cloud.hosts.values().filter(|host| host.spec.cluster == id.0).map(|host| host.spec.id);
        put(&mut to, format_args!("<CLUSTER><ID>{id}</ID><NAME>cluster{id}</NAME><HOSTS>"));
        ids(&mut to, all);
        put(&mut to, format_args!("</HOSTS><TEMPLATE><ONE_DRS>{one_drs}</ONE_DRS></TEMPLATE></CLUSTER>"));
    }
    to.push_str("</CLUSTER_POOL><REQUIREMENTS>");
    // thousands of VMs share a few lists
    let mut written: BTreeMap<&[HostId], String> = BTreeMap::new();
    for (vm, offered) in offers {
        let list = written.entry(offered.as_slice()).or_insert_with(|| {
            let mut list = String::with_capacity(offered.len() * 14);
            ids(&mut list, offered.iter().map(|id| id.0));
            list
        });
        put(&mut to, format_args!("<VM><ID>{vm}</ID><HOSTS>{list}</HOSTS><DATASTORES><ID>{SYSTEM_DATASTORE}</ID>"));
        to.push_str("</DATASTORES></VM>");
    }
    put(&mut to, format_args!("</REQUIREMENTS><!-- {at} --></SCHEDULER_DRIVER_ACTION>"));
    to
}

fn put(to: &mut String, text: std::fmt::Arguments<'_>) {
    // writing to a String cannot fail
    let _ = to.write_fmt(text);
}

fn ids(to: &mut String, all: impl Iterator<Item = i32>) {
    all.for_each(|id| put(to, format_args!("<ID>{id}</ID>")));
}

fn vm(to: &mut String, vm: &VmState, monitored: bool) {
    let id = vm.spec.id;
    let (state, lcm) = match vm.phase {
        Phase::Pending => (1, 0),
        Phase::Starting => (3, 1),
        Phase::Running => (3, 3),
        Phase::Migrating(_) => (3, 4),
        Phase::Failed => (3, 36),
        Phase::Done => (6, 0),
    };
    put(
        to,
        format_args!(
            "<VM><ID>{id}</ID><UID>{owner}</UID><GID>0</GID><NAME>vm{id}</NAME><LAST_POLL>0</LAST_POLL>\
             <STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE><RESCHED>{resched}</RESCHED><ETIME>0</ETIME>",
            owner = vm.spec.template % 7,
            resched = u8::from(vm.resched),
        ),
    );
    match vm.sampled.filter(|_| monitored) {
        Some(sample) => put(
            to,
            format_args!(
                "<MONITORING><CPU><![CDATA[{:.2}]]></CPU><ID>{id}</ID><MEMORY><![CDATA[{:.0}]]></MEMORY>\
                 <TIMESTAMP><![CDATA[{}]]></TIMESTAMP></MONITORING>",
                sample.cpu, sample.memory, sample.at
            ),
        ),
        None => to.push_str("<MONITORING/>"),
    }
    put(to, format_args!("<TEMPLATE><CPU><![CDATA[{}.{:02}]]></CPU>", vm.cpu / 100, vm.cpu % 100));
    if vm.spec.disk > 0 {
        put(
            to,
            format_args!(
                "<DISK><CLONE>YES</CLONE><CLONE_TARGET>SYSTEM</CLONE_TARGET><DATASTORE_ID>{IMAGE_DATASTORE}</DATASTORE_ID>\
                 <DISK_ID>0</DISK_ID><IMAGE_ID>{}</IMAGE_ID><LN_TARGET>NONE</LN_TARGET><SIZE>{}</SIZE><TYPE>FILE</TYPE></DISK>",
                vm.spec.template, vm.spec.disk
            ),
        );
    }
    put(
        to,
        format_args!(
            "<MEMORY><![CDATA[{}]]></MEMORY><TEMPLATE_ID><![CDATA[{}]]></TEMPLATE_ID><VMID><![CDATA[{id}]]></VMID>",
            vm.memory / 1024,
            vm.spec.template
        ),
    );
    if let Some((group, _)) = vm.spec.group {
        put(to, format_args!("<VMGROUP><ROLE>{ROLE}</ROLE><VMGROUP_ID>{group}</VMGROUP_ID></VMGROUP>"));
    }
    to.push_str("</TEMPLATE><USER_TEMPLATE>");
    if !vm.error.is_empty() {
        put(to, format_args!("<ERROR><![CDATA[{}]]></ERROR>", vm.error));
    }
    to.push_str("</USER_TEMPLATE><HISTORY_RECORDS>");
    for record in &vm.records {
        put(
            to,
            format_args!(
                "<HISTORY><OID>{id}</OID><SEQ>{}</SEQ><HOSTNAME>host{host}</HOSTNAME><HID>{host}</HID><STIME>{began}</STIME>\
                 <ETIME>{}</ETIME><DS_ID>{SYSTEM_DATASTORE}</DS_ID><PSTIME>{began}</PSTIME><RSTIME>{}</RSTIME>\
                 <ACTION>0</ACTION></HISTORY>",
                record.sequence,
                record.ended,
                record.ran,
                host = record.host,
                began = record.began,
            ),
        );
    }
    to.push_str("</HISTORY_RECORDS></VM>");
}

fn host(to: &mut String, host: &HostState) {
    let spec = &host.spec;
    put(
        to,
        format_args!(
            "<HOST><ID>{id}</ID><NAME>host{id}</NAME><STATE>2</STATE><CLUSTER_ID>{cluster}</CLUSTER_ID>\
             <CLUSTER>cluster{cluster}</CLUSTER><HOST_SHARE><MEM_USAGE>{mem}</MEM_USAGE><CPU_USAGE>{cpu}</CPU_USAGE>\
             <TOTAL_MEM>{max_mem}</TOTAL_MEM><TOTAL_CPU>{max_cpu}</TOTAL_CPU><MAX_MEM>{max_mem}</MAX_MEM>\
             <MAX_CPU>{max_cpu}</MAX_CPU><RUNNING_VMS>{vms}</RUNNING_VMS><VMS_THREAD>1</VMS_THREAD><DATASTORES>\
             <DISK_USAGE>0</DISK_USAGE><FREE_DISK>195080</FREE_DISK><MAX_DISK>204800</MAX_DISK></DATASTORES>\
             <PCI_DEVICES/><NUMA_NODES/></HOST_SHARE><VMS>",
            id = spec.id,
            cluster = spec.cluster,
            mem = host.allocated.1,
            cpu = host.allocated.0,
            max_mem = spec.memory,
            max_cpu = spec.cpu,
            vms = host.vms.len(),
        ),
    );
    ids(to, host.vms.iter().map(|id| id.0));
    to.push_str("</VMS><TEMPLATE>");
    for (name, value) in &spec.attributes {
        put(to, format_args!("<{name}><![CDATA[{value}]]></{name}>"));
    }
    to.push_str("</TEMPLATE>");
    match host.sampled {
        Some(sample) => put(
            to,
            format_args!(
                "<MONITORING><TIMESTAMP>{}</TIMESTAMP><ID>{}</ID><CAPACITY><FREE_CPU>{}</FREE_CPU>\
                 <USED_CPU>{}</USED_CPU><USED_MEMORY>{}</USED_MEMORY></CAPACITY><SYSTEM/></MONITORING>",
                sample.at,
                spec.id,
                (spec.cpu as f64 - sample.cpu).round().max(0.0),
                sample.cpu.round(),
                sample.memory.round(),
            ),
        ),
        None => to.push_str("<MONITORING/>"),
    }
    to.push_str("<CLUSTER_TEMPLATE/></HOST>");
}

fn datastores(to: &mut String, cloud: &Cloud) {
    let clusters: BTreeSet<i32> = cloud.hosts.values().map(|host| host.spec.cluster).collect();
    for (id, kind) in [(IMAGE_DATASTORE, 0), (SYSTEM_DATASTORE, 1)] {
        put(to, format_args!("<DATASTORE><ID>{id}</ID><NAME>store{id}</NAME><TYPE>{kind}</TYPE><CLUSTERS>"));
        ids(to, clusters.iter().copied());
        put(
            to,
            format_args!(
                "</CLUSTERS><TOTAL_MB>{ROOM}</TOTAL_MB><FREE_MB>{ROOM}</FREE_MB><USED_MB>0</USED_MB>\
                 <TEMPLATE><SHARED>YES</SHARED></TEMPLATE></DATASTORE>"
            ),
        );
    }
}

fn vm_group(to: &mut String, id: GroupId, policy: RolePolicy, members: &BTreeSet<VmId>) {
    let policy = match policy {
        RolePolicy::None => "NONE",
        RolePolicy::Affined => "AFFINED",
        RolePolicy::AntiAffined => "ANTI_AFFINED",
    };
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    put(
        to,
        format_args!(
            "<VM_GROUP><ID>{id}</ID><NAME>group{id}</NAME><ROLES><ROLE><ID>0</ID><NAME>{ROLE}</NAME>\
             <POLICY>{policy}</POLICY><VMS>{}</VMS></ROLE></ROLES><TEMPLATE/></VM_GROUP>",
            members.join(",")
        ),
    );
}

//! Writes `DATASTORE_POOL`, `VNET_POOL` and `VM_GROUP_POOL`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::cloud::{Cloud, Network};
use super::demand::{Nic, PAIRED};
use super::shape::{IMAGE_DS, LOCAL_DS, SHARED_DS};
use super::xml::{Xml, data, plain};

/// Size of an image disk in MB, of which the shared system datastore holds plenty.
const DISK_MB: u64 = 10_240;

/// A datastore; `kind` is 0 image, 1 system, 2 file; sizes in MB.
struct Datastore {
    id: u32,
    name: &'static str,
    driver: &'static str,
    kind: u8,
    clusters: Vec<u32>,
    total: u64,
    used: u64,
    images: &'static [u32],
}

/// The three datastores of a fresh `OpenNebula`, then those in use.
pub fn write_datastores<W: Write>(x: &mut Xml<W>, cloud: &Cloud) -> io::Result<()> {
    let own = |id, name, driver, kind, total, used, images| Datastore {
        id,
        name,
        driver,
        kind,
        clusters: cloud.clusters.clone(),
        total,
        used,
        images,
    };
    let stock = |id, name, kind, total, used| Datastore {
        id,
        name,
        driver: "dummy",
        kind,
        clusters: vec![0],
        total,
        used,
        images: &[],
    };
    let running: usize = cloud.hosts.iter().map(|host| host.running.len()).sum();
    let used = 2_000_000 + DISK_MB * running as u64;
    let total = used + 88_000_000.max(6 * DISK_MB * cloud.vms.len() as u64);
    let datastores = [
        stock(0, "system", 1, 4_796_800, 1_429_920),
        stock(1, "default", 0, 20_480, 9720),
        stock(2, "files", 2, 20_480, 9720),
        own(SHARED_DS, "s-shared", "shared", 1, total, used, &[]),
        own(LOCAL_DS, "s-ssh", "ssh", 1, 0, 0, &[]),
        own(IMAGE_DS, "s-img", "shared", 0, 20_480, 9720, &[2, 3]),
    ];
    datastores.iter().try_for_each(|ds| x.inside("DATASTORE", |x| ds.write(x)))
}

impl Datastore {
    fn write<W: Write>(&self, x: &mut Xml<W>) -> io::Result<()> {
        // Only system datastores are filled up to their size in the captures.
        let free = if self.kind == 1 { self.total - self.used } else { self.total };
        x.owned(self.id, self.name, 1)?;
        data!(x; DS_MAD: if self.kind == 1 { "-" } else { "dummy" }, TM_MAD: self.driver,
            BASE_PATH: format_args!("/var/lib/one//datastores/{}", self.id))?;
        plain!(x; TYPE: self.kind, DISK_TYPE: 0, STATE: 0)?;
        x.ids("CLUSTERS", self.clusters.iter().copied())?;
        plain!(x; TOTAL_MB: self.total, FREE_MB: free, USED_MB: self.used)?;
        x.ids("IMAGES", self.images.iter().copied())?;
        x.inside("TEMPLATE", |x| match self.kind {
            1 => self.write_system_template(x),
            _ => self.write_image_template(x),
        })
    }

    fn write_system_template<W: Write>(&self, x: &mut Xml<W>) -> io::Result<()> {
        let orphans = match self.driver {
            "dummy" => "NO",
            "ssh" => "YES",
            _ => "FORMAT",
        };
        data!(x; ALLOW_ORPHANS: orphans, DISK_TYPE: "FILE", DS_LIVE_MIGRATE: "YES",
            DS_MIGRATE: "YES", DS_MIGRATE_SNAP: "YES")?;
        if self.driver == "shared" {
            data!(x; LAB_TOTAL_MB: self.total, LAB_USED_MB: self.used)?;
        }
        let shared = if self.driver == "ssh" { "NO" } else { "YES" };
        data!(x; PERSISTENT_SNAPSHOTS: "YES", RESTRICTED_DIRS: "/", SAFE_DIRS: "/var/tmp",
            SHARED: shared, TM_MAD: self.driver, TYPE: "SYSTEM_DS")
    }

    fn write_image_template<W: Write>(&self, x: &mut Xml<W>) -> io::Result<()> {
        let with_ssh = self.driver == "shared";
        data!(x; ALLOW_ORPHANS: if with_ssh { "FORMAT" } else { "NO" }, CLONE_TARGET: "SYSTEM")?;
        if with_ssh {
            data!(x; CLONE_TARGET_SSH: "SYSTEM")?;
        }
        if self.kind == 0 {
            data!(x; DISK_TYPE: "FILE")?;
        }
        if with_ssh {
            data!(x; DISK_TYPE_SSH: "FILE")?;
        }
        data!(x; DS_MAD: "dummy", LN_TARGET: "NONE")?;
        if with_ssh {
            data!(x; LN_TARGET_SSH: "SYSTEM")?;
        }
        data!(x; PERSISTENT_SNAPSHOTS: "YES", RESTRICTED_DIRS: "/", SAFE_DIRS: "/var/tmp",
            TM_MAD: self.driver)?;
        if with_ssh {
            data!(x; TM_MAD_SYSTEM: "ssh")?;
        }
        x.data("TYPE", if self.kind == 0 { "IMAGE_DS" } else { "FILE_DS" })
    }
}

pub fn write_networks<W: Write>(x: &mut Xml<W>, cloud: &Cloud) -> io::Result<()> {
    let fixed: Vec<u32> = cloud.vms.iter().filter(|vm| matches!(vm.nic, Nic::Fixed(_))).map(|vm| vm.id).collect();
    cloud.networks.iter().try_for_each(|network| {
        let holders = if network.cluster.is_none() { fixed.as_slice() } else { &[] };
        x.inside("VNET", |x| write_network(x, cloud, network, holders))
    })
}

/// `holders` are the VMs that have a lease already, in the order of their leases.
fn write_network<W: Write>(x: &mut Xml<W>, cloud: &Cloud, network: &Network, holders: &[u32]) -> io::Result<()> {
    let bridge = format!("br{}", network.id - 4);
    let device = if network.cluster == Some(0) { "eth0" } else { "" };
    x.owned(network.id, &network.name, 0)?;
    match network.cluster {
        Some(index) => x.ids("CLUSTERS", [cloud.clusters[index as usize]])?,
        None => x.ids("CLUSTERS", cloud.clusters.iter().copied())?,
    }
    data!(x; BRIDGE: bridge, BRIDGE_TYPE: "linux", STATE: 1, PREV_STATE: 1)?;
    x.empty("PARENT_NETWORK_ID")?;
    x.empty("TEMPLATE_ID")?;
    x.data("VN_MAD", "dummy")?;
    if device.is_empty() {
        x.empty("PHYDEV")?;
    } else {
        x.data("PHYDEV", device)?;
    }
    x.empty("VLAN_ID")?;
    x.empty("OUTER_VLAN_ID")?;
    plain!(x; VLAN_ID_AUTOMATIC: 0, OUTER_VLAN_ID_AUTOMATIC: 0, USED_LEASES: holders.len())?;
    x.ids("VROUTERS", [])?;
    x.ids("UPDATED_VMS", holders.iter().copied())?;
    ["OUTDATED_VMS", "UPDATING_VMS", "ERROR_VMS"].iter().try_for_each(|tag| x.ids(tag, []))?;
    x.inside("TEMPLATE", |x| {
        data!(x; BRIDGE: bridge, BRIDGE_TYPE: "linux", OUTER_VLAN_ID: "", PHYDEV: device,
            SECURITY_GROUPS: 0, TIER: if network.gold { "gold" } else { "silver" }, VLAN_ID: "",
            VN_MAD: "dummy")
    })?;
    x.inside("AR_POOL", |x| {
        (0..).zip(&network.ranges).try_for_each(|(range, size)| {
            let holders = if range == 0 { holders } else { &[] };
            let address = address(16 + network.id, range << 8);
            x.inside("AR", |x| write_range(x, range, *size, address, holders))
        })
    })
}

fn write_range<W: Write>(
    x: &mut Xml<W>,
    range: u32,
    size: u32,
    (ip, mac): (String, String),
    holders: &[u32],
) -> io::Result<()> {
    if !holders.is_empty() {
        // Pairs of an index in the range and its owner; bit 36 marks a VM.
        let lease = |(index, vm): (u32, &u32)| format!(" {index} {}", 1 << 36 | u64::from(*vm));
        x.data("ALLOCATED", (0..).zip(holders).map(lease).collect::<String>())?;
    }
    data!(x; AR_ID: range, IP: ip, MAC: mac, NEXT_INDEX: holders.len(), SHARED: "NO", SIZE: size,
        TYPE: "IP4")
}

/// IP and MAC address of a lease, in the network that begins at 10.`second`.0.1.
pub fn address(second: u32, lease: u32) -> (String, String) {
    let [_, high, middle, low] = (lease + 1).to_be_bytes();
    let second = second + u32::from(high);
    (format!("10.{second}.{middle}.{low}"), format!("02:00:0a:{second:02x}:{middle:02x}:{low:02x}"))
}

/// VM ids of each role, by VM group.
type Groups<'a> = BTreeMap<u32, Vec<(&'a str, Vec<String>)>>;

pub fn write_groups<W: Write>(x: &mut Xml<W>, cloud: &Cloud) -> io::Result<()> {
    let mut groups = Groups::new();
    for (vm, (group, role)) in cloud.vms.iter().filter_map(|vm| Some((vm.id, vm.role?))) {
        let roles = groups.entry(group).or_default();
        match roles.iter_mut().find(|(name, _)| *name == role) {
            Some((_, members)) => members.push(vm.to_string()),
            None => roles.push((role, vec![vm.to_string()])),
        }
    }
    if groups.is_empty() {
        return x.empty("VM_GROUP_POOL");
    }
    x.inside("VM_GROUP_POOL", |x| {
        groups.iter().try_for_each(|(group, roles)| x.inside("VM_GROUP", |x| write_group(x, cloud, *group, roles)))
    })
}

fn write_group<W: Write>(x: &mut Xml<W>, cloud: &Cloud, group: u32, roles: &[(&str, Vec<String>)]) -> io::Result<()> {
    x.owned(group, &format!("vmg{group}"), 0)?;
    x.inside("ROLES", |x| {
        (0..).zip(roles).try_for_each(|(id, (role, members))| {
            x.inside("ROLE", |x| write_role(x, cloud, group, id, role, &members.join(",")))
        })
    })?;
    x.inside("TEMPLATE", |x| {
        if roles[0].0 == PAIRED[0] {
            data!(x; AFFINED: "x,y", ANTI_AFFINED: "z,w")?;
        } else {
            data!(x; ANTI_AFFINED: "web,db")?;
        }
        Ok(())
    })
}

fn write_role<W: Write>(
    x: &mut Xml<W>,
    cloud: &Cloud,
    group: u32,
    id: u32,
    role: &str,
    members: &str,
) -> io::Result<()> {
    // Each group names other hosts; six in a row have at most one pinned host among them.
    let mut named = cloud.hosts.iter().cycle().skip(6 * group as usize % cloud.hosts.len());
    let mut name = |count| {
        let ids: Vec<String> = named.by_ref().take(count).map(|host| host.id.to_string()).collect();
        ids.join(",")
    };
    match role {
        "cache" => data!(x; HOST_AFFINED: name(6))?,
        "nohost" => data!(x; HOST_ANTI_AFFINED: name(1))?,
        _ => (),
    }
    data!(x; ID: id, NAME: role)?;
    match role {
        "web" => data!(x; POLICY: "ANTI_AFFINED")?,
        "db" => data!(x; POLICY: "AFFINED")?,
        _ => (),
    }
    x.data("VMS", members)
}

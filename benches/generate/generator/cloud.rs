//! The cloud a request tells of: clusters, hosts and what runs there, networks, pending VMs.

use super::demand::{self, Choice, Nic, Size, TIERED, Vm, Wish};
use super::random::Random;
use super::shape::Shape;

const FIRST_CLUSTER: u32 = 100;
/// Hosts per additional cluster; there are two clusters at least.
const CLUSTER_HOSTS: u32 = 500;
/// VM groups and special hosts need this many hosts to make sense.
const MIN_HOSTS_FOR_EXTRAS: u32 = 10;
/// Memory of every host, in KB per core.
pub const KB_PER_CORE: u32 = 4 * 1024 * 1024;
/// The `RACK` labels, dealt to hosts in turn.
pub const RACKS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// NUMA nodes and PCI devices, only for pinned VMs.
    Pinned,
    /// NUMA nodes and PCI devices, for all others.
    Devices,
}

pub struct Host {
    pub id: u32,
    /// Index of the cluster, from 0.
    pub cluster: u32,
    pub kind: Kind,
    pub cores: u32,
    /// Grams of CO2 per kWh.
    pub carbon: u32,
    pub renewable: &'static str,
    pub rack: &'static str,
    /// VMs that run here: id and size, by id.
    pub running: Vec<(u32, Size)>,
    /// Load of the host itself: percent of a core, MB.
    pub base_cpu: u32,
    pub base_memory_mb: u32,
    /// Size and used part of its local system datastore.
    pub local_mb: u32,
    pub local_used_mb: u32,
}

impl Host {
    pub fn suits(&self, wish: Wish) -> bool {
        let pinned = self.kind == Kind::Pinned;
        match wish {
            Wish::Pinned => pinned,
            Wish::Anywhere | Wish::SharedDisk => !pinned,
            Wish::LowCarbon => !pinned && self.carbon < 400,
            Wish::Rack => !pinned && self.rack == RACKS[0],
            Wish::FirstCluster => !pinned && self.cluster == 0,
        }
    }

    /// Allocated to running VMs, in percent of a core.
    pub fn cpu_usage(&self) -> u32 {
        self.running.iter().map(|(_, size)| size.cpu).sum()
    }

    /// Allocated to running VMs, in MB.
    pub fn memory_usage_mb(&self) -> u32 {
        self.running.iter().map(|(_, size)| size.memory_mb).sum()
    }
}

pub struct Network {
    pub id: u32,
    pub name: String,
    pub gold: bool,
    /// Index of its only cluster; None serves all.
    pub cluster: Option<u32>,
    /// Addresses in each address range.
    pub ranges: Vec<u32>,
}

impl Network {
    pub fn suits(&self, choice: Choice) -> bool {
        choice != Choice::Gold || self.gold
    }
}

pub struct Cloud {
    pub clusters: Vec<u32>,
    pub hosts: Vec<Host>,
    /// `VM_POOL` by id: running members of VM groups, then the pending VMs.
    pub vms: Vec<Vm>,
    /// Empty when no VM has an auto NIC, as oned leaves them out then.
    pub networks: Vec<Network>,
    /// Continues where the cloud's own numbers end: UUIDs, counters.
    pub seed: u64,
}

impl Cloud {
    pub fn new(shape: &Shape) -> Result<Self, String> {
        check(shape)?;
        let mut random = Random::new(shape.seed);
        let clusters = (2 + shape.hosts / CLUSTER_HOSTS).min(shape.hosts);
        let (hosts, mut vms) = roomy(shape, &mut random, clusters);
        let mut pool = running_members(&hosts, &vms);
        pool.append(&mut vms);
        Ok(Self {
            clusters: (FIRST_CLUSTER..FIRST_CLUSTER + clusters).collect(),
            networks: networks(&pool, clusters),
            hosts,
            vms: pool,
            seed: random.next(),
        })
    }

    /// The hosts' cluster ids, joined.
    pub fn cluster_list(&self, separator: &str, format: impl Fn(&u32) -> String) -> String {
        self.clusters.iter().map(format).collect::<Vec<_>>().join(separator)
    }
}

fn check(shape: &Shape) -> Result<(), String> {
    let least = if shape.groups || shape.pinned { MIN_HOSTS_FOR_EXTRAS } else { 1 };
    if shape.hosts < least {
        return Err(format!("the request needs {least} hosts or more, not {}", shape.hosts));
    }
    Ok(())
}

/// Hosts and pending VMs; the hosts are made larger until twice the demand is free.
fn roomy(shape: &Shape, random: &mut Random, clusters: u32) -> (Vec<Host>, Vec<Vm>) {
    let mut scale = 1;
    loop {
        let mut hosts: Vec<Host> = (0..shape.hosts).map(|index| host(shape, random, index, clusters, scale)).collect();
        let first_pending = number_running_vms(&mut hosts, random);
        let of_kind = |kind| hosts.iter().map(|host| u32::from(host.kind == kind)).sum();
        let special = [Kind::Pinned, Kind::Devices].map(of_kind);
        let vms = demand::pending(shape, random, first_pending, special);
        let free = |host: &Host| u64::from(100 * host.cores - host.cpu_usage());
        let plain = hosts.iter().filter(|host| host.kind == Kind::Plain);
        let demand: u64 = vms.iter().map(|vm| u64::from(vm.size.cpu)).sum();
        if plain.map(free).sum::<u64>() >= 2 * demand {
            return (hosts, vms);
        }
        scale *= 2;
    }
}

fn host(shape: &Shape, random: &mut Random, index: u32, clusters: u32, scale: u32) -> Host {
    let kind = match index % 10 {
        5 if shape.pinned => Kind::Pinned,
        7 if shape.pinned => Kind::Devices,
        _ => Kind::Plain,
    };
    let plain = kind == Kind::Plain;
    let cores = if plain { scale * random.pick(&[16, 32, 64]) } else { 16 };
    let load = if plain { random.pick(&[0, 0, 10, 30, 50, 50, 60, 75]) } else { 0 };
    let carbon = random.pick(&[20, 20, 50, 50, 120, 120, 300, 450, 700, 700]);
    Host {
        id: index,
        cluster: index % clusters,
        kind,
        cores,
        // Every wish must find a host, and the first one meets them all.
        carbon: if index == 0 { 20 } else { carbon },
        renewable: random.pick(&["YES", "NO", "0.65", "0.2"]),
        rack: RACKS[index as usize % RACKS.len()],
        running: running_vms(random, cores * load),
        base_cpu: random.below(320),
        base_memory_mb: random.below(8000),
        local_mb: 500_000 * scale,
        local_used_mb: 25_000 + random.below(60_000),
    }
}

/// VMs that use up to `cpu` percent of a core together; still without ids.
fn running_vms(random: &mut Random, cpu: u32) -> Vec<(u32, Size)> {
    let mut left = cpu;
    let fitting = std::iter::from_fn(|| {
        let size = Size::random(random);
        left = left.checked_sub(size.cpu)?;
        Some((0, size))
    });
    fitting.collect()
}

/// Gives the running VMs ids from 0 on, scattered over the hosts. Returns the next free id.
fn number_running_vms(hosts: &mut [Host], random: &mut Random) -> u32 {
    let running = hosts.iter().map(|host| count(&host.running)).sum();
    let mut ids: Vec<u32> = (0..running).collect();
    random.shuffle(&mut ids);
    let mut scattered = ids.into_iter();
    for host in hosts {
        for ((vm, _), id) in host.running.iter_mut().zip(&mut scattered) {
            *vm = id;
        }
        host.running.sort_unstable_by_key(|(id, _)| *id);
    }
    running
}

/// Length of a list, which is never near the limit.
fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// One member that already runs in the first role of each tiered VM group, by id.
fn running_members(hosts: &[Host], pending: &[Vm]) -> Vec<Vm> {
    let mut groups: Vec<u32> = pending.iter().filter_map(|vm| vm.role).map(|role| role.0).collect();
    groups.retain(|group| group % 2 == 1);
    groups.dedup();
    let everywhere = hosts
        .iter()
        .enumerate()
        .flat_map(|(index, host)| host.running.iter().map(move |&(id, size)| (index, id, size)));
    let step = (everywhere.clone().count() / groups.len().max(1)).max(1);
    let member = |(group, (index, id, size)): (u32, (usize, u32, Size))| Vm {
        id,
        size,
        wish: Wish::Anywhere,
        nic: Nic::None,
        special: demand::Special::None,
        role: Some((group, TIERED[0])),
        running_on: Some(index),
    };
    let mut members: Vec<Vm> = groups.into_iter().zip(everywhere.step_by(step)).map(member).collect();
    members.sort_unstable_by_key(|vm| vm.id);
    members
}

/// A big network for all clusters with room for every NIC, and a small one per cluster.
fn networks(vms: &[Vm], clusters: u32) -> Vec<Network> {
    if !vms.iter().any(|vm| matches!(vm.nic, Nic::Auto(_))) {
        return Vec::new();
    }
    let ranges = vec![count(vms) + 254];
    let big = Network { id: 4, name: "s-net".into(), gold: true, cluster: None, ranges };
    let small = (0..clusters).map(|cluster| Network {
        id: 5 + cluster,
        name: format!("net-c{cluster}"),
        gold: cluster % 2 == 1,
        cluster: Some(cluster),
        ranges: vec![100, 150],
    });
    std::iter::once(big).chain(small).collect()
}

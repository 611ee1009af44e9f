//! Clusters in the making, for tests of optimizations: VMs with what they use, on hosts whose
//! allocation and samples follow from them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // not every test uses all of it

use super::request::{Host, Request, Vm, datastore, host, request, vm};
use oneaio::decide::{self, Optimized};
use oneaio::model::history::Recall;
use oneaio::model::ids::VmId;
use oneaio::model::plan::Plan;
use oneaio::model::policy::Policy;
use oneaio::placement::check;
use std::collections::BTreeMap;

pub const NOW: i64 = 1_795_444_863;

/// A VM that runs on a host and uses so much CPU (percent of a core) and memory (MB).
#[derive(Clone)]
pub struct Resident {
    pub vm: Vm,
    pub cpu: f64,
    pub memory: i64,
    /// Forecast of CPU.
    pub forecast: Option<f64>,
}

/// One of `cores` cores and 1 GiB that uses `cpu` percent of a core.
pub fn resident(id: i32, host: i32, cores: &str, cpu: f64) -> Resident {
    let vm = Vm { state: 3, history: Some((host, 0, 0)), ..vm(id, &[]) }.cpu(cores);
    Resident { vm, cpu, memory: 512, forecast: None }
}

impl Resident {
    pub fn change(self, change: impl FnOnce(Vm) -> Vm) -> Self {
        Self { vm: change(self.vm), ..self }
    }

    pub fn memory(self, megabytes: i64) -> Self {
        Self { memory: megabytes, ..self.change(|vm| vm.memory(megabytes)) }
    }

    fn on(&self) -> i32 {
        self.vm.history.unwrap().0
    }

    fn cores(&self) -> i64 {
        (self.vm.cpu.parse::<f64>().unwrap() * 100.0) as i64
    }

    fn document(&self, hosts: &[i32]) -> Vm {
        let forecast = self.forecast.map_or(String::new(), |cpu| {
            format!("<CPU_FORECAST>{cpu}</CPU_FORECAST><MEMORY_FORECAST>{}</MEMORY_FORECAST>", self.memory * 1024)
        });
        let mut vm = self.vm.clone();
        vm.hosts = vm.hosts.map(|only| if only.is_empty() { hosts.to_vec() } else { only });
        vm.more += &format!(
            "<MONITORING><TIMESTAMP>{NOW}</TIMESTAMP><CPU>{}</CPU><MEMORY>{}</MEMORY>{forecast}</MONITORING>",
            self.cpu,
            self.memory * 1024
        );
        vm
    }
}

/// A cluster with ID 5.
#[derive(Clone)]
pub struct Cluster {
    pub hosts: Vec<Host>,
    pub residents: Vec<Resident>,
    pub groups: Vec<String>,
    pub datastores: Vec<String>,
    /// Inside ONE_DRS.
    pub drs: String,
    /// Hosts that CLUSTER lists besides those of HOST_POOL.
    pub hidden: Vec<i32>,
}

/// So many empty hosts of 8 cores and 16 GiB, from ID 1.
pub fn cluster(hosts: i32, residents: &[Resident]) -> Cluster {
    Cluster {
        hosts: (1..=hosts).map(host).collect(),
        residents: residents.to_vec(),
        groups: Vec::new(),
        datastores: vec![datastore(0, 1, &[0], 1_000_000, "")],
        drs: String::new(),
        hidden: Vec::new(),
    }
}

impl Cluster {
    pub fn drs(self, name: &str, value: &str) -> Self {
        Self { drs: format!("{}<{name}><![CDATA[{value}]]></{name}>", self.drs), ..self }
    }

    pub fn group(mut self, xml: String) -> Self {
        self.groups.push(xml);
        self
    }

    pub fn request(&self) -> Request {
        let ids: Vec<i32> = self.hosts.iter().map(|host| host.id).collect();
        let hosts = self.hosts.iter().map(|host| {
            let here: Vec<&Resident> = self.residents.iter().filter(|one| one.on() == host.id).collect();
            let memory: i64 = here.iter().map(|one| one.vm.memory_mb * 1024).sum();
            let used: f64 = here.iter().map(|one| one.cpu).sum();
            let used_memory: i64 = here.iter().map(|one| one.memory * 1024).sum();
            let vms: Vec<i32> = here.iter().map(|one| one.vm.id).collect();
            host.clone()
                .cpu(host.cpu.0, here.iter().map(|one| one.cores()).sum())
                .memory(host.memory.0, memory)
                .vms(&vms)
                .sample(NOW, used as i64, used_memory)
        });
        let vms: Vec<Vm> = self.residents.iter().map(|one| one.document(&ids)).collect();
        let mut request = request(&hosts.collect::<Vec<_>>(), &vms);
        request.groups.clone_from(&self.groups);
        request.datastores.clone_from(&self.datastores);
        let listed: String = ids.iter().chain(&self.hidden).map(|id| format!("<ID>{id}</ID>")).collect();
        request.clusters = format!(
            "<CLUSTER><ID>5</ID><NAME>test</NAME><HOSTS>{listed}</HOSTS><TEMPLATE><ONE_DRS>{}</ONE_DRS></TEMPLATE></CLUSTER>",
            self.drs
        );
        request
    }

    pub fn optimize(&self) -> Outcome {
        self.optimize_with(&Policy::default())
    }

    /// Optimizes, and has the independent judge look at every step.
    pub fn optimize_with(&self, policy: &Policy) -> Outcome {
        let snapshot = decide::read(self.request().xml().into_bytes()).expect("a readable request");
        let optimized = decide::optimize(snapshot, None, &Recall::default(), policy).expect("a cluster");
        assert!(optimized.dropped.is_empty(), "the planner broke a rule: {:?}", optimized.dropped);
        let cluster = &optimized.snapshot.clusters[0];
        let own = cluster.drs.over(policy);
        let found = check::migration_breaches(&optimized.snapshot, cluster, &optimized.migrated.plan, &own);
        assert!(found.is_empty(), "the plan breaks a rule: {found:?}");
        Outcome(optimized)
    }

    /// The cluster after a plan.
    pub fn after(&self, plan: &Plan) -> Self {
        let mut after = self.clone();
        for action in &plan.actions {
            let one = after.residents.iter_mut().find(|one| VmId(one.vm.id) == action.vm).unwrap();
            let (_, datastore, last) = one.vm.history.unwrap();
            one.vm.history = Some((action.host.0, datastore, last));
        }
        after
    }

    /// VMs on each host.
    pub fn spread(&self) -> BTreeMap<i32, usize> {
        let mut spread: BTreeMap<i32, usize> = self.hosts.iter().map(|host| (host.id, 0)).collect();
        for one in &self.residents {
            *spread.entry(one.on()).or_default() += 1;
        }
        spread
    }
}

/// An optimization, easy to ask.
pub struct Outcome(pub Optimized);

impl Outcome {
    pub fn plan(&self) -> &Plan {
        &self.0.migrated.plan
    }

    /// (VM, host) in the plan's order.
    pub fn moves(&self) -> Vec<(i32, i32)> {
        self.plan().actions.iter().map(|action| (action.vm.0, action.host.0)).collect()
    }

    pub fn notices(&self) -> String {
        let notices = self.0.migrated.notices.iter();
        notices.map(|notice| format!("{}: {}\n", notice.subject, notice.text)).collect()
    }

    /// Why a VM may not be moved.
    pub fn stays(&self, vm: i32) -> String {
        let staying = self.0.migrated.staying.iter();
        staying.filter(|(id, _)| id.0 == vm).map(|(_, reason)| reason.clone()).collect()
    }
}

//! Small requests, written as oned writes them, for tests that look at one rule each.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // not every test uses all of it

use oneaio::decide::{self, Decided};
use oneaio::model::ids::VmId;
use oneaio::model::plan::Action;
use oneaio::model::policy::Policy;
use oneaio::placement::check;
use std::fmt::Write;

/// A VM of VM_POOL and, when schedulable, of REQUIREMENTS.
#[derive(Clone)]
pub struct Vm {
    pub id: i32,
    pub cpu: String,
    pub memory_mb: i64,
    pub state: i32,
    pub resched: bool,
    /// Inside TEMPLATE.
    pub template: String,
    /// Inside USER_TEMPLATE.
    pub user_template: String,
    /// Directly inside VM, such as MONITORING or LCM_STATE.
    pub more: String,
    /// (HID, DS_ID, ACTION) of its last HISTORY record.
    pub history: Option<(i32, i32, i32)>,
    /// `None`: not in REQUIREMENTS.
    pub hosts: Option<Vec<i32>>,
    pub datastores: Vec<i32>,
    pub nics: Vec<(i32, Vec<i32>)>,
}

/// A pending VM of one core and 1 GiB that may go to the hosts named.
pub fn vm(id: i32, hosts: &[i32]) -> Vm {
    Vm {
        id,
        cpu: "1".to_owned(),
        memory_mb: 1024,
        state: 1,
        resched: false,
        template: String::new(),
        user_template: String::new(),
        more: String::new(),
        history: None,
        hosts: Some(hosts.to_vec()),
        datastores: vec![0],
        nics: Vec::new(),
    }
}

/// A VM that runs on a host and is not to be placed.
pub fn running(id: i32, host: i32) -> Vm {
    Vm { state: 3, history: Some((host, 0, 0)), hosts: None, ..vm(id, &[]) }
}

impl Vm {
    pub fn cpu(self, cores: &str) -> Self {
        Self { cpu: cores.to_owned(), ..self }
    }

    pub fn memory(self, megabytes: i64) -> Self {
        Self { memory_mb: megabytes, ..self }
    }

    pub fn template(mut self, xml: &str) -> Self {
        self.template.push_str(xml);
        self
    }

    pub fn user(mut self, name: &str, value: &str) -> Self {
        write!(self.user_template, "<{name}><![CDATA[{value}]]></{name}>").unwrap();
        self
    }

    pub fn group(self, group: i32, role: &str) -> Self {
        self.template(&format!("<VMGROUP><ROLE><![CDATA[{role}]]></ROLE><VMGROUP_ID>{group}</VMGROUP_ID></VMGROUP>"))
    }

    pub fn datastores(self, ids: &[i32]) -> Self {
        Self { datastores: ids.to_vec(), ..self }
    }

    /// An image disk of so many MB, cloned to SYSTEM or SELF.
    pub fn disk(self, megabytes: i64, target: &str, datastore: i32) -> Self {
        self.template(&format!(
            "<DISK><CLONE>YES</CLONE><CLONE_TARGET>{target}</CLONE_TARGET><DATASTORE_ID>{datastore}</DATASTORE_ID>\
             <SIZE>{megabytes}</SIZE></DISK>"
        ))
    }

    pub fn auto_nic(mut self, id: i32, vnets: &[i32]) -> Self {
        self.nics.push((id, vnets.to_vec()));
        self.template(&format!("<NIC><NETWORK_MODE>auto</NETWORK_MODE><NIC_ID>{id}</NIC_ID></NIC>"))
    }

    /// Runs on a host and is to be moved to one of `hosts`.
    pub fn resched(self, from: i32, datastore: i32) -> Self {
        let datastores = vec![datastore];
        Self { state: 3, resched: true, history: Some((from, datastore, 0)), datastores, ..self }
    }

    fn xml(&self) -> String {
        let history = self.history.map_or("<HISTORY_RECORDS/>".to_owned(), |(host, datastore, action)| {
            format!(
                "<HISTORY_RECORDS><HISTORY><SEQ>0</SEQ><HID>{host}</HID><DS_ID>{datastore}</DS_ID>\
                 <ACTION>{action}</ACTION></HISTORY></HISTORY_RECORDS>"
            )
        });
        format!(
            "<VM><ID>{id}</ID><NAME>vm{id}</NAME><STATE>{}</STATE><RESCHED>{}</RESCHED>\
             {}<TEMPLATE><CPU><![CDATA[{}]]></CPU><MEMORY><![CDATA[{}]]></MEMORY>{}</TEMPLATE>\
             <USER_TEMPLATE>{}</USER_TEMPLATE>{history}</VM>",
            self.state,
            i32::from(self.resched),
            self.more,
            self.cpu,
            self.memory_mb,
            self.template,
            self.user_template,
            id = self.id,
        )
    }

    fn requirements(&self) -> String {
        let Some(hosts) = &self.hosts else { return String::new() };
        let mut xml = format!(
            "<VM><ID>{}</ID><HOSTS>{}</HOSTS><DATASTORES>{}</DATASTORES>",
            self.id,
            ids(hosts),
            ids(&self.datastores)
        );
        for (nic, vnets) in &self.nics {
            write!(xml, "<NIC><ID>{nic}</ID><VNETS>{}</VNETS></NIC>", ids(vnets)).unwrap();
        }
        xml + "</VM>"
    }
}

/// A host of HOST_POOL.
#[derive(Clone)]
pub struct Host {
    pub id: i32,
    pub cluster: i32,
    /// Percent of a core: MAX_CPU and CPU_USAGE.
    pub cpu: (i64, i64),
    /// KiB: MAX_MEM and MEM_USAGE.
    pub memory: (i64, i64),
    pub vms: Vec<i32>,
    /// Inside HOST_SHARE.
    pub share: String,
    /// Inside TEMPLATE.
    pub template: String,
    /// Inside CLUSTER_TEMPLATE.
    pub cluster_template: String,
    /// Inside MONITORING.
    pub monitoring: String,
    pub state: i32,
}

/// An empty host of 8 cores and 16 GiB in cluster 0.
pub fn host(id: i32) -> Host {
    Host {
        id,
        cluster: 0,
        cpu: (800, 0),
        memory: (16 * 1024 * 1024, 0),
        vms: Vec::new(),
        share: String::new(),
        template: String::new(),
        cluster_template: String::new(),
        monitoring: String::new(),
        state: 2,
    }
}

impl Host {
    pub fn cluster(self, cluster: i32) -> Self {
        Self { cluster, ..self }
    }

    pub fn cpu(self, max: i64, used: i64) -> Self {
        Self { cpu: (max, used), ..self }
    }

    pub fn memory(self, max: i64, used: i64) -> Self {
        Self { memory: (max, used), ..self }
    }

    pub fn vms(self, vms: &[i32]) -> Self {
        Self { vms: vms.to_vec(), ..self }
    }

    pub fn share(mut self, xml: &str) -> Self {
        self.share.push_str(xml);
        self
    }

    pub fn template(mut self, name: &str, value: &str) -> Self {
        write!(self.template, "<{name}><![CDATA[{value}]]></{name}>").unwrap();
        self
    }

    pub fn cluster_template(mut self, name: &str, value: &str) -> Self {
        write!(self.cluster_template, "<{name}><![CDATA[{value}]]></{name}>").unwrap();
        self
    }

    /// A sample: seconds, CPU percent, KiB.
    pub fn sample(self, timestamp: i64, cpu: i64, memory: i64) -> Self {
        let monitoring = format!(
            "<TIMESTAMP>{timestamp}</TIMESTAMP><CAPACITY><USED_CPU>{cpu}</USED_CPU>\
             <USED_MEMORY>{memory}</USED_MEMORY></CAPACITY>"
        );
        Self { monitoring, ..self }
    }

    fn xml(&self) -> String {
        format!(
            "<HOST><ID>{id}</ID><NAME>node{id}</NAME><STATE>{}</STATE><CLUSTER_ID>{}</CLUSTER_ID><HOST_SHARE>\
             <MEM_USAGE>{}</MEM_USAGE><CPU_USAGE>{}</CPU_USAGE><MAX_MEM>{}</MAX_MEM><MAX_CPU>{}</MAX_CPU>\
             <RUNNING_VMS>{}</RUNNING_VMS>{}</HOST_SHARE><VMS>{}</VMS><TEMPLATE>{}</TEMPLATE>\
             <MONITORING>{}</MONITORING><CLUSTER_TEMPLATE>{}</CLUSTER_TEMPLATE></HOST>",
            self.state,
            self.cluster,
            self.memory.1,
            self.cpu.1,
            self.memory.0,
            self.cpu.0,
            self.vms.len(),
            self.share,
            ids(&self.vms),
            self.template,
            self.monitoring,
            self.cluster_template,
            id = self.id,
        )
    }
}

/// A request in the making.
#[derive(Clone, Default)]
pub struct Request {
    pub vms: Vec<Vm>,
    pub hosts: Vec<Host>,
    pub datastores: Vec<String>,
    pub vnets: Vec<String>,
    pub groups: Vec<String>,
    /// Inside CLUSTER_POOL.
    pub clusters: String,
}

/// Hosts and VMs with a roomy shared system datastore 0 for clusters 0 and 1.
pub fn request(hosts: &[Host], vms: &[Vm]) -> Request {
    Request {
        hosts: hosts.to_vec(),
        vms: vms.to_vec(),
        datastores: vec![datastore(0, 1, &[0, 1], 1_000_000, "")],
        ..Request::default()
    }
}

/// A datastore of TYPE 1 (system) or 0 (image).
pub fn datastore(id: i32, kind: i32, clusters: &[i32], free: i64, template: &str) -> String {
    format!(
        "<DATASTORE><ID>{id}</ID><NAME>ds{id}</NAME><TYPE>{kind}</TYPE><CLUSTERS>{}</CLUSTERS><TOTAL_MB>1000000</TOTAL_MB>\
         <FREE_MB>{free}</FREE_MB><USED_MB>1000</USED_MB><TEMPLATE>{template}</TEMPLATE></DATASTORE>",
        ids(clusters)
    )
}

/// A network with one address range per size.
pub fn vnet(id: i32, clusters: &[i32], ranges: &[i64], used: i64) -> String {
    let ranges: String = ranges.iter().map(|size| format!("<AR><SIZE>{size}</SIZE></AR>")).collect();
    format!(
        "<VNET><ID>{id}</ID><NAME>net{id}</NAME><CLUSTERS>{}</CLUSTERS><USED_LEASES>{used}</USED_LEASES>\
         <TEMPLATE/><AR_POOL>{ranges}</AR_POOL></VNET>",
        ids(clusters)
    )
}

/// A VM group; `roles` are (name, policy, VMS, further elements), `rules` is inside TEMPLATE.
pub fn group(id: i32, roles: &[(&str, &str, &str, &str)], rules: &str) -> String {
    let roles: String = roles
        .iter()
        .map(|(name, policy, vms, more)| {
            format!("<ROLE><NAME>{name}</NAME><POLICY>{policy}</POLICY><VMS>{vms}</VMS>{more}</ROLE>")
        })
        .collect();
    format!("<VM_GROUP><ID>{id}</ID><NAME>g{id}</NAME><ROLES>{roles}</ROLES><TEMPLATE>{rules}</TEMPLATE></VM_GROUP>")
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(|id| format!("<ID>{id}</ID>")).collect()
}

impl Request {
    pub fn datastore(mut self, xml: String) -> Self {
        self.datastores.push(xml);
        self
    }

    pub fn vnet(mut self, xml: String) -> Self {
        self.vnets.push(xml);
        self
    }

    pub fn group(mut self, xml: String) -> Self {
        self.groups.push(xml);
        self
    }

    pub fn xml(&self) -> String {
        let vms: String = self.vms.iter().map(Vm::xml).collect();
        let hosts: String = self.hosts.iter().map(Host::xml).collect();
        let requirements: String = self.vms.iter().map(Vm::requirements).collect();
        format!(
            "<SCHEDULER_DRIVER_ACTION><VM_POOL>{vms}</VM_POOL><HOST_POOL>{hosts}</HOST_POOL>\
             <DATASTORE_POOL>{}</DATASTORE_POOL><VNET_POOL>{}</VNET_POOL><VM_GROUP_POOL>{}</VM_GROUP_POOL>\
             <CLUSTER_POOL>{}</CLUSTER_POOL><REQUIREMENTS>{requirements}</REQUIREMENTS></SCHEDULER_DRIVER_ACTION>",
            self.datastores.concat(),
            self.vnets.concat(),
            self.groups.concat(),
            self.clusters,
        )
    }

    pub fn decide(&self) -> Decision {
        self.decide_with(&Policy::default())
    }

    /// Decides, and has the independent judge look at the plan.
    pub fn decide_with(&self, policy: &Policy) -> Decision {
        let decided = decide::place(self.xml().into_bytes(), policy).expect("a readable request");
        assert!(decided.dropped.is_empty(), "the planner broke a rule: {:?}", decided.dropped);
        let found = check::breaches(&decided.snapshot, &decided.planned.plan, policy);
        assert!(found.is_empty(), "the plan breaks a rule: {found:?}");
        Decision(decided)
    }
}

/// A decision, easy to ask.
pub struct Decision(pub Decided);

impl Decision {
    pub fn action(&self, vm: i32) -> Option<&Action> {
        self.0.planned.plan.actions.iter().find(|action| action.vm == VmId(vm))
    }

    /// The host of a VM; `None` when it waits.
    pub fn host(&self, vm: i32) -> Option<i32> {
        self.action(vm).map(|action| action.host.0)
    }

    pub fn datastore(&self, vm: i32) -> Option<i32> {
        self.action(vm).map(|action| action.datastore.0)
    }

    pub fn nets(&self, vm: i32) -> Vec<(i32, i32)> {
        self.action(vm).map_or(Vec::new(), |action| action.nics.iter().map(|(nic, net)| (nic.0, net.0)).collect())
    }

    pub fn placed(&self) -> usize {
        self.0.planned.plan.actions.len()
    }

    /// Why a VM waits.
    pub fn refusal(&self, vm: i32) -> String {
        let refusals = &self.0.planned.report.refusals;
        refusals.iter().find(|r| r.vm == VmId(vm)).map_or(String::new(), |r| r.text.clone())
    }

    pub fn notices(&self) -> String {
        let notices = self.0.planned.report.notices.iter();
        notices.map(|n| format!("{}: {}\n", n.subject, n.text)).collect()
    }
}

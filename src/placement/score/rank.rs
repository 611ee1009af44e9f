//! SCHED_RANK and SCHED_DS_RANK: the user's explicit wish, higher is better.
//!
//! What a plan changes on a host (RUNNING_VMS, CPU_USAGE, FREE_MEMORY, ...) is
//! counted as the plan grows; otherwise `-RUNNING_VMS` would stack a whole batch on
//! the host that was emptiest before it.

use crate::model::expression::{Rank, numeric, parse_rank};
use crate::model::policy::Policy;
use crate::model::snapshot::{Attributes, Datastore, Host, Notice, Snapshot, Subject, Vnet};
use crate::model::units::{Cpu, Memory};
use std::collections::HashMap;

/// What the plan has brought to a host so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brought {
    /// VMs; below zero where more have left than came.
    pub vms: i64,
    /// Their CPU.
    pub cpu: Cpu,
    /// Their memory.
    pub memory: Memory,
}

/// All ranks of a request, parsed once.
pub struct Ranks {
    known: HashMap<String, usize>,
    parsed: Vec<Rank>,
    /// By request: its host rank.
    of_request: Vec<Option<usize>>,
}

impl Ranks {
    /// Parses the ranks of all schedulable VMs; what cannot be read is reported and
    /// left out. With `sched_rank` off there are none.
    pub fn new(snapshot: &Snapshot, policy: &Policy, notices: &mut Vec<Notice>) -> Self {
        let mut ranks = Self { known: HashMap::new(), parsed: Vec::new(), of_request: Vec::new() };
        for candidates in &snapshot.candidates {
            let vm = &snapshot.vms[candidates.vm];
            let mut read = |name: &str, text: &str| {
                if !policy.sched_rank || text.is_empty() {
                    return None;
                }
                if let Err(error) = ranks.learn(text) {
                    let text = format!("{name} cannot be read ({error}); it is ignored");
                    notices.push(Notice { subject: Subject::Vm(vm.id), text });
                }
                ranks.known.get(text).copied()
            };
            let host = read("SCHED_RANK", &vm.rank);
            read("SCHED_DS_RANK", &vm.datastore_rank);
            for nic in &vm.auto_nics {
                read("the SCHED_RANK of a NIC", &nic.rank);
            }
            ranks.of_request.push(host);
        }
        ranks
    }

    /// No ranks: a running VM does not wish for another host.
    pub fn none(snapshot: &Snapshot) -> Self {
        Self { known: HashMap::new(), parsed: Vec::new(), of_request: vec![None; snapshot.candidates.len()] }
    }

    fn learn(&mut self, text: &str) -> Result<(), crate::model::expression::ExpressionError> {
        if !self.known.contains_key(text) {
            let rank = parse_rank(text)?;
            self.known.insert(text.to_owned(), self.parsed.len());
            self.parsed.push(rank);
        }
        Ok(())
    }

    /// The number of a request's host rank, if it has one.
    pub fn of_request(&self, request: usize) -> Option<usize> {
        self.of_request[request]
    }

    /// The value of rank number `rank` on a host.
    pub fn of_host(&self, rank: usize, host: &Host, brought: Brought) -> f64 {
        self.parsed[rank].value(&|name| {
            let stated = first(&host.attributes, name)?;
            Some(stated + change(name, brought))
        })
    }

    /// The value of a text on a datastore; 0 for no or an unreadable text.
    pub fn of_datastore(&self, text: &str, datastore: &Datastore) -> f64 {
        self.of_attributes(text, &datastore.attributes)
    }

    /// The value of a text on a network; 0 for no or an unreadable text.
    pub fn of_vnet(&self, text: &str, vnet: &Vnet) -> f64 {
        self.of_attributes(text, &vnet.attributes)
    }

    fn of_attributes(&self, text: &str, attributes: &Attributes) -> f64 {
        match self.known.get(text) {
            Some(&rank) => self.parsed[rank].value(&|name| first(attributes, name)),
            None => 0.0,
        }
    }
}

fn first(attributes: &Attributes, name: &str) -> Option<f64> {
    attributes.values(name).next().map(numeric)
}

fn change(name: &str, brought: Brought) -> f64 {
    match name {
        "RUNNING_VMS" => brought.vms as f64,
        "CPU_USAGE" | "USED_CPU" => brought.cpu.0 as f64,
        "FREE_CPU" => -(brought.cpu.0 as f64),
        "MEM_USAGE" | "USED_MEMORY" => brought.memory.0 as f64,
        "FREE_MEMORY" => -(brought.memory.0 as f64),
        _ => 0.0,
    }
}

/// Rank values per host, so that each is computed once until its host changes.
#[derive(Clone, Default)]
pub struct RankCache {
    values: HashMap<usize, Vec<f64>>,
}

/// More distinct ranks than this are not kept at a time.
const KEPT: usize = 64;

impl RankCache {
    /// The cached value, or that of `compute`.
    pub fn get(&mut self, rank: usize, host: usize, hosts: usize, compute: impl FnOnce() -> f64) -> f64 {
        if self.values.len() >= KEPT && !self.values.contains_key(&rank) {
            self.values.clear();
        }
        let values = self.values.entry(rank).or_insert_with(|| vec![f64::NAN; hosts]);
        if values[host].is_nan() {
            values[host] = compute();
        }
        values[host]
    }

    /// Forgets what was known of a host.
    pub fn host_changed(&mut self, host: usize) {
        for values in self.values.values_mut() {
            values[host] = f64::NAN;
        }
    }
}

//! Demand without history: a VM uses what it asks for, a host what its latest
//! sample says, else what is allocated on it.

use crate::model::demand::{Basis, Demand, Demands, HostUse, Source, Usage};
use crate::model::sketch::{Sketch, Spread};
use crate::model::snapshot::{Host, Snapshot, Vm};

/// Demands of every schedulable VM and use of every host.
///
/// A host sample counts while it is fresh ([`Snapshot::is_fresh`]).
#[must_use]
pub fn demands(snapshot: &Snapshot, max_age: i64) -> Demands {
    Demands {
        vms: snapshot.candidates.iter().map(|c| requested(&snapshot.vms[c.vm])).collect(),
        hosts: snapshot.hosts.iter().map(|host| host_use(snapshot, host, max_age)).collect(),
        ..Demands::default()
    }
}

fn requested(vm: &Vm) -> Demand {
    let usage = Usage { cpu: vm.cpu.0 as f64, memory: vm.memory.0 as f64, ..Usage::default() };
    Demand {
        level: usage,
        peak: usage,
        cpu_deviation: 0.0,
        sketch: Sketch::default(),
        source: Source::Request,
        class: None,
    }
}

fn host_use(snapshot: &Snapshot, host: &Host, max_age: i64) -> HostUse {
    let fresh = host.monitoring.filter(|sample| snapshot.is_fresh(sample.timestamp, max_age));
    let (cpu, memory, basis) = match fresh {
        Some(sample) => (sample.cpu_used, sample.memory_used, Basis::Monitoring),
        None => (host.cpu_allocated, host.memory_allocated, Basis::Allocation),
    };
    HostUse {
        usage: Usage { cpu: cpu.0 as f64, memory: memory.0 as f64, ..Usage::default() },
        spread: Spread::default(),
        basis,
    }
}

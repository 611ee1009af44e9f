//! Samples of VMs, for oned and for the collector, and the figures of a run as it goes.

use super::cloud::{Phase, Sampled};
use super::engine::Run;
use crate::model::demand::Usage;
use crate::model::sample::{VmIdentity, VmSample};

impl Run<'_> {
    /// Every VM that runs is measured.
    pub(super) fn vm_samples(&mut self) {
        let (at, seed, monitoring) = (self.moment(), self.scenario.seed, self.scenario.monitoring);
        let there: Vec<_> = self.cloud.hosts.values().flat_map(|host| host.vms.iter().copied()).collect();
        let mut collected = Vec::with_capacity(there.len());
        for id in there {
            let Some(vm) = self.cloud.vms.get(&id).filter(|vm| vm.phase == Phase::Running) else { continue };
            let silent = vm.host().and_then(|host| self.cloud.hosts.get(&host)).is_some_and(|host| !host.samples);
            let (cpu, memory) = self.cloud.used(vm, at);
            let seen = monitoring.seen(&[seed, 0x3a, id.0 as u64, at as u64], cpu);
            let Some(cpu) = seen.filter(|_| !silent) else { continue };
            let memory = if cpu > 0.0 { memory } else { 0.0 };
            let usage = Usage { cpu, memory, ..Usage::default() };
            let identity = VmIdentity {
                name: format!("vm{id}"),
                template: Some(vm.spec.template),
                owner: Some(vm.spec.template % 7),
                cpu: vm.cpu,
                memory: vm.memory,
                ..VmIdentity::default()
            };
            collected.push((VmSample { vm: id, at, usage }, identity));
            if let Some(vm) = self.cloud.vms.get_mut(&id) {
                vm.sampled = Some(Sampled { at, cpu, memory });
            }
        }
        if monitoring.collected {
            self.scheduler.sampled(&collected);
        }
    }

    /// The loads of all hosts, for the figures.
    pub(super) fn look(&mut self) {
        let at = self.moment();
        let (mut used, mut allocated) = (Vec::new(), Vec::new());
        for host in self.cloud.hosts.values().filter(|host| host.alive) {
            let cpu = (host.spec.cpu as f64).max(1.0);
            used.push((host, self.cloud.host_used(host, at).0 / cpu));
            allocated.push(host.allocated.0 as f64 / cpu);
        }
        self.figures.look(self.now, &used, &allocated);
        self.judge.books(&self.cloud, self.now);
    }
}

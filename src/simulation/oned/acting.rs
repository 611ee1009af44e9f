//! What oned does with a plan: deployments and migrations that begin, end, fail, or never end.

use super::cloud::{Phase, PlanOf, Record};
use super::dice::{Span, uniform};
use super::engine::{Event, Run};
use super::executor::Stand;
use super::scenario::Millis;
use crate::model::ids::{HostId, VmId};
use crate::model::moment::utc;
use crate::model::plan::{Action, Operation};

/// Seconds that a migration takes besides copying memory.
const HANDOVER: f64 = 2.0;

/// Milliseconds after which a deployment that goes wrong is known to.
const SOON: Span = Span::Between(1.0, 3.0);

impl Run<'_> {
    /// oned's timer: what takes too long fails, and plans go on.
    pub(super) fn timer(&mut self) {
        let all: Vec<PlanOf> = self.plans.keys().copied().collect();
        for of in all {
            let (settings, now) = (&self.scenario.settings, self.now);
            self.plans.entry(of).and_modify(|plan| plan.expire(settings, now));
            self.execute(of);
        }
    }

    /// Begins what may begin.
    pub(super) fn execute(&mut self, of: PlanOf) {
        loop {
            let Some(plan) = self.plans.get_mut(&of) else { return };
            let Some((number, action)) = plan.next(&self.scenario.settings, self.now) else { break };
            let begun = match action.operation {
                Operation::Deploy => self.deploy(&action),
                Operation::Migrate => self.migrate(&action, of),
            };
            if begun {
                self.cloud.vms.entry(action.vm).and_modify(|vm| vm.action = Some((of, number)));
            } else if let Some(plan) = self.plans.get_mut(&of) {
                plan.end(number, Stand::Failed);
            }
        }
        self.close(of);
    }

    /// Removes a plan that is over.
    fn close(&mut self, of: PlanOf) {
        if self.plans.get(&of).is_some_and(super::executor::Applied::is_over) {
            self.plans.remove(&of);
            if of == PlanOf::Placement {
                self.placement_is_over();
            }
        }
    }

    /// An action is over: it is found by its number in the plan of the moment.
    pub(super) fn end_action(&mut self, action: Option<(PlanOf, usize)>, stand: Stand) {
        let Some((of, number)) = action else { return };
        if let Some(plan) = self.plans.get_mut(&of) {
            plan.end(number, stand);
            self.close(of);
        }
    }

    /// oned's own checks of a deployment, then its beginning.
    fn deploy(&mut self, action: &Action) -> bool {
        let (id, target, at) = (action.vm, action.host, self.moment());
        let Some(vm) = self.cloud.vms.get(&id) else { return false };
        let (cpu, memory, phase, sequence) = (vm.cpu, vm.memory, vm.phase, vm.records.len() as i64);
        if phase != Phase::Pending {
            if phase != Phase::Done {
                self.figures.errors_on_healthy += 1;
                self.judge.breach(self.now, &format!("deploys VM {id} again, which is {phase:?}"));
            }
            return false;
        }
        let Some(host) = self.cloud.hosts.get(&target) else { return false };
        let (fails, slowness, room, alive) =
            (host.spec.fails, host.spec.slowness, host.has_room(cpu, memory), host.alive);
        if !room || !alive {
            self.figures.refused += 1;
            let text = format!("{} : Error deploying VM {id}: not enough capacity on host {target}", ctime(at));
            self.cloud.vms.entry(id).and_modify(|vm| {
                vm.error = text;
                vm.refused += 1;
            });
            return false;
        }
        self.judge.step(&self.cloud, id, target, self.now);
        self.cloud.take(id, target);
        self.cloud.waiting.remove(&id);
        let (seed, now) = (self.scenario.seed, self.now);
        let Some(vm) = self.cloud.vms.get_mut(&id) else { return false };
        vm.deeds += 1;
        vm.phase = Phase::Starting;
        vm.since = now;
        vm.error.clear();
        vm.records.push(Record { sequence, host: target, began: at, ended: 0, ran: 0 });
        let tries = vm.tries.entry(target).or_default();
        *tries += 1;
        if fails > 0.0 {
            self.figures.tries_on_failing = self.figures.tries_on_failing.max(*tries);
            self.figures.starts_on_failing += 1;
        }
        let deed = vm.deeds;
        let parts = |what: u64| [seed, what, id.0 as u64, deed];
        if uniform(&parts(0x0e)) < self.scenario.starts.never {
            return true;
        }
        let well = uniform(&parts(0xf4)) >= fails;
        let takes = if well { self.scenario.starts.takes } else { SOON };
        let takes = (takes.draw(&parts(0x57)) as f64 * slowness) as Millis;
        self.enter(self.now + takes, Event::Started(id, deed, well));
        true
    }

    pub(super) fn started(&mut self, id: VmId, deed: u64, well: bool) {
        let (now, at) = (self.now, self.moment());
        let Some(vm) = self.cloud.vms.get_mut(&id) else { return };
        if vm.deeds != deed || vm.phase != Phase::Starting {
            return;
        }
        let action = vm.action.take();
        if well {
            vm.phase = Phase::Running;
            vm.since = now;
            self.figures.started.push(now);
            if vm.ran.is_none() {
                vm.ran = Some(now);
                self.figures.waited.push(now - vm.came);
            }
            vm.records.last_mut().into_iter().for_each(|record| record.ran = at);
            self.lives(id);
        } else {
            let after = (self.scenario.starts.recreated_after * 1000.0) as Millis;
            self.fails(id, after);
        }
        self.end_action(action, if well { Stand::Done } else { Stand::Failed });
    }

    /// A VM is ACTIVE but does not run; a hook recreates it later.
    pub(super) fn fails(&mut self, id: VmId, after: Millis) {
        let Some(vm) = self.cloud.vms.get_mut(&id) else { return };
        if let Phase::Migrating(from) = vm.phase {
            vm.phase = Phase::Running;
            self.cloud.give(id, from);
        }
        self.cloud.waiting.remove(&id);
        let Some(vm) = self.cloud.vms.get_mut(&id) else { return };
        vm.phase = Phase::Failed;
        vm.resched = false;
        vm.deeds += 1;
        vm.action = None;
        self.figures.failed += 1;
        let deed = vm.deeds;
        self.enter(self.now + after.max(1), Event::Recreated(id, deed));
    }

    pub(super) fn recreated(&mut self, id: VmId, deed: u64) {
        let at = self.moment();
        if !self.cloud.vms.get(&id).is_some_and(|vm| vm.phase == Phase::Failed && vm.deeds == deed) {
            return;
        }
        self.cloud.give_all(id);
        if let Some(vm) = self.cloud.vms.get_mut(&id) {
            vm.records.last_mut().into_iter().for_each(|record| record.ended = at);
            vm.phase = Phase::Pending;
            vm.since = self.now;
        }
        self.cloud.waiting.insert(id);
        self.wakes();
    }

    /// oned checks no capacity for a migration; what it refuses tells nobody.
    fn migrate(&mut self, action: &Action, of: PlanOf) -> bool {
        let (id, target, at, now) = (action.vm, action.host, self.moment(), self.now);
        let Some(vm) = self.cloud.vms.get(&id) else { return false };
        let from = vm.host();
        let refused = uniform(&[self.scenario.seed, 0x3ef, id.0 as u64]) < self.scenario.migrations_fail;
        let known = self.cloud.hosts.get(&target).is_some_and(|host| host.alive);
        let possible = vm.phase == Phase::Running && from.is_some_and(|from| from != target) && known;
        if refused || !possible {
            self.figures.migrations_refused += 1;
            return false;
        }
        let Some(from) = from else { return false };
        let full = self.cloud.hosts.get(&target).is_some_and(|host| !host.has_room(vm.cpu, vm.memory));
        self.figures.into_full += u32::from(full);
        self.judge.step(&self.cloud, id, target, now);
        self.figures.migration(vm, now, target, of);
        let sequence = vm.records.len() as i64;
        let copies = (vm.memory as f64 / 1024.0 / self.scenario.migration_rate).max(0.0);
        self.cloud.take(id, target);
        self.cloud.waiting.remove(&id);
        let Some(vm) = self.cloud.vms.get_mut(&id) else { return false };
        vm.deeds += 1;
        vm.phase = Phase::Migrating(from);
        vm.resched = false;
        vm.records.push(Record { sequence, host: target, began: at, ended: 0, ran: at });
        let deed = vm.deeds;
        self.enter(now + ((HANDOVER + copies) * 1000.0) as Millis, Event::Migrated(id, deed));
        true
    }

    pub(super) fn migrated(&mut self, id: VmId, deed: u64) {
        let (now, at) = (self.now, self.moment());
        let Some(vm) = self.cloud.vms.get_mut(&id).filter(|vm| vm.deeds == deed) else { return };
        let Phase::Migrating(from) = vm.phase else { return };
        let action = vm.action.take();
        vm.phase = Phase::Running;
        vm.since = now;
        vm.moves.push((now, from));
        if let Some(record) = vm.records.iter_mut().rev().find(|record| record.host == from && record.ended == 0) {
            record.ended = at;
        }
        self.cloud.give(id, from);
        self.end_action(action, Stand::Done);
    }

    /// Figures that a host's samples and loads give; called by the calendar.
    pub(super) fn host_sample(&mut self, id: HostId) {
        let at = self.moment();
        let Some(host) = self.cloud.hosts.get(&id).filter(|host| host.alive && host.samples) else { return };
        let (cpu, memory) = self.cloud.host_used(host, at);
        let (seed, monitoring) = (self.scenario.seed, self.scenario.monitoring);
        let parts = [seed, 0x405, id.0 as u64, at as u64];
        let Some(cpu) = monitoring.seen(&parts, cpu) else { return };
        let memory = if cpu > 0.0 { memory } else { 0.0 };
        self.judge.newcomers(&self.cloud, id);
        let arrived = self.cloud.arrived;
        if let Some(host) = self.cloud.hosts.get_mut(&id) {
            host.sampled = Some(super::cloud::Sampled { at, cpu, memory });
            (host.newcomers, host.arrived_before) = (0, arrived);
        }
    }
}

/// A moment as oned begins errors with it, ctime(3), in UTC.
fn ctime(at: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let utc = utc(at);
    let part = |from: usize, to: usize| utc.get(from..to).unwrap_or_default();
    let number = |from: usize, to: usize| part(from, to).parse::<usize>().unwrap_or(1);
    let day = DAYS[at.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[(number(5, 7) - 1).min(11)];
    format!("{day} {month} {:>2} {} {}", number(8, 10), part(11, 19), part(0, 4))
}

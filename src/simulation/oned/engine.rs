//! What happens, one event after another: the calendar, and what comes from outside.

use super::asking::Asking;
use super::cloud::{Cloud, Phase, PlanOf, Record};
use super::executor::{Applied, Stand};
use super::judge::Judge;
use super::outcome::{Figures, Outcome};
use super::scenario::{Happening, Millis, Scenario};
use super::scheduler::Scheduler;
use crate::model::ids::{ClusterId, HostId, VmId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// How often the loads of all hosts are looked at, for the figures.
const LOOK: Millis = 300_000;

/// Something in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The next of the scenario's happenings.
    Happens(usize),
    /// oned looks whether a window is over.
    WindowTick,
    /// oned's timer.
    Timer,
    /// A matched request is written.
    Written(usize),
    /// The driver has answered; what was asked before a restart counts no more.
    Answered(u64),
    /// A deployment ends, well or not.
    Started(VmId, u64, bool),
    /// A migration ends.
    Migrated(VmId, u64),
    /// A hook brings a VM back that failed.
    Recreated(VmId, u64),
    /// A VM has lived its time.
    Leaves(VmId),
    /// A host is measured.
    HostSample(HostId),
    /// All VMs are measured.
    VmSamples,
    /// It is time to optimize.
    Optimize(ClusterId),
    /// The figures are taken.
    Look,
}

/// A run in progress.
pub struct Run<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) scheduler: &'a mut dyn Scheduler,
    pub(super) now: Millis,
    pub(super) cloud: Cloud,
    pub(super) asking: Asking,
    pub(super) plans: BTreeMap<PlanOf, Applied>,
    pub(super) figures: Figures,
    pub(super) judge: Judge,
    /// Seconds that the front-end's clock is ahead.
    pub(super) clock: i64,
    calendar: BinaryHeap<Reverse<(Millis, u64, Event)>>,
    entries: u64,
    /// Happenings that are still to come and bring VMs.
    to_come: usize,
}

/// Runs a scenario to its end.
#[must_use]
pub fn run(scenario: &Scenario, scheduler: &mut dyn Scheduler) -> Outcome {
    let brings = |(_, one): &&(Millis, Happening)| matches!(one, Happening::Create(_) | Happening::Born(..));
    let mut run = Run {
        scenario,
        scheduler,
        now: 0,
        cloud: Cloud::new(scenario),
        asking: Asking::default(),
        plans: BTreeMap::new(),
        figures: Figures::default(),
        judge: Judge::default(),
        clock: 0,
        calendar: BinaryHeap::new(),
        entries: 0,
        to_come: scenario.happenings.iter().filter(brings).count(),
    };
    run.begin();
    while let Some(Reverse((at, _, event))) = run.calendar.pop() {
        if at > scenario.ends {
            break;
        }
        run.now = at;
        run.happens(event);
        if scenario.ends_when_all_run && run.is_settled() {
            break;
        }
    }
    run.judge.books(&run.cloud, run.now);
    Outcome::of(&run.cloud, run.figures, run.judge, run.now)
}

impl Run<'_> {
    fn begin(&mut self) {
        let (scenario, interval) = (self.scenario, self.scenario.monitoring.host);
        if let Some((at, _)) = scenario.happenings.first() {
            self.enter(*at, Event::Happens(0));
        }
        self.enter(scenario.settings.window_tick, Event::WindowTick);
        self.enter(scenario.settings.timer, Event::Timer);
        let count = scenario.hosts.len().max(1) as i64;
        for (place, host) in (0..).zip(&scenario.hosts) {
            // hosts are probed one after another, not all at once; each is known when the run begins
            self.host_sample(HostId(host.id));
            self.enter(interval * (place + 1) / count, Event::HostSample(HostId(host.id)));
        }
        self.enter(scenario.monitoring.vm, Event::VmSamples);
        if let Some(interval) = scenario.settings.drs_interval {
            let clusters: BTreeSet<i32> = scenario.hosts.iter().map(|host| host.cluster).collect();
            clusters.into_iter().for_each(|id| self.enter(interval, Event::Optimize(ClusterId(id))));
        }
        self.enter(LOOK, Event::Look);
    }

    /// Puts an event into the calendar; those of one moment come in the order in which they were put.
    pub(super) fn enter(&mut self, at: Millis, event: Event) {
        self.entries += 1;
        self.calendar.push(Reverse((at, self.entries, event)));
    }

    /// Seconds since 1970, as it really is.
    pub(super) fn moment(&self) -> i64 {
        self.scenario.begins + self.now.div_euclid(1000)
    }

    /// What the clock of the front-end says, milliseconds since 1970.
    pub(super) fn front_end_clock(&self) -> i64 {
        (self.scenario.begins + self.clock) * 1000 + self.now
    }

    /// Nobody waits or starts, and nobody will come.
    fn is_settled(&self) -> bool {
        let busy = |phase| matches!(phase, Phase::Pending | Phase::Starting | Phase::Failed);
        self.to_come == 0 && self.cloud.waiting.is_empty() && !self.cloud.vms.values().any(|vm| busy(vm.phase))
    }

    fn happens(&mut self, event: Event) {
        let settings = &self.scenario.settings;
        match event {
            Event::Happens(index) => {
                if let Some((at, _)) = self.scenario.happenings.get(index + 1) {
                    self.enter(*at, Event::Happens(index + 1));
                }
                if let Some((_, happening)) = self.scenario.happenings.get(index) {
                    self.happening(happening);
                }
            }
            Event::WindowTick => {
                self.enter(self.now + settings.window_tick, event);
                self.window_tick();
            }
            Event::Timer => {
                self.enter(self.now + settings.timer, event);
                self.timer();
            }
            Event::Written(request) => self.written(request),
            Event::Answered(asked) => self.answered(asked),
            Event::Started(vm, deed, well) => self.started(vm, deed, well),
            Event::Migrated(vm, deed) => self.migrated(vm, deed),
            Event::Recreated(vm, deed) => self.recreated(vm, deed),
            Event::Leaves(vm) => self.terminate(vm),
            Event::HostSample(host) => {
                self.enter(self.now + self.scenario.monitoring.host, event);
                self.host_sample(host);
            }
            Event::VmSamples => {
                self.enter(self.now + self.scenario.monitoring.vm, event);
                self.vm_samples();
            }
            Event::Optimize(cluster) => {
                if let Some(interval) = settings.drs_interval {
                    self.enter(self.now + interval, event);
                }
                self.ask_to_optimize(cluster);
            }
            Event::Look => {
                self.enter(self.now + LOOK, event);
                self.look();
            }
        }
    }

    fn happening(&mut self, happening: &Happening) {
        match happening {
            Happening::Create(spec) => {
                self.to_come -= 1;
                self.cloud.create((**spec).clone(), self.now);
                self.wakes();
            }
            Happening::Born(spec, host) => {
                self.to_come -= 1;
                self.born(spec, HostId(*host));
            }
            Happening::Terminate(vm) => self.terminate(*vm),
            Happening::Resched(vm) => {
                let running = self.cloud.vms.get_mut(vm).filter(|vm| vm.phase == Phase::Running && !vm.resched);
                if let Some(state) = running {
                    state.resched = true;
                    self.cloud.waiting.insert(*vm);
                    self.wakes();
                }
            }
            Happening::Resize(vm, cpu, memory) => self.resize(*vm, *cpu, *memory),
            Happening::HostDies(host, after) => self.host_dies(HostId(*host), *after),
            Happening::HostReturns(id) => {
                if let Some(host) = self.cloud.hosts.get_mut(&HostId(*id)) {
                    (host.alive, host.disabled) = (true, false);
                }
                self.host_sample(HostId(*id));
            }
            Happening::HostDisabled(host) => {
                self.cloud.hosts.entry(HostId(*host)).and_modify(|host| host.disabled = true);
            }
            Happening::Samples(host, come) => {
                self.cloud.hosts.entry(HostId(*host)).and_modify(|host| host.samples = *come);
            }
            Happening::Store(there) => self.scheduler.store(*there),
            Happening::FrontEnd(number) => self.scheduler.front_end(*number),
            Happening::Restart => self.restart(),
            Happening::Clock(ahead) => self.clock = *ahead,
        }
    }

    /// A VM that runs already.
    fn born(&mut self, spec: &super::scenario::VmSpec, host: HostId) {
        let (id, at, now) = (spec.id, self.moment(), self.now);
        self.cloud.create(spec.clone(), now);
        self.cloud.waiting.remove(&id);
        self.cloud.take(id, host);
        if let Some(vm) = self.cloud.vms.get_mut(&id) {
            vm.phase = Phase::Running;
            vm.ran = Some(now);
            vm.records.push(Record { sequence: 0, host, began: at, ended: 0, ran: at });
        }
        self.lives(id);
    }

    /// From when it runs, its time is limited.
    pub(super) fn lives(&mut self, id: VmId) {
        if let Some(lives) = self.cloud.vms.get(&id).and_then(|vm| vm.spec.lives) {
            self.enter(self.now + lives, Event::Leaves(id));
        }
    }

    fn terminate(&mut self, id: VmId) {
        let Some(vm) = self.cloud.vms.get(&id).filter(|vm| vm.phase != Phase::Done) else { return };
        let action = vm.action;
        self.cloud.end(id, self.moment());
        self.end_action(action, Stand::Done);
    }

    fn resize(&mut self, id: VmId, cpu: i64, memory: i64) {
        let Some(vm) = self.cloud.vms.get(&id).filter(|vm| vm.phase == Phase::Running) else { return };
        let Some(host) = vm.host() else { return };
        let more = (cpu - vm.cpu, memory - vm.memory);
        let fits = self.cloud.hosts.get(&host).is_some_and(|host| host.has_room(more.0.max(0), more.1.max(0)));
        if fits {
            self.cloud.give(id, host);
            if let Some(vm) = self.cloud.vms.get_mut(&id) {
                (vm.cpu, vm.memory) = (cpu, memory);
            }
            self.cloud.take(id, host);
        }
    }

    fn host_dies(&mut self, id: HostId, after: Millis) {
        let Some(host) = self.cloud.hosts.get_mut(&id) else { return };
        host.alive = false;
        let there: Vec<VmId> = host.vms.iter().copied().collect();
        for id_of in there {
            let Some(vm) = self.cloud.vms.get_mut(&id_of) else { continue };
            let action = vm.action.take();
            match vm.phase {
                // it never arrives, and stays where it was
                Phase::Migrating(from) if from != id => {
                    vm.records.pop();
                    vm.phase = Phase::Running;
                    vm.deeds += 1;
                    self.cloud.give(id_of, id);
                }
                _ => self.fails(id_of, after),
            }
            self.end_action(action, Stand::Failed);
        }
    }

    /// Plans, windows and what the driver has been asked are gone.
    fn restart(&mut self) {
        self.plans.clear();
        self.asking = self.asking.restarted(self.now);
        self.cloud.vms.values_mut().for_each(|vm| vm.action = None);
    }
}

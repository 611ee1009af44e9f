//! When oned asks, and the one driver that answers one request after another.

use super::cloud::PlanOf;
use super::document;
use super::engine::{Event, Run};
use super::executor::Applied;
use super::scenario::Millis;
use super::scheduler::{Answer, Level};
use crate::model::ids::{ClusterId, VmId};
use std::collections::{BTreeMap, VecDeque};

/// A window that VMs opened.
#[derive(Clone, Copy, Debug)]
struct Window {
    opened: Millis,
    vms: usize,
}

/// A request that waits for the driver.
#[derive(Clone, Debug)]
struct Waiting {
    of: PlanOf,
    document: String,
}

/// oned's side of the driver.
#[derive(Debug, Default)]
pub struct Asking {
    window: Option<Window>,
    /// When it asked last.
    last: Millis,
    /// Grows when oned restarts.
    generation: u64,
    matched: BTreeMap<usize, Vec<VmId>>,
    requests: usize,
    queue: VecDeque<Waiting>,
    in_hand: Option<(PlanOf, Answer)>,
}

impl Asking {
    /// As oned begins after a restart.
    pub(super) fn restarted(&self, now: Millis) -> Self {
        Self { generation: self.generation + 1, last: now, requests: self.requests, ..Self::default() }
    }
}

impl Run<'_> {
    /// A VM waits, or is flagged RESCHED.
    pub(super) fn wakes(&mut self) {
        let window = self.asking.window.get_or_insert(Window { opened: self.now, vms: 0 });
        window.vms += 1;
        self.close_window();
    }

    fn close_window(&mut self) -> bool {
        let settings = &self.scenario.settings;
        let over =
            |window: Window| window.vms >= settings.window_length || self.now - window.opened >= settings.window_time;
        let over = self.asking.window.is_some_and(over);
        if over {
            self.ask();
        }
        over
    }

    pub(super) fn window_tick(&mut self) {
        let late = self.now - self.asking.last >= self.scenario.settings.retry;
        if !self.close_window() && late && !self.cloud.waiting.is_empty() {
            self.ask();
        }
    }

    /// A placement plan is over: asks at once if somebody waits and no window is open.
    pub(super) fn placement_is_over(&mut self) {
        if self.asking.window.is_none() && !self.cloud.waiting.is_empty() {
            self.ask();
        }
    }

    fn ask(&mut self) {
        self.asking.window = None;
        self.asking.last = self.now;
        let matched: Vec<VmId> = self.cloud.waiting.iter().copied().collect();
        if matched.is_empty() {
            return;
        }
        self.asking.requests += 1;
        let number = self.asking.requests;
        self.asking.matched.insert(number, matched);
        self.enter(self.now + self.scenario.settings.matching, Event::Written(number));
    }

    /// The request is written: VMs may have started since they were matched.
    pub(super) fn written(&mut self, request: usize) {
        let Some(matched) = self.asking.matched.remove(&request) else { return };
        let there = |id: &VmId| self.cloud.vms.get(id).is_some_and(|vm| vm.phase != super::cloud::Phase::Done);
        let matched: Vec<VmId> = matched.into_iter().filter(there).collect();
        let document = document::placement(&self.cloud, &matched, self.moment());
        self.asking.queue.push_back(Waiting { of: PlanOf::Placement, document });
        self.serve();
    }

    pub(super) fn ask_to_optimize(&mut self, cluster: ClusterId) {
        if self.plans.is_empty() {
            let document = document::optimization(&self.cloud, cluster, &self.scenario.one_drs, self.moment());
            self.asking.queue.push_back(Waiting { of: PlanOf::Cluster(cluster), document });
            self.serve();
        }
    }

    /// The driver takes the next request, unless it has one.
    fn serve(&mut self) {
        if self.asking.in_hand.is_some() {
            return;
        }
        let Some(Waiting { of, document }) = self.asking.queue.pop_front() else { return };
        self.figures.requests += 1;
        let clock = self.front_end_clock();
        let answer = match of {
            PlanOf::Placement => self.scheduler.place(document.into_bytes(), clock),
            PlanOf::Cluster(id) => self.scheduler.optimize(id, document.into_bytes(), clock),
        };
        let draw = || self.scenario.settings.answer.draw(&[self.scenario.seed, 0xa5, self.figures.requests as u64]);
        let takes = answer.seconds.map_or_else(draw, |seconds| (seconds * 1000.0) as Millis);
        self.asking.in_hand = Some((of, answer));
        self.enter(self.now + takes, Event::Answered(self.asking.generation));
    }

    pub(super) fn answered(&mut self, generation: u64) {
        if generation != self.asking.generation {
            return;
        }
        let Some((of, answer)) = self.asking.in_hand.take() else { return };
        self.scheduler.answered(self.front_end_clock());
        for wrong in &answer.wrong {
            self.judge.breach(self.now, &format!("the plan is wrong as an answer: {wrong}"));
        }
        for line in answer.lines.iter().filter(|line| line.level == Level::Error) {
            self.figures.errors += 1;
            self.cloud.vms.entry(line.vm).and_modify(|vm| vm.told.clone_from(&line.text));
            let done = self.cloud.vms.get(&line.vm).is_none_or(|vm| vm.phase == super::cloud::Phase::Done);
            if !done && !self.cloud.waiting.contains(&line.vm) {
                let text = format!("ERROR on VM {}, which does not wait: {}", line.vm, line.text);
                self.judge.breach(self.now, &text);
                self.figures.errors_on_healthy += 1;
            }
        }
        self.judge.believed(&self.cloud, &answer.believed, self.now);
        if of == PlanOf::Placement {
            let in_vain = answer.plan.actions.is_empty() && !self.plans.contains_key(&of);
            self.judge.answered(&self.cloud, self.now, in_vain);
        }
        if !answer.plan.actions.is_empty() {
            self.figures.plans += 1;
            if of == PlanOf::Placement && self.plans.contains_key(&of) {
                self.figures.dropped += 1;
            } else {
                self.plans.insert(of, Applied::new(answer.plan));
                self.execute(of);
            }
        }
        self.serve();
    }
}

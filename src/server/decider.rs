//! A batch to an answer: compose, recall, plan, remember. One batch after another, so that
//! each knows the answers before it.

use super::board::{Board, Shown};
use super::booked::Booked;
use super::changers;
use super::chosen::Choice;
use super::compose::{Composed, LeftOut, Why, compose};
use super::foresee::{Ahead, Cycle, Waiting, foresee, listed};
use super::memory::Memory;
use super::messages::Messages;
use super::metrics::Metrics;
use super::view::{Cloud, View};
use crate::config::Settings;
use crate::decide::{self, Decided, Stop, length};
use crate::machine::clock::now;
use crate::machine::locks::lock;
use crate::model::history::Recall;
use crate::model::ids::{HostId, VmId};
use crate::model::plan::Action;
use crate::model::policy::{Policy, Retry};
use crate::model::report::{Decision, Lack, Planned, Refusal, Report};
use crate::model::snapshot::{Candidates, Notice, Snapshot, Vm};
use crate::model::units::{Cpu, Memory as Size};
use crate::opennebula::external::Batch;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is taken for the size of a VM when nobody tells it: one core, one GiB.
const PLAIN_SIZE: (Cpu, Size) = (Cpu(100), Size(1 << 20));

/// What tenants are told of a VM that comes with a later cycle, where they are told in brief.
const NEXT: &str = "comes next: so many VMs are started at a time";

/// More VMs of one batch are not planned before all others.
const FIRST: usize = 16;

/// Keeps a decision, made this many seconds since 1970.
pub type Log = Box<dyn Fn(&Decided, i64) + Send + Sync>;

/// Who asks.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The request's id, for the log.
    pub request: &'a str,
    /// mm_sched decides itself whom an answer leaves out, and the size of each VM is known.
    /// The calls of AI-Orchestrator carry none: there a VM whose size nobody knows is placed all the same.
    pub mm_sched: bool,
    /// Who it is.
    pub from: changers::Origin,
    /// When to come to an end with the best plan so far.
    pub stop: Stop<'a>,
}

/// What is left to do when the answer is on its way.
pub struct After {
    decided: Arc<Decided>,
    policy: Policy,
    request: String,
    mm_sched: bool,
    /// Somebody may act on the answer.
    counts: bool,
    now: i64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// VMs with a host that are started now, by id.
    pub placed: Vec<(VmId, HostId)>,
    /// VMs with a host that come with a later cycle of mm_sched, by id.
    pub next: Vec<(VmId, HostId)>,
    /// VMs that found no host, with the reason.
    pub refused: Vec<Refusal>,
    /// Of those, the ones that the answer sends to a host without room, so that they wait.
    pub held: Vec<(VmId, HostId)>,
    /// VMs that cannot be judged.
    pub left_out: Vec<LeftOut>,
    /// Age of the state of oned that this rests on; `None` when it rests on none.
    pub oned_age: Option<Duration>,
}

/// Decides.
pub struct Decider {
    settings: Settings,
    choice: Arc<Choice>,
    view: Arc<View>,
    memory: Arc<dyn Memory>,
    metrics: Arc<Metrics>,
    log: Log,
    board: Arc<Board>,
    messages: Option<Arc<Messages>>,
    past: Mutex<Past>,
}

/// What one decision leaves for the next.
#[derive(Default)]
struct Past {
    booked: Booked,
    /// Told already: the same oddity comes with every request.
    notices: BTreeSet<Notice>,
}

impl Decider {
    /// Nothing is decided yet.
    pub fn new(
        settings: Settings,
        choice: Arc<Choice>,
        view: Arc<View>,
        memory: Arc<dyn Memory>,
        metrics: Arc<Metrics>,
        log: Log,
        board: Arc<Board>,
    ) -> Self {
        Self { settings, choice, view, memory, metrics, log, board, messages: None, past: Mutex::default() }
    }

    /// The same, that hands over why VMs of mm_sched wait.
    pub fn telling(self, messages: Option<Arc<Messages>>) -> Self {
        Self { messages, ..self }
    }

    /// Decides a batch, until it is told to stop; the store takes at most its own deadline.
    pub fn decide(&self, batch: &Batch, asker: Asker<'_>) -> (Outcome, Option<After>) {
        let (begun, now) = (Instant::now(), now());
        let cloud = self.view.cloud();
        let oned_age = cloud.as_ref().map(|cloud| cloud.at.elapsed());
        let mut booked = {
            let mut past = lock(&self.past);
            past.booked.forget(cloud.as_deref());
            past.booked.clone()
        };
        let size = (!asker.mm_sched).then_some(PLAIN_SIZE);
        let compose = |batch: &Batch, booked: &Booked| compose(batch, cloud.as_deref(), booked, size, now);
        let Composed { snapshot, left_out } = compose(batch, &booked);
        self.tell_left_out(&left_out, batch, asker.request);
        if snapshot.candidates.is_empty() {
            return (Outcome { left_out, oned_age, ..Outcome::default() }, None);
        }
        let chosen = self.choice.now();
        // mm_sched starts at once, and anywhere, whom we leave out: who failed to start goes last
        let no_pauses = Retry { pause: 0, ..self.settings.policy.retry };
        let policy = Policy { retry: no_pauses, ..chosen.over(&self.settings.policy) };
        let mut recall = self.memory.recall(&snapshot, &policy, now);
        recall
            .vectors
            .extend(decide::concerned(&snapshot).into_iter().filter_map(|vm| Some((vm, chosen.random_vector(vm)?))));
        let own: BTreeMap<VmId, _> = booked.placements().map(|own| (own.vm, own)).collect();
        recall.placements.retain(|known| !own.contains_key(&known.vm));
        recall.placements.extend(own.into_values());
        let max_host = self.settings.serve.max_host;
        let cycle = Cycle { max_host, max_dispatch: self.settings.serve.max_dispatch };
        let plan = |snapshot: Snapshot| spread(snapshot, &recall, &policy, max_host, asker.stop);
        let mut decided = plan(snapshot);
        let mut waiting = Waiting::default();
        if asker.mm_sched && cloud.is_some() {
            let mut first: Vec<(Action, Decision)> = Vec::new();
            let mut ahead: Vec<Ahead> = Vec::new();
            let mut left = batch.clone();
            loop {
                waiting = foresee(&decided.snapshot, &placed(&decided), &ahead, cycle);
                let next = waiting.unheld.iter().find(|vm| !decided.is_late(**vm)).copied();
                let Some(next) = next.filter(|_| first.len() < FIRST && !asker.stop.is_told()) else { break };
                // it will be started before the others: then the others are planned around it
                let alone =
                    Batch { vms: left.vms.iter().filter(|vm| vm.vm == next).cloned().collect(), odd: Vec::new() };
                let alone = plan(compose(&alone, &booked).snapshot);
                let Some(found) = only(&alone) else { break };
                if let Some(vm) = alone.snapshot.vm(next) {
                    booked.add(vm, found.0.host, now);
                    ahead.push(Ahead { vm: next, host: found.0.host, size: (vm.cpu, vm.memory) });
                }
                first.push(found);
                left.vms.retain(|vm| vm.vm != next);
                decided = plan(compose(&left, &booked).snapshot);
            }
            let (actions, decisions): (Vec<Action>, Vec<Decision>) = first.into_iter().unzip();
            decided.planned.plan.actions.splice(0..0, actions);
            decided.planned.report.decisions.splice(0..0, decisions);
        } else if asker.mm_sched {
            waiting.next = foresee(&decided.snapshot, &placed(&decided), &[], cycle).next;
        }
        // they are answered all the same: mm_sched would choose itself for whom we leave out
        let next = length::put_off(&mut decided.planned, &waiting.next, &cycle.text());
        if !waiting.unheld.is_empty() {
            let text = "vms={} cannot be kept waiting: mm_sched decides them itself, before the others";
            log::warn!("request={} {}", asker.request, text.replace("{}", &listed(&waiting.unheld)));
        }
        let report = &decided.planned.report;
        for refusal in &report.refusals {
            self.metrics.refused(refusal.lack.map_or("other", Lack::name));
        }
        let count = decided.planned.plan.actions.len();
        // an answer from elsewhere is believed to be acted on where oned shows that its VMs wait
        let waits = |cloud: &Cloud, vm: &Vm| {
            cloud.vms.get(&vm.id).is_some_and(|known| (known.cpu, known.memory) == (vm.cpu, vm.memory))
        };
        let mut asked = decided.snapshot.candidates.iter().map(|one| &decided.snapshot.vms[one.vm]);
        let counts = match asker.from {
            changers::Origin::Own => true,
            changers::Origin::Elsewhere => cloud.as_ref().is_none_or(|cloud| asked.all(|vm| waits(cloud, vm))),
            changers::Origin::Stranger => false,
        };
        self.metrics.decided(count, report.objective.1, report.green_share(), begun.elapsed());
        self.metrics.spare(report.spare.as_ref());
        self.metrics.failing(&report.failing);
        let refused = report.refusals.clone();
        let outcome = Outcome { placed: placed(&decided), next, refused, held: waiting.held, left_out, oned_age };
        (
            outcome,
            Some(After {
                decided: Arc::new(decided),
                policy,
                request: asker.request.to_owned(),
                mm_sched: asker.mm_sched,
                counts,
                now,
            }),
        )
    }

    /// One line for each cause.
    fn tell_left_out(&self, left_out: &[LeftOut], batch: &Batch, request: &str) {
        if left_out.iter().any(|out| out.why == Why::UnknownHosts) {
            self.view.poke();
        }
        let mut by_cause: BTreeMap<Why, Vec<VmId>> = BTreeMap::new();
        for out in left_out {
            self.metrics.refused(out.why.field());
            by_cause.entry(out.why).or_default().push(out.vm);
        }
        for (why, vms) in by_cause {
            match vms.as_slice() {
                [vm] => log::warn!("request={request} vm={vm} left out: it {}", why.text()),
                vms => log::warn!("request={request} vms={} left out: each {}", listed(vms), why.text()),
            }
        }
        if let Some(first) = batch.odd.first() {
            batch.odd.iter().for_each(|_| self.metrics.refused("form"));
            log::warn!("request={request} {} VMs of the batch are left out: {first}", batch.odd.len());
        }
    }

    /// Tells why, and remembers what was `answered`; before the next decision.
    pub fn finish(&self, after: &After, answered: bool) {
        let After { decided, policy, request, mm_sched, counts, now } = after;
        let mut past = lock(&self.past);
        // a stranger's question takes nobody's room, and is no decision
        if answered && *counts {
            for action in &decided.planned.plan.actions {
                if let Some(vm) = decided.snapshot.vm(action.vm) {
                    past.booked.add(vm, action.host, *now);
                }
            }
            self.memory.remember(decided, *now);
            (self.log)(decided, *now);
            self.board.put(Shown { decided: decided.clone(), policy: policy.clone() }, *now);
            if let Some(messages) = self.messages.as_ref().filter(|_| *mm_sched) {
                messages.put(self.texts(&decided.planned.report));
            }
        }
        self.tell(&decided.planned.report, request, &mut past.notices);
    }

    /// What VMs that are not started now are told.
    fn texts(&self, report: &Report) -> BTreeMap<VmId, String> {
        let brief = self.settings.brief;
        let refused = report.refusals.iter().map(|refusal| {
            let text = if brief { refusal.in_brief().to_string() } else { refusal.text.clone() };
            (refusal.vm, text)
        });
        // where mm_sched has told a VM whose turn comes that there is no room, or we did ourselves before
        let cloud = self.view.cloud();
        let told = |vm: &VmId| {
            let known = cloud.as_ref().and_then(|cloud| cloud.vms.get(vm));
            known.is_some_and(|known| !known.sched_message.is_empty())
        };
        let later = report.later.iter().filter(|(vm, _)| told(vm));
        let later = later.map(|(vm, text)| (*vm, if brief { NEXT.to_owned() } else { text.clone() }));
        refused.chain(later).collect()
    }

    fn tell(&self, report: &Report, request: &str, told: &mut BTreeSet<Notice>) {
        for notice in report.notices.iter().filter(|notice| !told.contains(*notice)) {
            log::warn!("request={request} {}: {}", notice.subject, notice.text);
        }
        *told = report.notices.iter().cloned().collect();
        for refusal in &report.refusals {
            log::warn!("request={request} vm={} waits: {}", refusal.vm, refusal.text);
        }
        if report.later.len() <= self.settings.log_placements {
            for (vm, text) in &report.later {
                log::info!("request={request} vm={vm} {text}");
            }
        }
        if report.decisions.len() <= self.settings.log_placements {
            for decision in &report.decisions {
                let (before, after) = (decision.score_before, decision.score_after);
                log::info!(
                    "request={request} vm={} host={} d_before={before:.3} d_after={after:.3} why={:?}",
                    decision.vm,
                    decision.host,
                    decision.why
                );
            }
        }
    }
}

/// By VM.
fn placed(decided: &Decided) -> Vec<(VmId, HostId)> {
    let actions = decided.planned.plan.actions.iter();
    let mut placed: Vec<(VmId, HostId)> = actions.map(|action| (action.vm, action.host)).collect();
    placed.sort_unstable();
    placed
}

/// What a plan for one VM does with it.
fn only(decided: &Decided) -> Option<(Action, Decision)> {
    let Planned { plan, report } = &decided.planned;
    Some((plan.actions.first()?.clone(), report.decisions.first()?.clone()))
}

/// Plans with at most as many VMs per host as mm_sched starts in one cycle, or as few more
/// as the batch needs; where that leaves VMs waiting, as the policy says.
fn spread(snapshot: Snapshot, recall: &Recall, policy: &Policy, max_host: Option<u32>, stop: Stop<'_>) -> Decided {
    let needed = max_host.map(|max_host| max_host.max(fewest_per_host(&snapshot.candidates)));
    let narrow = needed.filter(|needed| policy.max_per_host.is_none_or(|max| *needed < max));
    let Some(narrow) = narrow else { return decide::place_until(snapshot, recall, policy, stop) };
    let tight = Policy { max_per_host: Some(narrow), ..policy.clone() };
    let first = decide::place_until(snapshot.clone(), recall, &tight, stop);
    if first.planned.report.refusals.len() == snapshot.set_aside.len() {
        return first;
    }
    let second = decide::place_until(snapshot, recall, policy, stop);
    let placed = |decided: &Decided| decided.planned.plan.actions.len();
    if placed(&second) > placed(&first) { second } else { first }
}

/// The fewest VMs per host with which all could be placed, by the hosts that they name.
fn fewest_per_host(candidates: &[Candidates]) -> u32 {
    let mut lists: BTreeMap<&[u32], usize> = BTreeMap::new();
    for candidate in candidates {
        *lists.entry(&candidate.hosts).or_default() += 1;
    }
    let hosts: HashSet<u32> = lists.keys().flat_map(|list| list.iter().copied()).collect();
    let all = candidates.len().div_ceil(hosts.len().max(1));
    let each = lists.iter().map(|(list, vms)| vms.div_ceil(list.len().max(1)));
    u32::try_from(each.fold(all, usize::max)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

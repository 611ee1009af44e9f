//! A batch to an answer: compose, recall, plan, remember. One batch after another, so that
//! each knows the answers before it.

use super::booked::Booked;
use super::chosen::Choice;
use super::compose::{Composed, LeftOut, compose};
use super::memory::Memory;
use super::metrics::Metrics;
use super::view::View;
use crate::config::Settings;
use crate::decide::{self, Decided};
use crate::machine::clock::now;
use crate::machine::locks::lock;
use crate::model::history::Recall;
use crate::model::ids::{HostId, VmId};
use crate::model::policy::{Policy, Retry};
use crate::model::report::{Lack, Refusal, Report};
use crate::model::snapshot::{Candidates, Notice, Snapshot};
use crate::model::units::{Cpu, Memory as Size};
use crate::opennebula::external::Batch;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is taken for the size of a VM when nobody tells it: one core, one GiB.
const PLAIN_SIZE: (Cpu, Size) = (Cpu(100), Size(1 << 20));

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The request's id, for the log.
    pub request: &'a str,
    /// Whether a VM whose size nobody knows is placed all the same: the calls of
    /// AI-Orchestrator carry none.
    pub sizeless: bool,
}

/// What is left to do when the answer is on its way.
pub struct After {
    decided: Decided,
    request: String,
    now: i64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// VMs with a host, by id.
    pub placed: Vec<(VmId, HostId)>,
    /// VMs that found no host, with the reason.
    pub refused: Vec<Refusal>,
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
    ) -> Self {
        Self { settings, choice, view, memory, metrics, past: Mutex::default() }
    }

    /// Decides a batch; takes at most what the planner takes, and the store's deadline.
    pub fn decide(&self, batch: &Batch, asker: Asker<'_>) -> (Outcome, Option<After>) {
        let (begun, now) = (Instant::now(), now());
        let mut past = lock(&self.past);
        let cloud = self.view.cloud();
        let oned_age = cloud.as_ref().map(|cloud| cloud.at.elapsed());
        past.booked.forget(cloud.as_deref());
        let size = asker.sizeless.then_some(PLAIN_SIZE);
        let Composed { snapshot, left_out } = compose(batch, cloud.as_deref(), &past.booked, size, now);
        if left_out.iter().any(|out| out.why == super::compose::Why::UnknownHosts) {
            self.view.poke();
        }
        for out in &left_out {
            log::warn!("request={} vm={} left out: it {}", asker.request, out.vm, out.why.text());
            self.metrics.refused(out.why.field());
        }
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
        let own: BTreeMap<VmId, _> = past.booked.placements().map(|own| (own.vm, own)).collect();
        recall.placements.retain(|known| !own.contains_key(&known.vm));
        recall.placements.extend(own.into_values());
        let decided = spread(snapshot, &recall, &policy, self.settings.serve.max_host);
        let report = &decided.planned.report;
        for refusal in &report.refusals {
            self.metrics.refused(refusal.lack.map_or("other", Lack::name));
        }
        let placed = decided.planned.plan.actions.len();
        self.metrics.decided(placed, report.objective.1, report.green_share(), begun.elapsed());
        let outcome = Outcome { left_out, oned_age, ..outcome(&decided) };
        (outcome, Some(After { decided, request: asker.request.to_owned(), now }))
    }

    /// Tells why, and remembers what was `answered`; before the next decision.
    pub fn finish(&self, after: &After, answered: bool) {
        let After { decided, request, now } = after;
        let mut past = lock(&self.past);
        if answered {
            for action in &decided.planned.plan.actions {
                if let Some(vm) = decided.snapshot.vm(action.vm) {
                    past.booked.add(vm, action.host, *now);
                }
            }
            self.memory.remember(decided, *now);
        }
        self.tell(&decided.planned.report, request, &mut past.notices);
    }

    fn tell(&self, report: &Report, request: &str, told: &mut BTreeSet<Notice>) {
        for notice in report.notices.iter().filter(|notice| !told.contains(*notice)) {
            log::warn!("request={request} {}: {}", notice.subject, notice.text);
        }
        *told = report.notices.iter().cloned().collect();
        for refusal in &report.refusals {
            log::warn!("request={request} vm={} waits: {}", refusal.vm, refusal.text);
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

fn outcome(decided: &Decided) -> Outcome {
    let actions = decided.planned.plan.actions.iter();
    let mut placed: Vec<(VmId, HostId)> = actions.map(|action| (action.vm, action.host)).collect();
    placed.sort_unstable();
    Outcome { placed, refused: decided.planned.report.refusals.clone(), ..Outcome::default() }
}

/// Plans with at most as many VMs per host as mm_sched starts in one cycle, or as few more
/// as the batch needs; where that leaves VMs waiting, as the policy says.
fn spread(snapshot: Snapshot, recall: &Recall, policy: &Policy, max_host: Option<u32>) -> Decided {
    let needed = max_host.map(|max_host| max_host.max(fewest_per_host(&snapshot.candidates)));
    let narrow = needed.filter(|needed| policy.max_per_host.is_none_or(|max| *needed < max));
    let Some(narrow) = narrow else { return decide::place_snapshot(snapshot, recall, policy) };
    let tight = Policy { max_per_host: Some(narrow), ..policy.clone() };
    let first = decide::place_snapshot(snapshot.clone(), recall, &tight);
    if first.planned.report.refusals.len() == snapshot.set_aside.len() {
        return first;
    }
    let second = decide::place_snapshot(snapshot, recall, policy);
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

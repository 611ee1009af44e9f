//! What earlier answers have set in motion, as far as this request shows it: nothing is answered twice, and
//! what oned dropped or refused does not count as placed.
//!
//! oned's driver answers one request after another, so a request can be older than our latest answer. It
//! tells by its content. An answer is *shown* when one of its VMs no longer waits. What an answer that is
//! shown still leaves waiting waits for its turn in a long plan; in a plan that began all at once it was
//! refused, and is tried again. An answer that is not shown, while a newer one is, was dropped by oned. When
//! nothing newer is shown, the request may have waited while we answered, which is so when it comes right
//! after an answer; otherwise the answer was dropped.

use crate::model::history::{Moving, Placement, Recall};
use crate::model::ids::{HostId, VmId};
use crate::model::plan::{Action, Plan};
use crate::model::policy::Executor;
use crate::model::snapshot::{Snapshot, Vm, VmState};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// MANAGER_TIMER of oned: a long plan goes on so often. In milliseconds, as all here.
const TICK: i64 = 15_000;

/// A request that comes so soon after an answer may have waited while that was made. The driver takes the
/// next request within some tens of milliseconds.
const RIGHT_AFTER: i64 = 250;

/// An answer that may have been given after the request was written is at most so old: a queue of slow
/// answers is not longer.
const QUEUE: i64 = 180_000;

/// A lower bound on a plan's time from here on means that something in it hangs, when others were quick.
const HANGS: i64 = 60_000;

/// How fast VMs start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing is remembered: this request is all there is.
    NoMemory,
    /// There is a memory, but nobody has started lately.
    Unknown,
    /// Plans end within a tick of oned's timer.
    Quick,
    /// Starts take longer than a tick.
    Slow,
    /// Most are quick, but some take very long or never end.
    Hangs,
}

/// What is in motion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// VMs that wait in the request, though an earlier answer sends them somewhere: who, and where to.
    pub vms: Vec<(VmId, HostId)>,
    /// Of these, those of answers that this request may be too old to know: they are remembered anew with its
    /// answer, since the next request may have waited as long. With the place of their answer, oldest first.
    pub unshown: Vec<(VmId, HostId, i64)>,
    /// How fast VMs start.
    pub pace: Pace,
    /// When the latest answer was given, if oned has not applied it; seconds since 1970.
    pub dropped: Option<i64>,
    /// When the latest answer that it did apply was given, and how many VMs of it wait although its time is over.
    pub unfinished: Option<(i64, usize)>,
    /// Who is not on the way, but may still be started by an earlier answer: a start that hangs keeps a long plan going
    /// beyond its time, its VMs may have been placed anew by answers that were dropped because of it, and a host that
    /// the request does not offer may be back.
    pub doubtful: BTreeSet<VmId>,
}

impl UnderWay {
    /// Nothing is.
    #[must_use]
    pub fn nothing(pace: Pace) -> Self {
        Self { vms: Vec::new(), unshown: Vec::new(), pace, dropped: None, unfinished: None, doubtful: BTreeSet::new() }
    }
}

/// An answer of ours: what is left of it in memory.
struct Answer<'a> {
    at: i64,
    placements: Vec<&'a Placement>,
    /// One of its VMs no longer waits.
    shown: bool,
}

impl Answer<'_> {
    /// How many of oned's ticks it takes to begin all of it.
    fn rounds(&self, executor: &Executor) -> i64 {
        let mut by_host: BTreeMap<HostId, usize> = BTreeMap::new();
        self.placements.iter().for_each(|placement| *by_host.entry(placement.host).or_default() += 1);
        rounds(by_host.into_values(), executor)
    }
}

/// How many of oned's ticks it takes to begin so many actions on each host.
fn rounds(by_host: impl Iterator<Item = usize>, executor: &Executor) -> i64 {
    let (mut deepest, mut all) = (0, 0);
    by_host.for_each(|actions| (deepest, all) = (actions.max(deepest), all + actions));
    deepest.div_ceil(executor.per_host.max(1)).max(all.div_ceil(executor.per_cluster.max(1))) as i64
}

/// For so long a plan of so many rounds is taken to go on, at most: an action may take longer than a tick.
fn lasts(rounds: i64) -> i64 {
    2 * TICK * rounds + 2 * TICK
}

/// Whether a request comes so soon after an answer that it may have waited for that: a placement or an optimization.
fn is_queued(recall: &Recall, placed: Option<i64>) -> bool {
    let answers = placed.into_iter().chain([recall.notes.answered]);
    answers.filter(|at| *at > 0).any(|at| (0..=RIGHT_AFTER).contains(&(recall.moment - at)))
}

/// What earlier answers have set in motion. O(placements + VMs).
#[must_use]
pub fn under_way(snapshot: &Snapshot, recall: &Recall, executor: &Executor) -> UnderWay {
    let now = recall.moment;
    if now == 0 {
        return UnderWay::nothing(Pace::NoMemory);
    }
    let waiting: HashMap<VmId, &Vm> = snapshot
        .candidates
        .iter()
        .map(|candidates| &snapshot.vms[candidates.vm])
        .filter(|vm| vm.state == VmState::Pending || vm.resched)
        .map(|vm| (vm.id, vm))
        .collect();
    let mut by_moment: BTreeMap<i64, Vec<&Placement>> = BTreeMap::new();
    // a moment ahead of now comes from a clock that was wrong
    for placement in recall.placements.iter().filter(|placement| placement.at <= now) {
        by_moment.entry(placement.at).or_default().push(placement);
    }
    let shown = |placements: &[&Placement]| placements.iter().any(|placement| !waiting.contains_key(&placement.vm));
    let answers = by_moment.into_iter();
    let answers: Vec<Answer<'_>> =
        answers.map(|(at, placements)| Answer { at, shown: shown(&placements), placements }).collect();
    let queued = is_queued(recall, answers.last().map(|last| last.at));
    let newest_shown = answers.iter().rev().find(|answer| answer.shown).map_or(i64::MIN, |answer| answer.at);
    // a VM may also leave the queue because somebody terminates it
    let on_its_host = |placement: &&Placement| snapshot.lists(placement.host, placement.vm) == Some(true);
    let applied = |answer: &&Answer<'_>| answer.shown && answer.placements.iter().any(on_its_host);
    let newest_applied = answers.iter().rev().find(applied).map_or(i64::MIN, |answer| answer.at);
    let left = |answer: &Answer<'_>| -> Vec<(VmId, HostId)> {
        let left = answer.placements.iter().filter_map(|placement| Some((placement, *waiting.get(&placement.vm)?)));
        let left = left.filter(|(placement, vm)| !was_tried(vm, placement.at, recall));
        left.map(|(placement, _)| (placement.vm, placement.host)).collect()
    };
    let (mut vms, mut unshown) = (Vec::new(), Vec::new());
    let (mut dropped, mut unfinished, mut doubtful) = (None, None, BTreeSet::new());
    for (place, answer) in (0..).zip(&answers) {
        let age = now - answer.at;
        let rounds = answer.rounds(executor);
        let in_motion = if answer.shown {
            // oned applies one plan at a time: an older one is over
            answer.at >= newest_applied && rounds > 1 && age <= lasts(rounds)
        } else {
            answer.at > newest_shown && queued && age <= QUEUE
        };
        let left = left(answer);
        let (offered, away): (Vec<_>, Vec<_>) =
            left.iter().copied().partition(|(_, host)| snapshot.host_index(*host).is_some());
        // of the latest answer, which comes last
        let is_whole = offered.len() == answer.placements.len();
        dropped = (!answer.shown && !queued && is_whole).then_some(answer.at.div_euclid(1000));
        if in_motion {
            // a host that the request does not offer may be back by then
            doubtful.extend(away.into_iter().map(|(vm, _)| vm));
            vms.extend(offered);
            if !answer.shown {
                unshown.extend(left.into_iter().map(|(vm, host)| (vm, host, place)));
            }
        } else if !answer.shown || rounds > 1 {
            doubtful.extend(left.into_iter().map(|(vm, _)| vm));
            if answer.shown && answer.at == newest_shown {
                unfinished = Some((answer.at.div_euclid(1000), offered.len())).filter(|(_, vms)| *vms > 0);
            }
        }
    }
    vms.sort_unstable();
    UnderWay { vms, unshown, pace: pace(&answers, newest_shown, queued, executor), dropped, unfinished, doubtful }
}

/// Where earlier answers are sending VMs that an optimize request does not show there yet: oned asks for an
/// optimization while it applies a placement, and a request may have waited while we answered another one.
/// O(placements).
#[must_use]
pub fn arriving(snapshot: &Snapshot, recall: &Recall, executor: &Executor) -> Vec<(VmId, HostId)> {
    let now = recall.moment;
    let there = |placement: &Placement| snapshot.lists(placement.host, placement.vm) != Some(false);
    let mut by_moment: BTreeMap<i64, Vec<&Placement>> = BTreeMap::new();
    for placement in recall.placements.iter().filter(|placement| placement.at <= now) {
        by_moment.entry(placement.at).or_default().push(placement);
    }
    let queued = is_queued(recall, by_moment.last_key_value().map(|(at, _)| *at));
    let mut vms = Vec::new();
    for (at, placements) in by_moment {
        let answer = Answer { at, shown: false, placements };
        let (age, rounds) = (now - at, answer.rounds(executor));
        if age <= lasts(rounds) || (queued && age <= QUEUE) {
            let coming = answer.placements.iter().filter(|placement| !there(placement));
            vms.extend(coming.map(|placement| (placement.vm, placement.host)));
        }
    }
    vms.sort_unstable();
    vms
}

/// Migrations of earlier answers that may be under way as a request shows it: the VM is not on its new host yet. Of
/// hosts that the request does not show, as those of another cluster, only the time tells. O(migrations).
#[must_use]
pub fn moving(snapshot: &Snapshot, recall: &Recall) -> Vec<Moving> {
    let going_on = |one: &&Moving| {
        let (left, arrived) =
            (snapshot.lists(one.from, one.vm) == Some(false), snapshot.lists(one.to, one.vm) == Some(true));
        recall.moment <= one.until && !left && !arrived
    };
    recall.notes.moving.iter().filter(going_on).cloned().collect()
}

/// The migrations of a plan, with how long after the answer they may be under way: as long as oned takes to begin all.
#[must_use]
pub fn sent(plan: &Plan, snapshot: &Snapshot, executor: &Executor) -> Vec<Moving> {
    let mut by_host: BTreeMap<HostId, usize> = BTreeMap::new();
    plan.actions.iter().for_each(|action| *by_host.entry(action.host).or_default() += 1);
    let until = lasts(rounds(by_host.into_values(), executor));
    let moving = |action: &Action| {
        let vm = snapshot.vm(action.vm)?;
        let from = vm.host.filter(|from| *from != action.host)?;
        Some(Moving { vm: vm.id, from, to: action.host, cpu: vm.cpu, memory: vm.memory, until })
    };
    plan.actions.iter().filter_map(moving).collect()
}

/// Makes the request one in which what migrates has its room on both hosts, and their groups know of both. Who
/// shares a group with one of them comes next, when it is there. What to say of those.
pub fn make_room(snapshot: &mut Snapshot, moving: &[Moving]) -> Vec<(VmId, String)> {
    for one in moving {
        let Some(index) = snapshot.host_index(one.to) else { continue };
        let there = &mut snapshot.hosts[index];
        if let Err(place) = there.vms.binary_search(&one.vm) {
            there.vms.insert(place, one.vm);
            there.running_vms += 1;
            there.cpu_allocated += one.cpu;
            there.memory_allocated += one.memory;
        }
    }
    let mut mates: HashMap<VmId, VmId> = HashMap::new();
    for group in snapshot.groups.iter().filter(|_| !moving.is_empty()) {
        let members = || group.roles.iter().flat_map(|role| role.vms.iter().copied());
        if let Some(one) = moving.iter().find(|one| members().any(|member| member == one.vm)) {
            mates.extend(members().map(|member| (member, one.vm)));
        }
    }
    let mut later = Vec::new();
    let vms = &snapshot.vms;
    snapshot.candidates.retain(|candidates| {
        let vm = vms[candidates.vm].id;
        let mate = mates.get(&vm);
        later.extend(mate.map(|mate| (vm, format!("comes next: VM {mate} of its group is being migrated"))));
        mate.is_none()
    });
    later
}

/// Placements remembered anew with an answer given at `moment`: just before it, in their order, so that the
/// answers stay apart.
pub fn anew(unshown: &[(VmId, HostId, i64)], moment: i64) -> impl Iterator<Item = Placement> {
    let newest = unshown.iter().map(|(_, _, place)| *place).max().unwrap_or(0);
    unshown.iter().map(move |(vm, host, place)| Placement { vm: *vm, host: *host, at: moment - 1 - (newest - place) })
}

/// Whether something has happened to a VM since we placed it, by an answer of that moment: a new HISTORY record or a
/// new error. What is from before our answer is of an earlier attempt, which the request of that answer was too old
/// to know. Of one that was to be migrated only a record tells: its attempts are those of its deployment.
fn was_tried(vm: &Vm, placed: i64, recall: &Recall) -> bool {
    if vm.resched {
        return vm.last_run.is_some_and(|run| run.began >= placed.div_euclid(1000));
    }
    let Some(known) = recall.attempts.get(&vm.id) else { return false };
    let since = |began: i64| began == 0 || began >= known.at;
    let newer = vm.last_run.is_some_and(|run| run.sequence > known.sequence && since(run.began));
    let other = !vm.error.is_empty() && !known.error.starts_with(&begins(&vm.error, known.error.chars().count()));
    let before = || dated(&vm.error, recall.now).is_some_and(|at| at < known.at);
    newer || other && !before()
}

/// When an error was written, in seconds since 1970. oned begins it with the local time as of ctime(3) ("Sat Nov 28
/// 19:00:05 2026 : ..."), and nobody tells the time zone; but all zones are whole quarters of an hour apart, and what
/// matters is not older. `None` where it says no time.
fn dated(error: &str, now: i64) -> Option<i64> {
    const QUARTER: i64 = 900;
    // clocks are read at different moments of a second
    const LATER: i64 = 2;
    let time = error.split_whitespace().nth(3)?;
    let mut parts = time.split(':').map(|part| part.parse::<i64>().ok().filter(|_| part.len() == 2));
    let (_, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let ago = (now + LATER - (60 * minutes + seconds)).rem_euclid(QUARTER);
    Some(now + LATER - ago)
}

/// As much of an error as was noted.
fn begins(error: &str, length: usize) -> String {
    error.chars().filter(|c| !c.is_control()).take(length.max(1)).collect()
}

/// How fast VMs start, by how long plans kept newer ones out.
fn pace(answers: &[Answer<'_>], newest_shown: i64, queued: bool, executor: &Executor) -> Pace {
    let shown: Vec<&Answer<'_>> = answers.iter().filter(|answer| answer.shown).collect();
    let Some(last) = shown.last() else { return Pace::Unknown };
    // what came later and is not shown was dropped: the plan was still going on then
    let dropped = answers.iter().filter(|answer| !answer.shown && answer.at > newest_shown);
    let kept_out = if queued { None } else { dropped.map(|answer| answer.at - last.at).max() };
    let quick = |pair: &[&Answer<'_>]| pair[0].rounds(executor) == 1 && pair[1].at - pair[0].at <= TICK;
    let some_quick = shown.windows(2).any(quick);
    match kept_out {
        Some(kept_out) if kept_out > TICK * last.rounds(executor) => {
            if some_quick && kept_out >= HANGS {
                Pace::Hangs
            } else {
                Pace::Slow
            }
        }
        _ => Pace::Quick,
    }
}

/// Makes the request one in which what is under way is there already: it holds its room, its groups know
/// where it is, and nobody plans it again. What runs by now is no candidate either. What to say of them.
pub fn settle(snapshot: &mut Snapshot, under_way: &UnderWay) -> Vec<(VmId, String)> {
    let mut later = Vec::new();
    for (id, host) in &under_way.vms {
        let (Ok(vm), Some(index)) = (snapshot.vms.binary_search_by_key(id, |vm| vm.id), snapshot.host_index(*host))
        else {
            continue;
        };
        let (vm, there) = (&mut snapshot.vms[vm], &mut snapshot.hosts[index]);
        if let Err(place) = there.vms.binary_search(id) {
            there.vms.insert(place, *id);
            there.running_vms += 1;
            there.cpu_allocated += vm.cpu;
            there.memory_allocated += vm.memory;
        }
        if !vm.resched {
            (vm.state, vm.host) = (VmState::Active, Some(*host));
        }
        later.push((*id, format!("is on its way to host {host} by an answer that this request does not know yet")));
    }
    let gone: HashSet<VmId> = under_way.vms.iter().map(|(vm, _)| *vm).collect();
    let vms = &snapshot.vms;
    let mut running = Vec::new();
    snapshot.candidates.retain(|candidates| {
        let vm = &vms[candidates.vm];
        let runs = vm.state == VmState::Active && !vm.resched;
        if runs && !gone.contains(&vm.id) {
            running.push(vm.id);
        }
        !runs && !gone.contains(&vm.id)
    });
    let told = |vm: VmId| (vm, "is on its host already: oned started it while it wrote this request".to_owned());
    later.extend(running.into_iter().map(told));
    later.sort();
    later
}

#[cfg(test)]
mod tests;

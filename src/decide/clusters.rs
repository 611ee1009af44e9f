//! Clusters: request -> snapshot -> demands -> migrations. One path for the optimizer, the
//! evacuation of a host, and replay.

use super::{maintenance, patience, room, underway};
use crate::demand::monitored;
use crate::model::advice::{Advice, Histories};
use crate::model::cluster::{Cluster, OneDrs};
use crate::model::demand::Demands;
use crate::model::explanation::MigrationExplanation;
use crate::model::history::{Attempts, Moving, Notes, Recall};
use crate::model::ids::{ClusterId, HostId, VmId};
use crate::model::migration::{Drained, Migrated, Rolling};
use crate::model::policy::{DrsPolicy, Optimize, Policy};
use crate::model::snapshot::{Notice, Snapshot, Subject};
use crate::placement::Stop;
use crate::placement::advise;
use crate::placement::check::{self, Breach};
use crate::placement::migrate;
use crate::placement::migrate::MigrationInput;
use crate::placement::spare;
use std::collections::{BTreeSet, HashMap, HashSet};
use thiserror::Error;

/// A cluster that cannot be optimized.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoCluster {
    /// The request is about others.
    #[error("the request is not about cluster {0}: CLUSTER_POOL holds {1}")]
    Other(ClusterId, String),
    /// The request is no optimize request.
    #[error("the request holds no cluster: this is no optimize request (a placement is for `oneaio place`)")]
    None,
}

/// An optimization with all that it rests on.
#[derive(Debug)]
pub struct Optimized {
    /// What the request said.
    pub snapshot: Snapshot,
    /// Plan and report. The plan breaks no rule.
    pub migrated: Migrated,
    /// Actions that were dropped because the independent check found fault: bugs.
    pub dropped: Vec<Breach>,
    /// What VMs were expected to use, and hosts do.
    pub demands: Demands,
    /// What to remember of its migrations, for when they do not happen.
    pub attempts: Vec<(VmId, Attempts)>,
    /// The cluster.
    pub cluster: Cluster,
    /// Whether there is a memory.
    remembers: bool,
    /// What earlier requests left to know.
    known: Notes,
    /// Migrations of this plan that oned carries out by itself; they are under way until so long after the answer.
    sent: Vec<Moving>,
    /// Migrations of earlier plans that are still under way.
    moving: Vec<Moving>,
}

impl Optimized {
    /// What the next requests have to know, of an answer given at `moment` (milliseconds since 1970); `None` without
    /// a memory.
    #[must_use]
    pub fn notes(&self, moment: i64) -> Option<Notes> {
        let again = |one: &&Moving| self.sent.iter().all(|sent| sent.vm != one.vm);
        let sent = self.sent.iter().map(|one| Moving { until: moment.saturating_add(one.until), ..one.clone() });
        let mut moving: Vec<Moving> = sent.chain(self.moving.iter().filter(again).cloned()).collect();
        moving.sort();
        self.remembers.then(|| Notes { moving, answered: moment, ..self.known.clone() })
    }

    /// Takes the decision about one VM apart; `None` for one that the request does not offer.
    #[must_use]
    pub fn explain(&self, vm: VmId, policy: &Policy) -> Option<MigrationExplanation> {
        let input = MigrationInput::new(&self.snapshot, &self.cluster, &self.demands);
        migrate::explain(&input, policy, &self.migrated, vm)
    }
}

/// The cluster that a request is about: the one named, or its only one.
///
/// # Errors
/// When there is none.
pub fn cluster(snapshot: &Snapshot, named: Option<ClusterId>) -> Result<&Cluster, NoCluster> {
    let mut clusters = snapshot.clusters.iter();
    let found = match named {
        Some(id) => clusters.find(|cluster| cluster.id == id),
        None => clusters.next(),
    };
    found.ok_or_else(|| match named.filter(|_| !snapshot.clusters.is_empty()) {
        Some(id) => {
            let ids: Vec<String> = snapshot.clusters.iter().take(5).map(|cluster| cluster.id.to_string()).collect();
            NoCluster::Other(id, ids.join(", "))
        }
        None => NoCluster::None,
    })
}

/// Optimizes a cluster of a snapshot with what history tells.
///
/// # Errors
/// When the request is not about this cluster.
pub fn optimize(
    snapshot: Snapshot,
    named: Option<ClusterId>,
    recall: &Recall,
    policy: &Policy,
) -> Result<Optimized, NoCluster> {
    optimize_until(snapshot, named, recall, policy, Stop::default())
}

/// The same, asked to come to an end when `stop` says so: with the best plan so far.
///
/// # Errors
/// As above.
pub fn optimize_until(
    mut snapshot: Snapshot,
    named: Option<ClusterId>,
    recall: &Recall,
    policy: &Policy,
    stop: Stop<'_>,
) -> Result<Optimized, NoCluster> {
    snapshot.carbon.clone_from(&recall.carbon);
    let cluster = cluster(&snapshot, named)?.clone();
    let own = cluster.drs.over(policy);
    let paused = patience::pause(&mut snapshot, &cluster, recall);
    let coming = underway::arriving(&snapshot, recall, &policy.executor);
    let kept = room::keep(&mut snapshot, &coming);
    let demands = monitored::demands(&snapshot, recall, own.monitoring_max_age, own.optimize.predictive);
    let input = MigrationInput { stop, ..MigrationInput::new(&snapshot, &cluster, &demands) };
    let mut migrated = migrate::plan(&input, policy);
    let dropped = keep_legal(&snapshot, &cluster, &mut migrated, &own);
    room::give_back(&mut snapshot, kept.offered);
    for (vm, text) in paused.iter().chain(&kept.staying) {
        if let Ok(vm) = snapshot.vms.binary_search_by_key(vm, |one| one.id) {
            snapshot.vms[vm].blocked = false;
        }
        migrated.staying.iter_mut().filter(|(id, _)| id == vm).for_each(|(_, reason)| reason.clone_from(text));
    }
    let attempts = patience::after(&snapshot, &migrated.plan, recall);
    let known = recall.notes.clone();
    let remembers = recall.moment > 0;
    // elsewhere it is not known whether and when a plan is carried out
    let sent = if cluster.drs.full { underway::sent(&migrated.plan, &snapshot, &policy.executor) } else { Vec::new() };
    let moving = underway::moving(&snapshot, recall);
    Ok(Optimized { snapshot, migrated, dropped, demands, attempts, cluster, remembers, known, sent, moving })
}

/// Plans the evacuation of a host with what history tells.
///
/// # Errors
/// When the request is not about a cluster.
pub fn drain(snapshot: &Snapshot, host: HostId, recall: &Recall, policy: &Policy) -> Result<Drained, NoCluster> {
    let with_host = |cluster: &&Cluster| cluster.hosts.binary_search(&host).is_ok();
    let named = snapshot.clusters.iter().find(with_host).map(|cluster| cluster.id);
    let cluster = cluster(snapshot, named)?;
    let own = cluster.drs.over(policy);
    let demands = monitored::demands(snapshot, recall, own.monitoring_max_age, own.optimize.predictive);
    let own = without_limits(&own);
    let by_rules_of = |snapshot: &Snapshot| {
        let mut drained = migrate::drain(&MigrationInput::new(snapshot, cluster, &demands), policy, host);
        for breach in keep_legal(snapshot, cluster, &mut drained.migrated, &own) {
            let text = format!("its migration would break a rule ({breach}); please report this");
            drained.blockers.push((breach.vm, text));
        }
        drained
    };
    let strict = by_rules_of(snapshot);
    let lifted = (!strict.blockers.is_empty()).then(|| maintenance::without_yielding_rules(snapshot)).flatten();
    let Some(mut drained) = lifted.map(|lifted| by_rules_of(&lifted)) else { return Ok(strict) };
    if drained.blockers.len() >= strict.blockers.len() {
        return Ok(strict);
    }
    let notices = maintenance::yielded(snapshot, cluster, &drained.migrated.plan, &own);
    drained.migrated.notices.extend(notices);
    Ok(drained)
}

/// Plans the evacuation of several hosts of a cluster in waves of at most `most` hosts: those of a wave come back
/// empty before the next. Each wave is judged on the request as it would be then.
///
/// # Errors
/// When the request is not about a cluster.
pub fn drain_in_waves(
    snapshot: &Snapshot,
    hosts: &[HostId],
    most: usize,
    recall: &Recall,
    policy: &Policy,
) -> Result<Rolling, NoCluster> {
    let with_host = |cluster: &&Cluster| hosts.iter().any(|host| cluster.hosts.binary_search(host).is_ok());
    let named = snapshot.clusters.iter().find(with_host).map(|cluster| cluster.id);
    let cluster = cluster(snapshot, named)?;
    let own = without_limits(&cluster.drs.over(policy));
    let demands = |now: &Snapshot| monitored::demands(now, recall, own.monitoring_max_age, own.optimize.predictive);
    let mut open: BTreeSet<HostId> = hosts.iter().copied().collect();
    let mut now = snapshot.clone();
    let mut yielding = false;
    let pace = migrate::pace(&MigrationInput::new(&now, cluster, &demands(&now)), policy);
    let mut rolling = Rolling { pace, ..Rolling::default() };
    while !open.is_empty() {
        let expected = demands(&now);
        let input = MigrationInput::new(&now, cluster, &expected);
        let asked: Vec<HostId> = open.iter().copied().collect();
        let mut wave = migrate::wave(&input, policy, &asked, most.max(1));
        let copied: HashMap<VmId, f64> =
            wave.migrated.migrations.iter().zip(&wave.copied).map(|(one, mib)| (one.vm, *mib)).collect();
        let dropped = judged(&now, cluster, &mut wave.migrated, &own);
        // a host that a dropped migration leaves behind is not empty
        let left: BTreeSet<HostId> =
            dropped.iter().filter_map(|breach| now.vm(breach.vm).and_then(|vm| vm.host)).collect();
        wave.hosts.retain(|host| !left.contains(host));
        if wave.hosts.is_empty() {
            // what yields does so for those that nothing else empties
            let lifted = if yielding { None } else { maintenance::without_yielding_rules(&now) };
            let Some(lifted) = lifted else { break };
            (now, yielding) = (lifted, true);
            continue;
        }
        if yielding {
            let strict = Snapshot { groups: snapshot.groups.clone(), ..now.clone() };
            wave.migrated.notices.extend(maintenance::yielded(&strict, cluster, &wave.migrated.plan, &own));
        }
        wave.copied = wave.migrated.migrations.iter().map(|one| copied.get(&one.vm).copied().unwrap_or(0.0)).collect();
        wave.seconds = migrate::seconds(&wave.migrated.migrations, &wave.copied, rolling.pace, &own.executor);
        let sent = targets(&wave.migrated);
        let away: Vec<usize> = wave.hosts.iter().filter_map(|host| now.host_index(*host)).collect();
        let at = |vm| sent.get(&vm).and_then(|host| now.host_index(*host));
        if let Some((room, lacking)) = spare::told(&now, policy, &away, at) {
            wave.migrated.spare = Some(room);
            wave.lacking = lacking;
        }
        wave.hosts.iter().for_each(|host| {
            open.remove(host);
        });
        now = migrate::after(&now, &wave.migrated, &own);
        rolling.waves.push(wave);
    }
    let expected = demands(&now);
    for host in open {
        let drained = migrate::drain(&MigrationInput::new(&now, cluster, &expected), policy, host);
        let mut blockers = drained.blockers;
        for (vm, text) in &mut blockers {
            let blocked = |of: &Snapshot| of.vm(*vm).is_some_and(|vm| vm.blocked);
            if blocked(&now) && !blocked(snapshot) {
                text.clear();
                text.push_str(
                    "moves with an earlier wave, and which devices it gets there is not known: ask again then",
                );
            }
        }
        if blockers.is_empty() {
            // only a fault of the planner leaves this
            blockers.extend(
                now.vms
                    .iter()
                    .filter(|vm| vm.host == Some(host))
                    .map(|vm| (vm.id, "its migration would break a rule; please report this".to_owned())),
            );
        }
        rolling.blocked.push((host, blockers));
    }
    Ok(rolling)
}

/// Reports on a cluster: sizes of VMs by their own histories, what it could hold more, and hosts that it does not
/// need, which is seen by packing it. Nothing is to be carried out.
///
/// # Errors
/// When the request is not about this cluster.
pub fn advise(
    snapshot: &Snapshot,
    named: Option<ClusterId>,
    recall: &Recall,
    histories: &Histories,
    policy: &Policy,
) -> Result<Advice, NoCluster> {
    let cluster = cluster(snapshot, named)?;
    let own = without_limits(&cluster.drs.over(policy));
    let demands = monitored::demands(snapshot, recall, own.monitoring_max_age, own.optimize.predictive);
    let mut report = advise::advise(&MigrationInput::new(snapshot, cluster, &demands), policy, histories);
    let packed = Cluster {
        drs: OneDrs {
            policy: Some(DrsPolicy::Pack),
            migrations: Some(None),
            host_migrations: Some(None),
            ..cluster.drs.clone()
        },
        ..cluster.clone()
    };
    let peaks = advise::at_their_peaks(snapshot, &demands, histories);
    let mut migrated = migrate::plan(&MigrationInput::new(snapshot, &packed, &peaks), policy);
    judged(snapshot, &packed, &mut migrated, &own);
    let sent = targets(&migrated);
    report.idle.empty = advise::empty(snapshot, |_| None);
    report.idle.unneeded = advise::empty(snapshot, |vm| sent.get(&vm).copied());
    let away: Vec<usize> = report.idle.unneeded.iter().filter_map(|host| snapshot.host_index(*host)).collect();
    let at = |vm| sent.get(&vm).and_then(|host| snapshot.host_index(*host));
    let lacking = spare::told(snapshot, policy, &away, at).map(|(_, notices)| notices).unwrap_or_default();
    report.idle.lacking = lacking.iter().map(|notice| format!("{}: {}", notice.subject, notice.text)).collect();
    Ok(report)
}

/// Limits on migrations are for optimizations.
fn without_limits(policy: &Policy) -> Policy {
    let optimize = Optimize { migrations: None, host_migrations: None, ..policy.optimize.clone() };
    Policy { optimize, ..policy.clone() }
}

/// Takes out what the independent check finds fault with, and tells of spare room.
fn keep_legal(snapshot: &Snapshot, cluster: &Cluster, migrated: &mut Migrated, policy: &Policy) -> Vec<Breach> {
    let dropped = judged(snapshot, cluster, migrated, policy);
    let sent = targets(migrated);
    let at = |vm| sent.get(&vm).and_then(|host| snapshot.host_index(*host));
    if let Some((room, notices)) = spare::told(snapshot, policy, &[], at) {
        migrated.spare = Some(room);
        migrated.notices.extend(notices);
    }
    dropped
}

fn targets(migrated: &Migrated) -> HashMap<VmId, HostId> {
    migrated.plan.actions.iter().map(|action| (action.vm, action.host)).collect()
}

/// Takes out what the independent check finds fault with.
fn judged(snapshot: &Snapshot, cluster: &Cluster, migrated: &mut Migrated, policy: &Policy) -> Vec<Breach> {
    let mut plan = std::mem::take(&mut migrated.plan);
    super::rehearsal::spoil(&mut plan);
    let (legal, dropped) = check::migrations_without_breaches(snapshot, cluster, plan, policy);
    migrated.plan = legal;
    let kept: HashSet<VmId> = migrated.plan.actions.iter().map(|action| action.vm).collect();
    migrated.migrations.retain(|one| kept.contains(&one.vm));
    for breach in &dropped {
        let text = format!("is not migrated: the plan broke a rule ({breach}); please report this");
        migrated.notices.push(Notice { subject: Subject::VmAndHosts(breach.vm), text });
    }
    dropped
}

#[cfg(test)]
mod tests;

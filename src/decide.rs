//! The sentence as code: request -> snapshot -> demands -> planned. Every front end
//! takes this one path.

use crate::demand::{monitored, observed};
use crate::model::cluster::Cluster;
use crate::model::history::Recall;
use crate::model::ids::{ClusterId, HostId, VmId};
use crate::model::migration::{Drained, Migrated};
use crate::model::policy::{Optimize, Policy};
use crate::model::report::{Planned, Refusal, Report};
use crate::model::snapshot::{Notice, Snapshot, Subject};
use crate::opennebula::envelope::{self, EnvelopeError};
use crate::opennebula::request::{self, RequestError};
use crate::placement::check::{self, Breach};
use crate::placement::migration::{self, MigrationInput};
use crate::placement::{PlanningInput, plan};
use std::collections::HashSet;
use thiserror::Error;

/// Why there is no decision.
#[derive(Debug, Error)]
pub enum Unusable {
    /// Not a document.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not a request.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A decision with all that it rests on.
#[derive(Debug)]
pub struct Decided {
    /// What the request said.
    pub snapshot: Snapshot,
    /// Plan and report. The plan breaks no rule.
    pub planned: Planned,
    /// Actions that were dropped because the independent check found fault: bugs.
    pub dropped: Vec<Breach>,
}

/// Reads a request as oned sends it.
///
/// # Errors
/// When the bytes are no scheduler request; never because of what is odd inside one.
pub fn read(bytes: Vec<u8>) -> Result<Snapshot, Unusable> {
    let document = envelope::open(bytes)?;
    let mut snapshot = request::read(&document.xml)?;
    if document.repaired {
        let text = "holds bytes that are not UTF-8; they are read as \u{fffd}".to_owned();
        snapshot.notices.insert(0, Notice { subject: Subject::Request, text });
    }
    Ok(snapshot)
}

/// Reads a request and decides it without history.
///
/// # Errors
/// As [`read`].
pub fn place(bytes: Vec<u8>, policy: &Policy) -> Result<Decided, Unusable> {
    Ok(place_snapshot(read(bytes)?, &Recall::default(), policy))
}

/// The VMs whose history matters for a request: those to be placed, their groups, and
/// all that run on its hosts; sorted, each once.
#[must_use]
pub fn concerned(snapshot: &Snapshot) -> Vec<VmId> {
    let pool = snapshot.vms.iter().map(|vm| vm.id);
    let mut vms: Vec<VmId> = pool.chain(snapshot.hosts.iter().flat_map(|host| host.vms.iter().copied())).collect();
    vms.sort_unstable();
    vms.dedup();
    vms
}

/// Decides a snapshot with what history tells.
#[must_use]
pub fn place_snapshot(snapshot: Snapshot, recall: &Recall, policy: &Policy) -> Decided {
    let demands = observed::demands(&snapshot, recall, policy.monitoring_max_age);
    let mut planned = plan(&PlanningInput { snapshot: &snapshot, demands: &demands }, policy);
    let (legal, dropped) = check::without_breaches(&snapshot, std::mem::take(&mut planned.plan), policy);
    planned.plan = legal;
    tell_dropped(&mut planned.report, &dropped);
    Decided { snapshot, planned, dropped }
}

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
    let cluster = cluster(&snapshot, named)?.clone();
    let own = cluster.drs.over(policy);
    let demands = monitored::demands(&snapshot, recall, own.monitoring_max_age, own.optimize.predictive);
    let input = MigrationInput { snapshot: &snapshot, cluster: &cluster, demands: &demands };
    let mut migrated = migration::plan(&input, policy);
    let dropped = keep_legal(&snapshot, &cluster, &mut migrated, &own);
    Ok(Optimized { snapshot, migrated, dropped })
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
    let input = MigrationInput { snapshot, cluster, demands: &demands };
    let mut drained = migration::drain(&input, policy, host);
    let no_limits = Optimize { migrations: None, host_migrations: None, ..own.optimize.clone() };
    let own = Policy { optimize: no_limits, ..own };
    for breach in keep_legal(snapshot, cluster, &mut drained.migrated, &own) {
        let text = format!("its migration would break a rule ({breach}); please report this");
        drained.blockers.push((breach.vm, text));
    }
    Ok(drained)
}

/// Takes out what the independent check finds fault with.
fn keep_legal(snapshot: &Snapshot, cluster: &Cluster, migrated: &mut Migrated, policy: &Policy) -> Vec<Breach> {
    let plan = std::mem::take(&mut migrated.plan);
    let (legal, dropped) = check::migrations_without_breaches(snapshot, cluster, plan, policy);
    migrated.plan = legal;
    let kept: HashSet<VmId> = migrated.plan.actions.iter().map(|action| action.vm).collect();
    migrated.migrations.retain(|one| kept.contains(&one.vm));
    for breach in &dropped {
        let text = format!("is not migrated: the plan broke a rule ({breach}); please report this");
        migrated.notices.push(Notice { subject: Subject::Vm(breach.vm), text });
    }
    dropped
}

/// A VM whose action was dropped waits like any other, and is told so.
fn tell_dropped(report: &mut Report, dropped: &[Breach]) {
    for breach in dropped {
        let placed = report.decisions.len();
        report.decisions.retain(|decision| decision.vm != breach.vm);
        if report.decisions.len() < placed {
            let text = format!("was not placed: the plan broke a rule ({breach}); please report this");
            report.refusals.push(Refusal { vm: breach.vm, text });
        }
    }
    report.refusals.sort_by_key(|refusal| refusal.vm);
}

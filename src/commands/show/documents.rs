//! Decisions as JSON, for `replay` and for what is asked of the living cloud. The fields are promised
//! in packaging/doc/json.md.

use crate::decide::Decided;
use crate::model::migration::Migrated;
use crate::model::snapshot::{Notice, Snapshot};
use crate::opennebula::plan_xml;
use serde_json::{Value, json};

/// A placement.
#[must_use]
pub fn placement(decided: &Decided) -> Value {
    let report = &decided.planned.report;
    json!({
        "placed": report.decisions.len(),
        "unplaced": report.refusals.len(),
        "objective": { "before": report.objective.0, "after": report.objective.1, "bound": report.bound },
        "resources": report.resources,
        "green": report.green,
        "spare": report.spare,
        "decisions": report.decisions,
        "refusals": report.refusals,
        "hosts": report.hosts,
        "notices": told(&report.notices),
        "plan": decided.planned.plan,
    })
}

/// An optimization.
#[must_use]
pub fn optimization(snapshot: &Snapshot, migrated: &Migrated) -> Value {
    json!({
        "cluster": snapshot.clusters.first().map_or(plan_xml::PLACEMENT, |cluster| cluster.id.0),
        "objective": { "before": migrated.objective.0, "after": migrated.objective.1 },
        "migrations": migrated.migrations,
        "hosts": migrated.hosts,
        "staying": migrated.staying,
        "spare": migrated.spare,
        "notices": told(&migrated.notices),
        "plan": migrated.plan,
    })
}

fn told(notices: &[Notice]) -> Vec<String> {
    notices.iter().map(|notice| format!("{}: {}", notice.subject, notice.text)).collect()
}

//! What is told of a batch beside its hosts: to clients that read more, and to the log.

use super::compose::LeftOut;
use super::decider::Outcome;
use crate::model::report::Refusal;
use crate::opennebula::external::BodyError;
use serde_json::{Value, json};

/// VMs that cannot be judged, for whoever reads more than hosts.
pub fn left_out(out: &[LeftOut], odd: &[BodyError]) -> Vec<Value> {
    let judged = out.iter().map(|out| {
        let field = format!("VMS[{}].{}", out.index, out.why.field());
        json!({ "ID": out.vm, "field": field, "error": format!("VM {} {}", out.vm, out.why.text()) })
    });
    let odd = odd.iter().map(|odd| json!({ "field": odd.field, "error": odd.to_string() }));
    judged.chain(odd).collect()
}

/// VMs that wait, and why.
pub fn waiting(outcome: &Outcome, brief: bool) -> Vec<Value> {
    let refused = outcome.refused.iter();
    refused.map(|refusal| json!({ "ID": refusal.vm, "error": why(refusal, brief) })).collect()
}

/// VMs that have a host, but whose turn comes later.
pub fn next(outcome: &Outcome) -> Vec<Value> {
    outcome.next.iter().map(|(vm, host)| json!({ "ID": vm, "HOST_ID": host })).collect()
}

/// Why a VM waits, as clients are told.
pub fn why(refusal: &Refusal, brief: bool) -> String {
    let text = if brief { refusal.in_brief() } else { refusal.text.as_str().into() };
    format!("VM {} {text}", refusal.vm)
}

/// For the log line: how old what is known of the cloud was.
pub fn rests_on(outcome: &Outcome) -> String {
    outcome.oned_age.map_or_else(|| " oned_age=none".to_owned(), |age| format!(" oned_age={:.1}", age.as_secs_f64()))
}

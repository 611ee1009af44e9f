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

#[cfg(test)]
mod tests {
    use super::super::compose::Why;
    use super::*;
    use crate::model::brief::Brief;
    use crate::model::ids::{HostId, VmId};
    use crate::model::report::Lack;
    use std::time::Duration;

    #[test]
    fn what_is_told_names_the_vm_and_the_field() {
        let out = [
            LeftOut { index: 0, vm: VmId(7), why: Why::NoHosts },
            LeftOut { index: 2, vm: VmId(9), why: Why::UnknownSize },
        ];
        let odd = [BodyError::new("VMS[1].ID", "is missing")];
        let expected = [
            json!({ "ID": 7, "field": "VMS[0].HOST_IDS", "error": "VM 7 names no host that it could go to" }),
            json!({ "ID": 9, "field": "VMS[2].CAPACITY",
                    "error": "VM 9 has no CAPACITY, and oned does not tell it either" }),
            json!({ "field": "VMS[1].ID", "error": "VMS[1].ID: is missing" }),
        ];
        assert_eq!(left_out(&out, &odd), expected);
        let refusal = Refusal {
            vm: VmId(3),
            text: "needs 9 cores; host 4 has 1".to_owned(),
            lack: Some(Lack::Cpu),
            brief: Brief::Full(Lack::Cpu),
            set: false,
        };
        let in_brief = format!("VM 3 {}", refusal.in_brief());
        let outcome = Outcome {
            refused: vec![refusal],
            next: vec![(VmId(5), HostId(4))],
            oned_age: Some(Duration::from_millis(2340)),
            ..Outcome::default()
        };
        assert_eq!(waiting(&outcome, false), [json!({ "ID": 3, "error": "VM 3 needs 9 cores; host 4 has 1" })]);
        assert_eq!(waiting(&outcome, true), [json!({ "ID": 3, "error": in_brief })]);
        assert!(!in_brief.contains("host 4"), "{in_brief}");
        assert_eq!(next(&outcome), [json!({ "ID": 5, "HOST_ID": 4 })]);
        assert_eq!(
            (rests_on(&outcome), rests_on(&Outcome::default())),
            (" oned_age=2.3".to_owned(), " oned_age=none".to_owned())
        );
    }
}

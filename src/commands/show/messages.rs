//! What `place` says about a decision, as oned gets to see it.

use crate::decide::Decided;
use crate::model::snapshot::{Notice, Subject};
use crate::opennebula::message;

/// A notice as oned gets to see it.
pub fn said(notice: &Notice) -> String {
    match notice.subject {
        Subject::Vm(id) | Subject::VmAndHosts(id) => message::about_vm("WARN", id, &notice.text),
        subject => message::general("WARN", &format!("{subject}: {}", notice.text)),
    }
}

/// What `place` would say about oddities and waiting VMs, one line each.
pub fn messages(decided: &Decided) -> String {
    let report = &decided.planned.report;
    let notices = report.notices.iter().map(said);
    let refusals = report.refusals.iter().map(|r| message::about_vm("ERROR", r.vm, &r.text));
    notices.chain(refusals).map(|line| line + "\n").collect()
}

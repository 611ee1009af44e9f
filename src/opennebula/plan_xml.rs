//! Plan to XML, in the one form that oned is known to read: upper-case elements,
//! plain integers, lower-case operations, no namespace.

use crate::model::plan::Plan;
use std::fmt::Write;

/// PLAN/ID of a placement; a cluster's own id belongs to its optimization.
pub const PLACEMENT: i32 = -1;

/// The document, complete, ending in a line break. Complexity: linear in actions.
#[must_use]
pub fn write(plan: &Plan, id: i32) -> String {
    let mut xml = String::with_capacity(64 + plan.actions.len() * 160);
    xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PLAN>\n");
    // writing to a String cannot fail
    let _ = writeln!(xml, "  <ID>{id}</ID>");
    for action in &plan.actions {
        let _ = write!(
            xml,
            "  <ACTION>\n    <VM_ID>{}</VM_ID>\n    <OPERATION>{}</OPERATION>\n    <HOST_ID>{}</HOST_ID>\n    <DS_ID>{}</DS_ID>\n",
            action.vm,
            action.operation.name(),
            action.host,
            action.datastore
        );
        for (nic, vnet) in &action.nics {
            let _ = write!(
                xml,
                "    <NIC>\n      <NIC_ID>{nic}</NIC_ID>\n      <NETWORK_ID>{vnet}</NETWORK_ID>\n    </NIC>\n"
            );
        }
        xml.push_str("  </ACTION>\n");
    }
    xml.push_str("</PLAN>\n");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, HostId, NicId, VmId, VnetId};
    use crate::model::plan::{Action, Operation};

    #[test]
    fn an_empty_plan_is_a_plan() {
        let xml = write(&Plan::default(), PLACEMENT);
        assert_eq!(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PLAN>\n  <ID>-1</ID>\n</PLAN>\n");
    }

    #[test]
    fn an_action_has_all_that_oned_needs() {
        let action = Action {
            vm: VmId(9),
            operation: Operation::Deploy,
            host: HostId(4),
            datastore: DatastoreId(0),
            nics: vec![(NicId(1), VnetId(7))],
        };
        let xml = write(&Plan { actions: vec![action] }, PLACEMENT);
        let flat: String = xml.lines().map(str::trim).collect();
        assert!(flat.contains(
            "<ACTION><VM_ID>9</VM_ID><OPERATION>deploy</OPERATION><HOST_ID>4</HOST_ID><DS_ID>0</DS_ID>\
             <NIC><NIC_ID>1</NIC_ID><NETWORK_ID>7</NETWORK_ID></NIC></ACTION>"
        ));
    }
}

//! Plan to XML, in the one form that oned is known to read: upper-case elements,
//! plain integers, lower-case operations, no namespace. And back, from any scheduler.

use super::xml::{Walker, XmlError};
use crate::model::ids::{DatastoreId, HostId, NicId, VmId, VnetId};
use crate::model::plan::{Action, Operation, Plan};
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

/// Reads a plan that any scheduler has written. An action that lacks what oned wants of it, or
/// that neither deploys nor migrates, is passed over.
///
/// # Errors
/// When it is not XML.
pub fn read(xml: &str) -> Result<Plan, XmlError> {
    let (mut walker, _) = Walker::open(xml)?;
    let mut plan = Plan::default();
    walker.children(|walker, name| {
        if name != "ACTION" {
            return walker.skip();
        }
        let (mut ids, mut operation, mut nics) = ([None; 3], None, Vec::new());
        walker.children(|walker, name| {
            let place = ["VM_ID", "HOST_ID", "DS_ID"].iter().position(|known| *known == name);
            match (place, name) {
                (Some(place), _) => ids[place] = number(walker)?,
                (_, "OPERATION") => {
                    let text = walker.text()?;
                    let known = [Operation::Deploy, Operation::Migrate];
                    operation = known.into_iter().find(|known| text.eq_ignore_ascii_case(known.name()));
                }
                (_, "NIC") => {
                    let (mut nic, mut network) = (None, None);
                    walker.children(|walker, name| {
                        match name {
                            "NIC_ID" => nic = number(walker)?,
                            "NETWORK_ID" => network = number(walker)?,
                            _ => walker.skip()?,
                        }
                        Ok(())
                    })?;
                    nics.extend(nic.zip(network).map(|(nic, network)| (NicId(nic), VnetId(network))));
                }
                _ => walker.skip()?,
            }
            Ok(())
        })?;
        if let ([Some(vm), Some(host), Some(datastore)], Some(operation)) = (ids, operation) {
            let (vm, host, datastore) = (VmId(vm), HostId(host), DatastoreId(datastore));
            plan.actions.push(Action { vm, operation, host, datastore, nics });
        }
        Ok(())
    })?;
    Ok(plan)
}

fn number(walker: &mut Walker<'_>) -> Result<Option<i32>, XmlError> {
    Ok(walker.text()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let plan = Plan { actions: vec![action] };
        let xml = write(&plan, PLACEMENT);
        assert_eq!(read(&xml), Ok(plan));
        let flat: String = xml.lines().map(str::trim).collect();
        assert!(flat.contains(
            "<ACTION><VM_ID>9</VM_ID><OPERATION>deploy</OPERATION><HOST_ID>4</HOST_ID><DS_ID>0</DS_ID>\
             <NIC><NIC_ID>1</NIC_ID><NETWORK_ID>7</NETWORK_ID></NIC></ACTION>"
        ));
    }

    #[test]
    fn plans_of_others_are_read_as_far_as_oned_would() {
        let xml = "<PLAN><ID>-1</ID><ACTION><ID>0</ID><VM_ID>1</VM_ID><OPERATION>DEPLOY</OPERATION><HOST_ID>2</HOST_ID>\
                   <DS_ID><![CDATA[100]]></DS_ID></ACTION><ACTION><VM_ID>3</VM_ID><OPERATION>poweroff</OPERATION>\
                   <HOST_ID>1</HOST_ID><DS_ID>0</DS_ID></ACTION><ACTION><VM_ID>x</VM_ID></ACTION></PLAN>";
        let plan = read(xml).unwrap();
        assert_eq!(plan.actions.iter().map(|action| action.vm).collect::<Vec<_>>(), [VmId(1)]);
        assert!(read("no plan").is_err() && read("<PLAN>").is_err());
    }
}

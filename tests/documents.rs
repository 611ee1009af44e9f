//! Requests as documents: what is odd in one is set aside and told, the rest is placed;
//! what cannot be read at all is one clear sentence.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{datastore, group, host, request, vm, vnet};
use oneaio::decide::{self, Unusable};
use oneaio::model::policy::Policy;
use oneaio::opennebula::plan_xml;

fn refused(bytes: impl Into<Vec<u8>>) -> String {
    let outcome: Result<_, Unusable> = decide::place(bytes.into(), &Policy::default());
    let text = outcome.expect_err("not a request").to_string();
    assert!(!text.contains('\n') && text.len() > 20, "one sentence: {text:?}");
    text
}

#[test]
fn what_is_no_request_is_told_in_one_sentence() {
    let good = request(&[host(1)], &[vm(1, &[1])]).xml();
    assert!(refused("").contains("empty"));
    assert!(refused("hello world, how are you").contains("neither XML nor base64"));
    assert!(refused("aGVsbG8gd29ybGQ=").contains("does not hold XML"));
    assert!(refused("<PLAN><ID>-1</ID></PLAN>").contains("root of the request is PLAN"));
    assert!(refused(good.replace("</REQUIREMENTS>", "</REQUIREMENT>")).contains("not well-formed"));
    assert!(refused(format!("{good}{good}")).contains("goes on after its root"));
    let laughs = format!("<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>{good}");
    assert!(refused(laughs).contains("DOCTYPE"));
    for pool in ["VM_POOL", "HOST_POOL", "DATASTORE_POOL", "REQUIREMENTS"] {
        let renamed = good.replace(&format!("<{pool}>"), "<X>").replace(&format!("</{pool}>"), "</X>");
        assert!(refused(renamed).contains(&format!("has no {pool}")), "{pool}");
    }
}

#[test]
fn a_request_that_is_cut_anywhere_is_never_half_decided() {
    let good = request(&[host(1)], &[vm(1, &[1]).user("SCHED_RANK", "FREE_CPU")]).xml();
    for end in 1..good.len() {
        let outcome = decide::place(good.as_bytes()[..end].to_vec(), &Policy::default());
        assert!(outcome.is_err(), "cut after {end} of {} bytes", good.len());
    }
}

#[test]
fn networks_and_groups_may_be_absent() {
    let good = request(&[host(1)], &[vm(1, &[1])]).xml();
    let bare =
        good.replace("<VNET_POOL></VNET_POOL>", "").replace("<VM_GROUP_POOL></VM_GROUP_POOL>", "<VM_GROUP_POOL/>");
    let decided = decide::place(bare.into_bytes(), &Policy::default()).expect("readable");
    assert_eq!(decided.planned.plan.actions.len(), 1);
}

#[test]
fn a_vm_with_broken_numbers_waits_and_the_others_go() {
    for (name, broken) in [
        ("TEMPLATE/CPU", vm(1, &[1]).cpu("two")),
        ("TEMPLATE/CPU", vm(1, &[1]).cpu("-1")),
        ("TEMPLATE/CPU", vm(1, &[1]).cpu("NaN")),
        ("TEMPLATE/MEMORY", vm(1, &[1]).memory(-5)),
        ("DISK/SIZE", vm(1, &[1]).template("<DISK><SIZE>big</SIZE></DISK>")),
        ("VMGROUP_ID", vm(1, &[1]).template("<VMGROUP><VMGROUP_ID>x</VMGROUP_ID></VMGROUP>")),
    ] {
        let decision = request(&[host(1)], &[broken, vm(2, &[1])]).decide();
        assert_eq!((decision.host(1), decision.host(2)), (None, Some(1)), "{name}");
        assert!(decision.refusal(1).contains(name), "{name}: {}", decision.refusal(1));
    }
}

#[test]
fn huge_values_are_no_room_and_no_overflow() {
    let vms = [
        vm(1, &[1]).cpu("1e300"),
        vm(2, &[1]).memory(i64::MAX),
        vm(3, &[1]).disk(i64::MAX, "SYSTEM", 1).disk(i64::MAX, "SYSTEM", 1),
        vm(4, &[1]),
    ];
    let decision = request(&[host(1)], &vms).decide();
    assert_eq!((decision.placed(), decision.host(4)), (1, Some(1)));
    let greedy = host(1).cpu(i64::MAX, i64::MAX).memory(i64::MIN, 0);
    assert_eq!(request(&[greedy], &[vm(1, &[1])]).decide().placed(), 0);
}

#[test]
fn a_host_that_cannot_be_judged_is_left_out_and_told() {
    let mut broken = request(&[host(1), host(2)], &[vm(1, &[1, 2])]);
    broken.hosts[0].share = "</HOST_SHARE><HOST_SHARE>".to_owned();
    let xml = broken.xml().replacen("<CPU_USAGE>0<", "<CPU_USAGE>some<", 1);
    let decided = decide::place(xml.into_bytes(), &Policy::default()).expect("readable");
    assert_eq!(decided.planned.plan.actions[0].host.0, 2);
    let told: String = decided.planned.report.notices.iter().map(|n| format!("{} {}", n.subject, n.text)).collect();
    assert!(told.contains("host 1") && told.contains("CPU_USAGE"), "{told}");
}

#[test]
fn ids_that_stand_twice_count_once_if_equal_and_not_at_all_if_not() {
    let twice = request(&[host(1), host(1), host(2)], &[vm(1, &[1]), vm(1, &[1])]).decide();
    assert_eq!((twice.placed(), twice.host(1)), (1, Some(1)));
    let differ = request(&[host(1), host(1).cpu(9000, 0), host(2)], &[vm(1, &[1, 2])]).decide();
    assert_eq!(differ.host(1), Some(2));
    assert!(differ.notices().contains("host 1: stands in the request more than once"), "{}", differ.notices());
    let vms = request(&[host(1)], &[vm(1, &[1]), vm(1, &[1]).cpu("2"), vm(2, &[1])]).decide();
    assert_eq!((vms.host(1), vms.host(2)), (None, Some(1)));
    assert!(vms.refusal(1).contains("more than once"), "{}", vms.refusal(1));
}

#[test]
fn requirements_that_stand_twice_allow_what_both_allow() {
    let xml = request(&[host(1), host(2)], &[vm(1, &[1, 2])]).xml();
    let more = "<VM><ID>1</ID><HOSTS><ID>2</ID></HOSTS><DATASTORES><ID>0</ID></DATASTORES></VM></REQUIREMENTS>";
    let decided =
        decide::place(xml.replace("</REQUIREMENTS>", more).into_bytes(), &Policy::default()).expect("readable");
    assert_eq!(decided.planned.plan.actions[0].host.0, 2);
}

#[test]
fn unknown_ids_in_requirements_are_passed_over_and_told_once() {
    let unknown = vm(1, &[1, 77, 78]).datastores(&[0, 99]).auto_nic(0, &[3, 55]);
    let decision = request(&[host(1)], &[unknown, vm(2, &[77])]).vnet(vnet(3, &[0], &[5], 0)).decide();
    assert_eq!((decision.host(1), decision.host(2)), (Some(1), None));
    assert_eq!(decision.refusal(2), "has no candidate host: REQUIREMENTS lists none that is usable");
    for list in ["hosts that are not usable in the request: 77, 78", "datastores that are not", "networks that are not"]
    {
        assert_eq!(decision.notices().matches(list).count(), 1, "{list}: {}", decision.notices());
    }
}

#[test]
fn a_schedulable_vm_that_is_not_in_the_pool_is_told() {
    let xml = request(&[host(1)], &[vm(1, &[1])]).xml();
    let ghost = "<VM><ID>9</ID><HOSTS><ID>1</ID></HOSTS><DATASTORES><ID>0</ID></DATASTORES></VM></REQUIREMENTS>";
    let decided =
        decide::place(xml.replace("</REQUIREMENTS>", ghost).into_bytes(), &Policy::default()).expect("readable");
    let refusal = &decided.planned.report.refusals[0];
    assert_eq!((refusal.vm.0, refusal.text.contains("not in VM_POOL")), (9, true));
}

#[test]
fn empty_pools_give_an_empty_plan() {
    for xml in [
        request(&[], &[]).xml(),
        "<SCHEDULER_DRIVER_ACTION><VM_POOL/><HOST_POOL/><DATASTORE_POOL/><REQUIREMENTS/></SCHEDULER_DRIVER_ACTION>"
            .to_owned(),
    ] {
        let decided = decide::place(xml.into_bytes(), &Policy::default()).expect("readable");
        let plan = plan_xml::write(&decided.planned.plan, plan_xml::PLACEMENT);
        assert!(plan.contains("<ID>-1</ID>") && !plan.contains("ACTION"), "{plan}");
    }
}

#[test]
fn the_form_of_values_does_not_matter() {
    let plain = request(&[host(1), host(2)], &[vm(1, &[1, 2]), vm(2, &[1])]);
    let xml = plain.xml();
    let plan = |xml: String| decide::place(xml.into_bytes(), &Policy::default()).expect("readable").planned.plan;
    let spaced = xml.replace("><", ">\n <");
    let scientific = xml.replace("<MAX_MEM>16777216<", "<MAX_MEM><![CDATA[1.6777216e+07]]><");
    let commented = xml.replace("<HOST_POOL>", "<!-- hosts --><HOST_POOL><?x y?>");
    let nested = xml.replace("<TEMPLATE><CPU>", "<TEMPLATE><A><B><CPU>99</CPU></B></A><CPU>");
    let repeated = xml.replace("</CPU><MEMORY>", "</CPU><CPU>64</CPU><MEMORY>");
    for (name, other) in [
        ("white space", spaced),
        ("scientific notation", scientific),
        ("comments", commented),
        ("nested vectors", nested),
        ("repeated keys: the first counts", repeated),
    ] {
        assert_ne!(other, xml, "{name}");
        assert_eq!(plan(other), plan(xml.clone()), "{name}");
    }
}

#[test]
fn the_order_of_the_document_does_not_matter() {
    let groups = [group(7, &[("a", "AFFINED", "1,2", "")], ""), group(8, &[("b", "ANTI_AFFINED", "3,4", "")], "")];
    let mut one = request(
        &[host(1), host(2).cpu(800, 100), host(3).template("ENERGY_RENEWABLE", "YES")],
        &[vm(1, &[1, 2, 3]), vm(2, &[3, 2, 1]), vm(3, &[1, 2, 3]).cpu("3"), vm(4, &[1, 2, 3]).auto_nic(0, &[3, 4])],
    );
    one.groups = groups.to_vec();
    let one = one.vnet(vnet(3, &[0], &[5], 0)).vnet(vnet(4, &[0], &[5], 0)).datastore(datastore(5, 1, &[0], 10, ""));
    let mut other = one.clone();
    other.vms.reverse();
    other.hosts.reverse();
    other.groups.reverse();
    other.vnets.reverse();
    other.datastores.reverse();
    assert_ne!(one.xml(), other.xml());
    assert_eq!(one.decide().0.planned.plan, other.decide().0.planned.plan);
    assert_eq!(one.decide().placed(), 4);
}

//! Requests as documents: what is odd in one is set aside and told, the rest is placed;
//! what cannot be read at all is one clear sentence.

use crate::support::request::{Vm, datastore, group, host, request, running, vm, vnet};
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
    assert!(refused("<PLAN><ID>-1</ID></PLAN>").contains("root of the request is \"PLAN\""));
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
    assert_eq!(decision.refusal(2), "cannot be placed: oned offers no host for it that is usable now");
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

#[test]
fn a_running_member_that_is_odd_still_counts_where_it_is() {
    let groups = |policy| group(7, &[("db", policy, "1,2", "")], "");
    let odd = running(1, 1).cpu("abc");
    let twice = [running(1, 1), Vm { state: 9, ..running(1, 1) }];
    let hosts = [host(1).vms(&[1]).cpu(800, 600), host(2)];
    for neighbours in [vec![odd], twice.to_vec()] {
        let vms = [neighbours, vec![vm(2, &[1, 2])]].concat();
        assert_eq!(request(&hosts, &vms).group(groups("AFFINED")).decide().host(2), Some(1));
        assert_eq!(request(&hosts, &vms).group(groups("ANTI_AFFINED")).decide().host(2), Some(2));
    }
}

#[test]
fn a_host_list_that_nobody_can_read_allows_no_host() {
    let only = |text: &str| group(7, &[("db", "", "1", &format!("<HOST_AFFINED>{text}</HOST_AFFINED>"))], "");
    let place = |text: &str| request(&[host(1)], &[vm(1, &[1])]).group(only(text)).decide();
    assert_eq!((place("").placed(), place("1, node-2").placed()), (1, 1));
    let unreadable = place("node-1");
    assert_eq!(unreadable.placed(), 0);
    assert!(unreadable.notices().contains("HOST_AFFINED of role \"db\""), "{}", unreadable.notices());
}

#[test]
fn capacity_beyond_reason_is_no_room() {
    let xml = request(&[host(1), host(2)], &[vm(1, &[1, 2]).cpu("20")]).xml();
    let boundless = xml.replacen("<MAX_CPU>800<", "<MAX_CPU>1e400<", 1);
    assert_ne!(xml, boundless);
    let decided = decide::place(boundless.into_bytes(), &Policy::default()).expect("readable");
    assert_eq!(decided.planned.plan.actions, []);
    let local = "<DATASTORES><DS><ID>5</ID><FREE_MB></FREE_MB></DS><FREE_DISK>9000</FREE_DISK></DATASTORES>";
    let disk = vm(1, &[1]).datastores(&[5]).disk(100, "SYSTEM", 1);
    let unread = request(&[host(1).share(local)], &[disk]).datastore(datastore(5, 1, &[0], 0, "<SHARED>NO</SHARED>"));
    assert_eq!(unread.decide().placed(), 0);
}

#[test]
fn more_devices_than_any_vm_has_are_not_searched_for() {
    let nodes = "<NUMA_NODE><TOTAL_CPUS>1</TOTAL_CPUS><MEMORY>1</MEMORY></NUMA_NODE>".repeat(45_000);
    let deep = vm(1, &[1]).template("<TOPOLOGY><PIN_POLICY>CORE</PIN_POLICY></TOPOLOGY>").template(&nodes);
    let decision = request(&[host(1).template("PIN_POLICY", "PINNED")], &[deep]).decide();
    assert!(decision.refusal(1).contains("45000 NUMA_NODE elements"), "{}", decision.refusal(1));
}

#[test]
fn messages_stay_short_whatever_the_document_holds() {
    let long = "x".repeat(1_000_000);
    assert!(refused(format!("<{long}></{long}>")).len() < 300);
    assert!(refused(format!("<SCHEDULER_DRIVER_ACTION><{long}></y></SCHEDULER_DRIVER_ACTION>")).len() < 300);
    let rule = format!("<AFFINED>{long}</AFFINED>");
    let odd = request(&[host(1)], &[vm(1, &[1])]).group(group(7, &[("a", "", "", "")], &rule));
    assert!(odd.decide().notices().len() < 300);
}

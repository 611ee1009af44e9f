//! Hosts that a VM or a role likes, or rather not: they decide among allowed hosts and forbid nothing.

use crate::support::request::{Host, Vm, group, host, request, vm};
use oneaio::opennebula::redact;

fn hosts() -> Vec<Host> {
    [host(1).template("SSD", "yes"), host(2), host(3).template("SSD", "yes"), host(4)].to_vec()
}

fn one(prefer: &str, avoid: &str) -> Vm {
    vm(1, &[1, 2, 3, 4]).user("ONEAIO_PREFER", prefer).user("ONEAIO_AVOID", avoid)
}

#[test]
fn weights_decide_which_host_a_vm_gets() {
    for (prefer, avoid, expected) in [
        ("3", "", &[3][..]),
        ("2, 4:2", "", &[4]),
        ("SSD=yes", "1", &[3]),
        ("", "1,2,3", &[4]),
        ("", "1:5, 2:1, 3:5, 4:5", &[2]),
        ("2:3", "2:4, 1, 3, 4", &[1, 2, 3, 4]),
        ("99", "", &[1, 2, 3, 4]),
    ] {
        let decision = request(&hosts(), &[one(prefer, avoid)]).decide();
        assert!(expected.contains(&decision.host(1).unwrap()), "{prefer} {avoid}: {:?}", decision.host(1));
        assert_eq!(decision.notices(), "", "{prefer} {avoid}");
    }
    let decision = request(&hosts(), &[one("3", "")]).decide();
    assert!(decision.0.planned.report.decisions[0].why.contains("best by its wishes"));
}

#[test]
fn odd_values_are_told_and_the_rest_counts() {
    for odd in ["node3", "SSD=", "=yes", "4:many", "4:-1", "4:1001"] {
        let decision = request(&hosts(), &[one(&format!("{odd}, 3"), "")]).decide();
        assert_eq!(decision.host(1), Some(3), "{odd}");
        let told = format!("VM 1: ONEAIO_PREFER of the VM is {odd:?}; it must be a host ID or ATTRIBUTE=VALUE");
        assert_eq!(decision.notices().matches(&told).count(), 1, "{}", decision.notices());
    }
    let many: Vec<String> = (0..40).map(|id| format!("{}", 100 + id)).collect();
    let decision = request(&hosts(), &[one(&format!("3,{}", many.join(",")), "")]).decide();
    assert_eq!(decision.host(1), Some(3));
    assert!(decision.notices().contains("it has more than 32 terms; the first 32 count"), "{}", decision.notices());
}

#[test]
fn a_role_likes_hosts_for_its_members_and_nobody_waits_for_that() {
    let vms: Vec<Vm> = (1..=20).map(|id| vm(id, &[1, 2, 3, 4]).group(7, "web")).collect();
    let of_role = group(7, &[("web", "", "", "<ONEAIO_PREFER>2</ONEAIO_PREFER>")], "");
    let few = request(&hosts(), &vms[..8]).group(of_role.clone()).decide();
    assert!((1..=8).all(|id| few.host(id) == Some(2)), "eight of one core fit there");
    let all = request(&hosts(), &vms).group(of_role).decide();
    assert_eq!(all.placed(), 20);
    assert_eq!((1..=20).filter(|id| all.host(*id) == Some(2)).count(), 8);
}

#[test]
fn wishes_of_all_against_each_other_place_as_many_as_without() {
    // three VMs, each likes the host that only another one can use
    let hosts = [host(1).cpu(400, 0), host(2).cpu(200, 0), host(3).cpu(100, 0)];
    let likes = |id, cores: &str, of: &[i32], prefer: &str| vm(id, of).cpu(cores).user("ONEAIO_PREFER", prefer);
    let vms = [
        likes(1, "1", &[1, 2, 3], "1"),
        likes(2, "2", &[1, 2], "1"),
        likes(3, "4", &[1], "1"),
        likes(4, "2", &[1, 2], "1:9"),
    ];
    let plain: Vec<Vm> = vms.iter().map(|vm| Vm { user_template: String::new(), ..vm.clone() }).collect();
    assert!(request(&hosts, &vms).decide().placed() >= request(&hosts, &plain).decide().placed());
}

#[test]
fn recordings_keep_wishes() {
    let xml = request(&hosts(), &[one("3", "1")]).xml();
    let mut kept = String::new();
    assert!(redact::redacted(&xml, &mut |piece| kept.push_str(piece)));
    assert!(kept.contains("<ONEAIO_PREFER><![CDATA[3]]></ONEAIO_PREFER>"));
}

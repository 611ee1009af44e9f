//! VM groups: who shares a host with whom.

use crate::support::request::{Decision, Vm, group, host, request, running, vm};

fn hosts(decision: &Decision, vms: &[i32]) -> Vec<i32> {
    let mut hosts: Vec<i32> = vms.iter().filter_map(|&vm| decision.host(vm)).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

#[test]
fn an_affined_role_goes_to_one_host_whole_or_not_at_all() {
    let set = |cores: &str| [1, 2, 3].map(|id| vm(id, &[1, 2]).cpu(cores));
    let place = |cores: &str| {
        request(&[host(1), host(2)], &set(cores)).group(group(7, &[("db", "AFFINED", "1,2,3", "")], "")).decide()
    };
    let fits = place("2");
    assert_eq!((fits.placed(), hosts(&fits, &[1, 2, 3]).len()), (3, 1));
    let too_large = place("3");
    assert_eq!(too_large.placed(), 0);
    assert_eq!(
        too_large.refusal(2),
        "with its affined set (3 VMs) needs 9 cores; the largest of 2 candidate hosts (host 1, node1) has 8"
    );
}

#[test]
fn members_that_name_their_group_belong_to_it_even_if_the_role_does_not_list_them() {
    let vms = [1, 2].map(|id| vm(id, &[1, 2]).group(7, "db"));
    let decision = request(&[host(1), host(2)], &vms).group(group(7, &[("db", "AFFINED", "", "")], "")).decide();
    assert_eq!((decision.placed(), hosts(&decision, &[1, 2]).len()), (2, 1));
}

#[test]
fn affined_members_join_those_that_run() {
    let vms = [running(1, 2), vm(2, &[1, 2]), vm(3, &[1, 3])];
    let at = [host(1), host(2).vms(&[1]).cpu(800, 600), host(3)];
    let decision = request(&at, &vms).group(group(7, &[("db", "AFFINED", "1,2,3", "")], "")).decide();
    assert_eq!((decision.host(2), decision.host(3)), (Some(2), None));
    assert!(
        decision.refusal(3).contains("must join VM 1 on host 2, which is none of its 2 candidate hosts"),
        "{}",
        decision.refusal(3)
    );
}

#[test]
fn a_set_with_a_member_that_cannot_be_judged_waits() {
    let vms = [vm(1, &[1]), vm(2, &[1]).cpu("many")];
    let decision = request(&[host(1)], &vms).group(group(7, &[("db", "AFFINED", "1,2", "")], "")).decide();
    assert_eq!(decision.placed(), 0);
    assert!(decision.refusal(1).contains("VM 2 of its affined set"), "{}", decision.refusal(1));
    assert!(decision.refusal(2).contains("TEMPLATE/CPU"), "{}", decision.refusal(2));
}

#[test]
fn an_anti_affined_role_spreads_and_counts_running_and_parked_members() {
    let vms = [running(1, 1), vm(2, &[1, 2, 3]), vm(3, &[1, 2, 3])];
    let at = [host(1).vms(&[1]), host(2).vms(&[9]), host(3)];
    let group = group(7, &[("web", "anti_affined", "1,2,3,9", "")], "");
    let decision = request(&at, &vms).group(group).decide();
    assert_eq!((decision.placed(), hosts(&decision, &[2, 3])), (1, vec![3]));
    let text = decision.refusal(2) + &decision.refusal(3);
    assert!(text.contains("must be apart"), "{text}");
}

#[test]
fn role_rules_work_in_any_spelling() {
    for (rule, spread) in
        [("web,db", true), ("web, db", true), (" web ,db ", true), ("web", false), ("web,nosuch", false)]
    {
        let roles = [("web", "", "1", ""), ("db", "NONE", "2", "")];
        let rule = format!("<ANTI_AFFINED><![CDATA[{rule}]]></ANTI_AFFINED>");
        let vms = [1, 2].map(|id| vm(id, &[1, 2]).user("SCHED_RANK", "-ID"));
        let decision = request(&[host(1), host(2)], &vms).group(group(7, &roles, &rule)).decide();
        assert_eq!(hosts(&decision, &[1, 2]).len() == 2, spread, "{rule}");
        assert_eq!(decision.placed(), 2, "{rule}");
    }
}

#[test]
fn members_of_one_role_may_meet_where_only_roles_are_apart() {
    let rule = "<ANTI_AFFINED>web,db</ANTI_AFFINED>";
    let roles = [("web", "", "1,2", ""), ("db", "", "3", "")];
    let vms = [vm(1, &[1]), vm(2, &[1]), vm(3, &[1])];
    let decision = request(&[host(1)], &vms).group(group(7, &roles, rule)).decide();
    assert_eq!((decision.placed(), decision.host(3)), (2, None));
}

#[test]
fn affined_rules_that_share_a_role_are_one_chain() {
    let rules = "<AFFINED>a,b</AFFINED><AFFINED>c,d</AFFINED><AFFINED> b , c </AFFINED>";
    let roles = [("a", "", "1", ""), ("b", "", "2", ""), ("c", "", "3", ""), ("d", "", "4", "")];
    let vms = [1, 2, 3, 4].map(|id| vm(id, &[1, 2]));
    let decision = request(&[host(1), host(2)], &vms).group(group(7, &roles, rules)).decide();
    assert_eq!((decision.placed(), hosts(&decision, &[1, 2, 3, 4]).len()), (4, 1));
}

#[test]
fn host_affinity_keeps_its_blanks_and_works() {
    let only = "<HOST_AFFINED><![CDATA[2, 3 ,9]]></HOST_AFFINED>";
    let never = "<HOST_ANTI_AFFINED><![CDATA[ 1 ,2]]></HOST_ANTI_AFFINED>";
    let roles = [("a", "", "1", only), ("b", "", "2", never)];
    let vms = [vm(1, &[1, 3]), vm(2, &[1, 2])];
    let decision = request(&[host(1), host(2), host(3)], &vms).group(group(7, &roles, "")).decide();
    assert_eq!((decision.host(1), decision.host(2)), (Some(3), None));
    assert!(decision.refusal(2).contains("HOST_ANTI_AFFINED"), "{}", decision.refusal(2));
}

#[test]
fn a_vm_whose_group_is_not_told_waits() {
    let decision = request(&[host(1)], &[vm(1, &[1]).group(7, "web")]).decide();
    assert_eq!(decision.refusal(1), "cannot be placed: the request does not tell the rules of its VM group 7");
}

#[test]
fn an_affined_pair_that_is_moved_moves_together_or_the_newcomer_joins_it() {
    let group = || group(7, &[("db", "AFFINED", "1,2", "")], "");
    let moving = vm(1, &[2]).resched(1, 0);
    let together = request(&[host(1).vms(&[1]), host(2)], &[moving.clone(), vm(2, &[1, 2])]).group(group()).decide();
    assert_eq!((together.host(1), together.host(2)), (Some(2), Some(2)));
    let full = [host(1).vms(&[1]), host(2).cpu(800, 800)];
    let joins = request(&full, &[moving, vm(2, &[1, 2])]).group(group()).decide();
    assert_eq!((joins.host(1), joins.host(2)), (None, Some(1)));
}

#[test]
fn a_vm_that_is_moved_away_still_counts_where_it_was() {
    let group = group(7, &[("web", "ANTI_AFFINED", "1,2", "")], "");
    let vms = [vm(1, &[2]).resched(1, 0), vm(2, &[1])];
    let decision = request(&[host(1).vms(&[1]), host(2)], &vms).group(group).decide();
    assert_eq!((decision.host(1), decision.host(2)), (Some(2), None));
}

#[test]
fn a_pending_member_that_is_flagged_resched_holds_its_set_back() {
    let flagged = Vm { resched: true, ..vm(1, &[1, 2]) };
    let vms = [flagged, vm(2, &[1, 2])];
    let decision = request(&[host(1), host(2)], &vms).group(group(7, &[("db", "AFFINED", "1,2", "")], "")).decide();
    assert_eq!(decision.placed(), 0);
    assert!(decision.refusal(1).contains("RESCHED"), "{}", decision.refusal(1));
}

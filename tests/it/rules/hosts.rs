//! Hard rules about hosts: capacity, candidates, state, requirements, quotas.

use crate::support::request::{Vm, datastore, host, request, running, vm};
use oneaio::model::policy::Policy;

#[test]
fn cpu_is_what_is_allocated_not_what_is_used() {
    let full = host(1).cpu(800, 750).sample(1000, 0, 0);
    let decision = request(&[full, host(2)], &[vm(5, &[1, 2])]).decide();
    assert_eq!(decision.host(5), Some(2));
}

#[test]
fn capacity_counts_over_the_whole_batch_and_to_the_last_percent() {
    let vms: Vec<_> = (0..9).map(|id| vm(id, &[1])).collect();
    let decision = request(&[host(1)], &vms).decide();
    assert_eq!(decision.placed(), 8);
    let exact = vm(1, &[1]).cpu("8").memory(16 * 1024);
    assert_eq!(request(&[host(1)], &[exact]).decide().host(1), Some(1));
    let memory = vm(1, &[1]).memory(16 * 1024 + 1);
    let decision = request(&[host(1)], &[memory]).decide();
    assert_eq!(
        decision.refusal(1),
        "needs 16778240 KiB of memory; its only candidate, host 1, node1, has 16777216 KiB"
    );
}

#[test]
fn cpu_is_reckoned_in_single_precision_as_oned_does() {
    // 1.15 x 100 is 114.99999 in double precision and 115 in oned
    let decision = request(&[host(1).cpu(114, 0)], &[vm(1, &[1]).cpu("1.15")]).decide();
    assert_eq!(decision.host(1), None);
    let decision = request(&[host(1).cpu(115, 0)], &[vm(1, &[1]).cpu("1.15")]).decide();
    assert_eq!(decision.host(1), Some(1));
}

#[test]
fn only_candidate_hosts_in_a_deployable_state_are_used() {
    let mut disabled = host(1);
    disabled.state = 4;
    let decision = request(&[disabled, host(2), host(3).cpu(800, 700)], &[vm(9, &[1, 3])]).decide();
    assert_eq!(decision.host(9), Some(3));
}

#[test]
fn a_vm_that_is_not_pending_is_never_deployed() {
    let mut held = vm(1, &[1]);
    held.state = 2;
    let mut active = vm(2, &[1]);
    active.state = 3;
    let decision = request(&[host(1)], &[held, active, vm(3, &[1])]).decide();
    assert_eq!((decision.host(1), decision.host(2), decision.host(3)), (None, None, Some(1)));
    assert!(decision.refusal(1).contains("neither pending nor flagged RESCHED"));
}

#[test]
fn members_of_groups_that_are_not_in_requirements_are_left_alone() {
    let filtered = Vm { hosts: None, ..vm(7, &[]) };
    let decision = request(&[host(1)], &[filtered, vm(8, &[1])]).decide();
    assert_eq!((decision.host(7), decision.host(8)), (None, Some(1)));
    assert_eq!(decision.refusal(7), "");
}

#[test]
fn current_vms_terms_see_the_plan_grow() {
    // 2 must not be with 1, whoever comes first; 3 must be with 2; 4 must not be with running 9
    let vms = [
        vm(1, &[1, 2]),
        vm(2, &[1, 2]).user("SCHED_REQUIREMENTS", "CURRENT_VMS != 1 & NAME = \"node*\""),
        vm(3, &[1, 2]).user("SCHED_REQUIREMENTS", "CURRENT_VMS = 2 | ARCH = \"none\""),
        vm(4, &[1, 2]).template("<AUTOMATIC_REQUIREMENTS>!(CURRENT_VMS = 9) &amp; ID > 0</AUTOMATIC_REQUIREMENTS>"),
    ];
    let decision = request(&[host(1).vms(&[9]), host(2)], &vms).decide();
    assert_eq!(decision.placed(), 4);
    assert_ne!(decision.host(1), decision.host(2));
    assert_eq!(decision.host(2), decision.host(3));
    assert_eq!(decision.host(4), Some(2));
}

#[test]
fn a_later_vm_does_not_break_the_current_vms_term_of_an_earlier_one() {
    // both fit one host only; 1 refuses 2, so 2 waits however small it is
    let first = vm(1, &[1]).cpu("2").user("SCHED_REQUIREMENTS", "CURRENT_VMS != 2");
    let decision = request(&[host(1)], &[first, vm(2, &[1])]).decide();
    assert_eq!(decision.placed(), 1);
}

#[test]
fn unreadable_current_vms_terms_keep_the_vm_waiting_and_say_why() {
    let odd = vm(1, &[1]).user("SCHED_REQUIREMENTS", "CURRENT_VMS = ");
    let decision = request(&[host(1)], &[odd, vm(2, &[1])]).decide();
    assert_eq!((decision.host(1), decision.host(2)), (None, Some(1)));
    assert!(decision.refusal(1).contains("requirements cannot be read"), "{}", decision.refusal(1));
}

#[test]
fn pinned_vms_go_to_pinned_hosts_and_others_never() {
    let pinned = vm(1, &[1, 2]).template(
        "<TOPOLOGY><PIN_POLICY>CORE</PIN_POLICY></TOPOLOGY>\
         <NUMA_NODE><TOTAL_CPUS>1</TOTAL_CPUS><MEMORY>1048576</MEMORY></NUMA_NODE>",
    );
    let hosts = [host(1), host(2).template("PIN_POLICY", "PINNED").share(&common_numa())];
    let decision = request(&hosts, &[pinned, vm(2, &[1, 2])]).decide();
    assert_eq!((decision.host(1), decision.host(2)), (Some(2), Some(1)));
}

fn common_numa() -> String {
    "<NUMA_NODES><NODE><NODE_ID>0</NODE_ID><CORE><ID>0</ID><CPUS>0:-1,1:-1</CPUS></CORE>\
     <MEMORY><TOTAL>16777216</TOTAL><USAGE>0</USAGE></MEMORY></NODE></NUMA_NODES>"
        .to_owned()
}

#[test]
fn a_resched_vm_migrates_within_its_datastore_and_leaves_its_host() {
    let moving = vm(5, &[2, 3]).resched(1, 0).disk(2_000_000, "SYSTEM", 0);
    let hosts = [host(1).vms(&[5]), host(2).cpu(800, 800), host(3)];
    let decision = request(&hosts, &[moving]).decide();
    let action = decision.action(5).expect("placed");
    assert_eq!((action.operation.name(), action.host.0, action.datastore.0), ("migrate", 3, 0));
}

#[test]
fn a_stopped_vm_is_deployed_where_its_disks_are_and_needs_no_room_for_them() {
    let mut resumed = vm(5, &[1, 2]).datastores(&[0, 10]).disk(900_000, "SYSTEM", 1);
    resumed.history = Some((1, 10, 9));
    let roomier_but_elsewhere = request(&[host(1), host(2)], &[resumed]).datastore(datastore(10, 1, &[0], 100, ""));
    let decision = roomier_but_elsewhere.decide();
    let action = decision.action(5).expect("placed");
    assert_eq!((action.operation.name(), action.datastore.0), ("deploy", 10));
}

#[test]
fn no_limit_per_host_unless_configured() {
    let vms: Vec<_> = (0..6).map(|id| vm(id, &[1, 2])).collect();
    let request = request(&[host(1), host(2)], &vms);
    assert_eq!(request.decide().placed(), 6);
    let decision = request.decide_with(&Policy { max_per_host: Some(2), ..Policy::default() });
    assert_eq!(decision.placed(), 4);
}

#[test]
fn sched_rank_goes_first_and_counts_the_plan_as_it_grows() {
    let ranked = |id| vm(id, &[1, 2, 3]).user("SCHED_RANK", "-RUNNING_VMS");
    let hosts = [host(1).vms(&[91, 92]), host(2).vms(&[93]), host(3)];
    let decision = request(&hosts, &[ranked(1), ranked(2), ranked(3)]).decide();
    // 0 on host 3, then 1 each on hosts 2 and 3, so the third makes a pair there
    let on = |h| (1..=3).filter(|&id| decision.host(id) == Some(h)).count();
    assert_eq!((on(1), on(2), on(3)), (0, 1, 2));
    let wish = vm(1, &[1, 2]).user("SCHED_RANK", "RUNNING_VMS");
    let busy = request(&[host(1).cpu(800, 600).vms(&[91, 92]), host(2)], &[wish]);
    assert_eq!(busy.decide().host(1), Some(1));
    let ignored = busy.decide_with(&Policy { sched_rank: false, ..Policy::default() });
    assert_eq!(ignored.host(1), Some(2));
}

#[test]
fn an_unreadable_rank_is_told_and_passed_over() {
    let decision = request(&[host(1)], &[vm(1, &[1]).user("SCHED_RANK", "FREE_CPU +")]).decide();
    assert_eq!(decision.host(1), Some(1));
    assert!(decision.notices().contains("VM 1: SCHED_RANK cannot be read"), "{}", decision.notices());
}

#[test]
fn large_vms_go_first_and_small_ones_fill_the_gaps() {
    let vms: Vec<_> = (0..4).map(|id| vm(id, &[1, 2]).cpu("2")).chain([vm(9, &[1, 2]).cpu("8")]).collect();
    let decision = request(&[host(1), host(2)], &vms).decide();
    assert_eq!(decision.placed(), 5);
}

#[test]
fn when_not_all_fit_the_most_vms_are_placed() {
    let vms: Vec<_> = (0..8).map(|id| vm(id, &[1])).chain([vm(9, &[1]).cpu("5")]).collect();
    let decision = request(&[host(1)], &vms).decide();
    assert_eq!((decision.placed(), decision.host(9)), (8, None));
    assert_eq!(
        decision.refusal(9),
        "needs 5 cores; cannot go to its only candidate, host 1, node1: it has 0 cores free after this batch"
    );
}

#[test]
fn others_of_the_batch_make_room() {
    // 1 and 2 may go to both hosts, 3 only to host 1, which they would fill
    let vms = [vm(1, &[1, 2]).cpu("5"), vm(2, &[1, 2]).cpu("5"), vm(3, &[1]).cpu("4")];
    let decision = request(&[host(1), host(2).cpu(1000, 0)], &vms).decide();
    assert_eq!(decision.placed(), 3);
}

#[test]
fn a_refusal_names_what_lacks_with_numbers_and_the_nearest_miss() {
    let hosts: Vec<_> = (0..12).map(|id| host(id).cpu(800, 800 - 50 * i64::from(id))).collect();
    let all: Vec<i32> = (0..12).collect();
    let decision = request(&hosts, &[vm(1, &all).cpu("8")]).decide();
    assert_eq!(decision.refusal(1), "needs 8 cores; the best of 12 candidate hosts (host 11, node11) has 5.5 free");
    let mixed = [host(1).cpu(800, 700), host(2).memory(2 << 20, 2 << 20)];
    let decision = request(&mixed, &[vm(1, &[1, 2]).cpu("2")]).decide();
    assert_eq!(
        decision.refusal(1),
        "needs 2 cores; nearest is host 1, node1: it has 1 core free; of 2 candidate hosts lacking CPU on 1, memory on 1"
    );
}

#[test]
fn running_vms_outside_the_batch_stay_out_of_the_plan() {
    let decision = request(&[host(1).vms(&[3])], &[running(3, 1), vm(4, &[1])]).decide();
    assert_eq!(decision.placed(), 1);
}

#[test]
fn a_vm_is_not_moved_to_the_host_that_it_is_to_leave() {
    let moving = vm(5, &[1, 2]).resched(1, 0);
    let decision = request(&[host(1).vms(&[5]), host(2).cpu(800, 700)], &[moving]).decide();
    assert_eq!(decision.host(5), Some(2));
}

#[test]
fn a_long_chain_of_wishes_is_placed_whoever_comes_first() {
    // each wants to be with the next one; only the last wants nothing
    let wish = |id: i32| vm(id, &[1, 2, 3]).user("SCHED_REQUIREMENTS", &format!("CURRENT_VMS = {}", id + 1));
    let vms: Vec<_> = (0..200).map(wish).chain([vm(200, &[1, 2, 3])]).collect();
    let hosts = [1, 2, 3].map(|id| host(id).cpu(30_000, 0).memory(1 << 40, 0));
    let decision = request(&hosts, &vms).decide();
    assert_eq!(decision.placed(), 201);
}

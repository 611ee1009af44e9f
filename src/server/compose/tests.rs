use super::*;
use crate::model::snapshot::HostMonitoring;
use crate::opennebula::{cloud, external};
use std::time::Instant;

fn batch(vms: &str) -> Batch {
    external::read(format!("{{\"VMS\":[{vms}]}}").as_bytes()).expect(vms)
}

/// Hosts 3 (off), 4 and 5 of 8 cores; VM 8 waits.
fn known() -> Cloud {
    let host = |id: i32, state: i32| {
        format!(
            "<HOST><ID>{id}</ID><STATE>{state}</STATE><CLUSTER_ID>{id}</CLUSTER_ID><HOST_SHARE><MAX_CPU>800</MAX_CPU>\
             <MAX_MEM>8000</MAX_MEM></HOST_SHARE><VMS><ID>70</ID></VMS></HOST>"
        )
    };
    let pool = format!("<HOST_POOL>{}{}{}</HOST_POOL>", host(3, 4), host(4, 2), host(5, 2));
    let mut cloud = Cloud { hosts: Vec::new(), vms: HashMap::new(), at: Instant::now() };
    cloud::hosts(pool.as_bytes(), &mut |host| cloud.hosts.push(host)).expect("reads");
    let pool = "<VM_POOL><VM><ID>8</ID><STATE>1</STATE><TEMPLATE><CPU>2</CPU><MEMORY>1</MEMORY><NIC><NIC_ID>0</NIC_ID>\
                <NETWORK_MODE>auto</NETWORK_MODE></NIC><DISK><SIZE>99</SIZE><TYPE>fs</TYPE></DISK></TEMPLATE>\
                <USER_TEMPLATE><SCHED_RANK>FREE_CPU</SCHED_RANK><ERROR>no lease</ERROR></USER_TEMPLATE><HISTORY_RECORDS>\
                <HISTORY><SEQ>3</SEQ><HID>4</HID><STIME>10</STIME><ETIME>20</ETIME><ACTION>14</ACTION></HISTORY>\
                </HISTORY_RECORDS></VM></VM_POOL>";
    cloud::vms(pool.as_bytes(), &mut |vm| drop(cloud.vms.insert(vm.id, vm))).expect("reads");
    cloud
}

fn why(composed: &Composed) -> Vec<(i32, Why)> {
    composed.left_out.iter().map(|out| (out.vm.0, out.why)).collect()
}

fn hosts_of(composed: &Composed, vm: i32) -> Vec<i32> {
    let snapshot = &composed.snapshot;
    let of = snapshot.candidates.iter().find(|candidates| snapshot.vms[candidates.vm].id == VmId(vm)).expect("there");
    of.hosts.iter().map(|&host| snapshot.hosts[host as usize].id.0).collect()
}

#[test]
fn what_oned_knows_is_joined_and_what_mm_sched_settles_is_not_asked_again() {
    let batch = batch(
        "{\"ID\":8,\"HOST_IDS\":[5,4]},{\"ID\":7,\"HOST_IDS\":[4,5,77],\"CAPACITY\":{\"CPU\":1.5,\"MEMORY\":9},\"VM_ATTRIBUTES\":{\"FLAVOURS\":\"web\"}}",
    );
    let composed = compose(&batch, Some(&known()), &Booked::default(), None, 50);
    let snapshot = &composed.snapshot;
    assert!(composed.left_out.is_empty());
    // the disabled host is not offered, so it does not count
    assert_eq!(snapshot.hosts.iter().map(|host| host.id.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!((hosts_of(&composed, 7), hosts_of(&composed, 8)), (vec![4, 5], vec![4, 5]));
    let vm = snapshot.vm(VmId(8)).expect("there");
    assert_eq!((vm.cpu.0, vm.memory.0, vm.rank.as_str()), (200, 1024, "FREE_CPU"));
    assert!(vm.auto_nics.is_empty() && vm.system_disk == Disk(0));
    assert_eq!(snapshot.datastores[0].clusters, [ClusterId(4), ClusterId(5)]);
    assert_eq!(snapshot.taken_at, 50);
    let vm = snapshot.vm(VmId(7)).expect("there");
    assert_eq!((vm.cpu, vm.memory), (Cpu(150), Memory(9)));
    assert_eq!((vm.identity.flavours.as_str(), vm.identity.cpu, vm.identity.memory), ("web", 150, 9));
}

#[test]
fn who_cannot_be_judged_is_left_out_with_the_reason() {
    let size = "\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}";
    let batch = batch(&format!(
        "{{\"ID\":1,\"HOST_IDS\":[],{size}}},{{\"ID\":2,\"HOST_IDS\":[77],{size}}},{{\"ID\":3,\"HOST_IDS\":[4]}},\
         {{\"ID\":4,\"HOST_IDS\":[4],\"HOST_ID\":4,{size}}},{{\"ID\":5,\"HOST_IDS\":[]}}"
    ));
    let composed = compose(&batch, Some(&known()), &Booked::default(), None, 0);
    let expected =
        [(1, Why::NoHosts), (2, Why::UnknownHosts), (3, Why::UnknownSize), (4, Why::NoHosts), (5, Why::NoHosts)];
    assert_eq!(why(&composed), expected);
    // the calls of AI-Orchestrator carry no size
    let composed = compose(&batch, Some(&known()), &Booked::default(), Some((Cpu(100), Memory(1))), 0);
    assert_eq!(hosts_of(&composed, 3), [4]);
}

#[test]
fn a_vm_to_be_moved_goes_anywhere_but_where_it_is() {
    let batch = batch("{\"ID\":70,\"HOST_IDS\":[4,5],\"HOST_ID\":4,\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}}");
    let composed = compose(&batch, Some(&known()), &Booked::default(), None, 0);
    let vm = &composed.snapshot.vms[0];
    assert_eq!((vm.resched, vm.state, vm.host), (true, VmState::Active, Some(HostId(4))));
    assert_eq!(hosts_of(&composed, 70), [5]);
}

#[test]
fn answers_of_late_take_their_room_unless_shown_or_asked_again() {
    let mut booked = Booked::default();
    for vm in [1, 2, 70] {
        let size = (Cpu(300), Memory(30));
        booked.add(&Vm { host: Some(HostId(4)), ..Vm::plain(VmId(vm), size.0, size.1) }, HostId(4), 0);
    }
    let batch = batch("{\"ID\":1,\"HOST_IDS\":[4,5],\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}}");
    let with = compose(&batch, Some(&known()), &booked, None, 0).snapshot;
    assert_eq!((with.hosts[0].cpu_allocated, with.hosts[0].memory_allocated), (Cpu(300), Memory(30)));
    // without oned: as large as all together
    let without = compose(&batch, None, &booked, None, 0).snapshot;
    assert_eq!(without.hosts.iter().map(|host| host.id.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(without.hosts[0].cpu, Cpu(100 + 100 + 900));
    assert_eq!((without.hosts[0].cpu_allocated, without.hosts[1].cpu_allocated), (Cpu(600), Cpu(0)));
}

#[test]
fn what_oned_tells_of_failed_starts_comes_along() {
    let batch = batch("{\"ID\":8,\"HOST_IDS\":[4,5]}");
    let vm = compose(&batch, Some(&known()), &Booked::default(), None, 0).snapshot.vms.remove(0);
    assert_eq!((vm.last_run.map(|run| run.sequence), vm.error.as_str(), vm.host), (Some(3), "no lease", None));
}

#[test]
fn who_was_answered_of_late_stands_on_its_host() {
    let mut booked = Booked::default();
    for (vm, host) in [(2, 5), (70, 4), (9, 99)] {
        let mut vm = Vm::plain(VmId(vm), Cpu(300), Memory(30));
        vm.identity.name = "booked".to_owned();
        booked.add(&vm, HostId(host), 0);
    }
    let batch = batch("{\"ID\":1,\"HOST_IDS\":[4,5],\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}}");
    let found = compose(&batch, Some(&known()), &booked, None, 0).snapshot;
    let allocated: Vec<(i64, i64)> =
        found.hosts.iter().map(|host| (host.cpu_allocated.0, host.memory_allocated.0)).collect();
    // the host shows 70 itself
    assert_eq!(allocated, [(0, 0), (300, 30)]);
    let stands: Vec<_> = found.vms.iter().map(|vm| (vm.id.0, vm.host.map(|host| host.0), vm.state)).collect();
    let (active, pending) = (VmState::Active, VmState::Pending);
    assert_eq!(stands, [(1, None, pending), (2, Some(5), active), (70, Some(4), active)]);
    assert_eq!((found.vms[1].identity.name.as_str(), found.vms[1].cpu), ("booked", Cpu(300)));
    assert_eq!((found.candidates.len(), found.candidates[0].vm), (1, 0));
}

#[test]
fn what_mm_sched_has_settled_is_one_datastore_for_all() {
    let batch = batch("{\"ID\":8,\"HOST_IDS\":[4,5]}");
    let found = compose(&batch, Some(&known()), &Booked::default(), None, 0).snapshot;
    let datastore = &found.datastores[0];
    assert_eq!((found.datastores.len(), datastore.id, datastore.free), (1, ANY, Disk(i64::MAX / 4)));
    assert!(datastore.system && datastore.shared && !datastore.moves_live);
    let request = &found.candidates[0];
    assert_eq!((&*request.datastores, request.nics.len()), (&[0][..], 0));
    let without = compose(&batch, None, &Booked::default(), Some((Cpu(100), Memory(10))), 0).snapshot;
    assert_eq!((without.hosts[0].cpu, without.hosts[0].memory), (Cpu(200), Memory(1034)));
}

#[test]
fn a_request_is_as_late_as_its_newest_sample() {
    let mut cloud = known();
    let sample = |timestamp| HostMonitoring { timestamp, cpu_used: Cpu(1), memory_used: Memory(1) };
    cloud.hosts[1].monitoring = Some(sample(70));
    cloud.hosts[2].monitoring = Some(sample(60));
    let batch = batch("{\"ID\":8,\"HOST_IDS\":[4,5]}");
    let at = |now: i64| compose(&batch, Some(&cloud), &Booked::default(), None, now).snapshot.taken_at;
    assert_eq!((at(50), at(70), at(71)), (70, 70, 71));
}

#[test]
fn what_failed_before_a_vm_was_stopped_is_no_failure_now() {
    let mut cloud = known();
    let batch = batch("{\"ID\":8,\"HOST_IDS\":[4,5]}");
    let of = |cloud: &Cloud| {
        let vm = compose(&batch, Some(cloud), &Booked::default(), None, 0).snapshot.vms.remove(0);
        (vm.last_run.is_some(), vm.stays.len())
    };
    assert_eq!(of(&cloud), (true, 1));
    cloud.vms.get_mut(&VmId(8)).expect("there").resume = true;
    assert_eq!(of(&cloud), (false, 0));
}

#[test]
fn who_has_no_host_left_is_told_from_who_names_unknown_ones() {
    let size = "\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}";
    let batch = batch(&format!(
        "{{\"ID\":9,\"HOST_IDS\":[77,4],\"HOST_ID\":4,{size}}},{{\"ID\":3,\"HOST_IDS\":[5],\"HOST_ID\":5}},\
         {{\"ID\":2,\"HOST_IDS\":[3],{size}}},{{\"ID\":1,\"HOST_IDS\":[5],\"HOST_ID\":5,{size}}}"
    ));
    let composed = compose(&batch, Some(&known()), &Booked::default(), None, 0);
    assert_eq!(why(&composed), [(9, Why::UnknownHosts), (3, Why::NoHosts), (1, Why::NoHosts)]);
    // a host that oned has disabled is fit where mm_sched offers it
    assert_eq!(hosts_of(&composed, 2), [3]);
    assert!(composed.snapshot.hosts.iter().all(|host| host.enabled));
}

//! Documents that oned may well write and that are easily misread: records out of order,
//! devices of nobody, copies of a VM.

use crate::support::request::{Vm, group, host, request, running, vm};
use oneaio::decide;
use oneaio::model::ids::{DatastoreId, HostId};
use oneaio::model::snapshot::Snapshot;

fn read(xml: &str) -> Snapshot {
    decide::read(xml.as_bytes().to_vec()).unwrap()
}

fn record(sequence: &str, host: i32, action: i32) -> String {
    format!(
        "<HISTORY>{sequence}<HID>{host}</HID><DS_ID>{}</DS_ID><ACTION>{action}</ACTION>\
         <STIME>{host}0</STIME><ETIME>{host}5</ETIME></HISTORY>",
        host + 100
    )
}

#[test]
fn the_record_with_the_highest_number_is_the_last_wherever_it_stands() {
    let records = [record("<SEQ>0</SEQ>", 1, 0), record("<SEQ>1</SEQ>", 2, 9), record("<SEQ>2</SEQ>", 3, 0)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let history: String = order.map(|index| records[index].as_str()).concat();
        let one = Vm { more: format!("<HISTORY_RECORDS>{history}</HISTORY_RECORDS>"), state: 3, ..vm(7, &[1]) };
        let snapshot = read(&request(&[host(1)], &[one]).xml());
        let vm = &snapshot.vms[0];
        assert_eq!((vm.host, vm.datastore), (Some(HostId(3)), Some(DatastoreId(103))), "{order:?}");
        let run = vm.last_run.unwrap();
        assert_eq!((run.sequence, run.began, run.ended), (2, 30, 35), "{order:?}");
        assert!(!vm.resume, "{order:?}: the stop of an earlier record is over");
    }
    // of two with one number the first counts, and a record without a number is the first of all
    for (records, host) in [
        ([record("<SEQ>4</SEQ>", 1, 0), record("<SEQ>4</SEQ>", 2, 0)], 1),
        ([record("", 1, 0), record("<SEQ>1</SEQ>", 2, 0)], 2),
        ([record("<SEQ>1</SEQ>", 1, 0), record("", 2, 0)], 1),
    ] {
        let one = Vm { more: format!("<HISTORY_RECORDS>{}</HISTORY_RECORDS>", records.concat()), ..vm(7, &[1]) };
        let snapshot = read(&request(&[crate::support::request::host(1)], &[one]).xml());
        assert_eq!(snapshot.vms[0].host, Some(HostId(host)));
    }
}

#[test]
fn a_stopped_vm_comes_back_by_its_last_record_only() {
    let history = [record("<SEQ>1</SEQ>", 2, 9), record("<SEQ>0</SEQ>", 1, 0)].concat();
    let one = Vm { more: format!("<HISTORY_RECORDS>{history}</HISTORY_RECORDS>"), ..vm(7, &[1]) };
    assert!(read(&request(&[host(1)], &[one]).xml()).vms[0].resume);
    let history = [record("<SEQ>1</SEQ>", 2, 0), record("<SEQ>0</SEQ>", 1, 9)].concat();
    let one = Vm { more: format!("<HISTORY_RECORDS>{history}</HISTORY_RECORDS>"), ..vm(7, &[1]) };
    assert!(!read(&request(&[host(1)], &[one]).xml()).vms[0].resume);
}

#[test]
fn a_device_is_free_unless_a_vm_has_it() {
    for (holder, free) in [
        ("", true),
        ("<VMID></VMID>", true),
        ("<VMID>-1</VMID>", true),
        ("<VMID>0</VMID>", false),
        ("<VMID>12</VMID>", false),
        ("<VMID>what</VMID>", false),
    ] {
        let device = format!("<PCI_DEVICES><PCI><ADDRESS>a</ADDRESS><VENDOR>10de</VENDOR>{holder}</PCI></PCI_DEVICES>");
        let wants = vm(1, &[1]).template("<PCI><VENDOR>10de</VENDOR></PCI>");
        let decision = request(&[host(1).share(&device)], &[wants]).decide();
        assert_eq!(decision.host(1).is_some(), free, "{holder}: {}", decision.refusal(1));
    }
}

#[test]
fn a_thread_is_free_unless_a_vm_is_on_it_or_it_is_reserved() {
    for (cpus, free) in
        [("0,1", true), ("0:-1,1:-1", true), ("0:,1:", true), ("0:5,1", false), ("0,1:0", false), ("0:-2,1:-2", false)]
    {
        let node = format!(
            "<NUMA_NODES><NODE><NODE_ID>0</NODE_ID><CORE><ID>0</ID><CPUS>{cpus}</CPUS></CORE>\
             <MEMORY><TOTAL>4194304</TOTAL><USAGE>0</USAGE></MEMORY></NODE></NUMA_NODES>"
        );
        // a whole core of its own
        let wants = vm(1, &[1]).template(
            "<TOPOLOGY><PIN_POLICY>CORE</PIN_POLICY></TOPOLOGY>\
             <NUMA_NODE><TOTAL_CPUS>1</TOTAL_CPUS><MEMORY>1024</MEMORY></NUMA_NODE>",
        );
        let decision = request(&[host(1).template("PIN_POLICY", "PINNED").share(&node)], &[wants]).decide();
        assert_eq!(decision.host(1).is_some(), free, "{cpus}: {}", decision.refusal(1));
    }
}

#[test]
fn of_two_copies_of_a_vm_the_one_that_runs_counts_for_its_neighbours() {
    let waits = vm(7, &[1, 2]);
    let runs = running(7, 1);
    for copies in [[waits.clone(), runs.clone()], [runs, waits]] {
        let [first, second] = copies;
        // host 1 is the emptier one, but VM 7 runs there
        let hosts = [host(1).vms(&[7]), host(2).cpu(800, 300)];
        let apart = group(4, &[("a", "ANTI_AFFINED", "7,8", "")], "");
        let decision = request(&hosts, &[first.clone(), second.clone(), vm(8, &[1, 2])]).group(apart).decide();
        assert_eq!((decision.host(7), decision.host(8)), (None, Some(2)));
        assert!(decision.refusal(7).contains("more than once"), "{}", decision.refusal(7));
        let together = group(4, &[("a", "AFFINED", "7,8", "")], "");
        // and where it is full its affined member waits for it
        let hosts = [host(1).vms(&[7]).cpu(800, 800), host(2)];
        let decision = request(&hosts, &[first, second, vm(8, &[1, 2])]).group(together).decide();
        assert_eq!(decision.host(8), None, "{}", decision.refusal(8));
    }
}

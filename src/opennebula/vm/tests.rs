use super::*;
use crate::model::wish::Liked;

/// A VM with this inside, and what was odd.
fn vm(inside: &str) -> (Vm, Odd) {
    let xml = format!("<VM>{inside}</VM>");
    let (mut walker, _) = Walker::open(&xml).unwrap();
    let (_, vm, odd) = read(&mut walker).unwrap();
    (vm, odd)
}

/// What its TEMPLATE makes of it.
fn of_template(inside: &str) -> (Vm, Odd) {
    vm(&format!("<ID>5</ID><TEMPLATE>{inside}</TEMPLATE>"))
}

fn values(values: &[(&str, &str)]) -> String {
    values.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect()
}

#[test]
fn a_vm_is_read_value_by_value_and_the_first_counts() {
    let template = values(&[
        ("CPU", "1.5"),
        ("CPU", "9"),
        ("MEMORY", "512"),
        ("MEMORY", "9"),
        ("TEMPLATE_ID", "77"),
        ("AUTOMATIC_REQUIREMENTS", "CLUSTER_ID = 0"),
    ]);
    let more = "<DISK><SIZE>1</SIZE></DISK><DISK><IMAGE_ID>8</IMAGE_ID></DISK><DISK><IMAGE_ID>9</IMAGE_ID></DISK>";
    let user = values(&[
        ("SCHED_RANK", "FREE_CPU"),
        ("RANK", "OLD"),
        ("SCHED_DS_RANK", "FREE_MB"),
        ("onedrs_blocked", "yes"),
        ("oneaio_prefer", "3"),
        ("oneaio_avoid", "4"),
        ("oneaio_priority", "60"),
        ("ERROR", "no lease"),
        ("SCHED_MESSAGE", "waits"),
        ("flavours", "web"),
        ("SCHED_REQUIREMENTS", "CURRENT_VMS != 3"),
    ]);
    let (found, odd) = vm(&format!(
        "<ID>5</ID><ID>6</ID><NAME>a</NAME><NAME>b</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE><UID>2</UID>\
         <RESCHED>1</RESCHED><LOCK><LOCKED>1</LOCKED></LOCK><TEMPLATE>{template}{more}</TEMPLATE>\
         <USER_TEMPLATE>{user}</USER_TEMPLATE><MONITORING><TIMESTAMP>50</TIMESTAMP><CPU>7</CPU><MEMORY>8</MEMORY>\
         </MONITORING><MONITORING><TIMESTAMP>60</TIMESTAMP></MONITORING><OTHER>x</OTHER>"
    ));
    assert!(odd.fatal.is_none() && odd.remarks.is_empty(), "{odd:?}");
    assert_eq!((found.id, found.name.as_str(), found.state), (VmId(5), "a", VmState::Active));
    assert_eq!((found.cpu, found.memory, found.priority), (Cpu(150), Memory(512 << 10), 60));
    assert_eq!((found.rank.as_str(), found.datastore_rank.as_str()), ("FREE_CPU", "FREE_MB"));
    assert_eq!((found.error.as_str(), found.sched_message.as_str()), ("no lease", "waits"));
    assert!(found.blocked && found.locked && found.resched && !found.transient && !found.unknown && !found.resume);
    assert_eq!(found.current_vms_rules, ["CURRENT_VMS != 3"]);
    let who = &found.identity;
    assert_eq!((who.flavours.as_str(), who.template, who.image, who.owner), ("web", Some(77), Some(8), Some(2)));
    let likings: Vec<(bool, f64)> =
        found.likings.iter().map(|one| (matches!(one.hosts, Liked::Host(HostId(3))), one.weight)).collect();
    assert_eq!(likings, [(true, 1.0), (false, -1.0)]);
    assert_eq!(found.monitoring.map(|sample| (sample.timestamp, sample.counters.id)), Some((50, 5)));
    // without any of it
    let (plain, odd) = vm("");
    assert!(odd.fatal.is_none() && !plain.blocked && !plain.locked && !plain.resched && plain.monitoring.is_none());
    assert_eq!((plain.id, plain.state, plain.cpu, plain.memory), (VmId(-1), VmState::Other, Cpu(0), Memory(0)));
    assert_eq!((plain.host, plain.datastore, plain.last_run, plain.priority), (None, None, None, 0));
    assert_eq!(vm("<USER_TEMPLATE><RANK>OLD</RANK></USER_TEMPLATE>").0.rank, "OLD");
    assert_eq!(vm("<USER_TEMPLATE><SCHED_RANK/><RANK>OLD</RANK></USER_TEMPLATE>").0.rank, "", "an empty one counts");
}

#[test]
fn states_are_told_apart() {
    use VmState::{Active, Other, Parked, Pending};
    for (state, lcm, expected, transient, unknown, suspended) in [
        ("1", "0", Pending, false, false, false),
        ("3", "3", Active, false, false, false),
        ("3", "16", Active, false, true, false),
        ("3", "", Active, false, false, false),
        ("3", "2", Active, true, false, false),
        ("3", "x", Active, true, false, false),
        ("5", "16", Parked, false, false, true),
        ("8", "0", Parked, false, false, false),
        ("6", "0", Other, false, false, false),
        ("", "", Other, false, false, false),
    ] {
        let found = vm(&values(&[("STATE", state), ("LCM_STATE", lcm)])).0;
        let told = (found.state, found.transient, found.unknown, found.suspended);
        assert_eq!(told, (expected, transient, unknown, suspended), "{state} {lcm}");
    }
    let locked = |level: &str| vm(&format!("<LOCK><OTHER>9</OTHER><LOCKED>{level}</LOCKED></LOCK>")).0.locked;
    assert_eq!(["0", "1", "4", "x", ""].map(locked), [false, true, true, false, false]);
    let resched = |text: &str| vm(&values(&[("RESCHED", text)])).0.resched;
    assert_eq!(["0", "1", "2"].map(resched), [false, true, false]);
}

/// HISTORY of (SEQ, HID, STIME, ETIME, ACTION).
fn history(records: &[(&str, &str, i64, i64, i64)]) -> String {
    let record = |(sequence, host, began, ended, action): &(&str, &str, i64, i64, i64)| {
        format!(
            "<HISTORY><SEQ>{sequence}</SEQ><HID>{host}</HID><STIME>{began}</STIME><ETIME>{ended}</ETIME>\
             <DS_ID>{}</DS_ID><ACTION>{action}</ACTION></HISTORY>",
            100 + began
        )
    };
    format!("<HISTORY_RECORDS>{}</HISTORY_RECORDS>", records.iter().map(record).collect::<String>())
}

#[test]
fn the_record_of_the_highest_sequence_is_the_last() {
    let found =
        vm(&history(&[("1", "4", 10, 20, 0), ("3", "6", 30, 0, 0), ("2", "5", 20, 30, 9), ("3", "7", 99, 0, 0)])).0;
    assert_eq!((found.host, found.datastore), (Some(HostId(6)), Some(DatastoreId(130))));
    assert_eq!(found.last_run, Some(LastRun { sequence: 3, began: 30, ended: 0 }));
    let stay = |host: i32, began: i64, ended: i64| Stay { host: HostId(host), began, ended };
    assert_eq!(found.stays, [stay(4, 10, 20), stay(5, 20, 30), stay(6, 30, 0), stay(7, 99, 0)]);
    // one without a host is no stay
    let found = vm(&history(&[("0", "x", 1, 2, 0)])).0;
    assert_eq!((found.host, found.stays, found.last_run.map(|run| run.ended)), (None, vec![], Some(2)));
    // of many the latest sixteen
    let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
    let records: Vec<_> = many.iter().map(|number| (number.as_str(), number.as_str(), 0, 0, 0)).collect();
    let hosts: Vec<i32> = vm(&history(&records)).0.stays.iter().map(|stay| stay.host.0).collect();
    assert_eq!(hosts, (1..17).collect::<Vec<_>>());
}

#[test]
fn who_was_stopped_or_undeployed_is_resumed_unless_it_runs() {
    for (action, resumes) in [(5, true), (6, true), (9, true), (4, false), (7, false), (0, false)] {
        let of = |state: &str| vm(&format!("<STATE>{state}</STATE>{}", history(&[("0", "1", 0, 0, action)]))).0.resume;
        assert_eq!((of("1"), of("3")), (resumes, false), "{action}");
    }
    // the last record counts
    let found = vm(&format!("<STATE>1</STATE>{}", history(&[("0", "1", 0, 0, 5), ("1", "1", 0, 0, 0)]))).0;
    assert!(!found.resume);
}

#[test]
fn cores_are_cut_off_as_oned_reckons_and_what_is_none_sets_aside() {
    let of = |text: &str| {
        let (found, odd) = of_template(&values(&[("CPU", text), ("MEMORY", "1")]));
        (found.cpu.0, odd.fatal)
    };
    assert_eq!((of("0.29"), of("2"), of("0"), of("")), ((29, None), (200, None), (0, None), (0, None)));
    assert_eq!(of("1e30").0, i64::MAX);
    assert_eq!(of("-0.5"), (0, Some("TEMPLATE/CPU is \"-0.5\", below zero".to_owned())));
    assert_eq!(of("many"), (0, Some("TEMPLATE/CPU is \"many\", not a number".to_owned())));
    let memory = |text: &str| of_template(&values(&[("MEMORY", text)])).1.fatal;
    assert_eq!(memory("-1"), Some("TEMPLATE/MEMORY is below zero (-1)".to_owned()));
}

#[test]
fn disks_take_room_where_they_are_cloned_to_with_their_snapshots() {
    let (found, odd) = of_template(
        "<DISK><TYPE>FS</TYPE><SIZE>1</SIZE><DISK_SNAPSHOT_TOTAL_SIZE>2</DISK_SNAPSHOT_TOTAL_SIZE></DISK>\
         <DISK><DATASTORE_ID>9</DATASTORE_ID><CLONE>no</CLONE><CLONE_TARGET>SYSTEM</CLONE_TARGET><LN_TARGET>self</LN_TARGET>\
         <SIZE>10</SIZE><DISK_SNAPSHOT_TOTAL_SIZE>5</DISK_SNAPSHOT_TOTAL_SIZE></DISK>\
         <DISK><DATASTORE_ID>9</DATASTORE_ID><CLONE>no</CLONE><LN_TARGET>system</LN_TARGET><SIZE>100</SIZE></DISK>\
         <DISK><CLONE>no</CLONE><LN_TARGET>SYSTEM</LN_TARGET><SIZE>1000</SIZE></DISK>\
         <DISK><TYPE>swap</TYPE></DISK>",
    );
    assert_eq!((found.system_disk, odd.fatal), (Disk(103), None));
    assert_eq!(found.image_disks, [(DatastoreId(9), Disk(15))]);
    let (_, odd) = of_template("<DISK><SIZE>1</SIZE><DISK_SNAPSHOT_TOTAL_SIZE>x</DISK_SNAPSHOT_TOTAL_SIZE></DISK>");
    assert_eq!(odd.fatal.unwrap(), "DISK/DISK_SNAPSHOT_TOTAL_SIZE is \"x\", not a number");
}

#[test]
fn nics_wait_for_a_network_where_they_are_in_auto_mode() {
    let long = "9".repeat(MAX_RANK + 1);
    let (found, odd) = of_template(&format!(
        "<NIC><NIC_ID>3</NIC_ID><NETWORK_MODE>AUTO</NETWORK_MODE><NETWORK_ID>7</NETWORK_ID></NIC>\
         <NIC><NIC_ID>1</NIC_ID><NETWORK_MODE>auto</NETWORK_MODE><SCHED_RANK>FREE</SCHED_RANK></NIC>\
         <NIC><NIC_ID>0</NIC_ID><NETWORK_ID>7</NETWORK_ID></NIC><NIC><NETWORK_MODE>auto</NETWORK_MODE></NIC>\
         <NIC><NIC_ID>4</NIC_ID><NETWORK_MODE>auto</NETWORK_MODE><SCHED_RANK>{long}</SCHED_RANK></NIC>\
         <PCI><NIC_ID>2</NIC_ID><NETWORK_MODE>auto</NETWORK_MODE><ADDRESS>b</ADDRESS></PCI>\
         <PCI><NETWORK_MODE>auto</NETWORK_MODE><SHORT_ADDRESS>c</SHORT_ADDRESS><ADDRESS>a</ADDRESS></PCI>\
         <PCI><ADDRESS>a</ADDRESS></PCI>"
    ));
    let nic = |id: i32, rank: &str, assigned: bool| AutoNic { id: NicId(id), rank: rank.to_owned(), assigned };
    assert_eq!(found.auto_nics, [nic(1, "FREE", false), nic(2, "", false), nic(3, "", true), nic(4, "", false)]);
    assert_eq!(odd.remarks, ["SCHED_RANK of a NIC has 1001 characters, more than 1000; it is ignored"]);
    assert_eq!((found.pci.len(), found.pci_held), (3, vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn more_devices_than_any_vm_has_set_it_aside() {
    for (tag, inside) in [("NIC", ""), ("PCI", ""), ("NUMA_NODE", "")] {
        let many = |count: usize| of_template(&format!("<{tag}>{inside}</{tag}>").repeat(count)).1.fatal;
        let told = format!("TEMPLATE has 257 {tag} elements, more than 256");
        assert_eq!((many(MAX_DEVICES), many(MAX_DEVICES + 1)), (None, Some(told)));
    }
}

#[test]
fn ranks_and_requirements_end_where_they_would_take_too_long() {
    let of = |name: &str, text: &str| vm(&format!("<USER_TEMPLATE><{name}>{text}</{name}></USER_TEMPLATE>"));
    for (name, rank) in [("SCHED_RANK", 0), ("SCHED_DS_RANK", 1)] {
        let told = |text: &str| {
            let (found, odd) = of(name, text);
            ([found.rank, found.datastore_rank][rank].len(), odd.remarks)
        };
        assert_eq!(told(&"x".repeat(MAX_RANK)), (MAX_RANK, vec![]));
        let text = format!("{name} has 1001 characters, more than 1000; it is ignored");
        assert_eq!(told(&"x".repeat(MAX_RANK + 1)), (0, vec![text]));
    }
    let requirements = |length: usize| {
        let (found, odd) = of("SCHED_REQUIREMENTS", &format!("CURRENT_VMS{}", "x".repeat(length - 11)));
        (found.current_vms_rules.len(), odd.fatal)
    };
    assert_eq!(requirements(MAX_REQUIREMENTS), (1, None));
    let text = "its requirements have 4001 characters and speak of CURRENT_VMS; at most 4000 are read".to_owned();
    assert_eq!(requirements(MAX_REQUIREMENTS + 1), (0, Some(text)));
    assert!(of("SCHED_REQUIREMENTS", &"x".repeat(9000)).1.fatal.is_none(), "oned has settled it");
    let both = "<TEMPLATE><AUTOMATIC_REQUIREMENTS>!(CURRENT_VMS = 1)</AUTOMATIC_REQUIREMENTS></TEMPLATE><USER_TEMPLATE>\
                <SCHED_REQUIREMENTS>CURRENT_VMS = 2</SCHED_REQUIREMENTS></USER_TEMPLATE>";
    assert_eq!(vm(both).0.current_vms_rules, ["!(CURRENT_VMS = 1)", "CURRENT_VMS = 2"]);
}

#[test]
fn a_topology_is_read_with_its_nodes() {
    let nodes = "<NUMA_NODE><TOTAL_CPUS>2</TOTAL_CPUS><MEMORY>1024</MEMORY></NUMA_NODE><NUMA_NODE/>";
    let of = |policy: &str, more: &str| {
        let text = format!("<TOPOLOGY><PIN_POLICY>{policy}</PIN_POLICY>{more}</TOPOLOGY><TOPOLOGY><A>b</A></TOPOLOGY>");
        of_template(&format!("{text}{nodes}"))
    };
    let more = values(&[("THREADS", "2"), ("HUGEPAGE_SIZE", "2"), ("NODE_AFFINITY", "1")]);
    let node = |cpus: u32, memory: i64| VirtualNode { cpus, memory: Memory(memory) };
    let expected = Topology {
        pin_policy: PinPolicy::Core,
        threads: 2,
        hugepage: Memory(2048),
        node_affinity: Some(1),
        nodes: vec![node(2, 1024), node(0, 0)],
    };
    assert_eq!(of("core", &more).0.topology, Some(expected));
    let policy = |policy: &str| of(policy, "").0.topology.unwrap().pin_policy;
    assert_eq!(
        [policy("THREAD"), policy("shared"), policy("NONE"), policy("")],
        [PinPolicy::Thread, PinPolicy::Shared, PinPolicy::None, PinPolicy::None]
    );
    assert_eq!((of_template("<TOPOLOGY/>").0.topology, of_template(nodes).0.topology), (None, None));
    let told = |more: &str| of("CORE", more).1.fatal.unwrap();
    assert_eq!(told("<THREADS>-1</THREADS>"), "TOPOLOGY/THREADS is below zero (-1)");
    assert_eq!(told("<HUGEPAGE_SIZE>x</HUGEPAGE_SIZE>"), "TOPOLOGY/HUGEPAGE_SIZE is \"x\", not a number");
    let (_, odd) = of_template("<TOPOLOGY><A>b</A></TOPOLOGY><NUMA_NODE><MEMORY>-2</MEMORY></NUMA_NODE>");
    assert_eq!(odd.fatal.unwrap(), "NUMA_NODE/MEMORY is below zero (-2)");
}

#[test]
fn the_first_group_counts_and_needs_an_id() {
    let group = |id: &str, role: &str| format!("<VMGROUP><VMGROUP_ID>{id}</VMGROUP_ID><ROLE>{role}</ROLE></VMGROUP>");
    let (found, odd) = of_template(&[group("4", "web"), group("5", "db")].concat());
    assert_eq!(found.group, Some((GroupId(4), "web".to_owned())));
    assert_eq!(odd.remarks, ["TEMPLATE has more than one VMGROUP; the first counts"]);
    let (found, odd) = of_template(&group("x", "web"));
    assert_eq!((found.group, odd.fatal), (None, Some("VMGROUP_ID is \"x\", not an id".to_owned())));
    assert_eq!(of_template("").0.group, None);
}

//! What mm_sched of OpenNebula 6 sends, against the real binary and an oned that fails.

use crate::support::server::{Mood, ScriptedOned, Service, changed, eventually, hosts, pending, refusal, success};
use crate::support::skip::shared;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

fn vm(id: i32, hosts: &[i32], cores: f64) -> String {
    format!(
        "{{\"ID\":{id},\"STATE\":\"PENDING\",\"HOST_IDS\":{hosts:?},\"CAPACITY\":{{\"CPU\":{cores},\"MEMORY\":1048576,\
         \"DISK_SIZE\":1024}},\"VM_ATTRIBUTES\":{{\"FLAVOURS\":\"nginx\"}}}}"
    )
}

fn batch(vms: &[String]) -> String {
    format!("{{\"VMS\":[{}]}}", vms.join(","))
}

/// Host 3 is full, 4 runs on renewable energy, 5 and 6 do not.
fn cloud() -> ScriptedOned {
    let pool = hosts(&[(3, 8, 8, "NO", &[90]), (4, 8, 0, "YES", &[]), (5, 8, 0, "NO", &[]), (6, 8, 0, "NO", &[])]);
    ScriptedOned::start(&[
        ("one.hostpool.info", pool),
        ("one.vmpool.infoextended", pending(&[(40, 2, "<FLAVOURS>web</FLAVOURS>"), (41, 9, "")])),
    ])
}

#[test]
fn the_documented_requests_get_their_answers() {
    let folder = tempfile::tempdir().unwrap();
    let oned = cloud();
    let service = Service::start(folder.path(), Some(&oned), &[]);
    assert_eq!(service.get_json("/readyz")["oned"]["state"], "ok");

    // the documented form; the full host is passed over
    let answer = service.batch(&batch(&[vm(32, &[3, 4, 5], 1.5)]));
    assert!([4, 5].contains(&answer[&32]), "{answer:?}");
    // a batch is spread: one per host, as MAX_HOST = 1 wants it
    let answer =
        service.batch(&batch(&[vm(33, &[3, 4, 5, 6], 1.0), vm(34, &[3, 4, 5, 6], 1.0), vm(35, &[4, 5, 6], 1.0)]));
    let mut used: Vec<i64> = answer.values().copied().collect();
    used.sort_unstable();
    assert_eq!(used, [4, 5, 6]);
    // more VMs than hosts: as even as can be
    let many: Vec<String> = (100..106).map(|id| vm(id, &[4, 5, 6], 0.5)).collect();
    let answer = service.batch(&batch(&many));
    assert_eq!((4..=6).map(|host| answer.values().filter(|at| **at == host).count()).collect::<Vec<_>>(), [2, 2, 2]);
    // no VMs
    assert!(service.batch("{\"VMS\":null}").is_empty());
    assert!(service.batch("{\"VMS\":[]}").is_empty());
    // RESCHED: never to where it runs
    let moved =
        "{\"ID\":90,\"STATE\":\"RUNNING\",\"HOST_IDS\":[3,5],\"HOST_ID\":3,\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1024}}";
    assert_eq!(service.batch(&batch(&[moved.to_owned()]))[&90], 5);
    // no attributes, nor null ones
    for attributes in ["", ",\"VM_ATTRIBUTES\":null", ",\"VM_ATTRIBUTES\":{}"] {
        let plain = format!("{{\"ID\":50,\"HOST_IDS\":[5],\"CAPACITY\":{{\"CPU\":1,\"MEMORY\":1024}}{attributes}}}");
        assert_eq!(service.batch(&batch(&[plain]))[&50], 5);
    }
    // before 6.8: TEMPLATE and USER_TEMPLATE
    let old = "{\"ID\":51,\"HOST_IDS\":[3,6],\"STATE\":\"PENDING\",\"TEMPLATE\":{\"CPU\":\"1\",\"MEMORY\":\"128\"},\
               \"USER_TEMPLATE\":{\"FLAVOURS\":\"db\",\"NOTE\":[\"x\"]}}";
    assert_eq!(service.batch(&batch(&[old.to_owned()]))[&51], 6);
    // no CAPACITY: oned knows the size, too large for all in one case
    let sizeless = |id: i32| format!("{{\"ID\":{id},\"HOST_IDS\":[4,5,6]}}");
    let answer = service.batch(&batch(&[sizeless(40), sizeless(41)]));
    assert!(answer.contains_key(&40) && !answer.contains_key(&41), "{answer:?}");
    // nobody knows the size, the hosts, or any host at all: mm_sched decides those
    let answer = service.batch(&batch(&[sizeless(60), vm(61, &[77], 1.0), vm(62, &[], 1.0), vm(63, &[77, 5], 1.0)]));
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[&63], 5);

    let log = service.log();
    assert!(log.contains("vm=41 waits:") && log.contains("vm=61 left out") && log.contains("placed=1"), "{log}");
    assert!(!log.contains("t0psecret"), "{log}");
    let (status, numbers) = service.get("/metrics");
    assert_eq!(status, 200);
    for line in ["oneaio_refusals_total{reason=\"cpu\"} 1", "oneaio_requests_total{route=\"/\",status=\"200\"}"] {
        assert!(numbers.contains(line), "{line} is not in\n{numbers}");
    }
    let (status, took) = service.stop();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn what_oned_has_measured_of_hosts_counts() {
    for (busy, idle) in [(4, 5), (5, 4)] {
        let folder = tempfile::tempdir().unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let sample = |host: i32, cpu: i32| {
            format!(
                "<MONITORING><ID>{host}</ID><TIMESTAMP>{now}</TIMESTAMP><CAPACITY><USED_CPU>{cpu}</USED_CPU>\
                 <USED_MEMORY>1024</USED_MEMORY></CAPACITY></MONITORING>"
            )
        };
        let samples = format!("<MONITORING_DATA>{}{}</MONITORING_DATA>", sample(busy, 700), sample(idle, 10));
        let oned = ScriptedOned::start(&[
            ("one.hostpool.info", hosts(&[(4, 8, 0, "NO", &[]), (5, 8, 0, "NO", &[])])),
            ("one.hostpool.monitoring", success(&samples)),
        ]);
        let service = Service::start(folder.path(), Some(&oned), &[]);
        assert_eq!(service.batch(&batch(&[vm(1, &[4, 5], 1.0)]))[&1], i64::from(idle), "host {busy} is busy");
    }
}

#[test]
fn renewable_energy_that_oned_tells_of_is_preferred() {
    let folder = tempfile::tempdir().unwrap();
    let oned = ScriptedOned::start(&[("one.hostpool.info", hosts(&[(4, 8, 0, "NO", &[]), (5, 8, 0, "0.9", &[])]))]);
    let service = Service::start(folder.path(), Some(&oned), &[]);
    assert_eq!(service.batch(&batch(&[vm(1, &[4, 5], 1.0)]))[&1], 5);
    assert!(service.get("/metrics").1.contains("oneaio_green_share 0.9"));
}

#[test]
fn two_quick_requests_do_not_fill_a_host_twice() {
    let folder = tempfile::tempdir().unwrap();
    let oned = ScriptedOned::start(&[("one.hostpool.info", hosts(&[(4, 4, 0, "", &[]), (5, 4, 3, "", &[])]))]);
    let service = Service::start(folder.path(), Some(&oned), &[]);
    assert_eq!(service.batch(&batch(&[vm(1, &[4, 5], 3.0)]))[&1], 4);
    // still pending in the next cycle: it does not stand in its own way
    assert_eq!(service.batch(&batch(&[vm(1, &[4, 5], 3.0)]))[&1], 4);
    let answer = service.batch(&batch(&[vm(2, &[4, 5], 2.0), vm(3, &[4, 5], 1.0)]));
    assert!(!answer.contains_key(&2) && answer.contains_key(&3), "{answer:?}");
}

#[test]
fn a_lost_oned_costs_knowledge_and_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let oned = cloud();
    let service = Service::start(folder.path(), Some(&oned), &["serve.oned_max_age=3"]);
    for mood in [Mood::Closing, Mood::Cut, Mood::Refusing, Mood::Page] {
        oned.mood(mood);
        eventually("a failed look", || service.get_json("/readyz")["oned"]["state"] == "stale");
        // the last known state is still good: host 3 is full
        assert_eq!(service.batch(&batch(&[vm(1, &[3, 5], 1.0)]))[&1], 5, "{mood:?}");
        oned.mood(Mood::Well);
        eventually("oned is back", || service.get_json("/readyz")["oned"]["state"] == "ok");
    }
    oned.mood(Mood::Silent);
    eventually("the state is too old", || service.get_json("/readyz")["oned"]["state"] == "lost");
    let begun = Instant::now();
    // nothing is known any more: equal shares of the hosts that the request names
    let all: Vec<String> = (10..14).map(|id| vm(id, &[3, 5, 77, 78], 1.0)).collect();
    let answer = service.batch(&batch(&all));
    let mut used: Vec<i64> = answer.values().copied().collect();
    used.sort_unstable();
    assert_eq!(used, [3, 5, 77, 78]);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(service.get("/readyz").0, 200);
    let log = service.log();
    assert!(log.contains("oned is lost, its state of") && log.contains("oned answers again"), "{log}");
    assert!(!log.contains("t0psecret"), "{log}");
    // it hangs in a look, and ends all the same
    let (status, took) = service.stop();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn without_any_oned_it_starts_and_spreads() {
    let folder = tempfile::tempdir().unwrap();
    let mut nobody = cloud();
    nobody.address = "127.0.0.1:9".parse().unwrap();
    let service = Service::start(folder.path(), Some(&nobody), &[]);
    let all: Vec<String> = (1..31).map(|id| vm(id, &(1..101).collect::<Vec<_>>(), 1.0)).collect();
    let answer = service.batch(&batch(&all));
    let distinct: std::collections::HashSet<&i64> = answer.values().collect();
    assert_eq!((answer.len(), distinct.len()), (30, 30));
    assert!(service.log().contains("oned is not known yet"), "{}", service.log());
}

#[test]
fn answers_of_a_real_oned_are_understood() {
    let Some(captures) = shared("captures/xmlrpc") else { return };
    let answer = |name: &str| std::fs::read_to_string(captures.join(format!("{name}.response.xml"))).unwrap();
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", answer("one.hostpool.info")),
        ("one.clusterpool.info", answer("one.clusterpool.info")),
        ("one.hostpool.monitoring", answer("one.hostpool.monitoring-last")),
        ("one.vmpool.infoextended", answer("one.vmpool.infoextended")),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), Some(&oned), &["log=debug"]);
    // VM 1701 is pending, its size comes from oned; 717 takes pinned VMs or not, as it says
    let answer = service.batch("{\"VMS\":[{\"ID\":1701,\"HOST_IDS\":[713,714,715,716]}]}");
    assert!((713..=716).contains(&answer[&1701]), "{answer:?}");
    let (status, answer) = service.post("/", batch(&[vm(1, &[1, 2, 3], 1.0)]));
    assert_eq!((status, &answer["LEFT_OUT"][0]["field"]), (200, &"VMS[0].HOST_IDS".into()));
    let log = service.log();
    assert!(log.contains("looked at oned: 5 hosts") && log.contains(" 0 unreadable"), "{log}");
    assert!(oned.asked("one.hostpool.monitoring") > 0 && oned.asked("one.clusterpool.info") > 0);

    oned.set("one.hostpool.info", answer_of_an_ordinary_user(&captures));
    eventually("no hosts are shown", || service.log().contains("oned shows no hosts"));
    assert_eq!(service.batch(&batch(&[vm(2, &[1, 2, 3], 1.0)])).len(), 1);
}

/// mm_sched keeps only the last piece of up to 16 KiB that its HTTP library hands over.
#[test]
fn an_answer_to_mm_sched_is_short_enough_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), None, &[]);
    let all: Vec<String> = (100_000..100_700).map(|id| vm(id, &[100, 101], 0.01)).collect();
    let body = batch(&all);
    let head = "POST / HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nContent-Type: application/json\r\n";
    let answer =
        service.raw(format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).as_bytes());
    assert!(answer.len() < 16 * 1024, "{}", answer.len());
    let json: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert!(json["VMS"].as_array().unwrap().len() > 400);
    // anybody else gets all
    assert_eq!(service.batch(&body).len(), 700);
}

/// The sample lines lead to where the service listens by default, and wait long enough.
#[test]
fn the_sample_configuration_fits_the_defaults() {
    let text = include_str!("../../../oned-config/sched.conf");
    let lines: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let block = lines.split_once("EXTERNAL_SCHEDULER = [").unwrap().1.split_once(']').unwrap().0;
    let value = |name: &str| {
        let pairs = block.split(',').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.into_iter().find(|(key, _)| key.trim() == name).unwrap();
        value.trim().trim_matches('"').to_owned()
    };
    let serve = oneaio::config::serve::Serve::default();
    assert_eq!(value("SERVER"), format!("http://{}:{}", serve.address, serve.port));
    assert!(value("TIMEOUT").parse::<f64>().unwrap() > serve.deadline);
    assert_eq!(value("PROXY"), "");
    assert!(lines.contains("VM_ATTRIBUTE = \"/VM/USER_TEMPLATE/FLAVOURS\""));
}

fn answer_of_an_ordinary_user(captures: &Path) -> String {
    std::fs::read_to_string(captures.join("error-authorization.response.xml")).unwrap()
}

#[test]
fn a_vm_that_does_not_start_goes_last_and_is_never_left_to_mm_sched() {
    let folder = tempfile::tempdir().unwrap();
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(4, 8, 0, "NO", &[]), (5, 8, 0, "NO", &[])])),
        ("one.vmpool.infoextended", pending(&[(8, 6, "")])),
    ]);
    let store = format!("history.store=sqlite:{}", folder.path().join("history.db").display());
    let service = Service::start_with(folder.path(), Some(&oned), &["retry.after=1", "retry.pause=3600"], |command| {
        command.args(["--set", &store]).env_remove("ML_MODEL_PORT");
    });
    let (large, small) = (|hosts: &[i32]| vm(8, hosts, 6.0), vm(9, &[4], 5.0));
    assert_eq!(service.batch(&batch(&[large(&[4])]))[&8], 4);
    // it failed: with as much room for either of the two, the other gets it
    oned.set("one.vmpool.infoextended", pending(&[(8, 6, "<ERROR>no lease</ERROR>"), (9, 5, "")]));
    let looks = oned.asked("one.vmpool.infoextended");
    eventually("oned is looked at twice", || oned.asked("one.vmpool.infoextended") > looks + 1);
    let answer = service.batch(&batch(&[large(&[4]), small]));
    assert_eq!((answer.get(&8), answer.get(&9)), (None, Some(&4)), "{answer:?}");
    assert_eq!(service.batch(&batch(&[large(&[5])]))[&8], 5, "it is not held back");
}

/// What mm_sched of 6.10 makes of an answer: it goes through the VMs in turn; one that is
/// answered with a host that it knows may go there only, any other goes where it fits best. At
/// most `max_host` VMs start on a host.
fn mm_sched(
    free: &BTreeMap<i64, f64>,
    vms: &[(i32, Vec<i32>, f64)],
    answer: &HashMap<i64, i64>,
    max_host: usize,
) -> BTreeMap<i64, i64> {
    let (mut free, mut started) = (free.clone(), BTreeMap::new());
    for (id, matched, cores) in vms {
        let id = i64::from(*id);
        let own = || matched.iter().copied().map(i64::from).collect();
        let hosts: Vec<i64> =
            answer.get(&id).filter(|host| free.contains_key(host)).map_or_else(own, |host| vec![*host]);
        let fits = |host: &i64| free[host] >= *cores && started.values().filter(|at| *at == host).count() < max_host;
        let best = hosts.into_iter().filter(fits).max_by(|a, b| free[a].total_cmp(&free[b]));
        if let Some(host) = best {
            *free.get_mut(&host).unwrap() -= cores;
            started.insert(id, host);
        }
    }
    started
}

/// A batch's answer, and those of it that have to wait.
fn answered(service: &Service, vms: &[(i32, Vec<i32>, f64)]) -> (HashMap<i64, i64>, BTreeSet<i64>) {
    let body: Vec<String> = vms.iter().map(|(id, hosts, cores)| vm(*id, hosts, *cores)).collect();
    let (status, answer) = service.post("/", batch(&body));
    assert_eq!(status, 200, "{answer}");
    let number = |value: &serde_json::Value| value.as_i64().unwrap();
    let hosts = answer["VMS"].as_array().unwrap().iter().map(|vm| (number(&vm["ID"]), number(&vm["HOST_ID"])));
    let waiting = answer["WAITING"].as_array().into_iter().flatten().map(|vm| number(&vm["ID"]));
    (hosts.collect(), waiting.collect())
}

#[test]
fn who_has_to_wait_waits_and_takes_nobodys_room() {
    // each batch has hosts of its own, so that none sees the bookings of another
    const BATCHES: i32 = 80;
    let mut random = 7_u64;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut pool: Vec<(i32, i64, i64)> = Vec::new();
    let mut batches = Vec::new();
    for number in 0..BATCHES {
        let hosts: Vec<i32> = (0..2 + draw(3) as i32).map(|host| number * 10 + host).collect();
        let room: Vec<(i32, i64)> = hosts.iter().map(|host| (*host, 2 + draw(7) as i64)).collect();
        pool.extend(room.iter().map(|(host, free)| (*host, 16, 16 - free)));
        let mut vms = Vec::new();
        for id in 0..3 + draw(6) as i32 {
            let cores = 1 + draw(7) as i64;
            // mm_sched names hosts that have the room now
            let fits = |(host, free): &(i32, i64)| (*free >= cores).then_some(*host);
            let matched: Vec<i32> = room.iter().filter_map(fits).filter(|_| draw(4) > 0).collect();
            if !matched.is_empty() {
                vms.push((number * 100 + id, matched, cores as f64));
            }
        }
        let free: BTreeMap<i64, f64> = room.iter().map(|(host, free)| (i64::from(*host), *free as f64)).collect();
        batches.push((free, vms));
    }
    let pool: Vec<_> = pool.iter().map(|(id, cores, used)| (*id, *cores, *used, "", &[][..])).collect();
    let (mut waited, mut robbed, mut held) = (0, 0, 0);
    for max_host in [1, 4] {
        let oned = ScriptedOned::start(&[("one.hostpool.info", hosts(&pool))]);
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(folder.path(), Some(&oned), &[&format!("serve.max_host={max_host}")]);
        for (free, vms) in &batches {
            let (answer, waiting) = answered(&service, vms);
            let placed: BTreeMap<i64, i64> =
                answer.iter().filter(|(vm, _)| !waiting.contains(vm)).map(|(vm, host)| (*vm, *host)).collect();
            for (vm, host) in &answer {
                let (_, matched, _) = vms.iter().find(|(id, ..)| i64::from(*id) == *vm).unwrap();
                assert!(matched.contains(&(*host as i32)), "VM {vm} was sent to {host}, which was not named: {vms:?}");
            }
            let begun = mm_sched(free, vms, &answer, max_host);
            // more than MAX_HOST on a host wait for the next cycle, as the plan has it
            assert!(
                begun.iter().all(|(vm, host)| placed.get(vm) == Some(host)),
                "{vms:?} {answer:?} {waiting:?} {begun:?}\n{}",
                service.log()
            );
            assert!(max_host == 1 || begun == placed, "{free:?} {vms:?} {answer:?} {waiting:?} {begun:?}");
            waited += waiting.len();
            held += answer.len() - placed.len();
            robbed += usize::from(mm_sched(free, vms, &placed.clone().into_iter().collect(), max_host) != begun);
        }
        assert!(!service.log().contains("cannot be kept waiting"), "{}", service.log());
    }
    assert!(waited > 50 && held > 50 && robbed > 20, "nothing was tried: {waited} {held} {robbed}");
}

/// Hosts 4 and 5 of 8 cores each, and VMs 1 to 4 of 4 cores: two for each host.
fn four_of_four_cores(oned_says: &[(i32, i64, &str)]) -> (ScriptedOned, String) {
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(4, 8, 0, "NO", &[]), (5, 8, 0, "NO", &[])])),
        ("one.vmpool.infoextended", pending(oned_says)),
        ("one.vm.update", changed(1)),
    ]);
    let vms: Vec<String> = (1..5).map(|id| vm(id, &[4, 5], 4.0)).collect();
    (oned, batch(&vms))
}

#[test]
fn who_comes_with_a_later_cycle_is_answered_and_takes_no_room_yet() {
    for (limits, next) in [
        (&["serve.max_host=1"][..], vec![3, 4]),
        (&["serve.max_host=0", "serve.max_dispatch=3"], vec![4]),
        (&["serve.max_host=0", "serve.max_dispatch=0"], vec![]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (oned, four) = four_of_four_cores(&[]);
        let log = folder.path().join("decisions");
        let to_log = format!("decision_log={}", log.display());
        let set = [limits, &[to_log.as_str()]].concat();
        let service = Service::start(folder.path(), Some(&oned), &set);
        eventually("ready", || service.get("/readyz").0 == 200);
        let (status, answer) = service.post("/", &four);
        assert_eq!(status, 200, "{answer}");
        let ids = |key: &str| answer[key].as_array().into_iter().flatten().map(|vm| vm["ID"].as_i64().unwrap());
        assert_eq!(ids("VMS").collect::<Vec<_>>(), [1, 2, 3, 4], "mm_sched would choose itself: {answer}");
        assert_eq!(ids("NEXT").collect::<Vec<_>>(), next, "{limits:?}: {answer}");
        assert_eq!(ids("WAITING").count(), 0, "{answer}");
        // it is told at INFO, and nobody is said to wait
        let told = |id: &i64| format!("vm={id} fits on host {}", host_of(&answer, *id));
        eventually("told", || next.iter().all(|id| service.log().contains(&told(id))));
        let count = format!(" placed={} next={} waiting=0", 4 - next.len(), next.len());
        eventually(&count, || service.log().contains(&count));
        let said = service.log();
        assert!(!said.contains("waits: ") && !said.contains("WARN"), "{said}");
        // what is noted as placed is what starts
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        eventually("it is noted", || text().ends_with('\n'));
        let noted: serde_json::Value = serde_json::from_str(&text()).unwrap();
        assert_eq!(noted["placed"].as_array().unwrap().len(), 4 - next.len(), "{noted}");
        // and only that takes room from whoever comes meanwhile
        let host = next.last().map_or(4, |last| host_of(&answer, *last));
        let (_, answer) = service.post("/", batch(&[vm(9, &[host as i32], 4.0)]));
        let waiting = answer["WAITING"].as_array().into_iter().flatten().count();
        assert_eq!(waiting, usize::from(next.is_empty()), "{limits:?}: {answer}");
    }
}

#[test]
fn vms_go_elsewhere_where_several_failed_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let failed = |id: i32| {
        format!(
            "<VM><ID>{id}</ID><STATE>1</STATE><TEMPLATE><CPU>1</CPU><MEMORY>1024</MEMORY></TEMPLATE><HISTORY_RECORDS>\
             <HISTORY><SEQ>0</SEQ><HID>4</HID><STIME>{}</STIME><ETIME>{}</ETIME></HISTORY></HISTORY_RECORDS></VM>",
            now - 90,
            now - 60
        )
    };
    let pool = success(&format!("<VM_POOL>{}{}</VM_POOL>", failed(1), failed(2)));
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(4, 8, 0, "NO", &[]), (5, 8, 2, "NO", &[])])),
        ("one.vmpool.infoextended", pool),
    ]);
    let service = Service::start(folder.path(), Some(&oned), &["serve.max_host=0"]);
    eventually("ready", || service.get("/readyz").0 == 200);
    let answer = service.batch(&batch(&[vm(1, &[4, 5], 1.0), vm(2, &[4, 5], 1.0), vm(3, &[4, 5], 1.0)]));
    assert_eq!((1..4).map(|id| answer[&id]).collect::<Vec<_>>(), [5, 5, 5], "host 4 is the emptier one");
    let told = || service.log().contains("2 VMs failed to start here since");
    eventually("told", told);
    let metrics = service.get("/metrics").1;
    assert!(metrics.contains("oneaio_host_failed_vms{one_host_id=\"4\"} 2\n"), "{metrics}");
    // where it is the only one, they go there all the same
    assert_eq!(service.batch(&batch(&[vm(1, &[4], 1.0)]))[&1], 4);
}

fn host_of(answer: &serde_json::Value, id: i64) -> i64 {
    let vms = answer["VMS"].as_array().unwrap();
    vms.iter().find(|vm| vm["ID"] == id).unwrap()["HOST_ID"].as_i64().unwrap()
}

#[test]
fn who_comes_next_is_not_left_with_words_of_no_room() {
    let words = "<SCHED_MESSAGE>Cannot dispatch VM to any Host.</SCHED_MESSAGE>";
    for (brief, told) in [("full", "fits on host "), ("brief", "comes next: so many VMs are started at a time")] {
        let folder = tempfile::tempdir().unwrap();
        let (oned, four) = four_of_four_cores(&[(1, 4, ""), (2, 4, ""), (3, 4, words), (4, 4, "")]);
        let set = ["serve.sched_message=yes", &format!("messages={brief}")];
        let service = Service::start(folder.path(), Some(&oned), &set);
        eventually("ready", || service.get("/readyz").0 == 200);
        service.batch(&four);
        eventually("it is written", || !updates(&oned).is_empty());
        let written = updates(&oned);
        assert_eq!((written.len(), written[0].0), (1, 3), "{written:?}");
        assert!(written[0].1.contains(told), "{written:?}");
        assert_eq!(written[0].1.contains("host "), brief == "full", "{written:?}");
        // and why one has to wait in as few words as everywhere
        service.batch(&batch(&[vm(8, &[4], 77.0)]));
        eventually("that too", || updates(&oned).len() == 2);
        let written = updates(&oned);
        assert_eq!((written[1].0, written[1].1.contains("77")), (8, brief == "full"), "{written:?}");
    }
}

/// VM 1 has a place on host 4, VMs 2 and 3 have none.
fn crowded() -> String {
    batch(&[vm(1, &[4], 3.0), vm(2, &[4], 3.0), vm(3, &[4], 9.0)])
}

fn small_cloud() -> ScriptedOned {
    let oned = ScriptedOned::start(&[("one.hostpool.info", hosts(&[(4, 4, 0, "", &[])]))]);
    oned.set("one.vm.update", changed(2));
    oned
}

/// VM, template and whether it is set beside what is there.
fn updates(oned: &ScriptedOned) -> Vec<(i32, String, bool)> {
    let value = |text: &str, kind: &str| {
        let open = format!("<{kind}>");
        text.split_once(&open).unwrap().1.split_once("</").unwrap().0.to_owned()
    };
    let read = |request: String| {
        let params: Vec<&str> = request.split("<param>").skip(1).collect();
        let vm = value(params[1], "i4").parse().unwrap();
        (vm, value(params[2], "string"), value(params[3], "i4") == "1")
    };
    oned.requests("one.vm.update").into_iter().map(read).collect()
}

/// The pool as oned shows it once these messages are written.
fn waiting_with(messages: &[(i32, &str)]) -> String {
    let inside: Vec<String> =
        messages.iter().map(|(_, text)| format!("<SCHED_MESSAGE><![CDATA[{text}]]></SCHED_MESSAGE>")).collect();
    let vms: Vec<(i32, i64, &str)> =
        messages.iter().zip(&inside).map(|((vm, _), inside)| (*vm, 3, inside.as_str())).collect();
    pending(&vms)
}

#[test]
fn why_vms_wait_is_written_to_them_where_that_is_wished() {
    let folder = tempfile::tempdir().unwrap();
    let oned = small_cloud();
    let service = Service::start(folder.path(), Some(&oned), &["serve.sched_message=yes"]);
    // the first cycle holds 1 on the host, the others wait
    service.batch(&crowded());
    eventually("both reasons are written", || updates(&oned).len() == 2);
    let written = updates(&oned);
    assert_eq!(written.iter().map(|(vm, ..)| *vm).collect::<Vec<_>>(), [2, 3]);
    assert!(written.iter().all(|(.., append)| *append), "{written:?}");
    let [two, three] = [&written[0].1, &written[1].1];
    assert!(two.starts_with("SCHED_MESSAGE = \"needs 3 cores; its only candidate, host 4") || two.contains("3 cores"));
    assert!(two.starts_with("SCHED_MESSAGE = \"") && two.ends_with('"'), "{two}");
    assert!(three.contains("needs 9 cores"), "{three}");

    // the same again: nothing is written, as far as anybody can tell
    let text = |template: &str| template.split('"').nth(1).unwrap().to_owned();
    let (two, three) = (text(two), text(three));
    oned.set("one.vmpool.infoextended", waiting_with(&[(2, &two), (3, &three)]));
    let looked = |more: usize| {
        let looks = oned.asked("one.vmpool.infoextended");
        eventually("oned is looked at", || oned.asked("one.vmpool.infoextended") > looks + more);
    };
    looked(1);
    service.batch(&crowded());
    // mm_sched has written over one of them: that one is written again, and no other
    oned.set("one.vmpool.infoextended", waiting_with(&[(2, &two), (3, "Cannot dispatch VM to any Host.")]));
    looked(1);
    service.batch(&crowded());
    eventually("it is written again", || updates(&oned).len() == 3);
    assert_eq!(updates(&oned)[2].0, 3);

    // a request of somebody else tells no VM anything
    service.post("/api/place", "{\"ID\":77,\"HOST_IDS\":[4],\"CAPACITY\":{\"CPU\":64,\"MEMORY\":1024}}");
    let (status, _) = service.stop();
    assert_eq!((status, updates(&oned).len()), (Some(0), 3));
}

#[test]
fn nothing_is_written_unless_it_is_wished() {
    let folder = tempfile::tempdir().unwrap();
    let oned = small_cloud();
    let service = Service::start(folder.path(), Some(&oned), &[]);
    service.batch(&crowded());
    let looks = oned.asked("one.vmpool.infoextended");
    eventually("oned is looked at for longer than a message takes", || {
        oned.asked("one.vmpool.infoextended") > looks + 15
    });
    assert!(updates(&oned).is_empty());
}

#[test]
fn who_may_not_write_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let oned = small_cloud();
    oned.set("one.vm.update", refusal(512, "Not authorized to perform MANAGE VM [2]."));
    let service = Service::start(folder.path(), Some(&oned), &["serve.sched_message=yes"]);
    let told = || service.log().matches("reasons are no longer written to VMs (serve.sched_message)").count();
    service.batch(&crowded());
    eventually("it is told", || told() == 1);
    assert!(service.log().contains("use the ONE_AUTH of oneadmin"), "{}", service.log());
    let answer = service.batch(&crowded());
    assert_eq!(answer.get(&1), Some(&4), "placements go on: {answer:?}");
    let (status, _) = service.stop();
    assert_eq!((status, updates(&oned).len()), (Some(0), 1), "and it is not tried again");
}

#[test]
fn a_vm_that_is_gone_costs_the_others_nothing_and_an_oned_that_hangs_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let oned = small_cloud();
    oned.set("one.vm.update", refusal(1024, "Error getting virtual machine [2]."));
    let service = Service::start(folder.path(), Some(&oned), &["serve.sched_message=yes"]);
    service.batch(&crowded());
    eventually("both are tried", || updates(&oned).len() == 2);
    assert!(!service.log().contains("reasons are"), "{}", service.log());
    // oned hangs: batches are answered, and so is the end
    oned.mood(Mood::Holding);
    let more = batch(&[vm(1, &[4], 3.0), vm(2, &[4], 3.5), vm(5, &[4], 9.5)]);
    assert_eq!(service.batch(&more).get(&1), Some(&4));
    eventually("a message is on its way", || updates(&oned).len() == 3);
    assert_eq!(service.batch(&more).get(&1), Some(&4));
    let (status, took) = service.stop();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    oned.mood(Mood::Well);
}

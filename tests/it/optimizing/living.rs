//! The living cloud is asked through oned: it runs the driver, which hands its request over.

use crate::support::cluster::{cluster, resident};
use crate::support::server::{Mood, ScriptedOned, changed, eventually, hosts, refusal, success};
use crate::support::training::made_up;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const ONEAIO: &str = env!("CARGO_BIN_EXE_oneaio");

/// oneaio beside an oned of which everything is in `folder`.
fn oneaio(folder: &Path, oned: &ScriptedOned, args: &[&str]) -> Command {
    let mut command = Command::new(ONEAIO);
    command.args(args).env("ONE_LOCATION", folder).env("ONED_ADDR", format!("http://{}/RPC2", oned.address));
    command.env("ONED_PASS", "secret").env("ENVSERVER_DB_HOST", "").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn front_end() -> (tempfile::TempDir, ScriptedOned) {
    let folder = tempfile::tempdir().unwrap();
    for inside in ["etc/schedulers", "var/oneaio"] {
        fs::create_dir_all(folder.path().join(inside)).unwrap();
    }
    let pool = hosts(&[(1, 8, 4, "NO", &[]), (2, 8, 0, "NO", &[])]);
    let pool = pool.replace("&lt;CLUSTER_ID&gt;0&lt;", "&lt;CLUSTER_ID&gt;5&lt;");
    let clusters = "<CLUSTER_POOL><CLUSTER><ID>5</ID><NAME>test</NAME><TEMPLATE/></CLUSTER></CLUSTER_POOL>";
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", pool),
        ("one.clusterpool.info", success(clusters)),
        ("one.cluster.optimize", changed(5)),
    ]);
    (folder, oned)
}

fn request() -> String {
    cluster(2, &[1, 2, 3, 4].map(|id| resident(id, 1, "1", 100.0))).request().xml()
}

fn driver(folder: &Path, oned: &ScriptedOned) -> Output {
    let file = folder.join("request.xml");
    fs::write(&file, request()).unwrap();
    let mut command = oneaio(folder, oned, &["optimize", "5"]);
    command.stdin(fs::File::open(file).unwrap()).output().unwrap()
}

/// What a command says when oned runs the driver as it is told to, and what the driver answers.
fn asked(folder: &Path, oned: &ScriptedOned, args: &[&str]) -> (Output, Output) {
    let before = oned.asked("one.cluster.optimize");
    let asking: Child = oneaio(folder, oned, args).spawn().unwrap();
    eventually("oned is told", || oned.asked("one.cluster.optimize") > before);
    let driven = driver(folder, oned);
    (asking.wait_with_output().unwrap(), driven)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_host_of_the_living_cloud_is_drained_by_name() {
    let (folder, oned) = front_end();
    for host in ["node1", "1"] {
        let (said, driven) = asked(folder.path(), &oned, &["drain", host]);
        let told = text(&said.stdout);
        assert_eq!(said.status.code(), Some(0), "{told}{}", text(&said.stderr));
        assert!(told.contains("host 2 node2") && told.contains("host 1"), "{told}");
        // oned gets a plan of nothing, which it drops
        let plan = text(&driven.stdout);
        assert!(driven.status.success() && plan.contains("<ID>5</ID>") && !plan.contains("ACTION"), "{plan}");
        assert!(text(&driven.stderr).contains("is handed to it"), "{}", text(&driven.stderr));
    }
    // nobody waits any more: the next request of oned is planned as ever
    let planned = driver(folder.path(), &oned);
    assert!(text(&planned.stdout).contains("<OPERATION>migrate</OPERATION>"), "{}", text(&planned.stderr));
    assert_eq!(fs::read_dir(folder.path().join("var/oneaio/asked")).unwrap().count(), 0);
}

#[test]
fn sizes_of_the_living_cluster_are_judged_by_what_the_store_keeps() {
    let (folder, oned) = front_end();
    let (usage, sizes) = made_up();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("usage.csv"), usage).unwrap();
    fs::write(path("sizes.csv"), sizes).unwrap();
    let imported = oneaio(folder.path(), &oned, &["import", "--vms", &path("sizes.csv"), &path("usage.csv")]).output();
    let imported = imported.unwrap();
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let (said, driven) = asked(folder.path(), &oned, &["advise", "test", "--json"]);
    assert!(!text(&driven.stdout).contains("ACTION"));
    let advice: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let vms = |list: &str| {
        let list = advice[list].as_array().unwrap();
        list.iter().map(|one| one["vm"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    // of four VMs of one core each: 3 works with more than three and 2 has bursts, 4 idles; 1 is about right
    assert_eq!((vms("under"), vms("over")), (vec![3, 2], vec![4]), "{advice}");
    let seen = &advice["under"][0]["seen"];
    assert_eq!((seen["coverage"].as_f64(), seen["days"].as_f64()), (Some(0.99), Some(7.0)), "{seen}");
    // a week of one every five minutes, of the two that were imported
    assert!(
        (2000..=2100).contains(&seen["samples"].as_u64().unwrap()) && seen["cpu"].as_f64().unwrap() > 300.0,
        "{seen}"
    );
    let (said, _) = asked(folder.path(), &oned, &["advise", "5"]);
    let told = text(&said.stdout);
    assert!(told.starts_with("cluster 5 test: 2 hosts, 4 VMs that run\n"), "{told}");
    assert!(told.contains("stayed at or below for 99 % of the last week") && told.contains(" 7 days |"), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
}

#[test]
fn a_cluster_is_optimized_for_show() {
    let (folder, oned) = front_end();
    let (said, driven) = asked(folder.path(), &oned, &["optimize", "--dry-run", "test"]);
    let told = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{told}{}", text(&said.stderr));
    assert!(told.contains("moves 2 of 4 movable VMs") && told.contains("host 1 node1"), "{told}");
    assert!(!text(&driven.stdout).contains("ACTION"));
    let (said, _) = asked(folder.path(), &oned, &["optimize", "--dry-run", "test", "--csv"]);
    let told = text(&said.stdout);
    assert!(told.starts_with("step,VM,name,from,to,") && told.lines().count() == 3, "{told}");
    // what a replay of the same request prints
    let (said, _) = asked(folder.path(), &oned, &["optimize", "--dry-run", "5", "-j"]);
    let told: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    fs::write(folder.path().join("request.xml"), request()).unwrap();
    let args = ["replay", "--json", "request.xml"];
    let replayed = oneaio(folder.path(), &oned, &args).current_dir(folder.path()).output().unwrap();
    let mut replayed: serde_json::Value = serde_json::from_slice(&replayed.stdout).expect("JSON");
    for only in ["bundle", "differences"] {
        assert!(replayed.as_object_mut().unwrap().remove(only).is_some());
    }
    assert_eq!((told["migrations"].as_array().map(Vec::len), &told), (Some(2), &replayed));
}

#[test]
fn who_asks_in_vain_is_told_and_leaves_nothing_behind() {
    let (folder, oned) = front_end();
    for (args, part) in [
        (&["drain", "node9"][..], "knows no host node9"),
        (&["optimize", "--dry-run", "nowhere"], "knows no cluster nowhere"),
        (&["optimize", "test"], "names go with --dry-run"),
    ] {
        let said = oneaio(folder.path(), &oned, args).output().unwrap();
        assert!(text(&said.stderr).contains(part) && !said.status.success(), "{args:?}: {}", text(&said.stderr));
        assert!(said.stdout.is_empty());
    }
    oned.mood(Mood::Refusing);
    let said = oneaio(folder.path(), &oned, &["optimize", "--dry-run", "5"]).output().unwrap();
    assert_eq!(said.status.code(), Some(3), "{}", text(&said.stderr));
    assert!(text(&said.stderr).contains("oned did not ask about cluster 5"), "{}", text(&said.stderr));
    oned.mood(Mood::Well);
    let planned = driver(folder.path(), &oned);
    assert!(text(&planned.stdout).contains("<OPERATION>migrate</OPERATION>"), "{}", text(&planned.stderr));
}

/// What becomes of a migration of this oned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It arrives at the third look.
    Arrives,
    /// It is back where it was.
    ComesBack,
    /// It hangs in BOOT_MIGRATE_FAILURE.
    Fails,
    /// oned refuses it.
    Refused,
    /// It goes on for ever.
    Hangs,
}

/// VMs as oned keeps them: host, HISTORY records, looks since the last order.
struct Moving(std::sync::Mutex<std::collections::BTreeMap<i64, (i64, i64, usize)>>);

/// VMs 1 to 4 on host 1; VM 2 meets this fate, all others arrive.
fn moving(oned: &ScriptedOned, fate: Fate) {
    let vms = std::sync::Arc::new(Moving(std::sync::Mutex::new((1..=4).map(|vm| (vm, (1, 0, 9))).collect())));
    let ordered = std::sync::Arc::clone(&vms);
    oned.play("one.vm.migrate", move |request| {
        let whole = numbers(request);
        if whole[0] == 2 && fate == Fate::Refused {
            return refusal(2048, "[one.vm.migrate] Not enough capacity.");
        }
        let mut vms = ordered.0.lock().unwrap();
        let (host, records, looks) = vms.get_mut(&whole[0]).unwrap();
        (*host, *records, *looks) = (whole[1], *records + 1, 0);
        changed(i32::try_from(whole[0]).unwrap())
    });
    oned.play("one.vm.info", move |request| {
        let vm = numbers(request)[0];
        let mut vms = vms.0.lock().unwrap();
        let Some((host, records, looks)) = vms.get_mut(&vm) else {
            return refusal(1024, "Error getting virtual machine");
        };
        *looks += 1;
        // at first the VM runs on and has its new record; then it is on its way
        let (lcm, began) = match (*looks, if vm == 2 { fate } else { Fate::Arrives }) {
            _ if *records == 0 => (3, 7),
            (1, _) => (3, 0),
            (2, _) | (_, Fate::Hangs) => (4, 0),
            (_, Fate::Fails) => (37, 5),
            (3, Fate::ComesBack) => {
                (*host, *records) = (1, *records + 1);
                (3, 7)
            }
            _ => (3, 7),
        };
        success(&format!(
            "<VM><ID>{vm}</ID><NAME>vm{vm}</NAME><STATE>3</STATE><LCM_STATE>{lcm}</LCM_STATE><HISTORY_RECORDS><HISTORY>\
             <SEQ>{records}</SEQ><HID>{host}</HID><CID>5</CID><RSTIME>{began}</RSTIME></HISTORY></HISTORY_RECORDS></VM>"
        ))
    });
}

/// The whole numbers and truth values of a call, in their order.
fn numbers(request: &str) -> Vec<i64> {
    let values = request.split("<value><").skip(1).filter(|value| !value.starts_with("string"));
    values.map(|value| value.split(['>', '<']).nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn a_drain_is_carried_out_step_by_step() {
    let (folder, oned) = front_end();
    moving(&oned, Fate::Arrives);
    let (said, driven) = asked(folder.path(), &oned, &["drain", "node1", "--apply", "--yes"]);
    let told = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{told}{}", text(&said.stderr));
    assert!(!text(&driven.stdout).contains("ACTION"), "oned gets no plan of it");
    assert!(told.contains("1 of 4: VM ") && told.contains(" from host 1 node1 to host 2 node2\n"), "{told}");
    assert_eq!(told.matches("arrived after ").count(), 4, "{told}");
    assert!(told.ends_with("all 4 migrations are done: host 1 node1\n"), "{told}");
    assert!(text(&said.stderr).contains("`onehost disable 1` keeps them away"), "{}", text(&said.stderr));
    let orders: Vec<Vec<i64>> = oned.requests("one.vm.migrate").iter().map(|request| numbers(request)).collect();
    let mut vms: Vec<i64> = orders.iter().map(|order| order[0]).collect();
    // to host 2, saved as oned does by default, within its capacity, on their datastores
    assert!(orders.iter().all(|order| order[1..] == [2, 0, 1, -1, 0]), "{orders:?}");
    vms.sort_unstable();
    assert_eq!(vms, [1, 2, 3, 4]);
    // how they move is as oned.conf says, or as is asked
    for (conf, args, how) in [
        ("LIVE_RESCHEDS = 1\nCOLD_MIGRATE_MODE = 2\n", &[][..], [1, 1, -1, 0]),
        ("COLD_MIGRATE_MODE = 2\n", &[], [0, 1, -1, 2]),
        ("LIVE_RESCHEDS = 1\n", &["--how", "poweroff"], [0, 1, -1, 1]),
    ] {
        fs::write(folder.path().join("etc/oned.conf"), conf).unwrap();
        moving(&oned, Fate::Arrives);
        let before = oned.asked("one.vm.migrate");
        let (said, _) = asked(folder.path(), &oned, &[&["drain", "1", "--apply", "--yes"], args].concat());
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
        let orders = oned.requests("one.vm.migrate").split_off(before);
        assert!(orders.len() == 4 && orders.iter().all(|order| numbers(order)[2..] == how), "{conf} {orders:?}");
    }
}

#[test]
fn the_first_step_that_fails_ends_a_drain_and_all_is_told() {
    for (fate, part) in [
        (Fate::ComesBack, "VM 2 did not get to host 2 node2: it runs on host 1 node1"),
        (Fate::Fails, "VM 2 has failed on its way: it is in STATE 3, LCM_STATE 37 on host 2 node2"),
        (Fate::Refused, "Not enough capacity"),
        (Fate::Hangs, "VM 2 has not arrived within 1 s (--patience)"),
    ] {
        let (folder, oned) = front_end();
        moving(&oned, fate);
        let (said, _) = asked(folder.path(), &oned, &["drain", "1", "--apply", "--yes", "--patience", "1"]);
        let (told, complaints) = (text(&said.stdout), text(&said.stderr));
        assert_eq!(said.status.code(), Some(1), "{told}{complaints}");
        assert!(complaints.contains(part), "{part}: {complaints}");
        let last = told.lines().last().unwrap();
        let (done, left) = last.strip_prefix("done: ").unwrap().split_once("; not done: ").unwrap();
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let ordered: Vec<i64> = oned.requests("one.vm.migrate").iter().map(|request| numbers(request)[0]).collect();
        // all before VM 2 are done, VM 2 was the last to be ordered, and it and what follows are left
        let before: String = ordered[..ordered.len() - 1].iter().map(ToString::to_string).collect();
        assert_eq!((ordered.last(), digits(done)), (Some(&2), before), "{last}");
        assert!(left.contains('2') && digits(left).len() == 4 - digits(done).len(), "{last}");
    }
}

#[test]
fn nothing_is_carried_out_that_nobody_agreed_to() {
    let (folder, oned) = front_end();
    moving(&oned, Fate::Arrives);
    let said = oneaio(folder.path(), &oned, &["drain", "1", "--apply"]).output().unwrap();
    assert_eq!((said.status.code(), said.stdout.len()), (Some(2), 0), "{}", text(&said.stderr));
    assert!(text(&said.stderr).contains("--yes"), "{}", text(&said.stderr));
    // on a terminal it asks
    for (answer, done) in [("n", false), ("", false), ("y", true)] {
        let before = oned.asked("one.cluster.optimize");
        let mut shell = Command::new("script");
        shell.args(["--quiet", "--return", "--command"]).arg(format!("{ONEAIO} drain 1 --apply")).arg("/dev/null");
        shell.env("ONE_LOCATION", folder.path()).env("ONED_ADDR", format!("http://{}/RPC2", oned.address));
        shell.env("ONED_PASS", "secret").env("ENVSERVER_DB_HOST", "");
        let mut asking = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("oned is told", || oned.asked("one.cluster.optimize") > before);
        driver(folder.path(), &oned);
        std::io::Write::write_all(&mut asking.stdin.take().unwrap(), format!("{answer}\n").as_bytes()).unwrap();
        let said = asking.wait_with_output().unwrap();
        let told = text(&said.stdout);
        assert!(told.contains("carry out 4 migrations, VMs that run saved and resumed? [y/N]"), "{told}");
        assert_eq!(
            (told.contains("nothing was done"), told.contains("all 4 migrations are done")),
            (!done, done),
            "{told}"
        );
        assert_eq!(oned.asked("one.vm.migrate"), if done { 4 } else { 0 });
    }
}

#[test]
fn a_vm_that_left_by_itself_is_no_failure_and_one_that_went_elsewhere_is() {
    for (host, state, part, status) in [
        (1, 6, "done meanwhile, nothing to move", 0),
        (2, 3, "there already", 0),
        (7, 3, "VM 1 is not where the plan takes it from: it runs on host 7", 1),
        (1, 1, "VM 1 is not where the plan takes it from: it is pending on host 1 node1", 1),
    ] {
        let (folder, oned) = front_end();
        oned.play("one.vm.info", move |request| {
            let vm = numbers(request)[0];
            success(&format!(
                "<VM><ID>{vm}</ID><STATE>{state}</STATE><LCM_STATE>3</LCM_STATE><HISTORY_RECORDS><HISTORY><SEQ>0</SEQ>\
                 <HID>{host}</HID><RSTIME>5</RSTIME></HISTORY></HISTORY_RECORDS></VM>"
            ))
        });
        let (said, _) = asked(folder.path(), &oned, &["drain", "1", "--apply", "--yes"]);
        let told = format!("{}{}", text(&said.stdout), text(&said.stderr)).replace("VM 2 is", "VM 1 is");
        let told = told.replace("VM 3 is", "VM 1 is").replace("VM 4 is", "VM 1 is");
        assert!(told.contains(part), "{part}: {told}");
        assert_eq!((said.status.code(), oned.asked("one.vm.migrate")), (Some(status), 0), "{told}");
    }
}

/// VMs 1 to 4 run on host 1 of cluster 5, VM 9 waits; two of them have the same name.
fn known(oned: &ScriptedOned) {
    let vm = |id: i64| {
        let name = if id < 3 { format!("web{id}") } else { "twin".to_owned() };
        let (state, lcm) = if id == 9 { (1, 0) } else { (3, 3) };
        let record = "<HISTORY><SEQ>0</SEQ><HID>1</HID><CID>5</CID><RSTIME>5</RSTIME></HISTORY>";
        let records = if id == 9 { "" } else { record };
        format!(
            "<VM><ID>{id}</ID><NAME>{name}</NAME><STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE>\
             <HISTORY_RECORDS>{records}</HISTORY_RECORDS></VM>"
        )
    };
    let pool: String = [9, 4, 3, 2, 1].map(vm).concat();
    oned.set("one.vmpool.infoextended", success(&format!("<VM_POOL>{pool}</VM_POOL>")));
    oned.play("one.vm.info", move |request| success(&vm(numbers(request)[0])));
}

#[test]
fn vms_of_the_living_cloud_are_explained_by_id_and_name() {
    let (folder, oned) = front_end();
    known(&oned);
    for vm in ["1", "web1"] {
        let (said, driven) = asked(folder.path(), &oned, &["explain", vm]);
        let told = text(&said.stdout);
        assert_eq!(said.status.code(), Some(0), "{told}{}", text(&said.stderr));
        assert!(told.contains("VM 1 ") && told.contains(" host 1 node1") && told.contains("| host | name "), "{told}");
        assert!(!text(&driven.stdout).contains("ACTION"));
    }
    for (vm, part, status) in [
        ("twin", "3 VMs are called twin: name one by its ID (9, 4, 3)", 3),
        ("nobody", "oned knows no VM called nobody", 3),
        ("9", "VM 9 is pending: oned sends VMs that wait by itself", 2),
    ] {
        let said = oneaio(folder.path(), &oned, &["explain", vm]).output().unwrap();
        let told = text(&said.stderr);
        assert_eq!((said.status.code(), told.contains(part)), (Some(status), true), "{vm}: {told}");
    }
    // what was decided goes first, unless the present is asked for
    let planned = driver(folder.path(), &oned);
    assert!(text(&planned.stdout).contains("<OPERATION>migrate</OPERATION>"), "{}", text(&planned.stderr));
    let before = oned.asked("one.cluster.optimize");
    let said = oneaio(folder.path(), &oned, &["explain", "web1"]).output().unwrap();
    assert!(
        text(&said.stdout).contains("decided at ") && text(&said.stdout).contains("VM 1 "),
        "{}",
        text(&said.stderr)
    );
    assert_eq!(oned.asked("one.cluster.optimize"), before);
    let (said, _) = asked(folder.path(), &oned, &["explain", "web1", "--living", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!((&told["vm"], &told["from"]), (&1.into(), &1.into()), "{told}");
}

#[test]
fn vms_of_a_bundle_are_explained_by_name() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/first_look");
    let explain = |vm: &str| Command::new(ONEAIO).args(["explain", vm, "--from", fixture]).output().unwrap();
    let (by_name, by_id) = (explain("analytics"), explain("63"));
    assert_eq!(text(&by_name.stdout), text(&by_id.stdout));
    assert!(text(&by_name.stdout).starts_with("VM 63 analytics "), "{}", text(&by_name.stderr));
    let said = explain("analytic");
    assert_eq!((said.status.code(), text(&said.stderr).contains("knows no VM called analytic")), (Some(2), true));
}

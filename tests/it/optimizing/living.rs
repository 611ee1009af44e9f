//! The living cloud is asked through oned: it runs the driver, which hands its request over.

use crate::support::cluster::{cluster, resident};
use crate::support::server::{Mood, ScriptedOned, changed, eventually, hosts, success};
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
fn a_cluster_is_optimized_for_show() {
    let (folder, oned) = front_end();
    let (said, driven) = asked(folder.path(), &oned, &["optimize", "--dry-run", "test"]);
    let told = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{told}{}", text(&said.stderr));
    assert!(told.contains("moves 2 of 4 movable VMs") && told.contains("host 1 node1"), "{told}");
    assert!(!text(&driven.stdout).contains("ACTION"));
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

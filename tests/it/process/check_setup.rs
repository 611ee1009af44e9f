//! `oneaio check` as a process: the model, and oned by a scripted one. Every finding that is
//! not well has a remedy.

use crate::support::oned::{http, raw, refusal, serve, success};
use crate::support::request::request;
use crate::support::server::{ScriptedOned, hosts};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::{Batch, Collecting};
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::{VmIdentity, VmSample};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Runs the binary for an OpenNebula in a folder.
fn oneaio(location: &Path, args: &[&str], oned: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
    command.args(args).env("ONE_LOCATION", location).env_remove("ONED_PASS");
    if let Some(oned) = oned {
        std::fs::write(location.join("one_auth"), "oneadmin:topsecret").unwrap();
        command.env("ONED_ADDR", format!("http://{oned}/RPC2")).env("ONE_AUTH", location.join("one_auth"));
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    assert!(!text.contains("topsecret"), "{text}");
    (status.code(), text)
}

fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("var/oneaio")).unwrap();
    folder
}

/// The lines about one thing, each with its remedy.
fn about(text: &str, what: &str) -> String {
    let mut found = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.get(9..).is_some_and(|rest| rest.starts_with(&format!("{what}: "))) {
            let _ = writeln!(found, "{line}");
            if let Some(fix) = lines.next_if(|next| next.trim_start().starts_with("->")) {
                let _ = writeln!(found, "{fix}");
            }
        }
    }
    found
}

#[test]
fn oned_is_asked_for_its_version_with_our_credentials() {
    let home = home();
    let check = |body: String| {
        let (address, requests) = serve(vec![raw(http("200 OK", &body))]);
        let (status, text) = oneaio(home.path(), &["check"], Some(&address.to_string()));
        let asked = requests.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(asked.contains("one.system.version") && asked.contains("oneadmin:topsecret"), "{asked}");
        assert_ne!(status, Some(0), "the wrappers are missing");
        about(&text, "oned")
    };
    assert_eq!(check(success("7.4.0")), "ok       oned: version 7.4.0\n");
    let six = check(success("6.10.2"));
    assert!(six.starts_with("WARNING  oned: version 6.10.2") && six.contains("-> use `oneaio serve`"), "{six}");
    let other = check(success("9.0"));
    assert!(other.starts_with("WARNING  oned: version 9.0") && other.contains("-> "), "{other}");
    let refused = check(refusal(256, "[one.system.version] User couldn't be authenticated, aborting."));
    assert!(refused.starts_with("WARNING  oned: ") && refused.contains("authenticated"), "{refused}");
    assert!(refused.contains("-> run as oneadmin"), "{refused}");
}

#[test]
fn a_host_that_fails_starts_is_told_with_how_many_since_when_and_until_when() {
    let home = home();
    let oned = ScriptedOned::start(&[("one.system.version", success("7.4.0"))]);
    let now = now();
    let waits = |id: i32, host: i32, ended: i64| {
        format!(
            "<VM><ID>{id}</ID><STATE>1</STATE><TEMPLATE><CPU>1</CPU><MEMORY>1024</MEMORY></TEMPLATE><HISTORY_RECORDS>\
             <HISTORY><SEQ>0</SEQ><HID>{host}</HID><STIME>{}</STIME><ETIME>{ended}</ETIME></HISTORY></HISTORY_RECORDS></VM>",
            ended - 20
        )
    };
    let check = |vms: &[String]| {
        oned.set("one.vmpool.infoextended", success(&format!("<VM_POOL>{}</VM_POOL>", vms.concat())));
        let (_, text) = oneaio(home.path(), &["check"], Some(&oned.address.to_string()));
        about(&text, "failing hosts")
    };
    let (first, second) = (now - 900, now - 300);
    let text = check(&[waits(1, 3, first), waits(2, 3, second), waits(3, 4, second)]);
    let right = format!(
        "WARNING  failing hosts: host 3: 2 VMs failed to start here since {}; others go first until {}\n",
        oneaio::model::moment::utc(first),
        oneaio::model::moment::utc(first + 1800)
    );
    assert!(text.starts_with(&right), "{text}{right}");
    assert!(text.contains("onehost disable 3") && text.lines().count() == 2, "one VM on host 4 says nothing: {text}");
    // half an hour later they say nothing any more
    assert_eq!(check(&[waits(1, 3, now - 2000), waits(2, 3, now - 1900)]), "");
    oned.set("one.vmpool.infoextended", refusal(256, "not today"));
    let (_, text) = oneaio(home.path(), &["check"], Some(&oned.address.to_string()));
    assert!(about(&text, "failing hosts").contains("the VMs that wait are not known"), "{text}");
}

/// OpenNebula 6: sched.conf and the service that it names, not SCHED_MAD.
#[test]
fn a_front_end_of_opennebula_6_is_looked_at_as_such() {
    let folder = home();
    std::fs::create_dir_all(folder.path().join("etc")).unwrap();
    std::fs::write(folder.path().join("etc/oned.conf"), "LOG = [ SYSTEM = \"file\" ]\n").unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("etc/sched.conf"), text).unwrap();
    let check = |more: &[&str]| oneaio(folder.path(), &[&["check"], more].concat(), Some("127.0.0.1:1")).1;

    write("MAX_HOST = 1\n");
    let text = check(&[]);
    assert!(about(&text, "sched.conf").contains("names no EXTERNAL_SCHEDULER"), "{text}");
    assert!(about(&text, "wrappers").is_empty() && about(&text, "oned.conf").is_empty(), "{text}");

    let (server, _asked) = serve([raw(http("200 OK", "{}"))]);
    let lines = |server: &str, more: &str| {
        format!("EXTERNAL_SCHEDULER = [ SERVER = \"http://{server}\", TIMEOUT = 10 ]\n{more}")
    };
    write(&lines(&server.to_string(), "MAX_HOST = 4\nMAX_DISPATCH = 60\n"));
    let text = check(&["--set", "serve.max_host=4", "--set", "serve.max_dispatch=60"]);
    assert!(about(&text, "sched.conf").starts_with("ok ") && !text.contains("WARNING  sched.conf"), "{text}");
    assert!(about(&text, "serve").contains("is ready"), "{text}");

    write(&lines("127.0.0.1:1", ""));
    let text = check(&["--set", "serve.deadline=10", "--set", "serve.max_host=3", "--set", "serve.max_dispatch=9"]);
    let found = about(&text, "sched.conf");
    for told in [
        "TIMEOUT is 10 s",
        "MAX_HOST is 1, serve.max_host 3",
        "MAX_DISPATCH is 30, serve.max_dispatch 9",
        "set serve.max_dispatch: 30 in",
        "round robin",
    ] {
        assert!(found.contains(told), "{told}: {text}");
    }
    assert!(about(&text, "serve").contains("nobody answers at 127.0.0.1:1, and serve.port is 4567"), "{text}");
    assert_eq!(about(&check(&["--offline"]), "serve"), "");
    // 7 has drivers; what is left of 6 does not matter
    std::fs::write(folder.path().join("etc/oned.conf"), "SCHED_MAD = [ EXECUTABLE = \"one_sched\" ]\n").unwrap();
    let text = check(&["--offline"]);
    assert!(about(&text, "sched.conf").is_empty() && !about(&text, "oned.conf").is_empty(), "{text}");
}

#[test]
fn an_oned_that_is_not_there_is_told_with_its_address() {
    let home = home();
    let (status, text) = oneaio(home.path(), &["check"], Some("127.0.0.1:1"));
    let oned = about(&text, "oned");
    assert!(status != Some(0) && oned.starts_with("WARNING  oned: ") && oned.contains("127.0.0.1:1"), "{oned}");
    let (_, text) = oneaio(home.path(), &["check", "--offline"], Some("127.0.0.1:1"));
    assert_eq!(about(&text, "oned"), "", "nobody was asked");
}

/// Five days of a few VMs that work by day, until `until`.
fn fill(location: &Path, until: i64) {
    let mut store = SqliteStore::open(&location.join("var/oneaio/history.db"), Duration::from_secs(5)).unwrap();
    for vm in 0..6 {
        let usage = |at: i64| {
            let busy = if (at / 3600 + i64::from(vm)) % 24 < 12 { 60.0 } else { 10.0 };
            Usage { cpu: busy + (at / 300 * i64::from(vm + 3) % 7) as f64, memory: 500_000.0, ..Usage::default() }
        };
        let samples: Vec<VmSample> =
            (0..1440).map(|i| until - 300 * i).map(|at| VmSample { vm: VmId(vm), at, usage: usage(at) }).collect();
        let identity = VmIdentity { cpu: 100, memory: 1 << 20, ..VmIdentity::default() };
        let identities = [(VmId(vm), identity)];
        learn::absorb(&mut store, &Batch { samples: &samples, identities: &identities, ..Batch::default() }).unwrap();
    }
}

#[test]
fn a_series_of_carbon_that_has_ended_is_told_by_its_zone() {
    let home = home();
    let mut store = SqliteStore::open(&home.path().join("var/oneaio/history.db"), Duration::from_secs(5)).unwrap();
    let now = store.progress("any").unwrap().now;
    store.keep_carbon("BE", &[(now - 600, 100.0)]).unwrap();
    store.keep_carbon("FR", &[(now - 30 * 3600, 50.0)]).unwrap();
    let (_, text) = oneaio(home.path(), &["check", "--offline"], None);
    assert!(text.contains("the carbon intensity of zone FR ends 30 hours ago"), "{text}");
    assert!(text.contains("oneaio import --carbon FR FILE") && !text.contains("of zone BE"), "{text}");
    let (_, text) = oneaio(home.path(), &["db", "status"], None);
    assert!(text.contains("carbon     zone BE, up to 20"), "{text}");
}

#[test]
fn the_model_is_looked_at_where_one_location_keeps_it() {
    let home = home();
    let check = |set: &[&str]| {
        let args: Vec<&str> = ["check", "--offline"].into_iter().chain(set.iter().flat_map(|s| ["--set", s])).collect();
        about(&oneaio(home.path(), &args, None).1, "model")
    };
    assert!(check(&[]).starts_with("ok       model: none yet"), "{}", check(&[]));
    let named = check(&["model=/nowhere/model.safetensors"]);
    assert!(named.starts_with("WARNING  model: /nowhere/") && named.contains("-> oneaio train"), "{named}");
    fill(home.path(), now());
    let (status, text) = oneaio(home.path(), &["train", "--force"], None);
    assert_eq!(status, Some(0), "{text}");
    let file = home.path().join("var/oneaio/model.safetensors");
    assert!(file.is_file(), "{text}");
    let good = check(&[]);
    assert!(good.starts_with(&format!("ok       model: {}: kmeans, of 6 VMs", file.display())), "{good}");
    assert_eq!(good.lines().count(), 1, "{good}");
    // a recorded request tells which model was there
    let folder = home.path().join("bundles");
    std::fs::write(home.path().join("request.xml"), request(&[], &[]).xml()).unwrap();
    let mut place = Command::new(env!("CARGO_BIN_EXE_oneaio"));
    place.args(["place", "--set", &format!("record.dir={}", folder.display())]).env("ONE_LOCATION", home.path());
    let output = place.stdin(std::fs::File::open(home.path().join("request.xml")).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bundle = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let identity = std::fs::read_to_string(bundle.join("model.json")).unwrap();
    let identity: serde_json::Value = serde_json::from_str(&identity).unwrap();
    assert_eq!((&identity["classifier"], &identity["vms"]), (&"kmeans".into(), &6.into()), "{identity}");
    assert!(identity["checksum"].as_str().is_some_and(|sum| sum.len() >= 8), "{identity}");
    // samples of three more weeks, of which it knows nothing
    fill(home.path(), now() + 21 * 86_400);
    let old = check(&[]);
    assert!(old.contains("WARNING  model: it knows nothing of the last 21 days") && old.contains("-> "), "{old}");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 7]).unwrap();
    let damaged = check(&[]);
    assert!(damaged.starts_with("ERROR    model: ") && damaged.contains("-> oneaio train"), "{damaged}");
}

#[test]
fn a_model_of_few_vms_does_not_fit_a_large_cloud() {
    let home = home();
    fill(home.path(), now());
    let (status, text) = oneaio(home.path(), &["train", "--force"], None);
    assert_eq!(status, Some(0), "{text}");
    let mut store = SqliteStore::open(&home.path().join("var/oneaio/history.db"), Duration::from_secs(5)).unwrap();
    let usage = Usage { cpu: 1.0, memory: 1.0, ..Usage::default() };
    let samples: Vec<VmSample> = (100..200).map(|vm| VmSample { vm: VmId(vm), at: now() - 60, usage }).collect();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    let (_, text) = oneaio(home.path(), &["check", "--offline"], None);
    let told = about(&text, "model");
    assert!(told.contains("it was fitted on 6 VMs, the store knows 106"), "{told}");
}

#[test]
fn spare_room_of_the_living_hosts_is_looked_at_where_it_is_asked_for() {
    let home = home();
    let oned = ScriptedOned::start(&[
        ("one.system.version", success("7.0.0")),
        ("one.hostpool.info", hosts(&[(1, 8, 6, "NO", &[11, 12, 13]), (2, 8, 4, "NO", &[14])])),
    ]);
    let check = |spare: &str| {
        let set = format!("spare={spare}");
        let (_, text) = oneaio(home.path(), &["check", "--set", &set], Some(&oned.address.to_string()));
        about(&text, "spare room")
    };
    let told = check("1");
    assert!(told.starts_with("WARNING ") && told.contains("of 2 hosts 2 may not fail: 1 of 3 VMs of host 1"), "{told}");
    assert!(told.contains("oneaio advise"), "{told}");
    assert!(check("RACK").contains("of 2 values of RACK 2 may not fail"), "hosts that do not tell it count alone");
    assert_eq!(check("no"), "");
}

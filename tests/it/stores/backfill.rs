//! `oneaio import` of what others have kept: a scripted Prometheus over real HTTP, and the
//! databases of OpenNebula's probes.

use crate::support::prometheus::{Cloud, MEASURED, Trouble, busy, cpu, serve, watts};
use crate::support::request::{host, request, vm};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::{Batch, Collecting, Described, Known, Measuring, Training};
use oneaio::model::demand::Usage;
use oneaio::model::ids::{HostId, VmId};
use oneaio::model::sample::VmSample;
use oneaio::prometheus::{Client, Fault, page};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn import(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["import", "--set", &format!("history.store=sqlite:{}", folder.join("h.db").display())])
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn store(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("h.db"), Duration::from_secs(5)).unwrap()
}

fn cloud(cloud: Cloud) -> (Arc<Mutex<Cloud>>, String) {
    let cloud = Arc::new(Mutex::new(cloud));
    let address = serve(&cloud);
    (cloud, format!("http://{address}/"))
}

#[test]
fn the_past_of_all_vms_comes_from_a_prometheus_once() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, url) = cloud(Cloud { moved: Some(4), ..Cloud::default() });
    let (status, messages) = import(folder.path(), &["--prometheus", &url, "--since", "2d"]);
    assert_eq!(status, 0, "{messages}");
    assert!(messages.contains("hosts 2, VMs 6") && !messages.contains("WARN"), "{messages}");
    // VM 4 is told by two hosts and counts once
    assert!(messages.contains(&format!("samples {}, new samples {}", 7 * 576, 6 * 576)), "{messages}");
    let mut store = store(folder.path());
    for vm in 0..6 {
        let samples = store.samples(VmId(vm)).unwrap();
        assert_eq!(samples.len(), 576);
        for sample in samples {
            let usage = &sample.usage;
            assert!((usage.cpu - cpu(vm.into(), sample.at)).abs() < 1e-6 && sample.at % 300 == 0, "{sample:?}");
            assert_eq!((usage.disk_io, usage.net_io), (Some(200.0), Some(200.0)));
        }
    }
    // sizes of VMs that nobody told
    let (_, who) = &store.identities(Some(&[VmId(5)])).unwrap()[0];
    assert_eq!((who.cpu, who.memory), (200, 2_097_152));
    assert_eq!(cloud.lock().unwrap().asked.len(), 2 * 2 * 4, "host, day and quantity");
    let (status, messages) = import(folder.path(), &["--prometheus", &url, "--since", "2d"]);
    assert!(status == 0 && messages.contains("new samples 0"), "{messages}");
    assert_eq!(cloud.lock().unwrap().asked.len(), 2 * 2 * 4, "nothing is asked again");
    // further back: only what is missing is new
    let (_, messages) = import(folder.path(), &["--prometheus", &url, "--since", "3d"]);
    assert!(messages.contains(&format!("new samples {}", 6 * 288)), "{messages}");
}

#[test]
fn an_import_that_was_cut_off_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, url) = cloud(Cloud { until: 9, ..Cloud::default() });
    let (status, messages) = import(folder.path(), &["--prometheus", &url, "--since", "2d"]);
    assert_eq!(status, 3, "{messages}");
    assert!(messages.contains("403") && messages.contains("not any more"), "{messages}");
    assert!(messages.contains(&format!("new samples so far: {}", 6 * 288)), "{messages}");
    assert_eq!(store(folder.path()).status().unwrap().samples, 6 * 288, "what was read stays");
    cloud.lock().unwrap().until = usize::MAX;
    cloud.lock().unwrap().asked.clear();
    let (status, messages) = import(folder.path(), &["--prometheus", &url, "--since", "2d"]);
    assert!(status == 0 && messages.contains(&format!("new samples {}", 6 * 288)), "{messages}");
    assert_eq!(cloud.lock().unwrap().asked.len(), 2 * 4, "the day that was missing");
}

#[test]
fn what_the_store_has_seen_itself_is_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_cloud, url) = cloud(Cloud::default());
    let usage = Usage { cpu: 1.0, memory: 1.0, ..Usage::default() };
    let own = store(folder.path()).progress("x").unwrap().now - 6 * 3600;
    let samples = [VmSample { vm: VmId(1), at: own, usage }];
    let batch = Batch { samples: &samples, ..Batch::default() };
    oneaio::learn::absorb(&mut store(folder.path()), &batch).unwrap();
    let (status, messages) = import(folder.path(), &["--prometheus", &url, "--since", "12h"]);
    assert_eq!(status, 0, "{messages}");
    let samples = store(folder.path()).samples(VmId(1)).unwrap();
    assert_eq!(samples.len(), 144 + 1);
    assert!(samples.iter().all(|sample| sample.at <= own), "{own}");
}

#[test]
fn a_busy_or_narrow_server_is_asked_again_and_for_less() {
    let trouble = vec![Trouble::Cut, Trouble::Status(503), Trouble::Status(429), Trouble::Status(502)];
    let (shared, url) = cloud(Cloud { trouble, longest: 6 * 3600, ..Cloud::default() });
    let client = Client::new(&url).with_pause(Duration::ZERO);
    let found = page(&client, 0, 86_400, 2 * 86_400).unwrap();
    assert_eq!((found.samples.len(), found.incomplete), (3 * 288, 0));
    assert!(found.samples.is_sorted_by_key(|sample| (sample.vm, sample.at)));
    assert!(shared.lock().unwrap().trouble.is_empty());
    // one that does not answer is asked again too
    let (_silent, url) = cloud(Cloud { trouble: vec![Trouble::Silent], ..Cloud::default() });
    let impatient = Client::new(&url).with_pause(Duration::ZERO).with_patience(Duration::from_secs(3));
    assert_eq!(page(&impatient, 0, 0, 3600).unwrap().samples.len(), 3 * 12);
    // one that stays busy is told
    shared.lock().unwrap().trouble = vec![Trouble::Status(503); 50];
    let error = page(&client, 0, 0, 3600).unwrap_err();
    assert!(matches!(&error, Fault::Unreachable(..)) && error.to_string().contains("503: busy"), "{error}");
    // and one that finds an hour too much
    shared.lock().unwrap().longest = 60;
    assert_eq!(page(&client, 0, 0, 3600).unwrap_err(), Fault::TooMuch("too many samples".to_owned()));
}

#[test]
fn what_a_prometheus_lacks_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (_cloud, url) = cloud(Cloud { lacks: Some("memory_rss"), ..Cloud::default() });
    let (status, messages) = import(folder.path(), &["--prometheus", &url, "--since", "1d"]);
    assert_eq!(status, 0, "{messages}");
    assert!(messages.contains(&format!("WARN: steps left out that lack CPU or memory: {};", 6 * 288)), "{messages}");
    let (_cloud, without_disk) = cloud(Cloud { lacks: Some("block_rd"), ..Cloud::default() });
    let (status, messages) = import(folder.path(), &["--prometheus", &without_disk, "--since", "1d"]);
    assert!(status == 0 && messages.contains(&format!("new samples {}", 6 * 288)), "{messages}");
    assert_eq!(store(folder.path()).samples(VmId(1)).unwrap()[0].usage.disk_io, None);
    let (_cloud, empty) = cloud(Cloud { hosts: 0, ..Cloud::default() });
    let (status, messages) = import(folder.path(), &["--prometheus", &empty]);
    assert!(status == 3 && messages.contains("does not scrape OpenNebula's libvirt exporters"), "{messages}");
    let (status, messages) = import(folder.path(), &["--prometheus", &format!("{empty}elsewhere")]);
    assert!(status == 3 && messages.contains("404"), "{messages}");
    let (status, messages) = import(folder.path(), &["--prometheus", "no url at all"]);
    assert!(status == 3 && messages.matches("ERROR").count() == 1, "{messages}");
    assert_eq!(import(folder.path(), &["--prometheus", &empty, "--since", "soon"]).0, 2);
}

/// Runs a command on the store of a folder: exit status, output, messages.
fn told(folder: &Path, arguments: &[&str], input: Option<&str>) -> (i32, String, String) {
    let file = folder.join("request.xml");
    std::fs::write(&file, input.unwrap_or_default()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(arguments)
        .args(["--set", &format!("history.store=sqlite:{}", folder.join("h.db").display())])
        .args(["--set", &format!("decision_log={}", folder.join("decisions").display())])
        .args(["--set", &format!("model={}", folder.join("none.model").display())])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn power_and_pressure_of_hosts_are_kept_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, url) = cloud(Cloud { measured: MEASURED, ..Cloud::default() });
    let (status, messages) = import(folder.path(), &["--prometheus", &url, "--since", "4d"]);
    assert!(status == 0 && !messages.contains("WARN"), "{messages}");
    assert!(messages.contains("2 with power, 2 with pressure, 1 whose VMs' steal is counted"), "{messages}");
    let mut kept = store(folder.path());
    assert_eq!(kept.measured().unwrap(), [HostId(0), HostId(1)]);
    let measures = kept.measures(HostId(1)).unwrap();
    assert!(
        measures.len() >= 4 * 96 && measures.windows(2).all(|two| two[1].at - two[0].at == 900),
        "{}",
        measures.len()
    );
    for one in &measures {
        assert_eq!((one.cpu, one.busy, one.watts), (Some(3200.0), Some(busy(1, one.at)), Some(watts(1, one.at))));
        assert_eq!((one.pressure, one.waiting), (Some(busy(1, one.at) / 2.0), Some(busy(1, one.at) * 3.0)));
    }
    let companies = kept.companies().unwrap();
    let of_vm = |vm: i32| companies.iter().filter(move |one| one.vm == VmId(vm)).collect::<Vec<_>>();
    // VM 3 is on host 1, where some VMs wait; all of host 0 are said to wait for nothing: nobody counts there
    assert!(of_vm(3).len() >= 4 && of_vm(3).iter().all(|one| one.host == HostId(1) && one.steal == Some(4.0)));
    assert!(of_vm(2).iter().all(|one| one.host == HostId(0) && one.steal.is_none() && one.pressure.is_some()));
    assert_eq!(of_vm(3)[1].steps, 96);
    // days that have ended are not asked for again
    let asked = std::mem::take(&mut cloud.lock().unwrap().asked).len();
    let (status, _) = import(folder.path(), &["--prometheus", &url, "--since", "4d"]);
    let again = cloud.lock().unwrap().asked.len();
    assert!(status == 0 && again <= 2 * 7 && again < asked / 3, "{again} of {asked}");

    // 100 W and the host's number at rest, 200 W more in full use
    let (status, curves, messages) = told(folder.path(), &["power"], None);
    assert_eq!(status, 0, "{messages}");
    assert!(curves.contains("POWER_CURVE = \"100,150,200,250,300\""), "{curves}");
    assert!(curves.contains("POWER_CURVE = \"101,151,201,251,301\"") && curves.contains("1.000"), "{curves}");
    let (_, one, _) = told(folder.path(), &["power", "1", "--json"], None);
    crate::process::forms::agree("oneaio power --json", &one);
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!((one["hosts"].as_array().unwrap().len(), &one["hosts"][0]["host"]), (1, &serde_json::json!(1)));
    assert_eq!(one["hosts"][0]["samples"].as_u64().unwrap(), measures.len() as u64);
    let (_, table, _) = told(folder.path(), &["power", "1", "--csv"], None);
    assert!(table.starts_with("host,samples,CPU seen,R2,error W,line for its template\n1,"), "{table}");
    let (status, _, messages) = told(folder.path(), &["power", "9"], None);
    assert!(status == 3 && messages.contains("no power of host 9 was measured"), "{messages}");

    // what was expected stands beside what was measured
    let (_, evaluation, messages) = told(folder.path(), &["evaluate"], None);
    assert!(evaluation.contains("rank correlation with its pressure"), "{evaluation}{messages}");
    assert!(evaluation.contains("measured on 2 hosts over"), "{evaluation}");

    // and the last decision's hosts are known by it
    let xml = request(&[host(0), host(1)], &[vm(50, &[0, 1])]).xml();
    assert_eq!(told(folder.path(), &["place"], Some(&xml)).0, 0);
    let (_, why, messages) = told(folder.path(), &["explain"], None);
    assert!(why.contains("Waited for a CPU in the last week, measured: host "), "{why}{messages}");
}

#[test]
fn databases_of_probes_are_imported_beside_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("7.db");
    let probe = rusqlite::Connection::open(&file).unwrap();
    for (metric, value) in [("cpu", 40.0), ("memory", 1024.0)] {
        probe
            .execute_batch(&format!(
                "CREATE TABLE virtualmachine_7_{metric}_monitoring (TIMESTAMP INTEGER PRIMARY KEY, VALUE REAL);
                 WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
                 INSERT INTO virtualmachine_7_{metric}_monitoring SELECT 1750000200 + 30 * i, {value} FROM n"
            ))
            .unwrap();
    }
    let path = file.display().to_string();
    let (status, messages) = import(folder.path(), &[&path]);
    assert!(status == 0 && messages.contains("7.db: VMs 1, new samples 100"), "{messages}");
    let (_, messages) = import(folder.path(), &[&path]);
    assert!(messages.contains("new samples 0"), "the same file again: {messages}");
    // its own store is none of them
    let own = folder.path().join("h.db").display().to_string();
    let (status, messages) = import(folder.path(), &[&own]);
    assert!(status == 0 && messages.contains("it holds no VM"), "{messages}");
}

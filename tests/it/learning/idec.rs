//! IDEC from a usage table to class vectors, by the real binary: small networks on few windows,
//! so that all of it takes seconds.

use crate::support::server::{ScriptedOned, Service, eventually, hosts, pending};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::{Known, Learnt, Training};
use oneaio::model::history::{Estimate, Vectors};
use oneaio::model::ids::VmId;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A network that is trained in a moment.
const SMALL: [&str; 8] =
    ["hidden1=16", "hidden2=0", "embedded=3", "pretraining=15", "epochs=10", "batch=32", "rate=0.003", "still=0.5"];

/// A store with six days of twelve VMs: idle, busy by day, full.
fn store() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (mut sizes, mut usage) = (
            "vmid,cores,cpu_capacity_mhz,mem_capacity_kb\n".to_owned(),
            "ts,vmid,cpu_percent,mem_kb,disk_read_kbps,disk_write_kbps,net_rx_kbps,net_tx_kbps\n".to_owned(),
        );
        for vm in 1..=12_u64 {
            writeln!(sizes, "{vm},2,5200,4194304").unwrap();
            for step in 0..6 * 288_u64 {
                let noise = ((step * 7919 + vm * 104_729) % 1000) as f64 / 100.0;
                let day = (step as f64 / 288.0 * std::f64::consts::TAU).sin();
                let cpu = [3.0, 40.0 + 25.0 * day, 85.0][vm as usize % 3] + noise;
                let (at, memory) = (1_700_000_000 + 300 * step, 400_000.0 + 20_000.0 * cpu);
                writeln!(usage, "{at},{vm},{cpu:.2},{memory:.0},{noise:.1},{:.1},1.5,{noise:.1}", 10.0 + cpu).unwrap();
            }
        }
        std::fs::write(folder.path().join("vms.csv"), sizes).unwrap();
        std::fs::write(folder.path().join("metrics.csv"), usage).unwrap();
        let told = Place::at(folder.path()).run(&["import", "--vms", "vms.csv", "metrics.csv"]);
        assert_eq!(told.status, Some(0), "{}", told.errors);
        folder
    });
    folder.path()
}

/// Where commands run: a copy of the store, and a model file.
struct Place {
    folder: PathBuf,
    _kept: Option<tempfile::TempDir>,
}

struct Told {
    status: Option<i32>,
    output: String,
    errors: String,
}

impl Place {
    fn new() -> Self {
        let kept = tempfile::tempdir().unwrap();
        for name in ["history.db", "vms.csv", "metrics.csv"] {
            std::fs::copy(store().join(name), kept.path().join(name)).unwrap();
        }
        Self { folder: kept.path().to_owned(), _kept: Some(kept) }
    }

    fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _kept: None }
    }

    fn model(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.folder.join("history.db"), Duration::from_secs(5)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.arg("--set").arg(format!("history.store=sqlite:{}", self.folder.join("history.db").display()));
        command.arg("--set").arg(format!("model={}", self.model().display()));
        command.env_remove("ENVSERVER_DB_HOST");
        command
    }

    fn run(&self, arguments: &[&str]) -> Told {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Told { status: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
    }

    /// Trains a small network; settings that come later count.
    fn train(&self, more: &[&str], with: &[&str]) -> Told {
        let mut arguments = vec!["train"];
        arguments.extend(more);
        arguments.extend(SMALL.iter().chain(with).flat_map(|pair| ["--with", *pair]));
        self.run(&arguments)
    }
}

#[test]
fn what_the_readme_says_works_from_a_table_to_classes() {
    let place = Place::new();
    let trained = place.train(&["--model", "idec"], &[]);
    assert_eq!(trained.status, Some(0), "{}", trained.errors);
    assert!(trained.errors.contains("idec, 3 classes, fitted on 12 VMs"), "{}", trained.errors);
    assert!(trained.errors.contains("R2 of CPU on VMs and times not seen"), "{}", trained.errors);
    let bytes = std::fs::read(place.model()).unwrap();

    let classes = place.run(&["classes"]);
    assert_eq!(classes.status, Some(0), "{}", classes.errors);
    assert!(classes.output.contains("idec, fitted on"), "{}", classes.output);
    crate::process::forms::agree("oneaio classes --json", &place.run(&["classes", "-j"]).output);
    let csv = place.run(&["classes", "--csv"]).output;
    assert!(csv.starts_with("class,what,share,") && csv.lines().count() == 4, "{csv}");
    // VM 3, 6, ... are idle, 1, 4, ... busy by day, 2, 5, ... full
    let classified = place.run(&["classify", "3", "6", "2", "5"]);
    assert_eq!(classified.status, Some(0), "{}", classified.errors);
    let of_each: Vec<&str> =
        classified.output.split("  class ").skip(1).map(|rest| rest.split(' ').next().unwrap()).collect();
    assert_eq!(of_each.len(), 4, "{}", classified.output);
    assert!(of_each[0] == of_each[1] && of_each[2] == of_each[3], "{}", classified.output);
    assert!(of_each[0] < of_each[2], "classes are numbered by load: {}", classified.output);
    for name in ["by idec, confidence", "vector of idec ", "vector of idec-soft "] {
        assert_eq!(classified.output.matches(name).count(), 4, "{name}: {}", classified.output);
    }

    // from the store and from the tables it was imported from, under either name
    let fitting: Vec<&str> = SMALL.iter().flat_map(|pair| ["--with", *pair]).chain(["--draws", "1"]).collect();
    let from_store = place.run(&[&["evaluate", "--model", "DLClassifier"], fitting.as_slice()].concat());
    assert_eq!(from_store.status, Some(0), "{}", from_store.errors);
    assert!(from_store.output.contains("class distances, linear"), "{}", from_store.output);
    let tables = ["evaluate", "metrics.csv", "--vms", "vms.csv", "--classifier", "DLIR"];
    let from_tables = place.run(&[&tables, fitting.as_slice()].concat());
    assert_eq!(from_tables.status, Some(0), "{}", from_tables.errors);

    // the same data and seed, the same bytes; the configuration names the classifier as well
    std::fs::remove_file(place.model()).unwrap();
    let again = place.train(&["--set", "classifier=DLIR"], &[]);
    assert_eq!(again.status, Some(0), "{}", again.errors);
    assert!(std::fs::read(place.model()).unwrap() == bytes, "equal data and seed give equal bytes");
}

#[test]
fn one_model_serves_both_names_over_rest_and_in_the_configuration() {
    let place = Place::new();
    let estimate = |vm: i32| place.store().states(&[VmId(vm)]).unwrap()[0].1;
    let some: Estimate = estimate(1);
    // z says that VM 1 is heavy, q that VM 2 is
    let vectors =
        |z: f64, q: f64| -> Vectors { vec![("idec".to_owned(), vec![z; 4]), ("idec-soft".to_owned(), vec![q; 3])] };
    let learnt = |vectors| Learnt { estimate: some, vectors, state: Vec::new() };
    let all = [(VmId(1), learnt(vectors(1.0, 0.0))), (VmId(2), learnt(vectors(0.0, 1.0)))];
    place.store().revise(&all).unwrap();
    assert_eq!(place.store().vectors(&[VmId(1)]).unwrap(), [(VmId(1), vectors(1.0, 0.0))]);

    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(1, 8, 1, "", &[1]), (2, 8, 1, "", &[2])])),
        ("one.vmpool.infoextended", pending(&[(1234, 1, "")])),
    ]);
    let sqlite = format!("history.store=sqlite:{}", place.folder.join("history.db").display());
    let ask = |service: &Service| service.post("/api/place", "{\"ID\":1234,\"HOST_IDS\":[1,2]}").1["HOST_ID"].clone();
    let service = Service::start(&place.folder, Some(&oned), &[&sqlite]);
    for (name, host) in [("DLIR", 2), ("DLClassifier", 1), ("DLIR", 2)] {
        let set = service.post("/api/classifier", json!({ "model_name": name }).to_string());
        assert_eq!((set.0, ask(&service)), (200, json!(host)), "{name}: {}", service.log());
    }
    assert!(!service.log().contains("the model is"), "{}", service.log());
    // what no model was trained for is told once, and the model that is there acts
    for _ in 0..2 {
        service.post("/api/classifier", "{\"model_name\":\"ClassicalClassifier\"}");
        assert_eq!(ask(&service), json!(2));
    }
    let told = "the model is idec, not mc2pca";
    assert_eq!(service.log().matches(told).count(), 1, "{}", service.log());
    service.stop();
    for (name, host) in [("DLIR", 2), ("DLClassifier", 1), ("any", 2)] {
        let named = format!("classifier={name}");
        let service = Service::start(&place.folder, Some(&oned), &[&sqlite, "resources=classes", &named]);
        assert_eq!(ask(&service), json!(host), "{name}: {}", service.log());
    }
    // a store from before names: what it holds is of the model that was there
    let old = rusqlite::Connection::open(place.folder.join("history.db")).unwrap();
    old.execute("UPDATE estimates SET vector = '[1.0,0.5]' WHERE vm = 1", []).unwrap();
    assert_eq!(place.store().vectors(&[VmId(1)]).unwrap(), [(VmId(1), vec![(String::new(), vec![1.0, 0.5])])]);
}

#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_model() {
    let place = Place::new();
    let arguments = ["--classifier", "idec", "--checkpoint", "state"];
    let state = place.folder.join("state");
    // long enough to be stopped
    let long = "pretraining=100";
    let whole = place.train(&arguments, &[long]);
    assert_eq!(whole.status, Some(0), "{}", whole.errors);
    assert!(!state.exists() && !whole.errors.contains("goes on"), "{}", whole.errors);
    let bytes = std::fs::read(place.model()).unwrap();
    std::fs::write(place.model(), "the model that was there").unwrap();

    // stopped hard as soon as there is a state
    let fitting = SMALL.iter().chain([&long]).flat_map(|pair| ["--with", *pair]);
    let arguments: Vec<&str> = ["train"].into_iter().chain(arguments).chain(fitting).collect();
    let mut stopped = place.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    eventually("a state", || state.exists());
    stopped.kill().unwrap();
    stopped.wait().unwrap();
    assert_eq!(std::fs::read(place.model()).unwrap(), b"the model that was there");
    let resumed = place.run(&arguments);
    assert_eq!(resumed.status, Some(0), "{}", resumed.errors);
    assert!(resumed.errors.contains("training goes on from state"), "{}", resumed.errors);
    assert!(!state.exists() && std::fs::read(place.model()).unwrap() == bytes);

    std::fs::write(&state, "no state").unwrap();
    let damaged = place.run(&arguments);
    assert_eq!(damaged.status, Some(3), "{}", damaged.errors);
    assert!(damaged.errors.contains("the checkpoint state cannot be used, remove it"), "{}", damaged.errors);
    assert!(std::fs::read(place.model()).unwrap() == bytes);
}

#[test]
fn what_cannot_be_trained_is_told_and_the_old_model_stays() {
    let place = Place::new();
    std::fs::write(place.model(), "the model that was there").unwrap();
    let refused = |more: &[&str], with: &[&str], says: &str| {
        let told = place.train(&[&["--classifier", "idec", "--force"], more].concat(), with);
        assert_eq!(told.status, Some(3), "{}", told.errors);
        assert!(told.errors.contains("no model was written") && told.errors.contains(says), "{}", told.errors);
        assert_eq!(std::fs::read(place.model()).unwrap(), b"the model that was there");
    };
    refused(&[], &["rate=1e6"], "the learning rate is too high, set rate below 1000000");
    refused(&["--classes", "150"], &[], "are too few for 150 classes");
    refused(&["--classes", "201"], &[], "classes must be from 1 to 200");
    refused(&[], &["embedded=0"], "embedded must be from 1 to 256, not 0");
    refused(&[], &["depth=3"], "\"depth\" is no setting of idec");
}

#[test]
fn damaged_weights_are_told_and_estimates_go_on() {
    let place = Place::new();
    let trained = place.train(&["--classifier", "DLIR"], &[]);
    assert_eq!(trained.status, Some(0), "{}", trained.errors);
    let bytes = std::fs::read(place.model()).unwrap();
    let cut = &bytes[..bytes.len() / 2];
    let mut flipped = bytes.clone();
    let last = flipped.len() - 20;
    flipped[last] ^= 1;
    for (damaged, says) in [(cut, "the model is damaged"), (&flipped, "its checksum is wrong")] {
        std::fs::write(place.model(), damaged).unwrap();
        let classes = place.run(&["classes"]);
        assert_eq!(classes.status, Some(3), "{}", classes.errors);
        assert!(
            classes.errors.contains(says) && classes.errors.contains("run `oneaio train` again"),
            "{}",
            classes.errors
        );
        let classified = place.run(&["classify", "3"]);
        assert_eq!(classified.status, Some(0), "{}", classified.errors);
        assert!(classified.errors.contains("without a model") && classified.output.contains("estimate from"));
    }
    // a new training replaces what is damaged, and says that it did not count
    let again = place.train(&["--classifier", "DLIR"], &[]);
    assert_eq!(again.status, Some(0), "{}", again.errors);
    assert!(again.errors.contains("the old model does not count"), "{}", again.errors);
    assert!(std::fs::read(place.model()).unwrap() == bytes);
}

#[test]
fn constant_features_are_no_obstacle() {
    // disk and network of all VMs are 0, memory and sizes equal
    let folder = tempfile::tempdir().unwrap();
    let (mut sizes, mut usage) = ("vmid,cores,mem_capacity_kb\n".to_owned(), String::new());
    usage.push_str("ts,vmid,cpu_percent,mem_kb,disk_read_kbps,disk_write_kbps,net_rx_kbps,net_tx_kbps\n");
    for vm in 1..=9_u64 {
        writeln!(sizes, "{vm},1,1048576").unwrap();
        for step in 0..6 * 288_u64 {
            let cpu = [4.0, 50.0, 90.0][vm as usize % 3] + ((step * 31 + vm * 17) % 50) as f64 / 10.0;
            writeln!(usage, "{},{vm},{cpu:.1},500000,0,0,0,0", 1_700_000_000 + 300 * step).unwrap();
        }
    }
    std::fs::write(folder.path().join("vms.csv"), sizes).unwrap();
    std::fs::write(folder.path().join("metrics.csv"), usage).unwrap();
    let place = Place::at(folder.path());
    let imported = place.run(&["import", "--vms", "vms.csv", "metrics.csv"]);
    assert_eq!(imported.status, Some(0), "{}", imported.errors);
    let trained = place.train(&["--classifier", "idec"], &[]);
    assert_eq!(trained.status, Some(0), "{}", trained.errors);
    let classified = place.run(&["classify", "3", "2"]);
    assert_eq!(classified.output.matches("vector of idec ").count(), 2, "{}", classified.output);
    assert!(!classified.output.contains("NaN") && !classified.output.contains("inf"), "{}", classified.output);
}

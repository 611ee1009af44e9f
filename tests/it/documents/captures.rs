//! Real requests and the independent validator that lie beside a development checkout in
//! `../shared`. They are not ours to ship; without them these tests say so and pass.

use crate::support::skip::shared;
use oneaio::decide;
use oneaio::demand::observed;
use oneaio::model::history::Recall;
use oneaio::model::ids::HostId;
use oneaio::model::policy::Policy;
use oneaio::placement::score::load::Load;
use oneaio::placement::score::space::Space;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Folders of requests of one kind; the README's first word says so.
fn captures_of(root: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| fs::read_to_string(path.join("README")).is_ok_and(|text| text.starts_with(kind)));
    found.sort();
    assert!(!found.is_empty(), "no captures in {}", root.display());
    found
}

fn request(folder: &Path) -> Vec<u8> {
    if let Ok(bytes) = fs::read(folder.join("request.xml")) {
        return bytes;
    }
    let packed = fs::read(folder.join("request.xml.gz")).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut bytes).unwrap();
    bytes
}

fn place(request: &[u8]) -> Vec<u8> {
    answer(&["place"], request)
}

fn answer(args: &[&str], request: &[u8]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = request.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// What the validator says of a plan.
fn judge(tool: &Path, request: &[u8], plan: &[u8]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (request_file, plan_file) = (folder.path().join("request"), folder.path().join("plan"));
    fs::write(&request_file, request).unwrap();
    fs::write(&plan_file, plan).unwrap();
    let output = Command::new("python3").arg(tool).args([&request_file, &plan_file]).arg("--json").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// (VM, host) of each action of a plan.
fn actions(plan: &str) -> Vec<(i32, i32)> {
    let number = |block: &str, tag: &str| {
        let start = block.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
        block[start..].split('<').next().unwrap().trim().parse::<i32>().unwrap()
    };
    plan.split("<ACTION>").skip(1).map(|block| (number(block, "VM_ID"), number(block, "HOST_ID"))).collect()
}

/// The largest D_green that a plan leads to, on the loads that we decide with.
fn objective(request: &[u8], plan: &[u8]) -> f64 {
    let policy = Policy::default();
    let snapshot = decide::read(request.to_vec()).unwrap();
    let demands = observed::demands(&snapshot, &Recall::default(), policy.monitoring_max_age);
    let space = Space::new(&snapshot, &demands, &policy);
    let mut load = Load::new(&space, &snapshot, &policy);
    for (vm, host) in actions(std::str::from_utf8(plan).unwrap()) {
        let request = snapshot.candidates.iter().position(|c| snapshot.vms[c.vm].id.0 == vm).unwrap();
        load.book(&space, request, snapshot.host_index(HostId(host)).unwrap());
    }
    load.objective()
}

#[test]
fn every_capture_gets_a_valid_plan_that_places_no_fewer_than_any_valid_peer() {
    let (Some(captures), Some(tool)) = (shared("captures"), shared("tools/check_plan.py")) else { return };
    for folder in captures_of(&captures, "place") {
        let request = request(&folder);
        let plan = place(&request);
        let ours = judge(&tool, &request, &plan);
        assert_eq!(ours["valid"], true, "{}: {}", folder.display(), ours["breaches"]);
        for peer in ["rank.plan.xml", "one_drs.plan.xml"] {
            let Ok(theirs_plan) = fs::read(folder.join(peer)) else { continue };
            let theirs = judge(&tool, &request, &theirs_plan);
            let count = |result: &Value| result["placed"].as_i64().unwrap_or(0);
            if theirs["valid"] == true {
                assert!(count(&ours) >= count(&theirs), "{}: {peer} places more", folder.display());
            }
            if theirs["valid"] == true && count(&ours) == count(&theirs) {
                let (ours, theirs) = (objective(&request, &plan), objective(&request, &theirs_plan));
                assert!(ours <= theirs + 1e-9, "{}: {ours} is above the {theirs} of {peer}", folder.display());
            }
        }
    }
}

#[test]
fn on_the_loads_that_the_validator_measures_no_peer_leaves_a_smaller_distance() {
    let (Some(captures), Some(tool)) = (shared("captures"), shared("tools/check_plan.py")) else { return };
    // it knows of allocation alone: neither what samples of hosts show nor energy
    let args = ["place", "--set", "history.store=none", "--set", "monitoring_max_age=0", "--set", "s_green=0"];
    let mut compared = 0;
    for folder in captures_of(&captures, "place") {
        let request = request(&folder);
        let ours = judge(&tool, &request, &answer(&args, &request));
        for peer in ["rank.plan.xml", "one_drs.plan.xml"] {
            let Ok(theirs) = fs::read(folder.join(peer)) else { continue };
            let theirs = judge(&tool, &request, &theirs);
            if theirs["valid"] == true && theirs["placed"] == ours["placed"] {
                let largest = |result: &Value| result["metrics"]["l1_distance"]["max"].as_f64().unwrap();
                assert!(largest(&ours) <= largest(&theirs) + 1e-6, "{}: {peer}", folder.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "no peer places as many VMs");
}

#[test]
fn clusters_are_evened_out_at_least_as_well_as_by_one_drs_in_no_more_rounds() {
    let (Some(captures), Some(tool)) = (shared("captures"), shared("tools/check_plan.py")) else { return };
    let mut compared = 0;
    for folder in captures_of(&captures, "optimize") {
        let request = request(&folder);
        let text = String::from_utf8_lossy(&request).into_owned();
        let cluster = text.split("<CLUSTER_POOL><CLUSTER><ID>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
        let ours = judge(&tool, &request, &answer(&["optimize", cluster, "--set", "history.store=none"], &request));
        let name = folder.display();
        assert_eq!(ours["valid"], true, "{name}: {}", ours["breaches"]);
        assert_eq!(ours["warnings"], serde_json::json!([]), "{name}");
        // where it has given one
        let Ok(theirs) = fs::read(folder.join("one_drs.plan.xml")) else { continue };
        let theirs = judge(&tool, &request, &theirs);
        compared += 1;
        let (mine, peer) = (&ours["metrics"], &theirs["metrics"]);
        let number = |value: &Value| value.as_f64().unwrap();
        assert!(number(&mine["l1_distance"]["max"]) <= number(&peer["l1_distance"]["max"]), "{name}: {mine} {peer}");
        assert!(number(&mine["actions"]) <= number(&peer["actions"]), "{name}: more migrations");
        assert!(number(&mine["rounds"]) <= number(&peer["rounds"]), "{name}: more rounds");
    }
    assert!(compared > 0, "one_drs has no plan at all");
}

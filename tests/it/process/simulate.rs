//! `oneaio simulate`: the same in every run, in the order that knowledge promises, and what
//! slips of the keyboard are told. The real traces are judged where they are at hand.

use crate::support::skip::shared;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

fn oneaio(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oneaio")).arg("simulate").args(args).output().unwrap()
}

fn answer(args: &[&str]) -> String {
    let output = oneaio(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The row of a policy in `--json`.
fn row<'v>(answer: &'v Value, name: &str) -> &'v Value {
    answer["policies"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

fn fullest(answer: &Value, name: &str) -> f64 {
    row(answer, name)["fullest"].as_f64().unwrap()
}

/// Two days of 24 VMs: sizes say nothing about use, use changes slowly, a little by chance.
fn made_up(folder: &Path) -> (String, String) {
    let (mut usage, mut sizes) =
        (String::from("ts,vmid,cpu_percent,mem_kb\n"), String::from("vmid,cores,mem_capacity_kb\n"));
    let mut state = 7_u64;
    let mut chance = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 1000) as f64 / 1000.0
    };
    for vm in 1..=24 {
        let cores = [1, 2, 4][vm % 3];
        writeln!(sizes, "{vm},{cores},{}", cores * 2_097_152).unwrap();
        let level = 80.0 * chance();
        for step in 0..(2 * 288) {
            let cpu = (level + 10.0 * (f64::from(step) / 90.0 + vm as f64).sin() + 6.0 * chance()).clamp(0.0, 100.0);
            writeln!(usage, "{},{vm},{cpu:.2},{}", 1_000_000 + 300 * step, 500_000).unwrap();
        }
    }
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("usage.csv"), usage).unwrap();
    std::fs::write(path("vms.csv"), sizes).unwrap();
    (path("usage.csv"), path("vms.csv"))
}

#[test]
fn who_knows_more_spreads_better_and_every_run_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (usage, vms) = made_up(folder.path());
    let plot = folder.path().join("plot.svg").display().to_string();
    let args = [&usage, "--vms", &vms, "--hosts", "4", "--cores", "12", "--warm-up", "0.5", "--horizon", "48"];
    let args = [&args[..], &["--moments", "5", "--subsets", "3", "--set", "weights.memory=0"]].concat();
    let text = answer(&[&args[..], &["--json"]].concat());
    assert_eq!(text, answer(&[&args[..], &["--json"]].concat()), "equal input, equal output");
    let found: Value = serde_json::from_str(&text).unwrap();
    let of = |name: &str| fullest(&found, name);
    assert!(of("perfect") <= of("joint") + 1e-9, "{text}");
    assert!(of("joint") < of("requested") && of("joint") < of("random"), "{text}");
    assert!(of("greedy") < of("random") && of("ai-orchestrator") > of("joint"), "{text}");
    assert!(row(&found, "joint")["subsets"][0].as_f64().unwrap() >= 1.0, "{text}");
    let table = answer(&[&args[..], &["--plot", &plot, "--cold", "0.5", "--arrivals", "gradual"]].concat());
    assert!(table.starts_with("24 VMs (") && table.contains("| joint "), "{table}");
    let drawn = std::fs::read_to_string(&plot).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("perfect ("), "a plot with a legend");
}

#[test]
fn energy_is_a_dial_and_packing_keeps_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (usage, vms) = made_up(folder.path());
    let kinds = "clean: {count: 2, cores: 12, memory: 64, POWER_IDLE: 100, POWER_MAX: 300, CARBON_INTENSITY: 50}\n\
                 dirty: {count: 2, cores: 12, memory: 64, POWER_IDLE: 100, POWER_MAX: 300, CARBON_INTENSITY: 500}\n";
    let hosts = folder.path().join("hosts.yaml").display().to_string();
    std::fs::write(&hosts, kinds).unwrap();
    let args = [&usage, "--vms", &vms, "--warm-up", "0.5", "--horizon", "48", "--moments", "6", "--subsets", "0"];
    let args = [&args[..], &["--set", "weights.memory=0", "--set", "green_cost=energy", "--json"]].concat();
    let of = |more: &[&str], policy: &str, figure: &str| {
        let found: Value = serde_json::from_str(&answer(&[&args[..], more].concat())).unwrap();
        row(&found, policy)[figure].as_f64().unwrap()
    };
    let curve: Vec<f64> = ["0", "0.25", "0.5", "0.75", "1"]
        .map(|budget| {
            let set = format!("energy_budget={budget}");
            of(&["--hosts-file", &hosts, "--set", &set, "--policies", "joint"], "joint", "carbon_kg_per_day")
        })
        .to_vec();
    assert!(curve.windows(2).all(|pair| pair[1] < pair[0]), "{curve:?}");
    // no step takes more than half of all that is saved: there is no cliff
    let whole = curve[0] - curve[4];
    assert!(curve.windows(2).all(|pair| pair[0] - pair[1] < whole / 2.0), "{curve:?}");
    let off = of(&["--hosts-file", &hosts, "--set", "s_green=0", "--policies", "joint"], "joint", "carbon_kg_per_day");
    assert!((off - curve[0]).abs() < 1e-9, "{off} {curve:?}");
    let plot = folder.path().join("curve.svg").display().to_string();
    let whole = answer(&[&args[..], &["--hosts-file", &hosts, "--energy-curve", "--plot", &plot]].concat());
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let saved = |name: &str| row(&whole, name)["carbon_kg_per_day"].as_f64().unwrap();
    assert_eq!(whole["policies"].as_array().unwrap().len(), 11);
    assert!((saved("budget 0.5") - curve[2]).abs() < 1e-9 && saved("budget 1.0") < saved("budget 0.0"));
    assert!(std::fs::read_to_string(&plot).unwrap().contains("CO2 saved"), "a curve with its names");
    let pack = ["--arrivals", "gradual", "--policies", "optimize", "--set", "optimize.policy=pack"];
    let pack = [&pack[..], &["--hosts", "6", "--cores", "12"]].concat();
    let packed = |figure: &str| of(&pack, "optimize", figure);
    assert!(packed("hosts_used") < 6.0, "{}", packed("hosts_used"));
    // an empty host of 12 cores draws 12 W when nobody tells: 0.288 kWh a day
    let off = (6.0 - packed("hosts_used")) * 0.288;
    assert!((packed("off_kwh_per_day") - off).abs() < 1e-9, "{off}");
    assert!(
        packed("time_over") < 0.01 && packed("demand_over") < 0.005,
        "{} {}",
        packed("time_over"),
        packed("demand_over")
    );
}

#[test]
fn migrations_even_out_what_came_little_by_little() {
    let folder = tempfile::tempdir().unwrap();
    let (usage, vms) = made_up(folder.path());
    let args = [&usage, "--vms", &vms, "--hosts", "4", "--cores", "12", "--warm-up", "0.5", "--horizon", "48"];
    let args = [&args[..], &["--moments", "6", "--subsets", "0", "--set", "weights.memory=0", "--json"]].concat();
    let gradual = [&args[..], &["--arrivals", "gradual"]].concat();
    let found: Value = serde_json::from_str(&answer(&gradual)).unwrap();
    let moved = |name: &str| row(&found, name)["migrations"].as_u64().unwrap();
    assert!(moved("optimize") > 0 && moved("joint") == 0, "{found}");
    assert!(fullest(&found, "optimize") < fullest(&found, "joint"), "{found}");
    let together: Value = serde_json::from_str(&answer(&[&args[..], &["--arrivals", "together"]].concat())).unwrap();
    assert!(together["policies"].as_array().unwrap().iter().all(|row| row["name"] != "optimize"), "{together}");
}

#[test]
fn energy_and_carbon_follow_hosts_and_zones() {
    let folder = tempfile::tempdir().unwrap();
    let (usage, vms) = made_up(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("clean.csv"), "ts,gCO2_per_kWh\n1000000,10\n").unwrap();
    // another year: moved to the time of the trace
    std::fs::write(path("dirty.csv"), "ts,gCO2_per_kWh\n1600000000,900\n").unwrap();
    let hosts = "clean: {count: 2, cores: 16, POWER_IDLE: 100, POWER_MAX: 300, CARBON_ZONE: A}\n\
                 dirty: {count: 2, cores: 16, POWER_IDLE: 100, POWER_MAX: 300, CARBON_ZONE: B}\n";
    std::fs::write(path("hosts.yaml"), hosts).unwrap();
    let (hosts, clean, dirty) = (path("hosts.yaml"), path("clean.csv"), path("dirty.csv"));
    let args = [&usage, "--vms", &vms, "--hosts-file", &hosts, "--carbon", "A", &clean, "--carbon", "B", &dirty];
    let args =
        [&args[..], &["--warm-up", "1", "--horizon", "24", "--moments", "2", "--subsets", "0", "--json"]].concat();
    let carbon = |more: &[&str]| {
        let found: Value = serde_json::from_str(&answer(&[&args[..], more].concat())).unwrap();
        row(&found, "joint")["carbon_kg_per_day"].as_f64().unwrap()
    };
    let (without, with) = (carbon(&["--set", "s_green=0"]), carbon(&["--set", "green_cost=energy"]));
    // four idle hosts alone: 9.6 kWh, half of them at 10 and half at 900 g
    assert!(with < without && with > 4.368, "{without} -> {with}");
}

#[test]
fn slips_are_told_and_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (usage, vms) = made_up(folder.path());
    for (args, status, told) in [
        (&["--policies", "best"][..], 2, "--policies: \"best\" is none; there are random, requested"),
        (&["--cold", "2"], 2, "--cold is 2; it must be a number from 0 to 1"),
        (&["--moments", "0"], 2, "must be 1 or more"),
        (&["--hosts", "0"], 3, "there must be 1 to 100000 hosts"),
        (&["--cores", "nan"], 3, "a host has 0.01"),
        (&["--attribute", "POWER_MAX"], 3, "not of the form NAME=VALUE"),
        (&["--hosts-file", "/no/such/file"], 3, "cannot be read"),
        (&["--warm-up", "30"], 3, "too short: shorten --warm-up or --horizon"),
        (&["--set", "risc=1"], 2, "did you mean risk?"),
    ] {
        let output = oneaio(&[&[usage.as_str(), "--vms", &vms][..], args].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {message}");
        assert!(message.contains(told) && output.stdout.is_empty(), "{args:?}: {message}");
    }
    std::fs::write(folder.path().join("empty.csv"), "ts,vmid,cpu_percent,mem_kb\n").unwrap();
    let empty = folder.path().join("empty.csv").display().to_string();
    let output = oneaio(&[&empty, "--vms", &vms]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the tables hold no sample"));
}

#[test]
fn real_vms_on_equal_hosts_fill_them_evenly() {
    let Some(traces) = shared("traces") else { return };
    let (usage, vms) = (traces.join("metrics-dev.csv.gz"), traces.join("vms-dev.csv"));
    let (usage, vms) = (usage.display().to_string(), vms.display().to_string());
    let args = [usage.as_str(), "--vms", &vms, "--subsets", "0", "--json"];
    // CPU alone, which is what is judged; then all resources, as they are by default
    for more in [&["--set", "weights.memory=0", "--set", "weights.disk_io=0", "--set", "weights.net_io=0"][..], &[]] {
        let found: Value = serde_json::from_str(&answer(&[&args[..], more].concat())).unwrap();
        let of = |name: &str| fullest(&found, name);
        assert!(of("joint") <= 1.38, "{more:?}: {found}");
        assert!(of("perfect") <= of("joint") && of("joint") < of("requested") && of("requested") < of("random"));
        assert!(of("joint") < of("ai-orchestrator"), "{more:?}: {found}");
    }
}

#[test]
fn the_loop_shows_drivers_side_by_side_on_the_hosts_of_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let (usage, vms) = made_up(folder.path());
    let plot = folder.path().join("loop.svg").display().to_string();
    let request = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/looping/requests/one-by-one.xml");
    let request = request.display().to_string();
    let args = [&usage, "--loop", "--vms", &vms, "--hosts-of", &request, "--days", "0.1", "--within", "600"];
    let answered = answer(&[&args[..], &["--json", "--plot", &plot]].concat());
    let rows: Value = serde_json::from_str(&answered).unwrap();
    let rows = rows.as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["driver"].as_str().unwrap()).collect();
    assert_eq!(names, ["rank", "rank, one_drs", "oneaio place", "oneaio place, optimize"]);
    for row in rows {
        // four small hosts have no room for all of them; which gaps VMs leave that come one by one is chance
        assert!(row["waiting"].as_u64() <= rows[0]["waiting"].as_u64().map(|rank| rank + 1), "{row}");
        assert!(row["to_run_p50"].as_f64() <= row["to_run_p99"].as_f64() && row["kwh"].is_number(), "{row}");
    }
    assert!(rows[0]["migrations"] == 0 && rows[2]["migrations"] == 0, "nobody optimizes there");
    let svg = std::fs::read_to_string(&plot).unwrap();
    assert!(names.iter().all(|name| svg.contains(name)), "a line for each");
    // text, the same in every run
    let text = answer(&args);
    assert!(text.starts_with("24 VMs on 4 hosts, a simulated oned, 0.1 days"), "{text}");
    assert_eq!(text, answer(&args));
    let refused = oneaio(&[&usage, "--loop", "--vms", &vms, "--days", "0"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--days is 0; it must be a number above 0"));
}

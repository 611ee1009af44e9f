//! Energy in the choice of hosts: the cleaner of equal hosts, carbon from the store, and what
//! the report says of it.

use crate::support::request::{Host, host, request, running, vm};
use oneaio::model::policy::{GreenCost, Policy};
use std::process::Command;

fn energy(s_green: f64) -> Policy {
    Policy { s_green, green_cost: GreenCost::Energy, ..Policy::default() }
}

/// Pseudo-random numbers below `n`, the same in every run.
fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |n| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    }
}

fn with_carbon(host: Host, grams: u64) -> Host {
    host.template("CARBON_INTENSITY", &grams.to_string()).template("POWER_MAX", "400").template("POWER_IDLE", "100")
}

#[test]
fn of_two_equal_hosts_the_cleaner_is_chosen_and_s_green_0_does_not_care() {
    for seed in 0..200 {
        let mut next = numbers(seed);
        let (first, second) = (next(900), next(900));
        if first == second {
            continue;
        }
        // equally used, so that D does not tell them apart
        let used = 100 * next(6) as i64;
        let host_of = |id, grams| with_carbon(host(id).cpu(800, used), grams);
        let one = vm(1, &[1, 2]).cpu(&(1 + next(2)).to_string());
        let asked = request(&[host_of(1, first), host_of(2, second)], &[one]);
        let cleaner = if first < second { 1 } else { 2 };
        assert_eq!(asked.decide_with(&energy(1.0)).host(1), Some(cleaner), "{first} {second} {used}");
        let mut ignored = asked.decide_with(&energy(0.0));
        ignored.0.compare_green(&energy(0.0));
        assert_eq!(ignored.host(1), Some(1), "s_green 0 takes the first of equals");
        assert!(ignored.0.planned.report.green.is_none());
    }
}

#[test]
fn energy_counts_even_where_d_is_0() {
    // placing on either host evens both out: D is 0 wherever it goes; power differs
    let (dirty, clean) = (host(1).template("POWER_MAX", "500"), host(2).template("POWER_MAX", "50"));
    let balanced = Policy { weight_cpu: 0.0, weight_memory: 0.0, ..energy(0.1) };
    let asked = request(&[dirty, clean], &[vm(1, &[1, 2])]);
    assert_eq!(asked.decide_with(&balanced).host(1), Some(2));
    assert_eq!(asked.decide_with(&Policy { green_cost: GreenCost::AiOrchestrator, ..balanced }).host(1), Some(1));
}

#[test]
fn the_report_tells_what_green_changed() {
    let hosts = [with_carbon(host(1), 500), with_carbon(host(2), 50)];
    let mut decided = request(&hosts, &[vm(1, &[1, 2]).cpu("4"), running(9, 1)]).decide_with(&energy(1.0));
    assert!(decided.0.planned.report.green.is_none(), "nobody waits for a second plan");
    decided.0.compare_green(&energy(1.0));
    let green = decided.0.planned.report.green.as_ref().expect("green mattered");
    // 4 of 8 cores: half of 300 W for a day, at 50 instead of 500 g/kWh
    assert!((green.chosen.kwh_per_day - 3.6).abs() < 1e-9, "{green:?}");
    assert!((green.chosen.grams_per_day - 180.0).abs() < 1e-6 && green.moved == 1, "{green:?}");
    assert!((green.ignoring.grams_per_day - 1800.0).abs() < 1e-6, "{green:?}");
    assert!(green.text().starts_with("what is placed draws 3.60 kWh and 180 gCO2 a day; with s_green 0"));
    // either way one host has all of it
    assert!((green.distance.0 - green.distance.1).abs() < 1e-9 && green.distance.0 > 0.0, "{green:?}");
}

#[test]
fn what_nobody_can_read_is_told_and_does_not_count() {
    let odd = host(1).template("POWER_CURVE", "1;2").template("CARBON_INTENSITY", "low");
    let decided = request(&[odd, host(2)], &[vm(1, &[1, 2])]).decide_with(&energy(1.0));
    let notices: Vec<_> = decided.0.planned.report.notices.iter().map(|notice| notice.text.as_str()).collect();
    assert!(
        notices.iter().any(|text| text.starts_with("CARBON_INTENSITY is \"low\"; it does not count")),
        "{notices:?}"
    );
    assert!(notices.iter().any(|text| text.starts_with("POWER_CURVE is \"1;2\"")), "{notices:?}");
}

fn oneaio(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio")).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    String::from_utf8(text).unwrap()
}

#[test]
fn a_stored_series_is_looked_up_at_the_moment_of_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("a.csv"), "ts,gCO2_per_kWh\n3600,500\n7200,20\n10800,500\n").unwrap();
    std::fs::write(path("b.csv"), "ts,gCO2_per_kWh\n3600,20\n7200,500\n10800,20\nx,1\n").unwrap();
    let store = format!("history.store=sqlite:{}", path("history.db"));
    let told = oneaio(&["import", "--set", &store, "--carbon", "A", &path("a.csv"), "--carbon", "B", &path("b.csv")]);
    assert!(told.contains("carbon intensity of zone A: rows read 3, moments known 3"), "{told}");
    assert!(told.contains("b.csv line 5: ts is no moment"), "{told}");
    std::fs::write(path("oneaio.conf"), "green_cost: energy\n").unwrap();
    // the newest sample of the request is its moment
    for (at, chosen) in [(3_700, 2), (7_199, 2), (7_200, 1), (10_900, 2), (30_000, 1)] {
        let zone = |id: i32, zone: &str| host(id).cluster_template("CARBON_ZONE", zone).sample(at, 0, 0);
        let asked = request(&[zone(1, "A"), zone(2, "B")], &[vm(1, &[1, 2])]);
        std::fs::write(path("request.xml"), asked.xml()).unwrap();
        let decision = oneaio(&["replay", "--json", &folder.path().display().to_string()]);
        let decision: serde_json::Value = serde_json::from_str(&decision).unwrap();
        assert_eq!(decision["decisions"][0]["host"], chosen, "{at}: {decision}");
    }
}

//! The loop around the driver, in cloud time: how soon a burst runs, how evenly VMs that come one by one are
//! spread, how often one is tried on a host that fails, how much a living cloud migrates.
//!
//! `cargo bench --bench loop [-- PART...]`; parts are `lengths`, `burst`, `trickle`, `failing`, `churn`, `week`,
//! `seeds` (`ONEAIO_SEEDS` of them: clouds in which chance decides everything, and what breaks).
//! All but the last column of `week` are cloud time, and the same everywhere.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use oneaio::model::policy::Policy;
use oneaio::simulation::oned::dice::Span;
use oneaio::simulation::oned::scenario::{Scenario, Settings, Starts};
use oneaio::simulation::oned::scenes::{self, HOUR};
use oneaio::simulation::oned::stock::{Cut, Length, OneDrs, OneDrsAlone, Rank};
use oneaio::simulation::oned::{Ours, Outcome, Scheduler, run};
use std::time::Instant;

const SEEDS: u64 = 16;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 7] = [
        ("lengths", lengths),
        ("burst", burst),
        ("trickle", trickle),
        ("failing", failing),
        ("churn", churn),
        ("week", week),
        ("seeds", seeds),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            part();
        }
    }
}

/// Rows of the burst: how long starts take, the share that never ends, the share of VMs to wait for.
fn rows() -> Vec<(&'static str, Starts, f64)> {
    let starts = |takes| Starts { takes, ..Starts::default() };
    vec![
        ("1-3 s", starts(Span::Between(1.0, 3.0)), 1.0),
        ("median 5 s, 0.3", starts(Span::Lognormal(5.0, 0.3)), 1.0),
        ("median 10 s, 0.3", starts(Span::Lognormal(10.0, 0.3)), 1.0),
        ("median 10 s, 0.8", starts(Span::Lognormal(10.0, 0.8)), 1.0),
        ("median 20 s, 0.3", starts(Span::Lognormal(20.0, 0.3)), 1.0),
        ("median 60 s, 1.0", starts(Span::Lognormal(60.0, 1.0)), 1.0),
        ("1-3 s, 1 % never end (90 %)", Starts { never: 0.01, ..starts(Span::Between(1.0, 3.0)) }, 0.9),
    ]
}

fn mean(runs: &[Option<f64>]) -> String {
    let known: Vec<f64> = runs.iter().copied().flatten().collect();
    if known.len() < runs.len() {
        return "-".to_owned();
    }
    format!("{:.0}", known.iter().sum::<f64>() / known.len().max(1) as f64)
}

fn seconds(starts: &Starts, share: f64, scheduler: &mut dyn FnMut() -> Box<dyn Scheduler>) -> String {
    let one = |seed| {
        let scenario = Scenario { starts: *starts, ..scenes::burst(seed, 500, 30.0, 120) };
        run(&scenario, scheduler().as_mut()).seconds_until(share)
    };
    mean(&(1..=SEEDS).map(one).collect::<Vec<_>>())
}

/// Seconds until all of a burst run, by the length of plans.
fn lengths() {
    println!("500 VMs in 30 s on 120 hosts, seconds until the last one runs, mean of {SEEDS} seeds");
    println!("| starts take | whole plan | 30 on distinct hosts | 60 | every host once |\n|---|---:|---:|---:|---:|");
    for (name, starts, share) in rows() {
        let cut = |length| seconds(&starts, share, &mut || Box::new(Cut { length }));
        let columns = [Length::Whole, Length::Distinct(30), Length::Distinct(60), Length::Distinct(120)].map(cut);
        println!("| {name} | {} |", columns.join(" | "));
    }
}

/// The same of whole drivers.
fn burst() {
    println!("500 VMs in 30 s on 120 hosts, seconds until the last one runs, mean of {SEEDS} seeds");
    println!("| starts take | rank | one_drs | oneaio | oneaio without a store |\n|---|---:|---:|---:|---:|");
    for (name, starts, share) in rows() {
        let rank = seconds(&starts, share, &mut || Box::new(Rank));
        let ours = seconds(&starts, share, &mut || Box::new(Ours::new(Policy::default())));
        let forgetful = seconds(&starts, share, &mut || Box::new(Ours::forgetful(Policy::default())));
        let drs = seconds(&starts, share, &mut || Box::new(OneDrsAlone));
        println!("| {name} | {rank} | {drs} | {ours} | {forgetful} |");
    }
}

fn trickle() {
    println!("one VM every 20 s for an hour on 8 equal hosts: allocation of the fullest host over the mean");
    println!(
        "| host samples every | store | first quarter | last quarter | most beyond its share |\n|---|---|---:|---:|---:|"
    );
    for samples in [180, 600] {
        for (name, store) in [("fresh", true), ("none", false)] {
            let policy = Policy::default();
            let mut ours = if store { Ours::new(policy) } else { Ours::forgetful(policy) };
            let outcome = run(&scenes::trickle(1, 20, samples, HOUR), &mut ours);
            let part = |from: i64, to: i64| outcome.mean_of(from * HOUR / 4, to * HOUR / 4, |look| look.allocated);
            let (first, last) = (part(0, 1), part(3, 4));
            println!("| {samples} s | {name} | {first:.2} | {last:.2} | {:.1} |", outcome.beyond_share);
        }
    }
}

fn failing() {
    println!("60 VMs, ten hosts, of which one fails every start");
    println!("| store | starts there | most of one VM | all run after |\n|---|---:|---:|---:|");
    for (name, store) in [("fresh", true), ("none", false)] {
        let policy = Policy::default();
        let mut ours = if store { Ours::new(policy) } else { Ours::forgetful(policy) };
        let outcome = run(&scenes::failing_host(1, 60, 10), &mut ours);
        let figures = &outcome.figures;
        let until = outcome.seconds_until(1.0).map_or("never".to_owned(), |seconds| format!("{seconds:.0} s"));
        println!("| {name} | {} | {} | {until} |", figures.starts_on_failing, figures.tries_on_failing);
    }
}

fn told(name: &str, outcome: &Outcome) {
    let figures = &outcome.figures;
    let most = outcome.moves.first().map_or(0, |(_, count)| *count);
    println!(
        "| {name} | {:.2} | {most} | {} | {} | {} | {:.2} | {:.0} | {} |",
        outcome.migrations_per_vm_day(),
        figures.back,
        figures.again,
        figures.into_full,
        outcome.mean_of(HOUR, i64::MAX, |look| look.fullest),
        outcome.kwh,
        outcome.breach_count
    );
    outcome.breaches.iter().take(3).for_each(|breach| println!("  {breach}"));
}

fn churn() {
    println!("a day of 16 hosts and 200 VMs that come and go, optimized every 600 s");
    println!(
        "| scheduler | migrations per VM and day | most of one VM | back | again in 30 min | into a full host | fullest \
         over mean | kWh | breaches |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    let scenario = scenes::churn(1, 16, 200, 4 * HOUR, 24 * HOUR);
    let still = Scenario { settings: Settings { drs_interval: None, ..scenario.settings.clone() }, ..scenario.clone() };
    told("oneaio, no optimization", &run(&still, &mut Ours::new(Policy::default())));
    told("oneaio", &run(&scenario, &mut Ours::new(Policy::default())));
    told("rank and one_drs", &run(&scenario, &mut OneDrs));
}

fn week() {
    let scenario = scenes::churn(1, 100, 1000, 48 * HOUR, 7 * 24 * HOUR);
    let begun = Instant::now();
    let outcome = run(&scenario, &mut Ours::new(Policy::default()));
    let took = begun.elapsed().as_secs_f64();
    println!("a week of 100 hosts and 1,000 VMs: {} requests, {took:.1} s of this machine", outcome.figures.requests);
    told("oneaio", &outcome);
}

fn seeds() {
    let count: u64 = std::env::var("ONEAIO_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let from: u64 = std::env::var("ONEAIO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("clouds in which chance decides, seeds {from} to {}", from + count - 1);
    let mut broken = 0;
    for seed in from..from + count {
        let outcome = run(&scenes::anything(seed), &mut Ours::new(Policy::default()));
        if outcome.breach_count > 0 {
            broken += 1;
            println!("seed {seed}: {} breaches; {}", outcome.breach_count, outcome.breaches[0]);
        }
    }
    println!("{broken} of {count} break an invariant");
}

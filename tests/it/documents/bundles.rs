//! Recorded requests of a real oned: every folder of `fixtures/` must be decided as its
//! `expected/` says, by the binary. To take over a change that is meant:
//! `cargo run -- replay --bless fixtures/*`.

use oneaio::decide;
use oneaio::model::history::Recall;
use oneaio::model::policy::Policy;
use oneaio::model::snapshot::Snapshot;
use oneaio::placement::check;
use oneaio::records::bundle::Bundle;
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    assert!(found.len() >= 11, "fixtures are missing");
    found
}

#[test]
fn every_fixture_is_decided_as_expected() {
    for bundle in fixtures() {
        assert!(bundle.join("expected/plan.xml").is_file(), "{} expects nothing", bundle.display());
        let output = Command::new(env!("CARGO_BIN_EXE_oneaio")).arg("replay").arg(&bundle).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_plan_is_legal_and_places_what_can_be_placed() {
    for path in fixtures() {
        let request = Bundle::open(&path).and_then(|bundle| bundle.request()).unwrap();
        let snapshot = decide::read(request.clone()).unwrap();
        if !snapshot.clusters.is_empty() {
            optimization_is_legal(snapshot);
            continue;
        }
        let decided = decide::place(request, &Policy::default()).unwrap();
        let plan = &decided.planned.plan;
        assert_eq!(check::breaches(&decided.snapshot, plan, &Policy::default()), [], "{}", path.display());
        let all = decided.snapshot.candidates.len() + decided.snapshot.set_aside.len();
        // in the one no host has more cores free, in the other none as many as a VM wants
        let fits = match path.file_name().and_then(|name| name.to_str()) {
            Some("g_overload") => 12,
            Some("first_look") => 4,
            _ => all,
        };
        assert_eq!(plan.actions.len(), fits, "{}", path.display());
        assert_eq!(decided.planned.report.refusals.len(), all - fits, "{}", path.display());
    }
}

fn optimization_is_legal(snapshot: Snapshot) {
    let optimized = decide::optimize(snapshot, None, &Recall::default(), &Policy::default()).unwrap();
    let cluster = &optimized.snapshot.clusters[0];
    let policy = cluster.drs.over(&Policy::default());
    let found = check::migration_breaches(&optimized.snapshot, cluster, &optimized.migrated.plan, &policy);
    assert_eq!(found, []);
    assert!(optimized.dropped.is_empty() && !optimized.migrated.plan.actions.is_empty());
}

//! What is kept and for how long, and who may read it: bundles, what a kill leaves, attempts
//! and placements; and what `check` says of modes.

use crate::support::front_end::{FrontEnd, bundles, ran};
use crate::support::request::{host, request, vm};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::{Placing, Sent};
use oneaio::model::history::{Attempts, Placement};
use oneaio::model::ids::{HostId, VmId};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn sample() -> String {
    request(&[host(1), host(2)], &[vm(0, &[1, 2])]).xml()
}

/// A front-end that records, with more settings of `record`.
fn recording(more: &str) -> (FrontEnd, PathBuf) {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("bundles");
    let config = format!("record:\n  dir: {}\n{more}", folder.display());
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), config).unwrap();
    fs::create_dir_all(&folder).unwrap();
    (front_end, folder)
}

/// A bundle of so many bytes, half of them in a folder inside.
fn bundle(folder: &Path, name: &str, bytes: u64) -> PathBuf {
    let bundle = folder.join(name);
    fs::create_dir_all(bundle.join("expected")).unwrap();
    for file in ["request.xml.gz", "expected/plan.xml"] {
        fs::File::create(bundle.join(file)).unwrap().set_len(bytes / 2).unwrap();
    }
    bundle
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// Which of the bundles made at 1, 2, ... are left.
fn left(folder: &Path) -> Vec<u32> {
    let made = names(folder).into_iter().filter_map(|name| name.split('-').next()?.parse().ok());
    made.filter(|at| *at < 100).collect()
}

fn place(front_end: &FrontEnd) {
    let ran = front_end.run(&["place"], &sample());
    assert_eq!((ran.status, ran.said.contains("WARN")), (Some(0), false), "{}", ran.said);
}

#[test]
fn the_newest_bundles_are_kept_by_number() {
    let (front_end, folder) = recording("  keep: 3\n");
    for at in 1..=6 {
        bundle(&folder, &format!("{at}-place-1"), 2);
    }
    // by the moment of its name as a number, not as text
    bundle(&folder, "10-optimize-1", 2);
    place(&front_end);
    assert_eq!(left(&folder), [10, 6]);
    assert_eq!(names(&folder).len(), 3);
}

#[test]
fn the_newest_bundles_are_kept_by_size_with_all_that_they_hold() {
    let (front_end, folder) = recording("  max_size: 1\n");
    for at in 1..=4 {
        bundle(&folder, &format!("{at}-place-1"), 400 * KIB);
    }
    place(&front_end);
    // two and the new one are below 1 MiB, three are above
    assert_eq!(left(&folder), [3, 4]);
}

#[test]
fn the_name_of_a_bundle_tells_its_size() {
    let (front_end, folder) = recording("  max_size: 1\n");
    for at in 1..=4 {
        bundle(&folder, &format!("{at}-place-1-400k"), 2);
    }
    place(&front_end);
    assert_eq!(left(&folder), [3, 4]);
    let name = names(&folder).into_iter().find(|name| name.split('-').next().is_some_and(|at| at.len() > 5)).unwrap();
    let told: u64 = name.rsplit('-').next().and_then(|size| size.strip_suffix('k')).unwrap().parse().unwrap();
    let files = |folder: &Path| -> u64 {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        entries.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
    };
    let bundle = folder.join(name);
    assert_eq!(told, (files(&bundle) + files(&bundle.join("expected"))).div_ceil(KIB));
}

#[test]
fn requests_are_kept_unasked_where_the_package_has_its_folder() {
    let secret = vm(0, &[1, 2]).template("<CONTEXT><PASSWORD>geheim</PASSWORD></CONTEXT>").user("NOTE", "geheim");
    let request = request(&[host(1), host(2)], &[secret]).xml();
    let front_end = FrontEnd::new("");
    let folder = front_end.path("var/oneaio/bundles");
    let ran = front_end.run(&["place"], &request);
    assert_eq!((ran.status, ran.said.contains("WARN")), (Some(0), false), "{}", ran.said);
    let kept = bundles(&folder);
    assert_eq!(kept.len(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let packed = kept[0].join("request.xml.gz");
    assert_eq!((mode(&folder), mode(&kept[0]), mode(&packed)), (0o700, 0o700, 0o600));
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(fs::File::open(packed).unwrap())).unwrap();
    assert!(!text.contains("geheim"), "{text}");
    let told = front_end.run(&["explain", "0"], "");
    assert!(told.out.contains("recorded in") && told.out.contains("| host | name "), "{}{}", told.out, told.said);
    // beyond 16 MiB none is kept unasked, and that is nothing to warn of
    let ran = front_end.run(&["place"], &format!("{request}{}", " ".repeat(17 << 20)));
    assert_eq!((ran.status, ran.said.contains("WARN"), bundles(&folder).len()), (Some(0), false, 1), "{}", ran.said);
    // who does not want it says so
    let ran = front_end.run(&["place", "--set", "record.dir=none"], &request);
    assert_eq!((ran.status, bundles(&folder).len()), (Some(0), 1), "{}", ran.said);
    // no folder of the package, no files
    fs::remove_dir_all(front_end.path("var/oneaio")).unwrap();
    assert_eq!(front_end.run(&["place"], &request).status, Some(0));
    assert!(!front_end.path("var/oneaio").exists());
}

#[test]
fn what_cannot_be_kept_costs_no_placement_and_is_told_in_a_line() {
    let front_end = FrontEnd::new("history.store: none\n");
    fs::write(front_end.path("var/oneaio/bundles"), "no folder").unwrap();
    let ran = front_end.run(&["place"], &sample());
    assert!(ran.status == Some(0) && ran.out.contains("<ACTION>"), "{}", ran.said);
    let told: Vec<&str> = ran.said.lines().filter(|line| line.contains("WARN")).collect();
    assert!(told.len() == 1 && told[0].contains("this request is not recorded: "), "{told:?}");
}

#[test]
fn the_newest_bundle_is_kept_whatever_its_size() {
    let (front_end, folder) = recording("  max_size: 1\n  redact: no\n");
    bundle(&folder, "1-place-1", 2);
    // a request that cannot be packed below 1 MiB
    let mut state = 7_u64;
    let noise: String = (0..400_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:08x}", state >> 32)
        })
        .collect();
    let request = request(&[host(1)], &[vm(0, &[1]).user("NOTE", &noise)]).xml();
    let ran = front_end.run(&["place"], &request);
    assert_eq!(ran.status, Some(0), "{}", ran.said);
    assert_eq!((left(&folder), bundles(&folder).len()), (vec![], 1));
    let packed = fs::metadata(bundles(&folder)[0].join("request.xml.gz")).unwrap().len();
    assert!(packed > MIB, "{packed}");
}

#[test]
fn what_is_not_ours_stays_in_the_folder() {
    let (front_end, folder) = recording("  keep: 1\n");
    let foreign = ["2026-backup", "7-drain-1", "7-place-x", "x-place-1", "notes"];
    for name in foreign {
        bundle(&folder, name, 4 * MIB);
    }
    bundle(&folder, "7-place-1", 2);
    place(&front_end);
    let names = names(&folder);
    assert!(foreign.iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
    assert_eq!(names.len(), foreign.len() + 1, "{names:?}");
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not() {
    let (front_end, folder) = recording("");
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let dead = gone.id();
    gone.wait().unwrap();
    let living = std::process::id();
    let stay = [format!(".5-place-{living}"), ".keep".to_owned(), format!(".5-other-{dead}")];
    for name in &stay {
        bundle(&folder, name, 2);
    }
    bundle(&folder, &format!(".5-place-{dead}"), 2);
    bundle(&folder, &format!(".6-optimize-{dead}"), 2);
    place(&front_end);
    let hidden: Vec<String> = names(&folder).into_iter().filter(|name| name.starts_with('.')).collect();
    let mut expected = stay.to_vec();
    expected.sort();
    assert_eq!(hidden, expected);
}

#[test]
fn faults_keep_ten_bundles_of_64_mib_together() {
    for (bytes, before, after) in [(2, 14, vec![14, 13, 12, 11, 10, 9, 8, 7, 6]), (30 * MIB, 4, vec![4, 3])] {
        let front_end = FrontEnd::new("");
        let folder = front_end.path("var/oneaio/faults");
        for at in 1..=before {
            bundle(&folder, &format!("{at}-place-1"), bytes);
        }
        let mut command = front_end.command(&["place"]);
        command.env("ONEAIO_FAULT", "panic");
        assert!(ran(command, &sample()).said.contains("the request is kept in"));
        let mut left = left(&folder);
        left.sort_by_key(|at| std::cmp::Reverse(*at));
        // and the one of this fault
        assert_eq!((left, names(&folder).len()), (after.clone(), after.len() + 1));
    }
}

#[test]
fn folders_and_files_of_bundles_are_for_oneadmin_only() {
    let (front_end, folder) = recording("");
    fs::remove_dir(&folder).unwrap();
    place(&front_end);
    let mut open = vec![folder];
    let mut files = 0;
    while let Some(path) = open.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 4, "{files} files");
}

#[test]
fn attempts_are_kept_for_two_days_and_placements_for_a_quarter_of_an_hour() {
    let front_end = FrontEnd::new("");
    let file = front_end.path("var/oneaio/history.db");
    let open = || SqliteStore::open(&file, Duration::from_secs(10)).unwrap();
    let now = now();
    // some minutes on either side, for a slow machine; and the quarter of an hour by which the
    // clock of the front-end that wrote it may differ
    let clocks = 900;
    let attempts = [(1, 2 * DAY + clocks - 600), (2, 2 * DAY + clocks + 600), (3, -3600), (4, 60), (5, -600)];
    let placements = [(11, 900 + clocks - 300), (12, 900 + clocks + 300), (13, -3600), (14, 60), (15, -600)];
    let tried: Vec<(VmId, Attempts)> =
        attempts.iter().map(|(vm, ago)| (VmId(*vm), Attempts { at: now - ago, ..Attempts::default() })).collect();
    let sent: Vec<Placement> = placements
        .iter()
        .map(|(vm, ago)| Placement { vm: VmId(*vm), host: HostId(1), at: 1000 * (now - ago) })
        .collect();
    let all = Sent { until: i64::MAX, placements_until: i64::MAX, ..Sent::default() };
    open().remember(&Sent { placements: &sent, attempts: &tried, ..all }).unwrap();
    place(&front_end);
    let mut store = open();
    let mut kept: Vec<i32> = store.attempts(&[1, 2, 3, 4, 5].map(VmId)).unwrap().iter().map(|(vm, _)| vm.0).collect();
    kept.sort_unstable();
    assert_eq!(kept, [1, 4, 5], "two days, and nothing of a clock that was ahead");
    let kept: Vec<i32> = store.placements(0).unwrap().iter().map(|placement| placement.vm.0).collect();
    assert_eq!(kept, [0, 11, 14, 15]);
}

#[test]
fn check_wants_wrappers_that_may_be_run() {
    let front_end = FrontEnd::new("");
    let folder = front_end.path("var/remotes/scheduler/oneaio");
    let told = |place: Option<u32>, optimize: Option<u32>| {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, mode) in [("place", place), ("optimize", optimize)] {
            if let Some(mode) = mode {
                fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
                fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
            }
        }
        let ran = front_end.run(&["check", "--offline"], "");
        let lines = ran.out.lines().filter(|line| line.get(9..).is_some_and(|rest| rest.starts_with("wrappers: ")));
        lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    let path = |name: &str| folder.join(name).display().to_string();
    for mode in [0o755, 0o750, 0o700, 0o010, 0o001] {
        assert_eq!(told(Some(mode), Some(0o755)), [format!("ok       wrappers: {}", folder.display())], "{mode:o}");
    }
    for (place, optimize, wrong) in [
        (Some(0o644), Some(0o755), vec![format!("{} is not executable", path("place"))]),
        (Some(0o755), Some(0o600), vec![format!("{} is not executable", path("optimize"))]),
        (
            Some(0o666),
            Some(0o666),
            vec![format!("{} is not executable", path("place")), format!("{} is not executable", path("optimize"))],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|text| format!("ERROR    wrappers: {text}")).collect();
        assert_eq!(told(place, optimize), wrong);
    }
    let missing = told(None, Some(0o755));
    assert!(missing.len() == 1 && missing[0].starts_with(&format!("ERROR    wrappers: {}: ", path("place"))));
}

#[test]
fn check_wants_a_configuration_that_only_oneadmin_reads() {
    let front_end = FrontEnd::new("");
    let file = front_end.path("etc/schedulers/oneaio.conf");
    for (mode, open) in
        [(0o600, false), (0o640, false), (0o660, false), (0o644, true), (0o604, true), (0o602, true), (0o601, true)]
    {
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let ran = front_end.run(&["check", "--offline"], "");
        let told =
            ran.out.contains("WARNING  configuration: ") && ran.out.contains(&format!("chmod 640 {}", file.display()));
        assert_eq!(told, open, "{mode:o}: {}", ran.out);
    }
}

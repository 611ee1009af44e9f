//! Dependencies point one way, and the core does no I/O: read from the `use` lines.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("opennebula", &["model"]),
    ("demand", &["model"]),
    ("history", &["model"]),
    ("placement", &["model"]),
    ("config", &["model"]),
    ("prometheus", &["model"]),
    ("decide", &["model", "opennebula", "demand", "placement", "config"]),
    ("oned", &["model", "opennebula"]),
    ("learn", &["model", "demand", "history"]),
    ("server", &["model", "opennebula", "config", "decide", "oned"]),
    ("simulation", &["model", "demand", "placement", "learn"]),
    (
        "recall",
        &[
            "model",
            "demand",
            "history",
            "placement",
            "config",
            "decide",
            "learn",
            "oned",
            "opennebula",
            "server",
            "commands",
        ],
    ),
    ("records", &["model", "opennebula", "config", "decide", "placement", "recall", "history", "commands"]),
    (
        "commands",
        &[
            "server",
            "model",
            "opennebula",
            "demand",
            "history",
            "placement",
            "config",
            "decide",
            "oned",
            "learn",
            "simulation",
            "recall",
            "records",
            "prometheus",
        ],
    ),
    ("cli", &["commands"]),
];

/// Rooms that may do nothing but compute.
const PURE: &[&str] = &["model", "opennebula", "demand", "placement", "simulation", "decide"];

/// What computing does not need.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::time",
    "std::io::std",
    "log::",
    "println!",
    "eprintln!",
    "print!",
    "SystemTime",
    "Instant::",
];

fn sources(room: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.join(room), root.join(format!("{room}.rs"))];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "room {room} is gone: mend this test");
    found
}

/// A file without its comments and unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_name_only_rooms_below_them() {
    for (room, allowed) in MAY_USE {
        for path in sources(room) {
            for (other, _) in MAY_USE.iter().filter(|(other, _)| other != room && !allowed.contains(other)) {
                assert!(!code(&path).contains(&format!("crate::{other}")), "{} names {other}", path.display());
            }
        }
    }
}

#[test]
fn the_core_has_no_clock_environment_file_socket_or_log() {
    for room in PURE {
        for path in sources(room) {
            for outside in OUTSIDE {
                assert!(!code(&path).contains(outside), "{} uses {outside}", path.display());
            }
        }
    }
}

#[test]
fn all_rooms_are_known_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let room = name.trim_end_matches(".rs").to_owned();
        let known = MAY_USE.iter().any(|(known, _)| *known == room) || ["lib", "main"].contains(&room.as_str());
        assert!(known, "room {room} is not in the table of this test");
    }
}

#[test]
fn files_stay_short() {
    for (room, _) in MAY_USE {
        for path in sources(room) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 450, "{} has {lines} lines", path.display());
        }
    }
}

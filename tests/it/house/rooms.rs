//! Dependencies point one way, and the core does no I/O: read from the `use` lines.

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
    ("machine", &["config", "opennebula"]),
    ("prometheus", &["model"]),
    ("decide", &["model", "opennebula", "demand", "placement", "config"]),
    ("oned", &["model", "opennebula"]),
    ("learn", &["model", "demand", "history"]),
    ("server", &["model", "opennebula", "config", "machine", "decide", "oned"]),
    ("simulation", &["model", "demand", "placement", "learn", "decide"]),
    ("recall", &["model", "demand", "history", "config", "machine", "decide", "learn", "oned", "server"]),
    ("records", &["model", "opennebula", "config", "machine", "decide", "recall"]),
    (
        "commands",
        &[
            "server",
            "model",
            "opennebula",
            "demand",
            "history",
            "config",
            "machine",
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

/// What plans. Whoever wants a plan goes through `decide`, which also judges it.
const PLANNERS: &[&str] = &["PlanningInput", "MigrationInput", "placement::plan", "migrate::plan", "migrate::drain"];

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

/// The commands, as `cli` names them.
fn commands() -> Vec<String> {
    let cli = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli.rs"));
    let calls = cli.split("commands::").skip(1).filter_map(|rest| rest.split_once("::run(").map(|(name, _)| name));
    let names: Vec<String> =
        calls.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).map(str::to_owned).collect();
    assert!(names.len() > 10, "the calls of cli are not read: {names:?}");
    names
}

/// The names that a file takes from the room of commands, however its imports are written.
fn taken_from_commands(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for begin in ["crate::commands::", "super::"] {
        for rest in code.split(begin).skip(1) {
            let end = if rest.starts_with('{') { '}' } else { ';' };
            let list = rest.split(end).next().unwrap().trim_start_matches('{');
            let first = |path: &str| path.trim().split("::").next().unwrap().to_owned();
            names.extend(list.split(',').map(first));
        }
    }
    names
}

#[test]
fn no_command_imports_a_command() {
    let commands = commands();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands");
    for path in sources("commands").into_iter().filter(|path| path.parent() == Some(folder.as_path())) {
        for name in taken_from_commands(&code(&path)) {
            assert!(!commands.contains(&name), "{} imports the command {name}", path.display());
        }
    }
    // the parts of a command belong to it alone
    for path in sources("commands").into_iter().filter(|path| path.parent() != Some(folder.as_path())) {
        let own = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        for name in commands.iter().filter(|name| **name != own) {
            assert!(!code(&path).contains(&format!("commands::{name}")), "{} imports {name}", path.display());
        }
    }
}

#[test]
fn imports_of_commands_are_seen_however_they_are_written() {
    let code = "use super::driver::{self, failed};\nuse super::{ConfigArgs, replay};\nuse crate::commands::place::x;\n";
    let names = taken_from_commands(code);
    assert!(["driver", "ConfigArgs", "replay", "place"].iter().all(|name| names.contains(&(*name).to_owned())));
}

#[test]
fn whoever_wants_a_plan_goes_through_decide() {
    for (room, _) in MAY_USE.iter().filter(|(room, _)| !["placement", "decide"].contains(room)) {
        for path in sources(room) {
            for planner in PLANNERS {
                assert!(!code(&path).contains(planner), "{} calls {planner}", path.display());
            }
        }
    }
}

/// The rooms that a room reaches, itself not among them unless in a circle.
fn reached(room: &str) -> Vec<&'static str> {
    let uses = |room: &str| MAY_USE.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, uses)| uses);
    let mut found: Vec<&str> = uses(room).to_vec();
    let mut next = 0;
    while next < found.len() {
        let more: Vec<&str> = uses(found[next]).iter().copied().filter(|room| !found.contains(room)).collect();
        found.extend(more);
        next += 1;
    }
    found
}

#[test]
fn there_is_no_circle_of_rooms() {
    for (room, _) in MAY_USE {
        assert!(!reached(room).contains(room), "{room} reaches itself");
    }
}

/// The files of a room that see each other in a circle make one file in two places.
#[test]
fn files_of_the_shells_see_each_other_one_way() {
    for room in ["machine", "recall", "records", "server"] {
        let files: Vec<(String, String)> = sources(room)
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|name| name != "mod.rs"))
            .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), code(&path)))
            .collect();
        let sees = |code: &str, other: &str| {
            [format!("super::{other}::"), format!("crate::{room}::{other}::")].iter().any(|name| code.contains(name))
        };
        for (a, code_a) in &files {
            for (b, code_b) in files.iter().filter(|(b, _)| b > a) {
                assert!(!(sees(code_a, b) && sees(code_b, a)), "{room}: {a} and {b} see each other");
            }
        }
    }
}

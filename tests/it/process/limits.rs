//! What the system, or somebody on the machine, may do to `place` without costing a plan: limits
//! of files, signals, a configuration that is none, many processes at once, names that a
//! terminal would obey.
use crate::support::request::{host, request, vm};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A front-end in a folder.
struct FrontEnd(tempfile::TempDir);

impl FrontEnd {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for inside in ["etc/schedulers", "var/oneaio"] {
            fs::create_dir_all(folder.path().join(inside)).unwrap();
        }
        Self(folder)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    /// `oneaio ARGS`, in a shell that has done something first.
    fn after(&self, first: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{first}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_oneaio")]).args(args);
        command.env("ONE_LOCATION", self.0.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn run(mut command: Command, stdin: &str) -> Output {
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn sample() -> String {
    request(&[host(1), host(2)], &[vm(0, &[1, 2]), vm(1, &[1, 2])]).xml()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_limit_of_file_sizes_costs_no_plan() {
    for limit in ["ulimit -f 0", "ulimit -f 1", ":"] {
        let front_end = FrontEnd::new();
        // where a log or a store is there already, it may be longer than it may be
        for used in [false, true] {
            if used {
                fs::write(front_end.path("var/oneaio-decisions.log"), "{}\n".repeat(1000)).unwrap();
                let _ = fs::remove_file(front_end.path("var/oneaio/history.db"));
            }
            let record = format!("record.dir={}", front_end.path("var/records").display());
            let output = run(front_end.after(limit, &["place", "--set", &record]), &sample());
            assert_eq!(output.status.code(), Some(0), "{limit}: {output:?}");
            assert_eq!(text(&output.stdout).matches("<ACTION>").count(), 2, "{limit}: {output:?}");
        }
    }
}

#[test]
fn few_open_files_cost_no_plan() {
    for limit in [5, 8, 12, 20] {
        let front_end = FrontEnd::new();
        let output = run(front_end.after(&format!("ulimit -n {limit}"), &["place"]), &sample());
        assert_eq!(output.status.code(), Some(0), "{limit}: {output:?}");
        assert_eq!(text(&output.stdout).matches("<ACTION>").count(), 2, "{limit}: {output:?}");
    }
}

#[test]
fn a_configuration_that_is_no_file_is_told_at_once() {
    let front_end = FrontEnd::new();
    let pipe = front_end.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let large = front_end.path("large");
    fs::write(&large, "# a line\n".repeat(200_000)).unwrap();
    for (file, why) in [
        (pipe.as_path(), "it is no regular file"),
        (Path::new("/dev/zero"), "it is no regular file"),
        (Path::new("/"), "it is no regular file"),
        (large.as_path(), "it is longer than 1 MiB"),
    ] {
        for command in ["place", "serve", "classes"] {
            let begun = Instant::now();
            let output = run(front_end.after(":", &[command, "--config", file.to_str().unwrap()]), &sample());
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {}: {output:?}", file.display());
            assert!(said.contains(why) && said.lines().count() == 1, "{command} {}: {said}", file.display());
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    }
}

/// What is under a folder, with its rights.
fn rights(folder: &Path) -> Vec<(PathBuf, u32)> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let metadata = fs::symlink_metadata(&entry).unwrap();
            found.push((entry.clone(), metadata.permissions().mode() & 0o777));
            open.extend(Some(entry).filter(|_| metadata.is_dir()));
        }
    }
    found
}

#[test]
fn others_read_and_write_nothing_whatever_the_umask() {
    let front_end = FrontEnd::new();
    fs::create_dir(front_end.path("var/oneaio/metrics")).unwrap();
    fs::write(front_end.path("etc/schedulers/oneaio.conf"), "s_green: 2\n").unwrap();
    let before: Vec<PathBuf> = rights(&front_end.path("")).into_iter().map(|(path, _)| path).collect();
    let record = format!("record.dir={}", front_end.path("var/records").display());
    let place = front_end.after("umask 000", &["place", "--set", &record]);
    assert_eq!(run(place, &sample()).status.code(), Some(0));
    let mut faulty = front_end.after("umask 000", &["place"]);
    faulty.env("ONEAIO_FAULT", "panic");
    run(faulty, &sample());
    let bundle = front_end.path("bundle.xml");
    fs::write(&bundle, sample()).unwrap();
    let page = front_end.path("var/page.html");
    let names = [bundle.to_str().unwrap(), page.to_str().unwrap()];
    run(front_end.after("umask 000", &["replay", names[0], "--html", names[1]]), "");
    let made = rights(&front_end.path("var")).into_iter().filter(|(path, _)| !before.contains(path));
    let (mut names, mut wrong) = (Vec::new(), Vec::new());
    for (path, mode) in made {
        // what a collector of another account reads tells numbers of requests and hosts only
        let most = if path.ends_with("oneaio.prom") { 0o644 } else { 0o750 };
        if mode & !most != 0 || (path.is_file() && mode & 0o111 != 0) {
            wrong.push(format!("{} {mode:o}", path.display()));
        }
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    assert_eq!(wrong, [] as [&str; 0]);
    for name in ["history.db", "oneaio-decisions.log", "oneaio.prom", "oneaio.lock", "last-good.conf", "page.html"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
}

#[test]
fn fifty_writers_leave_whole_lines() {
    let front_end = FrontEnd::new();
    let log = front_end.path("var/oneaio-decisions.log");
    // what a full disk has cut before
    fs::write(&log, "{\"command\":\"pla").unwrap();
    // lines of some pages each
    let vms: Vec<_> = (0..120).map(|id| vm(id, &[1, 2]).cpu("0.1").memory(16)).collect();
    let many = request(&[host(1), host(2)], &vms).xml();
    let children: Vec<_> = (0..50)
        .map(|_| {
            let mut child = front_end.after(":", &["place", "--set", "history.store=none"]).spawn().unwrap();
            child.stdin.take().unwrap().write_all(many.as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!text(&output.stderr).contains("decision log"), "{output:?}");
    }
    let written = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = written.split('\n').collect();
    assert_eq!((lines.len(), lines[0], lines[51]), (52, "{\"command\":\"pla", ""), "{}", lines.len());
    for line in &lines[1..51] {
        let entry: serde_json::Value = serde_json::from_str(line).expect("a whole line");
        assert_eq!(entry["placed"].as_array().unwrap().len(), 120);
    }
}

#[test]
fn nothing_that_a_terminal_obeys_is_printed() {
    let front_end = FrontEnd::new();
    // what XML can carry of them: C1 controls, DEL and marks of direction
    let name = "x\u{9b}2J\u{7f}\u{85}\u{202e}y\u{feff}";
    let mut odd = host(1).template("ENERGY_RENEWABLE", name);
    odd.share = format!("<NAME>{name}</NAME>");
    let xml = request(&[odd], &[vm(1, &[1]).user("SCHED_RANK", name), vm(2, &[1]).cpu("99"), vm(3, &[1]).cpu(name)])
        .xml()
        .replace("<NAME>node1</NAME>", &format!("<NAME>{name}</NAME>"))
        .replace("<NAME>vm1</NAME>", &format!("<NAME>{name}</NAME>"));
    let file = front_end.path("request.xml");
    fs::write(&file, &xml).unwrap();
    let file = file.to_str().unwrap();
    let obeyed = |c: char| {
        c != '\n' && (c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}'))
    };
    for args in [
        &["place"][..],
        &["replay", file],
        &["replay", "--json", file],
        &["replay", "--plan", file],
        &["explain", "1", "--from", file],
        &["explain", "1", "--json", "--from", file],
        &["explain", "2", "--from", file],
        &["explain", "2"],
        &["explain", "2", "--json"],
        &["check", "--offline"],
        &["check", "--offline", "--json"],
    ] {
        let output = run(front_end.after(":", args), &xml);
        for printed in [text(&output.stdout), text(&output.stderr)] {
            let found: Vec<char> = printed.chars().filter(|c| obeyed(*c)).collect();
            assert!(found.is_empty(), "{args:?} prints {found:?}: {printed}");
        }
    }
    let page = front_end.path("page.html");
    let shown = run(front_end.after(":", &["replay", file, "--html", page.to_str().unwrap()]), "");
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    for written in [page, front_end.path("var/oneaio-decisions.log")] {
        let text = fs::read_to_string(&written).unwrap();
        let found: Vec<char> = text.chars().filter(|c| obeyed(*c)).collect();
        assert!(found.is_empty() && text.contains("2J"), "{} holds {found:?}", written.display());
    }
}

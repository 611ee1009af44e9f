//! The JSON that is documented is the JSON that is printed, and no shape of Rust's shows.

use crate::support::cluster::{cluster, resident};
use crate::support::front_end::FrontEnd;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// Paths of all values: `hosts[].score.after`.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                paths(inner, &if at.is_empty() { name.clone() } else { format!("{at}.{name}") }, found);
            }
        }
        Value::Array(items) => {
            found.insert(format!("{at}[]"));
            items.iter().for_each(|item| paths(item, &format!("{at}[]"), found));
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

fn printed(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        paths(&serde_json::from_str(line).unwrap(), "", &mut found);
    }
    assert!(!found.is_empty(), "nothing was printed");
    found
}

/// The fields of a section.
fn documented(title: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/doc/json.md")).unwrap();
    let section = text.split(&format!("\n## {title}\n")).nth(1).unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let first = rows.map(|row| row.split('|').nth(1).unwrap());
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Each printed path is documented, by itself or by what it is in; each documented one is printed.
pub fn agree(title: &str, text: &str) {
    let (printed, documented) = (printed(text), documented(title));
    let within = |path: &str, field: &str| {
        path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    for path in &printed {
        // an array that holds objects is documented by its fields
        let told = documented.iter().any(|field| within(path, field) || within(field, path));
        assert!(told, "{title} prints {path}, which is not documented");
        assert!(!path.split(['.', '[']).any(|part| ["Ok", "Err", "Some", "None"].contains(&part)), "{title}: {path}");
    }
    for field in &documented {
        assert!(printed.iter().any(|path| within(path, field)), "{title} does not print {field}");
    }
}

#[test]
fn what_is_printed_is_what_is_documented() {
    let fixture = |name: &str| format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let (place, optimize) = (fixture("first_look"), fixture("j_optimize20"));
    let front_end = FrontEnd::new("");
    let run = |arguments: &[&str]| front_end.run(arguments, "").out;
    agree("oneaio replay --json", &run(&["replay", "--json", &place, &optimize, &fixture("l_domains")]));
    agree("oneaio replay --summary --json", &run(&["replay", "--summary", "--set", "s_green=0", "--json", &place]));
    let looping = |name: &str| format!("{}/tests/it/looping/requests/{name}", env!("CARGO_MANIFEST_DIR"));
    // one that is placed, one that waits, one that failed to start somewhere, one that runs already
    let explained = [
        ("63", place.clone()),
        ("59", place.clone()),
        ("2200", looping("failed-1.xml")),
        ("222", looping("race.xml.gz")),
    ];
    let explained: Vec<String> =
        explained.iter().map(|(vm, from)| run(&["explain", vm, "--from", from, "--json"])).collect();
    agree("oneaio explain --json", &explained.concat());
    // one that may not leave, too little room for a failure, and a value that cannot be read
    let mut tight = cluster(3, &[1, 2, 3].map(|id| resident(id, id, "3", 50.0))).drs("PREDICTIVE", "much");
    tight.residents[2] = tight.residents[2].clone().change(|vm| vm.user("ONEDRS_BLOCKED", "YES"));
    let waves = ["drain", "1", "2", "3", "--set", "spare=1", "--json"];
    agree("oneaio drain --json", &front_end.run(&waves, &tight.request().xml()).out);
    agree("oneaio advise --json", &run(&["advise", "--json", "--from", &fixture("m_advise")]));
    agree("oneaio check --json", &run(&["check", "--offline", "--json"]));
    agree("oneaio config --json", &run(&["config", "--json"]));
    let stored = FrontEnd::new("");
    stored.run(&["db", "init"], "");
    agree("oneaio db status --json", &stored.run(&["db", "status", "--json"], "").out);
    let log = front_end.path("decisions.log");
    let set = format!("decision_log={}", log.display());
    for (command, folder) in [(&["place"][..], &place), (&["optimize", "114"], &optimize)] {
        let request = fs::read_to_string(format!("{folder}/request.xml")).unwrap();
        let arguments = [command, &["--set", &set]].concat();
        assert_eq!(front_end.run(&arguments, &request).status, Some(0));
    }
    agree("The decision log", &fs::read_to_string(log).unwrap());
}

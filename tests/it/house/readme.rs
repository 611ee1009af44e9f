//! The README's table of keys against the code: every key once, each with its default.

use oneaio::config::keys;
use std::collections::BTreeMap;

/// What stands between backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_key_is_in_the_table_with_its_default() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("\n## Configure it\n").nth(1).unwrap();
    let table = section.split("\n### ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for row in table {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (names, defaults) = (names(cells[1]), cells[2].split(", ").collect::<Vec<_>>());
        assert!(defaults.len() == names.len() || defaults.len() == 1, "{row}");
        for (index, name) in names.iter().enumerate() {
            let default = defaults.get(index).or(defaults.last()).unwrap();
            assert!(told.insert(name, (*default).to_owned()).is_none(), "{name} stands twice");
        }
    }
    let known: BTreeMap<&str, String> = keys::all().map(|key| (key.name, key.default.to_owned())).collect();
    assert_eq!(told, known);
}

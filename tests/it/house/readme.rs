//! What the documents promise: their size, their tables of keys against the code, their links in
//! the source and in the packages, and the decision that the README shows.

#[path = "../../../packaging/links.rs"]
mod links;

use clap::Parser;
use oneaio::cli::Cli;
use oneaio::config::{keys, reference};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A README is read to its end up to about this size.
const README_BYTES: usize = 12_000;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(project().join(path)).unwrap()
}

/// README, changes, and all of packaging/doc.
fn documents() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(project().join("packaging/doc")).unwrap();
    let mut found: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    found.extend([project().join("README.md"), project().join("CHANGELOG.md")]);
    found.sort();
    found
}

/// The targets of all links of a Markdown text, as they stand there.
fn targets(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// What stands between backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Keys and defaults of a table whose rows begin with names of keys.
fn told(table: &str) -> BTreeMap<&str, String> {
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (names, defaults) = (names(cells[1]), cells[2].split(", ").collect::<Vec<_>>());
        assert!(defaults.len() == names.len() || defaults.len() == 1, "{row}");
        for (index, name) in names.iter().enumerate() {
            let default = defaults.get(index).or(defaults.last()).unwrap();
            assert!(told.insert(name, (*default).to_owned()).is_none(), "{name} stands twice");
        }
    }
    told
}

fn known() -> BTreeMap<&'static str, String> {
    keys::all().map(|key| (key.name, key.default.to_owned())).collect()
}

#[test]
fn every_key_is_in_the_table_with_its_default() {
    let configuration = text_of("packaging/doc/configuration.md");
    assert_eq!(told(configuration.split("\n## ").next().unwrap()), known());
}

#[test]
fn the_configuration_document_is_what_the_code_says() {
    let written = text_of("packaging/doc/configuration.md");
    assert!(
        written == reference::markdown(),
        "keys have changed: cargo run -- config --reference > packaging/doc/configuration.md"
    );
}

#[test]
fn the_readme_is_short_and_its_keys_have_these_defaults() {
    let readme = text_of("README.md");
    assert!(readme.len() <= README_BYTES, "README.md has {} bytes, at most {README_BYTES}", readme.len());
    let section = readme.split("\n## The keys that operators touch\n").nth(1).unwrap();
    let (told, known) = (told(section.split("\n## ").next().unwrap()), known());
    assert_eq!(told.len(), 8);
    for (name, default) in told {
        assert_eq!(known.get(name), Some(&default), "{name}");
    }
}

#[test]
fn the_readme_shows_what_its_command_prints() {
    let readme = text_of("README.md");
    let command = readme.lines().find(|line| line.contains("-- replay fixtures/")).unwrap();
    let bundle = command.rsplit(' ').next().unwrap();
    let mut replay = Command::new(env!("CARGO_BIN_EXE_oneaio"));
    // the width of a terminal that shows all columns but the last ones
    let output = replay.arg("replay").arg(project().join(bundle)).env("COLUMNS", "110").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown = readme.split("## Install").next().unwrap();
    let lines = printed.lines().filter(|line| line.starts_with("| ") || line.starts_with("placed "));
    let mut compared = 0;
    for line in lines {
        assert!(shown.contains(line), "the README does not show: {line}");
        compared += 1;
    }
    assert!(compared > 8, "{printed}");
}

#[test]
fn links_lead_to_files_in_the_source() {
    let mut followed = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in targets(&text).into_iter().filter(|target| !target.contains("://")) {
            let path = target.split('#').next().unwrap();
            let file = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(file.is_file(), "{}: {target}", document.display());
            if let Some((_, anchor)) = target.split_once('#') {
                assert!(anchors(&file).contains(anchor), "{}: {target}", document.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 20);
}

/// What `#...` may name: headings in small letters, blanks as hyphens.
fn anchors(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| {
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn links_lead_to_files_in_the_packages() {
    let manifest = text_of("Cargo.toml");
    // what lies in /usr/share/doc/oneaio: all documents, and what the manifest puts beside them
    let mut beside: BTreeSet<String> =
        documents().iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    for format in ["usr/share/doc/oneaio/", "/usr/share/doc/oneaio/"] {
        let rows = manifest.lines().filter(|line| line.contains(&format!("dest = \"{format}\"")));
        let sources: BTreeSet<String> = rows.filter_map(|row| row.split('"').nth(1)).map(str::to_owned).collect();
        assert!(sources.contains("target/generated/doc/*.md"), "{format} lacks the documents");
        beside.extend(sources.iter().filter_map(|source| source.rsplit('/').next()).map(str::to_owned));
    }
    for document in documents() {
        let text = links::side_by_side(&std::fs::read_to_string(&document).unwrap());
        for target in targets(&text).into_iter().filter(|target| !target.contains("://")) {
            let name = target.split('#').next().unwrap();
            assert!(name.is_empty() || beside.contains(name), "{} in a package: {target}", document.display());
        }
    }
}

/// The commands of a text as they are typed: what follows on the next line belongs to them, what a comment, a pipe
/// or another command says does not.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| {
        let end = [" #", " |", " >", " <", " &&"].iter().filter_map(|sign| line.find(sign)).min();
        line[..end.unwrap_or(line.len())].replace('\'', "")
    });
    lines.filter(|line| line.starts_with("oneaio ")).collect()
}

#[test]
fn every_command_that_documents_name_is_taken_by_the_command_line() {
    let mut seen = 0;
    for document in documents() {
        for command in commands(&std::fs::read_to_string(&document).unwrap()) {
            let taken = Cli::try_parse_from(command.split_whitespace());
            assert!(taken.is_ok(), "{}: {command}: {}", document.display(), taken.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} commands were found");
}

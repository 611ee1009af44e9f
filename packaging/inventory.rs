//! What the program is made of: a bill of materials (CycloneDX) and the licences of all crates,
//! from `cargo metadata` and Cargo.lock. No clock and no chance: equal sources give equal files.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Licences that a crate may offer. One of those that it offers must be here, so that a new
/// dependency with another licence is noticed before a package is built.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// A crate that is linked into the program.
pub struct Crate {
    name: String,
    version: String,
    license: String,
    checksum: Option<String>,
    /// Texts of its licence files, by their names.
    texts: BTreeMap<String, String>,
}

/// All crates that the program is made of on `triple`, by name and version.
pub fn crates(project: &Path, triple: &str) -> Result<Vec<Crate>, Box<dyn Error>> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(project).args(["metadata", "--locked", "--format-version", "1", "--filter-platform", triple]);
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let checksums = checksums(&fs::read_to_string(project.join("Cargo.lock"))?);
    let linked = linked(&metadata["resolve"]).ok_or("cargo metadata tells no graph of dependencies")?;
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        if !linked.contains(&text("id")) || package["source"].is_null() {
            continue;
        }
        let (name, version, license) = (text("name"), text("version"), text("license").replace('/', " OR "));
        if !allowed(&license) {
            return Err(
                format!("{name} {version} has the licence {license:?}, which is not among those allowed").into()
            );
        }
        let folder = Path::new(package["manifest_path"].as_str().unwrap_or_default())
            .parent()
            .ok_or("a crate without a folder")?;
        let checksum = checksums.get(&(name.clone(), version.clone())).cloned();
        found.push(Crate { texts: texts(folder)?, name, version, license, checksum });
    }
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(found)
}

/// Ids of what the root depends on in the program itself, not in tests or build scripts.
fn linked(resolve: &Value) -> Option<BTreeSet<String>> {
    let nodes: BTreeMap<&str, &Value> =
        resolve["nodes"].as_array()?.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![resolve["root"].as_str()?];
    while let Some(id) = open.pop() {
        if !found.insert(id.to_owned()) {
            continue;
        }
        for dependency in nodes.get(id)?["deps"].as_array()? {
            if dependency["dep_kinds"].as_array()?.iter().any(|kind| kind["kind"].is_null()) {
                open.push(dependency["pkg"].as_str()?);
            }
        }
    }
    Some(found)
}

/// Whether one may take the crate: of `A OR B` one must be allowed, of `A AND B` both.
fn allowed(license: &str) -> bool {
    let plain = license.replace(['(', ')'], "");
    let one = |name: &str| ALLOWED.contains(&name.split(" WITH ").next().unwrap_or_default().trim());
    plain.split(" AND ").all(|part| part.split(" OR ").any(one))
}

/// SHA-256 of each crate's archive, from Cargo.lock.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?)))
        .collect()
}

/// Licence files in the folder of a crate.
fn texts(folder: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_license = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|word| name.to_uppercase().starts_with(word));
        if is_license && entry.file_type()?.is_file() {
            found.insert(name, String::from_utf8_lossy(&fs::read(entry.path())?).into_owned());
        }
    }
    Ok(found)
}

/// The bill of materials, in CycloneDX.
pub fn bill(crates: &[Crate], version: &str) -> Result<String, Box<dyn Error>> {
    let components: Vec<Value> = crates
        .iter()
        .map(|one| {
            let address = format!("pkg:cargo/{}@{}", one.name, one.version);
            let mut component = json!({
                "type": "library", "bom-ref": address, "name": one.name, "version": one.version, "purl": address,
                "licenses": [{ "expression": one.license }],
            });
            if let Some(checksum) = &one.checksum {
                component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
            }
            component
        })
        .collect();
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": {
            "type": "application", "bom-ref": "oneaio", "name": "oneaio", "version": version,
            "licenses": [{ "expression": "Apache-2.0" }],
        } },
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// All licences in one text: which crate has which, then each text once with those it belongs to.
pub fn licenses(crates: &[Crate]) -> String {
    let mut text = String::from(
        "oneaio is under the Apache License 2.0. It is linked from these crates; of several licences one may be\n\
         chosen. libsqlite3-sys brings SQLite, which is in the public domain.\n\n",
    );
    let mut owners: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in crates {
        text.push_str(&format!("{} {}: {}\n", one.name, one.version, one.license));
        for content in one.texts.values() {
            owners.entry(content.trim()).or_default().push(format!("{} {}", one.name, one.version));
        }
    }
    for (content, mut names) in owners {
        names.dedup();
        text.push_str(&format!("\n{}\n{}\n\n{content}\n", "=".repeat(78), names.join(", ")));
    }
    text
}

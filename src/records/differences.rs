//! How a decision differs from the one that a bundle expects, and what that comes to over
//! many bundles.

use super::bundle::Bundle;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Bundles that a summary names.
const NAMED: usize = 10;

/// Differences over many bundles.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    bundles: usize,
    unusable: usize,
    different: Vec<PathBuf>,
    kinds: BTreeMap<&'static str, usize>,
}

impl Summary {
    /// Takes in one bundle; `None` for one that could not be decided.
    pub fn count(&mut self, path: &Path, differences: Option<&[String]>) {
        self.bundles += 1;
        let Some(differences) = differences else {
            self.unusable += 1;
            return;
        };
        if !differences.is_empty() {
            self.different.push(path.to_owned());
        }
        for difference in differences {
            *self.kinds.entry(kind(difference)).or_default() += 1;
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        let same = self.bundles - self.unusable - self.different.len();
        let mut text = format!(
            "bundles {}: decided as expected {same}, otherwise {}, unusable {}\n",
            self.bundles,
            self.different.len(),
            self.unusable
        );
        for (kind, count) in &self.kinds {
            let _ = writeln!(text, "  {kind}: {count}");
        }
        for path in self.different.iter().take(NAMED) {
            let _ = writeln!(text, "  differs: {}", path.display());
        }
        if self.different.len() > NAMED {
            let _ = writeln!(text, "  and {} more", self.different.len() - NAMED);
        }
        text
    }
}

fn kind(difference: &str) -> &'static str {
    if difference.ends_with("got no action") {
        "VMs no longer placed"
    } else if difference.contains("expected no action") {
        "VMs newly placed"
    } else if difference.starts_with("VM ") {
        "VMs placed elsewhere"
    } else if difference.starts_with("the plan") {
        "plans in another order"
    } else {
        "messages"
    }
}

/// Readable differences from `expected/`, none when it is not there.
pub fn differences(bundle: &Bundle, plan: &str, messages: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(expected) = bundle.expected("plan.xml")?.filter(|expected| expected != plan) {
        let before = found.len();
        compare_plans(&expected, plan, &mut found);
        if found.len() == before {
            found.push("the plan has the same actions in another order or form".to_owned());
        }
    }
    if let Some(expected) = bundle.expected("messages.txt")? {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (lines(&expected), lines(messages));
        found.extend(old.iter().filter(|line| !new.contains(line)).map(|line| format!("no longer said: {line}")));
        found.extend(new.iter().filter(|line| !old.contains(line)).map(|line| format!("newly said: {line}")));
    }
    Ok(found)
}

/// Per VM: where it was expected and where it goes.
fn compare_plans(expected: &str, plan: &str, found: &mut Vec<String>) {
    let (old, new) = (actions(expected), actions(plan));
    let vms: std::collections::BTreeSet<&i64> = old.keys().chain(new.keys()).collect();
    for vm in vms {
        match (old.get(vm), new.get(vm)) {
            (Some(a), Some(b)) if a != b => found.push(format!("VM {vm}: expected {a}, got {b}")),
            (Some(a), None) => found.push(format!("VM {vm}: expected {a}, got no action")),
            (None, Some(b)) => found.push(format!("VM {vm}: expected no action, got {b}")),
            _ => {}
        }
    }
}

/// The actions of a plan document that we wrote, in words, by VM.
fn actions(xml: &str) -> BTreeMap<i64, String> {
    let value = |block: &str, tag: &str| {
        let start = block.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = block[start..].find('<')? + start;
        Some(block[start..end].trim().to_owned())
    };
    let blocks = xml.split("<ACTION>").skip(1);
    blocks
        .filter_map(|block| {
            let vm = value(block, "VM_ID")?.parse().ok()?;
            let networks: Vec<String> =
                block.split("<NIC>").skip(1).filter_map(|nic| value(nic, "NETWORK_ID")).collect();
            let (operation, host) = (value(block, "OPERATION")?, value(block, "HOST_ID")?);
            let mut text = format!("{operation} on host {host}, datastore {}", value(block, "DS_ID")?);
            if !networks.is_empty() {
                let _ = write!(text, ", networks {}", networks.join(", "));
            }
            Some((vm, text))
        })
        .collect()
}

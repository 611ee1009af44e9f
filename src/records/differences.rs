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

#[cfg(test)]
mod tests {
    use super::*;

    fn action(vm: &str, operation: &str, host: &str, nics: &[&str]) -> String {
        let nics: String =
            nics.iter().map(|id| format!("<NIC><NIC_ID>0</NIC_ID><NETWORK_ID>{id}</NETWORK_ID></NIC>")).collect();
        format!(
            "<ACTION><VM_ID>{vm}</VM_ID><OPERATION>{operation}</OPERATION><HOST_ID> {host} </HOST_ID><DS_ID>100</DS_ID>{nics}</ACTION>"
        )
    }

    #[test]
    fn plans_are_compared_vm_by_vm() {
        let expected =
            [action("1", "deploy", "5", &[]), action("2", "deploy", "5", &["7", "8"]), action("3", "deploy", "5", &[])];
        let plan = [
            action("1", "deploy", "5", &[]),
            action("2", "deploy", "6", &["7"]),
            action("4", "live-migrate", "5", &[]),
        ];
        let mut found = Vec::new();
        compare_plans(&expected.concat(), &plan.concat(), &mut found);
        assert_eq!(
            found,
            [
                "VM 2: expected deploy on host 5, datastore 100, networks 7, 8, got deploy on host 6, datastore 100, networks 7",
                "VM 3: expected deploy on host 5, datastore 100, got no action",
                "VM 4: expected no action, got live-migrate on host 5, datastore 100"
            ]
        );
        assert_eq!(actions("<PLAN><ACTION><VM_ID>x</VM_ID></ACTION><ACTION><VM_ID>1</VM_ID></ACTION></PLAN>").len(), 0);
        let kinds = found.iter().map(|one| kind(one)).collect::<Vec<_>>();
        assert_eq!(kinds, ["VMs placed elsewhere", "VMs no longer placed", "VMs newly placed"]);
        assert_eq!(kind("the plan has the same actions in another order or form"), "plans in another order");
        assert_eq!(kind("newly said: VM 3"), "messages");
    }

    #[test]
    fn a_summary_counts_bundles_and_kinds_and_names_the_first_ten() {
        let mut summary = Summary::default();
        let differs = ["newly said: x".to_owned(), "VM 1: expected a, got no action".to_owned()];
        summary.count(Path::new("same"), Some(&[]));
        summary.count(Path::new("broken"), None);
        for number in 0..10 {
            summary.count(Path::new(&format!("b{number}")), Some(&differs));
        }
        let named: String = (0..10).map(|number| format!("  differs: b{number}\n")).collect();
        let text = |all: usize, otherwise: usize| {
            format!(
                "bundles {all}: decided as expected 1, otherwise {otherwise}, unusable 1\n  VMs no longer placed: {otherwise}\n  messages: {otherwise}\n{named}"
            )
        };
        assert_eq!(summary.text(), text(12, 10));
        summary.count(Path::new("last"), Some(&differs));
        assert_eq!(summary.text(), text(13, 11) + "  and 1 more\n");
    }

    #[test]
    fn a_bundle_that_expects_nothing_differs_in_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("request.xml"), "<X/>").unwrap();
        let of =
            |plan: &str, messages: &str| differences(&Bundle::open(folder.path()).unwrap(), plan, messages).unwrap();
        assert_eq!(of("<PLAN/>", "said"), Vec::<String>::new());
        let (one, two) = (action("1", "deploy", "5", &[]), action("2", "deploy", "5", &[]));
        std::fs::create_dir(folder.path().join("expected")).unwrap();
        std::fs::write(folder.path().join("expected/plan.xml"), format!("{one}{two}")).unwrap();
        std::fs::write(folder.path().join("expected/messages.txt"), "kept\ngone\n").unwrap();
        assert_eq!(of(&format!("{one}{two}"), "kept\ngone\n"), Vec::<String>::new());
        assert_eq!(
            of(&format!("{two}{one}"), "new\nkept\n"),
            ["the plan has the same actions in another order or form", "no longer said: gone", "newly said: new"]
        );
        assert_eq!(of(&one, "gone\nkept"), ["VM 2: expected deploy on host 5, datastore 100, got no action"]);
    }
}

//! CLUSTER_POOL/CLUSTER of an optimize request: its hosts and its ONE_DRS.
//!
//! What cannot be read in ONE_DRS is a remark and counts as not said: the rest is honoured.

use super::number;
use super::odd::{Odd, shortened};
use super::pools::ids;
use super::vector::Vector;
use super::vm::First;
use super::xml::{Walker, XmlError};
use crate::model::cluster::{Cluster, Limit, OneDrs};
use crate::model::ids::{ClusterId, HostId};
use crate::model::policy::{DrsPolicy, Weights};

/// Reads one cluster; its id is checked by the caller.
pub fn read(walker: &mut Walker<'_>) -> Result<(Option<i32>, Cluster, Odd), XmlError> {
    let mut odd = Odd::default();
    let (mut id, mut name, mut hosts) = (None, First::default(), Vec::new());
    let mut drs: Option<Vector> = None;
    walker.children(|w, tag| match tag {
        "ID" => {
            id = id.or(number::id(&w.text()?));
            Ok(())
        }
        "NAME" => name.fill(w),
        "HOSTS" => ids(w, &mut hosts),
        "TEMPLATE" => w.children(|w, tag| {
            if tag.eq_ignore_ascii_case("ONE_DRS") && drs.is_none() {
                drs = Some(Vector::read(w)?);
                return Ok(());
            }
            w.skip()
        }),
        _ => w.skip(),
    })?;
    hosts.sort_unstable();
    hosts.dedup();
    let cluster = Cluster {
        id: ClusterId(id.unwrap_or(-1)),
        name: name.text().to_owned(),
        hosts: hosts.into_iter().map(HostId).collect(),
        drs: drs.map(|values| Reading { values: &values, odd: &mut odd }.one_drs()).unwrap_or_default(),
    };
    Ok((id, cluster, odd))
}

struct Reading<'a> {
    values: &'a Vector,
    odd: &'a mut Odd,
}

impl Reading<'_> {
    fn one_drs(&mut self) -> OneDrs {
        let automation = self.one_of("AUTOMATION", &["manual", "partial", "full"]);
        let policy = match self.one_of("POLICY", &["balance", "pack"]) {
            Some(0) => Some(DrsPolicy::Balance),
            Some(_) => Some(DrsPolicy::Pack),
            None => None,
        };
        OneDrs {
            full: automation == Some(2),
            policy,
            migrations: self.limit("MIGRATION_THRESHOLD"),
            host_migrations: self.limit("HOST_MIGRATION_THRESHOLD"),
            datastore_migrations: self.limit("DS_MIGRATION_THRESHOLD"),
            weights: self.weights(),
            predictive: self.number("PREDICTIVE", 1.0),
            minimum_gain: self.number("MINIMUM_GAIN", 1.0),
            move_pinned: self.one_of("MOVE_PINNED", &["no", "yes"]).map(|index| index == 1),
            pack_limit: self.number("PACK_LIMIT", 1.0),
            s_green: self.number("S_GREEN", 1000.0),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        Some(self.values.get(name).trim()).filter(|text| !text.is_empty())
    }

    fn refuse(&mut self, name: &str, text: &str, allowed: &str) {
        let text = shortened(text);
        self.odd.remarks.push(format!("ONE_DRS/{name} is {text:?}; it must be {allowed}, and counts as not set"));
    }

    /// The index of the word, in any case.
    fn one_of(&mut self, name: &str, words: &[&str]) -> Option<usize> {
        let text = self.text(name)?.to_owned();
        let found = words.iter().position(|word| word.eq_ignore_ascii_case(&text));
        if found.is_none() {
            self.refuse(name, &text, &words.join(" or "));
        }
        found
    }

    fn limit(&mut self, name: &str) -> Option<Limit> {
        let text = self.text(name)?.to_owned();
        match number::integer(&text) {
            Some(-1) => Some(None),
            Some(value) if value >= 0 => Some(Some(u32::try_from(value).unwrap_or(u32::MAX))),
            _ => {
                self.refuse(name, &text, "a whole number from 0, or -1 for no limit");
                None
            }
        }
    }

    fn number(&mut self, name: &str, max: f64) -> Option<f64> {
        let text = self.text(name)?.to_owned();
        let found = number::real(&text).filter(|value| (0.0..=max).contains(value));
        if found.is_none() {
            self.refuse(name, &text, &format!("a number from 0 to {max}"));
        }
        found
    }

    fn weights(&mut self) -> Option<Weights> {
        let names =
            ["CPU_USAGE_WEIGHT", "CPU_WEIGHT", "MEMORY_USAGE_WEIGHT", "MEMORY_WEIGHT", "DISK_WEIGHT", "NET_WEIGHT"];
        let given = names.map(|name| self.number(name, 1000.0));
        if given.iter().all(Option::is_none) {
            return None;
        }
        let [cpu_usage, cpu, memory_usage, memory, disk, net] = given.map(Option::unwrap_or_default);
        if given.iter().flatten().all(|weight| *weight == 0.0) {
            self.odd.remarks.push("ONE_DRS has no weight above 0; those of the configuration count".to_owned());
            return None;
        }
        Some(Weights { cpu_usage, cpu, memory_usage, memory, disk, net })
    }
}

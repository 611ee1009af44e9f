//! The hosts of a simulation, from flags or a small YAML file.

use crate::config::yaml;
use crate::decide;
use crate::model::snapshot::Host;
use crate::simulation::cloud::HostKind;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use std::path::PathBuf;

/// More hosts than this are a slip of the keyboard.
const MOST: usize = 100_000;

/// Equal hosts by flags, or kinds of hosts by a file.
#[derive(Clone, Debug, Args)]
pub struct HostArgs {
    /// How many equal hosts.
    #[arg(long, default_value_t = 8, conflicts_with = "hosts_file")]
    pub hosts: usize,
    /// Cores of a host.
    #[arg(long, default_value_t = 24.0, conflicts_with = "hosts_file")]
    pub cores: f64,
    /// Memory of a host, GiB.
    #[arg(long, default_value_t = 1024.0, value_name = "GIB", conflicts_with = "hosts_file")]
    pub memory: f64,
    /// An attribute of all hosts: POWER_IDLE, POWER_MAX, POWER_CURVE, CARBON_ZONE, CARBON_INTENSITY,
    /// ENERGY_RENEWABLE. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "hosts_file")]
    pub attribute: Vec<String>,
    /// A YAML file with one line per kind of host, such as
    /// `old: {count: 4, cores: 16, memory: 256, POWER_MAX: 400, CARBON_ZONE: BE}`.
    #[arg(long, value_name = "FILE")]
    pub hosts_file: Option<PathBuf>,
    /// A recorded request of oned, plain or gzip: its hosts as they are, without their VMs.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["hosts_file", "hosts", "cores", "memory", "attribute"]
    )]
    pub hosts_of: Option<PathBuf>,
    /// A VM asks for its cores divided by this, as CPU beside VCPU in a template.
    #[arg(long, default_value_t = 4.0)]
    pub overcommit: f64,
}

impl HostArgs {
    /// Cores of a VM for one core that it asks for.
    pub fn overcommit(&self) -> f64 {
        if self.overcommit.is_finite() { self.overcommit.clamp(0.01, 1000.0) } else { 1.0 }
    }

    /// The kinds of hosts.
    pub fn kinds(&self) -> Result<Vec<HostKind>> {
        let kinds = match (&self.hosts_file, &self.hosts_of) {
            (_, Some(path)) => {
                let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
                let snapshot = decide::read(bytes).with_context(|| path.display().to_string())?;
                let kinds: Result<Vec<HostKind>> = snapshot.hosts.iter().map(as_it_is).collect();
                kinds.with_context(|| path.display().to_string())?
            }
            (Some(path), None) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
                parse(&text).with_context(|| path.display().to_string())?
            }
            (None, None) => {
                let attributes = self.attribute.iter().map(|text| {
                    let pair = text.split_once('=').map(|(name, value)| (name.trim().into(), value.trim().into()));
                    pair.ok_or_else(|| anyhow!("--attribute {text:?} is not of the form NAME=VALUE"))
                });
                vec![kind(self.hosts, self.cores, self.memory, attributes.collect::<Result<_>>()?)?]
            }
        };
        if !(1..=MOST).contains(&kinds.iter().map(|kind| kind.count).fold(0, usize::saturating_add)) {
            bail!("there must be 1 to {MOST} hosts");
        }
        Ok(kinds)
    }
}

fn kind(count: usize, cores: f64, memory: f64, attributes: Vec<(String, String)>) -> Result<HostKind> {
    if !(0.01..=100_000.0).contains(&cores) || !(0.001..=1e7).contains(&memory) {
        bail!("a host has 0.01 to 100000 cores and 0.001 to 10000000 GiB, not {cores} and {memory}");
    }
    Ok(HostKind { count, cores, memory: (memory * 1024.0 * 1024.0) as i64, attributes })
}

/// What a simulation takes from a host's template.
const ATTRIBUTES: [&str; 6] =
    ["POWER_IDLE", "POWER_MAX", "POWER_CURVE", "CARBON_ZONE", "CARBON_INTENSITY", "ENERGY_RENEWABLE"];

/// A host of a request.
fn as_it_is(host: &Host) -> Result<HostKind> {
    let of = |name: &str| host.attributes.values(name).next().map(|value| (name.to_owned(), value.to_owned()));
    let attributes = ATTRIBUTES.into_iter().filter_map(of).collect();
    kind(1, host.cpu.0 as f64 / 100.0, host.memory.0 as f64 / 1_048_576.0, attributes)
        .with_context(|| format!("host {}", host.id))
}

/// One kind per key; `count`, `cores`, `memory` (GiB), all else is an attribute.
fn parse(text: &str) -> Result<Vec<HostKind>> {
    let entries = yaml::entries(text).map_err(|problem| {
        let line = problem.line.map_or(String::new(), |line| format!("line {line}: "));
        anyhow!("{line}{}", problem.text)
    })?;
    let split = entries.iter().map(|entry| {
        let parts = entry.key.split_once('.');
        parts.map(|(kind, key)| (kind, key, entry)).ok_or_else(|| {
            anyhow!(
                "line {}: write one kind of host per line, such as `old: {{count: 4, cores: 16, memory: 256}}`",
                entry.line
            )
        })
    });
    let split: Vec<_> = split.collect::<Result<_>>()?;
    let mut kinds = Vec::new();
    for of_one in split.chunk_by(|a, b| a.0 == b.0) {
        let (mut count, mut cores, mut memory, mut attributes) = (1, 24.0, 1024.0, Vec::new());
        for (_, key, entry) in of_one {
            let bad = || anyhow!("line {}: {key} is {:?}; it must be a number", entry.line, entry.value);
            match *key {
                "count" => count = entry.value.parse().map_err(|_| bad())?,
                "cores" => cores = entry.value.parse().map_err(|_| bad())?,
                "memory" => memory = entry.value.parse().map_err(|_| bad())?,
                name => attributes.push((name.to_owned(), entry.value.clone())),
            }
        }
        let line = of_one.first().map_or(0, |(_, _, entry)| entry.line);
        kinds.push(kind(count, cores, memory, attributes).with_context(|| format!("line {line}"))?);
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_hosts_are_read_and_slips_are_told_with_their_line() {
        let text =
            "# mine\nold: {count: 4, cores: 8, memory: 64, POWER_MAX: 400}\nnew:\n  count: 2\n  CARBON_ZONE: BE\n";
        let kinds = parse(text).unwrap();
        assert_eq!((kinds.len(), kinds[0].count, kinds[0].memory, kinds[1].cores), (2, 4, 64 << 20, 24.0));
        assert_eq!(kinds[1].attributes, [("CARBON_ZONE".to_owned(), "BE".to_owned())]);
        for (text, told) in [
            ("old: {count: x}\n", "line 1: count is \"x\""),
            ("count: 4\n", "line 1: write one kind of host per line"),
            ("a: {count: 1}\nb: {cores: -1}\n", "line 2"),
            ("- 1\n", "key: value"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(told), "{text:?}: {error}");
        }
    }
}

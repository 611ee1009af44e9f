//! What energy adds to the distance of a host: cost functions F(g_i, D_i, ...).
//!
//! | `green_cost` | file | form |
//! |---|---|---|
//! | `ai-orchestrator` | `renewable` | multiplicative: D (1 + (1 - g) s_green) |
//! | `energy` | `energy` | by budget: hosts are evened to more or less than the mean |
//!
//! A new one is a file here, its name in [`GreenCost`], and its line in `cost`.
//! `power` and `carbon` read what hosts tell of themselves; `effect` says what green changed.

mod carbon;
mod effect;
mod energy;
mod power;
mod renewable;

pub use carbon::intensity;
pub use effect::{effect, footprint, matters};
pub use power::Power;

use super::cost::Cost;
use crate::model::policy::{GreenCost, Policy};
use crate::model::snapshot::{Host, Notice, Section, Snapshot, Subject};
use std::sync::Arc;

const ATTRIBUTE: &str = "ENERGY_RENEWABLE";

/// What energy adds by the policy: the cost function of each name.
pub fn cost(snapshot: &Snapshot, policy: &Policy) -> Option<Arc<dyn Cost>> {
    match policy.green_cost {
        GreenCost::AiOrchestrator => Some(Arc::new(renewable::Multiplicative::new(snapshot, policy))),
        GreenCost::Energy if policy.s_green <= 0.0 => None,
        GreenCost::Energy => Some(Arc::new(energy::Budget::new(snapshot, policy))),
    }
}

/// The share of renewable energy of a host, 0 to 1; `None` when unknown.
#[must_use]
pub fn share(host: &Host) -> Option<f64> {
    text(host, ATTRIBUTE).and_then(parse)
}

/// What the host says, else its cluster. An empty text says nothing.
fn text<'h>(host: &'h Host, name: &str) -> Option<&'h str> {
    [Section::Template, Section::ClusterTemplate]
        .into_iter()
        .filter_map(|section| host.attributes.first_in(section, name))
        .find(|text| !text.is_empty())
}

/// YES, NO, a fraction of 1 or a percentage, such as `0.4` or `85%`.
fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("YES") {
        return Some(1.0);
    }
    if text.eq_ignore_ascii_case("NO") {
        return Some(0.0);
    }
    let (number, unit) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let share = number.parse::<f64>().ok()? / unit;
    (0.0..=1.0).contains(&share).then_some(share)
}

/// One notice per host and text that says nothing readable.
#[must_use]
pub fn notices(snapshot: &Snapshot) -> Vec<Notice> {
    let of_host = |host| {
        let remedy = "YES, NO, a fraction such as 0.4 or a percentage such as 40%";
        let share = unreadable(host, ATTRIBUTE, |text| parse(text).is_some(), remedy);
        share.into_iter().chain(carbon::notices(host)).chain(power::notices(host))
    };
    snapshot.hosts.iter().flat_map(of_host).collect()
}

/// What is wrong with an attribute, if it is there and nobody can read it.
fn unreadable(host: &Host, name: &str, reads: impl Fn(&str) -> bool, remedy: &str) -> Option<Notice> {
    let text = text(host, name).filter(|text| !reads(text))?;
    let text: String = text.chars().take(40).collect();
    let made_of_it = if name == ATTRIBUTE { "counts as no renewable energy" } else { "does not count" };
    let text = format!("{name} is {text:?}; it {made_of_it} (write {remedy})");
    Some(Notice { subject: Subject::Host(host.id), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::HostId;
    use crate::model::units::{Cpu, Memory};

    /// Hosts of 8 cores with these attributes.
    pub fn cloud(hosts: &[&[(&str, &str)]]) -> Snapshot {
        let host = |(id, attributes): (usize, &&[(&str, &str)])| {
            let plain = Host::plain(HostId(id as i32), Cpu(800), Memory(1 << 24));
            let mut host = Host { name: format!("node{id}"), ..plain };
            attributes.iter().for_each(|(name, value)| host.attributes.push(Section::Template, name, value));
            host
        };
        Snapshot { hosts: hosts.iter().enumerate().map(host).collect(), ..Snapshot::default() }
    }

    #[test]
    fn every_spelling_of_a_share_is_understood() {
        for (text, expected) in [
            ("YES", Some(1.0)),
            ("yes", Some(1.0)),
            ("No", Some(0.0)),
            ("0.65", Some(0.65)),
            (".5", Some(0.5)),
            ("1", Some(1.0)),
            ("0", Some(0.0)),
            ("85%", Some(0.85)),
            ("85 %", Some(0.85)),
            (" 100% ", Some(1.0)),
            ("85", None),
            ("101%", None),
            ("-0.1", None),
            ("maybe", None),
            ("nan", None),
            ("inf", None),
            ("%", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_nobody_can_read_is_told_with_what_to_write() {
        let long = "9".repeat(60);
        let hosts: [&[(&str, &str)]; 3] = [
            &[
                ("ENERGY_RENEWABLE", "maybe"),
                ("CARBON_INTENSITY", "little"),
                ("POWER_IDLE", "much"),
                ("POWER_MAX", "8"),
            ],
            &[("POWER_CURVE", "5"), ("POWER_MAX", &long)],
            &[("ENERGY_RENEWABLE", ""), ("CARBON_INTENSITY", "120"), ("POWER_CURVE", "1,2")],
        ];
        let told: Vec<String> =
            notices(&cloud(&hosts)).iter().map(|one| format!("{}: {}", one.subject, one.text)).collect();
        let many = "9".repeat(40);
        assert_eq!(
            told,
            [
                "host 0: ENERGY_RENEWABLE is \"maybe\"; it counts as no renewable energy (write YES, NO, a fraction such as 0.4 or a percentage such as 40%)".to_owned(),
                "host 0: CARBON_INTENSITY is \"little\"; it does not count (write a number of gCO2/kWh, such as 120)".to_owned(),
                "host 0: POWER_IDLE is \"much\"; it does not count (write a number of watts)".to_owned(),
                "host 1: POWER_CURVE is \"5\"; it does not count (write two to 101 numbers of watts, such as 100,180,300)".to_owned(),
                format!("host 1: POWER_MAX is \"{many}\"; it does not count (write a number of watts)"),
            ]
        );
    }

    #[test]
    fn a_host_tells_before_its_cluster_and_an_empty_text_tells_nothing() {
        let mut asked = cloud(&[&[]]);
        let host = &mut asked.hosts[0];
        assert_eq!(share(host), None);
        host.attributes.push(Section::ClusterTemplate, ATTRIBUTE, "20%");
        assert_eq!(share(host), Some(0.2));
        let mut own = host.clone();
        own.attributes.push(Section::Template, ATTRIBUTE, "");
        assert_eq!(share(&own), Some(0.2));
        host.attributes.push(Section::Template, ATTRIBUTE, "40%");
        assert_eq!(share(host), Some(0.4));
    }

    #[test]
    fn a_budget_of_energy_makes_no_difference_where_green_is_off() {
        for (green_cost, s_green, expected) in [
            (GreenCost::AiOrchestrator, 0.0, true),
            (GreenCost::AiOrchestrator, 1.0, true),
            (GreenCost::Energy, 0.0, false),
            (GreenCost::Energy, 0.1, true),
        ] {
            let policy = Policy { green_cost, s_green, ..Policy::default() };
            assert_eq!(cost(&cloud(&[&[]]), &policy).is_some(), expected, "{green_cost:?} {s_green}");
        }
    }
}

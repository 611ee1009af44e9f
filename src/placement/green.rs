//! The green-energy adjustment of the seed.
//!
//! ```text
//! D_green_i = D_i + D_i (1 - g_i) s_green
//! ```
//!
//! g_i is the share of renewable energy of host i, from the attribute
//! ENERGY_RENEWABLE of the host, else of its cluster. An unknown share counts as 0,
//! and the report says so when a text could not be read.

use crate::model::policy::Policy;
use crate::model::snapshot::{Host, Notice, Section, Snapshot, Subject};

const ATTRIBUTE: &str = "ENERGY_RENEWABLE";

/// What energy adds to the distances of the hosts of a request: F(g_i, D_i, ...).
#[derive(Clone, Debug)]
pub struct Green {
    factors: Vec<f64>,
}

impl Green {
    /// The cost function of the policy over the hosts of the request.
    #[must_use]
    pub fn new(snapshot: &Snapshot, policy: &Policy) -> Self {
        let factor_of = |host: &Host| factor(share(host).unwrap_or(0.0), policy.s_green);
        Self { factors: snapshot.hosts.iter().map(factor_of).collect() }
    }

    /// D_green of a host whose distance is `distance`.
    #[must_use]
    pub fn adjusted(&self, host: usize, distance: f64) -> f64 {
        distance * self.factors[host]
    }
}

/// By how much D grows: 1 on a fully green host, 1 + s_green on one that is not.
#[must_use]
pub fn factor(share: f64, s_green: f64) -> f64 {
    1.0 + (1.0 - share) * s_green
}

/// The share of renewable energy of a host, 0 to 1; `None` when unknown.
#[must_use]
pub fn share(host: &Host) -> Option<f64> {
    text(host).and_then(parse)
}

/// What the host says, else its cluster. An empty text says nothing.
fn text(host: &Host) -> Option<&str> {
    [Section::Template, Section::ClusterTemplate]
        .into_iter()
        .filter_map(|section| host.attributes.first_in(section, ATTRIBUTE))
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

/// One notice per host whose text says nothing readable.
#[must_use]
pub fn notices(snapshot: &Snapshot) -> Vec<Notice> {
    let unreadable = |host: &Host| text(host).filter(|text| parse(text).is_none()).map(str::to_owned);
    snapshot
        .hosts
        .iter()
        .filter_map(|host| Some((host.id, unreadable(host)?)))
        .map(|(id, text)| {
            let text: String = text.chars().take(40).collect();
            let text = format!(
                "{ATTRIBUTE} is {text:?}; it counts as no renewable energy (write YES, NO, a fraction such as 0.4 or a percentage such as 40%)"
            );
            Notice { subject: Subject::Host(id), text }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_the_seeds_formula() {
        for (share, s_green, expected) in
            [(1.0, 1.0, 1.0), (0.0, 1.0, 2.0), (0.4, 1.0, 1.6), (0.0, 0.0, 1.0), (0.5, 3.0, 2.5)]
        {
            assert!((factor(share, s_green) - expected).abs() < 1e-12, "{share} {s_green}");
        }
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
}

//! How much carbon the electricity of a host costs, in grams of CO2 per kWh.
//!
//! The first of these that tells, the host's own word before that of its cluster:
//! the stored series of the zone that `CARBON_ZONE` names, at the moment of the request;
//! `CARBON_INTENSITY`, a number; else an assumption for the grid, 400 g/kWh, of which the share
//! of renewable energy (`ENERGY_RENEWABLE`) is taken off.

use super::{share, text, unreadable};
use crate::model::snapshot::{Host, Notice, Snapshot};

const ZONE: &str = "CARBON_ZONE";
const INTENSITY: &str = "CARBON_INTENSITY";

/// The grid that nobody told of.
pub const ASSUMED: f64 = 400.0;

/// More than this is no electricity.
const MOST: f64 = 1e5;

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The stored series of its zone.
    Series,
    /// CARBON_INTENSITY.
    Attribute,
    /// The share of renewable energy alone, or nothing.
    Assumed,
}

/// The carbon intensity of a host, and where it comes from.
#[must_use]
pub fn intensity(snapshot: &Snapshot, host: &Host) -> (f64, Origin) {
    if let Some(grams) = zone(host).and_then(|zone| snapshot.carbon.get(zone)) {
        return (*grams, Origin::Series);
    }
    match text(host, INTENSITY).and_then(grams) {
        Some(grams) => (grams, Origin::Attribute),
        None => (ASSUMED * (1.0 - share(host).unwrap_or(0.0)), Origin::Assumed),
    }
}

/// Of every host of a request.
#[must_use]
pub fn intensities(snapshot: &Snapshot) -> Vec<f64> {
    snapshot.hosts.iter().map(|host| intensity(snapshot, host).0).collect()
}

/// The zone that a host or its cluster names.
fn zone(host: &Host) -> Option<&str> {
    text(host, ZONE).map(str::trim)
}

/// One notice per text that says nothing readable.
pub fn notices(host: &Host) -> impl Iterator<Item = Notice> {
    unreadable(host, INTENSITY, |text| grams(text).is_some(), "a number of gCO2/kWh, such as 120").into_iter()
}

fn grams(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|grams: &f64| (0.0..=MOST).contains(grams))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::score::green::tests::cloud;

    #[test]
    fn the_series_goes_before_the_attribute_before_the_share() {
        let zone = ("CARBON_ZONE", "BE");
        let number = ("CARBON_INTENSITY", "120.5");
        let half = ("ENERGY_RENEWABLE", "50%");
        for (attributes, known, expected) in [
            (&[zone, number, half][..], Some(30.0), (30.0, Origin::Series)),
            (&[zone, number, half], None, (120.5, Origin::Attribute)),
            (&[number], Some(30.0), (120.5, Origin::Attribute)),
            (&[zone, half], None, (200.0, Origin::Assumed)),
            (&[("CARBON_INTENSITY", "-5")], None, (400.0, Origin::Assumed)),
            (&[("CARBON_INTENSITY", "nan"), ("ENERGY_RENEWABLE", "YES")], None, (0.0, Origin::Assumed)),
        ] {
            let mut snapshot = cloud(&[attributes]);
            snapshot.carbon.extend(known.map(|grams| ("BE".to_owned(), grams)));
            assert_eq!(intensity(&snapshot, &snapshot.hosts[0]), expected, "{attributes:?} {known:?}");
        }
    }

    #[test]
    fn blanks_around_a_number_are_none_of_it_and_beyond_its_range_it_is_none() {
        for (text, expected) in [
            (" 120.5\t", (120.5, Origin::Attribute)),
            ("0", (0.0, Origin::Attribute)),
            ("120 g", (400.0, Origin::Assumed)),
            ("1e9", (400.0, Origin::Assumed)),
        ] {
            let snapshot = cloud(&[&[("CARBON_INTENSITY", text)][..]]);
            assert_eq!(intensity(&snapshot, &snapshot.hosts[0]), expected, "{text:?}");
        }
    }
}

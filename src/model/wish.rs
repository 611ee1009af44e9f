//! What a VM group, a role or a VM wishes beyond OpenNebula's own rules: to be spread over the
//! values of a host attribute, to be kept together by one, and which hosts it likes.

use super::ids::HostId;
use super::snapshot::{Host, Section};

/// The wishes of a role, a whole group, or a VM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// ONEAIO_SPREAD: over the values of a host attribute.
    pub spread: Option<Spread>,
    /// ONEAIO_TOGETHER: within one value of a host attribute.
    pub together: Option<Together>,
    /// ONEAIO_PREFER and ONEAIO_AVOID: hosts that are better or worse than others.
    pub likings: Vec<Liking>,
    /// ONEAIO_STAY: no optimization and no evacuation moves its VMs.
    pub stay: bool,
    /// ONEAIO_YIELD: rules among its VMs do not keep a host from being emptied.
    pub yields: bool,
    /// ONEAIO_PRIORITY, 0 to 100: larger ones first, where not all find a place.
    pub priority: u32,
}

/// VMs go to the values of a host attribute evenly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The attribute, such as RACK; HOST and CLUSTER are the host and its cluster themselves.
    pub by: String,
    /// ONEAIO_SPREAD_SKEW: at most this many VMs more in one domain than in another, at least 1.
    pub skew: u32,
    /// ONEAIO_SPREAD_SOFT: as far as possible.
    pub soft: bool,
}

/// VMs go to one value of a host attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// The attribute, as for [`Spread`].
    pub by: String,
    /// ONEAIO_TOGETHER_SOFT: as far as possible.
    pub soft: bool,
}

/// Hosts that are better than others, or worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Liking {
    /// Which hosts.
    pub hosts: Liked,
    /// How much; below 0 they are rather not taken.
    pub weight: f64,
}

/// Hosts that a wish speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Liked {
    /// By ID.
    Host(HostId),
    /// By an attribute and its value.
    With(String, String),
}

impl Liked {
    /// Whether it speaks of this host.
    #[must_use]
    pub fn is(&self, host: &Host) -> bool {
        match self {
            Self::Host(id) => host.id == *id,
            Self::With(name, value) => host.domain(name).is_some_and(|found| found == *value),
        }
    }
}

impl Host {
    /// The host's value of an attribute by which VMs are spread or kept together: its own, else
    /// its cluster's; HOST is the host itself and CLUSTER its cluster. An empty value is none.
    #[must_use]
    pub fn domain(&self, by: &str) -> Option<String> {
        if by.eq_ignore_ascii_case("HOST") {
            return Some(self.id.to_string());
        }
        if by.eq_ignore_ascii_case("CLUSTER") {
            return Some(self.cluster.to_string());
        }
        [Section::Template, Section::ClusterTemplate]
            .into_iter()
            .filter_map(|section| self.attributes.first_in(section, by))
            .map(str::trim)
            .find(|text| !text.is_empty())
            .map(str::to_owned)
    }
}

//! ONEAIO_SPREAD and the like, of a role, a VM group or a VM. What cannot be read or contradicts
//! another rule is a remark that names both sides; the rest is honoured.

use super::number;
use super::odd::{Odd, shortened};
use crate::model::ids::HostId;
use crate::model::snapshot::{Role, RolePolicy};
use crate::model::wish::{Liked, Liking, Spread, Together, Wishes};

/// Over which attribute VMs are spread.
const SPREAD: &str = "ONEAIO_SPREAD";
/// By how many VMs domains may differ.
const SKEW: &str = "ONEAIO_SPREAD_SKEW";
/// Spread as far as possible.
const SPREAD_SOFT: &str = "ONEAIO_SPREAD_SOFT";
/// By which attribute VMs are kept together.
const TOGETHER: &str = "ONEAIO_TOGETHER";
/// Together as far as possible.
const TOGETHER_SOFT: &str = "ONEAIO_TOGETHER_SOFT";
/// Hosts that are better.
const PREFER: &str = "ONEAIO_PREFER";
/// Hosts that are worse.
const AVOID: &str = "ONEAIO_AVOID";
/// No migration but by the operator.
const STAY: &str = "ONEAIO_STAY";
/// Rules that give way to maintenance.
const YIELD: &str = "ONEAIO_YIELD";
/// Who goes first where not all find a place.
const PRIORITY: &str = "ONEAIO_PRIORITY";
/// The largest of them.
const FIRST: u32 = 100;
/// Terms of a list of liked hosts: each is compared with every host.
const TERMS: usize = 32;
/// Most that a liking may weigh.
const MOST: f64 = 1000.0;

/// Whether an attribute is one of them.
pub fn is_one(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("ONEAIO_"))
}

/// Reads the wishes of `whom`, such as `role "web"`; `text` tells an attribute, empty when absent.
pub fn read<'t>(whom: &str, text: impl Fn(&str) -> &'t str, odd: &mut Odd) -> Wishes {
    let mut reading = Reading { whom, odd };
    let spread = reading.attribute(SPREAD, text(SPREAD)).map(|by| Spread {
        by,
        skew: reading.skew(text(SKEW)),
        soft: reading.yes(SPREAD_SOFT, text(SPREAD_SOFT)),
    });
    let together = reading
        .attribute(TOGETHER, text(TOGETHER))
        .map(|by| Together { by, soft: reading.yes(TOGETHER_SOFT, text(TOGETHER_SOFT)) });
    let mut likings = reading.likings(PREFER, text(PREFER), 1.0);
    likings.extend(reading.likings(AVOID, text(AVOID), -1.0));
    let (stay, yields) = (reading.yes(STAY, text(STAY)), reading.yes(YIELD, text(YIELD)));
    Wishes { spread, together, likings, stay, yields, priority: reading.priority(text(PRIORITY)) }
}

struct Reading<'a> {
    whom: &'a str,
    odd: &'a mut Odd,
}

impl Reading<'_> {
    fn refuse(&mut self, name: &str, text: &str, must: &str) {
        self.odd.remarks.push(format!("{name} of {} is {:?}; {must}", self.whom, shortened(text)));
    }

    /// The name of a host attribute.
    fn attribute(&mut self, name: &str, text: &str) -> Option<String> {
        let by = text.trim();
        if by.is_empty() {
            return None;
        }
        if !by.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || by.len() > 64 {
            self.refuse(name, text, "it must be the name of one host attribute, such as RACK, and counts for nothing");
            return None;
        }
        Some(by.to_ascii_uppercase())
    }

    fn skew(&mut self, text: &str) -> u32 {
        if text.trim().is_empty() {
            return 1;
        }
        let skew = number::integer(text).and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
        skew.unwrap_or_else(|| {
            self.refuse(SKEW, text, "it must be a whole number from 1, and counts as 1");
            1
        })
    }

    fn priority(&mut self, text: &str) -> u32 {
        if text.trim().is_empty() {
            return 0;
        }
        let priority =
            number::integer(text).and_then(|value| u32::try_from(value).ok()).filter(|value| *value <= FIRST);
        priority.unwrap_or_else(|| {
            self.refuse(PRIORITY, text, "it must be a whole number from 0 to 100, and counts as 0");
            0
        })
    }

    fn yes(&mut self, name: &str, text: &str) -> bool {
        let known = ["", "YES", "NO"].iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
        if !known {
            self.refuse(name, text, "it must be YES or NO, and counts as NO");
        }
        number::yes(text)
    }

    /// `3, 4:10, RACK=r1:2`: host IDs or attributes with their value, each with a weight or 1.
    fn likings(&mut self, name: &str, text: &str, sign: f64) -> Vec<Liking> {
        let mut found = Vec::new();
        let terms: Vec<&str> = text.split(',').map(str::trim).filter(|term| !term.is_empty()).collect();
        if terms.len() > TERMS {
            self.refuse(name, text, "it has more than 32 terms; the first 32 count");
        }
        for term in terms.into_iter().take(TERMS) {
            let (what, weight) = match term.rsplit_once(':') {
                Some((what, weight)) => (what.trim(), number::real(weight.trim())),
                None => (term, Some(1.0)),
            };
            let hosts = match what.split_once('=') {
                Some((attribute, value)) if !attribute.trim().is_empty() && !value.trim().is_empty() => {
                    Some(Liked::With(attribute.trim().to_ascii_uppercase(), value.trim().to_owned()))
                }
                Some(_) => None,
                None => number::id(what).map(|id| Liked::Host(HostId(id))),
            };
            match (hosts, weight.filter(|weight| (0.0..=MOST).contains(weight))) {
                (Some(hosts), Some(weight)) => found.push(Liking { hosts, weight: sign * weight }),
                _ => self.refuse(
                    name,
                    term,
                    "it must be a host ID or ATTRIBUTE=VALUE, with :WEIGHT from 0 to 1000 or without, and counts for \
                     nothing",
                ),
            }
        }
        found
    }
}

/// Takes out wishes that contradict each other or OpenNebula's own rules; each is told with both sides.
pub fn settle(whole: &mut Wishes, roles: &mut [Role], affined: &[Vec<usize>], odd: &mut Odd) {
    let mut tell = |lost: &str, kept: &str| odd.remarks.push(format!("{lost} contradicts {kept}, which counts"));
    for (index, role) in roles.iter_mut().enumerate() {
        let name = format!("role {:?}", role.name);
        against_each_other(&name, &mut role.wishes, &mut tell);
        let by_policy = role.policy == RolePolicy::Affined;
        if (by_policy || affined.iter().any(|rule| rule.contains(&index)))
            && let Some(spread) = role.wishes.spread.take()
        {
            let kept = if by_policy { "its POLICY AFFINED" } else { "an AFFINED rule of its group" };
            tell(&format!("{SPREAD} {} of {name}", spread.by), kept);
        }
        if role.policy == RolePolicy::AntiAffined
            && let Some(together) = role.wishes.together.take_if(|together| together.by == "HOST")
        {
            tell(&format!("{TOGETHER} {} of {name}", together.by), "its POLICY ANTI_AFFINED");
        }
    }
    against_each_other("the group", whole, &mut tell);
    let affine = roles.iter().find(|role| role.policy == RolePolicy::Affined);
    let affine = affine.map(|role| format!("POLICY AFFINED of role {:?}", role.name));
    let affine = affine.or_else(|| affined.first().map(|_| "an AFFINED rule".to_owned()));
    if let Some(kept) = affine
        && let Some(spread) = whole.spread.take()
    {
        tell(&format!("{SPREAD} {} of the group", spread.by), &kept);
    }
    let spread_by = |by: &str| {
        roles.iter().find(|role| role.wishes.spread.as_ref().is_some_and(|spread| spread.by == by)).map(|r| &r.name)
    };
    if let Some(together) = &whole.together
        && let Some(role) = spread_by(&together.by)
    {
        let by = &together.by;
        tell(&format!("{TOGETHER} {by} of the group"), &format!("{SPREAD} {by} of role {role:?}"));
        whole.together = None;
    }
    let apart = roles.iter().find(|role| role.policy == RolePolicy::AntiAffined);
    if let Some(role) = apart
        && whole.together.take_if(|together| together.by == "HOST").is_some()
    {
        tell(&format!("{TOGETHER} HOST of the group"), &format!("POLICY ANTI_AFFINED of role {:?}", role.name));
    }
    if let Some(spread) = &whole.spread {
        for role in roles.iter_mut() {
            if role.wishes.together.take_if(|together| together.by == spread.by).is_some() {
                let by = &spread.by;
                tell(&format!("{TOGETHER} {by} of role {:?}", role.name), &format!("{SPREAD} {by} of the group"));
            }
        }
    }
}

fn against_each_other(whom: &str, wishes: &mut Wishes, tell: &mut impl FnMut(&str, &str)) {
    if let (Some(spread), Some(together)) = (&wishes.spread, &wishes.together)
        && spread.by == together.by
    {
        let by = &spread.by;
        tell(&format!("{TOGETHER} {by} of {whom}"), &format!("its {SPREAD} {by}"));
        wishes.together = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(spread: Option<&str>, together: Option<&str>) -> Wishes {
        Wishes {
            spread: spread.map(|by| Spread { by: by.to_owned(), skew: 1, soft: false }),
            together: together.map(|by| Together { by: by.to_owned(), soft: false }),
            ..Wishes::default()
        }
    }

    fn role(name: &str, policy: RolePolicy, wishes: Wishes) -> Role {
        let (vms, hosts_affined, hosts_anti_affined) = (Vec::new(), Vec::new(), Vec::new());
        Role { name: name.to_owned(), policy, vms, hosts_affined, hosts_anti_affined, wishes }
    }

    /// What is left of the wishes of a group and of a role (spread, together), and what is told.
    fn settled(whole: Wishes, role: Role, affined: &[Vec<usize>]) -> ([(bool, bool); 2], Vec<String>) {
        let (mut whole, mut roles, mut odd) = (whole, [role], Odd::default());
        settle(&mut whole, &mut roles, affined, &mut odd);
        let left = |wishes: &Wishes| (wishes.spread.is_some(), wishes.together.is_some());
        ([left(&whole), left(&roles[0].wishes)], odd.remarks)
    }

    #[test]
    fn wishes_that_contradict_each_other_are_settled_by_a_table() {
        use RolePolicy::{Affined, AntiAffined, None as Free};
        let rack = Some("RACK");
        for (what, whole, of_role, policy, affined, left, told) in [
            ("nothing", (None, None), (rack, None), Free, false, [(false, false), (true, false)], ""),
            ("other attributes", (rack, Some("ROOM")), (rack, Some("ROOM")), Free, false, [(true, true); 2], ""),
            (
                "a group against itself",
                (rack, rack),
                (None, None),
                Free,
                false,
                [(true, false), (false, false)],
                "ONEAIO_TOGETHER RACK of the group contradicts its ONEAIO_SPREAD RACK, which counts",
            ),
            (
                "a role against itself",
                (None, None),
                (rack, rack),
                Free,
                false,
                [(false, false), (true, false)],
                "ONEAIO_TOGETHER RACK of role \"a\" contradicts its ONEAIO_SPREAD RACK, which counts",
            ),
            (
                "spread and AFFINED",
                (None, None),
                (rack, None),
                Affined,
                false,
                [(false, false); 2],
                "ONEAIO_SPREAD RACK of role \"a\" contradicts its POLICY AFFINED, which counts",
            ),
            (
                "spread and an AFFINED rule",
                (None, None),
                (rack, None),
                Free,
                true,
                [(false, false); 2],
                "ONEAIO_SPREAD RACK of role \"a\" contradicts an AFFINED rule of its group, which counts",
            ),
            (
                "the group's spread and an AFFINED role",
                (rack, None),
                (None, None),
                Affined,
                false,
                [(false, false); 2],
                "ONEAIO_SPREAD RACK of the group contradicts POLICY AFFINED of role \"a\", which counts",
            ),
            (
                "one host and ANTI_AFFINED",
                (None, None),
                (None, Some("HOST")),
                AntiAffined,
                false,
                [(false, false); 2],
                "ONEAIO_TOGETHER HOST of role \"a\" contradicts its POLICY ANTI_AFFINED, which counts",
            ),
            ("one rack and ANTI_AFFINED", (None, rack), (None, rack), AntiAffined, false, [(false, true); 2], ""),
            (
                "the group on one host and an ANTI_AFFINED role",
                (None, Some("HOST")),
                (None, None),
                AntiAffined,
                false,
                [(false, false); 2],
                "ONEAIO_TOGETHER HOST of the group contradicts POLICY ANTI_AFFINED of role \"a\", which counts",
            ),
            (
                "a group together and its role spread",
                (None, rack),
                (rack, None),
                Free,
                false,
                [(false, false), (true, false)],
                "ONEAIO_TOGETHER RACK of the group contradicts ONEAIO_SPREAD RACK of role \"a\", which counts",
            ),
            (
                "a group spread and its role together",
                (rack, None),
                (None, rack),
                Free,
                false,
                [(true, false), (false, false)],
                "ONEAIO_TOGETHER RACK of role \"a\" contradicts ONEAIO_SPREAD RACK of the group, which counts",
            ),
        ] {
            let rules = if affined { vec![vec![0, 1]] } else { Vec::new() };
            let role = role("a", policy, wishes(of_role.0, of_role.1));
            let (found, remarks) = settled(wishes(whole.0, whole.1), role, &rules);
            assert_eq!(found, left, "{what}: {remarks:?}");
            assert_eq!(remarks.join("; "), told, "{what}");
        }
    }
}

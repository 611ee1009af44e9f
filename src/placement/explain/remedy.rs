//! The smallest change that would place a VM: each of the nearest hosts is given what it
//! lacks, one rule after another, until the VM fits; the host with the fewest rules to relax
//! and then the least to free is named. Everything happens on copies.

use super::standing;
use crate::model::explanation::Remedy;
use crate::model::ids::{VmId, listed};
use crate::model::policy::Policy;
use crate::model::report::Planned;
use crate::model::snapshot::Snapshot;
use crate::model::wish::Wishes;
use crate::placement::deploy::draft::PlanningInput;
use crate::placement::rules::reason::Reason;

/// Hosts that are tried, the nearest ones.
const HOSTS: usize = 8;

/// More changes than this are no small change.
const CHANGES: usize = 6;

/// How much would have to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Cost {
    /// Rules to relax.
    rules: usize,
    /// Shortages as shares of what is asked, summed.
    shortage: f64,
}

/// The best of the nearest hosts; `None` where no change of ours to name would help.
pub fn smallest(input: &PlanningInput<'_>, policy: &Policy, planned: &Planned, request: usize) -> Option<Remedy> {
    let hosts = nearest(input, policy, planned, request)?;
    let found = hosts.into_iter().filter_map(|host| on(input, policy, planned, request, host));
    let best = found.min_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    best.map(|(_, remedy)| remedy)
}

/// Candidate hosts (indices), those first that lack least.
fn nearest(input: &PlanningInput<'_>, policy: &Policy, planned: &Planned, request: usize) -> Option<Vec<usize>> {
    let misses = standing(input, policy, planned, request, |unit, ledger| {
        let mut misses = Vec::with_capacity(unit.hosts.len());
        for &host in unit.hosts.iter() {
            if let Err(reason) = unit.seats(ledger, host as usize) {
                misses.push((reason.miss(), host as usize));
            }
        }
        misses
    });
    let mut misses = misses?;
    misses.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    Some(misses.into_iter().take(HOSTS).map(|(_, host)| host).collect())
}

/// What one host would take.
fn on(
    input: &PlanningInput<'_>,
    policy: &Policy,
    planned: &Planned,
    request: usize,
    host: usize,
) -> Option<(Cost, Remedy)> {
    let (mut snapshot, mut policy) = (input.snapshot.clone(), policy.clone());
    let id = snapshot.hosts[host].id;
    let (mut cost, mut changes) = (Cost::default(), Vec::new());
    for _ in 0..CHANGES {
        let input = PlanningInput { snapshot: &snapshot, ..*input };
        let reason = standing(&input, &policy, planned, request, |unit, ledger| unit.seats(ledger, host).err())?;
        let Some(reason) = reason else {
            // a host that would do as it is was left out for the sake of others
            return (!changes.is_empty()).then_some((cost, Remedy { host: id, changes }));
        };
        changes.push(relax(&mut snapshot, &mut policy, request, host, &reason)?);
        if reason.is_shortage() {
            cost.shortage += reason.miss();
        } else {
            cost.rules += 1;
        }
    }
    None
}

/// Takes one reason out of the way and says how; `None` where we cannot.
fn relax(snapshot: &mut Snapshot, policy: &mut Policy, request: usize, host: usize, reason: &Reason) -> Option<String> {
    let vm = snapshot.candidates[request].vm;
    let there = &mut snapshot.hosts[host];
    Some(match reason {
        Reason::Disabled => {
            there.enabled = true;
            "enable the host".to_owned()
        }
        Reason::PinPolicy { pinned } => {
            there.pinned = *pinned;
            format!("set PIN_POLICY of the host to {}", if *pinned { "PINNED" } else { "NONE" })
        }
        // all of the host must go to a VM that it could not hold empty
        Reason::Cpu { need, free } => {
            let whole = there.cpu;
            there.cpu += *need - *free;
            match *need > whole {
                true => format!("give the host {} (it has {})", need.text(), whole.cores()),
                false => format!("free {}", (*need - *free).text()),
            }
        }
        Reason::Memory { need, free } => {
            let whole = there.memory;
            there.memory += *need - *free;
            match *need > whole {
                true => format!("give the host {} of memory (it has {})", need.text(), whole.text()),
                false => format!("free {} of memory", (*need - *free).text()),
            }
        }
        Reason::Quota(max) => {
            policy.max_per_host = None;
            format!("raise max_per_host above {max}")
        }
        Reason::Closed { .. } => {
            there.closed = false;
            "lower RESERVED_CPU or RESERVED_MEM of the host".to_owned()
        }
        Reason::Role(rule) => {
            snapshot.vms[vm].group = None;
            format!("relax its VM group ({rule})")
        }
        Reason::Join { with, .. } => {
            snapshot.vms[vm].group = None;
            format!("relax its affinity with {}", listed(with))
        }
        Reason::Domain(_) => {
            let group = snapshot.vms[vm].group.as_ref().map(|(id, _)| *id)?;
            let group = snapshot.groups.iter_mut().find(|known| known.id == group)?;
            group.roles.iter_mut().for_each(|role| role.wishes = Wishes::default());
            group.wishes = Wishes::default();
            "relax ONEAIO_SPREAD or ONEAIO_TOGETHER of its VM group".to_owned()
        }
        Reason::Apart(other) => {
            snapshot.vms[vm].group = None;
            format!("relax the anti-affinity with VM {other}")
        }
        Reason::CurrentVms(rule) => {
            snapshot.vms[vm].current_vms_rules.clear();
            format!("relax its requirement {rule}")
        }
        Reason::CurrentVmsOf(other) => {
            forget_rules(snapshot, *other)?;
            format!("relax CURRENT_VMS of VM {other}")
        }
        Reason::SystemDatastore { need, best: (id, free), .. } => {
            let datastore = snapshot.datastore_index(*id)?;
            if !snapshot.datastores[datastore].shared {
                return None;
            }
            snapshot.datastores[datastore].free += *need - *free;
            format!("free {} on datastore {id}", (*need - *free).text())
        }
        Reason::ImageDatastore { id, need, free } => {
            let datastore = snapshot.datastore_index(*id)?;
            snapshot.datastores[datastore].free += *need - *free;
            format!("free {} on image datastore {id}", (*need - *free).text())
        }
        Reason::Leases { vnet, .. } => {
            let found = snapshot.vnets.iter_mut().find(|known| known.id == *vnet)?;
            found.free_leases = found.free_leases.max(0) + 1;
            format!("add an address to virtual network {vnet}")
        }
        Reason::Elsewhere(_) | Reason::OtherDatastore { .. } => return None,
        Reason::NoDatastore
        | Reason::NoDatastoreOffered
        | Reason::NoNetwork(_)
        | Reason::SameNetwork { .. }
        | Reason::Pci(_)
        | Reason::Numa(_) => {
            return None;
        }
    })
}

fn forget_rules(snapshot: &mut Snapshot, vm: VmId) -> Option<()> {
    snapshot.vms.iter_mut().find(|known| known.id == vm)?.current_vms_rules.clear();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::{Cpu, Memory};
    use crate::model::wish::Spread;
    use crate::placement::testing::{ask, bind, cloud};

    fn told(snapshot: &mut Snapshot, reason: &Reason) -> Option<String> {
        relax(snapshot, &mut Policy::default(), 0, 0, reason)
    }

    #[test]
    fn a_host_that_could_never_hold_it_has_to_grow_and_others_to_be_freed() {
        let mut asked = cloud(&[8]);
        ask(&mut asked, 1, &[0]);
        asked.hosts[0].memory = Memory(4 << 20);
        let cpu = |need: i64| Reason::Cpu { need: Cpu(need), free: Cpu(100) };
        assert_eq!(told(&mut asked.clone(), &cpu(800)).unwrap(), "free 7 cores");
        let grows = told(&mut asked.clone(), &cpu(900)).unwrap();
        assert!(grows.starts_with("give the host 9 cores") && grows.ends_with("(it has 8)"), "{grows}");
        let memory = |need: i64| Reason::Memory { need: Memory(need), free: Memory(1 << 20) };
        assert_eq!(told(&mut asked.clone(), &memory(4 << 20)).unwrap(), "free 3 GiB of memory");
        let grows = told(&mut asked.clone(), &memory(5 << 20)).unwrap();
        assert!(grows.starts_with("give the host 5 GiB of memory") && grows.ends_with("(it has 4 GiB)"), "{grows}");
        // and then it has so much more
        let mut relaxed = asked.clone();
        told(&mut relaxed, &cpu(900));
        told(&mut relaxed, &memory(5 << 20));
        assert_eq!((relaxed.hosts[0].cpu, relaxed.hosts[0].memory), (Cpu(1600), Memory(8 << 20)));
    }

    #[test]
    fn only_its_own_group_gives_up_what_it_wishes() {
        let mut asked = cloud(&[8]);
        let vms = [0, 1].map(|_| ask(&mut asked, 1, &[0]));
        // the group of the VM is the second
        bind(&mut asked, &[vms[1]]);
        bind(&mut asked, &[vms[0]]);
        let spread = Some(Spread { by: "RACK".to_owned(), skew: 1, soft: false });
        for group in &mut asked.groups {
            group.wishes.spread.clone_from(&spread);
            group.roles[0].wishes.spread.clone_from(&spread);
        }
        let text = told(&mut asked, &Reason::Domain("too many".to_owned())).unwrap();
        assert_eq!(text, "relax ONEAIO_SPREAD or ONEAIO_TOGETHER of its VM group");
        let left = |group: usize| {
            let group = &asked.groups[group];
            (group.wishes.spread.is_some(), group.roles[0].wishes.spread.is_some())
        };
        assert_eq!((left(0), left(1)), ((true, true), (false, false)));
    }
}

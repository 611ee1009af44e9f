//! The smallest change that would place a VM: each of the nearest hosts is given what it
//! lacks, one rule after another, until the VM fits; the host with the fewest rules to relax
//! and then the least to free is named. Everything happens on copies.

use super::standing;
use crate::model::explanation::Remedy;
use crate::model::ids::{VmId, listed};
use crate::model::policy::Policy;
use crate::model::report::Planned;
use crate::model::snapshot::Snapshot;
use crate::model::units::Disk;
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
            snapshot.datastores[datastore].free += beyond(*need, *free);
            format!("free {} on datastore {id}", beyond(*need, *free).text())
        }
        Reason::ImageDatastore { id, need, free } => {
            let datastore = snapshot.datastore_index(*id)?;
            snapshot.datastores[datastore].free += beyond(*need, *free);
            format!("free {} on image datastore {id}", beyond(*need, *free).text())
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

/// What has to be freed on a datastore: oned wants it to keep some.
fn beyond(need: Disk, free: Disk) -> Disk {
    need - free + Disk(1)
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

    #[test]
    fn each_reason_that_can_be_mended_is_taken_out_of_the_way() {
        use crate::model::ids::{DatastoreId, HostId, NicId, VnetId};
        use crate::placement::rules::reason::{Told, Want};
        use crate::placement::testing::{datastore, vnet};
        let mut asked = cloud(&[8, 8]);
        ask(&mut asked, 1, &[0]);
        let other = ask(&mut asked, 1, &[0]);
        bind(&mut asked, &[0]);
        asked.datastores = vec![datastore(0, 100), datastore(1, 100)];
        asked.datastores[1].shared = false;
        asked.vnets = vec![vnet(3, 0), vnet(4, -7)];
        for vm in &mut asked.vms {
            vm.current_vms_rules.push("CURRENT_VMS = 9".to_owned());
        }
        (asked.hosts[0].closed, asked.hosts[0].enabled) = (true, false);
        let policy = Policy { max_per_host: Some(3), ..Policy::default() };
        let system =
            |id: i32| Reason::SystemDatastore { need: Disk(90), best: (DatastoreId(id), Disk(20)), told: Told::Shared };
        let want = || Want { need: String::new(), has: String::new(), never: false };
        type Seen = fn(&Snapshot, &Policy) -> bool;
        let table: [(Reason, Option<&str>, Seen); 21] = [
            (Reason::Disabled, Some("enable the host"), |s, _| s.hosts[0].enabled && !s.hosts[1].closed),
            (Reason::PinPolicy { pinned: true }, Some("set PIN_POLICY of the host to PINNED"), |s, _| {
                s.hosts[0].pinned
            }),
            (Reason::PinPolicy { pinned: false }, Some("set PIN_POLICY of the host to NONE"), |s, _| {
                !s.hosts[0].pinned
            }),
            (Reason::Quota(3), Some("raise max_per_host above 3"), |_, p| p.max_per_host.is_none()),
            (
                Reason::Closed { cpu: Cpu(0), memory: Memory(0) },
                Some("lower RESERVED_CPU or RESERVED_MEM of the host"),
                |s, _| !s.hosts[0].closed,
            ),
            (Reason::Role("HOST_AFFINED"), Some("relax its VM group (HOST_AFFINED)"), |s, _| s.vms[0].group.is_none()),
            (
                Reason::Join { with: vec![VmId(5), VmId(6)], hosts: vec![HostId(1)] },
                Some("relax its affinity with VMs 5 and 6"),
                |s, _| s.vms[0].group.is_none(),
            ),
            (Reason::Apart(VmId(5)), Some("relax the anti-affinity with VM 5"), |s, _| s.vms[0].group.is_none()),
            (Reason::CurrentVms("CURRENT_VMS = 9".into()), Some("relax its requirement CURRENT_VMS = 9"), |s, _| {
                s.vms[0].current_vms_rules.is_empty() && !s.vms[1].current_vms_rules.is_empty()
            }),
            (Reason::CurrentVmsOf(VmId(1)), Some("relax CURRENT_VMS of VM 1"), |s, _| {
                !s.vms[0].current_vms_rules.is_empty() && s.vms[1].current_vms_rules.is_empty()
            }),
            (Reason::CurrentVmsOf(VmId(7)), None, |_, _| true),
            (system(0), Some("free 71 MB on datastore 0"), |s, _| s.datastores[0].free == Disk(171)),
            (system(1), None, |s, _| s.datastores[1].free == Disk(100)),
            (system(9), None, |_, _| true),
            (
                Reason::ImageDatastore { id: DatastoreId(1), need: Disk(90), free: Disk(90) },
                Some("free 1 MB on image datastore 1"),
                |s, _| s.datastores[1].free == Disk(101),
            ),
            (Reason::Leases { nic: NicId(0), vnet: VnetId(3) }, Some("add an address to virtual network 3"), |s, _| {
                s.vnets[0].free_leases == 1 && s.vnets[1].free_leases == -7
            }),
            (Reason::Leases { nic: NicId(0), vnet: VnetId(4) }, Some("add an address to virtual network 4"), |s, _| {
                s.vnets[1].free_leases == 1
            }),
            (Reason::Leases { nic: NicId(0), vnet: VnetId(5) }, None, |_, _| true),
            (Reason::Elsewhere(String::new()), None, |_, _| true),
            (Reason::Pci(want()), None, |_, _| true),
            (Reason::NoDatastore, None, |_, _| true),
        ];
        assert_eq!(other, 1);
        for (reason, text, seen) in table {
            let (mut snapshot, mut policy) = (asked.clone(), policy.clone());
            snapshot.hosts[0].pinned = matches!(reason, Reason::PinPolicy { pinned: false });
            let told = relax(&mut snapshot, &mut policy, 0, 0, &reason);
            assert_eq!(told.as_deref(), text, "{reason:?}");
            assert!(seen(&snapshot, &policy), "{reason:?}");
        }
    }

    /// What would place the only VM, whole.
    fn remedy(asked: &Snapshot, policy: &Policy) -> Option<(i32, Vec<String>)> {
        let demands = crate::placement::testing::demands(asked);
        let input = PlanningInput::new(asked, &demands);
        let planned = crate::placement::plan(&input, policy);
        let found = crate::placement::explain::explain(&input, policy, &planned, VmId(0)).unwrap();
        assert_eq!(found.hosts.len(), asked.candidates[0].hosts.len());
        found.remedy.map(|one| (one.host.0, one.changes))
    }

    #[test]
    fn a_datastore_has_to_keep_some_beside_what_is_asked_for() {
        let mut asked = cloud(&[8]);
        let request = ask(&mut asked, 1, &[0]);
        asked.datastores = vec![crate::placement::testing::datastore(0, 5)];
        asked.vms[request].system_disk = Disk(9);
        let policy = Policy::default();
        assert_eq!(remedy(&asked, &policy), Some((0, vec!["free 5 MB on datastore 0".to_owned()])));
        (asked.datastores[0].free, asked.vms[request].system_disk) = (Disk(20), Disk(9));
        asked.vms[request].image_disks = vec![(asked.datastores[0].id, Disk(20))];
        assert_eq!(remedy(&asked, &policy), Some((0, vec!["free 1 MB on image datastore 0".to_owned()])));
    }

    #[test]
    fn the_host_with_fewest_rules_in_the_way_is_told_then_the_one_that_lacks_least() {
        let mut asked = cloud(&[8, 8, 8, 8]);
        ask(&mut asked, 4, &[0, 1, 2, 3]);
        for (host, cores) in [(0, 7), (1, 6), (2, 0), (3, 6)] {
            asked.hosts[host].cpu_allocated = Cpu(100 * cores);
        }
        asked.hosts[2].enabled = false;
        let policy = Policy::default();
        assert_eq!(remedy(&asked, &policy), Some((1, vec!["free 2 cores".to_owned()])));
        asked.hosts[1].enabled = false;
        assert_eq!(remedy(&asked, &policy), Some((3, vec!["free 2 cores".to_owned()])));
        asked.hosts[3].enabled = false;
        asked.hosts[0].memory = Memory(512);
        let both = vec!["free 3 cores".to_owned(), "give the host 1 MiB of memory (it has 512 KiB)".to_owned()];
        assert_eq!(remedy(&asked, &policy), Some((0, both)));
        asked.hosts[0].pinned = true;
        assert_eq!(remedy(&asked, &policy), Some((2, vec!["enable the host".to_owned()])));
        // nobody waits, and nothing is to be mended
        asked.hosts[2].enabled = true;
        assert_eq!(remedy(&asked, &policy), None);
    }
}

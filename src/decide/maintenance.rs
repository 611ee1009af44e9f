//! Rules of VM groups that yield in maintenance (ONEAIO_YIELD): where a host cannot be emptied otherwise, they do not
//! keep it. Which they are is told; a later optimization mends what was broken. Decides nothing else: rules about
//! hosts, devices, room and networks never yield.

use crate::model::cluster::Cluster;
use crate::model::ids::GroupId;
use crate::model::plan::Plan;
use crate::model::policy::Policy;
use crate::model::snapshot::{Notice, RolePolicy, Snapshot, Subject};
use crate::model::wish::Wishes;
use crate::placement::check;
use std::collections::{BTreeMap, BTreeSet};

/// The request without the rules that yield; `None` where none does.
pub fn without_yielding_rules(snapshot: &Snapshot) -> Option<Snapshot> {
    let yields = |wishes: &Wishes| wishes.yields;
    let some = snapshot.groups.iter();
    let mut some = some.map(|group| yields(&group.wishes) || group.roles.iter().any(|role| yields(&role.wishes)));
    if !some.any(|some| some) {
        return None;
    }
    let mut lifted = snapshot.clone();
    let lift = |wishes: &mut Wishes| (wishes.spread, wishes.together) = (None, None);
    for group in &mut lifted.groups {
        let whole = group.wishes.yields;
        if whole {
            group.affined.clear();
            group.anti_affined.clear();
            lift(&mut group.wishes);
        }
        for role in group.roles.iter_mut().filter(|role| whole || role.wishes.yields) {
            role.policy = RolePolicy::None;
            lift(&mut role.wishes);
        }
    }
    Some(lifted)
}

/// What a plan breaks of the rules of a request, a notice for each VM group.
pub fn yielded(snapshot: &Snapshot, cluster: &Cluster, plan: &Plan, policy: &Policy) -> Vec<Notice> {
    let mut groups: BTreeMap<GroupId, (BTreeSet<&'static str>, Vec<String>)> = BTreeMap::new();
    for breach in check::migration_breaches(snapshot, cluster, plan, policy) {
        let Some((group, _)) = snapshot.vm(breach.vm).and_then(|vm| vm.group.as_ref()) else { continue };
        let (rules, vms) = groups.entry(*group).or_default();
        rules.insert(breach.rule);
        vms.push(breach.vm.to_string());
    }
    let notice = |(group, (rules, mut vms)): (GroupId, (BTreeSet<&str>, Vec<String>))| {
        vms.dedup();
        let rules: Vec<&str> = rules.into_iter().collect();
        let text = format!(
            "yields in maintenance (ONEAIO_YIELD): {} is broken by VM {} until an optimization mends it",
            rules.join(" and "),
            vms.join(", ")
        );
        Notice { subject: Subject::Group(group), text }
    };
    groups.into_iter().map(notice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, HostId, VmId};
    use crate::model::plan::{Action, Operation};
    use crate::model::wish::{Spread, Together};
    use crate::placement::testing::{bind, cloud, run};

    /// Two groups with a rule of each kind; VMs 0 and 1 on host 0 in the first, VM 2 in the second.
    fn asked() -> Snapshot {
        let mut asked = cloud(&[8, 8]);
        let vms = [(); 3].map(|()| run(&mut asked, 1, 0, &[0, 1]));
        bind(&mut asked, &vms[..2]);
        bind(&mut asked, &vms[2..]);
        for group in &mut asked.groups {
            (group.affined, group.anti_affined) = (vec![vec![0]], vec![vec![0]]);
            let by = || "RACK".to_owned();
            for wishes in [&mut group.wishes, &mut group.roles[0].wishes] {
                wishes.spread = Some(Spread { by: by(), skew: 1, soft: false });
                wishes.together = Some(Together { by: by(), soft: false });
            }
        }
        asked
    }

    /// Whether rules of a group are left: between roles, of the whole group, within its role, of the role.
    fn left(asked: &Snapshot, group: usize) -> [bool; 4] {
        let group = &asked.groups[group];
        let wished = |wishes: &Wishes| {
            assert_eq!(wishes.spread.is_some(), wishes.together.is_some());
            wishes.spread.is_some()
        };
        assert_eq!(group.affined.is_empty(), group.anti_affined.is_empty());
        let role = &group.roles[0];
        [!group.affined.is_empty(), wished(&group.wishes), role.policy != RolePolicy::None, wished(&role.wishes)]
    }

    #[test]
    fn what_yields_is_lifted_and_nothing_else() {
        let all = [true; 4];
        assert!(without_yielding_rules(&asked()).is_none());
        let mut whole = asked();
        whole.groups[0].wishes.yields = true;
        let lifted = without_yielding_rules(&whole).unwrap();
        assert_eq!((left(&lifted, 0), left(&lifted, 1)), ([false; 4], all));
        let mut role = asked();
        role.groups[1].roles[0].wishes.yields = true;
        let lifted = without_yielding_rules(&role).unwrap();
        assert_eq!((left(&lifted, 0), left(&lifted, 1)), (all, [true, true, false, false]));
    }

    #[test]
    fn what_was_broken_is_told_by_group() {
        let mut asked = asked();
        for group in &mut asked.groups {
            (group.affined, group.anti_affined) = (Vec::new(), Vec::new());
            (group.wishes, group.roles[0].wishes) = (Wishes::default(), Wishes::default());
        }
        asked.groups[0].roles[0].hosts_anti_affined = vec![HostId(1)];
        let action = |vm: i32| Action {
            vm: VmId(vm),
            operation: Operation::Migrate,
            host: HostId(1),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        };
        let told = |vms: &[i32]| {
            let plan = Plan { actions: vms.iter().map(|vm| action(*vm)).collect() };
            let notices = yielded(&asked, &Cluster::default(), &plan, &Policy::default());
            notices.into_iter().map(|one| (one.subject, one.text)).collect::<Vec<_>>()
        };
        let text = |rules: &str, vms: &str| {
            format!(
                "yields in maintenance (ONEAIO_YIELD): {rules} is broken by VM {vms} until an optimization mends it"
            )
        };
        assert_eq!(told(&[2]), []);
        let group = Subject::Group(asked.groups[0].id);
        // one leaves its affined set, for a host that its role shuns
        assert_eq!(told(&[0, 2]), [(group, text("affinity and host affinity", "0"))]);
        assert_eq!(told(&[0, 1]), [(group, text("host affinity", "0, 1"))]);
    }
}

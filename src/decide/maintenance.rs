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

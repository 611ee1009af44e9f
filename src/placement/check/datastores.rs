//! Migrations from one system datastore to another: would oned carry them out, and is there room at every step?

use super::{Breach, Move};
use crate::model::ids::DatastoreId;
use crate::model::policy::Policy;
use crate::model::rule;
use crate::model::snapshot::{Datastore, Snapshot, VmState};
use crate::model::units::Disk;
use std::collections::BTreeMap;

/// What is wrong with moves to other datastores. What a VM leaves behind is not free before the plan is over.
pub(super) fn moves(snapshot: &Snapshot, between: &[Move<'_>], policy: &Policy, found: &mut Vec<Breach>) {
    let known = |id: DatastoreId| snapshot.datastores.iter().find(|datastore| datastore.id == id);
    let mut taken: BTreeMap<DatastoreId, Disk> = BTreeMap::new();
    for one in between {
        let vm = one.vm;
        let mut breach = |rule, text: String| found.push(Breach { vm: vm.id, rule, text });
        if vm.state != VmState::Active || vm.pinned() || !vm.pci.is_empty() {
            breach(rule::STATE, "cannot change its datastore while it runs".to_owned());
        }
        let (Some(from), Some(to)) = (vm.datastore.and_then(known), known(one.action.datastore)) else {
            breach(rule::DATASTORE, format!("datastore {} is unknown", one.action.datastore));
            continue;
        };
        if !one.candidates.datastores.iter().any(|&index| snapshot.datastores[index as usize].id == to.id) {
            breach(rule::DATASTORE, format!("datastore {} is not among its candidates", to.id));
        }
        let fit = |one: &Datastore| one.system && one.shared && one.moves_live;
        if from.driver != to.driver || !fit(from) || !fit(to) {
            breach(rule::DATASTORE, format!("oned moves no disks of VMs from datastore {} to {}", from.id, to.id));
        }
        if !to.clusters.contains(&one.host.cluster) {
            breach(rule::DATASTORE, format!("datastore {} does not serve the cluster of host {}", to.id, one.host.id));
        }
        let checkpoint = Disk((vm.memory.0 as f64 / 1024.0 * policy.memory_system_ds_scale.max(0.0)) as i64);
        let there = taken.entry(to.id).or_default();
        *there += vm.system_disk + checkpoint;
        if *there >= to.free {
            breach(rule::DATASTORE, format!("datastore {} has {} free", to.id, to.free.text()));
        }
    }
}

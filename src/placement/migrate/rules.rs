//! CURRENT_VMS rules of running VMs: what held before must hold after every step.

use super::residents::Residents;
use crate::model::expression::{Facts, Requirement, parse_requirement};
use crate::model::ids::VmId;
use crate::model::snapshot::{Host, Snapshot};
use std::collections::{BTreeMap, HashSet};

/// The rules of all VMs of a request.
pub struct CurrentRules(BTreeMap<VmId, Vec<Requirement>>);

impl CurrentRules {
    /// Parses all rules. A VM whose rules cannot be read stays, and its set with it.
    pub fn new(snapshot: &Snapshot, residents: &mut Residents) -> Self {
        let mut rules: BTreeMap<VmId, Vec<Requirement>> = BTreeMap::new();
        let mut unreadable: BTreeMap<VmId, String> = BTreeMap::new();
        for vm in &snapshot.vms {
            for text in &vm.current_vms_rules {
                match parse_requirement(text) {
                    Ok(rule) => rules.entry(vm.id).or_default().push(rule),
                    Err(error) => {
                        unreadable.insert(vm.id, format!("its requirements cannot be read: {error}"));
                    }
                }
            }
        }
        if !unreadable.is_empty() {
            let ids: Vec<VmId> =
                residents.all.iter().map(|r| snapshot.vms[snapshot.candidates[r.request].vm].id).collect();
            residents.leave(unreadable.clone().into_iter().collect(), |r| unreadable.contains_key(&ids[r]));
        }
        Self(rules)
    }

    /// Whether nobody has such rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all rules of a VM hold on a host with `there` on it.
    pub fn hold(&self, vm: VmId, host: &Host, there: &HashSet<VmId>) -> bool {
        let facts = HostFacts { host, there, myself: vm };
        self.0.get(&vm).is_none_or(|rules| rules.iter().all(|rule| rule.holds(&facts)))
    }

    /// VMs among `there` whose rules hold.
    pub fn content(&self, host: &Host, there: &HashSet<VmId>) -> Vec<VmId> {
        let concerned = self.0.keys().filter(|vm| there.contains(vm));
        concerned.filter(|vm| self.hold(**vm, host, there)).copied().collect()
    }
}

struct HostFacts<'a> {
    host: &'a Host,
    there: &'a HashSet<VmId>,
    myself: VmId,
}

impl Facts for HostFacts<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.host.attributes.values(name).any(visit)
    }

    fn runs(&self, vm: VmId) -> bool {
        vm != self.myself && self.there.contains(&vm)
    }
}

//! CURRENT_VMS: requirements about who else is on a host, as the plan grows.
//!
//! oned settles all other terms before it asks us; a text that speaks of CURRENT_VMS
//! is evaluated here again, whole. It must hold when its VM comes and stay true for
//! all that comes later. A VM that is being moved away counts on its old host as
//! both there and gone: nobody knows when it leaves.

use super::reason::Reason;
use crate::model::expression::{Facts, Requirement, parse_requirement};
use crate::model::ids::VmId;
use crate::model::snapshot::{Host, Snapshot};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The CURRENT_VMS rules of a request.
pub struct CurrentVms<'a> {
    snapshot: &'a Snapshot,
    /// By request.
    rules: Vec<Vec<(Requirement, Arc<str>)>>,
    leavers: HashSet<VmId>,
    request_of: HashMap<VmId, usize>,
}

impl<'a> CurrentVms<'a> {
    /// Parses all rules; the second part tells of those that cannot be read, by request.
    /// Requests in `staying` have RESCHED, but are known to stay where they are.
    pub fn new(snapshot: &'a Snapshot, staying: &HashMap<usize, String>) -> (Self, Vec<(usize, String)>) {
        let mut unreadable = Vec::new();
        let mut rules = Vec::with_capacity(snapshot.candidates.len());
        let mut leavers = HashSet::new();
        for (request, candidates) in snapshot.candidates.iter().enumerate() {
            let vm = &snapshot.vms[candidates.vm];
            let mut parsed = Vec::new();
            for text in &vm.current_vms_rules {
                match parse_requirement(text) {
                    Ok(rule) => parsed.push((rule, shortened(text))),
                    Err(error) => unreadable.push((request, format!("its requirements cannot be read: {error}"))),
                }
            }
            rules.push(parsed);
            if vm.resched && !staying.contains_key(&request) {
                leavers.insert(vm.id);
            }
        }
        let ids = snapshot.candidates.iter().enumerate();
        let request_of = ids.map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect();
        (Self { snapshot, rules, leavers, request_of }, unreadable)
    }

    /// Requests whose VMs the rules of a request ask for.
    pub fn wants(&self, request: usize) -> Vec<usize> {
        let mut named = Vec::new();
        for (rule, _) in &self.rules[request] {
            rule.each_vm_wanted(&mut |vm| named.extend(self.request_of.get(&vm)));
        }
        named
    }

    /// Whether a request has such rules.
    pub fn concerns(&self, request: usize) -> bool {
        !self.rules[request].is_empty()
    }

    /// Whether all rules hold on `host` with `guests` (requests) on it, for the guests
    /// as well as for `newcomer`, who need not be among them.
    pub fn test(&self, host: usize, guests: &[usize], newcomer: Option<usize>) -> Result<(), Reason> {
        if let Some(request) = newcomer
            && let Some(text) = self.broken(request, host, guests, None)
        {
            return Err(Reason::CurrentVms(text));
        }
        for &guest in guests {
            if self.concerns(guest) && self.broken(guest, host, guests, newcomer).is_some() {
                return Err(Reason::CurrentVmsOf(self.id(guest)));
            }
        }
        Ok(())
    }

    fn id(&self, request: usize) -> VmId {
        self.snapshot.vms[self.snapshot.candidates[request].vm].id
    }

    /// The first rule of a request that is false on the host.
    fn broken(&self, request: usize, host: usize, guests: &[usize], extra: Option<usize>) -> Option<Arc<str>> {
        let host = &self.snapshot.hosts[host];
        let holds = |rule: &Requirement, gone: bool| {
            let facts = HostFacts { of: self, host, guests, extra, myself: self.id(request), leavers_gone: gone };
            rule.holds(&facts)
        };
        let moving = host.vms.iter().any(|vm| self.leavers.contains(vm));
        self.rules[request]
            .iter()
            .find(|(rule, _)| !(holds(rule, false) && (!moving || holds(rule, true))))
            .map(|(_, text)| text.clone())
    }
}

/// As much of a rule as a message has room for.
fn shortened(text: &str) -> Arc<str> {
    text.chars().take(60).collect::<String>().into()
}

struct HostFacts<'a> {
    of: &'a CurrentVms<'a>,
    host: &'a Host,
    guests: &'a [usize],
    extra: Option<usize>,
    myself: VmId,
    leavers_gone: bool,
}

impl Facts for HostFacts<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.host.attributes.values(name).any(visit)
    }

    fn runs(&self, vm: VmId) -> bool {
        if vm == self.myself {
            return false;
        }
        let stays = self.host.vms.binary_search(&vm).is_ok() && !(self.leavers_gone && self.of.leavers.contains(&vm));
        stays || self.guests.iter().chain(self.extra.iter()).any(|&guest| self.of.id(guest) == vm)
    }
}

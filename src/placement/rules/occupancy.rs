//! CURRENT_VMS: requirements about who else is on a host, as the plan grows.
//!
//! oned settles all other terms before it asks us; a text that speaks of CURRENT_VMS
//! is evaluated here again, whole. It must hold when its VM comes and stay true for
//! all that comes later. A VM that a placement moves away counts on its old host as both there
//! and gone: nobody knows when it leaves. Migrations of an optimization go one after another:
//! what held before each of them holds after it.

use super::context::Context;
use super::reason::Reason;
use super::standing::{Seat, Standing};
use super::{Case, Rule};
use crate::model::brief::Waits;
use crate::model::expression::{Facts, Requirement, parse_requirement};
use crate::model::ids::VmId;
use crate::model::snapshot::{Host, Snapshot, Vm, VmState};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{self, Write};
use std::sync::Arc;

/// The CURRENT_VMS rules of a request.
pub struct CurrentVms<'a> {
    snapshot: &'a Snapshot,
    /// By VM: of those to be placed and of those that run.
    rules: BTreeMap<VmId, Vec<Requirement>>,
    leavers: HashSet<VmId>,
    request_of: HashMap<VmId, usize>,
    /// By VM: the requests whose VMs its rules ask for.
    wants: BTreeMap<VmId, Vec<usize>>,
    /// By VM: whom its rules speak of.
    mentions: BTreeMap<VmId, BTreeSet<VmId>>,
    /// By host: who is there before the plan. Empty where nobody has such rules.
    present: Vec<HashSet<VmId>>,
}

impl<'a> CurrentVms<'a> {
    /// Parses all rules; the second part tells of those that cannot be read, by VM. Requests in `staying` have
    /// RESCHED, but are known to stay where they are. Of each owner so many `bytes` are read for VMs that are
    /// to be placed.
    pub fn new(
        snapshot: &'a Snapshot,
        staying: &HashMap<usize, Waits>,
        bytes: Option<usize>,
    ) -> (Self, BTreeMap<VmId, String>) {
        let mut unreadable = bytes.map_or_else(BTreeMap::new, |bytes| beyond(snapshot, bytes));
        let mut rules: BTreeMap<VmId, Vec<Requirement>> = BTreeMap::new();
        for vm in snapshot.vms.iter().filter(|vm| !unreadable.contains_key(&vm.id)).collect::<Vec<_>>() {
            for text in &vm.current_vms_rules {
                match parse_requirement(text) {
                    Ok(rule) => rules.entry(vm.id).or_default().push(rule),
                    Err(error) => {
                        unreadable.entry(vm.id).or_insert(format!("its requirements cannot be read: {error}"));
                    }
                }
            }
        }
        let ids = || snapshot.candidates.iter().enumerate().map(|(request, c)| (&snapshot.vms[c.vm], request));
        let leaves = |(vm, request): &(&Vm, usize)| vm.resched && !staying.contains_key(request);
        let leavers = ids().filter(leaves).map(|(vm, _)| vm.id).collect();
        let request_of: HashMap<VmId, usize> = ids().map(|(vm, request)| (vm.id, request)).collect();
        let present = if rules.is_empty() { Vec::new() } else { present(snapshot) };
        let mut mentions: BTreeMap<VmId, BTreeSet<VmId>> = BTreeMap::new();
        for (vm, rules) in &rules {
            let named = mentions.entry(*vm).or_default();
            rules.iter().for_each(|rule| {
                rule.each_vm_named(&mut |vm| {
                    named.insert(vm);
                });
            });
        }
        let mut wants: BTreeMap<VmId, Vec<usize>> = BTreeMap::new();
        for (vm, rules) in &rules {
            let named = wants.entry(*vm).or_default();
            rules.iter().for_each(|rule| rule.each_vm_wanted(&mut |vm| named.extend(request_of.get(&vm).copied())));
        }
        (Self { snapshot, rules, leavers, request_of, wants, mentions, present }, unreadable)
    }

    /// Requests whose VMs the rules of a request ask for.
    pub fn wants(&self, request: usize) -> &[usize] {
        self.wants.get(&self.id(request)).map_or(&[], Vec::as_slice)
    }

    /// Whether a request has such rules.
    pub fn concerns(&self, request: usize) -> bool {
        !self.of(self.id(request)).is_empty()
    }

    /// Whether a VM's rules speak of another: all else may come and go.
    fn speaks_of(&self, vm: VmId, other: VmId) -> bool {
        self.mentions.get(&vm).is_some_and(|named| named.contains(&other))
    }

    fn present(&self, host: usize) -> impl Iterator<Item = &VmId> {
        self.present.get(host).into_iter().flatten()
    }

    fn is_present(&self, vm: VmId, host: usize) -> bool {
        self.present.get(host).is_some_and(|vms| vms.contains(&vm))
    }

    fn of(&self, vm: VmId) -> &[Requirement] {
        self.rules.get(&vm).map_or(&[], Vec::as_slice)
    }

    fn id(&self, request: usize) -> VmId {
        self.snapshot.vms[self.snapshot.candidates[request].vm].id
    }
}

/// VMs to be placed whose rules come after as many bytes of their owner as are read.
fn beyond(snapshot: &Snapshot, bytes: usize) -> BTreeMap<VmId, String> {
    let mut read: HashMap<Option<i32>, usize> = HashMap::new();
    let mut beyond = BTreeMap::new();
    for vm in snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]) {
        let own: usize = vm.current_vms_rules.iter().map(String::len).sum();
        let sum = read.entry(vm.identity.owner).or_default();
        if own > 0 && *sum + own > bytes {
            let text = format!(
                "waits: requirements with CURRENT_VMS of its owner's VMs have more than {bytes} characters; it comes \
                 when those are placed"
            );
            beyond.insert(vm.id, text);
        } else {
            *sum += own;
        }
    }
    beyond
}

/// Who is on each host, by the host's list and by the VMs' own word.
fn present(snapshot: &Snapshot) -> Vec<HashSet<VmId>> {
    let mut present: Vec<HashSet<VmId>> = snapshot.hosts.iter().map(|h| h.vms.iter().copied().collect()).collect();
    for vm in &snapshot.vms {
        let bound = matches!(vm.state, VmState::Active | VmState::Parked);
        if let Some(index) = vm.host.filter(|_| bound).and_then(|host| snapshot.host_index(host)) {
            present[index].insert(vm.id);
        }
    }
    present
}

/// As much of a term as a message has room for; the rest is not even written.
fn shortened(term: &Requirement) -> Arc<str> {
    let mut told = Shortened { text: String::new(), left: TERM };
    let is_whole = write!(told, "{term}").is_ok();
    if !is_whole {
        told.text.push_str("...");
    }
    told.text.into()
}

/// A text that takes so many characters and no more.
struct Shortened {
    text: String,
    left: usize,
}

impl fmt::Write for Shortened {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let end = more.char_indices().nth(self.left).map_or(more.len(), |(end, _)| end);
        self.text.push_str(&more[..end]);
        self.left -= more[..end].chars().count();
        if end < more.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// At most this many characters of a term are told.
const TERM: usize = 60;

/// The rule of one plan.
pub fn rule<'a>(context: &'a Context<'a>) -> Box<dyn Rule<'a> + 'a> {
    Box::new(Occupancy { context, of: context.current_vms })
}

#[derive(Clone, Copy)]
struct Occupancy<'a> {
    context: &'a Context<'a>,
    of: &'a CurrentVms<'a>,
}

/// Who is on a host, if one more came or one went.
#[derive(Clone, Copy)]
struct There<'c> {
    host: usize,
    standing: &'c Standing,
    more: Option<VmId>,
    less: Option<VmId>,
}

impl<'a> Rule<'a> for Occupancy<'a> {
    fn name(&self) -> &'static str {
        "CURRENT_VMS"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        if self.of.rules.is_empty() {
            return Ok(());
        }
        let before = There { host: case.host, standing: case.standing, more: None, less: None };
        let after = There { more: Some(case.vm.id), ..before };
        if let Some(rule) = self.broken(case.vm.id, after) {
            return Err(Reason::CurrentVms(self.told(case.vm.id, after, rule)));
        }
        self.undisturbed(case.vm.id, before, after)
    }

    fn release(&self, case: &Case<'_>) -> Result<(), Reason> {
        if self.of.rules.is_empty() {
            return Ok(());
        }
        let before = There { host: case.host, standing: case.standing, more: None, less: None };
        self.undisturbed(case.vm.id, before, There { less: Some(case.vm.id), ..before })
    }

    fn holds(&self, host: usize, standing: &Standing) -> bool {
        let there = There { host, standing, more: None, less: None };
        let guests = || standing.guests(host).iter().map(|&guest| self.of.id(guest));
        self.of.rules.is_empty() || guests().all(|guest| self.broken(guest, there).is_none())
    }

    fn kept(&self, case: &Case<'_>) -> Result<(), Reason> {
        let there = There { host: case.host, standing: case.standing, more: None, less: None };
        match self.broken(case.vm.id, there) {
            Some(rule) => Err(Reason::CurrentVms(self.told(case.vm.id, there, rule))),
            None => Ok(()),
        }
    }

    fn alike(&self, a: usize, b: usize) -> bool {
        [a, b].into_iter().all(|request| !self.of.concerns(request))
    }

    fn boxed(&self) -> Box<dyn Rule<'a> + 'a> {
        Box::new(*self)
    }
}

impl Occupancy<'_> {
    /// Nobody's rule that holds before is broken after, but for that of `mover`. A placement
    /// looks at the VMs that it brings: what oned has let those do that run is oned's.
    fn undisturbed(&self, mover: VmId, before: There<'_>, after: There<'_>) -> Result<(), Reason> {
        let others: BTreeSet<VmId> = if self.context.migrates() {
            self.of.rules.keys().copied().filter(|vm| self.runs(*vm, before, false)).collect()
        } else {
            let guests = before.standing.guests(before.host).iter().map(|&guest| self.of.id(guest));
            guests.filter(|vm| self.of.rules.contains_key(vm)).collect()
        };
        let disturbed = |vm: &VmId| {
            self.broken(*vm, after).is_some() && (!self.context.migrates() || self.broken(*vm, before).is_none())
        };
        let concerned = others.into_iter().filter(|vm| *vm != mover && self.of.speaks_of(*vm, mover));
        match concerned.into_iter().find(disturbed) {
            Some(other) => Err(Reason::CurrentVmsOf(other)),
            None => Ok(()),
        }
    }

    /// The first rule of a VM that is false there, by its place.
    fn broken(&self, vm: VmId, there: There<'_>) -> Option<usize> {
        let holds = |rule: &Requirement, leavers_gone: bool| rule.holds(&self.facts(vm, there, leavers_gone));
        let moving = !self.of.leavers.is_empty() && self.of.present(there.host).any(|vm| self.of.leavers.contains(vm));
        // each term is a look or two into a set
        let terms = self.of.mentions.get(&vm).map_or(0, BTreeSet::len);
        self.context.work.spend(1 + terms * if moving { 12 } else { 6 });
        let both = |rule: &Requirement| holds(rule, false) && (!moving || holds(rule, true));
        self.of.of(vm).iter().position(|rule| !both(rule))
    }

    /// The term of a rule that makes it false there.
    fn told(&self, vm: VmId, there: There<'_>, rule: usize) -> Arc<str> {
        let rule = &self.of.of(vm)[rule];
        // each term is looked at once more
        self.context.work.spend(2 * self.of.mentions.get(&vm).map_or(0, BTreeSet::len));
        let term = [false, true].into_iter().find_map(|gone| rule.false_part(&self.facts(vm, there, gone)));
        shortened(term.unwrap_or(rule))
    }

    fn facts<'c>(&'c self, vm: VmId, there: There<'c>, leavers_gone: bool) -> HostFacts<'c> {
        HostFacts { rule: self, host: &self.of.snapshot.hosts[there.host], there, myself: vm, leavers_gone }
    }

    fn runs(&self, vm: VmId, there: There<'_>, leavers_gone: bool) -> bool {
        if there.more == Some(vm) {
            return true;
        }
        if there.less == Some(vm) {
            return false;
        }
        let request = self.of.request_of.get(&vm).copied();
        let is_guest = request.is_some_and(|request| there.standing.host(request) == Some(there.host));
        let has_left = request.is_some_and(|request| self.context.home(request) == Some(there.host));
        let stays = self.of.is_present(vm, there.host) && !has_left && !(leavers_gone && self.of.leavers.contains(&vm));
        is_guest || stays
    }
}

struct HostFacts<'c> {
    rule: &'c Occupancy<'c>,
    host: &'c Host,
    there: There<'c>,
    myself: VmId,
    leavers_gone: bool,
}

impl Facts for HostFacts<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.host.attributes.values(name).any(visit)
    }

    fn runs(&self, vm: VmId) -> bool {
        vm != self.myself && self.rule.runs(vm, self.there, self.leavers_gone)
    }
}

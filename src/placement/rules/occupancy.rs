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
use crate::model::expression::{Facts, Presence, Requirement, parse_requirement};
use crate::model::ids::VmId;
use crate::model::snapshot::{Host, Snapshot, Vm, VmState};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::sync::Arc;

/// The CURRENT_VMS rules of a request.
pub struct CurrentVms<'a> {
    snapshot: &'a Snapshot,
    /// VMs that have rules, and those that rules speak of, by id.
    known: Vec<Known>,
    index: HashMap<VmId, usize>,
    /// By request: which of them its VM is. Empty where nobody has such rules.
    of_request: Vec<Option<usize>>,
    /// By host: whether one of them is about to leave it.
    leaving: Vec<bool>,
}

/// A VM that has rules, or that rules speak of.
struct Known {
    id: VmId,
    request: Option<usize>,
    /// It has RESCHED, and is not known to stay.
    leaves: bool,
    /// Hosts that it is on before the plan, mostly one.
    present: Vec<usize>,
    rules: Vec<Ruled>,
    /// Requests whose VMs its rules ask for.
    wants: Vec<usize>,
    /// How many VMs its rules speak of.
    mentions: usize,
    /// Whose rules speak of it, by id: nobody else cares whether it comes or goes.
    spoken_of_by: Vec<usize>,
}

/// A rule as it was written, for messages, and as it is looked at.
struct Ruled {
    written: Requirement,
    term: Term,
    /// What is told where one of its parts is false, by the part's place.
    told: RefCell<HashMap<usize, Arc<str>>>,
}

/// A rule whose VMs are looked up, without what is the same everywhere.
enum Term {
    Constant(bool),
    /// Whether a VM, by its place among those known, is there.
    Vm(usize, bool),
    /// Any other attribute of the host, which a plan does not change; by host, once it was looked at, where that
    /// is kept.
    Attribute(Requirement, Option<RefCell<Vec<Option<bool>>>>),
    Not(Box<Term>),
    All(Vec<Term>),
    Any(Vec<Term>),
}

/// So many values of terms on hosts are kept: about 1 MB.
const KEPT: usize = 1 << 20;

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
        let none =
            Self { snapshot, known: Vec::new(), index: HashMap::new(), of_request: Vec::new(), leaving: Vec::new() };
        (if rules.is_empty() { none } else { none.with(rules, staying) }, unreadable)
    }

    fn with(mut self, rules: BTreeMap<VmId, Vec<Requirement>>, staying: &HashMap<usize, Waits>) -> Self {
        let snapshot = self.snapshot;
        let mut named: BTreeMap<VmId, Vec<VmId>> = rules.keys().map(|vm| (*vm, Vec::new())).collect();
        for (vm, rules) in &rules {
            let mut mentioned = Vec::new();
            rules.iter().for_each(|rule| rule.each_vm_named(&mut |vm| mentioned.push(vm)));
            mentioned.sort_unstable();
            mentioned.dedup();
            mentioned.into_iter().for_each(|other| named.entry(other).or_default().push(*vm));
        }
        self.index = named.keys().enumerate().map(|(index, vm)| (*vm, index)).collect();
        let known = |id: VmId| Known {
            id,
            request: None,
            leaves: false,
            present: Vec::new(),
            rules: Vec::new(),
            wants: Vec::new(),
            mentions: 0,
            spoken_of_by: Vec::new(),
        };
        self.known = named.keys().map(|id| known(*id)).collect();
        for (spoken_of, by) in named.values().enumerate() {
            self.known[spoken_of].spoken_of_by = by.iter().filter_map(|vm| self.index.get(vm).copied()).collect();
            for speaker in self.known[spoken_of].spoken_of_by.clone() {
                self.known[speaker].mentions += 1;
            }
        }
        let request_vm = |request: usize| &snapshot.vms[snapshot.candidates[request].vm];
        self.of_request = (0..snapshot.candidates.len()).map(|r| self.index.get(&request_vm(r).id).copied()).collect();
        for (request, index) in self.of_request.iter().enumerate() {
            if let Some(index) = *index {
                self.known[index].request = Some(request);
                self.known[index].leaves = request_vm(request).resched && !staying.contains_key(&request);
            }
        }
        self.are_present();
        self.leaving = vec![false; snapshot.hosts.len()];
        for one in self.known.iter().filter(|one| one.leaves) {
            one.present.iter().for_each(|&host| self.leaving[host] = true);
        }
        let mut kept = 0;
        for (vm, rules) in rules {
            let Some(own) = self.index.get(&vm).copied() else { continue };
            let mut wants = Vec::new();
            let request = |vm: VmId| self.known[*self.index.get(&vm)?].request;
            rules.iter().for_each(|rule| rule.each_vm_wanted(&mut |vm| wants.extend(request(vm))));
            let ruled = rules.into_iter().map(|written| Ruled {
                term: self.looked_up(own, &written, &mut kept),
                written,
                told: RefCell::default(),
            });
            let ruled = ruled.collect();
            self.known[own].rules = ruled;
            self.known[own].wants = wants;
        }
        self
    }

    /// Who is on each host, by the host's list and by the VMs' own word.
    fn are_present(&mut self) {
        let snapshot = self.snapshot;
        let by_host = snapshot.hosts.iter().enumerate().flat_map(|(host, h)| h.vms.iter().map(move |vm| (*vm, host)));
        let bound = |vm: &&Vm| matches!(vm.state, VmState::Active | VmState::Parked);
        let by_vm = snapshot.vms.iter().filter(bound).filter_map(|vm| Some((vm.id, snapshot.host_index(vm.host?)?)));
        for (vm, host) in by_host.chain(by_vm) {
            if let Some(known) = self.index.get(&vm).map(|&index| &mut self.known[index])
                && !known.present.contains(&host)
            {
                known.present.push(host);
            }
        }
    }

    /// A part of a rule of `own`, with its VMs looked up. Those that are nowhere, and will be nowhere, are away.
    fn looked_up(&self, own: usize, part: &Requirement, kept: &mut usize) -> Term {
        let vm = |id: VmId, here: bool| match self.index.get(&id).copied() {
            Some(index) if index != own => {
                let known = &self.known[index];
                let nowhere = known.request.is_none() && known.present.is_empty();
                if nowhere { Term::Constant(!here) } else { Term::Vm(index, here) }
            }
            _ => Term::Constant(!here),
        };
        match (part, part.presence()) {
            (_, Some(Presence::Here(id))) => vm(id, true),
            (_, Some(Presence::Away(id))) => vm(id, false),
            (_, Some(Presence::Never)) => Term::Constant(false),
            (Requirement::Always, _) => Term::Constant(true),
            (Requirement::Term(..), _) => {
                *kept += self.snapshot.hosts.len();
                Term::Attribute(part.clone(), (*kept <= KEPT).then(RefCell::default))
            }
            (Requirement::Not(inner), _) => match self.looked_up(own, inner, kept) {
                Term::Constant(holds) => Term::Constant(!holds),
                inner => Term::Not(Box::new(inner)),
            },
            (Requirement::And(a, b), _) => {
                let mut all = Vec::new();
                for part in [a, b] {
                    match self.looked_up(own, part, kept) {
                        Term::Constant(true) => {}
                        Term::Constant(false) => return Term::Constant(false),
                        Term::All(mut more) if all.is_empty() => std::mem::swap(&mut all, &mut more),
                        Term::All(more) => all.extend(more),
                        one => all.push(one),
                    }
                }
                if all.is_empty() { Term::Constant(true) } else { Term::All(all) }
            }
            (Requirement::Or(a, b), _) => {
                let mut any = Vec::new();
                for part in [a, b] {
                    match self.looked_up(own, part, kept) {
                        Term::Constant(false) => {}
                        Term::Constant(true) => return Term::Constant(true),
                        Term::Any(mut more) if any.is_empty() => std::mem::swap(&mut any, &mut more),
                        Term::Any(more) => any.extend(more),
                        one => any.push(one),
                    }
                }
                if any.is_empty() { Term::Constant(false) } else { Term::Any(any) }
            }
        }
    }

    /// Requests whose VMs the rules of a request ask for.
    pub fn wants(&self, request: usize) -> &[usize] {
        self.of(request).map_or(&[], |index| &self.known[index].wants)
    }

    /// Whether a request has such rules.
    pub fn concerns(&self, request: usize) -> bool {
        self.of(request).is_some_and(|index| !self.known[index].rules.is_empty())
    }

    fn of(&self, request: usize) -> Option<usize> {
        self.of_request.get(request).copied().flatten()
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

/// Who is on a host, if one more came or one went, by their places among those known.
#[derive(Clone, Copy)]
struct There<'c> {
    host: usize,
    standing: &'c Standing,
    more: Option<usize>,
    less: Option<usize>,
}

impl<'a> Rule<'a> for Occupancy<'a> {
    fn name(&self) -> &'static str {
        "CURRENT_VMS"
    }

    fn ask(&self, case: &Case<'_>, _seat: &mut Seat) -> Result<(), Reason> {
        let Some(vm) = self.of.of(case.request) else { return Ok(()) };
        let before = There { host: case.host, standing: case.standing, more: None, less: None };
        let after = There { more: Some(vm), ..before };
        if let Some(rule) = self.broken(vm, after) {
            return Err(Reason::CurrentVms(self.told(vm, after, rule)));
        }
        self.undisturbed(vm, before, after)
    }

    fn release(&self, case: &Case<'_>) -> Result<(), Reason> {
        let Some(vm) = self.of.of(case.request) else { return Ok(()) };
        let before = There { host: case.host, standing: case.standing, more: None, less: None };
        self.undisturbed(vm, before, There { less: Some(vm), ..before })
    }

    fn holds(&self, host: usize, standing: &Standing) -> bool {
        let there = There { host, standing, more: None, less: None };
        let guests = || standing.guests(host).iter().filter_map(|&guest| self.of.of(guest));
        self.of.known.is_empty() || guests().all(|guest| self.broken(guest, there).is_none())
    }

    fn kept(&self, case: &Case<'_>) -> Result<(), Reason> {
        let Some(vm) = self.of.of(case.request) else { return Ok(()) };
        let there = There { host: case.host, standing: case.standing, more: None, less: None };
        match self.broken(vm, there) {
            Some(rule) => Err(Reason::CurrentVms(self.told(vm, there, rule))),
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
    fn undisturbed(&self, mover: usize, before: There<'_>, after: There<'_>) -> Result<(), Reason> {
        let migrates = self.context.migrates();
        let speakers = &self.of.known[mover].spoken_of_by;
        self.context.work.spend(speakers.len());
        let concerned = |vm: &usize| {
            let comes = || self.of.known[*vm].request.and_then(|request| before.standing.host(request));
            if migrates { self.runs(*vm, before, false) } else { comes() == Some(before.host) }
        };
        let disturbed =
            |vm: &usize| self.broken(*vm, after).is_some() && (!migrates || self.broken(*vm, before).is_none());
        match speakers.iter().find(|vm| **vm != mover && concerned(vm) && disturbed(vm)) {
            Some(other) => Err(Reason::CurrentVmsOf(self.of.known[*other].id)),
            None => Ok(()),
        }
    }

    /// The first rule of a VM that is false there, by its place.
    fn broken(&self, vm: usize, there: There<'_>) -> Option<usize> {
        let mut steps = 1;
        let moving = self.of.leaving[there.host];
        let mut holds = |rule: &Ruled, leavers_gone: bool| self.is_met(&rule.term, there, leavers_gone, &mut steps);
        let mut both = |rule: &Ruled| holds(rule, false) && (!moving || holds(rule, true));
        let broken = self.of.known[vm].rules.iter().position(|rule| !both(rule));
        // each look takes some nanoseconds
        self.context.work.spend(1 + steps / 2);
        broken
    }

    fn is_met(&self, term: &Term, there: There<'_>, leavers_gone: bool, steps: &mut usize) -> bool {
        *steps += 1;
        match term {
            Term::Constant(holds) => *holds,
            Term::Vm(vm, here) => self.runs(*vm, there, leavers_gone) == *here,
            Term::Attribute(written, None) => self.is_so(written, there.host, steps),
            Term::Attribute(written, Some(known)) => {
                let mut known = known.borrow_mut();
                if known.is_empty() {
                    known.resize(self.of.snapshot.hosts.len(), None);
                }
                *known[there.host].get_or_insert_with(|| self.is_so(written, there.host, steps))
            }
            Term::Not(inner) => !self.is_met(inner, there, leavers_gone, steps),
            Term::All(all) => all.iter().all(|one| self.is_met(one, there, leavers_gone, steps)),
            Term::Any(any) => any.iter().any(|one| self.is_met(one, there, leavers_gone, steps)),
        }
    }

    /// Whether a term about an attribute is true of a host.
    fn is_so(&self, written: &Requirement, host: usize, steps: &mut usize) -> bool {
        // a pattern is compared letter by letter
        *steps += 50;
        written.holds(&Attributes(&self.of.snapshot.hosts[host]))
    }

    /// The term of a rule that makes it false there.
    fn told(&self, vm: usize, there: There<'_>, rule: usize) -> Arc<str> {
        let known = &self.of.known[vm];
        let Some(ruled) = known.rules.get(rule) else { return Arc::from("") };
        let mut steps = 1;
        let mut first =
            |all: &[Term], gone: bool| all.iter().position(|one| !self.is_met(one, there, gone, &mut steps));
        let part = match &ruled.term {
            // which part is false first, only the whole text tells
            Term::Constant(_) => None,
            Term::All(all) => [false, true].into_iter().find_map(|gone| first(all, gone)),
            _ => Some(0),
        };
        self.context.work.spend(steps / 2);
        let text = || {
            // each term is looked at once more
            self.context.work.spend(6 * known.mentions);
            let facts = |leavers_gone| HostFacts { rule: self, there, myself: vm, leavers_gone };
            let term = [false, true].into_iter().find_map(|gone| ruled.written.false_part(&facts(gone)));
            shortened(term.unwrap_or(&ruled.written))
        };
        match part {
            Some(part) => ruled.told.borrow_mut().entry(part).or_insert_with(text).clone(),
            None => text(),
        }
    }

    fn runs(&self, vm: usize, there: There<'_>, leavers_gone: bool) -> bool {
        if there.more == Some(vm) {
            return true;
        }
        if there.less == Some(vm) {
            return false;
        }
        let known = &self.of.known[vm];
        if known.request.is_some_and(|request| there.standing.host(request) == Some(there.host)) {
            return true;
        }
        known.present.contains(&there.host)
            && !(leavers_gone && known.leaves)
            && known.request.is_none_or(|request| self.context.home(request) != Some(there.host))
    }
}

/// What a host says of itself.
struct Attributes<'h>(&'h Host);

impl Facts for Attributes<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        self.0.attributes.values(name).any(visit)
    }

    fn runs(&self, _: VmId) -> bool {
        false
    }
}

struct HostFacts<'c> {
    rule: &'c Occupancy<'c>,
    there: There<'c>,
    myself: usize,
    leavers_gone: bool,
}

impl Facts for HostFacts<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool {
        Attributes(&self.rule.of.snapshot.hosts[self.there.host]).any_value(name, visit)
    }

    fn runs(&self, vm: VmId) -> bool {
        let index = self.rule.of.index.get(&vm).copied();
        index.is_some_and(|vm| vm != self.myself && self.rule.runs(vm, self.there, self.leavers_gone))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::policy::Policy;
    use crate::placement::ledger::Ledger;
    use crate::placement::ledger::unit::book;
    use crate::placement::testing::{ask, cloud, placing};

    /// Whether VM 1 may come to host 0 after VM 0, which has this rule.
    fn comes_after(rule: &str) -> bool {
        let mut asked = cloud(&[8, 8]);
        ask(&mut asked, 1, &[0, 1]);
        ask(&mut asked, 1, &[0, 1]);
        asked.vms[0].current_vms_rules = vec![rule.to_owned()];
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = Ledger::new(context, false);
            let seats = units[0].seats(&mut ledger, 0).expect("the first one comes");
            book(&mut ledger, seats);
            units[1].seats(&mut ledger, 0).is_ok()
        })
    }

    #[test]
    fn who_is_spoken_of_may_come_unless_that_breaks_the_rule() {
        for (rule, may) in [
            ("CURRENT_VMS != 1", false),
            ("CURRENT_VMS != 2", true),
            ("CURRENT_VMS != 1 | CURRENT_VMS != 2", true),
            ("CURRENT_VMS = 1 | CURRENT_VMS != 2", true),
            ("CURRENT_VMS != 1 & CURRENT_VMS != 2", false),
        ] {
            assert_eq!(comes_after(rule), may, "{rule}");
        }
    }

    use super::*;
    use crate::model::ids::HostId;
    use crate::model::snapshot::Section;
    use crate::placement::testing::{booked, run};

    /// What keeps VM 0, which has this rule, from host 0, when VMs 1 and 2 are booked there or not.
    fn refused(rule: &str, there: &[usize]) -> Option<String> {
        let mut asked = cloud(&[8, 8]);
        (0..3).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        asked.hosts[0].attributes.push(Section::Template, "ARCH", "x86");
        asked.hosts[0].vms.push(VmId(90));
        asked.vms[0].current_vms_rules = vec![rule.to_owned()];
        let at: Vec<(usize, usize)> = there.iter().map(|&unit| (unit, 0)).collect();
        placing(&asked, &Policy::default(), |context, units| {
            let ledger = booked(context, units, &at);
            ledger.seat(0, 0).err().map(|reason| reason.text())
        })
    }

    #[test]
    fn the_part_that_is_false_is_told() {
        for (rule, there, text) in [
            ("CURRENT_VMS = 1", &[1][..], ""),
            ("CURRENT_VMS = 1", &[2], "CURRENT_VMS = 1 is false there"),
            ("CURRENT_VMS = 1 & CURRENT_VMS = 2", &[1], "CURRENT_VMS = 2 is false there"),
            ("CURRENT_VMS = 1 & CURRENT_VMS = 2", &[], "CURRENT_VMS = 1 is false there"),
            ("CURRENT_VMS = 1 & CURRENT_VMS = 2", &[1, 2], ""),
            ("CURRENT_VMS = 1 | CURRENT_VMS = 2", &[2], ""),
            ("!(CURRENT_VMS = 1)", &[2], ""),
            ("CURRENT_VMS = 90", &[], ""),
            ("CURRENT_VMS = 91", &[], "CURRENT_VMS = 91 is false there"),
            ("CURRENT_VMS != 91 & ARCH = \"x86\"", &[], ""),
            ("CURRENT_VMS != 1 & ARCH = \"arm\"", &[], "ARCH = \"arm\" is false there"),
            ("CURRENT_VMS != 1 & ARCH != \"x86\"", &[1], "CURRENT_VMS != 1 is false there"),
            // it never meets itself
            ("CURRENT_VMS = 0", &[], "CURRENT_VMS = 0 is false there"),
            ("CURRENT_VMS != 0", &[], ""),
        ] {
            assert_eq!(refused(rule, there).unwrap_or_default(), text, "{rule} {there:?}");
        }
    }

    #[test]
    fn so_much_of_a_term_is_told_as_a_message_has_room_for() {
        let short = parse_requirement("CURRENT_VMS = 7").unwrap();
        assert_eq!(&*shortened(&short), "CURRENT_VMS = 7");
        let long = |letters: usize| parse_requirement(&format!("A = \"{}\"", "x".repeat(letters))).unwrap();
        let just = shortened(&long(TERM - 6));
        assert_eq!((just.chars().count(), just.ends_with('"')), (TERM, true), "{just}");
        let more = shortened(&long(TERM - 5));
        assert_eq!((more.chars().count(), more.ends_with("x...")), (TERM + 3, true), "{more}");
    }

    #[test]
    fn rules_of_an_owner_are_read_up_to_their_share() {
        let mut asked = cloud(&[8]);
        let rule = "CURRENT_VMS = 1";
        for owner in [1, 1, 2, 1] {
            let request = ask(&mut asked, 1, &[0]);
            asked.vms[request].identity.owner = Some(owner);
            asked.vms[request].current_vms_rules = vec![rule.to_owned()];
        }
        asked.vms[1].current_vms_rules.clear();
        let beyond = |bytes: usize| beyond(&asked, bytes).into_keys().map(|vm| vm.0).collect::<Vec<_>>();
        assert_eq!([2 * rule.len(), 2 * rule.len() - 1, rule.len() - 1].map(beyond), [vec![], vec![3], vec![0, 2, 3]]);
        let (current, unreadable) = CurrentVms::new(&asked, &HashMap::new(), Some(rule.len()));
        let text = "waits: requirements with CURRENT_VMS of its owner's VMs have more than 15 characters; it comes \
                    when those are placed";
        assert_eq!(unreadable, [(VmId(3), text.to_owned())].into());
        assert_eq!([0, 1, 2, 3].map(|request| current.concerns(request)), [true, false, true, false]);
        assert_eq!(current.wants(0), [1]);
        asked.vms[1].current_vms_rules.push("CURRENT_VMS =".to_owned());
        let (_, unreadable) = CurrentVms::new(&asked, &HashMap::new(), None);
        assert!(unreadable[&VmId(1)].starts_with("its requirements cannot be read: "), "{unreadable:?}");
    }

    #[test]
    fn who_is_to_leave_counts_as_there_and_as_gone() {
        for (rule, resched, may) in [
            ("CURRENT_VMS = 1", false, true),
            ("CURRENT_VMS = 1", true, false),
            ("CURRENT_VMS != 1", false, false),
            ("CURRENT_VMS != 1", true, false),
            ("CURRENT_VMS != 2", true, true),
        ] {
            let mut asked = cloud(&[8, 8]);
            ask(&mut asked, 1, &[0, 1]);
            let there = run(&mut asked, 1, 0, &[1]);
            asked.vms[0].current_vms_rules = vec![rule.to_owned()];
            asked.vms[there].resched = resched;
            if !resched {
                asked.candidates.pop();
            }
            let found =
                placing(&asked, &Policy::default(), |context, _| Ledger::new(context, false).seat(0, 0).is_ok());
            assert_eq!(found, may, "{rule} {resched}");
        }
    }

    #[test]
    fn only_those_are_alike_that_have_no_such_rules() {
        let mut asked = cloud(&[8]);
        (0..3).for_each(|_| {
            ask(&mut asked, 1, &[0]);
        });
        asked.vms[0].current_vms_rules = vec!["CURRENT_VMS != 1".to_owned()];
        placing(&asked, &Policy::default(), |context, _| {
            let ledger = Ledger::new(context, false);
            assert!(ledger.alike(1, 2) && !ledger.alike(0, 2) && !ledger.alike(2, 0));
        });
    }

    #[test]
    fn a_rule_that_is_broken_by_who_stays_or_comes_is_told_by_its_vm() {
        let mut asked = cloud(&[8, 8]);
        (0..2).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        asked.vms[0].current_vms_rules = vec!["CURRENT_VMS != 1".to_owned()];
        placing(&asked, &Policy::default(), |context, units| {
            let mut ledger = booked(context, units, &[(0, 0)]);
            assert_eq!(ledger.seat(1, 0).err(), Some(Reason::CurrentVmsOf(VmId(0))));
            assert!(ledger.seat(1, 1).is_ok() && ledger.consistent(0) && ledger.broken(0).is_none());
            // were it there all the same
            ledger.book(1, Seat::on(0));
            assert!(!ledger.consistent(0) && ledger.consistent(1));
            assert_eq!(ledger.broken(0), Some(Reason::CurrentVms("CURRENT_VMS != 1".into())));
            assert_eq!(ledger.broken(1), None);
        });
        assert_eq!(asked.hosts[0].id, HostId(0));
    }

    #[test]
    fn looks_at_rules_cost_their_steps_and_an_attribute_is_looked_at_once_for_each_host() {
        let mut asked = cloud(&[8, 8]);
        asked.hosts[0].attributes.push(Section::Template, "ARCH", "x86");
        (0..4).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        asked.vms[0].current_vms_rules = vec!["CURRENT_VMS != 1".to_owned()];
        asked.vms[2].current_vms_rules = vec!["CURRENT_VMS != 1 & ARCH = \"x86\"".to_owned()];
        placing(&asked, &Policy::default(), |context, units| {
            let ledger = booked(context, units, &[(0, 0)]);
            let cost = |request: usize, host: usize| {
                let before = context.work.done();
                let _ = ledger.seat(request, host);
                context.work.done() - before
            };
            let plain = cost(3, 1);
            // a term and the whole are two steps, of which half counts
            assert_eq!(cost(0, 1) - plain, 1 + 1);
            // two are spoken to, one of whom is there
            assert_eq!((cost(1, 1) - plain, cost(1, 0) - plain), (1 + 2, 1 + 2 + 2));
            // two terms and all of them, and an attribute the first time
            assert_eq!((cost(2, 0) - plain, cost(2, 0) - plain), (1 + 27, 1 + 2));
            // where it is false, which part is looked for, and put into words once
            assert_eq!((cost(2, 1) - plain, cost(2, 1) - plain), (1 + 27 + 1 + 6, 1 + 2 + 1));
        });
    }
}

//! SCHED_RANK and SCHED_DS_RANK: the user's explicit wish, higher is better.
//!
//! What a plan changes on a host (RUNNING_VMS, CPU_USAGE, FREE_MEMORY, ...) is
//! counted as the plan grows; otherwise `-RUNNING_VMS` would stack a whole batch on
//! the host that was emptiest before it.

use crate::model::expression::{Rank, numeric, parse_rank, reckoned, whole};
use crate::model::ids::{DatastoreId, NicId, VmId, listed};
use crate::model::policy::Policy;
use crate::model::snapshot::{Attributes, Datastore, Host, Notice, Snapshot, Subject, Vnet};
use crate::model::units::{Cpu, Memory};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// What the plan has brought to a host so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brought {
    /// VMs; below zero where more have left than came.
    pub vms: i64,
    /// Their CPU.
    pub cpu: Cpu,
    /// Their memory.
    pub memory: Memory,
}

/// All ranks of a request, each distinct text once, ready to be worked out.
#[derive(Default)]
pub struct Ranks {
    known: HashMap<String, usize>,
    compiled: Vec<Compiled>,
    /// By request: its host rank.
    of_request: Vec<Option<usize>>,
    /// Attributes that ranks speak of and hosts have.
    columns: Vec<Column>,
    column_of: HashMap<String, usize>,
    /// By rank and id: what was worked out already.
    of_datastores: RefCell<HashMap<(usize, DatastoreId), f64>>,
    /// By rank: its values on all networks, by index; each worked out when it is first asked for.
    of_vnets: RefCell<HashMap<usize, Rc<[f64]>>>,
    /// By request: ranks of its NICs, by the NIC's number.
    of_nics: Vec<Vec<(NicId, usize)>>,
    /// Ranks that were looked at for divisions by zero, with what there is to say.
    divided: HashMap<usize, Option<String>>,
    /// Those that are a number on no host.
    nowhere: BTreeSet<usize>,
}

/// At most this many distinct ranks are looked at for divisions by zero.
const DIVIDED: usize = 64;

/// Ranks of one owner that differ are read up to so many bytes in a request, where there are other owners.
const OWNERS_RANKS: usize = 16_000;

/// What is wrong with a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Unreadable,
    DividesByZero,
    BeyondShare,
}

/// What is wrong with ranks: each cause once, whatever the ranks are, with the VMs that it concerns.
#[derive(Default)]
struct Causes(BTreeMap<(Cause, String), Vec<Fault>>);

/// A rank that is odd.
struct Fault {
    vm: VmId,
    rank: String,
    what: String,
}

impl Causes {
    fn add(&mut self, cause: Cause, name: &str, fault: Fault) {
        self.0.entry((cause, name.to_owned())).or_default().push(fault);
    }

    fn notices(self) -> impl Iterator<Item = Notice> {
        self.0.into_iter().filter_map(|((cause, name), faults)| {
            let Fault { vm, rank, what } = faults.first()?;
            let mut vms: Vec<VmId> = faults.iter().map(|fault| fault.vm).collect();
            vms.dedup();
            if let [vm] = vms[..] {
                let of_hosts = cause == Cause::DividesByZero;
                let subject = if of_hosts { Subject::VmAndHosts(vm) } else { Subject::Vm(vm) };
                return Some(Notice { subject, text: format!("{name} {what}") });
            }
            let same = faults.iter().all(|fault| fault.rank == *rank);
            let short: String = rank.chars().take(40).collect();
            let text = match same {
                true => format!("{} ask for {short:?}: {name} {what}", listed(&vms)),
                false => format!("{} have odd ranks; that of VM {vm}, {short:?}: {name} {what}", listed(&vms)),
            };
            Some(Notice { subject: Subject::Request, text })
        })
    }
}

/// What hosts state of one attribute, as a number.
struct Column {
    name: String,
    /// By host; `None` where it is not stated.
    values: Vec<Option<f64>>,
}

/// A rank in the order in which it is worked out.
struct Compiled {
    rank: Rank,
    steps: Vec<Step>,
}

#[derive(Clone, Copy)]
enum Step {
    Number(f64),
    Column(usize),
    Negate,
    Binary(char),
}

impl Ranks {
    /// Parses the ranks of all schedulable VMs; what cannot be read is reported and
    /// left out. With `sched_rank` off there are none.
    pub fn new(snapshot: &Snapshot, policy: &Policy, notices: &mut Vec<Notice>) -> Self {
        let mut ranks = Self::default();
        let mut causes = Causes::default();
        let bytes = if snapshot.has_several_owners() { OWNERS_RANKS } else { usize::MAX };
        let mut read_of: HashMap<Option<i32>, usize> = HashMap::new();
        for candidates in &snapshot.candidates {
            let vm = &snapshot.vms[candidates.vm];
            let mut read = |name: &str, text: &str, of_host: bool| {
                if !policy.sched_rank || text.is_empty() {
                    return None;
                }
                let sum = read_of.entry(vm.identity.owner).or_default();
                if !ranks.known.contains_key(text) {
                    if *sum + text.len() > bytes {
                        let what =
                            format!("is ignored: its owner's ranks that differ have more than {bytes} characters");
                        causes.add(Cause::BeyondShare, name, Fault { vm: vm.id, rank: text.to_owned(), what });
                        return None;
                    }
                    *sum += text.len();
                }
                if let Err(error) = ranks.learn(text) {
                    let what = format!("cannot be read ({error}); it is ignored");
                    causes.add(Cause::Unreadable, name, Fault { vm: vm.id, rank: text.to_owned(), what });
                }
                let rank = ranks.known.get(text).copied();
                if let Some(rank) = rank.filter(|_| of_host) {
                    ranks.compile(rank, &snapshot.hosts);
                    if let Some(what) = ranks.by_zero(rank, snapshot.hosts.len()) {
                        causes.add(Cause::DividesByZero, name, Fault { vm: vm.id, rank: text.to_owned(), what });
                    }
                }
                rank
            };
            let host = read("SCHED_RANK", &vm.rank, true);
            read("SCHED_DS_RANK", &vm.datastore_rank, false);
            let mut nics = Vec::new();
            for nic in &vm.auto_nics {
                nics.extend(read("the SCHED_RANK of a NIC", &nic.rank, false).map(|rank| (nic.id, rank)));
            }
            ranks.of_request.push(host);
            ranks.of_nics.push(nics);
        }
        notices.extend(causes.notices());
        ranks
    }

    /// What to say of a host rank that divides by zero; of the first few that divide.
    fn by_zero(&mut self, rank: usize, hosts: usize) -> Option<String> {
        if let Some(known) = self.divided.get(&rank) {
            return known.clone();
        }
        let divides = self.compiled[rank].steps.iter().any(|step| matches!(step, Step::Binary('/')));
        let constant = matches!(self.compiled[rank].steps[..], [Step::Number(value)] if !value.is_finite());
        if !(divides || constant) || self.divided.len() >= DIVIDED {
            return None;
        }
        let lost = (0..hosts).filter(|&host| self.of_host(rank, host, Brought::default()) == whole(f64::NAN)).count();
        if lost == hosts {
            self.nowhere.insert(rank);
        }
        let told = (lost > 0).then(|| match lost == hosts {
            true => "divides by zero on every host: it decides nothing".to_owned(),
            false => format!("divides by zero on {lost} of {hosts} hosts: these come last"),
        });
        self.divided.insert(rank, told.clone());
        told
    }

    /// Whether a request has a host rank that is a number on some host, and not the same everywhere by its text.
    pub fn decides(&self, request: usize) -> bool {
        let nothing =
            |rank: usize| self.nowhere.contains(&rank) || matches!(self.compiled[rank].steps[..], [Step::Number(_)]);
        self.of_request[request].is_some_and(|rank| !nothing(rank))
    }

    /// No ranks: a running VM is not moved for its SCHED_RANK.
    pub fn none(snapshot: &Snapshot) -> Self {
        Self { of_request: vec![None; snapshot.candidates.len()], ..Self::default() }
    }

    fn learn(&mut self, text: &str) -> Result<(), crate::model::expression::ExpressionError> {
        if !self.known.contains_key(text) {
            let rank = parse_rank(text)?;
            self.known.insert(text.to_owned(), self.compiled.len());
            self.compiled.push(Compiled { rank, steps: Vec::new() });
        }
        Ok(())
    }

    /// Readies a rank for hosts: each attribute is looked up once for all of them, and what is
    /// the same everywhere is worked out now.
    fn compile(&mut self, rank: usize, hosts: &[Host]) {
        if self.compiled[rank].steps.is_empty() {
            let mut steps = Vec::new();
            let parsed = std::mem::replace(&mut self.compiled[rank].rank, Rank::Number(0.0));
            self.lower(&parsed, hosts, &mut steps);
            self.compiled[rank] = Compiled { rank: parsed, steps };
        }
    }

    fn lower(&mut self, rank: &Rank, hosts: &[Host], steps: &mut Vec<Step>) {
        match rank {
            Rank::Number(number) => steps.push(Step::Number(*number)),
            Rank::Attribute(name) => steps.push(Step::Column(self.column(name, hosts))),
            Rank::Negate(inner) => {
                self.lower(inner, hosts, steps);
                match steps.last_mut() {
                    Some(Step::Number(number)) => *number = -*number,
                    _ => steps.push(Step::Negate),
                }
            }
            Rank::Binary(a, op, b) => {
                self.lower(a, hosts, steps);
                let second = steps.len();
                self.lower(b, hosts, steps);
                match steps[second - 1..] {
                    [Step::Number(a), Step::Number(b)] => {
                        steps.truncate(second - 1);
                        steps.push(Step::Number(reckoned(a, *op, b)));
                    }
                    _ => steps.push(Step::Binary(*op)),
                }
            }
        }
    }

    fn column(&mut self, name: &str, hosts: &[Host]) -> usize {
        if let Some(&known) = self.column_of.get(name) {
            return known;
        }
        let values: Vec<Option<f64>> = hosts.iter().map(|host| first(&host.attributes, name)).collect();
        // names that no host knows are all alike
        let nowhere = values.iter().all(Option::is_none);
        let name = if nowhere { "" } else { name };
        if let Some(&known) = self.column_of.get(name) {
            return known;
        }
        self.columns.push(Column { name: name.to_owned(), values });
        self.column_of.insert(name.to_owned(), self.columns.len() - 1);
        self.columns.len() - 1
    }

    /// The number of a request's host rank, if it has one.
    pub fn of_request(&self, request: usize) -> Option<usize> {
        self.of_request[request]
    }

    /// Steps of work that one value of a rank takes.
    pub fn cost(&self, rank: usize) -> usize {
        1 + self.compiled[rank].steps.len() / 4
    }

    /// The value of rank number `rank` on the host with an index.
    pub fn of_host(&self, rank: usize, host: usize, brought: Brought) -> f64 {
        let mut open: Vec<f64> = Vec::with_capacity(8);
        for step in &self.compiled[rank].steps {
            let value = match *step {
                Step::Number(number) => number,
                Step::Column(column) => {
                    let Column { name, values } = &self.columns[column];
                    values[host].map_or(0.0, |stated| stated + change(name, brought))
                }
                Step::Negate => -open.pop().unwrap_or_default(),
                Step::Binary(op) => {
                    let (b, a) = (open.pop().unwrap_or_default(), open.pop().unwrap_or_default());
                    reckoned(a, op, b)
                }
            };
            open.push(value);
        }
        whole(open.pop().unwrap_or_default())
    }

    /// The value of a text on a datastore; 0 for no or an unreadable text.
    pub fn of_datastore(&self, text: &str, datastore: &Datastore) -> f64 {
        let Some(&rank) = self.known.get(text) else { return 0.0 };
        let mut known = self.of_datastores.borrow_mut();
        *known.entry((rank, datastore.id)).or_insert_with(|| self.of_attributes(rank, &datastore.attributes))
    }

    /// The number of the rank of a request's NIC, if it has one that can be read.
    pub fn of_nic(&self, request: usize, nic: NicId) -> Option<usize> {
        self.of_nics.get(request)?.iter().find(|(id, _)| *id == nic).map(|(_, rank)| *rank)
    }

    /// The values of rank number `rank` on all networks, by index.
    pub fn of_vnets(&self, rank: usize, vnets: &[Vnet]) -> Rc<[f64]> {
        let mut known = self.of_vnets.borrow_mut();
        let all = || vnets.iter().map(|vnet| self.of_attributes(rank, &vnet.attributes)).collect();
        known.entry(rank).or_insert_with(all).clone()
    }

    fn of_attributes(&self, rank: usize, attributes: &Attributes) -> f64 {
        self.compiled[rank].rank.value(&|name| first(attributes, name))
    }
}

fn first(attributes: &Attributes, name: &str) -> Option<f64> {
    attributes.values(name).next().map(numeric)
}

fn change(name: &str, brought: Brought) -> f64 {
    match name {
        "RUNNING_VMS" => brought.vms as f64,
        "CPU_USAGE" | "USED_CPU" => brought.cpu.0 as f64,
        "FREE_CPU" => -(brought.cpu.0 as f64),
        "MEM_USAGE" | "USED_MEMORY" => brought.memory.0 as f64,
        "FREE_MEMORY" => -(brought.memory.0 as f64),
        _ => 0.0,
    }
}

/// Rank values per host, so that each is computed once until its host changes.
#[derive(Clone, Default)]
pub struct RankCache {
    values: HashMap<usize, Vec<f64>>,
}

/// More distinct ranks than this are not kept at a time.
const KEPT: usize = 64;

impl RankCache {
    /// The cached value, or that of `compute`.
    pub fn get(&mut self, rank: usize, host: usize, hosts: usize, compute: impl FnOnce() -> f64) -> f64 {
        if self.values.len() >= KEPT && !self.values.contains_key(&rank) {
            self.values.clear();
        }
        let values = self.values.entry(rank).or_insert_with(|| vec![f64::NAN; hosts]);
        if values[host].is_nan() {
            values[host] = compute();
        }
        values[host]
    }

    /// Forgets what was known of a host.
    pub fn host_changed(&mut self, host: usize) {
        for values in self.values.values_mut() {
            values[host] = f64::NAN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Section;
    use crate::placement::testing::host;

    #[test]
    fn a_compiled_rank_has_the_value_of_the_text() {
        let mut snapshot = Snapshot { hosts: vec![host(1), host(2)], ..Snapshot::default() };
        snapshot.hosts[0].attributes.push(Section::Template, "FAST", "3 of 4");
        snapshot.hosts[1].attributes.push(Section::Template, "FREE_CPU", "700.5");
        let brought = Brought { vms: 2, cpu: Cpu(150), memory: Memory(7) };
        let policy = Policy::default();
        for text in [
            "1",
            "-FAST * 2 + 3 * (FREE_CPU - 1)",
            "1 / 0",
            "FAST / FAST",
            "NOWHERE + NOTHING + 1 - 2 * -3",
            "-(-(FREE_CPU)) / 7 - - 2",
            "10 - 2 - 3 - FAST - 1",
            "2 * 3 - 4 / (1 + 1) * FAST",
        ] {
            let mut ranks = Ranks::new(&snapshot, &policy, &mut Vec::new());
            ranks.learn(text).expect(text);
            ranks.compile(0, &snapshot.hosts);
            for (index, host) in snapshot.hosts.iter().enumerate() {
                let stated = |name: &str| Some(first(&host.attributes, name)? + change(name, brought));
                let right = parse_rank(text).expect(text).value(&stated);
                let found = ranks.of_host(0, index, brought);
                assert!((found - right).abs() < 1e-9 || found == right, "{text} on host {index}: {found} and {right}");
            }
        }
    }

    #[test]
    fn one_cause_is_told_once_for_each_vm() {
        let fault = |vm: i32, rank: &str| Fault { vm: VmId(vm), rank: rank.to_owned(), what: "is odd".to_owned() };
        let told = |faults: Vec<Fault>, cause: Cause| {
            let mut causes = Causes::default();
            faults.into_iter().for_each(|fault| causes.add(cause, "SCHED_RANK", fault));
            causes.notices().map(|notice| format!("{}: {}", notice.subject, notice.text)).collect::<Vec<_>>()
        };
        let twice = || vec![fault(7, "X"), fault(7, "X")];
        assert_eq!(told(twice(), Cause::BeyondShare), ["VM 7: SCHED_RANK is odd"]);
        let same = told(vec![fault(7, "X"), fault(8, "X"), fault(8, "X")], Cause::BeyondShare);
        assert!(same.len() == 1 && same[0].contains("ask for \"X\": SCHED_RANK is odd"), "{same:?}");
        let odd = told(vec![fault(7, "X"), fault(8, "Y")], Cause::BeyondShare);
        assert!(odd[0].contains("have odd ranks; that of VM 7, \"X\""), "{odd:?}");
        assert_eq!(told(Vec::new(), Cause::BeyondShare), [""; 0]);
    }

    #[test]
    fn a_rank_counts_where_there_is_one_and_ranks_are_asked_for() {
        let mut asked = crate::placement::testing::cloud(&[8]);
        for rank in ["FREE_CPU", ""] {
            let request = crate::placement::testing::ask(&mut asked, 1, &[0]);
            asked.vms[request].rank = rank.to_owned();
        }
        for (sched_rank, expected) in [(true, [true, false]), (false, [false, false])] {
            let mut notices = Vec::new();
            let ranks = Ranks::new(&asked, &Policy { sched_rank, ..Policy::default() }, &mut notices);
            assert_eq!([0, 1].map(|request| ranks.of_request(request).is_some()), expected, "{sched_rank}");
            assert!(notices.is_empty(), "{notices:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_rank_is_told_with_what_becomes_of_it() {
        let mut asked = crate::placement::testing::cloud(&[8, 4]);
        asked.hosts[0].attributes.push(Section::Template, "SPEED", "2");
        let request = crate::placement::testing::ask(&mut asked, 1, &[0, 1]);
        let told = |rank: &str, datastore_rank: &str, nic_rank: &str| {
            let mut asked = asked.clone();
            let vm = &mut asked.vms[request];
            (vm.rank, vm.datastore_rank) = (rank.to_owned(), datastore_rank.to_owned());
            let nic = crate::model::snapshot::AutoNic { id: NicId(3), rank: nic_rank.to_owned(), assigned: false };
            vm.auto_nics.push(nic);
            let mut notices = Vec::new();
            let ranks = Ranks::new(&asked, &Policy::default(), &mut notices);
            let text =
                notices.iter().map(|one| format!("{}: {}", one.subject, one.text)).collect::<Vec<_>>().join("\n");
            (text, ranks.decides(request), ranks.of_nic(request, NicId(3)).is_some())
        };
        let vm = Subject::VmAndHosts(VmId(0)).to_string();
        let everywhere = format!("{vm}: SCHED_RANK divides by zero on every host: it decides nothing");
        for (rank, text, decides) in [
            ("", String::new(), false),
            ("SPEED", String::new(), true),
            ("7", String::new(), false),
            ("2 * 3 - 1", String::new(), false),
            ("1 / SPEED", format!("{vm}: SCHED_RANK divides by zero on 1 of 2 hosts: these come last"), true),
            ("1 / NOWHERE", everywhere.clone(), false),
            ("1 / 0", everywhere, false),
        ] {
            assert_eq!(told(rank, "", ""), (text, decides, false), "{rank}");
        }
        for (found, name) in [
            (told("(", "", ""), "SCHED_RANK"),
            (told("", "(", ""), "SCHED_DS_RANK"),
            (told("", "", "("), "the SCHED_RANK of a NIC"),
        ] {
            assert!(found.0.starts_with(&format!("VM 0: {name} cannot be read (")), "{found:?}");
            assert!(found.0.ends_with("); it is ignored") && !found.1 && !found.2, "{found:?}");
        }
        assert_eq!(told("", "1 / NOWHERE", "SPEED"), (String::new(), false, true));
    }

    #[test]
    fn an_owners_ranks_that_differ_are_read_up_to_their_share() {
        let mut asked = crate::placement::testing::cloud(&[8]);
        let long = |letter: &str, length: usize| letter.repeat(length);
        for (owner, rank) in [
            (1, long("A", 9_000)),
            (1, long("B", 7_000)),
            (1, long("A", 9_000)),
            (1, "C".to_owned()),
            (2, "D".to_owned()),
        ] {
            let request = crate::placement::testing::ask(&mut asked, 1, &[0]);
            (asked.vms[request].rank, asked.vms[request].identity.owner) = (rank, Some(owner));
        }
        let read = |asked: &Snapshot| {
            let mut notices = Vec::new();
            let ranks = Ranks::new(asked, &Policy::default(), &mut notices);
            let read: Vec<bool> = (0..5).map(|request| ranks.of_request(request).is_some()).collect();
            (read, notices.into_iter().map(|one| one.text).collect::<Vec<_>>())
        };
        let text = "SCHED_RANK is ignored: its owner's ranks that differ have more than 16000 characters";
        assert_eq!(read(&asked), (vec![true, true, true, false, true], vec![text.to_owned()]));
        asked.vms.iter_mut().for_each(|vm| vm.identity.owner = Some(1));
        assert_eq!(read(&asked), (vec![true; 5], vec![]), "one owner takes nothing from others");
    }

    #[test]
    fn what_the_plan_brings_changes_what_hosts_state() {
        let brought = Brought { vms: 2, cpu: Cpu(150), memory: Memory(7) };
        let names =
            ["RUNNING_VMS", "CPU_USAGE", "USED_CPU", "FREE_CPU", "MEM_USAGE", "USED_MEMORY", "FREE_MEMORY", "NAME"];
        assert_eq!(names.map(|name| change(name, brought)), [2.0, 150.0, 150.0, -150.0, 7.0, 7.0, -7.0, 0.0]);
    }

    #[test]
    fn a_value_is_worked_out_once_until_its_host_changes() {
        let mut cache = RankCache::default();
        assert_eq!(
            [cache.get(1, 0, 2, || 5.0), cache.get(1, 0, 2, || 6.0), cache.get(1, 1, 2, || 7.0)],
            [5.0, 5.0, 7.0]
        );
        cache.host_changed(0);
        assert_eq!([cache.get(1, 0, 2, || 8.0), cache.get(1, 1, 2, || 9.0)], [8.0, 7.0]);
        // as many ranks as are kept; with one more all begin anew
        (2..=KEPT).for_each(|rank| {
            cache.get(rank, 0, 2, || 1.0);
        });
        assert_eq!(cache.get(1, 0, 2, || 9.0), 8.0);
        cache.get(KEPT + 1, 0, 2, || 1.0);
        assert_eq!(cache.get(1, 0, 2, || 9.0), 9.0);
    }

    #[test]
    fn datastores_and_networks_are_ranked_by_what_they_state() {
        use crate::model::snapshot::AutoNic;
        use crate::placement::testing::{ask, cloud, datastore, vnet};
        let mut asked = cloud(&[8]);
        asked.datastores = vec![datastore(3, 1), datastore(4, 1)];
        asked.vnets = vec![vnet(5, 1), vnet(6, 1), vnet(7, 1)];
        for (index, value) in ["5", "7"].into_iter().enumerate() {
            asked.datastores[index].attributes.push(Section::Template, "WEIGHT", value);
            asked.vnets[index + 1].attributes.push(Section::Template, "WEIGHT", value);
        }
        let request = ask(&mut asked, 1, &[0]);
        ask(&mut asked, 1, &[0]);
        asked.vms[request].datastore_rank = "2 * WEIGHT".to_owned();
        let nic = |id: i32, rank: &str| AutoNic { id: NicId(id), rank: rank.to_owned(), assigned: false };
        asked.vms[request].auto_nics = vec![nic(0, ""), nic(2, "-WEIGHT")];
        let ranks = Ranks::new(&asked, &Policy::default(), &mut Vec::new());
        let of = |text: &str| [0, 1].map(|index: usize| ranks.of_datastore(text, &asked.datastores[index]));
        // once more, as it is known then
        assert_eq!([of("2 * WEIGHT"), of("2 * WEIGHT")], [[10.0, 14.0]; 2]);
        assert_eq!((of(""), of("(")), ([0.0; 2], [0.0; 2]));
        assert_eq!([0, 1, 2].map(|nic| ranks.of_nic(request, NicId(nic)).is_some()), [false, false, true]);
        assert_eq!((ranks.of_nic(1, NicId(2)), ranks.of_nic(9, NicId(2))), (None, None));
        let rank = ranks.of_nic(request, NicId(2)).unwrap();
        assert_eq!(ranks.of_vnets(rank, &asked.vnets)[..], [0.0, -5.0, -7.0]);
        assert_eq!(ranks.of_vnets(rank, &[])[..], [0.0, -5.0, -7.0], "what is known is not worked out again");
    }
}

//! The sentence as code: request -> snapshot -> demands -> planned. Every front end
//! takes this one path.

use crate::demand::observed;
use crate::model::brief::Brief;
use crate::model::demand::Demands;
use crate::model::explanation::Explanation;
use crate::model::history::{Attempts, Notes, Placement, Recall, Trouble};
use crate::model::ids::{HostId, VmId};
use crate::model::policy::Policy;
use crate::model::report::{FailingHost, Planned, Refusal, Report, SpareRoom};
use crate::model::snapshot::{Candidates, Host, Notice, Snapshot, Subject, Vm};
use crate::opennebula::envelope::{self, EnvelopeError};
use crate::opennebula::request::{self, RequestError};
use crate::opennebula::stream::{self, Stream};
use crate::placement::PlanningInput;
use crate::placement::check::{self, Breach};
use crate::placement::deploy::retry::Retries;
use crate::placement::explain;
use crate::placement::plan;
use crate::placement::score::green;
use crate::placement::spare;
use sets::Sets;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Read;
use thiserror::Error;

mod clusters;
mod failures;
mod judged;
pub mod length;
mod maintenance;
mod patience;
pub mod rehearsal;
mod room;
mod sets;
mod troubles;
pub mod underway;

pub use crate::placement::Stop;
pub use crate::placement::deploy::retry::FORGOTTEN;
pub use clusters::{NoCluster, Optimized, advise, cluster, drain, drain_in_waves, optimize, optimize_until};
pub use judged::Judged;

/// Why there is no decision.
#[derive(Debug, Error)]
pub enum Unusable {
    /// Not a document.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not a request.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A decision with all that it rests on.
#[derive(Debug)]
pub struct Decided {
    /// What the request said.
    pub snapshot: Snapshot,
    /// Plan and report. The plan breaks no rule.
    pub planned: Planned,
    /// What VMs were expected to use, and hosts do.
    pub demands: Demands,
    /// Which VMs have failed to start before.
    pub retries: Retries,
    /// Actions that were dropped because the independent check found fault: bugs.
    pub dropped: Vec<Breach>,
    /// Hosts on which VMs of the request failed to start themselves.
    pub tried: BTreeMap<VmId, BTreeSet<HostId>>,
    /// Where VMs are under way by earlier answers that the next request may not know yet either.
    pub under_way: Vec<(VmId, HostId, i64)>,
    /// What the next request has to know; `None` where it does already.
    pub notes: Option<Notes>,
}

impl Decided {
    /// Works out what green changed, for the report. It takes a second plan, so nobody who waits
    /// for this one should wait for it.
    pub fn compare_green(&mut self, policy: &Policy) {
        let Self { snapshot, planned, demands, retries, .. } = self;
        if planned.plan.actions.is_empty() || !green::matters(snapshot, policy) {
            return;
        }
        let indifferent = Policy { s_green: 0.0, ..policy.clone() };
        let ignoring = plan(&PlanningInput { retries, ..PlanningInput::new(snapshot, demands) }, &indifferent);
        planned.report.green = Some(green::effect(snapshot, demands, policy, &planned.plan, &ignoring.plan));
    }

    /// Where VMs are sent by this answer, given at `moment` (milliseconds since 1970), and still by earlier ones.
    #[must_use]
    pub fn placements(&self, moment: i64) -> Vec<Placement> {
        let sent =
            self.planned.plan.actions.iter().map(|action| Placement { vm: action.vm, host: action.host, at: moment });
        sent.chain(underway::anew(&self.under_way, moment)).collect()
    }

    /// What to remember of the VMs that the plan deploys, for when one of them comes back.
    #[must_use]
    pub fn attempts(&self, now: i64) -> Vec<(VmId, Attempts)> {
        self.retries.after(&self.snapshot, &self.planned.plan, now)
    }

    /// Whether a VM comes after the others because it has failed to start.
    #[must_use]
    pub fn is_late(&self, vm: VmId) -> bool {
        let of = |request: &Candidates| self.snapshot.vms[request.vm].id == vm;
        self.snapshot.candidates.iter().position(of).is_some_and(|request| self.retries.is_late(request))
    }

    /// Takes the decision about one VM apart; `None` for one that was not to be placed.
    #[must_use]
    pub fn explain(&self, vm: VmId, policy: &Policy) -> Option<Explanation> {
        let input = PlanningInput { retries: &self.retries, ..PlanningInput::new(&self.snapshot, &self.demands) };
        let mut explained = explain::explain(&input, policy, &self.planned, vm)?;
        let itself = self.tried.get(&vm);
        for verdict in &mut explained.hosts {
            if itself.is_some_and(|tried| tried.contains(&verdict.host)) {
                verdict.failed = "it failed to start here; others go first".to_owned();
            } else if let Some(one) = self.planned.report.failing.iter().find(|one| one.host == verdict.host)
                && one.until.is_some()
            {
                verdict.failed = one.text();
            }
        }
        Some(explained)
    }
}

/// Reads a request as oned sends it.
///
/// # Errors
/// When the bytes are no scheduler request; never because of what is odd inside one.
pub fn read(bytes: Vec<u8>) -> Result<Snapshot, Unusable> {
    let document = envelope::open(bytes)?;
    Ok(told_if(document.repaired, request::read(&document.xml)?))
}

/// Reads a recorded request piece by piece; one that unpacks to more than `most` bytes is none.
///
/// # Errors
/// As [`read`], and when its source fails.
pub fn read_recorded(source: impl Read, most: u64) -> Result<Snapshot, Unusable> {
    let Stream { xml, repaired } = stream::open(source, most)?;
    let snapshot = request::read_stream(xml)?;
    Ok(told_if(repaired.get(), snapshot))
}

fn told_if(repaired: bool, mut snapshot: Snapshot) -> Snapshot {
    if repaired {
        let text = "holds bytes that are not UTF-8; they are read as \u{fffd}".to_owned();
        snapshot.notices.insert(0, Notice { subject: Subject::Request, text });
    }
    snapshot
}

/// Reads a request and decides it without history.
///
/// # Errors
/// As [`read`].
pub fn place(bytes: Vec<u8>, policy: &Policy) -> Result<Decided, Unusable> {
    Ok(place_snapshot(read(bytes)?, &Recall::default(), policy))
}

/// The VMs whose history matters for a request: those to be placed, their groups, and
/// all that run on its hosts; sorted, each once.
#[must_use]
pub fn concerned(snapshot: &Snapshot) -> Vec<VmId> {
    let pool = snapshot.vms.iter().map(|vm| vm.id);
    let mut vms: Vec<VmId> = pool.chain(snapshot.hosts.iter().flat_map(|host| host.vms.iter().copied())).collect();
    vms.sort_unstable();
    vms.dedup();
    vms
}

/// Decides a snapshot with what history tells.
#[must_use]
pub fn place_snapshot(snapshot: Snapshot, recall: &Recall, policy: &Policy) -> Decided {
    place_until(snapshot, recall, policy, Stop::default())
}

/// As [`place_snapshot`], ended early with the best plan so far when `stop` says so.
#[must_use]
pub fn place_until(mut snapshot: Snapshot, recall: &Recall, policy: &Policy, stop: Stop<'_>) -> Decided {
    snapshot.carbon.clone_from(&recall.carbon);
    let under_way = underway::under_way(&snapshot, recall, &policy.executor);
    let troubles = troubles::troubles(&snapshot, recall, &under_way, policy);
    let moving = underway::moving(&snapshot, recall);
    let mut later = underway::settle(&mut snapshot, &under_way);
    later.extend(underway::make_room(&mut snapshot, &moving));
    let demands = observed::demands(&snapshot, recall, policy.monitoring_max_age);
    let retries = Retries::new(&snapshot, recall, policy);
    let plan_it = |snapshot: &Snapshot| {
        plan(&PlanningInput { stop, retries: &retries, ..PlanningInput::new(snapshot, &demands) }, policy)
    };
    let mut shunned = failures::shun(&mut snapshot, recall, policy);
    let mut planned = plan_it(&snapshot);
    let waiting: HashSet<VmId> = planned.report.refusals.iter().map(|refusal| refusal.vm).collect();
    if shunned.give_back(&mut snapshot, &waiting) {
        planned = plan_it(&snapshot);
    }
    rehearsal::spoil(&mut planned.plan);
    let (legal, dropped) = check::without_breaches(&snapshot, std::mem::take(&mut planned.plan), policy);
    let sets = Sets::new(&snapshot);
    later.extend(withdraw(&mut planned.report, &under_way.doubtful, &sets));
    later.sort();
    // judged by the hosts that it was planned with
    shunned.give_all_back(&mut snapshot);
    planned.plan = legal;
    let sent: HashMap<VmId, HostId> = planned.plan.actions.iter().map(|action| (action.vm, action.host)).collect();
    let at = |vm| sent.get(&vm).and_then(|host| snapshot.host_index(*host));
    if let Some((room, notices)) = spare::told(&snapshot, policy, &[], at) {
        planned.report.spare = Some(room);
        planned.report.notices.extend(notices);
    }
    tell_dropped(&mut planned.report, &dropped);
    planned.report.notices.extend(troubles.notices);
    planned.report.later = later;
    planned.report.failing = std::mem::take(&mut shunned.failing);
    length::cut(&mut planned, under_way.pace, &policy.executor, &|vm| sets.of(vm));
    let notes = Some(Notes { troubles: troubles.all, moving, ..recall.notes }).filter(|notes| *notes != recall.notes);
    let (tried, under_way) = (shunned.own, under_way.unshown);
    Decided { snapshot, planned, demands, retries, dropped, tried, under_way, notes }
}

/// The hosts on which VMs failed to start lately, by id: what the next placement will go by. Those that wait tell
/// it, the others are remembered.
#[must_use]
pub fn failing_hosts(waiting: &[Vm], remembered: &[Trouble], now: i64, policy: &Policy) -> Vec<FailingHost> {
    failures::failing(&failures::evidence(waiting.iter(), remembered, now, policy))
}

/// Room for a failure by the hosts alone: each of their VMs counts as the mean of its host. `None` where the policy
/// asks for none.
#[must_use]
pub fn spare_of_hosts(mut hosts: Vec<Host>, policy: &Policy) -> Option<SpareRoom> {
    hosts.sort_by_key(|host| host.id);
    hosts.dedup_by_key(|host| host.id);
    let snapshot = Snapshot { hosts, ..Snapshot::default() };
    spare::told(&snapshot, policy, &[], |_| None).map(|(room, _)| room)
}

/// A VM that an earlier answer may still start is told no error: it may run by the time that oned reads it. One that is
/// held back because it failed to start is: that answer was carried out.
fn withdraw(report: &mut Report, doubtful: &BTreeSet<VmId>, sets: &Sets) -> Vec<(VmId, String)> {
    let paused: HashSet<usize> =
        report.refusals.iter().filter(|one| one.brief == Brief::Paused).filter_map(|one| sets.of(one.vm)).collect();
    let is_known =
        |one: &Refusal| one.brief == Brief::Paused || sets.of(one.vm).is_some_and(|set| paused.contains(&set));
    let (withdrawn, refusals): (Vec<Refusal>, Vec<Refusal>) = std::mem::take(&mut report.refusals)
        .into_iter()
        .partition(|refusal| doubtful.contains(&refusal.vm) && !is_known(refusal));
    report.refusals = refusals;
    let told = |one: Refusal| (one.vm, format!("waits: an earlier answer may still start it; now it {}", one.text));
    withdrawn.into_iter().map(told).collect()
}

/// A VM whose action was dropped waits like any other, and is told so.
fn tell_dropped(report: &mut Report, dropped: &[Breach]) {
    for breach in dropped {
        let placed = report.decisions.len();
        report.decisions.retain(|decision| decision.vm != breach.vm);
        if report.decisions.len() < placed {
            let text = format!("was not placed: the plan broke a rule ({breach}); please report this");
            report.refusals.push(Refusal { vm: breach.vm, text, lack: None, brief: Brief::Fault, set: false });
        }
    }
    report.refusals.sort_by_key(|refusal| refusal.vm);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::demand::Source;
    use crate::model::ids::DatastoreId;
    use crate::model::report::Decision;

    #[test]
    fn who_may_still_be_started_is_told_no_error_unless_it_has_failed() {
        use crate::placement::testing::{ask, bind, cloud};
        let mut asked = cloud(&[8]);
        for _ in 0..6 {
            ask(&mut asked, 1, &[0]);
        }
        bind(&mut asked, &[4, 5]);
        let waits = |vm: i32, brief: Brief| Refusal {
            vm: VmId(vm),
            text: "needs 2 cores".to_owned(),
            lack: None,
            brief,
            set: false,
        };
        let full = Brief::Full(crate::model::report::Lack::Cpu);
        let refusals = vec![
            waits(1, full),
            waits(2, full),
            waits(3, Brief::Paused),
            waits(4, Brief::Paused),
            waits(5, Brief::Set),
        ];
        let mut report = Report { refusals, ..Report::default() };
        let doubtful = BTreeSet::from([2, 3, 4, 5, 9].map(VmId));
        let told = withdraw(&mut report, &doubtful, &Sets::new(&asked));
        let text = "waits: an earlier answer may still start it; now it needs 2 cores";
        assert_eq!(told, [(VmId(2), text.to_owned())]);
        assert_eq!(report.refusals.iter().map(|one| one.vm.0).collect::<Vec<_>>(), [1, 3, 4, 5]);
    }

    #[test]
    fn a_full_host_is_no_error_for_whom_a_long_plan_may_still_start() {
        let mut asked = cloud(&[1]);
        ask(&mut asked, 2, &[0]);
        // three on one host, of which VMs 8 and 9 no longer wait; the time of three rounds is over
        let placement = |vm: i32| Placement { vm: VmId(vm), host: HostId(0), at: 9_800_000 };
        let recall = |placements| Recall { now: 10_000, moment: 10_000_000, placements, ..Recall::default() };
        let told = |placed: &[i32]| {
            let recall = recall(placed.iter().map(|vm| placement(*vm)).collect());
            let report = place_snapshot(asked.clone(), &recall, &Policy::default()).planned.report;
            (report.refusals.len(), report.later.into_iter().map(|(vm, text)| (vm.0, text)).collect::<Vec<_>>())
        };
        let text =
            "waits: an earlier answer may still start it; now it needs 2 cores; its only candidate, host 0, has 1";
        assert_eq!(told(&[0, 8, 9]), (0, vec![(0, text.to_owned())]));
        assert_eq!(told(&[8, 9]), (1, vec![]));
    }

    #[test]
    fn who_is_dropped_waits_with_the_others_in_order() {
        let decision = |vm: i32| Decision {
            vm: VmId(vm),
            host: HostId(1),
            datastore: DatastoreId(0),
            score_before: 0.0,
            score_after: 0.0,
            demand: Source::Request,
            class: None,
            cpu_deviation: 0.0,
            why: String::new(),
        };
        let waits =
            |vm: i32| Refusal { vm: VmId(vm), text: "waits".to_owned(), lack: None, brief: Brief::Fault, set: false };
        let mut report = Report {
            decisions: vec![decision(4), decision(2), decision(9)],
            refusals: vec![waits(3), waits(7)],
            ..Report::default()
        };
        let breach = |vm: i32| Breach { vm: VmId(vm), rule: "memory", text: "too much".to_owned() };
        // VM 5 has no decision, and one VM may break two rules
        tell_dropped(&mut report, &[breach(4), breach(5), breach(2), breach(2)]);
        assert_eq!(report.decisions.iter().map(|one| one.vm.0).collect::<Vec<_>>(), [9]);
        assert_eq!(report.refusals.iter().map(|one| one.vm.0).collect::<Vec<_>>(), [2, 3, 4, 7]);
        assert!(report.refusals[0].text.contains("broke a rule (memory: too much)"), "{:?}", report.refusals[0]);
    }

    use crate::model::policy::Spare;
    use crate::model::snapshot::LastRun;
    use crate::model::units::{Cpu, Memory};
    use crate::placement::testing::{ask, cloud};

    /// Two hosts of eight cores, of different greenness, and two VMs of two cores.
    fn asked() -> Snapshot {
        use crate::model::snapshot::Section;
        let mut asked = cloud(&[8, 8]);
        for (host, share) in asked.hosts.iter_mut().zip(["0.1", "0.9"]) {
            host.attributes.push(Section::Template, "ENERGY_RENEWABLE", share);
        }
        (0..2).for_each(|_| {
            ask(&mut asked, 2, &[0, 1]);
        });
        asked
    }

    #[test]
    fn what_is_sent_now_and_what_was_sent_before_is_remembered() {
        let mut decided = place_snapshot(asked(), &Recall::default(), &Policy::default());
        let sent: Vec<(i32, i32)> =
            decided.planned.plan.actions.iter().map(|action| (action.vm.0, action.host.0)).collect();
        assert_eq!(sent.len(), 2);
        decided.under_way = vec![(VmId(8), HostId(1), 4), (VmId(9), HostId(0), 5)];
        let found: Vec<(i32, i32, i64)> =
            decided.placements(5_000).into_iter().map(|one| (one.vm.0, one.host.0, one.at)).collect();
        let mut expected: Vec<(i32, i32, i64)> = sent.into_iter().map(|(vm, host)| (vm, host, 5_000)).collect();
        expected.extend([(8, 1, 4_998), (9, 0, 4_999)]);
        assert_eq!(found, expected);
    }

    #[test]
    fn who_has_failed_before_comes_late_and_its_attempts_go_on() {
        let mut asked = asked();
        asked.vms[1].last_run = Some(LastRun { sequence: 3, began: 1, ended: 2 });
        let known = Attempts { failed: 9, at: 100, sequence: 3, error: String::new() };
        let recall = Recall { attempts: [(VmId(1), known)].into(), now: 200, ..Recall::default() };
        let decided = place_snapshot(asked, &recall, &Policy::default());
        assert_eq!([0, 1, 7].map(|vm| decided.is_late(VmId(vm))), [false, true, false]);
        let mut attempts = decided.attempts(300);
        attempts.sort_by_key(|(vm, _)| *vm);
        let of = |failed: u32, sequence: i64| Attempts { failed, at: 300, sequence, error: String::new() };
        assert_eq!(attempts, [(VmId(0), of(0, -1)), (VmId(1), of(9, 3))]);
    }

    #[test]
    fn why_others_go_first_on_a_host_is_told_for_each_vm() {
        let mut decided = place_snapshot(asked(), &Recall::default(), &Policy::default());
        let failing = |host: i32, until: Option<i64>| FailingHost { host: HostId(host), vms: 3, since: 60, until };
        decided.tried = [(VmId(0), [HostId(1)].into())].into();
        let told = |decided: &Decided, vm: i32| {
            let explained = decided.explain(VmId(vm), &Policy::default())?;
            Some(explained.hosts.into_iter().map(|verdict| verdict.failed).collect::<Vec<_>>())
        };
        let itself = "it failed to start here; others go first".to_owned();
        assert_eq!(told(&decided, 0), Some(vec![String::new(), itself.clone()]));
        assert_eq!(told(&decided, 1), Some(vec![String::new(); 2]));
        assert_eq!(told(&decided, 7), None);
        decided.planned.report.failing = vec![failing(0, Some(600)), failing(1, Some(600))];
        let text = failing(0, Some(600)).text();
        assert_eq!(told(&decided, 0), Some(vec![text.clone(), itself]));
        assert_eq!(told(&decided, 1), Some(vec![text.clone(), text.clone()]));
        decided.planned.report.failing = vec![failing(0, None), failing(1, Some(600))];
        assert_eq!(told(&decided, 1), Some(vec![String::new(), text]), "others may go there");
    }

    #[test]
    fn what_green_changed_is_told_where_hosts_differ_and_somebody_is_placed() {
        let compared = |asked: Snapshot, policy: &Policy| {
            let mut decided = place_snapshot(asked, &Recall::default(), policy);
            decided.compare_green(policy);
            decided.planned.report.green.map(|effect| effect.moved)
        };
        let green = Policy { s_green: 1.0, ..Policy::default() };
        assert!(compared(asked(), &green).is_some());
        assert_eq!(compared(asked(), &Policy { s_green: 0.0, ..Policy::default() }), None);
        let mut alike = asked();
        alike.hosts[0].attributes = alike.hosts[1].attributes.clone();
        assert_eq!(compared(alike, &green), None);
        let mut nobody = asked();
        nobody.candidates.clear();
        assert_eq!(compared(nobody, &green), None);
    }

    #[test]
    fn history_matters_of_all_that_wait_and_all_that_run_on_the_hosts() {
        let mut asked = asked();
        asked.hosts[0].vms = vec![VmId(1), VmId(40)];
        asked.hosts[1].vms = vec![VmId(40), VmId(30)];
        assert_eq!(concerned(&asked), [0, 1, 30, 40].map(VmId));
    }

    #[test]
    fn room_for_a_failure_is_told_by_the_hosts_alone_and_with_the_plan() {
        let policy = Policy { spare: Spare::Host, ..Policy::default() };
        let mut hosts = cloud(&[8, 8, 8]).hosts;
        (hosts[2].cpu_allocated, hosts[2].vms) = (Cpu(800), vec![VmId(1), VmId(2)]);
        (hosts[0].cpu_allocated, hosts[0].vms) = (Cpu(600), vec![VmId(3)]);
        hosts.reverse();
        hosts.push(hosts[0].clone());
        let room = spare_of_hosts(hosts.clone(), &policy).unwrap();
        // two of four cores each: one finds a place on host 1 alone, both do
        assert_eq!((room.failures, room.lacking.len()), (3, 0));
        hosts[1].cpu = Cpu(500);
        let room = spare_of_hosts(hosts.clone(), &policy).unwrap();
        assert_eq!(room.lacking.iter().map(|one| (one.hosts[0].0, one.vms)).collect::<Vec<_>>(), [(0, 1), (2, 1)]);
        assert_eq!(spare_of_hosts(hosts, &Policy::default()), None);
        // a plan takes room as well
        let mut asked = asked();
        asked.hosts.iter_mut().for_each(|host| host.cpu = Cpu(300));
        let planned = place_snapshot(asked.clone(), &Recall::default(), &policy).planned;
        assert_eq!(planned.plan.actions.len(), 2);
        assert_eq!(planned.report.spare.map(|room| room.lacking.len()), Some(2));
        assert_eq!(planned.report.notices.iter().filter(|one| one.text.starts_with("N+1: 1 of 1 VMs")).count(), 2);
        assert_eq!(place_snapshot(asked, &Recall::default(), &Policy::default()).planned.report.spare, None);
    }

    #[test]
    fn what_was_no_text_is_told_before_all_else() {
        let mut asked = asked();
        asked.hosts[0].memory = Memory(1);
        asked.notices = vec![Notice { subject: Subject::Request, text: "first".to_owned() }];
        let texts = |repaired: bool| {
            told_if(repaired, asked.clone()).notices.into_iter().map(|one| one.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(false), ["first"]);
        assert_eq!(texts(true), ["holds bytes that are not UTF-8; they are read as \u{fffd}", "first"]);
    }

    /// A VM of so many cores that was on host 0 for ten seconds, a minute ago.
    fn failed(asked: &mut Snapshot, cores: i64, hosts: &[u32]) {
        use crate::model::snapshot::Stay;
        let request = ask(asked, cores, hosts);
        asked.vms[request].stays = vec![Stay { host: HostId(0), began: 930, ended: 940 }];
    }

    fn sent(decided: &Decided) -> Vec<(i32, i32)> {
        let mut sent: Vec<(i32, i32)> =
            decided.planned.plan.actions.iter().map(|action| (action.vm.0, action.host.0)).collect();
        sent.sort_unstable();
        sent
    }

    #[test]
    fn where_starts_fail_nobody_goes_who_has_another_host_and_it_is_told_once() {
        use crate::model::history::TroubleKind;
        let mut asked = cloud(&[8, 8]);
        asked.taken_at = 1_000;
        (0..2).for_each(|_| failed(&mut asked, 1, &[0, 1]));
        ask(&mut asked, 1, &[0]);
        ask(&mut asked, 1, &[0, 1]);
        let recall = Recall { now: 1_000, carbon: [("DE".to_owned(), 300.0)].into(), ..Recall::default() };
        let decided = place_snapshot(asked.clone(), &recall, &Policy::default());
        assert_eq!(sent(&decided), [(0, 1), (1, 1), (2, 0), (3, 1)]);
        assert_eq!(decided.snapshot.candidates, asked.candidates, "what oned offers is as before");
        assert_eq!(decided.snapshot.carbon, recall.carbon);
        let report = &decided.planned.report;
        assert_eq!(report.failing.iter().map(|one| (one.host.0, one.vms)).collect::<Vec<_>>(), [(0, 2)]);
        assert_eq!(decided.tried, [0, 1].map(|vm| (VmId(vm), [HostId(0)].into())).into());
        let said = |decided: &Decided| {
            let notices = decided.planned.report.notices.iter();
            notices.filter(|one| one.subject == Subject::Host(HostId(0))).count()
        };
        assert_eq!(said(&decided), 1);
        // the next request knows it
        let notes = decided.notes.clone().expect("there is something to know");
        let known: Vec<_> = notes.troubles.iter().map(|one| (one.kind, one.host, one.vm, one.at)).collect();
        let one = |vm: i32| (TroubleKind::Failed, Some(HostId(0)), Some(VmId(vm)), 940);
        assert_eq!(known, [one(0), one(1)]);
        let again = place_snapshot(asked.clone(), &Recall { notes, ..recall }, &Policy::default());
        assert_eq!((again.notes.clone(), said(&again), sent(&again)), (None, 0, sent(&decided)));
        // without a memory nothing is to be known, and it is the same decision
        let without = place_snapshot(asked, &Recall::default(), &Policy::default());
        assert_eq!((without.notes.clone(), sent(&without)), (None, sent(&decided)));
    }

    #[test]
    fn who_would_wait_goes_where_starts_fail() {
        let mut asked = cloud(&[8, 2]);
        asked.taken_at = 1_000;
        (0..2).for_each(|_| failed(&mut asked, 1, &[0, 1]));
        ask(&mut asked, 8, &[0, 1]);
        let decided = place_snapshot(asked.clone(), &Recall::default(), &Policy::default());
        assert_eq!((sent(&decided), decided.planned.report.refusals.len()), (vec![(0, 1), (1, 1), (2, 0)], 0));
        assert_eq!(decided.snapshot.candidates, asked.candidates);
    }

    #[test]
    fn what_is_troubled_and_what_comes_later_is_in_the_report() {
        use crate::model::history::Placement;
        use crate::model::snapshot::HostMonitoring;
        let mut asked = cloud(&[8, 8]);
        let sample = |timestamp| Some(HostMonitoring { timestamp, cpu_used: Cpu(0), memory_used: Memory(0) });
        (asked.hosts[0].monitoring, asked.hosts[1].monitoring) = (sample(100_000), sample(1));
        asked.taken_at = 100_000;
        (0..3).for_each(|_| {
            ask(&mut asked, 1, &[0, 1]);
        });
        // the answer before may not be known to this request yet
        let placement = |vm: i32| Placement { vm: VmId(vm), host: HostId(1), at: 99_999_900 };
        let placements = vec![placement(2), placement(0)];
        let recall = Recall { now: 100_000, moment: 100_000_000, placements, ..Recall::default() };
        let decided = place_snapshot(asked, &recall, &Policy::default());
        assert_eq!(sent(&decided).iter().map(|(vm, _)| *vm).collect::<Vec<_>>(), [1]);
        let told: Vec<(i32, &str)> =
            decided.planned.report.later.iter().map(|(vm, text)| (vm.0, text.as_str())).collect();
        let text = "is on its way to host 1 by an answer that this request does not know yet";
        assert_eq!(told, [(0, text), (2, text)]);
        assert_eq!(decided.under_way.iter().map(|(vm, ..)| vm.0).collect::<Vec<_>>(), [2, 0]);
        let notices = &decided.planned.report.notices;
        assert_eq!(notices.iter().filter(|one| one.text.starts_with("has had no sample since")).count(), 1);
    }
}

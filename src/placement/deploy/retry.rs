//! VMs that we placed and that did not start: each further attempt has to wait longer, so that
//! such a VM does not take, time and again, the room that others need.
//!
//! **Which VMs come back.** A deployment that fails on the host leaves its VM ACTIVE
//! (PROLOG_FAILURE, BOOT_FAILURE), where no scheduler sees it, until somebody, mostly a hook, runs
//! `onevm recover --recreate`: it is PENDING again then, with one more HISTORY record. A
//! deployment that oned refuses (room or lease gone meanwhile) makes no record: the VM stays
//! PENDING, and its USER_TEMPLATE/ERROR is a new one. These two count, and nothing else does: that a VM
//! is pending after we placed it means little, because requests queue with old content, plans
//! that arrive while another one is applied are dropped, and actions wait for busy hosts.
//!
//! **Who is forgiven.** A VM that was stopped or undeployed has run. One that came back later
//! than the longest pause would have let it go holds up nobody.

use crate::model::history::{Attempts, Recall};
use crate::model::ids::VmId;
use crate::model::moment::utc;
use crate::model::plan::{Operation, Plan};
use crate::model::policy::{Policy, Retry};
use crate::model::snapshot::{Snapshot, Vm, VmState};
use std::collections::BTreeMap;

/// Seconds after which an attempt no longer matters; more than any pause.
pub const FORGOTTEN: i64 = 2 * 86_400;

/// So much of an error is noted, in characters: it begins with its moment.
const NOTED: usize = 200;

/// VMs of a request that have failed to start, by request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retries(BTreeMap<usize, Standing>);

/// None at all.
pub static NO_RETRIES: Retries = Retries(BTreeMap::new());

/// How a VM stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    failed: u32,
    /// It has used up the attempts that cost nothing.
    late: bool,
    /// Why it is held back, if it is.
    held: Option<String>,
}

impl Retries {
    /// How the pending VMs of a request stand at `recall.now`. O(requests).
    #[must_use]
    pub fn new(snapshot: &Snapshot, recall: &Recall, policy: &Policy) -> Self {
        let standing = |(request, vm): (usize, &Vm)| {
            let known = recall.attempts.get(&vm.id)?;
            let (failed, until) = judged(vm, known, recall.now, &policy.retry)?;
            let late = policy.retry.after > 0 && failed >= policy.retry.after;
            Some((request, Standing { failed, late, held: until.map(|until| told(vm, failed, until)) }))
        };
        let vms = snapshot.candidates.iter().map(|candidates| &snapshot.vms[candidates.vm]);
        Self(vms.enumerate().filter(|(_, vm)| vm.state == VmState::Pending).filter_map(standing).collect())
    }

    /// Why a request is held back, if it is.
    #[must_use]
    pub fn held(&self, request: usize) -> Option<&str> {
        self.0.get(&request)?.held.as_deref()
    }

    /// Whether a request comes after those that have not failed so often.
    #[must_use]
    pub fn is_late(&self, request: usize) -> bool {
        self.0.get(&request).is_some_and(|standing| standing.late)
    }

    /// How many are held back.
    #[must_use]
    pub fn count_held(&self) -> usize {
        self.0.values().filter(|standing| standing.held.is_some()).count()
    }

    /// What to remember of the deployments of a plan, made `now`.
    #[must_use]
    pub fn after(&self, snapshot: &Snapshot, plan: &Plan, now: i64) -> Vec<(VmId, Attempts)> {
        let requests: BTreeMap<VmId, usize> =
            snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect();
        let deployed = plan.actions.iter().filter(|action| action.operation == Operation::Deploy);
        let attempts = |vm: VmId| {
            let (request, of) = (requests.get(&vm)?, snapshot.vm(vm)?);
            let failed = self.0.get(request).map_or(0, |standing| standing.failed);
            Some((vm, Attempts { failed, at: now, sequence: sequence(of), error: noted(&of.error) }))
        };
        deployed.filter_map(|action| attempts(action.vm)).collect()
    }
}

/// Attempts that have failed, and the moment until which the VM is held back; `None` when
/// there is nothing to say.
fn judged(vm: &Vm, known: &Attempts, now: i64, retry: &Retry) -> Option<(u32, Option<i64>)> {
    if now.saturating_sub(known.at) > FORGOTTEN {
        return None;
    }
    let since = match vm.last_run.filter(|run| run.sequence > known.sequence) {
        Some(_) if vm.resume => return None,
        Some(run) => {
            let stay = run.ended.saturating_sub(run.began);
            if run.began > 0 && stay > i64::from(retry.longest) {
                return None;
            }
            known.at.max(run.ended)
        }
        None if !vm.error.is_empty() && noted(&vm.error) != known.error => known.at,
        // nothing has happened to it since
        None => return (known.failed > 0).then_some((known.failed, None)),
    };
    let failed = known.failed.saturating_add(1);
    let until = since.saturating_add(pause(failed, retry));
    // a moment ahead of now comes from a clock that was wrong
    Some((failed, (since <= now && now < until).then_some(until)))
}

/// Seconds to wait after so many failed attempts: doubled with each one.
fn pause(failed: u32, retry: &Retry) -> i64 {
    if retry.after == 0 || failed < retry.after {
        return 0;
    }
    let doubled = 2_i64.checked_pow(failed - retry.after).unwrap_or(i64::MAX);
    i64::from(retry.pause).saturating_mul(doubled).min(i64::from(retry.longest))
}

fn told(vm: &Vm, failed: u32, until: i64) -> String {
    let host = vm.host.map(|host| format!(", last on host {host}")).unwrap_or_default();
    let times = if failed == 1 { "time" } else { "times" };
    format!("did not start {failed} {times}{host}; others go first, it is tried again after {}", utc(until))
}

fn sequence(vm: &Vm) -> i64 {
    vm.last_run.map_or(-1, |run| run.sequence)
}

fn noted(error: &str) -> String {
    error.chars().filter(|c| !c.is_control()).take(NOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::LastRun;
    use crate::model::units::{Cpu, Memory};

    const RETRY: Retry = Retry { after: 3, pause: 100, longest: 1000 };

    /// A VM with its last record and error.
    fn vm(run: Option<(i64, i64, i64)>, error: &str) -> Vm {
        let last_run = run.map(|(sequence, began, ended)| LastRun { sequence, began, ended });
        Vm { last_run, error: error.to_owned(), ..Vm::plain(VmId(7), Cpu(100), Memory(1)) }
    }

    fn known(failed: u32) -> Attempts {
        Attempts { failed, at: 5000, sequence: 2, error: "old".to_owned() }
    }

    #[test]
    fn only_evidence_counts_and_pauses_grow() {
        let came_back = || vm(Some((3, 5010, 5060)), "old");
        for (what, vm, known, now, expected) in [
            ("nothing has happened", vm(Some((2, 10, 20)), "old"), known(0), 5100, None),
            ("nothing has happened since the third", vm(Some((2, 10, 20)), "old"), known(3), 5001, Some((3, None))),
            ("never deployed, nothing said", vm(None, ""), known(0), 9000, None),
            ("a first failure is free", came_back(), known(0), 5070, Some((1, None))),
            ("the third is not", came_back(), known(2), 5070, Some((3, Some(5160)))),
            ("its pause is over", came_back(), known(2), 5160, Some((3, None))),
            ("the next pause is twice as long", came_back(), known(3), 5070, Some((4, Some(5260)))),
            ("pauses are bounded", came_back(), known(30), 5070, Some((31, Some(6060)))),
            ("so are numbers", came_back(), known(u32::MAX), 5070, Some((u32::MAX, Some(6060)))),
            ("a refusal counts from the placement", vm(None, "new"), known(2), 5001, Some((3, Some(5100)))),
            ("an error that is gone is none", vm(Some((2, 10, 20)), ""), known(2), 5001, Some((2, None))),
            ("a record still open", vm(Some((3, 5010, 0)), "old"), known(2), 5070, Some((3, Some(5100)))),
            ("it stayed for long", vm(Some((3, 5010, 6011)), "old"), known(2), 6012, None),
            ("a day and more ago", came_back(), known(2), 5000 + FORGOTTEN + 1, None),
            ("a clock that was ahead", came_back(), known(2), 4000, Some((3, None))),
        ] {
            assert_eq!(judged(&vm, &known, now, &RETRY), expected, "{what}");
        }
        let stopped = Vm { resume: true, ..came_back() };
        assert_eq!(judged(&stopped, &known(5), 5070, &RETRY), None, "stopped by its user");
    }

    #[test]
    fn pauses_may_be_off() {
        let came_back = vm(Some((3, 5010, 5060)), "old");
        for retry in [Retry { after: 0, ..RETRY }, Retry { pause: 0, ..RETRY }] {
            assert_eq!(judged(&came_back, &known(8), 5070, &retry), Some((9, None)));
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let far = vm(Some((i64::MAX, i64::MIN, i64::MAX)), "x");
        let old = Attempts { failed: u32::MAX, at: i64::MIN, sequence: i64::MIN, error: String::new() };
        for now in [i64::MIN, 0, i64::MAX] {
            let _ = judged(&far, &old, now, &RETRY);
            let _ = judged(&far, &Attempts { at: i64::MAX, ..old.clone() }, now, &RETRY);
        }
    }

    #[test]
    fn what_is_remembered_of_a_deployment_tells_its_attempts_and_how_it_was() {
        use crate::model::ids::{DatastoreId, HostId};
        use crate::model::plan::Action;
        let mut asked = crate::placement::testing::cloud(&[8]);
        for _ in 0..3 {
            crate::placement::testing::ask(&mut asked, 1, &[0]);
        }
        asked.vms[0] = Vm { id: VmId(0), ..vm(Some((3, 5010, 5060)), "new\u{7} error") };
        asked.vms[0].host = Some(HostId(4));
        asked.vms[2].state = VmState::Active;
        let recall =
            Recall { attempts: [0, 1, 2].map(|vm| (VmId(vm), known(2))).into(), now: 5070, ..Recall::default() };
        let retries = Retries::new(&asked, &recall, &Policy { retry: RETRY, ..Policy::default() });
        let why =
            "did not start 3 times, last on host 4; others go first, it is tried again after 1970-01-01T01:26:00Z";
        assert_eq!([0, 1, 2].map(|request| retries.held(request)), [Some(why), None, None]);
        assert_eq!([0, 1, 2].map(|request| retries.is_late(request)), [true, false, false]);
        assert_eq!(retries.count_held(), 1);
        let action = |vm: i32, operation| Action {
            vm: VmId(vm),
            operation,
            host: HostId(0),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        };
        let actions = vec![
            action(1, Operation::Deploy),
            action(0, Operation::Deploy),
            action(2, Operation::Migrate),
            action(9, Operation::Deploy),
        ];
        let found = retries.after(&asked, &Plan { actions }, 6000);
        let attempts = |failed, sequence, error: &str| Attempts { failed, at: 6000, sequence, error: error.to_owned() };
        assert_eq!(found, [(VmId(1), attempts(2, -1, "")), (VmId(0), attempts(3, 3, "new error"))]);
    }

    #[test]
    fn pauses_double_and_are_bounded() {
        let paused = |failed: u32| pause(failed, &RETRY);
        assert_eq!([0, 2, 3, 4, 5, 6, 7].map(paused), [0, 0, 100, 200, 400, 800, 1000]);
        assert_eq!([65, 66, 67, u32::MAX].map(paused), [1000; 4]);
        assert_eq!(pause(3, &Retry { pause: 1, longest: u32::MAX, after: 3 }), 1);
        let once = told(&vm(None, ""), 1, 0);
        assert_eq!(once, "did not start 1 time; others go first, it is tried again after 1970-01-01T00:00:00Z");
        assert_eq!(noted(&"x".repeat(300)).len(), NOTED);
    }
}

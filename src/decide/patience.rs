//! Migrations that were planned and did not happen: oned refuses some time and again, and each takes the
//! place of another in every plan.
//!
//! A migration makes a HISTORY record when it begins. A VM without a new one since we planned its migration
//! was not migrated. After the second time it pauses, each further time twice as long. Only where oned
//! carries plans out by itself: elsewhere a plan waits for somebody, and its age means nothing.

use crate::model::cluster::Cluster;
use crate::model::history::{Attempts, Recall};
use crate::model::ids::VmId;
use crate::model::moment::utc;
use crate::model::plan::Plan;
use crate::model::snapshot::{Snapshot, Vm};
use std::collections::BTreeMap;

/// Times that cost nothing.
const FREE: u32 = 2;

/// Seconds of the first pause, and of the longest.
const PAUSE: i64 = 3600;
const LONGEST: i64 = 86_400;

/// A plan is carried out after this many seconds; before that, nothing is known of its migrations.
const SOON: i64 = 60;

/// Who pauses, with the reason; these are kept where they are.
pub fn pause(snapshot: &mut Snapshot, cluster: &Cluster, recall: &Recall) -> BTreeMap<VmId, String> {
    let mut paused = BTreeMap::new();
    if !cluster.drs.full || recall.now == 0 {
        return paused;
    }
    for vm in snapshot.candidates.iter().map(|candidates| candidates.vm) {
        let vm = &mut snapshot.vms[vm];
        let Some(failed) = not_migrated(vm, recall).filter(|failed| *failed >= FREE) else { continue };
        let at = recall.attempts.get(&vm.id).map_or(0, |known| known.at);
        let doubled = 2_i64.checked_pow(failed - FREE).unwrap_or(i64::MAX);
        let until = at.saturating_add(PAUSE.saturating_mul(doubled).min(LONGEST));
        if (at..until).contains(&recall.now) && !vm.blocked {
            vm.blocked = true;
            let text = format!(
                "its migration was planned {failed} times and did not happen; tried again after {}",
                utc(until)
            );
            paused.insert(vm.id, text);
        }
    }
    paused
}

/// How often in a row its migration did not happen; `None` when there is nothing to say.
fn not_migrated(vm: &Vm, recall: &Recall) -> Option<u32> {
    let known = recall.attempts.get(&vm.id)?;
    let run = vm.last_run?;
    let same = run.sequence == known.sequence && recall.now.saturating_sub(known.at) >= SOON;
    same.then(|| known.failed.saturating_add(1))
}

/// What to remember of the migrations of a plan.
pub fn after(snapshot: &Snapshot, plan: &Plan, recall: &Recall) -> Vec<(VmId, Attempts)> {
    let attempts = |vm: VmId| {
        let of = snapshot.vm(vm)?;
        let sequence = of.last_run?.sequence;
        let failed = not_migrated(of, recall).unwrap_or(0);
        Some((vm, Attempts { failed, at: recall.now, sequence, error: String::new() }))
    };
    plan.actions.iter().filter_map(|action| attempts(action.vm)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::OneDrs;
    use crate::model::ids::{DatastoreId, HostId};
    use crate::model::plan::{Action, Operation};
    use crate::model::snapshot::{Candidates, LastRun, VmState};
    use crate::model::units::{Cpu, Memory};
    use std::sync::Arc;

    fn snapshot(sequence: i64) -> Snapshot {
        let last_run = Some(LastRun { sequence, began: 1, ended: 0 });
        let vm = Vm { last_run, state: VmState::Active, ..Vm::plain(VmId(7), Cpu(1), Memory(1)) };
        let none: Arc<[u32]> = Arc::new([]);
        let candidates = vec![Candidates { vm: 0, hosts: none.clone(), datastores: none, nics: Vec::new() }];
        Snapshot { vms: vec![vm], candidates, ..Snapshot::default() }
    }

    #[test]
    fn what_does_not_happen_twice_pauses_and_is_tried_again() {
        let full = Cluster { drs: OneDrs { full: true, ..OneDrs::default() }, ..Cluster::default() };
        let action = Action {
            vm: VmId(7),
            operation: Operation::Migrate,
            host: HostId(2),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        };
        let plan = Plan { actions: vec![action] };
        let mut recall = Recall::default();
        let mut planned = Vec::new();
        for round in 1..=40_i64 {
            recall.now = 1_000_000 + 600 * round;
            let mut snapshot = snapshot(3);
            if pause(&mut snapshot, &full, &recall).is_empty() {
                planned.push(round);
                recall.attempts.extend(after(&snapshot, &plan, &recall));
            } else {
                assert!(snapshot.vms[0].blocked);
            }
        }
        // twice for nothing, then after an hour, two, four
        assert_eq!(planned, [1, 2, 8, 20]);
        assert!(pause(&mut snapshot(4), &full, &recall).is_empty(), "it has migrated since");
        assert!(pause(&mut snapshot(3), &Cluster::default(), &recall).is_empty(), "nobody carries plans out");
    }

    #[test]
    fn a_migration_has_not_happened_where_a_minute_later_nothing_has_changed() {
        let known = |failed: u32| Attempts { failed, at: 1_000, sequence: 3, error: String::new() };
        let asked = |failed: u32, now: i64, sequence: i64| {
            let recall = Recall { attempts: [(VmId(7), known(failed))].into(), now, ..Recall::default() };
            not_migrated(&snapshot(sequence).vms[0], &recall)
        };
        assert_eq!([asked(0, 1_059, 3), asked(0, 1_060, 3), asked(4, 1_060, 3)], [None, Some(1), Some(5)]);
        assert_eq!([asked(0, 1_060, 4), asked(u32::MAX, 1_060, 3)], [None, Some(u32::MAX)]);
        let full = Cluster { drs: OneDrs { full: true, ..OneDrs::default() }, ..Cluster::default() };
        let text = |failed: u32, now: i64, blocked: bool| {
            let mut asked = snapshot(3);
            asked.vms[0].blocked = blocked;
            let recall = Recall { attempts: [(VmId(7), known(failed))].into(), now, ..Recall::default() };
            let found = pause(&mut asked, &full, &recall);
            assert_eq!(asked.vms[0].blocked, blocked || !found.is_empty());
            found.get(&VmId(7)).cloned().unwrap_or_default()
        };
        let told = |times: u32, until: i64| {
            format!("its migration was planned {times} times and did not happen; tried again after {}", utc(until))
        };
        assert_eq!(text(1, 1_060, false), told(2, 1_000 + 3_600));
        assert_eq!(text(3, 1_060, false), told(4, 1_000 + 4 * 3_600));
        assert_eq!(text(90, 1_060, false), told(91, 1_000 + 86_400));
        assert_eq!(text(1, 4_599, false), told(2, 4_600));
        // it is over; it has just begun; it stays for a reason of its own; there is no clock
        assert_eq!(
            [text(1, 4_600, false), text(0, 1_060, false), text(1, 1_060, true), text(1, 0, false)],
            [const { String::new() }; 4]
        );
    }
}

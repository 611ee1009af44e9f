//! From a finished draft to plan and report: actions in execution order, the score of
//! each host along the way, and how the hosts stand before and after.

use super::draft::{Draft, PlanningInput};
use super::greedy::Preference;
use super::order::interleave;
use crate::model::plan::{Action, Operation};
use crate::model::policy::Policy;
use crate::model::report::{Decision, HostReport, Planned, Report};
use crate::model::snapshot::{Notice, Snapshot, Vm};
use crate::placement::ledger::unit::Unit;
use crate::placement::rules::context::Context;
use crate::placement::rules::storage;
use crate::placement::score::bound::lower_bound;
use crate::placement::score::cost::Costs;
use crate::placement::score::green;
use crate::placement::score::load::Load;
use crate::placement::score::space::Space;
use crate::placement::search::Piece;
use std::collections::HashMap;

/// What tipped the choice for every request.
pub fn whys(context: &Context<'_>, units: &[Unit], moved: &[(usize, usize)], preference: Preference) -> Vec<String> {
    let mut whys = vec![String::new(); context.snapshot.candidates.len()];
    for (index, unit) in units.iter().enumerate() {
        let made_room = moved.iter().rev().find(|(victim, _)| *victim == index).map(|(_, for_unit)| *for_unit);
        for &member in &unit.members {
            whys[member] = why(context, units, unit, member, made_room, preference);
        }
    }
    whys
}

fn why(
    context: &Context<'_>,
    units: &[Unit],
    unit: &Unit,
    member: usize,
    made_room: Option<usize>,
    preference: Preference,
) -> String {
    let count = unit.hosts.len();
    let mut text = if count == 1 {
        "the only candidate host".to_owned()
    } else if context.ranks.decides(unit.members[0]) {
        format!("best SCHED_RANK of {count} hosts")
    } else if unit.members.iter().any(|&member| context.groups.domains.is_wished(member)) {
        format!("best by its wishes, then least interference, of {count} hosts")
    } else if preference == Preference::Chance {
        format!("by chance among {count} hosts")
    } else if preference == Preference::Pack {
        format!("packed, to place more VMs, among {count} hosts")
    } else {
        format!("least interference of {count} hosts")
    };
    if let Some(other) = unit.members.iter().find(|&&other| other != member) {
        text = format!("{text}, affined with VM {}", context.vm(*other).id);
    }
    if let Some(other) = made_room {
        text = format!("{text}, making room for VM {}", context.vm(units[other].members[0]).id);
    }
    text
}

/// Puts plan and report together.
pub fn planned(
    input: &PlanningInput<'_>,
    space: &Space,
    policy: &Policy,
    draft: &Draft,
    notices: Vec<Notice>,
) -> Planned {
    let snapshot = input.snapshot;
    let request_of: HashMap<_, _> =
        snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect();
    let by_host = draft.order.iter().map(|guests| {
        let guests = slow_ones_last(snapshot, guests);
        guests.into_iter().filter_map(|request| action(snapshot, draft, request)).collect()
    });
    let plan = interleave(by_host.collect());
    let before = Load::with_costs(space, Costs::from(input.costs, snapshot, policy));
    let mut load = before.clone();
    let mut decisions = Vec::with_capacity(plan.actions.len());
    let mut totals = vec![[0.0; 2]; snapshot.hosts.len()];
    for action in &plan.actions {
        let (Some(&request), Some(host)) = (request_of.get(&action.vm), snapshot.host_index(action.host)) else {
            continue;
        };
        let score_before = load.score(host);
        load.book_and_follow(space, request, host);
        let vm = &snapshot.vms[snapshot.candidates[request].vm];
        totals[host][0] += vm.cpu.0 as f64;
        totals[host][1] += vm.memory.0 as f64;
        decisions.push(Decision {
            vm: action.vm,
            host: action.host,
            datastore: action.datastore,
            score_before,
            score_after: load.score(host),
            demand: input.demands.vms[request].source,
            class: input.demands.vms[request].class,
            cpu_deviation: input.demands.vms[request].cpu_deviation,
            why: draft.why[request].clone(),
        });
    }
    let hosts = snapshot.hosts.iter().enumerate().map(|(index, host)| {
        let share = |part: f64, whole: i64| if whole > 0 { part / whole as f64 } else { 0.0 };
        let (cpu, memory) = (host.cpu_allocated.0 as f64, host.memory_allocated.0 as f64);
        HostReport {
            id: host.id,
            name: host.name.clone(),
            cpu_allocated: (share(cpu, host.cpu.0), share(cpu + totals[index][0], host.cpu.0)),
            memory_allocated: (share(memory, host.memory.0), share(memory + totals[index][1], host.memory.0)),
            score: (before.score(index), load.score(index)),
            green: green::share(host),
            basis: input.demands.hosts[index].basis,
            arrivals: draft.order[index].len(),
        }
    });
    let report = Report {
        spare: None,
        hosts: hosts.collect(),
        decisions,
        refusals: draft.refusals.clone(),
        later: Vec::new(),
        failing: Vec::new(),
        held: input.retries.count_held(),
        notices,
        objective: (before.objective(), load.objective()),
        bound: bound(snapshot, space, draft, &before),
        resources: space.resources.clone(),
        green: None,
    };
    Planned { plan, report }
}

/// Who brings large images along starts after the others on its host: oned begins nothing
/// behind it until it is done. Where devices are handed out, or VMs ask for each other, the
/// order stays.
fn slow_ones_last(snapshot: &Snapshot, guests: &[usize]) -> Vec<usize> {
    let vm = |request: usize| &snapshot.vms[snapshot.candidates[request].vm];
    let mut sorted = guests.to_vec();
    let bound = |vm: &Vm| !vm.pci.is_empty() || vm.topology.is_some() || !vm.current_vms_rules.is_empty();
    if !guests.iter().any(|&request| bound(vm(request))) {
        sorted.sort_by_key(|&request| storage::copied(vm(request)));
    }
    sorted
}

/// No plan for the same VMs has a smaller objective.
fn bound(snapshot: &Snapshot, space: &Space, draft: &Draft, before: &Load) -> f64 {
    let mut relieved = before.clone();
    let placed: Vec<usize> = (0..draft.seats.len()).filter(|&request| draft.seats[request].is_some()).collect();
    placed.iter().for_each(|&request| relieved.relieve(space, request));
    let pieces = placed
        .iter()
        .map(|&request| Piece::free(space.amount_of(request), &snapshot.candidates[request].hosts))
        .collect::<Vec<_>>();
    lower_bound(space, &relieved, &pieces)
}

fn action(snapshot: &Snapshot, draft: &Draft, request: usize) -> Option<Action> {
    let seat = draft.seats[request].as_ref()?;
    let vm = &snapshot.vms[snapshot.candidates[request].vm];
    Some(Action {
        vm: vm.id,
        operation: if vm.resched { Operation::Migrate } else { Operation::Deploy },
        host: snapshot.hosts[seat.host].id,
        datastore: snapshot.datastores[seat.datastore].id,
        nics: seat.nics.iter().map(|(nic, vnet)| (*nic, snapshot.vnets[*vnet].id)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::testing::{ask, cloud, placing};

    #[test]
    fn who_made_room_is_told_for_whom_and_nobody_else_is() {
        let mut asked = cloud(&[8, 8]);
        for _ in 0..3 {
            ask(&mut asked, 1, &[0, 1]);
        }
        placing(&asked, &Policy::default(), |context, units| {
            // unit 1 went twice: the last time counts
            let whys = whys(context, units, &[(1, 0), (1, 2)], Preference::Spread);
            let told: Vec<bool> = whys.iter().map(|why| why.contains("making room")).collect();
            assert_eq!(told, [false, true, false], "{whys:?}");
            let member = units[2].members[0];
            assert!(whys[units[1].members[0]].ends_with(&format!("making room for VM {member}")), "{whys:?}");
        });
    }

    use crate::model::ids::{DatastoreId, HostId, VmId};
    use crate::model::snapshot::VmState;
    use crate::model::units::{Cpu, Disk, Memory};
    use crate::placement::testing::{bind, demands};

    #[test]
    fn what_tipped_the_choice_is_told_in_words() {
        let mut asked = cloud(&[8, 8]);
        let plain = ask(&mut asked, 1, &[0, 1]);
        let only = ask(&mut asked, 1, &[0]);
        let ranked = ask(&mut asked, 1, &[0, 1]);
        asked.vms[ranked].rank = "FREE_CPU".to_owned();
        asked.hosts[0].attributes.push(crate::model::snapshot::Section::Template, "FREE_CPU", "3");
        let set = [(); 2].map(|()| ask(&mut asked, 1, &[0, 1]));
        bind(&mut asked, &set);
        placing(&asked, &Policy::default(), |context, units| {
            let told = |request: usize, preference: Preference| whys(context, units, &[], preference)[request].clone();
            for (request, preference, text) in [
                (plain, Preference::Spread, "least interference of 2 hosts"),
                (plain, Preference::Pack, "packed, to place more VMs, among 2 hosts"),
                (plain, Preference::Chance, "by chance among 2 hosts"),
                (only, Preference::Pack, "the only candidate host"),
                (ranked, Preference::Pack, "best SCHED_RANK of 2 hosts"),
                (set[0], Preference::Spread, "least interference of 2 hosts, affined with VM 4"),
                (set[1], Preference::Spread, "least interference of 2 hosts, affined with VM 3"),
            ] {
                assert_eq!(told(request, preference), text);
            }
        });
    }

    #[test]
    fn who_has_most_to_copy_comes_last_where_no_order_has_to_be_kept() {
        let mut asked = cloud(&[8]);
        for size in [30, 10, 20] {
            let request = ask(&mut asked, 1, &[0]);
            asked.vms[request].system_disk = Disk(size);
        }
        assert_eq!(slow_ones_last(&asked, &[0, 1, 2]), [1, 2, 0]);
        asked.vms[0].current_vms_rules.push("CURRENT_VMS = 2".to_owned());
        assert_eq!(slow_ones_last(&asked, &[0, 1, 2]), [0, 1, 2]);
        asked.vms[0].current_vms_rules.clear();
        asked.vms[0].pci.push(crate::model::topology::PciRequest::Unmatchable);
        assert_eq!(slow_ones_last(&asked, &[0, 1, 2]), [0, 1, 2]);
        assert_eq!(slow_ones_last(&asked, &[2, 1]), [1, 2], "it is not among them");
    }

    #[test]
    fn hosts_are_told_before_and_after_and_each_decision_as_it_is_booked() {
        let mut asked = cloud(&[8, 4]);
        asked.hosts[0].cpu_allocated = Cpu(200);
        asked.hosts.iter_mut().for_each(|host| host.memory = Memory(4096));
        (0..2).for_each(|_| {
            ask(&mut asked, 2, &[0]);
        });
        // one that moves, from host 1
        let moves = crate::placement::testing::run(&mut asked, 2, 1, &[0]);
        asked.vms[moves].resched = true;
        let mut all = demands(&asked);
        all.vms[0].cpu_deviation = 7.0;
        let policy = Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() };
        let planned = crate::placement::plan(&PlanningInput::new(&asked, &all), &policy);
        let actions: Vec<_> =
            planned.plan.actions.iter().map(|one| (one.vm.0, one.operation, one.host, one.datastore)).collect();
        let there = |vm: i32, operation| (vm, operation, HostId(0), DatastoreId(0));
        assert_eq!(actions, [there(2, Operation::Migrate), there(0, Operation::Deploy), there(1, Operation::Deploy)]);
        let report = &planned.report;
        let hosts: Vec<_> =
            report.hosts.iter().map(|host| (host.cpu_allocated, host.memory_allocated, host.arrivals)).collect();
        // what leaves host 1 is allocated there until it is gone
        assert_eq!(hosts, [((0.25, 1.0), (0.0, 0.75), 3), ((0.5, 0.5), (0.25, 0.25), 0)]);
        assert_eq!(report.hosts.iter().map(|host| host.score).collect::<Vec<_>>(), [(0.125, 0.5), (0.125, 0.5)]);
        assert_eq!(report.objective, (0.125, 0.5));
        assert_eq!(report.bound, 0.5);
        let steps: Vec<_> = report.decisions.iter().map(|one| (one.score_before, one.score_after)).collect();
        // of the hosts 0.25 and 0.5 are used, 0.5 and 0, 0.75 and 0, 1 and 0
        assert_eq!(steps, [(0.125, 0.25), (0.25, 0.375), (0.375, 0.5)]);
        assert_eq!(report.decisions.iter().map(|one| one.cpu_deviation).collect::<Vec<_>>(), [0.0, 7.0, 0.0]);
        assert_eq!(report.decisions[0].vm, VmId(2));
        assert_eq!(asked.vms[moves].state, VmState::Active);
    }
}

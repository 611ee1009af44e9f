//! What is said about migrations: reasons, notices, and how the hosts stand.

use super::scene::Scene;
use super::schedule::Schedule;
use super::state::State;
use super::storage;
use super::why;
use crate::model::ids::HostId;
use crate::model::migration::{HostChange, Migrated, Migration};
use crate::model::plan::{Action, Operation, Plan};
use crate::model::policy::DrsPolicy;
use crate::model::snapshot::{Notice, Subject, VmState};
use crate::model::units::{Disk, Memory};
use crate::placement::score::green;
use std::collections::BTreeMap;

/// Puts plan and report together.
pub fn migrated(scene: &Scene<'_>, schedule: &Schedule<'_>) -> Migrated {
    let before = State::new(scene);
    let after = &schedule.state;
    let scores = (before.load().scores(), after.load().scores());
    let migrations = schedule.steps.iter().filter_map(|step| migration(scene, &before, after, &scores, *step));
    let mut migrations: Vec<Migration> = migrations.collect();
    let relief = storage::relieve(scene, after);
    migrations.extend(relief.moves.iter().filter_map(|one| storage_move(scene, &scores, one)));
    let actions = migrations.iter().map(|one| Action {
        vm: one.vm,
        operation: Operation::Migrate,
        host: one.to,
        datastore: one.to_datastore,
        nics: Vec::new(),
    });
    let hosts = scene.context.snapshot.hosts.iter().enumerate().map(|(index, host)| {
        let (old, new) = (before.load().used(index), after.load().used(index));
        HostChange {
            id: host.id,
            name: host.name.clone(),
            cpu: (old.cpu, new.cpu),
            memory: (old.memory, new.memory),
            score: (scores.0[index], scores.1[index]),
            green: green::share(host),
            vms: (before.count(index), after.count(index)),
        }
    });
    Migrated {
        spare: None,
        plan: Plan { actions: actions.collect() },
        hosts: hosts.collect(),
        notices: notices(scene, schedule).into_iter().chain(relief.notices).collect(),
        staying: scene.staying.to_vec(),
        idle: migrations.is_empty().then(|| why::idle(scene)),
        movable: scene.units.iter().map(|unit| unit.members.len()).sum(),
        objective: (before.load().objective(), after.load().objective()),
        migrations,
    }
}

fn migration(
    scene: &Scene<'_>,
    before: &State<'_>,
    after: &State<'_>,
    scores: &(Vec<f64>, Vec<f64>),
    (request, to): (usize, usize),
) -> Option<Migration> {
    let vm = scene.vm(request);
    let home = scene.context.home(request);
    let larger = |scores: &[f64]| home.map_or(0.0, |home| scores[home]).max(scores[to]);
    let demand = &scene.context.demands.vms[request];
    Some(Migration {
        vm: vm.id,
        from: vm.host?,
        to: scene.context.snapshot.hosts[to].id,
        datastore: vm.datastore?,
        to_datastore: vm.datastore?,
        disk: Disk(0),
        memory: Memory(demand.peak.memory.min(vm.memory.0 as f64) as i64),
        score: (larger(&scores.0), larger(&scores.1)),
        why: why(scene, before, after, request),
    })
}

fn storage_move(scene: &Scene<'_>, scores: &(Vec<f64>, Vec<f64>), one: &storage::StorageMove) -> Option<Migration> {
    let (vm, home) = (scene.vm(one.request), scene.context.home(one.request)?);
    Some(Migration {
        vm: vm.id,
        from: vm.host?,
        to: vm.host?,
        datastore: vm.datastore?,
        to_datastore: scene.context.snapshot.datastores[one.to].id,
        memory: Memory(0),
        disk: one.size,
        score: (scores.0[home], scores.1[home]),
        why: one.why.clone(),
    })
}

fn why(scene: &Scene<'_>, before: &State<'_>, after: &State<'_>, request: usize) -> String {
    let Some(home) = scene.context.home(request) else { return "leaves its host".to_owned() };
    let id = scene.context.snapshot.hosts[home].id;
    let torn = scene.unit_of[request].is_some_and(|unit| before.home(unit).is_none());
    if torn {
        return "joins its affined set".to_owned();
    }
    if let Some(reason) = before.broken(request) {
        return format!("a rule is broken where it is: {}", reason.text());
    }
    if scene.context.snapshot.hosts[home].closed {
        return format!("host {id} is closed: all its capacity is reserved");
    }
    if before.load().is_overfull(home) {
        let allocated = &before.load().used(home).allocated;
        let real = allocated.cpu > 1.0 || allocated.memory > 1.0;
        return match real {
            true => format!("host {id} has more allocated than it has"),
            false => format!("host {id} is expected to use more than it has"),
        };
    }
    if after.count(home) == 0 {
        return format!("empties host {id}");
    }
    match scene.context.policy.optimize.policy {
        DrsPolicy::Balance => format!("evens out host {id}"),
        DrsPolicy::Pack => format!("makes room, from host {id}"),
    }
}

/// Residents whose rules are broken where they are, with the rule.
pub fn broken(state: &State<'_>) -> Vec<(usize, String)> {
    let scene = state.scene();
    let mut found = Vec::new();
    for (unit, one) in scene.units.iter().enumerate() {
        let known = one.members.iter().all(|&member| state.at(member).is_some());
        for &member in &one.members {
            if known && one.members.len() > 1 && state.home(unit).is_none() {
                found.push((member, "its affined set is torn apart".to_owned()));
            } else if let Some(reason) = state.broken(member) {
                found.push((member, reason.text()));
            }
        }
    }
    found
}

fn notices(scene: &Scene<'_>, schedule: &Schedule<'_>) -> Vec<Notice> {
    let mut notices = scene.context.snapshot.notices.clone();
    notices.extend(green::notices(scene.context.snapshot));
    notices.extend(scene.context.groups.domains.notices.iter().cloned());
    let cluster = Subject::Cluster(scene.cluster.id);
    let mut about_cluster = |text: String| notices.push(Notice { subject: cluster, text });
    if scene.cluster.hosts.is_empty() && scene.context.snapshot.hosts.is_empty() {
        about_cluster("has no hosts: there is nothing to optimize".to_owned());
    } else if scene.context.snapshot.hosts.is_empty() {
        about_cluster("has no host that is monitored: there is nothing to optimize".to_owned());
    }
    for (host, vms) in hidden(scene) {
        about_cluster(format!("host {host} is not in the request (disabled, off or in error); its {vms} VMs stay"));
    }
    if !schedule.dropped.is_empty() {
        let some = schedule.dropped.iter().take(5).map(|&request| scene.vm(request).id.to_string());
        let some = some.collect::<Vec<_>>().join(", ");
        about_cluster(format!("VMs {some} stay: in no order would every step have room for them"));
    }
    let used_up = schedule.state.moved() >= scene.limit();
    let in_the_way =
        if used_up { "the migrations that are allowed went to others" } else { "no allowed host takes it" };
    for (request, rule) in broken(&schedule.state) {
        let vm = scene.vm(request);
        let subject = vm.group.as_ref().map_or(Subject::VmAndHosts(vm.id), |(group, _)| Subject::Group(*group));
        let text = format!("VM {} stays where a rule is broken, {in_the_way}: {rule}", vm.id);
        notices.push(Notice { subject, text });
    }
    notices
}

/// Hosts that VMs run on but that the request does not hold, and how many VMs.
fn hidden(scene: &Scene<'_>) -> BTreeMap<HostId, usize> {
    let mut hidden = BTreeMap::new();
    let active = scene.context.snapshot.vms.iter().filter(|vm| vm.state == VmState::Active);
    for host in active.filter_map(|vm| vm.host) {
        if scene.context.snapshot.host_index(host).is_none() {
            *hidden.entry(host).or_default() += 1;
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::Cluster;
    use crate::model::policy::Policy;
    use crate::placement::migrate::MigrationInput;
    use crate::placement::rules::context::Purpose;
    use crate::placement::testing::{cloud, demands, run};

    #[test]
    fn vms_that_run_on_hosts_of_which_the_request_knows_nothing_are_counted() {
        let mut asked = cloud(&[8, 8]);
        for (on, state) in [
            (0, VmState::Active),
            (77, VmState::Active),
            (77, VmState::Active),
            (77, VmState::Parked),
            (78, VmState::Other),
        ] {
            let vm = run(&mut asked, 1, 0, &[0, 1]);
            (asked.vms[vm].host, asked.vms[vm].state) = (Some(HostId(on)), state);
        }
        let cluster = Cluster { hosts: vec![HostId(0), HostId(1)], ..Cluster::default() };
        let all = demands(&asked);
        let input = MigrationInput::new(&asked, &cluster, &all);
        let found = Scene::with(&input, &Policy::default(), Purpose::Optimize, hidden);
        assert_eq!(found, [(HostId(77), 2)].into());
    }
}

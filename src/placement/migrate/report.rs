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

    use super::super::schedule::schedule;
    use crate::model::ids::VmId;
    use crate::model::policy::Optimize;
    use crate::model::snapshot::Snapshot;
    use crate::model::units::Cpu;
    use crate::placement::testing::bind;

    /// Calls `look` with the scene of an optimization, before a plan and after one that sends VMs to these hosts.
    fn look<T>(
        asked: &Snapshot,
        optimize: Optimize,
        to: &[usize],
        look: impl FnOnce(&Scene<'_>, &State<'_>, &State<'_>) -> T,
    ) -> T {
        let cluster = Cluster { hosts: asked.hosts.iter().map(|host| host.id).collect(), ..Cluster::default() };
        let (all, policy) = (demands(asked), Policy { optimize, ..Policy::default() });
        Scene::with(&MigrationInput::new(asked, &cluster, &all), &policy, Purpose::Optimize, |scene| {
            let (before, mut after) = (State::new(scene), State::new(scene));
            to.iter().enumerate().for_each(|(request, &host)| after.put(request, Some(host)));
            look(scene, &before, &after)
        })
    }

    #[test]
    fn what_a_migration_is_for_is_told() {
        let two = || {
            let mut asked = cloud(&[8, 8, 8]);
            (0..2).for_each(|_| {
                run(&mut asked, 4, 0, &[0, 1, 2]);
            });
            asked
        };
        let pack = || Optimize { policy: DrsPolicy::Pack, ..Optimize::default() };
        let change = |change: fn(&mut Snapshot)| {
            let mut asked = two();
            change(&mut asked);
            asked
        };
        let torn = change(|asked| {
            asked.vms[1].host = Some(HostId(1));
            bind(asked, &[0, 1]);
        });
        let shunned = change(|asked| {
            bind(asked, &[0]);
            asked.groups[0].roles[0].hosts_anti_affined = vec![HostId(0)];
        });
        let closed = change(|asked| asked.hosts[0].closed = true);
        let allocated = change(|asked| asked.hosts[0].cpu_allocated = Cpu(801));
        let full = change(|asked| asked.hosts[0].cpu = Cpu(700));
        for (asked, optimize, to, text) in [
            (two(), Optimize::default(), &[1, 0][..], "evens out host 0"),
            (two(), pack(), &[1, 0], "makes room, from host 0"),
            (two(), pack(), &[1, 1], "empties host 0"),
            (torn, Optimize::default(), &[1, 1], "joins its affined set"),
            (
                shunned,
                Optimize::default(),
                &[1, 0],
                "a rule is broken where it is: HOST_ANTI_AFFINED of its role rules it out",
            ),
            (closed, Optimize::default(), &[1, 0], "host 0 is closed: all its capacity is reserved"),
            (allocated, Optimize::default(), &[1, 0], "host 0 has more allocated than it has"),
            (full, Optimize::default(), &[1, 0], "host 0 has more allocated than it has"),
        ] {
            assert_eq!(look(&asked, optimize, to, |scene, before, after| why(scene, before, after, 0)), text);
        }
        // as it is expected, not as it is allocated
        let asked = two();
        let mut all = demands(&asked);
        all.hosts[0].usage.cpu = 801.0;
        let cluster = Cluster::default();
        let input = MigrationInput::new(&asked, &cluster, &all);
        Scene::with(&input, &Policy::default(), Purpose::Optimize, |scene| {
            let state = State::new(scene);
            assert_eq!(why(scene, &state, &state, 0), "host 0 is expected to use more than it has");
        });
    }

    #[test]
    fn what_stays_broken_or_hidden_is_told_with_what_is_in_the_way() {
        let mut asked = cloud(&[8, 8]);
        let [shuns, first, second, hidden] =
            [(0, 0), (0, 0), (1, 1), (0, 0)].map(|(on, _)| run(&mut asked, 1, on, &[0]));
        bind(&mut asked, &[shuns]);
        asked.groups[0].roles[0].hosts_anti_affined = vec![HostId(0)];
        bind(&mut asked, &[first, second]);
        asked.vms[hidden].host = Some(HostId(77));
        let told = |optimize: Optimize| {
            look(&asked, optimize, &[], |scene, _, after| {
                let target = after.all_at();
                let mut schedule = schedule(scene, &target);
                schedule.dropped = vec![first, second];
                let notices = notices(scene, &schedule).into_iter();
                notices.map(|one| format!("{}: {}", one.subject, one.text)).collect::<Vec<_>>()
            })
        };
        let expected = |in_the_way: &str| {
            let cluster = Subject::Cluster(crate::model::ids::ClusterId(0));
            let group = |id: usize| Subject::Group(asked.groups[id].id);
            let broken = |vm: usize| format!("VM {vm} stays where a rule is broken, {in_the_way}");
            let torn = "its affined set is torn apart";
            vec![
                format!("{cluster}: host 77 is not in the request (disabled, off or in error); its 1 VMs stay"),
                format!("{cluster}: VMs 1, 2 stay: in no order would every step have room for them"),
                format!("{}: {}: HOST_ANTI_AFFINED of its role rules it out", group(0), broken(shuns)),
                format!("{}: {}: {torn}", group(1), broken(first)),
                format!("{}: {}: {torn}", group(1), broken(second)),
            ]
        };
        assert_eq!(told(Optimize::default()), expected("no allowed host takes it"));
        let none = Optimize { migrations: Some(0), ..Optimize::default() };
        assert_eq!(told(none), expected("the migrations that are allowed went to others"));
    }

    #[test]
    fn a_cluster_without_hosts_is_told_as_such() {
        for (hosts, text) in [
            (vec![], "has no hosts: there is nothing to optimize"),
            (vec![HostId(3)], "has no host that is monitored: there is nothing to optimize"),
        ] {
            let (asked, cluster) = (Snapshot::default(), Cluster { hosts, ..Cluster::default() });
            let all = demands(&asked);
            let input = MigrationInput::new(&asked, &cluster, &all);
            let found = Scene::with(&input, &Policy::default(), Purpose::Optimize, |scene| {
                notices(scene, &schedule(scene, &[])).into_iter().map(|one| one.text).collect::<Vec<_>>()
            });
            assert_eq!(found, [text]);
        }
    }

    #[test]
    fn a_plan_tells_each_migration_and_how_hosts_stand_before_and_after() {
        let mut asked = cloud(&[8, 8]);
        for _ in 0..2 {
            let vm = run(&mut asked, 4, 0, &[0, 1]);
            asked.vms[vm].memory = Memory(4096);
        }
        let mut all = demands(&asked);
        (all.vms[0].peak.memory, all.vms[1].peak.memory) = (9000.0, 1000.0);
        let policy = Policy { risk: 0.0, weight_memory: 0.0, s_green: 0.0, ..Policy::default() };
        let cluster = Cluster::default();
        let input = MigrationInput::new(&asked, &cluster, &all);
        let found = Scene::with(&input, &policy, Purpose::Optimize, |scene| {
            [0, 1].map(|moves| {
                let mut target = vec![Some(0); 2];
                target[moves] = Some(1);
                migrated(scene, &schedule(scene, &target))
            })
        });
        for (vm, (migrated, memory)) in found.iter().zip([4096, 1000]).enumerate() {
            let [one] = &migrated.migrations[..] else { panic!("{:?}", migrated.migrations) };
            assert_eq!((one.vm, one.from, one.to), (VmId(vm as i32), HostId(0), HostId(1)));
            assert_eq!((one.memory, one.disk, one.score), (Memory(memory), Disk(0), (0.5, 0.0)));
            let actions: Vec<_> = migrated.plan.actions.iter().map(|one| (one.vm.0 as usize, one.host)).collect();
            assert_eq!(actions, [(vm, HostId(1))]);
            let hosts: Vec<_> = migrated.hosts.iter().map(|host| (host.cpu, host.score, host.vms)).collect();
            assert_eq!(hosts, [((1.0, 0.5), (0.5, 0.0), (2, 1)), ((0.0, 0.5), (0.5, 0.0), (0, 1))]);
            assert_eq!((migrated.objective, migrated.movable, migrated.idle.is_none()), ((0.5, 0.0), 2, true));
        }
    }
}

use super::*;
use crate::model::history::Placement;
use crate::model::units::{Cpu, Memory};
use crate::placement::testing::{cloud, run};

fn named(id: i32) -> Cluster {
    Cluster { id: ClusterId(id), ..Cluster::default() }
}

#[test]
fn a_request_is_about_the_cluster_that_is_named_or_its_only_one() {
    let asked =
        |clusters: &[i32]| Snapshot { clusters: clusters.iter().map(|id| named(*id)).collect(), ..Snapshot::default() };
    let found = |clusters: &[i32], id: Option<i32>| {
        cluster(&asked(clusters), id.map(ClusterId)).map(|found| found.id.0).map_err(|error| error.to_string())
    };
    assert_eq!((found(&[3, 4], None), found(&[3, 4], Some(4))), (Ok(3), Ok(4)));
    let none = "the request holds no cluster: this is no optimize request (a placement is for `oneaio place`)";
    assert_eq!((found(&[], None), found(&[], Some(4))), (Err(none.to_owned()), Err(none.to_owned())));
    let other = "the request is not about cluster 9: CLUSTER_POOL holds 1, 2, 3, 4, 5";
    assert_eq!(found(&[1, 2, 3, 4, 5, 6], Some(9)), Err(other.to_owned()));
}

#[test]
fn limits_on_migrations_are_for_optimizations() {
    let mut policy = Policy::default();
    (policy.optimize.migrations, policy.optimize.host_migrations) = (Some(1), Some(2));
    (policy.optimize.datastore_migrations, policy.optimize.minimum_gain) = (Some(3), 0.5);
    let free = without_limits(&policy).optimize;
    assert_eq!((free.migrations, free.host_migrations), (None, None));
    assert_eq!((free.datastore_migrations, free.minimum_gain), (Some(3), 0.5));
}

#[test]
fn who_pauses_is_told_so_and_is_as_before_afterwards() {
    use crate::model::snapshot::LastRun;
    let mut asked = cloud(&[8, 8]);
    for _ in 0..2 {
        let vm = run(&mut asked, 4, 0, &[0, 1]);
        asked.vms[vm].last_run = Some(LastRun { sequence: 3, began: 1, ended: 0 });
    }
    asked.vms[1].blocked = true;
    let drs = OneDrs { full: true, ..OneDrs::default() };
    asked.clusters = vec![Cluster { id: ClusterId(0), drs, ..Cluster::default() }];
    let known = Attempts { failed: 5, at: 1_000, sequence: 3, error: String::new() };
    let attempts = [(VmId(0), known)].into();
    let recall = Recall { attempts, now: 2_000, ..Recall::default() };
    let found = optimize(asked.clone(), None, &recall, &Policy::default()).unwrap();
    assert_eq!(found.snapshot.vms.iter().map(|vm| vm.blocked).collect::<Vec<_>>(), [false, true]);
    let staying: Vec<(i32, &str)> = found.migrated.staying.iter().map(|(vm, text)| (vm.0, text.as_str())).collect();
    assert_eq!((staying[0].0, staying[1]), (0, (1, "has ONEDRS_BLOCKED=YES")));
    assert!(staying[0].1.starts_with("its migration was planned 6 times and did not happen"), "{staying:?}");
    assert!(found.migrated.migrations.is_empty() && found.attempts.is_empty());
    // nothing is known of it: it moves, and that is remembered
    let recall = Recall { now: 2_000, ..Recall::default() };
    let found = optimize(asked, None, &recall, &Policy::default()).unwrap();
    assert_eq!(found.migrated.migrations.len(), 1);
    let again = Attempts { failed: 0, at: 2_000, sequence: 3, error: String::new() };
    assert_eq!(found.attempts, [(VmId(0), again)]);
    assert!(found.dropped.is_empty());
}

/// A cluster of all hosts of a request, whose plans oned carries out by itself.
fn full(snapshot: &Snapshot) -> Cluster {
    let hosts = snapshot.hosts.iter().map(|host| host.id).collect();
    Cluster { hosts, drs: OneDrs { full: true, ..OneDrs::default() }, ..Cluster::default() }
}

/// Host 0 of three is full of two VMs of four cores.
fn crowded() -> Snapshot {
    let mut asked = cloud(&[8, 8, 8]);
    (0..2).for_each(|_| {
        run(&mut asked, 4, 0, &[0, 1, 2]);
    });
    asked.clusters = vec![full(&asked)];
    asked
}

fn moving(vm: i32, from: i32, to: i32, until: i64) -> Moving {
    let (cpu, memory) = (Cpu(400), Memory(1024));
    Moving { vm: VmId(vm), from: HostId(from), to: HostId(to), cpu, memory, until }
}

#[test]
fn what_is_sent_is_remembered_as_long_as_it_may_be_under_way_and_so_is_what_was_sent_before() {
    let asked = crowded();
    // hosts 7 to 9 are not in this request; VM 77 is still on its way, VM 78 no more
    let known =
        vec![moving(0, 7, 8, 70_000), moving(1, 7, 8, 70_000), moving(77, 7, 9, 70_000), moving(78, 7, 9, 9_999)];
    let notes = Notes { moving: known, answered: 5, ..Notes::default() };
    let recall = Recall { now: 10, moment: 10_000, notes, ..Recall::default() };
    let notes = |asked: &Snapshot, recall: &Recall, moment: i64| {
        let found = optimize(asked.clone(), None, recall, &Policy::default()).unwrap();
        let actions = &found.migrated.plan.actions;
        assert_eq!(actions.len(), 1);
        (found.notes(moment), actions[0].vm.0, actions[0].host.0)
    };
    let (found, vm, to) = notes(&asked, &recall, 20_000);
    let found = found.unwrap();
    // a tick of 15 s to begin it, and as much again, and a round more
    let mut expected = vec![moving(vm, 0, to, 20_000 + 60_000), moving(1 - vm, 7, 8, 70_000), moving(77, 7, 9, 70_000)];
    expected.sort();
    assert_eq!((found.moving, found.answered), (expected, 20_000));
    // a clock at its end does not turn over
    let (found, vm, _) = notes(&asked, &recall, i64::MAX);
    assert!(found.unwrap().moving.iter().any(|one| one.vm.0 == vm && one.until == i64::MAX));
    // where somebody has to carry plans out, nobody knows when
    let mut by_hand = asked.clone();
    by_hand.clusters[0].drs.full = false;
    let (found, ..) = notes(&by_hand, &recall, 20_000);
    let expected = [moving(0, 7, 8, 70_000), moving(1, 7, 8, 70_000), moving(77, 7, 9, 70_000)];
    assert_eq!(found.unwrap().moving, expected);
    // without a memory there is nothing to remember
    assert_eq!(notes(&asked, &Recall::default(), 20_000).0, None);
}

#[test]
fn nothing_is_sent_to_a_host_that_somebody_is_on_the_way_to_and_the_request_is_as_before_afterwards() {
    let mut asked = crowded();
    crate::placement::testing::bind(&mut asked, &[1]);
    asked.groups[0].roles[0].vms.push(VmId(90));
    let recall = |hosts: &[i32]| {
        let placement = |(vm, host): (i32, &i32)| Placement { vm: VmId(vm), host: HostId(*host), at: 9_000 };
        let placements = (90..).zip(hosts).map(placement).collect();
        Recall { now: 10, moment: 10_000, placements, carbon: [("DE".to_owned(), 300.0)].into(), ..Recall::default() }
    };
    let found = optimize(asked.clone(), None, &recall(&[1]), &Policy::default()).unwrap();
    let sent =
        |found: &Optimized| found.migrated.plan.actions.iter().map(|one| (one.vm.0, one.host.0)).collect::<Vec<_>>();
    assert_eq!(sent(&found), [(0, 2)]);
    let why = "a VM of its group is on its way to a host by an earlier answer";
    assert_eq!(found.migrated.staying, [(VmId(1), why.to_owned())]);
    assert!(found.snapshot.vms.iter().all(|vm| !vm.blocked));
    assert_eq!(found.snapshot.candidates, asked.candidates);
    assert_eq!(found.snapshot.carbon, [("DE".to_owned(), 300.0)].into());
    // both others are about to be used
    assert_eq!(sent(&optimize(asked, None, &recall(&[1, 2]), &Policy::default()).unwrap()), []);
}

#[test]
fn rules_yield_only_where_more_vms_can_leave_then() {
    use crate::model::snapshot::RolePolicy;
    // VM 0 and VM 2 must be apart; of VMs 0 and 1 host 1 takes only one
    let asked = |free: i64| {
        let mut asked = cloud(&[8, 8]);
        let vms = [(2, 0), (1, 0), (6, 1)].map(|(cores, on)| run(&mut asked, cores, on, &[0, 1]));
        crate::placement::testing::bind(&mut asked, &[vms[0], vms[2]]);
        asked.hosts[1].cpu = Cpu(600 + 100 * free);
        asked.groups[0].roles[0].policy = RolePolicy::AntiAffined;
        asked.groups[0].wishes.yields = true;
        asked.clusters = vec![full(&asked)];
        asked
    };
    let drained = |free: i64| {
        let found = drain(&asked(free), HostId(0), &Recall::default(), &Policy::default()).unwrap();
        let sent: Vec<i32> = found.migrated.plan.actions.iter().map(|one| one.vm.0).collect();
        let blockers: Vec<i32> = found.blockers.iter().map(|(vm, _)| vm.0).collect();
        let yields = found.migrated.notices.iter().filter(|one| one.text.starts_with("yields in maintenance")).count();
        (sent, blockers, yields)
    };
    assert_eq!(drained(2), (vec![1], vec![0], 0), "one of them either way");
    let (mut sent, blockers, yields) = drained(3);
    sent.sort_unstable();
    assert_eq!((sent, blockers, yields), (vec![0, 1], vec![], 1));
}

#[test]
fn hosts_are_emptied_within_their_own_cluster_one_at_a_time_at_least() {
    let mut asked = cloud(&[8, 8, 8, 8]);
    (2..4).for_each(|on| {
        run(&mut asked, 2, on, &[0, 1, 2, 3]);
    });
    let of = |id: i32, hosts: &[i32]| Cluster { hosts: hosts.iter().map(|host| HostId(*host)).collect(), ..named(id) };
    asked.clusters = vec![of(1, &[0, 1]), of(2, &[2, 3])];
    let waves = |most: usize| {
        let hosts = [HostId(2), HostId(3)];
        let found = drain_in_waves(&asked, &hosts, most, &Recall::default(), &Policy::default()).unwrap();
        assert!(found.blocked.is_empty());
        let wave = |wave: &crate::model::migration::Wave| {
            let sent: Vec<(i32, i32)> = wave.migrated.plan.actions.iter().map(|one| (one.vm.0, one.host.0)).collect();
            (wave.hosts.clone(), sent, wave.copied.len())
        };
        found.waves.iter().map(wave).collect::<Vec<_>>()
    };
    let one_by_one = [(vec![HostId(2)], vec![(0, 3)], 1), (vec![HostId(3)], vec![(0, 2), (1, 2)], 2)];
    assert_eq!(waves(1).len(), 2);
    assert_eq!(waves(1)[0], one_by_one[0]);
    assert_eq!((waves(1)[1].0.clone(), waves(1)[1].2), (vec![HostId(3)], 2));
    assert_eq!(waves(0), waves(1), "of none at a time nothing would ever come");
}

#[test]
fn what_yields_in_a_wave_and_what_room_is_left_is_told() {
    use crate::model::policy::Spare;
    use crate::model::snapshot::RolePolicy;
    let mut asked = cloud(&[8, 8]);
    let vms = [0, 1].map(|on| run(&mut asked, 5, on, &[0, 1]));
    asked.hosts.iter_mut().for_each(|host| host.cpu = Cpu(1000));
    crate::placement::testing::bind(&mut asked, &vms);
    asked.groups[0].roles[0].policy = RolePolicy::AntiAffined;
    asked.groups[0].wishes.yields = true;
    vms.iter().for_each(|vm| asked.vms[*vm].group = Some((asked.groups[0].id, "together".to_owned())));
    asked.clusters = vec![full(&asked)];
    let policy = Policy { spare: Spare::Host, ..Policy::default() };
    let found = drain_in_waves(&asked, &[HostId(0)], 9, &Recall::default(), &policy).unwrap();
    assert_eq!((found.waves.len(), found.blocked.len()), (1, 0));
    let wave = &found.waves[0];
    let broken = "yields in maintenance (ONEAIO_YIELD): anti-affinity is broken by VM 0 until an optimization mends it";
    assert!(wave.migrated.notices.iter().any(|notice| notice.text == broken), "{:?}", wave.migrated.notices);
    let room = wave.migrated.spare.as_ref().expect("it was asked for");
    assert_eq!(room.lacking.iter().map(|one| (one.hosts[0].0, one.vms)).collect::<Vec<_>>(), [(1, 2)]);
    assert_eq!(wave.lacking.iter().map(|notice| notice.subject).collect::<Vec<_>>(), [Subject::Host(HostId(1))]);
    assert!(wave.seconds > 0.0);
}

#[test]
fn spare_room_is_told_of_the_plan_where_it_is_asked_for() {
    use crate::model::policy::Spare;
    let mut asked = cloud(&[8, 8]);
    (0..2).for_each(|_| {
        run(&mut asked, 4, 0, &[0, 1]);
    });
    run(&mut asked, 1, 1, &[1]);
    asked.clusters = vec![full(&asked)];
    let told = |spare: Spare| {
        let policy = Policy { spare, ..Policy::default() };
        let found = optimize(asked.clone(), None, &Recall::default(), &policy).unwrap();
        assert_eq!(found.migrated.plan.actions.len(), 1);
        let lacking = found
            .migrated
            .spare
            .map(|room| room.lacking.iter().map(|one| (one.hosts[0].0, one.vms)).collect::<Vec<_>>());
        (lacking, found.migrated.notices.iter().filter(|one| one.text.starts_with("N+1")).count())
    };
    assert_eq!(told(Spare::None), (None, 0));
    // after the plan there are four cores on host 0 and five on host 1: of either one VM finds no place
    assert_eq!(told(Spare::Host), (Some(vec![(0, 1), (1, 1)]), 2));
}

#[test]
fn hosts_that_are_not_needed_are_seen_by_packing_and_what_room_that_leaves_is_told() {
    use crate::model::policy::Spare;
    let mut asked = cloud(&[8, 8, 8]);
    run(&mut asked, 1, 0, &[0, 1, 2]);
    run(&mut asked, 4, 1, &[0, 1, 2]);
    asked.clusters = vec![full(&asked)];
    // limits are for optimizations
    asked.clusters[0].drs.migrations = Some(Some(0));
    let report = |spare: Spare| {
        let policy = Policy { spare, ..Policy::default() };
        advise(&asked, None, &Recall::default(), &Histories::default(), &policy).unwrap().idle
    };
    let idle = report(Spare::None);
    assert_eq!((idle.empty, idle.unneeded), (vec![HostId(2)], vec![HostId(0), HostId(2)]));
    assert!(idle.lacking.is_empty());
    let idle = report(Spare::Host);
    assert_eq!(idle.unneeded, [HostId(2)], "the two that are used bear each other");
    assert!(idle.lacking.is_empty(), "{:?}", idle.lacking);
    // without rooms for a failure as it is, packing leaves no less
    asked.candidates[1].hosts = [1].into();
    let policy = Policy { spare: Spare::Host, ..Policy::default() };
    let idle = advise(&asked, None, &Recall::default(), &Histories::default(), &policy).unwrap().idle;
    assert_eq!(idle.lacking.len(), 1, "{:?}", idle.lacking);
    assert!(idle.lacking[0].starts_with("host 1: N+1: "), "{:?}", idle.lacking);
}

#[test]
fn what_breaks_a_rule_is_taken_out_of_the_plan_and_told() {
    use crate::model::ids::DatastoreId;
    use crate::model::migration::Migration;
    use crate::model::plan::{Action, Operation, Plan};
    use crate::model::policy::Spare;
    use crate::model::units::Disk;
    let asked = crowded();
    let (operation, datastore) = (Operation::Migrate, DatastoreId(0));
    let action =
        |(vm, host): &(i32, i32)| Action { vm: VmId(*vm), operation, host: HostId(*host), datastore, nics: Vec::new() };
    let migration = |(vm, host): &(i32, i32)| Migration {
        vm: VmId(*vm),
        from: HostId(0),
        to: HostId(*host),
        datastore,
        to_datastore: datastore,
        memory: Memory(1),
        disk: Disk(0),
        score: (0.0, 0.0),
        why: String::new(),
    };
    let judged = |moves: &[(i32, i32)], spare: Spare| {
        let mut migrated = Migrated {
            plan: Plan { actions: moves.iter().map(action).collect() },
            migrations: moves.iter().map(migration).collect(),
            ..Migrated::default()
        };
        let policy = Policy { spare, ..Policy::default() };
        let dropped = keep_legal(&asked, &asked.clusters[0], &mut migrated, &policy);
        let kept: Vec<i32> = migrated.plan.actions.iter().map(|one| one.vm.0).collect();
        assert_eq!(migrated.migrations.iter().map(|one| one.vm.0).collect::<Vec<_>>(), kept);
        let told: Vec<String> = migrated.notices.iter().map(|one| format!("{}: {}", one.subject, one.text)).collect();
        (kept, dropped.len(), told, migrated.spare.map(|room| room.lacking.len()))
    };
    assert_eq!(judged(&[(0, 1), (1, 2)], Spare::None), (vec![0, 1], 0, vec![], None));
    let text = "VM 1: is not migrated: the plan broke a rule (host: host 9 is unknown); please report this";
    assert_eq!(judged(&[(0, 1), (1, 9)], Spare::None), (vec![0], 1, vec![text.to_owned()], None));
    // room is told by what is left of the plan
    assert_eq!(judged(&[(0, 1)], Spare::Host), (vec![0], 0, vec![], Some(0)));
}

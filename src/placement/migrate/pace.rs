//! How long migrations take: by those that HISTORY shows, else by an assumption that is told.
//! Tells times and decides nothing.

use super::scene::{MigrationInput, Scene};
use crate::model::ids::HostId;
use crate::model::migration::{Migration, Pace};
use crate::model::policy::{Executor, Policy};
use crate::model::snapshot::Vm;
use crate::placement::rules::context::Purpose;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Fewer migrations tell nothing of the others.
const ENOUGH: usize = 3;

/// What took longer waited for something else.
const LONGEST: i64 = 6 * 3600;

/// How fast migrations of this cluster are: what was copied by what it took, over all that HISTORY shows.
/// The stay on the source ends when the VM runs at the target, whose own began with the migration.
#[must_use]
pub fn pace(input: &MigrationInput<'_>, policy: &Policy) -> Pace {
    Scene::with(input, policy, Purpose::Drain, |scene| {
        let (mut copied, mut seconds, mut measured) = (0.0, 0, 0);
        for request in 0..scene.context.snapshot.candidates.len() {
            for took in durations(scene.vm(request)) {
                (copied, seconds, measured) = (copied + scene.volume(request), seconds + took, measured + 1);
            }
        }
        if measured < ENOUGH || seconds == 0 || copied <= 0.0 {
            return Pace { mib_per_second: policy.drain.rate, measured: 0 };
        }
        Pace { mib_per_second: copied / seconds as f64, measured }
    })
}

/// Seconds that migrations of a VM took.
fn durations(vm: &Vm) -> impl Iterator<Item = i64> {
    vm.stays.windows(2).filter_map(|pair| {
        let took = pair[0].ended.checked_sub(pair[1].began)?;
        let migrated = pair[0].host != pair[1].host && pair[1].began > 0;
        (migrated && (0..=LONGEST).contains(&took)).then_some(took)
    })
}

/// Seconds of a plan's migrations, each copying so many MiB: in their order, as many at once on a target and in
/// the cluster as oned's executor runs. O(migrations x those that run at once).
#[must_use]
pub fn seconds(migrations: &[Migration], copied: &[f64], pace: Pace, executor: &Executor) -> f64 {
    let mut waiting: Vec<(HostId, f64)> =
        migrations.iter().zip(copied).map(|(one, mib)| (one.to, mib / pace.mib_per_second.max(1e-6))).collect();
    let (mut now, mut running): (f64, Vec<(f64, HostId)>) = (0.0, Vec::new());
    let mut busy: BTreeMap<HostId, usize> = BTreeMap::new();
    while !waiting.is_empty() || !running.is_empty() {
        let mut later = Vec::new();
        for (host, takes) in waiting {
            let here = busy.entry(host).or_default();
            if running.len() < executor.per_cluster.max(1) && *here < executor.per_host.max(1) {
                *here += 1;
                running.push((now + takes, host));
            } else {
                later.push((host, takes));
            }
        }
        waiting = later;
        let by_end = |a: &(f64, HostId), b: &(f64, HostId)| -> Ordering { a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)) };
        running.sort_by(by_end);
        if !running.is_empty() {
            let (end, host) = running.remove(0);
            now = end;
            busy.entry(host).and_modify(|count| *count = count.saturating_sub(1));
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{DatastoreId, VmId};
    use crate::model::snapshot::Stay;
    use crate::model::units::{Cpu, Memory};

    fn to(host: i32) -> Migration {
        Migration {
            to_datastore: DatastoreId(0),
            disk: crate::model::units::Disk(0),
            vm: VmId(0),
            from: HostId(0),
            to: HostId(host),
            datastore: DatastoreId(0),
            memory: Memory(0),
            score: (0.0, 0.0),
            why: String::new(),
        }
    }

    #[test]
    fn migrations_to_one_host_come_after_each_other_and_to_several_side_by_side() {
        let pace = Pace { mib_per_second: 10.0, measured: 0 };
        for (hosts, per_cluster, expected) in [
            (&[1, 1, 1][..], 30, 30.0),
            (&[1, 2, 3], 30, 10.0),
            (&[1, 2, 3], 2, 20.0),
            (&[1, 1, 2, 2], 30, 20.0),
            (&[], 30, 0.0),
        ] {
            let plan: Vec<Migration> = hosts.iter().map(|&host| to(host)).collect();
            let copied = vec![100.0; plan.len()];
            let executor = Executor { per_host: 1, per_cluster };
            let found = seconds(&plan, &copied, pace, &executor);
            assert!((found - expected).abs() < 1e-9, "{hosts:?} {per_cluster}: {found}");
        }
    }

    #[test]
    fn a_migration_takes_from_the_new_stay_to_the_end_of_the_old_one() {
        let stay = |host, began, ended| Stay { host: HostId(host), began, ended };
        for (stays, expected) in [
            (vec![stay(1, 10, 130), stay(2, 100, 0)], vec![30]),
            // powered off, and resumed elsewhere a minute later
            (vec![stay(1, 10, 130), stay(2, 190, 0)], vec![]),
            (vec![stay(1, 10, 130), stay(1, 100, 0)], vec![]),
            (vec![stay(1, 10, i64::MAX), stay(2, i64::MIN, 0)], vec![]),
            (vec![stay(1, 10, 100_000), stay(2, 100, 0)], vec![]),
        ] {
            let vm = Vm { stays, ..Vm::plain(VmId(1), Cpu(100), Memory(1)) };
            assert_eq!(durations(&vm).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_cluster_is_as_fast_as_what_it_copied_in_the_time_that_it_took() {
        use crate::model::cluster::Cluster;
        use crate::model::policy::DrainTimes;
        use crate::placement::testing::{cloud, demands, run};
        let stay = |host, began, ended| Stay { host: HostId(host), began, ended };
        // seconds that migrations took, and what each of their VMs has in use
        let told = |took: &[i64], memory: i64| {
            let mut asked = cloud(&[8, 8]);
            for took in took {
                let vm = run(&mut asked, 0, 0, &[0, 1]);
                asked.vms[vm].memory = Memory(memory);
                asked.vms[vm].stays = vec![stay(1, 10, 100 + took), stay(0, 100, 0)];
            }
            let drain = DrainTimes { rate: 77.0, ..DrainTimes::default() };
            let (all, policy) = (demands(&asked), Policy { drain, ..Policy::default() });
            let found = pace(&MigrationInput::new(&asked, &Cluster::default(), &all), &policy);
            (found.mib_per_second, found.measured)
        };
        assert_eq!(told(&[2, 3, 1], 4096), (2.0, 3));
        assert_eq!(told(&[2, 3, 1, 2], 4096), (2.0, 4));
        for (took, memory) in [(&[2, 3][..], 4096), (&[0, 0, 0], 4096), (&[2, 3, 1], 0), (&[], 4096)] {
            assert_eq!(told(took, memory), (77.0, 0), "{took:?} {memory}");
        }
    }

    #[test]
    fn a_migration_begins_as_soon_as_its_target_and_the_cluster_have_a_place() {
        let pace = Pace { mib_per_second: 1.0, measured: 0 };
        for (plan, per_host, per_cluster, expected) in [
            (&[(1, 30.0), (1, 10.0), (2, 20.0)][..], 1, 30, 40.0),
            (&[(1, 30.0), (1, 10.0), (2, 20.0)], 2, 30, 30.0),
            (&[(1, 30.0), (1, 10.0), (2, 20.0)], 1, 1, 60.0),
            (&[(1, 30.0), (1, 10.0), (2, 20.0)], 0, 0, 60.0),
            (&[(1, 30.0), (2, 10.0), (2, 5.0), (3, 40.0)], 1, 2, 55.0),
        ] {
            let migrations: Vec<Migration> = plan.iter().map(|(host, _)| to(*host)).collect();
            let copied: Vec<f64> = plan.iter().map(|(_, mib)| *mib).collect();
            let found = seconds(&migrations, &copied, pace, &Executor { per_host, per_cluster });
            assert!((found - expected).abs() < 1e-9, "{plan:?} {per_host} {per_cluster}: {found}");
        }
    }
}

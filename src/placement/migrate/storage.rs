//! VMs from system datastores that fill up to others, within the limits on migrations. The aim is room, not even
//! datastores: as few VMs as bring one below its limit.
//!
//! oned moves the disks of a running VM only between datastores of one driver (TM_MAD) that say DS_MIGRATE and
//! DS_LIVE_MIGRATE, and host and datastore of a VM that runs not at once (7.4, `VirtualMachineAPI::migrate`). Local
//! datastores stay out of it: their VMs leave with their host. Decides nothing about hosts.

use super::scene::Scene;
use super::state::State;
use crate::model::ids::VmId;
use crate::model::snapshot::{Datastore, Notice, Subject, Vm, VmState};
use crate::model::units::Disk;
use crate::placement::rules::context::Purpose;
use crate::placement::rules::storage::system_disk;

/// Which VMs leave their datastore.
#[derive(Debug, Default)]
pub struct Relief {
    /// In their order.
    pub moves: Vec<StorageMove>,
    /// Datastores that stay too full, and why.
    pub notices: Vec<Notice>,
}

/// One VM to another datastore; its host stays.
#[derive(Debug)]
pub struct StorageMove {
    /// Its request.
    pub request: usize,
    /// Index of the datastore.
    pub to: usize,
    /// What is copied.
    pub size: Disk,
    /// In a few words.
    pub why: String,
}

/// What is left of all datastores as moves are planned.
struct Rooms<'a> {
    scene: &'a Scene<'a>,
    /// By datastore: what is used, MB. What leaves counts until the plan is over.
    used: Vec<i64>,
    limit: f64,
}

/// Relieves the datastores of a cluster, the fullest first. O(VMs x datastores, and VMs x moves).
#[must_use]
pub fn relieve(scene: &Scene<'_>, hosts: &State<'_>) -> Relief {
    let context = scene.context;
    let optimize = &context.policy.optimize;
    let allowed = |limit: Option<u32>| limit.map_or(usize::MAX, |limit| limit as usize);
    let left = allowed(optimize.migrations).saturating_sub(hosts.moved()).min(allowed(optimize.datastore_migrations));
    let mut relief = Relief::default();
    if context.purpose != Purpose::Optimize || optimize.datastore_migrations == Some(0) {
        return relief;
    }
    let datastores = &context.snapshot.datastores;
    let used = datastores.iter().map(|datastore| datastore.total.0 - datastore.free.0).collect();
    let mut rooms = Rooms { scene, used, limit: optimize.datastore_limit };
    let mut flights = flights(scene);
    flights.iter().for_each(|(to, size)| rooms.used[*to] += size.0);
    let mut full: Vec<usize> = (0..datastores.len()).filter(|&index| rooms.excess(index) > 0).collect();
    full.sort_by(|&a, &b| rooms.share(b).total_cmp(&rooms.share(a)).then(a.cmp(&b)));
    for from in full {
        let mut excess = rooms.excess(from);
        // what leaves already is not to be moved once more
        flights.retain(|(to, size)| {
            let relieves = excess > 0 && *to != from && datastores[*to].driver == datastores[from].driver;
            excess -= if relieves { size.0 } else { 0 };
            !relieves
        });
        let mut movers = movers(scene, hosts, from);
        if movers.is_empty() {
            // those of other clusters, or images: not ours to move
            continue;
        }
        let mut in_the_way = "no datastore of its TM_MAD that allows it has room for its VMs";
        while excess > 0 {
            if relief.moves.len() >= left {
                in_the_way = "the migrations that are allowed went to others";
                break;
            }
            let Some((request, size, to)) = rooms.next(&mut movers, excess) else { break };
            let why = format!("datastore {} is {:.1} % full", datastores[from].id, 100.0 * rooms.share(from));
            rooms.used[to] += size.0;
            excess -= size.0;
            relief.moves.push(StorageMove { request, to, size, why });
        }
        if excess > 0 {
            let text = format!(
                "is {:.1} % full and stays above {:.0} %: {in_the_way}",
                100.0 * rooms.share(from),
                100.0 * rooms.limit
            );
            relief.notices.push(Notice { subject: Subject::Datastore(datastores[from].id), text });
        }
    }
    relief
}

/// VMs whose disks are on their way to another datastore, and what they take: they are between two states, and their
/// latest record is of the host that the one before is of. From where is not told.
fn flights(scene: &Scene<'_>) -> Vec<(usize, Disk)> {
    let snapshot = scene.context.snapshot;
    let flies = |vm: &&Vm| vm.transient && matches!(vm.stays[..], [.., a, b] if a.host == b.host);
    let of = |vm: &Vm| Some((snapshot.datastore_index(vm.datastore?)?, system_disk(vm, scene.context.policy)));
    snapshot.vms.iter().filter(|vm| vm.state == VmState::Active).filter(flies).filter_map(of).collect()
}

/// VMs that may leave a datastore, with what they have there; the smallest first.
fn movers(scene: &Scene<'_>, hosts: &State<'_>, from: usize) -> Vec<(Disk, VmId, usize)> {
    let context = scene.context;
    let id = context.snapshot.datastores[from].id;
    let may = |&request: &usize| {
        let vm = scene.vm(request);
        // oned moves pinned VMs and those with devices only while they are off, and nobody twice in one plan
        vm.datastore == Some(id)
            && vm.state == VmState::Active
            && !vm.pinned()
            && vm.pci.is_empty()
            && hosts.at(request) == context.home(request)
    };
    let mut found: Vec<(Disk, VmId, usize)> = (scene.units.iter().flat_map(|unit| unit.members.iter().copied()))
        .filter(may)
        .map(|request| (system_disk(scene.vm(request), context.policy), scene.vm(request).id, request))
        .filter(|(size, ..)| *size > Disk(0))
        .collect();
    found.sort();
    found
}

impl Rooms<'_> {
    fn of(&self, index: usize) -> &Datastore {
        &self.scene.context.snapshot.datastores[index]
    }

    /// What a datastore may hold, MB.
    fn most(&self, index: usize) -> i64 {
        (self.of(index).total.0 as f64 * self.limit) as i64
    }

    /// What it holds more, MB; 0 for what cannot be relieved.
    fn excess(&self, index: usize) -> i64 {
        let datastore = self.of(index);
        let counts = datastore.system && datastore.shared && datastore.total > Disk(0);
        if counts { (self.used[index] - self.most(index)).max(0) } else { 0 }
    }

    fn share(&self, index: usize) -> f64 {
        self.used[index] as f64 / (self.of(index).total.0 as f64).max(1.0)
    }

    /// The VM that relieves a datastore best: the smallest that is enough, else the largest; with its target. Those
    /// that find none are taken out.
    fn next(&self, movers: &mut Vec<(Disk, VmId, usize)>, excess: i64) -> Option<(usize, Disk, usize)> {
        while !movers.is_empty() {
            let enough = movers.partition_point(|(size, ..)| size.0 < excess);
            let (size, _, request) = movers.remove(enough.min(movers.len() - 1));
            if let Some(to) = self.target(request, size) {
                return Some((request, size, to));
            }
        }
        None
    }

    /// Where a VM can go: the emptiest.
    fn target(&self, request: usize, size: Disk) -> Option<usize> {
        let context = self.scene.context;
        let host = context.home(request).map(|home| &context.snapshot.hosts[home])?;
        let own = self.scene.vm(request).datastore.and_then(|id| context.snapshot.datastore_index(id))?;
        let takes = |&index: &usize| {
            let there = self.of(index);
            index != own
                && there.system
                && there.shared
                && there.driver == self.of(own).driver
                && there.moves_live
                && self.of(own).moves_live
                && there.clusters.binary_search(&host.cluster).is_ok()
                && self.used[index] + size.0 <= self.most(index)
                && size.0 < there.total.0 - self.used[index]
        };
        let offered = context.candidates(request).datastores.iter().map(|&index| index as usize);
        offered.filter(takes).min_by(|&a, &b| {
            let after = |index: usize| (self.used[index] + size.0) as f64 / self.of(index).total.0 as f64;
            after(a).total_cmp(&after(b)).then(a.cmp(&b))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::Cluster;
    use crate::model::ids::{ClusterId, DatastoreId, HostId};
    use crate::model::policy::{Optimize, Policy};
    use crate::model::snapshot::{Snapshot, Stay};
    use crate::model::topology::{PciRequest, PinPolicy, Topology};
    use crate::placement::migrate::scene::MigrationInput;
    use crate::placement::testing::{cloud, datastore, demands, run};

    fn optimize() -> Optimize {
        Optimize { datastore_migrations: None, datastore_limit: 0.8, ..Optimize::default() }
    }

    /// Datastores of 1000 MB with so much used, and VMs with so large disks on the first one.
    fn asked(used: &[i64], disks: &[i64]) -> Snapshot {
        let mut asked = cloud(&[64]);
        asked.datastores =
            (0..).zip(used).map(|(id, used)| Datastore { total: Disk(1000), ..datastore(id, 1000 - used) }).collect();
        for disk in disks {
            let vm = run(&mut asked, 1, 0, &[0]);
            asked.vms[vm].system_disk = Disk(*disk);
        }
        asked
    }

    /// Which VM goes to which datastore, and what is said.
    fn relieved(asked: &Snapshot, optimize: Optimize) -> (Vec<(usize, usize)>, Vec<String>) {
        let (all, policy) = (demands(asked), Policy { optimize, ..Policy::default() });
        let cluster = Cluster::default();
        let input = MigrationInput::new(asked, &cluster, &all);
        Scene::with(&input, &policy, Purpose::Optimize, |scene| {
            let relief = relieve(scene, &State::new(scene));
            let told = relief.notices.into_iter().map(|one| format!("{}: {}", one.subject, one.text));
            (relief.moves.into_iter().map(|one| (one.request, one.to)).collect(), told.collect())
        })
    }

    fn moves(asked: &Snapshot) -> Vec<(usize, usize)> {
        relieved(asked, optimize()).0
    }

    #[test]
    fn as_few_leave_as_bring_a_datastore_to_its_limit() {
        // 100 MB too much: the smallest that is enough, else the largest and then one more
        assert_eq!(moves(&asked(&[900, 0], &[300, 100, 99])), [(1, 1)]);
        assert_eq!(moves(&asked(&[900, 0], &[300, 99])), [(0, 1)]);
        assert_eq!(moves(&asked(&[900, 0], &[60, 99, 5, 4])), [(1, 1), (3, 1)]);
        assert_eq!(moves(&asked(&[800, 0], &[60, 99])), []);
        assert_eq!(moves(&asked(&[801, 0], &[60, 99])), [(0, 1)]);
        // the fullest one is relieved first, into the emptiest
        assert_eq!(moves(&asked(&[900, 300, 200], &[100])), [(0, 2)]);
    }

    #[test]
    fn a_datastore_takes_what_leaves_it_at_its_limit_and_some_free() {
        assert_eq!(moves(&asked(&[900, 700], &[100])), [(0, 1)]);
        assert_eq!(moves(&asked(&[900, 701], &[100])), []);
        let whole =
            |used: i64| relieved(&asked(&[1100, used], &[100]), Optimize { datastore_limit: 1.0, ..optimize() }).0;
        assert_eq!((whole(899), whole(900)), (vec![(0, 1)], vec![]));
        // what has gone there counts
        assert_eq!(moves(&asked(&[1000, 650, 690], &[100, 100])), [(1, 1), (0, 2)]);
    }

    #[test]
    fn limits_bound_it_and_what_is_in_the_way_is_told() {
        let asked = asked(&[950, 0], &[50, 50, 50]);
        let limited = |migrations, datastore_migrations| {
            relieved(&asked, Optimize { migrations, datastore_migrations, ..optimize() })
        };
        let (all, told) = limited(None, None);
        assert_eq!((all.len(), told), (3, vec![]));
        assert_eq!(limited(None, Some(0)), (vec![], vec![]));
        let text = "datastore 0: is 95.0 % full and stays above 80 %: the migrations that are allowed went to others";
        for (migrations, datastore_migrations) in [(Some(1), None), (None, Some(1)), (Some(1), Some(2))] {
            let (moved, told) = limited(migrations, datastore_migrations);
            assert_eq!((moved.len(), told), (1, vec![text.to_owned()]), "{migrations:?} {datastore_migrations:?}");
        }
        let mut alone = asked.clone();
        alone.datastores[1].moves_live = false;
        let text = "datastore 0: is 95.0 % full and stays above 80 %: no datastore of its TM_MAD that allows it has room \
                    for its VMs";
        assert_eq!(relieved(&alone, optimize()), (vec![], vec![text.to_owned()]));
        // nothing there is ours to move
        alone.vms.iter_mut().for_each(|vm| vm.system_disk = Disk(0));
        assert_eq!(relieved(&alone, optimize()), (vec![], vec![]));
    }

    #[test]
    fn why_it_goes_is_told_with_what_is_copied() {
        let (asked, policy) = (asked(&[901, 0], &[150]), Policy { optimize: optimize(), ..Policy::default() });
        let all = demands(&asked);
        let cluster = Cluster::default();
        let input = MigrationInput::new(&asked, &cluster, &all);
        Scene::with(&input, &policy, Purpose::Optimize, |scene| {
            let one = relieve(scene, &State::new(scene)).moves.remove(0);
            assert_eq!((one.size, one.why.as_str()), (Disk(150), "datastore 0 is 90.1 % full"));
        });
        Scene::with(&input, &policy, Purpose::Drain, |scene| {
            assert!(relieve(scene, &State::new(scene)).moves.is_empty());
        });
    }

    #[test]
    fn only_datastores_between_which_oned_moves_disks_count() {
        type Change = fn(&mut Snapshot);
        let topology = |pin_policy| {
            let (threads, hugepage, nodes) = (0, crate::model::units::Memory(0), Vec::new());
            Some(Topology { pin_policy, threads, hugepage, node_affinity: None, nodes })
        };
        let with = |change: &dyn Fn(&mut Vm)| {
            let mut asked = asked(&[900, 0], &[100]);
            change(&mut asked.vms[0]);
            relieved(&asked, Optimize { move_pinned: true, ..optimize() }).0.len()
        };
        assert_eq!(with(&|vm| vm.topology = topology(PinPolicy::Core)), 0);
        assert_eq!(with(&|vm| vm.topology = topology(PinPolicy::None)), 1);
        assert_eq!(with(&|vm| vm.pci = vec![PciRequest::Unmatchable]), 0);
        let table: [(Change, bool); 11] = [
            (|_| (), true),
            (|asked| asked.datastores[0].shared = false, false),
            (|asked| asked.datastores[0].system = false, false),
            (|asked| asked.datastores[0].moves_live = false, false),
            (|asked| asked.datastores[1].shared = false, false),
            (|asked| asked.datastores[1].system = false, false),
            (|asked| asked.datastores[1].driver = "ceph".to_owned(), false),
            (|asked| asked.datastores[1].clusters = vec![ClusterId(9)], false),
            (|asked| asked.candidates[0].datastores = [0].into(), false),
            (|asked| asked.vms[0].state = VmState::Parked, false),
            (|asked| asked.datastores[0].total = Disk(0), false),
        ];
        for (number, (change, expected)) in table.into_iter().enumerate() {
            let mut asked = asked(&[900, 0], &[100]);
            change(&mut asked);
            assert_eq!(moves(&asked) == [(0, 1)], expected, "{number}");
            assert_eq!(moves(&asked).is_empty(), !expected, "{number}");
        }
    }

    #[test]
    fn what_leaves_already_or_comes_counts_as_if_it_were_there() {
        let mut asked = asked(&[900, 0, 650], &[100]);
        let flies = run(&mut asked, 1, 0, &[0]);
        let stay = |host: i32| Stay { host: HostId(host), began: 1, ended: 0 };
        asked.vms[flies].system_disk = Disk(100);
        (asked.vms[flies].transient, asked.vms[flies].datastore) = (true, Some(DatastoreId(2)));
        asked.vms[flies].stays = vec![stay(0), stay(0)];
        assert_eq!(moves(&asked), [], "it is on its way from there");
        asked.vms[flies].stays = vec![stay(1), stay(0)];
        assert_eq!(moves(&asked), [(0, 1)], "it came from another host");
        asked.vms[flies].stays = vec![stay(0), stay(0)];
        asked.vms[flies].transient = false;
        assert_eq!(moves(&asked), [(0, 1)]);
        // one that goes where another one might
        (asked.vms[flies].transient, asked.vms[flies].system_disk) = (true, Disk(60));
        asked.datastores[1].free = Disk(250);
        assert_eq!(moves(&asked), []);
    }

    #[test]
    fn who_goes_to_another_host_in_the_plan_keeps_its_datastore() {
        let mut asked = asked(&[900, 0], &[100, 150]);
        asked.hosts.push(crate::model::snapshot::Host { id: HostId(1), ..asked.hosts[0].clone() });
        asked.candidates.iter_mut().for_each(|one| one.hosts = [0, 1].into());
        let (all, policy) = (demands(&asked), Policy { optimize: optimize(), ..Policy::default() });
        let cluster = Cluster::default();
        let input = MigrationInput::new(&asked, &cluster, &all);
        Scene::with(&input, &policy, Purpose::Optimize, |scene| {
            let mut state = State::new(scene);
            let moved =
                |state: &State<'_>| relieve(scene, state).moves.iter().map(|one| one.request).collect::<Vec<_>>();
            assert_eq!(moved(&state), [0]);
            state.put(0, Some(1));
            assert_eq!(moved(&state), [1]);
        });
        // what goes to another host is one of the migrations that are allowed
        let limited = Policy { optimize: Optimize { migrations: Some(1), ..optimize() }, ..Policy::default() };
        Scene::with(&input, &limited, Purpose::Optimize, |scene| {
            let mut state = State::new(scene);
            assert_eq!(relieve(scene, &state).moves.len(), 1);
            state.put(0, Some(1));
            let relief = relieve(scene, &state);
            assert_eq!((relief.moves.len(), relief.notices.len()), (0, 1));
            state.put(1, Some(1));
            assert_eq!(relieve(scene, &state).moves.len(), 0);
        });
    }
}

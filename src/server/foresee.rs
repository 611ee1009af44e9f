//! What mm_sched will do with an answer, as far as it can be known.
//!
//! A VM that the answer leaves out is decided by mm_sched itself, at once: it takes the room
//! that the answer gave to others. A VM that is sent to a host where it does not fit waits. So
//! a VM that has to wait is sent to one of its own hosts that has no room for it, best to one
//! that is full already, else to one that the others will have filled when its turn comes:
//! mm_sched goes by id. Never to a host that it did not name, which mm_sched would obey.

use crate::model::ids::{HostId, VmId};
use crate::model::snapshot::Snapshot;
use crate::model::units::{Cpu, Memory};
use std::collections::{BTreeMap, BTreeSet};

/// What to answer for VMs that have to wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Sent to a host without room for them, by id.
    pub held: Vec<(VmId, HostId)>,
    /// mm_sched has no room for them either.
    pub nowhere: Vec<VmId>,
    /// mm_sched will start them somewhere, whatever the answer says.
    pub unheld: Vec<VmId>,
    /// They have a host and room there, but this cycle has started as many as it may.
    pub next: BTreeSet<VmId>,
}

/// How many VMs mm_sched starts in one cycle, by sched.conf; `None` does not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycle {
    /// MAX_HOST: on each host.
    pub max_host: Option<u32>,
    /// MAX_DISPATCH: in all.
    pub max_dispatch: Option<u32>,
}

impl Cycle {
    /// Who comes next is told this.
    pub fn text(&self) -> String {
        let limits = [
            self.max_host.map(|most| format!("{most} on each host (serve.max_host)")),
            self.max_dispatch.map(|most| format!("{most} in all (serve.max_dispatch)")),
        ];
        let limits: Vec<String> = limits.into_iter().flatten().collect();
        format!("in one cycle mm_sched starts at most {}", limits.join(", and "))
    }
}

/// Room on a host, and VMs that this cycle has started there.
#[derive(Clone, Copy, Debug)]
struct Room {
    cpu: Cpu,
    memory: Memory,
    started: u32,
}

impl Room {
    fn takes(&self, (cpu, memory): (Cpu, Memory), max_host: u32) -> bool {
        cpu <= self.cpu && memory <= self.memory && self.started < max_host
    }

    fn take(&mut self, (cpu, memory): (Cpu, Memory)) {
        self.cpu -= cpu;
        self.memory -= memory;
        self.started += 1;
    }
}

/// A VM of the batch that was planned before the others; the snapshot has it on its host.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// The VM.
    pub vm: VmId,
    /// Where it goes.
    pub host: HostId,
    /// What it takes there.
    pub size: (Cpu, Memory),
}

/// Looks at each VM of the snapshot that `placed` leaves waiting, and whose turn comes in a later `cycle`.
/// O(candidates).
pub fn foresee(snapshot: &Snapshot, placed: &[(VmId, HostId)], ahead: &[Ahead], cycle: Cycle) -> Waiting {
    let max_host = cycle.max_host.unwrap_or(u32::MAX);
    let max_dispatch = cycle.max_dispatch.unwrap_or(u32::MAX);
    let mut dispatched = 0;
    let mut before: Vec<Room> = snapshot
        .hosts
        .iter()
        .map(|host| Room {
            cpu: host.cpu - host.cpu_allocated,
            memory: host.memory - host.memory_allocated,
            started: 0,
        })
        .collect();
    for one in ahead {
        if let Some(host) = snapshot.host_index(one.host) {
            before[host].cpu += one.size.0;
            before[host].memory += one.size.1;
        }
    }
    let mut rooms = before.clone();
    let mut ahead: Vec<&Ahead> = ahead.iter().collect();
    ahead.sort_by_key(|one| one.vm);
    let mut ahead = ahead.into_iter().peekable();
    let goes_to: BTreeMap<VmId, HostId> = placed.iter().copied().collect();
    let mut waiting = Waiting::default();
    let mut next = BTreeSet::new();
    // a limit in all that is wrong here must not make anybody's room look free: it only tells who comes next
    let mut start = |rooms: &mut [Room], vm: VmId, host: HostId, size: (Cpu, Memory)| {
        let Some(room) = snapshot.host_index(host).map(|host| &mut rooms[host]) else { return };
        let its_turn = room.started < max_host && dispatched < max_dispatch;
        if room.takes(size, max_host) {
            room.take(size);
            dispatched = dispatched.saturating_add(1);
        }
        if !its_turn {
            next.insert(vm);
        }
    };
    let mut turns: Vec<_> = snapshot.candidates.iter().collect();
    turns.sort_by_key(|candidates| snapshot.vms[candidates.vm].id);
    for candidates in turns {
        let vm = &snapshot.vms[candidates.vm];
        let size = (vm.cpu, vm.memory);
        while let Some(one) = ahead.next_if(|one| one.vm < vm.id) {
            start(&mut rooms, one.vm, one.host, one.size);
        }
        if let Some(host) = goes_to.get(&vm.id) {
            start(&mut rooms, vm.id, *host, size);
            continue;
        }
        let hosts = || candidates.hosts.iter().map(|host| *host as usize);
        let full_before = hosts().find(|host| !before[*host].takes(size, u32::MAX));
        let full = full_before.or_else(|| hosts().find(|host| !rooms[*host].takes(size, max_host)));
        match full {
            _ if hosts().all(|host| !before[host].takes(size, u32::MAX)) => waiting.nowhere.push(vm.id),
            Some(host) => waiting.held.push((vm.id, snapshot.hosts[host].id)),
            None => waiting.unheld.push(vm.id),
        }
    }
    for one in ahead {
        start(&mut rooms, one.vm, one.host, one.size);
    }
    Waiting { next, ..waiting }
}

/// The ids of a list, for a line of the log.
pub fn listed(vms: &[VmId]) -> String {
    const SHOWN: usize = 20;
    let sorted: BTreeSet<VmId> = vms.iter().copied().collect();
    let mut text = sorted.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(",");
    if sorted.len() > SHOWN {
        text.push_str(&format!(" and {} more", sorted.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Candidates, Host, Vm};
    use std::sync::Arc;

    /// Hosts of (cores, allocated) with ids from 10; VMs of (id, cores, indices of hosts).
    fn snapshot(hosts: &[(i64, i64)], vms: &[(i32, i64, &[u32])]) -> Snapshot {
        let hosts = hosts.iter().zip(10..).map(|((cores, allocated), id)| Host {
            cpu_allocated: Cpu(allocated * 100),
            ..Host::plain(HostId(id), Cpu(cores * 100), Memory(1 << 30))
        });
        let candidates = vms.iter().enumerate().map(|(vm, (_, _, hosts))| Candidates {
            vm,
            hosts: Arc::from(*hosts),
            datastores: Arc::from([0]),
            nics: Vec::new(),
        });
        let vms = vms.iter().map(|(id, cores, _)| Vm::plain(VmId(*id), Cpu(cores * 100), Memory(1)));
        Snapshot { hosts: hosts.collect(), vms: vms.collect(), candidates: candidates.collect(), ..Snapshot::default() }
    }

    #[test]
    fn who_waits_is_sent_where_there_is_no_room() {
        let ids = |vms: &[i32]| vms.iter().copied().map(VmId).collect::<Vec<_>>();
        let to = |pairs: &[(i32, i32)]| pairs.iter().map(|(vm, host)| (VmId(*vm), HostId(*host))).collect::<Vec<_>>();
        for (what, hosts, vms, placed, max_host, right) in [
            (
                "a host that is full already goes before one that will be",
                &[(8, 0), (8, 7)][..],
                &[(1, 8, &[0, 1][..]), (2, 4, &[0, 1]), (3, 2, &[0, 1])][..],
                &[(1, 10)][..],
                None,
                Waiting { held: to(&[(2, 11), (3, 11)]), ..Waiting::default() },
            ),
            (
                "at its turn the others have filled it",
                &[(8, 0)],
                &[(1, 6, &[0]), (2, 4, &[0])],
                &[(1, 10)],
                None,
                Waiting { held: to(&[(2, 10)]), ..Waiting::default() },
            ),
            (
                "its turn comes first",
                &[(8, 0)],
                &[(1, 4, &[0]), (2, 6, &[0])],
                &[(2, 10)],
                None,
                Waiting { unheld: ids(&[1]), ..Waiting::default() },
            ),
            (
                "larger than any host",
                &[(8, 0), (8, 0)],
                &[(1, 9, &[0, 1])],
                &[],
                None,
                Waiting { nowhere: ids(&[1]), ..Waiting::default() },
            ),
            (
                "MAX_HOST fills a host as well",
                &[(8, 0)],
                &[(1, 1, &[0]), (2, 1, &[0])],
                &[(1, 10)],
                Some(1),
                Waiting { held: to(&[(2, 10)]), ..Waiting::default() },
            ),
            (
                "beyond MAX_HOST they come next, by id",
                &[(8, 0), (8, 0)],
                &[(1, 1, &[0, 1]), (2, 1, &[0, 1]), (3, 1, &[0, 1])],
                &[(1, 11), (2, 10), (3, 11)],
                Some(1),
                Waiting { next: [VmId(3)].into(), ..Waiting::default() },
            ),
            (
                "never to a host that it did not name",
                &[(8, 0), (8, 8)],
                &[(1, 4, &[0]), (2, 8, &[0])],
                &[(2, 10)],
                None,
                Waiting { unheld: ids(&[1]), ..Waiting::default() },
            ),
        ] {
            let cycle = Cycle { max_host, max_dispatch: Some(30) };
            assert_eq!(foresee(&snapshot(hosts, vms), &to(placed), &[], cycle), right, "{what}");
        }
        // who was planned before the others has its turn by its id all the same
        let ahead = |vm| [Ahead { vm: VmId(vm), host: HostId(10), size: (Cpu(600), Memory(1)) }];
        let waits = |vm| foresee(&snapshot(&[(8, 6)], &[(5, 4, &[0])]), &[], &ahead(vm), Cycle::default());
        assert_eq!(waits(4), Waiting { held: to(&[(5, 10)]), ..Waiting::default() });
        assert_eq!(waits(6), Waiting { unheld: ids(&[5]), ..Waiting::default() });
    }

    #[test]
    fn a_list_names_twenty_and_counts_the_rest() {
        let list = |count: i32| listed(&(0..count).rev().map(VmId).collect::<Vec<_>>());
        assert_eq!(list(3), "0,1,2");
        assert!(list(20).ends_with(",18,19"), "{}", list(20));
        assert!(list(21).ends_with(",19 and 1 more"), "{}", list(21));
        assert_eq!(listed(&[VmId(4), VmId(4)]), "4");
    }

    #[test]
    fn beyond_the_limit_of_a_cycle_they_come_next() {
        let snapshot = snapshot(&[(8, 0), (8, 0)], &[(1, 1, &[0]), (2, 1, &[0]), (4, 9, &[0]), (5, 1, &[1])]);
        let placed = [(VmId(1), HostId(10)), (VmId(2), HostId(10)), (VmId(5), HostId(11))];
        let ahead = |vm| Ahead { vm: VmId(vm), host: HostId(11), size: (Cpu(100), Memory(1)) };
        for (max_host, max_dispatch, ahead, right) in [
            (None, None, vec![], vec![]),
            (Some(1), None, vec![], vec![2]),
            // who waits for the room of a host takes no turn, and neither does who waits for MAX_HOST
            (Some(1), Some(2), vec![], vec![2]),
            (None, Some(2), vec![], vec![5]),
            (None, Some(1), vec![], vec![2, 5]),
            // who was planned before the others has its turn by its id
            (None, Some(2), vec![ahead(0)], vec![2, 5]),
            (None, Some(3), vec![ahead(6)], vec![6]),
            (Some(1), None, vec![ahead(6)], vec![2, 6]),
        ] {
            let cycle = Cycle { max_host, max_dispatch };
            let next = foresee(&snapshot, &placed, &ahead, cycle).next;
            assert_eq!(next.iter().map(|vm| vm.0).collect::<Vec<_>>(), right, "{cycle:?} {ahead:?}");
        }
        let both = Cycle { max_host: Some(1), max_dispatch: Some(30) };
        let text = "in one cycle mm_sched starts at most 1 on each host (serve.max_host), and 30 in all \
                    (serve.max_dispatch)";
        assert_eq!(both.text(), text);
    }

    #[test]
    fn who_was_planned_before_the_others_leaves_memory_as_well_as_cpu() {
        let mut snapshot = snapshot(&[(8, 0)], &[(5, 1, &[0])]);
        snapshot.hosts[0].memory_allocated = snapshot.hosts[0].memory;
        let taken = |vm, memory| [Ahead { vm: VmId(vm), host: HostId(10), size: (Cpu(0), Memory(memory)) }];
        let of = |ahead: &[Ahead]| foresee(&snapshot, &[], ahead, Cycle::default());
        // without it the host is full for good
        assert_eq!(of(&[]).nowhere, [VmId(5)]);
        // before its turn there is room, and after it there is none
        assert_eq!((of(&taken(6, 1)).unheld, of(&taken(4, 1)).held), (vec![VmId(5)], vec![(VmId(5), HostId(10))]));
        let elsewhere = [Ahead { vm: VmId(6), host: HostId(99), size: (Cpu(0), Memory(1)) }];
        assert_eq!(of(&elsewhere).nowhere, [VmId(5)], "a host that is not there");
        let cycle = Cycle { max_host: None, max_dispatch: Some(3) };
        assert_eq!(cycle.text(), "in one cycle mm_sched starts at most 3 in all (serve.max_dispatch)");
    }

    #[test]
    fn turns_come_by_id_whatever_the_order_of_the_batch() {
        let held = |vms: &[(i32, i64, &[u32])], ahead: &[Ahead], placed: &[(VmId, HostId)]| {
            foresee(&snapshot(&[(8, 0)], vms), placed, ahead, Cycle::default()).held
        };
        // VM 1 has filled the host when the turn of VM 2 comes
        let two = [(VmId(2), HostId(10))];
        assert_eq!(held(&[(2, 4, &[0]), (1, 6, &[0])], &[], &[(VmId(1), HostId(10))]), two);
        let ahead = |vm, cores: i64| Ahead { vm: VmId(vm), host: HostId(10), size: (Cpu(100 * cores), Memory(1)) };
        let full = snapshot(&[(8, 8)], &[(5, 4, &[0])]);
        let found = foresee(&full, &[], &[ahead(6, 2), ahead(4, 6)], Cycle::default());
        assert_eq!((found.held, found.unheld), (vec![(VmId(5), HostId(10))], vec![]));
    }
}

//! A report on a cluster, never an action: VMs that ask for far more or less than they use, what the cluster
//! could hold more, and which hosts it does not need. By own histories where it speaks of VMs, by the one
//! estimate and the one score where it speaks of hosts.

use super::migrate::MigrationInput;
use super::score::load::Load;
use super::score::space::{Share, Space};
use crate::model::advice::{Advice, Amount, Histories, Room, Seen, Sized};
use crate::model::demand::{Demand, Demands};
use crate::model::ids::{HostId, VmId};
use crate::model::policy::Policy;
use crate::model::sketch::{Sketch, Spread};
use crate::model::snapshot::{Host, Snapshot, Vm, VmState};
use crate::model::units::{Cpu, Memory};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Days of own history without which nothing is said of a VM: what it does by day and by night.
const DAYS: f64 = 1.0;

/// The same in samples, where days are not known: a day of one every five minutes. A quarter of that is needed
/// in any case.
const SAMPLES: u64 = 288;

/// What was used is enough with a fifth on top.
const ON_TOP: f64 = 1.2;

/// A VM asks for far more where it asks for so many times what is enough, and for at least so much more.
const FAR: i64 = 2;
const FAR_CPU: i64 = 50;
const FAR_MEMORY: i64 = 1024 * 1024;

/// A VM uses more than it asks for where it is above by more than a tenth.
const ABOVE: f64 = 1.1;

/// Sizes are told in tenths of a core and eighths of a GiB.
const STEP_CPU: i64 = 10;
const STEP_MEMORY: i64 = 128 * 1024;

/// VMs that a host is filled with to see how many it would hold; more is no answer.
const MOST: usize = 10_000;

/// All of the report but the hosts that are not needed.
#[must_use]
pub fn advise(input: &MigrationInput<'_>, policy: &Policy, histories: &Histories) -> Advice {
    let MigrationInput { snapshot, cluster, demands, .. } = *input;
    let policy = cluster.drs.over(policy);
    let mut advice =
        Advice { cluster: cluster.id, name: cluster.name.clone(), hosts: snapshot.hosts.len(), ..Advice::default() };
    let mut back: HashMap<HostId, Amount> = HashMap::new();
    let running: Vec<usize> = running(snapshot).collect();
    for &request in &running {
        let vm = vm(snapshot, request);
        advice.vms += 1;
        let Some(seen) = histories.get(&vm.id).filter(|seen| tells(seen)) else {
            advice.unknown += 1;
            continue;
        };
        match sized(vm, seen) {
            Some(one) if one.enough.cpu > one.asks.cpu => advice.under.push(one),
            Some(one) => {
                let gain = Amount { cpu: one.asks.cpu - one.enough.cpu, memory: one.asks.memory - one.enough.memory };
                add(&mut advice.gain, gain);
                vm.host.into_iter().for_each(|host| add(back.entry(host).or_default(), gain));
                advice.over.push(one);
            }
            None => advice.right += 1,
        }
    }
    let (cpu, memory) = capacity(snapshot);
    let gain = |one: &Sized| {
        (one.asks.cpu.0 - one.enough.cpu.0) as f64 / cpu + (one.asks.memory.0 - one.enough.memory.0) as f64 / memory
    };
    advice.over.sort_by(|a, b| gain(b).total_cmp(&gain(a)).then(a.vm.cmp(&b.vm)));
    advice.under.sort_by_key(|one| (Reverse(one.enough.cpu.0 - one.asks.cpu.0), one.vm));
    advice.room = room(snapshot, demands, &policy, &running, &back);
    advice
}

/// Demands of a moment in which every VM uses what it uses at its peak.
#[must_use]
pub fn at_their_peaks(snapshot: &Snapshot, demands: &Demands, histories: &Histories) -> Demands {
    let mut peaks = demands.clone();
    let mut more: HashMap<HostId, f64> = HashMap::new();
    for (request, demand) in peaks.vms.iter_mut().enumerate() {
        let vm = vm(snapshot, request);
        let seen = histories.get(&vm.id);
        let cpu = seen.map_or(0.0, |seen| seen.cpu).max(demand.peak.cpu).max(demand.level.cpu);
        if let Some(host) = vm.host.filter(|_| vm.state == VmState::Active) {
            *more.entry(host).or_default() += cpu - demand.level.cpu;
        }
        demand.peak.cpu = cpu;
        demand.level.cpu = cpu;
        // a peak is as much as it gets
        (demand.cpu_deviation, demand.sketch) = (0.0, Sketch::default());
    }
    for (host, at) in snapshot.hosts.iter().zip(&mut peaks.hosts) {
        at.usage.cpu += more.get(&host.id).copied().unwrap_or(0.0);
        at.spread = Spread::default();
    }
    peaks
}

fn vm(snapshot: &Snapshot, request: usize) -> &Vm {
    &snapshot.vms[snapshot.candidates[request].vm]
}

/// Requests of VMs that run.
fn running(snapshot: &Snapshot) -> impl Iterator<Item = usize> + '_ {
    (0..snapshot.candidates.len()).filter(|&request| vm(snapshot, request).state == VmState::Active)
}

fn tells(seen: &Seen) -> bool {
    seen.days.map_or(seen.samples >= SAMPLES, |days| days >= DAYS && seen.samples >= SAMPLES / 4)
}

fn add(sum: &mut Amount, more: Amount) {
    sum.cpu += more.cpu;
    sum.memory += more.memory;
}

/// Capacity of all hosts, at least 1.
fn capacity(snapshot: &Snapshot) -> (f64, f64) {
    let sum = |of: fn(&Host) -> i64| snapshot.hosts.iter().map(|host| of(host).max(0) as f64).sum::<f64>().max(1.0);
    (sum(|host| host.cpu.0), sum(|host| host.memory.0))
}

/// What would be enough, where that is far from what is asked for. A VM cannot use more memory than it asks for,
/// so only of CPU it may need more.
fn sized(vm: &Vm, seen: &Seen) -> Option<Sized> {
    let up = |used: f64, step: i64| ((used * ON_TOP / step as f64).ceil() as i64).saturating_mul(step).max(step);
    let (cpu, memory) = (up(seen.cpu, STEP_CPU), up(seen.memory, STEP_MEMORY));
    let far =
        |asks: i64, enough: i64, least: i64| asks >= enough.saturating_mul(FAR) && asks.saturating_sub(enough) >= least;
    let asks = Amount { cpu: vm.cpu, memory: vm.memory };
    let mut enough = asks;
    if seen.cpu > asks.cpu.0 as f64 * ABOVE || far(asks.cpu.0, cpu, FAR_CPU) {
        enough.cpu = Cpu(cpu);
    }
    if far(asks.memory.0, memory, FAR_MEMORY) {
        enough.memory = Memory(memory);
    }
    (enough != asks).then(|| Sized { vm: vm.id, name: vm.name.clone(), asks, enough, seen: *seen })
}

/// How many more VMs of the usual size the hosts would hold.
fn room(
    snapshot: &Snapshot,
    demands: &Demands,
    policy: &Policy,
    running: &[usize],
    back: &HashMap<HostId, Amount>,
) -> Room {
    let median = |of: fn(&Vm) -> i64| {
        let mut sizes: Vec<i64> = running.iter().map(|&request| of(vm(snapshot, request))).collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied().unwrap_or(0).max(0)
    };
    let typical = Amount { cpu: Cpu(median(|vm| vm.cpu.0)), memory: Memory(median(|vm| vm.memory.0)) };
    if typical.cpu.0 <= 0 && typical.memory.0 <= 0 {
        return Room { typical, ..Room::default() };
    }
    let takes = |host: &Host| host.enabled && !host.closed;
    let fit = |free: i64, one: i64| if one > 0 { (free.max(0) / one) as usize } else { usize::MAX };
    let allocated = |back: &dyn Fn(HostId) -> Amount| -> usize {
        let free = |host: &Host| {
            let back = back(host.id);
            let cpu = host.cpu.0 - host.cpu_allocated.0 + back.cpu.0;
            let memory = host.memory.0 - host.memory_allocated.0 + back.memory.0;
            fit(cpu, typical.cpu.0).min(fit(memory, typical.memory.0)).min(MOST)
        };
        snapshot.hosts.iter().filter(|host| takes(host)).map(free).sum()
    };
    let space = Space::of_cluster(snapshot, demands, policy);
    let load = Load::new(&space, snapshot, policy);
    let one = mean(&running.iter().map(|&request| demands.vms[request]).collect::<Vec<_>>());
    let by_use = |index: usize| {
        let more = Share {
            cpu: one.cpu / (snapshot.hosts[index].cpu.0 as f64).max(1.0),
            memory: one.memory / (snapshot.hosts[index].memory.0 as f64).max(1.0),
            spread: one.spread.times(1.0 / (snapshot.hosts[index].cpu.0 as f64).max(1.0)),
            ..Share::default()
        };
        if more.cpu <= 0.0 && more.memory <= 0.0 {
            return 0;
        }
        let (mut all, mut count) = (more, 0);
        loop {
            let (before, after) = load.excess_with(index, &all);
            if after > before || count == MOST {
                return count;
            }
            count += 1;
            all = all.plus(&more);
        }
    };
    let hosts = || snapshot.hosts.iter().enumerate().filter(|(_, host)| takes(host));
    Room {
        typical,
        by_allocation: allocated(&|_| Amount::default()),
        by_right_size: allocated(&|host| back.get(&host).copied().unwrap_or_default()),
        by_use: hosts().map(|(index, _)| by_use(index)).sum(),
    }
}

/// What a VM is expected to use, on average over VMs.
struct Mean {
    cpu: f64,
    memory: f64,
    spread: Spread,
}

fn mean(demands: &[Demand]) -> Mean {
    let count = demands.len().max(1) as f64;
    let sum = |of: fn(&Demand) -> f64| demands.iter().map(of).sum::<f64>() / count;
    let together = demands.iter().fold(Sketch::default(), |sum, demand| sum + demand.sketch.times(1.0 / count));
    Mean {
        cpu: sum(|demand| demand.planned().cpu),
        memory: sum(|demand| demand.planned().memory),
        spread: Spread::of(sum(|demand| demand.cpu_deviation.powi(2)).max(0.0).sqrt(), together),
    }
}

/// Hosts that hold no VM, with `at` telling where VMs are: those that take VMs, since others are needed or not
/// for reasons of their own.
#[must_use]
pub fn empty(snapshot: &Snapshot, at: impl Fn(VmId) -> Option<HostId>) -> Vec<HostId> {
    let mut held: HashMap<HostId, usize> = HashMap::new();
    for host in &snapshot.hosts {
        for vm in &host.vms {
            *held.entry(at(*vm).unwrap_or(host.id)).or_default() += 1;
        }
    }
    let bound = |vm: &&Vm| matches!(vm.state, VmState::Active | VmState::Parked);
    for vm in snapshot.vms.iter().filter(bound) {
        if let Some(host) = at(vm.id).or(vm.host) {
            *held.entry(host).or_default() += 1;
        }
    }
    let free = |host: &&Host| host.enabled && !host.closed && !held.contains_key(&host.id);
    snapshot.hosts.iter().filter(free).map(|host| host.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::testing::{cloud, demands, run};

    /// How many more VMs would fit by allocation, and by right size where host 0 gives so much back.
    fn fits(asked: &Snapshot, back: Amount) -> (usize, usize) {
        let all: Vec<usize> = running(asked).collect();
        let back = HashMap::from([(asked.hosts[0].id, back)]);
        let found = room(asked, &demands(asked), &Policy::default(), &all, &back);
        (found.by_allocation, found.by_right_size)
    }

    #[test]
    fn as_many_fit_as_cpu_and_memory_allow_on_hosts_that_take_vms() {
        let mut asked = cloud(&[8, 8]);
        run(&mut asked, 2, 0, &[0, 1]);
        asked.hosts[1].memory = Memory(3 * 1024);
        let nothing = Amount::default();
        // three more on host 0, three by memory on host 1
        assert_eq!(fits(&asked, nothing), (6, 6));
        assert_eq!(fits(&asked, Amount { cpu: Cpu(150), ..nothing }), (6, 6));
        assert_eq!(fits(&asked, Amount { cpu: Cpu(200), ..nothing }), (6, 7));
        asked.hosts[1].closed = true;
        assert_eq!(fits(&asked, nothing).0, 3);
        (asked.hosts[1].closed, asked.hosts[1].enabled) = (false, false);
        assert_eq!(fits(&asked, nothing).0, 3);
        // more is allocated than there is
        asked.hosts[0].cpu_allocated = Cpu(900);
        assert_eq!(fits(&asked, nothing).0, 0);
    }

    #[test]
    fn amounts_are_added_by_resource() {
        let mut sum = Amount { cpu: Cpu(1), memory: Memory(2) };
        add(&mut sum, Amount { cpu: Cpu(10), memory: Memory(20) });
        assert_eq!((sum.cpu, sum.memory), (Cpu(11), Memory(22)));
    }

    #[test]
    fn vms_that_ask_for_no_cpu_are_counted_by_memory() {
        let mut asked = cloud(&[8]);
        run(&mut asked, 0, 0, &[0]);
        asked.hosts[0].memory = Memory(4 * 1024);
        assert_eq!(fits(&asked, Amount::default()), (3, 3));
        // who waits does not run
        asked.vms[0].state = VmState::Pending;
        assert_eq!(running(&asked).count(), 0);
        assert_eq!(fits(&asked, Amount::default()), (0, 0), "of nobody there is no usual size");
    }

    fn seen(cpu: f64, memory: f64, samples: u64, days: Option<f64>) -> Seen {
        Seen { cpu, memory, coverage: 0.99, samples, days }
    }

    #[test]
    fn a_vm_is_sized_by_a_day_of_its_own() {
        for (samples, days, expected) in [
            (288, None, true),
            (287, None, false),
            (72, Some(1.0), true),
            (71, Some(1.0), false),
            (9999, Some(0.99), false),
        ] {
            assert_eq!(tells(&seen(0.0, 0.0, samples, days)), expected, "{samples} {days:?}");
        }
    }

    #[test]
    fn what_is_far_from_enough_is_told_in_steps_with_a_fifth_on_top() {
        const MIB: i64 = 1024;
        let enough = |asks: (i64, i64), used: (f64, f64)| {
            let vm = Vm::plain(VmId(3), Cpu(asks.0), Memory(asks.1 * MIB));
            sized(&vm, &seen(used.0, used.1 * 1024.0, 300, None)).map(|one| {
                assert_eq!((one.vm, one.asks.cpu.0, one.asks.memory.0), (VmId(3), asks.0, asks.1 * MIB));
                (one.enough.cpu.0, one.enough.memory.0 / MIB)
            })
        };
        for (asks, used, expected) in [
            // 50 and a fifth are 60: half of 120, and 60 less
            ((120, 1024), (50.0, 900.0), Some((60, 1024))),
            ((119, 1024), (50.0, 900.0), None),
            ((120, 1024), (50.1, 900.0), None),
            // half, but by less than half a core
            ((90, 1024), (30.0, 900.0), Some((40, 1024))),
            ((80, 1024), (30.0, 900.0), None),
            // it uses a tenth more than it asks for
            ((100, 1024), (110.0, 900.0), None),
            ((100, 1024), (111.0, 900.0), Some((140, 1024))),
            // memory: a GiB less, and half of it
            ((100, 2048), (90.0, 700.0), Some((100, 896))),
            ((100, 1792), (90.0, 700.0), None),
            ((100, 2048), (90.0, 860.0), None),
            // nothing is no size
            ((100, 4096), (0.0, 0.0), Some((10, 128))),
        ] {
            assert_eq!(enough(asks, used), expected, "{asks:?} {used:?}");
        }
    }

    #[test]
    fn the_report_counts_each_vm_that_runs_once() {
        let mut asked = cloud(&[32, 8]);
        asked.hosts.iter_mut().for_each(|host| host.memory = Memory(16 << 20));
        let [little, much, right, unknown, less, parked, odd] = [(); 7].map(|()| run(&mut asked, 4, 0, &[0, 1]));
        asked.vms[odd].host = None;
        asked.vms[parked].state = VmState::Parked;
        let used = [(little, 10.0), (much, 500.0), (right, 300.0), (less, 100.0), (parked, 1.0), (odd, 460.0)];
        let histories: Histories =
            used.map(|(vm, cpu)| (asked.vms[vm].id, seen(cpu, 900.0, 999, None))).into_iter().collect();
        let cluster = crate::model::cluster::Cluster { name: "c".to_owned(), ..Default::default() };
        let all = demands(&asked);
        let found = advise(&MigrationInput::new(&asked, &cluster, &all), &Policy::default(), &histories);
        assert_eq!((found.name.as_str(), found.hosts, found.vms, found.unknown, found.right), ("c", 2, 6, 1, 1));
        let vms = |sized: &[Sized]| sized.iter().map(|one| one.vm.0 as usize).collect::<Vec<_>>();
        assert_eq!((vms(&found.over), vms(&found.under)), (vec![little, less], vec![much, odd]));
        // 400 less 20 and less 120
        assert_eq!(found.gain, Amount { cpu: Cpu(380 + 280), memory: Memory(0) });
        assert_eq!(asked.vms[unknown].id.0 as usize, unknown);
        // four cores are free on host 0, and nearly seven more would be
        assert_eq!((found.room.by_allocation, found.room.by_right_size), (3, 4));
    }

    #[test]
    fn at_its_peak_a_vm_uses_the_most_that_is_known_of_it_and_its_host_with_it() {
        let mut asked = cloud(&[8, 8]);
        let vms = [(); 4].map(|()| run(&mut asked, 1, 1, &[0, 1]));
        asked.vms[vms[3]].state = VmState::Parked;
        let mut all = demands(&asked);
        for (vm, (level, peak)) in vms.into_iter().zip([(10.0, 20.0), (30.0, 20.0), (10.0, 20.0), (10.0, 20.0)]) {
            (all.vms[vm].level.cpu, all.vms[vm].peak.cpu, all.vms[vm].cpu_deviation) = (level, peak, 5.0);
        }
        all.hosts[1].spread = Spread { alone: 4.0, ..Spread::default() };
        let (before, here) = (all.hosts[0].usage.cpu, all.hosts[1].usage.cpu);
        let histories: Histories = [(asked.vms[vms[2]].id, seen(70.0, 0.0, 1, None))].into();
        let peaks = at_their_peaks(&asked, &all, &histories);
        for (vm, expected) in vms.into_iter().zip([20.0, 30.0, 70.0, 20.0]) {
            let of = &peaks.vms[vm];
            assert_eq!((of.level.cpu, of.peak.cpu, of.cpu_deviation), (expected, expected, 0.0));
        }
        assert_eq!((peaks.hosts[0].usage.cpu, peaks.hosts[1].usage.cpu), (before, here + 10.0 + 60.0));
        assert_eq!(peaks.hosts[1].spread, Spread::default());
    }

    #[test]
    fn a_host_is_empty_where_nobody_is_or_will_be_and_it_takes_vms() {
        let mut asked = cloud(&[8, 8, 8, 8, 8]);
        let vm = run(&mut asked, 1, 0, &[0, 1]);
        asked.hosts[1].vms = vec![VmId(77)];
        let pending = run(&mut asked, 1, 2, &[0]);
        asked.hosts[2].vms.clear();
        asked.vms[pending].state = VmState::Pending;
        (asked.hosts[3].closed, asked.hosts[4].enabled) = (true, false);
        let ids = |hosts: Vec<HostId>| hosts.into_iter().map(|host| host.0).collect::<Vec<_>>();
        assert_eq!(ids(empty(&asked, |_| None)), [2]);
        let goes = |id: VmId| (id == asked.vms[vm].id).then_some(HostId(2));
        assert_eq!(ids(empty(&asked, goes)), [0]);
        // the host does not list it, but it is there
        asked.hosts[0].vms.clear();
        for (state, expected) in [(VmState::Active, vec![2]), (VmState::Parked, vec![2]), (VmState::Other, vec![0, 2])]
        {
            asked.vms[vm].state = state;
            assert_eq!(ids(empty(&asked, |_| None)), expected, "{state:?}");
        }
    }

    #[test]
    fn by_use_so_many_fit_as_hosts_are_expected_to_bear() {
        let mut asked = cloud(&[8, 4]);
        asked.hosts.iter_mut().for_each(|host| host.memory = Memory(16 * 1024));
        for _ in 0..2 {
            let vm = run(&mut asked, 4, 0, &[0, 1]);
            asked.vms[vm].memory = Memory(1024);
        }
        let mut all = demands(&asked);
        for demand in &mut all.vms {
            (demand.level.cpu, demand.peak.memory) = (100.0, 512.0);
        }
        (all.hosts[0].usage.cpu, all.hosts[0].usage.memory) = (200.0, 1024.0);
        let running: Vec<usize> = running(&asked).collect();
        let by_use =
            |asked: &Snapshot, all: &Demands| room(asked, all, &Policy::default(), &running, &HashMap::new()).by_use;
        // six cores on host 0, four on host 1
        assert_eq!(by_use(&asked, &all), 10);
        all.vms.iter_mut().for_each(|demand| demand.peak.memory = 4096.0);
        // three by memory on host 0, four on host 1
        assert_eq!(by_use(&asked, &all), 7);
        asked.hosts[1].closed = true;
        assert_eq!(by_use(&asked, &all), 3);
        for demand in &mut all.vms {
            (demand.level.cpu, demand.peak.memory) = (0.0, 0.0);
        }
        assert_eq!(by_use(&asked, &all), 0);
        // a tenth of a percent of a core each: more is no answer
        all.vms.iter_mut().for_each(|demand| demand.level.cpu = 0.01);
        assert_eq!(by_use(&asked, &all), MOST);
    }
}

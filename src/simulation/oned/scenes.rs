//! Scenarios ready for use.

use super::dice::{Span, uniform};
use super::scenario::{Happening, HostSpec, Millis, Monitoring, SECOND, Scenario, Use, VmSpec};
use crate::model::ids::{GroupId, VmId};
use crate::model::snapshot::{Host, RolePolicy};
use crate::simulation::cloud as simulated;
use crate::simulation::trace::Trace;

/// An hour.
pub const HOUR: Millis = 3600 * SECOND;

/// How long our answers take.
pub const QUICK: Span = Span::Between(0.04, 0.08);

/// Equal hosts.
#[must_use]
pub fn hosts(count: i32, cores: i64, gib: i64) -> Vec<HostSpec> {
    (0..count).map(|id| HostSpec::plain(id, cores, gib)).collect()
}

/// A small VM that uses a part of what it asks for.
#[must_use]
pub fn small(id: i32) -> VmSpec {
    VmSpec {
        id: VmId(id),
        cpu: 100,
        memory: 1 << 20,
        disk: 0,
        group: None,
        uses: Use::steady(0.4),
        template: 1,
        lives: None,
    }
}

/// A number of small VMs within some seconds, on empty hosts.
#[must_use]
pub fn burst(seed: u64, vms: i32, within: f64, on: i32) -> Scenario {
    let mut scenario = Scenario::quiet(seed, hosts(on, 8, 64), 2 * HOUR);
    for id in 0..vms {
        let at = (f64::from(id) / f64::from(vms.max(1)) * within * 1000.0) as Millis;
        scenario.happenings.push((at, Happening::Create(Box::new(small(id)))));
    }
    scenario.ends_when_all_run = true;
    scenario.sorted()
}

/// One VM every so often, on equal hosts that are measured every so often, in seconds.
#[must_use]
pub fn trickle(seed: u64, every: i64, samples: i64, lasts: Millis) -> Scenario {
    let mut scenario = Scenario::quiet(seed, hosts(8, 64, 256), lasts);
    scenario.monitoring = Monitoring { host: samples * SECOND, ..Monitoring::default() };
    for id in 0..(lasts / (every * SECOND)) {
        let at = id * every * SECOND + SECOND;
        scenario.happenings.push((at, Happening::Create(Box::new(small(id as i32)))));
    }
    scenario.sorted()
}

/// VMs that come within a minute to hosts of which the first fails every start.
#[must_use]
pub fn failing_host(seed: u64, vms: i32, on: i32) -> Scenario {
    let mut scenario = burst(seed, vms, 60.0, on);
    scenario.hosts.iter_mut().take(1).for_each(|host| host.fails = 1.0);
    scenario.ends = 4 * HOUR;
    scenario
}

/// How VMs of a mixed population are: small and large ones, of a few templates with their own habits.
fn mixed(seed: u64, id: i32, lives: Option<Millis>) -> VmSpec {
    let draw = |what: u64| uniform(&[seed, what, id as u64]);
    let template = (draw(1) * 6.0) as i32;
    let cores = [1, 1, 2, 2, 4, 8][(draw(2) * 6.0) as usize % 6];
    let level = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7][template as usize % 6] * (0.5 + draw(3));
    VmSpec {
        id: VmId(id),
        cpu: cores * 100,
        memory: cores * (2 << 20),
        disk: 10_240,
        group: None,
        uses: Use {
            level: level.min(0.9),
            swing: 0.4 * draw(4),
            peak_hour: 8.0 + 8.0 * draw(5),
            noise: 0.3,
            holds: 600,
            memory: 0.4 + 0.4 * draw(6),
            played: None,
        },
        template,
        lives,
    }
}

/// A living cloud: it begins with so many VMs, and as many come and go as live for so long on average.
#[must_use]
pub fn churn(seed: u64, on: i32, vms: i32, lives: Millis, lasts: Millis) -> Scenario {
    let mut scenario = Scenario::quiet(seed, hosts(on, 64, 256), lasts);
    scenario.settings.drs_interval = Some(600 * SECOND);
    let life = |id: i32, born: bool| {
        let whole = -(uniform(&[seed, 0x11fe, id as u64]).max(1e-9)).ln() * lives as f64;
        let rest = if born { uniform(&[seed, 0x11ff, id as u64]) } else { 1.0 };
        Some(((whole * rest) as Millis).max(60 * SECOND))
    };
    for id in 0..vms {
        // where they are says nothing about how loaded a host is
        let host = (uniform(&[seed, 0x405e, id as u64]) * f64::from(on)) as i32 % on.max(1);
        scenario.happenings.push((0, Happening::Born(Box::new(mixed(seed, id, life(id, true))), host)));
    }
    let every = (lives as f64 / f64::from(vms.max(1))).max(1.0);
    let (mut at, mut id) = (0.0, vms);
    loop {
        at += -(uniform(&[seed, 0xa7, id as u64]).max(1e-9)).ln() * every;
        if at >= lasts as f64 {
            break;
        }
        scenario.happenings.push((at as Millis, Happening::Create(Box::new(mixed(seed, id, life(id, false))))));
        id += 1;
    }
    scenario.sorted()
}

/// The VMs of a trace on hosts of some kinds: they come evenly within a time, use what the trace says over and
/// over, and stay.
#[must_use]
pub fn of_trace(seed: u64, trace: &Trace, hosts: &simulated::Cloud, within: Millis, lasts: Millis) -> Scenario {
    let kinds = hosts.kinds.iter().flat_map(|kind| std::iter::repeat_n(&kind.attributes, kind.count));
    let spec = |(host, attributes): (Host, &Vec<(String, String)>)| HostSpec {
        cpu: host.cpu.0,
        memory: host.memory.0,
        overhead: (0.0, 0.0),
        attributes: attributes.clone(),
        ..HostSpec::plain(host.id.0, 1, 1)
    };
    let mut scenario = Scenario::quiet(seed, hosts.hosts().into_iter().zip(kinds).map(spec).collect(), lasts);
    scenario.settings.drs_interval = Some(600 * SECOND);
    let span = trace.span().unwrap_or_default();
    let steps = ((span.1 - span.0) / 300).clamp(1, 288 * 14) as usize;
    let count = trace.vms.len().max(1) as i64;
    for (turn, vm) in (0..).zip(&trace.vms) {
        let asked = hosts.asked(vm);
        let used = vm.cpu_steps(span.0 - 1, steps, 300);
        let memory = vm.samples.iter().map(|sample| sample.usage.memory).sum::<f64>() / vm.samples.len().max(1) as f64;
        let uses = Use {
            memory: (memory / (vm.memory as f64).max(1.0)).min(1.0),
            played: Some(used.into_iter().map(|cpu| cpu / (asked.0 as f64).max(1.0)).collect()),
            ..Use::steady(0.0)
        };
        let spec = VmSpec {
            cpu: asked.0,
            memory: vm.memory,
            uses,
            template: 1,
            ..small(i32::try_from(turn).unwrap_or(i32::MAX))
        };
        scenario.happenings.push((within * turn / count, Happening::Create(Box::new(spec))));
    }
    scenario.sorted()
}

/// Anything at all: a small cloud in which chance decides what there is and what goes wrong.
#[must_use]
pub fn anything(seed: u64) -> Scenario {
    let draw = |what: u64| uniform(&[seed, 0xa11, what]);
    let among = |what: u64, count: usize| ((draw(what) * count as f64) as usize).min(count - 1);
    let on = 3 + among(1, 14) as i32;
    let lasts = HOUR + (draw(2) * 2.0 * HOUR as f64) as Millis;
    let mut scenario = Scenario::quiet(seed, hosts(on, [4, 8, 16, 32][among(3, 4)], [16, 64, 128][among(4, 3)]), lasts);
    for host in &mut scenario.hosts {
        let own = |what: u64| uniform(&[seed, 0xb05, host.id as u64, what]);
        host.cluster = i32::from(draw(5) < 0.3 && host.id >= on / 2);
        host.fails = if own(1) < 0.1 { own(2) } else { 0.0 };
        host.slowness = if own(3) < 0.1 { 1.0 + 9.0 * own(4) } else { 1.0 };
        if own(5) < 0.3 {
            host.cpu *= 2;
            host.memory *= 2;
        }
    }
    scenario.starts.takes =
        [Span::Between(1.0, 3.0), Span::Lognormal(5.0, 0.3), Span::Lognormal(10.0, 0.8), Span::Lognormal(60.0, 1.0)]
            [among(6, 4)];
    scenario.starts.never = if draw(7) < 0.2 { 0.02 } else { 0.0 };
    scenario.starts.recreated_after = [5.0, 30.0, 300.0][among(8, 3)];
    scenario.migrations_fail = if draw(9) < 0.3 { 0.2 } else { 0.0 };
    scenario.settings.answer = [QUICK, Span::Between(1.0, 3.0), Span::Between(10.0, 20.0)][among(10, 3)];
    scenario.settings.matching = [5, 200, 2000][among(11, 3)];
    scenario.settings.drs_interval = (draw(12) < 0.6).then_some(600 * SECOND);
    scenario.settings.actions_per_host = 1 + usize::from(draw(13) < 0.1);
    scenario.monitoring = Monitoring {
        host: [30, 120, 180, 600][among(14, 4)] * SECOND,
        vm: [60, 300][among(15, 2)] * SECOND,
        lost: if draw(16) < 0.3 { 0.2 } else { 0.0 },
        zero: if draw(17) < 0.3 { 0.1 } else { 0.0 },
        noise: if draw(18) < 0.5 { 0.15 } else { 0.0 },
        collected: draw(19) < 0.7,
    };
    let capacity: i64 = scenario.hosts.iter().map(|host| host.cpu).sum();
    let vms = (capacity as f64 / 250.0 * (0.2 + draw(20))) as i32 + 2;
    vms_of_anything(seed, &mut scenario, vms);
    misfortunes(seed, &mut scenario, vms);
    scenario.sorted()
}

/// Who comes and goes, in bursts and one by one, some of them in groups.
fn vms_of_anything(seed: u64, scenario: &mut Scenario, vms: i32) {
    let lasts = scenario.ends as f64;
    let mut starts = Vec::new();
    for id in 0..vms {
        let draw = |what: u64| uniform(&[seed, 0xc0e, id as u64, what]);
        // a third in one burst, a third in small ones, the rest whenever
        let at = match (draw(1) * 3.0) as i32 {
            0 => 0.2 * lasts + 20_000.0 * draw(2),
            1 => (draw(2) * 8.0).floor() / 8.0 * 0.6 * lasts + 5000.0 * draw(3),
            _ => 0.6 * lasts * draw(2),
        };
        starts.push((at as Millis, id));
    }
    // ids grow with time
    starts.sort_unstable();
    for ((at, _), id) in starts.into_iter().zip(0..) {
        let draw = |what: u64| uniform(&[seed, 0xc1e, id as u64, what]);
        let lives = (draw(1) < 0.3).then(|| (60_000.0 + 0.5 * lasts * draw(2)) as Millis);
        let mut vm = mixed(seed, id, lives);
        if draw(3) < 0.2 {
            let policy = if draw(4) < 0.6 { RolePolicy::AntiAffined } else { RolePolicy::Affined };
            let group = (draw(5) * 3.0) as i32 + if policy == RolePolicy::Affined { 10 } else { 0 };
            vm.group = Some((GroupId(group), policy));
            (vm.cpu, vm.memory) = (100, 1 << 20);
        }
        scenario.happenings.push((at, Happening::Create(Box::new(vm))));
    }
}

/// What goes wrong, and what people do.
fn misfortunes(seed: u64, scenario: &mut Scenario, vms: i32) {
    let (lasts, hosts) = (scenario.ends as f64, scenario.hosts.len() as f64);
    let chance = |kind: u64, what: u64| uniform(&[seed, 0x3ad, kind, what]);
    // who answers more slowly than VMs start needs a memory to know what is under way
    let quick = scenario.settings.answer == QUICK;
    let mut add = |at: f64, what: Happening| scenario.happenings.push((at as Millis, what));
    let moment = |kind: u64, turn: u64| 0.7 * lasts * chance(kind, 10 + turn);
    let vm = |kind: u64, turn: u64| VmId((f64::from(vms) * chance(kind, 100 + turn)) as i32);
    let host = |kind: u64, turn: u64| (hosts * chance(kind, 200 + turn)) as i32;
    for turn in 0..3 {
        if chance(1, turn) < 0.3 {
            add(moment(1, turn), Happening::Resched(vm(1, turn)));
        }
        if chance(2, turn) < 0.3 {
            add(moment(2, turn), Happening::Terminate(vm(2, turn)));
        }
        if chance(3, turn) < 0.3 {
            let cores = 1 + (4.0 * chance(3, 300 + turn)) as i64;
            add(moment(3, turn), Happening::Resize(vm(3, turn), cores * 100, cores << 20));
        }
    }
    if chance(4, 0) < 0.3 {
        let (at, which) = (moment(4, 0), host(4, 0));
        add(at, Happening::HostDies(which, 20_000));
        add(at + 600_000.0 + 600_000.0 * chance(4, 1), Happening::HostReturns(which));
    }
    if chance(5, 0) < 0.2 {
        add(moment(5, 0), Happening::HostDisabled(host(5, 0)));
    }
    if chance(6, 0) < 0.3 {
        let (at, which) = (moment(6, 0), host(6, 0));
        add(at, Happening::Samples(which, false));
        add(at + 0.2 * lasts, Happening::Samples(which, true));
    }
    if quick && chance(7, 0) < 0.3 {
        let at = moment(7, 0);
        add(at, Happening::Store(false));
        add(at + 0.3 * lasts * chance(7, 1), Happening::Store(true));
    }
    if quick && chance(8, 0) < 0.2 {
        let at = moment(8, 0);
        add(at, Happening::FrontEnd(1));
        add(at + 0.2 * lasts, Happening::FrontEnd(0));
    }
    if quick && chance(9, 0) < 0.2 {
        add(moment(9, 0), Happening::Restart);
    }
    if quick && chance(10, 0) < 0.2 {
        add(moment(10, 0), Happening::Clock((1200.0 * chance(10, 1) - 600.0) as i64));
    }
}

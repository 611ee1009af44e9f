//! Measured interference beside what was expected: whether hosts whose VMs were expected to load
//! them more were those where more waited for a CPU.
//!
//! A host's day is compared with what the estimates of its VMs said when it began. Correlations are
//! of ranks (Spearman), for pressure rises steeply where a host gets full. Nothing here decides.

use super::mix;
use super::model::Model;
use super::weighing::{HostDay, Weighing, weighed};
use crate::demand::memory::Memory;
use crate::model::ids::{HostId, VmId};
use crate::model::measure::Company;
use crate::model::resource::{PerResource, Resource};
use crate::model::sample::{VmIdentity, VmSample};
use std::collections::BTreeMap;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Steps of a day.
const STEPS: f64 = 96.0;

/// A host's day needs so many steps of pressure to be compared.
const FEWEST: u32 = 48;

/// What of a host's CPU its VMs were for, percent of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// What they asked for.
    pub asked: f64,
    /// What they were expected to use.
    pub expected: f64,
    /// The same by resource.
    pub resources: PerResource<f64>,
    /// Sum of their variances.
    pub variance: f64,
    /// What they used.
    pub used: f64,
    /// VMs, by the share of the day that they were there.
    pub vms: f64,
    /// Those of them without history, which count as what they ask for.
    pub young: f64,
    pressure: f64,
    steps: f64,
}

/// Days of hosts, being filled VM by VM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Days {
    days: BTreeMap<(HostId, i64), Load>,
}

impl Days {
    /// Adds a VM: its samples by time, and where it was.
    pub fn add(
        &mut self,
        identity: Option<&VmIdentity>,
        samples: &[VmSample],
        companies: &[Company],
        model: Option<&Model>,
    ) {
        let asked = identity.map_or(0.0, |who| who.cpu as f64);
        let mut memory = Memory::new();
        let mut rest = samples;
        for company in companies {
            let (before, after) = rest.split_at(rest.partition_point(|sample| sample.at <= company.day));
            before.iter().for_each(|sample| memory.add(sample));
            rest = after;
            let (Some(pressure), true) = (company.pressure, company.steps > 0) else { continue };
            let today = &after[..after.partition_point(|sample| sample.at <= company.day + DAY)];
            let share = f64::from(company.steps) / STEPS;
            let load = self.days.entry((company.host, company.day)).or_default();
            let traits = memory.traits();
            if traits.samples > 0 {
                let estimate = match model {
                    Some(model) => model.learn(&memory, identity).0,
                    None => mix::unfitted(&traits),
                };
                load.expected += share * estimate.level.cpu;
                load.resources.iter_mut().for_each(|(of, sum)| *sum += share * estimate.level.of(of).unwrap_or(0.0));
                load.variance += share * estimate.cpu_deviation.powi(2);
            } else {
                load.expected += share * asked;
                load.resources[Resource::Cpu] += share * asked;
                load.young += share;
            }
            let mean = today.iter().map(|sample| sample.usage.cpu).filter(|cpu| cpu.is_finite());
            let (sum, count) = mean.fold((0.0, 0.0), |(sum, count), cpu| (sum + cpu, count + 1.0));
            load.used += if count > 0.0 { share * sum / count } else { 0.0 };
            load.asked += share * asked;
            load.vms += share;
            load.pressure += pressure * f64::from(company.steps);
            load.steps += f64::from(company.steps);
        }
    }

    /// Days of hosts whose CPU (percent of a core) is known and that were measured long enough.
    fn known(&self, cpu: &BTreeMap<HostId, f64>) -> impl Iterator<Item = (HostId, i64, f64, &Load)> {
        self.days.iter().filter_map(|((host, day), load)| {
            let cpu = cpu.get(host).copied().filter(|cpu| *cpu > 0.0)?;
            (load.steps >= f64::from(FEWEST)).then_some((*host, *day, cpu, load))
        })
    }

    /// Compares all days of hosts whose CPU (percent of a core) is known; D weighs resources so.
    #[must_use]
    pub fn compared(&self, cpu: &BTreeMap<HostId, f64>, weights: &PerResource<f64>) -> Option<Compared> {
        let mut rows: Vec<[f64; 5]> = Vec::new();
        let (mut vms, mut young) = (0.0, 0.0);
        let mut hosts: Vec<HostId> = Vec::new();
        let mut days: Vec<HostDay> = Vec::new();
        for (host, day, cpu, load) in self.known(cpu) {
            let mut expected = load.resources;
            expected[Resource::Cpu] /= cpu;
            days.push(HostDay { day, expected, pressure: load.pressure / load.steps });
            let uncertain = load.expected + load.variance.sqrt();
            let [asked, expected, uncertain, used] =
                [load.asked, load.expected, uncertain, load.used].map(|amount| amount / cpu);
            rows.push([asked, expected, uncertain, used, load.pressure / load.steps]);
            vms += load.vms;
            young += load.young;
            hosts.push(host);
        }
        hosts.dedup();
        if rows.len() < 3 {
            return None;
        }
        let column = |index: usize| -> Vec<f64> { rows.iter().map(|row| row[index]).collect() };
        let pressure = column(4);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        Some(Compared {
            days: rows.len(),
            hosts: hosts.len(),
            mean: mean(&pressure),
            most: pressure.iter().copied().fold(0.0, f64::max),
            rows: NAMES
                .iter()
                .enumerate()
                .map(|(index, name)| {
                    let load = column(index);
                    Row { name, mean: mean(&load), rank: rank_correlation(&load, &pressure) }
                })
                .collect(),
            young: if vms > 0.0 { young / vms } else { 0.0 },
            weighing: weighed(&days, weights),
        })
    }
}

/// What pressure is compared with.
const NAMES: [&str; 4] =
    ["asked for by its VMs", "expected of its VMs", "expected, and a deviation more", "used by its VMs"];

/// Pressure beside loads, over days of hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Days of hosts.
    pub days: usize,
    /// Hosts.
    pub hosts: usize,
    /// Mean pressure, a share of the time.
    pub mean: f64,
    /// That of the worst day.
    pub most: f64,
    /// By kind of load.
    pub rows: Vec<Row>,
    /// Share of the VMs that had no history when the day began.
    pub young: f64,
    /// Weights of D by that; `None` where there are too few days.
    pub weighing: Option<Weighing>,
}

/// One kind of load.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which.
    pub name: &'static str,
    /// Mean, as a share of the hosts' CPU.
    pub mean: f64,
    /// Rank correlation with pressure; `None` where one of the two does not vary.
    pub rank: Option<f64>,
}

/// Spearman's: the correlation of ranks, those of equal values being their mean.
#[must_use]
pub fn rank_correlation(one: &[f64], other: &[f64]) -> Option<f64> {
    let (one, other) = (ranks(one), ranks(other));
    let middle = (one.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    let (own, others) = (product(&one, &one), product(&other, &other));
    (own > 0.0 && others > 0.0).then(|| product(&one, &other) / (own * others).sqrt())
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut next = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let mean = next as f64 + (group.len() as f64 - 1.0) / 2.0;
        group.iter().for_each(|index| ranks[*index] = mean);
        next += group.len();
    }
    ranks
}

/// Mean of what VMs of each group felt: pressure of their hosts and their own steal, weighted by the
/// time that they were there.
#[must_use]
pub fn felt<G: Ord + Copy>(companies: &[Company], group: impl Fn(VmId) -> Option<G>) -> BTreeMap<G, Felt> {
    let mut sums: BTreeMap<G, [f64; 4]> = BTreeMap::new();
    for company in companies {
        let Some(group) = group(company.vm) else { continue };
        let [pressure, of_pressure, steal, of_steal] = sums.entry(group).or_default();
        let steps = f64::from(company.steps);
        if let Some(share) = company.pressure {
            *pressure += share * steps;
            *of_pressure += steps;
        }
        if let Some(waited) = company.steal {
            *steal += waited * steps;
            *of_steal += steps;
        }
    }
    let mean = |sum: f64, count: f64| (count > 0.0).then(|| sum / count);
    sums.into_iter()
        .map(|(group, [p, of_p, s, of_s])| (group, Felt { pressure: mean(p, of_p), steal: mean(s, of_s) }))
        .collect()
}

/// What VMs felt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Felt {
    /// Mean pressure of their hosts.
    pub pressure: Option<f64>,
    /// Mean percent of a core that their virtual CPUs waited.
    pub steal: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::demand::Usage;

    #[test]
    fn ranks_correlate_whatever_the_scale() {
        let one = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(rank_correlation(&one, &[0.0, 1.0, 8.0, 1e9]), Some(1.0));
        assert_eq!(rank_correlation(&one, &[9.0, 3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(rank_correlation(&one, &[5.0; 4]), None);
        // by hand: ranks 0.5 0.5 2 3 against 0 1 2 3
        let tied = rank_correlation(&[1.0, 1.0, 2.0, 3.0], &one).unwrap();
        assert!((tied - 4.5 / (4.5_f64 * 5.0).sqrt()).abs() < 1e-12, "{tied}");
    }

    fn company(vm: i32, host: i32, day: i64, pressure: f64) -> Company {
        Company { vm: VmId(vm), host: HostId(host), day: day * DAY, steps: 96, pressure: Some(pressure), steal: None }
    }

    #[test]
    fn what_was_expected_is_what_was_known_when_the_day_began() {
        let mut days = Days::default();
        let asked = VmIdentity { cpu: 400, memory: 1, ..VmIdentity::default() };
        for (vm, cpu) in [(1, 50.0), (2, 100.0), (3, 200.0)] {
            // on the second day each does three times as much
            let samples: Vec<VmSample> = (1..=576)
                .map(|step| {
                    let cpu = if step <= 288 { cpu } else { 3.0 * cpu };
                    let usage = Usage { cpu, memory: 1000.0, ..Usage::default() };
                    VmSample { vm: VmId(vm), at: 300 * step, usage }
                })
                .collect();
            let companies = [company(vm, vm, 0, cpu / 1e4), company(vm, vm, 1, 3.0 * cpu / 1e4)];
            days.add(Some(&asked), &samples, &companies, None);
        }
        let of = |host: i32, day: i64| days.days[&(HostId(host), day * DAY)];
        assert_eq!((of(1, 0).expected, of(1, 0).young), (400.0, 1.0), "nothing was known yet");
        assert!((of(2, 1).expected - 100.0).abs() < 1e-6 && (of(2, 1).used - 300.0).abs() < 1e-6, "{:?}", of(2, 1));
        let cpu = (1..=3).map(|host| (HostId(host), 1000.0)).collect();
        let compared = days.compared(&cpu, &PerResource::from_fn(|_| 1.0)).unwrap();
        assert_eq!((compared.days, compared.hosts, compared.young), (6, 3, 0.5));
        assert!((compared.rows[3].mean - 2.0 * 116.666_666 / 1000.0).abs() < 1e-3, "{compared:?}");
        assert!(compared.rows[3].rank.unwrap() > 0.999 && compared.rows[0].rank.is_none(), "{compared:?}");
        assert_eq!(Days::default().compared(&cpu, &PerResource::default()), None);
    }

    #[test]
    fn groups_feel_the_mean_of_their_vms() {
        let companies = [company(1, 1, 0, 0.1), company(2, 1, 0, 0.3), company(3, 1, 0, 0.9)];
        let felt = felt(&companies, |vm| (vm.0 < 3).then_some(0));
        assert!((felt[&0].pressure.unwrap() - 0.2).abs() < 1e-12 && felt[&0].steal.is_none());
    }

    #[test]
    fn how_far_a_day_may_be_off_is_the_sum_of_variances() {
        let mut days = Days::default();
        let asked = VmIdentity { cpu: 400, memory: 1, ..VmIdentity::default() };
        for vm in [1, 2] {
            // 50 and 150 in turn: half of the variance of 2500 is the day's, where nothing was fitted
            let samples: Vec<VmSample> = (1..=576)
                .map(|step| {
                    let usage = Usage { cpu: [50.0, 150.0][step as usize % 2], memory: 1000.0, ..Usage::default() };
                    VmSample { vm: VmId(vm), at: 300 * step, usage }
                })
                .collect();
            days.add(Some(&asked), &samples, &[company(vm, 7, 0, 0.1), company(vm, 7, 1, 0.1)], None);
        }
        let of = |day: i64| days.days[&(HostId(7), day * DAY)];
        assert_eq!(of(0).variance, 0.0, "nothing was known yet");
        assert!((of(1).variance / 2500.0 - 1.0).abs() < 0.02, "{:?}", of(1));
        assert_eq!((of(1).vms, of(1).asked, of(1).young), (2.0, 800.0, 0.0));
    }

    #[test]
    fn a_day_is_told_by_what_it_was_and_by_the_host() {
        let cpu = BTreeMap::from([(HostId(1), 1000.0), (HostId(2), 500.0), (HostId(3), 0.0)]);
        let load = |part: f64, steps: f64| Load {
            asked: 800.0 * part,
            expected: 400.0 * part,
            resources: PerResource::default(),
            variance: 10_000.0 * part * part,
            used: 300.0 * part,
            vms: 2.0,
            young: 0.5,
            pressure: 48.0 * part,
            steps,
        };
        let all = [
            (1, 0, 1.0, 96.0),
            (1, 1, 0.5, 48.0),
            (2, 0, 0.25, 96.0),
            (2, 1, 0.5, 47.0),
            (3, 0, 1.0, 96.0),
            (4, 0, 1.0, 96.0),
        ];
        let of = |(host, day, part, steps)| ((HostId(host), day * DAY), load(part, steps));
        let days = Days { days: all.into_iter().map(of).collect() };
        let found = days.compared(&cpu, &PerResource::from_fn(|_| 1.0)).unwrap();
        assert_eq!((found.days, found.hosts, found.young, found.most), (3, 2, 0.25, 0.5));
        assert!((found.mean - (0.5 + 0.5 + 0.125) / 3.0).abs() < 1e-12, "{found:?}");
        // by hand: shares of 0.8, 0.4, 0.4 of what is asked for and so on
        let means: Vec<f64> = found.rows.iter().map(|row| row.mean).collect();
        for (mean, expected) in means.iter().zip([1.6 / 3.0, 0.8 / 3.0, 1.0 / 3.0, 0.6 / 3.0]) {
            assert!((mean - expected).abs() < 1e-12, "{means:?}");
        }
        assert!(found.rows.iter().all(|row| row.rank.is_some_and(|rank| (rank - 0.5).abs() < 1e-12)), "{found:?}");
        assert_eq!(found.rows.iter().map(|row| row.name).collect::<Vec<_>>(), NAMES);
        let two = Days { days: all[..2].iter().copied().map(of).collect() };
        assert_eq!(two.compared(&cpu, &PerResource::default()), None, "two days are too few");
    }

    #[test]
    fn vms_count_by_the_share_of_the_day_that_they_were_there() {
        let asked = VmIdentity { cpu: 400, memory: 1, ..VmIdentity::default() };
        let sample = |at: i64, cpu: f64| {
            let usage = Usage { cpu, memory: 1000.0, disk_io: Some(8.0), net_io: None };
            VmSample { vm: VmId(1), at, usage }
        };
        // half of a day; a sample of its last second is of the day before, and one that is no number counts nowhere
        let samples =
            [sample(0, 10.0), sample(1, 20.0), sample(DAY, 60.0), sample(DAY, f64::NAN), sample(DAY + 1, 999.0)];
        let half = Company { steps: 48, ..company(1, 7, 0, 0.25) };
        let mut days = Days::default();
        days.add(Some(&asked), &samples, &[half], None);
        let found = days.days[&(HostId(7), 0)];
        assert_eq!((found.vms, found.asked, found.used, found.young), (0.5, 200.0, 20.0, 0.0));
        assert_eq!((found.expected, found.pressure, found.steps), (5.0, 12.0, 48.0));
        let resources = Resource::ALL.map(|of| found.resources[of]);
        assert_eq!(resources, [5.0, 500.0, 4.0, 0.0]);
        // a day without pressure, without steps, or of a VM that nobody knows
        let mut days = Days::default();
        let nothing = [Company { pressure: None, ..half }, Company { steps: 0, ..half }];
        days.add(Some(&asked), &samples, &nothing, None);
        assert_eq!(days, Days::default());
        days.add(None, &[], &[half], None);
        days.add(Some(&asked), &[], &[half], None);
        let found = days.days[&(HostId(7), 0)];
        assert_eq!((found.vms, found.asked, found.expected, found.used, found.young), (1.0, 200.0, 200.0, 0.0, 1.0));
        assert_eq!((found.resources[Resource::Cpu], found.pressure, found.steps), (200.0, 24.0, 96.0));
    }

    #[test]
    fn what_vms_felt_is_weighed_by_the_time_that_they_were_there() {
        let of = |vm, steps, pressure, steal| Company { steps, pressure, steal, ..company(vm, 1, 0, 0.0) };
        let companies = [
            of(1, 10, Some(0.5), Some(8.0)),
            of(2, 30, Some(0.1), None),
            of(2, 30, None, Some(4.0)),
            of(3, 10, None, None),
        ];
        let found = felt(&companies, |vm| Some(vm.0.min(2) == vm.0));
        let near = |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-12);
        assert!(near(found[&true].pressure, 0.2) && near(found[&true].steal, 5.0), "{found:?}");
        assert_eq!(found[&false], Felt { pressure: None, steal: None });
    }

    #[test]
    fn weights_are_those_of_the_days_as_shares_of_their_hosts() {
        let weights = PerResource::from_fn(|of| 1.0 + of as usize as f64);
        let cpu: BTreeMap<HostId, f64> = (1..=4).map(|host| (HostId(host), 500.0 * f64::from(host))).collect();
        let mixed = |host: i32, day: i64, of: u64| {
            let bits = crate::model::chance::mixed(&[u64::from(host.unsigned_abs()), day.unsigned_abs(), of]);
            crate::model::chance::share(bits)
        };
        let (mut days, mut rows) = (Days::default(), Vec::new());
        for host in 1..=4 {
            for day in 0..16 {
                let resources = PerResource::from_fn(|of| 100.0 * mixed(host, day, of as u64));
                let pressure = mixed(host, day, 9) + resources[Resource::Cpu] / 500.0;
                let load = Load { resources, pressure: 96.0 * pressure, steps: 96.0, vms: 1.0, ..Load::default() };
                days.days.insert((HostId(host), day * DAY), load);
                let mut expected = resources;
                expected[Resource::Cpu] /= cpu[&HostId(host)];
                rows.push(HostDay { day: day * DAY, expected, pressure: 96.0 * pressure / 96.0 });
            }
        }
        let found = days.compared(&cpu, &weights).unwrap().weighing;
        assert!(found.is_some() && found == weighed(&rows, &weights), "{found:?}");
    }

    #[test]
    fn each_day_begins_with_what_the_days_before_have_shown() {
        let asked = VmIdentity { cpu: 400, memory: 1, ..VmIdentity::default() };
        let sample = |day: i64, cpu: f64| {
            let usage = Usage { cpu, memory: 1000.0, ..Usage::default() };
            VmSample { vm: VmId(1), at: day * DAY + 10, usage }
        };
        let samples = [sample(0, 10.0), sample(1, 20.0), sample(2, 30.0)];
        let mut days = Days::default();
        days.add(Some(&asked), &samples, &[company(1, 7, 1, 0.1), company(1, 7, 2, 0.1)], None);
        let of = |day: i64| days.days[&(HostId(7), day * DAY)];
        assert_eq!((of(1).expected, of(1).used, of(2).used), (10.0, 20.0, 30.0));
        // a day later the newer sample weighs more
        assert!((15.0..20.0).contains(&of(2).expected), "{:?}", of(2));
    }
}

use super::*;
use crate::demand::mix::unfitted;
use crate::model::demand::Usage;
use crate::model::ids::VmId;

fn sample(at: i64, cpu: f64) -> VmSample {
    let usage = Usage { cpu, memory: 10.0 * cpu + 1.0, disk_io: Some(5.0), net_io: None };
    VmSample { vm: VmId(7), at, usage }
}

/// Nine days of a day curve with noise.
fn curve() -> Vec<VmSample> {
    let cpu = |i: i64| 50.0 + 40.0 * ((i as f64) / 288.0 * std::f64::consts::TAU).sin() + ((i * 7919) % 13) as f64;
    (0..9 * 288).map(|i| sample(1_000_000 + 300 * i, cpu(i))).collect()
}

#[test]
fn what_is_kept_in_between_changes_next_to_nothing() {
    let (mut whole, mut parts) = (Memory::new(), Memory::new());
    for (index, sample) in curve().iter().enumerate() {
        whole.add(sample);
        parts.add(sample);
        if index % 97 == 0 {
            parts = Memory::from_bytes(&parts.to_bytes()).unwrap();
        }
    }
    let (a, b) = (whole.traits(), parts.traits());
    assert_eq!((a.level[Resource::Cpu], a.samples, a.span), (b.level[Resource::Cpu], b.samples, b.span));
    for (x, y) in a.peak[Resource::Cpu].unwrap().iter().zip(b.peak[Resource::Cpu].unwrap()) {
        assert!((x / y - 1.0).abs() < 1e-3, "{x} {y}");
    }
    assert!(whole.to_bytes().len() < 6000, "{} bytes", whole.to_bytes().len());
    assert_eq!(a.level[Resource::NetIo], None);
}

#[test]
fn percentiles_of_days_are_those_of_the_samples() {
    let samples = curve();
    let mut memory = Memory::new();
    samples.iter().for_each(|sample| memory.add(sample));
    let week: Vec<f64> = samples[samples.len() - 7 * 288..].iter().map(|sample| sample.usage.cpu).collect();
    let traits = memory.traits();
    let found = traits.peak[Resource::Cpu].unwrap()[cpu_peak::WEEK];
    assert!((found / percentile(&week, PEAK) - 1.0).abs() < 0.02, "{found}");
    let window = memory.window(Size { cores: 2.0, memory: 1000.0 }).unwrap();
    let last = samples.last().unwrap().usage.cpu / 2.0;
    assert!((window.rows()[111][2] / last - 1.0).abs() < 1e-9);
    assert_eq!(window.rows().len(), LENGTH);
}

#[test]
fn one_sample_and_a_constant_are_estimates_of_themselves() {
    let mut memory = Memory::new();
    assert_eq!(memory.traits().level, PerResource::default());
    assert_eq!(unfitted(&memory.traits()).samples, 0);
    memory.add(&sample(100, 30.0));
    let one = unfitted(&memory.traits());
    assert_eq!((one.level.cpu, one.peak.cpu, one.cpu_deviation, one.samples), (30.0, 30.0, 0.0, 1));
    (1..500).for_each(|i| memory.add(&sample(100 + i * 60, 30.0)));
    let many = unfitted(&memory.traits());
    assert!((many.level.cpu - 30.0).abs() < 1e-9 && (many.peak.cpu - 30.0).abs() < 1e-9, "{many:?}");
    assert!(memory.window(Size { cores: 0.0, memory: 1.0 }).is_err());
}

#[test]
fn what_is_no_amount_and_what_comes_late_harms_nothing() {
    let mut memory = Memory::new();
    for (at, cpu) in [(0, 5.0), (300, f64::NAN), (600, -4.0), (900, f64::INFINITY), (1200, 1e300), (1500, 5.0)] {
        memory.add(&sample(at, cpu));
    }
    assert_eq!(unfitted(&memory.traits()).samples, 2);
    memory.add(&sample(-400_000_000, 500.0));
    assert!((unfitted(&memory.traits()).level.cpu - 5.0).abs() < 1e-6, "{:?}", unfitted(&memory.traits()));
    memory.add(&sample(i64::MAX / 2, 7.0));
    assert!((unfitted(&memory.traits()).level.cpu - 7.0).abs() < 1e-6);
    assert!(Memory::from_bytes(&memory.to_bytes()).is_some());
}

#[test]
fn damaged_bytes_are_no_memory() {
    let mut memory = Memory::new();
    curve().iter().take(50).for_each(|sample| memory.add(sample));
    let bytes = memory.to_bytes();
    for length in 0..bytes.len() {
        assert!(Memory::from_bytes(&bytes[..length]).is_none(), "{length}");
    }
    assert!(Memory::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_none());
}

#[test]
fn the_plain_mean_of_a_day_is_the_fading_one_where_nothing_else_is_kept() {
    let mut memory = Memory::new();
    (0..40).for_each(|i| memory.add(&sample(100 + i * 3600, f64::from(i as u32))));
    let traits = memory.traits();
    let of = |resource: Resource| traits.level[resource].unwrap();
    let memory_level = of(Resource::Memory);
    assert!(memory_level[mean::DAY] > 0.0);
    assert_eq!(memory_level[mean::PLAIN_DAY], memory_level[mean::DAY]);
    let cpu = of(Resource::Cpu);
    assert!((cpu[mean::PLAIN_DAY] - 27.0).abs() < 1.5, "the mean of the last day: {cpu:?}");
}

#[test]
fn without_cores_there_is_no_window() {
    let mut memory = Memory::new();
    curve().iter().for_each(|sample| memory.add(sample));
    for cores in [0.0, -1.0, f64::NAN] {
        assert!(matches!(memory.window(Size { cores, memory: 1000.0 }), Err(WindowError::NoSize)), "{cores}");
    }
    assert!(memory.window(Size { cores: 0.5, memory: 1000.0 }).is_ok());
}

#[test]
fn traits_are_in_their_places() {
    let mut memory = Memory::new();
    // an hour's steps of 10, nine hours' of 40 before it, and a day of 5 before that
    for i in 0..396_i64 {
        let cpu = if i < 276 {
            5.0
        } else if i < 384 {
            40.0
        } else {
            10.0
        };
        memory.add(&sample(8 * 3600 * 100 + 300 * i, cpu));
    }
    let traits = memory.traits();
    let cpu = traits.peak[Resource::Cpu].unwrap();
    let other = traits.peak[Resource::Memory].unwrap();
    let (level, memory_level) = (traits.level[Resource::Cpu].unwrap(), traits.level[Resource::Memory].unwrap());
    assert!(level.iter().all(|mean| (5.0..40.0).contains(mean)) && level[mean::HOUR] < level[mean::THREE_HOURS]);
    assert_eq!(
        [cpu[cpu_peak::MEAN_HOUR], cpu[cpu_peak::MEAN_NINE_HOURS]],
        [level[mean::HOUR], level[mean::NINE_HOURS]]
    );
    assert_eq!((cpu[cpu_peak::HOUR], cpu[cpu_peak::WINDOW]), (10.0, 40.0));
    let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.03, "{found} {expected}");
    for place in [cpu_peak::DAY, cpu_peak::THREE_DAYS, cpu_peak::WEEK, cpu_peak::USUAL_THREE_DAYS] {
        near(cpu[place], 40.0);
    }
    // a spell has just begun; of those before two had 5, and two 40
    near(cpu[cpu_peak::SPELL], 10.0);
    near(cpu[cpu_peak::USUAL], 22.5);
    assert_eq!((other[other_peak::HOUR], other[other_peak::WINDOW]), (101.0, 401.0));
    let places = [
        (other_peak::MEAN_HOUR, mean::HOUR),
        (other_peak::MEAN_NINE_HOURS, mean::NINE_HOURS),
        (other_peak::MEAN_DAY, mean::DAY),
        (other_peak::MEAN_THREE_DAYS, mean::THREE_DAYS),
        (other_peak::MEAN_WEEK, mean::WEEK),
    ];
    for (place, mean) in places {
        assert_eq!(other[place], memory_level[mean]);
    }
    // memory below 1 MiB is one bucket
    let p = |place: usize| other[place];
    assert!(p(other_peak::MEDIAN) < p(other_peak::P95) && p(other_peak::P95) < p(other_peak::P99), "{other:?}");
    near(p(other_peak::P95) / 1024.0, 0.95);
    near(p(other_peak::MEDIAN) / 1024.0, 0.5);
    assert_eq!((traits.span, traits.samples, traits.last_at), (395 * 300, 396, 8 * 3600 * 100 + 300 * 395));
    assert!(traits.shape.is_some() && Memory::new().traits().shape.is_none());
}

#[test]
fn a_variance_is_that_of_cpu_and_never_negative() {
    let of = |values: [f64; 2]| {
        let mut memory = Memory::new();
        (0..20).for_each(|i| memory.add(&sample(1000 + i, values[i as usize % 2])));
        memory.traits().cpu_variance
    };
    assert!((of([10.0, 30.0]) - 100.0).abs() < 0.1, "{}", of([10.0, 30.0]));
    assert!((0.0..1e-9).contains(&of([0.1, 0.1])));
}

#[test]
fn what_was_seen_is_a_share_of_the_samples_of_a_week_at_most() {
    assert_eq!(Memory::new().seen(0.9), None);
    let mut memory = Memory::new();
    for i in 0..48 {
        memory.add(&sample(864_000 + 3600 * i, if i < 24 { 10.0 } else { 90.0 }));
    }
    let seen = memory.seen(0.25).unwrap();
    assert!((seen.cpu / 10.0 - 1.0).abs() < 0.02 && seen.memory < 1024.0, "{seen:?}");
    assert_eq!((seen.coverage, seen.samples), (0.25, 48));
    assert!((seen.days.unwrap() - 47.0 / 24.0).abs() < 1e-12);
    assert!((memory.seen(1.0).unwrap().cpu - 90.0).abs() < 1e-9);
    memory.add(&sample(40 * 86_400, 1.0));
    let seen = memory.seen(1.0).unwrap();
    assert_eq!((seen.days, seen.samples), (Some(7.0), 1));
}

#[test]
fn a_window_has_each_step_in_its_place_and_its_gaps() {
    let mut memory = Memory::new();
    let numbers: Vec<i64> = (1000..1112).filter(|number| ![1003, 1050].contains(number)).collect();
    for number in &numbers {
        let usage = Usage { net_io: Some(7.0), ..sample(0, (number - 1000) as f64).usage };
        memory.add(&VmSample { usage, ..sample(300 * number, 0.0) });
    }
    let window = memory.window(Size { cores: 2.0, memory: 4096.0 }).unwrap();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 0.03, "{found} {expected}");
    for place in 0..LENGTH {
        near(window.rows()[place][2], place as f64 / 2.0);
    }
    let gaps: Vec<usize> = (0..LENGTH).filter(|place| window.gaps()[*place]).collect();
    assert_eq!(gaps, [3, 50]);
    let row = window.rows()[110];
    assert_eq!((row[0], row[1], row[3]), (2.0, 6400.0, 4096.0));
    near(row[6] * 1024.0, 7.0);
    near(row[4] / 1101.0, 1.0);
    near(row[5] * 1024.0, 5.0);
    // a third may lack and not more
    let of = |count: i64| {
        let mut memory = Memory::new();
        (1112 - count..1112).for_each(|number| memory.add(&sample(300 * number, 1.0)));
        memory.window(Size { cores: 2.0, memory: 4096.0 }).is_ok()
    };
    assert!(of(75) && !of(74));
}

#[test]
fn amounts_end_where_no_machine_goes() {
    let usage = |cpu: f64, memory: f64, disk_io: f64, net_io: f64| Usage {
        cpu,
        memory,
        disk_io: Some(disk_io),
        net_io: Some(net_io),
    };
    let most = amounts(&usage(1e5, 1e11, 1e11, 1e11)).unwrap();
    assert_eq!(Resource::ALL.map(|of| most[of]), [Some(1e5), Some(1e11), Some(1e11), Some(1e11)]);
    let odd = amounts(&usage(0.0, 0.0, 1.1e11, -1.0)).unwrap();
    assert_eq!(Resource::ALL.map(|of| odd[of]), [Some(0.0), Some(0.0), None, None]);
    for odd in [usage(1.1e5, 1.0, 1.0, 1.0), usage(1.0, 1.1e11, 1.0, 1.0), usage(-1.0, 1.0, 1.0, 1.0)] {
        assert_eq!(amounts(&odd), None, "{odd:?}");
    }
}

#[test]
fn a_late_sample_counts_what_its_age_leaves_it_and_the_span_grows_both_ways() {
    let mut memory = Memory::new();
    memory.add(&sample(7200, 40.0));
    memory.add(&sample(3600, 10.0));
    let traits = memory.traits();
    // an hour late: half of the weight at a half-life of an hour
    assert!((traits.level[Resource::Cpu].unwrap()[mean::HOUR] - 30.0).abs() < 1e-9);
    assert_eq!((traits.span, traits.last_at, traits.samples), (3600, 7200, 2));
    memory.add(&sample(10_800, 10.0));
    let hour = memory.traits().level[Resource::Cpu].unwrap()[mean::HOUR];
    assert!((hour - (22.5 + 10.0) / 1.75).abs() < 1e-9, "{hour}");
    assert_eq!(memory.traits().span, 7200);
}

#[test]
fn bytes_from_before_there_was_a_rhythm_are_read_and_other_versions_are_not() {
    let mut memory = Memory::new();
    curve().iter().take(50).for_each(|sample| memory.add(sample));
    let mut rhythm = Writer::default();
    memory.rhythm.write(&mut rhythm);
    let mut bytes = memory.to_bytes();
    bytes.truncate(bytes.len() - rhythm.0.len());
    bytes[0] = WITHOUT_RHYTHM;
    let read = Memory::from_bytes(&bytes).unwrap();
    assert_eq!((read.traits().samples, read.traits().last_at), (50, memory.traits().last_at));
    assert_eq!(read.rhythm, Rhythm::default());
    for version in [0, VERSION + 1, WITHOUT_RHYTHM - 1] {
        bytes[0] = version;
        assert!(Memory::from_bytes(&bytes).is_none(), "{version}");
    }
    let nothing = Memory::from_bytes(&Memory::new().to_bytes()).unwrap();
    assert_eq!((nothing.span, nothing.count), (None, 0));
}

#[test]
fn a_memory_begins_empty() {
    assert_eq!(Memory::default().to_bytes(), Memory::new().to_bytes());
    assert_eq!(Memory::default().traits().samples, 0);
}

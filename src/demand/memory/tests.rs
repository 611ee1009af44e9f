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

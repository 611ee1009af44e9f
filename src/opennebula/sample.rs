//! VM/MONITORING of a request: the latest sample, with oned's forecasts.

use super::number;
use super::vector::Vector;
use crate::model::demand::Usage;
use crate::model::sample::Counters;
use crate::model::snapshot::VmMonitoring;

/// The sample; `None` without a time, or when neither usage nor counters can be read.
pub fn read(id: Option<i32>, values: &Vector) -> Option<VmMonitoring> {
    let timestamp = number::integer(values.get("TIMESTAMP")).filter(|at| *at > 0)?;
    let amount = |name: &str| number::real(values.get(name)).filter(|value| value.is_finite() && *value >= 0.0);
    let both = |a: &str, b: &str| Some(amount(a)? + amount(b)?);
    let counters = Counters {
        id: id?,
        at: timestamp,
        cpu: amount("CPU"),
        memory: amount("MEMORY"),
        disk: both("DISKRDBYTES", "DISKWRBYTES"),
        net: both("NETRX", "NETTX"),
    };
    let usage = |suffix: &str| {
        let named = |name: &str| format!("{name}{suffix}");
        let (cpu, memory) = (amount(&named("CPU"))?, amount(&named("MEMORY"))?);
        let disk_io = both(&named("DISKRDBYTES_BW"), &named("DISKWRBYTES_BW"));
        let net_io = both(&named("NETRX_BW"), &named("NETTX_BW"));
        Some(Usage { cpu, memory, disk_io, net_io })
    };
    // a VM that runs uses some memory: none means that the probe failed
    if counters.memory == Some(0.0) {
        return None;
    }
    let (current, forecast) = (usage(""), usage("_FORECAST"));
    (current.is_some() || counters.cpu.is_some()).then_some(VmMonitoring { timestamp, counters, current, forecast })
}

#[cfg(test)]
mod tests {
    use super::super::xml::Walker;
    use super::*;

    fn sample(values: &str) -> Option<VmMonitoring> {
        let xml = format!("<MONITORING>{values}</MONITORING>");
        let (mut walker, _) = Walker::open(&xml).unwrap();
        read(Some(7), &Vector::read(&mut walker).unwrap())
    }

    #[test]
    fn a_sample_needs_a_moment_and_memory_that_is_used() {
        let with = |at: &str, memory: &str| {
            sample(&format!("<TIMESTAMP>{at}</TIMESTAMP><CPU>5</CPU><MEMORY>{memory}</MEMORY>"))
        };
        let found = with("1795443968", "2048").unwrap();
        assert_eq!((found.timestamp, found.counters.id, found.counters.cpu), (1_795_443_968, 7, Some(5.0)));
        assert_eq!(found.current, Some(Usage { cpu: 5.0, memory: 2048.0, disk_io: None, net_io: None }));
        for (at, memory) in [("0", "2048"), ("-1", "2048"), ("", "2048"), ("1795443968", "0")] {
            assert_eq!(with(at, memory), None, "{at:?} {memory}");
        }
        // without memory it is no usage, but the counters are there
        let counters = with("5", "much").unwrap();
        assert_eq!((counters.current, counters.counters.memory, counters.forecast), (None, None, None));
        assert_eq!(sample("<TIMESTAMP>5</TIMESTAMP><MEMORY>5</MEMORY>"), None, "nothing is used");
    }

    #[test]
    fn half_a_sum_and_odd_numbers_are_none() {
        let found = sample(
            "<TIMESTAMP>5</TIMESTAMP><CPU>-5</CPU><CPU>7</CPU><MEMORY>9</MEMORY><NETRX>1</NETRX><NETTX>2</NETTX>\
             <DISKRDBYTES>1</DISKRDBYTES><DISKWRBYTES>1e400</DISKWRBYTES><CPU_FORECAST>8</CPU_FORECAST>\
             <MEMORY_FORECAST>10</MEMORY_FORECAST><NETRX_BW_FORECAST>3</NETRX_BW_FORECAST>",
        );
        assert_eq!(found, None, "the first CPU counts, which is none");
        let found = sample(
            "<TIMESTAMP>5</TIMESTAMP><CPU>7</CPU><MEMORY>9</MEMORY><NETRX>1</NETRX><NETTX>2</NETTX>\
             <DISKRDBYTES>1</DISKRDBYTES><CPU_FORECAST>8</CPU_FORECAST><MEMORY_FORECAST>10</MEMORY_FORECAST>\
             <NETRX_BW_FORECAST>3</NETRX_BW_FORECAST><NETTX_BW_FORECAST>4</NETTX_BW_FORECAST>",
        )
        .unwrap();
        assert_eq!((found.counters.net, found.counters.disk), (Some(3.0), None));
        assert_eq!(found.forecast, Some(Usage { cpu: 8.0, memory: 10.0, disk_io: None, net_io: Some(7.0) }));
    }
}

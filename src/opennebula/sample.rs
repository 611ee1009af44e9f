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

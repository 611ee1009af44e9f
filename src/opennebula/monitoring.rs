//! MONITORING_DATA: what `one.vmpool.monitoring` and `one.hostpool.monitoring` answer.
//! One element at a time is held, so a window of any size can be read.

use super::elements::Elements;
pub use super::elements::PayloadError as MonitoringError;
use super::number;
use super::xml::{Walker, XmlError};
use crate::model::sample::Counters;
use std::io::BufRead;

/// Hands every record to `visit`, and returns how many elements were passed over because
/// they cannot be read, have no ID or TIMESTAMP, or are longer than 1 MiB.
///
/// # Errors
/// When the document as a whole is another one or does not end.
pub fn records(payload: impl BufRead, visit: &mut dyn FnMut(Counters)) -> Result<usize, MonitoringError> {
    let mut elements = Elements::open(payload, "MONITORING_DATA")?;
    let mut skipped = 0;
    while let Some(element) = elements.child()? {
        if element.name != "MONITORING" {
            continue;
        }
        match element.xml.as_deref().and_then(record) {
            Some(counters) => visit(counters),
            None => skipped += 1,
        }
    }
    Ok(skipped)
}

fn record(xml: &str) -> Option<Counters> {
    let mut raw = Raw::default();
    raw.read(xml).ok()?;
    raw.check()
}

/// The first value of each name; VMs have them flat, hosts in CAPACITY and SYSTEM.
#[derive(Default)]
struct Raw {
    id: Option<i32>,
    at: Option<i64>,
    cpu: Amount,
    memory: Amount,
    disk: [Amount; 2],
    net: [Amount; 2],
}

impl Raw {
    fn read(&mut self, xml: &str) -> Result<(), XmlError> {
        let (mut walker, _) = Walker::open(xml)?;
        walker.children(|w, tag| self.child(w, tag))?;
        walker.finish()
    }

    fn child(&mut self, walker: &mut Walker<'_>, tag: &str) -> Result<(), XmlError> {
        match tag {
            "ID" => {
                let id = number::id(&walker.text()?);
                self.id = self.id.or(id);
            }
            "TIMESTAMP" => {
                let at = number::integer(&walker.text()?).filter(|at| *at > 0);
                self.at = self.at.or(at);
            }
            "CPU" => self.cpu.fill(walker)?,
            "MEMORY" => self.memory.fill(walker)?,
            "DISKRDBYTES" => self.disk[0].fill(walker)?,
            "DISKWRBYTES" => self.disk[1].fill(walker)?,
            "NETRX" => self.net[0].fill(walker)?,
            "NETTX" => self.net[1].fill(walker)?,
            "CAPACITY" => walker.children(|w, tag| match tag {
                "USED_CPU" => self.cpu.fill(w),
                "USED_MEMORY" => self.memory.fill(w),
                _ => w.skip(),
            })?,
            "SYSTEM" => walker.children(|w, tag| match tag {
                "NETRX" => self.net[0].fill(w),
                "NETTX" => self.net[1].fill(w),
                _ => w.skip(),
            })?,
            _ => walker.skip()?,
        }
        Ok(())
    }

    fn check(self) -> Option<Counters> {
        Some(Counters {
            id: self.id?,
            at: self.at?,
            cpu: self.cpu.0,
            memory: self.memory.0,
            disk: sum(&self.disk),
            net: sum(&self.net),
        })
    }
}

/// A number that is not negative; the first of repeated ones.
#[derive(Default)]
struct Amount(Option<f64>);

impl Amount {
    fn fill(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        let value = number::real(&walker.text()?).filter(|value| value.is_finite() && *value >= 0.0);
        self.0 = self.0.or(value);
        Ok(())
    }
}

/// Both or none: half a counter that is whole the next time would look like a burst.
fn sum(parts: &[Amount; 2]) -> Option<f64> {
    Some(parts[0].0? + parts[1].0?).filter(|sum| sum.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(children: &str) -> (Vec<Counters>, usize) {
        let xml = format!("<MONITORING_DATA>{children}</MONITORING_DATA>");
        let mut found = Vec::new();
        let skipped = records(xml.as_bytes(), &mut |counters| found.push(counters)).expect("reads");
        (found, skipped)
    }

    #[test]
    fn vms_and_hosts_have_their_own_forms() {
        let (found, skipped) = read(
            "<MONITORING><CPU><![CDATA[49.36]]></CPU><CPU_FORECAST>1</CPU_FORECAST>\
             <DISKRDBYTES><![CDATA[10]]></DISKRDBYTES><DISKWRBYTES>5</DISKWRBYTES><ID><![CDATA[9]]></ID>\
             <MEMORY>6.93792e+07</MEMORY><NETRX>1</NETRX><NETTX>2</NETTX><TIMESTAMP>1795443968</TIMESTAMP></MONITORING>\
             <MONITORING><TIMESTAMP>1795446424</TIMESTAMP><ID>713</ID><CAPACITY><FREE_CPU>1</FREE_CPU>\
             <USED_CPU><![CDATA[28]]></USED_CPU><USED_MEMORY>1033470</USED_MEMORY></CAPACITY>\
             <SYSTEM><NETRX>693169636293</NETRX><NETTX>7</NETTX></SYSTEM>\
             <NUMA_NODE><MEMORY><FREE>1</FREE></MEMORY></NUMA_NODE></MONITORING>",
        );
        assert_eq!(skipped, 0);
        let vm = Counters {
            id: 9,
            at: 1_795_443_968,
            cpu: Some(49.36),
            memory: Some(69_379_200.0),
            disk: Some(15.0),
            net: Some(3.0),
        };
        let host = Counters {
            id: 713,
            at: 1_795_446_424,
            cpu: Some(28.0),
            memory: Some(1_033_470.0),
            disk: None,
            net: Some(693_169_636_300.0),
        };
        assert_eq!(found, [vm, host]);
    }

    #[test]
    fn odd_numbers_are_none() {
        let (found, skipped) = read(
            "<MONITORING><ID>1</ID><TIMESTAMP>5</TIMESTAMP><CPU>-1</CPU><MEMORY>much</MEMORY>\
             <NETRX>1</NETRX><NETTX/><DISKRDBYTES>1e400</DISKRDBYTES><DISKWRBYTES>1</DISKWRBYTES></MONITORING>",
        );
        assert_eq!((found, skipped), (vec![Counters { id: 1, at: 5, ..Counters::default() }], 0));
    }

    #[test]
    fn unusable_elements_are_counted_and_passed_over() {
        let good = "<MONITORING><ID>1</ID><TIMESTAMP>5</TIMESTAMP></MONITORING>";
        let long = format!("<MONITORING><ID>2</ID><TIMESTAMP>5</TIMESTAMP><X>{}</X></MONITORING>", "y".repeat(1 << 20));
        let (found, skipped) = read(&format!(
            "{good}{long}<MONITORING/><MONITORING><ID>3</ID></MONITORING>\
             <MONITORING><ID>-4</ID><TIMESTAMP>5</TIMESTAMP></MONITORING>\
             <MONITORING><ID>5</CPU><TIMESTAMP>5</TIMESTAMP></MONITORING><OTHER>x</OTHER>{good}"
        ));
        assert_eq!((found.len(), skipped), (2, 5));
        assert!(matches!(records(&b"<MONITORING_DATA>"[..], &mut |_| ()), Err(MonitoringError::Cut { .. })));
        assert!(matches!(records(&b"<VM_POOL/>"[..], &mut |_| ()), Err(MonitoringError::Root { .. })));
    }

    #[test]
    fn a_sum_beyond_all_numbers_is_none() {
        let (found, _) = read(
            "<MONITORING><ID>1</ID><TIMESTAMP>5</TIMESTAMP><NETRX>1.7e308</NETRX><NETTX>1.7e308</NETTX>\
             <DISKRDBYTES>1.7e308</DISKRDBYTES><DISKWRBYTES>1</DISKWRBYTES></MONITORING>",
        );
        assert_eq!((found[0].net, found[0].disk), (None, Some(1.7e308)));
    }

    #[test]
    fn a_moment_before_all_moments_is_none() {
        for at in ["0", "-5"] {
            let (found, skipped) = read(&format!("<MONITORING><ID>1</ID><TIMESTAMP>{at}</TIMESTAMP></MONITORING>"));
            assert_eq!((found.len(), skipped), (0, 1), "{at}");
        }
    }
}

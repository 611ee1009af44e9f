//! How many cores a VM has, and had: what turns percent of a VM into percent of a core.

use super::fault::{Fault, ImportError, TableSummary};
use super::table::{Column, Table};
use super::{moment::moment, number};
use crate::model::ids::VmId;
use crate::model::sample::VmIdentity;
use std::collections::BTreeMap;
use std::io::BufRead;

const COLUMNS: [Column; 4] =
    [Column::needed("vmid"), Column::needed("cores"), Column::optional("ts"), Column::optional("mem_capacity_kb")];

/// The cores of many VMs over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capacities {
    /// Per VM, moments and the cores from then on, in order of time.
    cores: BTreeMap<i32, Vec<(i64, f64)>>,
    /// Per VM, the KiB of memory that stand last.
    memory: BTreeMap<i32, f64>,
}

impl Capacities {
    /// Reads a table with the columns vmid and cores, and perhaps ts, from when on.
    ///
    /// # Errors
    /// When the table cannot be read or lacks a column.
    pub fn read(input: impl BufRead) -> Result<(Self, TableSummary), ImportError> {
        let mut capacities = Self::default();
        let summary = Table::open(input)?.each_row(&COLUMNS, &mut |_| {}, |[vm, cores, from, memory]| {
            let vm = vm_number(vm, "vmid")?;
            let cores = amount(cores, "cores")?;
            let from = if from.is_empty() { i64::MIN } else { moment(from).ok_or(Fault::NoMoment("ts"))? };
            capacities.set(vm, from, cores);
            if !memory.is_empty() {
                capacities.memory.insert(vm.0, amount(memory, "mem_capacity_kb")?);
            }
            Ok(())
        })?;
        Ok((capacities, summary))
    }

    /// Notes the cores of a VM from a moment on.
    pub fn set(&mut self, vm: VmId, from: i64, cores: f64) {
        let steps = self.cores.entry(vm.0).or_default();
        match steps.binary_search_by_key(&from, |(at, _)| *at) {
            Ok(known) => steps[known].1 = cores,
            Err(place) => steps.insert(place, (from, cores)),
        }
    }

    /// The cores of a VM at a moment; before the first that is known, the first.
    #[must_use]
    pub fn cores(&self, vm: VmId, at: i64) -> Option<f64> {
        let steps = self.cores.get(&vm.0)?;
        let after = steps.partition_point(|(from, _)| *from <= at);
        steps.get(after.saturating_sub(1)).map(|(_, cores)| *cores)
    }

    /// Those whose cores are known, by id.
    pub fn vms(&self) -> impl Iterator<Item = VmId> + '_ {
        self.cores.keys().map(|vm| VmId(*vm))
    }

    /// The memory of a VM in KiB, where the table has a column mem_capacity_kb.
    #[must_use]
    pub fn memory(&self, vm: VmId) -> Option<i64> {
        self.memory.get(&vm.0).map(|memory| *memory as i64)
    }

    /// The size of a VM, as it is at the end; `None` where cores or memory are not told.
    #[must_use]
    pub fn identity(&self, vm: VmId) -> Option<VmIdentity> {
        let (cores, memory) = (self.cores(vm, i64::MAX)?, *self.memory.get(&vm.0)?);
        Some(VmIdentity { cpu: (cores * 100.0).round() as i64, memory: memory as i64, ..VmIdentity::default() })
    }

    /// The sizes of all VMs that have one.
    #[must_use]
    pub fn identities(&self) -> Vec<(VmId, VmIdentity)> {
        self.cores.keys().filter_map(|vm| Some((VmId(*vm), self.identity(VmId(*vm))?))).collect()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cores.is_empty()
    }
}

/// A VM's id from a cell.
pub(super) fn vm_number(cell: &[u8], column: &'static str) -> Result<VmId, Fault> {
    if cell.is_empty() {
        return Err(Fault::Missing(column));
    }
    let id = number::whole(cell).and_then(|id| i32::try_from(id).ok()).filter(|id| *id >= 0);
    id.map(VmId).ok_or(Fault::NoVm(column))
}

/// A number from a cell, not negative.
pub(super) fn amount(cell: &[u8], column: &'static str) -> Result<f64, Fault> {
    match number::real(cell) {
        Some(value) if value >= 0.0 => Ok(value),
        Some(_) => Err(Fault::Negative(column)),
        None if cell.is_empty() => Err(Fault::Missing(column)),
        None => Err(Fault::NoNumber(column)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_without_a_moment_hold_always() {
        let (capacities, summary) =
            Capacities::read(&b"vmid,cores,cpu_capacity_mhz\n9,1,2926\n25,32,86399.95\nx,1,1\n"[..]).unwrap();
        assert_eq!((summary.rows, summary.broken), (2, 1));
        assert_eq!(summary.first_broken[0].reason, "vmid is no VM's number: x,1,1");
        assert_eq!(capacities.cores(VmId(25), 0), Some(32.0));
        assert_eq!(capacities.cores(VmId(26), 0), None);
    }

    #[test]
    fn changes_hold_from_their_moment_on() {
        let (capacities, _) = Capacities::read(&b"cores,vmid,ts\n4,9,200\n2,9,100\n"[..]).unwrap();
        for (at, expected) in [(0, 2.0), (100, 2.0), (199, 2.0), (200, 4.0), (1_000_000, 4.0)] {
            assert_eq!(capacities.cores(VmId(9), at), Some(expected), "{at}");
        }
    }

    #[test]
    fn a_size_is_that_of_the_end_where_both_are_told() {
        let text = "vmid,cores,ts,mem_capacity_kb\n9,2,100,4096\n9,4,200,8192.9\n9,2.5,300,\n7,1,,\n5,1,x,1\n4,-1,,\n3,,,\n2,1,,x\n";
        let (capacities, summary) = Capacities::read(text.as_bytes()).unwrap();
        assert_eq!((summary.rows, summary.broken), (4, 4));
        let reasons: Vec<&str> = summary.first_broken.iter().map(|one| one.reason.split(':').next().unwrap()).collect();
        assert_eq!(
            reasons,
            ["ts is no moment", "cores is negative", "cores is missing", "mem_capacity_kb is no number"]
        );
        assert_eq!(capacities.vms().collect::<Vec<_>>(), [VmId(2), VmId(7), VmId(9)]);
        assert_eq!((capacities.memory(VmId(9)), capacities.memory(VmId(7))), (Some(8192), None));
        let size = VmIdentity { cpu: 250, memory: 8192, ..VmIdentity::default() };
        assert_eq!((capacities.identity(VmId(9)), capacities.identity(VmId(7))), (Some(size.clone()), None));
        assert_eq!(capacities.identities(), [(VmId(9), size)]);
        assert!(!capacities.is_empty() && Capacities::default().is_empty());
    }

    #[test]
    fn cells_are_vms_and_amounts_or_told_why_not() {
        for (cell, expected) in [
            ("0", Ok(VmId(0))),
            ("12", Ok(VmId(12))),
            ("2147483647", Ok(VmId(i32::MAX))),
            ("", Err(Fault::Missing("vmid"))),
            ("-1", Err(Fault::NoVm("vmid"))),
            ("2147483648", Err(Fault::NoVm("vmid"))),
            ("x", Err(Fault::NoVm("vmid"))),
        ] {
            assert_eq!(vm_number(cell.as_bytes(), "vmid"), expected, "{cell}");
        }
        for (cell, expected) in [
            ("0", Ok(0.0)),
            ("1.5", Ok(1.5)),
            ("-0.1", Err(Fault::Negative("cpu"))),
            ("", Err(Fault::Missing("cpu"))),
            ("x", Err(Fault::NoNumber("cpu"))),
        ] {
            assert_eq!(amount(cell.as_bytes(), "cpu"), expected, "{cell}");
        }
    }
}

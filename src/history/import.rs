//! Samples of VMs from tables, as other monitoring keeps them.
//!
//! Two forms are told apart by their header: `metrics`, many VMs in one table
//! (`ts,vmid,cpu_percent,mem_kb,disk_read_kbps,...`), and `bitbrains`, one VM per
//! file with that trace's column names. Columns may come in any order, among
//! others, separated by commas, semicolons or tabs, zipped or not.
//!
//! Both give CPU in percent of the VM's capacity; times its cores it is percent of
//! a core. Values above the capacity (bursts, rounding) are held at it and counted.
//! KB are 1024 bytes, as in the capacities of the same tables.

mod capacity;
mod carbon;
mod fault;
mod moment;
mod number;
mod table;

pub use capacity::Capacities;
pub use carbon::read_carbon;
pub use fault::{BrokenRow, ImportError, TableSummary};
pub use table::Progress;

use crate::model::demand::Usage;
use crate::model::ids::VmId;
use crate::model::sample::VmSample;
use capacity::{amount, vm_number};
use fault::Fault;
use moment::moment;
use std::io::BufRead;
use table::{Column, Table};

/// Bytes of a kilobyte in these tables.
const KILOBYTE: f64 = 1024.0;

/// Cells of a row, in the order of both lists of columns.
type Cells<'l> = [&'l [u8]; 9];

const METRICS: [Column; 9] = [
    Column::needed("ts"),
    Column::optional("vmid"),
    Column::optional("cores"),
    Column::needed("cpu_percent"),
    Column::needed("mem_kb"),
    Column::optional("disk_read_kbps"),
    Column::optional("disk_write_kbps"),
    Column::optional("net_rx_kbps"),
    Column::optional("net_tx_kbps"),
];

const BITBRAINS: [Column; 9] = [
    Column::needed("timestamp [ms]"),
    Column::optional("vmid"),
    Column::optional("cpu cores"),
    Column::needed("cpu usage [%]"),
    Column::needed("memory usage [kb]"),
    Column::optional("disk read throughput [kb/s]"),
    Column::optional("disk write throughput [kb/s]"),
    Column::optional("network received throughput [kb/s]"),
    Column::optional("network transmitted throughput [kb/s]"),
];

/// The form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Many VMs: `ts,vmid,cpu_percent,...`.
    Metrics,
    /// One VM, columns named as in the Bitbrains traces.
    Bitbrains,
}

impl Form {
    fn columns(self) -> &'static [Column; 9] {
        match self {
            Self::Metrics => &METRICS,
            Self::Bitbrains => &BITBRAINS,
        }
    }

    /// The form of which more columns are there.
    fn of(table: &Table<'_>) -> Result<Self, ImportError> {
        let (metrics, bitbrains) = (table.count(&METRICS), table.count(&BITBRAINS));
        match metrics.max(bitbrains) {
            0 => Err(ImportError::Form { found: table.found() }),
            most if most == metrics => Ok(Self::Metrics),
            _ => Ok(Self::Bitbrains),
        }
    }
}

/// What a table does not say itself.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Whose samples they are, when there is no column vmid.
    pub vm: Option<VmId>,
    /// The VMs' cores, when there is no column for them.
    pub capacities: &'a Capacities,
}

/// What came of a table of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportSummary {
    /// Its form.
    pub form: Form,
    /// Rows, and those that were left out.
    pub table: TableSummary,
    /// Samples whose CPU was above the VM's capacity.
    pub held: u64,
    /// The first and the last moment.
    pub span: Option<(i64, i64)>,
}

/// Hands each sample to `visit`, in the order of the table. `progress` is told now
/// and then how far it has come, and at the end.
///
/// # Errors
/// When the table cannot be read, is of no known form, or lacks something that all
/// rows need. Samples before an error in reading have been handed on.
pub fn read_samples(
    input: impl BufRead,
    origin: &Origin<'_>,
    progress: &mut dyn FnMut(Progress),
    visit: &mut dyn FnMut(VmSample),
) -> Result<ImportSummary, ImportError> {
    let table = Table::open(input)?;
    let reader = Reader::new(&table, origin)?;
    let (mut held, mut span) = (0, None);
    let columns = reader.columns;
    let rows = table.each_row(columns, progress, |cells| {
        let (sample, was_held) = reader.sample(cells)?;
        let (first, last) = span.unwrap_or((sample.at, sample.at));
        span = Some((sample.at.min(first), sample.at.max(last)));
        held += u64::from(was_held);
        visit(sample);
        Ok(())
    })?;
    Ok(ImportSummary { form: reader.form, table: rows, held, span })
}

/// The VM whose samples a file of the `bitbrains` form holds: 12 for `rnd/12.csv.gz`.
#[must_use]
pub fn vm_of_file(name: &str) -> Option<VmId> {
    let file = name.rsplit(['/', '\\']).next()?;
    let stem = file.split('.').next()?;
    let digits = !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
    if digits { stem.parse().ok().map(VmId) } else { None }
}

/// How the rows of one table are read.
struct Reader<'a> {
    form: Form,
    columns: &'static [Column; 9],
    origin: &'a Origin<'a>,
    vm_told: bool,
    cores_told: bool,
}

impl<'a> Reader<'a> {
    fn new(table: &Table<'_>, origin: &'a Origin<'a>) -> Result<Self, ImportError> {
        let form = Form::of(table)?;
        let columns = form.columns();
        table.demand(columns)?;
        let [_, vm, cores, ..] = columns;
        let (vm_told, cores_told) = (table.has(vm.name), table.has(cores.name));
        if !vm_told && origin.vm.is_none() {
            return Err(ImportError::NoVm);
        }
        if !cores_told && origin.capacities.is_empty() {
            return Err(ImportError::NoCapacities);
        }
        Ok(Self { form, columns, origin, vm_told, cores_told })
    }

    /// A sample, and whether its CPU was held at the capacity.
    fn sample(
        &self,
        [ts, vm, cores, cpu, memory, disk @ .., net_in, net_out]: Cells<'_>,
    ) -> Result<(VmSample, bool), Fault> {
        let [c_ts, _, _, c_cpu, c_memory, c_disk @ .., c_in, c_out] = self.columns;
        let at = moment(ts).ok_or(Fault::NoMoment(c_ts.name))?;
        let vm = self.vm(vm)?;
        let cores = self.cores(cores, vm, at)?;
        let percent = amount(cpu, c_cpu.name)?;
        let usage = Usage {
            cpu: percent.min(100.0) * cores,
            memory: amount(memory, c_memory.name)?,
            disk_io: both(disk, [c_disk[0].name, c_disk[1].name])?,
            net_io: both([net_in, net_out], [c_in.name, c_out.name])?,
        };
        Ok((VmSample { vm, at, usage }, percent > 100.0))
    }

    fn vm(&self, cell: &[u8]) -> Result<VmId, Fault> {
        match self.origin.vm {
            Some(vm) if !self.vm_told => Ok(vm),
            _ => vm_number(cell, self.columns[1].name),
        }
    }

    fn cores(&self, cell: &[u8], vm: VmId, at: i64) -> Result<f64, Fault> {
        if self.cores_told {
            return amount(cell, self.columns[2].name);
        }
        self.origin.capacities.cores(vm, at).ok_or(Fault::UnknownVm(vm.0))
    }
}

/// Bytes per second in both directions; unknown when either is not told.
fn both(cells: [&[u8]; 2], columns: [&'static str; 2]) -> Result<Option<f64>, Fault> {
    if cells.iter().any(|cell| cell.is_empty()) {
        return Ok(None);
    }
    let [one, other] = [amount(cells[0], columns[0])?, amount(cells[1], columns[1])?];
    Ok(Some((one + other) * KILOBYTE))
}

#[cfg(test)]
mod tests;

//! The databases in which OpenNebula 7's monitoring probes keep the past of a VM on its host,
//! for forecasts: `/var/tmp/one_db/<VM>.db`, a table per metric. They are read as they are,
//! also while a probe writes to them, and never changed.

use super::super::StoreError;
use super::super::rates::RateMeter;
use super::{all, failure, uri};
use crate::model::demand::Usage;
use crate::model::ids::VmId;
use crate::model::sample::{Counters, VmSample};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// How a file of SQLite begins.
pub const BEGINNING: &[u8; 16] = b"SQLite format 3\0";

/// Seconds of a sample: probes write every 30, which four weeks need not be kept in.
const STEP: i64 = 300;

/// A probe writes for a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// The metrics, as their tables call them.
const METRICS: [&str; 6] = ["cpu", "memory", "diskrdbytes", "diskwrbytes", "netrx", "nettx"];

/// Hands the samples of all VMs of a file to `visit`, by VM and time; how many VMs there are. A
/// file of hosts has none.
///
/// # Errors
/// When the file cannot be read, or is damaged.
pub fn read(path: &Path, visit: &mut dyn FnMut(VmSample)) -> Result<usize, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let open = |options: &str| {
        let connection = Connection::open_with_flags(format!("{}{options}", uri(path)), flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok(connection)
    };
    // a copy without the files beside it is read as it is
    let connection = open("").or_else(|_| open("?immutable=1")).map_err(|error: rusqlite::Error| failure(&error))?;
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'virtualmachine_%_cpu_monitoring'";
    let names: Vec<String> = all(&connection, sql, |row| row.get(0))?;
    let number = |name: &String| name.strip_prefix("virtualmachine_")?.strip_suffix("_cpu_monitoring")?.parse().ok();
    let mut vms: Vec<i32> = names.iter().filter_map(number).filter(|vm| *vm >= 0).collect();
    vms.sort_unstable();
    for vm in &vms {
        of_one(&connection, *vm, visit)?;
    }
    Ok(vms.len())
}

fn of_one(connection: &Connection, vm: i32, visit: &mut dyn FnMut(VmSample)) -> Result<(), StoreError> {
    let table = |metric: &str| format!("virtualmachine_{vm}_{metric}_monitoring");
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let there: Vec<String> = all(connection, sql, |row| row.get(0))?;
    // a table that is not there has no values
    let value = |metric: &str| {
        let table = table(metric);
        if there.contains(&table) {
            format!("(SELECT VALUE FROM \"{table}\" t WHERE t.TIMESTAMP = c.TIMESTAMP)")
        } else {
            "NULL".to_owned()
        }
    };
    let values: Vec<String> = METRICS[1..].iter().map(|metric| value(metric)).collect();
    let sql = format!("SELECT c.TIMESTAMP, c.VALUE, {} FROM \"{}\" c ORDER BY 1", values.join(", "), table("cpu"));
    let mut statement = connection.prepare(&sql).map_err(|error| failure(&error))?;
    let mut rows = statement.query([]).map_err(|error| failure(&error))?;
    let (mut meter, mut step) = (RateMeter::default(), Step::default());
    while let Some(row) = rows.next().map_err(|error| failure(&error))? {
        // what is no number is unknown
        let real = |index: usize| row.get::<_, Option<f64>>(index).ok().flatten();
        let sum = |one: usize, other: usize| Some(real(one)? + real(other)?);
        let Some(at) = real(0) else { continue };
        let counters =
            Counters { id: vm, at: at as i64, cpu: real(1), memory: real(2), disk: sum(3, 4), net: sum(5, 6) };
        if let Some(usage) = meter.sample(&counters) {
            step.add(vm, counters.at, &usage, visit);
        }
    }
    step.end(vm, visit);
    Ok(())
}

/// The mean of what was seen in a step.
#[derive(Default)]
struct Step {
    number: i64,
    last: i64,
    sums: [(f64, u32); 4],
}

impl Step {
    fn add(&mut self, vm: i32, at: i64, usage: &Usage, visit: &mut dyn FnMut(VmSample)) {
        if at.div_euclid(STEP) != self.number {
            self.end(vm, visit);
            *self = Self { number: at.div_euclid(STEP), ..Self::default() };
        }
        self.last = at;
        let values = [Some(usage.cpu), Some(usage.memory), usage.disk_io, usage.net_io];
        for ((sum, count), value) in self.sums.iter_mut().zip(values) {
            if let Some(value) = value {
                *sum += value;
                *count += 1;
            }
        }
    }

    fn end(&self, vm: i32, visit: &mut dyn FnMut(VmSample)) {
        let [cpu, memory, disk_io, net_io] = self.sums.map(|(sum, count)| (count > 0).then(|| sum / f64::from(count)));
        if let Some((cpu, memory)) = cpu.zip(memory) {
            visit(VmSample { vm: VmId(vm), at: self.last, usage: Usage { cpu, memory, disk_io, net_io } });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as the probes make it.
    fn probed(path: &Path, vm: i32, metrics: &[&str], rows: i64) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        for metric in metrics {
            let name = format!("virtualmachine_{vm}_{metric}_monitoring");
            let create = format!("CREATE TABLE {name} (TIMESTAMP INTEGER PRIMARY KEY, VALUE REAL)");
            connection.execute_batch(&create).unwrap();
            for i in 0..rows {
                let value = match *metric {
                    "cpu" => 40.0,
                    "memory" => 1024.0,
                    _ => 3000.0 * i as f64,
                };
                connection.execute(&format!("INSERT INTO {name} VALUES (?1, ?2)"), (30 * i, value)).unwrap();
            }
        }
        connection.execute_batch("COMMIT").unwrap();
        connection
    }

    #[test]
    fn a_probes_file_gives_a_mean_of_each_five_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("7.db");
        // the probe is still writing
        let writer = probed(&file, 7, &METRICS, 40);
        writer
            .execute_batch("CREATE TABLE host_3_usedcpu_monitoring (TIMESTAMP INTEGER PRIMARY KEY, VALUE REAL)")
            .unwrap();
        writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO virtualmachine_7_cpu_monitoring VALUES (99999, 1)").unwrap();
        let before = std::fs::read(&file).unwrap();
        let mut found = Vec::new();
        assert_eq!(read(&file, &mut |sample| found.push(sample)).unwrap(), 1);
        let at: Vec<i64> = found.iter().map(|sample| sample.at).collect();
        assert_eq!(at, [270, 570, 870, 1170]);
        // 3000 bytes read and as many written per 30 s
        let usage = Usage { cpu: 40.0, memory: 1024.0, disk_io: Some(200.0), net_io: Some(200.0) };
        assert!(found.iter().all(|sample| sample.usage == usage && sample.vm == VmId(7)), "{found:?}");
        assert_eq!(std::fs::read(&file).unwrap(), before, "nothing is changed");
    }

    #[test]
    fn files_that_lack_something_or_are_damaged_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (half, none) = (folder.path().join("8.db"), folder.path().join("host.db"));
        drop(probed(&half, 8, &["cpu", "memory"], 3));
        drop(probed(&none, 8, &["memory"], 3));
        let mut found = Vec::new();
        assert_eq!(read(&half, &mut |sample| found.push(sample)).unwrap(), 1);
        assert_eq!((found.len(), found[0].usage.disk_io), (1, None));
        assert_eq!(read(&none, &mut |sample| panic!("{sample:?}")).unwrap(), 0);
        let mut bytes = std::fs::read(&half).unwrap();
        bytes.truncate(bytes.len() / 2);
        std::fs::write(&half, bytes).unwrap();
        assert!(matches!(read(&half, &mut |_| {}), Err(StoreError::Corrupt(_))));
    }

    #[test]
    fn a_step_is_the_mean_of_what_is_known_in_it() {
        let mut found = Vec::new();
        let mut step = Step::default();
        let usage = |cpu: f64, disk_io: Option<f64>| Usage { cpu, memory: 2.0 * cpu, disk_io, net_io: None };
        for (at, cpu, disk_io) in [
            (300, 10.0, None),
            (599, 30.0, Some(7.0)),
            (600, 50.0, Some(1.0)),
            (601, 70.0, None),
            (602, 90.0, Some(5.0)),
        ] {
            step.add(7, at, &usage(cpu, disk_io), &mut |sample| found.push(sample));
        }
        step.end(7, &mut |sample| found.push(sample));
        let sample = |at: i64, usage: Usage| VmSample { vm: VmId(7), at, usage };
        assert_eq!(found, [sample(599, usage(20.0, Some(7.0))), sample(602, usage(70.0, Some(3.0)))]);
        let mut none = Vec::new();
        Step::default().end(7, &mut |sample| none.push(sample));
        assert_eq!(none, []);
    }

    #[test]
    fn vms_are_told_in_their_order_and_tables_of_none_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.db");
        for vm in [12, 5, 0] {
            drop(probed(&file, vm, &["cpu", "memory"], 1));
        }
        let odd = "CREATE TABLE virtualmachine_x_cpu_monitoring (TIMESTAMP, VALUE); \
                   CREATE TABLE \"virtualmachine_-3_cpu_monitoring\" (TIMESTAMP, VALUE);";
        Connection::open(&file).unwrap().execute_batch(odd).unwrap();
        let mut found = Vec::new();
        assert_eq!(read(&file, &mut |sample| found.push(sample.vm.0)), Ok(3));
        assert_eq!(found, [0, 5, 12]);
    }

    #[test]
    fn a_copy_without_the_files_beside_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("7.db");
        let probe = probed(&file, 7, &["cpu", "memory"], 1);
        probe.pragma_update(None, "journal_mode", "WAL").unwrap();
        drop(probe);
        // as where nothing may be written
        std::fs::create_dir(folder.path().join("7.db-shm")).unwrap();
        let mut found = Vec::new();
        assert_eq!(read(&file, &mut |sample| found.push(sample.vm.0)), Ok(1));
        assert_eq!(found, [7]);
    }
}

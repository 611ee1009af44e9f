//! What training reads in the embedded engine and renews there, and what is told of the file.

use super::super::text::vectors_text;
use super::super::{Described, Learnt, StoreError, StoreStatus, Training, fields};
use super::placing::estimate;
use super::{SqliteStore, all, each, failure};
use crate::model::demand::Usage;
use crate::model::history::Estimate;
use crate::model::ids::VmId;
use crate::model::sample::VmSample;
use rusqlite::types::Value;
use rusqlite::{Transaction, params};

impl Training for SqliteStore {
    fn known(&mut self) -> Result<Vec<VmId>, StoreError> {
        all(&self.connection, "SELECT vm FROM estimates ORDER BY vm", |row| row.get(0).map(VmId))
    }

    fn states(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate, Vec<u8>)>, StoreError> {
        let sql = format!("SELECT vm, {}, state FROM estimates WHERE vm = ?1", fields::ESTIMATE);
        each(&mut self.connection, &sql, vms, |row| Ok((VmId(row.get(0)?), estimate(row)?, row.get("state")?)))
    }

    fn samples(&mut self, vm: VmId) -> Result<Vec<VmSample>, StoreError> {
        let sql = format!("SELECT at, cpu, memory, disk, net FROM samples WHERE vm = {vm} ORDER BY at");
        all(&self.connection, &sql, |row| {
            let number = |index: usize| row.get::<_, Option<f64>>(index);
            let usage = Usage {
                // what is missing is no amount, and learning passes it over
                cpu: number(1)?.unwrap_or(f64::NAN),
                memory: number(2)?.unwrap_or(f64::NAN),
                disk_io: number(3)?,
                net_io: number(4)?,
            };
            Ok(VmSample { vm, at: row.get(0)?, usage })
        })
    }

    fn revise(&mut self, learnt: &[(VmId, Learnt)]) -> Result<(), StoreError> {
        self.writing(|transaction| learnt.iter().try_for_each(|(vm, learnt)| save(transaction, *vm, learnt)))
    }
}

impl Described for SqliteStore {
    fn status(&mut self) -> Result<StoreStatus, StoreError> {
        let sql = "SELECT COUNT(*), COUNT(DISTINCT vm), MIN(at), MAX(at) FROM samples";
        let row = self.connection.query_row(sql, [], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, Option<i64>>(2)?,
                row.get::<_, Option<i64>>(3)?,
            ))
        });
        let (samples, vms, first, last) = row.map_err(|error| failure(&error))?;
        let size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: i64 = self.connection.query_row(size, [], |row| row.get(0)).map_err(|error| failure(&error))?;
        let one = |sql: &str| -> Result<i64, StoreError> {
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| failure(&error))
        };
        let estimates = one("SELECT COUNT(*) FROM estimates")?;
        let host_samples = one("SELECT COUNT(*) FROM host_samples")?;
        let gaps = "SELECT COUNT(*) FROM (SELECT at - LAG(at) OVER (PARTITION BY vm ORDER BY at) AS step FROM samples) \
                    WHERE step > 3600";
        let gaps = one(gaps)?;
        let health: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| failure(&error))?;
        let remarks = if health == "ok" { Vec::new() } else { vec![format!("the file is damaged: {health}")] };
        let engine = format!("SQLite {}", rusqlite::version());
        let span = first.zip(last);
        let newest = "SELECT zone, max(at) FROM carbon GROUP BY zone ORDER BY zone";
        let there = self.has_table("carbon")?;
        let carbon =
            if there { all(&self.connection, newest, |row| Ok((row.get(0)?, row.get(1)?)))? } else { Vec::new() };
        Ok(StoreStatus { engine, samples, vms, estimates, gaps, host_samples, span, bytes, carbon, remarks })
    }
}

/// Keeps what was learnt of a VM.
pub(super) fn save(transaction: &Transaction<'_>, vm: VmId, learnt: &Learnt) -> Result<(), rusqlite::Error> {
    let Learnt { estimate, vectors, state } = learnt;
    let sql = "INSERT OR REPLACE INTO estimates (vm, cpu_level, cpu_peak, cpu_deviation, memory_level, memory_peak,
               disk_level, disk_peak, net_level, net_peak, samples, last_at, state, trust, class, confidence, vector)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let real = |value: Option<f64>| value.map_or(Value::Null, Value::Real);
    transaction.prepare_cached(sql)?.execute(params![
        vm.0,
        estimate.level.cpu,
        estimate.peak.cpu,
        estimate.cpu_deviation,
        estimate.level.memory,
        estimate.peak.memory,
        real(estimate.level.disk_io),
        real(estimate.peak.disk_io),
        real(estimate.level.net_io),
        real(estimate.peak.net_io),
        i64::try_from(estimate.samples).unwrap_or(i64::MAX),
        estimate.last_at,
        state,
        estimate.trust,
        estimate.class.map_or(Value::Null, |class| Value::Integer(class.number.into())),
        real(estimate.class.map(|class| class.confidence)),
        vectors_text(vectors),
    ])?;
    Ok(())
}

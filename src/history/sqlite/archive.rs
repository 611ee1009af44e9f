//! The learning side of the embedded engine.

use super::super::archive::{Archive, SIZES, group, vectors, vectors_text};
use super::super::{Learnt, StoreError, fields, outlook};
use super::{SqliteStore, estimate, failure};
use crate::model::demand::Usage;
use crate::model::history::{Estimate, Group, Vectors};
use crate::model::ids::VmId;
use crate::model::sample::{VmIdentity, VmSample};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

impl Archive for SqliteStore {
    fn known(&mut self) -> Result<Vec<VmId>, StoreError> {
        all(&self.connection, "SELECT vm FROM estimates ORDER BY vm", |row| row.get(0).map(VmId))
    }

    fn identities(&mut self, vms: Option<&[VmId]>) -> Result<Vec<(VmId, VmIdentity)>, StoreError> {
        let pair = |row: &Row<'_>| Ok((VmId(row.get(0)?), row.get::<_, String>(1)?));
        let texts = match vms {
            None => all(&self.connection, "SELECT vm, identity FROM identities ORDER BY vm", pair)?,
            Some(vms) => each(&mut self.connection, "SELECT vm, identity FROM identities WHERE vm = ?1", vms, pair)?,
        };
        Ok(texts.into_iter().filter_map(|(vm, text)| Some((vm, serde_json::from_str(&text).ok()?))).collect())
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

    fn vectors(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Vectors)>, StoreError> {
        let sql = "SELECT vm, vector FROM estimates WHERE vm = ?1 AND vector IS NOT NULL";
        each(&mut self.connection, sql, vms, |row| Ok((VmId(row.get(0)?), vectors(&row.get::<_, String>(1)?))))
    }

    fn relatives(&mut self, keys: &[String]) -> Result<Vec<(String, Group)>, StoreError> {
        let pair = |row: &Row<'_>| Ok((row.get(0)?, group(&row.get::<_, String>(1)?)));
        let sizes =
            format!("SELECT key, content FROM relatives WHERE key LIKE 'size:%' ORDER BY vms DESC, key LIMIT {SIZES}");
        let mut found = all(&self.connection, &sizes, pair)?;
        let mut one = self
            .connection
            .prepare("SELECT key, content FROM relatives WHERE key = ?1 AND key NOT LIKE 'size:%'")
            .map_err(|error| failure(&error))?;
        for key in keys {
            found.extend(one.query_row([key], pair).optional().map_err(|error| failure(&error))?);
        }
        Ok(found)
    }

    fn relate(&mut self, groups: &[(String, Group)]) -> Result<(), StoreError> {
        self.writing(|transaction| {
            transaction.execute("DELETE FROM relatives", [])?;
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO relatives VALUES (?1, ?2, ?3)")?;
            for (key, group) in groups {
                insert.execute(params![key, group.vms, serde_json::to_string(group).unwrap_or_default()])?;
            }
            Ok(())
        })
    }
}

/// All rows of a query.
fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql).map_err(|error| failure(&error))?;
    let rows = statement.query_map([], read);
    rows.and_then(Iterator::collect).map_err(|error| failure(&error))
}

/// The row of each VM that has one, in one transaction: one state of the file.
pub(super) fn each<T>(
    connection: &mut Connection,
    sql: &str,
    vms: &[VmId],
    read: impl Fn(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, StoreError> {
    let transaction = connection.transaction().map_err(|error| failure(&error))?;
    let mut statement = transaction.prepare(sql).map_err(|error| failure(&error))?;
    let mut found = Vec::with_capacity(vms.len());
    for vm in vms {
        found.extend(statement.query_row([vm.0], &read).optional().map_err(|error| failure(&error))?);
    }
    Ok(found)
}

/// Keeps what was learnt of a VM.
pub(super) fn save(transaction: &Transaction<'_>, vm: VmId, learnt: &Learnt) -> Result<(), rusqlite::Error> {
    let Learnt { estimate, vectors, state } = learnt;
    let sql = "INSERT OR REPLACE INTO estimates (vm, cpu_level, cpu_peak, cpu_deviation, memory_level, memory_peak,
               disk_level, disk_peak, net_level, net_peak, samples, last_at, state, trust, class, confidence, vector,
               outlook) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
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
        outlook::bytes(estimate),
    ])?;
    Ok(())
}

//! What others have measured of hosts, in the embedded engine.

use super::super::{Measuring, StoreError};
use super::{SqliteStore, all};
use crate::model::ids::{HostId, VmId};
use crate::model::measure::{Company, HostMeasure, Pressure};
use rusqlite::{Row, params};

impl Measuring for SqliteStore {
    fn keep_measures(&mut self, hosts: &[HostMeasure], vms: &[Company]) -> Result<(), StoreError> {
        self.writing(|transaction| {
            let sql = "INSERT OR REPLACE INTO host_measures VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let mut insert = transaction.prepare(sql)?;
            for one in hosts {
                insert.execute(params![one.host.0, one.at, one.cpu, one.busy, one.watts, one.pressure, one.waiting])?;
            }
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO companies VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for one in vms {
                insert.execute(params![one.vm.0, one.day, one.host.0, one.steps, one.pressure, one.steal])?;
            }
            Ok(())
        })
    }

    fn measured(&mut self) -> Result<Vec<HostId>, StoreError> {
        self.if_there("host_measures", "SELECT DISTINCT host FROM host_measures ORDER BY host", |row| {
            row.get(0).map(HostId)
        })
    }

    fn measures(&mut self, host: HostId) -> Result<Vec<HostMeasure>, StoreError> {
        let sql = format!(
            "SELECT at, cpu, busy, watts, pressure, waiting FROM host_measures WHERE host = {host} ORDER BY at"
        );
        self.if_there("host_measures", &sql, |row| {
            Ok(HostMeasure {
                host,
                at: row.get(0)?,
                cpu: row.get(1)?,
                busy: row.get(2)?,
                watts: row.get(3)?,
                pressure: row.get(4)?,
                waiting: row.get(5)?,
            })
        })
    }

    fn pressures(&mut self, since: i64) -> Result<Vec<Pressure>, StoreError> {
        let sql = format!(
            "SELECT host, avg(pressure), avg(waiting), max(at) FROM host_measures WHERE at > {since}
                 AND coalesce(pressure, waiting) IS NOT NULL GROUP BY host ORDER BY host"
        );
        self.if_there("host_measures", &sql, |row| {
            Ok(Pressure {
                host: HostId(row.get(0)?),
                pressure: row.get(1)?,
                waiting: row.get(2)?,
                last_at: row.get(3)?,
            })
        })
    }

    fn companies(&mut self) -> Result<Vec<Company>, StoreError> {
        let sql = "SELECT vm, day, host, steps, pressure, steal FROM companies ORDER BY vm, day, host";
        self.if_there("companies", sql, |row| {
            Ok(Company {
                vm: VmId(row.get(0)?),
                day: row.get(1)?,
                host: HostId(row.get(2)?),
                steps: row.get(3)?,
                pressure: row.get(4)?,
                steal: row.get(5)?,
            })
        })
    }
}

impl SqliteStore {
    fn if_there<T>(
        &self,
        table: &str,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, StoreError> {
        if self.has_table(table)? { all(&self.connection, sql, read) } else { Ok(Vec::new()) }
    }
}

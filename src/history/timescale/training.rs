//! What training reads in the shared engine and renews there, and what is told of the tables.

use super::super::{Described, Learnt, StoreError, StoreStatus, Training, fields};
use super::placing::estimate;
use super::writing::save_learnt;
use super::{TimescaleStore, column, failure, numbers};
use crate::model::demand::Usage;
use crate::model::history::Estimate;
use crate::model::ids::VmId;
use crate::model::sample::VmSample;

impl Training for TimescaleStore {
    fn known(&mut self) -> Result<Vec<VmId>, StoreError> {
        let rows = self.client.query("SELECT vm FROM oneaio.estimates ORDER BY vm", &[]);
        rows.map_err(|error| failure(&error))?.iter().map(|row| Ok(VmId(column(row, 0)?))).collect()
    }

    fn states(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate, Vec<u8>)>, StoreError> {
        let sql =
            format!("SELECT vm, {}, state FROM oneaio.estimates WHERE vm = ANY($1) ORDER BY vm", fields::ESTIMATE);
        let rows = self.client.query(&sql, &[&numbers(vms)]).map_err(|error| failure(&error))?;
        rows.iter().map(|row| Ok((VmId(column(row, 0)?), estimate(row)?, column(row, row.len() - 1)?))).collect()
    }

    fn samples(&mut self, vm: VmId) -> Result<Vec<VmSample>, StoreError> {
        let sql = "SELECT at, cpu::float8, memory, disk, net FROM oneaio.samples WHERE vm = $1 ORDER BY at";
        let rows = self.client.query(sql, &[&vm.0]).map_err(|error| failure(&error))?;
        let sample = |row: &postgres::Row| -> Result<VmSample, StoreError> {
            let usage = Usage {
                // what is missing is no amount, and learning passes it over
                cpu: column::<Option<f64>>(row, 1)?.unwrap_or(f64::NAN),
                memory: column::<Option<f64>>(row, 2)?.unwrap_or(f64::NAN),
                disk_io: column(row, 3)?,
                net_io: column(row, 4)?,
            };
            Ok(VmSample { vm, at: column(row, 0)?, usage })
        };
        rows.iter().map(sample).collect()
    }

    fn revise(&mut self, learnt: &[(VmId, Learnt)]) -> Result<(), StoreError> {
        self.writing(|transaction| save_learnt(transaction, learnt))
    }
}

impl Described for TimescaleStore {
    fn status(&mut self) -> Result<StoreStatus, StoreError> {
        self.client.execute("SET statement_timeout = 0", &[]).map_err(|error| failure(&error))?;
        let sql = "SELECT count(*), count(DISTINCT vm), min(at), max(at),
                          (SELECT count(*) FROM oneaio.estimates),
                          pg_total_relation_size('oneaio.samples'), version(),
                          (SELECT count(*) FROM (SELECT at - lag(at) OVER (PARTITION BY vm ORDER BY at) AS step
                              FROM oneaio.samples) steps WHERE step > 3600),
                          (SELECT count(*) FROM oneaio.host_samples) FROM oneaio.samples";
        let row = self.client.query_one(sql, &[]).map_err(|error| failure(&error))?;
        let first: Option<i64> = row.get(2);
        let last: Option<i64> = row.get(3);
        let version: String = row.get(6);
        Ok(StoreStatus {
            engine: version.split(" on ").next().unwrap_or("PostgreSQL").to_owned(),
            samples: row.get(0),
            vms: row.get(1),
            estimates: row.get(4),
            gaps: row.get(7),
            host_samples: row.get(8),
            span: first.zip(last),
            bytes: row.get(5),
            remarks: Vec::new(),
        })
    }
}

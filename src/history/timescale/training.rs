//! What training reads in the shared engine and renews there, and what is told of the tables.

use super::super::text::from_ascii;
use super::super::{Described, Learnt, StoreError, StoreStatus, Training, fields};
use super::placing::estimate;
use super::writing::save_learnt;
use super::{TimescaleStore, column, hypertable, numbers};
use crate::model::demand::Usage;
use crate::model::history::Estimate;
use crate::model::ids::VmId;
use crate::model::sample::VmSample;
use postgres::types::Type;

impl Training for TimescaleStore {
    fn known(&mut self) -> Result<Vec<VmId>, StoreError> {
        let rows = self.rows("SELECT vm FROM oneaio.estimates ORDER BY vm", &[])?;
        rows.iter().map(|row| Ok(VmId(column(row, 0)?))).collect()
    }

    fn states(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate, Vec<u8>)>, StoreError> {
        let sql =
            format!("SELECT vm, {}, state FROM oneaio.estimates WHERE vm = ANY($1) ORDER BY vm", fields::ESTIMATE);
        let rows = self.rows(&sql, &[(&numbers(vms), Type::INT4_ARRAY)])?;
        rows.iter().map(|row| Ok((VmId(column(row, 0)?), estimate(row)?, column(row, row.len() - 1)?))).collect()
    }

    fn samples(&mut self, vm: VmId) -> Result<Vec<VmSample>, StoreError> {
        let sql = "SELECT at, cpu::float8, memory, disk, net FROM oneaio.samples WHERE vm = $1 ORDER BY at";
        let rows = self.rows(sql, &[(&vm.0, Type::INT4)])?;
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
        self.long(|transaction| Ok(save_learnt(transaction, learnt)?))
    }
}

impl Described for TimescaleStore {
    fn status(&mut self) -> Result<StoreStatus, StoreError> {
        let sql = "SELECT count(*), count(DISTINCT vm), min(at), max(at),
                          (SELECT count(*) FROM oneaio.estimates), version(),
                          (SELECT count(*) FROM (SELECT at - lag(at) OVER (PARTITION BY vm ORDER BY at) AS step
                              FROM oneaio.samples) steps WHERE step > 3600),
                          (SELECT count(*) FROM oneaio.host_samples) FROM oneaio.samples";
        self.long(|transaction| {
            let row = transaction.query_typed_one(sql, &[])?;
            let described = hypertable::describe(transaction)?;
            // tables of an older version may lack it
            let there = transaction.query_typed_one("SELECT to_regclass('oneaio.carbon') IS NOT NULL", &[])?;
            let zones = if column(&there, 0)? {
                transaction.query_typed("SELECT zone, max(at) FROM oneaio.carbon GROUP BY zone ORDER BY zone", &[])?
            } else {
                Vec::new()
            };
            let newest = |row| Ok::<_, StoreError>((from_ascii(column(row, 0)?), column(row, 1)?));
            let (first, last): (Option<i64>, Option<i64>) = (column(&row, 2)?, column(&row, 3)?);
            let version: String = column(&row, 5)?;
            let engine = version.split(" on ").next().unwrap_or("PostgreSQL").to_owned();
            Ok(StoreStatus {
                engine: described.engine.map_or_else(|| engine.clone(), |more| format!("{engine}, {more}")),
                samples: column(&row, 0)?,
                vms: column(&row, 1)?,
                estimates: column(&row, 4)?,
                gaps: column(&row, 6)?,
                host_samples: column(&row, 7)?,
                span: first.zip(last),
                bytes: described.bytes,
                carbon: zones.iter().map(newest).collect::<Result<_, _>>()?,
                remarks: described.remarks,
            })
        })
    }
}

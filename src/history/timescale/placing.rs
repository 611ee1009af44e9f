//! What placing reads in the shared engine, and what a plan leaves there.

use super::super::text::{SIZES, ascii, from_ascii, group, troubles, vectors};
use super::super::{Collecting, Known, Placing, Sent, StoreError, fields, outlook};
use super::writing::save_sent;
use super::{TimescaleStore, column, numbers};
use crate::model::demand::Class;
use crate::model::demand::Usage;
use crate::model::history::{Attempts, Estimate, Group, Placement, Trouble, Vectors};
use crate::model::ids::{HostId, VmId};
use crate::model::sample::VmIdentity;
use postgres::error::SqlState;
use postgres::types::Type;

impl Known for TimescaleStore {
    fn estimates(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError> {
        let sql = format!("SELECT vm, {} FROM oneaio.estimates WHERE vm = ANY($1)", fields::ESTIMATE);
        let rows = self.rows(&sql, &[(&numbers(vms), Type::INT4_ARRAY)])?;
        rows.iter().map(|row| Ok((VmId(column(row, 0)?), estimate(row)?))).collect()
    }

    fn identities(&mut self, vms: Option<&[VmId]>) -> Result<Vec<(VmId, VmIdentity)>, StoreError> {
        if vms.is_some_and(<[VmId]>::is_empty) {
            return Ok(Vec::new());
        }
        let sql = "SELECT vm, identity FROM oneaio.identities WHERE $1::int[] IS NULL OR vm = ANY($1) ORDER BY vm";
        let rows = self.rows(sql, &[(&vms.map(numbers), Type::INT4_ARRAY)])?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let text: String = column(row, 1)?;
            let vm = VmId(column(row, 0)?);
            found.extend(serde_json::from_str(&text).ok().map(|identity| (vm, identity)));
        }
        Ok(found)
    }

    fn vectors(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Vectors)>, StoreError> {
        let sql = "SELECT vm, vector FROM oneaio.estimates WHERE vm = ANY($1) AND vector IS NOT NULL";
        let rows = self.rows(sql, &[(&numbers(vms), Type::INT4_ARRAY)])?;
        rows.iter().map(|row| Ok((VmId(column(row, 0)?), vectors(&column::<String>(row, 1)?)))).collect()
    }

    fn relatives(&mut self, keys: &[String]) -> Result<Vec<(String, Group)>, StoreError> {
        let keys: Vec<String> = keys.iter().map(|key| ascii(key)).collect();
        let sql = "SELECT key, content FROM oneaio.relatives WHERE key = ANY($1) AND key NOT LIKE 'size:%'
                   UNION ALL (SELECT key, content FROM oneaio.relatives WHERE key LIKE 'size:%'
                              ORDER BY vms DESC, key LIMIT $2)";
        let rows = self.rows(sql, &[(&keys, Type::TEXT_ARRAY), (&SIZES, Type::INT8)])?;
        let pair = |row| Ok((from_ascii(column(row, 0)?), group(column(row, 1)?)));
        rows.iter().map(pair).collect()
    }
}

impl Placing for TimescaleStore {
    fn begin_reading(&mut self) -> Result<(), StoreError> {
        self.begin_questions()
    }

    fn end_reading(&mut self) -> Result<(), StoreError> {
        // of a transaction in which a question failed this is the end too
        self.reading = false;
        Ok(self.client.batch_execute("COMMIT")?)
    }

    fn placements(&mut self, since: i64) -> Result<Vec<Placement>, StoreError> {
        let sql = "SELECT vm, host, at FROM oneaio.placements WHERE at >= $1 ORDER BY vm";
        let rows = self.rows(sql, &[(&since, Type::INT8)])?;
        let placement = |row: &postgres::Row| {
            Ok(Placement { vm: VmId(column(row, 0)?), host: HostId(column(row, 1)?), at: column(row, 2)? })
        };
        rows.iter().map(placement).collect()
    }

    fn attempts(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Attempts)>, StoreError> {
        let sql = "SELECT vm, failed, at, sequence, error FROM oneaio.attempts WHERE vm = ANY($1)";
        let rows = self.rows_if_any(sql, &[(&numbers(vms), Type::INT4_ARRAY)])?;
        let attempts = |row: &postgres::Row| {
            let failed = u32::try_from(column::<i64>(row, 1)?).unwrap_or(u32::MAX);
            let (at, sequence, error) = (column(row, 2)?, column(row, 3)?, from_ascii(column(row, 4)?));
            Ok((VmId(column(row, 0)?), Attempts { failed, at, sequence, error }))
        };
        rows.iter().map(attempts).collect()
    }

    fn troubles(&mut self) -> Result<Vec<Trouble>, StoreError> {
        let rows = self.rows_if_allowed("SELECT content FROM oneaio.troubles", &[])?;
        rows.first().map_or(Ok(Vec::new()), |row| Ok(troubles(&column::<String>(row, 0)?)))
    }

    fn carbon(&mut self, at: i64, max_age: i64) -> Result<Vec<(String, f64)>, StoreError> {
        let sql = "SELECT DISTINCT ON (zone) zone, grams FROM oneaio.carbon WHERE at <= $1 AND at > $2
                   ORDER BY zone, at DESC";
        let rows = self.rows_if_any(sql, &[(&at, Type::INT8), (&at.saturating_sub(max_age), Type::INT8)])?;
        rows.iter().map(|row| Ok((from_ascii(column(row, 0)?), column(row, 1)?))).collect()
    }

    fn remember(&mut self, sent: &Sent<'_>) -> Result<(), StoreError> {
        let limits = self.limits();
        let Err(error) = save_sent(&mut self.client, &limits, sent) else { return Ok(()) };
        if !self.client.is_closed() {
            self.client.batch_execute("ROLLBACK")?;
        }
        // who may read may not always write
        if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            let told = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
            return Err(StoreError::NotWritable(told));
        }
        Err(error.into())
    }

    fn collecting(&mut self) -> Option<&mut dyn Collecting> {
        Some(self)
    }
}

pub(super) fn estimate(row: &postgres::Row) -> Result<Estimate, StoreError> {
    let usage = |cpu, memory, disk, net| {
        Ok::<_, StoreError>(Usage {
            cpu: column(row, cpu)?,
            memory: column(row, memory)?,
            disk_io: column(row, disk)?,
            net_io: column(row, net)?,
        })
    };
    let (usual, sketch) = outlook::read(column::<Option<&[u8]>>(row, 15)?);
    Ok(Estimate {
        level: usage(1, 4, 6, 8)?,
        peak: usage(2, 5, 7, 9)?,
        usual,
        cpu_deviation: column(row, 3)?,
        sketch,
        samples: u64::try_from(column::<i64>(row, 10)?).unwrap_or(0),
        last_at: column(row, 11)?,
        trust: column(row, 12)?,
        class: class(column(row, 13)?, column(row, 14)?),
    })
}

/// A class as it is kept.
fn class(number: Option<i32>, confidence: Option<f64>) -> Option<Class> {
    Some(Class { number: number?.try_into().ok()?, confidence: confidence.unwrap_or(0.0) })
}

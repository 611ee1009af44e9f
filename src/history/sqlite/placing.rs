//! What placing reads in the embedded engine, and what a plan leaves there.

use super::super::text::{SIZES, group, notes, notes_text, vectors};
use super::super::{Collecting, Known, Placing, Sent, StoreError, fields, outlook};
use super::{SqliteStore, all, each, failure};
use crate::model::demand::Class;
use crate::model::history::{Attempts, Estimate, Group, Notes, Placement, Vectors};
use crate::model::ids::{HostId, VmId};
use crate::model::sample::VmIdentity;
use rusqlite::{OptionalExtension, Row, params};

impl Known for SqliteStore {
    fn estimates(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError> {
        let sql = format!("SELECT vm, {} FROM estimates WHERE vm = ?1", fields::ESTIMATE);
        each(&mut self.connection, &sql, vms, |row| Ok((VmId(row.get(0)?), estimate(row)?)))
    }

    fn identities(&mut self, vms: Option<&[VmId]>) -> Result<Vec<(VmId, VmIdentity)>, StoreError> {
        let pair = |row: &Row<'_>| Ok((VmId(row.get(0)?), row.get::<_, String>(1)?));
        let texts = match vms {
            None => all(&self.connection, "SELECT vm, identity FROM identities ORDER BY vm", pair)?,
            Some(vms) => each(&mut self.connection, "SELECT vm, identity FROM identities WHERE vm = ?1", vms, pair)?,
        };
        Ok(texts.into_iter().filter_map(|(vm, text)| Some((vm, serde_json::from_str(&text).ok()?))).collect())
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
            .prepare_cached("SELECT key, content FROM relatives WHERE key = ?1 AND key NOT LIKE 'size:%'")
            .map_err(|error| failure(&error))?;
        for key in keys {
            found.extend(one.query_row([key], pair).optional().map_err(|error| failure(&error))?);
        }
        Ok(found)
    }
}

impl Placing for SqliteStore {
    fn placements(&mut self, since: i64) -> Result<Vec<Placement>, StoreError> {
        let sql = "SELECT vm, host, at FROM placements WHERE at >= ?1 ORDER BY vm";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failure(&error))?;
        let rows = statement.query_map([since], |row| {
            Ok(Placement { vm: VmId(row.get(0)?), host: HostId(row.get(1)?), at: row.get(2)? })
        });
        rows.and_then(Iterator::collect).map_err(|error| failure(&error))
    }

    fn attempts(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Attempts)>, StoreError> {
        if !self.has_table("attempts")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT vm, failed, at, sequence, error FROM attempts WHERE vm = ?1";
        each(&mut self.connection, sql, vms, |row| {
            let (failed, at, sequence, error) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((VmId(row.get(0)?), Attempts { failed, at, sequence, error }))
        })
    }

    fn notes(&mut self) -> Result<Notes, StoreError> {
        if !self.has_table("notes")? {
            return Ok(Notes::default());
        }
        let statement = self.connection.prepare_cached("SELECT content FROM notes");
        let text = statement.and_then(|mut statement| statement.query_row([], |row| row.get::<_, String>(0)));
        Ok(text.optional().map_err(|error| failure(&error))?.map_or_else(Notes::default, |text| notes(&text)))
    }

    fn carbon(&mut self, at: i64, max_age: i64) -> Result<Vec<(String, f64)>, StoreError> {
        if !self.has_table("carbon")? {
            return Ok(Vec::new());
        }
        // with max(), SQLite takes the other columns from that very row
        let sql = "SELECT zone, grams, max(at) FROM carbon WHERE at <= ?1 AND at > ?2 GROUP BY zone ORDER BY zone";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failure(&error))?;
        let rows = statement.query_map([at, at.saturating_sub(max_age)], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(Iterator::collect).map_err(|error| failure(&error))
    }

    fn remember(&mut self, sent: &Sent<'_>) -> Result<(), StoreError> {
        self.writing(|transaction| {
            let forget = |table: &str, since: i64, until: i64| {
                transaction
                    .prepare_cached(&format!("DELETE FROM {table} WHERE at < ?1 OR at > ?2"))?
                    .execute([since, until])
            };
            forget("placements", sent.placements_since, sent.placements_until)?;
            forget("attempts", sent.attempts_since, sent.until)?;
            let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO placements VALUES (?1, ?2, ?3)")?;
            for placement in sent.placements {
                insert.execute(params![placement.vm.0, placement.host.0, placement.at])?;
            }
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (vm, one) in sent.attempts {
                insert.execute(params![vm.0, one.failed, one.at, one.sequence, one.error])?;
            }
            if let Some(notes) = sent.notes {
                transaction.execute("DELETE FROM notes", [])?;
                transaction.execute("INSERT INTO notes VALUES (?1)", [notes_text(notes)])?;
            }
            Ok(())
        })
    }

    fn collecting(&mut self) -> Option<&mut dyn Collecting> {
        Some(self)
    }
}

pub(super) fn estimate(row: &rusqlite::Row<'_>) -> Result<Estimate, rusqlite::Error> {
    let (usual, sketch) = outlook::read(row.get_ref(15)?.as_blob_or_null()?);
    let mut estimate = Estimate {
        level: crate::model::demand::Usage { cpu: row.get(1)?, memory: row.get(4)?, ..Default::default() },
        peak: crate::model::demand::Usage { cpu: row.get(2)?, memory: row.get(5)?, ..Default::default() },
        usual,
        cpu_deviation: row.get(3)?,
        sketch,
        samples: u64::try_from(row.get::<_, i64>(10)?).unwrap_or(0),
        last_at: row.get(11)?,
        trust: row.get(12)?,
        class: class(row.get(13)?, row.get(14)?),
    };
    estimate.level.disk_io = row.get(6)?;
    estimate.peak.disk_io = row.get(7)?;
    estimate.level.net_io = row.get(8)?;
    estimate.peak.net_io = row.get(9)?;
    Ok(estimate)
}

/// A class as it is kept.
fn class(number: Option<u16>, confidence: Option<f64>) -> Option<Class> {
    number.map(|number| Class { number, confidence: confidence.unwrap_or(0.0) })
}

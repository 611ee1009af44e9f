//! What collecting writes into the shared engine.

use super::super::{Absorbed, Batch, Collecting, Kind, Learn, StoreError};
use super::writing::{self, insert_samples, learn_all, save_counters, save_hosts, save_identities};
use super::{COLLECTING, LOCK, TimescaleStore, column, failure, hypertable};
use crate::model::history::Group;
use crate::model::sample::Counters;

impl Collecting for TimescaleStore {
    fn counters(&mut self, kind: Kind) -> Result<Vec<Counters>, StoreError> {
        let sql = "SELECT id, at, cpu, memory, disk, net FROM oneaio.counters WHERE kind = $1 ORDER BY id";
        let rows = self.client.query(sql, &[&(kind as i32)]).map_err(|error| failure(&error))?;
        let counters = |row: &postgres::Row| {
            Ok(Counters {
                id: column(row, 0)?,
                at: column(row, 1)?,
                cpu: column(row, 2)?,
                memory: column(row, 3)?,
                disk: column(row, 4)?,
                net: column(row, 5)?,
            })
        };
        rows.iter().map(counters).collect()
    }

    fn absorb(&mut self, batch: &Batch<'_>, learn: &mut Learn<'_>) -> Result<Absorbed, StoreError> {
        self.writing(|transaction| {
            transaction.execute("SET LOCAL statement_timeout = 0", &[])?;
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
            let fresh = insert_samples(transaction, batch.samples)?;
            let vms = learn_all(transaction, &fresh, learn)?;
            save_hosts(transaction, batch)?;
            save_counters(transaction, batch)?;
            save_identities(transaction, batch)?;
            Ok(Absorbed { new_samples: fresh.len(), vms })
        })
    }

    fn claim_collection(&mut self) -> Result<bool, StoreError> {
        let row = self.client.query_one("SELECT pg_try_advisory_lock($1)", &[&COLLECTING]);
        row.map(|row| row.get(0)).map_err(|error| failure(&error))
    }

    fn relate(&mut self, groups: &[(String, Group)]) -> Result<(), StoreError> {
        let keys: Vec<&str> = groups.iter().map(|(key, _)| key.as_str()).collect();
        let counts: Vec<i64> = groups.iter().map(|(_, group)| group.vms).collect();
        let contents: Vec<String> =
            groups.iter().map(|(_, group)| serde_json::to_string(group).unwrap_or_default()).collect();
        self.writing(|transaction| {
            // one after the other: two collectors would insert the same keys
            transaction.execute("LOCK TABLE oneaio.relatives IN EXCLUSIVE MODE", &[])?;
            transaction.execute("DELETE FROM oneaio.relatives", &[])?;
            let sql = "INSERT INTO oneaio.relatives SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])";
            transaction.execute(sql, &[&keys, &counts, &contents]).map(|_| ())
        })
    }

    fn prune(&mut self, before: i64) -> Result<usize, StoreError> {
        self.writing(|transaction| {
            transaction.execute("SET LOCAL statement_timeout = 0", &[])?;
            let gone = hypertable::drop_samples(transaction, before)?;
            transaction.execute("DELETE FROM oneaio.host_samples WHERE at < $1", &[&before])?;
            Ok(usize::try_from(gone).unwrap_or(usize::MAX))
        })
    }

    fn keep_carbon(&mut self, zone: &str, series: &[(i64, f64)]) -> Result<usize, StoreError> {
        self.writing(|transaction| writing::save_carbon(transaction, zone, series))
    }
}

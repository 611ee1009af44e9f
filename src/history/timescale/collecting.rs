//! What collecting writes into the shared engine.

use super::super::text::ascii;
use super::super::{Absorbed, Batch, Claim, Collecting, Kind, LEASE, Learn, Progress, StoreError};
use super::writing::{self, insert_samples, learn_all, save_counters, save_hosts, save_identities};
use super::{TimescaleStore, column, hypertable, lock};
use crate::model::history::Group;
use crate::model::sample::Counters;
use postgres::Transaction;
use postgres::types::Type;

/// Compression of old days, in the background, may want the same chunks the other way round: the
/// server then ends one of the two, and what was ended is begun again so often.
const RETRIES: u32 = 5;

impl Collecting for TimescaleStore {
    fn counters(&mut self, kind: Kind) -> Result<Vec<Counters>, StoreError> {
        let sql = "SELECT id, at, cpu, memory, disk, net FROM oneaio.counters WHERE kind = $1 ORDER BY id";
        let rows = self.rows(sql, &[(&(kind as i32), Type::INT4)])?;
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
        until_no_deadlock(|| self.absorb_once(batch, learn))
    }

    fn claim_collection(&mut self, holder: &str) -> Result<Claim, StoreError> {
        // by the server's clock: those of front-ends differ. What reaches beyond a whole lease was
        // written while that clock was wrong.
        let sql = "INSERT INTO oneaio.leases AS held
                   SELECT 'collection', $1, now, now + $2
                   FROM (SELECT extract(epoch FROM clock_timestamp())::bigint AS now) clock
                   ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, since = excluded.since,
                       until = excluded.until
                   WHERE held.until < excluded.since OR held.until > excluded.until OR held.holder = excluded.holder
                   RETURNING true";
        let claim = self.short(|transaction| {
            if !transaction.query_typed(sql, &[(&holder, Type::TEXT), (&LEASE, Type::INT8)])?.is_empty() {
                return Ok(Claim::Ours);
            }
            let sql = "SELECT holder, since FROM oneaio.leases WHERE name = 'collection'";
            let held = transaction.query_typed_opt(sql, &[])?;
            Ok(match held {
                Some(row) => Claim::Held { by: column(&row, 0)?, since: column(&row, 1)? },
                None => Claim::Held { by: "a process that has just ended".to_owned(), since: 0 },
            })
        })?;
        if claim == Claim::Ours {
            self.holder = Some(holder.to_owned());
        }
        Ok(claim)
    }

    fn release_collection(&mut self) -> Result<(), StoreError> {
        let Some(holder) = self.holder.take() else { return Ok(()) };
        let sql = "DELETE FROM oneaio.leases WHERE name = 'collection' AND holder = $1";
        self.short(|transaction| Ok(transaction.execute_typed(sql, &[(&holder, Type::TEXT)]).map(drop)?))
    }

    fn progress(&mut self, source: &str) -> Result<Progress, StoreError> {
        let sql = "SELECT extract(epoch FROM clock_timestamp())::bigint,
                          (SELECT until FROM oneaio.progress WHERE source = $1)";
        self.short(|transaction| {
            let row = transaction.query_typed_one(sql, &[(&ascii(source), Type::TEXT)])?;
            Ok(Progress { now: column(&row, 0)?, complete: column(&row, 1)? })
        })
    }

    fn completed(&mut self, source: &str, until: i64) -> Result<(), StoreError> {
        let holder = self.holder.clone();
        self.short(|transaction| {
            renew(transaction, holder.as_deref())?;
            let sql = "INSERT INTO oneaio.progress VALUES ($1, $2)
                       ON CONFLICT (source) DO UPDATE SET until = excluded.until";
            Ok(transaction.execute_typed(sql, &[(&ascii(source), Type::TEXT), (&until, Type::INT8)]).map(drop)?)
        })
    }

    fn relate(&mut self, groups: &[(String, Group)]) -> Result<(), StoreError> {
        let keys: Vec<String> = groups.iter().map(|(key, _)| ascii(key)).collect();
        let counts: Vec<i64> = groups.iter().map(|(_, group)| group.vms).collect();
        let contents: Vec<String> =
            groups.iter().map(|(_, group)| ascii(&serde_json::to_string(group).unwrap_or_default())).collect();
        self.long(|transaction| {
            // one after the other: two collectors would insert the same keys
            transaction.batch_execute("LOCK TABLE oneaio.relatives IN EXCLUSIVE MODE; DELETE FROM oneaio.relatives")?;
            let sql = "INSERT INTO oneaio.relatives SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])";
            let values: [super::Value<'_>; 3] =
                [(&keys, Type::TEXT_ARRAY), (&counts, Type::INT8_ARRAY), (&contents, Type::TEXT_ARRAY)];
            Ok(transaction.execute_typed(sql, &values).map(drop)?)
        })
    }

    fn prune(&mut self, before: i64) -> Result<usize, StoreError> {
        until_no_deadlock(|| self.prune_once(before))
    }

    fn keep_carbon(&mut self, zone: &str, series: &[(i64, f64)]) -> Result<usize, StoreError> {
        self.long(|transaction| Ok(writing::save_carbon(transaction, zone, series)?))
    }
}

/// Begins anew what the server ended because another one waited for it and it for that one.
fn until_no_deadlock<T>(mut once: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..RETRIES {
        match once() {
            Err(StoreError::Deadlock) => {}
            outcome => return outcome,
        }
    }
    once()
}

impl TimescaleStore {
    fn prune_once(&mut self, before: i64) -> Result<usize, StoreError> {
        let holder = self.holder.clone();
        self.long(|transaction| {
            renew(transaction, holder.as_deref())?;
            let gone = hypertable::drop_samples(transaction, before)?;
            for old in ["host_samples WHERE at", "host_measures WHERE at", "companies WHERE day"] {
                let sql = format!("DELETE FROM oneaio.{old} < $1");
                transaction.execute_typed(&sql, &[(&before, Type::INT8)])?;
            }
            Ok(usize::try_from(gone).unwrap_or(usize::MAX))
        })
    }

    fn absorb_once(&mut self, batch: &Batch<'_>, learn: &mut Learn<'_>) -> Result<Absorbed, StoreError> {
        let holder = self.holder.clone();
        self.long(|transaction| {
            lock(transaction)?;
            renew(transaction, holder.as_deref())?;
            let fresh = insert_samples(transaction, batch.samples)?;
            let vms = learn_all(transaction, &fresh, learn)?;
            save_hosts(transaction, batch)?;
            save_counters(transaction, batch)?;
            save_identities(transaction, batch)?;
            Ok(Absorbed { new_samples: fresh.len(), vms })
        })
    }
}

/// Renews the lease of a collector, or says that it is another's.
fn renew(transaction: &mut Transaction<'_>, holder: Option<&str>) -> Result<(), StoreError> {
    let Some(holder) = holder else { return Ok(()) };
    let sql = "UPDATE oneaio.leases SET until = extract(epoch FROM clock_timestamp())::bigint + $2
               WHERE name = 'collection' AND holder = $1";
    match transaction.execute_typed(sql, &[(&holder, Type::TEXT), (&LEASE, Type::INT8)])? {
        0 => Err(StoreError::TakenOver),
        _ => Ok(()),
    }
}

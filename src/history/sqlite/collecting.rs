//! What collecting writes into the embedded engine.

use super::super::{Absorbed, Batch, Claim, Collecting, Kind, LEASE, Learn, Progress, StoreError};
use super::training::save;
use super::{SqliteStore, failure};
use crate::model::history::Group;
use crate::model::sample::{Counters, VmSample};
use rusqlite::{OptionalExtension, Transaction, params};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

impl Collecting for SqliteStore {
    fn counters(&mut self, kind: Kind) -> Result<Vec<Counters>, StoreError> {
        let sql = "SELECT id, at, cpu, memory, disk, net FROM counters WHERE kind = ?1 ORDER BY id";
        let mut statement = self.connection.prepare(sql).map_err(|error| failure(&error))?;
        let rows = statement.query_map([kind as i64], |row| {
            Ok(Counters {
                id: row.get(0)?,
                at: row.get(1)?,
                cpu: row.get(2)?,
                memory: row.get(3)?,
                disk: row.get(4)?,
                net: row.get(5)?,
            })
        });
        rows.and_then(Iterator::collect).map_err(|error| failure(&error))
    }

    fn absorb(&mut self, batch: &Batch<'_>, learn: &mut Learn<'_>) -> Result<Absorbed, StoreError> {
        self.renewing(|transaction| {
            let fresh = insert_samples(transaction, batch.samples)?;
            let mut absorbed = Absorbed { new_samples: fresh.len(), vms: 0 };
            for of_one in fresh.chunk_by(|a, b| a.vm == b.vm) {
                learn_one(transaction, of_one, learn)?;
                absorbed.vms += 1;
            }
            save_hosts(transaction, batch)?;
            save_counters(transaction, batch)?;
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO identities VALUES (?1, ?2)")?;
            for (vm, identity) in batch.identities {
                insert.execute(params![vm.0, serde_json::to_string(identity).unwrap_or_default()])?;
            }
            Ok(absorbed)
        })
    }

    fn claim_collection(&mut self, holder: &str) -> Result<Claim, StoreError> {
        // a file in memory has no path, and nobody else
        let Some(path) = self.connection.path().filter(|path| !path.is_empty()) else { return Ok(Claim::Ours) };
        let lock = format!("{path}.collecting");
        let file = File::options().create(true).append(true).mode(super::MODE).open(&lock);
        let file = file.map_err(|error| StoreError::Unreachable(format!("{lock}: {error}")))?;
        // whose lock is free is gone, which a lease alone would tell only after its time
        let free = match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(rustix::io::Errno::WOULDBLOCK) => false,
            Err(error) => return Err(StoreError::Other(format!("{lock} cannot be locked: {error}"))),
        };
        let now = now();
        let claim = self.writing(|transaction| {
            let sql = "SELECT holder, since, until, locked FROM leases WHERE name = 'collection'";
            let held: Option<(String, i64, i64, bool)> = transaction
                .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .optional()?;
            if let Some((by, since, until, locked)) = held {
                // who took over from a frozen one has no lock; what reaches beyond a whole lease was
                // written by a wrong clock
                let gone = free && locked;
                if !gone && by != holder && until >= now && until <= now + LEASE {
                    return Ok(Claim::Held { by, since });
                }
            } else if !free {
                // it has the lock and is about to write its name
                return Ok(Claim::Held { by: "a process that is just starting".to_owned(), since: now });
            }
            let sql = "INSERT OR REPLACE INTO leases VALUES ('collection', ?1, ?2, ?3, ?4)";
            transaction.execute(sql, params![holder, now, now + LEASE, free])?;
            Ok(Claim::Ours)
        })?;
        if claim == Claim::Ours {
            self.collecting = free.then_some(file);
            self.holder = Some(holder.to_owned());
        }
        Ok(claim)
    }

    fn release_collection(&mut self) -> Result<(), StoreError> {
        if let Some(holder) = self.holder.take() {
            let sql = "DELETE FROM leases WHERE name = 'collection' AND holder = ?1";
            self.writing(|transaction| transaction.execute(sql, [&holder]))?;
        }
        self.collecting = None;
        Ok(())
    }

    fn progress(&mut self, source: &str) -> Result<Progress, StoreError> {
        let sql = "SELECT until FROM progress WHERE source = ?1";
        let complete = self.connection.query_row(sql, [source], |row| row.get(0)).optional();
        Ok(Progress { now: now(), complete: complete.map_err(|error| failure(&error))? })
    }

    fn completed(&mut self, source: &str, until: i64) -> Result<(), StoreError> {
        self.renewing(|transaction| {
            transaction.execute("INSERT OR REPLACE INTO progress VALUES (?1, ?2)", params![source, until]).map(drop)
        })
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

    fn prune(&mut self, before: i64) -> Result<usize, StoreError> {
        self.renewing(|transaction| {
            transaction.execute("DELETE FROM host_samples WHERE at < ?1", [before])?;
            transaction.execute("DELETE FROM host_measures WHERE at < ?1", [before])?;
            transaction.execute("DELETE FROM companies WHERE day < ?1", [before])?;
            transaction.execute("DELETE FROM samples WHERE at < ?1", [before])
        })
    }

    fn keep_carbon(&mut self, zone: &str, series: &[(i64, f64)]) -> Result<usize, StoreError> {
        self.writing(|transaction| {
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO carbon VALUES (?1, ?2, ?3)")?;
            for (at, grams) in series {
                insert.execute(params![zone, at, grams])?;
            }
            let count: i64 =
                transaction.query_row("SELECT COUNT(*) FROM carbon WHERE zone = ?1", [zone], |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or(0))
        })
    }
}

impl SqliteStore {
    /// A transaction that renews the lease of a collector, or fails when it is another's.
    fn renewing<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let holder = self.holder.clone();
        let done = self.writing(|transaction| {
            if let Some(holder) = holder {
                let sql = "UPDATE leases SET until = ?1 WHERE name = 'collection' AND holder = ?2";
                if transaction.execute(sql, params![now() + LEASE, holder])? == 0 {
                    return Ok(None);
                }
            }
            work(transaction).map(Some)
        })?;
        done.ok_or(StoreError::TakenOver)
    }
}

/// Seconds since 1970. All who share a file share this clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Inserts what is not there yet; what is new, by VM and time.
fn insert_samples(transaction: &Transaction<'_>, samples: &[VmSample]) -> Result<Vec<VmSample>, rusqlite::Error> {
    let mut sorted = samples.to_vec();
    sorted.sort_by_key(|sample| (sample.vm, sample.at));
    let mut insert = transaction.prepare("INSERT OR IGNORE INTO samples VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut fresh = Vec::with_capacity(sorted.len());
    for sample in sorted {
        let usage = &sample.usage;
        let row = params![sample.vm.0, sample.at, usage.cpu, usage.memory, usage.disk_io, usage.net_io];
        if insert.execute(row)? == 1 {
            fresh.push(sample);
        }
    }
    Ok(fresh)
}

fn learn_one(transaction: &Transaction<'_>, fresh: &[VmSample], learn: &mut Learn<'_>) -> Result<(), rusqlite::Error> {
    let vm = fresh[0].vm;
    let mut select = transaction.prepare_cached("SELECT state FROM estimates WHERE vm = ?1")?;
    let state: Option<Vec<u8>> = select.query_row([vm.0], |row| row.get(0)).optional()?;
    save(transaction, vm, &learn(vm, state.as_deref(), fresh))
}

fn save_hosts(transaction: &Transaction<'_>, batch: &Batch<'_>) -> Result<(), rusqlite::Error> {
    let mut insert = transaction.prepare("INSERT OR IGNORE INTO host_samples VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for sample in batch.hosts {
        let usage = &sample.usage;
        insert.execute(params![sample.host.0, sample.at, usage.cpu, usage.memory, usage.net_io])?;
    }
    Ok(())
}

fn save_counters(transaction: &Transaction<'_>, batch: &Batch<'_>) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO counters VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (kind, id) DO UPDATE SET \
               at = excluded.at, cpu = excluded.cpu, memory = excluded.memory, disk = excluded.disk, \
               net = excluded.net WHERE excluded.at > counters.at";
    let mut insert = transaction.prepare(sql)?;
    for (kind, one) in batch.counters {
        insert.execute(params![*kind as i64, one.id, one.at, one.cpu, one.memory, one.disk, one.net])?;
    }
    Ok(())
}

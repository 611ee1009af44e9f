//! What collecting writes into the embedded engine.

use super::super::{Absorbed, Batch, Collecting, Kind, Learn, StoreError};
use super::training::save;
use super::{SqliteStore, failure};
use crate::model::history::Group;
use crate::model::sample::{Counters, VmSample};
use rusqlite::{OptionalExtension, Transaction, params};
use rustix::fs::FlockOperation;
use std::fs::File;

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
        self.writing(|transaction| {
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

    fn claim_collection(&mut self) -> Result<bool, StoreError> {
        // a file in memory has no path, and nobody else
        let Some(path) = self.connection.path().filter(|path| !path.is_empty()) else { return Ok(true) };
        let lock = format!("{path}.collecting");
        let file = File::options().create(true).append(true).open(&lock);
        let file = file.map_err(|error| StoreError::Unreachable(format!("{lock}: {error}")))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.collecting = Some(file),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(StoreError::Other(format!("{lock} cannot be locked: {error}"))),
        }
        Ok(true)
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
        self.writing(|transaction| {
            transaction.execute("DELETE FROM host_samples WHERE at < ?1", [before])?;
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

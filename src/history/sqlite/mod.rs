//! The embedded engine: one SQLite file in WAL mode, made on first use.
//! The only room that names SQLite.

mod archive;
mod foreign;

use super::{Absorbed, Batch, HistoryStore, Kind, Learn, Sent, StoreError, StoreStatus, fields};
use crate::model::demand::Class;
use crate::model::history::{Attempts, Estimate, Placement};
use crate::model::ids::{HostId, VmId};
use crate::model::sample::{Counters, VmSample};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// Version of the schema below; older ones are migrated on opening.
const VERSION: i64 = 4;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS samples (
    vm INTEGER NOT NULL, at INTEGER NOT NULL, cpu REAL, memory REAL, disk REAL, net REAL,
    PRIMARY KEY (vm, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host_samples (
    host INTEGER NOT NULL, at INTEGER NOT NULL, cpu REAL, memory REAL, net REAL, PRIMARY KEY (host, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS estimates (
    vm INTEGER PRIMARY KEY, cpu_level REAL NOT NULL, cpu_peak REAL NOT NULL, cpu_deviation REAL NOT NULL,
    memory_level REAL NOT NULL, memory_peak REAL NOT NULL, disk_level REAL, disk_peak REAL,
    net_level REAL, net_peak REAL, samples INTEGER NOT NULL, last_at INTEGER NOT NULL, state BLOB NOT NULL,
    trust REAL NOT NULL DEFAULT 1, class INTEGER, confidence REAL, vector TEXT);
CREATE TABLE IF NOT EXISTS relatives (key TEXT PRIMARY KEY, vms INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (
    kind INTEGER NOT NULL, id INTEGER NOT NULL, at INTEGER NOT NULL, cpu REAL, memory REAL, disk REAL, net REAL,
    PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS identities (
    vm INTEGER PRIMARY KEY, identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS placements (
    vm INTEGER PRIMARY KEY, host INTEGER NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (
    vm INTEGER PRIMARY KEY, failed INTEGER NOT NULL, at INTEGER NOT NULL, sequence INTEGER NOT NULL, error TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS carbon (
    zone TEXT NOT NULL, at INTEGER NOT NULL, grams REAL NOT NULL, PRIMARY KEY (zone, at)) WITHOUT ROWID;
";

/// Columns that came with version 3; the other versions only added tables.
const TO_3: &str = "
ALTER TABLE estimates ADD COLUMN trust REAL NOT NULL DEFAULT 1;
ALTER TABLE estimates ADD COLUMN class INTEGER;
ALTER TABLE estimates ADD COLUMN confidence REAL;
ALTER TABLE estimates ADD COLUMN vector TEXT;
";

/// Makes an older file that is only read look like version 3, for this connection.
const AS_3: &str = "
CREATE TEMP VIEW estimates AS
    SELECT *, 1.0 AS trust, NULL AS class, NULL AS confidence, NULL AS vector FROM main.estimates;
CREATE TEMP TABLE relatives (key TEXT PRIMARY KEY, vms INTEGER NOT NULL, content TEXT NOT NULL);
";

/// An open file.
pub struct SqliteStore {
    connection: Connection,
    /// Locked while this process is the one that collects.
    collecting: Option<File>,
}

impl SqliteStore {
    /// Opens the file, making it (not its folder) if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, is no database of ours, or is locked beyond `patience`.
    pub fn open(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(|error| failure(&error))?;
        connection.busy_timeout(patience).map_err(|error| failure(&error))?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(|error| failure(&error))?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(|error| failure(&error))?;
        let mut store = Self { connection, collecting: None };
        store.migrate()?;
        Ok(store)
    }

    /// Opens an existing file without the right to change it. Where even the files beside it
    /// (WAL) cannot be made, as on a read-only disk, what the file itself holds is read.
    ///
    /// # Errors
    /// As `open`, and when the file is not there.
    pub fn open_read_only(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let open = |options: &str| {
            let connection = Connection::open_with_flags(format!("{}{options}", uri(path)), flags)?;
            connection.busy_timeout(patience)?;
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
            Ok(Self { connection, collecting: None })
        };
        let store = open("").or_else(|_| open("?immutable=1")).map_err(|error: rusqlite::Error| failure(&error))?;
        match store.version()? {
            VERSION => {}
            1 | 2 => store.connection.execute_batch(AS_3).map_err(|error| failure(&error))?,
            3 => {}
            other => return Err(other_version(other)),
        }
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        if self.version()? == VERSION {
            return Ok(());
        }
        let version = |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        // asked again inside: two processes may migrate at once
        let found: i64 = self.writing(|transaction| {
            let found: i64 = version(transaction)?;
            match found {
                0 => transaction.execute_batch(SCHEMA)?,
                1 | 2 => transaction.execute_batch(&format!("{SCHEMA} {TO_3}"))?,
                3 => transaction.execute_batch(SCHEMA)?,
                other => return Ok(other),
            }
            transaction.pragma_update(None, "user_version", VERSION)?;
            Ok(VERSION)
        })?;
        if found == VERSION { Ok(()) } else { Err(other_version(found)) }
    }

    fn version(&self) -> Result<i64, StoreError> {
        self.connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|error| failure(&error))
    }
}

fn other_version(found: i64) -> StoreError {
    StoreError::Schema(if found > VERSION {
        format!("its schema is version {found}, this oneaio knows {VERSION}: install the newer oneaio")
    } else {
        format!("its schema is version {found}, this oneaio wants {VERSION}: run `oneaio db init`")
    })
}

impl HistoryStore for SqliteStore {
    fn estimates(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError> {
        let sql = format!("SELECT vm, {} FROM estimates WHERE vm = ?1", fields::ESTIMATE);
        archive::each(&mut self.connection, &sql, vms, |row| Ok((VmId(row.get(0)?), estimate(row)?)))
    }

    fn placements(&mut self, since: i64) -> Result<Vec<Placement>, StoreError> {
        let sql = "SELECT vm, host, at FROM placements WHERE at >= ?1 ORDER BY vm";
        let mut statement = self.connection.prepare(sql).map_err(|error| failure(&error))?;
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
        archive::each(&mut self.connection, sql, vms, |row| {
            let (failed, at, sequence, error) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((VmId(row.get(0)?), Attempts { failed, at, sequence, error }))
        })
    }

    fn remember(&mut self, sent: &Sent<'_>) -> Result<(), StoreError> {
        self.writing(|transaction| {
            let forget = |table: &str, since: i64, until: i64| {
                transaction.execute(&format!("DELETE FROM {table} WHERE at < ?1 OR at > ?2"), [since, until])
            };
            forget("placements", sent.placements_since, sent.placements_until)?;
            forget("attempts", sent.attempts_since, sent.until)?;
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO placements VALUES (?1, ?2, ?3)")?;
            for placement in sent.placements {
                insert.execute(params![placement.vm.0, placement.host.0, placement.at])?;
            }
            let mut insert = transaction.prepare("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (vm, one) in sent.attempts {
                insert.execute(params![vm.0, one.failed, one.at, one.sequence, one.error])?;
            }
            Ok(())
        })
    }

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

    fn status(&mut self) -> Result<StoreStatus, StoreError> {
        let sql = "SELECT COUNT(*), COUNT(DISTINCT vm), MIN(at), MAX(at) FROM samples";
        let row = self.connection.query_row(sql, [], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, Option<i64>>(2)?,
                row.get::<_, Option<i64>>(3)?,
            ))
        });
        let (samples, vms, first, last) = row.map_err(|error| failure(&error))?;
        let size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: i64 = self.connection.query_row(size, [], |row| row.get(0)).map_err(|error| failure(&error))?;
        let one = |sql: &str| -> Result<i64, StoreError> {
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| failure(&error))
        };
        let estimates = one("SELECT COUNT(*) FROM estimates")?;
        let host_samples = one("SELECT COUNT(*) FROM host_samples")?;
        let gaps = "SELECT COUNT(*) FROM (SELECT at - LAG(at) OVER (PARTITION BY vm ORDER BY at) AS step FROM samples) \
                    WHERE step > 3600";
        let gaps = one(gaps)?;
        let health: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| failure(&error))?;
        let remarks = if health == "ok" { Vec::new() } else { vec![format!("the file is damaged: {health}")] };
        let engine = format!("SQLite {}", rusqlite::version());
        let span = first.zip(last);
        Ok(StoreStatus { engine, samples, vms, estimates, gaps, host_samples, span, bytes, remarks })
    }

    fn prune(&mut self, before: i64) -> Result<usize, StoreError> {
        self.writing(|transaction| {
            transaction.execute("DELETE FROM host_samples WHERE at < ?1", [before])?;
            transaction.execute("DELETE FROM samples WHERE at < ?1", [before])
        })
    }

    fn carbon(&mut self, at: i64, max_age: i64) -> Result<Vec<(String, f64)>, StoreError> {
        if !self.has_table("carbon")? {
            return Ok(Vec::new());
        }
        // with max(), SQLite takes the other columns from that very row
        let sql = "SELECT zone, grams, max(at) FROM carbon WHERE at <= ?1 AND at > ?2 GROUP BY zone ORDER BY zone";
        let mut statement = self.connection.prepare(sql).map_err(|error| failure(&error))?;
        let rows = statement.query_map([at, at.saturating_sub(max_age)], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(Iterator::collect).map_err(|error| failure(&error))
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
    /// A file of an older version that is only read may lack one.
    fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?1)";
        self.connection.query_row(sql, [name], |row| row.get(0)).map_err(|error| failure(&error))
    }

    /// One writing transaction, all or nothing.
    fn writing<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(|error| failure(&error))?;
        let outcome = work(&transaction).map_err(|error| failure(&error))?;
        transaction.commit().map_err(|error| failure(&error))?;
        Ok(outcome)
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
    archive::save(transaction, vm, &learn(vm, state.as_deref(), fresh))
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

fn estimate(row: &rusqlite::Row<'_>) -> Result<Estimate, rusqlite::Error> {
    let mut estimate = Estimate {
        level: crate::model::demand::Usage { cpu: row.get(1)?, memory: row.get(4)?, ..Default::default() },
        peak: crate::model::demand::Usage { cpu: row.get(2)?, memory: row.get(5)?, ..Default::default() },
        cpu_deviation: row.get(3)?,
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

/// A path as a URI of SQLite, in which these characters would mean something else.
fn uri(path: &Path) -> String {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{escaped}")
}

/// What went wrong and what to do about it.
fn failure(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Corrupt(error.to_string()),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => StoreError::Unreachable(error.to_string()),
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Other(error.to_string()),
    }
}

//! The embedded engine: one SQLite file in WAL mode, made on first use.
//! The only room that names SQLite.

mod collecting;
pub mod forecast;
mod foreign;
mod measuring;
mod placing;
mod training;

use super::StoreError;
use crate::model::ids::VmId;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// Version of the schema below; older ones are migrated on opening.
const VERSION: i64 = 8;

/// "oaio" in ASCII, in the header of each of our files.
const APPLICATION: i64 = 0x6f61_696f;

/// Of a new file, whatever the umask: history says what tenants do.
const MODE: u32 = 0o640;

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
    trust REAL NOT NULL DEFAULT 1, class INTEGER, confidence REAL, vector TEXT, outlook BLOB);
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
CREATE TABLE IF NOT EXISTS notes (content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS carbon (
    zone TEXT NOT NULL, at INTEGER NOT NULL, grams REAL NOT NULL, PRIMARY KEY (zone, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (source TEXT PRIMARY KEY, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
    locked INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS host_measures (
    host INTEGER NOT NULL, at INTEGER NOT NULL, cpu REAL, busy REAL, watts REAL, pressure REAL, waiting REAL,
    PRIMARY KEY (host, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS companies (
    vm INTEGER NOT NULL, day INTEGER NOT NULL, host INTEGER NOT NULL, steps INTEGER NOT NULL, pressure REAL, steal REAL,
    PRIMARY KEY (vm, day, host)) WITHOUT ROWID;
";

/// Columns that came with version 3.
const TO_3: &str = "
ALTER TABLE estimates ADD COLUMN trust REAL NOT NULL DEFAULT 1;
ALTER TABLE estimates ADD COLUMN class INTEGER;
ALTER TABLE estimates ADD COLUMN confidence REAL;
ALTER TABLE estimates ADD COLUMN vector TEXT;
";

/// The column that came with version 6; the other versions only added tables.
const TO_6: &str = "ALTER TABLE estimates ADD COLUMN outlook BLOB;";

/// Makes a file from before version 6 that is only read look like a newer one, for this connection.
const AS_6: &str = "CREATE TEMP VIEW estimates AS SELECT *, NULL AS outlook FROM main.estimates;";

/// The same from before version 3.
const AS_3: &str = "
CREATE TEMP VIEW estimates AS
    SELECT *, 1.0 AS trust, NULL AS class, NULL AS confidence, NULL AS vector, NULL AS outlook
    FROM main.estimates;
CREATE TEMP TABLE relatives (key TEXT PRIMARY KEY, vms INTEGER NOT NULL, content TEXT NOT NULL);
";

/// Whether estimates have the column that came with version 6.
fn has_outlook(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('estimates') WHERE name = 'outlook')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// An open file.
pub struct SqliteStore {
    connection: Connection,
    /// Locked while this process is the one that collects.
    collecting: Option<File>,
    /// Its name then.
    holder: Option<String>,
}

impl SqliteStore {
    /// Opens the file, making it (not its folder) if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, is no database of ours, or is locked beyond `patience`.
    pub fn open(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        if path != Path::new(":memory:") {
            make_private(path)?;
        }
        let connection = Connection::open(path).map_err(|error| failure(&error))?;
        connection.busy_timeout(patience).map_err(|error| failure(&error))?;
        // before anything is set or made
        if owner(&connection)? == Owner::Foreign {
            return Err(foreign(path));
        }
        connection.pragma_update(None, "journal_mode", "WAL").map_err(|error| failure(&error))?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(|error| failure(&error))?;
        let mut store = Self { connection, collecting: None, holder: None };
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
            Ok(Self { connection, collecting: None, holder: None })
        };
        let store = open("").or_else(|_| open("?immutable=1")).map_err(|error: rusqlite::Error| failure(&error))?;
        if owner(&store.connection)? == Owner::Foreign {
            return Err(foreign(path));
        }
        match store.version()? {
            VERSION => {}
            1 | 2 => store.connection.execute_batch(AS_3).map_err(|error| failure(&error))?,
            3..VERSION if has_outlook(&store.connection).map_err(|error| failure(&error))? => {}
            3..VERSION => store.connection.execute_batch(AS_6).map_err(|error| failure(&error))?,
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
                3..VERSION => transaction.execute_batch(SCHEMA)?,
                other => return Ok(other),
            }
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            if !has_outlook(transaction)? {
                transaction.execute_batch(TO_6)?;
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

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Nobody's yet, or ours.
    Ours,
    /// Another program's.
    Foreign,
}

/// A file without tables is nobody's; ours are marked, or hold our tables from before marks.
fn owner(connection: &Connection) -> Result<Owner, StoreError> {
    let mark: i64 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(|error| failure(&error))?;
    if mark == APPLICATION {
        return Ok(Owner::Ours);
    }
    let sql = "SELECT count(*), count(*) FILTER (WHERE name IN ('samples', 'estimates', 'counters', 'identities')) \
               FROM sqlite_schema WHERE type = 'table'";
    let (tables, known): (i64, i64) =
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|error| failure(&error))?;
    let version: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|error| failure(&error))?;
    let older = mark == 0 && version > 0 && known == 4;
    Ok(if tables == 0 && mark == 0 || older { Owner::Ours } else { Owner::Foreign })
}

fn foreign(path: &Path) -> StoreError {
    StoreError::Foreign(format!(
        "{} is a database of another program and was left as it is: name another file in `history.store`",
        path.display()
    ))
}

/// Makes a file that is not there, for its owner and group alone; SQLite gives the files beside
/// it the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    match File::options().write(true).create_new(true).mode(MODE).open(path) {
        // a umask may have taken more
        Ok(file) => {
            let mode = file.metadata().map(|meta| meta.permissions().mode() & MODE).unwrap_or(MODE);
            let set = file.set_permissions(std::fs::Permissions::from_mode(mode));
            set.map_err(|error| StoreError::Unreachable(format!("{}: {error}", path.display())))
        }
        // it is there, or opening it says why not
        Err(_) => Ok(()),
    }
}

fn other_version(found: i64) -> StoreError {
    StoreError::Schema(if found > VERSION {
        format!("its schema is version {found}, this oneaio knows {VERSION}: install the newer oneaio")
    } else {
        format!("its schema is version {found}, this oneaio wants {VERSION}: run `oneaio db init`")
    })
}

impl SqliteStore {
    /// A file of an older version that is only read may lack one.
    fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?1)";
        let statement = self.connection.prepare_cached(sql);
        statement
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)))
            .map_err(|error| failure(&error))
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

/// All rows of a query.
fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| failure(&error))?;
    let rows = statement.query_map([], read);
    rows.and_then(Iterator::collect).map_err(|error| failure(&error))
}

/// The row of each VM that has one, in one transaction: one state of the file.
fn each<T>(
    connection: &mut Connection,
    sql: &str,
    vms: &[VmId],
    read: impl Fn(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, StoreError> {
    let transaction = connection.transaction().map_err(|error| failure(&error))?;
    let mut statement = transaction.prepare_cached(sql).map_err(|error| failure(&error))?;
    let mut found = Vec::with_capacity(vms.len());
    for vm in vms {
        found.extend(statement.query_row([vm.0], &read).optional().map_err(|error| failure(&error))?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

//! A file that may come from elsewhere, as that of a bundle: read as plain tables or not at
//! all. Views, triggers and virtual tables are programs, and could run for ever.

use super::{SqliteStore, StoreError, failure};
use rusqlite::config::DbConfig;
use std::path::Path;
use std::time::Duration;

/// Whatever is neither a table nor an index, and tables that are made of code.
const PROGRAMS: &str = "SELECT count(*) FROM sqlite_schema
    WHERE type NOT IN ('table', 'index') OR upper(ltrim(sql)) LIKE 'CREATE VIRTUAL%'";

impl SqliteStore {
    /// Opens an existing file that nobody vouches for, without the right to change it.
    ///
    /// # Errors
    /// As `open_read_only`, and when it holds more than tables.
    pub fn open_foreign(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let store = Self::open_read_only(path, patience)?;
        let set = |what, to| store.connection.set_db_config(what, to).map(drop);
        set(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
            .and_then(|()| set(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true))
            .and_then(|()| store.connection.pragma_update(None, "cell_size_check", true))
            .map_err(|error| failure(&error))?;
        let main: i64 = store.connection.query_row(PROGRAMS, [], |row| row.get(0)).map_err(|error| failure(&error))?;
        match main {
            0 => Ok(store),
            _ => Err(StoreError::Other("it holds views or triggers, and no store of oneaio does".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Known;
    use crate::model::ids::VmId;
    use rusqlite::Connection;

    #[test]
    fn tables_are_read_and_programs_are_not() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("history.db");
        drop(SqliteStore::open(&file, Duration::from_secs(1)).expect("makes"));
        let mut store = SqliteStore::open_foreign(&file, Duration::from_secs(1)).expect("opens");
        assert_eq!(store.estimates(&[VmId(1)]), Ok(vec![]));
        let set = |what| store.connection.db_config(what).expect("told");
        assert!(!set(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA) && set(DbConfig::SQLITE_DBCONFIG_DEFENSIVE));
        let checked: i64 = store.connection.query_row("PRAGMA cell_size_check", [], |row| row.get(0)).expect("told");
        assert_eq!(checked, 1);
        drop(store);
        for program in [
            "ALTER TABLE estimates RENAME TO other; CREATE VIEW estimates AS WITH RECURSIVE n(x) AS \
             (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS vm, * FROM n, other;",
            "CREATE TRIGGER t AFTER INSERT ON samples BEGIN DELETE FROM estimates; END;",
        ] {
            let other = folder.path().join("other.db");
            std::fs::copy(&file, &other).expect("copies");
            Connection::open(&other).and_then(|open| open.execute_batch(program)).expect("changes");
            let error = SqliteStore::open_foreign(&other, Duration::from_secs(1)).err().expect("refuses");
            assert!(error.to_string().contains("views or triggers"), "{error}");
        }
    }
}

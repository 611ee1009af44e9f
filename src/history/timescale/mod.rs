//! The shared engine: PostgreSQL, with TimescaleDB where it is there. Tables live in a
//! schema of their own, `oneaio`, beside whatever else the database holds.
//! The only room that names the postgres crate.

mod ai_orchestrator;
mod collecting;
mod hypertable;
mod placing;
mod tls;
mod training;
mod writing;

use super::{Described, Placing, StoreError};
use crate::model::ids::VmId;
use ai_orchestrator::AiOrchestrator;
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::types::{FromSql, ToSql};
use postgres::{Client, Config, NoTls, Transaction};
use std::time::Duration;
use tls::Mode;

/// Version of the schema below.
const VERSION: i32 = 4;

/// Serialises schema changes and collections over all front-ends: "oneaio" in ASCII.
const LOCK: i64 = 0x6f6e_6561_696f;

/// Held by the session of the one collector.
const COLLECTING: i64 = LOCK + 1;

const SCHEMA: &str = "
CREATE SCHEMA IF NOT EXISTS oneaio;
CREATE TABLE IF NOT EXISTS oneaio.meta (version int NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.samples (
    vm int NOT NULL, at bigint NOT NULL, cpu float4, memory float8, disk float8, net float8,
    PRIMARY KEY (vm, at));
CREATE TABLE IF NOT EXISTS oneaio.host_samples (
    host int NOT NULL, at bigint NOT NULL, cpu float8, memory float8, net float8, PRIMARY KEY (host, at));
CREATE TABLE IF NOT EXISTS oneaio.estimates (
    vm int PRIMARY KEY, cpu_level float8 NOT NULL, cpu_peak float8 NOT NULL, cpu_deviation float8 NOT NULL,
    memory_level float8 NOT NULL, memory_peak float8 NOT NULL, disk_level float8, disk_peak float8,
    net_level float8, net_peak float8, samples bigint NOT NULL, last_at bigint NOT NULL, state bytea NOT NULL,
    trust float8 NOT NULL DEFAULT 1, class int, confidence float8, vector text);
CREATE TABLE IF NOT EXISTS oneaio.relatives (key text PRIMARY KEY, vms bigint NOT NULL, content text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.counters (
    kind int NOT NULL, id int NOT NULL, at bigint NOT NULL, cpu float8, memory float8, disk float8, net float8,
    PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS oneaio.identities (vm int PRIMARY KEY, identity text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.placements (vm int PRIMARY KEY, host int NOT NULL, at bigint NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.attempts (
    vm int PRIMARY KEY, failed bigint NOT NULL, at bigint NOT NULL, sequence bigint NOT NULL, error text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.carbon (
    zone text NOT NULL, at bigint NOT NULL, grams float8 NOT NULL, PRIMARY KEY (zone, at));
";

/// Columns that came with version 3; the other versions only added tables.
const TO_3: &str = "
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS trust float8 NOT NULL DEFAULT 1;
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS class int;
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS confidence float8;
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS vector text;
";

/// An open connection.
pub struct TimescaleStore {
    client: Client,
}

/// Opens what is there for the placement path: our tables, or those of the ai-orchestrator.
///
/// # Errors
/// When there is no connection within `patience`.
pub fn reader(url: &str, patience: Duration) -> Result<Box<dyn Placing>, StoreError> {
    let mut store = TimescaleStore::connect(url, patience)?;
    let foreign = ai_orchestrator::is_one(&mut store.client)?;
    Ok(if foreign { Box::new(AiOrchestrator::new(store.client)) } else { Box::new(store) })
}

/// Opens what is there to tell what it is: our tables, or those of the ai-orchestrator.
///
/// # Errors
/// When there is no connection within `patience`.
pub fn described(url: &str, patience: Duration) -> Result<Box<dyn Described>, StoreError> {
    let mut store = TimescaleStore::connect(url, patience)?;
    let foreign = ai_orchestrator::is_one(&mut store.client)?;
    Ok(if foreign { Box::new(AiOrchestrator::new(store.client)) } else { Box::new(store) })
}

impl TimescaleStore {
    /// Connects, and makes or migrates the schema.
    ///
    /// # Errors
    /// When there is no connection within `patience`, or no right to make the schema.
    pub fn open(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let mut store = Self::connect(url, patience)?;
        store.migrate()?;
        Ok(store)
    }

    /// As [`Self::connect`], where the tables are ours and not those of the ai-orchestrator.
    ///
    /// # Errors
    /// When there is no connection within `patience`, or the database is only to be read.
    pub fn connect_to_ours(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let mut store = Self::connect(url, patience)?;
        if ai_orchestrator::is_one(&mut store.client)? { Err(ai_orchestrator::only_read()) } else { Ok(store) }
    }

    /// Connects to an existing schema, without changing it.
    ///
    /// # Errors
    /// When there is no connection within `patience`.
    pub fn connect(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let address = tls::split(url).map_err(StoreError::Unreachable)?;
        let mut config: Config = address.plain.parse().map_err(|_| {
            // the error's text may quote the password
            StoreError::Unreachable("the address is not of the form postgresql://user@host/database".to_owned())
        })?;
        config.connect_timeout(patience).application_name("oneaio");
        let mut client = secured(config, &address)?;
        let limit = format!("SET statement_timeout = {0}; SET lock_timeout = {0}", patience.as_millis().max(1));
        client.batch_execute(&limit).map_err(|error| failure(&error))?;
        Ok(Self { client })
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let mut transaction = self.client.transaction().map_err(|error| failure(&error))?;
        let there = transaction.query_one("SELECT to_regclass('oneaio.meta')::text", &[]);
        let there: Option<String> = there.map_err(|error| failure(&error))?.get(0);
        if there.is_none() {
            create(&mut transaction).map_err(|error| failure(&error))?;
        }
        let found: i32 =
            transaction.query_one("SELECT max(version) FROM oneaio.meta", &[]).map_err(|error| failure(&error))?.get(0);
        if found > VERSION {
            return Err(StoreError::Schema(format!(
                "its schema is version {found}, this oneaio knows {VERSION}: install the newer oneaio"
            )));
        }
        if found < VERSION {
            upgrade(&mut transaction).map_err(|error| failure(&error))?;
        }
        transaction.commit().map_err(|error| failure(&error))
    }
}

/// Connects with as much TLS as the address asks for.
fn secured(mut config: Config, address: &tls::Address) -> Result<Client, StoreError> {
    let connector = || tls::connector(address.mode, address.root.as_deref()).map_err(StoreError::Unreachable);
    match address.mode {
        Mode::Disable => config.ssl_mode(SslMode::Disable).connect(NoTls),
        Mode::Allow => match config.clone().ssl_mode(SslMode::Disable).connect(NoTls) {
            Err(error) if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                config.ssl_mode(SslMode::Require).connect(connector()?)
            }
            outcome => outcome,
        },
        Mode::Prefer => config.ssl_mode(SslMode::Prefer).connect(connector()?),
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => config.ssl_mode(SslMode::Require).connect(connector()?),
    }
    .map_err(|error| failure(&error))
}

/// Makes all tables; two front-ends may try at once.
fn create(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
    transaction.batch_execute(SCHEMA)?;
    let count: i64 = transaction.query_one("SELECT count(*) FROM oneaio.meta", &[])?.get(0);
    if count == 0 {
        transaction.execute("INSERT INTO oneaio.meta VALUES ($1)", &[&VERSION])?;
        // plain tables do as well: what TimescaleDB refuses must not cost the store
        let mut attempt = transaction.savepoint("hypertable")?;
        match hypertable::make(&mut attempt) {
            Ok(()) => attempt.commit()?,
            Err(_) => attempt.rollback()?,
        }
    }
    Ok(())
}

/// From an older version: each only added tables.
fn upgrade(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
    transaction.batch_execute(SCHEMA)?;
    transaction.batch_execute(TO_3)?;
    transaction.execute("UPDATE oneaio.meta SET version = $1", &[&VERSION]).map(|_| ())
}

impl TimescaleStore {
    /// What is selected; nothing where the table is not there, without a round trip of its own.
    fn rows_if_any(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<postgres::Row>, StoreError> {
        match self.client.query(sql, values) {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(Vec::new()),
            rows => rows.map_err(|error| failure(&error)),
        }
    }

    /// Tables of an older version that nobody has migrated yet may lack one.
    fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        let row = self.client.query_one("SELECT to_regclass('oneaio.' || $1::text) IS NOT NULL", &[&name]);
        row.map(|row| row.get(0)).map_err(|error| failure(&error))
    }

    /// One transaction, all or nothing.
    fn writing<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        let mut transaction = self.client.transaction().map_err(|error| failure(&error))?;
        let outcome = work(&mut transaction).map_err(|error| failure(&error))?;
        transaction.commit().map_err(|error| failure(&error))?;
        Ok(outcome)
    }
}

/// A column of the type that our tables give it; other tables of that name are told.
fn column<'r, T: FromSql<'r>>(row: &'r postgres::Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|error| {
        StoreError::Schema(format!(
            "its tables have another form ({error}): move schema oneaio away, run `oneaio db init`"
        ))
    })
}

/// An error with what is behind it: `error connecting to server: Connection refused`.
fn with_causes(error: &postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

/// What went wrong and what to do about it; never with the password.
fn failure(error: &postgres::Error) -> StoreError {
    let Some(state) = error.code() else { return StoreError::Unreachable(with_causes(error)) };
    let told = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
    match *state {
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => StoreError::Busy,
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION | SqlState::INVALID_CATALOG_NAME => {
            StoreError::Unreachable(told)
        }
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => {
            StoreError::Schema(format!("its tables are missing ({told}): run `oneaio db init`"))
        }
        SqlState::UNDEFINED_COLUMN | SqlState::DATATYPE_MISMATCH | SqlState::UNDEFINED_FUNCTION => {
            StoreError::Schema(format!("its tables have another form ({told}): run `oneaio db init`"))
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            StoreError::Schema(format!("{told}: grant the rights, or let the owner run `oneaio db init`"))
        }
        SqlState::DISK_FULL => StoreError::Full,
        _ => StoreError::Other(told),
    }
}

/// Ids as the server takes them.
fn numbers(vms: &[VmId]) -> Vec<i32> {
    vms.iter().map(|vm| vm.0).collect()
}

//! The shared engine: PostgreSQL, with TimescaleDB where it is there. Tables live in a
//! schema of their own, `oneaio`, beside whatever else the database holds.
//! The only room that names the postgres crate.

pub mod ai_orchestrator;
mod collecting;
mod hypertable;
mod measuring;
mod password;
mod placing;
mod tls;
mod training;
mod writing;

use super::{Described, Placing, StoreError};
use crate::model::ids::VmId;
use ai_orchestrator::AiOrchestrator;
use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::types::{FromSql, ToSql, Type};
use postgres::{Client, Config, NoTls, SimpleQueryMessage, Transaction};
use std::time::Duration;
use tls::Mode;

/// Version of the schema below.
const VERSION: i32 = 8;

/// Serialises schema changes and collections over all front-ends: "oneaio" in ASCII.
const LOCK: i64 = 0x6f6e_6561_696f;

/// Written on our table of versions, so that it is known as ours.
const MARK: &str = "history of VMs, kept by oneaio";

/// A client that is frozen within a transaction gives its locks up after this many seconds.
const FROZEN: i64 = 60;

/// A value and its type. Statements that name the types need no name themselves: named ones
/// collide where a pool hands one connection from client to client (pgbouncer, transaction mode).
type Value<'v> = (&'v (dyn ToSql + Sync), Type);

const SCHEMA: &str = "
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
    trust float8 NOT NULL DEFAULT 1, class int, confidence float8, vector text, outlook bytea);
CREATE TABLE IF NOT EXISTS oneaio.relatives (key text PRIMARY KEY, vms bigint NOT NULL, content text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.counters (
    kind int NOT NULL, id int NOT NULL, at bigint NOT NULL, cpu float8, memory float8, disk float8, net float8,
    PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS oneaio.identities (vm int PRIMARY KEY, identity text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.placements (vm int PRIMARY KEY, host int NOT NULL, at bigint NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.attempts (
    vm int PRIMARY KEY, failed bigint NOT NULL, at bigint NOT NULL, sequence bigint NOT NULL, error text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.notes (content text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.carbon (
    zone text NOT NULL, at bigint NOT NULL, grams float8 NOT NULL, PRIMARY KEY (zone, at));
CREATE TABLE IF NOT EXISTS oneaio.progress (source text PRIMARY KEY, until bigint NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.leases (
    name text PRIMARY KEY, holder text NOT NULL, since bigint NOT NULL, until bigint NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.host_measures (
    host int NOT NULL, at bigint NOT NULL, cpu float8, busy float8, watts float8, pressure float8, waiting float8,
    PRIMARY KEY (host, at));
CREATE TABLE IF NOT EXISTS oneaio.companies (
    vm int NOT NULL, day bigint NOT NULL, host int NOT NULL, steps int NOT NULL, pressure float8, steal float8,
    PRIMARY KEY (vm, day, host));
";

/// Columns that came with versions 3 and 6; the other versions only added tables.
const TO_6: &str = "
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS trust float8 NOT NULL DEFAULT 1;
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS class int;
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS confidence float8;
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS vector text;
ALTER TABLE oneaio.estimates ADD COLUMN IF NOT EXISTS outlook bytea;
";

/// An open connection.
pub struct TimescaleStore {
    client: Client,
    patience: Duration,
    /// The name of this process while it is the one that collects.
    holder: Option<String>,
    /// Whether a transaction of questions is open.
    reading: bool,
}

/// Opens what is there for the placement path: our tables, or those of the ai-orchestrator.
///
/// # Errors
/// When there is no connection within `patience`.
pub fn reader(url: &str, patience: Duration) -> Result<Box<dyn Placing>, StoreError> {
    let mut store = TimescaleStore::connect(url, patience)?;
    Ok(match store.ai_orchestrator()? {
        Some(tables) => Box::new(AiOrchestrator::new(store, tables)),
        None => Box::new(store),
    })
}

/// Opens what is there to tell what it is: our tables, or those of the ai-orchestrator.
///
/// # Errors
/// When there is no connection within `patience`.
pub fn described(url: &str, patience: Duration) -> Result<Box<dyn Described>, StoreError> {
    let mut store = TimescaleStore::connect(url, patience)?;
    Ok(match store.ai_orchestrator()? {
        Some(tables) => Box::new(AiOrchestrator::new(store, tables)),
        None => Box::new(store),
    })
}

impl TimescaleStore {
    /// Connects, and makes or migrates the tables. A database that holds other programs' tables
    /// gets none; that takes [`Self::init`].
    ///
    /// # Errors
    /// When there is no connection within `patience`, no right to make the tables, or the
    /// database is another program's.
    pub fn open(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let mut store = Self::connect(url, patience)?;
        store.migrate(false)?;
        Ok(store)
    }

    /// As [`Self::open`], also beside other programs' tables; where TimescaleDB is there, plain
    /// tables become a hypertable. What was done, in words.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn init(url: &str, patience: Duration) -> Result<String, StoreError> {
        let mut store = Self::connect(url, patience)?;
        store.migrate(true)?;
        store.long(|transaction| Ok(hypertable::make(transaction)?))
    }

    /// As [`Self::connect`], where the tables are ours and not those of the ai-orchestrator.
    ///
    /// # Errors
    /// When there is no connection within `patience`, or the database is only to be read.
    pub fn connect_to_ours(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let mut store = Self::connect(url, patience)?;
        if store.ai_orchestrator()?.is_some() { Err(ai_orchestrator::only_read()) } else { Ok(store) }
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
        if config.get_password().is_none()
            && let Some(password) = password_of(&config, address.passfile.as_deref())
        {
            config.password(password);
        }
        Ok(Self { client: secured(config, &address)?, patience, holder: None, reading: false })
    }

    /// The tables of the ai-orchestrator, where there are none of ours. That ours are there takes one round trip.
    fn ai_orchestrator(&mut self) -> Result<Option<ai_orchestrator::Tables>, StoreError> {
        let limits = self.limits();
        let sql = format!("BEGIN READ ONLY; {limits}; SELECT to_regclass('oneaio.meta') IS NOT NULL; COMMIT");
        if told(&self.client.simple_query(&sql)?) { Ok(None) } else { self.short(ai_orchestrator::find) }
    }

    fn migrate(&mut self, beside_others: bool) -> Result<(), StoreError> {
        self.long(|transaction| {
            let found = match stand(transaction)? {
                Stand::Ours(version) => version,
                Stand::Nothing { schema, others } => {
                    if let Some(other) = others.filter(|_| !beside_others) {
                        return Err(StoreError::Foreign(format!(
                            "the database holds tables of another program ({other}) and none of ours, and was left as \
                             it is: `oneaio db init` makes ours beside, in a schema of their own"
                        )));
                    }
                    return Ok(create(transaction, schema)?);
                }
                Stand::Foreign => {
                    let text = "its schema oneaio is another program's and was left as it is: name another database \
                                in `history.store`";
                    return Err(StoreError::Foreign(text.to_owned()));
                }
            };
            if found > VERSION {
                return Err(StoreError::Schema(format!(
                    "its schema is version {found}, this oneaio knows {VERSION}: install the newer oneaio"
                )));
            }
            if found < VERSION {
                upgrade(transaction)?;
            }
            Ok(())
        })
    }
}

/// What a database holds.
enum Stand {
    /// Our tables, of a version.
    Ours(i32),
    /// None of ours: whether the schema is there, and a table of somebody else's.
    Nothing { schema: bool, others: Option<String> },
    /// A schema of our name with other tables.
    Foreign,
}

/// Looks, and changes nothing.
fn stand(transaction: &mut Transaction<'_>) -> Result<Stand, postgres::Error> {
    let sql = "SELECT to_regnamespace('oneaio') IS NOT NULL, to_regclass('oneaio.meta') IS NOT NULL,
                      obj_description(to_regclass('oneaio.meta'), 'pg_class'),
                      to_regclass('oneaio.estimates') IS NOT NULL AND to_regclass('oneaio.counters') IS NOT NULL,
                      (SELECT min(n.nspname || '.' || c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
                         AND n.nspname !~ '^_timescaledb'
                         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')),
                      (SELECT count(*) FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace('oneaio'))";
    let row = transaction.query_typed_one(sql, &[])?;
    let (schema, meta, known): (bool, bool, bool) = (row.get(0), row.get(1), row.get(3));
    let (mark, others, tables): (Option<String>, Option<String>, i64) = (row.get(2), row.get(4), row.get(5));
    if tables == 0 {
        return Ok(Stand::Nothing { schema, others });
    }
    // those from before the mark have both
    if !meta || mark.map_or(!known, |mark| mark != MARK) {
        return Ok(Stand::Foreign);
    }
    let version: Option<i32> = transaction.query_typed_one("SELECT max(version) FROM oneaio.meta", &[])?.get(0);
    Ok(version.map_or(Stand::Foreign, Stand::Ours))
}

/// The password of an address that holds none.
fn password_of(config: &Config, passfile: Option<&str>) -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok();
    let user = config.get_user().map(str::to_owned).or_else(|| variable("USER")).unwrap_or_default();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "localhost".to_owned(),
    };
    let account = password::Account {
        host: &host,
        port: config.get_ports().first().copied().unwrap_or(5432),
        database: config.get_dbname().unwrap_or(&user),
        user: &user,
    };
    password::find(account, passfile, &variable)
}

/// Connects with as much TLS as the address asks for.
fn secured(mut config: Config, address: &tls::Address) -> Result<Client, StoreError> {
    let connector = || {
        tls::connector(address.mode, address.root.as_deref(), address.client.as_ref()).map_err(StoreError::Unreachable)
    };
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
fn create(transaction: &mut Transaction<'_>, schema: bool) -> Result<(), postgres::Error> {
    lock(transaction)?;
    if !schema {
        // where it is there already, the right to make one may be missing
        transaction.batch_execute("CREATE SCHEMA IF NOT EXISTS oneaio")?;
    }
    transaction.batch_execute(SCHEMA)?;
    let count: i64 = transaction.query_typed_one("SELECT count(*) FROM oneaio.meta", &[])?.get(0);
    if count == 0 {
        transaction.execute_typed("INSERT INTO oneaio.meta VALUES ($1)", &[(&VERSION, Type::INT4)])?;
        mark(transaction)?;
        hypertable::make(transaction)?;
    }
    Ok(())
}

/// From an older version: each only added tables and columns.
fn upgrade(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    lock(transaction)?;
    transaction.batch_execute(SCHEMA)?;
    transaction.batch_execute(TO_6)?;
    mark(transaction)?;
    transaction.execute_typed("UPDATE oneaio.meta SET version = $1", &[(&VERSION, Type::INT4)]).map(|_| ())
}

fn mark(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    transaction.batch_execute(&format!("COMMENT ON TABLE oneaio.meta IS '{MARK}'"))
}

/// Lets one in at a time, until the transaction ends.
fn lock(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).map(drop)
}

impl TimescaleStore {
    /// What is selected; nothing where the table is not there, without a round trip of its own.
    fn rows_if_any(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<postgres::Row>, StoreError> {
        self.rows_but_for(&[SqlState::UNDEFINED_TABLE], sql, values)
    }

    /// What is selected; nothing where the table is not there, or is younger than the rights of who asks.
    fn rows_if_allowed(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<postgres::Row>, StoreError> {
        self.rows_but_for(&[SqlState::UNDEFINED_TABLE, SqlState::INSUFFICIENT_PRIVILEGE], sql, values)
    }

    /// What is selected; nothing where an error is one of these.
    fn rows_but_for(
        &mut self,
        spared: &[SqlState],
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<postgres::Row>, StoreError> {
        let is_spared = |error: &postgres::Error| error.code().is_some_and(|code| spared.contains(code));
        if self.reading {
            return match self.client.query_typed(sql, values) {
                Err(error) if is_spared(&error) => {
                    // a transaction ends with its first error
                    self.client.batch_execute("ROLLBACK")?;
                    self.begin_questions().map(|()| Vec::new())
                }
                rows => Ok(rows?),
            };
        }
        self.short(|transaction| match transaction.query_typed(sql, values) {
            Err(error) if is_spared(&error) => Ok(Vec::new()),
            rows => Ok(rows?),
        })
    }

    /// What is selected.
    fn rows(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<postgres::Row>, StoreError> {
        if self.reading {
            return Ok(self.client.query_typed(sql, values)?);
        }
        self.short(|transaction| Ok(transaction.query_typed(sql, values)?))
    }

    fn begin_questions(&mut self) -> Result<(), StoreError> {
        let limits = self.limits();
        self.client.batch_execute(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {limits};
             SET LOCAL idle_in_transaction_session_timeout = '{FROZEN}s'"
        ))?;
        self.reading = true;
        Ok(())
    }

    /// Lets the statements of a transaction take as long as the caller has patience.
    fn limits(&self) -> String {
        let most = milliseconds(self.patience);
        format!("SET LOCAL statement_timeout = {most}; SET LOCAL lock_timeout = {most}")
    }

    /// A transaction whose statements may take as long as the caller has patience.
    fn short<T>(&mut self, work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let limits = self.limits();
        self.transaction(&limits, work)
    }

    /// A transaction whose statements may take long, but do not wait longer than that for others.
    fn long<T>(&mut self, work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let most = milliseconds(self.patience);
        let limits = format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {most}; \
             SET LOCAL idle_in_transaction_session_timeout = '{FROZEN}s'"
        );
        self.transaction(&limits, work)
    }

    /// One transaction, all or nothing. Its limits end with it: a session that a pool lends to
    /// others is left as it was.
    fn transaction<T>(
        &mut self,
        limits: &str,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut transaction = self.client.transaction()?;
        transaction.batch_execute(limits)?;
        let outcome = work(&mut transaction)?;
        transaction.commit()?;
        Ok(outcome)
    }
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> Self {
        failure(&error)
    }
}

/// Whether statements that were sent together selected a truth.
fn told(messages: &[SimpleQueryMessage]) -> bool {
    messages.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")))
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
        SqlState::T_R_DEADLOCK_DETECTED => StoreError::Deadlock,
        SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::NotWritable(told),
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

/// As the server takes limits, to which 0 is none.
fn milliseconds(patience: Duration) -> u128 {
    patience.as_millis().max(1)
}

/// Ids as the server takes them.
fn numbers(vms: &[VmId]) -> Vec<i32> {
    vms.iter().map(|vm| vm.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_is_looked_up_for_what_the_address_means() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pass");
        let lines = "/run/pg:5432:me:me:socket\nlocalhost:5432:me:me:plain\ndb:5433:other:me:named\n";
        std::fs::write(&file, lines).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let of = |address: &str| password_of(&address.parse().unwrap(), file.to_str());
        for (address, password) in [
            ("user=me", Some("plain")),
            ("host=db port=5433 user=me dbname=other", Some("named")),
            ("host=/run/pg user=me", Some("socket")),
            ("host=db user=me dbname=other", None),
            ("user=me dbname=other", None),
        ] {
            assert_eq!(of(address).as_deref(), password, "{address}");
        }
    }

    #[test]
    fn no_patience_at_all_is_not_boundless() {
        let of = |patience: Duration| milliseconds(patience);
        assert_eq!((of(Duration::ZERO), of(Duration::from_micros(1)), of(Duration::from_secs(2))), (1, 1, 2000));
    }

    #[test]
    fn an_address_of_nobody_says_so_once_and_without_its_password() {
        let told = |address: &str| match TimescaleStore::connect(address, Duration::from_secs(5)) {
            Err(StoreError::Unreachable(text)) => text,
            _ => panic!("{address} is used"),
        };
        let text = told("host=127.0.0.1 port=1 user=me password=secret");
        assert!(text.starts_with("error connecting to server: ") && !text.contains("secret"), "{text}");
        assert_eq!(text.matches("refused").count(), 1, "{text}");
        assert_eq!(told("host=a port=secret"), "the address is not of the form postgresql://user@host/database");
        assert!(told("host=a sslmode=odd").starts_with("sslmode is \"odd\""));
    }
}

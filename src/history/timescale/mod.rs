//! The shared engine: PostgreSQL, with TimescaleDB where it is there. Tables live in a
//! schema of their own, `oneaio`, beside whatever else the database holds.
//! The only room that names the postgres crate.

mod seed;
mod tls;

use super::{Absorbed, Batch, HistoryStore, Kind, Learn, StoreError, StoreStatus, fields};
use crate::model::demand::Usage;
use crate::model::history::{Estimate, Placement};
use crate::model::ids::{HostId, VmId};
use crate::model::sample::{Counters, VmSample};
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls, Transaction};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;
use tls::Mode;

/// Version of the schema below.
const VERSION: i32 = 1;

/// Serialises schema changes and collections over all front-ends: "oneaio" in ASCII.
const LOCK: i64 = 0x6f6e_6561_696f;

const SCHEMA: &str = "
CREATE SCHEMA IF NOT EXISTS oneaio;
CREATE TABLE IF NOT EXISTS oneaio.meta (version int NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.samples (
    vm int NOT NULL, at bigint NOT NULL, cpu float4, memory float8, disk float8, net float8,
    PRIMARY KEY (vm, at));
CREATE TABLE IF NOT EXISTS oneaio.estimates (
    vm int PRIMARY KEY, cpu_level float8 NOT NULL, cpu_peak float8 NOT NULL, cpu_deviation float8 NOT NULL,
    memory_level float8 NOT NULL, memory_peak float8 NOT NULL, disk_level float8, disk_peak float8,
    net_level float8, net_peak float8, samples bigint NOT NULL, last_at bigint NOT NULL, state bytea NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.counters (
    kind int NOT NULL, id int NOT NULL, at bigint NOT NULL, cpu float8, memory float8, disk float8, net float8,
    PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS oneaio.identities (vm int PRIMARY KEY, identity text NOT NULL);
CREATE TABLE IF NOT EXISTS oneaio.placements (vm int PRIMARY KEY, host int NOT NULL, at bigint NOT NULL);
";

/// An open connection.
pub struct TimescaleStore {
    client: Client,
}

/// Opens what is there for the placement path: our tables, or those of the seed.
///
/// # Errors
/// When there is no connection within `patience`.
pub fn reader(url: &str, patience: Duration) -> Result<Box<dyn HistoryStore>, StoreError> {
    let mut store = TimescaleStore::connect(url, patience)?;
    let of_seed = seed::is_one(&mut store.client)?;
    Ok(if of_seed { Box::new(seed::SeedStore::new(store.client)) } else { Box::new(store) })
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
        make_hypertable(transaction)?;
    }
    Ok(())
}

/// Where TimescaleDB is installed: one chunk per day, compressed after a week.
fn make_hypertable(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    let sql = "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'";
    let there: i64 = transaction.query_one(sql, &[])?.get(0);
    if there == 0 {
        return Ok(());
    }
    transaction.batch_execute(
        "SELECT create_hypertable('oneaio.samples', 'at', chunk_time_interval => 86400, if_not_exists => true);
         CREATE OR REPLACE FUNCTION oneaio.now() RETURNS bigint LANGUAGE sql STABLE AS
            'SELECT extract(epoch FROM now())::bigint';
         SELECT set_integer_now_func('oneaio.samples', 'oneaio.now', replace_if_exists => true);
         ALTER TABLE oneaio.samples SET (timescaledb.compress, timescaledb.compress_segmentby = 'vm',
            timescaledb.compress_orderby = 'at');
         SELECT add_compression_policy('oneaio.samples', 604800, if_not_exists => true);",
    )
}

impl HistoryStore for TimescaleStore {
    fn estimates(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError> {
        let ids: Vec<i32> = vms.iter().map(|vm| vm.0).collect();
        let sql = format!("SELECT vm, {} FROM oneaio.estimates WHERE vm = ANY($1)", fields::ESTIMATE);
        let rows = self.client.query(&sql, &[&ids]).map_err(|error| failure(&error))?;
        Ok(rows.iter().map(|row| (VmId(row.get(0)), estimate(row))).collect())
    }

    fn placements(&mut self, since: i64) -> Result<Vec<Placement>, StoreError> {
        let sql = "SELECT vm, host, at FROM oneaio.placements WHERE at >= $1 ORDER BY vm";
        let rows = self.client.query(sql, &[&since]).map_err(|error| failure(&error))?;
        let placement =
            |row: &postgres::Row| Placement { vm: VmId(row.get(0)), host: HostId(row.get(1)), at: row.get(2) };
        Ok(rows.iter().map(placement).collect())
    }

    fn remember(&mut self, placements: &[Placement], forget_before: i64) -> Result<(), StoreError> {
        let vms: Vec<i32> = placements.iter().map(|p| p.vm.0).collect();
        let hosts: Vec<i32> = placements.iter().map(|p| p.host.0).collect();
        let times: Vec<i64> = placements.iter().map(|p| p.at).collect();
        self.writing(|transaction| {
            transaction.execute("DELETE FROM oneaio.placements WHERE at < $1", &[&forget_before])?;
            let sql = "INSERT INTO oneaio.placements SELECT * FROM unnest($1::int[], $2::int[], $3::bigint[]) \
                       ON CONFLICT (vm) DO UPDATE SET host = excluded.host, at = excluded.at";
            transaction.execute(sql, &[&vms, &hosts, &times]).map(|_| ())
        })
    }

    fn counters(&mut self, kind: Kind) -> Result<Vec<Counters>, StoreError> {
        let sql = "SELECT id, at, cpu, memory, disk, net FROM oneaio.counters WHERE kind = $1 ORDER BY id";
        let rows = self.client.query(sql, &[&(kind as i32)]).map_err(|error| failure(&error))?;
        let counters = |row: &postgres::Row| Counters {
            id: row.get(0),
            at: row.get(1),
            cpu: row.get(2),
            memory: row.get(3),
            disk: row.get(4),
            net: row.get(5),
        };
        Ok(rows.iter().map(counters).collect())
    }

    fn absorb(&mut self, batch: &Batch<'_>, learn: &mut Learn<'_>) -> Result<Absorbed, StoreError> {
        self.writing(|transaction| {
            transaction.execute("SET LOCAL statement_timeout = 0", &[])?;
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
            let fresh = insert_samples(transaction, batch.samples)?;
            let vms = learn_all(transaction, &fresh, learn)?;
            save_counters(transaction, batch)?;
            save_identities(transaction, batch)?;
            Ok(Absorbed { new_samples: fresh.len(), vms })
        })
    }

    fn status(&mut self) -> Result<StoreStatus, StoreError> {
        self.client.execute("SET statement_timeout = 0", &[]).map_err(|error| failure(&error))?;
        let sql = "SELECT count(*), count(DISTINCT vm), min(at), max(at),
                          (SELECT count(*) FROM oneaio.estimates),
                          pg_total_relation_size('oneaio.samples'), version() FROM oneaio.samples";
        let row = self.client.query_one(sql, &[]).map_err(|error| failure(&error))?;
        let first: Option<i64> = row.get(2);
        let last: Option<i64> = row.get(3);
        let version: String = row.get(6);
        Ok(StoreStatus {
            engine: version.split(" on ").next().unwrap_or("PostgreSQL").to_owned(),
            samples: row.get(0),
            vms: row.get(1),
            estimates: row.get(4),
            span: first.zip(last),
            bytes: row.get(5),
            remarks: Vec::new(),
        })
    }

    fn prune(&mut self, before: i64) -> Result<usize, StoreError> {
        self.writing(|transaction| {
            transaction.execute("SET LOCAL statement_timeout = 0", &[])?;
            let gone = transaction.execute("DELETE FROM oneaio.samples WHERE at < $1", &[&before])?;
            Ok(usize::try_from(gone).unwrap_or(usize::MAX))
        })
    }
}

impl TimescaleStore {
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

/// COPY into a temporary table, then insert what is new; that, by VM and time.
fn insert_samples(transaction: &mut Transaction<'_>, samples: &[VmSample]) -> Result<Vec<VmSample>, postgres::Error> {
    transaction.batch_execute(
        "CREATE TEMP TABLE incoming (vm int, at bigint, cpu float4, memory float8, disk float8, net float8) ON COMMIT DROP",
    )?;
    let mut copy = transaction.copy_in("COPY incoming FROM STDIN")?;
    let mut line = String::new();
    for sample in samples {
        line.clear();
        let null = |value: Option<f64>| value.map_or("\\N".to_owned(), |value| value.to_string());
        let usage = &sample.usage;
        // writing to a String cannot fail; a failing COPY is told by finish()
        let _ = writeln!(
            line,
            "{}\t{}\t{}\t{}\t{}\t{}",
            sample.vm,
            sample.at,
            usage.cpu,
            usage.memory,
            null(usage.disk_io),
            null(usage.net_io)
        );
        if copy.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    copy.finish()?;
    let sql = "WITH fresh AS (INSERT INTO oneaio.samples SELECT DISTINCT ON (vm, at) * FROM incoming
                              ORDER BY vm, at ON CONFLICT DO NOTHING RETURNING *)
               SELECT vm, at, cpu::float8, memory, disk, net FROM fresh ORDER BY vm, at";
    let rows = transaction.query(sql, &[])?;
    let sample = |row: &postgres::Row| VmSample {
        vm: VmId(row.get(0)),
        at: row.get(1),
        usage: Usage {
            cpu: row.get::<_, Option<f64>>(2).unwrap_or(0.0),
            memory: row.get::<_, Option<f64>>(3).unwrap_or(0.0),
            disk_io: row.get(4),
            net_io: row.get(5),
        },
    };
    Ok(rows.iter().map(sample).collect())
}

/// New estimates of all VMs with new samples: one query for the old states, one for the new.
fn learn_all(
    transaction: &mut Transaction<'_>,
    fresh: &[VmSample],
    learn: &mut Learn<'_>,
) -> Result<usize, postgres::Error> {
    let of_each: Vec<&[VmSample]> = fresh.chunk_by(|a, b| a.vm == b.vm).collect();
    let ids: Vec<i32> = of_each.iter().map(|samples| samples[0].vm.0).collect();
    let rows = transaction.query("SELECT vm, state FROM oneaio.estimates WHERE vm = ANY($1)", &[&ids])?;
    let states: HashMap<i32, Vec<u8>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let learnt: Vec<(Estimate, Vec<u8>)> = of_each
        .iter()
        .map(|samples| learn(samples[0].vm, states.get(&samples[0].vm.0).map(Vec::as_slice), samples))
        .collect();
    let reals = |get: &dyn Fn(&Estimate) -> f64| learnt.iter().map(|(e, _)| get(e)).collect::<Vec<f64>>();
    let maybe =
        |get: &dyn Fn(&Estimate) -> Option<f64>| learnt.iter().map(|(e, _)| get(e)).collect::<Vec<Option<f64>>>();
    let counts: Vec<i64> = learnt.iter().map(|(e, _)| i64::try_from(e.samples).unwrap_or(i64::MAX)).collect();
    let times: Vec<i64> = learnt.iter().map(|(e, _)| e.last_at).collect();
    let states: Vec<&[u8]> = learnt.iter().map(|(_, state)| state.as_slice()).collect();
    let sql = "INSERT INTO oneaio.estimates SELECT * FROM unnest($1::int[], $2::float8[], $3::float8[], $4::float8[],
                   $5::float8[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::float8[],
                   $11::bigint[], $12::bigint[], $13::bytea[])
               ON CONFLICT (vm) DO UPDATE SET cpu_level = excluded.cpu_level, cpu_peak = excluded.cpu_peak,
                   cpu_deviation = excluded.cpu_deviation, memory_level = excluded.memory_level,
                   memory_peak = excluded.memory_peak, disk_level = excluded.disk_level,
                   disk_peak = excluded.disk_peak, net_level = excluded.net_level, net_peak = excluded.net_peak,
                   samples = excluded.samples, last_at = excluded.last_at, state = excluded.state";
    transaction.execute(
        sql,
        &[
            &ids,
            &reals(&|e| e.level.cpu),
            &reals(&|e| e.peak.cpu),
            &reals(&|e| e.cpu_deviation),
            &reals(&|e| e.level.memory),
            &reals(&|e| e.peak.memory),
            &maybe(&|e| e.level.disk_io),
            &maybe(&|e| e.peak.disk_io),
            &maybe(&|e| e.level.net_io),
            &maybe(&|e| e.peak.net_io),
            &counts,
            &times,
            &states,
        ],
    )?;
    Ok(of_each.len())
}

fn save_counters(transaction: &mut Transaction<'_>, batch: &Batch<'_>) -> Result<(), postgres::Error> {
    let kinds: Vec<i32> = batch.counters.iter().map(|(kind, _)| *kind as i32).collect();
    let ids: Vec<i32> = batch.counters.iter().map(|(_, c)| c.id).collect();
    let times: Vec<i64> = batch.counters.iter().map(|(_, c)| c.at).collect();
    let values = |get: fn(&Counters) -> Option<f64>| batch.counters.iter().map(|(_, c)| get(c)).collect::<Vec<_>>();
    let sql = "INSERT INTO oneaio.counters SELECT DISTINCT ON (kind, id) * FROM unnest($1::int[], $2::int[],
                   $3::bigint[], $4::float8[], $5::float8[], $6::float8[], $7::float8[])
                   AS t(kind, id, at, cpu, memory, disk, net) ORDER BY kind, id, at DESC
               ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at, cpu = excluded.cpu, memory = excluded.memory,
                   disk = excluded.disk, net = excluded.net WHERE excluded.at > counters.at";
    let (cpu, memory, disk, net) = (values(|c| c.cpu), values(|c| c.memory), values(|c| c.disk), values(|c| c.net));
    transaction.execute(sql, &[&kinds, &ids, &times, &cpu, &memory, &disk, &net]).map(|_| ())
}

fn save_identities(transaction: &mut Transaction<'_>, batch: &Batch<'_>) -> Result<(), postgres::Error> {
    let ids: Vec<i32> = batch.identities.iter().map(|(vm, _)| vm.0).collect();
    let texts: Vec<String> =
        batch.identities.iter().map(|(_, identity)| serde_json::to_string(identity).unwrap_or_default()).collect();
    let sql = "INSERT INTO oneaio.identities SELECT DISTINCT ON (vm) * FROM unnest($1::int[], $2::text[]) AS t(vm, i)
               ON CONFLICT (vm) DO UPDATE SET identity = excluded.identity";
    transaction.execute(sql, &[&ids, &texts]).map(|_| ())
}

fn estimate(row: &postgres::Row) -> Estimate {
    let usage = |cpu, memory, disk, net| Usage {
        cpu: row.get(cpu),
        memory: row.get(memory),
        disk_io: row.get(disk),
        net_io: row.get(net),
    };
    Estimate {
        level: usage(1, 4, 6, 8),
        peak: usage(2, 5, 7, 9),
        cpu_deviation: row.get(3),
        samples: u64::try_from(row.get::<_, i64>(10)).unwrap_or(0),
        last_at: row.get(11),
    }
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

//! What TimescaleDB does for the samples where it is installed: a chunk per day, compressed
//! after a week, dropped whole. Without it plain tables do the same, larger and slower.

use postgres::Transaction;
use postgres::error::SqlState;
use postgres::types::Type;

/// Seconds of a chunk: placing reads none, learning reads a VM's, and a day is what is dropped.
const CHUNK: i64 = 86_400;

/// Seconds after which a chunk is compressed; late samples still find their way into it.
const COMPRESSED: i64 = 604_800;

/// The extension, and in which schema its functions are; `None` where it is not installed.
pub struct Extension {
    version: String,
    /// Quoted.
    pub schema: String,
}

/// Looks for it.
pub fn extension(transaction: &mut Transaction<'_>) -> Result<Option<Extension>, postgres::Error> {
    let sql =
        "SELECT e.extversion, quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
               WHERE e.extname = 'timescaledb'";
    let row = transaction.query_typed_opt(sql, &[])?;
    Ok(row.map(|row| Extension { version: row.get(0), schema: row.get(1) }))
}

fn is_hypertable(transaction: &mut Transaction<'_>) -> Result<bool, postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables
                              WHERE hypertable_schema = 'oneaio' AND hypertable_name = 'samples')";
    Ok(transaction.query_typed_one(sql, &[])?.get(0))
}

/// Tries statements; what is refused leaves no trace, and its reason is told. What somebody else was in the way of is
/// not refused.
fn attempt(transaction: &mut Transaction<'_>, sql: &str) -> Result<Result<(), String>, postgres::Error> {
    let mut part = transaction.savepoint("part")?;
    match part.batch_execute(sql) {
        Ok(()) => part.commit().map(Ok),
        Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => Err(error),
        Err(error) => {
            let told = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
            part.rollback().map(|()| Err(told))
        }
    }
}

/// Makes the samples a hypertable where the extension is installed, moving what is there, and
/// has old chunks compressed where the licence allows it. What was done, in words: what
/// TimescaleDB refuses costs no store, plain tables do as well.
pub fn make(transaction: &mut Transaction<'_>) -> Result<String, postgres::Error> {
    let Some(Extension { version, schema }) = extension(transaction)? else {
        return Ok("plain tables: TimescaleDB is not installed in this database".to_owned());
    };
    if is_hypertable(transaction)? {
        return Ok(format!("a hypertable of TimescaleDB {version}"));
    }
    let made = format!(
        "SELECT {schema}.create_hypertable('oneaio.samples', 'at', chunk_time_interval => {CHUNK}::bigint,
             if_not_exists => true, create_default_indexes => false, migrate_data => true);
         CREATE OR REPLACE FUNCTION oneaio.now() RETURNS bigint LANGUAGE sql STABLE AS
             'SELECT extract(epoch FROM now())::bigint';
         SELECT {schema}.set_integer_now_func('oneaio.samples', 'oneaio.now', replace_if_exists => true);"
    );
    if let Err(told) = attempt(transaction, &made)? {
        return Ok(format!("plain tables: TimescaleDB {version} refuses a hypertable ({told})"));
    }
    let compressed = format!(
        "ALTER TABLE oneaio.samples SET (timescaledb.compress, timescaledb.compress_segmentby = 'vm',
             timescaledb.compress_orderby = 'at');
         SELECT {schema}.add_compression_policy('oneaio.samples', {COMPRESSED}::bigint, if_not_exists => true);"
    );
    Ok(match attempt(transaction, &compressed)? {
        Ok(()) => format!("a hypertable of TimescaleDB {version}, compressed after a week"),
        Err(told) => format!("a hypertable of TimescaleDB {version}, not compressed ({told})"),
    })
}

/// What is told of the samples.
pub struct Described {
    /// The extension and its chunks; `None` where it is not installed.
    pub engine: Option<String>,
    /// On disk, indexes included.
    pub bytes: i64,
    /// What is not as it should be.
    pub remarks: Vec<String>,
}

/// Looks at the samples' table.
pub fn describe(transaction: &mut Transaction<'_>) -> Result<Described, postgres::Error> {
    let plain = |transaction: &mut Transaction<'_>| {
        let row = transaction.query_typed_one("SELECT pg_total_relation_size('oneaio.samples')", &[])?;
        Ok::<i64, postgres::Error>(row.get(0))
    };
    let Some(Extension { version, schema }) = extension(transaction)? else {
        return Ok(Described { engine: None, bytes: plain(transaction)?, remarks: Vec::new() });
    };
    if !is_hypertable(transaction)? {
        let remark = "TimescaleDB is installed, but the samples are in a plain table: `oneaio db init` makes it a \
                      hypertable (some seconds for a million samples)";
        return Ok(Described {
            engine: Some(format!("TimescaleDB {version}, not used")),
            bytes: plain(transaction)?,
            remarks: vec![remark.to_owned()],
        });
    }
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE is_compressed), {schema}.hypertable_size('oneaio.samples'),
                (SELECT compression_enabled FROM timescaledb_information.hypertables
                 WHERE hypertable_schema = 'oneaio' AND hypertable_name = 'samples')
         FROM timescaledb_information.chunks WHERE hypertable_schema = 'oneaio' AND hypertable_name = 'samples'"
    );
    let row = transaction.query_typed_one(&sql, &[])?;
    let (chunks, compressed): (i64, i64) = (row.get(0), row.get(1));
    let enabled: Option<bool> = row.get(3);
    let remark = "old samples are not compressed: the licence of this TimescaleDB does not allow it";
    Ok(Described {
        engine: Some(format!("TimescaleDB {version}, {chunks} chunks of a day, {compressed} compressed")),
        bytes: row.get::<_, Option<i64>>(2).unwrap_or(0),
        remarks: if enabled == Some(false) { vec![remark.to_owned()] } else { Vec::new() },
    })
}

/// Drops samples before a moment; how many. A hypertable loses whole chunks (days), which
/// costs nothing, compressed or not; where that takes the owner and we are not, rows.
pub fn drop_samples(transaction: &mut Transaction<'_>, before: i64) -> Result<u64, postgres::Error> {
    let before_it: [super::Value<'_>; 1] = [(&before, Type::INT8)];
    let hypertable = match extension(transaction)? {
        Some(extension) if is_hypertable(transaction)? => Some(extension),
        _ => None,
    };
    let delete = "DELETE FROM oneaio.samples WHERE at < $1";
    let Some(Extension { schema, .. }) = hypertable else { return transaction.execute_typed(delete, &before_it) };
    let count = |transaction: &mut Transaction<'_>| {
        let row = transaction
            .query_typed_one("SELECT count(*) FROM oneaio.samples WHERE at < $1", &[(&before, Type::INT8)])?;
        Ok::<i64, postgres::Error>(row.get(0))
    };
    let old = count(transaction)?;
    let dropped = attempt(transaction, &format!("SELECT {schema}.drop_chunks('oneaio.samples', {before}::bigint)"))?;
    if dropped.is_err() {
        return transaction.execute_typed(delete, &before_it);
    }
    Ok(u64::try_from(old - count(transaction)?).unwrap_or(0))
}

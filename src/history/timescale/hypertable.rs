//! What TimescaleDB does for the samples where it is installed: a chunk per day, compressed
//! after a week, dropped whole. Without it plain tables do the same, larger and slower.

use postgres::Transaction;

/// Where TimescaleDB is installed: one chunk per day, compressed after a week.
pub fn make(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    if !has_timescaledb(transaction)? {
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

fn has_timescaledb(transaction: &mut Transaction<'_>) -> Result<bool, postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')";
    Ok(transaction.query_one(sql, &[])?.get(0))
}

/// Drops samples before a moment; how many. A hypertable loses whole chunks (days), which
/// costs nothing, compressed or not.
pub fn drop_samples(transaction: &mut Transaction<'_>, before: i64) -> Result<u64, postgres::Error> {
    let hypertable = has_timescaledb(transaction)? && {
        let sql = "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables
                                  WHERE hypertable_schema = 'oneaio' AND hypertable_name = 'samples')";
        transaction.query_one(sql, &[])?.get(0)
    };
    if !hypertable {
        return transaction.execute("DELETE FROM oneaio.samples WHERE at < $1", &[&before]);
    }
    let count = |transaction: &mut Transaction<'_>| {
        let row = transaction.query_one("SELECT count(*) FROM oneaio.samples WHERE at < $1", &[&before])?;
        Ok::<i64, postgres::Error>(row.get(0))
    };
    let old = count(transaction)?;
    transaction.execute("SELECT drop_chunks('oneaio.samples', $1::bigint)", &[&before])?;
    Ok(u64::try_from(old - count(transaction)?).unwrap_or(0))
}

//! A database that the EnvServer of the ai-orchestrator has filled (`prod_metrics`,
//! `prod_vms`), read as it is: nothing is written to it, and no owner's rights are needed.
//!
//! Its units: VM CPU as a fraction of the VM's cores (`prod_vms.total_cpu`), memory in MiB,
//! disk and network in MiB per window of 40 seconds. Installations differ in the types of the
//! columns, in the schema and in the case of the names: those are looked up, never guessed. Where the
//! metrics are a hypertable with one continuous aggregate that has the columns of the metrics (means, by
//! `id`, `type` and a bucket of time called `ts` or `bucket`), estimates are read from that.

use super::super::{Described, Known, Placing, Sent, StoreError, StoreStatus};
use super::hypertable::{self, Extension};
use super::{TimescaleStore, column};
use crate::model::demand::Usage;
use crate::model::history::{Estimate, Usual};
use crate::model::ids::VmId;
use crate::model::sample::VmSample;
use crate::model::sketch::Sketch;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use postgres::{Row, Transaction};
use std::time::Duration;

/// Seconds that one row sums disk and network over.
const WINDOW: f64 = 40.0;

/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;

/// Seconds of a sample that is taken over: rows come every 40.
const STEP: i64 = 300;

/// Columns of `prod_metrics`, in the order of [`Tables::metrics`].
const METRICS: [&str; 9] = ["id", "type", "ts", "cpu", "memory", "disk_read", "disk_write", "net_rx", "net_tx"];

/// More rows per week than this are slow to read, each time.
const MANY: i64 = 500_000;

/// Columns of `prod_vms`.
const VMS: [&str; 2] = ["vmid", "total_cpu"];

/// Names (quoted) and types of the columns of metrics.
type Columns = [(String, String); 9];

/// The two tables, as they are named and typed here.
pub struct Tables {
    /// `schema.name`, quoted.
    metrics: String,
    /// The extension, where the metrics are a hypertable.
    hypertable: Option<Extension>,
    /// A continuous aggregate of the metrics, and its columns as of the metrics.
    aggregate: Option<(String, Columns)>,
    vms: String,
    columns: Columns,
    of_vms: [(String, String); 2],
}

/// The tables, where the database holds them.
///
/// # Errors
/// When it cannot be told which tables are meant, or they lack a column.
pub fn find(transaction: &mut Transaction<'_>) -> Result<Option<Tables>, StoreError> {
    let sql =
        "SELECT quote_ident(n.nspname), quote_ident(c.relname), lower(c.relname), c.oid, pg_table_is_visible(c.oid)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE lower(c.relname) IN ('prod_metrics', 'prod_vms')
                 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^_timescaledb' ORDER BY 1, 2";
    let rows = transaction.query_typed(sql, &[])?;
    let mut found: Vec<(String, String, String, u32, bool)> = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push((column(row, 0)?, column(row, 1)?, column(row, 2)?, column(row, 3)?, column(row, 4)?));
    }
    let of = |name: &str| found.iter().filter(|table| table.2 == name).collect::<Vec<_>>();
    let all = of("prod_metrics");
    let visible: Vec<_> = all.iter().copied().filter(|table| table.4).collect();
    let metrics = match (visible.as_slice(), all.as_slice()) {
        ([one], _) | ([], [one]) => *one,
        (_, []) => return Ok(None),
        _ => {
            let names: Vec<String> = all.iter().map(|table| format!("{}.{}", table.0, table.1)).collect();
            return Err(StoreError::Schema(format!(
                "it has several tables of the ai-orchestrator ({}): set the search_path of the role to the one that \
                 is meant",
                names.join(", ")
            )));
        }
    };
    let Some(vms) = of("prod_vms").into_iter().find(|table| table.0 == metrics.0) else {
        return Err(StoreError::Schema(format!(
            "it has {}.{}, but no prod_vms beside: the sizes of VMs are unknown",
            metrics.0, metrics.1
        )));
    };
    let hypertable = hypertable_of(transaction, metrics.3)?;
    let aggregate = match &hypertable {
        Some(_) => aggregate(transaction, metrics.3)?,
        None => None,
    };
    Ok(Some(Tables {
        hypertable,
        aggregate,
        metrics: format!("{}.{}", metrics.0, metrics.1),
        vms: format!("{}.{}", vms.0, vms.1),
        columns: columns(transaction, metrics.3, METRICS, "prod_metrics")?,
        of_vms: columns(transaction, vms.3, VMS, "prod_vms")?,
    }))
}

/// The extension, where a table is a hypertable of it.
fn hypertable_of(transaction: &mut Transaction<'_>, table: u32) -> Result<Option<Extension>, StoreError> {
    let Some(extension) = hypertable::extension(transaction)? else { return Ok(None) };
    let sql = "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables h JOIN pg_class c ON c.oid = $1
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE h.hypertable_schema = n.nspname AND h.hypertable_name = c.relname)";
    let is: bool = column(&transaction.query_typed_one(sql, &[(&table, Type::OID)])?, 0)?;
    Ok(is.then_some(extension))
}

/// The continuous aggregate of a hypertable that has its columns; none where several have.
fn aggregate(transaction: &mut Transaction<'_>, table: u32) -> Result<Option<(String, Columns)>, StoreError> {
    let sql = "SELECT quote_ident(v.nspname) || '.' || quote_ident(a.relname), a.oid
               FROM timescaledb_information.continuous_aggregates t
               JOIN pg_class m ON m.oid = $1 JOIN pg_namespace n ON n.oid = m.relnamespace
               JOIN pg_class a ON a.relname = t.view_name
               JOIN pg_namespace v ON v.oid = a.relnamespace AND v.nspname = t.view_schema
               WHERE t.hypertable_schema = n.nspname AND t.hypertable_name = m.relname
                 AND has_table_privilege(a.oid, 'SELECT') ORDER BY 1";
    let rows = transaction.query_typed(sql, &[(&table, Type::OID)])?;
    let mut bucketed = METRICS;
    bucketed[2] = "bucket";
    let mut fitting = Vec::new();
    for row in &rows {
        let (name, id): (String, u32) = (column(row, 0)?, column(row, 1)?);
        for wanted in [METRICS, bucketed] {
            // one that lacks a column is somebody's for something else
            if let Ok(columns) = columns(transaction, id, wanted, &name) {
                fitting.push((name.clone(), columns));
                break;
            }
        }
    }
    Ok(if fitting.len() == 1 { fitting.pop() } else { None })
}

/// Names, quoted, and types of columns, whatever their case.
fn columns<const N: usize>(
    transaction: &mut Transaction<'_>,
    table: u32,
    wanted: [&str; N],
    name: &str,
) -> Result<[(String, String); N], StoreError> {
    let sql = "SELECT lower(attname), quote_ident(attname), format_type(atttypid, NULL) FROM pg_attribute
               WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let rows = transaction.query_typed(sql, &[(&table, Type::OID)])?;
    let mut found: Vec<(String, String, String)> = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push((column(row, 0)?, column(row, 1)?, column(row, 2)?));
    }
    let mut chosen = std::array::from_fn(|_| (String::new(), String::new()));
    for (place, wanted) in chosen.iter_mut().zip(wanted) {
        let Some((_, quoted, typed)) = found.iter().find(|column| column.0 == wanted) else {
            return Err(StoreError::Schema(format!("its table {name} lacks the column {wanted}")));
        };
        *place = (quoted.clone(), typed.clone());
    }
    Ok(chosen)
}

impl Tables {
    /// A moment of a row, whether it is kept as one or in seconds since 1970.
    fn moment(&self, row: &str) -> String {
        Self::moment_of(&self.columns, row)
    }

    fn moment_of(columns: &Columns, row: &str) -> String {
        let (name, typed) = &columns[2];
        if typed.starts_with("timestamp") {
            format!("{row}.{name}")
        } else {
            format!("to_timestamp({row}.{name}::float8)")
        }
    }

    /// Mean and 95th percentile over the week before the newest row, per VM.
    fn estimates(&self) -> String {
        let own = (self.metrics.clone(), self.columns.clone());
        let (metrics, columns) = self.aggregate.as_ref().unwrap_or(&own);
        let name = |index: usize| &columns[index].0;
        let real = |index: usize| format!("m.{}::float8", name(index));
        let sum = |one: usize, other: usize| format!("({} + {})", real(one), real(other));
        let (disk, net) = (sum(5, 6), sum(7, 8));
        let (cpu, memory) = (real(3), real(4));
        let p95 = |value: &str| format!("percentile_cont(0.95) WITHIN GROUP (ORDER BY {value})");
        let (id, id_type) = &columns[0];
        let (vm, vm_type) = &self.of_vms[0];
        let joined =
            if id_type == vm_type { format!("v.{vm} = m.{id}") } else { format!("v.{vm}::text = m.{id}::text") };
        format!(
            "SELECT m.{id}::text, count(*), extract(epoch FROM max({at}))::bigint, max(v.{cores}::float8),
                    avg({cpu}), {cpu95}, stddev_pop({cpu}), avg({memory}), {memory95},
                    avg({disk}), {disk95}, avg({net}), {net95}
             FROM {metrics} m LEFT JOIN {vms} v ON {joined}
             WHERE m.{kind}::int = 1 AND m.{id} = ANY($1::text[]::{id_type}[])
               AND {at} > (SELECT max({newest}) FROM {metrics} n) - interval '7 days'
             GROUP BY m.{id}",
            at = Self::moment_of(columns, "m"),
            newest = Self::moment_of(columns, "n"),
            cores = self.of_vms[1].0,
            cpu95 = p95(&cpu),
            memory95 = p95(&memory),
            disk95 = p95(&disk),
            net95 = p95(&net),
            vms = self.vms,
            kind = name(1),
        )
    }
}

impl Tables {
    /// All that is kept, a mean of each VM and step, by time: the columns of a sample.
    fn history(&self) -> String {
        let name = |index: usize| &self.columns[index].0;
        let real = |index: usize| format!("m.{}::float8", name(index));
        let mean = |value: String, factor: f64| format!("(avg({value}) * {factor:?})::float8");
        let (id, vm) = (name(0), &self.of_vms[0].0);
        let rate = MIB / WINDOW;
        format!(
            "SELECT m.{id}::text, (floor(extract(epoch FROM {at}) / {STEP})::bigint + 1) * {STEP},
                    {cpu}, {memory}, {disk}, {net}
             FROM {metrics} m JOIN {vms} v ON v.{vm}::text = m.{id}::text
             WHERE m.{kind}::int = 1 AND v.{cores}::float8 > 0 GROUP BY 1, 2 ORDER BY 2, 1",
            at = self.moment("m"),
            cpu = mean(format!("{} * v.{}::float8", real(3), self.of_vms[1].0), 100.0),
            memory = mean(real(4), 1024.0),
            disk = mean(format!("({} + {})", real(5), real(6)), rate),
            net = mean(format!("({} + {})", real(7), real(8)), rate),
            metrics = self.metrics,
            vms = self.vms,
            kind = name(1),
            cores = self.of_vms[1].0,
        )
    }
}

/// Hands all that such a database keeps to `visit`, by time, in one pass over it: a sample of
/// each VM and five minutes.
///
/// # Errors
/// When it cannot be read, or is no such database.
pub fn each_sample(url: &str, patience: Duration, visit: &mut dyn FnMut(VmSample)) -> Result<(), StoreError> {
    let mut store = TimescaleStore::connect(url, patience)?;
    let Some(tables) = store.short(find)? else {
        return Err(StoreError::Schema("it holds no tables of the ai-orchestrator (prod_metrics)".to_owned()));
    };
    let none: [(&(dyn ToSql + Sync), Type); 0] = [];
    store.long(|transaction| {
        let mut rows = transaction.query_typed_raw(&tables.history(), none)?;
        while let Some(row) = rows.next()? {
            let real = |index: usize| column::<Option<f64>>(&row, index);
            let (vm, amounts) = (number(&column::<String>(&row, 0)?), real(2)?.zip(real(3)?));
            if let Some((vm, (cpu, memory))) = vm.zip(amounts) {
                let usage = Usage { cpu, memory, disk_io: real(4)?, net_io: real(5)? };
                visit(VmSample { vm, at: column(&row, 1)?, usage });
            }
        }
        Ok(())
    })
}

/// The tables of the ai-orchestrator, for reading.
pub struct AiOrchestrator {
    store: TimescaleStore,
    tables: Tables,
}

impl AiOrchestrator {
    /// Over an open connection.
    pub fn new(store: TimescaleStore, tables: Tables) -> Self {
        Self { store, tables }
    }
}

impl Known for AiOrchestrator {
    fn estimates(&mut self, vms: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError> {
        let ids: Vec<String> = vms.iter().map(ToString::to_string).collect();
        let rows = self.store.rows(&self.tables.estimates(), &[(&ids, Type::TEXT_ARRAY)])?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            found.extend(estimate(row)?);
        }
        Ok(found)
    }
}

impl Placing for AiOrchestrator {
    fn remember(&mut self, _sent: &Sent<'_>) -> Result<(), StoreError> {
        Err(only_read())
    }
}

impl Described for AiOrchestrator {
    fn status(&mut self) -> Result<StoreStatus, StoreError> {
        let (metrics, id, ts) = (&self.tables.metrics, &self.tables.columns[0].0, &self.tables.columns[2].0);
        let sql = format!(
            "SELECT count(*), count(DISTINCT {id}), extract(epoch FROM min({at}))::bigint,
                    extract(epoch FROM max({at}))::bigint, {size}('{regclass}'),
                    EXISTS (SELECT FROM pg_index WHERE indrelid = '{regclass}'::regclass
                            AND pg_get_indexdef(indexrelid, 1, true) = '{id_text}'
                            AND pg_get_indexdef(indexrelid, 2, true) = '{ts_text}')
             FROM {metrics} m WHERE {kind}::int = 1",
            at = self.tables.moment("m"),
            size = match &self.tables.hypertable {
                Some(extension) => format!("{}.hypertable_size", extension.schema),
                None => "pg_total_relation_size".to_owned(),
            },
            regclass = metrics.replace('\'', "''"),
            id_text = id.replace('\'', "''"),
            ts_text = ts.replace('\'', "''"),
            kind = self.tables.columns[1].0,
        );
        let row = self.store.long(|transaction| Ok(transaction.query_typed_one(&sql, &[])?))?;
        let (first, last): (Option<i64>, Option<i64>) = (column(&row, 2)?, column(&row, 3)?);
        let missing = format!(
            "{} has no index on ({id}, {ts}), so each placement reads a week of it; as its owner: \
             CREATE INDEX ON {} ({id}, {ts})",
            short(metrics),
            short(metrics)
        );
        let mut engine = "PostgreSQL, tables of the ai-orchestrator (read only)".to_owned();
        if let Some((aggregate, _)) = &self.tables.aggregate {
            engine.push_str(&format!(", estimates by the continuous aggregate {}", short(aggregate)));
        }
        let samples: i64 = column(&row, 0)?;
        let mut remarks = Vec::new();
        if self.tables.aggregate.is_none() && are_many(samples, first.zip(last)) {
            remarks.push(format!(
                "{samples} rows are read anew for each placement, a week of them: take them over once (`oneaio import \
                 --from`){}",
                if self.tables.hypertable.is_some() { ", or make the continuous aggregate of stores.md" } else { "" }
            ));
        }
        if !column::<bool>(&row, 5)? && self.tables.aggregate.is_none() {
            remarks.push(missing);
        }
        Ok(StoreStatus {
            engine,
            samples,
            vms: column(&row, 1)?,
            estimates: 0,
            gaps: 0,
            host_samples: 0,
            span: first.zip(last),
            bytes: column::<Option<i64>>(&row, 4)?.unwrap_or(0),
            carbon: Vec::new(),
            remarks,
        })
    }
}

/// Whether a week of so many rows from a first to a last moment is slow to read.
fn are_many(rows: i64, span: Option<(i64, i64)>) -> bool {
    let weeks = span.map_or(1.0, |(first, last)| ((last - first) as f64 / 604_800.0).max(1.0));
    rows as f64 / weeks > MANY as f64
}

/// A table's name as its owner types it.
fn short(name: &str) -> &str {
    name.strip_prefix("public.").unwrap_or(name)
}

/// Why nothing is kept there.
pub fn only_read() -> StoreError {
    let text = "it is a database of the ai-orchestrator, which is only read: run `oneaio db init` to add tables of our \
                own beside";
    StoreError::Schema(text.to_owned())
}

/// A row in our units; `None` for an id that is none, or a VM of unknown size.
fn estimate(row: &Row) -> Result<Option<(VmId, Estimate)>, StoreError> {
    let real = |index: usize| column::<Option<f64>>(row, index);
    let Some(percent) = real(3)?.filter(|cores| *cores > 0.0).map(|cores| cores * 100.0) else { return Ok(None) };
    let io = |index: usize| Ok::<_, StoreError>(real(index)?.map(|mib| mib * MIB / WINDOW));
    let usage = |cpu: usize, memory: usize, disk: usize, net: usize| {
        let Some((cpu, memory)) = real(cpu)?.zip(real(memory)?) else { return Ok(None) };
        let usage = Usage { cpu: cpu * percent, memory: memory * 1024.0, disk_io: io(disk)?, net_io: io(net)? };
        Ok::<_, StoreError>(Some(usage))
    };
    let Some((level, peak)) = usage(4, 7, 9, 11)?.zip(usage(5, 8, 10, 12)?) else { return Ok(None) };
    let estimate = Estimate {
        level,
        peak,
        usual: Usual { level, peak },
        cpu_deviation: real(6)?.unwrap_or(0.0) * percent,
        sketch: Sketch::default(),
        trust: 1.0,
        class: None,
        samples: u64::try_from(column::<i64>(row, 1)?).unwrap_or(0),
        last_at: column::<Option<i64>>(row, 2)?.unwrap_or(0),
    };
    Ok(number(&column::<String>(row, 0)?).map(|vm| (vm, estimate)))
}

/// A VM's id, from `91` or `91.00`.
fn number(text: &str) -> Option<VmId> {
    let text = text.trim();
    let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
    whole.map_or(text, |(whole, _)| whole).parse().ok().map(VmId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_many_by_the_week() {
        let weeks = |weeks: i64| Some((1000, 1000 + weeks * 604_800));
        for (rows, span, expected) in [
            (MANY, None, false),
            (MANY + 1, None, true),
            // less than a week counts as one
            (MANY, Some((1000, 1060)), false),
            (MANY + 1, Some((1000, 1060)), true),
            (3 * MANY, weeks(3), false),
            (3 * MANY + 1, weeks(3), true),
            (MANY + 1, weeks(3), false),
        ] {
            assert_eq!(are_many(rows, span), expected, "{rows} {span:?}");
        }
    }

    #[test]
    fn ids_may_be_written_as_numbers_with_a_point() {
        for (text, vm) in [
            ("91", Some(91)),
            (" 91 ", Some(91)),
            ("91.00", Some(91)),
            ("91.", Some(91)),
            ("91.50", None),
            ("91.05", None),
            ("vm91", None),
            ("", None),
        ] {
            assert_eq!(number(text), vm.map(VmId), "{text:?}");
        }
        assert_eq!((short("public.prod_metrics"), short("env.prod_metrics")), ("prod_metrics", "env.prod_metrics"));
    }
}

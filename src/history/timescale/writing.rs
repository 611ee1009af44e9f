//! What a batch writes, each kind in one statement whatever its size.

use super::super::text::{ascii, troubles_text, vectors_text};
use super::super::{Batch, Learn, Learnt, Sent, outlook};
use super::{Value, told};
use crate::model::history::{Attempts, Estimate, Trouble};
use crate::model::ids::VmId;
use crate::model::sample::{Counters, VmSample};
use postgres::types::Type;
use postgres::{Client, Transaction};
use std::collections::{BTreeMap, HashMap};

/// Seconds between samples of a VM, at least, as reckoned for what a look at a whole range reads.
const STEP: i64 = 60;

/// A range is read where it holds at most this many times what is looked for.
const DENSE: i64 = 16;

/// Inserts what is not there yet; that, by VM and time. The caller holds the lock that lets one
/// batch in at a time.
pub fn insert_samples(
    transaction: &mut Transaction<'_>,
    samples: &[VmSample],
) -> Result<Vec<VmSample>, postgres::Error> {
    let mut sorted = samples.to_vec();
    sorted.sort_by_key(|sample| (sample.vm, sample.at));
    sorted.dedup_by_key(|sample| (sample.vm, sample.at));
    // what is learnt is what is kept
    sorted.iter_mut().for_each(|sample| sample.usage.cpu = f64::from(sample.usage.cpu as f32));
    let times = sorted.iter().map(|sample| sample.at);
    let Some((first, last)) = times.clone().min().zip(times.max()) else { return Ok(Vec::new()) };
    let ids: Vec<i32> = sorted.iter().map(|sample| sample.vm.0).collect();
    let times: Vec<i64> = sorted.iter().map(|sample| sample.at).collect();
    let cpu: Vec<f32> = sorted.iter().map(|sample| sample.usage.cpu as f32).collect();
    let memory: Vec<f64> = sorted.iter().map(|sample| sample.usage.memory).collect();
    let disk: Vec<Option<f64>> = sorted.iter().map(|sample| sample.usage.disk_io).collect();
    let net: Vec<Option<f64>> = sorted.iter().map(|sample| sample.usage.net_io).collect();
    let mut vms = ids.clone();
    vms.dedup();
    let mut values: Vec<Value<'_>> = vec![
        (&ids, Type::INT4_ARRAY),
        (&times, Type::INT8_ARRAY),
        (&cpu, Type::FLOAT4_ARRAY),
        (&memory, Type::FLOAT8_ARRAY),
        (&disk, Type::FLOAT8_ARRAY),
        (&net, Type::FLOAT8_ARRAY),
    ];
    // looked up first, not left to ON CONFLICT .. RETURNING: on compressed chunks TimescaleDB 2.17
    // returns nothing after the first conflict. The lock of the batch makes this safe. The range as
    // literals spares TimescaleDB a look into the chunks of all other days.
    let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let steps = last.saturating_sub(first) / STEP + 1;
    let known = if count(vms.len()).saturating_mul(steps) <= count(sorted.len()).saturating_mul(DENSE) {
        // all that these VMs have in that time, at once
        values.push((&vms, Type::INT4_ARRAY));
        format!(
            "EXISTS (SELECT FROM oneaio.samples s WHERE s.vm = i.vm AND s.at = i.at
                     AND s.vm = ANY($7) AND s.at BETWEEN {first} AND {last})"
        )
    } else {
        // a few of many: LIMIT makes it one look into the index per row, whatever the planner thinks
        format!(
            "(SELECT true FROM oneaio.samples s
              WHERE s.vm = i.vm AND s.at = i.at AND s.at BETWEEN {first} AND {last} LIMIT 1) IS NOT NULL"
        )
    };
    let sql = format!(
        "WITH fresh AS MATERIALIZED (
              SELECT * FROM unnest($1::int[], $2::bigint[], $3::float4[], $4::float8[], $5::float8[], $6::float8[])
                  WITH ORDINALITY AS i(vm, at, cpu, memory, disk, net, number)
              WHERE NOT {known} ORDER BY number),
          kept AS (INSERT INTO oneaio.samples SELECT vm, at, cpu, memory, disk, net FROM fresh)
         SELECT number FROM fresh ORDER BY number"
    );
    let rows = transaction.query_typed(&sql, &values)?;
    let fresh = rows.iter().map(|row| usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX));
    Ok(fresh.filter_map(|index| sorted.get(index).copied()).collect())
}

/// New estimates of all VMs with new samples: one query for the old states, one for the new.
pub fn learn_all(
    transaction: &mut Transaction<'_>,
    fresh: &[VmSample],
    learn: &mut Learn<'_>,
) -> Result<usize, postgres::Error> {
    if fresh.is_empty() {
        return Ok(0);
    }
    let of_each: Vec<&[VmSample]> = fresh.chunk_by(|a, b| a.vm == b.vm).collect();
    let ids: Vec<i32> = of_each.iter().map(|samples| samples[0].vm.0).collect();
    let rows = transaction
        .query_typed("SELECT vm, state FROM oneaio.estimates WHERE vm = ANY($1)", &[(&ids, Type::INT4_ARRAY)])?;
    let state = |row: &postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let states: HashMap<i32, Vec<u8>> = rows.iter().map(state).collect::<Result<_, postgres::Error>>()?;
    let learnt: Vec<(VmId, Learnt)> = of_each
        .iter()
        .map(|samples| {
            let vm = samples[0].vm;
            (vm, learn(vm, states.get(&vm.0).map(Vec::as_slice), samples))
        })
        .collect();
    save_learnt(transaction, &learnt)?;
    Ok(of_each.len())
}

/// Keeps what was learnt, in one statement.
pub fn save_learnt(transaction: &mut Transaction<'_>, learnt: &[(VmId, Learnt)]) -> Result<(), postgres::Error> {
    let ids: Vec<i32> = learnt.iter().map(|(vm, _)| vm.0).collect();
    let estimates: Vec<&Estimate> = learnt.iter().map(|(_, learnt)| &learnt.estimate).collect();
    let reals = |get: &dyn Fn(&Estimate) -> f64| estimates.iter().map(|e| get(e)).collect::<Vec<f64>>();
    let maybe = |get: &dyn Fn(&Estimate) -> Option<f64>| estimates.iter().map(|e| get(e)).collect::<Vec<Option<f64>>>();
    let counts: Vec<i64> = estimates.iter().map(|e| i64::try_from(e.samples).unwrap_or(i64::MAX)).collect();
    let times: Vec<i64> = estimates.iter().map(|e| e.last_at).collect();
    let states: Vec<&[u8]> = learnt.iter().map(|(_, learnt)| learnt.state.as_slice()).collect();
    let classes: Vec<Option<i32>> = estimates.iter().map(|e| e.class.map(|class| class.number.into())).collect();
    let vectors: Vec<Option<String>> =
        learnt.iter().map(|(_, learnt)| vectors_text(&learnt.vectors).map(|text| ascii(&text))).collect();
    let outlooks: Vec<Vec<u8>> = estimates.iter().map(|estimate| outlook::bytes(estimate)).collect();
    let sql = "INSERT INTO oneaio.estimates (vm, cpu_level, cpu_peak, cpu_deviation, memory_level, memory_peak,
                   disk_level, disk_peak, net_level, net_peak, samples, last_at, state, trust, class, confidence, vector,
                   outlook)
               SELECT * FROM unnest($1::int[], $2::float8[], $3::float8[], $4::float8[],
                   $5::float8[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::float8[],
                   $11::bigint[], $12::bigint[], $13::bytea[], $14::float8[], $15::int[], $16::float8[], $17::text[],
                   $18::bytea[])
               ON CONFLICT (vm) DO UPDATE SET cpu_level = excluded.cpu_level, cpu_peak = excluded.cpu_peak,
                   cpu_deviation = excluded.cpu_deviation, memory_level = excluded.memory_level,
                   memory_peak = excluded.memory_peak, disk_level = excluded.disk_level,
                   disk_peak = excluded.disk_peak, net_level = excluded.net_level, net_peak = excluded.net_peak,
                   samples = excluded.samples, last_at = excluded.last_at, state = excluded.state,
                   trust = excluded.trust, class = excluded.class, confidence = excluded.confidence,
                   vector = excluded.vector, outlook = excluded.outlook";
    let (float, int, long) = (|| Type::FLOAT8_ARRAY, || Type::INT4_ARRAY, || Type::INT8_ARRAY);
    transaction.execute_typed(
        sql,
        &[
            (&ids, int()),
            (&reals(&|e| e.level.cpu), float()),
            (&reals(&|e| e.peak.cpu), float()),
            (&reals(&|e| e.cpu_deviation), float()),
            (&reals(&|e| e.level.memory), float()),
            (&reals(&|e| e.peak.memory), float()),
            (&maybe(&|e| e.level.disk_io), float()),
            (&maybe(&|e| e.peak.disk_io), float()),
            (&maybe(&|e| e.level.net_io), float()),
            (&maybe(&|e| e.peak.net_io), float()),
            (&counts, long()),
            (&times, long()),
            (&states, Type::BYTEA_ARRAY),
            (&reals(&|e| e.trust), float()),
            (&classes, int()),
            (&maybe(&|e| e.class.map(|class| class.confidence)), float()),
            (&vectors, Type::TEXT_ARRAY),
            (&outlooks, Type::BYTEA_ARRAY),
        ],
    )?;
    Ok(())
}

/// The newest counters; older ones replace nothing.
pub fn save_counters(transaction: &mut Transaction<'_>, batch: &Batch<'_>) -> Result<(), postgres::Error> {
    if batch.counters.is_empty() {
        return Ok(());
    }
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
    let (int, float) = (Type::INT4_ARRAY, Type::FLOAT8_ARRAY);
    let values: [Value<'_>; 7] = [
        (&kinds, int.clone()),
        (&ids, int),
        (&times, Type::INT8_ARRAY),
        (&cpu, float.clone()),
        (&memory, float.clone()),
        (&disk, float.clone()),
        (&net, float),
    ];
    transaction.execute_typed(sql, &values).map(|_| ())
}

/// Samples of hosts; those that are known are passed over.
pub fn save_hosts(transaction: &mut Transaction<'_>, batch: &Batch<'_>) -> Result<(), postgres::Error> {
    if batch.hosts.is_empty() {
        return Ok(());
    }
    let hosts: Vec<i32> = batch.hosts.iter().map(|sample| sample.host.0).collect();
    let times: Vec<i64> = batch.hosts.iter().map(|sample| sample.at).collect();
    let cpu: Vec<f64> = batch.hosts.iter().map(|sample| sample.usage.cpu).collect();
    let memory: Vec<f64> = batch.hosts.iter().map(|sample| sample.usage.memory).collect();
    let net: Vec<Option<f64>> = batch.hosts.iter().map(|sample| sample.usage.net_io).collect();
    let sql =
        "INSERT INTO oneaio.host_samples SELECT * FROM unnest($1::int[], $2::bigint[], $3::float8[], $4::float8[],
                   $5::float8[]) ON CONFLICT DO NOTHING";
    let float = Type::FLOAT8_ARRAY;
    let values: [Value<'_>; 5] = [
        (&hosts, Type::INT4_ARRAY),
        (&times, Type::INT8_ARRAY),
        (&cpu, float.clone()),
        (&memory, float.clone()),
        (&net, float),
    ];
    transaction.execute_typed(sql, &values).map(|_| ())
}

/// Who VMs are; the newest word counts.
pub fn save_identities(transaction: &mut Transaction<'_>, batch: &Batch<'_>) -> Result<(), postgres::Error> {
    if batch.identities.is_empty() {
        return Ok(());
    }
    let ids: Vec<i32> = batch.identities.iter().map(|(vm, _)| vm.0).collect();
    let texts: Vec<String> =
        batch.identities.iter().map(|(_, who)| ascii(&serde_json::to_string(who).unwrap_or_default())).collect();
    let sql = "INSERT INTO oneaio.identities SELECT DISTINCT ON (vm) * FROM unnest($1::int[], $2::text[]) AS t(vm, i)
               ON CONFLICT (vm) DO UPDATE SET identity = excluded.identity";
    transaction.execute_typed(sql, &[(&ids, Type::INT4_ARRAY), (&texts, Type::TEXT_ARRAY)]).map(|_| ())
}

/// A zone's carbon intensity; of two values for one moment the later counts. How many there are.
pub fn save_carbon(
    transaction: &mut Transaction<'_>,
    zone: &str,
    series: &[(i64, f64)],
) -> Result<usize, postgres::Error> {
    let series: BTreeMap<i64, f64> = series.iter().copied().collect();
    let (times, grams): (Vec<i64>, Vec<f64>) = series.into_iter().unzip();
    let sql = "INSERT INTO oneaio.carbon SELECT $1, * FROM unnest($2::bigint[], $3::float8[])
               ON CONFLICT (zone, at) DO UPDATE SET grams = excluded.grams";
    let zone = ascii(zone);
    let values: [Value<'_>; 3] = [(&zone, Type::TEXT), (&times, Type::INT8_ARRAY), (&grams, Type::FLOAT8_ARRAY)];
    transaction.execute_typed(sql, &values)?;
    let count = "SELECT count(*) FROM oneaio.carbon WHERE zone = $1";
    let count: i64 = transaction.query_typed_one(count, &[(&zone, Type::TEXT)])?.get(0);
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Keeps what a plan has sent where, and forgets what is old; one transaction, in three round trips where
/// no attempt is to be kept. After an
/// error it is still open. A server that fails right after it may have lost it, as SQLite in its WAL mode: what we
/// remember there only helps, and a plan does not wait for a disk.
pub fn save_sent(client: &mut Client, limits: &str, sent: &Sent<'_>) -> Result<(), postgres::Error> {
    let forget =
        |table: &str, since: i64, until: i64| format!("DELETE FROM oneaio.{table} WHERE at < {since} OR at > {until}");
    // tables of an older version have no attempts: the next collection makes them
    let attempts = told(&client.simple_query(&format!(
        "BEGIN; {limits}; SET LOCAL synchronous_commit = off; {};
         SELECT to_regclass('oneaio.attempts') IS NOT NULL",
        forget("placements", sent.placements_since, sent.placements_until)
    ))?);
    let vms: Vec<i32> = sent.placements.iter().map(|p| p.vm.0).collect();
    let hosts: Vec<i32> = sent.placements.iter().map(|p| p.host.0).collect();
    let times: Vec<i64> = sent.placements.iter().map(|p| p.at).collect();
    let sql = "INSERT INTO oneaio.placements SELECT * FROM unnest($1::int[], $2::int[], $3::bigint[]) \
               ON CONFLICT (vm) DO UPDATE SET host = excluded.host, at = excluded.at";
    let (int, long) = (Type::INT4_ARRAY, Type::INT8_ARRAY);
    client.query_typed(sql, &[(&vms, int.clone()), (&hosts, int), (&times, long)])?;
    if let Some(troubles) = sent.troubles {
        save_troubles(client, troubles)?;
    }
    if !attempts {
        return client.batch_execute("COMMIT");
    }
    let forget = forget("attempts", sent.attempts_since, sent.until);
    if sent.attempts.is_empty() {
        return client.batch_execute(&format!("{forget}; COMMIT"));
    }
    client.batch_execute(&forget)?;
    save_attempts(client, sent.attempts)?;
    client.batch_execute("COMMIT")
}

/// Tables of an older version have no place for them: the next collection makes one. Who was given rights before it
/// was there goes on without.
fn save_troubles(client: &mut Client, troubles: &[Trouble]) -> Result<(), postgres::Error> {
    let may = "WITH kept AS (SELECT to_regclass('oneaio.troubles') AS at)
               SELECT COALESCE(has_table_privilege(at, 'INSERT') AND has_table_privilege(at, 'DELETE'), false) FROM kept";
    if !told(&client.simple_query(may)?) {
        return Ok(());
    }
    client.batch_execute("DELETE FROM oneaio.troubles")?;
    if troubles.is_empty() {
        return Ok(());
    }
    let text = troubles_text(troubles);
    client.query_typed("INSERT INTO oneaio.troubles VALUES ($1)", &[(&text, Type::TEXT)]).map(drop)
}

fn save_attempts(client: &mut Client, attempts: &[(VmId, Attempts)]) -> Result<(), postgres::Error> {
    let vms: Vec<i32> = attempts.iter().map(|(vm, _)| vm.0).collect();
    let of = |number: fn(&Attempts) -> i64| -> Vec<i64> { attempts.iter().map(|(_, one)| number(one)).collect() };
    let errors: Vec<String> = attempts.iter().map(|(_, one)| ascii(&one.error)).collect();
    let sql = "INSERT INTO oneaio.attempts \
               SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) \
               ON CONFLICT (vm) DO UPDATE SET failed = excluded.failed, at = excluded.at, \
               sequence = excluded.sequence, error = excluded.error";
    let numbers = (of(|one| i64::from(one.failed)), of(|one| one.at), of(|one| one.sequence));
    let (int, long) = (Type::INT4_ARRAY, Type::INT8_ARRAY);
    let values: [Value<'_>; 5] = [
        (&vms, int),
        (&numbers.0, long.clone()),
        (&numbers.1, long.clone()),
        (&numbers.2, long),
        (&errors, Type::TEXT_ARRAY),
    ];
    client.query_typed(sql, &values).map(drop)
}

//! Placements that a store helps, as a process: what is known is used, and a store that is
//! lost, slow, damaged or of somebody else costs one warning and no plan.

use crate::support::request::{Vm, host, request, vm};
use crate::support::skip::skip;
use crate::support::store::{AI_ORCHESTRATOR_TABLES, Database, Pool, Server};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::{Batch, Collecting, Placing, Sent, Training};
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::VmSample;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(10);

fn sample(vm: i32, at: i64, cpu: f64) -> VmSample {
    let usage = Usage { cpu, memory: 1000.0 * cpu, disk_io: Some(5.0), net_io: None };
    VmSample { vm: VmId(vm), at, usage }
}

fn place(arguments: &[&str], request: &str) -> (String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), request).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .arg("place")
        .args(arguments)
        .stdin(std::fs::File::open(file.path()).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn set(path: &Path) -> String {
    format!("history.store=sqlite:{}", path.display())
}

#[test]
fn placement_goes_by_what_vms_really_use() {
    // by allocation host 1 is the emptier one; its VM really uses far more than its share
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    let samples: Vec<VmSample> =
        (0..50).flat_map(|i| [sample(91, 300 * i, 700.0), sample(92, 300 * i, 10.0)]).collect();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    drop(store);
    let hosts = [host(1).cpu(800, 100).vms(&[91]), host(2).cpu(800, 400).vms(&[92])];
    let xml = request(&hosts, &[vm(5, &[1, 2])]).xml();
    assert!(place(&["--set", "history.store=none"], &xml).0.contains("<HOST_ID>1</HOST_ID>"));
    assert!(place(&["--set", &set(&file)], &xml).0.contains("<HOST_ID>2</HOST_ID>"));
}

#[test]
fn two_quick_batches_do_not_pile_onto_one_host() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    // the second request shows what is allocated, and no sample
    let batch = |id| request(&[host(1), host(2)], &[vm(id, &[1, 2])]).xml();
    let first = place(&["--set", &set(&file)], &batch(1)).0;
    let mut second = request(&[host(1).cpu(800, 100).vms(&[1]), host(2)], &[vm(2, &[1, 2])]);
    second.vms.push(Vm { hosts: None, ..vm(1, &[]) });
    assert!(first.contains("<HOST_ID>1</HOST_ID>"), "{first}");
    assert!(place(&["--set", &set(&file)], &second.xml()).0.contains("<HOST_ID>2</HOST_ID>"));
}

#[test]
fn a_lost_store_is_one_warning_and_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.db");
    std::fs::write(&broken, "no database at all, just some text that is long enough").unwrap();
    let xml = request(&[host(1)], &[vm(1, &[1])]).xml();
    for store in [
        set(&broken),
        "history.store=sqlite:/nowhere/at/all.db".to_owned(),
        "history.store=postgresql://user:secret@127.0.0.1:1/none".to_owned(),
        "history.store=host=/nowhere user=x password=secret".to_owned(),
    ] {
        let (plan, messages) = place(&["--set", &store], &xml);
        assert!(plan.contains("<ACTION>"), "{store}: {plan}");
        assert_eq!(messages.matches("WARN: ").count(), 1, "{store}: {messages}");
        assert!(messages.contains("history is not used") && !messages.contains("secret"), "{store}: {messages}");
    }
}

#[test]
fn a_server_that_accepts_and_stays_silent_is_done_without() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let keep = std::thread::spawn(move || silent.accept());
    let store = format!("history.store=host=127.0.0.1 port={port} user=x");
    let xml = request(&[host(1)], &[vm(1, &[1])]).xml();
    let begun = std::time::Instant::now();
    let (plan, messages) = place(&["--set", &store, "--set", "history.deadline=0.3"], &xml);
    assert!(begun.elapsed() < Duration::from_secs(30), "the deadline holds, generously measured");
    assert!(plan.contains("<ACTION>") && messages.contains("did not answer within 0.3 s"), "{messages}");
    drop(keep);
}

#[test]
fn sslmode_means_what_libpq_means_by_it() {
    let Some(server) = Server::start_with_tls() else { return };
    let Some(port) = server.port else { panic!("listens") };
    let connects = |host: &str, options: &str| {
        let address = format!("host={host} port={port} user=oneaio dbname=postgres {options}");
        TimescaleStore::connect(&address, PATIENCE).map(|_| ()).map_err(|error| error.to_string())
    };
    let root = format!("sslrootcert={}", server.root());
    // the server takes TLS only over TCP
    assert!(connects("localhost", "sslmode=disable").is_err());
    for mode in ["", "sslmode=allow", "sslmode=prefer", "sslmode=require"] {
        assert_eq!(connects("localhost", mode), Ok(()), "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(connects("localhost", &format!("sslmode={mode} {root}")), Ok(()), "{mode}");
    }
    // the name counts for verify-full only, the signature for all three
    assert_eq!(connects("127.0.0.1", &format!("sslmode=verify-ca {root}")), Ok(()));
    assert!(connects("127.0.0.1", &format!("sslmode=verify-full {root}")).is_err());
    let stranger = Server::start_with_tls().unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = connects("localhost", &format!("sslmode={mode} sslrootcert={}", stranger.root())).unwrap_err();
        assert!(error.contains("certificate"), "{mode}: {error}");
    }
    assert_eq!(connects("127.0.0.1", "sslmode=require"), Ok(()));
    assert!(connects("localhost", "sslmode=verify-full").unwrap_err().contains("sslrootcert"));
    // the CAs of the system have not signed this one
    let error = connects("localhost", "sslrootcert=system").unwrap_err();
    assert!(error.contains("certificate") || error.contains("sslrootcert is system"), "{error}");
    assert!(connects("localhost", "gssencmode=require").unwrap_err().contains("GSSAPI"));
    let (certificate, key) = server.require_certificate();
    assert!(connects("localhost", "sslmode=require").is_err(), "who shows none stays out");
    let shown = format!("sslmode=verify-full {root} sslcert={certificate} sslkey={key} gssencmode=disable");
    assert_eq!(connects("localhost", &shown), Ok(()));
    let error = connects("localhost", &format!("sslcert={certificate} sslkey=/no/such/file")).unwrap_err();
    assert!(error.contains("sslkey /no/such/file cannot be used"), "{error}");
}

/// What the ai-orchestrator's EnvServer has written, and a role that may only read.
const METRICS: &str = "
INSERT INTO prod_vms (vmid, total_cpu) VALUES ('91', 8), ('92', 4);
INSERT INTO prod_metrics SELECT '91', 1, to_timestamp(40 * i), 0.9, 512, 10, 10, 0, 0, 0 FROM generate_series(1, 50) i;
INSERT INTO prod_metrics SELECT '92', 1, to_timestamp(40 * i), 0.1, 512, 0, 0, 0, 0, 0 FROM generate_series(1, 50) i;
INSERT INTO prod_metrics SELECT '91', 0, to_timestamp(40 * i), 0.0, 1, 0, 0, 0, 0, 0 FROM generate_series(1, 50) i;
DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;";

#[test]
fn a_database_of_the_ai_orchestrator_is_read_as_it_is() {
    let Some(database) = Database::create() else { return };
    // tables of the same names elsewhere are not those that are meant
    let elsewhere = "CREATE SCHEMA a; CREATE TABLE a.prod_metrics (id int);
        CREATE TABLE a.prod_vms AS SELECT vmid, 99::float8 AS total_cpu FROM prod_vms;";
    database.client().batch_execute(&format!("{AI_ORCHESTRATOR_TABLES}{METRICS}{elsewhere}")).unwrap();
    let address = database.address().replace("user=oneaio", "user=reader");
    let mut store = oneaio::history::timescale::reader(&address, PATIENCE).unwrap();
    let found = store.estimates(&[VmId(91), VmId(92), VmId(7)]).unwrap();
    assert_eq!(found.len(), 2);
    let busy = found.iter().find(|(vm, _)| *vm == VmId(91)).unwrap().1;
    // 90 % of 8 cores, 512 MiB, 20 MiB in 40 s
    assert!((busy.level.cpu - 720.0).abs() < 1e-6 && (busy.level.memory - 524_288.0).abs() < 1e-6, "{busy:?}");
    assert!((busy.level.disk_io.unwrap() - 524_288.0).abs() < 1e-6, "{busy:?}");
    assert_eq!((busy.samples, busy.last_at), (50, 2000));
    let mut described = oneaio::history::timescale::described(&address, PATIENCE).unwrap();
    let status = described.status().unwrap();
    assert_eq!((status.samples, status.vms), (100, 2));
    assert!(status.remarks[0].contains("CREATE INDEX ON prod_metrics (id, ts)"), "{:?}", status.remarks);
    database.client().batch_execute("CREATE INDEX ON prod_metrics (id, ts)").unwrap();
    assert_eq!(described.status().unwrap().remarks, Vec::<String>::new());
    assert!(store.remember(&Sent::default()).is_err(), "nothing is written");

    // the placement goes by it, without a warning
    let hosts = [host(1).cpu(800, 100).vms(&[91]), host(2).cpu(800, 400).vms(&[92])];
    let xml = request(&hosts, &[vm(5, &[1, 2])]).xml();
    let (plan, messages) = place(&["--set", &format!("history.store={address}")], &xml);
    assert!(plan.contains("<HOST_ID>2</HOST_ID>") && !messages.contains("WARN"), "{messages}");
}

#[test]
fn a_vm_of_no_size_in_the_tables_of_the_ai_orchestrator_has_no_estimate() {
    let Some(database) = Database::create() else { return };
    let more = "INSERT INTO prod_vms (vmid, total_cpu) VALUES ('93', 0), ('94', NULL);
        INSERT INTO prod_metrics SELECT vmid, 1, to_timestamp(40 * i), 0.5, 512, 0, 0, 0, 0, 0
        FROM prod_vms, generate_series(1, 50) i WHERE vmid IN ('93', '94');";
    database.client().batch_execute(&format!("{AI_ORCHESTRATOR_TABLES}{METRICS}{more}")).unwrap();
    let mut store = oneaio::history::timescale::reader(&database.address(), PATIENCE).unwrap();
    let found = store.estimates(&[VmId(91), VmId(93), VmId(94)]).unwrap();
    assert_eq!(found.iter().map(|(vm, _)| *vm).collect::<Vec<_>>(), [VmId(91)], "percent of nothing say nothing");
}

#[test]
fn ids_of_two_types_are_the_same_vm_and_the_deviation_is_that_of_its_cores() {
    let Some(database) = Database::create() else { return };
    let rows =
        "ALTER TABLE prod_vms ALTER vmid TYPE bigint USING 0; INSERT INTO prod_vms (vmid, total_cpu) VALUES (91, 8);
        INSERT INTO prod_metrics SELECT '91', 1, to_timestamp(40 * i), 0.5 + 0.1 * (-1) ^ i, 512, 0, 0, 0, 0, 0
        FROM generate_series(1, 50) i;";
    database.client().batch_execute(&format!("{AI_ORCHESTRATOR_TABLES}{rows}")).unwrap();
    let estimate = |id: &str| {
        database.client().execute("UPDATE prod_metrics SET id = $1", &[&id]).unwrap();
        let mut store = oneaio::history::timescale::reader(&database.address(), PATIENCE).unwrap();
        store.estimates(&[VmId(91)]).unwrap().first().map(|(_, estimate)| *estimate)
    };
    assert!(estimate("92").is_none());
    let found = estimate("91").unwrap();
    assert!((found.level.cpu - 400.0).abs() < 1e-6 && (found.cpu_deviation - 80.0).abs() < 1e-6, "{found:?}");
    assert!((found.peak.cpu - 480.0).abs() < 1e-6 && found.usual.peak == found.peak, "{found:?}");
}

/// The same tables in the forms that installations have them in.
#[test]
fn tables_of_the_ai_orchestrator_are_found_whatever_their_form() {
    if let Some(server) = Server::start() {
        found_whatever_their_form(&server, false);
    }
}

#[test]
fn hypertables_of_the_ai_orchestrator_are_found_whatever_their_form() {
    if let Some(server) = Server::start_with_timescaledb(&[]) {
        found_whatever_their_form(&server, true);
    }
}

fn found_whatever_their_form(server: &Server, hypertables: bool) {
    let forms = [
        ("numeric", "numeric(20,0)", "timestamptz", "numeric", "public.prod_metrics", "public.prod_vms", "id"),
        ("bigint", "bigint", "timestamp", "real", "public.prod_metrics", "public.prod_vms", "id"),
        ("elsewhere", "int", "bigint", "double precision", "metering.prod_metrics", "metering.prod_vms", "id"),
        ("quoted", "varchar(40)", "timestamptz", "real", "\"Env\".\"PROD_METRICS\"", "\"Env\".\"PROD_VMS\"", "\"ID\""),
    ];
    for (name, id, ts, real, metrics, vms, id_column) in forms {
        server.client().batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let address = server.address().replace("dbname=postgres", &format!("dbname={name}"));
        let mut client = ::postgres::Client::connect(&address, ::postgres::NoTls).unwrap();
        let moment = if ts == "bigint" { "40 * i" } else { "to_timestamp(40 * i) AT TIME ZONE 'UTC'" };
        let moment = if ts == "timestamptz" { "to_timestamp(40 * i)" } else { moment };
        let day = if ts == "bigint" { "86400::bigint" } else { "interval '1 day'" };
        let hypertable = match hypertables {
            true => format!(
                "CREATE EXTENSION timescaledb; SELECT create_hypertable('{metrics}', 'ts', chunk_time_interval => {day});"
            ),
            false => String::new(),
        };
        let made = format!(
            "CREATE SCHEMA metering; CREATE SCHEMA \"Env\";
             CREATE TABLE {vms} (vmid {id}, total_cpu {real});
             CREATE TABLE {metrics} ({id_column} {id}, type int, ts {ts}, cpu {real}, memory {real},
                 disk_read {real}, disk_write {real}, net_rx {real}, net_tx {real});
             INSERT INTO {vms} VALUES ('91', 8);
             {hypertable}
             INSERT INTO {metrics} SELECT '91', 1, {moment}, 0.5, 512, 10, 10, 0, 0 FROM generate_series(1, 50) i;
             CREATE INDEX ON {metrics} ({id_column}, ts)"
        );
        client.batch_execute(&made).unwrap();
        let mut store = oneaio::history::timescale::reader(&address, PATIENCE).unwrap();
        let found = store.estimates(&[VmId(91), VmId(7)]).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        let (vm, estimate) = found[0];
        assert!(vm == VmId(91) && (estimate.level.cpu - 400.0).abs() < 1e-3, "{name}: {estimate:?}");
        assert_eq!((estimate.samples, estimate.last_at), (50, 2000), "{name}");
        let status = oneaio::history::timescale::described(&address, PATIENCE).unwrap().status().unwrap();
        assert_eq!((status.samples, status.remarks), (50, vec![]), "{name}");
        assert!(status.bytes > 0, "{name}");
        // all of it into a store of our own, once
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("h.db");
        let import = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
            let output = command.args(["import", "--from", &address, "--set", &set(&own)]).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, messages) = import();
        // 40 to 2000 s are in seven steps of five minutes
        assert!(code == Some(0) && messages.contains("new samples 7"), "{name}: {messages}");
        let samples = SqliteStore::open(&own, PATIENCE).unwrap().samples(VmId(91)).unwrap();
        assert_eq!(samples.iter().map(|sample| sample.at).collect::<Vec<_>>(), [300, 600, 900, 1200, 1500, 1800, 2100]);
        let usage = samples[3].usage;
        assert!((usage.cpu - 400.0).abs() < 1e-3 && (usage.memory - 524_288.0).abs() < 1e-3, "{name}: {usage:?}");
        assert!((usage.disk_io.unwrap() - 524_288.0).abs() < 1e-3, "{name}: {usage:?}");
        assert!(import().1.contains("new samples 0"), "{name}");
        // what is missing or meant is told, never guessed
        client.batch_execute(&format!("ALTER TABLE {metrics} RENAME COLUMN net_tx TO sent")).unwrap();
        let Err(error) = oneaio::history::timescale::reader(&address, PATIENCE) else { panic!("{name}") };
        assert!(error.to_string().contains("lacks the column net_tx"), "{name}: {error}");
    }
    let twice =
        "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.prod_metrics (id int); CREATE TABLE b.prod_metrics (id int)";
    server.client().batch_execute(twice).unwrap();
    let Err(error) = oneaio::history::timescale::reader(&server.address(), PATIENCE) else { panic!("guessed") };
    assert!(error.to_string().contains("a.prod_metrics, b.prod_metrics"), "{error}");
}

#[test]
fn a_continuous_aggregate_of_the_ai_orchestrator_is_read_instead() {
    let Some(server) = Server::start_with_timescaledb(&[]) else { return };
    let mut client = server.client();
    let rows = "INSERT INTO prod_vms (vmid, total_cpu) VALUES ('91', 8);
                INSERT INTO prod_metrics SELECT '91', 1, to_timestamp(40 * i), 0.5, 512, 10, 10, 0, 0, 0
                    FROM generate_series(1, 50) i;
                CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader";
    let hypertable = "CREATE EXTENSION timescaledb; SELECT create_hypertable('prod_metrics', 'ts');";
    client.batch_execute(&format!("{AI_ORCHESTRATOR_TABLES}{hypertable}{rows}")).unwrap();
    let aggregate = |name: &str, time: &str, cpu: &str| {
        format!(
            "CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous) AS
             SELECT id, type, time_bucket('5 minutes', ts) AS {time}, avg(cpu) AS {cpu}, avg(memory) AS memory,
                 avg(disk_read) AS disk_read, avg(disk_write) AS disk_write, avg(net_rx) AS net_rx, avg(net_tx) AS net_tx
             FROM prod_metrics GROUP BY 1, 2, 3"
        )
    };
    let address = server.address().replace("user=oneaio", "user=reader");
    let level = || {
        let found = oneaio::history::timescale::reader(&address, PATIENCE).unwrap().estimates(&[VmId(91)]).unwrap();
        (found[0].1.level.cpu.round(), found[0].1.level.disk_io.unwrap().round(), found[0].1.samples)
    };
    let status = || oneaio::history::timescale::described(&address, PATIENCE).unwrap().status().unwrap();
    // one with other columns is for something else, one that the role may not read is none
    client.batch_execute(&aggregate("others", "bucket", "busy")).unwrap();
    client.batch_execute(&aggregate("prod_metrics_5m", "bucket", "cpu")).unwrap();
    assert_eq!(level(), (400.0, 524_288.0, 50));
    client.batch_execute("GRANT SELECT ON prod_metrics_5m, others TO reader").unwrap();
    assert_eq!(level(), (400.0, 524_288.0, 7));
    assert!(status().engine.contains("by the continuous aggregate prod_metrics_5m"), "{:?}", status());
    // it is the aggregate that is read: what it has not been told of yet is not known
    client.batch_execute("UPDATE prod_metrics SET cpu = 1").unwrap();
    assert_eq!(level(), (400.0, 524_288.0, 7));
    // of two that fit nobody knows which is meant
    client.batch_execute(&aggregate("\"Second\"", "ts", "cpu")).unwrap();
    client.batch_execute("GRANT SELECT ON \"Second\" TO reader").unwrap();
    assert_eq!(level(), (800.0, 524_288.0, 50));
    client.batch_execute("DROP MATERIALIZED VIEW prod_metrics_5m").unwrap();
    assert_eq!(level(), (800.0, 524_288.0, 7), "a name in capitals");
}

#[test]
fn twelve_placements_at_once_share_one_connection_of_a_pool() {
    let Some(server) = Server::start() else { return };
    let Some(pool) = Pool::start(&server) else { return };
    let samples: Vec<VmSample> =
        (0..50).flat_map(|i| [sample(91, 300 * i, 700.0), sample(92, 300 * i, 10.0)]).collect();
    let mut store = TimescaleStore::open(&pool.address(), PATIENCE).unwrap();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    let set = format!("history.store={}", pool.address());
    let hosts = [host(1).cpu(800, 100).vms(&[91]), host(2).cpu(800, 400).vms(&[92])];
    std::thread::scope(|scope| {
        for id in 0..12 {
            let (set, hosts) = (&set, &hosts);
            scope.spawn(move || {
                // what the others have answered meanwhile counts too: which host it is differs
                let xml = request(hosts, &[vm(100 + id, &[1, 2])]).xml();
                let (plan, messages) = place(&["--set", set, "--set", "history.deadline=60"], &xml);
                assert!(plan.contains("<ACTION>") && !messages.contains("WARN"), "{messages}");
            });
        }
    });
    let placements = store.placements(0).unwrap();
    assert_eq!(placements.len(), 12, "each is remembered");
}

/// What another front-end has sent, by a clock that differs from ours, stays and counts.
#[test]
fn placements_of_a_front_end_whose_clock_differs_stay() {
    use oneaio::model::history::Placement;
    use oneaio::model::ids::HostId;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    for (vm, minutes) in [(1, 10), (2, -20)] {
        let placements = [Placement { vm: VmId(vm), host: HostId(1), at: 1000 * (now + 60 * minutes) }];
        store.remember(&Sent { placements: &placements, placements_until: i64::MAX, ..Sent::default() }).unwrap();
    }
    let mut xml = request(&[host(1), host(2)], &[vm(3, &[1, 2])]);
    xml.vms.push(Vm { hosts: None, ..vm(1, &[]) });
    let (plan, messages) = place(&["--set", &set(&file)], &xml.xml());
    assert!(plan.contains("<HOST_ID>2</HOST_ID>"), "what is ten minutes ahead counts: {plan} {messages}");
    let kept: Vec<i32> = store.placements(0).unwrap().iter().map(|placement| placement.vm.0).collect();
    assert_eq!(kept, [1, 2, 3]);
}

#[test]
fn who_may_only_read_is_told_once_that_nothing_is_remembered() {
    let Some(server) = Server::start() else { return };
    let samples: Vec<VmSample> = (0..50).map(|i| sample(91, 300 * i, 700.0)).collect();
    let mut store = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    let grants = "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA oneaio TO reader;
                  GRANT SELECT ON ALL TABLES IN SCHEMA oneaio TO reader;
                  CREATE ROLE standby LOGIN SUPERUSER; ALTER ROLE standby SET default_transaction_read_only = on";
    server.client().batch_execute(grants).unwrap();
    let xml = request(&[host(1).cpu(800, 100).vms(&[91]), host(2).cpu(800, 400)], &[vm(5, &[1, 2])]).xml();
    let of_role = |role: &str| server.address().replace("user=oneaio", &format!("user={role}"));
    let standby = server.standby();
    for (role, address) in
        [("reader", of_role("reader")), ("standby", of_role("standby")), ("a standby", standby.address())]
    {
        let (plan, messages) = place(&["--set", &format!("history.store={address}")], &xml);
        assert!(plan.contains("<HOST_ID>2</HOST_ID>"), "what is known is used: {messages}");
        let warnings = messages.matches("WARN: ").count();
        assert!(warnings == 1 && messages.contains("WARN: placements are not remembered"), "{role}: {messages}");
    }
    let Err(error) = TimescaleStore::connect(&standby.address(), PATIENCE).unwrap().claim_collection("x") else {
        panic!("collects")
    };
    assert!(error.to_string().starts_with("nothing can be kept there"), "{error}");
}

#[test]
fn rights_that_are_older_than_a_table_are_enough_to_place_and_to_remember() {
    let Some(server) = Server::start() else { return };
    let mut store = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    let grants = "CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA oneaio TO worker;
                  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA oneaio TO worker;
                  REVOKE ALL ON oneaio.notes FROM worker";
    server.client().batch_execute(grants).unwrap();
    let address = server.address().replace("user=oneaio", "user=worker");
    // host 2 has had no sample for long, which is to be remembered
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let hosts = [host(1).sample(now, 10, 1 << 20), host(2).sample(now - 4000, 10, 1 << 20)];
    let xml = request(&hosts, &[vm(5, &[1, 2])]).xml();
    let place = |address: &str| place(&["--set", &format!("history.store={address}")], &xml).1;
    for _ in 0..2 {
        let messages = place(&address);
        assert_eq!(messages.matches("WARN: ").count(), 1, "{messages}");
        assert!(messages.contains("has had no sample since"), "it is not known that it was said: {messages}");
    }
    assert_eq!(store.placements(0).unwrap().len(), 1);
    // with the right to it, it is said once
    server.client().batch_execute("GRANT SELECT, INSERT, DELETE ON oneaio.notes TO worker").unwrap();
    let said = [place(&address), place(&address)].map(|messages| messages.matches("WARN: ").count());
    assert_eq!(said, [1, 0]);
}

#[test]
fn new_files_are_for_owner_and_group_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    for (umask, mode) in [("0000", 0o640), ("0022", 0o640), ("0077", 0o600)] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.db");
        let run = format!("umask {umask}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &run, env!("CARGO_BIN_EXE_oneaio"), "db", "init", "--set", &set(&file)]);
        assert!(command.status().unwrap().success());
        let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
        // and what SQLite makes beside it
        learn::absorb(&mut store, &Batch { samples: &[sample(1, 1, 1.0)], ..Batch::default() }).unwrap();
        let mut seen = 0;
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let found = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{} with umask {umask}", path.display());
            seen += 1;
        }
        assert!(seen >= 2, "the file and its log");
    }
}

/// A TCP front of a server that passes `bytes` of its answers and then drops the
/// connection, or with `slow` lets them trickle. One connection.
fn flaky(database: &Database, bytes: usize, slow: bool) -> u16 {
    use std::io::{Read, Write};
    let socket = database.socket();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let Ok((client, _)) = listener.accept() else { return };
        let backend = std::os::unix::net::UnixStream::connect(socket).unwrap();
        let (mut from_client, mut to_backend) = (client.try_clone().unwrap(), backend.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_backend));
        let (mut backend, mut client, mut byte) = (backend, client, [0_u8; 1]);
        for _ in 0..bytes {
            if backend.read(&mut byte).unwrap_or(0) == 0 || client.write_all(&byte).is_err() {
                return;
            }
            if slow {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
    port
}

#[test]
fn servers_that_fail_in_the_middle_cost_one_warning_each() {
    let Some(database) = Database::create() else { return };
    let samples: Vec<VmSample> = (0..200).map(|i| sample(i % 10, i64::from(i) * 300, 10.0)).collect();
    let mut store = TimescaleStore::open(&database.address(), PATIENCE).unwrap();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    let running: Vec<i32> = (0..10).collect();
    let xml = request(&[host(1).vms(&running)], &[vm(50, &[1])]).xml();
    // a busy machine must not make a whole answer late
    let through = |port: u16, deadline: u32| {
        let name = database.name();
        let store = format!("history.store=host=127.0.0.1 port={port} user=oneaio dbname={name} sslmode=disable");
        place(&["--set", &store, "--set", &format!("history.deadline={deadline}")], &xml)
    };
    for bytes in [0, 1, 9, 60, 200, 330, 420, 500, 700, 1000] {
        let (plan, messages) = through(flaky(&database, bytes, false), 20);
        assert!(plan.contains("<ACTION>"), "{bytes}: {messages}");
        let warnings = messages.matches("WARN: ").count();
        assert!(warnings == 1 && messages.contains("history is not used"), "dropped after {bytes}: {messages}");
        assert!(!messages.contains("fault"), "{messages}");
    }
    let (plan, messages) = through(flaky(&database, 1_000_000, true), 1);
    assert!(plan.contains("<ACTION>") && messages.contains("did not answer within 1.0 s"), "{messages}");
    let (_, messages) = through(flaky(&database, 1_000_000, false), 20);
    assert!(!messages.contains("WARN"), "{messages}");
}

#[test]
fn a_wrong_password_and_tables_of_another_form_are_told() {
    let Some(database) = Database::create() else { return };
    database.require_password("guarded");
    let mut client = database.client();
    client.batch_execute("CREATE ROLE guarded LOGIN PASSWORD 'right'").unwrap();
    let xml = request(&[host(1)], &[vm(1, &[1])]).xml();
    let with = |address: &str| place(&["--set", &format!("history.store={address}")], &xml);
    let guarded = database.address().replace("user=oneaio", "user=guarded");
    let (plan, messages) = with(&format!("{guarded} password=wrongsecret"));
    assert!(plan.contains("<ACTION>"));
    assert!(messages.contains("password authentication failed") && !messages.contains("wrongsecret"), "{messages}");
    // as libpq finds it where the address has none
    let status = |name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.args(["db", "init", "--set", &format!("history.store={guarded}")]).env_remove("PGPASSWORD");
        let output = command.env("HOME", "/nowhere").env(name, value).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    client.batch_execute(&format!("GRANT CREATE ON DATABASE {} TO guarded", database.name())).unwrap();
    assert_eq!(status("HOME", "/nowhere").0, Some(3));
    assert_eq!(status("PGPASSWORD", "right"), (Some(0), String::new()));
    let folder = tempfile::tempdir().unwrap();
    let passfile = folder.path().join("pass");
    std::fs::write(&passfile, "localhost:5432:*:guarded:right\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    let (code, messages) = status("PGPASSFILE", passfile.to_str().unwrap());
    assert!(code == Some(3) && messages.contains("others may read it"), "{messages}");
    mode(0o600);
    assert_eq!(status("PGPASSFILE", passfile.to_str().unwrap()).0, Some(0));
    client.batch_execute("DROP SCHEMA oneaio CASCADE").unwrap();

    client
        .batch_execute(
            "CREATE SCHEMA oneaio; CREATE TABLE oneaio.meta (version int); INSERT INTO oneaio.meta VALUES (1);
             CREATE TABLE oneaio.estimates AS SELECT 1 AS vm, 'much'::text AS cpu_level, 1.0::float4 AS cpu_peak,
                1.0::float8 AS cpu_deviation, 1.0::float8 AS memory_level, 1.0::float8 AS memory_peak,
                1.0::float8 AS disk_level, 1.0::float8 AS disk_peak, 1.0::float8 AS net_level, 1.0::float8 AS net_peak,
                1::bigint AS samples, 1::bigint AS last_at;",
        )
        .unwrap();
    let (plan, messages) = with(&database.address());
    assert!(plan.contains("<ACTION>") && messages.matches("WARN: ").count() == 1, "{messages}");
    assert!(messages.contains("another form") && !messages.contains("fault"), "{messages}");
}

#[test]
fn a_store_that_cannot_be_written_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    let samples: Vec<VmSample> = (0..50).map(|i| sample(91, 300 * i, 700.0)).collect();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    drop(store);
    // another process holds the right to write for as long as the test lasts
    let lock = rusqlite::Connection::open(&file).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hosts = [host(1).cpu(800, 100).vms(&[91]), host(2).cpu(800, 400)];
    let xml = request(&hosts, &[vm(5, &[1, 2])]).xml();
    let (plan, messages) = place(&["--set", &set(&file), "--set", "history.deadline=1"], &xml);
    assert!(plan.contains("<HOST_ID>2</HOST_ID>") && !messages.contains("WARN"), "{messages}");
}

/// Runs the binary as a user without any rights, if this one may become it.
fn as_nobody(folder: &Path) -> Option<Command> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !is_root {
        skip("root", "only root may become somebody else");
        return None;
    }
    let copy = folder.join("oneaio");
    std::fs::copy(env!("CARGO_BIN_EXE_oneaio"), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(copy);
    Some(command)
}

#[test]
fn a_file_of_somebody_else_is_told_or_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    let samples: Vec<VmSample> = (0..50).map(|i| sample(91, 300 * i, 700.0)).collect();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    drop(store);
    let Some(mut command) = as_nobody(folder.path()) else { return };
    let xml = request(&[host(1).cpu(800, 100).vms(&[91]), host(2).cpu(800, 400)], &[vm(5, &[1, 2])]).xml();
    std::fs::write(folder.path().join("request.xml"), &xml).unwrap();
    command.args(["place", "--set", &set(&file)]);
    let mut run = || {
        let request = std::fs::File::open(folder.path().join("request.xml")).unwrap();
        let output = command.stdin(request).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let modes = |of_folder, of_file| {
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(of_folder)).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(of_file)).unwrap();
    };
    // may be read, not written: what is known is used
    modes(0o755, 0o644);
    let (plan, messages) = run();
    assert!(plan.contains("<HOST_ID>2</HOST_ID>") && !messages.contains("history is not used"), "{messages}");
    assert!(messages.contains("WARN: placements are not remembered"), "{messages}");
    // may not even be read: one warning, and a plan from the request
    modes(0o755, 0o600);
    let (plan, messages) = run();
    assert!(plan.contains("<HOST_ID>1</HOST_ID>"), "{messages}");
    assert!(messages.matches("WARN: ").count() == 1 && messages.contains("history is not used"), "{messages}");
}

#[test]
fn the_names_of_the_ai_orchestrator_in_the_environment_name_the_database() {
    let Some(database) = Database::create() else { return };
    // its name is fixed, so no other test uses it
    let fixed = database.address().replace(&format!("dbname={}", database.name()), "dbname=postgres");
    drop(TimescaleStore::open(&fixed, PATIENCE).unwrap());
    let status = |host: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.args(["db", "status"]).env("ENVSERVER_DB_HOST", host).env("ENVSERVER_DB_USER", "oneaio");
        command.env("ENVSERVER_DB_PORT", "5432").env("ENVSERVER_DB_PASSWORD", "it's \\ secret").output().unwrap()
    };
    let socket = database.socket();
    let output = status(socket.parent().unwrap().to_str().unwrap());
    assert!(String::from_utf8_lossy(&output.stdout).contains("PostgreSQL"), "{output:?}");
    let output = status("/nowhere");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && !messages.contains("secret"), "{messages}");
}

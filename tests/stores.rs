//! Both engines of history, by the same tests: SQLite in a file, a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod postgres;

use common::{host, request, vm};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::worker::Worker;
use oneaio::history::{Archive, Batch, HistoryStore, Kind, Sent, StoreError};
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::history::{Attempts, Placement};
use oneaio::model::ids::{HostId, VmId};
use oneaio::model::sample::{Counters, HostSample, VmIdentity, VmSample};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn sample(vm: i32, at: i64, cpu: f64) -> VmSample {
    let usage = Usage { cpu, memory: 1000.0 * cpu, disk_io: Some(5.0), net_io: None };
    VmSample { vm: VmId(vm), at, usage }
}

/// What every engine must do, on an empty store that `open` opens anew each time.
fn exercise(open: &dyn Fn() -> Box<dyn HistoryStore>) {
    let mut store = open();
    assert_eq!(store.estimates(&[VmId(1)]).unwrap(), []);
    let samples: Vec<VmSample> = (0..100).map(|i| sample(7, 300 * i, 20.0)).chain([sample(8, 5, 50.0)]).collect();
    let counters = [(Kind::Vm, Counters { id: 7, at: 9, cpu: Some(1.0), ..Counters::default() })];
    let identities = [(VmId(7), VmIdentity { name: "seven".to_owned(), ..VmIdentity::default() })];
    let hosts = [HostSample { host: HostId(3), at: 60, usage: Usage { cpu: 5.0, ..Usage::default() } }; 2];
    let batch = Batch { samples: &samples, hosts: &hosts, counters: &counters, identities: &identities };
    let absorbed = learn::absorb(store.as_mut(), &batch).unwrap();
    assert_eq!((absorbed.new_samples, absorbed.vms), (101, 2));

    // the same again changes nothing, from a second connection too
    let mut other = open();
    assert_eq!(learn::absorb(other.as_mut(), &batch).unwrap().new_samples, 0);
    let found = other.estimates(&[VmId(7), VmId(8), VmId(99)]).unwrap();
    assert_eq!(found.len(), 2);
    let estimate = found.iter().find(|(vm, _)| *vm == VmId(7)).unwrap().1;
    assert!((estimate.level.cpu - 20.0).abs() < 1e-3, "{estimate:?}");
    assert!((estimate.peak.cpu / 20.0 - 1.0).abs() < 0.07, "{estimate:?}");
    assert_eq!((estimate.samples, estimate.last_at, estimate.level.net_io), (100, 29_700, None));

    // new samples move the estimate; those that stand twice in a batch count once
    let more = [sample(8, 605, 150.0), sample(8, 605, 150.0), sample(8, 305, 100.0)];
    let absorbed = learn::absorb(store.as_mut(), &Batch { samples: &more, ..Batch::default() }).unwrap();
    assert_eq!((absorbed.new_samples, absorbed.vms), (2, 1));
    let found = store.estimates(&[VmId(8)]).unwrap();
    assert!((found[0].1.level.cpu - 100.0).abs() < 0.5, "{:?}", found[0]);

    // older counters do not replace newer ones
    let older = [(Kind::Vm, Counters { id: 7, at: 3, ..Counters::default() })];
    learn::absorb(store.as_mut(), &Batch { counters: &older, ..Batch::default() }).unwrap();
    assert_eq!(store.counters(Kind::Vm).unwrap(), [counters[0].1]);
    assert_eq!(store.counters(Kind::Host).unwrap(), []);

    let place = |vm, at| Placement { vm: VmId(vm), host: HostId(4), at };
    let sent = Sent { until: 1000, ..Sent::default() };
    store.remember(&Sent { placements: &[place(1, 100), place(2, 200)], ..sent }).unwrap();
    store.remember(&Sent { placements: &[place(2, 300)], placements_since: 150, ..sent }).unwrap();
    assert_eq!(store.placements(0).unwrap(), [place(2, 300)]);
    assert_eq!(store.placements(301).unwrap(), []);

    // what was made by a clock that was ahead goes, as what is old
    let tried = |vm, failed, at| (VmId(vm), Attempts { failed, at, sequence: 4, error: "it's \"no\"".to_owned() });
    let all = [tried(1, 0, 500), tried(2, u32::MAX, 600), tried(3, 1, 2000)];
    store.remember(&Sent { placements: &[place(9, 2000)], attempts: &all, ..sent }).unwrap();
    store.remember(&Sent { attempts: &[tried(4, 2, 900)], attempts_since: 501, ..sent }).unwrap();
    assert_eq!(store.placements(0).unwrap(), [place(2, 300)]);
    let mut found = store.attempts(&[1, 2, 3, 4, 5].map(VmId)).unwrap();
    found.sort_by_key(|(vm, _)| *vm);
    assert_eq!(found, [tried(2, u32::MAX, 600), tried(4, 2, 900)]);

    // one collects; who comes meanwhile stands down
    assert!(store.claim_collection().unwrap());
    assert!(!other.claim_collection().unwrap());
    drop(store);
    let claimed = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        other.claim_collection().unwrap()
    });
    assert!(claimed, "who is gone collects no more");
    let mut store = open();

    let status = store.status().unwrap();
    assert_eq!((status.samples, status.vms, status.estimates), (103, 2, 2));
    assert_eq!((status.span, status.host_samples, status.gaps), (Some((0, 29_700)), 1, 0));
    assert_eq!(store.prune(600).unwrap(), 4);
    assert_eq!(store.status().unwrap().samples, 99);
    assert_eq!(store.estimates(&[VmId(7), VmId(8)]).unwrap().len(), 2, "estimates outlive their samples");

    // carbon by zone: the newest that is not too old and not yet to come
    assert_eq!(store.carbon(9_000, 3_600).unwrap(), []);
    assert_eq!(store.keep_carbon("BE", &[(3_600, 120.0), (7_200, 90.5), (7_200, 90.0), (10_800, 1.0)]).unwrap(), 3);
    assert_eq!(store.keep_carbon("FR", &[(0, 50.0)]).unwrap(), 1);
    assert_eq!(other.carbon(9_000, 3_600).unwrap(), [("BE".to_owned(), 90.0)]);
    assert_eq!(store.keep_carbon("BE", &[(7_200, 80.0)]).unwrap(), 3);
    assert_eq!(other.carbon(9_000, 9_001).unwrap(), [("BE".to_owned(), 80.0), ("FR".to_owned(), 50.0)]);
}

#[test]
fn sqlite_does_what_a_store_must() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    exercise(&|| Box::new(SqliteStore::open(&file, PATIENCE).unwrap()));
}

#[test]
fn postgresql_does_what_a_store_must() {
    let Some(server) = postgres::Server::start() else { return };
    exercise(&|| Box::new(TimescaleStore::open(&server.address(), PATIENCE).unwrap()));
}

#[test]
fn timescaledb_keeps_days_as_chunks_and_drops_them_whole() {
    let Some(server) = postgres::Server::start_with_timescaledb() else { return };
    server.client().batch_execute("CREATE EXTENSION timescaledb").unwrap();
    let mut store = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    let day = 86_400;
    let samples: Vec<VmSample> = (0..40).map(|i| sample(7, i * day / 4, 20.0)).collect();
    let batch = Batch { samples: &samples, ..Batch::default() };
    assert_eq!(learn::absorb(&mut store, &batch).unwrap().new_samples, 40);
    let chunks = || server.client().query_one("SELECT count(*) FROM show_chunks('oneaio.samples')", &[]).unwrap();
    assert_eq!(chunks().get::<_, i64>(0), 10);
    // late and repeated samples find compressed chunks as they find others
    server.client().batch_execute("SELECT compress_chunk(c) FROM show_chunks('oneaio.samples') c").unwrap();
    let late = [sample(7, 5, 20.0), samples[0], sample(8, 5, 1.0)];
    assert_eq!(learn::absorb(&mut store, &Batch { samples: &late, ..Batch::default() }).unwrap().new_samples, 2);
    assert_eq!(store.prune(3 * day + 5).unwrap(), 14, "three whole days");
    assert_eq!((store.status().unwrap().samples, chunks().get::<_, i64>(0)), (28, 7));
}

#[test]
fn two_collectors_at_once_count_every_sample_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let samples: Vec<VmSample> = (0..2000).map(|i| sample(i % 50, i64::from(i), 10.0)).collect();
    let work = || {
        let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
        let chunks = samples.chunks(100);
        chunks.map(|c| learn::absorb(&mut store, &Batch { samples: c, ..Batch::default() }).unwrap().new_samples).sum()
    };
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 2000);
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    let vms: Vec<VmId> = (0..50).map(VmId).collect();
    assert!(store.estimates(&vms).unwrap().iter().all(|(_, estimate)| estimate.samples == 40));
}

#[test]
fn a_file_of_the_first_version_gets_the_new_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.db");
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    learn::absorb(&mut store, &Batch { samples: &[sample(7, 300, 20.0)], ..Batch::default() }).unwrap();
    drop(store);
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(
        "DROP TABLE carbon; DROP TABLE attempts; DROP TABLE relatives; ALTER TABLE estimates DROP COLUMN trust;
         ALTER TABLE estimates DROP COLUMN class; ALTER TABLE estimates DROP COLUMN confidence;
         ALTER TABLE estimates DROP COLUMN vector; PRAGMA user_version = 1; PRAGMA wal_checkpoint",
    )
    .unwrap();
    let mut as_it_is = SqliteStore::open_read_only(&file, PATIENCE).unwrap();
    assert_eq!(as_it_is.carbon(0, 1).unwrap(), [], "an old file that is only read has no carbon, and no fault");
    assert_eq!(as_it_is.estimates(&[VmId(7)]).unwrap()[0].1.trust, 1.0);
    assert_eq!(as_it_is.relatives(&["everyone".to_owned()]).unwrap(), []);
    assert_eq!(as_it_is.attempts(&[VmId(7)]).unwrap(), []);
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    let tried = [(VmId(7), Attempts { failed: 1, at: 5, ..Attempts::default() })];
    store.remember(&Sent { attempts: &tried, until: 9, ..Sent::default() }).unwrap();
    assert_eq!(store.attempts(&[VmId(7)]).unwrap(), tried);
    assert_eq!(store.keep_carbon("BE", &[(0, 1.0)]).unwrap(), 1);
    assert_eq!(store.status().unwrap().samples, 1);
    assert_eq!(store.estimates(&[VmId(7)]).unwrap()[0].1.trust, 1.0);
}

#[test]
fn damaged_read_only_and_foreign_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(&folder.path().join(name), PATIENCE).map(|_| ());
    std::fs::write(folder.path().join("text.db"), "this is no database, but long enough to look like one").unwrap();
    assert!(matches!(open("text.db"), Err(StoreError::Corrupt(_))));
    assert!(matches!(open("no/such/folder.db"), Err(StoreError::Unreachable(_))));
    drop(SqliteStore::open(&folder.path().join("newer.db"), PATIENCE).unwrap());
    let other = rusqlite::Connection::open(folder.path().join("newer.db")).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(open("newer.db"), Err(StoreError::Schema(_))));
}

#[test]
fn a_missing_schema_names_its_remedy() {
    let Some(server) = postgres::Server::start() else { return };
    let mut store = TimescaleStore::connect(&server.address(), PATIENCE).unwrap();
    let error = store.estimates(&[VmId(1)]).unwrap_err().to_string();
    assert!(error.contains("oneaio db init"), "{error}");
    let wrong = server.address().replace("dbname=postgres", "dbname=nosuch");
    let error = TimescaleStore::connect(&wrong, PATIENCE).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("nosuch"), "{error}");
    let Err(error) = TimescaleStore::connect("postgresql://u:secret@[bad/x", PATIENCE) else { panic!("bad address") };
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn a_locked_table_costs_no_more_than_the_deadline() {
    let Some(server) = postgres::Server::start() else { return };
    drop(TimescaleStore::open(&server.address(), PATIENCE).unwrap());
    let mut client = server.client();
    let mut lock = client.transaction().unwrap();
    lock.batch_execute("LOCK TABLE oneaio.estimates").unwrap();
    let (address, deadline) = (server.address(), Duration::from_millis(300));
    let open = Box::new(move || {
        TimescaleStore::connect(&address, deadline).map(|store| Box::new(store) as Box<dyn HistoryStore>)
    });
    let worker = Worker::start(open, deadline);
    let error = worker.ask(|store| store.estimates(&[VmId(1)])).unwrap_err();
    assert!(matches!(error, StoreError::Busy | StoreError::Late(_)), "{error:?}");
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
    // the snapshots are stale: neither allocation nor samples show the first plan
    let batch = |id| request(&[host(1), host(2)], &[vm(id, &[1, 2])]).xml();
    let first = place(&["--set", &set(&file)], &batch(1)).0;
    let mut second = request(&[host(1).vms(&[1]), host(2)], &[vm(2, &[1, 2])]);
    second.vms.push(common::Vm { hosts: None, ..vm(1, &[]) });
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
    let Some(server) = postgres::Server::start_with_tls() else { return };
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
    let stranger = postgres::Server::start_with_tls().unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = connects("localhost", &format!("sslmode={mode} sslrootcert={}", stranger.root())).unwrap_err();
        assert!(error.contains("certificate"), "{mode}: {error}");
    }
    assert_eq!(connects("127.0.0.1", "sslmode=require"), Ok(()));
    assert!(connects("localhost", "sslmode=verify-full").unwrap_err().contains("sslrootcert"));
}

/// What the seed's EnvServer has written, and a role that may only read.
const SEED: &str = "
INSERT INTO prod_vms (vmid, total_cpu) VALUES ('91', 8), ('92', 4);
INSERT INTO prod_metrics SELECT '91', 1, to_timestamp(40 * i), 0.9, 512, 10, 10, 0, 0, 0 FROM generate_series(1, 50) i;
INSERT INTO prod_metrics SELECT '92', 1, to_timestamp(40 * i), 0.1, 512, 0, 0, 0, 0, 0 FROM generate_series(1, 50) i;
INSERT INTO prod_metrics SELECT '91', 0, to_timestamp(40 * i), 0.0, 1, 0, 0, 0, 0, 0 FROM generate_series(1, 50) i;
CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;";

#[test]
fn a_database_of_the_seed_is_read_as_it_is() {
    let Some(server) = postgres::Server::start() else { return };
    server.client().batch_execute(&format!("{}{SEED}", postgres::SEED_TABLES)).unwrap();
    let address = server.address().replace("user=oneaio", "user=reader");
    let mut store = oneaio::history::timescale::reader(&address, PATIENCE).unwrap();
    let found = store.estimates(&[VmId(91), VmId(92), VmId(7)]).unwrap();
    assert_eq!(found.len(), 2);
    let busy = found.iter().find(|(vm, _)| *vm == VmId(91)).unwrap().1;
    // 90 % of 8 cores, 512 MiB, 20 MiB in 40 s
    assert!((busy.level.cpu - 720.0).abs() < 1e-6 && (busy.level.memory - 524_288.0).abs() < 1e-6, "{busy:?}");
    assert!((busy.level.disk_io.unwrap() - 524_288.0).abs() < 1e-6, "{busy:?}");
    assert_eq!((busy.samples, busy.last_at), (50, 2000));
    let status = store.status().unwrap();
    assert_eq!((status.samples, status.vms), (100, 2));
    assert!(status.remarks[0].contains("CREATE INDEX ON prod_metrics (id, ts)"), "{:?}", status.remarks);
    server.client().batch_execute("CREATE INDEX ON prod_metrics (id, ts)").unwrap();
    assert_eq!(store.status().unwrap().remarks, Vec::<String>::new());
    assert!(store.remember(&Sent::default()).is_err(), "nothing is written");

    // the placement goes by it, without a warning
    let hosts = [host(1).cpu(800, 100).vms(&[91]), host(2).cpu(800, 400).vms(&[92])];
    let xml = request(&hosts, &[vm(5, &[1, 2])]).xml();
    let (plan, messages) = place(&["--set", &format!("history.store={address}")], &xml);
    assert!(plan.contains("<HOST_ID>2</HOST_ID>") && !messages.contains("WARN"), "{messages}");
}

/// A TCP front of a server that passes `bytes` of its answers and then drops the
/// connection, or with `slow` lets them trickle. One connection.
fn flaky(server: &postgres::Server, bytes: usize, slow: bool) -> u16 {
    use std::io::{Read, Write};
    let socket = server.socket();
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
    let Some(server) = postgres::Server::start() else { return };
    let samples: Vec<VmSample> = (0..200).map(|i| sample(i % 10, i64::from(i) * 300, 10.0)).collect();
    let mut store = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    learn::absorb(&mut store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    let running: Vec<i32> = (0..10).collect();
    let xml = request(&[host(1).vms(&running)], &[vm(50, &[1])]).xml();
    let through = |port: u16| {
        let store = format!("history.store=host=127.0.0.1 port={port} user=oneaio dbname=postgres sslmode=disable");
        place(&["--set", &store, "--set", "history.deadline=1"], &xml)
    };
    for bytes in [0, 1, 9, 60, 200, 330, 420, 500, 700, 1000] {
        let (plan, messages) = through(flaky(&server, bytes, false));
        assert!(plan.contains("<ACTION>"), "{bytes}: {messages}");
        let warnings = messages.matches("WARN: ").count();
        assert!(warnings == 1 && messages.contains("history is not used"), "dropped after {bytes}: {messages}");
        assert!(!messages.contains("fault"), "{messages}");
    }
    let (plan, messages) = through(flaky(&server, 1_000_000, true));
    assert!(plan.contains("<ACTION>") && messages.contains("did not answer within 1.0 s"), "{messages}");
    let (_, messages) = through(flaky(&server, 1_000_000, false));
    assert!(!messages.contains("WARN"), "{messages}");
}

#[test]
fn a_wrong_password_and_tables_of_another_form_are_told() {
    let Some(server) = postgres::Server::start() else { return };
    server.require_password("guarded");
    let mut client = server.client();
    client.batch_execute("CREATE ROLE guarded LOGIN PASSWORD 'right'").unwrap();
    let xml = request(&[host(1)], &[vm(1, &[1])]).xml();
    let with = |address: &str| place(&["--set", &format!("history.store={address}")], &xml);
    let guarded = server.address().replace("user=oneaio", "user=guarded");
    let (plan, messages) = with(&format!("{guarded} password=wrongsecret"));
    assert!(plan.contains("<ACTION>"));
    assert!(messages.contains("password authentication failed") && !messages.contains("wrongsecret"), "{messages}");

    client
        .batch_execute(
            "CREATE SCHEMA oneaio; CREATE TABLE oneaio.meta (version int); INSERT INTO oneaio.meta VALUES (1);
             CREATE TABLE oneaio.estimates AS SELECT 1 AS vm, 'much'::text AS cpu_level, 1.0::float4 AS cpu_peak,
                1.0::float8 AS cpu_deviation, 1.0::float8 AS memory_level, 1.0::float8 AS memory_peak,
                1.0::float8 AS disk_level, 1.0::float8 AS disk_peak, 1.0::float8 AS net_level, 1.0::float8 AS net_peak,
                1::bigint AS samples, 1::bigint AS last_at;",
        )
        .unwrap();
    let (plan, messages) = with(&server.address());
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
fn the_seeds_names_in_the_environment_name_the_database() {
    let Some(server) = postgres::Server::start() else { return };
    drop(TimescaleStore::open(&server.address(), PATIENCE).unwrap());
    let status = |host: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.args(["db", "status"]).env("ENVSERVER_DB_HOST", host).env("ENVSERVER_DB_USER", "oneaio");
        command.env("ENVSERVER_DB_PORT", "5432").env("ENVSERVER_DB_PASSWORD", "it's \\ secret").output().unwrap()
    };
    let socket = server.socket();
    let output = status(socket.parent().unwrap().to_str().unwrap());
    assert!(String::from_utf8_lossy(&output.stdout).contains("PostgreSQL"), "{output:?}");
    let output = status("/nowhere");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && !messages.contains("secret"), "{messages}");
}

#[test]
fn tables_of_version_3_are_read_and_get_the_table_of_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("three.db");
    drop(SqliteStore::open(&file, PATIENCE).unwrap());
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch("DROP TABLE attempts; PRAGMA user_version = 3").unwrap();
    assert_eq!(SqliteStore::open_read_only(&file, PATIENCE).unwrap().attempts(&[VmId(7)]).unwrap(), []);
    assert_eq!(SqliteStore::open(&file, PATIENCE).unwrap().attempts(&[VmId(7)]).unwrap(), []);
    let Some(server) = postgres::Server::start() else { return };
    drop(TimescaleStore::open(&server.address(), PATIENCE).unwrap());
    server.client().batch_execute("DROP TABLE oneaio.attempts; UPDATE oneaio.meta SET version = 3").unwrap();
    let tried = [(VmId(7), Attempts { failed: 1, at: 5, ..Attempts::default() })];
    let sent = Sent { attempts: &tried, until: 9, ..Sent::default() };
    // the placement path meets them as they are
    let mut as_it_is = TimescaleStore::connect(&server.address(), PATIENCE).unwrap();
    as_it_is.remember(&sent).unwrap();
    assert_eq!(as_it_is.attempts(&[VmId(7)]).unwrap(), []);
    let mut store = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    store.remember(&sent).unwrap();
    assert_eq!(store.attempts(&[VmId(7)]).unwrap(), tried);
}

//! Both engines of history, by the same tests: SQLite in a file, a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod postgres;

use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::worker::Worker;
use oneaio::history::{Batch, Collecting, Described, HistoryStore, Kind, Known, Placing, Sent, StoreError};
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::history::{Attempts, Placement};
use oneaio::model::ids::{HostId, VmId};
use oneaio::model::sample::{Counters, HostSample, VmIdentity, VmSample};
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
    let open =
        Box::new(move || TimescaleStore::connect(&address, deadline).map(|store| Box::new(store) as Box<dyn Placing>));
    let worker = Worker::start(open, deadline);
    let error = worker.ask(|store| store.estimates(&[VmId(1)])).unwrap_err();
    assert!(matches!(error, StoreError::Busy | StoreError::Late(_)), "{error:?}");
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

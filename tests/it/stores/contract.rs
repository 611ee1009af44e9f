//! Both engines of history, by the same tests: SQLite in a file, a real PostgreSQL.

use crate::support::store::{Database, Pool, Server};
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::worker::Worker;
use oneaio::history::{
    Batch, Claim, Collecting, Described, HistoryStore, Kind, Known, LEASE, Measuring, Placing, Sent, StoreError,
    Training,
};
use oneaio::learn;
use oneaio::model::demand::Usage;
use oneaio::model::history::{Attempts, Moving, Notes, Placement, Trouble, TroubleKind};
use oneaio::model::ids::{HostId, VmId};
use oneaio::model::measure::{Company, HostMeasure, Pressure};
use oneaio::model::sample::{Counters, HostSample, VmIdentity, VmSample};
use oneaio::model::units::{Cpu, Memory};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn sample(vm: i32, at: i64, cpu: f64) -> VmSample {
    let usage = Usage { cpu, memory: 1000.0 * cpu, disk_io: Some(5.0), net_io: None };
    VmSample { vm: VmId(vm), at, usage }
}

/// What every engine must do, on an empty store that `open` opens anew each time.
fn exercise(open: &dyn Fn() -> Box<dyn HistoryStore>) {
    let mut store = open();
    // there whole days are dropped, and the samples here are of one
    let whole_days = store.status().unwrap().engine.contains("TimescaleDB");
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
    let sent = Sent { until: 1000, placements_until: 1000, ..Sent::default() };
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

    // what is to be known stands in place of what was before, and stays where nothing is said of it
    let trouble = |host, at| Trouble { host: Some(HostId(host)), ..Trouble::new(TroubleKind::Unsampled, at) };
    let (cpu, memory) = (Cpu(100), Memory(1 << 40));
    let moving = Moving { vm: VmId(7), from: HostId(1), to: HostId(2), cpu, memory, until: i64::MAX };
    assert_eq!(store.notes().unwrap(), Notes::default());
    for (troubles, moving) in
        [(vec![trouble(1, 5), trouble(2, 6)], vec![moving]), (vec![trouble(2, 6)], vec![]), (vec![], vec![])]
    {
        let notes = Notes { troubles, moving, answered: 77 };
        store.remember(&Sent { notes: Some(&notes), ..sent }).unwrap();
        assert_eq!(store.notes().unwrap(), notes);
        store.remember(&sent).unwrap();
        assert_eq!(store.notes().unwrap(), notes);
    }

    // one collects; who comes meanwhile is told who that is
    assert_eq!(store.claim_collection("fe1, process 1").unwrap(), Claim::Ours);
    let Claim::Held { by, since } = other.claim_collection("fe2, process 1").unwrap() else { panic!("two collect") };
    let clock = other.progress("oned").unwrap();
    assert_eq!((by.as_str(), clock.complete), ("fe1, process 1", None));
    assert!((0..=LEASE).contains(&(clock.now - since)), "{since} {clock:?}");
    store.completed("oned", 77).unwrap();
    assert_eq!(other.progress("oned").unwrap().complete, Some(77));
    assert_eq!(other.progress("another source").unwrap().complete, None);
    store.release_collection().unwrap();
    assert_eq!(other.claim_collection("fe2, process 1").unwrap(), Claim::Ours);
    assert_eq!(other.claim_collection("fe2, process 1").unwrap(), Claim::Ours, "again, in the next round");
    other.release_collection().unwrap();

    let status = store.status().unwrap();
    assert_eq!((status.samples, status.vms, status.estimates), (103, 2, 2));
    assert_eq!((status.span, status.host_samples, status.gaps), (Some((0, 29_700)), 1, 0));
    let (gone, left) = if whole_days { (0, 103) } else { (4, 99) };
    assert_eq!(store.prune(600).unwrap(), gone);
    assert_eq!(store.status().unwrap().samples, left);
    assert_eq!(store.estimates(&[VmId(7), VmId(8)]).unwrap().len(), 2, "estimates outlive their samples");

    // what was measured of hosts: the last word counts, and days end with their samples
    assert_eq!((store.measured().unwrap(), store.pressures(0).unwrap()), (vec![], vec![]));
    let measure = |host, at, watts, pressure| HostMeasure {
        host: HostId(host),
        at,
        cpu: Some(3200.0),
        busy: None,
        watts,
        pressure,
        waiting: None,
    };
    let company = |host, day, steal| Company { vm: VmId(7), host: HostId(host), day, steps: 3, pressure: None, steal };
    let steps =
        [measure(3, 1800, None, Some(0.5)), measure(3, 300, Some(99.5), Some(0.1)), measure(4, 900, Some(1.0), None)];
    store.keep_measures(&steps, &[company(3, 0, None), company(4, 86_400, Some(2.0))]).unwrap();
    store.keep_measures(&[measure(3, 1800, None, Some(0.3))], &[company(3, 0, Some(1.0))]).unwrap();
    assert_eq!(other.measured().unwrap(), [HostId(3), HostId(4)]);
    assert_eq!(other.measures(HostId(3)).unwrap(), [steps[1], measure(3, 1800, None, Some(0.3))]);
    let pressure = Pressure { host: HostId(3), pressure: Some(0.2), waiting: None, last_at: 1800 };
    assert_eq!(other.pressures(0).unwrap(), [pressure]);
    assert_eq!(other.pressures(900).unwrap()[0].pressure, Some(0.3));
    assert_eq!(other.companies().unwrap(), [company(3, 0, Some(1.0)), company(4, 86_400, Some(2.0))]);
    store.prune(600).unwrap();
    assert_eq!((other.measures(HostId(3)).unwrap().len(), other.companies().unwrap().len()), (1, 1));

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
    let Some(database) = Database::create() else { return };
    exercise(&|| Box::new(TimescaleStore::open(&database.address(), PATIENCE).unwrap()));
}

/// A store whose lease has run out is another's, and writes no more.
fn taken_over(open: &dyn Fn() -> Box<dyn HistoryStore>, age: &dyn Fn()) {
    let (mut frozen, mut next) = (open(), open());
    assert_eq!(frozen.claim_collection("frozen").unwrap(), Claim::Ours);
    age();
    assert_eq!(next.claim_collection("next").unwrap(), Claim::Ours, "a lease ends");
    let batch = [sample(1, 300, 1.0)];
    let late = Batch { samples: &batch, ..Batch::default() };
    assert_eq!(learn::absorb(frozen.as_mut(), &late).unwrap_err(), StoreError::TakenOver);
    assert_eq!(frozen.completed("oned", 5).unwrap_err(), StoreError::TakenOver);
    assert_eq!(frozen.prune(5).unwrap_err(), StoreError::TakenOver);
    assert_eq!(next.status().unwrap().samples, 0, "nothing was kept of it");
    // what is written renews the lease
    age();
    assert_eq!(learn::absorb(next.as_mut(), &late).unwrap().new_samples, 1);
    assert!(matches!(frozen.claim_collection("frozen").unwrap(), Claim::Held { by, .. } if by == "next"));
    // giving back what is another's changes nothing
    frozen.release_collection().unwrap();
    assert!(matches!(open().claim_collection("third").unwrap(), Claim::Held { by, .. } if by == "next"));
}

#[test]
fn a_frozen_collector_loses_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    drop(SqliteStore::open(&file, PATIENCE).unwrap());
    taken_over(&|| Box::new(SqliteStore::open(&file, PATIENCE).unwrap()), &|| {
        let raw = rusqlite::Connection::open(&file).unwrap();
        raw.execute("UPDATE leases SET until = 1", []).unwrap();
    });
    let Some(server) = Server::start() else { return };
    taken_over(&|| Box::new(TimescaleStore::open(&server.address(), PATIENCE).unwrap()), &|| {
        server.client().batch_execute("UPDATE oneaio.leases SET until = 1").unwrap();
    });
}

#[test]
fn who_is_gone_collects_no_more_and_a_wrong_clock_locks_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let mut killed = SqliteStore::open(&file, PATIENCE).unwrap();
    assert_eq!(killed.claim_collection("killed").unwrap(), Claim::Ours);
    drop(killed);
    let mut next = SqliteStore::open(&file, PATIENCE).unwrap();
    assert_eq!(next.claim_collection("next").unwrap(), Claim::Ours, "its lock went with it");
    // a lease that reaches into next year
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute("UPDATE leases SET until = until + 31536000", []).unwrap();
    let mut third = SqliteStore::open(&file, PATIENCE).unwrap();
    assert_eq!(third.claim_collection("third").unwrap(), Claim::Ours);
    let Some(server) = Server::start() else { return };
    let open = || TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    assert_eq!(open().claim_collection("next").unwrap(), Claim::Ours);
    assert!(matches!(open().claim_collection("third").unwrap(), Claim::Held { .. }));
    server.client().batch_execute("UPDATE oneaio.leases SET until = until + 31536000").unwrap();
    assert_eq!(open().claim_collection("third").unwrap(), Claim::Ours);
}

/// Everything over one connection that is handed from client to client.
#[test]
fn a_pool_in_transaction_mode_does_what_a_server_does() {
    let Some(server) = Server::start() else { return };
    let Some(pool) = Pool::start(&server) else { return };
    exercise(&|| Box::new(TimescaleStore::open(&pool.address(), PATIENCE).unwrap()));
    let mut store = TimescaleStore::open(&pool.address(), PATIENCE).unwrap();
    assert_eq!(store.known().unwrap(), [VmId(7), VmId(8)]);
    assert_eq!(store.samples(VmId(8)).unwrap().last().map(|sample| sample.at), Some(605));
    // nothing of ours is left on that connection: no limit, no statement, no lock
    let mut stranger = pool.client();
    let mut one = |sql: &str| {
        let rows = stranger.simple_query(sql).unwrap();
        rows.iter().find_map(|row| match row {
            ::postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    };
    for limit in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
        assert_eq!(one(&format!("SHOW {limit}")).as_deref(), Some("0"), "{limit}");
    }
    assert_eq!(one("SELECT count(*) FROM pg_prepared_statements").as_deref(), Some("0"));
    assert_eq!(one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").as_deref(), Some("0"));
}

#[test]
fn what_is_another_programs_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.db");
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.execute_batch("CREATE TABLE vm_pool (oid INTEGER PRIMARY KEY, name TEXT); INSERT INTO vm_pool VALUES (1, 'x')")
        .unwrap();
    drop(raw);
    let before = std::fs::read(&file).unwrap();
    for open in [SqliteStore::open, SqliteStore::open_read_only] {
        let Err(error) = open(&file, PATIENCE) else { panic!("opened") };
        assert!(matches!(error, StoreError::Foreign(_)) && error.to_string().contains("another program"), "{error}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let beside = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(beside, 1, "and nothing is made beside it");

    let Some(server) = Server::start() else { return };
    server.client().batch_execute("CREATE TABLE vm_pool (oid int PRIMARY KEY, name text)").unwrap();
    let Err(error) = TimescaleStore::open(&server.address(), PATIENCE) else { panic!("opened") };
    assert!(error.to_string().contains("public.vm_pool") && error.to_string().contains("oneaio db init"), "{error}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'oneaio'";
    assert_eq!(server.client().query_one(schemas, &[]).unwrap().get::<_, i64>(0), 0);
    // on request they stand beside each other
    TimescaleStore::init(&server.address(), PATIENCE).unwrap();
    assert_eq!(TimescaleStore::open(&server.address(), PATIENCE).unwrap().known().unwrap(), []);
    // our name for a schema does not make it ours
    let change = "DROP SCHEMA oneaio CASCADE; CREATE SCHEMA oneaio; CREATE TABLE oneaio.meta (version int, x int);
                  INSERT INTO oneaio.meta VALUES (1, 1)";
    server.client().batch_execute(change).unwrap();
    for outcome in [
        TimescaleStore::open(&server.address(), PATIENCE).map(drop),
        TimescaleStore::init(&server.address(), PATIENCE).map(drop),
    ] {
        let Err(error) = outcome else { panic!("opened") };
        assert!(error.to_string().contains("its schema oneaio is another program's"), "{error}");
    }
}

#[test]
fn timescaledb_does_what_a_store_must() {
    let Some(server) = Server::start_with_timescaledb(&[]) else { return };
    // its functions may be in any schema
    server
        .client()
        .batch_execute("CREATE SCHEMA \"The Times\"; CREATE EXTENSION timescaledb SCHEMA \"The Times\"")
        .unwrap();
    exercise(&|| Box::new(TimescaleStore::open(&server.address(), PATIENCE).unwrap()));
    let status = TimescaleStore::open(&server.address(), PATIENCE).unwrap().status().unwrap();
    assert!(status.engine.contains("TimescaleDB") && status.engine.contains("1 chunks of a day"), "{status:?}");
    assert!(status.bytes > 0 && status.remarks.is_empty(), "{status:?}");
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'oneaio' AND tablename = 'samples'";
    assert_eq!(server.client().query_one(indexes, &[]).unwrap().get::<_, i64>(0), 1, "the key alone");
}

#[test]
fn a_plain_store_becomes_a_hypertable_on_request() {
    let Some(server) = Server::start_with_timescaledb(&[]) else { return };
    let open = || TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    let samples: Vec<VmSample> = (0..40).map(|i| sample(7, i * 21_600, 20.0)).collect();
    learn::absorb(&mut open(), &Batch { samples: &samples, ..Batch::default() }).unwrap();
    server.client().batch_execute("CREATE EXTENSION timescaledb").unwrap();
    let status = open().status().unwrap();
    assert!(status.engine.contains("not used") && status.remarks[0].contains("oneaio db init"), "{status:?}");
    let made = TimescaleStore::init(&server.address(), PATIENCE).unwrap();
    assert!(made.contains("a hypertable") && made.contains("compressed after a week"), "{made}");
    let status = open().status().unwrap();
    assert_eq!((status.samples, status.remarks.len()), (40, 0), "{status:?}");
    assert!(status.engine.contains("10 chunks of a day"), "{status:?}");
    assert_eq!(open().samples(VmId(7)).unwrap().len(), 40);
}

#[test]
fn timescaledb_under_the_apache_licence_keeps_chunks_without_compression() {
    let Some(server) = Server::start_with_timescaledb(&["-c", "timescaledb.license=apache"]) else { return };
    server.client().batch_execute("CREATE EXTENSION timescaledb").unwrap();
    exercise(&|| Box::new(TimescaleStore::open(&server.address(), PATIENCE).unwrap()));
    let status = TimescaleStore::open(&server.address(), PATIENCE).unwrap().status().unwrap();
    assert!(status.engine.contains("chunks of a day, 0 compressed"), "{status:?}");
    assert!(status.remarks[0].contains("not compressed"), "{status:?}");
}

/// Somebody holds one table and, once the store waits for it, wants the one that the store is changing: the server
/// ends what the store does.
fn in_the_way(server: &Server, work: impl FnOnce() -> usize + Send) -> usize {
    let mut other = server.client();
    other.batch_execute("SET deadlock_timeout = '1h'; BEGIN; LOCK oneaio.host_samples").unwrap();
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        let mut look = server.client();
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'oneaio.host_samples'::regclass";
        while look.query_one(waiting, &[]).unwrap().get::<_, i64>(0) == 0 {
            std::thread::yield_now();
        }
        other.batch_execute("LOCK oneaio.samples; COMMIT").unwrap();
        working.join().unwrap()
    })
}

#[test]
fn what_the_server_ends_for_somebody_else_is_begun_anew() {
    let Some(server) = Server::start() else { return };
    let mut store = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    let batch = |samples: &[VmSample], store: &mut TimescaleStore| {
        let hosts = [HostSample { host: HostId(3), at: samples[0].at, usage: Usage::default() }];
        let batch = Batch { samples, hosts: &hosts, ..Batch::default() };
        learn::absorb(store, &batch).unwrap().new_samples
    };
    // two of one day, one of the next
    let next = 86_400;
    assert_eq!(batch(&[sample(7, 60, 1.0), sample(7, 120, 1.0), sample(7, next, 1.0)], &mut store), 3);
    // who waited is ended after this, once for each table that somebody wants
    server.client().batch_execute("ALTER ROLE oneaio SET deadlock_timeout = '3s'").unwrap();
    let mut store = TimescaleStore::connect(&server.address(), PATIENCE).unwrap();
    let deadlocks = || {
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        server.client().query_one(sql, &[]).unwrap().get::<_, i64>(0)
    };
    assert_eq!(in_the_way(&server, || store.prune(next).unwrap()), 2);
    assert_eq!(in_the_way(&server, || batch(&[sample(7, next + 60, 1.0)], &mut store)), 1);
    assert_eq!(store.status().unwrap().samples, 2);
    // the workers of TimescaleDB may be in the way as well
    assert!(deadlocks() >= 2, "{}", deadlocks());
}

#[test]
fn who_does_not_own_the_samples_drops_them_row_by_row() {
    let Some(server) = Server::start_with_timescaledb(&[]) else { return };
    server.client().batch_execute("CREATE EXTENSION timescaledb").unwrap();
    let mut owner = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    let samples: Vec<VmSample> = (0..40).map(|i| sample(7, i * 21_600, 20.0)).collect();
    learn::absorb(&mut owner, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    let grants = "CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA oneaio TO worker;
                  GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA oneaio TO worker";
    server.client().batch_execute(grants).unwrap();
    let address = server.address().replace("user=oneaio", "user=worker");
    let mut worker = TimescaleStore::connect(&address, PATIENCE).unwrap();
    assert_eq!(worker.prune(3 * 86_400 + 5).unwrap(), 13);
    assert_eq!(owner.status().unwrap().samples, 27);
}

#[test]
fn any_name_is_kept_in_a_database_of_any_encoding() {
    let Some(server) = Server::start() else { return };
    for (name, encoding) in [("latin", "LATIN1"), ("ascii", "SQL_ASCII")] {
        let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        server.client().batch_execute(&create).unwrap();
        let address = server.address().replace("dbname=postgres", &format!("dbname={name}"));
        let mut store = TimescaleStore::open(&address, PATIENCE).unwrap();
        let who = VmIdentity { name: "データ é 🦀".to_owned(), ..VmIdentity::default() };
        let identities = [(VmId(7), who)];
        learn::absorb(&mut store, &Batch { identities: &identities, ..Batch::default() }).unwrap();
        assert_eq!(store.identities(None).unwrap(), identities, "{encoding}");
        let tried = [(VmId(7), Attempts { failed: 1, at: 5, sequence: 1, error: "не вышло".to_owned() })];
        store.remember(&Sent { attempts: &tried, until: 9, ..Sent::default() }).unwrap();
        assert_eq!(store.attempts(&[VmId(7)]).unwrap(), tried, "{encoding}");
        let groups = [("name:日本".to_owned(), oneaio::model::history::Group { vms: 3, ..Default::default() })];
        store.relate(&groups).unwrap();
        assert_eq!(store.relatives(&["name:日本".to_owned()]).unwrap(), groups, "{encoding}");
        assert_eq!(store.keep_carbon("Île", &[(0, 1.0)]).unwrap(), 1);
        assert_eq!(store.carbon(1, 2).unwrap(), [("Île".to_owned(), 1.0)], "{encoding}");
    }
}

#[test]
fn timescaledb_keeps_days_as_chunks_and_drops_them_whole() {
    let Some(server) = Server::start_with_timescaledb(&[]) else { return };
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
         ALTER TABLE estimates DROP COLUMN vector; ALTER TABLE estimates DROP COLUMN outlook; DROP TABLE progress; DROP TABLE leases;
         DROP TABLE host_measures; DROP TABLE companies; DROP TABLE notes;
         PRAGMA application_id = 0; PRAGMA user_version = 1; PRAGMA wal_checkpoint",
    )
    .unwrap();
    let mut as_it_is = SqliteStore::open_read_only(&file, PATIENCE).unwrap();
    assert_eq!(as_it_is.carbon(0, 1).unwrap(), [], "an old file that is only read has no carbon, and no fault");
    assert_eq!(as_it_is.estimates(&[VmId(7)]).unwrap()[0].1.trust, 1.0);
    assert_eq!(as_it_is.relatives(&["everyone".to_owned()]).unwrap(), []);
    assert_eq!(as_it_is.attempts(&[VmId(7)]).unwrap(), []);
    assert_eq!(as_it_is.notes().unwrap(), Notes::default());
    assert_eq!(as_it_is.companies().unwrap(), []);
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
    let Some(database) = Database::create() else { return };
    let mut store = TimescaleStore::connect(&database.address(), PATIENCE).unwrap();
    let error = store.estimates(&[VmId(1)]).unwrap_err().to_string();
    assert!(error.contains("oneaio db init"), "{error}");
    let wrong = database.address().replace(&format!("dbname={}", database.name()), "dbname=nosuch");
    let error = TimescaleStore::connect(&wrong, PATIENCE).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("nosuch"), "{error}");
    let Err(error) = TimescaleStore::connect("postgresql://u:secret@[bad/x", PATIENCE) else { panic!("bad address") };
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn a_locked_table_costs_no_more_than_the_deadline() {
    let Some(database) = Database::create() else { return };
    drop(TimescaleStore::open(&database.address(), PATIENCE).unwrap());
    let mut client = database.client();
    let mut lock = client.transaction().unwrap();
    lock.batch_execute("LOCK TABLE oneaio.estimates").unwrap();
    let (address, deadline) = (database.address(), Duration::from_millis(300));
    let open =
        Box::new(move || TimescaleStore::connect(&address, deadline).map(|store| Box::new(store) as Box<dyn Placing>));
    let worker = Worker::start(open, deadline);
    let error = worker.ask(|store| store.estimates(&[VmId(1)])).unwrap_err();
    assert!(matches!(error, StoreError::Busy | StoreError::Late(_)), "{error:?}");
}

#[test]
fn what_cannot_be_remembered_leaves_the_connection_as_it_was() {
    let Some(database) = Database::create() else { return };
    drop(TimescaleStore::open(&database.address(), PATIENCE).unwrap());
    let mut store = TimescaleStore::connect(&database.address(), Duration::from_millis(300)).unwrap();
    let placements = [Placement { vm: VmId(7), host: HostId(1), at: 5 }];
    let tried = [(VmId(7), Attempts { failed: 1, at: 5, ..Attempts::default() })];
    let sent = Sent { placements: &placements, attempts: &tried, until: 9, placements_until: 9, ..Sent::default() };
    let notes = Notes { troubles: vec![Trouble::new(TroubleKind::Clock, 5)], ..Notes::default() };
    let sent = Sent { notes: Some(&notes), ..sent };
    for table in ["placements", "attempts", "notes"] {
        let mut client = database.client();
        let mut lock = client.transaction().unwrap();
        lock.batch_execute(&format!("LOCK TABLE oneaio.{table}")).unwrap();
        assert_eq!(store.remember(&sent), Err(StoreError::Busy), "{table}");
        lock.rollback().unwrap();
        assert_eq!((store.placements(0), store.attempts(&[VmId(7)])), (Ok(vec![]), Ok(vec![])), "all or nothing");
    }
    store.remember(&sent).unwrap();
    assert_eq!(store.placements(0).unwrap(), placements);
    assert_eq!(store.attempts(&[VmId(7)]).unwrap(), tried);
}

#[test]
fn tables_of_version_3_are_read_and_get_the_table_of_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("three.db");
    drop(SqliteStore::open(&file, PATIENCE).unwrap());
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch("DROP TABLE attempts; DROP TABLE notes; PRAGMA user_version = 3").unwrap();
    assert_eq!(SqliteStore::open_read_only(&file, PATIENCE).unwrap().attempts(&[VmId(7)]).unwrap(), []);
    assert_eq!(SqliteStore::open(&file, PATIENCE).unwrap().attempts(&[VmId(7)]).unwrap(), []);
    let Some(database) = Database::create() else { return };
    drop(TimescaleStore::open(&database.address(), PATIENCE).unwrap());
    let old = "DROP TABLE oneaio.attempts; DROP TABLE oneaio.notes; UPDATE oneaio.meta SET version = 3";
    database.client().batch_execute(old).unwrap();
    let tried = [(VmId(7), Attempts { failed: 1, at: 5, ..Attempts::default() })];
    let notes = Notes { troubles: vec![Trouble::new(TroubleKind::Clock, 5)], ..Notes::default() };
    let sent = Sent { attempts: &tried, notes: Some(&notes), until: 9, ..Sent::default() };
    // the placement path meets them as they are
    let mut as_it_is = TimescaleStore::connect(&database.address(), PATIENCE).unwrap();
    as_it_is.remember(&sent).unwrap();
    assert_eq!(as_it_is.attempts(&[VmId(7)]).unwrap(), []);
    assert_eq!(as_it_is.notes().unwrap(), Notes::default());
    let mut store = TimescaleStore::open(&database.address(), PATIENCE).unwrap();
    store.remember(&sent).unwrap();
    assert_eq!(store.attempts(&[VmId(7)]).unwrap(), tried);
    assert_eq!(store.notes().unwrap(), notes);
}

#[test]
fn a_store_of_version_4_gets_the_tables_of_collecting_and_the_mark() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("four.db");
    drop(SqliteStore::open(&file, PATIENCE).unwrap());
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch("DROP TABLE progress; DROP TABLE leases; PRAGMA application_id = 0; PRAGMA user_version = 4")
        .unwrap();
    assert_eq!(SqliteStore::open_read_only(&file, PATIENCE).unwrap().estimates(&[VmId(7)]).unwrap(), []);
    let mut store = SqliteStore::open(&file, PATIENCE).unwrap();
    assert_eq!(store.progress("oned").unwrap().complete, None);
    let mark: i64 = old.query_row("PRAGMA application_id", [], |row| row.get(0)).unwrap();
    assert_eq!(mark, 0x6f61_696f);
    let Some(server) = Server::start() else { return };
    drop(TimescaleStore::open(&server.address(), PATIENCE).unwrap());
    let older = "DROP TABLE oneaio.progress, oneaio.leases, oneaio.host_measures, oneaio.companies; COMMENT ON TABLE oneaio.meta IS NULL;
                 UPDATE oneaio.meta SET version = 4";
    server.client().batch_execute(older).unwrap();
    // the placement path meets it as it is
    let tried = [(VmId(7), Attempts { failed: 1, at: 5, ..Attempts::default() })];
    let sent = Sent { attempts: &tried, until: 9, ..Sent::default() };
    let mut as_it_is = TimescaleStore::connect(&server.address(), PATIENCE).unwrap();
    as_it_is.remember(&sent).unwrap();
    assert_eq!((as_it_is.measured().unwrap(), as_it_is.companies().unwrap()), (vec![], vec![]));
    let mut store = TimescaleStore::open(&server.address(), PATIENCE).unwrap();
    assert_eq!(store.progress("oned").unwrap().complete, None);
    assert_eq!(store.attempts(&[VmId(7)]).unwrap(), tried);
}

/// What is replaced and what is forgotten, on an empty store.
fn replaced_and_forgotten(store: &mut dyn HistoryStore) {
    let group = |vms: i64| oneaio::model::history::Group { vms, ..Default::default() };
    let keys = ["flavour:web".to_owned(), "flavour:db".to_owned()];
    store.relate(&[(keys[0].clone(), group(3))]).unwrap();
    store.relate(&[(keys[0].clone(), group(4)), (keys[1].clone(), group(1))]).unwrap();
    let mut found = store.relatives(&keys).unwrap();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, [(keys[1].clone(), group(1)), (keys[0].clone(), group(4))]);
    // a group that has no member any more is gone
    store.relate(&[(keys[1].clone(), group(2))]).unwrap();
    assert_eq!(store.relatives(&keys).unwrap(), [(keys[1].clone(), group(2))]);

    let attempt = |at: i64| Attempts { failed: 1, at, sequence: 2, error: "no".to_owned() };
    let sent = |vm: i32, at: i64| Placement { vm: VmId(vm), host: HostId(1), at };
    let (attempts, placements) = ([(VmId(1), attempt(10)), (VmId(2), attempt(20))], [sent(1, 10), sent(2, 20)]);
    let bounds = |since: i64, until: i64| Sent {
        placements_since: since,
        placements_until: until,
        attempts_since: since,
        until,
        ..Sent::default()
    };
    store.remember(&Sent { attempts: &attempts, placements: &placements, ..bounds(0, 100) }).unwrap();
    let mut known = |since: i64, until: i64| {
        store.remember(&bounds(since, until)).unwrap();
        let attempts = store.attempts(&[VmId(1), VmId(2)]).unwrap().into_iter().map(|(vm, _)| vm.0);
        let mut known = (attempts.collect::<Vec<_>>(), Vec::new());
        known.1.extend(store.placements(0).unwrap().into_iter().map(|placement| placement.vm.0));
        known.0.sort_unstable();
        known.1.sort_unstable();
        known
    };
    // what is as old as that stays, and what is of that very moment
    assert_eq!(known(10, 20), (vec![1, 2], vec![1, 2]));
    assert_eq!(known(11, 20), (vec![2], vec![2]));
    assert_eq!(known(0, 19), (vec![], vec![]), "of a clock that was wrong");
}

#[test]
fn groups_are_replaced_and_what_is_too_old_or_of_the_future_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    replaced_and_forgotten(&mut SqliteStore::open(&folder.path().join("history.db"), PATIENCE).unwrap());
    let Some(database) = Database::create() else { return };
    replaced_and_forgotten(&mut TimescaleStore::open(&database.address(), PATIENCE).unwrap());
}

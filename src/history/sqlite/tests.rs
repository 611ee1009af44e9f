//! What is kept in a file comes back, and what is forgotten does not.

use super::*;
use crate::history::{Claim, Collecting, Described, Known, LEASE, Learnt, Placing, Sent, Training};
use crate::model::demand::Usage;
use crate::model::history::{Attempts, Estimate, Placement, Usual};
use crate::model::ids::HostId;
use crate::model::sketch::Sketch;

fn store() -> SqliteStore {
    SqliteStore::open(Path::new(":memory:"), Duration::from_secs(1)).unwrap()
}

fn learnt() -> Learnt {
    let estimate = Estimate {
        level: Usage::default(),
        peak: Usage::default(),
        usual: Usual::default(),
        cpu_deviation: 0.0,
        sketch: Sketch::default(),
        trust: 1.0,
        class: None,
        samples: 1,
        last_at: 0,
    };
    Learnt { estimate, vectors: Vec::new(), state: vec![1] }
}

#[test]
fn placements_and_attempts_are_forgotten_before_and_after_a_moment() {
    let mut store = store();
    let placed = |vm: i32, at: i64| Placement { vm: VmId(vm), host: HostId(vm + 10), at };
    let failed = |vm: i32, at: i64| (VmId(vm), Attempts { failed: 2, at, sequence: 7, error: "no route".to_owned() });
    let sent = Sent { placements_until: i64::MAX, until: i64::MAX, ..Sent::default() };
    let (placements, attempts) =
        ([1, 2, 3, 4].map(|at| placed(5 - at, i64::from(at))), [1, 2, 3, 4].map(|at| failed(at, i64::from(at))));
    store.remember(&Sent { placements: &placements, attempts: &attempts, ..sent }).unwrap();
    assert_eq!(store.placements(3), Ok(vec![placed(1, 4), placed(2, 3)]));
    assert_eq!(store.attempts(&[VmId(4), VmId(9), VmId(1)]), Ok(vec![failed(4, 4), failed(1, 1)]));
    let more = [placed(3, 9)];
    store
        .remember(&Sent {
            placements: &more,
            placements_since: 2,
            placements_until: 3,
            attempts_since: 3,
            until: 3,
            ..Sent::default()
        })
        .unwrap();
    // VM 3 was placed again
    assert_eq!(store.placements(0), Ok(vec![placed(2, 3), placed(3, 9)]));
    let left = store.attempts(&[1, 2, 3, 4].map(VmId)).unwrap();
    assert_eq!(left, [failed(3, 3)]);
    store.connection.execute("DROP TABLE attempts", []).unwrap();
    assert_eq!(store.attempts(&[VmId(3)]), Ok(vec![]), "an older file has none");
    assert!(Placing::collecting(&mut store).is_some());
}

#[test]
fn the_newest_carbon_of_a_zone_counts_while_it_is_young() {
    let mut store = store();
    assert_eq!(store.keep_carbon("b", &[(100, 5.0), (200, 6.0), (300, 7.0)]), Ok(3));
    assert_eq!(store.keep_carbon("b", &[(200, 6.5)]), Ok(3));
    assert_eq!(store.keep_carbon("a", &[(150, 9.0)]), Ok(1));
    let carbon = |store: &mut SqliteStore, at: i64, age: i64| {
        let found = store.carbon(at, age).unwrap();
        found.into_iter().map(|(zone, grams)| format!("{zone} {grams}")).collect::<Vec<_>>()
    };
    assert_eq!(carbon(&mut store, 200, 100), ["a 9", "b 6.5"]);
    assert_eq!(carbon(&mut store, 299, 100), ["b 6.5"]);
    assert_eq!(carbon(&mut store, 300, 100), ["b 7"]);
    // as old as it may be is too old
    assert_eq!(carbon(&mut store, 250, 100), ["b 6.5"]);
    assert_eq!(carbon(&mut store, 99, 100), Vec::<String>::new());
    store.connection.execute("DROP TABLE carbon", []).unwrap();
    assert_eq!(carbon(&mut store, 200, 100), Vec::<String>::new());
    assert_eq!(store.status().unwrap().carbon, []);
}

#[test]
fn progress_is_kept_by_source() {
    let mut store = store();
    assert_eq!(store.progress("oned").unwrap().complete, None);
    store.completed("oned", 77).unwrap();
    store.completed("oned", 78).unwrap();
    store.completed("other", 5).unwrap();
    let found = store.progress("oned").unwrap();
    assert!(found.complete == Some(78) && found.now > 1_700_000_000, "{found:?}");
    // in memory there is nobody else
    assert_eq!((store.claim_collection("a"), store.claim_collection("b")), (Ok(Claim::Ours), Ok(Claim::Ours)));
    assert_eq!(store.release_collection(), Ok(()));
}

#[test]
fn one_process_collects_and_who_is_gone_or_silent_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let open = || SqliteStore::open(&file, Duration::from_secs(1)).unwrap();
    let (mut first, mut second) = (open(), open());
    assert_eq!(first.claim_collection("a"), Ok(Claim::Ours));
    assert_eq!(first.claim_collection("a"), Ok(Claim::Ours), "asked again");
    let held = second.claim_collection("b").unwrap();
    assert!(matches!(&held, Claim::Held { by, since } if by == "a" && *since > 1_700_000_000), "{held:?}");
    // who has written nothing for the whole lease counts as gone, and learns so when it writes again
    let until = |store: &SqliteStore, until: i64| {
        store.connection.execute("UPDATE leases SET until = ?1", [until]).unwrap();
    };
    let lease = |store: &SqliteStore| -> (String, i64) {
        let sql = "SELECT holder, until - since FROM leases";
        store.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert_eq!(lease(&first), ("a".to_owned(), LEASE));
    until(&first, 5);
    first.completed("oned", 1).unwrap();
    assert!(matches!(second.claim_collection("b"), Ok(Claim::Held { .. })), "writing renews the lease");
    until(&first, 5);
    assert_eq!(second.claim_collection("b"), Ok(Claim::Ours));
    assert_eq!(first.completed("oned", 2), Err(StoreError::TakenOver));
    assert_eq!(first.progress("oned").unwrap().complete, Some(1), "nothing of it was kept");
    // a moment beyond a whole lease was written by a wrong clock
    until(&second, i64::MAX);
    assert_eq!(open().claim_collection("c"), Ok(Claim::Ours));
    // who gives it back leaves it to the next
    let mut last = open();
    drop((first, second));
    assert!(matches!(last.claim_collection("d"), Ok(Claim::Held { by, .. }) if by == "c"), "it never had the lock");
    until(&last, 5);
    assert_eq!(last.claim_collection("d"), Ok(Claim::Ours));
    last.release_collection().unwrap();
    let leases: i64 = last.connection.query_row("SELECT count(*) FROM leases", [], |row| row.get(0)).unwrap();
    assert_eq!(leases, 0, "given back");
    let mut next = open();
    assert_eq!(next.claim_collection("e"), Ok(Claim::Ours));
    assert_eq!(lease(&next).0, "e");
    // whose lock is free is gone, however long its lease
    drop(next);
    assert_eq!(last.claim_collection("f"), Ok(Claim::Ours));
}

#[test]
fn files_of_others_and_of_other_versions_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, sql: &str| {
        let path = folder.path().join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    };
    let open = |path: &Path| SqliteStore::open(path, Duration::from_secs(1)).map(drop);
    let read = |path: &Path| SqliteStore::open_read_only(path, Duration::from_secs(1)).map(drop);
    let other = file("other.db", "CREATE TABLE samples (a); CREATE TABLE b (a);");
    let told = format!(
        "{} is a database of another program and was left as it is: name another file in `history.store`",
        other.display()
    );
    assert_eq!((open(&other), read(&other)), (Err(StoreError::Foreign(told.clone())), Err(StoreError::Foreign(told))));
    let marked = file("marked.db", "PRAGMA application_id = 5;");
    assert!(matches!(open(&marked), Err(StoreError::Foreign(_))));
    // nobody's yet
    let empty = file("empty.db", "");
    assert_eq!(open(&empty), Ok(()));
    let next = VERSION + 1;
    let newer = format!("its schema is version {next}, this oneaio knows {VERSION}: install the newer oneaio");
    let path =
        file("newer.db", &format!("{SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {next};"));
    assert_eq!((open(&path), read(&path)), (Err(StoreError::Schema(newer.clone())), Err(StoreError::Schema(newer))));
    let none = format!("its schema is version 0, this oneaio wants {VERSION}: run `oneaio db init`");
    let path = file("none.db", &format!("PRAGMA application_id = {APPLICATION};"));
    assert_eq!(read(&path), Err(StoreError::Schema(none)));
    assert!(matches!(read(&folder.path().join("gone.db")), Err(StoreError::Unreachable(_))));
    std::fs::write(folder.path().join("text.db"), "no database at all, but a text that is long enough").unwrap();
    assert!(matches!(open(&folder.path().join("text.db")), Err(StoreError::Corrupt(_))));
    assert_eq!(uri(Path::new("/a?b#c%d")), "file:/a%3fb%23c%25d");
}

#[test]
fn older_files_are_read_as_they_are_and_migrated_when_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let of_version = |version: i64, columns: &str| {
        let path = folder.path().join(format!("{version}.db"));
        let tables = format!(
            "CREATE TABLE samples (vm INTEGER NOT NULL, at INTEGER NOT NULL, cpu REAL, memory REAL, disk REAL, net REAL,
                 PRIMARY KEY (vm, at)) WITHOUT ROWID;
             CREATE TABLE estimates (vm INTEGER PRIMARY KEY, cpu_level REAL NOT NULL, cpu_peak REAL NOT NULL,
                 cpu_deviation REAL NOT NULL, memory_level REAL NOT NULL, memory_peak REAL NOT NULL, disk_level REAL,
                 disk_peak REAL, net_level REAL, net_peak REAL, samples INTEGER NOT NULL, last_at INTEGER NOT NULL,
                 state BLOB NOT NULL{columns});
             CREATE TABLE counters (kind INTEGER NOT NULL, id INTEGER NOT NULL, at INTEGER NOT NULL, cpu REAL, memory REAL,
                 disk REAL, net REAL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
             CREATE TABLE identities (vm INTEGER PRIMARY KEY, identity TEXT NOT NULL);
             INSERT INTO estimates (vm, cpu_level, cpu_peak, cpu_deviation, memory_level, memory_peak, samples, last_at, state)
                 VALUES (5, 1, 2, 3, 4, 5, 6, 7, x'00');
             PRAGMA user_version = {version};"
        );
        Connection::open(&path).unwrap().execute_batch(&tables).unwrap();
        path
    };
    let later = ", trust REAL NOT NULL DEFAULT 1, class INTEGER, confidence REAL, vector TEXT";
    for (version, columns) in [(1, ""), (2, ""), (3, later), (5, later)] {
        let path = of_version(version, columns);
        let told = |store: &mut SqliteStore| {
            let found = store.estimates(&[VmId(5)]).unwrap()[0].1;
            (found.level.cpu, found.trust, found.class, found.samples, found.sketch)
        };
        let expected = (1.0, 1.0, None, 6, Sketch::default());
        let mut read = SqliteStore::open_read_only(&path, Duration::from_secs(1)).unwrap();
        assert_eq!(told(&mut read), expected, "{version}");
        assert_eq!((read.relatives(&[]).is_ok() || version > 2, read.attempts(&[VmId(5)])), (true, Ok(vec![])));
        drop(read);
        let mut migrated = SqliteStore::open(&path, Duration::from_secs(1)).unwrap();
        assert_eq!((told(&mut migrated), migrated.version()), (expected, Ok(VERSION)), "{version}");
        migrated.revise(&[(VmId(5), learnt())]).unwrap();
        assert_eq!(migrated.relatives(&[]), Ok(vec![]));
    }
}

#[test]
fn a_new_file_is_for_its_owner_and_group_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    drop(SqliteStore::open(&path, Duration::from_secs(1)).unwrap());
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode() & !MODE, 0, "{:o}", mode());
    // the mode of one that is there stays
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    drop(SqliteStore::open(&path, Duration::from_secs(1)).unwrap());
    assert_eq!(mode(), 0o600);
    assert!(matches!(
        SqliteStore::open(&folder.path().join("no/such"), Duration::ZERO),
        Err(StoreError::Unreachable(_))
    ));
}

fn pragma(connection: &Connection, name: &str) -> i64 {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn a_lock_is_waited_for_as_long_as_agreed_and_a_commit_for_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let patience = Duration::from_millis(1234);
    let store = SqliteStore::open(&file, patience).unwrap();
    assert_eq!((pragma(&store.connection, "busy_timeout"), pragma(&store.connection, "synchronous")), (1234, 1));
    let journal: String = store.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
    let store = SqliteStore::open_read_only(&file, patience).unwrap();
    assert_eq!(pragma(&store.connection, "busy_timeout"), 1234);
}

#[test]
fn where_the_files_beside_it_cannot_be_made_the_file_itself_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    SqliteStore::open(&file, Duration::ZERO).unwrap().revise(&[(VmId(5), learnt())]).unwrap();
    std::fs::create_dir(folder.path().join("history.db-shm")).unwrap();
    let mut store = SqliteStore::open_read_only(&file, Duration::ZERO).unwrap();
    assert_eq!(store.known(), Ok(vec![VmId(5)]));
}

#[test]
fn whose_a_file_is_shows_in_its_mark_or_in_all_four_tables_of_old() {
    let ours = ["samples", "estimates", "counters", "identities"];
    for (mark, version, tables, expected) in [
        (0, 0, &[][..], Owner::Ours),
        (APPLICATION, 0, &["other"], Owner::Ours),
        (0, 1, &ours, Owner::Ours),
        (0, 0, &ours, Owner::Foreign),
        (5, 1, &ours, Owner::Foreign),
        (5, 0, &[], Owner::Foreign),
        (0, 1, &ours[..3], Owner::Foreign),
        (0, 1, &["other"], Owner::Foreign),
    ] {
        let connection = Connection::open_in_memory().unwrap();
        let made: String = tables.iter().map(|name| format!("CREATE TABLE {name} (a);")).collect();
        let sql = format!("PRAGMA application_id = {mark}; PRAGMA user_version = {version}; {made}");
        connection.execute_batch(&sql).unwrap();
        assert_eq!(owner(&connection), Ok(expected), "{mark} {version} {tables:?}");
    }
}

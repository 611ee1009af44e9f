//! Each number that is kept comes back as it was, from both engines, by the same tests.

use crate::support::store::Database;
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::{
    Absorbed, Batch, Collecting, HistoryStore, Kind, Learnt, Measuring, Placing, Sent, StoreError, Training,
};
use oneaio::model::demand::{Class, Usage};
use oneaio::model::history::{Attempts, Estimate, Group, Placement, Usual};
use oneaio::model::ids::{HostId, VmId};
use oneaio::model::measure::{Company, HostMeasure, Pressure};
use oneaio::model::sample::{Counters, HostSample, VmIdentity, VmSample};
use oneaio::model::sketch::Sketch;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Holds an empty store of each engine to a test.
fn each_engine(test: fn(&mut dyn HistoryStore)) {
    let folder = tempfile::tempdir().unwrap();
    test(&mut SqliteStore::open(&folder.path().join("history.db"), PATIENCE).unwrap());
    let Some(database) = Database::create() else { return };
    test(&mut TimescaleStore::open(&database.address(), PATIENCE).unwrap());
}

fn sample(vm: i32, at: i64) -> VmSample {
    let usage = Usage { cpu: 1.5, memory: 2.5, disk_io: Some(3.5), net_io: None };
    VmSample { vm: VmId(vm), at, usage }
}

/// Each number is another one.
fn learnt(state: &[u8], class: Option<Class>) -> Learnt {
    let usage =
        |base: f64| Usage { cpu: base, memory: base + 0.125, disk_io: Some(base + 0.25), net_io: Some(base + 0.5) };
    let estimate = Estimate {
        level: usage(1.0),
        peak: Usage { disk_io: None, ..usage(2.0) },
        usual: Usual { level: usage(3.0), peak: usage(4.0) },
        cpu_deviation: 5.0,
        sketch: Sketch::common(6.0),
        trust: 0.75,
        class,
        samples: 77,
        last_at: 1234,
    };
    Learnt { estimate, vectors: vec![("kmeans".to_owned(), vec![0.5, 1.0])], state: state.to_vec() }
}

#[test]
fn each_sample_counts_once_and_is_learnt_with_the_state_before() {
    each_engine(|store| {
        let mut told = Vec::new();
        let mut absorb = |samples: &[VmSample]| {
            let batch = Batch { samples, ..Batch::default() };
            store.absorb(&batch, &mut |vm, state, fresh| {
                told.push((vm.0, state.map(<[u8]>::to_vec), fresh.iter().map(|one| one.at).collect::<Vec<_>>()));
                learnt(&[vm.0 as u8, fresh.len() as u8], None)
            })
        };
        let absorbed = |new_samples, vms| Ok(Absorbed { new_samples, vms });
        assert_eq!(absorb(&[sample(2, 30), sample(1, 20), sample(2, 10), sample(2, 30)]), absorbed(3, 2));
        assert_eq!(absorb(&[sample(2, 30), sample(2, 40)]), absorbed(1, 1));
        assert_eq!(absorb(&[sample(2, 40)]), absorbed(0, 0));
        assert_eq!(absorb(&[]), absorbed(0, 0));
        assert_eq!(told, [(1, None, vec![20]), (2, None, vec![10, 30]), (2, Some(vec![2, 2]), vec![40])]);
        assert_eq!(store.samples(VmId(2)), Ok(vec![sample(2, 10), sample(2, 30), sample(2, 40)]));
        assert_eq!(store.known(), Ok(vec![VmId(1), VmId(2)]));
        // a few of many VMs, far apart, are looked up one by one: the first and the last are known
        let far = |vm: i32| sample(vm, i64::from(vm) * 10_000_000);
        let mut absorb = |from: i32, to: i32| {
            let samples: Vec<VmSample> = (from..to).map(far).collect();
            store.absorb(&Batch { samples: &samples, ..Batch::default() }, &mut |_, _, _| learnt(&[1], None))
        };
        assert_eq!(absorb(11, 12), absorbed(1, 1));
        assert_eq!(absorb(15, 16), absorbed(1, 1));
        assert_eq!(absorb(11, 16), absorbed(3, 3));
        assert_eq!(store.samples(VmId(13)), Ok(vec![far(13)]));
    });
}

#[test]
fn estimates_states_and_vectors_come_back() {
    each_engine(|store| {
        let class = Some(Class { number: 3, confidence: 0.625 });
        let all = [(VmId(1), learnt(&[7], class)), (VmId(2), Learnt { vectors: vec![], ..learnt(&[8], None) })];
        store.revise(&all).unwrap();
        let mut found = store.estimates(&[VmId(2), VmId(5), VmId(1)]).unwrap();
        found.sort_by_key(|(vm, _)| *vm);
        assert_eq!(found, [(VmId(1), all[0].1.estimate), (VmId(2), all[1].1.estimate)]);
        assert_eq!(store.states(&[VmId(1), VmId(5)]), Ok(vec![(VmId(1), all[0].1.estimate, vec![7])]));
        assert_eq!(store.vectors(&[VmId(1), VmId(2)]), Ok(vec![(VmId(1), all[0].1.vectors.clone())]));
        store.revise(&[(VmId(1), learnt(&[9], None))]).unwrap();
        assert_eq!(store.states(&[VmId(1)]), Ok(vec![(VmId(1), learnt(&[9], None).estimate, vec![9])]));
        assert_eq!(store.known(), Ok(vec![VmId(1), VmId(2)]));
    });
}

#[test]
fn the_newest_counters_and_identities_are_kept_by_kind_and_id() {
    each_engine(|store| {
        let one =
            |id: i32, at: i64| Counters { id, at, cpu: Some(1.0), memory: Some(2.0), disk: Some(at as f64), net: None };
        let named = |name: &str| VmIdentity { name: name.to_owned(), cpu: 100, ..VmIdentity::default() };
        let mut keep = |counters: &[(Kind, Counters)], identities: &[(VmId, VmIdentity)]| {
            let batch = Batch { counters, identities, ..Batch::default() };
            store.absorb(&batch, &mut |_, _, _| learnt(&[], None)).unwrap();
        };
        let first = [(Kind::Vm, one(5, 18)), (Kind::Vm, one(5, 20)), (Kind::Vm, one(3, 9)), (Kind::Host, one(5, 7))];
        keep(&first, &[(VmId(5), named("a"))]);
        keep(&[(Kind::Vm, one(5, 19)), (Kind::Vm, one(3, 10))], &[(VmId(5), named("b")), (VmId(4), named("c"))]);
        // of the same moment that which was there
        keep(&[(Kind::Vm, Counters { cpu: Some(9.0), ..one(5, 20) })], &[]);
        assert_eq!(store.counters(Kind::Vm), Ok(vec![one(3, 10), one(5, 20)]));
        assert_eq!((store.counters(Kind::Host), store.counters(Kind::Told)), (Ok(vec![one(5, 7)]), Ok(vec![])));
        let (b, c) = ((VmId(5), named("b")), (VmId(4), named("c")));
        assert_eq!(store.identities(None), Ok(vec![c, b.clone()]));
        assert_eq!(store.identities(Some(&[VmId(5), VmId(6)])), Ok(vec![b]));
        assert_eq!(store.identities(Some(&[])), Ok(vec![]));
    });
}

#[test]
fn relatives_are_all_sizes_by_their_members_and_the_groups_that_are_asked_for() {
    each_engine(|store| {
        let group = |key: &str, vms: i64| (key.to_owned(), Group { vms, shrink: 0.5, ..Group::default() });
        let all = [group("size:1/1", 2), group("everyone", 9), group("size:2/2", 5), group("name:é", 4)];
        store.relate(&all).unwrap();
        let mut found = store.relatives(&["name:é", "size:1/1", "image:4"].map(str::to_owned)).unwrap();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, [group("name:é", 4), group("size:1/1", 2), group("size:2/2", 5)]);
        // of more sizes than are handed out the largest
        let sizes: Vec<(String, Group)> = (0..1001).map(|i| group(&format!("size:{i}/1"), i)).collect();
        store.relate(&sizes).unwrap();
        let found = store.relatives(&[]).unwrap();
        assert_eq!((found.len(), found.iter().any(|(_, group)| group.vms == 0)), (1000, false));
    });
}

#[test]
fn what_was_sent_comes_back_until_it_is_replaced() {
    each_engine(|store| {
        let placed = |vm: i32, at: i64| Placement { vm: VmId(vm), host: HostId(vm + 10), at };
        let failed = |vm: i32, failed: u32, error: &str| {
            (VmId(vm), Attempts { failed, at: 5, sequence: 7, error: error.to_owned() })
        };
        let sent = Sent { placements_until: i64::MAX, until: i64::MAX, ..Sent::default() };
        let (placements, attempts) = ([placed(4, 1), placed(2, 3)], [failed(2, 2, "no é"), failed(1, 0, "")]);
        store.remember(&Sent { placements: &placements, attempts: &attempts, ..sent }).unwrap();
        store.remember(&Sent { placements: &[placed(4, 9)], attempts: &[failed(2, 3, "")], ..sent }).unwrap();
        assert_eq!(store.placements(0), Ok(vec![placed(2, 3), placed(4, 9)]));
        assert_eq!((store.placements(3).unwrap().len(), store.placements(4).unwrap().len()), (2, 1));
        let mut found = store.attempts(&[VmId(2), VmId(9), VmId(1)]).unwrap();
        found.sort_by_key(|(vm, _)| *vm);
        assert_eq!(found, [failed(1, 0, ""), failed(2, 3, "")]);
        assert!(Placing::collecting(store).is_some());
    });
}

#[test]
fn what_others_measured_comes_back_by_host_and_moment() {
    each_engine(|store| {
        let measure = |host: i32, at: i64, pressure: Option<f64>, waiting: Option<f64>| HostMeasure {
            host: HostId(host),
            at,
            cpu: Some(800.0),
            busy: Some(0.5),
            watts: Some(120.0),
            pressure,
            waiting,
        };
        let company = |vm: i32, host: i32, day: i64| Company {
            vm: VmId(vm),
            host: HostId(host),
            day,
            steps: 96,
            pressure: Some(0.25),
            steal: Some(1.5),
        };
        let hosts = [
            measure(7, 20, Some(0.5), None),
            measure(7, 10, Some(0.25), Some(2.0)),
            measure(3, 10, None, None),
            measure(3, 20, None, Some(4.0)),
        ];
        let companies = [company(2, 9, 0), company(1, 9, 86_400), company(1, 9, 0), company(1, 8, 0)];
        store.keep_measures(&hosts, &companies).unwrap();
        assert_eq!(store.measured(), Ok(vec![HostId(3), HostId(7)]));
        assert_eq!(store.measures(HostId(7)), Ok(vec![hosts[1], hosts[0]]));
        let sorted = [company(1, 8, 0), company(1, 9, 0), company(1, 9, 86_400), company(2, 9, 0)];
        assert_eq!(store.companies(), Ok(sorted.to_vec()));
        let pressure = |host: i32, pressure, waiting| Pressure { host: HostId(host), pressure, waiting, last_at: 20 };
        assert_eq!(store.pressures(9), Ok(vec![pressure(3, None, Some(4.0)), pressure(7, Some(0.375), Some(2.0))]));
        assert_eq!(store.pressures(10), Ok(vec![pressure(3, None, Some(4.0)), pressure(7, Some(0.5), None)]));
        let changed = HostMeasure { cpu: None, busy: Some(0.75), watts: None, ..measure(7, 20, None, Some(9.0)) };
        let steps = Company { steps: 5, pressure: None, steal: Some(2.0), ..company(2, 9, 0) };
        store.keep_measures(&[changed], &[steps]).unwrap();
        assert_eq!((store.measures(HostId(7)).unwrap()[1], store.companies().unwrap()[3]), (changed, steps));
        assert_eq!(store.prune(86_400), Ok(0));
        assert_eq!((store.measured(), store.companies()), (Ok(vec![]), Ok(vec![company(1, 9, 86_400)])));
    });
}

#[test]
fn a_status_counts_what_is_there() {
    each_engine(|store| {
        let status = store.status().unwrap();
        assert_eq!((status.samples, status.span, status.carbon), (0, None, vec![]));
        let usage = Usage { cpu: 1.0, ..Usage::default() };
        let hosts = [10, 20].map(|at| HostSample { host: HostId(1), at, usage });
        let samples = [sample(1, 0), sample(1, 3600), sample(1, 7201), sample(2, 50_000)];
        let batch = Batch { samples: &samples, hosts: &hosts, ..Batch::default() };
        for _ in 0..2 {
            store.absorb(&batch, &mut |_, _, _| learnt(&[1], None)).unwrap();
        }
        store.keep_carbon("z é", &[(100, 5.0), (300, 5.0)]).unwrap();
        let status = store.status().unwrap();
        assert_eq!((status.samples, status.vms, status.estimates, status.host_samples), (4, 2, 2, 2));
        // a step of an hour is none, one of a second more is
        assert_eq!((status.gaps, status.span, status.remarks), (1, Some((0, 50_000)), vec![]));
        assert_eq!(status.carbon, [("z é".to_owned(), 300)]);
        assert!(status.bytes > 0 && !status.engine.contains(" on "), "{} {}", status.bytes, status.engine);
        // TimescaleDB drops whole days
        let dropped = usize::from(!status.engine.contains("TimescaleDB"));
        let gone = store.prune(3600).unwrap();
        let status = store.status().unwrap();
        let left = 4 - dropped as i64;
        assert_eq!((gone, status.samples, status.host_samples, status.estimates), (dropped, left, 0, 2));
    });
}

#[test]
fn questions_of_one_request_are_answered_from_one_state() {
    let Some(database) = Database::create() else { return };
    let open = || TimescaleStore::open(&database.address(), PATIENCE).unwrap();
    let (mut store, mut other) = (open(), open());
    let placed = Placement { vm: VmId(1), host: HostId(2), at: 5 };
    let sent = Sent { placements_until: i64::MAX, until: i64::MAX, placements: &[placed], ..Sent::default() };
    store.begin_reading().unwrap();
    assert_eq!(store.placements(0), Ok(vec![]));
    other.remember(&sent).unwrap();
    assert_eq!(store.placements(0), Ok(vec![]));
    store.end_reading().unwrap();
    assert_eq!(store.placements(0), Ok(vec![placed]));
    // a table that is not there answers with nothing, and the questions after it are answered
    database.client().batch_execute("DROP TABLE oneaio.notes; DROP TABLE oneaio.carbon").unwrap();
    store.begin_reading().unwrap();
    assert_eq!(store.notes(), Ok(oneaio::model::history::Notes::default()));
    assert_eq!((store.carbon(5, 5), store.placements(0)), (Ok(vec![]), Ok(vec![placed])));
    store.end_reading().unwrap();
    // tables of another form are told, and not taken for none
    database.client().batch_execute("ALTER TABLE oneaio.companies RENAME COLUMN steal TO stolen").unwrap();
    let told = store.companies().unwrap_err().to_string();
    assert!(told.starts_with("its tables have another form") && told.contains("steal"), "{told}");
    // nothing holds what is dropped next
    database.client().batch_execute("SET lock_timeout = 5000; DROP TABLE oneaio.attempts").unwrap();
    assert_eq!(store.attempts(&[VmId(1)]), Ok(vec![]));
    assert!(TimescaleStore::init(&database.address(), PATIENCE).is_ok());
}

#[test]
fn who_may_write_need_not_own_the_tables_and_shows_by_its_name() {
    let Some(database) = Database::create() else { return };
    drop(TimescaleStore::open(&database.address(), PATIENCE).unwrap());
    let rights = "DO $$ BEGIN CREATE ROLE writer LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$; GRANT USAGE ON SCHEMA oneaio TO writer; GRANT ALL ON ALL TABLES IN SCHEMA oneaio TO writer";
    database.client().batch_execute(rights).unwrap();
    let address = database.address().replace("user=oneaio", "user=writer");
    let mut store = TimescaleStore::open(&address, PATIENCE).unwrap();
    assert_eq!(store.keep_carbon("BE", &[(5, 1.0)]), Ok(1));
    let sql = "SELECT application_name FROM pg_stat_activity WHERE usename = 'writer' AND datname = current_database()";
    let rows = database.client().query(sql, &[]).unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["oneaio"]);
}

#[test]
fn what_is_made_is_marked_and_what_is_older_gets_what_it_lacks() {
    let Some(database) = Database::create() else { return };
    let open = || TimescaleStore::open(&database.address(), PATIENCE).unwrap();
    let stands = || {
        let sql = "SELECT (SELECT string_agg(version::text, ',') FROM oneaio.meta),
                          obj_description('oneaio.meta'::regclass, 'pg_class')";
        let row = database.client().query_one(sql, &[]).unwrap();
        (row.get::<_, String>(0), row.get::<_, Option<String>>(1))
    };
    drop(open());
    let made = stands();
    assert_eq!(made.1.as_deref(), Some("history of VMs, kept by oneaio"));
    drop(open());
    assert_eq!(stands(), made, "a second time changes nothing");
    let older = "UPDATE oneaio.meta SET version = 2; COMMENT ON TABLE oneaio.meta IS NULL;
        ALTER TABLE oneaio.estimates DROP COLUMN trust, DROP COLUMN class, DROP COLUMN confidence, DROP COLUMN vector,
            DROP COLUMN outlook; DROP TABLE oneaio.companies";
    database.client().batch_execute(older).unwrap();
    let mut store = open();
    assert_eq!(stands(), made);
    let one = [(VmId(1), learnt(&[7], Some(Class { number: 3, confidence: 0.625 })))];
    store.revise(&one).unwrap();
    assert_eq!(store.states(&[VmId(1)]), Ok(vec![(VmId(1), one[0].1.estimate, vec![7])]));
    assert_eq!(store.companies(), Ok(vec![]));
}

#[test]
fn nothing_waits_for_others_longer_than_agreed() {
    let Some(database) = Database::create() else { return };
    let mut store = TimescaleStore::open(&database.address(), Duration::from_millis(300)).unwrap();
    let mut other = database.client();
    let mut held = other.transaction().unwrap();
    held.batch_execute("LOCK TABLE oneaio.placements, oneaio.samples, oneaio.carbon IN ACCESS EXCLUSIVE MODE").unwrap();
    let sent = Sent { placements_until: i64::MAX, until: i64::MAX, ..Sent::default() };
    assert_eq!(store.placements(0), Err(StoreError::Busy));
    assert_eq!(store.remember(&sent), Err(StoreError::Busy));
    assert_eq!(store.prune(0), Err(StoreError::Busy));
    assert_eq!(store.carbon(5, 5), Err(StoreError::Busy), "a table that is held is not one that is missing");
    store.begin_reading().unwrap();
    assert_eq!(store.placements(0), Err(StoreError::Busy));
    store.end_reading().unwrap();
    held.rollback().unwrap();
    assert_eq!((store.placements(0), store.remember(&sent), store.prune(0)), (Ok(vec![]), Ok(()), Ok(0)));
}

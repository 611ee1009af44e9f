use super::*;
use crate::history::{Batch, Collecting, Known, Learnt, Training};
use crate::model::demand::Usage;
use crate::model::history::Usual;
use crate::model::ids::{ClusterId, DatastoreId, HostId};
use crate::model::sketch::Sketch;
use crate::model::snapshot::{Attributes, Candidates, Datastore, Host, Vm, VmMonitoring};
use crate::model::units::{Cpu, Disk, Memory};

const NOW: i64 = 100_000;

/// A file and a store in it.
struct Kept(tempfile::TempDir);

impl Kept {
    fn new() -> Self {
        let kept = Self(tempfile::tempdir().unwrap());
        drop(kept.open());
        kept
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("history.db")
    }

    fn store(&self) -> Store {
        Store::Sqlite(self.path())
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), Duration::from_secs(5)).unwrap()
    }

    fn history(&self) -> History {
        History::start(self.store(), 20.0)
    }
}

fn learnt(trust: f64, vectors: Vectors) -> Learnt {
    let estimate = Estimate {
        level: Usage::default(),
        peak: Usage::default(),
        usual: Usual::default(),
        cpu_deviation: 0.0,
        sketch: Sketch::default(),
        trust,
        class: None,
        samples: 1,
        last_at: 1,
    };
    Learnt { estimate, vectors, state: vec![1] }
}

fn named(name: &str) -> VmIdentity {
    VmIdentity { name: name.to_owned(), ..VmIdentity::default() }
}

/// VMs 0 to 3 wait for host 0; of VM 3 the request tells who it is.
fn snapshot() -> Snapshot {
    let datastore = Datastore {
        id: DatastoreId(0),
        name: "system".to_owned(),
        system: true,
        shared: true,
        free: Disk(1 << 40),
        total: Disk(1 << 40),
        driver: "shared".to_owned(),
        moves_live: true,
        clusters: vec![ClusterId(0)],
        attributes: Attributes::default(),
    };
    let candidates = |vm| Candidates { vm, hosts: [0].into(), datastores: [0].into(), nics: Vec::new() };
    let mut vms: Vec<Vm> = (0..4).map(|id| Vm::plain(VmId(id), Cpu(100), Memory(1024))).collect();
    vms[3].identity = named("told");
    Snapshot {
        hosts: vec![Host { cluster: ClusterId(0), ..Host::plain(HostId(0), Cpu(800), Memory(1 << 40)) }],
        vms,
        datastores: vec![datastore],
        candidates: (0..4).map(candidates).collect(),
        taken_at: NOW,
        ..Snapshot::default()
    }
}

fn sent<'a>() -> Sent<'a> {
    Sent {
        placements_since: i64::MIN,
        placements_until: i64::MAX,
        attempts_since: i64::MIN,
        until: i64::MAX,
        ..Sent::default()
    }
}

fn placed(vm: i32, at: i64) -> Placement {
    Placement { vm: VmId(vm), host: HostId(0), at }
}

fn attempt(vm: i32, at: i64) -> (VmId, Attempts) {
    (VmId(vm), Attempts { failed: 1, at, sequence: 0, error: String::new() })
}

fn ids<'a>(vms: impl IntoIterator<Item = &'a VmId>) -> Vec<i32> {
    let mut ids: Vec<i32> = vms.into_iter().map(|vm| vm.0).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_store_is_what_is_configured_and_none_is_none() {
    let of = |history: Option<Store>| chosen(&Settings { history, ..Settings::default() });
    let file = Store::Sqlite("/a/b".into());
    assert_eq!((of(Some(Store::None)), of(Some(file.clone()))), (None, Some(file)));
    let none = StoreError::Other("`history.store` is none".to_owned());
    assert_eq!(open(&Store::None, Duration::ZERO).err(), Some(none.clone()));
    assert_eq!(init(&Store::None, Duration::ZERO), Err(none.clone()));
    assert_eq!(open_to_read(&Store::None, Duration::ZERO).err(), Some(none));
    let kept = Kept::new();
    assert_eq!(init(&kept.store(), Duration::ZERO), Ok(kept.path().display().to_string()));
    let gone = Store::Sqlite(kept.0.path().join("gone.db"));
    assert!(open_to_read(&gone, Duration::ZERO).is_err() && !kept.0.path().join("gone.db").exists());
    assert!(open_as_it_is(&gone, Duration::ZERO).is_ok() && kept.0.path().join("gone.db").exists());
    assert_eq!(open_to_describe(&kept.store(), Duration::ZERO).ok().and_then(|mut it| it.status().ok()?.span), None);
}

#[test]
fn who_vms_are_is_asked_of_those_whose_relatives_matter() {
    let kept = Kept::new();
    let mut store = kept.open();
    store.revise(&[(VmId(0), learnt(1.0, vec![])), (VmId(1), learnt(0.99, vec![]))]).unwrap();
    let identities: Vec<(VmId, VmIdentity)> = (0..5).map(|vm| (VmId(vm), named("kept"))).collect();
    let batch = Batch { identities: &identities, ..Batch::default() };
    store.absorb(&batch, &mut |_, _, _| learnt(1.0, vec![])).unwrap();
    let history = kept.history();
    // without any relatives it does not matter who they are
    let recall = history.try_recall(&snapshot(), None).unwrap();
    assert_eq!((ids(recall.estimates.keys()), recall.identities.len()), (vec![0, 1], 0));
    let group = Group { vms: 3, ..Group::default() };
    store.relate(&[("size:100/1024".to_owned(), group)]).unwrap();
    let recall = history.try_recall(&snapshot(), None).unwrap();
    assert_eq!((ids(recall.identities.keys()), recall.relatives.len()), (vec![1, 2], 1));
    assert_eq!(recall.identities[&VmId(2)], named("kept"));
}

#[test]
fn our_placements_count_for_a_while_and_within_what_clocks_differ() {
    let kept = Kept::new();
    let (newest, oldest) = ((NOW + 900) * 1000, (NOW - 900) * 1000);
    let placements = [placed(0, newest), placed(1, newest + 1), placed(2, oldest), placed(3, oldest - 1)];
    let attempts = [attempt(2, 5), attempt(9, 5)];
    let notes = Notes { answered: 77, ..Notes::default() };
    let mut store = kept.open();
    store.remember(&Sent { placements: &placements, attempts: &attempts, notes: Some(&notes), ..sent() }).unwrap();
    store.keep_carbon("BE", &[(NOW - CARBON_AGE + 1, 5.0)]).unwrap();
    store.keep_carbon("FR", &[(NOW - CARBON_AGE, 5.0)]).unwrap();
    let history = kept.history();
    let recall = history.try_recall(&snapshot(), Some(NOW)).unwrap();
    assert_eq!(recall.placements, [placed(0, newest), placed(2, oldest)]);
    assert_eq!((ids(recall.attempts.keys()), recall.notes.answered, recall.now), (vec![2], 77, NOW));
    assert_eq!(recall.carbon.keys().collect::<Vec<_>>(), ["BE"]);
    assert_eq!(history.notes(), Ok(notes));
    // for an old request they do not
    let recall = history.recall(&snapshot(), None);
    assert_eq!((recall.placements, recall.attempts.len(), recall.notes, recall.now), (vec![], 0, Notes::default(), 0));
    assert_eq!(recall.carbon.len(), 1);
}

#[test]
fn what_is_too_old_or_of_a_wrong_clock_is_forgotten_with_the_next_plan() {
    let kept = Kept::new();
    let mut store = kept.open();
    let (since, until) = ((NOW - 1800) * 1000, (NOW + 900) * 1000);
    let placements = [placed(0, since), placed(1, since - 1), placed(2, until), placed(3, until + 1)];
    let (old, ahead) = (NOW - FORGOTTEN - 900, NOW + 900);
    let attempts = [attempt(0, old), attempt(1, old - 1), attempt(2, ahead), attempt(3, ahead + 1)];
    store.remember(&Sent { placements: &placements, attempts: &attempts, ..sent() }).unwrap();
    let notes = Notes { answered: 5, ..Notes::default() };
    kept.history().keep(vec![placed(7, 1000 * NOW)], vec![attempt(7, NOW)], Some(notes.clone()), 1000 * NOW).unwrap();
    let left = store.placements(i64::MIN).unwrap();
    assert_eq!(ids(left.iter().map(|one| &one.vm)), [0, 2, 7]);
    let left = store.attempts(&[0, 1, 2, 3, 7].map(VmId)).unwrap();
    assert_eq!((ids(left.iter().map(|(vm, _)| vm)), store.notes()), (vec![0, 2, 7], Ok(notes)));
}

#[test]
fn a_plan_is_remembered_with_its_moment() {
    let kept = Kept::new();
    let decided = decide::place_snapshot(snapshot(), &Recall::default(), &Policy::default());
    assert_eq!(decided.planned.plan.actions.len(), 4);
    kept.history().remember(&decided, 1000 * NOW + 5);
    let mut store = kept.open();
    assert_eq!(store.placements(0).unwrap(), (0..4).map(|vm| placed(vm, 1000 * NOW + 5)).collect::<Vec<_>>());
    let attempts = store.attempts(&[0, 1, 2, 3].map(VmId)).unwrap();
    assert!(attempts.len() == 4 && attempts.iter().all(|(_, one)| one.at == NOW && one.failed == 0), "{attempts:?}");
}

#[test]
fn a_lost_store_tells_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::start(Store::Sqlite(folder.path().join("no/such.db")), 20.0);
    assert!(matches!(history.answers(), Err(StoreError::Unreachable(_))));
    assert_eq!(history.recall(&snapshot(), Some(NOW)).now, 0);
    history.renew();
    assert!(history.notes().is_err() && history.try_recall(&snapshot(), None).is_err());
    let foreign = History::foreign(folder.path().join("none.db"), 20.0);
    assert!(foreign.answers().is_err());
    let kept = Kept::new();
    assert_eq!((kept.history().answers(), History::foreign(kept.path(), 20.0).answers()), (Ok(()), Ok(())));
}

#[test]
fn what_a_request_tells_of_its_vms_is_kept_beside_what_is_collected() {
    let kept = Kept::new();
    let told = |at: i64, disk: f64| {
        let mut snapshot = snapshot();
        let counters = Counters { id: 1, at, cpu: Some(5.0), memory: Some(6.0), disk: Some(disk), net: None };
        snapshot.vms[1].monitoring =
            Some(Box::new(VmMonitoring { timestamp: at, counters, ..VmMonitoring::default() }));
        snapshot
    };
    // the collector has met it before, whose counters are gone on from and stay
    let met = Counters { id: 1, at: NOW - 100, cpu: Some(5.0), memory: Some(6.0), disk: Some(100.0), net: None };
    let batch = Batch { counters: &[(Kind::Vm, met)], ..Batch::default() };
    kept.open().absorb(&batch, &mut |_, _, _| learnt(1.0, vec![])).unwrap();
    let history = kept.history().with_model(None);
    history.absorb(&told(NOW, 1100.0), NOW).finish();
    history.absorb(&told(NOW + 10, 1300.0), NOW).finish();
    // what was told already is not news, and who is not monitored tells nothing
    history.absorb(&told(NOW + 10, 1300.0), NOW).finish();
    history.absorb(&snapshot(), NOW).finish();
    // a moment that is too far ahead is of a wrong clock
    history.absorb(&told(NOW + 301, 9999.0), NOW).finish();
    let mut store = kept.open();
    let found: Vec<(i64, Option<f64>)> =
        store.samples(VmId(1)).unwrap().iter().map(|sample| (sample.at, sample.usage.disk_io)).collect();
    assert_eq!(found, [(NOW, Some(10.0)), (NOW + 10, Some(20.0))]);
    assert_eq!(store.counters(Kind::Vm), Ok(vec![met]));
    assert_eq!(store.counters(Kind::Told).unwrap().iter().map(|one| one.at).collect::<Vec<_>>(), [NOW + 10]);
    assert_eq!(store.estimates(&[VmId(1)]).unwrap().len(), 1);
}

fn vectors(names: &[&str]) -> Vectors {
    names.iter().zip(1..).map(|(name, number)| ((*name).to_owned(), vec![f64::from(number)])).collect()
}

#[test]
fn vectors_of_the_classifier_that_is_asked_for_count_else_those_of_the_model() {
    let of = |all: &[&[&str]], of: Option<&'static str>, lacking: Option<&'static str>| {
        let all = all.iter().zip(0..).map(|(names, vm)| (VmId(vm), vectors(names))).collect();
        let lacking = Mutex::new(lacking);
        let chosen = chosen_vectors(all, of, &lacking);
        let mut chosen: Vec<(i32, f64)> = chosen.into_iter().map(|(vm, vector)| (vm.0, vector[0])).collect();
        chosen.sort_by_key(|(vm, _)| *vm);
        (chosen, lacking.into_inner().unwrap())
    };
    let both: &[&str] = &["idec", "idec-soft"];
    assert_eq!(of(&[both, both], Some("idec-soft"), None), (vec![(0, 2.0), (1, 2.0)], None));
    assert_eq!(of(&[both], None, None), (vec![(0, 1.0)], None));
    // what lacks is noted, and no more once it is there
    assert_eq!(of(&[&["kmeans"], both], Some("idec"), None), (vec![(0, 1.0), (1, 1.0)], Some("idec")));
    assert_eq!(of(&[both, &["kmeans"]], Some("idec"), Some("idec")), (vec![(0, 1.0), (1, 1.0)], Some("idec")));
    assert_eq!(of(&[both], Some("idec"), Some("idec")), (vec![(0, 1.0)], None));
    assert_eq!(of(&[&[]], Some("idec"), None), (vec![], None));
    assert_eq!(of(&[&["kmeans"]], None, None), (vec![(0, 1.0)], None));
}

#[test]
fn vectors_are_asked_for_where_a_policy_balances_classes() {
    let kept = Kept::new();
    kept.open().revise(&[(VmId(1), learnt(1.0, vectors(&["kmeans", "idec"])))]).unwrap();
    let recalled = |policy: &Policy| {
        let history = kept.history().with_classes(policy);
        let found = history.try_recall(&snapshot(), None).unwrap().vectors;
        found.get(&VmId(1)).map(|vector| vector[0])
    };
    let classes = Policy { resources: Resources::Classes, ..Policy::default() };
    assert_eq!(recalled(&Policy { classifier: Some("idec"), ..Policy::default() }), None);
    assert_eq!(recalled(&Policy { classifier: Some("idec"), ..classes.clone() }), Some(2.0));
    assert_eq!(recalled(&Policy { classifier: None, ..classes }), Some(1.0));
}

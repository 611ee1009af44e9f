use super::*;
use crate::history::sqlite::SqliteStore;
use crate::history::{Described, Known, Training};
use crate::model::demand::Usage;
use crate::model::sample::VmSample;
use crate::oned::testing::{Scripted, refused, success};
use std::path::{Path, PathBuf};

/// An oned, and a store in a file.
struct Place {
    folder: tempfile::TempDir,
    oned: Scripted,
}

impl Place {
    /// VM 4 and host 7 have two samples each, of the last seconds; VM 4 runs, VM 5 is gone.
    fn new(now: i64) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), oned: Scripted::start() };
        let samples = |id: i32, inside: [&str; 2]| {
            let one = |(at, inside): (i64, &str)| {
                format!("<MONITORING><ID>{id}</ID><TIMESTAMP>{at}</TIMESTAMP>{inside}</MONITORING>")
            };
            let both: String = [now - 20, now - 10].into_iter().zip(inside).map(one).collect();
            success(&format!("<MONITORING_DATA>{both}<MONITORING/></MONITORING_DATA>"))
        };
        let vm = |rx: i32| format!("<CPU>5</CPU><MEMORY>6</MEMORY><NETRX>{rx}</NETRX><NETTX>0</NETTX>");
        place.oned.answer("one.vmpool.monitoring", &[samples(4, [&vm(0), &vm(100)])]);
        let host = |rx: i32| {
            format!(
                "<CAPACITY><USED_CPU>50</USED_CPU><USED_MEMORY>60</USED_MEMORY></CAPACITY>\
                 <SYSTEM><NETRX>{rx}</NETRX><NETTX>0</NETTX></SYSTEM>"
            )
        };
        place.oned.answer("one.hostpool.monitoring", &[samples(7, [&host(0), &host(50)])]);
        let vms = "<VM_POOL><VM><ID>4</ID><NAME>web</NAME><STATE>3</STATE><TEMPLATE><CPU>1</CPU><MEMORY>64</MEMORY></TEMPLATE></VM>\
                   <VM><ID>5</ID><NAME>gone</NAME><STATE>6</STATE></VM></VM_POOL>";
        place.oned.answer("one.vmpool.infoextended", &[success(vms)]);
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.file(), Duration::from_secs(5)).unwrap()
    }

    fn collect(&self, keep: u32) -> Result<()> {
        once(&self.oned.client(), &Store::Sqlite(self.file()), None, keep)
    }

    /// The seconds of which samples of VMs were asked for, and of hosts; nothing where oned was not asked.
    fn windows(&self) -> Vec<i64> {
        let asked = self.oned.asked();
        let of = |method: &str| asked.iter().find(|(name, _)| name == method).map(|(_, params)| params.clone());
        let last = |params: Vec<String>| {
            let digits = params.last().unwrap().trim_start_matches("<i4>").trim_end_matches("</i4>").to_owned();
            digits.parse().unwrap()
        };
        ["one.vmpool.monitoring", "one.hostpool.monitoring"].into_iter().filter_map(of).map(last).collect()
    }
}

#[test]
fn it_is_asked_from_where_the_last_run_was_complete() {
    let at = |complete: Option<i64>, is_new: bool| beginning(Progress { now: 100_000, complete }, is_new);
    assert_eq!((at(Some(99_000), true), at(Some(99_000), false)), (99_000, 99_000));
    assert_eq!(at(Some(100_000), false), 100_000);
    // of a clock that was wrong, or of a store from before this was noted
    let longest = 100_000 - (LONGEST_LOOK - OVERLAP);
    assert_eq!((at(Some(100_001), true), at(Some(100_001), false), at(None, false)), (longest, longest, longest));
    assert_eq!(at(None, true), 100_000 - (FIRST_LOOK - OVERLAP));
}

#[test]
fn a_run_keeps_what_oned_tells_and_the_next_asks_for_what_is_new() {
    let now = now();
    let place = Place::new(now);
    let mut store = place.open();
    let outdated = crate::model::history::Group { vms: 9, ..Default::default() };
    store.relate(&[("size:9/9".to_owned(), outdated)]).unwrap();
    place.collect(90).unwrap();
    assert_eq!(place.windows(), [900, 900]);
    let samples = store.samples(VmId(4)).unwrap();
    assert_eq!(
        samples.iter().map(|one| (one.at, one.usage.net_io)).collect::<Vec<_>>(),
        [(now - 20, None), (now - 10, Some(10.0))]
    );
    let newest = |kind: Kind| -> Vec<(i32, i64)> {
        let known = store_counters(&place.file(), kind);
        known.iter().map(|counters| (counters.id, counters.at)).collect()
    };
    assert_eq!((newest(Kind::Vm), newest(Kind::Host)), (vec![(4, now - 10)], vec![(7, now - 10)]));
    let status = store.status().unwrap();
    assert_eq!((status.samples, status.host_samples, status.estimates), (2, 2, 1));
    let who: Vec<(i32, String)> =
        store.identities(None).unwrap().into_iter().map(|(vm, who)| (vm.0, who.name)).collect();
    assert_eq!(who, [(4, "web".to_owned())]);
    assert!(store.relatives(&[]).unwrap().iter().all(|(key, _)| key != "size:9/9"), "relatives are summed up anew");
    let complete = store.progress(SOURCE).unwrap().complete.unwrap();
    assert!((now..=now + 60).contains(&complete), "{complete} {now}");
    // the collection is given back
    assert_eq!(store.claim_collection("another"), Ok(Claim::Ours));
    store.release_collection().unwrap();
    place.collect(90).unwrap();
    let windows = place.windows();
    assert!(windows[0] == windows[1] && (OVERLAP..OVERLAP + 60).contains(&windows[0]), "{windows:?}");
    assert_eq!(store.status().unwrap().samples, 2, "what comes again counts once");
}

fn store_counters(file: &Path, kind: Kind) -> Vec<Counters> {
    SqliteStore::open(file, Duration::from_secs(5)).unwrap().counters(kind).unwrap()
}

#[test]
fn while_somebody_else_collects_nothing_is_asked() {
    let place = Place::new(now());
    let mut other = place.open();
    assert_eq!(other.claim_collection("another"), Ok(Claim::Ours));
    place.collect(90).unwrap();
    assert!(place.oned.asked().is_empty() && holder().ends_with(&format!(", process {}", std::process::id())));
    assert_eq!(other.status().unwrap().samples, 0);
}

#[test]
fn a_run_that_is_cut_off_is_taken_up_where_it_began() {
    for (lost, kept) in [("one.vmpool.monitoring", 0), ("one.hostpool.monitoring", 2), ("one.vmpool.infoextended", 2)] {
        let begun = now();
        let place = Place::new(begun);
        place.oned.answer(lost, &[refused(512)]);
        assert!(place.collect(90).is_err(), "{lost}");
        let mut store = place.open();
        assert_eq!(store.status().unwrap().samples, kept, "{lost}: what came before is kept");
        let complete = store.progress(SOURCE).unwrap().complete.unwrap();
        // who the VMs are is no part of what is complete
        let expected = if lost == "one.vmpool.infoextended" { begun } else { begun - (FIRST_LOOK - OVERLAP) };
        assert!((expected..expected + 60).contains(&complete), "{lost}: {complete}");
        assert_eq!(store.claim_collection("another"), Ok(Claim::Ours), "{lost}: it is given back");
    }
}

#[test]
fn a_long_absence_is_made_up_for() {
    let now = now();
    let place = Place::new(now);
    let counters =
        [(Kind::Vm, Counters { id: 4, at: now - DAY, cpu: Some(1.0), memory: Some(1.0), ..Counters::default() })];
    let mut store = place.open();
    learn::absorb(&mut store, &Batch { counters: &counters, ..Batch::default() }).unwrap();
    place.collect(90).unwrap();
    assert_eq!(place.windows(), [LONGEST_LOOK, LONGEST_LOOK]);
}

#[test]
fn the_first_run_of_a_day_drops_what_is_too_old() {
    // by the clocks of the hosts it is yesterday evening
    let evening = now().div_euclid(DAY) * DAY - 1000;
    let place = Place::new(evening + 10);
    let mut store = place.open();
    let usage = Usage { cpu: 1.0, memory: 1.0, ..Usage::default() };
    let keep = |store: &mut SqliteStore, ages: &[i64]| {
        let sample = |age: &i64| VmSample { vm: VmId(8), at: evening - age, usage };
        let samples: Vec<VmSample> = ages.iter().map(sample).collect();
        learn::absorb(store, &Batch { samples: &samples, ..Batch::default() }).unwrap();
    };
    let kept = |store: &mut SqliteStore| -> Vec<i64> {
        store.samples(VmId(8)).unwrap().iter().map(|sample| evening - sample.at).collect()
    };
    let counters =
        |id: i32, at: i64| (Kind::Vm, Counters { id, at, cpu: Some(1.0), memory: Some(1.0), ..Counters::default() });
    // a clock that was ahead is no day
    let known = [counters(4, evening - DAY), counters(9, now() + 9 * DAY)];
    learn::absorb(&mut store, &Batch { counters: &known, ..Batch::default() }).unwrap();
    keep(&mut store, &[5 * DAY, 2 * DAY + 1, 2 * DAY, DAY]);
    place.collect(2).unwrap();
    assert_eq!(kept(&mut store), [2 * DAY, DAY]);
    keep(&mut store, &[5 * DAY]);
    let later = format!(
        "<MONITORING_DATA><MONITORING><ID>4</ID><TIMESTAMP>{}</TIMESTAMP><CPU>5</CPU><MEMORY>6</MEMORY></MONITORING>\
         </MONITORING_DATA>",
        evening + 30
    );
    place.oned.answer("one.vmpool.monitoring", &[success(&later)]);
    place.collect(2).unwrap();
    assert_eq!(store.samples(VmId(4)).unwrap().last().unwrap().at, evening + 30);
    assert_eq!(kept(&mut store), [5 * DAY, 2 * DAY, DAY], "the next run of the day leaves it");
}

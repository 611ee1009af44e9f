//! The decision log: one JSON object per request and line, for auditors and `explain`.
//! Written with one call each, so that lines of two processes do not mix; a line that a full
//! disk has cut is left behind, and the next one begins anew.

use crate::config::Settings;
use crate::config::operate::Destination;
use crate::decide::{Decided, Optimized};
use crate::machine::files::own_as_folder;
use crate::machine::installation::{Installation, folder_exists};
use crate::model::moment::utc;
use crate::opennebula::message::safe_json;
use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The end of the file in which `explain` looks for a decision.
const LOOKED_AT: u64 = 64 << 20;

/// The file of a run, if it keeps one.
pub fn file(settings: &Settings) -> Option<PathBuf> {
    match &settings.operate.decision_log {
        Destination::None => None,
        Destination::File(file) => Some(file.clone()),
        Destination::Default => Some(Installation::here().decision_log()).filter(|file| folder_exists(file)),
    }
}

/// A placement as an object.
pub fn placement(decided: &Decided, at: i64, bundle: Option<&Path>) -> Value {
    let (report, plan) = (&decided.planned.report, &decided.planned.plan);
    let notices: Vec<String> = report.notices.iter().take(50).map(|n| format!("{}: {}", n.subject, n.text)).collect();
    json!({
        "at": utc(at),
        "seconds": at,
        "version": env!("CARGO_PKG_VERSION"),
        "command": "place",
        "placed": report.decisions,
        "waiting": report.refusals,
        "actions": plan.actions,
        "objective": { "before": report.objective.0, "after": report.objective.1 },
        "notices": notices,
        "bundle": bundle.map(|path| path.display().to_string()),
    })
}

/// An optimization as an object.
pub fn optimization(optimized: &Optimized, cluster: i32, at: i64, bundle: Option<&Path>) -> Value {
    let migrated = &optimized.migrated;
    json!({
        "at": utc(at),
        "seconds": at,
        "version": env!("CARGO_PKG_VERSION"),
        "command": "optimize",
        "cluster": cluster,
        "migrations": migrated.migrations,
        "actions": migrated.plan.actions,
        "idle": migrated.idle,
        "staying": staying(optimized),
        "objective": { "before": migrated.objective.0, "after": migrated.objective.1 },
        "bundle": bundle.map(|path| path.display().to_string()),
    })
}

/// VMs that no plan may move, with the reason; of a large cluster the first ones.
fn staying(optimized: &Optimized) -> Vec<Value> {
    let staying = optimized.migrated.staying.iter().take(STAYING);
    staying.map(|(vm, text)| json!({ "vm": vm, "text": text })).collect()
}

/// At most this many VMs that stay are noted of one optimization.
const STAYING: usize = 200;

/// Appends an object; a failure is told and changes nothing else.
pub fn append(settings: &Settings, entry: &Value) {
    let Some(file) = file(settings) else { return };
    if let Err(error) = write(&file, entry) {
        log::warn!("the decision log {} is not written: {error}", file.display());
    }
}

fn write(file: &Path, entry: &Value) -> std::io::Result<()> {
    let open = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(file)?;
    let mut line = safe_json(&format!("{entry}\n"));
    let _lock = Lock::of(&open);
    if cut(&open)? {
        line.insert(0, '\n');
    }
    own_as_folder(file);
    (&open).write_all(line.as_bytes())
}

/// Writers wait so long for each other; then a line is worth more than the order.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at the lock.
const LOOK: Duration = Duration::from_millis(5);

/// The end of the file is looked at and written to by one process at a time.
struct Lock<'a>(Option<&'a File>);

impl<'a> Lock<'a> {
    fn of(file: &'a File) -> Self {
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Self(Some(file)),
                Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(_) => return Self(None),
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // closing the file would do the same
            let _ = flock(file, FlockOperation::Unlock);
        }
    }
}

/// Whether the file ends within a line.
fn cut(mut file: &File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The newest decision for which `wanted` holds; none where there is no log yet. Lines that are cut or foreign are passed over.
///
/// # Errors
/// When the file cannot be read.
pub fn newest(file: &Path, wanted: impl Fn(&Value) -> bool) -> Result<Option<Value>> {
    let told = || format!("the decision log {} cannot be read", file.display());
    let mut open = match File::open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(told)?,
    };
    let length = open.seek(SeekFrom::End(0)).with_context(told)?;
    open.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT))).with_context(told)?;
    let mut bytes = Vec::new();
    open.take(LOOKED_AT).read_to_end(&mut bytes).with_context(told)?;
    let entries = bytes.rsplit(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(entries.into_iter().find(|entry| wanted(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_the_newest_that_is_wanted_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("decisions.jsonl");
        let of = |vm: i64| newest(&file, |entry| entry["vm"] == vm).unwrap();
        assert_eq!(of(1), None, "there is no log yet");
        for (vm, at) in [(1, 10), (2, 20), (1, 30)] {
            write(&file, &json!({ "vm": vm, "at": at })).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "{\"at\":10,\"vm\":1}\n{\"at\":20,\"vm\":2}\n{\"at\":30,\"vm\":1}\n"
        );
        assert_eq!((of(1).unwrap()["at"].clone(), of(2).unwrap()["at"].clone(), of(3)), (json!(30), json!(20), None));
        // what a full disk has cut is left behind
        let whole = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{whole}{{\"vm\":9,\"a")).unwrap();
        assert!(cut(&File::open(&file).unwrap()).unwrap());
        write(&file, &json!({ "vm": 4 })).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("{whole}{{\"vm\":9,\"a\n{{\"vm\":4}}\n"));
        assert!(!cut(&File::open(&file).unwrap()).unwrap());
        assert_eq!((of(9), of(4).is_some(), of(2).is_some()), (None, true, true));
        std::fs::write(&file, "").unwrap();
        assert!(!cut(&File::open(&file).unwrap()).unwrap());
        assert!(newest(folder.path(), |_| true).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn the_log_is_where_the_settings_say() {
        let mut settings = Settings::default();
        settings.operate.decision_log = Destination::None;
        assert_eq!(file(&settings), None);
        settings.operate.decision_log = Destination::File("/a/b".into());
        assert_eq!(file(&settings), Some("/a/b".into()));
        let folder = tempfile::tempdir().unwrap();
        settings.operate.decision_log = Destination::File(folder.path().join("log"));
        append(&settings, &json!({ "vm": 1 }));
        assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "{\"vm\":1}\n");
    }

    #[test]
    fn an_entry_tells_what_was_decided_with_at_most_fifty_oddities() {
        use crate::decide;
        use crate::model::history::Recall;
        use crate::model::policy::Policy;
        use crate::model::snapshot::{Notice, Subject};
        use crate::placement::testing::{ask, cloud};
        let mut snapshot = cloud(&[8]);
        ask(&mut snapshot, 1, &[0]);
        ask(&mut snapshot, 99, &[0]);
        let mut decided = decide::place_snapshot(snapshot, &Recall::default(), &Policy::default());
        decided.planned.report.objective = (0.25, 0.5);
        let notice = |number: i32| Notice { subject: Subject::Request, text: format!("odd {number}") };
        decided.planned.report.notices = (0..51).map(notice).collect();
        let entry = placement(&decided, 1_795_444_863, Some(Path::new("/b/1")));
        assert_eq!((&entry["at"], &entry["seconds"]), (&json!(utc(1_795_444_863)), &json!(1_795_444_863)));
        assert_eq!((&entry["command"], &entry["version"]), (&json!("place"), &json!(env!("CARGO_PKG_VERSION"))));
        assert_eq!((&entry["placed"][0]["vm"], &entry["actions"][0]["vm"]), (&json!(0), &json!(0)));
        assert_eq!((&entry["waiting"][0]["vm"], entry["waiting"].as_array().unwrap().len()), (&json!(1), 1));
        assert_eq!((&entry["objective"], &entry["bundle"]), (&json!({ "before": 0.25, "after": 0.5 }), &json!("/b/1")));
        let notices = entry["notices"].as_array().unwrap();
        assert_eq!((notices.len(), &notices[49]), (50, &json!("the request: odd 49")));
        assert_eq!(placement(&decided, 0, None)["bundle"], Value::Null);
    }

    #[test]
    fn a_writer_waits_for_another_and_writes_all_the_same_where_it_takes_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let other = File::create(&path).unwrap();
        let held = Lock::of(&other);
        assert!(held.0.is_some());
        let mine = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(Lock::of(&mine).0.is_none(), "a second has passed");
        drop(held);
        let again = Lock::of(&mine);
        assert!(again.0.is_some());
    }
}

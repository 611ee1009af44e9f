//! Bundles of requests as they come: what `record.dir` keeps, and what a fault leaves.
//!
//! A bundle is written under a name that nobody reads and then renamed, so that there are
//! whole ones only. The name tells when it was made, for which command, by which process and
//! how large it is, so that thousands are kept within their size without a look into each. Nothing here changes a decision: what fails is told, once.

use super::bundle::{MODEL, RECALL, THEIRS};
use crate::config::Settings;
use crate::config::keys::is_local;
use crate::config::operate::Destination;
use crate::machine::files::{complete, own_as_folder};
use crate::machine::installation::{Installation, folder_exists};
use crate::model::history::Recall;
use crate::opennebula::{envelope, redact};
use crate::recall::modelfile;
use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::cell::RefCell;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{BufWriter, IntoInnerError, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Requests beyond this many bytes are not held back for a bundle that only a fault would
/// need: they are planned in two to three times their size, and a copy would add one more.
const HELD: usize = 16 << 20;

/// Bundles that faults leave.
const FAULTS: usize = 10;

/// Bytes that they may take together.
const FAULTS_SIZE: u64 = 64 << 20;

/// A request that may have to be kept.
pub struct Recording {
    command: &'static str,
    at: i64,
    /// The request, until it is written; its size, where it is not held.
    request: RefCell<Result<Vec<u8>, usize>>,
    model: PathBuf,
    config: Vec<(String, String)>,
    folder: Option<PathBuf>,
    /// Whether the settings name that folder.
    named: bool,
    keep: usize,
    max_size: u64,
    redact: bool,
}

/// What belongs to a request, as far as it got.
#[derive(Clone, Copy, Default)]
pub struct Made<'a> {
    /// What the store told.
    pub recall: Option<&'a Recall>,
    /// The answer.
    pub plan: Option<&'a str>,
    /// What was said.
    pub messages: Option<&'a str>,
    /// What another scheduler answered, where oneaio only planned beside it.
    pub theirs: Option<&'a [u8]>,
}

impl Recording {
    /// Holds what may be needed later.
    pub fn begin(
        command: &'static str,
        given: Vec<(String, String)>,
        settings: &Settings,
        request: &[u8],
        at: i64,
    ) -> Self {
        let operate = &settings.operate;
        let shadow = if command == "place" { &operate.shadow_place } else { &operate.shadow_optimize };
        let shadow = shadow.is_some();
        let is_small = request.len() <= HELD;
        let folder = match &operate.record {
            Destination::File(folder) => Some(folder.clone()),
            Destination::Default if !shadow => folder(settings).filter(|_| is_small),
            _ => shadow.then(|| Installation::here().shadow()),
        };
        Self {
            command,
            at,
            request: RefCell::new(if folder.is_some() || is_small { Ok(request.to_vec()) } else { Err(request.len()) }),
            model: modelfile::path(settings),
            config: decisive(given),
            folder,
            named: matches!(operate.record, Destination::File(_)),
            keep: operate.record_keep,
            max_size: operate.record_max_size,
            redact: operate.record_redact,
        }
    }

    /// Keeps the request where `record.dir` says; the bundle, if there is one.
    pub fn keep(&self, made: Made<'_>) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        self.write(folder, self.keep, self.max_size, made)
            .inspect_err(|error| log::warn!("this request is not recorded: {error:#}"))
            .ok()
    }

    /// Keeps a request that met a fault, recorded or not; where, in words.
    pub fn keep_fault(&self, made: Made<'_>) -> String {
        // beside all others it would be gone too soon, and `check` would not tell of it
        let own = self.folder.as_ref().filter(|_| self.named);
        let written = match own {
            Some(folder) => self.write(folder, self.keep, self.max_size, made),
            None => self.write(&Installation::here().faults(), FAULTS, FAULTS_SIZE, made),
        };
        match written {
            Ok(bundle) => format!("the request is kept in {}", bundle.display()),
            Err(error) => format!("the request could not be kept: {error:#}"),
        }
    }

    fn write(&self, folder: &Path, keep: usize, max_size: u64, made: Made<'_>) -> Result<PathBuf> {
        // what was held is given up while it is unpacked: a process keeps one bundle
        let request = match self.request.replace(Err(0)) {
            Ok(request) => request,
            Err(size) => bail!(
                "it has {} MiB, and beyond {} none is held in memory for this; set record.dir to keep such requests",
                size >> 20,
                HELD >> 20
            ),
        };
        make_folder(folder)?;
        // made by root, it must not keep oneadmin out
        own_as_folder(folder);
        let name = format!("{}-{}-{}", self.at, self.command, std::process::id());
        let unfinished = folder.join(format!(".{name}"));
        // of a process with the same number that was killed
        let _ = fs::remove_dir_all(&unfinished);
        make_folder(&unfinished)?;
        let filled = self.fill(&unfinished, request, made);
        let bundle = folder.join(format!("{name}-{}k", size_of(&unfinished).div_ceil(1 << 10)));
        own_as_folder(&unfinished);
        complete(&unfinished, &bundle, filled)?;
        rotate(folder, keep, max_size);
        sweep(folder);
        Ok(bundle)
    }

    fn fill(&self, bundle: &Path, request: Vec<u8>, made: Made<'_>) -> Result<()> {
        if self.redact {
            let document = envelope::open(request).context("nothing can be left out of it (record.redact)")?;
            put_redacted(&bundle.join("request.xml.gz"), &document.xml)?;
        } else {
            match envelope::open(request.clone()) {
                Ok(document) if !document.repaired => {
                    put_compressed(&bundle.join("request.xml.gz"), document.xml.as_bytes())?;
                }
                _ => put_compressed(&bundle.join("request.b64.gz"), &request)?,
            }
        }
        put(&bundle.join("README"), format!("{} request of {}\n", self.command, self.at).as_bytes())?;
        let config: String = self.config.iter().map(|(key, value)| format!("{key}: {}\n", yaml(value))).collect();
        put(&bundle.join("oneaio.conf"), config.as_bytes())?;
        if let Some(recall) = made.recall {
            put_compressed(&bundle.join(RECALL), &serde_json::to_vec(recall)?)?;
        }
        // estimates of the store come from it; one that cannot be read is told by who uses it
        if let Ok(Some(model)) = modelfile::read(&self.model) {
            put(&bundle.join(MODEL), &serde_json::to_vec_pretty(&model.header)?)?;
        }
        if let Some(theirs) = made.theirs {
            put(&bundle.join(THEIRS), theirs)?;
        }
        if made.plan.is_some() {
            make_folder(&bundle.join("expected"))?;
        }
        for (name, text) in [("plan.xml", made.plan), ("messages.txt", made.messages)] {
            if let Some(text) = text {
                put(&bundle.join("expected").join(name), text.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The folder that keeps requests, where there is one.
#[must_use]
pub fn folder(settings: &Settings) -> Option<PathBuf> {
    match &settings.operate.record {
        Destination::None => None,
        Destination::File(folder) => Some(folder.clone()),
        Destination::Default => Some(Installation::here().bundles()).filter(|folder| folder_exists(folder)),
    }
}

/// The settings that matter for a decision, as written, each once.
fn decisive(given: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for (key, value) in given {
        kept.retain(|(known, _)| *known != key);
        if !is_local(&key) {
            kept.push((key, value));
        }
    }
    kept
}

/// A value that YAML reads as just this text.
fn yaml(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("{} cannot be made", folder.display()))
}

fn put(file: &Path, bytes: &[u8]) -> Result<()> {
    let told = || format!("{} cannot be written", file.display());
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(told)?;
    open.write_all(bytes).with_context(told)
}

/// The part of a document that may be kept, without a copy of it in memory.
fn put_redacted(file: &Path, xml: &str) -> Result<()> {
    let told = || format!("{} cannot be written", file.display());
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(told)?;
    // pieces are short
    let mut encoder = BufWriter::with_capacity(1 << 16, GzEncoder::new(open, Compression::fast()));
    let mut written = Ok(());
    let whole = redact::redacted(xml, &mut |piece| {
        if written.is_ok() {
            written = encoder.write_all(piece.as_bytes());
        }
    });
    let encoder = written.and_then(|()| encoder.into_inner().map_err(IntoInnerError::into_error)).with_context(told)?;
    encoder.finish().with_context(told)?;
    if whole { Ok(()) } else { bail!("it cannot be read to its end, so nothing can be left out of it (record.redact)") }
}

fn put_compressed(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    put(file, &encoder.finish()?)
}

/// The size of a bundle in bytes, as its name tells it.
fn told_size(bundle: &Path) -> Option<u64> {
    let kib = bundle.file_name()?.to_str()?.split('-').nth(3)?.strip_suffix('k')?;
    kib.parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// When a bundle of ours was made, and by which process, by its name.
fn made(name: &str) -> Option<(i64, u32)> {
    let mut parts = name.trim_start_matches('.').split('-');
    let at = parts.next()?.parse().ok()?;
    let is_ours = matches!(parts.next()?, "place" | "optimize");
    parts.next()?.parse().ok().filter(|_| is_ours).map(|process| (at, process))
}

/// Drops what processes left unfinished that were killed.
fn sweep(folder: &Path) {
    let names =
        fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| name.starts_with('.')) {
        let lives = |process: u32| Path::new("/proc").join(process.to_string()).exists();
        if made(&name).is_some_and(|(_, process)| lives(std::process::id()) && !lives(process)) {
            let _ = fs::remove_dir_all(folder.join(name));
        }
    }
}

/// The bundles of a folder, oldest first.
pub fn bundles(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut found: Vec<(i64, String)> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .filter_map(|name| Some((made(&name)?.0, name)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| folder.join(name)).collect()
}

/// Drops the oldest bundles beyond number and size, but never the newest. Two processes may
/// do so at once: what is gone already is no failure.
fn rotate(folder: &Path, keep: usize, max_size: u64) {
    let all = bundles(folder);
    let mut size = 0_u64;
    for (age, bundle) in all.iter().rev().enumerate() {
        // those of older versions do not tell it
        size = size.saturating_add(told_size(bundle).unwrap_or_else(|| size_of(bundle)));
        if age > 0 && (age >= keep || size > max_size) {
            let _ = fs::remove_dir_all(bundle);
        }
    }
}

fn size_of(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn a_bundle_keeps_what_decides_and_no_place_on_disk() {
        let given = [
            ("s_green", "1"),
            ("model", "/home/me/model"),
            ("history.store", "password=x"),
            ("log_placements", "3"),
            ("s_green", "2"),
        ];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(decisive(given.into()), [("s_green".to_owned(), "2".to_owned())]);
        let places = keys::all().filter(|key| key.help.contains("file") && key.default.contains('/'));
        places.for_each(|key| assert!(decisive(vec![(key.name.to_owned(), String::new())]).is_empty(), "{}", key.name));
    }

    /// The bundles of a folder by name, and those that are hidden.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn unpacked(file: &Path) -> String {
        use std::io::Read;
        let mut text = String::new();
        flate2::read::GzDecoder::new(fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    fn recording(folder: Option<&Path>, request: &[u8]) -> Recording {
        let mut settings = Settings::default();
        settings.operate.record = folder.map_or(Destination::None, |folder| Destination::File(folder.to_owned()));
        settings.model = Some("/nowhere/model".into());
        let given = vec![("s_green".to_owned(), "it's".to_owned())];
        Recording { redact: false, ..Recording::begin("place", given, &settings, request, 1234) }
    }

    #[test]
    fn a_bundle_holds_the_request_and_what_belongs_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("bundles");
        let request = "<SCHEDULER_DRIVER_ACTION/>";
        let recall = Recall { now: 77, ..Recall::default() };
        let made =
            Made { recall: Some(&recall), plan: Some("<PLAN/>"), messages: Some("said"), theirs: Some(b"other") };
        let bundle = recording(Some(&into), request.as_bytes()).keep(made).unwrap();
        assert_eq!(bundle, into.join(format!("1234-place-{}-1k", std::process::id())));
        assert_eq!(
            names(&bundle),
            ["README", "answered.xml", "expected", "oneaio.conf", "recall.json.gz", "request.xml.gz"]
        );
        assert_eq!(unpacked(&bundle.join("request.xml.gz")), request);
        assert_eq!(fs::read_to_string(bundle.join("README")).unwrap(), "place request of 1234\n");
        assert_eq!(fs::read_to_string(bundle.join("oneaio.conf")).unwrap(), "s_green: 'it''s'\n");
        assert!(unpacked(&bundle.join("recall.json.gz")).contains("\"now\":77"));
        assert_eq!(fs::read_to_string(bundle.join("answered.xml")).unwrap(), "other");
        assert_eq!(fs::read_to_string(bundle.join("expected/plan.xml")).unwrap(), "<PLAN/>");
        assert_eq!(fs::read_to_string(bundle.join("expected/messages.txt")).unwrap(), "said");
        // what is no document is kept as it came; without an answer nothing is expected
        let other = folder.path().join("others");
        let bundle = recording(Some(&other), b"\xff no request").keep(Made::default()).unwrap();
        assert_eq!(names(&bundle), ["README", "oneaio.conf", "request.b64.gz"]);
        // a fault is kept where all others are, if that is named
        let faults = folder.path().join("faults");
        let text = recording(Some(&faults), request.as_bytes()).keep_fault(Made::default());
        assert!(text.starts_with(&format!("the request is kept in {}", faults.display())), "{text}");
        // a request is written once
        let once = recording(Some(&folder.path().join("once")), request.as_bytes());
        assert!(once.keep(Made::default()).is_some());
        assert_eq!(once.keep(Made::default()), None);
        assert!(recording(None, request.as_bytes()).keep(Made::default()).is_none());
    }

    #[test]
    fn requests_that_are_too_large_are_held_only_where_they_will_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let held = |folder: Option<&Path>, size: usize| {
            let recording = recording(folder, &vec![b' '; size]);
            recording.request.into_inner().map(|request| request.len())
        };
        assert_eq!((held(None, HELD), held(None, HELD + 1)), (Ok(HELD), Err(HELD + 1)));
        assert_eq!(held(Some(folder.path()), HELD + 1), Ok(HELD + 1));
        let large = Recording { request: RefCell::new(Err(40 << 20)), ..recording(None, b"") };
        let text = large.write(folder.path(), 1, 1, Made::default()).unwrap_err().to_string();
        let told = "it has 40 MiB, and beyond 16 none is held in memory for this; set record.dir to keep such requests";
        assert_eq!((text.as_str(), names(folder.path()).len()), (told, 0));
    }

    #[test]
    fn a_name_tells_when_by_which_process_and_how_large() {
        assert_eq!(made("1234-place-77-9k"), Some((1234, 77)));
        assert_eq!((made(".1234-optimize-77"), made("5-place-1")), (Some((1234, 77)), Some((5, 1))));
        for odd in ["1234-other-77", "x-place-77", "1234-place-x", "1234-place", "1234", ""] {
            assert_eq!(made(odd), None, "{odd}");
        }
        let size = |name: &str| told_size(&Path::new("/a").join(name));
        assert_eq!(
            (size("1-place-7-9k"), size("1-place-7"), size("1-place-7-9"), size("1-place-7-xk")),
            (Some(9216), None, None, None)
        );
        assert_eq!(yaml("a'b"), "'a''b'");
    }

    #[test]
    fn the_oldest_bundles_go_beyond_number_and_size_but_never_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let made = |all: &[&str]| {
            for name in all {
                fs::create_dir(folder.path().join(name)).unwrap();
                fs::write(folder.path().join(name).join("f"), [0; 1024]).unwrap();
            }
        };
        let all = ["5-place-1-3k", "40-optimize-1-2k", "300-place-1-1k", "7-place-1"];
        made(&all);
        made(&[".9-place-1", "other"]);
        let found: Vec<String> =
            bundles(folder.path()).iter().map(|one| one.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(found, ["5-place-1-3k", "7-place-1", "40-optimize-1-2k", "300-place-1-1k"], "oldest first");
        assert_eq!(size_of(folder.path()), 6 * 1024);
        // 1, 2, 1 KiB by its size, 3: all fit
        rotate(folder.path(), 4, 7 << 10);
        assert_eq!(bundles(folder.path()).len(), 4);
        rotate(folder.path(), 4, (7 << 10) - 1);
        assert_eq!(bundles(folder.path()).len(), 3);
        rotate(folder.path(), 4, 3 << 10);
        assert_eq!(bundles(folder.path()).len(), 2);
        rotate(folder.path(), 1, u64::MAX);
        rotate(folder.path(), 0, 0);
        assert_eq!(names(folder.path()), [".9-place-1", "300-place-1-1k", "other"]);
    }

    #[test]
    fn what_killed_processes_left_unfinished_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!(".5-place-{}", std::process::id());
        // no process has that number
        let gone = format!(".5-optimize-{}", u32::MAX);
        for name in [own.as_str(), gone.as_str(), ".hidden", "5-place-4294967295-1k"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        sweep(folder.path());
        assert_eq!(names(folder.path()), [own.as_str(), ".hidden", "5-place-4294967295-1k"]);
    }

    #[test]
    fn what_is_left_out_of_a_request_is_left_out_of_its_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let mut recording = recording(Some(folder.path()), b"<A><VM><ID>3</ID></VM></A>");
        recording.redact = true;
        let bundle = recording.keep(Made::default()).unwrap();
        assert_eq!(names(&bundle), ["README", "oneaio.conf", "request.xml.gz"]);
        let mut odd = self::recording(Some(folder.path()), b"\xff no request");
        odd.redact = true;
        assert_eq!(odd.keep(Made::default()), None);
        assert_eq!(names(folder.path()).len(), 1, "nothing of it stays behind");
        let file = folder.path().join("cut.gz");
        let text = put_redacted(&file, "<A><VM>").unwrap_err().to_string();
        assert_eq!(text, "it cannot be read to its end, so nothing can be left out of it (record.redact)");
    }
}

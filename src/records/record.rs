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
}

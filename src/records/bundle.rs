//! A bundle: a recorded request with what belongs to it, in one folder.
//!
//! ```text
//! request.xml | request.b64 [.gz]    what oned sent
//! oneaio.conf                        settings, if not the defaults
//! history.db | recall.json.gz        what was known of its VMs, if anything
//! model.json                         which model was there: its header, with a checksum
//! answered.xml                       what another scheduler answered (shadow mode)
//! expected/plan.xml                  the plan that is known to be right
//! expected/messages.txt              what was said about it
//! ```

use super::folder::Folder;
use crate::model::history::Recall;
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// What the store told for a recorded request.
pub const RECALL: &str = "recall.json.gz";

/// The header of the model that was there.
pub const MODEL: &str = "model.json";

/// What another scheduler answered.
pub const THEIRS: &str = "answered.xml";

const REQUESTS: [&str; 4] = ["request.xml", "request.b64", "request.xml.gz", "request.b64.gz"];

/// No request unpacks to more: twice that of 1,000 hosts and 20,000 VMs, the largest that we
/// have measured.
pub const MOST_REQUEST: u64 = 512 << 20;

/// Nor does what the store told: some 500 bytes for each of 250,000 VMs.
const MOST_RECALL: u64 = 128 << 20;

/// What is expected: a plan has about 300 bytes for each VM.
const MOST_EXPECTED: u64 = 64 << 20;

/// A configuration, and a README.
const MOST_TEXT: u64 = 1 << 20;

/// The bundles of a folder that is none itself, by name; none for anything else.
#[must_use]
pub fn inside(folder: &Path) -> Vec<PathBuf> {
    if Bundle::open(folder).is_ok() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // links among them would lead out of the folder that was named
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut found: Vec<PathBuf> =
        folders.map(|entry| entry.path()).filter(|path| !hidden(path) && Bundle::open(path).is_ok()).collect();
    found.sort();
    found
}

/// A bundle on disk. It may come from elsewhere: what lies in it is data, is read within
/// bounds, and leads nowhere else.
pub struct Bundle {
    /// As named by the user.
    pub path: PathBuf,
    /// `None` for a file that was named as a request.
    folder: Option<Folder>,
    request: &'static str,
}

impl Bundle {
    /// Finds the request of a folder, or takes a file as one.
    ///
    /// # Errors
    /// When there is neither.
    pub fn open(path: &Path) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            return Ok(Self { path: path.to_owned(), folder: None, request: "" });
        }
        if !path.is_dir() {
            bail!("{} is not there", path.display());
        }
        let folder = Folder::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        for request in REQUESTS {
            if folder.file(request).with_context(|| cannot_be_read(&path.join(request)))?.is_some() {
                return Ok(Self { path: path.to_owned(), folder: Some(folder), request });
            }
        }
        bail!("{} holds none of {}", path.display(), REQUESTS.join(", "))
    }

    /// The request as recorded, packed as it is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn request(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.open_request()?.take(MOST_REQUEST).read_to_end(&mut bytes);
        read.map(|_| bytes).with_context(|| cannot_be_read(&self.path.join(self.request)))
    }

    /// The request as recorded, to be read piece by piece.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open_request(&self) -> Result<File> {
        let told = || cannot_be_read(&self.path.join(self.request));
        match &self.folder {
            Some(folder) => folder.file(self.request).with_context(told)?.with_context(told),
            None => File::open(&self.path).with_context(|| cannot_be_read(&self.path)),
        }
    }

    /// What the store told when it was recorded, if that was kept.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn recall(&self) -> Result<Option<Recall>> {
        let told = || cannot_be_read(&self.path.join(RECALL));
        let Some(file) = self.file(RECALL).with_context(told)? else { return Ok(None) };
        let text = BufReader::new(MultiGzDecoder::new(file).take(MOST_RECALL));
        serde_json::from_reader(text).map(Some).with_context(told)
    }

    /// What another scheduler answered; `None` where none was asked.
    #[must_use]
    pub fn theirs(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path.join(THEIRS)).ok()
    }

    /// Its own history, if it has some.
    ///
    /// # Errors
    /// When it is a link or no file.
    pub fn history(&self) -> Result<Option<PathBuf>> {
        let path = self.path.join("history.db");
        let there = self.file("history.db").with_context(|| cannot_be_read(&path))?;
        Ok(there.map(|_| path))
    }

    /// The first word of its README, if it has one: place or optimize.
    #[must_use]
    pub fn first_word(&self) -> Option<String> {
        let text = self.folder.as_ref()?.text("README", MOST_TEXT).ok()??;
        text.split_whitespace().next().map(str::to_lowercase).filter(|word| word == "place" || word == "optimize")
    }

    /// Name and text of its own configuration, if it has one.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn config(&self) -> Result<Option<(String, String)>> {
        let path = self.path.join("oneaio.conf");
        let Some(folder) = &self.folder else { return Ok(None) };
        let text = folder.text("oneaio.conf", MOST_TEXT).with_context(|| cannot_be_read(&path))?;
        Ok(text.map(|text| (path.display().to_string(), text)))
    }

    /// A file of `expected/`, if it is there.
    ///
    /// # Errors
    /// When it is there and cannot be read: then nothing was compared.
    pub fn expected(&self, name: &str) -> Result<Option<String>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let told = || cannot_be_read(&self.path.join("expected").join(name));
        let Some(expected) = folder.inner("expected").with_context(told)? else { return Ok(None) };
        expected.text(name, MOST_EXPECTED).with_context(told)
    }

    /// Whether it is a folder, which can keep what is expected.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Writes a file of `expected/`.
    ///
    /// # Errors
    /// When the folder cannot be written, or a link is in the way.
    pub fn bless(&self, name: &str, text: &str) -> Result<()> {
        let file = self.path.join("expected").join(name);
        let Some(folder) = &self.folder else { bail!("{} is no folder", self.path.display()) };
        let put = folder.made("expected").and_then(|expected| expected.put(name, text.as_bytes()));
        put.with_context(|| format!("{} cannot be written", file.display()))
    }

    fn file(&self, name: &str) -> std::io::Result<Option<File>> {
        self.folder.as_ref().map_or(Ok(None), |folder| folder.file(name))
    }
}

fn cannot_be_read(file: &Path) -> String {
    format!("{} cannot be read", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::fs;
    use std::io::Write;

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn told<T>(outcome: Result<T>) -> String {
        format!("{:#}", outcome.map(drop).unwrap_err())
    }

    #[test]
    fn a_bundle_is_a_folder_with_a_request_or_a_file() {
        let all = folder(&[("request.xml.gz", "3"), ("request.b64", "2"), ("request.xml", "1")]);
        for expected in ["1", "2", "3"] {
            let bundle = Bundle::open(all.path()).unwrap();
            assert_eq!((bundle.request().unwrap(), bundle.is_folder()), (expected.as_bytes().to_vec(), true));
            fs::remove_file(all.path().join(bundle.request)).unwrap();
        }
        let none = "holds none of request.xml, request.b64, request.xml.gz, request.b64.gz";
        assert!(told(Bundle::open(all.path())).ends_with(none));
        assert!(told(Bundle::open(&all.path().join("no"))).ends_with("no is not there"));
        fs::write(all.path().join("any"), "4").unwrap();
        let file = Bundle::open(&all.path().join("any")).unwrap();
        assert_eq!((file.request().unwrap(), file.is_folder()), (b"4".to_vec(), false));
        assert!(file.recall().unwrap().is_none() && file.config().unwrap().is_none() && file.first_word().is_none());
        assert!(file.history().unwrap().is_none() && file.expected("plan.xml").unwrap().is_none());
        assert!(told(file.bless("plan.xml", "x")).ends_with("any is no folder"));
        fs::create_dir(all.path().join("request.xml")).unwrap();
        assert!(told(Bundle::open(all.path())).contains("request.xml cannot be read: it is no regular file"));
    }

    #[test]
    fn what_belongs_to_a_request_is_read_where_it_is_there() {
        let plain = folder(&[("request.xml", "x")]);
        let bundle = Bundle::open(plain.path()).unwrap();
        assert!(bundle.recall().unwrap().is_none() && bundle.config().unwrap().is_none());
        assert!(bundle.history().unwrap().is_none() && bundle.theirs().is_none() && bundle.first_word().is_none());
        assert!(bundle.expected("plan.xml").unwrap().is_none());
        bundle.bless("plan.xml", "a plan").unwrap();
        assert_eq!(bundle.expected("plan.xml").unwrap().as_deref(), Some("a plan"));
        assert_eq!(bundle.expected("messages.txt").unwrap(), None);

        let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
        zipped.write_all(b"{\"now\": 77}").unwrap();
        let whole = folder(&[
            ("request.xml", "x"),
            ("oneaio.conf", "s_green: 2\n"),
            ("history.db", "y"),
            ("answered.xml", "<PLAN/>"),
            ("README", "  Optimize of the cluster\n"),
        ]);
        fs::write(whole.path().join(RECALL), zipped.finish().unwrap()).unwrap();
        let bundle = Bundle::open(whole.path()).unwrap();
        assert_eq!(bundle.recall().unwrap().map(|recall| recall.now), Some(77));
        let name = whole.path().join("oneaio.conf").display().to_string();
        assert_eq!(bundle.config().unwrap(), Some((name, "s_green: 2\n".to_owned())));
        assert_eq!(bundle.history().unwrap(), Some(whole.path().join("history.db")));
        assert_eq!(
            (bundle.theirs().as_deref(), bundle.first_word().as_deref()),
            (Some(&b"<PLAN/>"[..]), Some("optimize"))
        );
        for (text, word) in [("place it", Some("place")), ("placed", None), ("", None), ("a place", None)] {
            fs::write(whole.path().join("README"), text).unwrap();
            assert_eq!(bundle.first_word().as_deref(), word, "{text}");
        }
        fs::write(whole.path().join(RECALL), "{}").unwrap();
        assert!(told(bundle.recall()).contains("recall.json.gz cannot be read"));
        fs::write(whole.path().join("oneaio.conf"), "x".repeat(MOST_TEXT as usize + 1)).unwrap();
        assert!(told(bundle.config()).contains("oneaio.conf cannot be read: it is longer than 1 MiB"));
        fs::write(whole.path().join("expected"), "no folder").unwrap();
        assert!(told(bundle.expected("plan.xml")).contains("plan.xml cannot be read"));
        assert!(told(bundle.bless("plan.xml", "")).contains("plan.xml cannot be written"));
    }

    #[test]
    fn bundles_of_a_folder_come_by_name_and_lead_nowhere_else() {
        let whole =
            folder(&[("b/request.xml", ""), ("a/request.b64", ""), (".c/request.xml", ""), ("d/other", ""), ("e", "")]);
        std::os::unix::fs::symlink(whole.path().join("a"), whole.path().join("f")).unwrap();
        assert_eq!(inside(whole.path()), ["a", "b"].map(|name| whole.path().join(name)));
        assert_eq!((inside(&whole.path().join("a")), inside(&whole.path().join("none"))), (vec![], vec![]));
    }
}

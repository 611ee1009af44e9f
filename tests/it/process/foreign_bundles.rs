//! Bundles from elsewhere: whoever packed one chooses each file in it. Replaying one, and
//! blessing it, touches nothing outside, asks nobody, and ends.
use crate::support::request::{host, request, vm};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn oneaio(args: &[&str], folder: &Path) -> Output {
    let path = folder.to_str().unwrap();
    // a front-end of its own, so that no installed configuration is read
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(args)
        .arg(path)
        .env("ONE_LOCATION", folder.parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.code().is_some_and(|code| code < 70), "{output:?}");
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A bundle, in a folder that also holds what must stay as it is.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("bundles/one")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/plan.xml"), "precious").unwrap();
        let place = Self { folder };
        let xml = request(&[host(1), host(2)], &[vm(0, &[1, 2]), vm(1, &[1, 2])]).xml();
        fs::write(place.bundle("request.xml"), xml).unwrap();
        place
    }

    fn bundle(&self, name: &str) -> PathBuf {
        self.folder.path().join("bundles/one").join(name)
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join("outside").join(name)
    }

    /// Nothing outside the bundle was changed or made.
    fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(self.outside("plan.xml")).unwrap(), "precious");
        let names = |folder: &Path| -> Vec<String> {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(names(&self.folder.path().join("outside")), ["plan.xml"]);
        let mut top = names(self.folder.path());
        top.sort();
        assert_eq!(top, ["bundles", "outside"]);
    }
}

#[test]
fn bless_follows_no_link() {
    for (what, refused) in [("folder", true), ("file", true), ("dangling", true), ("hard link", false)] {
        let place = Place::new();
        let expected = place.bundle("expected");
        match what {
            "folder" => symlink(place.outside(""), &expected).unwrap(),
            _ => fs::create_dir(&expected).unwrap(),
        }
        match what {
            "file" => symlink(place.outside("plan.xml"), expected.join("plan.xml")).unwrap(),
            "dangling" => symlink(place.outside("new"), expected.join("messages.txt")).unwrap(),
            "hard link" => fs::hard_link(place.outside("plan.xml"), expected.join("plan.xml")).unwrap(),
            _ => {}
        }
        let output = oneaio(&["replay", "--bless"], &place.bundle(""));
        assert_eq!(output.status.success(), !refused, "{what}: {output:?}");
        assert!(!refused || said(&output).contains("link"), "{what}: {}", said(&output));
        place.is_untouched();
    }
}

#[test]
fn a_folder_of_bundles_does_not_lead_out_of_itself() {
    let place = Place::new();
    let elsewhere = Place::new();
    symlink(elsewhere.bundle(""), place.folder.path().join("bundles/two")).unwrap();
    let output = oneaio(&["replay", "--bless"], &place.folder.path().join("bundles"));
    assert!(output.status.success(), "{output:?}");
    assert!(place.bundle("expected/plan.xml").is_file() && !elsewhere.bundle("expected").exists());
}

#[test]
fn files_that_are_links_or_pipes_are_not_read() {
    for name in ["request.xml", "oneaio.conf", "recall.json.gz", "history.db", "expected/plan.xml"] {
        for pipe in [false, true] {
            let place = Place::new();
            fs::create_dir(place.bundle("expected")).unwrap();
            let _ = fs::remove_file(place.bundle(name));
            if pipe {
                assert!(Command::new("mkfifo").arg(place.bundle(name)).status().unwrap().success());
            } else {
                symlink(place.outside("plan.xml"), place.bundle(name)).unwrap();
            }
            let output = oneaio(&["replay"], &place.bundle(""));
            assert!(!output.status.success(), "{name}: {output:?}");
            let said = said(&output);
            let why = if pipe { "it is no regular file" } else { "link" };
            assert!(said.contains(name) && said.contains(why) && said.lines().count() == 1, "{name}: {said}");
            assert!(!said.contains("precious"), "{said}");
            place.is_untouched();
        }
    }
}

#[test]
fn its_configuration_names_nothing_of_this_machine() {
    let place = Place::new();
    let at = |name: &str| place.outside(name).display().to_string();
    let text = format!(
        "s_green: 3\nhistory:\n  store: sqlite:{}\nrecord:\n  dir: {}\ndecision_log: {}\nmodel: {}\nserve:\n  \
         state_file: {}\n",
        at("h.db"),
        at("r"),
        at("log"),
        at("model"),
        at("state")
    );
    fs::write(place.bundle("oneaio.conf"), text).unwrap();
    for args in [&["replay"][..], &["explain", "0", "--from"]] {
        let output = oneaio(args, &place.bundle(""));
        assert!(output.status.success(), "{output:?}");
        let said = said(&output);
        assert_eq!(said.lines().filter(|line| line.contains("is not taken from a bundle")).count(), 5, "{said}");
        place.is_untouched();
    }
}

fn packed(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    pieces.for_each(|piece| gzip.write_all(&piece).unwrap());
    gzip.finish().unwrap()
}

#[test]
fn what_it_unpacks_is_bounded() {
    // 600 MiB of blanks between two elements
    let blanks = vec![b' '; 1 << 20];
    let begin = b"<SCHEDULER_DRIVER_ACTION>".to_vec();
    let bomb = packed(std::iter::once(begin).chain(std::iter::repeat_n(blanks, 600)));
    assert!(bomb.len() < 4 << 20);
    let place = Place::new();
    fs::remove_file(place.bundle("request.xml")).unwrap();
    fs::write(place.bundle("request.xml.gz"), &bomb).unwrap();
    let output = oneaio(&["replay"], &place.bundle(""));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said(&output).contains("it unpacks to more than 512 MiB"), "{}", said(&output));

    let place = Place::new();
    fs::write(place.bundle("recall.json.gz"), &bomb).unwrap();
    let output = oneaio(&["replay"], &place.bundle(""));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

/// A large request of many elements that mean nothing: what is held is what it says, not
/// what it is long.
#[test]
fn the_reader_streams() {
    let filler = b"<VM_POOL_OF_SOMETHING><A>x</A></VM_POOL_OF_SOMETHING>".repeat(20_000);
    let whole = request(&[host(1)], &[vm(0, &[1])]).xml();
    let (begin, rest) = whole.split_at(whole.find("<VM_POOL>").unwrap());
    let pieces = std::iter::once(begin.as_bytes().to_vec())
        .chain(std::iter::repeat_n(filler, 200))
        .chain(std::iter::once(rest.as_bytes().to_vec()));
    let place = Place::new();
    fs::remove_file(place.bundle("request.xml")).unwrap();
    fs::write(place.bundle("request.xml.gz"), packed(pieces)).unwrap();
    // 200 MB of text within 100 MB of address space beyond the program's own
    let script =
        format!("ulimit -v 400000; exec {} replay {}", env!("CARGO_BIN_EXE_oneaio"), place.bundle("").display());
    let output = Command::new("sh").args(["-c", &script]).env("ONE_LOCATION", place.folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("placed 1 of 1 VMs"), "{output:?}");
}

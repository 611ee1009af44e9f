//! Maintainer scripts and one-location run as root in folders that others can write: no link
//! there may lead them elsewhere. Only root can try it.
use crate::support::skip::skip;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Stands for oneadmin.
const OTHER: u32 = 65_534;

fn can_try() -> bool {
    let able = euid() == 0 && Command::new("setpriv").arg("--version").output().is_ok();
    if !able {
        skip("root", "only root with setpriv can try it");
    }
    able
}

fn euid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

/// A folder for a root of its own, with what nobody may touch.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(root.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        root.make("outside/deep/oneaio", 0);
        for name in ["outside/place", "outside/deep/oneaio/place", "outside/deep/oneaio/optimize"] {
            fs::write(root.path(name), "precious").unwrap();
        }
        root
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn make(&self, folder: &str, owner: u32) {
        fs::create_dir_all(self.path(folder)).unwrap();
        chown(self.path(folder), Some(owner), Some(owner)).unwrap();
    }

    fn link(&self, to: &str, from: &str) {
        symlink(self.path(to), self.path(from)).unwrap();
    }

    /// Nothing outside has another owner, other rights or other content.
    fn is_untouched(&self) {
        for folder in ["outside", "outside/deep", "outside/deep/oneaio"] {
            let metadata = fs::metadata(self.path(folder)).unwrap();
            assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o755), "{folder}");
        }
        for name in ["outside/place", "outside/deep/oneaio/place", "outside/deep/oneaio/optimize"] {
            let metadata = fs::metadata(self.path(name)).unwrap();
            assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o644), "{name}");
            assert_eq!(fs::read_to_string(self.path(name)).unwrap(), "precious");
        }
        assert_eq!(fs::read_dir(self.path("outside/deep/oneaio")).unwrap().count(), 2);
    }

    /// A maintainer script, with an account that this machine has in place of oneadmin.
    fn script(&self, name: &str, argument: &str) -> Output {
        self.command(name, argument).output().unwrap()
    }

    fn command(&self, name: &str, argument: &str) -> Command {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).unwrap();
        for program in ["chown", "install", "setpriv"] {
            let shim = format!(
                "#!/bin/bash\nexec \"$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v {program})\" \"${{@//oneadmin/{OTHER}}}\"\n"
            );
            fs::write(bin.join(program), shim).unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/scripts").join(name);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.arg(script).arg(argument).env("DPKG_ROOT", self.0.path()).env("PATH", path);
        command.env_remove("ONE_LOCATION");
        command
    }

    /// What a package has unpacked.
    fn unpacked(&self) {
        self.make("etc/one/schedulers", 0);
        fs::write(self.path("etc/one/oned.conf"), "").unwrap();
        fs::write(self.path("etc/one/schedulers/oneaio.conf"), "").unwrap();
        self.make("var/lib/one", OTHER);
        self.make("var/lib/one/remotes", OTHER);
        self.make("var/lib/one/remotes/scheduler", OTHER);
    }
}

fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().uid()
}

#[test]
fn an_installation_without_links_gets_its_owners() {
    if !can_try() {
        return;
    }
    let root = Root::new();
    root.unpacked();
    let wrappers = root.path("var/lib/one/remotes/scheduler/oneaio");
    fs::create_dir(&wrappers).unwrap();
    fs::write(wrappers.join("place"), "").unwrap();
    fs::write(wrappers.join("optimize"), "").unwrap();
    let output = root.script("postinst", "configure");
    assert!(output.status.success(), "{output:?}");
    for path in [wrappers.clone(), wrappers.join("place"), wrappers.join("optimize"), root.path("var/lib/one/oneaio")] {
        assert_eq!(owner(&path), OTHER, "{}", path.display());
    }
    let conf = fs::metadata(root.path("etc/one/schedulers/oneaio.conf")).unwrap();
    assert_eq!((conf.uid(), conf.gid(), conf.mode() & 0o777), (0, OTHER, 0o640));
    fs::remove_dir_all(&wrappers).unwrap();
    fs::create_dir(&wrappers).unwrap();
    assert!(root.script("postrm", "purge").status.success());
    assert!(!root.path("var/lib/one/oneaio").exists() && !wrappers.exists());
}

#[test]
fn maintainer_scripts_follow_no_links() {
    if !can_try() {
        return;
    }
    for (to, from) in [
        ("outside/place", "var/lib/one/remotes/scheduler/oneaio/place"),
        ("outside/deep/oneaio", "var/lib/one/remotes/scheduler/oneaio"),
        ("outside/deep", "var/lib/one/remotes/scheduler"),
        ("outside/deep/oneaio", "var/lib/one/oneaio"),
        ("outside/nowhere", "var/lib/one/oneaio"),
    ] {
        let root = Root::new();
        root.unpacked();
        let parent = root.path(from).parent().unwrap().to_owned();
        fs::create_dir_all(&parent).unwrap();
        if root.path(from).is_dir() {
            fs::remove_dir(root.path(from)).unwrap();
        }
        root.link(to, from);
        let output = root.script("postinst", "configure");
        assert!(output.status.success(), "{from}: {output:?}");
        root.is_untouched();
        let output = root.script("postrm", "purge");
        assert!(output.status.success(), "{from}: {output:?}");
        root.is_untouched();
        assert!(!root.path("outside/nowhere").exists());
    }
}

#[test]
fn a_pipe_in_the_place_of_oned_conf_holds_up_nothing() {
    if !can_try() {
        return;
    }
    for (name, argument) in [("postinst", "configure")] {
        let root = Root::new();
        root.unpacked();
        fs::create_dir_all(root.path("one/etc")).unwrap();
        fs::remove_file(root.path("etc/one/oned.conf")).unwrap();
        for pipe in ["etc/one/oned.conf", "one/etc/oned.conf"] {
            assert!(Command::new("mkfifo").arg(root.path(pipe)).status().unwrap().success());
        }
        let mut script = root.command(name, argument);
        script.env("ONE_LOCATION", root.path("one"));
        let mut ended = Command::new("timeout");
        ended.args(["20", "sh"]).args(script.get_args());
        ended.envs(script.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let output = ended.output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

#[test]
fn one_location_follows_no_links_beyond_its_owners_power() {
    if !can_try() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/one-location");
    let run = |root: &Root| {
        root.make("wrappers", 0);
        for name in ["wrappers/place", "wrappers/optimize", "conf"] {
            fs::write(root.path(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(root.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Command::new("sh")
            .args([&script, &root.path("one")])
            .env("ONEAIO_WRAPPERS", root.path("wrappers"))
            .env("ONEAIO_CONF", root.path("conf"))
            .output()
            .unwrap()
    };
    let plain = || {
        let root = Root::new();
        ["one", "one/var", "one/etc"].into_iter().for_each(|folder| root.make(folder, OTHER));
        root
    };
    let root = plain();
    for _ in 0..2 {
        let output = run(&root);
        assert!(output.status.success(), "{output:?}");
        for (name, mode) in [
            ("var/remotes/scheduler/oneaio/place", 0o755),
            ("etc/schedulers/oneaio.conf", 0o640),
            ("var/oneaio", 0o750),
        ] {
            let metadata = fs::metadata(root.path("one").join(name)).unwrap();
            assert_eq!((metadata.uid(), metadata.mode() & 0o777), (OTHER, mode), "{name}");
        }
    }
    for (to, from) in [
        ("outside/place", "one/var/remotes/scheduler/oneaio/place"),
        ("outside/place", "one/var/remotes/scheduler/oneaio/place.new"),
        ("outside/deep/oneaio", "one/var/remotes/scheduler/oneaio"),
        ("outside/deep/oneaio", "one/var/oneaio"),
        ("outside/nowhere", "one/etc/schedulers/oneaio.conf"),
    ] {
        let root = plain();
        let mut parent = root.path(from).parent().unwrap().to_owned();
        fs::create_dir_all(&parent).unwrap();
        while parent != root.path("one") {
            chown(&parent, Some(OTHER), Some(OTHER)).unwrap();
            parent.pop();
        }
        root.link(to, from);
        let _ = run(&root);
        root.is_untouched();
        assert!(!root.path("outside/nowhere").exists(), "{from}");
    }
    // what it reads as root is not where oneadmin can write
    let text = fs::read_to_string(&script).unwrap();
    let read = text.split("${ONEAIO_WRAPPERS:-").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    assert!(!read.starts_with("/var/lib/one") && !read.contains("remotes"), "{read}");
    let packages = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let shipped = packages.lines().filter(|line| line.contains(&format!("{}/\"", &read[1..])));
    assert_eq!(shipped.count(), 2, "both packages ship {read}");
    // a folder of root's in a place of somebody else's
    let root = plain();
    chown(root.path("one/var"), Some(0), Some(0)).unwrap();
    assert_eq!(run(&root).status.code(), Some(2));
}

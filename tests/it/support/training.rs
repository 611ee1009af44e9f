//! A folder with a store and a model, made-up usage, and the binary on them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Steps of the made-up usage, five minutes each: two weeks.
pub const STEPS: i32 = 14 * 288;

/// Its first moment, seconds since 1970.
pub const BEGIN: i64 = 1_700_006_400;

/// What a run gave.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub said: String,
}

/// A folder of its own.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("temporary folder") }
    }

    /// With the made-up usage and a model of it; made once, copied for each.
    pub fn trained() -> Self {
        static FIRST: OnceLock<Bench> = OnceLock::new();
        let first = FIRST.get_or_init(|| {
            let bench = Self::new();
            let (usage, sizes) = made_up();
            bench.import(&usage, &sizes);
            let trained = bench.run(&["train"]);
            assert_eq!(trained.status, 0, "{}", trained.said);
            assert!(trained.said.contains("kmeans, ") && trained.said.contains("R2 of CPU"), "{}", trained.said);
            bench
        });
        let bench = Self::new();
        for name in ["history.db", "model.safetensors"] {
            fs::copy(first.path(name), bench.path(name)).unwrap();
        }
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the binary on this folder's store and model; `--set` in the words goes over them.
    pub fn run(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.arg(words[0]);
        // a bundle has a store of its own
        if words[0] != "replay" {
            command.args(["--set", &format!("history.store=sqlite:{}", self.path("history.db").display())]);
            command.args(["--set", &format!("model={}", self.path("model.safetensors").display())]);
        }
        let output = command.args(&words[1..]).env("ONE_LOCATION", self.folder.path()).output().expect("runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let status = output.status.code().expect("no signal");
        Ran { status, out: text(output.stdout), said: text(output.stderr) }
    }

    /// Imports tables of usage and sizes.
    pub fn import(&self, usage: &str, sizes: &str) -> Ran {
        fs::write(self.path("usage.csv"), usage).unwrap();
        fs::write(self.path("sizes.csv"), sizes).unwrap();
        let (usage, sizes) = (self.path("usage.csv"), self.path("sizes.csv"));
        let ran = self.run(&["import", "--vms", sizes.to_str().unwrap(), usage.to_str().unwrap()]);
        assert_eq!(ran.status, 0, "{}", ran.said);
        ran
    }

    /// A bundle with the request of another, without what was known or expected.
    pub fn bundle(&self, of: &Path) -> PathBuf {
        let folder = self.path("bundle");
        fs::create_dir(&folder).unwrap();
        let is_request = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("request."));
        let request = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).find(is_request).unwrap();
        fs::copy(&request, folder.join(request.file_name().unwrap())).unwrap();
        folder
    }
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Usage and sizes of the real traces; without them it is said aloud.
pub fn shared_traces() -> Option<(PathBuf, PathBuf)> {
    let folder = super::skip::shared("traces")?;
    Some((folder.join("metrics-dev.csv.gz"), folder.join("vms-dev.csv")))
}

/// Two weeks of 16 VMs by five minutes: idle, light with a day's curve, moderate with
/// bursts, and full.
pub fn made_up() -> (String, String) {
    let mut usage = String::from("ts,vmid,cpu_percent,mem_kb,disk_read_kbps,disk_write_kbps,net_rx_kbps,net_tx_kbps\n");
    let mut sizes = String::from("vmid,cores,mem_capacity_kb,ts\n");
    let mut state = 11_u64;
    let mut chance = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 1000) as f64 / 1000.0
    };
    for vm in 0..16_usize {
        let cores = [1, 2, 2, 4][vm % 4];
        let memory = cores * 2_097_152;
        writeln!(sizes, "{vm},{cores},{memory},").unwrap();
        let own = 4.0 * chance();
        for step in 0..STEPS {
            let day = (f64::from(step) / 288.0 * std::f64::consts::TAU).sin();
            let cpu = match vm % 4 {
                0 => 0.5 + own / 4.0 + chance(),
                1 => 15.0 + own + 10.0 * day + 2.0 * chance(),
                2 => 35.0 + 2.0 * own + if chance() > 0.9 { 50.0 * chance() } else { 3.0 * chance() },
                _ => 80.0 + 2.0 * own + 5.0 * chance(),
            };
            let memory = f64::from(memory) * (0.2 + cpu / 200.0);
            let io = 10.0 * cpu + 20.0 * chance();
            let at = BEGIN + 300 * i64::from(step);
            writeln!(usage, "{at},{vm},{cpu:.2},{memory:.0},{io:.1},{:.1},{:.1},1", io / 2.0, io / 3.0).unwrap();
        }
    }
    (usage, sizes)
}

/// The first number after some words, in the first line that holds other words.
pub fn said(text: &str, line: &str, before: &str) -> f64 {
    let line = text.lines().find(|found| found.contains(line)).unwrap_or_else(|| panic!("no {line} in {text}"));
    let rest = line.split_once(before).unwrap_or_else(|| panic!("no {before} in {line}")).1;
    let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.parse().unwrap_or_else(|_| panic!("no number after {before} in {line}"))
}

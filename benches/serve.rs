//! Measures `oneaio serve` as a process over loopback: batches of 30 VMs x 100 hosts as
//! mm_sched sends them, with a scripted oned and a SQLite store.
//!
//! `cargo bench --bench serve` prints latencies; `cargo bench --bench serve -- --soak` sends
//! 100,000 batches and prints the memory of the process (VmRSS) along the way.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod ancestor_path;
#[path = "../tests/it/support/request.rs"]
mod common;
#[path = "../tests/it/support/store.rs"]
mod postgres;
#[path = "../tests/it/support/server.rs"]
mod serving;
#[path = "../tests/it/support/skip.rs"]
mod skip;

use oneaio::decide;
use oneaio::model::history::Recall;
use oneaio::model::policy::Policy;
use serving::{ScriptedOned, Service, hosts, pending};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const HOSTS: i32 = 100;
const VMS: i32 = 30;
const REQUESTS: usize = 1000;
const IDLE: usize = 200;
/// mm_sched asks every 15 s; so long the log and the store have their time.
const PAUSE: Duration = Duration::from_millis(5);
const SOAK: usize = 100_000;

fn main() {
    let soak = std::env::args().any(|argument| argument == "--soak");
    let folder = tempfile::tempdir().unwrap();
    let pool: Vec<_> =
        (0..HOSTS).map(|id| (id, 64, i64::from(id % 40), if id % 3 == 0 { "YES" } else { "NO" }, &[][..])).collect();
    let waiting: Vec<_> = (0..VMS).map(|id| (1000 + id, 1, "<FLAVOURS>web</FLAVOURS>")).collect();
    let answers = [("one.hostpool.info", hosts(&pool)), ("one.vmpool.infoextended", pending(&waiting))];
    let oned = ScriptedOned::start(&answers);
    let store = format!("history.store=sqlite:{}", folder.path().join("history.db").display());
    let settings = [store.as_str(), "serve.oned_refresh=10"];
    let service = Service::start_with(folder.path(), Some(&oned), &[], |command| {
        // the last setting of a key counts
        command.args(settings.iter().flat_map(|text| ["--set", text])).env_remove("ML_MODEL_PORT");
    });
    if soak { memory(&service) } else { latencies(&service) }
}

/// The same content as one request of the 7.x driver, decided in this process.
fn core() -> Times {
    let all: Vec<i32> = (0..HOSTS).collect();
    let hosts: Vec<_> = (0..HOSTS)
        .map(|id| {
            let used = i64::from(id % 40);
            let green = if id % 3 == 0 { "YES" } else { "NO" };
            common::host(id).cpu(6400, used * 100).memory(64 << 20, used << 20).template("ENERGY_RENEWABLE", green)
        })
        .collect();
    let vms: Vec<_> = (0..VMS).map(|id| common::vm(1000 + id, &all)).collect();
    let snapshot = decide::read(common::request(&hosts, &vms).xml().into_bytes()).unwrap();
    let policy = Policy { max_per_host: Some(1), ..Policy::default() };
    let mut times = Times::default();
    for _ in 0..REQUESTS {
        let snapshot = snapshot.clone();
        let begun = Instant::now();
        let decided = decide::place_snapshot(snapshot, &Recall::default(), &policy);
        times.add(begun.elapsed());
        assert_eq!(decided.planned.plan.actions.len(), VMS as usize);
    }
    times
}

fn latencies(service: &Service) {
    let body = batch(0);
    println!(
        "| {REQUESTS} batches of {VMS} VMs x {HOSTS} hosts | p50 ms | p99 ms | largest ms |\n|---|---:|---:|---:|"
    );
    let core = core();
    core.print("the core alone, in process");
    let kept = {
        let mut client = Client::new(service);
        measure(|| client.post(&body), Duration::ZERO)
    };
    kept.print("over one kept connection, back to back");
    let each = measure(|| Client::new(service).post(&body), PAUSE);
    each.print("a connection each, as mm_sched");
    let (idle, alone) = beside_idle_clients(service, &body);
    alone.print(&format!("a connection each, just before the {IDLE}"));
    idle.print(&format!("a connection each, beside {IDLE} idle slow clients"));
    println!("\np99 over p50 of the core: {:.1}", each.at(0.99) / core.at(0.5));
    println!("p50 beside idle clients: {:+.1} %", 100.0 * (idle.at(0.5) / alone.at(0.5) - 1.0));
    beside_the_ai_orchestrator(each.at(0.5));
}

/// The ancestor classifies in Python (0.6 ms per VM, measured on its code) and asks its database
/// twice per VM.
fn beside_the_ai_orchestrator(ours: f64) {
    let classification = 0.6 * f64::from(VMS);
    let Some(ancestor_path::Queries { as_made, indexed }) = ancestor_path::measure(VMS) else { return };
    println!("\n| the ancestor's path, {VMS} VMs | SQL ms | classification ms | times ours |\n|---|---:|---:|---:|");
    for (what, queries) in [("its tables as made", as_made), ("with an index", indexed)] {
        let times = (queries + classification) / ours;
        println!("| {what} | {queries:.1} | {classification:.1} | {times:.0} |");
    }
}

/// Clients that send a byte a second; those that were shown out come again.
fn beside_idle_clients(service: &Service, body: &str) -> (Times, Times) {
    let open = || {
        let mut stream = service.connect();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nX-").unwrap();
        stream
    };
    let (mut idle, mut alone) = (Times::default(), Times::default());
    // in turns, so that both see the same machine
    for _ in 0..4 {
        for _ in 0..REQUESTS / 4 {
            std::thread::sleep(PAUSE);
            alone.time(|| Client::new(service).post(body));
        }
        let mut clients: Vec<TcpStream> = (0..IDLE).map(|_| open()).collect();
        let mut last = Instant::now();
        for _ in 0..REQUESTS / 4 {
            if last.elapsed() > Duration::from_secs(1) {
                last = Instant::now();
                clients.iter_mut().filter_map(|client| client.write_all(b"y").err().map(|_| client)).for_each(
                    |client| {
                        *client = open();
                    },
                );
            }
            std::thread::sleep(PAUSE);
            idle.time(|| Client::new(service).post(body));
        }
    }
    (idle, alone)
}

fn memory(service: &Service) {
    println!("| batches | VmRSS MB | p50 ms of the last 10,000 |\n|---:|---:|---:|");
    let mut client = Client::new(service);
    let mut times = Times::default();
    for sent in 0..=SOAK {
        if sent % 10_000 == 0 {
            let p50 = if sent == 0 { 0.0 } else { times.at(0.5) };
            println!("| {sent} | {:.1} | {p50:.3} |", resident(service.child.id()));
            times = Times::default();
        }
        let body = batch(sent as i32 % 10);
        let begun = Instant::now();
        if !client.post(&body) {
            client = Client::new(service);
        }
        times.add(begun.elapsed());
    }
}

fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// `turn` shifts the ids, so that other VMs come.
fn batch(turn: i32) -> String {
    let hosts: Vec<i32> = (0..HOSTS).collect();
    let vm = |id: i32| {
        format!(
            "{{\"ID\":{},\"STATE\":\"PENDING\",\"HOST_IDS\":{hosts:?},\"CAPACITY\":{{\"CPU\":1,\"MEMORY\":1048576,\
             \"DISK_SIZE\":1024}},\"VM_ATTRIBUTES\":{{\"FLAVOURS\":\"web\"}}}}",
            1000 + VMS * turn + id
        )
    };
    format!("{{\"VMS\":[{}]}}", (0..VMS).map(vm).collect::<Vec<_>>().join(","))
}

/// As little of a client as can be.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn new(service: &Service) -> Self {
        let stream = service.connect();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a batch; whether the connection is kept.
    fn post(&mut self, body: &str) -> bool {
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let (mut line, mut length, mut kept) = (String::new(), 0, true);
        self.stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let lower = line.trim().to_ascii_lowercase();
            match lower.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("connection", "close")) => kept = false,
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        assert!(answer.len() > 600, "{}", String::from_utf8_lossy(&answer));
        kept
    }
}

#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1000.0);
    }

    fn time(&mut self, mut what: impl FnMut() -> bool) {
        let begun = Instant::now();
        what();
        self.add(begun.elapsed());
    }

    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share).round() as usize]
    }

    fn print(&self, what: &str) {
        println!("| {what} | {:.3} | {:.3} | {:.3} |", self.at(0.5), self.at(0.99), self.at(1.0));
    }
}

fn measure(mut what: impl FnMut() -> bool, pause: Duration) -> Times {
    let mut times = Times::default();
    for _ in 0..REQUESTS {
        std::thread::sleep(pause);
        times.time(&mut what);
    }
    times
}

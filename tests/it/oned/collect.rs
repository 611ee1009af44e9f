//! `oneaio collect` as a process, against a scripted oned over real HTTP.

use crate::support::oned::{http, raw, refusal, serve, success};
use crate::support::server::eventually;
use crate::support::store::Server;
use oneaio::history::sqlite::SqliteStore;
use oneaio::history::timescale::TimescaleStore;
use oneaio::history::{Batch, Claim, Collecting, Described, HistoryStore, Kind, Known, Training};
use oneaio::model::demand::Usage;
use oneaio::model::ids::VmId;
use oneaio::model::sample::{Counters, VmSample};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

pub fn record(vm: i32, at: i64, cpu: f64, disk: i64) -> String {
    format!(
        "<MONITORING><CPU><![CDATA[{cpu}]]></CPU><DISKRDBYTES>{disk}</DISKRDBYTES><DISKWRBYTES>0</DISKWRBYTES>\
         <ID>{vm}</ID><MEMORY>524288</MEMORY><NETRX>0</NETRX><NETTX>0</NETTX><TIMESTAMP>{at}</TIMESTAMP></MONITORING>"
    )
}

pub fn data(records: &[String]) -> String {
    success(&format!("<MONITORING_DATA>{}</MONITORING_DATA>", records.concat()))
}

pub fn pool() -> String {
    success(
        "<VM_POOL><VM><ID>7</ID><UID>2</UID><NAME>web</NAME><STATE>3</STATE><TEMPLATE><CPU>2</CPU><MEMORY>1024</MEMORY>\
         <TEMPLATE_ID>4</TEMPLATE_ID></TEMPLATE><USER_TEMPLATE><FLAVOURS>nginx</FLAVOURS></USER_TEMPLATE></VM></VM_POOL>",
    )
}

pub fn hosts() -> String {
    let at = now() - 60;
    success(&format!(
        "<MONITORING_DATA><MONITORING><TIMESTAMP>{at}</TIMESTAMP><ID>3</ID><CAPACITY><USED_CPU>55</USED_CPU>\
         <USED_MEMORY>1000</USED_MEMORY></CAPACITY><SYSTEM><NETRX>1</NETRX><NETTX>2</NETTX></SYSTEM></MONITORING>\
         </MONITORING_DATA>"
    ))
}

/// Runs `collect` against a server that answers with these bodies, one per connection.
fn collect(folder: &Path, bodies: Vec<String>) -> (i32, String) {
    let acts: Vec<_> = bodies.into_iter().map(|body| raw(http("200 OK", &body))).collect();
    let (address, _requests) = serve(acts);
    std::fs::write(folder.join("one_auth"), "oneadmin:topsecret").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["collect", "--set", &format!("history.store=sqlite:{}", folder.join("h.db").display())])
        .env("ONED_ADDR", format!("http://{address}/RPC2"))
        .env("ONE_AUTH", folder.join("one_auth"))
        .env_remove("ONED_PASS")
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(!messages.contains("topsecret"), "{messages}");
    (output.status.code().unwrap(), messages)
}

pub fn store(folder: &Path) -> SqliteStore {
    store_of(folder, "h.db")
}

fn store_of(folder: &Path, name: &str) -> SqliteStore {
    SqliteStore::open(&folder.join(name), Duration::from_secs(5)).unwrap()
}

#[test]
fn counters_become_rates_across_runs_and_nothing_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let begun = now() - 600;
    let first: Vec<String> = (0..4).map(|i| record(7, begun + 30 * i, 40.0, 3000 * i)).collect();
    let (status, messages) = collect(folder.path(), vec![data(&first), hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!((status, messages.contains("new samples 4, samples of hosts 1, VMs known 1")), (0, true), "{messages}");

    // the same window again, with one more sample and a VM that was restarted
    let more = [&first[..], &[record(7, begun + 120, 40.0, 12_000), record(7, begun + 150, 40.0, 5)]].concat();
    let (status, messages) = collect(folder.path(), vec![data(&more), hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!((status, messages.contains("new samples 2")), (0, true), "{messages}");
    let (_, messages) = collect(folder.path(), vec![data(&more), hosts(), pool(), success("<VM_POOL/>")]);
    assert!(messages.contains("new samples 0"), "{messages}");

    let mut store = store(folder.path());
    let estimate = store.estimates(&[VmId(7)]).unwrap()[0].1;
    assert_eq!(estimate.samples, 6);
    assert!((estimate.level.cpu - 40.0).abs() < 0.01 && (estimate.level.memory - 524_288.0).abs() < 1.0);
    // 3000 bytes per 30 s wherever a rate is known; the restart gives none
    assert!((estimate.level.disk_io.unwrap() - 100.0).abs() < 0.1, "{estimate:?}");
    assert_eq!(store.counters(Kind::Vm).unwrap()[0].at, begun + 150);
}

#[test]
fn a_refusal_of_oned_is_told_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (status, messages) = collect(folder.path(), vec![refusal(256, "User couldn't be authenticated, aborting.")]);
    assert_eq!(status, 3, "{messages}");
    assert!(messages.contains("ONE_AUTH"), "{messages}");
    let (status, _) =
        collect(folder.path(), vec![data(&[record(7, now(), 1.0, 0)]), hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!(status, 0);
}

#[test]
fn what_came_before_a_broken_connection_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let whole = data(&[record(7, now() - 60, 10.0, 0), record(8, now() - 60, 10.0, 0), record(9, now() - 60, 1.0, 0)]);
    let cut = &whole[..whole.len() * 2 / 3];
    let (status, messages) = collect(folder.path(), vec![cut.to_owned()]);
    assert_eq!(status, 3, "{messages}");
    assert!(store(folder.path()).status().unwrap().samples >= 1);
    let (status, messages) = collect(folder.path(), vec![whole, hosts(), pool(), success("<VM_POOL/>")]);
    assert_eq!(status, 0, "{messages}");
    assert_eq!(store(folder.path()).status().unwrap().samples, 3);
}

#[test]
fn one_collects_and_the_others_stand_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = store(folder.path());
    assert_eq!(other.claim_collection("fe2, process 12").unwrap(), Claim::Ours);
    let (status, messages) = collect(folder.path(), vec![]);
    assert_eq!(status, 0, "{messages}");
    assert!(
        messages.contains("WARN: nothing is collected by this run: fe2, process 12 collects since 20"),
        "{messages}"
    );
    drop(other);
    let answers = vec![data(&[record(7, now() - 9, 1.0, 0)]), hosts(), pool(), success("<VM_POOL/>")];
    let (status, messages) = collect(folder.path(), answers);
    assert_eq!((status, messages.contains("new samples 1")), (0, true), "{messages}");
}

#[test]
fn what_a_request_tells_in_between_does_not_stand_for_what_is_collected() {
    let folder = tempfile::tempdir().unwrap();
    let begun = now() - 600;
    let all: Vec<String> = (0..12).map(|i| record(7, begun + 30 * i, 40.0, 3000 * i)).collect();
    let answers = |to: usize| vec![data(&all[..to]), hosts(), pool(), success("<VM_POOL/>")];
    collect(folder.path(), answers(4));
    // as a cluster optimization keeps the newest sample of its request
    let newest = Counters { id: 7, at: begun + 330, cpu: Some(40.0), memory: Some(1.0), ..Counters::default() };
    let sample = VmSample { vm: VmId(7), at: newest.at, usage: Usage { cpu: 40.0, memory: 1.0, ..Usage::default() } };
    let batch = Batch { samples: &[sample], counters: &[(Kind::Told, newest)], ..Batch::default() };
    oneaio::learn::absorb(&mut store(folder.path()), &batch).unwrap();
    let (_, messages) = collect(folder.path(), answers(12));
    assert!(messages.contains("new samples 7,"), "all but the four and the one: {messages}");
    assert_eq!(store(folder.path()).samples(VmId(7)).unwrap().len(), 12);
}

/// VMs of a cloud, and samples of each: more than two of the chunks that collecting keeps at once.
const VMS: i32 = 1500;
const EACH: i64 = 28;

/// What happens in the middle of an answer.
type Act = Box<dyn FnMut() + Send>;

/// An oned with a history, for any number of calls.
struct Cloud {
    /// By VM, as oned answers.
    records: Vec<(i64, String)>,
    /// Called when so many bytes of an answer to that method have gone out.
    cut: Option<(String, usize, Act)>,
    /// Seconds that each call for samples of VMs asked for.
    asked: Vec<i64>,
}

impl Cloud {
    fn new(base: i64) -> Self {
        let one = |vm: i32, i: i64| (base - 30 * i, record(vm, base - 30 * i, f64::from(vm % 90), 3000 * (EACH - i)));
        let records = (0..VMS).flat_map(|vm| (0..EACH).rev().map(move |i| one(vm, i))).collect();
        Self { records, cut: None, asked: Vec::new() }
    }

    fn answer(&mut self, request: &str) -> String {
        if request.contains("one.vmpool.monitoring") {
            let seconds = request.rsplit("<i4>").next().and_then(|rest| rest.split('<').next()).unwrap();
            let seconds: i64 = seconds.parse().unwrap();
            self.asked.push(seconds);
            let since = now() - seconds;
            let wanted: Vec<String> =
                self.records.iter().filter(|(at, _)| *at >= since).map(|(_, text)| text.clone()).collect();
            data(&wanted)
        } else if request.contains("one.hostpool.monitoring") {
            hosts()
        } else {
            pool()
        }
    }
}

/// Serves a cloud until the test ends.
fn oned(cloud: &Arc<Mutex<Cloud>>) -> std::net::SocketAddr {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cloud = Arc::clone(cloud);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = crate::support::oned::read_request(&mut stream);
            let (answer, cut) = {
                let mut cloud = cloud.lock().unwrap();
                let answer = http("200 OK", &cloud.answer(&request));
                let here = cloud.cut.as_ref().is_some_and(|(method, ..)| request.contains(method.as_str()));
                (answer, if here { cloud.cut.take() } else { None })
            };
            let Some((_, part, mut act)) = cut else {
                let _ = stream.write_all(&answer);
                continue;
            };
            let part = answer.len() * part / 1000;
            let _ = stream.write_all(&answer[..part]);
            act();
            let _ = stream.write_all(&answer[part..]);
        }
    });
    address
}

fn start(folder: &Path, address: std::net::SocketAddr, store: &str) -> std::process::Child {
    std::fs::write(folder.join("one_auth"), "oneadmin:topsecret").unwrap();
    Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["collect", "--set", &format!("history.store={store}")])
        .env("ONED_ADDR", format!("http://{address}/RPC2"))
        .env("ONE_AUTH", folder.join("one_auth"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

fn kill(pid: i32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

/// All that is known of all VMs.
fn contents(store: &mut dyn HistoryStore) -> String {
    let vms: Vec<VmId> = (0..VMS).map(VmId).collect();
    let mut estimates = store.estimates(&vms).unwrap();
    estimates.sort_by_key(|(vm, _)| *vm);
    let samples: Vec<Vec<VmSample>> = vms.iter().map(|vm| store.samples(*vm).unwrap()).collect();
    assert_eq!(samples.iter().map(Vec::len).sum::<usize>(), VMS as usize * EACH as usize);
    format!("{:?} {samples:?} {estimates:?}", store.counters(Kind::Vm).unwrap())
}

/// Moments spread over the calls of a run, by a fixed sequence: method, and thousandths of its answer.
fn moments(count: u32) -> impl Iterator<Item = (&'static str, usize)> {
    let mut state = 20_261_128_u32;
    (0..count).map(move |index| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let method = match index % 10 {
            8 => "one.hostpool.monitoring",
            9 => "one.vmpool.infoextended",
            _ => "one.vmpool.monitoring",
        };
        (method, (state >> 16) as usize % 1000)
    })
}

#[test]
fn a_collector_that_is_killed_at_any_moment_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Arc::new(Mutex::new(Cloud::new(now() - 30)));
    let address = oned(&cloud);
    let address_of = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let whole = start(folder.path(), address, &address_of("whole.db")).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let (mut killed, mut partial) = (0, 0);
    for (index, (method, part)) in moments(50).enumerate() {
        // what a clock that jumps ahead or back leaves behind
        if index % 5 == 4 {
            let jump = if index % 2 == 0 { 86_400 } else { -86_400 };
            let raw = rusqlite::Connection::open(folder.path().join("cut.db")).unwrap();
            raw.execute("UPDATE progress SET until = until + ?1", [jump]).unwrap();
            raw.execute("UPDATE leases SET since = since + ?1, until = until + ?1", [jump]).unwrap();
        }
        let (ready, started) = std::sync::mpsc::channel::<i32>();
        let file = folder.path().to_owned();
        let act = Box::new(move || {
            // what has been sent holds more than a chunk: it is killed after it has kept one
            let reached = || store_of(&file, "cut.db").status().unwrap().samples >= 20_000;
            let waits = method == "one.vmpool.monitoring" && part >= 600;
            while waits && !reached() {
                std::thread::sleep(Duration::from_millis(50));
            }
            kill(started.recv().unwrap());
        });
        cloud.lock().unwrap().cut = Some((method.to_owned(), part, act));
        let child = start(folder.path(), address, &address_of("cut.db"));
        ready.send(i32::try_from(child.id()).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        killed += i32::from(output.status.code().is_none());
        let kept = store_of(folder.path(), "cut.db").status().unwrap().samples;
        partial += i32::from(kept > 0 && kept < i64::from(VMS) * EACH);
    }
    assert_eq!(killed, 50);
    assert!(partial > 0, "some had kept a part");
    let last = start(folder.path(), address, &address_of("cut.db")).wait_with_output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let of = |name: &str| contents(&mut store_of(folder.path(), name));
    assert!(of("cut.db") == of("whole.db"), "the same samples, counters and estimates");
}

/// The server's processes for the connections of collectors.
fn connections(client: &mut ::postgres::Client) -> Vec<i32> {
    let rows = client.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'oneaio'", &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_database_that_goes_away_at_any_moment_loses_nothing() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cloud = Arc::new(Mutex::new(Cloud::new(now() - 30)));
    let address = oned(&cloud);
    for (index, (method, part)) in moments(20).enumerate() {
        let (there, store, process) = (server.address(), server.address(), server.process());
        // its connections end, or the whole server does without a word
        let dies = index % 5 == 3;
        let act = Box::new(move || {
            let mut client = ::postgres::Client::connect(&there, ::postgres::NoTls).unwrap();
            // on a busy machine its connection may not be there yet, and takes its time to end
            let mut ends = Vec::new();
            eventually("a connection is there", || {
                ends = connections(&mut client);
                !ends.is_empty()
            });
            if dies {
                kill(i32::try_from(process).unwrap());
            } else {
                ends.iter().for_each(|pid| drop(client.query("SELECT pg_terminate_backend($1)", &[pid]).unwrap()));
            }
            eventually("it has ended", || !ends.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()));
        });
        cloud.lock().unwrap().cut = Some((method.to_owned(), part, act));
        let output = start(folder.path(), address, &store).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{index}, at {part} of {method}: {said}");
        if dies {
            server = server.revive();
        }
        // its lease is still there, as that of a process which was cut off; the next need not wait
        let mut client = ::postgres::Client::connect(&store, ::postgres::NoTls).unwrap();
        eventually("nothing of it is left", || connections(&mut client).is_empty());
        client.simple_query("DELETE FROM oneaio.leases").unwrap();
    }
    let last = start(folder.path(), address, &server.address()).wait_with_output().unwrap();
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    let mut store = TimescaleStore::open(&server.address(), Duration::from_secs(30)).unwrap();
    let found = contents(&mut store);
    let again = start(folder.path(), address, &server.address()).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("new samples 0,"), "{again:?}");
    assert!(found == contents(&mut store));
}

#[test]
fn after_an_outage_or_a_wrong_clock_all_is_asked_for_that_oned_has() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Arc::new(Mutex::new(Cloud { records: Vec::new(), cut: None, asked: Vec::new() }));
    let address = oned(&cloud);
    let store = format!("sqlite:{}", folder.path().join("h.db").display());
    let run = |complete: Option<i64>| {
        if let Some(until) = complete {
            store_of(folder.path(), "h.db").completed("oned", until).unwrap();
        }
        let output = start(folder.path(), address, &store).wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let until = store_of(folder.path(), "h.db").progress("oned").unwrap().complete.unwrap();
        assert!((now() - until) < 600 && until <= now(), "complete up to the beginning of the run");
        cloud.lock().unwrap().asked.pop().unwrap()
    };
    // a quarter of an hour on the first day, then what came since; two minutes more each time
    assert_eq!(run(None), 900);
    assert!((120..700).contains(&run(None)));
    // a busy machine may take its time between the two looks at the clock
    let within = |asked: i64, hours: i64| assert!((hours * 3600 + 120..hours * 3600 + 700).contains(&asked), "{asked}");
    within(run(Some(now() - 12 * 3600)), 12);
    within(run(Some(now() - 30 * 3600)), 30);
    // complete up to tomorrow: a clock was wrong, and oned keeps 12 hours
    assert_eq!(run(Some(now() + 86_400)), 12 * 3600);
}

#[test]
fn the_first_run_of_a_day_drops_what_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let day = 86_400;
    let old = [now() - 91 * day, now() - 89 * day].map(|at| VmSample {
        vm: VmId(7),
        at,
        usage: Usage { cpu: 1.0, memory: 1.0, ..Usage::default() },
    });
    let yesterday = [(Kind::Vm, Counters { id: 7, at: now() - day, ..Counters::default() })];
    let batch = Batch { samples: &old, counters: &yesterday, ..Batch::default() };
    oneaio::learn::absorb(&mut store(folder.path()), &batch).unwrap();
    let answers = || vec![data(&[record(7, now(), 1.0, 0)]), hosts(), pool(), success("<VM_POOL/>")];
    let (_, messages) = collect(folder.path(), answers());
    assert!(messages.contains("dropped 1 samples that are older than 90 days"), "{messages}");
    assert_eq!(store(folder.path()).status().unwrap().samples, 2);
    let (_, messages) = collect(folder.path(), answers());
    assert!(!messages.contains("dropped"), "{messages}");
}

#[test]
fn a_later_run_of_the_day_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // both samples are of one day, however near midnight is
    let day = now() / 86_400 * 86_400;
    let earlier = if now() - day > 600 { now() - 300 } else { day - 300 };
    let answers = |at: i64| vec![data(&[record(7, at, 1.0, 0)]), hosts(), pool(), success("<VM_POOL/>")];
    collect(folder.path(), answers(earlier - 60));
    let (_, messages) = collect(folder.path(), answers(earlier));
    assert!(messages.contains("collected") && !messages.contains("dropped"), "{messages}");
}

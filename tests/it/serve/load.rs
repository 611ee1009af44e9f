//! The service while decisions wait: a table that the store needs is held, so that a decision
//! takes for as long as the test wants. Needs PostgreSQL.

use crate::support::server::{Mood, ScriptedOned, Service, eventually, hosts, read_all};
use crate::support::store::Database;
use oneaio::history::Placing;
use oneaio::history::timescale::TimescaleStore;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A service whose decisions wait until they are let go.
struct Held {
    service: Service,
    database: Database,
    holder: postgres::Client,
    _folder: tempfile::TempDir,
}

impl Held {
    /// Decisions pass until [`Self::hold`]. The store is given a minute.
    fn start(set: &[&str]) -> Option<Self> {
        let database = Database::create()?;
        drop(TimescaleStore::open(&database.address(), PATIENCE).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let store = format!("history.store={}", database.address());
        let set: Vec<&str> = [store.as_str(), "history.deadline=60"].into_iter().chain(set.iter().copied()).collect();
        let service = Service::start(folder.path(), None, &set);
        let holder = database.client();
        Some(Self { service, database, holder, _folder: folder })
    }

    fn hold(&mut self) {
        self.holder.batch_execute("BEGIN; LOCK TABLE oneaio.estimates IN ACCESS EXCLUSIVE MODE").unwrap();
    }

    fn release(&mut self) {
        self.holder.batch_execute("ROLLBACK").unwrap();
    }

    /// Waits until the decision that is on is held.
    fn until_held(&self) {
        let mut client = self.database.client();
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("a decision waits for the store", || client.query_one(sql, &[]).unwrap().get::<_, i64>(0) == 1);
    }

    /// A connection with a request on its way, whose answer is not awaited.
    fn ask(&self, vm: i32) -> TcpStream {
        self.ask_with(&one(vm))
    }

    fn ask_with(&self, body: &str) -> TcpStream {
        let mut stream = self.service.connect();
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    /// VMs whose placement the store knows.
    fn remembered(&self) -> Vec<i32> {
        let mut store = TimescaleStore::open(&self.database.address(), PATIENCE).unwrap();
        store.placements(0).unwrap().iter().map(|placement| placement.vm.0).collect()
    }

    fn metric(&self, line: &str) -> bool {
        self.service.get("/metrics").1.lines().any(|found| found == line)
    }

    /// Where a VM goes that may go to hosts 1 and 2; asked again while the answer is late.
    fn host_of(&self, vm: i64) -> i64 {
        let mut host = None;
        eventually("an answer in time", || {
            let (status, answer) = self.service.post("/", one(vm as i32));
            host = answer["VMS"][0]["HOST_ID"].as_i64();
            status == 200
        });
        host.expect("a host")
    }
}

fn one(vm: i32) -> String {
    format!("{{\"VMS\":[{{\"ID\":{vm},\"HOST_IDS\":[1,2],\"CAPACITY\":{{\"CPU\":1,\"MEMORY\":1}}}}]}}")
}

#[test]
fn a_connection_that_waits_for_its_decision_is_not_closed_for_new_ones() {
    let Some(mut held) = Held::start(&["serve.max_connections=8", "serve.deadline=60"]) else { return };
    held.hold();
    let mut asking = held.ask(1);
    held.until_held();
    // eight connections with this one; each further one closes the oldest that is idle
    let idle: Vec<TcpStream> = (0..10).map(|_| held.service.connect()).collect();
    for (number, mut stream) in idle.into_iter().take(3).enumerate() {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "idle connection {number} makes room");
    }
    held.release();
    let answer = read_all(&mut asking);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"HOST_ID\":1"), "{answer}");
}

#[test]
fn sixty_four_requests_wait_for_their_turn_and_more_are_told_to_come_again() {
    let Some(mut held) = Held::start(&["serve.deadline=60"]) else { return };
    held.hold();
    let first = held.ask(1);
    held.until_held();
    let all: Vec<TcpStream> = [first].into_iter().chain((2..=70).map(|vm| held.ask(vm))).collect();
    eventually("five too many are sent away at once", || {
        held.metric("oneaio_requests_total{route=\"/\",status=\"503\"} 5")
    });
    held.release();
    let answers: Vec<String> = all.into_iter().map(|mut stream| read_all(&mut stream)).collect();
    let refused: Vec<&String> = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503")).collect();
    assert_eq!(refused.len(), 5);
    for answer in refused {
        assert!(answer.contains("too many requests wait") && answer.to_lowercase().contains("\r\nretry-after: 1\r\n"));
    }
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200")).count(), 65);
    // those that waited have left the queue
    assert_eq!(held.service.post("/", one(99)).0, 200);
}

#[test]
fn an_answer_that_was_heard_is_remembered_for_the_next() {
    let Some(held) = Held::start(&[]) else { return };
    assert_eq!((held.host_of(1), held.host_of(2)), (1, 2));
    eventually("the store knows both", || held.remembered() == [1, 2]);
}

#[test]
fn an_answer_that_comes_too_late_is_not_remembered() {
    let Some(mut held) = Held::start(&["serve.deadline=1"]) else { return };
    held.hold();
    let answer = read_all(&mut held.ask(1));
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("within serve.deadline"), "{answer}");
    held.release();
    // VM 1 went to host 1, as far as anybody knows who did not ask: it does not count
    assert_eq!(held.host_of(2), 1);
    eventually("the store knows the second", || held.remembered().contains(&2));
    assert!(!held.remembered().contains(&1));
}

#[test]
fn an_answer_to_a_client_that_has_gone_is_not_remembered() {
    let Some(mut held) = Held::start(&["serve.deadline=60"]) else { return };
    held.hold();
    let asking = held.ask(1);
    held.until_held();
    drop(asking);
    eventually("its connection is gone", || held.metric("oneaio_connections 1"));
    held.release();
    assert_eq!(held.host_of(2), 1);
    eventually("the store knows the second", || held.remembered().contains(&2));
    assert!(!held.remembered().contains(&1));
}

#[test]
fn nobody_plans_for_a_client_that_has_hung_up() {
    // without limits of a cycle all that is planned counts as decided
    let limits = ["serve.deadline=60", "serve.max_host=0", "serve.max_dispatch=0"];
    let Some(mut held) = Held::start(&limits) else { return };
    let hosts: Vec<i32> = (1..=100).collect();
    let vm = |id: i32| format!("{{\"ID\":{id},\"HOST_IDS\":{hosts:?},\"CAPACITY\":{{\"CPU\":1,\"MEMORY\":1}}}}");
    let many = format!("{{\"VMS\":[{}]}}", (1..=600).map(vm).collect::<Vec<_>>().join(","));
    let decided = |held: &Held| -> u64 {
        let text = held.service.get("/metrics").1;
        let count = text.lines().find_map(|line| line.strip_prefix("oneaio_decisions_total ")?.parse().ok());
        count.expect("a counter")
    };
    held.hold();
    let asking = held.ask_with(&many);
    held.until_held();
    drop(asking);
    eventually("its connection is gone", || held.metric("oneaio_connections 1"));
    held.release();
    // the next one has its turn when that one is over
    assert!(held.host_of(1000) > 0);
    let gone = decided(&held) - 1;
    assert!(gone < 300, "{gone} of 600 VMs were planned for nobody");
    // who stays gets all of them
    assert_eq!(held.service.post("/", &many).0, 200);
    assert_eq!(decided(&held) - gone - 1, 600);
}

#[test]
fn it_ends_when_the_decision_that_is_on_has_been_answered() {
    let Some(mut held) = Held::start(&["serve.deadline=60"]) else { return };
    held.hold();
    let mut asking = held.ask(1);
    held.until_held();
    let address = held.service.address;
    held.service.signal("TERM");
    eventually("no new connection is taken", || TcpStream::connect(address).is_err());
    assert!(held.service.child.try_wait().unwrap().is_none(), "it waits for the decision");
    held.release();
    let answer = read_all(&mut asking);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"HOST_ID\":1"), "{answer}");
    assert_eq!(held.service.child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_is_not_ready_before_oned_has_been_looked_at_and_answers_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let oned = ScriptedOned::start(&[("one.hostpool.info", hosts(&[(1, 8, 0, "", &[]), (2, 8, 0, "", &[])]))]);
    oned.mood(Mood::Holding);
    let service = Service::start(folder.path(), Some(&oned), &[]);
    let (status, body) = service.get("/readyz");
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &told["status"], &told["oned"]["state"]), (503, &"starting".into(), &"starting".into()));
    assert_eq!(service.get("/healthz").0, 200, "it lives");
    assert_eq!(service.post("/", one(1)).0, 200, "placements do not wait for oned");
    oned.mood(Mood::Well);
    eventually("it is ready", || service.get("/readyz").0 == 200);
    assert_eq!(service.get_json("/readyz")["oned"]["state"], "ok");
}

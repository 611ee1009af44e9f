//! What must not hold or break the service: malformed, slow, large, sly.

use crate::support::server::{ScriptedOned, Service, eventually, hosts, pending, read_all};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const VM: &str = "{\"VMS\":[{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}}]}";

fn service(set: &[&str]) -> Service {
    let folder = tempfile::tempdir().unwrap();
    Service::start(folder.path(), None, set)
}

fn request(body: &str, headers: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n{body}")
}

fn lives(service: &Service) {
    assert_eq!(service.batch(VM)[&2], 1);
}

#[test]
fn malformed_requests_get_their_4xx_and_the_service_goes_on() {
    let service = service(&[]);
    let json = [("Content-Type", "application/json")];
    for (body, field) in
        [("", "body"), ("{", "body"), ("\u{0}", "body"), ("{\"VMS\":{}}", "VMS"), ("{\"vms\":[]}", "VMS")]
    {
        let (status, answer) = service.post("/", body);
        assert_eq!((status, answer["field"].as_str()), (400, Some(field)), "{body}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty()) && answer["request"].is_string());
    }
    // what is wrong with one VM is told of that VM
    for (body, field) in [
        ("{\"VMS\":[{\"ID\":1}]}", "VMS[0].HOST_IDS"),
        ("{\"VMS\":[{\"ID\":1,\"HOST_IDS\":[]}]}", "VMS[0].HOST_IDS"),
        ("{\"VMS\":[{\"ID\":1,\"HOST_IDS\":[99999999999999]}]}", "VMS[0].HOST_IDS[0]"),
        ("{\"VMS\":[{\"ID\":1e99,\"HOST_IDS\":[1]}]}", "VMS[0].ID"),
        ("{\"VMS\":[{\"ID\":1,\"HOST_IDS\":[1]}]}", "VMS[0].CAPACITY"),
    ] {
        let (status, answer) = service.post("/", body);
        assert_eq!((status, &answer["VMS"]), (200, &serde_json::json!([])), "{body}: {answer}");
        assert_eq!(answer["LEFT_OUT"][0]["field"], field, "{body}: {answer}");
        assert!(answer["LEFT_OUT"][0]["error"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    }
    let invalid = [b"{\"VMS\":[\"".as_slice(), &[0xff, 0xfe], b"\"]}"].concat();
    assert_eq!(service.post("/", invalid).0, 400);
    let (status, answer) = service.post_with("/", VM, &[("Content-Type", "text/plain")]);
    assert_eq!((status, answer["field"].as_str()), (415, Some("Content-Type")));
    let deep = "[".repeat(1_000_000);
    assert_eq!(service.post("/", format!("{{\"VMS\":{deep}")).0, 400);
    for (method, path, status) in
        [("PUT", "/", 405), ("DELETE", "/api/scheduler", 405), ("GET", "/etc/passwd", 404), ("GET", "/../x", 404)]
    {
        let answer = service.raw(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("\"error\""), "{answer}");
        assert_eq!(status == 405, answer.to_lowercase().contains("allow: "), "{answer}");
    }
    // a body of 50 MB, announced or in chunks
    let large = vec![b' '; 50 << 20];
    let (status, answer) = service.post_with("/", &large, &json);
    assert_eq!((status, answer["field"].as_str()), (413, Some("body")));
    let mut stream = service.connect();
    stream.write_all(request("", "Transfer-Encoding: chunked\r\n").as_bytes()).unwrap();
    let chunk = [b"100000\r\n".as_slice(), &large[..1 << 20], b"\r\n"].concat();
    for _ in 0..50 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    assert!(read_all(&mut stream).starts_with("HTTP/1.1 413 "));
    let announced = request("", "Content-Length: 99999999999\r\nExpect: 100-continue\r\n");
    assert!(service.raw(announced.as_bytes()).starts_with("HTTP/1.1 413 "));
    lives(&service);
    assert!(!service.log().contains("fault"), "{}", service.log());
}

#[test]
fn a_body_may_be_as_long_as_is_allowed_and_no_longer() {
    // of a MiB, in whole bytes
    let service = service(&["serve.max_body=0.001"]);
    let body = |length: usize| format!("{VM}{}", " ".repeat(length - VM.len()));
    let chunked = |length: usize| {
        let (one, other) = (&body(length)[..500], &body(length)[500..]);
        let chunks = format!("{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n", one.len(), other.len());
        service.raw(request(&chunks, "Transfer-Encoding: chunked\r\nConnection: close\r\n").as_bytes())
    };
    let (status, answer) = service.post("/", body(1048));
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = service.post("/", body(1049));
    let told = "the body is longer than 1048 bytes (serve.max_body)";
    assert_eq!((status, &answer["error"]), (413, &told.into()), "{answer}");
    assert!(chunked(1048).starts_with("HTTP/1.1 200 "), "{}", chunked(1048));
    let answer = chunked(1049);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains(told), "{answer}");
}

#[test]
fn pipelined_requests_are_answered_in_turn_and_smuggled_ones_never() {
    let service = service(&[]);
    let length = VM.len();
    let one = request(VM, &format!("Content-Length: {length}\r\n"));
    let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = service.raw(format!("{one}{one}{last}").as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert_eq!(answers.matches("{\"VMS\":[{\"ID\":2,\"HOST_ID\":1}]}").count(), 2, "{answers}");

    let sly = "POST /api/iaEnergyScalar HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n\
               {\"energy_cost_scalar\": 9}";
    let chunked = format!("{length:x}\r\n{VM}\r\n0\r\n\r\n");
    for (what, attempt) in [
        ("both lengths", request(&format!("{chunked}{sly}"), "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n")),
        (
            "both, other order",
            request(&format!("{chunked}{sly}"), "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"),
        ),
        ("two lengths", request(sly, "Content-Length: 0\r\nContent-Length: 5\r\n")),
        ("list of lengths", request(sly, "Content-Length: 0, 5\r\n")),
        ("signed length", request(sly, "Content-Length: +0\r\n")),
        ("negative length", request(sly, "Content-Length: -1\r\n")),
        ("unknown coding", request(&format!("0\r\n\r\n{sly}"), "Transfer-Encoding: xchunked\r\n")),
        ("coding after chunked", request(&format!("0\r\n\r\n{sly}"), "Transfer-Encoding: chunked, identity\r\n")),
        ("blank before colon", request(sly, "Content-Length : 0\r\n")),
        ("folded header", request(&format!("0\r\n\r\n{sly}"), "Transfer-Encoding:\r\n chunked\r\n")),
        ("bad chunk size", request(&format!("zz\r\n{sly}"), "Transfer-Encoding: chunked\r\n")),
        ("huge chunk size", request(&format!("fffffffffffffffff\r\n{sly}"), "Transfer-Encoding: chunked\r\n")),
        (
            "bare line feeds",
            format!("GET /healthz HTTP/1.1\nHost: x\nContent-Length: 0\n\n{sly}").replace("\n\n", "\n\r\n"),
        ),
        ("old version", format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{sly}")),
        ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("nul in a header", request(sly, "X: a\0b\r\nContent-Length: 0\r\n")),
    ] {
        let mut stream = service.connect();
        stream.write_all(attempt.as_bytes()).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(&mut stream);
        let scalar = service.get_json("/api/iaEnergyScalar")["energy_cost_scalar"].clone();
        // bare line feeds are lawful ends of lines: then what follows is a request of its own
        if what == "bare line feeds" {
            continue;
        }
        assert_eq!(scalar, 1, "{what}: {answer}");
        let refused = answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4") || answer.is_empty();
        let once = answer.matches("HTTP/1.").count() == 1 && answer.to_lowercase().contains("connection: close");
        assert!(refused || once, "{what}: {answer}");
        assert!(!what.starts_with("both") || answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
    }
    // heads without measure
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    assert!(service.raw(request("", &many).as_bytes()).starts_with("HTTP/1.1 431 "));
    let long = format!("X: {}\r\n", "y".repeat(100_000));
    assert!(service.raw(request("", &long).as_bytes()).starts_with("HTTP/1.1 431 "));
    lives(&service);
}

#[test]
fn one_odd_vm_costs_the_others_nothing() {
    let service = service(&[]);
    let vm = |id: i32| format!("{{\"ID\":{id},\"HOST_IDS\":[1],\"CAPACITY\":{{\"CPU\":1,\"MEMORY\":1}}}}");
    for odd in [
        "7",
        "null",
        "[]",
        "{}",
        "{\"ID\":1}",
        "{\"ID\":1,\"HOST_IDS\":null}",
        "{\"ID\":1,\"HOST_IDS\":[]}",
        "{\"ID\":1,\"HOST_IDS\":[-1]}",
        "{\"ID\":1,\"HOST_IDS\":[\"1\"]}",
        "{\"ID\":\"x\",\"HOST_IDS\":[1]}",
        "{\"ID\":2,\"HOST_IDS\":[1]}",
        "{\"ID\":1,\"HOST_IDS\":[],\"CAPACITY\":{\"CPU\":0,\"MEMORY\":0}}",
        "{\"ID\":1,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":\"much\",\"MEMORY\":1}}",
        "{\"ID\":1,\"HOST_IDS\":[1],\"CAPACITY\":7}",
        "{\"ID\":1,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":-1,\"MEMORY\":1}}",
        "{\"ID\":1,\"HOST_IDS\":[1],\"VM_ATTRIBUTES\":{\"FLAVOURS\":[\"a\"]}}",
        "{\"ID\":1,\"HOST_IDS\":[1],\"VM_ATTRIBUTES\":{\"FLAVOURS\":7}}",
        "{\"ID\":1,\"HOST_IDS\":[1],\"VM_ATTRIBUTES\":7}",
        "{\"ID\":1,\"HOST_IDS\":[1],\"HOST_ID\":\"a\"}",
    ] {
        for body in [format!("{},{odd},{}", vm(2), vm(3)), format!("{},{},{odd}", vm(2), vm(3))] {
            let (status, answer) = service.post("/", format!("{{\"VMS\":[{body}]}}"));
            assert_eq!(status, 200, "{odd}: {answer}");
            let ids: Vec<_> = answer["VMS"].as_array().unwrap().iter().map(|vm| vm["ID"].as_i64().unwrap()).collect();
            assert_eq!(ids, [2, 3], "{odd}: {answer}");
            assert_eq!(answer["LEFT_OUT"].as_array().map(Vec::len), Some(1), "{odd}: {answer}");
        }
    }
    // a full cloud: each cycle the same VMs, one line for all
    let nowhere = |id: i32| format!("{{\"ID\":{id},\"HOST_IDS\":[],\"CAPACITY\":{{\"CPU\":0,\"MEMORY\":1}}}}");
    let all: Vec<String> = (100..180).map(nowhere).collect();
    assert!(service.batch(&format!("{{\"VMS\":[{}]}}", all.join(","))).is_empty());
    eventually("it is told", || service.log().contains("and 60 more left out"));
    let told = service.log().lines().filter(|line| line.contains("=100,") || line.contains("vm=1")).count();
    assert_eq!(told - service.log().matches("vm=1 ").count(), 1, "{}", service.log());
}

/// Ranks and rules as costly as they may be, of VMs that stay pending: oned tells of them, and
/// mm_sched sends them each cycle.
#[test]
fn after_any_batch_a_small_one_is_answered() {
    let rank: String = (0..70).map(|term| format!("+FREE_CPU*{}", term % 10)).collect();
    let rules: Vec<String> = (0..150).map(|other| format!("CURRENT_VMS != {}", 1000 + other)).collect();
    let wish = format!(
        "<SCHED_RANK>1{rank}</SCHED_RANK><SCHED_REQUIREMENTS>CURRENT_VMS = 2000000000 &amp; {}</SCHED_REQUIREMENTS>",
        rules.join(" &amp; ")
    );
    let costly: Vec<(i32, i64, &str)> = (100..220).map(|id| (id, 1, wish.as_str())).collect();
    let cloud: Vec<(i32, i64, i64, &str, &[i32])> = (1..=100).map(|id| (id, 8, 0, "", &[][..])).collect();
    let oned =
        ScriptedOned::start(&[("one.hostpool.info", hosts(&cloud)), ("one.vmpool.infoextended", pending(&costly))]);
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), Some(&oned), &["serve.deadline=4"]);
    let everywhere: Vec<i32> = (1..=100).collect();
    let vm = |id: i32| format!("{{\"ID\":{id},\"HOST_IDS\":{everywhere:?},\"CAPACITY\":{{\"CPU\":1,\"MEMORY\":1}}}}");
    let all: Vec<String> = (100..220).map(vm).collect();
    let large = format!("{{\"VMS\":[{}]}}", all.join(","));
    for round in 0..6 {
        // one that is waited for, and one whose client has gone
        assert_eq!(service.post("/", large.as_str()).0, 200);
        let mut gone = service.connect();
        gone.write_all(request(&large, &format!("Content-Length: {}\r\n", large.len())).as_bytes()).unwrap();
        drop(gone);
        let (status, answer) = service.post("/", format!("{{\"VMS\":[{}]}}", vm(round)));
        assert_eq!((status, answer["VMS"].as_array().map(Vec::len)), (200, Some(1)), "{answer}");
    }
    assert!(!service.log().contains("status=503"), "{}", service.log());
}

#[test]
fn hangups_and_limits_end_nothing() {
    let service = service(&[]);
    service.signal("HUP");
    eventually("it is told", || service.log().contains("SIGHUP changes nothing"));
    service.signal("XFSZ");
    lives(&service);

    let folder = tempfile::tempdir().unwrap();
    let limited = Service::start_with(folder.path(), None, &["serve.max_connections=500"], |command| {
        let serve = std::mem::replace(command, std::process::Command::new("sh"));
        command.args(["-c", "ulimit -n 80; exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args());
        command.env_remove("ML_MODEL_PORT").stdin(std::process::Stdio::null());
    });
    assert!(
        limited.log().contains("at most 40 connections at a time: the limit of open files is 80"),
        "{}",
        limited.log()
    );
    let idle: Vec<TcpStream> = (0..200).map(|_| limited.connect()).collect();
    lives(&limited);
    assert!(!limited.log().contains("could not be accepted"), "{}", limited.log());
    drop(idle);
}

#[test]
fn slow_clients_are_shown_out_and_hold_nobody() {
    let service = service(&["serve.deadline=1", "serve.max_connections=20"]);
    // one that says nothing, one that never ends its head, one that never ends its body
    let mut silent = service.connect();
    let mut head = service.connect();
    head.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nX-").unwrap();
    let mut body = service.connect();
    body.write_all(request("{\"VMS\"", "Content-Length: 100\r\n").as_bytes()).unwrap();
    let begun = Instant::now();
    let answer = read_all(&mut body);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"field\":\"body\""), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    for stream in [&mut silent, &mut head] {
        let _ = read_all(stream);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    // as many idle ones as there are connections, and more: the next request gets through
    let mut idle: Vec<TcpStream> = (0..60).map(|_| service.connect()).collect();
    for stream in idle.iter_mut().step_by(2) {
        let _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n");
    }
    let begun = Instant::now();
    lives(&service);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(service.get("/metrics").1.lines().any(|line| {
        line.strip_prefix("oneaio_evicted_connections_total ").is_some_and(|count| count.parse::<u32>().unwrap() >= 40)
    }));
    drop(idle);
    // a client that leaves in the middle leaves nothing behind
    for _ in 0..20 {
        let mut stream = service.connect();
        let _ = stream.write_all(request(&VM[..10], &format!("Content-Length: {}\r\n", VM.len())).as_bytes());
    }
    eventually("all connections but the asking one are gone", || {
        service.get("/metrics").1.lines().any(|line| line == "oneaio_connections 1")
    });
    lives(&service);
}

#[test]
fn it_ends_gracefully_within_the_deadline() {
    for _ in 0..2 {
        let service = service(&["serve.deadline=3"]);
        let address = service.address;
        let length = VM.len();
        // a kept connection, idle; and a request of which half has come
        let mut idle = service.connect();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut first = [0; 15];
        idle.read_exact(&mut first).unwrap();
        let mut half = service.connect();
        half.write_all(request(&VM[..10], &format!("Content-Length: {length}\r\n")).as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(200));
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(500));
            let refused = TcpStream::connect(address).is_err();
            half.write_all(&VM.as_bytes()[10..]).unwrap();
            (refused, read_all(&mut half))
        });
        let (status, took) = service.stop();
        let (refused, answer) = other.join().unwrap();
        assert_eq!(status, Some(0));
        assert!(refused, "it took a new connection while stopping");
        assert!(answer.contains("{\"VMS\":[{\"ID\":2,\"HOST_ID\":1}]}"), "{answer}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    // one that never ends its request is cut at the deadline
    let service = service(&["serve.deadline=1"]);
    let mut endless = service.connect();
    endless.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n").unwrap();
    thread::sleep(Duration::from_millis(200));
    let (status, took) = service.stop();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn many_clients_at_once_all_get_an_answer() {
    let service = service(&[]);
    let address = service.address;
    let clients: Vec<_> = (0..40)
        .map(|client| {
            thread::spawn(move || {
                let mut answered = 0;
                for turn in 0..10 {
                    let body = VM.replace("\"ID\":2", &format!("\"ID\":{}", 100 * client + turn));
                    let mut stream = TcpStream::connect(address).unwrap();
                    let head = format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
                    stream.write_all(request(&body, &head).as_bytes()).unwrap();
                    answered += usize::from(read_all(&mut stream).contains("\"HOST_ID\":1}"));
                }
                answered
            })
        })
        .collect();
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(answered, 400);
}

//! The REST calls of AI-Orchestrator and the routes of operation, against the real binary.

use crate::support::server::{ScriptedOned, Service, eventually, hosts, pending};
use crate::support::skip::skip;
use serde_json::{Value, json};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn the_calls_of_the_ai_orchestrator_get_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(1, 8, 8, "", &[]), (2, 8, 0, "", &[]), (3, 8, 4, "", &[])])),
        ("one.vmpool.infoextended", pending(&[(1234, 6, ""), (1235, 9, "")])),
    ]);
    let service = Service::start(folder.path(), Some(&oned), &[]);
    for path in ["/api/place", "/api/classifier"] {
        let placed = service.post(path, "{\"ID\":1234,\"HOST_IDS\":[1,2,3]}");
        assert_eq!(placed, (200, json!({ "ID": 1234, "HOST_ID": 2 })), "{path}");
        // larger than any host: 409 says why
        let (status, answer) = service.post(path, "{\"ID\":1235,\"HOST_IDS\":[1,2,3]}");
        assert_eq!((status, answer["field"].as_str()), (409, Some("HOST_IDS")), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("9 cores"), "{answer}");
        for (body, field) in [
            ("{}", if path == "/api/place" { "ID" } else { "model_name" }),
            ("{\"ID\":1}", "HOST_IDS"),
            ("{\"ID\":1,\"HOST_IDS\":[]}", "HOST_IDS"),
            ("{\"ID\":1,\"HOST_IDS\":[77]}", "HOST_IDS"),
            ("{\"ID\":1,\"HOST_IDS\":[1,\"x\"]}", "HOST_IDS[1]"),
            ("{\"ID\":4294967296,\"HOST_IDS\":[1]}", "ID"),
            ("[]", "body"),
        ] {
            let (status, answer) = service.post(path, body);
            assert_eq!((status, answer["field"].as_str()), (400, Some(field)), "{path} {body}: {answer}");
        }
    }
    // a VM that oned does not know yet is placed all the same, as AI-Orchestrator does
    let (status, answer) = service.post("/api/place", "{\"ID\":7,\"HOST_IDS\":[1,2,3]}");
    assert_eq!((status, answer["ID"].as_i64()), (200, Some(7)));
}

#[test]
fn each_answer_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), None, &[]);
    for (path, kind) in [
        ("/api/classifier", "application/json"),
        ("/nowhere", "application/json"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
    ] {
        let asked = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let answer = service.raw(asked.as_bytes()).to_lowercase();
        assert!(answer.contains(&format!("\r\ncontent-type: {kind}\r\n")), "{path}: {answer:.300}");
    }
}

#[test]
fn what_is_set_acts_at_once_and_is_forgotten_or_kept_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let kept = format!("serve.state_file={}", state.display());
    for keep in [false, true] {
        let set: &[&str] = if keep { &[&kept, "s_green=2"] } else { &["s_green=2"] };
        let service = Service::start(folder.path(), None, set);
        assert_eq!(service.get_json("/api/iaEnergyScalar"), json!({ "energy_cost_scalar": 2 }));
        assert_eq!(service.get_json("/api/classifier")["model_name"], Value::Null);
        for name in ["RandomClassifier", "DLIR", "DLClassifier", "ClassicalClassifier"] {
            let (status, answer) = service.post("/api/classifier", json!({ "model_name": name }).to_string());
            assert_eq!((status, answer["model_name"].as_str()), (200, Some(name)));
            assert_eq!(service.get_json("/api/classifier")["model_name"], name);
        }
        for name in ["RandomScheduler", "InterferenceAwareScheduler", "InteferenceAwareScheduler"] {
            assert_eq!(service.post("/api/scheduler", json!({ "model_name": name }).to_string()).0, 200, "{name}");
            assert_eq!(service.get_json("/api/scheduler")["model_name"], name);
        }
        assert_eq!(service.post("/api/iaEnergyScalar", "{\"energy_cost_scalar\":3}").0, 200);
        assert_eq!(service.get_json("/api/iaEnergyScalar"), json!({ "energy_cost_scalar": 3 }));
        for (path, body) in [
            ("/api/scheduler", "{\"model_name\":\"DLIR\"}"),
            ("/api/scheduler", "{\"model_name\":null}"),
            ("/api/classifier", "{\"model_name\":\"RandomScheduler\"}"),
            ("/api/iaEnergyScalar", "{\"energy_cost_scalar\":\"3\"}"),
            ("/api/iaEnergyScalar", "{\"energy_cost_scalar\":-3}"),
            ("/api/iaEnergyScalar", "{\"energy_cost_scalar\":true}"),
            ("/api/iaEnergyScalar", "{}"),
        ] {
            let (status, answer) = service.post(path, body);
            assert_eq!(status, 400, "{path} {body}: {answer}");
            assert!(answer["field"].is_string(), "{answer}");
        }
        assert_eq!(service.get_json("/api/iaEnergyScalar"), json!({ "energy_cost_scalar": 3 }));
        assert_eq!(service.stop().0, Some(0));
        // a restart, with what was kept
        let again = Service::start(folder.path(), None, set);
        let scalar = if keep { 3 } else { 2 };
        assert_eq!(again.get_json("/api/iaEnergyScalar"), json!({ "energy_cost_scalar": scalar }));
        let classifier = if keep { json!("ClassicalClassifier") } else { Value::Null };
        assert_eq!(again.get_json("/api/classifier")["model_name"], classifier);
    }
    // a broken file costs what it kept, not the service
    std::fs::write(&state, "{").unwrap();
    let service = Service::start(folder.path(), None, &[&kept]);
    assert_eq!(service.get_json("/api/iaEnergyScalar"), json!({ "energy_cost_scalar": 1 }));
    assert!(service.log().contains("state.json"), "{}", service.log());
    // and one that cannot be written changes nothing
    let nowhere = format!("serve.state_file={}", folder.path().join("no/folder").display());
    let service = Service::start(folder.path(), None, &[&nowhere]);
    assert_eq!(service.post("/api/iaEnergyScalar", "{\"energy_cost_scalar\":3}").0, 500);
    assert_eq!(service.get_json("/api/iaEnergyScalar"), json!({ "energy_cost_scalar": 1 }));
}

#[test]
fn changes_need_the_token_and_placements_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "n0body-will-guess-this\n").unwrap();
    let service = Service::start(folder.path(), None, &[&format!("serve.token_file={}", file.display())]);
    let changes = [
        ("/api/classifier", "{\"model_name\":\"DLIR\"}"),
        ("/api/scheduler", "{\"model_name\":\"RandomScheduler\"}"),
        ("/api/iaEnergyScalar", "{\"energy_cost_scalar\":3}"),
    ];
    for (path, body) in changes {
        for wrong in [None, Some("Bearer x"), Some("Bearer n0body-will-guess-thi"), Some("n0body-will-guess-this")] {
            let headers: Vec<(&str, &str)> =
                [JSON].into_iter().chain(wrong.map(|text| ("Authorization", text))).collect();
            let (status, answer) = service.post_with(path, body, &headers);
            assert_eq!((status, answer["field"].as_str()), (401, Some("Authorization")), "{path} {wrong:?}");
        }
    }
    assert_eq!(service.get_json("/api/iaEnergyScalar"), json!({ "energy_cost_scalar": 1 }));
    for (path, body) in changes {
        let headers = [JSON, ("Authorization", "Bearer n0body-will-guess-this")];
        assert_eq!(service.post_with(path, body, &headers).0, 200, "{path}");
    }
    assert_eq!(service.post("/api/classifier", "{\"ID\":1,\"HOST_IDS\":[1]}").0, 200);
    assert_eq!(service.batch("{\"VMS\":[{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}}]}").len(), 1);
    let log = service.log();
    assert!(!log.contains("n0body") && log.contains("may be read by all users"), "{log}");
}

/// Another user of this machine: only root can become one.
#[test]
fn without_a_token_only_its_user_changes_what_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), None, &[]);
    let ask = |service: &Service, before: &[&str]| {
        let (host, port) = (service.address.ip(), service.address.port());
        let body = "{\"energy_cost_scalar\":3}";
        let head =
            "POST /api/iaEnergyScalar HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\nConnection: close";
        let script = format!(
            "exec 3<>/dev/tcp/{host}/{port}; printf '{head}\\r\\nContent-Length: {}\\r\\n\\r\\n{body}' >&3; cat <&3",
            body.len()
        );
        let output = Command::new(before[0]).args(&before[1..]).args(["-c", &script]).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(ask(&service, &["bash"]).starts_with("HTTP/1.1 200 "));
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root || Command::new("setpriv").arg("--version").output().is_err() {
        skip("root", "another user needs root and setpriv");
        return;
    }
    let other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "bash"];
    let refused = ask(&service, &other);
    assert!(refused.starts_with("HTTP/1.1 403 ") && refused.contains("serve.open_changes"), "{refused}");
    assert_eq!(service.post("/api/iaEnergyScalar", "{\"energy_cost_scalar\":4}").0, 200);
    let open = Service::start(folder.path(), None, &["serve.open_changes=yes"]);
    assert!(ask(&open, &other).starts_with("HTTP/1.1 200 "));
    assert!(open.log().contains("whoever reaches this port may change"), "{}", open.log());
}

/// Two hosts of eight cores each; a VM that fills one of them.
#[test]
fn what_strangers_ask_takes_no_room() {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root || Command::new("setpriv").arg("--version").output().is_err() {
        skip("root", "another user needs root and setpriv");
        return;
    }
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(1, 8, 0, "", &[]), (2, 8, 0, "", &[])])),
        ("one.vmpool.infoextended", pending(&[(7, 8, "")])),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), Some(&oned), &[]);
    let body =
        |id: i32| format!("{{\"VMS\":[{{\"ID\":{id},\"HOST_IDS\":[1,2],\"CAPACITY\":{{\"CPU\":8,\"MEMORY\":1}}}}]}}");
    let ask = |body: &str| {
        let script = format!(
            "exec 3<>/dev/tcp/{}/{}; printf '%s' \"$1\" >&3; timeout 20 cat <&3",
            service.address.ip(),
            service.address.port()
        );
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let words = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-c", &script, "bash", &request];
        String::from_utf8(Command::new("setpriv").args(words).output().unwrap().stdout).unwrap()
    };
    // VMs that nobody has, and one that waits
    for id in [901, 902, 903, 7] {
        let answer = ask(&body(id));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!("\"ID\":{id}")), "{answer}");
    }
    assert_eq!(service.batch(&body(8)).len(), 1);
    assert_eq!(service.batch(&body(9)).len(), 1);
    // what the service's own account has asked for takes room, on both hosts now
    assert!(service.batch(&body(10)).is_empty(), "{}", service.log());
    let log = folder.path().join("var/oneaio-decisions.log");
    let logged = std::fs::read_to_string(log).unwrap_or_default();
    assert!(!logged.contains("901"), "{logged}");
}

#[test]
fn every_route_of_the_document_answers() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), None, &[]);
    let document = service.get_json("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let status = match method.as_str() {
                "get" => service.get(path).0,
                "post" => service.post(path, "{}").0,
                other => panic!("{other}"),
            };
            assert!(operations[method]["responses"][status.to_string()].is_object(), "{method} {path} gave {status}");
            asked += 1;
        }
    }
    assert_eq!(asked, 13);
    assert_eq!(service.get_json("/healthz")["status"], "live");
    assert_eq!(service.get_json("/readyz")["status"], "ready");
}

#[test]
fn it_listens_where_it_is_told_and_tells_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let service = Service::start_with(folder.path(), None, &[], |command| {
        // --set goes over the environment: take it away again
        *command = without_port(command);
        command.env("ML_MODEL_PORT", free.to_string()).env("NOTIFY_SOCKET", &socket);
    });
    assert_eq!(service.address.port(), free);
    let mut message = [0; 100];
    let count = systemd.recv(&mut message).unwrap();
    assert_eq!(&message[..count], b"READY=1\n");
    assert_eq!(service.stop().0, Some(0));
    let count = systemd.recv(&mut message).unwrap();
    assert_eq!(&message[..count], b"STOPPING=1\n");
}

#[test]
fn it_takes_the_socket_that_systemd_has_opened() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start_with(folder.path(), None, &[], |command| {
        // the socket comes as standard input and is moved to where systemd puts it
        let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let mut shell = Command::new("sh");
        shell.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 </dev/null", "sh"]).args(words);
        shell.env_remove("ML_MODEL_PORT").stdin(std::os::fd::OwnedFd::from(listener));
        *command = shell;
    });
    assert_eq!(service.address, address);
    assert_eq!(service.get_json("/healthz")["status"], "live");
}

fn without_port(command: &Command) -> Command {
    let mut changed = Command::new(command.get_program());
    let args: Vec<_> = command.get_args().collect();
    let port = args.iter().position(|arg| *arg == "serve.port=0").unwrap();
    changed.args(args[..port - 1].iter().chain(&args[port + 1..]));
    changed
}

#[test]
fn what_keeps_it_from_starting_is_said_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("serve.port={}", taken.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "short").unwrap();
    let token = format!("serve.token_file={}", token.display());
    for (set, variable, says) in [
        (port.as_str(), "", "cannot listen"),
        (token.as_str(), "", "at least 16"),
        ("serve.address=here", "", "an IP address"),
        ("serve.deadline=0", "", "0.1 to 600"),
        ("serve.prot=1", "", "serve.port"),
        ("log=info", "many", "ML_MODEL_PORT"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
            .args(["serve", "--set", "history.store=none", "--set", "serve.oned_refresh=0", "--set", set])
            .env("ML_MODEL_PORT", variable)
            .output()
            .unwrap();
        let messages = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{set}: {messages}");
        let errors: Vec<&str> = messages.lines().filter(|line| line.starts_with("ERROR")).collect();
        assert!(errors.len() == 1 && errors[0].contains(says), "{set}: {messages}");
    }
}

#[test]
fn a_store_that_comes_and_goes_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let store = format!("history.store=sqlite:{}", file.display());
    let service = Service::start(folder.path(), None, &[&store]);
    assert_eq!(service.get_json("/readyz")["store"]["state"], "ok");
    assert_eq!(service.batch("{\"VMS\":[{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}}]}").len(), 1);
    drop(service);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::write(&file, "this is no database, whatever its name says").unwrap();
    let service = Service::start(folder.path(), None, &[&store]);
    let ready = service.get_json("/readyz");
    assert_eq!((&ready["store"]["state"], &ready["status"]), (&json!("lost"), &json!("degraded")));
    assert_eq!(service.batch("{\"VMS\":[{\"ID\":2,\"HOST_IDS\":[1],\"CAPACITY\":{\"CPU\":1,\"MEMORY\":1}}]}").len(), 1);
    std::fs::remove_file(&file).unwrap();
    eventually("the store is back", || service.get_json("/readyz")["store"]["state"] == "ok");
    assert!(service.log().contains("history is used again"), "{}", service.log());
}

//! The client of oned against a server that answers well, badly, or not at all, and
//! real answers of oned that lie beside a development checkout in `../shared`.

use crate::support::oned::{
    Act, PASSWORD, client, http, patient_client, raw, refusal, serve, silent, success, trickle,
};
use crate::support::skip::shared;
use oneaio::model::ids::VmId;
use oneaio::model::sample::Counters;
use oneaio::oned::{OnedError, Window};
use oneaio::opennebula::elements::PayloadError;
use oneaio::opennebula::xmlrpc::{Answer, AnswerError};
use oneaio::opennebula::{identity, monitoring};
use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The client gives up after 1 s; the rest is for machines that are busy with other things.
const LATEST: Duration = Duration::from_secs(5);

fn sample(id: i32) -> String {
    format!("<MONITORING><CPU>1</CPU><ID>{id}</ID><TIMESTAMP>9</TIMESTAMP></MONITORING>")
}

fn monitoring_data(ids: std::ops::Range<i32>) -> String {
    success(&format!("<MONITORING_DATA>{}</MONITORING_DATA>", ids.map(sample).collect::<String>()))
}

fn vm_pool(ids: std::ops::Range<i32>) -> String {
    let vms: String = ids.map(|id| format!("<VM><ID>{id}</ID><NAME>vm</NAME><STATE>3</STATE></VM>")).collect();
    success(&format!("<VM_POOL>{vms}</VM_POOL>"))
}

/// The version as a server that does this gives it; soon, and an error in one sentence.
fn version_from(act: Act) -> Result<String, OnedError> {
    version_at(serve(vec![act]).0)
}

/// The same for who waits as long as it takes.
fn patiently(act: Act) -> Result<String, OnedError> {
    patient_client(serve(vec![act]).0).system_version()
}

fn version_at(address: SocketAddr) -> Result<String, OnedError> {
    let start = Instant::now();
    let result = client(address).system_version();
    assert!(start.elapsed() < LATEST, "took {:?}: {result:?}", start.elapsed());
    if let Err(error) = &result {
        let text = error.to_string();
        assert!(!text.contains(PASSWORD) && !format!("{error:?}").contains(PASSWORD), "{error:?}");
        assert!(!text.contains('\n') && text.len() < 600, "{text}");
    }
    result
}

#[test]
fn a_version_is_asked_for_as_oned_expects_it() {
    let (address, requests) = serve(vec![raw(http("200 OK", &success("7.4.0")))]);
    assert_eq!(version_at(address).unwrap(), "7.4.0");
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /RPC2 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("content-type: text/xml\r\n"), "{request}");
    assert!(request.contains("<methodName>one.system.version</methodName>"), "{request}");
    assert!(request.contains(&format!("<string>oneadmin:{PASSWORD}</string>")), "{request}");
}

#[test]
fn bodies_come_in_every_framing() {
    let body = success("7.4.0");
    let (first, second) = body.split_at(60);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    assert_eq!(patiently(raw(chunked)).unwrap(), "7.4.0");
    let to_the_close = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
    assert_eq!(patiently(raw(to_the_close)).unwrap(), "7.4.0");
    let slowly = trickle(http("200 OK", &body), Duration::from_micros(200));
    assert_eq!(patiently(slowly).unwrap(), "7.4.0");
}

#[test]
fn samples_of_vms_and_hosts_come_through() {
    let (address, requests) = serve((0..4).map(|_| raw(http("200 OK", &monitoring_data(0..3)))));
    let client = client(address);
    let mut ids = Vec::new();
    let mut visit = |counters: Counters| ids.push(counters.id);
    assert_eq!(client.vm_monitoring(Window::Last, &mut visit).unwrap(), 0);
    assert_eq!(client.vm_monitoring(Window::All, &mut visit).unwrap(), 0);
    assert_eq!(client.vm_monitoring(Window::Seconds(u32::MAX), &mut visit).unwrap(), 0);
    assert_eq!(client.host_monitoring(Window::Seconds(60), &mut visit).unwrap(), 0);
    assert_eq!(ids, [0, 1, 2].repeat(4));
    let integers: Vec<Vec<String>> = requests.iter().take(4).map(|request| integers(&request)).collect();
    assert_eq!(integers, [vec!["-2", "0"], vec!["-2", "-1"], vec!["-2", "2147483647"], vec!["60"]]);
}

fn integers(request: &str) -> Vec<String> {
    request.split("<i4>").skip(1).map(|rest| rest.split("</i4>").next().unwrap().to_owned()).collect()
}

#[test]
fn identities_are_asked_for_in_pages() {
    let pages = [vm_pool(500..1000), vm_pool(0..500), vm_pool(0..0)];
    let (address, requests) = serve(pages.map(|page| raw(http("200 OK", &page))));
    let mut ids = Vec::new();
    let skipped = client(address).vm_identities(&mut |id, _, state| ids.push((id, state))).unwrap();
    assert_eq!((skipped, ids.len()), (0, 1000));
    assert_eq!(ids[0], (VmId(500), 3));
    let integers: Vec<Vec<String>> = requests.iter().take(3).map(|request| integers(&request)).collect();
    assert_eq!(integers[1], ["-2", "500", "-500", "-1"]);
    assert_eq!(integers[2], ["-2", "1000", "-500", "-1"]);
}

#[test]
fn pages_without_end_end_at_the_deadline() {
    let (address, _requests) = serve((0..).map(|_| raw(http("200 OK", &vm_pool(0..500)))));
    let start = Instant::now();
    let error = client(address).vm_identities(&mut |_, _, _| ()).unwrap_err();
    assert!(matches!(error, OnedError::TimedOut { .. }), "{error}");
    assert!(start.elapsed() < LATEST);
}

#[test]
fn refusals_and_faults_say_what_to_do() {
    let refused = version_from(raw(http("200 OK", &refusal(256, "couldn't be authenticated")))).unwrap_err();
    assert!(matches!(&refused, OnedError::Answer { problem: AnswerError::Refused { code: 256, .. }, .. }));
    assert!(refused.to_string().contains("check ONE_AUTH"), "{refused}");
    let fault = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><i4>-506</i4></value></member>\
                 <member><name>faultString</name><value><string>no</string></value></member></struct></value></fault></methodResponse>";
    let fault = version_from(raw(http("200 OK", fault))).unwrap_err();
    assert!(matches!(fault, OnedError::Answer { problem: AnswerError::Fault { code: -506, .. }, .. }));
}

#[test]
fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(version_at(address).unwrap_err(), OnedError::Unreachable { .. }));
    // a documentation address: no answer, or none can be had
    let nowhere = version_at("192.0.2.1:2633".parse().unwrap()).unwrap_err();
    assert!(!matches!(nowhere, OnedError::Answer { .. }), "{nowhere}");
}

#[test]
fn silence_ends_at_the_read_limit() {
    let patience = Duration::from_secs(20);
    let error = version_from(silent(patience)).unwrap_err();
    assert!(matches!(error, OnedError::TimedOut { .. }) && error.to_string().contains("silent for 0.4 s"), "{error}");
    let start = &http("200 OK", &success("7.4.0"))[..150];
    let start = start.to_vec();
    let error = version_from(Box::new(move |stream| {
        stream.write_all(&start).unwrap();
        std::thread::sleep(patience);
    }));
    assert!(error.unwrap_err().to_string().contains("silent for 0.4 s"));
    // never accepted at all: the system takes the connection, nobody reads
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = version_at(listener.local_addr().unwrap()).unwrap_err();
    assert!(matches!(error, OnedError::TimedOut { .. }), "{error}");
}

#[test]
fn trickles_end_at_the_deadline() {
    let answer = http("200 OK", &success(&"x".repeat(1000)));
    let head = answer.iter().position(|byte| *byte == b'<').unwrap();
    let in_the_head = trickle(answer.clone(), Duration::from_millis(50));
    let in_the_body: Act = Box::new(move |stream| {
        stream.write_all(&answer[..head]).unwrap();
        trickle(answer[head..].to_vec(), Duration::from_millis(50))(stream);
    });
    for act in [in_the_head, in_the_body] {
        let error = version_from(act).unwrap_err();
        assert!(matches!(error, OnedError::TimedOut { .. }) && error.to_string().contains("within 1 s"), "{error}");
    }
}

#[test]
fn connections_dropped_anywhere_are_no_success() {
    let answer = http("200 OK", &success("7.4.0"));
    for length in 0..answer.len() {
        let error = version_from(raw(&answer[..length])).unwrap_err();
        let known = matches!(
            error,
            OnedError::Broken { .. }
                | OnedError::Answer { problem: AnswerError::Cut(_), .. }
                | OnedError::TimedOut { .. }
        );
        assert!(known, "cut at {length}: {error:?}");
    }
    // without a length, only the document tells
    let body = success("7.4.0");
    let error = version_from(raw(format!("HTTP/1.0 200 OK\r\n\r\n{}", &body[..body.len() - 20]))).unwrap_err();
    assert!(matches!(error, OnedError::Answer { problem: AnswerError::Cut(_), .. }), "{error}");
}

#[test]
fn a_drop_in_the_middle_of_samples_is_told_and_what_came_was_seen() {
    let body = monitoring_data(0..2000);
    let answer = http("200 OK", &body);
    let (address, _requests) = serve(vec![raw(&answer[..answer.len() / 2])]);
    let mut seen = 0;
    let error = client(address).vm_monitoring(Window::All, &mut |_| seen += 1).unwrap_err();
    assert!(matches!(error, OnedError::Broken { .. } | OnedError::Answer { .. }), "{error}");
    assert!((900..1100).contains(&seen), "{seen}");
}

#[test]
fn other_servers_are_told_from_oned() {
    for status in ["404 Not Found", "500 Internal Server Error", "204 No Content"] {
        assert!(matches!(version_from(raw(http(status, "<html/>"))).unwrap_err(), OnedError::Status { .. }));
    }
    let page = version_from(raw(http("200 OK", "<!DOCTYPE html><html><body>It works!</body></html>"))).unwrap_err();
    assert!(matches!(page, OnedError::Answer { problem: AnswerError::NotAnAnswer { .. }, .. }), "{page}");
    assert!(matches!(version_from(raw("SSH-2.0-OpenSSH_9.9\r\n")).unwrap_err(), OnedError::Broken { .. }));
    let wrong = raw(http("200 OK", &vm_pool(0..1)));
    let error = client(serve(vec![wrong]).0).host_monitoring(Window::Last, &mut |_| ()).unwrap_err();
    assert!(matches!(error, OnedError::Payload { problem: PayloadError::Root { .. }, .. }), "{error}");
}

#[test]
fn passwords_follow_no_redirect_and_come_back_in_no_message() {
    let (elsewhere, requests) = serve(vec![raw(http("200 OK", &success("7.4.0")))]);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("HTTP/1.1 {status} X\r\nLocation: http://{elsewhere}/RPC2\r\nContent-length: 0\r\n\r\n");
        let error = version_from(raw(location)).unwrap_err();
        assert!(matches!(error, OnedError::Status { .. }), "{error}");
    }
    assert!(requests.try_recv().is_err(), "nobody was asked elsewhere");
    // version_from looks for the password in each message
    version_from(raw(http("200 OK", PASSWORD))).unwrap_err();
    version_from(raw(http("200 OK", &format!("<{PASSWORD}/>")))).unwrap_err();
    let echo = format!("who is oneadmin:{PASSWORD}?");
    version_from(raw(http("200 OK", &refusal(256, &echo)))).unwrap_err();
    assert!(!format!("{:?}", client(elsewhere)).contains(PASSWORD));
}

/// Keeps what is logged, by everybody, at every level.
struct Listener(Mutex<Vec<(log::Level, String)>>);

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

#[test]
fn passwords_are_in_no_log() {
    static LISTENER: Listener = Listener(Mutex::new(Vec::new()));
    log::set_logger(&LISTENER).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    version_from(raw(http("200 OK", &success("7.4.0")))).unwrap();
    let lines = LISTENER.0.lock().unwrap();
    assert!(!lines.is_empty(), "the HTTP client logs something");
    for (level, line) in lines.iter() {
        // at trace level it would log the bytes of the request, in pieces
        assert!(*level <= log::Level::Debug && !line.contains(PASSWORD), "{level}: {line}");
    }
}

fn captures() -> Option<PathBuf> {
    shared("captures/xmlrpc")
}

fn open(folder: &Path, name: &str) -> Result<Answer<BufReader<fs::File>>, AnswerError> {
    Answer::open(BufReader::new(fs::File::open(folder.join(format!("{name}.response.xml"))).unwrap()))
}

#[test]
fn every_captured_answer_is_understood() {
    let Some(folder) = captures() else { return };
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".response.xml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() > 40, "{} captures", names.len());
    for name in &names {
        let empty_pool = name == "error-authorization";
        match open(&folder, name) {
            Ok(mut answer) => {
                let failed = name.starts_with("error") || name.starts_with("fault");
                assert!(empty_pool || !failed, "{name} is a success");
                let mut payload = String::new();
                answer.read_to_string(&mut payload).unwrap();
                answer.finish().unwrap();
                assert!(payload.starts_with('<') || payload == "7.4.0", "{name}: {payload:.60}");
            }
            Err(AnswerError::Fault { .. }) => assert!(name.starts_with("fault"), "{name}"),
            Err(AnswerError::Refused { code, .. }) => {
                let known = name.starts_with("error") || name.ends_with("jsonquery") || name.ends_with("badfilter");
                assert!(known && code >= 256, "{name}: {code}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn captured_samples_have_all_their_numbers() {
    let Some(folder) = captures() else { return };
    for (name, count, hosts) in [
        ("one.vmpool.monitoring-last", 308, false),
        ("one.vm.monitoring-none", 0, false),
        ("one.hostpool.monitoring-last", 5, true),
    ] {
        let mut found: Vec<Counters> = Vec::new();
        let answer = open(&folder, name).unwrap();
        assert_eq!(monitoring::records(answer, &mut |counters| found.push(counters)).unwrap(), 0, "{name}");
        assert_eq!(found.len(), count, "{name}");
        for counters in found {
            assert!(counters.cpu.is_some() && counters.memory.is_some() && counters.net.is_some(), "{counters:?}");
            assert_eq!(counters.disk.is_none(), hosts, "{counters:?}");
            assert!(counters.at > 1_700_000_000, "{counters:?}");
        }
    }
}

#[test]
fn captured_vms_have_identities() {
    let Some(folder) = captures() else { return };
    let mut found = Vec::new();
    let answer = open(&folder, "one.vmpool.infoextended").unwrap();
    let page = identity::identities(answer, &mut |id, identity, state| found.push((id, identity, state))).unwrap();
    assert_eq!((page.vms, page.skipped, found.len()), (26, 0, 26));
    let (id, newest, state) = &found[0];
    assert_eq!((id.0, *state), (1707, 2));
    assert_eq!((newest.name.as_str(), newest.flavours.as_str()), ("x-vm25", "nginx, postgres"));
    assert_eq!((newest.template, newest.image, newest.owner), (None, Some(5), Some(0)));
    assert_eq!((newest.cpu, newest.memory), (10, 256 * 1024));
    assert!(found.iter().any(|(_, _, state)| *state == 6), "DONE is told");
}

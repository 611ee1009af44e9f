//! Who asks for a placement, over real HTTP: the service's own account, another machine, another user of this
//! machine. All are answered; whose answer nobody acts on takes no room and is no decision.

use crate::support::server::{ScriptedOned, Service, eventually, hosts, pending, read_all};
use crate::support::skip::skip;
use serde_json::Value;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How a request comes to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Our own account, over loopback.
    Own,
    /// An address that is not of this machine alone, as from elsewhere.
    Elsewhere(IpAddr),
    /// Another user of this machine, over loopback.
    Nobody,
}

/// An address of this machine that is not loopback. No packet is sent for it.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let found = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).ok();
    let found = found.map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
    if found.is_none() {
        skip("network", "this machine has no address but loopback");
    }
    found
}

/// Whether requests of another user can be tried.
fn may_be_nobody() -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let able = is_root && Command::new("setpriv").arg("--version").output().is_ok();
    if !able {
        skip("root", "only root with setpriv may become somebody else");
    }
    able
}

/// Host 4 of 8 cores; VM 40 waits with 6 cores and 1 GiB, VM 41 with 1.
fn start(folder: &Path) -> (ScriptedOned, Service) {
    let oned = ScriptedOned::start(&[
        ("one.hostpool.info", hosts(&[(4, 8, 0, "NO", &[])])),
        ("one.vmpool.infoextended", pending(&[(40, 6, ""), (41, 1, "")])),
    ]);
    let log = format!("decision_log={}", folder.join("decisions").display());
    let service = Service::start(folder, Some(&oned), &["serve.address=0.0.0.0", &log]);
    eventually("ready", || service.get("/readyz").0 == 200);
    (oned, service)
}

fn batch(vms: &[(i32, i32)]) -> String {
    let vm = |(id, cores): &(i32, i32)| {
        format!("{{\"ID\":{id},\"HOST_IDS\":[4],\"CAPACITY\":{{\"CPU\":{cores},\"MEMORY\":1048576}}}}")
    };
    format!("{{\"VMS\":[{}]}}", vms.iter().map(vm).collect::<Vec<_>>().join(","))
}

/// Status and body.
fn post(service: &Service, by: By, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let head = "Host: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let request = format!("POST {path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}");
    let port = service.address.port();
    let answer = match by {
        By::Own => over(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port), &request),
        By::Elsewhere(ip) => over(SocketAddr::new(ip, port), &request),
        By::Nobody => {
            let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; cat >&3; cat <&3");
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "bash", "-c", &script]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
            String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{by:?}: no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{by:?}: no JSON: {body:?}")))
}

fn over(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    read_all(&mut stream)
}

#[test]
fn an_answer_takes_room_where_somebody_will_act_on_it() {
    let (outer, nobody) = (outer_address(), may_be_nobody());
    let elsewhere = outer.map(By::Elsewhere);
    for (what, by, vms, counts) in [
        ("its own account", Some(By::Own), &[(77, 6)][..], true),
        ("from elsewhere, a VM that waits with this size", elsewhere, &[(40, 6)], true),
        ("from elsewhere, a VM that oned does not show", elsewhere, &[(77, 6)], false),
        ("from elsewhere, a VM of another size", elsewhere, &[(40, 5)], false),
        ("from elsewhere, one of them is invented", elsewhere, &[(40, 6), (77, 1)], false),
        ("from elsewhere, all of them wait", elsewhere, &[(40, 6), (41, 1)], true),
        ("another user, even with what waits", nobody.then_some(By::Nobody), &[(40, 6)], false),
    ] {
        let Some(by) = by else { continue };
        let folder = tempfile::tempdir().unwrap();
        let (_oned, service) = start(folder.path());
        let (status, answer) = post(&service, by, "/", &batch(vms));
        assert_eq!((status, &answer["VMS"][0]["HOST_ID"]), (200, &4.into()), "{what}: all are answered: {answer}");
        // 3 cores more have room only where that answer took none
        let (status, answer) = post(&service, By::Own, "/", &batch(&[(90, 3)]));
        assert_eq!(status, 200, "{what}: {answer}");
        let waits = answer["WAITING"].as_array().is_some_and(|waiting| !waiting.is_empty());
        assert_eq!(waits, counts, "{what}: {answer}");
        // it is written once the answer is on its way
        let noted = || std::fs::read_to_string(folder.path().join("decisions")).unwrap_or_default();
        eventually("the last decision is noted", || noted().contains("\"vm\":90") && noted().ends_with('\n'));
        let decisions = noted();
        assert_eq!(decisions.lines().count(), 1 + usize::from(counts), "{what}: {decisions}");
        let first = format!("\"vm\":{}", vms[0].0);
        assert_eq!(decisions.contains(&first), counts, "{what}: {decisions}");
    }
}

#[test]
fn only_its_own_account_changes_what_is_set() {
    let (outer, nobody) = (outer_address(), may_be_nobody());
    let folder = tempfile::tempdir().unwrap();
    let (_oned, service) = start(folder.path());
    let set = |by| post(&service, by, "/api/iaEnergyScalar", "{\"energy_cost_scalar\":7}");
    for by in [outer.map(By::Elsewhere), nobody.then_some(By::Nobody)].into_iter().flatten() {
        let (status, answer) = set(by);
        assert_eq!(status, 403, "{by:?}: {answer}");
        assert_eq!(service.get_json("/api/iaEnergyScalar")["energy_cost_scalar"], 1, "{by:?}");
    }
    assert_eq!(set(By::Own).0, 200);
    assert_eq!(service.get_json("/api/iaEnergyScalar")["energy_cost_scalar"], 7);
}

//! A Prometheus that scrapes a made-up cloud: it answers the queries of a backfill from a formula,
//! over real HTTP, and fails as it is told.
#![allow(dead_code, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What goes wrong with the next question for a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// This HTTP status, and to come again at once.
    Status(u16),
    /// Half an answer.
    Cut,
    /// No answer until the client gives up.
    Silent,
}

/// A cloud and its memory.
pub struct Cloud {
    pub hosts: i64,
    /// VM `v` runs on host `v % hosts`.
    pub vms: i64,
    /// This VM is told by host 1 as well.
    pub moved: Option<i64>,
    /// A metric that is not kept.
    pub lacks: Option<&'static str>,
    /// What else is kept: power, pressure.
    pub measured: &'static [&'static str],
    /// Longer spans are refused as too much, in seconds.
    pub longest: i64,
    pub trouble: Vec<Trouble>,
    /// Refuses for good after so many questions for a range.
    pub until: usize,
    /// Questions for a range so far.
    pub asked: Vec<String>,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            hosts: 2,
            vms: 6,
            moved: None,
            lacks: None,
            measured: &[],
            longest: 86_400,
            trouble: Vec::new(),
            until: usize::MAX,
            asked: Vec::new(),
        }
    }
}

/// All that may be measured of hosts. Power meters are called `kvm3:8080` and know no id of OpenNebula.
pub const MEASURED: &[&str] = &[
    "scaph_host_power_microwatts",
    "node_pressure_cpu_waiting_seconds_total",
    "node_schedstat_waiting_seconds_total",
    "opennebula_libvirt_vcpu_wait_seconds_total",
    "node_cpu_seconds_total",
    "opennebula_host_cpu_total_ratio",
];

/// Share of a host's CPU in use.
pub fn busy(host: i64, at: i64) -> f64 {
    ((at / 900 + 7 * host) % 97) as f64 / 97.0
}

/// What it draws then.
pub fn watts(host: i64, at: i64) -> f64 {
    100.0 + host as f64 + 200.0 * busy(host, at)
}

/// CPU of a VM, percent of a core.
pub fn cpu(vm: i64, at: i64) -> f64 {
    20.0 + (vm % 50) as f64 + ((at / 300) % 12) as f64
}

/// Serves a cloud.
pub fn serve(cloud: &Arc<Mutex<Cloud>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cloud = Arc::clone(cloud);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // connections are kept
            while let Some(target) = read_target(&mut stream) {
                let (status, body, cut) = answer(&mut cloud.lock().unwrap(), &target);
                if status == 0 {
                    // until it hangs up
                    let _ = stream.read(&mut [0]);
                    break;
                }
                let head = format!(
                    "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nRetry-After: 0\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let sent = if cut { &body.as_bytes()[..body.len() / 2] } else { body.as_bytes() };
                if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent)).is_err() || cut {
                    break;
                }
            }
        }
    });
    address
}

/// Path and parameters of the next request.
fn read_target(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    text.split(' ').nth(1).map(str::to_owned)
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [a, b, more @ ..]) => {
                let code = std::str::from_utf8(&[*a, *b]).unwrap().to_owned();
                bytes.push(u8::from_str_radix(&code, 16).unwrap());
                more
            }
            (b'+', more) => {
                bytes.push(b' ');
                more
            }
            (byte, more) => {
                bytes.push(*byte);
                more
            }
        };
    }
    String::from_utf8(bytes).unwrap()
}

fn answer(cloud: &mut Cloud, target: &str) -> (u16, String, bool) {
    let (path, query) = target.split_once('?').unwrap();
    let params: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let get = |name: &str| params.iter().find(|(key, _)| key == name).unwrap().1.clone();
    match path {
        "/api/v1/label/one_host_id/values" => {
            let hosts: Vec<String> = (0..cloud.hosts).map(|host| format!("\"{host}\"")).collect();
            (200, format!("{{\"status\":\"success\",\"data\":[{}]}}", hosts.join(",")), false)
        }
        "/api/v1/label/__name__/values" => {
            let names: Vec<String> = cloud.measured.iter().map(|name| format!("\"{name}\"")).collect();
            (200, format!("{{\"status\":\"success\",\"data\":[{}]}}", names.join(",")), false)
        }
        "/api/v1/series" => {
            let of_opennebula = get("match[]").starts_with("opennebula");
            let one = |host: i64| match of_opennebula {
                true => format!("{{\"instance\":\"kvm{host}.example.org:9926\",\"one_host_id\":\"{host}\"}}"),
                false => format!("{{\"instance\":\"kvm{host}:8080\"}}"),
            };
            let all: Vec<String> = (0..cloud.hosts).map(one).collect();
            (200, format!("{{\"status\":\"success\",\"data\":[{}]}}", all.join(",")), false)
        }
        "/api/v1/query" => (200, sizes(cloud, &get("query")), false),
        "/api/v1/query_range" => {
            let question = get("query");
            cloud.asked.push(question.clone());
            if cloud.asked.len() > cloud.until {
                return (403, "{\"status\":\"error\",\"error\":\"not any more\"}".to_owned(), false);
            }
            let (from, to): (i64, i64) = (get("start").parse().unwrap(), get("end").parse().unwrap());
            let step: i64 = get("step").parse().unwrap();
            assert!([300, 900].contains(&step) && from % step == 0, "{step} {from}");
            if to - from > cloud.longest {
                return (422, "{\"status\":\"error\",\"error\":\"too many samples\"}".to_owned(), false);
            }
            match cloud.trouble.pop() {
                Some(Trouble::Status(status)) => (status, "busy".to_owned(), false),
                Some(Trouble::Silent) => (0, String::new(), true),
                Some(Trouble::Cut) => (200, series(cloud, &question, (from, to, step)), true),
                None => (200, series(cloud, &question, (from, to, step)), false),
            }
        }
        _ => (404, "no such page".to_owned(), false),
    }
}

/// The single series of a question about a host, if it is one.
fn of_host(question: &str, (from, to, step): (i64, i64, i64)) -> Option<String> {
    let host = question.split(['"']).find_map(|word| word.strip_prefix("kvm")?.strip_suffix(":8080"));
    let host = host.or_else(|| question.split("one_host_id=\"").nth(1)?.split('"').next())?;
    let host: i64 = host.parse().ok()?;
    let value = |at: i64| {
        Some(match question {
            _ if question.contains("scaph_host") => watts(host, at),
            _ if question.contains("node_pressure") => busy(host, at) / 2.0,
            _ if question.contains("node_schedstat") => busy(host, at) * 3.0,
            _ if question.contains("node_cpu_seconds") => busy(host, at),
            _ if question.contains("host_cpu_total") => 3200.0,
            _ => return None,
        })
    };
    value(from)?;
    let points: Vec<String> = (0..=(to - from) / step)
        .filter_map(|index| Some(format!("[{},\"{}\"]", from + index * step, value(from + index * step)?)))
        .collect();
    Some(format!("{{\"metric\":{{}},\"values\":[{}]}}", points.join(",")))
}

fn series(cloud: &Cloud, question: &str, (from, to, step): (i64, i64, i64)) -> String {
    let mut text = "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[".to_owned();
    if let Some(one) = of_host(question, (from, to, step)) {
        text.push_str(&one);
    } else if !cloud.lacks.is_some_and(|metric| question.contains(metric)) {
        let host = question.split("one_host_id=\"").nth(1).unwrap().split('"').next().unwrap();
        let host: i64 = host.parse().unwrap();
        let runs = |vm: &i64| vm % cloud.hosts == host || (host == 1 && cloud.moved == Some(*vm));
        for (index, vm) in (0..cloud.vms).filter(runs).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(text, "{comma}{{\"metric\":{{\"one_vm_id\":\"{vm}\"}},\"values\":[").unwrap();
            let mut at = from;
            while at <= to {
                let value = if question.contains("vcpu_wait") {
                    4.0 * (vm % 2) as f64
                } else if question.contains("cpu_seconds") {
                    cpu(vm, at)
                } else if question.contains("memory_rss") {
                    1024.0 * (1 + vm) as f64
                } else {
                    200.0
                };
                let comma = if at > from { "," } else { "" };
                write!(text, "{comma}[{at},\"{value}\"]").unwrap();
                at += step;
            }
            text.push_str("]}");
        }
    }
    text + "]}}"
}

fn sizes(cloud: &Cloud, question: &str) -> String {
    let value = if question.contains("vm_cpu_ratio") { 200.0 } else { 2_097_152.0 };
    let all: Vec<String> = (0..cloud.vms)
        .map(|vm| format!("{{\"metric\":{{\"one_vm_id\":\"{vm}\"}},\"value\":[1,\"{value}\"]}}"))
        .collect();
    format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{}]}}}}", all.join(","))
}

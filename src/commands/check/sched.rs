//! What `check` finds on a front-end of OpenNebula 6: whether mm_sched asks us, and whether
//! what it is told fits what we are told.

use super::Findings;
use crate::config::Settings;
use crate::machine::installation::Installation;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a service on this machine may take to tell how it stands.
const PATIENCE: Duration = Duration::from_secs(3);

/// What mm_sched has without any line.
const MAX_HOST: u32 = 1;
const MAX_DISPATCH: u32 = 30;
const TIMEOUT: f64 = 10.0;

/// Lines that mm_sched wants, as we ship them.
const LINES: &str = "cat /usr/share/doc/oneaio/sched.conf >> /etc/one/sched.conf, and restart opennebula-scheduler";

/// Whether this is a front-end of OpenNebula 6: by oned's version where it is known, else by
/// its files. 7 has SCHED_MAD in oned.conf; a sched.conf may be left from before.
pub fn is_six(installation: &Installation, version: Option<&str>) -> bool {
    if let Some(version) = version {
        return version.starts_with("6.");
    }
    let drivers = fs::read(installation.oned_conf()).is_ok_and(|text| {
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().any(|line| line.trim_start().starts_with("SCHED_MAD"))
    });
    installation.sched_conf().is_file() && !drivers
}

/// Whether mm_sched asks somebody.
pub fn names_a_server(installation: &Installation) -> bool {
    let text = fs::read(installation.sched_conf()).unwrap_or_default();
    external(&String::from_utf8_lossy(&text)).server.is_some()
}

/// Looks at sched.conf, and whether the service that it names answers.
pub fn sched_conf(installation: &Installation, settings: &Settings, offline: bool, findings: &mut Findings) {
    let file = installation.sched_conf();
    let text = match fs::read(&file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            let fix = "run this on the front-end as root or oneadmin";
            return findings.warning("sched.conf", format!("{}: {error}", file.display()), fix);
        }
    };
    let asked = external(&text);
    let Some(server) = asked.server else {
        let text = format!("{} names no EXTERNAL_SCHEDULER: mm_sched decides alone", file.display());
        return findings.error("sched.conf", text, LINES);
    };
    findings.ok("sched.conf", format!("{}: mm_sched asks {server}", file.display()));
    let serve = &settings.serve;
    if asked.timeout <= serve.deadline {
        let text =
            format!("TIMEOUT is {} s, serve.deadline {} s: late answers are lost", asked.timeout, serve.deadline);
        findings.warning("sched.conf", text, "set TIMEOUT of EXTERNAL_SCHEDULER above serve.deadline");
    }
    let ours = serve.max_host.unwrap_or(0);
    if asked.max_host != ours {
        let text = format!("MAX_HOST is {}, serve.max_host {ours}", asked.max_host);
        let fix = format!("set serve.max_host: {} in {}", asked.max_host, installation.config_file().display());
        findings.warning("sched.conf", text, fix);
    }
    let ours = serve.max_dispatch.unwrap_or(0);
    if asked.max_dispatch != ours {
        let text = format!("MAX_DISPATCH is {}, serve.max_dispatch {ours}", asked.max_dispatch);
        let fix = format!("set serve.max_dispatch: {} in {}", asked.max_dispatch, installation.config_file().display());
        findings.warning("sched.conf", text, fix);
    }
    if asked.max_host == MAX_HOST {
        let text = "MAX_HOST is 1: a batch of at least as many VMs as hosts goes round robin, whatever is answered";
        findings.warning("sched.conf", text, "set MAX_HOST = 4 in sched.conf and serve.max_host: 4");
    }
    if !offline {
        service(&server, serve.port, findings);
    }
}

/// Whether the service answers that mm_sched asks.
fn service(server: &str, port: u16, findings: &mut Findings) {
    let fix = "systemctl enable --now oneaio-serve; its journal tells what is wrong";
    let address = server.trim_start_matches("http://").split('/').next().unwrap_or("");
    let address = if address.contains(':') { address.to_owned() } else { format!("{address}:80") };
    match ready(&address) {
        Ok(status) if status.contains(" 200") => findings.ok("serve", format!("{address} is ready")),
        Ok(status) => {
            let text = format!("{address} answers {status:?} to /readyz");
            findings.error("serve", text, fix);
        }
        Err(_) if !address.ends_with(&format!(":{port}")) => {
            let text = format!("nobody answers at {address}, and serve.port is {port}");
            findings.error("serve", text, "let SERVER of EXTERNAL_SCHEDULER and serve.port agree");
        }
        Err(error) => findings.error("serve", format!("{address}: {error}"), fix),
    }
}

/// The first line of the answer.
fn ready(address: &str) -> std::io::Result<String> {
    let nowhere = || std::io::Error::other("it leads nowhere");
    // localhost has two addresses, and mm_sched tries both
    let mut outcome = Err(nowhere());
    for address in address.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, PATIENCE);
        if outcome.is_ok() {
            break;
        }
    }
    let mut stream = outcome?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: oneaio\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 64];
    let count = stream.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    Ok(answer.lines().next().unwrap_or("").trim().to_owned())
}

/// What sched.conf says of what concerns us.
#[derive(Debug, PartialEq)]
struct External {
    server: Option<String>,
    timeout: f64,
    max_host: u32,
    max_dispatch: u32,
}

fn external(text: &str) -> External {
    let text: String = text.lines().map(|line| line.split('#').next().unwrap_or("").to_owned() + "\n").collect();
    let block = text.split_once("EXTERNAL_SCHEDULER").and_then(|(_, rest)| rest.split_once('[')?.1.split_once(']'));
    let (inside, outside) = match block {
        Some((inside, after)) => {
            (inside, format!("{}\n{after}", text.split("EXTERNAL_SCHEDULER").next().unwrap_or("")))
        }
        None => ("", text.clone()),
    };
    let value = |name: &str, text: &str| {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=')?;
            (key.trim() == name).then(|| value.trim().trim_matches('"').trim().to_owned())
        };
        text.split([',', '\n']).filter_map(pair).next_back()
    };
    External {
        server: value("SERVER", inside).filter(|server| !server.is_empty()),
        timeout: value("TIMEOUT", inside).and_then(|text| text.parse().ok()).unwrap_or(TIMEOUT),
        max_host: value("MAX_HOST", &outside).and_then(|text| text.parse().ok()).unwrap_or(MAX_HOST),
        max_dispatch: value("MAX_DISPATCH", &outside).and_then(|text| text.parse().ok()).unwrap_or(MAX_DISPATCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sched_conf_is_read_however_it_is_written() {
        let full = |server: &str, timeout, max_host| External {
            server: Some(server.to_owned()),
            timeout,
            max_host,
            max_dispatch: 30,
        };
        for (text, right) in [
            (include_str!("../../../oned-config/sched.conf"), full("http://127.0.0.1:4567", 10.0, 1)),
            ("EXTERNAL_SCHEDULER=[SERVER=\"http://x\",TIMEOUT=3]\nMAX_HOST = 2 # 9\n", full("http://x", 3.0, 2)),
            (
                "MAX_HOST=7\nMAX_HOST=8\nMAX_DISPATCH = 0\n#EXTERNAL_SCHEDULER=[SERVER=\"x\"]",
                External { server: None, timeout: 10.0, max_host: 8, max_dispatch: 0 },
            ),
            (
                "EXTERNAL_SCHEDULER = [ SERVER = \"\" ]",
                External { server: None, timeout: 10.0, max_host: 1, max_dispatch: 30 },
            ),
            ("EXTERNAL_SCHEDULER = [ SERVER", External { server: None, timeout: 10.0, max_host: 1, max_dispatch: 30 }),
        ] {
            assert_eq!(external(text), right, "{text}");
        }
    }
}

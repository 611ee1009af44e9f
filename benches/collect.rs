//! Measures one collection of a large cloud as a whole process: `oneaio collect` against an
//! oned that holds 20,000 VMs with two new samples each, into SQLite, into PostgreSQL and, where it is installed, TimescaleDB.
//!
//! `cargo bench --bench collect` prints a table: time, CPU and peak memory of the process.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod measured;
#[path = "../tests/it/support/store.rs"]
mod server;
#[path = "../tests/it/support/skip.rs"]
mod skip;

use measured::{children, peak};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const VMS: i64 = 20_000;
const SAMPLES: i64 = 2;

fn main() {
    println!("| store | VMs x new samples | answers of oned MB | wall s | CPU s | peak MB |");
    println!("|---|---:|---:|---:|---:|---:|");
    let folder = tempfile::tempdir().expect("temporary folder");
    measure("SQLite", &format!("sqlite:{}", folder.path().join("history.db").display()));
    if let Some(server) = server::Server::start() {
        measure("PostgreSQL", &server.address());
    }
    if let Some(server) = server::Server::start_with_timescaledb(&[]) {
        server.client().batch_execute("CREATE EXTENSION timescaledb").expect("is installed");
        measure("TimescaleDB", &server.address());
    }
}

fn measure(name: &str, store: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("address");
    let answers = [monitoring(), answer("<MONITORING_DATA/>"), pool(), answer("<VM_POOL/>")];
    let megabytes = answers.iter().map(String::len).sum::<usize>() as f64 / 1e6;
    std::thread::spawn(move || answers.iter().for_each(|text| give(&listener, text)));
    let before = children();
    let begun = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["collect", "--set", &format!("history.store={store}")])
        .env("ONED_ADDR", format!("http://{address}/RPC2"))
        .env("ONED_PASS", "password")
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let peak = std::thread::spawn({
        let status = format!("/proc/{}/status", child.id());
        move || peak(&status)
    });
    let output = child.wait_with_output().expect("runs");
    let wall = begun.elapsed().as_secs_f64();
    let peak = peak.join().expect("ends");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(messages.contains(&format!("new samples {}", VMS * SAMPLES)), "{messages}");
    let used = children() - before;
    println!("| {name} | {VMS} x {SAMPLES} | {megabytes:.0} | {wall:.2} | {used:.2} | {peak:.0} |");
}

/// Answers one call over HTTP, as oned does.
fn give(listener: &TcpListener, text: &str) {
    let Ok((mut stream, _)) = listener.accept() else { return };
    read_request(&mut stream);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-type: text/xml\r\nContent-length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    // a client that has enough may close
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
}

/// Reads until the end of the call: an XML document of a few hundred bytes.
fn read_request(stream: &mut TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(13).any(|end| end == b"</methodCall>") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
}

/// One record per VM and moment, with all elements that oned sends.
fn monitoring() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("fits");
    let mut records = String::from("<MONITORING_DATA>");
    for vm in 0..VMS {
        for sample in 0..SAMPLES {
            let (at, bytes) = (now - 60 * (SAMPLES - sample), vm * 1000 + sample * 60_000);
            records.push_str(&format!("<MONITORING><CPU><![CDATA[{}.5]]></CPU>", vm % 200));
            for name in ["DISKRDBYTES", "DISKWRBYTES", "DISKRDIOPS", "DISKWRIOPS", "NETRX", "NETTX"] {
                records.push_str(&format!("<{name}><![CDATA[{bytes}]]></{name}>"));
                for more in ["BW", "BW_FORECAST", "BW_FORECAST_FAR"] {
                    records.push_str(&format!("<{name}_{more}><![CDATA[54.30]]></{name}_{more}>"));
                }
            }
            records.push_str(&format!(
                "<ID><![CDATA[{vm}]]></ID><MEMORY><![CDATA[1048576]]></MEMORY><TIMESTAMP><![CDATA[{at}]]></TIMESTAMP></MONITORING>"
            ));
        }
    }
    records.push_str("</MONITORING_DATA>");
    answer(&records)
}

/// Who the VMs are, each in some 4 kB of template.
fn pool() -> String {
    let filler = "<CONTEXT><NETWORK><![CDATA[YES]]></NETWORK></CONTEXT>".repeat(70);
    let mut text = String::from("<VM_POOL>");
    for vm in 0..VMS {
        text.push_str(&format!(
            "<VM><ID>{vm}</ID><UID>{}</UID><NAME>vm-{vm}</NAME><STATE>3</STATE><TEMPLATE>{filler}<CPU>2</CPU>\
             <MEMORY>2048</MEMORY><TEMPLATE_ID>{}</TEMPLATE_ID></TEMPLATE><USER_TEMPLATE><FLAVOURS>web</FLAVOURS>\
             </USER_TEMPLATE></VM>",
            vm % 50,
            vm % 9
        ));
    }
    text.push_str("</VM_POOL>");
    answer(&text)
}

/// A success of oned's XML-RPC.
fn answer(payload: &str) -> String {
    let payload = payload.replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n<param><value><array><data>\r\n\
         <value><boolean>1</boolean></value>\r\n<value><string>{payload}</string></value>\r\n<value><i4>0</i4></value>\r\n\
         </data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n"
    )
}

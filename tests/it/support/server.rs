//! `oneaio serve` as a process, a real HTTP client, and an oned that answers by method and
//! fails as told.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // not every test uses all of it

use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How oned behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Well,
    /// Takes the request and says nothing.
    Silent,
    /// Takes the request and answers when the mood changes.
    Holding,
    /// Closes the connection.
    Closing,
    /// Breaks off in the middle.
    Cut,
    /// Does not know us.
    Refusing,
    /// Answers with a web page.
    Page,
}

/// What a method answers to a request.
type Answer = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Whatever is asked.
fn always(body: String) -> Answer {
    Arc::new(move |_| body.clone())
}

/// An oned on loopback.
pub struct ScriptedOned {
    pub address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ScriptedOned {
    /// Answers with these bodies, by method; with an empty pool for other methods.
    pub fn start(answers: &[(&str, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let oned = Self {
            address: listener.local_addr().unwrap(),
            mood: Arc::new(Mutex::new(Mood::Well)),
            answers: Arc::new(Mutex::new(answers.iter().map(|(m, a)| ((*m).to_owned(), always(a.clone()))).collect())),
            asked: Arc::default(),
        };
        let (mood, answers, asked) = (oned.mood.clone(), oned.answers.clone(), oned.asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (moods, answers, asked) = (mood.clone(), answers.clone(), asked.clone());
                thread::spawn(move || {
                    let request = read_request(&mut stream);
                    let method = between(&request, "<methodName>", "</methodName>");
                    asked.lock().unwrap().push(request.clone());
                    let empty = success(&format!("<{0}/>", root(&method)));
                    let mood = wait_while_holding(&moods);
                    let scripted = answers.lock().unwrap().get(&method).cloned();
                    answer(&mut stream, mood, &scripted.map_or(empty, |scripted| scripted(&request)));
                });
            }
        });
        oned
    }

    pub fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn set(&self, method: &str, body: String) {
        self.answers.lock().unwrap().insert(method.to_owned(), always(body));
    }

    /// Answers a method by what is asked.
    pub fn play(&self, method: &str, answer: impl Fn(&str) -> String + Send + Sync + 'static) {
        self.answers.lock().unwrap().insert(method.to_owned(), Arc::new(answer));
    }

    pub fn asked(&self, method: &str) -> usize {
        self.requests(method).len()
    }

    /// The requests of a method, whole.
    pub fn requests(&self, method: &str) -> Vec<String> {
        let name = format!("<methodName>{method}</methodName>");
        self.asked.lock().unwrap().iter().filter(|request| request.contains(&name)).cloned().collect()
    }
}

fn wait_while_holding(mood: &Mutex<Mood>) -> Mood {
    loop {
        let now = *mood.lock().unwrap();
        if now != Mood::Holding {
            return now;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn root(method: &str) -> &'static str {
    match method {
        "one.hostpool.info" => "HOST_POOL",
        "one.clusterpool.info" => "CLUSTER_POOL",
        "one.vmpool.infoextended" => "VM_POOL",
        _ => "MONITORING_DATA",
    }
}

fn answer(stream: &mut TcpStream, mood: Mood, body: &str) {
    let whole = |body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-type: text/xml\r\nContent-length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    };
    let text = match mood {
        Mood::Well => whole(body),
        Mood::Silent => {
            thread::sleep(Duration::from_secs(20));
            return;
        }
        Mood::Closing | Mood::Holding => return,
        Mood::Cut => whole(body)[..whole(body).len() / 2].to_owned(),
        Mood::Refusing => whole(&refusal(256, "User couldn't be authenticated, aborting.")),
        Mood::Page => whole("<html><body>It works!</body></html>"),
    };
    let _ = stream.write_all(text.as_bytes());
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn between(text: &str, from: &str, to: &str) -> String {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or("", |(inside, _)| inside).to_owned()
}

/// A whole answer of oned.
pub fn success(payload: &str) -> String {
    let payload = payload.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    array(&format!("<value><boolean>1</boolean></value><value><string>{payload}</string></value>"))
}

/// A refusal of oned.
pub fn refusal(code: i32, text: &str) -> String {
    array(&format!(
        "<value><boolean>0</boolean></value><value><string>{text}</string></value><value><i4>{code}</i4></value>"
    ))
}

/// What oned answers to a change: the ID of the object.
pub fn changed(id: i32) -> String {
    array(&format!("<value><boolean>1</boolean></value><value><i4>{id}</i4></value><value><i4>0</i4></value>"))
}

fn array(values: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse><params><param><value><array><data>{values}\
         </data></array></value></param></params></methodResponse>\r\n"
    )
}

/// HOST_POOL of hosts (id, cores, cores allocated, ENERGY_RENEWABLE, VMs).
pub fn hosts(hosts: &[(i32, i64, i64, &str, &[i32])]) -> String {
    let host = |&(id, cores, used, green, vms): &(i32, i64, i64, &str, &[i32])| {
        let vms: String = vms.iter().map(|vm| format!("<ID>{vm}</ID>")).collect();
        format!(
            "<HOST><ID>{id}</ID><NAME>node{id}</NAME><STATE>2</STATE><CLUSTER_ID>0</CLUSTER_ID><HOST_SHARE>\
             <MEM_USAGE>{}</MEM_USAGE><CPU_USAGE>{}</CPU_USAGE><MAX_MEM>{}</MAX_MEM><MAX_CPU>{}</MAX_CPU></HOST_SHARE>\
             <VMS>{vms}</VMS><TEMPLATE><ENERGY_RENEWABLE><![CDATA[{green}]]></ENERGY_RENEWABLE></TEMPLATE></HOST>",
            used << 20,
            used * 100,
            cores << 20,
            cores * 100
        )
    };
    success(&format!("<HOST_POOL>{}</HOST_POOL>", hosts.iter().map(host).collect::<String>()))
}

/// VM_POOL of pending VMs (id, cores, inside USER_TEMPLATE).
pub fn pending(vms: &[(i32, i64, &str)]) -> String {
    let vm = |&(id, cores, more): &(i32, i64, &str)| {
        format!(
            "<VM><ID>{id}</ID><NAME>vm{id}</NAME><STATE>1</STATE><TEMPLATE><CPU>{cores}</CPU><MEMORY>1024</MEMORY>\
             </TEMPLATE><USER_TEMPLATE>{more}</USER_TEMPLATE></VM>"
        )
    };
    success(&format!("<VM_POOL>{}</VM_POOL>", vms.iter().map(vm).collect::<String>()))
}

/// The service.
pub struct Service {
    pub address: SocketAddr,
    pub child: Child,
    log: Arc<Mutex<String>>,
}

impl Service {
    /// Starts it on a free port, without a store; `oned` is asked every 0.2 s.
    pub fn start(folder: &Path, oned: Option<&ScriptedOned>, set: &[&str]) -> Self {
        Self::start_with(folder, oned, set, |command| {
            command.env_remove("ML_MODEL_PORT");
        })
    }

    pub fn start_with(
        folder: &Path,
        oned: Option<&ScriptedOned>,
        set: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneaio"));
        command.arg("serve").args(["--set", "history.store=none", "--set", "serve.port=0"]);
        command.args(set.iter().flat_map(|text| ["--set", text]));
        for name in ["ONED_PASS", "ENVSERVER_DB_HOST", "NOTIFY_SOCKET", "LISTEN_FDS"] {
            command.env_remove(name);
        }
        match oned {
            Some(oned) => {
                std::fs::write(folder.join("one_auth"), "oneadmin:t0psecret-password").unwrap();
                command.env("ONED_ADDR", format!("http://{}/RPC2", oned.address));
                command.env("ONE_AUTH", folder.join("one_auth"));
                command.args(["--set", "serve.oned_refresh=0.2"]);
            }
            None => {
                command.args(["--set", "serve.oned_refresh=0"]);
            }
        }
        command.stdin(Stdio::null());
        change(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let mut address = None;
        let mut line = String::new();
        while address.is_none() && lines.read_line(&mut line).unwrap() > 0 {
            log.lock().unwrap().push_str(&line);
            address = line.split_once("listening on http://").map(|(_, rest)| rest.trim().parse().unwrap());
            line.clear();
        }
        let address = address.unwrap_or_else(|| panic!("it did not start: {}", log.lock().unwrap()));
        let all = log.clone();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = all.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { address, child, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn agent() -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        ureq::Agent::new_with_config(config.timeout_global(Some(Duration::from_secs(20))).build())
    }

    /// POSTs JSON; status and answer.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
        self.post_with(path, body, &[("Content-Type", "application/json")])
    }

    pub fn post_with(&self, path: &str, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = Self::agent().post(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body.as_ref()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text:?}")))
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let mut response = Self::agent().get(format!("http://{}{path}", self.address)).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    pub fn get_json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).1).unwrap()
    }

    /// A batch of mm_sched; its answer as VM to host.
    pub fn batch(&self, body: &str) -> HashMap<i64, i64> {
        let (status, answer) = self.post("/", body);
        assert_eq!(status, 200, "{answer}");
        let number = |value: &Value| value.as_i64().expect("an integer");
        let vms = answer["VMS"].as_array().expect("VMS").iter();
        vms.map(|vm| (number(&vm["ID"]), number(&vm["HOST_ID"]))).collect()
    }

    /// Sends bytes as they are; all that comes back until the connection ends.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        read_all(&mut stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Asks it to end; exit status and how long it took.
    pub fn stop(mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        (status.code(), begun.elapsed())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the other side closes.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until something becomes true.
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(15), "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

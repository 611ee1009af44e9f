//! An oned on loopback for unit tests: it answers as it is told, and keeps what it was asked.

use super::{Credentials, Limits, Oned};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A method and its arguments without the first, which says who we are: `<i4>5</i4>`.
pub type Call = (String, Vec<String>);

/// Answers of a method, one after another; the last of them for good.
type Answers = HashMap<&'static str, Vec<String>>;

/// It closes the connection where it has no answer.
pub struct Scripted {
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<(Mutex<Vec<Call>>, Condvar)>,
}

impl Scripted {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scripted = Self { address, answers: Arc::default(), asked: Arc::default() };
        let (answers, asked) = (scripted.answers.clone(), scripted.asked.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let call = call(&read(&mut stream));
                let answer = {
                    let mut answers = answers.lock().unwrap();
                    let of_this = answers.get_mut(call.0.as_str());
                    of_this.map(|all| if all.len() > 1 { all.remove(0) } else { all[0].clone() })
                };
                asked.0.lock().unwrap().push(call);
                asked.1.notify_all();
                if let Some(body) = answer {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", body.len());
                    let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
                }
            }
        });
        scripted
    }

    /// Answers a method from now on.
    pub fn answer(&self, method: &'static str, answers: &[String]) {
        self.answers.lock().unwrap().insert(method, answers.to_vec());
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Vec<Call> {
        std::mem::take(&mut *self.asked.0.lock().unwrap())
    }

    /// The same, once it was asked so often at least.
    pub fn asked_at_least(&self, times: usize) -> Vec<Call> {
        let asked = self.asked.0.lock().unwrap();
        let wait = Duration::from_secs(60);
        let (mut asked, over) = self.asked.1.wait_timeout_while(asked, wait, |asked| asked.len() < times).unwrap();
        assert!(!over.timed_out(), "{asked:?}");
        std::mem::take(&mut *asked)
    }

    /// A client of it.
    pub fn client(&self) -> Oned {
        let seconds = Duration::from_secs;
        let limits = Limits { connect: seconds(5), read: seconds(10), total: seconds(20) };
        let credentials = Credentials::parse("me:secret").unwrap();
        Oned::new(self.address.to_string().parse().unwrap(), credentials, limits, None).unwrap()
    }
}

/// A whole answer with a document in it.
pub fn success(payload: &str) -> String {
    let payload = payload.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    answer(1, &format!("<string>{payload}</string>"), 0)
}

/// A refusal.
pub fn refused(code: i32) -> String {
    answer(0, "<string>no</string>", code)
}

fn answer(done: u8, value: &str, code: i32) -> String {
    format!(
        "<methodResponse><params><param><value><array><data><value><boolean>{done}</boolean></value><value>{value}\
         </value><value><i4>{code}</i4></value></data></array></value></param></params></methodResponse>"
    )
}

fn read(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.ends_with("</methodCall>\n") {
            return text;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn call(request: &str) -> Call {
    let inside = |text: &str, end: &str| text.split(end).next().unwrap().to_owned();
    let method = request.split("<methodName>").nth(1).map_or(String::new(), |rest| inside(rest, "</methodName>"));
    let params = request.split("<param><value>").skip(2).map(|rest| inside(rest, "</value></param>"));
    (method, params.collect())
}

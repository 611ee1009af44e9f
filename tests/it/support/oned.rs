//! A server on loopback that does what each test tells it, over real HTTP.

use oneaio::oned::{Credentials, Limits, Oned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// What the server does with a connection whose request it has read.
pub type Act = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// Serves one connection per act, in order; the requests come out of the receiver.
pub fn serve<Acts>(acts: Acts) -> (SocketAddr, Receiver<String>)
where
    Acts: IntoIterator<Item = Act> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for act in acts {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let request = read_request(&mut stream);
            let _ = sender.send(request);
            act(&mut stream);
        }
    });
    (address, receiver)
}

/// A whole request.
pub fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Sends bytes as they are and closes.
pub fn raw(bytes: impl Into<Vec<u8>>) -> Act {
    let bytes = bytes.into();
    Box::new(move |stream| drop(stream.write_all(&bytes)))
}

/// A whole HTTP answer with its length.
pub fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-type: text/xml\r\nContent-length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into()
}

/// Sends bytes one at a time for as long as anybody listens.
pub fn trickle(bytes: Vec<u8>, every: Duration) -> Act {
    Box::new(move |stream| {
        for byte in bytes {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(every);
        }
    })
}

/// Says nothing and keeps the connection.
pub fn silent(time: Duration) -> Act {
    Box::new(move |_| thread::sleep(time))
}

/// What oned answers when all is well.
pub fn success(payload: &str) -> String {
    let payload = payload.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    array(&format!("<value><boolean>1</boolean></value>\r\n<value><string>{payload}</string></value>\r\n"))
}

/// What oned answers when it refuses.
pub fn refusal(code: i32, text: &str) -> String {
    array(&format!(
        "<value><boolean>0</boolean></value>\r\n<value><string>{text}</string></value>\r\n<value><i4>{code}</i4></value>"
    ))
}

fn array(values: &str) -> String {
    let head =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n<param><value><array><data>";
    format!("{head}\r\n{values}\r\n</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n")
}

/// The password of [`client`].
pub const PASSWORD: &str = "s3cr3t-W0rd";

/// A client of a server, with little patience: 0.4 s per read, 1 s in all.
pub fn client(address: SocketAddr) -> Oned {
    let milliseconds = Duration::from_millis;
    client_with(address, Limits { connect: milliseconds(500), read: milliseconds(400), total: milliseconds(1000) })
}

/// One that waits longer than any answer takes, on a busy machine too.
pub fn patient_client(address: SocketAddr) -> Oned {
    let minute = Duration::from_secs(60);
    client_with(address, Limits { connect: minute, read: minute, total: minute })
}

fn client_with(address: SocketAddr, limits: Limits) -> Oned {
    let credentials = Credentials::parse(&format!("oneadmin:{PASSWORD}")).unwrap();
    Oned::new(address.to_string().parse().unwrap(), credentials, limits, None).unwrap()
}

//! Who is at the other end of a connection on this machine: the kernel's table of sockets
//! tells the user of each. Nothing is known of anybody elsewhere.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A socket that is connected; in other states the table names nobody, as user 0.
const ESTABLISHED: &str = "01";

/// The user at the other end, if that is on this machine. `here` is our end.
pub fn user(peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let local = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    if !local(peer) || !local(here) {
        return None;
    }
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].into_iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().find_map(|line| of_line(line, peer, here))
    })
}

/// The user of a line of the table, if it is the socket from `peer` to `here`.
fn of_line(line: &str, peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if state != ESTABLISHED || address(local)? != plain(peer) || address(remote)? != plain(here) {
        return None;
    }
    fields.nth(3)?.parse().ok()
}

fn plain(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// `0100007F:1F90`: words of four bytes as this machine has them in memory.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (digits, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    if !digits.is_ascii() || !matches!(digits.len(), 8 | 32) {
        return None;
    }
    for (word, into) in digits.as_bytes().chunks(8).zip(bytes.chunks_mut(4)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        into.copy_from_slice(&word.to_ne_bytes());
    }
    let ip = match digits.len() {
        8 => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
    };
    Some((ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_other_end_of_a_connection_here_is_known() {
        let me = rustix::process::geteuid().as_raw();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // a machine may have no IPv6
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let (_served, peer) = listener.accept().expect("accepts");
            let here = listener.local_addr().expect("bound");
            assert_eq!(user(peer, here), Some(me));
            assert_eq!(user(here, here), None);
            drop(client);
        }
        assert_eq!(user("192.0.2.1:9".parse().expect("address"), "192.0.2.2:9".parse().expect("address")), None);
    }

    #[test]
    fn lines_of_the_table_are_read_and_closed_sockets_are_nobodys() {
        let (peer, here) = ("127.0.0.1:8080".parse().expect("a"), "127.0.0.1:4567".parse().expect("a"));
        let end = |ip: u32, port: u16| format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.to_be_bytes()));
        let line = |state: &str| {
            let ends = (end(0x7f00_0001, 8080), end(0x7f00_0001, 4567));
            format!(" 3: {} {} {state} 00000000:00000000 00:00000000 00000000  1000        0 12345", ends.0, ends.1)
        };
        assert_eq!(of_line(&line("01"), peer, here), Some(1000));
        assert_eq!(of_line(&line("06"), peer, here), None);
        assert_eq!(of_line(&line("01"), here, peer), None);
        for odd in ["", "sl local_address rem_address st", "1: x y 01", "1: 0:0 0:0 01 a b c d"] {
            assert_eq!(of_line(odd, peer, here), None);
        }
    }
}

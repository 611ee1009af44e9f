//! Who is at the other end of a connection on this machine: the kernel tells the user of each socket. It is asked
//! for the one socket; where it takes no questions, its table of all sockets is read, which takes milliseconds where
//! connections come and go. Nothing is known of anybody elsewhere.

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A socket that is connected; in other states the kernel names nobody, as user 0.
const ESTABLISHED: u8 = 1;

/// Of sock_diag(7), in the byte order of this machine: `SOCK_DIAG_BY_FAMILY` and `NLM_F_REQUEST`, a `struct nlmsghdr`
/// of 16 bytes before a `struct inet_diag_req_v2` of 56, and of the answer's `struct inet_diag_msg` where state and
/// user stand, and its length with the header.
const BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;
const ASKED: u32 = 72;
const STATE: usize = 17;
const USER: usize = 80;
const ANSWERED: usize = 88;

/// The user at the other end, if that is on this machine. `here` is our end.
pub fn user(peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let local = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    if !local(peer) || !local(here) {
        return None;
    }
    told(peer, here).or_else(|| listed(peer, here))
}

/// What the kernel tells of the one socket; `None` where it has none such or may not be asked.
fn told(peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let socket =
        net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG)).ok()?;
    let kernel = SocketAddrNetlink::new(0, 0);
    net::sendto(&socket, &question(peer, here), SendFlags::empty(), &kernel).ok()?;
    let mut answer = [0; 512];
    let (_, length) = net::recv(&socket, &mut answer, RecvFlags::DONTWAIT).ok()?;
    of_answer(answer.get(..length)?)
}

/// The question for the socket from `peer` to `here`: `struct nlmsghdr`, then `struct inet_diag_req_v2`.
fn question(peer: SocketAddr, here: SocketAddr) -> Vec<u8> {
    let ((from, from_port), (to, to_port)) = (plain(peer), plain(here));
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let mut asked = Vec::with_capacity(ASKED as usize);
    asked.extend(ASKED.to_ne_bytes());
    asked.extend(BY_FAMILY.to_ne_bytes());
    asked.extend(REQUEST.to_ne_bytes());
    // number and port of the message: one question, one answer
    asked.extend([0; 8]);
    asked.extend([family.as_raw() as u8, net::ipproto::TCP.as_raw().get() as u8, 0, 0]);
    // any state
    asked.extend(u32::MAX.to_ne_bytes());
    asked.extend(from_port.to_be_bytes());
    asked.extend(to_port.to_be_bytes());
    for ip in [from, to] {
        let mut octets = [0; 16];
        match ip {
            IpAddr::V4(ip) => octets[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => octets = ip.octets(),
        }
        asked.extend(octets);
    }
    // any interface, and no cookie
    asked.extend(0_u32.to_ne_bytes());
    asked.extend([0xff; 8]);
    asked
}

/// The user in an answer about a socket that is connected; an error is another kind of message.
fn of_answer(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let known = answer.len() >= ANSWERED && kind == BY_FAMILY && answer.get(STATE) == Some(&ESTABLISHED);
    let user = answer.get(USER..USER + 4)?;
    known.then_some(u32::from_ne_bytes(user.try_into().ok()?))
}

/// The same by the table of all sockets.
fn listed(peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].into_iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().find_map(|line| of_line(line, peer, here))
    })
}

/// The user of a line of the table, if it is the socket from `peer` to `here`.
fn of_line(line: &str, peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if u8::from_str_radix(state, 16) != Ok(ESTABLISHED)
        || address(local)? != plain(peer)
        || address(remote)? != plain(here)
    {
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
            for ask in [user, told, listed] {
                assert_eq!((ask(peer, here), ask(here, here)), (Some(me), None), "{address}");
            }
            // a service that listens to both families sees IPv4 like this
            let mapped = |address: SocketAddr| match address.ip() {
                IpAddr::V4(ip) => SocketAddr::from((ip.to_ipv6_mapped(), address.port())),
                IpAddr::V6(_) => address,
            };
            assert_eq!(told(mapped(peer), mapped(here)), Some(me));
            drop(client);
        }
        assert_eq!(user("192.0.2.1:9".parse().expect("address"), "192.0.2.2:9".parse().expect("address")), None);
    }

    #[test]
    fn an_answer_of_the_kernel_is_read_and_closed_sockets_are_nobodys() {
        let answer = |kind: u16, state: u8, length: usize| {
            let mut bytes = [0_u8; ANSWERED];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[STATE] = state;
            bytes[USER..USER + 4].copy_from_slice(&1000_u32.to_ne_bytes());
            of_answer(&bytes[..length])
        };
        assert_eq!(answer(BY_FAMILY, ESTABLISHED, ANSWERED), Some(1000));
        for (kind, state, length) in [
            (BY_FAMILY, 6, ANSWERED),
            // NLMSG_ERROR: there is none
            (2, ESTABLISHED, ANSWERED),
            (BY_FAMILY, ESTABLISHED, ANSWERED - 1),
            (BY_FAMILY, ESTABLISHED, USER),
            (BY_FAMILY, ESTABLISHED, 5),
            (BY_FAMILY, ESTABLISHED, 0),
        ] {
            assert_eq!(answer(kind, state, length), None, "{kind} {state} {length}");
        }
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

//! What the HTTP library does not tell of a request: that its head names two lengths. It
//! takes the one for right and drops the other before anybody sees it, and a proxy before us
//! may have taken the other. So the bytes are looked at on their way in.

use crate::machine::locks::lock;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longer heads are refused by the library.
const LONGEST: usize = 64 * 1024;

/// For each request of a connection, in turn, whether its head names two lengths.
#[derive(Clone, Debug, Default)]
pub struct Heads(Arc<Mutex<VecDeque<bool>>>);

impl Heads {
    /// Whether the head of the request that is answered next names two lengths.
    pub fn next_is_ambiguous(&self) -> bool {
        lock(&self.0).pop_front().unwrap_or(false)
    }
}

/// Where in the stream of requests we are.
#[derive(Debug)]
enum Place {
    /// In a head, of which so much has come.
    Head(Vec<u8>),
    /// In a body of so many bytes more.
    Body(u64),
    /// After the last request that matters: the connection ends with it.
    Over,
}

/// A stream whose heads are looked at.
pub struct Watched<S> {
    stream: S,
    place: Place,
    heads: Heads,
}

impl<S> Watched<S> {
    /// Watches from the beginning.
    pub fn new(stream: S, heads: Heads) -> Self {
        Self { stream, place: Place::Head(Vec::new()), heads }
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Over => return,
                Place::Body(left) => {
                    let passed = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= passed as u64;
                    bytes = &bytes[passed..];
                    if *left == 0 {
                        self.place = Place::Head(Vec::new());
                    }
                }
                Place::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let Some(end) = end_of(head, before.saturating_sub(3)) else {
                        if head.len() > LONGEST {
                            self.place = Place::Over;
                        }
                        return;
                    };
                    bytes = &bytes[end - before..];
                    let (length, coded) = lengths(&head[..end]);
                    lock(&self.heads.0).push_back(coded && length.is_some());
                    self.place = match length {
                        _ if coded => Place::Over,
                        Some(length) if length > 0 => Place::Body(length),
                        _ => Place::Head(Vec::new()),
                    };
                }
            }
        }
    }
}

/// Where a head ends, if it does; the library takes bare line feeds for ends of lines too.
fn end_of(head: &[u8], from: usize) -> Option<usize> {
    // blank lines before a request are passed over
    let begun = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    (from.max(begun)..head.len()).find_map(|at| {
        let rest = &head[at..];
        [&b"\n\r\n"[..], b"\n\n"].into_iter().find(|end| rest.starts_with(end)).map(|end| at + end.len())
    })
}

/// Content-Length, and whether there is a Transfer-Encoding.
fn lengths(head: &[u8]) -> (Option<u64>, bool) {
    let (mut length, mut coded) = (None, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = line[..colon].trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = std::str::from_utf8(&line[colon + 1..]).unwrap_or("");
            // one that is no number ends the connection
            length = Some(value.trim().parse().unwrap_or(u64::MAX));
        }
        coded |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    (length, coded)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        self.see(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of a stream that comes in pieces of so many bytes.
    fn found(stream: &str, piece: usize) -> Vec<bool> {
        let heads = Heads::default();
        let mut watched = Watched::new((), heads.clone());
        stream.as_bytes().chunks(piece).for_each(|piece| watched.see(piece));
        lock(&heads.0).iter().copied().collect()
    }

    #[test]
    fn two_lengths_are_seen_however_they_come() {
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nContent-Length: 44\r\n\r\nTransfer-Encoding: x\r\nContent-Length: 9\r\n\r\n..";
        let coded = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let both = "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: y\r\nCONTENT-length: 6\r\n\r\n0\r\n\r\n";
        let other = "POST / HTTP/1.1\nContent-Length : 6\nTransfer-Encoding: chunked\n\n0\r\n\r\n";
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(found(&format!("{get}\r\n{post}{get}{coded}"), piece), [false; 4], "{piece}");
            assert_eq!(found(&format!("{post}{both}{get}"), piece), [false, true], "{piece}");
            assert_eq!(found(other, piece), [true], "{piece}");
        }
        assert_eq!(found(&"x".repeat(2 * LONGEST), 100), [] as [bool; 0]);
    }

    #[test]
    fn heads_end_at_a_blank_line_and_tell_their_lengths() {
        for (text, from, end) in [
            ("GET / HTTP/1.1\r\n\r\nbody", 0, Some(18)),
            ("GET\n\nx", 0, Some(5)),
            ("GET\n\r\n", 0, Some(6)),
            ("\r\n\r\nGET\n\n", 0, Some(9)),
            ("A\n\nB\n\n", 3, Some(6)),
            ("GET\r\n", 0, None),
            ("\r\n\r\n", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(end_of(text.as_bytes(), from), end, "{text:?} {from}");
        }
        for (head, told) in [
            ("GET content-length: 9\r\nHost: x\r\n\r\n", (None, false)),
            ("P\r\nContent-Length: 44\r\n\r\n", (Some(44), false)),
            ("P\ncontent-length :x\n", (Some(u64::MAX), false)),
            ("P\r\nTransfer-Encoding: a\r\nContent-Length:5", (Some(5), true)),
            ("P\r\nTransfer-Encodings: a\r\nnothing\r\n", (None, false)),
        ] {
            assert_eq!(lengths(head.as_bytes()), told, "{head:?}");
        }
    }

    #[test]
    fn bodies_are_passed_over_and_what_is_too_long_ends_the_watch() {
        let heads = Heads::default();
        let mut watched = Watched::new((), heads.clone());
        watched.see(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab");
        assert!(matches!(watched.place, Place::Body(1)));
        watched.see(b"c");
        assert!(matches!(&watched.place, Place::Head(head) if head.is_empty()));
        watched.see(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nG");
        assert!(matches!(&watched.place, Place::Head(head) if head == b"G"));
        watched.see(b"ET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n");
        assert!(matches!(watched.place, Place::Over));
        let told = [heads.next_is_ambiguous(), heads.next_is_ambiguous(), heads.next_is_ambiguous()];
        assert_eq!((told, heads.next_is_ambiguous()), ([false, false, true], false));
        for (length, seen) in [(LONGEST, 1), (LONGEST + 1, 0)] {
            let heads = Heads::default();
            let mut watched = Watched::new((), heads.clone());
            watched.see("y".repeat(length).as_bytes());
            watched.see(b"\r\n\r\n");
            assert_eq!(lock(&heads.0).len(), seen, "{length}");
        }
    }
}

//! Markup that passes by: text in chunks, then one tag at a time, and memory for
//! neither. It knows where tags begin and end and what they are called, no more.

use std::io::{self, BufRead, ErrorKind};

/// Bytes of a tag that are kept, enough for its name.
const KEPT: usize = 128;

/// What stands between `<` and `>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `<NAME>`.
    Open,
    /// `</NAME>`.
    Close,
    /// `<NAME/>`.
    Empty,
    /// A comment, an instruction or the XML declaration.
    Aside,
    /// A CDATA section.
    Cdata,
    /// A DOCTYPE or another declaration.
    Declaration,
    /// The document ends here, perhaps inside a tag.
    Eof,
}

/// A document under way.
pub struct Markup<R> {
    reader: R,
    tag: Vec<u8>,
    tail: [u8; 3],
    position: u64,
}

impl<R: BufRead> Markup<R> {
    /// Starts at the first byte.
    pub fn new(reader: R) -> Self {
        Self { reader, tag: Vec::with_capacity(KEPT), tail: [0; 3], position: 0 }
    }

    /// Bytes that have passed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The bytes that come next; a look ahead.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        ready(&mut self.reader)?;
        self.reader.fill_buf()
    }

    /// Hands one chunk of text to `sink`; `false` when the text is over.
    pub fn text(&mut self, mut sink: impl FnMut(&[u8])) -> io::Result<bool> {
        ready(&mut self.reader)?;
        let chunk = self.reader.fill_buf()?;
        let end = memchr::memchr(b'<', chunk);
        let used = end.unwrap_or(chunk.len());
        if used > 0 {
            sink(&chunk[..used]);
        }
        self.reader.consume(used);
        self.position += used as u64;
        Ok(end.is_none() && used > 0)
    }

    /// Passes one tag, which must be next, and hands its bytes to `sink`.
    pub fn tag(&mut self, mut sink: impl FnMut(&[u8])) -> io::Result<Mark> {
        self.tag.clear();
        self.tail = [0; 3];
        loop {
            ready(&mut self.reader)?;
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(Mark::Eof);
            }
            let end = memchr::memchr(b'>', chunk);
            let piece = &chunk[..end.map_or(chunk.len(), |at| at + 1)];
            sink(piece);
            let kept = piece.len().min(KEPT - self.tag.len());
            self.tag.extend_from_slice(&piece[..kept]);
            for byte in &piece[piece.len().saturating_sub(3)..] {
                self.tail = [self.tail[1], self.tail[2], *byte];
            }
            let used = piece.len();
            self.reader.consume(used);
            self.position += used as u64;
            if end.is_some() && self.is_whole() {
                return Ok(self.mark());
            }
        }
    }

    /// The name in the tag that passed last.
    pub fn name(&self) -> &str {
        let inside = self.tag.strip_prefix(b"</").or_else(|| self.tag.strip_prefix(b"<")).unwrap_or(&[]);
        let end = inside.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'));
        std::str::from_utf8(&inside[..end.unwrap_or(inside.len())]).unwrap_or("")
    }

    /// Whether the `>` that came is the one that ends the tag.
    fn is_whole(&self) -> bool {
        match self.mark() {
            Mark::Aside if self.tag.starts_with(b"<?") => self.tail.ends_with(b"?>"),
            Mark::Aside => self.tail == *b"-->",
            Mark::Cdata => self.tail == *b"]]>",
            _ => true,
        }
    }

    fn mark(&self) -> Mark {
        match self.tag.as_slice() {
            [b'<', b'?', ..] | [b'<', b'!', b'-', b'-', ..] => Mark::Aside,
            tag if tag.starts_with(b"<![CDATA[") => Mark::Cdata,
            [b'<', b'!', ..] => Mark::Declaration,
            [b'<', b'/', ..] => Mark::Close,
            _ if self.tail.ends_with(b"/>") => Mark::Empty,
            _ => Mark::Open,
        }
    }
}

/// Waits for bytes; an interrupted wait goes on.
fn ready(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// The document as marks and texts, read through a buffer of that size.
    fn parts(xml: &str, buffer: usize) -> Vec<(Mark, String)> {
        let mut markup = Markup::new(BufReader::with_capacity(buffer, xml.as_bytes()));
        let mut found = Vec::new();
        loop {
            let mut text = Vec::new();
            while markup.text(|piece| text.extend_from_slice(piece)).expect("reads") {}
            let mark = markup.tag(|_| ()).expect("reads");
            found.push((mark, format!("{}|{}", String::from_utf8_lossy(&text), markup.name())));
            if mark == Mark::Eof {
                return found;
            }
        }
    }

    #[test]
    fn marks_are_the_same_in_buffers_of_any_size() {
        let xml = "<?xml a=\">\"?><R a='1'>x<!-- > --><A/><![CDATA[<no> ] ]>]]>y</R>";
        let whole = parts(xml, 1000);
        let marks: Vec<Mark> = whole.iter().map(|(mark, _)| *mark).collect();
        use Mark::{Aside, Cdata, Close, Empty, Eof, Open};
        assert_eq!(marks, [Aside, Open, Aside, Empty, Cdata, Close, Eof]);
        assert_eq!(whole[1].1, "|R");
        assert_eq!(whole[5].1, "y|R");
        for buffer in 1..40 {
            assert_eq!(parts(xml, buffer), whole, "buffer of {buffer}");
        }
    }

    #[test]
    fn a_document_without_end_is_at_its_end() {
        for cut in ["", "<", "<A", "<!-- x", "<![CDATA[x>", "<?x>"] {
            assert_eq!(parts(cut, 4).last().expect("one").0, Mark::Eof, "{cut}");
        }
    }
}

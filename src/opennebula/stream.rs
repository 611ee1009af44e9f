//! A recorded request as a stream: gzip, base64 and bytes that are not UTF-8 are undone
//! while it is read, and it may unpack to so many bytes and no more. What oned sends comes
//! through `envelope`, which has all of it in memory.

use super::envelope::{EnvelopeError, beginning};
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::read::DecoderReader;
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};
use std::rc::Rc;

/// With or without `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// So many bytes are enough to tell the form of a source.
const FIRST: u64 = 64;

/// The XML text of a request.
pub struct Stream<'a> {
    /// UTF-8, from the first `<` on.
    pub xml: Box<dyn BufRead + 'a>,
    /// Set as soon as bytes have been replaced that were not UTF-8.
    pub repaired: Rc<Cell<bool>>,
}

/// Unwraps gzip and base64, as far as they are there; reading fails beyond `most` bytes.
///
/// # Errors
/// When the beginning is neither; the message says what was found.
pub fn open<'a>(source: impl Read + 'a, most: u64) -> Result<Stream<'a>, EnvelopeError> {
    let mut packed = begun(source)?;
    let gzip = peek(&mut packed)?.starts_with(&[0x1f, 0x8b]);
    let unpacked: Box<dyn Read + 'a> = if gzip { Box::new(MultiGzDecoder::new(packed)) } else { Box::new(packed) };
    let mut outer = begun(Bounded { source: unpacked, most, left: most })?;
    let first = pass_blanks(&mut outer)?;
    let xml: Box<dyn BufRead + 'a> = match first {
        None => return Err(EnvelopeError::Empty),
        Some(b'<') => Box::new(outer),
        Some(_) => {
            let shown = beginning(peek(&mut outer)?);
            let Ok(mut inner) = begun(DecoderReader::new(Dense(outer), &BASE64)) else {
                return Err(EnvelopeError::NotBase64(shown));
            };
            match pass_blanks(&mut inner)? {
                Some(b'<') => Box::new(inner),
                _ => return Err(EnvelopeError::NotXml(beginning(peek(&mut inner)?))),
            }
        }
    };
    let repaired = Rc::new(Cell::new(false));
    let text = Text { source: xml, whole: Vec::new(), given: 0, cut: Vec::new(), repaired: Rc::clone(&repaired) };
    Ok(Stream { xml: Box::new(BufReader::new(text)), repaired })
}

/// First bytes, and the source that goes on after them.
type Begun<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A source whose first bytes, by which its form is told, have come.
fn begun<R: Read>(mut source: R) -> Result<Begun<R>, EnvelopeError> {
    let mut first = Vec::new();
    let read = source.by_ref().take(FIRST).read_to_end(&mut first);
    read.map_err(|error| EnvelopeError::Gzip(error.to_string()))?;
    Ok(BufReader::new(Cursor::new(first).chain(source)))
}

fn peek(source: &mut impl BufRead) -> Result<&[u8], EnvelopeError> {
    source.fill_buf().map_err(|error| EnvelopeError::Gzip(error.to_string()))
}

/// Passes a byte order mark and white space over; the byte that follows.
fn pass_blanks(source: &mut impl BufRead) -> Result<Option<u8>, EnvelopeError> {
    if peek(source)?.starts_with(b"\xef\xbb\xbf") {
        source.consume(3);
    }
    loop {
        let here = peek(source)?;
        let blanks = here.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match here.get(blanks) {
            Some(byte) => {
                let byte = *byte;
                source.consume(blanks);
                return Ok(Some(byte));
            }
            None if blanks == 0 => return Ok(None),
            None => source.consume(blanks),
        }
    }
}

/// Fails instead of giving more than it may.
struct Bounded<R> {
    source: R,
    most: u64,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(ErrorKind::FileTooLarge, format!("it unpacks to more than {} MiB", self.most >> 20))
        })?;
        Ok(count)
    }
}

/// Without white space: base64 may come in lines.
struct Dense<R>(R);

impl<R: Read> Read for Dense<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.0.read(into)?;
            let mut kept = 0;
            for at in 0..count {
                if !into[at].is_ascii_whitespace() {
                    into[kept] = into[at];
                    kept += 1;
                }
            }
            if kept > 0 || count == 0 {
                return Ok(kept);
            }
        }
    }
}

/// UTF-8 all through: what is none is read as U+FFFD, and told.
struct Text<R> {
    source: R,
    whole: Vec<u8>,
    given: usize,
    /// The beginning of a character that the last piece ended with.
    cut: Vec<u8>,
    repaired: Rc<Cell<bool>>,
}

impl<R: BufRead> Text<R> {
    fn refill(&mut self) -> io::Result<()> {
        self.whole.clear();
        self.given = 0;
        while self.whole.is_empty() {
            let piece = self.source.fill_buf()?;
            let (length, last) = (piece.len(), piece.is_empty());
            let mut bytes = std::mem::take(&mut self.cut);
            bytes.extend_from_slice(piece);
            self.source.consume(length);
            let mut left: &[u8] = &bytes;
            loop {
                match std::str::from_utf8(left) {
                    Ok(text) => {
                        self.whole.extend_from_slice(text.as_bytes());
                        break;
                    }
                    Err(error) => {
                        let (text, rest) = left.split_at(error.valid_up_to());
                        self.whole.extend_from_slice(text);
                        let Some(wrong) = error.error_len().or(last.then_some(rest.len())) else {
                            self.cut = rest.to_vec();
                            break;
                        };
                        self.whole.extend_from_slice("\u{fffd}".as_bytes());
                        self.repaired.set(true);
                        left = &rest[wrong..];
                    }
                }
            }
            if last {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Text<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.given == self.whole.len() {
            self.refill()?;
        }
        let count = into.len().min(self.whole.len() - self.given);
        into[..count].copy_from_slice(&self.whole[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose;
    use std::io::Write;

    /// Gives its bytes in pieces of one to five.
    struct Pieces(Vec<u8>, usize);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = (self.1 % 5 + 1).min(self.0.len() - self.1.min(self.0.len())).min(into.len());
            into[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
            self.1 += count;
            Ok(count)
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes).expect("writes to memory");
        gzip.finish().expect("gzip")
    }

    fn read(bytes: Vec<u8>) -> Result<(String, bool), String> {
        let mut stream = open(Pieces(bytes, 0), 1 << 20).map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.xml.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok((text, stream.repaired.get()))
    }

    #[test]
    fn every_wrapping_gives_what_it_gives_in_memory() {
        let xml = format!("<A>{}</A>", "ü€𝄞".repeat(50));
        let base64 = general_purpose::STANDARD.encode(&xml);
        let wrapped: Vec<Vec<u8>> = vec![
            xml.clone().into(),
            format!("\u{feff}\n  {xml}").into(),
            base64.clone().into(),
            format!("{}\r\n{}\n", &base64[..4], &base64[4..]).into(),
            base64.trim_end_matches('=').into(),
            gzip(base64.as_bytes()),
            gzip(xml.as_bytes()),
        ];
        for bytes in wrapped {
            let in_memory = super::super::envelope::open(bytes.clone()).expect("opens").xml;
            assert_eq!(read(bytes), Ok((in_memory, false)));
        }
        assert_eq!(read(b"<A>\xff\xe2\x82</A>\xe2".to_vec()), Ok(("<A>\u{fffd}\u{fffd}</A>\u{fffd}".to_owned(), true)));
    }

    #[test]
    fn what_is_no_document_is_named() {
        for (bytes, told) in [
            (&b""[..], "is empty"),
            (b" \n", "is empty"),
            (b"hello, world!", "neither XML nor base64"),
            (b"aGVsbG8=", "does not hold XML"),
            (&[0x1f, 0x8b, 1, 2], "gzip"),
            (&[0; 40], "neither XML nor base64"),
        ] {
            let error = read(bytes.to_vec()).expect_err(told);
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn no_file_unpacks_to_more_than_it_may() {
        let large = format!("<A>{}</A>", " ".repeat(2 << 20));
        let packed = gzip(large.as_bytes());
        assert!(packed.len() < 4000, "{}", packed.len());
        assert_eq!(read(packed), Err("it unpacks to more than 1 MiB".to_owned()));
    }
}

//! The wrapping of a request: oned sends base64 in one line; people and bundles
//! keep plain XML, or gzip of either. Told apart by content.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use thiserror::Error;

/// No request unpacks to more; an archive that does is no request.
const MAX_UNPACKED: u64 = 4 << 30;

/// Why bytes are no request document.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Nothing at all.
    #[error("the request is empty: oned sends base64 of a SCHEDULER_DRIVER_ACTION document on standard input")]
    Empty,
    /// Not XML, and not base64 either.
    #[error(
        "the request is neither XML nor base64, it begins with {0:?}: oned sends base64 of a SCHEDULER_DRIVER_ACTION document"
    )]
    NotBase64(String),
    /// Base64 of something else.
    #[error("the base64 of the request does not hold XML: it begins with {0:?}")]
    NotXml(String),
    /// A gzip file that does not unpack.
    #[error("the request is no usable gzip file ({0})")]
    Gzip(String),
}

/// A decoded document.
#[derive(Debug)]
pub struct Document {
    /// The XML text.
    pub xml: String,
    /// Bytes that were not UTF-8 have been replaced.
    pub repaired: bool,
}

/// Unwraps gzip and base64, as far as they are there.
///
/// # Errors
/// When the bytes are neither; the message says what was found.
pub fn open(bytes: Vec<u8>) -> Result<Document, EnvelopeError> {
    let bytes = gunzip(bytes)?;
    let start = content_start(&bytes);
    match bytes.get(start) {
        None => Err(EnvelopeError::Empty),
        Some(b'<') => Ok(utf8(bytes, start)),
        Some(_) => {
            let decoded = decode(bytes, start)?;
            let start = content_start(&decoded);
            match decoded.get(start) {
                Some(b'<') => Ok(utf8(decoded, start)),
                _ => Err(EnvelopeError::NotXml(beginning(&decoded))),
            }
        }
    }
}

fn gunzip(bytes: Vec<u8>) -> Result<Vec<u8>, EnvelopeError> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes.as_slice())
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| EnvelopeError::Gzip(error.to_string()))?;
    if unpacked.len() as u64 > MAX_UNPACKED {
        return Err(EnvelopeError::Gzip("it holds more than 4 GiB".to_owned()));
    }
    Ok(unpacked)
}

/// Index of the first byte after a byte order mark and white space.
fn content_start(bytes: &[u8]) -> usize {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    mark + bytes[mark..].iter().take_while(|b| b.is_ascii_whitespace()).count()
}

fn decode(mut bytes: Vec<u8>, start: usize) -> Result<Vec<u8>, EnvelopeError> {
    bytes.drain(..start);
    bytes.retain(|b| !b.is_ascii_whitespace());
    let engine = if bytes.len().is_multiple_of(4) { &STANDARD } else { &STANDARD_NO_PAD };
    engine.decode(&bytes).map_err(|_| EnvelopeError::NotBase64(beginning(&bytes)))
}

fn utf8(mut bytes: Vec<u8>, start: usize) -> Document {
    if start > 0 {
        bytes.drain(..start);
    }
    match String::from_utf8(bytes) {
        Ok(xml) => Document { xml, repaired: false },
        Err(error) => Document { xml: String::from_utf8_lossy(error.as_bytes()).into_owned(), repaired: true },
    }
}

/// The first bytes, for a message.
pub(super) fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_wrapping_gives_the_same_document() {
        let xml = "<A>ü</A>";
        let base64 = STANDARD.encode(xml);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(base64.as_bytes()).expect("writes to memory");
        let wrapped: Vec<Vec<u8>> = vec![
            xml.into(),
            format!("\u{feff}\n  {xml}").into(),
            base64.clone().into(),
            format!("{}\n{}\n", &base64[..4], &base64[4..]).into(),
            base64.trim_end_matches('=').into(),
            gzip.finish().expect("gzip"),
        ];
        for bytes in wrapped {
            let document = open(bytes).expect("opens");
            assert_eq!(document.xml, xml);
            assert!(!document.repaired);
        }
    }

    #[test]
    fn what_is_no_document_is_named() {
        assert_eq!(open(vec![]).expect_err("empty"), EnvelopeError::Empty);
        assert_eq!(open(b" \n".to_vec()).expect_err("blank"), EnvelopeError::Empty);
        assert!(matches!(open(b"hello, world!".to_vec()), Err(EnvelopeError::NotBase64(_))));
        assert!(matches!(open(b"aGVsbG8=".to_vec()), Err(EnvelopeError::NotXml(_))));
        assert!(matches!(open(vec![0x1f, 0x8b, 1, 2]), Err(EnvelopeError::Gzip(_))));
    }

    #[test]
    fn bytes_outside_utf8_are_replaced_and_told() {
        let document = open(b"<A>\xff</A>".to_vec()).expect("opens");
        assert_eq!((document.xml.as_str(), document.repaired), ("<A>\u{fffd}</A>", true));
    }

    #[test]
    fn base64_may_be_broken_anywhere_after_blanks_and_a_mark() {
        let base64 = STANDARD.encode("<A>1</A>");
        let lines: String = base64.chars().flat_map(|c| [c, '\n']).collect();
        for text in [format!("\n \t{base64}"), format!("\u{feff} {base64}"), format!(" {lines}")] {
            assert_eq!(open(text.into_bytes()).expect("opens").xml, "<A>1</A>");
        }
    }
}

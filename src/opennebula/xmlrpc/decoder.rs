//! Text without its escapes, chunk by chunk: entities become characters, CR and CRLF
//! become LF. What a chunk's end cuts in two is kept for the next one.

/// `&#x10FFFF;` and some leading zeros fit.
const LONGEST_ENTITY: usize = 16;

/// An entity that XML does not know, or none at all after `&`.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown;

/// What the end of the last chunk left open.
#[derive(Default)]
pub struct Decoder {
    /// An entity from its `&` on; empty outside of one.
    entity: Vec<u8>,
    after_cr: bool,
}

impl Decoder {
    /// Appends the characters of one chunk to `out`: never more bytes than came.
    pub fn decode(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unknown> {
        while !chunk.is_empty() {
            if !self.entity.is_empty() {
                chunk = self.go_on(chunk, out)?;
                continue;
            }
            if std::mem::take(&mut self.after_cr) && chunk[0] == b'\n' {
                chunk = &chunk[1..];
                continue;
            }
            let plain = memchr::memchr2(b'&', b'\r', chunk).unwrap_or(chunk.len());
            out.extend_from_slice(&chunk[..plain]);
            chunk = match chunk.get(plain) {
                Some(b'&') => self.begin(&chunk[plain..], out)?,
                Some(_) => {
                    out.push(b'\n');
                    self.after_cr = true;
                    &chunk[plain + 1..]
                }
                None => &[],
            };
        }
        Ok(())
    }

    /// At the end of the text: no entity may be open.
    pub fn finish(&mut self) -> Result<(), Unknown> {
        self.after_cr = false;
        if self.entity.is_empty() { Ok(()) } else { Err(Unknown) }
    }

    /// At a `&`: mostly the entity is in the chunk as a whole.
    fn begin<'a>(&mut self, chunk: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unknown> {
        let near = &chunk[..chunk.len().min(LONGEST_ENTITY)];
        match near.iter().position(|byte| *byte == b';') {
            Some(end) => {
                resolve(&chunk[1..end], out)?;
                Ok(&chunk[end + 1..])
            }
            None if near.len() == LONGEST_ENTITY => Err(Unknown),
            None => {
                self.entity.extend_from_slice(chunk);
                Ok(&[])
            }
        }
    }

    /// Inside an entity that began in an earlier chunk.
    fn go_on<'a>(&mut self, chunk: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unknown> {
        let (byte, rest) = (chunk[0], &chunk[1..]);
        if byte == b';' {
            resolve(&self.entity[1..], out)?;
            self.entity.clear();
        } else if self.entity.len() == LONGEST_ENTITY {
            return Err(Unknown);
        } else {
            self.entity.push(byte);
        }
        Ok(rest)
    }
}

/// What stands between `&` and `;`.
fn resolve(name: &[u8], out: &mut Vec<u8>) -> Result<(), Unknown> {
    let byte = match name {
        b"lt" => b'<',
        b"gt" => b'>',
        b"amp" => b'&',
        b"quot" => b'"',
        b"apos" => b'\'',
        [b'#', b'x', digits @ ..] => return number(digits, 16, out),
        [b'#', digits @ ..] => return number(digits, 10, out),
        _ => return Err(Unknown),
    };
    out.push(byte);
    Ok(())
}

fn number(digits: &[u8], radix: u32, out: &mut Vec<u8>) -> Result<(), Unknown> {
    let digits = std::str::from_utf8(digits).map_err(|_| Unknown)?;
    if digits.starts_with('+') {
        return Err(Unknown);
    }
    let code = u32::from_str_radix(digits, radix).map_err(|_| Unknown)?;
    let character = char::from_u32(code).filter(|c| *c != '\0').ok_or(Unknown)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str, chunk: usize) -> Result<String, Unknown> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for piece in text.as_bytes().chunks(chunk) {
            decoder.decode(piece, &mut out)?;
        }
        decoder.finish()?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn escapes_are_undone_in_chunks_of_any_size() {
        let text = "&lt;A&gt;&amp;lt;&quot;&apos; \u{10d}&#269;&#x10D;&#x1F600;&#13;x\r\ny\rz\r\r\n";
        let plain = "<A>&lt;\"' \u{10d}\u{10d}\u{10d}\u{1f600}\rx\ny\nz\n\n";
        for chunk in 1..40 {
            assert_eq!(decoded(text, chunk).as_deref(), Ok(plain), "chunks of {chunk}");
        }
    }

    #[test]
    fn what_is_no_entity_is_refused() {
        for text in ["&nope;", "&", "&lt", "&;", "&#;", "&#x;", "&#xD800;", "&#0;", "&#+65;", "&#x110000;"] {
            for chunk in [1, 3, 100] {
                assert_eq!(decoded(text, chunk), Err(Unknown), "{text}");
            }
        }
        assert_eq!(decoded(&format!("&{}", "a".repeat(1000)), 7), Err(Unknown));
    }
}

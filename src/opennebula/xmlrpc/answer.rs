//! The methodResponse document: its outcome first, then its payload as a stream.

use super::decoder::Decoder;
use super::envelope::{Envelope, Step};
use super::error::{AnswerError, in_a_sentence};
use std::io::{self, BufRead, Read};

/// What a payload may be.
const PAYLOADS: [&str; 5] = ["string", "i4", "int", "i8", "boolean"];

/// An answer that says success, and its payload, unescaped, as a reader. At most one
/// buffer of `R` is held. The payload's end is reported only after the rest of the
/// answer has been found whole.
pub struct Answer<R> {
    envelope: Envelope<R>,
    decoder: Decoder,
    ready: Vec<u8>,
    given: usize,
    stage: Stage,
}

enum Stage {
    /// Inside the payload.
    Payload,
    /// All has been read and is whole.
    Whole,
    /// Something was wrong; taken by `finish`.
    Failed(Option<AnswerError>),
}

impl<R: BufRead> Answer<R> {
    /// Reads up to the payload.
    ///
    /// # Errors
    /// When the answer says anything but success, or is none.
    pub fn open(reader: R) -> Result<Self, AnswerError> {
        let mut envelope = Envelope::new(reader);
        envelope.look()?;
        envelope.enter(&["methodResponse"])?;
        match envelope.any()?.as_str() {
            "params" => {}
            "fault" => return Err(fault(&mut envelope)?),
            other => return Err(envelope.unexpected(&format!("<{other}> in place of <params>"))),
        }
        envelope.enter(&["param", "value", "array", "data"])?;
        match envelope.value(&["boolean"])?.trim_ascii() {
            b"1" => {
                envelope.enter(&["value"])?;
                // documents are text; who changes something gets the object's ID
                let kind = envelope.any()?;
                if !PAYLOADS.contains(&kind.as_str()) {
                    return Err(envelope.unexpected(&format!("<{kind}> in place of <string>")));
                }
            }
            b"0" => return Err(refused(&mut envelope)?),
            _ => return Err(envelope.unexpected("a boolean that is none")),
        }
        let (decoder, ready) = (Decoder::default(), Vec::new());
        Ok(Self { envelope, decoder, ready, given: 0, stage: Stage::Payload })
    }

    /// Reads what is left, and says whether all of the answer was whole.
    ///
    /// # Errors
    /// What was wrong, also when a read has told it as an [`io::Error`] already.
    pub fn finish(mut self) -> Result<(), AnswerError> {
        loop {
            match self.stage {
                Stage::Whole => return Ok(()),
                Stage::Failed(ref mut failure) => return Err(failure.take().unwrap_or_else(|| self.envelope.cut())),
                Stage::Payload => self.go_on(),
            }
        }
    }

    /// Decodes the next chunk of the payload, or ends the answer.
    fn go_on(&mut self) {
        self.ready.clear();
        self.given = 0;
        match self.envelope.decode(&mut self.decoder, &mut self.ready) {
            Ok(true) => {}
            Ok(false) => self.stage = end(&mut self.envelope),
            Err(failure) => self.stage = Stage::Failed(Some(failure)),
        }
    }
}

impl<R: BufRead> BufRead for Answer<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.given == self.ready.len() {
            match &self.stage {
                Stage::Payload => self.go_on(),
                Stage::Whole => break,
                Stage::Failed(failure) => return Err(told(failure.as_ref())),
            }
        }
        Ok(&self.ready[self.given..])
    }

    fn consume(&mut self, amount: usize) {
        self.given = (self.given + amount).min(self.ready.len());
    }
}

impl<R: BufRead> Read for Answer<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.fill_buf()?;
        let amount = ready.read(buffer)?;
        self.consume(amount);
        Ok(amount)
    }
}

/// After the payload's last byte.
fn end<R: BufRead>(envelope: &mut Envelope<R>) -> Stage {
    match envelope.leave(2).and_then(|()| envelope.finish()) {
        Ok(()) => Stage::Whole,
        Err(AnswerError::Io(error)) => Stage::Failed(Some(AnswerError::Io(error))),
        // it began as an answer: what does not fit any more is damage
        Err(_) => Stage::Failed(Some(envelope.cut())),
    }
}

fn told(failure: Option<&AnswerError>) -> io::Error {
    let text = failure.map_or_else(|| "the answer has failed".to_owned(), ToString::to_string);
    io::Error::other(text)
}

/// After `false`: (text, code, ...).
fn refused<R: BufRead>(envelope: &mut Envelope<R>) -> Result<AnswerError, AnswerError> {
    let text = envelope.value(&["string"])?;
    let code = envelope.integer()?;
    Ok(AnswerError::Refused { code, text: in_a_sentence(&text) })
}

/// Inside `<fault>`: a struct of faultCode and faultString, in any order.
fn fault<R: BufRead>(envelope: &mut Envelope<R>) -> Result<AnswerError, AnswerError> {
    envelope.enter(&["value", "struct"])?;
    let (mut code, mut text) = (0, Vec::new());
    loop {
        match envelope.step()? {
            Step::Open(member) if member == "member" => {}
            Step::Open(other) => return Err(envelope.unexpected(&format!("<{other}> in place of <member>"))),
            Step::Close => return Ok(AnswerError::Fault { code, text: in_a_sentence(&text) }),
            Step::Eof => return Err(envelope.cut()),
        }
        envelope.enter(&["name"])?;
        let name = envelope.short_text()?;
        envelope.leave(1)?;
        match name.as_slice() {
            b"faultCode" => code = envelope.integer()?,
            _ => text = envelope.value(&["string"])?,
        }
        envelope.leave(1)?;
    }
}

#[cfg(test)]
mod tests;

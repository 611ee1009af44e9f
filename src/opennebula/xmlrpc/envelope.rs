//! The outer document of an answer: elements that must come in a fixed order, blank
//! text between them, and a few short values.

use super::decoder::Decoder;
use super::error::{AnswerError, in_a_sentence};
use crate::opennebula::markup::{Mark, Markup};
use std::io::{self, BufRead};

/// Deeper nesting is no answer of oned.
const DEEPEST: usize = 32;
/// More of a short value is not kept.
const LONGEST_VALUE: usize = 4096;
/// How much of something else is shown.
const OPENING: usize = 60;

type Result<T> = std::result::Result<T, AnswerError>;

/// What comes next between blanks.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// An element begins.
    Open(String),
    /// The innermost element ends.
    Close,
    /// The document ends.
    Eof,
}

/// The document and the elements that are open at this point of it.
pub struct Envelope<R> {
    markup: Markup<R>,
    open: Vec<String>,
    /// The element opened last was `<NAME/>` and still has to end.
    empty: bool,
    opening: Vec<u8>,
}

impl<R: BufRead> Envelope<R> {
    pub fn new(reader: R) -> Self {
        Self { markup: Markup::new(reader), open: Vec::new(), empty: false, opening: Vec::new() }
    }

    /// Looks at the first bytes, for messages.
    pub fn look(&mut self) -> Result<()> {
        match self.markup.peek() {
            Ok(bytes) => self.opening = bytes[..bytes.len().min(OPENING)].to_vec(),
            Err(error) => return Err(self.io(error)),
        }
        Ok(())
    }

    /// Passes blanks and comments, then one tag.
    pub fn step(&mut self) -> Result<Step> {
        if std::mem::take(&mut self.empty) {
            self.open.pop();
            return Ok(Step::Close);
        }
        loop {
            self.blank()?;
            match self.tag()? {
                Mark::Aside => {}
                Mark::Eof => return Ok(Step::Eof),
                Mark::Close => return self.close(),
                Mark::Open => return self.begin(),
                Mark::Empty => {
                    self.empty = true;
                    return self.begin();
                }
                Mark::Cdata | Mark::Declaration => return Err(self.unexpected("a declaration or CDATA")),
            }
        }
    }

    /// The next element, which must begin here.
    pub fn any(&mut self) -> Result<String> {
        match self.step()? {
            Step::Open(name) => Ok(name),
            Step::Close => Err(self.unexpected("an element that ends too early")),
            Step::Eof => Err(self.cut()),
        }
    }

    /// The next elements, one inside the other, which must have these names.
    pub fn enter(&mut self, names: &[&str]) -> Result<()> {
        for name in names {
            let found = self.any()?;
            if found != *name {
                return Err(self.unexpected(&format!("<{found}> in place of <{name}>")));
            }
        }
        Ok(())
    }

    /// The innermost elements, as many, must end here.
    pub fn leave(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            match self.step()? {
                Step::Close => {}
                Step::Open(name) => return Err(self.unexpected(&format!("<{name}> where an element should end"))),
                Step::Eof => return Err(self.cut()),
            }
        }
        Ok(())
    }

    /// `<value><TYPE>text</TYPE></value>` with one of these types.
    pub fn value(&mut self, types: &[&str]) -> Result<Vec<u8>> {
        self.enter(&["value"])?;
        let found = self.any()?;
        if !types.contains(&found.as_str()) {
            return Err(self.unexpected(&format!("<{found}> in place of <{}>", types.join("> or <"))));
        }
        let text = self.short_text()?;
        self.leave(2)?;
        Ok(text)
    }

    /// A value that must be a whole number.
    pub fn integer(&mut self) -> Result<i32> {
        let text = self.value(&["i4", "int"])?;
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| self.unexpected("a number that is none"))
    }

    /// The text up to the next tag, its start when it is long.
    pub fn short_text(&mut self) -> Result<Vec<u8>> {
        let (mut text, mut decoder) = (Vec::new(), Decoder::default());
        while self.decode(&mut decoder, &mut text)? {
            text.truncate(LONGEST_VALUE);
        }
        text.truncate(LONGEST_VALUE);
        Ok(text)
    }

    /// Appends one chunk of the text up to the next tag to `out`; `false` at its end.
    pub fn decode(&mut self, decoder: &mut Decoder, out: &mut Vec<u8>) -> Result<bool> {
        if self.empty {
            return Ok(false);
        }
        let mut known = Ok(());
        let more = self.markup.text(|piece| known = decoder.decode(piece, out));
        let more = more.map_err(|error| self.io(error))?;
        if known.is_ok() && !more {
            known = decoder.finish();
        }
        known.map(|()| more).map_err(|_| self.cut())
    }

    /// Everything else: well formed to the end, and nothing after it.
    pub fn finish(&mut self) -> Result<()> {
        while !self.open.is_empty() {
            while !self.empty && self.text(|_| ())? {}
            if self.step()? == Step::Eof {
                return Err(self.cut());
            }
        }
        match self.step()? {
            Step::Eof => Ok(()),
            _ => Err(self.cut()),
        }
    }

    /// Ends before it should.
    pub fn cut(&self) -> AnswerError {
        AnswerError::Cut(self.markup.position())
    }

    /// Something is not as oned writes it.
    pub fn unexpected(&self, what: &str) -> AnswerError {
        AnswerError::NotAnAnswer {
            problem: in_a_sentence(format!("it holds {what}").as_bytes()),
            opening: in_a_sentence(&self.opening),
        }
    }

    fn begin(&mut self) -> Result<Step> {
        if self.open.len() == DEEPEST {
            return Err(self.unexpected("elements nested too deep"));
        }
        let name = self.markup.name().to_owned();
        self.open.push(name.clone());
        Ok(Step::Open(name))
    }

    fn close(&mut self) -> Result<Step> {
        match self.open.pop() {
            Some(name) if name == self.markup.name() => Ok(Step::Close),
            _ => Err(self.unexpected(&format!("</{}> at a wrong place", self.markup.name()))),
        }
    }

    fn blank(&mut self) -> Result<()> {
        let mut blank = true;
        while self.text(|piece| blank &= piece.trim_ascii().is_empty())? {}
        if blank { Ok(()) } else { Err(self.unexpected("text between its elements")) }
    }

    fn text(&mut self, sink: impl FnMut(&[u8])) -> Result<bool> {
        self.markup.text(sink).map_err(|error| self.io(error))
    }

    fn tag(&mut self) -> Result<Mark> {
        self.markup.tag(|_| ()).map_err(|error| self.io(error))
    }

    fn io(&self, error: io::Error) -> AnswerError {
        AnswerError::io(error, self.markup.position())
    }
}

//! A walk through an XML document: children by name, texts, everything else
//! skipped. Zero-copy where the document allows it; depth costs heap, not stack.
//!
//! A DOCTYPE is refused, so entities other than XML's own five cannot exist.

use super::odd::shortened;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use std::borrow::Cow;
use std::io::BufRead;
use thiserror::Error;

/// Why the document as a whole cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum XmlError {
    /// Not well formed.
    #[error("the request is not well-formed XML at byte {position}: {problem}")]
    Syntax {
        /// Offset in the decoded document.
        position: u64,
        /// The reader's words.
        problem: String,
    },
    /// Ends before its root does.
    #[error("the request is cut off after {0} bytes: its XML does not end")]
    Cut(u64),
    /// Its source fails on the way.
    #[error("the request cannot be read beyond byte {position}: {problem}")]
    Source {
        /// Offset in the decoded document.
        position: u64,
        /// The source's words.
        problem: String,
    },
    /// Declares entities.
    #[error("the request holds a DOCTYPE; oned never sends one, and it is not read")]
    Doctype,
    /// More than one root.
    #[error("the request goes on after its root element, at byte {0}")]
    Trailing(u64),
}

type Result<T> = std::result::Result<T, XmlError>;

/// Stands inside one element; each method consumes that element to its end.
pub struct Walker<'a> {
    source: Source<'a>,
}

/// Where the document comes from: all of it in memory, or piece by piece.
enum Source<'a> {
    /// The reader, the document, and how many bytes of it the reader was taken past.
    Text(Reader<&'a [u8]>, &'a [u8], u64),
    Stream(Reader<Box<dyn BufRead + 'a>>, Vec<u8>),
}

macro_rules! position {
    ($walker:ident, $of:ident) => {
        match &$walker.source {
            Source::Text(reader, _, past) => reader.$of() + past,
            Source::Stream(reader, _) => reader.$of(),
        }
    };
}

/// What stands between the tags of an element, as the document has it.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a>(&'a [u8]);

impl<'a> Walker<'a> {
    /// Opens a document and steps into its root, whose name comes with it.
    pub fn open(xml: &'a str) -> Result<(Self, String)> {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        Self { source: Source::Text(reader, xml.as_bytes(), 0) }.enter()
    }

    /// As [`Self::open`], of a document that is read while it is walked through.
    pub fn open_stream(xml: Box<dyn BufRead + 'a>) -> Result<(Self, String)> {
        let mut reader = Reader::from_reader(xml);
        reader.config_mut().expand_empty_elements = true;
        Self { source: Source::Stream(reader, Vec::new()) }.enter()
    }

    fn enter(self) -> Result<(Self, String)> {
        let mut walker = self;
        loop {
            match walker.next()? {
                Event::Start(start) => return Ok((walker, start.local_name().into_inner().to_owned())),
                Event::Eof => return Err(walker.cut()),
                Event::Text(text) if !text.trim_ascii().is_empty() => {
                    return Err(walker.syntax("text before the root element"));
                }
                _ => {}
            }
        }
    }

    /// Calls `visit` for every child element; `visit` must consume it.
    pub fn children(&mut self, mut visit: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        loop {
            match self.next()? {
                Event::Start(child) => visit(self, child.local_name().into_inner())?,
                Event::End(_) => return Ok(()),
                Event::Eof => return Err(self.cut()),
                _ => {}
            }
        }
    }

    /// The element's own text, without that of its children, trimmed.
    pub fn text(&mut self) -> Result<Cow<'a, str>> {
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        loop {
            let piece = match self.next()? {
                Event::Text(piece) => piece.into_inner(),
                Event::CData(piece) => piece.into_inner(),
                Event::GeneralRef(reference) => Cow::Owned(self.resolve(&reference)?),
                Event::Start(_) => {
                    self.skip()?;
                    continue;
                }
                Event::End(_) => return Ok(trim(text)),
                Event::Eof => return Err(self.cut()),
                _ => continue,
            };
            if text.is_empty() {
                text = piece;
            } else {
                text.to_mut().push_str(&piece);
            }
        }
    }

    /// As [`Self::children`], and what the element holds, to tell its like. That of an empty one and of a document that
    /// comes piece by piece is not told.
    pub fn children_with_content(
        &mut self,
        visit: impl FnMut(&mut Self, &str) -> Result<()>,
    ) -> Result<Option<Content<'a>>> {
        let begins = self.rest();
        self.children(visit)?;
        let Some((begins, ends)) = begins.zip(self.rest()) else { return Ok(None) };
        let all = begins.get(..begins.len() - ends.len()).unwrap_or_default();
        Ok(all.iter().rposition(|byte| *byte == b'<').map(|end| Content(&all[..end])))
    }

    /// Passes over the element if it holds the very bytes that another did, which was read to its end: what these mean
    /// is known then. Whether it does.
    pub fn skip_alike(&mut self, other: Content<'a>) -> Result<bool> {
        let Source::Text(reader, whole, past) = &mut self.source else { return Ok(false) };
        let rest = *reader.get_ref();
        let before = &whole[..whole.len() - rest.len()];
        let alike = rest.strip_prefix(other.0).filter(|rest| rest.starts_with(b"</"));
        // one that is written as a single tag is over already
        let Some(rest) = alike.filter(|_| !before.ends_with(b"/>")) else { return Ok(false) };
        *reader.get_mut() = rest;
        *past += other.0.len() as u64;
        self.skip().map(|()| true)
    }

    /// What is still to be read.
    fn rest(&self) -> Option<&'a [u8]> {
        match &self.source {
            Source::Text(reader, ..) => Some(*reader.get_ref()),
            Source::Stream(..) => None,
        }
    }

    /// Passes over the element and all below it.
    pub fn skip(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Event::Start(_) => depth += 1,
                Event::End(_) if depth == 0 => return Ok(()),
                Event::End(_) => depth -= 1,
                Event::Eof => return Err(self.cut()),
                _ => {}
            }
        }
    }

    /// After the root: nothing but white space and comments may follow.
    pub fn finish(mut self) -> Result<()> {
        loop {
            match self.next()? {
                Event::Eof => return Ok(()),
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Comment(_) | Event::PI(_) => {}
                _ => return Err(XmlError::Trailing(position!(self, buffer_position))),
            }
        }
    }

    fn next(&mut self) -> Result<Event<'a>> {
        let event = match &mut self.source {
            Source::Text(reader, ..) => reader.read_event(),
            Source::Stream(reader, piece) => {
                piece.clear();
                reader.read_event_into(piece).map(Event::into_owned)
            }
        };
        match event {
            Ok(Event::DocType(_)) => Err(XmlError::Doctype),
            Ok(event) => Ok(event),
            Err(error) => Err(self.error(&error)),
        }
    }

    fn error(&self, error: &quick_xml::Error) -> XmlError {
        use quick_xml::Error;
        use quick_xml::errors::SyntaxError;
        match error {
            Error::Syntax(
                SyntaxError::UnclosedTag
                | SyntaxError::UnclosedCData
                | SyntaxError::UnclosedComment
                | SyntaxError::UnclosedDoctype
                | SyntaxError::UnclosedPI
                | SyntaxError::UnclosedXmlDecl
                | SyntaxError::UnclosedSingleQuotedAttributeValue
                | SyntaxError::UnclosedDoubleQuotedAttributeValue,
            ) => self.cut(),
            Error::Io(problem) => {
                let position = position!(self, buffer_position);
                XmlError::Source { position, problem: shortened(&problem.to_string()) }
            }
            other => self.syntax(&other.to_string()),
        }
    }

    fn cut(&self) -> XmlError {
        XmlError::Cut(position!(self, buffer_position))
    }

    fn syntax(&self, problem: &str) -> XmlError {
        let position = position!(self, error_position);
        XmlError::Syntax { position, problem: shortened(problem) }
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<String> {
        let character = reference.resolve_char_ref().map_err(|error| self.error(&error))?;
        if let Some(character) = character {
            return Ok(character.to_string());
        }
        let name: &str = reference;
        match quick_xml::escape::resolve_xml_entity(name) {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.syntax(&format!("unknown entity &{name};"))),
        }
    }
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(xml: &str) -> Result<Vec<(String, String)>> {
        let (mut walker, _) = Walker::open(xml)?;
        let mut found = Vec::new();
        walker.children(|w, name| {
            let text = w.text()?;
            found.push((name.to_owned(), text.into_owned()));
            Ok(())
        })?;
        walker.finish()?;
        Ok(found)
    }

    #[test]
    fn texts_come_from_all_their_forms() {
        let xml = "<?xml version=\"1.0\"?><R>\n<A> 1 </A><B><![CDATA[x [y]]]></B><C/><D>&lt;&#65;&amp;</D>\
                   <E>a<F>inner</F>b</E><!-- no --></R>\n<!-- end -->";
        let found = texts(xml).expect("reads");
        let expected = [("A", "1"), ("B", "x [y]"), ("C", ""), ("D", "<A&"), ("E", "ab")];
        assert_eq!(found, expected.map(|(n, t)| (n.to_owned(), t.to_owned())));
    }

    #[test]
    fn broken_documents_are_told_apart() {
        assert!(matches!(texts("<R><A>1</A>"), Err(XmlError::Cut(_))));
        assert!(matches!(texts("<R><A>1</"), Err(XmlError::Cut(_))));
        assert!(matches!(texts("<R><![CDATA[x"), Err(XmlError::Cut(_))));
        assert!(matches!(texts("<R><A>1</B></R>"), Err(XmlError::Syntax { .. })));
        assert!(matches!(texts("<R/>x"), Err(XmlError::Trailing(_))));
        assert!(matches!(texts("<R/><R/>"), Err(XmlError::Trailing(_))));
        assert!(matches!(texts("<R><A>&nope;</A></R>"), Err(XmlError::Syntax { .. })));
        let laughs = "<!DOCTYPE R [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><R><A>&b;</A></R>";
        assert_eq!(texts(laughs), Err(XmlError::Doctype));
    }

    #[test]
    fn what_is_alike_is_passed_over_and_nothing_else_is() {
        // the names of the children of each element, and whether it was passed over
        let read = |xml: &str| -> Result<Vec<(Vec<String>, bool)>> {
            let (mut walker, _) = Walker::open(xml)?;
            let mut found: Vec<(Vec<String>, bool)> = Vec::new();
            let mut last: Option<(Content<'_>, Vec<String>)> = None;
            walker.children(|w, _| {
                if let Some((content, names)) = &last
                    && w.skip_alike(*content)?
                {
                    found.push((names.clone(), true));
                    return Ok(());
                }
                let mut names = Vec::new();
                let content = w.children_with_content(|w, name| {
                    names.push(name.to_owned());
                    w.skip()
                })?;
                last = content.map(|content| (content, names.clone()));
                found.push((names, false));
                Ok(())
            })?;
            walker.finish().map(|()| found)
        };
        let told = |xml: &str| {
            let found = read(xml).expect("reads");
            found.iter().map(|(names, passed)| format!("{}{}", names.concat(), u8::from(*passed))).collect::<Vec<_>>()
        };
        assert_eq!(told("<R><L><A>1</A></L><L><A>1</A></L><M><A>1</A></M></R>"), ["A0", "A1", "A1"]);
        // longer, shorter, other
        assert_eq!(told("<R><L><A>1</A></L><L><A>1</A><B/></L><L><A>1</A></L></R>"), ["A0", "AB0", "A0"]);
        assert_eq!(told("<R><L><A>1</A></L><L> <A>1</A></L></R>"), ["A0", "A0"]);
        // empty ones, before what looks like their content too
        assert_eq!(told("<R><L/><L></L><L></L></R>"), ["0", "0", "1"]);
        assert_eq!(told("<R><L><A/></L><L/><A/></R>"), ["A0", "0", "0"]);
        // faults are found where they stand
        let (plain, alike) = ("<R><L><A>1</A></L><L><B>1</B></L><M>", "<R><L><A>1</A></L><L><A>1</A></L><M>");
        for end in ["</X></M></R>", "</L></R>", "", "</M></R>x"] {
            assert_eq!(read(&format!("{plain}{end}")), read(&format!("{alike}{end}")).map(|_| vec![]), "{end}");
        }
        assert!(matches!(read("<R><L><A>1</A></L><L><A>1</A></M></R>"), Err(XmlError::Syntax { .. })));
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("<R><A>{}{}</A></R>", "<X>".repeat(200_000), "</X>".repeat(200_000));
        assert_eq!(texts(&deep).expect("reads").len(), 1);
    }
}

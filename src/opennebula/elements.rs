//! A pool document that passes by: its root's children one at a time, each whole, so
//! that memory does not grow with the pool. A child that is broken inside spoils no
//! other one.

use super::markup::{Mark, Markup};
use std::borrow::Cow;
use std::io::{self, BufRead};
use thiserror::Error;

/// Longer children are passed over.
pub const LONGEST: usize = 1 << 20;

/// Why a document cannot be read to its end.
#[derive(Debug, Error)]
pub enum PayloadError {
    /// Its bytes do not come.
    #[error("the answer of oned cannot be read on: {0}")]
    Read(#[from] io::Error),
    /// Ends before its root does.
    #[error("the {root} that oned sent ends after {at} bytes, before its end; look into oned.log and ask again")]
    Cut {
        /// The root element.
        root: &'static str,
        /// Bytes read.
        at: u64,
    },
    /// Another document, or none.
    #[error("oned sent {found:?} where {root} was expected; check that ONED_ADDR leads to oned")]
    Root {
        /// The root that was expected.
        root: &'static str,
        /// What stands there.
        found: String,
    },
    /// Something follows.
    #[error("the {root} that oned sent goes on after its end, at byte {at}; look into oned.log and ask again")]
    Trailing {
        /// The root element.
        root: &'static str,
        /// Where.
        at: u64,
    },
}

/// The children of one document's root.
pub struct Elements<R> {
    markup: Markup<R>,
    root: &'static str,
    name: String,
    item: Item,
    over: bool,
}

/// The bytes of one child, as long as they are not too many.
struct Item {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Item {
    fn clear(&mut self) {
        self.bytes.clear();
        self.too_long = false;
    }

    fn push(&mut self, piece: &[u8]) {
        if self.bytes.len() + piece.len() > LONGEST {
            self.too_long = true;
        }
        if !self.too_long {
            self.bytes.extend_from_slice(piece);
        }
    }
}

/// One child.
pub struct Element<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its text, `None` when too long. Bytes that are not UTF-8 are read as U+FFFD.
    pub xml: Option<Cow<'a, str>>,
}

impl<R: BufRead> Elements<R> {
    /// Steps into the root.
    pub fn open(payload: R, root: &'static str) -> Result<Self, PayloadError> {
        let item = Item { bytes: Vec::new(), too_long: false };
        let mut elements = Self { markup: Markup::new(payload), root, name: String::new(), item, over: false };
        loop {
            elements.blank(|elements| elements.wrong_root("text"))?;
            let mark = elements.markup.tag(|_| ())?;
            match mark {
                Mark::Aside => continue,
                Mark::Eof => return Err(elements.cut()),
                Mark::Open | Mark::Empty if elements.markup.name() == root => elements.over = mark == Mark::Empty,
                _ => return Err(elements.wrong_root(elements.markup.name())),
            }
            if elements.over {
                elements.finish()?;
            }
            return Ok(elements);
        }
    }

    /// The next child, `None` at the end of the document.
    pub fn child(&mut self) -> Result<Option<Element<'_>>, PayloadError> {
        if self.over || !self.read_child()? {
            return Ok(None);
        }
        let xml = (!self.item.too_long).then(|| String::from_utf8_lossy(&self.item.bytes));
        Ok(Some(Element { name: &self.name, xml }))
    }

    /// Passes one child; `false` when the root ended instead.
    fn read_child(&mut self) -> Result<bool, PayloadError> {
        loop {
            while self.markup.text(|_| ())? {}
            self.item.clear();
            match self.markup.tag(|piece| self.item.push(piece))? {
                Mark::Eof => return Err(self.cut()),
                Mark::Empty => {
                    self.remember_name();
                    return Ok(true);
                }
                Mark::Open => {
                    self.remember_name();
                    self.read_to_close()?;
                    return Ok(true);
                }
                Mark::Close if self.markup.name() == self.root => {
                    self.over = true;
                    self.finish()?;
                    return Ok(false);
                }
                _ => {}
            }
        }
    }

    /// To the child's own end. Only tags of its name count, so that a fault inside it
    /// stays inside it.
    fn read_to_close(&mut self) -> Result<(), PayloadError> {
        let mut depth = 1_usize;
        while depth > 0 {
            while self.markup.text(|piece| self.item.push(piece))? {}
            match self.markup.tag(|piece| self.item.push(piece))? {
                Mark::Eof => return Err(self.cut()),
                Mark::Open if self.markup.name() == self.name => depth += 1,
                Mark::Close if self.markup.name() == self.name => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Nothing but blanks and comments may follow the root.
    fn finish(&mut self) -> Result<(), PayloadError> {
        loop {
            self.blank(Self::trailing)?;
            match self.markup.tag(|_| ())? {
                Mark::Eof => return Ok(()),
                Mark::Aside => {}
                _ => return Err(self.trailing()),
            }
        }
    }

    /// Passes text that must be blank.
    fn blank(&mut self, otherwise: impl Fn(&Self) -> PayloadError) -> Result<(), PayloadError> {
        let mut blank = true;
        while self.markup.text(|piece| blank &= piece.trim_ascii().is_empty())? {}
        if blank { Ok(()) } else { Err(otherwise(self)) }
    }

    fn remember_name(&mut self) {
        self.name.clear();
        self.name.push_str(self.markup.name());
    }

    fn cut(&self) -> PayloadError {
        PayloadError::Cut { root: self.root, at: self.markup.position() }
    }

    fn trailing(&self) -> PayloadError {
        PayloadError::Trailing { root: self.root, at: self.markup.position() }
    }

    fn wrong_root(&self, found: &str) -> PayloadError {
        PayloadError::Root { root: self.root, found: super::odd::shortened(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(xml: &[u8]) -> Result<Vec<(String, Option<String>)>, PayloadError> {
        let mut elements = Elements::open(xml, "R")?;
        let mut found = Vec::new();
        while let Some(element) = elements.child()? {
            found.push((element.name.to_owned(), element.xml.map(Cow::into_owned)));
        }
        Ok(found)
    }

    #[test]
    fn children_come_one_by_one() {
        let xml = b"<?xml version='1.0'?>\n<R> <A><B>1</B><A>2</A></A><!-- --><B/><R>in</R> </R>\n";
        let found = children(xml).expect("reads");
        let texts: Vec<&str> = found.iter().filter_map(|(_, xml)| xml.as_deref()).collect();
        assert_eq!(texts, ["<A><B>1</B><A>2</A></A>", "<B/>", "<R>in</R>"]);
        assert!(children(b"<R></R>").expect("reads").is_empty());
        assert!(children(b"<R/>").expect("reads").is_empty());
    }

    #[test]
    fn a_broken_child_spoils_no_other_one() {
        let found = children(b"<R><A><B>1</A></B><A><![CDATA[</A>]]></A><A>\xff</A></R>").expect("reads");
        let texts: Vec<&str> = found.iter().filter_map(|(_, xml)| xml.as_deref()).collect();
        assert_eq!(texts, ["<A><B>1</A>", "<A><![CDATA[</A>]]></A>", "<A>\u{fffd}</A>"]);
    }

    #[test]
    fn a_child_beyond_the_limit_is_passed_over() {
        let long = format!("<R><A>{}</A><A>1</A></R>", "x".repeat(LONGEST));
        let found = children(long.as_bytes()).expect("reads");
        assert_eq!(found, [("A".to_owned(), None), ("A".to_owned(), Some("<A>1</A>".to_owned()))]);
    }

    #[test]
    fn documents_that_are_none_are_told_apart() {
        for cut in ["", "<R", "<R>", "<R><A>", "<R><A/>", "<R></A>"] {
            assert!(matches!(children(cut.as_bytes()), Err(PayloadError::Cut { .. })), "{cut}");
        }
        for other in ["<X/>", "R", "<html>", "<!DOCTYPE R><R/>"] {
            assert!(matches!(children(other.as_bytes()), Err(PayloadError::Root { .. })), "{other}");
        }
        for more in ["<R/>x", "<R></R><R/>"] {
            assert!(matches!(children(more.as_bytes()), Err(PayloadError::Trailing { .. })), "{more}");
        }
    }

    #[test]
    fn an_empty_child_has_its_own_name_and_not_that_of_the_one_before() {
        let found = children(b"<R><A>1</A><B/><C x='1'/><A/></R>").expect("reads");
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["A", "B", "C", "A"]);
    }
}

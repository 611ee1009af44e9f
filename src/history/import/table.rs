//! Tables of any size, one row at a time: unzipped when they are zipped, split at
//! whatever separates their header, columns found by name. Nothing is allocated per row.

use super::fault::{Fault, ImportError, TableSummary, excerpt};
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How some programs begin a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Longer lines are no rows; so a file without lines does not fill the memory.
const LONGEST_LINE: u64 = 64 * 1024;

/// Unzipped bytes at a time.
const BLOCK: usize = 64 * 1024;

/// Lines between two reports of progress.
const REPORT_EVERY: u64 = 8192;

/// How far reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of input, as they came: compare with the size of the file.
    pub bytes: u64,
    /// Lines, with the header.
    pub lines: u64,
}

/// A column that somebody wants. Names are in small letters.
pub(super) struct Column {
    pub name: &'static str,
    pub needed: bool,
}

impl Column {
    pub(super) const fn needed(name: &'static str) -> Self {
        Self { name, needed: true }
    }

    pub(super) const fn optional(name: &'static str) -> Self {
        Self { name, needed: false }
    }
}

/// A table whose header has been read.
pub(super) struct Table<'a> {
    input: Box<dyn BufRead + 'a>,
    bytes: Rc<Cell<u64>>,
    line: Vec<u8>,
    lines: u64,
    separator: u8,
    header: Vec<String>,
}

/// What the next line is, its text aside.
enum Next {
    Line,
    TooLong,
    End,
}

impl<'a> Table<'a> {
    /// Reads the header: the first line that is not blank.
    pub(super) fn open(input: impl BufRead + 'a) -> Result<Self, ImportError> {
        let bytes = Rc::new(Cell::new(0));
        let counted = Counted { input, bytes: Rc::clone(&bytes) };
        let input = unzipped(counted).map_err(|source| ImportError::Read { line: 0, source })?;
        let mut table = Self { input, bytes, line: Vec::new(), lines: 0, separator: b',', header: Vec::new() };
        while table.line.trim_ascii().is_empty() {
            match table.next_line()? {
                Next::Line => {}
                Next::TooLong => return Err(ImportError::Form { found: excerpt(&table.line, 80) }),
                Next::End => return Err(ImportError::Empty),
            }
        }
        table.separator = separator(&table.line);
        table.header = table.line.split(|byte| *byte == table.separator).map(name).collect();
        Ok(table)
    }

    /// How many of these columns there are.
    pub(super) fn count(&self, columns: &[Column]) -> usize {
        columns.iter().filter(|column| self.has(column.name)).count()
    }

    /// Whether a column is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.header.iter().any(|found| found == name)
    }

    /// Gives the first column whose name fits a name that is looked for; whether there is one.
    pub(super) fn rename(&mut self, fits: impl Fn(&str) -> bool, name: &str) -> bool {
        let found = self.header.iter_mut().find(|found| fits(found.as_str()));
        found.map(|found| name.clone_into(found)).is_some()
    }

    /// The header, for messages.
    pub(super) fn found(&self) -> String {
        excerpt(self.header.join(", ").as_bytes(), 400)
    }

    /// Hands each row's cells to `row`, in the order of `columns`; empty where there is none.
    pub(super) fn each_row<const N: usize>(
        mut self,
        columns: &[Column; N],
        progress: &mut dyn FnMut(Progress),
        mut row: impl FnMut([&[u8]; N]) -> Result<(), Fault>,
    ) -> Result<TableSummary, ImportError> {
        self.demand(columns)?;
        let slots = self.slots(columns);
        let mut summary = TableSummary::default();
        loop {
            let outcome = match self.next_line()? {
                Next::End => break,
                Next::TooLong => Err(Fault::TooLong(LONGEST_LINE)),
                Next::Line if self.line.trim_ascii().is_empty() => continue,
                Next::Line => cells(&self.line, self.separator, &slots).and_then(&mut row),
            };
            summary.count(self.lines, &self.line, outcome);
            if self.lines.is_multiple_of(REPORT_EVERY) {
                progress(Progress { bytes: self.bytes.get(), lines: self.lines });
            }
        }
        summary.bytes = self.bytes.get();
        progress(Progress { bytes: self.bytes.get(), lines: self.lines });
        Ok(summary)
    }

    /// Fails when a needed column is not there.
    pub(super) fn demand(&self, columns: &[Column]) -> Result<(), ImportError> {
        let missing: Vec<&str> =
            columns.iter().filter(|column| column.needed && !self.has(column.name)).map(|column| column.name).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ImportError::Column { missing: missing.join(", "), found: self.found() })
    }

    /// For each column of the header its place among the wanted ones. Of two with the
    /// same name, the first counts.
    fn slots(&self, columns: &[Column]) -> Vec<Option<usize>> {
        let place = |(index, name): (usize, &String)| {
            let first = self.header.iter().position(|other| other == name) == Some(index);
            columns.iter().position(|column| first && column.name == name)
        };
        self.header.iter().enumerate().map(place).collect()
    }

    fn next_line(&mut self) -> Result<Next, ImportError> {
        self.line.clear();
        let failed = |source| ImportError::Read { line: self.lines, source };
        let read = (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut self.line).map_err(failed)?;
        if read == 0 {
            return Ok(Next::End);
        }
        let cut = read as u64 == LONGEST_LINE && self.line.last() != Some(&b'\n');
        if cut {
            self.input.skip_until(b'\n').map_err(failed)?;
        }
        self.lines += 1;
        Ok(if cut { Next::TooLong } else { Next::Line })
    }
}

/// The wanted cells of a row.
fn cells<'l, const N: usize>(line: &'l [u8], separator: u8, slots: &[Option<usize>]) -> Result<[&'l [u8]; N], Fault> {
    let mut wanted: [&[u8]; N] = [b""; N];
    let mut all = line.split(|byte| *byte == separator);
    for (slot, cell) in slots.iter().zip(&mut all) {
        if let Some(place) = slot.and_then(|slot| wanted.get_mut(slot)) {
            *place = bare(cell);
        }
    }
    let rest = all.any(|cell| !cell.trim_ascii().is_empty());
    if rest { Err(Fault::TooWide) } else { Ok(wanted) }
}

/// What separates the columns: a semicolon, else a tab, else a comma.
fn separator(header: &[u8]) -> u8 {
    [b';', b'\t'].into_iter().find(|candidate| header.contains(candidate)).unwrap_or(b',')
}

/// The name of a column: small letters, single blanks.
fn name(cell: &[u8]) -> String {
    let cell = cell.strip_prefix(BYTE_ORDER_MARK).unwrap_or(cell);
    let text = String::from_utf8_lossy(bare(cell)).to_lowercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A cell without blanks and quotes around it.
fn bare(cell: &[u8]) -> &[u8] {
    let cell = cell.trim_ascii();
    match cell {
        [b'"', inner @ .., b'"'] => inner.trim_ascii(),
        _ => cell,
    }
}

/// The text itself, whatever the file is called.
fn unzipped<'a>(mut input: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut start = Vec::new();
    input.by_ref().take(2).read_to_end(&mut start)?;
    let zipped = start == GZIP;
    let whole = Cursor::new(start).chain(input);
    if zipped {
        return Ok(Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(whole))));
    }
    Ok(Box::new(whole))
}

/// Counts what is consumed.
struct Counted<R> {
    input: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.set(self.bytes.get() + amount as u64);
        self.input.consume(amount);
    }
}

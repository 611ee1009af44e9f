//! What can be wrong with a table, in words, and the account of what was read.

use std::io;

/// Why a table cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No header.
    #[error("it is empty; a line with the names of the columns was expected")]
    Empty,
    /// The header is of no known form.
    #[error("the form of the table is unknown: it begins with {found}")]
    Form {
        /// The header, shortened.
        found: String,
    },
    /// The form is known, but something that is needed is not there.
    #[error("column {missing} is missing; the header has {found}")]
    Column {
        /// All names that are missing.
        missing: String,
        /// The header, shortened.
        found: String,
    },
    /// A document of no known form.
    #[error("it is no series of carbon intensity that is known: {0}")]
    Document(String),
    /// Amounts that are no grams per kilowatt-hour, nor pounds per megawatt-hour.
    #[error("its amounts are in {0}; g/kWh and lb/MWh are known")]
    Units(String),
    /// A table without a column for the VM, from a file whose name is no number.
    #[error("no column vmid, and the name of the file is no VM's number (as in 12.csv)")]
    NoVm,
    /// CPU is a share of a VM's capacity, and nobody told the capacity.
    #[error("CPU is in percent of each VM's capacity: a table with the columns vmid and cores is needed too")]
    NoCapacities,
    /// The bytes stop or are damaged. What came before was handed on.
    #[error("cannot be read after line {line}: {source}")]
    Read {
        /// The last whole line.
        line: u64,
        /// Why.
        source: io::Error,
    },
}

/// Why one row cannot be used. Texts are made for the first few only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is no number")]
    NoNumber(&'static str),
    #[error("{0} is negative")]
    Negative(&'static str),
    #[error("{0} is no moment")]
    NoMoment(&'static str),
    #[error("{0} is no VM's number")]
    NoVm(&'static str),
    #[error("VM {0} is not in the table of capacities")]
    UnknownVm(i32),
    #[error("more columns than in the header")]
    TooWide,
    #[error("longer than {0} bytes")]
    TooLong(u64),
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRow {
    /// Counted from 1, with the header.
    pub line: u64,
    /// What is wrong, and the beginning of the row.
    pub reason: String,
}

/// How many broken rows are told in words.
const TOLD: u64 = 5;

/// What came of the rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSummary {
    /// Rows that were used.
    pub rows: u64,
    /// Rows that were left out.
    pub broken: u64,
    /// The first few of them.
    pub first_broken: Vec<BrokenRow>,
    /// Bytes of input, as they came (compressed or not).
    pub bytes: u64,
}

impl TableSummary {
    /// Counts one row.
    pub(super) fn count(&mut self, line: u64, row: &[u8], outcome: Result<(), Fault>) {
        let Err(fault) = outcome else {
            self.rows += 1;
            return;
        };
        if self.broken < TOLD {
            self.first_broken.push(BrokenRow { line, reason: format!("{fault}: {}", excerpt(row, 80)) });
        }
        self.broken += 1;
    }
}

/// The beginning of a text of any kind, fit for a message.
pub(super) fn excerpt(text: &[u8], longest: usize) -> String {
    let text = text.trim_ascii();
    let start = String::from_utf8_lossy(&text[..text.len().min(longest)]).escape_debug().to_string();
    if text.len() > longest { start + "..." } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_five_rows_that_are_left_out_are_told() {
        let mut summary = TableSummary::default();
        summary.count(2, b"1,2", Ok(()));
        for line in 3..9 {
            summary.count(line, b" x,1 ", Err(Fault::NoVm("vmid")));
        }
        assert_eq!((summary.rows, summary.broken, summary.first_broken.len()), (1, 6, 5));
        let first = BrokenRow { line: 3, reason: "vmid is no VM's number: x,1".to_owned() };
        assert_eq!((&summary.first_broken[0], summary.first_broken[4].line), (&first, 7));
    }

    #[test]
    fn an_excerpt_is_the_beginning_fit_for_a_message() {
        assert_eq!(excerpt(b"  abcd \n", 4), "abcd");
        assert_eq!(excerpt(b"abcde", 4), "abcd...");
        assert_eq!(excerpt(b"a\tb\xff", 9), "a\\tb\u{fffd}");
        assert_eq!(excerpt(b"", 4), "");
    }
}

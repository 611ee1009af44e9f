//! Tables that fit: as wide as they are in a pipe, at most as wide as the terminal on one.
//! There columns go that can be spared, and long texts are cut; lines are never broken. The
//! same tables as CSV.

use super::terminal;
use crate::commands::ShownArgs;
use crate::opennebula::message::safe;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

/// A text is not cut below this.
const SHORTEST: usize = 12;

/// Characters per line; `None` for as many as it takes.
static WIDTH: OnceLock<Option<usize>> = OnceLock::new();

/// Says once how tables are shown: as wide as the terminal, or COLUMNS where that is set; in full where
/// that is asked for; in colours where those are wanted. Without this call they are full and plain.
pub fn fit(shown: &ShownArgs) {
    terminal::colours();
    let columns = || std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let terminal = || {
        let stdout = std::io::stdout();
        let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(stdout)).and_then(Result::ok);
        size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    // the first word counts
    let _ = WIDTH.set(if shown.full { None } else { columns().or_else(terminal) });
}

/// Whether all is shown, however wide or long.
pub fn is_full() -> bool {
    WIDTH.get().copied().flatten().is_none()
}

/// A table before it is known how wide it may be.
#[derive(Clone)]
pub struct Grid {
    header: Vec<String>,
    numeric: Vec<usize>,
    spare: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// Without rows. `numeric` columns are aligned to the right; those of `spare` go first, in
    /// this order, where there is no room.
    pub fn new(header: &[&str], numeric: &[usize], spare: &[usize]) -> Self {
        let header = header.iter().map(|name| (*name).to_owned()).collect();
        Self { header, numeric: numeric.to_vec(), spare: spare.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one text per column.
    pub fn add_row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// In at most this many columns, or in those of the terminal where it has fewer.
    #[must_use]
    pub fn within(&self, columns: usize) -> String {
        let terminal = WIDTH.get().copied().flatten();
        self.text(Some(terminal.map_or(columns, |terminal| terminal.min(columns))))
    }

    /// All rows of several tables of one form, with a column before them that tells them apart.
    #[must_use]
    pub fn stacked(name: &str, parts: Vec<(String, Self)>) -> Self {
        let header = parts.first().map_or(&[][..], |(_, grid)| &grid.header);
        let header = std::iter::once(name.to_owned()).chain(header.iter().cloned()).collect();
        let mut all = Self { header, numeric: Vec::new(), spare: Vec::new(), rows: Vec::new() };
        for (label, grid) in parts {
            all.rows.extend(grid.rows.into_iter().map(|row| std::iter::once(label.clone()).chain(row).collect()));
        }
        all
    }

    /// As CSV, as RFC 4180 has it but for line ends of one character, with a header of names that differ.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let rows = std::iter::once(self.names()).chain(self.rows.iter().cloned());
        // memory takes all that is written
        rows.for_each(|row| drop(writer.write_record(row.iter().map(|cell| inert(&safe(cell))))));
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }

    /// The header, where `after` stands for the column before it, and a column without a name is a remark.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::with_capacity(self.header.len());
        for name in &self.header {
            let before = names.last().map_or("", String::as_str);
            let name = match name.as_str() {
                "after" => format!("{} after", before.strip_suffix(" before").unwrap_or(before)),
                "" if names.is_empty() => "what".to_owned(),
                "" => "remark".to_owned(),
                name => name.to_owned(),
            };
            names.push(name);
        }
        names
    }

    fn text(&self, width: Option<usize>) -> String {
        let length = |text: &String| text.chars().count();
        let all = std::iter::once(&self.header).chain(&self.rows);
        let widest = |column: usize| all.clone().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..self.header.len()).map(widest).collect();
        let mut kept: Vec<usize> = (0..self.header.len()).collect();
        // each column has a bar and two spaces; one more bar ends the line
        let total = |kept: &[usize], widths: &[usize]| 1 + kept.iter().map(|column| widths[*column] + 3).sum::<usize>();
        if let Some(width) = width {
            for spare in &self.spare {
                if total(&kept, &widths) > width {
                    kept.retain(|column| column != spare);
                }
            }
            // the longest text gives way first
            let texts = |kept: &[usize]| kept.iter().copied().filter(|c| !self.numeric.contains(c)).collect::<Vec<_>>();
            while total(&kept, &widths) > width
                && let Some(longest) = texts(&kept).into_iter().max_by_key(|column| widths[*column])
                && widths[longest] > SHORTEST
            {
                let over = total(&kept, &widths) - width;
                let second = texts(&kept).into_iter().filter(|c| *c != longest).map(|c| widths[c]).max().unwrap_or(0);
                let least = SHORTEST.max(second.min(widths[longest] - 1));
                widths[longest] = least.max(widths[longest].saturating_sub(over));
            }
        }
        let cut = |row: &[String]| -> Vec<String> {
            kept.iter().map(|&column| shortened(row.get(column).map_or("", String::as_str), widths[column])).collect()
        };
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(cut(&self.header));
        for (place, _) in kept.iter().enumerate().filter(|(_, column)| self.numeric.contains(column)) {
            if let Some(column) = table.column_mut(place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.rows.iter().for_each(|row| {
            table.add_row(cut(row));
        });
        table.to_string()
    }
}

/// A cell that no spreadsheet takes for a formula: names come from users.
fn inert(cell: &str) -> String {
    let formula = match cell.chars().next() {
        Some('=' | '@') => true,
        // a sign begins numbers too; calls of functions, programs and other files need one of these
        Some('+' | '-') => cell.contains(['(', '|', '!']),
        _ => false,
    };
    if formula { format!("'{cell}") } else { cell.to_owned() }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(std::iter::once('\u{2026}')).collect()
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(WIDTH.get().copied().flatten()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_without_a_broken_line_and_says_all_where_there_is_room() {
        let mut grid = Grid::new(&["VM", "name", "D", "why"], &[0, 2], &[2]);
        let why = "least interference of 400 hosts, and the only one with its device".to_owned();
        grid.add_row(["7".to_owned(), "a name that is much longer than others".to_owned(), "0.125".to_owned(), why]);
        let full = grid.text(None);
        assert!(full.contains("only one with its device") && full.contains("0.125"));
        for width in [40, 60, 80, 100, 400] {
            let text = grid.text(Some(width));
            assert_eq!(text.lines().count(), 3, "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
            assert_eq!(text == full, width == 400);
        }
        assert!(grid.text(Some(80)).contains('\u{2026}') && !grid.text(Some(80)).contains("0.125"));
        // nothing is left to give way: wider than wanted, but whole lines
        assert_eq!(grid.text(Some(5)).lines().count(), 3);
    }

    #[test]
    fn csv_has_a_header_of_its_own_and_no_formula() {
        let mut grid = Grid::new(&["", "D before", "after", "VMs", "after", ""], &[], &[]);
        let row = ["=1+1", "-", "-0.5", "+3", "a, \"b\"\u{1b}[2J", "-2+cmd|' /C x'!A0"].map(str::to_owned);
        grid.add_row(row);
        assert_eq!(
            grid.csv(),
            "what,D before,D after,VMs,VMs after,remark\n'=1+1,-,-0.5,+3,\"a, \"\"b\"\" [2J\",'-2+cmd|' /C x'!A0\n"
        );
        let stacked = Grid::stacked("wave", vec![("1".to_owned(), grid.clone()), ("2".to_owned(), grid)]);
        assert!(stacked.csv().starts_with("wave,remark,D before,D after,"), "{}", stacked.csv());
        assert_eq!(stacked.csv().lines().count(), 3);
    }
}

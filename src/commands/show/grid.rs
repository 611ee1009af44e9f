//! Tables that fit: as wide as they are in a pipe, at most as wide as the terminal on one.
//! There columns go that can be spared, and long texts are cut; lines are never broken.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

/// A text is not cut below this.
const SHORTEST: usize = 12;

/// Characters per line; `None` for as many as it takes.
static WIDTH: OnceLock<Option<usize>> = OnceLock::new();

/// Says once how wide tables may be: as the terminal, or COLUMNS where that is set; `full` for
/// as wide as they are. Without this call they are full.
pub fn fit(full: bool) {
    let columns = || std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let terminal = || {
        let stdout = std::io::stdout();
        let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(stdout)).and_then(Result::ok);
        size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    // the first word counts
    let _ = WIDTH.set(if full { None } else { columns().or_else(terminal) });
}

/// Whether all is shown, however wide or long.
pub fn is_full() -> bool {
    WIDTH.get().copied().flatten().is_none()
}

/// A table before it is known how wide it may be.
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
}

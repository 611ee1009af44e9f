//! Text on its way to a terminal. Names come from users: what a terminal would obey, or what
//! would show a line in another order than it has, is taken out.

use crate::opennebula::message::{safe, safe_json};
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use std::fmt::Write;
use std::sync::OnceLock;

/// Whether lines are coloured.
static COLOURS: OnceLock<bool> = OnceLock::new();

/// Says once that lines may be coloured: where standard output is a terminal that shows colours, and NO_COLOR
/// does not forbid it. Without this call they are plain.
pub fn colours() {
    let _ = COLOURS.set(AutoStream::choice(&std::io::stdout()) != ColorChoice::Never);
}

/// Lines, each safe.
pub fn lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(safe).collect();
    let coloured = COLOURS.get().copied().unwrap_or(false);
    let mut shown = String::with_capacity(text.len());
    for (number, line) in lines.iter().enumerate() {
        let is_header = lines.get(number + 1).is_some_and(|next| next.starts_with("|-"));
        let style = if coloured { style(line, is_header) } else { Style::new() };
        // writing to a String cannot fail
        let _ = writeln!(shown, "{style}{line}{style:#}");
    }
    shown
}

/// How a line looks: what is wrong red, what waits or is doubtful yellow, what is well green.
fn style(line: &str, is_header: bool) -> Style {
    let of = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    let has = |part: &str| line.contains(part);
    let of_vm = line.starts_with("VM ") || line.starts_with("host ");
    match line {
        _ if is_header => Style::new().bold(),
        _ if line.starts_with("ERROR ") || line.starts_with("differs: ") => of(AnsiColor::Red),
        _ if of_vm && (has(" cannot leave: ") || has(" cannot be emptied: ")) => of(AnsiColor::Red),
        _ if line.starts_with("WARNING ") || line.starts_with("note: ") => of(AnsiColor::Yellow),
        _ if of_vm && (has(" waits: ") || has(" wait: each ")) => of(AnsiColor::Yellow),
        _ if line.starts_with("ok  ") => of(AnsiColor::Green),
        _ => Style::new(),
    }
}

/// A JSON document with the same meaning.
pub fn json(text: &str) -> String {
    safe_json(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opennebula::message::is_obeyed;

    #[test]
    fn what_is_wrong_stands_out() {
        let red = Some(AnsiColor::Red.into());
        for line in
            ["ERROR    wrappers: gone", "VM 3 db cannot leave: it is pinned", "host 4 cannot be emptied: 1 of 2"]
        {
            assert_eq!(style(line, false).get_fg_color(), red, "{line}");
        }
        assert_ne!(style("VM 7 web waits: it needs 9 cores", false), Style::new());
        assert_eq!(style("VM 7 web goes to host 3", false), Style::new());
        assert_eq!(style("| host | name |", true), Style::new().bold());
    }

    #[test]
    fn nothing_is_obeyed_and_json_means_the_same() {
        let name = "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}b\u{2028}\u{feff}ü";
        assert_eq!(lines(&format!("x {name}\ny")), "x a [31m 2J  b  ü\ny\n");
        let document = format!("{}\n", serde_json::json!({ "name": name }));
        let shown = json(&document);
        assert!(!shown.trim_end().chars().any(is_obeyed), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(read["name"], name);
    }
}

//! Lines for stderr in the form that oned's driver understands:
//! `LEVEL: [VM id] text`, where the id files the text under that VM.

use crate::model::ids::VmId;
use std::fmt::Write;

/// What SCHED_MESSAGE shows of a text; the rest is cut by oned.
pub const MAX_TEXT: usize = 150;

/// A general line is cut here: no log is served by more.
const MAX_GENERAL: usize = 400;

/// A text as SCHED_MESSAGE shows it: one line, no longer than users get to see.
#[must_use]
pub fn shown(text: &str) -> String {
    // oned's templates have no way to write every quote and backslash
    let plain = safe(text).replace('\\', "/").replace('"', "'");
    shortened(&plain)
}

/// A line about one VM. The text is cut to what users get to see.
#[must_use]
pub fn about_vm(level: &str, vm: VmId, text: &str) -> String {
    format!("{level}: {vm} {}", shortened(&safe(text)))
}

/// A general line. It must not begin with a digit: oned would take that for a VM id.
#[must_use]
pub fn general(level: &str, text: &str) -> String {
    let text: String = safe(text).chars().take(MAX_GENERAL).collect();
    let guard = if text.trim_start().starts_with(|c: char| c.is_ascii_digit()) { "request: " } else { "" };
    format!("{level}: {guard}{text}")
}

/// Whether a terminal obeys a character instead of showing it: controls, and marks that show
/// text in another order or not at all.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    let marks = ['\u{61c}', '\u{feff}'];
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || marks.contains(&c)
}

/// A text without what oned loses a message over (control characters and `]]>`), and without
/// what a terminal would obey.
pub fn safe(text: &str) -> String {
    let flat: String = text.chars().map(|c| if is_obeyed(c) { ' ' } else { c }).collect();
    if flat.contains("]]>") { flat.replace("]]>", "]] >") } else { flat }
}

/// A JSON document with the same meaning, without what a terminal would obey: logs and answers are looked at in
/// terminals too.
#[must_use]
pub fn safe_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // outside of texts JSON has none but ends of lines; writing to a String cannot fail
        if c != '\n' && is_obeyed(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// At most [`MAX_TEXT`] characters, cut at a word where one ends near.
fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT {
        return text.to_owned();
    }
    let cut: String = text.chars().take(MAX_TEXT - 3).collect();
    let end = cut.rfind(' ').filter(|end| *end > cut.len() / 2).unwrap_or(cut.len());
    format!("{}...", cut[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_form_that_oned_reads() {
        assert_eq!(about_vm("ERROR", VmId(12), "no room"), "ERROR: 12 no room");
        assert_eq!(general("INFO", "all placed"), "INFO: all placed");
        assert_eq!(general("INFO", "3 VMs placed"), "INFO: request: 3 VMs placed");
        assert_eq!(general("WARN", " 3 VMs"), "WARN: request:  3 VMs");
    }

    #[test]
    fn nothing_loses_a_message() {
        let line = about_vm("ERROR", VmId(1), "a\nb\u{1b}[31mc]]>d");
        assert_eq!(line, "ERROR: 1 a b [31mc]] >d");
        let long = about_vm("ERROR", VmId(1), &"wörter ".repeat(60));
        let text = long.strip_prefix("ERROR: 1 ").expect("prefix");
        assert!(text.chars().count() <= MAX_TEXT && text.ends_with("..."), "{text}");
    }

    #[test]
    fn a_text_is_cut_at_a_word_that_ends_near() {
        let (full, long) = ("x".repeat(MAX_TEXT), "x".repeat(MAX_TEXT + 1));
        assert_eq!((shortened(&full), shortened(&long)), (full, format!("{}...", "x".repeat(147))));
        let word = |at: usize| format!("{} {}", "x".repeat(at), "y".repeat(200));
        assert_eq!(shortened(&word(100)), format!("{}...", "x".repeat(100)));
        // in the first half it is not near
        assert_eq!(shortened(&word(74)), format!("{}...", "x".repeat(74)));
        assert_eq!(shortened(&word(73)), format!("{} {}...", "x".repeat(73), "y".repeat(73)));
        assert_eq!(general("INFO", &"z".repeat(401)), format!("INFO: {}", "z".repeat(400)));
        assert_eq!(shown("a \"b\" \\ c\nd"), "a 'b' / c d");
    }

    #[test]
    fn what_a_terminal_obeys_is_told_in_another_way() {
        for c in [
            '\n', '\u{1b}', '\u{7f}', '\u{61c}', '\u{feff}', '\u{200b}', '\u{200f}', '\u{2028}', '\u{202e}',
            '\u{2060}', '\u{206f}',
        ] {
            assert!(is_obeyed(c), "{c:?}");
        }
        for c in ['a', ' ', 'é', '\u{200a}', '\u{2010}', '\u{2027}', '\u{202f}', '\u{2070}'] {
            assert!(!is_obeyed(c), "{c:?}");
        }
        assert_eq!(safe_json("{\n\"a\": \"\u{202e}é\t\"}"), "{\n\"a\": \"\\u202eé\\u0009\"}");
        assert_eq!((safe("]]>]] >"), safe("a]>")), ("]] >]] >".to_owned(), "a]>".to_owned()));
    }
}

//! Text on its way to a terminal. Names come from users: what a terminal would obey, or what
//! would show a line in another order than it has, is taken out.

use crate::opennebula::message::{safe, safe_json};

/// Lines, each safe.
pub fn lines(text: &str) -> String {
    text.lines().map(|line| safe(line) + "\n").collect()
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

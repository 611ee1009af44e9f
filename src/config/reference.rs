//! The keys as documents: a reference for readers and a man page. Only formatting; what
//! the keys mean is told in [`super::keys`].

use super::keys::{Key, all};
use std::fmt::Write;

/// The section that a key is told in: what stands before its dot.
fn section(key: &Key) -> &'static str {
    key.name.split_once('.').map_or("general", |(section, _)| section)
}

/// All keys in Markdown: a table to look at, then section by section what each means.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Configuration of oneaio\n\n\
         `/etc/one/schedulers/oneaio.conf`, YAML. Nothing has to be set. `--set key=value` on the command\n\
         line goes over the file. A key `a.b` stands as `b` indented below `a:`, or as `a.b:`. `oneaio config`\n\
         prints the file, `oneaio config --effective` what counts and from where.\n\n\
         Made by `oneaio config --reference`.\n\n\
         | key | default | meaning |\n|---|---|---|\n",
    );
    for key in all() {
        let _ = writeln!(text, "| `{}` | {} | {} |", key.name, key.default, in_a_cell(first_sentence(&meaning(key))));
    }
    let mut sections: Vec<&str> = Vec::new();
    for key in all() {
        if !sections.contains(&section(key)) {
            sections.push(section(key));
        }
    }
    for own in sections {
        let _ = write!(text, "\n## {own}\n");
        for key in all().filter(|key| section(key) == own) {
            let _ = write!(text, "\n### `{}`\n\n{}\n\nDefault: `{}`\n", key.name, meaning(key), key.default);
        }
    }
    text
}

/// Up to the first full stop outside of brackets.
fn first_sentence(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '.' if depth == 0 && text[at + 1..].starts_with(' ') => return &text[..at],
            _ => {}
        }
    }
    text.trim_end_matches('.')
}

/// A bar would end the cell.
fn in_a_cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// oneaio.conf(5), in roff.
#[must_use]
pub fn man_page() -> String {
    let mut text = String::from(
        ".TH oneaio.conf 5 \"\" \"\" \"oneaio\"\n.SH NAME\noneaio.conf \\- configuration of the oneaio scheduler\n\
         .SH SYNOPSIS\n/etc/one/schedulers/oneaio.conf\n.SH DESCRIPTION\nYAML; every key has a default. A key a.b stands as b \
         indented below a:. Unknown keys and impossible values are refused with their line and what would do.\n.SH KEYS\n",
    );
    for key in all() {
        let _ = write!(
            text,
            ".TP\n.B {}\n{} Default: {}\n",
            escaped(key.name),
            escaped(&meaning(key)),
            escaped(key.default)
        );
    }
    text.push_str(".SH SEE ALSO\noneaio(1), oneaio-config(1), oneaio-check(1)\n");
    text
}

fn meaning(key: &Key) -> String {
    key.help.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    // a line that begins with a dot or quote would be a command
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_both_documents() {
        let (markdown, page) = (markdown(), man_page());
        for key in all() {
            assert!(markdown.contains(&format!("### `{}`", key.name)), "{}", key.name);
            assert!(page.contains(&format!(".B {}\n", escaped(key.name))), "{}", key.name);
        }
        assert!(
            !page.lines().any(|line| line.starts_with('.')
                && !line.starts_with(".TP")
                && !line.starts_with(".B ")
                && !line.starts_with(".SH")
                && !line.starts_with(".TH")),
            "{page}"
        );
    }

    #[test]
    fn a_first_sentence_ends_at_a_stop_outside_of_brackets() {
        for (text, expected) in [
            ("One. Two.", "One"),
            ("One (e. g. two). Three.", "One (e. g. two)"),
            ("A path a.b is one.", "A path a.b is one"),
            (") A bracket too many. More.", ") A bracket too many"),
            ("((a. b) c. d) e. f", "((a. b) c. d) e"),
            ("None", "None"),
        ] {
            assert_eq!(first_sentence(text), expected);
        }
        assert_eq!(in_a_cell("a|b"), "a\\|b");
        assert_eq!(
            (escaped(".a-b"), escaped("'a"), escaped("a\\b.")),
            ("\\&.a\\-b".to_owned(), "\\&'a".to_owned(), "a\\eb.".to_owned())
        );
    }

    #[test]
    fn keys_are_told_by_section_with_what_they_mean() {
        let key = all().find(|key| key.name == "log").unwrap();
        assert_eq!(section(key), "general");
        assert_eq!(section(all().find(|key| key.name == "history.store").unwrap()), "history");
        let text = markdown();
        let row = format!("\n| `log` | {} | {} |\n", key.default, first_sentence(&meaning(key)));
        assert!(text.contains(&row), "{row}");
        let told = format!("\n### `log`\n\n{}\n\nDefault: `{}`\n", meaning(key), key.default);
        assert!(text.contains(&told), "{told}");
        assert!(!meaning(key).contains('\n') && !meaning(key).contains("  "), "{}", meaning(key));
        // each section once, and each key in its own alone
        let sections: Vec<&str> = text.split("\n## ").skip(1).map(|part| part.lines().next().unwrap()).collect();
        let mut once = sections.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!((once.len(), sections[0]), (sections.len(), "general"));
        assert_eq!(text.matches("\n### `").count(), all().count());
        let history = text.split("\n## history\n").nth(1).unwrap().split("\n## ").next().unwrap();
        assert!(history.matches("\n### `").count() == history.matches("\n### `history.").count());
        let page = man_page();
        let told = format!(".TP\n.B log\n{} Default: {}\n", escaped(&meaning(key)), escaped(key.default));
        assert!(page.contains(&told) && page.ends_with(".SH SEE ALSO\noneaio(1), oneaio-config(1), oneaio-check(1)\n"));
    }
}

//! YAML to (dotted key, text, line): `weights: {cpu: 1}` is `weights.cpu`, `1`.

use marked_yaml::loader::{LoadError, LoaderOptions, parse_yaml_with_options};
use marked_yaml::types::{MarkedMappingNode, Node};

/// One value of the file.
pub struct Entry {
    /// Dotted.
    pub key: String,
    /// As written.
    pub value: String,
    /// Counted from 1.
    pub line: usize,
}

/// Why a text cannot be read as a whole.
pub struct Unreadable {
    /// Counted from 1, where known.
    pub line: Option<usize>,
    /// In words.
    pub text: String,
}

/// All values, in the order of the file.
pub fn entries(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let text = text.trim_start_matches('\u{feff}');
    let separators = text.lines().enumerate().filter(|(_, line)| line.trim_end() == "---");
    let begun = text.lines().map(str::trim).position(|line| !(line.is_empty() || line.starts_with('#')));
    if let Some((line, _)) = separators.into_iter().find(|(line, _)| begun.is_some_and(|begun| *line > begun)) {
        let text = "a second document begins here; one file holds one document".to_owned();
        return Err(Unreadable { line: Some(line + 1), text });
    }
    let says_something = |line: &str| {
        let line = line.trim();
        !(line.is_empty() || line.starts_with('#') || line == "---")
    };
    if !text.lines().any(says_something) {
        return Ok(Vec::new());
    }
    let options = LoaderOptions::default().error_on_duplicate_keys(true);
    let node = parse_yaml_with_options(0, text, options).map_err(|error| unreadable(&error))?;
    let mut entries = Vec::new();
    match &node {
        Node::Mapping(mapping) => collect("", mapping, &mut entries),
        _ => return Err(Unreadable { line: None, text: "it must be lines of the form key: value".to_owned() }),
    }
    Ok(entries)
}

fn collect(prefix: &str, mapping: &MarkedMappingNode, entries: &mut Vec<Entry>) {
    for (key, node) in mapping.iter() {
        let name = if prefix.is_empty() { key.as_str().to_owned() } else { format!("{prefix}.{}", key.as_str()) };
        let line = key.span().start().map_or(0, marked_yaml::Marker::line);
        match node {
            Node::Mapping(inner) if inner.is_empty() => entries.push(Entry { key: name, value: "{}".to_owned(), line }),
            Node::Mapping(inner) => collect(&name, inner, entries),
            Node::Scalar(scalar) => entries.push(Entry { key: name, value: scalar.as_str().to_owned(), line }),
            Node::Sequence(_) => entries.push(Entry { key: name, value: "[a list]".to_owned(), line }),
        }
    }
}

fn unreadable(error: &LoadError) -> Unreadable {
    let line = match error {
        LoadError::TopLevelMustBeMapping(marker)
        | LoadError::TopLevelMustBeSequence(marker)
        | LoadError::UnexpectedAnchor(marker)
        | LoadError::MappingKeyMustBeScalar(marker)
        | LoadError::UnexpectedTag(marker)
        | LoadError::ScanError(marker, _) => Some(marker.line()),
        LoadError::DuplicateKey(inner) => inner.key.span().start().map(marked_yaml::Marker::line),
    };
    let text = match error {
        LoadError::DuplicateKey(inner) => format!("{} is given twice", inner.key.as_str()),
        LoadError::TopLevelMustBeMapping(_) => "it must be lines of the form key: value".to_owned(),
        LoadError::UnexpectedAnchor(_) => "anchors and aliases are not supported".to_owned(),
        LoadError::UnexpectedTag(_) => "tags are not supported".to_owned(),
        other => format!("it is not YAML ({other})"),
    };
    Unreadable { line, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys, values and lines.
    type Read = Vec<(String, String, usize)>;

    fn read(text: &str) -> Result<Read, (Option<usize>, String)> {
        let all = entries(text).map_err(|problem| (problem.line, problem.text))?;
        Ok(all.into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect())
    }

    #[test]
    fn values_are_told_with_their_dotted_key_and_line() {
        let one = |key: &str, value: &str, line| (key.to_owned(), value.to_owned(), line);
        let text = "\u{feff}# first\n---\nb: 2\na:\n  c: x y\n  d: {}\n  e: [1, 2]\nf.g: \"1\"\n";
        let expected = vec![
            one("b", "2", 3),
            one("a.c", "x y", 5),
            one("a.d", "{}", 6),
            one("a.e", "[a list]", 7),
            one("f.g", "1", 8),
        ];
        assert_eq!(read(text), Ok(expected));
        for nothing in ["", "\n\n", "# a: 1\n", "---\n", "  \n  # x\n---\n"] {
            assert_eq!(read(nothing), Ok(vec![]), "{nothing:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let second = || "a second document begins here; one file holds one document".to_owned();
        assert_eq!(read("a: 1\n---\nb: 2\n"), Err((Some(2), second())));
        assert_eq!(read("---\na: 1\n--- \n"), Err((Some(3), second())));
        // a blank or a comment before the first line is nothing yet
        assert!(read("\n# x\n---\na: 1\n").is_ok());
        assert_eq!(read("a: 1\nb:\n  c: 1\n  c: 2\n"), Err((Some(4), "c is given twice".to_owned())));
        assert_eq!(read("just text"), Err((Some(1), "it must be lines of the form key: value".to_owned())));
        assert_eq!(read("a: &x 1\n"), Err((Some(1), "anchors and aliases are not supported".to_owned())));
        assert_eq!(read("a: !b 1\n"), Err((Some(1), "tags are not supported".to_owned())));
        let (line, text) = read("a: [\n").unwrap_err();
        assert!(line.is_some() && text.starts_with("it is not YAML ("), "{text}");
    }
}

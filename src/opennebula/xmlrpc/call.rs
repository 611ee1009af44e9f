//! The methodCall document.

use std::fmt::Write;

/// One argument.
#[derive(Clone, Copy)]
pub enum Param<'a> {
    /// string.
    Text(&'a str),
    /// i4.
    Integer(i32),
    /// boolean.
    Boolean(bool),
}

/// The document that calls `method`.
#[must_use]
pub fn call(method: &str, params: &[Param<'_>]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodCall><methodName>");
    escape(&mut xml, method);
    xml.push_str("</methodName><params>");
    for param in params {
        xml.push_str("<param><value>");
        value(&mut xml, *param);
        xml.push_str("</value></param>");
    }
    xml.push_str("</params></methodCall>\n");
    xml
}

fn value(xml: &mut String, param: Param<'_>) {
    match param {
        Param::Text(text) => {
            xml.push_str("<string>");
            escape(xml, text);
            xml.push_str("</string>");
        }
        // writing to a String cannot fail
        Param::Integer(number) => drop(write!(xml, "<i4>{number}</i4>")),
        Param::Boolean(yes) => drop(write!(xml, "<boolean>{}</boolean>", u8::from(yes))),
    }
}

/// Text as XML text. A bare CR would be read as LF, so it goes as a reference.
fn escape(xml: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\r' => xml.push_str("&#13;"),
            other => xml.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_hold_their_arguments_escaped() {
        let params = [Param::Text("one:a<b>&\"c\"\r\u{10d}"), Param::Integer(-2), Param::Boolean(true)];
        let xml = call("one.vm.info", &params);
        assert!(xml.contains("<methodName>one.vm.info</methodName>"));
        assert!(xml.contains("<value><string>one:a&lt;b&gt;&amp;\"c\"&#13;\u{10d}</string></value>"));
        assert!(xml.contains("<value><i4>-2</i4></value>"));
        assert!(xml.contains("<value><boolean>1</boolean></value>"));
        assert!(call("m", &[]).contains("<params></params>"));
    }
}

//! Answers by hand: whole, refused, cut at every byte, and none at all.

use super::*;
use std::io::BufReader;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n\
                    <param><value><array><data>\r\n";
const TAIL: &str = "</data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n";

fn success(payload: &str) -> String {
    let value = format!("<value><boolean>1</boolean></value>\r\n<value><string>{payload}</string></value>\r\n");
    format!("{HEAD}{value}<value><i4>0</i4></value>\r\n{TAIL}")
}

fn refusal(code: i32, text: &str) -> String {
    let value = format!("<value><boolean>0</boolean></value>\r\n<value><string>{text}</string></value>\r\n");
    format!("{HEAD}{value}<value><i4>{code}</i4></value>\r\n<value><i4>-1</i4></value><value><i8>-1</i8></value>{TAIL}")
}

fn read(document: &str, buffer: usize) -> Result<String, AnswerError> {
    let mut answer = Answer::open(BufReader::with_capacity(buffer, document.as_bytes()))?;
    let mut payload = String::new();
    let told = answer.read_to_string(&mut payload);
    let end = answer.finish();
    assert_eq!(told.is_ok(), end.is_ok(), "the reader and finish() agree");
    end.map(|()| payload)
}

#[test]
fn payloads_come_unescaped_in_buffers_of_any_size() {
    let document = success("&lt;A&gt;&amp;lt; &quot;\u{10d}&apos;&#13;\r\nx&lt;/A&gt;");
    for buffer in (1..50).chain([8192]) {
        assert_eq!(read(&document, buffer).expect("whole"), "<A>&lt; \"\u{10d}'\r\nx</A>", "buffer of {buffer}");
    }
    assert_eq!(read(&success(""), 64).expect("whole"), "");
    let short = success("").replace("<string></string>", "<string/>");
    assert_eq!(read(&short, 64).expect("whole"), "");
    let commented = success("7").replace("<data>", "<data><!-- > -->");
    assert_eq!(read(&commented, 64).expect("whole"), "7");
}

#[test]
fn refusals_keep_code_and_text_and_say_what_to_do() {
    let error = read(&refusal(256, "[one.x] User couldn't be\r\nauthenticated &amp; so on."), 64).expect_err("refused");
    let text = "oned refuses (256): [one.x] User couldn't be authenticated & so on; check ONE_AUTH: \
                its file must hold user:password of a user of this cloud";
    assert_eq!(error.to_string(), text);
    for code in [512, 1024, 2048, 4096, 8192, 7] {
        let error = read(&refusal(code, "no"), 64).expect_err("refused");
        assert!(matches!(error, AnswerError::Refused { code: found, .. } if found == code), "{error}");
    }
    let long = read(&refusal(1024, &"x".repeat(1_000_000)), 64).expect_err("refused").to_string();
    assert!(long.len() < 500, "{} bytes", long.len());
}

#[test]
fn faults_are_told_from_refusals() {
    let member = |name: &str, value: &str| format!("<member><name>{name}</name><value>{value}</value></member>\r\n");
    let code = member("faultCode", "<i4>-506</i4>");
    let text = member("faultString", "<string>Method 'x' not defined</string>");
    for members in [format!("{code}{text}"), format!("{text}{code}")] {
        let document =
            format!("<methodResponse><fault><value><struct>{members}</struct></value></fault></methodResponse>");
        let error = read(&document, 64).expect_err("fault").to_string();
        assert!(error.starts_with("oned cannot serve the call (fault -506): Method 'x' not defined; "), "{error}");
    }
}

#[test]
fn an_answer_cut_anywhere_is_never_whole() {
    let document = success("&lt;A&gt;1&lt;/A&gt;");
    let whole = document.trim_end().len();
    for length in 0..whole {
        let error = read(&document[..length], 16).expect_err("cut");
        let known = matches!(error, AnswerError::Cut(at) if at <= length as u64);
        assert!(known, "cut at {length}: {error}");
    }
    assert!(read(&document[..whole], 16).is_ok());
}

#[test]
fn damage_behind_the_beginning_is_a_cut() {
    let document = success("x");
    for (from, to) in [
        ("<string>x", "<string>&nope;"),
        ("x</string>", "x</strong>"),
        ("</params>", "</param>"),
        ("</methodResponse>", "</methodResponse>more"),
        ("</methodResponse>", "</methodResponse><methodResponse/>"),
        ("<i4>0</i4>", "<i4>0<i4>"),
        ("<string>x", "<string>x<b>y</b>"),
    ] {
        let error = read(&document.replace(from, to), 64).expect_err("damaged");
        assert!(matches!(error, AnswerError::Cut(_)), "{to}: {error}");
    }
}

#[test]
fn what_is_no_answer_is_shown() {
    let success = success("x");
    for other in [
        "<!DOCTYPE html>\n<html><body>It works!</body></html>",
        "<html>\u{0}<h1>502 Bad\nGateway</h1></html>",
        "no XML at all <x>",
        "<methodResponse><params>text",
        "<methodResponse><nonsense/></methodResponse>",
        &success.replace("<boolean>1", "<boolean>2"),
        &success.replace("string>", "struct>"),
        &success.replace("<value><boolean>1</boolean></value>", "<value><string>x</string></value>"),
        &format!("<methodResponse>{}", "<params>".repeat(100)),
    ] {
        let error = read(other, 64).expect_err("no answer");
        assert!(matches!(error, AnswerError::NotAnAnswer { .. }), "{other}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

/// Changes are answered with the ID of the object.
#[test]
fn a_payload_may_be_a_number() {
    for kind in ["i4", "int", "i8", "boolean"] {
        let text = read(&success("42").replace("string>", &format!("{kind}>")), 7).expect("an answer");
        assert_eq!(text, "42", "{kind}");
    }
}

#[test]
fn texts_can_be_edited() {
    let mut error = read(&refusal(256, "secret"), 64).expect_err("refused");
    error.edit_texts(|text| text.replace("secret", "***"));
    assert!(error.to_string().contains("***") && !error.to_string().contains("secret"));
}

#[test]
fn no_single_wrong_byte_does_harm() {
    let record = "&lt;MONITORING&gt;&lt;ID&gt;1&lt;/ID&gt;&lt;TIMESTAMP&gt;2&lt;/TIMESTAMP&gt;&lt;/MONITORING&gt;";
    let document = success(&format!("&lt;MONITORING_DATA&gt;{record}&lt;/MONITORING_DATA&gt;"));
    for at in 0..document.len() {
        for wrong in [0, b'<', b'>', b'&', b'/', b'!', b'?', b'\r', b' ', 0xff] {
            let mut bytes = document.clone().into_bytes();
            bytes[at] = wrong;
            let Ok(mut answer) = Answer::open(BufReader::with_capacity(13, bytes.as_slice())) else { continue };
            let mut seen = 0;
            let read = crate::opennebula::monitoring::records(&mut answer, &mut |_| seen += 1);
            assert!(seen <= 1);
            // a reader that saw its end has seen the whole answer
            assert!(read.is_err() || answer.finish().is_ok(), "{wrong} at {at}");
        }
    }
}

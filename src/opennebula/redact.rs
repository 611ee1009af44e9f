//! A request without what users wrote for themselves: passwords and keys stand in CONTEXT,
//! anything at all in USER_TEMPLATE. What decisions rest on stays.

use quick_xml::Reader;
use quick_xml::events::Event;

/// The sections that are emptied.
const PRIVATE: [&str; 2] = ["USER_TEMPLATE", "CONTEXT"];

/// What stays in them, and everything that begins with SCHED_ or ONEAIO_.
const KEPT: [&str; 6] = ["FLAVOURS", "RANK", "REQUIREMENTS", "ONEDRS_BLOCKED", "USER_PRIORITY", "ERROR"];

/// Hands the document without the private values on, piece by piece: it may be large. Whether it was read to its
/// end; where it was not, what was handed on is to be thrown away, so that nothing private is kept by mistake.
#[must_use]
pub fn redacted<'a>(xml: &'a str, take: &mut dyn FnMut(&'a str)) -> bool {
    pieces(xml, take).is_some()
}

fn pieces<'a>(xml: &'a str, take: &mut dyn FnMut(&'a str)) -> Option<()> {
    let mut reader = Reader::from_str(xml);
    let mut open = Vec::<bool>::new();
    let at = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    loop {
        let before = at(&reader);
        let inside = open.last().copied().unwrap_or(false);
        match reader.read_event().ok()? {
            Event::Eof => return open.is_empty().then_some(()),
            Event::Start(start) => {
                if inside && !kept(start.name().as_ref()) {
                    reader.read_to_end(start.to_end().name()).ok()?;
                    continue;
                }
                open.push(!inside && PRIVATE.contains(&start.name().as_ref()));
            }
            Event::Empty(element) if inside && !kept(element.name().as_ref()) => continue,
            Event::End(_) => {
                open.pop();
            }
            Event::Text(_) | Event::CData(_) if inside => continue,
            _ => {}
        }
        take(xml.get(before..at(&reader))?);
    }
}

fn kept(name: &str) -> bool {
    let name = name.to_uppercase();
    name.starts_with("SCHED_") || name.starts_with("ONEAIO_") || KEPT.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(xml: &str) -> Option<String> {
        let mut text = String::new();
        redacted(xml, &mut |piece| text.push_str(piece)).then_some(text)
    }

    #[test]
    fn private_values_go_and_what_decides_stays() {
        let xml = "<?xml version=\"1.0\"?><A><VM><ID>1</ID><TEMPLATE><CPU>1</CPU><CONTEXT><PASSWORD><![CDATA[geheim]]></PASSWORD>\
                   </CONTEXT></TEMPLATE><USER_TEMPLATE><NOTE>geheim</NOTE><E/><SCHED_RANK><![CDATA[FREE_CPU]]></SCHED_RANK>\
                   <Flavours>web</Flavours><N><SCHED_RANK>geheim</SCHED_RANK></N></USER_TEMPLATE></VM></A>";
        let found = whole(xml).expect("reads");
        assert!(!found.contains("geheim"), "{found}");
        for stays in
            ["<ID>1</ID>", "<CPU>1</CPU>", "<SCHED_RANK><![CDATA[FREE_CPU]]></SCHED_RANK>", "<Flavours>web</Flavours>"]
        {
            assert!(found.contains(stays), "{stays}: {found}");
        }
        assert!(found.starts_with("<?xml") && found.ends_with("</A>"), "{found}");
    }

    #[test]
    fn what_is_cut_off_is_not_kept_at_all() {
        for xml in ["<A><USER_TEMPLATE><B>geheim</B>", "<A><USER_TEMPLATE><B>geheim</A>", "<A><CONTEXT>"] {
            assert_eq!(whole(xml), None, "{xml}");
        }
    }

    #[test]
    fn what_comes_after_a_private_part_stays_and_private_parts_within_one_end_with_it() {
        let xml = "<A><VM><USER_TEMPLATE><CONTEXT><B>geheim</B></CONTEXT><USER_TEMPLATE><C>geheim</C></USER_TEMPLATE>\
                   <D>geheim</D></USER_TEMPLATE><ID>1</ID><CPU>2</CPU></VM><VM><CONTEXT>geheim</CONTEXT><ID>3</ID></VM></A>";
        let found = whole(xml).expect("reads");
        assert!(!found.contains("geheim"), "{found}");
        for stays in ["<ID>1</ID><CPU>2</CPU></VM>", "<ID>3</ID></VM></A>"] {
            assert!(found.contains(stays), "{stays}: {found}");
        }
    }

    fn kept_of(xml: &str) -> Option<String> {
        let mut text = String::new();
        redacted(xml, &mut |piece| text.push_str(piece)).then_some(text)
    }

    #[test]
    fn private_sections_are_emptied_but_for_what_decides() {
        let xml = "<VM><ID>3</ID><!-- x --><TEMPLATE><CPU>1</CPU><CONTEXT><KEY>secret</KEY>text<A/><B><![CDATA[c]]></B></CONTEXT></TEMPLATE>\
                   <USER_TEMPLATE><SCHED_RANK>r</SCHED_RANK><oneaio_X>y</oneaio_X><FLAVOURS>web</FLAVOURS><MINE><SCHED_Y>z</SCHED_Y></MINE>\
                   <sched_e/><ERROR><![CDATA[no]]></ERROR></USER_TEMPLATE></VM>";
        let expected = "<VM><ID>3</ID><!-- x --><TEMPLATE><CPU>1</CPU><CONTEXT></CONTEXT></TEMPLATE>\
                        <USER_TEMPLATE><SCHED_RANK>r</SCHED_RANK><oneaio_X>y</oneaio_X><FLAVOURS>web</FLAVOURS>\
                        <sched_e/><ERROR><![CDATA[no]]></ERROR></USER_TEMPLATE></VM>";
        assert_eq!(kept_of(xml).as_deref(), Some(expected));
        for name in ["SCHED_", "ONEAIO_A", "rank", "REQUIREMENTS", "ONEDRS_BLOCKED", "USER_PRIORITY"] {
            assert!(kept(name), "{name}");
        }
        assert!(!kept("PASSWORD") && !kept("MY_SCHED_") && !kept("RANKS"));
    }

    #[test]
    fn what_cannot_be_read_to_its_end_is_not_kept() {
        for xml in ["<VM>", "<VM><CONTEXT>", "<VM></TEMPLATE>", "<VM><USER_TEMPLATE><A></VM>", "<VM"] {
            assert_eq!(kept_of(xml), None, "{xml}");
        }
        assert_eq!(kept_of("<VM/>").as_deref(), Some("<VM/>"));
    }
}

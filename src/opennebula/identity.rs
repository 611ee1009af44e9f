//! VM_POOL as `one.vmpool.infoextended` answers it: who the VMs are, for finding
//! relatives. One VM at a time is held.

use super::elements::{Elements, PayloadError};
use super::number;
use super::vector::Vector;
use super::vm::First;
use super::xml::{Walker, XmlError};
use crate::model::ids::VmId;
use crate::model::sample::VmIdentity;
use std::io::BufRead;

/// What a page held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// VMs, those passed over included.
    pub vms: usize,
    /// VMs that cannot be read, have no ID or are longer than 1 MiB.
    pub skipped: usize,
}

/// Takes one VM: its id, who it is, and STATE as OpenNebula numbers it (3 ACTIVE,
/// 6 DONE, ...; -1 when it cannot be read).
pub type Visit<'a> = dyn FnMut(VmId, VmIdentity, i32) + 'a;

/// Hands every VM of the page to `visit`.
///
/// # Errors
/// When the document as a whole is another one or does not end.
pub fn identities(payload: impl BufRead, visit: &mut Visit<'_>) -> Result<Page, PayloadError> {
    let mut elements = Elements::open(payload, "VM_POOL")?;
    let mut page = Page::default();
    while let Some(element) = elements.child()? {
        if element.name != "VM" {
            continue;
        }
        page.vms += 1;
        match element.xml.as_deref().and_then(vm) {
            Some((id, identity, state)) => visit(id, identity, state),
            None => page.skipped += 1,
        }
    }
    Ok(page)
}

fn vm(xml: &str) -> Option<(VmId, VmIdentity, i32)> {
    let mut raw = Raw::default();
    raw.read(xml).ok()?;
    let id = number::id(raw.id.text())?;
    let state = number::id(raw.state.text()).unwrap_or(-1);
    Some((VmId(id), raw.identity(), state))
}

#[derive(Default)]
struct Raw {
    id: First,
    name: First,
    owner: First,
    state: First,
    flavours: First,
    template: First,
    cpu: First,
    memory: First,
    image: Option<i32>,
}

impl Raw {
    fn read(&mut self, xml: &str) -> Result<(), XmlError> {
        let (mut walker, _) = Walker::open(xml)?;
        walker.children(|w, tag| match tag {
            "ID" => self.id.fill(w),
            "NAME" => self.name.fill(w),
            "UID" => self.owner.fill(w),
            "STATE" => self.state.fill(w),
            "TEMPLATE" => self.template(w),
            "USER_TEMPLATE" => w.children(|w, tag| match tag {
                tag if tag.eq_ignore_ascii_case("FLAVOURS") => self.flavours.fill(w),
                _ => w.skip(),
            }),
            _ => w.skip(),
        })?;
        walker.finish()
    }

    fn template(&mut self, walker: &mut Walker<'_>) -> Result<(), XmlError> {
        walker.children(|w, tag| match tag {
            "TEMPLATE_ID" => self.template.fill(w),
            "CPU" => self.cpu.fill(w),
            "MEMORY" => self.memory.fill(w),
            "DISK" => {
                let image = number::id(Vector::read(w)?.get("IMAGE_ID"));
                self.image = self.image.or(image);
                Ok(())
            }
            _ => w.skip(),
        })
    }

    fn identity(self) -> VmIdentity {
        let cores = number::real(self.cpu.text()).unwrap_or(0.0).max(0.0);
        VmIdentity {
            name: self.name.text().to_owned(),
            flavours: self.flavours.text().to_owned(),
            template: number::id(self.template.text()),
            image: self.image,
            owner: number::id(self.owner.text()),
            // in single precision and cut off, as oned reckons and as requests are read
            cpu: (cores as f32 * 100.0) as i64,
            memory: number::integer(self.memory.text()).unwrap_or(0).max(0).saturating_mul(1024),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vms: &str) -> (Vec<(VmId, VmIdentity, i32)>, Page) {
        let xml = format!("<VM_POOL>{vms}</VM_POOL>");
        let mut found = Vec::new();
        let page = identities(xml.as_bytes(), &mut |id, identity, state| found.push((id, identity, state)));
        (found, page.expect("reads"))
    }

    #[test]
    fn identities_hold_what_tells_relatives() {
        let (found, page) = read(
            "<VM><ID>7</ID><UID>2</UID><NAME>web &amp; co</NAME><STATE>3</STATE><TEMPLATE><CPU><![CDATA[0.1]]></CPU>\
             <DISK><SIZE>1</SIZE></DISK><DISK><IMAGE_ID>5</IMAGE_ID></DISK><DISK><IMAGE_ID>6</IMAGE_ID></DISK>\
             <MEMORY>256</MEMORY><TEMPLATE_ID>4</TEMPLATE_ID></TEMPLATE><USER_TEMPLATE><VM>x</VM><VM_POOL>y</VM_POOL>\
             <Flavours><![CDATA[ nginx, Web ]]></Flavours><FLAVOURS>other</FLAVOURS></USER_TEMPLATE></VM>",
        );
        let identity = VmIdentity {
            name: "web & co".to_owned(),
            flavours: "nginx, Web".to_owned(),
            template: Some(4),
            image: Some(5),
            owner: Some(2),
            cpu: 10,
            memory: 262_144,
        };
        assert_eq!(found, [(VmId(7), identity, 3)]);
        assert_eq!(page, Page { vms: 1, skipped: 0 });
    }

    #[test]
    fn odd_vms_say_little_or_are_passed_over() {
        let (found, page) = read(
            "<VM><ID>1</ID><TEMPLATE><CPU>-1</CPU><MEMORY>x</MEMORY></TEMPLATE></VM><VM><ID>x</ID></VM>\
             <VM><ID>2</NAME></VM><VM/>",
        );
        assert_eq!(found, [(VmId(1), VmIdentity::default(), -1)]);
        assert_eq!(page, Page { vms: 4, skipped: 3 });
    }
}

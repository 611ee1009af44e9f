//! HOST_POOL, CLUSTER_POOL and VM_POOL as `one.hostpool.info`, `one.clusterpool.info` and
//! `one.vmpool.infoextended` answer them, one object at a time. What cannot be read is
//! passed over and counted.

use super::elements::{Elements, PayloadError};
use super::xml::{Walker, XmlError};
use super::{host, number, vm};
use crate::model::ids::ClusterId;
use crate::model::snapshot::{Host, Vm};
use std::io::BufRead;

/// Attributes of a cluster, by name.
pub type ClusterTemplate = Vec<(String, String)>;

/// Hands every host to `visit`; how many were passed over.
///
/// # Errors
/// When the document as a whole is another one or does not end.
pub fn hosts(payload: impl BufRead, visit: &mut dyn FnMut(Host)) -> Result<usize, PayloadError> {
    each(payload, ("HOST_POOL", "HOST"), |xml| {
        let (mut walker, _) = Walker::open(xml).ok()?;
        let (id, host, odd) = host::read(&mut walker).ok()?;
        (id.is_some() && odd.fatal.is_none()).then(|| visit(host))
    })
}

/// Hands every VM to `visit`; how many were passed over.
///
/// # Errors
/// As [`hosts`].
pub fn vms(payload: impl BufRead, visit: &mut dyn FnMut(Vm)) -> Result<usize, PayloadError> {
    each(payload, ("VM_POOL", "VM"), |xml| {
        let (mut walker, _) = Walker::open(xml).ok()?;
        let (id, vm, odd) = vm::read(&mut walker).ok()?;
        (id.is_some() && odd.fatal.is_none()).then(|| visit(vm))
    })
}

/// Hands every cluster to `visit`; how many were passed over.
///
/// # Errors
/// As [`hosts`].
pub fn clusters(
    payload: impl BufRead,
    visit: &mut dyn FnMut(ClusterId, ClusterTemplate),
) -> Result<usize, PayloadError> {
    each(payload, ("CLUSTER_POOL", "CLUSTER"), |xml| {
        let (id, template) = cluster(xml).ok()?;
        id.map(|id| visit(ClusterId(id), template))
    })
}

/// Hands ID and NAME of every cluster of a `one.clusterpool.info` payload to `visit`.
///
/// # Errors
/// As [`hosts`].
pub fn cluster_names(payload: impl BufRead, visit: &mut dyn FnMut(ClusterId, &str)) -> Result<usize, PayloadError> {
    each(payload, ("CLUSTER_POOL", "CLUSTER"), |xml| {
        let (id, name) = named(xml).ok()?;
        id.map(|id| visit(ClusterId(id), &name))
    })
}

fn named(xml: &str) -> Result<(Option<i32>, String), XmlError> {
    let (mut walker, _) = Walker::open(xml)?;
    let (mut id, mut name) = (None, String::new());
    walker.children(|w, tag| {
        match tag {
            "ID" => id = number::id(&w.text()?),
            "NAME" => name = w.text()?.into_owned(),
            _ => w.skip()?,
        }
        Ok(())
    })?;
    Ok((id, name))
}

fn cluster(xml: &str) -> Result<(Option<i32>, ClusterTemplate), XmlError> {
    let (mut walker, _) = Walker::open(xml)?;
    let (mut id, mut template) = (None, Vec::new());
    walker.children(|w, tag| match tag {
        "ID" => {
            id = number::id(&w.text()?);
            Ok(())
        }
        "TEMPLATE" => w.children(|w, name| {
            let name = name.to_owned();
            template.push((name, w.text()?.into_owned()));
            Ok(())
        }),
        _ => w.skip(),
    })?;
    Ok((id, template))
}

/// Reads the children of that name; how many could not be.
fn each(
    payload: impl BufRead,
    (root, name): (&'static str, &str),
    mut read: impl FnMut(&str) -> Option<()>,
) -> Result<usize, PayloadError> {
    let mut elements = Elements::open(payload, root)?;
    let mut skipped = 0;
    while let Some(element) = elements.child()? {
        if element.name == name && element.xml.as_deref().and_then(&mut read).is_none() {
            skipped += 1;
        }
    }
    Ok(skipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Section;

    #[test]
    fn pools_are_read_and_broken_objects_passed_over() {
        let pool = "<HOST_POOL><HOST><ID>4</ID><NAME>a</NAME><HOST_SHARE><MAX_CPU>800</MAX_CPU><CPU_USAGE>100</CPU_USAGE>\
                    <MAX_MEM>1000</MAX_MEM></HOST_SHARE><VMS><ID>9</ID></VMS><TEMPLATE><ENERGY_RENEWABLE>YES</ENERGY_RENEWABLE>\
                    </TEMPLATE></HOST><HOST><ID>x</ID></HOST><HOST><ID>5</NAME></HOST></HOST_POOL>";
        let mut found = Vec::new();
        assert_eq!(hosts(pool.as_bytes(), &mut |host| found.push(host)).expect("reads"), 2);
        assert_eq!((found[0].cpu.0, found[0].cpu_allocated.0, found[0].vms.len()), (800, 100, 1));
        assert_eq!(found[0].attributes.first_in(Section::Template, "ENERGY_RENEWABLE"), Some("YES"));

        let pool = "<VM_POOL><VM><ID>7</ID><STATE>1</STATE><TEMPLATE><CPU>2</CPU><MEMORY>1</MEMORY></TEMPLATE><USER_TEMPLATE>\
                    <FLAVOURS>web</FLAVOURS></USER_TEMPLATE></VM><VM/></VM_POOL>";
        let mut found = Vec::new();
        assert_eq!(vms(pool.as_bytes(), &mut |vm| found.push((vm.cpu.0, vm.identity.flavours))).expect("reads"), 1);
        assert_eq!(found, [(200, "web".to_owned())]);

        let pool =
            "<CLUSTER_POOL><CLUSTER><ID>3</ID><TEMPLATE><A>1</A><B><C>2</C></B></TEMPLATE></CLUSTER></CLUSTER_POOL>";
        let mut found = Vec::new();
        assert_eq!(clusters(pool.as_bytes(), &mut |id, list| found.push((id.0, list))).expect("reads"), 0);
        assert_eq!(found[0], (3, vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), String::new())]));
    }
}

//! SCHEDULER_DRIVER_ACTION: the request that oned writes to a scheduler driver.
//! The document's form is fixed by oned 7.x; what is odd inside it is not.

use super::assemble::{self, Parsed, Raw, RawCandidates};
use super::xml::{Walker, XmlError};
use super::{host, number, pools, vm};
use crate::model::snapshot::Snapshot;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// Why a document cannot be used at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Not XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another document.
    #[error("the root of the request is {0}, not SCHEDULER_DRIVER_ACTION: is this a scheduler request?")]
    Root(String),
    /// A part without which nothing can be decided.
    #[error("the request has no {0}: nothing can be placed without it")]
    Missing(&'static str),
}

/// Reads a request.
///
/// Linear in the document; holds no copy of it.
///
/// # Errors
/// When the document is no XML, another document, or lacks VM_POOL, HOST_POOL,
/// DATASTORE_POOL or REQUIREMENTS.
pub fn read(xml: &str) -> Result<Snapshot, RequestError> {
    let (mut walker, root) = Walker::open(xml)?;
    if root != "SCHEDULER_DRIVER_ACTION" {
        return Err(RequestError::Root(root));
    }
    let mut raw = Raw::default();
    let mut seen: Vec<String> = Vec::new();
    let mut lists = IdLists::default();
    walker.children(|w, pool| {
        seen.push(pool.to_owned());
        match pool {
            "VM_POOL" => collect(w, "VM", &mut raw.vms, vm::read),
            "HOST_POOL" => collect(w, "HOST", &mut raw.hosts, host::read),
            "DATASTORE_POOL" => collect(w, "DATASTORE", &mut raw.datastores, pools::datastore),
            "VNET_POOL" => collect(w, "VNET", &mut raw.vnets, pools::vnet),
            "VM_GROUP_POOL" => collect(w, "VM_GROUP", &mut raw.groups, pools::vm_group),
            "REQUIREMENTS" => w.children(|w, tag| {
                if tag == "VM" {
                    raw.candidates.push(candidates(w, &mut lists)?);
                    return Ok(());
                }
                w.skip()
            }),
            _ => w.skip(),
        }
    })?;
    walker.finish()?;
    for pool in ["VM_POOL", "HOST_POOL", "DATASTORE_POOL", "REQUIREMENTS"] {
        if !seen.iter().any(|name| name == pool) {
            return Err(RequestError::Missing(pool));
        }
    }
    Ok(assemble::snapshot(raw))
}

type Reader<T> = fn(&mut Walker<'_>) -> Result<(Option<i32>, T, super::odd::Odd), XmlError>;

fn collect<T>(w: &mut Walker<'_>, tag: &str, into: &mut Vec<Parsed<T>>, read: Reader<T>) -> Result<(), XmlError> {
    w.children(|w, name| {
        if name != tag {
            return w.skip();
        }
        let (id, item, odd) = read(w)?;
        into.push(Parsed { id, item, odd });
        Ok(())
    })
}

/// Id lists of REQUIREMENTS, each distinct one kept once: thousands of VMs share
/// a few lists of hosts, and the lists are most of a large document.
#[derive(Default)]
struct IdLists {
    known: HashMap<Vec<i32>, Arc<[i32]>>,
    scratch: Vec<i32>,
}

impl IdLists {
    fn read(&mut self, walker: &mut Walker<'_>) -> Result<Arc<[i32]>, XmlError> {
        self.scratch.clear();
        pools::ids(walker, &mut self.scratch)?;
        if !self.scratch.is_sorted() {
            self.scratch.sort_unstable();
        }
        self.scratch.dedup();
        if let Some(list) = self.known.get(&self.scratch) {
            return Ok(list.clone());
        }
        let list: Arc<[i32]> = self.scratch.as_slice().into();
        self.known.insert(self.scratch.clone(), list.clone());
        Ok(list)
    }
}

fn candidates(walker: &mut Walker<'_>, lists: &mut IdLists) -> Result<RawCandidates, XmlError> {
    let mut raw = RawCandidates::default();
    walker.children(|w, tag| {
        match tag {
            "ID" => raw.vm = number::id(&w.text()?),
            "HOSTS" => raw.hosts = lists.read(w)?,
            "DATASTORES" => raw.datastores = lists.read(w)?,
            "NIC" => {
                let (mut id, mut vnets) = (None, Arc::default());
                w.children(|w, tag| {
                    match tag {
                        "ID" => id = number::id(&w.text()?),
                        "VNETS" => vnets = lists.read(w)?,
                        _ => w.skip()?,
                    }
                    Ok(())
                })?;
                match id {
                    Some(id) => raw.nics.push((id, vnets)),
                    None => raw.bad_nic = true,
                }
            }
            _ => w.skip()?,
        }
        Ok(())
    })?;
    Ok(raw)
}

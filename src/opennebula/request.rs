//! SCHEDULER_DRIVER_ACTION: the request that oned writes to a scheduler driver.
//! The document's form is fixed by oned 7.x; what is odd inside it is not.

use super::assemble::{self, Parsed, Raw, RawCandidates};
use super::odd::shortened;
use super::xml::{Content, Walker, XmlError};
use super::{cluster, host, number, pools, vm};
use crate::model::snapshot::Snapshot;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::BufRead;
use std::sync::Arc;
use thiserror::Error;

/// Why a document cannot be used at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Not XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another document.
    #[error("the root of the request is {0:?}, not SCHEDULER_DRIVER_ACTION: is this a scheduler request?")]
    Root(String),
    /// A part without which nothing can be decided.
    #[error("the request has no {0}: nothing can be placed without it")]
    Missing(&'static str),
}

/// Pools without which nothing can be decided.
const NEEDED: [&str; 4] = ["VM_POOL", "HOST_POOL", "DATASTORE_POOL", "REQUIREMENTS"];

/// Reads a request.
///
/// Linear in the document; holds no copy of it.
///
/// # Errors
/// When the document is no XML, another document, or lacks VM_POOL, HOST_POOL,
/// DATASTORE_POOL or REQUIREMENTS.
pub fn read(xml: &str) -> Result<Snapshot, RequestError> {
    document(Walker::open(xml)?)
}

/// As [`read`], of a document that is never in memory as a whole.
///
/// # Errors
/// As [`read`], and when its source fails.
pub fn read_stream<'a>(xml: Box<dyn BufRead + 'a>) -> Result<Snapshot, RequestError> {
    document(Walker::open_stream(xml)?)
}

fn document<'a>((mut walker, root): (Walker<'a>, String)) -> Result<Snapshot, RequestError> {
    if root != "SCHEDULER_DRIVER_ACTION" {
        return Err(RequestError::Root(shortened(&root)));
    }
    let mut raw = Raw::default();
    let mut seen = [false; NEEDED.len()];
    let mut lists = IdLists::default();
    walker.children(|w, pool| {
        if let Some(needed) = NEEDED.iter().position(|name| *name == pool) {
            seen[needed] = true;
        }
        let nameless = &mut raw.nameless;
        match pool {
            "VM_POOL" => collect(w, ("VM", "VM"), nameless, &mut raw.vms, vm::read),
            "HOST_POOL" => collect(w, ("HOST", "host"), nameless, &mut raw.hosts, host::read),
            "DATASTORE_POOL" => collect(w, ("DATASTORE", "datastore"), nameless, &mut raw.datastores, pools::datastore),
            "VNET_POOL" => collect(w, ("VNET", "virtual network"), nameless, &mut raw.vnets, pools::vnet),
            "VM_GROUP_POOL" => collect(w, ("VM_GROUP", "VM group"), nameless, &mut raw.groups, pools::vm_group),
            "CLUSTER_POOL" => collect(w, ("CLUSTER", "cluster"), nameless, &mut raw.clusters, cluster::read),
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
    if let Some(missing) = seen.iter().position(|there| !there) {
        return Err(RequestError::Missing(NEEDED[missing]));
    }
    Ok(assemble::snapshot(raw))
}

type Reader<T> = fn(&mut Walker<'_>) -> Result<(Option<i32>, T, super::odd::Odd), XmlError>;

/// Reads the objects of a pool; those without an id are only counted.
fn collect<T>(
    w: &mut Walker<'_>,
    (tag, kind): (&str, &'static str),
    nameless: &mut BTreeMap<&'static str, usize>,
    into: &mut Vec<Parsed<T>>,
    read: Reader<T>,
) -> Result<(), XmlError> {
    w.children(|w, name| {
        if name != tag {
            return w.skip();
        }
        match read(w)? {
            (Some(id), item, odd) => into.push(Parsed { id, item, odd }),
            (None, ..) => *nameless.entry(kind).or_default() += 1,
        }
        Ok(())
    })
}

/// Id lists of REQUIREMENTS, each distinct one kept once: thousands of VMs share
/// a few lists of hosts, and the lists are most of a large document.
#[derive(Default)]
struct IdLists<'a> {
    known: HashMap<Vec<i32>, Arc<[i32]>>,
    /// The last ones as they are written, newest first: a VM mostly has the same as the one before.
    recent: VecDeque<(Content<'a>, Arc<[i32]>)>,
    scratch: Vec<i32>,
}

/// Lists of hosts and of datastores of two kinds of VMs, and those of a NIC.
const RECENT: usize = 6;

impl<'a> IdLists<'a> {
    fn read(&mut self, walker: &mut Walker<'a>) -> Result<Arc<[i32]>, XmlError> {
        for (content, list) in &self.recent {
            if walker.skip_alike(*content)? {
                return Ok(list.clone());
            }
        }
        self.scratch.clear();
        let content = walker.children_with_content(|w, _| {
            self.scratch.extend(number::id(&w.text()?));
            Ok(())
        })?;
        if !self.scratch.is_sorted() {
            self.scratch.sort_unstable();
        }
        self.scratch.dedup();
        let list = match self.known.get(&self.scratch) {
            Some(list) => list.clone(),
            None => {
                let list: Arc<[i32]> = self.scratch.as_slice().into();
                self.known.insert(self.scratch.clone(), list.clone());
                list
            }
        };
        if let Some(content) = content {
            self.recent.truncate(RECENT - 1);
            self.recent.push_front((content, list.clone()));
        }
        Ok(list)
    }
}

fn candidates<'a>(walker: &mut Walker<'a>, lists: &mut IdLists<'a>) -> Result<RawCandidates, XmlError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_all_its_pools_and_nothing_after_its_end() {
        let with = |pools: &[&str]| {
            let pools: String = pools.iter().map(|name| format!("<{name}/>")).collect();
            format!("<SCHEDULER_DRIVER_ACTION>{pools}</SCHEDULER_DRIVER_ACTION>")
        };
        let whole = with(&NEEDED);
        assert!(read(&whole).is_ok() && read(&format!("{whole}\n")).is_ok());
        assert!(read(&format!("{whole}<MORE/>")).is_err());
        for missing in 0..NEEDED.len() {
            let mut pools = NEEDED.to_vec();
            let name = pools.remove(missing);
            assert!(matches!(read(&with(&pools)), Err(RequestError::Missing(found)) if found == name), "{name}");
        }
        assert!(matches!(read("<OTHER/>"), Err(RequestError::Root(_))));
        assert!(read(&whole[..whole.len() - 5]).is_err());
    }
}

//! DATASTORE_POOL, VNET_POOL and VM_GROUP_POOL.

use super::number;
use super::odd::{Odd, shortened};
use super::vector::Vector;
use super::wishes;
use super::xml::{Walker, XmlError};
use crate::model::ids::{ClusterId, DatastoreId, GroupId, HostId, VmId, VnetId};
use crate::model::snapshot::{Attributes, Datastore, Role, RolePolicy, Section, VmGroup, Vnet};
use crate::model::units::Disk;

/// Reads the ID elements of CLUSTERS, VMS and the like.
pub fn ids(walker: &mut Walker<'_>, into: &mut Vec<i32>) -> Result<(), XmlError> {
    walker.children(|w, _| {
        into.extend(number::id(&w.text()?));
        Ok(())
    })
}

fn clusters(mut ids: Vec<i32>) -> Vec<ClusterId> {
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(ClusterId).collect()
}

fn template(walker: &mut Walker<'_>, attributes: &mut Attributes) -> Result<(), XmlError> {
    walker.children(|w, name| {
        attributes.push(Section::Template, name, &w.text()?);
        Ok(())
    })
}

/// DATASTORE.
pub fn datastore(walker: &mut Walker<'_>) -> Result<(Option<i32>, Datastore, Odd), XmlError> {
    let mut odd = Odd::default();
    let (mut attributes, mut cluster_ids) = (Attributes::default(), Vec::new());
    walker.children(|w, tag| match tag {
        "CLUSTERS" => ids(w, &mut cluster_ids),
        "TEMPLATE" => template(w, &mut attributes),
        name => {
            attributes.push(Section::Object, name, &w.text()?);
            Ok(())
        }
    })?;
    let object = |name| attributes.first_in(Section::Object, name).unwrap_or("");
    let stated = attributes.first_in(Section::Template, "LIMIT_MB").unwrap_or("");
    let limit = number::integer(stated);
    if limit.is_none() && !stated.trim().is_empty() {
        odd.remarks.push(format!("LIMIT_MB is {:?}, not a number; FREE_MB counts", shortened(stated)));
    }
    let used = odd.capacity("USED_MB", object("USED_MB"));
    let free = odd.capacity("FREE_MB", object("FREE_MB"));
    let total = odd.capacity("TOTAL_MB", object("TOTAL_MB"));
    let says = |name| attributes.first_in(Section::Template, name).is_some_and(number::yes);
    let shared = attributes.first_in(Section::Template, "SHARED").filter(|text| !text.is_empty());
    let id = number::id(object("ID"));
    let datastore = Datastore {
        id: DatastoreId(id.unwrap_or(-1)),
        name: object("NAME").to_owned(),
        system: number::integer(object("TYPE")) == Some(1),
        shared: shared.is_none_or(number::yes),
        free: Disk(limit.map_or(free, |limit| limit.saturating_sub(used).max(0))),
        total: Disk(limit.unwrap_or(total).max(0)),
        driver: object("TM_MAD").to_owned(),
        moves_live: says("DS_MIGRATE") && says("DS_LIVE_MIGRATE"),
        clusters: clusters(cluster_ids),
        attributes: Attributes::default(),
    };
    Ok((id, Datastore { attributes, ..datastore }, odd))
}

/// VNET.
pub fn vnet(walker: &mut Walker<'_>) -> Result<(Option<i32>, Vnet, Odd), XmlError> {
    let mut odd = Odd::default();
    let (mut attributes, mut cluster_ids) = (Attributes::default(), Vec::new());
    let mut addresses = 0_i64;
    walker.children(|w, tag| match tag {
        "CLUSTERS" => ids(w, &mut cluster_ids),
        "TEMPLATE" => template(w, &mut attributes),
        "AR_POOL" => w.children(|w, _| {
            let range = Vector::read(w)?;
            addresses = addresses.saturating_add(odd.capacity("AR/SIZE", range.get("SIZE")).max(0));
            Ok(())
        }),
        name => {
            attributes.push(Section::Object, name, &w.text()?);
            Ok(())
        }
    })?;
    let object = |name| attributes.first_in(Section::Object, name).unwrap_or("");
    let used = odd.usage("USED_LEASES", object("USED_LEASES"));
    let id = number::id(object("ID"));
    let vnet = Vnet {
        id: VnetId(id.unwrap_or(-1)),
        name: object("NAME").to_owned(),
        free_leases: addresses.saturating_sub(used),
        clusters: clusters(cluster_ids),
        attributes: Attributes::default(),
    };
    Ok((id, Vnet { attributes, ..vnet }, odd))
}

/// VM_GROUP.
pub fn vm_group(walker: &mut Walker<'_>) -> Result<(Option<i32>, VmGroup, Odd), XmlError> {
    let mut odd = Odd::default();
    let (mut id, mut name) = (None, String::new());
    let mut by_administrator = false;
    let mut roles = Vec::new();
    let (mut affined, mut anti_affined) = (Vec::new(), Vec::new());
    let mut wished: Vec<(String, String)> = Vec::new();
    walker.children(|w, tag| match tag {
        "ID" => {
            id = id.or(number::id(&w.text()?));
            Ok(())
        }
        "NAME" => {
            name = w.text()?.into_owned();
            Ok(())
        }
        // user 0 is oneadmin, group 0 that of administrators
        "UID" | "GID" => {
            by_administrator |= number::id(&w.text()?) == Some(0);
            Ok(())
        }
        "ROLES" => w.children(|w, _| {
            roles.push(role(&Vector::read(w)?, &mut odd));
            Ok(())
        }),
        "TEMPLATE" => w.children(|w, tag| match tag {
            "AFFINED" => {
                affined.push(w.text()?.into_owned());
                Ok(())
            }
            "ANTI_AFFINED" => {
                anti_affined.push(w.text()?.into_owned());
                Ok(())
            }
            name if wishes::is_one(name) => {
                let name = name.to_ascii_uppercase();
                wished.push((name, w.text()?.into_owned()));
                Ok(())
            }
            _ => w.skip(),
        }),
        _ => w.skip(),
    })?;
    roles.sort_by(|a, b| a.name.cmp(&b.name));
    if roles.windows(2).any(|pair| pair[0].name == pair[1].name) {
        odd.set_aside("two of its roles have one name".to_owned());
    }
    let affined = rules("AFFINED", &affined, &roles, &mut odd);
    let anti_affined = rules("ANTI_AFFINED", &anti_affined, &roles, &mut odd);
    let text = |name: &str| wished.iter().find(|(known, _)| known == name).map_or("", |(_, text)| text.as_str());
    let mut wishes = wishes::read("the group", text, &mut odd);
    wishes::settle(&mut wishes, &mut roles, &affined, &mut odd);
    let group = VmGroup { id: GroupId(id.unwrap_or(-1)), name, roles, affined, anti_affined, wishes, by_administrator };
    Ok((id, group, odd))
}

fn role(role: &Vector, odd: &mut Odd) -> Role {
    let policy = match role.get("POLICY").to_ascii_uppercase().as_str() {
        "AFFINED" => RolePolicy::Affined,
        "ANTI_AFFINED" => RolePolicy::AntiAffined,
        _ => RolePolicy::None,
    };
    let mut list = |name: &str| {
        let text = role.get(name);
        if text.split(',').any(|part| !part.trim().is_empty() && number::id(part).is_none()) {
            let (role, text) = (role.get("NAME"), shortened(text));
            odd.remarks.push(format!(
                "{name} of role {role:?} is {text:?}: not all of it are ids; the others are passed over"
            ));
        }
        number::id_list(text)
    };
    let never = list("HOST_ANTI_AFFINED").into_iter().map(HostId).collect();
    let vms = list("VMS").into_iter().map(VmId).collect();
    let mut only: Vec<HostId> = list("HOST_AFFINED").into_iter().map(HostId).collect();
    if only.is_empty() && !role.get("HOST_AFFINED").is_empty() {
        // a list of hosts that nobody can read allows none, rather than all
        only.push(HostId(-1));
    }
    let name = role.get("NAME").to_owned();
    let wishes = wishes::read(&format!("role {name:?}"), |attribute| role.get(attribute), odd);
    Role { name, policy, vms, hosts_affined: only, hosts_anti_affined: never, wishes }
}

/// Role-name lists to role indices. A rule that names an unknown role is no
/// rule to oned either; it is reported.
fn rules(kind: &str, texts: &[String], roles: &[Role], odd: &mut Odd) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for text in texts {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let indices: Option<Vec<usize>> = names.map(|name| roles.iter().position(|r| r.name == name)).collect();
        match indices {
            Some(mut rule) => {
                rule.sort_unstable();
                rule.dedup();
                found.push(rule);
            }
            None => {
                let text =
                    format!("{kind} rule {:?} names an unknown role and is ignored, as oned does", shortened(text));
                odd.remarks.push(text);
            }
        }
    }
    found.retain(|rule| !rule.is_empty());
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests;

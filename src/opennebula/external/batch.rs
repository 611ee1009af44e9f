//! The batch that `mm_sched` sends: pending VMs and the hosts that it has matched.

use super::json::{BodyError, Id, Kind, Object, OfHost, OfVm, document, part};
use crate::model::ids::{HostId, VmId};
use crate::model::units::{Cpu, Memory};
use crate::opennebula::number;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// What mm_sched asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// In the order of the document, each id once.
    pub vms: Vec<Asked>,
    /// VMs of a form that cannot be used; they cost the others nothing.
    pub odd: Vec<BodyError>,
}

/// One VM that waits for a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// ID.
    pub vm: VmId,
    /// HOST_IDS, sorted; may be empty.
    pub hosts: Vec<HostId>,
    /// CAPACITY, or what TEMPLATE says in older versions; `None` where neither tells.
    pub capacity: Option<(Cpu, Memory)>,
    /// HOST_ID: where it runs, when it is to be moved.
    pub current: Option<HostId>,
    /// FLAVOURS of VM_ATTRIBUTES or USER_TEMPLATE; empty when absent.
    pub flavours: String,
}

/// More different hosts no cloud has; without oned each would have to be made up.
const MOST_HOSTS: usize = 50_000;

/// Reads `{"VMS":[...]}`; `null` and an empty list are no VMs.
///
/// A VM of which a field has the wrong type or is missing, one that stands there for the second
/// time, and one that brings the batch to more than 50,000 different hosts, is odd.
///
/// # Errors
/// When it is no JSON, or has no list VMS.
pub fn read(bytes: &[u8]) -> Result<Batch, BodyError> {
    let Object(raw): Object<RawBatch<'_>> = document(bytes)?;
    let Some(vms) = raw.vms else {
        return Err(BodyError::new("VMS", "is missing; it must be a list of VMs, or null"));
    };
    let mut seen = HashMap::new();
    let mut hosts: HashSet<HostId> = HashSet::new();
    let mut batch = Batch::default();
    for (index, text) in vms.unwrap_or_default().into_iter().enumerate() {
        let raw = part::<Object<RawVm>>(&format!("VMS[{index}]"), text.get());
        let asked = raw.and_then(|Object(raw)| raw.check(index)).and_then(|asked| {
            if let Some(first) = seen.get(&asked.vm) {
                let problem = format!("VM {} stands there twice, first at VMS[{first}]", asked.vm);
                return Err(BodyError::new(format!("VMS[{index}].ID"), problem));
            }
            let new = asked.hosts.iter().filter(|host| !hosts.contains(host)).count();
            if hosts.len() + new > MOST_HOSTS {
                let problem = format!("brings the batch to more than {MOST_HOSTS} different hosts");
                return Err(BodyError::new(format!("VMS[{index}].HOST_IDS"), problem));
            }
            Ok(asked)
        });
        match asked {
            Ok(asked) => {
                seen.insert(asked.vm, index);
                hosts.extend(asked.hosts.iter().copied());
                batch.vms.push(asked);
            }
            Err(error) => batch.odd.push(error),
        }
    }
    Ok(batch)
}

#[derive(Deserialize)]
struct RawBatch<'a> {
    #[serde(rename = "VMS", default, deserialize_with = "given", borrow)]
    vms: Option<Option<Vec<&'a RawValue>>>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct RawVm {
    id: Option<Id<OfVm>>,
    host_ids: Option<Vec<Id<OfHost>>>,
    host_id: Option<CurrentHost>,
    capacity: Option<Object<RawCapacity>>,
    vm_attributes: Option<Flavours>,
    template: Option<Object<RawCapacity>>,
    user_template: Option<Flavours>,
}

impl RawVm {
    fn check(self, index: usize) -> Result<Asked, BodyError> {
        let missing = |name: &str, what: &str| {
            BodyError::new(format!("VMS[{index}].{name}"), format!("is missing; it must be {what}"))
        };
        let id = self.id.ok_or_else(|| missing("ID", OfVm::EXPECTED))?;
        let hosts = self.host_ids.ok_or_else(|| missing("HOST_IDS", "a list of host ids"))?;
        let mut hosts: Vec<HostId> = hosts.into_iter().map(|id| HostId(id.0)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        // CAPACITY has KiB, TEMPLATE has MiB
        let capacity = self.capacity.and_then(|capacity| capacity.0.check(1));
        let flavours = self.vm_attributes.into_iter().chain(self.user_template).map(|found| found.0);
        Ok(Asked {
            vm: VmId(id.0),
            hosts,
            capacity: capacity.or(self.template.and_then(|template| template.0.check(1024))),
            current: self.host_id.and_then(|host| host.0),
            flavours: flavours.into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
        })
    }
}

/// HOST_ID; any negative number is none.
struct CurrentHost(Option<HostId>);

impl<'de> Deserialize<'de> for CurrentHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = &"the id of the host where the VM runs, or -1";
        let id = i64::deserialize(deserializer)?;
        let wrong = |_| D::Error::invalid_value(Unexpected::Signed(id), expected);
        let id = i32::try_from(id).map_err(wrong)?;
        Ok(Self((id >= 0).then_some(HostId(id))))
    }
}

/// CPU in cores and MEMORY in some unit.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct RawCapacity {
    cpu: Option<Amount>,
    memory: Option<Amount>,
}

impl RawCapacity {
    fn check(self, kib: i64) -> Option<(Cpu, Memory)> {
        let (cpu, memory) = (self.cpu?.0, self.memory?.0);
        // in single precision and cut off, as oned reckons
        Some((Cpu((cpu as f32 * 100.0) as i64), Memory((memory as i64).saturating_mul(kib))))
    }
}

/// A number that is not negative, also as text: TEMPLATE has all its values as text.
struct Amount(f64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

/// No capacity is as large; whole numbers below it are exact in floating point.
const BOUNDLESS: f64 = 9_007_199_254_740_992.0;

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 9007199254740992")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Amount, E> {
        if (0.0..=BOUNDLESS).contains(&value) {
            Ok(Amount(value))
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Amount, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Amount, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        match number::real(text) {
            Some(value) => self.visit_f64(value),
            None => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// FLAVOURS of an object of attributes; all else is passed over.
struct Flavours(String);

impl<'de> Deserialize<'de> for Flavours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlavoursVisitor)
    }
}

struct FlavoursVisitor;

impl<'de> Visitor<'de> for FlavoursVisitor {
    type Value = Flavours;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flavours, A::Error> {
        let mut flavours = String::new();
        while let Some(name) = map.next_key::<String>()? {
            // VM_ATTRIBUTE without a name may come with its whole path
            let name = name.rsplit('/').next().unwrap_or(&name);
            if name.eq_ignore_ascii_case("FLAVOURS") && flavours.is_empty() {
                flavours = map.next_value::<Option<String>>()?.unwrap_or_default();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Flavours(flavours))
    }

    /// An object without attributes, as some JSON writers print it.
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Flavours, A::Error> {
        match list.next_element::<IgnoredAny>()? {
            None => Ok(Flavours(String::new())),
            Some(_) => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }
}

#[cfg(test)]
mod tests;

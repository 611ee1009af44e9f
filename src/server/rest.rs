//! The bodies of AI-Orchestrator's REST, with its names in both spellings.

use super::chosen::{CLASSIFIERS, Chosen, LARGEST_SCALAR, SCHEDULERS};
use crate::model::ids::{HostId, VmId};
use crate::model::policy::{Policy, Scheduler};
use crate::opennebula::external::{Asked, BodyError, Id, Kind, Object, OfHost, OfVm, document};
use serde::Deserialize;
use serde_json::{Value, json};

/// A placement of one VM, or a new classifier.
#[derive(Debug, PartialEq)]
pub enum PlaceOrSet {
    /// `ID` and `HOST_IDS`.
    Place(Asked),
    /// `model_name`.
    Set(String),
}

/// Reads `{"ID":1234,"HOST_IDS":[1,2,3]}`.
///
/// # Errors
/// When a field is missing or has the wrong form; HOST_IDS must name a host.
pub fn placement(bytes: &[u8]) -> Result<Asked, BodyError> {
    let Object(raw): Object<RawPlacement> = document(bytes)?;
    raw.check()
}

/// Reads a placement, or `{"model_name":"DLIR"}`.
///
/// # Errors
/// As [`placement`]; and when it is neither or both, or an unknown classifier.
pub fn placement_or_classifier(bytes: &[u8]) -> Result<PlaceOrSet, BodyError> {
    let Object(raw): Object<RawEither> = document(bytes)?;
    let placement = RawPlacement { id: raw.id, host_ids: raw.host_ids };
    match (raw.model_name, placement.id.is_some() || placement.host_ids.is_some()) {
        (Some(_), true) => Err(BodyError::new("model_name", "stands beside ID or HOST_IDS; send one or the other")),
        (None, true) => placement.check().map(PlaceOrSet::Place),
        (name, false) => one_of(name, &CLASSIFIERS).map(PlaceOrSet::Set),
    }
}

/// Reads `{"model_name":"RandomScheduler"}`.
///
/// # Errors
/// When it is missing or unknown.
pub fn scheduler(bytes: &[u8]) -> Result<String, BodyError> {
    let Object(raw): Object<RawModel> = document(bytes)?;
    one_of(raw.model_name, &SCHEDULERS)
}

/// Reads `{"energy_cost_scalar":1}`.
///
/// # Errors
/// When it is missing, no number, or out of range.
pub fn energy_scalar(bytes: &[u8]) -> Result<f64, BodyError> {
    let Object(raw): Object<RawScalar> = document(bytes)?;
    let wrong = |problem: String| BodyError::new("energy_cost_scalar", problem);
    let must = format!("it must be a number from 0 to {LARGEST_SCALAR}");
    match raw.energy_cost_scalar {
        None => Err(wrong(format!("is missing; {must}"))),
        Some(scalar) if (0.0..=LARGEST_SCALAR).contains(&scalar) => Ok(scalar),
        Some(scalar) => Err(wrong(format!("is {scalar}; {must}"))),
    }
}

/// The answer to a placement.
pub fn placed(vm: VmId, host: HostId) -> Value {
    json!({ "ID": vm, "HOST_ID": host })
}

/// The classifier as set; null stands for oneaio's own estimate.
pub fn classifier_now(chosen: &Chosen) -> Value {
    json!({ "model_name": chosen.classifier, "options": CLASSIFIERS })
}

/// The scheduler as set or configured.
pub fn scheduler_now(chosen: &Chosen, policy: &Policy) -> Value {
    let configured = if policy.scheduler == Scheduler::Random { SCHEDULERS[0] } else { SCHEDULERS[1] };
    json!({ "model_name": chosen.scheduler.as_deref().unwrap_or(configured), "options": SCHEDULERS })
}

/// s_green as set or configured; a whole number is written as one.
pub fn scalar_now(scalar: f64) -> Value {
    if scalar.fract() == 0.0 {
        json!({ "energy_cost_scalar": scalar as i64 })
    } else {
        json!({ "energy_cost_scalar": scalar })
    }
}

fn one_of(name: Option<String>, names: &[&str]) -> Result<String, BodyError> {
    let wrong =
        |problem: String| BodyError::new("model_name", format!("{problem}; it must be one of {}", names.join(", ")));
    match name {
        None => Err(wrong("is missing".to_owned())),
        Some(name) if names.contains(&name.as_str()) => Ok(name),
        Some(name) => Err(wrong(format!("is {:?}", name.chars().take(60).collect::<String>()))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct RawPlacement {
    id: Option<Id<OfVm>>,
    host_ids: Option<Vec<Id<OfHost>>>,
}

impl RawPlacement {
    fn check(self) -> Result<Asked, BodyError> {
        let id = self.id.ok_or_else(|| BodyError::new("ID", format!("is missing; it must be {}", OfVm::EXPECTED)))?;
        let hosts = self.host_ids.unwrap_or_default();
        if hosts.is_empty() {
            return Err(BodyError::new("HOST_IDS", "is missing or empty; it must be a list of host ids"));
        }
        let mut hosts: Vec<HostId> = hosts.into_iter().map(|id| HostId(id.0)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        Ok(Asked { vm: VmId(id.0), hosts, capacity: None, current: None, flavours: String::new() })
    }
}

#[derive(Deserialize)]
struct RawEither {
    #[serde(rename = "ID")]
    id: Option<Id<OfVm>>,
    #[serde(rename = "HOST_IDS")]
    host_ids: Option<Vec<Id<OfHost>>>,
    model_name: Option<String>,
}

#[derive(Deserialize)]
struct RawModel {
    model_name: Option<String>,
}

#[derive(Deserialize)]
struct RawScalar {
    energy_cost_scalar: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_the_ai_orchestrator_are_read() {
        let asked = placement(br#"{"ID":1234,"HOST_IDS":[1,2,3]}"#).expect("reads");
        assert_eq!((asked.vm, asked.hosts.len()), (VmId(1234), 3));
        let body = br#"{"ID":1234,"HOST_IDS":[1,2,3]}"#;
        assert_eq!(placement_or_classifier(body), Ok(PlaceOrSet::Place(asked)));
        for name in CLASSIFIERS {
            let body = format!("{{\"model_name\":\"{name}\"}}");
            assert_eq!(placement_or_classifier(body.as_bytes()), Ok(PlaceOrSet::Set(name.to_owned())));
        }
        for name in SCHEDULERS {
            assert_eq!(scheduler(format!("{{\"model_name\":\"{name}\"}}").as_bytes()), Ok(name.to_owned()));
        }
        assert_eq!(energy_scalar(br#"{"energy_cost_scalar":3}"#), Ok(3.0));
        assert_eq!(scalar_now(3.0).to_string(), r#"{"energy_cost_scalar":3}"#);
    }

    #[test]
    fn each_fault_names_its_field() {
        for (body, field) in [
            ("{}", "model_name"),
            ("{\"model_name\":\"x\"}", "model_name"),
            ("{\"model_name\":7}", "model_name"),
            ("{\"model_name\":\"DLIR\",\"ID\":1}", "model_name"),
            ("{\"ID\":1}", "HOST_IDS"),
            ("{\"ID\":1,\"HOST_IDS\":[]}", "HOST_IDS"),
            ("{\"HOST_IDS\":[1]}", "ID"),
            ("{\"ID\":\"x\",\"HOST_IDS\":[1]}", "ID"),
            ("{\"ID\":1,\"HOST_IDS\":[-1]}", "HOST_IDS[0]"),
            ("{\"ID\":1,\"ID\":2,\"HOST_IDS\":[1]}", "ID"),
            ("[1,[2]]", "body"),
        ] {
            let error = placement_or_classifier(body.as_bytes()).expect_err(body);
            assert_eq!(error.field, field, "{body}: {error}");
        }
        for body in
            ["{}", "{\"energy_cost_scalar\":\"1\"}", "{\"energy_cost_scalar\":-1}", "{\"energy_cost_scalar\":1e9}"]
        {
            assert_eq!(energy_scalar(body.as_bytes()).expect_err(body).field, "energy_cost_scalar");
        }
        assert_eq!(scheduler(b"{\"model_name\":\"DLIR\"}").expect_err("no scheduler").field, "model_name");
    }
}

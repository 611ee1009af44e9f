//! The OpenAPI document of the service, made from the table of routes.

use super::chosen::{CLASSIFIERS, LARGEST_SCALAR, SCHEDULERS};
use super::routes::{ROUTES, Route, What};
use serde_json::{Map, Value, json};

/// The document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method.to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "oneaio",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "AI-Orchestrator scheduler for OpenNebula",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let (request, answer) = bodies(route.what);
    let mut answers = json!({ "200": { "description": "Done", "content": content(answer) } });
    let faults: &[(u16, &str)] = match (route.method, route.what) {
        ("GET", What::Ready) => &[(503, "Starting or stopping")],
        ("GET", What::Page) => &[(403, "Only for this machine")],
        ("GET", _) => &[],
        _ => &[
            (400, "Malformed; `field` names what is wrong"),
            (408, "The body did not come in time"),
            (413, "The body is too long"),
            (415, "The body is said to be no JSON"),
            (500, "A fault of oneaio, or what was set cannot be kept"),
            (503, "Too much to do within the deadline; ask again"),
        ],
    };
    let refused = match route.what {
        What::Place | What::SetClassifier => Some((409, "The VM finds no host; `error` says why")),
        _ => None,
    };
    let locked: &[(u16, &str)] = match route.changes() {
        true => {
            &[(401, "The token is missing or wrong"), (403, "There is no token, and this is not the service's user")]
        }
        false => &[],
    };
    for (status, description) in faults.iter().chain(locked).copied().chain(refused) {
        let schema = if route.what == What::Ready { "Ready" } else { "Error" };
        answers[status.to_string()] = json!({ "description": description, "content": content(schema) });
    }
    let mut operation = json!({ "summary": route.summary, "responses": answers });
    if let Some(request) = request {
        operation["requestBody"] = json!({ "required": true, "content": content(request) });
    }
    if route.changes() {
        // placements over the same route need none
        operation["security"] = json!([{ "token": [] }, {}]);
    }
    operation
}

/// Names of the schemas of request and answer.
fn bodies(what: What) -> (Option<&'static str>, &'static str) {
    match what {
        What::Batch => (Some("Batch"), "Hosts"),
        What::Place => (Some("Placement"), "Placed"),
        What::SetClassifier => (Some("ClassifierOrPlacement"), "ClassifierOrPlaced"),
        What::Classifier => (None, "Classifier"),
        What::SetScheduler => (Some("Scheduler"), "Scheduler"),
        What::Scheduler => (None, "Scheduler"),
        What::SetEnergyScalar => (Some("EnergyScalar"), "EnergyScalar"),
        What::EnergyScalar => (None, "EnergyScalar"),
        What::Live | What::OpenApi => (None, "Object"),
        What::Ready => (None, "Ready"),
        What::Metrics => (None, "Text"),
        What::Page => (None, "Html"),
    }
}

fn content(schema: &str) -> Value {
    let reference = json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } });
    match schema {
        "Text" => json!({ "application/openmetrics-text": reference }),
        "Html" => json!({ "text/html": reference }),
        _ => json!({ "application/json": reference }),
    }
}

fn schemas() -> Value {
    let id = json!({ "type": "integer", "minimum": 0, "maximum": i32::MAX });
    let ids = json!({ "type": "array", "items": id });
    let capacity = json!({
        "type": "object",
        "properties": {
            "CPU": { "type": "number", "minimum": 0, "description": "Cores" },
            "MEMORY": { "type": "number", "minimum": 0, "description": "KiB" },
            "DISK_SIZE": { "type": "number", "description": "MiB" },
        },
    });
    let vm = json!({
        "type": "object",
        "required": ["ID", "HOST_IDS"],
        "properties": {
            "ID": id,
            "HOST_IDS": ids,
            "HOST_ID": { "type": ["integer", "null"], "description": "Where it runs, when it is to be moved" },
            "STATE": { "type": "string" },
            "CAPACITY": capacity,
            "VM_ATTRIBUTES": { "type": ["object", "null"] },
            "TEMPLATE": { "type": "object", "description": "Before 6.8, with CPU and MEMORY (MiB)" },
            "USER_TEMPLATE": { "type": "object", "description": "Before 6.8" },
        },
    });
    let named = |names: &[&str]| {
        json!({ "type": "object", "required": ["model_name"],
        "properties": { "model_name": { "enum": names } } })
    };
    let either = |a: &str, b: &str| {
        json!({ "oneOf": [
        { "$ref": format!("#/components/schemas/{a}") }, { "$ref": format!("#/components/schemas/{b}") } ] })
    };
    let placed = json!({ "type": "object", "required": ["ID", "HOST_ID"], "properties": { "ID": id, "HOST_ID": id } });
    json!({
        "Batch": { "type": "object", "required": ["VMS"],
            "properties": { "VMS": { "type": ["array", "null"], "items": vm } } },
        "Hosts": { "type": "object", "required": ["VMS"], "properties": {
            "VMS": { "type": "array", "items": placed },
            "LEFT_OUT": { "type": "array", "description": "VMs that cannot be judged, and why" },
            "WAITING": { "type": "array", "description": "VMs that have to wait, and why" },
            "NEXT": { "type": "array", "items": placed,
                "description": "Those of VMS that mm_sched starts in a later cycle" } } },
        "Placement": { "type": "object", "required": ["ID", "HOST_IDS"], "properties": { "ID": id, "HOST_IDS": ids } },
        "Placed": placed,
        "Classifier": named(&CLASSIFIERS),
        "ClassifierOrPlacement": either("Classifier", "Placement"),
        "ClassifierOrPlaced": either("Classifier", "Placed"),
        "Scheduler": named(&SCHEDULERS),
        "EnergyScalar": { "type": "object", "required": ["energy_cost_scalar"], "properties": {
            "energy_cost_scalar": { "type": "number", "minimum": 0, "maximum": LARGEST_SCALAR } } },
        "Error": { "type": "object", "required": ["error", "request"], "properties": {
            "error": { "type": "string" }, "field": { "type": ["string", "null"] }, "request": { "type": "string" } } },
        "Ready": { "type": "object", "required": ["status", "oned", "store", "model"] },
        "Object": { "type": "object" },
        "Text": { "type": "string" },
        "Html": { "type": "string" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_documented_and_every_reference_leads_somewhere() {
        let document = document();
        let operations = |path: &Value| path.as_object().map_or(0, Map::len);
        let count: usize = document["paths"].as_object().expect("paths").values().map(operations).sum();
        assert_eq!(count, ROUTES.len());
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert_eq!(operation["summary"], route.summary);
            assert!(operation["responses"]["200"].is_object());
        }
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn each_answer_has_the_schema_and_the_faults_of_its_route() {
        let document = document();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert_eq!(operation["summary"], route.summary);
            let (request, answer) = bodies(route.what);
            assert_eq!(operation["requestBody"].is_null(), request.is_none(), "{}", route.path);
            assert_eq!(operation["responses"]["200"]["content"], content(answer));
            let statuses: Vec<&str> = operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            let posts = ["200", "400", "408", "413", "415", "500", "503"];
            let mut expected: Vec<&str> = match route.what {
                What::Ready => vec!["200", "503"],
                What::Page => vec!["200", "403"],
                _ if route.method == "GET" => vec!["200"],
                _ => posts.to_vec(),
            };
            if route.changes() {
                expected.extend(["401", "403"]);
            }
            if matches!(route.what, What::Place | What::SetClassifier) {
                expected.push("409");
            }
            expected.sort_unstable();
            let mut found = statuses;
            found.sort_unstable();
            assert_eq!(found, expected, "{} {}", route.method, route.path);
            assert_eq!(operation["security"].is_null(), !route.changes(), "{}", route.path);
            let schema = if route.what == What::Ready { "Ready" } else { "Error" };
            for status in expected.iter().filter(|status| **status != "200") {
                assert_eq!(operation["responses"][*status]["content"], content(schema), "{} {status}", route.path);
            }
        }
    }
}

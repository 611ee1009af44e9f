//! Whether the service lives, and whether its helpers do.

use super::memory::Memory;
use super::metrics::Moment;
use super::view::View;
use serde_json::{Value, json};
use std::time::Duration;

/// For /readyz: ready as long as it may be asked for placements. A lost helper does not
/// change that; it is told.
pub fn ready(view: &View, memory: &dyn Memory, stopping: bool) -> (bool, Value) {
    let (looks, store) = (view.looks(), memory.health());
    let seconds = |age: Option<Duration>| age.map(|age| (age.as_secs_f64() * 10.0).round() / 10.0);
    let oned = match (view.watched(), view.cloud().is_some(), &looks.failure) {
        (false, ..) => "none",
        (true, true, None) => "ok",
        (true, true, Some(_)) => "stale",
        (true, false, _) if looks.begun => "lost",
        _ => "starting",
    };
    let stored = match (store.configured, &store.failure, store.age) {
        (false, ..) => "none",
        (true, Some(_), _) => "lost",
        (true, None, None) => "starting",
        (true, None, Some(_)) => "ok",
    };
    let model_age = memory.model_age();
    let model = if model_age.is_some() { "ok" } else { "none" };
    let ready = !stopping && oned != "starting";
    let whole = [oned, stored].iter().all(|state| ["ok", "none"].contains(state));
    let status = match (stopping, ready, whole) {
        (true, ..) => "stopping",
        (_, false, _) => "starting",
        (_, true, true) => "ready",
        (_, true, false) => "degraded",
    };
    let body = json!({
        "status": status,
        "oned": { "state": oned, "age_seconds": seconds(view.age()), "failures": looks.failures, "problem": looks.failure },
        "store": { "state": stored, "age_seconds": seconds(store.age), "failures": store.failures, "problem": store.failure },
        "model": { "state": model, "age_seconds": seconds(model_age) },
    });
    (ready, body)
}

/// For /metrics.
pub fn moment(view: &View, memory: &dyn Memory) -> Moment {
    let store = memory.health();
    Moment {
        oned_failures: view.looks().failures,
        oned_age: view.age(),
        store_failures: store.failures,
        store_age: store.age,
        model_age: memory.model_age(),
    }
}

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

#[cfg(test)]
mod tests {
    use super::super::memory::StoreHealth;
    use super::*;
    use crate::decide::Decided;
    use crate::model::history::Recall;
    use crate::model::policy::Policy;
    use crate::model::snapshot::Snapshot;

    /// A store that stands like this.
    struct Stands(StoreHealth);

    impl Memory for Stands {
        fn recall(&self, _: &Snapshot, _: &Policy, _: i64) -> Recall {
            Recall::default()
        }

        fn remember(&self, _: &Decided, _: i64) {}

        fn health(&self) -> StoreHealth {
            self.0.clone()
        }

        fn model_age(&self) -> Option<Duration> {
            None
        }
    }

    #[test]
    fn it_is_ready_unless_it_starts_or_stops_and_a_lost_store_is_told() {
        let none = StoreHealth::default();
        let begins = StoreHealth { configured: true, ..StoreHealth::default() };
        let well = StoreHealth { age: Some(Duration::from_secs(3)), ..begins.clone() };
        let lost = StoreHealth { failure: Some("gone".to_owned()), failures: 2, ..well.clone() };
        // whether oned is looked at, the store, whether it stops; ready, status, oned, store
        for (watched, store, stopping, ready_then, status, oned, stored) in [
            (false, &none, false, true, "ready", "none", "none"),
            (false, &well, false, true, "ready", "none", "ok"),
            (false, &begins, false, true, "degraded", "none", "starting"),
            (false, &lost, false, true, "degraded", "none", "lost"),
            (true, &well, false, false, "starting", "starting", "ok"),
            (false, &well, true, false, "stopping", "none", "ok"),
            (true, &well, true, false, "stopping", "starting", "ok"),
            (false, &lost, true, false, "stopping", "none", "lost"),
        ] {
            let view = View::new(Duration::from_secs(60), watched);
            let (is_ready, told) = ready(&view, &Stands(store.clone()), stopping);
            assert_eq!(
                (is_ready, &told["status"], &told["oned"]["state"], &told["store"]["state"]),
                (ready_then, &status.into(), &oned.into(), &stored.into()),
                "{told}"
            );
        }
        let told = ready(&View::new(Duration::ZERO, false), &Stands(lost), false).1;
        assert_eq!((&told["store"]["problem"], &told["store"]["failures"]), (&"gone".into(), &2.into()));
    }

    #[test]
    fn ages_are_told_in_tenths_of_a_second_and_numbers_as_they_are() {
        let age = Some(Duration::from_millis(3260));
        let store = Stands(StoreHealth { configured: true, age, failures: 2, failure: None });
        let view = View::new(Duration::from_secs(60), true);
        let told = ready(&view, &store, false).1;
        assert_eq!((&told["store"]["age_seconds"], &told["oned"]["age_seconds"]), (&3.3.into(), &Value::Null));
        let now = moment(&view, &store);
        assert_eq!((now.store_failures, now.store_age, now.oned_failures), (2, age, 0));
        assert_eq!((now.oned_age, now.model_age), (None, None));
    }
}

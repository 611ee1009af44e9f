//! A fault on purpose, so that tests can see the last safety net hold: the first action of
//! every plan goes to a host that nobody has. Only builds for tests can be told so.

use crate::model::ids::HostId;
use crate::model::plan::Plan;
use std::sync::atomic::{AtomicBool, Ordering};

static SPOILED: AtomicBool = AtomicBool::new(false);

/// From now on every plan of this process is spoiled before it is judged.
pub fn spoil_plans() {
    SPOILED.store(cfg!(debug_assertions), Ordering::Relaxed);
}

/// Spoils a plan if it is to be.
pub(super) fn spoil(plan: &mut Plan) {
    if cfg!(debug_assertions)
        && SPOILED.load(Ordering::Relaxed)
        && let Some(first) = plan.actions.first_mut()
    {
        first.host = HostId(i32::MAX);
    }
}

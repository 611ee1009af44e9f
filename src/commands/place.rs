//! `oneaio place`: the placer of OpenNebula 7.x. oned writes a request to standard
//! input and reads the plan from standard output; there is a whole plan or none.

use super::driver::Driver;
use super::show::messages::messages;
use super::{AnswerArgs, Exit, logger};
use crate::decide::{self, Stop};
use crate::machine::clock::now_in_milliseconds;
use crate::opennebula::plan_xml;
use crate::records::decision_log;
use crate::records::metrics::Outcome;
use std::time::Instant;

/// Answers one request.
#[must_use]
pub fn run(args: &AnswerArgs) -> Exit {
    answered(args).unwrap_or_else(|exit| exit)
}

fn answered(args: &AnswerArgs) -> Result<Exit, Exit> {
    let (mut driver, snapshot) =
        Driver::begin("place", args, plan_xml::PLACEMENT, |history, settings| history.with_classes(&settings.policy))?;
    let (known, policy, (soft, hard)) = (driver.recall(&snapshot), driver.settings.policy.clone(), driver.ends());
    let decided = driver.decide(move || {
        let (stop, at_once) = (|| Instant::now() >= soft, || Instant::now() >= hard);
        decide::place_until(snapshot, &known, &policy, Stop::when(&stop).or_at_once(&at_once))
    })?;
    if driver.is_shadow() {
        log::info!("in shadow mode; oneaio would have {}", decided.planned.report.summary());
    } else {
        logger::report(&decided.planned, &driver.settings, driver.outdated);
    }
    let remember = || {
        if let Some(history) = driver.history.as_ref().filter(|_| !driver.is_shadow()) {
            // the moment of the answer, not of the request: what was written between them cannot know it
            history.remember(&decided, now_in_milliseconds());
        }
    };
    let entry = |bundle: Option<&_>| decision_log::placement(&decided, driver.now, bundle);
    let outcome = Outcome::Placed(&decided);
    Ok(driver.finish(&decided.planned.plan, Some(&messages(&decided)), remember, entry, &outcome))
}

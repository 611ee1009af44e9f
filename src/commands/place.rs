//! `oneaio place`: the placer of OpenNebula 7.x. oned writes a request to standard
//! input and reads the plan from standard output; there is a whole plan or none.

use super::answering::{Lost, within};
use super::replay::messages;
use crate::commands::ConfigArgs;
use crate::commands::Exit;
use crate::commands::load_settings;
use crate::commands::logger;
use crate::config::Settings;
use crate::decide;
use crate::model::plan::Plan;
use crate::opennebula::plan_xml;
use crate::placement::Stop;
use crate::recall::history;
use crate::recall::history::History;
use crate::records::decision_log;
use crate::records::record::Made;
use crate::records::record::Recording;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The share of the deadline that is left when the planner is asked to stop.
const LAST_PART: f64 = 0.2;

/// Whether nobody gave us a standard output. Rust then opens /dev/null in its place, for
/// reading and writing, and a plan would vanish without an error; `> /dev/null` opens it
/// for writing only.
fn stdout_is_closed() -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fstat, stat};
    let stdout = rustix::stdio::stdout();
    let (Ok(here), Ok(null), Ok(flags)) = (fstat(stdout), stat("/dev/null"), fcntl_getfl(stdout)) else {
        return true;
    };
    let is_null = here.st_rdev == null.st_rdev && here.st_ino == null.st_ino && here.st_dev == null.st_dev;
    is_null && flags.contains(OFlags::RDWR)
}

/// Answers one request.
#[must_use]
pub fn run(args: &ConfigArgs) -> Exit {
    logger::start(crate::config::LogLevel::default());
    let settings = match load_settings(args, None) {
        Ok(settings) => settings,
        Err(problems) => {
            problems.iter().for_each(|problem| log::error!("{problem}"));
            return Exit::Usage;
        }
    };
    logger::start(settings.log);
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        log::error!("place reads a request from standard input, such as: oneaio place < request.xml");
        return Exit::Usage;
    }
    let patience = settings.history_deadline.min(settings.operate.deadline);
    let history =
        history::chosen(&settings).map(|store| History::start(store, patience).with_classes(&settings.policy));
    let mut request = Vec::new();
    if let Err(error) = stdin.read_to_end(&mut request) {
        log::error!("the request cannot be read from standard input: {error}");
        return Exit::Unusable;
    }
    let until = Instant::now() + Duration::from_secs_f64(settings.operate.deadline);
    let moment = history::now_in_milliseconds();
    let now = moment.div_euclid(1000);
    let recording = Recording::begin("place", args, &settings, &request, now);
    let snapshot = match within(until, move || decide::read(request)) {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(error)) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
        Err(lost) => return nothing(lost, plan_xml::PLACEMENT, &settings, &recording, Made::default()),
    };
    let mut recall = history.as_ref().map(|history| history.recall(&snapshot, Some(now))).unwrap_or_default();
    // a store that answered remembers what is under way
    recall.moment = if recall.now > 0 { moment } else { 0 };
    let recall = Arc::new(recall);
    let (known, policy) = (Arc::clone(&recall), settings.policy.clone());
    // the planner is asked to come to an end while there is time to print what it has
    let soft = until - Duration::from_secs_f64(settings.operate.deadline * LAST_PART);
    let place = move || decide::place_until(snapshot, &known, &policy, Stop::when(&|| Instant::now() >= soft));
    let decided = match within(until, place) {
        Ok(decided) => decided,
        Err(lost) => {
            let made = Made { recall: Some(&recall), ..Made::default() };
            return nothing(lost, plan_xml::PLACEMENT, &settings, &recording, made);
        }
    };
    logger::report(&decided.planned, settings.log_placements);
    let plan = plan_xml::write(&decided.planned.plan, plan_xml::PLACEMENT);
    let exit = answer(&plan);
    if exit != Exit::Done {
        return exit;
    }
    if let Some(history) = history {
        // the moment of the answer, not of the request: what was written between them cannot know it
        history.remember(&decided, history::now_in_milliseconds());
    }
    let messages = messages(&decided);
    let bundle = recording.keep(Made { recall: Some(&recall), plan: Some(&plan), messages: Some(&messages) });
    decision_log::append(&settings, &decision_log::placement(&decided, now, bundle.as_deref()));
    Exit::Done
}

/// The answer when there is no plan: one of nothing, so that oned goes on, and what to do.
pub(super) fn nothing(lost: Lost, id: i32, settings: &Settings, recording: &Recording, made: Made<'_>) -> Exit {
    let plan = plan_xml::write(&Plan::default(), id);
    let exit = answer(&plan);
    let kept = recording.keep_fault(made);
    match lost {
        Lost::Fault => log::error!("an empty plan is given, the VMs come with the next request; {kept}"),
        Lost::Late => log::error!(
            "the deadline of {} s has passed; an empty plan is given, the VMs come with the next request; {kept}",
            settings.operate.deadline
        ),
    }
    exit
}

/// Writes a plan where oned reads it, whole or not at all.
pub(super) fn answer(plan: &str) -> Exit {
    if stdout_is_closed() {
        log::error!("the plan cannot be written: standard output is closed");
        return Exit::Output;
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(plan.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            log::error!("the plan cannot be written to standard output: {error}");
            Exit::Output
        }
    }
}

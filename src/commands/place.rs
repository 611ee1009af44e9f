//! `oneaio place`: the placer of OpenNebula 7.x. oned writes a request to standard
//! input and reads the plan from standard output; there is a whole plan or none.

use super::store::{self, History};
use super::{ConfigArgs, Exit, load_settings, logger};
use crate::decide;
use crate::model::policy::Resources;
use crate::opennebula::plan_xml;
use std::io::{IsTerminal, Read, Write};

/// Whether nobody gave us a standard output. Rust then opens /dev/null in its place, for
/// reading and writing, and a plan would vanish without an error; `> /dev/null` opens it
/// for writing only.
pub(super) fn stdout_is_closed() -> bool {
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
    let classes = settings.policy.resources == Resources::Classes;
    let history =
        store::chosen(&settings).map(|store| History::start(store, settings.history_deadline).with_classes(classes));
    let mut request = Vec::new();
    if let Err(error) = stdin.read_to_end(&mut request) {
        log::error!("the request cannot be read from standard input: {error}");
        return Exit::Unusable;
    }
    let snapshot = match decide::read(request) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            log::error!("{error}");
            return Exit::Unusable;
        }
    };
    let now = store::now();
    let recall = history.as_ref().map(|history| history.recall(&snapshot, History::recent(now))).unwrap_or_default();
    let decided = decide::place_snapshot(snapshot, &recall, &settings.policy);
    logger::report(&decided.planned, settings.log_placements);
    let plan = plan_xml::write(&decided.planned.plan, plan_xml::PLACEMENT);
    if stdout_is_closed() {
        log::error!("the plan cannot be written: standard output is closed");
        return Exit::Output;
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(plan.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => {
            if let Some(history) = history {
                history.remember(&decided.planned, now);
            }
            Exit::Done
        }
        Err(error) => {
            log::error!("the plan cannot be written to standard output: {error}");
            Exit::Output
        }
    }
}

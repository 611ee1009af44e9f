//! What commands begin with and end with: settings, store and request of a run, and one
//! request of oned on its way to its answer. Whoever answers oned goes this way, so that
//! deadline, records and decision log are the same for all.

use super::answering::{Lost, within};
use super::other::{Answered, Other};
use super::{AnswerArgs, ConfigArgs, Exit, logger};
use crate::config::{LogLevel, Problem, Settings, Store};
use crate::decide;
use crate::machine::clock::now_in_milliseconds;
use crate::machine::files::changed;
use crate::machine::installation::Installation;
use crate::machine::settings::{self, Fallback, Loaded};
use crate::model::history::Recall;
use crate::model::moment::utc;
use crate::model::plan::Plan;
use crate::model::snapshot::Snapshot;
use crate::opennebula::plan_xml;
use crate::recall::history::{self, History};
use crate::recall::modelfile;
use crate::records::bundle::Bundle;
use crate::records::decision_log;
use crate::records::metrics::{self, Around, Outcome};
use crate::records::record::{Made, Recording};
use serde_json::Value;
use std::cell::RefCell;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The share of the deadline that is left when the planner is asked to stop.
const LAST_PART: f64 = 0.2;

/// The share that is left when it is asked to stop in the midst of its first plan.
const VERY_LAST_PART: f64 = 0.1;

/// How long is waited however short the deadline is: so many seconds, and so many more for each MB of the request. A
/// plan that comes late is worth more to oned than none in time. A machine that does nothing else reads 100 MB and
/// more in a second.
struct Least(f64, f64);

/// For a request to be read.
const READING: Least = Least(5.0, 1.0);

/// For a first plan of it, which has as much time again to be printed.
const PLANNING: Least = Least(2.0, 0.1);

impl Least {
    fn of(&self, request: usize) -> Duration {
        let Self(seconds, per_megabyte) = *self;
        Duration::from_secs_f64(seconds + per_megabyte * request as f64 / 1e6)
    }
}

/// Tells what is wrong.
pub fn failed(exit: Exit, error: &anyhow::Error) -> Exit {
    log::error!("{error:#}");
    exit
}

/// Writes to standard output.
pub fn print(text: &str) -> Exit {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Output,
    }
}

/// Settings of the named file, or of the installed one; all problems in a line.
pub fn load(args: &ConfigArgs) -> anyhow::Result<Settings> {
    let file = args.config.clone().or_else(settings::installed);
    Ok(settings::load(file.as_deref(), &args.set).map_err(|problems| in_a_line(&problems))?.settings)
}

/// Settings for a bundle: a file that is named goes before the bundle's own, that before the
/// installed one.
pub fn load_for(args: &ConfigArgs, bundle: &Bundle) -> anyhow::Result<Settings> {
    let Some((name, text)) = bundle.config()?.filter(|_| args.config.is_none()) else { return load(args) };
    let (settings, passed) =
        settings::load_foreign(&name, &text, &args.set).map_err(|problems| in_a_line(&problems))?;
    passed.iter().for_each(|problem| log::warn!("{problem}"));
    Ok(settings)
}

fn in_a_line(problems: &[Problem]) -> anyhow::Error {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!(texts.join("; "))
}

/// Starts logging, and loads the settings; each problem is told.
pub fn begin(args: &ConfigArgs) -> Result<Loaded, Exit> {
    begin_with(|| settings::load(args.config.clone().or_else(settings::installed).as_deref(), &args.set))
}

/// As [`begin`], for what must not stop because of a typo, unless it is told to.
pub fn begin_answering(args: &AnswerArgs) -> Result<Loaded, Exit> {
    if args.strict || args.config.config.is_some() {
        return begin(&args.config);
    }
    let loaded = begin_with(|| settings::load_or_last_good(&args.config.set))?;
    if let Some(Fallback { problems, since }) = &loaded.fallback {
        problems.iter().for_each(|problem| log::error!("{problem}"));
        log::error!("the configuration is wrong, so that of {} counts, the last that was good", utc(*since));
    }
    Ok(loaded)
}

fn begin_with(load: impl FnOnce() -> Result<Loaded, Vec<Problem>>) -> Result<Loaded, Exit> {
    logger::start(LogLevel::default());
    let loaded = load().map_err(|problems| {
        problems.iter().for_each(|problem| log::error!("{problem}"));
        Exit::Usage
    })?;
    logger::start(loaded.settings.log);
    Ok(loaded)
}

/// Settings and store of a command that cannot do without one; what is wrong is told.
pub fn with_store(args: &ConfigArgs) -> Result<(Settings, Store), Exit> {
    let settings = begin(args)?.settings;
    let Some(store) = history::chosen(&settings) else {
        let home = Installation::here().home();
        log::error!("no store is configured: set `history.store`, or make the folder {}", home.display());
        return Err(Exit::Usage);
    };
    Ok((settings, store))
}

/// The request on standard input; what is wrong is told.
pub fn request(command: &str) -> Result<Vec<u8>, Exit> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        log::error!("{command} reads a request from standard input, such as: oneaio {command} < request.xml");
        return Err(Exit::Usage);
    }
    let mut request = Vec::new();
    match stdin.read_to_end(&mut request) {
        Ok(_) => Ok(request),
        Err(error) => {
            log::error!("the request cannot be read from standard input: {error}");
            Err(Exit::Unusable)
        }
    }
}

/// One request of oned on its way to its answer.
pub struct Driver {
    /// What is configured.
    pub settings: Settings,
    /// When the request was there.
    pub now: i64,
    /// The same in milliseconds.
    moment: i64,
    /// The store, if there is one.
    pub history: Option<History>,
    /// What is known of the VMs, once it was asked for.
    pub recall: Arc<Recall>,
    /// The configuration is wrong, and an older one counts.
    pub outdated: bool,
    command: &'static str,
    plan: i32,
    /// Who answers in our place, until it has.
    other: RefCell<Option<Other>>,
    /// What it answered.
    theirs: RefCell<Option<Vec<u8>>>,
    begun: Instant,
    /// How long the request is, in bytes.
    length: usize,
    recording: Recording,
}

impl Driver {
    /// Settings, store and snapshot of a request on standard input. `plan` is the ID of the
    /// answer, `known` says what the store is asked for.
    ///
    /// # Errors
    /// The exit status, when there is no snapshot; then all is told, and an answer given where
    /// one is due.
    pub fn begin(
        command: &'static str,
        args: &AnswerArgs,
        plan: i32,
        known: fn(History, &Settings) -> History,
    ) -> Result<(Self, Snapshot), Exit> {
        let Loaded { settings, given, fallback } = begin_answering(args)?;
        let deadline = settings.operate.deadline;
        let patience = settings.history_deadline.min(deadline);
        // a store opens while the request is still being read
        let history = history::chosen(&settings).map(|store| known(History::start(store, patience), &settings));
        let request = request(command)?;
        let begun = Instant::now();
        let length = request.len();
        let moment = now_in_milliseconds();
        let now = moment.div_euclid(1000);
        let other = RefCell::new(other(command, plan, &settings, &request));
        let recording = Recording::begin(command, given, &settings, &request, now);
        let driver = Self {
            settings,
            now,
            moment,
            history,
            recall: Arc::default(),
            outdated: fallback.is_some(),
            command,
            plan,
            other,
            theirs: RefCell::default(),
            begun,
            length,
            recording,
        };
        let until = driver.after(1.0).max(begun + READING.of(length));
        match driver.work(until, Made::default(), move || decide::read(request))? {
            Ok(snapshot) => Ok((driver, snapshot)),
            Err(error) => Err(driver.unusable(&error.into())),
        }
    }

    /// Asks the store about the VMs of the request.
    pub fn recall(&mut self, snapshot: &Snapshot) -> Arc<Recall> {
        if let Some(history) = &self.history {
            let recall = history.recall(snapshot, Some(self.now));
            // a store that answered remembers what is under way
            let moment = if recall.now > 0 { self.moment } else { 0 };
            self.recall = Arc::new(Recall { moment, ..recall });
        }
        Arc::clone(&self.recall)
    }

    /// When a planner that begins now is asked to come to an end, so that there is time to print what it has; and when
    /// it is to end in the midst of its first plan.
    pub fn ends(&self) -> (Instant, Instant) {
        let least = Instant::now() + PLANNING.of(self.length);
        (self.after(1.0 - LAST_PART), self.after(1.0 - VERY_LAST_PART).max(least))
    }

    /// When so much of the deadline has passed.
    fn after(&self, part: f64) -> Instant {
        self.begun + Duration::from_secs_f64(self.settings.operate.deadline * part)
    }

    /// Decides within the deadline, or what a first plan takes.
    ///
    /// # Errors
    /// The exit status, when there is nothing; then a plan of nothing is given.
    pub fn decide<T: Send + 'static>(&self, decide: impl FnOnce() -> T + Send + 'static) -> Result<T, Exit> {
        let until = self.after(1.0).max(Instant::now() + 2 * PLANNING.of(self.length));
        self.work(until, Made { recall: Some(&self.recall), ..Made::default() }, decide)
    }

    fn work<T: Send + 'static>(
        &self,
        until: Instant,
        made: Made<'_>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Exit> {
        within(until, work).map_err(|lost| self.nothing(lost, made))
    }

    /// The answer when there is no plan: one of nothing, so that oned goes on, and what to do.
    fn nothing(&self, lost: Lost, made: Made<'_>) -> Exit {
        let exit = self.answer(&plan_xml::write(&Plan::default(), self.plan));
        self.count(&Outcome::Nothing(if lost == Lost::Late { "late" } else { "fault" }));
        let kept = self.recording.keep_fault(made);
        let next = "an empty plan is given, the VMs come with the next request";
        match lost {
            Lost::Fault => log::error!("{next}; {kept}"),
            Lost::Late => {
                log::error!("the deadline of {} s has passed; {next}; {kept}", self.settings.operate.deadline);
            }
        }
        exit
    }

    /// Gives the answer; it is kept, logged as `entry` says, and counted, when `then` has had
    /// its turn.
    pub fn finish(
        &self,
        plan: &Plan,
        messages: Option<&str>,
        then: impl FnOnce(),
        entry: impl FnOnce(Option<&Path>) -> Value,
        outcome: &Outcome<'_>,
    ) -> Exit {
        let plan = plan_xml::write(plan, self.plan);
        let exit = self.answer(&plan);
        let theirs = self.theirs.borrow();
        if exit == Exit::Done {
            then();
            let bundle = self.recording.keep(Made {
                recall: Some(&self.recall),
                plan: Some(&plan),
                messages,
                theirs: theirs.as_deref(),
            });
            decision_log::append(&self.settings, &entry(bundle.as_deref()));
            self.count(outcome);
        }
        exit
    }

    /// Tells why nothing can be decided; whoever answers in our place still does.
    pub fn unusable(&self, error: &anyhow::Error) -> Exit {
        let exit = failed(Exit::Unusable, error);
        if self.is_shadow() { self.answer("") } else { exit }
    }

    /// Whether another scheduler answers in our place.
    pub fn is_shadow(&self) -> bool {
        self.other.borrow().is_some() || self.theirs.borrow().is_some()
    }

    /// Answers with a plan of ours, or with that of the scheduler in whose shadow we are.
    fn answer(&self, plan: &str) -> Exit {
        let Some(other) = self.other.take() else { return answer(plan.as_bytes()) };
        let Answered { bytes, failure } = other.answer(self.after(1.0));
        let exit = answer(&bytes);
        self.theirs.replace(Some(bytes));
        match failure {
            Some(failure) => {
                log::error!("{failure}; in shadow mode oneaio does not answer instead");
                exit.max(Exit::Unusable)
            }
            None => exit,
        }
    }

    fn count(&self, outcome: &Outcome<'_>) {
        let Some(file) = metrics::file(&self.settings) else { return };
        let around = Around {
            command: self.command,
            now: self.now,
            took: self.begun.elapsed(),
            // what was told is of a moment
            recall: Some(self.recall.as_ref()).filter(|recall| recall.now != 0),
            model: changed(&modelfile::path(&self.settings)),
            outdated: self.outdated,
        };
        metrics::count(&file, &around, outcome);
    }
}

/// Starts the scheduler that answers in our place, where one is configured.
fn other(command: &str, plan: i32, settings: &Settings, request: &[u8]) -> Option<Other> {
    let place = command == "place";
    let name = if place { &settings.operate.shadow_place } else { &settings.operate.shadow_optimize }.as_ref()?;
    let program = Installation::here().scheduler(name, command);
    let args = if place { Vec::new() } else { vec![plan.to_string()] };
    Other::start(&program, &args, request)
        .inspect_err(|error| {
            log::error!("{} cannot be started ({error}), so oneaio answers: see shadow.{command}", program.display());
        })
        .ok()
}

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

/// Writes a plan where oned reads it, whole or not at all.
fn answer(plan: &[u8]) -> Exit {
    if stdout_is_closed() {
        log::error!("the plan cannot be written: standard output is closed");
        return Exit::Output;
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(plan).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            log::error!("the plan cannot be written to standard output: {error}");
            Exit::Output
        }
    }
}

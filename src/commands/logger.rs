//! Log lines in oned's form on standard error. See `opennebula::message`.

use crate::config::{LogLevel, Settings};
use crate::model::ids::{VmId, listed};
use crate::model::migration::{HostChange, Migrated, Migration};
use crate::model::report::{Planned, Report};
use crate::model::snapshot::{Notice, Subject};
use crate::opennebula::message;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use log::{Level, LevelFilter};
use std::collections::HashMap;
use std::io::Write;
use std::mem::discriminant;

/// More notices of one kind (VMs, hosts, ...) than this are summed up.
const NOTICES: usize = 20;

/// Marks records whose text is a finished line about a VM.
const VM: &str = "vm";

/// Starts logging; later calls only change the level.
pub fn start(level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
    };
    let started = env_logger::Builder::new()
        .filter_level(LevelFilter::Debug)
        .format(|out, record| {
            let text = record.args().to_string();
            let line = if record.target() == VM { text } else { message::general(name(record.level()), &text) };
            writeln!(out, "{line}")
        })
        .try_init();
    // a second start finds the logger in place: only the level changes
    let _ = started;
    log::set_max_level(filter);
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

/// A line that oned files under a VM.
pub fn vm(level: Level, vm: VmId, text: &str) {
    log::log!(target: VM, level, "{}", message::about_vm(name(level), vm, text));
}

/// Something odd in the request; with `brief`, tenants are told what speaks of nothing but their VM.
pub fn notice(notice: &Notice, brief: bool) {
    match notice.subject {
        Subject::Vm(id) => vm(Level::Warn, id, &notice.text),
        Subject::VmAndHosts(id) if !brief => vm(Level::Warn, id, &notice.text),
        subject => log::warn!("{subject}: {}", notice.text),
    }
}

/// All that an optimization has to say: oddities, lines about VMs that move, one summary.
pub fn migrated(migrated: &Migrated, settings: &Settings) {
    let teller = Teller { brief: settings.brief };
    notices(&migrated.notices, settings.brief);
    if migrated.migrations.len() <= settings.log_placements {
        for one in &migrated.migrations {
            let Migration { from, to, datastore, to_datastore, score: (before, after), why, .. } = one;
            let text = if one.leaves_datastore() {
                format!("moves from datastore {datastore} to datastore {to_datastore}, on host {from}: {why}")
            } else {
                format!(
                    "moves from host {from} to host {to}, datastore {datastore}: {why} (D {before:.3} -> {after:.3})"
                )
            };
            teller.tell(Level::Info, one.vm, &text, "is migrated, to even out hosts or to keep the rules");
        }
    }
    for (id, reason) in &migrated.staying {
        teller.tell(Level::Debug, *id, &format!("is not moved: {reason}"), "is not moved");
    }
    log::info!("{}", summary(migrated));
}

/// The outcome in a sentence.
pub fn summary(migrated: &Migrated) -> String {
    let (before, after) = migrated.objective;
    let used = |part: fn(&HostChange) -> usize| migrated.hosts.iter().filter(|host| part(host) > 0).count();
    let hosts = match (used(|host| host.vms.0), used(|host| host.vms.1)) {
        (old, new) if old == new => String::new(),
        (old, new) => format!("; used hosts {old} -> {new}"),
    };
    match migrated.migrations.len() {
        0 => {
            let why = migrated.idle.as_deref().unwrap_or("no migration pays");
            format!("moves nothing; largest interference D {before:.3}; {why}")
        }
        count => format!(
            "moves {count} of {} movable VMs; largest interference D {before:.3} -> {after:.3}{hosts}",
            migrated.movable
        ),
    }
}

/// Notices by kind; what is beyond the first of each kind is summed up.
fn notices(all: &[Notice], brief: bool) {
    for kind in all.chunk_by(|a, b| discriminant(&a.subject) == discriminant(&b.subject)) {
        kind.iter().take(NOTICES).for_each(|one| notice(one, brief));
        if kind.len() > NOTICES {
            log::warn!("and {} more notices of this kind", kind.len() - NOTICES);
        }
    }
}

/// Tells on a terminal what is being done and for how long, on one line that goes when it is done; silent
/// elsewhere. An empty text ends it.
pub fn progress() -> impl Fn(&str) {
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    move |text: &str| {
        if text.is_empty() {
            bar.finish_and_clear();
        } else {
            // what comes from files and names goes to the terminal
            bar.set_message(message::safe(text));
            bar.tick();
        }
    }
}

/// Tells what happens to VMs: to whom, and how much of it.
struct Teller {
    brief: bool,
}

impl Teller {
    /// One line in the log of the VM; where that is `brief`, the whole is told to the operator.
    fn tell(&self, level: Level, id: VmId, text: &str, brief: &str) {
        if self.brief {
            vm(level, id, brief);
            log::log!(level, "VM {id} {text}");
        } else {
            vm(level, id, text);
        }
    }
}

/// Why VMs wait, for the operator where tenants are told in brief: one line for all that wait for the same.
fn waiting(report: &Report) {
    let mut alike: Vec<(&str, Vec<VmId>)> = Vec::new();
    let mut place_of: HashMap<&str, usize> = HashMap::new();
    for refusal in &report.refusals {
        let place = *place_of.entry(&refusal.text).or_insert(alike.len());
        match alike.get_mut(place) {
            Some((_, vms)) => vms.push(refusal.vm),
            None => alike.push((&refusal.text, vec![refusal.vm])),
        }
    }
    for (text, vms) in alike.iter().take(NOTICES) {
        log::warn!("{}, waiting: {text}", listed(vms));
    }
    if alike.len() > NOTICES {
        log::warn!("and {} more reasons why VMs wait: see the decision log", alike.len() - NOTICES);
    }
}

/// All that a decision has to say: oddities, one line per VM that waits, lines about placed VMs, one summary.
/// Who waits is told when the configuration was `outdated`: it may be why.
pub fn report(planned: &Planned, settings: &Settings, outdated: bool) {
    let report = &planned.report;
    let (placements, teller) = (settings.log_placements, Teller { brief: settings.brief });
    notices(&report.notices, settings.brief);
    let why = if outdated { "; the configuration is wrong, an older one counts" } else { "" };
    for refusal in &report.refusals {
        let text = if settings.brief { refusal.in_brief() } else { refusal.text.as_str().into() };
        vm(Level::Error, refusal.vm, &format!("{text}{why}"));
    }
    if settings.brief {
        waiting(report);
    }
    if report.decisions.len() <= placements {
        for decision in &report.decisions {
            let (host, datastore) = (decision.host, decision.datastore);
            let (before, after) = (decision.score_before, decision.score_after);
            let scores = format!("D {before:.3} -> {after:.3}");
            let text = format!("goes to host {host}, datastore {datastore}: {} ({scores})", decision.why);
            teller.tell(Level::Info, decision.vm, &text, "is placed");
        }
    }
    if report.later.len() <= placements {
        for (id, text) in &report.later {
            teller.tell(Level::Info, *id, text, "is on its way, or comes next");
        }
    }
    log::debug!("D is made of {}", report.resources_text());
    log::info!("{}", report.summary());
}

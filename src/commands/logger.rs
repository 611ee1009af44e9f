//! Log lines in oned's form on standard error. See `opennebula::message`.

use crate::config::LogLevel;
use crate::model::ids::VmId;
use crate::model::report::Planned;
use crate::model::snapshot::{Notice, Subject};
use crate::opennebula::message;
use log::{Level, LevelFilter};
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

/// Something odd in the request.
pub fn notice(notice: &Notice) {
    match notice.subject {
        Subject::Vm(id) => vm(Level::Warn, id, &notice.text),
        subject => log::warn!("{subject}: {}", notice.text),
    }
}

/// All that a decision has to say: oddities, one line per VM that waits, at most
/// `placements` lines about placed VMs, one summary.
pub fn report(planned: &Planned, placements: usize) {
    let report = &planned.report;
    for kind in report.notices.chunk_by(|a, b| discriminant(&a.subject) == discriminant(&b.subject)) {
        kind.iter().take(NOTICES).for_each(notice);
        if kind.len() > NOTICES {
            log::warn!("and {} more notices of this kind", kind.len() - NOTICES);
        }
    }
    for refusal in &report.refusals {
        vm(Level::Error, refusal.vm, &refusal.text);
    }
    if report.decisions.len() <= placements {
        for decision in &report.decisions {
            let (host, datastore) = (decision.host, decision.datastore);
            let (before, after) = (decision.score_before, decision.score_after);
            let scores = format!("D {before:.3} -> {after:.3}");
            vm(
                Level::Info,
                decision.vm,
                &format!("goes to host {host}, datastore {datastore}: {} ({scores})", decision.why),
            );
        }
    }
    log::debug!("D is made of {}", report.resources_text());
    log::info!("{}", report.summary());
    if let Some(green) = &report.green {
        log::info!("green: {}", green.text());
    }
}

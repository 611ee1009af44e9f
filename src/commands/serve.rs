//! `oneaio serve`: the HTTP service, for OpenNebula 6 and for users of AI-Orchestrator.

use super::show::page;
use super::{AnswerArgs, Exit, driver, logger};
use crate::config::{LogLevel, Settings};
use crate::oned::{Limits, Oned};
use crate::recall::history;
use crate::recall::live::Remembered;
use crate::recall::modelfile;
use crate::records::decision_log;
use crate::server::{self, Changers, Chosen, Log, Parts, ServeError, Token};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Serves until it is told to stop.
#[must_use]
pub fn run(args: &AnswerArgs) -> Exit {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let (changers, socket) = match (changers(&settings), socket()) {
        (Ok(changers), Ok(socket)) => (changers, socket),
        (Err(problem), _) | (_, Err(problem)) => {
            log::error!("{problem}");
            return Exit::Usage;
        }
    };
    if matches!(changers, Changers::Everybody) {
        log::warn!("whoever reaches this port may change classifier, scheduler and s_green (serve.open_changes)");
    }
    let parts = Parts {
        chosen: chosen(&settings),
        changers,
        log: log_of(&settings),
        draw: Box::new(page::served),
        memory: Remembered::start(history::chosen(&settings), settings.history_deadline, modelfile::path(&settings)),
        oned: settings.serve.oned_refresh.and_then(|_| oned()),
        writer: settings.serve.sched_message.then(writer).flatten(),
        socket,
        settings,
    };
    match server::run(parts, ready, || notify(sd_notify::NotifyState::Stopping)) {
        Ok(()) => {
            log::info!("stopped");
            Exit::Done
        }
        Err(error @ ServeError::Listen(..)) => {
            log::error!("{error}");
            Exit::Usage
        }
        Err(error) => {
            log::error!("{error}");
            Exit::Fault
        }
    }
}

/// The settings, with AI-Orchestrator's name for the port over the file.
fn settings(args: &AnswerArgs) -> Result<Settings, Exit> {
    let mut args = args.clone();
    if let Some(port) = std::env::var("ML_MODEL_PORT").ok().filter(|text| !text.trim().is_empty()) {
        let port = port.trim();
        if port.parse::<u16>().is_err() {
            logger::start(LogLevel::default());
            log::error!("ML_MODEL_PORT: it is {port:?}; it must be a port from 0 to 65535");
            return Err(Exit::Usage);
        }
        args.config.set.insert(0, format!("serve.port={port}"));
    }
    Ok(driver::begin_answering(&args)?.settings)
}

/// The decision log, where there is one: `explain` reads it.
fn log_of(settings: &Settings) -> Log {
    let settings = settings.clone();
    Box::new(move |decided, at| decision_log::append(&settings, &decision_log::placement(decided, at, None)))
}

/// Who may change what is set: a token goes before all else.
fn changers(settings: &Settings) -> Result<Changers, String> {
    let Some(path) = &settings.serve.token_file else {
        return Ok(if settings.serve.open_changes { Changers::Everybody } else { Changers::Own });
    };
    warn_if_open(path);
    let problem = |error| format!("serve.token_file {} cannot be used: {error}", path.display());
    Token::read(path).map(Changers::Token).map_err(problem)
}

fn warn_if_open(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0) {
        log::warn!("serve.token_file {} may be read by all users: chmod 640", path.display());
    }
}

/// What was kept. A broken file costs what it kept, not the service.
fn chosen(settings: &Settings) -> Chosen {
    let Some(path) = &settings.serve.state_file else { return Chosen::default() };
    Chosen::load(path).unwrap_or_else(|problem| {
        log::error!("serve.state_file is not used, the service begins as configured: {problem}");
        Chosen::default()
    })
}

/// oned, patient as long as nobody waits for it. Without one the service goes on.
fn oned() -> Option<Oned> {
    let seconds = Duration::from_secs;
    let limits = Limits { connect: seconds(5), read: seconds(10), total: seconds(30) };
    Oned::of_environment(limits)
        .inspect_err(|error| log::warn!("oned is not asked, VMs are spread by what requests say: {error}"))
        .ok()
}

/// oned for messages to VMs: one that is slow is not waited for.
fn writer() -> Option<Oned> {
    let seconds = Duration::from_secs;
    let limits = Limits { connect: seconds(2), read: seconds(5), total: seconds(10) };
    Oned::of_environment(limits)
        .inspect_err(|error| log::warn!("reasons are not written to VMs (serve.sched_message): {error}"))
        .ok()
}

/// The socket that systemd has opened for us.
fn socket() -> Result<Option<TcpListener>, String> {
    listenfd::ListenFd::from_env()
        .take_tcp_listener(0)
        .map_err(|error| format!("the socket of LISTEN_FDS cannot be used: {error}; it must be a TCP stream"))
}

fn ready(address: SocketAddr) {
    log::info!("listening on http://{address}");
    notify(sd_notify::NotifyState::Ready);
}

fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::debug!("systemd was not told: {error}");
    }
}

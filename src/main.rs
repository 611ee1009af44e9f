//! The oneaio binary: the command line, and one sentence should all else fail.

use oneaio::commands::Exit;
use signal_hook::consts::SIGXFSZ;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn main() -> ExitCode {
    // at a limit of file sizes a write fails then, and does not end us: a log is not a plan
    let noticed = Arc::new(AtomicBool::new(false));
    if signal_hook::flag::register(SIGXFSZ, noticed).is_err() {
        log::debug!("SIGXFSZ cannot be handled");
    }
    // a fault must look like every other message: one line that oned understands
    std::panic::set_hook(Box::new(|fault| {
        let place = fault.location().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "ERROR: oneaio has a fault ({place}); please report it with the request");
    }));
    let exit = std::panic::catch_unwind(oneaio::cli::run).unwrap_or(Exit::Fault);
    ExitCode::from(exit as u8)
}

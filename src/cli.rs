//! The command line: what can be asked, and the exit status of every answer.

use crate::commands::advise::AdviseArgs;
use crate::commands::check::CheckArgs;
use crate::commands::classes::ClassesArgs;
use crate::commands::classify::ClassifyArgs;
use crate::commands::collect::CollectArgs;
use crate::commands::config::PrintArgs;
use crate::commands::db::DbCommand;
use crate::commands::drain::DrainArgs;
use crate::commands::evaluate::EvaluateArgs;
use crate::commands::explain::ExplainArgs;
use crate::commands::import::ImportArgs;
use crate::commands::optimize::OptimizeArgs;
use crate::commands::power::PowerArgs;
use crate::commands::replay::ReplayArgs;
use crate::commands::simulate::SimulateArgs;
use crate::commands::train::TrainArgs;
use crate::commands::{self, AnswerArgs, Exit};
use clap::{Parser, Subcommand};

/// The AI-Orchestrator scheduler for OpenNebula.
///
/// Exit status: 0 done; 1 a replay differs from what was expected, or a host cannot be emptied, or was not to its
/// end; 2 the command line or the configuration is wrong; 3 what was to be read cannot be used (request, store, oned); 4 the answer cannot be
/// written; 70 a fault of oneaio itself.
#[derive(Debug, Parser)]
#[command(name = "oneaio", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer a PLACE request of oned: request on standard input, plan on standard output.
    Place(AnswerArgs),
    /// Answer an OPTIMIZE request of oned: request on standard input, migrations on standard output.
    Optimize(OptimizeArgs),
    /// Say whether a host can be emptied, by which migrations, or which VM and rule is in the way.
    Drain(DrainArgs),
    /// Report which VMs ask for far more or less than they use, and what a cluster could hold. Nothing is done.
    Advise(AdviseArgs),
    /// Decide recorded requests offline and show why.
    Replay(ReplayArgs),
    /// Serve OpenNebula 6 (EXTERNAL_SCHEDULER of sched.conf) and the REST calls of AI-Orchestrator.
    Serve(AnswerArgs),
    /// Bring what VMs use from oned into the store of history.
    Collect(CollectArgs),
    /// Read usage tables (CSV, also gz) into the store of history.
    Import(ImportArgs),
    /// Make a model of the store's history, judge it, and renew all estimates by it.
    Train(TrainArgs),
    /// Show class and estimate of VMs, and where they come from.
    Classify(ClassifyArgs),
    /// Show the classes of the model in words and numbers.
    Classes(ClassesArgs),
    /// Show how good estimates are, on VMs and at times that nothing was fitted on.
    Evaluate(EvaluateArgs),
    /// Show what hosts draw by their use of CPU, fitted to measured power, as lines for their templates.
    Power(PowerArgs),
    /// Make, show or shorten the store of history.
    #[command(subcommand)]
    Db(DbCommand),
    /// Tell why VMs go where they go, or why they wait.
    Explain(ExplainArgs),
    /// Look whether everything is set up and well, and say what to change.
    Check(CheckArgs),
    /// Decide a usage trace by several policies side by side, and judge them by what followed.
    Simulate(SimulateArgs),
    /// Print the configuration file with every key at its default.
    Config(PrintArgs),
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // help and version are no errors; clap prints to the right stream
            let _ = error.print();
            // plugins of Nagios say 3 for that
            let plugin = std::env::args().any(|arg| arg == "--nagios");
            let wrong = if plugin { Exit::Unusable } else { Exit::Usage };
            return if error.use_stderr() { wrong } else { Exit::Done };
        }
    };
    match cli.command {
        Command::Place(args) => commands::place::run(&args),
        Command::Optimize(args) => commands::optimize::run(&args),
        Command::Drain(args) => commands::drain::run(&args),
        Command::Advise(args) => commands::advise::run(&args),
        Command::Replay(args) => commands::replay::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Collect(args) => commands::collect::run(&args),
        Command::Import(args) => commands::import::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Classify(args) => commands::classify::run(&args),
        Command::Classes(args) => commands::classes::run(&args),
        Command::Evaluate(args) => commands::evaluate::run(&args),
        Command::Power(args) => commands::power::run(&args),
        Command::Db(command) => commands::db::run(&command),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Config(args) => commands::config::run(&args),
        Command::Simulate(args) => commands::simulate::run(&args),
    }
}

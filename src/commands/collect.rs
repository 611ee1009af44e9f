//! `oneaio collect`: what VMs use and who they are, from oned into the store. See
//! `recall::collecting`.

use super::{ConfigArgs, Exit, driver};
use crate::oned::{Limits, Oned};
use crate::recall::{collecting, modelfile};
use clap::Args;
use std::time::Duration;

/// How to collect.
#[derive(Clone, Debug, Args)]
pub struct CollectArgs {
    /// Keep running, and collect again after this many seconds, each time.
    #[arg(long, value_name = "SECONDS")]
    pub watch: Option<u64>,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Collects once, or for ever.
#[must_use]
pub fn run(args: &CollectArgs) -> Exit {
    let (settings, chosen) = match driver::with_store(&args.config) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let oned = match Oned::of_environment(Limits::default()) {
        Ok(oned) => oned,
        Err(error) => return driver::failed(Exit::Usage, &error.into()),
    };
    loop {
        // read each time: training may have written a new one
        let model = modelfile::or_without(&settings);
        let outcome = collecting::once(&oned, &chosen, model.as_ref(), settings.history_keep);
        if let Err(error) = &outcome {
            log::error!("nothing more was collected: {error:#}");
        }
        match args.watch {
            Some(seconds) => std::thread::sleep(Duration::from_secs(seconds.max(1))),
            None => return if outcome.is_ok() { Exit::Done } else { Exit::Unusable },
        }
    }
}

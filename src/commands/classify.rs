//! `oneaio classify VM...`: what history says of a VM: its class, its estimate, and where
//! that comes from.

use super::show::terminal;
use super::{ConfigArgs, Exit, driver};
use crate::demand::estimator::{Fit, HORIZON_NAMES, PLACEMENT, Shares};
use crate::demand::memory::Memory;
use crate::demand::mix;
use crate::demand::model::Model;
use crate::demand::relatives::{self, Relatives};
use crate::demand::study::size;
use crate::history::{StoreError, Training};
use crate::model::demand::{Demand, Source, Usage};
use crate::model::history::Group;
use crate::model::ids::VmId;
use crate::model::sample::VmIdentity;
use crate::recall::history;
use crate::recall::modelfile;
use anyhow::anyhow;
use clap::Args;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Whom to classify.
#[derive(Clone, Debug, Args)]
pub struct ClassifyArgs {
    /// Ids of VMs.
    #[arg(required = true, value_name = "VM")]
    pub vms: Vec<i32>,
    /// Settings.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Prints a paragraph for each VM.
#[must_use]
pub fn run(args: &ClassifyArgs) -> Exit {
    let (settings, chosen) = match driver::with_store(&args.config) {
        Ok(configured) => configured,
        Err(exit) => return exit,
    };
    let model = modelfile::or_without(&settings);
    if model.is_none() {
        log::warn!("there is no model, so there are no classes: `oneaio train` makes one");
    }
    let vms: Vec<VmId> = args.vms.iter().copied().map(VmId).collect();
    let told = history::open_as_it_is(&chosen, Duration::from_secs(30))
        .and_then(|mut store| tell(store.as_mut(), &vms, model.as_ref()))
        .map_err(|error| anyhow!("the store {chosen:?} cannot be used: {error}"));
    match told {
        Ok((text, all)) => driver::print(&terminal::lines(&text)).max(if all { Exit::Done } else { Exit::Unusable }),
        Err(error) => driver::failed(Exit::Unusable, &error),
    }
}

/// What to print, and whether every VM is known.
fn tell(store: &mut dyn Training, vms: &[VmId], model: Option<&Model>) -> Result<(String, bool), StoreError> {
    let identities: HashMap<VmId, VmIdentity> = store.identities(Some(vms))?.into_iter().collect();
    let mut states = HashMap::new();
    for (vm, _, state) in store.states(vms)? {
        states.insert(vm, Memory::from_bytes(&state));
    }
    let mut keys: Vec<String> =
        identities.values().flat_map(|who| relatives::keys(who).into_iter().map(|(_, key)| key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let groups: HashMap<String, Group> = store.relatives(&keys)?.into_iter().collect();
    let relatives = Relatives::new(&groups);
    let (mut text, mut all) = (String::new(), true);
    for vm in vms {
        let identity = identities.get(vm);
        let prior = identity.and_then(|who| relatives.demand(who));
        // writing to a String cannot fail
        let _ = match states.get(vm) {
            Some(Some(memory)) => write!(text, "{}", with_history(*vm, memory, identity, prior.as_ref(), model)),
            Some(None) => writeln!(text, "VM {vm}: its state is of another version: run `oneaio train`"),
            None => match &prior {
                Some(prior) => writeln!(text, "VM {vm}: no history; by {}: {}", prior.source.name(), amounts(prior)),
                None => {
                    all = false;
                    writeln!(text, "VM {vm}: nothing is known of it; it counts as what it asks for")
                }
            },
        };
    }
    Ok((text, all))
}

fn with_history(
    vm: VmId,
    memory: &Memory,
    identity: Option<&VmIdentity>,
    prior: Option<&Demand>,
    model: Option<&Model>,
) -> String {
    let traits = memory.traits();
    let (estimate, vectors) = match model {
        Some(model) => model.learn(memory, identity),
        None => (mix::unfitted(&traits), Vec::new()),
    };
    let mut text = format!(
        "VM {vm}{}: {} samples over {:.1} days\n",
        identity.map_or(String::new(), |who| format!(
            " {} ({} cores, {:.1} GiB)",
            who.name,
            who.cpu as f64 / 100.0,
            who.memory as f64 / 1_048_576.0
        )),
        traits.samples,
        traits.span as f64 / 86_400.0
    );
    let window = identity.map(|who| memory.window(size(who)));
    let class = match (model, &window) {
        (Some(model), Some(Ok(window))) => model.fitting().by_class(window, PLACEMENT).usage,
        _ => None,
    };
    let fit = model.map_or_else(Fit::default, |model| model.fitting().fit.clone());
    let origin = origin(fit.shares(traits.span, class.is_some()), prior);
    let _ = match mix::demand(Some(&estimate), || prior.copied()) {
        Some(demand) if demand.source == Source::History => {
            writeln!(text, "  estimate from {origin}: {}", amounts(&demand))
        }
        Some(demand) => writeln!(text, "  too few samples yet; by {}: {}", demand.source.name(), amounts(&demand)),
        None => writeln!(text, "  too few samples yet; it counts as what it asks for"),
    };
    match (model, window) {
        (Some(model), Some(Ok(window))) => {
            let found = model.fitting().classifier.classify(&window);
            let list = |values: &[f64]| values.iter().map(|x| format!("{x:.2}")).collect::<Vec<_>>().join(", ");
            let _ = writeln!(
                text,
                "  class {} of {} by {}, confidence {:.2}; distances {}{}",
                found.class,
                found.distances.len(),
                model.header.classifier,
                found.confidence,
                list(&found.distances),
                vectors.iter().map(|(name, vector)| format!("; vector of {name} {}", list(vector))).collect::<String>()
            );
            for (horizon, name) in HORIZON_NAMES.iter().enumerate() {
                let (level, peak) = model.fitting().fit.usage(&traits, horizon);
                let class = model.fitting().by_class(&window, horizon).usage.zip(identity);
                let class = class.map_or(String::new(), |(class, who)| {
                    let (level, peak) = (class.level.usage(who).cpu, class.peak.usage(who).cpu);
                    format!("; by class alone {level:.0} % and {peak:.0} %")
                });
                let (level, peak) = (level.cpu, peak.cpu);
                let _ = writeln!(text, "  next {name}: CPU level {level:.0} %, peak {peak:.0} % of a core{class}");
            }
        }
        (Some(_), Some(Err(error))) => {
            let _ = writeln!(text, "  no class: {error}");
        }
        (Some(_), None) => {
            let _ = writeln!(text, "  no class: its size is not known; `oneaio collect` asks oned for it");
        }
        (None, _) => {}
    }
    text
}

/// Where the estimate of CPU comes from, in shares.
fn origin(shares: Shares, prior: Option<&Demand>) -> String {
    // without relatives the others have all
    let rest = if prior.is_some() { 1.0 - shares.trust() } else { 0.0 };
    let all = shares.own + shares.class + rest;
    let parts = [
        (shares.own, "own history".to_owned()),
        (shares.class, "its class".to_owned()),
        (rest, prior.map_or(String::new(), |prior| format!("relatives ({})", prior.source.name()))),
    ];
    let told: Vec<(f64, String)> = parts.into_iter().filter(|(share, _)| *share / all >= 0.005).collect();
    match told.as_slice() {
        [] => "own history".to_owned(),
        [(_, only)] => only.clone(),
        several => {
            let words = several.iter().map(|(share, name)| format!("{:.0} % {name}", 100.0 * share / all));
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Level and peak in words.
fn amounts(demand: &Demand) -> String {
    let io = |value: Option<f64>| value.map_or("-".to_owned(), |bytes| format!("{:.0} KiB/s", bytes / 1024.0));
    let of = |usage: &Usage| {
        format!(
            "CPU {:.0} % of a core, memory {:.1} GiB, disk {}, network {}",
            usage.cpu,
            usage.memory / 1_048_576.0,
            io(usage.disk_io),
            io(usage.net_io)
        )
    };
    format!("level {} (CPU +- {:.0} %); peak {}", of(&demand.level), demand.cpu_deviation, of(&demand.peak))
}

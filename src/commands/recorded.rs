//! A bundle, with the settings and the history that its decision rests on.

use super::{ConfigArgs, Exit, driver};
use crate::config::{Settings, Store};
use crate::decide;
use crate::model::history::Recall;
use crate::model::snapshot::Snapshot;
use crate::recall::history::{self, History};
use crate::recall::modelfile;
use crate::records::bundle::{Bundle, MOST_REQUEST};
use anyhow::Context;

/// What store and model of this machine tell of a living cluster.
pub fn known(settings: &Settings, snapshot: &Snapshot) -> Recall {
    let Some(store) = history::chosen(settings) else { return Recall::default() };
    let history = History::start(store, settings.history_deadline).with_model(modelfile::or_without(settings));
    history.recall(snapshot, None)
}

/// What a bundle's decision rests on: its settings, its request, and what the store told,
/// which is its own where it has some.
pub fn read(bundle: &Bundle, config: &ConfigArgs) -> Result<(Settings, Snapshot, Recall), (Exit, anyhow::Error)> {
    let settings = driver::load_for(config, bundle).map_err(|error| (Exit::Usage, error))?;
    let request = bundle.open_request().map_err(|error| (Exit::Usage, error))?;
    let told = || bundle.path.display().to_string();
    let snapshot =
        decide::read_recorded(request, MOST_REQUEST).with_context(told).map_err(|error| (Exit::Unusable, error))?;
    if let Some(recall) = bundle.recall().map_err(|error| (Exit::Unusable, error))? {
        return Ok((settings, snapshot, recall));
    }
    let own = bundle.history().map_err(|error| (Exit::Usage, error))?;
    let history = match (own, &settings.history) {
        (Some(file), _) => Some(History::foreign(file, settings.history_deadline)),
        (None, Some(named)) if *named != Store::None => Some(History::start(named.clone(), settings.history_deadline)),
        _ => None,
    };
    let asked = |history: History| history.with_classes(&settings.policy).recall(&snapshot, None);
    let recall = history.map(asked).unwrap_or_default();
    Ok((settings, snapshot, recall))
}

//! What `check` finds in the model of demands: whether it can be read, is young enough, and
//! was fitted on VMs as the store knows them.

use super::Findings;
use crate::config::Settings;
use crate::demand::model::Header;
use crate::demand::study::MOST_VMS;
use crate::history::StoreStatus;
use crate::model::moment::utc;
use crate::recall::modelfile;

/// A model whose newest sample is older than this, in seconds, against the store's: train runs
/// daily.
const OLD: i64 = 14 * 86_400;

/// The file of the settings, against what the store holds, if there is one.
pub fn model(settings: &Settings, store: Option<&StoreStatus>, now: i64, findings: &mut Findings) {
    let path = modelfile::path(settings);
    match modelfile::read(&path) {
        Ok(Some(model)) => {
            let Header { classifier, vms, windows, trained_until, .. } = &model.header;
            let until = utc(*trained_until);
            let text = format!("{}: {classifier}, of {vms} VMs and {windows} windows until {until}", path.display());
            findings.ok("model", text);
            fits(&model.header, store, now, findings);
        }
        Ok(None) if settings.model.is_some() => {
            let text = format!("{} is not there: estimates are simple means and percentiles", path.display());
            findings.warning("model", text, "oneaio train, or leave `model` at its default");
        }
        Ok(None) => {
            let text = "none yet, estimates are simple means and percentiles; `oneaio train` makes one of some days of history";
            findings.ok("model", text);
        }
        Err(error) => findings.error("model", format!("{error:#}"), "oneaio train"),
    }
}

fn fits(header: &Header, store: Option<&StoreStatus>, now: i64, findings: &mut Findings) {
    let newest = store.and_then(|store| store.span).map_or(now, |(_, last)| last);
    let days = newest.saturating_sub(header.trained_until) / 86_400;
    let fix = "oneaio train, daily by: systemctl enable --now oneaio-train.timer";
    if newest.saturating_sub(header.trained_until) > OLD {
        findings.warning("model", format!("it knows nothing of the last {days} days"), fix);
    } else if header.trained_until.saturating_sub(newest) > OLD {
        findings.warning("model", "it was fitted on samples that are newer than all in the store", fix);
    }
    let known = store.map_or(0, |store| store.vms);
    let count = |vms: usize| i64::try_from(vms).unwrap_or(i64::MAX);
    let fitted = count(header.vms);
    // a larger cloud than is ever fitted on does not speak against it
    if fitted.saturating_mul(4) < known.min(count(MOST_VMS)) {
        findings.warning("model", format!("it was fitted on {fitted} VMs, the store knows {known}"), fix);
    }
}

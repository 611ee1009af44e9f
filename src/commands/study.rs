//! Histories for training and evaluation, from the store or from tables, one VM after another.

use crate::commands::ConfigArgs;
use crate::commands::Exit;
use crate::config::Store;
use crate::demand::study::{MOST_VMS, Study};
use crate::history::Training;
use crate::history::import::{Capacities, Origin, read_samples, vm_of_file};
use crate::model::ids::VmId;
use crate::model::sample::{VmIdentity, VmSample};
use crate::recall::history;
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where histories come from.
pub enum Source {
    /// The store.
    Store(Store),
    /// Usage tables and a table of sizes.
    Tables(Vec<PathBuf>, PathBuf),
}

impl Source {
    /// Tables where some are named, else the configured store; what is wrong is told.
    pub fn open(files: &[PathBuf], vms: Option<&Path>, config: &ConfigArgs) -> Result<Self, Exit> {
        match (files, vms) {
            ([], None) => history::configured(config).map(|(_, chosen)| Self::Store(chosen)),
            ([], Some(_)) => {
                log::error!("--vms goes with usage tables; none is named");
                Err(Exit::Usage)
            }
            (files, Some(vms)) => Ok(Self::Tables(files.to_vec(), vms.to_owned())),
            (_, None) => {
                log::error!("usage tables need the sizes of their VMs: --vms FILE (vmid, cores, mem_capacity_kb)");
                Err(Exit::Usage)
            }
        }
    }

    /// All examples, of at most [`MOST_VMS`] VMs.
    pub fn study(&self, seed: u64, progress: &dyn Fn(&str)) -> Result<Study> {
        match self {
            Self::Store(chosen) => {
                let told = |error| anyhow!("the store {chosen:?} cannot be used: {error}");
                let mut store = history::open(chosen, Duration::from_secs(60)).map_err(told)?;
                of_store(store.as_mut(), seed, progress)
            }
            Self::Tables(files, vms) => of_tables(files, vms, progress),
        }
    }
}

/// Examples of a store.
pub fn of_store(store: &mut dyn Training, seed: u64, progress: &dyn Fn(&str)) -> Result<Study> {
    let told = |error| anyhow!("the store cannot be read: {error}");
    let sized = store.identities(None).map_err(told)?.into_iter();
    let mut sized: Vec<(VmId, VmIdentity)> = sized.filter(|(_, who)| who.cpu > 0 && who.memory > 0).collect();
    let known: std::collections::HashSet<VmId> = store.known().map_err(told)?.into_iter().collect();
    sized.retain(|(vm, _)| known.contains(vm));
    if sized.is_empty() {
        bail!(
            "no VM of the store has both history and a known size: run `oneaio collect`, or \
             `oneaio import --vms SIZES TABLE`"
        );
    }
    if sized.len() > MOST_VMS {
        // by a hash of id and seed: the same VMs for the same seed, whatever the order
        sized.sort_by_key(|(vm, _)| {
            (u64::from(vm.0.unsigned_abs()) ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        });
        sized.truncate(MOST_VMS);
        sized.sort_by_key(|(vm, _)| *vm);
    }
    let (mut study, count) = (Study::of(sized.len()), sized.len());
    for (index, (vm, identity)) in sized.into_iter().enumerate() {
        study.add(vm, &identity, store.samples(vm).map_err(told)?);
        progress(&format!("VM {} of {count} read", index + 1));
    }
    Ok(study)
}

/// Examples of tables. VMs may stand in any order: the table is held until all is read.
fn of_tables(files: &[PathBuf], vms: &Path, progress: &dyn Fn(&str)) -> Result<Study> {
    let open = |path: &Path| -> Result<BufReader<File>> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(BufReader::with_capacity(1 << 20, file))
    };
    let (capacities, _) = Capacities::read(open(vms)?).with_context(|| vms.display().to_string())?;
    let mut of_each: BTreeMap<VmId, Vec<VmSample>> = BTreeMap::new();
    for path in files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let origin = Origin { vm: vm_of_file(&name), capacities: &capacities };
        let mut told = |at: crate::history::import::Progress| progress(&format!("{name}: {} rows read", at.lines));
        read_samples(open(path)?, &origin, &mut told, &mut |sample| of_each.entry(sample.vm).or_default().push(sample))
            .with_context(|| path.display().to_string())?;
    }
    let count = of_each.len();
    let mut study = Study::of(count);
    for (index, (vm, samples)) in of_each.into_iter().enumerate() {
        if let Some(identity) = capacities.identity(vm) {
            study.add(vm, &identity, samples);
        }
        progress(&format!("VM {} of {count} studied", index + 1));
    }
    if study.cases.is_empty() {
        bail!("no VM of these tables has both two days of history and a size (columns cores and mem_capacity_kb)");
    }
    Ok(study)
}

/// Tells on a terminal what is being done, on one line; silent elsewhere.
pub fn progress() -> impl Fn(&str) {
    let terminal = std::io::stderr().is_terminal();
    move |text: &str| {
        if terminal {
            // a lost progress line is no loss
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }
}

//! Histories for training and evaluation, from the store or from tables, one VM after another.

use crate::demand::study::{MOST_VMS, Study};
use crate::history::Training;
use crate::history::import::{Capacities, Origin, read_samples, vm_of_file};
use crate::machine::files::open;
use crate::model::chance;
use crate::model::ids::VmId;
use crate::model::sample::{VmIdentity, VmSample};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
        sized.sort_by_key(|(vm, _)| chance::mixed(&[u64::from(vm.0.unsigned_abs()), seed]));
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
pub fn of_tables(files: &[PathBuf], vms: &Path, progress: &dyn Fn(&str)) -> Result<Study> {
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

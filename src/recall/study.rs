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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Known, Learnt, StoreError};
    use crate::model::demand::Usage;
    use crate::model::history::Estimate;
    use std::cell::RefCell;
    use std::fmt::Write as _;

    /// A store of VMs by size, that notes whose samples it is asked for.
    #[derive(Default)]
    struct Sized {
        identities: Vec<(VmId, VmIdentity)>,
        known: Vec<VmId>,
        /// Samples of each.
        length: i64,
        asked: Vec<VmId>,
    }

    impl Known for Sized {
        fn estimates(&mut self, _: &[VmId]) -> Result<Vec<(VmId, Estimate)>, StoreError> {
            Ok(Vec::new())
        }

        fn identities(&mut self, _: Option<&[VmId]>) -> Result<Vec<(VmId, VmIdentity)>, StoreError> {
            Ok(self.identities.clone())
        }
    }

    impl Training for Sized {
        fn known(&mut self) -> Result<Vec<VmId>, StoreError> {
            Ok(self.known.clone())
        }

        fn states(&mut self, _: &[VmId]) -> Result<Vec<(VmId, Estimate, Vec<u8>)>, StoreError> {
            Ok(Vec::new())
        }

        fn samples(&mut self, vm: VmId) -> Result<Vec<VmSample>, StoreError> {
            self.asked.push(vm);
            let usage = Usage { cpu: 10.0, memory: 20.0, ..Usage::default() };
            Ok((0..self.length).map(|i| VmSample { vm, at: 300 * i, usage }).collect())
        }

        fn revise(&mut self, _: &[(VmId, Learnt)]) -> Result<(), StoreError> {
            Err(StoreError::ReadOnly)
        }
    }

    fn sized(vm: i32, cpu: i64, memory: i64) -> (VmId, VmIdentity) {
        (VmId(vm), VmIdentity { cpu, memory, ..VmIdentity::default() })
    }

    #[test]
    fn vms_of_a_store_count_that_have_a_size_and_history() {
        let identities = vec![sized(1, 1, 1), sized(2, 0, 1), sized(3, 1, 0), sized(4, 100, 100), sized(5, 100, 100)];
        let known = [1, 2, 3, 5].map(VmId).to_vec();
        let mut store = Sized { identities, known, length: 900, ..Sized::default() };
        let lines = RefCell::new(Vec::new());
        let study = of_store(&mut store, 1, &|line| lines.borrow_mut().push(line.to_owned())).unwrap();
        assert_eq!(store.asked, [VmId(1), VmId(5)]);
        assert_eq!(lines.into_inner(), ["VM 1 of 2 read", "VM 2 of 2 read"]);
        assert_eq!(study.span, Some((0, 300 * 899)));
        assert!([1, 5].iter().all(|vm| study.cases.iter().any(|case| case.vm == VmId(*vm))));
        store.known = vec![VmId(2)];
        let told = of_store(&mut store, 1, &|_| {}).unwrap_err().to_string();
        assert!(told.starts_with("no VM of the store has both history and a known size"), "{told}");
    }

    #[test]
    fn of_too_many_vms_some_are_chosen_by_the_seed() {
        let count = MOST_VMS as i32;
        let chosen = |vms: i32, seed: u64| {
            let identities = (0..vms).map(|vm| sized(vm, 1, 1)).rev().collect();
            let mut store = Sized { identities, known: (0..vms).map(VmId).collect(), ..Sized::default() };
            of_store(&mut store, seed, &|_| {}).unwrap();
            store.asked
        };
        assert_eq!(chosen(count, 1).len(), MOST_VMS);
        let some = chosen(count + 20, 1);
        assert!(some.len() == MOST_VMS && some.is_sorted());
        assert_ne!(some, (0..count).map(VmId).collect::<Vec<_>>(), "by chance");
        assert_ne!(some, chosen(count + 20, 2));
    }

    #[test]
    fn tables_are_studied_vm_by_vm_where_sizes_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut table = "ts,vmid,cpu_percent,mem_kb\n".to_owned();
        for i in 0..900 {
            for vm in [9, 3] {
                let _ = writeln!(table, "{},{vm},10,50", 1_700_000_000 + 300 * i);
            }
        }
        let sizes = file("vms.csv", "vmid,cores,mem_capacity_kb\n9,2,100\n");
        let samples = [file("a.csv", &table)];
        let lines = RefCell::new(Vec::new());
        let progress = |line: &str| lines.borrow_mut().push(line.to_owned());
        let study = of_tables(&samples, &sizes, &progress).unwrap();
        assert!(!study.cases.is_empty() && study.cases.iter().all(|case| case.vm == VmId(9)));
        assert_eq!(lines.into_inner(), ["a.csv: 1801 rows read", "VM 1 of 1 studied"]);
        let short = [file("b.csv", "ts,vmid,cpu_percent,mem_kb\n1700000000,9,1,1\n")];
        let told = of_tables(&short, &sizes, &|_| {}).unwrap_err().to_string();
        assert!(told.starts_with("no VM of these tables has both two days of history"), "{told}");
        assert!(of_tables(&short, &folder.path().join("none"), &|_| {}).is_err());
        let odd = [file("c.csv", "odd\n")];
        assert!(of_tables(&odd, &sizes, &|_| {}).unwrap_err().to_string().ends_with("c.csv"));
    }
}

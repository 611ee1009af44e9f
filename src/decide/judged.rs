//! A plan of anybody, judged by one measure: what it places, how even it leaves the hosts, what
//! it draws, and which rules it breaks. It compares settings and schedulers.

use super::Decided;
use crate::model::plan::Plan;
use crate::model::policy::Policy;
use crate::model::report::Footprint;
use crate::placement::check::{self, Breach};
use crate::placement::score::green;
use crate::placement::score::load::Load;
use crate::placement::score::space::Space;
use std::collections::HashMap;

/// What a plan comes to.
#[derive(Clone, Debug)]
pub struct Judged {
    /// VMs of the request that it sends to a host.
    pub placed: usize,
    /// Those that it leaves waiting.
    pub waiting: usize,
    /// Largest D of all hosts afterwards, without a thought of green, so that plans of different
    /// settings compare.
    pub objective: f64,
    /// The largest share of CPU or memory of a host that is allocated afterwards.
    pub fullest_host: f64,
    /// What the placed VMs add to the consumption of all hosts.
    pub footprint: Footprint,
    /// Rules that it breaks.
    pub breaches: Vec<Breach>,
}

impl Decided {
    /// Judges a plan for this request by the weights and limits of a policy.
    #[must_use]
    pub fn judge(&self, plan: &Plan, measure: &Policy) -> Judged {
        let (snapshot, demands) = (&self.snapshot, &self.demands);
        let measure = Policy { s_green: 0.0, ..measure.clone() };
        let space = Space::new(snapshot, demands, &measure);
        let mut load = Load::new(&space, snapshot, &measure);
        let mut allocated: Vec<(i64, i64)> =
            snapshot.hosts.iter().map(|host| (host.cpu_allocated.0, host.memory_allocated.0)).collect();
        let mut open: HashMap<_, _> =
            snapshot.candidates.iter().enumerate().map(|(request, c)| (snapshot.vms[c.vm].id, request)).collect();
        for action in &plan.actions {
            let Some(host) = snapshot.host_index(action.host) else { continue };
            // a second action for a VM counts for nothing; it is a breach
            let Some(request) = open.remove(&action.vm) else { continue };
            let vm = &snapshot.vms[snapshot.candidates[request].vm];
            load.book_and_follow(&space, request, host);
            allocated[host].0 = allocated[host].0.saturating_add(vm.cpu.0);
            allocated[host].1 = allocated[host].1.saturating_add(vm.memory.0);
        }
        let share = |part: i64, whole: i64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
        let full = snapshot.hosts.iter().zip(&allocated);
        let full = full.map(|(host, (cpu, memory))| share(*cpu, host.cpu.0).max(share(*memory, host.memory.0)));
        Judged {
            placed: snapshot.candidates.len() - open.len(),
            waiting: open.len(),
            objective: load.objective(),
            fullest_host: full.fold(0.0, f64::max),
            footprint: green::footprint(snapshot, demands, plan),
            breaches: check::breaches(snapshot, plan, &measure),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::decide::place_snapshot;
    use crate::model::history::Recall;
    use crate::model::ids::{DatastoreId, HostId, VmId};
    use crate::model::plan::{Action, Operation, Plan};
    use crate::model::policy::Policy;
    use crate::model::units::{Cpu, Memory};
    use crate::placement::testing::{ask, cloud};

    #[test]
    fn a_plan_is_judged_by_what_it_places_and_how_full_and_even_it_leaves_hosts() {
        let mut asked = cloud(&[8, 4]);
        (asked.hosts[0].memory, asked.hosts[1].memory) = (Memory(4096), Memory(4096));
        asked.hosts[0].cpu_allocated = Cpu(400);
        (0..3).for_each(|_| {
            ask(&mut asked, 2, &[0, 1]);
        });
        let policy = Policy { risk: 0.0, weight_memory: 0.0, ..Policy::default() };
        let decided = place_snapshot(asked, &Recall::default(), &policy);
        let action = |(vm, host): &(i32, i32)| Action {
            vm: VmId(*vm),
            operation: Operation::Deploy,
            host: HostId(*host),
            datastore: DatastoreId(0),
            nics: Vec::new(),
        };
        for (plan, placed, fullest, breaches) in [
            (&[][..], 0, 0.5, 0),
            (&[(0, 0)], 1, 0.75, 0),
            (&[(0, 0), (1, 1)], 2, 0.75, 0),
            (&[(0, 1), (1, 1)], 2, 1.0, 0),
            (&[(0, 1), (1, 1), (2, 1)], 3, 1.5, 1),
            // of a second action for a VM, and of what nobody knows, only a breach is left
            (&[(0, 0), (0, 1)], 1, 0.75, 1),
            (&[(0, 7)], 0, 0.5, 1),
            (&[(9, 0)], 0, 0.5, 1),
        ] {
            let judged = decided.judge(&Plan { actions: plan.iter().map(action).collect() }, &policy);
            assert_eq!((judged.placed, judged.waiting), (placed, 3 - placed), "{plan:?}");
            assert_eq!((judged.fullest_host, judged.breaches.len()), (fullest, breaches), "{plan:?}");
        }
        // what is fullest may be the memory
        let mut large = decided;
        large.snapshot.vms.iter_mut().for_each(|vm| vm.memory = Memory(1536));
        let fullest = |plan: &[(i32, i32)]| {
            large.judge(&Plan { actions: plan.iter().map(action).collect() }, &policy).fullest_host
        };
        assert_eq!([fullest(&[(0, 0)]), fullest(&[(0, 1), (1, 1)]), fullest(&[(0, 0), (1, 0)])], [0.75, 1.0, 1.0]);
        large.snapshot.vms.iter_mut().for_each(|vm| vm.memory = Memory(3072));
        assert_eq!(large.judge(&Plan { actions: vec![action(&(0, 1))] }, &policy).fullest_host, 0.75);
        let decided = large;
        let even = decided.judge(&Plan { actions: [(0, 1)].iter().map(action).collect() }, &policy);
        assert!(even.objective.abs() < 1e-12, "{}", even.objective);
        assert!(even.footprint.kwh_per_day > 0.0);
    }
}

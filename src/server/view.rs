//! What oned knows: hosts and pending VMs, looked at in the background. Who asks here
//! gets the last known state and its age, at once.

use crate::machine::locks::lock;
use crate::model::ids::{ClusterId, HostId, VmId};
use crate::model::snapshot::{Host, HostMonitoring, Section, Vm};
use crate::model::units::{Cpu, Memory};
use crate::oned::{Oned, OnedError, Window};
use crate::opennebula::cloud::ClusterTemplate;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Seconds between two lines that say oned is still lost.
const REMIND: Duration = Duration::from_secs(300);

/// The cloud at one moment.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// By id.
    pub hosts: Vec<Host>,
    /// Pending VMs.
    pub vms: HashMap<VmId, Vm>,
    /// When the look began.
    pub at: Instant,
}

/// How looking at oned stands.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// The first look is over, whatever came of it.
    pub begun: bool,
    /// Looks that failed since the service began.
    pub failures: u64,
    /// Why the latest one failed; `None` when it did not.
    pub failure: Option<String>,
}

/// The last known state.
#[derive(Debug)]
pub struct View {
    state: Mutex<State>,
    changed: Condvar,
    max_age: Duration,
    watched: bool,
}

#[derive(Debug, Default)]
struct State {
    cloud: Option<Arc<Cloud>>,
    looks: Looks,
    told: Option<Instant>,
    poked: bool,
    stopped: bool,
}

impl View {
    /// Nothing is known yet. `watched` says whether anybody will look.
    #[must_use]
    pub fn new(max_age: Duration, watched: bool) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), max_age, watched }
    }

    /// Whether oned is asked at all.
    #[must_use]
    pub fn watched(&self) -> bool {
        self.watched
    }

    /// The last known state, while it is not too old.
    #[must_use]
    pub fn cloud(&self) -> Option<Arc<Cloud>> {
        lock(&self.state).cloud.clone().filter(|cloud| cloud.at.elapsed() <= self.max_age)
    }

    /// Age of the last known state, however old.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        lock(&self.state).cloud.as_ref().map(|cloud| cloud.at.elapsed())
    }

    /// How looking stands.
    #[must_use]
    pub fn looks(&self) -> Looks {
        lock(&self.state).looks.clone()
    }

    /// Asks for a look before its time: a request named a host that is not known.
    pub fn poke(&self) {
        lock(&self.state).poked = true;
        self.changed.notify_all();
    }

    /// Ends the watch.
    pub fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }

    /// Waits for the first look, at most so long.
    pub fn wait_for_first(&self, most: Duration) {
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, most, |state| !state.looks.begun && !state.stopped);
        drop(waited);
    }

    /// Looks again and again until told to stop.
    pub fn watch(&self, oned: &Oned, every: Duration) {
        loop {
            let looked = look(oned);
            self.keep(looked);
            let mut state = lock(&self.state);
            // a poke is not heard at once, so that no client can make us flood oned
            let pause = |poked: bool| if poked { every.min(Duration::from_secs(1)) } else { every };
            let begun = Instant::now();
            while !state.stopped && begun.elapsed() < pause(state.poked) {
                let left = pause(state.poked).saturating_sub(begun.elapsed());
                state = match self.changed.wait_timeout(state, left) {
                    Ok((state, _)) => state,
                    Err(poisoned) => poisoned.into_inner().0,
                };
            }
            state.poked = false;
            if state.stopped {
                return;
            }
        }
    }

    fn keep(&self, looked: Result<Cloud, OnedError>) {
        let mut state = lock(&self.state);
        state.looks.begun = true;
        match looked {
            Ok(cloud) => {
                if state.looks.failure.take().is_some() {
                    log::info!("oned answers again: {} hosts, {} pending VMs", cloud.hosts.len(), cloud.vms.len());
                }
                if cloud.hosts.is_empty() && state.told.is_none() {
                    log::warn!("oned shows no hosts: does the user of ONE_AUTH see them? use that of oneadmin");
                }
                state.told = cloud.hosts.is_empty().then(Instant::now);
                state.cloud = (!cloud.hosts.is_empty()).then(|| Arc::new(cloud));
            }
            Err(error) => {
                state.looks.failures += 1;
                state.looks.failure = Some(error.to_string());
                if state.told.is_none_or(|told| told.elapsed() >= REMIND) {
                    state.told = Some(Instant::now());
                    log::warn!("{}: {error}", self.consequence(state.cloud.as_deref()));
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn consequence(&self, cloud: Option<&Cloud>) -> String {
        match cloud.map(|cloud| cloud.at.elapsed()) {
            Some(age) if age <= self.max_age => {
                format!("oned is lost, its state of {} s ago is used", age.as_secs())
            }
            Some(age) => format!(
                "oned is lost, its state of {} s ago is too old: VMs are spread by what requests say",
                age.as_secs()
            ),
            None => "oned is not known yet: VMs are spread by what requests say".to_owned(),
        }
    }
}

/// One look: hosts must come, the rest may fail.
fn look(oned: &Oned) -> Result<Cloud, OnedError> {
    let at = Instant::now();
    let mut hosts: Vec<Host> = Vec::new();
    let mut unread = oned.hosts(&mut |host| hosts.push(host))?;
    hosts.sort_by_key(|host| host.id);
    hosts.dedup_by_key(|host| host.id);
    let mut clusters: HashMap<ClusterId, ClusterTemplate> = HashMap::new();
    unread += useful(oned.clusters(&mut |id, template| drop(clusters.insert(id, template))));
    let mut samples: HashMap<HostId, HostMonitoring> = HashMap::new();
    unread += useful(oned.host_monitoring(Window::Last, &mut |counters| {
        if let (Some(cpu), Some(memory)) = (counters.cpu, counters.memory) {
            let (cpu_used, memory_used) = (Cpu(cpu as i64), Memory(memory as i64));
            samples.insert(HostId(counters.id), HostMonitoring { timestamp: counters.at, cpu_used, memory_used });
        }
    }));
    for host in &mut hosts {
        for (name, value) in clusters.get(&host.cluster).into_iter().flatten() {
            host.attributes.push(Section::ClusterTemplate, name, value);
        }
        let newer = |known: HostMonitoring, other: &HostMonitoring| other.timestamp > known.timestamp;
        if let Some(sample) = samples.get(&host.id) {
            host.monitoring = Some(host.monitoring.filter(|known| !newer(*known, sample)).unwrap_or(*sample));
        }
    }
    let mut vms = HashMap::new();
    unread += useful(oned.pending_vms(&mut |vm| drop(vms.insert(vm.id, vm))));
    log::debug!("looked at oned: {} hosts, {} pending VMs, {unread} unreadable", hosts.len(), vms.len());
    Ok(Cloud { hosts, vms, at })
}

fn useful(outcome: Result<usize, OnedError>) -> usize {
    outcome.unwrap_or_else(|error| {
        log::warn!("oned told not all: {error}");
        0
    })
}

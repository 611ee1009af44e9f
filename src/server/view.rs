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

#[cfg(test)]
impl View {
    /// As if a look had shown this.
    pub fn show(&self, cloud: Cloud) {
        self.keep(Ok(cloud));
    }

    /// Whether a look was asked for since the last one.
    pub fn is_poked(&self) -> bool {
        lock(&self.state).poked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oned::testing::{Scripted, refused, success};

    const HOUR: Duration = Duration::from_secs(3600);

    fn lost(text: &str) -> OnedError {
        OnedError::Broken { address: "a".to_owned(), problem: text.to_owned() }
    }

    fn ago(seconds: u64) -> Instant {
        Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap()
    }

    fn cloud(hosts: i32, at: Instant) -> Cloud {
        let hosts = (0..hosts).map(|id| Host::plain(HostId(id), Cpu(100), Memory(1))).collect();
        Cloud { hosts, vms: HashMap::new(), at }
    }

    #[test]
    fn a_state_counts_until_it_is_too_old() {
        let view = View::new(Duration::from_secs(60), true);
        assert!(view.watched() && !View::new(Duration::ZERO, false).watched());
        assert!(view.cloud().is_none() && view.age().is_none() && !view.looks().begun);
        view.show(cloud(2, ago(50)));
        assert_eq!(view.cloud().map(|cloud| cloud.hosts.len()), Some(2));
        assert!(view.looks().begun && view.age().unwrap() >= Duration::from_secs(50));
        view.show(cloud(2, ago(70)));
        assert!(view.cloud().is_none() && view.age().unwrap() >= Duration::from_secs(70));
    }

    #[test]
    fn failures_count_and_the_last_state_stays_until_hosts_are_shown_no_more() {
        let view = View::new(HOUR, true);
        let told = || lock(&view.state).told;
        view.keep(Err(lost("one")));
        let first = told();
        let looks = view.looks();
        assert!(looks.begun && looks.failures == 1 && first.is_some());
        assert!(looks.failure.unwrap().contains("broke off: one"));
        // what was told lately is not told again
        view.keep(Err(lost("two")));
        assert_eq!(told(), first);
        assert!(view.looks().failures == 2 && view.looks().failure.unwrap().contains("two"));
        lock(&view.state).told = Some(ago(REMIND.as_secs()));
        view.keep(Err(lost("three")));
        assert!(told().is_some_and(|told| told.elapsed() < REMIND));
        view.show(cloud(1, Instant::now()));
        assert_eq!((view.looks().failures, view.looks().failure, told()), (3, None, None));
        view.keep(Err(lost("four")));
        assert!(view.cloud().is_some() && told().is_some());
        // a user who sees no hosts knows nothing of the cloud
        view.show(cloud(0, Instant::now()));
        assert!(view.cloud().is_none() && view.age().is_none() && told().is_some());
        assert_eq!(view.looks().failure, None);
    }

    #[test]
    fn what_a_loss_means_depends_on_the_age_of_what_is_known() {
        let view = View::new(Duration::from_secs(60), true);
        let of = |cloud: &Cloud| view.consequence(Some(cloud));
        assert_eq!(of(&cloud(1, ago(50))), "oned is lost, its state of 50 s ago is used");
        let old = "oned is lost, its state of 61 s ago is too old: VMs are spread by what requests say";
        assert_eq!(of(&cloud(1, ago(61))), old);
        assert_eq!(view.consequence(None), "oned is not known yet: VMs are spread by what requests say");
    }

    #[test]
    fn the_first_look_is_waited_for_whatever_comes_of_it() {
        let wait = Duration::from_millis(30);
        let view = View::new(HOUR, true);
        let begun = Instant::now();
        view.wait_for_first(wait);
        assert!(begun.elapsed() >= wait, "there was none");
        // none of these waits an hour
        view.keep(Err(lost("x")));
        view.wait_for_first(HOUR);
        let stopped = View::new(HOUR, true);
        stopped.stop();
        stopped.wait_for_first(HOUR);
        for end in [View::stop, |view: &View| view.keep(Err(lost("x")))] {
            let view = View::new(HOUR, true);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| view.wait_for_first(HOUR));
                end(&view);
                waiting.join().unwrap();
            });
        }
    }

    /// Hosts 3 and 4, whose samples are told with the host or without; VM 8 waits.
    fn scripted() -> Scripted {
        let host = |id: i32, cpu: i32, at: i32| {
            let monitoring = format!(
                "<MONITORING><TIMESTAMP>{at}</TIMESTAMP><CAPACITY><USED_CPU>{cpu}</USED_CPU><USED_MEMORY>5</USED_MEMORY>\
                 </CAPACITY></MONITORING>"
            );
            let inside = if at > 0 { monitoring } else { String::new() };
            format!("<HOST><ID>{id}</ID><NAME>n{id}</NAME><STATE>2</STATE><CLUSTER_ID>100</CLUSTER_ID>{inside}</HOST>")
        };
        let hosts = [host(4, 0, 0), host(3, 1, 20), host(6, 1, 20), host(5, 1, 20), host(4, 0, 0)].concat();
        let sample = |id: i32, cpu: &str, at: i32| {
            format!(
                "<MONITORING><ID>{id}</ID><TIMESTAMP>{at}</TIMESTAMP><CAPACITY><USED_CPU>{cpu}</USED_CPU>\
                 <USED_MEMORY>7</USED_MEMORY></CAPACITY></MONITORING>"
            )
        };
        let samples = [sample(3, "2", 19), sample(4, "2", 1), sample(5, "2", 20), sample(6, "2", 21)].concat();
        let odd = sample(9, "x", 30);
        let scripted = Scripted::start();
        scripted.answer("one.hostpool.info", &[success(&format!("<HOST_POOL>{hosts}</HOST_POOL>"))]);
        let clusters =
            "<CLUSTER_POOL><CLUSTER><ID>100</ID><TEMPLATE><ZONE>BE</ZONE></TEMPLATE></CLUSTER></CLUSTER_POOL>";
        scripted.answer("one.clusterpool.info", &[success(clusters)]);
        let samples = success(&format!("<MONITORING_DATA>{samples}{odd}</MONITORING_DATA>"));
        scripted.answer("one.hostpool.monitoring", &[samples]);
        let vms = "<VM_POOL><VM><ID>8</ID><STATE>1</STATE></VM></VM_POOL>";
        scripted.answer("one.vmpool.infoextended", &[success(vms)]);
        scripted
    }

    #[test]
    fn a_look_joins_hosts_with_their_cluster_and_their_latest_sample() {
        let scripted = scripted();
        let begun = Instant::now();
        let found = look(&scripted.client()).unwrap();
        assert!(found.at >= begun);
        assert_eq!(found.hosts.iter().map(|host| host.id.0).collect::<Vec<_>>(), [3, 4, 5, 6]);
        let samples: Vec<(i64, i64)> = found
            .hosts
            .iter()
            .map(|host| host.monitoring.map(|sample| (sample.timestamp, sample.cpu_used.0)).unwrap())
            .collect();
        // of two of the same moment that of the host
        assert_eq!(samples, [(20, 1), (1, 2), (20, 1), (21, 2)]);
        assert_eq!(found.hosts[1].monitoring.unwrap().memory_used, Memory(7));
        for host in &found.hosts {
            assert_eq!(host.attributes.first_in(Section::ClusterTemplate, "ZONE"), Some("BE"), "{}", host.id);
        }
        assert_eq!(found.vms.keys().collect::<Vec<_>>(), [&VmId(8)]);
        let asked: Vec<String> = scripted.asked().into_iter().map(|(method, _)| method).collect();
        let expected = ["hostpool.info", "clusterpool.info", "hostpool.monitoring", "vmpool.infoextended"];
        assert_eq!(asked, expected.map(|name| format!("one.{name}")));
    }

    #[test]
    fn without_hosts_a_look_fails_and_the_rest_may_be_lost() {
        let scripted = scripted();
        for method in ["one.clusterpool.info", "one.hostpool.monitoring", "one.vmpool.infoextended"] {
            scripted.answer(method, &[refused(512)]);
        }
        let found = look(&scripted.client()).unwrap();
        assert_eq!((found.hosts.len(), found.vms.len()), (4, 0));
        assert_eq!(found.hosts[1].monitoring, None);
        scripted.answer("one.hostpool.info", &[refused(512)]);
        assert!(look(&scripted.client()).is_err());
    }

    #[test]
    fn it_looks_again_where_asked_to_and_ends_when_told() {
        let scripted = scripted();
        let (oned, view) = (scripted.client(), View::new(HOUR, true));
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| view.watch(&oned, HOUR));
            view.wait_for_first(HOUR);
            assert_eq!(view.cloud().map(|cloud| cloud.hosts.len()), Some(4));
            assert_eq!(scripted.asked().len(), 4);
            view.poke();
            let asked = scripted.asked_at_least(4);
            assert_eq!(asked[0].0, "one.hostpool.info");
            view.stop();
            watching.join().unwrap();
            assert!(!view.is_poked(), "it was heard");
        });
    }
}

//! How the service does, in numbers for Prometheus. Labels come from fixed lists, so that
//! no client can make the numbers grow.

use crate::model::report::{FailingHost, SpareRoom};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The media type of what [`Metrics::text`] writes.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

type Label = [(&'static str, &'static str); 1];
type HostLabel = [(&'static str, String); 1];
type Labels = [(&'static str, String); 2];
type Level = Gauge<f64, AtomicU64>;

/// All numbers.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    decision_seconds: Histogram,
    placed: Counter,
    refusals: Family<Label, Counter>,
    failed_vms: Family<HostLabel, Gauge>,
    objective: Level,
    green_share: Level,
    spare_lacking: Gauge,
    spare_homeless: Gauge,
    connections: Gauge,
    evicted: Counter,
    oned_failures: Gauge,
    oned_age: Level,
    store_failures: Gauge,
    store_age: Level,
    model_age: Level,
}

/// What other parts know at the moment of asking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Looks at oned that failed.
    pub oned_failures: u64,
    /// Age of the last known state.
    pub oned_age: Option<Duration>,
    /// Failures of the store.
    pub store_failures: u64,
    /// Since the store last answered.
    pub store_age: Option<Duration>,
    /// Age of the model file.
    pub model_age: Option<Duration>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("oneaio");
        let r = &mut registry;
        Self {
            requests: add(r, "requests", "Answered requests by route and status", Family::default()),
            seconds: add(r, "request_seconds", "From a request's head to its answer", Histogram::new(SECONDS)),
            decision_seconds: add(r, "decision_seconds", "Decisions alone", Histogram::new(SECONDS)),
            placed: add(r, "decisions", "VMs that got a host", Counter::default()),
            refusals: add(r, "refusals", "VMs that got none, by reason", Family::default()),
            failed_vms: add(
                r,
                "host_failed_vms",
                "VMs that wait and failed to start on a host lately, at the latest decision",
                Family::default(),
            ),
            objective: add(r, "objective", "Largest interference D after the latest decision", Level::default()),
            green_share: add(
                r,
                "green_share",
                "Renewable share of the hosts that the latest decision chose, 0 to 1",
                Level::default(),
            ),
            spare_lacking: add(
                r,
                "spare_lacking_failures",
                "Hosts or domains after whose failure VMs would have no place; -1 where spare is no",
                Gauge::default(),
            ),
            spare_homeless: add(
                r,
                "spare_homeless_vms",
                "VMs that would have no place after the worst of these failures; -1 likewise",
                Gauge::default(),
            ),
            connections: add(r, "connections", "Open connections", Gauge::default()),
            evicted: add(r, "evicted_connections", "Idle connections closed for new ones", Counter::default()),
            oned_failures: add(r, "oned_failures", "Looks at oned that failed since the start", Gauge::default()),
            oned_age: add(r, "oned_age_seconds", "Age of the known state of oned; -1 for none", Level::default()),
            store_failures: add(r, "store_failures", "Failures of the store since the start", Gauge::default()),
            store_age: add(r, "store_age_seconds", "Since the store last answered; -1 for never", Level::default()),
            model_age: add(r, "model_age_seconds", "Age of the model file; -1 for none", Level::default()),
            registry,
        }
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&[("route", route.to_owned()), ("status", status.to_string())]).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A batch was decided.
    pub fn decided(&self, placed: usize, objective: f64, green_share: Option<f64>, took: Duration) {
        self.placed.inc_by(placed as u64);
        self.objective.set(objective);
        if let Some(share) = green_share {
            self.green_share.set(share);
        }
        self.decision_seconds.observe(took.as_secs_f64());
    }

    /// Room for a failure after a decision, where some is asked for.
    pub fn spare(&self, spare: Option<&SpareRoom>) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.spare_lacking.set(spare.map_or(-1, |spare| count(spare.lacking.len())));
        self.spare_homeless.set(spare.map_or(-1, |spare| count(spare.lacking.first().map_or(0, |one| one.vms))));
    }

    /// Hosts on which VMs failed to start lately: the worst ones, so that the numbers stay few.
    pub fn failing(&self, failing: &[FailingHost]) {
        self.failed_vms.clear();
        for one in FailingHost::worst(failing) {
            let label = [("one_host_id", one.host.to_string())];
            self.failed_vms.get_or_create(&label).set(i64::try_from(one.vms).unwrap_or(i64::MAX));
        }
    }

    /// A VM got no host.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    /// A connection came, or went.
    pub fn connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// An idle connection was closed for a new one.
    pub fn evicted(&self) {
        self.evicted.inc();
    }

    /// All numbers as text.
    pub fn text(&self, moment: &Moment) -> Result<String, fmt::Error> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let age = |age: Option<Duration>| age.map_or(-1.0, |age| age.as_secs_f64());
        self.oned_failures.set(count(moment.oned_failures));
        self.oned_age.set(age(moment.oned_age));
        self.store_failures.set(count(moment.store_failures));
        self.store_age.set(age(moment.store_age));
        self.model_age.set(age(moment.model_age));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::HostId;
    use crate::model::report::Shortfall;

    #[test]
    fn numbers_are_told_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.answered("/", 200, Duration::from_millis(3));
        metrics.decided(4, 0.25, Some(0.5), Duration::from_millis(2));
        metrics.refused("cpu");
        let lacking = vec![Shortfall { vms: 3, ..Shortfall::default() }, Shortfall { vms: 1, ..Shortfall::default() }];
        metrics.spare(Some(&SpareRoom { lacking, ..SpareRoom::default() }));
        let host = |id| FailingHost { host: HostId(id), vms: 2, since: 0, until: None };
        metrics.failing(&[host(3), host(4)]);
        metrics.failing(&[host(4)]);
        let moment = Moment { oned_age: Some(Duration::from_secs(7)), ..Moment::default() };
        let text = metrics.text(&moment).expect("writes");
        for line in [
            "oneaio_requests_total{route=\"/\",status=\"200\"} 1",
            "oneaio_decisions_total 4",
            "oneaio_refusals_total{reason=\"cpu\"} 1",
            "oneaio_host_failed_vms{one_host_id=\"4\"} 2",
            "oneaio_objective 0.25",
            "oneaio_spare_lacking_failures 2",
            "oneaio_spare_homeless_vms 3",
            "oneaio_green_share 0.5",
            "oneaio_oned_age_seconds 7.0",
            "oneaio_store_age_seconds -1.0",
            "oneaio_request_seconds_bucket{le=\"0.005\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("one_host_id=\"3\""), "no VM fails there any more: {text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn where_nobody_asks_for_spare_room_it_is_minus_one_and_where_there_is_enough_it_is_none() {
        let metrics = Metrics::default();
        let told = |spare: Option<&SpareRoom>| {
            metrics.spare(spare);
            let text = metrics.text(&Moment::default()).expect("writes");
            let of = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(&format!("oneaio_spare_{name} "))).expect("told");
                line.rsplit(' ').next().expect("a number").to_owned()
            };
            (of("lacking_failures"), of("homeless_vms"))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(told(None), pair("-1", "-1"));
        assert_eq!(told(Some(&SpareRoom::default())), pair("0", "0"));
        let lacking = vec![Shortfall { vms: 3, ..Shortfall::default() }];
        assert_eq!(told(Some(&SpareRoom { lacking, ..SpareRoom::default() })), pair("1", "3"));
    }

    #[test]
    fn each_number_is_told_by_its_own_name() {
        let metrics = Metrics::default();
        metrics.connections(5);
        metrics.evicted();
        metrics.evicted();
        metrics.decided(1, 0.5, Some(0.25), Duration::from_millis(2));
        // a decision that chose no host says nothing of green
        metrics.decided(2, 0.75, None, Duration::from_millis(2));
        let second = |number: u64| Some(Duration::from_millis(number * 1500));
        let moment =
            Moment { oned_failures: 3, oned_age: None, store_failures: 4, store_age: second(5), model_age: second(6) };
        let text = metrics.text(&moment).expect("writes");
        for line in [
            "oneaio_connections 5",
            "oneaio_evicted_connections_total 2",
            "oneaio_decisions_total 3",
            "oneaio_objective 0.75",
            "oneaio_green_share 0.25",
            "oneaio_decision_seconds_count 2",
            "oneaio_decision_seconds_bucket{le=\"0.002\"} 2",
            "oneaio_oned_failures 3",
            "oneaio_oned_age_seconds -1.0",
            "oneaio_store_failures 4",
            "oneaio_store_age_seconds 7.5",
            "oneaio_model_age_seconds 9.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}

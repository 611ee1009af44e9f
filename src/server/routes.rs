//! What can be asked: one table, from which routing and the OpenAPI document both come.

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// mm_sched's batch.
    Batch,
    /// AI-Orchestrator's placement of one VM.
    Place,
    /// By its body, a placement or a classifier.
    SetClassifier,
    /// The classifier as set.
    Classifier,
    /// Sets the scheduler.
    SetScheduler,
    /// The scheduler as set.
    Scheduler,
    /// Sets s_green.
    SetEnergyScalar,
    /// s_green as set.
    EnergyScalar,
    /// The process lives.
    Live,
    /// Its helpers.
    Ready,
    /// Numbers.
    Metrics,
    /// The document of all this.
    OpenApi,
    /// The last decision, to look at.
    Page,
}

/// One way to ask.
#[derive(Debug)]
pub struct Route {
    /// GET or POST.
    pub method: &'static str,
    /// Whole, no patterns.
    pub path: &'static str,
    /// What it asks for.
    pub what: What,
    /// In one line.
    pub summary: &'static str,
}

impl Route {
    /// Whether a request may change state, and so needs the token where there is one.
    pub fn changes(&self) -> bool {
        matches!(self.what, What::SetClassifier | What::SetScheduler | What::SetEnergyScalar)
    }

    /// Whether it is asked so often by machines that the log tells it only on demand.
    pub fn quiet(&self) -> bool {
        matches!(self.what, What::Live | What::Ready | What::Metrics)
    }
}

const fn route(method: &'static str, path: &'static str, what: What, summary: &'static str) -> Route {
    Route { method, path, what, summary }
}

/// All routes.
pub const ROUTES: &[Route] = &[
    route("POST", "/", What::Batch, "EXTERNAL_SCHEDULER of OpenNebula 6.8 - 6.10: a host for each pending VM"),
    route("GET", "/", What::Page, "The last decision as a page (HTML), from the service's own machine"),
    route("POST", "/api/place", What::Place, "A host for one VM"),
    route(
        "POST",
        "/api/classifier",
        What::SetClassifier,
        "Sets the classifier; with ID and HOST_IDS, a host for one VM",
    ),
    route("GET", "/api/classifier", What::Classifier, "The classifier in use"),
    route("POST", "/api/scheduler", What::SetScheduler, "Sets the scheduler"),
    route("GET", "/api/scheduler", What::Scheduler, "The scheduler in use"),
    route("POST", "/api/iaEnergyScalar", What::SetEnergyScalar, "Sets s_green, the weight of renewable energy"),
    route("GET", "/api/iaEnergyScalar", What::EnergyScalar, "s_green in use"),
    route("GET", "/healthz", What::Live, "The service lives"),
    route("GET", "/readyz", What::Ready, "The service is ready; how store, oned and model stand"),
    route("GET", "/metrics", What::Metrics, "Numbers for Prometheus"),
    route("GET", "/openapi.json", What::OpenApi, "This document"),
];

/// Where a request leads.
#[derive(Debug)]
pub enum Found {
    /// To a route.
    Route(&'static Route),
    /// The path is known, the method is not; the methods that are.
    Methods(String),
    /// Nowhere.
    Nothing,
}

/// Looks a request up. HEAD is GET without a body.
pub fn find(method: &str, path: &str) -> Found {
    let asked = if method == "HEAD" { "GET" } else { method };
    let here = || ROUTES.iter().filter(|route| route.path == path);
    match here().find(|route| route.method == asked) {
        Some(route) => Found::Route(route),
        None if here().next().is_none() => Found::Nothing,
        None => Found::Methods(here().map(|route| route.method).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_whole_and_methods_are_known() {
        assert!(matches!(find("POST", "/"), Found::Route(Route { what: What::Batch, .. })));
        assert!(matches!(find("HEAD", "/healthz"), Found::Route(Route { what: What::Live, .. })));
        assert!(matches!(find("GET", "/"), Found::Route(Route { what: What::Page, .. })));
        assert!(matches!(find("PUT", "/"), Found::Methods(methods) if methods == "POST, GET"));
        assert!(matches!(find("PUT", "/api/scheduler"), Found::Methods(methods) if methods == "POST, GET"));
        for nowhere in ["", "//", "/api", "/api/place/", "/API/place", "/../etc/passwd", "*"] {
            assert!(matches!(find("GET", nowhere), Found::Nothing), "{nowhere}");
        }
    }
}

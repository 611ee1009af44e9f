//! One request: where it leads, whether it may, what it says, the answer and its log line.

use super::board::Board;
use super::body::{Bodies, NoBody, may_be_json};
use super::changers::{self, Changers, Refusal as Locked};
use super::chosen::Choice;
use super::decider::{Asker, Decider, Outcome};
use super::heads::Heads;
use super::memory::Memory;
use super::metrics::{MEDIA_TYPE, Metrics};
use super::rest::{self, PlaceOrSet};
use super::routes::{Found, Route, What, find};
use super::view::View;
use super::{health, openapi, told};
use crate::decide::Stop;
use crate::machine::locks::lock;
use crate::model::policy::Policy;
use crate::opennebula::external::{self, Batch, BodyError};
use crate::opennebula::message::safe_json;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// More requests than this never wait for decisions before them.
const WAITING: usize = 64;
/// The share of serve.deadline that is left when the planner is asked to stop.
const LAST_PART: f64 = 0.2;
/// mm_sched keeps but the last piece of an answer that its HTTP library hands over, and
/// that hands over 16 KiB at a time: longer answers are lost as a whole.
const MM_SCHED_READS: usize = 15 * 1024;

/// An answer on its way.
pub type Answer = Response<Full<Bytes>>;

/// What requests share.
pub struct Service {
    pub board: Arc<Board>,
    /// Clients are told nothing of hosts.
    pub brief: bool,
    pub bodies: Bodies,
    pub choice: Arc<Choice>,
    pub deadline: Duration,
    pub decider: Arc<Decider>,
    pub memory: Arc<dyn Memory>,
    pub metrics: Arc<Metrics>,
    pub policy: Policy,
    pub stopping: AtomicBool,
    pub changers: Changers,
    pub view: Arc<View>,
    /// Decisions come one after another.
    pub turn: Arc<Semaphore>,
    pub waiting: AtomicUsize,
    pub requests: AtomicU64,
    /// Begins all request ids of this process.
    pub run: u32,
}

/// A connection, as far as its requests have to know.
#[derive(Debug)]
pub struct Line {
    /// It must not be closed to make room for another.
    pub busy: Arc<AtomicBool>,
    /// The other end, and ours.
    pub peer: Option<SocketAddr>,
    pub here: Option<SocketAddr>,
    pub heads: Heads,
}

/// A request that is refused.
struct Refused {
    status: StatusCode,
    field: Option<String>,
    error: String,
    header: Option<(HeaderName, String)>,
}

impl Refused {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, field: None, error: error.into(), header: None }
    }

    fn field(status: StatusCode, field: impl Into<String>, error: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(status, error) }
    }

    fn header(self, name: HeaderName, value: impl Into<String>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    fn malformed(fault: &BodyError) -> Self {
        Self::field(StatusCode::BAD_REQUEST, fault.field.clone(), fault.to_string())
    }

    fn busy(error: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).header(header::RETRY_AFTER, "1")
    }
}

/// What goes out, before headers.
struct Content {
    status: StatusCode,
    kind: &'static str,
    text: String,
    /// For the log line.
    note: String,
}

impl Content {
    fn json(value: &Value) -> Self {
        Self {
            status: StatusCode::OK,
            kind: "application/json",
            text: safe_json(&value.to_string()),
            note: String::new(),
        }
    }
}

impl Service {
    /// Answers; there is always an answer.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>, of: Arc<Line>) -> Answer {
        let begun = Instant::now();
        let id = format!("{:08x}-{}", self.run, self.requests.fetch_add(1, Ordering::Relaxed) + 1);
        let found = find(request.method().as_str(), request.uri().path());
        let (name, quiet) = match &found {
            Found::Route(route) => (route.path, route.quiet()),
            _ => ("other", false),
        };
        let method = request.method().clone();
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let outcome = self.route(found, request, &id, begun + self.deadline, &of).await;
        let (content, extra, closes) = match outcome {
            Ok(content) => (content, None, chunked),
            Err(refused) => {
                let text = json!({ "error": refused.error, "field": refused.field, "request": id });
                let text = safe_json(&text.to_string());
                let note = format!(" error={:?}", refused.error);
                let content = Content { status: refused.status, kind: "application/json", text, note };
                // what was not read to its end must not be taken for a request
                (content, refused.header, true)
            }
        };
        let (status, took) = (content.status, begun.elapsed());
        self.metrics.answered(name, status.as_u16(), took);
        let level = match status.as_u16() {
            500.. => log::Level::Error,
            400.. => log::Level::Warn,
            _ if quiet => log::Level::Debug,
            _ => log::Level::Info,
        };
        let milliseconds = took.as_secs_f64() * 1000.0;
        log::log!(
            level,
            "request={id} method={method} route={name} status={} ms={milliseconds:.2}{}",
            status.as_u16(),
            content.note
        );
        let mut answer = Response::new(Full::new(Bytes::from(content.text)));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content.kind));
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put(HeaderName::from_static("x-request-id"), &id);
        if content.kind.starts_with("text/html") {
            // complete in itself: no script, nothing from elsewhere, in no frame
            put(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            );
            put(header::CACHE_CONTROL, "no-store");
        }
        if closes {
            put(header::CONNECTION, "close");
        }
        if let Some((name, value)) = extra {
            put(name, &value);
        }
        answer
    }

    async fn route(
        self: &Arc<Self>,
        found: Found,
        request: Request<Incoming>,
        id: &str,
        until: Instant,
        of: &Line,
    ) -> Result<Content, Refused> {
        let ambiguous = of.heads.next_is_ambiguous();
        let route = match found {
            Found::Route(route) => route,
            Found::Methods(methods) => {
                let error = format!("this path takes {methods}");
                return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, error).header(header::ALLOW, methods));
            }
            Found::Nothing => {
                return Err(Refused::new(StatusCode::NOT_FOUND, "there is no such path; /openapi.json lists all"));
            }
        };
        let (head, body) = request.into_parts();
        if ambiguous {
            let error = "Content-Length and Transfer-Encoding exclude each other";
            return Err(Refused::field(StatusCode::BAD_REQUEST, "Transfer-Encoding", error));
        }
        if route.what == What::Page {
            return self.page(&head.headers, of).await;
        }
        if route.method == "GET" {
            return self.tell(route.what);
        }
        // a placement over the classifier's route needs no token: that shows in the body
        if route.changes() && route.what != What::SetClassifier {
            self.allow(&head.headers, of)?;
        }
        if !may_be_json(&head.headers) {
            let error = "Content-Type must be application/json";
            return Err(Refused::field(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type", error));
        }
        let held = self.bodies.read(&head.headers, body, until).await.map_err(|fault| self.no_body(fault))?;
        of.busy.store(true, Ordering::Release);
        let outcome = self.take(route, (&head.headers, of), &held.bytes, id, until).await;
        of.busy.store(false, Ordering::Release);
        outcome
    }

    fn no_body(&self, fault: NoBody) -> Refused {
        match fault {
            NoBody::TooLong => {
                let error = format!("the body is longer than {} bytes (serve.max_body)", self.bodies.longest());
                Refused::field(StatusCode::PAYLOAD_TOO_LARGE, "body", error)
            }
            NoBody::Late => {
                Refused::field(StatusCode::REQUEST_TIMEOUT, "body", "the body did not come within serve.deadline")
            }
            NoBody::Broken => Refused::field(StatusCode::BAD_REQUEST, "body", "the body broke off or is badly chunked"),
            NoBody::NoMemory => Refused::busy("too many large bodies at a time"),
        }
    }

    fn allow(&self, headers: &HeaderMap, of: &Line) -> Result<(), Refused> {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.changers.allow(given, of.peer, of.here).map_err(|locked| match locked {
            Locked::Token => {
                let refused = Refused::field(StatusCode::UNAUTHORIZED, "Authorization", locked.text());
                refused.header(header::WWW_AUTHENTICATE, "Bearer")
            }
            Locked::Stranger => Refused::new(StatusCode::FORBIDDEN, locked.text()),
        })
    }

    fn asker(&self, headers: &HeaderMap, of: &Line) -> changers::Origin {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.changers.asker(given, of.peer, of.here)
    }

    /// The page of the last decision: names of VMs and hosts are for this machine alone.
    async fn page(self: &Arc<Self>, headers: &HeaderMap, of: &Line) -> Result<Content, Refused> {
        // a name of somebody else that leads here must not let his pages read ours
        let named = headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_this_machine);
        if !named || !of.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
            let error = "this page is for the service's own machine: ssh -L 4567:127.0.0.1:4567 leads there";
            return Err(Refused::new(StatusCode::FORBIDDEN, error));
        }
        let service = self.clone();
        let draw = move || {
            let stopping = service.stopping.load(Ordering::Acquire);
            let (_, stands) = health::ready(&service.view, service.memory.as_ref(), stopping);
            service.board.text(&stands)
        };
        let text = tokio::task::spawn_blocking(draw).await.map_err(|_| fault())?;
        Ok(Content { kind: "text/html; charset=utf-8", text: text.to_string(), ..Content::json(&Value::Null) })
    }

    /// GET: nothing to read, nothing to wait for.
    fn tell(&self, what: What) -> Result<Content, Refused> {
        Ok(match what {
            What::Classifier => Content::json(&rest::classifier_now(&self.choice.now())),
            What::Scheduler => Content::json(&rest::scheduler_now(&self.choice.now(), &self.policy)),
            What::EnergyScalar => Content::json(&rest::scalar_now(self.choice.now().over(&self.policy).s_green)),
            What::Ready => {
                let (ready, value) =
                    health::ready(&self.view, self.memory.as_ref(), self.stopping.load(Ordering::Acquire));
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                Content { status, ..Content::json(&value) }
            }
            What::Metrics => {
                let moment = health::moment(&self.view, self.memory.as_ref());
                let text = self.metrics.text(&moment).map_err(|_| fault())?;
                Content { kind: MEDIA_TYPE, text, ..Content::json(&Value::Null) }
            }
            What::OpenApi => Content::json(&openapi::document()),
            _ => Content::json(&json!({ "status": "live", "version": env!("CARGO_PKG_VERSION") })),
        })
    }

    /// POST, its body being there.
    async fn take(
        self: &Arc<Self>,
        route: &Route,
        (headers, of): (&HeaderMap, &Line),
        bytes: &[u8],
        id: &str,
        until: Instant,
    ) -> Result<Content, Refused> {
        let malformed = |fault: BodyError| Refused::malformed(&fault);
        match route.what {
            What::Batch => {
                let batch = external::read(bytes).map_err(malformed)?;
                self.place_batch(batch, is_mm_sched(headers), self.asker(headers, of), id, until).await
            }
            What::Place => {
                self.place_one(rest::placement(bytes).map_err(malformed)?, self.asker(headers, of), id, until).await
            }
            What::SetClassifier => match rest::placement_or_classifier(bytes).map_err(malformed)? {
                PlaceOrSet::Place(asked) => self.place_one(asked, self.asker(headers, of), id, until).await,
                PlaceOrSet::Set(name) => {
                    self.allow(headers, of)?;
                    self.set(id, "classifier", &name.clone(), |chosen| chosen.classifier = Some(name))?;
                    self.tell(What::Classifier)
                }
            },
            What::SetScheduler => {
                let name = rest::scheduler(bytes).map_err(malformed)?;
                self.set(id, "scheduler", &name.clone(), |chosen| chosen.scheduler = Some(name))?;
                self.tell(What::Scheduler)
            }
            _ => {
                let scalar = rest::energy_scalar(bytes).map_err(malformed)?;
                let change = |chosen: &mut super::Chosen| chosen.energy_cost_scalar = Some(scalar);
                self.set(id, "energy_cost_scalar", &scalar.to_string(), change)?;
                self.tell(What::EnergyScalar)
            }
        }
    }

    fn set(&self, id: &str, what: &str, value: &str, change: impl FnOnce(&mut super::Chosen)) -> Result<(), Refused> {
        self.choice.change(change).map_err(|error| {
            log::error!("request={id} serve.state_file cannot be written, {what} stays as it was: {error}");
            let error = format!("{what} stays as it was: serve.state_file cannot be written");
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error)
        })?;
        log::info!("request={id} {what}={value} from now on");
        Ok(())
    }

    async fn place_batch(
        self: &Arc<Self>,
        batch: Batch,
        mm_sched: bool,
        from: changers::Origin,
        id: &str,
        until: Instant,
    ) -> Result<Content, Refused> {
        let vms = batch.vms.len() + batch.odd.len();
        let odd = batch.odd.clone();
        let outcome = self.decide(batch, (true, from), id, until).await?;
        let mut answered: Vec<_> = outcome.placed.iter().chain(&outcome.next).chain(&outcome.held).copied().collect();
        answered.sort_unstable();
        let most = if mm_sched { MM_SCHED_READS } else { usize::MAX };
        let (mut text, written) = external::write(&answered, most);
        if written < answered.len() {
            log::info!("request={id} the answer holds {written} VMs: mm_sched reads no longer one");
        }
        // mm_sched reads nothing else, and not much of it
        if !mm_sched {
            external::append(&mut text, "LEFT_OUT", &told::left_out(&outcome.left_out, &odd));
            external::append(&mut text, "WAITING", &told::waiting(&outcome, self.brief));
            external::append(&mut text, "NEXT", &told::next(&outcome));
        }
        let note = format!(
            " vms={vms} placed={} next={} waiting={} held={} left_out={}{}",
            outcome.placed.len(),
            outcome.next.len(),
            outcome.refused.len(),
            outcome.held.len(),
            outcome.left_out.len() + odd.len(),
            told::rests_on(&outcome)
        );
        Ok(Content { text, note, ..Content::json(&Value::Null) })
    }

    async fn place_one(
        self: &Arc<Self>,
        asked: external::Asked,
        from: changers::Origin,
        id: &str,
        until: Instant,
    ) -> Result<Content, Refused> {
        let vm = asked.vm;
        let batch = Batch { vms: vec![asked], odd: Vec::new() };
        let outcome = self.decide(batch, (false, from), id, until).await?;
        if let Some(out) = outcome.left_out.first() {
            let error = format!("{}: VM {vm} {}", out.why.field(), out.why.text());
            return Err(Refused::field(StatusCode::BAD_REQUEST, out.why.field(), error));
        }
        match outcome.placed.first() {
            Some((vm, host)) => {
                let note = format!(" vm={vm} host={host}{}", told::rests_on(&outcome));
                Ok(Content { note, ..Content::json(&rest::placed(*vm, *host)) })
            }
            None => {
                let why = |refusal| told::why(refusal, self.brief);
                let error = outcome.refused.first().map_or_else(|| format!("VM {vm} finds no host"), why);
                Err(Refused::field(StatusCode::CONFLICT, "HOST_IDS", error))
            }
        }
    }

    /// Decides in a thread of its own, when it is its turn.
    async fn decide(
        self: &Arc<Self>,
        batch: Batch,
        (mm_sched, from): (bool, changers::Origin),
        id: &str,
        until: Instant,
    ) -> Result<Outcome, Refused> {
        if batch.vms.is_empty() && batch.odd.is_empty() {
            return Ok(Outcome::default());
        }
        let place = Waiting::join(&self.waiting).ok_or_else(|| Refused::busy("too many requests wait already"))?;
        let late = || Refused::busy("there is no decision within serve.deadline");
        let turn = match timeout_at(until, self.turn.clone().acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            _ => return Err(late()),
        };
        drop(place);
        let (answer, answered) = oneshot::channel();
        let (decider, request) = (self.decider.clone(), id.to_owned());
        // the planner comes to an end while there is time to answer, and soon when nobody waits
        let soft = until - self.deadline.mul_f64(LAST_PART);
        let given_up = Arc::new(AtomicBool::new(false));
        let turn = Arc::new(Mutex::new(Some(turn)));
        let (stopped, held) = (given_up.clone(), turn.clone());
        tokio::task::spawn_blocking(move || {
            // who has hung up waits no more either
            let gone = || stopped.load(Ordering::Acquire) || answer.is_closed();
            let (stop, at_once) = (|| gone() || Instant::now() >= soft, || gone() || Instant::now() >= until);
            let stop = Stop::when(&stop).or_at_once(&at_once);
            let (outcome, after) = decider.decide(&batch, Asker { request: &request, mm_sched, from, stop });
            // who has given up gets no answer: then nothing of it is remembered
            let heard = answer.send(outcome).is_ok();
            after.iter().for_each(|after| decider.finish(after, heard));
            drop(lock(&held).take());
        });
        match timeout_at(until, answered).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(fault()),
            Err(_) => {
                given_up.store(true, Ordering::Release);
                // whoever comes next need not wait until it has noticed
                drop(lock(&turn).take());
                Err(late())
            }
        }
    }
}

/// Whether a Host header names this machine as such.
fn is_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn fault() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of oneaio; please report it with the request")
}

/// The HTTP of mm_sched: it names no user agent.
fn is_mm_sched(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json");
    accepts && !headers.contains_key(header::USER_AGENT) && !headers.contains_key(header::ACCEPT_ENCODING)
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (place.0.fetch_add(1, Ordering::AcqRel) < WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_header_names_this_machine_by_its_own_names_alone() {
        for host in ["localhost", "LocalHost:4567", "127.0.0.1", "127.0.0.2:4567", "[::1]", "[::1]:4567"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", ":4567", "evil.example", "localhost.evil.example:4567", "192.0.2.1", "[2001:db8::1]:4567"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn mm_sched_is_known_by_what_it_says_and_does_not_say() {
        let of = |given: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(name, HeaderValue::from_static(value));
            }
            is_mm_sched(&headers)
        };
        let accept = (header::ACCEPT, "application/json");
        assert!(of(std::slice::from_ref(&accept)) && of(&[accept.clone(), (header::HOST, "x")]));
        assert!(!of(&[]) && !of(&[(header::ACCEPT, "*/*")]));
        assert!(!of(&[accept.clone(), (header::USER_AGENT, "curl")]));
        assert!(!of(&[accept, (header::ACCEPT_ENCODING, "gzip")]));
    }

    #[test]
    fn so_many_wait_and_each_leaves_its_place() {
        let waiting = AtomicUsize::new(0);
        let mut places: Vec<Waiting<'_>> = (0..WAITING).map_while(|_| Waiting::join(&waiting)).collect();
        assert_eq!((places.len(), Waiting::join(&waiting).is_none()), (WAITING, true));
        assert_eq!(waiting.load(Ordering::Acquire), WAITING, "who may not wait takes no place");
        places.pop();
        assert!(Waiting::join(&waiting).is_some());
        places.clear();
        assert_eq!(waiting.load(Ordering::Acquire), 0);
    }
}

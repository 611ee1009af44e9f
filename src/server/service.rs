//! One request: where it leads, whether it may, what it says, the answer and its log line.

use super::body::{Bodies, NoBody, may_be_json};
use super::chosen::Choice;
use super::compose::LeftOut;
use super::decider::{Asker, Decider, Outcome};
use super::memory::Memory;
use super::metrics::{MEDIA_TYPE, Metrics};
use super::rest::{self, PlaceOrSet};
use super::routes::{Found, Route, What, find};
use super::token::Token;
use super::view::View;
use super::{health, openapi};
use crate::model::policy::Policy;
use crate::opennebula::external::{self, Batch, BodyError};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// More requests than this never wait for decisions before them.
const WAITING: usize = 64;
/// mm_sched keeps but the last piece of an answer that its HTTP library hands over, and
/// that hands over 16 KiB at a time: longer answers are lost as a whole.
const MM_SCHED_READS: usize = 15 * 1024;

/// An answer on its way.
pub type Answer = Response<Full<Bytes>>;

/// What requests share.
pub struct Service {
    pub bodies: Bodies,
    pub choice: Arc<Choice>,
    pub deadline: Duration,
    pub decider: Arc<Decider>,
    pub memory: Arc<dyn Memory>,
    pub metrics: Arc<Metrics>,
    pub policy: Policy,
    pub stopping: AtomicBool,
    pub token: Option<Token>,
    pub view: Arc<View>,
    /// Decisions come one after another.
    pub turn: Arc<Semaphore>,
    pub waiting: AtomicUsize,
    pub requests: AtomicU64,
    /// Begins all request ids of this process.
    pub run: u32,
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
        Self { status: StatusCode::OK, kind: "application/json", text: value.to_string(), note: String::new() }
    }
}

impl Service {
    /// Answers; there is always an answer. `busy` is set while a connection must not be
    /// closed to make room for another.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>, busy: Arc<AtomicBool>) -> Answer {
        let begun = Instant::now();
        let id = format!("{:08x}-{}", self.run, self.requests.fetch_add(1, Ordering::Relaxed) + 1);
        let found = find(request.method().as_str(), request.uri().path());
        let (name, quiet) = match &found {
            Found::Route(route) => (route.path, route.quiet()),
            _ => ("other", false),
        };
        let method = request.method().clone();
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let outcome = self.route(found, request, &id, begun + self.deadline, &busy).await;
        let (content, extra, closes) = match outcome {
            Ok(content) => (content, None, chunked),
            Err(refused) => {
                let text = json!({ "error": refused.error, "field": refused.field, "request": id }).to_string();
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
        busy: &Arc<AtomicBool>,
    ) -> Result<Content, Refused> {
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
        if head.headers.contains_key(header::TRANSFER_ENCODING) && head.headers.contains_key(header::CONTENT_LENGTH) {
            let error = "Content-Length and Transfer-Encoding exclude each other";
            return Err(Refused::field(StatusCode::BAD_REQUEST, "Transfer-Encoding", error));
        }
        if route.method == "GET" {
            return self.tell(route.what);
        }
        // a placement over the classifier's route needs no token: that shows in the body
        if route.changes() && route.what != What::SetClassifier {
            self.allow(&head.headers)?;
        }
        if !may_be_json(&head.headers) {
            let error = "Content-Type must be application/json";
            return Err(Refused::field(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type", error));
        }
        let held = self.bodies.read(&head.headers, body, until).await.map_err(|fault| self.no_body(fault))?;
        busy.store(true, Ordering::Release);
        let outcome = self.take(route, &head.headers, &held.bytes, id, until).await;
        busy.store(false, Ordering::Release);
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

    fn allow(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        match &self.token {
            Some(token) if !token.allows(given) => {
                let error = "this changes state and needs the bearer token of serve.token_file";
                let refused = Refused::field(StatusCode::UNAUTHORIZED, "Authorization", error);
                Err(refused.header(header::WWW_AUTHENTICATE, "Bearer"))
            }
            _ => Ok(()),
        }
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
        headers: &HeaderMap,
        bytes: &[u8],
        id: &str,
        until: Instant,
    ) -> Result<Content, Refused> {
        let malformed = |fault: BodyError| Refused::malformed(&fault);
        match route.what {
            What::Batch => {
                let batch = external::read(bytes).map_err(malformed)?;
                self.place_batch(batch, is_mm_sched(headers), id, until).await
            }
            What::Place => self.place_one(rest::placement(bytes).map_err(malformed)?, id, until).await,
            What::SetClassifier => match rest::placement_or_classifier(bytes).map_err(malformed)? {
                PlaceOrSet::Place(asked) => self.place_one(asked, id, until).await,
                PlaceOrSet::Set(name) => {
                    self.allow(headers)?;
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
        id: &str,
        until: Instant,
    ) -> Result<Content, Refused> {
        let vms = batch.vms.len();
        let outcome = self.decide(batch, false, id, until).await?;
        if let Some(LeftOut { index, why, .. }) = outcome.left_out.first().filter(|_| outcome.left_out.len() == vms) {
            let field = format!("VMS[{index}].{}", why.field());
            let error = format!("{field}: no VM of the batch can be judged; the first {}", why.text());
            return Err(Refused::field(StatusCode::BAD_REQUEST, field, error));
        }
        let most = if mm_sched { MM_SCHED_READS } else { usize::MAX };
        let (text, written) = external::write(&outcome.placed, most);
        if written < outcome.placed.len() {
            log::info!("request={id} the answer holds {written} VMs: mm_sched reads no longer one");
        }
        let note = format!(
            " vms={vms} placed={} waiting={} left_out={}{}",
            outcome.placed.len(),
            outcome.refused.len(),
            outcome.left_out.len(),
            rests_on(&outcome)
        );
        Ok(Content { text, note, ..Content::json(&Value::Null) })
    }

    async fn place_one(self: &Arc<Self>, asked: external::Asked, id: &str, until: Instant) -> Result<Content, Refused> {
        let vm = asked.vm;
        let outcome = self.decide(Batch { vms: vec![asked] }, true, id, until).await?;
        if let Some(out) = outcome.left_out.first() {
            let error = format!("{}: VM {vm} {}", out.why.field(), out.why.text());
            return Err(Refused::field(StatusCode::BAD_REQUEST, out.why.field(), error));
        }
        match outcome.placed.first() {
            Some((vm, host)) => {
                let note = format!(" vm={vm} host={host}{}", rests_on(&outcome));
                Ok(Content { note, ..Content::json(&rest::placed(*vm, *host)) })
            }
            None => {
                let why = outcome.refused.first().map_or("finds no host", |refusal| refusal.text.as_str());
                Err(Refused::field(StatusCode::CONFLICT, "HOST_IDS", format!("VM {vm} {why}")))
            }
        }
    }

    /// Decides in a thread of its own, when it is its turn.
    async fn decide(
        self: &Arc<Self>,
        batch: Batch,
        sizeless: bool,
        id: &str,
        until: Instant,
    ) -> Result<Outcome, Refused> {
        if batch.vms.is_empty() {
            return Ok(Outcome::default());
        }
        let place = Waiting::join(self).ok_or_else(|| Refused::busy("too many requests wait already"))?;
        let late = || Refused::busy("there is no decision within serve.deadline");
        let turn = match timeout_at(until, self.turn.clone().acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            _ => return Err(late()),
        };
        drop(place);
        let (answer, answered) = oneshot::channel();
        let (decider, request) = (self.decider.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (outcome, after) = decider.decide(&batch, Asker { request: &request, sizeless });
            // who has given up gets no answer: then nothing of it is remembered
            let heard = answer.send(outcome).is_ok();
            after.iter().for_each(|after| decider.finish(after, heard));
        });
        match timeout_at(until, answered).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(fault()),
            Err(_) => Err(late()),
        }
    }
}

/// For the log line: how old what is known of the cloud was.
fn rests_on(outcome: &Outcome) -> String {
    outcome.oned_age.map_or_else(|| " oned_age=none".to_owned(), |age| format!(" oned_age={:.1}", age.as_secs_f64()))
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
    fn join(service: &'a Service) -> Option<Self> {
        let place = Self(&service.waiting);
        (place.0.fetch_add(1, Ordering::AcqRel) < WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

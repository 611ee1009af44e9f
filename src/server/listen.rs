//! Sockets and connections: how many, for how long, and the graceful end.

use super::board::{Board, Draw};
use super::body::Bodies;
use super::changers::Changers;
use super::chosen::{Choice, Chosen};
use super::decider::{Decider, Log};
use super::heads::{Heads, Watched};
use super::memory::Memory;
use super::messages::Messages;
use super::metrics::Metrics;
use super::service::{Line, Service};
use super::view::View;
use crate::config::Settings;
use crate::machine::locks::lock;
use crate::oned::Oned;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// For the head of a request, and so for a connection that says nothing.
const HEAD: Duration = Duration::from_secs(5);
/// Longer heads, and heads of more headers, are refused.
const HEAD_BYTES: usize = 32 * 1024;
const HEADERS: usize = 64;
/// No connection is kept longer; it is asked to end after its request.
const LIFETIME: Duration = Duration::from_secs(300);
/// What the sockets of connections that wait to be accepted hold.
const PAUSE: Duration = Duration::from_millis(50);
/// The first look at oned may take so long before the socket opens to requests.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// What the service is made of.
pub struct Parts {
    /// As configured.
    pub settings: Settings,
    /// As kept from an earlier run.
    pub chosen: Chosen,
    /// Who may change what is set.
    pub changers: Changers,
    /// The store.
    pub memory: Arc<dyn Memory>,
    /// Keeps a decision that was answered, for those who ask why.
    pub log: Log,
    /// Draws the page at `/`.
    pub draw: Draw,
    /// `None` never asks oned.
    pub oned: Option<Oned>,
    /// Who writes why VMs wait; `None` for nobody.
    pub writer: Option<Oned>,
    /// A socket that is open already.
    pub socket: Option<TcpListener>,
}

/// Why the service cannot begin.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {0} ({1}): is another oneaio running? see serve.address and serve.port")]
    Listen(SocketAddr, io::Error),
    /// The system refuses.
    #[error("the service cannot start: {0}")]
    System(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT. `ready` is called with the address when it listens.
///
/// # Errors
/// When it cannot begin.
pub fn run(parts: Parts, ready: impl FnOnce(SocketAddr), stopping: impl FnOnce()) -> Result<(), ServeError> {
    let Parts { settings, chosen, changers, memory, log, draw, oned, writer, socket } = parts;
    let board = Arc::new(Board::new(draw));
    let mut serve = settings.serve.clone();
    serve.max_connections = within_files(serve.max_connections);
    let listener = match socket {
        Some(socket) => socket,
        None => {
            let address = SocketAddr::new(serve.address, serve.port);
            TcpListener::bind(address).map_err(|error| ServeError::Listen(address, error))?
        }
    };
    listener.set_nonblocking(true)?;
    let view = Arc::new(View::new(Duration::from_secs_f64(serve.oned_max_age), oned.is_some()));
    let watcher = match (oned, serve.oned_refresh) {
        (Some(oned), Some(seconds)) => {
            let (view, every) = (view.clone(), Duration::from_secs_f64(seconds));
            Some(std::thread::Builder::new().name("oned".to_owned()).spawn(move || view.watch(&oned, every))?)
        }
        _ => None,
    };
    let messages = writer.map(|oned| (Arc::new(Messages::new(view.clone())), oned));
    let messages = match messages {
        Some((messages, oned)) => {
            let writing = messages.clone();
            std::thread::Builder::new().name("messages".to_owned()).spawn(move || writing.write(&oned))?;
            Some(messages)
        }
        None => None,
    };
    let metrics = Arc::new(Metrics::default());
    let choice = Arc::new(Choice::new(chosen, serve.state_file.clone()));
    let decider = Decider::new(
        settings.clone(),
        choice.clone(),
        view.clone(),
        memory.clone(),
        metrics.clone(),
        log,
        board.clone(),
    );
    let service = Arc::new(Service {
        brief: settings.brief,
        bodies: Bodies::new(serve.max_body),
        deadline: Duration::from_secs_f64(serve.deadline),
        policy: settings.policy.clone(),
        decider: Arc::new(decider.telling(messages.clone())),
        board,
        choice,
        memory,
        metrics,
        stopping: AtomicBool::new(false),
        changers,
        view: view.clone(),
        turn: Arc::new(Semaphore::new(1)),
        waiting: AtomicUsize::new(0),
        requests: AtomicU64::new(0),
        run: std::process::id().wrapping_mul(0x9e37_79b1) ^ started(),
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(4).enable_all().build()?;
    if watcher.is_some() {
        view.wait_for_first(FIRST_LOOK);
    }
    let outcome = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let end = signals()?;
        ready(listener.local_addr()?);
        let connections = Arc::new(Connections::new(serve.max_connections));
        accept(&listener, &service, &connections, end).await;
        drop(listener);
        stopping();
        service.stopping.store(true, Ordering::Release);
        connections.end(service.deadline).await;
        Ok(())
    });
    view.stop();
    messages.iter().for_each(|messages| messages.stop());
    // a decision that nobody waits for any more, or a look that hangs, does not hold us
    runtime.shutdown_timeout(Duration::from_millis(200));
    drop(watcher);
    outcome
}

/// Files that are open beside connections: store, logs, oned, the runtime's own.
const FILES: usize = 40;

/// So many connections as there may be open files; the limit is raised as far as it goes.
fn within_files(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = (wanted + FILES) as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = limit.maximum.map_or(needed, |most| most.min(needed));
        // where it is refused, the old limit is told below
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    }
    let files =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let most = beside_others(files);
    if most < wanted {
        log::warn!(
            "at most {most} connections at a time: the limit of open files is {files}, serve.max_connections {wanted}"
        );
    }
    wanted.min(most)
}

/// Connections that so many open files leave room for.
fn beside_others(files: usize) -> usize {
    files.saturating_sub(FILES).max(1)
}

/// Tells two runs apart that have the same process id.
fn started() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as u32 ^ since.subsec_nanos()
}

/// Ends with the first SIGTERM or SIGINT. SIGHUP, which a terminal that closes sends too, is
/// told and changes nothing.
fn signals() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            log::info!("SIGHUP changes nothing: restart the service to read its configuration anew");
        }
    });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn accept(
    listener: &tokio::net::TcpListener,
    service: &Arc<Service>,
    connections: &Arc<Connections>,
    end: impl Future<Output = ()>,
) {
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            () = &mut end => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => connections.take(stream, service).await,
            Err(error) => {
                // no file handles left, or a client that has gone: others go on
                log::warn!("a connection could not be accepted: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// The open connections.
struct Connections {
    most: usize,
    open: Mutex<BTreeMap<u64, Connection>>,
    next: AtomicU64,
    over: watch::Sender<bool>,
    fewer: Notify,
}

struct Connection {
    busy: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Connections {
    fn new(most: usize) -> Self {
        let (over, _) = watch::channel(false);
        Self { most, open: Mutex::default(), next: AtomicU64::new(0), over, fewer: Notify::new() }
    }

    /// Serves a connection; where there are too many, the oldest idle one makes room.
    async fn take(self: &Arc<Self>, stream: TcpStream, service: &Arc<Service>) {
        if !self.make_room(service).await {
            return;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let busy = Arc::new(AtomicBool::new(false));
        let guard = Guard { number, connections: self.clone(), service: service.clone() };
        let serving = serve(stream, service.clone(), busy.clone(), self.over.subscribe());
        // with the lock held, so that it cannot be counted out before it is counted in
        let mut open = lock(&self.open);
        let task = tokio::spawn(async move {
            let _guard = guard;
            serving.await;
        });
        open.insert(number, Connection { busy, task });
        service.metrics.connections(open.len());
    }

    /// Whether there is room for one more, perhaps by closing the oldest idle one.
    async fn make_room(&self, service: &Service) -> bool {
        let closed = {
            let mut open = lock(&self.open);
            if open.len() < self.most {
                return true;
            }
            let idle = open.iter().find(|(_, connection)| !connection.busy.load(Ordering::Acquire));
            idle.map(|(number, _)| *number).and_then(|number| open.remove(&number))
        };
        let Some(connection) = closed else { return false };
        connection.task.abort();
        // its file is free when it has ended
        let _ = connection.task.await;
        service.metrics.evicted();
        true
    }

    /// Asks all to end after their request, and waits for that.
    async fn end(&self, most: Duration) {
        let _ = self.over.send(true);
        let emptied = async {
            loop {
                let fewer = self.fewer.notified();
                if lock(&self.open).is_empty() {
                    return;
                }
                fewer.await;
            }
        };
        if timeout(most, emptied).await.is_err() {
            log::warn!("{} connections did not end within serve.deadline and are cut", lock(&self.open).len());
        }
    }
}

/// Counts a connection out, however it ends.
struct Guard {
    number: u64,
    connections: Arc<Connections>,
    service: Arc<Service>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut open = lock(&self.connections.open);
        open.remove(&self.number);
        self.service.metrics.connections(open.len());
        drop(open);
        self.connections.fewer.notify_waiters();
    }
}

async fn serve(stream: TcpStream, service: Arc<Service>, busy: Arc<AtomicBool>, mut over: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let heads = Heads::default();
    let (peer, here) = (stream.peer_addr().ok(), stream.local_addr().ok());
    let line = Arc::new(Line { busy, peer, here, heads: heads.clone() });
    let answer = service_fn(move |request| {
        let answer = service.clone().answer(request, line.clone());
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(Watched::new(stream, heads)), answer);
    tokio::pin!(connection);
    let born = Instant::now();
    tokio::select! {
        // what a client did wrong has been answered; that it has gone is its affair
        _ = &mut connection => return,
        () = sleep_until(born + LIFETIME) => {}
        _ = over.wait_for(|over| *over) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LIFETIME, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_all_else_and_one_there_is() {
        for (files, most) in [(0, 1), (FILES, 1), (FILES + 1, 1), (FILES + 2, 2), (1024, 984)] {
            assert_eq!(beside_others(files), most, "{files}");
        }
        // what is wanted and there is room for is not changed
        assert_eq!(within_files(1), 1);
    }

    #[test]
    fn two_runs_of_one_number_are_told_apart() {
        let first = started();
        let again = std::iter::repeat_with(started).take(1_000_000).find(|next| *next != first);
        assert!(again.is_some());
    }
}

//! What comes in, within limits of length, time and memory.

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Memory is handed out in such pieces.
const PIECE: usize = 1024;
/// A body that is too long is read on for so many bytes and so long, so that its sender
/// gets to read the answer.
const DRAINED: usize = 64 << 20;
const DRAINING: Duration = Duration::from_secs(5);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBody {
    /// Longer than allowed.
    TooLong,
    /// Did not come in time.
    Late,
    /// The connection broke, or the chunks are wrong.
    Broken,
    /// All memory for bodies is taken.
    NoMemory,
}

/// Bounds for all bodies.
#[derive(Debug)]
pub struct Bodies {
    longest: usize,
    memory: Arc<Semaphore>,
}

/// A body, and its share of memory.
pub struct Held {
    /// All of it.
    pub bytes: Vec<u8>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Bodies of at most `longest` bytes, eight of the longest at a time.
    pub fn new(longest: usize) -> Self {
        let pieces = longest.div_ceil(PIECE).saturating_mul(8).max(4096);
        Self { longest, memory: Arc::new(Semaphore::new(pieces)) }
    }

    /// The longest allowed.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Reads a body to its end.
    pub async fn read(&self, headers: &HeaderMap, mut body: Incoming, until: Instant) -> Result<Held, NoBody> {
        if body.size_hint().lower() > self.longest as u64 {
            // whoever waits for 100 Continue has sent nothing yet
            if !headers.contains_key(EXPECT) {
                drain(&mut body, until).await;
            }
            return Err(NoBody::TooLong);
        }
        let mut held = Held { bytes: Vec::new(), _memory: None };
        loop {
            let frame = match timeout_at(until, body.frame()).await {
                Err(_) => return Err(NoBody::Late),
                Ok(None) => return Ok(held),
                Ok(Some(Err(_))) => return Err(NoBody::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            if held.bytes.len() + data.len() > self.longest {
                drop(held);
                drain(&mut body, until).await;
                return Err(NoBody::TooLong);
            }
            let pieces = u32::try_from(data.len().div_ceil(PIECE)).unwrap_or(u32::MAX);
            let permit = self.memory.clone().try_acquire_many_owned(pieces).map_err(|_| NoBody::NoMemory)?;
            match &mut held._memory {
                Some(memory) => memory.merge(permit),
                none => *none = Some(permit),
            }
            held.bytes.extend_from_slice(&data);
        }
    }
}

async fn drain(body: &mut Incoming, until: Instant) {
    let until = until.min(Instant::now() + DRAINING);
    let mut passed = 0;
    while passed < DRAINED {
        match timeout_at(until, body.frame()).await {
            Ok(Some(Ok(frame))) => passed += frame.data_ref().map_or(0, |data| data.len()),
            _ => return,
        }
    }
}

/// Whether the body may be JSON: who says nothing may be right, forms of web pages are not.
pub fn may_be_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn json_is_told_from_other_things() {
        let with = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            may_be_json(&headers)
        };
        assert!(may_be_json(&HeaderMap::new()));
        for kind in ["application/json", "Application/JSON ; charset=utf-8", "application/problem+json"] {
            assert!(with(kind), "{kind}");
        }
        for kind in ["", "text/plain", "application/x-www-form-urlencoded", "image/svg+json", "text/json", "json"] {
            assert!(!with(kind), "{kind}");
        }
    }

    #[test]
    fn there_is_memory_for_eight_of_the_longest_and_for_4_mib_at_least() {
        for (longest, pieces) in [(0, 4096), (512 << 10, 4096), (1 << 20, 8192), ((1 << 20) + 1, 8200)] {
            let bodies = Bodies::new(longest);
            assert_eq!((bodies.longest(), bodies.memory.available_permits()), (longest, pieces));
        }
    }
}

//! How far uploads are, and telling it: shared by all shards, since whoever watches may be on another.

use lakh::{
    core,
    http::{Body, Bytes, HandlerError, HandlerResult, Response, StatusCode, header},
};
use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Uploads that may be under way or watched at once.
const MOST: usize = 1024;
/// How often those who watch are told.
const EVERY: Duration = Duration::from_millis(200);
/// After so much silence a comment keeps the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Uploads that are under way or watched, by the name that the client gave them.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Weak<Progress>>>);

#[derive(Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    has_ended: AtomicBool,
}

impl Uploads {
    /// The progress of this upload, which may begin later.
    pub(crate) fn progress(&self, id: &str) -> HandlerResult<Arc<Progress>> {
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(HandlerError::not_found("an upload is named by up to 64 letters and digits"));
        }
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = uploads.get(id).and_then(Weak::upgrade) {
            return Ok(progress);
        }
        uploads.retain(|_, progress| progress.strong_count() > 0);
        if uploads.len() >= MOST {
            return Err(HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE));
        }
        let progress = Arc::<Progress>::default();
        uploads.insert(id.to_owned(), Arc::downgrade(&progress));
        Ok(progress)
    }
}

/// The upload's side: it has ended when this is dropped, however that comes.
pub(crate) struct Meter(pub(crate) Arc<Progress>);

impl Meter {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Release);
    }
}

/// `progress` events with the bytes so far, then one `end` (server-sent events, as HTML defines them).
pub(crate) fn events(progress: Arc<Progress>) -> Response {
    let mut watch = Watch { progress, tick: core::sleep(Duration::ZERO), told: None, is_over: false };
    Response::new(Body::from_poll_fn(move |cx| {
        watch.poll_event(cx).map(|event| event.map(Ok::<_, Infallible>))
    }))
    .with_header(header::CONTENT_TYPE, "text/event-stream")
    .with_header(header::CACHE_CONTROL, "no-store")
}

struct Watch {
    progress: Arc<Progress>,
    tick: core::Sleep,
    /// What was told last, and when.
    told: Option<(u64, Instant)>,
    is_over: bool,
}

impl Watch {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            ready!(Pin::new(&mut self.tick).poll(cx));
            let now = core::with(|shard| shard.now());
            self.tick.reset(now + EVERY);
            if let Some(event) = self.event(now) {
                return Poll::Ready(Some(event));
            }
        }
    }

    fn event(&mut self, now: Instant) -> Option<Bytes> {
        // A server that is to end does not wait for those who watch.
        self.is_over =
            self.progress.has_ended.load(Ordering::Acquire) || core::with(|shard| shard.is_draining());
        let bytes = self.progress.bytes.load(Ordering::Relaxed);
        let progress = format!("event: progress\ndata: {bytes}\n\n");
        let event = match self.told {
            _ if self.is_over => format!("{progress}event: end\ndata:\n\n"),
            Some((told, at)) if told == bytes && now < at + KEEP_ALIVE => return None,
            Some((told, _)) if told == bytes => ":\n\n".to_owned(),
            _ => progress,
        };
        self.told = Some((bytes, now));
        Some(event.into())
    }
}

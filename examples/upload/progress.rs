//! How far uploads are, and telling it: shared by all shards, since whoever watches may be on another.

use lakh::http::{
    HandlerError, HandlerResult, StatusCode,
    sse::{Event, Sse},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Uploads that may be under way or watched at once.
const MOST: usize = 1024;
/// How often those who watch are told.
const EVERY: Duration = Duration::from_millis(200);

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

/// `progress` events with the bytes so far, then one `end`.
pub(crate) fn events(progress: Arc<Progress>) -> Sse {
    Sse::from_async_fn(async move |events| {
        let mut told = None;
        loop {
            // Asked before the bytes: the last ones are told, too.
            let has_ended = progress.has_ended.load(Ordering::Acquire);
            let bytes = progress.bytes.load(Ordering::Relaxed);
            let event = Event::new(bytes.to_string()).name("progress");
            if told.replace(bytes) != Some(bytes) && events.send(event).await.is_err() {
                return;
            }
            if has_ended {
                // Whoever is gone need not be told.
                let _ = events.send(Event::new("").name("end")).await;
                return;
            }
            lakh::sleep(EVERY).await;
        }
    })
}

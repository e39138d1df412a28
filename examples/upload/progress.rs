//! How far uploads are, and telling it: shared by all shards, since whoever watches may be on another.

use lakh::http::{
    HandlerError, HandlerResult, StatusCode,
    sse::{Event, Sse},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Names by which uploads may be under way at once.
const MOST: usize = 1024;
/// Uploads that may be waited for at once. A share of its own: who watches what never begins takes nothing
/// from those who upload.
const MOST_AWAITED: usize = 256;
/// How often those who watch are told.
const EVERY: Duration = Duration::from_millis(200);

/// Uploads that are under way or waited for, by the name that the client gave them.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<Table>);

#[derive(Default)]
struct Table {
    under_way: HashMap<String, Arc<Progress>>,
    /// Kept by those who watch.
    awaited: HashMap<String, Weak<Progress>>,
}

#[derive(Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    has_ended: AtomicBool,
}

impl Uploads {
    /// The progress of the upload that is under way by this name, or else of the next one.
    pub(crate) fn watch(&self, id: &str) -> HandlerResult<Arc<Progress>> {
        check(id)?;
        let Table { under_way, awaited } = &mut *self.table();
        let known = under_way.get(id).cloned().or_else(|| awaited.get(id)?.upgrade());
        if let Some(progress) = known {
            return Ok(progress);
        }
        awaited.retain(|_, progress| progress.strong_count() > 0);
        if awaited.len() >= MOST_AWAITED {
            return Err(HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE));
        }
        let progress = Arc::<Progress>::default();
        awaited.insert(id.to_owned(), Arc::downgrade(&progress));
        Ok(progress)
    }

    /// Begins an upload. Those who wait for it watch it from here on; those who watch an earlier one of the
    /// same name go on with that.
    pub(crate) fn begin(self: &Arc<Self>, id: &str) -> HandlerResult<Meter> {
        check(id)?;
        let Table { under_way, awaited } = &mut *self.table();
        if under_way.len() >= MOST {
            return Err(HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE));
        }
        let progress = awaited.remove(id).and_then(|progress| progress.upgrade()).unwrap_or_default();
        under_way.insert(id.to_owned(), Arc::clone(&progress));
        Ok(Meter { uploads: Arc::clone(self), id: id.to_owned(), progress })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(id: &str) -> HandlerResult<()> {
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(HandlerError::not_found("an upload is named by up to 64 letters and digits"));
    }
    Ok(())
}

/// The upload's side: it has ended when this is dropped, however that comes.
pub(crate) struct Meter {
    uploads: Arc<Uploads>,
    id: String,
    progress: Arc<Progress>,
}

impl Meter {
    pub(crate) fn add(&self, bytes: usize) {
        self.progress.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.progress.has_ended.store(true, Ordering::Release);
        let under_way = &mut self.uploads.table().under_way;
        // A later one of the same name may have taken the place.
        if under_way.get(&self.id).is_some_and(|progress| Arc::ptr_eq(progress, &self.progress)) {
            under_way.remove(&self.id);
        }
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

//! Events that many clients listen to, on all shards, and can resume.

use super::{Event, LastEventId, Sse};
use bytes::Bytes;
use futures_core::Stream;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{SystemTime, UNIX_EPOCH},
};

/// Events for whoever listens, on whatever shard. The last ones are kept, in one place for all: a client
/// that comes back gets what it has missed, and one that is slow costs no memory of its own.
///
/// Each event is given an id, and rendered once. A client that has missed more than is kept (it was away
/// or slow for too long, or the feed is another one since the process has been started anew) gets the
/// [gap event](Feed::gap_event) and then what is kept.
///
/// Make it outside of the server's factory, and give a clone to each shard:
///
/// ```
/// use lakh_http::{App, Server, StatusCode, extract::State, sse::{Event, Feed, LastEventId}};
///
/// let feed = Feed::new(256);
/// let server = Server::new(move |_shard| {
///     App::with_state(feed.clone())
///         .get("/news", |State(feed): State<Feed>, last: Option<LastEventId>| feed.subscribe(last))
///         .post("/news", async |State(feed): State<Feed>, text: String| {
///             feed.publish(Event::new(text));
///             StatusCode::ACCEPTED
///         })
/// });
/// ```
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    /// Tells the ids of this feed from those of another one.
    epoch: u64,
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: VecDeque<Bytes>,
    /// How many events were published.
    end: u64,
    gap: Option<Bytes>,
    /// Those that have all events and wait for the next one, by their numbers.
    waiting: HashMap<u64, Waker>,
    subscribers: usize,
    next_number: u64,
}

impl Feed {
    /// A feed that keeps the last `capacity` events, at least one.
    pub fn new(capacity: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = now.as_nanos() as u64;
        Feed(Arc::new(Shared { epoch, capacity: capacity.max(1), state: Mutex::default() }))
    }

    /// What clients are sent that have missed events for good, so that they can start afresh.
    pub fn gap_event(self, event: &Event) -> Self {
        self.lock().gap = Some(event.encode());
        self
    }

    /// Sends an event to all that listen. An id of its own is replaced. Does not block, and may be
    /// called on any thread.
    pub fn publish(&self, event: Event) {
        let waiting = {
            let mut state = self.lock();
            state.end += 1;
            let event = event.id(self.id(state.end)).encode();
            if state.kept.len() == self.0.capacity {
                state.kept.pop_front();
            }
            state.kept.push_back(event);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_values().for_each(Waker::wake);
    }

    /// The events from here on, or from the one on that a client had last: so many answers may share a
    /// feed as there are clients.
    pub fn subscribe(&self, last: Option<LastEventId>) -> Sse {
        let mut state = self.lock();
        state.subscribers += 1;
        state.next_number += 1;
        let (at, missed) = match last {
            None => (state.end, false),
            Some(LastEventId(id)) => match self.position(&id).filter(|at| *at <= state.end) {
                Some(at) => (at, false),
                None => (state.first(), true),
            },
        };
        let number = state.next_number;
        drop(state);
        // Who loses the connection before the first event still knows where it was.
        let first = (!missed).then(|| Event::default().id(self.id(at)).encode());
        Sse::encoded(Subscription { feed: self.clone(), number, first, at, missed })
    }

    /// How many clients listen.
    pub fn subscribers(&self) -> usize {
        self.lock().subscribers
    }

    /// The id that tells how many events someone has.
    fn id(&self, at: u64) -> String {
        format!("{:x}-{at}", self.0.epoch)
    }

    fn position(&self, id: &str) -> Option<u64> {
        let (epoch, at) = id.split_once('-')?;
        (u64::from_str_radix(epoch, 16) == Ok(self.0.epoch)).then(|| at.parse().ok()).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The position of the oldest event that is kept.
    fn first(&self) -> u64 {
        self.end - self.kept.len() as u64
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Feed")
            .field("published", &state.end)
            .field("subscribers", &state.subscribers)
            .finish()
    }
}

/// One client's place in the feed.
struct Subscription {
    feed: Feed,
    number: u64,
    first: Option<Bytes>,
    /// How many of the feed's events it has.
    at: u64,
    /// It has lost some of them for good, and is to be told.
    missed: bool,
}

impl Stream for Subscription {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        let waker = cx.waker().clone();
        let mut state = this.feed.lock();
        if this.at < state.first() {
            this.at = state.first();
            this.missed = true;
        }
        if std::mem::take(&mut this.missed)
            && let Some(gap) = &state.gap
        {
            return Poll::Ready(Some(gap.clone()));
        }
        match state.kept.get((this.at - state.first()) as usize) {
            Some(event) => {
                this.at += 1;
                Poll::Ready(Some(event.clone()))
            }
            None => {
                let old = state.waiting.insert(this.number, waker);
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.feed.lock();
            state.subscribers -= 1;
            state.waiting.remove(&self.number)
        };
        drop(waker);
    }
}

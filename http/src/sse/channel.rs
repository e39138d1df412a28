//! A bounded queue of events from tasks of the shard to one client.

use super::{Event, Sse};
use futures_core::Stream;
use lakh_core::{WakerKey, Wakers};
use std::{
    cell::RefCell,
    collections::VecDeque,
    error, fmt,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// A sender for tasks of this shard, and the answer that sends to one client what they push. Up to
/// `capacity` events wait for the client, at least one.
///
/// The answer ends when all senders are dropped and the queue is empty.
///
/// ```
/// use lakh_http::sse::{Event, Sse, channel};
///
/// async fn progress() -> Sse {
///     let (sender, answer) = channel(16);
///     lakh_core::spawn_detached(async move {
///         for percent in [0, 50, 100] {
///             // What matters waits for room; this does not: the newest is what counts.
///             if sender.push(Event::new(percent.to_string())).is_err() {
///                 return; // nobody listens any more
///             }
///         }
///     });
///     answer
/// }
/// ```
pub fn channel(capacity: usize) -> (Sender, Sse) {
    let (sender, receiver) = pair(capacity);
    (sender, Sse::new(receiver))
}

pub(super) fn pair(capacity: usize) -> (Sender, Receiver) {
    let queue = Queue { capacity: capacity.max(1), senders: 1, has_receiver: true, ..Queue::default() };
    let shared = Rc::new(RefCell::new(queue));
    (Sender(Rc::clone(&shared)), Receiver(shared))
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    capacity: usize,
    senders: usize,
    has_receiver: bool,
    receiver: Option<Waker>,
    /// Who waits for room or for the end.
    waiting: Wakers,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.events.len() >= self.capacity
    }
}

/// Pushes events to one client. What happens when its queue is full is up to the method:
///
/// | | |
/// |---|---|
/// | [`send`](Sender::send) | waits for room |
/// | [`try_send`](Sender::try_send) | is refused |
/// | [`push`](Sender::push) | drops the oldest |
pub struct Sender(Rc<RefCell<Queue>>);

impl Sender {
    /// Queues an event once there is room for it. Those who wait are woken in the order in which they came.
    ///
    /// Cancel safe: dropped before that, the event is not queued.
    ///
    /// # Errors
    /// If nobody listens any more.
    pub async fn send(&self, event: Event) -> Result<(), Refused> {
        let mut event = Some(event);
        let mut waiting = Waiting::new(&self.0);
        poll_fn(|cx| match self.try_send(event.take().unwrap_or_default()) {
            Err(refused) if refused.is_full() => {
                event = Some(refused.into_event());
                waiting.wait(cx);
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        })
        .await
    }

    /// Queues an event if there is room for it.
    ///
    /// # Errors
    /// If the queue is full, or nobody listens any more.
    pub fn try_send(&self, event: Event) -> Result<(), Refused> {
        let is_full = {
            let queue = self.0.borrow();
            queue.has_receiver && queue.is_full()
        };
        if is_full { Err(Refused { event, is_full }) } else { self.push(event).map(drop) }
    }

    /// Queues an event, in the place of the oldest one if there is no room: that one is given back.
    ///
    /// # Errors
    /// If nobody listens any more.
    pub fn push(&self, event: Event) -> Result<Option<Event>, Refused> {
        let (dropped, receiver) = {
            let mut queue = self.0.borrow_mut();
            if !queue.has_receiver {
                return Err(Refused { event, is_full: false });
            }
            let dropped = if queue.is_full() { queue.events.pop_front() } else { None };
            queue.events.push_back(event);
            (dropped, queue.receiver.take())
        };
        receiver.into_iter().for_each(Waker::wake);
        Ok(dropped)
    }

    /// Whether nobody listens any more.
    pub fn is_closed(&self) -> bool {
        !self.0.borrow().has_receiver
    }

    /// Waits until nobody listens any more. Cancel safe.
    pub async fn closed(&self) {
        let mut waiting = Waiting::new(&self.0);
        poll_fn(|cx| {
            if self.is_closed() {
                return Poll::Ready(());
            }
            waiting.wait(cx);
            Poll::Pending
        })
        .await;
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.0.borrow_mut().senders += 1;
        Sender(Rc::clone(&self.0))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let receiver = {
            let mut queue = self.0.borrow_mut();
            queue.senders -= 1;
            if queue.senders == 0 { queue.receiver.take() } else { None }
        };
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// The place of one future among those that wait; given back when it is dropped.
struct Waiting<'a> {
    queue: &'a RefCell<Queue>,
    place: Option<WakerKey>,
}

impl<'a> Waiting<'a> {
    fn new(queue: &'a RefCell<Queue>) -> Self {
        Waiting { queue, place: None }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        self.leave();
        let waker = cx.waker().clone();
        self.place = Some(self.queue.borrow_mut().waiting.insert(waker));
    }

    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        let left = self.queue.borrow_mut().waiting.remove(place);
        drop(left);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The client's end of the queue.
pub(super) struct Receiver(Rc<RefCell<Queue>>);

impl Receiver {
    /// `None` once the queue is empty and no sender is left.
    pub(super) fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let waker = cx.waker().clone();
        let mut queue = self.0.borrow_mut();
        let Some(event) = queue.events.pop_front() else {
            if queue.senders == 0 {
                return Poll::Ready(None);
            }
            let old = queue.receiver.replace(waker);
            drop(queue);
            drop(old);
            return Poll::Pending;
        };
        let waiting = queue.waiting.take();
        drop(queue);
        waiting.for_each(Waker::wake);
        Poll::Ready(Some(event))
    }
}

impl Stream for Receiver {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let (events, waiting) = {
            let mut queue = self.0.borrow_mut();
            queue.has_receiver = false;
            (std::mem::take(&mut queue.events), queue.waiting.take())
        };
        drop(events);
        waiting.for_each(Waker::wake);
    }
}

/// An event that was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    event: Event,
    is_full: bool,
}

impl Refused {
    /// The queue is full: the client does not keep up.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Nobody listens any more: the client has gone away, or the server drains.
    pub fn is_closed(&self) -> bool {
        !self.is_full
    }

    /// The event.
    pub fn into_event(self) -> Event {
        self.event
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full { "the queue of events is full" } else { "nobody listens to the events" })
    }
}

impl error::Error for Refused {}

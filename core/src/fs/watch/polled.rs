//! A watch by looking again and again, where the kernel tells nothing.

use super::{
    super::{held::Held, job::begin_steps},
    queue::Queue,
    settings::Settings,
    snapshot::{Look, Seen, Snapshot},
};
use crate::{
    pool::Job,
    time::{Sleep, sleep_until},
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

pub(super) struct Polled {
    settings: Arc<Settings>,
    snapshot: Option<Arc<Held<Snapshot>>>,
    /// Whether something may have happened before the first snapshot.
    is_late: bool,
    job: Option<Job<io::Result<Seen>>>,
    timer: Pin<Box<Sleep>>,
    capacity: usize,
    refused: u64,
}

impl Polled {
    pub(super) fn begin(settings: &Arc<Settings>, capacity: usize, is_late: bool) -> Self {
        let timer = Box::pin(sleep_until(Instant::now()));
        let settings = Arc::clone(settings);
        Polled { settings, snapshot: None, is_late, job: None, timer, capacity, refused: 0 }
    }

    /// Whether there is a snapshot to compare with.
    pub(super) fn is_settled(&self) -> bool {
        self.snapshot.is_some()
    }

    pub(super) fn root_is_there(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_empty())
    }

    /// Of the last look.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Goes on by one step, if there is one.
    pub(super) fn poll(
        &mut self,
        queue: &mut Queue,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(job) = &mut self.job else {
            ready!(self.timer.as_mut().poll(cx));
            return Poll::Ready(self.look(now));
        };
        let seen = ready!(Pin::new(job).poll(cx));
        self.job = None;
        self.timer.as_mut().reset(now + self.settings.interval);
        let seen = seen.map_err(io::Error::other)??;
        self.refused = seen.refused;
        match seen.events {
            Some(events) => events.into_iter().for_each(|event| queue.push(event, now)),
            None if self.snapshot.is_some() || self.is_late => queue.rescan(now),
            None => {}
        }
        self.snapshot = Some(Arc::new(seen.snapshot));
        Poll::Ready(Ok(()))
    }

    fn look(&mut self, now: Instant) -> io::Result<()> {
        let mut look = Look::new(Arc::clone(&self.settings), self.snapshot.clone(), self.capacity);
        match begin_steps(&self.settings.pool, self.settings.group, move || look.step()) {
            Ok(job) => self.job = Some(job),
            Err(refused) if refused.is_full() => self.timer.as_mut().reset(now + self.settings.interval),
            Err(refused) => return Err(io::Error::other(refused)),
        }
        Ok(())
    }
}

//! Asking a shard, on the shard.

use super::{Answer, Handle, HandleKind, Page};
use crate::{
    shard::{Shard, ShardHandle},
    sys::socket,
    task::Asked,
    watchdog::WorkName,
};
use std::time::{Duration, Instant};

/// The most that one [`Page`] may have.
pub const MAX_ITEMS: usize = 500;
/// Places of a table that are looked at for one page.
const MAX_PLACES: u32 = 16 * 1024;

/// What to ask a shard for, and where to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query {
    what: What,
    from: u32,
    limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Sockets,
    Tasks,
    Timers,
    Requests,
}

impl Query {
    fn new(what: What) -> Self {
        Query { what, from: 0, limit: MAX_ITEMS }
    }

    /// Sockets and other sources.
    pub fn sockets() -> Self {
        Self::new(What::Sockets)
    }

    /// Tasks.
    pub fn tasks() -> Self {
        Self::new(What::Tasks)
    }

    /// Timers.
    pub fn timers() -> Self {
        Self::new(What::Timers)
    }

    /// Requests whose answers are not finished yet: those of tasks that tell of them ([`Inspect`](super::Inspect)).
    pub fn requests() -> Self {
        Self::new(What::Requests)
    }

    /// Goes on where a page has ended ([`Page::next`]).
    pub fn from(self, next: u32) -> Self {
        Query { from: next, ..self }
    }

    /// How many one page may have, [`MAX_ITEMS`] at most. It may have fewer, or none, and not be the last.
    pub fn limit(self, items: usize) -> Self {
        Query { limit: items.clamp(1, MAX_ITEMS), ..self }
    }
}

pub(super) fn ask(shard: &ShardHandle, query: Query) -> Answer {
    let (answer, reply) = Answer::asked();
    let sent = shard.send(move |shard| {
        if reply.is_awaited() {
            reply.give(Ok(look(shard, query)));
        }
    });
    match sent {
        Ok(()) => answer,
        Err(error) => Answer::failed(error.into()),
    }
}

/// On the shard, between two polls.
fn look(shard: &Shard, query: Query) -> Page {
    let (end, total) = match query.what {
        What::Sockets => (shard.reactor().end(), shard.reactor().len()),
        What::Tasks => (shard.tasks().end(), shard.tasks().len()),
        What::Timers => (shard.timers().end(), shard.timers().len()),
        What::Requests => (shard.tasks().end(), shard.guards()),
    };
    let last = end.min(query.from.saturating_add(MAX_PLACES));
    let (mut at, mut items) = (query.from, Vec::new());
    while at < last && items.len() < query.limit {
        items.extend(match query.what {
            What::Sockets => socket_at(shard, at),
            What::Tasks => shard.tasks().ask(at).map(|task| of_task(shard, &task)),
            What::Timers => timer_at(shard, at),
            What::Requests => shard.tasks().ask(at).and_then(|task| request_of(&task)),
        });
        at += 1;
    }
    Page { shard: shard.id(), total, items, next: (at < end).then_some(at) }
}

fn socket_at(shard: &Shard, at: u32) -> Option<Handle> {
    let source = shard.reactor().source(at, shard.coarse_now())?;
    let mut handle = Handle::new(HandleKind::Other);
    if let Some(descriptor) = source.descriptor {
        let facts = socket::facts(descriptor);
        handle.kind = facts.kind.into();
        (handle.local, handle.peer, handle.path) = (facts.local, facts.peer, facts.path);
        handle.descriptor = Some(descriptor);
    }
    handle.age = Some(age(shard, source.since));
    set_task(&mut handle, shard, source.task);
    Some(handle)
}

fn timer_at(shard: &Shard, at: u32) -> Option<Handle> {
    let timer = shard.timers().timer(at)?;
    let mut handle = Handle::new(HandleKind::Timer);
    handle.due = Some(timer.due);
    set_task(&mut handle, shard, timer.task);
    Some(handle)
}

/// Says who waits for it.
fn set_task(handle: &mut Handle, shard: &Shard, task: Option<u32>) {
    let Some(task) = task.and_then(|index| shard.tasks().ask(index)) else { return };
    handle.name = name_of(&task);
    handle.keeps_alive = task.activity.keeps_alive;
}

fn of_task(shard: &Shard, task: &Asked) -> Handle {
    let mut handle = Handle::new(HandleKind::Task);
    handle.name = name_of(task);
    handle.peer = task.activity.peer;
    handle.age = Some(age(shard, task.since));
    handle.keeps_alive = task.activity.keeps_alive;
    handle
}

fn request_of(task: &Asked) -> Option<Handle> {
    let working = task.activity.working?;
    let mut handle = Handle::new(HandleKind::Request);
    handle.name = working.name.text();
    handle.peer = task.activity.peer;
    handle.age = Some(Instant::now().saturating_duration_since(working.since));
    handle.keeps_alive = task.activity.keeps_alive;
    Some(handle)
}

/// The name that it has been given, or else what it calls itself.
fn name_of(task: &Asked) -> Option<&'static str> {
    let own = Some(task.activity.name).filter(|name| !name.is_empty());
    if task.name == WorkName::NONE { own } else { task.name.text().or(own) }
}

fn age(shard: &Shard, since: u32) -> Duration {
    Duration::from_secs(shard.coarse_now().saturating_sub(since).into())
}

//! Who reaps the children that nobody waits for: one thread, as long as there are any.
//!
//! Each takes a descriptor until it ends. There are as many as children were dropped while they ran.

use super::imp::has_ended;
use crate::{
    stderr::warn,
    sys::{cpu::unpin_current_thread, process::PidFd},
};
use mio::{Events, Poll, Registry, Token, Waker};
use std::{
    collections::HashMap,
    io, mem,
    process::Child,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// No process has this number.
const BELL: Token = Token(usize::MAX);
/// How often those are looked at which the kernel does not watch.
const LOOK_EVERY: Duration = Duration::from_secs(1);

static REAPER: Mutex<State> = Mutex::new(State { waiting: Vec::new(), bell: None, told: false });

struct State {
    /// What the thread has not seen yet.
    waiting: Vec<Orphan>,
    /// Rings the thread, if there is one.
    bell: Option<Waker>,
    /// It was said that those who wait are not attended to.
    told: bool,
}

struct Orphan {
    child: Child,
    pidfd: PidFd,
}

/// Takes a child that is not reaped, on a thread of the process's descriptor table.
pub(super) fn adopt(child: Child, pidfd: PidFd) {
    let mut state = lock();
    state.waiting.push(Orphan { child, pidfd });
    call(state);
}

/// Begins with those that were left when there was no descriptor or thread for it.
pub(super) fn attend() {
    let state = lock();
    if !state.waiting.is_empty() {
        call(state);
    }
}

fn call(mut state: MutexGuard<'_, State>) {
    let called = match &state.bell {
        Some(bell) => bell.wake(),
        None => start().map(|bell| state.bell = Some(bell)),
    };
    let Err(error) = called else { return };
    if !mem::replace(&mut state.told, true) {
        warn(format_args!(
            "lakh: children that were dropped are reaped only after the next is started: {error}"
        ));
    }
}

fn start() -> io::Result<Waker> {
    let poll = Poll::new()?;
    let bell = Waker::new(poll.registry(), BELL)?;
    thread::Builder::new().name("lakh-reaper".to_owned()).spawn(|| reap(poll))?;
    Ok(bell)
}

/// Until there is nobody more. The thread's body.
fn reap(mut poll: Poll) {
    // It was started by a shard, which may be pinned; where it is not, there is nothing to be done.
    let _ = unpin_current_thread();
    let (mut watched, mut unwatched) = (HashMap::new(), Vec::new());
    let mut events = Events::with_capacity(64);
    while take_in(&mut watched, &mut unwatched, poll.registry()) {
        let timeout = (!unwatched.is_empty()).then_some(LOOK_EVERY);
        // But for a signal, which counts as no events, it has no errors with a poll that exists.
        let _ = poll.poll(&mut events, timeout);
        for event in &events {
            if let Some(orphan) = watched.get_mut(&event.token())
                && has_ended(&mut orphan.child)
            {
                watched.remove(&event.token());
            }
        }
        unwatched.retain_mut(|orphan: &mut Orphan| !has_ended(&mut orphan.child));
    }
}

/// False, and the thread is none any more, if there is nobody left.
fn take_in(watched: &mut HashMap<Token, Orphan>, unwatched: &mut Vec<Orphan>, registry: &Registry) -> bool {
    let mut state = lock();
    let waiting = mem::take(&mut state.waiting);
    state.told = false;
    if waiting.is_empty() && watched.is_empty() && unwatched.is_empty() {
        state.bell = None;
        return false;
    }
    drop(state);
    for orphan in waiting {
        let token = Token(orphan.child.id() as usize);
        match orphan.pidfd.watch(registry, token) {
            Ok(()) => _ = watched.insert(token, orphan),
            Err(_) => unwatched.push(orphan),
        }
    }
    true
}

fn lock() -> MutexGuard<'static, State> {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

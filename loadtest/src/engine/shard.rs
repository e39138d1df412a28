//! What runs on a shard beside its connections: one task that reports, one that begins connections, one that keeps the
//! pace.

use super::{clock::Nanos, local::Local};
use crate::{client::Client, plan::Pace};
use lakh_core::{PreciseTimer, Sleep, sleep, sleep_until, spawn_detached};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// Between two reports, if there is no news.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(1);
const REPORT_EVERY_NANOS: Nanos = 1_000_000_000;
/// Before a report is given again that the coordinator had no room for.
const REPORT_AGAIN: Nanos = 20_000_000;
/// Requests of an open loop that are due within this time are sent together.
const GRAIN: Nanos = 50_000;
/// How soon the pace looks again while requests are due and nobody is free: whoever becomes free takes one by itself.
const LOOK_AGAIN: Nanos = 1_000_000;

/// Puts a shard's part of the run on the current shard.
///
/// # Errors
/// If no descriptor is left for its timer.
pub(super) fn begin<P: Client>(local: Local<P>) -> std::io::Result<()> {
    let pace = match local.plan.pace {
        Pace::Open { .. } => Some(PreciseTimer::new()?),
        _ => None,
    };
    let local = Rc::new(local);
    if let Some(companion) = P::companion(&local) {
        spawn_detached(companion);
    }
    let is_warm = local.plan.warmup.is_zero();
    spawn_detached(Clerk {
        local,
        timer: sleep(REPORT_EVERY),
        connecting: false,
        told_end: false,
        is_warm,
        pace,
    });
    Ok(())
}

/// Follows the coordinator and reports to it.
struct Clerk<P> {
    local: Rc<Local<P>>,
    timer: Sleep,
    connecting: bool,
    told_end: bool,
    /// The warm-up is over.
    is_warm: bool,
    /// Until requests begin.
    pace: Option<PreciseTimer>,
}

impl<P: Client> Future for Clerk<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.local.set_clerk(cx.waker());
        this.follow();
        if this.told_end {
            return Poll::Pending;
        }
        let fired = Pin::new(&mut this.timer).poll(cx).is_ready();
        let ended = this.local.has_ended();
        if !ended && !fired && !this.local.has_news() {
            return Poll::Pending;
        }
        let now = this.local.clock.now();
        let from = this.local.dealer.from();
        let seconds = from.map_or(0, |from| now.saturating_sub(from) / REPORT_EVERY_NANOS);
        if let Some(from) = from
            && !this.is_warm
        {
            this.local.forget_bytes();
            this.is_warm = now >= from;
        }
        let reported = this.local.report(seconds, ended);
        this.told_end = ended && reported;
        let next = match from {
            _ if !reported => now + REPORT_AGAIN,
            // At the same time on all shards.
            Some(from) if now >= from => from + (seconds + 1) * REPORT_EVERY_NANOS,
            Some(from) => from.min(now + REPORT_EVERY_NANOS),
            None => now + REPORT_EVERY_NANOS,
        };
        this.timer.reset(this.local.clock.instant(next));
        let _: Poll<()> = Pin::new(&mut this.timer).poll(cx);
        Poll::Pending
    }
}

impl<P: Client> Clerk<P> {
    /// Does what the coordinator has said.
    fn follow(&mut self) {
        let local = &self.local;
        if local.may_connect() && !self.connecting {
            self.connecting = true;
            spawn_detached(start_connections(Rc::clone(local)));
        }
        if local.has_ended() {
            local.dealer.end(local.clock.now());
        } else if let Some(go) = local.go()
            && !local.dealer.has_begun()
        {
            local.dealer.begin(go);
            match self.pace.take() {
                Some(timer) => spawn_detached(keep_pace(Rc::clone(local), timer)),
                None => local.wake_idle(u64::MAX),
            }
        }
    }
}

/// Begins the shard's connections when they are wanted.
async fn start_connections<P: Client>(local: Rc<Local<P>>) {
    for at in 0..local.share.connections {
        let number = at * local.share.of + local.share.shard;
        let Some(wanted) = local.ramp.wanted(number, 0) else { continue };
        let slot = local.connect_slot(wanted.max(local.clock.now()));
        if slot > local.clock.now() {
            sleep_until(local.clock.instant(slot)).await;
        }
        poll_fn(|cx| local.poll_room_to_open(cx)).await;
        local.opening.set(local.opening.get() + 1);
        local.tally.borrow_mut().connections.requested += 1;
        spawn_detached(P::connection(Rc::clone(&local), number));
    }
}

/// Wakes connections that are free when requests are due.
async fn keep_pace<P: Client>(local: Rc<Local<P>>, mut timer: PreciseTimer) {
    loop {
        let now = local.clock.now();
        let backlog = local.dealer.backlog(now);
        local.wake_idle(backlog);
        let next = match local.dealer.next_due(now) {
            Some(due) if backlog == 0 => due.max(now + GRAIN),
            Some(due) => due.clamp(now + GRAIN, now + LOOK_AGAIN),
            None if backlog > 0 && !local.dealer.is_over(now) => now + LOOK_AGAIN,
            None => return,
        };
        let at = local.clock.instant(next);
        if let Err(error) = poll_fn(|cx| timer.poll_at(at, cx)).await {
            // Never seen: the kernel refuses only what is no time. The wheel is coarser, and goes on.
            lakh_core::warn(format_args!("lakh: a timer cannot be set: {error}"));
            sleep_until(at).await;
        }
    }
}

//! What runs on a shard beside its connections: one task that begins them, one that reports, one that keeps the pace.

use super::{connection::Connection, local::Local};
use crate::client::Protocol;
use lakh_core::{Sleep, sleep, spawn_detached};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// Between two reports, if there is no news.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Before a report is given again that the coordinator had no room for.
const REPORT_AGAIN: Duration = Duration::from_millis(20);
/// Connections of a shard whose first attempt is under way: a server's queue of new connections has an end.
const OPENING_AT_MOST: usize = 128;

/// Puts a shard's part of the run on the current shard.
pub(super) fn begin<P: Protocol>(local: Local<P>) {
    let local = Rc::new(local);
    spawn_detached(Clerk { local: Rc::clone(&local), timer: sleep(REPORT_EVERY), told_end: false });
    spawn_detached(start_connections(local));
}

/// Follows the coordinator and reports to it.
struct Clerk<P> {
    local: Rc<Local<P>>,
    timer: Sleep,
    told_end: bool,
}

impl<P: Protocol> Future for Clerk<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.local.set_clerk(cx.waker());
        let runs = this.local.follow();
        let timer_fired = Pin::new(&mut this.timer).poll(cx).is_ready();
        if !runs && !this.told_end {
            this.told_end = this.local.report(true);
        } else if runs && (timer_fired || this.local.has_news()) && this.local.report(false) {
            // The next one is due then, whatever happens.
        } else if !timer_fired {
            return Poll::Pending;
        }
        let pause = if runs || this.told_end { REPORT_EVERY } else { REPORT_AGAIN };
        let next = lakh_core::with(|shard| shard.now()) + pause;
        this.timer.reset(next);
        Pin::new(&mut this.timer).poll(cx)
    }
}

/// Begins the shard's connections when they are wanted.
async fn start_connections<P: Protocol>(local: Rc<Local<P>>) {
    for at in 0..local.share.connections {
        poll_fn(|cx| {
            if local.opening.get() < OPENING_AT_MOST {
                return Poll::Ready(());
            }
            *local.starter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        local.opening.set(local.opening.get() + 1);
        local.begun.set(at + 1);
        local.tally.borrow_mut().connections.requested += 1;
        let number = at * local.share.of + local.share.shard;
        spawn_detached(Connection::new(Rc::clone(&local), number as u32));
    }
}

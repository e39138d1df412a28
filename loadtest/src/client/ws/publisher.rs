//! The connection that publishes, beside those that receive.

use super::{MARKER_WITHIN, Marker, Session, Ws, append_frame, marker};
use crate::{
    broadcast::Published,
    client::{Failure, Protocol, Sink},
    engine::{DOES_NOT_READ, Local, Nanos},
    plan::Publish,
    stats::Cause,
};
use lakh_core::{Sleep, sleep, sleep_until, timeout};
use lakh_net::TcpStream;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Before a connection that failed is made anew.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages that may wait for the kernel to take them, in bytes; what is due beyond them is late.
const UNSENT_AT_MOST: usize = 64 * 1024;

/// Publishes from the time at which it may until it is to end; then the connection stays as the others do. To close it
/// with its own messages unread would reset it, and take from the server what it has not read of them.
pub(super) async fn publish(local: Rc<Local<Ws>>, published: Arc<Published>) {
    let Some(plan) = local.plan.ws.publish.clone() else { return };
    let mut next = 0;
    loop {
        let link = match Link::open(&local, &published, &plan).await {
            Ok(mut link) => poll_fn(|cx| link.poll(cx, &mut next)).await,
            Err(failure) => Err(failure),
        };
        let Err(failure) = link;
        let ended = published.has_ended();
        // A server may close what has nothing more to say. At any other end the last message may be lost, or the server
        // has a fault that is worth knowing.
        if !ended || !failure.is_orderly {
            local.count_failure(&failure);
        }
        if ended {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// A connection to publish on.
struct Link<'a> {
    local: &'a Local<Ws>,
    published: &'a Published,
    plan: &'a Publish,
    stream: TcpStream,
    session: Session,
    /// What the kernel has not taken, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// What the server has asked for, of `unsent`.
    caused: usize,
    timer: Sleep,
    text: String,
}

impl<'a> Link<'a> {
    async fn open(
        local: &'a Local<Ws>,
        published: &'a Published,
        plan: &'a Publish,
    ) -> Result<Link<'a>, Failure> {
        let addr = local.plan.target.addrs[0];
        let failed = |error: io::Error| {
            Failure::new(crate::engine::cause_of(&error), format!("the publisher: {addr}: {error}"))
        };
        let limit = local.plan.timeout;
        let late =
            |_| Failure::new(Cause::ConnectTimeout, format!("the publisher: nothing within {limit:?}"));
        let stream = timeout(limit, TcpStream::connect(addr)).await.map_err(late)?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut link = Link {
            local,
            published,
            plan,
            stream,
            session: Session { is_publisher: true, ..Session::default() },
            unsent: Vec::new(),
            sent: 0,
            caused: 0,
            timer: sleep(Duration::ZERO),
            text: String::new(),
        };
        local.protocol.open(&mut link.session, &mut link.unsent);
        timeout(limit, poll_fn(|cx| link.poll_handshake(cx))).await.map_err(late)??;
        Ok(link)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.exchange(cx)?;
        if self.session.handshake.is_none() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Ready when it fails: `next` is the number of the next message.
    fn poll(&mut self, cx: &mut Context<'_>, next: &mut u32) -> Poll<Result<Infallible, Failure>> {
        loop {
            self.exchange(cx)?;
            let Poll::Ready((from, until)) = self.published.poll_begin(cx) else { return Poll::Pending };
            let now = self.local.clock.now();
            let mut due = self.due(*next, from, until);
            while due.is_some_and(|due| due <= now) && self.unsent.len() < UNSENT_AT_MOST {
                self.append(*next, now);
                *next += 1;
                due = self.due(*next, from, until);
            }
            self.exchange(cx)?;
            if due.is_none() && self.unsent.is_empty() {
                self.published.end();
            }
            let Some(due) = due.filter(|&due| due > now) else { return Poll::Pending };
            self.timer = sleep_until(self.local.clock.instant(due));
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// When a message is to be published, if it is at all.
    fn due(&self, number: u32, from: Nanos, until: Nanos) -> Option<Nanos> {
        let wanted = self.plan.messages.is_none_or(|messages| u64::from(number) < messages);
        let due = from.saturating_add((f64::from(number) * 1e9 / self.plan.rate) as u64);
        (wanted && due < until && number < u32::MAX).then_some(due)
    }

    fn append(&mut self, number: u32, now: Nanos) {
        self.text.clear();
        Marker { run: self.local.protocol.run, number, sent: now }.append(&mut self.text);
        // The marker has to be found, whatever the server puts before it.
        let size = self.local.plan.size.max(marker::LEN);
        self.text.extend(std::iter::repeat_n('.', size - self.text.len()));
        let text = match &self.plan.trigger {
            Some(trigger) => &trigger.replacen(Publish::MESSAGE, &self.text, 1),
            None => &self.text,
        };
        debug_assert!(Marker::find(&text.as_bytes()[..text.len().min(MARKER_WITHIN)]).is_some());
        append_frame(OpCode::Data(Data::Text), text.as_bytes(), &mut self.unsent);
        self.published.add();
    }

    /// Reads what is there and sends what the kernel takes.
    fn exchange(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::new(crate::engine::cause_of(&error), format!("the publisher: {error}"))
        };
        let buffers = &mut *self.local.buffers.borrow_mut();
        while let Poll::Ready(n) = self.stream.poll_read(cx, &mut buffers.input).map_err(failed)? {
            self.local.tally.borrow_mut().bytes_received += n as u64;
            if n == 0 {
                let text = "the publisher: the server closed the connection";
                return Err(Failure { is_orderly: true, ..Failure::new(Cause::Closed, text) });
            }
            let mut sink = Sink {
                stands: false,
                closes: false,
                answers: &mut buffers.answers,
                out: &mut self.unsent,
                now: self.local.clock.now(),
            };
            let input = &buffers.input[..n];
            let before = sink.out.len();
            self.local.protocol.receive(&mut self.session, input, &mut sink)?;
            self.caused += self.unsent.len() - before;
            if self.caused > UNSENT_AT_MOST {
                return Err(Failure::new(Cause::Other, format!("the publisher: {DOES_NOT_READ}")));
            }
        }
        while self.sent < self.unsent.len() {
            let Poll::Ready(n) = self.stream.poll_write(cx, &self.unsent[self.sent..]).map_err(failed)?
            else {
                return Ok(());
            };
            self.local.tally.borrow_mut().bytes_sent += n as u64;
            self.sent += n;
        }
        self.unsent.clear();
        (self.sent, self.caused) = (0, 0);
        Ok(())
    }
}

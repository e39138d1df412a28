//! Registrations: readiness flags, who is woken, what is left behind.
#![cfg(unix)]

use lakh_core::{Direction, POLL_BUDGET, Registration, block_on, current, spawn, yield_now};
use mio::net::UnixStream;
use std::{
    future::{Future, poll_fn},
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

struct Stream {
    registration: Registration,
    inner: UnixStream,
}

impl Stream {
    fn new(mut inner: UnixStream) -> Self {
        Stream { registration: Registration::new(&mut inner).unwrap(), inner }
    }

    fn pair() -> (Self, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (Self::new(near), far)
    }

    fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.registration.poll_io(Direction::Read, cx, || (&self.inner).read(into))
    }

    async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, into)).await
    }

    fn is_readable(&self) -> bool {
        self.registration.is_ready(Direction::Read)
    }
}

/// Long enough for the kernel's events of now to come in.
async fn a_turn() {
    yield_now().await;
    yield_now().await;
}

#[test]
fn a_read_waits_for_data_and_then_for_the_end() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        let reader = spawn(async move {
            let mut buffer = [0; 16];
            let mut all = Vec::new();
            loop {
                match near.read(&mut buffer).await.unwrap() {
                    0 => break (all, near.registration.peer_closed()),
                    n => all.extend_from_slice(&buffer[..n]),
                }
            }
        });
        for part in ["one ", "two ", "three"] {
            a_turn().await;
            far.write_all(part.as_bytes()).unwrap();
        }
        drop(far);
        let (all, closed) = reader.await.unwrap();
        assert_eq!((all.as_slice(), closed), (&b"one two three"[..], true));
    })
    .unwrap();
}

#[test]
fn flags_say_what_the_kernel_said() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        assert!(!near.is_readable() && !near.registration.is_ready(Direction::Write));
        a_turn().await;
        assert!(!near.is_readable() && near.registration.is_ready(Direction::Write));
        far.write_all(b"x").unwrap();
        a_turn().await;
        assert!(near.is_readable(), "the event came, and nobody has read");
        assert!(!near.registration.peer_closed());
        near.registration.would_block(Direction::Read);
        assert!(!near.is_readable() && near.registration.is_ready(Direction::Write));
    })
    .unwrap();
}

#[test]
fn a_drained_stream_is_not_ready_where_a_short_read_says_so() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        far.write_all(b"x").unwrap();
        let mut buffer = [0; 16];
        near.read(&mut buffer).await.unwrap();
        near.registration.drained();
        assert_eq!(near.is_readable(), cfg!(mio_unsupported_force_poll_poll));
        // What comes after is an event of its own, on every platform.
        far.write_all(b"y").unwrap();
        assert_eq!(near.read(&mut buffer).await.unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn a_stream_whose_peer_has_closed_is_never_drained() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        far.write_all(b"x").unwrap();
        drop(far);
        a_turn().await;
        let mut buffer = [0; 16];
        assert_eq!(near.read(&mut buffer).await.unwrap(), 1);
        near.registration.drained();
        assert_eq!(near.read(&mut buffer).await.unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn a_source_taken_for_ready_is_tried_at_once() {
    block_on(async {
        let (mut near, _far) = UnixStream::pair().unwrap();
        let registration = Registration::ready(&mut near).unwrap();
        let mut tried = 0;
        poll_fn(|cx| {
            let try_it = || {
                tried += 1;
                io::Result::<()>::Err(io::ErrorKind::WouldBlock.into())
            };
            assert!(registration.poll_io(Direction::Read, cx, try_it).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(tried, 1);
    })
    .unwrap();
}

#[test]
fn an_event_of_a_dropped_registration_reaches_nobody() {
    block_on(async {
        let (stale, mut stale_far) = Stream::pair();
        let Stream { registration, inner: kept_open } = stale;
        drop(registration);
        // The same place in the table, another generation.
        let (fresh, mut fresh_far) = Stream::pair();
        stale_far.write_all(b"x").unwrap();
        a_turn().await;
        assert!(!fresh.is_readable());
        fresh_far.write_all(b"y").unwrap();
        a_turn().await;
        assert!(fresh.is_readable());
        drop(kept_open);
    })
    .unwrap();
}

#[test]
fn a_registration_can_be_dropped_while_a_task_waits() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        let waits = spawn(async move { near.read(&mut [0; 1]).await });
        a_turn().await;
        waits.abort();
        assert!(waits.await.unwrap_err().is_aborted());
        assert!(far.write_all(b"x").is_err(), "the socket went with the task");
        a_turn().await;
        assert_eq!(current().handle().metrics().sources(), 0);
    })
    .unwrap();
}

#[test]
fn a_source_moves_with_the_task_that_polls_it() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        poll_fn(|cx| {
            assert!(near.poll_read(cx, &mut [0; 1]).is_pending());
            Poll::Ready(())
        })
        .await;
        let moved = spawn(async move { near.read(&mut [0; 1]).await.unwrap() });
        a_turn().await;
        far.write_all(b"x").unwrap();
        assert_eq!(moved.await.unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn a_registration_that_outlives_its_shard_is_found_out() {
    let (stale, far) = block_on(async { Stream::pair() }).unwrap();
    block_on(async move {
        let (other, _far) = Stream::pair();
        a_turn().await;
        assert!(!stale.registration.peer_closed());
        stale.registration.would_block(Direction::Write);
        assert!(other.registration.is_ready(Direction::Write), "it must not touch another's entry");
        let poll = |cx: &mut Context<'_>| stale.registration.poll_ready(Direction::Read, cx).is_ready();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut cx))).is_err());
        drop((stale, far));
        assert!(other.registration.is_ready(Direction::Write));
    })
    .unwrap();
}

#[test]
fn sources_that_are_not_ready_cost_no_budget() {
    // One task looks after so many that asking each would use its budget up, over and over.
    block_on(async {
        let sources = 2 * POLL_BUDGET as usize;
        let (streams, mut fars): (Vec<_>, Vec<_>) = (0..sources).map(|_| Stream::pair()).unzip();
        fars.last_mut().unwrap().write_all(b"x").unwrap();
        let first_ready = poll_fn(|cx| {
            let ready = streams.iter().position(|stream| stream.poll_read(cx, &mut [0; 1]).is_ready());
            ready.map_or(Poll::Pending, Poll::Ready)
        });
        assert_eq!(first_ready.await, sources - 1);
    })
    .unwrap();
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn foreign_wakers_of_both_directions_are_woken_once_and_let_go() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        let (reads, writes) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let poll = |direction, count: &Arc<Count>| {
            let waker = Waker::from(Arc::clone(count));
            near.registration.poll_ready(direction, &mut Context::from_waker(&waker)).is_ready()
        };
        assert!(!poll(Direction::Read, &reads) && !poll(Direction::Write, &writes));
        a_turn().await;
        assert_eq!((reads.0.load(Ordering::Relaxed), writes.0.load(Ordering::Relaxed)), (0, 1));
        far.write_all(b"x").unwrap();
        a_turn().await;
        assert_eq!(reads.0.load(Ordering::Relaxed), 1);
        assert_eq!((Arc::strong_count(&reads), Arc::strong_count(&writes)), (1, 1));

        near.registration.would_block(Direction::Read);
        assert!(!poll(Direction::Read, &reads));
        assert_eq!(Arc::strong_count(&reads), 2);
        drop(near);
        assert_eq!(Arc::strong_count(&reads), 1, "the registration kept a waker");
    })
    .unwrap();
}

#[test]
fn a_waker_may_drop_another_registration_of_the_same_batch() {
    // Two sources become ready in one batch; whoever is woken first drops the other one.
    struct Drops(std::sync::mpsc::Sender<()>);
    thread_local! {
        static VICTIMS: std::cell::RefCell<Vec<Stream>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            let victims = VICTIMS.take();
            drop(victims);
            self.0.send(()).unwrap();
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    block_on(async move {
        let fars: Vec<UnixStream> = (0..2)
            .map(|_| {
                let (near, far) = Stream::pair();
                let waker = Waker::from(Arc::new(Drops(tell.clone())));
                let mut cx = Context::from_waker(&waker);
                assert!(near.registration.poll_ready(Direction::Read, &mut cx).is_pending());
                VICTIMS.with_borrow_mut(|victims| victims.push(near));
                far
            })
            .collect();
        for mut far in &fars {
            far.write_all(b"x").unwrap();
        }
        a_turn().await;
        drop(tell);
    })
    .unwrap();
    assert_eq!(told.iter().count(), 2, "both events were in the batch already");
}

#[test]
fn a_waker_may_poll_its_registration_while_it_is_being_replaced() {
    thread_local! {
        static SHARED: std::cell::RefCell<Option<(Stream, Waker)>> = const { std::cell::RefCell::new(None) };
    }
    struct PollsWhenDropped;
    impl Wake for PollsWhenDropped {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for PollsWhenDropped {
        fn drop(&mut self) {
            poll(None);
        }
    }
    /// Polls with the waker, or with the one that is shared.
    fn poll(waker: Option<Waker>) {
        SHARED.with_borrow(|shared| {
            let (stream, other) = shared.as_ref().unwrap();
            let mut cx = Context::from_waker(waker.as_ref().unwrap_or(other));
            assert!(stream.registration.poll_ready(Direction::Read, &mut cx).is_pending());
        });
    }
    block_on(async {
        let (inner, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (near, mut far) = Stream::pair();
        SHARED.set(Some((near, Waker::from(Arc::clone(&inner)))));
        poll(Some(Waker::from(Arc::new(PollsWhenDropped))));
        poll(Some(Waker::from(Arc::clone(&last))));
        far.write_all(b"x").unwrap();
        a_turn().await;
        assert_eq!(last.0.load(Ordering::Relaxed), 1, "whoever polled last is woken");
        drop(SHARED.take());
        assert_eq!((Arc::strong_count(&inner), Arc::strong_count(&last)), (1, 1), "a waker was kept");
    })
    .unwrap();
}

#[test]
fn a_pinned_combinator_may_wait_for_two_directions_at_once() {
    block_on(async {
        let (near, mut far) = Stream::pair();
        let mut read = pin!(async {
            near.read(&mut [0; 1]).await.unwrap();
        });
        let mut write = pin!(poll_fn(|cx| near.registration.poll_ready(Direction::Write, cx)));
        poll_fn(|cx| Pin::new(&mut write).poll(cx)).await;
        far.write_all(b"x").unwrap();
        poll_fn(|cx| read.as_mut().poll(cx)).await;
    })
    .unwrap();
}

/// A stream whose kernel buffer is full, after its first events; and its other end.
async fn full_stream() -> (Stream, UnixStream) {
    let (near, far) = Stream::pair();
    while (&near.inner).write(&[0; 4096]).is_ok() {}
    a_turn().await;
    near.registration.would_block(Direction::Write);
    (near, far)
}

/// Polls once with a waker that counts.
fn poll_counted<T>(count: &Arc<Count>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let waker = Waker::from(Arc::clone(count));
    poll(&mut Context::from_waker(&waker))
}

#[test]
fn who_waits_for_a_hangup_and_then_for_writing_is_woken_for_writing() {
    block_on(async {
        let (near, mut far) = full_stream().await;
        let count = Arc::new(Count::default());
        assert!(poll_counted(&count, |cx| near.registration.poll_hangup(cx)).is_pending());
        let write = |cx: &mut Context<'_>| near.registration.poll_ready(Direction::Write, cx);
        assert!(poll_counted(&count, write).is_pending());
        while far.read(&mut [0; 4096]).is_ok() {}
        a_turn().await;
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(poll_counted(&count, write).is_ready());
    })
    .unwrap();
}

/// poll(2) tells a hangup only to who asks.
#[cfg(not(mio_unsupported_force_poll_poll))]
#[test]
fn who_waits_for_a_hangup_is_woken_by_nothing_else() {
    block_on(async {
        let (near, mut far) = full_stream().await;
        let count = Arc::new(Count::default());
        let hangup = |cx: &mut Context<'_>| near.registration.poll_hangup(cx);
        assert!(poll_counted(&count, hangup).is_pending());
        far.write_all(b"x").unwrap();
        while far.read(&mut [0; 4096]).is_ok() {}
        a_turn().await;
        assert!(near.is_readable() && near.registration.is_ready(Direction::Write));
        far.shutdown(std::net::Shutdown::Write).unwrap();
        a_turn().await;
        assert!(near.registration.peer_closed());
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert!(poll_counted(&count, hangup).is_pending());
        drop(far);
        a_turn().await;
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(poll_counted(&count, hangup).is_ready());
    })
    .unwrap();
}

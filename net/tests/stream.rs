//! Reading and writing: nothing is lost, and nobody waits for an event that never comes.

mod common;

use common::*;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use lakh_core::{Direction, spawn, yield_now};
use lakh_net::TcpStream;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    rc::Rc,
    task::Poll,
    time::Duration,
};

/// Writes `bytes` and ends the stream, while reading the peer's bytes to the end, `step` at a time.
async fn exchange(stream: TcpStream, bytes: Vec<u8>, step: usize) -> (u64, u64) {
    let stream = Rc::new(stream);
    let writing = stream.clone();
    let writer = spawn(async move {
        writing.write_all(&bytes).await.unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut sum = Checksum::default();
    let mut buf = vec![0; step];
    loop {
        match stream.read(&mut buf).await.unwrap() {
            0 => break,
            n => sum.add(&buf[..n]),
        }
        yield_now().await;
    }
    writer.await.unwrap();
    sum.finish()
}

#[test]
fn megabytes_pass_intact_in_both_directions_at_once() {
    on_shard(async {
        let (a, b) = pair().await;
        let (from_a, from_b) = (pattern(6 << 20, 1), pattern(5 << 20, 2));
        let sums = (Checksum::of(&from_a), Checksum::of(&from_b));
        let fast = spawn(exchange(a, from_a, 64 * 1024));
        let slow = exchange(b, from_b, 3000).await;
        assert_eq!((slow, fast.await.unwrap()), sums);
    });
}

#[test]
fn a_writer_waits_for_a_peer_that_does_not_read_and_goes_on_when_it_does() {
    on_shard(async {
        let (a, b) = pair().await;
        let taken = fill(&a);
        assert!(!a.registration().is_ready(Direction::Write));
        let bytes = pattern(1 << 20, 3);
        let sum = Checksum::of(&bytes);
        let writer = spawn(async move { a.write_all(&bytes).await });
        yield_now().await;
        let received = read_to_end(&b).await.unwrap();
        assert!(received[..taken].iter().all(|byte| *byte == 7));
        assert_eq!(Checksum::of(&received[taken..]), sum);
        writer.await.unwrap().unwrap();
    });
}

#[test]
fn one_byte_at_a_time_arrives() {
    on_shard(async {
        let (a, b) = pair().await;
        let writer = spawn(async move {
            for byte in 0..=255 {
                a.write_all(&[byte]).await.unwrap();
                yield_now().await;
            }
        });
        let received = read_to_end(&b).await.unwrap();
        assert!(received.iter().copied().eq(0..=255));
        writer.await.unwrap();
    });
}

#[test]
fn bytes_and_the_end_that_came_before_the_first_read_are_both_seen() {
    on_shard(async {
        let (stream, mut peer) = pair_with_std().await;
        peer.write_all(b"last words").unwrap();
        drop(peer);
        assert_eq!(read_to_end(&stream).await.unwrap(), b"last words");
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the end stays the end");
    });
}

#[test]
fn a_short_read_does_not_hide_the_end() {
    on_shard(async {
        let (stream, mut peer) = pair_with_std().await;
        let mut buf = [0; 64];
        for _ in 0..20 {
            peer.write_all(b"abc").unwrap();
            assert_eq!(stream.read(&mut buf).await.unwrap(), 3);
        }
        assert!(stream.try_read(&mut buf).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        peer.write_all(b"abc").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut buf).await.unwrap(), 3);
        assert_eq!(stream.read(&mut buf).await.unwrap(), 0);
        assert!(stream.registration().peer_closed());
    });
}

#[test]
fn bytes_that_come_between_a_short_read_and_the_wait_are_seen() {
    on_shard(async {
        let (stream, mut peer) = pair_with_std().await;
        let mut buf = [0; 64];
        for round in 0..200 {
            peer.write_all(b"first").unwrap();
            assert_eq!(stream.read(&mut buf).await.unwrap(), 5, "round {round}");
            peer.write_all(b"second").unwrap();
            assert_eq!(stream.read(&mut buf).await.unwrap(), 6, "round {round}");
        }
    });
}

/// A receiver stops at the urgent mark (tcp(7)), so a read may be short with more bytes behind it.
#[cfg(target_os = "linux")]
#[test]
fn bytes_behind_an_urgent_byte_are_seen() {
    on_shard(async {
        let (stream, peer) = pair_with_std().await;
        let socket = socket2::SockRef::from(&peer);
        let mut buf = [0; 64];
        // Past the event of the registration itself.
        socket.send(b"x").unwrap();
        stream.read(&mut buf).await.unwrap();
        assert!(lakh_core::timeout(Duration::from_millis(1), stream.read(&mut buf)).await.is_err());
        for (bytes, urgent) in [(b"abc", false), (b"!!!", true), (b"def", false)] {
            if urgent { socket.send_out_of_band(&bytes[..1]) } else { socket.send(bytes) }.unwrap();
        }
        assert_eq!(stream.read(&mut buf).await.unwrap(), 3);
        let rest = lakh_core::timeout(Duration::from_secs(1), stream.read(&mut buf)).await;
        assert_eq!(rest.expect("it is there").unwrap(), 3);
    });
}

#[test]
fn each_side_can_end_its_direction_and_still_use_the_other() {
    on_shard(async {
        for swapped in [false, true] {
            let (a, b) = pair().await;
            let (first, second) = if swapped { (b, a) } else { (a, b) };
            first.write_all(b"question").await.unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&second).await.unwrap(), b"question");
            let answer = pattern(1 << 20, 4);
            let sum = Checksum::of(&answer);
            let answering = spawn(async move {
                second.write_all(&answer).await.unwrap();
                second.shutdown(Shutdown::Write).unwrap();
                assert_eq!(second.read(&mut [0; 8]).await.unwrap(), 0);
            });
            assert_eq!(Checksum::of(&read_to_end(&first).await.unwrap()), sum);
            assert!(first.write(b"more").await.is_err(), "this direction is closed");
            answering.await.unwrap();
        }
    });
}

#[test]
fn ending_the_own_reading_direction_wakes_the_reader() {
    on_shard(async {
        let (a, _b) = pair().await;
        let a = Rc::new(a);
        let reading = a.clone();
        let reader = spawn(async move { reading.read(&mut [0; 8]).await });
        yield_now().await;
        a.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), 0);
    });
}

#[test]
fn several_buffers_go_out_in_order() {
    on_shard(async {
        let (a, b) = pair().await;
        let bufs = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b"three")];
        assert_eq!(a.write_vectored(&bufs).await.unwrap(), 13);
        drop(a);
        assert_eq!(read_to_end(&b).await.unwrap(), b"one two three");
    });
}

#[test]
fn more_buffers_than_one_call_takes_do_not_look_like_a_full_socket() {
    on_shard(async {
        let (a, b) = pair().await;
        let bytes = pattern(5000, 5);
        let bufs: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let mut sent = 0;
        while sent < bufs.len() {
            sent += a.write_vectored(&bufs[sent..]).await.unwrap();
        }
        drop(a);
        assert_eq!(read_to_end(&b).await.unwrap(), bytes);
    });
}

#[test]
fn nothing_to_read_into_and_nothing_to_write_are_no_ends() {
    on_shard(async {
        let (a, b) = pair().await;
        assert_eq!(a.write(&[]).await.unwrap(), 0);
        a.write_all(b"x").await.unwrap();
        assert_eq!(b.read(&mut []).await.unwrap(), 0);
        assert_eq!(b.read(&mut [0; 4]).await.unwrap(), 1);
    });
}

/// Closes so that the peer gets a reset.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn is_gone(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

#[test]
fn a_reset_ends_a_pending_read_with_an_error() {
    on_shard(async {
        let (a, b) = pair().await;
        let reader = spawn(async move { a.read(&mut [0; 8]).await });
        yield_now().await;
        reset(b);
        assert!(is_gone(reader.await.unwrap().unwrap_err().kind()));
    });
}

#[test]
fn a_reset_ends_a_pending_write_with_an_error() {
    on_shard(async {
        let (a, b) = pair().await;
        fill(&a);
        let writer = spawn(async move {
            loop {
                if let Err(error) = a.write(&[0; 64 * 1024]).await {
                    return error;
                }
            }
        });
        yield_now().await;
        reset(b);
        assert!(is_gone(writer.await.unwrap().kind()));
    });
}

#[test]
fn writing_to_a_peer_that_has_left_becomes_an_error() {
    on_shard(async {
        let (a, b) = pair().await;
        drop(b);
        let error = loop {
            if let Err(error) = a.write(&[0; 1024]).await {
                break error;
            }
            yield_now().await;
        };
        assert!(is_gone(error.kind()), "{error}");
    });
}

#[test]
fn a_dropped_read_has_read_nothing() {
    on_shard(async {
        let (a, b) = pair().await;
        for _ in 0..100 {
            let mut buf = [0; 8];
            let mut read = Box::pin(a.read(&mut buf));
            poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            b.write_all(b"kept").await.unwrap();
            drop(read);
            let mut buf = [0; 4];
            read_exact(&a, &mut buf).await.unwrap();
            assert_eq!(&buf, b"kept");
        }
    });
}

/// A second descriptor keeps the old socket registered in the kernel after the stream is gone, so
/// events with its token go on; the next stream has the same place in the shard's table.
#[test]
fn events_of_a_dropped_stream_do_not_reach_the_next_one() {
    on_shard(async {
        let (std_stream, mut old_peer) = std_pair();
        let copy = std_stream.try_clone().unwrap();
        let (marker, mut marker_peer) = pair_with_std().await;

        let old = Rc::new(RefCell::new(Some(TcpStream::from_std(std_stream).unwrap())));
        let dropped = old.clone();
        let (std_next, _next_peer) = std_pair();
        let reader = spawn(poll_fn(move |cx| match &*old.borrow() {
            Some(stream) => stream.poll_read(cx, &mut [0; 8]).map(|_| panic!("it got an event")),
            None => Poll::Ready(()),
        }));
        yield_now().await;
        drop(dropped.take());
        let next = TcpStream::from_std(std_next).unwrap();
        assert!(next.try_read(&mut [0; 8]).is_err());
        assert!(!next.registration().is_ready(Direction::Read));

        old_peer.write_all(b"stale").unwrap();
        marker_peer.write_all(b"x").unwrap();
        marker.read(&mut [0; 8]).await.unwrap();
        yield_now().await;
        assert!(!next.registration().is_ready(Direction::Read), "it got the old stream's event");
        assert!(!reader.is_finished(), "and so did the old stream's task");
        drop(copy);
    });
}

fn std_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let one = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// A thread floods one connection; pairs of tasks on the same shard play ping-pong meanwhile.
#[test]
fn a_connection_that_always_has_more_lets_the_others_go_on() {
    on_shard(async {
        let (flooded, mut source) = pair_with_std().await;
        let flood = std::thread::spawn(move || while source.write_all(&[1; 64 * 1024]).is_ok() {});
        let received = Rc::new(Cell::new(0_u64));
        let counter = received.clone();
        let stop = Rc::new(Cell::new(false));
        let stopped = stop.clone();
        let sink = spawn(async move {
            // Small reads, so that there is always more.
            while !stopped.get() {
                counter.set(counter.get() + flooded.read(&mut [0; 512]).await.unwrap() as u64);
            }
        });
        let mut games = Vec::new();
        for _ in 0..8 {
            let (a, b) = pair().await;
            games.push(spawn(async move {
                for _ in 0..100 {
                    read_exact(&b, &mut [0; 4]).await.unwrap();
                    b.write_all(b"pong").await.unwrap();
                }
            }));
            games.push(spawn(async move {
                for _ in 0..100 {
                    a.write_all(b"ping").await.unwrap();
                    read_exact(&a, &mut [0; 4]).await.unwrap();
                }
            }));
        }
        for game in games {
            game.await.unwrap();
        }
        let before = received.get();
        while received.get() == before {
            yield_now().await;
        }
        stop.set(true);
        sink.await.unwrap();
        flood.join().unwrap();
    });
}

#[test]
fn a_thousand_connections_live_on_one_shard() {
    on_shard(async {
        let limits = lakh_core::sys::limits::raise_descriptor_limit().unwrap();
        let count = (limits.soft / 4).min(1000) as usize;
        let listener = lakh_net::TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn(async move {
            for _ in 0..count {
                let (stream, _) = listener.accept().await.unwrap();
                lakh_core::spawn_detached(async move {
                    let mut buf = [0; 8];
                    while let Ok(n @ 1..) = stream.read(&mut buf).await {
                        stream.write_all(&buf[..n]).await.unwrap();
                    }
                });
            }
        });
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(TcpStream::connect(addr).await.unwrap());
        }
        for _ in 0..3 {
            for (i, stream) in streams.iter().enumerate() {
                stream.write_all(&(i as u64).to_le_bytes()).await.unwrap();
            }
            for (i, stream) in streams.iter().enumerate() {
                let mut answer = [0; 8];
                read_exact(stream, &mut answer).await.unwrap();
                assert_eq!(u64::from_le_bytes(answer), i as u64);
            }
        }
        server.await.unwrap();
    });
}

#[test]
fn the_futures_io_traits_copy_and_close() {
    on_shard(async {
        let (a, b) = pair().await;
        let bytes = pattern(1 << 20, 6);
        let sent = bytes.clone();
        let echo = spawn(async move {
            // The shared reference reads while the other one writes.
            let copied = futures_util::io::copy(&b, &mut &b).await.unwrap();
            (&b).close().await.unwrap();
            copied
        });
        let a = Rc::new(a);
        let writing = a.clone();
        let writer = spawn(async move {
            AsyncWriteExt::write_all(&mut &*writing, &sent).await.unwrap();
            (&*writing).flush().await.unwrap();
            (&*writing).close().await.unwrap();
        });
        let mut received = Vec::new();
        (&*a).read_to_end(&mut received).await.unwrap();
        assert!(received == bytes);
        assert_eq!(echo.await.unwrap(), bytes.len() as u64);
        writer.await.unwrap();
    });
}

#[test]
fn the_futures_io_traits_work_on_owned_streams() {
    on_shard(async {
        let (mut stream, mut peer) = pair_with_std().await;
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
        assert_eq!(AsyncWriteExt::write_vectored(&mut stream, &bufs).await.unwrap(), 3);
        peer.write_all(b"xyz").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
        assert_eq!(text, "xyz");
        AsyncWriteExt::close(&mut stream).await.unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"abc");
        drop(peer);
        AsyncWriteExt::close(&mut stream).await.expect("closing twice is harmless");
    });
}

/// poll(2) tells a hangup only to who asks.
#[cfg(not(mio_unsupported_force_poll_poll))]
#[test]
fn a_task_that_waits_for_a_hangup_is_not_woken_by_data_but_by_a_reset() {
    on_shard(async {
        let (stream, mut peer) = pair_with_std().await;
        let stream = Rc::new(stream);
        let polls = Rc::new(Cell::new(0));
        let (waits, counted) = (Rc::clone(&stream), Rc::clone(&polls));
        let task = spawn(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            waits.poll_hangup(cx)
        }));
        yield_now().await;
        peer.write_all(b"data").unwrap();
        let mut buf = [0; 4];
        read_exact(&stream, &mut buf).await.unwrap();
        yield_now().await;
        assert_eq!((polls.get(), task.is_finished()), (1, false));
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        task.await.unwrap();
        assert_eq!(polls.get(), 2);
    });
}

#[test]
fn a_handle_finds_the_peer_for_as_long_as_the_stream_is_open_and_never_that_of_another() {
    on_shard(async {
        let (a, b) = pair().await;
        let handle = a.peer_handle();
        assert_eq!(handle.addr().unwrap(), b.local_addr().unwrap());
        drop(a);
        // Some of these have the descriptor that `a` had.
        let others = [pair().await, pair().await];
        assert_eq!(handle.addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
        drop(others);
    });
}

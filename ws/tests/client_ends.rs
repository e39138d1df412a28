//! How connections of our client end, and who is told of it.

mod peer;

use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    CloseCode, Config, Connect, WebSocket, WebSocketRoutes, connect,
    proto::{Event, Opcode},
};
use peer::*;
use std::{
    future::poll_fn,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    pin::pin,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::Context,
    time::Duration,
};

#[test]
fn the_server_ends_the_connection_and_not_the_client() {
    for peer_is_first in [true, false] {
        let peer = move |mut stream: TcpStream| {
            accept(&mut stream);
            let mut frames = Frames::default();
            if peer_is_first {
                stream.write_all(&frame(Opcode::Close, &[0x03, 0xe8])).unwrap();
            }
            assert!(matches!(frames.next(&mut stream), Event::Close(_)));
            if !peer_is_first {
                stream.write_all(&frame(Opcode::Close, &[0x03, 0xe8])).unwrap();
            }
            // This is what must not happen: that the end comes now.
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let error = stream.read(&mut [0]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
            expect_end(stream);
        };
        run_with(peer, async move |connect| {
            let config = Config::new().close_timeout(SAFETY_NET);
            let mut socket = connect.config(config).connect().await.unwrap();
            match peer_is_first {
                true => assert_eq!(socket.recv().await, None),
                false => socket.close(CloseCode::Normal, "").await,
            }
            wait_for_connections(0).await;
        });
    }
}

/// The guards of a shard are its open connections.
async fn wait_for_connections(count: usize) {
    while lakh_core::with(lakh_core::Shard::guards) != count {
        lakh_core::yield_now().await;
    }
}

#[test]
fn a_server_that_does_not_end_the_connection_is_left() {
    let peer = |mut stream: TcpStream| {
        accept(&mut stream);
        assert!(matches!(Frames::default().next(&mut stream), Event::Close(_)));
        stream.write_all(&frame(Opcode::Close, &[0x03, 0xe8])).unwrap();
        expect_end(stream);
    };
    run_with(peer, async |connect| {
        let config = Config::new().close_timeout(Duration::from_secs(2));
        connect.config(config).connect().await.unwrap().close(CloseCode::Normal, "").await;
        wait_for_connections(0).await;
    });
}

#[test]
fn who_waits_for_a_message_is_told_of_a_drain_before_the_server_answers() {
    let (addr, thread) = serve(|mut stream| {
        accept(&mut stream);
        let Event::Close(close) = Frames::default().next(&mut stream) else { panic!("a close frame") };
        assert_eq!(close.code, CloseCode::Away);
        expect_end(stream);
    });
    let ((opened, is_open), (closed, is_closed)) = (mpsc::channel(), mpsc::channel());
    let runtime = lakh_core::Runtime::builder().shards(1).start(move |_| {
        let (opened, closed) = (opened.clone(), closed.clone());
        lakh_core::spawn_detached(async move {
            let _guard = lakh_core::with(lakh_core::Shard::guard);
            let config = Config::new().close_timeout(10 * SAFETY_NET);
            let connect = Connect::new(format!("ws://{addr}")).config(config);
            let mut socket = connect.connect().await.unwrap();
            opened.send(()).unwrap();
            assert_eq!(socket.recv().await, None);
            closed.send(()).unwrap();
        });
        Ok(())
    });
    let runtime = runtime.unwrap();
    is_open.recv_timeout(SAFETY_NET).unwrap();
    runtime.drain_within(Duration::from_secs(6));
    // In vain if the drain cuts the task first.
    is_closed.recv_timeout(SAFETY_NET).unwrap();
    runtime.stop();
    assert!(runtime.join(SAFETY_NET));
    thread.join().unwrap();
}

#[test]
fn pings_are_answered_until_a_drain_closes_the_connection() {
    let (draining, is_draining) = mpsc::channel();
    let (addr, thread) = serve(move |mut stream| {
        accept(&mut stream);
        is_draining.recv_timeout(SAFETY_NET).unwrap();
        let mut frames = Frames::default();
        stream.write_all(&frame(Opcode::Ping, b"1")).unwrap();
        assert_eq!(frames.next(&mut stream), Event::Pong(b"1".as_slice().into()));
    });
    let runtime = lakh_core::Runtime::builder().shards(1).start(move |_| {
        let draining = draining.clone();
        lakh_core::spawn_detached(async move {
            let _guard = lakh_core::with(lakh_core::Shard::guard);
            let mut socket = connect(&format!("ws://{addr}")).await.unwrap();
            lakh_core::current().handle().drain_within(Duration::from_secs(1_000_000));
            // The connection sees it in one of these turns.
            for _ in 0..10 {
                lakh_core::yield_now().await;
            }
            draining.send(()).unwrap();
            assert_eq!(socket.recv().await, None);
        });
        Ok(())
    });
    let runtime = runtime.unwrap();
    thread.join().unwrap();
    runtime.stop();
    assert!(runtime.join(SAFETY_NET));
}

/// A waker that is not the task's own, as combinators have them.
struct Foreign(std::task::Waker);

impl std::task::Wake for Foreign {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.wake_by_ref();
    }
}

#[test]
fn a_handler_that_waits_for_the_end_below_a_combinator_is_not_polled_meanwhile() {
    static POLLS: AtomicUsize = AtomicUsize::new(0);
    let server = TestServer::start(|_| {
        App::new().ws("/", async |socket: WebSocket| {
            let mut closing = pin!(socket.close(CloseCode::Normal, ""));
            poll_fn(|cx| {
                POLLS.fetch_add(1, Ordering::Relaxed);
                let waker = std::sync::Arc::new(Foreign(cx.waker().clone())).into();
                closing.as_mut().poll(&mut Context::from_waker(&waker))
            })
            .await;
        })
    });
    let answer = server.get("/").header("connection", "upgrade").header("upgrade", "websocket");
    let answer =
        answer.header("sec-websocket-version", "13").header("sec-websocket-key", "MTYgcmFuZG9tIGJ5dGVzIQ==");
    let mut wire = answer.send().into_upgraded();
    wire.read_exact(&mut [0; 4]).unwrap();
    // Time in which it must not be polled again and again.
    wire.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(wire.read(&mut [0]).is_err());
    let polls = POLLS.load(Ordering::Relaxed);
    assert!(polls <= 5, "{polls} polls of one who waits");
}

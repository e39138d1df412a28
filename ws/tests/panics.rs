//! Handlers that panic.

mod common;

use common::*;
use lakh_http::testing::TestServer;
use lakh_ws::{Callbacks, Config, Payload, Socket, WebSocket, WebSocketRoutes, callbacks, proto::Opcode};
use std::{future::poll_fn, task::Poll};

fn panics_at_once(socket: WebSocket) -> std::future::Ready<()> {
    panic!("on purpose: {socket:?}");
}

#[test]
fn a_handler_that_panics_closes_its_socket_with_1011_and_no_other() {
    struct Panics(bool);
    impl Callbacks for Panics {
        fn on_open(&mut self, _: &Socket) {
            assert!(!self.0, "on purpose");
        }
        fn on_message(&mut self, _: &Socket, message: Payload<'_>) {
            panic!("on purpose: {message:?}");
        }
    }
    let server = TestServer::start(|_| {
        echoes(&Config::new())
            .ws("/opening", callbacks(|| Panics(true)))
            .ws("/message", callbacks(|| Panics(false)))
            .ws("/before-its-future", panics_at_once)
            .ws("/first-poll", async |_socket: WebSocket| panic!("on purpose"))
            .ws("/recv", async |mut socket: WebSocket| {
                let message = socket.recv().await;
                panic!("on purpose: {message:?}");
            })
            .ws("/elsewhere", async |mut socket: WebSocket| {
                lakh_core::spawn_detached(async move {
                    let message = socket.recv().await;
                    panic!("on purpose: {message:?}");
                });
            })
    });
    let left = Left::of(&server);
    let mut others = STYLES.map(|path| Client::open(&server, path));
    for path in ["/opening", "/message", "/before-its-future", "/first-poll", "/recv", "/elsewhere"] {
        let mut client = Client::open(&server, path);
        client.send_bytes(&[frame(Opcode::Text, b"hello"), frame(Opcode::Text, b"again")].concat());
        client.expect_close_frame(1011);
        client.close(1011, "");
        client.expect_end();
        for other in &mut others {
            other.text("hello");
            other.expect_text("hello");
        }
    }
    drop(others);
    left.expect_the_same(&server);
}

#[test]
fn a_message_that_a_panicking_handler_did_not_take_is_nobody_elses() {
    let server = TestServer::start(|_| {
        echoes(&Config::new()).ws("/panics", async |mut socket: WebSocket| {
            let mut polled = false;
            poll_fn(|cx| {
                assert!(!polled, "on purpose");
                polled = true;
                assert!(socket.poll_recv(cx).is_pending());
                Poll::<()>::Pending
            })
            .await;
        })
    });
    let mut panics = Client::open(&server, "/panics");
    panics.expect_alive();
    panics.text("secret");
    panics.expect_close_frame(1011);
    let mut client = Client::open(&server, "/async");
    client.text("hello");
    client.expect_text("hello");
}

//! The end of a server: everybody is told, and not all at once.

mod common;

use common::*;
use lakh_http::{App, Server, testing::TestServer};
use lakh_ws::{Config, WebSocket, WebSocketRoutes, proto::Opcode};
use std::{
    collections::BTreeSet,
    sync::mpsc,
    time::{Duration, Instant},
};

#[test]
fn a_drain_closes_every_connection_with_1001() {
    let server = TestServer::from_server(Server::new(|_| echoes(&Config::new())).shards(2));
    let mut clients: Vec<Client> =
        (0..50).flat_map(|_| STYLES).map(|path| Client::open(&server, path)).collect();
    clients[0].text("hello");
    clients[0].expect_text("hello");
    clients[1].send_bytes(&fragment(Opcode::Text, b"half", false));
    clients[1].expect_alive();
    server.running().drain();
    for client in &mut clients {
        client.expect_close_frame(1001);
        client.close(1001, "");
        client.expect_end();
    }
    assert!(server.running().join(SAFETY_NET), "nothing is left in flight");
}

#[test]
fn a_drain_with_a_grace_spreads_the_ends_over_its_first_half() {
    let server = TestServer::start(|_| echoes(&Config::new()));
    let mut clients: Vec<Client> =
        (0..30).flat_map(|_| STYLES).map(|path| Client::open(&server, path)).collect();
    let begun = Instant::now();
    server.running().runtime().drain_within(Duration::from_secs(4));
    let mut seconds = BTreeSet::new();
    let ends: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            std::thread::spawn(move || {
                let mut served = 0;
                let end = loop {
                    client.text("hello");
                    match client.frame().unwrap() {
                        frame if frame.opcode == Opcode::Close => break frame.payload,
                        frame => assert_eq!(frame, Frame::text("hello")),
                    }
                    served += 1;
                    pause_of_a_client(Duration::from_millis(50));
                };
                assert_eq!(end, 1001_u16.to_be_bytes());
                let end = begun.elapsed();
                client.close(1001, "");
                client.expect_end();
                (end, served)
            })
        })
        .collect();
    let mut served = 0;
    for end in ends {
        let (end, texts) = end.join().unwrap();
        seconds.insert(end.as_secs());
        served = served.max(texts);
    }
    assert!(seconds.len() > 1, "all at once: {seconds:?}");
    assert!(served > 0, "while it is not its turn a connection is served");
    assert!(server.running().join(SAFETY_NET), "nothing is left in flight");
}

#[test]
fn a_drain_waits_for_handlers_that_are_busy_and_for_nobody_who_does_not_answer() {
    let (tell, told) = mpsc::channel();
    let config = Config::new().close_timeout(Duration::from_secs(2));
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws_with("/", config.clone(), move |mut socket: WebSocket| {
            let tell = tell.clone();
            async move {
                while socket.recv().await.is_some() {}
                lakh_core::sleep(Duration::from_millis(20)).await;
                tell.send(socket.close_info().unwrap()).unwrap();
            }
        })
    });
    let mut silent = Client::open(&server, "/");
    silent.expect_alive();
    server.running().drain();
    silent.expect_close_frame(1001);
    assert!(server.running().join(SAFETY_NET));
    let info = told.try_recv().expect("the handler came to its end");
    assert_eq!((u16::from(info.code), info.by_peer), (1001, false));
}

#[test]
fn a_stopped_server_leaves_no_connection() {
    let server = TestServer::start(|_| echoes(&Config::new()));
    let mut clients = STYLES.map(|path| Client::open(&server, path));
    clients.iter_mut().for_each(Client::expect_alive);
    server.running().runtime().stop();
    assert!(server.running().join(SAFETY_NET));
    clients.iter_mut().for_each(Client::wait_for_end);
}

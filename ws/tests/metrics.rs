//! What a route's counters say.

mod common;

use common::*;
use lakh_core::diagnostics::{HandleKind, Query};
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    CloseCode, Config, SocketMetrics, Topics, WebSocket, WebSocketRoutes, callbacks, proto::Opcode,
};
use std::time::Duration;

#[test]
fn sockets_messages_and_ends_of_a_route_are_counted_and_those_of_others_are_not() {
    let metrics = SocketMetrics::new();
    let config = Config::new().metrics(&metrics);
    let server = TestServer::start(move |_| echoes(&config).ws("/other", callbacks(|| Echo)));
    let left = Left::of(&server);
    let mut clients = STYLES.map(|path| Client::open(&server, path));
    let mut other = Client::open(&server, "/other");
    other.text("not counted");
    other.expect_text("not counted");
    for client in &mut clients {
        for text in ["one", "two", "three"] {
            client.text(text);
            client.expect_text(text);
        }
        // Neither is a message.
        client.expect_alive();
        client.send_bytes(&fragment(Opcode::Text, b"half", false));
        client.expect_alive();
    }
    let all = || (metrics.opened(), metrics.open(), metrics.received(), metrics.sent());
    assert_eq!(all(), (2, 2, 6, 6));
    let [mut closes, vanishes] = clients;
    closes.close(4000, "");
    closes.expect_close(4000);
    drop((closes, vanishes, other));
    left.expect_the_same(&server);
    assert_eq!(all(), (2, 0, 6, 6));
    let codes = [CloseCode::Normal, CloseCode::Abnormal, CloseCode::Library(4000)];
    assert_eq!(codes.map(|code| metrics.closed(code)), [0, 1, 1]);
    drop(server);
    assert_eq!(all(), (2, 0, 6, 6), "when the shards are gone");
}

#[test]
fn a_topics_message_counts_for_each_socket_that_gets_it() {
    async fn listens(mut socket: WebSocket) {
        socket.subscribe("news").unwrap();
        socket.send("ready").await.unwrap();
        while socket.recv().await.is_some() {}
    }
    let (metrics, topics) = (SocketMetrics::new(), Topics::new());
    let config = Config::new().metrics(&metrics).topics(&topics);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), listens));
    let mut clients: Vec<_> = (0..5).map(|_| Client::open(&server, "/")).collect();
    clients.iter_mut().for_each(|client| client.expect_text("ready"));
    (0..10).for_each(|number| topics.publish("news", number.to_string()).unwrap());
    for client in &mut clients {
        (0..10).for_each(|number| client.expect_text(&number.to_string()));
    }
    // A round is counted when it is over.
    server.running().shards().for_each(|shard| round(shard, 1));
    assert_eq!((metrics.sent(), metrics.received()), (5 + 5 * 10, 0));
}

#[test]
fn whoever_looks_inside_sees_a_websocket_and_its_route() {
    let server = TestServer::start(move |_| App::new().ws("/news/{of}", callbacks(|| Echo)));
    let mut client = Client::open(&server, "/news/today");
    client.expect_alive();
    let diagnostics = server.running().diagnostics();
    let page = |query| diagnostics.inspect(0, query).wait(Duration::from_secs(20)).unwrap().unwrap();
    let tasks = page(Query::tasks());
    let name = "WebSocket of /news/{of}";
    let task = tasks.items.iter().find(|task| task.name == Some(name)).unwrap_or_else(|| panic!("{tasks:?}"));
    assert!(task.keeps_alive, "a drain waits for it");
    let sockets = page(Query::sockets());
    let socket = sockets.items.iter().find(|socket| socket.name == Some(name)).expect("its connection");
    assert_eq!((socket.kind, socket.peer), (HandleKind::TcpStream, client.stream.local_addr().ok()));
}

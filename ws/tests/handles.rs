//! What a handle says about its connection.

mod common;

use common::*;
use lakh_http::{App, extract::ClientAddr, testing::TestServer};
use lakh_ws::{Socket, WebSocket, WebSocketRoutes};
use std::{cell::RefCell, collections::HashSet, net::SocketAddr, rc::Rc};

#[test]
fn a_handle_is_equal_to_its_clones_and_knows_its_peer() {
    async fn knows(mut socket: WebSocket, client: ClientAddr, all: Rc<RefCell<HashSet<Socket>>>) {
        let handle = socket.socket().clone();
        assert_eq!((handle.peer_addr().unwrap(), socket.peer_addr().unwrap()), (client.0, client.0));
        assert_eq!(socket.protocol(), None);
        assert!(all.borrow_mut().insert(handle.clone()) && !all.borrow_mut().insert(handle.clone()));
        let _ = socket.send(format!("{} {}", all.borrow().len(), client.0)).await;
        while socket.recv().await.is_some() {}
        assert!(all.borrow_mut().remove(socket.socket()));
        drop(socket);
        lakh_core::spawn_detached(async move {
            while handle.peer_addr().is_ok() {
                lakh_core::yield_now().await;
            }
            assert!(handle.peer_addr().is_err_and(|error| error.kind() == std::io::ErrorKind::NotConnected));
            all.borrow_mut().insert(handle);
        });
    }
    let server = TestServer::start(|_| {
        let all: Rc<RefCell<HashSet<Socket>>> = Rc::default();
        let closed = Rc::clone(&all);
        App::new()
            .ws("/", move |socket: WebSocket, client: ClientAddr| knows(socket, client, Rc::clone(&all)))
            .get("/closed", move || {
                closed.borrow().iter().filter(|socket| socket.peer_addr().is_err()).count().to_string()
            })
    });
    let mut clients: Vec<_> = (0..2).map(|_| Client::open(&server, "/")).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let addr: SocketAddr = client.stream.local_addr().unwrap();
        client.expect_text(&format!("{} {addr}", at + 1));
    }
    drop(clients);
    eventually("both are over", || server.get("/closed").send().text() == "2");
}

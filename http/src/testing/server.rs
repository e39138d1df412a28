//! A server on a port of its own, and a blocking client of it.

use super::{
    OverWire, TestRequest, TestResponse,
    cookies::Jar,
    request::RequestBytes,
    wire::{Idle, Wire},
};
use crate::{App, Running, Server};
use lakh_core::Shard;
use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A server on a free port of 127.0.0.1, on threads of its own, and a client of it that blocks; see the
/// [module](crate::testing). Dropping it stops the server at once.
///
/// A connection is kept for the next request, as clients do, once an answer was read to its end.
/// Waiting for bytes ends with a panic after a minute.
#[derive(Debug)]
pub struct TestServer {
    running: Running,
    idle: Idle,
    cookies: Option<Mutex<Jar>>,
}

impl TestServer {
    /// Starts a server of one shard whose service `factory` makes.
    ///
    /// # Panics
    /// If there is no port, or the shard cannot be started.
    #[track_caller]
    pub fn start<S: 'static>(factory: impl Fn(&Shard) -> App<S> + Send + Sync + 'static) -> Self {
        Self::from_server(Server::new(factory).shards(1))
    }

    /// Starts a server that has limits, a name or more shards of its own. It is bound here.
    ///
    /// # Panics
    /// As [`TestServer::start`].
    #[track_caller]
    pub fn from_server(server: Server) -> Self {
        let server = server.bind("127.0.0.1:0").expect("a free port");
        let running = server.start().expect("the server's shards");
        TestServer { running, idle: Idle::default(), cookies: None }
    }

    /// Sends the cookies that answers have set, from here on.
    pub fn keep_cookies(self) -> Self {
        TestServer { cookies: Some(Mutex::default()), ..self }
    }

    /// Where it listens, for clients of one's own.
    pub fn addr(&self) -> SocketAddr {
        *self.running.addrs().last().expect("an address was bound")
    }

    /// The running server: its shards and their counters, its drain.
    pub fn running(&self) -> &Running {
        &self.running
    }

    fn jar(&self) -> Option<MutexGuard<'_, Jar>> {
        self.cookies.as_ref().map(|jar| jar.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TestRequest<'_, TestServer> {
    /// Sends it, and waits for the answer's head.
    ///
    /// # Panics
    /// If the server does not answer in HTTP, or not within a minute.
    #[track_caller]
    pub fn send(self) -> TestResponse<OverWire> {
        let cookies = self.client().jar().and_then(|jar| jar.header());
        let (server, request) = self.into_bytes(cookies);
        let RequestBytes { method, head, body } = request;
        let mut wire = server.idle.take().unwrap_or_else(|| Wire::connect(server.addr()));
        wire.send(head, body);
        let response = wire.answer(&method, server.idle.clone());
        if let Some(mut jar) = server.jar() {
            jar.store(response.headers());
        }
        response
    }
}

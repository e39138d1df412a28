//! Servers of a few lines, each with a fault.
#![allow(dead_code)] // each test binary uses a part

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Serves connections by `serve`, each on a thread of its own, for as long as the test lasts.
pub(crate) fn serve(serve: impl Fn(Connection) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), Arc::clone(&serve));
            thread::spawn(move || serve(Connection(BufReader::new(stream))));
        }
    });
    addr
}

pub(crate) struct Connection(pub(crate) BufReader<TcpStream>);

impl Connection {
    /// The head of the next request, which has no body; nothing if the client has gone.
    pub(crate) fn request(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match self.0.read_line(&mut head) {
                Ok(0) | Err(_) => return String::new(),
                Ok(_) => {}
            }
        }
        head
    }

    /// False if the client has gone.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    /// Answers until the client has gone.
    pub(crate) fn answer_all(&mut self) {
        while !self.request().is_empty() && self.send(OK) {}
    }
}

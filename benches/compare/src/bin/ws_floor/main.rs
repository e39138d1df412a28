//! The floor of WebSockets: receive, unmask, rewrite the heads, and one `send` for what one `recv` gave.
//!
//! Nothing that echoes frames with `recv` and `send` over epoll can be cheaper, because this checks nothing: a
//! ping comes back as a ping. A message that comes in pieces goes out in pieces. A text frame received on
//! `/topic/…`, whatever its name, goes to all such sockets, in a bare loop of `send`.
//!
//! One thread accepts for all. With `--private-descriptors` each has a listener and a descriptor table of its own, for
//! more connections than one table holds.

mod frames;

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Barrier};

use frames::{CARRY, Frames};
use lakh_compare::flags::{Flags, ServerFlags};
use lakh_compare::sys::{self, Epoll, Event, Notifier};
use lakh_compare::{Context, Result};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const RECEIVE: usize = 16 * 1024;
const BLANK_LINE: &[u8] = b"\r\n\r\n";
const TOPICS: &[u8] = b"GET /topic/";
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 1;
const MAX_HEAD: usize = 16 * 1024;
/// Messages on their way to another thread.
const MAILBOX: usize = 64;

fn main() -> ExitCode {
    lakh_compare::error::exit_with("ws_floor", run())
}

fn run() -> Result<()> {
    let mut private = false;
    let flags = ServerFlags::parse_with(Flags::from_env(), |name| {
        let known = name == "--private-descriptors";
        private |= known;
        known
    })?;
    let files = sys::raise_open_files().context(|| "open files".to_owned())?;
    let signals = sys::signal_descriptor().context(|| "signals".to_owned())?;
    let listen = || format!("cannot listen on {}", flags.listen);
    let listener = sys::shared_listener(flags.listen).context(listen)?;
    let address = listener.local_addr().context(listen)?;
    let (peers, mailboxes): (Vec<Peer>, Vec<_>) =
        (0..flags.shards).map(|_| Peer::new()).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let peers: Arc<[Peer]> = peers.into();
    let connections = files.min(1 << 21) as usize;
    let left = Arc::new(Barrier::new(flags.shards));
    let mut mailboxes = mailboxes.into_iter().enumerate();
    let first = mailboxes.next().map(|(own, mailbox)| Floor::new(&peers, own, mailbox, connections));
    for (own, mailbox) in mailboxes {
        let mut floor = Floor::new(&peers, own, mailbox, connections);
        let left = Arc::clone(&left);
        std::thread::spawn(move || {
            let mut run = || {
                if private {
                    floor.listen_alone(address)?;
                    left.wait();
                }
                floor.serve()
            };
            lakh_compare::error::exit_with("ws_floor", run())
        });
    }
    let Some(mut first) = first else { return Ok(()) };
    first.signals = signals.as_raw_fd();
    first.watch(first.signals)?;
    first.listener = listener.as_raw_fd();
    first.watch(first.listener)?;
    if private {
        // A socket that is in two tables is closed in neither by closing it in one.
        left.wait();
    } else {
        first.accepts_for = flags.shards;
    }
    println!("listening on http://{address}");
    first.serve()
}

/// What threads know of each other.
struct Peer {
    epoll: Epoll,
    notifier: Notifier,
    mailbox: SyncSender<Arc<[u8]>>,
}

impl Peer {
    fn new() -> Result<(Peer, Receiver<Arc<[u8]>>)> {
        let epoll = Epoll::new().context(|| "epoll_create".to_owned())?;
        let notifier = Notifier::new().context(|| "eventfd".to_owned())?;
        let fd = notifier.fd();
        epoll.add(fd, sys::EPOLLIN | sys::EPOLLET, fd as u64).context(|| "epoll_ctl".to_owned())?;
        let (mailbox, receiver) = sync_channel(MAILBOX);
        Ok((Peer { epoll, notifier, mailbox }, receiver))
    }
}

/// One thread.
struct Floor {
    peers: Arc<[Peer]>,
    own: usize,
    mailbox: Receiver<Arc<[u8]>>,
    listener: RawFd,
    signals: RawFd,
    /// It and the next ones, in turn.
    accepts_for: usize,
    accepted: usize,
    /// By descriptor.
    connections: Vec<Connection>,
    subscribers: Vec<RawFd>,
}

#[derive(Clone, Default)]
struct Connection {
    open: bool,
    subscribed: bool,
    frames: Frames,
    /// The handshake's head, until it is whole.
    head: Vec<u8>,
}

impl Floor {
    fn new(peers: &Arc<[Peer]>, own: usize, mailbox: Receiver<Arc<[u8]>>, connections: usize) -> Floor {
        Floor {
            peers: Arc::clone(peers),
            own,
            mailbox,
            listener: -1,
            signals: -1,
            accepts_for: 1,
            accepted: 0,
            connections: vec![Connection::default(); connections],
            subscribers: Vec::new(),
        }
    }

    fn watch(&self, fd: RawFd) -> Result<()> {
        self.peers[self.own].epoll.add(fd, sys::EPOLLIN, fd as u64).context(|| "epoll_ctl".to_owned())
    }

    /// In a descriptor table of its own.
    fn listen_alone(&mut self, address: SocketAddr) -> Result<()> {
        sys::leave_table().context(|| "a descriptor table of its own".to_owned())?;
        let listener = sys::shared_listener(address).context(|| format!("cannot listen on {address}"))?;
        self.listener = listener.into_raw_fd();
        self.watch(self.listener)
    }

    fn serve(&mut self) -> Result<()> {
        let peers = Arc::clone(&self.peers);
        let own = &peers[self.own];
        let mut events = [Event { events: 0, u64: 0 }; 1024];
        let mut buffer = vec![0_u8; CARRY + RECEIVE];
        loop {
            let got = own.epoll.wait(&mut events, -1).context(|| "epoll_wait".to_owned())?;
            for event in &events[..got] {
                let fd = event.u64 as RawFd;
                if fd == self.listener {
                    self.accept();
                } else if fd == self.signals {
                    return Ok(());
                } else if fd == own.notifier.fd() {
                    while let Ok(message) = self.mailbox.try_recv() {
                        self.fan_out(&message);
                    }
                } else if !self.receive(fd, &mut buffer) {
                    self.close(fd);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok(fd) = sys::accept(self.listener) {
            let peer = &self.peers[self.own + self.accepted % self.accepts_for];
            self.accepted += 1;
            let usable = (fd as usize) < self.connections.len() && sys::set_nodelay(fd).is_ok();
            if !usable || peer.epoll.add(fd, sys::EPOLLIN | sys::EPOLLET, fd as u64).is_err() {
                sys::close(fd);
            }
        }
    }

    /// Echoes what has come in; false when the connection is to be closed.
    fn receive(&mut self, fd: RawFd, buffer: &mut [u8]) -> bool {
        loop {
            let got = sys::recv(fd, &mut buffer[CARRY..CARRY + RECEIVE]);
            if got <= 0 {
                return got < 0 && would_block();
            }
            let got = got as usize;
            let end = CARRY + got;
            let connection = &mut self.connections[fd as usize];
            let handled = if !connection.open {
                self.shake_hands(fd, &buffer[CARRY..end])
            } else {
                let sent = connection.frames.rewrite(buffer, end);
                match &buffer[sent] {
                    [] => true,
                    message if connection.subscribed && message[0] & OPCODE == TEXT => self.publish(message),
                    echo => send_all(fd, echo),
                }
            };
            if !handled {
                return false;
            }
            if got < RECEIVE {
                return true;
            }
        }
    }

    /// RFC 6455, 4.2.2, for clients that wait for the answer before they send a frame.
    fn shake_hands(&mut self, fd: RawFd, received: &[u8]) -> bool {
        let connection = &mut self.connections[fd as usize];
        connection.head.extend_from_slice(received);
        if !connection.head.ends_with(BLANK_LINE) {
            return connection.head.len() < MAX_HEAD;
        }
        let head = std::mem::take(&mut connection.head);
        let Some(key) = key(&head) else { return false };
        connection.open = true;
        connection.subscribed = head.starts_with(TOPICS);
        if connection.subscribed {
            self.subscribers.push(fd);
        }
        send_all(fd, upgrade(key).as_bytes())
    }

    /// To the other threads first, so that they work at the same time.
    fn publish(&mut self, message: &[u8]) -> bool {
        if self.peers.len() > 1 {
            let message: Arc<[u8]> = message.into();
            for (index, peer) in self.peers.iter().enumerate() {
                if index != self.own
                    && (peer.mailbox.send(Arc::clone(&message)).is_err() || peer.notifier.notify().is_err())
                {
                    return false;
                }
            }
        }
        self.fan_out(message);
        true
    }

    fn fan_out(&mut self, message: &[u8]) {
        for &fd in &self.subscribers {
            if sys::send(fd, message) != message.len() as isize {
                eprintln!("ws_floor: a subscriber did not take a whole message");
            }
        }
    }

    fn close(&mut self, fd: RawFd) {
        if self.connections[fd as usize].subscribed {
            self.subscribers.retain(|&other| other != fd);
        }
        self.connections[fd as usize] = Connection::default();
        sys::close(fd);
    }
}

fn key(head: &[u8]) -> Option<&[u8]> {
    let lines = head.split(|&byte| byte == b'\n');
    lines.into_iter().find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let is_key = line[..colon].eq_ignore_ascii_case(b"sec-websocket-key");
        is_key.then(|| line[colon + 1..].trim_ascii())
    })
}

fn upgrade(key: &[u8]) -> String {
    let accept = derive_accept_key(key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
}

/// Everything is sent or the connection is given up: clients here read as fast as they write.
fn send_all(fd: RawFd, bytes: &[u8]) -> bool {
    if sys::send(fd, bytes) == bytes.len() as isize {
        return true;
    }
    eprintln!("ws_floor: a client does not read its echoes; closing it");
    false
}

fn would_block() -> bool {
    std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_is_answered_as_there() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nSEC-WebSocket-Key:  dGhlIHNhbXBsZSBub25jZQ== \r\n\r\n";
        let answer = upgrade(key(head).unwrap());
        assert!(answer.ends_with("accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{answer}");
        assert_eq!(key(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), None);
    }
}

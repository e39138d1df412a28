//! What lives on a shard, one by one.

use crate::{
    sys::socket::{DescriptorKind, RawDescriptor},
    watchdog::WorkName,
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// What a task tells of itself when it is asked.
///
/// Implement it for a future that stands for a connection, and spawn that by
/// [`Shard::spawn_inspected`](crate::Shard::spawn_inspected). Every other task has the name that
/// [`named`](crate::named) gives it, or else its type's.
///
/// ```
/// use lakh_core::diagnostics::{Activity, Inspect, Query};
/// use std::{pin::Pin, task::{Context, Poll}};
///
/// struct Session { peer: std::net::SocketAddr }
///
/// impl Future for Session {
///     type Output = ();
///     fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
///         Poll::Pending
///     }
/// }
///
/// impl Inspect for Session {
///     fn inspect(&self) -> Activity {
///         Activity { name: "my protocol", peer: Some(self.peer), ..Activity::default() }
///     }
/// }
///
/// lakh_core::block_on(async {
///     let diagnostics = lakh_core::with(|shard| {
///         shard.spawn_inspected(Session { peer: "192.0.2.1:5".parse().unwrap() });
///         shard.diagnostics().clone()
///     });
///     let tasks = diagnostics.inspect(0, Query::tasks()).await.unwrap();
///     assert!(tasks.items.iter().any(|task| task.name == Some("my protocol")));
/// })
/// .unwrap();
/// ```
pub trait Inspect {
    /// What it is at. Called on its shard, and not while it is polled. It must not block.
    fn inspect(&self) -> Activity;
}

/// What a task is at, from [`Inspect::inspect`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Activity {
    /// What kind of task it is; empty for no name.
    pub name: &'static str,
    /// Whom it serves.
    pub peer: Option<SocketAddr>,
    /// The request that it works on.
    pub working: Option<Working>,
    /// Whether a drain waits for it: it has a [`WorkGuard`](crate::WorkGuard).
    pub keeps_alive: bool,
}

/// A request that a task works on.
#[derive(Clone, Copy, Debug)]
pub struct Working {
    /// Its route.
    pub name: WorkName,
    /// Since when.
    pub since: Instant,
}

/// A thing that lives on a shard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handle {
    /// What it is.
    pub kind: HandleKind,
    /// Of a request, its route; of the rest, the task, or the task that waits for it.
    pub name: Option<&'static str>,
    /// This side's address.
    pub local: Option<SocketAddr>,
    /// The other side's address.
    pub peer: Option<SocketAddr>,
    /// Of a Unix socket.
    pub path: Option<PathBuf>,
    /// The descriptor's number.
    pub descriptor: Option<RawDescriptor>,
    /// How long it has been there. Exact for requests, in whole seconds for the rest; unknown for timers.
    pub age: Option<Duration>,
    /// Of a timer: when it fires, at the latest. Zero if it has fired, and waits to be set again.
    pub due: Option<Duration>,
    /// Whether a drain waits for it: there is a [`WorkGuard`](crate::WorkGuard). The loop of a shard goes on without
    /// any handle, until it is stopped.
    pub keeps_alive: bool,
}

impl Handle {
    pub(super) fn new(kind: HandleKind) -> Self {
        Handle {
            kind,
            name: None,
            local: None,
            peer: None,
            path: None,
            descriptor: None,
            age: None,
            due: None,
            keeps_alive: false,
        }
    }
}

/// What a [`Handle`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HandleKind {
    /// Accepts connections.
    TcpListener,
    /// A TCP connection, or one that is being made.
    TcpStream,
    /// A UDP socket.
    Udp,
    /// Accepts connections on a path.
    UnixListener,
    /// A connection over a path.
    UnixStream,
    /// A datagram socket on a path.
    UnixDatagram,
    /// One end of a pipe or FIFO, such as a child's output.
    Pipe,
    /// A terminal.
    Terminal,
    /// A child process, whose end is waited for (`pidfd_open(2)`).
    Process,
    /// Changes of files (`inotify(7)`).
    FileWatch,
    /// A timer of the kernel's (`timerfd_create(2)`).
    Timerfd,
    /// A counter (`eventfd(2)`).
    Eventfd,
    /// A source of another kind. Kinds that the kernel's `/proc` tells apart are told on Linux alone.
    Other,
    /// A future.
    Task,
    /// A sleep, an interval, a deadline.
    Timer,
    /// A request whose answer is not finished yet.
    Request,
}

impl HandleKind {
    /// Its name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            HandleKind::TcpListener => "tcp listener",
            HandleKind::TcpStream => "tcp connection",
            HandleKind::Udp => "udp socket",
            HandleKind::UnixListener => "unix listener",
            HandleKind::UnixStream => "unix connection",
            HandleKind::UnixDatagram => "unix datagram socket",
            HandleKind::Pipe => "pipe",
            HandleKind::Terminal => "terminal",
            HandleKind::Process => "child process",
            HandleKind::FileWatch => "file watch",
            HandleKind::Timerfd => "timerfd",
            HandleKind::Eventfd => "eventfd",
            HandleKind::Other => "other",
            HandleKind::Task => "task",
            HandleKind::Timer => "timer",
            HandleKind::Request => "request",
        }
    }
}

impl From<DescriptorKind> for HandleKind {
    fn from(kind: DescriptorKind) -> Self {
        match kind {
            DescriptorKind::TcpListener => HandleKind::TcpListener,
            DescriptorKind::TcpStream => HandleKind::TcpStream,
            DescriptorKind::Udp => HandleKind::Udp,
            DescriptorKind::UnixListener => HandleKind::UnixListener,
            DescriptorKind::UnixStream => HandleKind::UnixStream,
            DescriptorKind::UnixDatagram => HandleKind::UnixDatagram,
            DescriptorKind::Pipe => HandleKind::Pipe,
            DescriptorKind::Terminal => HandleKind::Terminal,
            DescriptorKind::Process => HandleKind::Process,
            DescriptorKind::FileWatch => HandleKind::FileWatch,
            DescriptorKind::Timer => HandleKind::Timerfd,
            DescriptorKind::Event => HandleKind::Eventfd,
            DescriptorKind::Other => HandleKind::Other,
        }
    }
}

/// A part of what lives on a shard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The shard.
    pub shard: usize,
    /// How many there are in all; of requests, the guards of the shard: work in flight.
    pub total: usize,
    /// In no order that means anything.
    pub items: Vec<Handle>,
    /// Where to go on ([`Query::from`](super::Query::from)); `None` at the end. What comes and goes between two parts
    /// may be in both, or in none.
    pub next: Option<u32>,
}

//! What all connections of a shard share.

use crate::{
    access::Note,
    app::{App, Found},
    connection::Connection,
    limits::Limits,
    proto::{DateCache, HeadMemo, encode},
    request::ParamSpans,
};
use http::StatusCode;
use lakh_core::{Shard, WorkGuard};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Bytes read at once.
const READ_AT_ONCE: usize = 64 * 1024;

/// Buffers that a connection borrows while it is polled: no connection has any of its own.
pub(crate) struct Scratch {
    pub(crate) input: Box<[u8]>,
    pub(crate) output: Vec<u8>,
    pub(crate) head: HeadMemo,
    /// What the app found for `head`.
    pub(crate) found: Found,
    pub(crate) params: ParamSpans,
}

impl Scratch {
    fn new() -> Box<Self> {
        Box::new(Scratch {
            input: vec![0; READ_AT_ONCE].into_boxed_slice(),
            output: Vec::new(),
            head: HeadMemo::default(),
            found: Found::NOWHERE,
            params: ParamSpans::new(),
        })
    }
}

/// A shard's service: its routes, limits and shared buffers.
pub(crate) struct Service {
    app: App,
    limits: Limits,
    shard: Shard,
    server: Option<String>,
    on_access: Option<Rc<dyn Fn(Note)>>,
    scratch: Cell<Option<Box<Scratch>>>,
    common: RefCell<CommonFields>,
    slow_readers: Cell<u64>,
}

/// What every answer's head begins with, rendered once a second.
struct CommonFields {
    /// The shard's second in which they were rendered.
    rendered: Option<u32>,
    date: DateCache,
    /// The status line of 200, and `lines`.
    ok: Vec<u8>,
    /// `Server` and `Date`.
    lines: Vec<u8>,
}

impl Service {
    pub(crate) fn new(
        app: App,
        limits: Limits,
        server: Option<String>,
        on_access: Option<Rc<dyn Fn(Note)>>,
        shard: &Shard,
    ) -> Rc<Self> {
        let common =
            CommonFields { rendered: None, date: DateCache::default(), ok: Vec::new(), lines: Vec::new() };
        Rc::new(Service {
            app,
            limits,
            shard: shard.clone(),
            server,
            on_access,
            scratch: Cell::new(None),
            common: RefCell::new(common),
            slow_readers: Cell::new(0),
        })
    }

    #[inline]
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    #[inline]
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Seconds of the shard.
    #[inline]
    pub(crate) fn now(&self) -> u32 {
        self.shard.coarse_now()
    }

    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.shard.is_draining()
    }

    pub(crate) fn take_scratch(&self) -> Box<Scratch> {
        self.scratch.take().unwrap_or_else(Scratch::new)
    }

    pub(crate) fn return_scratch(&self, scratch: Box<Scratch>) {
        self.scratch.set(Some(scratch));
    }

    pub(crate) fn guard(&self) -> WorkGuard {
        self.shard.guard()
    }

    /// Runs a connection as a task of its own.
    pub(crate) fn serve(&self, connection: Connection) {
        self.shard.spawn_detached(connection);
    }

    pub(crate) fn count_slow_reader(&self) {
        self.slow_readers.set(self.slow_readers.get() + 1);
    }

    /// Begins an answer's head: the status line, `Server` and `Date`.
    #[inline]
    pub(crate) fn write_head_start(&self, out: &mut Vec<u8>, status: StatusCode) {
        let now = self.now();
        let mut common = self.common.borrow_mut();
        if common.rendered != Some(now) {
            common.rendered = Some(now);
            self.render(&mut common);
        }
        if status == StatusCode::OK {
            out.extend_from_slice(&common.ok);
        } else {
            encode::write_status(out, status);
            out.extend_from_slice(&common.lines);
        }
    }

    #[cold]
    fn render(&self, common: &mut CommonFields) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        common.date.update(unix.as_secs());
        common.lines.clear();
        if let Some(server) = &self.server {
            common.lines.extend_from_slice(b"server: ");
            common.lines.extend_from_slice(server.as_bytes());
            common.lines.extend_from_slice(b"\r\n");
        }
        encode::write_date(&mut common.lines, &common.date);
        common.ok.clear();
        encode::write_status(&mut common.ok, StatusCode::OK);
        common.ok.extend_from_slice(&common.lines);
    }

    pub(crate) fn wants_notes(&self) -> bool {
        self.on_access.is_some()
    }

    pub(crate) fn note(&self, note: Note) {
        if let Some(on_access) = &self.on_access {
            on_access(note);
        }
    }
}

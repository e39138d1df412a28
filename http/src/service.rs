//! What all connections of a shard share.

use crate::{
    access::AccessRecord,
    connection::Connection,
    head_start::HeadStart,
    limits::Limits,
    metrics::ServiceMetrics,
    overload::Overload,
    proto::HeadMemo,
    request::ParamSpans,
    response::Response,
    router::{Found, Router},
};
use lakh_core::{Shard, WorkGuard, WorkName};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
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
    /// The name of that.
    pub(crate) work: WorkName,
    /// Whether `head` lets an answer be its head and its body and nothing else: the connection stays open, and
    /// the client knows HTTP/1.1 and has not asked for the head alone.
    pub(crate) is_plain: bool,
    pub(crate) params: ParamSpans,
}

impl Scratch {
    fn new() -> Box<Self> {
        Box::new(Scratch {
            input: vec![0; READ_AT_ONCE].into_boxed_slice(),
            output: Vec::new(),
            head: HeadMemo::default(),
            found: Found::NOWHERE,
            work: WorkName::NONE,
            is_plain: false,
            params: ParamSpans::new(),
        })
    }
}

/// A shard's service: its routes, limits and shared buffers.
pub(crate) struct Service {
    router: Router,
    limits: Rc<Limits>,
    overload: Overload,
    shard: Shard,
    on_access: Option<Rc<dyn Fn(AccessRecord)>>,
    scratch: Cell<Option<Box<Scratch>>>,
    head_start: RefCell<HeadStart>,
    metrics: Arc<ServiceMetrics>,
}

impl Service {
    pub(crate) fn new(
        mut router: Router,
        limits: Limits,
        server: Option<String>,
        on_access: Option<Rc<dyn Fn(AccessRecord)>>,
        metrics: Arc<ServiceMetrics>,
        shard: &Shard,
    ) -> Rc<Self> {
        let limits = Rc::new(limits);
        router.set_limits(&limits);
        Rc::new(Service {
            router,
            overload: Overload::new(limits.queue_age),
            limits,
            shard: shard.clone(),
            on_access,
            scratch: Cell::new(None),
            head_start: RefCell::new(HeadStart::new(server)),
            metrics,
        })
    }

    #[inline]
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    #[inline]
    pub(crate) fn limits(&self) -> &Rc<Limits> {
        &self.limits
    }

    /// The limits for a request's body.
    pub(crate) fn limits_of(&self, found: Found) -> &Rc<Limits> {
        self.router.limits_of(found).unwrap_or(&self.limits)
    }

    pub(crate) fn metrics(&self) -> &ServiceMetrics {
        &self.metrics
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

    /// Says what the shard is busy with, for the rest of the poll: the handler of a route.
    #[inline]
    pub(crate) fn set_work(&self, name: WorkName) {
        self.shard.set_work(name);
    }

    /// Runs a connection as a task of its own.
    pub(crate) fn serve(&self, connection: Connection) {
        self.shard.spawn_inspected(connection);
    }

    /// Whether requests may have waited for so long, since the loop was last here, that it is worth to ask.
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.overload.is_suspect(self.shard.lag())
    }

    pub(crate) fn overload(&self) -> &Overload {
        &self.overload
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    pub(crate) fn count_slow_reader(&self) {
        self.metrics.count_slow_reader();
    }

    /// Begins an answer's head: the status line, `Server`, `Date` and the handler's fields.
    #[inline]
    pub(crate) fn write_head_start(&self, out: &mut Vec<u8>, response: &Response) {
        self.head_start.borrow_mut().write(out, self.now(), response);
    }

    /// Writes the whole head of an answer that has a body of `length` bytes.
    #[inline]
    pub(crate) fn write_whole_head(&self, out: &mut Vec<u8>, response: &Response, length: u64) {
        self.head_start.borrow_mut().write_whole(out, self.now(), response, length);
    }

    /// Who is told of each request.
    pub(crate) fn on_access(&self) -> Option<&Rc<dyn Fn(AccessRecord)>> {
        self.on_access.as_ref()
    }
}

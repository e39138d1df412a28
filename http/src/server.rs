//! A server: shards, listeners, and a service on each.

use crate::{
    access::AccessRecord,
    addr::IntoAddr,
    app::{App, Hook},
    connection::Connection,
    diagnostics::{self, Services},
    limits::Limits,
    metrics::ServiceMetrics,
    overload::Room,
    router::Router,
    service::Service,
};
use lakh_core::{
    Builder, DrainReport, Runtime, Shard, ShardHandle, Stall, WorkName, diagnostics::Diagnostics, named,
    pool::PoolConfig, warn, yield_now,
};
use lakh_net::{AcceptMetrics, Keepalive, ListenOptions, ListenerGroup, TcpListener};
use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Makes a shard's service, and what runs when it drains.
type RouterFactory = dyn Fn(&Shard) -> (Router, Vec<Hook>) + Send + Sync;
/// Makes what a shard's access notes go to.
type AccessFactory = dyn Fn(&Shard) -> Rc<dyn Fn(AccessRecord)> + Send + Sync;

/// An HTTP server to be started.
///
/// ```no_run
/// use lakh_http::{App, Server};
///
/// Server::new(|_shard| App::new().get("/", || "Hello, World!"))
///     .bind("127.0.0.1:8080")?
///     .run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Server {
    factory: Box<RouterFactory>,
    runtime: Builder,
    groups: Vec<ListenerGroup>,
    listen: ListenOptions,
    limits: Limits,
    grace: Duration,
    name: Option<String>,
    on_access: Option<Box<AccessFactory>>,
    metrics: Option<ListenerGroup>,
}

/// The first probe comes after connections without a request are closed ([`Limits`]: 75 s), so that these
/// cost none.
const KEEPALIVE: Keepalive =
    Keepalive { idle: Duration::from_secs(90), interval: Duration::from_secs(10), retries: 6 };

impl Server {
    /// A server whose service `factory` makes, once on each shard. The service and its handlers
    /// stay there: they need be neither `Send` nor `Sync`.
    pub fn new<S: 'static>(factory: impl Fn(&Shard) -> App<S> + Send + Sync + 'static) -> Self {
        Server {
            factory: Box::new(move |shard| factory(shard).into_router()),
            runtime: Runtime::builder(),
            groups: Vec::new(),
            listen: ListenOptions { keepalive: Some(KEEPALIVE), ..ListenOptions::default() },
            limits: Limits::default(),
            grace: Duration::from_secs(30),
            name: None,
            on_access: None,
            metrics: None,
        }
    }

    /// The number of shards; by default one for each CPU of the process's quota.
    pub fn shards(mut self, count: usize) -> Self {
        self.runtime = self.runtime.shards(count);
        self
    }

    /// Pins each shard to a CPU of its own.
    pub fn pin(mut self, pin: bool) -> Self {
        self.runtime = self.runtime.pin(pin);
        self
    }

    /// Gives each shard a descriptor table of its own, which multiplies the limit on open files by the number of
    /// shards: a process may have 20,000 of them and a million connections. Linux only, and at a price:
    /// [`Builder::private_descriptors`] says what handlers cannot do then. There are no static files, and
    /// no futures of tokio.
    pub fn private_descriptors(mut self, private: bool) -> Self {
        self.runtime = self.runtime.private_descriptors(private);
        self
    }

    /// The pool for blocking work.
    pub fn pool(mut self, config: PoolConfig) -> Self {
        self.runtime = self.runtime.pool(config);
        self
    }

    /// How long a handler may block its shard before the watchdog tells of it; 100 ms by default, `None`
    /// for no watchdog. See [`Builder::watchdog`].
    pub fn watchdog(mut self, threshold: Option<Duration>) -> Self {
        self.runtime = self.runtime.watchdog(threshold);
        self
    }

    /// Tells of every handler (by its route's path) and every task that blocks its shard, while it does, in
    /// the place of lines on stderr. It runs on the watchdog's thread; see [`Builder::on_stall`].
    pub fn on_stall(mut self, hook: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        self.runtime = self.runtime.on_stall(hook);
        self
    }

    /// Limits and deadlines of the connections.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How the listeners that are bound from here on are made. By default as [`ListenOptions`] says, but
    /// with a [`Keepalive`] that begins after 90 s of silence and gives a client up after 150 s. It ends the
    /// handlers and streams of clients that have vanished without a word; everything else has a deadline
    /// of its own ([`Limits`]), and a connection that only waits for its next request is closed before the
    /// first probe. WebSockets that ping do without it. These options take the place of all of that.
    pub fn listen_options(mut self, options: ListenOptions) -> Self {
        self.listen = options;
        self
    }

    /// How long a drain waits for requests in flight; 30 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The `Server` header field of every answer; none by default.
    ///
    /// # Panics
    /// If the name is not legal in a header.
    #[track_caller]
    pub fn name(mut self, name: &str) -> Self {
        let legal = name.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        assert!(legal, "the server's name {name:?} is not legal in a header");
        self.name = Some(name.to_owned());
        self
    }

    /// Calls what `factory` makes (once on each shard) for every answered request. It runs on the
    /// shard: it must not block.
    pub fn on_access(
        mut self,
        factory: impl Fn(&Shard) -> Rc<dyn Fn(AccessRecord)> + Send + Sync + 'static,
    ) -> Self {
        self.on_access = Some(Box::new(factory));
        self
    }

    /// Takes an address; may be called several times. Port 0 takes a free one.
    ///
    /// An address is a `SocketAddr`, an IP address with a port, or text: `"0.0.0.0:8080"`, `"[::1]:8080"`,
    /// `"localhost:8080"` ([`IntoAddr`]). Names are not resolved.
    ///
    /// # Errors
    /// `InvalidInput` if the text is no address, `AddrInUse` if the port is taken, and the others of
    /// bind(2).
    pub fn bind(mut self, addr: impl IntoAddr) -> io::Result<Self> {
        self.groups.push(ListenerGroup::bind(addr.into_addr()?, &self.listen)?);
        Ok(self)
    }

    /// Lets whoever can reach this address see inside: metrics for Prometheus at `/metrics`, a page with live plots at
    /// `/`, and what `lakh top` reads; see [`diagnostics`]. It has a thread of its own, so that it answers while a
    /// shard is stalled. It asks for no password: give it a loopback address (as text, `"127.0.0.1:9464"`), or one
    /// that only those can reach who may see it.
    ///
    /// ```no_run
    /// # use lakh_http::{App, Server};
    /// Server::new(|_| App::new()).bind("0.0.0.0:8080")?.metrics_addr("127.0.0.1:9464")?.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn metrics_addr(mut self, addr: impl IntoAddr) -> io::Result<Self> {
        self.metrics = Some(ListenerGroup::bind(addr.into_addr()?, &ListenOptions::default())?);
        Ok(self)
    }

    /// The addresses taken so far, with their ports.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.groups.iter().map(ListenerGroup::local_addr).collect()
    }

    /// Starts the shards. When this returns, every one of them accepts; the first one alone where
    /// the kernel does not spread connections over listeners ([`ListenerGroup`]).
    ///
    /// # Errors
    /// If threads, descriptors or the ports' siblings cannot be had; those of [`Builder::start`].
    pub fn start(self) -> io::Result<Running> {
        let addrs = self.addrs();
        let mut runtime = self.runtime;
        let listeners: Vec<_> =
            self.groups.into_iter().map(|group| group.for_runtime(&mut runtime)).collect::<Result<_, _>>()?;
        let shards = runtime.shard_count();
        let metrics: Arc<[Arc<ServiceMetrics>]> = (0..shards).map(|_| Arc::default()).collect();
        let counters = Arc::clone(&metrics);
        let Server { factory, limits, name, on_access, grace, metrics: window, .. } = self;
        // The number that the metrics are made for: asked again, the CPU quota may have changed.
        let accepts = WorkName::new("accepting connections");
        let runtime = runtime.shards(shards).start(move |shard| {
            let on_access = on_access.as_ref().map(|make| make(shard));
            let (router, on_drain) = factory(shard);
            let metrics = Arc::clone(&counters[shard.id()]);
            let service = Service::new(router, limits.clone(), name.clone(), on_access, metrics, shard);
            on_drain.into_iter().for_each(|hook| shard.spawn_detached(run_at_drain(hook)));
            for group in &listeners {
                let Some(listener) = group.listen(shard)? else { continue };
                let listener = listener.count_in(Arc::clone(service.metrics().accept()));
                let accepting = accept(listener, Room::new(group.backlog()), Rc::clone(&service));
                shard.spawn_detached(named(accepts, accepting));
            }
            Ok(())
        })?;
        diagnostics::register(runtime.diagnostics(), Services(Arc::clone(&metrics)));
        let window = window.map(|group| open_window(group, runtime.diagnostics().clone())).transpose()?;
        Ok(Running { runtime, addrs, grace, metrics, window })
    }

    /// Starts the shards and runs until SIGINT, SIGTERM or SIGQUIT, then drains; see
    /// [`Runtime::run_until_signal`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn run(self) -> io::Result<DrainReport> {
        self.start()?.run_until_signal(|| {}, |_| {})
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addrs", &self.addrs()).finish_non_exhaustive()
    }
}

/// Starts the server that tells of another one.
fn open_window(group: ListenerGroup, of: Diagnostics) -> io::Result<Box<Running>> {
    let mut window = Server::new(move |_| diagnostics::app(&of)).shards(1).watchdog(None);
    window.runtime = window.runtime.pool(PoolConfig::new(1)).thread_name("lakh-metrics");
    window.groups.push(group);
    window.start().map(Box::new)
}

/// Takes connections until the shard drains; then those that already wait, and the listener is closed.
async fn accept(listener: TcpListener, mut room: Room, service: Rc<Service>) {
    let next = |cx: &mut Context<'_>| match service.is_draining() {
        true => Poll::Ready(None),
        false => listener.poll_accept(cx).map(Some),
    };
    while let Some(accepted) = poll_fn(next).await {
        match accepted {
            Ok((stream, _)) => {
                let served =
                    |accept: &AcceptMetrics| accept.accepted().saturating_sub(service.metrics().shed());
                let is_late = room.tend(&listener, service.overload(), service.shard(), served);
                service.serve(Connection::new(stream, Rc::clone(&service), is_late));
            }
            Err(error) => {
                warn(format_args!("lakh: a listener has failed and is closed: {error}"));
                return;
            }
        }
    }
    // The shard must not end before they have looked for their requests.
    let _guard = service.guard();
    let mut backlog = listener.close();
    while let Some((stream, _)) = backlog.next().await {
        service.serve(Connection::new(stream, Rc::clone(&service), false));
    }
    drop(backlog);
    yield_now().await;
}

/// The shard waits for it as for a request in flight.
pub(crate) async fn run_at_drain(hook: Hook) {
    lakh_core::drain_requested().await;
    let _guard = lakh_core::with(Shard::guard);
    hook().await;
}

/// A started server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    runtime: Runtime,
    addrs: Vec<SocketAddr>,
    grace: Duration,
    metrics: Arc<[Arc<ServiceMetrics>]>,
    /// Ends after the shards.
    window: Option<Box<Running>>,
}

impl Running {
    /// The addresses it listens on, in the order they were bound.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Handles of the shards.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = &ShardHandle> {
        self.runtime.shards()
    }

    /// What each shard's service counts, in the order of the shards; still there when they have ended.
    ///
    /// ```
    /// # use lakh_http::{App, Server};
    /// # let running = Server::new(|_| App::new()).bind("127.0.0.1:0")?.start()?;
    /// let accepted: u64 = running.metrics().map(|shard| shard.accept().accepted()).sum();
    /// # assert_eq!(accepted, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = &Arc<ServiceMetrics>> {
        self.metrics.iter()
    }

    /// Where it can be looked into ([`Server::metrics_addr`]).
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.window.as_ref()?.addrs.first().copied()
    }

    /// What can be known of it; see [`diagnostics`].
    pub fn diagnostics(&self) -> &Diagnostics {
        self.runtime.diagnostics()
    }

    /// The runtime under the server.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Takes no new connections, closes idle ones, finishes requests in flight.
    pub fn drain(&self) {
        self.runtime.drain();
    }

    /// Waits until a drain is finished, for `limit` at most; true if it is.
    pub fn join(&self, limit: Duration) -> bool {
        self.runtime.join(limit)
    }

    /// Runs until a signal, then drains; see [`Runtime::run_until_signal`].
    ///
    /// # Errors
    /// If no signal handlers can be installed.
    pub fn run_until_signal(
        self,
        on_ready: impl FnOnce() + 'static,
        on_signal: impl FnOnce(usize) + 'static,
    ) -> io::Result<DrainReport> {
        // Until the last request is done, too.
        let _window = self.window;
        self.runtime.run_until_signal(self.grace, on_ready, on_signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[test]
    fn listeners_probe_silent_clients_unless_told_otherwise() {
        let listener = |server: Server| {
            let group = server.bind("127.0.0.1:0").unwrap().groups.remove(0);
            group.into_listeners(1).unwrap().remove(0)
        };
        let by_default = listener(Server::new(|_| App::new()));
        assert!(SockRef::from(&by_default).keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&by_default).tcp_keepalive_time().unwrap(), KEEPALIVE.idle);
        assert!(KEEPALIVE.idle > Limits::default().keep_alive);

        let told = listener(Server::new(|_| App::new()).listen_options(ListenOptions::default()));
        assert!(!SockRef::from(&told).keepalive().unwrap());
    }
}

//! Connections that we open.

mod answer;
mod error;
mod hosts;
mod url;

use crate::{
    Callbacks, Config, Socket, WebSocket,
    connection::Connection,
    proto::{
        CloseCode, Role,
        handshake::{AnswerError, ClientHandshake},
    },
    session::{CallbackSession, ForwardSession, Session},
    socket::{Route, Terms},
};
use answer::Answer;
use bytes::Bytes;
pub use error::ConnectError;
use error::Kind;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use lakh_core::Shard;
use lakh_net::{ConnectOptions, TcpStream, connect_any};
use std::{borrow::Cow, cell::OnceCell, fmt, net::SocketAddr, pin::Pin, rc::Rc, time::Duration};
use url::{Host, Url};

/// The handshake's own, and what would give the request a body.
const RESERVED: [HeaderName; 10] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
];

/// Opens a WebSocket to `ws://host:port/path?query`, with the default [`Config`]; see [`Connect`] for options and for
/// what there is to know.
///
/// ```no_run
/// # lakh_core::block_on(async {
/// let mut socket = lakh_ws::connect("ws://127.0.0.1:8080/echo").await?;
/// let _ = socket.send("hello").await;
/// println!("{:?}", socket.recv().await);
/// socket.close(lakh_ws::CloseCode::Normal, "").await;
/// # Ok::<(), lakh_ws::ConnectError>(())
/// # }).unwrap().unwrap();
/// ```
///
/// Cancel safe: dropping the future closes the connection.
///
/// # Errors
/// See [`ConnectError`].
///
/// # Panics
/// Outside a shard.
pub async fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Connect::new(url).connect().await
}

/// How to open WebSockets to one URL. One value may open any number; they have its [`Config`] in common.
///
/// The URL begins with `ws://`; its port is 80 unless it says another. Its host is an address (IPv6 in brackets),
/// `localhost`, or a name of `/etc/hosts`; the DNS is not asked yet. Several addresses of a name race (RFC 8305): the
/// next one is tried when one has failed or 250 ms have passed, and the first that answers is taken.
/// Redirects are not followed: [`ConnectError::headers`] says where to.
///
/// The connection is driven by a task of its own on the current shard, which answers pings and sends what is queued,
/// also while nobody receives. A shard that ends cuts it: wait for [`WebSocket::close`] before. A draining shard waits
/// for its connections: each is closed with 1001, at some moment in the first half of the grace. It does not wait for the
/// tasks that use them, unless they hold a guard of their own ([`Shard::guard`]).
///
/// ```no_run
/// use lakh_ws::{Config, Connect, DeflateOptions};
/// use std::time::Duration;
///
/// # lakh_core::block_on(async {
/// let feed = Connect::new("ws://feed.internal:8080/prices?of=all")
///     .config(Config::new().protocols(["prices.v2"]).deflate(DeflateOptions::default()))
///     .header("authorization", "Bearer abc")
///     .timeout(Duration::from_secs(3));
/// let mut socket = match feed.connect().await {
///     Ok(socket) => socket,
///     Err(error) if error.status().is_some() => panic!("refused: {error}"),
///     Err(error) => panic!("try again later: {error}"),
/// };
/// while let Some(message) = socket.recv().await {
///     println!("{message:?}");
/// }
/// # }).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "nothing is connected before `connect`"]
pub struct Connect {
    url: String,
    config: Config,
    /// Of `config`, for all connections.
    route: OnceCell<Rc<Route>>,
    headers: HeaderMap,
    timeout: Duration,
    addr: Option<SocketAddr>,
    local_addr: Option<SocketAddr>,
    requires_deflate: bool,
    /// What is wrong with an option.
    invalid: Option<Cow<'static, str>>,
}

impl Connect {
    /// The default [`Config`], no header fields of one's own, ten seconds for all of the handshake.
    pub fn new(url: impl Into<String>) -> Self {
        Connect {
            url: url.into(),
            config: Config::new(),
            route: OnceCell::new(),
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            addr: None,
            local_addr: None,
            requires_deflate: false,
            invalid: None,
        }
    }

    /// Limits and deadlines; the subprotocols to ask for, best first ([`Socket::protocol`] says which it is), and the
    /// compression to offer. What it says about origins and topics is for servers.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self.route = OnceCell::new();
        self
    }

    /// Adds a field to the request: credentials, cookies. Those of the handshake itself cannot be set.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(_)) if RESERVED.contains(&name) => {
                self.invalid = Some(format!("the header field `{name}` is the handshake's own").into());
            }
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.invalid = Some("a header field cannot be sent".into()),
        }
        self
    }

    /// Says which page's the connection is, as browsers do: for servers that want to know (RFC 6455, 10.2).
    pub fn origin(mut self, origin: &str) -> Self {
        match HeaderValue::from_str(origin) {
            Ok(origin) => drop(self.headers.insert(header::ORIGIN, origin)),
            Err(_) => self.invalid = Some("the origin cannot be sent".into()),
        }
        self
    }

    /// How long it may take in all, from the name to the server's answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to this address in place of the URL's; the request says what the URL does.
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = Some(addr);
        self
    }

    /// Opens nothing but compressed connections: a server that does not agree on what [`Config::deflate`] offers is told so
    /// by a close frame of 1010 (RFC 6455, 7.4.1), and connecting fails.
    pub fn require_deflate(mut self) -> Self {
        self.requires_deflate = true;
        self
    }

    /// Connects from this address of the machine; with port 0 the kernel takes one that is free for the destination.
    /// Addresses of the other family are not tried. A client of more than some ten thousand connections to one server
    /// needs several.
    pub fn local_addr(mut self, addr: SocketAddr) -> Self {
        self.local_addr = Some(addr);
        self
    }

    /// Opens a connection.
    ///
    /// Cancel safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// See [`ConnectError`].
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn connect(&self) -> Result<WebSocket, ConnectError> {
        let opened = self.open().await?;
        Ok(WebSocket::new(opened.start(ForwardSession)))
    }

    /// Opens a connection that keeps no future in memory: `callbacks` are told what happens on it. Dropping the handle
    /// does not close it.
    ///
    /// Cancel safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// See [`ConnectError`].
    ///
    /// # Panics
    /// Outside a shard.
    pub async fn connect_with_callbacks(&self, callbacks: impl Callbacks) -> Result<Socket, ConnectError> {
        let opened = self.open().await?;
        Ok(opened.start(CallbackSession(callbacks)))
    }

    async fn open(&self) -> Result<Opened, ConnectError> {
        let opened = lakh_core::timeout(self.timeout, self.handshake()).await;
        opened.unwrap_or_else(|_| Err(Kind::Timeout.into()))
    }

    async fn handshake(&self) -> Result<Opened, ConnectError> {
        if let Some(why) = &self.invalid {
            return Err(Kind::Invalid(why.clone()).into());
        }
        if self.requires_deflate && self.config.deflate.is_none() {
            let why = "compression is required and not offered: set `Config::deflate`";
            return Err(Kind::Invalid(why.into()).into());
        }
        let url = Url::parse(&self.url)?;
        let handshake = self.client_handshake()?;
        let stream = self.reach(&url).await?;
        stream.set_nodelay(true).map_err(Kind::Io)?;
        stream.write_all(&self.request(&url, &handshake)).await.map_err(Kind::Io)?;
        let answer = Answer::read(&stream).await?;
        let agreed = match handshake.check(answer.status, &answer.headers) {
            Ok(agreed) => agreed,
            Err(AnswerError::Status(_)) => {
                return Err(Kind::Refused(answer.into_refusal(&stream).await).into());
            }
            Err(error) => return Err(Kind::Handshake(error).into()),
        };
        if self.requires_deflate && agreed.deflate.is_none() {
            answer::decline(&stream, CloseCode::Extension, "permessage-deflate").await.map_err(Kind::Io)?;
            return Err(Kind::NoDeflate.into());
        }
        let route = self.route.get_or_init(|| Rc::new(Route::new(self.config.clone(), Role::Client)));
        let protocol = agreed.protocol.and_then(|name| self.config.protocols.iter().position(|p| *p == name));
        let terms = route.terms(agreed.deflate, protocol, lakh_core::with(Shard::work));
        Ok(Opened { stream, read: answer.into_rest(), terms })
    }

    fn client_handshake(&self) -> Result<ClientHandshake, ConnectError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Kind::Io(error.into()))?;
        let protocols: Vec<&str> = self.config.protocols.iter().map(String::as_str).collect();
        ClientHandshake::new(random, &protocols, self.config.deflate)
            .map_err(|_| Kind::Invalid("the subprotocols have to be different tokens".into()).into())
    }

    /// A TCP connection to the first address that answers.
    async fn reach(&self, url: &Url) -> Result<TcpStream, ConnectError> {
        let addrs = match (self.addr, &url.host) {
            (Some(addr), _) => vec![addr],
            (None, Host::Addr(addr)) => vec![SocketAddr::new(*addr, url.port)],
            (None, Host::Name(name)) => {
                let found = hosts::lookup(name).await?;
                found.into_iter().map(|addr| SocketAddr::new(addr, url.port)).collect()
            }
        };
        let options = ConnectOptions { local_addr: self.local_addr, ..ConnectOptions::default() };
        connect_any(addrs, &options).await.map_err(|error| Kind::Connect(error).into())
    }

    fn request(&self, url: &Url, handshake: &ClientHandshake) -> Vec<u8> {
        let head = format!("GET {} HTTP/1.1\r\nhost: {}\r\n", url.target, url.authority);
        let mut request = head.into_bytes();
        let fields = handshake.fields();
        for (name, value) in fields.iter().chain(&self.headers) {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Fields may be credentials.
        f.debug_struct("Connect").field("url", &self.url).field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// A connection whose handshake is done.
struct Opened {
    stream: TcpStream,
    read: Bytes,
    terms: Rc<Terms>,
}

impl Opened {
    /// Starts the task that drives it.
    fn start(self, session: impl Session + 'static) -> Socket {
        let session: Pin<Box<dyn Session>> = Box::pin(session);
        let socket = Socket::new(self.terms, self.stream, &self.read);
        let guard = lakh_core::with(Shard::guard);
        lakh_core::with(|shard| shard.spawn_inspected(Connection::new(socket.clone(), session, guard)));
        socket
    }
}

//! WebSocket routes of an HTTP app.

use crate::{
    Config, Socket, WebSocket,
    config::Origins,
    connection::Connection,
    proto::{
        Role,
        deflate::{self, Deflate},
        handshake::{self, HandshakeError},
    },
    session::{CallbackSession, Callbacks, Session},
    socket::Route,
};
use lakh_core::Shard;
use lakh_http::{
    App, Handler, HandlerError, Head, HeaderMap, HeaderValue, Incoming, IntoResponse, Outcome, Response,
    StatusCode, extract::FromHead, header,
};
use std::{
    fmt,
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
};

/// Adds WebSocket routes to an [`App`].
pub trait WebSocketRoutes<S>: Sized {
    /// Opens a WebSocket for each client that asks `path` for one, and lets `handler` talk to it, with the default
    /// [`Config`].
    ///
    /// The handler is an async function whose first parameter is the [`WebSocket`], or [`callbacks`]. Further
    /// parameters are made of the request's head as those of any handler ([`FromHead`]), and refuse the handshake if
    /// they cannot be.
    ///
    /// Who does not speak WebSocket is answered 426, a broken handshake 400, a page of another origin 403.
    ///
    /// ```
    /// use lakh_http::{App, extract::Path};
    /// use lakh_ws::{WebSocket, WebSocketRoutes};
    ///
    /// async fn greet(mut socket: WebSocket, Path(name): Path<String>) {
    ///     let _ = socket.send(format!("Hello, {name}!")).await;
    ///     while let Some(message) = socket.recv().await {
    ///         println!("{name}: {message:?}");
    ///     }
    /// }
    ///
    /// let app = App::new().ws("/greet/{name}", greet);
    /// ```
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    fn ws<Form: 'static>(self, path: &str, handler: impl WebSocketHandler<Form, S>) -> Self {
        self.ws_with(path, Config::new(), handler)
    }

    /// As [`WebSocketRoutes::ws`], with limits, subprotocols and the like of its own.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    fn ws_with<Form: 'static>(
        self,
        path: &str,
        config: Config,
        handler: impl WebSocketHandler<Form, S>,
    ) -> Self;
}

impl<S: 'static> WebSocketRoutes<S> for App<S> {
    #[track_caller]
    fn ws_with<Form: 'static>(
        self,
        path: &str,
        config: Config,
        handler: impl WebSocketHandler<Form, S>,
    ) -> Self {
        let route = Rc::new(Route::new(config, Role::Server));
        self.get(path, Endpoint { handler: Rc::new(handler), route })
    }
}

/// What talks to the clients of a WebSocket route; see [`WebSocketRoutes::ws`]. `Form` tells the kinds of functions
/// apart and is always inferred; `S` is the app's state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no WebSocket handler for an app whose state is `{S}`",
    label = "not a WebSocket handler",
    note = "a WebSocket handler is an async function; its first parameter is the `WebSocket`, and it returns `()`, since nobody is left to be told of an error",
    note = "each further parameter is `FromHead<{S}>`: Path, Query, State, HeaderMap, ClientAddr, Cookies, …; a handshake has no body",
    note = "for `State<T>`, `T` is the app's state, or is `FromState<{S}>`",
    note = "or it is `callbacks(f)`, where `f` is a plain function of such parameters that returns what implements `Callbacks`"
)]
pub trait WebSocketHandler<Form, S>: 'static {
    /// Gets ready for a client.
    ///
    /// # Errors
    /// What the client is answered in place of the 101.
    fn open(self: &Rc<Self>, head: &Head<'_>, state: &S) -> Result<Opening, Response>;
}

/// A session that begins when the handshake is done.
pub struct Opening(Box<dyn FnOnce(Socket) -> Pin<Box<dyn Session>>>);

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening")
    }
}

/// Makes a route's handler of a plain function that gives the [`Callbacks`] for each connection. Its parameters are made of
/// the request's head.
///
/// ```
/// use lakh_http::App;
/// use lakh_ws::{Callbacks, Payload, Socket, WebSocketRoutes, callbacks};
///
/// struct Echo;
///
/// impl Callbacks for Echo {
///     fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
///         let _ = socket.send(message);
///     }
/// }
///
/// let app = App::new().ws("/echo", callbacks(|| Echo));
/// ```
pub fn callbacks<F>(make: F) -> CallbackHandler<F> {
    CallbackHandler(make)
}

/// The handler of [`callbacks`].
#[derive(Debug, Clone)]
pub struct CallbackHandler<F>(F);

mod form {
    #![allow(missing_debug_implementations, unreachable_pub)]
    use std::marker::PhantomData;

    pub struct Async<P>(PhantomData<P>);
    pub struct Callback<P>(PhantomData<P>);
    pub struct Http<F>(PhantomData<F>);
}

macro_rules! handlers {
    ($($($parameter:ident)*;)*) => { $(
        impl<F, Fut, S, $($parameter,)*> WebSocketHandler<form::Async<($($parameter,)*)>, S> for F
        where
            F: Fn(WebSocket, $($parameter,)*) -> Fut + 'static,
            Fut: Future<Output = ()> + 'static,
            $($parameter: FromHead<S> + 'static,)*
        {
            #[allow(unused_variables, non_snake_case)]
            fn open(self: &Rc<Self>, head: &Head<'_>, state: &S) -> Result<Opening, Response> {
                $(let $parameter = $parameter::from_head(head, state).map_err(IntoResponse::into_response)?;)*
                let handler = Rc::clone(self);
                Ok(Opening(Box::new(move |socket| {
                    begin(&socket.clone(), || Box::pin(handler(WebSocket::new(socket), $($parameter,)*)))
                })))
            }
        }

        // The compiler would list all of these to whoever has made a mistake.
        #[diagnostic::do_not_recommend]
        impl<F, Made, S, $($parameter,)*> WebSocketHandler<form::Callback<($($parameter,)*)>, S> for CallbackHandler<F>
        where
            F: Fn($($parameter,)*) -> Made + 'static,
            Made: Callbacks,
            $($parameter: FromHead<S>,)*
        {
            #[allow(unused_variables, non_snake_case)]
            fn open(self: &Rc<Self>, head: &Head<'_>, state: &S) -> Result<Opening, Response> {
                $(let $parameter = $parameter::from_head(head, state).map_err(IntoResponse::into_response)?;)*
                let session: Pin<Box<dyn Session>> = Box::pin(CallbackSession((self.0)($($parameter,)*)));
                Ok(Opening(Box::new(move |_| session)))
            }
        }
    )* };
}

handlers! {
    ;
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E G;
}

/// Makes a handler's session. One that panics before its future is made closes with 1011, as one that does so later.
fn begin(socket: &Socket, make: impl FnOnce() -> Pin<Box<dyn Session>>) -> Pin<Box<dyn Session>> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|payload| {
        // The panic hook has told of it.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        socket.close(crate::CloseCode::Error, "");
        Box::pin(std::future::ready(()))
    })
}

/// The HTTP side of a route.
struct Endpoint<H> {
    handler: Rc<H>,
    route: Rc<Route>,
}

impl<Form: 'static, S, H: WebSocketHandler<Form, S>> Handler<form::Http<Form>, S> for Endpoint<H> {
    fn call(self: &Rc<Self>, incoming: Incoming<'_>, state: &Rc<S>) -> Outcome {
        let head = incoming.head();
        let answer = Handshake::of(&head, &self.route)
            .and_then(|handshake| Ok(handshake.answer(self.handler.open(&head, state)?, &self.route)));
        Outcome::Ready(answer.unwrap_or_else(|refusal| refusal))
    }
}

/// A handshake that is in order.
struct Handshake {
    accept: HeaderValue,
    /// Its place in the configuration.
    protocol: Option<usize>,
    deflate: Option<(Deflate, HeaderValue)>,
}

impl Handshake {
    fn of(head: &Head<'_>, route: &Route) -> Result<Self, Response> {
        let (config, headers) = (&route.config, head.header_map());
        let accept = handshake::accept_request(head.method(), head.version(), &headers).map_err(refuse)?;
        if !is_allowed(&config.origins, &headers, head.client_host()) {
            return Err(HandlerError::new(StatusCode::FORBIDDEN, "pages of this origin may not connect")
                .into_response());
        }
        let supported: Vec<&str> = config.protocols.iter().map(String::as_str).collect();
        let protocol = handshake::choose_protocol(&headers, &supported).map_err(refuse)?;
        let protocol = protocol.and_then(|name| supported.iter().position(|ours| *ours == name));
        let deflate = match &config.deflate {
            Some(options) => deflate::answer_offers(&headers, options)
                .map_err(|error| HandlerError::bad_request(error.to_string()).into_response())?,
            None => None,
        };
        Ok(Handshake { accept, protocol, deflate })
    }

    fn answer(self, opening: Opening, route: &Route) -> Response {
        // The route's, which is what the shard is busy with.
        let work = lakh_core::try_with(Shard::work).unwrap_or_default();
        let name = self.protocol.map(|at| route.config.protocols[at].as_str());
        // A token, which the client has sent as well.
        let protocol = name.and_then(|name| HeaderValue::try_from(name).ok());
        let agreed = self.deflate.as_ref().map(|(agreed, _)| *agreed);
        let terms = route.terms(agreed, self.protocol, work);
        let mut response = Response::upgrade_with("websocket", move |upgraded, guard| {
            let (stream, read) = upgraded.into_parts();
            if terms.config.idle_timeout.is_some() {
                // Pings find out what the kernel's probes would. Should they stay on, they are only more packets.
                let _: io::Result<()> = stream.set_keepalive(None);
            }
            let socket = Socket::new(terms, stream, &read);
            let session = (opening.0)(socket.clone());
            lakh_core::with(|shard| shard.spawn_inspected(Connection::new(socket, session, guard)));
        })
        .with_header(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = protocol {
            response.set_header(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        if let Some((_, answer)) = self.deflate {
            response.set_header(header::SEC_WEBSOCKET_EXTENSIONS, answer);
        }
        response
    }
}

fn refuse(error: HandshakeError) -> Response {
    let mut fields = HeaderMap::new();
    error.add_fields(&mut fields);
    let mut response = HandlerError::new(error.status(), error.to_string()).into_response();
    for (name, value) in &fields {
        // `Connection` is the server's own business.
        response.set_header(name.clone(), value.clone());
    }
    response
}

/// Whether a page of this origin may connect (RFC 6455, 10.2).
fn is_allowed(origins: &Origins, headers: &HeaderMap, host: &str) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    match origins {
        Origins::Any => true,
        Origins::Listed(listed) => listed.iter().any(|ours| ours.eq_ignore_ascii_case(origin)),
        Origins::Same => {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
        }
    }
}

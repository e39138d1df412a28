//! Functions that answer requests.

use crate::{
    body::RequestBody,
    extract::{FromHead, FromRequest},
    into_response::IntoResponse,
    proto::HeadMemo,
    request::{Head, Request},
    response::Response,
};
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// A request on its way to its handler: still in the connection's buffer, or already copied.
pub struct Incoming<'a>(Source<'a>);

enum Source<'a> {
    Buffered {
        head: Head<'a>,
        memo: &'a HeadMemo,
        /// Makes the body's two ends, once; not called by handlers that do not want it.
        open_body: &'a mut dyn FnMut() -> RequestBody,
    },
    Owned(Request),
}

impl<'a> Incoming<'a> {
    #[inline]
    pub(crate) fn new(
        head: Head<'a>,
        memo: &'a HeadMemo,
        open_body: &'a mut dyn FnMut() -> RequestBody,
    ) -> Self {
        Incoming(Source::Buffered { head, memo, open_body })
    }

    /// The head.
    #[inline]
    pub fn head(&self) -> Head<'_> {
        match &self.0 {
            Source::Buffered { head, .. } => *head,
            Source::Owned(request) => request.head(),
        }
    }

    /// The request, to be kept. It is copied out of the connection's buffer if it is still there.
    pub fn into_request(self) -> Request {
        match self.0 {
            Source::Buffered { head, memo, open_body } => {
                Request::new(memo.share(head.bytes), head, open_body())
            }
            Source::Owned(request) => request,
        }
    }
}

impl From<Request> for Incoming<'_> {
    fn from(request: Request) -> Self {
        Incoming(Source::Owned(request))
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({:?})", self.head())
    }
}

/// What a handler gives at once.
pub enum Outcome {
    /// The answer.
    Ready(Response),
    /// A future of it.
    Later(Answer),
}

impl Outcome {
    fn later(future: impl Future<Output: IntoResponse> + 'static) -> Self {
        Outcome::Later(Answer::new(future))
    }
}

/// A future of an answer: a handler's, whatever that returns. One allocation, and no wrapper inside of it, since
/// a wrapping future would hold its inner one twice.
pub struct Answer(Pin<Box<dyn Answering>>);

trait Answering {
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response>;
}

impl<F: Future<Output: IntoResponse>> Answering for F {
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        self.poll(cx).map(IntoResponse::into_response)
    }
}

impl Answer {
    /// What the future will give, as an answer.
    pub fn new(future: impl Future<Output: IntoResponse> + 'static) -> Self {
        Answer(Box::pin(future))
    }
}

impl Future for Answer {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        self.0.as_mut().poll_answer(cx)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ready(response) => f.debug_tuple("Ready").field(response).finish(),
            Outcome::Later(answer) => f.debug_tuple("Later").field(answer).finish(),
        }
    }
}

/// A function that answers requests. Implemented for functions and closures of up to eight parameters:
///
/// - **plain ones** run at once, on the shard, and must not block. Their parameters are made of the head
///   alone ([`FromHead`]); or there is one parameter, the [`&Head`](Head) itself, and nothing is copied.
/// - **async ones** may wait. The last parameter may take the body ([`FromRequest`]); the others are
///   [`FromHead`].
///
/// What they return, or what their future gives, is [`IntoResponse`]. `Form` only tells these apart and is
/// always inferred; `S` is the [`App`](crate::App)'s state.
///
/// # Cancellation
/// An async handler is dropped at the await point that it has come to when its client resets the connection (a
/// client that has only finished sending still gets its answer), when the client is cut for its pace, and at
/// the end of a drain's grace. A stream that a handler answers with is dropped likewise. What must run to its
/// end all the same belongs into a [`shield`](lakh_core::shield); work that was given to
/// [`blocking`](lakh_core::blocking()) and has not begun is taken back.
///
/// ```
/// use lakh_http::{App, Bytes, Head, StatusCode, extract::{Path, State}};
///
/// async fn store(State(name): State<String>, Path(id): Path<u64>, body: Bytes) -> (StatusCode, String) {
///     (StatusCode::CREATED, format!("{name} has {} bytes for {id}", body.len()))
/// }
///
/// let app = App::with_state("the store".to_owned())
///     .get("/", || "plain")
///     .get("/method", |head: &Head<'_>| head.method().to_string())
///     .get("/twice/{n}", |Path(n): Path<u32>| (n * 2).to_string())
///     .put("/things/{id}", store);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler for an app whose state is `{S}`",
    label = "not a handler",
    note = "a handler is a plain or an async function, and what it returns is `IntoResponse`: as a function `-> impl IntoResponse` it is told what of that is not",
    note = "each parameter is `FromHead<{S}>`: Path, Query, State, HeaderMap, Method, ClientAddr, Cookies, …",
    note = "of an async function the last parameter may be `FromRequest<{S}>` instead: Json, Form, Bytes, String, Multipart, Request, …",
    note = "for `State<T>`, `T` is the app's state, or is `FromState<{S}>`"
)]
pub trait Handler<Form, S>: 'static {
    /// Answers a request.
    fn call(self: &Rc<Self>, incoming: Incoming<'_>, state: &Rc<S>) -> Outcome;
}

mod form {
    #![allow(missing_debug_implementations, unreachable_pub)]
    use std::marker::PhantomData;

    pub struct WithHead;
    pub struct Plain<P>(PhantomData<P>);
    pub struct Async<P>(PhantomData<P>);
    pub struct AsyncWithBody<P>(PhantomData<P>);
}

impl<F, R, S> Handler<form::WithHead, S> for F
where
    F: Fn(&Head<'_>) -> R + 'static,
    R: IntoResponse,
{
    #[inline]
    fn call(self: &Rc<Self>, incoming: Incoming<'_>, _: &Rc<S>) -> Outcome {
        Outcome::Ready(self(&incoming.head()).into_response())
    }
}

/// Gives a parameter, or answers with its rejection.
macro_rules! extract {
    ($parameter:ty, $incoming:ident, $state:ident) => {
        match <$parameter>::from_head(&$incoming.head(), $state) {
            Ok(value) => value,
            Err(rejection) => return Outcome::Ready(rejection.into_response()),
        }
    };
}

/// The forms whose parameters are made of the head.
macro_rules! handlers {
    ($($($parameter:ident)*;)*) => { $(
        impl<F, R, S, $($parameter,)*> Handler<form::Plain<($($parameter,)*)>, S> for F
        where
            F: Fn($($parameter,)*) -> R + 'static,
            R: IntoResponse,
            $($parameter: FromHead<S>,)*
        {
            #[inline]
            #[allow(unused_variables, non_snake_case)]
            fn call(self: &Rc<Self>, incoming: Incoming<'_>, state: &Rc<S>) -> Outcome {
                $(let $parameter = extract!($parameter, incoming, state);)*
                Outcome::Ready(self($($parameter,)*).into_response())
            }
        }

        impl<F, Fut, S, $($parameter,)*> Handler<form::Async<($($parameter,)*)>, S> for F
        where
            F: Fn($($parameter,)*) -> Fut + 'static,
            Fut: Future<Output: IntoResponse> + 'static,
            $($parameter: FromHead<S>,)*
        {
            #[allow(unused_variables, non_snake_case)]
            fn call(self: &Rc<Self>, incoming: Incoming<'_>, state: &Rc<S>) -> Outcome {
                $(let $parameter = extract!($parameter, incoming, state);)*
                Outcome::later(self($($parameter,)*))
            }
        }
    )* };
}

/// The forms whose last parameter takes the body.
macro_rules! handlers_with_body {
    ($($($first:ident)*, $last:ident;)*) => { $(
        impl<F, Fut, S, $($first,)* $last> Handler<form::AsyncWithBody<($($first,)* $last,)>, S> for F
        where
            F: Fn($($first,)* $last) -> Fut + 'static,
            Fut: Future<Output: IntoResponse> + 'static,
            $($first: FromHead<S> + 'static,)*
            $last: FromRequest<S>,
            S: 'static,
        {
            #[allow(non_snake_case)]
            fn call(self: &Rc<Self>, incoming: Incoming<'_>, state: &Rc<S>) -> Outcome {
                $(let $first = extract!($first, incoming, state);)*
                let (handler, state, request) = (Rc::clone(self), Rc::clone(state), incoming.into_request());
                Outcome::later(async move {
                    match $last::from_request(request, &state).await {
                        Ok($last) => handler($($first,)* $last).await.into_response(),
                        Err(rejection) => rejection.into_response(),
                    }
                })
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
    A B C D E G H;
    A B C D E G H I;
}

handlers_with_body! {
    , A;
    A, B;
    A B, C;
    A B C, D;
    A B C D, E;
    A B C D E, G;
    A B C D E G, H;
    A B C D E G H, I;
}

/// A handler whose form and state are forgotten: what the router keeps and what middleware wraps.
pub(crate) trait Endpoint {
    fn call(&self, incoming: Incoming<'_>) -> Outcome;
}

pub(crate) struct Erased<H, Form, S> {
    handler: Rc<H>,
    state: Rc<S>,
    form: PhantomData<Form>,
}

impl<H, Form, S> Erased<H, Form, S> {
    pub(crate) fn new(handler: H, state: &Rc<S>) -> Rc<Self> {
        Rc::new(Erased { handler: Rc::new(handler), state: Rc::clone(state), form: PhantomData })
    }
}

impl<Form, S, H: Handler<Form, S>> Endpoint for Erased<H, Form, S> {
    #[inline]
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        self.handler.call(incoming, &self.state)
    }
}

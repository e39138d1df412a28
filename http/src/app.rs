//! Routes: which handler answers which request.

use crate::{
    files::Files,
    handler::{Endpoint, Erased, Handler, Incoming, Outcome},
    proto::{ParsedHead, Span},
    request::{Head, ParamNames, ParamSpans},
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    marker::PhantomData,
};

/// A service: its routes and what answers when none fits. One exists on each shard.
///
/// Paths may have parameters, `/users/{id}`, and end with a catch-all, `/files/{*path}`; a fixed
/// part goes before a parameter. A path that exists without the method is answered with 405 and
/// `Allow`; `OPTIONS` is answered likewise with 204; HEAD goes to the GET handler.
///
/// ```
/// use lakh_http::{App, Head, StatusCode};
///
/// let app = App::new()
///     .get("/", || "hello")
///     .get("/users/{id}", |head: &Head<'_>| format!("user {}", head.param("id").unwrap()))
///     .post("/users", async || StatusCode::CREATED);
/// ```
#[derive(Default)]
pub struct App {
    paths: matchit::Router<usize>,
    /// The paths without parameters: most requests are for one of them, and a hash finds it faster
    /// than the tree, which wants text and gives parameters.
    fixed: HashMap<Box<[u8]>, usize, BuildHasherDefault<PathHasher>>,
    routes: Vec<Route>,
    fallback: Option<Box<dyn Endpoint>>,
}

struct Route {
    path: String,
    names: ParamNames,
    methods: Vec<(Method, Box<dyn Endpoint>)>,
    /// Answers the methods that have no handler of their own.
    any: Option<Box<dyn Endpoint>>,
    allow: HeaderValue,
}

impl App {
    /// No routes yet: everything is 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET and HEAD requests for `path`.
    ///
    /// # Panics
    /// If `path` is malformed, conflicts with another one, or has a GET handler already.
    #[track_caller]
    pub fn get<Form: 'static>(self, path: &str, handler: impl Handler<Form>) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// Answers POST requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn post<Form: 'static>(self, path: &str, handler: impl Handler<Form>) -> Self {
        self.route(Method::POST, path, handler)
    }

    /// Answers PUT requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn put<Form: 'static>(self, path: &str, handler: impl Handler<Form>) -> Self {
        self.route(Method::PUT, path, handler)
    }

    /// Answers PATCH requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn patch<Form: 'static>(self, path: &str, handler: impl Handler<Form>) -> Self {
        self.route(Method::PATCH, path, handler)
    }

    /// Answers DELETE requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn delete<Form: 'static>(self, path: &str, handler: impl Handler<Form>) -> Self {
        self.route(Method::DELETE, path, handler)
    }

    /// Answers requests of `method` for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn route<Form: 'static>(self, method: Method, path: &str, handler: impl Handler<Form>) -> Self {
        self.add(Some(method), path, Box::new(Erased(handler, PhantomData)))
    }

    /// Answers requests of every method that has no handler of its own for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn any<Form: 'static>(self, path: &str, handler: impl Handler<Form>) -> Self {
        self.add(None, path, Box::new(Erased(handler, PhantomData)))
    }

    /// Answers requests that no path fits; by default that is 404.
    pub fn fallback<Form: 'static>(mut self, handler: impl Handler<Form>) -> Self {
        self.fallback = Some(Box::new(Erased(handler, PhantomData)));
        self
    }

    /// Serves the files of a folder below `prefix`, `/` for all paths that have no other route.
    ///
    /// # Panics
    /// If `prefix` does not begin with `/`, or conflicts with another path.
    #[track_caller]
    pub fn files(self, prefix: &str, files: Files) -> Self {
        let prefix = prefix.trim_end_matches('/');
        let endpoint = files.into_endpoint(prefix.len());
        let catch_all = format!("{prefix}/{{*path}}");
        let app = self.add(None, &format!("{prefix}/"), Box::new(endpoint.clone()));
        let app = if prefix.is_empty() { app } else { app.add(None, prefix, Box::new(endpoint.clone())) };
        app.add(None, &catch_all, Box::new(endpoint))
    }

    #[track_caller]
    fn add(mut self, method: Option<Method>, path: &str, endpoint: Box<dyn Endpoint>) -> Self {
        let at = match self.routes.iter().position(|route| route.path == path) {
            Some(at) => at,
            None => {
                let at = self.routes.len();
                if let Err(error) = self.paths.insert(path, at) {
                    panic!("the route {path:?} cannot be added: {error}");
                }
                if !path.contains(['{', '}']) {
                    self.fixed.insert(path.as_bytes().into(), at);
                }
                self.routes.push(Route::new(path));
                at
            }
        };
        self.routes[at].add(method, endpoint);
        self
    }

    /// Finds what answers a request; its parameters' places go to `params`. The same head gives the
    /// same.
    #[inline]
    pub(crate) fn find(&self, head: &ParsedHead, bytes: &[u8], params: &mut ParamSpans) -> Found {
        params.clear();
        let path = head.path.of(bytes);
        let route = match self.fixed.get(path) {
            Some(&route) => route,
            None => {
                let text = std::str::from_utf8(path).unwrap_or_default();
                let Ok(found) = self.paths.at(text) else { return Found::NOWHERE };
                let base = bytes.as_ptr().addr();
                params.extend(found.params.iter().map(|(_, value)| Span::locate(base, value.as_bytes())));
                *found.value
            }
        };
        Found { route, method: self.routes[route].find(&head.method) }
    }

    /// Answers a request by what was found for it.
    #[inline]
    pub(crate) fn call(&self, found: Found, params: &[Span], incoming: Incoming<'_>) -> Outcome {
        let Some(route) = self.routes.get(found.route) else { return self.call_fallback(incoming) };
        let head = Head { names: Some(&route.names), params, ..incoming.head };
        let incoming = Incoming { head, open_body: incoming.open_body };
        match route.methods.get(found.method) {
            Some((_, endpoint)) => endpoint.call(incoming),
            None => route.call_any(incoming),
        }
    }

    #[cold]
    fn call_fallback(&self, incoming: Incoming<'_>) -> Outcome {
        if incoming.head.path() == "*" {
            // RFC 9110, 9.3.7: about the server as a whole.
            let answer = Response::empty(StatusCode::NO_CONTENT);
            return Outcome::Ready(answer.with_header(header::ALLOW, self.allowed()));
        }
        match &self.fallback {
            Some(endpoint) => endpoint.call(incoming),
            None => Outcome::Ready(Response::plain(StatusCode::NOT_FOUND)),
        }
    }
}

/// Which of an app's endpoints answers a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    route: usize,
    /// Among the route's methods.
    method: usize,
}

impl Found {
    /// No route fits. Also what is found before anything was looked for.
    pub(crate) const NOWHERE: Found = Found { route: usize::MAX, method: usize::MAX };
}

impl App {
    /// 405 for a method that the server as a whole does not have.
    #[cold]
    pub(crate) fn refuse_method(&self) -> Response {
        Response::plain(StatusCode::METHOD_NOT_ALLOWED).with_header(header::ALLOW, self.allowed())
    }

    /// The methods of all routes.
    fn allowed(&self) -> HeaderValue {
        let values = self.routes.iter().map(|route| route.allow.to_str().unwrap_or_default());
        let mut names: Vec<&str> = values.flat_map(|value| value.split(", ")).collect();
        names.push("OPTIONS");
        names.sort_unstable();
        names.dedup();
        HeaderValue::try_from(names.join(", ")).expect("methods are tokens")
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.path)).finish()
    }
}

impl Route {
    fn new(path: &str) -> Self {
        Route {
            path: path.to_owned(),
            names: param_names(path),
            methods: Vec::new(),
            any: None,
            allow: HeaderValue::from_static(""),
        }
    }

    #[track_caller]
    fn add(&mut self, method: Option<Method>, endpoint: Box<dyn Endpoint>) {
        match method {
            Some(method) => {
                let taken = self.methods.iter().any(|(m, _)| *m == method);
                assert!(!taken, "the route {:?} has a handler for {method} already", self.path);
                self.methods.push((method, endpoint));
            }
            None => {
                assert!(self.any.is_none(), "the route {:?} has a handler for any method", self.path);
                self.any = Some(endpoint);
            }
        }
        self.allow = self.allowed();
    }

    /// The value of `Allow`: what has a handler, what HEAD and OPTIONS follow from.
    fn allowed(&self) -> HeaderValue {
        let mut names: Vec<&str> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
        }
        if !names.contains(&"OPTIONS") {
            names.push("OPTIONS");
        }
        HeaderValue::try_from(names.join(", ")).expect("methods are tokens")
    }

    /// The place of the method's handler, or of GET's for HEAD; past the end if there is none.
    fn find(&self, method: &Method) -> usize {
        let own = |wanted: &Method| self.methods.iter().position(|(m, _)| m == wanted);
        let get = || if method == Method::HEAD { own(&Method::GET) } else { None };
        own(method).or_else(get).unwrap_or(usize::MAX)
    }

    fn call_any(&self, incoming: Incoming<'_>) -> Outcome {
        match &self.any {
            Some(endpoint) => endpoint.call(incoming),
            None => Outcome::Ready(self.refuse(incoming.head.method())),
        }
    }

    #[cold]
    fn refuse(&self, method: &Method) -> Response {
        let response = if method == Method::OPTIONS {
            Response::empty(StatusCode::NO_CONTENT)
        } else {
            Response::plain(StatusCode::METHOD_NOT_ALLOWED)
        };
        response.with_header(header::ALLOW, self.allow.clone())
    }
}

/// Multiplies eight bytes at a time, as rustc's own hasher does. Only the program's own routes are
/// in the table, so nobody can fill a bucket from outside.
#[derive(Default)]
struct PathHasher(u64);

impl Hasher for PathHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = 0;
        for &byte in rest {
            last = last << 8 | u64::from(byte);
        }
        self.write_u64(last);
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    #[inline]
    fn write_usize(&mut self, length: usize) {
        self.write_u64(length as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The names between the braces, in their order; `{{` is a brace.
fn param_names(path: &str) -> ParamNames {
    let unescaped = path.replace("{{", "").replace("}}", "");
    let names = unescaped.split('{').skip(1).filter_map(|part| part.split_once('}'));
    names.map(|(name, _)| name.trim_start_matches('*').into()).collect()
}

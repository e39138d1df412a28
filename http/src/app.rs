//! Building a service of routes, state and middleware.

use crate::{
    HandlerError,
    files::Files,
    handler::{Endpoint, Erased, Handler},
    host::HostPattern,
    into_response::IntoResponse,
    limits::RouteLimits,
    middleware::{Layered, Middleware},
    response::Response,
    router::{OnError, Route, Router, Table},
};
use http::Method;
use std::{fmt, future::Future, pin::Pin, rc::Rc};

type Wrap = Box<dyn Fn(Rc<dyn Endpoint>) -> Rc<dyn Endpoint>>;
pub(crate) type Hook = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>>>;

/// A service: its routes, its state, and what answers when no route fits. One exists on each shard.
///
/// Paths may have parameters, `/users/{id}`, and end with a catch-all, `/files/{*path}`; a fixed
/// part goes before a parameter. A path that exists without the method is answered with 405 and
/// `Allow`; `OPTIONS` is answered likewise with 204; HEAD goes to the GET handler. Handlers are plain
/// or async functions, see [`Handler`].
///
/// ```
/// use lakh_http::{App, StatusCode, extract::{Json, Path, State}};
/// use std::{cell::RefCell, rc::Rc};
///
/// type Names = Rc<RefCell<Vec<String>>>;
///
/// async fn add(State(names): State<Names>, Json(name): Json<String>) -> StatusCode {
///     names.borrow_mut().push(name);
///     StatusCode::CREATED
/// }
///
/// let users = App::with_state(Names::default())
///     .post("/", add)
///     .get("/{n}", |State(names): State<Names>, Path(n): Path<usize>| names.borrow().get(n).cloned());
/// let app = App::new().get("/", || "hello").nest("/users", users);
/// ```
pub struct App<S = ()> {
    state: Rc<S>,
    table: Table,
    /// The paths of the route that was added last: files have several. Empty after what adds no single route.
    last: Vec<Box<str>>,
    wraps: Vec<Wrap>,
    default_limits: Option<RouteLimits>,
    hosts: Vec<(HostPattern, Table)>,
    on_error: Option<OnError>,
    on_drain: Vec<Hook>,
}

impl App {
    /// No routes yet: everything is 404. No state either.
    pub fn new() -> Self {
        Self::with_state(())
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: 'static> App<S> {
    /// An app whose handlers can have `state`, or parts of it, by [`State`](crate::extract::State).
    pub fn with_state(state: S) -> Self {
        App {
            state: Rc::new(state),
            table: Table::default(),
            last: Vec::new(),
            wraps: Vec::new(),
            default_limits: None,
            hosts: Vec::new(),
            on_error: None,
            on_drain: Vec::new(),
        }
    }

    /// Answers GET and HEAD requests for `path`.
    ///
    /// # Panics
    /// If `path` is malformed, conflicts with another one, or has a GET handler already.
    #[track_caller]
    pub fn get<Form: 'static>(self, path: &str, handler: impl Handler<Form, S>) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// Answers POST requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn post<Form: 'static>(self, path: &str, handler: impl Handler<Form, S>) -> Self {
        self.route(Method::POST, path, handler)
    }

    /// Answers PUT requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn put<Form: 'static>(self, path: &str, handler: impl Handler<Form, S>) -> Self {
        self.route(Method::PUT, path, handler)
    }

    /// Answers PATCH requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn patch<Form: 'static>(self, path: &str, handler: impl Handler<Form, S>) -> Self {
        self.route(Method::PATCH, path, handler)
    }

    /// Answers DELETE requests for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn delete<Form: 'static>(self, path: &str, handler: impl Handler<Form, S>) -> Self {
        self.route(Method::DELETE, path, handler)
    }

    /// Answers requests of `method` for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn route<Form: 'static>(self, method: Method, path: &str, handler: impl Handler<Form, S>) -> Self {
        let endpoint = Erased::new(handler, &self.state);
        self.add(Some(method), path, endpoint)
    }

    /// Answers requests of every method that has no handler of its own for `path`.
    ///
    /// # Panics
    /// As [`App::get`].
    #[track_caller]
    pub fn any<Form: 'static>(self, path: &str, handler: impl Handler<Form, S>) -> Self {
        let endpoint = Erased::new(handler, &self.state);
        self.add(None, path, endpoint)
    }

    /// Answers requests that no path fits; by default that is 404. In a nested app: those below its
    /// prefix.
    ///
    /// # Panics
    /// If there is a fallback already.
    #[track_caller]
    pub fn fallback<Form: 'static>(mut self, handler: impl Handler<Form, S>) -> Self {
        let endpoint = Erased::new(handler, &self.state);
        let is_first = self.table.offer_fallback(endpoint);
        assert!(is_first, "the app has a fallback already, its own or a merged app's: leave one of them out");
        self.last.clear();
        self
    }

    /// Serves the files of a folder below `prefix`, `/` for all paths that have no other route.
    ///
    /// # Panics
    /// If `prefix` does not begin with `/`, or conflicts with another path.
    #[track_caller]
    pub fn files(self, prefix: &str, files: Files) -> Self {
        let mut app = self.add_tree(prefix.trim_end_matches('/'), Rc::new(files.into_endpoint()));
        if let Ok(root) = app.table.entry(&format!("{}/", prefix.trim_end_matches('/'))) {
            root.is_folder = true;
        }
        app
    }

    /// Limits of the route that was added last, for all its methods; of all its paths for [`App::files`].
    ///
    /// ```
    /// use lakh_http::{App, Bytes, RouteLimits};
    ///
    /// let app = App::new()
    ///     .put("/films/{name}", async |film: Bytes| film.len().to_string())
    ///     .limits(RouteLimits::new().body(8 << 30))
    ///     .get("/", || "other routes have the server's limits");
    /// ```
    ///
    /// # Panics
    /// If the last thing added is no route of this app: a nested or merged app, a host, a fallback, or nothing.
    #[track_caller]
    pub fn limits(mut self, limits: RouteLimits) -> Self {
        self.each_last(|route| route.limits = Some(limits.clone()));
        self
    }

    /// Limits of all routes of this app, and of those nested in it, that have none of their own.
    pub fn default_limits(mut self, limits: RouteLimits) -> Self {
        self.default_limits = Some(limits);
        self
    }

    /// Wraps middleware around every answer of this app, wherever in the row this is called: those of
    /// its routes, 405 and `OPTIONS` of their paths, and, if it is not nested in another app, 404.
    /// What is wrapped first is outermost.
    pub fn wrap(mut self, middleware: impl Middleware) -> Self {
        self.wraps.push(wrapper(middleware));
        self
    }

    /// Wraps middleware around the route that was added last: the methods that have handlers by now, and
    /// what answers 405 and `OPTIONS` for the others; inside of what [`App::wrap`] wraps. What is wrapped
    /// first is innermost. After [`App::files`], that is every file and folder below the prefix.
    ///
    /// # Panics
    /// As [`App::limits`].
    #[track_caller]
    pub fn wrap_route(mut self, middleware: impl Middleware) -> Self {
        let wrap = wrapper(middleware);
        self.each_last(|route| {
            route.complete();
            route.wrap(&wrap);
        });
        self
    }

    /// Takes in another app's routes below `prefix`, with their state, middleware, limits and, for
    /// what is below the prefix, their fallback. Handlers see the whole path. The nested app's `/` is
    /// the prefix without a slash behind it: of `/users` and `/users/`, the first alone. Only files have both.
    ///
    /// # Panics
    /// If `prefix` does not begin with `/` or ends with one, a path conflicts with another one, or the nested
    /// app has hosts or an error renderer, which are the outermost app's business.
    #[track_caller]
    pub fn nest<T: 'static>(mut self, prefix: &str, app: App<T>) -> Self {
        check_prefix(prefix);
        let (routes, fallback, hooks) = app.into_parts();
        for route in routes {
            let path = format!("{prefix}{}", route.path);
            if &*route.path != "/" {
                self.take_in(&path, route);
                continue;
            }
            if route.is_folder {
                self.take_in(&path, route.clone());
            }
            self.take_in(prefix, route);
        }
        if let Some(fallback) = fallback {
            let root = format!("{prefix}/");
            if self.table.routes().iter().all(|route| *route.path != *root) {
                self = self.add(None, &root, Rc::clone(&fallback));
            }
            self = self.add(None, &format!("{prefix}/{{*rest}}"), fallback);
        }
        self.on_drain.extend(hooks);
        self.last.clear();
        self
    }

    /// Serves a service of tower, such as an axum `Router`, below `prefix`, which it does not see: below `/api`,
    /// a request for `/api/users?page=2` is one for `/users?page=2`. See [`tower`](crate::tower).
    ///
    /// # Panics
    /// If `prefix` does not begin with `/` or ends with one, or a path conflicts with another one.
    #[cfg(feature = "tower")]
    #[track_caller]
    pub fn nest_service<T>(self, prefix: &str, service: T) -> Self
    where
        T: crate::tower::HttpService<crate::tower::SendBody>,
    {
        check_prefix(prefix);
        let endpoint: Rc<dyn Endpoint> = Rc::new(crate::tower::Nested::new(prefix, service));
        self.add_tree(prefix, endpoint)
    }

    /// Takes in another app's routes beside this one's, with their state, middleware and limits, and
    /// its fallback if this app has none.
    ///
    /// # Panics
    /// If a path conflicts with another one, or the other app has hosts or an error renderer, which are the
    /// outermost app's business.
    #[track_caller]
    pub fn merge<T: 'static>(mut self, app: App<T>) -> Self {
        let (routes, fallback, hooks) = app.into_parts();
        for route in routes {
            let path = Rc::clone(&route.path);
            self.take_in(&path, route);
        }
        if let Some(fallback) = fallback {
            self.table.offer_fallback(fallback);
        }
        self.on_drain.extend(hooks);
        self.last.clear();
        self
    }

    /// Answers requests for a host by an app of its own: `example.com`, or `*.example.com` for all
    /// names below it. Names in full go before wildcards, ports do not count, and other hosts get this
    /// app. Middleware of this app does not wrap the other; its error renderer is for both.
    ///
    /// # Panics
    /// If `pattern` is no host's name (it has a port, say), has an app already, or `app` has hosts or an error
    /// renderer of its own.
    #[track_caller]
    pub fn host<T: 'static>(mut self, pattern: &str, mut app: App<T>) -> Self {
        app.check_inner();
        let host = match HostPattern::new(pattern) {
            Ok(host) => host,
            Err(why) => panic!("{pattern:?} is no host's name: {why}"),
        };
        let is_new = self.hosts.iter().all(|(other, _)| *other != host);
        assert!(is_new, "the host {pattern:?} has an app already: merge the two");
        app.finish();
        self.on_drain.append(&mut app.on_drain);
        self.hosts.push((host, app.table));
        self.last.clear();
        self
    }

    /// Renders all errors of the service in one place: what handlers and extractors give as
    /// [`HandlerError`], and the bare statuses of the server itself (404, 405, 413, 500 after a panic,
    /// …). Status and fields are those of what `render` returns; fields that middleware has added
    /// stay. By default the message is sent as plain text. If `render` panics, the answer is a plain 500.
    ///
    /// ```
    /// use lakh_http::{App, HandlerError, extract::Json};
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize)]
    /// struct Problem {
    ///     error: String,
    /// }
    ///
    /// let app = App::new().on_error(|error: &HandlerError| {
    ///     if error.cause().is_some() {
    ///         lakh_core::warn(error); // with its cause, and without waiting for whoever reads it
    ///     }
    ///     (error.status(), Json(Problem { error: error.message().to_owned() }))
    /// });
    /// ```
    ///
    /// # Panics
    /// If there is a renderer already.
    #[track_caller]
    pub fn on_error<R: IntoResponse>(mut self, render: impl Fn(&HandlerError) -> R + 'static) -> Self {
        assert!(self.on_error.is_none(), "the app has an error renderer already: leave one of them out");
        self.on_error = Some(Rc::new(move |error| -> Response { render(error).into_response() }));
        self
    }

    /// Runs when a drain begins; the shard waits for it as for a request in flight, up to the server's
    /// grace.
    pub fn on_drain<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.on_drain.push(Box::new(|| Box::pin(hook())));
        self
    }

    /// The finished service.
    pub(crate) fn into_router(mut self) -> (Router, Vec<Hook>) {
        self.finish();
        let mut router = Router::new(self.table);
        for (pattern, table) in self.hosts {
            router.add_host(pattern, table);
        }
        router.on_error = self.on_error;
        (router, self.on_drain)
    }

    fn finish(&mut self) {
        self.apply_limits();
        let wraps = std::mem::take(&mut self.wraps);
        self.table.finish(&|endpoint| wrap_all(&wraps, endpoint));
    }

    /// What would be lost in another app is not to be there.
    #[track_caller]
    fn check_inner(&self) {
        assert!(self.hosts.is_empty(), "hosts are for the outermost app: call host on that");
        assert!(self.on_error.is_none(), "errors are rendered by the outermost app: call on_error on that");
    }

    /// Routes and fallback for another app, wrapped.
    #[track_caller]
    fn into_parts(mut self) -> (Vec<Route>, Option<Rc<dyn Endpoint>>, Vec<Hook>) {
        self.check_inner();
        self.apply_limits();
        let (mut routes, fallback) = self.table.into_routes();
        for route in &mut routes {
            if !self.wraps.is_empty() {
                route.complete();
            }
            route.wrap(&|endpoint| wrap_all(&self.wraps, endpoint));
        }
        let fallback = fallback.map(|endpoint| wrap_all(&self.wraps, endpoint));
        (routes, fallback, self.on_drain)
    }

    fn apply_limits(&mut self) {
        if let Some(limits) = &self.default_limits {
            for route in self.table.routes_mut() {
                route.limits.get_or_insert_with(|| limits.clone());
            }
        }
    }

    #[track_caller]
    fn each_last(&mut self, mut change: impl FnMut(&mut Route)) {
        let own = !self.last.is_empty();
        assert!(
            own,
            "this is about a route: call it right after get, post, route, any, files or nest_service"
        );
        for path in &self.last {
            change(self.table.entry(path).expect("it is there"));
        }
    }

    /// Adds an endpoint for all that is below a prefix, and the prefix itself, as one route.
    #[track_caller]
    fn add_tree(mut self, prefix: &str, endpoint: Rc<dyn Endpoint>) -> Self {
        let paths = [prefix.to_owned(), format!("{prefix}/"), format!("{prefix}/{{*path}}")];
        let paths: Vec<Box<str>> =
            paths.into_iter().filter(|path| !path.is_empty()).map(Into::into).collect();
        for path in &paths {
            self = self.add(None, path, Rc::clone(&endpoint));
        }
        self.last = paths;
        self
    }

    #[track_caller]
    fn add(mut self, method: Option<Method>, path: &str, endpoint: Rc<dyn Endpoint>) -> Self {
        match self.table.entry(path) {
            Ok(route) => {
                if let Err(taken) = route.add(method, endpoint) {
                    panic!("the route {path:?} has a handler for {taken} already");
                }
            }
            Err(error) => panic!("the route {path:?} cannot be added: {error}"),
        }
        self.last = vec![path.into()];
        self
    }

    #[track_caller]
    fn take_in(&mut self, path: &str, other: Route) {
        let route = match self.table.entry(path) {
            Ok(route) => route,
            Err(error) => panic!("the route {path:?} cannot be added: {error}"),
        };
        if let Err(taken) = route.take_in(other) {
            panic!("the route {path:?} has a handler for {taken} already");
        }
    }
}

#[track_caller]
fn check_prefix(prefix: &str) {
    let is_prefix = prefix.starts_with('/') && !prefix.ends_with('/');
    assert!(is_prefix, "the prefix {prefix:?} has to begin with / and not to end with one");
}

fn wrapper(middleware: impl Middleware) -> Wrap {
    let middleware = Rc::new(middleware);
    Box::new(move |inner| Rc::new(Layered::new(&middleware, inner)))
}

/// The first is outermost.
fn wrap_all(wraps: &[Wrap], endpoint: Rc<dyn Endpoint>) -> Rc<dyn Endpoint> {
    wraps.iter().rev().fold(endpoint, |endpoint, wrap| wrap(endpoint))
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.table.routes().iter().map(|route| &route.path)).finish()
    }
}

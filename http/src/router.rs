//! Which endpoint answers which request.

use crate::{
    error::{HandlerError, Origin},
    guard::{catch, drop_guarded},
    handler::{Endpoint, Incoming, Outcome},
    host::{HostPattern, without_port},
    limits::{Limits, RouteLimits},
    proto::{ParsedHead, Span},
    request::{ParamNames, ParamSpans},
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};
use lakh_core::WorkName;
use std::{
    cell::OnceCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
};

/// Renders errors; see [`App::on_error`](crate::App::on_error).
pub(crate) type OnError = Rc<dyn Fn(&HandlerError) -> Response>;

/// A finished app: what a service asks for each request.
#[derive(Default)]
pub(crate) struct Router {
    /// The first is for all hosts that have none of their own.
    tables: Vec<Table>,
    hosts: Vec<(HostPattern, usize)>,
    /// What the watchdog calls the fallbacks.
    fallback_work: WorkName,
    pub(crate) on_error: Option<OnError>,
}

/// The routes of one host.
#[derive(Default)]
pub(crate) struct Table {
    paths: matchit::Router<usize>,
    /// The paths without parameters: most requests are for one of them, and a hash finds it faster
    /// than the tree, which wants text and gives parameters.
    fixed: HashMap<Box<[u8]>, usize, BuildHasherDefault<PathHasher>>,
    routes: Vec<Route>,
    fallback: Option<Rc<dyn Endpoint>>,
    /// What `Allow` says of the server as a whole.
    allow: Option<HeaderValue>,
}

/// One path and what answers its methods.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) path: Rc<str>,
    names: ParamNames,
    pub(crate) methods: Vec<(Method, Rc<dyn Endpoint>)>,
    /// Answers the methods that have no handler of their own.
    pub(crate) any: Option<Rc<dyn Endpoint>>,
    /// `any` is [`OtherMethods`], in middleware perhaps; this is its `Allow`, set at the end.
    refusing: Option<Rc<OnceCell<HeaderValue>>>,
    pub(crate) limits: Option<RouteLimits>,
    /// The root of a tree of files, whose own path ends with a slash.
    pub(crate) is_folder: bool,
    /// The server's, with `limits` in them; once the router is finished.
    effective: Option<Rc<Limits>>,
    /// For the watchdog.
    work: WorkName,
}

/// What answers a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    table: usize,
    route: usize,
    /// Among the route's methods.
    method: usize,
}

impl Found {
    /// No route fits. Also what is found before anything was looked for.
    pub(crate) const NOWHERE: Found = Found { table: 0, route: usize::MAX, method: usize::MAX };
}

impl Router {
    pub(crate) fn new(default: Table) -> Self {
        let fallback_work = WorkName::new("the fallback");
        Router { tables: vec![default], hosts: Vec::new(), fallback_work, on_error: None }
    }

    pub(crate) fn add_host(&mut self, pattern: HostPattern, table: Table) {
        self.hosts.push((pattern, self.tables.len()));
        self.tables.push(table);
    }

    /// Works out each route's limits from the server's.
    pub(crate) fn set_limits(&mut self, limits: &Rc<Limits>) {
        for route in self.tables.iter_mut().flat_map(|table| &mut table.routes) {
            route.effective = route.limits.as_ref().map(|own| Rc::new(own.within(limits)));
        }
    }

    /// The limits of a route that has its own.
    #[inline]
    pub(crate) fn limits_of(&self, found: Found) -> Option<&Rc<Limits>> {
        self.tables.get(found.table)?.routes.get(found.route)?.effective.as_ref()
    }

    /// What the watchdog calls that which answers.
    pub(crate) fn work_of(&self, found: Found) -> WorkName {
        let table = self.tables.get(found.table);
        table.and_then(|table| table.routes.get(found.route)).map_or(self.fallback_work, |route| route.work)
    }

    /// Finds what answers a request; its parameters' places go to `params`. The same head gives the
    /// same.
    #[inline]
    pub(crate) fn find(&self, head: &ParsedHead, bytes: &[u8], params: &mut ParamSpans) -> Found {
        params.clear();
        let table = if self.hosts.is_empty() { 0 } else { self.table_of(head, bytes) };
        let Some(routes) = self.tables.get(table) else { return Found::NOWHERE };
        match routes.find(head, bytes, params) {
            Some((route, method)) => Found { table, route, method },
            None => Found { table, ..Found::NOWHERE },
        }
    }

    fn table_of(&self, head: &ParsedHead, bytes: &[u8]) -> usize {
        let host = head.host.map(|host| host.of(bytes)).unwrap_or_default();
        let host = without_port(host);
        // Names in full go before wildcards.
        let fits = |wild: bool| {
            self.hosts.iter().find(|(pattern, _)| pattern.is_wild() == wild && pattern.fits(host))
        };
        fits(false).or_else(|| fits(true)).map_or(0, |(_, table)| *table)
    }

    /// What answers, and what the parameters of its route are called.
    #[inline]
    pub(crate) fn endpoint(&self, found: Found) -> (&dyn Endpoint, Option<&ParamNames>) {
        let Some(table) = self.tables.get(found.table) else { return (&NotFound, None) };
        match table.routes.get(found.route) {
            Some(route) => (route.endpoint(found.method), Some(&route.names)),
            None => (table.fallback(), None),
        }
    }

    /// 405 for a method that the server as a whole does not have.
    #[cold]
    pub(crate) fn refuse_method(&self) -> Response {
        let allow = self.tables.first().and_then(|table| table.allow.clone());
        let response = Response::plain(StatusCode::METHOD_NOT_ALLOWED);
        response.with_field(header::ALLOW, allow.unwrap_or(HeaderValue::from_static("")))
    }

    /// Lets [`App::on_error`](crate::App::on_error) render an answer that tells of an error. What has
    /// been added to the answer on its way stays.
    pub(crate) fn render_error(&self, response: &mut Response) {
        let (Some(on_error), true) = (&self.on_error, is_error(response)) else { return };
        let error = match std::mem::take(&mut response.parts.origin) {
            Origin::Error(error) => error,
            Origin::Status => HandlerError::status_only(response.parts.status),
            Origin::Handler => return,
        };
        // Rendering is the user's code, and there is nobody left to render its panic.
        let rendered =
            catch(|| on_error(&error)).unwrap_or_else(|| Response::plain(StatusCode::INTERNAL_SERVER_ERROR));
        drop_guarded(error);
        response.remove_header(&header::CONTENT_TYPE);
        response.parts.status = rendered.parts.status;
        response.parts.fields.extend(rendered.parts.fields);
        drop_guarded(std::mem::replace(&mut response.parts.body, rendered.parts.body));
    }
}

fn is_error(response: &Response) -> bool {
    let status = response.parts.status;
    (status.is_client_error() || status.is_server_error())
        && !matches!(response.parts.origin, Origin::Handler)
}

impl Table {
    /// The place of the route with this path, made if there is none.
    ///
    /// # Errors
    /// If the path is malformed or conflicts with another one.
    pub(crate) fn entry(&mut self, path: &str) -> Result<&mut Route, matchit::InsertError> {
        let at = match self.routes.iter().position(|route| &*route.path == path) {
            Some(at) => at,
            None => {
                let at = self.routes.len();
                self.paths.insert(path, at)?;
                if !path.contains(['{', '}']) {
                    self.fixed.insert(path.as_bytes().into(), at);
                }
                self.routes.push(Route::new(path));
                at
            }
        };
        Ok(&mut self.routes[at])
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub(crate) fn into_routes(self) -> (Vec<Route>, Option<Rc<dyn Endpoint>>) {
        (self.routes, self.fallback)
    }

    pub(crate) fn routes_mut(&mut self) -> &mut [Route] {
        &mut self.routes
    }

    /// Takes the fallback if there is none yet; whether it was taken.
    pub(crate) fn offer_fallback(&mut self, endpoint: Rc<dyn Endpoint>) -> bool {
        let is_first = self.fallback.is_none();
        self.fallback.get_or_insert(endpoint);
        is_first
    }

    /// Gives every route an answer for the methods that it lacks, and wraps all answers.
    pub(crate) fn finish(&mut self, wrap: &dyn Fn(Rc<dyn Endpoint>) -> Rc<dyn Endpoint>) {
        let has_fallback = self.fallback.is_some();
        self.allow = Some(allowed(&self.routes, has_fallback));
        for route in &mut self.routes {
            route.work = WorkName::new(&route.path);
            route.complete();
            route.wrap(wrap);
            if let Some(allow) = &route.refusing {
                // Set once: a table is finished once.
                let _ = allow.set(route.allowed());
            }
        }
        let fallback = self.fallback.take().unwrap_or_else(|| Rc::new(NotFound));
        let server = Rc::new(ServerWide { allow: self.allow.clone(), fallback });
        self.fallback = Some(wrap(server));
    }

    #[inline]
    fn find(&self, head: &ParsedHead, bytes: &[u8], params: &mut ParamSpans) -> Option<(usize, usize)> {
        let path = head.path.of(bytes);
        let route = match self.fixed.get(path) {
            Some(&route) => route,
            None => {
                let text = std::str::from_utf8(path).unwrap_or_default();
                let found = self.paths.at(text).ok()?;
                let base = bytes.as_ptr().addr();
                params.extend(found.params.iter().map(|(_, value)| Span::locate(base, value.as_bytes())));
                *found.value
            }
        };
        Some((route, self.routes[route].find(&head.method)))
    }

    #[cold]
    fn fallback(&self) -> &dyn Endpoint {
        self.fallback.as_deref().unwrap_or(&NotFound)
    }
}

impl Route {
    fn new(path: &str) -> Self {
        Route {
            path: path.into(),
            names: param_names(path),
            methods: Vec::new(),
            any: None,
            refusing: None,
            limits: None,
            is_folder: false,
            effective: None,
            work: WorkName::NONE,
        }
    }

    /// Adds an endpoint for a method, or for all that have none.
    ///
    /// # Errors
    /// If there is one already: for what.
    pub(crate) fn add(&mut self, method: Option<Method>, endpoint: Rc<dyn Endpoint>) -> Result<(), String> {
        match method {
            Some(method) if self.methods.iter().any(|(m, _)| *m == method) => return Err(method.to_string()),
            None if self.any.is_some() && self.refusing.is_none() => return Err("any method".to_owned()),
            Some(method) => self.methods.push((method, endpoint)),
            None => {
                self.any = Some(endpoint);
                self.refusing = None;
            }
        }
        Ok(())
    }

    pub(crate) fn wrap(&mut self, wrap: &dyn Fn(Rc<dyn Endpoint>) -> Rc<dyn Endpoint>) {
        for (_, endpoint) in &mut self.methods {
            *endpoint = wrap(Rc::clone(endpoint));
        }
        self.any = self.any.take().map(wrap);
    }

    /// Answers the methods that nobody has: with 405, `OPTIONS` with 204, and `Allow`.
    pub(crate) fn complete(&mut self) {
        if self.any.is_none() {
            let allow = Rc::default();
            self.refusing = Some(Rc::clone(&allow));
            self.any = Some(Rc::new(OtherMethods { allow }));
        }
    }

    /// Takes in what another app has for the same path.
    ///
    /// # Errors
    /// If both have something for a method: for which.
    pub(crate) fn take_in(&mut self, other: Route) -> Result<(), String> {
        for (method, endpoint) in other.methods {
            self.add(Some(method), endpoint)?;
        }
        match other.any {
            // Refusing is no handler: the other's gives way, and needs no second one.
            Some(endpoint) if self.any.is_none() || (self.refusing.is_some() && other.refusing.is_none()) => {
                self.any = Some(endpoint);
                self.refusing = other.refusing;
            }
            Some(endpoint) if other.refusing.is_none() => self.add(None, endpoint)?,
            _ => {}
        }
        if other.limits.is_some() {
            self.limits = other.limits;
        }
        self.is_folder |= other.is_folder;
        Ok(())
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
    #[inline]
    fn find(&self, method: &Method) -> usize {
        let own = |wanted: &Method| self.methods.iter().position(|(m, _)| m == wanted);
        let get = || if method == Method::HEAD { own(&Method::GET) } else { None };
        own(method).or_else(get).unwrap_or(usize::MAX)
    }

    #[inline]
    fn endpoint(&self, method: usize) -> &dyn Endpoint {
        match (self.methods.get(method), &self.any) {
            (Some((_, endpoint)), _) | (None, Some(endpoint)) => &**endpoint,
            (None, None) => &NotFound,
        }
    }
}

/// The methods of all routes.
fn allowed(routes: &[Route], has_fallback: bool) -> HeaderValue {
    let values: Vec<HeaderValue> = routes.iter().map(Route::allowed).collect();
    let mut names: Vec<&str> =
        values.iter().flat_map(|value| value.to_str().unwrap_or_default().split(", ")).collect();
    if has_fallback || routes.iter().any(|route| route.any.is_some() && route.refusing.is_none()) {
        // These decide by themselves; what nearly every one of them has:
        names.extend(["GET", "HEAD"]);
    }
    names.push("OPTIONS");
    names.sort_unstable();
    names.dedup();
    HeaderValue::try_from(names.join(", ")).expect("methods are tokens")
}

struct NotFound;

impl Endpoint for NotFound {
    fn call(&self, _: Incoming<'_>) -> Outcome {
        Outcome::Ready(Response::plain(StatusCode::NOT_FOUND))
    }
}

/// What is about no route: `OPTIONS *` (RFC 9110, 9.3.7), and paths that no route fits.
struct ServerWide {
    allow: Option<HeaderValue>,
    fallback: Rc<dyn Endpoint>,
}

impl Endpoint for ServerWide {
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        match &self.allow {
            Some(allow) if incoming.head().path() == "*" => {
                let answer = Response::empty(StatusCode::NO_CONTENT);
                Outcome::Ready(answer.with_field(header::ALLOW, allow.clone()))
            }
            _ => self.fallback.call(incoming),
        }
    }
}

struct OtherMethods {
    allow: Rc<OnceCell<HeaderValue>>,
}

impl Endpoint for OtherMethods {
    #[cold]
    fn call(&self, incoming: Incoming<'_>) -> Outcome {
        let response = match *incoming.head().method() {
            Method::OPTIONS => Response::empty(StatusCode::NO_CONTENT),
            _ => Response::plain(StatusCode::METHOD_NOT_ALLOWED),
        };
        let allow = self.allow.get().cloned();
        Outcome::Ready(response.with_field(header::ALLOW, allow.unwrap_or(HeaderValue::from_static(""))))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_fit_by_name_and_by_domain() {
        let fits = |pattern: &str, host: &str| {
            HostPattern::new(pattern).unwrap().fits(without_port(host.as_bytes()))
        };
        assert!(fits("Example.com", "example.COM:8080") && fits("example.com", "example.com."));
        assert!(fits("[::1]", "[::1]:80") && fits("[::1]", "[::1]"));
        assert!(!fits("example.com", "www.example.com") && !fits("example.com", ""));
        assert!(fits("*.example.com", "a.b.example.com:1") && !fits("*.example.com", "example.com"));
        assert!(!fits("*.example.com", "badexample.com"));
    }

    #[test]
    fn patterns_that_would_fit_no_host_are_refused() {
        for pattern in ["", "*", "*.", "a.example:80", "a.example.", "http://a.example", "a.*.example", "a b"]
        {
            assert!(HostPattern::new(pattern).is_err(), "{pattern:?}");
        }
    }
}

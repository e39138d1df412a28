//! Who asks, and in which form they are answered.

use super::{
    Site,
    page::{self, Message},
    sessions::{self, DAYS, Digest, Token},
};
use lakh::http::{
    HandlerError, HandlerResult, Head, Html, IntoResponse, Redirect, Request, Response, Scheme, StatusCode,
    cookies::{Cookie, Cookies, time::Duration},
    extract::FromHead,
    header,
    middleware::Next,
};

/// A cookie with what has been done, until the page has said it.
const NOTE: &str = "note";

/// A handler's parameter: `Extension<Visitor>`.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// Of the account whose session it is.
    name: Option<String>,
    cookies: Cookies,
    cookie: &'static str,
    reads_html: bool,
}

/// Middleware: finds out who asks, and tells browsers of errors on the page that they have come from.
pub(crate) async fn visit(site: Site, mut request: Request, next: Next) -> Response {
    let mut visitor = Visitor::new(&request.head());
    let path = request.head().path().to_owned();
    let mut response = match visitor.find_name(&site).await {
        Ok(()) => {
            request.insert_extension(visitor.clone());
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if visitor.reads_html {
        response = visitor.page_of_error(response, &path);
    }
    response.with_header(header::CACHE_CONTROL, "no-store")
}

impl Visitor {
    fn new(head: &Head<'_>) -> Self {
        let Ok(cookies) = Cookies::from_head(head, &());
        // Browsers take the prefix over HTTPS only, and then from this host alone.
        let cookie = match head.client_scheme() {
            Scheme::Https => "__Host-session",
            Scheme::Http => "session",
        };
        let accepts = head.header(header::ACCEPT).and_then(|accepts| str::from_utf8(accepts).ok());
        let reads_html = accepts.is_some_and(|accepts| accepts.contains("text/html"));
        Visitor { name: None, cookies, cookie, reads_html }
    }

    async fn find_name(&mut self, site: &Site) -> HandlerResult<()> {
        if let Some(digest) = self.session() {
            self.name = site.database.read(move |connection| sessions::user(connection, &digest)).await?;
        }
        Ok(())
    }

    pub(crate) fn session(&self) -> Option<Digest> {
        self.cookies.value(self.cookie).map(sessions::digest)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// 401 for who is not logged in.
    pub(crate) fn known_name(&self) -> HandlerResult<&str> {
        self.name().ok_or_else(|| HandlerError::new(StatusCode::UNAUTHORIZED, "log in first"))
    }

    pub(crate) fn begin(mut self, token: &Token) -> Self {
        let cookie = Cookie::build((self.cookie, token.as_str().to_owned())).max_age(Duration::days(DAYS));
        self.cookies = self.cookies.add(cookie);
        self
    }

    pub(crate) fn end(mut self) -> Self {
        self.cookies = self.cookies.remove(self.cookie);
        self
    }

    /// Has the next page say that the password is changed, for who looks at pages.
    pub(crate) fn note_change(mut self) -> Self {
        if self.reads_html {
            self.cookies = self.cookies.add(Cookie::build((NOTE, "changed")).max_age(Duration::MINUTE));
        }
        self
    }

    /// The page, which says once what is noted.
    pub(crate) fn page(self) -> Response {
        let message = match self.cookies.value(NOTE) {
            Some("changed") => Message::Done("your password is changed"),
            _ => Message::None,
        };
        let page = Html(page::render(self.name(), &message));
        (self.cookies.remove(NOTE), page).into_response()
    }

    /// What was asked for is done: programs are told this, and browsers go back to the page.
    pub(crate) fn tell(self, status: StatusCode, what: impl IntoResponse) -> Response {
        match self.reads_html {
            true => (self.cookies, Redirect::see_other("/")).into_response(),
            false => (status, self.cookies, what).into_response(),
        }
    }

    /// An error as a page, with the fields that it has. Its cause is for the log.
    fn page_of_error(&self, response: Response, path: &str) -> Response {
        let Some(error) = response.error() else { return response };
        super::log(error);
        let problem = Message::Problem { form: path, text: error.message() };
        let page = Html(page::render(self.name(), &problem));
        let page = page.into_response().with_status(response.status());
        let others = response.headers().filter(|(name, _)| **name != header::CONTENT_TYPE);
        others.fold(page, |page, (name, value)| page.with_header(name, value))
    }
}

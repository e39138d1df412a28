//! Cookies: plain ones, signed ones, private ones (RFC 6265).
//!
//! [`Cookies`] is a parameter of handlers that holds what the client has sent. Given back as a part of
//! the answer, it tells the client what has been added and removed.
//!
//! ```
//! use lakh_http::{App, cookies::Cookies};
//!
//! let app = App::new().get("/", |cookies: Cookies| {
//!     let visits: u32 = cookies.value("visits").and_then(|visits| visits.parse().ok()).unwrap_or(0);
//!     let cookies = cookies.add(("visits", (visits + 1).to_string()));
//!     (cookies, format!("you were here {visits} times"))
//! });
//! ```
//!
//! Clients can read and forge plain cookies. [`SignedCookies`] can be read and not forged,
//! [`PrivateCookies`] neither; both want a [`Key`] in the app's state, and the feature `secure-cookies`,
//! which is on by default. Whatever their kind, clients can send old cookies again: what must end by a
//! time says so in its value.
//!
//! # What is added to new cookies
//!
//! Where a cookie does not say otherwise, it gets
//!
//! - `HttpOnly`: scripts of the page do not see it; [`Cookie::set_http_only`]`(false)` leaves it out,
//! - `SameSite=Lax`: other sites' forms and scripts do not send it along,
//! - `Path=/`: it is for the whole site,
//! - `Secure`, if its name begins with `__Host-` or `__Secure-`: browsers take these in no other way
//!   (RFC 6265bis, 4.1.3).
//!
//! A site that is reached by HTTPS alone should set `Secure` on all of them. Without `Max-Age` or
//! `Expires` a cookie lasts as long as the browser's session. Names and values are percent-encoded on
//! their way out and decoded on their way in, so that any text is a legal value.

#[cfg(feature = "secure-cookies")]
mod secure;

#[cfg(feature = "secure-cookies")]
pub use ::cookie::Key;
pub use ::cookie::{Cookie, CookieBuilder, Expiration, SameSite, time};
#[cfg(feature = "secure-cookies")]
pub use secure::{PrivateCookies, SignedCookies};

use crate::{
    HandlerError, Response,
    extract::FromHead,
    into_response::{HeaderFields, IntoResponse},
    request::Head,
};
use ::cookie::CookieJar;
use http::{HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;
use std::convert::Infallible;

/// The cookies of a request, and those of its answer.
///
/// As a parameter it is never refused: what is no cookie in a malformed `Cookie` field is left out. Of two
/// with one name the first counts, which has the longer path (RFC 6265, 5.4).
///
/// In the answer, `(cookies, body)`, it adds a `Set-Cookie` field for each change and leaves those of
/// others in place. The [module](self) says what new cookies get by default.
#[derive(Debug, Clone, Default)]
pub struct Cookies {
    jar: CookieJar,
}

impl Cookies {
    /// The cookie of this name: sent by the client, or added.
    pub fn get(&self, name: &str) -> Option<&Cookie<'static>> {
        self.jar.get(name)
    }

    /// The value of the cookie of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(Cookie::value)
    }

    /// All cookies, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Cookie<'static>> {
        self.jar.iter()
    }

    /// Lets the answer set a cookie: a [`Cookie`], or a name and a value.
    ///
    /// ```
    /// use lakh_http::cookies::{Cookie, Cookies, time::Duration};
    ///
    /// let theme = Cookie::build(("theme", "dark")).max_age(Duration::days(365)).http_only(false);
    /// let cookies = Cookies::default().add(theme).add(("seen", "yes"));
    /// assert_eq!(cookies.value("theme"), Some("dark"));
    /// assert_eq!(cookies.get("seen").unwrap().http_only(), Some(true));
    /// ```
    #[allow(clippy::should_implement_trait)] // nothing is summed up
    pub fn add(mut self, cookie: impl Into<Cookie<'static>>) -> Self {
        self.jar.add(completed(cookie.into()));
        self
    }

    /// Lets the answer end a cookie that the client has sent. Domain and path have to be those it was
    /// set with; without a path: `/`.
    ///
    /// ```
    /// use lakh_http::{App, cookies::Cookies};
    ///
    /// let app = App::new().post("/logout", |cookies: Cookies| cookies.remove("session"));
    /// ```
    pub fn remove(mut self, cookie: impl Into<Cookie<'static>>) -> Self {
        self.jar.remove(completed(cookie.into()));
        self
    }
}

impl<S> FromHead<S> for Cookies {
    type Rejection = Infallible;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, Infallible> {
        Ok(Cookies { jar: jar_of(head) })
    }
}

impl HeaderFields for Cookies {
    /// `Set-Cookie` for each change.
    fn into_fields(self) -> Result<Vec<(HeaderName, HeaderValue)>, HandlerError> {
        changes_of(&self.jar)
    }
}

impl IntoResponse for Cookies {
    /// 200 with no body.
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

/// What the client has sent.
fn jar_of(head: &Head<'_>) -> CookieJar {
    let mut jar = CookieJar::new();
    let fields = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    for pair in fields.flat_map(|(_, value)| value.split(|&byte| byte == b';')) {
        let Ok(pair) = std::str::from_utf8(pair) else { continue };
        let Some(cookie) = parse(pair.trim()) else { continue };
        if jar.get(cookie.name()).is_none() {
            jar.add_original(cookie.into_owned());
        }
    }
    jar
}

/// A name is what was sent: browsers look at no more to keep foreign hosts from setting `__Host-` names.
fn parse(pair: &str) -> Option<Cookie<'_>> {
    let mut cookie = Cookie::parse(pair).ok()?;
    let value = percent_decode_str(cookie.value()).decode_utf8().ok()?.into_owned();
    cookie.set_value(value);
    Some(cookie)
}

/// The cookie with what it does not say by itself.
fn completed(mut cookie: Cookie<'static>) -> Cookie<'static> {
    if cookie.http_only().is_none() {
        cookie.set_http_only(true);
    }
    if cookie.same_site().is_none() {
        cookie.set_same_site(SameSite::Lax);
    }
    if cookie.path().is_none() {
        cookie.set_path("/");
    }
    let is_prefixed = ["__Host-", "__Secure-"].iter().any(|prefix| cookie.name().starts_with(prefix));
    if is_prefixed && cookie.secure().is_none() {
        cookie.set_secure(true);
    }
    cookie
}

/// A `Set-Cookie` field for each change; an error for what is not legal in one.
fn changes_of(jar: &CookieJar) -> Result<Vec<(HeaderName, HeaderValue)>, HandlerError> {
    jar.delta().map(|cookie| Ok((header::SET_COOKIE, set_cookie(cookie)?))).collect()
}

fn set_cookie(cookie: &Cookie<'_>) -> Result<HeaderValue, HandlerError> {
    let illegal = || HandlerError::internal(format!("the cookie {:?} is not legal", cookie.name()));
    // The value is encoded; these would begin another attribute.
    let smuggles = |text: Option<&str>| text.is_some_and(|text| text.contains(';'));
    if smuggles(cookie.path()) || smuggles(cookie.domain()) || cookie.name().is_empty() {
        return Err(illegal());
    }
    let text = cookie.encoded().to_string();
    // A name that would have to be encoded would come back as another one.
    let keeps_name = text.strip_prefix(cookie.name()).is_some_and(|rest| rest.starts_with('='));
    if !keeps_name {
        return Err(illegal());
    }
    HeaderValue::try_from(text).map_err(|_| illegal())
}

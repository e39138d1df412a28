//! Who asks: the `Authorization` header field, and a check that the service brings along.

use super::{Middleware, Next};
use crate::{HandlerError, HandlerResult, Head, IntoResponse, Request, Response};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use http::{HeaderValue, StatusCode, header};
use std::{fmt, future::Future, marker::PhantomData, rc::Rc};

/// The name and password that a request comes with.
#[derive(Clone)]
pub struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// The name; whoever asks has only claimed it so far.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Whether this is the password, by [`constant_time_eq`].
    pub fn password_is(&self, password: &str) -> bool {
        constant_time_eq(self.password.as_bytes(), password.as_bytes())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The token that a request comes with.
#[derive(Clone)]
pub struct BearerToken(String);

impl BearerToken {
    /// As it was sent: visible ASCII.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the token, by [`constant_time_eq`].
    pub fn is(&self, token: &str) -> bool {
        constant_time_eq(self.0.as_bytes(), token.as_bytes())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}

/// Compares secrets in a time that tells where they differ to nobody; it does tell whether their lengths are
/// the same.
///
/// ```
/// use lakh_http::middleware::constant_time_eq;
///
/// assert!(constant_time_eq(b"secret", b"secret"));
/// assert!(!constant_time_eq(b"secret", b"Secret"));
/// ```
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    // The box keeps the compiler from leaving at the first difference.
    let different = a.iter().zip(b).fold(0, |different, (a, b)| std::hint::black_box(different | (a ^ b)));
    a.len() == b.len() && different == 0
}

/// A plain or async function that knows who may come in: of [`Credentials`] or [`BearerToken`], to the user
/// or `None`. With [`HandlerResult`] around it, an error (a database that is gone, a user that is locked out)
/// becomes the answer. `Form` is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no check of `{Given}`",
    note = "a check is a plain or an async function of `{Given}` that gives `Option<User>` or `HandlerResult<Option<User>>`"
)]
pub trait Check<Given, Form>: 'static {
    /// Who it is; a handler gets a clone by [`Extension`](crate::extract::Extension).
    type User: 'static;

    /// Looks whether they may come in.
    fn check(&self, given: Given) -> impl Future<Output = HandlerResult<Option<Self::User>>> + 'static;
}

/// What a [`Check`] gives: the user or `None`, or such a [`HandlerResult`].
pub trait Verdict {
    /// Who it is.
    type User: 'static;

    /// The verdict as a result.
    ///
    /// # Errors
    /// What the client is told if it could not be found out.
    fn into_result(self) -> HandlerResult<Option<Self::User>>;
}

impl<U: 'static> Verdict for Option<U> {
    type User = U;

    fn into_result(self) -> HandlerResult<Self> {
        Ok(self)
    }
}

impl<U: 'static> Verdict for HandlerResult<Option<U>> {
    type User = U;

    fn into_result(self) -> Self {
        self
    }
}

mod form {
    #![allow(missing_debug_implementations, unreachable_pub)]

    pub struct Plain;
    pub struct Async;
    pub struct Passwords;
}

impl<F, Given, V> Check<Given, form::Plain> for F
where
    F: Fn(Given) -> V + 'static,
    V: Verdict + 'static,
{
    type User = V::User;

    fn check(&self, given: Given) -> impl Future<Output = HandlerResult<Option<V::User>>> + 'static {
        std::future::ready(self(given).into_result())
    }
}

impl<F, Given, Fut> Check<Given, form::Async> for F
where
    F: Fn(Given) -> Fut + 'static,
    Fut: Future<Output: Verdict> + 'static,
{
    type User = <Fut::Output as Verdict>::User;

    fn check(&self, given: Given) -> impl Future<Output = HandlerResult<Option<Self::User>>> + 'static {
        let verdict = self(given);
        async move { verdict.await.into_result() }
    }
}

impl<F, Fut, E> Check<Credentials, form::Passwords> for F
where
    F: Fn(&str, &str) -> Fut + 'static,
    Fut: Future<Output = Result<bool, E>> + 'static,
    E: Into<HandlerError>,
{
    type User = UserName;

    fn check(&self, given: Credentials) -> impl Future<Output = HandlerResult<Option<UserName>>> + 'static {
        let verdict = self(&given.name, &given.password);
        async move { Ok(verdict.await.map_err(Into::into)?.then(|| UserName(given.name.into()))) }
    }
}

/// The name of who has come in by [`BasicAuth::passwords`]: an [`Extension`](crate::extract::Extension) of the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(Rc<str>);

impl UserName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lets in whoever has a name and a password that a [`Check`] accepts (RFC 7617); others get 401.
///
/// Only over TLS: the password is sent as it is with every request. For passwords that are stored hashed there is
/// [`passwords`](Self::passwords).
///
/// ```
/// use lakh_http::{App, extract::Extension, middleware::{BasicAuth, Credentials}};
///
/// #[derive(Clone)]
/// struct Admin(String);
///
/// let app = App::new()
///     .get("/", |Extension(admin): Extension<Admin>| format!("hello, {}", admin.0))
///     .wrap(BasicAuth::new("administration", |given: Credentials| {
///         let is_admin = given.password_is("correct horse") && given.name() == "root";
///         is_admin.then(|| Admin(given.name().to_owned()))
///     }));
/// ```
pub struct BasicAuth<C, Form> {
    check: C,
    challenge: HeaderValue,
    form: PhantomData<Form>,
}

impl<C: Check<Credentials, Form>, Form> BasicAuth<C, Form> {
    /// Browsers show the realm to whom they ask for the password.
    ///
    /// # Panics
    /// If the realm is not legal in a header.
    #[track_caller]
    pub fn new(realm: &str, check: C) -> Self {
        let challenge = challenge(&format!("Basic realm={}, charset=\"UTF-8\"", quoted(realm)));
        BasicAuth { check, challenge, form: PhantomData }
    }
}

impl<V, Fut, E> BasicAuth<V, form::Passwords>
where
    V: Fn(&str, &str) -> Fut + 'static,
    Fut: Future<Output = Result<bool, E>> + 'static,
    E: Into<HandlerError>,
{
    /// Lets in whose password the verifier of names and passwords finds right; handlers get the [`UserName`].
    ///
    /// Made for `lakh::password::Htpasswd`, which hashes on the pool, for unknown names, too, and bounds how many
    /// wait for it. What it refuses becomes the answer: 503 with `Retry-After` where the pool, or a bound before it,
    /// is full.
    ///
    /// ```
    /// use lakh_http::{App, extract::Extension, middleware::{BasicAuth, UserName}};
    /// # #[derive(Clone)]
    /// # struct Htpasswd;
    /// # impl Htpasswd {
    /// #     fn verify(&self, _: &str, _: &str) -> impl Future<Output = std::io::Result<bool>> + use<> {
    /// #         std::future::ready(Ok(true))
    /// #     }
    /// # }
    /// # let users = Htpasswd;
    ///
    /// // let users = lakh::password::Htpasswd::open("users")?;
    /// let app = App::new()
    ///     .get("/", |Extension(user): Extension<UserName>| format!("hello, {user}"))
    ///     .wrap(BasicAuth::passwords("staff", move |name, password| users.verify(name, password)));
    /// ```
    ///
    /// # Panics
    /// If the realm is not legal in a header.
    #[track_caller]
    pub fn passwords(realm: &str, verify: V) -> Self {
        BasicAuth::new(realm, verify)
    }
}

impl<C, Form> fmt::Debug for BasicAuth<C, Form> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

impl<C: Check<Credentials, Form>, Form: 'static> Middleware for BasicAuth<C, Form> {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        match credentials(&request.head()) {
            Some(given) => let_in(self.check.check(given).await, &self.challenge, request, next).await,
            None => unauthorized(&self.challenge),
        }
    }
}

/// Lets in whoever has a token that a [`Check`] accepts (RFC 6750); others get 401.
///
/// ```
/// use lakh_http::{App, HandlerResult, extract::Extension, middleware::{BearerAuth, BearerToken}};
/// # async fn user_of(token: &str) -> std::io::Result<Option<u64>> { Ok(Some(1)) }
///
/// #[derive(Clone)]
/// struct UserId(u64);
///
/// async fn user(token: BearerToken) -> HandlerResult<Option<UserId>> {
///     Ok(user_of(token.as_str()).await?.map(UserId))
/// }
///
/// let app = App::new()
///     .get("/", |Extension(user): Extension<UserId>| format!("hello, {}", user.0))
///     .wrap(BearerAuth::new("api", user));
/// ```
pub struct BearerAuth<C, Form> {
    check: C,
    /// For requests without a token, and for those with one that was not accepted.
    missing: HeaderValue,
    refused: HeaderValue,
    form: PhantomData<Form>,
}

impl<C: Check<BearerToken, Form>, Form> BearerAuth<C, Form> {
    /// The realm tells clients which of their tokens is asked for.
    ///
    /// # Panics
    /// If the realm is not legal in a header.
    #[track_caller]
    pub fn new(realm: &str, check: C) -> Self {
        let realm = quoted(realm);
        let missing = challenge(&format!("Bearer realm={realm}"));
        let refused = challenge(&format!("Bearer realm={realm}, error=\"invalid_token\""));
        BearerAuth { check, missing, refused, form: PhantomData }
    }
}

impl<C, Form> fmt::Debug for BearerAuth<C, Form> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth").field("challenge", &self.missing).finish_non_exhaustive()
    }
}

impl<C: Check<BearerToken, Form>, Form: 'static> Middleware for BearerAuth<C, Form> {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        match bearer_token(&request.head()) {
            Some(given) => let_in(self.check.check(given).await, &self.refused, request, next).await,
            None => unauthorized(&self.missing),
        }
    }
}

async fn let_in<U: 'static>(
    verdict: HandlerResult<Option<U>>,
    challenge: &HeaderValue,
    mut request: Request,
    next: Next,
) -> Response {
    match verdict {
        Ok(Some(user)) => {
            request.insert_extension(user);
            next.run(request).await
        }
        Ok(None) => unauthorized(challenge),
        Err(error) => error.into_response(),
    }
}

fn unauthorized(challenge: &HeaderValue) -> Response {
    HandlerError::status_only(StatusCode::UNAUTHORIZED)
        .with_header(header::WWW_AUTHENTICATE, challenge.clone())
        .into_response()
}

/// What follows the scheme, which has no case. A field that comes twice counts as none.
fn authorization<'a>(head: &Head<'a>, scheme: &str) -> Option<&'a str> {
    let mut fields = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let (Some((_, value)), None) = (fields.next(), fields.next()) else { return None };
    let (given, rest) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}

/// The name ends at the first colon (RFC 7617, 2).
fn credentials(head: &Head<'_>) -> Option<Credentials> {
    let decoded = BASE64.decode(authorization(head, "Basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some(Credentials { name: name.to_owned(), password: password.to_owned() })
}

fn bearer_token(head: &Head<'_>) -> Option<BearerToken> {
    let token = authorization(head, "Bearer")?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| BearerToken(token.to_owned()))
}

/// A quoted string (RFC 9110, 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[track_caller]
fn challenge(text: &str) -> HeaderValue {
    text.parse().unwrap_or_else(|_| panic!("the realm is not legal in a header: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_or_not() {
        for (a, b) in [("", "a"), ("a", ""), ("ab", "a"), ("ab", "ac"), ("ba", "ca"), ("\0", "")] {
            assert!(!constant_time_eq(a.as_bytes(), b.as_bytes()), "{a:?} {b:?}");
        }
        assert!(constant_time_eq(b"", b"") && constant_time_eq(b"abc", b"abc"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let given = Credentials { name: "ada".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{given:?} {:?}", BearerToken("secret".to_owned())).contains("secret"));
    }
}

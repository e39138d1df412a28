//! Cookies that clients cannot forge.

use super::{Cookie, Key, changes_of, completed, jar_of};
use crate::{
    HandlerError, Response,
    extract::{FromHead, FromState},
    into_response::{HeaderFields, IntoResponse},
    request::Head,
};
use ::cookie::CookieJar;
use http::{HeaderName, HeaderValue};
use std::{convert::Infallible, fmt};

/// Cookies with a signature (HMAC-SHA256): clients can read them, and cannot make or change them.
///
/// What is not signed with the app's [`Key`], by this name, is as if it had not been sent. Otherwise as
/// [`Cookies`](super::Cookies); they may stand beside each other in one answer.
///
/// ```
/// use lakh_http::{App, HandlerError, StatusCode, cookies::{Key, SignedCookies}, extract::FromState};
///
/// struct Service {
///     key: Key,
/// }
///
/// impl FromState<Service> for Key {
///     fn from_state(service: &Service) -> Self {
///         service.key.clone()
///     }
/// }
///
/// // The same on every shard, and after a restart: 64 random bytes out of the configuration.
/// let key = Key::from(&[7; 64]);
/// let app = App::with_state(Service { key })
///     .post("/login", |cookies: SignedCookies| (cookies.add(("user", "17")), "welcome"))
///     .get("/me", |cookies: SignedCookies| match cookies.value("user") {
///         Some(user) => Ok(format!("you are {user}")),
///         None => Err(HandlerError::new(StatusCode::UNAUTHORIZED, "log in first")),
///     });
/// ```
#[derive(Clone)]
pub struct SignedCookies {
    jar: CookieJar,
    key: Key,
}

/// Cookies that are encrypted and signed (AES-256-GCM): clients can neither read nor make nor change them.
///
/// What does not open with the app's [`Key`], by this name, is as if it had not been sent. Otherwise as
/// [`SignedCookies`].
#[derive(Clone)]
pub struct PrivateCookies {
    jar: CookieJar,
    key: Key,
}

macro_rules! with_a_key {
    ($($cookies:ident $open:ident $seal:ident $binds_name:literal;)*) => { $(
        impl $cookies {
            /// The cookie of this name with its plain value: sent by the client, or added. `None` if it is
            /// not genuine.
            pub fn get(&self, name: &str) -> Option<Cookie<'static>> {
                let mut cookie = self.jar.$open(&self.key).get(name)?;
                if $binds_name {
                    let value = cookie.value().strip_prefix(name)?.strip_prefix('=')?.to_owned();
                    cookie.set_value(value);
                }
                Some(cookie)
            }

            /// The plain value of the cookie of this name. `None` if it is not genuine.
            pub fn value(&self, name: &str) -> Option<String> {
                self.get(name).map(|cookie| cookie.value().to_owned())
            }

            /// Lets the answer set a cookie, with defaults as in [`Cookies::add`](super::Cookies::add).
            #[allow(clippy::should_implement_trait)] // nothing is summed up
            pub fn add(mut self, cookie: impl Into<Cookie<'static>>) -> Self {
                let mut cookie = completed(cookie.into());
                if $binds_name {
                    let value = format!("{}={}", cookie.name(), cookie.value());
                    cookie.set_value(value);
                }
                self.jar.$seal(&self.key).add(cookie);
                self
            }

            /// Lets the answer end a cookie that the client has sent, as
            /// [`Cookies::remove`](super::Cookies::remove) does.
            pub fn remove(mut self, cookie: impl Into<Cookie<'static>>) -> Self {
                self.jar.remove(completed(cookie.into()));
                self
            }
        }

        impl<S> FromHead<S> for $cookies
        where
            Key: FromState<S>,
        {
            type Rejection = Infallible;

            fn from_head(head: &Head<'_>, state: &S) -> Result<Self, Infallible> {
                Ok($cookies { jar: jar_of(head), key: Key::from_state(state) })
            }
        }

        impl HeaderFields for $cookies {
            /// `Set-Cookie` for each change.
            fn into_fields(self) -> Result<Vec<(HeaderName, HeaderValue)>, HandlerError> {
                changes_of(&self.jar)
            }
        }

        impl IntoResponse for $cookies {
            /// 200 with no body.
            fn into_response(self) -> Response {
                (self, ()).into_response()
            }
        }

        impl fmt::Debug for $cookies {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($cookies)).finish_non_exhaustive()
            }
        }
    )* };
}

with_a_key! {
    // The signature covers the value alone, so the name is a part of it.
    SignedCookies signed signed_mut true;
    PrivateCookies private private_mut false;
}

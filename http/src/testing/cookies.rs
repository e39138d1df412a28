//! Cookies that are kept from one request to the next.

use http::{HeaderMap, HeaderValue, header};
use std::time::SystemTime;

/// Names and values, in the order in which they came. Paths, domains and flags do not count: there is one
/// service and one client.
#[derive(Debug, Default)]
pub(super) struct Jar(Vec<(String, String)>);

impl Jar {
    /// The value of `Cookie`, if there are any.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let is_empty = pairs.is_empty();
        (!is_empty).then(|| HeaderValue::try_from(pairs.join("; ")).expect("cookies came from a header"))
    }

    /// Takes in what an answer sets, and forgets what it deletes.
    pub(super) fn store(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("a Set-Cookie of visible ASCII");
            let mut parts = cookie.split(';').map(str::trim);
            let pair = parts.next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.unwrap_or_else(|| panic!("Set-Cookie without a name: {cookie:?}"));
            let place = self.0.iter().position(|(known, _)| known == name);
            match (place, parts.any(is_over)) {
                (Some(place), false) => self.0[place].1 = value.to_owned(),
                (None, false) => self.0.push((name.to_owned(), value.to_owned())),
                (Some(place), true) => drop(self.0.remove(place)),
                (None, true) => {}
            }
        }
    }
}

/// Whether the attribute ends the cookie's life now (RFC 6265, 5.2.1 and 5.2.2).
fn is_over(attribute: &str) -> bool {
    let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
    if name.eq_ignore_ascii_case("max-age") {
        value.parse::<i64>().is_ok_and(|seconds| seconds <= 0)
    } else {
        name.eq_ignore_ascii_case("expires")
            && httpdate::parse_http_date(value).is_ok_and(|date| date <= SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(jar: &mut Jar, cookie: &'static str) -> Option<String> {
        let headers = [(header::SET_COOKIE, HeaderValue::from_static(cookie))];
        jar.store(&headers.into_iter().collect());
        jar.header().map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_are_set_replaced_and_deleted() {
        let mut jar = Jar::default();
        assert_eq!(stored(&mut jar, "a=1; Path=/; HttpOnly").as_deref(), Some("a=1"));
        assert_eq!(stored(&mut jar, "b=2; Max-Age=60").as_deref(), Some("a=1; b=2"));
        assert_eq!(stored(&mut jar, "a=3").as_deref(), Some("a=3; b=2"));
        assert_eq!(stored(&mut jar, "a=; Max-Age=0").as_deref(), Some("b=2"));
        assert_eq!(stored(&mut jar, "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), None);
    }
}

//! The page: one file, which asks for nothing but `snapshot` and `inspect` beside it.

use crate::{IntoResponse, Response};
use http::{HeaderValue, header};

macro_rules! style {
    () => {
        include_str!("page.css")
    };
}
macro_rules! script {
    () => {
        include_str!("page.js")
    };
}

const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
     <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Inside</title>\n\
     <link rel=\"icon\" href=\"data:,\">\n<style>",
    style!(),
    include_str!("page.html"),
    script!(),
    "</script>\n</body>\n</html>\n"
);

/// Nothing but the style and the script that stand in the page, and this server's own answers. `data:` is the icon,
/// which is none.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; style-src 'sha256-9e3wOuTlzEbP45uM/9rJLll/JBthCR1aMv3jLsZQ5b0='; \
     script-src 'sha256-wOTercGkf/NyyKzDnV0HDkKK1H1YFwLSbxps44lyUHE='";

pub(super) fn page() -> Response {
    let mut response = PAGE.into_response();
    response.set_header(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.set_header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.set_header(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response.set_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_knows_what_stands_in_the_page() {
        for (tag, text) in [("style", style!()), ("script", script!())] {
            let inner =
                PAGE.split(&format!("<{tag}>")).nth(1).unwrap().split(&format!("</{tag}>")).next().unwrap();
            assert_eq!(inner.trim_start_matches('\n'), text);
            let hash = format!("{tag}-src 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(inner)));
            assert!(POLICY.contains(&hash), "the policy has to have {hash}");
        }
    }

    #[test]
    fn the_page_asks_nobody_else() {
        for (at, _) in PAGE.match_indices("://") {
            assert!(PAGE[at..].starts_with("://www.w3.org/2000/svg\""), "{}", &PAGE[at - 20..at + 40]);
        }
    }
}

//! When the start page of an application stands in for a page that has no file.
//!
//! An application that runs in the browser makes up addresses, and the server answers them with the start page.
//! Answering a missing script or picture so would hide the mistake behind a page of the wrong type.

use std::path::Path;

use http::Method;

use crate::files::mime::content_type;

/// Whether a request for a file that does not exist asks for a page. `accept` are the lines of `Accept`,
/// `fetch_mode` is the value of `Sec-Fetch-Mode`, which browsers send to sites they trust (HTTPS, localhost).
pub(crate) fn is_navigation<'a>(
    method: &Method,
    path: &Path,
    accept: impl IntoIterator<Item = &'a [u8]>,
    fetch_mode: Option<&[u8]>,
) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && !is_asset(path)
        && fetch_mode.is_none_or(|mode| mode.trim_ascii() == b"navigate")
        && accept.into_iter().any(wants_html)
}

/// A name of something that pages load, and that is no page.
fn is_asset(path: &Path) -> bool {
    let essence = content_type(path).split(';').next().unwrap_or_default();
    let family = essence.split('/').next().unwrap_or_default();
    matches!(family, "image" | "font" | "audio" | "video")
        || matches!(essence, "text/javascript" | "text/css" | "application/json" | "application/wasm")
        || essence == "application/manifest+json"
}

/// Names HTML itself, not just anything, and not with `q=0`.
fn wants_html(accept: &[u8]) -> bool {
    accept.split(|&byte| byte == b',').any(|element| {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let is_html =
            [&b"text/html"[..], b"application/xhtml+xml"].iter().any(|html| range.eq_ignore_ascii_case(html));
        is_html && !parts.any(is_refusal)
    })
}

/// `q=0`, `q=0.`, up to `q=0.000`.
fn is_refusal(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0'] => true,
        [b'q' | b'Q', b'=', b'0', b'.', zeros @ ..] => zeros.iter().all(|&digit| digit == b'0'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

    fn asks_for_page(method: &Method, path: &str, accept: &[&str], fetch_mode: Option<&str>) -> bool {
        let lines = accept.iter().map(|line| line.as_bytes());
        is_navigation(method, Path::new(path), lines, fetch_mode.map(str::as_bytes))
    }

    #[test]
    fn a_browser_that_opens_an_address_asks_for_a_page() {
        for path in [".", "users/7", "users/jane.doe", "old.html", "sites/example.com"] {
            assert!(asks_for_page(&Method::GET, path, &[BROWSER], Some("navigate")), "{path}");
            assert!(asks_for_page(&Method::HEAD, path, &[BROWSER], None), "{path}");
        }
    }

    #[test]
    fn what_pages_load_is_no_page() {
        for path in
            ["app.js", "app.MJS", "a.css", "a.json", "a.map", "a.wasm", "a.png", "a.svg", "a.woff2", "a.mp4"]
        {
            assert!(!asks_for_page(&Method::GET, path, &[BROWSER], Some("navigate")), "{path}");
        }
    }

    #[test]
    fn a_script_that_fetches_does_not_ask_for_a_page() {
        for mode in ["cors", "no-cors", "same-origin", "websocket", ""] {
            assert!(!asks_for_page(&Method::GET, "api/users", &[BROWSER], Some(mode)), "{mode}");
        }
    }

    #[test]
    fn html_must_be_asked_for_by_name() {
        for (accept, wanted) in [
            (&["text/html"][..], true),
            (&["Text/HTML; q=0.5"], true),
            (&["application/json, text/html;q=0.1"], true),
            (&["application/json", "text/html"], true),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["text/html;q=0"], false),
            (&["text/html ; Q=0.000"], false),
            (&["text/htmlx, xtext/html"], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(asks_for_page(&Method::GET, "a", accept, None), wanted, "{accept:?}");
        }
    }

    #[test]
    fn only_reading_methods_ask_for_a_page() {
        assert!(!asks_for_page(&Method::POST, "a", &[BROWSER], Some("navigate")));
    }
}

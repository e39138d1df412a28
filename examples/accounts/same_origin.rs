//! Keeps the forms and scripts of other sites out (CSRF). `SameSite=Lax` of the session does so for other sites; this
//! does for other hosts of the same site, too, and for logging in, where there is no session yet.

use lakh::http::{HandlerError, Head, IntoResponse, Request, Response, StatusCode, header, middleware::Next};

pub(crate) async fn check(request: Request, next: Next) -> Response {
    let head = request.head();
    if head.method().is_safe() || is_own(&head) {
        return next.run(request).await;
    }
    HandlerError::new(StatusCode::FORBIDDEN, "the request of another site").into_response()
}

/// Browsers say where a request comes from; programs have no session that somebody else could use.
fn is_own(head: &Head<'_>) -> bool {
    if let Some(site) = head.header("sec-fetch-site") {
        // `none`: somebody has typed it.
        return site == b"same-origin" || site == b"none";
    }
    // Browsers leave it out over plain HTTP.
    let Some(origin) = head.header(header::ORIGIN) else { return true };
    let host = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
    host.is_some_and(|host| host.eq_ignore_ascii_case(head.client_host().as_bytes()))
}

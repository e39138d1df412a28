//! Scripts and forms of other origins, and the header fields that make browsers careful.

mod common;

use common::{Answer, TestServer};
use lakh_http::{
    App, HandlerError, Head, Method, Response, StatusCode, header,
    middleware::{BearerAuth, BearerToken, Cors, ProxyHeaders, SameOrigin, SecurityHeaders},
};
use std::time::Duration;

const APP: &str = "https://app.example.com";

fn service(cors: Cors) -> App {
    App::new()
        .get("/", || "hello")
        .get("/vary", || Response::new("x").with_header("vary", "Accept, ORIGIN"))
        .get("/fails", || HandlerError::bad_request("no"))
        .wrap(cors)
}

fn preflight(method: &str) -> Vec<(&'static str, String)> {
    vec![("Origin", APP.to_owned()), ("Access-Control-Request-Method", method.to_owned())]
}

fn ask(server: &TestServer, method: &str, path: &str, fields: &[(&'static str, String)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    server.connect().ask(method, path, &fields, "")
}

fn allowed(answer: &Answer) -> Option<&str> {
    answer.field("access-control-allow-origin")
}

fn varies(answer: &Answer) -> Vec<String> {
    let fields = answer.fields.iter().filter(|(name, _)| name == "vary");
    fields.map(|(_, value)| value.to_ascii_lowercase()).collect()
}

#[test]
fn a_preflight_is_told_what_is_let_in() {
    let server = TestServer::start(|_| {
        service(
            Cors::new()
                .origin(APP)
                .methods([Method::GET, Method::DELETE])
                .headers([header::CONTENT_TYPE, header::AUTHORIZATION])
                .expose([header::ETAG])
                .credentials()
                .max_age(Duration::from_secs(600)),
        )
    });
    for path in ["/", "/missing"] {
        let answer = ask(&server, "OPTIONS", path, &preflight("DELETE"));
        assert_eq!((answer.status, answer.text()), (204, ""));
        assert_eq!(allowed(&answer), Some(APP));
        assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.field("access-control-allow-methods"), Some("GET, DELETE"));
        assert_eq!(answer.field("access-control-allow-headers"), Some("content-type, authorization"));
        assert_eq!(answer.field("access-control-max-age"), Some("600"));
        assert_eq!(answer.field("access-control-expose-headers"), None, "this is for the request itself");
        assert_eq!(answer.field("access-control-allow-private-network"), None);
        let vary = ["origin", "access-control-request-method", "access-control-request-headers"];
        assert_eq!(varies(&answer), vary);
    }
}

#[test]
fn requests_of_origins_that_are_let_in_may_be_read() {
    let server = TestServer::start(|_| service(Cors::new().origin(APP).expose([header::ETAG]).credentials()));
    let from = |origin: &str| vec![("Origin", origin.to_owned())];
    let answer = ask(&server, "GET", "/", &from(APP));
    assert_eq!((answer.status, answer.text(), allowed(&answer)), (200, "hello", Some(APP)));
    assert_eq!(answer.field("access-control-expose-headers"), Some("etag"));
    assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
    for origin in ["https://evil.example", "https://app.example.com.evil.example", "null", ""] {
        let answer = ask(&server, "GET", "/", &from(origin));
        assert_eq!((answer.status, answer.text(), allowed(&answer)), (200, "hello", None), "{origin}");
        assert_eq!(answer.field("access-control-allow-credentials"), None);
        assert_eq!(varies(&answer), ["origin"]);
    }
    assert_eq!(varies(&ask(&server, "GET", "/", &[])), ["origin"], "a cache must not mix them up");
    assert_eq!(varies(&ask(&server, "GET", "/vary", &from(APP))), ["accept, origin"], "it was said");
}

#[test]
fn a_preflight_of_another_origin_is_refused() {
    let server = TestServer::start(|_| {
        service(Cors::new().origin("https://other.example"))
            .on_error(|error: &HandlerError| (error.status(), format!("rendered: {}", error.message())))
    });
    let answer = ask(&server, "OPTIONS", "/", &preflight("GET"));
    assert_eq!((answer.status, answer.text()), (403, "rendered: CORS: this origin is not let in"));
    assert_eq!(allowed(&answer), None);
    assert_eq!(varies(&answer)[0], "origin");
}

#[test]
fn options_that_is_no_preflight_goes_on() {
    let server = TestServer::start(|_| service(Cors::new().origin(APP)));
    let answer = ask(&server, "OPTIONS", "/", &[("Origin", APP.to_owned())]);
    assert_eq!((answer.status, answer.field("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(answer.field("access-control-allow-methods"), None);
    assert_eq!(allowed(&answer), Some(APP));
}

#[test]
fn errors_can_be_read_by_scripts_too() {
    let server = TestServer::start(|_| {
        service(Cors::new().origin(APP))
            .on_error(|error: &HandlerError| (error.status(), format!("rendered: {}", error.message())))
    });
    for (method, path, status, text) in [
        ("GET", "/missing", 404, "rendered: Not Found"),
        ("DELETE", "/", 405, "rendered: Method Not Allowed"),
        ("GET", "/fails", 400, "rendered: no"),
    ] {
        let answer = ask(&server, method, path, &[("Origin", APP.to_owned())]);
        assert_eq!((answer.status, answer.text(), allowed(&answer)), (status, text, Some(APP)));
    }
}

#[test]
fn any_origin_is_a_star_and_needs_no_vary() {
    let server = TestServer::start(|_| service(Cors::new().any_origin().any_headers()));
    let answer = ask(&server, "GET", "/", &[("Origin", "null".to_owned())]);
    assert_eq!((allowed(&answer), varies(&answer).len()), (Some("*"), 0));
    let mut asked = preflight("PUT");
    asked.push(("Access-Control-Request-Headers", "x-a,x-b".to_owned()));
    let answer = ask(&server, "OPTIONS", "/", &asked);
    assert_eq!(answer.field("access-control-allow-headers"), Some("x-a,x-b"), "what was asked for");
    assert_eq!(answer.field("access-control-allow-credentials"), None);
}

#[test]
fn a_function_may_decide_on_origins() {
    let server = TestServer::start(|_| {
        let ours = |origin: &str, head: &Head<'_>| origin.ends_with(".example.com") && head.path() == "/";
        service(Cors::new().origin_if(ours).credentials())
    });
    let answer = ask(&server, "GET", "/", &[("Origin", APP.to_owned())]);
    assert_eq!(allowed(&answer), Some(APP));
    let answer = ask(&server, "GET", "/fails", &[("Origin", APP.to_owned())]);
    assert_eq!(allowed(&answer), None);
}

#[test]
fn private_networks_are_opened_when_the_browser_asks() {
    let server = TestServer::start(|_| service(Cors::new().origin(APP).private_network()));
    let answer = ask(&server, "OPTIONS", "/", &preflight("GET"));
    assert_eq!(answer.field("access-control-allow-private-network"), None);
    let mut asked = preflight("GET");
    asked.push(("Access-Control-Request-Private-Network", "true".to_owned()));
    let answer = ask(&server, "OPTIONS", "/", &asked);
    assert_eq!(answer.field("access-control-allow-private-network"), Some("true"));
    assert!(varies(&answer).contains(&"access-control-request-private-network".to_owned()));
}

#[test]
fn preflights_are_answered_outside_of_authentication_and_for_one_route() {
    let server = TestServer::start(|_| {
        let auth = BearerAuth::new("api", |token: BearerToken| token.is("secret").then_some(()));
        let inner = App::new().get("/all", || "secret").wrap(Cors::new().origin(APP)).wrap(auth);
        App::new()
            .get("/one", || "open")
            .wrap_route(Cors::new().origin(APP))
            .get("/none", || "closed")
            .nest("/api", inner)
    });
    assert_eq!(allowed(&ask(&server, "OPTIONS", "/api/all", &preflight("GET"))), Some(APP));
    let answer = ask(&server, "GET", "/api/all", &[("Origin", APP.to_owned())]);
    assert_eq!((answer.status, allowed(&answer)), (401, Some(APP)));
    assert_eq!(allowed(&ask(&server, "OPTIONS", "/one", &preflight("GET"))), Some(APP));
    let answer = ask(&server, "OPTIONS", "/none", &preflight("GET"));
    assert_eq!((answer.status, allowed(&answer)), (204, None));
}

#[test]
#[should_panic(expected = "name the origins")]
fn credentials_and_any_origin_do_not_go_together() {
    let _ = Cors::new().any_origin().credentials();
}

#[test]
#[should_panic(expected = "is no origin")]
fn an_origin_has_no_path() {
    let _ = Cors::new().origin("https://example.com/");
}

#[test]
fn security_headers_are_on_every_answer_and_a_handlers_own_stay() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/", || "hello")
            .get("/framed", || Response::new("x").with_header("x-frame-options", "SAMEORIGIN"))
            .get("/panics", || -> StatusCode { panic!("for the test") })
            .wrap(SecurityHeaders::new().hsts(Duration::from_secs(3600)).without(&header::REFERRER_POLICY))
    });
    for (path, status, frames) in
        [("/", 200, "DENY"), ("/missing", 404, "DENY"), ("/framed", 200, "SAMEORIGIN")]
    {
        let answer = ask(&server, "GET", path, &[]);
        assert_eq!(answer.status, status);
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("content-security-policy"), Some("frame-ancestors 'none'"));
        assert_eq!(answer.field("strict-transport-security"), Some("max-age=3600"));
        assert_eq!(answer.field("referrer-policy"), None);
        let all: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "x-frame-options").collect();
        assert_eq!(all.iter().map(|(_, value)| &**value).collect::<Vec<_>>(), [frames]);
    }
    assert_eq!(ask(&server, "GET", "/panics", &[]).status, 500);
}

#[test]
fn a_site_may_choose_its_own_policies() {
    let policy = "default-src 'self'; frame-ancestors 'self'";
    let server = TestServer::start(move |_| {
        let framed = App::new().get("/", || "").wrap(SecurityHeaders::new().frame_ancestors_self());
        let own = SecurityHeaders::new()
            .content_security_policy(policy)
            .referrer_policy("no-referrer")
            .hsts_with_subdomains(Duration::from_secs(60));
        App::new().nest("/framed", framed).get("/", || "").wrap_route(own).get("/bare", || "")
    });
    let framed = ask(&server, "GET", "/framed", &[]);
    assert_eq!(framed.field("content-security-policy"), Some("frame-ancestors 'self'"));
    assert_eq!(framed.field("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(framed.field("strict-transport-security"), None, "only who asks for it gets it");
    let own = ask(&server, "GET", "/", &[]);
    assert_eq!(own.field("content-security-policy"), Some(policy));
    assert_eq!(own.field("referrer-policy"), Some("no-referrer"));
    assert_eq!(own.field("strict-transport-security"), Some("max-age=60; includeSubDomains"));
    assert_eq!(ask(&server, "GET", "/bare", &[]).field("x-frame-options"), None);
}

#[test]
fn forms_of_other_origins_are_kept_out() {
    let server = TestServer::start(|_| {
        let here = || App::new().get("/", || "read").post("/", || "changed").delete("/", || "gone");
        App::new()
            .merge(here().wrap(SameOrigin::new()))
            .nest("/shared", here().wrap(SameOrigin::new().allow("https://Shop.example:8443")))
            .nest(
                "/behind",
                here().wrap(ProxyHeaders::trust(["127.0.0.1"]).and_host()).wrap(SameOrigin::new()),
            )
    });
    let ask = |request: &str, fields: &str| {
        server.exchange(format!("{request} HTTP/1.1\r\nHost: a.example:8080\r\n{fields}\r\n")).status
    };
    for (fields, status) in [
        ("", 200),
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Sec-Fetch-Site: none\r\n", 200),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: \r\n", 403),
        // The browser knows better than a comparison of names.
        ("Sec-Fetch-Site: cross-site\r\nOrigin: http://a.example:8080\r\n", 403),
        ("Sec-Fetch-Site: same-origin\r\nOrigin: https://changed-by-a-proxy.example\r\n", 200),
        ("Origin: http://a.example:8080\r\n", 200),
        ("Origin: https://A.example:8080\r\n", 200),
        ("Origin: http://a.example\r\n", 403),
        ("Origin: http://a.example:8080.evil.example\r\n", 403),
        ("Origin: http://evil-a.example:8080\r\n", 403),
        ("Origin: ftp://a.example:8080\r\n", 403),
        ("Origin: a.example:8080\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: \r\n", 403),
        ("Origin: https://shop.example:8443\r\n", 403),
    ] {
        for request in ["POST /", "DELETE /"] {
            assert_eq!(ask(request, fields), status, "{request} {fields}");
        }
        assert_eq!(ask("GET /", fields), 200, "{fields}");
    }
    let shop = "Origin: https://shop.example:8443\r\nSec-Fetch-Site: cross-site\r\n";
    assert_eq!(ask("POST /shared", shop), 200);
    assert_eq!(ask("POST /shared", "Origin: https://shop.example\r\n"), 403);
    assert_eq!(ask("POST /shared", "Sec-Fetch-Site: cross-site\r\n"), 403);

    let asked = "X-Forwarded-Host: www.example\r\nX-Forwarded-For: 192.0.2.1\r\n";
    assert_eq!(ask("POST /behind", &format!("{asked}Origin: https://www.example\r\n")), 200);
    assert_eq!(ask("POST /behind", &format!("{asked}Origin: http://a.example:8080\r\n")), 403);
}

#[test]
fn a_request_without_a_host_is_of_no_origin() {
    let server = TestServer::start(|_| App::new().post("/", || "changed").wrap(SameOrigin::new()));
    assert_eq!(server.exchange("POST / HTTP/1.0\r\nOrigin: http://\r\n\r\n").status, 403);
    assert_eq!(server.exchange("POST / HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn an_origin_to_let_in_is_one() {
    for wrong in ["*", "shop.example", "https://shop.example/", "https://*.example", "https://"] {
        assert!(std::panic::catch_unwind(|| SameOrigin::new().allow(wrong)).is_err(), "{wrong}");
    }
}

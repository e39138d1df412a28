//! Parameters of handlers, over the wire, and what is said when they cannot be had.

mod common;

use common::{Answer, TestServer};
use lakh_http::{
    App, Bytes, HandlerError, HeaderMap, Method, Request, RequestBody, Response, RouteLimits, Version,
    extract::{BaseUrl, Extension, Form, FromState, Json, Multipart, Path, Query, State},
    middleware::{Next, RequestId, SetRequestId},
    sse::LastEventId,
};
use serde::{Deserialize, Serialize};
use std::{cell::Cell, rc::Rc};

#[derive(Debug, Deserialize, Serialize)]
struct Pet {
    name: String,
    #[serde(default)]
    age: u8,
    #[serde(default)]
    tags: Vec<String>,
}

fn ask(server: &TestServer, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
    server.connect().ask(method, path, &[("Content-Type", content_type)], body)
}

fn get(server: &TestServer, path: &str) -> (u16, String) {
    let answer = server.connect().ask("GET", path, &[], "");
    (answer.status, answer.text().to_owned())
}

#[test]
fn path_is_one_value_a_tuple_or_a_struct() {
    #[derive(Deserialize)]
    struct Place {
        row: u32,
        seat: char,
    }
    let server = TestServer::start(|_| {
        App::new()
            .get("/one/{n}", |Path(n): Path<i8>| n.to_string())
            .get("/two/{a}/{b}", |Path((a, b)): Path<(String, bool)>| format!("{a} {b}"))
            .get("/struct/{seat}/{row}", |Path(place): Path<Place>| format!("{} {}", place.row, place.seat))
            .get("/wrong/{a}", |Path((a, b)): Path<(String, String)>| format!("{a} {b}"))
    });
    assert_eq!(get(&server, "/one/-7"), (200, "-7".to_owned()));
    assert_eq!(get(&server, "/two/a%2Fb/true"), (200, "a/b true".to_owned()));
    assert_eq!(get(&server, "/struct/C/12"), (200, "12 C".to_owned()));
    assert_eq!(get(&server, "/one/300"), (404, "`n` is not a number from -128 to 127: \"300\"".to_owned()));
    assert_eq!(get(&server, "/two/a/1"), (404, "`b` is not true or false: \"1\"".to_owned()));
    assert_eq!(get(&server, "/wrong/a").0, 500, "this is the service's fault");
}

#[test]
fn queries_and_forms_are_decoded_by_serde() {
    fn show(pet: &Pet) -> String {
        format!("{} {} {:?}", pet.name, pet.age, pet.tags)
    }
    let server = TestServer::start(|_| {
        App::new()
            .get("/query", |Query(pet): Query<Pet>| show(&pet))
            .post("/form", async |Form(pet): Form<Pet>| show(&pet))
    });
    let encoded = "name=J%C3%BCrgen+B&age=3&tags=a&tags=b%26";
    let shown = "J\u{fc}rgen B 3 [\"a\", \"b&\"]";
    assert_eq!(get(&server, &format!("/query?{encoded}")), (200, shown.to_owned()));
    let form = |content_type: &str, body: &str| {
        let answer = ask(&server, "POST", "/form", content_type, body);
        (answer.status, answer.text().to_owned())
    };
    let urlencoded = "application/x-www-form-urlencoded";
    assert_eq!(form("Application/X-WWW-form-urlencoded; charset=utf-8", encoded), (200, shown.to_owned()));
    let (status, text) = get(&server, "/query?name=a&age=x");
    assert_eq!((status, text.starts_with("the query at age: ")), (400, true), "{text}");
    let (status, text) = form(urlencoded, "age=1");
    assert_eq!((status, text.contains("missing field `name`")), (400, true), "{text}");
    assert_eq!(form("text/plain", encoded).0, 415);
    assert_eq!(get(&server, "/query").0, 400);
}

#[test]
fn json_goes_both_ways_and_says_what_is_wrong() {
    let server = TestServer::start(|_| App::new().post("/", async |pet: Json<Pet>| pet));
    let post = |content_type: &str, body: &str| ask(&server, "POST", "/", content_type, body);
    let answer = post("application/json", "{\"name\": \"Rex\", \"age\": 3}");
    assert_eq!((answer.status, answer.text()), (200, "{\"name\":\"Rex\",\"age\":3,\"tags\":[]}"));
    assert_eq!(answer.field("content-type"), Some("application/json"));
    for (content_type, body, status, says) in [
        ("text/plain", "{}", 415, "Content-Type: application/json"),
        ("application/json", "{\"name\": ", 400, "EOF"),
        ("application/json", "", 400, "EOF"),
        ("application/json", "{\"name\": \"a\"} x", 400, "trailing"),
        ("application/json", "{\"name\": \"a\", \"tags\": [\"b\", 1]}", 422, "at tags[1]"),
        ("application/json", "{}", 422, "missing field `name`"),
    ] {
        let answer = post(content_type, body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    assert_eq!(server.connect().ask("POST", "/", &[], "{}").status, 415, "no type at all");
}

#[test]
fn bodies_are_bytes_text_or_a_stream() {
    let server = TestServer::start(|_| {
        App::new()
            .post("/bytes", async |body: Bytes| body)
            .post("/vec", async |body: Vec<u8>| body)
            .post("/text", async |body: String| body)
            .post("/stream", async |mut body: RequestBody| {
                let mut length = 0;
                while let Some(chunk) = body.chunk().await {
                    length += chunk?.len();
                }
                Ok::<_, HandlerError>(length.to_string())
            })
    });
    for path in ["/bytes", "/vec", "/text"] {
        assert_eq!(ask(&server, "POST", path, "x/y", "gr\u{fc}n").text(), "gr\u{fc}n", "{path}");
    }
    assert_eq!(ask(&server, "POST", "/stream", "x/y", "12345").text(), "5");
    let mut client = server.connect();
    client.send(b"POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab\xFF");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (400, "the body is not UTF-8 from byte 2 on"));
}

#[derive(Clone)]
struct Service {
    name: &'static str,
    hits: Rc<Cell<u32>>,
}

impl FromState<Service> for Rc<Cell<u32>> {
    fn from_state(service: &Service) -> Self {
        Rc::clone(&service.hits)
    }
}

#[test]
fn state_is_the_shards_own_in_whole_or_in_part() {
    let server = TestServer::start(|_| {
        App::with_state(Service { name: "counter", hits: Rc::default() })
            .get("/hit", |State(hits): State<Rc<Cell<u32>>>| hits.set(hits.get() + 1))
            .get("/", async |State(service): State<Service>| {
                format!("{} {}", service.name, service.hits.get())
            })
    });
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.ask("GET", "/hit", &[], "").status, 200);
    }
    assert_eq!(client.ask("GET", "/", &[], "").text(), "counter 3");
}

#[test]
fn parameters_are_taken_from_the_left_and_the_first_rejection_answers() {
    let server = TestServer::start(|_| {
        App::with_state("state").post(
            "/{n}",
            async |Path(n): Path<u8>,
                   Query(pairs): Query<Vec<(String, String)>>,
                   State(state): State<&'static str>,
                   method: Method,
                   version: Version,
                   headers: HeaderMap,
                   body: String| {
                let host = headers["host"].to_str().unwrap();
                format!("{n} {pairs:?} {state} {method} {version:?} {host} {body}")
            },
        )
    });
    let answer = ask(&server, "POST", "/7?a=b", "text/plain", "text");
    assert_eq!(answer.text(), "7 [(\"a\", \"b\")] state POST HTTP/1.1 a text");
    assert_eq!(ask(&server, "POST", "/x?a=b", "text/plain", "text").status, 404);
}

#[test]
fn an_option_is_none_for_what_is_absent_and_a_result_takes_the_rejection() {
    let server = TestServer::start(|_| {
        App::new()
            .get("/option", |n: Option<Query<Vec<(String, u8)>>>| format!("{:?}", n.map(|Query(n)| n)))
            .get("/text/{text}", |Path(text): Path<String>| text)
            .get("/result/{n}", |n: Result<Path<u8>, HandlerError>| match n {
                Ok(Path(n)) => n.to_string(),
                Err(error) => format!("{} {}", error.status(), error.message()),
            })
            .post("/json", async |pet: Option<Json<Pet>>| format!("{}", pet.is_some()))
            .post("/small", async |pet: Option<Json<Pet>>| format!("{}", pet.is_some()))
            .limits(RouteLimits::new().body(10))
            .get("/missing", |Extension(_): Extension<u8>| "there")
    });
    assert_eq!(get(&server, "/option?n=7").1, "Some([(\"n\", 7)])");
    assert_eq!(get(&server, "/option").1, "None");
    assert_eq!(get(&server, "/option?n=x").0, 400);
    assert_eq!(get(&server, "/text/%c3%a9").1, "é");
    assert_eq!(get(&server, "/text/%ff").0, 400);
    assert_eq!(get(&server, "/result/x").1, "404 Not Found `n` is not a number from 0 to 255: \"x\"");
    assert_eq!(server.exchange("POST /json HTTP/1.1\r\nHost: a\r\n\r\n").text(), "false");
    assert_eq!(ask(&server, "POST", "/json", "application/json", "{").status, 400);
    let head = "POST /small HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let too_long = server.exchange(format!("{head}10\r\n{{\"name\": \"Bella\"\r\n1\r\n}}\r\n0\r\n\r\n"));
    assert_eq!(too_long.status, 413, "what is too long is there");
    assert_eq!(get(&server, "/missing"), (500, "Internal Server Error".to_owned()));
}

/// What an optional parameter was: `None`, or with what it has.
fn told<T>(optional: Option<T>, tell: impl FnOnce(T) -> String) -> String {
    optional.map_or("None".to_owned(), |there| format!("Some({})", tell(there)))
}

/// One for each kind of body that can be absent.
fn optional_bodies() -> App {
    App::new()
        .post("/bytes", async |body: Option<Bytes>| told(body, |body| body.len().to_string()))
        .post("/vec", async |body: Option<Vec<u8>>| told(body, |body| body.len().to_string()))
        .post("/text", async |body: Option<String>| told(body, |body| body))
        .post("/json", async |pet: Option<Json<Pet>>| told(pet, |Json(pet)| pet.name))
        .post("/form", async |pet: Option<Form<Pet>>| told(pet, |Form(pet)| pet.name))
        .post("/multipart", async |form: Option<Multipart>| -> Result<String, HandlerError> {
            let Some(mut form) = form else { return Ok(told(None, |()| String::new())) };
            let name = form.next_field().await?.map(|field| field.name().to_owned());
            Ok(told(name, |name| name))
        })
}

#[test]
fn every_body_may_be_absent_and_is_refused_if_it_is_there_and_wrong() {
    let server = TestServer::start(|_| optional_bodies());
    let parts = "--X\r\nContent-Disposition: form-data; name=ann\r\n\r\n1\r\n--X--\r\n";
    let multipart = "multipart/form-data; boundary=X";
    let urlencoded = "application/x-www-form-urlencoded";
    for (path, content_type, body, there, wrong) in [
        ("/bytes", "text/plain", "abc", "Some(3)", None),
        ("/vec", "text/plain", "abc", "Some(3)", None),
        ("/text", "text/plain", "abc", "Some(abc)", None),
        ("/json", "application/json", "{\"name\": \"ann\"}", "Some(ann)", Some(("application/json", 400))),
        ("/json", "application/json", "{\"name\": \"ann\"}", "Some(ann)", Some(("text/plain", 415))),
        ("/form", urlencoded, "name=ann", "Some(ann)", Some((urlencoded, 400))),
        ("/form", urlencoded, "name=ann", "Some(ann)", Some(("text/plain", 415))),
        ("/multipart", multipart, parts, "Some(ann)", Some((multipart, 400))),
        ("/multipart", multipart, parts, "Some(ann)", Some(("text/plain", 415))),
    ] {
        let absent = server.exchange(format!("POST {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((absent.status, absent.text()), (200, "None"), "{path}");
        let present = ask(&server, "POST", path, content_type, body);
        assert_eq!((present.status, present.text()), (200, there), "{path}");
        if let Some((content_type, status)) = wrong {
            assert_eq!(ask(&server, "POST", path, content_type, "!").status, status, "{path} {content_type}");
        }
    }
}

/// Leaves a number with requests that ask for it.
async fn numbered(mut request: Request, next: Next) -> Response {
    if request.head().header("x-number").is_some() {
        request.insert_extension(7_u8);
    }
    next.run(request).await
}

fn optional_heads() -> App {
    App::new()
        .get("/extension", |n: Option<Extension<u8>>| told(n, |Extension(n)| n.to_string()))
        .get("/event", |id: Option<LastEventId>| told(id, |LastEventId(id)| id))
        .get("/base", |base: Option<BaseUrl>| told(base, |base| base.to_string()))
        .get("/id", |id: Option<RequestId>| told(id, |id| id.to_string()))
        .get("/set-id", |id: Option<RequestId>| told(id, |id| id.to_string()))
        .wrap_route(SetRequestId::new().trust_requests())
        .wrap(numbered)
}

#[test]
fn parts_of_the_head_and_what_middleware_leaves_may_be_absent() {
    let server = TestServer::start(|_| optional_heads());
    for path in ["/extension", "/event", "/id"] {
        assert_eq!(get(&server, path), (200, "None".to_owned()), "{path}");
    }
    assert_eq!(server.exchange("GET /base HTTP/1.0\r\n\r\n").text(), "None");
    for (path, field, value, there) in [
        ("/extension", "X-Number", "1", "Some(7)"),
        ("/event", "Last-Event-ID", "41", "Some(41)"),
        ("/set-id", "X-Request-Id", "abc", "Some(abc)"),
    ] {
        let answer = server.connect().ask("GET", path, &[(field, value)], "");
        assert_eq!((answer.status, answer.text()), (200, there), "{path}");
    }
    assert_eq!(server.exchange("GET /base HTTP/1.1\r\nHost: a:1\r\n\r\n").text(), "Some(http://a:1)");
    let wrong = server.exchange(b"GET /event HTTP/1.1\r\nHost: a\r\nLast-Event-ID: \xFF\r\n\r\n");
    assert_eq!(wrong.text(), "a Last-Event-ID is needed", "what is there and no text is refused");
}

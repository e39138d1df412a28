//! Layers of tower around handlers, and requests and responses that become those of the crate `http`.

mod common;
#[path = "common/tower.rs"]
mod parts;

use common::{TestServer, get};
use http::{Request, Response};
use http_body::Frame;
use lakh_http::{
    App, Body, HandlerError, HeaderValue, StatusCode,
    extract::{ClientAddr, Extension, Path},
    tower::{NextService, tower_layer},
};
use parts::{Frames, Fut, count, post};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tower_layer::layer_fn;
use tower_service::Service;

/// A layer that changes a request on its way in, and the answer on its way out.
#[derive(Clone)]
struct Changing<S, F, G>(S, F, G);

impl<S, B, F, G, I, O> Service<Request<B>> for Changing<S, F, G>
where
    S: Service<Request<I>, Response = Response<Body>, Error = Infallible>,
    S::Future: 'static,
    F: Fn(Request<B>) -> Request<I>,
    G: Fn(Response<Body>) -> Response<O> + Clone + 'static,
{
    type Response = Response<O>;
    type Error = Infallible;
    type Future = Fut<Response<O>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (answered, change) = (self.0.call((self.1)(request)), self.2.clone());
        Box::pin(async move { answered.await.map(change) })
    }
}

/// A body that another one is in.
struct Wrapped<B>(B);

impl<B: http_body::Body + Unpin> http_body::Body for Wrapped<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[derive(Clone)]
struct Mark(&'static str);

#[test]
fn layers_change_requests_and_answers() {
    let server = TestServer::start(|_| {
        let layer = layer_fn(|next: NextService| {
            let change = |mut request: Request<lakh_http::RequestBody>| {
                request.headers_mut().insert("x-added", HeaderValue::from_static("added"));
                request.extensions_mut().insert(Mark("marked"));
                *request.uri_mut() = "/changed".parse().unwrap();
                request.map(Wrapped)
            };
            let mark = |mut response: Response<Body>| {
                response.headers_mut().insert("x-layer", HeaderValue::from_static("was here"));
                response.map(Wrapped)
            };
            Changing(next, change, mark)
        });
        let handler = async |Path(id): Path<String>,
                             Extension(left): Extension<http::Extensions>,
                             ClientAddr(client): ClientAddr,
                             request: lakh_http::Request| {
            let added = String::from_utf8_lossy(request.head().header("x-added").unwrap()).into_owned();
            let path = request.head().path().to_owned();
            let body = request.into_body().bytes().await.unwrap();
            let Mark(mark) = left.get().unwrap();
            format!("{path} {id} {added} {mark} {} {}", client.ip(), body.len())
        };
        App::new().post("/a/{id}", handler).wrap(tower_layer(layer))
    });
    let mut client = server.connect();
    let answer = client.exchange(post("/a/%C3%A4", &"x".repeat(200_000)));
    assert_eq!(answer.text(), "/changed ä added marked 127.0.0.1 200000");
    assert_eq!(answer.field("x-layer"), Some("was here"));
    let nowhere = client.exchange(get("/nowhere"));
    assert_eq!((nowhere.status, nowhere.field("x-layer")), (404, Some("was here")));
}

#[test]
fn a_layer_that_reads_a_file_on_its_way_gives_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.path().join("long"), &content).unwrap();
    let path = folder.path().to_owned();
    let server = TestServer::start(move |_| {
        let layer = layer_fn(|next: NextService| {
            Changing(next, |r| r, |response: Response<Body>| response.map(Wrapped))
        });
        App::new().files("/", lakh_http::Files::dir(&path)).wrap(tower_layer(layer))
    });
    let mut client = server.connect();
    for _ in 0..3 {
        assert!(client.exchange(get("/long")).body == content);
    }
}

#[test]
fn errors_are_rendered_outside_of_a_layer_unless_it_changes_the_status() {
    let server = TestServer::start(|_| {
        let layer = layer_fn(|next: NextService| {
            let teapot = |mut response: Response<Body>| {
                if response.status() == StatusCode::GONE {
                    *response.status_mut() = StatusCode::IM_A_TEAPOT;
                }
                response
            };
            Changing(next, |request| request, teapot)
        });
        App::new()
            .get("/conflict", || HandlerError::new(StatusCode::CONFLICT, "taken"))
            .get("/gone", || HandlerError::new(StatusCode::GONE, "gone"))
            .wrap(tower_layer(layer))
            .on_error(|error: &HandlerError| (error.status(), format!("rendered: {}", error.message())))
    });
    let mut client = server.connect();
    let conflict = client.exchange(get("/conflict"));
    assert_eq!((conflict.status, conflict.text()), (409, "rendered: taken"));
    let gone = client.exchange(get("/gone"));
    assert_eq!((gone.status, gone.text()), (418, "gone"));
    assert_eq!(client.exchange(get("/nowhere")).text(), "rendered: Not Found");
}

#[test]
fn a_layer_that_loses_the_request_or_makes_nonsense_of_it_is_500() {
    let server = TestServer::start(|_| {
        let loses = layer_fn(|next: NextService| {
            Changing(
                next,
                |request: Request<lakh_http::RequestBody>| Request::new(request.into_body()),
                |r| r,
            )
        });
        let spoils = layer_fn(|next: NextService| {
            let spoil = |mut request: Request<lakh_http::RequestBody>| {
                request.headers_mut().insert("transfer-encoding", HeaderValue::from_static("nonsense"));
                request
            };
            Changing(next, spoil, |r| r)
        });
        App::new()
            .get("/lost", || "never")
            .wrap_route(tower_layer(loses))
            .get("/spoilt", || "never")
            .wrap_route(tower_layer(spoils))
    });
    let mut client = server.connect();
    assert_eq!(client.exchange(get("/lost")).status, 500);
    assert_eq!(client.exchange(get("/spoilt")).status, 500);
}

#[test]
fn requests_and_responses_convert_both_ways() {
    let request =
        Request::builder().method("PUT").uri("http://host:1/a?b").header("x-a", "1").body(Body::from("abc"));
    let request = lakh_http::Request::try_from(request.unwrap()).unwrap();
    assert_eq!(request.head().host(), "host:1");
    assert_eq!((request.head().path(), request.head().query()), ("/a", Some("b")));
    let back: Request<lakh_http::RequestBody> = request.try_into().unwrap();
    assert_eq!((back.method().as_str(), back.uri().to_string()), ("PUT", "http://host:1/a?b".to_owned()));
    assert_eq!(
        (&back.headers()["x-a"], &back.headers()["host"]),
        (&HeaderValue::from_static("1"), &HeaderValue::from_static("host:1"))
    );
    assert_eq!(lakh_core::block_on(count(back.into_body())).unwrap().unwrap(), 3);

    let response =
        Response::builder().status(201).header("x-a", "1").body(Frames::of(["abc"]).hint(3)).unwrap();
    let response = lakh_http::Response::from(response);
    assert_eq!((response.status().as_u16(), response.body().length()), (201, Some(3)));
    let back: Response<Body> = response.into();
    assert_eq!((back.status().as_u16(), &back.headers()["x-a"]), (201, &HeaderValue::from_static("1")));
    assert_eq!(lakh_core::block_on(count(back.into_body())).unwrap().unwrap(), 3);
}

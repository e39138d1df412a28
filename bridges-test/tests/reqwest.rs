//! reqwest in handlers, against a server of lakh's own.

#[path = "../../http/tests/common/mod.rs"]
mod common;

use common::{TestServer, eventually, get};
use lakh::{
    http::{App, Body, Bytes, HandlerError, HandlerResult, Request, Response, StatusCode, extract::Path},
    tokio::{run, with_context},
};
use std::{
    cell::Cell,
    future::pending,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

/// Counts the fetches that are under way.
struct Fetch(Arc<AtomicUsize>);

impl Fetch {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Fetch(Arc::clone(count))
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The server behind: answers, answers with much, and never answers.
fn behind() -> TestServer {
    TestServer::start(|_| {
        App::new()
            .get("/twice/{n}", |Path(n): Path<u64>| (2 * n).to_string())
            .get("/film", || {
                let mut left = 100;
                Response::new(Body::from_poll_fn(move |_| {
                    left -= 1;
                    let chunk = Bytes::from(vec![b'x'; 10_000]);
                    Poll::Ready((left >= 0).then_some(Ok::<_, std::convert::Infallible>(chunk)))
                }))
            })
            .post("/count", async |mut request: Request| {
                let mut count = 0;
                while let Some(chunk) = request.body_mut().chunk().await {
                    count += chunk?.len();
                }
                HandlerResult::Ok(count.to_string())
            })
            .get("/never", pending::<&'static str>)
    })
}

fn bad_gateway(error: reqwest::Error) -> HandlerError {
    HandlerError::status_only(StatusCode::BAD_GATEWAY).with_cause(error)
}

/// The server in front of it.
fn front(base: String, fetches: &Arc<AtomicUsize>) -> TestServer {
    let fetches = Arc::clone(fetches);
    let client = reqwest::Client::new();
    TestServer::start(move |_| {
        let fetch = {
            let (client, base, fetches) = (client.clone(), base.clone(), Arc::clone(&fetches));
            move |Path(path): Path<String>| {
                let (client, url) = (client.clone(), format!("{base}/{path}"));
                let fetch = Fetch::begin(&fetches);
                async move {
                    let text = run(async move {
                        let _under_way = fetch;
                        client.get(url).send().await?.text().await
                    });
                    text.await?.map_err(bad_gateway)
                }
            }
        };
        let length = {
            let (client, base) = (client.clone(), base.clone());
            move || {
                let (client, url, length) = (client.clone(), format!("{base}/film"), Rc::new(Cell::new(0)));
                async move {
                    let read = async {
                        let mut answer = client.get(url).send().await?;
                        while let Some(chunk) = answer.chunk().await? {
                            length.set(length.get() + chunk.len());
                        }
                        Ok(())
                    };
                    with_context(read).await?.map_err(bad_gateway)?;
                    HandlerResult::Ok(length.get().to_string())
                }
            }
        };
        App::new().get("/run/{*path}", fetch).get("/length", length)
    })
}

fn url_of(server: &TestServer) -> String {
    format!("http://{}", server.addr)
}

#[test]
fn a_handler_fetches_from_another_server() {
    let behind = behind();
    let front = front(url_of(&behind), &Arc::default());
    let mut client = front.connect();
    for n in [1, 21, 500] {
        assert_eq!(client.exchange(get(&format!("/run/twice/{n}"))).text(), (2 * n).to_string());
    }
    assert_eq!(client.exchange(get("/run/film")).body.len(), 1_000_000);
}

#[test]
fn what_is_not_send_reads_a_stream_at_home() {
    let behind = behind();
    let front = front(url_of(&behind), &Arc::default());
    assert_eq!(front.exchange(get("/length")).text(), "1000000");
}

#[test]
fn many_fetch_at_once() {
    let behind = behind();
    let front = front(url_of(&behind), &Arc::default());
    let mut clients: Vec<_> = (0..100).map(|_| front.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/run/twice/{n}")));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.answer().text(), (2 * n).to_string());
    }
}

#[test]
fn a_server_that_is_not_there_is_502() {
    let gone = behind();
    let url = url_of(&gone);
    drop(gone);
    assert_eq!(front(url, &Arc::default()).exchange(get("/run/twice/1")).status, 502);
}

#[test]
fn a_client_that_resets_ends_the_fetch() {
    let (behind, fetches) = (behind(), Arc::default());
    let front = front(url_of(&behind), &fetches);
    let mut client = front.connect();
    client.send(get("/run/never"));
    behind.wait_in_flight(1);
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    eventually("it is aborted", || fetches.load(Ordering::SeqCst) == 0);
}

#[test]
fn a_body_streams_from_reqwest_into_a_server_of_lakh() {
    let behind = behind();
    let url = format!("{}/count", url_of(&behind));
    let count = lakh::block_on(async move {
        run(async move {
            let body = reqwest::Body::from(vec![0; 1_500_000]);
            reqwest::Client::new().post(url).body(body).send().await?.text().await
        })
        .await
        .unwrap()
        .unwrap()
    });
    assert_eq!(count.unwrap(), "1500000");
}

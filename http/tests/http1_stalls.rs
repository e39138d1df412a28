//! A handler that blocks its shard is named by its route, while it does.

mod common;

use common::{Client, get};
use lakh_core::yield_now;
use lakh_http::{App, Body, Bytes, Head, Response, Server, extract::Path};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    task::Poll,
    time::Duration,
};

const LONG: Duration = Duration::from_secs(60);

/// What handlers block on.
#[derive(Clone)]
struct Gate(Arc<Mutex<Receiver<()>>>);

impl Gate {
    fn block(&self) {
        self.0.lock().unwrap().recv().unwrap();
    }
}

fn app(gate: Gate) -> App {
    let [first, second, third, fourth, fifth] = std::array::from_fn(|_| gate.clone());
    App::new()
        .fallback(move |_: &Head<'_>| {
            fifth.block();
            "done"
        })
        .get("/plain/{n}", move |_: &Head<'_>| {
            first.block();
            "done"
        })
        .get("/async/{n}", move |Path(_): Path<u8>| {
            let gate = second.clone();
            async move {
                yield_now().await;
                gate.block();
                "done"
            }
        })
        .get("/stream", move || {
            let (gate, mut done) = (third.clone(), false);
            Response::new(Body::from_poll_fn(move |cx| {
                if std::mem::replace(&mut done, true) {
                    return Poll::Ready(None);
                }
                gate.block();
                cx.waker().wake_by_ref();
                Poll::Ready(Some(Ok::<_, Infallible>(Bytes::from("done"))))
            }))
        })
        .nest(
            "/nested",
            App::new().get("/in", move || {
                fourth.block();
                "done"
            }),
        )
}

#[test]
fn a_handler_that_blocks_is_named_by_its_route() {
    let (open, gate) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let gate = Gate(Arc::new(Mutex::new(gate)));
    let server = Server::new(move |_| app(gate.clone()))
        .shards(1)
        .watchdog(Some(Duration::from_millis(20)))
        .on_stall(move |stall| tell.send(*stall).unwrap());
    let running = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut client = Client::connect(running.addrs()[0]);
    let routes = [
        ("/plain/1", "/plain/{n}"),
        ("/plain/1", "/plain/{n}"),
        ("/async/1", "/async/{n}"),
        ("/stream", "/stream"),
        ("/nested/in", "/nested/in"),
        ("/nowhere", "the fallback"),
    ];
    for (count, (path, route)) in (1..).zip(routes) {
        client.send(get(path));
        // A busy machine may have kept the shard from running before: stalls, too.
        let stall = loop {
            let stall = told.recv_timeout(LONG).unwrap();
            if stall.name == Some(route) {
                break stall;
            }
        };
        assert_eq!(stall.shard, 0);
        assert!(stall.lasted >= Duration::from_millis(20));
        open.send(()).unwrap();
        assert_eq!(client.answer().text(), "done");
        assert!(running.shards().next().unwrap().metrics().stalls() >= count);
    }
}

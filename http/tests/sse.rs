//! Server-Sent Events, as clients get them.

use lakh_http::{
    App, StatusCode,
    extract::State,
    sse::{Event, Feed, LastEventId, Sse, channel},
    testing::{self, InProcess, TestResponse, TestServer},
};
use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    rc::Rc,
    task::Poll,
    time::Duration,
};

async fn chunk(response: &mut TestResponse<InProcess>) -> String {
    String::from_utf8(response.chunk().await.expect("another event").to_vec()).unwrap()
}

/// Nothing is ready now.
async fn expect_nothing(response: &mut TestResponse<InProcess>) {
    let mut next = std::pin::pin!(response.chunk());
    poll_fn(|cx| {
        assert!(next.as_mut().poll(cx).is_pending(), "nothing is to be read");
        Poll::Ready(())
    })
    .await;
}

/// One to three, each when the one before was taken.
fn three() -> Sse {
    Sse::from_async_fn(async |events| {
        for n in 1..=3 {
            events.send(Event::new(n.to_string())).await.unwrap();
        }
    })
}

#[test]
fn the_head_says_what_it_is_and_that_nobody_may_keep_it() {
    testing::run(
        |_| App::new().get("/", three),
        async |client| {
            let response = client.get("/").send().await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.header("content-type"), Some("text/event-stream"));
            assert_eq!(response.header("cache-control"), Some("no-store"));
            assert_eq!(response.header("x-accel-buffering"), Some("no"));
        },
    );
}

#[test]
fn an_async_function_gives_events_until_it_returns() {
    let server = TestServer::start(|_| App::new().get("/", three));
    assert_eq!(server.get("/").send().text(), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
}

#[test]
fn the_time_to_wait_comes_first() {
    testing::run(
        |_| App::new().get("/", || three().retry(Duration::from_millis(1500))),
        async |client| {
            let mut response = client.get("/").send().await;
            assert_eq!(chunk(&mut response).await, "retry: 1500\n\n");
            assert_eq!(chunk(&mut response).await, "data: 1\n\n");
        },
    );
}

#[test]
fn an_async_function_waits_for_its_client() {
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    let counted = move || {
        let count = Rc::clone(&count);
        Sse::from_async_fn(async move |events| {
            loop {
                events.send(Event::new("x")).await.unwrap();
                count.set(count.get() + 1);
            }
        })
    };
    testing::run(
        move |_| App::new().get("/", counted),
        async move |client| {
            let mut response = client.get("/").send().await;
            for taken in 0..5 {
                assert!(sent.get() <= taken + 1, "{} were sent and {taken} taken", sent.get());
                chunk(&mut response).await;
            }
        },
    );
}

#[test]
fn silence_is_broken_by_comments() {
    testing::run(
        |_| {
            App::new().get("/", || {
                Sse::from_async_fn(async |_| pending().await).keep_alive(Duration::from_millis(2))
            })
        },
        async |client| {
            let mut response = client.get("/").send().await;
            assert_eq!(chunk(&mut response).await, ":\n\n");
            assert_eq!(chunk(&mut response).await, ":\n\n");
        },
    );
}

#[test]
fn senders_choose_what_happens_when_the_queue_is_full() {
    let pair = || {
        let (sender, answer) = channel(2);
        (sender, Rc::new(RefCell::new(Some(answer))))
    };
    let (sender, answer) = pair();
    testing::run(
        move |_| App::new().get("/", move || answer.borrow_mut().take().unwrap()),
        async move |client| {
            let mut response = client.get("/").send().await;
            let event = |n: u8| Event::new(n.to_string());
            sender.try_send(event(1)).unwrap();
            sender.send(event(2)).await.unwrap();
            let refused = sender.try_send(event(3)).unwrap_err();
            assert!(refused.is_full() && !refused.is_closed());
            assert_eq!(refused.into_event(), event(3));
            assert_eq!(sender.push(event(4)).unwrap(), Some(event(1)), "the oldest gives way");
            let waiting = lakh_core::spawn({
                let sender = sender.clone();
                async move { sender.send(Event::new("5")).await }
            });
            lakh_core::yield_now().await;
            assert!(!waiting.is_finished());
            assert_eq!(chunk(&mut response).await, "data: 2\n\n");
            waiting.await.unwrap().unwrap();
            drop(sender);
            assert_eq!(response.text().await, "data: 4\n\ndata: 5\n\n");
        },
    );
}

#[test]
fn a_send_that_is_given_up_queues_nothing_and_leaves_no_waiter() {
    testing::run(
        |_| App::new(),
        async |_| {
            let (sender, answer) = channel(1);
            sender.try_send(Event::new("1")).unwrap();
            let given_up = lakh_core::timeout(Duration::from_millis(1), sender.send(Event::new("2")));
            assert!(given_up.await.is_err());
            drop(answer);
            assert!(sender.send(Event::new("3")).await.unwrap_err().is_closed());
        },
    );
}

#[test]
fn a_drain_does_not_wait_for_streams() {
    let server = TestServer::start(|_| {
        App::new().get("/", || {
            Sse::from_async_fn(async |events| {
                events.send(Event::new("first")).await.unwrap();
                pending().await
            })
        })
    });
    let mut response = server.get("/").send();
    assert_eq!(response.chunk().unwrap(), "data: first\n\n");
    server.running().drain();
    assert_eq!(response.chunk(), None, "the body ends in order");
    assert!(server.running().join(Duration::from_secs(20)));
}

#[test]
fn a_stream_that_always_has_more_ends_with_a_drain_too() {
    let server = TestServer::start(|_| {
        App::new().get("/", || {
            Sse::from_async_fn(async |events| while events.send(Event::new("x")).await.is_ok() {})
        })
    });
    let mut response = server.get("/").send();
    response.chunk().unwrap();
    server.running().drain();
    while response.chunk().is_some() {}
    assert!(server.running().join(Duration::from_secs(20)));
}

fn feed_app(feed: &Feed) -> App<Feed> {
    App::with_state(feed.clone())
        .get("/", |State(feed): State<Feed>, last: Option<LastEventId>| feed.subscribe(last))
        .post("/", async |State(feed): State<Feed>, text: String| {
            feed.publish(Event::new(text));
            StatusCode::ACCEPTED
        })
        .get("/needed", |LastEventId(id): LastEventId| id)
}

/// The id in an event.
fn id(event: &str) -> &str {
    event.strip_prefix("id: ").and_then(|rest| rest.split('\n').next()).expect("an id first")
}

fn data(event: &str) -> Option<&str> {
    event.lines().find_map(|line| line.strip_prefix("data: "))
}

#[test]
fn a_feed_is_resumed_where_it_was_left() {
    let feed = Feed::new(10);
    testing::run(
        move |_| feed_app(&feed),
        async |client| {
            let mut response = client.get("/").send().await;
            let start = chunk(&mut response).await;
            assert_eq!(data(&start), None, "where it begins, for whoever loses it now");
            expect_nothing(&mut response).await;
            for n in ["1", "2", "3"] {
                assert_eq!(client.post("/").text(n).send().await.status(), 202);
            }
            let first = chunk(&mut response).await;
            assert_eq!(data(&first), Some("1"));
            drop(response);
            for (from, expected) in [(id(&first), vec!["2", "3"]), (id(&start), vec!["1", "2", "3"])] {
                let mut response = client.get("/").header("last-event-id", from).send().await;
                assert_eq!(id(&chunk(&mut response).await), from);
                for expected in expected {
                    assert_eq!(data(&chunk(&mut response).await), Some(expected));
                }
                expect_nothing(&mut response).await;
            }
        },
    );
}

#[test]
fn who_has_missed_too_much_is_told_and_gets_what_is_kept() {
    let feed = Feed::new(2).gap_event(&Event::new("").name("gap"));
    let publisher = feed.clone();
    testing::run(
        move |_| feed_app(&feed),
        async move |client| {
            let mut slow = client.get("/").send().await;
            let start = chunk(&mut slow).await;
            (1..=3).for_each(|n| publisher.publish(Event::new(n.to_string())));
            let mut late = client.get("/").header("last-event-id", id(&start)).send().await;
            chunk(&mut late).await;
            let mut strange = client.get("/").header("last-event-id", "of another feed").send().await;
            let ahead = format!("{}0", id(&start));
            let mut impossible = client.get("/").header("last-event-id", &*format!("{ahead}9")).send().await;
            for response in [&mut slow, &mut late, &mut strange, &mut impossible] {
                assert_eq!(chunk(response).await, "event: gap\ndata: \n\n");
                assert_eq!(data(&chunk(response).await), Some("2"));
                assert_eq!(data(&chunk(response).await), Some("3"));
                expect_nothing(response).await;
            }
            assert_eq!(publisher.subscribers(), 4);
            drop((slow, late, strange, impossible));
            assert_eq!(publisher.subscribers(), 0);
        },
    );
}

#[test]
fn a_feed_reaches_clients_of_all_shards() {
    let feed = Feed::new(10);
    let publisher = feed.clone();
    let server = TestServer::from_server(lakh_http::Server::new(move |_| feed_app(&feed)).shards(2));
    let mut responses: Vec<_> = (0..8).map(|_| server.get("/").send()).collect();
    for response in &mut responses {
        response.chunk().unwrap();
    }
    assert_eq!(publisher.subscribers(), 8);
    publisher.publish(Event::new("from this thread"));
    for response in &mut responses {
        let event = response.chunk().unwrap();
        assert_eq!(data(std::str::from_utf8(&event).unwrap()), Some("from this thread"));
    }
    server.post("/").text("over the wire").send();
    for response in &mut responses {
        let event = response.chunk().unwrap();
        assert_eq!(data(std::str::from_utf8(&event).unwrap()), Some("over the wire"));
    }
}

#[test]
fn a_last_event_id_is_a_parameter_that_may_be_needed() {
    testing::run(
        |_| feed_app(&Feed::new(1)),
        async |client| {
            assert_eq!(client.get("/needed").send().await.status(), 400);
            let mut response = client.get("/needed").header("last-event-id", "7").send().await;
            assert_eq!(response.text().await, "7");
        },
    );
}

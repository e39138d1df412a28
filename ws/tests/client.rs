//! Our client and our server.

use lakh_core::{Shard, block_on, sleep, spawn, timeout};
use lakh_http::{App, HeaderMap, extract::Query, testing::TestServer};
use lakh_ws::{
    Callbacks, CloseCode, CloseInfo, Config, Connect, DeflateContext, DeflateOptions, Message, Payload,
    SendError, Socket, WebSocket, WebSocketRoutes, callbacks, connect,
};
use std::{cell::RefCell, collections::HashMap, future::poll_fn, rc::Rc, task::Poll, time::Duration};

/// Only a test that fails waits for so long.
const SAFETY_NET: Duration = Duration::from_secs(60);

/// Runs a client against it, with `ws://` and the server's address.
fn run<F: Future<Output = ()> + 'static>(server: &TestServer, client: impl FnOnce(String) -> F) {
    let client = client(format!("ws://{}", server.addr()));
    block_on(async { timeout(SAFETY_NET, client).await.expect("the client hangs") }).unwrap();
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

struct Echo;

impl Callbacks for Echo {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        let _ = socket.send(message);
    }
}

fn app(config: &Config) -> App<()> {
    App::new().ws_with("/async", config.clone(), echo).ws_with(
        "/callback",
        config.clone(),
        callbacks(|| Echo),
    )
}

fn echo_server() -> TestServer {
    TestServer::start(|_| app(&Config::new()))
}

/// What callbacks were told.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<String>>>);

impl Callbacks for Told {
    fn on_open(&mut self, socket: &Socket) {
        self.0.borrow_mut().push("open".into());
        socket.send("hello").unwrap();
    }

    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        self.0.borrow_mut().push(message.as_text().unwrap_or("binary").into());
        socket.close(CloseCode::Library(4001), "enough");
    }

    fn on_close(&mut self, _: &Socket, info: &CloseInfo) {
        self.0.borrow_mut().push(format!("{} {} {}", info.code, info.reason, info.by_peer));
    }
}

impl Told {
    async fn at_least(&self, count: usize) -> Vec<String> {
        while self.0.borrow().len() < count {
            lakh_core::yield_now().await;
        }
        self.0.borrow().clone()
    }
}

#[test]
fn messages_go_to_the_server_and_back() {
    let server = echo_server();
    for path in ["/async", "/callback"] {
        run(&server, async move |url| {
            let mut socket = connect(&(url + path)).await.unwrap();
            for len in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
                let (text, binary) = ("x".repeat(len), vec![len as u8; len]);
                socket.send(text.as_str()).await.unwrap();
                socket.send(binary.clone()).await.unwrap();
                assert_eq!(socket.recv().await, Some(Message::from(text)));
                assert_eq!(socket.recv().await, Some(Message::from(binary)));
            }
            socket.close(CloseCode::Normal, "").await;
        });
    }
}

#[test]
fn a_client_of_callbacks_is_told_what_happens() {
    let server = echo_server();
    for path in ["/async", "/callback"] {
        run(&server, async move |url| {
            let told = Told::default();
            let socket = Connect::new(url + path).connect_with_callbacks(told.clone()).await.unwrap();
            assert_eq!(told.at_least(3).await, ["open", "hello", "4001 enough false"]);
            assert_eq!(socket.send("late"), Err(SendError::Closed));
        });
    }
}

#[test]
fn one_task_receives_while_another_sends() {
    const COUNT: usize = 20_000;
    let server = echo_server();
    for path in ["/async", "/callback"] {
        run(&server, async move |url| {
            let mut socket = connect(&(url + path)).await.unwrap();
            let sender = socket.socket().clone();
            let sending = spawn(async move {
                for number in 0..COUNT {
                    sender.send_wait(number.to_string()).await.unwrap();
                }
            });
            let receiving = spawn(async move {
                for number in 0..COUNT {
                    assert_eq!(socket.recv().await.unwrap().as_text(), Some(number.to_string().as_str()));
                }
                socket
            });
            sending.await.unwrap();
            receiving.await.unwrap().close(CloseCode::Normal, "").await;
        });
    }
}

#[test]
fn a_client_reads_on_whatever_waits_for_the_server() {
    // Server and client would each wait for the other to read: more than all buffers between them hold.
    const COUNT: usize = 120;
    let server = TestServer::start(|_| app(&Config::new().queue(1 << 20)));
    run(&server, async move |url| {
        let config = Config::new().write_timeout(SAFETY_NET);
        let mut socket = Connect::new(url + "/async").config(config).connect().await.unwrap();
        let sender = socket.socket().clone();
        let sending = spawn(async move {
            for _ in 0..COUNT {
                sender.send_wait(vec![7; 256 * 1024]).await.unwrap();
            }
        });
        for _ in 0..COUNT {
            assert_eq!(socket.recv().await.unwrap().len(), 256 * 1024);
        }
        sending.await.unwrap();
    });
}

#[test]
fn who_waits_for_a_message_is_told_that_another_task_closes() {
    let server = echo_server();
    run(&server, async move |url| {
        let mut socket = connect(&(url + "/async")).await.unwrap();
        let closer = socket.socket().clone();
        let receiving = spawn(async move { (socket.recv().await, socket.close_info().unwrap()) });
        // Turns in which it begins to wait.
        for _ in 0..10 {
            lakh_core::yield_now().await;
        }
        closer.close(CloseCode::Library(4002), "bye");
        let (message, info) = receiving.await.unwrap();
        assert_eq!(message, None);
        assert_eq!((info.code, info.by_peer), (CloseCode::Library(4002), false));
    });
}

#[test]
fn the_last_messages_come_before_the_end() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |socket: WebSocket| {
            for number in 0..100 {
                socket.send(number.to_string()).await.unwrap();
            }
            socket.close(CloseCode::Library(4003), "that was all").await;
        })
    });
    run(&server, async |url| {
        let mut socket = connect(&url).await.unwrap();
        let mut count = 0;
        while let Some(message) = socket.recv().await {
            assert_eq!(message.as_text(), Some(count.to_string().as_str()));
            count += 1;
        }
        assert_eq!(count, 100);
        let info = socket.close_info().unwrap();
        assert_eq!(
            (info.code, info.reason.as_str(), info.by_peer),
            (CloseCode::Library(4003), "that was all", true)
        );
        assert_eq!(socket.recv().await, None);
        assert_eq!(socket.send("late").await, Err(SendError::Closed));
    });
}

#[test]
fn receiving_is_cancel_safe() {
    let server = echo_server();
    run(&server, async |url| {
        let mut socket = connect(&(url + "/async")).await.unwrap();
        for number in 0..100 {
            socket.send(number.to_string()).await.unwrap();
            // Dropped after each poll, with turns between in which the message may come.
            loop {
                let polled = poll_fn(|cx| Poll::Ready(socket.poll_recv(cx))).await;
                if let Poll::Ready(message) = polled {
                    assert_eq!(message.unwrap().as_text(), Some(number.to_string().as_str()));
                    break;
                }
                lakh_core::yield_now().await;
            }
        }
    });
}

#[test]
fn a_client_that_waits_is_not_polled() {
    let server = echo_server();
    run(&server, async |url| {
        let mut socket = connect(&(url + "/async")).await.unwrap();
        let other = socket.socket().clone();
        let polls = Rc::new(RefCell::new(0));
        let counter = Rc::clone(&polls);
        let receiving = spawn(async move {
            poll_fn(|cx| {
                *counter.borrow_mut() += 1;
                socket.poll_recv(cx)
            })
            .await
        });
        sleep(Duration::from_millis(50)).await;
        assert!(*polls.borrow() <= 2, "{} polls of one who waits", polls.borrow());
        let before = lakh_core::current().handle().metrics().polls();
        sleep(Duration::from_millis(100)).await;
        let polled = lakh_core::current().handle().metrics().polls() - before;
        assert!(polled <= 4, "{polled} polls while nothing happens");
        other.send("x").unwrap();
        assert_eq!(receiving.await.unwrap(), Some("x".into()));
    });
}

#[test]
fn what_is_dropped_closes_with_1000() {
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let codes = told.clone();
    let server = TestServer::start(move |_| {
        let codes = codes.clone();
        App::new().ws("/", move |mut socket: WebSocket| {
            let codes = codes.clone();
            async move {
                assert_eq!(socket.recv().await, None);
                codes.lock().unwrap().push(socket.close_info().unwrap());
            }
        })
    });
    let codes = told.clone();
    run(&server, async move |url| {
        let socket = connect(&url).await.unwrap();
        let handle = socket.socket().clone();
        drop(socket);
        assert!(!handle.is_open());
        while codes.lock().unwrap().is_empty() {
            lakh_core::yield_now().await;
        }
    });
    let info = told.lock().unwrap()[0].clone();
    assert_eq!((info.code, info.by_peer), (CloseCode::Normal, true));
}

#[test]
fn compression_works_with_every_choice_of_contexts() {
    let context = |takeover, window_bits| DeflateContext { takeover, window_bits };
    let choices = [context(false, 15), context(true, 15), context(false, 9), context(true, 9)];
    let all = move || {
        choices.into_iter().flat_map(move |send| choices.map(|receive| DeflateOptions { send, receive }))
    };
    let server = TestServer::start(move |_| {
        all().enumerate().fold(App::new(), |app, (at, options)| {
            app.ws_with(&format!("/{at}"), Config::new().deflate(options), echo)
        })
    });
    run(&server, async move |url| {
        for at in 0..all().count() {
            for client in [0, at, 15 - at].into_iter().filter_map(|other| all().nth(other)) {
                let config = Config::new().deflate(client);
                let socket = Connect::new(format!("{url}/{at}")).config(config).connect().await.unwrap();
                exchange_what_repeats_and_what_does_not(socket).await;
            }
        }
    });
}

async fn exchange_what_repeats_and_what_does_not(mut socket: WebSocket) {
    for round in 0..6 {
        let text = format!("{round} of {}", "what is said again ".repeat(round * 100));
        let noise: Vec<u8> = (0..round * 1500).map(|n| ((n * n * 31) >> 5) as u8).collect();
        socket.send(text.as_str()).await.unwrap();
        socket.send(noise.clone()).await.unwrap();
        assert_eq!(socket.recv().await, Some(text.into()));
        assert_eq!(socket.recv().await, Some(noise.into()));
    }
    socket.close(CloseCode::Normal, "").await;
}

#[test]
fn a_client_asks_for_protocols_and_says_what_it_is_told_to() {
    let server = TestServer::start(|_| {
        let config = Config::new().protocols(["b", "c"]).origins(["https://ours.example"]);
        let answer =
            async |socket: WebSocket, headers: HeaderMap, Query(query): Query<HashMap<String, String>>| {
                let (token, origin) = (&headers["x-token"], &headers["origin"]);
                let protocol = socket.socket().protocol();
                let _ = socket.send(format!("{query:?} {token:?} {origin:?} {protocol:?}")).await;
                socket.close(CloseCode::Normal, "").await;
            };
        App::new().ws_with("/x", config, answer)
    });
    let addr = server.addr();
    run(&server, async move |url| {
        let connecting = Connect::new(url + "/x?y=z").config(Config::new().protocols(["a", "b", "c"]));
        let connecting = connecting.header("x-token", "secret").origin("https://ours.example");
        let mut socket = connecting.connect().await.unwrap();
        assert_eq!(socket.socket().protocol(), Some("b"));
        let expected = r#"{"y": "z"} "secret" "https://ours.example" Some("b")"#;
        assert_eq!(socket.recv().await.unwrap().as_text(), Some(expected));

        let refused = connecting.clone().origin("https://theirs.example").connect().await.unwrap_err();
        assert_eq!(refused.status().unwrap(), 403);
        let elsewhere = Connect::new("ws://ours.example/x?y=z").addr(addr).header("x-token", "secret");
        let mut socket = elsewhere.origin("https://ours.example").connect().await.unwrap();
        assert_eq!(socket.socket().protocol(), None);
        assert!(socket.recv().await.unwrap().as_text().unwrap().ends_with("None"));
    });
}

#[test]
fn names_of_the_machine_itself_are_known() {
    let server = echo_server();
    run(&server, async |url| {
        let port = url.rsplit(':').next().unwrap().to_owned();
        for host in ["localhost", "LOCALHOST.", "app.localhost"] {
            let socket = connect(&format!("ws://{host}:{port}/async")).await.unwrap();
            socket.close(CloseCode::Normal, "").await;
        }
        let error = connect(&format!("ws://nowhere.invalid:{port}/")).await.unwrap_err();
        assert!(error.is_unresolved() && error.to_string().contains("DNS"), "{error}");
    });
}

#[test]
fn what_cannot_be_sent_is_refused_before_anybody_is_asked() {
    let server = echo_server();
    run(&server, async |url| {
        let url = || Connect::new(url.as_str());
        let twice = Config::new().protocols(["a", "a"]);
        for (connect, why) in [
            (url().header("sec-websocket-key", "x"), "handshake's own"),
            (url().header("Host", "x"), "`host` is the handshake's own"),
            (url().header("a b", "x"), "cannot be sent"),
            (url().header("a", "x\r\ny: z"), "cannot be sent"),
            (url().origin("x\n"), "cannot be sent"),
            (url().config(twice), "subprotocols"),
            (Connect::new("wss://127.0.0.1/"), "TLS"),
        ] {
            let error = connect.connect().await.unwrap_err();
            assert!(error.is_invalid() && error.to_string().contains(why), "{error}");
        }
    });
}

#[test]
fn a_handler_that_does_not_receive_answers_the_close_frame() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |socket: WebSocket| {
            while socket.socket().is_open() {
                sleep(Duration::from_millis(10)).await;
            }
        })
    });
    run(&server, async |url| {
        let config = Config::new().close_timeout(10 * SAFETY_NET);
        Connect::new(url).config(config).connect().await.unwrap().close(CloseCode::Normal, "").await;
    });
}

#[test]
fn nobody_is_cut_for_a_silence_that_nobody_listens_to() {
    let server = TestServer::start(|_| {
        let config = Config::new().idle_timeout(Some(Duration::from_secs(2)));
        App::new().ws_with("/", config, async |socket: WebSocket| {
            // One message is read meanwhile, and with the other everything behind it stays unread.
            sleep(Duration::from_secs(4)).await;
            echo(socket).await;
        })
    });
    run(&server, async |url| {
        let mut socket = connect(&url).await.unwrap();
        for text in ["a", "b", "c"] {
            socket.send(text).await.unwrap();
        }
        for text in ["a", "b", "c"] {
            assert_eq!(socket.recv().await, Some(text.into()));
        }
    });
}

#[test]
fn a_draining_shard_closes_its_clients_with_1001() {
    let server = TestServer::start(|_| {
        App::new().ws("/", async |mut socket: WebSocket| while socket.recv().await.is_some() {})
    });
    let url = format!("ws://{}", server.addr());
    let (closed, codes) = std::sync::mpsc::channel();
    let runtime = lakh_core::Runtime::builder().shards(1);
    let (opened, is_open) = std::sync::mpsc::channel();
    let runtime = runtime.start(move |_: &Shard| {
        let (url, closed, opened) = (url.clone(), closed.clone(), opened.clone());
        lakh_core::spawn_detached(async move {
            // Of its own: the drain has to wait for the task as well.
            let _guard = lakh_core::with(Shard::guard);
            let mut socket = connect(&url).await.unwrap();
            opened.send(()).unwrap();
            assert_eq!(socket.recv().await, None);
            closed.send(socket.close_info().unwrap()).unwrap();
        });
        Ok(())
    });
    let runtime = runtime.unwrap();
    is_open.recv_timeout(SAFETY_NET).unwrap();
    runtime.drain_within(Duration::from_secs(4));
    let info = codes.recv_timeout(SAFETY_NET).unwrap();
    assert_eq!((info.code, info.by_peer), (CloseCode::Away, false));
    assert!(runtime.join(SAFETY_NET));
}

//! Topics: who gets what is published.

mod common;

use common::*;
use lakh_http::{App, Server, StatusCode, extract::Path, testing::TestServer};
use lakh_ws::{
    Callbacks, Config, DeflateOptions, Message, Payload, Relay, Socket, Topics, WebSocketRoutes, callbacks,
    proto::Opcode,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

/// Does what texts tell it to, and answers with the result: `+TOPIC`, `-TOPIC`, `?`, `!TOPIC MESSAGE`.
struct Obeys;

impl Callbacks for Obeys {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        let text = message.as_text().unwrap();
        let answer = match text.split_at(1) {
            ("+", topic) => format!("{:?}", socket.subscribe(topic)),
            ("-", topic) => format!("{}", socket.unsubscribe(topic)),
            ("?", _) => {
                let mut topics = socket.subscriptions();
                topics.sort();
                format!("{topics:?}")
            }
            ("!", rest) => {
                let (topic, message) = rest.split_once(' ').unwrap();
                return socket.publish(topic, message).unwrap();
            }
            ("#", _) => lakh_core::with(|shard| shard.id()).to_string(),
            _ => panic!("{text}"),
        };
        socket.send(&answer).unwrap();
    }
}

fn server(shards: usize, config: Config, topics: &Topics) -> TestServer {
    let (config, topics) = (config.topics(topics), topics.clone());
    let factory = move |_: &lakh_core::Shard| {
        let topics = topics.clone();
        App::new().ws_with("/", config.clone(), callbacks(|| Obeys)).post(
            "/publish/{topic}/{message}",
            move |Path((topic, message)): Path<(String, String)>| {
                topics.publish(&topic, message).unwrap();
                StatusCode::NO_CONTENT
            },
        )
    };
    TestServer::from_server(Server::new(factory).shards(shards))
}

impl Client {
    #[track_caller]
    fn ask_for(&mut self, command: &str, answer: &str) {
        self.text(command);
        self.expect_text(answer);
    }
}

/// Clients of which at least one is on each of two shards.
fn on_two_shards(server: &TestServer) -> Vec<Client> {
    let mut clients = Vec::new();
    let mut shards = BTreeSet::new();
    while clients.len() < 4 || shards.len() < 2 {
        assert!(clients.len() < 200, "all connections go to one shard");
        let mut client = Client::open(server, "/");
        client.text("#");
        shards.insert(client.frame().unwrap().payload);
        clients.push(client);
    }
    clients
}

#[test]
fn subscriptions_are_counted_and_refused_as_the_route_says() {
    let topics = Topics::new();
    let server = server(1, Config::new().max_subscriptions(2), &topics);
    let mut client = Client::open(&server, "/");
    client.ask_for("+a", "Ok(true)");
    client.ask_for("+a", "Ok(false)");
    client.ask_for("+b", "Ok(true)");
    client.ask_for("+c", "Err(TooMany)");
    client.ask_for("+a", "Ok(false)");
    client.ask_for("?", r#"["a", "b"]"#);
    client.ask_for("-c", "false");
    client.ask_for("-a", "true");
    client.ask_for("-a", "false");
    client.ask_for("+c", "Ok(true)");
    client.ask_for("?", r#"["b", "c"]"#);
    let mut counts = topics.counts();
    counts.sort();
    assert_eq!(counts, [("b".to_owned(), 1), ("c".to_owned(), 1)]);
    assert_eq!((topics.subscribers("a"), topics.subscribers("b")), (0, 1));
    client.close(1000, "");
    client.expect_close(1000);
    eventually("nobody is subscribed any more", || topics.counts().is_empty());
}

/// Its end of the connection may stay open for a while; the counts are of those who are there.
#[test]
fn a_peer_that_has_closed_or_broken_the_protocol_is_not_subscribed_any_more() {
    let topics = Topics::new();
    let server = server(1, Config::new(), &topics);
    for last in [close_frame(1000, ""), vec![0xff]] {
        let mut client = Client::open(&server, "/");
        client.ask_for("+a", "Ok(true)");
        client.send_bytes(&last);
        let _ = client.frame().expect("a close frame");
        assert_eq!(topics.subscribers("a"), 0, "before the connection has ended");
    }
}

#[test]
fn a_route_without_topics_has_none() {
    let server = TestServer::start(|_| App::new().ws("/", callbacks(|| Obeys)));
    let mut client = Client::open(&server, "/");
    client.ask_for("+a", "Err(NoTopics)");
    client.ask_for("-a", "false");
    client.expect_alive();
}

#[test]
fn sockets_handlers_and_threads_publish_to_the_subscribers_on_all_shards() {
    let topics = Topics::new();
    let server = server(2, Config::new(), &topics);
    let left = Left::of(&server);
    let mut clients = on_two_shards(&server);
    let mut other = Client::open(&server, "/");
    other.ask_for("+other", "Ok(true)");
    for client in &mut clients {
        client.ask_for("+news", "Ok(true)");
    }
    assert_eq!(topics.subscribers("news"), clients.len());
    other.text("!news of a socket that is not subscribed");
    clients.iter_mut().for_each(|client| client.expect_text("of a socket that is not subscribed"));
    clients[0].text("!news of a subscriber");
    clients.iter_mut().for_each(|client| client.expect_text("of a subscriber"));
    let mut publisher = Client::ask(
        server.addr(),
        b"POST /publish/news/of%20a%20handler HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(publisher.status(), 204);
    publisher.wait_for_end();
    clients.iter_mut().for_each(|client| client.expect_text("of a handler"));
    topics.publish("news", vec![1, 2, 3]).unwrap();
    clients.iter_mut().for_each(|client| client.expect(Opcode::Binary, [1, 2, 3]));
    topics.publish("nobody's", "nothing").unwrap();
    other.expect_alive();
    let delivered = 4 * clients.len() as u64;
    eventually("all are counted", || topics.metrics().delivered == delivered);
    let metrics = topics.metrics();
    assert_eq!((metrics.published, metrics.dropped, metrics.refused), (5, 0, 0));
    drop((clients, other));
    left.expect_the_same(&server);
    assert!(topics.counts().is_empty());
}

#[test]
fn the_messages_of_each_publisher_come_in_its_order() {
    const EACH: usize = 500;
    let topics = Topics::new();
    let server = server(2, Config::new(), &topics);
    let mut clients = on_two_shards(&server);
    clients.iter_mut().for_each(|client| client.ask_for("+t", "Ok(true)"));
    let threads = ["a", "b"].map(|name| {
        let topics = topics.clone();
        std::thread::spawn(move || {
            for number in 0..EACH {
                topics.publish("t", format!("{name} {number}")).unwrap();
                if number % 50 == 0 {
                    std::thread::yield_now();
                }
            }
        })
    });
    let texts: Vec<Vec<u8>> =
        (0..EACH).map(|number| frame(Opcode::Text, format!("!t c {number}").as_bytes())).collect();
    clients[0].send_bytes(&texts.concat());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for client in &mut clients {
        let mut next = BTreeMap::new();
        for _ in 0..3 * EACH {
            let text = String::from_utf8(client.frame().unwrap().payload).unwrap();
            let (name, number) = text.split_once(' ').unwrap();
            let due = next.entry(name.to_owned()).or_insert(0);
            assert_eq!(number, due.to_string(), "{text}");
            *due += 1;
        }
    }
}

#[test]
fn what_is_published_while_a_socket_sends_keeps_its_place() {
    struct Mixes;
    impl Callbacks for Mixes {
        fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
            if message == Payload::Text("subscribe") {
                socket.subscribe("t").unwrap();
            }
            socket.send("one").unwrap();
            socket.publish("t", "two").unwrap();
            socket.send("three").unwrap();
            socket.publish("t", "four").unwrap();
        }
    }
    let topics = Topics::new();
    let config = Config::new().topics(&topics);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), callbacks(|| Mixes)));
    let mut client = Client::open(&server, "/");
    client.send_bytes(&[frame(Opcode::Text, b"subscribe"), frame(Opcode::Text, b"again")].concat());
    for _ in 0..2 {
        ["one", "two", "three", "four"].iter().for_each(|text| client.expect_text(text));
    }
}

#[test]
fn a_message_is_compressed_for_those_who_take_that_and_plain_for_others() {
    let topics = Topics::new();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let small_window = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
    let server = server(1, Config::new().deflate(DeflateOptions::default()), &topics);
    let mut clients = [("", false), (offer, true), (small_window, false)]
        .map(|(fields, is_compressed)| (Client::open_with(&server, "/", fields, b""), is_compressed));
    for (client, _) in &mut clients {
        client.ask_for("+t", "Ok(true)");
    }
    let text = "the same words again and again, ".repeat(20);
    topics.publish("t", &*text).unwrap();
    topics.publish("t", "short").unwrap();
    for (client, is_compressed) in &mut clients {
        let frame = client.frame().unwrap();
        assert_eq!((frame.opcode, frame.compressed), (Opcode::Text, *is_compressed));
        if frame.compressed {
            let whole = [&frame.payload[..], &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
            assert_eq!(miniz_oxide::inflate::decompress_to_vec(&whole).unwrap(), text.as_bytes());
        } else {
            assert_eq!(frame.payload, text.as_bytes());
        }
        client.expect_text("short");
    }
}

#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<(String, Message)>>>);

impl Relay for Tape {
    fn relay(&self, topic: &str, message: &Message) {
        self.0.lock().unwrap().push((topic.to_owned(), message.clone()));
    }
}

#[test]
fn a_relay_gets_what_is_published_here_and_nothing_that_it_delivers() {
    let tape = Tape::default();
    let topics = Topics::with_relay(tape.clone());
    let server = server(1, Config::new(), &topics);
    let mut client = Client::open(&server, "/");
    client.ask_for("+t", "Ok(true)");
    client.text("!t ours");
    client.expect_text("ours");
    topics.publish("nobody's", vec![7]).unwrap();
    topics.deliver("t", "theirs").unwrap();
    client.expect_text("theirs");
    let relayed = tape.0.lock().unwrap().clone();
    assert_eq!(relayed, [("t".to_owned(), "ours".into()), ("nobody's".to_owned(), vec![7].into())]);
}

#[test]
fn topics_know_nothing_of_each_other() {
    let (one, two) = (Topics::new(), Topics::new());
    let configs = [&one, &two].map(|topics| Config::new().topics(topics));
    let server = TestServer::start(move |_| {
        let [one, two] = configs.clone();
        App::new().ws_with("/one", one, callbacks(|| Obeys)).ws_with("/two", two, callbacks(|| Obeys))
    });
    let mut clients = ["/one", "/two"].map(|path| Client::open(&server, path));
    clients.iter_mut().for_each(|client| client.ask_for("+t", "Ok(true)"));
    one.publish("t", "one").unwrap();
    two.publish("t", "two").unwrap();
    clients[0].expect_text("one");
    clients[1].expect_text("two");
    assert_eq!((one.subscribers("t"), two.subscribers("t")), (1, 1));
}

#[test]
fn topics_outlive_a_server_and_serve_the_next_one() {
    let topics = Topics::new();
    for _ in 0..2 {
        let server = server(2, Config::new(), &topics);
        let mut clients = on_two_shards(&server);
        clients.iter_mut().for_each(|client| client.ask_for("+t", "Ok(true)"));
        topics.publish("t", "hello").unwrap();
        clients.iter_mut().for_each(|client| client.expect_text("hello"));
        drop(server);
        eventually("nobody is subscribed any more", || topics.counts().is_empty());
        topics.publish("t", "to nobody").unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(usize, u8),
    Unsubscribe(usize, u8),
    Publish(usize, u8),
    /// Leaves, and comes back.
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..4_usize, 0..3_u8, 0..10_u8).prop_map(|(client, topic, kind)| match kind {
        0..=3 => Step::Subscribe(client, topic),
        4..=6 => Step::Unsubscribe(client, topic),
        7..=8 => Step::Publish(client, topic),
        _ => Step::Leave(client),
    });
    proptest::collection::vec(step, 1..60)
}

/// Four clients on one shard do the steps; a map of sets says what has to come of each.
fn run(server: &TestServer, topics: &Topics, steps: &[Step]) {
    let mut clients: Vec<_> = (0..4).map(|_| Client::open(server, "/")).collect();
    let mut model: BTreeMap<u8, BTreeSet<usize>> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Subscribe(client, topic) => {
                let is_new = model.entry(topic).or_default().insert(client);
                clients[client].ask_for(&format!("+{topic}"), &format!("Ok({is_new})"));
            }
            Step::Unsubscribe(client, topic) => {
                let was = model.entry(topic).or_default().remove(&client);
                clients[client].ask_for(&format!("-{topic}"), &was.to_string());
            }
            Step::Publish(client, topic) => {
                clients[client].text(&format!("!{topic} {number}"));
                clients[client].send(Opcode::Ping, b"");
                // All are queued before the pong, since they are on the same shard.
                let subscribed = model.entry(topic).or_default();
                if subscribed.contains(&client) {
                    clients[client].expect_text(&number.to_string());
                }
                clients[client].expect(Opcode::Pong, "");
                for (at, other) in clients.iter_mut().enumerate().filter(|(at, _)| *at != client) {
                    if subscribed.contains(&at) {
                        other.expect_text(&number.to_string());
                    }
                    other.expect_alive();
                }
            }
            Step::Leave(client) => {
                clients[client].close(1000, "");
                clients[client].expect_close(1000);
                clients[client] = Client::open(server, "/");
                model.values_mut().for_each(|subscribed| _ = subscribed.remove(&client));
                let is_gone = || counts(topics) == model_counts(&model);
                eventually("it is not subscribed any more", is_gone);
            }
        }
        assert_eq!(counts(topics), model_counts(&model));
    }
    drop(clients);
    eventually("nobody is subscribed any more", || topics.counts().is_empty());
}

fn counts(topics: &Topics) -> BTreeMap<String, usize> {
    topics.counts().into_iter().collect()
}

fn model_counts(model: &BTreeMap<u8, BTreeSet<usize>>) -> BTreeMap<String, usize> {
    let counts = model.iter().map(|(topic, clients)| (topic.to_string(), clients.len()));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn any_order_of_subscribing_and_leaving_is_that_of_a_map_of_sets() {
    let topics = Topics::new();
    let server = server(1, Config::new(), &topics);
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in steps())| run(&server, &topics, &steps));
}

#[test]
fn a_topic_of_few_does_not_wait_for_one_of_many() {
    const MANY: usize = 600;
    let topics = Topics::new();
    let config = Config::new().topics(&topics);
    let one: Arc<Mutex<Option<std::net::TcpStream>>> = Arc::default();
    let (publisher, peer) = (topics.clone(), Arc::clone(&one));
    let server = TestServer::start(move |_| {
        let (topics, peer) = (publisher.clone(), Arc::clone(&peer));
        App::new().ws_with("/", config.clone(), callbacks(|| Obeys)).get("/publish", move || {
            let (topics, peer) = (topics.clone(), Arc::clone(&peer));
            async move {
                topics.publish("many", "to all").unwrap();
                topics.publish("few", "to one").unwrap();
                // Those of many take five turns.
                for _ in 0..3 {
                    lakh_core::yield_now().await;
                }
                let peer = peer.lock().unwrap().take().unwrap();
                peer.set_nonblocking(true).unwrap();
                let is_there = peer.peek(&mut [0]).is_ok();
                peer.set_nonblocking(false).unwrap();
                is_there.to_string()
            }
        })
    });
    let mut many: Vec<Client> = (0..MANY).map(|_| Client::open(&server, "/")).collect();
    many.iter_mut().for_each(|client| client.ask_for("+many", "Ok(true)"));
    let mut few = Client::open(&server, "/");
    few.ask_for("+few", "Ok(true)");
    *one.lock().unwrap() = Some(few.stream.try_clone().unwrap());
    assert_eq!(server.get("/publish").send().text(), "true");
    few.expect_text("to one");
    many.iter_mut().for_each(|client| client.expect_text("to all"));
}

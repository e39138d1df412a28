//! Subscribers that do not take what is published as fast as it is.

mod common;

use common::*;
use lakh_http::{App, extract::Path, testing::TestServer};
use lakh_ws::{
    Callbacks, Config, Message, Payload, SlowConsumer, Socket, Topics, WebSocketRoutes, callbacks,
    proto::Opcode,
};
use std::{cell::RefCell, rc::Rc};

const LEN: usize = 100_000;
const QUEUE: usize = 300_000;
/// Bytes of a subscriber's own messages.
const OWN: usize = 5000;

/// Begins with its number.
fn message(number: u32) -> Message {
    Message::from(number.to_be_bytes().repeat(LEN / 4))
}

fn number(frame: &Frame) -> u32 {
    assert_eq!((frame.opcode, frame.payload.len()), (Opcode::Binary, LEN));
    let number = frame.payload.first_chunk().unwrap();
    assert!(frame.payload.chunks(4).all(|bytes| bytes == number), "one message, not parts of two");
    u32::from_be_bytes(*number)
}

/// Subscribes to the topic that its path says; sends as many messages of its own as a text says.
struct Subscriber {
    topic: String,
    all: Rc<RefCell<Vec<Socket>>>,
}

impl Callbacks for Subscriber {
    fn on_open(&mut self, socket: &Socket) {
        socket.subscribe(&self.topic).unwrap();
        self.all.borrow_mut().push(socket.clone());
        socket.send("subscribed").unwrap();
    }

    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        for _ in 0..message.as_text().unwrap().parse().unwrap() {
            let _ = socket.send(&vec![b'o'; OWN]);
        }
    }
}

struct Server {
    server: TestServer,
    topics: Topics,
}

impl Server {
    fn start(config: Config) -> Self {
        let topics = Topics::new();
        let config = config.topics(&topics);
        let server = TestServer::start(move |_| {
            let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
            let all = Rc::clone(&sockets);
            let make = move |Path(topic)| Subscriber { topic, all: Rc::clone(&all) };
            App::new().ws_with("/{topic}", config.clone(), callbacks(make)).get("/queued", move || {
                let queued: Vec<usize> = sockets.borrow().iter().map(Socket::queued).collect();
                format!("{} {}", queued.iter().sum::<usize>(), queued.iter().max().unwrap_or(&0))
            })
        });
        Server { server, topics }
    }

    fn policy(policy: SlowConsumer) -> Self {
        // Readers that the machine lets wait are not asked for a sign of life.
        Self::start(Config::new().queue(QUEUE).slow_consumer(policy).idle_timeout(None))
    }

    fn subscribe(&self) -> Client {
        let mut client = Client::open(&self.server, "/t");
        client.expect_text("subscribed");
        client
    }

    /// One that is soon slow.
    fn subscribe_narrow(&self) -> Client {
        self.subscribe_narrow_to("/t")
    }

    fn subscribe_narrow_to(&self, path: &str) -> Client {
        let mut client = Client::open_narrow(&self.server, path);
        client.expect_text("subscribed");
        client
    }

    /// The bytes that wait, of all and of the one for whom most do.
    fn queued(&self) -> (usize, usize) {
        let text = self.server.get("/queued").send().text();
        let (all, most) = text.split_once(' ').unwrap();
        (all.parse().unwrap(), most.parse().unwrap())
    }

    /// Publishes until some subscriber has not got a message; `reader` gets all. How many there were.
    fn publish_until_one_is_slow(&self, reader: &mut Client) -> u32 {
        let mut next = 0;
        while self.topics.metrics().dropped == 0 {
            assert!(next < 1000, "nobody is slow");
            self.publish(&mut next, reader);
        }
        // And a few more.
        (0..5).for_each(|_| self.publish(&mut next, reader));
        next
    }

    fn publish(&self, next: &mut u32, reader: &mut Client) {
        self.topics.publish("t", message(*next)).unwrap();
        assert_eq!(number(&reader.frame().unwrap()), *next);
        *next += 1;
        let (all, most) = self.queued();
        // The last message of one's own may go beyond it.
        assert!(all <= most + LEN + 100 && most < QUEUE + OWN + 10, "{all} {most}");
    }
}

/// The numbers that a client gets up to the pong of its ping.
fn numbers(client: &mut Client) -> Vec<u32> {
    client.send(Opcode::Ping, b"");
    let frames = std::iter::from_fn(|| client.frame().filter(|frame| frame.opcode != Opcode::Pong));
    frames.map(|frame| number(&frame)).collect()
}

#[test]
fn a_slow_subscriber_misses_what_has_no_room_and_others_miss_nothing() {
    let server = Server::policy(SlowConsumer::Drop);
    let (mut slow, mut reader) = (server.subscribe_narrow(), server.subscribe());
    let published = server.publish_until_one_is_slow(&mut reader);
    let got = numbers(&mut slow);
    assert!(got.iter().copied().eq(0..got.len() as u32), "the first ones: {got:?}");
    assert!(got.len() < published as usize);
    server.topics.publish("t", message(published)).unwrap();
    assert_eq!(number(&slow.frame().unwrap()), published);
    slow.expect_alive();
}

#[test]
fn a_slow_subscriber_gets_the_latest_message_in_place_of_those_that_wait() {
    let server = Server::policy(SlowConsumer::KeepLatest);
    let (mut slow, mut reader) = (server.subscribe_narrow(), server.subscribe());
    let mut next = 0;
    // Until its queue was emptied: it does not grow any more though nothing is read.
    let mut before = 0;
    loop {
        server.publish(&mut next, &mut reader);
        let (_, most) = server.queued();
        if most > 0 && most <= before {
            break;
        }
        before = most;
        assert!(next < 1000, "nobody is slow");
    }
    (0..10).for_each(|_| server.publish(&mut next, &mut reader));
    assert_eq!(server.topics.metrics().dropped, 0, "all of them were queued");
    let got = numbers(&mut slow);
    assert!(got.is_sorted() && got.last() == Some(&(next - 1)), "{got:?}");
    assert!(got.len() < next as usize - 4);
}

/// A subscriber to whom a message is half sent that fills up its queue, and how many there have been.
fn half_sent() -> (Server, Client, u32) {
    let config = Config::new().queue(1000).slow_consumer(SlowConsumer::KeepLatest).idle_timeout(None);
    let server = Server::start(config);
    let slow = server.subscribe_narrow();
    let mut next = 0;
    while server.queued().0 == 0 {
        assert!(next < 1000, "the kernel takes everything");
        server.topics.publish("t", message(next)).unwrap();
        next += 1;
    }
    (server, slow, next)
}

#[test]
fn the_latest_message_waits_behind_one_that_is_half_sent_though_that_fills_the_queue() {
    let (server, mut slow, mut next) = half_sent();
    for _ in 0..5 {
        server.topics.publish("t", message(next)).unwrap();
        next += 1;
        assert!(server.queued().0 <= 2 * (LEN + 10), "one that is half sent, and the latest");
    }
    let got = numbers(&mut slow);
    assert!(got.is_sorted() && got.last() == Some(&(next - 1)), "{got:?} of {next}");
    let metrics = server.topics.metrics();
    assert_eq!((metrics.delivered, metrics.dropped), (u64::from(next), 0), "each was queued");
}

#[test]
fn of_messages_that_come_together_the_latest_counts_as_delivered_and_the_others_as_dropped() {
    let (server, mut slow, next) = half_sent();
    let topics = server.topics.clone();
    on_shard(&server.server, move || {
        (0..4).for_each(|number| topics.publish("t", vec![number; 500]).unwrap());
    });
    server.queued();
    let metrics = server.topics.metrics();
    assert_eq!((metrics.delivered, metrics.dropped), (u64::from(next) + 1, 3));
    slow.send(Opcode::Ping, b"");
    let frames = std::iter::from_fn(|| slow.frame().filter(|frame| frame.opcode != Opcode::Pong));
    assert_eq!(frames.last().unwrap().payload, [3; 500]);
}

#[test]
fn a_latest_message_that_is_longer_than_those_that_wait_is_not_lost_with_them() {
    let config = Config::new().queue(LEN).slow_consumer(SlowConsumer::KeepLatest).idle_timeout(None);
    let server = Server::start(config);
    let mut slow = server.subscribe_narrow();
    let mut asked = 0;
    while server.queued().0 == 0 {
        assert!(asked < 100_000, "the kernel takes everything");
        slow.text("1");
        asked += 1;
    }
    server.topics.publish("t", "short").unwrap();
    server.topics.publish("t", message(7)).unwrap();
    server.queued();
    slow.send(Opcode::Ping, b"");
    let frames = std::iter::from_fn(|| slow.frame().filter(|frame| frame.opcode != Opcode::Pong));
    let of_topic = frames.filter(|frame| frame.payload.len() != OWN);
    assert_eq!(number(&of_topic.last().expect("one of them")), 7);
}

#[test]
fn a_slow_subscriber_is_closed_with_1013() {
    let server = Server::policy(SlowConsumer::Close);
    let left = Left::of(&server.server);
    let (mut slow, mut reader) = (server.subscribe_narrow(), server.subscribe());
    let published = server.publish_until_one_is_slow(&mut reader);
    let mut got = 0;
    let close = loop {
        match slow.frame().unwrap() {
            frame if frame.opcode == Opcode::Close => break frame.payload,
            frame => assert_eq!(number(&frame), got),
        }
        got += 1;
    };
    assert_eq!(close, b"\x03\xf5too slow");
    assert!(got < published);
    slow.close(1013, "");
    slow.expect_end();
    eventually("it is not subscribed any more", || server.topics.subscribers("t") == 1);
    reader.close(1000, "");
    reader.expect_close(1000);
    drop((slow, reader));
    drop_idle(&server);
    left.expect_the_same(&server.server);
}

/// The client of [`TestServer`] keeps its connection; this asks on one that is closed.
fn drop_idle(server: &Server) {
    server.server.get("/queued").header("connection", "close").send().text();
}

#[test]
fn frames_of_a_slow_subscribers_own_are_whole_when_it_is_closed() {
    let server = Server::policy(SlowConsumer::Close);
    for own in [1, 2, 7, 30, 400] {
        let (mut slow, mut reader) = (server.subscribe_narrow(), server.subscribe());
        let before = server.topics.metrics().dropped;
        // What the kernel takes of its own messages ends somewhere within one.
        let mut asked = 0;
        while server.queued().1 == 0 {
            assert!(asked < 100_000, "the kernel takes everything");
            slow.text(&own.to_string());
            asked += 1;
        }
        let mut next = 0;
        while server.topics.metrics().dropped == before {
            assert!(next < 1000, "nobody is slow");
            server.topics.publish("t", message(next)).unwrap();
            assert_eq!(number(&reader.frame().unwrap()), next);
            next += 1;
        }
        let close = std::iter::from_fn(|| slow.frame()).find(|frame| {
            match frame.opcode {
                Opcode::Text => unreachable!(),
                Opcode::Binary if frame.payload.len() == OWN => {
                    assert!(frame.payload.iter().all(|byte| *byte == b'o'));
                }
                Opcode::Binary => _ = number(frame),
                _ => {}
            }
            frame.opcode == Opcode::Close
        });
        assert_eq!(close.unwrap().payload, b"\x03\xf5too slow");
    }
}

#[test]
fn subscribers_of_a_shard_have_no_more_waiting_than_the_shard_may() {
    const CAP: usize = 3_000_000;
    let config = Config::new().queue(QUEUE).shard_queue(CAP).slow_consumer(SlowConsumer::Drop);
    let server = Server::start(config);
    let topics: Vec<String> = (0..20).map(|at| format!("/{at}")).collect();
    let mut slow: Vec<Client> = topics.iter().map(|path| server.subscribe_narrow_to(path)).collect();
    let mut most_of_all = 0;
    let mut next = 0;
    while server.topics.metrics().dropped < 50 {
        assert!(next < 1000, "nobody is slow");
        topics.iter().for_each(|path| server.topics.publish(&path[1..], message(next)).unwrap());
        next += 1;
        let (all, most) = server.queued();
        // The last message may go beyond it.
        assert!(all < CAP + LEN + 10 && most <= QUEUE, "{all} {most}");
        most_of_all = most_of_all.max(all);
    }
    // A frame counts for its shard until all of it is sent.
    assert!(most_of_all > CAP / 4, "{most_of_all} of {CAP}");
    for client in &mut slow {
        let got = numbers(client);
        assert!(got.is_sorted(), "{got:?}");
    }
    assert_eq!(server.queued(), (0, 0));
}

#[test]
fn one_reader_that_never_reads_among_many_holds_up_nobody() {
    const READERS: usize = 200;
    let server = Server::policy(SlowConsumer::Drop);
    let _slow = server.subscribe_narrow();
    let mut readers: Vec<Client> = (0..READERS).map(|_| server.subscribe()).collect();
    let mut next = 0_u64;
    while server.topics.metrics().dropped < 20 {
        assert!(next < 1000, "nobody is slow");
        server.topics.publish("t", Message::from(next.to_be_bytes().repeat(5000))).unwrap();
        for reader in &mut readers {
            let payload = reader.frame().unwrap().payload;
            assert!(
                payload.starts_with(&next.to_be_bytes()),
                "{:?} in place of {next}, {} bytes",
                payload.first_chunk::<8>(),
                payload.len()
            );
        }
        assert!(server.queued().0 <= QUEUE);
        next += 1;
    }
    let metrics = server.topics.metrics();
    assert_eq!(metrics.delivered + metrics.dropped, next * (READERS as u64 + 1));
    assert_eq!((metrics.published, metrics.refused), (next, 0));
}

#[test]
fn what_many_wait_for_counts_once_for_their_shard() {
    const SUBSCRIBERS: usize = 40;
    // Of which each has two topics: so messages are queued for all of them at once.
    struct Two;
    impl Callbacks for Two {
        fn on_open(&mut self, socket: &Socket) {
            socket.subscribe("t").unwrap();
            socket.subscribe("u").unwrap();
            socket.send("subscribed").unwrap();
        }
        fn on_message(&mut self, _: &Socket, _: Payload<'_>) {}
    }
    let topics = Topics::new();
    let config = Config::new().shard_queue(2 * LEN).topics(&topics);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), callbacks(|| Two)));
    let mut clients: Vec<Client> = (0..SUBSCRIBERS).map(|_| Client::open(&server, "/")).collect();
    clients.iter_mut().for_each(|client| client.expect_text("subscribed"));
    for next in 0..3 {
        topics.publish("t", message(next)).unwrap();
        for client in &mut clients {
            assert_eq!(number(&client.frame().expect("nobody is slow")), next);
        }
    }
    assert_eq!(topics.metrics().dropped, 0);
}

#[test]
fn the_latest_message_takes_the_place_of_others_in_a_shard_that_has_no_room() {
    let config = Config::new().queue(QUEUE).shard_queue(1_000_000).slow_consumer(SlowConsumer::KeepLatest);
    let server = Server::start(config);
    let (mut one, mut two) = (server.subscribe_narrow(), server.subscribe_narrow());
    let publish = |number| {
        server.topics.publish("t", message(number)).unwrap();
        server.queued()
    };
    (0..100).for_each(|number| _ = publish(number));
    // Messages of their own fill up the shard, until no more is queued.
    let mut others: Vec<Client> = (0..4).map(|_| server.subscribe_narrow_to("/other")).collect();
    let (mut rounds, mut full) = (0, 0);
    while full < 10 {
        assert!(rounds < 1000, "the kernel takes everything");
        others.iter_mut().for_each(|other| other.text("100"));
        full += u32::from(server.queued().0 > 800_000);
        rounds += 1;
    }
    (100..110).for_each(|number| _ = publish(number));
    for client in [&mut one, &mut two] {
        assert_eq!(numbers(client).last(), Some(&109));
    }
}

#[test]
fn more_than_may_wait_for_its_round_waits_in_the_subscribers_queues() {
    const COUNT: u32 = 40;
    const LONG: usize = 2 << 20;
    let topics = Topics::new();
    let config = Config::new().queue(200 << 20).topics(&topics);
    let publisher = topics.clone();
    let server = TestServer::start(move |_| {
        let make = |Path(topic)| Subscriber { topic, all: Rc::default() };
        let publisher = publisher.clone();
        App::new().ws_with("/{topic}", config.clone(), callbacks(make)).get("/publish", move || {
            for number in 0..COUNT {
                publisher.publish("t", number.to_be_bytes().repeat(LONG / 4)).unwrap();
            }
            "published"
        })
    });
    let mut client = Client::open(&server, "/t");
    client.expect_text("subscribed");
    server.get("/publish").send().text();
    for number in 0..COUNT {
        let frame = client.frame().unwrap();
        assert!(frame.payload.len() == LONG && frame.payload.starts_with(&number.to_be_bytes()));
    }
    assert_eq!(topics.metrics().dropped, 0);
}

//! Topics of many: what a turn of their shard may cost, and what each of the subscribers gets.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    Callbacks, CloseCode, Config, Message, Payload, SlowConsumer, Socket, Topics, WebSocketRoutes, callbacks,
    proto::Opcode,
};
use proptest::prelude::*;
use std::{cell::RefCell, collections::BTreeSet, future::Future, io::Write, rc::Rc, sync::mpsc};

/// So many subscribers are served before others have their turn (`AT_ONCE` of `rounds.rs`).
const OF_A_TURN: usize = 128;

thread_local! {
    /// All that the shard has, in the order in which they have come.
    static SOCKETS: RefCell<Vec<Socket>> = const { RefCell::new(Vec::new()) };
}

struct Listens;

impl Callbacks for Listens {
    fn on_open(&mut self, socket: &Socket) {
        SOCKETS.with_borrow_mut(|sockets| sockets.push(socket.clone()));
    }

    fn on_message(&mut self, _: &Socket, _: Payload<'_>) {}
}

/// One shard, and sockets that a test on that shard does with as it likes.
struct Hall {
    server: TestServer,
    topics: Topics,
    clients: Vec<Client>,
}

impl Hall {
    fn open(config: Config, clients: usize, open: impl Fn(&TestServer, &str) -> Client) -> Self {
        let topics = Topics::new();
        // Clients that say nothing for as long as a slow machine likes.
        let config = config.topics(&topics).idle_timeout(None);
        let server =
            TestServer::start(move |_| App::new().ws_with("/", config.clone(), callbacks(|| Listens)));
        let clients: Vec<Client> = (0..clients).map(|_| open(&server, "/")).collect();
        let are_open = || on_shard(&server, || SOCKETS.with_borrow(Vec::len)) == clients.len();
        eventually("all handlers have been told of their sockets", are_open);
        Hall { server, topics, clients }
    }

    /// Runs a task on the shard, with its sockets.
    fn run<R, F>(&self, task: impl FnOnce(Sockets) -> F + Send + 'static) -> R
    where
        R: Send + 'static,
        F: Future<Output = R> + 'static,
    {
        let (tell, told) = mpsc::channel();
        let shard = self.server.running().shards().next().unwrap();
        let topics = self.topics.clone();
        let make = move || {
            let all = Rc::new(SOCKETS.with_borrow(Clone::clone));
            let task = task(Sockets { all, topics });
            async move { tell.send(task.await).unwrap() }
        };
        shard.spawn_on(make).unwrap();
        told.recv_timeout(SAFETY_NET).unwrap()
    }
}

#[derive(Clone)]
struct Sockets {
    all: Rc<Vec<Socket>>,
    topics: Topics,
}

impl Sockets {
    fn publish(&self, topic: &str, message: impl Into<Message>) {
        self.topics.publish(topic, message).unwrap();
    }

    /// For how many something waits, or to whom something else has been done.
    fn touched(&self) -> usize {
        self.all.iter().filter(|socket| socket.queued() > 0 || !socket.is_open()).count()
    }

    fn delivered(&self) -> usize {
        self.topics.metrics().delivered.try_into().unwrap()
    }
}

#[test]
fn who_joins_leaves_or_sends_during_a_round_costs_nobody_else_anything() {
    const MANY: usize = 2000;
    let mut hall = Hall::open(Config::new(), MANY, Client::open);
    let begun = hall.run(|sockets| async move {
        let subscribers = &sockets.all[1..];
        subscribers.iter().for_each(|socket| assert!(socket.subscribe("t").unwrap()));
        sockets.publish("t", "first");
        lakh_core::yield_now().await;
        lakh_core::yield_now().await;
        let begun = sockets.delivered();
        assert!((OF_A_TURN..=3 * OF_A_TURN).contains(&begun), "the round has begun: {begun}");
        assert_eq!(sockets.touched(), 0, "the kernel takes what is given out");
        // All in this turn.
        sockets.all[0].subscribe("t").unwrap();
        assert_eq!((sockets.delivered(), sockets.touched()), (begun, 0), "who joins");
        subscribers[0].send("own").unwrap();
        assert_eq!((sockets.delivered(), sockets.touched()), (begun, 1), "who has got it sends");
        subscribers[1].unsubscribe("t");
        assert_eq!((sockets.delivered(), sockets.touched()), (begun, 1), "who has got it leaves");
        subscribers[MANY - 2].send("own").unwrap();
        assert_eq!((sockets.delivered(), sockets.touched()), (begun + 1, 2), "who has not got it sends");
        subscribers[MANY - 3].unsubscribe("t");
        assert_eq!((sockets.delivered(), sockets.touched()), (begun + 2, 3), "who has not got it leaves");
        subscribers[MANY - 4].close(CloseCode::Normal, "");
        assert_eq!((sockets.delivered(), sockets.touched()), (begun + 3, 4), "who has not got it closes");
        sockets.publish("t", "second");
        assert_eq!((sockets.delivered(), sockets.touched()), (begun + 3, 4), "what is published waits");
        begun
    });
    assert!(begun < MANY);
    let (joined, left, closed) = (0, [2, MANY - 2], MANY - 3);
    for (number, client) in hall.clients.iter_mut().enumerate() {
        if number != joined {
            client.expect_text("first");
        }
        if [1, MANY - 1].contains(&number) {
            client.expect_text("own");
        }
        if number == closed {
            client.expect_close_frame(1000);
        } else if !left.contains(&number) {
            client.expect_text("second");
        }
    }
}

#[test]
fn what_was_published_before_a_peers_close_frame_is_read_comes_before_its_answer() {
    let mut hall = Hall::open(Config::new(), 2, Client::open);
    let mut peer = hall.clients[1].stream.try_clone().unwrap();
    hall.run(|sockets| async move {
        sockets.all.iter().for_each(|socket| assert!(socket.subscribe("t").unwrap()));
        peer.write_all(&close_frame(1000, "")).unwrap();
        // The next turn begins with this task; then comes the connection, and then the round.
        lakh_core::yield_now().await;
        sockets.publish("t", "last");
    });
    hall.clients[1].expect_text("last");
    hall.clients[1].expect_close(1000);
    hall.clients[0].expect_text("last");
}

#[test]
fn who_has_several_topics_waits_for_its_turn_as_the_others_do() {
    const MANY: usize = 600;
    let mut hall = Hall::open(Config::new(), MANY, Client::open);
    hall.run(|sockets| async move {
        for socket in sockets.all.iter() {
            ["a", "b", "c"].iter().for_each(|topic| assert!(socket.subscribe(topic).unwrap()));
        }
        for number in 0..3 {
            ["a", "b", "a", "c"].iter().for_each(|topic| sockets.publish(topic, format!("{topic}{number}")));
        }
        assert_eq!((sockets.delivered(), sockets.touched()), (0, 0), "in the publisher's turn");
        let mut before = 0;
        while sockets.delivered() < 12 * MANY {
            lakh_core::yield_now().await;
            let delivered = sockets.delivered();
            assert!(delivered - before <= 12 * OF_A_TURN, "{before} {delivered}");
            before = delivered;
        }
    });
    for client in &mut hall.clients {
        for number in 0..3 {
            ["a", "b", "a", "c"].iter().for_each(|topic| client.expect_text(&format!("{topic}{number}")));
        }
    }
}

#[test]
fn more_than_a_shard_gives_out_is_up_to_the_sockets_policy_when_their_turn_comes() {
    const MANY: usize = 300;
    const LEN: usize = 1 << 20;
    const COUNT: usize = 80;
    for policy in [SlowConsumer::Drop, SlowConsumer::KeepLatest, SlowConsumer::Close] {
        let config = Config::new().slow_consumer(policy).queue(LEN);
        let mut hall = Hall::open(config, MANY, Client::open_narrow);
        let closed = hall.run(move |sockets| async move {
            sockets.all.iter().for_each(|socket| assert!(socket.subscribe("t").unwrap()));
            for number in 0..COUNT {
                sockets.publish("t", (number as u32).to_be_bytes().repeat(LEN / 4));
            }
            assert!(sockets.touched() <= OF_A_TURN, "{} in the publisher's turn", sockets.touched());
            let all = || (sockets.topics.metrics().delivered + sockets.topics.metrics().dropped) as usize;
            let (mut touched, mut turns) = (sockets.touched(), 0);
            while all() < COUNT * MANY {
                lakh_core::yield_now().await;
                assert!(sockets.touched() <= touched + OF_A_TURN, "{policy:?} {touched}");
                touched = sockets.touched();
                turns += 1;
                assert!(turns < 100_000, "{} messages have become of nothing", COUNT * MANY - all());
            }
            assert_eq!(all(), COUNT * MANY);
            sockets.all.iter().filter(|socket| socket.close_info().is_some()).count()
        });
        let client = hall.clients.last_mut().unwrap();
        let mut last = None;
        if policy == SlowConsumer::Close {
            assert_eq!(closed, MANY, "all of them miss something");
            while let Some(frame) = client.frame().filter(|frame| frame.opcode == Opcode::Binary) {
                last = Some(number(&frame));
            }
            assert!(last.is_none_or(|last| last == 0));
            continue;
        }
        assert_eq!(closed, 0);
        client.send(Opcode::Ping, b"");
        while let Some(frame) = client.frame().filter(|frame| frame.opcode == Opcode::Binary) {
            assert!(last.is_none_or(|last| last < number(&frame)), "in order");
            last = Some(number(&frame));
        }
        assert_eq!(last == Some(COUNT as u32 - 1), policy == SlowConsumer::KeepLatest, "{policy:?} {last:?}");
    }
}

#[test]
fn short_messages_that_wait_for_a_socket_count_with_the_places_that_they_take() {
    const QUEUE: usize = 300_000;
    const SHORT: usize = 8000;
    let config = Config::new().slow_consumer(SlowConsumer::Drop).queue(QUEUE);
    let hall = Hall::open(config, 1, Client::open_narrow);
    let queued = hall.run(|sockets| async move {
        sockets.all[0].subscribe("t").unwrap();
        for _ in 0..1000 {
            sockets.publish("t", vec![0; 100_000]);
            lakh_core::yield_now().await;
            lakh_core::yield_now().await;
            if sockets.touched() > 0 {
                break;
            }
        }
        for _ in 0..SHORT {
            sockets.publish("t", "each of its own");
            lakh_core::yield_now().await;
            lakh_core::yield_now().await;
        }
        sockets.all[0].queued()
    });
    let dropped = hall.topics.metrics().dropped as usize;
    assert!((1000..SHORT).contains(&dropped), "some are not queued: {dropped}");
    assert!(queued + (SHORT - dropped) * 30 < QUEUE, "{queued} with {dropped} left out");
}

fn number(frame: &Frame) -> u32 {
    u32::from_be_bytes(*frame.payload.first_chunk().unwrap())
}

/// Enough that a round of either topic takes several turns.
const CROWD: usize = 500;
const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Join(usize, usize),
    Leave(usize, usize),
    Send(usize),
    Publish(usize),
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly a few that much happens to, at either end and in the middle.
    let socket = prop_oneof![0..CROWD, 0..4_usize, CROWD - 4..CROWD, 250..260_usize];
    let step = (socket, 0..3_usize, 0..20_u8).prop_map(|(socket, topic, kind)| match kind {
        0..=2 => Step::Join(socket, topic),
        3..=5 => Step::Leave(socket, topic),
        6..=8 => Step::Send(socket),
        9..=13 => Step::Publish(topic),
        _ => Step::Turn,
    });
    proptest::collection::vec(step, 1..80)
}

/// Which topics they have at the beginning: none, one, or several.
fn first_topics(socket: usize) -> BTreeSet<usize> {
    (0..3).filter(|topic| (socket >> topic) & 1 == 1).collect()
}

/// What each socket has to get.
#[derive(Clone)]
struct Model {
    topics: Vec<BTreeSet<usize>>,
    texts: Vec<Vec<String>>,
}

async fn act(sockets: Sockets, steps: Vec<Step>) -> Vec<Vec<String>> {
    let mut model = Model { topics: (0..CROWD).map(first_topics).collect(), texts: vec![Vec::new(); CROWD] };
    for (socket, topics) in sockets.all.iter().zip(&model.topics) {
        topics.iter().for_each(|topic| assert!(socket.subscribe(NAMES[*topic]).unwrap()));
    }
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Join(at, topic) => {
                let is_new = sockets.all[at].subscribe(NAMES[topic]).unwrap();
                assert_eq!(is_new, model.topics[at].insert(topic));
            }
            Step::Leave(at, topic) => {
                let was = sockets.all[at].unsubscribe(NAMES[topic]);
                assert_eq!(was, model.topics[at].remove(&topic));
            }
            Step::Send(at) => {
                sockets.all[at].send(&format!("own {number}")).unwrap();
                model.texts[at].push(format!("own {number}"));
            }
            Step::Publish(topic) => {
                sockets.publish(NAMES[topic], format!("{topic} {number}"));
                for at in (0..CROWD).filter(|at| model.topics[*at].contains(&topic)) {
                    model.texts[at].push(format!("{topic} {number}"));
                }
            }
            Step::Turn => lakh_core::yield_now().await,
        }
    }
    for (socket, texts) in sockets.all.iter().zip(&mut model.texts) {
        NAMES.iter().for_each(|topic| _ = socket.unsubscribe(topic));
        socket.send("end").unwrap();
        texts.push("end".to_owned());
    }
    model.texts
}

#[test]
fn every_socket_gets_what_is_published_while_it_is_subscribed_once_and_in_order() {
    let hall = RefCell::new(Hall::open(Config::new(), CROWD, Client::open));
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in steps())| {
        let hall = &mut *hall.borrow_mut();
        let given = steps.clone();
        let texts = hall.run(move |sockets| act(sockets, given));
        for (number, (client, texts)) in hall.clients.iter_mut().zip(texts).enumerate() {
            let mut got = Vec::new();
            while got.last().is_none_or(|last| last != "end") {
                got.push(String::from_utf8(client.frame().unwrap().payload).unwrap());
            }
            prop_assert_eq!(got, texts, "socket {}", number);
        }
        let metrics = hall.topics.metrics();
        prop_assert_eq!((metrics.dropped, metrics.refused), (0, 0));
    });
}

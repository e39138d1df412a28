//! Topics of several shards: what is published on one while another is busy.

mod common;

use common::*;
use lakh_core::ShardHandle;
use lakh_http::{App, Server, testing::TestServer};
use lakh_ws::{Callbacks, Config, Payload, PublishError, Socket, Topics, WebSocketRoutes, callbacks};
use std::sync::mpsc::{self, Sender};

/// Says on which shard it is, and is subscribed to the topic.
struct Listens;

impl Callbacks for Listens {
    fn on_open(&mut self, socket: &Socket) {
        socket.subscribe("t").unwrap();
        socket.send(&lakh_core::with(|shard| shard.id()).to_string()).unwrap();
    }

    fn on_message(&mut self, _: &Socket, _: Payload<'_>) {}
}

/// Two shards, of which the first publishes, with a client on each.
struct Pair {
    _server: TestServer,
    topics: Topics,
    shards: [ShardHandle; 2],
    clients: [Client; 2],
}

impl Pair {
    fn start() -> Self {
        let topics = Topics::new();
        let config = Config::new().topics(&topics).queue(256 << 20).idle_timeout(None);
        let factory =
            move |_: &lakh_core::Shard| App::new().ws_with("/", config.clone(), callbacks(|| Listens));
        let server = TestServer::from_server(Server::new(factory).shards(2));
        let shards: Vec<ShardHandle> = server.running().shards().cloned().collect();
        let mut clients = [None, None];
        for _ in 0..200 {
            let mut client = Client::open(&server, "/");
            let shard = String::from_utf8(client.frame().unwrap().payload).unwrap();
            let at = shards.iter().position(|handle| handle.id().to_string() == shard).unwrap();
            clients[at].get_or_insert(client);
            if clients.iter().all(Option::is_some) {
                break;
            }
        }
        // Whoever was one too many has gone.
        eventually("one is on each", || topics.subscribers("t") == 2);
        let clients = clients.map(|client| client.expect("connections go to both shards"));
        Pair { _server: server, topics, shards: shards.try_into().unwrap(), clients }
    }

    /// Publishes messages on the first shard, within one turn; how many it was told that some miss.
    fn publish(&self, messages: Vec<Vec<u8>>) -> usize {
        let (tell, told) = mpsc::channel();
        let topics = self.topics.clone();
        let publish = move |_: &lakh_core::Shard| {
            let all = messages.into_iter().map(|message| topics.publish("t", message));
            tell.send(all.filter(|published| *published == Err(PublishError::Refused)).count()).unwrap();
        };
        self.shards[0].send(publish).unwrap();
        told.recv_timeout(SAFETY_NET).unwrap()
    }

    /// Lets the second shard do nothing until the sender is dropped.
    fn hold_up(&self) -> Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let wait = move |_: &lakh_core::Shard| {
            tell.send(()).unwrap();
            let _ = released.recv_timeout(SAFETY_NET);
        };
        self.shards[1].send(wait).unwrap();
        told.recv_timeout(SAFETY_NET).unwrap();
        release
    }

    /// Fills the second shard's mailbox, which it does not empty, but for so many places.
    fn fill(&self, left: usize) {
        for _ in 0..lakh_core::MAILBOX_CAPACITY - left {
            self.shards[1].send(|_| {}).unwrap();
        }
    }
}

fn short(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_be_bytes().to_vec()).collect()
}

#[track_caller]
fn expect_numbers(client: &mut Client, numbers: impl Iterator<Item = u32>) {
    for number in numbers {
        let payload = client.frame().unwrap().payload;
        assert_eq!(payload.first_chunk(), Some(&number.to_be_bytes()));
    }
}

#[test]
fn a_shard_with_a_full_mailbox_gets_everything_once_it_goes_on() {
    const COUNT: u32 = 1000;
    let mut pair = Pair::start();
    let held_up = pair.hold_up();
    pair.fill(0);
    let messages = short(COUNT);
    let (first, second) = messages.split_at(300);
    assert_eq!(pair.publish(first.to_vec()), 0);
    // It has tried, and tries again.
    round(&pair.shards[0], 3);
    assert_eq!(pair.publish(second.to_vec()), 0);
    expect_numbers(&mut pair.clients[0], 0..COUNT);
    assert_eq!(pair.topics.publish("t", "of a thread"), Err(PublishError::Refused));
    pair.clients[0].expect_text("of a thread");
    drop(held_up);
    expect_numbers(&mut pair.clients[1], 0..COUNT);
    let metrics = pair.topics.metrics();
    assert_eq!((metrics.refused, metrics.dropped), (1, 0));
    assert_eq!(pair.topics.publish("t", "later"), Ok(()));
    pair.clients.iter_mut().for_each(|client| client.expect_text("later"));
}

#[test]
fn what_waits_for_a_shard_is_bounded_and_the_publisher_is_told_of_what_is_refused() {
    const COUNT: u32 = 24;
    const LEN: usize = 1 << 20;
    let mut pair = Pair::start();
    let held_up = pair.hold_up();
    pair.fill(0);
    let long = (0..COUNT).map(|number| number.to_be_bytes().repeat(LEN / 4)).collect();
    let refused = pair.publish(long);
    assert!((8..16).contains(&refused), "16 MiB wait: {refused}");
    assert_eq!(pair.topics.metrics().refused, refused as u64);
    // Everything is taken by the publisher's own shard.
    expect_numbers(&mut pair.clients[0], 0..COUNT);
    drop(held_up);
    expect_numbers(&mut pair.clients[1], 0..COUNT - refused as u32);
    assert_eq!(pair.publish(short(1)), 0);
    expect_numbers(&mut pair.clients[1], 0..1);
    assert_eq!(pair.topics.metrics().refused, refused as u64);
}

#[test]
fn what_is_in_the_mailbox_of_a_shard_that_does_nothing_is_bounded() {
    const COUNT: u32 = 60;
    const LEN: usize = 1 << 20;
    let mut pair = Pair::start();
    let held_up = pair.hold_up();
    let mut taken = Vec::new();
    for number in 0..COUNT {
        let refused = pair.publish(vec![number.to_be_bytes().repeat(LEN / 4)]);
        taken.extend((refused == 0).then_some(number));
        round(&pair.shards[0], 1);
    }
    assert!((15..=32).contains(&taken.len()), "16 MiB are in the mailbox, as many wait for it: {taken:?}");
    let of_a_thread = pair.topics.publish("t", vec![0; 16 * LEN]);
    assert_eq!(of_a_thread, Err(PublishError::Refused));
    drop(held_up);
    expect_numbers(&mut pair.clients[1], taken.into_iter());
    assert_eq!(pair.publish(short(1)), 0);
    expect_numbers(&mut pair.clients[1], 0..1);
    assert_eq!(pair.topics.publish("t", "of a thread"), Ok(()));
    pair.clients[1].expect_text("of a thread");
}

#[test]
fn what_is_published_within_a_turn_is_one_message_for_another_shard() {
    const COUNT: u32 = 200;
    let mut pair = Pair::start();
    let held_up = pair.hold_up();
    pair.fill(1);
    assert_eq!(pair.publish(short(COUNT)), 0);
    expect_numbers(&mut pair.clients[0], 0..COUNT);
    round(&pair.shards[0], 3);
    assert!(pair.shards[1].send(|_| {}).is_err(), "it has come");
    assert_eq!(pair.shards[1].metrics().refused_messages(), 1, "and found room");
    drop(held_up);
    expect_numbers(&mut pair.clients[1], 0..COUNT);
}

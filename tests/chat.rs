//! The chat example as its pages use it: rooms across shards, and its limits.
#![cfg(unix)]

mod program;

use lakh::ws::proto::{CloseCode, Decoder, Event, Opcode, Rules, encode};
use program::Program;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(20);

struct Chat(Program);

impl Chat {
    fn start() -> Self {
        Chat(Program::start("chat"))
    }

    /// Somebody in a room, and what they were told first.
    fn enter(&self, room: &str, name: &str) -> (Guest, Value) {
        let mut guest = Guest::connect(self.0.addr, room, name);
        // What is before it is in it.
        let welcome = guest.wait_for("welcome");
        (guest, welcome)
    }
}

struct Guest {
    stream: BufReader<TcpStream>,
    decoder: Decoder,
    begun: Instant,
}

/// What a connection has told.
#[derive(Debug, PartialEq)]
enum Told {
    Event(Value),
    Closed(CloseCode),
}

impl Guest {
    fn connect(addr: SocketAddr, room: &str, name: &str) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
        let head = format!(
            "GET /rooms/{room}?name={name} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 101 "), "{line}");
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        Guest { stream, decoder: Decoder::default(), begun: Instant::now() }
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        encode::write_masked(&mut frame, opcode, payload, [1, 2, 3, 4]);
        self.stream.get_mut().write_all(&frame).unwrap();
    }

    fn say(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes());
    }

    fn next(&mut self) -> Told {
        loop {
            assert!(self.begun.elapsed() < SAFETY_NET, "what the test waits for does not come");
            // Byte by byte, so that nothing is read beyond a frame.
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            let decoded = self.decoder.decode(&mut byte, &Rules::client()).unwrap();
            match decoded.event {
                Some(Event::Text(text)) => return Told::Event(serde_json::from_str(&text).unwrap()),
                Some(Event::Close(frame)) => return Told::Closed(frame.code),
                _ => {}
            }
        }
    }

    /// The next event of this type; what comes before it is passed over.
    fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            match self.next() {
                Told::Event(event) if event["type"] == kind => return event,
                Told::Event(_) => {}
                closed => panic!("{closed:?} in place of {kind}"),
            }
        }
    }

    fn wait_for_the_end(&mut self) -> CloseCode {
        loop {
            if let Told::Closed(code) = self.next() {
                return code;
            }
        }
    }

    fn hears(&mut self) -> String {
        let said = self.wait_for("said");
        format!("{}: {}", said["name"].as_str().unwrap(), said["text"].as_str().unwrap())
    }
}

#[test]
fn what_is_said_is_heard_by_all_of_the_room_on_both_shards_and_by_nobody_else() {
    let chat = Chat::start();
    // The kernel chooses the shard by the port: all on one of two happens once in 2^23.
    let mut guests: Vec<_> = (0..24).map(|n| chat.enter("lobby", &format!("guest-{n}")).0).collect();
    let (mut elsewhere, _) = chat.enter("elsewhere", "Ann");
    guests[0].say("hello <b>");
    for guest in &mut guests {
        assert_eq!(guest.hears(), "guest-0: hello <b>");
    }
    elsewhere.say("nobody here");
    assert_eq!(elsewhere.hears(), "Ann: nobody here");
}

#[test]
fn a_name_comes_with_its_first_connection_and_goes_with_its_last() {
    let chat = Chat::start();
    let (mut ann, _) = chat.enter("lobby", "Ann");
    let (first, welcome) = chat.enter("lobby", "Ben");
    assert_eq!(welcome["people"], serde_json::json!(["Ann", "Ben"]));
    let mut others = |kind: &str| loop {
        let event = ann.wait_for(kind);
        if event["name"] != "Ann" {
            return event["name"].as_str().unwrap().to_owned();
        }
    };
    assert_eq!(others("joined"), "Ben");
    let (second, _) = chat.enter("lobby", "Ben");
    drop(first);
    let (cat, _) = chat.enter("lobby", "Cat");
    // Ben has neither come twice nor gone.
    assert_eq!(others("joined"), "Cat");
    drop(cat);
    assert_eq!(others("left"), "Cat");
    drop(second);
    assert_eq!(others("left"), "Ben");
}

#[test]
fn who_comes_later_is_told_the_last_fifty_messages() {
    let chat = Chat::start();
    let speakers = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for name in speakers {
        let (mut speaker, _) = chat.enter("lobby", name);
        // No more than pass at once.
        for n in 0..8 {
            speaker.say(&format!("{n}"));
            assert_eq!(speaker.hears(), format!("{name}: {n}"));
        }
    }
    let (_, welcome) = chat.enter("lobby", "Ann");
    let history = welcome["history"].as_array().unwrap();
    assert_eq!(history.len(), 50);
    assert_eq!((&history[0]["name"], &history[0]["text"]), (&"b".into(), &"6".into()));
    assert_eq!((&history[49]["name"], &history[49]["text"]), (&"h".into(), &"7".into()));
    let ids: Vec<_> = history.iter().map(|said| said["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted() && Some(ids[49]) <= welcome["id"].as_u64(), "{ids:?}");
}

#[test]
fn what_is_too_long_or_no_text_or_no_name_closes_its_own_connection() {
    let chat = Chat::start();
    let (mut ann, _) = chat.enter("lobby", "Ann");
    let (mut long, _) = chat.enter("lobby", "long");
    long.say(&"x".repeat(2_000));
    assert_eq!(ann.hears().len(), 2_000 + "long: ".len());
    long.say(&"x".repeat(2_001));
    assert_eq!(long.wait_for_the_end(), CloseCode::Size);
    let (mut binary, _) = chat.enter("lobby", "binary");
    binary.send(Opcode::Binary, b"x");
    assert_eq!(binary.wait_for_the_end(), CloseCode::Unsupported);
    for (room, name) in
        [("lobby", ""), ("lobby", "%20"), ("lobby", "a%0Ab"), ("0123456789012345678901234567890", "Ann")]
    {
        let mut guest = Guest::connect(chat.0.addr, room, name);
        assert_eq!(guest.wait_for_the_end(), CloseCode::Policy, "{room} {name}");
    }
    ann.say("still here");
    assert_eq!(ann.hears(), "Ann: still here");
}

#[test]
fn who_says_more_than_passes_at_once_is_heard_later_and_nothing_is_lost() {
    let chat = Chat::start();
    let (mut ann, _) = chat.enter("lobby", "Ann");
    let begun = Instant::now();
    for n in 0..11 {
        ann.say(&n.to_string());
    }
    for n in 0..11 {
        assert_eq!(ann.hears(), format!("Ann: {n}"));
    }
    // Eight at once, then one each half second.
    assert!(begun.elapsed() >= Duration::from_millis(1_000), "{:?}", begun.elapsed());
}

//! Whatever way a client's frames take, both styles of handlers send the same messages back.

mod common;

use common::*;
use lakh_http::testing::TestServer;
use lakh_ws::{Config, proto::Opcode};
use proptest::prelude::*;
use std::io::Write;

/// A message in fragments, with pings between them.
#[derive(Clone, Debug)]
struct Sent {
    is_text: bool,
    fragments: Vec<Vec<u8>>,
    ping_at: Option<(usize, Vec<u8>)>,
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => proptest::collection::vec(any::<u8>(), 60_000..80_000),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let ping = proptest::option::of((0..4_usize, proptest::collection::vec(any::<u8>(), 0..=125)));
    (any::<bool>(), proptest::collection::vec(payload(), 1..4), ping).prop_map(
        |(is_text, mut fragments, ping_at)| {
            if is_text {
                // ASCII stays text in whatever pieces.
                fragments.iter_mut().flatten().for_each(|byte| *byte = b'a' + *byte % 26);
            }
            Sent { is_text, fragments, ping_at }
        },
    )
}

impl Sent {
    fn opcode(&self) -> Opcode {
        if self.is_text { Opcode::Text } else { Opcode::Binary }
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (at, payload) in self.fragments.iter().enumerate() {
            if let Some((ping_at, ping)) = &self.ping_at
                && *ping_at == at
            {
                out.extend(frame(Opcode::Ping, ping));
            }
            let opcode = if at == 0 { self.opcode() } else { Opcode::Continuation };
            out.extend(fragment(opcode, payload, at + 1 == self.fragments.len()));
        }
    }

    /// What comes back, in this order.
    fn expect(&self, client: &mut Client) {
        if let Some((at, ping)) = &self.ping_at
            && *at < self.fragments.len()
        {
            client.expect(Opcode::Pong, ping);
        }
        client.expect(self.opcode(), self.fragments.concat());
    }
}

/// Sends the bytes in pieces of the lengths that `cuts` says, over and over.
fn send_chopped(client: &Client, bytes: Vec<u8>, cuts: Vec<usize>) -> std::thread::JoinHandle<()> {
    let mut stream = client.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut rest = &bytes[..];
        for (number, cut) in cuts.iter().cycle().enumerate() {
            if rest.is_empty() {
                return;
            }
            // A few pieces that are seen by themselves; the kernel joins what comes at once.
            let len = if number < 200 { (*cut).min(rest.len()) } else { rest.len() };
            stream.write_all(&rest[..len]).unwrap();
            rest = &rest[len..];
            if number % 4 == 0 {
                std::thread::yield_now();
            }
        }
    })
}

fn run(server: &TestServer, messages: &[Sent], cuts: &[usize]) {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.write(&mut bytes));
    bytes.extend(close_frame(3000, "done"));
    // The first bytes come with the handshake.
    let with_handshake = cuts[0].min(bytes.len());
    for path in STYLES {
        let mut client = Client::open_with(server, path, "", &bytes[..with_handshake]);
        let writer = send_chopped(&client, bytes[with_handshake..].to_vec(), cuts.to_vec());
        messages.iter().for_each(|message| message.expect(&mut client));
        client.expect_close(3000);
        writer.join().unwrap();
    }
}

#[test]
fn any_interleaving_of_frames_in_any_pieces_is_echoed_alike_by_both_styles() {
    let server = echo_server(Config::new());
    let left = Left::of(&server);
    let cuts = proptest::collection::vec(prop_oneof![1..20_usize, 1..3000_usize, 1..100_000_usize], 1..8);
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(messages in proptest::collection::vec(sent(), 0..12), cuts in cuts)| {
        run(&server, &messages, &cuts);
    });
    left.expect_the_same(&server);
}

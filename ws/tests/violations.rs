//! What a client may not send: the right code, and no other connection is touched.

mod common;

use common::*;
use lakh_http::testing::TestServer;
use lakh_ws::{Config, DeflateOptions, proto::Opcode};

/// A server of small limits.
fn server() -> TestServer {
    echo_server(Config::new().max_frame(1000).max_message(1500))
}

/// Sends `bytes` to both styles: a close frame with `code` comes, and others do not notice.
#[track_caller]
fn closes_with(server: &TestServer, code: u16, bytes: &[u8]) {
    for path in STYLES {
        let left = Left::of(server);
        let mut other = Client::open(server, path);
        other.send_bytes(&fragment(Opcode::Text, b"half a ", false));
        let mut client = Client::open(server, path);
        client.text("before");
        client.expect_text("before");
        client.send_bytes(bytes);
        client.expect_close(code);
        other.send_bytes(&fragment(Opcode::Continuation, b"message", true));
        other.expect_text("half a message");
        drop((client, other));
        left.expect_the_same(server);
    }
}

/// A frame's first bytes as they are given, masked by zeros.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

#[test]
fn frames_against_the_protocol_close_with_1002() {
    let server = server();
    closes_with(&server, 1002, &[0x81, 0x02, b'h', b'i']); // no mask
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        closes_with(&server, 1002, &raw(0x80 | opcode, b""));
    }
    for reserved in [0x40, 0x20, 0x10] {
        closes_with(&server, 1002, &raw(0x81 | reserved, b"hi"));
    }
    closes_with(&server, 1002, &raw(0x09, b"")); // a fragment of a ping
    closes_with(&server, 1002, &[0x89, 0xfe, 0, 126]); // a long ping
    closes_with(&server, 1002, &frame(Opcode::Continuation, b"of nothing"));
    closes_with(&server, 1002, &[fragment(Opcode::Text, b"a", false), frame(Opcode::Text, b"b")].concat());
    closes_with(&server, 1002, &[0x82, 0xfe, 0, 5]); // not the shortest form
    closes_with(&server, 1002, &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 1, 0]);
    closes_with(&server, 1002, &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]); // 64 bits
}

#[test]
fn close_frames_against_the_protocol_close_with_1002_or_1007() {
    let server = server();
    closes_with(&server, 1002, &raw(0x88, b"\x03"));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535_u16] {
        closes_with(&server, 1002, &raw(0x88, &code.to_be_bytes()));
    }
    closes_with(&server, 1007, &raw(0x88, b"\x03\xe8\xff"));
}

#[test]
fn text_that_is_not_utf8_closes_with_1007() {
    let server = server();
    closes_with(&server, 1007, &frame(Opcode::Text, b"ab\xffcd"));
    closes_with(&server, 1007, &frame(Opcode::Text, "ä".as_bytes().split_last().unwrap().1));
    // At once, not only at the message's end.
    closes_with(&server, 1007, &fragment(Opcode::Text, b"\xff", false));
    let surrogate = [fragment(Opcode::Text, b"\xed", false), fragment(Opcode::Continuation, b"\xa0", false)];
    closes_with(&server, 1007, &surrogate.concat());
}

#[test]
fn what_is_too_long_closes_with_1009() {
    let server = server();
    closes_with(&server, 1009, &frame(Opcode::Binary, &[0; 1001]));
    closes_with(&server, 1009, &[0x82, 0xfe, 0x03, 0xe9]); // with the head, not with the payload
    closes_with(&server, 1009, &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let two = [fragment(Opcode::Binary, &[0; 1000], false), frame(Opcode::Continuation, &[0; 501])];
    closes_with(&server, 1009, &two.concat());
    let mut client = Client::open(&server, "/async");
    let fits = [fragment(Opcode::Binary, &[0; 1000], false), frame(Opcode::Continuation, &[0; 500])];
    client.send_bytes(&fits.concat());
    client.expect(Opcode::Binary, [0; 1500]);
}

#[test]
fn compressed_frames_that_were_not_agreed_on_close_with_1002() {
    let server = echo_server(Config::new().deflate(DeflateOptions::default()));
    for path in STYLES {
        let mut client = Client::open(&server, path);
        client.send_bytes(&compressed(Opcode::Text, &[0]));
        client.expect_close(1002);
    }
}

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

fn deflate_closes_with(config: Config, code: u16, bytes: &[u8]) {
    let server = echo_server(config.deflate(DeflateOptions::default()));
    for path in STYLES {
        let mut other = Client::open_with(&server, path, DEFLATE, b"");
        let mut client = Client::open_with(&server, path, DEFLATE, b"");
        client.send_bytes(bytes);
        client.expect_close(code);
        // "hi", compressed.
        other.send_bytes(&compressed(Opcode::Text, b"\xca\xc8\x04\x00"));
        other.expect_text("hi");
    }
}

/// A compressed message of `len` zeros.
fn bomb(len: usize) -> Vec<u8> {
    let deflated = miniz_oxide::deflate::compress_to_vec(&vec![0; len], 9);
    // Its last block ends the stream: an empty one behind it takes the place of the tail that is left out.
    compressed(Opcode::Binary, &[&deflated[..], &[0]].concat())
}

#[test]
fn decompression_bombs_close_with_1009() {
    let bomb = bomb(64 << 20);
    assert!(bomb.len() < 100_000);
    deflate_closes_with(Config::new().max_message(1 << 20), 1009, &bomb);
}

#[test]
fn what_cannot_be_inflated_closes_with_1007() {
    deflate_closes_with(Config::new(), 1007, &compressed(Opcode::Text, &[0xff; 20]));
    // "\xff", compressed, as text.
    let deflated = miniz_oxide::deflate::compress_to_vec(b"\xff\xff\xff", 9);
    deflate_closes_with(Config::new(), 1007, &compressed(Opcode::Text, &[&deflated[..], &[0]].concat()));
}

#[test]
fn compressed_continuations_and_pings_close_with_1002() {
    let fragments = [fragment(Opcode::Text, b"a", false), compressed(Opcode::Continuation, b"b")].concat();
    deflate_closes_with(Config::new(), 1002, &fragments);
    deflate_closes_with(Config::new(), 1002, &raw(0x89 | 0x40, b""));
}

/// Bytes behind a violation mean nothing, however many there are: the close frame arrives all the same.
#[test]
fn a_peer_that_goes_on_behind_its_violation_can_read_why_it_is_closed() {
    let server = server();
    for path in STYLES {
        let mut client = Client::open(&server, path);
        let mut bytes = raw(0x83, b"");
        bytes.extend(frame(Opcode::Text, &[b'x'; 900]).repeat(1000));
        client.send_bytes(&bytes);
        assert_eq!(client.expect_close(1002), "reserved opcode");
    }
}

#[test]
fn messages_of_a_kind_that_is_not_taken_close_with_1003_at_their_first_byte() {
    let deflate = || Config::new().deflate(DeflateOptions::default());
    for (config, taken, other) in [
        (deflate().text_only(), Opcode::Text, Opcode::Binary),
        (deflate().binary_only(), Opcode::Binary, Opcode::Text),
    ] {
        let server = echo_server(config);
        for path in STYLES {
            let open = || {
                let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
                let mut client = Client::open_with(&server, path, fields, b"");
                client.send(taken, b"short");
                client.expect(taken, "short");
                client.send_bytes(&fragment(taken, b"in ", false));
                client.expect_alive();
                client.send(Opcode::Continuation, b"two");
                client.expect(taken, "in two");
                client
            };
            for begin in [other as u8, 0x80 | other as u8, 0xc0 | other as u8] {
                let mut client = open();
                client.send_bytes(&[begin]);
                assert_eq!(client.expect_close(1003), "messages of this kind are not taken");
            }
            let mut client = open();
            client.send(other, b"whole");
            client.expect_close(1003);
        }
    }
}

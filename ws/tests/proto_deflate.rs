//! permessage-deflate: messages, windows, limits, and what both ends agree on.
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};
use lakh_ws::proto::deflate::{
    Compressor, Deflate, DeflateContext, DeflateOptions, Inflater, SharedDeflate, answer_offers,
    check_answer, offer,
};
use lakh_ws::proto::{CloseCode, Event};
use proptest::prelude::*;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

fn context(takeover: bool, window_bits: u8) -> DeflateContext {
    DeflateContext { takeover, window_bits }
}

fn compress(compressor: &mut Compressor, payload: &[u8]) -> Vec<u8> {
    let mut out = b"kept".to_vec();
    compressor.compress(payload, &mut out).unwrap();
    out.split_off(4)
}

fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Vec<u8> {
    let mut out = b"kept".to_vec();
    inflater.inflate(payload, 1 << 20, &mut out).unwrap();
    out.split_off(4)
}

/// Words that come again at all distances.
fn prose(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut text = Vec::new();
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(format!("word{} ", state >> 22).as_bytes());
    }
    text.truncate(len);
    text
}

/// Bytes that cannot be compressed (Marsaglia's xorshift).
fn random(len: usize) -> Vec<u8> {
    let mut state = 2_463_534_242_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn the_examples_of_the_rfc_are_inflated() {
    let mut inflater = Inflater::new(context(true, 15));
    let hello: [(&[u8], &str); 6] = [
        (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "7.2.3.1"),
        (&[0xf2, 0x00, 0x11, 0x00, 0x00], "7.2.3.2, with the window of the first"),
        (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], "7.2.3.3"),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "7.2.3.4"),
        (&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], "7.2.3.5"),
        (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "7.2.3.1 again"),
    ];
    for (payload, section) in hello {
        assert_eq!(inflate(&mut inflater, payload), b"Hello", "{section}");
    }
    assert_eq!(inflate(&mut inflater, &[0x00]), b"", "7.2.3.6");
}

#[test]
fn an_empty_message_is_one_byte_and_is_empty_again() {
    let mut compressor = Compressor::new(6, context(true, 15));
    let mut inflater = Inflater::new(context(true, 15));
    for payload in [&b""[..], b"", b"text", b"", b"text"] {
        let compressed = compress(&mut compressor, payload);
        assert!(!payload.is_empty() || compressed == [0]);
        assert_eq!(inflate(&mut inflater, &compressed), payload);
    }
}

#[test]
fn a_context_that_is_taken_over_makes_the_second_message_small() {
    let text = prose(400);
    for (takeover, smaller) in [(true, true), (false, false)] {
        let mut compressor = Compressor::new(6, context(takeover, 15));
        let first = compress(&mut compressor, &text);
        let second = compress(&mut compressor, &text);
        assert_eq!(second.len() < first.len() / 4, smaller);
        assert_eq!(first == second, !takeover, "nothing is left of the first");
        let mut inflater = Inflater::new(context(takeover, 15));
        assert_eq!(inflate(&mut inflater, &first), text);
        assert_eq!(inflate(&mut inflater, &second), text);
    }
}

#[test]
fn a_message_looks_back_no_further_than_its_window() {
    // zlib-rs inflates with the largest window whatever it is told, so it cannot judge. But random bytes that come
    // twice are compressed only by looking back on the first ones.
    for bits in 9..=14 {
        let window = 1 << bits;
        let random = random(window + 1);
        let near = [&random[..window / 4], &random[..window / 4]].concat();
        let far = [&random[..], &random].concat();
        for (level, takeover) in [(1, true), (1, false), (6, true), (6, false), (9, true)] {
            let mut compressor = Compressor::new(level, context(takeover, bits));
            let seen = compress(&mut compressor, &near).len() < near.len() * 3 / 4;
            assert!(seen, "within {bits} bits, level {level}");
            let mut compressor = Compressor::new(level, context(takeover, bits));
            let seen = compress(&mut compressor, &far).len() < far.len();
            assert!(!seen, "beyond {bits} bits, level {level}");
        }
        let mut shared = SharedDeflate::new(6);
        assert!(compress(shared.compressor(bits), &far).len() >= far.len());
    }
}

#[test]
fn what_follows_a_last_block_may_look_back_on_what_precedes_it() {
    let random = random(400);
    let mut payload = miniz_oxide::deflate::compress_to_vec(&random, 6);
    let mut second = flate2::Compress::new_with_window_bits(flate2::Compression::new(6), false, 15);
    second.set_dictionary(&random).unwrap();
    let mut block = Vec::with_capacity(1000);
    second.compress_vec(&random, &mut block, flate2::FlushCompress::Sync).unwrap();
    assert!(block.len() < 50, "it does look back");
    payload.extend_from_slice(block.strip_suffix(&TAIL).unwrap());
    for takeover in [true, false] {
        let mut inflater = Inflater::new(context(takeover, 15));
        assert_eq!(inflate(&mut inflater, &payload), [&random[..], &random].concat());
    }
}

#[test]
fn a_bomb_ends_with_1009_at_its_limit_and_in_bounded_memory() {
    let mut shared = SharedDeflate::new(9);
    let mut bomb = Vec::new();
    shared.compressor(15).compress(&vec![0; 50_000_000], &mut bomb).unwrap();
    assert!(bomb.len() < 60_000);
    let mut out = Vec::new();
    let error = shared.inflater().inflate(&bomb, 1_000_000, &mut out).unwrap_err();
    assert_eq!(error.close_code(), CloseCode::Size);
    assert!(out.capacity() <= 1_000_001, "{}", out.capacity());
    // The next connection is not concerned.
    let mut small = Vec::new();
    shared.compressor(15).compress(b"fine", &mut small).unwrap();
    assert_eq!(inflate(shared.inflater(), &small), b"fine");
}

#[test]
fn a_message_of_just_the_limit_is_no_bomb() {
    let mut shared = SharedDeflate::new(6);
    for len in [1, 255, 256, 257, 1000, 4096] {
        let mut compressed = Vec::new();
        shared.compressor(15).compress(&vec![7; len], &mut compressed).unwrap();
        let mut out = Vec::new();
        assert_eq!(shared.inflater().inflate(&compressed, len, &mut out), Ok(()));
        assert_eq!(out.len(), len);
        let mut out = Vec::with_capacity(2 * len);
        let over = shared.inflater().inflate(&compressed, len - 1, &mut out).unwrap_err();
        assert_eq!(over.close_code(), CloseCode::Size, "room or not");
    }
}

#[test]
fn what_cannot_be_inflated_ends_with_1007_and_concerns_nobody_else() {
    let mut shared = SharedDeflate::new(6);
    let wrong: [&[u8]; 4] =
        [b"\x07", b"\xff\xff\xff\xff", b"\x00\x05\x00\x00\x00hello", b"\xf2\x48\x05\x80\xf2\xff"];
    for payload in wrong {
        let error = shared.inflater().inflate(payload, 1000, &mut Vec::new()).unwrap_err();
        assert_eq!(error.close_code(), CloseCode::Invalid, "{}", payload.escape_ascii());
        let mut fine = Vec::new();
        shared.compressor(15).compress(b"fine", &mut fine).unwrap();
        assert_eq!(inflate(shared.inflater(), &fine), b"fine");
    }
}

#[test]
fn text_is_looked_at_once_it_is_inflated() {
    let mut shared = SharedDeflate::new(6);
    let mut out = Vec::new();
    for (content, fine) in [(&b"\xe2\x82\xac"[..], true), (b"\xe2\x82", false), (b"\xff", false)] {
        let mut compressed = Vec::new();
        shared.compressor(15).compress(content, &mut compressed).unwrap();
        let binary = shared.inflater().message(false, &compressed, 100, &mut out);
        assert_eq!(binary, Ok(Event::Binary(content.into())));
        let text = shared.inflater().message(true, &compressed, 100, &mut out);
        assert_eq!(text.map_err(|error| error.close_code()).is_ok(), fine);
    }
}

fn fields(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn dedicated(send: u8, receive: u8) -> DeflateOptions {
    DeflateOptions { send: context(true, send), receive: context(true, receive) }
}

/// What a server makes of these offers.
fn answer(offers: &[&str], options: &DeflateOptions) -> Option<(Deflate, String)> {
    let answer = answer_offers(&fields(offers), options).unwrap();
    answer.map(|(agreed, field)| (agreed, field.to_str().unwrap().to_owned()))
}

/// An offer's parameters, what the server wants, its answer's parameters, and what it sends and receives.
type Case<'a> = (&'a str, &'a DeflateOptions, &'a str, (bool, u8), (bool, u8));

#[test]
fn offers_are_answered_with_what_both_ends_want() {
    const PMD: &str = "permessage-deflate";
    let shared = DeflateOptions::default();
    let own = dedicated(15, 15);
    let small = dedicated(10, 11);
    let cases: [Case<'_>; 15] = [
        ("", &own, "", (true, 15), (true, 15)),
        ("", &shared, "; server_no_context_takeover; client_no_context_takeover", (false, 15), (false, 15)),
        ("; server_no_context_takeover", &own, "; server_no_context_takeover", (false, 15), (true, 15)),
        ("; client_no_context_takeover", &own, "; client_no_context_takeover", (true, 15), (false, 15)),
        ("; server_max_window_bits=15", &own, "; server_max_window_bits=15", (true, 15), (true, 15)),
        ("; server_max_window_bits=9", &own, "; server_max_window_bits=9", (true, 9), (true, 15)),
        ("; server_max_window_bits=8", &own, "; server_max_window_bits=8", (true, 8), (true, 15)),
        ("; server_max_window_bits=\"12\"", &own, "; server_max_window_bits=12", (true, 12), (true, 15)),
        ("; server_max_window_bits=1\\2", &own, "broken", (true, 12), (true, 15)),
        ("; client_max_window_bits", &own, "", (true, 15), (true, 15)),
        ("; client_max_window_bits=10", &own, "; client_max_window_bits=10", (true, 15), (true, 10)),
        ("; client_max_window_bits", &small, "; client_max_window_bits=11", (true, 10), (true, 11)),
        ("; client_max_window_bits=9", &small, "; client_max_window_bits=9", (true, 10), (true, 9)),
        // It cannot be told to take a small window, so it is told to take none over.
        ("", &small, "; client_no_context_takeover", (true, 10), (false, 15)),
        (
            "; server_max_window_bits=12",
            &small,
            "; client_no_context_takeover; server_max_window_bits=10",
            (true, 10),
            (false, 15),
        ),
    ];
    for (params, options, expected, send, receive) in cases {
        let offers = format!("{PMD}{params}");
        if expected == "broken" {
            assert!(answer_offers(&fields(&[&offers]), options).is_err());
            continue;
        }
        let (agreed, field) = answer(&[&offers], options).unwrap();
        assert_eq!(field, format!("{PMD}{expected}"), "to {offers}");
        let expected = Deflate { send: context(send.0, send.1), receive: context(receive.0, receive.1) };
        assert_eq!(agreed, expected, "{offers}");
        assert_eq!(agreed.compresses(), send.1 > 8);
    }
}

#[test]
fn an_offer_that_is_not_understood_falls_to_the_next() {
    let declined = [
        "x-webkit-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=0",
        "permessage-deflate; client_max_window_bits=x",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=10; client_max_window_bits",
    ];
    let own = dedicated(15, 15);
    for offer in declined {
        assert_eq!(answer(&[offer], &own), None, "{offer}");
        let next = "permessage-deflate; server_no_context_takeover";
        for offers in [&[&*format!("{offer}, {next}, permessage-deflate")][..], &[offer, next]] {
            let (_, field) = answer(offers, &own).unwrap();
            assert_eq!(field, next, "after {offer}");
        }
    }
    assert_eq!(answer(&[], &own), None);
    assert_eq!(answer(&[", ,\t,", "foo; a=\"b\" , bar"], &own), None);
}

#[test]
fn a_field_that_breaks_the_grammar_fails_the_handshake() {
    for broken in [
        "permessage-deflate;",
        "permessage-deflate; =1",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"1 2\"",
        "permessage-deflate; server_max_window_bits=\"12\\",
        "permessage-deflate server_max_window_bits",
        "permessage-deflate, ;",
        "\"permessage-deflate\"",
    ] {
        assert!(answer_offers(&fields(&[broken]), &DeflateOptions::default()).is_err(), "{broken}");
    }
}

#[test]
fn a_client_takes_no_answer_that_it_did_not_offer() {
    let shared = DeflateOptions::default();
    let none = "; server_no_context_takeover; client_no_context_takeover";
    let refused: [(&DeflateOptions, &[&str]); 12] = [
        (&shared, &["permessage-deflate"]),
        (&shared, &["permessage-deflate; client_no_context_takeover"]),
        (&shared, &["x-webkit-deflate-frame"]),
        (&shared, &[&format!("permessage-deflate{none}"), &format!("permessage-deflate{none}")]),
        (&dedicated(15, 15), &["permessage-deflate; unknown"]),
        (&dedicated(15, 15), &["permessage-deflate; client_max_window_bits"]),
        (&dedicated(15, 15), &["permessage-deflate; server_max_window_bits"]),
        (&dedicated(15, 15), &["permessage-deflate; server_max_window_bits=16"]),
        (&dedicated(12, 15), &["permessage-deflate; client_max_window_bits=13"]),
        (&dedicated(15, 12), &["permessage-deflate; server_max_window_bits=13"]),
        (&dedicated(15, 12), &["permessage-deflate"]),
        (&dedicated(15, 15), &["permessage-deflate; client_no_context_takeover=1"]),
    ];
    for (options, answer) in refused {
        assert!(check_answer(&fields(answer), options).is_err(), "{answer:?} to {:?}", offer(options));
    }
    assert_eq!(check_answer(&fields(&[]), &shared), Ok(None));
    let small = check_answer(&fields(&["permessage-deflate; client_max_window_bits=8"]), &dedicated(15, 15));
    assert!(!small.unwrap().unwrap().compresses(), "there is no compressor for 256 bytes");
}

#[test]
fn our_client_and_our_server_agree_whatever_each_wants() {
    let contexts: Vec<_> =
        [9, 12, 15].into_iter().flat_map(|bits| [context(false, bits), context(true, bits)]).collect();
    let both =
        |send: &DeflateContext, receive: &DeflateContext| DeflateOptions { send: *send, receive: *receive };
    for (a, b, c, d) in contexts.iter().flat_map(|a| {
        let contexts = &contexts;
        contexts
            .iter()
            .flat_map(move |b| contexts.iter().flat_map(move |c| contexts.iter().map(move |d| (a, b, c, d))))
    }) {
        let (client, server) = (both(a, b), both(c, d));
        let mut request = HeaderMap::new();
        request.insert(SEC_WEBSOCKET_EXTENSIONS, offer(&client));
        let (servers, field) = answer_offers(&request, &server).unwrap().unwrap();
        let mut response = HeaderMap::new();
        response.insert(SEC_WEBSOCKET_EXTENSIONS, field);
        let clients = check_answer(&response, &client).unwrap().unwrap();
        for (sends, receives) in [(clients.send, servers.receive), (servers.send, clients.receive)] {
            assert!(!sends.takeover || receives.takeover, "context lost: {client:?} {server:?}");
            let reads = if receives.takeover { receives.window_bits } else { 15 };
            assert!(!sends.takeover || sends.window_bits <= reads, "window too large: {client:?} {server:?}");
        }
        assert!(!servers.receive.takeover || servers.receive.window_bits <= d.window_bits);
        assert!(!clients.receive.takeover || clients.receive.window_bits <= b.window_bits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_out_as_they_went_in(
        messages in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..2000),
                (0_usize..5000).prop_map(prose),
                (0_usize..70_000, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
            ],
            1..6,
        ),
        level in 0_u8..10,
        bits in 9_u8..16,
        takeover in any::<bool>(),
    ) {
        let mut compressor = Compressor::new(level, context(takeover, bits));
        let mut inflater = Inflater::new(context(takeover, bits));
        let mut shared = SharedDeflate::new(level);
        let mut stream = Vec::new();
        for message in &messages {
            let compressed = compress(&mut compressor, message);
            // Level 1 writes random bytes with 9 bits.
            prop_assert!(compressed.len() <= message.len() + message.len() / 8 + 64);
            prop_assert_eq!(&inflate(&mut inflater, &compressed), message);
            if !takeover {
                prop_assert_eq!(&inflate(shared.inflater(), &compressed), message);
                let again = compress(shared.compressor(bits), message);
                prop_assert_eq!(&again, &compressed, "the shared one keeps nothing");
            }
            // A second opinion, which wants a last block.
            if !takeover {
                stream.clear();
            }
            stream.extend_from_slice(&compressed);
            stream.extend_from_slice(&TAIL);
            let theirs = miniz_oxide::inflate::decompress_to_vec(&[&stream[..], &[3, 0]].concat()).unwrap();
            prop_assert!(theirs.ends_with(message));
        }
    }

    #[test]
    fn what_another_library_compresses_is_inflated(message in prop::collection::vec(0_u8..4, 0..5000)) {
        let mut compressed = miniz_oxide::deflate::compress_to_vec(&message, 6);
        // With a last block, to which a peer adds an empty one (RFC 7692, 7.2.3.4).
        compressed.push(0);
        prop_assert_eq!(&inflate(&mut Inflater::new(context(true, 15)), &compressed), &message);
        prop_assert_eq!(&inflate(SharedDeflate::new(1).inflater(), &compressed), &message);
    }
}

#[test]
fn a_message_of_very_many_streams_is_an_error() {
    // Each ends with its first block, which is empty, and looks back on 32 KiB.
    let content = compress(&mut Compressor::new(6, context(false, 15)), &random(1 << 15));
    let message = |streams: usize| [&content[..], &TAIL[..], &[3, 0].repeat(streams)].concat();
    let mut inflater = Inflater::new(context(false, 15));
    assert_eq!(inflate(&mut inflater, &message(50)).len(), 1 << 15);
    let error = inflater.inflate(&message(500_000), usize::MAX, &mut Vec::new());
    assert_eq!(error.unwrap_err().close_code(), CloseCode::Invalid);
}

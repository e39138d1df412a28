//! Frames in bytes: what is accepted, what is refused and with which code, what it takes of memory.
use std::borrow::Cow;

use lakh_ws::proto::{CloseCode, Decoder, Event, FrameHead, Opcode, Role, Rules, encode};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn small(role: Role, deflate: bool) -> Rules {
    Rules { role, only: None, deflate, max_frame: 1000, max_message: 1500 }
}

/// All events of these pieces, and the code and the reason with which the connection ends.
fn decode(pieces: &[&[u8]], rules: &Rules) -> (Vec<Event<'static>>, Option<(u16, &'static str)>) {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        while !input.is_empty() {
            match decoder.decode(input, rules) {
                Ok(decoded) => {
                    events.extend(decoded.event.map(Event::into_owned));
                    let consumed = decoded.consumed;
                    input = &mut input[consumed..];
                }
                Err(error) => return (events, Some((error.close_code().into(), error.reason()))),
            }
        }
    }
    (events, None)
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | payload.len() as u8];
    bytes.extend_from_slice(&KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn text(text: &str) -> Event<'static> {
    Event::Text(Cow::Owned(text.to_owned()))
}

#[test]
fn the_examples_of_the_rfc_are_what_it_says() {
    let (server, client) = (Rules::server(), Rules::client());
    let hello = vec![text("Hello")];
    assert_eq!(decode(&[b"\x81\x05Hello"], &client), (hello.clone(), None));
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(&[&frame], &server), (hello.clone(), None));
    assert_eq!(decode(&[b"\x01\x03Hel\x80\x02lo"], &client), (hello, None));
    let ping = Event::Ping(Cow::Borrowed(b"Hello"));
    assert_eq!(decode(&[b"\x89\x05Hello"], &client), (vec![ping], None));
    for (len, head) in [(256, &[0x82, 0x7e, 0x01, 0x00][..]), (65536, b"\x82\x7f\0\0\0\0\0\x01\0\0")] {
        let payload = vec![7; len];
        let events = vec![Event::Binary(Cow::Owned(payload.clone()))];
        assert_eq!(decode(&[head, &payload], &client), (events.clone(), None));
        assert_eq!(decode(&[&[head, &payload].concat()], &client), (events, None));
        assert_eq!(&*FrameHead::new(Opcode::Binary, len).encode(), head);
    }
}

#[test]
fn every_violation_ends_the_connection_with_its_code() {
    let close = |payload: &[u8]| masked(0x88, payload);
    let long = |first: u8, len: u64| [&[first, 0xff][..], &len.to_be_bytes(), &KEY].concat();
    let cases: [(&str, Vec<u8>, u16); 50] = [
        ("reserved opcode", masked(0x83, b""), 1002),
        ("reserved opcode", masked(0x87, b""), 1002),
        ("reserved opcode", masked(0x8b, b""), 1002),
        ("reserved opcode", masked(0x8f, b""), 1002),
        ("reserved bit set", masked(0xc1, b""), 1002),
        ("reserved bit set", masked(0xa1, b""), 1002),
        ("reserved bit set", masked(0x91, b""), 1002),
        ("reserved bit set", masked(0xc9, b""), 1002),
        ("reserved bit set", [masked(0x01, b""), masked(0xc0, b"")].concat(), 1002),
        ("fragmented control frame", masked(0x08, b""), 1002),
        ("fragmented control frame", masked(0x09, b""), 1002),
        ("fragmented control frame", masked(0x0a, b""), 1002),
        ("control frame over 125 bytes", vec![0x89, 0xfe], 1002),
        ("control frame over 125 bytes", vec![0x8a, 0xff], 1002),
        ("control frame over 125 bytes", vec![0x88, 0xfe], 1002),
        ("continuation without a message", masked(0x80, b"x"), 1002),
        ("continuation without a message", masked(0x00, b"x"), 1002),
        ("continuation without a message", [masked(0x81, b"x"), masked(0x80, b"x")].concat(), 1002),
        ("new message within a message", [masked(0x01, b"x"), masked(0x81, b"x")].concat(), 1002),
        ("new message within a message", [masked(0x02, b"x"), masked(0x01, b"x")].concat(), 1002),
        ("new message within a message", [masked(0x01, b""), vec![0x81]].concat(), 1002),
        ("frame of a client without a mask", b"\x81\x01x".to_vec(), 1002),
        ("frame of a client without a mask", b"\x89\x00".to_vec(), 1002),
        ("length not in its shortest form", b"\x81\xfe\x00\x7d".to_vec(), 1002),
        ("length not in its shortest form", b"\x81\xfe\x00\x00".to_vec(), 1002),
        ("length not in its shortest form", long(0x81, 0xffff), 1002),
        ("length not in its shortest form", long(0x82, 5), 1002),
        ("length over 63 bits", long(0x82, 1 << 63), 1002),
        ("length over 63 bits", long(0x82, u64::MAX), 1002),
        ("close frame with half a code", close(b"\x03"), 1002),
        ("close code that may not be sent", close(&0_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&999_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&1004_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&1005_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&1006_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&1015_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&1016_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&2999_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&5000_u16.to_be_bytes()), 1002),
        ("close code that may not be sent", close(&65535_u16.to_be_bytes()), 1002),
        ("text that is not UTF-8", close(b"\x03\xe8\xff"), 1007),
        ("text that is not UTF-8", close(b"\x03\xe8\xc3"), 1007),
        ("text that is not UTF-8", masked(0x81, b"\xce\xba\xed\xa0\x80"), 1007),
        ("text that is not UTF-8", masked(0x81, b"\xce"), 1007),
        ("text that is not UTF-8", [masked(0x01, b"\xce"), masked(0x80, b"")].concat(), 1007),
        ("text that is not UTF-8", masked(0x01, b"\xf4\x90"), 1007),
        ("frame too large", long(0x82, i64::MAX as u64), 1009),
        ("frame too large", b"\x82\xfe\x03\xe9".to_vec(), 1009),
        ("frame too large", [masked(0x02, b"x"), b"\x80\xfe\x03\xe9".to_vec()].concat(), 1009),
        ("frame too large", long(0x81, 1 << 16), 1009),
    ];
    let rules = small(Role::Server, false);
    for (reason, bytes, code) in cases {
        let expected = Some((code, reason));
        assert_eq!(decode(&[&bytes], &rules).1, expected, "{}", bytes.escape_ascii());
        let by_bytes: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(decode(&by_bytes, &rules).1, expected, "{} byte by byte", bytes.escape_ascii());
    }
}

#[test]
fn a_message_is_too_large_when_its_frames_are_together() {
    let frame = |first: u8, len: usize| {
        let mut bytes = Vec::new();
        let fin = first & 0x80 != 0;
        let opcode = if first & 0xf == 0 { Opcode::Continuation } else { Opcode::Binary };
        let head = FrameHead { fin, mask: Some(KEY), ..FrameHead::new(opcode, len) };
        encode::write_frame(&mut bytes, head, &vec![0; len]);
        bytes
    };
    let rules = small(Role::Server, false);
    let fits = [frame(0x02, 1000), frame(0x80, 500)].concat();
    let (events, error) = decode(&[&fits], &rules);
    assert_eq!((events.len(), error), (1, None));
    let over = [frame(0x02, 1000), frame(0x80, 501)].concat();
    assert_eq!(decode(&[&over[..1020]], &rules).1, Some((1009, "message too large")), "by its head");
    let whole = Rules { max_message: 700, ..rules };
    assert_eq!(decode(&[&frame(0x82, 701)], &whole).1, Some((1009, "frame too large")));
}

#[test]
fn a_server_may_not_mask() {
    let rules = small(Role::Client, false);
    assert_eq!(decode(&[&masked(0x81, b"x")], &rules).1, Some((1002, "frame of a server with a mask")));
    assert_eq!(decode(&[b"\x81\x81"], &rules).1, Some((1002, "frame of a server with a mask")));
}

#[test]
fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
    let rules = small(Role::Server, true);
    let whole = |text, payload: &[u8]| Event::Compressed { text, payload: Cow::Owned(payload.to_vec()) };
    assert_eq!(decode(&[&masked(0xc1, b"\xff")], &rules), (vec![whole(true, b"\xff")], None));
    let fragments = [masked(0x42, b"\xf2"), masked(0x89, b""), masked(0x80, b"\x48")].concat();
    let ping = Event::Ping(Cow::Borrowed(b""));
    assert_eq!(decode(&[&fragments], &rules), (vec![ping, whole(false, b"\xf2\x48")], None));
    let plain = [masked(0x01, b"a"), masked(0x80, b"b")].concat();
    assert_eq!(decode(&[&plain], &rules), (vec![text("ab")], None), "compression is each message's choice");
    for wrong in [
        [masked(0x41, b""), masked(0xc0, b"")].concat(),
        masked(0xc8, b""),
        masked(0xe1, b""),
        masked(0xd1, b""),
    ] {
        assert_eq!(decode(&[&wrong], &rules).1, Some((1002, "reserved bit set")));
    }
}

#[test]
fn text_that_cannot_become_valid_fails_before_its_frame_ends() {
    // As in cases 6.4 of the Autobahn test suite: four bytes of a character over U+10FFFF, then more.
    let payload = b"\xce\xba\xcf\x8c\xf4\x90\x80\x80edited";
    let frame = masked(0x81, payload);
    let rules = small(Role::Server, false);
    assert_eq!(decode(&[&frame[..6 + 5]], &rules), (vec![], None));
    assert_eq!(decode(&[&frame[..6 + 6]], &rules).1, Some((1007, "text that is not UTF-8")));
    let fragments = [masked(0x01, &payload[..5]), masked(0x00, &payload[5..6])].concat();
    assert_eq!(decode(&[&fragments], &rules).1, Some((1007, "text that is not UTF-8")));
}

#[test]
fn control_frames_come_between_the_pieces_of_a_message() {
    let rules = small(Role::Server, false);
    let stream = [masked(0x01, b"\xe2\x82"), masked(0x89, b"p"), masked(0x00, b""), masked(0x80, b"\xac")];
    let ping = Event::Ping(Cow::Borrowed(b"p"));
    let stream = stream.concat();
    assert_eq!(decode(&[&stream], &rules), (vec![ping, text("€")], None));
}

#[test]
fn a_close_frame_without_a_code_is_1005_and_what_follows_is_dropped() {
    let rules = small(Role::Server, false);
    let close = |code: u16, reason: &str| {
        let reason = Cow::Owned(reason.to_owned());
        vec![Event::Close(lakh_ws::proto::CloseFrame { code: code.into(), reason })]
    };
    assert_eq!(decode(&[&masked(0x88, b"")], &rules), (close(1005, ""), None));
    let stream = [masked(0x88, b"\x03\xe9bye"), masked(0x81, b"x"), b"\xff\xff garbage".to_vec()].concat();
    assert_eq!(decode(&[&stream], &rules), (close(1001, "bye"), None));
    for code in [1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999_u16] {
        assert_eq!(decode(&[&masked(0x88, &code.to_be_bytes())], &rules), (close(code, ""), None));
    }
}

#[test]
fn a_whole_frame_is_seen_where_it_was_read() {
    let mut stream = [masked(0x82, b"where"), masked(0x89, b"it")].concat();
    let range = stream.as_ptr_range();
    let (mut decoder, rules) = (Decoder::default(), small(Role::Server, false));
    let mut input = &mut stream[..];
    for expected in [&b"where"[..], b"it"] {
        let decoded = decoder.decode(input, &rules).unwrap();
        let Some(Event::Binary(Cow::Borrowed(seen)) | Event::Ping(Cow::Borrowed(seen))) = decoded.event
        else {
            panic!("borrowed, in one piece");
        };
        assert_eq!(seen, expected);
        assert!(range.contains(&seen.as_ptr()));
        let consumed = decoded.consumed;
        assert_eq!(decoder.memory(), 0);
        input = &mut input[consumed..];
    }
}

#[test]
fn memory_follows_what_has_come_and_leaves_with_the_message() {
    let (mut decoder, rules) = (Decoder::default(), Rules { max_message: 16 << 20, ..Rules::server() });
    let len = 10_000_000_u64;
    let mut head = FrameHead { mask: Some(KEY), len, ..FrameHead::new(Opcode::Binary, 0) }.encode().to_vec();
    assert!(decoder.decode(&mut head, &rules).unwrap().event.is_none());
    assert!(decoder.memory() < 512, "ten megabytes are announced, none has come");
    let mut come = 0;
    loop {
        let mut piece = vec![0; 16384.min(len as usize - come)];
        come += piece.len();
        let decoded = decoder.decode(&mut piece, &rules).unwrap();
        let Some(event) = decoded.event else {
            assert!(decoder.memory() <= 2 * come + 512, "{} for {come}", decoder.memory());
            assert!(decoder.memory() <= len as usize + 512, "no more than is announced");
            continue;
        };
        let Event::Binary(Cow::Owned(message)) = event else { panic!("collected") };
        assert_eq!((message.len(), message.capacity()), (come, come));
        break;
    }
    assert!(decoder.is_idle());
    assert_eq!(decoder.memory(), 0);
}

#[test]
fn a_message_of_many_tiny_fragments_is_not_copied_for_each() {
    let (mut decoder, rules) = (Decoder::default(), Rules::server());
    let mut growths = 0;
    let mut last = 0;
    for at in 0..20_000 {
        let mut frame = masked(if at == 0 { 0x02 } else { 0x00 }, b"x");
        assert!(decoder.decode(&mut frame, &rules).unwrap().event.is_none());
        growths += usize::from(decoder.memory() != last);
        last = decoder.memory();
    }
    assert!(growths < 20, "{growths}");
}

#[test]
fn half_a_head_is_kept_and_let_go() {
    let (mut decoder, rules) = (Decoder::default(), Rules::server());
    let mut frame = masked(0x81, b"x");
    for byte in &mut frame[..6] {
        assert!(decoder.decode(std::slice::from_mut(byte), &rules).unwrap().event.is_none());
        assert!(!decoder.is_idle());
    }
    assert_eq!(decoder.decode(&mut frame[6..], &rules).unwrap().event, Some(text("x")));
    assert!(decoder.is_idle());
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let payload = encode::ClosePayload::new(CloseCode::Away, &"é".repeat(100));
    assert_eq!(payload.len(), 2 + 122);
    assert!(std::str::from_utf8(&payload[2..]).is_ok());
    assert_eq!(encode::ClosePayload::new(CloseCode::Status, "no").len(), 0);
    assert_eq!(encode::ClosePayload::new(CloseCode::Abnormal, "")[..], 1002_u16.to_be_bytes());
}

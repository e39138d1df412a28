//! A second opinion: what tungstenite writes we read, and the other way round.
use std::borrow::Cow;
use std::io::{Cursor, Read, Write};

use lakh_ws::proto::{Decoder, Event, FrameHead, Opcode, Role, Rules, encode};
use proptest::prelude::*;
use proptest::sample::Index;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

/// One frame, before it is bytes.
#[derive(Clone, Debug)]
struct Plan {
    opcode: Opcode,
    fin: bool,
    payload: Vec<u8>,
    key: [u8; 4],
}

/// What reads bytes and drops what is written.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..140),
        1 => prop::collection::vec(any::<u8>(), 2_000..6_300),
        1 => (65_500_usize..65_600, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

/// A message in fragments, with pings between them.
fn message() -> impl Strategy<Value = Vec<Plan>> {
    let text = "\\PC{0,60}";
    let content = prop_oneof![
        text.prop_map(|text| (Opcode::Text, text.into_bytes())),
        payload().prop_map(|payload| (Opcode::Binary, payload)),
    ];
    let cuts = prop::collection::vec(any::<Index>(), 0..4);
    let ping = prop::option::of(prop::collection::vec(any::<u8>(), 0..=125));
    (content, cuts, ping, any::<[u8; 4]>()).prop_map(|((opcode, payload), cuts, ping, key)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(payload.len());
        let mut plans = Vec::new();
        let mut from = 0;
        for (at, &to) in cuts.iter().enumerate() {
            let opcode = if at == 0 { opcode } else { Opcode::Continuation };
            let fin = at + 1 == cuts.len();
            plans.push(Plan { opcode, fin, payload: payload[from..to].to_vec(), key });
            from = to;
        }
        if let Some(payload) = ping {
            let at = plans.len() / 2;
            plans.insert(at, Plan { opcode: Opcode::Ping, fin: true, payload, key });
        }
        plans
    })
}

fn messages() -> impl Strategy<Value = Vec<Plan>> {
    prop::collection::vec(message(), 1..5).prop_map(|messages| messages.concat())
}

fn their_opcode(opcode: Opcode) -> OpCode {
    match opcode {
        Opcode::Continuation => OpCode::Data(Data::Continue),
        Opcode::Text => OpCode::Data(Data::Text),
        Opcode::Binary => OpCode::Data(Data::Binary),
        Opcode::Close => OpCode::Control(Control::Close),
        Opcode::Ping => OpCode::Control(Control::Ping),
        Opcode::Pong => OpCode::Control(Control::Pong),
    }
}

fn written_by_them(plans: &[Plan], role: Role) -> Vec<u8> {
    let mut out = Vec::new();
    for plan in plans {
        let mut frame = Frame::message(plan.payload.clone(), OpCode::Data(Data::Binary), plan.fin);
        frame.header_mut().opcode = their_opcode(plan.opcode);
        frame.header_mut().mask = (role == Role::Server).then_some(plan.key);
        frame.format(&mut out).unwrap();
    }
    out
}

fn written_by_us(plans: &[Plan], role: Role) -> Vec<u8> {
    let mut out = Vec::new();
    for plan in plans {
        let mask = (role == Role::Server).then_some(plan.key);
        let head = FrameHead { fin: plan.fin, mask, ..FrameHead::new(plan.opcode, plan.payload.len()) };
        encode::write_frame(&mut out, head, &plan.payload);
    }
    out
}

fn as_message(event: Event<'_>) -> Message {
    match event {
        Event::Text(text) => Message::text(text.into_owned()),
        Event::Binary(payload) => Message::binary(payload.into_owned()),
        Event::Ping(payload) => Message::Ping(payload.into_owned().into()),
        Event::Pong(payload) => Message::Pong(payload.into_owned().into()),
        other => panic!("{other:?}"),
    }
}

/// What we read before anything is wrong, and how many bytes that took.
fn read_by_us(pieces: &[&[u8]], rules: &Rules) -> (Vec<Event<'static>>, usize, bool) {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    let (mut consumed, mut understood) = (0, 0);
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        while !input.is_empty() {
            let Ok(decoded) = decoder.decode(input, rules) else { return (events, understood, false) };
            consumed += decoded.consumed;
            if decoded.event.is_some() {
                understood = consumed;
            }
            let closed = matches!(decoded.event, Some(Event::Close(_)));
            events.extend(decoded.event.map(Event::into_owned));
            if closed {
                return (events, understood, true);
            }
            let used = decoded.consumed;
            input = &mut input[used..];
        }
    }
    (events, understood, true)
}

fn read_by_them(bytes: Vec<u8>, role: TheirRole) -> (Vec<Message>, Error) {
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(bytes)), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => messages.push(message),
            Err(error) => return (messages, error),
        }
    }
}

fn chop<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in cuts.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[from..to]);
        from = to;
    }
    pieces
}

fn both() -> [(Rules, TheirRole); 2] {
    [(Rules::server(), TheirRole::Server), (Rules::client(), TheirRole::Client)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn we_write_what_they_write(plans in messages()) {
        for (rules, _) in both() {
            prop_assert_eq!(written_by_us(&plans, rules.role), written_by_them(&plans, rules.role));
        }
    }

    #[test]
    fn what_they_write_we_read_in_any_pieces(
        plans in messages(),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        for (rules, role) in both() {
            let bytes = written_by_them(&plans, rules.role);
            let (theirs, end) = read_by_them(bytes.clone(), role);
            prop_assert!(matches!(end, Error::Protocol(_)), "only the end of the stream: {:?}", end);
            let (ours, consumed, fine) = read_by_us(&chop(&bytes, &cuts), &rules);
            prop_assert!(fine && consumed == bytes.len());
            let ours: Vec<Message> = ours.into_iter().map(as_message).collect();
            prop_assert_eq!(&ours, &theirs);
        }
    }

    /// They are laxer: what we refuse they may take, and what we take they take for the same.
    #[test]
    fn what_we_accept_of_broken_streams_means_the_same_to_them(
        plans in messages(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        near_start in 0_usize..40,
    ) {
        for (rules, role) in both() {
            let mut bytes = written_by_them(&plans, rules.role);
            for (at, byte) in &changes {
                let range = bytes.len().min(near_start + 1);
                bytes[at.index(range)] = *byte;
            }
            let (mut ours, consumed, _) = read_by_us(&[&bytes], &rules);
            bytes.truncate(consumed);
            let (theirs, _) = read_by_them(bytes, role);
            // To them, code 1014 may not be sent.
            if let Some(Event::Close(_)) = ours.last() {
                ours.pop();
            }
            let ours: Vec<Message> = ours.into_iter().map(as_message).collect();
            prop_assert_eq!(theirs.get(..ours.len()), Some(&ours[..]));
        }
    }

    #[test]
    fn heads_are_the_same_to_both(bytes in prop::collection::vec(any::<u8>(), 0..16), within in any::<bool>()) {
        for (mut rules, _) in both() {
            rules.deflate = true;
            (rules.max_frame, rules.max_message) = (usize::MAX, usize::MAX);
            let mut cursor = Cursor::new(&bytes);
            let theirs = FrameHeader::parse(&mut cursor);
            if let Ok(Some((ours, len))) = FrameHead::parse(&bytes, &rules, within) {
                let (theirs, their_len) = theirs.unwrap().unwrap();
                prop_assert_eq!(len, usize::try_from(cursor.position()).unwrap());
                prop_assert_eq!(ours.len, their_len);
                prop_assert_eq!(their_opcode(ours.opcode), theirs.opcode);
                prop_assert_eq!((ours.fin, ours.compressed, ours.mask), (theirs.is_final, theirs.rsv1, theirs.mask));
                prop_assert_eq!(&*ours.encode(), &bytes[..len]);
            }
        }
    }
}

#[test]
fn close_frames_are_the_same_to_both() {
    for (rules, role) in both() {
        for (code, reason) in [(1000_u16, "fine"), (4999, "ünïcode"), (1005, "")] {
            let mut bytes = Vec::new();
            let payload = encode::ClosePayload::new(code.into(), reason);
            let mask = (rules.role == Role::Server).then_some([1, 2, 3, 4]);
            let head = FrameHead { mask, ..FrameHead::new(Opcode::Close, payload.len()) };
            encode::write_frame(&mut bytes, head, &payload);
            let (theirs, _) = read_by_them(bytes.clone(), role);
            let [Message::Close(theirs)] = &theirs[..] else { panic!("{theirs:?}") };
            let (ours, ..) = read_by_us(&[&bytes], &rules);
            let [Event::Close(ours)] = &ours[..] else { panic!("{ours:?}") };
            assert_eq!(ours.reason, Cow::Borrowed(reason));
            match theirs {
                Some(theirs) => {
                    assert_eq!((ours.code, &*ours.reason), (theirs.code, theirs.reason.as_str()));
                }
                None => assert_eq!(u16::from(ours.code), 1005),
            }
        }
    }
}

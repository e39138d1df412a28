//! Invariants of the protocol, as functions over arbitrary bytes.
//!
//! The fuzz targets in `fuzz/` call them, and so does the test that runs the seed corpus and mutations of it.
mod deflate;

pub use deflate::fuzz_deflate;

use super::frame::MAX_CONTROL_PAYLOAD;
use super::{CloseCode, Decoder, Event, FrameHead, Opcode, ProtocolError, Role, Rules, encode};

/// What a peer's bytes came to: events, then perhaps the end of the connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Event<'static>>,
    error: Option<ProtocolError>,
}

/// Checks [`Decoder`] against these bytes, as a server and as a client, with and without compression and with limits
/// of two sizes.
///
/// # Panics
///
/// When an invariant does not hold.
pub fn fuzz_frames(data: &[u8]) {
    for default in [Rules::server(), Rules::client()] {
        for (max_frame, max_message) in [(default.max_frame, default.max_message), (16, 24)] {
            for deflate in [false, true] {
                check_frames(data, &Rules { deflate, max_frame, max_message, ..default.clone() });
            }
        }
    }
}

fn check_frames(data: &[u8], rules: &Rules) {
    let whole = decode(&[data], rules);
    for step in [1, 2, 3, 7, 64] {
        assert_eq!(decode(&data.chunks(step).collect::<Vec<_>>(), rules), whole, "by {step}");
    }
    for end in split_points(data.len()) {
        assert_eq!(decode(&[&data[..end], &data[end..]], rules), whole, "split at {end}");
    }
    if let Some(error) = whole.error {
        let code = error.close_code();
        assert!(matches!(code, CloseCode::Protocol | CloseCode::Invalid | CloseCode::Size), "{code}");
        assert!(error.reason().len() <= MAX_CONTROL_PAYLOAD - 2);
    }
    whole.events.iter().for_each(|event| check_event(event, rules));
    check_written_anew(&whole.events, rules);
}

/// Everywhere in what is short, at about 100 places in what is long.
fn split_points(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).step_by(len / 100 + 1)
}

/// Decodes the pieces one after the other, as a connection would.
fn decode(pieces: &[&[u8]], rules: &Rules) -> Outcome {
    let mut decoder = Decoder::default();
    let mut outcome = Outcome { events: Vec::new(), error: None };
    let mut come = 0;
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        come += input.len();
        while !input.is_empty() {
            let available = input.len();
            let decoded = match decoder.decode(input, rules) {
                Ok(decoded) => decoded,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut [0x81], rules), Err(error), "an error is final");
                    outcome.error = Some(error);
                    return outcome;
                }
            };
            let consumed = decoded.consumed;
            assert!(consumed <= available && consumed > 0, "no progress, or too much");
            assert!(decoded.event.is_some() || consumed == available, "unread, and nothing found");
            outcome.events.extend(decoded.event.map(Event::into_owned));
            assert!(decoder.memory() <= 2 * come + 512, "memory for what has not come");
            input = &mut input[consumed..];
        }
    }
    outcome
}

fn check_event(event: &Event<'_>, rules: &Rules) {
    let limit = match event {
        Event::Text(_) | Event::Binary(_) => rules.max_message,
        Event::Compressed { .. } => {
            assert!(rules.deflate, "compressed without an agreement");
            rules.max_message
        }
        _ => MAX_CONTROL_PAYLOAD,
    };
    assert!(payload(event).1.len() <= limit);
    if let Event::Close(close) = event {
        let code = close.code.into();
        assert!(encode::may_be_sent(code) || (code == 1005 && close.reason.is_empty()));
    }
}

/// The events, written again, are the same events.
fn check_written_anew(events: &[Event<'static>], rules: &Rules) {
    let mask = (rules.role == Role::Server).then_some([0xa5, 0x5a, 0x00, 0xff]);
    let mut bytes = Vec::new();
    for event in events {
        let (opcode, payload) = payload(event);
        let compressed = matches!(event, Event::Compressed { .. });
        let head = FrameHead { mask, compressed, ..FrameHead::new(opcode, payload.len()) };
        encode::write_frame(&mut bytes, head, &payload);
    }
    let roomy = Rules { max_frame: rules.max_message, ..rules.clone() };
    let again = decode(&[&bytes], &roomy);
    assert_eq!(again.error, None);
    assert_eq!(again.events, events);
}

fn payload(event: &Event<'_>) -> (Opcode, Vec<u8>) {
    match event {
        Event::Text(text) => (Opcode::Text, text.as_bytes().to_vec()),
        Event::Binary(payload) => (Opcode::Binary, payload.to_vec()),
        Event::Compressed { text, payload } => {
            (if *text { Opcode::Text } else { Opcode::Binary }, payload.to_vec())
        }
        Event::Ping(payload) => (Opcode::Ping, payload.to_vec()),
        Event::Pong(payload) => (Opcode::Pong, payload.to_vec()),
        Event::Close(close) => (Opcode::Close, encode::ClosePayload::new(close.code, &close.reason).to_vec()),
    }
}

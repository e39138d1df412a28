//! From bytes to messages.
mod progress;

use std::borrow::Cow;
use std::ops::Range;

use super::encode::may_be_sent;
use super::error::{Kind, ProtocolError};
use super::frame::{FrameHead, Opcode, Role, Rules};
use super::utf8::validate;
use super::{CloseCode, mask};
use progress::{Phase, Progress};

/// What a peer sent.
///
/// A message that came in one frame and one piece is borrowed from where it was read. One that came in several was
/// collected, and is owned: nothing of it stays with the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message.
    Text(Cow<'a, str>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A message that has to be inflated; only if [`Rules::deflate`] lets it be.
    Compressed {
        /// Whether it is a text message. Nobody has looked yet whether the text is UTF-8.
        text: bool,
        /// As it was sent.
        payload: Cow<'a, [u8]>,
    },
    /// A ping, to be answered with a pong of the same payload.
    Ping(Cow<'a, [u8]>),
    /// A pong.
    Pong(Cow<'a, [u8]>),
    /// The peer's last frame. What it sends after it is dropped unread.
    Close(CloseFrame<'a>),
}

impl Event<'_> {
    /// The same, borrowed from nowhere.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Event::Text(text) => Event::Text(Cow::Owned(text.into_owned())),
            Event::Binary(payload) => Event::Binary(Cow::Owned(payload.into_owned())),
            Event::Compressed { text, payload } => {
                Event::Compressed { text, payload: Cow::Owned(payload.into_owned()) }
            }
            Event::Ping(payload) => Event::Ping(Cow::Owned(payload.into_owned())),
            Event::Pong(payload) => Event::Pong(Cow::Owned(payload.into_owned())),
            Event::Close(CloseFrame { code, reason }) => {
                Event::Close(CloseFrame { code, reason: Cow::Owned(reason.into_owned()) })
            }
        }
    }
}

/// Why a peer closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// [`CloseCode::Status`] (1005) if the frame had none.
    pub code: CloseCode,
    /// In words; mostly empty.
    pub reason: Cow<'a, str>,
}

/// What one call of [`Decoder::decode`] found.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// Bytes of the input that are done with: all of them, if there is no event.
    pub consumed: usize,
    /// `None` if there has to be more input first.
    pub event: Option<Event<'a>>,
}

/// Takes messages and control frames out of what is read from one connection.
///
/// It takes a word of memory, and no more while no message is on its way. A message in progress is collected in a
/// buffer of its own, which grows with what has come and not with what a peer announces, and leaves with the message.
///
/// ```
/// use lakh_ws::proto::{Decoder, Event, Rules};
///
/// // "Hel" and "lo" without masks, as a server may send them (RFC 6455, 5.7), and a ping between them.
/// let mut read = *b"\x01\x03Hel\x89\x00\x80\x02lo";
/// let (mut decoder, rules) = (Decoder::default(), Rules::client());
/// let (mut input, mut texts) = (&mut read[..], Vec::new());
/// while !input.is_empty() {
///     let decoded = decoder.decode(input, &rules)?;
///     if let Some(Event::Text(text)) = decoded.event {
///         texts.push(text.into_owned());
///     }
///     let consumed = decoded.consumed;
///     input = &mut input[consumed..];
/// }
/// assert_eq!(texts, ["Hello"]);
/// # Ok::<(), lakh_ws::proto::ProtocolError>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder(Option<Box<Progress>>);

const _: () = assert!(size_of::<Decoder>() == size_of::<usize>());

/// What a payload is of, and where it is.
enum Found {
    /// There has to be more input.
    Nothing,
    /// In the input.
    Here(Content, Range<usize>),
    /// In a buffer of its own.
    Collected(Content, Vec<u8>),
}

#[derive(Clone, Copy)]
struct Content {
    opcode: Opcode,
    compressed: bool,
}

impl Decoder {
    /// Reads up to the end of the next message or control frame, or to the end of `input`, which it unmasks in place.
    ///
    /// Call it again with the rest until all is consumed. The caller never has to keep unread bytes: half a head is
    /// kept here.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or a limit. Every further call fails in the same way.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a mut [u8], rules: &Rules) -> Result<Decoded<'a>, ProtocolError> {
        if self.0.is_none()
            && let Some(len) = short_message(input, rules)
        {
            let consumed = 6 + len;
            let content = Content {
                opcode: if input[0] == 0x81 { Opcode::Text } else { Opcode::Binary },
                compressed: false,
            };
            let (head, rest) = input.split_at_mut(6);
            let payload = &mut rest[..len];
            mask::apply(payload, [head[2], head[3], head[4], head[5]]);
            return match content.event(Cow::Borrowed(payload)) {
                Ok(event) => Ok(Decoded { consumed, event: Some(event) }),
                Err(error) => Err(self.fail(error)),
            };
        }
        self.decode_any(input, rules)
    }

    /// Whether nothing is on its way: no half head, no half message.
    pub fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that have come of a message that is on its way; 0 if there is none, or nothing but a head of it.
    pub fn received(&self) -> usize {
        self.0.as_ref().map_or(0, |progress| progress.received())
    }

    /// Bytes on the heap: none when idle, else about 100 and at most twice what has come of a message.
    pub fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |progress| size_of::<Progress>() + progress.buffered())
    }

    fn decode_any<'a>(&mut self, input: &'a mut [u8], rules: &Rules) -> Result<Decoded<'a>, ProtocolError> {
        let mut consumed = 0;
        let mut found = Found::Nothing;
        while consumed < input.len() && matches!(found, Found::Nothing) {
            let step = self.step(&mut input[consumed..], rules);
            let (used, next) = step.map_err(|error| self.fail(error))?;
            found = match next {
                Found::Here(content, at) => Found::Here(content, consumed + at.start..consumed + at.end),
                other => other,
            };
            consumed += used;
        }
        let event = match found {
            Found::Nothing => return Ok(Decoded { consumed, event: None }),
            Found::Here(content, at) => content.event(Cow::Borrowed(&input[at])),
            Found::Collected(content, bytes) => content.event(Cow::Owned(bytes)),
        };
        let event = event.map_err(|error| self.fail(error))?;
        if matches!(event, Event::Close(_)) {
            self.0 = Some(Box::new(Progress::ended(Phase::Closed)));
        }
        Ok(Decoded { consumed, event: Some(event) })
    }

    /// Takes one frame, or as much of it as is there.
    fn step(&mut self, input: &mut [u8], rules: &Rules) -> Result<(usize, Found), ProtocolError> {
        let Some(progress) = &mut self.0 else { return self.begin(input, rules) };
        let step = match progress.phase {
            Phase::Head => progress.take_head(input, rules)?,
            Phase::Payload => progress.take_payload(input)?,
            Phase::Closed => (input.len(), Found::Nothing),
            Phase::Failed(error) => return Err(error),
        };
        if progress.is_over() {
            self.0 = None;
        }
        Ok(step)
    }

    /// Takes a frame outside of any message.
    fn begin(&mut self, input: &mut [u8], rules: &Rules) -> Result<(usize, Found), ProtocolError> {
        if let Some((head, head_len)) = FrameHead::parse(input, rules, false)?
            && let Some(found) = take_whole(&head, head_len, input)
        {
            return Ok((head_len + head.len as usize, found));
        }
        let mut progress = Box::new(Progress::default());
        let step = progress.take_head(input, rules)?;
        // A first fragment, or what is not whole: it is never over.
        self.0 = Some(progress);
        Ok(step)
    }

    #[cold]
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.0 = Some(Box::new(Progress::ended(Phase::Failed(error))));
        error
    }
}

impl Content {
    #[inline]
    fn event(self, payload: Cow<'_, [u8]>) -> Result<Event<'_>, ProtocolError> {
        Ok(match self.opcode {
            Opcode::Text | Opcode::Binary if self.compressed => {
                Event::Compressed { text: self.opcode == Opcode::Text, payload }
            }
            Opcode::Text => Event::Text(text(payload)?),
            Opcode::Binary | Opcode::Continuation => Event::Binary(payload),
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong(payload),
            Opcode::Close => Event::Close(CloseFrame::parse(payload)?),
        })
    }
}

impl<'a> CloseFrame<'a> {
    /// Reads a close frame's payload (RFC 6455, 5.5.1).
    ///
    /// # Errors
    ///
    /// Half a code, a code that may not be sent, or a reason that is not UTF-8.
    pub fn parse(payload: Cow<'a, [u8]>) -> Result<Self, ProtocolError> {
        let Some(code) = payload.first_chunk::<2>() else {
            let none = CloseFrame { code: CloseCode::Status, reason: Cow::Borrowed("") };
            return if payload.is_empty() { Ok(none) } else { Err(ProtocolError(Kind::ClosePayload)) };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(ProtocolError(Kind::CloseCode));
        }
        let reason = match payload {
            Cow::Borrowed(payload) => Cow::Borrowed(validate(&payload[2..])?),
            Cow::Owned(payload) => Cow::Owned(validate(&payload[2..])?.to_owned()),
        };
        Ok(CloseFrame { code: code.into(), reason })
    }
}

#[inline]
fn text(payload: Cow<'_, [u8]>) -> Result<Cow<'_, str>, ProtocolError> {
    match payload {
        Cow::Borrowed(bytes) => Ok(Cow::Borrowed(validate(bytes)?)),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(ProtocolError(Kind::Utf8)),
        },
    }
}

/// The length of the most common frame there is, if one stands at the beginning of `input`, whole: a message of at most
/// 125 bytes in one frame of a client.
#[inline]
fn short_message(input: &[u8], rules: &Rules) -> Option<usize> {
    let &[first @ (0x81 | 0x82), second, _, _, _, _, ref payload @ ..] = input else { return None };
    let len = usize::from(second & 0x7f);
    let short = second >= 0x80 && len < 126 && len <= payload.len() && rules.takes(first);
    (short && rules.role == Role::Server && len <= rules.max_frame.min(rules.max_message)).then_some(len)
}

/// A frame that is a message or a control frame by itself, and all there: unmasked where it is.
fn take_whole(head: &FrameHead, head_len: usize, input: &mut [u8]) -> Option<Found> {
    let alone = head.fin && head.opcode != Opcode::Continuation;
    let end = head_len.checked_add(usize::try_from(head.len).ok()?)?;
    if !alone || end > input.len() {
        return None;
    }
    if let Some(key) = head.mask {
        mask::apply(&mut input[head_len..end], key);
    }
    let content = Content { opcode: head.opcode, compressed: head.compressed };
    Some(Found::Here(content, head_len..end))
}

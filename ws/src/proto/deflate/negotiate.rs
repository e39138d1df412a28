//! Offers, answers, and what they come to (RFC 7692, 7.1).
use std::fmt::Write;

use http::{HeaderMap, HeaderValue};

use super::extensions::{Extension, ExtensionError, parse};
use super::{Deflate, DeflateContext, DeflateOptions, LARGEST_WINDOW};

const NAME: &str = "permessage-deflate";

/// The four parameters, of an offer or of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Params {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    /// In an offer, it may be without a value.
    client_bits: Option<Option<u8>>,
}

/// For a server: what of a client's offers it takes, and the `Sec-WebSocket-Extensions` of its answer.
///
/// Offers are looked at in their order. One with a parameter that is unknown, doubled, or has a wrong value is declined,
/// and so is any other extension (RFC 7692, 5.1 and 7.1). `None` if none is left.
///
/// # Errors
///
/// The field breaks the grammar: the handshake fails with 400.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use lakh_ws::proto::deflate::{DeflateOptions, answer_offers};
///
/// let mut request = HeaderMap::new();
/// let offer = HeaderValue::from_static("permessage-deflate; client_max_window_bits");
/// request.insert("sec-websocket-extensions", offer);
/// let (agreed, answer) = answer_offers(&request, &DeflateOptions::default())?.unwrap();
/// assert_eq!(answer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
/// assert!(!agreed.send.takeover && !agreed.receive.takeover);
/// # Ok::<(), lakh_ws::proto::deflate::ExtensionError>(())
/// ```
pub fn answer_offers(
    request: &HeaderMap,
    options: &DeflateOptions,
) -> Result<Option<(Deflate, HeaderValue)>, ExtensionError> {
    let offers = parse(request)?;
    let offer = offers.iter().filter(|offer| offer.name == NAME).find_map(Params::read);
    Ok(offer.map(|offer| {
        let (agreed, answer) = offer.accept(options);
        (agreed, answer.field())
    }))
}

/// For a client: the `Sec-WebSocket-Extensions` of its request.
pub fn offer(options: &DeflateOptions) -> HeaderValue {
    offered(options).field()
}

/// For a client: what the server's answer to [`offer`] comes to; `None` if it takes none.
///
/// # Errors
///
/// The server answers what was not offered: the handshake fails (RFC 6455, 4.1; RFC 7692, 7.1).
pub fn check_answer(
    response: &HeaderMap,
    options: &DeflateOptions,
) -> Result<Option<Deflate>, ExtensionError> {
    let extensions = parse(response)?;
    match &extensions[..] {
        [] => Ok(None),
        [answer] if answer.name == NAME => {
            let answer = Params::read(answer).ok_or(ExtensionError("a parameter that is wrong"))?;
            answer.conclude(options).map(Some)
        }
        _ => Err(ExtensionError("an extension that was not offered")),
    }
}

fn offered(options: &DeflateOptions) -> Params {
    let limit = |context: &DeflateContext| Some(context.bits()).filter(|bits| *bits < LARGEST_WINDOW);
    Params {
        server_no_takeover: !options.receive.takeover,
        client_no_takeover: !options.send.takeover,
        // Whoever shares one decompressor has one that reads any window.
        server_bits: limit(&options.receive).filter(|_| options.receive.takeover),
        client_bits: Some(limit(&options.send)),
    }
}

impl Params {
    /// `None` for a parameter that is unknown, doubled, or has a wrong value.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut params = Params::default();
        for (name, value) in &extension.params {
            let value = value.as_deref();
            match *name {
                "server_no_context_takeover" if value.is_none() => set(&mut params.server_no_takeover)?,
                "client_no_context_takeover" if value.is_none() => set(&mut params.client_no_takeover)?,
                "server_max_window_bits" if params.server_bits.is_none() => {
                    params.server_bits = Some(window_bits(value?)?);
                }
                "client_max_window_bits" if params.client_bits.is_none() => {
                    let bits = value.map(window_bits);
                    params.client_bits = if bits == Some(None) { return None } else { Some(bits.flatten()) };
                }
                _ => return None,
            }
        }
        Some(params)
    }

    /// For a server, which may take any offer: what it comes to and the answer that says so.
    fn accept(&self, options: &DeflateOptions) -> (Deflate, Params) {
        let send = DeflateContext {
            takeover: options.send.takeover && !self.server_no_takeover,
            window_bits: self.server_bits.unwrap_or(LARGEST_WINDOW).min(options.send.bits()),
        };
        let ours = options.receive.bits();
        let receive_bits = match self.client_bits {
            Some(theirs) => theirs.unwrap_or(LARGEST_WINDOW).min(ours),
            // A client that does not know the parameter cannot be told to take less.
            None => LARGEST_WINDOW,
        };
        let takeover = options.receive.takeover && !self.client_no_takeover && receive_bits <= ours;
        let window_bits = if takeover { receive_bits } else { LARGEST_WINDOW };
        let receive = DeflateContext { takeover, window_bits };
        let answer = Params {
            server_no_takeover: !send.takeover,
            client_no_takeover: !takeover,
            server_bits: self.server_bits.map(|_| send.window_bits),
            client_bits: (window_bits < LARGEST_WINDOW).then_some(Some(window_bits)),
        };
        (Deflate { send, receive }, answer)
    }

    /// For a client: what this answer to its offer comes to.
    fn conclude(&self, options: &DeflateOptions) -> Result<Deflate, ExtensionError> {
        let offered = offered(options);
        if offered.server_no_takeover && !self.server_no_takeover {
            return Err(ExtensionError("the server keeps a context that it was asked not to"));
        }
        if offered.server_bits.is_some_and(|ours| self.server_bits.is_none_or(|theirs| theirs > ours)) {
            return Err(ExtensionError("the server's window is larger than it was asked for"));
        }
        let send_bits = match self.client_bits {
            None => options.send.bits(),
            Some(Some(bits)) if bits <= options.send.bits() => bits,
            Some(_) => return Err(ExtensionError("client_max_window_bits is not what was offered")),
        };
        let send = DeflateContext {
            takeover: options.send.takeover && !self.client_no_takeover,
            window_bits: send_bits,
        };
        let receive = DeflateContext {
            takeover: !self.server_no_takeover,
            window_bits: self.server_bits.unwrap_or(LARGEST_WINDOW),
        };
        Ok(Deflate { send, receive })
    }

    fn field(&self) -> HeaderValue {
        let mut text = NAME.to_owned();
        for (name, set) in [
            ("; server_no_context_takeover", self.server_no_takeover),
            ("; client_no_context_takeover", self.client_no_takeover),
        ] {
            text.push_str(if set { name } else { "" });
        }
        // Writing to a string cannot fail.
        if let Some(bits) = self.server_bits {
            let _ = write!(text, "; server_max_window_bits={bits}");
        }
        match self.client_bits {
            Some(Some(bits)) => drop(write!(text, "; client_max_window_bits={bits}")),
            Some(None) => text.push_str("; client_max_window_bits"),
            None => {}
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(NAME))
    }
}

/// `None` if it is set already.
fn set(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

/// 8 to 15, without leading zeros (RFC 7692, 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    ((8..=15).contains(&bits) && value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0'))
        .then_some(bits)
}

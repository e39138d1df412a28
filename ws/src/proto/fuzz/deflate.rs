//! Compressed messages, and what is negotiated about them.
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use super::super::deflate::{
    Compressor, DeflateContext, DeflateOptions, Inflater, SharedDeflate, answer_offers, check_answer,
};
use super::super::{CloseCode, Event, ProtocolError};

/// Checks [`Inflater`] against these bytes as a compressed message and as two, and the negotiation against them as
/// offers and as an answer.
///
/// # Panics
///
/// When an invariant does not hold.
pub fn fuzz_deflate(data: &[u8]) {
    check_message(data);
    check_context(data);
    check_negotiation(data);
}

fn check_message(data: &[u8]) {
    let mut shared = SharedDeflate::new(6);
    let whole = inflate(shared.inflater(), data, 100_000);
    for limit in [0, 1, 100, 1000] {
        let limited = inflate(shared.inflater(), data, limit);
        match &whole {
            Ok(content) if content.len() <= limit => assert_eq!(limited.as_ref(), Ok(content)),
            Ok(_) => assert_eq!(limited.unwrap_err().close_code(), CloseCode::Size),
            Err(_) => assert!(limited.is_err()),
        }
    }
    assert_eq!(inflate(shared.inflater(), data, 100_000), whole, "a message leaves nothing to the next");
    let Ok(content) = whole else { return };
    for window_bits in [9, 15] {
        let mut compressed = Vec::new();
        assert_eq!(shared.compressor(window_bits).compress(&content, &mut compressed), Ok(()));
        assert_eq!(inflate(shared.inflater(), &compressed, content.len()).as_ref(), Ok(&content));
    }
    let mut out = Vec::new();
    let text = shared.inflater().message(true, data, content.len(), &mut out);
    assert_eq!(text.is_ok(), std::str::from_utf8(&content).is_ok());
    assert!(matches!(text, Ok(Event::Text(_)) | Err(_)));
}

fn inflate(inflater: &mut Inflater, data: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolError> {
    let mut out = Vec::new();
    let result = inflater.inflate(data, limit, &mut out);
    assert!(out.capacity() <= limit + 1, "{} bytes for a limit of {limit}", out.capacity());
    assert!(result.is_err() || out.len() <= limit);
    result.map(|()| out)
}

/// Two halves by one context, which the first may leave in any state; and messages of ours by a pair of contexts.
fn check_context(data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    let context = DeflateContext { takeover: true, window_bits: 10 };
    let mut theirs = Inflater::new(context);
    if inflate(&mut theirs, first, 10_000).is_ok() {
        let _ = inflate(&mut theirs, second, 10_000);
    }
    let (mut compressor, mut inflater) = (Compressor::new(1, context), Inflater::new(context));
    for message in [first, second, first, &[], data] {
        let mut compressed = Vec::new();
        assert_eq!(compressor.compress(message, &mut compressed), Ok(()));
        assert_eq!(inflate(&mut inflater, &compressed, message.len()).as_deref(), Ok(message));
    }
}

fn check_negotiation(data: &[u8]) {
    let Ok(field) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(SEC_WEBSOCKET_EXTENSIONS, field);
    let context = |takeover, window_bits| DeflateContext { takeover, window_bits };
    for options in [
        DeflateOptions::default(),
        DeflateOptions { send: context(true, 15), receive: context(true, 15) },
        DeflateOptions { send: context(true, 10), receive: context(true, 11) },
    ] {
        let _ = check_answer(&headers, &options);
        let Ok(Some((agreed, answer))) = answer_offers(&headers, &options) else { continue };
        assert!(agreed.send.window_bits <= options.send.window_bits);
        assert!(!agreed.receive.takeover || agreed.receive.window_bits <= options.receive.window_bits);
        // A client that offers everything takes every answer.
        let everything = DeflateOptions { send: context(true, 15), receive: context(true, 15) };
        let mut response = HeaderMap::new();
        response.insert(SEC_WEBSOCKET_EXTENSIONS, answer);
        let client = check_answer(&response, &everything).unwrap().unwrap();
        assert_eq!(client.receive.takeover, agreed.send.takeover);
        assert!(client.receive.window_bits >= agreed.send.window_bits);
        assert_eq!(client.send, agreed.receive);
    }
}

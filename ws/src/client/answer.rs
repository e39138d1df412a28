//! The server's answer to the handshake.

use super::error::{ConnectError, Kind, Refusal};
use crate::{
    local::Local,
    proto::{
        CloseCode, Opcode,
        encode::{self, ClosePayload},
    },
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_LENGTH};
use lakh_net::TcpStream;
use std::{future::poll_fn, io, net::Shutdown, time::Duration};

/// Bytes of the answer's head, with those of interim answers before it.
const HEAD_AT_MOST: usize = 64 * 1024;
const FIELDS_AT_MOST: usize = 128;
/// Bytes of a refusal's body.
const BODY_AT_MOST: usize = 4096;
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// For the end of a connection that the server has opened in vain.
const END_PATIENCE: Duration = Duration::from_secs(1);
const BEGINNING: &[u8] = b"HTTP/1.";
const NO_ANSWER: &str = "what the server sent is no answer in HTTP/1.1";

/// An answer's head, and what was read behind it.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) rest: BytesMut,
}

impl Answer {
    /// Reads the first answer that is not an interim one (RFC 9110, 15.2), but for 101.
    pub(super) async fn read(stream: &TcpStream) -> Result<Self, ConnectError> {
        let (mut read, mut left) = (BytesMut::new(), HEAD_AT_MOST);
        loop {
            let end = read_head(stream, &mut read, left).await?;
            left -= end;
            let head = read.split_to(end);
            let (status, headers) = parse(&head)?;
            if status == StatusCode::SWITCHING_PROTOCOLS || !status.is_informational() {
                return Ok(Answer { status, headers, rest: read });
            }
        }
    }

    /// The frames that came right behind the head.
    pub(super) fn into_rest(self) -> Bytes {
        self.rest.freeze()
    }

    /// Reads the beginning of the body, if there is a length to go by.
    pub(super) async fn into_refusal(self, stream: &TcpStream) -> Refusal {
        let Answer { status, headers, rest: mut body } = self;
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let wanted = length.unwrap_or(0usize).min(BODY_AT_MOST);
        let reading =
            async { while body.len() < wanted && read_more(stream, &mut body).await.is_ok_and(|n| n > 0) {} };
        // The answer is known; its body is not worth waiting for.
        let _cut = lakh_core::timeout(BODY_PATIENCE, reading).await;
        body.truncate(wanted);
        Refusal { status, headers, body: body.to_vec() }
    }
}

/// Closes a WebSocket that the server has just opened, and waits a moment for the server to end the connection: what of
/// it nobody reads would reset the connection before the server has read why.
pub(super) async fn decline(stream: &TcpStream, code: CloseCode, reason: &str) -> io::Result<()> {
    let mut frame = Vec::new();
    let key = Local::with(Local::next_key);
    encode::write_masked(&mut frame, Opcode::Close, &ClosePayload::new(code, reason), key);
    stream.write_all(&frame).await?;
    stream.shutdown(Shutdown::Write)?;
    let mut dropped = BytesMut::new();
    let reading = async {
        while read_more(stream, &mut dropped).await.is_ok_and(|n| n > 0) {
            dropped.clear()
        }
    };
    let _cut = lakh_core::timeout(END_PATIENCE, reading).await;
    Ok(())
}

/// Reads until a whole head is there, and says where it ends.
async fn read_head(stream: &TcpStream, read: &mut BytesMut, at_most: usize) -> Result<usize, ConnectError> {
    let mut looked_at = 0usize;
    loop {
        let beginning = BEGINNING.len().min(read.len());
        if read[..beginning] != BEGINNING[..beginning] {
            return Err(Kind::Answer(NO_ANSWER).into());
        }
        let from = looked_at.saturating_sub(3);
        let end = read[from..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4);
        match end {
            Some(end) if end <= at_most => return Ok(end),
            None if read.len() < at_most => {}
            _ => return Err(Kind::Answer("the head of the server's answer is too long").into()),
        }
        looked_at = read.len();
        if read_more(stream, read).await.map_err(Kind::Io)? == 0 {
            return Err(Kind::Io(io::ErrorKind::UnexpectedEof.into()).into());
        }
    }
}

/// Reads through the shard's buffer. Cancel safe.
async fn read_more(stream: &TcpStream, into: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut input = Local::with(Local::take_input);
        let read = stream.poll_read(cx, &mut input);
        let read = read.map_ok(|n| {
            into.extend_from_slice(&input[..n]);
            n
        });
        Local::with(|local| local.return_input(input));
        read
    })
    .await
}

fn parse(head: &[u8]) -> Result<(StatusCode, HeaderMap), ConnectError> {
    let refuse = || ConnectError::from(Kind::Answer(NO_ANSWER));
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_AT_MOST];
    let mut answer = httparse::Response::new(&mut fields);
    match answer.parse(head) {
        // It takes a bare LF for the end of a line, which may end the head elsewhere.
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        _ => return Err(refuse()),
    }
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(refuse)?;
    if status == StatusCode::SWITCHING_PROTOCOLS && answer.version != Some(1) {
        return Err(refuse());
    }
    let mut headers = HeaderMap::new();
    for field in answer.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| refuse())?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| refuse())?;
        headers.append(name, value);
    }
    Ok((status, headers))
}

//! The WebSocket client's side: a handshake (RFC 6455, 4.1), masked messages, and the echoes they must bring.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::http::Shape;
use crate::load::{self, Opened};
use crate::{Context, Error, Result};

/// Of an echo's payload so many bytes are compared.
const CHECKED: usize = 64;
const FINAL_TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// The key of the example in RFC 6455, 5.7.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The nonce and the answer of the example in RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MAX_HEAD: usize = 16 * 1024;

/// A text message and its echo, in bytes.
#[derive(Clone, Debug)]
pub struct Message {
    /// As a client sends it.
    pub masked: Vec<u8>,
    /// As a server sends it.
    pub plain: Vec<u8>,
}

impl Message {
    /// A message of `size` bytes of text.
    pub fn text(size: usize) -> Message {
        let letters = b"The five boxing wizards jump quickly. ".iter();
        Message::of(&letters.copied().cycle().take(size).collect::<Vec<u8>>())
    }

    /// A message like no other: it begins with its number.
    pub fn numbered(size: usize, number: u64) -> Message {
        let mut text = format!("{number:020} ").into_bytes();
        text.resize(size, b'n');
        Message::of(&text)
    }

    fn of(payload: &[u8]) -> Message {
        let mut masked = head(payload.len(), MASKED);
        masked.extend_from_slice(&MASK);
        masked.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        let mut plain = head(payload.len(), 0);
        plain.extend_from_slice(payload);
        Message { masked, plain }
    }

    /// What the echo must look like.
    pub fn shape(&self) -> Shape {
        let start = self.plain.len().min(CHECKED);
        Shape::exactly(&self.plain[..start], self.plain.len())
    }
}

/// A frame's head without a mask: RFC 6455, 5.2.
fn head(size: usize, masked: u8) -> Vec<u8> {
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(size @ ..126), _) => vec![FINAL_TEXT, masked | size],
        (_, Ok(size)) => [&[FINAL_TEXT, masked | 126], size.to_be_bytes().as_slice()].concat(),
        _ => [&[FINAL_TEXT, masked | 127], (size as u64).to_be_bytes().as_slice()].concat(),
    }
}

/// Opens `count` WebSockets and has one echo on each.
pub fn open(address: SocketAddr, count: usize, path: &str, message: &Message) -> Result<Opened> {
    let streams = load::connect_all(address, count, &request(path, address), |number, batch| {
        let number = |index: usize| format!("connection {}", number + index);
        for (index, mut stream) in batch.iter().enumerate() {
            finish_handshake(stream).context(|| number(index))?;
            stream.write_all(&message.masked).context(|| number(index))?;
        }
        for (index, stream) in batch.iter().enumerate() {
            first_echo(stream, &message.plain).context(|| number(index))?;
        }
        Ok(())
    })?;
    Ok(Opened::new(streams, message.shape()))
}

/// Opens `count` WebSockets, on which nothing is sent.
pub fn open_silent(address: SocketAddr, count: usize, path: &str) -> Result<Vec<TcpStream>> {
    load::connect_all(address, count, &request(path, address), |number, batch| {
        for (index, stream) in batch.iter().enumerate() {
            finish_handshake(stream).context(|| format!("connection {}", number + index))?;
        }
        Ok(())
    })
}

pub fn request(path: &str, host: SocketAddr) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

fn finish_handshake(mut stream: &TcpStream) -> Result<()> {
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).context(|| "no answer to the handshake".to_owned())? {
            0 => return Err(Error::new("the server closed the connection instead of upgrading it")),
            got => answer.extend_from_slice(&buffer[..got]),
        }
        if answer.len() > MAX_HEAD {
            return Err(Error::new(format!("no end of the answer's head within {MAX_HEAD} bytes")));
        }
    }
    check_upgraded(&String::from_utf8_lossy(&answer))
}

fn check_upgraded(head: &str) -> Result<()> {
    let status = head.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        return Err(Error::new(format!("the answer is {status:?} instead of \"HTTP/1.1 101 …\"")));
    }
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let accept = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
    match accept {
        Some((_, value)) if value.trim() == ACCEPT => Ok(()),
        _ => Err(Error::new("the answer to the handshake has not the right Sec-WebSocket-Accept")),
    }
}

fn first_echo(mut stream: &TcpStream, plain: &[u8]) -> Result<()> {
    let mut echo = vec![0; plain.len()];
    stream.read_exact(&mut echo).context(|| "no echo".to_owned())?;
    if echo == plain { Ok(()) } else { Err(load::unexpected(&echo)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_is_framed_as_there() {
        let message = Message::of(b"Hello");
        assert_eq!(message.masked, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(message.plain, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        assert_eq!(head(125, 0), [0x81, 125]);
        assert_eq!(head(126, MASKED), [0x81, 0xfe, 0, 126]);
        assert_eq!(head(65_535, 0), [0x81, 126, 0xff, 0xff]);
        assert_eq!(head(65_536, 0), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn an_echo_is_checked_by_its_length_and_beginning() {
        let message = Message::text(4096);
        let shape = message.shape();
        assert_eq!((shape.total(), shape.checked()), (4100, 64));
        assert!(shape.check(&message.plain));
        assert!(!shape.check(&message.masked));
        assert!(!shape.check(&Message::text(4095).plain));
    }

    #[test]
    fn no_message_looks_like_a_request_that_is_to_be_numbered() {
        for size in [1, 64, 4096] {
            assert!(crate::http::numbered(&Message::text(size).masked, 1).is_none());
        }
    }

    #[test]
    fn numbered_messages_all_differ() {
        let (one, other) = (Message::numbered(128, 1), Message::numbered(128, 2));
        assert_eq!(one.plain.len(), 132);
        assert_ne!(one.plain, other.plain);
    }

    #[test]
    fn a_handshake_needs_101_and_the_right_accept() {
        let head = |status: &str, accept: &str| {
            check_upgraded(&format!("HTTP/1.1 {status}\r\nSec-Websocket-accept: {accept}\r\n\r\n"))
        };
        assert!(head("101 Switching Protocols", ACCEPT).is_ok());
        assert!(head("200 OK", ACCEPT).unwrap_err().to_string().contains("200 OK"));
        assert!(head("101 Switching Protocols", KEY).is_err());
    }
}

//! Opening a WebSocket: RFC 6455, 4.1.

use super::super::{Failure, http::request::fields};
use crate::{
    plan::{Asked, HttpRequest, Target},
    stats::Cause,
    template::{Template, Values},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tungstenite::handshake::derive_accept_key;

/// A head of an answer may be so long.
const HEAD_AT_MOST: usize = 16 * 1024;
const FIELDS_AT_MOST: usize = 64;

/// The request but for the key, which is every connection's own.
pub(super) struct Request {
    before_key: Template,
}

/// A handshake that waits for its answer.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: String,
    /// The number that its placeholders had.
    pub(super) number: u64,
    /// What has come of the answer.
    head: Vec<u8>,
}

impl Request {
    pub(super) fn new(target: &Target, request: &HttpRequest) -> Self {
        let path = match &request.asked {
            Asked::Template(path) => path.clone(),
            // A plan with a list is refused.
            Asked::Target | Asked::List(_) => Template::text(target.path.as_str()),
        };
        let protocol = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        let before_key = Template::text("GET ")
            .then(path)
            .then(Template::text(" HTTP/1.1\r\n"))
            .then(fields(target, &request.headers))
            .then(Template::text(format!("{protocol}Sec-WebSocket-Key: ")));
        Request { before_key }
    }

    /// With the placeholders' present values.
    pub(super) fn append(&self, values: &mut Values, out: &mut Vec<u8>) -> Handshake {
        let mut nonce = [0; 16];
        // A key proves that the server read the request, and keeps no secret.
        fastrand::fill(&mut nonce);
        let key = STANDARD.encode(nonce);
        self.before_key.render(values, out);
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        Handshake { accept: derive_accept_key(key.as_bytes()), number: values.number(), head: Vec::new() }
    }
}

impl Handshake {
    /// Reads the answer; how many bytes of `input` were its last ones, or `None` if more have to come.
    pub(super) fn receive(&mut self, input: &[u8]) -> Result<Option<usize>, Failure> {
        if self.head.is_empty()
            && let Some(len) = self.check(input)?
        {
            return Ok(Some(len));
        }
        let before = self.head.len();
        self.head.extend_from_slice(&input[..input.len().min(HEAD_AT_MOST - before + 1)]);
        if before > 0
            && let Some(len) = self.check(&self.head)?
        {
            // What had come before was no head.
            return Ok(Some(len - before));
        }
        match self.head.len() > HEAD_AT_MOST {
            true => Err(Failure::new(Cause::Garbage, "a head of more than 16 KiB instead of a handshake")),
            false => Ok(None),
        }
    }

    /// The length of the head, if it is there as a whole.
    fn check(&self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_AT_MOST];
        let mut answer = httparse::Response::new(&mut fields);
        let len = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => {
                return Err(Failure::new(Cause::Garbage, format!("no HTTP instead of a handshake: {error}")));
            }
        };
        let refuse = |why: String| Err(Failure::new(Cause::Handshake, why));
        let status = answer.code.unwrap_or_default();
        if status != 101 {
            let reason = answer.reason.unwrap_or_default();
            return refuse(
                format!("the server answered {status} {reason} instead of 101").replace("  ", " "),
            );
        }
        let of = |name: &'static str| {
            let named = answer.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
            named.map(|field| field.value.trim_ascii())
        };
        let lists = |name, token: &[u8]| {
            of(name).any(|value| {
                value.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
            })
        };
        if !lists("upgrade", b"websocket") || !lists("connection", b"upgrade") {
            return refuse("the server's 101 does not upgrade to WebSocket".to_owned());
        }
        if !of("sec-websocket-accept").eq([self.accept.as_bytes()]) {
            return refuse("the server's Sec-WebSocket-Accept does not fit the key".to_owned());
        }
        if of("sec-websocket-extensions").next().is_some() {
            return refuse("the server agrees to an extension that was not offered".to_owned());
        }
        Ok(Some(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;
    use proptest::prelude::*;

    /// The request's bytes, and what waits for the answer.
    fn begin() -> (String, Handshake) {
        let mut out = Vec::new();
        let headers = vec![("X-A".to_owned(), Template::text("b"))];
        let request = HttpRequest { headers, ..HttpRequest::default() };
        let handshake =
            Request::new(&made_up::plan().target, &request).append(&mut Values::new(0, 1), &mut out);
        (String::from_utf8(out).unwrap(), handshake)
    }

    fn answer(handshake: &Handshake) -> String {
        let accept = &handshake.accept;
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }

    #[test]
    fn the_request_is_that_of_the_rfc_with_a_key_of_its_own() {
        let (first, _) = begin();
        let (second, _) = begin();
        let (same, key) = first.split_at(first.find("Sec-WebSocket-Key: ").unwrap());
        assert_eq!(
            same,
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-A: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n"
        );
        assert!(key.len() == 19 + 24 + 4 && key.ends_with("==\r\n\r\n"), "{key:?}");
        assert_ne!(first, second);
    }

    #[test]
    fn what_is_no_handshake_says_why() {
        let of = |change: &dyn Fn(String) -> String| {
            let (_, mut handshake) = begin();
            let answer = change(answer(&handshake));
            handshake.receive(answer.as_bytes()).unwrap_err()
        };
        for (failure, cause, why) in [
            (of(&|_| "HTTP/1.1 404 Not Found\r\n\r\n".to_owned()), Cause::Handshake, "404 Not Found"),
            (of(&|_| "SSH-2.0-OpenSSH\r\n".to_owned()), Cause::Garbage, "no HTTP"),
            (of(&|all| all.replace("WebSocket\r", "h2c\r")), Cause::Handshake, "does not upgrade"),
            (of(&|all| all.replace("alive, Upgrade", "alive")), Cause::Handshake, "does not upgrade"),
            (of(&|all| all.replace("Accept: ", "Accept: x")), Cause::Handshake, "does not fit"),
            (
                of(&|all| {
                    all.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
                }),
                Cause::Handshake,
                "not offered",
            ),
            (of(&|_| format!("HTTP/1.1 101 x\r\nA: {}", "b".repeat(20_000))), Cause::Garbage, "16 KiB"),
        ] {
            assert!(failure.cause == cause && failure.example.contains(why), "{failure:?}");
        }
    }

    proptest! {
        #[test]
        fn an_answer_may_come_in_any_parts(cuts in prop::collection::vec(1_usize..40, 0..12), more in 0_usize..9) {
            let (_, mut handshake) = begin();
            let answer = answer(&handshake);
            let bytes = [answer.as_bytes(), &vec![0x81; more][..]].concat();
            let (mut at, mut cuts) = (0, cuts.into_iter());
            loop {
                let part = &bytes[at..bytes.len().min(at + cuts.next().unwrap_or(usize::MAX >> 1))];
                match handshake.receive(part).unwrap() {
                    None => at += part.len(),
                    Some(used) => {
                        prop_assert_eq!(at + used, answer.len());
                        break;
                    }
                }
            }
        }
    }
}

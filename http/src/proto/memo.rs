//! Recognising a head that has just been parsed.

use super::{HeadError, HeadLimits, Parsed, ParsedHead};

/// Longer heads are not kept.
const KEEP_AT_MOST: usize = 1024;

/// Parses heads, and remembers the last one: clients that poll, load balancers and load generators
/// send the same bytes again and again, and comparing costs a tenth of parsing and finding the route.
///
/// A head's meaning depends on nothing but its bytes and the limits, so keep one memo for each set
/// of limits. A head that differs costs the comparison up to its first different byte, and a copy.
///
/// ```
/// use lakh_http::proto::{HeadLimits, HeadMemo, Parsed};
///
/// let (mut memo, limits) = (HeadMemo::default(), HeadLimits::default());
/// for _ in 0..2 {
///     let bytes = b"GET /a HTTP/1.1\r\nHost: b\r\n\r\nrest";
///     assert_eq!(memo.parse(bytes, &limits), Ok(Parsed::Complete));
///     assert_eq!(memo.head().path.of(bytes), b"/a");
/// }
/// ```
#[derive(Debug, Default)]
pub struct HeadMemo {
    head: ParsedHead,
    /// What `head` was parsed from; empty if that is not kept.
    bytes: Vec<u8>,
    repeated: bool,
}

impl HeadMemo {
    /// As [`ParsedHead::parse`]; the result is in [`HeadMemo::head`].
    ///
    /// # Errors
    /// As [`ParsedHead::parse`].
    #[inline]
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
        self.repeated = !self.bytes.is_empty() && buf.starts_with(&self.bytes);
        if self.repeated {
            return Ok(Parsed::Complete);
        }
        self.parse_anew(buf, limits)
    }

    fn parse_anew(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
        self.bytes.clear();
        let parsed = self.head.parse(buf, limits)?;
        if parsed == Parsed::Complete && self.head.len <= KEEP_AT_MOST {
            self.bytes.extend_from_slice(&buf[..self.head.len]);
        }
        Ok(parsed)
    }

    /// Whether the last head was the same as the one before it: what followed from that one holds.
    #[inline]
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// The head that was parsed last, if it was complete.
    #[inline]
    pub fn head(&self) -> &ParsedHead {
        &self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADS: [&str; 6] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /longer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
    ];

    proptest! {
        #[test]
        fn a_memo_says_what_a_fresh_parse_says(
            picks in prop::collection::vec((0..HEADS.len(), 0usize..80), 1..20),
        ) {
            let limits = HeadLimits::default();
            let mut memo = HeadMemo::default();
            for (pick, cut) in picks {
                let bytes = HEADS[pick].as_bytes();
                let bytes = &bytes[..bytes.len().saturating_sub(cut / 2)];
                let mut fresh = ParsedHead::default();
                let expected = fresh.parse(bytes, &limits);
                prop_assert_eq!(memo.parse(bytes, &limits), expected);
                if expected == Ok(Parsed::Complete) {
                    prop_assert_eq!(memo.head(), &fresh);
                }
            }
        }
    }
}

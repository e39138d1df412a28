//! Recognising a head that has just been parsed.

use std::rc::Rc;

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
    /// Shared with requests that outlive the read buffer; filled anew when none of them is left.
    kept: Rc<KeptHead>,
    repeated: bool,
}

/// A head with its bytes.
#[derive(Debug, Default)]
pub struct KeptHead {
    /// What is known of it.
    pub head: ParsedHead,
    /// What `head` was parsed from; in a memo, empty if it was too long to be kept.
    pub bytes: Vec<u8>,
}

impl HeadMemo {
    /// As [`ParsedHead::parse`]; the result is in [`HeadMemo::head`].
    ///
    /// # Errors
    /// As [`ParsedHead::parse`].
    #[inline]
    pub fn parse(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
        let bytes = &self.kept.bytes;
        self.repeated = !bytes.is_empty() && buf.starts_with(bytes);
        if self.repeated {
            return Ok(Parsed::Complete);
        }
        self.parse_anew(buf, limits)
    }

    fn parse_anew(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
        if Rc::get_mut(&mut self.kept).is_none() {
            self.kept = Rc::default();
        }
        let Some(KeptHead { head, bytes }) = Rc::get_mut(&mut self.kept) else {
            unreachable!("it is not shared")
        };
        bytes.clear();
        let parsed = head.parse(buf, limits)?;
        if parsed == Parsed::Complete && head.len <= KEEP_AT_MOST {
            bytes.extend_from_slice(&buf[..head.len]);
        }
        Ok(parsed)
    }

    /// The head that was parsed last with its bytes, the first of `buf`, for a request that outlives them. Nothing
    /// is copied unless the head is long.
    pub fn share(&self, buf: &[u8]) -> Rc<KeptHead> {
        if !self.kept.bytes.is_empty() {
            return Rc::clone(&self.kept);
        }
        let head = self.head().clone();
        let bytes = buf.get(..head.len).unwrap_or_default().to_vec();
        Rc::new(KeptHead { head, bytes })
    }

    /// Whether the last head was the same as the one before it: what followed from that one holds.
    #[inline]
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// The head that was parsed last, if it was complete.
    #[inline]
    pub fn head(&self) -> &ParsedHead {
        &self.kept.head
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

use crate::Head;

/// What `Accept-Encoding` says (RFC 9110, 12.5.3). Weights are thousandths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AcceptEncoding {
    codings: Vec<(Vec<u8>, u16)>,
    star: Option<u16>,
    identity: Option<u16>,
}

/// Elements beyond these are not looked at.
const MOST: usize = 32;

impl AcceptEncoding {
    pub(super) fn of(head: &Head<'_>) -> Self {
        let fields = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
        Self::parse(fields.map(|(_, value)| value))
    }

    /// Elements that are malformed are left out.
    fn parse<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut accepted = AcceptEncoding::default();
        let elements = fields.flat_map(|field| field.split(|&byte| byte == b','));
        for (name, weight) in elements.take(MOST).filter_map(element) {
            match &*name {
                b"*" => accepted.star = Some(weight),
                b"identity" => accepted.identity = Some(weight),
                _ => accepted.codings.push((name, weight)),
            }
        }
        accepted
    }

    /// The place of the best of the codings that there are, the first among equals; `Some(None)` for the
    /// bytes as they are, `None` if nothing is accepted.
    pub(super) fn choose<'a>(&self, codings: impl Iterator<Item = &'a [u8]>) -> Option<Option<usize>> {
        let mut best = None;
        for (at, name) in codings.enumerate() {
            let weight = self.weight(name);
            if weight > 0 && best.is_none_or(|(_, other)| weight > other) {
                best = Some((at, weight));
            }
        }
        match best {
            // The bytes as they are win if the client says that it likes them better.
            Some((_, weight)) if self.identity.is_some_and(|identity| identity > weight) => Some(None),
            Some((at, _)) => Some(Some(at)),
            None => self.takes_identity().then_some(None),
        }
    }

    /// The bytes as they are, too, unless they are refused by name or with all the rest.
    pub(super) fn takes_identity(&self) -> bool {
        self.identity.or(self.star) != Some(0)
    }

    fn weight(&self, name: &[u8]) -> u16 {
        let named = self.codings.iter().find(|(coding, _)| coding == name);
        named.map(|(_, weight)| *weight).or(self.star).unwrap_or(0)
    }
}

/// `gzip`, `gzip;q=0.5`, in lower case; `x-gzip` is `gzip` (RFC 9110, 8.4.1.3).
fn element(text: &[u8]) -> Option<(Vec<u8>, u16)> {
    let mut parts = text.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let weight = match parts.next() {
        None => 1000,
        Some(parameter) => weight(parameter)?,
    };
    let name = name.strip_prefix(b"x-").filter(|name| *name == b"gzip").map_or(name.clone(), <[u8]>::to_vec);
    parts.next().is_none().then_some((name, weight))
}

/// `q=0.5` (RFC 9110, 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let (b"q=" | b"Q=", value) = parameter.split_at_checked(2)? else { return None };
    let (whole, digits) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(whole, b'0' | b'1') {
        return None;
    }
    let digit = |at| u16::from(digits.get(at).map_or(0, |digit| digit - b'0'));
    let thousandths = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of br and gzip, in this order.
    fn choice(field: &str) -> &'static str {
        let accepted = AcceptEncoding::parse(std::iter::once(field.as_bytes()));
        match accepted.choose([&b"br"[..], b"gzip"].into_iter()) {
            Some(Some(at)) => ["br", "gzip"][at],
            Some(None) => "identity",
            None => "nothing",
        }
    }

    #[test]
    fn weights_and_wildcards_are_honoured() {
        for (field, chosen) in [
            ("", "identity"),
            ("gzip", "gzip"),
            ("X-GZIP", "gzip"),
            ("gzip, deflate, br", "br"),
            ("gzip;q=1.0, br;q=0.9", "gzip"),
            ("gzip;q=0.001, br ; q=0", "gzip"),
            ("gzip;q=0", "identity"),
            ("*", "br"),
            ("*;q=0", "nothing"),
            ("*;q=0, identity", "identity"),
            ("*;q=0, gzip", "gzip"),
            ("identity;q=0", "nothing"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("identity;q=0, *", "br"),
            ("br;q=0, *;q=0.5", "gzip"),
            ("identity, gzip;q=0.5", "identity"),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("zstd", "identity"),
        ] {
            assert_eq!(choice(field), chosen, "{field:?}");
        }
    }

    #[test]
    fn malformed_elements_are_left_out() {
        for field in ["gzip;q=2", "gzip;q=", "gzip;q=0.1234", "gzip;x=1", "gzip;q=1.1", "gzip;q=1;b", ",;,"] {
            assert_eq!(choice(field), "identity", "{field:?}");
        }
        assert_eq!(choice("br;q=x, gzip"), "gzip");
    }
}

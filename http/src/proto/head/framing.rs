//! The few fields that say where a message ends and what becomes of the connection.
use super::error::Kind;

/// What the fields that frame a message say, gathered in the one pass over the fields.
#[derive(Default)]
pub(super) struct Framing {
    /// Which field it is.
    pub(super) host: Option<usize>,
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) connection_upgrade: bool,
    pub(super) upgrade: bool,
    pub(super) te_trailers: bool,
    pub(super) expects_continue: bool,
    pub(super) expects_else: bool,
    pub(super) error: Option<Kind>,
}

impl Framing {
    #[inline]
    pub(super) fn note(&mut self, index: usize, name: &str, value: &[u8]) {
        // Length and first letter leave next to nothing for the comparisons.
        let initial = name.as_bytes().first().map_or(0, |first| first | 0x20);
        if INITIALS[name.len() & 31] == initial {
            self.note_candidate(index, name, value);
        }
    }

    fn note_candidate(&mut self, index: usize, name: &str, value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is("te") => self.te_trailers |= list(value).any(|te| te.eq_ignore_ascii_case(b"trailers")),
            4 if is("host") && self.host.replace(index).is_some() => self.error = Some(Kind::HostRepeated),
            6 if is("expect") => self.note_expect(value),
            7 if is("upgrade") => self.upgrade = true,
            10 if is("connection") => self.note_connection(value),
            14 if is("content-length") => self.note_length(value),
            17 if is("transfer-encoding") => self.note_coding(value),
            _ => {}
        }
    }

    fn note_length(&mut self, value: &[u8]) {
        let length = decimal(value);
        if length.is_none() {
            self.error = Some(Kind::LengthInvalid);
        } else if self.content_length.is_some() {
            self.error = Some(Kind::LengthRepeated);
        }
        self.content_length = length.or(self.content_length);
    }

    fn note_coding(&mut self, value: &[u8]) {
        if !value.eq_ignore_ascii_case(b"chunked") {
            self.error = Some(Kind::CodingUnknown);
        } else if std::mem::replace(&mut self.chunked, true) {
            self.error = Some(Kind::CodingRepeated);
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        if value.contains(&b',') {
            list(value).for_each(|option| self.note_option(option));
        } else {
            self.note_option(value);
        }
    }

    fn note_option(&mut self, option: &[u8]) {
        match option.len() {
            5 => self.close |= option.eq_ignore_ascii_case(b"close"),
            7 => self.connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade"),
            10 => self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive"),
            _ => {}
        }
    }

    fn note_expect(&mut self, value: &[u8]) {
        for expectation in list(value) {
            if expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expects_continue = true;
            } else {
                self.expects_else = true;
            }
        }
    }
}

/// `1*DIGIT` that fits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &digit| {
        let digit = if digit.is_ascii_digit() { digit - b'0' } else { return None };
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The elements of a comma-separated list that are not empty (RFC 9110, 5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The first letter of the name with that length which [`Framing`] wants to see.
const INITIALS: [u8; 32] = {
    let mut initials = [0; 32];
    initials["te".len()] = b't';
    initials["host".len()] = b'h';
    initials["expect".len()] = b'e';
    initials["upgrade".len()] = b'u';
    initials["connection".len()] = b'c';
    initials["content-length".len()] = b'c';
    initials["transfer-encoding".len()] = b't';
    initials
};

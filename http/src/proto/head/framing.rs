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
    pub(super) fn note(&mut self, index: usize, name: &[u8], value: &[u8]) {
        // Length and first letter leave next to nothing for the comparisons.
        let initial = name.first().map_or(0, |first| first | 0x20);
        if INITIALS[name.len() & 31] == initial {
            self.note_candidate(index, name, value);
        }
    }

    fn note_candidate(&mut self, index: usize, name: &[u8], value: &[u8]) {
        if is(name, b"host") {
            if self.host.replace(index).is_some() {
                self.error = Some(Kind::HostRepeated);
            }
        } else if is(name, b"connection") {
            self.note_connection(value);
        } else if is(name, b"content-length") {
            self.note_length(value);
        } else if is(name, b"transfer-encoding") {
            self.note_coding(value);
        } else if is(name, b"expect") {
            self.note_expect(value);
        } else if is(name, b"te") {
            self.te_trailers |= list(value).any(|te| te.eq_ignore_ascii_case(b"trailers"));
        } else {
            self.upgrade |= is(name, b"upgrade");
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
        if !is(value, b"chunked") {
            self.error = Some(Kind::CodingUnknown);
        } else if std::mem::replace(&mut self.chunked, true) {
            self.error = Some(Kind::CodingRepeated);
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        // What nearly all say, without the look for commas.
        if is(value, b"keep-alive") {
            self.keep_alive = true;
        } else {
            list(value).for_each(|option| self.note_option(option));
        }
    }

    fn note_option(&mut self, option: &[u8]) {
        self.close |= is(option, b"close");
        self.keep_alive |= is(option, b"keep-alive");
        self.connection_upgrade |= is(option, b"upgrade");
    }

    fn note_expect(&mut self, value: &[u8]) {
        for expectation in list(value) {
            if is(expectation, b"100-continue") {
                self.expects_continue = true;
            } else {
                self.expects_else = true;
            }
        }
    }
}

/// Whether `text`, which has no control bytes, is `known`, which is in lower case, in whatever case.
///
/// Without branches: the compiler compares all bytes at once.
#[inline]
fn is<const LEN: usize>(text: &[u8], known: &[u8; LEN]) -> bool {
    let Some(text) = text.as_array::<LEN>() else { return false };
    text.iter().zip(known).fold(0, |differences, (byte, known)| differences | ((byte | 0x20) ^ known)) == 0
}

/// `1*DIGIT` that fits.
fn decimal(digits: &[u8]) -> Option<u64> {
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

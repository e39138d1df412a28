//! What messages carry that are given to many: whose they are, which one, and when it was sent.

use std::{fmt::Write, ops::Range};

const BEGIN: &str = "lakh:";
const RUN: Range<usize> = 5..13;
const NUMBER: Range<usize> = 14..22;
const SENT: Range<usize> = 23..39;
/// Bytes of one: `lakh:RRRRRRRR:NNNNNNNN:TTTTTTTTTTTTTTTT`, hexadecimal digits.
pub(super) const LEN: usize = SENT.end;

/// In text, so that it passes through servers that wrap or log it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Other runs' messages on the same topic are none of ours.
    pub(super) run: u32,
    pub(super) number: u32,
    /// In nanoseconds of the run.
    pub(super) sent: u64,
}

impl Marker {
    pub(super) fn append(self, out: &mut String) {
        let Marker { run, number, sent } = self;
        let _ = write!(out, "{BEGIN}{run:08x}:{number:08x}:{sent:016x}");
    }

    /// Where it begins in `text`, if anywhere.
    pub(super) fn find(text: &[u8]) -> Option<Marker> {
        // Nearly always the first place.
        text.windows(LEN).find_map(Marker::read)
    }

    fn read(text: &[u8]) -> Option<Marker> {
        let text = text.starts_with(BEGIN.as_bytes()).then_some(text)?;
        let text = std::str::from_utf8(text).ok()?;
        let digits = |range: Range<usize>| {
            let digits = text.get(range)?;
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)
        };
        Some(Marker {
            run: u32::from_str_radix(digits(RUN)?, 16).ok()?,
            number: u32::from_str_radix(digits(NUMBER)?, 16).ok()?,
            sent: u64::from_str_radix(digits(SENT)?, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_found_in_any_text(run: u32, number: u32, sent: u64, before in ".{0,20}", after in ".{0,20}") {
            let marker = Marker { run, number, sent };
            let mut text = before;
            marker.append(&mut text);
            text += &after;
            prop_assert_eq!(Marker::find(text.as_bytes()), Some(marker));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", bytes: Vec<u8>) {
            prop_assert_eq!(Marker::find(text.as_bytes()), None);
            prop_assert_eq!(Marker::find(&bytes), None);
            let _ = Marker::find(format!("lakh:{text}").as_bytes());
        }
    }
}

//! The bytes of a request target.
use super::error::{HeadError, Kind};

/// Where the first `?` is. Refuses what httparse lets through and may not stand in a target: `#` and non-ASCII.
///
/// The other visible characters that a URI may not contain are let through since browsers send them.
#[inline]
pub(super) fn question_mark(target: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut question = None;
    let mut at = 0;
    while at < target.len() {
        // Eight bytes at a time; the last eight overlap those before, fewer than eight are padded.
        at = at.min(target.len().saturating_sub(8));
        let word = match target[at..].first_chunk() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => target.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)),
        };
        if (word | bytes_equal(word, b'#')) & HIGH_BITS != 0 {
            return Err(HeadError(Kind::TargetByte));
        }
        let found = bytes_equal(word, b'?');
        if found != 0 && question.is_none() {
            question = Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    Ok(question)
}

/// The high bits of the bytes of `word` that are `byte`; above the first such byte there may be false ones.
#[inline]
fn bytes_equal(word: u64, byte: u8) -> u64 {
    let differences = word ^ (LOW_BITS * u64::from(byte));
    differences.wrapping_sub(LOW_BITS) & !differences & HIGH_BITS
}

/// Bytes up to and with the `//` of an http or https URI.
pub(super) fn scheme_len(target: &[u8]) -> Option<usize> {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let is_scheme =
        |scheme: &&[u8]| target.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    schemes.into_iter().find(is_scheme).map(<[u8]>::len)
}

const LOW_BITS: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

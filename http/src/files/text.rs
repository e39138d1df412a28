//! Short texts of a known longest length, kept without an allocation.

use std::fmt;

/// Up to `N` bytes of a header value. Whoever pushes has counted: `N` is the sum of the longest parts.
#[derive(Clone, Copy)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Self {
        const { assert!(N <= u8::MAX as usize) };
        Text { bytes: [0; N], len: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// # Panics
    ///
    /// If the text does not fit.
    pub(crate) fn push(&mut self, part: &[u8]) {
        let start = usize::from(self.len);
        let end = start + part.len();
        self.bytes[start..end].copy_from_slice(part);
        self.len = end as u8;
    }

    pub(crate) fn push_decimal(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
    }

    pub(crate) fn push_hex(&mut self, number: u128) {
        let digits = (u128::BITS - number.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            let digit = (number >> (4 * place)) & 0xf;
            self.push(&[b"0123456789abcdef"[digit as usize]]);
        }
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_leading_zeros() {
        for number in [0, 1, 9, 15, 16, 255, 4096, u64::MAX] {
            let mut text = Text::<64>::new();
            text.push_decimal(number);
            text.push(b" ");
            text.push_hex(number.into());
            assert_eq!(text.as_bytes(), format!("{number} {number:x}").as_bytes());
        }
    }
}

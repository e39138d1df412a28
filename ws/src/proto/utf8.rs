//! UTF-8 that comes in pieces.
use super::error::{Kind, ProtocolError};

/// Validates text piece by piece, and fails with the first piece that no continuation can make valid.
///
/// Between pieces it keeps the bytes of an incomplete character and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Utf8 {
    /// The first bytes of a character.
    pending: [u8; 3],
    len: u8,
}

const _: () = assert!(size_of::<Utf8>() == 4);

impl Utf8 {
    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// The text so far is not the beginning of any valid text.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        let rest = self.complete_pending(piece)?;
        let Err(error) = simdutf8::compat::from_utf8(rest) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(ProtocolError(Kind::Utf8));
        }
        let begun = &rest[error.valid_up_to()..];
        self.pending[..begun.len()].copy_from_slice(begun);
        self.len = begun.len() as u8;
        Ok(())
    }

    /// Ends the character that the last piece began, and returns what follows it.
    fn complete_pending<'a>(&mut self, mut piece: &'a [u8]) -> Result<&'a [u8], ProtocolError> {
        while self.len > 0
            && let Some((&byte, rest)) = piece.split_first()
        {
            piece = rest;
            let len = usize::from(self.len);
            let mut character = [0; 4];
            character[..len].copy_from_slice(&self.pending[..len]);
            character[len] = byte;
            match std::str::from_utf8(&character[..=len]) {
                Ok(_) => self.len = 0,
                // Four bytes are a character or an error.
                Err(error) if error.error_len().is_none() && len < 3 => {
                    self.pending[len] = byte;
                    self.len += 1;
                }
                Err(_) => return Err(ProtocolError(Kind::Utf8)),
            }
        }
        Ok(piece)
    }
}

/// Text that came whole.
#[inline]
pub(super) fn validate(bytes: &[u8]) -> Result<&str, ProtocolError> {
    // Below this the choice of vector instructions costs more than they save.
    const SHORT: usize = 64;
    let text = if bytes.len() < SHORT {
        std::str::from_utf8(bytes).ok()
    } else {
        simdutf8::basic::from_utf8(bytes).ok()
    };
    text.ok_or(ProtocolError(Kind::Utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(pieces: &[&[u8]]) -> bool {
        let mut utf8 = Utf8::default();
        pieces.iter().all(|piece| utf8.push(piece).is_ok()) && utf8.len == 0
    }

    #[test]
    fn text_is_valid_in_any_two_pieces_when_it_is_in_one() {
        let texts: [&[u8]; 9] = [
            "κόσμε € 𝄞 plain".as_bytes(),
            b"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"a\x80",
            b"\xf0\x9d\x84",
            b"\xff",
        ];
        for text in texts {
            let whole = std::str::from_utf8(text).is_ok();
            for split in 0..=text.len() {
                let found = is_valid(&[&text[..split], &text[split..]]);
                assert_eq!(found, whole, "{} at {split}", text.escape_ascii());
            }
            assert_eq!(is_valid(&text.chunks(1).collect::<Vec<_>>()), whole);
        }
    }

    #[test]
    fn what_cannot_become_valid_fails_with_its_first_wrong_byte() {
        // Surrogates, over U+10FFFF, overlong: settled by the second byte.
        for start in [b"\xed\xa0", b"\xf4\x90", b"\xe0\x9f", b"\xf0\x8f"] {
            let mut utf8 = Utf8::default();
            assert_eq!(utf8.push(&start[..1]), Ok(()));
            assert!(utf8.push(&start[1..]).is_err(), "{}", start.escape_ascii());
            assert!(Utf8::default().push(start).is_err());
        }
    }
}

//! Random bytes of the operating system, for keys, salts and tokens.
//!
//! They come from `getrandom(2)` (or what the platform has instead). That waits for nothing once the machine has
//! booted and takes well below a microsecond for 32 bytes, so it needs no pool.
//!
//! ```
//! use lakh_password::random;
//!
//! let key: [u8; 64] = random::bytes()?;
//! let session = random::base64url(32)?;
//! assert_eq!((session.len(), random::hex(16)?.len()), (43, 32));
//! # let _ = key;
//! # Ok::<(), std::io::Error>(())
//! ```

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::io;

/// Fills `buffer`.
///
/// # Errors
/// The system has no random numbers to give: an unusual sandbox, or a very early moment of the boot.
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    getrandom::fill(buffer).map_err(io::Error::from)
}

/// So many bytes.
///
/// # Errors
/// As [`fill`].
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// A token of so many random bytes in base64 for URLs, without padding (RFC 4648, 5): 4 characters for 3 bytes.
///
/// 16 bytes are beyond guessing, 32 beyond argument.
///
/// # Errors
/// As [`fill`].
pub fn base64url(bytes: usize) -> io::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(vector(bytes)?))
}

/// A token of so many random bytes in lower-case hexadecimal digits: 2 characters for a byte.
///
/// # Errors
/// As [`fill`].
pub fn hex(bytes: usize) -> io::Result<String> {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    Ok(vector(bytes)?.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

fn vector(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_of_their_alphabet() {
        let tokens = [base64url(33).unwrap(), base64url(33).unwrap()];
        assert_ne!(tokens[0], tokens[1]);
        let is_url_safe = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        assert!(tokens.iter().all(|token| token.len() == 44 && token.bytes().all(is_url_safe)));
        let digits = hex(33).unwrap();
        assert!(digits.len() == 66 && u128::from_str_radix(&digits[..32], 16).is_ok());
        assert_eq!(digits, digits.to_lowercase());
        assert_ne!(bytes::<32>().unwrap(), bytes::<32>().unwrap());
        assert_eq!((base64url(0).unwrap(), hex(0).unwrap()), (String::new(), String::new()));
    }
}

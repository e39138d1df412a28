//! The hosts file, in which a machine keeps addresses of names: hosts(5).
//!
//! ```
//! use lakh_net::hosts;
//!
//! let text = b"10.0.0.1 db.internal db # main\n";
//! assert_eq!(hosts::find(text, "db", 8), ["10.0.0.1".parse::<std::net::IpAddr>()?]);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::{
    fs::File,
    io::{self, Read},
    net::IpAddr,
};

/// Where it is.
pub const PATH: &str = if cfg!(windows) { r"C:\Windows\System32\drivers\etc\hosts" } else { "/etc/hosts" };
/// Bytes of it that are read.
const READ_AT_MOST: u64 = 1 << 20;

/// Whether a name in lower case is one of this machine's loopback, which nobody is ever asked for (RFC 6761, 6.3).
pub fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Reads the file: its first MiB. One that is not there lists nothing. It blocks: on a shard, let the pool do it
/// ([`lakh_core::blocking()`]).
///
/// # Errors
/// Those of open(2) and read(2).
pub fn read() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match File::open(PATH) {
        Ok(file) => file.take(READ_AT_MOST).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(text)
}

/// The addresses that a file's text gives a name, in its order and each once, `at_most` so many: an address, then names;
/// `#` begins a comment. Big and small letters are the same, and so is a name with the root's dot. An address with a zone
/// is left out: it would need an interface.
pub fn find(text: &[u8], name: &str, at_most: usize) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        let is_it = words.any(|word| word.strip_suffix('.').unwrap_or(word).eq_ignore_ascii_case(name));
        if is_it && !found.contains(&address) && found.len() < at_most {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_the_hosts_file() {
        let text = b"# 10.0.0.9 db\n10.0.0.1\tdb.internal DB # main\r\nfe80::1%eth0 db\n::1 db\n10.0.0.1 db\n\xff db\nx db\n";
        let of = |name| find(text, name, 8).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of("db"), ["10.0.0.1", "::1"]);
        assert_eq!(of("db.internal"), ["10.0.0.1"]);
        assert!(of("main").is_empty() && of("internal").is_empty() && of("10.0.0.1").is_empty());
        assert_eq!(find(text, "db", 1).len(), 1);
    }
}

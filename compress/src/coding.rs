//! Which coding, and how hard it tries.

use std::{fmt, str::FromStr};

/// A content coding (RFC 9110, 8.4.1).
///
/// ```
/// use lakh_compress::Coding;
///
/// assert_eq!("x-gzip".parse(), Ok(Coding::Gzip));
/// assert_eq!(Coding::Brotli.name(), "br");
/// assert!("identity".parse::<Coding>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// `gzip` (RFC 1952), which everybody reads.
    Gzip,
    /// `deflate`, which is a zlib stream (RFC 1950). Some clients take it for bare deflate (RFC 1951): prefer gzip.
    Deflate,
    /// `br` (RFC 7932): the shortest text.
    Brotli,
    /// `zstd` (RFC 8878): the least CPU. Windows have 8 MiB at most, as RFC 9659 wants it.
    Zstd,
}

impl Coding {
    /// All of them.
    pub const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Coding {
    type Err = UnknownCoding;

    /// By the registered name, in any case; `x-gzip` is `gzip`.
    fn from_str(name: &str) -> Result<Self, UnknownCoding> {
        let named = Coding::ALL.into_iter().find(|coding| coding.name().eq_ignore_ascii_case(name));
        named.or(name.eq_ignore_ascii_case("x-gzip").then_some(Coding::Gzip)).ok_or(UnknownCoding(()))
    }
}

/// No [`Coding`] has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCoding(());

impl fmt::Display for UnknownCoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the codings are gzip, deflate, br and zstd")
    }
}

impl std::error::Error for UnknownCoding {}

/// How hard an encoder tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// The least CPU: gzip 1, brotli 2, zstd 1.
    Fast,
    /// For answers that are compressed while somebody waits: gzip 6, brotli 4, zstd 3.
    #[default]
    Balanced,
    /// For what is compressed once and sent often: gzip 9, brotli 11, zstd 19. Slow, and never
    /// done on a shard.
    Best,
}

impl Level {
    pub(crate) fn of_deflate(self) -> u32 {
        [1, 6, 9][self as usize]
    }

    pub(crate) fn of_brotli(self) -> u32 {
        [2, 4, 11][self as usize]
    }

    pub(crate) fn of_zstd(self) -> i32 {
        [1, 3, 19][self as usize]
    }

    /// The logarithm of brotli's and zstd's window.
    pub(crate) fn window(self) -> u32 {
        [18, 18, 22][self as usize]
    }

    /// How many bytes may be compressed on a shard.
    pub(crate) fn inline(self) -> usize {
        match self {
            Level::Fast | Level::Balanced => crate::INLINE,
            Level::Best => 0,
        }
    }
}

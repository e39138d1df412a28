//! Terminals: read and written without holding up a shard, raw mode that ends, the window's size.
//!
//! A [`Terminal`] is opened anew and made non-blocking for itself alone. The standard streams are shared with whoever
//! started the program: to make them non-blocking would do so to the shell, too. Whether a stream is a terminal at all,
//! std says: [`IsTerminal`](std::io::IsTerminal).
//!
//! ```
//! use lakh_core::tty::Terminal;
//!
//! lakh_core::block_on(async {
//!     let Ok(terminal) = Terminal::open() else { return Ok(()) }; // there is none
//!     println!("{:?}", terminal.size()?);
//!     std::io::Result::Ok(())
//! })??;
//! # std::io::Result::Ok(())
//! ```
//!
//! Elsewhere than on Unix all of it is [`Unsupported`](std::io::ErrorKind::Unsupported).

#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod mode;
#[cfg(unix)]
mod terminal;

#[cfg(not(unix))]
pub use elsewhere::{Mode, Sizes, Terminal};
#[cfg(unix)]
pub use mode::Mode;
#[cfg(unix)]
pub use terminal::{Sizes, Terminal};

/// The size of a terminal's window, in characters. Both are zero where nobody has said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Characters of a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

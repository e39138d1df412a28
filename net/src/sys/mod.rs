//! What differs between operating systems.
//!
//! A backend provides [`send_file`] (an error of kind `Unsupported` where the kernel has nothing
//! of the kind) and says in [`PORT_SHARING`] whether the kernel spreads connections over several
//! listeners of one port. `recv` and `send` are the two calls that every request makes.

mod descriptor;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::{PORT_SHARING, send_file};
#[cfg(target_os = "linux")]
pub(crate) use linux::{recv, send};

#[cfg(not(target_os = "linux"))]
mod fallback;
#[cfg(not(target_os = "linux"))]
pub use fallback::{PORT_SHARING, send_file};
#[cfg(not(target_os = "linux"))]
pub(crate) use fallback::{recv, send};

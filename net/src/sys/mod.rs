//! What differs between operating systems.
//!
//! A backend provides [`send_file`] (an error of kind `Unsupported` where the kernel has nothing
//! of the kind), [`send_with_more_to_come`] (a plain write where nothing can be kept back), and says
//! in [`PORT_SHARING`] whether the kernel spreads connections over several listeners of one port.
//! `recv` and `send` are the two calls that every request makes; `set_backlog` keeps new connections out
//! of a listener that ends, or has too many.

mod descriptor;
mod peer;
pub use peer::PeerHandle;
#[cfg(target_os = "linux")]
mod send_queue;
#[cfg(target_os = "linux")]
pub(crate) use send_queue::send_queue;
#[cfg(target_os = "linux")]
mod received;
#[cfg(target_os = "linux")]
pub(crate) use received::since_received;
#[cfg(target_os = "linux")]
mod source_port;
#[cfg(target_os = "linux")]
pub(crate) use source_port::take_port_late;
#[cfg(target_os = "linux")]
mod multicast;
#[cfg(target_os = "linux")]
pub(crate) use multicast::set_source_membership_v6;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::{PORT_SHARING, send_file, send_with_more_to_come};
#[cfg(target_os = "linux")]
pub(crate) use linux::{recv, send, set_backlog};

#[cfg(not(target_os = "linux"))]
mod fallback;
#[cfg(not(target_os = "linux"))]
pub use fallback::{PORT_SHARING, send_file, send_with_more_to_come};
#[cfg(not(target_os = "linux"))]
pub(crate) use fallback::{recv, send, set_backlog, set_source_membership_v6, take_port_late};

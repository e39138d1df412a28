mod listener;
#[cfg(target_os = "linux")]
mod send_queue;
mod stream;

pub(crate) use listener::share_port;
pub use listener::{AcceptMetrics, Accepted, ListenOptions, ListenerGroup, TcpListener};
pub use stream::TcpStream;

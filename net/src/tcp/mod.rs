mod listener;
mod stream;

pub(crate) use listener::share_port;
pub use listener::{AcceptMetrics, Accepted, ListenOptions, ListenerGroup, TcpListener};
pub use stream::TcpStream;

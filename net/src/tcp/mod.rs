mod listener;
mod stream;

pub(crate) use listener::share_port;
pub use listener::{AcceptMetrics, Accepted, ListenOptions, TcpListener, bind_group};
pub use stream::TcpStream;

mod connect;
mod connect_any;
mod group;
mod keepalive;
mod listener;
mod metrics;
mod shortage;
mod stream;

pub use connect_any::{ConnectAnyError, ConnectOptions, connect_any};
pub(crate) use group::share_port;
pub use group::{ListenOptions, ListenerGroup, ShardListeners};
pub use keepalive::Keepalive;
pub use listener::{Accepted, Backlog, TcpListener};
pub use metrics::AcceptMetrics;
pub use shortage::is_exhausted;
pub use stream::TcpStream;

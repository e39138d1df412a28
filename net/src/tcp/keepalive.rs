//! Finding out that a silent peer is gone.

use socket2::{SockRef, TcpKeepalive};
use std::{io, time::Duration};

/// How the kernel finds out that a silent peer is gone: by probes that any living host answers (tcp(7)).
///
/// A peer that is gone is known to be so after `idle + retries × interval`; reading and writing then give
/// `TimedOut`. Times count in whole seconds, and are a second at least. Linux takes at most 32,767 s and
/// 127 retries.
///
/// This is for connections that mostly have something to say. The kernel's timers are coarse (Linux: within 2 s of a
/// minute and a half with `CONFIG_HZ=250`), so that the probes of all connections that fell silent within those two seconds
/// leave at once; and over loopback a CPU's queue takes 1,000 packets (`net.core.netdev_max_backlog`) and drops the others.
/// A hundred thousand silent connections of one machine lose most probes that way, and then connections that stand. Where
/// silence is the rule, as it is with WebSockets, a protocol's own pings do better.
///
/// ```
/// use lakh_net::{Keepalive, ListenOptions};
/// use std::time::Duration;
///
/// let keepalive = Keepalive { idle: Duration::from_secs(300), ..Keepalive::default() };
/// let options = ListenOptions { keepalive: Some(keepalive), ..ListenOptions::default() };
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe (TCP_KEEPIDLE).
    pub idle: Duration,
    /// Between a probe that nobody answers and the next one (TCP_KEEPINTVL).
    pub interval: Duration,
    /// Unanswered probes before the connection is given up (TCP_KEEPCNT); 1 at least.
    pub retries: u32,
}

impl Default for Keepalive {
    /// A minute of silence, then six probes ten seconds apart: two minutes in all. The kernel's own
    /// defaults are more than two hours.
    fn default() -> Self {
        Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), retries: 6 }
    }
}

/// `None` turns it off.
pub(super) fn set_keepalive(socket: SockRef<'_>, keepalive: Option<Keepalive>) -> io::Result<()> {
    let Some(Keepalive { idle, interval, retries }) = keepalive else { return socket.set_keepalive(false) };
    let second = Duration::from_secs(1);
    let parameters = TcpKeepalive::new()
        .with_time(idle.max(second))
        .with_interval(interval.max(second))
        .with_retries(retries.max(1));
    socket.set_tcp_keepalive(&parameters)
}

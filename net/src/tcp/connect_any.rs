//! Connecting to the first of several addresses that answers.

use super::TcpStream;
use lakh_core::{Sleep, sleep};
use std::{
    error, fmt,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// How [`connect_any`] connects.
///
/// ```
/// use lakh_net::ConnectOptions;
///
/// let from_there = ConnectOptions { local_addr: "10.0.0.2:0".parse().ok(), ..ConnectOptions::default() };
/// # let _ = from_there;
/// ```
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The source; with port 0 the kernel takes one that is free for the destination, so that every address of this
    /// machine has all its ports for every destination. Destinations of the other family are left out. By default the
    /// kernel chooses.
    pub local_addr: Option<SocketAddr>,
    /// How long an attempt may be under way before the next one begins beside it: 250 ms by default, as RFC 8305, 5
    /// recommends.
    pub attempt_delay: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions { local_addr: None, attempt_delay: Duration::from_millis(250) }
    }
}

/// Connects to the first of several addresses of a host that answers (RFC 8305, "Happy Eyeballs"). IPv6 and IPv4 take
/// turns, beginning with the family of the first address. The next attempt begins when one has failed or
/// [`ConnectOptions::attempt_delay`] has passed; those that have come too late are dropped.
///
/// So as many attempts are under way at once as there are addresses, at most. Bound it with [`lakh_core::timeout`]: the
/// kernel's own limit is minutes.
///
/// Cancel safe: dropping the future closes all sockets.
///
/// ```
/// use lakh_net::{ConnectOptions, TcpListener, connect_any};
///
/// # lakh_core::block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
/// let port = listener.local_addr().unwrap().port();
/// let addrs = [([0, 0, 0, 0, 0, 0, 0, 1], port).into(), ([127, 0, 0, 1], port).into()];
/// let stream = connect_any(addrs, &ConnectOptions::default()).await.unwrap();
/// # }).unwrap();
/// ```
///
/// # Errors
/// What became of each attempt, if none has succeeded.
///
/// # Panics
/// Outside a shard.
pub async fn connect_any(
    addrs: impl IntoIterator<Item = SocketAddr>,
    options: &ConnectOptions,
) -> Result<TcpStream, ConnectAnyError> {
    let is_possible =
        |addr: &SocketAddr| options.local_addr.is_none_or(|own| own.is_ipv4() == addr.is_ipv4());
    let addrs = take_turns(addrs.into_iter().filter(is_possible));
    let mut race =
        Race { left: addrs.into_iter(), options, running: Vec::new(), failures: Vec::new(), pause: None };
    poll_fn(|cx| race.poll(cx)).await
}

/// Why [`connect_any`] gave no connection.
#[derive(Debug)]
pub struct ConnectAnyError(Vec<(SocketAddr, io::Error)>);

impl ConnectAnyError {
    /// Each attempt's address and error, in the order in which they failed: those of connect(2), and of bind(2) for
    /// [`ConnectOptions::local_addr`]. Empty if there was no address to try.
    pub fn failures(&self) -> &[(SocketAddr, io::Error)] {
        &self.0
    }
}

impl fmt::Display for ConnectAnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is no address to connect to, or none of the source's family");
        }
        f.write_str("cannot connect to ")?;
        for (at, (addr, error)) in self.0.iter().enumerate() {
            write!(f, "{}{addr}: {error}", if at == 0 { "" } else { "; to " })?;
        }
        Ok(())
    }
}

impl error::Error for ConnectAnyError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.last().map(|(_, error)| error as _)
    }
}

/// The attempts at one host.
struct Race<'a> {
    left: std::vec::IntoIter<SocketAddr>,
    options: &'a ConnectOptions,
    running: Vec<(SocketAddr, TcpStream)>,
    failures: Vec<(SocketAddr, io::Error)>,
    /// Until the next one begins; `None` if it may at once.
    pause: Option<Sleep>,
}

impl Race<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpStream, ConnectAnyError>> {
        loop {
            if let Some(stream) = self.poll_running(cx) {
                return Poll::Ready(Ok(stream));
            }
            let is_due = self.pause.as_mut().is_none_or(|pause| Pin::new(pause).poll(cx).is_ready());
            if !is_due {
                return Poll::Pending;
            }
            self.pause = None;
            let Some(addr) = self.left.next() else { break };
            match TcpStream::begin_connect(addr, self.options.local_addr) {
                Ok(stream) => {
                    self.running.push((addr, stream));
                    // Nobody waits for a turn that nobody has.
                    self.pause = (self.left.len() > 0).then(|| sleep(self.options.attempt_delay));
                }
                Err(error) => self.failures.push((addr, error)),
            }
        }
        // The last one may have begun in this very call.
        if let Some(stream) = self.poll_running(cx) {
            return Poll::Ready(Ok(stream));
        }
        match self.running.is_empty() {
            true => Poll::Ready(Err(ConnectAnyError(std::mem::take(&mut self.failures)))),
            false => Poll::Pending,
        }
    }

    /// The first one that is connected. After a failure the next one begins at once.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<TcpStream> {
        let mut at = 0;
        while let Some((_, stream)) = self.running.get(at) {
            match stream.poll_connected(cx) {
                Poll::Ready(Ok(())) => return Some(self.running.swap_remove(at).1),
                Poll::Ready(Err(error)) => {
                    let (addr, _) = self.running.swap_remove(at);
                    self.failures.push((addr, error));
                    self.pause = None;
                }
                Poll::Pending => at += 1,
            }
        }
        None
    }
}

/// Lets the two families take turns, beginning with the one of the first address; each keeps its order.
fn take_turns(addrs: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let all: Vec<SocketAddr> = addrs.collect();
    let Some(first) = all.first() else { return all };
    let (one, other): (Vec<SocketAddr>, Vec<_>) =
        all.iter().partition(|addr| addr.is_ipv4() == first.is_ipv4());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(all.len());
    while turns.len() < all.len() {
        turns.extend(one.next().into_iter().chain(other.next()));
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let order = |addrs: &[&str]| {
            let addrs = addrs.iter().map(|addr| SocketAddr::new(addr.parse().unwrap(), 80));
            take_turns(addrs).iter().map(|addr| addr.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&["1.1.1.1", "2.2.2.2", "::1", "::2"]), ["1.1.1.1", "::1", "2.2.2.2", "::2"]);
        assert_eq!(order(&["::1", "::2", "::3", "1.1.1.1"]), ["::1", "1.1.1.1", "::2", "::3"]);
        assert_eq!(order(&["::1", "1.1.1.1", "2.2.2.2"]), ["::1", "1.1.1.1", "2.2.2.2"]);
        assert_eq!(order(&["2.2.2.2"]), ["2.2.2.2"]);
        assert!(order(&[]).is_empty());
    }
}

//! Making the listeners of an address.

use super::{
    keepalive::{Keepalive, set_keepalive},
    stream::{set_notsent_lowat, set_user_timeout},
};
use crate::{TcpListener, sys::PORT_SHARING};
use lakh_core::{Builder, Shard};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io, mem,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How a TCP listener is made. What is set here on the listener, its connections inherit.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// Connections that the kernel holds until they are accepted; it caps this at
    /// `net.core.somaxconn`.
    pub backlog: i32,
    /// Send small writes at once (TCP_NODELAY). On by default.
    pub nodelay: bool,
    /// Probe peers that are silent, so that those that are gone without a word are found out. Off by
    /// default.
    pub keepalive: Option<Keepalive>,
    /// Give a connection up when sent data stays unacknowledged this long (Linux).
    pub user_timeout: Option<Duration>,
    /// Bytes that the kernel holds unsent for a connection before it takes no more (TCP_NOTSENT_LOWAT in
    /// tcp(7); Linux): with many slow readers this is less memory in the kernel, and what is written late
    /// can be fresh. What is sent and not yet acknowledged does not count. Off by default: less is handed
    /// over at a time, so whoever sends long files pays more system calls.
    pub notsent_lowat: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            backlog: 4096,
            nodelay: true,
            keepalive: None,
            user_timeout: None,
            notsent_lowat: None,
        }
    }
}

/// The listeners of one address, for several shards.
///
/// On Linux there is one for each shard, and the kernel spreads connections over them. The first
/// binds and listens plainly, so a port that anyone else uses is an error, and only then allows its
/// siblings to share it (`SO_REUSEPORT`, socket(7)). Elsewhere there is one listener; its shard
/// can hand connections on ([`accept_unregistered`](super::TcpListener::accept_unregistered)).
#[derive(Debug)]
pub struct ListenerGroup {
    first: Socket,
    addr: SocketAddr,
    options: ListenOptions,
}

impl ListenerGroup {
    /// Takes `addr` and listens; port 0 takes a free one. Connections wait in the backlog until the
    /// listeners are made and accept them.
    ///
    /// # Errors
    /// `AddrInUse` if the port is taken, and the others of bind(2) and listen(2).
    pub fn bind(addr: SocketAddr, options: &ListenOptions) -> io::Result<Self> {
        let first = new_socket(addr, options)?;
        first.bind(&addr.into())?;
        // SO_REUSEADDR lets two sockets bind one port while neither listens: only listen(2) decides
        // whose it is, so nothing is shared before.
        first.listen(options.backlog)?;
        let addr = first.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(ListenerGroup { first, addr, options: options.clone() })
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// For the shards that `runtime` will start, with descriptor tables of their own or not. Fixes their number.
    ///
    /// ```
    /// use lakh_core::Runtime;
    /// use lakh_net::{ListenOptions, ListenerGroup};
    ///
    /// let mut builder = Runtime::builder().shards(2);
    /// let group = ListenerGroup::bind("127.0.0.1:0".parse().unwrap(), &ListenOptions::default())?;
    /// let listeners = group.for_runtime(&mut builder)?;
    /// let runtime = builder.start(move |shard| {
    ///     if let Some(listener) = listeners.listen(shard)? {
    ///         shard.spawn_detached(async move {
    ///             let _accepted = listener.accept().await;
    ///         });
    ///     }
    ///     Ok(())
    /// })?;
    /// # drop(runtime);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn for_runtime(self, runtime: &mut Builder) -> io::Result<ShardListeners> {
        let shards = runtime.shard_count();
        // Asked again, the CPU quota may have changed.
        *runtime = mem::take(runtime).shards(shards);
        let (addr, options) = (self.addr, self.options.clone());
        let mut places = match runtime.has_private_descriptors() {
            #[cfg(unix)]
            true => {
                if PORT_SHARING && shards > 1 {
                    share_port(&self.first)?;
                }
                let siblings = if PORT_SHARING { shards - 1 } else { 0 };
                let first = Place::HandedOver(runtime.hand_over(self.first.into()));
                [first].into_iter().chain((0..siblings).map(|_| Place::Sibling)).collect()
            }
            _ => self.into_listeners(shards)?.into_iter().map(Place::Made).collect::<Vec<_>>(),
        };
        places.resize_with(shards, || Place::Empty);
        Ok(ShardListeners { places: Mutex::new(places), addr, options })
    }

    /// A listener for each of `shards` shards where the kernel can spread connections, else one;
    /// each is to be given to [`TcpListener::from_std`](super::TcpListener::from_std) on its own. Not for shards
    /// with descriptor tables of their own: see [`ListenerGroup::for_runtime`].
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn into_listeners(self, shards: usize) -> io::Result<Vec<std::net::TcpListener>> {
        let mut sockets = vec![self.first];
        if PORT_SHARING && shards > 1 {
            share_port(&sockets[0])?;
            for _ in 1..shards {
                sockets.push(new_sibling(self.addr, &self.options)?);
            }
        }
        Ok(sockets.into_iter().map(Into::into).collect())
    }
}

/// One address's listeners, until the shards of the runtime that they are for fetch them
/// ([`ListenerGroup::for_runtime`]).
///
/// Shards with descriptor tables of their own make theirs when they fetch them, beside the first one, which
/// has held the port since [`ListenerGroup::bind`] and goes to the first shard with what waits in its backlog.
#[derive(Debug)]
pub struct ShardListeners {
    places: Mutex<Vec<Place>>,
    addr: SocketAddr,
    #[cfg_attr(not(unix), allow(dead_code))] // there is no listener to be made later
    options: ListenOptions,
}

/// Where a shard's listener is.
#[derive(Debug)]
enum Place {
    Made(std::net::TcpListener),
    #[cfg(unix)]
    HandedOver(usize),
    #[cfg(unix)]
    Sibling,
    /// It is fetched already, or there is none.
    Empty,
}

impl ShardListeners {
    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections wait in each listener at most, as [`ListenOptions::backlog`] has it.
    pub fn backlog(&self) -> i32 {
        self.options.backlog
    }

    /// The current shard's listener: to be called on `shard`, best in the runtime's start. `None` where the
    /// first shard takes all connections, on the others, and at each further call.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2), and of [`TcpListener::from_std`].
    ///
    /// # Panics
    /// Outside a shard.
    pub fn listen(&self, shard: &Shard) -> io::Result<Option<TcpListener>> {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.get_mut(shard.id()).map(|place| mem::replace(place, Place::Empty))
        };
        match place {
            Some(Place::Made(listener)) => TcpListener::from_std(listener).map(Some),
            #[cfg(unix)]
            Some(Place::HandedOver(number)) => {
                let Some(listener) = shard.take_handed_over(number) else {
                    return Err(io::Error::other("these listeners belong to another runtime"));
                };
                TcpListener::from_std(listener.into()).map(Some)
            }
            #[cfg(unix)]
            Some(Place::Sibling) => {
                let sibling = new_sibling(self.addr, &self.options)?;
                TcpListener::from_std(sibling.into()).map(Some)
            }
            Some(Place::Empty) | None => Ok(None),
        }
    }
}

/// Another one for an address whose first is shared.
fn new_sibling(addr: SocketAddr, options: &ListenOptions) -> io::Result<Socket> {
    let sibling = new_socket(addr, options)?;
    share_port(&sibling)?;
    sibling.bind(&addr.into())?;
    sibling.listen(options.backlog)?;
    Ok(sibling)
}

fn new_socket(addr: SocketAddr, options: &ListenOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // On Windows this would let another process take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if options.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    set_keepalive(SockRef::from(&socket), options.keepalive)?;
    if options.user_timeout.is_some() {
        set_user_timeout(SockRef::from(&socket), options.user_timeout)?;
    }
    if let Some(bytes) = options.notsent_lowat {
        set_notsent_lowat(SockRef::from(&socket), bytes)?;
    }
    Ok(socket)
}

pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    #[cfg(unix)]
    return socket.set_reuse_port(true);
    #[cfg(not(unix))]
    {
        let _ = socket;
        Err(io::ErrorKind::Unsupported.into())
    }
}

//! The system calls that std does not offer. All unsafe code of the package is here.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

pub use libc::{EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, epoll_event as Event};

/// An epoll instance whose events carry a token.
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub fn add(&self, fd: RawFd, events: libc::c_int, token: u64) -> io::Result<()> {
        let mut event = Event { events: events as u32, u64: token };
        // SAFETY: `event` is valid for the call, and the kernel copies it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
        Ok(())
    }

    /// The number of events that were written; 0 also when a signal interrupted. −1 waits for ever.
    #[inline]
    pub fn wait(&self, events: &mut [Event], timeout_ms: i32) -> io::Result<usize> {
        let room = events.len() as libc::c_int;
        // SAFETY: the kernel writes `room` events at most.
        let got = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, timeout_ms) };
        match check(got) {
            Ok(got) => Ok(got as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Bytes received: 0 is the end, −1 an error (`io::Error::last_os_error`).
#[inline]
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> isize {
    // SAFETY: the kernel writes `buffer.len()` bytes at most.
    unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) }
}

/// Like `recv`, but the kernel drops the bytes instead of copying them: MSG_TRUNC in tcp(7).
#[inline]
pub fn recv_and_drop(fd: RawFd, count: usize) -> isize {
    // SAFETY: with this flag the kernel writes nothing, and the pointer is not used.
    unsafe { libc::recv(fd, std::ptr::null_mut(), count, libc::MSG_TRUNC) }
}

/// Bytes sent, or −1.
#[inline]
pub fn send(fd: RawFd, bytes: &[u8]) -> isize {
    // SAFETY: the kernel reads `bytes.len()` bytes at most.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) }
}

/// A non-blocking accepted socket, if one waits.
pub fn accept(listener: RawFd) -> io::Result<RawFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null pointers mean that the peer's address is not wanted.
    check(unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), flags) })
}

pub fn set_nodelay(fd: RawFd) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1 as libc::c_int)
}

/// Makes closing send a reset, so that thousands of closed connections leave no ports in TIME_WAIT.
pub fn reset_on_close(stream: &impl AsRawFd) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, linger)
}

/// Takes the simplest congestion control for this end of a connection, whatever the system's default is.
///
/// A model-based one (BBR) costs the generator more per answer and tells nothing on loopback. Servers keep
/// the default: it is theirs to choose, and alike for all.
pub fn use_reno(stream: &TcpStream) -> io::Result<()> {
    set_option(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CONGESTION, *b"reno")
}

/// A socket that connects from `source`; from a port that [`connect`] chooses, if `port` is 0.
pub fn bound_socket(source: Ipv4Addr, port: u16) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1 as libc::c_int)?;
    if port > 0 {
        // Connections of an earlier run may have ended there just now.
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1 as libc::c_int)?;
    }
    let from = socket_address(libc::AF_INET, source, port);
    // SAFETY: the kernel reads `ADDRESS` bytes of `from`.
    check(unsafe { libc::bind(fd, (&raw const from).cast(), ADDRESS) })?;
    Ok(socket)
}

/// Begins a connection. What comes of it, the socket's readiness says.
pub fn connect(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    let SocketAddr::V4(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
    let to = socket_address(libc::AF_INET, *to.ip(), to.port());
    // SAFETY: the kernel reads `ADDRESS` bytes of `to`.
    match check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const to).cast(), ADDRESS) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

/// Ends a connection by a reset, so that the socket can be connected again: AF_UNSPEC in connect(2).
pub fn disconnect(socket: &OwnedFd) -> io::Result<()> {
    let nowhere = socket_address(libc::AF_UNSPEC, Ipv4Addr::UNSPECIFIED, 0);
    // SAFETY: the kernel reads `ADDRESS` bytes of `nowhere`.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const nowhere).cast(), ADDRESS) })?;
    // What the end of a handshake leaves would be the error of the next call.
    let (mut error, mut size): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the kernel writes `size` bytes to `error`.
    check(unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_ERROR);
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut error).cast(), &mut size)
    })?;
    Ok(())
}

const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

fn socket_address(family: libc::c_int, ip: Ipv4Addr, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: family as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    }
}

/// Gives the calling thread a descriptor table of its own, a copy: unshare(2).
pub fn leave_table() -> io::Result<()> {
    // SAFETY: takes no pointers; descriptors keep their numbers.
    check(unsafe { libc::unshare(libc::CLONE_FILES) })?;
    Ok(())
}

fn set_option<T>(fd: RawFd, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `value`.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) })?;
    Ok(())
}

/// Closes a descriptor that was got from `accept`.
pub fn close(fd: RawFd) {
    // SAFETY: callers own the descriptor and forget it here.
    unsafe { libc::close(fd) };
}

/// A non-blocking listener with a long queue, at an address that others of this process may listen at, too:
/// SO_REUSEPORT in socket(7).
pub fn shared_listener(at: SocketAddr) -> io::Result<TcpListener> {
    let SocketAddr::V4(at) = at else { return Err(io::ErrorKind::Unsupported.into()) };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let listener = unsafe { TcpListener::from_raw_fd(fd) };
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1 as libc::c_int)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1 as libc::c_int)?;
    let address = socket_address(libc::AF_INET, *at.ip(), at.port());
    // SAFETY: the kernel reads `ADDRESS` bytes of `address`.
    check(unsafe { libc::bind(fd, (&raw const address).cast(), ADDRESS) })?;
    listen(fd, 4096)?;
    Ok(listener)
}

/// Gives a listening socket a longer queue than std's.
pub fn listen(fd: RawFd, backlog: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::listen(fd, backlog) })?;
    Ok(())
}

/// Raises the soft limit of open files to the hard one, and returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is valid for reading.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_max)
}

/// A readable descriptor in place of SIGTERM and SIGINT. To be called before threads are started.
pub fn signal_descriptor() -> io::Result<OwnedFd> {
    let set = block_end_signals()?;
    // SAFETY: `set` is valid for reading.
    let fd = check(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends the process with status 0 at SIGTERM or SIGINT. To be called before threads are started.
pub fn exit_on_signals() -> io::Result<()> {
    let set = block_end_signals()?;
    std::thread::Builder::new().name("signals".into()).stack_size(64 << 10).spawn(move || {
        let mut signal = 0;
        // SAFETY: both pointers are valid; the set is blocked in every thread.
        unsafe { libc::sigwait(&set, &mut signal) };
        std::process::exit(0);
    })?;
    Ok(())
}

fn block_end_signals() -> io::Result<libc::sigset_t> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        set.assume_init()
    };
    // SAFETY: `set` is valid for reading; a null old set is allowed.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) } {
        0 => Ok(set),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Wakes another thread's epoll: eventfd(2).
pub struct Notifier(OwnedFd);

impl Notifier {
    pub fn new() -> io::Result<Notifier> {
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Notifier(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Each call is an event of its own where the descriptor is watched edge-triggered; nobody need read it.
    pub fn notify(&self) -> io::Result<()> {
        let one = 1_u64;
        // SAFETY: the kernel reads the eight bytes of `one`.
        let written = unsafe { libc::write(self.fd(), (&raw const one).cast(), size_of_val(&one)) };
        if written == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Keeps this thread, and those it starts later, on one CPU.
pub fn pin_self(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: all zeroes is an empty set, and `cpu` is within it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: the kernel reads the set's size.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })?;
    Ok(())
}

/// Has the child run on `cpu` from its first instruction, and end when the thread that started it ends.
pub fn bind_child(command: &mut Command, cpu: Option<usize>) {
    let before_exec = move || {
        // SAFETY: prctl with these arguments touches no memory.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        cpu.map_or(Ok(()), pin_self)
    };
    // SAFETY: between fork and exec the closure makes two system calls and does not allocate.
    unsafe { command.pre_exec(before_exec) };
}

pub fn terminate(pid: u32) {
    // SAFETY: takes no pointers; callers have not yet waited for the process or its parent.
    unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
}

/// User and system time of a process and all its threads, also ended ones, to the nanosecond.
pub fn process_cpu(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` is valid for writing.
    match unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) } {
        0 => clock_time(clock),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Lets everything else on its processor go before the calling thread: setpriority(2), nice 19.
pub fn yield_to_others() {
    // SAFETY: only numbers are passed. 0 is the calling thread, and nobody is refused a lower priority.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// User and system time of this thread.
pub fn thread_cpu() -> io::Result<Duration> {
    clock_time(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_time(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Whether files at `path` are on tmpfs, which has no disk.
pub fn is_on_tmpfs(path: &std::path::Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeroes is a valid statfs.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with NUL, and `found` is valid for writing.
    check(unsafe { libc::statfs(path.as_ptr(), &mut found) })?;
    Ok(found.f_type == libc::TMPFS_MAGIC)
}

pub fn is_root() -> bool {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Length of the ticks that /proc/PID/stat counts in.
pub fn tick() -> Duration {
    // SAFETY: takes no pointers.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs(1) / per_second.clamp(1, 1_000_000) as u32
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

//! Descriptors of any kind as sources: readiness, tries, what is refused, what is forgotten.
#![cfg(unix)]

mod common;

use common::on_a_shard;
use lakh_core::{AsyncFd, Direction, current, spawn, yield_now};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    io::{read, write},
    pipe::pipe,
};
use std::{
    fs::File,
    future::{Future, poll_fn},
    io::{self, ErrorKind},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

fn non_blocking(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfl(&descriptor, OFlags::NONBLOCK)?;
    Ok(descriptor)
}

/// The two ends of a pipe, the reading one first.
fn ends() -> io::Result<(AsyncFd<OwnedFd>, AsyncFd<OwnedFd>)> {
    let (reader, writer) = pipe()?;
    Ok((AsyncFd::new(non_blocking(reader)?)?, AsyncFd::new(non_blocking(writer)?)?))
}

async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    // A turn of the kernel in between, which could make it ready.
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await && {
        yield_now().await;
        yield_now().await;
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }
}

#[test]
fn a_pipe_is_read_when_it_has_something_and_written_when_it_has_room() {
    on_a_shard(async {
        let (reader, writer) = ends()?;
        writer.writable().await;
        assert!(is_pending(reader.readable()).await);
        let mut written = 0;
        let error = loop {
            match writer.try_io(Direction::Write, |pipe| Ok(write(pipe, &[7; 4096])?)) {
                Ok(length) => written += length,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(is_pending(writer.writable()).await);
        let reader = Rc::new(reader);
        let all = spawn({
            let reader = Rc::clone(&reader);
            async move {
                let (mut buffer, mut read_bytes) = ([0; 3000], 0);
                loop {
                    match reader.io(Direction::Read, |pipe| Ok(read(pipe, &mut buffer)?)).await.unwrap() {
                        0 => return read_bytes,
                        length => read_bytes += length,
                    }
                }
            }
        });
        writer.writable().await;
        let more = writer.io(Direction::Write, |pipe| Ok(write(pipe, b"more")?)).await?;
        drop(writer);
        assert_eq!(all.await.unwrap(), written + more);
        // The end is ready for good.
        reader.readable().await;
        Ok(())
    });
}

#[test]
fn what_is_always_ready_is_refused_with_the_reason() {
    on_a_shard(async {
        for path in ["Cargo.toml", "src"] {
            let error = AsyncFd::new(File::open(path)?).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("file on a disk"), "{error}");
        }
        if cfg!(all(target_os = "linux", not(mio_unsupported_force_poll_poll))) {
            let error = AsyncFd::new(File::open("/dev/null")?).unwrap_err();
            assert!(error.to_string().contains("EPERM"), "{error}");
        }
        assert_eq!(sources().await, 0);
        Ok(())
    });
}

/// What a shard has is published once in a turn.
async fn sources() -> u64 {
    yield_now().await;
    yield_now().await;
    current().handle().metrics().sources()
}

/// One of several owners.
#[derive(Debug)]
struct Shared(Arc<OwnedFd>);

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[test]
fn what_is_given_back_or_dropped_may_stay_open_and_be_registered_again() {
    on_a_shard(async {
        let (reader, writer) = pipe()?;
        let reader = Arc::new(non_blocking(reader)?);
        let first = AsyncFd::new(Shared(Arc::clone(&reader)))?;
        if cfg!(target_os = "linux") {
            let twice = AsyncFd::new(Shared(Arc::clone(&reader))).unwrap_err();
            assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
        }
        drop(first);
        let second = AsyncFd::new(Shared(Arc::clone(&reader)))?;
        let given_back = second.into_inner();
        assert_eq!(sources().await, 0);
        let third = AsyncFd::new(given_back)?;
        write(&writer, b"x")?;
        third.readable().await;
        let mut buffer = [0; 2];
        assert_eq!(third.io(Direction::Read, |pipe| Ok(read(pipe, &mut buffer)?)).await?, 1);
        assert!(!is_pending(third.readable()).await, "nothing has said yet that it would block");
        let empty = third.try_io(Direction::Read, |pipe| Ok(read(pipe, &mut buffer)?)).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        assert!(is_pending(third.readable()).await);
        Ok(())
    });
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use rustix::{
        event::{EventfdFlags, eventfd},
        fs::inotify::{CreateFlags, WatchFlags, add_watch, init},
        net::{
            AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink, recv,
            sendto, socket_with,
        },
        time::{
            Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
            timerfd_settime,
        },
    };

    #[test]
    fn an_eventfd_is_rung_from_another_thread() {
        on_a_shard(async {
            let event = Arc::new(eventfd(0, EventfdFlags::NONBLOCK)?);
            let source = AsyncFd::new(Shared(Arc::clone(&event)))?;
            let ringing = std::thread::spawn(move || write(&event, &1u64.to_ne_bytes()).unwrap());
            let mut count = [0; 8];
            source.io(Direction::Read, |event| Ok(read(event, &mut count)?)).await?;
            assert_eq!(u64::from_ne_bytes(count), 1);
            ringing.join().unwrap();
            Ok(())
        });
    }

    #[test]
    fn a_timerfd_tells_of_each_time() {
        on_a_shard(async {
            let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?)?;
            let each = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let times = Itimerspec { it_interval: each, it_value: each };
            timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &times)?;
            for _ in 0..3 {
                let mut times = [0; 8];
                timer.io(Direction::Read, |timer| Ok(read(timer, &mut times)?)).await?;
                assert!(u64::from_ne_bytes(times) >= 1);
            }
            Ok(())
        });
    }

    #[test]
    fn inotify_and_netlink_are_descriptors_like_any_other() {
        on_a_shard(async {
            let temp = tempfile::tempdir()?;
            let inotify = AsyncFd::new(init(CreateFlags::NONBLOCK)?)?;
            add_watch(inotify.get_ref(), temp.path(), WatchFlags::CREATE)?;
            assert!(is_pending(inotify.readable()).await);
            File::create(temp.path().join("file"))?;
            let mut buffer = [0; 1024];
            let length = inotify.io(Direction::Read, |inotify| Ok(read(inotify, &mut buffer)?)).await?;
            assert!(length > 16 && buffer[..length].windows(4).any(|name| name == b"file"));

            // Asks the kernel for the interfaces (rtnetlink(7)): a header, RTM_GETLINK, REQUEST | DUMP.
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let netlink = AsyncFd::new(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?)?;
            let mut request = Vec::new();
            request.extend(36_u32.to_ne_bytes());
            request.extend(18_u16.to_ne_bytes());
            request.extend(0x301_u16.to_ne_bytes());
            request.resize(36, 0);
            sendto(netlink.get_ref(), &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
            let mut answer = [0; 16 * 1024];
            let (length, _) = netlink
                .io(Direction::Read, |netlink| Ok(recv(netlink, &mut answer, RecvFlags::empty())?))
                .await?;
            assert!(length >= 16, "a header at least");
            Ok(())
        });
    }
}

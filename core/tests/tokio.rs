//! Futures of tokio on a shard: where they run, how they end, what they may use.

use lakh_core::{block_on, tokio as bridge};
use std::{
    cell::Cell,
    future::pending,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    runtime::Handle,
    time::{sleep, timeout},
};

const LONG: Duration = Duration::from_secs(20);

/// Tells whether it was dropped where tokio's context is, and on which thread.
struct Witness(mpsc::Sender<(bool, Option<String>)>);

impl Drop for Witness {
    fn drop(&mut self) {
        let thread = thread::current().name().map(str::to_owned);
        self.0.send((Handle::try_current().is_ok(), thread)).unwrap();
    }
}

fn witness() -> (Witness, mpsc::Receiver<(bool, Option<String>)>) {
    let (tell, told) = mpsc::channel();
    (Witness(tell), told)
}

/// A server that answers one byte with the next one, once.
fn counting_server() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&[byte[0] + 1]).unwrap();
    });
    addr
}

/// Sends a byte with tokio's socket, and gives what comes back.
async fn ask(addr: SocketAddr, byte: u8) -> u8 {
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.writable().await.unwrap();
    assert_eq!(stream.try_write(&[byte]).unwrap(), 1);
    let mut answer = [0];
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut answer) {
            Ok(1) => return answer[0],
            Ok(_) => panic!("closed"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn a_future_runs_on_the_helpers_thread_and_its_result_comes_home() {
    let addr = counting_server();
    let (thread, answer) = block_on(async move {
        let there = async move { (thread::current().name().map(str::to_owned), ask(addr, 7).await) };
        bridge::run(there).await.unwrap()
    })
    .unwrap();
    assert_eq!((thread.as_deref(), answer), (Some("lakh-tokio"), 8));
}

#[test]
fn a_future_that_nobody_waits_for_any_more_is_aborted() {
    let (witness, dropped) = witness();
    block_on(async move {
        let (begin, begun) = mpsc::channel();
        let run = bridge::run(async move {
            let _witness = witness;
            begin.send(()).unwrap();
            pending::<()>().await;
        });
        begun.recv().unwrap();
        drop(run);
    })
    .unwrap();
    let (_, thread) = dropped.recv_timeout(LONG).expect("the future is dropped");
    assert_eq!(thread.as_deref(), Some("lakh-tokio"));
}

#[test]
fn a_panic_there_is_an_error_here_and_the_runtime_lives_on() {
    block_on(async {
        let error = bridge::run(async { panic!("on purpose") }).await.unwrap_err();
        assert!(error.is_panicked() && !error.is_shutdown());
        assert_eq!(error.panic_message(), Some("on purpose"));
        assert_eq!(bridge::run(async { 1 }).await.unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn what_is_not_send_is_polled_at_home_with_tokios_sockets_and_timers() {
    let addr = counting_server();
    block_on(async move {
        let home = thread::current().id();
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        bridge::with_context(async move {
            sleep(Duration::from_millis(1)).await;
            counted.set(ask(addr, 41).await);
            assert_eq!(thread::current().id(), home);
            assert!(timeout(Duration::from_millis(1), pending::<()>()).await.is_err());
            let elsewhere = tokio::spawn(async { thread::current().id() });
            assert_ne!(elsewhere.await.unwrap(), home);
        })
        .await
        .unwrap();
        assert_eq!(count.get(), 42);
        assert!(Handle::try_current().is_err(), "the context ends with each poll");
    })
    .unwrap();
}

#[test]
fn what_is_polled_at_home_is_dropped_at_home_in_the_context() {
    let home = thread::current().name().map(str::to_owned);
    for finishes in [true, false] {
        let (witness, dropped) = witness();
        block_on(async move {
            // Moved in, but not into the body: it is dropped with the future and not by its end.
            let keep = move || drop(witness);
            let mut future = Box::pin(bridge::with_context(async move {
                let _keep = keep;
                if !finishes {
                    pending::<()>().await;
                }
            }));
            std::future::poll_fn(|cx| {
                assert_eq!(future.as_mut().poll(cx).is_ready(), finishes);
                std::task::Poll::Ready(())
            })
            .await;
        })
        .unwrap();
        assert_eq!(dropped.recv_timeout(LONG).unwrap(), (true, home.clone()), "finishes: {finishes}");
    }
}

/// Whoever calls tokio there would write into what has the number of its event.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn shards_with_descriptor_tables_of_their_own_cannot_use_it() {
    bridge::handle().unwrap();
    let (tell, told) = mpsc::channel();
    let builder = lakh_core::Runtime::builder().shards(1).private_descriptors(true);
    let runtime = builder.start(|_| Ok(())).unwrap();
    let ask = move || async move {
        let errors = [
            bridge::run(async {}).await.unwrap_err(),
            bridge::with_context(async {}).await.unwrap_err(),
            bridge::handle().unwrap_err(),
        ];
        tell.send(errors).unwrap();
    };
    runtime.shards().next().unwrap().spawn_on(ask).unwrap();
    for error in told.recv_timeout(Duration::from_secs(60)).unwrap() {
        assert!(error.is_unreachable() && error.to_string().contains("private_descriptors"), "{error}");
    }
}

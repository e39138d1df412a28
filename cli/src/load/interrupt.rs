//! Ctrl-C during a run.

use lakh_core::signal::Signal;
use lakh_loadtest::Stop;
use std::{
    io, process,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The exit status of a process that a second Ctrl-C has ended: 128 + SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Signals within this time are one: timeout(1) sends its signal to the process and then to the group that it is in, and
/// nobody is so fast with a key.
const ONE: Duration = Duration::from_millis(100);

/// Ends the run at SIGINT or SIGTERM, and the process at a second one that is not the [same](ONE). Returns once both are
/// caught.
///
/// On a thread of its own, with the descriptors of the process: a run's threads may have others.
pub(super) fn watch(stop: &Stop) -> io::Result<()> {
    let (tell, told) = mpsc::channel();
    let stop = stop.clone();
    let watcher = move || {
        let failed = tell.clone();
        let watched = lakh_core::block_on(async move {
            let signals = Signal::interrupt().and_then(|interrupt| Ok((interrupt, Signal::terminate()?)));
            let (mut interrupt, mut terminate) = match signals {
                Ok(signals) => signals,
                // Who waits for the answer is there.
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _ = tell.send(Ok(()));
            let mut first = None;
            loop {
                std::future::poll_fn(|cx| match interrupt.poll_recv(cx) {
                    std::task::Poll::Pending => terminate.poll_recv(cx),
                    ready => ready,
                })
                .await;
                let now = Instant::now();
                if first.is_some_and(|first| now.duration_since(first) > ONE) {
                    process::exit(EXIT_INTERRUPTED);
                }
                first = first.or(Some(now));
                stop.stop();
            }
        });
        if let Err(error) = watched {
            let _ = failed.send(Err(error));
        }
    };
    thread::Builder::new().name("lakh-signals".to_owned()).spawn(watcher)?;
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread for signals ended")))
}

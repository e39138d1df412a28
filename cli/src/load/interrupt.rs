//! Ctrl-C during a run.

use lakh_core::signal::Signal;
use lakh_loadtest::Stop;
use std::{io, process, sync::mpsc, thread};

/// The exit status of a process that a second Ctrl-C has ended: 128 + SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Ends the run at SIGINT or SIGTERM, and the process at a second one. Returns once both are caught.
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
            for told in 0.. {
                std::future::poll_fn(|cx| match interrupt.poll_recv(cx) {
                    std::task::Poll::Pending => terminate.poll_recv(cx),
                    ready => ready,
                })
                .await;
                if told > 0 {
                    process::exit(EXIT_INTERRUPTED);
                }
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

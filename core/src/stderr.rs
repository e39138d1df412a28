//! Standard error, for those who must not wait for whoever reads it.
//!
//! It may be a pipe that nobody reads, and writing to one that is full blocks the thread. So lines go to a
//! bounded buffer, which a thread of its own writes out; there is such a thread as long as there is something
//! to write. What the buffer has no room for is dropped, and counted in its place.
//!
//! How often something is said is the caller's business.

use crate::shard;
use std::{
    backtrace::Backtrace,
    env,
    fmt::{Display, Write as _},
    io::{self, Write},
    mem,
    panic::{self, PanicHookInfo},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes that wait to be written; as many may be with the thread.
const CAPACITY: usize = 64 * 1024;

static STDERR: Buffer = Buffer::new();

/// Writes a line to standard error, from a thread of its own: does not block.
///
/// While the buffer (64 KiB) is full, lines are dropped and counted; see [`dropped`]. What cannot be written
/// because standard error is closed is gone.
///
/// ```
/// lakh_core::warn("lakh: something is wrong");
/// ```
pub fn warn(line: impl Display) {
    print(&format!("{line}\n"));
}

/// As [`warn`], for text that need not be a line.
///
/// ```
/// lakh_core::stderr::print("working… ");
/// lakh_core::stderr::print("done\n");
/// ```
pub fn print(text: &str) {
    if STDERR.push(text) {
        let thread = thread::Builder::new().name("lakh-stderr".to_owned());
        // Without a thread it stays in the buffer, and the next text tries again.
        if thread.spawn(|| STDERR.write_to(&mut io::stderr())).is_err() {
            STDERR.release();
        }
    }
}

/// Waits until all that was said so far is written, for `limit` at most; true if it is.
///
/// For the end of a program: it blocks, so not for shards.
pub fn flush(limit: Duration) -> bool {
    STDERR.wait(limit)
}

/// How many texts have been dropped since the program began.
pub fn dropped() -> u64 {
    STDERR.lock().dropped
}

/// Reports panics on shards by way of [`print()`]; those on other threads go to the hook that was set before.
///
/// The hook of std writes on the thread that panics, and a pipe that nobody reads stops a shard with it. The
/// report is the same as std's, with a backtrace if `RUST_BACKTRACE` asks for one.
///
/// It is for programs to call, once, at their start: no library does, as there is one hook for the process and
/// nobody can tell whether it is std's or a program's own. Where a program sets one (to report elsewhere), it is
/// set after this one and calls what [`panic::take_hook`] gave. Let `main` end with [`flush`], or the report of a
/// panic right before the end may be lost. With `panic = "abort"` nothing is installed: the process would be gone
/// before the report is written.
///
/// ```
/// // First in `main`.
/// lakh_core::stderr::report_panics();
/// ```
pub fn report_panics() {
    if cfg!(panic = "abort") {
        return;
    }
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| match shard::try_with(|_| ()) {
        Some(()) => print(&report(info)),
        None => others(info),
    }));
}

/// In the words of std.
fn report(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("Box<dyn Any>");
    let report = format!("\nthread '{name}' panicked at {place}:\n{message}\n");
    let wanted = env::var_os("RUST_BACKTRACE").filter(|style| style != "0");
    match wanted {
        None => report + "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        Some(style) if style == "full" => {
            format!("{report}stack backtrace:\n{:#}", Backtrace::force_capture())
        }
        Some(_) => format!("{report}stack backtrace:\n{}", Backtrace::force_capture()),
    }
}

struct Buffer {
    state: Mutex<State>,
    settled: Condvar,
}

struct State {
    pending: String,
    /// Somebody writes, or is about to. One at a time, so that the order is kept.
    attended: bool,
    dropped: u64,
    /// The part of `dropped` that is not said yet. Until it is, everything is dropped.
    unsaid: u64,
}

impl Buffer {
    const fn new() -> Self {
        let state = State { pending: String::new(), attended: false, dropped: 0, unsaid: 0 };
        Buffer { state: Mutex::new(state), settled: Condvar::new() }
    }

    /// True if the caller has to see to it that somebody writes.
    #[must_use]
    fn push(&self, text: &str) -> bool {
        let mut state = self.lock();
        if state.unsaid > 0 || state.pending.len() + text.len() > CAPACITY {
            state.dropped += 1;
            state.unsaid += 1;
        } else {
            state.pending.push_str(text);
        }
        !mem::replace(&mut state.attended, true)
    }

    /// Writes until there is nothing more.
    fn write_to(&self, out: &mut impl Write) {
        while let Some(batch) = self.next_batch() {
            // There is nobody to be told.
            let _ = out.write_all(batch.as_bytes());
        }
    }

    fn next_batch(&self) -> Option<String> {
        let mut state = self.lock();
        let mut batch = mem::take(&mut state.pending);
        match mem::take(&mut state.unsaid) {
            0 => {}
            1 => batch.push_str("lakh: 1 warning is lost: standard error did not take it\n"),
            // Writing to a string cannot fail.
            many => _ = writeln!(batch, "lakh: {many} warnings are lost: standard error did not take them"),
        }
        if batch.is_empty() {
            state.attended = false;
            self.settled.notify_all();
            return None;
        }
        Some(batch)
    }

    /// Nobody writes after all.
    fn release(&self) {
        self.lock().attended = false;
    }

    fn wait(&self, limit: Duration) -> bool {
        let is_unsettled =
            |state: &mut State| state.attended || !state.pending.is_empty() || state.unsaid > 0;
        let outcome = self.settled.wait_timeout_while(self.lock(), limit, is_unsettled);
        !outcome.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn written(buffer: &Buffer) -> String {
        let mut out = Vec::new();
        buffer.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_caller_at_a_time_has_to_see_to_the_writing() {
        let buffer = Buffer::new();
        assert!(buffer.push("one\n"));
        assert!(!buffer.push("two\n"));
        assert!(!buffer.wait(Duration::ZERO));
        assert_eq!(written(&buffer), "one\ntwo\n");
        assert!(buffer.wait(Duration::ZERO));
        assert!(buffer.push("three\n"));
        buffer.release();
        assert!(!buffer.wait(Duration::ZERO), "it is not written");
        assert!(buffer.push("four\n"));
        assert_eq!(written(&buffer), "three\nfour\n");
    }

    #[test]
    fn what_has_no_room_is_counted_in_its_place() {
        let buffer = Buffer::new();
        let long = "a".repeat(CAPACITY - 3);
        for text in [&long, "long\n", "s\n"] {
            _ = buffer.push(text);
        }
        assert_eq!(
            buffer.next_batch().unwrap()[long.len()..],
            *"lakh: 2 warnings are lost: standard error did not take them\n"
        );
        _ = buffer.push("later\n");
        assert_eq!(written(&buffer), "later\n");
        assert_eq!(buffer.lock().dropped, 2);
        _ = buffer.push(&"a".repeat(CAPACITY + 1));
        assert_eq!(written(&buffer), "lakh: 1 warning is lost: standard error did not take it\n");
    }

    #[test]
    fn a_writer_that_fails_ends_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer::new();
        _ = buffer.push("one\n");
        buffer.write_to(&mut Closed);
        assert!(buffer.wait(Duration::ZERO));
        assert!(buffer.push("two\n"));
    }
}

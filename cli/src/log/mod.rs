//! The access log: lines that shards write without ever waiting for whoever reads them.
//!
//! A shard renders a line and appends it to a bounded [`Queue`]. The first one of a batch also
//! spawns a task on its shard that lets more lines gather for a moment, and then has the pool write
//! them. There is one such task at a time, so standard output, however stuck, holds up one thread of
//! the pool and nothing else; what the queue has no room for is counted, and the count is logged.

mod line;
mod queue;

pub(crate) use line::Style;

use jiff::{Timestamp, tz::TimeZone};
use lakh_core::pool::Lane;
use lakh_http::AccessRecord;
use line::Line;
use queue::{Queue, Written};
use std::{
    cell::RefCell,
    io::Write,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(10);

/// A handle to the log; clones are handles to the same one, for any thread.
#[derive(Clone)]
pub(crate) struct Log {
    queue: Arc<Queue>,
    style: Style,
    zone: TimeZone,
}

impl Log {
    /// Reads the time zone, which may block.
    pub(crate) fn new(out: Box<dyn Write + Send>, style: Style) -> Self {
        Log { queue: Arc::new(Queue::new(out)), style, zone: TimeZone::system() }
    }

    /// What one shard's records go to.
    pub(crate) fn on_shard(&self) -> Rc<dyn Fn(AccessRecord)> {
        let queue = Arc::clone(&self.queue);
        let pen = RefCell::new(Pen::new(self));
        Rc::new(move |record| {
            let unattended = queue.push(pen.borrow_mut().line(&record));
            if unattended {
                lakh_core::spawn_detached(write_batches(Attendant(Some(Arc::clone(&queue)))));
            }
        })
    }

    /// Lets lines gather until [`Log::finish`].
    pub(crate) fn hold(&self) {
        self.queue.hold();
    }

    /// Writes what is left, for `limit` at most; true if all of it is written.
    ///
    /// For the end, when the shards are gone: waits.
    pub(crate) fn finish(self, limit: Duration) -> bool {
        let (tell, done) = mpsc::channel();
        let write = move || {
            let mut written = self.queue.write_rest();
            while written == Written::Partly {
                thread::sleep(GATHER);
                written = self.queue.write_rest();
            }
            // Nobody waits after the limit.
            let _ = tell.send(written == Written::All);
        };
        // Not on the pool, which is gone, nor here, where a stuck reader would keep the process.
        let thread = thread::Builder::new().name("lakh-log".to_owned()).spawn(write);
        thread.is_ok() && done.recv_timeout(limit) == Ok(true)
    }
}

/// Whoever has the duty to see to it that the queue is written; see [`Queue::push`].
struct Attendant(Option<Arc<Queue>>);

impl Drop for Attendant {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.release();
        }
    }
}

/// Has the pool write batch after batch, until there is nothing left to write.
async fn write_batches(mut attendant: Attendant) {
    while let Some(queue) = &attendant.0 {
        lakh_core::sleep(GATHER).await;
        let lines = Arc::clone(queue);
        let job = lakh_core::with(|shard| shard.pool().run(Lane::USER, move || lines.write_batch()));
        // Refused, or lost: the pool has shut down, and the rest is for `Log::finish`.
        let Ok(job) = job else { return };
        if job.await.is_err() {
            return;
        }
        if queue.is_settled() {
            // The duty is given back, and may be another task's by now.
            attendant.0 = None;
        }
    }
}

/// Renders one shard's lines, into memory that it keeps.
struct Pen {
    clock: Clock,
    style: Style,
    text: Vec<u8>,
}

impl Pen {
    fn new(log: &Log) -> Self {
        let clock = Clock { zone: log.zone.clone(), second: None, text: String::new() };
        Pen { clock, style: log.style, text: Vec::new() }
    }

    fn line(&mut self, record: &AccessRecord) -> &[u8] {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let line = Line {
            clock: self.clock.at(unix),
            method: record.method().map_or("-", |method| method.as_str()),
            target: record.target(),
            status: record.status().map(|status| status.as_u16()),
            cut: record.is_cut(),
            bytes: record.bytes(),
            took: record.took(),
        };
        self.text.clear();
        line.write_to(&mut self.text, self.style);
        &self.text
    }
}

/// Local time, converted once a second.
struct Clock {
    zone: TimeZone,
    second: Option<u64>,
    text: String,
}

impl Clock {
    fn at(&mut self, unix: u64) -> &str {
        if self.second != Some(unix) {
            self.second = Some(unix);
            let time = Timestamp::from_second(unix.cast_signed()).unwrap_or(Timestamp::MAX);
            let time = self.zone.to_datetime(time);
            self.text = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_local_time() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let mut clock = Clock { zone, second: None, text: String::new() };
        assert_eq!(clock.at(0), "02:00:00");
        assert_eq!(clock.at(59), "02:00:59");
        assert_eq!(clock.at(86_399), "01:59:59");
        assert_eq!(clock.at(u64::MAX).len(), 8);
    }
}

//! The bounded queue between the shards and standard output.

use std::{
    io::{self, Write},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bytes of lines that wait. As many again may be on their way out.
pub(super) const CAPACITY: usize = 1 << 20;

pub(super) struct Queue {
    /// Held only while bytes are copied: shards take it.
    waiting: Mutex<Waiting>,
    /// Held while writing, however long that takes: only for threads that may block.
    out: Mutex<Out>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines that came when there was no room, after those in `lines`.
    dropped: u64,
    /// Someone sees to it that the lines are written.
    attended: bool,
    held: bool,
    /// The reader is gone for good.
    closed: bool,
}

struct Out {
    writer: Box<dyn Write + Send>,
    /// Taken from the queue; written up to `at`.
    batch: Vec<u8>,
    at: usize,
    /// What the last line of the batch says, if more than 0.
    dropped: u64,
}

/// How far a batch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// The writer would have to wait, and does not want to.
    Partly,
    /// The writer failed; what was left of the batch is counted as dropped.
    Lost,
}

impl Queue {
    pub(super) fn new(writer: Box<dyn Write + Send>) -> Self {
        let out = Out { writer, batch: Vec::new(), at: 0, dropped: 0 };
        Queue { waiting: Mutex::new(Waiting::default()), out: Mutex::new(out) }
    }

    /// Appends a line, or counts it as dropped. True if nobody attends to the queue: then the
    /// caller has to, until [`is_settled`](Self::is_settled) or [`release`](Self::release).
    pub(super) fn push(&self, line: &[u8]) -> bool {
        let mut waiting = self.waiting();
        if waiting.closed {
            return false;
        }
        // After one that was dropped all are, until the count stands in the log: in its place.
        if waiting.dropped > 0 || waiting.lines.len() + line.len() > CAPACITY {
            waiting.dropped += 1;
        } else {
            waiting.lines.extend_from_slice(line);
        }
        !mem::replace(&mut waiting.attended, true)
    }

    /// Gives up attending.
    pub(super) fn release(&self) {
        self.waiting().attended = false;
    }

    /// Whether there is nothing to write. The caller attends no more then, as with `release`: no
    /// line can come between the two.
    pub(super) fn is_settled(&self) -> bool {
        // Whoever attends asks when its batch is over, and is the only one that writes.
        let unfinished = self.out.try_lock().map_or(true, |out| out.at < out.batch.len());
        let mut waiting = self.waiting();
        let settled = waiting.closed || (!unfinished && waiting.is_empty());
        if settled {
            waiting.attended = false;
        }
        settled
    }

    /// Writes nothing more until [`write_rest`](Self::write_rest).
    pub(super) fn hold(&self) {
        self.waiting().held = true;
    }

    /// Writes what waits now. Blocks as long as the writer does.
    pub(super) fn write_batch(&self) -> Written {
        let mut out = self.out();
        if self.waiting().held {
            return Written::Partly;
        }
        self.write_next(&mut out)
    }

    /// Writes all there is, even if it is held. Blocks as long as the writer does.
    pub(super) fn write_rest(&self) -> Written {
        let mut out = self.out();
        loop {
            let written = self.write_next(&mut out);
            if written != Written::All || self.waiting().is_empty() {
                return written;
            }
        }
    }

    fn write_next(&self, out: &mut Out) -> Written {
        if out.at == out.batch.len() {
            out.at = 0;
            (out.batch, out.dropped) = self.waiting().take();
        }
        match out.write() {
            Ok(()) => Written::All,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Partly,
            Err(error) => {
                let lost = out.give_up();
                let mut waiting = self.waiting();
                if error.kind() == io::ErrorKind::BrokenPipe {
                    *waiting = Waiting { closed: true, ..Waiting::default() };
                    return Written::All;
                }
                // A full disk, say: it may have room later.
                waiting.dropped += lost;
                Written::Lost
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }

    /// A batch, and the number that its last line tells.
    fn take(&mut self) -> (Vec<u8>, u64) {
        let mut lines = mem::take(&mut self.lines);
        let dropped = mem::take(&mut self.dropped);
        match dropped {
            0 => {}
            1 => lines.extend_from_slice("… 1 line dropped\n".as_bytes()),
            many => lines.extend_from_slice(format!("… {many} lines dropped\n").as_bytes()),
        }
        (lines, dropped)
    }
}

impl Out {
    fn write(&mut self) -> io::Result<()> {
        while self.at < self.batch.len() {
            match self.writer.write(&self.batch[self.at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.at += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Drops the rest of the batch; returns the number of lines that are lost by now.
    fn give_up(&mut self) -> u64 {
        let rest = &self.batch[self.at..];
        let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        let lost = if self.dropped > 0 { lines - 1 + self.dropped } else { lines };
        (self.batch, self.at, self.dropped) = (Vec::new(), 0, 0);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::VecDeque, sync::Arc};

    /// Does what its script says, then takes everything.
    #[derive(Clone, Default)]
    struct Paper {
        written: Arc<Mutex<Vec<u8>>>,
        script: Arc<Mutex<VecDeque<Result<usize, io::ErrorKind>>>>,
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let next = self.script.lock().unwrap().pop_front().unwrap_or(Ok(usize::MAX));
            let length = next.map_err(io::Error::from)?.min(bytes.len());
            self.written.lock().unwrap().extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn with(script: impl IntoIterator<Item = Result<usize, io::ErrorKind>>) -> (Self, Queue) {
            let paper =
                Paper { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Self::default() };
            (paper.clone(), Queue::new(Box::new(paper)))
        }

        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn one_pusher_attends_until_all_is_written() {
        let (paper, queue) = Paper::with([]);
        assert!(queue.push(b"one\n"));
        assert!(!queue.push(b"two\n"));
        assert_eq!(queue.write_batch(), Written::All);
        queue.push(b"three\n");
        assert!(!queue.is_settled());
        queue.write_batch();
        assert!(queue.is_settled());
        assert_eq!(paper.text(), "one\ntwo\nthree\n");
        assert!(queue.push(b"four\n"));
        queue.release();
        assert!(queue.push(b"five\n"));
    }

    #[test]
    fn what_has_no_room_is_counted_in_its_place() {
        let (paper, queue) = Paper::with([]);
        let long = vec![b'a'; CAPACITY - 3];
        queue.push(&long);
        queue.push(b"long\n");
        queue.push(b"s\n");
        queue.write_batch();
        queue.push(b"later\n");
        queue.write_batch();
        assert_eq!(&paper.text()[long.len()..], "… 2 lines dropped\nlater\n");
    }

    #[test]
    fn a_writer_that_would_block_is_asked_again_for_the_rest() {
        let would_block = Err(io::ErrorKind::WouldBlock);
        let (paper, queue) = Paper::with([Ok(2), would_block, would_block, Err(io::ErrorKind::Interrupted)]);
        queue.push(b"one\n");
        assert_eq!(queue.write_batch(), Written::Partly);
        assert!(!queue.is_settled());
        queue.push(b"two\n");
        assert_eq!(queue.write_rest(), Written::Partly);
        assert_eq!(queue.write_rest(), Written::All);
        assert_eq!(paper.text(), "one\ntwo\n");
        assert!(queue.is_settled());
    }

    #[test]
    fn a_reader_that_is_gone_ends_the_log() {
        let (paper, queue) = Paper::with([Err(io::ErrorKind::BrokenPipe)]);
        queue.push(b"one\n");
        assert_eq!(queue.write_batch(), Written::All);
        assert!(queue.is_settled());
        assert!(!queue.push(b"two\n"));
        queue.write_rest();
        assert_eq!(paper.text(), "");
    }

    #[test]
    fn lines_that_a_full_disk_refused_are_counted() {
        let full = Err(io::ErrorKind::StorageFull);
        let (paper, queue) = Paper::with([Ok(6), full, full]);
        queue.push(b"one\ntwo\nthree\n");
        assert_eq!(queue.write_batch(), Written::Lost);
        assert_eq!(queue.write_rest(), Written::Lost);
        assert!(!queue.is_settled());
        queue.write_batch();
        assert_eq!(paper.text(), "one\ntw… 2 lines dropped\n");
    }

    #[test]
    fn held_lines_wait_for_the_end() {
        let (paper, queue) = Paper::with([]);
        queue.hold();
        queue.push(b"one\n");
        assert_eq!(queue.write_batch(), Written::Partly);
        assert_eq!(paper.text(), "");
        assert_eq!(queue.write_rest(), Written::All);
        assert_eq!(paper.text(), "one\n");
    }
}

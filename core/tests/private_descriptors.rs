//! Shards with descriptor tables of their own: what is in each table, and that everybody can still wake everybody.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]

use lakh_core::{
    Runtime, Shard, ShardHandle, block_on, blocking,
    fs::{File, FileWriter},
    process::Command,
    signal::{SIGUSR1, Signal},
};
use rustix::{
    process::{Signal as Number, getpid, kill_process},
    thread::gettid,
};
use std::{
    collections::BTreeMap,
    fs,
    future::{Future, poll_fn},
    io, mem,
    ops::Deref,
    os::fd::AsRawFd,
    pin::pin,
    sync::{
        Arc, Barrier, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes.
const HANG: Duration = Duration::from_secs(20);

/// The tests count what the process has open, so one runs at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // What the process keeps from the first of such runtimes on.
    drop(start(1, |_| Ok(())));
    alone
}

/// Left behind if the test fails: a shard that does not wake would hold it up.
struct Running(Option<Runtime>);

impl Deref for Running {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            mem::forget(self.0.take());
        }
    }
}

fn start(shards: usize, init: impl Fn(&Shard) -> io::Result<()> + Send + Sync + 'static) -> Running {
    Running(Some(Runtime::builder().shards(shards).private_descriptors(true).start(init).unwrap()))
}

fn handles(runtime: &Runtime) -> Vec<ShardHandle> {
    runtime.shards().cloned().collect()
}

/// What a thread of this process has open, by number.
fn table_of(thread: i32) -> BTreeMap<i32, String> {
    let folder = fs::read_dir(format!("/proc/self/task/{thread}/fd")).unwrap();
    let files = folder.filter_map(|entry| {
        let entry = entry.unwrap();
        let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        // Of this reading itself.
        let number = entry.file_name().to_str()?.parse().ok()?;
        (!target.starts_with("/proc/")).then_some((number, target))
    });
    files.collect()
}

fn own_table() -> BTreeMap<i32, String> {
    table_of(gettid().as_raw_nonzero().get())
}

fn count(table: &BTreeMap<i32, String>, what: &str) -> usize {
    table.values().filter(|target| target.contains(what)).count()
}

/// Asks a shard, and fails instead of waiting for ever.
fn ask<T: Send + 'static>(shard: &ShardHandle, question: impl FnOnce(&Shard) -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    shard.send(move |shard| tell.send(question(shard)).unwrap()).unwrap();
    told.recv_timeout(HANG).expect("the shard answers")
}

fn soon(told: &Receiver<()>, what: &str) {
    assert!(told.recv_timeout(HANG).is_ok(), "{what}");
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < HANG, "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_shards_table_has_its_own_event_loop_and_nothing_of_others() {
    let _alone = alone();
    let file = fs::File::open("/proc/self/exe").unwrap();
    let before = own_table();
    let runtime = start(3, |_| Ok(()));
    let after = own_table();
    assert_eq!(count(&after, "eventpoll"), count(&before, "eventpoll"), "their polls are in theirs");
    assert_eq!(after.len(), before.len() + 3, "one event for each shard: {after:?}");
    for shard in handles(&runtime) {
        let table = table_of(ask(&shard, |_| gettid().as_raw_nonzero().get()));
        assert_eq!(table.len(), 5, "{table:?}");
        assert!((0..3).all(|standard| table.contains_key(&standard)), "{table:?}");
        assert_eq!((count(&table, "eventpoll"), count(&table, "eventfd")), (1, 1), "{table:?}");
        assert!(ask(&shard, |shard| shard.has_private_descriptors()));
    }
    // The pool opens files in the table of all others.
    let pool_thread = ask(&handles(&runtime)[0], |shard| shard.pool().clone());
    let job = pool_thread.run(lakh_core::pool::Lane::USER, || own_table().len()).unwrap();
    assert!(block_on(job).unwrap().unwrap() >= after.len());
    drop(file);
}

#[test]
fn a_runtime_that_has_ended_leaves_no_descriptor_behind() {
    let _alone = alone();
    let before = own_table();
    for end in 0..3 {
        let runtime = start(4, |_| Ok(()));
        match end {
            0 => {}
            1 => runtime.stop(),
            _ => runtime.drain(),
        }
        drop(runtime);
        assert_eq!(own_table(), before);
    }
    let failed = Runtime::builder().shards(4).private_descriptors(true).start(|shard| match shard.id() {
        2 => Err(io::Error::other("on purpose")),
        _ => Ok(()),
    });
    assert_eq!(failed.unwrap_err().to_string(), "on purpose");
    assert_eq!(own_table(), before);
}

/// The last who knows a shard may be a thread with another table, where closing its event's number would
/// close something else.
#[test]
fn a_handle_that_is_dropped_on_another_table_closes_nothing_there() {
    let _alone = alone();
    let before = own_table();
    let keeper = start(1, |_| Ok(()));
    let with_keeper = own_table();
    let ended = start(2, |_| Ok(()));
    let dropped = handles(&ended);
    drop(ended);
    assert_eq!(own_table().len(), with_keeper.len() + 2, "somebody may ring them still");
    let on_keeper = handles(&keeper).remove(0);
    let (opened, still) = ask(&on_keeper, move |_| {
        // Files take all numbers up to those of the events.
        let files: Vec<_> = (0..64).map(|_| fs::File::open("/proc/self/exe").unwrap()).collect();
        let opened = own_table();
        assert!(files.iter().all(|file| opened.contains_key(&file.as_raw_fd())));
        drop(dropped);
        let still = own_table();
        drop(files);
        (opened, still)
    });
    assert_eq!(opened, still);
    eventually("their events are closed where they were made", || own_table() == with_keeper);
    drop((on_keeper, keeper));
    assert_eq!(own_table(), before);
}

/// Sends a message round all shards, each of which is asleep when it comes.
#[test]
fn shards_wake_each_other_by_messages() {
    const ROUNDS: usize = 300;
    let _alone = alone();
    let runtime = start(3, |_| Ok(()));
    let shards: Arc<[ShardHandle]> = handles(&runtime).into();
    let (tell, told) = mpsc::channel();
    fn pass_on(left: usize, shards: Arc<[ShardHandle]>, tell: mpsc::Sender<()>) {
        match left {
            0 => tell.send(()).unwrap(),
            _ => shards[left % shards.len()].clone().send(move |_| pass_on(left - 1, shards, tell)).unwrap(),
        }
    }
    pass_on(ROUNDS, shards, tell);
    soon(&told, "a message was slept through");
}

/// A task that waits until it is told, and says so.
fn waiting(shard: &ShardHandle) -> (Arc<Told>, Receiver<()>) {
    let told = Arc::new(Told { is_told: AtomicUsize::new(0), waker: Mutex::new(None) });
    let (tell_begun, begun) = mpsc::channel();
    let (tell_done, done) = mpsc::channel();
    let waits = Arc::clone(&told);
    let body = move || async move {
        poll_fn(|cx| {
            *waits.waker.lock().unwrap() = Some(cx.waker().clone());
            // Nobody listens at the second time.
            let _ = tell_begun.send(());
            if waits.is_told.load(Ordering::SeqCst) == 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        tell_done.send(()).unwrap();
    };
    shard.spawn_on(body).unwrap();
    soon(&begun, "the task begins");
    (told, done)
}

struct Told {
    is_told: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Told {
    fn tell(&self) {
        self.is_told.store(1, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap().take().expect("somebody waits");
        waker.wake();
    }
}

#[test]
fn tasks_are_woken_from_everywhere() {
    let _alone = alone();
    let (private, other) = (start(2, |_| Ok(())), start(1, |_| Ok(())));
    let plain = Running(Some(Runtime::builder().shards(1).start(|_| Ok(())).unwrap()));
    let [first, second] = &handles(&private)[..] else { panic!("two shards") };
    let (other, plain) = (&handles(&other)[0], &handles(&plain)[0]);

    for target in [second, other, plain] {
        // From a shard, by a thread that a shard has started, from the pool, and from a thread of no shard.
        let (told, done) = waiting(target);
        ask(first, move |_| told.tell());
        soon(&done, "a wake of a shard was lost");
        let (told, done) = waiting(target);
        ask(first, move |_| thread::spawn(move || told.tell()).join().unwrap());
        soon(&done, "a wake of a shard's thread was lost");
        let (told, done) = waiting(target);
        ask(first, move |shard| {
            shard.pool().run(lakh_core::pool::Lane::USER, move || told.tell()).unwrap().detach()
        });
        soon(&done, "a wake of the pool was lost");
        let (told, done) = waiting(target);
        thread::spawn(move || told.tell()).join().unwrap();
        soon(&done, "a wake of a thread was lost");
    }
    // From a plain shard, to one with a table of its own.
    let (told, done) = waiting(first);
    ask(plain, move |_| told.tell());
    soon(&done, "a wake of a plain shard was lost");
}

#[test]
fn the_pool_gives_its_results_to_shards_with_their_own_tables() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written");
    let runtime = start(2, |_| Ok(()));
    let (tell, told) = mpsc::channel();
    for shard in runtime.shards() {
        let (tell, path) = (tell.clone(), path.with_extension(shard.id().to_string()));
        let body = move || async move {
            for n in 0..50 {
                assert_eq!(blocking(move || n + 1).await.unwrap(), n + 1);
            }
            let mut file = FileWriter::create(&path).await.unwrap();
            file.write_all(&[b'x'; 600_000]).await.unwrap();
            file.finish().await.unwrap();
            // And one that is given up.
            drop(FileWriter::create(path.with_extension("no")).await.unwrap());
            // Opened, read, listed and let go in all ways.
            let file = File::open(&path).await.unwrap();
            assert_eq!(file.read_at(0, 600_001).await.unwrap().len(), 600_000);
            let mut reader = file.reader(..);
            assert!(reader.chunk().await.unwrap().unwrap().starts_with(b"xxx"));
            let folder = lakh_core::fs::read_dir(path.parent().unwrap()).await.unwrap();
            drop((file, reader, folder));
            assert_eq!(own_table().len(), 5, "the pool alone has files");
            tell.send(()).unwrap();
        };
        shard.spawn_on(body).unwrap();
    }
    (0..2).for_each(|_| soon(&told, "a result was lost"));
    for id in 0..2 {
        assert_eq!(fs::metadata(path.with_extension(id.to_string())).unwrap().len(), 600_000);
    }
}

#[test]
fn shards_threads_take_no_signals() {
    let _alone = alone();
    let runtime = start(1, |_| Ok(()));
    let thread = ask(&handles(&runtime)[0], |_| gettid().as_raw_nonzero().get());
    let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
    let is_blocked = |signal: i32| blocked & 1 << (signal - 1) != 0;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT, libc::SIGHUP, SIGUSR1, libc::SIGCHLD] {
        assert!(is_blocked(signal), "{signal}");
    }
    for fault in [libc::SIGSEGV, libc::SIGBUS] {
        assert!(!is_blocked(fault), "{fault}");
    }
}

#[test]
fn signals_are_heard_on_shards_with_their_own_tables() {
    let _alone = alone();
    let (ready, all_ready) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let runtime = start(2, move |shard| {
        let (mut signal, ready, tell) = (Signal::new(SIGUSR1)?, ready.clone(), tell.clone());
        shard.spawn_detached(async move {
            for _ in 0..3 {
                ready.send(()).unwrap();
                signal.recv().await;
                tell.send(()).unwrap();
            }
        });
        Ok(())
    });
    for _ in 0..3 {
        for _ in 0..2 {
            soon(&all_ready, "a shard waits for the signal");
        }
        kill_process(getpid(), Number::USR1).unwrap();
        for _ in 0..2 {
            soon(&told, "it hears it");
        }
    }
    drop(runtime);
}

#[test]
fn what_would_cross_tables_is_refused_and_says_why() {
    let _alone = alone();
    let runtime = start(1, |_| Ok(()));
    let refusals = ask(&handles(&runtime)[0], |_| {
        let starting = pin!(Command::new("true").spawn());
        let Poll::Ready(child) = starting.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it is refused at once")
        };
        [
            child.unwrap_err().into(),
            Runtime::builder().shards(1).start(|_| Ok(())).unwrap_err(),
            Runtime::builder().shards(1).private_descriptors(true).start(|_| Ok(())).unwrap_err(),
            thread::spawn(|| block_on(async {}).unwrap_err()).join().unwrap(),
            thread::spawn(|| Runtime::builder().start(|_| Ok(())).unwrap_err()).join().unwrap(),
        ]
    });
    for refusal in refusals {
        assert_eq!(refusal.kind(), io::ErrorKind::Unsupported);
        assert!(refusal.to_string().contains("private_descriptors"), "{refusal}");
    }
}

#[test]
fn what_was_handed_over_is_the_first_shards_alone() {
    let _alone = alone();
    for private in [false, true] {
        let mut builder = Runtime::builder().shards(2).private_descriptors(private);
        let (reader, writer) = io::pipe().unwrap();
        let number = builder.hand_over(writer.into());
        let runtime = Running(Some(builder.start(|_| Ok(())).unwrap()));
        let [first, second] = &handles(&runtime)[..] else { panic!("two shards") };
        assert!(ask(second, move |shard| shard.take_handed_over(number).is_none()));
        let writer = ask(first, move |shard| shard.take_handed_over(number).map(|fd| fd.as_raw_fd()));
        assert!(writer.is_some(), "and it has been dropped by now");
        assert!(ask(first, move |shard| shard.take_handed_over(number).is_none()));
        // Nobody has the other end any more.
        let end = thread::spawn(move || io::read_to_string(reader).unwrap());
        eventually("the pipe has ended", || end.is_finished());
        assert_eq!(end.join().unwrap(), "");
    }
}

#[test]
fn what_the_start_owns_is_dropped_by_its_caller() {
    struct Owner(mpsc::Sender<thread::ThreadId>);
    impl Drop for Owner {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }
    let _alone = alone();
    for fails in [false, true] {
        let (tell, told) = mpsc::channel();
        let (owner, all) = (Owner(tell), Barrier::new(2));
        let started = Runtime::builder().shards(2).private_descriptors(true).start(move |_| {
            let _owner = &owner;
            all.wait();
            if fails { Err(io::Error::other("on purpose")) } else { Ok(()) }
        });
        assert_eq!(started.is_err(), fails);
        assert_eq!(told.recv_timeout(HANG).unwrap(), thread::current().id());
    }
}

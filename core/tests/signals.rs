//! Signals, in this process where they do no harm, and in a child process where they end it.
// The tests ask /proc what is caught.
#![cfg(target_os = "linux")]

use futures_core::Stream;
use lakh_core::{
    Runtime, ShardHandle, block_on, drain_requested,
    signal::{SIGALRM, SIGCONT, SIGHUP, SIGIO, SIGURG, SIGUSR1, SIGWINCH, Signal},
    sleep, spawn, yield_now,
};
use libc::{SIGKILL, SIGSTOP};
use rustix::process::{Pid, Signal as Number, getpid, kill_process};
use std::{
    env,
    future::{pending, poll_fn},
    hint,
    io::{BufRead, BufReader, ErrorKind, Lines},
    os::unix::process::ExitStatusExt,
    pin::{Pin, pin},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

const CHILD: &str = "LAKH_TEST_CHILD";
/// Before the name of what a child does: its shards have descriptor tables of their own.
const PRIVATE: &str = "private ";
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_signal_reaches_everyone_who_listens() {
    block_on(async {
        let mut first = Signal::new(Number::USR1.as_raw()).unwrap();
        let mut second = Signal::new(Number::USR1.as_raw()).unwrap();
        let other = spawn(async move { second.recv().await });
        for _ in 0..2 {
            kill_process(getpid(), Number::USR1).unwrap();
            first.recv().await;
        }
        other.await.unwrap();
    })
    .unwrap();
}

#[test]
fn a_listener_that_is_gone_hears_nothing_and_the_process_lives() {
    block_on(async {
        drop(Signal::new(Number::USR2.as_raw()).unwrap());
        kill_process(getpid(), Number::USR2).unwrap();
        let mut later = Signal::new(Number::USR2.as_raw()).unwrap();
        kill_process(getpid(), Number::USR2).unwrap();
        later.recv().await;
    })
    .unwrap();
}

#[test]
fn signals_that_cannot_be_caught_are_an_error() {
    let faults = [Number::SEGV, Number::BUS, Number::FPE, Number::ILL].map(Number::as_raw);
    for number in [SIGKILL, SIGSTOP, 0, -1, 100, 128, i32::MAX].into_iter().chain(faults) {
        let error = Signal::new(number).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}: {error}");
    }
}

#[test]
fn real_time_signals_are_heard_as_well() {
    block_on(async {
        let number = libc::SIGRTMIN() + 1;
        let mut signal = Signal::new(number).unwrap();
        let kill = format!("-{number}");
        let sent = Command::new("kill").arg(kill).arg(std::process::id().to_string()).status();
        assert!(sent.unwrap().success());
        signal.recv().await;
    })
    .unwrap();
}

#[test]
fn a_signal_that_comes_between_two_polls_is_not_lost() {
    block_on(async {
        let mut signal = Signal::new(SIGURG).unwrap();
        for _ in 0..100 {
            assert!(poll_once(pin!(signal.recv())).is_pending());
            kill_process(getpid(), Number::URG).unwrap();
            signal.recv().await;
        }
        // By a waker that nobody follows, and then another one.
        assert!(poll_once(pin!(signal.recv())).is_pending());
        let later = spawn(async move { signal.recv().await });
        yield_now().await;
        kill_process(getpid(), Number::URG).unwrap();
        later.await.unwrap();
    })
    .unwrap();
}

/// It is polled once, at moments that differ, before and after the signal arrives, and then waits.
#[test]
fn a_signal_that_comes_while_it_is_polled_is_not_lost() {
    block_on(async {
        let mut signal = Signal::new(SIGCONT).unwrap();
        for round in 0..20_000 {
            kill_process(getpid(), Number::CONT).unwrap();
            for _ in 0..round * 7 % 5000 {
                hint::spin_loop();
            }
            let mut late = pin!(sleep(LONG));
            poll_fn(|cx| {
                assert!(late.as_mut().poll(cx).is_pending(), "whoever waits is not told");
                signal.poll_recv(cx)
            })
            .await;
        }
    })
    .unwrap();
}

#[test]
fn a_signal_is_a_stream() {
    block_on(async {
        let mut signal = Signal::new(SIGWINCH).unwrap();
        for _ in 0..3 {
            kill_process(getpid(), Number::WINCH).unwrap();
            assert_eq!(poll_fn(|cx| Pin::new(&mut signal).poll_next(cx)).await, Some(()));
        }
    })
    .unwrap();
}

#[test]
fn all_shards_hear_a_signal_at_once() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(3).start(move |shard| {
        for _ in 0..5 {
            let (mut signal, tell) = (Signal::new(SIGALRM)?, tell.clone());
            shard.spawn_detached(async move {
                signal.recv().await;
                tell.send(()).unwrap();
            });
        }
        Ok(())
    });
    let runtime = runtime.unwrap();
    kill_process(getpid(), Number::ALARM).unwrap();
    for _ in 0..15 {
        told.recv_timeout(LONG).expect("each listener hears it");
    }
    drop(runtime);
}

#[test]
fn a_child_has_back_what_a_signal_does_by_default() {
    block_on(async {
        let _heard = Signal::new(SIGUSR1).unwrap();
        let child = lakh_core::process::Command::new("/bin/sh").args(["-c", "kill -USR1 $$"]);
        assert_eq!(child.status().await.unwrap().signal(), Some(SIGUSR1));
    })
    .unwrap();
}

#[test]
fn a_listener_whose_waker_panics_costs_the_others_nothing() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose: a waker");
        }
    }
    block_on(async {
        let mut first = Signal::new(SIGIO).unwrap();
        let mut second = Signal::new(SIGIO).unwrap();
        let waker = Waker::from(Arc::new(Panics));
        assert!(first.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        for _ in 0..2 {
            kill_process(getpid(), Number::IO).unwrap();
            second.recv().await;
        }
        first.recv().await;
    })
    .unwrap();
}

#[test]
fn a_listener_that_is_dropped_while_it_is_woken_costs_the_others_nothing() {
    struct PanicsWhenDropped;
    impl Wake for PanicsWhenDropped {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("on purpose: what a waker has");
        }
    }
    /// Leaves the signal's thread the last one who has the listener, and another waker with it.
    struct Leaves(Mutex<Option<Signal>>);
    impl Wake for Leaves {
        fn wake(self: Arc<Self>) {
            let mut signal = self.0.lock().unwrap().take().unwrap();
            let waker = Waker::from(Arc::new(PanicsWhenDropped));
            while signal.poll_recv(&mut Context::from_waker(&waker)).is_ready() {}
        }
    }
    block_on(async {
        let leaves = Arc::new(Leaves(Mutex::new(None)));
        let mut first = Signal::new(SIGHUP).unwrap();
        let mut second = Signal::new(SIGHUP).unwrap();
        let waker = Waker::from(Arc::clone(&leaves));
        assert!(first.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        *leaves.0.lock().unwrap() = Some(first);
        for _ in 0..2 {
            kill_process(getpid(), Number::HUP).unwrap();
            second.recv().await;
        }
        assert!(leaves.0.lock().unwrap().is_none(), "it was woken");
    })
    .unwrap();
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn each_signal_drains_and_the_process_ends_well() {
    for signal in [Number::TERM, Number::INT, Number::QUIT] {
        for mut child in with_both_tables("drains") {
            child.send(signal);
            child.wait_for("cut 0");
            assert_eq!(child.exit_code(), Some(0), "{signal:?}");
        }
    }
}

#[test]
fn what_is_not_finished_in_time_is_cut_and_counted() {
    for mut child in with_both_tables("holds-no-grace") {
        child.send(Number::TERM);
        child.wait_for("draining 2");
        child.wait_for("cut 2");
        assert_eq!(child.exit_code(), Some(0));
    }
}

#[test]
fn a_second_interrupt_ends_a_drain_at_once() {
    for mut child in with_both_tables("holds") {
        child.send(Number::INT);
        child.wait_for("draining 2");
        child.send(Number::INT);
        assert_eq!(child.exit_code(), Some(130));
    }
}

#[test]
fn a_second_interrupt_ends_a_process_whose_shard_is_blocked() {
    for mut child in with_both_tables("blocks") {
        child.send(Number::TERM);
        child.wait_for("stopping");
        child.send(Number::INT);
        assert_eq!(child.exit_code(), Some(130));
    }
}

#[test]
fn shards_that_end_by_themselves_end_the_run() {
    for mut child in with_both_tables("ends") {
        child.wait_for("cut 0");
        assert_eq!(child.exit_code(), Some(0));
    }
}

/// This test binary, started once more to run `child` only.
struct Server {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// One whose shards share the process's descriptors, and where that can be, one whose shards have their own.
fn with_both_tables(kind: &str) -> impl Iterator<Item = Server> {
    let private = cfg!(not(mio_unsupported_force_poll_poll)).then(|| format!("{PRIVATE}{kind}"));
    [Some(kind.to_owned()), private].into_iter().flatten().map(|kind| Server::start(&kind))
}

impl Server {
    fn start(kind: &str) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(CHILD, kind)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut server = Server { process, lines };
        server.wait_for("ready");
        server
    }

    fn wait_for(&mut self, text: &str) {
        let found = self.lines.by_ref().any(|line| line.unwrap().contains(text));
        assert!(found, "the child did not say {text:?}");
    }

    fn send(&self, signal: Number) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

/// Not a test: what the tests above start as a process of its own.
#[test]
#[ignore = "started by the other tests, in a process of its own"]
fn child() {
    let Ok(kind) = env::var(CHILD) else { return };
    let (kind, private) = match kind.strip_prefix(PRIVATE) {
        Some(kind) => (kind.to_owned(), true),
        None => (kind, false),
    };
    let (all_up, up) = mpsc::channel();
    let (task_kind, ends) = (kind.clone(), kind == "ends");
    let runtime = Runtime::builder()
        .shards(2)
        .private_descriptors(private)
        .start(move |shard| {
            let (kind, guard, all_up) = (task_kind.clone(), shard.guard(), all_up.clone());
            shard.spawn_detached(async move {
                // Sent from a second turn: the guards of the first are public by then.
                yield_now().await;
                all_up.send(()).unwrap();
                match kind.as_str() {
                    "drains" | "ends" => drain_requested().await,
                    "blocks" => block_for_ever(&lakh_core::current().handle()),
                    _ => pending().await,
                }
                drop(guard);
            });
            Ok(())
        })
        .unwrap();
    up.recv().unwrap();
    up.recv().unwrap();
    let handles: Vec<_> = runtime.shards().cloned().collect();
    let grace = if kind == "holds-no-grace" || kind == "blocks" { Duration::ZERO } else { LONG };
    // Signals must be handled before anybody sends one: a shard of the supervisor's runs first.
    let ready = std::thread::spawn(move || {
        if ends {
            handles.iter().for_each(ShardHandle::drain);
        }
        while !is_caught(Number::QUIT) {
            std::thread::yield_now();
        }
        println!("\nready");
    });
    let report = runtime.run_until_signal(grace, || {}, |guards| println!("draining {guards}")).unwrap();
    ready.join().unwrap();
    println!("cut {}", report.cut);
}

/// Blocks the shard, and tells when the runtime has given up on draining it.
fn block_for_ever(handle: &ShardHandle) -> ! {
    while !handle.send(|_| {}).is_err_and(|error| error.is_stopped()) {
        std::thread::yield_now();
    }
    println!("stopping");
    loop {
        std::thread::park();
    }
}

/// Whether this process has a handler for the signal: the last one that the runtime installs.
fn is_caught(signal: Number) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
    mask & 1 << (signal.as_raw() - 1) != 0
}

//! What a runtime tells of itself, and what its shards do when they are asked.

use lakh_core::{
    Registration, Runtime, ShardHandle, WorkName,
    diagnostics::{Answer, Diagnostics, Handle, HandleKind, Page, Query},
    named,
    pool::Lane,
    sleep, with,
};
use std::{
    collections::HashSet,
    future::pending,
    sync::{Mutex, mpsc},
    time::Duration,
};

const LONG: Duration = Duration::from_secs(60);

fn runtime(shards: usize) -> Runtime {
    Runtime::builder().shards(shards).watchdog(None).start(|_| Ok(())).unwrap()
}

fn shard(runtime: &Runtime, number: usize) -> ShardHandle {
    runtime.shards().nth(number).unwrap().clone()
}

/// Runs it on the shard, and waits until it has run.
fn on(shard: &ShardHandle, message: impl FnOnce(&lakh_core::Shard) + Send + 'static) {
    let (tell, told) = mpsc::channel();
    shard
        .send(move |shard| {
            message(shard);
            tell.send(()).unwrap();
        })
        .unwrap();
    told.recv_timeout(LONG).unwrap();
}

/// Waits until the shard's tasks have had their turn, and it has told what has come of it.
fn settle(shard: &ShardHandle) {
    let (tell, told) = mpsc::channel();
    let turns = move || async move {
        for _ in 0..3 {
            lakh_core::yield_now().await;
        }
        tell.send(()).unwrap();
    };
    shard.spawn_on(turns).unwrap();
    told.recv_timeout(LONG).unwrap();
}

fn page(answer: Answer) -> Page {
    answer.wait(LONG).expect("an answer").unwrap()
}

/// All of them, a part at a time.
fn all(diagnostics: &Diagnostics, query: Query) -> Vec<Handle> {
    let (mut items, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let page = page(diagnostics.inspect(0, query.from(from)));
        items.extend(page.items);
        next = page.next;
    }
    items
}

#[test]
fn a_snapshot_has_what_each_shard_and_lane_has_come_to() {
    let runtime = runtime(2);
    let diagnostics = runtime.diagnostics().clone();
    on(&shard(&runtime, 1), |shard| (0..3).for_each(|_| shard.spawn_detached(pending())));
    let (tell, told) = mpsc::channel();
    runtime.pool().run(Lane::USER, move || tell.send(()).unwrap()).unwrap().detach();
    told.recv_timeout(LONG).unwrap();
    settle(&shard(&runtime, 1));
    let snapshot = diagnostics.snapshot();
    let tasks: Vec<u64> = snapshot.shards.iter().map(|shard| shard.tasks).collect();
    assert!(tasks[0] == 0 && (3..=4).contains(&tasks[1]), "{tasks:?}");
    let shard = &snapshot.shards[1];
    assert!(shard.turns >= 3 && shard.busy > Duration::ZERO);
    // It may turn while it is looked at.
    assert!(shard.lag.count().abs_diff(shard.turns) <= 1);
    assert_eq!(snapshot.pool.lane(Lane::USER).unwrap().accepted, 1);
    assert!(snapshot.uptime > Duration::ZERO && snapshot.stalls.is_empty());

    runtime.stop();
    assert!(runtime.join(LONG));
    assert!(diagnostics.snapshot().shards.iter().all(|shard| shard.has_ended));
    let refused = diagnostics.inspect(0, Query::tasks()).wait(LONG).unwrap().unwrap_err();
    assert!(refused.is_ended(), "{refused}");
    let refused = diagnostics.inspect(2, Query::tasks()).wait(LONG).unwrap().unwrap_err();
    assert!(refused.is_no_shard(), "{refused}");
}

#[test]
fn tasks_have_names_and_say_whether_a_drain_waits_for_them() {
    let runtime = runtime(1);
    on(&shard(&runtime, 0), |shard| {
        shard.spawn_detached(named(WorkName::new("compaction"), pending()));
        shard.spawn_detached(named(WorkName::new("an upload"), pending()).guarded(shard.guard()));
        shard.spawn_detached(pending::<()>());
        drop(shard.spawn(pending::<u8>()));
    });
    // Those with a name have it from their first poll on.
    settle(&shard(&runtime, 0));
    let tasks = all(runtime.diagnostics(), Query::tasks());
    let found: HashSet<_> = tasks.iter().map(|task| (task.name.unwrap(), task.keeps_alive)).collect();
    let expected = [
        ("compaction", false),
        ("an upload", true),
        ("core::future::pending::Pending<()>", false),
        ("core::future::pending::Pending<u8>", false),
    ];
    assert_eq!(found, HashSet::from(expected));
    assert!(tasks.iter().all(|task| task.kind == HandleKind::Task && task.age.unwrap() < LONG));
}

#[test]
fn timers_say_when_they_fire_and_for_whom() {
    let runtime = runtime(1);
    on(&shard(&runtime, 0), |shard| {
        shard.spawn_detached(named(WorkName::new("sleeper"), sleep(Duration::from_secs(1000))));
    });
    settle(&shard(&runtime, 0));
    let timers = all(runtime.diagnostics(), Query::timers());
    assert_eq!(timers.len(), 1);
    assert_eq!((timers[0].kind, timers[0].name), (HandleKind::Timer, Some("sleeper")));
    let due = timers[0].due.unwrap();
    assert!(due <= Duration::from_secs(1001) && due > Duration::from_secs(900), "{due:?}");
}

#[cfg(unix)]
#[test]
fn sockets_have_their_addresses_and_are_gone_when_they_are_closed() {
    use std::os::fd::AsRawFd;

    let runtime = runtime(1);
    let (tell, told) = mpsc::channel();
    let (close, closed) = mpsc::channel::<()>();
    let closed = Mutex::new(closed);
    on(&shard(&runtime, 0), move |shard| {
        let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let registration = Registration::socket(&mut socket, false).unwrap();
        tell.send((socket.local_addr().unwrap(), socket.as_raw_fd())).unwrap();
        shard.spawn_detached(named(WorkName::new("a receiver"), async move {
            std::future::poll_fn(|cx| {
                if closed.lock().unwrap().try_recv().is_ok() {
                    return std::task::Poll::Ready(());
                }
                registration.would_block(lakh_core::Direction::Read);
                registration.poll_ready(lakh_core::Direction::Read, cx)
            })
            .await;
            drop((registration, socket));
        }));
    });
    let (local, descriptor) = told.recv_timeout(LONG).unwrap();
    settle(&shard(&runtime, 0));
    let sockets = all(runtime.diagnostics(), Query::sockets());
    let socket = sockets.iter().find(|handle| handle.kind == HandleKind::Udp).expect("the socket");
    assert_eq!((socket.local, socket.peer), (Some(local), None));
    assert_eq!((socket.name, socket.descriptor), (Some("a receiver"), Some(descriptor)));
    assert!(!socket.keeps_alive);
    close.send(()).unwrap();
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", local).unwrap();
    while all(runtime.diagnostics(), Query::sockets()).iter().any(|handle| handle.kind == HandleKind::Udp) {
        std::thread::yield_now();
    }
}

/// What is no socket has a kind as well, and the name of the task that waits for it.
#[cfg(target_os = "linux")]
#[test]
fn pipes_terminals_children_and_watches_are_told_apart() {
    use lakh_core::{AsyncFd, fs::watch, process::Command};
    use rustix::{
        event::{EventfdFlags, eventfd},
        fs::{CWD, Mode, OFlags, openat},
        net::{AddressFamily, SocketFlags, SocketType, socketpair},
        pipe::{PipeFlags, pipe_with},
        pty::{OpenptFlags, openpt},
        time::{TimerfdClockId, TimerfdFlags, timerfd_create},
    };
    use std::os::fd::{AsRawFd, OwnedFd};

    let runtime = runtime(1);
    let (tell, told) = mpsc::channel();
    let all_of_them = move || async move {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let counter = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).unwrap();
        let flags = SocketFlags::NONBLOCK;
        let (near, _far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let device = openat(CWD, "/dev/random", OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let expected = [
            (&reader, HandleKind::Pipe),
            (&writer, HandleKind::Pipe),
            (&terminal, HandleKind::Terminal),
            (&counter, HandleKind::Eventfd),
            (&timer, HandleKind::Timerfd),
            (&near, HandleKind::UnixStream),
            (&device, HandleKind::Other),
        ];
        let expected = expected.map(|(descriptor, kind): (&OwnedFd, _)| (descriptor.as_raw_fd(), kind));
        let sources =
            [reader, writer, terminal, counter, timer, near, device].map(|fd| AsyncFd::new(fd).unwrap());
        let mut child =
            Command::new("cat").stdin(std::process::Stdio::piped()).kill_on_drop(true).spawn().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let _input = child.stdin.take();
        let _watch = watch(folder.path()).await.unwrap();
        tell.send(expected).unwrap();
        child.wait().await.unwrap();
        drop(sources);
    };
    shard(&runtime, 0).spawn_on(move || named(WorkName::new("all of them"), all_of_them())).unwrap();
    let expected = told.recv_timeout(LONG).unwrap();
    settle(&shard(&runtime, 0));
    let sockets = all(runtime.diagnostics(), Query::sockets());
    for (descriptor, kind) in expected {
        let handle = sockets.iter().find(|handle| handle.descriptor == Some(descriptor)).expect("it is told");
        assert_eq!(handle.kind, kind, "{handle:?}");
    }
    let count = |kind| sockets.iter().filter(|handle| handle.kind == kind).count();
    // With mio's poll(2), children and watches are made as where the system has no descriptors of them.
    if cfg!(mio_unsupported_force_poll_poll) {
        return;
    }
    assert_eq!(count(HandleKind::FileWatch), 1, "{sockets:#?}");
    assert_eq!(count(HandleKind::Pipe), 3, "and the child's input: {sockets:#?}");
    let child = sockets.iter().find(|handle| handle.kind == HandleKind::Process).expect("the child");
    assert_eq!(child.name, Some("all of them"));
}

/// More than the tables of a chunk, and than one page may have.
#[test]
fn parts_follow_each_other_without_a_gap() {
    const TASKS: usize = 3001;
    let runtime = runtime(1);
    on(&shard(&runtime, 0), |shard| {
        for number in 0..TASKS {
            let name = WorkName::new(&format!("task {number}"));
            shard.spawn_detached(named(name, pending()));
        }
    });
    settle(&shard(&runtime, 0));
    let diagnostics = runtime.diagnostics();
    let first = page(diagnostics.inspect(0, Query::tasks().limit(7)));
    assert_eq!((first.total, first.items.len(), first.next), (TASKS, 7, Some(7)));
    let most = page(diagnostics.inspect(0, Query::tasks().limit(usize::MAX)));
    assert_eq!(most.items.len(), lakh_core::diagnostics::MAX_ITEMS);
    let tasks = all(diagnostics, Query::tasks());
    let names: HashSet<_> = tasks.iter().map(|task| task.name.unwrap()).collect();
    assert_eq!((tasks.len(), names.len()), (TASKS, TASKS));
}

#[test]
fn a_shard_that_is_blocked_answers_when_it_goes_on_and_a_snapshot_waits_for_nobody() {
    let (tell, told) = mpsc::channel();
    let builder = Runtime::builder().shards(1).watchdog(Some(Duration::from_millis(20)));
    let runtime = builder.on_stall(move |stall| tell.send(*stall).unwrap()).start(|_| Ok(())).unwrap();
    let (end, until) = mpsc::channel::<()>();
    let until = Mutex::new(until);
    let block =
        move || named(WorkName::new("a mistake"), async move { until.lock().unwrap().recv().unwrap() });
    shard(&runtime, 0).spawn_on(block).unwrap();
    while told.recv_timeout(LONG).unwrap().name != Some("a mistake") {}
    let diagnostics = runtime.diagnostics();
    let answer = diagnostics.inspect(0, Query::tasks());
    assert!(diagnostics.inspect(0, Query::tasks()).wait(Duration::from_millis(1)).is_none());
    let stalls = diagnostics.snapshot().stalls;
    let stall = stalls.iter().find(|stall| stall.name == Some("a mistake")).expect("it is remembered");
    assert!(stall.shard == 0 && stall.lasted >= Duration::from_millis(20));
    end.send(()).unwrap();
    answer.wait(LONG).unwrap().unwrap();
}

#[test]
fn what_the_program_counts_is_among_the_metrics() {
    let runtime = runtime(1);
    runtime.diagnostics().collect_with(|out| {
        out.gauge("rooms", "Rooms that are open").sample(&[("size", "big")], 3.0);
    });
    let text = runtime.diagnostics().exposition();
    assert!(text.contains("\n# TYPE rooms gauge\nrooms{size=\"big\"} 3\n"), "{text}");
    assert!(text.contains("\nlakh_shard_tasks{shard=\"0\"} 0\n"), "{text}");
    assert!(text.contains("\nlakh_pool_wait_seconds_bucket{lane=\"file\",le=\"+Inf\"} 0\n"), "{text}");
}

#[test]
fn a_task_may_ask_its_own_shard() {
    let names = lakh_core::block_on(named(WorkName::new("the asker"), async {
        let diagnostics = with(|shard| shard.diagnostics().clone());
        lakh_core::yield_now().await;
        diagnostics.inspect(0, Query::tasks()).await.unwrap().items
    }));
    assert_eq!(names.unwrap()[0].name, Some("the asker"));
}

#[test]
fn threads_of_shards_have_the_name_that_they_were_given() {
    let runtime = Runtime::builder().shards(2).thread_name("mine").start(|_| Ok(())).unwrap();
    let (tell, told) = mpsc::channel();
    on(&shard(&runtime, 1), move |_| tell.send(std::thread::current().name().map(str::to_owned)).unwrap());
    assert_eq!(told.recv_timeout(LONG).unwrap().as_deref(), Some("mine-1"));
}

//! Child processes: how they are started, what reaches them, how they end, and that somebody reaps them.
#![cfg(unix)]

mod common;

use common::{Hold, SAFETY_NET, poll_once, pool, sh, with_a_small_pool};
use futures_io::{AsyncRead, AsyncWrite};
use lakh_core::{
    block_on,
    process::{Command, PipeReader, ProcessError, Stdio},
    sleep, spawn, timeout, yield_now,
};
use rustix::process::{Pid, Signal, geteuid, test_kill_process};
use std::{
    env, fs,
    future::poll_fn,
    io::ErrorKind,
    os::unix::process::ExitStatusExt,
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn cat() -> Command {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped())
}

fn sleeper() -> Command {
    Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::piped())
}

async fn text_of(command: Command) -> String {
    String::from_utf8(command.output(10_000).await.unwrap().stdout).unwrap()
}

/// Everybody who had the other end has closed it.
async fn ends(mut reader: PipeReader) {
    let read = timeout(SAFETY_NET, reader.read(&mut [0; 10])).await.expect("its end closes the pipe");
    assert_eq!(read.unwrap(), 0);
}

/// As a process, or as a zombie.
fn is_there(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap()).is_ok()
}

/// It is no process any more, and no zombie: somebody has reaped it.
async fn is_reaped(pid: u32) {
    let begin = Instant::now();
    while is_there(pid) {
        assert!(begin.elapsed() < SAFETY_NET, "process {pid} is still there");
        sleep(MILLISECOND).await;
    }
}

#[test]
fn a_status_tells_the_exit_code_or_the_signal() {
    block_on(async {
        assert!(Command::new("true").status().await.unwrap().success());
        assert_eq!(sh("exit 7").status().await.unwrap().code(), Some(7));
        let status = sh("kill -TERM $$").status().await.unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(Signal::TERM.as_raw())));
        let mut child = sh("exit 3").spawn().await.unwrap();
        for _ in 0..2 {
            assert_eq!(child.wait().await.unwrap().code(), Some(3), "as often as it is asked");
        }
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
        child.kill().unwrap();
        child.signal(Signal::TERM.as_raw()).unwrap();
    })
    .unwrap();
}

#[test]
fn output_is_what_was_written_to_both_streams() {
    block_on(async {
        let output = sh("echo out; echo err >&2; exit 1").output(100).await.unwrap();
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(1));
        // Its standard input is empty: it does not wait for ours.
        assert_eq!(text_of(Command::new("cat")).await, "");
        let output = sh("echo out; echo err >&2").stderr(Stdio::null()).output(100).await.unwrap();
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b""[..]));
    })
    .unwrap();
}

#[test]
fn what_writes_much_to_both_streams_is_read_from_both() {
    block_on(async {
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2";
        let output = sh(script).output(600_000).await.unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 600_000));
    })
    .unwrap();
}

#[test]
fn the_limit_of_output_is_exact_and_kills_what_goes_beyond() {
    block_on(async {
        assert_eq!(sh("printf 12345").output(5).await.unwrap().stdout, b"12345");
        let error = sh("printf 12345").output(4).await.unwrap_err();
        assert!(error.is_too_much(), "{error}");
        let child = Command::new("yes").stdout(Stdio::piped()).spawn().await.unwrap();
        let pid = child.id();
        let error = child.wait_with_output(100_000).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot run yes: it wrote more than 100000 bytes");
        is_reaped(pid).await;
        let mut child = Command::new("yes").stdout(Stdio::piped()).kill_on_drop(true).spawn().await.unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        assert_eq!(stdout.read_to_end(1000).await.unwrap_err().kind(), ErrorKind::FileTooLarge);
    })
    .unwrap();
}

#[test]
fn a_megabyte_goes_through_cat_and_whoever_writes_waits_for_whoever_reads() {
    block_on(async {
        let sent: Vec<u8> = (0..1_048_576_u32).map(|at| (at % 251) as u8).collect();
        let expected = sent.clone();
        let mut child = cat().spawn().await.unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut writing = Box::pin(spawn(async move { stdin.write_all(&sent).await.map(|()| stdin) }));
        // The pipes and cat hold a part of it; the rest waits, however long nobody reads.
        for _ in 0..50 {
            assert!(poll_once(writing.as_mut()).is_pending());
            sleep(MILLISECOND).await;
        }
        let mut read = vec![0; expected.len()];
        let mut at = 0;
        while at < read.len() {
            at += stdout.read(&mut read[at..]).await.unwrap();
        }
        assert!(read == expected);
        drop(writing.await.unwrap().unwrap());
        assert_eq!(stdout.read(&mut [0; 10]).await.unwrap(), 0, "the end of its input ends cat");
        assert!(child.wait().await.unwrap().success());
    })
    .unwrap();
}

#[test]
fn streams_are_those_of_futures_io() {
    block_on(async {
        let mut child = cat().spawn().await.unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let written = poll_fn(|cx| AsyncWrite::poll_write(Pin::new(&mut stdin), cx, b"line")).await;
        assert_eq!(written.unwrap(), 4);
        poll_fn(|cx| Pin::new(&mut stdin).poll_flush(cx)).await.unwrap();
        poll_fn(|cx| Pin::new(&mut stdin).poll_close(cx)).await.unwrap();
        let error = stdin.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "it is closed");
        let mut buf = [0; 10];
        let read = poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut stdout), cx, &mut buf)).await;
        assert_eq!(&buf[..read.unwrap()], b"line");
        ends(stdout).await;
        assert!(child.wait().await.unwrap().success());
    })
    .unwrap();
}

#[test]
fn who_writes_to_a_child_that_reads_no_more_is_told() {
    block_on(async {
        let mut child =
            sh("exec <&-; exec sleep 1000").stdin(Stdio::piped()).kill_on_drop(true).spawn().await.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let written = timeout(SAFETY_NET, stdin.write_all(&[0; 1 << 20])).await.unwrap();
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
    })
    .unwrap();
}

#[test]
fn waiting_closes_standard_input() {
    block_on(async {
        let mut child = cat().spawn().await.unwrap();
        assert!(child.try_wait().unwrap().is_none());
        assert!(timeout(SAFETY_NET, child.wait()).await.expect("cat ends").unwrap().success());
        // Also where its output comes first.
        let output = cat().spawn().await.unwrap().wait_with_output(10);
        assert!(timeout(SAFETY_NET, output).await.expect("cat ends").unwrap().status.success());
        let output = cat().output(10);
        assert!(timeout(SAFETY_NET, output).await.expect("cat ends").unwrap().status.success());
    })
    .unwrap();
}

#[test]
fn environment_and_directory_are_what_was_said() {
    block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().canonicalize().unwrap();
        let command = sh("echo \"$ONE $TWO ${HOME-none}\"; pwd").env("ONE", "1").env("TWO", "2");
        let text = text_of(command.env_remove("HOME").current_dir(&folder)).await;
        assert_eq!(text, format!("1 2 none\n{}\n", folder.display()));
        let text = text_of(Command::new("/usr/bin/env").env("GONE", "1").env_clear().env("ALL", "x")).await;
        assert_eq!(text, "ALL=x\n");
    })
    .unwrap();
}

#[test]
fn an_error_names_the_program_and_its_directory() {
    block_on(async {
        let error = Command::new("no-such-program").spawn().await.unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.program(), "no-such-program");
        assert_eq!(error.to_string(), "cannot run no-such-program: No such file or directory (os error 2)");
        let error = Command::new("true").current_dir("/no/such").status().await.unwrap_err();
        assert!(
            error.is_not_found() && error.to_string().starts_with("cannot run true in /no/such: "),
            "{error}"
        );
        let error = Command::new("/dev/null").output(10).await.unwrap_err();
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::PermissionDenied);
    })
    .unwrap();
}

#[test]
fn a_child_can_be_killed_and_sent_signals() {
    block_on(async {
        let mut child = sleeper().spawn().await.unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(Signal::KILL.as_raw()));

        let mut child = sh("trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .await
            .unwrap();
        let mut ready = [0; 6];
        assert_eq!(child.stdout.as_mut().unwrap().read(&mut ready).await.unwrap(), 6);
        child.signal(Signal::USR1.as_raw()).unwrap();
        assert_eq!(child.signal(4711).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(timeout(SAFETY_NET, child.wait()).await.unwrap().unwrap().code(), Some(9));
    })
    .unwrap();
}

#[test]
fn a_time_limit_leaves_the_child_to_whoever_has_it() {
    block_on(async {
        let mut child = sleeper().spawn().await.unwrap();
        assert!(timeout(MILLISECOND, child.wait()).await.is_err());
        child.kill().unwrap();
        assert!(child.wait().await.unwrap().signal().is_some());
    })
    .unwrap();
}

#[test]
fn a_child_is_killed_with_what_has_it_if_that_was_asked_for() {
    block_on(async {
        let mut child = sleeper().kill_on_drop(true).spawn().await.unwrap();
        let (pid, stdout) = (child.id(), child.stdout.take().unwrap());
        drop(child);
        ends(stdout).await;
        is_reaped(pid).await;

        // A future that has it counts as well.
        let child = sleeper().kill_on_drop(true).spawn().await.unwrap();
        let pid = child.id();
        assert!(timeout(MILLISECOND, child.wait_with_output(10)).await.is_err());
        is_reaped(pid).await;
    })
    .unwrap();
}

#[test]
fn a_dropped_child_runs_on_and_is_reaped_when_it_ends() {
    block_on(async {
        let mut children = Vec::new();
        for _ in 0..30 {
            let mut child = cat().spawn().await.unwrap();
            let pipes = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            children.push((child.id(), pipes));
        }
        let mut pids = Vec::new();
        for (at, (pid, (mut stdin, mut stdout))) in children.into_iter().enumerate() {
            stdin.write_all(b"still there").await.unwrap();
            let mut text = [0; 11];
            assert_eq!(stdout.read(&mut text).await.unwrap(), 11);
            assert_eq!(&text, b"still there");
            // Some end one by one, so that each is found, and the others at once.
            if at < 3 {
                drop((stdin, stdout));
                is_reaped(pid).await;
            } else {
                pids.push((pid, stdin));
            }
        }
        let pids: Vec<u32> = pids.into_iter().map(|(pid, _)| pid).collect();
        for pid in pids {
            is_reaped(pid).await;
        }
    })
    .unwrap();
}

#[test]
fn a_child_outlives_its_shard_and_is_reaped_all_the_same() {
    let (pid, stdin) = block_on(async {
        let mut child = cat().spawn().await.unwrap();
        // The pipe as a descriptor, since it ends with the shard otherwise.
        let stdin = child.stdin.take().unwrap().into_stdio().unwrap();
        (child.id(), stdin)
    })
    .unwrap();
    block_on(async move {
        assert!(is_there(pid));
        // Another child has it for its standard output, and closes it.
        Command::new("true").stdout(stdin).status().await.unwrap();
        is_reaped(pid).await;
    })
    .unwrap();
}

#[test]
fn a_future_that_is_dropped_before_it_has_its_child_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", path.display());
    with_a_small_pool(move || {
        let (path, script) = (path.clone(), script.clone());
        async move {
            // Queued only: it never begins.
            let hold = Hold::worker(&pool()).await;
            let mut queued = Box::pin(sh(&script).spawn());
            assert!(poll_once(queued.as_mut()).is_pending());
            drop(queued);
            hold.end().await;
            assert!(Command::new("true").status().await.unwrap().success());
            assert!(!path.exists());

            // Started by the worker, and not seen yet by the shard.
            let hold = Hold::worker(&pool()).await;
            let mut starting = Box::pin(sh(&script).kill_on_drop(true).spawn());
            assert!(poll_once(starting.as_mut()).is_pending());
            hold.end().await;
            let begin = Instant::now();
            while !path.exists() {
                assert!(begin.elapsed() < SAFETY_NET, "it is started");
                sleep(MILLISECOND).await;
            }
            drop(starting);
            is_reaped(fs::read_to_string(&path).unwrap().trim().parse().unwrap()).await;
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_detached_child_leads_its_session() {
    block_on(async {
        let session_of = |stat: String| {
            let fields: Vec<u32> = stat.split(' ').filter_map(|field| field.parse().ok()).collect();
            // Without the name and the state: the process, its parent, its group, its session.
            (fields[0], fields[3])
        };
        let script = "read -r stat < /proc/self/stat; echo \"$stat\"";
        let (pid, session) = session_of(text_of(sh(script).detach()).await);
        assert_eq!(pid, session);
        let (pid, session) = session_of(text_of(sh(script)).await);
        assert_ne!(pid, session);
    })
    .unwrap();
}

#[test]
fn who_waits_for_the_status_alone_does_not_hold_up_what_is_written() {
    block_on(async {
        let written = sh("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2");
        let status = written.stdout(Stdio::piped()).stderr(Stdio::piped()).status();
        timeout(SAFETY_NET, status).await.expect("it ends").unwrap();
    })
    .unwrap();
}

#[test]
fn root_can_run_a_program_as_somebody_else() {
    if !geteuid().is_root() {
        return;
    }
    block_on(async {
        let script = "echo $(id -u) $(id -g) $(id -G)";
        assert_eq!(text_of(sh(script).uid(65533).gid(65532)).await, "65533 65532 65532\n");
    })
    .unwrap();
}

#[test]
fn streams_can_be_files_and_pipes_of_other_children() {
    block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let file = fs::File::create(&path).unwrap();
        assert!(sh("echo logged").stdout(file).status().await.unwrap().success());
        assert_eq!(fs::read_to_string(&path).unwrap(), "logged\n");

        let input = fs::File::open(&path).unwrap();
        let mut first = Command::new("cat").stdin(input).stdout(Stdio::piped()).spawn().await.unwrap();
        let between = first.stdout.take().unwrap().into_stdio().unwrap();
        assert_eq!(text_of(Command::new("tr").args(["a-z", "A-Z"]).stdin(between)).await, "LOGGED\n");
        assert!(first.wait().await.unwrap().success());
    })
    .unwrap();
}

/// This binary again, in a process of its own.
#[test]
fn who_has_children_reaped_by_the_kernel_is_told_and_waits_for_nobody() {
    block_on(async {
        let ignoring = || Command::new("env").arg("--ignore-signal=CHLD");
        if !ignoring().arg("true").stderr(Stdio::null()).status().await.is_ok_and(|status| status.success()) {
            // An env that cannot do it, as that of busybox.
            return;
        }
        let this = ignoring().arg(env::current_exe().unwrap());
        let this = this.args(["--exact", "ignores_sigchld", "--ignored", "--nocapture"]);
        let output = this.output(100_000).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("told"), "{output:?}");
    })
    .unwrap();
}

#[test]
#[ignore = "started by another test, in a process that ignores SIGCHLD"]
fn ignores_sigchld() {
    let error = block_on(async {
        let mut child = cat().spawn().await?;
        timeout(SAFETY_NET, child.wait()).await.expect("it ends")
    });
    assert_eq!(error.unwrap().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    println!("told");
}

/// The variable that says for how long the child of [`ends_while_a_child_starts`] sleeps: nobody else sleeps so long.
#[cfg(target_os = "linux")]
const ORPHAN: &str = "LAKH_TEST_ORPHAN";

#[cfg(target_os = "linux")]
#[test]
fn a_child_that_is_being_started_when_all_ends_is_killed() {
    if !fs::exists("/proc/thread-self/children").unwrap() {
        return; // the kernel does not tell of children
    }
    let orphan = format!("600.{}", std::process::id());
    block_on(async move {
        for _ in 0..20 {
            let this = Command::new(env::current_exe().unwrap()).env(ORPHAN, &orphan);
            let this = this.args(["--exact", "ends_while_a_child_starts", "--ignored", "--nocapture"]);
            assert!(this.stdout(Stdio::null()).status().await.unwrap().success());
        }
        let living = || {
            let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            let words = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
            words.filter(|words| words.split(|&byte| byte == 0).any(|word| word == orphan.as_bytes())).count()
        };
        let begin = Instant::now();
        while living() > 0 {
            assert!(begin.elapsed() < SAFETY_NET, "{} children live on", living());
            sleep(MILLISECOND).await;
        }
    })
    .unwrap();
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "started by another test, in a process that ends"]
fn ends_while_a_child_starts() {
    let Some(orphan) = env::var_os(ORPHAN) else { return };
    block_on(async {
        let child = Command::new("sleep").arg(orphan).kill_on_drop(true);
        let mut start = pin!(child.stdout(Stdio::null()).stderr(Stdio::null()).status());
        assert!(poll_once(start.as_mut()).is_pending());
        // There is a child, of which the worker may not know yet.
        let has_child =
            |thread: fs::DirEntry| fs::read(thread.path().join("children")).is_ok_and(|all| !all.is_empty());
        let begin = Instant::now();
        while !fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok).any(has_child) {
            assert!(begin.elapsed() < SAFETY_NET, "no child");
        }
    })
    .unwrap();
    std::process::exit(0);
}

#[test]
fn a_full_pool_refuses_to_start_one() {
    with_a_small_pool(async || {
        let hold = Hold::all(&pool()).await;
        let error = Command::new("true").status().await.unwrap_err();
        assert!(error.is_full(), "{error}");
        hold.end().await;
        let status: Result<_, ProcessError> = Command::new("true").status().await;
        assert!(status.unwrap().success());
    });
}

#[test]
fn another_task_may_wait_than_the_one_that_has_waited_first() {
    block_on(async {
        let mut child = cat().spawn().await.unwrap();
        let stdin = child.stdin.take();
        {
            let mut first = pin!(child.wait());
            assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
        }
        let second = spawn(async move { child.wait().await.unwrap() });
        yield_now().await;
        drop(stdin);
        assert!(timeout(SAFETY_NET, second).await.expect("it is woken").unwrap().success());
    })
    .unwrap();
}

/// Compiles only if it is not [`Send`]: otherwise there are two answers.
fn stays_on_its_shard<T: Ambiguous<A>, A>(_: &T) {}
trait Ambiguous<A> {}
impl<T> Ambiguous<()> for T {}
impl<T: Send> Ambiguous<u8> for T {}

/// On a shard with a descriptor table of its own, the child's descriptors would be others.
#[test]
fn a_child_is_of_the_shard_that_starts_it_from_the_beginning() {
    stays_on_its_shard(&Command::new("true").spawn());
    stays_on_its_shard(&Command::new("true").status());
    stays_on_its_shard(&Command::new("true").output(10));
}

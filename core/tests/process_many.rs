//! Many children leave nothing: no process, no descriptor, no thread. Alone in its process, which it counts.
#![cfg(target_os = "linux")]

use lakh_core::{
    block_on,
    process::{Command, PipeWriter, Stdio},
    sleep, spawn,
};
use rustix::{
    io::Errno,
    process::{Pid, WaitId, WaitIdOptions, test_kill_process, waitid},
};
use std::{
    env, fs,
    time::{Duration, Instant},
};

/// Sets how many run one after another.
const COUNT: &str = "LAKH_TEST_CHILDREN";
const AT_ONCE: usize = 200;
const SAFETY_NET: Duration = Duration::from_secs(60);

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// No child, alive or zombie.
fn has_no_child() -> bool {
    let any = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    matches!(any, Err(Errno::CHILD))
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < SAFETY_NET, "{what}");
        sleep(Duration::from_millis(1)).await;
    }
}

fn echo(text: usize) -> Command {
    Command::new("/bin/echo").arg(text.to_string())
}

#[test]
fn many_children_one_after_another_and_at_once_leave_nothing() {
    let count = env::var(COUNT).map_or(500, |count| count.parse().unwrap());
    block_on(async move {
        // What the process keeps from the first on: workers of the pool.
        run_at_once().await;
        let descriptors = entries("/proc/self/fd");

        for number in 0..count {
            let output = echo(number).output(100).await.unwrap();
            assert!(output.status.success());
            assert_eq!(output.stdout, format!("{number}\n").as_bytes());
        }
        assert!(has_no_child(), "each was reaped before the next");
        assert_eq!(entries("/proc/self/fd"), descriptors);

        run_at_once().await;
        assert!(has_no_child());
        assert_eq!(entries("/proc/self/fd"), descriptors);

        for number in 0..count {
            drop(echo(number).stdout(Stdio::null()).spawn().await.unwrap());
        }
        eventually("those that were dropped are reaped", has_no_child).await;
        eventually("who reaps them leaves nothing", || entries("/proc/self/fd") == descriptors).await;
        eventually("and ends", || !has_thread("lakh-reaper")).await;

        // Who runs on does not hold up those that come later.
        let (_, runs_on) = dropped().await;
        for _ in 0..3 {
            let (pid, stdin) = dropped().await;
            drop(stdin);
            eventually("each is reaped when it ends", || test_kill_process(pid).is_err()).await;
        }
        drop(runs_on);
        eventually("all are reaped", has_no_child).await;
    })
    .unwrap();
}

/// A child that nobody waits for any more, and its input, whose end ends it.
async fn dropped() -> (Pid, PipeWriter) {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().await.unwrap();
    (Pid::from_raw(child.id().try_into().unwrap()).unwrap(), child.stdin.take().unwrap())
}

async fn run_at_once() {
    let start = |_| async {
        let command = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().await.unwrap()
    };
    let mut children = Vec::new();
    for starting in (0..AT_ONCE).map(|number| spawn(start(number))).collect::<Vec<_>>() {
        children.push(starting.await.unwrap());
    }
    // All of them run by now, and each answers.
    for (number, child) in children.iter_mut().enumerate() {
        let text = number.to_string();
        child.stdin.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
        let mut buf = [0; 10];
        let read = child.stdout.as_mut().unwrap().read(&mut buf).await.unwrap();
        assert_eq!(&buf[..read], text.as_bytes());
    }
    for mut child in children {
        assert!(child.wait().await.unwrap().success());
    }
}

fn has_thread(name: &str) -> bool {
    fs::read_dir("/proc/self/task").unwrap().any(|thread| {
        // One that has ended meanwhile has no name.
        let comm = fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default();
        comm.trim() == name
    })
}

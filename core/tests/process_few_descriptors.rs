//! Children that cannot be started, or not be watched, for want of descriptors leave nothing. Alone in its process, whose
//! limit it lowers.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]

use lakh_core::{
    block_on,
    process::{Command, Stdio},
    sleep,
};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, WaitId, WaitIdOptions, getrlimit, setrlimit, waitid},
};
use std::{
    fs, io,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

const SAFETY_NET: Duration = Duration::from_secs(60);

/// The numbers of those that are open.
fn open() -> Vec<u64> {
    let numbers = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
    let mut numbers: Vec<u64> = numbers.filter_map(|name| name.to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// No child, alive or zombie.
fn has_no_child() -> bool {
    let any = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    matches!(any, Err(Errno::CHILD))
}

/// One that takes descriptors for pipes, and one that takes none but that which tells of its end. Both run until they
/// are dropped.
fn commands() -> [Command; 2] {
    let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    [cat, Command::new("sleep").arg("1000").kill_on_drop(true)]
}

#[test]
fn children_without_descriptors_leave_nothing() {
    block_on(async {
        // What the process keeps from the first on: workers of the pool.
        assert!(Command::new("true").output(10).await.unwrap().status.success());
        let before = open();
        let free = fs::File::open("/dev/null").unwrap().as_raw_fd() as u64;
        let limit = getrlimit(Resource::Nofile);
        let [mut failed, mut started] = [[0, 0]; 2];
        for more in 0..12 {
            for (at, command) in commands().into_iter().enumerate() {
                setrlimit(Resource::Nofile, Rlimit { current: Some(free + more), maximum: limit.maximum })
                    .unwrap();
                let child = command.spawn().await;
                match &child {
                    Ok(_) => started[at] += 1,
                    Err(error) => {
                        let code = error.io_error().and_then(io::Error::raw_os_error);
                        assert_eq!(code, Some(Errno::MFILE.raw_os_error()), "{error}");
                        failed[at] += 1;
                    }
                }
                drop(child);
                setrlimit(Resource::Nofile, limit).unwrap();
                // Where there was no descriptor for who reaps it, that begins with the next.
                assert!(Command::new("true").status().await.unwrap().success());
                let begin = Instant::now();
                while !has_no_child() || open() != before {
                    let late = begin.elapsed() >= SAFETY_NET;
                    assert!(!late, "with {more} descriptors: a child, or one of {:?}", open());
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
        assert!(failed.iter().chain(&started).all(|&count| count > 0), "{failed:?} {started:?}");
    })
    .unwrap();
}

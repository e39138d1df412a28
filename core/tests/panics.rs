//! Reports of panics, by a program whose standard error nobody reads.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(20);
/// Says to a child what it is to do.
const ROLE: &str = "LAKH_TEST_PANICS";
/// Their reports are more than a pipe and the buffer hold.
const PANICS: usize = 4000;

/// Runs one test of this file in a process of its own, whose standard error is a pipe.
fn child(test: &str, backtrace: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, "child")
        .env("RUST_BACKTRACE", backtrace)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn is_child() -> bool {
    env::var_os(ROLE).is_some()
}

fn panic_on_a_shard(times: usize) {
    lakh_core::stderr::report_panics();
    lakh_core::block_on(async move {
        for n in 0..times {
            let panicked = lakh_core::spawn(async move { panic!("on purpose, {n}") }).await;
            assert!(panicked.is_err());
        }
    })
    .unwrap();
}

#[test]
fn a_shard_that_panics_does_not_wait_for_who_reads_standard_error() {
    if is_child() {
        panic_on_a_shard(PANICS);
        println!("all have panicked");
        // The rest of the report has no reader.
        std::process::exit(0);
    }
    let mut child = child("a_shard_that_panics_does_not_wait_for_who_reads_standard_error", "0");
    let stdout = child.stdout.take().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let all = BufReader::new(stdout).lines().map_while(Result::ok);
        // The test may be over.
        let _ = tell.send(all.into_iter().any(|line| line.ends_with("all have panicked")));
    });
    let outcome = told.recv_timeout(SAFETY_NET);
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(outcome, Ok(true), "the shard has stopped");
}

/// What a child says whose shard panics once, and whose other thread panics once.
fn reported(test: &str, backtrace: &str) -> String {
    let mut child = child(test, backtrace);
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    text
}

#[test]
fn a_report_reads_as_that_of_std_and_other_threads_keep_their_hook() {
    if is_child() {
        std::panic::set_hook(Box::new(|info| eprintln!("own hook: {}", info.payload_as_str().unwrap())));
        panic_on_a_shard(1);
        assert!(thread::spawn(|| panic!("elsewhere")).join().is_err());
        assert!(lakh_core::stderr::flush(SAFETY_NET));
        return;
    }
    let test = "a_report_reads_as_that_of_std_and_other_threads_keep_their_hook";
    let short = reported(test, "0");
    let place = format!("panicked at {}:", file!());
    assert!(short.contains("\nthread '") && short.contains(&place), "{short}");
    assert!(short.contains(":\non purpose, 0\nnote: run with `RUST_BACKTRACE=1`"), "{short}");
    assert!(short.contains("own hook: elsewhere\n") && !short.contains("own hook: on purpose"), "{short}");
    let long = reported(test, "1");
    assert!(long.contains("\non purpose, 0\nstack backtrace:\n"), "{long}");
}

//! The process group of a detached child, which is reached as a whole.
#![cfg(unix)]

mod common;

use common::{SAFETY_NET, sh};
use lakh_core::{
    block_on,
    process::{Child, Command, PipeReader, Stdio},
    timeout,
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use std::{io::ErrorKind, os::unix::process::ExitStatusExt};

/// Everybody who had the other end has closed it.
async fn ends(mut reader: PipeReader) {
    let read = timeout(SAFETY_NET, reader.read(&mut [0; 10])).await.expect("its end closes the pipe");
    assert_eq!(read.unwrap(), 0);
}

/// A child that leads a group, with another one in it that has the same output, and the output.
async fn group(and_then: &str) -> (Child, PipeReader) {
    let script = format!("sleep 1000 & echo ready; {and_then}");
    let command = sh(&script).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    // As often as you like.
    let mut child = command.detach().detach().spawn().await.unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    assert_eq!(stdout.read(&mut ready).await.unwrap(), 6);
    (child, stdout)
}

#[test]
fn a_detached_child_is_killed_with_what_it_has_started() {
    block_on(async {
        let (mut child, stdout) = group("wait").await;
        child.kill_group().unwrap();
        ends(stdout).await;
        assert_eq!(child.wait().await.unwrap().signal(), Some(Signal::KILL.as_raw()));
        assert_eq!(child.kill_group().unwrap_err().kind(), ErrorKind::NotFound, "it was waited for");

        let (mut child, stdout) = group("wait").await;
        assert_eq!(child.signal_group(4711).unwrap_err().kind(), ErrorKind::InvalidInput);
        child.signal_group(Signal::TERM.as_raw()).unwrap();
        ends(stdout).await;
        assert_eq!(child.wait().await.unwrap().signal(), Some(Signal::TERM.as_raw()));

        // By dropping it, whether it runs or has ended.
        for and_then in ["wait", "exit 0"] {
            let (child, stdout) = group(and_then).await;
            if and_then == "exit 0" {
                let pid = WaitId::Pid(Pid::from_raw(child.id().try_into().unwrap()).unwrap());
                waitid(pid, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
            }
            drop(child);
            ends(stdout).await;
        }

        // By the limit of its output.
        let script = "sleep 1000 & exec yes";
        let mut child =
            sh(script).stdout(Stdio::piped()).stderr(Stdio::piped()).detach().spawn().await.unwrap();
        let stderr = child.stderr.take().unwrap();
        assert!(child.wait_with_output(1000).await.unwrap_err().is_too_much());
        ends(stderr).await;

        // Who is in our group has none of its own.
        let mut child = Command::new("sleep").arg("1000").spawn().await.unwrap();
        assert_eq!(child.kill_group().unwrap_err().kind(), ErrorKind::InvalidInput);
        child.kill().unwrap();
        child.wait().await.unwrap();
    })
    .unwrap();
}

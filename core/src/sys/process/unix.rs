//! Sessions, signals, and waiting without reaping.
#![allow(unsafe_code)]

use rustix::process::{Pid, WaitId, WaitIdOptions, setsid, waitid};
use std::{
    ffi::c_int,
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
};

/// Has the child lead a session of its own: setsid(2).
pub(crate) fn new_session(command: &mut Command) {
    // SAFETY: it runs between fork and exec, where only what is safe in signal handlers may be called: setsid(2)
    // is, and neither it nor the conversion of its error allocates or locks.
    unsafe { command.pre_exec(|| Ok(setsid().map(|_| ())?)) };
}

/// Sends any signal to a child that is not reaped, so that its number is no other process's: kill(2).
pub(crate) fn send_signal(child: &Child, number: c_int) -> io::Result<()> {
    kill(Pid::from_child(child).as_raw_nonzero().get(), number)
}

/// The same to its process group, which it leads.
pub(crate) fn send_signal_to_group(child: &Child, number: c_int) -> io::Result<()> {
    kill(-Pid::from_child(child).as_raw_nonzero().get(), number)
}

fn kill(pid: c_int, number: c_int) -> io::Result<()> {
    // SAFETY: it takes two numbers.
    match unsafe { libc::kill(pid, number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Blocks until the child has ended, and leaves it to be reaped.
pub(crate) fn wait_until_ended(child: Pid) -> io::Result<()> {
    loop {
        match waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result.map(|_| ())?),
        }
    }
}

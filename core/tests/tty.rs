//! Terminals: read and written on a shard, changed and as before again, and what the window's size is.
#![cfg(unix)]

mod common;

use common::{SAFETY_NET, on_a_shard};
use lakh_core::{
    block_on, timeout,
    tty::{Mode, Size, Terminal},
};
use rustix::{
    fs::{Mode as Rights, OFlags, fcntl_getfl, open},
    io::{read, write},
    process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, SpecialCodeIndex, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    env,
    io::{BufRead, BufReader, ErrorKind},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The settings of one terminal of a process can be changed.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pseudo-terminal: the person's side, the program's, and its path.
struct Pty {
    person: OwnedFd,
    program: OwnedFd,
    path: String,
}

impl Pty {
    fn new() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let path = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        let program = open(&*path, OFlags::RDWR | OFlags::NOCTTY, Rights::empty()).unwrap();
        Pty { person, program, path }
    }

    fn types(&self, text: &str) {
        assert_eq!(write(&self.person, text.as_bytes()).unwrap(), text.len());
    }

    /// What the person sees next.
    fn sees(&self) -> String {
        let mut seen = [0; 4096];
        let length = read(&self.person, &mut seen).unwrap();
        String::from_utf8(seen[..length].to_vec()).unwrap()
    }

    fn is_raw(&self) -> bool {
        !local_modes(&self.program).intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn is_as_before(&self) -> bool {
        local_modes(&self.program).contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

fn local_modes(terminal: impl AsFd) -> LocalModes {
    tcgetattr(terminal).unwrap().local_modes
}

#[test]
fn a_terminal_is_read_by_lines_and_written_and_its_other_descriptors_stay_blocking() {
    on_a_shard(async {
        let pty = Pty::new();
        let terminal = Terminal::reopen(&pty.program)?;
        assert!(fcntl_getfl(&terminal)?.contains(OFlags::NONBLOCK));
        assert!(!fcntl_getfl(&pty.program)?.contains(OFlags::NONBLOCK));
        terminal.write_all(b"name? ").await?;
        assert_eq!(pty.sees(), "name? ");
        let mut line = [0; 64];
        pty.types("ad");
        assert!(timeout(Duration::ZERO, terminal.read(&mut line)).await.is_err(), "half a line is none");
        pty.types("a\n");
        let length = terminal.read(&mut line).await?;
        assert_eq!(&line[..length], b"ada\n");
        Ok(())
    });
}

#[test]
fn what_is_no_terminal_is_refused() {
    on_a_shard(async {
        let file = std::fs::File::open("Cargo.toml")?;
        assert_eq!(Terminal::reopen(&file).unwrap_err().raw_os_error(), Some(libc_enotty()));
        assert_eq!(Mode::raw(&file).unwrap_err().raw_os_error(), Some(libc_enotty()));
        Ok(())
    });
}

fn libc_enotty() -> i32 {
    rustix::io::Errno::NOTTY.raw_os_error()
}

#[test]
fn raw_mode_gives_each_byte_and_ends_with_its_guard() {
    let _alone = alone();
    on_a_shard(async {
        let pty = Pty::new();
        let terminal = Terminal::reopen(&pty.program)?;
        let raw = terminal.raw()?;
        assert!(pty.is_raw());
        let mut byte = [0; 8];
        for typed in ["x", "\x03", "\r"] {
            pty.types(typed);
            let length = terminal.read(&mut byte).await?;
            assert_eq!(&byte[..length], typed.as_bytes());
        }
        terminal.write_all(b"no echo").await?;
        assert_eq!(pty.sees(), "no echo");
        assert_eq!(terminal.raw().unwrap_err().kind(), ErrorKind::ResourceBusy);
        assert!(pty.is_raw(), "who was refused changes nothing");
        drop(raw);
        assert!(pty.is_as_before());
        drop(terminal.raw()?);
        Ok(())
    });
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was() {
    let _alone = alone();
    on_a_shard(async {
        let pty = Pty::new();
        let terminal = Terminal::reopen(&pty.program)?;
        let task = lakh_core::spawn(async move {
            let _raw = terminal.raw().unwrap();
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        assert!(pty.is_as_before());
        Ok(())
    });
}

#[test]
fn passwords_are_lines_of_which_only_the_end_is_seen() {
    let _alone = alone();
    on_a_shard(async {
        let pty = Pty::new();
        let terminal = Terminal::reopen(&pty.program)?;
        let silent = Mode::silent(&terminal)?;
        pty.types("secret\n");
        let mut line = [0; 64];
        let length = terminal.read(&mut line).await?;
        assert_eq!((&line[..length], &*pty.sees()), (&b"secret\n"[..], "\r\n"));
        assert_eq!(silent.resumed(), 0);
        drop(silent);
        assert!(pty.is_as_before());
        Ok(())
    });
}

#[test]
fn keys_come_one_by_one_unseen_and_what_is_written_is_translated() {
    let _alone = alone();
    on_a_shard(async {
        let pty = Pty::new();
        let terminal = Terminal::reopen(&pty.program)?;
        let before = tcgetattr(&pty.program)?;
        let keys = Mode::keys(&terminal)?;
        let mut typed = [0; 64];
        for key in ["x", "\x03", "\r"] {
            pty.types(key);
            let length =
                timeout(SAFETY_NET, terminal.read(&mut typed)).await.expect("it is not kept for a line")?;
            // Enter is the end of a line, as before.
            assert_eq!(&typed[..length], key.replace('\r', "\n").as_bytes(), "{key:?}");
        }
        terminal.write_all(b"one\ntwo").await?;
        assert_eq!(pty.sees(), "one\r\ntwo", "nothing of what was typed is shown");
        let now = tcgetattr(&pty.program)?;
        assert!(now.local_modes.contains(LocalModes::ISIG), "Ctrl-Z still stops the process");
        let code = |at| (before.special_codes[at], now.special_codes[at]);
        let (suspend, interrupt) = (code(SpecialCodeIndex::VSUSP), code(SpecialCodeIndex::VINTR));
        assert!(suspend.0 == suspend.1 && interrupt.0 == 3 && interrupt.1 != 3, "{suspend:?} {interrupt:?}");
        drop(keys);
        assert!(pty.is_as_before());
        assert_eq!(tcgetattr(&pty.program)?.special_codes[SpecialCodeIndex::VINTR], 3);
        Ok(())
    });
}

fn resize(pty: &Pty, columns: u16, rows: u16) {
    tcsetwinsize(&pty.person, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    // It is not this process's own terminal, so the kernel tells nobody.
    kill_process(getpid(), Signal::WINCH).unwrap();
}

#[test]
fn the_windows_size_is_told_when_it_is_another() {
    on_a_shard(async {
        let pty = Pty::new();
        let terminal = Terminal::reopen(&pty.program)?;
        let mut sizes = terminal.sizes()?;
        resize(&pty, 80, 24);
        assert_eq!(sizes.changed().await?, Size { columns: 80, rows: 24 });
        assert_eq!(terminal.size()?, Size { columns: 80, rows: 24 });
        resize(&pty, 80, 24);
        assert!(timeout(Duration::from_millis(20), sizes.changed()).await.is_err(), "the same as before");
        resize(&pty, 132, 50);
        assert_eq!(sizes.changed().await?, Size { columns: 132, rows: 50 });
        Ok(())
    });
}

/// This test's program once more, to be ended by signals.
struct Program {
    child: Child,
    says: BufReader<std::process::ChildStdout>,
}

impl Program {
    /// With raw mode on, in a process group of its own, so that it can be stopped.
    fn start(pty: &Pty, then: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_program_with_raw_mode", "--ignored", "--nocapture", "--test-threads=1"])
            .env("LAKH_TEST_TTY", &pty.path)
            .env("LAKH_TEST_THEN", then)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let mut program = Program { child, says };
        program.says("raw");
        program
    }

    fn says(&mut self, what: &str) {
        let mut line = String::new();
        // The harness prints the test's name in front of it.
        while !line.trim_end().ends_with(what) {
            line.clear();
            assert_ne!(self.says.read_line(&mut line).unwrap(), 0, "it ends without saying {what}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Until it has ended or is stopped.
    fn status(&self) -> WaitStatus {
        waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap().unwrap().1
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

#[test]
#[ignore = "a program that the other tests start"]
fn a_program_with_raw_mode() {
    let Ok(path) = env::var("LAKH_TEST_TTY") else { return };
    let then = env::var("LAKH_TEST_THEN").unwrap();
    block_on(async move {
        let slave = open(&*path, OFlags::RDWR | OFlags::NOCTTY, Rights::empty()).unwrap();
        let terminal = Terminal::reopen(&slave).unwrap();
        let handled = (then == "handle").then(|| lakh_core::signal::Signal::hangup().unwrap());
        let raw = terminal.raw().unwrap();
        println!("raw");
        match (&*then, handled) {
            ("exit", _) => std::process::exit(0),
            ("leave", _) => {
                rustix::process::setpgid(None, None).unwrap();
                println!("left {}", getpid().as_raw_nonzero());
            }
            (_, Some(mut hangup)) => {
                hangup.recv().await;
                println!("told");
                lakh_core::sleep(SAFETY_NET).await;
            }
            _ => {}
        }
        let stopped = async {
            while raw.resumed() == 0 {
                lakh_core::sleep(Duration::from_millis(1)).await;
            }
            println!("resumed");
            lakh_core::sleep(SAFETY_NET).await;
        };
        let _ = timeout(SAFETY_NET, stopped).await;
    })
    .unwrap();
}

/// Whether this process ignores a signal, and whatever it starts with it: `SigIgn` in proc_pid_status(5).
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    u64::from_str_radix(ignored.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
}

#[test]
fn signals_that_end_the_process_find_the_terminal_as_it_was() {
    // What the tests were started to ignore, as by nohup(1), the program ignores, too.
    let heard =
        [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].into_iter().filter(|one| !is_ignored(*one));
    for signal in heard {
        let pty = Pty::new();
        let program = Program::start(&pty, "wait");
        assert!(pty.is_raw());
        program.signal(signal);
        assert_eq!(program.status().terminating_signal(), Some(signal.as_raw()), "as by default");
        assert!(pty.is_as_before());
    }
}

#[test]
fn a_process_that_is_stopped_leaves_the_terminal_as_it_was_and_changes_it_again_when_it_goes_on() {
    let pty = Pty::new();
    let mut program = Program::start(&pty, "wait");
    program.signal(Signal::TSTP);
    assert!(program.status().stopped());
    assert!(pty.is_as_before());
    program.signal(Signal::CONT);
    program.says("resumed");
    assert!(pty.is_raw());
    program.signal(Signal::TERM);
    assert_eq!(program.status().terminating_signal(), Some(Signal::TERM.as_raw()));
    assert!(pty.is_as_before());
}

/// Starts that program as a shell does, in the session that the terminal is of.
#[test]
#[ignore = "a program that a test starts"]
fn a_leader_of_a_session() {
    let Ok(path) = env::var("LAKH_TEST_TTY") else { return };
    rustix::process::setsid().unwrap();
    let terminal = open(&*path, OFlags::RDWR | OFlags::NOCTTY, Rights::empty()).unwrap();
    rustix::process::ioctl_tiocsctty(&terminal).unwrap();
    #[expect(clippy::zombie_processes, reason = "it is waited for by waitpid, which tells of a stop, too")]
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_program_with_raw_mode", "--ignored", "--nocapture", "--test-threads=1"])
        .spawn()
        .unwrap();
    let (_, status) = waitpid(Some(Pid::from_child(&child)), WaitOptions::UNTRACED).unwrap().unwrap();
    println!("by {:?}", status.terminating_signal());
}

#[test]
fn a_process_in_the_background_ends_and_leaves_the_terminal_to_whom_it_is_now() {
    let pty = Pty::new();
    let mut leader = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_leader_of_a_session", "--ignored", "--nocapture", "--test-threads=1"])
        .envs([("LAKH_TEST_TTY", &*pty.path), ("LAKH_TEST_THEN", "leave")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(leader.stdout.take().unwrap()).lines().map(Result::unwrap);
    let left = lines.find_map(|line| Some(line.split_once("left ")?.1.parse::<i32>().unwrap())).unwrap();
    kill_process(Pid::from_raw(left).unwrap(), Signal::TERM).unwrap();
    let end = lines.find(|line| line.contains("by ")).unwrap();
    // One that the kernel stops has no such signal.
    assert!(end.ends_with(&format!("by {:?}", Some(Signal::TERM.as_raw()))), "{end}");
    assert!(pty.is_raw(), "it was not its terminal any more");
    leader.wait().unwrap();
}

#[test]
fn an_exit_leaves_the_terminal_as_it_was() {
    let pty = Pty::new();
    let program = Program::start(&pty, "exit");
    assert_eq!(program.status().exit_status(), Some(0));
    assert!(pty.is_as_before());
}

#[test]
fn a_signal_that_the_program_handles_is_left_to_it() {
    let pty = Pty::new();
    let mut program = Program::start(&pty, "handle");
    program.signal(Signal::HUP);
    program.says("told");
    assert!(pty.is_raw());
    program.signal(Signal::TERM);
    assert_eq!(program.status().terminating_signal(), Some(Signal::TERM.as_raw()));
    assert!(pty.is_as_before());
}

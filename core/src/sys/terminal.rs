//! Changing the settings of a terminal so that they are as before when the process ends or is stopped.
//!
//! The handler of signals does nothing but what signal-safety(7) lists: tcsetattr, tcgetpgrp, getpgrp, sigaction,
//! pthread_sigmask, raise, write.
//! It is there only where the signal would do what it does by default, and as long as the settings are changed; who
//! handles the signal is left alone.
#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    hint, io, mem,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    sync::{
        Once,
        atomic::{AtomicPtr, AtomicU32, Ordering},
    },
};

/// What ends or stops a process that a person has started.
const SIGNALS: [c_int; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP];

/// The settings that are changed now: those of one terminal at a time.
static CHANGED: AtomicPtr<Settings> = AtomicPtr::new(ptr::null_mut());
/// How many look at what is behind it.
static READERS: AtomicU32 = AtomicU32::new(0);
/// How often the process has been stopped and has gone on meanwhile.
static RESUMED: AtomicU32 = AtomicU32::new(0);

struct Settings {
    /// Open for as long as they are changed.
    terminal: OwnedFd,
    before: libc::termios,
    now: libc::termios,
    change: Change,
}

impl Settings {
    /// A terminal that is gone needs nothing, and one that is another's by now has that one's settings: to change them
    /// from the background would stop the process (SIGTTOU), which is about to end. Says whether it is ours.
    fn restore(&self) -> bool {
        let is_ours = self.is_in_foreground();
        if is_ours {
            let _ = set(&self.terminal, &self.before, libc::TCSANOW);
        }
        is_ours
    }

    /// So it is as well where there is no control of jobs: the terminal is not the process's own, or is nobody's.
    fn is_in_foreground(&self) -> bool {
        // SAFETY: both look at what the kernel has, and at no memory.
        let (foreground, own) = unsafe { (libc::tcgetpgrp(self.terminal.as_raw_fd()), libc::getpgrp()) };
        foreground <= 0 || foreground == own
    }

    fn change(&self) -> io::Result<()> {
        let when = match self.change {
            Change::Raw => libc::TCSANOW,
            Change::Keys | Change::Silent => libc::TCSAFLUSH,
        };
        set(&self.terminal, &self.now, when)
    }
}

/// Settings that are changed, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Changed {
    resumed_before: u32,
    /// Those whose default this has taken.
    signals: Vec<c_int>,
}

/// What becomes of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Each byte as it is typed, unchanged and without echo.
    Raw,
    /// Each byte as it is typed and without echo, Ctrl-C too; the rest as it is.
    Keys,
    /// Lines without echo. What was typed before is forgotten.
    Silent,
}

impl Changed {
    /// `ResourceBusy` while those of a terminal are changed.
    pub(crate) fn new(terminal: OwnedFd, change: Change) -> io::Result<Self> {
        let before = get(&terminal)?;
        let mut now = before;
        match change {
            // SAFETY: it changes the structure that it is given.
            Change::Raw => unsafe { libc::cfmakeraw(&mut now) },
            Change::Keys => {
                now.c_lflag &= !(libc::ICANON | libc::ECHO);
                now.c_cc[libc::VINTR] = libc::_POSIX_VDISABLE;
                (now.c_cc[libc::VMIN], now.c_cc[libc::VTIME]) = (1, 0);
            }
            Change::Silent => {
                now.c_lflag &= !libc::ECHO;
                // The end of the line is seen all the same.
                now.c_lflag |= libc::ECHONL;
            }
        }
        let settings = Box::into_raw(Box::new(Settings { terminal, before, now, change }));
        let null = ptr::null_mut();
        if CHANGED.compare_exchange(null, settings, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            // SAFETY: it was made here, and nobody else has seen it.
            drop(unsafe { Box::from_raw(settings) });
            let why = "the settings of a terminal are changed already";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        restore_at_exit();
        let mut changed = Changed { resumed_before: RESUMED.load(Ordering::SeqCst), signals: Vec::new() };
        for signal in SIGNALS {
            if take_default(signal)? {
                changed.signals.push(signal);
            }
        }
        Reading::begin().settings().map_or(Ok(()), Settings::change)?;
        Ok(changed)
    }

    /// How often the process was stopped, and went on, since they were changed.
    pub(crate) fn resumed(&self) -> u32 {
        RESUMED.load(Ordering::SeqCst).wrapping_sub(self.resumed_before)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // For a signal that ends the process right after the next line, and once more below for one that has stopped it
        // right before.
        if let Some(settings) = Reading::begin().settings() {
            settings.restore();
        }
        let settings = CHANGED.swap(ptr::null_mut(), Ordering::SeqCst);
        // A handler on another thread may be looking at them; one on this thread has returned.
        while READERS.load(Ordering::SeqCst) > 0 {
            hint::spin_loop();
        }
        // SAFETY: `new` has made it, this was the only way to it, and nobody looks at it any more.
        let settings = unsafe { Box::from_raw(settings) };
        settings.restore();
        for &signal in &self.signals {
            give_default_back(signal);
        }
    }
}

fn get(terminal: &OwnedFd) -> io::Result<libc::termios> {
    let mut settings = mem::MaybeUninit::uninit();
    // SAFETY: it fills the structure, or fails.
    match unsafe { libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()) } {
        // SAFETY: it has filled it.
        0 => Ok(unsafe { settings.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(terminal: &OwnedFd, settings: &libc::termios, when: c_int) -> io::Result<()> {
    // SAFETY: it reads a structure that tcgetattr(3) has filled.
    match unsafe { libc::tcsetattr(terminal.as_raw_fd(), when, settings) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps the settings from being freed.
struct Reading;

impl Reading {
    fn begin() -> Self {
        READERS.fetch_add(1, Ordering::SeqCst);
        Reading
    }

    fn settings(&self) -> Option<&Settings> {
        // SAFETY: who takes them out frees them once there is no reader that came before, and this is one.
        unsafe { CHANGED.load(Ordering::SeqCst).as_ref() }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// For programs that end by `exit` and drop nothing.
fn restore_at_exit() {
    extern "C" fn restore() {
        if let Some(settings) = Reading::begin().settings() {
            settings.restore();
        }
    }
    static ONCE: Once = Once::new();
    // SAFETY: the function may be called at any time. It fails if there is no memory, and then it is not called.
    ONCE.call_once(|| _ = unsafe { libc::atexit(restore) });
}

/// Whether the signal did what it does by default, and now is ours.
fn take_default(signal: c_int) -> io::Result<bool> {
    let mine = action(obey as *const () as usize);
    let before = exchange(signal, None)?;
    if before.sa_sigaction != libc::SIG_DFL {
        return Ok(false);
    }
    exchange(signal, Some(&mine))?;
    Ok(true)
}

/// Unless somebody has taken it since.
fn give_default_back(signal: c_int) {
    if is_mine(signal) {
        // It was possible the other way around.
        let _ = exchange(signal, Some(&action(libc::SIG_DFL)));
    }
}

fn is_mine(signal: c_int) -> bool {
    exchange(signal, None).is_ok_and(|now| now.sa_sigaction == obey as *const () as usize)
}

fn action(handler: usize) -> libc::sigaction {
    // SAFETY: the structure is numbers and pointers, for which zero is a value: no signals in the mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    // After a stop calls go on, as they do by default.
    action.sa_flags = libc::SA_RESTART;
    action
}

fn exchange(signal: c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = action(libc::SIG_DFL);
    // SAFETY: both are actions, the new one being `SIG_DFL` or a handler of the right type.
    match unsafe { libc::sigaction(signal, new.map_or(ptr::null(), ptr::from_ref), &mut old) } {
        0 => Ok(old),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Does what the signal does by default, to a terminal that is as it was; if the process goes on after that, it is
/// changed again.
extern "C" fn obey(signal: c_int) {
    let error = errno();
    // Who has taken it since, and calls those before, ends the process in its own way, or not at all.
    if !is_mine(signal) {
        return;
    }
    let reading = Reading::begin();
    if let Some(settings) = reading.settings() {
        let is_ours = settings.restore();
        if is_ours && settings.change != Change::Raw {
            // What was being typed or drawn ends here. Not to be seen is no loss.
            // SAFETY: it takes one byte.
            let _ = unsafe { libc::write(settings.terminal.as_raw_fd(), b"\n".as_ptr().cast(), 1) };
        }
    }
    let _ = exchange(signal, Some(&action(libc::SIG_DFL)));
    let only = only(signal);
    // SIGTSTP would not stop a process of whose group no shell takes care; whoever sent it wants it stopped.
    let by_default = if signal == libc::SIGTSTP { libc::SIGSTOP } else { signal };
    // SAFETY: both take a number or a set that was made by `only`. The signal comes when it is let through: here the
    // process ends, or is stopped.
    unsafe {
        libc::raise(by_default);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &only, ptr::null_mut());
        libc::pthread_sigmask(libc::SIG_BLOCK, &only, ptr::null_mut());
    }
    if let Some(settings) = reading.settings() {
        let _ = exchange(signal, Some(&action(obey as *const () as usize)));
        // As above: it is gone, and needs nothing.
        let _ = settings.change();
        RESUMED.fetch_add(1, Ordering::SeqCst);
    }
    set_errno(error);
}

fn only(signal: c_int) -> libc::sigset_t {
    let mut set = mem::MaybeUninit::uninit();
    // SAFETY: the first initialises the set, to which the second adds.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

/// A handler leaves it as it was, for what it has interrupted.
fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn set_errno(error: c_int) {
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    use libc::__errno as location;
    #[cfg(target_os = "linux")]
    use libc::__errno_location as location;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly"))]
    use libc::__error as location;
    // SAFETY: it is this thread's own.
    unsafe { *location() = error };
}

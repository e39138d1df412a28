//! Who tells of signals: one thread of the process's descriptor table, from the first listener on.
//!
//! A signal's handler runs on any thread that does not block it. All that it does is to note the signal and to write a
//! byte to a socket of the process's table; the thread reads it and wakes the listeners, on whatever shard.

use crate::{
    stderr::warn,
    sys::{cpu::unpin_current_thread, table},
    unwind,
};
use signal_hook::iterator::{Handle, Signals};
use std::{
    ffi::c_int,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};

static HUB: OnceLock<Hub> = OnceLock::new();
/// Held by whoever is setting [`HUB`].
static STARTING: Mutex<()> = Mutex::new(());

struct Hub {
    signals: Handle,
    /// As many as there are.
    listeners: Mutex<Vec<Arc<Listener>>>,
}

/// One who waits for one signal.
pub(super) struct Listener {
    number: c_int,
    arrived: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// Starts the thread, unless it is there: to be done before there are tables of single threads.
pub(crate) fn start() -> io::Result<()> {
    hub().map(|_| ())
}

/// Has the signal caught, if it is not yet, and listens to it.
pub(super) fn listen(number: c_int) -> io::Result<Arc<Listener>> {
    let hub = hub()?;
    let listener = Arc::new(Listener { number, arrived: AtomicBool::new(false), waker: Mutex::new(None) });
    // Before it is caught: none that is caught is missed.
    hub.listeners().push(Arc::clone(&listener));
    hub.signals.add_signal(number).inspect_err(|_| leave(&listener))?;
    Ok(listener)
}

/// The listener hears nothing more.
pub(super) fn leave(listener: &Arc<Listener>) {
    if let Some(hub) = HUB.get() {
        let mut listeners = hub.listeners();
        let left = listeners.iter().position(|other| Arc::ptr_eq(other, listener));
        let left = left.map(|at| listeners.swap_remove(at));
        drop(listeners);
        drop(left);
    }
}

fn hub() -> io::Result<&'static Hub> {
    let _starting = locked(&STARTING);
    if let Some(hub) = HUB.get() {
        return Ok(hub);
    }
    if table::is_private() {
        return Err(table::refusal("signals are not heard here"));
    }
    let signals = Signals::new(std::iter::empty::<c_int>())?;
    let hub = Hub { signals: signals.handle(), listeners: Mutex::default() };
    thread::Builder::new().name("lakh-signal".to_owned()).spawn(|| run(signals))?;
    Ok(HUB.get_or_init(|| hub))
}

/// For the life of the process: the thread's body.
fn run(mut signals: Signals) {
    // It was started by a shard, which may be pinned; where it is not, there is nothing to be done.
    let _ = unpin_current_thread();
    let hub = HUB.wait();
    for number in signals.forever() {
        let listeners: Vec<_> =
            hub.listeners().iter().filter(|listener| listener.number == number).cloned().collect();
        for listener in listeners {
            // A waker may be anybody's code, and the others are to be told all the same. The last one who has the
            // listener drops its waker.
            if unwind::catch(move || listener.tell()).is_none() {
                warn(format_args!("lakh: whoever waits for signal {number} panicked when it was woken"));
            }
        }
    }
}

impl Hub {
    fn listeners(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        locked(&self.listeners)
    }
}

impl Listener {
    pub(super) fn number(&self) -> c_int {
        self.number
    }

    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let old = locked(&self.waker).replace(waker);
        drop(old);
        // It may have come before there was anybody to be woken.
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take(&self) -> bool {
        self.arrived.swap(false, Ordering::AcqRel)
    }

    fn tell(&self) {
        self.arrived.store(true, Ordering::Release);
        let waker = locked(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Tasks without a shard: no kernel, no clock, so that Miri can run them.

use super::*;
use crate::shard::{Phase, Remote};
use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn, ready},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
};

struct Home {
    tasks: Tasks,
    remote: Arc<Remote>,
}

impl Home {
    fn new() -> Rc<Self> {
        let remote = Remote::detached();
        Rc::new(Home { tasks: Tasks::new(Arc::clone(&remote)), remote })
    }

    fn spawn(&self, future: impl Future<Output = ()> + 'static) -> u32 {
        self.tasks.spawn(boxed::<()>(future), 0)
    }

    fn join<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let (task, handle) = joinable(future);
        self.spawn(task);
        handle
    }

    /// One turn: the wakes of other threads (all wakes are, without a shard), then the queue.
    fn run(&self) -> usize {
        self.remote.drain_woken(|task| self.tasks.wake(task.index));
        self.tasks.run(|_| {})
    }
}

impl Drop for Home {
    /// As a shard ends: no link stays in the list, where it would keep itself alive.
    fn drop(&mut self) {
        self.remote.advance(Phase::Ended);
        self.remote.drain_woken(|_| {});
    }
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Gives its task's waker away and waits for ever.
fn give_waker() -> (impl Future<Output = ()>, Rc<RefCell<Option<Waker>>>) {
    let given = Rc::new(RefCell::new(None));
    let giver = Rc::clone(&given);
    let future = poll_fn(move |cx| {
        *giver.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    });
    (future, given)
}

#[test]
fn a_task_that_is_ready_is_gone_after_one_poll() {
    let home = Home::new();
    home.spawn(ready(()));
    assert_eq!((home.run(), home.run(), home.tasks.len()), (1, 0, 0));
}

#[test]
fn a_pending_task_is_polled_when_it_is_woken_and_once_only() {
    let home = Home::new();
    let polls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&polls);
    let index = home.spawn(poll_fn(move |_| {
        seen.set(seen.get() + 1);
        Poll::Pending
    }));
    home.run();
    home.run();
    assert_eq!(polls.get(), 1);
    home.tasks.wake(index);
    home.tasks.wake(index);
    home.run();
    assert_eq!(polls.get(), 2);
}

#[test]
fn a_slot_that_is_used_again_has_one_place_in_the_queue() {
    let home = Home::new();
    let polls = Rc::new(Cell::new(0));
    // The first task ends with itself in the queue; the second fills its slot before that comes up.
    let first = Rc::clone(&home);
    home.spawn(async move { first.tasks.wake(0) });
    let (second, seen) = (Rc::clone(&home), Rc::clone(&polls));
    home.spawn(async move {
        let itself = Rc::new(Cell::new(u32::MAX));
        let (home, index) = (Rc::clone(&second), Rc::clone(&itself));
        itself.set(second.spawn(poll_fn(move |_| {
            seen.set(seen.get() + 1);
            home.tasks.wake(index.get());
            Poll::Pending
        })));
    });
    home.run();
    for turn in 1..10 {
        home.run();
        assert_eq!(polls.get(), turn, "one poll a turn");
    }
    home.tasks.clear();
}

#[test]
fn a_panic_ends_its_task_only_and_is_counted() {
    let home = Home::new();
    let other = Rc::new(Cell::new(false));
    let ran = Rc::clone(&other);
    home.spawn(async { panic!("on purpose: a task") });
    home.spawn(async {
        let _guard = OnDrop(|| panic!("on purpose: a destructor"));
    });
    home.spawn(async move { ran.set(true) });
    home.run();
    assert_eq!((home.tasks.panicked(), home.tasks.len(), other.get()), (2, 0, true));
}

#[test]
#[cfg_attr(miri, ignore = "what the second panic throws is leaked on purpose")]
fn a_panic_that_throws_a_panicking_value_is_survived() {
    let home = Home::new();
    home.spawn(async {
        std::panic::panic_any(OnDrop(|| panic!("on purpose: what was thrown")));
    });
    home.run();
    assert_eq!((home.tasks.panicked(), home.tasks.len()), (1, 0));
}

#[test]
fn clearing_drops_tasks_that_destructors_spawn() {
    let home = Home::new();
    let dropped = Rc::new(Cell::new(0));
    let (spawner, count) = (Rc::clone(&home), Rc::clone(&dropped));
    let guard = OnDrop(move || {
        let count = Rc::clone(&count);
        spawner.spawn(async move {
            let _guard = OnDrop(|| count.set(count.get() + 1));
            pending::<()>().await;
        });
        spawner.run();
    });
    home.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    home.run();
    home.tasks.clear();
    assert_eq!((dropped.get(), home.tasks.len()), (1, 0));
}

#[test]
fn clearing_survives_a_panicking_destructor() {
    let home = Home::new();
    for _ in 0..3 {
        home.spawn(async {
            let _guard = OnDrop(|| panic!("on purpose: a destructor"));
            pending::<()>().await;
        });
    }
    home.run();
    home.tasks.clear();
    assert_eq!((home.tasks.panicked(), home.tasks.len()), (3, 0));
}

#[test]
fn a_waker_may_outlive_its_task() {
    let home = Home::new();
    let (future, waker) = give_waker();
    home.spawn(future);
    home.run();
    home.tasks.clear();
    let waker = waker.take().unwrap();
    waker.wake_by_ref();
    assert_eq!(home.run(), 0, "there is nobody to wake");
    home.spawn(pending());
    home.run();
    waker.wake();
    assert_eq!(home.run(), 1, "the next task at the index is woken for nothing");
    home.tasks.clear();
}

#[test]
fn a_waker_may_outlive_its_shard_and_holds_nothing_then() {
    let home = Home::new();
    let (future, waker) = give_waker();
    home.spawn(future);
    home.run();
    let waker = waker.take().unwrap();
    waker.wake_by_ref();
    home.tasks.clear();
    let remote = Arc::downgrade(&home.remote);
    drop(home);
    thread::spawn(move || {
        waker.wake_by_ref();
        drop(waker);
    })
    .join()
    .unwrap();
    assert!(remote.upgrade().is_none(), "a link was left in the list");
}

#[test]
fn the_last_waker_may_be_dropped_anywhere_but_the_future_at_home() {
    let home = Home::new();
    let at_home = thread::current().id();
    let (dropped_at, seen) = mpsc::channel();
    let (future, waker) = give_waker();
    home.spawn(async move {
        let _guard = OnDrop(move || dropped_at.send(thread::current().id()).unwrap());
        future.await;
    });
    home.run();
    let waker = waker.take().unwrap();
    thread::spawn(move || drop(waker)).join().unwrap();
    assert!(seen.try_recv().is_err(), "nothing is dropped with the waker");
    home.tasks.clear();
    assert_eq!(seen.recv(), Ok(at_home));
}

#[test]
fn no_wake_of_many_threads_is_lost() {
    let (threads, tasks, rounds) = if cfg!(miri) { (2, 2, 5) } else { (4, 16, 500) };
    let home = Home::new();
    let sent: Arc<Vec<AtomicUsize>> = Arc::new((0..tasks).map(|_| AtomicUsize::new(0)).collect());
    let received = Rc::new(Cell::new(0));
    let mut wakers = Vec::new();
    for i in 0..tasks {
        let (sent, received) = (Arc::clone(&sent), Rc::clone(&received));
        let given = Rc::new(RefCell::new(None));
        let giver = Rc::clone(&given);
        home.spawn(poll_fn(move |cx| {
            giver.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            received.set(received.get() + sent[i].swap(0, Ordering::Relaxed));
            Poll::Pending
        }));
        home.run();
        wakers.push(given.take().unwrap());
    }
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sent, wakers) = (&sent, &wakers);
            scope.spawn(move || {
                for _ in 0..rounds {
                    for (sent, waker) in sent.iter().zip(wakers) {
                        sent.fetch_add(1, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                }
            });
        }
        while received.get() < threads * tasks * rounds {
            home.run();
            thread::yield_now();
        }
    });
    drop(wakers);
    home.tasks.clear();
}

#[test]
fn only_the_waker_of_the_task_being_polled_is_its_own() {
    let home = Home::new();
    let inner = Rc::clone(&home);
    let index = home.spawn(poll_fn(move |cx| {
        assert_eq!(inner.tasks.polled_by(cx.waker()), Some(0));
        assert_eq!(inner.tasks.polled_by(Waker::noop()), None);
        Poll::Ready(())
    }));
    home.run();
    assert_eq!((index, home.tasks.polled_by(Waker::noop()), home.tasks.panicked()), (0, None, 0));
}

#[test]
fn a_handle_gives_the_result_once() {
    let home = Home::new();
    let mut handle = home.join(async { 7 });
    assert!(poll(&mut handle).is_pending());
    home.run();
    assert!(handle.is_finished());
    assert!(matches!(poll(&mut handle), Poll::Ready(Ok(7))));
    assert!(matches!(poll(&mut handle), Poll::Ready(Err(_))));
}

#[test]
fn a_task_that_waits_for_another_is_woken_by_its_end() {
    let home = Home::new();
    let first = home.join(async { 7 });
    let mut second = home.join(async { first.await.unwrap() + 1 });
    home.run();
    home.run();
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(8))));
}

#[test]
fn an_aborted_task_drops_its_future_before_its_handle_is_told() {
    let home = Home::new();
    let dropped = Rc::new(Cell::new(false));
    let seen = Rc::clone(&dropped);
    let mut handle = home.join(async move {
        let _guard = OnDrop(|| seen.set(true));
        pending::<()>().await;
    });
    home.run();
    handle.abort();
    assert!(poll(&mut handle).is_pending());
    home.run();
    assert!(dropped.get());
    assert!(matches!(poll(&mut handle), Poll::Ready(Err(error)) if error.is_aborted()));
}

#[test]
fn a_task_aborted_before_its_first_poll_never_runs() {
    let home = Home::new();
    let mut handle = home.join(async { panic!("it runs") });
    handle.abort();
    home.run();
    assert!(matches!(poll(&mut handle), Poll::Ready(Err(error)) if error.is_aborted()));
    assert_eq!(home.tasks.panicked(), 0);
}

#[test]
fn aborting_a_finished_task_keeps_its_result() {
    let home = Home::new();
    let mut handle = home.join(ready(7));
    home.run();
    handle.abort();
    assert!(matches!(poll(&mut handle), Poll::Ready(Ok(7))));
}

#[test]
fn a_task_that_panics_or_is_cleared_is_lost_not_aborted() {
    let home = Home::new();
    let mut panics = home.join(async { panic!("on purpose: a task") });
    let mut waits = home.join(pending::<()>());
    home.run();
    home.tasks.clear();
    assert!(matches!(poll(&mut panics), Poll::Ready(Err(error)) if !error.is_aborted()));
    assert!(matches!(poll(&mut waits), Poll::Ready(Err(error)) if !error.is_aborted()));
}

#[test]
fn a_dropped_handle_leaves_its_task_running() {
    let home = Home::new();
    let ran = Rc::new(Cell::new(false));
    let seen = Rc::clone(&ran);
    drop(home.join(async move { seen.set(true) }));
    home.run();
    assert!(ran.get());
}

#[test]
fn a_named_future_gives_what_its_own_gives_and_takes_no_more_room() {
    use crate::watchdog::WorkName;
    let (home, text) = (Home::new(), String::from("borrowed across an await"));
    let mut handle = home.join(named(WorkName::new("a name"), async move {
        let part = &text[..8];
        let mut first = true;
        poll_fn(|cx| match std::mem::replace(&mut first, false) {
            true => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Ready(()),
        })
        .await;
        part.to_owned()
    }));
    while home.run() > 0 {}
    assert_eq!(poll(&mut handle).map(Result::unwrap), Poll::Ready("borrowed".to_owned()));
    assert_eq!(size_of_val(&named(WorkName::NONE, ready([0_u64; 8]))), size_of_val(&ready([0_u64; 8])) + 8);
}

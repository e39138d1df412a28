//! The list through which other threads wake a shard's tasks.
//!
//! A [`Link`] is one allocation that a task's wakers share. A thread that is not the shard's own
//! wakes the task by linking it into the shard's [`LinkList`]: a task is in the list at most once,
//! so the list is bounded by the number of tasks and a wake can never be refused. The shard takes
//! the whole list at once, at the start of a turn.
//!
//! Invariants:
//! - `linked` is true from the moment a thread decides to link until the shard has taken the link
//!   off the list. Only the thread that changed it from false to true may touch `next`.
//! - The list owns one strong reference for each link in it.
//! - Both sides change `linked` with read-modify-write operations only: the shard's clearing swap
//!   reads what the last refused wake wrote, so everything done before that wake is seen by the
//!   poll that follows. A plain store would lose it.
#![allow(unsafe_code)]

use crate::sync::{AtomicBool, AtomicPtr, Ordering};
use std::{ptr, sync::Arc};

/// A value that can be linked into a [`LinkList`], at most once at a time.
pub(crate) struct Link<T> {
    linked: AtomicBool,
    next: AtomicPtr<Link<T>>,
    value: T,
}

impl<T> Link<T> {
    pub(crate) fn new(value: T) -> Arc<Self> {
        Arc::new(Link { linked: AtomicBool::new(false), next: AtomicPtr::new(ptr::null_mut()), value })
    }

    pub(crate) fn value(&self) -> &T {
        &self.value
    }
}

/// A multi-producer stack of links; see the module's text.
pub(crate) struct LinkList<T> {
    head: AtomicPtr<Link<T>>,
}

impl<T> LinkList<T> {
    pub(crate) fn new() -> Self {
        LinkList { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Links `link` unless it is linked already. True if this call linked it: the shard then has
    /// to be told.
    pub(crate) fn push(&self, link: &Arc<Link<T>>) -> bool {
        if link.linked.swap(true, Ordering::AcqRel) {
            return false;
        }
        let node = Arc::into_raw(Arc::clone(link)).cast_mut();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.next.store(head, Ordering::Relaxed);
            match self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => head = seen,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Acquire).is_null()
    }

    /// Takes every link off the list and calls `each` with it, the last linked first.
    pub(crate) fn drain(&self, mut each: impl FnMut(&T)) {
        let mut node = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        while !node.is_null() {
            // SAFETY: every pointer in the list came from `Arc::into_raw` in `push`, and taking it
            // off the list, which the swap above did exactly once, hands its reference to us.
            let link = unsafe { Arc::from_raw(node) };
            // Read before the flag is cleared: from then on another thread may link it anew.
            node = link.next.load(Ordering::Relaxed);
            link.linked.swap(false, Ordering::AcqRel);
            each(&link.value);
        }
    }
}

impl<T> Drop for LinkList<T> {
    fn drop(&mut self) {
        self.drain(|_| {});
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_link_is_in_the_list_at_most_once() {
        let list = LinkList::new();
        let link = Link::new(7);
        assert!(list.push(&link));
        assert!(!list.push(&link));
        let mut seen = Vec::new();
        list.drain(|value| seen.push(*value));
        assert_eq!(seen, [7]);
        assert!(list.push(&link), "a drained link can be linked again");
    }

    #[test]
    fn dropping_the_list_releases_its_references() {
        let list = LinkList::new();
        let link = Link::new(());
        list.push(&link);
        assert_eq!(Arc::strong_count(&link), 2);
        drop(list);
        assert_eq!(Arc::strong_count(&link), 1);
    }

    #[test]
    fn links_of_many_threads_all_arrive() {
        let threads = if cfg!(miri) { 2 } else { 4 };
        let per_thread = if cfg!(miri) { 20 } else { 1000 };
        let list = LinkList::new();
        let mut seen = Vec::new();
        thread::scope(|scope| {
            for t in 0..threads {
                let list = &list;
                scope.spawn(move || {
                    for i in 0..per_thread {
                        list.push(&Link::new(t * per_thread + i));
                    }
                });
            }
            while seen.len() < threads * per_thread {
                list.drain(|value| seen.push(*value));
                thread::yield_now();
            }
        });
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..threads * per_thread));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{cell::UnsafeCell, sync::atomic::AtomicUsize, thread};
    use std::sync::Arc;

    /// What a waker has written before its wake is seen by the drain that follows, even if the
    /// wake found the link in the list already.
    #[test]
    fn loom_a_refused_wake_still_publishes() {
        loom::model(|| {
            let list = Arc::new(LinkList::new());
            let link = Link::new(());
            let written = Arc::new(AtomicUsize::new(0));
            let wakers: Vec<_> = (0..2)
                .map(|_| {
                    let (list, link, written) = (list.clone(), link.clone(), written.clone());
                    thread::spawn(move || {
                        written.fetch_add(1, Ordering::Relaxed);
                        list.push(&link);
                    })
                })
                .collect();
            let mut seen = 0;
            list.drain(|()| seen = written.load(Ordering::Relaxed));
            for waker in wakers {
                waker.join().unwrap();
            }
            list.drain(|()| seen = written.load(Ordering::Relaxed));
            assert_eq!(seen, 2, "the last wake must lead to a drain that sees its write");
        });
    }

    /// Two threads link two tasks while the shard drains: nothing is lost or seen twice.
    #[test]
    fn loom_concurrent_links_arrive_once() {
        loom::model(|| {
            let list = Arc::new(LinkList::new());
            let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let threads: Vec<_> = (0..2)
                .map(|i| {
                    let list = list.clone();
                    thread::spawn(move || assert!(list.push(&Link::new(i))))
                })
                .collect();
            let count = |list: &LinkList<usize>| {
                list.drain(|i| {
                    counts[*i].fetch_add(1, Ordering::Relaxed);
                });
            };
            count(&list);
            for thread in threads {
                thread.join().unwrap();
            }
            count(&list);
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        });
    }

    /// The value behind a link is only read by the drainer: the list itself synchronises.
    #[test]
    fn loom_a_link_publishes_its_value() {
        loom::model(|| {
            let list = Arc::new(LinkList::<UnsafeCell<usize>>::new());
            let thread = {
                let list = list.clone();
                thread::spawn(move || {
                    list.push(&Link::new(UnsafeCell::new(5)));
                })
            };
            // SAFETY: the pushing thread keeps no reference to the value.
            list.drain(|value| assert_eq!(value.with(|v| unsafe { *v }), 5));
            thread.join().unwrap();
        });
    }
}

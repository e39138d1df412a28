//! A question to the filesystem, on its way.

use super::known::Known;
use lakh_core::{WakerKey, Wakers};
use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Instant,
};

/// All who want the same answer wait for one of these.
pub(super) struct Flight {
    pub(super) began: Instant,
    answer: RefCell<Option<Rc<Known>>>,
    waiting: RefCell<Wakers>,
}

impl Flight {
    pub(super) fn new(began: Instant) -> Self {
        Flight { began, answer: RefCell::default(), waiting: RefCell::default() }
    }

    /// The answer, once it is there. Cancel safe: whoever drops it waits no more.
    pub(super) fn landed(&self) -> Landed<'_> {
        Landed { flight: self, place: None }
    }

    /// Gives all who wait their answer.
    pub(super) fn land(&self, known: Rc<Known>) {
        self.answer.replace(Some(known));
        let waiting = self.waiting.borrow_mut().take();
        waiting.for_each(Waker::wake);
    }
}

/// The future of [`Flight::landed`].
pub(super) struct Landed<'a> {
    flight: &'a Flight,
    /// Of its waker among those who wait.
    place: Option<WakerKey>,
}

impl Future for Landed<'_> {
    type Output = Rc<Known>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Rc<Known>> {
        if let Some(known) = &*self.flight.answer.borrow() {
            return Poll::Ready(Rc::clone(known));
        }
        self.leave();
        let waker = cx.waker().clone();
        let place = self.flight.waiting.borrow_mut().insert(waker);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Landed<'_> {
    /// Waits no more; after the landing nobody does.
    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        let waker = self.flight.waiting.borrow_mut().remove(place);
        // What a waker does when it is dropped may not find the others borrowed.
        drop(waker);
    }
}

impl Drop for Landed<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::<Count>::default();
        (Arc::clone(&count), Waker::from(count))
    }

    fn poll(waiter: Pin<&mut Landed<'_>>, waker: &Waker) -> bool {
        waiter.poll(&mut Context::from_waker(waker)).is_ready()
    }

    fn woken(count: &Count) -> usize {
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_waiter_that_is_dropped_is_gone_and_the_others_are_woken() {
        let flight = Flight::new(Instant::now());
        let (counts, wakers): (Vec<_>, Vec<_>) = (0..3).map(|_| counting()).unzip();
        let mut waiters: Vec<_> = wakers.iter().map(|_| Box::pin(flight.landed())).collect();
        for (waiter, waker) in waiters.iter_mut().zip(&wakers) {
            assert!(!poll(waiter.as_mut(), waker));
        }
        drop(waiters.remove(1));
        assert_eq!(flight.waiting.borrow().len(), 2);
        assert_eq!(Arc::strong_count(&counts[1]), 2, "its waker is dropped with it");
        flight.land(Known::nothing(StatusCode::NOT_FOUND));
        assert_eq!(counts.iter().map(|count| woken(count)).collect::<Vec<_>>(), [1, 0, 1]);
        for waiter in &mut waiters {
            assert!(poll(waiter.as_mut(), Waker::noop()));
        }
    }

    #[test]
    fn a_waiter_that_is_polled_again_waits_once_and_with_its_last_waker() {
        let flight = Flight::new(Instant::now());
        let ((first, first_waker), (last, last_waker)) = (counting(), counting());
        let mut waiter = pin!(flight.landed());
        for waker in [&first_waker, &first_waker, &last_waker] {
            assert!(!poll(waiter.as_mut(), waker));
        }
        assert_eq!(flight.waiting.borrow().len(), 1);
        flight.land(Known::nothing(StatusCode::NOT_FOUND));
        assert_eq!((woken(&first), woken(&last)), (0, 1));
    }

    #[test]
    fn a_place_that_was_left_is_taken_by_the_next_and_not_lost_to_it() {
        let flight = Flight::new(Instant::now());
        let (count, waker) = counting();
        let mut gone = Box::pin(flight.landed());
        assert!(!poll(gone.as_mut(), Waker::noop()));
        drop(gone);
        let mut next = pin!(flight.landed());
        assert!(!poll(next.as_mut(), &waker));
        assert_eq!(flight.waiting.borrow().len(), 1);
        flight.land(Known::nothing(StatusCode::NOT_FOUND));
        assert_eq!(woken(&count), 1);
    }
}

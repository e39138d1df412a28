//! Who asks the same while it is being found out waits for that one answer.

use crate::recent::Tag;
use lakh_core::{WakerKey, Wakers};
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// The questions that are being answered. There are no more than the hasher lets in: one that it refuses is answered
/// at once.
#[derive(Default)]
pub(crate) struct Together(Mutex<HashMap<Tag, Arc<Question>>>);

/// What has become of a question.
#[derive(Default)]
struct Question(Mutex<State>);

#[derive(Default)]
struct State {
    /// `Some(None)` if whoever was to find it out has not.
    answer: Option<Option<bool>>,
    waiting: Wakers,
}

/// How one takes part in a question.
pub(crate) enum Part {
    /// Nobody is at it: find it out, and say so.
    First(First),
    /// Somebody is: the answer, or `None` if they gave up, and the question is open again.
    Other(Other),
}

impl Together {
    pub(crate) fn ask(self: &Arc<Self>, tag: Tag) -> Part {
        let mut questions = lock(&self.0);
        match questions.get(&tag) {
            Some(question) => Part::Other(Other { question: Arc::clone(question), key: None }),
            None => {
                let question = Arc::<Question>::default();
                questions.insert(tag, Arc::clone(&question));
                Part::First(First { together: Arc::clone(self), tag, question, answer: None })
            }
        }
    }
}

/// Whoever finds it out. Dropping it without an answer gives up.
pub(crate) struct First {
    together: Arc<Together>,
    tag: Tag,
    question: Arc<Question>,
    answer: Option<bool>,
}

impl First {
    pub(crate) fn answer(mut self, answer: bool) {
        self.answer = Some(answer);
    }
}

impl Drop for First {
    fn drop(&mut self) {
        lock(&self.together.0).remove(&self.tag);
        let mut state = lock(&self.question.0);
        state.answer = Some(self.answer);
        let waiting = state.waiting.take();
        drop(state);
        waiting.for_each(std::task::Waker::wake);
    }
}

/// Whoever waits for the answer. Dropping it leaves.
pub(crate) struct Other {
    question: Arc<Question>,
    key: Option<WakerKey>,
}

impl Future for Other {
    type Output = Option<bool>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<bool>> {
        // Cloned and dropped without the lock: both are the executor's code.
        let waker = cx.waker().clone();
        let question = Arc::clone(&self.question);
        let mut state = lock(&question.0);
        let before = self.key.take().and_then(|key| state.waiting.remove(key));
        let (answer, unused) = match state.answer {
            Some(answer) => (Poll::Ready(answer), Some(waker)),
            None => {
                self.key = Some(state.waiting.insert(waker));
                (Poll::Pending, None)
            }
        };
        drop(state);
        drop((before, unused));
        answer
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let left = lock(&self.question.0).waiting.remove(key);
        drop(left);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn poll(other: &mut Other) -> Poll<Option<bool>> {
        Pin::new(other).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn other(together: &Arc<Together>, tag: Tag) -> Other {
        match together.ask(tag) {
            Part::Other(other) => other,
            Part::First(_) => panic!("nobody is at it"),
        }
    }

    fn first(together: &Arc<Together>, tag: Tag) -> First {
        match together.ask(tag) {
            Part::First(first) => first,
            Part::Other(_) => panic!("somebody is at it"),
        }
    }

    #[test]
    fn others_get_the_answer_of_the_first() {
        let together = Arc::<Together>::default();
        let asked = first(&together, [1; 32]);
        drop(first(&together, [2; 32]));
        let (mut one, mut two) = (other(&together, [1; 32]), other(&together, [1; 32]));
        assert!(poll(&mut one).is_pending() && poll(&mut one).is_pending());
        asked.answer(true);
        assert_eq!((poll(&mut one), poll(&mut two)), (Poll::Ready(Some(true)), Poll::Ready(Some(true))));
        assert!(lock(&together.0).is_empty());
    }

    #[test]
    fn the_question_is_open_again_when_the_first_gives_up_and_who_leaves_is_forgotten() {
        let together = Arc::<Together>::default();
        let asked = first(&together, [1; 32]);
        let (mut one, mut two) = (other(&together, [1; 32]), other(&together, [1; 32]));
        assert!(poll(&mut one).is_pending() && poll(&mut two).is_pending());
        drop(two);
        assert_eq!(lock(&asked.question.0).waiting.len(), 1);
        drop(asked);
        assert_eq!(poll(&mut one), Poll::Ready(None));
        first(&together, [1; 32]).answer(false);
    }
}

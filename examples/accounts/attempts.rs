//! Wrong passwords, by the name that they were tried for: on all shards together, and whether the account exists or
//! not, so that the limit does not tell.

use lakh::http::{HandlerError, HandlerResult, StatusCode, header};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const AT_ONCE: u32 = 5;
const EVERY: Duration = Duration::from_secs(60);
/// Names that are remembered. With more than that, the one that has the most attempts left is forgotten.
const MOST_NAMES: usize = 10_000;

/// For each name, when all its attempts will be there again.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, Instant>>);

impl Attempts {
    /// Takes an attempt, before the password is looked at: who tries many at the same time, or goes away
    /// meanwhile, has no more of them. 429 if there is none.
    pub(crate) fn take(&self, name: &str) -> HandlerResult<()> {
        let now = Instant::now();
        let mut names = self.lock();
        make_room(&mut names, name, now);
        let whole = names.entry(name.to_ascii_lowercase()).or_insert(now);
        let next = (*whole).max(now) + EVERY;
        let wait = (next - now).saturating_sub(EVERY * AT_ONCE);
        if wait > Duration::ZERO {
            let message = "too many wrong passwords for this name: try again later";
            return Err(HandlerError::new(StatusCode::TOO_MANY_REQUESTS, message)
                .with_header(header::RETRY_AFTER, wait.as_secs() + 1));
        }
        *whole = next;
        Ok(())
    }

    /// Gives one back: the password was right, or nobody has looked at it.
    pub(crate) fn give_back(&self, name: &str) {
        if let Some(whole) = self.lock().get_mut(&name.to_ascii_lowercase()) {
            *whole = whole.checked_sub(EVERY).unwrap_or(*whole);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(names: &mut HashMap<String, Instant>, name: &str, now: Instant) {
    if names.len() < MOST_NAMES || names.contains_key(&name.to_ascii_lowercase()) {
        return;
    }
    names.retain(|_, whole| *whole > now);
    if names.len() < MOST_NAMES {
        return;
    }
    let first = names.iter().min_by_key(|(_, whole)| **whole).map(|(name, _)| name.clone());
    if let Some(first) = first {
        names.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_names_are_remembered_than_there_is_room_for_and_who_has_tried_most_is_among_them() {
        let attempts = Attempts::default();
        for _ in 0..AT_ONCE {
            attempts.take("ann").unwrap();
        }
        for n in 0..MOST_NAMES + 10 {
            attempts.take(&n.to_string()).unwrap();
        }
        assert_eq!(attempts.lock().len(), MOST_NAMES);
        assert_eq!(attempts.take("ANN").unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(attempts.lock().len(), MOST_NAMES);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more_than_that() {
        let attempts = Attempts::default();
        attempts.give_back("ann");
        for _ in 0..AT_ONCE {
            attempts.take("ann").unwrap();
        }
        attempts.give_back("ann");
        attempts.take("ann").unwrap();
        assert!(attempts.take("ann").is_err());
    }
}

//! Which of the numbers from 0 on have come: in order, late, or again.

/// Numbers below the highest one that are remembered.
const REACH: u32 = u64::BITS;

/// Of one sender's numbers, what one receiver has got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// The highest number that has come, and one.
    end: u32,
    /// Bit k: `end - 1 - k` has come.
    seen: u64,
}

/// What the coming of a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Higher than all that have come.
    Newest,
    /// For the first time, but a higher one has come before.
    Late,
    /// Not for the first time; or too far behind the highest one to be known.
    Again,
}

impl Window {
    #[inline]
    pub(crate) fn take(&mut self, number: u32) -> Arrival {
        if number >= self.end {
            let by = (number - self.end).saturating_add(1);
            self.seen = self.seen.checked_shl(by).unwrap_or(0) | 1;
            self.end = number.saturating_add(1);
            return Arrival::Newest;
        }
        let behind = self.end - 1 - number;
        if behind >= REACH || self.seen & (1 << behind) != 0 {
            return Arrival::Again;
        }
        self.seen |= 1 << behind;
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_newest_late_or_there_already() {
        let mut window = Window::default();
        let all = [0, 1, 3, 2, 2, 70, 7, 3, 6].map(|number| window.take(number));
        use Arrival::{Again, Late, Newest};
        // 6 is 64 behind 70, and so not known any more.
        assert_eq!(all, [Newest, Newest, Newest, Late, Again, Newest, Late, Again, Again]);
    }

    proptest! {
        #[test]
        fn within_its_reach_it_is_as_a_set(numbers in prop::collection::vec(0_u32..60, 0..200)) {
            let (mut window, mut set) = (Window::default(), BTreeSet::new());
            for number in numbers {
                let highest = set.last().is_none_or(|&last| number > last);
                let expected = match (set.insert(number), highest) {
                    (true, true) => Arrival::Newest,
                    (true, false) => Arrival::Late,
                    (false, _) => Arrival::Again,
                };
                prop_assert_eq!(window.take(number), expected);
            }
        }

        #[test]
        fn no_numbers_make_it_panic(numbers: Vec<u32>) {
            let mut window = Window::default();
            for number in numbers {
                window.take(number);
            }
        }
    }
}

//! What messages consist of that are to come back: known bytes, and a number, so that an answer that belongs to another
//! message is found out.

/// Bytes of the number, at the beginning of each message that is long enough.
const NUMBER: usize = 4;

/// The content of all messages of a shard.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    /// Messages of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        // No bytes that are the same at a distance of a power of two, where a mistake of copying would hide.
        Pattern((0..size).map(|at| (at % 251) as u8).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends message `number`.
    #[inline]
    pub(crate) fn append(&self, number: u32, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&self.0);
        if let Some(place) = out[from..].first_chunk_mut::<NUMBER>() {
            *place = number.to_le_bytes();
        }
    }

    /// Whether `bytes` are those of message `number` from byte `at` on, as far as they go; more than it has are not.
    #[inline]
    pub(crate) fn matches(&self, number: u32, at: usize, bytes: &[u8]) -> bool {
        let Some(end) = at.checked_add(bytes.len()).filter(|&end| end <= self.len()) else { return false };
        if self.len() < NUMBER || at >= NUMBER {
            return self.0[at..end] == *bytes;
        }
        let (own, rest) = bytes.split_at(bytes.len().min(NUMBER - at));
        number.to_le_bytes()[at..at + own.len()] == *own && self.0[at + own.len()..end] == *rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_message_matches_itself_in_any_two_parts_and_nothing_else(
            size in 0_usize..40,
            number: u32,
            cut in 0_usize..40,
            other in 0_usize..40,
        ) {
            let pattern = Pattern::new(size);
            let mut message = Vec::new();
            pattern.append(number, &mut message);
            let cut = cut.min(size);
            let matches = |message: &[u8]| {
                let (first, second) = message.split_at(cut);
                pattern.matches(number, 0, first) && pattern.matches(number, cut, second)
            };
            prop_assert!(matches(&message));
            if other < size {
                message[other] ^= 1;
                prop_assert!(!matches(&message));
                message[other] ^= 1;
            }
            message.push(0);
            prop_assert!(!matches(&message));
        }
    }
}

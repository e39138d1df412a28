//! How fast a peer has to be.

/// Holds a peer to a least rate: waiting uses up an allowance of seconds, bytes refill it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// The second in which the allowance is used up; 0 while the peer is not waited for.
    end: u32,
    /// Bytes that have not made up a second yet.
    bytes: u32,
}

/// What a peer is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Seconds for which it may fall behind.
    pub(crate) allowance: u32,
    /// Bytes per second; 0 if every byte makes up for all.
    pub(crate) rate: u32,
}

impl Pace {
    /// Whether the peer is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.end != 0
    }

    /// The peer is waited for, from `now` on if it was not before; the second in which that is over.
    pub(crate) fn wait(&mut self, now: u32, measure: Measure) -> u32 {
        if !self.is_waiting() {
            self.end = after(now, measure.allowance);
        }
        self.end
    }

    /// The peer has moved so many bytes.
    pub(crate) fn moved(&mut self, now: u32, bytes: usize, measure: Measure) {
        if !self.is_waiting() || bytes == 0 {
            return;
        }
        let full = after(now, measure.allowance);
        if measure.rate == 0 {
            self.end = full;
            return;
        }
        let (bytes, rate) = (u64::from(self.bytes) + bytes as u64, u64::from(measure.rate));
        let earned = u32::try_from(bytes / rate).unwrap_or(u32::MAX);
        self.bytes = (bytes % rate) as u32;
        self.end = self.end.max(now).saturating_add(earned).min(full);
    }
}

/// The second in which so many have passed since the given one. One more: that one has partly passed.
pub(crate) fn after(second: u32, time: u32) -> u32 {
    second.saturating_add(time).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURE: Measure = Measure { allowance: 10, rate: 100 };

    #[test]
    fn a_peer_that_trickles_uses_its_allowance_up() {
        let (mut pace, mut now) = (Pace::default(), 1000);
        while now < pace.wait(now, MEASURE) {
            now += 3;
            pace.moved(now, 1, MEASURE);
        }
        assert_eq!(now, 1012, "a byte every three seconds lasts no longer than the allowance");
    }

    #[test]
    fn a_peer_at_the_rate_goes_on_for_ever_and_saves_nothing_up() {
        let mut pace = Pace::default();
        for now in 0..1000 {
            assert!(pace.wait(now, MEASURE) > now);
            pace.moved(now + 1, if now % 2 == 0 { 150 } else { 50 }, MEASURE);
        }
        pace.moved(1000, 1 << 30, MEASURE);
        assert_eq!(pace.wait(1000, MEASURE), 1011);
    }

    #[test]
    fn what_is_late_and_moves_has_what_it_has_earned() {
        let mut pace = Pace::default();
        pace.wait(0, MEASURE);
        pace.moved(500, 300, MEASURE);
        assert_eq!(pace.wait(500, MEASURE), 503);
    }

    #[test]
    fn without_a_rate_every_byte_makes_up_for_all() {
        let (mut pace, measure) = (Pace::default(), Measure { rate: 0, ..MEASURE });
        pace.wait(0, measure);
        pace.moved(9, 1, measure);
        assert_eq!(pace.wait(9, measure), 20);
    }
}

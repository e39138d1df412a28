//! Numbers as people read them.

use std::time::Duration;

/// With commas between thousands: `499,998`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate or another number that need not be whole: `49,999`, `12.3`, `0.25`.
pub fn rate(number: f64) -> String {
    if number < 99.95 { significant(number) } else { count(number.round() as u64) }
}

/// Three digits that count, and no more than three decimal places: `0.031`, `1.90`, `11.8`, `362`.
pub fn significant(number: f64) -> String {
    // What is rounded up to the next power of ten has a place less.
    match number {
        _ if number >= 99.95 => format!("{number:.0}"),
        _ if number >= 9.995 => format!("{number:.1}"),
        _ if number >= 0.0995 || number == 0.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// Bytes, with a thousand in a kilobyte: `640 B`, `1.90 KB`, `3.40 GB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KB", "MB", "GB", "TB", "PB", "EB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut scaled = number as f64 / 1000.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while scaled >= 999.5
        && let Some(next) = units.next()
    {
        (scaled, unit) = (scaled / 1000.0, next);
    }
    format!("{} {unit}", significant(scaled))
}

/// A share of 1 in percent: `0.02%`, `41%`, `100%`. What is not quite all, or not quite nothing, is not shown as such.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent <= 0.0 => "0%".to_owned(),
        percent if percent < 0.01 => "<0.01%".to_owned(),
        percent if percent < 9.995 => format!("{percent:.2}%"),
        percent if (99.5..100.0).contains(&percent) => format!("{:.2}%", percent.min(99.99)),
        percent => format!("{percent:.0}%"),
    }
}

/// A time with the unit that suits it: `85µs`, `1.90ms`, `12.3s`.
pub fn time(time: Duration) -> String {
    let unit = TimeUnit::of(time);
    format!("{}{}", unit.number(time), unit.name())
}

/// How long something took or is to take: `10s`, `2.5s`, `500ms`, `1m 30s`, `2h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match time.subsec_millis() {
        milliseconds if seconds == 0 && milliseconds > 0 => format!("{milliseconds}ms"),
        milliseconds if seconds < 60 => match milliseconds / 100 {
            0 => format!("{seconds}s"),
            tenths => format!("{seconds}.{tenths}s"),
        },
        _ if seconds < 3600 => with_rest(seconds, 60, "m", "s"),
        _ => with_rest(seconds / 60, 60, "h", "m"),
    }
}

fn with_rest(total: u64, per: u64, big: &str, small: &str) -> String {
    match total % per {
        0 => format!("{}{big}", total / per),
        rest => format!("{}{big} {rest}{small}", total / per),
    }
}

/// The unit of a row of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Microseconds,
    Milliseconds,
    Seconds,
}

impl TimeUnit {
    /// The one that suits a single time.
    pub(crate) fn of(time: Duration) -> Self {
        match time.as_micros() {
            0..1000 => TimeUnit::Microseconds,
            1000..10_000_000 => TimeUnit::Milliseconds,
            _ => TimeUnit::Seconds,
        }
    }

    /// The one in which both the shortest and the longest of a row can be read.
    pub(crate) fn of_row(shortest: Duration, longest: Duration) -> Self {
        let unit = TimeUnit::of(longest);
        // A hundredth of a second is the least that three places tell well.
        let vanishes = unit == TimeUnit::Seconds && shortest < Duration::from_millis(10);
        if vanishes { TimeUnit::Milliseconds } else { unit }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            TimeUnit::Microseconds => "µs",
            TimeUnit::Milliseconds => "ms",
            TimeUnit::Seconds => "s",
        }
    }

    /// The number alone.
    pub(crate) fn number(self, time: Duration) -> String {
        let seconds = time.as_secs_f64();
        match self {
            TimeUnit::Microseconds => count(time.as_micros() as u64),
            TimeUnit::Milliseconds => rate(seconds * 1e3),
            TimeUnit::Seconds => rate(seconds),
        }
    }
}

/// Text that came from elsewhere, on one line, without control characters and with at most so many characters.
pub fn plain(text: &str, longest: usize) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    let mut shown: String = text.chars().flat_map(escaped).take(longest + 1).collect();
    if shown.chars().nth(longest).is_some() {
        shown = shown.chars().take(longest.saturating_sub(1)).collect();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (499_998, "499,998"),
            (1_000_000, "1,000,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn three_digits_count() {
        for (number, text) in [
            (0.0, "0.00"),
            (0.0004, "0.000"),
            (0.031, "0.031"),
            (0.0996, "0.10"),
            (0.31, "0.31"),
            (1.899, "1.90"),
            (9.996, "10.0"),
            (11.84, "11.8"),
            (99.96, "100"),
            (1234.4, "1234"),
        ] {
            assert_eq!(significant(number), text, "{number}");
        }
        assert_eq!((rate(49_999.4), rate(99.96), rate(0.25)), ("49,999".into(), "100".into(), "0.25".into()));
    }

    #[test]
    fn bytes_have_the_unit_that_suits_them() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1900, "1.90 KB"),
            (999_499, "999 KB"),
            (999_500, "1.00 MB"),
            (3_400_000_000, "3.40 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(number), text, "{number}");
        }
    }

    #[test]
    fn a_share_is_never_shown_as_none_or_all_unless_it_is() {
        for (share, text) in [
            (0.0, "0%"),
            (0.000_001, "<0.01%"),
            (0.0002, "0.02%"),
            (0.099_96, "10%"),
            (0.41, "41%"),
            (0.999_999, "99.99%"),
            (0.996, "99.60%"),
            (1.0, "100%"),
            (1.8, "180%"),
        ] {
            assert_eq!(percent(share), text, "{share}");
        }
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (microseconds, text) in [
            (0, "0µs"),
            (85, "85µs"),
            (1900, "1.90ms"),
            (11_840, "11.8ms"),
            (9_999_999, "10,000ms"),
            (12_340_000, "12.3s"),
            (3_600_000_000, "3,600s"),
        ] {
            assert_eq!(time(Duration::from_micros(microseconds)), text);
        }
        let row = |short, long| TimeUnit::of_row(Duration::from_micros(short), Duration::from_micros(long));
        assert_eq!(row(80, 12_000_000), TimeUnit::Milliseconds);
        assert_eq!(row(80_000, 12_000_000), TimeUnit::Seconds);
        assert_eq!(row(80, 11_800), TimeUnit::Milliseconds);
        assert_eq!(row(80, 800), TimeUnit::Microseconds);
    }

    #[test]
    fn durations_are_short() {
        for (milliseconds, text) in [
            (0, "0s"),
            (500, "500ms"),
            (10_000, "10s"),
            (10_020, "10s"),
            (2_500, "2.5s"),
            (90_000, "1m 30s"),
            (120_900, "2m"),
            (7_200_000, "2h"),
            (5_400_000, "1h 30m"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text, "{milliseconds}");
        }
    }

    #[test]
    fn what_came_from_elsewhere_stays_on_its_line() {
        assert_eq!(plain("a\n\u{1b}[31m", 80), "a\\n\\u{1b}[31m");
        assert_eq!(plain("abcdef", 6), "abcdef");
        assert_eq!(plain("abcdefg", 6), "abcde…");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_asked_for(text in ".*", longest in 1_usize..50) {
            let shown = plain(&text, longest);
            prop_assert!(shown.chars().count() <= longest && !shown.contains(char::is_control));
        }

        #[test]
        fn every_number_has_a_text(number: u64, share in 0.0..2.0) {
            let time_of = Duration::from_micros(number);
            for text in [count(number), bytes(number), time(time_of), duration(time_of), percent(share), rate(share)] {
                prop_assert!(!text.is_empty() && text.len() < 40);
            }
        }
    }
}

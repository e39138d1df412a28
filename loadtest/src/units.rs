//! Counts, rates, durations and sizes as people type them.
//!
//! | | read | means |
//! |---|---|---|
//! | [`parse_count`] | `64`, `20k`, `1m`, `1.5k` | thousands and millions |
//! | [`parse_rate`] | `500`, `20k/s`, `30/m` | a second, unless it says a minute |
//! | [`parse_duration`] | `30s`, `500ms`, `250us`, `2m`, `1h`, `1m30s`, `10` | seconds, if there is no unit |
//! | [`parse_size`] | `64`, `4k`, `1m`, `4kb` | bytes; `k` is 1,024 here, as it is of files |
//!
//! Big and small letters are the same. No sign, no blank, no exponent.

use std::{error, fmt, time::Duration};

/// A longer time than a week is a mistake.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A higher rate than a thousand million a second is a mistake.
const FASTEST: f64 = 1e9;
/// Decimal places that are read.
const PLACES: usize = 9;
const ONE: u128 = 1_000_000_000;

/// What was typed is no number of the kind that was asked for. Its text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUnitError(String);

impl ParseUnitError {
    fn new(text: &str, problem: &str) -> Self {
        ParseUnitError(format!("{} {problem}", quoted(text)))
    }
}

impl fmt::Display for ParseUnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for ParseUnitError {}

/// Reads how many: `64`, `20k`, `1m`, `1.5k`.
///
/// ```
/// assert_eq!(lakh_loadtest::units::parse_count("20k"), Ok(20_000));
/// ```
///
/// # Errors
///
/// If it is no whole number, or more than a `u64` has.
pub fn parse_count(text: &str) -> Result<u64, ParseUnitError> {
    let wrong = || ParseUnitError::new(text, "is not a count; write 64, 20k or 1.5m");
    let (number, unit) = decimal(text).ok_or_else(wrong)?;
    let total = number.checked_mul(thousands(unit).ok_or_else(wrong)?).ok_or_else(wrong)?;
    if !total.is_multiple_of(ONE) {
        return Err(ParseUnitError::new(text, "is not a whole number"));
    }
    u64::try_from(total / ONE).map_err(|_| ParseUnitError::new(text, "is too much"))
}

/// Reads how often a second: `20k`, `20k/s`, `30/m`.
///
/// # Errors
///
/// If it is no rate, or zero, or above a thousand million.
pub fn parse_rate(text: &str) -> Result<f64, ParseUnitError> {
    let wrong = || ParseUnitError::new(text, "is not a rate; write 500, 20k/s or 30/m");
    let (number, per_minute) = match text.rsplit_once('/') {
        None => (text, false),
        Some((number, "s" | "S")) => (number, false),
        Some((number, "m" | "M")) => (number, true),
        Some(_) => return Err(wrong()),
    };
    let (number, unit) = decimal(number).ok_or_else(wrong)?;
    let scale = thousands(unit).ok_or_else(wrong)? as f64 / if per_minute { 60.0 } else { 1.0 };
    let rate = number as f64 / ONE as f64 * scale;
    if rate == 0.0 {
        Err(ParseUnitError::new(text, "is no rate at which anything happens"))
    } else if rate > FASTEST {
        Err(ParseUnitError::new(text, "is too fast; the most is 1000m/s"))
    } else {
        Ok(rate)
    }
}

/// Reads how long: `30s`, `500ms`, `250us`, `2m`, `1h`, `1m30s`; a number alone is seconds.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(lakh_loadtest::units::parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
/// ```
///
/// # Errors
///
/// If it is no duration, or longer than a week.
pub fn parse_duration(text: &str) -> Result<Duration, ParseUnitError> {
    let wrong = || ParseUnitError::new(text, "is not a duration; write 30s, 500ms, 2m or 1h");
    let (mut rest, mut total, mut last) = (text, 0_u128, u128::MAX);
    loop {
        let (number, behind) = decimal(rest).ok_or_else(wrong)?;
        let end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        let nanoseconds = match &*behind[..end].to_ascii_lowercase() {
            // Only of a number that stands alone is it clear what it means.
            "" if rest.len() == text.len() => ONE,
            "us" | "µs" => ONE / 1_000_000,
            "ms" => ONE / 1000,
            "s" => ONE,
            "m" => ONE * 60,
            "h" => ONE * 3600,
            _ => return Err(wrong()),
        };
        // 30s1m is a slip.
        if nanoseconds >= last {
            return Err(wrong());
        }
        last = nanoseconds;
        total = total.saturating_add(number.saturating_mul(nanoseconds) / ONE);
        rest = &behind[end..];
        if rest.is_empty() {
            break;
        }
    }
    if total > LONGEST.as_nanos() {
        return Err(ParseUnitError::new(text, "is longer than a week"));
    }
    Ok(Duration::from_nanos(total as u64))
}

/// Reads how many bytes: `64`, `4k`, `1m`, `4kb`, with 1,024 in a `k`.
///
/// # Errors
///
/// If it is no whole number of bytes, or more than a `u64` has.
pub fn parse_size(text: &str) -> Result<u64, ParseUnitError> {
    let wrong = || ParseUnitError::new(text, "is not a size; write 64, 4k or 1m (bytes)");
    let (number, unit) = decimal(text).ok_or_else(wrong)?;
    let scale: u128 = match &*unit.to_ascii_lowercase() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(scale).ok_or_else(wrong)?;
    if !total.is_multiple_of(ONE) {
        return Err(ParseUnitError::new(text, "is not a whole number of bytes"));
    }
    u64::try_from(total / ONE).map_err(|_| ParseUnitError::new(text, "is too much"))
}

/// The number at the beginning, in parts of a thousand million, and what follows it.
fn decimal(text: &str) -> Option<(u128, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(behind) => behind.split_at(digits(behind)),
        None => ("0", rest),
    };
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > PLACES {
        return None;
    }
    // More digits than this has are too many for every limit, too.
    let whole: u128 = whole.parse::<u64>().unwrap_or(u64::MAX).into();
    let fraction: u128 = format!("{fraction:0<PLACES$}").parse().ok()?;
    Some((whole * ONE + fraction, rest))
}

fn thousands(unit: &str) -> Option<u128> {
    match unit {
        "" => Some(1),
        "k" | "K" => Some(1000),
        "m" | "M" => Some(1_000_000),
        _ => None,
    }
}

/// What was typed, on one line and not too long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_have_suffixes() {
        for (text, count) in [
            ("0", 0),
            ("64", 64),
            ("20k", 20_000),
            ("1.5k", 1500),
            ("1m", 1_000_000),
            ("1M", 1_000_000),
            ("0.001k", 1),
            ("2.0", 2),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        assert_eq!(parse_count("2.50").unwrap_err().to_string(), "\"2.50\" is not a whole number");
    }

    #[test]
    fn what_is_no_count_says_what_to_write() {
        for text in ["", "k", "-1", "+1", "1 k", "1kk", "1g", "1e3", "1.", ".5", "1,000", "٣", "1.0000000001"]
        {
            let error = parse_count(text).expect_err(text).to_string();
            assert!(error.ends_with("is not a count; write 64, 20k or 1.5m"), "{text}: {error}");
        }
        for text in ["18446744073709551616k", "99999999999999999999999999999999999999999m"] {
            assert!(parse_count(text).unwrap_err().to_string().ends_with("is too much"), "{text}");
        }
    }

    #[test]
    fn rates_are_per_second_unless_they_say_otherwise() {
        for (text, rate) in [
            ("500", 500.0),
            ("20k/s", 20_000.0),
            ("1.5k/S", 1500.0),
            ("30/m", 0.5),
            ("6k/M", 100.0),
            ("0.1", 0.1),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for (text, why) in [
            ("0", "no rate at which anything happens"),
            ("1001m/s", "too fast"),
            ("20k/h", "write 500, 20k/s or 30/m"),
            ("/s", "write 500, 20k/s or 30/m"),
            ("20/s/s", "write 500, 20k/s or 30/m"),
        ] {
            assert!(parse_rate(text).unwrap_err().to_string().contains(why), "{text}");
        }
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1m30s", 90_000),
            ("10", 10_000),
            ("0", 0),
            ("168H", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["250us", "250µs", "0.25ms"] {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(250)), "{text}");
        }
        for text in ["", "s", "ten", "10x", "10 s", "-1s", "1m30", "30s1m", "1s1s", "1ms1ms", "1m-1s", "1s."]
        {
            assert!(parse_duration(text).unwrap_err().to_string().contains("write 30s"), "{text}");
        }
        for text in ["169h", "604801", "99999999999999999999999h"] {
            assert!(parse_duration(text).unwrap_err().to_string().ends_with("longer than a week"), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes() {
        for (text, size) in [
            ("64", 64),
            ("64b", 64),
            ("4k", 4096),
            ("4KB", 4096),
            ("1m", 1 << 20),
            ("1.5k", 1536),
            ("2g", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        assert!(parse_size("0.3k").unwrap_err().to_string().contains("whole number of bytes"));
        assert!(parse_size("4kib").unwrap_err().to_string().contains("write 64, 4k or 1m"));
    }

    #[test]
    fn what_was_wrong_is_shown_short_and_on_one_line() {
        let error = parse_count(&"\n\u{1b}x".repeat(1000)).unwrap_err().to_string();
        assert!(error.len() < 400 && error.contains('…') && !error.contains(['\n', '\u{1b}']), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_panics(text in ".*", number in "[0-9.]{0,40}[a-zA-Z/µ]{0,3}[0-9.]{0,5}[a-z]{0,2}") {
            for text in [&*text, &*number] {
                let _ = parse_count(text);
                let _ = parse_rate(text).map(|rate| assert!(rate > 0.0 && rate <= FASTEST));
                let _ = parse_duration(text).map(|time| assert!(time <= LONGEST));
                let _ = parse_size(text);
            }
        }

        #[test]
        fn plain_numbers_are_what_they_say(number: u64) {
            prop_assert_eq!(parse_count(&number.to_string()), Ok(number));
            prop_assert_eq!(parse_size(&number.to_string()), Ok(number));
        }
    }
}

//! Numbers as people write and read them.

use std::time::Duration;

/// The longest duration that is taken: a drain beyond it is a mistake.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `500ms`, `10s`, `1m`, `1h`, or plain seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => 0,
    };
    if number.is_empty() || milliseconds == 0 {
        return Err("not a duration; write 10s, 500ms or 1m".to_owned());
    }
    // More digits than a u64 has are too many for the limit, too.
    let total = number.parse().unwrap_or(u64::MAX).saturating_mul(milliseconds);
    let duration = Duration::from_millis(total);
    if duration > LONGEST { Err("longer than 24h".to_owned()) } else { Ok(duration) }
}

/// A duration as [`parse_duration`] reads it.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 != 0 => format!("{ms}ms"),
        ms => format!("{}s", ms / 1000),
    }
}

/// A number of bytes in four characters at most (below 1000 T): `999`, `1.2k`, `12k`, `3.4M`.
/// Nothing for none.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if bytes < 1000 {
        return if bytes == 0 { String::new() } else { bytes.to_string() };
    }
    let mut scaled = bytes as f64;
    let mut unit = "";
    for next in UNITS {
        // What would be rounded to 1000 is 1.0 of the next unit.
        if scaled < 999.5 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    // Likewise 9.95 is 10.
    if scaled < 9.95 { format!("{scaled:.1}{unit}") } else { format!("{scaled:.0}{unit}") }
}

/// How long something took: `0.1ms`, `12.3s`.
pub(crate) fn took(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 9.99995 { format!("{:.1}ms", seconds * 1000.0) } else { format!("{seconds:.1}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("10s"), Ok(10_000));
        assert_eq!(ms("7"), Ok(7_000));
        assert_eq!(ms("0"), Ok(0));
        assert_eq!(ms("1m"), Ok(60_000));
        assert_eq!(ms("24h"), Ok(86_400_000));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for wrong in ["", "s", "ten", "10x", "10 s", "-1s", "1.5s", "1m30s", "+1", "١s"] {
            assert!(parse_duration(wrong).unwrap_err().contains("not a duration"), "{wrong}");
        }
        for long in ["25h", "86401", "99999999999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(long).unwrap_err().contains("longer than 24h"), "{long}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["500ms", "10s", "0s", "1500ms"] {
            assert_eq!(duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_fit_four_characters() {
        let cases = [
            (0, ""),
            (1, "1"),
            (999, "999"),
            (1000, "1.0k"),
            (1234, "1.2k"),
            (9949, "9.9k"),
            (9950, "10k"),
            (999_499, "999k"),
            (999_500, "1.0M"),
            (10 * 1024 * 1024, "10M"),
            (5_000_000_000, "5.0G"),
            (u64::MAX, "18E"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text, "{bytes}");
            assert!(size(bytes).len() <= 4);
        }
    }

    #[test]
    fn times_are_milliseconds_until_they_are_long() {
        assert_eq!(took(Duration::from_micros(49)), "0.0ms");
        assert_eq!(took(Duration::from_micros(123)), "0.1ms");
        assert_eq!(took(Duration::from_millis(9_999)), "9999.0ms");
        assert_eq!(took(Duration::from_secs(10)), "10.0s");
        assert_eq!(took(Duration::from_secs(86_400)), "86400.0s");
    }
}

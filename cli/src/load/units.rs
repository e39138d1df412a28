//! Numbers as people type them.

use crate::human;
use lakh_loadtest::plan::Stage;

/// A whole number from 1, as `100`, `20k` or `1m`.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    number(text)
        .filter(|number| *number >= 1.0 && number.fract() == 0.0 && *number < 1e15)
        .map(|number| number as u64)
        .ok_or_else(|| "not a whole number from 1; write 100, 20k or 1m".to_owned())
}

/// A number a second, as `500`, `20k` or `20k/s`.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    number(text.strip_suffix("/s").unwrap_or(text))
        .filter(|rate| *rate > 0.0 && *rate <= 1e9)
        .ok_or_else(|| "not a rate; write 500, 20k or 20k/s".to_owned())
}

/// Times and numbers of connections, as `30s:10k,2m:1m`.
pub(super) fn parse_stages(text: &str) -> Result<Vec<Stage>, String> {
    let stage = |part: &str| {
        let (time, connections) = part.split_once(':').ok_or("not stages; write TIME:CONNECTIONS,...")?;
        let time = human::parse_duration(time)?;
        let connections = if connections == "0" { 0 } else { parse_count(connections)? };
        Ok(Stage { time, connections: connections as usize })
    };
    text.split(',').map(stage).collect()
}

fn number(text: &str) -> Option<f64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1e3),
        b'm' | b'M' => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_number.then(|| digits.parse().ok()).flatten().map(|number: f64| number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn numbers_have_suffixes() {
        assert_eq!(parse_count("20k"), Ok(20_000));
        assert_eq!(parse_count("1.5m"), Ok(1_500_000));
        assert_eq!(parse_rate("2.5k/s"), Ok(2_500.0));
        let stage = |seconds, connections| Stage { time: Duration::from_secs(seconds), connections };
        assert_eq!(parse_stages("30s:10k,2m:0"), Ok(vec![stage(30, 10_000), stage(120, 0)]));
        for text in ["", "0", "-1", "1.5", "1e3", "k", "inf", "1g", "1 k", "\u{e9}"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
        for text in ["", "0", "0/s", "x/s", "nan"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        for text in ["", "30s", "30s:", ":5", "30s:5,"] {
            assert!(parse_stages(text).is_err(), "{text}");
        }
    }
}

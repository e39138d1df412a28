//! Byte ranges (RFC 9110, 14).

use smallvec::SmallVec;

use crate::files::text::Text;

/// What to send of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeOutcome {
    /// 200 with all of it: the field has another unit, bad syntax, or too many ranges, and is ignored.
    Whole,
    /// 206 with this part.
    Single(Part),
    /// Two to eight parts that neither overlap nor touch, in the order in which they were asked for. This
    /// release sends the whole file instead.
    Several(SmallVec<[Part; MAX_RANGES]>),
    /// 416 with [`ContentRange::unsatisfied`]: nothing that was asked for is in the file.
    Unsatisfiable,
}

/// A part of a file that is not empty: `start + len` is at most the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Part {
    fn end(self) -> u64 {
        self.start + self.len
    }

    fn touches(self, other: Part) -> bool {
        self.start <= other.end() && other.start <= self.end()
    }

    fn joined_with(self, other: Part) -> Part {
        let start = self.start.min(other.start);
        Part { start, len: self.end().max(other.end()) - start }
    }
}

/// What a value of `Range` means for a file of `size` bytes.
pub(crate) fn parse(value: &[u8], size: u64) -> RangeOutcome {
    match wanted_parts(value, size) {
        None => RangeOutcome::Whole,
        Some(parts) => match parts[..] {
            [] => RangeOutcome::Unsatisfiable,
            [part] => RangeOutcome::Single(part),
            _ => RangeOutcome::Several(parts),
        },
    }
}

/// A value of `Content-Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    text: Text<LONGEST_CONTENT_RANGE>,
}

impl ContentRange {
    /// For 206: `bytes 0-499/1234`.
    pub(crate) fn of(part: Part, size: u64) -> Self {
        let mut text = Text::new();
        text.push(b"bytes ");
        text.push_decimal(part.start);
        text.push(b"-");
        text.push_decimal(part.end() - 1);
        text.push(b"/");
        text.push_decimal(size);
        ContentRange { text }
    }

    /// For 416: `bytes */1234`.
    pub(crate) fn unsatisfied(size: u64) -> Self {
        let mut text = Text::new();
        text.push(b"bytes */");
        text.push_decimal(size);
        ContentRange { text }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// The parts that are in the file, merged; none if the field is to be ignored.
fn wanted_parts(value: &[u8], size: u64) -> Option<SmallVec<[Part; MAX_RANGES]>> {
    let mut parts = SmallVec::new();
    let mut count = 0;
    for element in range_set(value)?.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if element.is_empty() {
            continue;
        }
        count += 1;
        match Spec::parse(element)?.within(size) {
            _ if count > MAX_RANGES => return None,
            Within::Nothing => {}
            Within::Everything => return None,
            Within::Part(part) => merge(&mut parts, part),
        }
    }
    (count > 0).then_some(parts)
}

/// What follows `bytes=`.
fn range_set(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.trim_ascii().split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// Joins the part with those that it touches; it takes the place of the first of them.
fn merge(parts: &mut SmallVec<[Part; MAX_RANGES]>, part: Part) {
    let mut joined = part;
    let mut place = parts.len();
    while let Some(touched) = parts.iter().position(|&other| other.touches(joined)) {
        joined = joined.joined_with(parts.remove(touched));
        place = place.min(touched);
    }
    parts.insert(place.min(parts.len()), joined);
}

/// One range as it was asked for. Numbers too big for 64 bits are as good as the biggest.
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

enum Within {
    Nothing,
    Part(Part),
    /// The end of a file that has no bytes: satisfiable, but not a part that could be named.
    Everything,
}

impl Spec {
    fn parse(element: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', element)?;
        let (first, last) = (&element[..dash], &element[dash + 1..]);
        match (first, last) {
            (b"", last) => Some(Spec::Last(number(last)?)),
            (first, b"") => Some(Spec::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::Between(first, last))
            }
        }
    }

    fn within(self, size: u64) -> Within {
        let (start, end) = match self {
            Spec::Last(0) => return Within::Nothing,
            Spec::Last(_) if size == 0 => return Within::Everything,
            Spec::Last(len) => (size.saturating_sub(len), size),
            Spec::From(first) => (first, size),
            Spec::Between(first, last) => (first, last.saturating_add(1).min(size)),
        };
        match end.checked_sub(start) {
            None | Some(0) => Within::Nothing,
            Some(len) => Within::Part(Part { start, len }),
        }
    }
}

/// Digits only, at least one.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append = |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, append))
}

/// More ranges than this are not worth their cost: the whole file is sent.
const MAX_RANGES: usize = 8;

/// `bytes `, two positions, a size, `-` and `/`.
const LONGEST_CONTENT_RANGE: usize = 6 + 20 + 1 + 20 + 1 + 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn single(start: u64, len: u64) -> RangeOutcome {
        RangeOutcome::Single(Part { start, len })
    }

    fn several(parts: &[(u64, u64)]) -> RangeOutcome {
        RangeOutcome::Several(parts.iter().map(|&(start, len)| Part { start, len }).collect())
    }

    #[test]
    fn a_range_is_clamped_to_the_file() {
        for (value, start, len) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-499", 0, 500),
            ("bytes=0-500", 0, 500),
            ("bytes=499-499", 499, 1),
            ("bytes=499-99999999", 499, 1),
            ("bytes=100-", 100, 400),
            ("bytes=0-", 0, 500),
            ("bytes=007-08", 7, 2),
        ] {
            assert_eq!(parse(value.as_bytes(), 500), single(start, len), "{value}");
        }
    }

    #[test]
    fn a_suffix_longer_than_the_file_is_the_whole_file() {
        for (value, start, len) in [
            ("bytes=-1", 499, 1),
            ("bytes=-500", 0, 500),
            ("bytes=-501", 0, 500),
            ("bytes=-99999999999999999999", 0, 500),
        ] {
            assert_eq!(parse(value.as_bytes(), 500), single(start, len), "{value}");
        }
    }

    #[test]
    fn the_unit_has_no_case_and_white_space_around_ranges_is_allowed() {
        for value in [
            "Bytes=1-2",
            "BYTES=1-2",
            "bytes= 1-2",
            "bytes=1-2 ",
            " bytes=1-2",
            "bytes=,1-2,",
            "bytes=\t1-2 , ",
        ] {
            assert_eq!(parse(value.as_bytes(), 500), single(1, 2), "{value}");
        }
    }

    #[test]
    fn another_unit_or_bad_syntax_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=--1",
            "bytes=1",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=2-1",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=0x1-2",
            "bytes=1 - 2",
            "bytes=1-2-3",
            "bytes=1.0-2",
            "bytes =1-2",
            "byte=1-2",
            "items=1-2",
            "bytes:1-2",
            "bytes=1-2;3-4",
            "bytes=1-2,x",
            "bytes=1-2,2-1",
            "bytes=\u{661}-2",
            "none",
            "bytes=0-0,-",
        ] {
            assert_eq!(parse(value.as_bytes(), 500), RangeOutcome::Whole, "{value}");
        }
    }

    #[test]
    fn nothing_in_the_file_is_unsatisfiable() {
        for value in
            ["bytes=500-", "bytes=500-600", "bytes=-0", "bytes=500-,-0", "bytes=99999999999999999999-"]
        {
            assert_eq!(parse(value.as_bytes(), 500), RangeOutcome::Unsatisfiable, "{value}");
        }
    }

    #[test]
    fn an_empty_file_has_no_part_but_has_an_end() {
        for value in ["bytes=0-", "bytes=0-0", "bytes=-0", "bytes=1-"] {
            assert_eq!(parse(value.as_bytes(), 0), RangeOutcome::Unsatisfiable, "{value}");
        }
        assert_eq!(parse(b"bytes=-1", 0), RangeOutcome::Whole);
    }

    #[test]
    fn arithmetic_is_checked_at_64_bits() {
        let max = u64::MAX;
        for (value, size, outcome) in [
            (format!("bytes=0-{max}"), max, single(0, max)),
            (format!("bytes={}-", max - 1), max, single(max - 1, 1)),
            (format!("bytes={max}-"), max, RangeOutcome::Unsatisfiable),
            (format!("bytes=-{max}"), max, single(0, max)),
            (format!("bytes=5-{max}0"), 10, single(5, 5)),
            (format!("bytes=18446744073709551616-{max}0"), max, RangeOutcome::Unsatisfiable),
            (format!("bytes=0-{max},1-{max}"), 1 << 40, single(0, 1 << 40)),
        ] {
            assert_eq!(parse(value.as_bytes(), size), outcome, "{value}");
        }
    }

    #[test]
    fn one_satisfiable_range_among_several_is_a_plain_part() {
        for value in ["bytes=1-2,500-", "bytes=600-700, 1-2, -0", "bytes=1-1,2-2", "bytes=2-2,1-2"] {
            assert_eq!(parse(value.as_bytes(), 500), single(1, 2), "{value}");
        }
    }

    #[test]
    fn parts_that_overlap_or_touch_are_merged_in_the_order_asked_for() {
        for (value, parts) in [
            ("bytes=0-1,4-5", &[(0, 2), (4, 2)][..]),
            ("bytes=4-5,0-1", &[(4, 2), (0, 2)]),
            ("bytes=10-19,0-4,15-29", &[(10, 20), (0, 5)]),
            ("bytes=10-19,30-39,0-1,20-29", &[(10, 30), (0, 2)]),
            ("bytes=0-1,10-11,20-21,9-22", &[(0, 2), (9, 14)]),
            ("bytes=-1,0-0", &[(499, 1), (0, 1)]),
        ] {
            assert_eq!(parse(value.as_bytes(), 500), several(parts), "{value}");
        }
    }

    #[test]
    fn more_than_eight_ranges_are_ignored() {
        let ranges = |count: u64| {
            let specs: Vec<_> = (0..count).map(|n| format!("{}-{}", 10 * n, 10 * n)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(matches!(parse(ranges(8).as_bytes(), 500), RangeOutcome::Several(parts) if parts.len() == 8));
        assert_eq!(parse(ranges(9).as_bytes(), 500), RangeOutcome::Whole);
        assert_eq!(parse(format!("{},0-400", ranges(8)).as_bytes(), 500), RangeOutcome::Whole);
        assert_eq!(parse(b"bytes=0-,0-,0-,0-,0-,0-,0-,0-,0-", 500), RangeOutcome::Whole);
        assert_eq!(parse(b"bytes=,,,,,,,,,,,,0-", 500), single(0, 500));
    }

    #[test]
    fn content_range_names_the_last_byte_and_the_size() {
        for (start, len, size, text) in [
            (0, 500, 1234, "bytes 0-499/1234"),
            (0, 1, 1, "bytes 0-0/1"),
            (
                u64::MAX - 1,
                1,
                u64::MAX,
                "bytes 18446744073709551614-18446744073709551614/18446744073709551615",
            ),
        ] {
            assert_eq!(ContentRange::of(Part { start, len }, size).as_bytes(), text.as_bytes());
        }
        assert_eq!(ContentRange::unsatisfied(0).as_bytes(), b"bytes */0");
        assert_eq!(ContentRange::unsatisfied(u64::MAX).as_bytes(), b"bytes */18446744073709551615");
    }

    fn parts_of(outcome: &RangeOutcome) -> Vec<Part> {
        match outcome {
            RangeOutcome::Single(part) => vec![*part],
            RangeOutcome::Several(parts) => parts.to_vec(),
            RangeOutcome::Whole | RangeOutcome::Unsatisfiable => Vec::new(),
        }
    }

    /// Which bytes of a small file a range asks for, byte by byte.
    fn oracle(spec: (Option<u64>, Option<u64>), position: u64, size: u64) -> bool {
        match spec {
            (Some(first), Some(last)) => first <= position && position <= last,
            (Some(first), None) => first <= position,
            (None, Some(last)) => position + last >= size,
            (None, None) => unreachable!(),
        }
    }

    fn specs() -> impl Strategy<Value = Vec<(Option<u64>, Option<u64>)>> {
        let spec = prop_oneof![
            (0..40_u64, 0..40_u64).prop_map(|(first, more)| (Some(first), Some(first + more))),
            (0..40_u64).prop_map(|first| (Some(first), None)),
            (0..40_u64).prop_map(|last| (None, Some(last))),
        ];
        prop::collection::vec(spec, 1..=MAX_RANGES)
    }

    proptest! {
        #[test]
        fn the_parts_are_the_bytes_that_were_asked_for(specs in specs(), size in 1..40_u64) {
            let digits = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
            let texts: Vec<_> = specs.iter().map(|&(first, last)| format!("{}-{}", digits(first), digits(last))).collect();
            let outcome = parse(format!("bytes={}", texts.join(",")).as_bytes(), size);
            let parts = parts_of(&outcome);
            for position in 0..size {
                let wanted = specs.iter().any(|&spec| oracle(spec, position, size));
                let holders = parts.iter().filter(|part| part.start <= position && position < part.end()).count();
                prop_assert_eq!(holders, usize::from(wanted), "{} in {:?}", position, outcome);
            }
            prop_assert_eq!(parts.is_empty(), outcome == RangeOutcome::Unsatisfiable);
        }

        #[test]
        fn every_part_is_within_the_file(value in "bytes=([0-9]{0,20}-[0-9]{0,20},?){1,9}", size: u64) {
            let outcome = parse(value.as_bytes(), size);
            let parts = parts_of(&outcome);
            for (index, part) in parts.iter().enumerate() {
                prop_assert!(part.len > 0 && part.start.checked_add(part.len).is_some_and(|end| end <= size));
                prop_assert!(!parts[..index].iter().any(|other| other.touches(*part)));
                ContentRange::of(*part, size);
            }
        }

        #[test]
        fn any_bytes_are_survived(value in prop::collection::vec(any::<u8>(), 0..32), size: u64) {
            parse(&value, size);
            parse(&[b"bytes=", &value[..]].concat(), size);
        }
    }
}

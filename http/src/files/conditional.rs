//! Preconditions, in the order of RFC 9110, 13.2.2.

use std::time::UNIX_EPOCH;

use http::Method;
use smallvec::SmallVec;

use crate::files::etag::{LastModified, Tag, Validators, is_any, tags};

/// The fields of a request that make it conditional or ask for a part, picked out in one pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions<'a> {
    if_match: Lines<'a>,
    if_none_match: Lines<'a>,
    if_modified_since: Single<'a>,
    if_unmodified_since: Single<'a>,
    if_range: Single<'a>,
    range: Single<'a>,
}

type Lines<'a> = SmallVec<[&'a [u8]; 1]>;

impl<'a> Conditions<'a> {
    /// Reads them from all header fields of a request. Names are compared without regard to case.
    pub(crate) fn read<N: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, &'a [u8])>) -> Self {
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            conditions.take(name.as_ref(), value);
        }
        conditions
    }

    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        match name.len() {
            5 if is("range") => self.range.take(value),
            8 if is("if-match") => self.if_match.push(value),
            8 if is("if-range") => self.if_range.take(value),
            13 if is("if-none-match") => self.if_none_match.push(value),
            17 if is("if-modified-since") => self.if_modified_since.take(value),
            19 if is("if-unmodified-since") => self.if_unmodified_since.take(value),
            _ => {}
        }
    }

    /// The value of `Range`, for [`range::parse`](super::range::parse) once [`evaluate`] has allowed it.
    pub(crate) fn range(&self) -> Option<&'a [u8]> {
        self.range.get()
    }
}

/// A field that is one value. Sent more than once it says nothing, but it was there.
#[derive(Clone, Copy, Debug, Default)]
enum Single<'a> {
    #[default]
    Absent,
    Value(&'a [u8]),
    Repeated,
}

impl<'a> Single<'a> {
    fn take(&mut self, value: &'a [u8]) {
        *self = match self {
            Single::Absent => Single::Value(value),
            _ => Single::Repeated,
        };
    }

    fn get(self) -> Option<&'a [u8]> {
        if let Single::Value(value) = self { Some(value) } else { None }
    }
}

/// What the preconditions allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Answer. `range_allowed`: there is a `Range`, and this is a request that may have a part.
    Proceed { range_allowed: bool },
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates the preconditions of a request for a file that exists and would be answered with 200; before an
/// error or a redirect they do not count.
pub(crate) fn evaluate(method: &Method, conditions: &Conditions<'_>, validators: &Validators) -> Decision {
    if !may_proceed(conditions, validators) {
        return Decision::PreconditionFailed;
    }
    if is_current(method, conditions, validators) {
        return match *method {
            Method::GET | Method::HEAD => Decision::NotModified,
            _ => Decision::PreconditionFailed,
        };
    }
    Decision::Proceed { range_allowed: is_range_allowed(method, conditions, validators) }
}

/// `If-Match`, else `If-Unmodified-Since`.
fn may_proceed(conditions: &Conditions<'_>, validators: &Validators) -> bool {
    if !conditions.if_match.is_empty() {
        return conditions.if_match.iter().any(|line| matches(line, |tag| strong_eq(validators, tag)));
    }
    match (conditions.if_unmodified_since.get().and_then(parse_date), validators.last_modified) {
        (Some(date), Some(modified)) => modified.secs() <= date,
        _ => true,
    }
}

/// `If-None-Match`, else `If-Modified-Since`: whether the client has what we would send.
fn is_current(method: &Method, conditions: &Conditions<'_>, validators: &Validators) -> bool {
    if !conditions.if_none_match.is_empty() {
        return conditions.if_none_match.iter().any(|line| matches(line, |tag| weak_eq(validators, tag)));
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    match (conditions.if_modified_since.get().and_then(parse_date), validators.last_modified) {
        (Some(date), Some(modified)) => modified.secs() <= date,
        _ => false,
    }
}

/// `Range` is for GET alone, and `If-Range` must name what we have, exactly and strongly.
fn is_range_allowed(method: &Method, conditions: &Conditions<'_>, validators: &Validators) -> bool {
    if *method != Method::GET || conditions.range().is_none() {
        return false;
    }
    match conditions.if_range {
        Single::Absent => true,
        Single::Value(value) => match Tag::parse(value) {
            Some(tag) => strong_eq(validators, tag),
            None => validators.last_modified.is_some_and(|modified| is_exactly(modified, value)),
        },
        Single::Repeated => false,
    }
}

fn matches(line: &[u8], is_ours: impl FnMut(Tag<'_>) -> bool) -> bool {
    is_any(line) || tags(line).any(is_ours)
}

fn strong_eq(validators: &Validators, tag: Tag<'_>) -> bool {
    validators.etag.is_some_and(|etag| etag.strong_eq(tag))
}

fn weak_eq(validators: &Validators, tag: Tag<'_>) -> bool {
    validators.etag.is_some_and(|etag| etag.weak_eq(tag))
}

fn is_exactly(modified: LastModified, date: &[u8]) -> bool {
    modified.is_strong() && parse_date(date) == Some(modified.secs())
}

/// Seconds since 1970, from any of the three formats of a date.
fn parse_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok().filter(|text| text.is_ascii())?;
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MODIFIED: i64 = 784_111_777;
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const WHOLE: Decision = Decision::Proceed { range_allowed: false };
    const PART: Decision = Decision::Proceed { range_allowed: true };
    use Decision::{NotModified, PreconditionFailed};

    fn at_age(age: u64) -> Validators {
        let now = UNIX_EPOCH + Duration::from_secs(MODIFIED as u64 + age);
        Validators::new(MODIFIED, 0, 500, now)
    }

    fn old() -> Validators {
        at_age(1000)
    }

    /// The tag in the header lines stands for the one that the file has.
    fn decide(method: &Method, validators: &Validators, lines: &[(&str, &str)]) -> Decision {
        let etag = validators.etag.map(|etag| String::from_utf8(etag.as_bytes().to_vec()).unwrap());
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| (*name, value.replace("OURS", etag.as_deref().unwrap_or(""))))
            .collect();
        let fields = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        evaluate(method, &Conditions::read(fields), validators)
    }

    fn get(lines: &[(&str, &str)]) -> Decision {
        decide(&Method::GET, &old(), lines)
    }

    #[test]
    fn without_preconditions_the_file_is_sent() {
        assert_eq!(get(&[]), WHOLE);
        assert_eq!(
            get(&[("accept", "*/*"), ("host", "a"), ("x-if-match", "b"), ("cookie-names1", "c")]),
            WHOLE
        );
        assert_eq!(get(&[("range", "bytes=0-1")]), PART);
    }

    #[test]
    fn if_none_match_finds_our_tag_weakly() {
        for value in ["OURS", "W/OURS", "\"x\", OURS", "\"a,b\" ,W/\"y\",OURS", "*", ",OURS,"] {
            assert_eq!(get(&[("If-None-Match", value)]), NotModified, "{value}");
            assert_eq!(decide(&Method::HEAD, &old(), &[("if-none-match", value)]), NotModified, "{value}");
        }
        for value in ["\"x\"", "W/\"x\"", "", "x", "\"*\"", "\"OURS", "xOURS", "OURSx"] {
            assert_eq!(get(&[("if-none-match", value)]), WHOLE, "{value}");
        }
    }

    #[test]
    fn if_none_match_may_have_several_lines() {
        assert_eq!(get(&[("if-none-match", "\"x\""), ("IF-NONE-MATCH", "OURS")]), NotModified);
        assert_eq!(get(&[("if-none-match", "\"x\""), ("if-none-match", "\"y\"")]), WHOLE);
    }

    #[test]
    fn a_match_of_if_none_match_fails_other_methods() {
        assert_eq!(decide(&Method::PUT, &old(), &[("if-none-match", "*")]), PreconditionFailed);
        assert_eq!(decide(&Method::DELETE, &old(), &[("if-none-match", "OURS")]), PreconditionFailed);
    }

    #[test]
    fn if_modified_since_compares_whole_seconds() {
        for (date, decision) in [(AT, NotModified), (AFTER, NotModified), (BEFORE, WHOLE)] {
            assert_eq!(get(&[("if-modified-since", date)]), decision, "{date}");
        }
        let late_in_its_second =
            Validators::new(MODIFIED, 999_999_999, 500, UNIX_EPOCH + Duration::from_secs(1 << 32));
        assert_eq!(decide(&Method::GET, &late_in_its_second, &[("if-modified-since", AT)]), NotModified);
    }

    #[test]
    fn the_three_formats_of_a_date_are_read() {
        for date in [
            AT,
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(get(&[("if-modified-since", date)]), NotModified, "{date}");
            assert_eq!(get(&[("if-unmodified-since", date)]), WHOLE, "{date}");
            assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", date)]), PART, "{date}");
        }
    }

    #[test]
    fn a_date_that_does_not_parse_is_ignored() {
        for date in [
            "",
            "0",
            "now",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Feb 2094 08:49:37 GMT",
            "2094-11-06",
            "é",
            "Sün, 06 Nov 2094 08:49:37 GMT",
        ] {
            assert_eq!(get(&[("if-modified-since", date)]), WHOLE, "{date}");
            assert_eq!(get(&[("if-unmodified-since", date)]), WHOLE, "{date}");
        }
        assert_eq!(get(&[("if-modified-since", AT), ("if-modified-since", AT)]), WHOLE);
        assert_eq!(get(&[("if-unmodified-since", BEFORE), ("if-unmodified-since", BEFORE)]), WHOLE);
    }

    #[test]
    fn if_modified_since_is_for_get_and_head() {
        assert_eq!(decide(&Method::HEAD, &old(), &[("if-modified-since", AT)]), NotModified);
        assert_eq!(decide(&Method::POST, &old(), &[("if-modified-since", AT)]), WHOLE);
    }

    #[test]
    fn if_none_match_overrides_if_modified_since() {
        assert_eq!(get(&[("if-modified-since", AFTER), ("if-none-match", "\"x\"")]), WHOLE);
        assert_eq!(get(&[("if-modified-since", AFTER), ("if-none-match", "broken")]), WHOLE);
        assert_eq!(get(&[("if-modified-since", BEFORE), ("if-none-match", "OURS")]), NotModified);
    }

    #[test]
    fn if_match_compares_strongly() {
        for (value, decision) in [
            ("OURS", WHOLE),
            ("*", WHOLE),
            ("\"x\", OURS", WHOLE),
            ("W/OURS", PreconditionFailed),
            ("\"x\"", PreconditionFailed),
            ("broken", PreconditionFailed),
            ("", PreconditionFailed),
        ] {
            assert_eq!(get(&[("if-match", value)]), decision, "{value}");
        }
        assert_eq!(decide(&Method::GET, &at_age(1), &[("if-match", "OURS")]), PreconditionFailed);
    }

    #[test]
    fn if_unmodified_since_fails_when_the_file_is_newer() {
        for (date, decision) in [(AT, WHOLE), (AFTER, WHOLE), (BEFORE, PreconditionFailed)] {
            assert_eq!(get(&[("if-unmodified-since", date)]), decision, "{date}");
        }
    }

    #[test]
    fn if_match_overrides_if_unmodified_since() {
        assert_eq!(get(&[("if-match", "OURS"), ("if-unmodified-since", BEFORE)]), WHOLE);
        assert_eq!(get(&[("if-match", "\"x\""), ("if-unmodified-since", AFTER)]), PreconditionFailed);
    }

    #[test]
    fn a_failed_precondition_comes_before_not_modified() {
        assert_eq!(get(&[("if-none-match", "OURS"), ("if-match", "\"x\"")]), PreconditionFailed);
        assert_eq!(get(&[("if-modified-since", AT), ("if-unmodified-since", BEFORE)]), PreconditionFailed);
        assert_eq!(get(&[("if-match", "OURS"), ("if-none-match", "OURS")]), NotModified);
    }

    #[test]
    fn not_modified_comes_before_the_range() {
        assert_eq!(get(&[("range", "bytes=0-1"), ("if-none-match", "OURS")]), NotModified);
        assert_eq!(
            get(&[("range", "bytes=0-1"), ("if-range", "\"x\""), ("if-modified-since", AT)]),
            NotModified
        );
    }

    #[test]
    fn if_range_wants_exactly_what_we_have() {
        for (value, decision) in [
            ("OURS", PART),
            (" OURS ", PART),
            ("W/OURS", WHOLE),
            ("\"x\"", WHOLE),
            ("OURS, OURS", WHOLE),
            ("*", WHOLE),
            ("", WHOLE),
            (AT, PART),
            (BEFORE, WHOLE),
            (AFTER, WHOLE),
        ] {
            assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", value)]), decision, "{value}");
        }
        assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", "OURS"), ("if-range", "OURS")]), WHOLE);
        assert_eq!(get(&[("if-range", "OURS")]), WHOLE);
    }

    #[test]
    fn a_young_file_has_no_validator_that_is_strong_enough_for_if_range() {
        for (age, decision) in [(0, WHOLE), (1, WHOLE), (2, PART)] {
            for value in ["OURS", AT] {
                let lines = [("range", "bytes=0-1"), ("if-range", value)];
                assert_eq!(decide(&Method::GET, &at_age(age), &lines), decision, "{age} s: {value}");
            }
            assert_eq!(decide(&Method::GET, &at_age(age), &[("range", "bytes=0-1")]), PART);
        }
    }

    #[test]
    fn a_range_is_for_get_and_is_sent_once() {
        assert_eq!(decide(&Method::HEAD, &old(), &[("range", "bytes=0-1")]), WHOLE);
        assert_eq!(decide(&Method::POST, &old(), &[("range", "bytes=0-1")]), WHOLE);
        assert_eq!(get(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]), WHOLE);
    }

    #[test]
    fn a_file_without_validators_matches_only_a_star() {
        for (name, value, decision) in [
            ("if-none-match", "\"\"", WHOLE),
            ("if-none-match", "*", NotModified),
            ("if-match", "\"x\"", PreconditionFailed),
            ("if-match", "*", WHOLE),
            ("if-modified-since", AFTER, WHOLE),
            ("if-unmodified-since", BEFORE, WHOLE),
        ] {
            assert_eq!(
                decide(&Method::GET, &Validators::NONE, &[(name, value)]),
                decision,
                "{name}: {value}"
            );
        }
        for value in ["\"x\"", AT, "Thu, 01 Jan 1970 00:00:00 GMT"] {
            let lines = [("range", "bytes=0-1"), ("if-range", value)];
            assert_eq!(decide(&Method::GET, &Validators::NONE, &lines), WHOLE, "{value}");
        }
    }
}

//! Validators: what tells one state of a file from another.
//!
//! The tag is made of the modification time in nanoseconds and the size. It is strong, except while the file is
//! so young that it could be written again without its modification time moving on: then it is weak, and its
//! text differs from the strong one that follows, so that a copy taken in the middle of writing is never
//! confirmed later.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::files::text::Text;

/// What a file is compared by. Build tools that want reproducible archives set the modification time to 0 or 1:
/// such a file has no validators, and neither has one from before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    pub(crate) etag: Option<ETag>,
    pub(crate) last_modified: Option<LastModified>,
}

impl Validators {
    pub(crate) const NONE: Validators = Validators { etag: None, last_modified: None };

    /// The validators of a file of which `fstat` gave modification time and size. A time in the future gives a
    /// weak tag and no date: a `Last-Modified` must not be later than `Date`.
    pub(crate) fn new(mtime_secs: i64, mtime_nanos: u32, size: u64, now: SystemTime) -> Self {
        let Ok(secs @ 2..) = u64::try_from(mtime_secs) else { return Self::NONE };
        let mtime = Duration::new(secs, mtime_nanos.min(999_999_999));
        let age = now.duration_since(UNIX_EPOCH).unwrap_or_default().checked_sub(mtime);
        let settled = age.is_some_and(|age| age >= SETTLED_AFTER);
        Validators {
            etag: Some(ETag::of_file(mtime, size, settled)),
            last_modified: age.filter(|_| secs < YEAR_10000).map(|_| LastModified { secs, settled }),
        }
    }
}

/// An entity tag of ours, as it stands in the header, quotes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ETag {
    text: Text<LONGEST_ETAG>,
}

impl ETag {
    fn of_file(mtime: Duration, size: u64, settled: bool) -> Self {
        let mut text = Text::new();
        text.push(if settled { b"\"" } else { b"W/\"" });
        text.push_hex(mtime.as_nanos());
        text.push(b"-");
        text.push_hex(size.into());
        text.push(if settled { b"\"" } else { b"~\"" });
        ETag { text }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    pub(crate) fn is_weak(&self) -> bool {
        self.as_bytes().starts_with(b"W/")
    }

    /// The tag without the mark of weakness.
    fn opaque(&self) -> &[u8] {
        self.as_tag().opaque
    }

    fn as_tag(&self) -> Tag<'_> {
        let bytes = self.as_bytes();
        match bytes.strip_prefix(b"W/") {
            Some(opaque) => Tag { weak: true, opaque },
            None => Tag { weak: false, opaque: bytes },
        }
    }

    /// Both tags are strong and the same.
    pub(crate) fn strong_eq(&self, tag: Tag<'_>) -> bool {
        !tag.weak && !self.is_weak() && self.opaque() == tag.opaque
    }

    /// The tags are the same but for weakness.
    pub(crate) fn weak_eq(&self, tag: Tag<'_>) -> bool {
        self.opaque() == tag.opaque
    }
}

/// The whole second in which a file was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastModified {
    secs: u64,
    settled: bool,
}

impl LastModified {
    /// Seconds since 1970.
    pub(crate) fn secs(&self) -> u64 {
        self.secs
    }

    /// Whether an equal date means equal bytes: the file was not written in the two seconds before now.
    pub(crate) fn is_strong(&self) -> bool {
        self.settled
    }

    /// The date in the form in which it is sent.
    pub(crate) fn to_bytes(self) -> [u8; 29] {
        use std::io::Write;
        let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(self.secs));
        let mut bytes = [b' '; 29];
        write!(&mut bytes[..], "{date}").expect("a date has 29 bytes until the year 9999");
        bytes
    }
}

/// One entity tag of a request; `opaque` has its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    pub(crate) weak: bool,
    pub(crate) opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// The tag that the whole value is.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        match Self::split_from(value.trim_ascii())? {
            (tag, b"") => Some(tag),
            _ => None,
        }
    }

    /// The tag at the start of the value, and what follows it.
    fn split_from(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match value.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, value),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&byte| !is_tag_byte(byte))?;
        if inner[end] != b'"' {
            return None;
        }
        let (opaque, rest) = quoted.split_at(end + 2);
        Some((Tag { weak, opaque }, rest))
    }
}

/// Whether a value of `If-Match` or `If-None-Match` is `*`: any file at all.
pub(crate) fn is_any(value: &[u8]) -> bool {
    value.trim_ascii() == b"*"
}

/// The tags of one line of `If-Match` or `If-None-Match`. An element that is no tag matches nothing; the reading
/// goes on after the next comma.
pub(crate) fn tags(line: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_ascii_start();
            if rest.is_empty() {
                return None;
            }
            let found = Tag::split_from(rest);
            let after = found.map_or(rest, |(_, after)| after);
            let comma = memchr::memchr(b',', after);
            rest = comma.map_or(&[], |comma| &after[comma + 1..]);
            let element_end = comma.unwrap_or(after.len());
            if let Some((tag, _)) = found
                && after[..element_end].trim_ascii().is_empty()
            {
                return Some(tag);
            }
        }
    })
}

/// Visible bytes but the quote. There are no escapes in a tag.
fn is_tag_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

/// The coarsest step in which a file system counts modification times (FAT).
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The first second that an HTTP date cannot say.
const YEAR_10000: u64 = 253_402_300_800;

/// `W/"`, nanoseconds of any `Duration` (94 bits), `-`, size, `~`, `"`.
const LONGEST_ETAG: usize = 3 + 24 + 1 + 16 + 1 + 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn validators(secs: i64, nanos: u32, size: u64) -> Validators {
        Validators::new(secs, nanos, size, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    fn etag_text(validators: &Validators) -> String {
        String::from_utf8(validators.etag.unwrap().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_settled_file_has_a_strong_tag_of_time_and_size() {
        let settled = validators(1_600_000_000, 123, 0x1f4);
        assert_eq!(etag_text(&settled), format!("\"{:x}-1f4\"", 1_600_000_000_000_000_123_u64));
        assert!(!settled.etag.unwrap().is_weak());
        assert_eq!(&settled.last_modified.unwrap().to_bytes(), b"Sun, 13 Sep 2020 12:26:40 GMT");
        assert_ne!(settled.etag, validators(1_600_000_000, 124, 0x1f4).etag);
        assert_ne!(settled.etag, validators(1_600_000_000, 123, 0x1f5).etag);
    }

    #[test]
    fn a_file_younger_than_two_seconds_has_a_weak_tag() {
        let now = NOW as i64;
        for (secs, nanos, weak) in [
            (now - 2, 0, false),
            (now - 2, 1, true),
            (now - 1, 0, true),
            (now, 0, true),
            (now - 3, 999_999_999, false),
        ] {
            let young = validators(secs, nanos, 5);
            assert_eq!(young.etag.unwrap().is_weak(), weak, "{secs}.{nanos}");
            assert_eq!(young.last_modified.unwrap().is_strong(), !weak, "{secs}.{nanos}");
        }
    }

    #[test]
    fn the_tag_of_a_young_file_never_matches_the_one_that_follows() {
        let mtime = UNIX_EPOCH + Duration::from_secs(NOW);
        let young = Validators::new(NOW as i64, 0, 5, mtime).etag.unwrap();
        let settled = Validators::new(NOW as i64, 0, 5, mtime + Duration::from_secs(2)).etag.unwrap();
        assert!(!settled.weak_eq(young.as_tag()));
        assert!(young.weak_eq(young.as_tag()));
    }

    #[test]
    fn a_file_from_the_future_has_a_weak_tag_and_no_date() {
        for secs in [NOW as i64 + 1, 253_402_300_800, i64::MAX] {
            let future = validators(secs, 999_999_999, u64::MAX);
            assert!(future.etag.unwrap().is_weak());
            assert_eq!(future.last_modified, None);
        }
    }

    #[test]
    fn files_of_reproducible_builds_have_no_validators() {
        for secs in [0, 1, -1, i64::MIN] {
            assert_eq!(validators(secs, 7, 5), Validators::NONE, "{secs}");
        }
        assert_ne!(validators(2, 0, 5), Validators::NONE);
    }

    #[test]
    fn a_clock_before_1970_or_after_9999_is_survived() {
        let before = Validators::new(5, 0, 5, UNIX_EPOCH - Duration::from_secs(9));
        assert!(before.etag.unwrap().is_weak() && before.last_modified.is_none());
        let after = UNIX_EPOCH + Duration::from_secs(YEAR_10000 + 9);
        assert!(Validators::new(YEAR_10000 as i64, 0, 5, after).last_modified.is_none());
        let last = Validators::new(YEAR_10000 as i64 - 1, 0, 5, after).last_modified.unwrap();
        assert_eq!(&last.to_bytes(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_longest_tag_fits() {
        let longest = validators(i64::MAX, 999_999_999, u64::MAX);
        assert!(etag_text(&longest).ends_with("-ffffffffffffffff~\""));
        Tag::parse(longest.etag.unwrap().as_bytes()).unwrap();
    }

    #[test]
    fn strong_comparison_wants_two_strong_tags() {
        let strong = validators(1_600_000_000, 0, 5).etag.unwrap();
        let weak = validators(NOW as i64, 0, 5).etag.unwrap();
        let weakened = Tag { weak: true, ..strong.as_tag() };
        assert!(strong.strong_eq(strong.as_tag()) && strong.weak_eq(strong.as_tag()));
        assert!(!strong.strong_eq(weakened) && strong.weak_eq(weakened));
        assert!(!weak.strong_eq(weak.as_tag()) && weak.weak_eq(weak.as_tag()));
        assert!(!strong.weak_eq(weak.as_tag()));
    }

    fn texts(line: &str) -> Vec<String> {
        let text = |tag: Tag<'_>| {
            format!("{}{}", if tag.weak { "W/" } else { "" }, String::from_utf8_lossy(tag.opaque))
        };
        tags(line.as_bytes()).map(text).collect()
    }

    #[test]
    fn a_list_of_tags_is_read() {
        for (line, found) in [
            (r#""a""#, &[r#""a""#][..]),
            (r#""a", "b""#, &[r#""a""#, r#""b""#]),
            (r#""a","b""#, &[r#""a""#, r#""b""#]),
            (r#"  W/"a"  ,	"b" "#, &[r#"W/"a""#, r#""b""#]),
            (r#""a,b", "c""#, &[r#""a,b""#, r#""c""#]),
            (r#"W/",", ",,""#, &[r#"W/",""#, r#"",,""#]),
            (r#""""#, &[r#""""#]),
            (r#""a\", "b""#, &[r#""a\""#, r#""b""#]),
            (r#", ,"a",, "b","#, &[r#""a""#, r#""b""#]),
            (r#""é""#, &[r#""é""#]),
            ("", &[]),
            (" , ", &[]),
        ] {
            assert_eq!(texts(line), found, "{line}");
        }
    }

    #[test]
    fn what_is_no_tag_matches_nothing() {
        for (line, found) in [
            ("a", &[][..]),
            (r#"a, "b""#, &[r#""b""#]),
            (r#"w/"a", "b""#, &[r#""b""#]),
            (r#"W/ "a""#, &[]),
            (r#"W"a""#, &[]),
            (r#"'a'"#, &[]),
            (r#""a"#, &[]),
            (r#""a" "b", "c""#, &[r#""c""#]),
            (r#""a"b, "c""#, &[r#""c""#]),
            (r#""a b", "c""#, &[r#""c""#]),
            (r#"*, "a""#, &[r#""a""#]),
            ("\"a\u{7f}\"", &[]),
        ] {
            assert_eq!(texts(line), found, "{line}");
        }
    }

    #[test]
    fn any_file_is_a_star_alone() {
        assert!(is_any(b"*") && is_any(b" * "));
        assert!(!is_any(b"**") && !is_any(br#""*""#) && !is_any(br#"*, "a""#) && !is_any(b""));
    }

    fn opaque() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>().prop_filter("a byte of a tag", |&byte| is_tag_byte(byte)), 0..6)
    }

    proptest! {
        #[test]
        fn every_list_that_is_written_is_read_back(
            written in prop::collection::vec((any::<bool>(), opaque(), 0..3_usize), 0..6),
        ) {
            let mut line = Vec::new();
            for (weak, opaque, commas) in &written {
                line.extend_from_slice(if *weak { b" W/\"" } else { b"\"" });
                line.extend_from_slice(opaque);
                line.extend_from_slice(b"\" ");
                line.extend(std::iter::repeat_n(b',', commas + 1));
            }
            let read: Vec<_> = tags(&line).map(|tag| (tag.weak, tag.opaque.to_vec())).collect();
            let quoted = |opaque: &[u8]| [b"\"", opaque, b"\""].concat();
            let wanted: Vec<_> = written.iter().map(|(weak, opaque, _)| (*weak, quoted(opaque))).collect();
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn any_bytes_give_only_whole_tags(line in prop::collection::vec(prop_oneof![
            Just(b'"'), Just(b','), Just(b' '), Just(b'W'), Just(b'/'), Just(b'*'), any::<u8>(),
        ], 0..24)) {
            for tag in tags(&line) {
                prop_assert_eq!(Tag::parse(tag.opaque), Some(Tag { weak: false, opaque: tag.opaque }));
            }
        }

        #[test]
        fn our_tags_are_read_back(secs in 2..i64::MAX, nanos in 0..1_000_000_000_u32, size: u64) {
            let etag = validators(secs, nanos, size).etag.unwrap();
            prop_assert_eq!(Tag::parse(etag.as_bytes()), Some(etag.as_tag()));
            prop_assert!(etag.weak_eq(Tag::parse(etag.as_bytes()).unwrap()));
        }
    }
}

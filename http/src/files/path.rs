//! From the path of a request to the name of a file.
//!
//! A path is decoded once and split once, and what comes out is a relative path of plain names. The rules:
//!
//! - A broken escape, and a separator, backslash, NUL or other control byte however it was written, is
//!   malformed: 400.
//! - Empty segments are dropped, as a file system drops them. `.` and `..` are removed as RFC 3986, 5.2.4
//!   removes them, encoded or not, except that climbing above the root is 404 instead of staying there.
//! - A name that begins with a dot is hidden: 404, unless the [`Policy`] shows hidden names. `.well-known` as
//!   the first name is never hidden.
//! - Any other bytes are a name on Unix. Windows has names that are no files; they are 404.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use http::StatusCode;

/// Which names of a tree are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Serves names that begin with a dot.
    pub(crate) hidden: bool,
}

/// A path below the root of a tree: relative, without `..`, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SafePath {
    path: PathBuf,
    trailing_slash: bool,
}

impl SafePath {
    /// The path to open below the root; the root itself is `.`.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_root(&self) -> bool {
        self.path.as_os_str() == "."
    }

    /// Whether the request named a directory: it ended with a slash, or with a dot segment. A file asked for
    /// in this way does not exist; a directory asked for without is redirected to [`redirect_location`].
    pub(crate) fn trailing_slash(&self) -> bool {
        self.trailing_slash
    }
}

/// Why a path names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// A broken escape, a separator inside a name, or a control byte.
    Malformed,
    /// The path climbs above the root.
    Outside,
    /// A name begins with a dot, and the policy does not show it.
    Hidden,
    /// This system cannot have a file of that name.
    #[cfg(not(unix))]
    Unnameable,
}

impl PathError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            PathError::Malformed => StatusCode::BAD_REQUEST,
            _ => StatusCode::NOT_FOUND,
        }
    }
}

/// The file that a path names. `raw_path` is as it came in the request, without the query, and relative to the
/// place where the tree is mounted; a leading slash makes no difference.
pub(crate) fn resolve(raw_path: &[u8], policy: Policy) -> Result<SafePath, PathError> {
    let mut names = Vec::with_capacity(raw_path.len());
    let mut trailing_slash = false;
    for raw_segment in raw_path.split(|&byte| byte == b'/') {
        let start = start_segment(&mut names);
        decode(raw_segment, &mut names)?;
        trailing_slash = end_segment(&mut names, start)?;
    }
    if !policy.hidden && has_hidden(&names) {
        return Err(PathError::Hidden);
    }
    if names.is_empty() {
        return Ok(SafePath { path: PathBuf::from("."), trailing_slash });
    }
    Ok(SafePath { path: into_os_string(names)?.into(), trailing_slash })
}

/// What [`resolve`] gives, as the bytes of the path with a slash at its end if it names a directory: `/` is the
/// root. Nearly always that is the path as it came, and nothing is allocated.
pub(crate) fn key(raw_path: &[u8], policy: Policy) -> Result<Cow<'_, [u8]>, PathError> {
    match raw_path {
        b"/" => return Ok(Cow::Borrowed(raw_path)),
        [b'/', names @ ..] if cfg!(unix) && is_plain(names) => return Ok(Cow::Borrowed(names)),
        _ => {}
    }
    let safe = resolve(raw_path, policy)?;
    let mut key =
        if safe.is_root() { Vec::new() } else { safe.as_path().as_os_str().as_encoded_bytes().to_vec() };
    if safe.trailing_slash() {
        key.push(b'/');
    }
    Ok(Cow::Owned(key))
}

/// The path that a [`key`] without its slash stands for; empty for the root.
pub(crate) fn from_key(key: &[u8]) -> PathBuf {
    into_os_string(key.to_vec()).unwrap_or_default().into()
}

/// Whether a path without its first slash is what it stands for: no escapes, no empty names, none that begin
/// with a dot, and no bytes that need a closer look.
pub(crate) fn is_plain(names: &[u8]) -> bool {
    let mut starts = true;
    names.iter().all(|&byte| {
        let odd = byte == b'%' || byte == b'\\' || byte.is_ascii_control();
        let odd_start = starts && matches!(byte, b'/' | b'.');
        starts = byte == b'/';
        !odd && !odd_start
    })
}

/// Where a directory that was asked for without its trailing slash is found, as a `Location`: the same path and
/// query, with the slash. `raw_path` is the whole path of the request, the mount included.
///
/// The answer always begins with one slash and a name, so no client can read a host from it, and it has only
/// visible ASCII. What was encoded stays as it was written.
pub(crate) fn redirect_location(raw_path: &[u8], query: Option<&[u8]>) -> String {
    let mut location = Vec::with_capacity(raw_path.len() + query.map_or(0, <[u8]>::len) + 3);
    for raw_segment in raw_path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match dots(raw_segment) {
            Dots::Empty | Dots::One => {}
            Dots::Two => pop(&mut location),
            Dots::Not => {
                location.push(b'/');
                push_visible(&mut location, raw_segment, b"?#");
            }
        }
    }
    location.push(b'/');
    if let Some(query) = query {
        location.push(b'?');
        push_visible(&mut location, query, b"#");
    }
    location.into_iter().map(char::from).collect()
}

/// Puts the separator in front of a segment that is not the first. Returns how long the path was without it.
fn start_segment(names: &mut Vec<u8>) -> usize {
    let start = names.len();
    if start > 0 {
        names.push(b'/');
    }
    start
}

/// Removes the segment again if it is empty or dots, with its parent if it is two dots. Returns whether it was.
fn end_segment(names: &mut Vec<u8>, start: usize) -> Result<bool, PathError> {
    let segment = &names[start + usize::from(start > 0)..];
    match segment {
        b"" | b"." => names.truncate(start),
        b".." if start == 0 => return Err(PathError::Outside),
        b".." => {
            names.truncate(start);
            pop(names);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Cuts the last name off, and the slash before it.
fn pop(names: &mut Vec<u8>) {
    names.truncate(memchr::memrchr(b'/', names).unwrap_or(0));
}

fn decode(raw_segment: &[u8], into: &mut Vec<u8>) -> Result<(), PathError> {
    let mut rest = raw_segment;
    while let [first, after @ ..] = rest {
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                hex(*high)? << 4 | hex(*low)?
            }
            (b'%', _) => return Err(PathError::Malformed),
            (byte, after) => {
                rest = after;
                *byte
            }
        };
        if byte.is_ascii_control() || matches!(byte, b'/' | b'\\') {
            return Err(PathError::Malformed);
        }
        into.push(byte);
    }
    Ok(())
}

fn hex(digit: u8) -> Result<u8, PathError> {
    char::from(digit).to_digit(16).map(|value| value as u8).ok_or(PathError::Malformed)
}

fn has_hidden(names: &[u8]) -> bool {
    let shown = if first_name(names) == b".well-known" { &names[b".well-known".len()..] } else { names };
    shown.starts_with(b".") || memchr::memmem::find(shown, b"/.").is_some()
}

fn first_name(names: &[u8]) -> &[u8] {
    &names[..memchr::memchr(b'/', names).unwrap_or(names.len())]
}

enum Dots {
    Empty,
    One,
    Two,
    Not,
}

fn dots(raw_segment: &[u8]) -> Dots {
    let mut rest = raw_segment;
    let mut count = 0;
    while let [b'.', after @ ..] | [b'%', b'2', b'e' | b'E', after @ ..] = rest {
        rest = after;
        count += 1;
    }
    match (rest, count) {
        (b"", 0) => Dots::Empty,
        (b"", 1) => Dots::One,
        (b"", 2) => Dots::Two,
        _ => Dots::Not,
    }
}

/// Copies visible ASCII, and escapes what must not stand in a header or would end this part of the reference.
fn push_visible(into: &mut Vec<u8>, part: &[u8], ends: &[u8]) {
    for &byte in part {
        if byte.is_ascii_graphic() && !ends.contains(&byte) {
            into.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            into.extend([b'%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
}

#[cfg(unix)]
fn into_os_string(names: Vec<u8>) -> Result<OsString, PathError> {
    Ok(std::os::unix::ffi::OsStringExt::from_vec(names))
}

#[cfg(not(unix))]
fn into_os_string(names: Vec<u8>) -> Result<OsString, PathError> {
    let names = String::from_utf8(names).map_err(|_| PathError::Unnameable)?;
    if names.split('/').all(windows::is_file_name) { Ok(names.into()) } else { Err(PathError::Unnameable) }
}

/// Names that Windows reads as something else than a file of that name. The rules are compiled for the tests of
/// every system.
#[cfg(any(not(unix), test))]
mod windows {
    pub(super) fn is_file_name(name: &str) -> bool {
        let forbidden = |c: char| matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|');
        !name.ends_with(['.', ' ']) && !name.contains(forbidden) && !is_device(name) && !is_short_name(name)
    }

    /// `NUL`, and also `nul.txt` and `NUL .txt`.
    fn is_device(name: &str) -> bool {
        let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
        if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str()) {
            return true;
        }
        let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
        number.is_some_and(|number| {
            let mut digits = number.chars();
            matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    }

    /// `GIT~1` is the second name of `.git`: the rule for hidden names would not see it.
    fn is_short_name(name: &str) -> bool {
        let stem = name.split('.').next().unwrap_or(name);
        let number = stem.rsplit_once('~').map(|(_, number)| number);
        stem.len() <= 8
            && number.is_some_and(|n| !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    const STRICT: Policy = Policy { hidden: false };
    const SHOWING: Policy = Policy { hidden: true };

    fn path_of(raw: &str) -> Result<String, PathError> {
        let safe = resolve(raw.as_bytes(), STRICT)?;
        let slash = if safe.trailing_slash() { "/" } else { "" };
        Ok(format!("{}{slash}", safe.as_path().to_str().unwrap()))
    }

    fn location_of(raw: &str, query: Option<&str>) -> String {
        redirect_location(raw.as_bytes(), query.map(str::as_bytes))
    }

    #[test]
    fn a_path_names_a_file_below_the_root() {
        for (raw, path) in [
            ("/", "./"),
            ("", "./"),
            ("/index.html", "index.html"),
            ("index.html", "index.html"),
            ("/a/b.txt", "a/b.txt"),
            ("/a/b/", "a/b/"),
            ("/a b", "a b"),
            ("/a%20b", "a b"),
            ("/%E2%82%AC.txt", "€.txt"),
            ("/a+b", "a+b"),
            ("/a;v=1", "a;v=1"),
        ] {
            assert_eq!(path_of(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(path_of("/%2541").as_deref(), Ok("%41"));
        assert_eq!(path_of("/%252e%252e/a").as_deref(), Ok("%2e%2e/a"));
        assert_eq!(path_of("/%252Fetc").as_deref(), Ok("%2Fetc"));
    }

    #[test]
    fn broken_escapes_are_malformed() {
        for raw in ["/%", "/a%", "/%4", "/%zz", "/%4g", "/%-1", "/%+1", "/% 1", "/%u0041", "/a%/b", "/%4/1"] {
            assert_eq!(path_of(raw), Err(PathError::Malformed), "{raw}");
        }
    }

    #[test]
    fn separators_and_control_bytes_inside_a_name_are_malformed() {
        for raw in [
            "/a%2Fb", "/a%2fb", "/%2F", "/..%2F", "/a\\b", "/a%5Cb", "/..%5c..", "/a%00", "/%00", "/a%0Ab",
            "/a%0d", "/%7F", "/%1b[0m", "/a\tb",
        ] {
            assert_eq!(path_of(raw), Err(PathError::Malformed), "{raw}");
        }
        assert_eq!(PathError::Malformed.status(), 400);
    }

    #[test]
    fn empty_and_dot_segments_are_removed() {
        for (raw, path) in [
            ("//a///b", "a/b"),
            ("/./a/./b", "a/b"),
            ("/a/../b", "b"),
            ("/a/b/../../c", "c"),
            ("/a/%2e%2E/b", "b"),
            ("/a/.%2e/b", "b"),
            ("/%2e/a", "a"),
            ("/a/.", "a/"),
            ("/a/..", "./"),
            ("/a/b/..", "a/"),
            ("/a//../b", "b"),
        ] {
            assert_eq!(path_of(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn no_path_climbs_above_the_root() {
        for raw in ["/..", "/../a", "..", "/a/../..", "/a/../../a", "/%2e%2e/a", "/.%2E/a", "/./../a", "//.."]
        {
            assert_eq!(path_of(raw), Err(PathError::Outside), "{raw}");
        }
        assert_eq!(PathError::Outside.status(), 404);
    }

    #[test]
    fn hidden_names_are_not_found_but_well_known_is() {
        for raw in [
            "/.git",
            "/.git/config",
            "/a/.env",
            "/%2egit",
            "/...",
            "/..a",
            "/a/.well-known",
            "/.well-known/.a",
            "/.well-known2",
            "/.WELL-KNOWN/a",
        ] {
            assert_eq!(path_of(raw), Err(PathError::Hidden), "{raw}");
        }
        assert_eq!(PathError::Hidden.status(), 404);
        for raw in ["/.well-known", "/.well-known/acme-challenge/x", "/a.b/c..d", "/%2ewell-known/x"] {
            assert!(path_of(raw).is_ok(), "{raw}");
        }
    }

    #[test]
    fn a_policy_can_show_hidden_names_but_no_parents() {
        assert_eq!(resolve(b"/.git/config", SHOWING).unwrap().as_path(), Path::new(".git/config"));
        assert_eq!(resolve(b"/...", SHOWING).unwrap().as_path(), Path::new("..."));
        assert_eq!(resolve(b"/../.git", SHOWING), Err(PathError::Outside));
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_utf8_on_unix() {
        use std::os::unix::ffi::OsStrExt;
        for raw in [&b"/caf%E9"[..], b"/caf\xe9"] {
            assert_eq!(resolve(raw, STRICT).unwrap().as_path().as_os_str().as_bytes(), b"caf\xe9");
        }
    }

    #[test]
    fn the_root_is_a_directory_that_can_be_opened() {
        let root = resolve(b"/a/..", STRICT).unwrap();
        assert!(root.is_root() && root.trailing_slash());
        assert!(!resolve(b"/a", STRICT).unwrap().is_root());
    }

    #[test]
    fn windows_has_names_that_are_no_files() {
        for name in [
            "nul",
            "NUL.txt",
            "con .txt",
            "Com1",
            "COM¹.log",
            "lpt9",
            "aux.c.d",
            "a:b",
            "c:",
            "a::$DATA",
            "a.",
            "a ",
            "a?",
            "*",
            "GIT~1",
            "HTACCE~1.TXT",
            "conin$",
        ] {
            assert!(!windows::is_file_name(name), "{name}");
        }
        for name in
            ["null", "console.js", "com", "com10", "COMX", "a.nul", "a~", "a~b", "notes~2024-final", "é"]
        {
            assert!(windows::is_file_name(name), "{name}");
        }
    }

    #[test]
    fn the_redirect_adds_a_slash_and_keeps_the_query() {
        assert_eq!(location_of("/docs", None), "/docs/");
        assert_eq!(location_of("/docs", Some("a=1&b=%2F")), "/docs/?a=1&b=%2F");
        assert_eq!(location_of("/docs", Some("")), "/docs/?");
        assert_eq!(location_of("/static/a%20b", None), "/static/a%20b/");
        assert_eq!(location_of("/a%3Fb;c=%41", None), "/a%3Fb;c=%41/");
        assert_eq!(location_of("/docs/", None), "/docs/");
    }

    #[test]
    fn the_redirect_never_leads_to_another_host() {
        for raw in [
            "//example.com",
            "///example.com",
            "/\\example.com",
            "\\\\example.com",
            "/\\/example.com",
            "/.//example.com",
            "/%2e//example.com",
            "/a/..//example.com",
            "/../\\example.com",
            "//./\\/example.com",
        ] {
            assert_eq!(location_of(raw, None), "/example.com/", "{raw}");
        }
        assert_eq!(location_of("/\t/example.com", None), "/%09/example.com/");
        assert_eq!(location_of("http://example.com", None), "/http:/example.com/");
        assert_eq!(location_of("/..", None), "/");
    }

    #[test]
    fn the_redirect_has_only_visible_ascii() {
        assert_eq!(location_of("/a\r\nb é", Some("x\r\ny#z")), "/a%0D%0Ab%20%C3%A9/?x%0D%0Ay%23z");
        assert_eq!(location_of("/a#b?c", None), "/a%23b%3Fc/");
    }

    /// Paths of the pieces that matter, so that they meet often.
    fn raw_paths() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"/".to_vec()),
            Just(b".".to_vec()),
            Just(b"..".to_vec()),
            Just(b"%2e".to_vec()),
            Just(b"%2F".to_vec()),
            Just(b"%".to_vec()),
            Just(b"%00".to_vec()),
            Just(b"\\".to_vec()),
            Just(b"a".to_vec()),
            Just(b"%61".to_vec()),
            Just(b".well-known".to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_safe_path_has_only_plain_names(raw in raw_paths(), hidden: bool) {
            if let Ok(safe) = resolve(&raw, Policy { hidden }) {
                let bytes = safe.as_path().as_os_str().as_encoded_bytes();
                prop_assert!(!bytes.is_empty() && !bytes.contains(&0) && !bytes.starts_with(b"/"));
                prop_assert!(safe.is_root() || safe.as_path().components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert!(bytes.split(|&b| b == b'/').all(|name| !name.is_empty() && name != b".."));
                let hidden_name = |name: &[u8]| name.starts_with(b".") && name != b".well-known" && name != b".";
                prop_assert!(hidden || !bytes.split(|&b| b == b'/').any(hidden_name));
            }
        }

        #[test]
        fn a_key_is_what_the_path_resolves_to(raw in raw_paths(), hidden: bool) {
            let policy = Policy { hidden };
            let raw = [b"/", &raw[..]].concat();
            match (key(&raw, policy), resolve(&raw, policy)) {
                (Ok(key), Ok(safe)) => {
                    let path = from_key(key.strip_suffix(b"/").unwrap_or(&key));
                    let shown = if safe.is_root() { Path::new("") } else { safe.as_path() };
                    prop_assert_eq!(path.as_os_str(), shown.as_os_str());
                    prop_assert_eq!(key.ends_with(b"/"), safe.trailing_slash());
                }
                (key, safe) => prop_assert_eq!(key.err(), safe.err()),
            }
        }

        #[test]
        fn a_redirect_is_one_slash_and_visible_ascii_and_names_the_same_directory(
            raw in raw_paths(),
            query in prop::option::of(prop::collection::vec(any::<u8>(), 0..8)),
        ) {
            let location = redirect_location(&raw, query.as_deref());
            prop_assert!(location.starts_with('/') && !location.starts_with("//"));
            prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(!location.contains('#') && !location.split('?').next().unwrap().contains('\\'));
            if let Ok(asked) = resolve(&raw, SHOWING) {
                let found = resolve(location.split('?').next().unwrap().as_bytes(), SHOWING).unwrap();
                prop_assert!(found.trailing_slash());
                prop_assert_eq!(found.as_path(), asked.as_path());
            }
        }
    }
}

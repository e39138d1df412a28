//! File names where they are shown: in the links and the text of a listing, and in a log. A name can hold any
//! byte but NUL and `/`, and whoever can create a file chooses it.

use std::ffi::OsStr;
use std::fmt::Write;

/// The link to an entry of a listing, relative to the listing's own address. Begins with `./`, so that no name is
/// read as a scheme, and has only characters that need no escape in HTML.
pub(crate) fn href(name: &OsStr, is_dir: bool) -> String {
    let mut href = String::with_capacity(name.len() + 3);
    href.push_str("./");
    for &byte in name.as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            href.push(char::from(byte));
        } else {
            push(&mut href, format_args!("%{byte:02X}"));
        }
    }
    if is_dir {
        href.push('/');
    }
    href
}

/// A name as text for HTML, in an element or a quoted attribute. What cannot be shown, or would change the order
/// of what is shown, becomes U+FFFD.
pub(crate) fn html(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c if is_deceptive(c) => text.push(char::REPLACEMENT_CHARACTER),
            c => text.push(c),
        }
    }
    text
}

/// Bytes from outside as text for a log: on one line, without terminal sequences, and so that no two of them look
/// the same.
pub(crate) fn log(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                c if c.is_ascii_control() => push(&mut text, format_args!("\\x{:02x}", u32::from(c))),
                c if is_deceptive(c) => push(&mut text, format_args!("\\u{{{:x}}}", u32::from(c))),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            push(&mut text, format_args!("\\x{byte:02x}"));
        }
    }
    text
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("writing to a string does not fail");
}

/// Control characters, line separators, and the marks that turn the direction of writing.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::path::{PathError, Policy, resolve};

    #[test]
    fn a_link_never_leaves_its_attribute_or_its_site() {
        for (name, is_dir, link) in [
            ("a.txt", false, "./a.txt"),
            ("docs", true, "./docs/"),
            ("javascript:alert(1)", false, "./javascript%3Aalert%281%29"),
            ("\"><script>", false, "./%22%3E%3Cscript%3E"),
            ("a b&c?d#e%41", false, "./a%20b%26c%3Fd%23e%2541"),
            ("naïve", false, "./na%C3%AFve"),
            ("\\\\example.com", false, "./%5C%5Cexample.com"),
            ("a\r\nb", false, "./a%0D%0Ab"),
        ] {
            assert_eq!(href(OsStr::new(name), is_dir), link, "{name}");
        }
    }

    #[test]
    fn a_name_in_html_is_text() {
        for (name, text) in [
            ("naïve & <b>\"'", "naïve &amp; &lt;b&gt;&quot;&#39;"),
            ("a\nb\u{1b}[0m", "a\u{fffd}b\u{fffd}[0m"),
            ("cod\u{202e}gpj.exe", "cod\u{fffd}gpj.exe"),
        ] {
            assert_eq!(html(OsStr::new(name)), text, "{name}");
        }
    }

    #[test]
    fn a_log_line_stays_one_line_and_tells_names_apart() {
        for (bytes, text) in [
            (&b"/a b"[..], "/a b"),
            ("/naïve".as_bytes(), "/naïve"),
            (b"/a\r\nGET /b", "/a\\x0d\\x0aGET /b"),
            (b"\x1b[2J\x7f", "\\x1b[2J\\x7f"),
            (b"\\x1b", "\\\\x1b"),
            (b"a\"b", "a\\\"b"),
            (b"\xff\xc3", "\\xff\\xc3"),
            ("\u{85}\u{202e}\u{2028}".as_bytes(), "\\u{85}\\u{202e}\\u{2028}"),
        ] {
            assert_eq!(log(bytes), text, "{}", bytes.escape_ascii());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_is_linked_by_its_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(b"caf\xe9");
        assert_eq!(href(name, false), "./caf%E9");
        assert_eq!(html(name), "caf\u{fffd}");
    }

    proptest! {
        #[test]
        fn a_link_leads_to_the_file_that_it_names(name in "[^/\\\\\\x00-\\x1f\\x7f]{1,8}") {
            prop_assume!(name != "." && name != "..");
            let found = resolve(href(OsStr::new(&name), false).as_bytes(), Policy { hidden: true });
            prop_assume!(found != Err(PathError::Unnameable));
            let found = found.map(|safe| safe.into_path().into_os_string());
            prop_assert_eq!(found.as_deref(), Ok(OsStr::new(&name)));
        }

        #[test]
        fn escaped_text_has_no_control_characters_and_no_markup(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            prop_assert!(!log(&bytes).contains(char::is_control));
            let name = String::from_utf8_lossy(&bytes).into_owned();
            let text = html(OsStr::new(&name));
            prop_assert!(!text.contains(char::is_control) && !text.contains(['<', '>', '"', '\'']));
        }
    }
}

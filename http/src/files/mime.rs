//! The content type of a file, by its name.

use std::path::Path;

/// The value of `Content-Type` for a file of this name. Text is declared as UTF-8; a name that says nothing is
/// `application/octet-stream`.
pub(crate) fn content_type(name: &Path) -> &'static str {
    name.extension().and_then(|extension| extension.to_str()).and_then(of_extension).unwrap_or(UNKNOWN)
}

fn of_extension(extension: &str) -> Option<&'static str> {
    let ours = OURS.iter().find(|(ours, _)| ours.eq_ignore_ascii_case(extension));
    let essence =
        ours.map(|(_, essence)| *essence).or_else(|| mime_guess::from_ext(extension).first_raw())?;
    Some(with_charset(essence))
}

fn with_charset(essence: &'static str) -> &'static str {
    match TEXT.binary_search_by_key(&essence, |(essence, _)| essence) {
        Ok(index) => TEXT[index].1,
        Err(_) => essence,
    }
}

const UNKNOWN: &str = "application/octet-stream";

/// Where the registry's list is older than the web: what browsers want, and what today's tools write.
const OURS: &[(&str, &str)] = &[
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    ("cjs", "text/javascript"),
    ("map", "application/json"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("avif", "image/avif"),
    ("webp", "image/webp"),
    ("ico", "image/x-icon"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("m4a", "audio/mp4"),
    ("ts", "video/mp2t"),
    ("m3u8", "application/vnd.apple.mpegurl"),
];

macro_rules! utf8 {
    ($($essence:literal)*) => { &[$(($essence, concat!($essence, "; charset=utf-8"))),*] };
}

/// The text types that `mime_guess` knows, sorted. JSON and XML outside `text/` say their encoding themselves.
const TEXT: &[(&str, &str)] = utf8! {
    "text/cache-manifest"
    "text/calendar"
    "text/coffeescript"
    "text/css"
    "text/csv"
    "text/dlm"
    "text/gemini"
    "text/h323"
    "text/html"
    "text/iuls"
    "text/jade"
    "text/javascript"
    "text/less"
    "text/markdown"
    "text/mathml"
    "text/n3"
    "text/plain"
    "text/prs.lines.tag"
    "text/richtext"
    "text/scriptlet"
    "text/sgml"
    "text/shex"
    "text/slim"
    "text/stylus"
    "text/tab-separated-values"
    "text/turtle"
    "text/uri-list"
    "text/vbscript"
    "text/vcard"
    "text/vnd.curl"
    "text/vnd.curl.dcurl"
    "text/vnd.curl.mcurl"
    "text/vnd.curl.scurl"
    "text/vnd.dvb.subtitle"
    "text/vnd.fly"
    "text/vnd.fmi.flexstor"
    "text/vnd.graphviz"
    "text/vnd.in3d.3dml"
    "text/vnd.in3d.spot"
    "text/vnd.sun.j2me.app-descriptor"
    "text/vnd.wap.wml"
    "text/vnd.wap.wmlscript"
    "text/vtt"
    "text/webviewhtml"
    "text/x-c"
    "text/x-component"
    "text/x-fortran"
    "text/x-gherkin"
    "text/x-handlebars-template"
    "text/x-hdml"
    "text/x-html-insertion"
    "text/x-lua"
    "text/x-markdown"
    "text/x-ms-contact"
    "text/x-ms-group"
    "text/x-ms-iqy"
    "text/x-ms-rqy"
    "text/x-nfo"
    "text/x-opml"
    "text/x-pascal"
    "text/x-processing"
    "text/x-rust"
    "text/x-sass"
    "text/x-scss"
    "text/x-setext"
    "text/x-sfv"
    "text/x-suse-ymp"
    "text/x-toml"
    "text/x-uuencode"
    "text/x-vcard"
    "text/x-yaml"
    "text/xml"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_the_web_are_known() {
        for (name, wanted) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.htm", "text/html; charset=utf-8"),
            ("INDEX.HTML", "text/html; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.MJS", "text/javascript; charset=utf-8"),
            ("app.min.js", "text/javascript; charset=utf-8"),
            ("robots.txt", "text/plain; charset=utf-8"),
            ("notes.md", "text/markdown; charset=utf-8"),
            ("table.csv", "text/csv; charset=utf-8"),
            ("feed.xml", "text/xml; charset=utf-8"),
            ("app.js.map", "application/json"),
            ("data.json", "application/json"),
            ("module.wasm", "application/wasm"),
            ("site.webmanifest", "application/manifest+json"),
            ("picture.avif", "image/avif"),
            ("picture.webp", "image/webp"),
            ("picture.png", "image/png"),
            ("picture.jpg", "image/jpeg"),
            ("favicon.ico", "image/x-icon"),
            ("logo.svg", "image/svg+xml"),
            ("font.woff", "font/woff"),
            ("font.woff2", "font/woff2"),
            ("paper.pdf", "application/pdf"),
            ("film.mp4", "video/mp4"),
            ("segment.ts", "video/mp2t"),
            ("archive.tar.gz", "application/gzip"),
        ] {
            assert_eq!(content_type(Path::new(name)), wanted, "{name}");
        }
    }

    #[test]
    fn a_name_that_says_nothing_is_bytes() {
        for name in ["", ".", "LICENSE", ".html", "a.", "a.unheard-of", "html", "a.html/b", "a.\u{e9}"] {
            assert_eq!(content_type(Path::new(name)), UNKNOWN, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_has_a_type_if_its_extension_is() {
        use std::os::unix::ffi::OsStrExt;
        let type_of = |name| content_type(Path::new(std::ffi::OsStr::from_bytes(name)));
        assert_eq!(type_of(b"\xff.png"), "image/png");
        assert_eq!(type_of(b"a.\xff"), UNKNOWN);
    }

    #[test]
    fn the_table_of_text_types_is_sorted() {
        assert!(TEXT.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn all_text_is_declared_as_utf8() {
        for number in 0..36_u32.pow(3) {
            let digit = |place| char::from_digit(number / 36_u32.pow(place) % 36, 36).unwrap();
            let extension: String = (0..3).map(digit).collect();
            assert_declared(&extension);
            assert_declared(extension.trim_end_matches('0'));
        }
    }

    fn assert_declared(extension: &str) {
        let Some(found) = of_extension(extension) else { return };
        assert!(
            found.is_ascii() && !found.starts_with("text/") || found.ends_with("; charset=utf-8"),
            "{found}"
        );
    }
}

//! What requests ask for, line by line in a file.

use crate::{
    numbers,
    plan::{Scheme, Target},
    target::split_port,
    template::{Files, MOST_LINES, Place, Problem, Template, TemplateError, Values, split},
    units::quoted,
};
use std::path::Path;

/// Lines with placeholders, which take more memory than others.
const MOST_TEMPLATES: usize = 1 << 20;
/// Bytes of a path and query.
const LONGEST: usize = u16::MAX as usize;
/// Methods that mean something without a body (RFC 9110, 9.3): none is sent with them.
const BODILESS: [&str; 6] = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
const FORM: &str = "write PATH, URL or METHOD URL";

/// The requests of a run, which take turns: request 0 is the first line's, and after the last the first comes again.
///
/// A line is a path (`/a?b`) or a URL of the run's host, alone or behind a method, as an access log has it:
/// `POST /a HTTP/1.1`. It may have [placeholders](crate::template). Empty lines and those that begin with `#` do not
/// count. Beside the file, a line takes 8 bytes, and one with placeholders some hundred.
#[derive(Debug, PartialEq)]
pub struct RequestList {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// The first is for lines without one.
    methods: Vec<String>,
    templates: Vec<Template>,
}

/// As small as can be: there may be millions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    Text { method: u8, length: u16, begin: u32 },
    Template { method: u8, number: u32 },
}

impl RequestList {
    /// Reads a file with requests to `target`; lines that name no method have `method`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or one of its lines is no request to this target; that line is named by its number.
    pub fn read(
        path: impl AsRef<Path>,
        target: &Target,
        method: &str,
        files: &mut Files,
    ) -> Result<RequestList, TemplateError> {
        let path = path.as_ref();
        let text = files.text(path)?;
        let mut list = RequestList {
            text: Vec::new(),
            lines: Vec::new(),
            methods: vec![method.to_owned()],
            templates: Vec::new(),
        };
        let shown = quoted(&path.to_string_lossy());
        for (number, begin, end) in split(&text) {
            let line = &text[begin..end];
            let of_line = |error: TemplateError| error.of(format_args!("{shown}, line {number}"));
            match Asked::of(line, target).map_err(|problem| of_line(problem.show(line)))? {
                Some(asked) => list.add(&text, begin, asked, files).map_err(of_line)?,
                None => continue,
            }
        }
        if list.lines.is_empty() {
            return Err(TemplateError::new(format!("{shown}: has no requests")));
        }
        list.text = text;
        Ok(list)
    }

    fn add(
        &mut self,
        text: &[u8],
        begin: usize,
        asked: Asked<'_>,
        files: &mut Files,
    ) -> Result<(), TemplateError> {
        let fail = |what: String| Err(TemplateError::new(what));
        let Asked { method, at, path } = asked;
        if self.lines.len() == MOST_LINES {
            return fail(format!("more than {} requests", numbers::count(MOST_LINES as u64)));
        }
        let method = match method {
            None => 0,
            // One that is named is not the run's, though it may be called the same: its body is another matter.
            Some(method) => match self.methods.iter().skip(1).position(|known| known == method) {
                Some(known) => known + 1,
                None => {
                    self.methods.push(method.to_owned());
                    self.methods.len() - 1
                }
            },
        };
        let Ok(number) = u8::try_from(method) else { return fail("more than 256 methods".to_owned()) };
        if !self.lines.is_empty() && self.is_head() != (self.methods[method] == "HEAD") {
            return fail("HEAD beside other methods: give it a run of its own".to_owned());
        }
        // One that begins with its query has no slash in the text.
        let is_plain = path.starts_with(b"/") && !path.contains(&b'{');
        let line = match u16::try_from(path.len()) {
            Err(_) => {
                return fail(format!("a request of more than {} bytes", numbers::count(LONGEST as u64)));
            }
            Ok(length) if is_plain => Line::Text { method: number, length, begin: (begin + at) as u32 },
            Ok(_) if self.templates.len() == MOST_TEMPLATES => {
                return fail(format!(
                    "more than {} lines with placeholders",
                    numbers::count(MOST_TEMPLATES as u64)
                ));
            }
            Ok(_) => {
                let template = Template::parse(path, Place::Target, files)?;
                let slash = if path.starts_with(b"/") { "" } else { "/" };
                self.templates.push(Template::text(slash).then(template));
                Line::Template { method: number, number: (self.templates.len() - 1) as u32 }
            }
        };
        debug_assert_eq!(&text[begin + at..][..path.len()], path);
        self.lines.push(line);
        Ok(())
    }

    /// How many; at least one.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the requests are HEAD, all of them: their answers have no bodies.
    pub(crate) fn is_head(&self) -> bool {
        let Some(Line::Text { method, .. } | Line::Template { method, .. }) = self.lines.first() else {
            return false;
        };
        self.methods[usize::from(*method)] == "HEAD"
    }

    /// Methods, by their numbers; number 0 is for lines that name none.
    pub(crate) fn methods(&self) -> &[String] {
        &self.methods
    }

    /// Adds method and target of the request whose values these are; the number of its method.
    pub(crate) fn render(&self, values: &mut Values, out: &mut Vec<u8>) -> usize {
        let line = self.lines[(values.number() % self.lines.len() as u64) as usize];
        let (Line::Text { method, .. } | Line::Template { method, .. }) = line;
        let method = usize::from(method);
        out.extend_from_slice(self.methods[method].as_bytes());
        out.push(b' ');
        match line {
            Line::Text { begin, length, .. } => {
                out.extend_from_slice(&self.text[begin as usize..][..usize::from(length)]);
            }
            Line::Template { number, .. } => self.templates[number as usize].render(values, out),
        }
        method
    }
}

/// Whether a request of this method is one without a body.
pub(crate) fn is_bodiless(method: &str) -> bool {
    BODILESS.contains(&method)
}

/// What a line says.
struct Asked<'a> {
    method: Option<&'a str>,
    /// Path and query, and where in the line they begin.
    at: usize,
    path: &'a [u8],
}

impl<'a> Asked<'a> {
    /// `None` if the line does not count.
    fn of(line: &'a [u8], target: &Target) -> Result<Option<Self>, Problem> {
        let mut words = words(line);
        let Some((first, text)) = words.next() else { return Ok(None) };
        if text.starts_with(b"#") {
            return Ok(None);
        }
        let is_version = |text: &[u8]| text.starts_with(b"HTTP/1.");
        let (method, (at, url)) = match words.next() {
            Some((_, word)) if is_version(word) && words.next().is_none() => (None, (first, text)),
            Some(second) => {
                if let Some((third, word)) = words.next()
                    && (!is_version(word) || words.next().is_some())
                {
                    return Err(Problem::new(third, format!("more than a request; {FORM}")));
                }
                let method = std::str::from_utf8(text).ok().filter(|text| is_token(text));
                let method = method.ok_or_else(|| Problem::new(first, format!("no method; {FORM}")))?;
                (Some(method), second)
            }
            None => (None, (first, text)),
        };
        Place::Target.check(line, at..at + url.len())?;
        let skipped = if url.starts_with(b"/") {
            0
        } else {
            skip_origin(url, target).map_err(|what| Problem::new(at, what))?
        };
        let path = url[skipped..].split(|&byte| byte == b'#').next().unwrap_or_default();
        Ok(Some(Asked { method, at: at + skipped, path }))
    }
}

/// Words with the places where they begin.
fn words(line: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += line[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let begin = at;
        at += line[at..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        (begin < at).then(|| (begin, &line[begin..at]))
    })
}

/// The length of what comes before path and query in a URL of this target; what is wrong with another one.
fn skip_origin(url: &[u8], target: &Target) -> Result<usize, String> {
    let text = String::from_utf8_lossy(url);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("neither a path, as /a?b, nor a URL; {FORM}"));
    };
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("its scheme is not http".to_owned());
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let of = |authority| {
        let (host, port) = split_port(authority)?;
        Some((host.to_ascii_lowercase(), port.unwrap_or(80)))
    };
    if of(authority).is_none_or(|origin| Some(origin) != of(&target.authority)) {
        return Err(format!("a run has one host, which is {}", target.authority));
    }
    debug_assert_eq!(target.scheme, Scheme::Http);
    Ok(scheme.len() + "://".len() + authority.len())
}

/// A token: RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests;

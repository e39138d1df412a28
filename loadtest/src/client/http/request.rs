//! The bytes of requests: RFC 9112, 3.

use crate::{
    plan::{Asked, HttpRequest, Target},
    request_list::{RequestList, is_bodiless},
    template::{Template, Values},
};
use std::{cell::RefCell, sync::Arc};

/// What a shard asks for.
pub(super) enum Requests {
    /// The same bytes each time.
    Same(Vec<u8>),
    Differ(Box<Differ>),
}

/// Requests that are written anew each time, into room that is there.
pub(super) struct Differ {
    line: RequestLine,
    /// Fields, each with its end.
    fields: Template,
    /// Whether `Content-Length` is to be made up.
    counted: bool,
    /// What follows the length.
    end: &'static str,
    body: Template,
    values: RefCell<Values>,
}

enum RequestLine {
    /// Method and target, and how the body goes with the method.
    One(Template, Content),
    /// A list's, and the same for each of its methods.
    List(Arc<RequestList>, Vec<Content>),
}

/// What is sent of the plan's body.
#[derive(Clone, Copy)]
enum Content {
    /// Nothing, and that is not worth a word (RFC 9110, 8.6).
    None,
    /// The body, with its length, even if that is 0.
    Body,
}

impl Requests {
    /// `values` begin with the shard's first request.
    pub(super) fn new(target: &Target, request: &HttpRequest, values: Values) -> Self {
        let differ = Differ::new(target, request, values);
        let is_same = matches!(&differ.line, RequestLine::One(line, _) if line.fixed().is_some())
            && differ.fields.fixed().is_some()
            && differ.body.fixed().is_some();
        if !is_same {
            return Requests::Differ(Box::new(differ));
        }
        let mut bytes = Vec::new();
        differ.append(&mut bytes);
        Requests::Same(bytes)
    }

    /// Appends the next one.
    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Requests::Same(bytes) => out.extend_from_slice(bytes),
            Requests::Differ(differ) => differ.append(out),
        }
    }
}

impl Differ {
    fn new(target: &Target, request: &HttpRequest, values: Values) -> Self {
        let HttpRequest { method, asked, headers, body, close, .. } = request;
        let has = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        // The body is given for this method, whatever that means to it.
        let own = match body.fixed() {
            Some([]) if is_bodiless(method) => Content::None,
            _ => Content::Body,
        };
        let one = |path: Template| RequestLine::One(Template::text(format!("{method} ")).then(path), own);
        let line = match asked {
            Asked::Target => one(Template::text(target.path.as_str())),
            Asked::Template(path) => one(path.clone()),
            Asked::List(list) => {
                let of = |name: &String| if is_bodiless(name) { Content::None } else { Content::Body };
                let others = list.methods().iter().skip(1).map(of);
                RequestLine::List(Arc::clone(list), [own].into_iter().chain(others).collect())
            }
        };
        Differ {
            line,
            fields: fields(target, headers),
            counted: !has("content-length"),
            end: if *close && !has("connection") { "Connection: close\r\n\r\n" } else { "\r\n" },
            body: body.clone(),
            values: RefCell::new(values),
        }
    }

    fn append(&self, out: &mut Vec<u8>) {
        let values = &mut *self.values.borrow_mut();
        let content = match &self.line {
            RequestLine::One(line, content) => {
                line.render(values, out);
                *content
            }
            RequestLine::List(list, contents) => contents[list.render(values, out)],
        };
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.fields.render(values, out);
        if matches!(content, Content::Body) && self.counted {
            out.extend_from_slice(b"Content-Length: ");
            let length = self.body.length(values.number());
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.end.as_bytes());
        if matches!(content, Content::Body) {
            self.body.render(values, out);
        }
        values.advance();
    }
}

/// Those that are given, behind `Host` if that is not among them.
pub(in crate::client) fn fields(target: &Target, headers: &[(String, Template)]) -> Template {
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = if has_host { String::new() } else { format!("Host: {}\r\n", target.authority) };
    headers.iter().fold(Template::text(host), |fields, (name, value)| {
        fields.then(Template::text(format!("{name}: "))).then(value.clone()).then(Template::text("\r\n"))
    })
}

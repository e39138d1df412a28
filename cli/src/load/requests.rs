//! From the options to what requests say.

use super::Load;
use crate::{failure::Failure, terminal};
use lakh_loadtest::{
    RequestList,
    plan::{Asked, HttpRequest, Target},
    preflight::Machine,
    template::{Files, Place, Template, TemplateError},
};
use std::{fs::File, io::Read, path::Path, sync::Arc};

/// Bytes of a file that takes about a second to read.
const LONG: u64 = 100_000_000;
/// Bytes of a body.
const BODY_AT_MOST: u64 = 64 << 20;

pub(super) struct Requests {
    pub(super) http: HttpRequest,
    pub(super) ws_open: Option<Template>,
}

impl Requests {
    /// Reads templates, and the files that they and the options name.
    pub(super) fn read(options: &Load, target: &Target) -> Result<Requests, Failure> {
        // They stay in memory, which the run needs for other things, too.
        let room = Machine::read().memory_left().map_or(Files::MOST, |left| left / 2);
        let mut files = Files::with_room(room);
        let default = if options.body.is_some() { "POST" } else { "GET" };
        let method = options.method.as_deref().unwrap_or(default);
        let mut parse = |option: &str, text: &str, place| {
            Template::parse(text, place, &mut files).map_err(|error| refused(error.of(option)))
        };
        let mut headers = Vec::new();
        for (name, value) in &options.header {
            headers.push((name.clone(), parse(&format!("--header {name}"), value, Place::Field)?));
        }
        let body = match options.body.as_deref().map(|text| text.strip_prefix('@').ok_or(text)) {
            None => Template::default(),
            Some(Err(text)) => parse("--body", text, Place::Body)?,
            Some(Ok(path)) => Template::text(
                read(path)
                    .map_err(|error| Failure::refused(format!("cannot read the body {path:?}: {error}")))?,
            ),
        };
        let ws_open =
            options.ws_open.as_deref().map(|text| parse("--ws-open", text, Place::Text)).transpose()?;
        let asked = match &options.urls {
            Some(_) if target.path != "/" => {
                let message = format!(
                    "--urls says what to ask for: the URL has no path beside it, as {:?}",
                    target.path
                );
                return Err(Failure::refused(message));
            }
            Some(path) => {
                say_if_long(path);
                Asked::List(Arc::new(RequestList::read(path, target, method, &mut files).map_err(refused)?))
            }
            None if target.path.contains('{') => Asked::Template(parse("URL", &target.path, Place::Target)?),
            None => Asked::Target,
        };
        let http = HttpRequest {
            method: method.to_owned(),
            asked,
            headers,
            body,
            close: options.no_keepalive,
            expect_status: options.expect_status,
            expect_body: options.expect_body.as_ref().map(|text| text.as_bytes().to_vec()),
        };
        Ok(Requests { http, ws_open })
    }
}

/// Tells of what takes more than a moment to read.
fn say_if_long(path: &Path) {
    if let Some(length) = path.metadata().ok().map(|metadata| metadata.len()).filter(|&length| length >= LONG)
    {
        terminal::say(&format!("lakh: reading {} MB of {path:?}\n", length / 1_000_000));
    }
}

fn refused(error: TemplateError) -> Failure {
    Failure::refused(error.to_string())
}

fn read(path: &str) -> Result<Vec<u8>, std::io::Error> {
    let mut body = Vec::new();
    File::open(path)?.take(BODY_AT_MOST + 1).read_to_end(&mut body)?;
    if body.len() as u64 > BODY_AT_MOST {
        return Err(std::io::Error::other("it has more than 64 MiB"));
    }
    Ok(body)
}

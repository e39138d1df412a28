//! Invariants of the parsers, as functions over arbitrary bytes.
//!
//! The fuzz targets in `fuzz/` call them, and so does the test that runs the seed corpus and mutations of it.
mod multipart;

pub use multipart::fuzz_multipart;

use http::Version;

use super::{BodyLength, ChunkError, ChunkLimits, ChunkedDecoder, HeadError, HeadLimits, HeadScan};
use super::{Parsed, ParsedHead, encode, is_trailer_field, parse_trailers};

/// A whole head, `None` for a partial one.
type Outcome = Result<Option<ParsedHead>, HeadError>;

/// Checks [`ParsedHead`] and [`HeadScan`] against these bytes.
///
/// # Panics
///
/// When an invariant does not hold.
pub fn fuzz_head(data: &[u8]) {
    let tight = HeadLimits { head: 128, target: 16, headers: 3 };
    for limits in [HeadLimits::default(), tight] {
        let whole = parse(data, &limits);
        for end in split_points(data.len()) {
            check_prefix(&parse(&data[..end], &limits), &whole, end);
        }
        check_driven(data, &whole, &limits);
        check_against_httparse(data, &whole);
        if let Ok(Some(head)) = &whole {
            check_accepted(head, data, &limits);
            check_rewritten(head, data);
        }
    }
}

/// Checks [`ChunkedDecoder`] against these bytes.
///
/// # Panics
///
/// When an invariant does not hold.
pub fn fuzz_chunked(data: &[u8]) {
    let tight = ChunkLimits { extensions: 8, trailer_bytes: 24, trailers: 2 };
    for limits in [ChunkLimits::default(), tight] {
        let whole = decode(&[data], &limits);
        for step in [1, 2, 3, 7, 64] {
            assert_eq!(decode(&data.chunks(step).collect::<Vec<_>>(), &limits), whole, "by {step}");
        }
        for end in split_points(data.len()) {
            assert_eq!(decode(&[&data[..end], &data[end..]], &limits), whole, "split at {end}");
        }
        if let Ok(body) = &whole
            && body.done
        {
            check_body(body, data, &limits);
        }
    }
}

fn parse(bytes: &[u8], limits: &HeadLimits) -> Outcome {
    let mut head = ParsedHead::default();
    Ok(match head.parse(bytes, limits)? {
        Parsed::Complete => Some(head),
        Parsed::Partial => None,
    })
}

/// Everywhere in what is short, at about 200 places in what is long.
fn split_points(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).step_by(len / 200 + 1)
}

/// A part may leave things open, but what it settles the whole settles alike.
fn check_prefix(part: &Outcome, whole: &Outcome, end: usize) {
    match (part, whole) {
        (Ok(None), Ok(Some(head))) => assert!(head.len > end, "partial at {end} of {}", head.len),
        (Ok(None), _) => {}
        _ => assert_eq!(part, whole, "at {end}"),
    }
}

/// Byte by byte, parsing only when the scan says so.
fn check_driven(data: &[u8], whole: &Outcome, limits: &HeadLimits) {
    let mut scan = HeadScan::default();
    for end in 0..=data.len() {
        let found = scan.scan(&data[..end]);
        assert_eq!(scan.scan(&data[..end]), found, "a scan of the same bytes changes nothing");
        if found || scan.over_limit(limits).is_some() {
            let now = parse(&data[..end], limits);
            assert_ne!(now, Ok(None), "partial at {end} though there is a blank line or too much");
            assert_eq!(now, *whole, "at {end}");
            assert!(found || now.is_err());
            return;
        }
    }
    assert!(!matches!(whole, Ok(Some(_))), "the scan missed a blank line");
}

/// A second opinion, from a laxer parser: what is accepted means the same to it, and it has as little patience with
/// what breaks the grammar.
fn check_against_httparse(data: &[u8], whole: &Outcome) {
    let mut fields = [httparse::EMPTY_HEADER; 200];
    let mut request = httparse::Request::new(&mut fields);
    let theirs = request.parse(data);
    match whole {
        Ok(Some(head)) => {
            assert_eq!(theirs, Ok(httparse::Status::Complete(head.len)));
            assert_eq!(request.method, Some(head.method.as_str()));
            assert_eq!(request.path.map(str::as_bytes), Some(head.target.of(data)));
            assert_eq!(request.version == Some(1), head.version == Version::HTTP_11);
            let theirs = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
            assert!(theirs.eq(head.headers.iter().map(|(name, value)| (name.of(data), value.of(data)))));
        }
        Ok(None) => assert!(!matches!(theirs, Ok(httparse::Status::Complete(_)))),
        Err(error) if error.is_about_grammar() => assert!(theirs.is_err(), "{error}"),
        Err(_) => {}
    }
}

/// What must be true of every head that is let through, whoever looks at it.
fn check_accepted(head: &ParsedHead, data: &[u8], limits: &HeadLimits) {
    let bytes = &data[..head.len];
    assert!(
        head.len <= limits.head && head.headers.len() <= limits.headers && head.target.len() <= limits.target
    );
    for (at, &byte) in bytes.iter().enumerate() {
        assert!(byte != b'\n' || (at > 0 && bytes[at - 1] == b'\r'), "bare LF at {at}");
        assert!(byte != b'\r' || bytes.get(at + 1) == Some(&b'\n'), "bare CR at {at}");
    }
    assert!(bytes.ends_with(b"\r\n\r\n"));
    let blank_lines = bytes.windows(4).filter(|four| four == b"\r\n\r\n").count();
    assert_eq!(blank_lines, 1, "a blank line inside the head");

    let target = head.target.of(bytes);
    assert!(target.iter().all(|&b| b.is_ascii_graphic() && b != b'#'));
    assert!(
        head.path.of(bytes).starts_with(b"/") || (target == b"*" && head.method == http::Method::OPTIONS)
    );
    assert!(!head.path.of(bytes).contains(&b'?'));
    assert_ne!(head.method, http::Method::CONNECT);

    let count = |name| head.values(bytes, name).count();
    let (lengths, codings, modern) =
        (count("content-length"), count("transfer-encoding"), head.version == Version::HTTP_11);
    assert!(lengths + codings <= 1, "framed twice");
    assert!(codings == 0 || modern, "Transfer-Encoding in HTTP/1.0");
    let framed = match head.body {
        BodyLength::None => (0, 0),
        BodyLength::Exactly(_) => (1, 0),
        BodyLength::Chunked => (0, 1),
    };
    assert_eq!((lengths, codings), framed);
    assert!(count("host") == 1 || (count("host") == 0 && !modern));
    for (name, value) in &head.headers {
        assert!(http::HeaderName::from_bytes(name.of(bytes)).is_ok());
        assert!(http::HeaderValue::from_bytes(value.of(bytes)).is_ok());
        assert_eq!(value.of(bytes).trim_ascii(), value.of(bytes));
        assert_eq!(bytes[name.range().end], b':');
    }
}

/// The parts, written anew and parsed again, are the same parts.
fn check_rewritten(head: &ParsedHead, data: &[u8]) {
    let mut bytes = Vec::new();
    let parts: [&[u8]; 3] = [head.method.as_str().as_bytes(), b" ", head.target.of(data)];
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.extend_from_slice(if head.version == Version::HTTP_11 {
        b" HTTP/1.1\r\n"
    } else {
        b" HTTP/1.0\r\n"
    });
    for (name, value) in &head.headers {
        let parts: [&[u8]; 4] = [name.of(data), b": ", value.of(data), b"\r\n"];
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
    }
    bytes.extend_from_slice(b"\r\n");

    let roomy = HeadLimits { head: usize::MAX, target: usize::MAX, headers: usize::MAX };
    let again = match parse(&bytes, &roomy) {
        Ok(Some(again)) => again,
        Err(_) if bytes.len() > usize::from(u16::MAX) => return, // by the spaces after the colons
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    };
    assert_eq!(again.len, bytes.len());
    assert_eq!((&again.method, again.version, again.body), (&head.method, head.version, head.body));
    assert_eq!(
        (again.keep_alive, again.expect_continue, again.upgrade),
        (head.keep_alive, head.expect_continue, head.upgrade)
    );
    assert_eq!(again.path.of(&bytes), head.path.of(data));
    assert_eq!(again.query.map(|query| query.of(&bytes)), head.query.map(|query| query.of(data)));
    assert_eq!(again.host.map(|host| host.of(&bytes)), head.host.map(|host| host.of(data)));
    assert_eq!(again.headers.len(), head.headers.len());
    for (again, first) in again.headers.iter().zip(&head.headers) {
        assert_eq!(again.0.of(&bytes), first.0.of(data));
        assert_eq!(again.1.of(&bytes), first.1.of(data));
    }
}

#[derive(Debug, PartialEq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    done: bool,
}

/// Decodes the pieces one after the other, as a connection would.
fn decode(pieces: &[&[u8]], limits: &ChunkLimits) -> Result<Body, ChunkError> {
    let mut decoder = ChunkedDecoder::default();
    let mut body = Body { data: Vec::new(), trailers: Vec::new(), consumed: 0, done: false };
    for mut piece in pieces.iter().copied() {
        while !piece.is_empty() && !body.done {
            let announced = decoder.announced();
            let chunk = decoder.decode(piece, limits).inspect_err(|_| {
                assert!(decoder.clone().decode(b"0\r\n\r\n", limits).is_err(), "an error is final");
            })?;
            assert!(0 < chunk.consumed && chunk.consumed <= piece.len(), "no progress, or too much");
            assert!(chunk.data.start <= chunk.data.end && chunk.data.end <= chunk.consumed);
            assert!(announced == 0 || chunk.data.len() as u64 <= announced);
            assert_eq!(chunk.done, decoder.is_done());
            body.data.extend_from_slice(&piece[chunk.data]);
            assert!(chunk.trailers.start <= chunk.trailers.end && chunk.trailers.end <= chunk.consumed);
            body.trailers.extend_from_slice(&piece[chunk.trailers]);
            body.consumed += chunk.consumed;
            body.done = chunk.done;
            piece = &piece[chunk.consumed..];
        }
    }
    Ok(body)
}

fn check_body(body: &Body, data: &[u8], limits: &ChunkLimits) {
    let bytes = &data[..body.consumed];
    assert!(bytes.ends_with(b"\r\n"));
    assert_eq!(decode(&[bytes], limits).as_ref(), Ok(body), "what follows the body plays no part");
    assert_eq!(decode_with_httparse(bytes), body.data);
    assert!(bytes[..bytes.len() - 2].ends_with(&body.trailers), "trailers stand before the last line end");
    assert!(body.trailers.is_empty() || body.trailers.ends_with(b"\r\n"));
    assert!(parse_trailers(&body.trailers).keys().all(is_trailer_field));

    let mut rewritten = Vec::new();
    body.data.chunks(1000).for_each(|data| encode::write_chunk(&mut rewritten, data));
    encode::write_last_chunk(&mut rewritten);
    let again = Body { data: body.data.clone(), trailers: Vec::new(), consumed: rewritten.len(), done: true };
    assert_eq!(decode(&[&rewritten], limits), Ok(again));
}

/// A second opinion, from a laxer parser: what is accepted means the same to it.
fn decode_with_httparse(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let (start, size) = httparse::parse_chunk_size(bytes).expect("a size").unwrap();
        if size == 0 {
            return body;
        }
        let end = start + usize::try_from(size).expect("a size that was there");
        body.extend_from_slice(&bytes[start..end]);
        assert!(bytes[end..].starts_with(b"\r\n"));
        bytes = &bytes[end + 2..];
    }
}

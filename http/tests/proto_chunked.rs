//! The chunked coding in wire bytes.
use lakh_http::proto::{ChunkError, ChunkLimits, ChunkedDecoder};

/// Decodes in pieces of `step` bytes: the body, the bytes used up, whether it was done.
fn decode(bytes: &[u8], step: usize, limits: &ChunkLimits) -> Result<(Vec<u8>, usize, bool), ChunkError> {
    let mut decoder = ChunkedDecoder::default();
    let (mut body, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let piece = &bytes[at..bytes.len().min(at + step)];
        let chunk = decoder.decode(piece, limits)?;
        assert!(chunk.consumed > 0 && chunk.consumed <= piece.len() && chunk.data.end <= chunk.consumed);
        body.extend_from_slice(&piece[chunk.data]);
        at += chunk.consumed;
        if chunk.done {
            return Ok((body, at, true));
        }
    }
    Ok((body, at, false))
}

#[track_caller]
fn accept(bytes: &str, body: &str) {
    for step in 1..=bytes.len() {
        let decoded = decode(bytes.as_bytes(), step, &ChunkLimits::default());
        assert_eq!(decoded, Ok((body.into(), bytes.len(), true)), "{bytes:?} by {step}");
    }
}

#[track_caller]
fn refuse(bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    for step in 1..=bytes.len() {
        let error =
            decode(bytes, step, &ChunkLimits::default()).expect_err(&bytes.escape_ascii().to_string());
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn chunks_are_put_together() {
    accept("0\r\n\r\n", "");
    accept("5\r\nhello\r\n0\r\n\r\n", "hello");
    accept("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
    accept("A\r\n0123456789\r\n00\r\n\r\n", "0123456789");
    accept("a\r\n0\r\n\r\n56789\r\n0\r\n\r\n", "0\r\n\r\n56789");
    accept("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello");
}

#[test]
fn nothing_behind_the_body_is_read() {
    let bytes = b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
    for step in 1..=bytes.len() {
        assert_eq!(decode(bytes, step, &ChunkLimits::default()), Ok((b"x".to_vec(), 11, true)));
    }
    let mut decoder = ChunkedDecoder::default();
    let limits = ChunkLimits::default();
    assert!(decoder.decode(b"0\r\n\r\n", &limits).unwrap().done);
    assert!(decoder.is_done());
    let next = decoder.decode(b"GET", &limits).unwrap();
    assert_eq!((next.consumed, next.data, next.done), (0, 0..0, true));
}

#[test]
fn the_announced_size_is_known_before_its_data() {
    let (mut decoder, limits) = (ChunkedDecoder::default(), ChunkLimits::default());
    assert_eq!(decoder.announced(), 0);
    decoder.decode(b"ff", &limits).unwrap();
    assert_eq!(decoder.announced(), 0);
    decoder.decode(b"\r\n", &limits).unwrap();
    assert_eq!(decoder.announced(), 255);
    decoder.decode(b"abc", &limits).unwrap();
    assert_eq!(decoder.announced(), 252);
}

#[test]
fn sizes_are_hexadecimal_digits_and_bounded() {
    for size in [
        "", "g", "0x5", "+5", "-5", " 5", "\t5", "5 ", "5\t", "5 5", "5,5", "5.", "_5", "5h", "\u{ff15}",
        "\0", "5\0",
    ] {
        refuse(format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
    refuse("00000000000000005\r\nhello\r\n0\r\n\r\n"); // 17 digits
    refuse("10000000000000005\r\nhello\r\n0\r\n\r\n"); // 5, if it wrapped
    refuse("ffffffffffffffff\r\nhello");
    refuse("8000000000000000\r\nhello");
    refuse("\r\n0\r\n\r\n");
    let limits = ChunkLimits::default();
    assert!(decode(b"7fffffffffffffff\r\nhello", 30, &limits).is_ok());
}

#[test]
fn lines_end_in_cr_lf_and_nothing_else() {
    for bytes in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhelloX\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\n\r\r",
        "0\r\n\rX",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\n\n",
        "0\r\nX: y\rZ: z\r\n\r\n",
    ] {
        refuse(bytes);
    }
}

#[test]
fn extensions_are_checked_and_skipped() {
    for extension in [
        ";a",
        ";a=b",
        ";a=b;c",
        " ;\ta \t=  b ; c",
        ";a=\"\"",
        ";a=\"b; c\\\"d\\\\\"",
        ";a=\"\u{fc}\t\";b",
        ";a;b;c",
    ] {
        accept(&format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n"), "hello");
    }
    for extension in [
        ";",
        ";;",
        ";a;",
        ";=",
        ";a=",
        ";a b",
        ";a=b c",
        ";a=\"b",
        ";a=\"b\\",
        ";a=\"b\"c",
        ";a\0",
        ";a=\"\0\"",
        ";a=\"\x7f\"",
        ";a=\"\\\x01\"",
        ";a ",
        ";a=b ",
        ";a=\"b\" ",
        "x;b",
        ";a=b=c",
        ";a=\u{fc}",
        ";a=\"b\r\nc\"",
    ] {
        refuse(format!("5{extension}\r\nhello\r\n0\r\n\r\n"));
    }
}

#[test]
fn extensions_of_a_whole_body_are_bounded() {
    let limits = ChunkLimits { extensions: 10, ..ChunkLimits::default() };
    let body = |first: &str, last: &str| format!("1;{first}\r\nx\r\n0;{last}\r\n\r\n");
    // The semicolon and the line end's CR count as well.
    assert!(decode(body("abc", "def").as_bytes(), 99, &limits).is_ok());
    assert!(decode(body("abc", "defg").as_bytes(), 99, &limits).is_err());
    let endless = format!("1;a=\"{}", "b".repeat(5000));
    assert!(decode(endless.as_bytes(), 100, &ChunkLimits::default()).is_err());
}

#[test]
fn trailers_are_checked_and_dropped() {
    accept("0\r\nX: y\r\n\r\n", "");
    accept("1\r\na\r\n0\r\nX-Sum:\r\nY:  \u{fc} \t \r\n!#$: z\r\n\r\n", "a");
    for trailer in [
        "X",
        "X y",
        "X : y",
        " X: y",
        "\tX: y",
        ": y",
        "X: \0",
        "X: a\x7f",
        "X: a\x0bb",
        "X(: y",
        "X: y\r\n folded",
        "X: y\r\n\tfolded",
        "\u{fc}: y",
    ] {
        refuse(format!("0\r\n{trailer}\r\n\r\n"));
    }
}

#[test]
fn trailers_are_bounded_in_number_and_bytes() {
    let limits = ChunkLimits::default();
    let count = |n: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(n));
    assert!(decode(count(64).as_bytes(), 999, &limits).is_ok());
    assert_eq!(decode(count(65).as_bytes(), 999, &limits).unwrap_err().status(), 431);
    let endless = format!("0\r\nX: {}", "y".repeat(9000));
    assert_eq!(decode(endless.as_bytes(), 999, &limits).unwrap_err().status(), 431);
}

#[test]
fn after_an_error_there_are_only_errors() {
    let (mut decoder, limits) = (ChunkedDecoder::default(), ChunkLimits::default());
    assert!(decoder.decode(b"x", &limits).is_err());
    for bytes in [&b"0\r\n\r\n"[..], b"GET / HTTP/1.1\r\n", b"5"] {
        assert_eq!(decoder.decode(bytes, &limits).unwrap_err().to_string(), "bytes after a malformed chunk");
    }
    assert!(!decoder.is_done());
}

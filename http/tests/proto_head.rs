//! Request heads in wire bytes: what is accepted as what, and what is refused with which status.
use http::{Method, StatusCode, Version};
use lakh_http::proto::{BodyLength, HeadError, HeadLimits, HeadScan, Parsed, ParsedHead};

/// Parses a head that is expected to be whole and acceptable.
#[track_caller]
fn accept(bytes: impl AsRef<[u8]>) -> ParsedHead {
    let bytes = bytes.as_ref();
    let mut head = ParsedHead::default();
    match head.parse(bytes, &HeadLimits::default()) {
        Ok(Parsed::Complete) => head,
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}

fn parse(bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, HeadError> {
    ParsedHead::default().parse(bytes, limits)
}

#[track_caller]
fn refuse(status: u16, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    match parse(bytes, &HeadLimits::default()) {
        Err(error) => assert_eq!(error.status().as_u16(), status, "{error} for {}", bytes.escape_ascii()),
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}

/// `GET / HTTP/1.1` with a Host and these lines.
fn with_lines(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn with_target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn with_host(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n")
}

#[test]
fn a_head_is_told_as_offsets() {
    let bytes = b"POST /a/b?c=d HTTP/1.1\r\nHost: example.com:80\r\nX-Empty:\r\nX-Wide: \t w \t\r\n\r\nbody";
    let head = accept(bytes);
    assert_eq!((&head.method, head.version), (&Method::POST, Version::HTTP_11));
    assert_eq!(head.target.of(bytes), b"/a/b?c=d");
    assert_eq!(head.path.of(bytes), b"/a/b");
    assert_eq!(head.query.unwrap().of(bytes), b"c=d");
    assert_eq!(head.host.unwrap().of(bytes), b"example.com:80");
    let headers: Vec<_> =
        head.headers.iter().map(|(name, value)| (name.of(bytes), value.of(bytes))).collect();
    assert_eq!(headers, [(&b"Host"[..], &b"example.com:80"[..]), (b"X-Empty", b""), (b"X-Wide", b"w")]);
    assert_eq!(head.len, bytes.len() - "body".len());
    assert_eq!(head.values(bytes, "x-wide").collect::<Vec<_>>(), [b"w"]);
}

#[test]
fn a_parsed_head_is_reused_without_traces_of_the_last() {
    let mut head = ParsedHead::default();
    let limits = HeadLimits::default();
    let first = b"POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\
        Connection: close, upgrade\r\nUpgrade: h2c\r\n\r\n";
    assert_eq!(head.parse(first, &limits), Ok(Parsed::Complete));
    let capacity = head.headers.capacity();
    let second = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(head.parse(second, &limits), Ok(Parsed::Complete));
    assert_eq!(head.headers.capacity(), capacity);
    head.headers.shrink_to_fit();
    assert_eq!(head, accept(second));
}

#[test]
fn a_head_is_partial_until_its_blank_line_is_there() {
    let bytes = with_lines("Accept: */*\r\n");
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes.as_bytes()[..end], &HeadLimits::default()), Ok(Parsed::Partial), "{end}");
    }
    accept(bytes);
}

#[test]
fn one_empty_line_in_front_is_skipped_and_no_more() {
    let request = with_lines("");
    let bytes = format!("\r\n{request}");
    let head = accept(&bytes);
    assert_eq!(head.len, bytes.len());
    assert_eq!(head.host.unwrap().of(bytes.as_bytes()), b"a");
    for prefix in ["\r\n\r\n", "\n", "\r", "\r\n\n", "\n\n", "\r\r\n", "\r\n\r", " ", "\r\n ", "\0"] {
        refuse(400, format!("{prefix}{request}"));
    }
}

#[test]
fn lines_end_in_cr_lf_and_nothing_else() {
    for bytes in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\nY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b \nY: b\r\n\r\n",
        "GET / HTTP/1.0\n\n",
        "GET / HTTP/1.0\r\n\n",
        "GET / HTTP/1.0\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\r",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX",
    ] {
        refuse(400, bytes);
    }
}

#[test]
fn a_bare_lf_is_refused_at_once() {
    for bytes in
        ["GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n", "GET / HTTP/1.1\r\n\n", "CONNECT / HTTP/1.1\n"]
    {
        refuse(400, bytes);
    }
}

#[test]
fn a_request_line_has_three_words_and_single_spaces() {
    for line in [
        "GET",
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        refuse(400, format!("{line}\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn a_method_is_any_token() {
    for method in ["GET", "HEAD", "OPTIONS", "PROPFIND", "get", "M-SEARCH", "!#$%&'*+-.^_`|~0", "A"] {
        let head = accept(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.method.as_str(), method);
    }
    for method in ["", "G(T", "GET,", "G\"", "G{", "GE\u{e9}", "G\x01", "G\x7f", "GET:"] {
        refuse(400, format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn connect_is_not_allowed() {
    refuse(405, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
    refuse(405, "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn versions_are_1_0_and_1_1() {
    assert_eq!(accept("GET / HTTP/1.0\r\n\r\n").version, Version::HTTP_10);
    refuse(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0"] {
        refuse(505, format!("GET / {version}\r\nHost: a\r\n\r\n"));
    }
    for version in [
        "HTTP/2",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/1.10",
        "HTTP/1.1.",
        "HTTP/11.1",
        "HTTP/20.0",
        "HTTP/2.00",
        "HTTP/a.b",
        "http/1.1",
        "Http/2.0",
        "HTTPS/1.1",
        "HTTP/ 1.1",
        "HTTP 1.1",
        "HTTP/1,1",
        "HTTP/-1.1",
        "X",
        "",
    ] {
        refuse(400, format!("GET / {version}\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn an_unsupported_version_is_told_before_the_head_is_whole_and_a_half_one_is_not() {
    let limits = HeadLimits::default();
    let status = |bytes: &str| parse(bytes.as_bytes(), &limits).map_err(|error| error.status().as_u16());
    assert_eq!(status("PRI * HTTP/2"), Ok(Parsed::Partial));
    assert_eq!(status("PRI * HTTP/2.0"), Ok(Parsed::Partial));
    assert_eq!(status("PRI * HTTP/2.0\r"), Err(505));
    assert_eq!(status("GET / HTTP/2.00"), Err(400));
    assert_eq!(status("GET / HTTQ"), Err(400));
}

#[test]
fn origin_form_is_split_at_the_first_question_mark() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("/12345?6", "/12345", Some("6")),
        ("/123456?7", "/123456", Some("7")),
        ("/1234567?8", "/1234567", Some("8")),
        ("/12345678901234567890?x=1&y=2", "/12345678901234567890", Some("x=1&y=2")),
        ("/?12345678901234567890?", "/", Some("12345678901234567890?")),
        ("//example.com/", "//example.com/", None),
        ("/http://a@b/", "/http://a@b/", None),
        ("/%2e%2E/%00", "/%2e%2E/%00", None),
    ] {
        let bytes = with_target(target);
        let head = accept(&bytes);
        assert_eq!(head.target.of(bytes.as_bytes()), target.as_bytes());
        assert_eq!(head.path.of(bytes.as_bytes()), path.as_bytes());
        assert_eq!(head.query.map(|query| query.of(bytes.as_bytes())), query.map(str::as_bytes));
    }
}

#[test]
fn targets_are_visible_ascii_without_a_fragment() {
    for byte in 0..=255u8 {
        for at in [1, 3, 8, 9, 12] {
            let mut target = b"/a?b=cdefghijk".to_vec();
            target[at] = byte;
            let bytes = [b"GET ", &target[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            if (0x21..=0x7e).contains(&byte) && byte != b'#' {
                assert_eq!(accept(&bytes).target.of(&bytes), target);
            } else {
                refuse(400, &bytes);
            }
        }
    }
    refuse(400, with_target("/caf\u{e9}"));
    refuse(400, with_target("/12345678#"));
}

#[test]
fn absolute_form_replaces_the_host() {
    for (target, host, path, query) in [
        ("http://b/", "b", "/", None),
        ("http://b", "b", "/", None),
        ("http://b?q", "b", "/", Some("q")),
        ("http://b/p?q", "b", "/p", Some("q")),
        ("HTTPS://b:443/p", "b:443", "/p", None),
        ("http://[::1]:80/p?", "[::1]:80", "/p", Some("")),
        ("http://b/a@c", "b", "/a@c", None),
    ] {
        let bytes = with_target(target);
        let head = accept(&bytes);
        let bytes = bytes.as_bytes();
        assert_eq!(head.host.unwrap().of(bytes), host.as_bytes(), "{target}");
        assert_eq!(head.path.of(bytes), path.as_bytes(), "{target}");
        assert_eq!(head.query.map(|query| query.of(bytes)), query.map(str::as_bytes), "{target}");
    }
    let bytes = b"GET http://b/ HTTP/1.0\r\n\r\n";
    assert_eq!(accept(bytes).host.unwrap().of(bytes), b"b");
}

#[test]
fn other_targets_are_refused() {
    for target in [
        "http://user@b/",
        "http://user:password@b/",
        "http://@b/",
        "http:///p",
        "http://",
        "http://?q",
        "http://:80/",
        "http://b:x/",
        "http://b|c/",
        "http:/b",
        "http:b",
        "ftp://b/",
        "ws://b/",
        "a",
        "a.example:80",
        "?q",
        "*",
        "**",
        "*/",
        "\\",
    ] {
        refuse(400, with_target(target));
    }
    refuse(400, "GET http://b/ HTTP/1.1\r\n\r\n"); // Host is needed even where it is replaced
    refuse(400, "GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n"); // empty is for targets without authority
    refuse(400, "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n");
}

#[test]
fn the_asterisk_is_for_options() {
    let bytes = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = accept(bytes);
    assert_eq!((head.path.of(bytes), head.query), (&b"*"[..], None));
    refuse(400, "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n");
    refuse(400, "OPTIONS *?q HTTP/1.1\r\nHost: a\r\n\r\n");
    refuse(400, "HEAD * HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn http_1_1_has_exactly_one_host() {
    refuse(400, "GET / HTTP/1.1\r\n\r\n");
    refuse(400, "GET / HTTP/1.1\r\nHosts: a\r\n\r\n");
    refuse(400, with_lines("Host: a\r\n"));
    refuse(400, with_lines("hOST: b\r\n"));
    refuse(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
    refuse(400, "GET / HTTP/1.0\r\nHost: a b\r\n\r\n");
    assert_eq!(accept("GET / HTTP/1.0\r\n\r\n").host, None);
    assert!(accept(with_host("")).host.unwrap().is_empty());
}

#[test]
fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
    for host in [
        "example.com",
        "EXAMPLE.com.",
        "localhost:8080",
        "a:",
        "a:0",
        "a:65535",
        "127.0.0.1",
        "[::1]",
        "[::1]:8080",
        "[2001:db8::7]:",
        "[::ffff:1.2.3.4]",
        "[v1.fe80::a+en1]",
        "under_score",
        "a-b~c!$&'()*+,;=",
        "%41%2d.example",
        "xn--bcher-kva.example",
    ] {
        let bytes = with_host(&format!(" {host}"));
        assert_eq!(accept(&bytes).host.unwrap().of(bytes.as_bytes()), host.as_bytes());
    }
    for host in [
        ":",
        ":80",
        "a:b",
        "a:80:80",
        "a:+80",
        "a:-1",
        "a:65536",
        "a:99999999999999999999",
        "a b",
        "a, b",
        "a/",
        "a/b",
        "http://a",
        "user@a",
        "a?b",
        "a#b",
        "a\\b",
        "a|b",
        "\"a\"",
        "a%4",
        "a%",
        "a%zz",
        "%",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[::1]a",
        "[::1]:a",
        "[::1%25eth0]",
        "[1.2.3.4]",
        "[v.a]",
        "[v1.]",
        "[v1]",
        "[vx.a]",
        "[g::1]",
        "b\u{fc}cher.example",
    ] {
        refuse(400, with_host(&format!(" {host}")));
    }
}

#[test]
fn header_names_are_tokens_right_before_the_colon() {
    for line in [
        "Name : a",
        "Name\t: a",
        " Name: a",
        "\tName: a",
        ": a",
        "Name",
        "Na me: a",
        "Na(me: a",
        "Na\"me: a",
        "N\u{e9}: a",
        "Na\0me: a",
        "Na\x7fme: a",
        "[Name]: a",
        "Name;: a",
    ] {
        refuse(400, with_lines(&format!("{line}\r\n")));
        refuse(400, format!("GET / HTTP/1.1\r\n{line}\r\nHost: a\r\n\r\n"));
    }
    accept(with_lines("!#$%&'*+-.^_`|~09azAZ: a\r\n"));
}

#[test]
fn a_header_name_has_no_other_bytes_at_any_place() {
    for byte in (0..=255u8).filter(|&byte| byte != b':') {
        for at in [0, 1, 6, 7, 8, 14, 15, 16, 20] {
            let mut name = b"X-Forwarded-For-2-Any".to_vec();
            name[at] = byte;
            let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\n", &name[..], b": b\r\n\r\n"].concat();
            if byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte) {
                assert_eq!(accept(&bytes).headers[1].0.of(&bytes), name);
            } else {
                refuse(400, &bytes);
            }
        }
    }
}

#[test]
fn white_space_inside_a_value_belongs_to_it() {
    for value in ["a\tb", "a \t b", "0123456789\t0123456789\t0123456789 0123456789", "\u{e4}\t\u{f6}"] {
        let bytes = with_lines(&format!("X: \t {value} \t\r\n"));
        let head = accept(&bytes);
        assert_eq!(head.headers[1].1.of(bytes.as_bytes()), value.as_bytes());
    }
}

#[test]
fn values_have_no_control_bytes_and_no_folds() {
    for byte in (0..=255u8).filter(|byte| !b"\r\n".contains(byte)) {
        for value in [
            &[byte][..],
            &[b'a', byte, b'b'],
            &[b"0123456789abcdefghijklmnopqrstuvwxyz".as_slice(), &[byte, b'!']].concat(),
        ] {
            let bytes = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", value, b"\r\n\r\n"].concat();
            if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
                accept(&bytes);
            } else {
                refuse(400, &bytes);
            }
        }
    }
    refuse(400, with_lines("X: a\r\n b\r\n"));
    refuse(400, with_lines("X: a\r\n\tb\r\n"));
    refuse(400, with_lines("X:\r\n b\r\n"));
    refuse(400, with_lines("X: a\r\n \r\n"));
    refuse(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n");
}

#[test]
fn the_body_is_as_long_as_its_head_says() {
    for (lines, body) in [
        ("", BodyLength::None),
        ("Content-Length: 0\r\n", BodyLength::Exactly(0)),
        ("content-LENGTH:5\r\n", BodyLength::Exactly(5)),
        ("Content-Length: 007 \r\n", BodyLength::Exactly(7)),
        ("Content-Length: 18446744073709551615\r\n", BodyLength::Exactly(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", BodyLength::Chunked),
        ("transfer-encoding:\tChUnKeD \r\n", BodyLength::Chunked),
    ] {
        assert_eq!(accept(with_lines(lines)).body, body, "{lines}");
    }
    assert_eq!(accept("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").body, BodyLength::Exactly(3));
}

#[test]
fn a_content_length_is_one_number() {
    for value in [
        "",
        "+5",
        "-5",
        "5, 5",
        "5,5",
        "5 5",
        "5,",
        ",5",
        "0x5",
        "5.0",
        "5e1",
        "five",
        "\"5\"",
        "5;",
        "\u{665}",
        "18446744073709551616",
        "99999999999999999999999",
        "5\t5",
    ] {
        refuse(400, with_lines(&format!("Content-Length: {value}\r\n")));
    }
    refuse(400, with_lines("Content-Length: 5\r\nContent-Length: 5\r\n"));
    refuse(400, with_lines("Content-Length: 5\r\ncontent-length: 6\r\n"));
    refuse(400, with_lines("Content-Length: 0\r\nX: y\r\nContent-Length: 0\r\n"));
    refuse(400, with_lines("Content-Length : 5\r\n"));
    refuse(400, with_lines("Content-Length: x\r\nContent-Length: 5\r\n"));
}

#[test]
fn a_transfer_encoding_is_chunked_and_nothing_else() {
    for value in [
        "",
        "xchunked",
        "chunkedx",
        "chunked, chunked",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "identity",
        "chunked,",
        ",chunked",
        "chunked;a=b",
        "\"chunked\"",
        "chunked chunked",
        "chun ked",
        "\u{b}chunked",
        "x, chunked",
        "chunked\u{a0}",
    ] {
        refuse(400, with_lines(&format!("Transfer-Encoding: {value}\r\n")));
    }
    refuse(400, with_lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
    refuse(400, with_lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"));
    refuse(400, with_lines("Transfer-Encoding: chunked\r\n , gzip\r\n"));
    refuse(400, with_lines("Transfer-Encoding : chunked\r\n"));
    refuse(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    refuse(400, "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn a_length_and_a_coding_do_not_go_together() {
    refuse(400, with_lines("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"));
    refuse(400, with_lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"));
    refuse(400, with_lines("Content-Length: 0\r\nX: y\r\ntransfer-encoding: CHUNKED\r\n"));
}

#[test]
fn http_1_1_stays_open_unless_closed() {
    for (lines, keep_alive) in [
        ("", true),
        ("Connection: keep-alive\r\n", true),
        ("Connection: close\r\n", false),
        ("Connection: CLOSE\r\n", false),
        ("Connection: keep-alive, close\r\n", false),
        ("Connection: close\r\nConnection: keep-alive\r\n", false),
        ("Connection: keep-alive\r\nX: y\r\nconnection: te ,\tClose ,\r\n", false),
        ("Connection: closed\r\n", true),
        ("Connection: close;x\r\n", true),
        ("Connection:\r\n", true),
        ("Connection: ,,\r\n", true),
        ("Proxy-Connection: close\r\n", true),
        ("X-Connect: close\r\n", true),
        ("Connectiom: close\r\n", true),
    ] {
        assert_eq!(accept(with_lines(lines)).keep_alive, keep_alive, "{lines}");
    }
}

#[test]
fn http_1_0_closes_unless_kept_alive() {
    for (lines, keep_alive) in [
        ("", false),
        ("Connection: keep-alive\r\n", true),
        ("Connection: Keep-Alive\r\n", true),
        ("Connection: te, keep-alive\r\n", true),
        ("Connection: keep-alive\r\nConnection: close\r\n", false),
        ("Keep-Alive: timeout=5\r\n", false),
    ] {
        assert_eq!(accept(format!("GET / HTTP/1.0\r\n{lines}\r\n")).keep_alive, keep_alive, "{lines}");
    }
}

#[test]
fn the_only_expectation_is_100_continue() {
    let body = "Content-Length: 5\r\n";
    assert!(accept(with_lines(&format!("{body}Expect: 100-continue\r\n"))).expect_continue);
    assert!(accept(with_lines("EXPECT: 100-Continue\r\nTransfer-Encoding: chunked\r\n")).expect_continue);
    assert!(!accept(with_lines(body)).expect_continue);
    assert!(!accept(with_lines("Expect: 100-continue\r\n")).expect_continue);
    assert!(!accept(with_lines("Content-Length: 0\r\nExpect: 100-continue\r\n")).expect_continue);
    for value in ["200-ok", "100-continue, x", "100-continued", "100-continue;a=b", "x=y"] {
        refuse(417, with_lines(&format!("{body}Expect: {value}\r\n")));
    }
    refuse(417, with_lines("Expect: 100-continue\r\nExpect: x\r\n"));
    for value in ["100-continue", "x"] {
        let bytes = format!("POST / HTTP/1.0\r\n{body}Expect: {value}\r\n\r\n");
        assert!(!accept(bytes).expect_continue);
    }
}

#[test]
fn an_upgrade_takes_two_fields_and_http_1_1() {
    let upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n";
    assert!(accept(with_lines(upgrade)).upgrade);
    assert!(!accept(with_lines("Upgrade: websocket\r\n")).upgrade);
    assert!(!accept(with_lines("Connection: upgrade\r\n")).upgrade);
    assert!(!accept(format!("GET / HTTP/1.0\r\n{upgrade}\r\n")).upgrade);
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert!(accept(with_lines(h2c)).keep_alive);
}

#[test]
fn a_head_is_as_long_as_the_limit_and_no_longer() {
    let bytes = with_lines("X: y\r\n");
    let limits = |head| HeadLimits { head, ..HeadLimits::default() };
    assert_eq!(parse(bytes.as_bytes(), &limits(bytes.len())), Ok(Parsed::Complete));
    let status = |bytes: &str, limit| parse(bytes.as_bytes(), &limits(limit)).unwrap_err().status().as_u16();
    assert_eq!(status(&bytes, bytes.len() - 1), 431);
    assert_eq!(status(&bytes[..bytes.len() - 1], bytes.len() - 1), 431);
    assert_eq!(parse(&bytes.as_bytes()[..bytes.len() - 2], &limits(bytes.len() - 1)), Ok(Parsed::Partial));
    assert_eq!(status(&with_lines(&format!("X: {}\r\n", "y".repeat(70_000))), usize::MAX), 431);
    let longest = with_lines(&format!("X: {}\r\n", "y".repeat(65_535 - with_lines("X: \r\n").len())));
    assert_eq!(parse(longest.as_bytes(), &limits(usize::MAX)), Ok(Parsed::Complete));
    assert_eq!(status(&"A".repeat(70_000), usize::MAX), 431);
}

#[test]
fn bytes_behind_the_head_do_not_count() {
    let bytes = with_lines("") + &"x".repeat(100_000);
    accept(bytes);
}

#[test]
fn a_target_is_as_long_as_the_limit_and_no_longer() {
    let limits = HeadLimits { target: 10, ..HeadLimits::default() };
    let status = |bytes: &str| parse(bytes.as_bytes(), &limits).map_err(|error| error.status().as_u16());
    assert_eq!(status(&with_target("/123456789")), Ok(Parsed::Complete));
    assert_eq!(status(&with_target("/1234567890")), Err(414));
    assert_eq!(status("GET /123456789"), Ok(Parsed::Partial));
    assert_eq!(status("GET /1234567890"), Err(414));
    assert_eq!(status("\r\nGET /1234567890"), Err(414));
    assert_eq!(status("GET /1234567890 HTTP/3.0\r\n"), Err(414));
    assert_eq!(status("CONNECT example.com:443 HTTP/1.1\r\n\r\n"), Err(414));
    let long = with_target(&format!("/{}", "a".repeat(9000)));
    refuse(414, &long);
    refuse(414, &long[..8300]);
}

#[test]
fn header_fields_are_counted() {
    let lines = |count: usize| with_lines(&"X: y\r\n".repeat(count - 1));
    let status = |bytes: &str, headers| {
        let limits = HeadLimits { headers, ..HeadLimits::default() };
        parse(bytes.as_bytes(), &limits).map_err(|error| error.status().as_u16())
    };
    assert_eq!(status(&lines(100), 100), Ok(Parsed::Complete));
    assert_eq!(status(&lines(101), 100), Err(431));
    assert_eq!(status(&lines(102)[..lines(101).len()], 100), Err(431));
    assert_eq!(status(&lines(128), 1000), Ok(Parsed::Complete));
    assert_eq!(status(&lines(129), 1000), Err(431));
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n", 0), Ok(Parsed::Complete));
}

#[test]
fn a_scan_finds_the_blank_line_in_whatever_pieces() {
    for (bytes, end) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 29),
        ("GET / HTTP/1.1\nHost: a\n\n", 24),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 26),
        ("GET / HTTP/1.1\r\n\r\n", 18),
        ("\r\n\r\n", 4),
        ("\n", 1),
        ("G@T\r\n\r\n", 7),
    ] {
        let bytes = bytes.as_bytes();
        for step in 1..=bytes.len() {
            let mut scan = HeadScan::default();
            let ends = (step..bytes.len()).step_by(step).chain([bytes.len()]);
            for upto in ends {
                assert_eq!(scan.scan(&bytes[..upto]), upto >= end, "{} up to {upto}", bytes.escape_ascii());
            }
            assert!(scan.scan(bytes));
        }
    }
}

#[test]
fn a_scan_tells_the_limit_as_soon_as_it_is_passed() {
    let limits = HeadLimits { head: 60, target: 8, headers: 2 };
    for (bytes, at, status) in [
        ("GET /12345678 HTTP/1.1\r\n", 13, 414),
        ("GET / HTTP/1.1\r\na: b\r\nc: d\r\ne: f\r\n", 34, 431),
        ("\r\nGET / HTTP/1.1\r\na: b\r\nc: d\r\ne: f\r\n", 36, 431),
        (&format!("GET / HTTP/1.1\r\na: {}", "b".repeat(50)), 60, 431),
        (&"G".repeat(70), 60, 431),
    ] {
        let mut scan = HeadScan::default();
        for upto in 0..=bytes.len() {
            scan.scan(&bytes.as_bytes()[..upto]);
            let over = scan.over_limit(&limits).map(|error| error.status().as_u16());
            assert_eq!(over, (upto >= at).then_some(status), "{bytes} up to {upto}");
        }
    }
    let bytes = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let mut scan = HeadScan::default();
    assert!(scan.scan(bytes.as_bytes()));
    let exact = HeadLimits { head: bytes.len(), target: 1, headers: 2 };
    assert_eq!(scan.over_limit(&exact), None);
}

#[test]
fn an_error_says_which_rule_was_broken() {
    let error = parse(b"GET / HTTP/1.1\r\n\r\n", &HeadLimits::default()).unwrap_err();
    assert_eq!(error.to_string(), "no Host field (RFC 9112, 3.2)");
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn a_byte_that_no_target_may_have_is_refused_at_once_and_before_what_follows() {
    for byte in [&b"#"[..], b"\xff", b"\xb2", "\u{e9}".as_bytes()] {
        for (method, before) in
            [("GET", "/"), ("GET", "/a/long/path?with=a&query="), ("CONNECT", "a"), ("GET", "")]
        {
            let head = [method.as_bytes(), b" ", before.as_bytes(), byte].concat();
            for rest in ["", " ", " HTTP/1.2\r\n", " HTTP/1.1\r\nHost: a\r\n\r\n", "\0 HTTP/1.1\r\n", "\n"] {
                refuse(400, [&head, rest.as_bytes()].concat());
            }
        }
    }
    // What comes first counts.
    refuse(400, "GET /\0\u{e9} HTTP/1.1\r\n");
    let limits = HeadLimits { target: 4, ..HeadLimits::default() };
    for (head, status) in
        [("GET /aa# HTTP/1.1\r\n", 400), ("GET /aa#aaaa HTTP/1.1\r\n", 400), ("GET /aaaa# ", 414)]
    {
        assert_eq!(parse(head.as_bytes(), &limits).unwrap_err().status().as_u16(), status, "{head}");
    }
}

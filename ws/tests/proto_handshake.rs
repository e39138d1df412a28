//! Opening handshakes: which are accepted, how the others are refused, and a client's view of answers.
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use lakh_ws::proto::deflate::DeflateOptions;
use lakh_ws::proto::handshake::{AnswerError, ClientHandshake, accept_request, choose_protocol};

/// The request of RFC 6455, 1.2, with other fields in place of these: an empty value takes one away.
fn request(changes: &[(&str, &str)]) -> HeaderMap {
    let fields = [
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    with(&fields, changes)
}

fn with(fields: &[(&str, &str)], changes: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kept = fields.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    for (name, value) in kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn accept(changes: &[(&str, &str)]) -> Result<String, u16> {
    match accept_request(&Method::GET, Version::HTTP_11, &request(changes)) {
        Ok(accept) => Ok(accept.to_str().unwrap().to_owned()),
        Err(error) => Err(error.status().as_u16()),
    }
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    assert_eq!(accept(&[]), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()));
}

#[test]
fn tokens_are_found_in_lists_in_any_case_and_over_all_fields() {
    for changes in [
        &[("connection", "keep-alive, Upgrade")][..],
        &[("connection", "keep-alive"), ("connection", "UPGRADE")],
        &[("connection", "keep-alive ,\tupgrade , x")],
        &[("upgrade", "WebSocket")],
        &[("upgrade", "h2c, websocket")],
        &[("upgrade", "h2c"), ("upgrade", "websocket")],
    ] {
        assert!(accept(changes).is_ok(), "{changes:?}");
    }
}

#[test]
fn a_request_that_is_no_handshake_is_refused_with_its_status() {
    let cases: [(&[(&str, &str)], u16); 18] = [
        (&[("upgrade", "")], 426),
        (&[("upgrade", "websockets")], 426),
        (&[("upgrade", "h2c")], 426),
        (&[("connection", "")], 400),
        (&[("connection", "keep-alive")], 400),
        (&[("connection", "not-upgrade")], 400),
        (&[("sec-websocket-version", "")], 426),
        (&[("sec-websocket-version", "8")], 426),
        (&[("sec-websocket-version", "013")], 426),
        (&[("sec-websocket-version", "13, 8")], 426),
        (&[("sec-websocket-version", "13"), ("sec-websocket-version", "13")], 426),
        (&[("sec-websocket-key", "")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25j")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSE=")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25j!Q==")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==, x")], 400),
        (
            &[
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            400,
        ),
    ];
    for (changes, status) in cases {
        assert_eq!(accept(changes), Err(status), "{changes:?}");
    }
    for (method, version) in [(Method::POST, Version::HTTP_11), (Method::GET, Version::HTTP_10)] {
        let error = accept_request(&method, version, &request(&[])).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    }
}

#[test]
fn a_426_names_the_version_and_the_protocol() {
    let refused = request(&[("sec-websocket-version", "8")]);
    let error = accept_request(&Method::GET, Version::HTTP_11, &refused).unwrap_err();
    let mut fields = HeaderMap::new();
    error.add_fields(&mut fields);
    assert_eq!(fields["sec-websocket-version"], "13");
    assert_eq!(fields["upgrade"], "websocket");
    assert_eq!(fields["connection"], "upgrade");
    let error = accept_request(&Method::POST, Version::HTTP_11, &request(&[])).unwrap_err();
    let mut fields = HeaderMap::new();
    error.add_fields(&mut fields);
    assert!(fields.is_empty());
}

#[test]
fn keys_whose_last_bits_mean_nothing_are_accepted() {
    assert!(accept(&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR==")]).is_ok());
}

#[test]
fn the_clients_first_subprotocol_that_the_server_has_is_chosen() {
    let choose = |offers: &[&str], supported: &[&'static str]| {
        let offers: Vec<_> = offers.iter().map(|offer| ("sec-websocket-protocol", *offer)).collect();
        choose_protocol(&request(&offers), supported)
    };
    let ours = ["chat", "superchat"];
    assert_eq!(choose(&["superchat, chat"], &ours), Ok(Some("superchat")));
    assert_eq!(choose(&["x, y", "chat"], &ours), Ok(Some("chat")));
    assert_eq!(choose(&["Chat"], &ours), Ok(None), "names are compared as they are");
    assert_eq!(choose(&[], &ours), Ok(None));
    assert_eq!(choose(&["chat"], &[]), Ok(None));
    for broken in [&["chat, chat"][..], &["chat", "chat"], &["a b"], &["\"chat\""]] {
        assert!(choose(broken, &ours).is_err(), "{broken:?}");
    }
}

fn handshake(deflate: Option<DeflateOptions>) -> ClientHandshake {
    ClientHandshake::new(*b"the sample nonce", &["chat", "superchat"], deflate).unwrap()
}

#[test]
fn what_a_client_asks_a_server_accepts() {
    let client = handshake(Some(DeflateOptions::default()));
    let fields = client.fields();
    assert_eq!(fields["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
    let accept = accept_request(&Method::GET, Version::HTTP_11, &fields).unwrap();
    assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(choose_protocol(&fields, &["superchat"]), Ok(Some("superchat")));
    assert!(!handshake(None).fields().contains_key("sec-websocket-extensions"));
    for wrong in [&["a b"][..], &[""], &["a", "a"]] {
        assert!(ClientHandshake::new([0; 16], wrong, None).is_err(), "{wrong:?}");
    }
}

/// What the client offered, and the answer's fields that are not as they should be.
type Case<'a> = (Option<DeflateOptions>, &'a [(&'a str, &'a str)]);

#[test]
fn a_client_takes_only_the_answer_to_its_own_request() {
    let fields = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    let check = |deflate, changes: &[(&str, &str)]| {
        handshake(deflate).check(StatusCode::SWITCHING_PROTOCOLS, &with(&fields, changes))
    };
    let agreed = check(None, &[]).unwrap();
    assert_eq!((agreed.protocol, agreed.deflate), (None, None));
    let agreed = check(None, &[("sec-websocket-protocol", "superchat")]).unwrap();
    assert_eq!(agreed.protocol.as_deref(), Some("superchat"));
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let deflate = Some(DeflateOptions::default());
    assert!(check(deflate, &[("sec-websocket-extensions", both)]).unwrap().deflate.is_some());
    assert!(check(deflate, &[]).unwrap().deflate.is_none());

    let refused: [Case<'_>; 10] = [
        (None, &[("upgrade", "")]),
        (None, &[("upgrade", "h2c")]),
        (None, &[("connection", "close")]),
        (None, &[("sec-websocket-accept", "")]),
        (None, &[("sec-websocket-accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]),
        (None, &[("sec-websocket-protocol", "other")]),
        (None, &[("sec-websocket-protocol", "chat, superchat")]),
        (None, &[("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "chat")]),
        (None, &[("sec-websocket-extensions", both)]),
        (deflate, &[("sec-websocket-extensions", "permessage-deflate; x")]),
    ];
    for (deflate, changes) in refused {
        assert!(check(deflate, changes).is_err(), "{changes:?}");
    }
    let refused = handshake(None).check(StatusCode::FORBIDDEN, &HeaderMap::new());
    assert_eq!(refused, Err(AnswerError::Status(StatusCode::FORBIDDEN)));
}

use super::*;
use proptest::prelude::*;
use std::io::Write as _;
use tempfile::NamedTempFile;

fn target() -> Target {
    Target::parse("http://127.0.0.1:8080/").unwrap()
}

fn read_bytes(text: &[u8]) -> Result<RequestList, String> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    let result = RequestList::read(file.path(), &target(), "PUT", &mut Files::new());
    let name = quoted(file.path().to_str().unwrap());
    result.map_err(|error| error.to_string().replace(&name, "FILE"))
}

/// Method and target of the first requests.
fn rendered(text: &str, many: usize) -> Vec<String> {
    let list = read_bytes(text.as_bytes()).unwrap();
    let mut values = Values::new(0, 1);
    let mut next = || {
        let mut out = Vec::new();
        list.render(&mut values, &mut out);
        values.advance();
        String::from_utf8(out).unwrap()
    };
    (0..many).map(|_| next()).collect()
}

#[test]
fn a_line_is_a_path_or_a_url_and_perhaps_a_method() {
    let text = "/a?b\r\n\n# not this\nGET /c HTTP/1.1\n  POST\thttp://127.0.0.1:8080/d#e  \n\
                HTTP://127.0.0.1:8080?f\nhttp://127.0.0.1:8080\n/g HTTP/1.0\n/h{seq}{{\n/last";
    assert_eq!(
        rendered(text, 10),
        [
            "PUT /a?b",
            "GET /c",
            "POST /d",
            "PUT /?f",
            "PUT /",
            "PUT /g",
            "PUT /h6{",
            "PUT /last",
            "PUT /a?b",
            "GET /c",
        ]
    );
}

#[test]
fn a_method_that_is_named_is_told_from_the_runs_own() {
    let list = read_bytes(b"/a\nPUT /b\nGET /c\nPUT /d\n/e").unwrap();
    let mut values = Values::new(0, 1);
    let mut next = || {
        let method = list.render(&mut values, &mut Vec::new());
        values.advance();
        method
    };
    assert_eq!([(); 5].map(|()| next()), [0, 1, 2, 1, 0]);
    assert_eq!(list.methods(), ["PUT", "PUT", "GET"]);
}

#[test]
fn the_usual_port_may_be_left_out_and_hosts_are_the_same_in_capitals() {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(b"http://LOCALHOST:80/a\nhttp://localhost/b").unwrap();
    let target = Target::parse("http://localhost/").unwrap();
    assert_eq!(RequestList::read(file.path(), &target, "GET", &mut Files::new()).unwrap().len(), 2);
}

#[test]
fn a_wrong_line_is_named_and_shown() {
    for (text, error) in [
        (
            "/a\n\nb c d\n",
            "FILE, line 3: more than a request; write PATH, URL or METHOD URL\n  b c d\n      ^",
        ),
        (
            "/a\nb",
            "FILE, line 2: neither a path, as /a?b, nor a URL; write PATH, URL or METHOD URL\n  b\n  ^",
        ),
        ("G(T /", "FILE, line 1: no method; write PATH, URL or METHOD URL\n  G(T /\n  ^"),
        (
            "GET https://127.0.0.1:8080/",
            "FILE, line 1: its scheme is not http\n  GET https://127.0.0.1:8080/\n      ^",
        ),
        (
            "http://127.0.0.1/",
            "FILE, line 1: a run has one host, which is 127.0.0.1:8080\n  http://127.0.0.1/\n  ^",
        ),
        ("/a\u{e4}", "FILE, line 1: a character that may not stand there\n  /aä\n    ^"),
        (
            "/{sqe}",
            "FILE, line 1: {sqe} is no placeholder; there are {seq}, {rand:16} and {line:FILE}, and {{ is a brace\n  /{sqe}\n   ^",
        ),
        ("/\nHEAD /", "FILE, line 2: HEAD beside other methods: give it a run of its own"),
        ("\n#\n", "FILE: has no requests"),
        ("", "FILE: has no requests"),
    ] {
        assert_eq!(read_bytes(text.as_bytes()).unwrap_err(), error, "{text}");
    }
    let long = format!("/{}", "x".repeat(LONGEST));
    assert!(read_bytes(long.as_bytes()).unwrap_err().contains("more than 65,535 bytes"));
    assert_eq!(read_bytes(&long.as_bytes()[1..]).unwrap_err().lines().count(), 3);
    let many: String = (0..257).map(|number| format!("M{number} /\n")).collect();
    assert!(read_bytes(many.as_bytes()).unwrap_err().starts_with("FILE, line 256: more than 256 methods"));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let read = |path: &Path, files: &mut Files| {
        RequestList::read(path, &target(), "GET", files).unwrap_err().to_string()
    };
    assert!(
        read(Path::new("/nowhere/at/all"), &mut Files::new())
            .starts_with("\"/nowhere/at/all\": No such file")
    );
    // As long as that, and without a byte of it on the disk.
    let big = NamedTempFile::new().unwrap();
    big.as_file().set_len(Files::MOST + 1).unwrap();
    assert!(read(big.path(), &mut Files::new()).contains("is bigger than the 1.07 GB"));
    let mut small = NamedTempFile::new().unwrap();
    small.write_all(b"/a\n/b\n").unwrap();
    assert!(read(small.path(), &mut Files::with_room(5)).contains("is bigger than the 5 B"));
}

#[test]
fn what_is_kept_of_a_line_is_small() {
    assert_eq!(size_of::<Line>(), 8);
}

proptest! {
    #[test]
    fn nothing_in_a_file_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        likely in "(/|\\{seq\\}|GET|HEAD| |\\n|http://|127.0.0.1:8080|#|\\?|a|\\{){0,20}",
    ) {
        for text in [&*bytes, likely.as_bytes()] {
            if let Ok(list) = read_bytes(text) {
                let (mut values, mut out) = (Values::new(3, 4), Vec::new());
                list.render(&mut values, &mut out);
                let (_, path) = out.split_at(out.iter().position(|&byte| byte == b' ').unwrap() + 1);
                prop_assert!(path.starts_with(b"/") && path.iter().all(u8::is_ascii_graphic));
            }
        }
    }
}

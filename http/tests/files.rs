//! Static files, over sockets, against a server on a free port.
#![cfg(unix)]

use lakh_core::pool::{Kind, Lane, LaneConfig, PoolConfig};
use lakh_http::{App, Files, Running, Server, files::Symlinks};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;

/// A client that waits longer than this has met a server that hangs.
const HANGS: Duration = Duration::from_secs(20);

/// A folder, and a server of it.
struct Site {
    temp: TempDir,
    server: Running,
    addr: SocketAddr,
}

impl Site {
    fn new() -> Self {
        Self::with(|files| files)
    }

    fn with(set: impl FnOnce(Files) -> Files) -> Self {
        Self::prepared(|_| {}, set)
    }

    fn prepared(prepare: impl FnOnce(&Path), set: impl FnOnce(Files) -> Files) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        fs::create_dir(&root).unwrap();
        prepare(temp.path());
        let files = set(Files::dir(&root)).open().unwrap();
        let mut site = Self::serving(Server::new(move |_| App::new().files("/", files.clone())));
        site.temp = temp;
        site
    }

    fn serving(server: Server) -> Self {
        let server = server.shards(1).bind("127.0.0.1:0").unwrap().start().unwrap();
        let addr = server.addrs()[0];
        Site { temp: tempfile::tempdir().unwrap(), server, addr }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join("root").join(name)
    }

    /// A file that was last written long ago.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        age(&path);
        path
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        Client { stream, read: Vec::new() }
    }

    fn get(&self, target: &str) -> Answer {
        self.get_with(target, "")
    }

    /// `fields` are whole lines.
    fn get_with(&self, target: &str, fields: &str) -> Answer {
        self.ask("GET", target, fields)
    }

    fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        self.connect().ask(method, target, fields)
    }

    fn status(&self, target: &str) -> u16 {
        self.get(target).status
    }
}

struct Client {
    stream: TcpStream,
    /// Read, but not yet taken.
    read: Vec<u8>,
}

impl Client {
    fn send(&mut self, method: &str, target: &str, fields: &str) {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    fn ask(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        self.send(method, target, fields);
        let mut answer = self.head();
        let has_body = method != "HEAD" && ![204, 304].contains(&answer.status);
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = if has_body { self.take(length) } else { Vec::new() };
        answer
    }

    fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill(64 * 1024) > 0, "the connection has ended: {}", self.read.escape_ascii());
        };
        let head = String::from_utf8_lossy(&self.read[..end + 4]).into_owned();
        self.read.drain(..end + 4);
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a head");
        Answer { status, head, body: Vec::new() }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.fill(64 * 1024) > 0, "{} of {length} bytes have come", self.read.len());
        }
        self.read.drain(..length).collect()
    }

    fn fill(&mut self, at_most: usize) -> usize {
        let start = self.read.len();
        self.read.resize(start + at_most, 0);
        let n = self.stream.read(&mut self.read[start..]).expect("an answer in time");
        self.read.truncate(start + n);
        n
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Head lines but for the date.
    fn lines(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.head.lines().filter(|l| !l.starts_with("date:")).collect();
        lines.sort_unstable();
        lines
    }
}

/// In 2001.
fn age(path: &Path) {
    set_modified(path, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
}

const AGED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

const SMALL: usize = 600;
const LARGE: usize = 300_000;

#[test]
fn a_file_is_sent_with_type_length_and_validators() {
    let site = Site::with(|files| files.cache_control("max-age=60"));
    for (name, len) in [("small.html", SMALL), ("edge.html", 65536), ("large.html", LARGE), ("empty.html", 0)]
    {
        let content = bytes(len);
        site.write(name, &content);
        // From the disk, then from the cache.
        for _ in 0..2 {
            let answer = site.get(&format!("/{name}"));
            assert_eq!(answer.body, content);
            assert_eq!(
                answer.lines(),
                [
                    "",
                    "HTTP/1.1 200 OK",
                    "accept-ranges: bytes",
                    "cache-control: max-age=60",
                    &format!("content-length: {len}"),
                    "content-type: text/html; charset=utf-8",
                    &format!("etag: \"{:x}-{len:x}\"", 1_000_000_000_000_000_000_u64),
                    &format!("last-modified: {AGED}"),
                    "x-content-type-options: nosniff",
                ],
                "{name}"
            );
        }
    }
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let site = Site::new();
    for (name, len) in [("small", SMALL), ("large", LARGE)] {
        site.write(name, bytes(len));
        let mut client = site.connect();
        for _ in 0..2 {
            let head = client.ask("HEAD", &format!("/{name}"), "");
            let get = client.ask("GET", &format!("/{name}"), "");
            assert_eq!(head.lines(), get.lines());
            assert_eq!(get.body.len(), len);
        }
    }
    assert_eq!(site.ask("HEAD", "/missing", "").status, 404);
}

#[test]
fn other_methods_are_refused_and_options_answers() {
    let site = Site::new();
    site.write("a", "a");
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        let answer = site.ask(method, "/a", "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
    let answer = site.ask("OPTIONS", "/a", "");
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let site = Site::with(|files| files.cache_control("no-cache"));
    for (name, len) in [("small", SMALL), ("large", LARGE)] {
        site.write(name, bytes(len));
        let target = format!("/{name}");
        let etag = site.get(&target).header("etag").unwrap().to_owned();
        for fields in [
            format!("If-None-Match: {etag}\r\n"),
            format!("If-None-Match: \"a,b\", W/{etag}\r\n"),
            "If-None-Match: *\r\n".to_owned(),
            format!("If-Modified-Since: {AGED}\r\n"),
            format!("If-None-Match: {etag}\r\nRange: bytes=0-1\r\n"),
        ] {
            let answer = site.get_with(&target, &fields);
            let length = format!("content-length: {len}");
            let etag = format!("etag: {etag}");
            let wanted = ["", "HTTP/1.1 304 Not Modified", "cache-control: no-cache", &length, &etag];
            assert_eq!(answer.lines(), wanted, "{fields}");
        }
        for fields in [
            "If-None-Match: \"other\"\r\n".to_owned(),
            format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {AGED}\r\n"),
            "If-Modified-Since: yesterday\r\n".to_owned(),
            "If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT\r\n".to_owned(),
        ] {
            assert_eq!(site.get_with(&target, &fields).status, 200, "{fields}");
        }
    }
}

#[test]
fn a_304_leaves_the_connection_in_step() {
    let site = Site::new();
    for (name, len) in [("small", SMALL), ("large", LARGE)] {
        let content = bytes(len);
        site.write(name, &content);
        let mut client = site.connect();
        for _ in 0..2 {
            assert_eq!(client.ask("GET", &format!("/{name}"), "If-None-Match: *\r\n").status, 304);
            assert_eq!(client.ask("GET", &format!("/{name}"), "").body, content);
        }
    }
}

#[test]
fn preconditions_that_fail_are_412() {
    let site = Site::new();
    site.write("a", "abc");
    let etag = site.get("/a").header("etag").unwrap().to_owned();
    for fields in [
        "If-Match: \"other\"\r\n".to_owned(),
        format!("If-Match: W/{etag}\r\n"),
        "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT\r\n".to_owned(),
        format!("If-Match: \"other\"\r\nIf-None-Match: {etag}\r\n"),
    ] {
        assert_eq!(site.get_with("/a", &fields).status, 412, "{fields}");
    }
    for fields in [
        format!("If-Match: {etag}\r\n"),
        "If-Match: *\r\n".to_owned(),
        format!("If-Match: {etag}\r\nIf-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT\r\n"),
    ] {
        assert_eq!(site.get_with("/a", &fields).status, 200, "{fields}");
    }
}

#[test]
fn a_range_is_sent_as_a_part() {
    let site = Site::new();
    for (name, len) in [("small", SMALL), ("large", LARGE)] {
        let content = bytes(len);
        site.write(name, &content);
        for (range, start, end) in [
            ("0-0".to_owned(), 0, 1),
            ("0-99".to_owned(), 0, 100),
            (format!("100-{len}"), 100, len),
            ("500-".to_owned(), 500, len),
            ("-10".to_owned(), len - 10, len),
            (format!("-{}", len + 1), 0, len),
            ("0-18446744073709551615".to_owned(), 0, len),
            ("5-9, 10-19".to_owned(), 5, 20),
        ] {
            let answer = site.get_with(&format!("/{name}"), &format!("Range: bytes={range}\r\n"));
            assert_eq!(answer.status, 206, "{range}");
            assert_eq!(answer.header("content-range"), Some(&*format!("bytes {start}-{}/{len}", end - 1)));
            assert_eq!(answer.header("last-modified"), Some(AGED));
            assert!(answer.header("etag").is_some());
            assert_eq!(answer.body, content[start..end], "{range}");
        }
        for range in ["bytes=9-0", "bytes=a-b", "lines=0-1", "bytes", "bytes=0-1,5-6"] {
            let answer = site.get_with(&format!("/{name}"), &format!("Range: {range}\r\n"));
            assert_eq!((answer.status, answer.body == content), (200, true), "{range}");
            assert_eq!(answer.header("content-range"), None);
        }
    }
}

#[test]
fn a_range_outside_the_file_is_416_with_its_length() {
    let site = Site::new();
    site.write("small", bytes(SMALL));
    site.write("large", bytes(LARGE));
    for (target, len) in [("/small", SMALL), ("/large", LARGE)] {
        for range in [format!("{len}-"), format!("{len}-{len}"), "-0".to_owned()] {
            let answer = site.get_with(target, &format!("Range: bytes={range}\r\n"));
            assert_eq!(answer.status, 416, "{range}");
            assert_eq!(answer.header("content-range"), Some(&*format!("bytes */{len}")));
            assert!(answer.body.len() < 100 && answer.header("etag").is_none());
        }
    }
}

#[test]
fn a_range_counts_only_for_what_the_client_has_and_for_get() {
    let site = Site::new();
    site.write("a", "0123456789");
    let etag = site.get("/a").header("etag").unwrap().to_owned();
    let status =
        |if_range: &str| site.get_with("/a", &format!("Range: bytes=0-1\r\nIf-Range: {if_range}\r\n")).status;
    assert_eq!(status(&etag), 206);
    assert_eq!(status(AGED), 206);
    assert_eq!(status(&format!("W/{etag}")), 200);
    assert_eq!(status("\"other\""), 200);
    assert_eq!(status("Sun, 09 Sep 2001 01:46:41 GMT"), 200);
    assert_eq!(site.ask("HEAD", "/a", "Range: bytes=0-1\r\n").status, 200);
    // Too young: its date, and its tag, are weak.
    fs::write(site.path("young"), "0123456789").unwrap();
    let young = site.get("/young");
    let etag = young.header("etag").unwrap();
    assert!(etag.starts_with("W/"), "{etag}");
    let fields = format!("Range: bytes=0-1\r\nIf-Range: {etag}\r\n");
    assert_eq!(site.get_with("/young", &fields).status, 200);
}

#[test]
fn a_file_of_a_reproducible_build_has_no_validators() {
    let site = Site::new();
    let path = site.write("a", "a");
    set_modified(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    let answer = site.get("/a");
    assert_eq!((answer.header("etag"), answer.header("last-modified")), (None, None));
    assert_eq!(answer.status, 200);
}

#[test]
fn nothing_outside_the_folder_is_sent() {
    let site = Site::prepared(
        |temp| {
            fs::write(temp.join("secret"), "secret").unwrap();
            fs::create_dir(temp.join("root-2")).unwrap();
            fs::write(temp.join("root-2/secret"), "secret").unwrap();
        },
        |files| files.hidden(true),
    );
    site.write("sub/inside", "inside");
    symlink("../secret", site.path("out")).unwrap();
    symlink(site.temp.path().join("secret"), site.path("absolute")).unwrap();
    symlink("..", site.path("climb")).unwrap();
    symlink("../../root/sub/inside", site.path("sub/roundabout")).unwrap();
    for target in [
        "/../secret",
        "/..",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/.%2E/secret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/out",
        "/absolute",
        "/climb/secret",
        "/climb/root-2/secret",
        "/sub/roundabout",
        "/../root-2/secret",
        "/..%252fsecret",
    ] {
        assert_eq!(site.status(target), 404, "{target}");
    }
    for target in [
        "/..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/%5c..%5csecret",
        "/sub%00",
        "/sub/inside%00.html",
        "/%",
        "/%zz",
        "/a%0d%0ab",
        "/sub%2finside",
    ] {
        assert_eq!(site.status(target), 400, "{target}");
    }
    for target in ["/sub/inside", "/sub/../sub/inside", "//sub/./inside", "/s%75b/%69nside"] {
        assert_eq!(site.get(target).text(), "inside", "{target}");
    }
}

#[test]
fn links_within_the_folder_are_followed_or_refused_as_told() {
    for (symlinks, status) in [(Symlinks::Follow, 200), (Symlinks::Refuse, 404)] {
        let site = Site::with(|files| files.symlinks(symlinks));
        site.write("sub/file", "file");
        symlink("sub/file", site.path("link")).unwrap();
        symlink("sub", site.path("folder")).unwrap();
        assert_eq!(site.status("/link"), status);
        assert_eq!(site.status("/folder/file"), status);
        assert_eq!(site.status("/sub/file"), 200);
    }
}

#[test]
fn a_link_to_another_mount_is_not_followed_out_and_does_not_hang() {
    let site = Site::new();
    symlink("/dev/zero", site.path("zero")).unwrap();
    symlink("/proc/self/environ", site.path("environ")).unwrap();
    symlink("loop", site.path("loop")).unwrap();
    for target in ["/zero", "/environ", "/loop"] {
        assert_eq!(site.status(target), 404, "{target}");
    }
}

#[test]
fn what_is_no_regular_file_is_not_found_and_hangs_nothing() {
    let site = Site::new();
    let made = Command::new("mkfifo").arg(site.path("fifo")).arg(site.path("index.html")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(site.path("socket")).unwrap();
    for target in ["/fifo", "/socket", "/", "/fifo/"] {
        assert_eq!(site.status(target), 404, "{target}");
    }
}

#[test]
fn hidden_names_are_not_found_unless_shown() {
    let site = Site::new();
    let names = [".env", ".git/config", "sub/.htpasswd", ".well-known/acme", ".well-known/.hidden"];
    names.iter().for_each(|name| drop(site.write(name, "content")));
    let statuses = |site: &Site| names.map(|name| site.status(&format!("/{name}")));
    assert_eq!(statuses(&site), [404, 404, 404, 200, 404]);
    assert_eq!(site.status("/%2eenv"), 404);
    let shown = Site::with(|files| files.hidden(true));
    names.iter().for_each(|name| drop(shown.write(name, "content")));
    assert_eq!(statuses(&shown), [200; 5]);
}

#[test]
fn what_may_not_be_read_is_forbidden() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let path = site.write("a", "a");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Whoever runs as root may read everything.
    let wanted = if File::open(&path).is_ok() { 200 } else { 403 };
    assert_eq!(site.status("/a"), wanted);
}

#[test]
fn a_folder_is_its_index_file() {
    let site = Site::with(|files| files.index(["index.html", "index.htm"]));
    site.write("index.html", "root");
    site.write("sub/index.htm", "sub");
    fs::create_dir_all(site.path("odd/index.html")).unwrap();
    site.write("odd/index.htm", "odd");
    fs::create_dir(site.path("none")).unwrap();
    for (target, text) in [("/", "root"), ("/sub/", "sub"), ("/odd/", "odd"), ("/?a=b", "root")] {
        let answer = site.get(target);
        assert_eq!((answer.status, answer.text()), (200, text), "{target}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    }
    assert_eq!(site.status("/none/"), 404);
}

#[test]
fn a_folder_without_its_slash_is_redirected_and_keeps_its_query() {
    let site = Site::new();
    site.write("sub/deep/index.html", "deep");
    fs::create_dir(site.path("example.com")).unwrap();
    for (target, location) in [
        ("/sub", "/sub/"),
        ("/sub/deep?a=b&c=//d", "/sub/deep/?a=b&c=//d"),
        ("//sub//deep", "/sub/deep/"),
        ("//example.com", "/example.com/"),
        ("///example.com/%2e", "/example.com/"),
        ("//example.com/%2e%2e/sub", "/sub/"),
        ("/s%75b", "/s%75b/"),
    ] {
        for _ in 0..2 {
            let answer = site.get(target);
            if target.ends_with("%2e") {
                assert_eq!(answer.status, 404, "a dot at the end means a folder, and that one has no index");
                continue;
            }
            assert_eq!((answer.status, answer.header("location")), (301, Some(location)), "{target}");
            assert_eq!(answer.header("cache-control"), None);
        }
    }
}

#[test]
fn a_file_with_a_slash_at_its_end_is_not_found() {
    let site = Site::new();
    site.write("a.html", "a");
    for target in ["/a.html/", "/a.html/b", "/a.html/.", "/missing", "/missing/"] {
        assert_eq!(site.status(target), 404, "{target}");
    }
    assert_eq!(site.status(&format!("/{}", "a".repeat(300))), 404);
}

#[test]
fn a_prefix_is_no_part_of_the_path() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("index.html"), "index").unwrap();
    fs::create_dir(temp.path().join("sub")).unwrap();
    let files = Files::dir(temp.path());
    let site = Site::serving(Server::new(move |_| {
        App::new().files("/static", files.clone()).get("/", || "handler")
    }));
    assert_eq!(site.get("/static/").text(), "index");
    assert_eq!(site.get("/static/index.html").text(), "index");
    assert_eq!(site.get("/static?q").header("location"), Some("/static/?q"));
    assert_eq!(site.get("/static/sub").header("location"), Some("/static/sub/"));
    assert_eq!(site.get("/").text(), "handler");
    assert_eq!(site.status("/index.html"), 404);
}

#[test]
fn one_file_is_served_at_its_prefix() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("real.txt"), "robots").unwrap();
    fs::create_dir(temp.path().join("public")).unwrap();
    symlink("../real.txt", temp.path().join("public/robots.txt")).unwrap();
    let robots = Files::file(temp.path().join("public/robots.txt")).open().unwrap();
    let site = Site::serving(Server::new(move |_| {
        App::new().files("/robots.txt", robots.clone()).files("/", robots.clone())
    }));
    assert_eq!(site.get("/robots.txt").text(), "robots");
    assert_eq!(site.get("/").text(), "robots");
    assert_eq!(site.status("/robots.txt/"), 404);
    assert_eq!(site.status("/robots.txt/a"), 404);
    assert_eq!(site.status("/real.txt"), 404);
}

#[test]
fn a_missing_folder_is_an_error_before_the_server_listens() {
    let temp = tempfile::tempdir().unwrap();
    let error = Files::dir(temp.path().join("nowhere")).open().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("nowhere"), "{error}");
    fs::write(temp.path().join("file"), "").unwrap();
    assert!(Files::dir(temp.path().join("file")).open().is_err());
    assert!(Files::file(temp.path()).open().is_err());
    assert!(Files::file(temp.path().join("file")).open().is_ok());
}

#[test]
fn a_page_says_that_something_is_missing() {
    let site = Site::with(|files| files.not_found("errors/404.html").cache_control("max-age=9"));
    site.write("errors/404.html", "not here");
    for _ in 0..2 {
        for target in ["/missing", "/missing/", "/.hidden", "/.."] {
            let answer = site.get_with(target, "Range: bytes=0-1\r\nIf-None-Match: *\r\n");
            assert_eq!((answer.status, answer.text()), (404, "not here"), "{target}");
            let fields = ["content-type", "etag", "cache-control", "last-modified"].map(|n| answer.header(n));
            assert_eq!(fields, [Some("text/html; charset=utf-8"), None, None, None]);
        }
    }
    assert_eq!(site.status("/errors/404.html"), 200);
    fs::remove_file(site.path("errors/404.html")).unwrap();
    let without = Site::with(|files| files.not_found("404.html"));
    assert_eq!(without.get("/missing").text(), "Not Found");
}

/// Asks until the answer is the new one. None that was asked for a second after the change is the old one.
fn sees_within_a_second(site: &Site, target: &str, is_new: impl Fn(&Answer) -> bool, change: impl FnOnce()) {
    let mut client = site.connect();
    assert!(!is_new(&client.ask("GET", target, "")));
    // In the cache, and asked for all the time.
    let hot = Instant::now();
    while hot.elapsed() < Duration::from_millis(700) {
        client.ask("GET", target, "");
    }
    change();
    let changed = Instant::now();
    loop {
        let asked = changed.elapsed();
        if is_new(&client.ask("GET", target, "")) {
            return;
        }
        assert!(asked < Duration::from_secs(1), "stale after {asked:?}");
    }
}

#[test]
fn a_file_replaced_by_a_rename_is_seen_within_a_second() {
    let site = Site::new();
    for len in [3, LARGE] {
        site.write("a", vec![b'o'; len]);
        let next = site.write("next", vec![b'n'; len]);
        sees_within_a_second(
            &site,
            "/a",
            |answer| answer.body == vec![b'n'; len],
            || {
                fs::rename(&next, site.path("a")).unwrap();
            },
        );
        fs::remove_file(site.path("a")).unwrap();
        while site.status("/a") != 404 {}
    }
}

#[test]
fn a_file_rewritten_in_place_with_the_same_size_and_time_is_seen_within_a_second() {
    let site = Site::new();
    for (name, len) in [("a", 3), ("b", LARGE)] {
        let path = site.write(name, vec![b'o'; len]);
        let is_new = |answer: &Answer| answer.body == vec![b'n'; len];
        sees_within_a_second(&site, &format!("/{name}"), is_new, || {
            File::options().write(true).open(&path).unwrap().write_all(&vec![b'n'; len]).unwrap();
            age(&path);
        });
    }
}

#[test]
fn a_file_that_appears_or_goes_is_seen_within_a_second() {
    let site = Site::new();
    let path = site.path("a");
    let is_there = |answer: &Answer| answer.status == 200;
    sees_within_a_second(&site, "/a", is_there, || fs::write(&path, "new").unwrap());
    sees_within_a_second(&site, "/a", |answer| answer.status == 404, || fs::remove_file(&path).unwrap());
    sees_within_a_second(&site, "/a", |answer| answer.status == 301, || fs::create_dir(&path).unwrap());
}

#[test]
fn a_folder_replaced_as_a_whole_is_seen_within_a_second() {
    let temp = tempfile::tempdir().unwrap();
    for release in ["1", "2"] {
        fs::create_dir(temp.path().join(release)).unwrap();
        fs::write(temp.path().join(release).join("a"), release).unwrap();
    }
    let current = temp.path().join("current");
    symlink("1", &current).unwrap();
    let files = Files::dir(&current);
    let site = Site::serving(Server::new(move |_| App::new().files("/", files.clone())));
    sees_within_a_second(
        &site,
        "/a",
        |answer| answer.body == b"2",
        || {
            symlink("2", temp.path().join("next")).unwrap();
            fs::rename(temp.path().join("next"), &current).unwrap();
        },
    );
}

#[test]
fn a_young_file_gets_a_strong_tag_once_it_is_settled() {
    let site = Site::new();
    fs::write(site.path("a"), "a").unwrap();
    let first = site.get("/a").header("etag").unwrap().to_owned();
    assert!(first.starts_with("W/"));
    let mut client = site.connect();
    let asked = Instant::now();
    loop {
        let etag = client.ask("GET", "/a", "").header("etag").unwrap().to_owned();
        if !etag.starts_with("W/") {
            let status = client.ask("GET", "/a", &format!("If-None-Match: {first}\r\n")).status;
            assert_eq!(status, 200, "a copy taken while it was young is not confirmed");
            return;
        }
        assert!(asked.elapsed() < Duration::from_secs(4));
    }
}

/// More than the sockets' buffers hold.
const HUGE: usize = 32 << 20;

#[test]
fn a_file_that_shrinks_while_it_is_sent_cuts_the_connection() {
    let site = Site::new();
    let path = site.write("a", bytes(HUGE));
    let mut client = site.connect();
    client.send("GET", "/a", "");
    assert_eq!(client.head().header("content-length"), Some(&*HUGE.to_string()));
    File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    // The end, or a reset.
    let _ = client.stream.read_to_end(&mut rest);
    assert!(client.read.len() + rest.len() < HUGE);
    assert_eq!(site.get("/a").body.len(), 1000);
}

#[test]
fn a_file_that_grows_while_it_is_sent_ends_at_the_announced_length() {
    let site = Site::new();
    let content = bytes(HUGE);
    let path = site.write("a", &content);
    let mut client = site.connect();
    client.send("GET", "/a", "");
    client.head();
    File::options().append(true).open(path).unwrap().write_all(&bytes(100_000)).unwrap();
    assert!(client.take(HUGE) == content);
    assert_eq!(client.ask("GET", "/missing", "").status, 404, "and no byte more");
}

#[test]
fn a_long_file_arrives_intact_at_a_slow_reader() {
    let site = Site::new();
    let content = bytes(20 << 20);
    site.write("a", &content);
    let mut client = site.connect();
    client.send("GET", "/a", "");
    client.head();
    while client.read.len() < content.len() {
        assert!(client.fill(1500) > 0);
        std::thread::yield_now();
    }
    assert!(client.take(content.len()) == content);
    let middle = client.ask("GET", "/a", "Range: bytes=1000-11000000\r\n");
    assert!(middle.status == 206 && middle.body == content[1000..=11_000_000]);
}

#[test]
fn a_file_with_holes_is_sent_whole() {
    let site = Site::new();
    let file = File::create(site.path("a")).unwrap();
    file.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", (3 << 20) - 3).unwrap();
    let body = site.get("/a").body;
    assert!(body.len() == 3 << 20 && body.ends_with(b"\0end") && body.iter().all(|b| b"\0end".contains(b)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_not_in_memory_is_read() {
    use rustix::fs::{Advice, fadvise};
    let site = Site::new();
    let content = bytes(5 << 20);
    for name in ["a", "b", "c"] {
        let path = site.write(name, &content);
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
    for _ in 0..2 {
        assert!(site.get("/a").body == content);
        let part = site.get_with("/b", "Range: bytes=3000000-3999999\r\n");
        assert!(part.body == content[3_000_000..4_000_000]);
    }
    let mut clients: Vec<Client> = (0..4).map(|_| site.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET", "/c", ""));
    for client in &mut clients {
        client.head();
        assert!(client.take(content.len()) == content);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_nobody_asks_for_any_more_is_closed() {
    let site = Site::new();
    let path = site.write("long", bytes(LARGE));
    let is_open = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
        descriptors.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target.starts_with(&path))
    };
    for _ in 0..3 {
        assert_eq!(site.get("/long").body.len(), LARGE);
    }
    let asked = Instant::now();
    while is_open() {
        assert!(asked.elapsed() < Duration::from_secs(8), "a deleted file would keep its blocks");
        std::thread::yield_now();
    }
}

#[test]
fn pipelined_requests_for_files_are_answered_in_order() {
    let site = Site::new();
    let names = [("a", 10), ("b", LARGE), ("c", 70_000), ("d", 20_000), ("e", 65_537), ("f", 0)];
    names.iter().for_each(|(name, len)| drop(site.write(name, vec![name.as_bytes()[0]; *len])));
    let mut client = site.connect();
    for _ in 0..3 {
        names.iter().for_each(|(name, _)| client.send("GET", &format!("/{name}"), ""));
        for (name, len) in names {
            assert_eq!(client.head().header("content-length"), Some(&*len.to_string()));
            assert!(client.take(len).iter().all(|byte| *byte == name.as_bytes()[0]));
        }
    }
}

#[test]
fn many_clients_get_what_they_asked_for() {
    let site = Site::with(|files| files.cache(300_000));
    let lengths = [0, 1, 1000, 16_384, 16_385, 65_536, 65_537, 200_000, 1_000_000];
    for (at, len) in lengths.iter().enumerate() {
        site.write(&format!("{at}"), &bytes(len + at)[at..]);
    }
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let site = &site;
            scope.spawn(move || {
                let mut client = site.connect();
                for round in 0..40 {
                    let at = (thread + round * 7) % lengths.len();
                    let answer = client.ask("GET", &format!("/{at}"), "");
                    assert!(answer.body == bytes(lengths[at] + at)[at..], "{at}");
                }
            });
        }
    });
}

#[test]
fn without_a_cache_files_are_served_as_well() {
    let site = Site::with(|files| files.cache(0));
    site.write("a", "abc");
    let mut client = site.connect();
    for _ in 0..3 {
        assert_eq!(client.ask("GET", "/a", "").text(), "abc");
    }
}

/// A server with one worker for files, which works until the sender is dropped.
fn with_a_stuck_worker(queue_limit: usize, patience: Duration) -> (Site, mpsc::Sender<()>) {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("root")).unwrap();
    let files = Files::dir(temp.path().join("root")).patience(patience);
    let mut pool = PoolConfig::new(1);
    pool.set_lane(Lane::FILE, LaneConfig::new(Kind::Io).cap(1).queue_limit(queue_limit));
    let server = Server::new(move |_| App::new().files("/", files.clone()).get("/hello", || "hello"));
    let mut site = Site::serving(server.pool(pool));
    site.temp = temp;
    let (stuck, wait) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let job = move || {
        started.send(()).unwrap();
        let _ = wait.recv();
    };
    site.server.runtime().pool().run(Lane::FILE, job).unwrap().detach();
    has_started.recv().unwrap();
    (site, stuck)
}

#[test]
fn a_filesystem_that_hangs_is_given_up_and_stops_nothing_else() {
    let (site, stuck) = with_a_stuck_worker(100, Duration::from_millis(300));
    site.write("a", "abc");
    let asked = Instant::now();
    let mut waiting = site.connect();
    waiting.send("GET", "/a", "");
    assert_eq!(site.get("/hello").text(), "hello");
    let answer = waiting.head();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(asked.elapsed() >= Duration::from_millis(300));
    drop(stuck);
    assert_eq!(site.get("/a").text(), "abc");
}

#[test]
fn a_full_lane_is_503_at_once() {
    let (site, stuck) = with_a_stuck_worker(1, HANGS);
    site.write("a", "abc");
    site.server.runtime().pool().run(Lane::FILE, || ()).unwrap().detach();
    let answer = site.get("/a");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    drop(stuck);
    let asked = Instant::now();
    while site.status("/a") != 200 {
        assert!(asked.elapsed() < HANGS);
    }
}

#[test]
fn all_who_wait_for_a_file_wait_for_one_lookup() {
    let (site, stuck) = with_a_stuck_worker(1, HANGS);
    site.write("a", "abc");
    // With room for one job in the queue, a second lookup would be refused.
    let mut clients: Vec<Client> = (0..8).map(|_| site.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET", "/a", ""));
    assert_eq!(site.get("/hello").text(), "hello", "after which all of them have been read");
    drop(stuck);
    for mut client in clients {
        assert_eq!(client.head().status, 200);
        assert_eq!(client.take(3), b"abc");
    }
}

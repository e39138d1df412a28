//! The upload example as its users run it: forms, watchers, uploads that break off.
#![cfg(unix)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(20);

fn binary() -> PathBuf {
    // target/debug/deps/upload-… → target/debug/examples/upload
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/upload");
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    path
}

struct Upload {
    child: Child,
    addr: SocketAddr,
    folder: TempDir,
}

impl Upload {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary())
            .args(["--listen", "127.0.0.1:0", "--shards", "2", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on http://").expect("where it listens");
        Upload { addr: addr.parse().unwrap(), child, folder }
    }

    fn send(&self, request: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(SAFETY_NET)).unwrap();
        stream.write_all(request.as_ref()).unwrap();
        stream
    }

    /// Status and body of the answer to a request that ends its connection.
    fn ask(&self, request: impl AsRef<[u8]>) -> (u16, String) {
        answer(self.send(request))
    }

    /// Lines of an answer that goes on.
    fn watch(&self, id: &str) -> impl Iterator<Item = String> + use<> {
        let stream = self.send(format!("GET /uploads/{id}/events HTTP/1.1\r\nHost: a\r\n\r\n"));
        // The comments that keep the connection alive would keep a test that hangs alive, too.
        let start = Instant::now();
        BufReader::new(stream).lines().map(move |line| {
            assert!(start.elapsed() < SAFETY_NET, "what the test waits for does not come");
            line.unwrap()
        })
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn wait_for_names(&self, wanted: &[&str]) {
        let start = Instant::now();
        while self.names() != wanted {
            assert!(start.elapsed() < SAFETY_NET, "{:?}", self.names());
            // Which gives the other side its turn.
            self.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // It has ended already where that is tested.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head["HTTP/1.1 ".len()..][..3].parse().unwrap(), body.to_owned())
}

fn part(disposition: &str) -> String {
    format!("--X\r\nContent-Disposition: form-data; {disposition}\r\n\r\n")
}

const END: &str = "\r\n--X--\r\n";

fn head(id: &str, length: usize) -> String {
    format!(
        "POST /uploads/{id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=X\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn form(id: &str, body: &str) -> String {
    head(id, body.len()) + body
}

#[test]
fn a_long_file_comes_to_the_disk_as_it_was_and_takes_no_memory() {
    const LEN: usize = 64 << 20;
    let upload = Upload::start();
    let before = part("name=note") + "hello\r\n" + &part("name=file; filename=\"long.bin\"");
    let block: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    let mut stream = upload.send(head("a", before.len() + LEN + END.len()) + &before);
    (0..LEN >> 20).for_each(|_| stream.write_all(&block).unwrap());
    stream.write_all(END.as_bytes()).unwrap();
    assert_eq!(answer(stream), (201, format!("long.bin: {LEN} bytes\n")));
    let stored = fs::read(upload.folder.path().join("long.bin")).unwrap();
    assert!(stored.len() == LEN && stored.chunks(1 << 20).all(|chunk| chunk == block));
    assert_eq!(upload.names(), ["long.bin"]);
    let status = fs::read_to_string(format!("/proc/{}/status", upload.child.id())).unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        let kib: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 48 * 1024, "{kib} KiB at most resident");
    }
}

#[test]
fn who_watches_is_told_of_the_progress_and_of_the_end() {
    let upload = Upload::start();
    let mut lines = upload.watch("b");
    assert!(lines.any(|line| line == "data: 0"), "before it begins");
    let body = part("name=file; filename=a") + "hello" + END;
    assert_eq!(upload.ask(form("b", &body)), (201, "a: 5 bytes\n".to_owned()));
    let told: Vec<String> = lines.take_while(|line| line != "event: end").collect();
    assert!(told.contains(&"data: 5".to_owned()), "{told:?}");
    let (status, _) = upload.ask("GET /uploads/b_d/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(status, 404);
}

#[test]
fn a_name_that_is_used_again_is_watched_from_the_start() {
    let upload = Upload::start();
    let mut first = upload.watch("f");
    assert!(first.any(|line| line == "data: 0"));
    let file = |name: &str, content: &str| part(&format!("name=file; filename={name}")) + content + END;
    assert_eq!(upload.ask(form("f", &file("a", "hello"))).0, 201);

    // Who has watched the first one may still be there.
    let mut second = upload.watch("f");
    assert!(second.any(|line| line == "data: 0"));
    assert_eq!(upload.ask(form("f", &file("b", "abc"))).0, 201);
    let told: Vec<String> = second.take_while(|line| line != "event: end").collect();
    assert!(told.contains(&"data: 3".to_owned()), "{told:?}");
}

#[test]
fn two_uploads_of_one_name_are_told_apart() {
    let upload = Upload::start();
    let begin = part("name=file; filename=a") + &"x".repeat(1000);
    let rest = "x".repeat(1000) + END;
    let mut long = upload.send(head("g", begin.len() + rest.len()) + &begin);
    let mut lines = upload.watch("g");
    assert!(lines.any(|line| line == "data: 1000"));

    let body = part("name=file; filename=b") + "hello" + END;
    assert_eq!(upload.ask(form("g", &body)).0, 201);
    long.write_all(rest.as_bytes()).unwrap();
    assert_eq!(answer(long), (201, "a: 2000 bytes\n".to_owned()));
    let told: Vec<String> = lines.take_while(|line| line != "event: end").collect();
    assert!(told.contains(&"data: 2000".to_owned()), "{told:?}");
}

#[test]
fn who_watches_uploads_that_never_begin_does_not_keep_others_from_uploading() {
    let upload = Upload::start();
    let watchers: Vec<_> = (0..256)
        .map(|n| {
            let mut lines = upload.watch(&format!("h{n}"));
            assert!(lines.any(|line| line == "data: 0"));
            lines
        })
        .collect();
    assert_eq!(upload.watch("one").next().as_deref(), Some("HTTP/1.1 503 Service Unavailable"));
    let body = part("name=file; filename=a") + "hello" + END;
    assert_eq!(upload.ask(form("i", &body)).0, 201);
    drop(watchers);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing_and_ends_for_who_watches() {
    let upload = Upload::start();
    let mut lines = upload.watch("c");
    let begin = part("name=file; filename=a") + &"x".repeat(1000);
    let stream = upload.send(head("c", 1 << 30) + &begin);
    assert!(lines.any(|line| line == "data: 1000"));
    assert_eq!(upload.names().len(), 1, "the file is under work");
    drop(stream);
    assert!(lines.any(|line| line == "event: end"));
    upload.wait_for_names(&[]);

    // The length is right, and the form is not whole.
    let body = part("name=file; filename=a") + "x";
    let (status, message) = upload.ask(form("c", &body));
    assert_eq!((status, &*message), (400, "the body ends before the form's last boundary"));
    upload.wait_for_names(&[]);
}

#[test]
fn names_are_made_safe_and_files_are_never_replaced() {
    let upload = Upload::start();
    let store = |name: &str, content: &str| {
        let body = part(&format!("name=file; filename=\"{name}\"")) + content + END;
        upload.ask(form("d", &body))
    };
    assert_eq!(store("../../.a b\u{fc}", "1"), (201, "a_b_: 1 bytes\n".to_owned()));
    assert_eq!(store("...", "1"), (201, "file: 1 bytes\n".to_owned()));
    assert_eq!(store("a_b_", "22"), (409, "there is a file of this name".to_owned()));
    assert_eq!(store("", "1"), (400, "the form has no file".to_owned()));
    assert_eq!(upload.names(), ["a_b_", "file"]);
    assert_eq!(fs::read(upload.folder.path().join("a_b_")).unwrap(), b"1");
}

#[test]
fn the_page_is_there_and_who_watches_does_not_hold_up_the_end() {
    let mut upload = Upload::start();
    let (status, page) = upload.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(status == 200 && page.contains("<progress"), "{page}");
    let mut lines = upload.watch("e");
    assert!(lines.any(|line| line == "data: 0"));
    let status = Command::new("kill").args(["-TERM", &upload.child.id().to_string()]).status().unwrap();
    assert!(status.success());
    lines.for_each(drop);
    assert_eq!(upload.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_folder_that_cannot_be_made_is_refused_in_one_line() {
    let cases: [(&[&str], &str); 3] = [
        (
            &["--dir"],
            "upload: --dir needs a value; usage: upload [--listen ADDR:PORT] [--shards N] [--dir VALUE]",
        ),
        (&["--dir", "/dev/null/x"], "upload: --dir: "),
        (&["--folder", "x"], "upload: unknown argument --folder; "),
    ];
    for (args, expected) in cases {
        let output = Command::new(binary()).args(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.starts_with(expected), "{said}");
    }
}

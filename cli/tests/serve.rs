//! `lakh serve` as a process: what it prints, what it survives, how it ends.

#![cfg(unix)]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio},
    thread,
};
use tempfile::TempDir;

fn lakh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakh"));
    for name in ["LISTEN", "PORT", "SHARDS", "POOL_THREADS", "LOG", "GRACE", "AUTH", "AUTH_FILE", "COMPRESS"]
    {
        command.env_remove(format!("LAKH_{name}"));
    }
    command
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "hello").unwrap();
    folder
}

/// A running server, killed when dropped.
struct Server {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
    banner: String,
    urls: Vec<String>,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Waits until `lakh serve` has printed `addresses` (1, or as many as there are `-l`).
    fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = folder();
        let mut command = lakh();
        command.arg("serve").args(["--shards", "2"]).args(arguments).arg(folder.path());
        command.envs(variables.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let addresses = arguments.iter().filter(|argument| **argument == "-l").count().max(1);
        let mut banner = line(&mut stdout);
        let mut urls = Vec::new();
        while urls.len() < addresses {
            let next = line(&mut stdout);
            assert!(!next.is_empty(), "it ended after {banner:?}");
            urls.push(next.split_whitespace().next().unwrap().to_owned());
            banner.push_str(&next);
        }
        Server { child, stdout: Some(stdout), stderr, banner, urls, folder }
    }

    fn addr(&self) -> SocketAddr {
        self.urls[0].strip_prefix("http://").unwrap().parse().unwrap()
    }

    fn log_line(&mut self) -> String {
        line(self.stdout.as_mut().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal to a server that handles it, and waits for the end.
    fn end_with(&mut self, signal: Signal) -> ExitStatus {
        wait_until_it_handles(&self.child, signal);
        self.signal(signal);
        self.child.wait().unwrap()
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }
}

/// The server handles signals from shortly after its first lines on.
fn wait_until_it_handles(server: &Child, signal: Signal) {
    let bit = 1u64 << (signal.as_raw() - 1);
    let status = format!("/proc/{}/status", server.id());
    while let Ok(status) = fs::read_to_string(&status) {
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & bit != 0 {
            return;
        }
        thread::yield_now();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

/// A connection that is kept alive.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(server: &Server) -> Self {
        Client(BufReader::new(TcpStream::connect(server.addr()).unwrap()))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Status of the answer to a request.
    fn get(&mut self, target: &str) -> u16 {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        self.status()
    }

    /// The same, with what an `Authorization` field says.
    fn get_as(&mut self, target: &str, authorization: &str) -> u16 {
        self.send(
            format!("GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n").as_bytes(),
        );
        self.status()
    }

    fn status(&mut self) -> u16 {
        let head = line(&mut self.0);
        let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {head:?}")).parse().unwrap();
        let mut length = 0;
        loop {
            let field = line(&mut self.0).to_ascii_lowercase();
            if field.trim().is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        status
    }
}

/// Runs a command that does not get as far as to serve.
fn refused<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    lakh().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// One line on standard error that begins with `begin`, nothing on standard output, status 2.
#[track_caller]
fn assert_refused(output: &Output, begin: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.starts_with(begin), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_wrong_value_is_one_line_and_status_2() {
    let output = refused(&["serve", "--grace", "soon"]);
    assert_refused(&output, "lakh: invalid value 'soon' for '--grace <DURATION>': not a duration");
    let output = refused(&["serve", "--nonsense"]);
    assert_refused(&output, "lakh: unexpected argument '--nonsense' found");
    let output = refused(&["serve", "-l", "example.org:80"]);
    assert_refused(
        &output,
        "lakh: invalid value 'example.org:80' for '--listen <ADDR>': names are not resolved",
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let output = lakh().arg("serve").env("LAKH_PORT", "many").output().unwrap();
    assert_refused(&output, "lakh: invalid value 'many' for '--port <PORT>': invalid digit");
    assert!(String::from_utf8_lossy(&output.stderr).contains("(from LAKH_PORT)"));
}

#[test]
fn without_a_command_it_shows_its_help() {
    let output = refused::<&str>(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: lakh"));
}

#[test]
fn help_fits_a_screen_and_the_version_names_the_build() {
    let output = refused(&["serve", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(help.contains("Network:") && help.contains("Examples:"), "{help}");
    assert!(help.lines().count() <= 45, "{help}");

    let version = String::from_utf8(refused(&["--version"]).stdout).unwrap();
    assert!(version.starts_with(concat!("lakh ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
    assert!(version.contains(std::env::consts::ARCH), "{version}");
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let output = refused(&["completions", shell]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("pool-threads"), "{shell}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_missing_folder_is_refused() {
    let folder = folder();
    let missing = folder.path().join("missing");
    let output = refused(&[OsStr::new("serve"), missing.as_os_str()]);
    assert_refused(&output, &format!("lakh: there is no {missing:?} to serve"));
}

#[test]
fn what_is_neither_a_folder_nor_a_file_is_refused() {
    let output = refused(&["serve", "/dev/null"]);
    assert_refused(&output, "lakh: cannot serve \"/dev/null\"");
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let dir = folder();
    for (flag, value) in [("--port", addr.port().to_string()), ("--listen", addr.to_string())] {
        let arguments = [OsStr::new("serve"), OsStr::new(flag), OsStr::new(&value), dir.path().as_os_str()];
        assert_refused(&refused(&arguments), &format!("lakh: {addr} is taken by another program"));
    }
}

#[test]
fn the_default_port_makes_way_for_the_next_free_one() {
    // If this fails, 8080 is taken by someone else, which does as well.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let server = Server::start(&[]);
    let port = server.addr().port();
    assert!((8081..=8180).contains(&port), "{port}");
    assert!(server.banner.contains("(8080 is taken)"), "{}", server.banner);
    assert_eq!(Client::connect(&server).get("/"), 200);
}

#[test]
fn the_first_lines_say_what_is_served_and_where() {
    let server = Server::start(&["-p", "0"]);
    let (first, second) = server.banner.split_once('\n').unwrap();
    let version = concat!("lakh ", env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
    assert!(first.starts_with(&format!("{version}  serving /")), "{first}");
    assert!(first.ends_with("  (listing off, dotfiles hidden, symlinks inside root only)"), "{first}");
    assert_eq!(second, format!("  http://{}\n", server.addr()));
    assert!(server.addr().ip().is_loopback() && server.addr().port() != 0);
}

#[test]
fn public_listens_on_every_address() {
    let server = Server::start(&["--public", "-p", "0"]);
    assert!(server.addr().ip().is_unspecified());
    assert_eq!(Client::connect(&server).get("/"), 200);
}

#[test]
fn it_listens_on_several_addresses() {
    let mut server = Server::start(&["-l", "127.0.0.1:0", "-l", ":0"]);
    assert_ne!(server.urls[0], server.urls[1]);
    assert_eq!(Client::connect(&server).get("/"), 200);
    server.urls.swap(0, 1);
    assert_eq!(Client::connect(&server).get("/"), 200);
}

#[test]
fn flags_win_over_the_environment() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let port = addr.rsplit(':').next().unwrap();
    let variables = [("LAKH_PORT", port), ("LAKH_LISTEN", &addr)];
    Server::start_with(&["-l", "127.0.0.1:0"], &variables);
    Server::start_with(&["-p", "0"], &variables);

    let mut server = Server::start_with(&[], &[("LAKH_LISTEN", "127.0.0.1:0"), ("LAKH_LOG", "off")]);
    assert_eq!(Client::connect(&server).get("/"), 200);
    server.end_with(Signal::TERM);
    assert_eq!(server.log_line(), "");
}

#[test]
fn a_request_is_one_line() {
    let mut server = Server::start_with(&["-p", "0"], &[("TZ", "UTC-3")]);
    let mut client = Client::connect(&server);
    client.get("/some/where?x=1");
    let line = server.log_line();
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[1..3], ["GET", "/some/where?x=1"], "{line}");
    assert!(fields[3].parse::<u16>().is_ok_and(|status| (100..600).contains(&status)), "{line}");
    assert!(fields.last().unwrap().ends_with("ms"), "{line}");
    let clock: Vec<u8> = fields[0].split(':').map(|part| part.parse().unwrap()).collect();
    assert!(clock[0] < 24 && clock[1] < 60 && clock[2] < 61, "{line}");
    assert_eq!(line.find("GET"), Some(9), "{line}");
    assert!(!line.contains('\x1b'), "{line}");

    client.send(b"nonsense\r\n\r\n");
    assert_eq!(client.status(), 400);
    let line = server.log_line();
    assert_eq!(line.split_whitespace().nth(1), Some("-"), "{line}");
}

#[test]
fn one_thread_for_files_is_enough() {
    let mut server = Server::start(&["-p", "0", "--pool-threads", "1"]);
    assert_eq!(Client::connect(&server).get("/"), 200);
    assert!(server.log_line().contains("GET /"));
}

#[test]
fn signals_end_it_with_status_0_and_the_last_lines_are_written() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut server = Server::start(&["-p", "0"]);
        assert_eq!(Client::connect(&server).get("/index.html?last"), 200);
        assert_eq!(server.end_with(signal).code(), Some(0));
        assert!(server.log_line().contains("GET /index.html?last"));
        let errors = server.errors();
        assert!(errors.ends_with("done\n") && errors.lines().count() == 1, "{errors}");
    }
}

#[test]
fn requests_in_flight_are_cut_at_the_deadline() {
    let mut server = Server::start(&["-p", "0", "--grace", "50ms"]);
    let mut client = Client::connect(&server);
    assert_eq!(client.get("/"), 200);
    client.send(b"GET / HTTP/1.1\r\n");
    server.wait_until_busy();
    assert_eq!(server.end_with(Signal::TERM).code(), Some(0));
    let errors = server.errors();
    // Connections that are just closing count, too.
    assert!(errors.starts_with("draining ") && errors.ends_with("… 1 cut after 50ms\n"), "{errors}");
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let mut server = Server::start(&["-p", "0", "--grace", "1h"]);
    let mut client = Client::connect(&server);
    assert_eq!(client.get("/"), 200);
    client.send(b"GET / HTTP/1.1\r\n");
    server.wait_until_busy();
    wait_until_it_handles(&server.child, Signal::INT);
    server.signal(Signal::INT);
    let mut begun = [0; "draining".len()];
    server.stderr.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"draining");
    assert_eq!(server.end_with(Signal::INT).code(), Some(130));
}

impl Server {
    /// What a client has sent last is read by the time that others are answered, on every shard.
    fn wait_until_busy(&self) {
        for _ in 0..32 {
            assert_eq!(Client::connect(self).get("/"), 200);
        }
    }
}

#[test]
fn it_serves_on_when_standard_output_is_closed() {
    let mut server = Server::start(&["-p", "0"]);
    server.stdout = None;
    let mut client = Client::connect(&server);
    for _ in 0..1000 {
        assert_eq!(client.get("/"), 200);
    }
    drop(client);
    assert_eq!(server.end_with(Signal::TERM).code(), Some(0));
    assert!(server.errors().ends_with("done\n"));
}

/// Requests whose log is longer than the pipe (64 KiB) and both halves of the queue (2 MiB).
const MANY: u64 = 4000;

fn send_many(server: &Server) {
    let target = format!("/{}", "a".repeat(1000));
    let mut client = Client::connect(server);
    for _ in 0..MANY {
        client.get(&target);
    }
}

#[test]
fn it_serves_on_when_standard_output_is_stuck_and_counts_what_it_drops() {
    let mut server = Server::start(&["-p", "0", "--pool-threads", "1"]);
    send_many(&server);
    let (mut logged, mut dropped) = (0, 0);
    while logged + dropped < MANY {
        let line = server.log_line();
        if let Some(rest) = line.strip_prefix("… ") {
            dropped += rest.split(' ').next().unwrap().parse::<u64>().unwrap();
            assert!(rest.ends_with(" lines dropped\n"), "{line}");
        } else {
            assert!(line.contains("GET /aaaa"), "{line:?}");
            logged += 1;
        }
    }
    assert_eq!(logged + dropped, MANY);
    assert!(dropped > 0 && logged > 1000, "{logged} + {dropped}");
    assert_eq!(Client::connect(&server).get("/index.html?after"), 200);
    assert!(server.log_line().contains("GET /index.html?after"));
}

#[test]
fn it_ends_when_standard_error_is_stuck() {
    let (_reader, writer) = full_pipe();
    let folder = folder();
    let mut child = lakh()
        .args(["serve", "--shards", "1", "--log", "off", "-p", "0", "--grace", "50ms"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (_, address) = (line(&mut stdout), line(&mut stdout));
    let addr: SocketAddr = address.trim().strip_prefix("http://").unwrap().parse().unwrap();
    // In flight, so that the end has more than one thing to say.
    let mut client = TcpStream::connect(addr).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    wait_until_it_handles(&child, Signal::TERM);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A pipe that takes no byte before some are read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b' '; 512]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

#[test]
fn it_ends_when_standard_output_is_stuck() {
    let mut server = Server::start(&["-p", "0"]);
    send_many(&server);
    assert_eq!(server.end_with(Signal::TERM).code(), Some(0));
    assert!(
        server.errors().ends_with("lakh: the end of the log is lost: standard output does not take it\n")
    );
}

/// `correct horse`, made by `htpasswd -nbB -C 5` of Apache 2.4.71.
const HASH: &str = "$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C";
/// `correct horse`, by the names ada and bob.
const ADA: &str = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";
const BOB: &str = "Basic Ym9iOmNvcnJlY3QgaG9yc2U=";

#[test]
fn a_user_of_the_command_line_comes_in_and_nobody_else() {
    let ada = format!("ada:{HASH}");
    let mut server = Server::start(&["--auth", &ada]);
    assert_eq!(server.log_line(), "  for 1 user, by name and password\n");
    let mut client = Client::connect(&server);
    for target in ["/", "/missing", "/../../etc/passwd"] {
        assert_eq!(client.get(target), 401, "{target}");
        assert_eq!(client.get_as(target, BOB), 401, "{target}");
        // ada:guessed
        assert_eq!(client.get_as(target, "Basic YWRhOmd1ZXNzZWQ="), 401, "{target}");
    }
    assert_eq!(client.get_as("/", ADA), 200);
    assert_eq!(client.get_as("/missing", ADA), 404);
    client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let head: Vec<String> =
        std::iter::repeat_with(|| line(&mut client.0)).take_while(|line| line != "\r\n").collect();
    let challenge = "www-authenticate: Basic realm=\"lakh serve\", charset=\"UTF-8\"\r\n";
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case(challenge)), "{head:?}");
}

#[test]
fn users_of_a_file_and_of_the_environment_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    fs::write(&file, format!("# staff\n\nada:{HASH}:since May\n")).unwrap();
    let file = file.to_str().unwrap();
    let bob = format!("bob:{HASH}");
    let server = Server::start_with(&["--auth-file", file], &[("LAKH_AUTH", &bob)]);
    let mut client = Client::connect(&server);
    assert_eq!((client.get("/"), client.get_as("/", ADA), client.get_as("/", BOB)), (401, 200, 200));
}

#[test]
fn users_that_cannot_be_used_are_refused_before_anything_is_served() {
    let folder = folder();
    let file = folder.path().join("users");
    let with_lines = |lines: &str| {
        fs::write(&file, lines).unwrap();
        let arguments = ["serve", "--auth-file", file.to_str().unwrap()];
        refused(&arguments)
    };
    let begin = format!("lakh: cannot use the password file {file:?}: ");
    let output = with_lines(&format!("ada:{HASH}\nbob:{{SHA}}EfatjsUqKYSrqv18O1FlA3hcIHI=\n"));
    assert_refused(
        &output,
        &format!("{begin}line 2: a hash by SHA-1, which protects nothing today. Make a new one"),
    );
    assert_refused(&with_lines("ada:hunter2"), &format!("{begin}line 1: no hash that is known here"));
    assert_refused(&with_lines("# nobody\n"), &format!("lakh: there is no user in {file:?}"));
    let missing = folder.path().join("missing");
    let output = refused(&["serve", "--auth-file", missing.to_str().unwrap()]);
    assert_refused(&output, &format!("lakh: cannot use the password file {missing:?}: No such file"));

    let output = refused(&["serve", "--auth", "ada:hunter2"]);
    assert_refused(&output, "lakh: --auth takes USER:HASH: no hash");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "it is not shown");
    let output = refused(&["serve", "--auth", "ada:=19456,t=2,p=1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("single quotes"), "{output:?}");
    let twice = format!("ada:{HASH}");
    assert_refused(
        &refused(&["serve", "--auth", &twice, "--auth", &twice]),
        "lakh: --auth takes USER:HASH: the name is there already",
    );
}

#[test]
fn a_password_file_is_not_served() {
    let folder = folder();
    let (open, hidden) = (folder.path().join("users"), folder.path().join(".users"));
    for file in [&open, &hidden] {
        fs::write(file, format!("ada:{HASH}\n")).unwrap();
    }
    let root = folder.path().to_str().unwrap();
    let output = refused(&["serve", "--auth-file", open.to_str().unwrap(), root]);
    assert_refused(&output, &format!("lakh: {open:?} would be served itself"));
    let hidden = hidden.to_str().unwrap();
    let server = Server::start_with(&["--auth-file", hidden], &[]);
    assert_eq!(Client::connect(&server).get_as("/", ADA), 200);
}

/// Head and body of the answer to a client that reads `accept`.
fn download(server: &Server, target: &str, accept: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    // To HTTP/1.0, a body of unknown length ends with the connection.
    write!(stream, "GET {target} HTTP/1.0\r\nHost: x\r\nAccept-Encoding: {accept}\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let body = bytes.split_off(end);
    (String::from_utf8(bytes).unwrap().to_ascii_lowercase(), body)
}

#[test]
fn text_is_compressed_for_who_reads_it_if_that_is_asked_for() {
    let files =
        [("small.css", "a { color: red } ".repeat(200)), ("large.css", "b { color: blue } ".repeat(50_000))];
    for (arguments, variables) in [(&["--compress"][..], &[][..]), (&[], &[("LAKH_COMPRESS", "true")])] {
        let server = Server::start_with(arguments, variables);
        for (name, text) in &files {
            fs::write(server.folder.path().join(name), text).unwrap();
            let target = format!("/{name}");
            for (accept, coding) in
                [("gzip, deflate, br, zstd", "zstd"), ("gzip, deflate, br", "br"), ("gzip", "gzip")]
            {
                let (head, body) = download(&server, &target, accept);
                assert!(head.contains(&format!("content-encoding: {coding}\r\n")), "{head}");
                assert!(
                    head.contains("vary: accept-encoding\r\n") && !head.contains("accept-ranges"),
                    "{head}"
                );
                assert!(body.len() < text.len() / 10);
                let mut decoder = lakh_compress::Decoder::new(coding.parse().unwrap(), 10_000_000).unwrap();
                let mut unpacked = Vec::new();
                decoder.decode(&mut &body[..], &mut unpacked, 10_000_000).unwrap();
                decoder.finish().unwrap();
                assert!(unpacked == text.as_bytes(), "{coding}");
            }
            let (head, body) = download(&server, &target, "identity");
            assert!(!head.contains("content-encoding") && body == text.as_bytes());
        }
    }
    let server = Server::start(&[]);
    fs::write(server.folder.path().join("small.css"), &files[0].1).unwrap();
    let (head, _) = download(&server, "/small.css", "gzip");
    assert!(!head.contains("content-encoding"));
}

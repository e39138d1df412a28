//! `lakh serve --metrics` and `lakh top` as processes.

#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
};

fn lakh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakh"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LAKH_")) {
        command.env_remove(name);
    }
    command
}

/// A server, killed when dropped.
struct Server {
    child: Child,
    /// Of the files, then of what goes on inside.
    urls: Vec<String>,
    /// Removed at the end.
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(metrics: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = lakh();
        command.args(["serve", "--port", "0", "--shards", "2", "--log", "off", metrics]).arg(folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let urls = lines
            .map(Result::unwrap)
            .filter_map(|line| Some(line.split_once("http://")?.1.split(' ').next()?.to_owned()))
            .take(2)
            .collect();
        Server { child, urls, _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn top(arguments: &[&str]) -> Output {
    lakh().arg("top").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_pipe_gets_a_table_or_all_numbers() {
    let server = Server::start("--metrics=0");
    let of = &*server.urls[1];
    let done = top(&[of, "--interval", "100ms"]);
    let table = text(&done.stdout);
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    assert!(
        table.starts_with("  lakh ")
            && table.contains("\n  requests/s 0   5xx/s 0   shed 0   connections 0 "),
        "{table}"
    );
    assert!(
        table.contains("\n  shard ") && table.contains("\n  lane ") && !table.contains('\x1b'),
        "{table}"
    );

    let done = top(&[&format!("http://{of}/"), "--once", "--json"]);
    let snapshot: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(snapshot["shards"].as_array().unwrap().len(), 2);
    assert_eq!(snapshot["process"]["id"], server.child.id());

    // Each time a line, until nobody reads them.
    let mut command = lakh();
    command.args(["top", of, "--json", "--interval", "100ms"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let uptime =
        |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap()["uptime"].as_f64().unwrap();
    let first = uptime(lines.next().unwrap().unwrap());
    assert!(uptime(lines.next().unwrap().unwrap()) > first);
    drop(lines);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_wrong_address_is_named_with_what_to_do() {
    let server = Server::start("--metrics=127.0.0.1:0");
    let files = &*server.urls[0];
    let done = top(&[files]);
    assert_eq!((done.status.code(), text(&done.stdout)), (Some(1), ""));
    let said = text(&done.stderr);
    assert!(
        said.starts_with(&format!("lakh: {files} answers, but shows no metrics of lakh (status 404); ")),
        "{said}"
    );

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let done = top(&[&free]);
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(
        said.starts_with(&format!("lakh: nothing listens on {free}; start the server with metrics")),
        "{said}"
    );

    for wrong in ["example.org:80", "https://127.0.0.1:1", "a"] {
        assert_eq!(top(&[wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn a_port_for_metrics_that_is_taken_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut command = lakh();
    command
        .args(["serve", "--port", "0", "--log", "off"])
        .arg(format!("--metrics={addr}"))
        .arg(folder.path());
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    let said = text(&done.stderr);
    let begin = format!(
        "lakh: {addr}, for --metrics, is taken by another program; choose another port by --metrics=PORT"
    );
    assert!(said.starts_with(&begin), "{said}");
}

#[test]
fn the_default_port_is_that_of_the_help() {
    let mut help = String::new();
    let mut child = lakh().args(["serve", "--help"]).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_to_string(&mut help).unwrap();
    assert!(child.wait().unwrap().success());
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("--metrics[=<ADDR>]") && help.contains("127.0.0.1:9464"), "{help}");
    assert!(help.contains("[env: LAKH_METRICS]"), "{help}");
}

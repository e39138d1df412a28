//! Static files: what an answer has, and where they stand in an app.
#![cfg(unix)]

mod common;

use common::files::{AGED, LARGE, SMALL, Site, bytes};
use lakh_http::{App, Files, Server};
use std::{fs, os::unix::fs::symlink};

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

//! Static files: preconditions, validators and ranges.
#![cfg(unix)]

mod common;

use common::files::{AGED, LARGE, SMALL, Site, bytes, set_modified};
use std::{fs, time::Duration, time::Instant, time::SystemTime};

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

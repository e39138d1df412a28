//! Static files: sending long ones, and many of them.
#![cfg(unix)]

mod common;

use common::files::{Client, LARGE, Site, bytes};
use std::{fs::File, io::Read, io::Write};

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

//! Static files: how old an answer may be, and how long it may take.
#![cfg(unix)]

mod common;

use common::files::{Answer, Client, HANGS, LARGE, Site, age, bytes};
use lakh_core::pool::{Kind, Lane, LaneConfig, PoolConfig};
use lakh_http::{App, Files, Server};
use std::{fs, fs::File, io::Write, os::unix::fs::symlink, sync::mpsc, time::Duration, time::Instant};

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

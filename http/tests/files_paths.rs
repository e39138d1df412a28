//! Static files: which paths are files, and which are not.
#![cfg(unix)]

mod common;

use common::files::Site;
use lakh_http::files::Symlinks;
use std::{fs, fs::File, os::unix::fs::symlink, process::Command};

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

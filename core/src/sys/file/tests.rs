use super::*;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

type Open = fn(&Path, &Path, Symlinks) -> io::Result<File>;

/// The three ways to open beneath a directory: each must pass each test.
const WAYS: [(&str, Open); 3] = [
    ("system", |root, path, symlinks| Directory::open(root)?.open_beneath(path, symlinks)),
    ("walk", |root, path, symlinks| walk::open(Directory::open(root)?.as_fd(), path, symlinks)),
    ("canonical", |root, path, symlinks| canonical::open(&canonical::root(root)?, path, symlinks)),
];

/// `root/` with files, and with links that stay inside and links that lead out to `secret`.
fn tree() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    let at = |path: &str| temp.path().join(path);
    fs::create_dir_all(at("root/sub/deep")).unwrap();
    fs::write(at("secret"), "secret").unwrap();
    fs::write(at("root/top"), "top").unwrap();
    fs::write(at("root/sub/file"), "file").unwrap();
    symlink("sub/deep/../file", at("root/inside")).unwrap();
    symlink("../top", at("root/sub/up")).unwrap();
    symlink("sub", at("root/subdir")).unwrap();
    symlink("../secret", at("root/outside")).unwrap();
    symlink(at("secret"), at("root/absolute")).unwrap();
    symlink("..", at("root/sub/deep/parent")).unwrap();
    symlink("..", at("root/climb")).unwrap();
    symlink("loop", at("root/loop")).unwrap();
    temp
}

fn text(file: io::Result<File>) -> io::Result<String> {
    let mut text = String::new();
    file?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn paths_that_stay_beneath_open() {
    let temp = tree();
    for (way, open) in WAYS {
        let cases = [
            ("top", "top"),
            ("sub/file", "file"),
            ("./sub//file", "file"),
            ("sub/../top", "top"),
            ("inside", "file"),
            ("sub/up", "top"),
            ("subdir/file", "file"),
            ("subdir/up", "top"),
            ("sub/deep/parent/file", "file"),
        ];
        for (path, content) in cases {
            let file = open(&temp.path().join("root"), Path::new(path), Symlinks::Follow);
            assert_eq!(text(file).unwrap(), content, "{way}: {path}");
        }
        for path in [".", "sub", "sub/", "sub/..", "subdir"] {
            let file = open(&temp.path().join("root"), Path::new(path), Symlinks::Follow);
            assert!(file.unwrap().metadata().unwrap().is_dir(), "{way}: {path}");
        }
    }
}

#[test]
fn a_way_out_is_told_apart_from_a_missing_file() {
    let temp = tree();
    let absolute = temp.path().join("root/top");
    let outside = ["..", "../secret", "sub/../../secret", "/", "outside", "absolute", "climb/secret"];
    for (way, open) in WAYS {
        let open = |path: &Path| open(&temp.path().join("root"), path, Symlinks::Follow).unwrap_err();
        for path in outside.iter().map(Path::new).chain([absolute.as_path()]) {
            assert!(is_not_beneath(&open(path)), "{way}: {}: {:?}", path.display(), open(path));
        }
        for path in ["", "missing", "sub/missing", "missing/file"] {
            assert_eq!(open(Path::new(path)).kind(), ErrorKind::NotFound, "{way}: {path}");
        }
        assert!(!is_not_beneath(&open(Path::new("loop"))), "{way}");
        assert_eq!(open(Path::new("top/file")).kind(), ErrorKind::NotADirectory, "{way}");
    }
}

#[test]
fn links_are_refused_on_request() {
    let temp = tree();
    for (way, open) in WAYS {
        let open = |path| open(&temp.path().join("root"), Path::new(path), Symlinks::Refuse);
        assert_eq!(text(open("sub/../sub/file")).unwrap(), "file", "{way}");
        for path in ["inside", "subdir/file", "outside", "loop"] {
            let error = open(path).unwrap_err();
            let is_refusal = error.raw_os_error() == Some(libc::ELOOP);
            assert!(is_refusal || error.kind() == ErrorKind::PermissionDenied, "{way}: {path}: {error:?}");
        }
    }
}

#[test]
fn a_fifo_without_a_writer_opens_at_once() {
    let temp = tree();
    let made = std::process::Command::new("mkfifo").arg(temp.path().join("root/fifo")).status();
    if made.is_ok_and(|status| status.success()) {
        for (way, open) in &WAYS[..2] {
            let file = open(&temp.path().join("root"), Path::new("fifo"), Symlinks::Follow).unwrap();
            assert!(!file.metadata().unwrap().is_file(), "{way}");
        }
    }
}

#[test]
fn a_file_is_not_a_directory() {
    let temp = tree();
    let error = Directory::open(&temp.path().join("secret")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert_eq!(canonical::root(&temp.path().join("secret")).unwrap_err().kind(), ErrorKind::NotADirectory);
}

#[test]
fn reading_at_an_offset_stops_at_the_end() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    let mut buf = [0; 4];
    assert_eq!((read_at(&file, &mut buf, 3).unwrap(), &buf), (4, b"3456"));
    assert_eq!(read_at(&file, &mut buf, 8).unwrap(), 2);
    assert_eq!(read_at(&file, &mut buf, 10).unwrap(), 0);
    assert_eq!(read_at(&file, &mut buf, 1 << 40).unwrap(), 0);
}

/// A file in memory if the machine has such a filesystem, and one where temporary files go.
fn files() -> Vec<File> {
    let in_memory = tempfile::tempfile_in("/dev/shm").ok();
    let mut files: Vec<File> = in_memory.into_iter().chain([tempfile::tempfile().unwrap()]).collect();
    files.iter_mut().for_each(|file| file.write_all(&[7; 10_000]).unwrap());
    files
}

#[test]
fn reading_without_waiting_reads_or_says_why_not() {
    for file in files() {
        let mut buf = [0; 100];
        match read_at_nowait(&file, &mut buf, 9_950) {
            Ok(len) => assert_eq!((len, buf[49], buf[50]), (50, 7, 0)),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Unsupported), "{error:?}");
            }
        }
    }
}

#[test]
fn bytes_after_the_end_are_not_cached() {
    for file in files() {
        match cached_bytes(&file, 0, 1 << 20) {
            Ok(cached) => assert!(!cached),
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied),
                    "{error:?}"
                );
            }
        }
        assert!(cached_bytes(&file, 5, 0).unwrap());
        assert!(cached_bytes(&file, u64::MAX, 2).is_err());
    }
}

#[test]
fn a_walk_that_stays_on_the_mount_opens_and_one_that_leaves_it_does_not() {
    let temp = tree();
    let root = Directory::open(&temp.path().join("root")).unwrap();
    let open = |path: &str| root.open_on_mount(Path::new(path), Symlinks::Follow);
    match open("inside") {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        file => assert_eq!(text(file).unwrap(), "file"),
    }
    assert!(is_not_beneath(&open("outside").unwrap_err()));
    assert_eq!(open("missing").unwrap_err().kind(), ErrorKind::NotFound);
    let system = Directory::open(Path::new("/")).unwrap();
    let other_mount = system.open_on_mount(Path::new("proc/self/status"), Symlinks::Follow);
    assert!(is_not_beneath(&other_mount.unwrap_err()));
}

#[test]
fn files_that_the_kernel_makes_up_are_not_local() {
    if let Ok(file) = File::open("/proc/self/status") {
        assert!(!is_local(&file));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_open_file_is_on_the_mount_that_the_table_says() {
    use crate::sys::mounts::MountTable;
    let table = MountTable::read().unwrap();
    for path in ["/proc/self/status", "/dev/null"] {
        let Some(id) = mount_id(&File::open(path).unwrap()) else { return }; // before Linux 5.8
        assert_eq!(table.lookup(Path::new(path)).map(|mount| mount.id.into()), Some(id), "{path}");
    }
}

#[test]
fn a_rename_to_a_new_name_never_replaces() {
    let temp = tempfile::tempdir().unwrap();
    let (from, to) = (temp.path().join("from"), temp.path().join("to"));
    fs::write(&from, "from").unwrap();
    fs::write(&to, "to").unwrap();
    assert_eq!(rename_new(&from, &to).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!((fs::read(&from).unwrap(), fs::read(&to).unwrap()), (b"from".to_vec(), b"to".to_vec()));
    fs::remove_file(&to).unwrap();
    rename_new(&from, &to).unwrap();
    assert_eq!((from.exists(), fs::read(&to).unwrap()), (false, b"from".to_vec()));
}

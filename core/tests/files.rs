//! Files written from a shard: when they appear, what is refused, what is left behind.

mod common;

use common::{Hold, SAFETY_NET, poll_once, pool, with_a_small_pool};
use lakh_core::{block_on, fs::FileWriter, pool::RunError, sleep, spawn, timeout};
use std::{
    fs,
    future::poll_fn,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};
use tempfile::{TempDir, tempdir};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until there is nothing else in the folder.
async fn until_there_is(folder: &Path, wanted: &[&str]) {
    let done = async {
        while names(folder) != wanted {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SAFETY_NET, done).await.unwrap_or_else(|_| panic!("there is {:?}", names(folder)));
}

fn folder() -> (TempDir, PathBuf) {
    let temp = tempdir().unwrap();
    let path = temp.path().join("file");
    (temp, path)
}

#[test]
fn a_file_has_its_name_when_it_is_finished_and_not_before() {
    let (temp, path) = folder();
    fs::write(&path, "old").unwrap();
    let to = path.clone();
    block_on(async move {
        let mut file = FileWriter::options().buffer(10).open(&to).await.unwrap();
        for _ in 0..1000 {
            file.write_all(b"0123456").await.unwrap();
        }
        assert_eq!(fs::read(&to).unwrap(), b"old");
        assert_eq!((file.finish().await.unwrap(), file.len()), (7000, 7000));
        assert_eq!(file.finish().await.unwrap(), 7000, "a second call gives the same");
        assert!(file.write(b"more").await.is_err());
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"0123456".repeat(1000));
    assert_eq!(names(temp.path()), ["file"]);
}

#[test]
fn a_file_may_be_empty_or_longer_than_its_buffers() {
    let (temp, path) = folder();
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = content.clone();
    block_on(async move {
        let mut file = FileWriter::options().sync(true).open(&path).await.unwrap();
        file.write_all(&content).await.unwrap();
        assert_eq!(file.finish().await.unwrap(), 1_000_000);
        let mut file = FileWriter::create(path.with_file_name("empty")).await.unwrap();
        assert_eq!(file.finish().await.unwrap(), 0);
    })
    .unwrap();
    assert!(fs::read(temp.path().join("file")).unwrap() == expected);
    assert_eq!(names(temp.path()), ["empty", "file"]);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let (temp, path) = folder();
    let inside = temp.path().to_owned();
    block_on(async move {
        let mut file = FileWriter::options().buffer(4).open(&path).await.unwrap();
        assert_eq!(names(&inside).len(), 1);
        file.write_all(b"more than a buffer").await.unwrap();
        drop(file);
        until_there_is(&inside, &[]).await;

        // While it is opened.
        let mut opening = Box::pin(FileWriter::create(path.clone()));
        // If the worker is fast it is open already.
        let opened = poll_once(opening.as_mut());
        drop((opening, opened));
        until_there_is(&inside, &[]).await;

        // With its task.
        let task = spawn(async move {
            let mut file = FileWriter::create(path).await.unwrap();
            file.write_all(b"x").await.unwrap();
            sleep(SAFETY_NET * 10).await;
        });
        drop(task);
    })
    .unwrap();
    // The pool has been shut down meanwhile, with or without a worker at it.
    block_on(async move { until_there_is(temp.path(), &[]).await }).unwrap();
}

#[test]
fn a_new_file_replaces_none() {
    let (temp, path) = folder();
    let to = path.clone();
    block_on(async move {
        let mut first = FileWriter::options().create_new().open(&to).await.unwrap();
        let mut second = FileWriter::options().create_new().open(&to).await.unwrap();
        first.write_all(b"first").await.unwrap();
        second.write_all(b"second").await.unwrap();
        first.finish().await.unwrap();
        assert!(second.finish().await.unwrap_err().is_already_exists());
        assert!(second.finish().await.unwrap_err().is_already_exists(), "a second call gives the same");
        assert!(FileWriter::options().create_new().open(&to).await.unwrap_err().is_already_exists());
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(names(temp.path()), ["file"]);
}

#[test]
fn a_file_written_in_place_is_emptied_first_and_stays() {
    let (temp, path) = folder();
    fs::write(&path, "something long").unwrap();
    let to = path.clone();
    block_on(async move {
        let mut file = FileWriter::options().in_place().open(&to).await.unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"");
        file.write_all(b"short").await.unwrap();
        file.finish().await.unwrap();
        drop(FileWriter::options().in_place().open(to.with_file_name("kept")).await.unwrap());
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"short");
    assert_eq!(names(temp.path()), ["file", "kept"]);
}

#[test]
fn what_cannot_be_a_file_is_refused_at_once() {
    let (temp, path) = folder();
    fs::create_dir(&path).unwrap();
    let root = temp.path().to_owned();
    block_on(async move {
        for bad in [path, root.join("no/such/folder"), PathBuf::from("/")] {
            let error = FileWriter::create(&bad).await.unwrap_err();
            assert!(error.io_error().is_some(), "{}: {error}", bad.display());
        }
    })
    .unwrap();
    assert_eq!(names(temp.path()), ["file"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_at_the_next_call_and_at_every_later_one() {
    block_on(async {
        let options = FileWriter::options().in_place().buffer(1000);
        let mut file = options.clone().open("/dev/full").await.unwrap();
        let mut written = Ok(());
        // The first buffer is taken before the disk is asked, the second one while it is.
        for _ in 0..4 {
            written = written.and(file.write_all(&[b'x'; 1000]).await);
        }
        assert!(written.unwrap_err().is_storage_full());
        assert!(file.write(b"x").await.unwrap_err().is_storage_full());
        assert!(file.finish().await.unwrap_err().is_storage_full());

        let mut file = options.open("/dev/full").await.unwrap();
        file.write_all(b"short").await.unwrap();
        assert!(file.finish().await.unwrap_err().is_storage_full());
    })
    .unwrap();
}

/// The umask has no part in it, and the right to run as the file's owner is not kept.
#[test]
#[cfg(unix)]
fn a_file_that_replaces_another_has_its_rights_from_the_beginning() {
    use std::os::unix::fs::PermissionsExt;
    let (temp, path) = folder();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    let given = [(0o600, 0o600), (0o666, 0o666), (0o440, 0o440), (0o4755, 0o755)];
    for (old, new) in given {
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(old)).unwrap();
        let (to, folder) = (path.clone(), temp.path().to_owned());
        block_on(async move {
            let mut file = FileWriter::create(&to).await.unwrap();
            let under_work = names(&folder).into_iter().find(|name| name != "file").unwrap();
            assert_eq!(mode(&folder.join(under_work)), new);
            file.write_all(b"new").await.unwrap();
            file.finish().await.unwrap();
        })
        .unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), new));
        fs::remove_file(&path).unwrap();
    }
}

/// Only root may give files to groups that it is not in; others see here that nothing fails.
#[test]
#[cfg(unix)]
fn a_file_that_replaces_another_is_for_the_same_group() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let (_temp, path) = folder();
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let is_given = chown(&path, None, Some(4712)).is_ok();
    let before = fs::metadata(&path).unwrap();
    let to = path.clone();
    block_on(async move { FileWriter::create(&to).await.unwrap().finish().await.unwrap() }).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.gid(), after.mode()), (before.gid(), before.mode()), "given away: {is_given}");
}

#[test]
fn a_full_pool_refuses_new_files_and_those_that_are_open_wait_for_it() {
    let (temp, path) = folder();
    let to = path.clone();
    with_a_small_pool(move || {
        let to = to.clone();
        async move {
            let pool = pool();
            let mut file = FileWriter::options().buffer(4).open(&to).await.unwrap();
            let hold = Hold::all(&pool).await;
            assert!(FileWriter::create(&to).await.unwrap_err().is_full());
            assert_eq!(file.write(b"012345").await.unwrap(), 4, "there is room for these");
            assert!(poll_once(pin!(file.write(b"45"))).is_pending());
            assert!(poll_once(pin!(file.finish())).is_pending());
            let writing = spawn(async move {
                file.write_all(b"45").await.unwrap();
                file.finish().await.unwrap()
            });
            lakh_core::yield_now().await;
            hold.end().await;
            assert_eq!(writing.await.unwrap(), 6);
        }
    });
    assert_eq!(fs::read(path).unwrap(), b"012345");
    assert_eq!(names(temp.path()), ["file"]);
}

#[test]
fn many_writers_on_a_tiny_lane_are_slowed_down_and_none_fails() {
    let (temp, path) = folder();
    let folder = temp.path().to_owned();
    with_a_small_pool(move || {
        let folder = folder.clone();
        async move {
            let mut writing = Vec::new();
            for n in 0..50 {
                let mut file =
                    FileWriter::options().buffer(2).open(folder.join(n.to_string())).await.unwrap();
                writing.push(move || async move {
                    file.write_all(b"0123456789").await?;
                    file.finish().await
                });
            }
            let writing: Vec<_> = writing.into_iter().map(|write| spawn(write())).collect();
            for writer in writing {
                assert_eq!(writer.await.unwrap().unwrap(), 10);
            }
        }
    });
    assert_eq!(names(temp.path()).len(), 50);
    drop(path);
}

#[test]
fn a_writer_that_waits_for_a_full_pool_is_told_of_its_end() {
    let (temp, path) = folder();
    with_a_small_pool(move || {
        let path = path.clone();
        async move {
            let pool = pool();
            let mut file = FileWriter::options().buffer(4).open(&path).await.unwrap();
            let hold = Hold::all(&pool).await;
            file.write_all(b"0123").await.unwrap();
            let writing = spawn(async move { file.write(b"45").await });
            lakh_core::yield_now().await;
            pool.shutdown();
            let error = writing.await.unwrap().unwrap_err();
            assert!(error.run_error().is_some_and(RunError::is_shutdown), "{error}");
            drop(hold);
        }
    });
    drop(temp);
}

#[test]
fn a_writer_waits_when_both_its_buffers_are_full() {
    let (temp, path) = folder();
    let to = path.clone();
    with_a_small_pool(move || {
        let to = to.clone();
        async move {
            let pool = pool();
            let mut file = FileWriter::options().buffer(4).open(&to).await.unwrap();
            let hold = Hold::worker(&pool).await;
            assert_eq!(file.write(b"0123456789").await.unwrap(), 4);
            assert_eq!(file.write(b"456789").await.unwrap(), 4);
            {
                let mut third = pin!(file.write(b"89"));
                assert!(poll_once(third.as_mut()).is_pending());
            }
            assert_eq!(file.len(), 8, "a future that is dropped has taken nothing");
            hold.end().await;
            file.write_all(b"89").await.unwrap();
            assert_eq!(file.finish().await.unwrap(), 10);
        }
    });
    assert_eq!(fs::read(path).unwrap(), b"0123456789");
    drop(temp);
}

#[test]
fn a_writer_that_is_dropped_while_the_pool_is_full_is_cleared_away_by_the_next_job() {
    let (temp, path) = folder();
    let inside = temp.path().to_owned();
    with_a_small_pool(move || {
        let (path, inside) = (path.clone(), inside.clone());
        async move {
            let pool = pool();
            let file = FileWriter::create(&path).await.unwrap();
            let hold = Hold::all(&pool).await;
            drop(file);
            hold.end().await;
            let mut next = FileWriter::create(inside.join("next")).await.unwrap();
            next.finish().await.unwrap();
            // A job of another test may be at it.
            until_there_is(&inside, &["next"]).await;
        }
    });
}

#[test]
fn a_finish_that_is_dropped_goes_on() {
    let (temp, path) = folder();
    let to = path.clone();
    with_a_small_pool(move || {
        let to = to.clone();
        async move {
            let pool = pool();
            let mut file = FileWriter::create(&to).await.unwrap();
            file.write_all(b"x").await.unwrap();
            let hold = Hold::worker(&pool).await;
            assert!(poll_once(pin!(file.finish())).is_pending());
            assert!(file.write(b"y").await.is_err(), "it takes no more");
            hold.end().await;
            assert_eq!(poll_fn(|cx| file.poll_finish(cx)).await.unwrap(), 1);
        }
    });
    assert_eq!(fs::read(path).unwrap(), b"x");
    drop(temp);
}

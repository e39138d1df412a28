//! Watching files: what is told, what is never lost, and what is said when something is.

use lakh_core::{
    Runtime, block_on, blocking,
    fs::{self, FileError, Watch, WatchEvent, WatchOptions},
    timeout,
};
use std::{
    collections::BTreeSet,
    fs as std_fs, future,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};
use tempfile::tempdir;

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// Runs `test` on a shard, in a folder of its own.
fn in_a_folder<F>(test: impl FnOnce(PathBuf) -> F + Send + 'static)
where
    F: Future<Output = Result<(), FileError>> + 'static,
{
    let temp = tempdir().unwrap();
    let root = temp.path().join("root");
    std_fs::create_dir(&root).unwrap();
    block_on(async move { timeout(SAFETY_NET, test(root)).await.expect("the test ends") }).unwrap().unwrap();
}

fn created(path: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Created(path.into())
}

fn modified(path: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Modified(path.into())
}

fn removed(path: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Removed(path.into())
}

fn renamed(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Renamed { from: from.into(), to: to.into() }
}

/// All events up to this one.
async fn until(watch: &mut Watch, last: &WatchEvent) -> Result<Vec<WatchEvent>, FileError> {
    let mut events = Vec::new();
    loop {
        events.push(watch.next().await?.unwrap_or_else(|| panic!("no {last:?}, but {events:?}")));
        if events.last() == Some(last) {
            return Ok(events);
        }
    }
}

/// All that is told before a file of this name is made, which comes last by the alphabet, too: who looks tells in that
/// order.
async fn up_to_now(watch: &mut Watch, marker: &Path) -> Result<Vec<WatchEvent>, FileError> {
    std_fs::write(marker, "").unwrap();
    let mut events = until(watch, &created(marker)).await?;
    events.pop();
    Ok(events)
}

#[test]
fn what_is_made_changed_renamed_and_removed_is_told_once_each() {
    in_a_folder(async |root| {
        std_fs::create_dir_all(root.join("a/b")).unwrap();
        std_fs::write(root.join("a/b/old"), "1").unwrap();
        std_fs::write(root.join("gone"), "1").unwrap();
        let mut watch = fs::watch(&root).await?;
        std_fs::write(root.join("new"), "several").unwrap();
        std_fs::write(root.join("a/b/old"), "22").unwrap();
        std_fs::rename(root.join("a/b/old"), root.join("a/moved")).unwrap();
        std_fs::remove_file(root.join("gone")).unwrap();
        let mut events = up_to_now(&mut watch, &root.join("~marker")).await?;
        // Where everything is looked at, a file that has changed and moved is another one.
        if !watch.is_polling() {
            assert_eq!(events.remove(1), modified(root.join("a/b/old")));
            let expected = [
                created(root.join("new")),
                renamed(root.join("a/b/old"), root.join("a/moved")),
                removed(root.join("gone")),
            ];
            assert_eq!(events, expected);
        }
        Ok(())
    });
}

#[test]
fn a_path_that_is_not_there_is_an_error_that_names_it() {
    in_a_folder(async |root| {
        for options in [WatchOptions::new(), WatchOptions::new().poll(Duration::from_millis(1))] {
            let error = options.watch(root.join("no")).await.unwrap_err();
            assert!(error.is_not_found());
            assert_eq!(error.path(), Some(&*root.join("no")));
        }
        Ok(())
    });
}

#[test]
fn directories_that_are_filled_before_they_are_watched_lose_nothing() {
    in_a_folder(async |root| {
        let mut watch = fs::watch(&root).await?;
        let (base, mut expected) = (root.clone(), BTreeSet::new());
        for i in 0..20 {
            for j in 0..5 {
                let folder = root.join(format!("{i}/deep/{j}"));
                expected.extend((0..10).map(|k| folder.join(k.to_string())));
            }
        }
        let all = expected.clone();
        // On another thread: the shard adds watches meanwhile.
        let filled = blocking(move || {
            for path in &all {
                std_fs::create_dir_all(path.parent().unwrap()).unwrap();
                std_fs::write(path, "x").unwrap();
            }
            std_fs::write(base.join("last"), "").unwrap();
        });
        let events = until(&mut watch, &created(root.join("last"))).await?;
        filled.await.unwrap();
        let mut seen: BTreeSet<PathBuf> =
            events.iter().filter(|event| matches!(event, WatchEvent::Created(_))).map(path).collect();
        // The others may come after the last one: their directories were being looked into.
        while !expected.is_subset(&seen) {
            seen.extend(watch.next().await?.as_ref().map(path));
        }
        // All of them are watched now.
        for path in &expected {
            std_fs::write(path, "more").unwrap();
        }
        let events = up_to_now(&mut watch, &root.join("~marker")).await?;
        let changed: BTreeSet<PathBuf> = events.iter().map(path).collect();
        assert!(expected.is_subset(&changed));
        Ok(())
    });
}

fn path(event: &WatchEvent) -> PathBuf {
    event.path().unwrap_or_else(|| panic!("{event:?}")).to_owned()
}

#[test]
fn a_directory_is_watched_wherever_it_is_moved_to_and_no_longer_when_it_has_left() {
    in_a_folder(async |root| {
        std_fs::create_dir_all(root.join("a/b/c")).unwrap();
        std_fs::create_dir(root.join("z")).unwrap();
        let outside = root.with_file_name("outside");
        std_fs::create_dir_all(outside.join("d/e")).unwrap();
        std_fs::write(outside.join("d/e/f"), "").unwrap();
        let mut watch = fs::watch(&root).await?;
        if watch.is_polling() {
            return Ok(());
        }
        std_fs::rename(root.join("a/b"), root.join("z/y")).unwrap();
        until(&mut watch, &renamed(root.join("a/b"), root.join("z/y"))).await?;
        std_fs::write(root.join("z/y/c/file"), "").unwrap();
        until(&mut watch, &created(root.join("z/y/c/file"))).await?;
        // It comes from where nobody looks.
        std_fs::rename(outside.join("d"), root.join("d")).unwrap();
        let events = until(&mut watch, &created(root.join("d/e/f"))).await?;
        assert_eq!(events, [created(root.join("d")), created(root.join("d/e")), created(root.join("d/e/f"))]);
        // And goes to there.
        std_fs::rename(root.join("z/y"), outside.join("y")).unwrap();
        until(&mut watch, &removed(root.join("z/y"))).await?;
        up_to_now(&mut watch, &root.join("first")).await?;
        std_fs::write(outside.join("y/c/file"), "changed").unwrap();
        assert_eq!(up_to_now(&mut watch, &root.join("second")).await?, []);
        // Its name may be another's.
        std_fs::create_dir_all(root.join("z/y/c")).unwrap();
        std_fs::write(root.join("z/y/c/file"), "").unwrap();
        until(&mut watch, &created(root.join("z/y/c/file"))).await?;
        Ok(())
    });
}

#[test]
fn a_file_that_editors_replace_and_that_goes_and_comes_is_still_watched() {
    in_a_folder(async |root| {
        let (file, temp) = (root.join("config"), root.join("config~"));
        std_fs::write(&file, "1").unwrap();
        std_fs::write(root.join("other"), "1").unwrap();
        let mut watch = fs::watch(&file).await?;
        if watch.is_polling() {
            return Ok(());
        }
        std_fs::write(root.join("other"), "2").unwrap();
        std_fs::write(&temp, "2").unwrap();
        std_fs::rename(&temp, &file).unwrap();
        assert_eq!(watch.next().await?, Some(created(&file)));
        std_fs::write(&file, "3").unwrap();
        assert_eq!(watch.next().await?, Some(modified(&file)));
        std_fs::remove_file(&file).unwrap();
        assert_eq!(watch.next().await?, Some(removed(&file)));
        std_fs::write(&file, "4").unwrap();
        assert_eq!(watch.next().await?, Some(created(&file)));
        Ok(())
    });
}

#[test]
fn a_root_may_go_and_come_back_and_the_end_comes_with_the_directory_that_it_is_in() {
    in_a_folder(async |folder| {
        let (above, root) = (folder.join("above"), folder.join("above/root"));
        std_fs::create_dir_all(root.join("sub")).unwrap();
        let mut watch = fs::watch(&root).await?;
        if watch.is_polling() {
            return Ok(());
        }
        std_fs::remove_dir_all(&root).unwrap();
        until(&mut watch, &removed(&root)).await?;
        std_fs::create_dir_all(root.join("sub")).unwrap();
        std_fs::write(root.join("sub/file"), "").unwrap();
        let events = until(&mut watch, &created(root.join("sub/file"))).await?;
        assert_eq!(events[0], created(&root));
        std_fs::write(root.join("sub/file"), "more").unwrap();
        until(&mut watch, &modified(root.join("sub/file"))).await?;
        std_fs::rename(&root, above.join("elsewhere")).unwrap();
        until(&mut watch, &removed(&root)).await?;
        std_fs::remove_dir_all(&above).unwrap();
        assert_eq!(watch.next().await?, None);
        assert_eq!(watch.next().await?, None);
        Ok(())
    });
}

#[cfg(unix)]
#[test]
fn links_are_told_of_and_not_followed() {
    in_a_folder(async |root| {
        let outside = root.with_file_name("outside");
        std_fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("before")).unwrap();
        let mut watch = fs::watch(&root).await?;
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std_fs::write(outside.join("file"), "").unwrap();
        assert_eq!(up_to_now(&mut watch, &root.join("~marker")).await?, [created(root.join("link"))]);
        // The path itself is.
        let mut through = fs::watch(root.join("link")).await?;
        std_fs::write(outside.join("another"), "").unwrap();
        until(&mut through, &created(root.join("link/another"))).await?;
        Ok(())
    });
}

#[test]
fn what_is_ignored_or_too_deep_is_not_told() {
    in_a_folder(async |root| {
        std_fs::create_dir_all(root.join("target/debug")).unwrap();
        std_fs::create_dir_all(root.join("src")).unwrap();
        let hidden = |path: &Path| path.file_name().is_some_and(|name| name == "target");
        let mut watch = WatchOptions::new().ignore(hidden).watch(&root).await?;
        let mut shallow = WatchOptions::new().recursive(false).watch(&root).await?;
        std_fs::write(root.join("target/debug/x"), "").unwrap();
        std_fs::write(root.join("src/x"), "").unwrap();
        std_fs::create_dir(root.join("src/target")).unwrap();
        std_fs::create_dir(root.join("new")).unwrap();
        std_fs::write(root.join("new/x"), "").unwrap();
        let mut events = up_to_now(&mut watch, &root.join("~marker")).await?;
        events.sort_by_key(path);
        // The second may be told before or after it was looked into.
        events.dedup();
        assert_eq!(
            events,
            [created(root.join("new")), created(root.join("new/x")), created(root.join("src/x"))]
        );
        let events = until(&mut shallow, &created(root.join("~marker"))).await?;
        assert_eq!(events, [created(root.join("new")), created(root.join("~marker"))]);
        Ok(())
    });
}

/// Where the kernel tells nothing, or is not asked.
fn looking() -> WatchOptions {
    WatchOptions::new().poll(Duration::from_millis(5)).debounce(Duration::ZERO)
}

#[test]
fn what_is_looked_at_again_and_again_is_told_as_well() {
    in_a_folder(async |root| {
        std_fs::create_dir_all(root.join("a/b")).unwrap();
        std_fs::write(root.join("a/b/file"), "1").unwrap();
        let mut watch = looking().watch(&root).await?;
        assert!(watch.is_polling());
        std_fs::write(root.join("a/b/file"), "22").unwrap();
        until(&mut watch, &modified(root.join("a/b/file"))).await?;
        std_fs::create_dir(root.join("c")).unwrap();
        until(&mut watch, &created(root.join("c"))).await?;
        std_fs::rename(root.join("a"), root.join("z")).unwrap();
        let event = watch.next().await?.unwrap();
        if cfg!(unix) {
            assert_eq!(event, renamed(root.join("a"), root.join("z")));
        }
        std_fs::remove_dir_all(&root).unwrap();
        until(&mut watch, &removed(&root)).await?;
        std_fs::create_dir(&root).unwrap();
        until(&mut watch, &created(&root)).await?;
        Ok(())
    });
}

#[test]
fn a_queue_that_is_full_says_that_everything_has_to_be_looked_at() {
    in_a_folder(async |root| {
        for options in [WatchOptions::new(), looking()] {
            let mut watch = options.queue(10).watch(&root).await?;
            for i in 0..50 {
                std_fs::write(root.join(i.to_string()), "").unwrap();
            }
            let first = watch.next().await?;
            assert_eq!(first, Some(WatchEvent::Rescan));
            let later = root.join("later");
            std_fs::write(&later, "").unwrap();
            until(&mut watch, &created(&later)).await?;
            std_fs::remove_dir_all(&root).unwrap();
            std_fs::create_dir(&root).unwrap();
        }
        Ok(())
    });
}

#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn without_watches_everything_is_looked_at() {
    in_a_folder(async |root| {
        std_fs::create_dir_all(root.join("a/b")).unwrap();
        // One for what is above, three for what there is: one more and it looks.
        let mut watch = WatchOptions::new().max_watches(4).watch(&root).await?;
        assert!(!watch.is_polling());
        std_fs::create_dir(root.join("c")).unwrap();
        std_fs::write(root.join("c/file"), "").unwrap();
        until(&mut watch, &WatchEvent::Rescan).await?;
        assert!(watch.is_polling());
        let mut watch = WatchOptions::new().max_watches(3).watch(&root).await?;
        assert!(watch.is_polling());
        std_fs::write(root.join("c/file"), "changed").unwrap();
        assert_eq!(watch.next().await?, Some(modified(root.join("c/file"))));
        Ok(())
    });
}

#[test]
fn a_watch_that_is_dropped_leaves_nothing() {
    in_a_folder(async |root| {
        let shard = lakh_core::current().handle();
        let (sources, timers) = (shard.metrics().sources(), shard.metrics().timers());
        for options in [WatchOptions::new(), looking()] {
            let mut watch = options.clone().watch(&root).await?;
            std_fs::write(root.join("file"), "").unwrap();
            watch.next().await?;
            drop(watch);
            // One that has not begun, and one that is waited for.
            drop(options.clone().watch(&root));
            let mut watch = options.watch(&root).await?;
            let waiting = timeout(Duration::ZERO, watch.next()).await;
            assert!(waiting.is_err());
            drop(watch);
            std_fs::remove_file(root.join("file")).unwrap();
        }
        // What a shard has is published once in a turn.
        lakh_core::yield_now().await;
        lakh_core::yield_now().await;
        // `in_a_folder` has a timer itself, since after the first look.
        assert_eq!(shard.metrics().sources(), sources);
        assert!(shard.metrics().timers() <= timers + 1);
        Ok(())
    });
}

#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod with_a_bare_reader {
    use super::*;
    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    use std::{collections::BTreeMap, ffi::OsStr, mem::MaybeUninit, os::unix::ffi::OsStrExt};

    /// The last thing that the kernel says of each name.
    fn read_all(inotify: &impl std::os::fd::AsFd, last: &mut BTreeMap<PathBuf, bool>, folder: &Path) {
        let mut buffer = vec![MaybeUninit::uninit(); 1 << 16];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let flags = WatchFlags::from_bits_retain(event.events().bits());
                    assert_ne!(event.wd(), -1, "the bare reader has lost something");
                    let name = event.file_name().expect("a name").to_bytes();
                    let is_there = !flags.intersects(WatchFlags::DELETE | WatchFlags::MOVED_FROM);
                    last.insert(folder.join(OsStr::from_bytes(name)), is_there);
                }
                Err(rustix::io::Errno::AGAIN) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn ten_thousand_files_lose_nothing_that_it_sees() {
        const FILES: usize = 10_000;
        /// In which less happens than the kernel keeps for who does not read.
        const BATCH: usize = 1000;
        in_a_folder(async |root| {
            for i in 0..FILES {
                std_fs::write(root.join(i.to_string()), "").unwrap();
            }
            let mut watch = fs::watch(&root).await?;
            let bare = init(CreateFlags::NONBLOCK).unwrap();
            let flags = WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVE
                | WatchFlags::MODIFY
                | WatchFlags::ATTRIB
                | WatchFlags::CLOSE_WRITE;
            add_watch(&bare, &root, flags).unwrap();
            let (mut seen_bare, mut seen) = (BTreeMap::new(), BTreeMap::new());
            for begin in (0..FILES).step_by(BATCH) {
                let folder = root.clone();
                let work = blocking(move || {
                    for i in begin..begin + BATCH {
                        let path = folder.join(i.to_string());
                        match i % 4 {
                            0 => std_fs::write(&path, "changed").unwrap(),
                            1 => std_fs::remove_file(&path).unwrap(),
                            2 => std_fs::rename(&path, folder.join(format!("{i}-renamed"))).unwrap(),
                            _ => {
                                std_fs::remove_file(&path).unwrap();
                                std_fs::write(&path, "anew").unwrap();
                                std_fs::write(folder.join(format!("{i}-beside")), "").unwrap();
                            }
                        }
                    }
                    std_fs::write(folder.join(format!("marker-{begin}")), "").unwrap();
                });
                let marker = created(root.join(format!("marker-{begin}")));
                for event in until(&mut watch, &marker).await? {
                    match event {
                        WatchEvent::Created(path) | WatchEvent::Modified(path) => seen.insert(path, true),
                        WatchEvent::Removed(path) => seen.insert(path, false),
                        WatchEvent::Renamed { from, to } => {
                            seen.insert(from, false);
                            seen.insert(to, true)
                        }
                        other => panic!("{other:?}"),
                    };
                }
                work.await.unwrap();
                read_all(&bare, &mut seen_bare, &root);
            }
            assert!(seen_bare.len() >= FILES);
            let lost: Vec<_> = seen_bare.iter().filter(|(path, is)| seen.get(*path) != Some(*is)).collect();
            assert!(lost.is_empty(), "{lost:?}");
            Ok(())
        });
    }

    #[test]
    fn more_than_the_kernel_keeps_becomes_one_rescan_and_new_directories_are_watched() {
        let kept = std_fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let kept: usize = kept.trim().parse().unwrap();
        if kept > 100_000 {
            return;
        }
        in_a_folder(async move |root| {
            let mut watch = WatchOptions::new().debounce(Duration::ZERO).watch(&root).await?;
            // Nobody reads meanwhile. Two names, since the kernel keeps the same event only once.
            let names = [root.join("0"), root.join("1")];
            names.iter().for_each(|name| std_fs::write(name, "").unwrap());
            let rights = std_fs::metadata(&names[0]).unwrap().permissions();
            for i in 0..=kept {
                std_fs::set_permissions(&names[i % 2], rights.clone()).unwrap();
            }
            std_fs::create_dir(root.join("new")).unwrap();
            until(&mut watch, &WatchEvent::Rescan).await?;
            std_fs::write(root.join("new/file"), "").unwrap();
            let events = until(&mut watch, &created(root.join("new/file"))).await?;
            assert!(!events.contains(&WatchEvent::Rescan));
            Ok(())
        });
    }

    #[test]
    fn shards_with_their_own_tables_are_refused_and_may_look() {
        let temp = tempdir().unwrap();
        let root = temp.path().to_owned();
        let (tell, told) = mpsc::channel();
        let started = Runtime::builder().shards(1).private_descriptors(true).start(move |shard| {
            let (root, tell) = (root.clone(), tell.clone());
            shard.spawn_detached(async move {
                let refused = fs::watch(&root).await.unwrap_err();
                let kind = refused.io_error().map(|error| error.kind());
                let mut watch = looking().watch(&root).await.unwrap();
                std_fs::write(root.join("file"), "").unwrap();
                let event = watch.next().await.unwrap();
                tell.send((refused.to_string(), kind, event == Some(created(root.join("file"))))).unwrap();
                future::pending::<()>().await;
            });
            Ok(())
        });
        let Ok(runtime) = started else { return };
        let (message, kind, was_told) = told.recv_timeout(SAFETY_NET).unwrap();
        assert!(message.contains("private_descriptors") && message.contains("poll"), "{message}");
        assert_eq!((kind, was_told), (Some(ErrorKind::Unsupported), true));
        drop(runtime);
    }
}

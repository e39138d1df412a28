//! Watching files while directories are renamed, replaced and filled: what comes between a walk and what is told.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]

use lakh_core::{
    block_on, blocking,
    fs::{FileError, Watch, WatchEvent, WatchOptions},
    timeout,
};
use std::{
    fs as std_fs,
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};
use tempfile::tempdir;

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// Runs `test` on a shard, with a folder of its own and one beside it.
fn in_folders<F>(test: impl FnOnce(PathBuf, PathBuf) -> F + Send + 'static)
where
    F: Future<Output = Result<(), FileError>> + 'static,
{
    let temp = tempdir().unwrap();
    let (root, outside) = (temp.path().join("root"), temp.path().join("outside"));
    std_fs::create_dir(&root).unwrap();
    std_fs::create_dir(&outside).unwrap();
    block_on(async move { timeout(SAFETY_NET, test(root, outside)).await.expect("the test ends") })
        .unwrap()
        .unwrap();
}

fn created(path: impl Into<PathBuf>) -> WatchEvent {
    WatchEvent::Created(path.into())
}

/// All that is told before a file of this name is made, or everything has to be looked at again.
async fn up_to_now(watch: &mut Watch, marker: &Path) -> Result<Vec<WatchEvent>, FileError> {
    std_fs::write(marker, "").unwrap();
    let mut events = Vec::new();
    loop {
        match watch.next().await?.unwrap_or_else(|| panic!("no {marker:?}, but {events:?}")) {
            event if event == created(marker) || event == WatchEvent::Rescan => return Ok(events),
            event => events.push(event),
        }
    }
}

fn at_once() -> WatchOptions {
    WatchOptions::new().debounce(Duration::ZERO)
}

#[test]
fn what_takes_the_place_of_what_was_just_found_is_told() {
    in_folders(async |root, outside| {
        std_fs::write(outside.join("file"), "2").unwrap();
        std_fs::create_dir_all(outside.join("sub/deep")).unwrap();
        let mut watch = at_once().watch(&root).await?;
        std_fs::create_dir_all(root.join("d/sub")).unwrap();
        std_fs::write(root.join("d/file"), "1").unwrap();
        assert_eq!(watch.next().await?, Some(created(root.join("d"))));
        let mut found = [watch.next().await?.unwrap(), watch.next().await?.unwrap()];
        found.sort_by_key(|event| event.path().map(Path::to_path_buf));
        assert_eq!(found, [created(root.join("d/file")), created(root.join("d/sub"))]);
        std_fs::rename(outside.join("file"), root.join("d/file")).unwrap();
        std_fs::rename(outside.join("sub"), root.join("d/sub")).unwrap();
        let events = up_to_now(&mut watch, &root.join("marker")).await?;
        assert!(events.contains(&created(root.join("d/file"))), "{events:?}");
        assert!(events.contains(&created(root.join("d/sub"))), "{events:?}");
        // It was looked into, too.
        std_fs::write(root.join("d/sub/deep/file"), "").unwrap();
        let events = up_to_now(&mut watch, &root.join("again")).await?;
        assert!(events.contains(&created(root.join("d/sub/deep/file"))), "{events:?}");
        Ok(())
    });
}

/// Gives another name to the directory that `seen` is in, once a walk has come upon that.
fn renamed_meanwhile(seen: &Path, to: PathBuf) -> WatchOptions {
    let (once, seen) = (Once::new(), seen.to_owned());
    at_once().ignore(move |path| {
        if path == seen {
            once.call_once(|| std_fs::rename(seen.parent().unwrap(), &to).unwrap());
        }
        false
    })
}

#[test]
fn a_directory_that_is_renamed_while_it_is_looked_into_is_watched_to_its_bottom() {
    in_folders(async |root, outside| {
        // In the first walk, and in one that follows.
        std_fs::create_dir_all(root.join("a/b/c")).unwrap();
        let mut watch = renamed_meanwhile(&root.join("a/b"), root.join("z")).watch(&root).await?;
        assert!(root.join("z/b").exists() && !root.join("a").exists());
        up_to_now(&mut watch, &root.join("marker")).await?;
        std_fs::write(root.join("z/b/c/file"), "").unwrap();
        let events = up_to_now(&mut watch, &root.join("again")).await?;
        assert!(events.contains(&created(root.join("z/b/c/file"))), "{events:?}");

        let new = root.join("new");
        let mut watch = renamed_meanwhile(&new.join("b"), root.join("old")).watch(&root).await?;
        std_fs::create_dir_all(outside.join("new/b/c")).unwrap();
        std_fs::rename(outside.join("new"), &new).unwrap();
        while !root.join("old").exists() {
            watch.next().await?;
        }
        up_to_now(&mut watch, &root.join("third")).await?;
        std_fs::write(root.join("old/b/c/file"), "").unwrap();
        let events = up_to_now(&mut watch, &root.join("fourth")).await?;
        assert!(events.contains(&created(root.join("old/b/c/file"))), "{events:?}");
        Ok(())
    });
}

#[test]
fn a_root_that_comes_back_needs_no_more_watches_than_before() {
    in_folders(async |root, _| {
        // One for what is above.
        let mut watch = at_once().max_watches(2).watch(&root).await?;
        std_fs::remove_dir(&root).unwrap();
        std_fs::create_dir(&root).unwrap();
        std_fs::write(root.join("file"), "").unwrap();
        while watch.next().await? != Some(created(root.join("file"))) {}
        assert!(!watch.is_polling());
        Ok(())
    });
}

#[test]
fn a_directory_under_the_name_of_one_that_left_tells_of_the_same_names_anew() {
    in_folders(async |root, _| {
        let (dir, file) = (root.join("d"), root.join("d/f"));
        let (once, seen, late) = (Once::new(), dir.join("g"), file.clone());
        let is_second = root.join("e");
        // While a walk reads the second `d`, which has only `g` so far, `f` is made.
        let mut watch = at_once()
            .ignore(move |path| {
                if path == seen && is_second.exists() {
                    once.call_once(|| std_fs::write(&late, "").unwrap());
                }
                false
            })
            .watch(&root)
            .await?;
        std_fs::create_dir(&dir).unwrap();
        std_fs::write(&file, "").unwrap();
        assert_eq!(watch.next().await?, Some(created(&dir)));
        assert_eq!(watch.next().await?, Some(created(&file)));
        std_fs::rename(&dir, root.join("e")).unwrap();
        std_fs::create_dir(&dir).unwrap();
        std_fs::write(dir.join("g"), "").unwrap();
        let mut events = Vec::new();
        while !file.exists() {
            events.extend(watch.next().await?);
        }
        events.extend(up_to_now(&mut watch, &root.join("marker")).await?);
        assert!(events.contains(&created(&file)), "{events:?}");
        Ok(())
    });
}

/// Makes, moves and removes directories of few names, by numbers that are the same each time.
fn churn(root: &Path, seed: u64) {
    let mut state = seed;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..600 {
        let mut path = || {
            let depth = random(3) + 1;
            (0..depth).fold(root.to_owned(), |path, _| path.join(format!("d{}", random(4))))
        };
        let (from, to) = (path(), path());
        // Many of these are impossible.
        let _ = match random(8) {
            0..=2 => std_fs::create_dir_all(&from),
            3..=6 => std_fs::rename(&from, &to),
            _ if random(3) == 0 => std_fs::remove_dir_all(&from),
            _ => Ok(()),
        };
    }
}

fn directories(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.to_owned()];
    let mut next = 0;
    while next < all.len() {
        let entries = std_fs::read_dir(&all[next]).unwrap().map(Result::unwrap);
        all.extend(entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()));
        next += 1;
    }
    all
}

#[test]
fn directories_that_take_each_others_names_while_they_are_looked_into_are_all_watched_in_the_end() {
    in_folders(async |root, _| {
        for seed in 1..=10 {
            let root = root.join(seed.to_string());
            std_fs::create_dir(&root).unwrap();
            let mut watch = at_once().watch(&root).await?;
            let (folder, end) = (root.clone(), root.join("end"));
            let last = end.clone();
            let churned = blocking(move || {
                churn(&folder, seed * 7919);
                std_fs::write(last, "").unwrap();
            });
            // The end may be among what has to be looked at again.
            while !matches!(watch.next().await?, Some(event) if event == created(&end) || event == WatchEvent::Rescan)
            {
            }
            churned.await.unwrap();
            let mut lost = Vec::new();
            // Before everything is looked at anew, which is told, some may be missed.
            for attempt in 0..5 {
                lost = directories(&root)
                    .into_iter()
                    .map(|dir| created(dir.join(format!("f{attempt}"))))
                    .collect();
                for file in &lost {
                    std_fs::write(file.path().unwrap(), "").unwrap();
                }
                let seen = up_to_now(&mut watch, &root.join(format!("marker{attempt}"))).await?;
                lost.retain(|event| !seen.contains(event));
                if lost.is_empty() {
                    break;
                }
            }
            assert!(lost.is_empty(), "seed {seed}: {lost:?}");
        }
        Ok(())
    });
}

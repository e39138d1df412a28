//! Files and directories from a shard: what the operations do, what is refused, what a dropped future takes back.

mod common;

use common::{Hold, SAFETY_NET, poll_once, pool, with_a_small_pool, with_pool};
use futures_io::{AsyncRead, AsyncWrite};
use lakh_core::{
    block_on,
    fs::{self, File, FileError},
    pool::{Lane, LaneMetrics},
    timeout,
};
use std::{
    collections::BTreeSet,
    future::poll_fn,
    io::{ErrorKind, SeekFrom},
    path::{Path, PathBuf},
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, SystemTime},
};
use tempfile::tempdir;

fn lane() -> LaneMetrics {
    pool().metrics().lane(Lane::FILE).unwrap().clone()
}

/// Waits until the file lane has no other jobs: closing files are some, too.
async fn until_idle_but_for(jobs: usize) {
    let idle = async {
        while lane().running + lane().queued != jobs {
            lakh_core::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SAFETY_NET, idle).await.unwrap();
}

/// Runs `test` on a shard, in a folder of its own.
fn in_a_folder<F>(test: impl FnOnce(PathBuf) -> F + Send + 'static)
where
    F: Future<Output = Result<(), FileError>> + 'static,
{
    let temp = tempdir().unwrap();
    let root = temp.path().to_owned();
    block_on(async move { test(root).await }).unwrap().unwrap();
}

fn kind<T>(result: Result<T, FileError>) -> Option<ErrorKind> {
    Some(result.err()?.io_error()?.kind())
}

#[test]
fn files_and_directories_are_made_renamed_and_removed() {
    in_a_folder(async |root| {
        let (a, b) = (root.join("a"), root.join("x/y/b"));
        fs::write(&a, "hello").await?;
        fs::write(&a, "hi").await?;
        assert_eq!(fs::metadata(&a).await?.len(), 2);
        assert_eq!(kind(fs::rename(&a, &b).await), Some(ErrorKind::NotFound));
        fs::create_dir_all(b.parent().unwrap()).await?;
        assert_eq!(kind(fs::create_dir(root.join("x")).await), Some(ErrorKind::AlreadyExists));
        fs::rename(&a, &b).await?;
        assert!(!fs::exists(&a).await? && fs::exists(&b).await?);
        fs::hard_link(&b, &a).await?;
        fs::remove_file(&b).await?;
        assert_eq!(fs::read_to_string(&a, 2).await?, "hi");
        assert_eq!(kind(fs::remove_dir(root.join("x")).await), Some(ErrorKind::DirectoryNotEmpty));
        fs::remove_dir(root.join("x/y")).await?;
        fs::write(root.join("x/z"), "").await?;
        fs::remove_dir_all(root.join("x")).await?;
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
        Ok(())
    });
}

#[test]
fn errors_say_what_failed_and_where() {
    in_a_folder(async |root| {
        let path = root.join("no/such");
        let error = fs::read(&path, 10).await.unwrap_err();
        assert!(error.is_not_found() && error.path() == Some(&*path), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot read {}: ", path.display())), "{text}");
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::NotFound);
        assert_eq!(kind(fs::read("", 10).await), Some(ErrorKind::InvalidInput));
        Ok(())
    });
}

#[test]
fn a_file_is_read_up_to_the_limit_and_not_beyond() {
    in_a_folder(async |root| {
        let path = root.join("file");
        // Of several steps.
        let content: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, content.clone()).await?;
        assert!(fs::read(&path, content.len()).await? == content);
        assert!(fs::read(&path, usize::MAX).await? == content);
        assert!(fs::read(&path, content.len() - 1).await.unwrap_err().is_too_large());
        assert!(fs::read(&path, 0).await.unwrap_err().is_too_large());
        fs::write(&path, "").await?;
        assert_eq!(fs::read(&path, 0).await?, b"");
        fs::write(&path, &b"\xff"[..]).await?;
        assert_eq!(kind(fs::read_to_string(&path, 10).await), Some(ErrorKind::InvalidData));
        Ok(())
    });
}

#[test]
fn what_has_no_length_is_read_as_it_comes() {
    if cfg!(target_os = "linux") {
        in_a_folder(async |_| {
            assert!(fs::read_to_string("/proc/self/status", 1 << 20).await?.starts_with("Name:"));
            assert!(fs::read("/dev/zero", 3 << 20).await.unwrap_err().is_too_large());
            Ok(())
        });
    }
}

#[test]
fn a_copy_has_the_bytes_and_the_rights_and_the_original_is_never_emptied() {
    in_a_folder(async |root| {
        let (from, to) = (root.join("from"), root.join("to"));
        let content: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(&from, content.clone()).await?;
        fs::write(&to, vec![b'x'; 3_000_000]).await?;
        let mut rights = fs::metadata(&from).await?.permissions();
        rights.set_readonly(true);
        fs::set_permissions(&from, rights.clone()).await?;
        assert_eq!(fs::copy(&from, &to).await?, 2_500_000);
        assert!(std::fs::read(&to).unwrap() == content);
        assert_eq!(fs::metadata(&to).await?.permissions(), rights);
        if cfg!(unix) {
            let link = root.join("link");
            fs::symlink("from", &link).await?;
            assert_eq!(kind(fs::copy(&from, &link).await), Some(ErrorKind::InvalidInput));
            assert!(std::fs::read(&from).unwrap() == content);
        }
        assert_eq!(kind(fs::copy(&root, root.join("new")).await), Some(ErrorKind::InvalidInput));
        assert!(!fs::exists(root.join("new")).await?);
        Ok(())
    });
}

#[test]
#[cfg(unix)]
fn links_say_where_they_lead_and_are_followed_or_not() {
    in_a_folder(async |root| {
        let link = root.join("link");
        fs::symlink("nowhere", &link).await?;
        assert_eq!(fs::read_link(&link).await?, Path::new("nowhere"));
        assert!(fs::symlink_metadata(&link).await?.is_symlink());
        assert!(!fs::exists(&link).await?);
        fs::write(&link, "through the link").await?;
        assert_eq!(fs::canonicalize(&link).await?, root.canonicalize().unwrap().join("nowhere"));
        assert_eq!(fs::metadata(&link).await?.len(), 16);
        Ok(())
    });
}

#[test]
fn times_are_set_or_left_as_they_are() {
    in_a_folder(async |root| {
        let path = root.join("file");
        fs::write(&path, "").await?;
        let (early, late) = (Duration::new(1_000_000_000, 500_000_000), Duration::from_secs(2_000_000_000));
        let (early, late) = (SystemTime::UNIX_EPOCH + early, SystemTime::UNIX_EPOCH + late);
        fs::set_times(&path, Some(early), Some(late)).await?;
        fs::set_times(&path, None, Some(early)).await?;
        fs::set_times(&path, Some(late), None).await?;
        let found = fs::metadata(&path).await?;
        assert_eq!((found.accessed().unwrap(), found.modified().unwrap()), (late, early));
        Ok(())
    });
}

/// Anybody may give a file to its own owner; to give it to another one takes rights that tests need not have.
#[test]
#[cfg(unix)]
fn owners_are_set_or_left_as_they_are_and_links_are_followed_or_not() {
    use std::os::unix::fs::MetadataExt;
    in_a_folder(async |root| {
        let (path, link) = (root.join("file"), root.join("link"));
        fs::write(&path, "").await?;
        fs::symlink("file", &link).await?;
        let before = fs::metadata(&path).await?;
        let is_root = before.uid() == 0;
        let (owner, group) = if is_root { (4711, 4712) } else { (before.uid(), before.gid()) };
        fs::chown(&link, Some(owner), None).await?;
        fs::chown(&link, None, Some(group)).await?;
        let after = fs::metadata(&path).await?;
        assert_eq!((after.uid(), after.gid()), (owner, group));
        assert_eq!(fs::symlink_metadata(&link).await?.uid(), before.uid());
        fs::lchown(&link, Some(owner), Some(group)).await?;
        let after = fs::symlink_metadata(&link).await?;
        assert_eq!((after.uid(), after.gid()), (owner, group));
        assert!(fs::chown(root.join("nothing"), None, Some(group)).await.unwrap_err().is_not_found());
        Ok(())
    });
}

#[test]
#[cfg(unix)]
fn a_temporary_directory_is_new_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    in_a_folder(async |root| {
        let prefix = root.join("upload-");
        let (first, second) = (fs::create_temp_dir(&prefix).await?, fs::create_temp_dir(&prefix).await?);
        assert_ne!(first, second);
        for folder in [first, second] {
            assert!(folder.to_str().unwrap().starts_with(prefix.to_str().unwrap()));
            assert_eq!(fs::metadata(folder).await?.permissions().mode() & 0o777, 0o700);
        }
        Ok(())
    });
}

#[test]
#[cfg(unix)]
fn a_filesystem_says_how_much_room_it_has() {
    in_a_folder(async |root| {
        let space = fs::statfs(&root).await?;
        assert!(space.total > 0 && space.available <= space.free && space.free <= space.total, "{space:?}");
        assert!(fs::statfs(root.join("no")).await.unwrap_err().is_not_found());
        Ok(())
    });
}

#[test]
fn a_directory_comes_in_batches_that_have_every_entry_once() {
    in_a_folder(async |root| {
        let names: BTreeSet<String> = (0..1000).map(|n| n.to_string()).collect();
        for name in &names {
            std::fs::write(root.join(name), "").unwrap();
        }
        let (mut seen, mut batches) = (BTreeSet::new(), 0);
        let mut entries = fs::read_dir(&root).await?;
        loop {
            // A future that is dropped loses nothing.
            let early = poll_once(pin!(entries.next_batch()));
            let batch = match early {
                Poll::Ready(batch) => batch?,
                Poll::Pending => entries.next_batch().await?,
            };
            let Some(batch) = batch else { break };
            assert!(batch.len() <= 256);
            batches += 1;
            for entry in batch {
                assert!(entry.file_type().unwrap().is_file() && entry.path().parent() == Some(&*root));
                assert!(seen.insert(entry.file_name().to_str().unwrap().to_owned()), "{entry:?} came twice");
            }
        }
        assert!(seen == names && batches >= 4);

        let mut one = fs::read_dir(&root).await?;
        assert!(one.next_entry().await?.is_some());
        drop(one);
        assert!(fs::read_dir(root.join("1")).await.is_err());
        Ok(())
    });
}

#[test]
fn a_full_lane_refuses_at_once() {
    with_a_small_pool(|| async {
        let hold = Hold::all(&pool()).await;
        for error in [
            fs::metadata("/").await.unwrap_err(),
            fs::read("/etc/hostname", 100).await.unwrap_err(),
            fs::read_dir("/").await.unwrap_err(),
            fs::rename("/no/a", "/no/b").await.unwrap_err(),
        ] {
            assert!(error.is_full() && error.io_error().is_none(), "{error}");
        }
        hold.end().await;
        assert!(fs::metadata("/").await.unwrap().is_dir());
    });
}

#[test]
fn a_directory_that_is_open_outlasts_a_full_lane() {
    let temp = tempdir().unwrap();
    for n in 0..300 {
        std::fs::write(temp.path().join(n.to_string()), "").unwrap();
    }
    let root = temp.path().to_owned();
    with_a_small_pool(move || {
        let root = root.clone();
        async move {
            let mut entries = fs::read_dir(&root).await.unwrap();
            assert_eq!(entries.next_batch().await.unwrap().unwrap().len(), 256);
            let hold = Hold::all(&pool()).await;
            assert!(entries.next_batch().await.unwrap_err().is_full());
            hold.end().await;
            assert_eq!(entries.next_batch().await.unwrap().unwrap().len(), 44);
            assert!(entries.next_batch().await.unwrap().is_none());
            assert!(entries.next_batch().await.unwrap().is_none());
        }
    });
}

#[test]
fn a_dropped_future_takes_back_what_has_not_begun_and_is_counted() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, "kept").unwrap();
    let kept = path.clone();
    with_a_small_pool(move || {
        let path = path.clone();
        async move {
            assert!(fs::exists(&path).await.unwrap());
            let hold = Hold::worker(&pool()).await;
            let before = lane();
            {
                let mut removing = pin!(fs::remove_file(&path));
                assert!(poll_once(removing.as_mut()).is_pending());
                assert_eq!(lane().queued, before.queued + 1);
            }
            assert_eq!((lane().queued, lane().cancelled), (before.queued, before.cancelled + 1));
            hold.end().await;
            assert_eq!(fs::read_to_string(&path, 10).await.unwrap(), "kept");
        }
    });
    assert_eq!(std::fs::read(kept).unwrap(), b"kept");
}

#[test]
#[cfg(target_os = "linux")]
fn a_mount_that_hangs_waits_for_itself_and_files_on_others_are_read() {
    use lakh_core::pool::{Kind, LaneConfig, PoolConfig, PoolFull, RunError};
    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

    let temp = tempdir().unwrap();
    let fifo = temp.path().join("fifo");
    // Reading it waits for a writer, as reading from a dead server waits for the server.
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let mut config = PoolConfig::new(1).workers(Kind::Io, 5);
    config.set_lane(Lane::FILE, LaneConfig::new(Kind::Io).queue_limit(8).grouped());
    with_pool(config, move || {
        let fifo = fifo.clone();
        async move {
            // From now on the mounts are known.
            fs::metadata(&fifo).await.unwrap();
            // Two of four workers, half of the queue, and one that is refused.
            let is_stuck = || (lane().running, lane().queued) == (2, 4);
            let mut readers = Vec::new();
            let fill = async {
                while !is_stuck() {
                    let fifo = fifo.clone();
                    readers.push(lakh_core::spawn(async move { fs::read(fifo, 100).await }));
                    lakh_core::sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(SAFETY_NET, fill).await.unwrap();
            assert!(
                fs::metadata(&fifo)
                    .await
                    .unwrap_err()
                    .run_error()
                    .and_then(RunError::refused)
                    .is_some_and(PoolFull::is_group_full)
            );
            for _ in 0..10 {
                fs::read("/proc/self/status", 1 << 20).await.unwrap();
            }
            until_idle_but_for(6).await;

            let write = lakh_core::spawn(async move {
                loop {
                    // Refused while nobody reads.
                    drop(open(&fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()));
                    lakh_core::sleep(Duration::from_millis(1)).await;
                }
            });
            let mut read = 0;
            for reader in readers {
                read += usize::from(reader.await.unwrap().is_ok());
            }
            assert_eq!(read, 6);
            drop(write);
        }
    });
}

#[test]
fn an_open_file_is_read_and_written_at_offsets_and_at_its_position() {
    in_a_folder(async |root| {
        let path = root.join("file");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).await?;
        let again = File::options().write(true).create_new(true).open(&path).await;
        assert!(again.unwrap_err().is_already_exists());
        file.write_at(3, "def").await?;
        file.write("abc").await?;
        assert_eq!(file.read(100).await?, "def");
        assert_eq!((file.read_at(1, 2).await?, file.read_at(6, 1).await?), ("bc".into(), "".into()));
        assert_eq!(file.seek(SeekFrom::End(-1)).await?, 5);
        file.write("FGH").await?;
        assert_eq!(file.seek(SeekFrom::Current(-4)).await?, 4);
        assert_eq!(kind(file.seek(SeekFrom::Current(-5)).await), Some(ErrorKind::InvalidInput));
        assert_eq!(file.read(2).await?, "eF");
        file.set_len(4).await?;
        file.sync_data().await?;
        file.sync_all().await?;
        assert_eq!(file.metadata().await?.len(), 4);
        assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
        let rights = file.metadata().await?.permissions();
        let mut fewer = rights.clone();
        fewer.set_readonly(true);
        file.set_permissions(fewer).await?;
        assert!(std::fs::metadata(&path).unwrap().permissions().readonly());
        file.set_permissions(rights).await?;

        // Of several steps.
        let content: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_at(1, content.clone()).await?;
        assert!(file.read_at(1, usize::MAX >> 1).await? == content);

        let mut log = File::options().append(true).open(&path).await?;
        log.write("end").await?;
        assert_eq!(file.read_at(2_500_001, 10).await?, "end");
        assert!(log.read(1).await.is_err(), "it is not open to be read");
        Ok(())
    });
}

#[test]
fn a_reader_gives_a_range_in_chunks_and_only_reads_two_of_them_ahead() {
    in_a_folder(async |root| {
        let path = root.join("file");
        let content: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = File::open(&path).await?;
        for range in [0..2_500_000, 1..2, 5..5, 100..1_000_000] {
            let (mut reader, mut read) = (file.reader(range.start as u64..range.end as u64), Vec::new());
            while let Some(chunk) = reader.chunk().await {
                read.extend_from_slice(&chunk?);
            }
            assert!(read == content[range.clone()], "{range:?}");
            assert!(reader.chunk().await.is_none());
        }

        let mut reader = file.reader(..);
        drop(file);
        let mut read = reader.chunk().await.unwrap()?.to_vec();
        until_idle_but_for(0).await;
        // Bytes that have been read ahead are those of before; the others are those of now.
        std::fs::write(&path, vec![b'x'; content.len()]).unwrap();
        while let Some(chunk) = reader.chunk().await {
            read.extend_from_slice(&chunk?);
        }
        assert_eq!(read.len(), content.len());
        let chunk = 128 * 1024;
        let old = (0..read.len()).take_while(|&at| read[at] == content[at]).count();
        assert!((2 * chunk..=3 * chunk + 251).contains(&old), "{old} bytes were read ahead");
        assert!(read[old..].iter().all(|byte| *byte == b'x'));
        Ok(())
    });
}

#[test]
fn a_reader_waits_for_a_full_lane_and_a_file_refuses() {
    let temp = tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, vec![b'x'; 1_000_000]).unwrap();
    with_a_small_pool(move || {
        let path = path.clone();
        async move {
            let file = File::open(&path).await.unwrap();
            let mut reader = file.reader(..);
            let mut length = reader.chunk().await.unwrap().unwrap().len();
            until_idle_but_for(0).await;
            let hold = Hold::all(&pool()).await;
            assert!(file.metadata().await.unwrap_err().is_full());
            assert!(file.read_at(0, 1).await.unwrap_err().is_full());
            let reading = lakh_core::spawn(async move {
                while let Some(chunk) = reader.chunk().await {
                    length += chunk.unwrap().len();
                }
                length
            });
            lakh_core::yield_now().await;
            hold.end().await;
            assert_eq!(reading.await.unwrap(), 1_000_000);
            assert_eq!(file.read_at(0, 1).await.unwrap(), "x");
        }
    });
}

#[test]
fn a_reader_tells_what_it_has_read_and_then_why_it_cannot_go_on() {
    in_a_folder(async |root| {
        // Opens, and cannot be read.
        let folder = File::options().read(true).open(&root).await;
        let Ok(folder) = folder else { return Ok(()) };
        let mut reader = folder.reader(..);
        let error = reader.chunk().await.unwrap().unwrap_err();
        assert_eq!(error.path(), Some(&*root));
        assert!(reader.chunk().await.is_none());
        Ok(())
    });
}

#[test]
fn readers_and_writers_are_those_of_futures_io() {
    in_a_folder(async |root| {
        let (from, to) = (root.join("from"), root.join("to"));
        let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&from, &content).unwrap();
        std::fs::write(&to, "0123").unwrap();
        let mut reader = File::open(&from).await?.reader(..);
        let mut writer = File::options().write(true).open(&to).await?.writer(4);
        let mut buf = [0; 1000];
        loop {
            let read = poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut buf)).await.unwrap();
            if read == 0 {
                break;
            }
            let mut rest = &buf[..read];
            while !rest.is_empty() {
                let taken = poll_fn(|cx| AsyncWrite::poll_write(Pin::new(&mut writer), cx, rest)).await;
                rest = &rest[taken.unwrap()..];
            }
        }
        writer.flush().await?;
        assert_eq!(std::fs::read(&to).unwrap().len(), 700_004);
        poll_fn(|cx| Pin::new(&mut writer).poll_close(cx)).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == [&b"0123"[..], &content].concat());
        Ok(())
    });
}

#[test]
fn many_files_are_read_by_few_jobs_and_come_in_their_order() {
    in_a_folder(async |root| {
        let paths: Vec<_> = (0..1000).map(|n| root.join(n.to_string())).collect();
        for (n, path) in paths.iter().enumerate().filter(|(n, _)| n % 10 != 3) {
            std::fs::write(path, n.to_string()).unwrap();
        }
        std::fs::write(&paths[13], "longer than the limit").unwrap();
        assert!(fs::exists(&root).await?);
        until_idle_but_for(0).await;
        let before = lane().accepted;
        let results = fs::read_many(&paths, 3).await?;
        // One of them may have read the mounts.
        assert!(lane().accepted - before <= 1000 / 64 + 2, "{}", lane().accepted - before);
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(bytes) => assert_eq!(bytes, n.to_string()),
                Err(error) if n == 13 => assert!(error.is_too_large(), "{error}"),
                Err(error) => assert!(n % 10 == 3 && error.is_not_found(), "{error}"),
            }
        }

        // Each on its mount.
        let mixed = [paths[7].clone(), "/proc/self/comm".into(), "".into(), paths[0].clone()];
        let results = fs::read_many(&mixed, 100).await?;
        assert_eq!((results[0].as_ref().unwrap(), results[3].as_ref().unwrap()), (&"7".into(), &"0".into()));
        assert_eq!(results[1].is_ok(), Path::new("/proc/self/comm").exists());
        assert!(results[2].is_err());
        assert_eq!(fs::read_many::<&str>([], 1).await?.len(), 0);
        Ok(())
    });
}

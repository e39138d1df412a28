//! Sending files without copying them.
#![cfg(target_os = "linux")]

mod common;

use common::*;
use lakh_core::{spawn, yield_now};
use lakh_net::{TcpStream, sys::send_file};
use std::{
    fs::File,
    future::poll_fn,
    io::{self, Write},
};

fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Sends `file` from `offset` up to its end, `step` bytes at most in a call.
async fn send_rest(stream: &TcpStream, file: &File, mut offset: u64, step: usize) -> io::Result<u64> {
    loop {
        match poll_fn(|cx| send_file(stream, file, offset, step, cx)).await? {
            0 => return Ok(offset),
            n => offset += n as u64,
        }
    }
}

#[test]
fn a_file_larger_than_the_sockets_buffer_arrives_whole() {
    on_shard(async {
        let (a, b) = pair().await;
        let bytes = pattern(12 << 20, 1);
        let sum = Checksum::of(&bytes);
        let file = file_with(&bytes);
        let sender = spawn(async move { send_rest(&a, &file, 0, usize::MAX).await });
        yield_now().await;
        assert_eq!(Checksum::of(&read_to_end(&b).await.unwrap()), sum);
        assert_eq!(sender.await.unwrap().unwrap(), 12 << 20);
    });
}

#[test]
fn a_range_of_a_file_is_sent_and_its_own_offset_stays() {
    on_shard(async {
        let (a, b) = pair().await;
        let bytes = pattern(100_000, 2);
        let mut file = file_with(&bytes);
        let sent = poll_fn(|cx| send_file(&a, &file, 777, 1000, cx)).await.unwrap();
        let mut range = vec![0; sent];
        read_exact(&b, &mut range).await.unwrap();
        assert_eq!((sent, &range[..]), (1000, &bytes[777..1777]));
        assert_eq!(io::Seek::stream_position(&mut file).unwrap(), bytes.len() as u64);
    });
}

#[test]
fn the_end_of_a_file_that_has_shrunk_gives_zero() {
    on_shard(async {
        let (a, b) = pair().await;
        let file = file_with(&pattern(10_000, 3));
        let sent = poll_fn(|cx| send_file(&a, &file, 0, 4000, cx)).await.unwrap();
        file.set_len(2000).unwrap();
        assert_eq!(poll_fn(|cx| send_file(&a, &file, sent as u64, 6000, cx)).await.unwrap(), 0);
        drop(a);
        assert_eq!(read_to_end(&b).await.unwrap().len(), sent);
    });
}

#[test]
fn what_is_written_before_and_after_a_file_keeps_its_place() {
    on_shard(async {
        let (a, b) = pair().await;
        let bytes = pattern(3 << 20, 4);
        let expected = [b"head", &bytes[..], b"tail"].concat();
        let file = file_with(&bytes);
        let sender = spawn(async move {
            a.write_all(b"head").await.unwrap();
            send_rest(&a, &file, 0, 256 * 1024).await.unwrap();
            a.write_all(b"tail").await.unwrap();
        });
        assert!(read_to_end(&b).await.unwrap() == expected);
        sender.await.unwrap();
    });
}

#[test]
fn a_peer_that_has_left_is_an_error() {
    on_shard(async {
        let (a, b) = pair().await;
        drop(b);
        let file = file_with(&pattern(1 << 20, 5));
        loop {
            if send_rest(&a, &file, 0, 64 * 1024).await.is_err() {
                break;
            }
            yield_now().await;
        }
    });
}

//! What goes over the pool: bytes in memory, and streams.

use bytes::Bytes;
use futures_core::Stream;
use lakh_compress::{Coding, Decode, Encode, Level, StreamError, compress, decompress};
use lakh_core::pool::{Lane, Pool};
use std::{
    cell::RefCell,
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// Chunks as the test gives them; `None` is a pause.
#[derive(Clone, Default)]
struct Chunks(Rc<RefCell<VecDeque<Option<Bytes>>>>);

impl Chunks {
    fn of(chunks: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Chunks(Rc::new(RefCell::new(chunks.into_iter().map(|chunk| Some(chunk.into())).collect())))
    }

    fn pause(self) -> Self {
        self.0.borrow_mut().push_back(None);
        self
    }

    fn add(&self, chunk: &'static str) {
        self.0.borrow_mut().insert(0, Some(Bytes::from_static(chunk.as_bytes())));
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut chunks = self.0.borrow_mut();
        match chunks.front() {
            Some(None) => Poll::Pending,
            _ => Poll::Ready(chunks.pop_front().flatten().map(Ok)),
        }
    }
}

/// Ends a test that hangs; no test waits for it.
const SAFETY_NET: Duration = Duration::from_secs(20);

type Next = Option<Result<Bytes, StreamError<Infallible>>>;

async fn next(stream: &mut (impl Stream<Item = Result<Bytes, StreamError<Infallible>>> + Unpin)) -> Next {
    let next = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
    lakh_core::timeout(SAFETY_NET, next).await.expect("something comes")
}

/// All chunks, and their greatest length.
async fn all(
    mut stream: impl Stream<Item = Result<Bytes, StreamError<Infallible>>> + Unpin,
) -> Result<(Vec<u8>, usize), lakh_compress::Error> {
    let (mut all, mut longest) = (Vec::new(), 0);
    while let Some(chunk) = next(&mut stream).await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(StreamError::Coding(error)) => {
                assert!(next(&mut stream).await.is_none(), "an error is the end");
                return Err(error);
            }
            Err(_) => unreachable!(),
        };
        assert!(!chunk.is_empty());
        longest = longest.max(chunk.len());
        all.extend_from_slice(&chunk);
    }
    assert!(next(&mut stream).await.is_none());
    Ok((all, longest))
}

fn text(bytes: usize) -> Vec<u8> {
    (0..)
        .flat_map(|at: u32| format!("{} ", at.wrapping_mul(2_654_435_761)).into_bytes())
        .take(bytes)
        .collect()
}

fn on_a_shard(test: impl Future<Output = ()> + 'static) {
    lakh_core::block_on(test).unwrap();
}

#[test]
fn bytes_in_memory_come_back_short_or_long() {
    on_a_shard(async {
        for coding in Coding::ALL {
            for length in [0, 1, 4096, 4097, 65_536, 1_000_000] {
                let text = text(length);
                let packed = compress(coding, Level::Balanced, text.clone()).await.unwrap();
                assert_eq!(
                    decompress(coding, packed.clone(), length as u64).await.unwrap(),
                    text,
                    "{coding}"
                );
                if length > 0 {
                    let error = decompress(coding, packed.clone(), length as u64 - 1).await.unwrap_err();
                    assert!(error.is_too_long(), "{coding}: {error}");
                    let cut = packed.slice(..packed.len() - 1);
                    assert!(decompress(coding, cut, 1 << 30).await.unwrap_err().is_truncated(), "{coding}");
                }
            }
        }
    });
}

#[test]
fn short_bytes_bother_nobody_and_long_ones_are_a_job() {
    on_a_shard(async {
        let jobs = || {
            let metrics = lakh_core::with(|shard| shard.pool().metrics());
            metrics.lane(Lane::CPU).map(|lane| lane.accepted)
        };
        for coding in Coding::ALL {
            let packed = compress(coding, Level::Balanced, text(4000)).await.unwrap();
            decompress(coding, packed, 4096).await.unwrap();
        }
        assert_eq!(jobs(), Some(0), "nothing has been handed over");
        compress(Coding::Gzip, Level::Balanced, text(4097)).await.unwrap();
        assert_eq!(jobs(), Some(1));
    });
}

#[test]
fn streams_come_back_however_they_are_cut() {
    on_a_shard(async {
        for coding in Coding::ALL {
            for (length, piece) in [(0, 1), (1, 1), (10_000, 7), (300_000, 5000), (1_000_000, 300_000)] {
                let text = text(length);
                let chunks = Chunks::of(text.chunks(piece).map(<[u8]>::to_vec));
                let (packed, _) = all(Encode::new(chunks, coding, Level::Balanced)).await.unwrap();
                let chunks = Chunks::of(packed.chunks(piece).map(<[u8]>::to_vec));
                let unpacked = all(Decode::new(chunks, coding, length as u64).unwrap()).await.unwrap();
                assert!(unpacked.0 == text, "{coding}: {length} in chunks of {piece}");
            }
        }
    });
}

#[test]
fn what_has_come_can_be_read_before_the_next_comes() {
    on_a_shard(async {
        for coding in Coding::ALL {
            let source = Chunks::default().pause();
            let mut packed = Encode::new(source.clone(), coding, Level::Balanced);
            let received = Chunks::default().pause();
            let mut unpacked = Decode::new(received.clone(), coding, 1000).unwrap();
            for event in ["data: one\n\n", "data: two\n\n"] {
                source.add(event);
                let chunk = next(&mut packed).await.unwrap().unwrap();
                received.0.borrow_mut().insert(0, Some(chunk));
                assert_eq!(next(&mut unpacked).await.unwrap().unwrap(), event, "{coding}");
            }
            let nothing = poll_fn(|cx| Poll::Ready(Pin::new(&mut packed).poll_next(cx).is_pending())).await;
            assert!(nothing, "{coding}: there is nothing to be flushed");
        }
    });
}

#[test]
fn of_a_bomb_there_is_little_in_memory_and_the_limit_ends_it() {
    on_a_shard(async {
        for coding in Coding::ALL {
            let bomb = compress(coding, Level::Balanced, vec![0; 16 << 20]).await.unwrap();
            let whole = decompress(coding, bomb.clone(), 1 << 20).await.unwrap_err();
            let stream = Decode::new(Chunks::of([bomb.to_vec()]), coding, 1 << 20).unwrap();
            assert!(whole.is_too_long() && all(stream).await.unwrap_err().is_too_long(), "{coding}");
            let (bytes, longest) =
                all(Decode::new(Chunks::of([bomb.to_vec()]), coding, 16 << 20).unwrap()).await.unwrap();
            assert_eq!((bytes.len(), longest), (16 << 20, 64 << 10), "{coding}");
        }
    });
}

#[test]
fn streams_that_are_cut_or_damaged_end_with_an_error() {
    on_a_shard(async {
        for coding in Coding::ALL {
            let packed = compress(coding, Level::Balanced, text(100_000)).await.unwrap();
            let cut = Chunks::of([
                packed[..packed.len() / 2].to_vec(),
                packed[packed.len() / 2..packed.len() - 1].to_vec(),
            ]);
            let error = all(Decode::new(cut, coding, 1 << 20).unwrap()).await.unwrap_err();
            assert!(error.is_truncated(), "{coding}: {error}");
            let more = Chunks::of([packed.to_vec(), b"garbage".to_vec()]);
            let error = all(Decode::new(more, coding, 1 << 20).unwrap()).await.unwrap_err();
            assert!(error.is_malformed(), "{coding}: {error}");
        }
    });
}

#[test]
fn when_the_lane_is_full_streams_go_on_and_the_rest_is_told() {
    on_a_shard(async {
        let pool: Pool = lakh_core::with(|shard| shard.pool().clone());
        // Workers that wait until the end of the test, and a queue that is full behind them.
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        let fill = || {
            let mut jobs = Vec::new();
            while let Ok(job) = pool.run(Lane::CPU, {
                let held = held.clone();
                move || drop(held.lock().map(|held| held.recv()))
            }) {
                jobs.push(job);
            }
            jobs
        };
        let mut jobs = fill();
        // Once all workers have one, the queue stays as it is.
        while pool.metrics().workers[1].running < pool.metrics().workers[1].size {
            std::thread::yield_now();
        }
        jobs.extend(fill());
        let text = text(300_000);
        let refused = compress(Coding::Gzip, Level::Balanced, text.clone()).await.unwrap_err();
        assert!(refused.is_full() && !refused.is_malformed());
        let stream = Encode::new(Chunks::of([text.clone()]), Coding::Gzip, Level::Balanced);
        let (packed, _) = all(stream).await.unwrap();
        let stream = Decode::new(Chunks::of([packed]), Coding::Gzip, 300_000).unwrap();
        assert!(all(stream).await.unwrap().0 == text);
        drop(hold);
        drop(jobs);
    });
}

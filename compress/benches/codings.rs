//! What the pool adds to the crates that compress.

use std::{
    hint::black_box,
    io::{Read, Write},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakh_compress::{Coding, Level, compress, decompress};
use lakh_core::block_on;

const LENGTH: usize = 4 << 20;

/// Text that compresses as pages do, to a sixth or so.
fn page() -> Bytes {
    let mut state = 1_u64;
    let mut number = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % 1000
    };
    let mut page = String::with_capacity(LENGTH + 100);
    while page.len() < LENGTH {
        page += &format!("<li class=\"item\"><a href=\"/items/{}\">Item {}</a></li>\n", number(), number());
    }
    page.truncate(LENGTH);
    page.into()
}

fn time<F: Future + 'static>(rounds: u64, round: impl Fn() -> F + 'static) -> Duration {
    let rounds = async move {
        let begun = Instant::now();
        for _ in 0..rounds {
            black_box(round().await);
        }
        begun.elapsed()
    };
    block_on(rounds).expect("a shard")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut output).expect("gzip");
    output
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.set_parameter(zstd::stream::raw::CParameter::WindowLog(18)).expect("a window");
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn unzstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(bytes).expect("zstd")
}

type Bare = fn(&[u8]) -> Vec<u8>;

fn codings(c: &mut Criterion) {
    let page = page();
    let bare: [(Coding, Bare, Bare); 2] = [(Coding::Gzip, gzip, gunzip), (Coding::Zstd, zstd, unzstd)];
    for (coding, pack, unpack) in bare {
        let mut group = c.benchmark_group(format!("{coding}, 4 MiB"));
        group.throughput(Throughput::Bytes(LENGTH as u64));
        group.sample_size(10);
        let packed = Bytes::from(pack(&page));
        group.bench_function("compress, bare", |b| b.iter(|| pack(black_box(&page))));
        group.bench_function("compress, by the pool", |b| {
            let page = page.clone();
            b.iter_custom(|rounds| {
                let page = page.clone();
                time(rounds, move || compress(coding, Level::Balanced, page.clone()))
            })
        });
        group.bench_function("decompress, bare", |b| b.iter(|| unpack(black_box(&packed))));
        group.bench_function("decompress, by the pool", |b| {
            b.iter_custom(|rounds| {
                let packed = packed.clone();
                time(rounds, move || decompress(coding, packed.clone(), LENGTH as u64))
            })
        });
        group.finish();
    }
}

criterion_group!(benches, codings);
criterion_main!(benches);

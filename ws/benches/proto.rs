//! What the protocol costs per message, without a socket.
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lakh_ws::proto::deflate::{Compressor, DeflateContext, Inflater, SharedDeflate};
use lakh_ws::proto::{Decoder, Event, FrameHead, Opcode, Rules, encode, mask};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let rules = Rules::server();
    for (name, len) in [("text of 64 B", 64), ("text of 4 KiB", 4096)] {
        let mut frame = Vec::new();
        encode::write_masked(&mut frame, Opcode::Text, &vec![b'x'; len], KEY);
        group.throughput(Throughput::Bytes(len as u64));
        let mut decoder = Decoder::default();
        // The frame has to be masked again for each round, which costs as much as unmasking it.
        let head = frame.len() - len;
        group.bench_function(format!("{name}, and masking it again"), |b| {
            b.iter(|| {
                let decoded = decoder.decode(black_box(&mut frame), &rules).unwrap();
                assert!(matches!(decoded.event, Some(Event::Text(_))));
                mask::apply(&mut frame[head..], KEY);
            });
        });
        group.bench_function(format!("{name}, in two pieces"), |b| {
            b.iter_batched_ref(
                || frame.clone(),
                |frame| {
                    let (first, second) = frame.split_at_mut(len / 2);
                    assert!(decoder.decode(first, &rules).unwrap().event.is_none());
                    decoder.decode(second, &rules).unwrap().event.is_some()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let mut out = Vec::with_capacity(8192);
    for (name, len) in [("text of 64 B", 64), ("text of 4 KiB", 4096)] {
        let payload = vec![b'x'; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                encode::write(&mut out, Opcode::Text, black_box(&payload));
                out.len()
            });
        });
        group.bench_function(format!("{name}, masked"), |b| {
            b.iter(|| {
                out.clear();
                encode::write_masked(&mut out, Opcode::Text, black_box(&payload), KEY);
                out.len()
            });
        });
        group.bench_function(format!("{name}, head alone"), |b| {
            b.iter(|| FrameHead::new(Opcode::Text, black_box(len)).encode().len());
        });
    }
    group.finish();
}

fn unmask(c: &mut Criterion) {
    let mut group = c.benchmark_group("unmask");
    for len in [64, 100, 4096, 65536] {
        let mut payload = vec![b'x'; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len} B"), |b| b.iter(|| mask::apply(black_box(&mut payload), KEY)));
    }
    group.finish();
}

fn deflate(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate");
    let mut out = Vec::with_capacity(8192);
    for (name, len) in [("64 B", 64), ("4 KiB", 4096)] {
        let text: Vec<u8> =
            (0..).flat_map(|n: u32| format!("{{\"id\":{n}}},").into_bytes()).take(len).collect();
        group.throughput(Throughput::Bytes(len as u64));
        for level in [1, 6] {
            let mut shared = SharedDeflate::new(level);
            group.bench_function(format!("compress {name}, level {level}, shared"), |b| {
                b.iter(|| {
                    out.clear();
                    shared.compressor(15).compress(black_box(&text), &mut out)
                });
            });
            let mut own = Compressor::new(level, DeflateContext { takeover: true, window_bits: 15 });
            group.bench_function(format!("compress {name}, level {level}, dedicated"), |b| {
                b.iter(|| {
                    out.clear();
                    own.compress(black_box(&text), &mut out)
                });
            });
        }
        let mut compressed = Vec::new();
        SharedDeflate::new(6).compressor(15).compress(&text, &mut compressed).unwrap();
        let mut inflater = Inflater::new(DeflateContext::SHARED);
        group.bench_function(format!("inflate {name}, shared"), |b| {
            b.iter(|| {
                out.clear();
                inflater.inflate(black_box(&compressed), 1 << 20, &mut out)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode, write, unmask, deflate);
criterion_main!(benches);

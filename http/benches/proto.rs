//! What the protocol costs per request, without a socket.
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lakh_http::proto::{
    ChunkLimits, ChunkedDecoder, DateCache, HeadLimits, HeadScan, Parsed, ParsedHead, encode,
};

/// As wrk sends it.
const SMALL: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// A browser's: 12 fields, 414 bytes.
const BROWSER: &[u8] = b"GET /assets/app.js?v=3f2a HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Connection: keep-alive\r\n\
    Referer: https://www.example.com/\r\n\
    Cookie: sid=8f14e45fceea; theme=darkblue\r\n\
    Sec-Fetch-Dest: script\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    DNT: 1\r\n\r\n";

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let limits = HeadLimits::default();
    for (name, bytes) in [("small", SMALL), ("browser", BROWSER)] {
        let mut head = ParsedHead::default();
        assert_eq!(head.parse(bytes, &limits), Ok(Parsed::Complete));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| b.iter(|| head.parse(black_box(bytes), &limits).is_ok()));
        group.bench_function(format!("{name}, httparse alone"), |b| {
            b.iter(|| httparse_alone(black_box(bytes)))
        });
    }
    group.bench_function("browser, byte by byte", |b| b.iter(|| byte_by_byte(black_box(BROWSER), &limits)));
    group.finish();
}

fn httparse_alone(bytes: &[u8]) -> usize {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; 100];
    let mut request = httparse::Request::new(&mut []);
    request.parse_with_uninit_headers(bytes, &mut fields).unwrap().unwrap() + request.headers.len()
}

fn byte_by_byte(bytes: &[u8], limits: &HeadLimits) -> bool {
    let mut scan = HeadScan::default();
    (1..=bytes.len()).any(|end| scan.over_limit(limits).is_none() && scan.scan(&bytes[..end]))
}

fn chunked(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunked");
    for size in [16, 1024, 16 * 1024] {
        let mut body = Vec::new();
        for _ in 0..4 {
            encode::write_chunk(&mut body, &vec![b'x'; size]);
        }
        encode::write_last_chunk(&mut body);
        group.throughput(Throughput::Elements(4));
        group.bench_function(format!("4 chunks of {size}"), |b| b.iter(|| decode(black_box(&body))));
    }
    group.finish();
}

fn decode(mut input: &[u8]) -> usize {
    let (mut decoder, limits) = (ChunkedDecoder::default(), ChunkLimits::default());
    let mut total = 0;
    loop {
        let chunk = decoder.decode(input, &limits).unwrap();
        total += chunk.data.len();
        input = &input[chunk.consumed..];
        if chunk.done {
            return total;
        }
    }
}

fn encode_head(c: &mut Criterion) {
    let mut date = DateCache::default();
    date.update(1_704_067_200);
    let mut out = Vec::with_capacity(1024);
    let server = (header::SERVER, HeaderValue::from_static("lakh"));
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let fields: [(HeaderName, HeaderValue); 2] = [server, content_type];
    let mut group = c.benchmark_group("encode");
    group.bench_function("plaintext head", |b| {
        b.iter(|| {
            out.clear();
            encode::write_status(&mut out, black_box(StatusCode::OK));
            for (name, value) in &fields {
                encode::write_header(&mut out, name, value);
            }
            encode::write_content_length(&mut out, black_box(13));
            encode::write_date(&mut out, &date);
            encode::write_head_end(&mut out);
            encode::body_allowed(StatusCode::OK, black_box(&Method::GET)) && !out.is_empty()
        });
    });
    group.bench_function("date, next second", |b| {
        let mut now = 1_704_067_200;
        b.iter(|| {
            now += 1;
            date.update(black_box(now));
        });
    });
    group.finish();
}

criterion_group!(benches, parse, chunked, encode_head);
criterion_main!(benches);

//! Answers in wire bytes.
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderValue, Method, StatusCode, header};
use lakh_http::proto::{ChunkLimits, ChunkedDecoder, DateCache, encode};
use proptest::prelude::*;

fn rendered(date: &mut DateCache, secs: u64) -> String {
    date.update(secs);
    String::from_utf8(date.as_bytes().to_vec()).unwrap()
}

fn reference(secs: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs))
}

#[test]
fn dates_are_those_of_httpdate_on_every_day_for_a_thousand_years() {
    let mut date = DateCache::default();
    assert_eq!(date.as_bytes(), reference(0).as_bytes());
    for day in 0..366_000 {
        let secs = day * 86_400 + (day * 7919) % 86_400;
        assert_eq!(rendered(&mut date, secs), reference(secs));
    }
}

#[test]
fn every_second_around_a_leap_day_and_a_new_year_is_right() {
    let mut date = DateCache::default();
    for around in [951_782_400, 1_709_164_800, 1_704_067_200, 4_107_542_400] {
        for secs in around - 90_000..around + 90_000 {
            date.update(secs);
            if secs % 601 == 0 || secs % 86_400 < 2 || secs % 86_400 > 86_397 {
                assert_eq!(rendered(&mut date, secs), reference(secs));
            }
        }
    }
}

#[test]
fn time_ends_with_the_year_9999() {
    let mut date = DateCache::default();
    for secs in [253_402_300_799, 253_402_300_800, u64::MAX] {
        assert_eq!(rendered(&mut date, secs), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
    assert_eq!(rendered(&mut date, 1), "Thu, 01 Jan 1970 00:00:01 GMT");
}

proptest! {
    #[test]
    fn dates_are_those_of_httpdate(secs in 0u64..253_402_300_800) {
        prop_assert_eq!(rendered(&mut DateCache::default(), secs), reference(secs));
    }
}

#[test]
fn every_code_has_a_status_line() {
    for code in 100..=999 {
        let status = StatusCode::from_u16(code).unwrap();
        let line = String::from_utf8(encode::status_line(status).to_vec()).unwrap();
        assert!(line.starts_with(&format!("HTTP/1.1 {code} ")) && line.ends_with("\r\n"), "{line:?}");
        let mut parsed = [httparse::EMPTY_HEADER; 0];
        let mut response = httparse::Response::new(&mut parsed);
        let head = format!("{line}\r\n");
        assert!(response.parse(head.as_bytes()).unwrap().is_complete());
        assert_eq!(response.code, Some(code));
        assert_eq!(response.reason.unwrap().is_empty(), status.canonical_reason().is_none(), "{line:?}");
    }
    assert_eq!(encode::status_line(StatusCode::OK), b"HTTP/1.1 200 OK\r\n");
    assert_eq!(encode::status_line(StatusCode::CONTINUE), b"HTTP/1.1 100 Continue\r\n");
    assert_eq!(encode::status_line(StatusCode::from_u16(799).unwrap()), b"HTTP/1.1 799 \r\n");
}

#[test]
fn a_head_is_written_line_by_line() {
    let (mut out, mut date) = (b"before|".to_vec(), DateCache::default());
    date.update(1_704_067_200);
    encode::write_status(&mut out, StatusCode::NOT_FOUND);
    encode::write_header(&mut out, &header::CONTENT_TYPE, &HeaderValue::from_static("text/plain"));
    encode::write_content_length(&mut out, u64::MAX);
    encode::write_date(&mut out, &date);
    encode::write_head_end(&mut out);
    let expected = "before|HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\n\
        content-length: 18446744073709551615\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn chunks_are_written_as_the_decoder_reads_them() {
    let mut out = Vec::new();
    for len in [1, 15, 16, 255, 256, 70_000] {
        encode::write_chunk_start(&mut out, len);
        assert!(
            out.ends_with(format!("\r\n{len:x}\r\n").as_bytes()) || out == format!("{len:x}\r\n").as_bytes()
        );
        out.extend(std::iter::repeat_n(b'x', len));
        encode::write_chunk_end(&mut out);
    }
    encode::write_chunk(&mut out, b"");
    encode::write_chunk(&mut out, b"yz");
    encode::write_last_chunk(&mut out);
    let (mut decoder, mut input, mut total) = (ChunkedDecoder::default(), &out[..], 0);
    while !decoder.is_done() {
        let chunk = decoder.decode(input, &ChunkLimits::default()).unwrap();
        total += chunk.data.len();
        input = &input[chunk.consumed..];
    }
    assert_eq!((total, input.len()), (70_545, 0));
    let mut longest = Vec::new();
    encode::write_chunk_start(&mut longest, usize::MAX);
    assert_eq!(longest, b"ffffffffffffffff\r\n");
}

#[test]
fn some_answers_have_no_body() {
    for (code, method, body, length) in [
        (200, Method::GET, true, true),
        (200, Method::HEAD, false, true),
        (200, Method::CONNECT, false, false),
        (404, Method::CONNECT, true, true),
        (404, Method::HEAD, false, true),
        (100, Method::POST, false, false),
        (101, Method::GET, false, false),
        (204, Method::GET, false, false),
        (205, Method::GET, false, true),
        (206, Method::GET, true, true),
        (304, Method::GET, false, true),
        (500, Method::POST, true, true),
    ] {
        let status = StatusCode::from_u16(code).unwrap();
        assert_eq!(encode::body_allowed(status, &method), body, "{code} {method}");
        assert_eq!(encode::content_length_allowed(status, &method), length, "{code} {method}");
    }
}

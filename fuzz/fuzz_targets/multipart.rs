#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lakh_http::proto::fuzz::fuzz_multipart(data));

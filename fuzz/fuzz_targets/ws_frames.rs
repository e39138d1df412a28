#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lakh_ws::proto::fuzz::fuzz_frames(data));

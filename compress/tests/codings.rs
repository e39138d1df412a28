//! What encoders and decoders promise, on the thread that calls.

use lakh_compress::{Coding, Decoder, Encoder, Error, Level};
use proptest::prelude::*;

fn encode(coding: Coding, level: Level, pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding, level).unwrap();
    let mut output = Vec::new();
    pieces.iter().for_each(|piece| encoder.encode(piece, &mut output).unwrap());
    encoder.finish(&mut output).unwrap();
    output
}

/// In pieces of `piece` bytes, with room for `room` at a time.
fn decode(coding: Coding, packed: &[u8], limit: u64, piece: usize, room: usize) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::new(coding, limit).unwrap();
    let mut output = Vec::new();
    for mut left in packed.chunks(piece) {
        loop {
            let before = output.len();
            decoder.decode(&mut left, &mut output, room)?;
            assert!(output.len() - before <= room, "there is no more room");
            if output.len() - before < room {
                assert!(left.is_empty(), "what has room takes everything");
                break;
            }
        }
    }
    decoder.finish().map(|()| output)
}

/// A thousand words that repeat, and nothing else does.
fn text(words: usize) -> Vec<u8> {
    let word = |at: usize| format!("{} ", at.wrapping_mul(2_654_435_761) % 1000);
    (0..words).flat_map(|at| word(at).into_bytes()).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn every_level_gives_back_what_it_was_given() {
    let text = text(100_000);
    for coding in Coding::ALL {
        let sizes = [Level::Fast, Level::Balanced, Level::Best].map(|level| {
            let packed = encode(coding, level, &[&text[..1000], &[], &text[1000..]]);
            assert_eq!(decode(coding, &packed, text.len() as u64, 4096, 4096).unwrap(), text, "{coding}");
            packed.len()
        });
        assert!(sizes[0] < text.len() / 2 && sizes[2] <= sizes[0], "{coding}: {sizes:?}");
    }
}

#[test]
fn what_other_programs_have_compressed_is_read() {
    let text = b"Lakh means one hundred thousand.\n";
    // gzip -9 -n, zlib, zstd and brotli.
    for (coding, packed) in [
        (
            Coding::Gzip,
            "1f8b0800000000000203f349ccce50c84d4dcc2b56c8cf4b55c828cd4b294a4d5128c9c82f2d4ecc4bd1e3020090686d7521000000",
        ),
        (
            Coding::Deflate,
            "78daf349ccce50c84d4dcc2b56c8cf4b55c828cd4b294a4d5128c9c82f2d4ecc4bd1e30200cc730bdf",
        ),
        (
            Coding::Zstd,
            "28b52ffd24210901004c616b68206d65616e73206f6e652068756e647265642074686f7573616e642e0a6831cb15",
        ),
        (Coding::Brotli, "1b2000f81da9559f38bc56600a7b93206b6e5586d68628324a29b2977576ca5ae20733ea08"),
    ] {
        let packed = bytes_of(packed);
        assert_eq!(decode(coding, &packed, 100, 1, 1).unwrap(), text, "{coding}");
    }
}

#[test]
fn nothing_is_something_too() {
    for coding in Coding::ALL {
        let packed = encode(coding, Level::Balanced, &[]);
        assert!(!packed.is_empty());
        assert_eq!(decode(coding, &packed, 0, 1, 1).unwrap(), b"", "{coding}");
        assert!(Decoder::new(coding, 10).unwrap().finish().unwrap_err().is_truncated(), "{coding}");
    }
}

#[test]
fn all_that_was_flushed_can_be_read() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, Level::Balanced).unwrap();
        let mut decoder = Decoder::new(coding, 10_000).unwrap();
        for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
            encoder.encode(event.as_bytes(), &mut packed).unwrap();
            encoder.flush(&mut packed).unwrap();
            decoder.decode(&mut &packed[..], &mut unpacked, 1000).unwrap();
            assert_eq!(str::from_utf8(&unpacked), Ok(event), "{coding}");
        }
        let mut packed = Vec::new();
        (0..3).for_each(|_| encoder.flush(&mut packed).unwrap());
        assert!(packed.len() < 50, "{coding}: there is nothing to be flushed");
        encoder.finish(&mut packed).unwrap();
        decoder.decode(&mut &packed[..], &mut Vec::new(), 1000).unwrap();
        decoder.finish().unwrap();
        assert!(
            encoder.encode(b"more", &mut packed).is_err() || coding == Coding::Zstd,
            "{coding}: it is at its end"
        );
    }
}

#[test]
fn the_limit_is_exact() {
    for coding in Coding::ALL {
        let packed = encode(coding, Level::Balanced, &[&[b'a'; 10_000]]);
        for room in [1, 100, 10_000, 20_000] {
            assert_eq!(decode(coding, &packed, 10_000, 4096, room).unwrap().len(), 10_000);
            let error = decode(coding, &packed, 9_999, 4096, room).unwrap_err();
            assert!(error.is_too_long() && error.to_string().contains("9999"), "{coding}: {error}");
        }
        assert!(decode(coding, &packed, u64::MAX, 4096, 20_000).is_ok());
    }
}

#[test]
fn of_a_bomb_no_more_comes_out_than_there_is_room_for() {
    for coding in Coding::ALL {
        let zeros = vec![0; 1 << 20];
        let packed = encode(coding, Level::Balanced, &[&zeros[..]; 64]);
        assert!(packed.len() < 1 << 17, "{coding}: {} bytes", packed.len());
        let mut decoder = Decoder::new(coding, 10 << 20).unwrap();
        let (mut left, mut output) = (&packed[..], Vec::new());
        decoder.decode(&mut left, &mut output, 1000).unwrap();
        assert!(output.len() == 1000 && output.capacity() < 1 << 17, "{coding}");
        let error = decoder.decode(&mut left, &mut output, usize::MAX).unwrap_err();
        assert!(error.is_too_long() && output.len() == 10 << 20, "{coding}: {}", output.len());
    }
}

#[test]
fn every_cut_is_noticed() {
    for coding in Coding::ALL {
        let packed = encode(coding, Level::Balanced, &[&text(200)]);
        for end in 0..packed.len() {
            let error = decode(coding, &packed[..end], 10_000, 4096, 4096).unwrap_err();
            assert!(error.is_truncated(), "{coding}, {end} of {}: {error}", packed.len());
        }
    }
}

#[test]
fn members_and_frames_follow_each_other_and_nothing_else_does() {
    for coding in Coding::ALL {
        let (one, two) = (encode(coding, Level::Fast, &[b"one, "]), encode(coding, Level::Fast, &[b"two"]));
        let both = decode(coding, &[&one[..], &two].concat(), 100, 7, 100);
        match coding {
            Coding::Gzip | Coding::Zstd => assert_eq!(both.unwrap(), b"one, two"),
            _ => assert!(both.unwrap_err().is_malformed(), "{coding}"),
        }
        let error = decode(coding, &[&one[..], b"garbage"].concat(), 100, 4096, 100).unwrap_err();
        assert!(error.is_malformed(), "{coding}: {error}");
        let cut = [&one[..], &two[..two.len() - 1]].concat();
        assert!(decode(coding, &cut, 100, 4096, 100).is_err(), "{coding}");
    }
}

#[test]
fn a_window_that_is_too_large_is_refused() {
    // A frame of zstd that asks for 16 MiB (RFC 8878, 3.1.1.1.2), and brotli with a large window (bits of 0x11).
    let zstd = bytes_of("28b52ffd0070010000");
    assert!(decode(Coding::Zstd, &zstd, 100, 100, 100).unwrap_err().is_malformed());
    assert!(decode(Coding::Brotli, &bytes_of("111e"), 100, 100, 100).unwrap_err().is_malformed());
}

fn codings() -> impl Strategy<Value = Coding> {
    prop::sample::select(&Coding::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_goes_in_comes_out(
        coding in codings(),
        pieces in prop::collection::vec((prop::collection::vec(0..4u8, 0..3000), any::<bool>()), 0..6),
        piece in 1..2000usize,
        room in 1..2000usize,
    ) {
        let mut encoder = Encoder::new(coding, Level::Fast).unwrap();
        let (mut packed, mut all) = (Vec::new(), Vec::new());
        for (bytes, flush) in &pieces {
            encoder.encode(bytes, &mut packed).unwrap();
            all.extend_from_slice(bytes);
            if *flush {
                encoder.flush(&mut packed).unwrap();
            }
        }
        encoder.finish(&mut packed).unwrap();
        prop_assert_eq!(decode(coding, &packed, all.len() as u64, piece, room).unwrap(), all);
    }

    #[test]
    fn any_bytes_end_within_the_limit(
        coding in codings(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut damaged = encode(coding, Level::Fast, &[&bytes, &bytes]);
        for (at, byte) in flips {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        for input in [&bytes, &damaged] {
            if let Ok(output) = decode(coding, input, 1000, 64, 64) {
                prop_assert!(output.len() <= 1000);
            }
        }
    }
}

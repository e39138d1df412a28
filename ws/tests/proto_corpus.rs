//! The fuzz targets' invariants over the seed corpus and over mutations of it.
use std::path::Path;

use lakh_ws::proto::fuzz::{fuzz_deflate, fuzz_frames};
use proptest::prelude::*;
use proptest::sample::Index;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 20, "the seeds are in {}", folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// One change to some bytes; `Append` needs a second sample.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    Cut(Index),
    Append(Index),
    Splice(Index, Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Delete),
        any::<Index>().prop_map(Mutation::Cut),
        any::<Index>().prop_map(Mutation::Append),
        any::<(Index, Index, Index)>().prop_map(|(with, from, to)| Mutation::Splice(with, from, to)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation, corpus: &[Vec<u8>]) {
    if bytes.is_empty() {
        bytes.push(0x81);
    }
    let len = bytes.len();
    match mutation {
        Mutation::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Mutation::Set(at, byte) => bytes[at.index(len)] = *byte,
        Mutation::Insert(at, byte) => bytes.insert(at.index(len + 1), *byte),
        Mutation::Delete(at) => drop(bytes.remove(at.index(len))),
        Mutation::Cut(at) => bytes.truncate(at.index(len)),
        Mutation::Append(which) => bytes.extend_from_slice(&corpus[which.index(corpus.len())]),
        Mutation::Splice(with, from, to) => {
            let other = &corpus[with.index(corpus.len())];
            bytes.truncate(from.index(len));
            bytes.extend_from_slice(&other[to.index(other.len() + 1)..]);
        }
    }
}

fn check_mutations(corpus: &[Vec<u8>], check: fn(&[u8])) {
    let cases = (any::<Index>(), prop::collection::vec(mutation(), 1..5));
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let result = proptest::test_runner::TestRunner::new(config).run(&cases, |(seed, mutations)| {
        let mut bytes = corpus[seed.index(corpus.len())].clone();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation, corpus));
        check(&bytes);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_invariants_hold_for_all_frames_of_the_corpus() {
    corpus("ws_frames").iter().for_each(|bytes| fuzz_frames(bytes));
}

#[test]
fn the_invariants_hold_for_mutated_frames() {
    check_mutations(&corpus("ws_frames"), fuzz_frames);
}

#[test]
fn the_invariants_hold_for_all_compressed_messages_and_offers_of_the_corpus() {
    corpus("ws_deflate").iter().for_each(|bytes| fuzz_deflate(bytes));
}

#[test]
fn the_invariants_hold_for_mutated_compressed_messages_and_offers() {
    check_mutations(&corpus("ws_deflate"), fuzz_deflate);
}

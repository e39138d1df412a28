//! The helper runtime of a program whose shards are tied to cores. A process has one, so this is one test.

#![cfg(target_os = "linux")]

use lakh_core::{block_on, sys::cpu, tokio as bridge};

#[test]
fn the_helper_is_not_tied_to_the_core_of_the_shard_that_comes_first() {
    let all = cpu::allowed_cpus();
    cpu::pin_current_thread(all[0]).unwrap();
    let there = block_on(async { bridge::run(async { cpu::allowed_cpus() }).await.unwrap() });
    assert_eq!(cpu::allowed_cpus(), all[..1]);
    assert_eq!(there.unwrap(), all);
}

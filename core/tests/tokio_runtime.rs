//! A program with a runtime of its own. A process has one helper runtime, so this is one test.

use lakh_core::{block_on, tokio as bridge};
use std::{sync::mpsc, thread};
use tokio::runtime::Builder;

#[test]
fn a_runtime_of_ones_own_is_used_and_its_end_is_an_error() {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_name("mine").enable_all().build().unwrap();
    bridge::use_runtime(runtime.handle().clone()).unwrap();
    let refused = bridge::use_runtime(runtime.handle().clone()).unwrap_err();
    assert!(refused.is_already_started());

    let name = || bridge::run(async { thread::current().name().map(str::to_owned) });
    assert_eq!(block_on(name()).unwrap().unwrap().as_deref(), Some("mine"));

    let lost = block_on(async {
        let (begin, begun) = mpsc::channel();
        let run = bridge::run(async move {
            begin.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        begun.recv().unwrap();
        runtime.shutdown_background();
        run.await.unwrap_err()
    });
    assert!(lost.unwrap().is_shutdown());
    assert!(block_on(name()).unwrap().unwrap_err().is_shutdown(), "nothing runs any more");
}

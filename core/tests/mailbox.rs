//! What other threads send to a shard.

use lakh_core::{MAILBOX_CAPACITY, Runtime, block_on, current, yield_now};
use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

#[test]
fn a_full_mailbox_refuses_and_recovers() {
    block_on(async {
        let handle = current().handle();
        let run = Arc::new(AtomicUsize::new(0));
        let send = || {
            let run = Arc::clone(&run);
            handle.send(move |_| _ = run.fetch_add(1, Ordering::Relaxed))
        };
        for _ in 0..MAILBOX_CAPACITY {
            send().unwrap();
        }
        assert!(send().unwrap_err().is_full());
        assert_eq!(handle.metrics().refused_messages(), 1);
        yield_now().await;
        send().unwrap();
        while run.load(Ordering::Relaxed) < MAILBOX_CAPACITY + 1 {
            yield_now().await;
        }
    })
    .unwrap();
}

#[test]
fn messages_of_a_thread_run_in_order() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(1).start(|_| Ok(())).unwrap();
    let handle = runtime.shards().next().unwrap().clone();
    for i in 0..1000 {
        let tell = tell.clone();
        handle.send(move |_| tell.send(i).unwrap()).unwrap();
    }
    assert!((0..1000).all(|i| told.recv() == Ok(i)));
}

#[test]
fn messages_of_many_threads_all_wake_a_sleeping_shard() {
    const THREADS: usize = 4;
    const ROUND_TRIPS: usize = 500;
    let runtime = Runtime::builder().shards(1).start(|_| Ok(())).unwrap();
    let handle = runtime.shards().next().unwrap().clone();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let handle = handle.clone();
            thread::spawn(move || {
                let (tell, told) = mpsc::channel();
                for i in 0..ROUND_TRIPS {
                    let tell = tell.clone();
                    handle.send(move |_| tell.send(i).unwrap()).unwrap();
                    assert_eq!(told.recv(), Ok(i));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_future_made_on_another_shard_need_not_be_send() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(2).start(|_| Ok(())).unwrap();
    for handle in runtime.shards() {
        let tell = tell.clone();
        let made = handle.spawn_on(move || {
            let local = Rc::new(Cell::new(0));
            async move {
                yield_now().await;
                local.set(current().id());
                tell.send(local.get()).unwrap();
            }
        });
        made.unwrap();
    }
    let mut ids = [told.recv().unwrap(), told.recv().unwrap()];
    ids.sort_unstable();
    assert_eq!(ids, [0, 1]);
}

#[test]
fn a_message_that_panics_is_counted_and_the_next_one_runs() {
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().shards(1).start(|_| Ok(())).unwrap();
    let handle = runtime.shards().next().unwrap();
    handle.send(|_| panic!("on purpose: a message")).unwrap();
    handle.send(move |shard| tell.send(shard.handle().metrics().panics()).unwrap()).unwrap();
    assert_eq!(told.recv(), Ok(1));
}

#[test]
fn a_stopped_shard_refuses_and_keeps_nothing() {
    let runtime = Runtime::builder().shards(1).start(|_| Ok(())).unwrap();
    let handle = runtime.shards().next().unwrap().clone();
    drop(runtime);
    let kept = Arc::new(());
    let message = Arc::clone(&kept);
    assert!(handle.send(move |_| drop(message)).unwrap_err().is_stopped());
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn messages_that_a_stopping_shard_has_not_run_are_dropped_there() {
    let runtime = Runtime::builder().shards(1).start(|_| Ok(())).unwrap();
    let handle = runtime.shards().next().unwrap().clone();
    let kept = Arc::new(());
    // Senders race the stop: whatever was taken is run or dropped.
    let sender = {
        let (handle, kept) = (handle.clone(), Arc::clone(&kept));
        thread::spawn(move || {
            loop {
                let message = Arc::clone(&kept);
                match handle.send(move |_| drop(message)) {
                    Err(error) if error.is_stopped() => break,
                    _ => {}
                }
            }
        })
    };
    handle.stop();
    assert!(runtime.join(Duration::from_secs(60)));
    sender.join().unwrap();
    assert_eq!(Arc::strong_count(&kept), 1);
}

//! A signal, a drain, and the report of what was cut. A binary of its own: the signal is the process's.
#![cfg(unix)]

mod common;

use common::{Client, eventually, get};
use lakh_http::{App, Server};
use std::{future::pending, sync::mpsc, time::Duration};

#[test]
fn what_is_not_finished_after_the_grace_is_cut_and_counted() {
    let app =
        |_: &lakh_core::Shard| App::new().get("/", || "hello").get("/never", async || pending::<()>().await);
    let server = Server::new(app).shards(2).grace(Duration::from_millis(300));
    let running = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let addr = running.addrs()[0];
    let shards: Vec<_> = running.shards().cloned().collect();
    let (ready, is_ready) = mpsc::channel();
    let clients = std::thread::spawn(move || {
        let mut stuck: Vec<Client> = (0..3).map(|_| Client::connect(addr)).collect();
        stuck.iter_mut().for_each(|client| client.send(get("/never")));
        let mut idle = Client::connect(addr);
        assert_eq!(idle.exchange(get("/")).text(), "hello");
        eventually("three requests in flight", || {
            shards.iter().map(|shard| shard.metrics().guards()).sum::<u64>() == 3
        });
        is_ready.recv().unwrap(); // the signal is caught
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        idle.expect_close();
        stuck.iter_mut().for_each(Client::expect_close);
    });
    let report = running.run_until_signal(move || ready.send(()).unwrap(), |_| {}).unwrap();
    clients.join().unwrap();
    assert_eq!(report.cut, 3, "idle connections are not cut but closed");
}

//! A signal, a drain, and the report of what was cut. A binary of its own: the signal is the process's.
#![cfg(unix)]

mod common;

use common::{Client, get};
use lakh_http::{App, Server};
use std::{future::pending, time::Duration};

#[test]
fn what_is_not_finished_after_the_grace_is_cut_and_counted() {
    let app =
        |_: &lakh_core::Shard| App::new().get("/", || "hello").get("/never", async || pending::<()>().await);
    let server = Server::new(app).shards(2).grace(Duration::from_millis(300));
    let running = server.bind(([127, 0, 0, 1], 0).into()).unwrap().start().unwrap();
    let addr = running.addrs()[0];
    let clients = std::thread::spawn(move || {
        let mut stuck: Vec<Client> = (0..3).map(|_| Client::connect(addr)).collect();
        stuck.iter_mut().for_each(|client| client.send(get("/never")));
        let mut idle = Client::connect(addr);
        assert_eq!(idle.exchange(get("/")).text(), "hello");
        std::thread::sleep(Duration::from_millis(200));
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        idle.expect_close();
        stuck.iter_mut().for_each(Client::expect_close);
    });
    let report = running.run_until_signal(|| {}, |_| {}).unwrap();
    clients.join().unwrap();
    assert_eq!(report.cut, 3, "idle connections are not cut but closed");
}

//! What the figures of a run say about a server whose faults are known.

mod common;

use common::{OK, serve};
use lakh_loadtest::{
    Outcome, Plan, Run, Stop,
    plan::{Pace, Stage, Target},
    stats::{Ended, Latency},
};
use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

const STALL: Duration = Duration::from_secs(1);
const RATE: u64 = 500;
const CONNECTIONS: usize = 8;

fn plan(addr: SocketAddr) -> Plan {
    Plan {
        connections: CONNECTIONS,
        duration: Duration::from_secs(60),
        ..Plan::new(Target::parse(&format!("http://{addr}/")).unwrap())
    }
}

fn run(plan: Plan) -> Outcome {
    Run::start(plan).unwrap().finish(&Stop::default(), |_| {})
}

/// Answers at once, but nobody for a second once 250 requests have come.
fn stalling_server() -> SocketAddr {
    let (served, stall) = (AtomicU64::new(0), Mutex::new(()));
    serve(move |mut connection| {
        while !connection.request().is_empty() {
            let number = served.fetch_add(1, Ordering::Relaxed);
            // Whoever holds it keeps all others from answering.
            let held = stall.lock().unwrap();
            if number == 250 {
                let (_nobody, tells) = mpsc::channel::<()>();
                tells.recv_timeout(STALL).unwrap_err();
            }
            drop(held);
            if !connection.send(OK) {
                return;
            }
        }
    })
}

/// How many took at least that long.
fn at_least(times: &Latency, least: Duration) -> u64 {
    times.histogram().count_between(least.as_micros() as u64, u64::MAX)
}

#[test]
fn an_open_loop_shows_a_stall_to_all_who_would_have_waited() {
    let requests = Some(3 * RATE);
    let outcome = run(Plan { requests, pace: Pace::Open { rate: RATE as f64 }, ..plan(stalling_server()) });
    let tally = &outcome.tally;
    assert_eq!((outcome.ended, tally.completed, tally.failures.total()), (Ended::Done, 3 * RATE, 0));
    // Those that were due in the first half of the stall waited for half a second at least.
    let waited = at_least(&tally.response, STALL / 2);
    assert!(waited >= RATE * 48 / 100, "{waited}");
    assert!(tally.response.quantile(0.99) >= STALL * 9 / 10, "{:?}", tally.response.quantile(0.99));
    // The server saw only those that the connections had sent.
    let in_service = at_least(&tally.service, STALL / 2);
    assert!(in_service >= 1 && in_service * 4 <= waited, "{in_service} of {waited}");
    assert!(tally.late >= RATE * 8 / 10 && tally.service.count() == 3 * RATE, "{}", tally.late);
}

#[test]
fn a_closed_loop_shows_it_to_one_request_of_each_connection() {
    let outcome = run(Plan { requests: Some(3 * RATE), ..plan(stalling_server()) });
    let waited = at_least(&outcome.tally.response, STALL / 2);
    assert!((1..RATE / 4).contains(&waited), "{waited}");
    assert_eq!((outcome.tally.late, outcome.tally.completed), (0, 3 * RATE));
    assert_eq!(outcome.tally.service.count(), 3 * RATE);
}

#[test]
fn what_is_due_is_sent_or_counted_as_not_sent() {
    let served = AtomicU64::new(0);
    let server = serve(move |mut connection| {
        while !connection.request().is_empty() {
            if served.fetch_add(1, Ordering::Relaxed) < 100 && !connection.send(OK) {
                return;
            }
        }
    });
    let duration = Duration::from_millis(1500);
    let outcome = run(Plan { duration, pace: Pace::Open { rate: RATE as f64 }, ..plan(server) });
    let tally = &outcome.tally;
    assert_eq!((outcome.ended, tally.completed, tally.unanswered), (Ended::Done, 100, CONNECTIONS as u64));
    assert_eq!(tally.sent, 100 + CONNECTIONS as u64);
    assert_eq!(tally.sent + tally.unsent, RATE * 3 / 2, "a beat is missing");
    // They have waited, the first of them for nearly all of the run.
    assert_eq!(tally.response.count(), tally.completed + tally.unsent + tally.unanswered);
    assert!(tally.response.quantile(0.99) >= duration * 8 / 10, "{:?}", tally.response.quantile(0.99));
    assert_eq!(tally.service.count(), tally.completed);
}

#[test]
fn what_is_on_its_way_at_the_end_has_waited_too() {
    let served = AtomicU64::new(0);
    let server = serve(move |mut connection| {
        while !connection.request().is_empty() {
            if served.fetch_add(1, Ordering::Relaxed) < 10 && !connection.send(OK) {
                return;
            }
        }
    });
    // There is always a connection that is free.
    let (duration, pace) = (Duration::from_secs(1), Pace::Open { rate: 20.0 });
    let outcome = run(Plan { duration, pace, connections: 32, ..plan(server) });
    let tally = &outcome.tally;
    assert_eq!((tally.completed, tally.unanswered, tally.unsent), (10, 10, 0));
    assert!(tally.response.quantile(0.9) >= duration * 3 / 10, "{:?}", tally.response.quantile(0.9));
}

#[test]
fn the_warm_up_does_not_count_and_the_limit_is_exact() {
    let server = serve(|mut connection| connection.answer_all());
    let warmup = Duration::from_millis(300);
    for pace in [Pace::Closed { pipelined: 1 }, Pace::Closed { pipelined: 4 }, Pace::Open { rate: 1000.0 }] {
        let outcome = run(Plan { warmup, requests: Some(301), shards: 2, pace, ..plan(server) });
        let tally = &outcome.tally;
        assert_eq!((tally.sent, tally.completed, tally.response.count()), (301, 301, 301), "{pace:?}");
        assert_eq!((tally.statuses[2], tally.unanswered, tally.unsent), (301, 0, 0), "{pace:?}");
        let connections = tally.connections;
        assert_eq!((connections.established, connections.lost), (CONNECTIONS as u64, 0), "{pace:?}");
        // With those that are on their way when it ends.
        let most = (301 + 8 * CONNECTIONS as u64) * OK.len() as u64;
        assert!(tally.bytes_received <= most, "{pace:?}: {} {most}", tally.bytes_received);
    }
}

#[test]
fn connections_follow_the_stages() {
    let server = serve(|mut connection| connection.answer_all());
    let stage = |millis, connections| Stage { time: Duration::from_millis(millis), connections };
    let stages = vec![stage(500, 6), stage(500, 0), stage(0, 3), stage(500, 3)];
    let (duration, connections) = (Duration::from_millis(1500), 6);
    let outcome = run(Plan { stages, duration, connections, ..plan(server) });
    let counts = outcome.tally.connections;
    assert_eq!((counts.requested, counts.established, counts.failed, counts.lost), (6, 6, 0, 0));
    assert_eq!((counts.renewed, outcome.tally.failures.total()), (3, 0), "those that came back");
    assert!(outcome.tally.completed > 0);
}

#[test]
fn the_samples_hold_every_second_and_the_part_of_one_at_the_end() {
    let server = serve(|mut connection| connection.answer_all());
    for millis in [300, 1300] {
        let duration = Duration::from_millis(millis);
        let outcome = run(Plan { duration, connections: 2, ..plan(server) });
        let counted: u64 = outcome.samples.iter().map(|sample| sample.completed).sum();
        assert_eq!(counted, outcome.tally.completed);
        let last = outcome.samples.last().unwrap();
        assert_eq!((last.at, last.open), (outcome.elapsed, 2));
        assert!(last.completed > 0 && !last.max.is_zero());
    }
}

#[test]
fn connections_stand_after_the_stages_before_anything_is_asked() {
    let accepted = AtomicU64::new(0);
    let (tell, told) = mpsc::channel();
    let listener = serve_all(move |is_request| match is_request {
        false => drop(accepted.fetch_add(1, Ordering::SeqCst)),
        true => drop(tell.send(accepted.load(Ordering::SeqCst))),
    });
    let stages = vec![Stage { time: Duration::from_millis(300), connections: 4 }];
    let hold = Duration::from_secs(1);
    let outcome = run(Plan { stages, hold, requests: Some(8), connections: 4, ..plan(listener) });
    assert_eq!((outcome.ended, outcome.tally.completed), (Ended::Done, 8));
    assert_eq!(outcome.elapsed, Duration::from_millis(1300) + outcome.asked);
    assert!((outcome.rate() * outcome.asked.as_secs_f64()).round() == 8.0);
    assert_eq!(told.recv().unwrap(), 4, "the connections when the first request came");
}

/// Answers everything, and tells of each connection and of each request.
fn serve_all(tell: impl Fn(bool) + Send + Sync + 'static) -> SocketAddr {
    serve(move |mut connection| {
        tell(false);
        while !connection.request().is_empty() {
            tell(true);
            connection.send(OK);
        }
    })
}

//! Looking into a server, over HTTP.

mod common;

use common::{Answer, Client, get};
use lakh_http::{
    App, Running, Server,
    diagnostics::{self, PageDocument, SnapshotDocument},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(60);

fn start<S: 'static>(app: impl Fn() -> App<S> + Send + Sync + 'static) -> Running {
    let server = Server::new(move |_| app()).shards(2).bind("127.0.0.1:0").unwrap();
    server.metrics_addr("127.0.0.1:0").unwrap().start().unwrap()
}

fn look(running: &Running, path: &str) -> Answer {
    let addr = running.metrics_addr().unwrap();
    Client::connect(addr).exchange(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n"))
}

fn snapshot(running: &Running) -> SnapshotDocument {
    serde_json::from_str(look(running, "/snapshot").text()).unwrap()
}

/// What lives on all shards.
fn inspect(running: &Running, what: &str) -> Vec<diagnostics::HandleDocument> {
    let of = |shard| {
        let answer = look(running, &format!("/inspect?shard={shard}&what={what}"));
        serde_json::from_str::<PageDocument>(answer.text()).unwrap().items
    };
    (0..2).flat_map(of).collect()
}

/// What the text format 0.0.4 allows, and no more: families in one piece, each sample of its family, histograms that
/// add up. Gives all samples by name and labels.
fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families) = (BTreeMap::new(), HashSet::new());
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && families.insert(name), "{name} twice");
            (family, kind) = (name, "");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').unwrap();
            assert!(name == family && kind.is_empty() && ["counter", "gauge", "histogram"].contains(&of));
            kind = of;
            assert_eq!(of == "counter", name.ends_with("_total"), "{name}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{line}");
            assert!(name.starts_with("lakh_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                let labels = labels.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
                for label in labels.split(',') {
                    let (label, value) = label.split_once("=\"").unwrap();
                    let known = ["shard", "lane", "kind", "class", "le", "version"];
                    assert!(known.contains(&label) && value.ends_with('"'), "{line}");
                }
            }
            let value: f64 = value.parse().unwrap();
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
        }
    }
    for (count, total) in samples.iter().filter(|(series, _)| series.contains("_count{")) {
        let begin = count.replace("_count{", "_bucket{").trim_end_matches('}').to_owned() + ",le=\"";
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(series, value)| {
                let bound = series.strip_prefix(&begin)?.strip_suffix("\"}")?;
                Some((bound.parse::<f64>().unwrap(), *value))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.len() > 10 && buckets.is_sorted_by(|a, b| a.1 <= b.1), "{count}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, *total)), "{count}");
    }
    samples
}

fn sum(samples: &BTreeMap<String, f64>, begin: &str, with: &str) -> f64 {
    let fits = |series: &&String| series.starts_with(begin) && series.contains(with);
    samples.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
}

#[test]
fn metrics_are_in_the_text_format_and_count_what_happens() {
    let running = start(|| App::new().get("/", || "hello").get("/later", async || "later"));
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(running.addrs()[0])).collect();
    for client in &mut clients {
        for (path, status) in [("/", 200), ("/later", 200), ("/nowhere", 404)] {
            assert_eq!(client.exchange(get(path)).status, status);
        }
        // Several in one piece.
        client.send(get("/").repeat(3));
        (0..3).for_each(|_| assert_eq!(client.answer().text(), "hello"));
    }
    let found = || {
        let answer = look(&running, "/metrics");
        assert_eq!(answer.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        parse(answer.text())
    };
    // Counted at the end of the poll that has answered them.
    let of = |class| move |samples: &BTreeMap<String, f64>| sum(samples, "lakh_http_responses_total{", class);
    common::eventually("25 good answers", || of("2xx")(&found()) == 25.0);
    let samples = found();
    assert_eq!(sum(&samples, "lakh_http_requests_total{", ""), 30.0);
    assert_eq!(of("2xx")(&samples), 25.0);
    assert_eq!(of("4xx")(&samples), 5.0);
    assert_eq!(sum(&samples, "lakh_http_connections{", ""), 5.0);
    assert_eq!(sum(&samples, "lakh_http_accepted_connections_total{", ""), 5.0);
    assert!(sum(&samples, "lakh_shard_lag_seconds_count{", "") >= 5.0);
    assert!(sum(&samples, "lakh_shard_busy_seconds_total{", "") > 0.0);
    if cfg!(target_os = "linux") {
        assert!(samples["process_open_fds"] > 5.0 && samples["process_resident_memory_bytes"] > 1e6);
    }
    drop(clients);
    common::eventually("the connections are closed", || sum(&found(), "lakh_http_connections{", "") == 0.0);
}

#[test]
fn an_app_can_have_its_own_metrics_and_what_is_inside_below_a_prefix() {
    let server = Server::new(|shard| {
        let inside = diagnostics::app(shard.diagnostics());
        App::new().get("/metrics", diagnostics::metrics).nest("/inside", inside)
    });
    let running = server.shards(1).bind("127.0.0.1:0").unwrap().start().unwrap();
    let addr = running.addrs()[0];
    let mut client = Client::connect(addr);
    let mut ask = |path: &str| client.exchange(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n"));
    assert_eq!(sum(&parse(ask("/metrics").text()), "lakh_http_connections{", ""), 1.0);
    // A request is counted at the end of the poll that has answered it, and the next one may come in the same poll.
    let mut answered = 1;
    common::eventually("a request is counted", || {
        let seen: SnapshotDocument = serde_json::from_str(ask("/inside/snapshot").text()).unwrap();
        assert_eq!((seen.shards.len(), seen.shards[0].connections), (1, 1));
        assert!(seen.shards[0].requests <= answered, "this one counts later");
        answered += 1;
        seen.shards[0].requests > 0
    });
    assert_eq!(ask("/inside").status, 200);
    assert_eq!(running.metrics_addr(), None);
}

#[test]
fn sockets_have_their_addresses_and_requests_their_routes() {
    let running = start(|| {
        App::new().get("/", || "hello").get("/slow/{id}", async || std::future::pending::<()>().await)
    });
    let addr = running.addrs()[0];
    let mut idle = Client::connect(addr);
    assert_eq!(idle.exchange(get("/")).text(), "hello");
    let mut slow = Client::connect(addr);
    slow.send(get("/slow/7"));
    common::eventually("the request is there", || inspect(&running, "requests").len() == 1);
    let request = inspect(&running, "requests").remove(0);
    let peer = slow.stream.local_addr().unwrap().to_string();
    assert_eq!((request.name.as_deref(), request.peer), (Some("/slow/{id}"), Some(peer)));
    assert!(request.keeps_alive && request.age.unwrap() < LONG.as_secs_f64());

    let sockets = inspect(&running, "sockets");
    let of = |client: &Client| {
        let (local, peer) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
        let found = sockets.iter().find(|socket| socket.peer == Some(local.to_string())).expect("a socket");
        assert_eq!((found.kind.as_str(), &found.local), ("tcp connection", &Some(peer.to_string())));
        assert_eq!(found.name.as_deref(), Some("HTTP connection"));
        found.keeps_alive
    };
    assert_eq!([of(&idle), of(&slow)], [false, true]);
    if cfg!(target_os = "linux") {
        let listeners: Vec<_> = sockets.iter().filter(|socket| socket.kind == "tcp listener").collect();
        assert_eq!(listeners.len(), 2, "{sockets:?}");
        for listener in listeners {
            assert_eq!(listener.local, Some(addr.to_string()));
            assert_eq!(listener.name.as_deref(), Some("accepting connections"));
        }
    }
    assert!(inspect(&running, "tasks").iter().any(|task| task.keeps_alive && task.peer.is_some()));
    assert!(inspect(&running, "timers").iter().all(|timer| timer.due.is_some()));
    // A reset: one that has only finished sending still gets its answer.
    socket2::SockRef::from(&slow.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(slow);
    common::eventually("the request is gone", || inspect(&running, "requests").is_empty());
}

/// On a machine that is busy the watchdog's thread may have to wait for so long that it would miss the whole of it: then
/// the handler goes on until it is seen.
#[test]
fn a_stall_of_200_ms_is_reported_once_with_its_route_within_a_second() {
    const ROUTE: &str = "/stall/{id}";
    let (tell, told) = mpsc::channel();
    let seen = Arc::new(AtomicUsize::new(0));
    let seen_by_handlers = Arc::clone(&seen);
    let app = move || {
        let seen = Arc::clone(&seen_by_handlers);
        App::new().get("/quick", || "quick").get(ROUTE, move || {
            let (begun, before) = (Instant::now(), seen.load(SeqCst));
            let is_unseen = || seen.load(SeqCst) == before && begun.elapsed() < LONG;
            while begun.elapsed() < Duration::from_millis(200) || is_unseen() {
                std::hint::spin_loop();
            }
            "slow"
        })
    };
    let server = Server::new(move |_| app()).shards(2).on_stall(move |stall| {
        // A machine that is busy may have stalls of its own.
        if stall.name == Some(ROUTE) {
            tell.send((*stall, Instant::now())).unwrap();
            seen.fetch_add(1, SeqCst);
        }
    });
    let server = server.bind("127.0.0.1:0").unwrap().metrics_addr("127.0.0.1:0").unwrap();
    let running = server.start().unwrap();
    let mut client = Client::connect(running.addrs()[0]);
    let is_soon = (1..=5).any(|stalls| {
        let begun = Instant::now();
        assert_eq!(client.exchange(get("/stall/1")).text(), "slow");
        assert_eq!(client.exchange(get("/quick")).text(), "quick");
        let (stall, at) = told.try_recv().expect("it is told while it lasts");
        assert!(stall.lasted >= Duration::from_millis(100), "{stall:?}");
        assert!(told.try_recv().is_err(), "once");
        let snapshot = snapshot(&running);
        let named = snapshot.stalls.iter().filter(|stall| stall.name.as_deref() == Some(ROUTE));
        assert_eq!(named.count(), stalls);
        let counted: u64 = snapshot.shards.iter().map(|shard| shard.stalls).sum();
        assert!(counted >= stalls as u64);
        at - begun < Duration::from_secs(1)
    });
    assert!(is_soon, "within a second, if this thread and the watchdog's are given a processor");
}

#[test]
fn while_all_shards_are_blocked_one_can_look_inside() {
    let running = start(|| App::new().get("/", || "hello"));
    let gates: Vec<mpsc::Sender<()>> = running
        .shards()
        .map(|shard| {
            let ((held, is_held), (go, wait)) = (mpsc::channel(), mpsc::channel::<()>());
            let block = move |_: &lakh_core::Shard| {
                held.send(()).unwrap();
                // An error says that it may go on.
                let _ = wait.recv();
            };
            shard.send(block).unwrap();
            is_held.recv_timeout(LONG).unwrap();
            go
        })
        .collect();
    assert_eq!(look(&running, "/metrics").status, 200);
    let shards = snapshot(&running).shards;
    assert!(shards.len() == 2 && shards.iter().all(|shard| shard.turn.is_some()), "{shards:?}");
    let answer = look(&running, "/inspect?shard=1&what=tasks");
    assert_eq!((answer.status, answer.text()), (503, "shard 1 does not answer: something blocks it"));
    assert_eq!(look(&running, "/inspect?shard=2").status, 404);
    assert_eq!(look(&running, "/inspect?what=secrets").status, 400);
    drop(gates);
}

/// Two shards of one name could not be told apart by who looks at threads.
#[cfg(target_os = "linux")]
#[test]
fn the_thread_of_the_metrics_is_no_shard_by_its_name() {
    let _running = start(|| App::new().get("/", || "hello"));
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // Threads of other tests come and go.
    let mut names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    assert!(names.any(|name| name == "lakh-metrics-0\n"));
}

#[test]
fn a_page_of_the_internet_reads_nothing() {
    let running = start(|| App::new().get("/", || "hello"));
    let addr = running.metrics_addr().unwrap();
    for (host, status) in [
        (addr.to_string(), 200),
        (format!("localhost:{}", addr.port()), 200),
        (format!("attacker.example:{}", addr.port()), 403),
        ("localhost.attacker.example".to_owned(), 403),
    ] {
        for path in ["/", "/metrics", "/snapshot", "/inspect"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = Client::connect(addr).exchange(request);
            assert_eq!(answer.status, status, "{host} {path}");
            assert_eq!(answer.field("access-control-allow-origin"), None);
        }
    }
    let page = look(&running, "/");
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn a_port_that_is_taken_is_an_error_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new(|_| App::new()).bind("127.0.0.1:0").unwrap();
    let error = server.metrics_addr(taken.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

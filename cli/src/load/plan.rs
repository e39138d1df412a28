//! From the options to the plan of a run.

use super::{Load, args::WsMode, requests::Requests};
use crate::failure::Failure;
use lakh_core::sys::cpu::cpu_quota;
use lakh_loadtest::{
    Plan,
    plan::{Pace, Publish, Scheme, Stage, Target, WsPlan},
};
use std::{path::Path, time::Duration};

/// A datagram that has not come by then was lost.
const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages a second.
const DEFAULT_MSG_RATE: f64 = 1.0;
/// How long a run lasts that ends by its number of requests.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn plan(options: &Load) -> Result<Plan, Failure> {
    let target = Target::parse(&options.url).map_err(|error| Failure::refused(error.to_string()))?;
    check_scheme(options, target.scheme)?;
    let requests = Requests::read(options, &target)?;
    let usual = Plan::new(target);
    if options.duration.is_some_and(|time| time.is_zero()) {
        return Err(Failure::refused("-d 0s measures nothing"));
    }
    if let Some(number) = options.pid.filter(|number| is_nobody(*number)) {
        return Err(Failure::refused(format!("--pid {number}: there is no such process on this machine")));
    }
    let ws = Modes::of(options)?;
    let stages = options.stages.as_ref().map_or(&[][..], |stages| &stages.0);
    let most = stages.iter().map(|stage| stage.connections).max();
    let connections = options.connections.or(most).unwrap_or(usual.connections);
    if most.is_some_and(|most| most > connections) {
        return Err(Failure::refused("--stages has more connections than -c"));
    }
    if connections == 0 {
        return Err(Failure::refused("--stages has no connections at all"));
    }
    if !options.hold.is_zero() && stages.last().is_some_and(|stage| stage.connections == 0) {
        return Err(Failure::refused(
            "--hold comes after --stages: the last stage needs connections that stand",
        ));
    }
    let mut stages = stages.to_vec();
    stages.extend(options.ramp.map(|time| Stage { time, connections }));
    let staged: Duration = stages.iter().map(|stage| stage.time).sum();
    // Who is to stand after them is asked after that.
    let asked_in_stages = if options.hold.is_zero() { staged } else { Duration::ZERO };
    let duration = match (options.duration, options.requests) {
        // Nothing more is wanted than the stages.
        (None, _) if options.stages.is_some() && options.hold.is_zero() => staged,
        (Some(duration), _) => asked_in_stages + duration,
        (None, Some(_)) => LONGEST,
        (None, None) => asked_in_stages + usual.duration,
    };
    // To stand is all that they do.
    let (hold, duration) = match ws.is_idle && !options.hold.is_zero() {
        true if options.duration.is_some() => {
            return Err(Failure::refused("--hold and -d are the same with --ws idle"));
        }
        true => (Duration::ZERO, staged + options.hold),
        false => (options.hold, duration),
    };
    let shards = options.threads.unwrap_or_else(|| cpu_quota().get());
    let pace = match options.rate {
        _ if !ws.asks => Pace::Silent,
        Some(rate) => Pace::Open { rate },
        None => Pace::Closed { pipelined: options.pipeline.unwrap_or(1) },
    };
    let timeout = match usual.target.scheme {
        Scheme::Udp => DATAGRAM_TIMEOUT,
        _ => usual.timeout,
    };
    let publish = ws.publishes.then(|| Publish {
        rate: options.msg_rate.unwrap_or(DEFAULT_MSG_RATE),
        time: if ws.asks { usual.duration } else { duration },
        // Behind the echoes, for which the other options are, comes one.
        messages: if ws.asks { Some(1) } else { options.requests },
        trigger: options.ws_trigger.clone(),
    });
    Ok(Plan {
        connections,
        stages,
        connect_rate: options.connect_rate,
        // A shard without a connection would have a share of the requests that nobody sends.
        shards: shards.min(connections),
        duration,
        requests: options.requests,
        warmup: options.warmup,
        pace,
        http: requests.http,
        timeout: options.timeout.unwrap_or(timeout),
        size: options.size.unwrap_or(usual.size),
        hold,
        ws: WsPlan { open: requests.ws_open, ping: options.ping, publish },
        source: options.src,
        server: options.pid,
        ..usual
    })
}

/// Whether no process has this number; false where that cannot be known.
fn is_nobody(number: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{number}")).exists()
}

/// What is done with connections that stand.
struct Modes {
    is_idle: bool,
    /// Requests are sent and answered.
    asks: bool,
    /// Messages are published to all of them.
    publishes: bool,
}

impl Modes {
    fn of(options: &Load) -> Result<Modes, Failure> {
        let has = |mode| options.ws.contains(&mode);
        let (idle, publishes) = (has(WsMode::Idle), has(WsMode::Broadcast));
        if idle && options.ws.iter().any(|mode| *mode != WsMode::Idle) {
            return Err(Failure::refused(
                "--ws idle does nothing else; for a time before the rest, use --hold",
            ));
        }
        let asks = has(WsMode::Echo) || !(idle || publishes);
        let given = [
            ("--msg-rate", options.msg_rate.is_some(), publishes),
            ("--ws-trigger", options.ws_trigger.is_some(), publishes),
            ("-R", options.rate.is_some(), asks),
            ("-p", options.pipeline.is_some(), asks),
            ("-n", options.requests.is_some(), !idle),
            ("--size", options.size.is_some(), asks),
        ];
        match given.into_iter().find(|(_, is_given, has_meaning)| *is_given && !has_meaning) {
            Some((name, ..)) if idle => {
                Err(Failure::refused(format!("{name} has no meaning with --ws idle")))
            }
            Some((name @ ("--msg-rate" | "--ws-trigger"), ..)) => {
                Err(Failure::refused(format!("{name} has a meaning with --ws broadcast only")))
            }
            Some((name, ..)) => Err(Failure::refused(format!(
                "{name} has no meaning with --ws broadcast alone; see --msg-rate"
            ))),
            None => Ok(Modes { is_idle: idle, asks, publishes }),
        }
    }
}

/// Refuses options that have no meaning for a protocol.
fn check_scheme(options: &Load, scheme: Scheme) -> Result<(), Failure> {
    let http_and_ws = [("--header", !options.header.is_empty())];
    let http = [
        ("--method", options.method.is_some()),
        ("--body", options.body.is_some()),
        ("--urls", options.urls.is_some()),
        ("--no-keepalive", options.no_keepalive),
        ("--expect-status", options.expect_status.is_some()),
        ("--expect-body", options.expect_body.is_some()),
    ];
    let ws = [
        ("--ws", !options.ws.is_empty()),
        ("--ws-open", options.ws_open.is_some()),
        ("--ws-trigger", options.ws_trigger.is_some()),
        ("--msg-rate", options.msg_rate.is_some()),
        ("--ping", options.ping.is_some()),
    ];
    let given = |options: &[(&'static str, bool)]| {
        options.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name)
    };
    let wrong = match scheme {
        Scheme::Http => {
            given(&ws).map(|name| (name, "ws")).or(options.size.map(|_| ("--size", "ws, tcp and udp")))
        }
        Scheme::Ws => given(&http).map(|name| (name, "http")),
        _ => given(&http)
            .map(|name| (name, "http"))
            .or(given(&ws).map(|name| (name, "ws")))
            .or(given(&http_and_ws).map(|name| (name, "http and ws"))),
    };
    match wrong {
        Some((name, of)) => Err(Failure::refused(format!("{name} has a meaning for {of} URLs only"))),
        None => Ok(()),
    }
}

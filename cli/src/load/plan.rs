//! From the options to the plan of a run.

use super::Load;
use crate::failure::Failure;
use lakh_core::sys::cpu::cpu_quota;
use lakh_loadtest::{
    Plan,
    plan::{HttpRequest, Pace, Stage, Target},
};
use std::{fs::File, io::Read, time::Duration};

const DEFAULT_CONNECTIONS: usize = 64;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// How long a run lasts that ends by its number of requests.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a body.
const BODY_AT_MOST: u64 = 64 << 20;

pub(super) fn plan(options: &Load) -> Result<Plan, Failure> {
    let target = Target::parse(&options.url).map_err(|error| Failure::refused(error.to_string()))?;
    let stages = options.stages.as_ref().map_or(&[][..], |stages| &stages.0);
    let most = stages.iter().map(|stage| stage.connections).max();
    let connections = options.connections.or(most).unwrap_or(DEFAULT_CONNECTIONS);
    if most.is_some_and(|most| most > connections) {
        return Err(Failure::refused("--stages has more connections than -c"));
    }
    if connections == 0 {
        return Err(Failure::refused("--stages has no connections at all"));
    }
    let mut stages = stages.to_vec();
    stages.extend(options.ramp.map(|time| Stage { time, connections }));
    let staged: Duration = stages.iter().map(|stage| stage.time).sum();
    let duration = match (options.duration, options.requests) {
        // Nothing more is wanted than the stages.
        (None, _) if options.stages.is_some() => staged,
        (Some(duration), _) => staged + duration,
        (None, Some(_)) => LONGEST,
        (None, None) => staged + DEFAULT_DURATION,
    };
    let shards = options.threads.unwrap_or_else(|| cpu_quota().get());
    let pace = match options.rate {
        Some(rate) => Pace::Open { rate },
        None => Pace::Closed { pipelined: options.pipeline.unwrap_or(1) },
    };
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
        http: request(options)?,
        timeout: options.timeout,
        source: options.src,
        server: options.pid,
        ..Plan::new(target)
    })
}

fn request(options: &Load) -> Result<HttpRequest, Failure> {
    let body = match options.body.as_deref().map(|text| text.strip_prefix('@').ok_or(text)) {
        None => Vec::new(),
        Some(Err(text)) => text.as_bytes().to_vec(),
        Some(Ok(path)) => {
            read(path).map_err(|error| Failure::refused(format!("cannot read the body {path:?}: {error}")))?
        }
    };
    let default = if options.body.is_some() { "POST" } else { "GET" };
    Ok(HttpRequest {
        method: options.method.clone().unwrap_or_else(|| default.to_owned()),
        headers: options.header.clone(),
        body,
        close: options.no_keepalive,
        expect_status: options.expect_status,
        expect_body: options.expect_body.as_ref().map(|text| text.as_bytes().to_vec()),
    })
}

fn read(path: &str) -> Result<Vec<u8>, std::io::Error> {
    let mut body = Vec::new();
    File::open(path)?.take(BODY_AT_MOST + 1).read_to_end(&mut body)?;
    if body.len() as u64 > BODY_AT_MOST {
        return Err(std::io::Error::other("it has more than 64 MiB"));
    }
    Ok(body)
}

//! The metrics of services, by name.

use crate::metrics::ServiceMetrics;
use lakh_core::diagnostics::Exposition;
use std::sync::Arc;

type OfService = fn(&ServiceMetrics) -> u64;

const COUNTERS: [(&str, &str, OfService); 7] = [
    ("lakh_http_requests_total", "Requests whose heads were understood", ServiceMetrics::requests),
    ("lakh_http_accepted_connections_total", "Connections accepted", |service| service.accept().accepted()),
    (
        "lakh_http_refused_connections_total",
        "Connections closed at once, without descriptors for them",
        |service| service.accept().shed(),
    ),
    ("lakh_http_starved_accepts_total", "Times when nothing could even be closed", |service| {
        service.accept().starved()
    }),
    (
        "lakh_http_accept_errors_total",
        "Connections gone before they were accepted, and the like",
        |service| service.accept().errors(),
    ),
    (
        "lakh_http_shed_requests_total",
        "Requests refused with 503, since they had waited for too long",
        ServiceMetrics::shed,
    ),
    (
        "lakh_http_slow_readers_total",
        "Connections closed, since their peers took too little",
        ServiceMetrics::slow_readers,
    ),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

pub(super) fn write(services: &[Arc<ServiceMetrics>], out: &mut Exposition) {
    let numbers: Vec<String> = (0..services.len()).map(|shard| shard.to_string()).collect();
    for (name, help, value) in COUNTERS {
        let mut family = out.counter(name, help);
        for (service, number) in services.iter().zip(&numbers) {
            family.sample(&[("shard", number)], value(service) as f64);
        }
    }
    let mut family = out.counter("lakh_http_responses_total", "Answers that were begun");
    for (service, number) in services.iter().zip(&numbers) {
        for (class, count) in CLASSES.into_iter().zip(service.responses()) {
            family.sample(&[("shard", number), ("class", class)], count as f64);
        }
    }
    let mut family = out.gauge("lakh_http_connections", "Connections that are open and speak HTTP");
    for (service, number) in services.iter().zip(&numbers) {
        family.sample(&[("shard", number)], service.connections() as f64);
    }
}

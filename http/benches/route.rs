//! Finding the route of a request: fixed paths by hash, others by the tree; and the whole way of a
//! request through a service in memory has its figure in `benches/compare` (instructions).

use criterion::{Criterion, criterion_group, criterion_main};
use lakh_http::{App, Head, bench};
use std::hint::black_box;

/// Routes of a service of some size: half of them with parameters.
fn app(routes: usize) -> App {
    (0..routes / 2).fold(App::new(), |app, n| {
        app.get(&format!("/fixed/path/number/{n}"), || "fixed")
            .get(&format!("/users/{{id}}/things{n}/{{thing}}"), |head: &Head<'_>| {
                head.param("id").unwrap_or_default().into_owned()
            })
    })
}

fn route(c: &mut Criterion) {
    let mut group = c.benchmark_group("route among 500");
    for (name, path) in [
        ("fixed path", "/fixed/path/number/123"),
        ("two parameters", "/users/4711/things123/left"),
        ("none that fits", "/nowhere/to/be/found"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut finder = bench::Finder::new(app(500), request.as_bytes());
        group.bench_function(name, |b| b.iter(|| black_box(finder.find())));
    }
}

criterion_group!(benches, route);
criterion_main!(benches);

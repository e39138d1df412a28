//! Server CPU for each of many subscribers that get a message.

use std::time::Duration;

use lakh_compare::broadcast::Audience;
use lakh_compare::process::{HugePages, Spec};
use lakh_compare::table::grouped;
use lakh_compare::ws::Message;
use lakh_compare::{Context, Result};

use crate::options::{ASYNC, BROADCAST_SHARDS, CALLBACK, FLOOR, Options};
use crate::rounds::{Sample, print_notes, print_table, ratio_between, run_each, verdict};

const SIZE: usize = 128;
const BUDGET: f64 = 1.05;
/// One message to one subscriber.
const SEND: &str = "send";
const WARM_UP: Duration = Duration::from_millis(200);

pub(crate) fn run(options: &Options) -> Result<()> {
    let all = run_each(options, &options.servers, "broadcast", |spec| {
        measure(options, spec).context(|| format!("{}, broadcast", spec.name))
    })?;
    let subscribers = grouped(options.idle_connections as f64);
    println!("### Broadcast of {SIZE} B to {subscribers} subscribers, {BROADCAST_SHARDS} shards\n");
    print_table(&all, FLOOR, SEND);
    print_notes(&all, SEND);
    println!(
        "Each publish takes {subscribers} sends. The next one follows when all subscribers have got the one before, \
         which is compared in full everywhere. p50 and p99 are the time from a publish until the last one has it. \
         {}.",
        if options.cpus.is_some() { "Both shards share one CPU" } else { "Nothing is pinned" }
    );
    for lakh in [CALLBACK, ASYNC] {
        if let Some(ratio) = ratio_between(&all, lakh, FLOOR) {
            print!("{}", verdict(&format!("{lakh} ÷ floor"), ratio, BUDGET));
        }
    }
    println!();
    Ok(())
}

fn measure(options: &Options, spec: &Spec) -> Result<Sample> {
    let server = options.start(spec, HugePages::AsUsual)?;
    let mut audience = Audience::open(server.address, options.idle_connections, SIZE)?;
    audience.for_time(WARM_UP)?;
    let before = server.cpu()?;
    let window = audience.for_time(options.window)?;
    let after = server.cpu()?;
    let peak = server.memory()?.peak;
    audience.expect_silence()?;
    Sample::new(&window, before, after, peak, Message::numbered(SIZE, 0).plain.len())
}

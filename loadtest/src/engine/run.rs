//! The coordinator.

use super::{
    clock::Clock,
    control::{Control, Report},
    local::Local,
    shard,
    share::Share,
};
use crate::{
    client::{Protocol, http::Http},
    plan::{Pace, Plan, Scheme},
    stats::{Ended, Outcome, Sample, Tally, Usage},
};
use lakh_core::Runtime;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    time::{Duration, Instant},
};

/// How long the coordinator waits for news before it looks at the clock and at [`Stop`].
const LOOK: Duration = Duration::from_millis(20);
/// How long shards have for their last report. They need microseconds, unless the machine has no CPU for them.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// Ends a run early, from any thread; the outcome is that so far.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the run.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A run that goes on.
pub struct Run {
    runtime: Runtime,
    plan: Arc<Plan>,
    control: Arc<Control>,
    clock: Clock,
    reports: Receiver<Report>,
    shards: Vec<Known>,
    tally: Tally,
    samples: Vec<Sample>,
    /// Since the last sample.
    second: Tally,
}

/// What is known of a shard.
#[derive(Clone, Copy, Default)]
struct Known {
    open: u64,
    settled: bool,
    done: bool,
    last: bool,
}

impl Run {
    /// Starts the shards and their connections.
    ///
    /// # Errors
    /// If no threads or event loops can be made, or the plan's protocol is not there yet.
    pub fn start(plan: Plan) -> io::Result<Run> {
        let plan = Arc::new(plan);
        match plan.target.scheme {
            Scheme::Http => Run::start_with(&plan, |plan| Http::new(&plan.target, &plan.http)),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "this protocol is not there yet")),
        }
    }

    fn start_with<P: Protocol>(
        plan: &Arc<Plan>,
        protocol: impl Fn(&Plan) -> P + Send + Sync + 'static,
    ) -> io::Result<Run> {
        let of = plan.shards.max(1);
        let (clock, control) = (Clock::new(), Arc::<Control>::default());
        // Room for news beside the report of each second.
        let (sender, reports) = mpsc::sync_channel(4 * of);
        let init = {
            let (plan, control) = (Arc::clone(plan), Arc::clone(&control));
            move |shard: &lakh_core::Shard| {
                let (share, sender): (Share, SyncSender<Report>) =
                    (Share::new(&plan, shard.id(), of), sender.clone());
                let (plan, control) = (Arc::clone(&plan), Arc::clone(&control));
                let protocol = protocol(&plan);
                shard::begin(Local::new(plan, protocol, clock, share, control, sender));
                Ok(())
            }
        };
        // The place for private descriptor tables, when a shard's connections exceed the limit of one.
        let runtime = Runtime::builder().shards(of).start(init)?;
        Ok(Run {
            runtime,
            plan: Arc::clone(plan),
            control,
            clock,
            reports,
            shards: vec![Known::default(); of],
            tally: Tally::default(),
            samples: Vec::new(),
            second: Tally::default(),
        })
    }

    /// Waits for the end and gives what came of it; tells of every second.
    pub fn finish(mut self, stop: &Stop, mut tell: impl FnMut(&Sample)) -> Outcome {
        let settled = self.settle(stop);
        let begun = Instant::now();
        let mut ended = Ended::NobodyLeft;
        if settled {
            self.control.set_go(self.clock.now());
            let from = begun + self.plan.warmup;
            ended = self.measure(from, stop, &mut tell);
        } else if stop.is_told() {
            ended = Ended::Interrupted;
        }
        let elapsed = begun.elapsed().saturating_sub(self.plan.warmup).min(self.plan.duration);
        self.control.end();
        self.collect_last();
        self.take_second();
        self.runtime.stop();
        let mut tally = self.tally;
        tally.connections.failed = tally.connections.requested - tally.connections.established;
        if matches!(self.plan.pace, Pace::Closed { .. }) {
            tally.service = tally.response.clone();
        }
        Outcome {
            tally,
            elapsed,
            ended,
            samples: self.samples,
            client: Usage::default(),
            server: None,
            client_busy: 0.0,
        }
    }

    /// Waits until every connection that is wanted from the beginning has been tried; true if one stands.
    fn settle(&mut self, stop: &Stop) -> bool {
        loop {
            if self.shards.iter().all(|shard| shard.settled) {
                return self.open() > 0 || self.tally_so_far_established() > 0;
            }
            if stop.is_told() {
                return false;
            }
            self.take_report(LOOK);
        }
    }

    fn tally_so_far_established(&self) -> u64 {
        self.tally.connections.established + self.second.connections.established
    }

    fn measure(&mut self, from: Instant, stop: &Stop, tell: &mut impl FnMut(&Sample)) -> Ended {
        let until = from + self.plan.duration;
        let mut next_sample = from + shard::REPORT_EVERY;
        loop {
            let now = Instant::now();
            if stop.is_told() {
                return Ended::Interrupted;
            }
            if now >= until || self.shards.iter().all(|shard| shard.done) {
                return Ended::Done;
            }
            if now >= next_sample {
                next_sample += shard::REPORT_EVERY;
                self.sample(now - from);
                tell(self.samples.last().expect("it was just made"));
            }
            self.take_report(LOOK.min(until - now));
        }
    }

    fn open(&self) -> u64 {
        self.shards.iter().map(|shard| shard.open).sum()
    }

    fn sample(&mut self, at: Duration) {
        let Tally { completed, failures, response, .. } = &self.second;
        self.samples.push(Sample {
            at,
            open: self.open(),
            completed: *completed,
            failed: failures.total(),
            p50: response.quantile(0.5),
            p99: response.quantile(0.99),
            max: response.max(),
        });
        self.take_second();
    }

    fn take_second(&mut self) {
        self.tally.merge(&self.second);
        self.second = Tally::default();
    }

    /// Takes what has come, and waits for something if nothing has.
    fn take_report(&mut self, limit: Duration) {
        let Ok(report) = self.reports.recv_timeout(limit) else { return };
        self.take(report);
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
    }

    fn take(&mut self, report: Report) {
        let Report { shard, tally, open, settled, done, last } = report;
        self.second.merge(&tally);
        self.shards[shard] = Known { open, settled, done, last };
    }

    fn collect_last(&mut self) {
        let until = Instant::now() + LAST_REPORTS;
        while !self.shards.iter().all(|shard| shard.last) && Instant::now() < until {
            self.take_report(LOOK);
        }
    }
}

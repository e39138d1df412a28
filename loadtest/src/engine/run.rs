//! The coordinator.

use super::{
    clock::{Clock, nanos},
    control::{Control, Report},
    local::Local,
    news::{News, Phase},
    shard,
    share::Share,
};
use crate::{
    broadcast::{Collector, Published},
    client::{Client, http::Http, tcp::Tcp, udp::Udp, ws::Ws},
    memory::Before,
    plan::{Pace, Part, Plan, Scheme},
    schedule::Ramp,
    stats::{Ended, Held, Outcome, Sample, Tally},
    usage::Watched,
};
use lakh_core::Runtime;
use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

/// How long the coordinator waits for news before it looks at the clock and at [`Stop`].
const LOOK: Duration = Duration::from_millis(20);
/// How long a second's reports are waited for after its end.
const REPORTS_WITHIN: Duration = Duration::from_millis(500);
/// A run ends if no connection has stood for the timeout, and for so many reports at least.
const NOBODY_FOR: Duration = Duration::from_secs(3);
/// What it may take beside the timeout until a new try is known to have come to something: the pause before it, and the
/// report after it.
const TRY_WITHIN: Duration = Duration::from_secs(5);
/// The shortest part of a second that ends the samples.
const LEAST_REST: Duration = Duration::from_millis(100);
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

/// A run that goes on. Dropping it ends it.
pub struct Run {
    runtime: Runtime,
    plan: Arc<Plan>,
    control: Arc<Control>,
    clock: Clock,
    reports: Receiver<Report>,
    shards: Vec<Known>,
    /// Since the beginning, and since the last sample.
    tally: Tally,
    second: Tally,
    /// Of broadcasts, at the last sample.
    received: u64,
    samples: Vec<Sample>,
    before: Before,
    held: Option<Held>,
    client: Watched,
    server: Option<Watched>,
    busiest: f64,
    /// For how long requests were sent.
    asked: Duration,
    /// When a connection stood, as far as is known; and when a request was answered.
    somebody: Instant,
    answered: Instant,
    /// Broadcasts, if the plan has any.
    published: Option<Arc<Published>>,
    /// When the last message was sent, as far as is known.
    last_published: Option<Instant>,
    collector: Collector,
}

/// What is known of a shard.
#[derive(Clone, Copy, Default)]
struct Known {
    open: u64,
    settled: bool,
    done: bool,
    last: bool,
    /// Since the last sample.
    reported: bool,
    seconds: u64,
    busy: Duration,
    waiting: Duration,
}

impl Run {
    /// Starts event loops, and then the connections of `plan`. One whose connections are more than a descriptor table
    /// holds is to be [fitted](Plan::fit_tables) before.
    ///
    /// # Errors
    /// `InvalidInput` if the plan [contradicts itself](Plan::fault); or if no threads or event loops can be made.
    pub fn start(plan: Plan) -> io::Result<Run> {
        if let Some(fault) = plan.fault() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
        }
        let plan = Arc::new(plan);
        match plan.target.scheme {
            Scheme::Http => {
                Run::start_with(&plan, |plan, share| Http::new(&plan.target, &plan.http, share.values()))
            }
            Scheme::Ws => Run::start_ws(&plan),
            Scheme::Tcp => Run::start_with(&plan, |plan, _| Tcp::new(plan)),
            Scheme::Udp => Run::start_with(&plan, |plan, _| Udp::new(plan)),
        }
    }

    fn start_ws(plan: &Arc<Plan>) -> io::Result<Run> {
        let published = plan.ws.publish.is_some().then(Arc::<Published>::default);
        let run = fastrand::u32(..);
        let protocol = {
            let published = published.clone();
            move |plan: &Plan, share: Share| Ws::new(plan, share.values(), published.clone(), run)
        };
        Ok(Run { published, ..Run::start_with(plan, protocol)? })
    }

    fn start_with<P: Client>(
        plan: &Arc<Plan>,
        protocol: impl Fn(&Plan, Share) -> P + Send + Sync + 'static,
    ) -> io::Result<Run> {
        let of = plan.shards;
        let (clock, control) = (Clock::new(), Arc::<Control>::default());
        // Threads are there for connections, too.
        let before = Before::look(plan.server);
        // Room for news beside the report of each second.
        let (sender, reports) = mpsc::sync_channel(4 * of);
        let init = {
            let (plan, control) = (Arc::clone(plan), Arc::clone(&control));
            move |shard: &lakh_core::Shard| {
                let share = Share::new(&plan, shard.id(), of);
                let (plan, control) = (Arc::clone(&plan), Arc::clone(&control));
                let protocol = protocol(&plan, share);
                shard::begin(Local::new(plan, protocol, clock, share, control, sender.clone()))
            }
        };
        let runtime = Runtime::builder()
            .shards(of)
            .watchdog(None)
            .private_descriptors(plan.private_descriptors)
            .start(init)?;
        let run = Run {
            runtime,
            plan: Arc::clone(plan),
            clock,
            reports,
            shards: vec![Known::default(); of],
            tally: Tally::default(),
            second: Tally::default(),
            received: 0,
            samples: Vec::new(),
            before,
            held: None,
            client: Watched::new(None),
            server: plan.server.map(|number| Watched::new(Some(number))),
            busiest: 0.0,
            asked: Duration::ZERO,
            somebody: Instant::now(),
            answered: Instant::now(),
            published: None,
            last_published: None,
            collector: Collector::new(of),
            control,
        };
        run.control.connect();
        Ok(run)
    }

    /// Waits for the end and gives what came of it; tells of every second.
    pub fn finish(mut self, stop: &Stop, mut tell: impl FnMut(&News<'_>)) -> Outcome {
        let (mut connecting, mut elapsed) = (Duration::ZERO, Duration::ZERO);
        let begun = Instant::now();
        let ended = match self.settle(stop, &mut tell) {
            Some(ended) => ended,
            None => {
                connecting = begun.elapsed();
                self.do_parts(&mut elapsed, stop, &mut tell)
            }
        };
        self.control.end();
        self.collect_last();
        self.take_rest(elapsed);
        self.runtime.stop();
        let client = self.client.look();
        let server = self.server.as_mut().map(Watched::look);
        let mut tally = self.tally;
        let connections = &mut tally.connections;
        connections.failed = connections.requested - connections.established - connections.under_way;
        if matches!(self.plan.pace, Pace::Closed { .. }) {
            tally.service = tally.response.clone();
        }
        if let Some(published) = &self.published {
            self.collector.finish(published.count(), &mut tally);
        }
        Outcome {
            tally,
            connecting,
            elapsed,
            asked: self.asked,
            ended,
            samples: self.samples,
            held: self.held,
            client,
            server,
            client_busy: self.busiest,
        }
    }

    /// Does what is to be done with connections that stand, and adds up how long that took.
    fn do_parts(&mut self, elapsed: &mut Duration, stop: &Stop, tell: &mut impl FnMut(&News<'_>)) -> Ended {
        for (part, time) in self.plan.parts() {
            // The part's before; what was counted while connecting is nobody's second.
            self.take_rest(*elapsed);
            let mut from = Instant::now();
            let mut limit = time;
            let lost = self.lost();
            match part {
                Part::Grow | Part::Hold => {}
                Part::Ask => {
                    from += self.plan.warmup;
                    self.control.set_go(self.clock.now());
                }
                Part::Publish => {
                    // The last message has its time to arrive, too.
                    limit += self.plan.timeout;
                    let now = self.clock.now();
                    if let Some(published) = &self.published {
                        published.begin(now, now.saturating_add(nanos(time)));
                    }
                }
            }
            let ended = self.measure(part, from, limit, *elapsed, stop, tell);
            let took = Instant::now().saturating_duration_since(from).min(limit);
            *elapsed += took;
            match part {
                Part::Hold => self.held = Some(self.before.held(took, self.open(), self.lost() - lost)),
                Part::Ask => self.asked = took,
                Part::Grow | Part::Publish => {}
            }
            if ended != Ended::Done {
                return ended;
            }
        }
        Ended::Done
    }

    fn is_done(&mut self, part: Part, now: Instant) -> bool {
        match part {
            Part::Grow | Part::Hold => false,
            Part::Ask => self.shards.iter().all(|shard| shard.done),
            Part::Publish => self.published.as_ref().is_none_or(|published| {
                // What has not come in time after the last one was sent, will not come.
                published.has_ended()
                    && (self.collector.is_complete(published.count())
                        || now >= *self.last_published.get_or_insert(now) + self.plan.timeout)
            }),
        }
    }

    /// How long nothing may come of what is tried again and again, `rate` times a second at most.
    fn patience(&self, rate: Option<f64>) -> Duration {
        let apart = rate
            .map_or(Duration::ZERO, |rate| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX));
        self.plan.timeout.saturating_add(TRY_WITHIN).saturating_add(apart)
    }

    /// Waits until every connection that is wanted from the beginning has been tried, or no more of them come to stand;
    /// tells why to end instead of going on.
    fn settle(&mut self, stop: &Stop, tell: &mut impl FnMut(&News<'_>)) -> Option<Ended> {
        let begun = Instant::now();
        let mut next = begun + shard::REPORT_EVERY;
        let patience = self.patience(self.plan.connect_rate);
        let (mut known, mut newest) = (0, begun);
        loop {
            let now = Instant::now();
            if stop.is_told() {
                return Some(Ended::Interrupted);
            }
            let established = self.second.connections.established + self.tally.connections.established;
            if established > known {
                (known, newest) = (established, now);
            }
            // Only so many are tried at a time: where each of them times out, the last ones would have to wait for long.
            if self.shards.iter().all(|shard| shard.settled) || now.duration_since(newest) >= patience {
                let nobody = established == 0 && self.plan.stages.is_empty();
                return nobody.then_some(Ended::NobodyLeft);
            }
            if now >= next {
                next += shard::REPORT_EVERY;
                let sample = self.sample(now - begun);
                tell(&News { phase: Phase::Connecting, sample, tally: &self.tally });
            }
            self.take_report(LOOK);
        }
    }

    /// Measures for `limit` at most, after `before` that was measured already.
    fn measure(
        &mut self,
        part: Part,
        from: Instant,
        limit: Duration,
        before: Duration,
        stop: &Stop,
        tell: &mut impl FnMut(&News<'_>),
    ) -> Ended {
        let (until, ramp) = (from + limit, Ramp::new(&self.plan.stages));
        let phase = match part {
            Part::Grow => Phase::Connecting,
            Part::Hold => Phase::Holding,
            Part::Ask => Phase::Measuring,
            Part::Publish => Phase::Publishing,
        };
        let mut measuring = !before.is_zero();
        let warming = Instant::now();
        let mut warm = warming + shard::REPORT_EVERY;
        self.somebody = Instant::now();
        self.answered = from;
        let rate = if let Pace::Open { rate } = self.plan.pace { Some(rate) } else { None };
        let patience = self.patience(rate);
        // A thread that gets no connection does not come to the end of its requests.
        let ends_by_answers = part == Part::Ask && self.plan.requests.is_some();
        for second in 1.. {
            let end = from + shard::REPORT_EVERY * second;
            loop {
                let now = Instant::now();
                if !measuring && now >= from {
                    measuring = true;
                    self.client.begin();
                    self.server.as_mut().map(Watched::begin);
                    self.look_at_shards();
                    self.busiest = 0.0;
                }
                if warm <= now.min(from) {
                    let sample = self.sample(warm - warming);
                    tell(&News { phase: Phase::WarmUp, sample, tally: &self.tally });
                    warm += shard::REPORT_EVERY;
                }
                let clock = self.clock;
                let is_wanted = || {
                    let now = clock.now();
                    ramp.wanted(0, now) == Some(now)
                };
                if stop.is_told() {
                    return Ended::Interrupted;
                }
                if now >= until || self.is_done(part, now) {
                    return Ended::Done;
                }
                if now >= self.somebody + self.plan.timeout.max(NOBODY_FOR) && is_wanted() {
                    return Ended::NobodyLeft;
                }
                if ends_by_answers && now.saturating_duration_since(self.answered) >= patience {
                    return Ended::NoAnswers;
                }
                // Seconds are counted from the first request on.
                let has_reported = |shard: &Known| match part {
                    Part::Ask => shard.seconds >= u64::from(second),
                    _ => shard.reported,
                };
                let reported = self.shards.iter().all(has_reported);
                if (reported && now >= end) || now >= end + REPORTS_WITHIN {
                    break;
                }
                self.take_report(LOOK.min(until - now));
            }
            let sample = self.sample(before + shard::REPORT_EVERY * second);
            self.samples.push(sample);
            tell(&News { phase, sample, tally: &self.tally });
        }
        Ended::Done
    }

    /// Ends a second.
    fn sample(&mut self, at: Duration) -> Sample {
        self.look_at_shards();
        self.client.look();
        self.server.as_mut().map(Watched::look);
        let received = self.collector.received();
        let Tally { completed, failures, response, .. } = &self.second;
        let sample = Sample {
            at,
            open: self.open(),
            completed: *completed,
            failed: failures.total(),
            received: received - self.received,
            p50: response.quantile(0.5),
            p99: response.quantile(0.99),
            max: response.max(),
        };
        self.received = received;
        self.shards.iter_mut().for_each(|shard| shard.reported = false);
        self.take_second();
        sample
    }

    /// How busy each shard has been since the last look.
    fn look_at_shards(&mut self) {
        for (known, shard) in self.shards.iter_mut().zip(self.runtime.shards()) {
            let (busy, waiting) = (shard.metrics().busy(), shard.metrics().waiting());
            let now_busy = busy.saturating_sub(known.busy).as_secs_f64();
            let all = now_busy + waiting.saturating_sub(known.waiting).as_secs_f64();
            // Less than half a second is a beginning or an end, which are always busy.
            if all >= 0.5 {
                self.busiest = self.busiest.max(now_busy / all);
            }
            (known.busy, known.waiting) = (busy, waiting);
        }
    }

    /// Connections that stand.
    fn open(&self) -> u64 {
        self.shards.iter().map(|shard| shard.open).sum()
    }

    /// Connections that have broken so far.
    fn lost(&self) -> u64 {
        self.tally.connections.lost + self.second.connections.lost
    }

    /// Ends the run with what has been since the last full second. A moment of that says nothing about rates and times,
    /// unless it is all that there is.
    fn take_rest(&mut self, elapsed: Duration) {
        let before = self.samples.last().map(|sample| sample.at);
        let rest = elapsed.saturating_sub(before.unwrap_or_default());
        if rest >= LEAST_REST || (before.is_none() && !rest.is_zero()) {
            let sample = self.sample(elapsed);
            self.samples.push(sample);
        }
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
        let Report { shard, tally, open, settled, done, last, received, seconds } = report;
        if let Some(received) = received {
            self.collector.take(shard, received);
        }
        let stood = tally.connections.established + tally.connections.renewed;
        if open > 0 || stood > 0 {
            self.somebody = Instant::now();
        }
        if tally.completed > 0 {
            self.answered = Instant::now();
        }
        self.second.merge(&tally);
        self.shards[shard] =
            Known { open, settled, done, last, seconds, reported: true, ..self.shards[shard] };
    }

    fn collect_last(&mut self) {
        let until = Instant::now() + LAST_REPORTS;
        while !self.shards.iter().all(|shard| shard.last) && Instant::now() < until {
            self.take_report(LOOK);
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("plan", &self.plan).finish_non_exhaustive()
    }
}

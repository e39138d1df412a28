//! What hashing by the pool costs beside plain threads that call the same crate: `cargo bench -p lakh-password`
//! (`-- throughput`, `-- hand-off`).
//!
//! Two figures, in paired rounds of alternating order; medians with their 96 % intervals by order statistics.
//! Throughput: a `Hasher` that gets all hashes at once, beside as many threads as there are processors that share them.
//! Hand-off: the CPU time of the process for 64 jobs that are queued together, less that of such threads that do their
//! work, for each job. A job of nothing is done before its shard sleeps; each of a hash wakes the shard.

use argon2::{Argon2, Params, Version};
use lakh_core::{
    pool::{Job, Lane},
    sys::cpu::cpu_quota,
};
use lakh_password::{Algorithm, Hasher};
use password_hash::PasswordHasher;
use rustix::time::{ClockId, clock_gettime};
use std::{
    env,
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Rounds, of which the interval leaves out the three lowest and the three highest.
const ROUNDS: usize = 15;
const LEFT_OUT: usize = 3;
/// Hashes of a round for each processor.
const HASHES: usize = 16;
/// Jobs that are queued together, and how often in a round.
const QUEUED: usize = 64;
const TIMES: usize = 200;
const EACH: u32 = (QUEUED * TIMES) as u32;
/// Of the plain threads' throughput, at least.
const LEAST: f64 = 0.97;
/// Of CPU for a hand-off, at most.
const MOST: Duration = Duration::from_micros(10);

const PASSWORD: &str = "correct horse";
/// The least that Argon2 can do: what is left is the way to it and back.
const TINY: Algorithm = Algorithm::Argon2id { memory_kib: 8, passes: 1, lanes: 1 };

fn main() {
    // `cargo test --benches` only wants to see it run.
    let rounds = if env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let cpus = cpu_quota().get();
    let asked = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let is_asked = |name| asked.as_ref().is_none_or(|asked| asked == name);
    if is_asked("throughput") {
        throughput(rounds, cpus);
    }
    if is_asked("hand-off") {
        hand_off(rounds, cpus);
    }
}

fn throughput(rounds: usize, cpus: usize) {
    let count = HASHES * cpus;
    let (mut plain, mut pooled) = (Vec::new(), Vec::new());
    in_turns(rounds, &mut || plain.push(by_threads(cpus, count, Algorithm::ARGON2ID)), &mut || {
        pooled.push(by_hasher(count));
    });
    println!("Argon2id of 19 MiB, {cpus} processors, {rounds} rounds of {count} hashes:");
    let ratio = |name, digits, of: &dyn Fn(&Spent) -> f64| {
        let (plain, pooled): (Vec<f64>, Vec<f64>) =
            (plain.iter().map(of).collect(), pooled.iter().map(of).collect());
        let ratio = Spread::of(pooled.iter().zip(&plain).map(|(pooled, plain)| pooled / plain).collect());
        let (plain, pooled) = (Spread::of(plain).text(digits), Spread::of(pooled).text(digits));
        println!("  {name}: plain threads {plain}, Hasher {pooled}, ratio {}", ratio.text(3));
        ratio
    };
    ratio("CPU of a hash, ms", 2, &|spent| micros(spent.cpu) / 1000.0 / count as f64);
    let ratio = ratio("hashes a second", 1, &|spent| count as f64 / spent.wall.as_secs_f64());
    println!("  {} the budget of {LEAST}", if ratio.high >= LEAST { "within" } else { "OVER" });
}

fn hand_off(rounds: usize, cpus: usize) {
    let mut hashes_alone = Vec::new();
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        let hash = by_threads(cpus, QUEUED * TIMES, TINY).cpu / EACH;
        hashes_alone.push(micros(hash));
        let ways = [
            jobs(|| 1),
            jobs(|| plain(TINY).len()).saturating_sub(hash),
            tasks().saturating_sub(hash),
            hashes().saturating_sub(hash),
        ];
        figures.iter_mut().zip(ways).for_each(|(figures, way)| figures.push(micros(way)));
    }
    println!("CPU of a hand-off, both sides, {QUEUED} jobs queued; µs a job:");
    println!("  (the hash alone, by plain threads: {})", Spread::of(hashes_alone).text(2));
    let names = ["pool, job of nothing", "pool, job of a hash", "— and a task each", "Hasher, a task each"];
    for (name, figures) in names.into_iter().zip(figures) {
        let figures = Spread::of(figures);
        let verdict = if figures.low <= micros(MOST) { "within" } else { "OVER" };
        println!("  {name:20}  {}, {verdict} the budget of {}", figures.text(2), micros(MOST));
    }
}

/// One after the other, and in each round the other one first.
fn in_turns(rounds: usize, one: &mut dyn FnMut(), other: &mut dyn FnMut()) {
    for round in 0..rounds {
        if round % 2 == 0 {
            one();
            other();
        } else {
            other();
            one();
        }
    }
}

/// What `Hasher` calls, called directly.
fn plain(algorithm: Algorithm) -> String {
    let Algorithm::Argon2id { memory_kib, passes, lanes } = algorithm else {
        unreachable!("only Argon2id is measured")
    };
    let params = Params::new(memory_kib, passes, lanes, None).expect("costs");
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(PASSWORD.as_bytes(), &[7; 16]).expect("a hash").to_string()
}

struct Spent {
    wall: Duration,
    cpu: Duration,
}

impl Spent {
    fn by(work: impl FnOnce()) -> Spent {
        let (begun, cpu) = (Instant::now(), cpu_time());
        work();
        Spent { wall: begun.elapsed(), cpu: cpu_time() - cpu }
    }
}

/// The threads share the hashes as the pool's do: whoever is done takes the next one.
fn by_threads(threads: usize, count: usize, algorithm: Algorithm) -> Spent {
    let taken = AtomicUsize::new(0);
    let work = || {
        while taken.fetch_add(1, Ordering::Relaxed) < count {
            black_box(plain(algorithm));
        }
    };
    Spent::by(|| thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work)))))
}

fn by_hasher(count: usize) -> Spent {
    let hasher = Hasher::new(Algorithm::ARGON2ID).expect("costs").limit(count);
    Spent::by(|| lakh_core::block_on(all(hasher, count)).expect("a shard"))
}

async fn all(hasher: Hasher, count: usize) {
    let hash = |_| {
        let hasher = hasher.clone();
        lakh_core::spawn(async move { hasher.hash(PASSWORD).await.expect("a hash") })
    };
    let hashes: Vec<_> = (0..count).map(hash).collect();
    for hash in hashes {
        black_box(hash.await.expect("a result"));
    }
}

/// CPU for each job of the pool.
fn jobs(work: impl Fn() -> usize + Copy + Send + 'static) -> Duration {
    let job = move || {
        lakh_core::with(|shard| shard.pool().run(Lane::CPU, move || black_box(work()))).expect("room")
    };
    let rounds = async move {
        let begun = cpu_time();
        for _ in 0..TIMES {
            let jobs: [Job<usize>; QUEUED] = std::array::from_fn(|_| job());
            for job in jobs {
                black_box(job.await.expect("a result"));
            }
        }
        cpu_time() - begun
    };
    lakh_core::block_on(rounds).expect("a shard") / EACH
}

/// CPU for each hash of the pool, with a task that waits for it.
fn tasks() -> Duration {
    let hash = async || {
        let job = lakh_core::with(|shard| shard.pool().run(Lane::CPU, || plain(TINY))).expect("room");
        job.await.expect("a result")
    };
    let rounds = async move {
        let begun = cpu_time();
        for _ in 0..TIMES {
            let hashes: Vec<_> = (0..QUEUED).map(|_| lakh_core::spawn(hash())).collect();
            for hash in hashes {
                black_box(hash.await.expect("a result"));
            }
        }
        cpu_time() - begun
    };
    lakh_core::block_on(rounds).expect("a shard") / EACH
}

/// CPU for each hash of a `Hasher`, with a task that waits for it.
fn hashes() -> Duration {
    let rounds = async {
        let hasher = Hasher::new(TINY).expect("costs").limit(QUEUED);
        let begun = cpu_time();
        for _ in 0..TIMES {
            all(hasher.clone(), QUEUED).await;
        }
        cpu_time() - begun
    };
    lakh_core::block_on(rounds).expect("a shard") / EACH
}

/// Of all threads of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The median of some figures, and an interval around it.
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Spread {
        figures.sort_by(f64::total_cmp);
        let last = figures.len() - 1;
        let edge = LEFT_OUT.min(last / 2);
        Spread { low: figures[edge], median: figures[last / 2], high: figures[last - edge] }
    }

    fn text(&self, digits: usize) -> String {
        let Spread { low, median, high } = self;
        format!("{median:.digits$} ({low:.digits$}–{high:.digits$})")
    }
}

use super::{Middleware, Next};
use crate::{HandlerError, Head, IntoResponse, Request, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use std::{
    cell::RefCell,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    rc::Rc,
    time::{Duration, Instant},
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Keys that share a place in the table.
const WAYS: usize = 8;
/// Keys that a table holds by default; 16 bytes each.
const KEYS: usize = 16 * 1024;

/// Lets each client make so many requests in a time; others get 429 with `Retry-After`.
///
/// A token bucket for each key: full it lets `requests` pass at once, and it fills up evenly, one for every
/// `per / requests`. By default the key is the client's address ([`Head::client_addr`]; IPv6 by its /64, which
/// is what one household or server has), so wrap [`ProxyHeaders`](super::ProxyHeaders) outside of this.
///
/// - **Each shard counts on its own**, since nothing is shared between them: a client whose connections are
///   spread over all shards gets so many times as much.
/// - **The table is bounded** ([`RateLimit::keys`]). When it is full, the keys with the fullest buckets among
///   a few are forgotten: who asks little loses nothing, and a flood of addresses takes no memory.
/// - Answers say what is left: `RateLimit` and `RateLimit-Policy` as in draft-ietf-httpapi-ratelimit-headers-10. Of
///   several limits around one handler, the innermost that was asked is the one that answers tell of.
///
/// ```
/// use lakh_http::{App, Head, middleware::RateLimit};
/// use std::time::Duration;
///
/// let app = App::new()
///     .get("/search", || "found")
///     .wrap(RateLimit::per_client(100, Duration::from_secs(60)))
///     .post("/login", async || "welcome")
///     .wrap_route(RateLimit::by(5, Duration::from_secs(60), |head: &Head<'_>| {
///         head.header("x-api-key").map(<[u8]>::to_vec)
///     }));
/// ```
pub struct RateLimit {
    bucket: Bucket,
    policy: HeaderValue,
    /// What a key hashes to; `None` for requests that are not limited.
    key: Box<KeyHash>,
    table: RefCell<Table>,
    epoch: Instant,
}

type KeyHash = dyn Fn(&RandomState, &Head<'_>) -> Option<u64>;

impl RateLimit {
    /// So many requests of each client's address in `per`.
    ///
    /// # Panics
    /// If `requests` or `per` is 0.
    #[track_caller]
    pub fn per_client(requests: u32, per: Duration) -> Self {
        Self::by(requests, per, |head| head.client_addr().ok().map(|client| network(client.ip())))
    }

    /// So many requests of each key in `per`. Requests without a key are not limited.
    ///
    /// Only a keyed hash of it is kept, so keys may be long and are not stored.
    ///
    /// # Panics
    /// If `requests` or `per` is 0.
    #[track_caller]
    pub fn by<K: Hash>(requests: u32, per: Duration, key: impl Fn(&Head<'_>) -> Option<K> + 'static) -> Self {
        assert!(requests > 0 && !per.is_zero(), "a rate limit of nothing lets nobody in");
        let policy = format!("\"default\";q={requests};w={}", seconds(nanos(per)));
        RateLimit {
            bucket: Bucket::new(requests, per),
            policy: HeaderValue::try_from(policy).expect("digits are legal in a header"),
            key: Box::new(move |hasher, head| key(head).map(|key| hasher.hash_one(key))),
            table: RefCell::new(Table::new(KEYS)),
            epoch: Instant::now(),
        }
    }

    /// How many keys are remembered, on each shard; 16 bytes each, 16,384 by default.
    pub fn keys(self, count: usize) -> Self {
        RateLimit { table: RefCell::new(Table::new(count)), ..self }
    }

    fn take(&self, head: &Head<'_>) -> Option<Taken> {
        // The key is the user's code: nothing is borrowed while it runs.
        let hasher = self.table.borrow().hasher.clone();
        let hash = (self.key)(&hasher, head)?;
        let now = nanos(self.epoch.elapsed());
        Some(self.bucket.take(self.table.borrow_mut().full_at(hash, now), now))
    }

    fn tell(&self, response: &mut Response, taken: &Taken) {
        if response.header(RATE_LIMIT).is_some() {
            return; // a limit further in has spoken
        }
        let limit = format!("\"default\";r={};t={}", taken.left, seconds(taken.wait));
        let limit = HeaderValue::try_from(limit).expect("digits are legal in a header");
        response.set_header(RATE_LIMIT, limit);
        response.set_header(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Middleware for RateLimit {
    async fn handle(self: Rc<Self>, request: Request, next: Next) -> Response {
        let taken = self.take(&request.head());
        let Some(taken) = taken else { return next.run(request).await };
        let mut response = if taken.passes {
            next.run(request).await
        } else {
            HandlerError::status_only(StatusCode::TOO_MANY_REQUESTS)
                .with_header(header::RETRY_AFTER, seconds(taken.wait))
                .into_response()
        };
        self.tell(&mut response, &taken);
        response
    }
}

/// An IPv6 customer has a /64 at least.
fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

/// Whole seconds, rounded up.
fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}

/// A token bucket as the time at which it will be full: one number, and nothing to refill. Times are
/// nanoseconds from the middleware's start.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// What one request costs.
    cost: u64,
    /// What a full bucket holds.
    size: u64,
}

/// What a request has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    passes: bool,
    /// Requests that would pass now.
    left: u64,
    /// Until one more passes.
    wait: u64,
}

impl Bucket {
    fn new(requests: u32, per: Duration) -> Self {
        let cost = (nanos(per) / u64::from(requests)).max(1);
        Bucket { cost, size: cost.saturating_mul(u64::from(requests)).min(u64::MAX / 2) }
    }

    fn take(self, full_at: &mut u64, now: u64) -> Taken {
        let empty = (*full_at).saturating_sub(now);
        let after = empty.saturating_add(self.cost);
        if after > self.size {
            return Taken { passes: false, left: 0, wait: after - self.size };
        }
        *full_at = now.saturating_add(after);
        let left = (self.size - after) / self.cost;
        // The bucket fills evenly: a whole request's worth is there when the started one is full.
        let wait = after - (self.size - (left + 1) * self.cost).min(after);
        Taken { passes: true, left, wait }
    }
}

/// Which key's bucket is full when. A key's hash tells the set of places that it may have.
struct Table {
    hasher: RandomState,
    sets: Box<[[Entry; WAYS]]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    key: u64,
    full_at: u64,
}

impl Table {
    fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(1);
        Table { hasher: RandomState::new(), sets: vec![[Entry::default(); WAYS]; sets].into() }
    }

    /// The bucket of a key. It takes the place of the one that is full first if there is no other.
    fn full_at(&mut self, key: u64, now: u64) -> &mut u64 {
        let at = (u128::from(key) * self.sets.len() as u128) >> 64;
        let set = &mut self.sets[at as usize];
        let place = set.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let first = (0..WAYS).min_by_key(|&place| set[place].full_at).unwrap_or_default();
            set[first] = Entry { key, full_at: now };
            first
        });
        &mut set[place].full_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn passes(bucket: Bucket, full_at: &mut u64, now: u64) -> bool {
        bucket.take(full_at, now).passes
    }

    #[test]
    fn a_full_bucket_passes_its_size_at_once_and_then_its_rate() {
        let bucket = Bucket::new(3, Duration::from_secs(3));
        let mut full_at = 0;
        let now = 100 * SECOND;
        let taken: Vec<_> = (0..4).map(|_| bucket.take(&mut full_at, now)).collect();
        assert_eq!(taken[0], Taken { passes: true, left: 2, wait: SECOND });
        assert_eq!(taken[2], Taken { passes: true, left: 0, wait: SECOND });
        assert_eq!(taken[3], Taken { passes: false, left: 0, wait: SECOND });
        assert!(!passes(bucket, &mut full_at, now + SECOND - 1), "refusals cost nothing");
        assert!(passes(bucket, &mut full_at, now + SECOND));
        assert!(!passes(bucket, &mut full_at, now + SECOND));
        assert_eq!((0..9).filter(|_| passes(bucket, &mut full_at, now + 60 * SECOND)).count(), 3);
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let mut full_at = 0;
        let bucket = Bucket::new(u32::MAX, Duration::MAX);
        assert!(passes(bucket, &mut full_at, u64::MAX / 4));
        assert!(passes(Bucket::new(u32::MAX, Duration::from_nanos(1)), &mut 0, 1));
    }

    #[test]
    fn a_full_table_forgets_the_fullest_bucket_and_stays_as_it_is() {
        let mut table = Table::new(WAYS);
        assert_eq!(table.sets.len(), 1);
        for key in 1..=WAYS as u64 {
            *table.full_at(key, 0) = 100 + key;
        }
        *table.full_at(99, 50) += 1000;
        assert_eq!(*table.full_at(99, 50), 1050, "the new one is there");
        assert_eq!(*table.full_at(2, 50), 102, "so is the one that was emptier");
        assert_eq!(*table.full_at(1, 50), 50, "the fullest was forgotten");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}

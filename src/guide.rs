//! The guide: short chapters whose code is compiled and run as tests.
//!
//! 1. [A first service](first_service), from an empty folder
//! 2. [State](state): of a shard, and shared
//! 3. [Errors](errors): what becomes of them, and where they are rendered
//! 4. [Streaming](streaming): bodies in both directions, events
//! 5. [WebSockets](websockets): connections that stay, topics for many of them
//! 6. [Testing](testing): without a port, and with one
//! 7. [Cancellation](cancellation): what happens to a handler when its client goes away
//! 8. [Logging in](login): cookies, forms, authentication, CORS
//! 9. [Passwords and tokens](passwords): hashes, password files, random bytes
//! 10. [Files](files): read, written and streamed without holding up a shard
//! 11. [Compression](compression): of answers, and of bytes of your own
//! 12. [Child processes and signals](processes): programs behind a route, SIGHUP
//! 13. [Timers](timers): sleeps, intervals, and what keeps a shard alive
//! 14. [With tokio and tower](bridges): sqlx, reqwest, axum, layers
//! 15. [Deployment](deployment): systemd, limits, proxies
//! 16. [Seeing inside](diagnostics): metrics, a page, `lakh top`, what lives on a shard
//! 17. [Load testing](load_testing): `lakh load`, its reports, and a million connections
//! 18. [The loop](the_loop): descriptors, hooks, terminals
//!
//! The chapters are the files in `docs/guide`.

#[doc = include_str!("../docs/guide/first-service.md")]
pub mod first_service {}

#[doc = include_str!("../docs/guide/state.md")]
pub mod state {}

#[doc = include_str!("../docs/guide/errors.md")]
pub mod errors {}

#[doc = include_str!("../docs/guide/streaming.md")]
pub mod streaming {}

#[cfg(feature = "ws")]
#[doc = include_str!("../docs/guide/websockets.md")]
pub mod websockets {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/guide/cancellation.md")]
pub mod cancellation {}

#[cfg(feature = "password")]
#[doc = include_str!("../docs/guide/login.md")]
pub mod login {}

#[cfg(feature = "password")]
#[doc = include_str!("../docs/guide/passwords.md")]
pub mod passwords {}

#[doc = include_str!("../docs/guide/files.md")]
pub mod files {}

#[cfg(feature = "compress")]
#[doc = include_str!("../docs/guide/compression.md")]
pub mod compression {}

#[doc = include_str!("../docs/guide/processes.md")]
pub mod processes {}

#[doc = include_str!("../docs/guide/timers.md")]
pub mod timers {}

// Its code needs crates that this one does without: `bridges-test` compiles and runs it.
#[cfg_attr(not(doctest), doc = include_str!("../docs/guide/bridges.md"))]
pub mod bridges {}

#[doc = include_str!("../docs/guide/deployment.md")]
pub mod deployment {}

#[doc = include_str!("../docs/guide/diagnostics.md")]
pub mod diagnostics {}

#[doc = include_str!("../docs/guide/load-testing.md")]
pub mod load_testing {}

#[doc = include_str!("../docs/guide/loop.md")]
pub mod the_loop {}

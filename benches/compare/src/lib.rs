//! Measures lakh beside other servers on one machine, in one run.
//!
//! The package stands outside the workspace, so that nobody who uses lakh compiles hyper or actix-web.
//! Its binaries are the peers (`floor`, `hyper_server`, `axum_server`, `actix_server`; for WebSockets `ws_floor`,
//! `fastwebsockets_server`, `tungstenite_server`), two lakh services (`lakh_service`, `busy_service`), a load generator (`load`), one
//! that opens very many WebSockets (`ws_connect`), and the runner (`compare`), which is the one to start; `README.md` says how.
//!
//! It does not measure across machines, it does not warm caches for anyone, and it has no opinion about
//! requests that are not answered with 200: any such answer ends the run, but for 503 where there is overload.

pub mod broadcast;
pub mod error;
pub mod flags;
pub mod greedy;
pub mod histogram;
pub mod http;
pub mod load;
pub mod machine;
pub mod open_loop;
pub mod process;
pub mod stats;
pub mod sys;
pub mod table;
pub mod tokio_shards;
pub mod ws;

pub use error::{Context, Error, Result};

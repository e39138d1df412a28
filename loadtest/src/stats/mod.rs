//! What a run counts and measures.

mod cause;
mod held;
mod latency;
mod outcome;
mod tally;

pub use cause::{Cause, Failures};
pub use held::{Growth, Held};
pub use latency::Latency;
pub use outcome::{Ended, Outcome, Sample, Usage};
pub use tally::{Broadcast, Connections, Tally};

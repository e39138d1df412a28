//! WebSocket connections on Lakh's event loops.
//!
//! So far this crate is the protocol alone, without I/O: [`proto`]. An idle connection's decoder takes eight bytes,
//! and a message that came whole is seen where it was read, without a copy and without an allocation.
//!
//! ```
//! use lakh_ws::proto::{Decoder, Event, Opcode, Rules, encode};
//!
//! let mut read = Vec::new();
//! encode::write_masked(&mut read, Opcode::Text, b"hello", [1, 2, 3, 4]);
//!
//! let decoded = Decoder::default().decode(&mut read, &Rules::server()).unwrap();
//! let Some(Event::Text(text)) = decoded.event else { panic!("one whole message was there") };
//! assert_eq!(text, "hello");
//! ```

#![forbid(unsafe_code)]

pub mod proto;

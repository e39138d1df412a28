//! What the operating system must provide.

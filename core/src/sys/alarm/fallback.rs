//! Nothing finer than the timer wheel.

use std::{io, task::Context, time::Duration};

pub(crate) struct Alarm;

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn set(&mut self, _: Duration, _: &mut Context<'_>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

//! What connections take that only stand.

use std::time::Duration;

/// The time in which connections only stood, at its end: before anything was asked of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How long they stood; where there are stages, from the end of these on.
    pub time: Duration,
    /// Connections that stood at the end.
    pub open: u64,
    /// Connections that broke meanwhile.
    pub lost: u64,
    /// Anonymous memory of this process: heap and stacks, without the program's file.
    pub client: Option<Growth>,
    /// That of the server's process, if its number was given.
    pub server: Option<Growth>,
    /// Memory of the kernel for its own structures (slab), for all that this machine does: of both ends of a connection
    /// if the server is here, too.
    pub slab: Option<Growth>,
    /// Memory of the kernel for what is in the buffers of TCP and UDP sockets, all of this machine's.
    pub sockets: Option<Growth>,
}

/// Memory in bytes before the first connection, and at the end of the time in which they stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Before the first connection.
    pub before: u64,
    /// At the end.
    pub held: u64,
}

impl Growth {
    /// What was added.
    pub fn added(self) -> u64 {
        self.held.saturating_sub(self.before)
    }
}

impl Held {
    /// What each connection takes of `growth`, in bytes; `None` without a connection.
    pub fn per_connection(&self, growth: Growth) -> Option<u64> {
        growth.added().checked_div(self.open)
    }

    /// What the kernel took: [`slab`](Self::slab) and [`sockets`](Self::sockets).
    pub fn kernel(&self) -> Option<Growth> {
        let (slab, sockets) = (self.slab?, self.sockets?);
        Some(Growth { before: slab.before + sockets.before, held: slab.held + sockets.held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_takes_what_was_added() {
        let growth = Growth { before: 1000, held: 4000 };
        let held = Held { open: 10, ..Held::default() };
        assert_eq!(held.per_connection(growth), Some(300));
        assert_eq!(held.per_connection(Growth { before: 5, held: 1 }), Some(0));
        assert_eq!(Held::default().per_connection(growth), None);
    }

    #[test]
    fn the_kernel_is_known_if_all_of_it_is() {
        let growth = Some(Growth { before: 10, held: 30 });
        let held = Held { slab: growth, sockets: growth, ..Held::default() };
        assert_eq!(held.kernel(), Some(Growth { before: 20, held: 60 }));
        assert_eq!(Held { sockets: None, ..held }.kernel(), None);
    }
}

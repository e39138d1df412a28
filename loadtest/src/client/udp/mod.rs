//! Datagrams that a server sends back.

mod flight;
mod peer;

use super::{Client, Pattern};
use crate::{engine::Local, plan::Plan};
use peer::Peer;
use std::rc::Rc;

pub(crate) struct Udp {
    pattern: Pattern,
}

impl Udp {
    pub(crate) fn new(plan: &Plan) -> Self {
        Udp { pattern: Pattern::new(plan.size) }
    }
}

impl Client for Udp {
    type Connection = Peer;

    fn connection(local: Rc<Local<Self>>, number: usize) -> Peer {
        Peer::new(local, number)
    }
}

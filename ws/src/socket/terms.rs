//! What connections have in common.

use crate::{
    Config,
    metrics::Counter,
    proto::{Role, Rules, deflate::Deflate},
    topics::LocalTopics,
};
use lakh_core::WorkName;
use std::{cell::RefCell, rc::Rc};

/// Terms that are kept for the next connections; clients that ask for yet others get some of their own.
const KEPT: usize = 64;

/// A route, or all connections that a client makes alike.
pub(crate) struct Route {
    pub(crate) config: Rc<Config>,
    role: Role,
    topics: Option<Rc<LocalTopics>>,
    counter: Option<Rc<Counter>>,
    made: RefCell<Vec<Rc<Terms>>>,
}

/// What a route's connections that have agreed on the same have in common.
pub(crate) struct Terms {
    pub(crate) config: Rc<Config>,
    pub(crate) role: Role,
    pub(crate) rules: Rules,
    pub(crate) deflate: Option<Deflate>,
    /// The subprotocol's place in the configuration.
    pub(crate) protocol: Option<usize>,
    /// What the watchdog calls them.
    pub(crate) work: WorkName,
    pub(crate) topics: Option<Rc<LocalTopics>>,
    /// What counts them, if anybody wants to know.
    pub(crate) counter: Option<Rc<Counter>>,
}

impl Route {
    pub(crate) fn new(config: Config, role: Role) -> Self {
        // A topic's frames are those of a server.
        let topics = config.topics.as_ref().filter(|_| role == Role::Server);
        let topics = topics.map(|topics| topics.local(config.deflate.is_some()));
        let counter = config.metrics.as_ref().map(|metrics| Rc::new(metrics.counter()));
        Route { config: Rc::new(config), role, topics, counter, made: RefCell::default() }
    }

    /// The terms for a connection that has agreed on this.
    pub(crate) fn terms(
        &self,
        deflate: Option<Deflate>,
        protocol: Option<usize>,
        work: WorkName,
    ) -> Rc<Terms> {
        let mut made = self.made.borrow_mut();
        let same =
            |terms: &&Rc<Terms>| terms.deflate == deflate && terms.protocol == protocol && terms.work == work;
        if let Some(terms) = made.iter().find(same) {
            return Rc::clone(terms);
        }
        let base = if self.role == Role::Server { Rules::server() } else { Rules::client() };
        let terms = Rc::new(Terms {
            config: Rc::clone(&self.config),
            role: self.role,
            rules: self.config.rules(base, deflate.is_some()),
            deflate,
            protocol,
            work,
            topics: self.topics.clone(),
            counter: self.counter.clone(),
        });
        if made.len() < KEPT {
            made.push(Rc::clone(&terms));
        }
        terms
    }
}

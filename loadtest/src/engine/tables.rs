//! How many descriptor tables a run needs.

use crate::{Plan, preflight::OTHER_DESCRIPTORS};

impl Plan {
    /// Gives each thread a descriptor table of its own if one table does not hold all connections, and as many
    /// threads as tables are needed then; `limit` is that of a table ([`Machine::descriptors`]). It changes nothing if
    /// that is impossible: elsewhere than on Linux, or with next to no descriptors.
    ///
    /// ```
    /// use lakh_loadtest::{Plan, plan::Target};
    ///
    /// let mut plan = Plan::new(Target::parse("ws://127.0.0.1:8080/").unwrap());
    /// plan.connections = 1_000_000;
    /// plan.fit_tables(20_000);
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!((plan.shards, plan.private_descriptors), (52, true));
    /// ```
    ///
    /// [`Machine::descriptors`]: crate::preflight::Machine::descriptors
    pub fn fit_tables(&mut self, limit: u64) {
        let room = limit.saturating_sub(OTHER_DESCRIPTORS);
        let connections = self.connections as u64;
        let fits = connections <= room && !self.private_descriptors;
        if fits || room == 0 || !cfg!(target_os = "linux") {
            return;
        }
        self.private_descriptors = true;
        self.shards = self.shards.max(connections.div_ceil(room) as usize);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::engine::tests::plan;

    fn fit(connections: usize, shards: usize, limit: u64) -> (usize, bool) {
        let mut plan = plan();
        (plan.connections, plan.shards) = (connections, shards);
        plan.fit_tables(limit);
        (plan.shards, plan.private_descriptors)
    }

    #[test]
    fn tables_are_private_only_where_one_does_not_hold_all() {
        assert_eq!(fit(19_488, 2, 20_000), (2, false));
        assert_eq!(fit(19_489, 2, 20_000), (2, true));
        assert_eq!(fit(1_000_000, 2, 20_000), (52, true));
        assert_eq!(fit(1_000_000, 64, 20_000), (64, true));
        assert_eq!(fit(1_000_000, 2, u64::MAX), (2, false));
        assert_eq!(fit(1_000, 2, 512), (2, false), "nothing helps");
    }

    #[test]
    fn who_asks_for_private_tables_gets_enough_of_them() {
        let mut plan = plan();
        (plan.connections, plan.private_descriptors) = (50_000, true);
        plan.fit_tables(20_000);
        assert_eq!(plan.shards, 3);
    }
}

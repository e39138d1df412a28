//! Lanes of one's own, as services use them.

use lakh_core::{
    Runtime, blocking, blocking_on,
    pool::{Kind, Lane, LaneConfig, PoolConfig},
};
use std::{sync::mpsc, time::Duration};

const LONG: Duration = Duration::from_secs(60);

/// The database hangs: its lane has one worker and room for one more.
#[test]
fn a_named_lane_waits_for_itself_alone() {
    let mut config = PoolConfig::new(1);
    let database = config.add_lane("database", LaneConfig::new(Kind::Io).cap(1).queue_limit(1));
    let runtime = Runtime::builder().shards(1).pool(config).start(|_| Ok(())).unwrap();
    let (tell, told) = mpsc::channel();
    let test = move || async move {
        let (begun, has_begun) = mpsc::channel();
        let (end, until) = mpsc::channel::<()>();
        let hangs = blocking_on(database, move || {
            begun.send(()).unwrap();
            let _ = until.recv();
        });
        has_begun.recv_timeout(LONG).unwrap();
        let waits = blocking_on(database, || "rows");
        let refused = blocking_on(database, || "never").await.unwrap_err();
        assert!(refused.is_full() && refused.to_string().contains("`database`"), "{refused}");
        assert_eq!(blocking(|| "user").await.unwrap(), "user");
        assert_eq!(blocking_on(Lane::CPU, || "cpu").await.unwrap(), "cpu");
        drop(end);
        hangs.await.unwrap();
        tell.send(waits.await.unwrap()).unwrap();
    };
    runtime.shards().next().unwrap().spawn_on(test).unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), "rows");
}

//! Notices that jobs wait too long, and says so now and then.
//!
//! The thread that starts the workers looks at the queues, but only while something waits in them: an idle pool
//! sleeps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::config::THREADS_VARIABLE;
use super::lane::Kind;
use super::metrics::{SaturatedGroup, Saturation};

/// A lane in which a job has waited longer than this in the queue is saturated. As often is looked while
/// anything waits.
pub const SATURATED_AFTER: Duration = Duration::from_secs(1);

/// Between two warnings of the same lane.
const QUIET: Duration = Duration::from_secs(300);

/// When the queues are looked at next, and whether that may be said which is found.
pub(super) struct Watch<W> {
    pub(super) limit: Duration,
    next_look: Option<Instant>,
    /// Of each lane that was warned of.
    last_said: Vec<(Arc<str>, Instant)>,
    warn: W,
}

impl<W: FnMut(&Saturation)> Watch<W> {
    /// `limit`: how long a job may wait. `warn` must not block.
    pub(super) fn new(limit: Duration, warn: W) -> Watch<W> {
        Watch { limit, next_look: None, last_said: Vec::new(), warn }
    }

    /// How long until the queues are to be looked at; `None` if they are now.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.next_look.and_then(|at| at.checked_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Takes what was found in them.
    pub(super) fn looked(&mut self, found: &[Saturation], now: Instant) {
        self.next_look = now.checked_add(self.limit);
        for found in found {
            match self.last_said.iter_mut().find(|(lane, _)| *lane == found.lane) {
                Some((_, last)) if now.saturating_duration_since(*last) < QUIET => continue,
                Some((_, last)) => *last = now,
                None => self.last_said.push((Arc::clone(&found.lane), now)),
            }
            (self.warn)(found);
        }
    }
}

/// What is said of a lane.
pub(super) fn line(found: &Saturation) -> String {
    let Saturation { lane, oldest, queued, kind, workers, group } = found;
    let remedy = match kind {
        Kind::Io => format!(
            "if what they work on is not slow itself, give the pool more threads: {THREADS_VARIABLE}, or what else \
             sets them"
        ),
        Kind::Cpu => "give the process more processors, or less to compute".to_owned(),
    };
    format!(
        "lakh: the pool is saturated: {queued} jobs wait in the lane `{lane}`, one of them for {:.1} s; {}there are \
         {workers} {} workers ({remedy})",
        oldest.as_secs_f64(),
        group.map(of_group).unwrap_or_default(),
        kind.name(),
    )
}

fn of_group(group: SaturatedGroup) -> String {
    let SaturatedGroup { number, running } = group;
    let group = number.map_or("no group".to_owned(), |number| format!("group {number}"));
    format!("all are of {group} (with files: a mount), which runs {running} and may run no more; ")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn found(kind: Kind) -> Saturation {
        let oldest = Duration::from_millis(2_340);
        Saturation { lane: "file".into(), oldest, queued: 17, kind, workers: 4, group: None }
    }

    #[test]
    fn what_is_said_once_of_a_lane_is_not_said_again_for_five_minutes() {
        let mut said = Vec::new();
        let mut watch = Watch::new(SATURATED_AFTER, |found: &Saturation| said.push(Arc::clone(&found.lane)));
        let start = Instant::now();
        let file = found(Kind::Io);
        let cpu = Saturation { lane: "cpu".into(), ..found(Kind::Cpu) };
        watch.looked(&[], start);
        for second in 0..900 {
            let both = [file.clone(), cpu.clone()];
            // The other one comes while the first is not to be said again.
            watch.looked(if second < 10 { &both[..1] } else { &both }, start + Duration::from_secs(second));
        }
        let of = |name: &str| said.iter().filter(|lane| ***lane == *name).count();
        assert_eq!((of("file"), of("cpu")), (3, 3));
    }

    #[test]
    fn the_next_look_is_as_far_away_as_a_job_may_wait() {
        let mut watch = Watch::new(SATURATED_AFTER, |_: &Saturation| ());
        let start = Instant::now();
        assert_eq!(watch.left(start), None);
        watch.looked(&[], start);
        assert_eq!(watch.left(start), Some(SATURATED_AFTER));
        assert_eq!(watch.left(start + SATURATED_AFTER), None);
    }

    #[test]
    fn a_warning_names_the_lane_the_wait_the_size_and_what_to_do() {
        assert_eq!(
            line(&found(Kind::Io)),
            "lakh: the pool is saturated: 17 jobs wait in the lane `file`, one of them for 2.3 s; there are \
             4 io workers (if what they work on is not slow itself, give the pool more threads: \
             LAKH_POOL_THREADS, or what else sets them)"
        );
        assert!(
            line(&found(Kind::Cpu))
                .ends_with("there are 4 cpu workers (give the process more processors, or less to compute)")
        );
    }

    #[test]
    fn a_warning_of_one_group_names_it() {
        let told = |number| {
            line(&Saturation { group: Some(SaturatedGroup { number, running: 2 }), ..found(Kind::Io) })
        };
        let text = told(Some(93));
        let named = "for 2.3 s; all are of group 93 (with files: a mount), which runs 2 and may run no more; there are";
        assert!(text.contains(named), "{text}");
        assert!(told(None).contains("; all are of no group (with files: a mount), which runs 2 and"));
    }
}

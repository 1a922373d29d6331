//! How fast a replay without a rate goes while live events come in.
//!
//! Alone it takes what the machine has; beside live traffic it would take its share of cores and disk from
//! that, and live events would wait. So it goes gently as long as events are taken in. Who gives a rate has
//! decided.

use super::pace::{SAVED_BESIDE, SAVED_OF_ASKED};
use crate::metrics::Metrics;
use dacapo_model::{Id, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Items per second of all replays without a rate together, while live events come in.
const RATE_BESIDE_LIVE: u32 = 250;
/// Live traffic is over when nothing came for so long.
const LIVE_FOR: Duration = Duration::from_secs(1);
/// A replay that asked for nothing for so long is paused, or waits for its endpoints: the others have its share.
const GOING_FOR: Duration = Duration::from_secs(2);
/// Between two pages of a replay with a rate: each takes what the rate allows since the one before.
const PACE_EVERY: Duration = Duration::from_millis(100);
/// The same beside live traffic where one thread writes for all, for each replay under way: a page's items are a
/// burst that others wait behind. Where many write, a page costs by itself, whatever it holds.
const PACE_BESIDE_EVERY: Duration = Duration::from_millis(20);

pub struct Beside {
    metrics: Arc<Metrics>,
    /// How far pages of one replay are apart, when it is the only one.
    every: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Events taken in, at the last look.
    events: u64,
    live_until: Option<Timestamp>,
    /// Replays without a rate, as many as are driven at most, and when each asked for the last time.
    going: HashMap<Id, Timestamp>,
}

/// How a replay goes for now.
pub struct Gait {
    /// Items per second; `None`: as fast as it can.
    pub rate: Option<u32>,
    /// What of the rate may be saved up.
    pub saves: Duration,
    /// Between two pages.
    pub every: Duration,
}

impl Beside {
    pub fn new(metrics: Arc<Metrics>, is_shared: bool) -> Self {
        let every = if is_shared { PACE_EVERY } else { PACE_BESIDE_EVERY };
        Self { metrics, every, seen: Mutex::default() }
    }

    /// What a replay that was asked for with this rate may do now.
    pub fn gait(&self, replay: Id, asked: Option<u32>, now: Timestamp) -> Gait {
        if asked.is_some() {
            return Gait { rate: asked, saves: SAVED_OF_ASKED, every: PACE_EVERY };
        }
        let events = self.metrics.committed.get();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut seen.events, events) != events {
            seen.live_until = Some(now.plus(LIVE_FOR));
        }
        seen.going.retain(|_, at| now.since(*at) < GOING_FOR);
        seen.going.insert(replay, now);
        let going = u32::try_from(seen.going.len()).unwrap_or(u32::MAX);
        let is_live = seen.live_until.is_some_and(|until| now < until);
        Gait {
            rate: is_live.then_some((RATE_BESIDE_LIVE / going).max(1)),
            saves: SAVED_BESIDE,
            // What is saved up meanwhile must not be lost.
            every: self.every.saturating_mul(going).min(SAVED_BESIDE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + ms)
    }

    fn replay(number: u64) -> Id {
        Id::from_parts(number, 0)
    }

    #[test]
    fn a_replay_goes_gently_while_events_come_in_and_freely_a_second_later() {
        let metrics = Arc::new(Metrics::default());
        let beside = Beside::new(Arc::clone(&metrics), false);
        let rate = |asked, ms| beside.gait(replay(1), asked, at(ms)).rate;
        assert_eq!(rate(None, 0), None, "nothing comes in");
        metrics.committed.inc();
        assert_eq!(rate(None, 10), Some(RATE_BESIDE_LIVE));
        assert_eq!(rate(Some(50_000), 500), Some(50_000), "a rate that was asked for holds");
        assert_eq!(rate(None, 1_009), Some(RATE_BESIDE_LIVE));
        assert_eq!(rate(None, 1_010), None);
    }

    #[test]
    fn replays_under_way_share_what_is_left_to_them_and_one_that_stands_still_has_no_share() {
        let metrics = Arc::new(Metrics::default());
        let beside = Beside::new(Arc::clone(&metrics), false);
        metrics.committed.inc();
        for number in 1..4 {
            beside.gait(replay(number), None, at(0));
        }
        beside.gait(replay(5), Some(10), at(0));
        let fourth = beside.gait(replay(4), None, at(500));
        assert_eq!(fourth.rate, Some(RATE_BESIDE_LIVE / 4), "one with a rate of its own takes none of it");
        assert_eq!(fourth.every, PACE_BESIDE_EVERY * 4, "and not four times as many pages");
        metrics.committed.inc();
        let alone = beside.gait(replay(4), None, at(2_400));
        assert_eq!(alone.rate, Some(RATE_BESIDE_LIVE), "the others asked for nothing for two seconds");
        assert_eq!(alone.every, PACE_BESIDE_EVERY);
    }
}

//! How fast a replay without a rate goes while live events come in.
//!
//! Alone it takes what the machine has; beside live traffic it would take its share of cores and disk from
//! that, and live events would wait. So it goes gently as long as events are taken in. Who gives a rate has
//! decided.

use crate::metrics::Metrics;
use dacapo_model::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Items per second of all replays without a rate together, while live events come in.
const RATE_BESIDE_LIVE: u32 = 500;
/// Live traffic is over when nothing came for so long.
const LIVE_FOR: Duration = Duration::from_secs(1);

pub struct Beside {
    metrics: Arc<Metrics>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Events taken in, at the last look.
    events: u64,
    live_until: Option<Timestamp>,
}

impl Beside {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, seen: Mutex::default() }
    }

    /// What a replay that was asked for with this rate may do now, as one of `replays` under way.
    pub fn rate(&self, asked: Option<u32>, replays: usize, now: Timestamp) -> Option<u32> {
        let events = self.metrics.committed.get();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut seen.events, events) != events {
            seen.live_until = Some(now.plus(LIVE_FOR));
        }
        let is_live = seen.live_until.is_some_and(|until| now < until);
        let share = RATE_BESIDE_LIVE / u32::try_from(replays.max(1)).unwrap_or(u32::MAX);
        asked.or(is_live.then_some(share.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_goes_gently_while_events_come_in_and_freely_a_second_later() {
        let metrics = Arc::new(Metrics::default());
        let beside = Beside::new(Arc::clone(&metrics));
        let at = |ms: i64| Timestamp::from_millis(1_790_000_000_000 + ms);
        assert_eq!(beside.rate(None, 1, at(0)), None, "nothing comes in");
        metrics.committed.inc();
        assert_eq!(beside.rate(None, 1, at(10)), Some(RATE_BESIDE_LIVE));
        assert_eq!(beside.rate(None, 4, at(500)), Some(RATE_BESIDE_LIVE / 4), "together no more");
        assert_eq!(beside.rate(Some(50_000), 4, at(500)), Some(50_000), "a rate that was asked for holds");
        assert_eq!(beside.rate(None, 1, at(1_009)), Some(RATE_BESIDE_LIVE));
        assert_eq!(beside.rate(None, 1, at(1_010)), None);
    }
}

//! A replay's rate: how much of it may be taken now, and when more; and how it is written down how fast it is.

use dacapo_model::replay::Marks;
use dacapo_model::{Replay, Timestamp};
use std::time::Duration;

/// What a rate may save up while nothing is sent: a step on a busy store takes some tenths of a second, and what
/// it keeps back is to be made up for.
const BURST_MAX: Duration = Duration::from_secs(1);

/// How many items a rate allows.
pub struct Pace {
    saved: f64,
    at: Timestamp,
    /// Nothing was marked since this node drives it: what was marked before, another one or process did.
    is_unmarked: bool,
}

impl Pace {
    pub const fn starting(now: Timestamp) -> Self {
        Self { saved: 0.0, at: now, is_unmarked: true }
    }

    /// So many may be taken now.
    pub fn leave(&mut self, rate: Option<u32>, now: Timestamp) -> usize {
        let passed = now.since(self.at);
        self.at = now;
        let Some(rate) = rate else {
            self.saved = 0.0;
            return usize::MAX;
        };
        let rate = f64::from(rate);
        let burst = (rate * BURST_MAX.as_secs_f64()).max(1.0);
        self.saved = (self.saved + rate * passed.as_secs_f64()).min(burst);
        self.saved.max(0.0) as usize
    }

    /// Until there is leave for one.
    pub fn wait(&self, rate: Option<u32>) -> Duration {
        rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64((1.0 - self.saved).max(0.0) / f64::from(rate.max(1)))
        })
    }

    pub fn took(&mut self, items: u64) {
        self.saved -= items as f64;
    }

    /// What is to be written of how fast it is, if anything.
    pub fn marks(&self, replay: &Replay, now: Timestamp) -> Option<Marks> {
        replay.progress.marks.with(replay.revision, replay.counts.settled(), now, self.is_unmarked)
    }

    /// They are written.
    pub fn has_marked(&mut self) {
        self.is_unmarked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::PAGE_ITEMS_MAX;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the steps: no more than the rate allows since the start.
        #[test]
        fn a_rate_is_kept(rate in 1u32..5_000, steps in prop::collection::vec(1u64..400, 1..200)) {
            let start = Timestamp::from_millis(1_000_000);
            let (mut now, mut sent, mut pace) = (start, 0u64, Pace::starting(start));
            for ms in steps {
                now = now.plus(Duration::from_millis(ms));
                let items = pace.leave(Some(rate), now).min(PAGE_ITEMS_MAX) as u64;
                pace.took(items);
                sent += items;
                let most = f64::from(rate) * now.since(start).as_secs_f64();
                prop_assert!(sent as f64 <= most + 1.0, "{sent} > {most}");
            }
        }
    }
}

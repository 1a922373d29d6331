//! A replay's rate: how much of it may be taken now, and when more; and how it is written down how fast it is.

use dacapo_model::replay::Marks;
use dacapo_model::{Replay, Timestamp};
use std::time::Duration;

/// What a rate that was asked for may save up while nothing is taken: a step on a busy store takes some tenths of a
/// second, and what it keeps back is to be made up for.
pub const SAVED_OF_ASKED: Duration = Duration::from_secs(1);
/// The same of the rate beside live traffic, which is nobody's wish: it would only delay that.
pub const SAVED_BESIDE: Duration = Duration::from_millis(200);

/// How many items a rate allows.
pub struct Pace {
    saved: f64,
    /// Until when it was saved up; `None`: it rests, and begins anew when it is asked for the next time.
    at: Option<Timestamp>,
    /// Nothing was marked since this node drives it: what was marked before, another one or process did.
    is_unmarked: bool,
}

impl Pace {
    pub const fn starting(now: Timestamp) -> Self {
        Self { saved: 0.0, at: Some(now), is_unmarked: true }
    }

    /// So many may be taken now. `saves_most`: what the rate may have saved up.
    pub fn leave(&mut self, rate: Option<u32>, saves_most: Duration, now: Timestamp) -> usize {
        let passed = self.at.map_or(Duration::ZERO, |at| now.since(at));
        self.at = Some(now);
        let Some(rate) = rate else {
            self.saved = 0.0;
            return usize::MAX;
        };
        let rate = f64::from(rate);
        let most = (rate * saves_most.as_secs_f64()).max(1.0);
        self.saved = (self.saved + rate * passed.as_secs_f64()).min(most);
        self.saved.max(0.0) as usize
    }

    /// A pause is nothing to be made up for, however long it lasts.
    pub fn rests(&mut self) {
        (self.saved, self.at) = (0.0, None);
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

    #[test]
    fn what_a_slow_step_kept_back_is_made_up_for_and_a_pause_is_not() {
        let start = Timestamp::from_millis(1_000_000);
        let at = |ms| start.plus(Duration::from_millis(ms));
        let mut pace = Pace::starting(start);
        assert_eq!(pace.leave(Some(100), SAVED_OF_ASKED, at(600)), 60);
        pace.took(60);
        assert_eq!(pace.leave(Some(100), SAVED_OF_ASKED, at(9_000)), 100, "a second's worth at most");
        pace.took(100);
        assert_eq!(pace.leave(Some(100), SAVED_BESIDE, at(12_000)), 20);
        pace.rests();
        assert_eq!(pace.leave(Some(100), SAVED_OF_ASKED, at(20_000)), 0);
        assert_eq!(pace.leave(Some(100), SAVED_OF_ASKED, at(20_050)), 5);
    }

    proptest! {
        /// Whatever the steps: no more than the rate allows since the start.
        #[test]
        fn a_rate_is_kept(rate in 1u32..5_000, steps in prop::collection::vec(1u64..400, 1..200)) {
            let start = Timestamp::from_millis(1_000_000);
            let (mut now, mut sent, mut pace) = (start, 0u64, Pace::starting(start));
            for ms in steps {
                now = now.plus(Duration::from_millis(ms));
                let items = pace.leave(Some(rate), SAVED_OF_ASKED, now).min(PAGE_ITEMS_MAX) as u64;
                pace.took(items);
                sent += items;
                let most = f64::from(rate) * now.since(start).as_secs_f64();
                prop_assert!(sent as f64 <= most + 1.0, "{sent} > {most}");
            }
        }
    }
}

//! Fan-outs that could not be continued and are left alone for a while.

use dacapo_model::{Id, Timestamp};
use dacapo_store::StoreError;
use std::collections::HashMap;
use std::time::Duration;

/// After the first failure. What the store cannot do now is tried again after this each time; what does
/// not read as it was written, after twice as long each time.
const REST_MIN: Duration = Duration::from_millis(500);
/// The longest rest.
pub const REST_MAX: Duration = Duration::from_secs(32);
/// Kept in mind; one that finds no place is tried again when its turn comes.
const RESTING_MAX: usize = 1_024;

#[derive(Default)]
pub struct Resting(HashMap<Id, Rest>);

struct Rest {
    until: Timestamp,
    length: Duration,
}

impl Resting {
    /// Whether there is none to come back to soon.
    pub fn is_empty(&mut self, now: Timestamp) -> bool {
        // Not come back to since its rest was over: finished elsewhere.
        self.0.retain(|_, rest| now < rest.until.plus(REST_MAX));
        self.0.is_empty()
    }

    pub fn rests(&self, event: Id, now: Timestamp) -> bool {
        // A clock that was set back must not make it rest for ever.
        self.0.get(&event).is_some_and(|rest| now < rest.until && rest.until.since(now) <= REST_MAX)
    }

    /// Gives for how long.
    pub fn begin(&mut self, event: Id, cause: &StoreError, now: Timestamp) -> Duration {
        let before = self.0.remove(&event).map(|rest| rest.length);
        let length = match before {
            Some(before) if !cause.is_unavailable() => (before * 2).min(REST_MAX),
            _ => REST_MIN,
        };
        if self.0.len() >= RESTING_MAX {
            // Finished elsewhere, or about to be tried again.
            self.0.retain(|_, rest| rest.until > now);
        }
        if self.0.len() < RESTING_MAX {
            self.0.insert(event, Rest { until: now.plus(length), length });
        }
        length
    }

    pub fn end(&mut self, event: Id) {
        self.0.remove(&event);
    }
}

//! What the node that sends to an endpoint tells everybody of its health: kept with the configuration,
//! so that every node shows it and a new owner goes on from it.
//!
//! It is told when the breaker opens or closes, and when the failure rate moved a good deal
//! ([`Health::has_moved`]); not with every attempt. In between the owner knows more than the others.

use crate::breaker::{Breaker, Counts, Policy, State};
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::id::Id;
use serde::{Deserialize, Serialize};

/// Percentage points by which the failure rate must have moved to be told again.
const TOLD_POINTS: f64 = 10.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    pub endpoint_id: Id,
    pub project_id: Id,
    /// The endpoint's `activation` it belongs to: under a later one the breaker starts anew.
    pub activation: u64,
    /// `None`: closed. A moment in the past: half-open.
    pub open_until: Option<Timestamp>,
    /// Trips in a row.
    pub trips: u32,
    /// Since the first of them.
    pub failing_since: Option<Timestamp>,
    /// Attempts of the observability window that ended at `reported_at`.
    pub successes: u64,
    pub failures: u64,
    pub reported_at: Timestamp,
    /// How often the breaker closed.
    #[serde(default)]
    pub heals: u64,
    /// When it last did.
    #[serde(default)]
    pub healed_at: Option<Timestamp>,
    /// What has been recovered from, whether or not there was anything to recover.
    #[serde(default)]
    pub recovered: Recovered,
}

/// The last heal of each kind that was acted upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    pub heals: u64,
    pub activation: u64,
}

/// What is shown of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    pub state: State,
    /// Percent of the attempts in the window; `None` when there were none.
    pub failure_rate: Option<f64>,
}

impl Shown {
    /// Of an endpoint that nobody reported anything of.
    pub const UNKNOWN: Self = Self { state: State::Closed, failure_rate: None };

    pub fn live(breaker: &Breaker, policy: &Policy, now: Timestamp) -> Self {
        Self { state: breaker.state(now), failure_rate: breaker.counts(policy, now).failure_rate() }
    }
}

impl Health {
    /// Of an endpoint that was never in trouble.
    pub fn new(endpoint: &Endpoint) -> Self {
        Self {
            endpoint_id: endpoint.id,
            project_id: endpoint.project_id,
            activation: endpoint.activation,
            open_until: None,
            trips: 0,
            failing_since: None,
            successes: 0,
            failures: 0,
            reported_at: Timestamp::default(),
            heals: 0,
            healed_at: None,
            recovered: Recovered::default(),
        }
    }

    pub fn counts(&self) -> Counts {
        Counts { successes: self.successes, failures: self.failures }
    }

    /// Whether it still says something of this endpoint.
    pub fn is_of(&self, endpoint: &Endpoint) -> bool {
        self.activation == endpoint.activation
    }

    /// The breaker as it was left.
    pub fn breaker(&self) -> Breaker {
        Breaker::restored(self.open_until, self.trips, self.failing_since)
    }

    /// As others than the owner show it: a rate whose attempts have all left the window is none.
    pub fn shown(&self, policy: &Policy, now: Timestamp) -> Shown {
        let is_recent = now.since(self.reported_at) < policy.window();
        Shown {
            state: self.breaker().state(now),
            failure_rate: is_recent.then(|| self.counts().failure_rate()).flatten(),
        }
    }

    /// Whether a rate is so far from the one that was told that it should be told again.
    pub fn has_moved(told: Option<f64>, now: Option<f64>) -> bool {
        (told.unwrap_or(0.0) - now.unwrap_or(0.0)).abs() >= TOLD_POINTS
    }
}

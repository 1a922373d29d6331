//! The circuit breaker of an endpoint (contracts/convoy.md §6.6): plain state, no clock, no lock. The
//! lane that owns it says what time it is, how many exchanges are under way, and what became of them.
//!
//! ```text
//!             failure rate, or a run of failures         error_timeout is over
//!   (closed) ────────────────────────────────────► open ──────────────────────► half-open
//!      ▲                                            ▲    and nothing is under way  │  │
//!      │                                            └─ the first probe fails, or ──┘  │
//!      │                                               too many do                    │
//!      └───────────────────────────────── enough probes succeed ─────────────────────┘
//! ```
//!
//! What is sent before the breaker opens may be answered while it is open: those answers count for
//! nothing, and probes wait until all of them are in, so that a probe is never taken for one of them.

mod policy;
#[cfg(test)]
mod tests;
mod window;

pub use policy::{Invalid, Policy};
pub use window::{Counts, Window};

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// Failures without a success between them that open the breaker whatever the rate says: an endpoint
/// with a long good past would otherwise be asked a hundred thousand times before its rate says so. More
/// where `minimum_request_count` is more.
pub const FAILURES_IN_A_ROW_MAX: u32 = 64;
/// Deliveries that a half-open breaker lets through at most, the first of them alone: a dead endpoint
/// costs one attempt per `error_timeout`.
pub const PROBES_MAX: u32 = 5;

/// What is shown as `cb_state`; Convoy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Why nothing may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is open, and looks again then.
    Until(Timestamp),
    /// What is under way decides.
    ForAnswers,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// `trips` in a row by now, this one included.
    Opened {
        until: Timestamp,
        trips: u32,
    },
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open,
    HalfOpen { sent: u32, succeeded: u32, failed: u32 },
}

#[derive(Clone, Debug)]
pub struct Breaker {
    phase: Phase,
    /// When the last trip's `error_timeout` is over.
    until: Timestamp,
    window: Window,
    failures_in_a_row: u32,
    trips: u32,
    /// Of the first trip of this outage.
    failing_since: Option<Timestamp>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            phase: Phase::Closed,
            until: Timestamp::default(),
            window: Window::default(),
            failures_in_a_row: 0,
            trips: 0,
            failing_since: None,
        }
    }
}

impl Breaker {
    /// As another process, or this one before it ended, left it behind: open until then, or closed.
    pub fn restored(open_until: Option<Timestamp>, trips: u32, failing_since: Option<Timestamp>) -> Self {
        match open_until {
            None => Self::default(),
            Some(until) => Self { phase: Phase::Open, until, trips: trips.max(1), failing_since, ..Self::default() },
        }
    }

    /// Whether a delivery may be sent now, with `under_way` of them sent and not answered. Who sends it
    /// says [`Self::sent`].
    pub fn may_send(&mut self, policy: &Policy, under_way: usize, now: Timestamp) -> Result<(), Wait> {
        let may = match self.phase {
            Phase::Closed => true,
            Phase::Open => {
                // A clock that jumped back, or a shorter time since it opened: nobody waits longer than the setting.
                self.until = self.until.min(now.plus(policy.error_timeout));
                if now < self.until {
                    return Err(Wait::Until(self.until));
                }
                under_way == 0
            }
            Phase::HalfOpen { sent, succeeded, .. } => {
                under_way == 0 || sent < if succeeded == 0 { 1 } else { PROBES_MAX }
            }
        };
        if may { Ok(()) } else { Err(Wait::ForAnswers) }
    }

    /// One is on its way, after [`Self::may_send`] said yes.
    pub fn sent(&mut self) {
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open => self.phase = Phase::HalfOpen { sent: 1, succeeded: 0, failed: 0 },
            Phase::HalfOpen { sent, .. } => *sent += 1,
        }
    }

    /// One that was on its way was not sent after all: its place is free.
    pub fn unsent(&mut self) {
        if let Phase::HalfOpen { sent, .. } = &mut self.phase {
            *sent = sent.saturating_sub(1);
        }
    }

    pub fn answered(&mut self, policy: &Policy, success: bool, now: Timestamp) -> Option<Turn> {
        self.window.record(policy.bucket_us, success, now);
        match self.phase {
            Phase::Closed if success => {
                self.failures_in_a_row = 0;
                None
            }
            Phase::Closed => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                let is_run = self.failures_in_a_row >= policy.failures_in_a_row;
                (is_run || policy.trips_on(self.window.counts(policy.bucket_us, now))).then(|| self.open(policy, now))
            }
            // Sent before it opened.
            Phase::Open => None,
            Phase::HalfOpen { sent, succeeded, failed } => {
                let (succeeded, failed) = (succeeded + u32::from(success), failed + u32::from(!success));
                self.phase = Phase::HalfOpen { sent, succeeded, failed };
                if succeeded >= policy.probes_to_close {
                    return Some(self.close());
                }
                let is_hopeless = succeeded == 0 || PROBES_MAX.saturating_sub(failed) < policy.probes_to_close;
                (!success && is_hopeless).then(|| self.open(policy, now))
            }
        }
    }

    fn open(&mut self, policy: &Policy, now: Timestamp) -> Turn {
        self.until = now.plus(policy.error_timeout);
        self.trips = self.trips.saturating_add(1);
        self.failing_since.get_or_insert(now);
        self.phase = Phase::Open;
        Turn::Opened { until: self.until, trips: self.trips }
    }

    /// What came before says nothing of the endpoint as it is now.
    fn close(&mut self) -> Turn {
        *self = Self::default();
        Turn::Closed
    }

    /// Whether nothing but probes may be sent, now or after a while.
    pub fn is_tripped(&self) -> bool {
        self.phase != Phase::Closed
    }

    /// Until when it is open; a moment in the past means it is half-open. `None`: it is closed.
    pub fn open_until(&self) -> Option<Timestamp> {
        self.is_tripped().then_some(self.until)
    }

    pub fn state(&self, now: Timestamp) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open if now < self.until => State::Open,
            Phase::Open | Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Since it last closed.
    pub fn trips(&self) -> u32 {
        self.trips
    }

    pub fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }

    /// Attempts of the window that ends now.
    pub fn counts(&self, policy: &Policy, now: Timestamp) -> Counts {
        self.window.counts(policy.bucket_us, now)
    }
}

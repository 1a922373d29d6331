//! What the node that sends to an endpoint tells everybody of its health: kept with the configuration,
//! so that every node shows it and a new owner goes on from it.
//!
//! It is told when the breaker opens or closes, and when the failure rate moved a good deal
//! ([`Health::has_moved`]); not with every attempt. In between the owner knows more than the others.

use crate::breaker::{Breaker, Counts, Policy, State};
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, Status};
use crate::id::Id;
use serde::{Deserialize, Serialize};
use std::time::Duration;

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

/// An endpoint that recovers by itself has healed, and nobody has acted upon it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heal {
    pub project_id: Id,
    pub endpoint_id: Id,
    pub cause: Cause,
    /// When it healed.
    pub at: Timestamp,
    /// How far before `at` what failed is to be sent again.
    pub lookback: Duration,
    /// What [`Health::recovered`] is when it has been acted upon.
    pub done: Recovered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    BreakerClosed,
    /// From inactive or paused.
    Activated,
}

impl Heal {
    /// The same for everybody who finds this heal, today and after a crash; another for the next one.
    pub fn key(&self) -> String {
        format!("heal/{}/{}/{}", self.endpoint_id, self.done.activation, self.done.heals)
    }

    /// `None` also while the endpoint is not active, or its breaker is not closed: it has not healed yet.
    pub fn due(endpoint: &Endpoint, health: Option<&Health>) -> Option<Self> {
        let setting = endpoint.recover_on_heal?;
        let is_broken = health.is_some_and(|health| health.is_of(endpoint) && health.open_until.is_some());
        if !endpoint.is_live() || endpoint.status != Status::Active || is_broken {
            return None;
        }
        let acted = health.map(|health| health.recovered).unwrap_or_default();
        let closed = health.filter(|health| health.heals > acted.heals).and_then(|health| health.healed_at);
        let activated = endpoint.activated_at.filter(|_| endpoint.activation > acted.activation);
        let newest = [(closed, Cause::BreakerClosed), (activated, Cause::Activated)];
        let newest = newest.into_iter().filter_map(|(at, cause)| Some((at?, cause))).max_by_key(|(at, _)| *at);
        let (at, cause) = newest.filter(|(at, _)| *at >= setting.since)?;
        Some(Self {
            project_id: endpoint.project_id,
            endpoint_id: endpoint.id,
            cause,
            at,
            lookback: Duration::from_secs(setting.lookback),
            done: Recovered { heals: health.map_or(0, |health| health.heals), activation: endpoint.activation },
        })
    }
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

    /// As others than the owner show it: a rate whose attempts have all left the window is none, unless
    /// it is what opened the breaker.
    pub fn shown(&self, policy: &Policy, now: Timestamp) -> Shown {
        let is_current = self.open_until.is_some() || now.since(self.reported_at) < policy.window();
        Shown {
            state: self.breaker().state(now),
            failure_rate: is_current.then(|| self.counts().failure_rate()).flatten(),
        }
    }

    /// Whether a rate is so far from the one that was told that it should be told again.
    pub fn has_moved(told: Option<f64>, now: Option<f64>) -> bool {
        (told.unwrap_or(0.0) - now.unwrap_or(0.0)).abs() >= TOLD_POINTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::RecoverOnHeal;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + seconds * 1_000)
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            name: "Acme".to_owned(),
            advanced_signatures: true,
            recover_on_heal: Some(RecoverOnHeal { lookback: 3_600, since: at(0) }),
            ..Endpoint::plain(Id::from_u128(1), Id::from_u128(2), "https://r.example/hook", at(0))
        }
    }

    fn acted_upon(heal: &Heal, endpoint: &Endpoint, health: &Health) -> bool {
        let after = Health { recovered: heal.done, ..health.clone() };
        Heal::due(endpoint, Some(&after)).is_none()
    }

    #[test]
    fn a_breaker_that_closes_is_one_heal() {
        let endpoint = endpoint();
        assert_eq!(Heal::due(&endpoint, None), None, "it was never ill");
        let mut health = Health { open_until: Some(at(30)), trips: 1, ..Health::new(&endpoint) };
        assert_eq!(Heal::due(&endpoint, Some(&health)), None, "it is still ill");
        health = Health { open_until: None, trips: 0, heals: 1, healed_at: Some(at(40)), ..health };
        let heal = Heal::due(&endpoint, Some(&health)).expect("it has healed");
        assert_eq!((heal.cause, heal.at, heal.lookback), (Cause::BreakerClosed, at(40), Duration::from_secs(3_600)));
        assert!(acted_upon(&heal, &endpoint, &health));
        let again = Health { heals: 2, healed_at: Some(at(90)), recovered: heal.done, ..health };
        let second = Heal::due(&endpoint, Some(&again)).expect("it has healed again");
        assert_ne!(second.key(), heal.key());
    }

    #[test]
    fn every_return_to_active_is_one_heal() {
        let mut endpoint = endpoint();
        endpoint.status = Status::Inactive;
        let open = Health { open_until: Some(at(30)), trips: 1, ..Health::new(&endpoint) };
        endpoint.activate(at(50));
        let heal = Heal::due(&endpoint, Some(&open)).expect("what was told of it before is void");
        assert_eq!((heal.cause, heal.at), (Cause::Activated, at(50)));
        assert!(acted_upon(&heal, &endpoint, &open));
        endpoint.status = Status::Paused;
        assert_eq!(Heal::due(&endpoint, None), None, "it takes nothing now");
    }

    #[test]
    fn what_healed_before_the_setting_is_past() {
        let mut endpoint = endpoint();
        endpoint.activate(at(50));
        let health = Health { heals: 3, healed_at: Some(at(40)), ..Health::new(&endpoint) };
        endpoint.recover_on_heal = Some(RecoverOnHeal { lookback: 3_600, since: at(60) });
        assert_eq!(Heal::due(&endpoint, Some(&health)), None);
        endpoint.recover_on_heal = None;
        assert_eq!(Heal::due(&endpoint, Some(&health)), None);
    }

    #[test]
    fn a_rate_whose_attempts_left_the_window_is_not_shown() {
        let endpoint = endpoint();
        let health = Health { successes: 1, failures: 3, reported_at: at(0), ..Health::new(&endpoint) };
        let policy = Policy::default();
        assert_eq!(health.shown(&policy, at(299)).failure_rate, Some(75.0));
        assert_eq!(health.shown(&policy, at(300)), Shown::UNKNOWN);
        let open = Health { open_until: Some(at(30)), ..health };
        assert_eq!(open.shown(&policy, at(29)).state, State::Open);
        assert_eq!(open.shown(&policy, at(9_999)), Shown { state: State::HalfOpen, failure_rate: Some(75.0) });
    }
}

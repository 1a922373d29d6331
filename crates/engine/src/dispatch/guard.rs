//! A lane's circuit breaker, with the settings it goes by and what others were told of it.

use super::Exchanged;
use dacapo_model::breaker::{Breaker, Policy, Turn, Wait};
use dacapo_model::catalog::Snapshot;
use dacapo_model::endpoint::Status;
use dacapo_model::health::{Health, Shown};
use dacapo_model::{Endpoint, Id, Timestamp};

#[derive(Default)]
pub struct Guard {
    breaker: Breaker,
    policy: Policy,
    /// The configuration it was last brought in line with; 0: it is new, and takes over what was told of
    /// the endpoint before.
    version: u64,
    /// The endpoint's.
    activation: u64,
    heals: u64,
    healed_at: Option<Timestamp>,
    told_rate: Option<f64>,
    /// When the failure rate was last compared with the one that was told.
    sampled_at: Timestamp,
    /// Something is to be told, and who tells it has not come for it.
    pub untold: bool,
}

impl Guard {
    /// Brings it in line with the configuration. Cheap when that has not changed.
    #[inline]
    pub fn adopt(&mut self, snapshot: &Snapshot, project: Id, endpoint: Id, now: Timestamp) {
        if self.version != snapshot.version {
            self.adopt_change(snapshot, project, endpoint, now);
        }
    }

    #[cold]
    fn adopt_change(&mut self, snapshot: &Snapshot, project: Id, endpoint: Id, now: Timestamp) {
        let Some(view) = snapshot.project(project) else { return };
        let Some(endpoint) = view.endpoints.get(&endpoint) else { return };
        let policy = Policy::from(&view.project.config.circuit_breaker);
        let is_new = self.is_new();
        self.version = snapshot.version;
        let told = snapshot.health(endpoint.id);
        if is_new {
            (self.sampled_at, self.activation) = (now, endpoint.activation);
            if let Some(told) = told {
                (self.heals, self.healed_at) = (told.heals, told.healed_at);
                if told.is_of(endpoint) {
                    self.breaker = told.breaker();
                    self.told_rate = told.counts().failure_rate();
                }
            }
        }
        // Made from a snapshot a moment old: what was told since by who had it before counts.
        if let Some(told) = told.filter(|told| told.heals > self.heals) {
            (self.heals, self.healed_at) = (told.heals, told.healed_at);
        }
        self.policy = policy;
        if self.activation != endpoint.activation || !is_sent_to(endpoint) {
            self.activation = endpoint.activation;
            self.breaker = Breaker::default();
            self.told_rate = None;
        }
    }

    /// It has not looked at the configuration.
    pub fn is_new(&self) -> bool {
        self.version == 0
    }

    /// What it knew may be old when it is needed again.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    pub fn may_send(&mut self, under_way: usize, now: Timestamp) -> Result<(), Wait> {
        self.breaker.may_send(&self.policy, under_way, now)
    }

    pub fn sent(&mut self) {
        self.breaker.sent();
    }

    /// Sets `untold` when others are to hear of it.
    pub fn finished(&mut self, exchanged: Exchanged, now: Timestamp) -> Option<Turn> {
        if exchanged == Exchanged::Skipped {
            self.breaker.unsent();
            return None;
        }
        let turn = self.breaker.answered(&self.policy, exchanged == Exchanged::Succeeded, now);
        if turn == Some(Turn::Closed) {
            self.heals += 1;
            self.healed_at = Some(now);
        }
        if self.is_new() {
            // No endpoint of the configuration: a replay's own address.
            return turn;
        }
        if turn.is_some() || now.since(self.sampled_at) >= self.policy.sample_every && self.has_moved(now) {
            self.untold = true;
        }
        turn
    }

    /// Looked at once a sample. What is too little to be judged is too little to be told.
    fn has_moved(&mut self, now: Timestamp) -> bool {
        self.sampled_at = now;
        let counts = self.breaker.counts(&self.policy, now);
        let is_enough = counts.requests() >= self.policy.requests_min || self.told_rate.is_some();
        is_enough && Health::has_moved(self.told_rate, counts.failure_rate())
    }

    pub fn is_tripped(&self) -> bool {
        self.breaker.is_tripped()
    }

    /// Nothing may be sent before this moment; in the past when a probe may. `None`: it is closed.
    pub fn open_until(&self) -> Option<Timestamp> {
        self.breaker.open_until()
    }

    /// As its owner shows it; `None` while it has not looked at this endpoint's configuration.
    pub fn shown(&self, endpoint: &Endpoint, now: Timestamp) -> Option<Shown> {
        let is_current = self.version != 0 && self.activation == endpoint.activation;
        // What opened it may be longer ago than the window, or have been counted before a restart.
        let at_the_trip = self.told_rate.filter(|_| self.breaker.is_tripped());
        let rate = self.breaker.counts(&self.policy, now).failure_rate();
        is_current.then(|| Shown { state: self.breaker.state(now), failure_rate: rate.or(at_the_trip) })
    }

    /// Whether others were told something else than what is.
    pub fn differs_from(&self, told: &Health) -> bool {
        self.version != 0
            && told.activation <= self.activation
            && (told.activation, told.open_until, told.heals)
                != (self.activation, self.breaker.open_until(), self.heals)
    }

    /// What is to be told; it counts as told from now on.
    pub fn tell(&mut self, project_id: Id, endpoint_id: Id, now: Timestamp) -> Health {
        self.untold = false;
        let counts = self.breaker.counts(&self.policy, now);
        self.told_rate = counts.failure_rate();
        Health {
            endpoint_id,
            project_id,
            activation: self.activation,
            open_until: self.breaker.open_until(),
            trips: self.breaker.trips(),
            failing_since: self.breaker.failing_since(),
            successes: counts.successes,
            failures: counts.failures,
            reported_at: now,
            heals: self.heals,
            healed_at: self.healed_at,
            recovered: Default::default(),
        }
    }
}

/// Nothing is sent to an endpoint that is deleted or inactive: giving its deliveries up needs no leave.
pub fn is_sent_to(endpoint: &Endpoint) -> bool {
    endpoint.is_live() && endpoint.status != Status::Inactive
}

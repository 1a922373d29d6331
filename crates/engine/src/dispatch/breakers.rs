//! What dispatch knows of the health of endpoints, for those who show it and pass it on.

#[cfg(test)]
mod tests;

use super::lane::Lane;
use super::{Dispatcher, State};
use dacapo_model::breaker::Turn;
use dacapo_model::catalog::Snapshot;
use dacapo_model::health::{Health, Shown};
use dacapo_model::{Endpoint, Id};

/// Since the start of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Breakers that opened, from half-open too.
    pub opened: u64,
    pub closed: u64,
}

impl Dispatcher {
    /// The breaker as it is; `None` when this node does not send to the endpoint, or has not yet.
    pub fn shown(&self, endpoint: &Endpoint) -> Option<Shown> {
        let now = self.clock.now();
        let state = self.lock();
        if !state.dispatches(endpoint.id) {
            return None;
        }
        state.lanes.get(&endpoint.id)?.guard.shown(endpoint, now)
    }

    /// Waits until there may be something to tell.
    pub async fn breaker_turned(&self) {
        self.breaker_turned.notified().await;
    }

    /// At most `max` of what others are to hear. Counts as told from now on, unless [`Self::not_told`].
    pub fn tell(&self, max: usize) -> Vec<Health> {
        let now = self.clock.now();
        let mut state = self.lock();
        let (mut told, mut later) = (Vec::new(), Vec::new());
        while told.len() < max {
            let Some(endpoint) = state.untold.pop_first() else { break };
            let is_ours = state.dispatches(endpoint);
            // What was abandoned since is its new owner's to tell.
            let Some(lane) = state.lanes.get_mut(&endpoint).filter(|lane| lane.guard.untold) else { continue };
            if is_ours {
                told.push(lane.guard.tell(lane.project_id, endpoint, now));
            } else {
                later.push(endpoint);
            }
        }
        state.untold.extend(later);
        told
    }

    /// It could not be passed on: it is to be told again.
    pub fn not_told(&self, endpoints: impl Iterator<Item = Id>) {
        let mut state = self.lock();
        for endpoint in endpoints {
            state.untell(endpoint);
        }
    }

    /// Looks for what others were told, by a former owner perhaps, that is not so. `true` when there is
    /// something to tell.
    pub fn check_told(&self, snapshot: &Snapshot) -> bool {
        let mut state = self.lock();
        for told in snapshot.all_health() {
            let endpoint = told.endpoint_id;
            let is_wrong = state.lanes.get(&endpoint).is_some_and(|lane| lane.guard.differs_from(told));
            if is_wrong && state.dispatches(endpoint) {
                state.untell(endpoint);
            }
        }
        !state.untold.is_empty()
    }

    pub fn owns(&self, endpoint: Id) -> bool {
        self.lock().dispatches(endpoint)
    }

    /// How often breakers turned, and how many are not closed now. That of a replay's own address counts as long
    /// as something is to be sent there: nothing else would ever close it.
    pub fn breakers(&self) -> (Turned, usize) {
        let state = self.lock();
        let tripped = |(endpoint, lane): &(&Id, &Lane)| {
            lane.guard.is_tripped()
                && state.dispatches(**endpoint)
                && (!lane.guard.is_new() || !lane.is_quiet() || lane.next_stored_due().is_some())
        };
        (state.turned, state.lanes.iter().filter(tripped).count())
    }
}

impl State {
    pub(super) fn turn(&mut self, endpoint: Id, turn: Option<Turn>) {
        self.untold.insert(endpoint);
        match turn {
            Some(Turn::Opened { .. }) => self.turned.opened += 1,
            Some(Turn::Closed) => self.turned.closed += 1,
            None => {}
        }
    }

    fn untell(&mut self, endpoint: Id) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.guard.untold = true;
            self.untold.insert(endpoint);
        }
    }
}

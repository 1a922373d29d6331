//! What waits in the store: which lanes are known to have some, and which of them have room to read it.

use super::{Dispatcher, State, refill};
use dacapo_model::{Class, Delivery, Id};
use dacapo_store::roles::Backlog;

impl Dispatcher {
    /// At start, and when shards came to this node: what waits in the store.
    pub fn take_up(&self, backlog: &[Backlog]) {
        let mut state = self.lock();
        for waiting in backlog {
            if !state.dispatches(waiting.endpoint_id) {
                continue;
            }
            let lane = state.lane(waiting.project_id, waiting.endpoint_id);
            lane.stored_until(waiting.class, waiting.next_due);
            state.set_timer(waiting.next_due, waiting.endpoint_id);
        }
        drop(state);
        self.timer_set.notify_one();
    }

    /// Deliveries were put into the store's queue from outside (a replay, a resend).
    pub fn stored(&self, deliveries: &[Delivery]) {
        let mut state = self.lock();
        for delivery in deliveries.iter().filter(|delivery| !delivery.status.is_settled()) {
            if !state.dispatches(delivery.endpoint_id) {
                continue;
            }
            let lane = state.lane(delivery.project_id, delivery.endpoint_id);
            lane.stored_until(delivery.class(), delivery.due_at);
            state.set_timer(delivery.due_at, delivery.endpoint_id);
        }
        drop(state);
        self.timer_set.notify_one();
    }

    pub(super) fn refill_hungry(&self, state: &mut State, endpoints: impl Iterator<Item = Id>) {
        let now = self.clock.now();
        let sweeps = state.runs.has_given_up();
        for endpoint in endpoints {
            if !state.dispatches(endpoint) {
                continue;
            }
            let Some(lane) = state.lanes.get_mut(&endpoint) else { continue };
            if lane.guard.is_new() {
                // Before it reads a dead endpoint's backlog.
                lane.guard.adopt(&self.catalog.snapshot(), lane.project_id, endpoint, now);
                // One that has passed would be due at once, and again after each look: a replay's own address is in
                // no configuration, and its guard stays new.
                if let Some(until) = lane.guard.open_until().filter(|until| *until > now) {
                    state.set_timer(until, endpoint);
                    self.timer_set.notify_one();
                }
            }
            let Some(lane) = state.lanes.get_mut(&endpoint) else { continue };
            for class in Class::ALL {
                let Some(room) = lane.hunger(class, now, &self.settings, sweeps) else { continue };
                let (project_id, held) = (lane.project_id, lane.held());
                let known = lane.known(class);
                let request = refill::Request { project_id, endpoint_id: endpoint, class, room, held, known };
                if self.refills.try_send(request).is_err() {
                    lane.refill_failed(class);
                    state.set_timer(now.plus(refill::RETRY_AFTER), endpoint);
                    self.timer_set.notify_one();
                    break;
                }
            }
        }
    }
}

//! What became of deliveries, once the store has it: what was held is let go, or waits for its retry.

use super::lane::Lane;
use super::{Dispatcher, State};
use dacapo_model::{Class, Delivery, Status, Timestamp};
use dacapo_store::roles::Report;

/// Idle lanes are kept up to this many lanes in all: making one anew costs more than it holds.
const LANES_IDLE_MAX: usize = 10_000;

impl Dispatcher {
    /// Reports are in the store: what was held is let go, retries wait for their time.
    pub fn recorded(&self, reports: &[Report]) {
        let mut state = self.lock();
        let (mut earlier, mut moved) = (false, Vec::new());
        for report in reports {
            let delivery = &report.delivery;
            moved.extend(delivery.replay_id);
            if delivery.status == Status::Success {
                state.succeeded(delivery);
            }
            let waits_here = !delivery.status.is_settled() && state.dispatches(delivery.endpoint_id);
            earlier |= state.recorded(delivery, waits_here.then_some((delivery.class(), delivery.due_at)));
        }
        drop(state);
        if earlier {
            self.timer_set.notify_one();
        }
        self.words.moved(moved);
    }

    /// Reports were refused because their shards went to another node, which sends those deliveries
    /// again; or this one, if it has them back.
    pub fn fenced(&self, reports: &[Report]) {
        let now = self.clock.now();
        let mut state = self.lock();
        for Report { delivery, .. } in reports {
            let is_back = state.dispatches(delivery.endpoint_id);
            for class in Class::ALL {
                state.recorded(delivery, is_back.then_some((class, now)));
            }
        }
        drop(state);
        self.timer_set.notify_one();
    }
}

impl State {
    /// While no replay is known there is nobody to tell.
    fn succeeded(&mut self, delivery: &Delivery) {
        if !self.runs.knows_any() {
            return;
        }
        self.successes.add(delivery.endpoint_id, delivery.event_id);
        if let Some(lane) = self.lanes.get_mut(&delivery.endpoint_id) {
            lane.reached.succeeded(delivery.event_id);
        }
    }

    /// Lets a held delivery go. `true` when a timer was set.
    fn recorded(&mut self, delivery: &Delivery, retry: Option<(Class, Timestamp)>) -> bool {
        let endpoint = delivery.endpoint_id;
        let Some(lane) = self.lanes.get_mut(&endpoint) else {
            return false;
        };
        lane.recorded(delivery.id, retry);
        let Some((_, due_at)) = retry else {
            if self.lanes.len() > LANES_IDLE_MAX && self.lanes.get(&endpoint).is_some_and(Lane::is_idle) {
                self.lanes.remove(&endpoint);
            }
            return false;
        };
        self.set_timer(due_at, endpoint);
        true
    }
}

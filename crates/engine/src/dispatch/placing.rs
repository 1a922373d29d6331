//! Events on their way through the commit: room in memory is taken before it, and filled or given back after it.

use super::{Dispatcher, State, Work, size};
use crate::settings::Settings;
use dacapo_model::{Class, Event};
use dacapo_store::roles::NewEvent;
use std::sync::Arc;

/// Where the deliveries of an event go that its caller does not send at once.
#[derive(Clone, Debug, Default)]
pub struct Placing {
    /// Indices of targets that memory had no room for.
    pub parked: Vec<u32>,
    /// Of targets whose shard was another node's.
    pub elsewhere: Vec<u32>,
}

impl Dispatcher {
    /// Before a commit: says for each delivery whether memory has room for it and it is this node's;
    /// the others are marked to wait in the store. Every `place` is followed by `offer` or `take_back`.
    pub fn place(&self, events: &[Arc<Event>]) -> (Vec<NewEvent>, Vec<Placing>) {
        let mut state = self.lock();
        let place = |event: &Arc<Event>| {
            let placing = state.place(event, &self.settings);
            let parked = placing.parked.iter().chain(&placing.elsewhere).copied().collect();
            (NewEvent { event: Arc::clone(event), parked, later: Vec::new() }, placing)
        };
        events.iter().map(place).unzip()
    }

    /// After a commit: takes over what was placed; `stored` tells which events were.
    pub fn offer(&self, events: &[Arc<Event>], placings: &[Placing], stored: impl Fn(usize) -> bool) {
        let mut state = self.lock();
        for (index, (event, placing)) in events.iter().zip(placings).enumerate() {
            if stored(index) {
                state.offer(event, placing);
            } else {
                state.take_back(event, placing);
            }
        }
        self.refill_hungry(
            &mut state,
            events.iter().flat_map(|event| event.targets.iter().map(|target| target.endpoint_id)),
        );
        let room = state.has_room(&self.settings);
        drop(state);
        if room {
            self.work.notify_one();
        }
    }

    /// After a failed commit.
    pub fn take_back(&self, events: &[Arc<Event>], placings: &[Placing]) {
        let mut state = self.lock();
        for (event, placing) in events.iter().zip(placings) {
            state.take_back(event, placing);
        }
    }
}

impl State {
    fn place(&mut self, event: &Event, settings: &Settings) -> Placing {
        let mut placing = Placing::default();
        for (index, target) in (0u32..).zip(&event.targets) {
            if target.discarded.is_some() {
                continue;
            }
            if !self.dispatches(target.endpoint_id) {
                placing.elsewhere.push(index);
                continue;
            }
            let full = self.window_bytes >= settings.window_bytes_max;
            let lane = self.lane(event.project_id, target.endpoint_id);
            let delivery = (event.id.child(index), event.data.len());
            if lane.place(Class::Live, delivery, event.created_at, full, settings) {
                self.window_bytes += size(&event.data);
            } else {
                placing.parked.push(index);
            }
        }
        placing
    }

    fn offer(&mut self, event: &Arc<Event>, placing: &Placing) {
        let now = event.created_at;
        for (index, target) in (0u32..).zip(&event.targets) {
            if target.discarded.is_some() {
                continue;
            }
            let is_ours = self.dispatches(target.endpoint_id);
            if placing.elsewhere.contains(&index) {
                // The shard came to this node meanwhile, and what it read of it may be older.
                if is_ours {
                    self.lane(event.project_id, target.endpoint_id).stored_until(Class::Live, now);
                }
                continue;
            }
            let Some(delivery) = event.delivery(index) else { continue };
            let Some(lane) = self.lanes.get_mut(&target.endpoint_id) else { continue };
            if placing.parked.contains(&index) {
                lane.unpark(Class::Live);
                if is_ours {
                    lane.stored_until(Class::Live, now);
                }
            } else if is_ours {
                lane.offer(Class::Live, Work { delivery, event: Arc::clone(event) });
                self.list_offered(target.endpoint_id);
            } else {
                lane.unplace(Class::Live, event.id.child(index));
                self.window_bytes -= size(&event.data);
            }
        }
    }

    fn take_back(&mut self, event: &Event, placing: &Placing) {
        for (index, target) in (0u32..).zip(&event.targets) {
            if target.discarded.is_some() || placing.elsewhere.contains(&index) {
                continue;
            }
            let Some(lane) = self.lanes.get_mut(&target.endpoint_id) else { continue };
            if placing.parked.contains(&index) {
                lane.unpark(Class::Live);
            } else {
                lane.unplace(Class::Live, event.id.child(index));
                self.window_bytes -= size(&event.data);
            }
        }
    }
}

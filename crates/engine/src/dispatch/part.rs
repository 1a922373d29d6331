//! Parts of large fan-outs, on their way from the store's list of targets into lanes: as a commit's
//! deliveries, but with rows in the queue in any case.

use super::{Dispatcher, State, Work, size};
use crate::settings::Settings;
use dacapo_model::{Class, Delivery, Event};
use std::sync::Arc;

/// Where a delivery of a part goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Born settled: nowhere.
    Settled,
    /// Another node dispatches it.
    Elsewhere,
    Memory,
    /// Memory has no room: it is read from the store later.
    Store,
}

impl Dispatcher {
    /// Before a part is written. Followed by [`Self::offer_part`], whatever comes of it.
    pub fn place_part(&self, event: &Event, deliveries: &[Delivery]) -> Vec<Place> {
        let mut state = self.lock();
        deliveries.iter().map(|delivery| state.place_one(event, delivery, &self.settings)).collect()
    }

    /// After it was written, or was not.
    pub fn offer_part(&self, event: &Arc<Event>, deliveries: Vec<Delivery>, places: &[Place], is_written: bool) {
        let endpoints: Vec<_> = deliveries.iter().map(|delivery| delivery.endpoint_id).collect();
        let mut state = self.lock();
        for (delivery, place) in deliveries.into_iter().zip(places) {
            state.offer_one(event, delivery, *place, is_written);
        }
        self.refill_hungry(&mut state, endpoints.into_iter());
        let room = state.has_room(&self.settings);
        drop(state);
        if room {
            self.work.notify_one();
        }
    }
}

impl State {
    fn place_one(&mut self, event: &Event, delivery: &Delivery, settings: &Settings) -> Place {
        if delivery.status.is_settled() {
            return Place::Settled;
        }
        if !self.dispatches(delivery.endpoint_id) {
            return Place::Elsewhere;
        }
        let is_full = self.window_bytes >= settings.window_bytes_max;
        if self.lane(event.project_id, delivery.endpoint_id).place(delivery.id, is_full, settings) {
            self.window_bytes += size(&event.data);
            return Place::Memory;
        }
        Place::Store
    }

    fn offer_one(&mut self, event: &Arc<Event>, delivery: Delivery, place: Place, is_written: bool) {
        let (endpoint, due_at) = (delivery.endpoint_id, delivery.due_at);
        let is_ours = self.dispatches(endpoint);
        match place {
            Place::Settled => {}
            Place::Elsewhere => {
                // The shard came to this node meanwhile, and what it read of it may be older.
                if is_ours && is_written {
                    self.lane(event.project_id, endpoint).stored_until(Class::Live, due_at);
                }
            }
            Place::Store => {
                let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
                lane.unpark();
                if is_ours && is_written {
                    lane.stored_until(Class::Live, due_at);
                }
            }
            Place::Memory => {
                let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
                if is_ours && is_written {
                    lane.offer(Work { delivery, event: Arc::clone(event) });
                    self.list_offered(endpoint);
                } else {
                    lane.unplace(delivery.id);
                    self.window_bytes -= size(&event.data);
                }
            }
        }
    }
}

//! Parts of large fan-outs and pages of replays, on their way into lanes: as a commit's deliveries, but with
//! rows in the queue in any case.

use super::lane::Part;
use super::reached::Moment;
use super::{Dispatcher, State, Work, size_of};
use crate::settings::Settings;
use dacapo_model::id::IdSet;
use dacapo_model::{Id, Shard, Timestamp};
use dacapo_store::roles::PAGE_BYTES_MAX;
use std::collections::BTreeSet;

/// Where a delivery goes that gets a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Born settled: nowhere.
    Settled,
    /// Another node dispatches it.
    Elsewhere,
    /// Taken with so many bytes of payload.
    Memory(usize),
    /// Memory was to take it, but its payload could not be read.
    Unread(usize),
    /// Memory has no room, or it is not due: it is read from the store later.
    Store,
}

/// Items among rows whose endpoint has had the event.
pub struct Had {
    /// Before that was read.
    pub since: Moment,
    pub read_at: Timestamp,
    /// By id of the item.
    pub by: IdSet,
}

impl Dispatcher {
    /// Before rows are written. Followed by [`Self::offer_rows`], whatever comes of it.
    pub fn place_rows(&self, rows: &[Work]) -> Vec<Place> {
        self.place_sized(rows.iter().map(|work| (work, work.event.data.len())))
    }

    /// The same of rows whose payload is still to be read, where memory takes them: that many bytes each, and no
    /// more than a page of a walk has in all.
    pub fn place_sized<'w>(&self, rows: impl Iterator<Item = (&'w Work, usize)>) -> Vec<Place> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut taken = 0;
        let mut place = |(work, bytes)| {
            let place = state.place_one(work, bytes, taken >= PAGE_BYTES_MAX, now, &self.settings);
            taken += if place == Place::Memory(bytes) { bytes } else { 0 };
            place
        };
        rows.map(&mut place).collect()
    }

    /// Whether deliveries to all endpoints are this node's.
    pub fn dispatches_all(&self) -> bool {
        let state = self.lock();
        Shard::all().all(|shard| state.holding.dispatches(shard))
    }

    /// After they were written, or were not. `had`: where it is known of items.
    pub fn offer_rows(&self, rows: Vec<Work>, places: &[Place], is_written: bool, had: Option<&Had>) {
        let endpoints: IdSet = rows.iter().map(|work| work.delivery.endpoint_id).collect();
        // They are due, unless the clock was set back since they were made.
        let now = self.clock.now();
        let dues = rows.iter().map(|work| (work.delivery.due_at, work.delivery.endpoint_id));
        let later: BTreeSet<(Timestamp, Id)> = dues.filter(|(due_at, _)| *due_at > now).collect();
        let mut state = self.lock();
        let since = had.and_then(|had| state.successes.since(had.since));
        let has_reached = |work: &Work| {
            let (endpoint, event, had) = (work.delivery.endpoint_id, work.event.id, had?);
            if !state.was_ours(endpoint, had.read_at) {
                return None;
            }
            let later = since.as_ref()?.get(&endpoint).is_some_and(|events| events.contains(&event));
            Some(later || had.by.contains(&work.delivery.id))
        };
        let has_reached: Vec<Option<bool>> = rows.iter().map(has_reached).collect();
        for ((work, place), has_reached) in rows.into_iter().zip(places).zip(has_reached) {
            state.offer_one(work, *place, is_written, has_reached);
        }
        self.refill_hungry(&mut state, endpoints.into_iter());
        if !later.is_empty() {
            later.into_iter().for_each(|(due_at, endpoint)| state.set_timer(due_at, endpoint));
            self.timer_set.notify_one();
        }
        let room = state.has_room(&self.settings);
        drop(state);
        if room {
            self.work.notify_one();
        }
    }

    /// Before a look at what endpoints have had.
    pub fn moment(&self) -> Moment {
        self.lock().successes.moment()
    }
}

impl State {
    /// Before that moment: who had the shard until then may have delivered what a page does not show.
    fn was_ours(&self, endpoint: Id, read_at: Timestamp) -> bool {
        self.gained.get(&Shard::of(endpoint)).is_none_or(|gained| *gained < read_at)
    }

    fn place_one(&mut self, work: &Work, bytes: usize, is_full: bool, now: Timestamp, settings: &Settings) -> Place {
        let Work { delivery, event } = work;
        if delivery.status.is_settled() {
            return Place::Settled;
        }
        if !self.dispatches(delivery.endpoint_id) {
            return Place::Elsewhere;
        }
        let is_full = is_full || self.window_bytes >= settings.window_bytes_max;
        let lane = self.lane(event.project_id, delivery.endpoint_id);
        let row = (delivery.id, bytes);
        if lane.place(delivery.class(), row, now, is_full || delivery.due_at > now, settings) {
            self.window_bytes += size_of(bytes);
            return Place::Memory(bytes);
        }
        Place::Store
    }

    fn offer_one(&mut self, work: Work, place: Place, is_written: bool, has_reached: Option<bool>) {
        let (endpoint, class, due_at) = (work.delivery.endpoint_id, work.delivery.class(), work.delivery.due_at);
        let is_ours = self.dispatches(endpoint);
        match place {
            Place::Settled => {}
            Place::Elsewhere => {
                // The shard came to this node meanwhile, and what it read of it may be older.
                if is_ours && is_written {
                    self.lane(work.event.project_id, endpoint).stored_until(class, due_at);
                }
            }
            Place::Store => {
                let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
                lane.unpark(class);
                if is_ours && is_written {
                    lane.stored_until(class, due_at);
                }
            }
            Place::Memory(bytes) | Place::Unread(bytes) => {
                let replay = work.delivery.steered_by();
                let is_over = replay.is_some() && self.runs.part(replay) != Part::Run;
                let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
                if is_ours && is_written && !is_over && place == Place::Memory(bytes) {
                    if let (Some(_), Some(has_reached)) = (replay, has_reached) {
                        lane.reached.learn(work.event.id, has_reached);
                    }
                    lane.offer(class, work);
                    self.list_offered(endpoint);
                    return;
                }
                lane.unplace(class, work.delivery.id);
                self.window_bytes -= size_of(bytes);
                if is_ours && is_written {
                    // Given up meanwhile: it is read to be discarded. Or it is to be read anyway.
                    lane.stored_until(class, due_at);
                }
            }
        }
    }
}

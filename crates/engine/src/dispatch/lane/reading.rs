//! Reads of the store for a lane: when one is worth asking for, how much it may bring, and what it brought.

use super::Lane;
use crate::dispatch::{Work, size};
use crate::settings::Settings;
use dacapo_model::breaker::PROBES_MAX;
use dacapo_model::id::{IdMap, IdSet};
use dacapo_model::{Class, Id, Timestamp};
use std::sync::Arc;

/// Deliveries that a read is told to leave out.
const KNOWN_MAX: usize = 256;
/// From so many on, rows are not known to be large.
const ROWS_THAT_FIT_MAX: usize = 16_384;

/// What a delivery of the replays' class is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Single,
    Run,
    /// Of a run that is over: it is to be discarded.
    GivenUp,
}

/// How much a read of the store may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub rows: usize,
    /// Of payload.
    pub bytes: usize,
}

/// What a read of the store found.
#[derive(Default)]
pub struct Found {
    pub rows: Vec<Work>,
    /// They are all that is due.
    pub is_all: bool,
    /// There were more, and room for them but in bytes.
    pub is_cut_by_bytes: bool,
    /// When what comes after is due.
    pub next_due: Option<Timestamp>,
    /// By id of the event, whether the endpoint has had it, where that was looked up.
    pub reached: IdMap<bool>,
}

/// What a read of the store gave a lane.
#[derive(Default)]
pub struct Refilled {
    /// Bytes of payload, with those of `given_up`.
    pub bytes: usize,
    pub given_up: Vec<Work>,
}

/// A read of the store under way.
#[derive(Default)]
pub(super) struct Refill {
    /// Let go since it began: its snapshot may still show them.
    pub let_go: IdSet,
    /// Was asked for under an older lease: its rows mean nothing.
    pub void: bool,
    /// Something was put into the store since it began, due at this moment: it may have missed it.
    pub stored_since: Option<Timestamp>,
}

impl Lane {
    /// How much to read for this class, when it is time to; a read is then under way. `sweeps`: some
    /// may be there to be discarded, which no breaker holds up.
    pub fn hunger(&mut self, class: Class, now: Timestamp, settings: &Settings, sweeps: bool) -> Option<Room> {
        let given_up = self.given_up;
        let probes_only = self.guard.open_until().filter(|_| !sweeps || class != Class::Replay);
        if probes_only.is_some_and(|until| now < until || self.has_ready()) {
            return None;
        }
        let queue = self.queue(class);
        let due = queue.stored_due.is_some_and(|due| due <= now);
        let in_memory = queue.in_memory() + if class == Class::Replay { given_up } else { 0 };
        let is_full = in_memory * 2 > settings.lane_window_max || queue.bytes * 2 > settings.lane_bytes_max;
        if !due || queue.refill.is_some() || is_full {
            return None;
        }
        queue.refill = Some(Refill::default());
        let rows = match probes_only {
            Some(_) => PROBES_MAX as usize,
            None => settings.lane_window_max - in_memory,
        };
        let rows = queue.rows_that_fit.map_or(rows, |fit| rows.min(fit * 2));
        Some(Room { rows, bytes: settings.lane_bytes_max - queue.bytes })
    }

    /// Of deliveries of it that are in memory: a read of the store finds them too.
    pub fn held(&self) -> Room {
        Room { rows: self.held.len(), bytes: self.held.bytes() }
    }

    /// Ids of those, for a read that had better leave them out. Only of live ones, and while they are few: whatever is let go
    /// before it is settled comes back in another class, or is looked for again.
    pub fn known(&self, class: Class) -> Arc<[Id]> {
        if class != Class::Live || self.held.len() > KNOWN_MAX {
            return Arc::default();
        }
        self.held.ids().collect()
    }

    /// The read could not be asked for or failed: the need stands.
    pub fn refill_failed(&mut self, class: Class) {
        self.queue(class).refill = None;
    }

    /// The read is over; `part` is asked of replays.
    pub fn refilled(&mut self, class: Class, found: Found, now: Timestamp, part: impl Fn(&Work) -> Part) -> Refilled {
        let refill = self.queue(class).refill.take().unwrap_or_default();
        let mut refilled = Refilled::default();
        let mut new = 0;
        for work in found.rows {
            let id = work.delivery.id;
            let bytes = work.event.data.len();
            if refill.void || refill.let_go.contains(&id) || !self.held.insert(id, bytes) {
                continue;
            }
            new += 1;
            let part = part(&work);
            if class != Class::Replay || part != Part::GivenUp {
                self.queue(class).bytes += bytes;
            }
            refilled.bytes += size(&work.event.data);
            match part {
                _ if class != Class::Replay => self.queue(class).ready.push_back(work),
                Part::Run => {
                    if let Some(reached) = found.reached.get(&work.event.id) {
                        self.reached.learn(work.event.id, *reached);
                    }
                    let run = work.delivery.steered_by().unwrap_or(Id::MIN);
                    self.queue(class).runs.push(run, work);
                }
                Part::Single => self.queue(class).singles.push_back(work),
                Part::GivenUp => {
                    self.given_up += 1;
                    refilled.given_up.push(work);
                }
            }
        }
        let rest = match refill.void {
            true => None,
            false if found.is_all => found.next_due,
            false => Some(now),
        };
        let queue = self.queue(class);
        queue.stored_due = rest.into_iter().chain(refill.stored_since).min();
        queue.rows_that_fit = match queue.rows_that_fit {
            _ if found.is_cut_by_bytes => Some(new.max(1)),
            Some(fit) => Some(fit * 2).filter(|fit| *fit < ROWS_THAT_FIT_MAX),
            None => None,
        };
        refilled
    }
}

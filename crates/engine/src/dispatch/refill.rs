//! Reading waiting deliveries from the store into a lane's window.

use super::lane::{Found, Room};
use super::{Dispatcher, Moment, State, Work};
use dacapo_model::id::IdMap;
use dacapo_model::{Class, Clock, Event, Id, Timestamp};
use dacapo_store::roles::{Due, Look, Queue, Replays};
use dacapo_store::{Result, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// Reads that may be asked for and not yet begun; further ones are asked for again a little later.
pub const REQUESTS_QUEUED_MAX: usize = 1_024;
/// When a read could not be asked for, or failed.
pub const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Reads at the same time: fewer than the store has readers, so that queries find one free.
const READS_MAX: usize = 2;
/// Lanes one read looks at: what has gathered while the reads before it were under way.
const LANES_PER_READ_MAX: usize = 32;
/// New rows a lane gets from a read for several. One that holds as many reads alone: it would read them all
/// again for so few.
const SHARED_ROWS_MAX: usize = 64;
/// Bytes of payload that a lane may hold and share a read: they are read again.
const SHARED_HELD_BYTES_MAX: usize = 256 * 1024;

/// Events one look asks the store for, whether their endpoints have had them.
const LOOKED_UP_MAX: usize = 1_000;

/// What endpoints have had of the events of a read.
pub(super) struct Looked {
    /// Before the look.
    pub since: Moment,
    /// By id of the event, for the lane's endpoint.
    pub reached: IdMap<bool>,
}

/// A read that finds so many is one of many.
const ROWS_BUSY: usize = 8;

/// What reads came to.
struct Total {
    rows: usize,
    /// No lane holds more that is due.
    is_all: bool,
}

impl Default for Total {
    fn default() -> Self {
        Self { rows: 0, is_all: true }
    }
}

impl Total {
    const fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.is_all &= other.is_all;
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub project_id: Id,
    pub endpoint_id: Id,
    pub class: Class,
    /// What the lane has room for.
    pub room: Room,
    /// What it holds already, which is read too and left out.
    pub held: Room,
    /// They, where they are few, so that the store need not read them.
    pub known: Arc<[Id]>,
}

impl Request {
    pub fn limit(&self) -> usize {
        self.room.rows + self.held.rows
    }

    pub fn bytes_max(&self) -> usize {
        self.room.bytes + self.held.bytes
    }

    fn look(&self) -> Look {
        Look {
            endpoint_id: self.endpoint_id,
            class: self.class,
            limit: self.limit(),
            bytes_max: self.bytes_max(),
            known: Arc::clone(&self.known),
        }
    }
}

pub struct Refiller {
    pub store: Arc<dyn Queue>,
    pub replays: Arc<dyn Replays>,
    pub dispatcher: Arc<Dispatcher>,
    pub clock: Arc<dyn Clock>,
}

impl Refiller {
    /// Runs until `stop`.
    pub fn start(self, requests: mpsc::Receiver<Request>, stop: &CancellationToken) {
        let refiller = Arc::new(self);
        let requests = Arc::new(Mutex::new(requests));
        for _ in 0..READS_MAX {
            let (refiller, requests) = (Arc::clone(&refiller), Arc::clone(&requests));
            let work = async move {
                let rest = refiller.store.rests_between_reads();
                let mut asked = Vec::with_capacity(LANES_PER_READ_MAX);
                while requests.lock().await.recv_many(&mut asked, LANES_PER_READ_MAX).await > 0 {
                    let mut found = Total::default();
                    for together in reads(asked.drain(..)) {
                        found.add(refiller.refill(&together).await);
                    }
                    if found.is_all && found.rows >= ROWS_BUSY && !rest.is_zero() {
                        // Nobody reads meanwhile: what is asked for is read together then.
                        let _door = requests.lock().await;
                        tokio::time::sleep(rest).await;
                    }
                }
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(work));
        }
    }

    async fn refill(&self, requests: &[Request]) -> Total {
        let now = self.clock.now();
        let looks: Vec<Look> = requests.iter().map(Request::look).collect();
        match self.store.due_in(&looks, now).await {
            Ok(found) => {
                let sum = Total {
                    rows: found.iter().map(|due| due.waiting.len()).sum(),
                    is_all: found.iter().all(|due| due.is_all),
                };
                for (request, due) in requests.iter().zip(found) {
                    self.found(request, due, now).await;
                }
                return sum;
            }
            // Another node reads some of them.
            Err(StoreError::Fenced { .. }) => self.failed(requests, now),
            Err(cause) => {
                tracing::warn!(%cause, lanes = requests.len(), "waiting deliveries could not be read; trying again");
                self.failed(requests, now);
            }
        }
        Total::default()
    }

    async fn found(&self, request: &Request, due: Due, now: Timestamp) {
        match self.get_to_know(request, &due.waiting).await {
            Ok(looked) => self.dispatcher.refilled(request, due, now, looked),
            Err(cause) => {
                tracing::warn!(%cause, "replays could not be looked up; trying again");
                self.dispatcher.refill_failed(request, now);
            }
        }
    }

    fn failed(&self, requests: &[Request], now: Timestamp) {
        requests.iter().for_each(|request| self.dispatcher.refill_failed(request, now));
    }

    /// Items of a replay nothing is known of are not sent, nor those the endpoint has had.
    async fn get_to_know(&self, request: &Request, rows: &[Work]) -> Result<Option<Looked>> {
        if request.class != Class::Replay {
            return Ok(None);
        }
        let unknown = self.dispatcher.unknown_replays(rows);
        if !unknown.is_empty() {
            let found = self.replays.replays_among(unknown.clone()).await?;
            self.dispatcher.adopt_replays(&found);
            // A run that was forgotten again by now, for want of room, is no single call.
            let is_single = |id: &Id| found.iter().all(|replay| replay.id != *id);
            self.dispatcher.adopt_single_replays(unknown.into_iter().filter(is_single));
        }
        let since = self.dispatcher.moment();
        let asked = self.dispatcher.to_look_up(request.endpoint_id, rows);
        let mut reached = IdMap::default();
        for part in asked.chunks(LOOKED_UP_MAX) {
            match self.replays.have_reached(part.to_vec()).await {
                Ok(answers) => reached.extend(part.iter().map(|(event, _)| event.id).zip(answers)),
                Err(cause) => {
                    tracing::warn!(%cause, "what endpoints have had could not be looked up together; it is asked of each item");
                    return Ok(None);
                }
            }
        }
        Ok(Some(Looked { since, reached }))
    }
}

/// Which of them are read together, and for how much: alone, a lane may fill its whole window.
fn reads(asked: impl Iterator<Item = Request>) -> Vec<Vec<Request>> {
    let holds_much = |held: Room| held.rows >= SHARED_ROWS_MAX || held.bytes > SHARED_HELD_BYTES_MAX;
    let (alone, mut together): (Vec<Request>, Vec<Request>) = asked.partition(|lane| holds_much(lane.held));
    let lanes = together.len();
    if lanes > 1 {
        for Request { room, .. } in &mut together {
            // In bytes, all of them together as much as one alone.
            *room = Room { rows: room.rows.min(SHARED_ROWS_MAX), bytes: room.bytes / lanes };
        }
    }
    let shared = (!together.is_empty()).then_some(together);
    shared.into_iter().chain(alone.into_iter().map(|lane| vec![lane])).collect()
}

impl Dispatcher {
    /// Whether the endpoint has had these matters to their replays, and nothing says it yet.
    pub(super) fn to_look_up(&self, endpoint: Id, rows: &[Work]) -> Vec<(Arc<Event>, Id)> {
        let state = self.lock();
        let Some(lane) = state.lanes.get(&endpoint) else { return Vec::new() };
        let matters = |work: &&Work| {
            let terms = state.runs.terms(work.delivery.steered_by());
            terms.is_some_and(|terms| terms.asks_for_successes()) && !lane.holds(work.delivery.id)
        };
        rows.iter().filter(matters).map(|work| (Arc::clone(&work.event), endpoint)).collect()
    }

    pub(super) fn refilled(&self, request: &Request, due: Due, now: Timestamp, looked: Option<Looked>) {
        let mut state = self.lock();
        let reached = looked.and_then(|looked| state.until_now(request.endpoint_id, looked)).unwrap_or_default();
        state.lane(request.project_id, request.endpoint_id);
        let State { lanes, runs, .. } = &mut *state;
        let Some(lane) = lanes.get_mut(&request.endpoint_id) else { return };
        let Due { waiting: rows, is_all, next: next_due } = due;
        let is_cut_by_bytes = !is_all && rows.len() < request.limit();
        let found = Found { rows, is_all, is_cut_by_bytes, next_due, reached };
        let part = |work: &Work| runs.part(work.delivery.steered_by());
        let refilled = lane.refilled(request.class, found, now, part);
        let due_next = lane.next_stored_due();
        state.window_bytes += refilled.bytes;
        state.given_up.extend(refilled.given_up);
        if let Some(at) = due_next.filter(|at| *at > now) {
            state.set_timer(at, request.endpoint_id);
        }
        state.list(request.endpoint_id, now, &self.settings);
        self.refill_hungry(&mut state, [request.endpoint_id].into_iter());
        let room = state.has_room(&self.settings);
        drop(state);
        self.timer_set.notify_one();
        if room {
            self.work.notify_one();
        }
    }

    pub(super) fn refill_failed(&self, request: &Request, now: Timestamp) {
        let mut state = self.lock();
        let is_ours = state.dispatches(request.endpoint_id);
        let lane = state.lane(request.project_id, request.endpoint_id);
        lane.refill_failed(request.class);
        if !is_ours {
            return;
        }
        state.set_timer(now.plus(RETRY_AFTER), request.endpoint_id);
        drop(state);
        self.timer_set.notify_one();
    }
}

impl State {
    /// With what succeeded since the look; nothing, when that is not known.
    fn until_now(&self, endpoint: Id, looked: Looked) -> Option<IdMap<bool>> {
        let Looked { since, mut reached } = looked;
        for event in self.successes.since(since)?.remove(&endpoint).into_iter().flatten() {
            if let Some(reached) = reached.get_mut(&event) {
                *reached = true;
            }
        }
        Some(reached)
    }
}

#[cfg(test)]
mod large;
#[cfg(test)]
mod unknown;

#[cfg(test)]
mod tests {
    use super::*;

    /// Else every few new rows would cost a read of all that is held.
    #[test]
    fn lanes_that_hold_little_share_a_read_and_others_fill_their_window_alone() {
        let lane = |(rows, bytes)| Request {
            project_id: Id::from_u128(1),
            endpoint_id: Id::from_u128(2),
            class: Class::Live,
            room: Room { rows: 8_192 - rows, bytes: 1_000_000 },
            held: Room { rows, bytes },
            known: Arc::default(),
        };
        let asked = |held: &[(usize, usize)]| reads(held.iter().map(|held| lane(*held)));
        let limits = |held: &[usize]| {
            let read = |lanes: Vec<Request>| lanes.iter().map(Request::limit).collect::<Vec<_>>();
            let held: Vec<(usize, usize)> = held.iter().map(|rows| (*rows, 0)).collect();
            asked(&held).into_iter().map(read).collect::<Vec<_>>()
        };
        assert_eq!(limits(&[0]), [[8_192]], "nobody to share with");
        assert_eq!(limits(&[0, 10]), [[SHARED_ROWS_MAX, SHARED_ROWS_MAX + 10]]);
        assert_eq!(limits(&[0, 4_000, 3, 64]), [vec![64, 67], vec![8_192], vec![8_192]]);
        let bytes = |held: &[(usize, usize)]| {
            let read = |lanes: Vec<Request>| lanes.iter().map(Request::bytes_max).collect::<Vec<_>>();
            asked(held).into_iter().map(read).collect::<Vec<_>>()
        };
        assert_eq!(bytes(&[(2, 70)]), [[1_000_070]]);
        assert_eq!(bytes(&[(2, 70), (0, 0)]), [[500_070, 500_000]], "they share the bytes of one");
        assert_eq!(bytes(&[(2, 2_000_000), (0, 0)]), [[1_000_000], [3_000_000]], "one that holds much reads alone");
    }
}

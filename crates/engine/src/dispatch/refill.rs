//! Reading waiting deliveries from the store into a lane's window.

use super::{Dispatcher, State, Work};
use dacapo_model::{Class, Clock, Id, Timestamp};
use dacapo_store::roles::{Queue, Replays};
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

#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub project_id: Id,
    pub endpoint_id: Id,
    pub class: Class,
    pub limit: usize,
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
                loop {
                    let Some(request) = requests.lock().await.recv().await else { return };
                    refiller.refill(request).await;
                }
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(work));
        }
    }

    async fn refill(&self, request: Request) {
        let now = self.clock.now();
        match self.read(request, now).await {
            Ok((rows, next_due)) => match self.get_to_know(request.class, &rows).await {
                Ok(()) => self.dispatcher.refilled(request, rows, next_due, now),
                Err(cause) => {
                    tracing::warn!(%cause, "replays could not be looked up; trying again");
                    self.dispatcher.refill_failed(request, now);
                }
            },
            // Another node reads it.
            Err(StoreError::Fenced { .. }) => self.dispatcher.refill_failed(request, now),
            Err(cause) => {
                tracing::warn!(%cause, endpoint = %request.endpoint_id, "waiting deliveries could not be read; trying again");
                self.dispatcher.refill_failed(request, now);
            }
        }
    }

    /// Items of a replay nothing is known of are not sent.
    async fn get_to_know(&self, class: Class, rows: &[Work]) -> Result<()> {
        if class != Class::Replay {
            return Ok(());
        }
        let unknown = self.dispatcher.unknown_replays(rows);
        if unknown.is_empty() {
            return Ok(());
        }
        let found = self.replays.replays_among(unknown.clone()).await?;
        self.dispatcher.adopt_replays(&found);
        self.dispatcher.adopt_single_replays(unknown.into_iter());
        Ok(())
    }

    async fn read(&self, request: Request, now: Timestamp) -> Result<(Vec<Work>, Option<Timestamp>)> {
        let rows = self.store.due(request.endpoint_id, request.class, now, request.limit).await?;
        if rows.len() == request.limit {
            return Ok((rows, None));
        }
        let next_due = self.store.next_due(request.endpoint_id, request.class, now).await?;
        Ok((rows, next_due))
    }
}

impl Dispatcher {
    pub(super) fn refilled(&self, request: Request, rows: Vec<Work>, next_due: Option<Timestamp>, now: Timestamp) {
        let mut state = self.lock();
        state.lane(request.project_id, request.endpoint_id);
        let State { lanes, runs, .. } = &mut *state;
        let Some(lane) = lanes.get_mut(&request.endpoint_id) else { return };
        let complete = rows.len() < request.limit;
        let part = |work: &Work| runs.part(work.delivery.steered_by());
        let refilled = lane.refilled(request.class, rows, complete, next_due, now, part);
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

    pub(super) fn refill_failed(&self, request: Request, now: Timestamp) {
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

//! Stage 3, commit: many callers in one transaction.
//!
//! - In: routed events, each with a caller who waits.
//! - Out: the callers' answers, and the deliveries to dispatch, without reading them back.
//! - Promise: a caller hears `Ok` only after the store's commit. What arrived while one transaction
//!   was being flushed is in the next: no delay when idle, large transactions under load. Ids rise in
//!   the order in which batches reach the store. How many of them are worth a transaction beside one
//!   under way, the store says.
//!   A batch that was routed before a change of the configuration on another node is routed again; where one change
//!   follows the other, they wait for it. An event that is addressed to others by then goes back to its caller.
//! - Failure: the whole batch is refused when the store cannot commit; an item that collides with
//!   another fails alone.

#[cfg(test)]
mod tests;

use crate::accept::{Accepted, RETRY_AFTER, Refusal};
use crate::address::Address;
use crate::dispatch::{Dispatcher, Placing};
use crate::fan_out;
use crate::health::{Health, Readiness};
use crate::metrics::Metrics;
use crate::route;
use dacapo_model::catalog::Snapshot;
use dacapo_model::event::FanOut;
use dacapo_model::{Clock, Event, IdSource, Timestamp};
use dacapo_store::roles::{Commit, Committed, NewEvent};
use dacapo_store::{LiveCatalog, StoreError};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Events that may wait for the committer; further ones are refused with 503.
const EVENTS_QUEUED_MAX: usize = 8_192;
/// Events of one batch.
const BATCH_EVENTS_MAX: usize = 512;
/// Batches handed to the store and not yet answered. The store puts all it has been handed into its
/// next transaction, so a batch need not wait for the one before it.
const BATCHES_IN_FLIGHT_MAX: usize = 16;

/// Turns of the runtime a batch waits while each of them brings more events: the answers to one commit
/// bring the next events all at once, and a batch of the first of them would cost a flush of its own.
/// No time is waited for.
const GATHER_TURNS_MAX: usize = 4;

/// After a batch of this size more events are about to come, and may be worth waiting for
/// ([`Commit::batch_gathers_for`]).
const BATCH_EVENTS_BUSY: usize = 8;

/// How often one batch is routed again, each time because the configuration was changed elsewhere between a refresh and
/// a commit, before changes are held off for it.
const ROUTED_AGAIN_MAX: usize = 3;

type StoreAnswer = dacapo_store::Result<Vec<Committed>>;
type Answer = oneshot::Sender<Result<Accepted, Refusal>>;

/// The committer's door.
#[derive(Clone)]
pub struct Intake(mpsc::Sender<Arrived>);

/// An event that wants to be stored.
struct Arrived {
    event: Event,
    address: Address,
    /// The catalog's version it was routed under.
    routed_at: u64,
    answer: Answer,
}

impl Intake {
    pub async fn commit(&self, event: Event, address: Address, routed_at: u64) -> Result<Accepted, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Arrived { event, address, routed_at, answer }).map_err(|cause| match cause {
            mpsc::error::TrySendError::Full(_) => Refusal::Unavailable {
                reason: format!("{EVENTS_QUEUED_MAX} events are waiting to be stored"),
                retry_after: RETRY_AFTER,
            },
            mpsc::error::TrySendError::Closed(_) => Refusal::Draining,
        })?;
        answered.await.map_err(|_| Refusal::Draining)?
    }
}

pub struct Committer {
    pub store: Arc<dyn Commit>,
    pub catalog: Arc<LiveCatalog>,
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
    pub dispatcher: Arc<Dispatcher>,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    /// Told when fan-outs were stored that go on elsewhere (see fan_out.rs).
    pub fan_outs: Arc<Notify>,
    /// Targets of one event that one transaction takes.
    pub fan_out_at_once_max: usize,
}

/// Who waits for an event's commit, and whom it is addressed to.
struct Caller {
    address: Address,
    answer: Answer,
}

/// A batch on its way to disk.
struct Batch {
    events: Vec<Arc<Event>>,
    /// Per event, the targets that are not sent from memory.
    placings: Vec<Placing>,
    callers: Vec<Caller>,
    started: Timestamp,
    /// Some of them have more targets than one transaction takes.
    is_large: bool,
}

/// Lets everyone who is about to hand over an event do so.
async fn gather(queue: &mpsc::Receiver<Arrived>) {
    let mut gathered = queue.len();
    for _ in 0..GATHER_TURNS_MAX {
        if gathered == 0 {
            return;
        }
        tokio::task::yield_now().await;
        if std::mem::replace(&mut gathered, queue.len()) == gathered {
            return;
        }
    }
}

impl Committer {
    /// Runs until `stop`, then commits what is queued and ends.
    pub fn start(self, stop: CancellationToken) -> (Intake, tokio::task::JoinHandle<()>) {
        let (intake, queue) = mpsc::channel(EVENTS_QUEUED_MAX);
        (Intake(intake), tokio::spawn(Arc::new(self).run(queue, stop)))
    }

    async fn run(self: Arc<Self>, mut queue: mpsc::Receiver<Arrived>, stop: CancellationToken) {
        let mut arrived = Vec::with_capacity(BATCH_EVENTS_MAX);
        let mut in_flight = FuturesUnordered::new();
        let (mut is_over, mut is_busy, mut gathers_until) = (false, false, None);
        while !(is_over && arrived.is_empty() && in_flight.is_empty()) {
            gather(&queue).await;
            let room = BATCH_EVENTS_MAX - arrived.len();
            let gathers = gathers_until.filter(|until| Instant::now() < *until);
            tokio::select! {
                biased;
                Some((batch, result)) = in_flight.next(), if !in_flight.is_empty() => self.finish(batch, result),
                count = queue.recv_many(&mut arrived, room), if room > 0 && !is_over => is_over = count == 0,
                () = stop.cancelled(), if !queue.is_closed() => queue.close(),
                () = tokio::time::sleep_until(gathers.unwrap_or_else(Instant::now)), if gathers.is_some() => {}
            }
            // Not the same for good: other nodes come and go.
            let is_enough = arrived.len() >= self.store.batch_worth_sending().min(BATCH_EVENTS_MAX);
            if arrived.is_empty() || !(in_flight.is_empty() || is_enough) || in_flight.len() >= BATCHES_IN_FLIGHT_MAX {
                continue;
            }
            if is_busy && !is_enough && !is_over {
                let until = *gathers_until.get_or_insert_with(|| Instant::now() + self.store.batch_gathers_for());
                if Instant::now() < until {
                    continue;
                }
            }
            (is_busy, gathers_until) = (arrived.len() >= BATCH_EVENTS_BUSY, None);
            let mut commit = Box::pin(self.commit(&mut arrived));
            // Polled here once, so that batches reach the store in the order of their ids.
            match futures_util::poll!(commit.as_mut()) {
                Poll::Ready((batch, result)) => self.finish(batch, result),
                Poll::Pending => in_flight.push(commit),
            }
        }
    }

    /// Gives ids and places, and hands the batch to the store when first polled.
    fn commit(self: &Arc<Self>, arrived: &mut Vec<Arrived>) -> impl Future<Output = (Batch, StoreAnswer)> + use<> {
        let started = self.clock.now();
        let routed_at = arrived.iter().map(|item| item.routed_at).min().unwrap_or_default();
        let caller = |item: Arrived| (item.event, Caller { address: item.address, answer: item.answer });
        let (events, callers) = arrived.drain(..).map(caller).unzip();
        let (batch, new_events) = self.place(events, callers, started);
        Arc::clone(self).store(batch, new_events, routed_at)
    }

    async fn store(
        self: Arc<Self>,
        mut batch: Batch,
        mut new_events: Vec<NewEvent>,
        mut routed_at: u64,
    ) -> (Batch, StoreAnswer) {
        for _ in 0..ROUTED_AGAIN_MAX {
            match self.put(new_events, routed_at).await {
                Err(StoreError::StaleCatalog { .. }) => {}
                answer => return (batch, answer),
            }
            let snapshot = match self.catalog.refresh().await {
                Ok(snapshot) => snapshot,
                Err(cause) => return (batch, Err(cause)),
            };
            routed_at = snapshot.version;
            (batch, new_events) = self.route_again(batch, &snapshot);
        }
        self.store_unchanged(batch).await
    }

    /// While nobody changes the configuration.
    async fn store_unchanged(&self, batch: Batch) -> (Batch, StoreAnswer) {
        let still = match self.catalog.edit().await {
            Ok(still) => still,
            Err(cause) => return (batch, Err(cause)),
        };
        let (batch, new_events) = self.route_again(batch, still.snapshot());
        let answer = self.put(new_events, still.snapshot().version).await;
        (batch, answer)
    }

    /// All may have gone back to their callers.
    async fn put(&self, new_events: Vec<NewEvent>, routed_at: u64) -> StoreAnswer {
        if new_events.is_empty() {
            return Ok(Vec::new());
        }
        self.store.commit(new_events, routed_at).await
    }

    fn place(&self, events: Vec<Event>, callers: Vec<Caller>, started: Timestamp) -> (Batch, Vec<NewEvent>) {
        let mut later = Vec::new();
        let identify = |(index, mut event): (usize, Event)| {
            let children = u32::try_from(event.targets.len()).unwrap_or(u32::MAX);
            (event.id, event.created_at) = self.ids.event(started, children);
            let behind = fan_out::later(&mut event.targets, self.fan_out_at_once_max);
            if !behind.is_empty() {
                later.push((index, behind));
            }
            Arc::new(event)
        };
        let events: Vec<Arc<Event>> = events.into_iter().enumerate().map(identify).collect();
        let (mut new_events, placings) = self.dispatcher.place(&events);
        let is_large = !later.is_empty();
        for (index, behind) in later {
            new_events[index].later = behind;
        }
        (Batch { events, placings, callers, started, is_large }, new_events)
    }

    /// With new ids too: another number of targets takes another number of ids. What is addressed to others by now goes
    /// back to its caller.
    fn route_again(&self, batch: Batch, snapshot: &Snapshot) -> (Batch, Vec<NewEvent>) {
        self.dispatcher.take_back(&batch.events, &batch.placings);
        let (mut events, mut callers) =
            (Vec::with_capacity(batch.events.len()), Vec::with_capacity(batch.events.len()));
        for (event, caller) in batch.events.into_iter().zip(batch.callers) {
            let mut event = Arc::unwrap_or_clone(event);
            if let Some(view) = snapshot.project(event.project_id) {
                if !caller.address.still_means(&event.audience, &event.idempotency_key, view) {
                    let _ = caller.answer.send(Err(Refusal::Overtaken));
                    continue;
                }
                event.targets = route::again(view, &event, None);
                event.fan_out = if event.targets.is_empty() { FanOut::NoMatch } else { FanOut::Success };
            }
            events.push(event);
            callers.push(caller);
        }
        self.place(events, callers, batch.started)
    }

    fn finish(&self, batch: Batch, result: StoreAnswer) {
        self.metrics.commit_batch_size.observe(batch.events.len() as f64);
        self.metrics.commit_seconds.observe(self.clock.now().since(batch.started).as_secs_f64());
        match result {
            Ok(committed) => self.committed(batch, &committed),
            Err(cause) => self.failed(batch, &cause),
        }
    }

    fn committed(&self, batch: Batch, committed: &[Committed]) {
        let stored = |index: usize| committed.get(index) == Some(&Committed::Stored);
        self.dispatcher.offer(&batch.events, &batch.placings, stored);
        if batch.is_large {
            self.fan_outs.notify_one();
        }
        for ((event, outcome), caller) in batch.events.into_iter().zip(committed).zip(batch.callers) {
            let accepted = match outcome {
                Committed::Stored => Ok(Accepted { event, duplicate_of: None }),
                Committed::Duplicate { first } => Ok(Accepted { event, duplicate_of: Some(*first) }),
                Committed::IdTaken => Err(Refusal::Unavailable {
                    reason: "the id is taken; send the event again".to_owned(),
                    retry_after: RETRY_AFTER,
                }),
            };
            if accepted.is_ok() {
                self.metrics.committed.inc();
            }
            // A caller who has gone away is not waited for; the event is stored all the same.
            let _ = caller.answer.send(accepted);
        }
    }

    fn failed(&self, batch: Batch, cause: &StoreError) {
        self.dispatcher.take_back(&batch.events, &batch.placings);
        let reason = cause.to_string();
        if cause.is_unavailable() {
            self.readiness.set(Health::Unready { reason: reason.clone() });
        } else {
            tracing::error!(%cause, events = batch.events.len(), "a commit was refused");
        }
        for caller in batch.callers {
            let _ = caller.answer.send(Err(Refusal::Unavailable { reason: reason.clone(), retry_after: RETRY_AFTER }));
        }
    }
}

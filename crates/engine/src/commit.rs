//! Stage 3, commit: many callers in one transaction.
//!
//! - In: routed events, each with a caller who waits.
//! - Out: the callers' answers, and the deliveries to dispatch, without reading them back.
//! - Promise: a caller hears `Ok` only after the store's commit. What arrived while one batch was
//!   being flushed is the next batch: no delay when idle, large batches under load.
//! - Failure: the whole batch is refused when the store cannot commit; an item that collides with
//!   another fails alone.

use crate::accept::{Accepted, RETRY_AFTER, Refusal};
use crate::dispatch::Dispatcher;
use crate::health::{Health, Readiness};
use crate::metrics::Metrics;
use dacapo_model::{Clock, Event, IdSource};
use dacapo_store::StoreError;
use dacapo_store::roles::{Commit, Committed};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Events that may wait for the committer; further ones are refused with 503.
const EVENTS_QUEUED_MAX: usize = 8_192;
/// Events of one batch.
const BATCH_EVENTS_MAX: usize = 512;

type Answer = oneshot::Sender<Result<Accepted, Refusal>>;

/// The committer's door.
#[derive(Clone)]
pub struct Intake(mpsc::Sender<(Event, Answer)>);

impl Intake {
    pub async fn commit(&self, event: Event) -> Result<Accepted, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send((event, answer)).map_err(|cause| match cause {
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
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
    pub dispatcher: Arc<Dispatcher>,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
}

impl Committer {
    /// Runs until `stop`, then commits what is queued and ends.
    pub fn start(self, stop: CancellationToken) -> (Intake, tokio::task::JoinHandle<()>) {
        let (intake, mut queue) = mpsc::channel(EVENTS_QUEUED_MAX);
        let task = tokio::spawn(async move {
            let mut arrived = Vec::with_capacity(BATCH_EVENTS_MAX);
            loop {
                tokio::select! {
                    biased;
                    count = queue.recv_many(&mut arrived, BATCH_EVENTS_MAX) => {
                        if count == 0 {
                            return;
                        }
                        self.commit(&mut arrived).await;
                    }
                    () = stop.cancelled(), if !queue.is_closed() => queue.close(),
                }
            }
        });
        (Intake(intake), task)
    }

    async fn commit(&self, arrived: &mut Vec<(Event, Answer)>) {
        let started = self.clock.now();
        let mut events = Vec::with_capacity(arrived.len());
        let mut answers = Vec::with_capacity(arrived.len());
        for (mut event, answer) in arrived.drain(..) {
            let children = u32::try_from(event.targets.len()).unwrap_or(u32::MAX);
            (event.id, event.created_at) = self.ids.event(started, children);
            events.push(Arc::new(event));
            answers.push(answer);
        }
        let batch = self.dispatcher.place(&events);
        let parked: Vec<Vec<u32>> = batch.iter().map(|item| item.parked.clone()).collect();
        let result = self.store.commit(batch).await;
        self.metrics.commit_batch_size.observe(events.len() as f64);
        self.metrics.commit_seconds.observe(self.clock.now().since(started).as_secs_f64());
        match result {
            Ok(committed) => self.committed(events, &parked, &committed, answers),
            Err(cause) => self.failed(&events, &parked, &cause, answers),
        }
    }

    fn committed(&self, events: Vec<Arc<Event>>, parked: &[Vec<u32>], committed: &[Committed], answers: Vec<Answer>) {
        let stored = |index: usize| committed.get(index) == Some(&Committed::Stored);
        self.dispatcher.offer(&events, parked, stored);
        for ((event, outcome), answer) in events.into_iter().zip(committed).zip(answers) {
            let accepted = match outcome {
                Committed::Stored => Ok(Accepted { event, duplicate_of: None }),
                Committed::Duplicate { first } => Ok(Accepted { event, duplicate_of: Some(*first) }),
                Committed::IdTaken => Err(Refusal::Unavailable {
                    reason: "the id is taken; send the event again".to_owned(),
                    retry_after: RETRY_AFTER,
                }),
            };
            self.metrics.committed.inc();
            // A caller who has gone away is not waited for; the event is stored all the same.
            let _ = answer.send(accepted);
        }
    }

    fn failed(&self, events: &[Arc<Event>], parked: &[Vec<u32>], cause: &StoreError, answers: Vec<Answer>) {
        self.dispatcher.take_back(events, parked);
        let reason = cause.to_string();
        if cause.is_unavailable() {
            self.readiness.set(Health::Unready { reason: reason.clone() });
        } else {
            tracing::error!(%cause, events = events.len(), "a commit was refused");
        }
        for answer in answers {
            let _ = answer.send(Err(Refusal::Unavailable { reason: reason.clone(), retry_after: RETRY_AFTER }));
        }
    }
}

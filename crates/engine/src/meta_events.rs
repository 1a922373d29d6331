//! Beside the pipeline: sends meta events, webhooks about this product itself (contracts/convoy.md §7.3).
//!
//! - In: rows of the store, written there in the transaction of what they tell of.
//! - Out: a POST each to the address its project names, and what became of it.
//! - Promise: each is sent until its receiver took it or its project's retries are used up, by the node that
//!   owns the shard its project's id hashes to, which works on one page of a project at a time: a project
//!   whose receiver hangs takes [`EXCHANGES_MAX`] places and, while others wait, one turn in each round.
//! - Failure: what a receiver says is an outcome; a store that cannot be used is tried again. A crash
//!   between the answer and its record sends again.

mod request;
#[cfg(test)]
mod tests;

use crate::deliver::{answered, verdict};
use crate::dispatch::Dispatcher;
use crate::settings::Settings;
use crate::transport::{Exchange, Failure, Transport};
use dacapo_model::catalog::Snapshot;
use dacapo_model::delivery::Verdict;
use dacapo_model::id::Entropy;
use dacapo_model::project::MetaEvent as Wanted;
use dacapo_model::{Attempt, Clock, Id, IdSource, MetaEvent, Timestamp};
use dacapo_store::{LiveCatalog, Store, StoreError};
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Projects whose meta events are sent at the same time; others wait for their turn.
const PROJECTS_MAX: usize = 8;
/// Meta events read at once, of one project.
const PAGE_MAX: usize = 8;
/// Exchanges of one project at the same time.
const EXCHANGES_MAX: usize = 4;
/// Pages of a project before others have a turn.
const PAGES_MAX: usize = 16;
/// The slow look under the words.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a look, also when there is word: word comes with every batch of records.
const REST: Duration = Duration::from_millis(20);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

pub struct MetaEvents {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub dispatcher: Arc<Dispatcher>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub entropy: Arc<dyn Entropy>,
    pub transport: Arc<dyn Transport>,
    pub settings: Settings,
    /// Projects that are being worked on.
    pub turns: Mutex<BTreeSet<Id>>,
}

impl MetaEvents {
    /// Until `stop`; what is in exchange then is finished and recorded first.
    pub async fn send_all(self: Arc<Self>, stop: CancellationToken) {
        let (mut written, mut holding) = (self.store.meta_events_written(), self.store.holding());
        let mut turns = JoinSet::new();
        let mut last = Id::MIN;
        while !stop.is_cancelled() {
            written.mark_unchanged();
            holding.mark_unchanged();
            let wait = match self.begin_turns(&mut turns, &mut last, &stop).await {
                Ok(wait) => wait,
                Err(cause) => {
                    tracing::warn!(%cause, "meta events could not be looked for; trying again");
                    TRY_AGAIN_AFTER
                }
            };
            tokio::select! {
                Some(_) = turns.join_next() => {}
                Ok(()) = written.changed() => {}
                Ok(()) = holding.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => break,
            }
            let _ = tokio::time::timeout(REST, stop.cancelled()).await;
            while turns.try_join_next().is_some() {}
        }
        while turns.join_next().await.is_some() {}
    }

    /// Of projects that are owed something now, as far as there is room, those behind the `last` one first.
    /// Gives how long nothing is due but what is seen to.
    async fn begin_turns(
        self: &Arc<Self>,
        turns: &mut JoinSet<()>,
        last: &mut Id,
        stop: &CancellationToken,
    ) -> Result<Duration, StoreError> {
        let mut owed = self.store.meta_events_owed().await?;
        let behind = owed.partition_point(|(project, _)| project <= last);
        owed.rotate_left(behind);
        let now = self.clock.now();
        let mut wait = LOOK_EVERY;
        for (project, due_at) in owed {
            if !self.dispatcher.works_for(project) {
                continue;
            }
            if due_at > now {
                wait = wait.min(due_at.since(now));
                continue;
            }
            if self.turns().len() >= PROJECTS_MAX {
                break;
            }
            if self.turns().insert(project) {
                *last = project;
                let (turn, stop) = (Turn { sender: Arc::clone(self), project }, stop.clone());
                turns.spawn(async move { turn.take(&stop).await });
            }
        }
        Ok(wait)
    }

    fn turns(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false` when there is nothing more for now.
    async fn send_page(&self, project: Id, stop: &CancellationToken) -> Result<bool, StoreError> {
        let page = self.store.meta_events_due(project, self.clock.now(), PAGE_MAX).await?;
        let (is_full, wanted) = (page.len() >= PAGE_MAX, self.wanted(project).await?);
        let send = |told: MetaEvent| {
            let wanted = wanted.as_ref();
            async move {
                // Asked for by another node, perhaps: what is in exchange is all it waits for.
                if stop.is_cancelled() || !self.dispatcher.works_for(project) {
                    return;
                }
                let after = match wanted {
                    Some(wanted) => self.attempt(&told, wanted).await,
                    None => told.discarded(self.clock.now()),
                };
                self.record(after, told.attempts).await;
            }
        };
        stream::iter(page).for_each_concurrent(EXCHANGES_MAX, send).await;
        Ok(is_full && !stop.is_cancelled())
    }

    /// `None`: the project wants none. Another node may just have heard that it does, and written this.
    async fn wanted(&self, project: Id) -> Result<Option<Wanted>, StoreError> {
        let of = |snapshot: &Snapshot| {
            let view = snapshot.project(project).filter(|view| view.project.deleted_at.is_none());
            view.map(|view| view.project.config.meta_event.clone()).filter(|wanted| wanted.is_enabled)
        };
        match of(&self.catalog.snapshot()) {
            None => Ok(of(&*self.catalog.refresh().await?)),
            known => Ok(known),
        }
    }

    async fn attempt(&self, told: &MetaEvent, wanted: &Wanted) -> MetaEvent {
        let started = self.clock.now();
        let mut attempt = self.begun(told, wanted, started);
        let (exchange, said) = match request::prepare(told, wanted, &self.settings) {
            Ok(outgoing) => {
                attempt.request_headers = crate::deliver::header_lines(&outgoing.headers);
                let exchange = self.transport.exchange(outgoing).await;
                let said = verdict(&exchange, started);
                (exchange, said)
            }
            Err(why) => (Exchange { ip: None, result: Err(Failure::Unsendable(why)) }, Verdict::Unsendable),
        };
        let now = self.clock.now();
        attempt.ip = exchange.ip;
        attempt.duration_us = u64::try_from(now.since(started).as_micros()).unwrap_or(u64::MAX);
        answered(&mut attempt, exchange.result);
        told.after(attempt, said, now, self.entropy.u64() as f64 / u64::MAX as f64)
    }

    fn begun(&self, told: &MetaEvent, wanted: &Wanted, started: Timestamp) -> Attempt {
        Attempt {
            id: self.ids.mint(started).0,
            delivery_id: told.id,
            number: told.attempts + 1,
            url: wanted.url.clone(),
            ip: None,
            request_headers: Default::default(),
            status: None,
            response_headers: Default::default(),
            response_body: Default::default(),
            error: None,
            succeeded: false,
            requested_at: started,
            duration_us: 0,
        }
    }

    /// Its receiver has answered: it is recorded however long that takes.
    async fn record(&self, after: MetaEvent, seen: u32) {
        loop {
            match self.store.record_meta_event(after.clone(), seen).await {
                Ok(true) => return,
                Ok(false) => {
                    return tracing::debug!(meta_event = %after.id, "somebody else has recorded an attempt");
                }
                Err(cause @ StoreError::Unavailable(_)) => {
                    tracing::warn!(%cause, meta_event = %after.id, "an attempt could not be recorded; trying again");
                }
                Err(cause) => {
                    tracing::error!(%cause, meta_event = %after.id, "an attempt could not be recorded; it is sent again");
                    // Not at once, again and again: it is due still.
                    return tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
    }
}

/// A project's.
struct Turn {
    sender: Arc<MetaEvents>,
    project: Id,
}

impl Turn {
    async fn take(&self, stop: &CancellationToken) {
        let sender = &self.sender;
        for _ in 0..PAGES_MAX {
            // From before the read: what another node sent meanwhile must not be sent from here again.
            let Some(_stay) = sender.dispatcher.stay(self.project) else { return };
            match sender.send_page(self.project, stop).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(cause) => {
                    tracing::warn!(%cause, project = %self.project, "meta events could not be read; trying again");
                    let _ = tokio::time::timeout(TRY_AGAIN_AFTER, stop.cancelled()).await;
                    return;
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.sender.turns().remove(&self.project);
    }
}

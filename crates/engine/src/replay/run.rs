//! Running replays: walks each one's frozen set and writes its items, a bounded page at a time.
//!
//! - In: replays that are open and this node's (it owns the shard their id hashes to).
//! - Out: items in the store's queue, which dispatch delivers as any others, in their own class.
//! - Promise: every event of the set becomes its items once, whatever crashes: a page of items and the
//!   moved cursor are one transaction, and it names the page it follows. Memory holds a page a replay,
//!   which is bounded in items and deliveries, not only in events;
//!   the queue holds a bounded number of items not settled. That is the throttle for the rate, and
//!   what makes a pause quick.
//! - Failure: a store that cannot be used now is tried again; a set that cannot be read ends the replay
//!   as failed, with the cause.

mod page_of_items;
mod step;
#[cfg(test)]
mod tests;

use super::beside::Beside;
use super::pace::Pace;
use crate::dispatch::Dispatcher;
use dacapo_model::meta_event::Teller;
use dacapo_model::replay::{Asker, AskerKind};
use dacapo_model::{Clock, Id, IdSource, Shard};
use dacapo_store::{LiveCatalog, Store};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// After a step that moved nothing, also when there is word: word comes with every batch of records.
const REST: Duration = Duration::from_millis(20);
/// Items of a replay may be settled by other nodes, which give no word of it.
const LOOK_ELSEWHERE_EVERY: Duration = Duration::from_millis(100);
/// The slow look under the words: at each replay, and for replays to drive.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

pub const SYSTEM: Asker = Asker { kind: AskerKind::System, id: None };

pub struct Runner {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
    pub dispatcher: Arc<Dispatcher>,
    pub beside: Beside,
    pub teller: Arc<Teller>,
    /// With what wakes each.
    pub driven: Mutex<HashMap<Id, Arc<Notify>>>,
    /// Told when there may be one to drive.
    pub begun: Notify,
}

impl Runner {
    /// Until `stop`.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = self.look(&stop) => {}
            () = self.pass_on() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn look(self: &Arc<Self>, stop: &CancellationToken) {
        let mut holding = self.store.holding();
        loop {
            holding.mark_unchanged();
            match self.store.open_replays().await {
                Ok(open) => {
                    open.iter().filter(|replay| self.is_ours(replay.id)).for_each(|replay| self.drive(replay.id, stop))
                }
                Err(cause) => tracing::warn!(%cause, "open replays could not be read; trying again"),
            }
            tokio::select! {
                () = self.begun.notified() => {}
                Ok(()) = holding.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Word of a replay, to who drives it.
    async fn pass_on(&self) {
        loop {
            let said = self.dispatcher.hear_of_replays().await;
            let driven = self.driven();
            said.moved.iter().chain(&said.steered).filter_map(|id| driven.get(id)).for_each(|woken| woken.notify_one());
            if said.steered.iter().any(|id| !driven.contains_key(id)) {
                self.begun.notify_one();
            }
        }
    }

    fn is_ours(&self, replay: Id) -> bool {
        self.store.holding().borrow().dispatches(Shard::of(replay))
    }

    fn drive(self: &Arc<Self>, replay: Id, stop: &CancellationToken) {
        let woken = match self.driven().entry(replay) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::default())),
        };
        let (runner, stop) = (Arc::clone(self), stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(runner.drive_on(replay, &woken)).await;
            runner.driven().remove(&replay);
        });
    }

    fn driven(&self) -> std::sync::MutexGuard<'_, HashMap<Id, Arc<Notify>>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the replay is over and settled, or another node's.
    async fn drive_on(&self, id: Id, woken: &Notify) {
        let mut pace = Pace::starting(self.clock.now());
        let mut has_moved = false;
        while self.is_ours(id) {
            let wait = match self.step(id, &mut pace).await {
                Ok(Step::Again) => {
                    has_moved = true;
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(Step::After(wait)) => wait,
                // Each word of the page's own items would cut the next one shorter.
                Ok(Step::Paced { wait, every }) => {
                    has_moved = true;
                    tokio::time::sleep(every).await;
                    match wait.checked_sub(every) {
                        None | Some(Duration::ZERO) => continue,
                        Some(rest) => rest,
                    }
                }
                Ok(Step::Done) => return,
                Ok(at @ (Step::AtWord | Step::AtEveryWord)) => {
                    has_moved |= at == Step::AtEveryWord;
                    if self.store.is_shared() { LOOK_ELSEWHERE_EVERY } else { LOOK_EVERY }
                }
                Err(cause) => {
                    tracing::warn!(%cause, replay = %id, "a replay cannot go on now; trying again");
                    TRY_AGAIN_AFTER
                }
            };
            if !std::mem::take(&mut has_moved) {
                tokio::time::sleep(REST).await;
            }
            tokio::select! {
                () = woken.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Again,
    /// Time alone makes a difference.
    After(Duration),
    /// So does it, and soon: no page before `every` is over.
    Paced {
        wait: Duration,
        every: Duration,
    },
    /// Nothing to do before somebody does something to it, or its items come to something.
    AtWord,
    /// The same, without a rest.
    AtEveryWord,
    Done,
}

//! What a caller may do with replays: plan one, start one, look at it, steer it.
//!
//! - Promise: when pausing or cancelling has answered, no node that has acknowledged it sends anything
//!   more of the replay; what was in exchange at that moment is counted, and how many living nodes have
//!   not acknowledged is said. A set that was counted is the set that runs.
//! - Failure: typed refusals; nothing was changed, as far as the store can be asked.

mod refused;
mod start;
mod steer;
#[cfg(test)]
mod tests;

pub use refused::Refused;
pub use steer::{Pace, Steered};

use super::plan::Planner;
use crate::dispatch::Dispatcher;
use crate::transport::Transport;
use dacapo_model::meta_event::Teller;
use dacapo_model::replay::{Asker, CallKind, Options, State};
use dacapo_model::selector::Selector;
use dacapo_model::{Clock, Id, IdSource, Replay};
use dacapo_store::roles::{CallView, Page};
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Replays of a project that may be under way at a time: each has up to 10,000 items in the queue.
pub const OPEN_REPLAYS_MAX: u64 = 8;
/// How long a caller waits for a plan.
pub const PLAN_TIME_MAX: Duration = Duration::from_secs(20);
/// What is asked for, checked by itself.
#[derive(Clone, Debug)]
pub struct Wish {
    pub project_id: Id,
    pub name: String,
    pub reason: String,
    pub asked_by: Asker,
    /// As it came, and what it says.
    pub given: serde_json::Value,
    pub selector: Selector,
    pub options: Options,
    /// Refused when the set holds another number of items.
    pub expected: Option<u64>,
    /// A selector without a start is meant.
    pub confirm_unbounded: bool,
    pub key: Option<(String, [u8; 32])>,
}

pub struct Desk {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub ids: Arc<IdSource>,
    pub clock: Arc<dyn Clock>,
    pub dispatcher: Arc<Dispatcher>,
    pub planner: Arc<Planner>,
    pub transport: Arc<dyn Transport>,
    /// Where sets are counted: not where events are taken in, whose latency it would add to.
    pub aside: Handle,
    /// Whether other processes have to hear of a stop.
    pub is_shared: bool,
    pub teller: Arc<Teller>,
}

impl Desk {
    pub async fn get(&self, project: Id, id: Id) -> Result<Replay, Refused> {
        self.store.replay_by_id(project, id).await?.ok_or(Refused::Unknown)
    }

    pub async fn list(&self, project: Id, states: Vec<State>, page: Page) -> Result<Vec<Replay>, Refused> {
        Ok(self.store.replays_of(project, states, page).await?)
    }

    /// A single call, which is no [`Replay`].
    pub async fn call(&self, project: Id, id: Id) -> Result<CallView, Refused> {
        self.store.call_by_id(project, id).await?.ok_or(Refused::Unknown)
    }

    pub async fn calls(&self, project: Id, kind: CallKind, page: Page) -> Result<Vec<CallView>, Refused> {
        Ok(self.store.calls_of(project, kind, page).await?)
    }
}

/// What a write that failed says nothing of: whether it is in the store all the same. `found` looks.
async fn unless_it_worked<T, F>(
    written: Result<T, StoreError>,
    look: impl Future<Output = Result<F, StoreError>>,
    found: impl FnOnce(F) -> Option<T>,
) -> Result<T, StoreError> {
    match written {
        Err(cause @ (StoreError::Unavailable(_) | StoreError::TooSlow)) => look.await.ok().and_then(found).ok_or(cause),
        other => other,
    }
}

async fn one(store: Arc<dyn Store>, id: Id) -> Result<Option<Replay>, StoreError> {
    Ok(store.replays_among(vec![id]).await?.into_iter().next())
}

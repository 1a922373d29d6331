//! Replays as resources: their rows, the items they are made of, and who has heard of what was
//! changed about them.
//!
//! An item is a delivery (`trigger` Replay, `replay_id` the replay's): once a (replay, event, endpoint),
//! because a page of items and the moved cursor are one transaction that names the page it follows.

use super::Page;
use crate::Result;
use async_trait::async_trait;
use dacapo_model::replay::{Call, CallKind, Control, Definition, Progress, State, Whereabouts};
use dacapo_model::{Delivery, Endpoint, Event, Id, MetaEvent, Replay, Timestamp};
use std::sync::Arc;
use tokio::sync::watch;

/// When an item is due that nobody is to send for now: a time that does not come.
pub const HELD_UNTIL: Timestamp = Timestamp::from_millis(253_370_764_800_000);

/// A replay to be.
#[derive(Clone, Debug)]
pub struct NewReplayRun {
    pub id: Id,
    pub project_id: Id,
    pub definition: Definition,
    pub control: Control,
    /// Under which the same call finds it again, and SHA-256 over what was asked for.
    pub key: Option<(String, [u8; 32])>,
    /// Replays of the project that may be under way, this one included.
    pub open_max: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReplayCreated {
    New,
    /// The key was used for the same thing before.
    Before(Id),
    /// The key was used for something else.
    Conflict,
    /// So many of the project are under way.
    TooMany(u64),
}

/// Items of a replay and where the walk goes on, written together or not at all.
#[derive(Clone, Debug)]
pub struct ItemPage {
    pub replay: Id,
    /// [`Replay::page`] as it was when this was made: another page that came first makes this void.
    pub after: u64,
    /// Without `items` and `gone` of this page, which the store adds.
    pub progress: Progress,
    /// Settled ones are born so. Those whose event is gone are left out and counted.
    pub items: Vec<Delivery>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduled {
    Written {
        items: u64,
        gone: u64,
    },
    /// It does not run any more, or another page came first: nothing was written.
    Void,
}

/// Items that are not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenItems {
    pub all: u64,
    /// Never tried, and not held.
    pub fresh: u64,
    /// Held until somebody releases them.
    pub held: u64,
}

/// Which items are made due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Those that are held.
    Held,
    /// Of each endpoint the oldest that is not settled, if that one is held.
    Heads,
    /// Those that wait for a retry too.
    Everything,
}

/// Items made due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    pub items: u64,
    /// Whose lanes have something new.
    pub endpoints: Vec<Id>,
}

/// What nodes have said about a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Living nodes that have not said they know of it.
    pub missing: u64,
    /// Exchanges that were under way when they learnt of it.
    pub in_flight: u64,
}

/// A call, and where its deliveries are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallView {
    pub call: Call,
    pub now: Whereabouts,
}

#[async_trait]
pub trait Replays: Send + Sync + 'static {
    async fn create_replay(&self, new: NewReplayRun) -> Result<ReplayCreated>;

    /// `None` also when it is another project's.
    async fn replay_by_id(&self, project: Id, id: Id) -> Result<Option<Replay>>;

    /// The one this key started, with what was written about the call.
    async fn replay_by_key(&self, project: Id, key: String) -> Result<Option<(Id, [u8; 32])>>;

    /// By id, which is by age; in one of these states, or in any when none is named.
    async fn replays_of(&self, project: Id, states: Vec<State>, page: Page) -> Result<Vec<Replay>>;

    /// Single calls of a kind, which are no [`Replay`], by id.
    async fn calls_of(&self, project: Id, kind: CallKind, page: Page) -> Result<Vec<CallView>>;

    /// Of any kind; `None` also when it is another project's.
    async fn call_by_id(&self, project: Id, id: Id) -> Result<Option<CallView>>;

    /// Of any project; unknown ids are left out.
    async fn replays_among(&self, ids: Vec<Id>) -> Result<Vec<Replay>>;

    /// Those not over, and those over with items that are not settled. `counts` included.
    async fn open_replays(&self) -> Result<Vec<Replay>>;

    /// Replaces `control` of a replay whose revision is still `seen`, and gives the new revision;
    /// `None` when it has moved on. `open` false takes it out of [`Self::open_replays`].
    /// Other processes are told. `told` is written with it.
    async fn steer(
        &self,
        id: Id,
        seen: u64,
        control: Control,
        open: bool,
        told: Option<MetaEvent>,
    ) -> Result<Option<u64>>;

    /// Owners of the shards these items are of are told.
    async fn schedule(&self, page: ItemPage) -> Result<Scheduled>;

    async fn open_items(&self, replay: Id) -> Result<OpenItems>;

    /// Puts at most `limit` of its due items off until [`HELD_UNTIL`]. Gives how many.
    async fn hold_items(&self, replay: Id, now: Timestamp, limit: usize) -> Result<u64>;

    /// Makes at most `limit` of its items due at `at`, oldest first.
    async fn release_items(&self, replay: Id, which: Release, at: Timestamp, limit: usize) -> Result<Released>;

    /// For each of these: whether any delivery of the event to the endpoint has succeeded.
    async fn have_reached(&self, asked: Vec<(Arc<Event>, Id)>) -> Result<Vec<bool>>;

    /// The endpoint as it was at a moment; `None` when it did not exist then.
    async fn endpoint_as_of(&self, endpoint: Id, at: Timestamp) -> Result<Option<Endpoint>>;

    /// The newest revision another process is known to have given. Closed where there are none.
    fn newer_replays(&self) -> watch::Receiver<u64>;

    /// Replays changed after `revision`, oldest change first.
    async fn replays_since(&self, revision: u64) -> Result<Vec<Replay>>;

    /// Says that this process acts by all changes up to `revision`, and what it had in exchange of each
    /// replay they stopped. Where nobody else is, does nothing.
    async fn acknowledge_replays(&self, revision: u64, in_flight: Vec<(Id, u64)>) -> Result<()>;

    /// Nothing missing where nobody else is.
    async fn acknowledged(&self, replay: Id, revision: u64) -> Result<Acknowledged>;
}

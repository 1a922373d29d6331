//! Who may dispatch. An endpoint has one owner at a time (design §4).
//!
//! ```text
//!              take (epoch + 1)                 asked to leave
//!   (free) ─────────────────────► held ───────────────────────────► leaving
//!     ▲                            │ │                                │
//!     │          release()         │ │ deadline passed                │ let_go(), once it is quiet
//!     ├────────────────────────────┘ └──────► not ours: another node ◄┤
//!     └───────────────────────────────────────  may take it           ┘
//! ```

use crate::Result;
use async_trait::async_trait;
use dacapo_model::{Id, Shard, Timestamp};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Rises each time a shard is taken: what was begun under an older one is refused.
pub type Epoch = u64;

/// Which shards this process owns, at one moment.
#[derive(Clone, Debug)]
pub struct Holding {
    /// What this process took, with what epoch. Ask [`Self::owns`] whether it may still be relied on.
    pub shards: BTreeMap<Shard, Epoch>,
    /// Those of `shards` that another node is to have: send nothing more, and say
    /// [`Lease::let_go`] when nothing of theirs is in exchange or unrecorded.
    pub leaving: BTreeSet<Shard>,
    /// Of endpoints in `shards` that came with an [`Allowance`]: when it is whole again.
    pub allowances: Arc<HashMap<Id, Timestamp>>,
    deadline: Deadline,
}

impl Holding {
    /// Everything, for good: the store of one process.
    pub fn everything() -> Self {
        Self {
            shards: Shard::all().map(|shard| (shard, 1)).collect(),
            leaving: BTreeSet::new(),
            allowances: Arc::default(),
            deadline: Deadline::never(),
        }
    }

    pub fn new(shards: BTreeMap<Shard, Epoch>, leaving: BTreeSet<Shard>, deadline: Deadline) -> Self {
        Self { shards, leaving, allowances: Arc::default(), deadline }
    }

    pub fn with_allowances(self, allowances: Arc<HashMap<Id, Timestamp>>) -> Self {
        Self { allowances, ..self }
    }

    /// Whether nobody else can own it at this moment. Looks at the clock: true now may be false at
    /// the next look, also without a new `Holding`.
    pub fn owns(&self, shard: Shard) -> bool {
        self.shards.contains_key(&shard) && !self.deadline.has_passed()
    }

    /// Whether the lease was not renewed in time: nothing is owned, whatever `shards` says.
    pub fn has_lapsed(&self) -> bool {
        self.deadline.has_passed()
    }

    /// Whether its deliveries are this process's to send now.
    pub fn dispatches(&self, shard: Shard) -> bool {
        self.owns(shard) && !self.leaving.contains(&shard)
    }
}

/// How far an endpoint's rate limit is used up, for the next owner of its shard. Without one the next
/// owner has to take it for used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub endpoint_id: Id,
    /// When all of it may be taken at once again, if nothing is until then.
    pub whole_at: Timestamp,
}

/// Until when a lease may be relied on, by the monotonic clock; one for all copies of a `Holding`,
/// put off with each heartbeat.
#[derive(Clone, Debug)]
pub struct Deadline {
    base: Instant,
    /// Microseconds after `base`.
    until_us: Arc<AtomicU64>,
}

impl Deadline {
    pub fn never() -> Self {
        Self { base: Instant::now(), until_us: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// Passed already.
    pub fn passed() -> Self {
        Self { base: Instant::now(), until_us: Arc::default() }
    }

    pub fn put_off_to(&self, until: Instant) {
        let micros = until.saturating_duration_since(self.base).as_micros();
        self.until_us.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Release);
    }

    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        let until = self.until_us.load(Ordering::Acquire);
        if until == u64::MAX {
            return Duration::MAX;
        }
        let until = Duration::from_micros(until);
        until.saturating_sub(Instant::now().saturating_duration_since(self.base))
    }
}

/// One node, as the store knows it; serialized as `GET /nodes` and `dacapo nodes --json` show it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    pub id: Id,
    /// Where it is reached, by its own account.
    pub label: String,
    pub started_at: Timestamp,
    /// Since its last heartbeat.
    #[serde(rename = "silent_ms", serialize_with = "as_millis")]
    pub silent: Duration,
    #[serde(rename = "alive")]
    pub is_alive: bool,
    /// About to end.
    #[serde(rename = "leaving")]
    pub is_leaving: bool,
    /// In order.
    pub shards: Vec<u8>,
    /// When the last of them came to it.
    pub since: Option<Timestamp>,
    /// Deliveries of its shards that are due and not settled.
    pub due: u64,
    /// For how long the oldest of them has been due.
    #[serde(rename = "lag_ms", serialize_with = "as_millis")]
    pub lag: Duration,
}

fn as_millis<S: Serializer>(time: &Duration, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[async_trait]
pub trait Lease: Send + Sync + 'static {
    /// Becomes a node and takes what is free. Fails with `InUse` when another process owns what this
    /// one would dispatch and cannot share: the embedded store has one owner, which holds a lock on
    /// the data directory from opening to closing.
    async fn hold(&self) -> Result<()>;

    /// What this process owns, told with every change of it. The backlog of a shard that was not in the
    /// `Holding` before, or was there with another epoch, is to be read (again): word of what came
    /// meanwhile went elsewhere. Of a shard that is gone nothing may be sent any more.
    fn holding(&self) -> watch::Receiver<Arc<Holding>>;

    /// All nodes that share the store, oldest first; none where it is not shared.
    async fn nodes(&self) -> Result<Vec<NodeView>> {
        Ok(Vec::new())
    }

    /// Gives shards up that nothing is sent or recorded for any more. Those not held are left out.
    /// `allowances` go to the next owner of their shards, if that is the next to take them; none of other
    /// shards is looked at. How exact: a few milliseconds, whatever the nodes' clocks say.
    async fn let_go(&self, shards: &[Shard], allowances: &[Allowance]) -> Result<()>;

    /// This process is about to end: all it holds becomes `leaving`, as far as another node is there to
    /// have it, and it takes nothing more.
    async fn retire(&self) -> Result<()> {
        Ok(())
    }

    /// Flushes, closes and gives up ownership at once. Verbs answer `Unavailable` from here on.
    async fn release(&self) -> Result<()>;
}

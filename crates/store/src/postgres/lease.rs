//! Which shards this node owns, and how the database refuses what it does for others.
//!
//! Time is the database's (`now()`) where nodes judge each other, and the monotonic clock where a node
//! judges itself: it relies on its shards until [`RELY_ON`] after it *sent* its last heartbeat, others
//! take them [`EXPIRY`] after the database *got* it, which is later.
//!
//! The fence of a node is an advisory lock with its number: its records hold it shared from before
//! they look at the `shards` rows until their commit, and who takes a shard from it, itself included,
//! holds it exclusively. So a record that saw its shard owned is committed before the shard is
//! another's. (Row locks would do the same, at a write per row and batch.)

mod allowances;
mod plan;
mod rounds;
#[cfg(test)]
mod simulation;

use super::schema::LOCK_SPACE;
use super::session::{Purpose, Sessions, Sql, Step, Value};
use super::{PostgresStore, codec::uuid, error};
use crate::roles::{Allowance, Epoch, Holding, Lease, NodeView, lease::Deadline};
use crate::{Result, StoreError};
use allowances::PassedOn;
use async_trait::async_trait;
use dacapo_model::clock::SharedClock;
use dacapo_model::{Clock, Id, Shard, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Between two heartbeats.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// A node silent for this long may be taken from, by the database's clock.
pub const EXPIRY: Duration = Duration::from_secs(10);
/// A node stops relying on its shards this long after its last good heartbeat was sent. What is
/// left of [`EXPIRY`] is for clocks that do not run alike.
pub const RELY_ON: Duration = Duration::from_secs(9);
/// The first key of the nodes' fences (see `schema::LOCK_SPACE` for the other locks).
pub const FENCES: i32 = LOCK_SPACE + 1;

static FENCE_SHARED: Sql =
    Sql { text: "SELECT pg_advisory_xact_lock_shared($1, $2)", types: &[Type::INT4, Type::INT4] };
static LOOK: Sql = Sql {
    text: "SELECT shard, epoch FROM shards WHERE owner = $1 AND shard = ANY ($2)",
    types: &[Type::UUID, Type::INT2_ARRAY],
};
static FENCE_ALONE: Sql = Sql { text: "SELECT pg_advisory_xact_lock($1, $2)", types: &[Type::INT4, Type::INT4] };
static LET_GO: Sql = Sql {
    text: "UPDATE shards SET owner = NULL, wanted_by = NULL, since = now() WHERE owner = $1 AND shard = ANY ($2)",
    types: &[Type::UUID, Type::INT2_ARRAY],
};
/// The row goes with the last of its shards, in one transaction: a node without a row owns nothing.
static LEAVE: Sql = Sql { text: "DELETE FROM nodes WHERE id = $1", types: &[Type::UUID] };
static RETIRE: Sql = Sql { text: "UPDATE nodes SET retiring = true WHERE id = $1", types: &[Type::UUID] };
static TELL: Sql = Sql { text: "SELECT pg_notify('dacapo_shards', '')", types: &[] };

/// This node's part in the lease.
pub struct Tenure {
    pub node: Id,
    label: String,
    /// Set by the database's in each round.
    pub clock: Arc<SharedClock>,
    /// The number of the node's fence, once it has joined.
    fence: AtomicI32,
    deadline: Deadline,
    state: Mutex<State>,
    holding: watch::Sender<Arc<Holding>>,
    /// Held over whatever changes ownership: a round, a hand-over, the end.
    changing: tokio::sync::Mutex<Joined>,
    /// Held for reading by each commit: it decides who is to be told by who owns what, and a shard
    /// that leaves waits until commits that counted on it are through.
    pub commits: tokio::sync::RwLock<()>,
    /// Takes nothing more, and leaves all it has.
    retiring: AtomicBool,
    /// Asks for a round before its time.
    pub hurry: Notify,
}

/// What the database said last.
#[derive(Default)]
struct State {
    owned: BTreeMap<Shard, Epoch>,
    leaving: BTreeMap<Shard, Id>,
    /// Nodes with a heartbeat in time, in the last round.
    living: BTreeSet<Id>,
    /// Of what is owned, as it was handed over.
    allowances: Arc<HashMap<Id, Timestamp>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    NotYet,
    Yes,
    Left,
}

impl Tenure {
    pub fn new(node: Id, label: String, clock: Arc<SharedClock>) -> Self {
        let deadline = Deadline::passed();
        let nothing = Holding::new(BTreeMap::new(), BTreeSet::new(), deadline.clone());
        Self {
            node,
            label,
            clock,
            fence: AtomicI32::new(0),
            deadline,
            state: Mutex::default(),
            holding: watch::channel(Arc::new(nothing)).0,
            changing: tokio::sync::Mutex::new(Joined::NotYet),
            commits: tokio::sync::RwLock::default(),
            retiring: AtomicBool::new(false),
            hurry: Notify::new(),
        }
    }

    /// As the database said last, also when it may not be relied on any more.
    pub fn held(&self) -> BTreeMap<Shard, Epoch> {
        self.state().owned.clone()
    }

    pub fn owns(&self, shard: Shard) -> bool {
        !self.deadline.has_passed() && self.state().owned.contains_key(&shard)
    }

    /// Whether other nodes run beside this one.
    pub fn has_company(&self) -> bool {
        self.state().living.len() > 1
    }

    /// What a transaction on these shards has to show; those that are known to be another's otherwise.
    pub fn fence(&self, shards: BTreeSet<Shard>) -> std::result::Result<Fence, Vec<Shard>> {
        let state = self.state();
        let lost: Vec<Shard> = shards.iter().copied().filter(|shard| !state.owned.contains_key(shard)).collect();
        if !lost.is_empty() {
            return Err(lost);
        }
        let expected: BTreeMap<Shard, Epoch> =
            shards.into_iter().filter_map(|shard| Some((shard, *state.owned.get(&shard)?))).collect();
        Ok(Fence {
            node: uuid(self.node),
            number: self.fence.load(Ordering::Acquire),
            shards: expected.keys().copied().map(number).collect(),
            epochs: expected.values().map(|epoch| i64::try_from(*epoch).unwrap_or(i64::MAX)).collect(),
            expected,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody what the state is; nobody who looks at the same as before.
    fn publish(&self) {
        let (owned, leaving, allowances) = {
            let state = self.state();
            let leaving = state.leaving.keys().copied().collect::<BTreeSet<_>>();
            (state.owned.clone(), leaving, Arc::clone(&state.allowances))
        };
        self.holding.send_if_modified(|told| {
            let changed = told.shards != owned || told.leaving != leaving;
            if changed {
                *told = Arc::new(Holding::new(owned, leaving, self.deadline.clone()).with_allowances(allowances));
            }
            changed
        });
    }

    /// The others count this node out from here on, and so does it: it leaves what has an heir.
    async fn retire(&self, sessions: &Sessions) -> Result<()> {
        self.retiring.store(true, Ordering::Release);
        let node = uuid(self.node);
        sessions.once(Purpose::Work, Step::Known(&RETIRE, vec![&node])).await?;
        self.round(sessions).await.map(drop)
    }

    /// Frees some or all of what is owned. Local first: from here on nothing counts on it.
    async fn give_up(&self, sessions: &Sessions, shards: Option<&[Shard]>, allowances: &[Allowance]) -> Result<()> {
        let (freed, passed_on): (Vec<i16>, PassedOn) = {
            let mut state = self.state();
            let chosen: Vec<Shard> = match shards {
                Some(shards) => shards.iter().copied().filter(|shard| state.owned.contains_key(shard)).collect(),
                None => Shard::all().collect(),
            };
            let of_chosen = allowances.iter().filter(|one| chosen.contains(&Shard::of(one.endpoint_id)));
            let passed_on = PassedOn::new(of_chosen, &state.owned);
            for shard in &chosen {
                state.owned.remove(shard);
                state.leaving.remove(shard);
            }
            (chosen.into_iter().map(number).collect(), passed_on)
        };
        self.publish();
        if freed.is_empty() {
            return Ok(());
        }
        drop(self.commits.write().await);
        let (node, fence) = (uuid(self.node), self.fence.load(Ordering::Acquire));
        // The row before the fence, as a taker goes: two orders would be a deadlock.
        let leave = shards.is_none().then(|| Step::Known(&LEAVE, vec![&node]));
        // Before anything that may wait: they are told as time from now.
        let passed_on = passed_on.from(self.clock.now());
        let mut steps: Vec<Step<'_>> = passed_on.step().into_iter().chain(leave).collect();
        steps.push(Step::Known(&FENCE_ALONE, vec![&FENCES, &fence]));
        steps.push(Step::Known(&LET_GO, vec![&node, &freed]));
        steps.push(Step::Known(&TELL, Vec::new()));
        sessions.transaction(Purpose::Work).await?.commit(steps).await.map(drop)
    }
}

/// See the top of this file.
pub struct Fence {
    node: Uuid,
    number: i32,
    shards: Vec<i16>,
    epochs: Vec<i64>,
    expected: BTreeMap<Shard, Epoch>,
}

impl Fence {
    /// First of all in a transaction that writes; the last of these steps is what [`Self::lost`] reads.
    pub fn steps(&self) -> Vec<Step<'_>> {
        vec![self.hold(), self.look()]
    }

    fn hold(&self) -> Step<'_> {
        Step::Known(&FENCE_SHARED, vec![&FENCES, &self.number])
    }

    /// For a function that holds and looks by itself: the fence, the shards' numbers, the epochs by which they are
    /// this node's, and the node.
    pub fn shown(&self) -> [Value<'_>; 5] {
        [&FENCES, &self.number, &self.shards, &self.epochs, &self.node]
    }

    /// Whether what the database says is what this node knows.
    pub fn is_held(&self, shard: Shard, epoch: Option<i64>) -> bool {
        epoch.is_some() && self.expected.get(&shard).copied() == epoch.map(i64::cast_unsigned)
    }

    fn look(&self) -> Step<'_> {
        Step::Known(&LOOK, vec![&self.node, &self.shards])
    }

    /// Those of the shards that are not this node's, or not by the epoch it knows.
    pub fn lost(&self, rows: &[Row]) -> Result<Vec<Shard>> {
        let mut found = BTreeMap::new();
        for row in rows {
            found.insert(shard_of(row.try_get(0)?)?, row.try_get::<_, i64>(1)?.cast_unsigned());
        }
        Ok(self
            .expected
            .iter()
            .filter(|(shard, epoch)| found.get(shard) != Some(epoch))
            .map(|(shard, _)| *shard)
            .collect())
    }
}

pub fn number(shard: Shard) -> i16 {
    shard.number().into()
}

fn shard_of(number: i16) -> Result<Shard> {
    u8::try_from(number).map(Shard::from_number).map_err(|_| StoreError::Inconsistent {
        table: "shards",
        column: "shard",
        row: number.to_string(),
        detail: "not one of 256".to_owned(),
    })
}

#[async_trait]
impl Lease for PostgresStore {
    async fn hold(&self) -> Result<()> {
        let inner = &self.inner;
        {
            let mut joined = inner.lease.changing.lock().await;
            match *joined {
                Joined::Left => return Err(error::closed()),
                Joined::Yes => return Ok(()),
                Joined::NotYet => inner.lease.round(&inner.upkeep).await?,
            };
            // The others need not find out by themselves that there is one more.
            inner.upkeep.once(Purpose::Work, Step::Known(&TELL, Vec::new())).await?;
            *joined = Joined::Yes;
        }
        self.run(rounds::keep(Arc::clone(inner)));
        self.run(rounds::watch_deadline(Arc::clone(inner)));
        Ok(())
    }

    fn holding(&self) -> watch::Receiver<Arc<Holding>> {
        self.inner.lease.holding.subscribe()
    }

    async fn nodes(&self) -> Result<Vec<NodeView>> {
        super::nodes::read(&self.inner.history).await
    }

    async fn let_go(&self, shards: &[Shard], allowances: &[Allowance]) -> Result<()> {
        let _changing = self.inner.lease.changing.lock().await;
        self.inner.lease.give_up(&self.inner.upkeep, Some(shards), allowances).await
    }

    async fn retire(&self) -> Result<()> {
        let _changing = self.inner.lease.changing.lock().await;
        self.inner.lease.retire(&self.inner.upkeep).await
    }

    async fn release(&self) -> Result<()> {
        let inner = &self.inner;
        let mut joined = inner.lease.changing.lock().await;
        if *joined == Joined::Left {
            return Ok(());
        }
        // What was committed for others is theirs to send, from now on.
        if let Err(cause) = inner.pass_on_news().await {
            tracing::warn!(%cause, "other nodes find out by themselves what was committed for them last");
        }
        let given_up = match *joined {
            Joined::Yes => inner.lease.give_up(&inner.upkeep, None, &[]).await,
            _ => Ok(()),
        };
        *joined = Joined::Left;
        self.close();
        given_up
    }
}

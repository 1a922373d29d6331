//! What a node does every two seconds: heartbeat, look, take, leave.
//!
//! Why two nodes never rely on one shard at a time: a taker locks the `nodes` row of whom it takes
//! from while it is expired. A heartbeat that comes later waits for that row, and only *after* its
//! heartbeat does a node read what it still owns, and only *after* that does it put its deadline off.

use super::allowances::{TAKE_OVER, taken_over};
use super::plan::{LEAVING_MAX, Plan, View, plan};
use super::{EXPIRY, FENCE_ALONE, FENCES, HEARTBEAT_EVERY, RELY_ON, Tenure, number, shard_of};
use crate::Result;
use crate::postgres::codec::{id_of, uuid};
use crate::postgres::schema::{LOCK_ROUND, LOCK_SPACE};
use crate::postgres::session::{Purpose, Sessions, Sql, Step};
use crate::postgres::{Inner, schema};
use crate::roles::{Arrival, Epoch};
use dacapo_model::{Clock, Id, Shard, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A round that waited for a node to expire comes this much later, not to find it alive by a hair.
const EXPIRY_GRACE: Duration = Duration::from_millis(20);
/// How often a node looks whether its deadline has passed without a heartbeat.
const DEADLINE_LOOK: Duration = Duration::from_millis(250);
/// Clocks that differ by no more than this are left as they are.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(1);
/// Partitions are made ahead this often.
const PARTITIONS_EVERY: Duration = Duration::from_secs(3_600);

/// A row that was cleaned away, because the node was away for long, comes back; with another fence.
static HEARTBEAT: Sql = Sql {
    text: "INSERT INTO nodes (id, label) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET heartbeat = now() \
           RETURNING fence, (extract(epoch FROM clock_timestamp()) * 1000000)::int8",
    types: &[Type::UUID, Type::TEXT],
};
static LIVING: Sql = Sql {
    text: "SELECT id, $1 - extract(epoch FROM now() - heartbeat)::float8 * 1000 FROM nodes \
           WHERE heartbeat > now() - $1 * interval '1 millisecond' AND NOT retiring",
    types: &[Type::FLOAT8],
};
static SHARDS: Sql = Sql { text: "SELECT shard, owner, epoch FROM shards", types: &[] };
static CATALOG_VERSION: Sql = Sql { text: "SELECT version FROM catalog_version", types: &[] };
static ONE_TAKER: Sql = Sql { text: "SELECT pg_advisory_xact_lock($1, $2)", types: &[Type::INT4, Type::INT4] };
/// Locks them as they are: a heartbeat under way is waited for and looked at again.
static EXPIRED: Sql = Sql {
    text: "SELECT id, fence FROM nodes WHERE heartbeat <= now() - $1 * interval '1 millisecond' ORDER BY id FOR UPDATE",
    types: &[Type::FLOAT8],
};
static TAKE: Sql = Sql {
    text: "UPDATE shards SET owner = $1, epoch = epoch + 1, since = now(), wanted_by = NULL \
           WHERE shard = ANY ($2) AND (owner IS NULL OR owner = ANY ($3)) RETURNING shard, epoch",
    types: &[Type::UUID, Type::INT2_ARRAY, Type::UUID_ARRAY],
};
/// Nodes that are dead and have nothing left.
static BURY: Sql = Sql {
    text: "DELETE FROM nodes n WHERE id = ANY ($1) AND NOT EXISTS (SELECT FROM shards s WHERE s.owner = n.id)",
    types: &[Type::UUID_ARRAY],
};
/// For people to see: nobody decides by it.
static WANTED: Sql = Sql {
    text: "UPDATE shards s SET wanted_by = i.heir FROM unnest($2, $3) i (shard, heir) \
           WHERE s.owner = $1 AND s.shard = i.shard AND s.wanted_by IS DISTINCT FROM i.heir",
    types: &[Type::UUID, Type::INT2_ARRAY, Type::UUID_ARRAY],
};

/// Until the process ends.
pub async fn keep(inner: Arc<Inner>) {
    let mut partitions_due = Instant::now() + PARTITIONS_EVERY;
    let mut pause = HEARTBEAT_EVERY;
    loop {
        let _ = tokio::time::timeout(pause, inner.lease.hurry.notified()).await;
        let joined = inner.lease.changing.lock().await;
        if *joined != super::Joined::Yes {
            return;
        }
        match inner.lease.round(&inner.upkeep).await {
            Ok(Told { catalog, next_expiry, missed_words }) => {
                inner.tell_newer(catalog);
                if missed_words {
                    inner.arrivals.say(Arrival::All);
                }
                pause = HEARTBEAT_EVERY.min(next_expiry + EXPIRY_GRACE);
            }
            Err(cause) => {
                tracing::warn!(%cause, "this node's lease could not be renewed; trying again");
                pause = HEARTBEAT_EVERY;
            }
        }
        drop(joined);
        if Instant::now() > partitions_due {
            partitions_due += PARTITIONS_EVERY;
            if let Err(cause) = schema::make_partitions(&inner.upkeep, inner.lease.clock.now()).await {
                tracing::warn!(%cause, "partitions could not be made ahead; trying again in an hour");
            }
        }
    }
}

/// A deadline that passes says so, and not only to who asks.
pub async fn watch_deadline(inner: Arc<Inner>) {
    let lease = &inner.lease;
    loop {
        tokio::time::sleep(lease.deadline.left().max(DEADLINE_LOOK).min(HEARTBEAT_EVERY)).await;
        if lease.deadline.has_passed() && !lease.holding.borrow().shards.is_empty() {
            tracing::warn!("no heartbeat came through in time; nothing is dispatched until one does");
            lease.lapse();
        }
    }
}

/// By what epochs, and the rate limits that came with them.
type Taken = (BTreeMap<Shard, Epoch>, HashMap<Id, Timestamp>);

/// What the database shows.
struct Sight {
    living: BTreeSet<Id>,
    next_expiry: Duration,
    owners: BTreeMap<Shard, Option<Id>>,
    epochs: BTreeMap<Shard, Epoch>,
    catalog: u64,
}

/// What a round found on its way.
pub struct Told {
    /// The catalog's version.
    catalog: u64,
    /// When the first of the other living nodes will have expired, unless it is heard of before.
    next_expiry: Duration,
    /// Something may be in shards of ours that no word came of, or none that was heeded: another node ended or died
    /// since the round before, or the lease was late, and what came meanwhile seemed not to be for this node.
    missed_words: bool,
}

impl Tenure {
    pub(super) async fn round(&self, sessions: &Sessions) -> Result<Told> {
        let sent = Instant::now();
        let node = uuid(self.node);
        let heartbeat = Step::Known(&HEARTBEAT, vec![&node, &self.label]);
        let rows = sessions.once(Purpose::Work, heartbeat).await?;
        self.fence.store(rows[0].try_get(0)?, Ordering::Release);
        self.compare_clocks(rows[0].try_get(1)?, sent.elapsed());
        // A transaction of its own, and a later one: see the top of this file.
        let sight = look(sessions).await?;
        let mine = |owner: &Option<Id>| *owner == Some(self.node);
        let mut owned: BTreeMap<Shard, Epoch> = sight
            .owners
            .iter()
            .filter(|(_, owner)| mine(owner))
            .filter_map(|(shard, _)| Some((*shard, *sight.epochs.get(shard)?)))
            .collect();
        let leaving = self.state().leaving.clone();
        let leaving_max = if self.retiring.load(Ordering::Acquire) { Shard::COUNT } else { LEAVING_MAX };
        let view = View { me: self.node, living: &sight.living, owners: &sight.owners, leaving: &leaving, leaving_max };
        let Plan { take, leave } = plan(view);
        self.settle(owned.clone(), leave.clone());
        let was_late = self.deadline.has_passed();
        self.deadline.put_off_to(sent + RELY_ON);
        self.publish();
        if !take.is_empty() {
            let (taken, allowances) = self.take(sessions, &take).await?;
            owned.extend(taken);
            self.inherit(allowances);
            self.settle(owned, leave.clone());
            self.publish();
        }
        if leave.keys().ne(leaving.keys()) {
            self.say_wanted(sessions, &leave).await?;
        }
        let before = std::mem::replace(&mut self.state().living, sight.living.clone());
        let is_one_gone = before.iter().any(|node| !sight.living.contains(node));
        let missed_words = is_one_gone || was_late;
        Ok(Told { catalog: sight.catalog, next_expiry: sight.next_expiry, missed_words })
    }

    /// The database told its time somewhere within the exchange; in the middle, say.
    fn compare_clocks(&self, database_micros: i64, exchange: Duration) {
        let halfway = i64::try_from(exchange.as_micros() / 2).unwrap_or(0);
        let apart = database_micros.saturating_sub(self.clock.own().micros().saturating_sub(halfway));
        let limit = i64::try_from(CLOCKS_APART_MAX.max(exchange).as_micros()).unwrap_or(i64::MAX);
        let (was_corrected, is_wrong) = (self.clock.correction() != 0, apart.saturating_abs() > limit);
        if is_wrong && !was_corrected {
            tracing::warn!(
                seconds = apart as f64 / 1e6,
                "this machine's clock is not the database's, which counts: set both by NTP"
            );
        }
        self.clock.correct(if is_wrong { apart } else { 0 });
    }

    fn settle(&self, owned: BTreeMap<Shard, Epoch>, leaving: BTreeMap<Shard, Id>) {
        let mut state = self.state();
        let is_old = |endpoint: &Id| !owned.contains_key(&Shard::of(*endpoint));
        if state.allowances.keys().any(is_old) {
            Arc::make_mut(&mut state.allowances).retain(|endpoint, _| !is_old(endpoint));
        }
        state.owned = owned;
        state.leaving = leaving;
    }

    fn inherit(&self, allowances: HashMap<Id, Timestamp>) {
        if !allowances.is_empty() {
            Arc::make_mut(&mut self.state().allowances).extend(allowances);
        }
    }

    /// Nothing is to be relied on; what the database may still hold for this node is kept in mind.
    fn lapse(&self) {
        let nothing = crate::roles::Holding::new(BTreeMap::new(), BTreeSet::new(), self.deadline.clone());
        self.holding.send_replace(Arc::new(nothing));
    }

    async fn take(&self, sessions: &Sessions, take: &BTreeSet<Shard>) -> Result<Taken> {
        let mut transaction = sessions.transaction(Purpose::Work).await?;
        let expiry = EXPIRY.as_secs_f64() * 1_000.0;
        let steps = vec![Step::Known(&ONE_TAKER, vec![&LOCK_SPACE, &LOCK_ROUND]), Step::Known(&EXPIRED, vec![&expiry])];
        let answers = transaction.run(steps).await?;
        let (mut dead, mut fences): (Vec<Uuid>, Vec<i32>) = (Vec::new(), Vec::new());
        for row in &answers[1] {
            dead.push(row.try_get(0)?);
            fences.push(row.try_get(1)?);
        }
        let (node, wanted) = (uuid(self.node), take.iter().copied().map(number).collect::<Vec<i16>>());
        let mut steps: Vec<Step<'_>> =
            fences.iter().map(|fence| Step::Known(&FENCE_ALONE, vec![&FENCES, fence])).collect();
        steps.push(Step::Known(&TAKE, vec![&node, &wanted, &dead]));
        let at = steps.len() - 1;
        let answers = transaction.run(steps).await?;
        let mut taken = BTreeMap::new();
        for row in &answers[at] {
            taken.insert(shard_of(row.try_get(0)?)?, row.try_get::<_, i64>(1)?.cast_unsigned());
        }
        let numbers: Vec<i16> = taken.keys().copied().map(number).collect();
        // Not with the commit, which may take a flush of the disk: they are told as time from now.
        let answers = transaction.run(vec![Step::Known(&TAKE_OVER, vec![&numbers])]).await?;
        let allowances = taken_over(&answers[0], &taken, self.clock.now())?;
        transaction.commit(vec![Step::Known(&BURY, vec![&dead])]).await?;
        tracing::info!(
            shards = taken.len(),
            from_dead_nodes = dead.len(),
            limits = allowances.len(),
            "took shards over"
        );
        Ok((taken, allowances))
    }

    async fn say_wanted(&self, sessions: &Sessions, leave: &BTreeMap<Shard, Id>) -> Result<()> {
        let (shards, heirs): (Vec<i16>, Vec<Uuid>) =
            leave.iter().map(|(shard, heir)| (number(*shard), uuid(*heir))).unzip();
        let node = uuid(self.node);
        let wanted = Step::Known(&WANTED, vec![&node, &shards, &heirs]);
        sessions.once(Purpose::Work, wanted).await.map(drop)
    }
}

async fn look(sessions: &Sessions) -> Result<Sight> {
    let expiry = EXPIRY.as_secs_f64() * 1_000.0;
    let steps = vec![
        Step::Known(&LIVING, vec![&expiry]),
        Step::Known(&SHARDS, Vec::new()),
        Step::Known(&CATALOG_VERSION, Vec::new()),
    ];
    let answers = sessions.transaction(Purpose::Work).await?.commit(steps).await?;
    let living = answers[0].iter().map(|row| Ok(id_of(row.try_get(0)?))).collect::<Result<_>>()?;
    let mut next_expiry = EXPIRY;
    for row in &answers[0] {
        next_expiry = next_expiry.min(Duration::from_secs_f64(row.try_get::<_, f64>(1)?.max(0.0) / 1_000.0));
    }
    let mut sight = Sight { living, next_expiry, owners: BTreeMap::new(), epochs: BTreeMap::new(), catalog: 0 };
    for row in &answers[1] {
        let shard = shard_of(row.try_get(0)?)?;
        sight.owners.insert(shard, row.try_get::<_, Option<Uuid>>(1)?.map(id_of));
        sight.epochs.insert(shard, row.try_get::<_, i64>(2)?.cast_unsigned());
    }
    sight.catalog = answers[2][0].try_get::<_, i64>(0)?.cast_unsigned();
    Ok(sight)
}

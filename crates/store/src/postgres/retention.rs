//! Deleting from the old end: whole days where all of a day goes, rows otherwise, a bounded piece at
//! a time.

use super::PostgresStore;
use super::codec::{id, id_of, uuid};
use super::meta_events;
use super::partitions::{self, TABLES};
use super::schema::{LOCK_RETENTION, LOCK_SPACE};
use super::session::{Purpose, Sql, Step, Transaction};
use crate::roles::{Dropped, Retention};
use crate::{Result, document};
use async_trait::async_trait;
use dacapo_model::{Clock, Id, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// One piece, locks included; half of it is waited for locks, which dropping a day needs for a moment.
const PIECE_TIME_MAX: Duration = Duration::from_secs(20);
/// Deliveries are born with ids right behind their event's: no further than this many, among which
/// other nodes' events may lie. (A millisecond has 65,536.)
const BORN_WITHIN: u64 = 1_000 << 16;

/// The kind of a project in the catalog.
static PROJECTS: i16 = document::PROJECT as i16;

static STAY: Sql = Sql { text: "SELECT pg_advisory_xact_lock_shared($1, $2)", types: &[Type::INT4, Type::INT4] };
static ALONE: Sql = Sql { text: "SELECT pg_advisory_xact_lock($1, $2)", types: &[Type::INT4, Type::INT4] };
/// Behind the rows of nobody (sweep.sql).
static OLDEST_WAITING: Sql = Sql {
    text: "SELECT id FROM waiting WHERE id > '00000000-0000-0000-0000-000000001000' ORDER BY id LIMIT 1",
    types: &[],
};
/// Of those near the oldest, whose event may be older than its; replays apart.
static OLDEST_BORN: Sql = Sql {
    text: "SELECT event FROM waiting WHERE id <= $1 AND shard >= 0 AND class <> 2 ORDER BY event LIMIT 1",
    types: &[Type::UUID],
};
static OLDEST_REPLAYED: Sql =
    Sql { text: "SELECT event FROM waiting WHERE class = 2 ORDER BY event LIMIT 1", types: &[] };
static OLDEST_FAN_OUT: Sql =
    Sql { text: "SELECT event FROM fan_outs WHERE shard IS NOT NULL ORDER BY event LIMIT 1", types: &[] };
/// The event after the last one that goes.
static BEYOND: Sql =
    Sql { text: "SELECT id FROM events WHERE id < $1 ORDER BY id LIMIT 1 OFFSET $2", types: &[Type::UUID, Type::INT8] };
/// Not for the sake of a duplicate: the first event with the key may be younger than that.
static KEYS: Sql = Sql { text: "DELETE FROM idempotency WHERE event < $1", types: &[Type::UUID] };
static FAN_OUTS: Sql = Sql { text: "DELETE FROM fan_outs WHERE event < $1", types: &[Type::UUID] };
static EVENTS: Sql = Sql {
    text: "WITH gone AS (DELETE FROM events WHERE id < $1 RETURNING 1) SELECT count(*) FROM gone",
    types: &[Type::UUID],
};
/// Those born with these events, and the replays of them, which lie anywhere after.
static DELIVERIES: Sql = Sql {
    text: "WITH gone AS (DELETE FROM settled WHERE id < $1 OR (trigger = 1 AND event < $1) RETURNING id, inline), \
           made AS (DELETE FROM attempts WHERE delivery = ANY (ARRAY (SELECT id FROM gone)) RETURNING 1) \
           SELECT (SELECT count(*) FROM gone), \
           (SELECT count(*) FROM gone WHERE inline) + (SELECT count(*) FROM made)",
    types: &[Type::UUID],
};
/// Kept as long as the events of their time, and so is what endpoints were.
static REPLAYS: Sql = Sql {
    text: "WITH gone AS (DELETE FROM replays WHERE id < $1 AND NOT open RETURNING id), \
           counts AS (DELETE FROM replay_counts WHERE replay IN (SELECT id FROM gone)) \
           DELETE FROM replay_flights WHERE replay IN (SELECT id FROM gone)",
    types: &[Type::UUID],
};
/// Those of the time of what goes.
static CALLS: Sql = Sql {
    text: "DELETE FROM replay_calls c USING catalog p WHERE p.kind = $2 AND c.project = p.id \
           AND c.kind = ANY ('{0,1}'::int2[]) AND c.id < $1",
    types: &[Type::UUID, Type::INT2],
};
static VERSIONS: Sql = Sql { text: "DELETE FROM endpoint_versions WHERE until < $1", types: &[Type::INT8] };
/// What statistics say of a day, which costs nothing to ask.
static ABOUT: Sql = Sql {
    text: "SELECT t, greatest(c.reltuples, 0)::int8 FROM unnest($1) WITH ORDINALITY i (t, at) \
           JOIN pg_class c ON c.oid = to_regclass(i.t) ORDER BY i.at",
    types: &[Type::TEXT_ARRAY],
};

/// No delivery an event was born with has an id behind this one.
pub fn born_before(event: Id) -> Id {
    Id::from_parts(event.order().saturating_add(BORN_WITHIN), u64::MAX)
}

/// Holds retention off while the transaction makes something of an old event wait again.
pub fn stay() -> Step<'static> {
    Step::Known(&STAY, vec![&LOCK_SPACE, &LOCK_RETENTION])
}

#[async_trait]
impl Retention for PostgresStore {
    async fn drop_before(&self, cutoff: Timestamp, limit: usize) -> Result<Dropped> {
        if limit == 0 {
            return Ok(Dropped::default());
        }
        let mut transaction = self.inner.work.transaction(Purpose::Upkeep(PIECE_TIME_MAX)).await?;
        transaction.run(vec![Step::Known(&ALONE, vec![&LOCK_SPACE, &LOCK_RETENTION])]).await?;
        let owed = oldest_owed(&mut transaction).await?;
        let end = Id::floor_of(cutoff).min(owed.unwrap_or(Id::MAX));
        let (bound, first) = (uuid(end), 0i64);
        let looks = vec![Step::Known(&partitions::DAYS, Vec::new()), Step::Known(&BEYOND, vec![&bound, &first])];
        let answers = transaction.run(looks).await?;
        let (first, until) = (uuid(Id::floor_of(cutoff)), cutoff.micros());
        let forget = vec![
            Step::Known(&REPLAYS, vec![&first]),
            Step::Known(&VERSIONS, vec![&until]),
            meta_events::forget(&first),
        ];
        let forgotten = transaction.run(forget).await?;
        let meta_events = forgotten[2][0].try_get::<_, i64>(0)?.cast_unsigned();
        let oldest = answers[1].first().map(|row| id(row, 0)).transpose()?;
        let now = self.inner.lease.clock.now();
        let days = whole_days(partitions::days(&answers[0])?, end, oldest, now);
        let dropped = match days.is_empty() {
            true => drop_rows(transaction, end, limit).await?,
            false => drop_days(transaction, &days).await?,
        };
        Ok(Dropped { meta_events, ..dropped })
    }
}

/// The day of the oldest event, if all of that day goes, and empty ones before it. Days that nodes
/// may still write to stay, whatever the cutoff; so does the day behind an event that lies in `_rest`.
fn whole_days(days: BTreeSet<u64>, end: Id, oldest: Option<Id>, now: Timestamp) -> Vec<u64> {
    let closed = partitions::oldest_open(now);
    let through = oldest.map_or(u64::MAX, |oldest| partitions::day_of(oldest.time()));
    days.into_iter()
        .take_while(|day| *day <= through && *day < closed && partitions::start_of(day + 1) <= end)
        .collect()
}

/// The numbers are what statistics say of the last of them; at least one event, so that the caller
/// comes again.
async fn drop_days(mut transaction: Transaction, days: &[u64]) -> Result<Dropped> {
    let last = days.last().copied().unwrap_or_default();
    let end = uuid(partitions::start_of(last + 1));
    let names: Vec<String> = TABLES.iter().map(|table| format!("{table}_d{last}")).collect();
    let about = transaction.run(vec![Step::Known(&ABOUT, vec![&names])]).await?;
    let mut counts = Vec::with_capacity(TABLES.len());
    for row in &about[0] {
        counts.push(row.try_get::<_, i64>(1)?.cast_unsigned());
    }
    for (day, table) in days.iter().flat_map(|day| TABLES.map(|table| (day, table))) {
        transaction.script(&format!("DROP TABLE {table}_d{day}")).await?;
    }
    transaction.commit(pieces(&end, &PROJECTS)).await?;
    let count = |at: usize| counts.get(at).copied().unwrap_or_default();
    Ok(Dropped { events: count(0).max(1), deliveries: count(1), attempts: count(2), ..Dropped::default() })
}

async fn drop_rows(mut transaction: Transaction, end: Id, limit: usize) -> Result<Dropped> {
    let (mut bound, limit) = (uuid(end), i64::try_from(limit).unwrap_or(i64::MAX));
    let beyond = transaction.run(vec![Step::Known(&BEYOND, vec![&bound, &limit])]).await?;
    if let Some(row) = beyond[0].first() {
        bound = row.try_get(0)?;
    }
    let answers = transaction.commit(pieces(&bound, &PROJECTS)).await?;
    let count = |step: usize, at: usize| -> Result<u64> { Ok(answers[step][0].try_get::<_, i64>(at)?.cast_unsigned()) };
    let (deliveries, attempts) = (count(2, 0)?, count(2, 1)?);
    Ok(Dropped { events: count(1, 0)?, deliveries, attempts, ..Dropped::default() })
}

/// What goes with the events before `end`.
fn pieces<'a>(end: &'a Uuid, projects: &'a i16) -> Vec<Step<'a>> {
    let mut steps: Vec<Step<'a>> =
        [&KEYS, &EVENTS, &DELIVERIES, &FAN_OUTS].map(|sql| Step::Known(sql, vec![end])).into();
    steps.push(Step::Known(&CALLS, vec![end, projects]));
    steps
}

/// The oldest event with an unsettled delivery, or with deliveries that are not written yet; found
/// without walking the queue, however long it is.
async fn oldest_owed(transaction: &mut Transaction) -> Result<Option<Id>> {
    let looks = vec![
        Step::Known(&OLDEST_WAITING, Vec::new()),
        Step::Known(&OLDEST_REPLAYED, Vec::new()),
        Step::Known(&OLDEST_FAN_OUT, Vec::new()),
    ];
    let answers = transaction.run(looks).await?;
    let mut born = Vec::new();
    if let Some(row) = answers[0].first() {
        let near: Uuid = uuid(born_before(id(row, 0)?));
        born = transaction.run(vec![Step::Known(&OLDEST_BORN, vec![&near])]).await?.swap_remove(0);
    }
    let events = born.iter().chain(&answers[1]).chain(&answers[2]).map(|row| Ok(id_of(row.try_get(0)?)));
    events.collect::<Result<Vec<Id>>>().map(|events| events.into_iter().min())
}

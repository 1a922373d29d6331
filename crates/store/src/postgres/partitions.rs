//! History in pieces of a day: made ahead, dropped whole. Ids begin with their time, so a day is a
//! range of ids. What lies outside of every day (a clock that was wrong by weeks) is kept in the
//! tables' `_rest`, which is otherwise empty.

use super::schema::{LOCK_MIGRATION, LOCK_SPACE};
use super::session::{Purpose, Sessions, Sql, Step};
use crate::Result;
use dacapo_model::{Id, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::types::Type;

/// What one partition spans.
const DAY: Duration = Duration::from_secs(86_400);
/// Days that are there before they begin.
const AHEAD_DAYS: u64 = 7;
/// Days before today: nodes' clocks differ.
const BEHIND_DAYS: u64 = 1;
/// Days of history that a copy brings along get partitions of their own back to this many; each is
/// ten relations, and a statement over all of history locks them all.
const HISTORY_DAYS_MAX: u64 = 400;
/// Each relation that is made is a lock until the end of the transaction.
const DAYS_PER_TRANSACTION_MAX: usize = 30;
const TIME_MAX: Duration = Duration::from_secs(30);
/// Partitioned alike: what an event's day drops is in the same day of the others.
pub const TABLES: [&str; 3] = ["events", "settled", "attempts"];

static LOCK: Sql = Sql { text: "SELECT pg_advisory_xact_lock($1, $2)", types: &[Type::INT4, Type::INT4] };
/// `_rest` has no number.
pub static DAYS: Sql = Sql {
    text: "SELECT substring(c.relname FROM '_d([0-9]+)$')::int8 FROM pg_inherits i \
           JOIN pg_class c ON c.oid = i.inhrelid \
           WHERE i.inhparent = 'events'::regclass AND c.relname ~ '_d[0-9]+$' ORDER BY 1",
    types: &[],
};

/// Days since 1970.
pub fn day_of(at: Timestamp) -> u64 {
    u64::try_from(at.seconds()).unwrap_or(0) / DAY.as_secs()
}

/// Events of this day and later ones may still come.
pub fn oldest_open(now: Timestamp) -> u64 {
    day_of(now).saturating_sub(BEHIND_DAYS)
}

/// The first id of a day.
pub fn start_of(day: u64) -> Id {
    Id::floor_of(Timestamp::default().plus(DAY * u32::try_from(day).unwrap_or(u32::MAX)))
}

pub async fn make_ahead(sessions: &Sessions, now: Timestamp) -> Result<()> {
    let today = day_of(now);
    make(sessions, &(today.saturating_sub(BEHIND_DAYS)..=today + AHEAD_DAYS).collect()).await
}

/// As far as these days lie where history is expected; what is older or farther ahead stays in `_rest`.
pub async fn make_for(sessions: &Sessions, now: Timestamp, days: BTreeSet<u64>) -> Result<()> {
    let today = day_of(now);
    let kept = today.saturating_sub(HISTORY_DAYS_MAX)..=today + AHEAD_DAYS;
    let wanted: Vec<u64> = days.into_iter().filter(|day| kept.contains(day)).collect();
    for some in wanted.chunks(DAYS_PER_TRANSACTION_MAX) {
        make(sessions, &some.iter().copied().collect()).await?;
    }
    Ok(())
}

async fn make(sessions: &Sessions, wanted: &BTreeSet<u64>) -> Result<()> {
    if missing(&existing(sessions).await?, wanted).is_empty() {
        return Ok(());
    }
    let mut transaction = sessions.transaction(Purpose::Upkeep(TIME_MAX)).await?;
    transaction.run(vec![Step::Known(&LOCK, vec![&LOCK_SPACE, &LOCK_MIGRATION])]).await?;
    // Once more under the lock: another node may have made them.
    let rows = transaction.run(vec![Step::Known(&DAYS, Vec::new())]).await?;
    for day in missing(&days(&rows[0])?, wanted) {
        let (from, to) = (start_of(day).as_uuid(), start_of(day + 1).as_uuid());
        for table in TABLES {
            let make =
                format!("CREATE TABLE {table}_d{day} PARTITION OF {table} FOR VALUES FROM ('{from}') TO ('{to}')");
            transaction.script(&make).await?;
        }
    }
    transaction.commit(Vec::new()).await.map(drop)
}

pub async fn existing(sessions: &Sessions) -> Result<BTreeSet<u64>> {
    days(&sessions.once(Purpose::Work, Step::Known(&DAYS, Vec::new())).await?)
}

pub fn days(rows: &[tokio_postgres::Row]) -> Result<BTreeSet<u64>> {
    rows.iter().map(|row| Ok(row.try_get::<_, i64>(0)?.cast_unsigned())).collect()
}

fn missing(existing: &BTreeSet<u64>, wanted: &BTreeSet<u64>) -> Vec<u64> {
    wanted.difference(existing).copied().collect()
}

//! Bringing the schema up to date, once, however many nodes start at the same moment.

mod progress;

use super::partitions;
use super::session::{LOOK_TIME_MAX, Purpose, Sessions, Sql, Step};
use crate::{Result, StoreError};
use dacapo_model::Timestamp;
use std::time::Duration;
use tokio_postgres::types::Type;

/// Step `n` brings version `n` to `n + 1`. Steps are only ever added, and each leaves a schema that
/// the version before still works with (expand, then contract one release later).
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("replays.sql"),
    include_str!("fan_outs.sql"),
    include_str!("allowances.sql"),
    include_str!("selectors.sql"),
    include_str!("calls.sql"),
    include_str!("meta_events.sql"),
    include_str!("replay_items.sql"),
    include_str!("whole.sql"),
    include_str!("sweep.sql"),
];

/// How long a step waits for a table that others use. (While it waits, they wait behind it.)
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);
/// Advisory locks share their numbers with whatever else uses the database; ours have this in the
/// high half (two-key form).
pub const LOCK_SPACE: i32 = 0x0DA_CA90;
pub const LOCK_MIGRATION: i32 = 1;
pub const LOCK_CATALOG: i32 = 2;
pub const LOCK_RETENTION: i32 = 3;
pub const LOCK_ROUND: i32 = 4;

/// What a migration found, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Before.
    pub found: i64,
    /// What this program needs.
    pub known: i64,
    /// Steps taken now.
    pub applied: i64,
}

static LOCK: Sql = Sql { text: "SELECT pg_advisory_xact_lock($1, $2)", types: &[Type::INT4, Type::INT4] };
static NOTE_VERSION: Sql = Sql { text: "INSERT INTO schema_version (version) VALUES ($1)", types: &[Type::INT8] };

/// Does nothing but look when `check`. A transaction a step, so a crash half-way leaves a whole
/// version behind.
pub async fn migrate(sessions: &Sessions, check: bool) -> Result<Migrated> {
    migrate_by(MIGRATIONS, sessions, check).await
}

pub async fn migrate_by(steps: &[&str], sessions: &Sessions, check: bool) -> Result<Migrated> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let mut done = Migrated { found: version(sessions).await?, known, applied: 0 };
    if done.found > known {
        return Err(StoreError::NewerSchema { found: done.found, known });
    }
    if check {
        return Ok(done);
    }
    while version(sessions).await? < known {
        let mut transaction = sessions.transaction(Purpose::Migration).await?;
        let lock = transaction.run(vec![Step::Known(&LOCK, vec![&LOCK_SPACE, &LOCK_MIGRATION])]);
        progress::say("another node's schema migration is waited for", sessions, lock).await?;
        let within = format!("SET LOCAL lock_timeout = {}", LOCK_WAIT_MAX.as_millis());
        transaction.script(&within).await?;
        transaction.script("CREATE TABLE IF NOT EXISTS schema_version (version bigint PRIMARY KEY)").await?;
        // Looked up again under the lock: another node may have been here first.
        let rows = transaction.run(vec![Step::Once(VERSION, Vec::new())]).await?;
        let at: i64 = rows[0][0].try_get(0)?;
        let Some(step) = usize::try_from(at).ok().and_then(|at| steps.get(at)) else { break };
        let next = at + 1;
        if done.found > 0 {
            tracing::info!(from = at, to = next, "the schema goes up; a large store takes its time");
        }
        let what = format!("the schema's step to version {next} is under way");
        progress::say(&what, sessions, transaction.script(step)).await?;
        transaction.commit(vec![Step::Known(&NOTE_VERSION, vec![&next])]).await?;
        if done.found > 0 {
            tracing::info!(version = next, "the schema has gone up");
        }
        done.applied += 1;
    }
    Ok(done)
}

/// Prepared for the days around `now`.
pub async fn make_partitions(sessions: &Sessions, now: Timestamp) -> Result<()> {
    partitions::make_ahead(sessions, now).await
}

const VERSION: &str = "SELECT coalesce(max(version), 0) FROM schema_version";

/// 0 for an empty database.
async fn version(sessions: &Sessions) -> Result<i64> {
    let exists = Step::Once("SELECT to_regclass('schema_version') IS NOT NULL", Vec::new());
    let rows = sessions.once(Purpose::Upkeep(LOOK_TIME_MAX), exists).await?;
    if !rows[0].try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let rows = sessions.once(Purpose::Upkeep(LOOK_TIME_MAX), Step::Once(VERSION, Vec::new())).await?;
    Ok(rows[0].try_get(0)?)
}

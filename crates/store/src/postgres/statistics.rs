//! What has grown is analyzed at once.
//!
//! The server keeps the plan of a prepared statement until the table is analyzed. One that was made while the
//! table was as good as empty (what waits, after a quiet night; a day's partition, at midnight) may walk all of
//! it, from then on for each batch: that took two seconds with 200,000 waiting, and autovacuum comes by only
//! every minute. No setting keeps the planner from it, as walking nothing costs nothing.

use super::Inner;
use super::partitions::{TABLES, day_of, oldest_open};
use super::session::{Purpose, Sessions, Sql, Step};
use crate::Result;
use dacapo_model::{Clock, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A smaller table (128 KiB) may be walked.
const PAGES_MIN: i64 = 16;
/// Times as large as when it was analyzed the last time: a dozen times on the way to the largest.
const GROWN_TIMES: i64 = 4;
/// Half of it is waited for a lock: not as long as it takes the server to end an autovacuum that holds it.
const TIME_MAX: Duration = Duration::from_secs(1);

static GROWN: Sql = Sql {
    text: "SELECT n FROM unnest($1) n JOIN pg_class c ON c.oid = to_regclass(n) \
           WHERE pg_relation_size(c.oid) >= greatest($2, $3 * c.relpages) * current_setting('block_size')::int8",
    types: &[Type::TEXT_ARRAY, Type::INT8, Type::INT8],
};

/// Until the process ends.
pub async fn keep(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Autovacuum will do it; and that a database is out of reach, others say.
        if let Err(cause) = analyze_grown(&inner.upkeep, inner.lease.clock.now()).await {
            tracing::debug!(%cause, "what has grown could not be analyzed");
        }
    }
}

/// Gives the tables it analyzed.
pub async fn analyze_grown(sessions: &Sessions, now: Timestamp) -> Result<Vec<String>> {
    let days = oldest_open(now)..=day_of(now) + 1;
    let names: Vec<String> =
        days.flat_map(|day| TABLES.map(|table| format!("{table}_d{day}"))).chain(["waiting".to_owned()]).collect();
    let rows = sessions.once(Purpose::Work, Step::Known(&GROWN, vec![&names, &PAGES_MIN, &GROWN_TIMES])).await?;
    let mut analyzed = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get(0)?;
        let column = counted_by(&name);
        let mut transaction = sessions.transaction(Purpose::Upkeep(TIME_MAX)).await?;
        // How large a table is takes a few of its rows; what its columns hold, autovacuum finds out better.
        let analyze = format!("SET LOCAL default_statistics_target = 1; ANALYZE {name} ({column})");
        transaction.script(&analyze).await?;
        transaction.commit(Vec::new()).await?;
        analyzed.push(name);
    }
    Ok(analyzed)
}

/// A column by which nothing is looked for: what is known of the others is kept.
fn counted_by(table: &str) -> &'static str {
    match table.split('_').next() {
        Some("events") => "flags",
        Some("settled") => "inline",
        Some("attempts") => "detail",
        _ => "attempts",
    }
}

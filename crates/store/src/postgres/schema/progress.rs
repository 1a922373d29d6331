//! What the log says while a long step of the schema goes on.

use crate::Result;
use crate::postgres::session::{LOOK_TIME_MAX, Purpose, Sessions, Step};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);
/// Indexes being built in this database: which table's, and how far.
const INDEXES: &str = "SELECT relid::regclass::text, phase, blocks_done, blocks_total \
     FROM pg_stat_progress_create_index WHERE datname = current_database()";

/// Waits for `work`, and says now and then that it goes on.
pub async fn say<T>(what: &str, sessions: &Sessions, work: impl Future<Output = Result<T>>) -> Result<T> {
    let begun = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(EVERY, &mut work).await {
            Ok(done) => return done,
            Err(_) => {
                let index = index(sessions).await.unwrap_or_default();
                tracing::info!(seconds = begun.elapsed().as_secs(), index, "{what}");
            }
        }
    }
}

/// `None` when none is built, or nobody can say.
async fn index(sessions: &Sessions) -> Option<String> {
    let look = Step::Once(INDEXES, Vec::new());
    let rows = sessions.once(Purpose::Upkeep(LOOK_TIME_MAX), look).await.ok()?;
    let row = rows.first()?;
    let (table, phase): (String, String) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
    let (done, total): (i64, i64) = (row.try_get(2).ok()?, row.try_get(3).ok()?);
    Some(format!("{table}: {phase}, {done} of {total} blocks"))
}

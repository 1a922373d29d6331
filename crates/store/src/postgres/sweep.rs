//! Room in the queue's table, made while little is to be done.
//!
//! - In: how many rows of `waiting` this node's records have left behind.
//! - Out: a `VACUUM` of it.
//! - Promise: none. The server's own looks once a minute; at full speed a million rows are dead by then, table and
//!   indexes ten times as large as need be, and each event costs an eighth more (docs/benchmarks.md).
//! - Failure: tried again with the next. A role that does not own the table may not, and the server's own does it.

use super::Inner;
use super::session::{Purpose, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Rows worth it: some ten megabytes with their indexes. A sweep has a cost of its own, whatever it finds.
pub const LEFT_BEHIND_MIN: u64 = if cfg!(test) { 40 } else { 60_000 };
/// Between two looks.
const LOOKS_APART: Duration = Duration::from_secs(1);
/// It walks the indexes whole, however many rows wait: a rest is this many times as long as it took.
const RESTS: u32 = 10;

/// Skipped while another node does it. What the table has grown to it keeps: giving the end of it back takes a lock
/// that stops everybody, and a table of a few pages has plans of its own that are kept when it grows.
const VACUUM: &str = "VACUUM (SKIP_LOCKED, TRUNCATE OFF) waiting";

#[derive(Default)]
pub struct LeftBehind(AtomicU64);

impl LeftBehind {
    pub fn add(&self, rows: usize) {
        self.0.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

pub async fn keep(inner: Arc<Inner>) {
    let mut rest = LOOKS_APART;
    loop {
        tokio::time::sleep(rest).await;
        rest = LOOKS_APART;
        let left = inner.left_behind.0.load(Ordering::Relaxed);
        if left < LEFT_BEHIND_MIN {
            continue;
        }
        let began = Instant::now();
        match inner.history.once(Purpose::Sweep, Step::Once(VACUUM, Vec::new())).await {
            Ok(_) => {
                inner.left_behind.0.fetch_sub(left, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%error, "the queue's table was not vacuumed"),
        }
        rest = LOOKS_APART.max(began.elapsed() * RESTS);
    }
}

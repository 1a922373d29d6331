//! Waiting for a process that cannot be asked to call back: poll, with a deadline.

use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks; grows with the wait, so that a long one does not disturb what it waits for.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(100);

/// Polls until `probe` gives a value; an error of `probe`, or the deadline, ends it.
pub async fn wait_until<T>(
    within: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut pause = POLL_MIN;
    loop {
        if let Some(value) = probe().await? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("not within {within:?}: {what}");
        }
        sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

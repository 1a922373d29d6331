//! Several real processes on one PostgreSQL, one file per thing that goes wrong. They take turns: what is measured is
//! seconds, and a machine that runs ten processes of another test measures that.

#[path = "nodes/breaker.rs"]
mod breaker;
#[path = "nodes/broadcast.rs"]
mod broadcast;
#[path = "nodes/catalog.rs"]
mod catalog;
#[path = "nodes/cut_off.rs"]
mod cut_off;
#[path = "nodes/fail_over.rs"]
mod fail_over;
#[path = "nodes/frozen.rs"]
mod frozen;
#[path = "nodes/killed.rs"]
mod killed;
#[path = "nodes/pooler.rs"]
mod pooler;
#[path = "nodes/rate.rs"]
mod rate;
#[path = "nodes/together.rs"]
mod together;

use anyhow::{Result, ensure};
use dacapo_testkit::ledger::Ledger;
use dacapo_testkit::nodes::kills::Field;
use dacapo_testkit::nodes::{Spread, Stream};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// What happens at once happens within this, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(10);

static TURN: Mutex<()> = Mutex::const_new(());

async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Ends a load, waits until the backlog is gone, and holds that nothing was lost.
async fn lost_nothing(field: &Field, stream: Stream) -> Result<Spread> {
    let acknowledged = stream.acknowledged();
    let spread = stream.stop(SOON * 3).await?;
    field.drain(&acknowledged).await?;
    let (lost, first) = field.lost(&acknowledged);
    ensure!(lost == 0, "{lost} acknowledged events were never delivered, first: {first:?}; {spread:?}");
    ensure!(spread.acknowledged > 0, "nothing was acknowledged: the run shows nothing");
    Ok(spread)
}

/// Waits until this many more were acknowledged than now.
async fn acknowledged_more(ledger: &Ledger, count: u64, within: Duration) -> Result<()> {
    let before = ledger.distinct();
    let more = async || Ok((ledger.distinct() >= before + count).then_some(()));
    dacapo_testkit::product::wait_until(within, "events are acknowledged", more).await
}

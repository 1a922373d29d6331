//! Replays as resources, through the real binary, one file per promise.

#[path = "replays/audit.rs"]
mod audit;
#[path = "replays/caps.rs"]
mod caps;
#[path = "replays/crash.rs"]
mod crash;
#[path = "replays/nodes.rs"]
mod nodes;
#[path = "replays/options.rs"]
mod options;
#[path = "replays/pace.rs"]
mod pace;
#[path = "replays/resend.rs"]
mod resend;
#[path = "replays/run.rs"]
mod run;
#[path = "replays/slow.rs"]
mod slow;
#[path = "replays/steer.rs"]
mod steer;
#[path = "replays/words.rs"]
mod words;

use anyhow::Result;
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::{Answer, Keep, Plan, Sink};
use std::time::Duration;

/// What happens at once happens within this, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(30);

async fn sink(plan: Plan) -> Result<Sink> {
    Sink::start(plan, Keep { markers: 10_000, requests: 10_000 }).await
}

async fn answering(status: u16) -> Result<Sink> {
    sink(Plan::always(Answer::status(status))).await
}

/// Waits until so many deliveries are on record with this status.
async fn all_in(product: &Product, status: &str, count: usize) -> Result<()> {
    wait_until(SOON, &format!("{count} deliveries {status}"), async || {
        let rows = product.get(&format!("/eventdeliveries?status={status}&perPage=1000")).await?.expect(200)?;
        Ok((dacapo_testkit::product::content(&rows).len() >= count).then_some(()))
    })
    .await
}

async fn all_failed(product: &Product, count: usize) -> Result<()> {
    all_in(product, "Failure", count).await
}

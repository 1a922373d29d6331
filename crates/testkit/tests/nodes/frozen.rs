//! A node that stands still for longer than its lease and then goes on (a paused machine, a long stall): what it
//! reports late is refused, and what it still sends was on its way before it looked at the clock.

use super::{SOON, acknowledged_more, lost_nothing, turn};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::nodes::kills::{Field, TAKEN_OVER_WITHIN};
use dacapo_testkit::nodes::{Nodes, owner_of, settled_on};
use dacapo_testkit::product::{self, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use std::time::{Duration, Instant};

/// Requests at once to one endpoint: what a node may have in hand when it is stopped.
const CONCURRENCY: usize = 4;
/// More than `CONCURRENCY` requests of `SLOW` let through, so that deliveries wait in the node's memory.
const PER_SECOND: u32 = 480;
const SLOW: Duration = Duration::from_millis(200);
const QUICK: Duration = Duration::from_millis(5);
/// The node stands still at least this long, three times its lease.
const FROZEN: Duration = Duration::from_secs(30);
/// What the endpoints' queues hold together before the node is stopped.
const WAITING_MIN: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_frozen_beyond_its_lease_is_fenced_and_sends_only_what_it_had_in_hand() -> Result<()> {
    let _turn = turn().await;
    let concurrency = CONCURRENCY.to_string();
    let args = ["--lane-concurrency-max", &concurrency];
    let field = Field::start(Nodes::start_with(product::binary()?, 3, &args).await?).await?;
    let frozen = &field.nodes.each[2];
    field.sink.set_plan(Plan::always(Answer::status(200).after(SLOW)));
    let stream = field.load(PER_SECOND)?;
    let acknowledged = stream.acknowledged();
    wait_until(SOON, "deliveries wait in memory", async || {
        Ok((acknowledged.distinct() > field.sink.record().delivered() + WAITING_MIN).then_some(()))
    })
    .await?;
    let lines = frozen.nodes().await?;
    let owners = field.endpoints.iter().map(|endpoint| owner_of(&lines, endpoint)).collect::<Result<Vec<_>>>()?;
    let owned = owners.iter().filter(|owner| owner.as_deref() == Some(frozen.url())).count();
    ensure!(owned > 0, "none of the endpoints is this node's: the run shows nothing");

    frozen.freeze()?;
    let frozen_since = Instant::now();
    field.sink.set_plan(Plan::always(Answer::status(200).after(QUICK)));
    let others = field.nodes.urls(&[0, 1]);
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let taken_over = settled_on(&field.nodes.each[0], &others, TAKEN_OVER_WITHIN).await?;
    // What it held is sent by the others before it wakes: whatever it sends then came before.
    let held = acknowledged.distinct();
    let beyond = async || Ok((field.sink.record().ledger().distinct() > held).then_some(()));
    wait_until(SOON, "the others are through with what waited", beyond).await?;
    while frozen_since.elapsed() < FROZEN {
        acknowledged_more(&acknowledged, u64::from(PER_SECOND), SOON).await?;
    }
    let before = field.duplicates();

    frozen.thaw()?;
    let fenced = wait_until(SOON, "late reports are refused", async || {
        let fenced = frozen.metric("dacapo_reports_fenced_total").await?;
        Ok((fenced > 0).then_some(fenced))
    })
    .await
    .context("the metric")?;
    // The endpoints answered while nobody looked.
    let failed = frozen.metric("dacapo_attempts_failed_total").await?;
    ensure!(failed == 0, "{failed} answers that came while it stood still were not read");
    field.nodes.shared_out().await?;
    let spread = lost_nothing(&field, stream).await?;
    let woken = field.duplicates() - before;
    let in_hand = (CONCURRENCY * owned) as u64;
    println!(
        "frozen with {owned} endpoints: taken over after {taken_over:?}; sent twice while it stood still: {before}, \
         after waking: {woken} (≤ {in_hand} in hand); {fenced} reports refused; {spread:?}"
    );
    // An answer takes longer than a record: of each place's deliveries at most one was in exchange and one answered
    // but not recorded.
    let unrecorded = 2 * in_hand;
    ensure!(
        before <= unrecorded,
        "{before} were sent twice while it stood still, at most {unrecorded} were unrecorded"
    );
    ensure!(woken <= in_hand, "{woken} were sent after waking, it had {in_hand} in hand");
    Ok(())
}

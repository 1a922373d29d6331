//! The primary is lost for good, and a standby takes its place behind HAProxy: what was acknowledged is on both, so
//! nothing is lost; refusals meanwhile; no restart of ours.

use super::{SOON, acknowledged_more, lost_nothing, turn};
use anyhow::{Result, ensure};
use dacapo_peers::Haproxy;
use dacapo_testkit::nodes::Nodes;
use dacapo_testkit::nodes::kills::Field;
use dacapo_testkit::product::{self, Product};
use std::time::{Duration, Instant};

const PER_SECOND: u32 = 200;
/// HAProxy looks twice, half a second apart; connections that hang are given up; nodes look every second.
const GOES_ON_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_to_a_synchronous_standby_loses_nothing() -> Result<()> {
    let _turn = turn().await;
    let mut nodes = Nodes::none(product::binary()?, &[])?;
    let standby = tokio::task::block_in_place(|| nodes.postgres.synchronous_standby());
    let balancer = Haproxy::start(&nodes.postgres, &standby);
    for _ in 0..2 {
        nodes.add_at(&balancer.url("postgres")).await?;
    }
    nodes.shared_out().await?;
    let mut field = Field::start(nodes).await?;
    let stream = field.load(PER_SECOND)?;
    let acknowledged = stream.acknowledged();
    acknowledged_more(&acknowledged, u64::from(PER_SECOND), SOON).await?;

    let pids: Vec<u32> = field.nodes.each.iter().map(Product::pid).collect::<Result<_>>()?;
    let began = Instant::now();
    tokio::task::block_in_place(|| {
        field.nodes.postgres.kill();
        standby.promote();
    });
    let promoted = began.elapsed();
    acknowledged_more(&acknowledged, 1, GOES_ON_WITHIN).await?;
    let goes_on = began.elapsed();
    acknowledged_more(&acknowledged, u64::from(PER_SECOND), GOES_ON_WITHIN).await?;
    field.nodes.shared_out().await?;
    let spread = lost_nothing(&field, stream).await?;
    let duplicates = field.duplicates();
    println!("promoted after {promoted:?}, acknowledged again after {goes_on:?}, {duplicates} duplicates; {spread:?}");
    let now: Vec<u32> = field.nodes.each.iter().map(Product::pid).collect::<Result<_>>()?;
    ensure!(now == pids, "a node was started anew");
    ensure!(spread.refused + spread.unanswered > 0, "nobody was refused: the run shows nothing");
    ensure!(duplicates <= u64::from(PER_SECOND), "{duplicates} came twice, more than a second's worth");
    Ok(())
}

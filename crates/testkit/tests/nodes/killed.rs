//! Promises 1 and 2 with several nodes: whoever is killed, nothing acknowledged is lost, what comes twice was in
//! flight, and the living go on with the shards of the dead within twelve seconds; within one of a SIGTERM.
//! The long run is `crash --nodes 3 --kills 20`.

use super::{acknowledged_more, lost_nothing, turn};
use anyhow::{Result, ensure};
use dacapo_testkit::nodes::kills::{self, Field, Options};
use dacapo_testkit::nodes::{Nodes, settled_on};
use dacapo_testkit::product;
use std::time::{Duration, Instant};

/// From SIGTERM until the others own everything.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(1);
const PER_SECOND: u32 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_then_two_of_three_nodes_killed_lose_nothing() -> Result<()> {
    let _turn = turn().await;
    let count = kills::run(&Options { seed: 21, ..Options::new(product::binary()?, 3, vec![1, 2]) }).await?;
    println!("{count}");
    count.verdict()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_end_hands_its_shards_over_at_once() -> Result<()> {
    let _turn = turn().await;
    let mut field = Field::start(Nodes::start(3).await?).await?;
    let stream = field.load(PER_SECOND)?;
    acknowledged_more(&stream.acknowledged(), u64::from(PER_SECOND), super::SOON).await?;

    let began = Instant::now();
    let mut leaver = field.nodes.each.remove(1);
    let (ended, took) = {
        let (asked, urls) = field.living()?;
        let others_own_all = async { settled_on(asked, &urls, super::SOON).await.map(|_| began.elapsed()) };
        tokio::join!(leaver.stop(), others_own_all)
    };
    ended?;
    let took = took?;
    acknowledged_more(&stream.acknowledged(), u64::from(PER_SECOND), super::SOON).await?;
    let spread = lost_nothing(&field, stream).await?;
    println!("SIGTERM: shards with the others after {took:?}; {spread:?}");
    ensure!(took <= HANDED_OVER_WITHIN, "the shards were handed over after {took:?}");
    ensure!(field.duplicates() == 0, "{} came twice although nobody was killed", field.duplicates());
    let lines = field.living()?.0.nodes().await?;
    ensure!(lines.len() == 2, "a node that has left is still listed: {lines:?}");
    Ok(())
}

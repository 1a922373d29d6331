//! The database out of a node's reach, and out of everybody's: 503 instead of a promise that cannot be kept, others
//! take over, and it all recovers by itself.

use super::{SOON, acknowledged_more, lost_nothing, turn};
use anyhow::{Result, ensure};
use dacapo_testkit::nodes::kills::{Field, TAKEN_OVER_WITHIN};
use dacapo_testkit::nodes::{Nodes, settled_on};
use dacapo_testkit::product::{self, Product, wait_until};
use dacapo_testkit::proxy::{Line, Proxy};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

const PER_SECOND: u32 = 300;
/// How long the line is cut: longer than a lease lives.
const CUT_FOR: Duration = Duration::from_secs(15);
/// A closed connection is noticed by the next commit.
const UNREADY_WITHIN_CUT: Duration = Duration::from_secs(3);
/// Of a silent one a node knows by its lease, which it does not rely on for longer than nine seconds; it looks
/// every second.
const UNREADY_WITHIN_SILENT: Duration = Duration::from_secs(11);
/// From an open line to ready: connections that hang are given up, and the store is tried every second.
const READY_AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// Far below the slow look at everything that is the net under lost words (thirty seconds).
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// Three nodes, the last of them behind a line that can be cut.
async fn field_with_a_line() -> Result<(Field, Proxy)> {
    let mut nodes = Nodes::none(product::binary()?, &[])?;
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, nodes.postgres.port()))).await?;
    nodes.add().await?;
    nodes.add().await?;
    nodes.add_behind(&proxy).await?;
    nodes.shared_out().await?;
    Ok((Field::start(nodes).await?, proxy))
}

async fn readiness(node: &Product, expected: u16, within: Duration) -> Result<Duration> {
    let began = Instant::now();
    let what = format!("/readyz {expected}");
    wait_until(within, &what, async || {
        Ok((node.client().get("/readyz", None).await?.status == expected).then(|| began.elapsed()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cut_off_refuses_and_the_others_go_on() -> Result<()> {
    let _turn = turn().await;
    let (field, proxy) = field_with_a_line().await?;
    let node = &field.nodes.each[2];
    let stream = field.load(PER_SECOND)?;
    acknowledged_more(&stream.acknowledged(), u64::from(PER_SECOND), SOON).await?;

    proxy.set(Line::Cut);
    let cut_at = Instant::now();
    let unready = readiness(node, 503, UNREADY_WITHIN_CUT).await?;
    let refusal = node.send(&field.endpoints[0], "cut.off", &json!({})).await?;
    ensure!(refusal.status == 503 && !refusal.header("retry-after").is_empty(), "{} {}", refusal.status, refusal.text);
    let others = field.nodes.urls(&[0, 1]);
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let taken_over = settled_on(&field.nodes.each[0], &others, TAKEN_OVER_WITHIN).await?;
    tokio::time::sleep(CUT_FOR.saturating_sub(cut_at.elapsed())).await;
    ensure!(readiness(node, 503, Duration::ZERO).await.is_ok(), "ready without a database");

    proxy.set(Line::Open);
    let ready = readiness(node, 200, READY_AGAIN_WITHIN).await?;
    field.nodes.shared_out().await?;
    let spread = lost_nothing(&field, stream).await?;
    let duplicates = field.duplicates();
    println!(
        "cut: unready after {unready:?}, taken over after {taken_over:?}, ready again after {ready:?}, \
         {duplicates} duplicates; {spread:?}"
    );
    ensure!(spread.refused > 0, "nobody was refused: the run shows nothing");
    ensure!(duplicates <= u64::from(PER_SECOND), "{duplicates} came twice, more than a second's worth");
    Ok(())
}

/// The worst line: connections stand, nothing comes through. Nobody sends to this node either, so that nothing but
/// its own heartbeat can tell it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_a_silent_line_says_so_by_itself() -> Result<()> {
    let _turn = turn().await;
    let (field, proxy) = field_with_a_line().await?;
    let node = &field.nodes.each[2];
    proxy.set(Line::Silent);
    let unready = readiness(node, 503, UNREADY_WITHIN_SILENT).await?;
    let others = field.nodes.urls(&[0, 1]);
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let taken_over = settled_on(&field.nodes.each[0], &others, TAKEN_OVER_WITHIN).await?;
    proxy.set(Line::Open);
    let ready = readiness(node, 200, READY_AGAIN_WITHIN).await?;
    field.nodes.shared_out().await?;

    // It hears the others' word again: what they take for its endpoints is sent at once.
    let stream = field.load(PER_SECOND)?;
    acknowledged_more(&stream.acknowledged(), u64::from(PER_SECOND), SOON).await?;
    let spread = lost_nothing(&field, stream).await?;
    let slowest = Duration::from_micros(field.sink.record().latency().max_us());
    println!(
        "silent: unready after {unready:?}, taken over after {taken_over:?}, ready again after {ready:?}; then the \
         slowest event took {slowest:?}; {spread:?}"
    );
    ensure!(slowest < HEARD_WITHIN, "an event waited {slowest:?}: the node does not hear the others");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_torn_down_and_comes_back_costs_refusals_and_nothing_else() -> Result<()> {
    let _turn = turn().await;
    let mut field = Field::start(Nodes::start(3).await?).await?;
    let stream = field.load(PER_SECOND)?;
    let acknowledged = stream.acknowledged();
    acknowledged_more(&acknowledged, u64::from(PER_SECOND), SOON).await?;

    let pids: Vec<u32> = field.nodes.each.iter().map(Product::pid).collect::<Result<_>>()?;
    let began = Instant::now();
    tokio::task::block_in_place(|| field.nodes.postgres.restart(true));
    let down = began.elapsed();
    for node in &field.nodes.each {
        readiness(node, 200, READY_AGAIN_WITHIN).await?;
    }
    acknowledged_more(&acknowledged, u64::from(PER_SECOND), SOON).await?;
    let ready = began.elapsed();
    field.nodes.shared_out().await?;
    let spread = lost_nothing(&field, stream).await?;
    let duplicates = field.duplicates();
    println!("PostgreSQL was away for {down:?}, all well after {ready:?}, {duplicates} duplicates; {spread:?}");
    let now: Vec<u32> = field.nodes.each.iter().map(Product::pid).collect::<Result<_>>()?;
    ensure!(now == pids, "a node was started anew");
    ensure!(duplicates <= u64::from(PER_SECOND), "{duplicates} came twice, more than a second's worth");
    Ok(())
}

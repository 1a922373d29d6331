//! Over two nodes on PostgreSQL: one of them sends, whoever wrote; the other takes over.

use super::{all_in, each_once, hanging, listed, sink, tell};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::nodes::{Nodes, owner_of, settled_on};
use dacapo_testkit::product::wait_until;
use dacapo_testkit::sink::{Answer, Plan, Sink};
use serde_json::json;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// A lease runs out, and the heir looks.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);

/// They start servers: one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// Two nodes, of which the first owes what is told.
async fn two(plan: Plan) -> Result<(MutexGuard<'static, ()>, Nodes, Sink)> {
    let turn = TURN.lock().await;
    let mut nodes = Nodes::start(2).await?;
    // A shard that is still on its way to its owner would be sent by the other one.
    let urls: Vec<&str> = nodes.each.iter().map(|node| node.url()).collect();
    settled_on(&nodes.each[0], &urls, TAKEN_OVER_WITHIN).await?;
    let owner = owner_of(&nodes.each[0].nodes().await?, &nodes.keys()?.project_id)?.context("somebody owns it")?;
    let at = nodes.each.iter().position(|node| node.url() == owner).context("one of them")?;
    nodes.each.swap(0, at);
    let told = sink(plan).await?;
    tell(&nodes.each[1], &told, &["endpoint.created"]).await?;
    Ok((turn, nodes, told))
}

async fn create(nodes: &Nodes, count: usize) -> Result<()> {
    for n in 0..count {
        nodes.each[n % 2].create_endpoint("http://127.0.0.1:9/", &json!({})).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_sent_once_whichever_node_wrote_it() -> Result<()> {
    let (_turn, nodes, told) = two(Plan::default()).await?;
    create(&nodes, 30).await?;
    let rows = all_in(&nodes.each[1], "Success", 30).await?;
    each_once(&told, &rows)?;
    ensure!(told.record().requests() == 30, "{} requests", told.record().requests());
    // By hand, on the node that sends none.
    let path = format!("/meta-events/{}/resend", dacapo_testkit::product::uid(&rows[0])?);
    nodes.each[1].put(&path, &json!({})).await?.expect(200)?;
    all_in(&nodes.each[0], "Success", 30).await?;
    ensure!(told.record().requests() == 31, "{} requests", told.record().requests());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_node_sends_what_a_killed_one_owed() -> Result<()> {
    let (_turn, mut nodes, told) = two(hanging()).await?;
    create(&nodes, 20).await?;
    wait_until(super::SOON, "some are in exchange", async || Ok((told.record().requests() > 0).then_some(()))).await?;
    ensure!(listed(&nodes.each[1]).await?.len() == 20 && told.record().requests() < 20, "none is left to send");
    nodes.each[0].kill9()?;
    told.set_plan(Plan::default());
    wait_until(TAKEN_OVER_WITHIN, "it is taken over", async || Ok((told.record().delivered() > 0).then_some(())))
        .await?;
    let rows = all_in(&nodes.each[1], "Success", 20).await?;
    each_once(&told, &rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_end_sends_nothing_that_the_other_sends_too() -> Result<()> {
    let (_turn, mut nodes, told) = two(Plan::always(Answer::status(200).after(Duration::from_millis(700)))).await?;
    create(&nodes, 20).await?;
    wait_until(super::SOON, "some are in exchange", async || Ok((told.record().requests() > 0).then_some(()))).await?;
    nodes.each[0].stop().await?;
    ensure!(told.record().requests() < 20, "it did not leave any");
    let rows = all_in(&nodes.each[1], "Success", 20).await?;
    each_once(&told, &rows)?;
    ensure!(told.record().requests() == 20, "{} requests", told.record().requests());
    Ok(())
}

//! Over three nodes on PostgreSQL: killed in turn, and stopped from a node that does not run it.

use super::{SOON, pace, sink};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::clock;
use dacapo_testkit::nodes::Nodes;
use dacapo_testkit::product::wait_until;
use dacapo_testkit::sink::{Answer, Plan, Sink};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

const NODES: usize = 3;
const ENDPOINTS: u64 = 6;
const EVENTS_EACH: u64 = 300;
const EVENTS: u64 = ENDPOINTS * EVENTS_EACH;
const STOPPED_WITHIN: Duration = Duration::from_secs(1);

/// They measure seconds: one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// Three nodes, endpoints on all of them, and events none of these ever got.
async fn with_missing(delay: Duration) -> Result<(MutexGuard<'static, ()>, Nodes, Sink)> {
    let turn = TURN.lock().await;
    let nodes = Nodes::start(NODES).await?;
    let sink = sink(Plan::always(Answer::status(200).after(delay))).await?;
    let node = &nodes.each[0];
    for n in 0..ENDPOINTS {
        let endpoint = node.create_endpoint(&sink.url("/"), &json!({})).await?;
        let subscription = node.subscribe(&endpoint, &["something.else"]).await?;
        node.send_numbered(&endpoint, n * EVENTS_EACH..(n + 1) * EVENTS_EACH).await?;
        let wanted = json!({"filter_config": {"event_types": ["*"]}});
        node.put(&format!("/subscriptions/{subscription}"), &wanted).await?.expect(202)?;
    }
    Ok((turn, nodes, sink))
}

fn backfill(options: &Value) -> Value {
    json!({"mode": "missing", "selector": {"from": "-1h"}, "options": options, "expected_count": EVENTS})
}

async fn under_way(sink: &Sink, count: u64) -> Result<()> {
    wait_until(SOON * 2, "it is under way", async || Ok((sink.record().delivered() >= count).then_some(()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_in_turn_schedule_each_event_once_and_lose_none() -> Result<()> {
    let (_turn, mut nodes, sink) = with_missing(Duration::from_millis(5)).await?;
    let id = nodes.each[0].start_replay(&backfill(&json!({"rate": 150}))).await?;
    for victim in 0..NODES {
        under_way(&sink, 150 + 200 * victim as u64).await.with_context(|| format!("before node {victim} is killed"))?;
        nodes.each[victim].kill9()?;
        nodes.each[victim].restart().await?;
        // Whichever drives it now, and whichever is asked.
        for node in &nodes.each {
            pace::holds_to(&node.replay(&id).await?, 150)?;
        }
    }
    let done = nodes.each[1].replay_in(&id, "completed", SOON * 3).await?;
    ensure!(done["counts"]["items"] == EVENTS && done["counts"]["success"] == EVENTS, "{done}");
    let lines = nodes.each[2].report(&id).await?;
    let events: HashSet<&str> = lines.iter().filter_map(|line| line["event_id"].as_str()).collect();
    ensure!(lines.len() as u64 == EVENTS && events.len() as u64 == EVENTS, "{} items of {}", lines.len(), events.len());
    let missing = (0..EVENTS).filter(|n| sink.record().ledger().count(*n) == 0).count();
    ensure!(missing == 0, "{missing} were never delivered");
    let twice = sink.record().ledger().repeated();
    ensure!(twice <= NODES as u64 * (64 + 512), "{twice} came twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_at_once_and_nothing_is_sent_after_it_on_any_node() -> Result<()> {
    let (_turn, nodes, sink) = with_missing(Duration::from_millis(30)).await?;
    let id = nodes.each[0].start_replay(&backfill(&json!({"concurrency": 8}))).await?;
    for (node, verb, status) in [(1, "pause", "paused"), (2, "resume", "running"), (0, "cancel", "cancelled")] {
        if verb != "resume" {
            under_way(&sink, sink.record().delivered() + 100).await?;
        }
        let began = Instant::now();
        let reply = nodes.each[node].steer_replay(&id, verb).await?.expect(200)?;
        let (took, answered_us) = (began.elapsed(), clock::micros());
        ensure!(took < STOPPED_WITHIN, "{verb} answered after {took:?}");
        ensure!(reply.data()["status"] == status && reply.data()["unconfirmed_nodes"] == 0, "{}", reply.text);
        if verb == "resume" {
            continue;
        }
        let in_flight = reply.data()["in_flight"].as_u64().context("a number")?;
        ensure!(in_flight <= 8 * NODES as u64, "{in_flight} in flight");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let later = sink.record().seen().iter().filter(|seen| seen.at_us > answered_us).count() as u64;
        ensure!(later <= in_flight, "{verb}: {later} came after the answer, {in_flight} were in flight");
    }
    let delivered = sink.record().delivered();
    ensure!(delivered < EVENTS, "it was over before it was cancelled");
    let after = wait_until(SOON, "what was not sent is discarded", async || {
        let replay = nodes.each[1].replay(&id).await?;
        Ok((replay["counts"]["waiting"] == 0).then_some(replay))
    })
    .await?;
    ensure!(after["counts"]["success"] == delivered, "{delivered} delivered: {after}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_says_how_fast_it_is_whichever_drives_it() -> Result<()> {
    let (_turn, nodes, _sink) = with_missing(Duration::ZERO).await?;
    let id = nodes.each[0].start_replay(&backfill(&json!({"rate": 20}))).await?;
    for node in &nodes.each {
        wait_until(SOON * 2, "it says how fast", async || {
            let replay = node.replay(&id).await?;
            pace::holds_to(&replay, 20)?;
            Ok((replay["pace"].as_f64() > Some(0.0) && replay["eta_seconds"].is_u64()).then_some(()))
        })
        .await?;
    }
    let slower = nodes.each[1].change_replay(&id, &json!({"rate": 1})).await?.expect(200)?;
    ensure!(slower.data()["pace"] == 0.0, "{}", slower.text);
    for node in &nodes.each {
        pace::holds_to(&node.replay(&id).await?, 1)?;
    }
    nodes.each[2].steer_replay(&id, "pause").await?.expect(200)?;
    for node in &nodes.each {
        let paused = node.replay(&id).await?;
        ensure!(paused["pace"] == 0.0 && paused["eta_seconds"].is_null(), "{paused}");
    }
    Ok(())
}

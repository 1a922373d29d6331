//! Pause, resume, cancel, re-rate: what happens after the answer.

use super::{SOON, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::clock;
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::{Answer, Plan, Sink};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A stop answers within this.
const STOPPED_WITHIN: Duration = Duration::from_secs(1);
const EVENTS: u64 = 600;

/// A product with so many events its endpoint never got, and a sink that takes its time.
async fn with_missing(delay: Duration) -> Result<(Product, Sink)> {
    let product = Product::fresh().await?;
    let sink = sink(Plan::always(Answer::status(200).after(delay))).await?;
    let endpoint = product.create_endpoint(&sink.url("/"), &json!({})).await?;
    let subscription = product.subscribe(&endpoint, &["something.else"]).await?;
    product.send_numbered(&endpoint, 0..EVENTS).await?;
    let wanted = json!({"filter_config": {"event_types": ["*"]}});
    product.put(&format!("/subscriptions/{subscription}"), &wanted).await?.expect(202)?;
    Ok((product, sink))
}

/// All of them.
fn backfill(options: Value) -> Value {
    json!({"mode": "missing", "selector": {"from": "-1h"}, "options": options, "expected_count": EVENTS})
}

async fn under_way(sink: &Sink, count: u64) -> Result<()> {
    wait_until(SOON, "it is under way", async || Ok((sink.record().delivered() >= count).then_some(()))).await
}

/// Stops it, and holds that what arrived afterwards is what was said to be in flight, at most.
async fn stop(product: &Product, sink: &Sink, id: &str, verb: &str) -> Result<Value> {
    let began = Instant::now();
    let reply = product.steer_replay(id, verb).await?.expect(200)?;
    let took = began.elapsed();
    let answered_us = clock::micros();
    ensure!(took < STOPPED_WITHIN, "{verb} answered after {took:?}");
    let data = reply.data().clone();
    ensure!(data["unconfirmed_nodes"] == 0, "{data}");
    let in_flight = data["in_flight"].as_u64().unwrap_or(u64::MAX);
    // Long enough for what was in flight, and for what should not come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let later = sink.record().seen().iter().filter(|seen| seen.at_us > answered_us).count() as u64;
    ensure!(later <= in_flight, "{later} came after the answer, {in_flight} were in flight");
    Ok(data)
}

#[tokio::test]
async fn cancel_answers_at_once_and_nothing_is_sent_after_it() -> Result<()> {
    let (product, sink) = with_missing(Duration::from_millis(20)).await?;
    let body = backfill(json!({"concurrency": 8}));
    let id = product.start_replay(&body).await?;
    under_way(&sink, 50).await?;
    let cancelled = stop(&product, &sink, &id, "cancel").await?;
    ensure!(cancelled["status"] == "cancelled" && cancelled["in_flight"].as_u64() <= Some(8), "{cancelled}");
    let delivered = sink.record().delivered();
    ensure!(delivered < EVENTS, "it was over before it was cancelled");
    let after = wait_until(SOON, "what was not sent is discarded", async || {
        let replay = product.replay(&id).await?;
        Ok((replay["counts"]["waiting"] == 0).then_some(replay))
    })
    .await?;
    let counts = &after["counts"];
    ensure!(counts["success"] == delivered, "{after}");
    ensure!(counts["by_reason"]["replay_ended"] == counts["discarded"], "{after}");

    for verb in ["cancel", "resume", "pause"] {
        let refused = product.steer_replay(&id, verb).await?.expect(409)?;
        ensure!(refused.message().starts_with("the replay is cancelled: "), "{}", refused.text);
    }
    product.change_replay(&id, &json!({"rate": 5})).await?.expect(409)?;
    // It does not wake up with the process.
    let requests = sink.record().requests();
    let mut product = product;
    product.kill9()?;
    product.restart().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(sink.record().requests() == requests, "something was sent after a restart");
    Ok(())
}

#[tokio::test]
async fn a_pause_holds_over_a_crash_and_resume_delivers_the_rest_once() -> Result<()> {
    let (mut product, sink) = with_missing(Duration::from_millis(10)).await?;
    let body = backfill(json!({"concurrency": 4}));
    let id = product.start_replay(&body).await?;
    under_way(&sink, 50).await?;
    let paused = stop(&product, &sink, &id, "pause").await?;
    ensure!(paused["status"] == "paused", "{paused}");
    let before = sink.record().requests();
    ensure!(before < EVENTS, "it was over before it was paused");
    product.kill9()?;
    product.restart().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(sink.record().requests() == before, "a paused replay went on after a restart");
    product.steer_replay(&id, "resume").await?.expect(200)?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    ensure!(done["counts"]["success"] == EVENTS, "{done}");
    ensure!((0..EVENTS).all(|n| sink.record().ledger().count(n) == 1), "not each once");
    let steps: Vec<&str> = done["steps"].as_array().into_iter().flatten().filter_map(|step| step["what"].as_str()).collect();
    ensure!(steps == ["running", "paused", "running", "completed"], "{steps:?}");
    Ok(())
}

#[tokio::test]
async fn a_rate_is_kept_and_changed_on_the_way() -> Result<()> {
    let (product, sink) = with_missing(Duration::ZERO).await?;
    let body = backfill(json!({"rate": 50}));
    let before = sink.record().requests();
    let began = Instant::now();
    let id = product.start_replay(&body).await?;
    wait_until(SOON, "a hundred", async || Ok((sink.record().requests() >= before + 100).then_some(()))).await?;
    let took = began.elapsed();
    ensure!(took > Duration::from_millis(1_500), "100 at 50/s after {took:?}");
    let replay = product.replay(&id).await?;
    ensure!(replay["eta_seconds"].as_u64().is_some_and(|eta| eta >= 5), "{replay}");
    let changed = product.change_replay(&id, &json!({"rate": null, "concurrency": 2})).await?.expect(200)?;
    ensure!(changed.data()["options"]["rate"].is_null() && changed.data()["options"]["concurrency"] == 2, "{}", changed.text);
    product.replay_in(&id, "completed", SOON).await?;
    Ok(())
}

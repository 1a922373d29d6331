//! How fast a replay says it is, and how long it says the rest takes.

use super::{SOON, answering};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::Sink;
use serde_json::{Value, json};

const EVENTS: u64 = 300;

async fn with_events() -> Result<(Product, Sink)> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..EVENTS).await?;
    super::all_in(&product, "Success", EVENTS as usize).await?;
    Ok((product, sink))
}

fn again(options: Value) -> Value {
    let mut options = options;
    options["include_succeeded"] = true.into();
    json!({"mode": "all", "selector": {"from": "-1h"}, "options": options})
}

/// A time no sooner than so many a second allow, or none.
pub fn holds_to(replay: &Value, rate: u64) -> Result<()> {
    let count = |name: &str| replay["counts"][name].as_u64().unwrap_or(0);
    let left = count("matched") - count("success") - count("failure") - count("discarded");
    let eta = &replay["eta_seconds"];
    let least = if replay["status"] == "running" { left.div_ceil(rate) } else { 0 };
    ensure!(eta.as_u64().is_none_or(|eta| eta >= least), "{left} at {rate} a second in {eta} s: {replay}");
    ensure!(replay["pace"].as_f64().is_some_and(|pace| pace.is_finite() && pace >= 0.0), "{replay}");
    Ok(())
}

/// Once it says one.
async fn with_pace(product: &Product, id: &str, rate: u64) -> Result<Value> {
    wait_until(SOON, "it says how fast it is", async || {
        let replay = product.replay(id).await?;
        holds_to(&replay, rate)?;
        Ok((replay["pace"].as_f64() > Some(0.0)).then_some(replay))
    })
    .await
}

#[tokio::test]
async fn a_pace_begins_anew_and_no_time_is_sooner_than_the_rate_allows() -> Result<()> {
    let (mut product, _sink) = with_events().await?;
    let id = product.start_replay(&again(json!({"rate": 40}))).await?;
    with_pace(&product, &id, 40).await?;
    let slower = product.change_replay(&id, &json!({"rate": 1})).await?.expect(200)?.data().clone();
    ensure!(slower["pace"] == 0.0 && slower["eta_seconds"].is_u64(), "what was before the change: {slower}");
    holds_to(&slower, 1)?;
    let slow = with_pace(&product, &id, 1).await?;
    ensure!(slow["eta_seconds"].is_u64(), "{slow}");

    let paused = product.steer_replay(&id, "pause").await?.expect(200)?.data().clone();
    ensure!(paused["pace"] == 0.0 && paused["eta_seconds"].is_null(), "{paused}");
    product.kill9()?;
    product.restart().await?;
    let paused = product.replay(&id).await?;
    ensure!(paused["pace"] == 0.0 && paused["eta_seconds"].is_null(), "{paused}");
    let resumed = product.steer_replay(&id, "resume").await?.expect(200)?.data().clone();
    ensure!(resumed["pace"] == 0.0, "what was before the pause: {resumed}");
    with_pace(&product, &id, 1).await?;
    product.kill9()?;
    product.restart().await?;
    with_pace(&product, &id, 1).await?;

    product.change_replay(&id, &json!({"rate": null})).await?.expect(200)?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    ensure!(done["eta_seconds"].is_null() && done["pace"].as_f64() > Some(0.0), "{done}");
    Ok(())
}

#[tokio::test]
async fn a_cap_of_the_endpoint_is_counted_with_and_lifting_it_is_on_record() -> Result<()> {
    let (product, _sink) = with_events().await?;
    let caps = json!({"rate": 1_000, "endpoint_rate": 5, "endpoint_concurrency": 3});
    let id = product.start_replay(&again(caps)).await?;
    let running = product.replay_in(&id, "running", SOON).await?;
    ensure!(running["eta_seconds"].is_u64(), "{running}");
    holds_to(&running, 5)?;
    with_pace(&product, &id, 5).await?;
    for (field, says) in [
        ("endpoint_rate", "rate 1000, concurrency 64, endpoint_rate none, endpoint_concurrency 3"),
        ("endpoint_concurrency", "rate 1000, concurrency 64, endpoint_concurrency none"),
    ] {
        // So that none of it is over before it is asked about.
        if field == "endpoint_rate" {
            product.steer_replay(&id, "pause").await?.expect(200)?;
        }
        let changed = product.change_replay(&id, &json!({field: null})).await?.expect(200)?;
        let last = changed.data()["steps"].as_array().and_then(|steps| steps.last()).context("steps")?.clone();
        ensure!(last["what"] == says && last["by"]["kind"] == "api_key", "{last}");
    }
    let both = json!({"rate": null, "endpoint_rate": null, "endpoint_concurrency": null});
    let changed = product.change_replay(&id, &both).await?.expect(200)?;
    ensure!(
        changed.text.contains("rate none, concurrency 64, endpoint_rate none, endpoint_concurrency none"),
        "{}",
        changed.text
    );
    product.steer_replay(&id, "resume").await?.expect(200)?;
    product.replay_in(&id, "completed", SOON).await?;
    Ok(())
}

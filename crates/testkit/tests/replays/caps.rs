//! What a run may send to any one endpoint, given at the start and changed on the way.

use super::{SOON, answering, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn again(options: Value) -> Value {
    let mut options = options;
    options["include_succeeded"] = true.into();
    json!({"mode": "all", "selector": {"from": "-1h"}, "options": options})
}

#[tokio::test]
async fn so_many_at_a_time_reach_one_endpoint_and_others_go_on() -> Result<()> {
    let product = Product::fresh().await?;
    // It answers the first round, and hangs then.
    let slow =
        sink(Plan::in_turn(vec![Answer::status(200); 6], Answer::status(200).after(Duration::from_secs(5)))).await?;
    let quick = answering(200).await?;
    let slow_endpoint = product.subscribed_endpoint(&slow.url("/"), &json!({})).await?;
    let quick_endpoint = product.subscribed_endpoint(&quick.url("/"), &json!({})).await?;
    product.send_numbered(&slow_endpoint, 0..6).await?;
    product.send_numbered(&quick_endpoint, 6..12).await?;
    wait_until(SOON, "all arrived once", async || {
        Ok((slow.record().requests() >= 6 && quick.record().requests() >= 6).then_some(()))
    })
    .await?;
    let id = product.start_replay(&again(json!({"endpoint_concurrency": 2}))).await?;
    wait_until(SOON, "the quick one has all of it", async || {
        Ok((quick.record().requests() == 12 && slow.record().requests() >= 8).then_some(()))
    })
    .await?;
    ensure!(slow.record().requests() == 8, "{} are under way", slow.record().requests() - 6);
    let lifted = product.change_replay(&id, &json!({"endpoint_concurrency": null})).await?.expect(200)?;
    ensure!(lifted.data()["options"]["endpoint_concurrency"].is_null(), "{}", lifted.text);
    // While the first two still hang.
    wait_until(
        Duration::from_secs(4),
        "the others follow",
        async || Ok((slow.record().requests() == 12).then_some(())),
    )
    .await?;
    product.replay_in(&id, "completed", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_rate_for_each_endpoint_is_kept_shown_and_changed() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..60).await?;
    wait_until(SOON, "all arrived once", async || Ok((sink.record().requests() == 60).then_some(()))).await?;
    let began = Instant::now();
    let id = product.start_replay(&again(json!({"endpoint_rate": 10}))).await?;
    wait_until(SOON, "twenty more", async || Ok((sink.record().requests() >= 80).then_some(()))).await?;
    let took = began.elapsed();
    ensure!(took > Duration::from_millis(1_800), "20 at 10/s after {took:?}");
    let shown = product.replay(&id).await?;
    ensure!(shown["options"]["endpoint_rate"] == 10, "{shown}");
    let changed = product.change_replay(&id, &json!({"endpoint_rate": 1_000})).await?.expect(200)?;
    ensure!(changed.data()["options"]["endpoint_rate"] == 1_000, "{}", changed.text);
    let done = product.replay_in(&id, "completed", SOON).await?;
    let steps: Vec<&str> =
        done["steps"].as_array().into_iter().flatten().filter_map(|step| step["what"].as_str()).collect();
    ensure!(steps.iter().any(|what| what.contains("endpoint_rate 1000")), "{steps:?}");
    for body in [json!({"endpoint_rate": 0}), json!({"endpoint_concurrency": 0}), json!({"endpoint_rate": "fast"})] {
        let field = body.as_object().and_then(|fields| fields.keys().next().cloned()).unwrap_or_default();
        let refused = product.change_replay(&id, &body).await?.expect(400)?;
        ensure!(refused.message().starts_with(&format!("{field}: it needs a whole number from 1")), "{}", refused.text);
        let refused = product.post("/replays", &again(body)).await?.expect(400)?;
        ensure!(refused.message().starts_with(&format!("options.{field}: it needs")), "{}", refused.text);
    }
    Ok(())
}

//! A resend by hand of what a replay sent, or would have.

use super::{SOON, answering, sink};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, content, text, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::{Value, json};
use std::time::Duration;

async fn resend(product: &Product, delivery: &str) -> Result<()> {
    product.put(&format!("/eventdeliveries/{delivery}/resend"), &json!("{}")).await?.expect(200).map(drop)
}

/// The items of a replay that are in this state.
async fn items(product: &Product, replay: &str, status: &str) -> Result<Vec<Value>> {
    let list = product.get(&format!("/replays/{replay}/items?status={status}&perPage=100")).await?.expect(200)?;
    Ok(content(&list))
}

/// It is an order of its own: that the replay is over says nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_of_a_replay_that_is_over_is_sent_when_somebody_says_so() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    product.never_trips().await?;
    let sink = answering(500).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..3).await?;
    super::all_failed(&product, 3).await?;
    let body = json!({"mode": "failed", "selector": {"from": "-1h"}, "expected_count": 3});
    let completed = product.start_replay(&body).await?;
    product.replay_in(&completed, "completed", SOON).await?;
    let slow = json!({"mode": "failed", "selector": {"from": "-1h"}, "options": {"rate": 1}});
    let cancelled = product.start_replay(&slow).await?;
    wait_until(SOON, "it has items", async || {
        let replay = product.replay(&cancelled).await?;
        Ok((replay["counts"]["items"].as_u64() > Some(0)).then_some(()))
    })
    .await?;
    product.steer_replay(&cancelled, "cancel").await?.expect(200)?;
    product.replay_in(&cancelled, "cancelled", SOON).await?;
    wait_until(SOON, "all of it is settled", async || {
        Ok((product.replay(&cancelled).await?["counts"]["waiting"] == 0).then_some(()))
    })
    .await?;

    sink.set_plan(Plan::always(Answer::status(200)));
    for replay in [&completed, &cancelled] {
        let failed = items(&product, replay, "Failure").await?;
        let item = failed.first().with_context(|| format!("an item that failed of {replay}"))?;
        let before = sink.record().delivered();
        resend(&product, text(item, "uid")).await?;
        wait_until(SOON, "it is sent", async || {
            let delivery = product.delivery(text(item, "uid")).await?;
            ensure!(text(&delivery, "status") != "Discarded", "{delivery}");
            Ok((text(&delivery, "status") == "Success").then_some(()))
        })
        .await?;
        ensure!(sink.record().delivered() == before + 1, "one request");
    }
    Ok(())
}

/// What a stop kept from being sent can be sent too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_of_a_paused_replay_does_not_wait_for_it() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    product.never_trips().await?;
    let sink = sink(Plan::always(Answer::status(500).after(Duration::from_millis(20)))).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..2).await?;
    super::all_failed(&product, 2).await?;
    let id =
        product.start_replay(&json!({"mode": "failed", "selector": {"from": "-1h"}, "options": {"rate": 1}})).await?;
    let item =
        wait_until(SOON, "one has failed", async || Ok(items(&product, &id, "Failure").await?.into_iter().next()));
    let item = item.await?;
    product.steer_replay(&id, "pause").await?;
    sink.set_plan(Plan::always(Answer::status(200)));
    resend(&product, text(&item, "uid")).await?;
    wait_until(SOON, "it is sent", async || {
        Ok((text(&product.delivery(text(&item, "uid")).await?, "status") == "Success").then_some(()))
    })
    .await
}

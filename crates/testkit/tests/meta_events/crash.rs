//! Killed between the commit and the exchange, and in the middle of it: all of them arrive.

use super::{SOON, all_in, each_once, hanging, listed, sink, tell, verified};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::Plan;
use serde_json::json;

/// More than are sent at the same time.
const TOLD: usize = 20;

#[tokio::test]
async fn kill_9_before_they_are_sent_loses_none() -> Result<()> {
    let mut product = Product::fresh().await?;
    let told = sink(hanging()).await?;
    tell(&product, &told, &["endpoint.created", "eventdelivery.success", "replay.completed"]).await?;
    let receiver = super::answering(200).await?;
    let endpoint = product.subscribed_endpoint(&receiver.url("/"), &json!({})).await?;
    for _ in 1..TOLD {
        product.create_endpoint("http://127.0.0.1:9/", &json!({})).await?;
    }
    let event = product.send_keyed(&endpoint, "k", &json!({"n": 1})).await?;
    product.delivery_in(&event, "Success", SOON).await?;
    let again = json!({"mode": "all", "selector": {"from": "-1h"}, "options": {"include_succeeded": true}});
    let replay = product.start_replay(&again).await?;
    product.replay_in(&replay, "completed", SOON).await?;
    // Created, delivered, delivered again, completed.
    let count = TOLD + 2 + 1;
    wait_until(SOON, "some are in exchange", async || Ok((told.record().requests() > 0).then_some(()))).await?;
    let before = listed(&product).await?;
    ensure!(before.len() == count && before.iter().all(|row| row["status"] == "Scheduled"), "{before:?}");
    let in_exchange = told.record().requests();
    ensure!(in_exchange < TOLD as u64, "all of them are in exchange: none is between commit and exchange");
    product.kill9()?;
    told.set_plan(Plan::default());
    product.restart().await?;
    let rows = all_in(&product, "Success", count).await?;
    each_once(&told, &rows)?;
    told.record().seen().iter().try_for_each(|seen| verified(seen).map(drop))
}

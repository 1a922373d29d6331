//! Convoy's replay: in any state a real second delivery (contracts/convoy.md §2.3.9).

use super::{SOON, answering, sink};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, Reply, content, text, uid, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::json;

async fn replay(product: &Product, event: &str) -> Result<Reply> {
    product.put(&format!("/events/{event}/replay"), &json!("{}")).await
}

#[tokio::test]
async fn a_delivered_event_is_delivered_again() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "with-a-key", &json!({"n": 1})).await?;
    let first = product.delivery_in(&event, "Success", SOON).await?;

    let reply = replay(&product, &event).await?.expect(200)?;
    ensure!(reply.message() == "Endpoint event replayed successfully", "{}", reply.text);
    ensure!(text(reply.data(), "uid") == event, "{}", reply.text);
    let rows = product.deliveries_in(&event, "Success", 2, SOON).await?;
    ensure!(rows.len() == 2, "{} deliveries", rows.len());
    ensure!(rows.iter().any(|row| row["uid"] == first["uid"]), "the first delivery was rewritten");
    let seen = sink.record().seen();
    ensure!(seen.len() == 2 && seen[0].body == seen[1].body, "{seen:?}");
    ensure!(!seen[1].header("webhook-replay").is_empty() || seen[0].header("webhook-id").is_empty(), "{seen:?}");
    // The event itself is the one there was.
    let events = content(&product.get("/events?idempotencyKey=with-a-key").await?.expect(200)?);
    ensure!(events.len() == 1, "replay made a new event: {events:?}");
    Ok(())
}

#[tokio::test]
async fn a_failed_delivery_gets_a_fresh_one_beside_it() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    let sink = sink(Plan::in_turn(vec![Answer::status(500)], Answer::status(200))).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "failed-once", &json!({"n": 1})).await?;
    product.delivery_in(&event, "Failure", SOON).await?;
    replay(&product, &event).await?.expect(200)?;
    wait_until(SOON, "one failed, one delivered", async || {
        let rows = product.deliveries(&event).await?;
        let mut statuses: Vec<&str> = rows.iter().map(|row| text(row, "status")).collect();
        statuses.sort_unstable();
        Ok((statuses == ["Failure", "Success"]).then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_event_nobody_wanted_matches_again() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.create_endpoint(&sink.url("/"), &json!({})).await?;
    let subscription = product.subscribe(&endpoint, &["something.else"]).await?;
    let event = product.send_keyed(&endpoint, "unmatched", &json!({"n": 1})).await?;
    wait_until(SOON, "no match", async || {
        let event = product.get(&format!("/events/{event}")).await?.expect(200)?;
        Ok((text(event.data(), "status") == "Failure").then_some(()))
    })
    .await?;
    ensure!(product.deliveries(&event).await?.is_empty(), "a delivery for nobody");

    let wanted = json!({"filter_config": {"event_types": ["*"]}});
    product.put(&format!("/subscriptions/{subscription}"), &wanted).await?.expect(202)?;
    replay(&product, &event).await?.expect(200)?;
    product.delivery_in(&event, "Success", SOON).await?;
    wait_until(SOON, "the event has matched", async || {
        let event = product.get(&format!("/events/{event}")).await?.expect(200)?;
        Ok((text(event.data(), "status") == "Success").then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_duplicate_is_not_delivered_until_it_is_replayed() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let first = product.send_keyed(&endpoint, "same", &json!({"n": 1})).await?;
    product.delivery_in(&first, "Success", SOON).await?;
    product.send_keyed(&endpoint, "same", &json!({"n": 2})).await?;
    let events = content(&product.get("/events?idempotencyKey=same").await?.expect(200)?);
    let duplicate = events.iter().find(|row| row["is_duplicate_event"] == true).context("no duplicate is flagged")?;
    let duplicate = uid(duplicate)?;
    ensure!(events.len() == 2 && duplicate != first, "{events:?}");
    ensure!(product.deliveries(&duplicate).await?.is_empty(), "a duplicate got a delivery");

    replay(&product, &duplicate).await?.expect(200)?;
    product.delivery_in(&duplicate, "Success", SOON).await?;
    ensure!(sink.record().ledger().count(2) == 1, "the duplicate's own payload did not come");
    Ok(())
}

#[tokio::test]
async fn an_unknown_event_is_told() -> Result<()> {
    let product = Product::fresh().await?;
    let reply = replay(&product, "01H0JA5MEES38RRK3HTEJC647K").await?;
    ensure!(reply.status == 400 && reply.message() == "event not found", "{}", reply.text);
    Ok(())
}

//! Connect's replay and its `Idempotency-Key`: one key, one row, whatever happens (contracts/connect.md).

use super::{SOON, answering};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, Reply, text, wait_until};
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Calls that race with one key.
const RACERS: usize = 50;

fn replay_path(event: &str) -> String {
    format!("/connect/v1/events/evt_{event}/replay")
}

async fn replay(product: &Product, event: &str, key: &str) -> Result<Reply> {
    product.connect(Method::POST, &replay_path(event), &[("idempotency-key", key)], None).await
}

/// The deliveries of an event that a replay made.
async fn replays(product: &Product, event: &str) -> Result<Vec<Value>> {
    let path = format!("/connect/v1/webhook-deliveries?event_id=evt_{event}&trigger=replay&limit=200");
    let list = product.connect(Method::GET, &path, &[], None).await?.expect(200)?;
    Ok(list.body["data"].as_array().cloned().unwrap_or_default())
}

fn code(reply: &Reply) -> &str {
    reply.body["error"]["code"].as_str().unwrap_or("")
}

/// An event that has been delivered once.
async fn delivered(product: &Product, endpoint: &str, key: &str) -> Result<String> {
    let event = product.send_keyed(endpoint, key, &json!({"n": 1})).await?;
    product.delivery_in(&event, "Success", SOON).await?;
    Ok(event)
}

#[tokio::test]
async fn the_same_key_twice_is_one_row() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = delivered(&product, &endpoint, "e1").await?;

    let first = replay(&product, &event, "key-1").await?.expect(201)?;
    ensure!(text(&first.body, "status") == "pending" && first.body["attempt_count"] == 0, "{}", first.text);
    ensure!(text(&first.body, "object") == "webhook_delivery", "{}", first.text);
    ensure!(text(&first.body, "event_id") == format!("evt_{event}"), "{}", first.text);
    wait_until(SOON, "sent again", async || Ok((sink.record().delivered() == 2).then_some(()))).await?;

    let second = replay(&product, &event, "key-1").await?;
    ensure!(matches!(second.status, 200 | 201), "{} {}", second.status, second.text);
    ensure!(second.header("idempotent-replayed") == "true", "{:?}", second.headers);
    ensure!(second.body["id"] == first.body["id"], "{} {}", first.text, second.text);
    ensure!(replays(&product, &event).await?.len() == 1, "two rows for one key");

    let other = delivered(&product, &endpoint, "e2").await?;
    let conflict = replay(&product, &other, "key-1").await?;
    ensure!(conflict.status == 409 && code(&conflict) == "idempotency_conflict", "{}", conflict.text);
    let (path, body) = (replay_path(&event), json!({"endpoint_id": "nobody"}));
    let key = [("idempotency-key", "key-1")];
    let conflict = product.connect(Method::POST, &path, &key, Some(&body)).await?;
    ensure!(conflict.status == 409 && code(&conflict) == "idempotency_conflict", "{}", conflict.text);
    replay(&product, &event, "key-2").await?.expect(201)?;
    ensure!(replays(&product, &event).await?.len() == 2, "a second key is a second replay");
    Ok(())
}

#[tokio::test]
async fn refusals_have_their_codes_and_leave_nothing() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = delivered(&product, &endpoint, "e1").await?;
    let missing = product.connect(Method::POST, &replay_path(&event), &[], None).await?;
    ensure!(missing.status == 400 && code(&missing) == "idempotency_key_required", "{}", missing.text);
    let long = replay(&product, &event, &"k".repeat(256)).await?;
    ensure!(long.status == 400 && code(&long) == "idempotency_key_invalid", "{}", long.text);
    let mut said = Vec::new();
    for unknown in ["01H0JA5MEES38RRK3HTEJC647K", "nonsense"] {
        let path = format!("/connect/v1/events/evt_{unknown}");
        let looked_at = product.connect(Method::GET, &path, &[], None).await?;
        for mut reply in [replay(&product, unknown, "key").await?, looked_at] {
            ensure!(reply.status == 404 && code(&reply) == "event_not_found", "{}", reply.text);
            reply.body["error"]["request_id"] = json!("req_…");
            said.push(reply.body);
        }
    }
    ensure!(said.iter().all(|body| *body == said[0]), "malformed ids look unlike unknown ones: {said:?}");
    let foreign = product.client().get("/connect/v1/events", Some("sk_live_nobody")).await?;
    ensure!(foreign.status == 401 && code(&foreign) == "invalid_api_key", "{}", foreign.text);
    ensure!(replays(&product, &event).await?.is_empty(), "a refused replay left a row");
    // A refused call's key is still free.
    replay(&product, &event, "key").await?.expect(201)?;
    Ok(())
}

/// A typo must not look like an empty log.
#[tokio::test]
async fn the_log_is_narrowed_by_types_that_are_registered() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    delivered(&product, &endpoint, "e1").await?;
    let path = "/connect/v1/events?type=test.event";
    let refused = product.connect(Method::GET, path, &[], None).await?;
    ensure!(refused.status == 400 && code(&refused) == "invalid_type", "{}", refused.text);
    ensure!(refused.text.contains("register it (POST /api/v1/projects/"), "{}", refused.text);
    product.post("/event-types", &json!({"name": "test.event"})).await?.expect(201)?;
    let list = product.connect(Method::GET, path, &[], None).await?.expect(200)?;
    ensure!(list.body["data"].as_array().is_some_and(|data| data.len() == 1), "{}", list.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_racing_calls_are_one_row() -> Result<()> {
    let product = Arc::new(Product::fresh().await?);
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = delivered(&product, &endpoint, "raced").await?;
    let mut racers = JoinSet::new();
    for _ in 0..RACERS {
        let (product, event) = (Arc::clone(&product), event.clone());
        racers.spawn(async move { replay(&product, &event, "one-key").await });
    }
    let mut ids = Vec::new();
    while let Some(reply) = racers.join_next().await {
        let reply = reply??;
        match reply.status {
            200 | 201 => ids.push(text(&reply.body, "id").to_owned()),
            _ => ensure!(reply.status == 409 && code(&reply) == "idempotency_in_progress", "{}", reply.text),
        }
    }
    ensure!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let rows = replays(&product, &event).await?;
    ensure!(rows.len() == 1 && text(&rows[0], "id") == ids[0], "{rows:?}");
    wait_until(SOON, "sent again", async || Ok((sink.record().delivered() == 2).then_some(()))).await?;
    ensure!(sink.record().delivered() == 2, "sent more than once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_commit_and_answer_it_is_still_one_row() -> Result<()> {
    let mut product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    // From before the commit to after the answer.
    for delay_ms in [0, 1, 2, 4, 8, 16] {
        let event = delivered(&product, &endpoint, &format!("killed-{delay_ms}")).await?;
        let key = format!("key-{delay_ms}");
        let (client, path) = (product.client().clone(), replay_path(&event));
        let (authorization, header) = (product.keys().connect_key.clone(), key.clone());
        let call = tokio::spawn(async move {
            client.call(Method::POST, &path, Some(&authorization), &[("idempotency-key", &header)], None).await
        });
        // The moment is what varies; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        product.kill9()?;
        let answered = call.await?.ok();
        product.restart().await?;

        let again = replay(&product, &event, &key).await?;
        ensure!(matches!(again.status, 200 | 201), "{} {}", again.status, again.text);
        if let Some(first) = answered.filter(|reply| reply.status == 201) {
            ensure!(first.body["id"] == again.body["id"], "{} {}", first.text, again.text);
        }
        let rows = replays(&product, &event).await?;
        ensure!(rows.len() == 1, "{} rows for one key, killed after {delay_ms} ms", rows.len());
        let id = text(rows.first().context("a row")?, "id").to_owned();
        wait_until(SOON, "the replay is delivered", async || {
            let path = format!("/connect/v1/webhook-deliveries/{id}");
            let row = product.connect(Method::GET, &path, &[], None).await?.expect(200)?;
            Ok((text(&row.body, "status") == "delivered").then_some(()))
        })
        .await?;
    }
    Ok(())
}

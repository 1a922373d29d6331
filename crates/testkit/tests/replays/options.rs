//! As-of choices, targets, order; endpoints that were edited, paused, deleted meanwhile.

use super::{SOON, all_failed, answering, sink};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::{Answer, Plan, Seen, Sink};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EVENTS: u64 = 12;

/// A product whose one endpoint has failed so many times, with its id.
async fn with_failures(sink: &Sink, extra: &Value) -> Result<(Product, String)> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    product.never_trips().await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/old"), extra).await?;
    product.send_numbered(&endpoint, 0..EVENTS).await?;
    all_failed(&product, usize::try_from(EVENTS)?).await?;
    sink.set_plan(Plan::always(Answer::status(200)));
    Ok((product, endpoint))
}

fn failed_with(options: Value) -> Value {
    json!({"mode": "failed", "selector": {"from": "-1h"}, "options": options})
}

async fn replayed(product: &Product, sink: &Sink, body: &Value) -> Result<(Value, Vec<Seen>)> {
    let id = product.start_replay(body).await?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    let seen = sink.record().seen();
    Ok((done, seen.into_iter().filter(|seen| seen.header("webhook-replay") == id).collect()))
}

#[tokio::test]
async fn an_edited_url_and_a_rotated_secret_are_as_they_are_or_as_they_were() -> Result<()> {
    let sink = answering(500).await?;
    let (product, endpoint) = with_failures(&sink, &json!({"secret": "before", "advanced_signatures": false})).await?;
    let edit = json!({"name": "edited", "url": sink.url("/new"), "advanced_signatures": false});
    product.put(&format!("/endpoints/{endpoint}"), &edit).await?.expect(202)?;
    let rolled = json!({"secret": "after", "expiration": 0});
    product.put(&format!("/endpoints/{endpoint}/expire_secret"), &rolled).await?.expect(200)?;

    let original = failed_with(json!({"as_of": {"url": "original", "secret": "original"}}));
    let plan = product.plan_replay(&original).await?;
    let url = plan["samples"][0]["url"].as_str().context("a sample")?;
    ensure!(url.ends_with("/old"), "the plan shows {url}");
    let (done, seen) = replayed(&product, &sink, &original).await?;
    ensure!(
        done["options"]["as_of"]["secret"] == "original" && done["options"]["as_of"]["headers"] == "current",
        "{done}"
    );
    ensure!(seen.len() as u64 == EVENTS && seen.iter().all(|seen| seen.path == "/old"), "{seen:?}");
    ensure!(seen.iter().all(|seen| signed_by("before", seen)), "not signed as it was");

    let current = json!({"mode": "all", "selector": {"from": "-1h"}, "options": {"include_succeeded": true}});
    let (_, seen) = replayed(&product, &sink, &current).await?;
    ensure!(seen.len() as u64 == EVENTS && seen.iter().all(|seen| seen.path == "/new"), "{seen:?}");
    ensure!(seen.iter().all(|seen| signed_by("after", seen) && !signed_by("before", seen)), "not signed as it is");
    // Which address was used stays on record.
    let lines = product.report(done["uid"].as_str().context("an id")?).await?;
    let attempts = product.attempts(lines[0]["uid"].as_str().context("an id")?).await?;
    ensure!(attempts[0]["api_version"].is_string() && attempts[0].to_string().contains("/old"), "{}", attempts[0]);
    let asked = json!({"url": "original", "headers": "current", "secret": "original"});
    ensure!(attempts[0]["as_of"] == asked, "{}", attempts[0]);
    Ok(())
}

/// Convoy's simple signature is the hexadecimal HMAC-SHA-256 of the body.
fn signed_by(secret: &str, seen: &Seen) -> bool {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, &seen.body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    seen.header("x-convoy-signature") == hex
}

#[tokio::test]
async fn items_for_a_deleted_endpoint_say_so() -> Result<()> {
    let sink = answering(500).await?;
    let (product, endpoint) = with_failures(&sink, &json!({})).await?;
    product.delete(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
    let (done, seen) = replayed(&product, &sink, &failed_with(json!({}))).await?;
    ensure!(done["counts"]["by_reason"]["endpoint_deleted"] == EVENTS && seen.is_empty(), "{done}");
    Ok(())
}

#[tokio::test]
async fn items_for_a_paused_endpoint_say_so_and_go_once_it_is_active() -> Result<()> {
    let sink = answering(500).await?;
    let (product, endpoint) = with_failures(&sink, &json!({})).await?;
    product.put(&format!("/endpoints/{endpoint}/pause"), &json!({})).await?.expect(202)?;
    let (done, seen) = replayed(&product, &sink, &failed_with(json!({}))).await?;
    ensure!(done["counts"]["by_reason"]["endpoint_paused"] == EVENTS && seen.is_empty(), "{done}");
    product.post(&format!("/endpoints/{endpoint}/activate"), &json!({})).await?.expect(202)?;
    let discarded = json!({"mode": "discarded", "selector": {"from": "-1h"}});
    let (done, seen) = replayed(&product, &sink, &discarded).await?;
    ensure!(done["counts"]["success"] == EVENTS && seen.len() as u64 == EVENTS, "{done}");
    Ok(())
}

#[tokio::test]
async fn another_endpoint_or_nobodys_address_gets_each_once_with_its_own_secret() -> Result<()> {
    let sink = answering(500).await?;
    let (product, _) = with_failures(&sink, &json!({})).await?;
    let elsewhere = answering(200).await?;
    let other = product
        .create_endpoint(&elsewhere.url("/other"), &json!({"secret": "theirs", "advanced_signatures": false}))
        .await?;

    let (done, seen) = replayed(&product, &elsewhere, &failed_with(json!({"target": {"endpoint_id": other}}))).await?;
    ensure!(done["counts"]["success"] == EVENTS && seen.len() as u64 == EVENTS, "{done}");
    ensure!(seen.iter().all(|seen| seen.path == "/other" && signed_by("theirs", seen)), "{seen:?}");

    let laptop = json!({"target": {"url": elsewhere.url("/laptop"), "secret": "mine"}});
    let (done, seen) = replayed(&product, &elsewhere, &failed_with(laptop)).await?;
    ensure!(done["counts"]["success"] == EVENTS && seen.len() as u64 == EVENTS, "{done}");
    ensure!(seen.iter().all(|seen| seen.path == "/laptop" && signed_by("mine", seen)), "{seen:?}");
    ensure!(!done.to_string().contains("mine"), "a secret is shown: {done}");
    ensure!(sink.record().delivered() == 0, "the endpoint itself got something");
    Ok(())
}

/// Whom they were sent to is no endpoint, which nothing can be sent to again.
#[tokio::test]
async fn what_failed_at_an_address_is_replayed_to_an_address() -> Result<()> {
    let sink = answering(500).await?;
    let (product, _) = with_failures(&sink, &json!({})).await?;
    let laptop = answering(500).await?;
    let target = json!({"url": laptop.url("/laptop"), "secret": "mine"});
    let (done, _) = replayed(&product, &laptop, &failed_with(json!({"target": target}))).await?;
    ensure!(done["counts"]["failure"] == EVENTS, "{done}");
    laptop.set_plan(Plan::always(Answer::status(200)));
    // Nor are they among what failed at endpoints.
    let plan = product.plan_replay(&failed_with(json!({}))).await?;
    ensure!(plan["matched"] == EVENTS && plan["to_send"] == EVENTS, "{plan}");
    let mut again = json!({"mode": "failed", "selector": {"from": "-1h", "replay_id": done["uid"]}});
    let refused = product.post("/replays", &again).await?.expect(400)?;
    ensure!(refused.message().starts_with("options.target: what replay "), "{}", refused.text);
    again["options"] = json!({"target": target});
    let (done, seen) = replayed(&product, &laptop, &again).await?;
    ensure!(done["counts"]["success"] == EVENTS && seen.len() as u64 == EVENTS, "{done}");
    Ok(())
}

/// Receivers tell repeats by it, also one that was given no secret.
#[tokio::test]
async fn the_webhook_id_is_sent_where_nothing_is_signed_too() -> Result<()> {
    let sink = answering(500).await?;
    let (product, _) = with_failures(&sink, &json!({})).await?;
    product.set_config(&json!({"standard_webhooks": true})).await?;
    let laptop = answering(200).await?;
    let target = json!({"target": {"url": laptop.url("/laptop")}});
    let (_, seen) = replayed(&product, &laptop, &failed_with(target)).await?;
    ensure!(seen.len() as u64 == EVENTS, "{} arrived", seen.len());
    for one in &seen {
        ensure!(one.header("webhook-id").starts_with("evt_"), "{one:?}");
        ensure!(!one.header("webhook-timestamp").is_empty(), "{one:?}");
        ensure!(one.header("webhook-signature").is_empty(), "{one:?}");
    }
    Ok(())
}

/// Oldest first for each endpoint, the next when the one before is settled; also when one fails.
#[tokio::test]
async fn per_endpoint_order_is_kept_where_attempts_fail() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 2).await?;
    product.never_trips().await?;
    let sinks = [answering(500).await?, sink(Plan::always(Answer::status(500))).await?];
    let mut endpoints = Vec::new();
    for sink in &sinks {
        endpoints.push(product.subscribed_endpoint(&sink.url("/"), &json!({})).await?);
    }
    for n in 0..15 {
        for endpoint in &endpoints {
            product.send_numbered(endpoint, n..n + 1).await?;
        }
    }
    all_failed(&product, 30).await?;
    let before: Vec<u64> = sinks.iter().map(|sink| sink.record().requests()).collect();
    sinks[0].set_plan(Plan::failing(1, 5));
    sinks[1].set_plan(Plan::always(Answer::status(200)));
    let id = product.start_replay(&failed_with(json!({"order": "per_endpoint"}))).await?;
    product.replay_in(&id, "completed", SOON * 2).await?;
    for (sink, before) in sinks.iter().zip(before) {
        let seen = sink.record().seen();
        let numbers: Vec<u64> = seen.iter().skip(usize::try_from(before)?).map(number).collect::<Result<_>>()?;
        let mut tries: BTreeMap<u64, u64> = BTreeMap::new();
        for pair in numbers.windows(2) {
            ensure!(pair[0] <= pair[1], "out of order: {numbers:?}");
        }
        for n in &numbers {
            *tries.entry(*n).or_default() += 1;
        }
        ensure!(tries.len() == 15 && tries.values().all(|tries| *tries <= 2), "{numbers:?}");
    }
    wait_until(SOON, "nothing is left", async || {
        Ok((product.replay(&id).await?["counts"]["waiting"] == 0).then_some(()))
    })
    .await
}

fn number(seen: &Seen) -> Result<u64> {
    let body: Value = serde_json::from_slice(&seen.body)?;
    body["n"].as_u64().context("a number")
}

//! Failing deliveries: the schedule, its end, `Retry-After`, 410, and a rate limit that only waits.

use super::{SOON, answering, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, text, wait_until};
use dacapo_testkit::sink::{Answer, Plan, Sink};
use serde_json::json;
use std::time::Duration;

/// A clock tick of leeway between the product's clock and the sink's.
const LEEWAY_US: u64 = 20_000;

fn gaps(seen: &[dacapo_testkit::sink::Seen]) -> Vec<u64> {
    seen.windows(2).map(|pair| pair[1].at_us - pair[0].at_us).collect()
}

#[tokio::test]
async fn a_linear_schedule_ends_in_failure() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 3).await?;
    let sink = answering(500).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "failing", &json!({"n": 1})).await?;
    let waiting = product.delivery_in(&event, "Retry", SOON).await?;
    ensure!(waiting["metadata"]["retry_limit"] == 3 && waiting["metadata"]["strategy"] == "linear", "{waiting}");

    let row = product.delivery_in(&event, "Failure", SOON).await?;
    ensure!(text(&row, "description") == "Retry limit exceeded", "{row}");
    ensure!(row["metadata"]["num_trials"] == 3, "{row}");
    let attempts = product.attempts(text(&row, "uid")).await?;
    ensure!(attempts.len() == 3, "{attempts:?}");
    ensure!(attempts.iter().all(|attempt| text(attempt, "http_status").starts_with("500")), "{attempts:?}");
    let gaps = gaps(&sink.record().seen());
    ensure!(gaps.len() == 2 && gaps.iter().all(|&gap| gap + LEEWAY_US >= 1_000_000), "early: {gaps:?} µs");
    ensure!(gaps.iter().all(|&gap| gap <= 4_000_000), "late: {gaps:?} µs");
    Ok(())
}

#[tokio::test]
async fn success_on_the_last_try_is_success() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 3).await?;
    product.set_config(&json!({"disable_endpoint": true})).await?;
    let sink = sink(Plan::in_turn(vec![Answer::status(500), Answer::status(502)], Answer::status(200))).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "third-time", &json!({"n": 1})).await?;
    let row = product.delivery_in(&event, "Success", SOON).await?;
    ensure!(row["metadata"]["num_trials"] == 3, "{row}");
    let after = product.get(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
    ensure!(text(after.data(), "status") == "active", "a success disabled the endpoint: {}", after.text);
    Ok(())
}

#[tokio::test]
async fn gone_disables_the_endpoint() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(410).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "gone", &json!({"n": 1})).await?;
    let row = product.delivery_in(&event, "Failure", SOON).await?;
    ensure!(row["metadata"]["num_trials"] == 1, "410 was tried again: {row}");
    wait_until(SOON, "the endpoint is inactive", async || {
        let endpoint = product.get(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
        Ok((text(endpoint.data(), "status") == "inactive").then_some(()))
    })
    .await?;
    let next = product.send_keyed(&endpoint, "after-gone", &json!({"n": 2})).await?;
    product.delivery_in(&next, "Discarded", SOON).await?;
    ensure!(sink.record().requests() == 1, "an inactive endpoint was called");
    Ok(())
}

#[tokio::test]
async fn retry_after_is_honoured() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 5).await?;
    let busy = Answer::status(503).header("retry-after", "3");
    let sink = sink(Plan::in_turn(vec![busy], Answer::status(200))).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "later", &json!({"n": 1})).await?;
    product.delivery_in(&event, "Success", SOON).await?;
    let gaps = gaps(&sink.record().seen());
    ensure!(gaps.len() == 1 && gaps[0] + LEEWAY_US >= 3_000_000, "came back after {gaps:?} µs");
    Ok(())
}

#[tokio::test]
async fn retry_after_never_shortens_the_schedule() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(3, 5).await?;
    let busy = Answer::status(429).header("retry-after", "1");
    let sink = sink(Plan::in_turn(vec![busy], Answer::status(200))).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "not-sooner", &json!({"n": 1})).await?;
    product.delivery_in(&event, "Success", SOON).await?;
    let gaps = gaps(&sink.record().seen());
    ensure!(gaps.len() == 1 && gaps[0] + LEEWAY_US >= 3_000_000, "came back after {gaps:?} µs");
    Ok(())
}

#[tokio::test]
async fn a_rate_limit_waits_and_burns_no_attempts() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let limit = json!({"rate_limit": 2, "rate_limit_duration": 3});
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &limit).await?;
    let mut events = Vec::new();
    for index in 0..6 {
        events.push(product.send_keyed(&endpoint, &format!("limited-{index}"), &json!({"n": index})).await?);
    }
    for event in &events {
        let row = product.delivery_in(event, "Success", Duration::from_secs(20)).await?;
        ensure!(row["metadata"]["num_trials"] == 1, "waiting burnt an attempt: {row}");
    }
    let seen = sink.record().seen();
    ensure!(seen.len() == 6, "{} requests", seen.len());
    // A burst of two, then one every 1.5 s.
    let lasted = seen[5].at_us - seen[0].at_us;
    ensure!(lasted + LEEWAY_US >= 6_000_000, "six came within {lasted} µs");
    ensure!(seen[1].at_us - seen[0].at_us < 1_500_000, "the second had to wait");
    Ok(())
}

#[tokio::test]
async fn a_lifted_rate_limit_frees_what_waits() -> Result<()> {
    let (product, sink, endpoint, events) = limited_to_one_an_hour().await?;
    let lifted = json!({"name": "lifted", "url": sink.url("/")});
    product.put(&format!("/endpoints/{endpoint}"), &lifted).await?.expect(202)?;
    for event in &events {
        product.delivery_in(event, "Success", Duration::from_secs(5)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_endpoint_discards_what_waits_behind_its_limit() -> Result<()> {
    let (product, sink, endpoint, events) = limited_to_one_an_hour().await?;
    product.delete(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
    for event in &events[1..] {
        let row = product.delivery_in(event, "Discarded", Duration::from_secs(5)).await?;
        ensure!(row["description"] == "The endpoint was deleted", "no reason: {row}");
    }
    ensure!(sink.record().seen().len() == 1, "sent after the endpoint was deleted");
    Ok(())
}

/// Four events for an endpoint that lets one through, which has been delivered.
async fn limited_to_one_an_hour() -> Result<(Product, Sink, String, Vec<String>)> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let limit = json!({"rate_limit": 1, "rate_limit_duration": 3600});
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &limit).await?;
    let mut events = Vec::new();
    for index in 0..4 {
        events.push(product.send_keyed(&endpoint, &format!("held-{index}"), &json!({"n": index})).await?);
    }
    product.delivery_in(&events[0], "Success", Duration::from_secs(5)).await?;
    Ok((product, sink, endpoint, events))
}

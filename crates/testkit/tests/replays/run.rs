//! What a run makes: its set, each once, with what a plan said beforehand.

use super::{SOON, all_failed, all_in, answering};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, content, text, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use http::Method;
use serde_json::json;

/// Pages end in the middle of events, and just before them: none is left out.
#[tokio::test]
async fn plan_run_and_delivered_are_one_number_where_events_have_several_endpoints() -> Result<()> {
    const EVENTS: u64 = 120;
    let product = Product::fresh().await?;
    let mut sinks = Vec::new();
    for _ in 0..7 {
        let sink = answering(200).await?;
        product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
        sinks.push(sink);
    }
    for n in 0..EVENTS {
        let body = json!({"type": "test.event", "data": {"n": n}});
        product.connect(Method::POST, "/connect/v1/events", &[], Some(&body)).await?.expect(201)?;
    }
    let items = EVENTS * sinks.len() as u64;
    wait_until(SOON, "all have all", async || {
        Ok(sinks.iter().all(|sink| sink.record().delivered() == EVENTS).then_some(()))
    })
    .await?;
    for options in [json!({}), json!({"rate": 400}), json!({"order": "per_endpoint"}), json!({"endpoint_rate": 100})] {
        let mut body = json!({"mode": "all", "selector": {"from": "-1h"}, "options": options, "expected_count": items});
        body["options"]["include_succeeded"] = json!(true);
        let id = product.start_replay(&body).await?;
        let done = product.replay_in(&id, "completed", SOON).await?;
        let counts = &done["counts"];
        ensure!(counts["matched"] == items && counts["items"] == items && counts["success"] == items, "{done}");
        for sink in &sinks {
            let seen = sink.record().seen();
            let its: Vec<&str> = seen
                .iter()
                .filter(|seen| seen.header("webhook-replay") == id)
                .map(|s| s.header("x-dacapo-event-id"))
                .collect();
            let events: std::collections::BTreeSet<&str> = its.iter().copied().collect();
            ensure!(
                its.len() as u64 == EVENTS && events.len() as u64 == EVENTS,
                "{} of {EVENTS}: {done}",
                events.len()
            );
        }
    }
    Ok(())
}

/// An endpoint was down; what failed is planned, started with the planned count, and delivered.
#[tokio::test]
async fn plan_run_and_delivered_are_one_number() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    product.never_trips().await?;
    let sink = answering(500).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..300).await?;
    all_failed(&product, 300).await?;
    sink.set_plan(Plan::always(Answer::status(200)));
    product.send_numbered(&endpoint, 300..310).await?;
    wait_until(SOON, "live ones are delivered", async || Ok((sink.record().delivered() == 10).then_some(()))).await?;

    let body = json!({"name": "3 a.m.", "mode": "failed", "selector": {"from": "-1h", "endpoint_ids": [endpoint]},
        "options": {"rate": 1000}});
    let plan = product.plan_replay(&body).await?;
    ensure!(plan["matched"] == 300 && plan["to_send"] == 300 && plan["complete"] == true, "{plan}");
    ensure!(plan["samples"].as_array().map(Vec::len) == Some(3), "{plan}");
    ensure!(plan["seconds"] == 1 && plan["endpoints"][0]["count"] == 300, "{plan}");
    ensure!(content(&product.get("/replays").await?.expect(200)?).is_empty(), "a plan left something behind");

    let mut start = body.clone();
    start["expected_count"] = json!(299);
    let moved = product.post("/replays", &start).await?.expect(409)?;
    ensure!(moved.message().contains("300 item(s) now, not 299"), "{}", moved.text);
    start["expected_count"] = plan["matched"].clone();
    start["reason"] = json!("the endpoint was down");
    let id = product.start_replay(&start).await?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    let counts = &done["counts"];
    ensure!(counts["matched"] == 300 && counts["items"] == 300 && counts["success"] == 300, "{done}");
    ensure!(done["reason"] == "the endpoint was down" && done["asked_by"]["kind"] == "api_key", "{done}");
    ensure!(sink.record().delivered() == 310, "{} delivered", sink.record().delivered());
    ensure!((0..310).all(|n| sink.record().ledger().count(n) == 1), "not each once");
    let replayed = sink.record().seen().iter().filter(|seen| seen.header("webhook-replay") == id).count();
    ensure!(replayed == 300, "{replayed} said which replay they are of");

    // Nothing of the history was overwritten.
    let failed = product.get("/eventdeliveries?status=Failure&perPage=1000").await?.expect(200)?;
    ensure!(content(&failed).len() == 300, "{} failures are left", content(&failed).len());
    let lines = product.report(&id).await?;
    ensure!(lines.len() == 300 && lines.iter().all(|line| line["status"] == "Success"), "{} lines", lines.len());
    let page = product.get(&format!("/replays/{id}/items?perPage=100")).await?.expect(200)?;
    ensure!(content(&page).len() == 100 && page.data()["pagination"]["has_next_page"] == true, "{}", page.text);

    // All of it again: they have had it now.
    let again = product.plan_replay(&body).await?;
    ensure!(again["matched"] == 0, "what failed is delivered now: {again}");
    Ok(())
}

/// What the endpoint has had is left out, and says so; it is sent where that is asked for.
#[tokio::test]
async fn what_succeeded_is_skipped_with_its_reason() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..20).await?;
    all_in(&product, "Success", 20).await?;

    let body = json!({"mode": "all", "selector": {"from": "-1h"}});
    let plan = product.plan_replay(&body).await?;
    ensure!(plan["matched"] == 20 && plan["to_send"] == 0 && plan["already_succeeded"] == 20, "{plan}");
    let id = product.start_replay(&body).await?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    ensure!(done["counts"]["discarded"] == 20, "{done}");
    ensure!(done["counts"]["by_reason"]["already_delivered"] == 20, "{done}");
    ensure!(sink.record().delivered() == 20, "something was sent");
    let items = content(&product.get(&format!("/replays/{id}/items")).await?.expect(200)?);
    ensure!(items.iter().all(|item| item["outcome"] == "already_delivered"), "{items:?}");

    let all = json!({"mode": "all", "selector": {"from": "-1h"}, "options": {"include_succeeded": true}});
    let id = product.start_replay(&all).await?;
    product.replay_in(&id, "completed", SOON).await?;
    ensure!(sink.record().delivered() == 40, "{} delivered", sink.record().delivered());
    Ok(())
}

/// Two replays of the same failures at the same time: an item that finds its event delivered meanwhile is
/// not sent.
#[tokio::test]
async fn what_was_delivered_meanwhile_is_not_sent_again() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    product.never_trips().await?;
    let sink = answering(500).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..40).await?;
    all_failed(&product, 40).await?;
    sink.set_plan(Plan::always(Answer::status(200)));
    // Paused as it is made, so that its items meet what the second one delivers.
    let slow = json!({"mode": "failed", "selector": {"from": "-1h"}, "options": {"rate": 1}});
    let first = product.start_replay(&slow).await?;
    let second = product.start_replay(&json!({"mode": "failed", "selector": {"from": "-1h"}})).await?;
    product.replay_in(&second, "completed", SOON).await?;
    product.change_replay(&first, &json!({"rate": null})).await?.expect(200)?;
    let done = product.replay_in(&first, "completed", SOON).await?;
    let (sent, skipped) =
        (done["counts"]["success"].as_u64(), done["counts"]["by_reason"]["already_delivered"].as_u64());
    ensure!(sent.unwrap_or(0) + skipped.unwrap_or(0) == 40, "{done}");
    ensure!(sink.record().delivered() == 40, "{} delivered: some twice", sink.record().delivered());
    Ok(())
}

/// An endpoint that was created today gets what came before, and the others get nothing.
#[tokio::test]
async fn a_new_endpoint_is_filled_up() -> Result<()> {
    let product = Product::fresh().await?;
    let (old, new) = (answering(200).await?, answering(200).await?);
    product.subscribed_endpoint(&old.url("/"), &json!({})).await?;
    for n in 0..15 {
        let event = json!({"type": "test.event", "data": {"n": n}});
        product.connect(Method::POST, "/connect/v1/events", &[], Some(&event)).await?.expect(201)?;
    }
    all_in(&product, "Success", 15).await?;
    product.subscribed_endpoint(&new.url("/"), &json!({})).await?;
    let id = product.start_replay(&json!({"mode": "missing", "selector": {"from": "-1h"}})).await?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    ensure!(done["counts"]["matched"] == 15 && done["counts"]["success"] == 15, "{done}");
    ensure!(old.record().delivered() == 15 && (0..15).all(|n| new.record().ledger().count(n) == 1), "not each once");
    Ok(())
}

/// "37 failed again": those, and no others.
#[tokio::test]
async fn failures_of_a_replay_are_the_next_selector() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    product.never_trips().await?;
    let sink = answering(500).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    product.send_numbered(&endpoint, 0..30).await?;
    all_failed(&product, 30).await?;
    sink.set_plan(Plan::failing(1, 3));
    let id = product.start_replay(&json!({"mode": "failed", "selector": {"from": "-1h"}})).await?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    ensure!(done["counts"]["failure"] == 10 && done["counts"]["success"] == 20, "{done}");
    sink.set_plan(Plan::always(Answer::status(200)));
    let again = json!({"mode": "failed", "selector": {"replay_id": id, "from": "-1h"}, "expected_count": 10});
    let id = product.start_replay(&again).await?;
    let done = product.replay_in(&id, "completed", SOON).await?;
    ensure!(done["counts"]["success"] == 10, "{done}");
    ensure!((0..30).all(|n| sink.record().ledger().count(n) == 1), "not each once");
    ensure!(text(&done, "uid") == id, "{done}");
    Ok(())
}

//! Accepted, delivered, on record; paused and active again.

use super::{SOON, answering};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, content, text, wait_until};
use serde_json::json;

#[tokio::test]
async fn an_event_is_delivered_and_can_be_read_afterwards() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/hook"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "first", &json!({"n": 1, "at": 0})).await?;

    let row = product.delivery_in(&event, "Success", SOON).await?;
    ensure!(text(&row, "endpoint_id") == endpoint && row["metadata"]["num_trials"] == 1, "{row}");
    ensure!(text(&row["metadata"], "raw") == r#"{"n":1,"at":0}"#, "{row}");
    let seen = sink.record().seen();
    ensure!(seen.len() == 1 && seen[0].body == r#"{"n":1,"at":0}"#.as_bytes(), "{seen:?}");
    ensure!(seen[0].path == "/hook" && seen[0].header("content-type") == "application/json", "{seen:?}");
    ensure!(seen[0].header("user-agent").starts_with("Dacapo/"), "{seen:?}");
    ensure!(seen[0].header("x-convoy-idempotency-key") == "first", "{seen:?}");
    ensure!(seen[0].header("x-convoy-signature").starts_with("t="), "{seen:?}");

    let read = product.get(&format!("/events/{event}")).await?.expect(200)?;
    ensure!(text(read.data(), "status") == "Success" && read.data()["data"]["n"] == 1, "{}", read.text);
    ensure!(content(&product.get("/events").await?).iter().any(|row| text(row, "uid") == event), "not in the list");
    let attempts = product.attempts(text(&row, "uid")).await?;
    ensure!(attempts.len() == 1 && attempts[0]["status"] == true, "{attempts:?}");
    ensure!(text(&attempts[0], "http_status") == "200 OK" && text(&attempts[0], "method") == "POST", "{attempts:?}");
    let path = format!("/eventdeliveries/{}/deliveryattempts/{}", text(&row, "uid"), text(&attempts[0], "uid"));
    let attempt = product.get(&path).await?.expect(200)?;
    ensure!(text(attempt.data(), "ip_address") == "127.0.0.1", "{}", attempt.text);
    Ok(())
}

#[tokio::test]
async fn only_matching_types_are_delivered() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.create_endpoint(&sink.url("/"), &json!({})).await?;
    product.subscribe(&endpoint, &["invoice.paid"]).await?;
    product.send(&endpoint, "invoice.voided", &json!({"n": 1})).await?.expect(201)?;
    product.send(&endpoint, "invoice.paid", &json!({"n": 2})).await?.expect(201)?;
    wait_until(SOON, "the matching one", async || Ok((sink.record().delivered() == 1).then_some(()))).await?;
    let events = wait_until(SOON, "both events routed", async || {
        let events = content(&product.get("/events").await?.expect(200)?);
        let routed = events.iter().filter(|row| matches!(text(row, "status"), "Success" | "Failure")).count();
        Ok((routed == 2).then_some(events))
    })
    .await?;
    let unmatched = events.iter().find(|row| text(row, "event_type") == "invoice.voided");
    ensure!(
        unmatched.is_some_and(|row| text(row, "failure_reason") == "no subscription matched this event"),
        "{events:?}"
    );
    ensure!(sink.record().ledger().count(1) == 0 && sink.record().ledger().count(2) == 1, "the wrong one came");
    Ok(())
}

#[tokio::test]
async fn a_paused_endpoint_discards_and_an_activated_one_delivers() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let paused = product.put(&format!("/endpoints/{endpoint}/pause"), &json!("{}")).await?.expect(202)?;
    ensure!(text(paused.data(), "status") == "paused", "{}", paused.text);
    let discarded = product.send_keyed(&endpoint, "while-paused", &json!({"n": 1})).await?;
    let row = product.delivery_in(&discarded, "Discarded", SOON).await?;
    ensure!(row["metadata"]["num_trials"] == 0, "{row}");
    ensure!(product.attempts(text(&row, "uid")).await?.is_empty(), "a discarded delivery was tried");

    let active = product.post(&format!("/endpoints/{endpoint}/activate"), &json!({})).await?.expect(202)?;
    ensure!(text(active.data(), "status") == "active", "{}", active.text);
    product.post(&format!("/endpoints/{endpoint}/activate"), &json!({})).await?.expect(400)?;
    let delivered = product.send_keyed(&endpoint, "when-active", &json!({"n": 2})).await?;
    product.delivery_in(&delivered, "Success", SOON).await?;
    ensure!(sink.record().ledger().count(1) == 0, "what was discarded came all the same");
    Ok(())
}

#[tokio::test]
async fn a_bad_request_gets_its_4xx_and_leaves_nothing() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    for (body, message) in [
        (r#"{"endpoint_id":"x","event_type":"a","#.to_owned(), "body contains badly-formed JSON"),
        (String::new(), "body must not be empty"),
        (json!({"endpoint_id": endpoint, "event_type": "a"}).to_string(), "data:please provide your data"),
        (json!({"endpoint_id": endpoint, "data": {}}).to_string(), "event_type:please provide an event type"),
        (json!({"event_type": "a", "data": {}}).to_string(), "please provide an endpoint ID"),
        (json!({"endpoint_id": "unknown", "event_type": "a", "data": {}}).to_string(), "endpoint not found"),
        (
            json!({"endpoint_id": endpoint, "event_type": 5, "data": {}}).to_string(),
            r#"body contains incorrect JSON type for field "event_type""#,
        ),
    ] {
        let reply = product.post_text("/events", body.clone()).await?;
        ensure!(reply.status == 400 && reply.message() == message, "{body}: {} {}", reply.status, reply.text);
        ensure!(reply.body["status"] == false && reply.body.get("data").is_none(), "{}", reply.text);
    }
    let stranger = product.client().get(&product.path("/events"), Some("Bearer CO.nobody.nothing")).await?;
    ensure!(stranger.status == 401 && stranger.message() == "authorization failed", "{}", stranger.text);
    let nobody = product.client().get(&product.path("/events"), None).await?;
    ensure!(nobody.status == 401 && nobody.message() == "Authentication required", "{}", nobody.text);
    ensure!(content(&product.get("/events").await?.expect(200)?).is_empty(), "a refused event was stored");
    Ok(())
}

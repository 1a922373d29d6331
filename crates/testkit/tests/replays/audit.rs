//! Single calls leave a record too: who, when, what, and what it came to.

use super::{SOON, answering};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, Reply, content, text, wait_until};
use http::Method;
use serde_json::{Value, json};

async fn listed(product: &Product, query: &str) -> Result<Vec<Value>> {
    Ok(content(&product.get(&format!("/replays?{query}")).await?.expect(200)?))
}

async fn connect_replay(product: &Product, event: &str) -> Result<Reply> {
    let path = format!("/connect/v1/events/evt_{event}/replay");
    product.connect(Method::POST, &path, &[("idempotency-key", "once")], None).await
}

/// What came of its deliveries, when nothing of it waits any more.
async fn settled(product: &Product, id: &str) -> Result<Value> {
    wait_until(SOON, "the call is through", async || {
        let call = product.replay(id).await?;
        Ok((call["status"] == "completed").then_some(call))
    })
    .await
}

#[tokio::test]
async fn a_single_replay_names_who_asked_and_its_deliveries_name_it() -> Result<()> {
    let mut product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let event = product.send_keyed(&endpoint, "e", &json!({"n": 1})).await?;
    let first = product.delivery_in(&event, "Success", SOON).await?;
    ensure!(first.get("replay_id").is_none(), "an ordinary delivery names a replay: {first}");

    product.put(&format!("/events/{event}/replay"), &json!("{}")).await?.expect(200)?;
    let answered = connect_replay(&product, &event).await?.expect(201)?;
    let again = connect_replay(&product, &event).await?.expect(201)?;
    ensure!(again.body["id"] == answered.body["id"], "{}", again.text);
    product.deliveries_in(&event, "Success", 3, SOON).await?;
    ensure!(listed(&product, "perPage=9").await?.is_empty(), "single calls hide the runs");

    product.kill9()?;
    product.restart().await?;
    let calls = listed(&product, "kind=single").await?;
    ensure!(calls.len() == 2 && listed(&product, "kind=all").await?.len() == 2, "{calls:?}");
    let by: Vec<&str> = calls.iter().map(|call| text(&call["asked_by"], "kind")).collect();
    ensure!(by == ["connect_key", "api_key"], "newest first: {by:?}");
    ensure!(calls[0]["options"]["idempotency_key"] == "once", "{}", calls[0]);
    ensure!(calls[0]["asked_by"]["id"] != calls[1]["asked_by"]["id"], "{calls:?}");
    for call in &calls {
        let id = text(call, "uid");
        ensure!(call["kind"] == "single" && call["selector"]["event_ids"] == json!([event]), "{call}");
        let through = settled(&product, id).await?;
        ensure!(through["counts"]["success"] == 1 && through["counts"]["items"] == 1, "{through}");
        let items = content(&product.get(&format!("/replays/{id}/items")).await?.expect(200)?);
        ensure!(items.len() == 1 && items[0]["replay_id"] == id, "{items:?}");
        let shown = product.delivery(text(&items[0], "uid")).await?;
        ensure!(shown["replay_id"] == id, "{shown}");
        let report = product.get(&format!("/replays/{id}/report")).await?.expect(200)?;
        ensure!(report.text.lines().count() == 1, "{}", report.text);
        let refused = product.steer_replay(id, "cancel").await?.expect(409)?;
        ensure!(refused.message().starts_with("it was one call"), "{}", refused.text);
        product.change_replay(id, &json!({"rate": 5})).await?.expect(409)?;
    }
    let refused = product.get("/replays?kind=runs").await?.expect(400)?;
    ensure!(refused.message().starts_with("kind: runs is none of run, single, resend"), "{}", refused.text);
    Ok(())
}

#[tokio::test]
async fn a_resend_names_what_it_put_back() -> Result<()> {
    let product = Product::fresh().await?;
    let sink = answering(200).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    let mut sent = Vec::new();
    for key in ["a", "b", "c"] {
        let event = product.send_keyed(&endpoint, key, &json!({"n": 1})).await?;
        sent.push(text(&product.delivery_in(&event, "Success", SOON).await?, "uid").to_owned());
    }
    let refused = product.put(&format!("/eventdeliveries/{}/resend", sent[0]), &json!("{}")).await?;
    ensure!(refused.status == 400 && listed(&product, "kind=resend").await?.is_empty(), "{}", refused.text);
    product.post("/eventdeliveries/forceresend", &json!({"ids": sent})).await?.expect(200)?;
    let calls = listed(&product, "kind=resend&kind=single").await?;
    ensure!(calls.len() == 1 && calls[0]["asked_by"]["kind"] == "api_key", "{calls:?}");
    let id = text(&calls[0], "uid");
    let through = settled(&product, id).await?;
    ensure!(through["selector"]["delivery_ids"] == json!(sent) && through["counts"]["success"] == 3, "{through}");
    let path = format!("/replays/{id}/items?perPage=2");
    let page = product.get(&path).await?.expect(200)?;
    let (next, mut items) = (page.data()["pagination"]["next_page_cursor"].clone(), content(&page));
    let next = next.as_str().unwrap_or_default();
    items.extend(content(&product.get(&format!("{path}&next_page_cursor={next}")).await?.expect(200)?));
    let shown: Vec<&str> = items.iter().map(|item| text(item, "uid")).collect();
    ensure!(shown == [sent[2].as_str(), sent[1].as_str(), sent[0].as_str()], "{shown:?}");
    Ok(())
}

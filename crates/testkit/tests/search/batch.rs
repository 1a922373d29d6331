//! Convoy's `batchreplay` and its count (contracts/convoy.md §2.3.10, §2.3.11).

use super::{Pair, SOON};
use anyhow::{Result, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::Sink;
use serde_json::{Value, json};

async fn replayed(product: &Product, query: &str) -> Result<String> {
    // As the Go client does: a body of `null`, which is not read.
    let reply = product.post(&format!("/events/batchreplay?{query}"), &Value::Null).await?.expect(200)?;
    ensure!(reply.data().is_null(), "{}", reply.text);
    Ok(reply.message().to_owned())
}

async fn counted(product: &Product, query: &str) -> Result<Value> {
    let reply = product.get(&format!("/events/countbatchreplayevents?{query}")).await?.expect(200)?;
    Ok(reply.data()["num"].clone())
}

async fn arrived(sink: &Sink, count: u64) -> Result<()> {
    wait_until(SOON, "all requests", async || Ok((sink.record().requests() >= count).then_some(()))).await?;
    ensure!(sink.record().requests() == count, "{} requests instead of {count}", sink.record().requests());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_the_list_is_sent_again_and_counted() -> Result<()> {
    let pair = Pair::new().await?;
    let product = &pair.product;
    pair.events(6).await?;
    arrived(&pair.takes, 3).await?;
    ensure!(counted(product, "").await? == 6);
    ensure!(replayed(product, "").await? == "6 successful, 0 failed");
    arrived(&pair.takes, 6).await?;
    arrived(&pair.fails, 6).await?;

    let to_sound = format!("endpointId={}", pair.sound);
    ensure!(counted(product, &to_sound).await? == 3);
    ensure!(replayed(product, &to_sound).await? == "3 successful, 0 failed");
    arrived(&pair.takes, 9).await?;
    ensure!(replayed(product, "idempotencyKey=k1").await? == "1 successful, 0 failed");
    ensure!(replayed(product, "ownerId=alice").await? == "3 successful, 0 failed");
    arrived(&pair.takes, 12).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_that_match_nothing_replay_nothing() -> Result<()> {
    let pair = Pair::new().await?;
    let product = &pair.product;
    pair.events(2).await?;
    for query in [
        "sourceId=zz",
        "sourceId=01H0JA5MEES38RRK3HTEJC647K",
        "endpointId=01H0JA5MEES38RRK3HTEJC647K",
        "endpointId=nonsense",
        "ownerId=carol",
        "idempotencyKey=other",
        "brokerMessageId=1",
        "startDate=2020-01-01T00:00:00&endDate=2020-02-01T00:00:00",
        "startDate=2100-01-01T00:00:00&endDate=2100-02-01T00:00:00",
    ] {
        ensure!(counted(product, query).await? == 0, "{query}");
        ensure!(replayed(product, query).await? == "0 successful, 0 failed", "{query}");
    }
    ensure!(pair.takes.record().requests() == 1, "something was sent again");
    Ok(())
}

#[tokio::test]
async fn bad_input_is_refused_in_convoys_words() -> Result<()> {
    let product = Product::fresh().await?;
    for filter in ["query=x", "body=%7B%22a%22%3A1%7D"] {
        let replay = product.post(&format!("/events/batchreplay?{filter}"), &json!({})).await?;
        ensure!(replay.status == 400, "{}", replay.text);
        ensure!(replay.message() == "batch replay does not support search filters", "{}", replay.text);
        let count = product.get(&format!("/events/countbatchreplayevents?{filter}")).await?;
        ensure!(count.status == 400, "{}", count.text);
        ensure!(count.message() == "batch replay count does not support search filters", "{}", count.text);
    }
    let dates = product.post("/events/batchreplay?startDate=yesterday", &json!({})).await?;
    ensure!(dates.message() == "please specify a startDate in the format 2006-01-02T15:04:05", "{}", dates.text);
    let reply = product.get("/events/batchreplay").await?;
    ensure!(reply.status == 404 && reply.message() == "event not found", "{}", reply.text);
    Ok(())
}

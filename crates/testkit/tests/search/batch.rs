//! Convoy's `batchreplay`, its count and `batchretry` (contracts/convoy.md §2.3.10, §2.3.11, §2.4.4).

use super::{Pair, SOON};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, Reply, content, text, wait_until};
use dacapo_testkit::sink::{Answer, Keep, Plan, Sink};
use serde_json::{Value, json};
use std::time::Duration;

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

/// A caller who lost patience and asks again must not have everything sent twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_under_way_is_not_started_again() -> Result<()> {
    let product = Product::fresh().await?;
    let slowly = Plan::in_turn(vec![Answer::status(200); 3], Answer::status(200).after(Duration::from_secs(3)));
    let sink = Sink::start(slowly, Keep { markers: 100, requests: 100 }).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    for key in ["a", "b", "c"] {
        let event = product.send_keyed(&endpoint, key, &json!({})).await?;
        product.delivery_in(&event, "Success", SOON).await?;
    }
    ensure!(replayed(&product, "").await? == "3 successful, 0 failed");
    for _ in 0..2 {
        ensure!(replayed(&product, "").await? == "0 successful, 3 failed");
    }
    // Another set is another batch.
    ensure!(replayed(&product, "idempotencyKey=a").await? == "1 successful, 0 failed");
    wait_until(SOON, "both are over", async || {
        let list = content(&product.get("/replays").await?.expect(200)?);
        Ok(list.iter().all(|replay| text(replay, "status") == "completed").then_some(list))
    })
    .await
    .and_then(|list| {
        ensure!(list.len() == 2, "{} replays", list.len());
        Ok(())
    })?;
    arrived(&sink, 7).await?;
    ensure!(replayed(&product, "").await? == "3 successful, 0 failed", "the one before is over");
    Ok(())
}

/// A caller with a short patience, or a job that ran twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_ask_for_the_same_at_once_one_is_served() -> Result<()> {
    const AT_ONCE: usize = 9;
    let pair = Pair::new().await?;
    pair.events(3).await?;
    for round in 1..=3 {
        let said = futures_util::future::try_join_all((0..AT_ONCE).map(|_| replayed(&pair.product, ""))).await?;
        let served = said.iter().filter(|said| *said == "3 successful, 0 failed").count();
        let refused = said.iter().filter(|said| *said == "0 successful, 3 failed").count();
        ensure!((served, refused) == (1, AT_ONCE - 1), "{said:?}");
        wait_until(SOON, "it is over", async || {
            let list = content(&pair.product.get("/replays").await?.expect(200)?);
            Ok(list.iter().all(|replay| text(replay, "status") == "completed").then_some(()))
        })
        .await?;
        arrived(&pair.takes, 2 + 2 * round).await?;
    }
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

async fn retried(product: &Product, query: &str) -> Result<Reply> {
    product.post(&format!("/eventdeliveries/batchretry?{query}"), &Value::Null).await
}

/// The newest batch retry (`null`: there was none), once all are over.
async fn over(product: &Product) -> Result<Value> {
    wait_until(SOON, "no batch retry is active", async || {
        let list = product.get("/replays").await?.expect(200)?;
        let mut retries = content(&list);
        retries.retain(|replay| text(replay, "name") == "batch retry");
        let all_over = retries.iter().all(|replay| text(replay, "status") == "completed");
        Ok(all_over.then(|| retries.into_iter().next().unwrap_or_default()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_retry_sends_what_failed_and_nothing_else() -> Result<()> {
    let pair = Pair::new().await?;
    let product = &pair.product;
    let events = pair.events(6).await?;
    for (query, again) in [
        ("status=Success".to_owned(), 0),
        (format!("endpointId={}", pair.sound), 0),
        ("eventType=other".to_owned(), 0),
        (format!("eventId={}", events[1]), 1),
        (format!("endpointId={}&status=Failure&event_type=test.event", pair.broken), 3),
    ] {
        let before = pair.fails.record().requests();
        let reply = retried(product, &query).await?.expect(200)?;
        ensure!(reply.data().is_null(), "{}", reply.text);
        over(product).await?;
        arrived(&pair.fails, before + again).await.with_context(|| query.clone())?;
    }
    ensure!(pair.takes.record().requests() == 3, "what succeeded was sent again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_batch_retry_at_a_time_and_a_kill_does_not_end_it() -> Result<()> {
    let mut product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    let slowly = Answer::status(200).after(Duration::from_secs(3));
    let plan = Plan::in_turn(vec![Answer::status(503), Answer::status(503)], slowly);
    let sink = Sink::start(plan, Keep { markers: 100, requests: 100 }).await?;
    let endpoint = product.subscribed_endpoint(&sink.url("/"), &json!({})).await?;
    for key in ["a", "b"] {
        let event = product.send_keyed(&endpoint, key, &json!({})).await?;
        product.delivery_in(&event, "Failure", SOON).await?;
    }
    let calls = tokio::join!(retried(&product, ""), retried(&product, ""), retried(&product, ""));
    let calls = [calls.0?, calls.1?, calls.2?];
    ensure!(calls.iter().filter(|reply| reply.status == 200).count() == 1, "{calls:?}");
    for reply in calls.iter().filter(|reply| reply.status != 200) {
        ensure!(reply.status == 400 && reply.message() == "an active batch retry already exists", "{}", reply.text);
    }
    product.kill9()?;
    product.restart().await?;
    let again = retried(&product, "").await?;
    ensure!(again.status == 400 && again.message() == "an active batch retry already exists", "{}", again.text);
    let done = over(&product).await?;
    ensure!(done["counts"]["success"] == 2 && done["counts"]["items"] == 2, "{done}");
    retried(&product, "").await?.expect(200)?;
    Ok(())
}

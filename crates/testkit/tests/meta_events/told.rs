//! Each kind arrives, once, signed, and says what happened.

use super::{SOON, all_in, answering, each_once, listed, sink, tell, verified};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, text, uid, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::{Value, json};
use std::time::Duration;

/// But one that nobody can bring about from outside: a replay whose set cannot be read.
const NAMES: [&str; 7] = [
    "endpoint.created",
    "endpoint.updated",
    "endpoint.deleted",
    "eventdelivery.success",
    "eventdelivery.failed",
    "replay.completed",
    "replay.cancelled",
];

#[tokio::test]
async fn each_kind_arrives_once_signed_and_says_what_happened() -> Result<()> {
    let product = Product::fresh().await?;
    let (told, good, bad) = (answering(200).await?, answering(200).await?, answering(500).await?);
    product.linear_retries(1, 1).await?;
    tell(&product, &told, &NAMES).await?;

    let login = json!({"type": "basic_auth", "basic_auth": {"username": "u", "password": "hidden"}});
    let endpoint = product
        .subscribed_endpoint(&good.url("/"), &json!({"secret": "hidden", "authentication": login, "name": "first"}))
        .await?;
    let changed = json!({"url": good.url("/"), "name": "second", "authentication": login});
    product.put(&format!("/endpoints/{endpoint}"), &changed).await?.expect(202)?;
    let delivered = product.send_keyed(&endpoint, "good", &json!({"n": 1})).await?;
    let delivered = product.delivery_in(&delivered, "Success", SOON).await?;
    let failing = product.subscribed_endpoint(&bad.url("/"), &json!({})).await?;
    let failed = product.send_keyed(&failing, "bad", &json!({"n": 2})).await?;
    let failed = product.delivery_in(&failed, "Failure", SOON).await?;
    let again = json!({"mode": "all", "selector": {"from": "-1h", "endpoint_ids": [endpoint]},
        "options": {"include_succeeded": true}});
    let completed = product.start_replay(&again).await?;
    product.replay_in(&completed, "completed", SOON).await?;
    let cancelled = product.start_replay(&again).await?;
    let is_over = product.steer_replay(&cancelled, "cancel").await?.status == 409;
    product.delete(&format!("/endpoints/{failing}")).await?.expect(200)?;

    // Both replays send once more, unless the second was cancelled before that.
    let second = wait_until(SOON, "nothing of it waits", async || {
        let second = product.replay(&cancelled).await?;
        Ok((second["counts"]["waiting"] == 0).then_some(second))
    })
    .await?;
    let successes = 2 + second["counts"]["success"].as_u64().context("a count")?;
    let count = 4 + 1 + usize::try_from(successes)? + 2;
    let rows = all_in(&product, "Success", count).await?;
    each_once(&told, &rows)?;
    let all: Vec<Value> = told.record().seen().iter().map(verified).collect::<Result<_>>()?;
    let of = |name: &str| -> Vec<&Value> {
        all.iter().filter(|body| body["event_type"] == name).map(|body| &body["data"]).collect()
    };

    ensure!(of("endpoint.created").len() == 2 && of("endpoint.updated").len() == 1, "{all:?}");
    for (name, shown) in [("endpoint.created", "first"), ("endpoint.updated", "second")] {
        let data = of(name).into_iter().find(|data| data["uid"] == *endpoint).context("the endpoint's")?;
        ensure!(data["name"] == shown && data["authentication"]["basic_auth"]["username"] == "u", "{data}");
        ensure!(data["secrets"][0]["value"] == "[REDACTED]" && !data.to_string().contains("hidden"), "{data}");
    }
    let deleted = of("endpoint.deleted");
    ensure!(deleted.len() == 1 && deleted[0]["uid"] == *failing && !deleted[0]["deleted_at"].is_null(), "{deleted:?}");

    let success = of("eventdelivery.success").into_iter().find(|data| data["uid"] == delivered["uid"]);
    let success = success.context("the delivery's")?;
    ensure!(success["status"] == "Success" && success["metadata"]["raw"] == r#"{"n":1}"#, "{success}");
    ensure!(
        success["attempt"]["http_status"] == "200 OK" && success["attempt"]["msg_id"] == success["uid"],
        "{success}"
    );
    ensure!(
        success["endpoint_metadata"]["uid"] == *endpoint && success["event_metadata"]["uid"] == success["event_id"]
    );
    ensure!(success["attempt"]["request_http_header"]["Authorization"] == "[REDACTED]", "{success}");
    let failures = of("eventdelivery.failed");
    ensure!(failures.len() == 1 && failures[0]["uid"] == failed["uid"], "{failures:?}");
    ensure!(failures[0]["attempt"]["http_status"] == "500 Internal Server Error", "{}", failures[0]);

    let done = of("replay.completed").into_iter().find(|data| data["uid"] == *completed).context("the replay's")?;
    let shown = product.replay(&completed).await?;
    for field in ["status", "counts", "selector", "asked_by", "finished_at", "steps", "progress"] {
        ensure!(done[field] == shown[field], "{field}: {done} is not {shown}");
    }
    if !is_over {
        let ended = of("replay.cancelled");
        ensure!(ended.len() == 1 && ended[0]["uid"] == *cancelled && ended[0]["status"] == "cancelled", "{ended:?}");
    }

    // Newest first, whatever is said of sorting; and one alone.
    let newest_first = rows.windows(2).all(|pair| text(&pair[0], "uid") > text(&pair[1], "uid"));
    ensure!(newest_first, "not newest first");
    let one = product.get(&format!("/meta-events/{}", uid(&rows[3])?)).await?.expect(200)?;
    ensure!(one.data() == &rows[3] && one.message() == "Meta event fetched successfully", "{}", one.text);
    ensure!(rows[3]["attempt"]["request_http_header"]["X-Convoy-Signature"].is_string(), "{}", rows[3]);
    let page = product.get("/meta-events?perPage=2").await?.expect(200)?;
    let next = page.data()["pagination"]["next_page_cursor"].as_str().unwrap_or_default();
    ensure!(next == uid(&rows[2])? && page.data()["pagination"]["has_next_page"] == true, "{}", page.text);
    let old = product.get("/meta-events?startDate=2020-01-01T00:00:00&endDate=2020-01-02T00:00:00").await?;
    ensure!(old.expect(200)?.data()["content"] == json!([]));
    Ok(())
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_told() -> Result<()> {
    let product = Product::fresh().await?;
    let told = answering(200).await?;
    product.create_endpoint(&told.url("/own"), &json!({})).await?;
    ensure!(listed(&product).await?.is_empty(), "they are on without being asked for");
    tell(&product, &told, &["endpoint.*", "*", "eventdelivery.success", "endpoint.deleted"]).await?;
    let endpoint = product.create_endpoint(&told.url("/own"), &json!({})).await?;
    product.delete(&format!("/endpoints/{endpoint}")).await?.expect(200)?;
    let rows = all_in(&product, "Success", 1).await?;
    ensure!(text(&rows[0], "event_type") == "endpoint.deleted", "{rows:?}");
    let project = product.get("").await?.expect(200)?;
    ensure!(project.data()["config"]["meta_event"]["secret"] == super::SECRET, "{}", project.text);
    Ok(())
}

#[tokio::test]
async fn an_address_inside_is_refused_unless_the_operator_allows_it() -> Result<()> {
    let product = Product::fresh_with(|options| options.allow_networks.clear()).await?;
    let told = answering(200).await?;
    let meta_event = json!({"is_enabled": true, "event_type": ["endpoint.created"], "url": told.url("/")});
    let name = text(product.get("").await?.expect(200)?.data(), "name").to_owned();
    let refused = product.put("", &json!({"name": name, "config": {"meta_event": meta_event}})).await?.expect(400)?;
    let words = "endpoint url must not point to localhost or loopback addresses";
    ensure!(refused.message() == words, "{}", refused.text);
    Ok(())
}

/// What is in exchange is finished and recorded: none comes twice.
#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_leaves_the_rest() -> Result<()> {
    let mut product = Product::fresh().await?;
    let told = sink(Plan::always(Answer::status(200).after(Duration::from_millis(700)))).await?;
    tell(&product, &told, &["endpoint.created"]).await?;
    for _ in 0..12 {
        product.create_endpoint("http://127.0.0.1:9/", &json!({})).await?;
    }
    product.stop().await?;
    let before = told.record().requests();
    ensure!(before == told.record().delivered() && before < 12, "{before} came, some were cut off");
    product.restart().await?;
    let rows = all_in(&product, "Success", 12).await?;
    each_once(&told, &rows)
}

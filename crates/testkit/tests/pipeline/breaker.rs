//! The circuit breaker: a dead endpoint costs a probe now and then, its queue waits and drains when it heals, and
//! nobody else notices; a restart remembers it, an activation clears it.

use super::{SOON, answering, sink};
use anyhow::{Result, ensure};
use dacapo_testkit::generator::{self, Load, Pace, Shape, Tally, Target};
use dacapo_testkit::product::{Product, content, text, wait_until};
use dacapo_testkit::sink::{Answer, Keep, Plan, Sink};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Behind the dead endpoint.
const WAITING: u64 = 3_000;
/// They are all accepted within this, on a disk that is busy with other tests.
const FILLED_WITHIN: Duration = Duration::from_secs(60);
const HEALTHY_PER_SECOND: u32 = 50;
const HEALTHY_FOR: Duration = Duration::from_secs(8);
/// The slowest delivery of the healthy endpoint, on a machine that runs other tests too.
const HEALTHY_WITHIN: Duration = Duration::from_secs(1);
/// What a new lane sends at once; all of it may be under way when the breaker opens.
const UNTIL_OPEN: u64 = 10 + 16;

/// Convoy's defaults, but for how long it is open.
fn breaker(error_timeout: u64) -> Value {
    json!({"circuit_breaker": {"sample_rate": 30, "error_timeout": error_timeout, "failure_threshold": 70,
        "success_threshold": 5, "minimum_request_count": 10, "observability_window": 5,
        "consecutive_failure_threshold": 10}})
}

async fn shown(product: &Product, endpoint: &str) -> Result<Value> {
    Ok(product.get(&format!("/endpoints/{endpoint}")).await?.expect(200)?.data().clone())
}

async fn becomes(product: &Product, endpoint: &str, state: &str) -> Result<Value> {
    wait_until(SOON, &format!("the breaker is {state}"), async || {
        let shown = shown(product, endpoint).await?;
        Ok((text(&shown, "cb_state") == state).then_some(shown))
    })
    .await
}

async fn load(product: &Product, endpoint: &str, pace: Pace, count: u64, within: Duration) -> Result<Arc<Tally>> {
    let shape = Shape::Convoy { project_id: product.keys().project_id.clone(), endpoints: vec![endpoint.to_owned()] };
    let target = Arc::new(Target::new(product.url(), &shape, Some(&format!("Bearer {}", product.keys().api_key)))?);
    let load = Load { pace, count_max: count, ..Load::new(target, 16, within) };
    generator::run(load).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_costs_probes_drains_when_it_heals_and_harms_nobody() -> Result<()> {
    const ERROR_TIMEOUT_S: u64 = 2;
    let product = Product::fresh().await?;
    product.linear_retries(1, 100).await?;
    product.set_config(&breaker(ERROR_TIMEOUT_S)).await?;
    let markers = Keep { markers: WAITING as usize, requests: 0 };
    let broken = Sink::start(Plan::always(Answer::status(500)), markers).await?;
    let fine = Sink::start(Plan::default(), Keep::default()).await?;
    let dead = product.subscribed_endpoint(&broken.url("/"), &json!({})).await?;
    let healthy = product.subscribed_endpoint(&fine.url("/"), &json!({})).await?;
    ensure!(text(&shown(&product, &dead).await?, "cb_state") == "closed", "a new endpoint's breaker");

    let began = Instant::now();
    let count = u64::from(HEALTHY_PER_SECOND) * HEALTHY_FOR.as_secs();
    let (filled, beside) = tokio::join!(
        load(&product, &dead, Pace::Closed, WAITING, FILLED_WITHIN),
        load(&product, &healthy, Pace::PerSecond(HEALTHY_PER_SECOND), count, HEALTHY_FOR)
    );
    let (filled, beside) = (filled?, beside?);
    ensure!(filled.accepted() == WAITING, "{} of {WAITING} were accepted", filled.accepted());
    let attempts = broken.record().requests();
    let probes = began.elapsed().as_secs() / ERROR_TIMEOUT_S + 2;
    println!("{attempts} attempts on the dead endpoint, {WAITING} waiting");
    ensure!((10..=UNTIL_OPEN + probes).contains(&attempts), "{attempts} attempts on a dead endpoint");
    let dead_now = shown(&product, &dead).await?;
    ensure!(text(&dead_now, "cb_state") != "closed" && dead_now["failure_rate"] == 100.0, "{dead_now}");
    ensure!(product.metric("dacapo_breakers_opened_total").await? >= 1, "no breaker is counted");

    let record = fine.record();
    wait_until(SOON, "the healthy endpoint has everything", async || {
        Ok((record.delivered() >= beside.accepted()).then_some(()))
    })
    .await?;
    let slowest = Duration::from_micros(record.latency().max_us());
    println!("slowest delivery of the healthy endpoint: {slowest:?}");
    ensure!(slowest <= HEALTHY_WITHIN, "a healthy delivery took {slowest:?}");
    ensure!(shown(&product, &healthy).await?["failure_rate"] == 0.0, "the healthy endpoint's failure rate");

    broken.set_plan(Plan::default());
    wait_until(SOON * 3, "the queue has drained", async || {
        Ok((broken.record().ledger().distinct() == WAITING).then_some(()))
    })
    .await?;
    let healed = becomes(&product, &dead, "closed").await?;
    ensure!(healed["failure_rate"] == 0.0, "{healed}");
    ensure!(broken.record().ledger().repeated() == 0, "something was delivered twice");
    wait_until(SOON, "the breaker is counted as closed", async || {
        let closed = product.metric("dacapo_breakers_closed_total").await? == 1;
        Ok((closed && product.metric("dacapo_breakers_open").await? == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_restart_remembers_an_open_breaker_and_an_activation_clears_it() -> Result<()> {
    let mut product = Product::fresh().await?;
    product.linear_retries(1, 100).await?;
    product.set_config(&breaker(3_600)).await?;
    let (broken, fine) = (answering(500).await?, answering(200).await?);
    let dead = product.subscribed_endpoint(&broken.url("/"), &json!({})).await?;
    let healthy = product.subscribed_endpoint(&fine.url("/"), &json!({})).await?;
    for index in 0..12 {
        product.send(&dead, "test.event", &json!({"n": index})).await?.expect(201)?;
    }
    becomes(&product, &dead, "open").await?;
    // Counted when it is on disk.
    wait_until(SOON, "the breaker is remembered", async || {
        Ok((product.metric("dacapo_breakers_opened_total").await? == 1).then_some(()))
    })
    .await?;

    product.kill9()?;
    product.restart().await?;
    let before = broken.record().requests();
    let restarted = shown(&product, &dead).await?;
    ensure!(text(&restarted, "cb_state") == "open" && restarted["failure_rate"] == 100.0, "{restarted}");
    let late = product.send_keyed(&dead, "late", &json!({"n": 12})).await?;
    // Longer than the retry interval: what could be sent to the dead endpoint would have been.
    for index in 0..2 {
        let event = product.send_keyed(&healthy, &format!("beside-{index}"), &json!({})).await?;
        product.delivery_in(&event, "Success", SOON).await?;
    }
    let after = broken.record().requests();
    ensure!(after == before, "{} attempts on an open breaker after a restart", after - before);
    let waiting = product.deliveries(&late).await?;
    ensure!(waiting.len() == 1 && text(&waiting[0], "status") == "Scheduled", "{waiting:?}");
    ensure!(waiting[0]["metadata"]["num_trials"] == 0, "an attempt was burnt: {}", waiting[0]);
    let other = product.send_keyed(&dead, "other", &json!({"n": 13})).await?;
    let again = product.start_replay(&json!({"mode": "all", "selector": {"event_ids": [other]}})).await?;
    wait_until(SOON, "an item of a replay says what it waits for", async || {
        let items = product.get(&format!("/replays/{again}/items")).await?.expect(200)?;
        let items = items.data()["content"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().any(|item| item["waits_for"] == "circuit_breaker").then_some(()))
    })
    .await?;
    product.steer_replay(&again, "cancel").await?.expect(200)?;

    broken.set_plan(Plan::default());
    product.put(&format!("/endpoints/{dead}/pause"), &json!({})).await?.expect(202)?;
    product.post(&format!("/endpoints/{dead}/activate"), &json!({})).await?.expect(202)?;
    product.delivery_in(&late, "Success", SOON).await?;
    let healed = becomes(&product, &dead, "closed").await?;
    ensure!(healed["failure_rate"] == 0.0, "{healed}");
    Ok(())
}

#[tokio::test]
async fn trips_in_a_row_switch_an_endpoint_off_where_the_project_asks_for_it() -> Result<()> {
    let product = Product::fresh().await?;
    product.linear_retries(1, 100).await?;
    let mut config = breaker(1);
    config["circuit_breaker"]["consecutive_failure_threshold"] = json!(2);
    config["disable_endpoint"] = json!(true);
    product.set_config(&config).await?;
    let broken = sink(Plan::always(Answer::status(500))).await?;
    let dead = product.subscribed_endpoint(&broken.url("/"), &json!({})).await?;
    for index in 0..12 {
        product.send(&dead, "test.event", &json!({"n": index})).await?.expect(201)?;
    }
    wait_until(SOON, "the endpoint is inactive", async || {
        Ok((text(&shown(&product, &dead).await?, "status") == "inactive").then_some(()))
    })
    .await?;
    ensure!(broken.record().requests() <= UNTIL_OPEN + 2, "{} attempts", broken.record().requests());
    Ok(())
}

/// Each delivery has one attempt, so what a dead endpoint was sent is lost to it, until it heals.
#[tokio::test]
async fn what_failed_is_sent_again_when_the_endpoint_heals_and_once() -> Result<()> {
    let mut product = Product::fresh().await?;
    product.linear_retries(1, 1).await?;
    product.set_config(&breaker(1)).await?;
    let broken = answering(500).await?;
    let recovers = json!({"recover_on_heal": {"enabled": true, "lookback": "1h"}});
    let dead = product.subscribed_endpoint(&broken.url("/"), &recovers).await?;
    let read = shown(&product, &dead).await?;
    ensure!(read["recover_on_heal"] == json!({"enabled": true, "lookback": "1h0m0s"}), "{read}");
    for index in 0..12 {
        product.send_keyed(&dead, &format!("early-{index}"), &json!({"n": index})).await?;
    }
    becomes(&product, &dead, "open").await?;
    let failed = async |product: &Product| {
        let list = product.get("/eventdeliveries?status=Failure&perPage=100").await?.expect(200)?;
        Ok::<usize, anyhow::Error>(content(&list).len())
    };
    wait_until(SOON, "deliveries have failed for good", async || Ok((failed(&product).await? >= 10).then_some(())))
        .await?;
    broken.set_plan(Plan::default());
    product.send_keyed(&dead, "probe", &json!({"n": "probe"})).await?;
    wait_until(SOON * 2, "all are delivered", async || Ok((broken.record().delivered() == 13).then_some(()))).await?;

    let replay = wait_until(SOON, "the recovery is over", async || {
        let list = product.get("/replays").await?.expect(200)?;
        let done = |row: &Value| text(row, "status") == "completed";
        Ok(content(&list).into_iter().find(done))
    })
    .await?;
    ensure!(text(&replay, "name") == "recover on heal" && replay["asked_by"]["kind"] == "system", "{replay}");
    ensure!(replay["mode"] == "failed" && replay["counts"]["failure"] == 0, "{replay}");
    let gone = failed(&product).await?;
    ensure!(replay["counts"]["success"] == gone, "{gone} had failed: {replay}");

    // Started again it finds the same heal, and that it was acted upon.
    product.kill9()?;
    product.restart().await?;
    let after = product.send_keyed(&dead, "after", &json!({"n": "after"})).await?;
    product.delivery_in(&after, "Success", SOON).await?;
    let count = async || Ok::<usize, anyhow::Error>(content(&product.get("/replays").await?.expect(200)?).len());
    ensure!(count().await? == 1, "{} recoveries of one heal", count().await?);
    product.put(&format!("/endpoints/{dead}/pause"), &json!({})).await?.expect(202)?;
    product.put(&format!("/endpoints/{dead}/pause"), &json!({})).await?.expect(202)?;
    wait_until(SOON, "resuming it is another heal", async || Ok((count().await? == 2).then_some(()))).await?;
    ensure!(broken.record().delivered() == 14, "something was delivered twice");

    // What came while it was paused was given up at once, and is brought back with what failed.
    product.put(&format!("/endpoints/{dead}/pause"), &json!({})).await?.expect(202)?;
    let meanwhile = product.send_keyed(&dead, "meanwhile", &json!({"n": "meanwhile"})).await?;
    product.delivery_in(&meanwhile, "Discarded", SOON).await?;
    product.put(&format!("/endpoints/{dead}/pause"), &json!({})).await?.expect(202)?;
    wait_until(SOON, "it is delivered", async || Ok((broken.record().delivered() == 15).then_some(()))).await?;
    ensure!(count().await? == 3, "{} recoveries of three heals", count().await?);

    let bad = json!({"url": broken.url("/"), "name": "n", "recover_on_heal": {"lookback": "5s"}});
    let refused = product.post("/endpoints", &bad).await?.expect(400)?;
    ensure!(refused.message().starts_with("recover_on_heal.lookback must be"), "{}", refused.text);
    let says = "recover_on_heal.enabled must be true or false; beside it there is only lookback";
    for odd in [
        json!({"enabld": false}),
        json!({"enabled": true, "look_back": "1h"}),
        json!({"enabled": "yes"}),
        json!({}),
        json!(true),
    ] {
        let given = json!({"url": broken.url("/"), "name": "n", "recover_on_heal": odd});
        let refused = product.post("/endpoints", &given).await?.expect(400)?;
        ensure!(refused.message() == says, "{odd}: {}", refused.text);
    }
    Ok(())
}

#[tokio::test]
async fn settings_are_read_back_and_bad_ones_are_named() -> Result<()> {
    let product = Product::fresh().await?;
    let config = breaker(45);
    product.set_config(&config).await?;
    let project = product.get("").await?.expect(200)?;
    ensure!(project.data()["config"]["circuit_breaker"] == config["circuit_breaker"], "{}", project.text);
    for (field, value) in [("failure_threshold", 101), ("error_timeout", 0), ("minimum_request_count", 0)] {
        let mut bad = breaker(45);
        bad["circuit_breaker"][field] = json!(value);
        let name = text(project.data(), "name");
        let refused = product.put("", &json!({"name": name, "config": bad})).await?.expect(400)?;
        ensure!(refused.message().starts_with(&format!("circuit_breaker.{field} must be")), "{}", refused.text);
    }
    let after = product.get("").await?.expect(200)?;
    ensure!(after.data()["config"] == project.data()["config"], "a refused setting changed something");
    Ok(())
}

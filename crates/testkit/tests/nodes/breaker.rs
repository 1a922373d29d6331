//! A circuit breaker is one breaker, whoever is asked and whoever owns the endpoint.

use super::{SOON, turn};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::nodes::{Nodes, owner_of};
use dacapo_testkit::product::{Product, text, wait_until};
use dacapo_testkit::sink::{Answer, Keep, Plan, Sink};
use serde_json::{Value, json};
use std::time::Duration;

/// A dead node is noticed, and its shards taken, within this.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(30);

async fn shown(node: &Product, endpoint: &str) -> Result<Value> {
    Ok(node.get(&format!("/endpoints/{endpoint}")).await?.expect(200)?.data().clone())
}

async fn becomes(node: &Product, endpoint: &str, state: &str) -> Result<Value> {
    wait_until(SOON, &format!("the breaker is {state} at {}", node.url()), async || {
        let shown = shown(node, endpoint).await?;
        Ok((text(&shown, "cb_state") == state).then_some(shown))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_shows_it_and_a_new_owner_goes_on_from_it() -> Result<()> {
    let _turn = turn().await;
    let mut nodes = Nodes::start(2).await?;
    let first = &nodes.each[0];
    first.linear_retries(1, 100).await?;
    let breaker = json!({"sample_rate": 30, "error_timeout": 3600, "failure_threshold": 70, "success_threshold": 5,
        "minimum_request_count": 10, "observability_window": 5, "consecutive_failure_threshold": 10});
    first.set_config(&json!({"circuit_breaker": breaker})).await?;
    let broken = Sink::start(Plan::always(Answer::status(500)), Keep::default()).await?;
    let fine = Sink::start(Plan::default(), Keep::default()).await?;
    let dead = first.subscribed_endpoint(&broken.url("/"), &json!({})).await?;
    for index in 0..12 {
        first.send(&dead, "test.event", &json!({"n": index})).await?.expect(201)?;
    }
    for node in &nodes.each {
        let shown = becomes(node, &dead, "open").await?;
        ensure!(shown["failure_rate"] == 100.0, "{} shows {shown}", node.url());
    }

    let owner = owner_of(&first.nodes().await?, &dead)?.context("somebody owns it")?;
    let owner = nodes.each.iter().position(|node| node.url() == owner).context("one of the two")?;
    nodes.each[owner].kill9()?;
    let heir = &nodes.each[1 - owner];
    wait_until(TAKEN_OVER_WITHIN, "the other node owns it", async || {
        Ok((owner_of(&heir.nodes().await?, &dead)?.as_deref() == Some(heir.url())).then_some(()))
    })
    .await?;
    let before = broken.record().requests();
    let late = heir.send_keyed(&dead, "late", &json!({"n": 12})).await?;
    // Deliveries go out again, to everybody but the dead endpoint.
    let healthy = heir.subscribed_endpoint(&fine.url("/"), &json!({})).await?;
    let beside = heir.send_keyed(&healthy, "beside", &json!({})).await?;
    heir.delivery_in(&beside, "Success", SOON).await?;
    ensure!(text(&shown(heir, &dead).await?, "cb_state") == "open", "the new owner forgot it");
    ensure!(broken.record().requests() == before, "the new owner sent to it");

    broken.set_plan(Plan::default());
    heir.put(&format!("/endpoints/{dead}/pause"), &json!({})).await?.expect(202)?;
    heir.put(&format!("/endpoints/{dead}/pause"), &json!({})).await?.expect(202)?;
    heir.delivery_in(&late, "Success", SOON).await?;
    becomes(heir, &dead, "closed").await?;
    Ok(())
}

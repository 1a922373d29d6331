//! Killed in the middle, again and again: every event one item, nothing lost, little twice.

use super::{SOON, sink};
use anyhow::{Context, Result, ensure};
use dacapo_testkit::product::{Product, wait_until};
use dacapo_testkit::sink::{Answer, Plan};
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;

const EVENTS: u64 = 3_000;
const KILLS: u64 = 6;
const CONCURRENCY: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_during_a_replay_schedules_each_event_once_and_loses_none() -> Result<()> {
    let mut product = Product::fresh().await?;
    let sink = sink(Plan::always(Answer::status(200).after(Duration::from_millis(5)))).await?;
    let endpoint = product.create_endpoint(&sink.url("/"), &json!({})).await?;
    let subscription = product.subscribe(&endpoint, &["something.else"]).await?;
    product.send_numbered(&endpoint, 0..EVENTS).await?;
    let wanted = json!({"filter_config": {"event_types": ["*"]}});
    product.put(&format!("/subscriptions/{subscription}"), &wanted).await?.expect(202)?;

    let body = json!({"mode": "missing", "selector": {"from": "-1h"}, "expected_count": EVENTS,
        "options": {"concurrency": CONCURRENCY}});
    let id = product.start_replay(&body).await?;
    for kill in 1..=KILLS {
        let until = kill * EVENTS / (KILLS + 1);
        let more = async || Ok((sink.record().delivered() >= until).then_some(()));
        wait_until(SOON, "it goes on", more).await.with_context(|| format!("before kill {kill}"))?;
        product.kill9()?;
        product.restart().await?;
    }
    let done = product.replay_in(&id, "completed", SOON * 2).await?;
    ensure!(done["counts"]["items"] == EVENTS && done["counts"]["success"] == EVENTS, "{done}");
    let lines = product.report(&id).await?;
    let events: HashSet<&str> = lines.iter().filter_map(|line| line["event_id"].as_str()).collect();
    ensure!(lines.len() as u64 == EVENTS && events.len() as u64 == EVENTS, "{} items of {}", lines.len(), events.len());
    let missing = (0..EVENTS).filter(|n| sink.record().ledger().count(*n) == 0).count();
    ensure!(missing == 0, "{missing} were never delivered");
    // Sent again: what was in exchange, or answered and not recorded yet.
    let twice = sink.record().ledger().repeated();
    ensure!(twice <= KILLS * (CONCURRENCY + 512), "{twice} came twice");
    Ok(())
}
